"""Calls of programs with documents: JSON in, JSON out, and the documents that a script loads on the way.

A call cannot reach out of its context. What it loads is therefore known only when it has run: a call that asked for
documents which did not come with it is repeated with them, until it asks for nothing more. A call changes nothing, so
that repeating it is safe; what the script would write is part of its last answer.

Documents go in as they are. Only when their text holds a number that JavaScript would not give back as it was is the
slower way taken that keeps it (`run_exact` in prelude.js).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from pynori_core.json_scan import has_fragile_number

from pynori.errors import JavaScriptError
from pynori.js.engine import RUN, RUN_EXACT, Call, Program, Runner
from pynori.limits import SCRIPT_LOAD_ROUNDS_MAX, SCRIPT_LOADS_MAX

# The JSON of a document with its metadata by its id, or None when there is none.
Load = Callable[[str], bytes | None]

encode = msgspec.json.Encoder().encode


class Write(msgspec.Struct, array_like=True, frozen=True):
    """What a script wrote by put or del."""

    kind: str  # "put" or "del"
    id: str
    expected_change_vector: str | None
    body: msgspec.Raw


class Outcome(msgspec.Struct, frozen=True):
    """The answer of a call, by the kind of its program."""

    document: msgspec.Raw = msgspec.Raw()  # patch: `this` as the script left it
    value: msgspec.Raw = msgspec.Raw()  # project, reduce
    entries: list[msgspec.Raw] = []  # map
    keys: list[str] = []  # reduce
    references: list[tuple[str, str | None]] = []  # (id, collection) that load was called with
    writes: list[Write] = []
    includes: list[tuple[str, str]] = []  # ("document", id) and ("cmpxchg", key) that a result brings along
    output: list[str] = []
    asked: list[str] = []  # ids that must come with the call when it is repeated


decode_outcome = msgspec.json.Decoder(Outcome).decode


class Input:
    """What goes into one call, and how often it was repeated."""

    __slots__ = ("_fields", "loaded")

    def __init__(self, fields: Mapping[str, bytes]) -> None:
        self._fields = fields  # name -> JSON
        self.loaded: dict[str, bytes] = {}  # id -> JSON of the document, or null

    def call(self) -> Call:
        """The call with all that is loaded so far."""
        parts = [b'"%b":%b' % (name.encode(), text) for name, text in self._fields.items()]
        if self.loaded:
            parts.append(b'"loaded":{%b}' % b",".join(b"%b:%b" % (encode(i), text) for i, text in self.loaded.items()))
        text = b"{%b}" % b",".join(parts)
        return Call(RUN_EXACT if has_fragile_number(text) else RUN, text.decode())


def document_input(
    document: bytes, id: str | None, arguments: bytes = b"{}", beside: Sequence[bytes | None] = (),
    paths: Sequence[str] = (),
) -> Input:  # fmt: skip
    """Of programs over one document (kinds patch and project).

    id: what `id(this)` gives where the metadata does not say. arguments: an object. The documents of the further names
    are `beside`, or those whose ids stand at `paths` within the document.
    """
    if paths:
        return Input({"self": document, "id": encode(id), "args": arguments, "paths": encode(list(paths))})
    others = b",".join(b"null" if other is None else other for other in beside)
    return Input({"self": document, "id": encode(id), "args": arguments, "beside": b"[%b]" % others})


def call_all(
    runner: Runner, program: Program, inputs: Sequence[Input], load: Load
) -> list[Outcome | JavaScriptError]:
    """Run the program over each input, fetching what it loads; in order, each with its outcome or failure.

    Raises JavaScriptError when the program does not compile.
    """
    outcomes: list[Any] = [None] * len(inputs)
    waiting = list(range(len(inputs)))
    fetched: dict[str, bytes] = {}
    for _ in range(SCRIPT_LOAD_ROUNDS_MAX):
        answers = runner.run(program, [inputs[position].call() for position in waiting])
        again = []
        for position, answer in zip(waiting, answers, strict=True):
            outcome = answer if isinstance(answer, JavaScriptError) else decode_outcome(answer)
            if isinstance(outcome, Outcome) and outcome.asked:
                failure = supply(inputs[position], outcome.asked, fetched, load)
                if failure is None:
                    again.append(position)
                    continue
                outcome = failure
            outcomes[position] = outcome
        if not again:
            return outcomes
        waiting = again
    for position in waiting:
        outcomes[position] = JavaScriptError(
            f"the script loads documents one after the other, more than SCRIPT_LOAD_ROUNDS_MAX "
            f"({SCRIPT_LOAD_ROUNDS_MAX}) times"
        )
    return outcomes


def supply(
    input: Input, asked: Sequence[str], fetched: dict[str, bytes], load: Load
) -> JavaScriptError | None:
    """Put the documents that were asked for into the input; returns why not."""
    if len(input.loaded) + len(asked) > SCRIPT_LOADS_MAX:
        return JavaScriptError(f"the script loads more than SCRIPT_LOADS_MAX ({SCRIPT_LOADS_MAX}) documents")
    for id in asked:
        if id not in fetched:
            fetched[id] = load(id) or b"null"
        input.loaded[id] = fetched[id]
    return None


def load_nothing(id: str) -> bytes | None:
    """Of callers that have no documents to load from."""
    return None
