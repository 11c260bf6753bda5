"""Programs in contexts: what scripts see, how they fail, what stops them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pynori.errors import JavaScriptError
from pynori.js.engine import Call, Program, ScriptEngine, ScriptLimits, ScriptTooSlow


@pytest.fixture(scope="module")
def engine() -> ScriptEngine:
    return ScriptEngine(ScriptLimits(time_ms=200, memory_size_bytes=16 << 20))


def call(document: Any = None, **more: Any) -> Call:
    return Call("run", json.dumps({"self": document or {}, "id": "users/1", "args": {}, "beside": [], **more}))


def patch(engine: ScriptEngine, script: str, document: Any = None, **more: Any) -> dict[str, Any]:
    (answer,) = engine.run(Program("patch", (script,)), [call(document, **more)])
    if isinstance(answer, JavaScriptError):
        raise answer
    return json.loads(answer)


def test_a_script_changes_its_document(engine: ScriptEngine) -> None:
    """`this` is the document, `args` and `$name` are the arguments, what it writes and puts out is noted in order."""
    script = "this.n += args.by + $by; put('a/', {d: new Date(0)}, 'A:1'); output('n is', this.n); del('b'); return 7;"
    answer = patch(engine, script, {"n": 1}, args={"by": 2})
    assert answer["document"] == {"n": 5}
    assert answer["output"] == ["n is 5"]
    assert answer["writes"] == [
        ["put", "a/", "A:1", {"d": "1970-01-01T00:00:00.0000000Z"}],
        ["del", "b", None, None],
    ]


@pytest.mark.parametrize(
    ("script", "line", "column", "fragment"),
    [
        ("\n\n  foo.bar()", 3, 3, "ReferenceError: foo is not defined"),
        ("this.x = 1;\nthis.a.b = 2", 2, 1, "TypeError: cannot set property 'b' of undefined"),
        ("let a = 1;\nlet b = {x: 1 y: 2}", 2, 15, "SyntaxError: Unexpected identifier 'y'"),
        ("function f() {\n  throw new Error('because');\n}\nf()", 2, 13, "Error: because"),
        ("x = 5", 1, 1, "x is not defined"),
        ("load(5)", 1, 1, "TypeError: load(id) takes"),
        ("throw 'plain'", 0, 0, "plain"),
        ("throw {code: 7}", 0, 0, '{"code":7}'),
        ("if (", 0, 0, "SyntaxError"),
    ],
)
def test_errors_name_their_place(engine: ScriptEngine, script: str, line: int, column: int, fragment: str) -> None:
    """A script that fails says what and where, in lines and columns of its own text."""
    with pytest.raises(JavaScriptError) as failed:
        patch(engine, script)
    assert fragment in failed.value.message
    assert failed.value.line == line and (failed.value.column == column or column == 0)
    assert (f"(line {line}, column" in failed.value.message) == (line > 0)


@pytest.mark.parametrize(
    "script",
    [
        "while (true) {}",
        "try { while (true) {} } catch (e) {} finally { while (true) {} }",
        "/^(a+)+$/.test('a'.repeat(50) + '!')",
        "/(x+x+)+y/.exec('x'.repeat(50))",
        "Object.prototype.toJSON = () => { while (true) {} }; this.x = {}",
        "Object.defineProperty(this, 'x', { enumerable: true, get() { while (true) {} } })",
        "class E extends Error { get message() { while (true) {} } }; throw new E()",
        "let a = [...Array(1e4).keys()]; while (true) a.sort(() => Math.random() - 0.5)",
    ],
)
def test_time_ends(engine: ScriptEngine, script: str) -> None:
    """Loops, catastrophic expressions and tricks on the host end with the time; the next call is sound."""
    with pytest.raises(ScriptTooSlow):
        patch(engine, script)
    assert patch(engine, "this.a = 1")["document"] == {"a": 1}


@pytest.mark.parametrize(
    "script",
    [
        "let a = []; while (true) a.push(new Array(1000).fill(1))",
        "let s = 'x'; while (true) s += s",
        "this.x = 'x'.repeat(1 << 28)",
        "new ArrayBuffer(1 << 30)",
        "function f() { f() } f()",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; this.a = a",
        "JSON.parse('['.repeat(1e5))",
        "eval('('.repeat(5e4) + '1' + ')'.repeat(5e4))",
        "while (true) output('x'.repeat(1000))",
        "while (true) put('a', {})",
    ],
)
def test_space_ends(engine: ScriptEngine, script: str) -> None:
    """Memory, stack, output and writes have an end, and the next call of the same program is sound."""
    for _ in range(2):
        with pytest.raises(JavaScriptError):
            patch(engine, script)


def test_depth_of_calls_that_must_pass(engine: ScriptEngine) -> None:
    """256 calls within one another are no endless recursion."""
    script = "function depth(n) { return n ? 1 + depth(n - 1) : 0 } this.depth = depth(256)"
    assert patch(engine, script)["document"] == {"depth": 256}


@pytest.mark.parametrize("name", ["require", "process", "std", "os", "print", "fetch", "setTimeout", "Atomics",
                                  "SharedArrayBuffer", "performance", "host", "program", "call"])  # fmt: skip
def test_nothing_of_the_host_is_there(engine: ScriptEngine, name: str) -> None:
    """Scripts see the language and what SUPPORTED.md lists, nothing else."""
    assert patch(engine, f"this.there = typeof {name}")["document"] == {"there": "undefined"}


def test_reading_through_null(engine: ScriptEngine) -> None:
    """A property of what is not there is not there either; writing to it is an error, and places are still right."""
    script = "this.a = this.x.y.z; this.b = this.x['y'].length; this.c = this.list.filter(i => i.n.m > 1).length"
    assert patch(engine, script, {"list": [{}, {"n": {"m": 2}}]})["document"]["c"] == 1
    assert patch(engine, script, {"x": None})["document"] == {"x": None}
    for script, column in (
        ("this.a.b = 1", 1),
        ("let x = this.q.r.s, y = [0][0].a; nothing.here = x.y.z[0]; z.z", 35),
        ("this.a.b[this.c.d] .e.f; zz", 26),
    ):
        with pytest.raises(JavaScriptError) as failed:
            patch(engine, script)
        assert failed.value.column == column
    # Where the changed text would not compile, the script is taken as it is.
    assert patch(engine, "[this.a.b, this.c] = [1, 2]", {"a": {}})["document"] == {"a": {"b": 1}, "c": 2}


def test_given_functions_cannot_be_replaced(engine: ScriptEngine) -> None:
    """What the host gives is not writable, so one call leaves the next one's functions alone."""
    with pytest.raises(JavaScriptError, match="read-only"):
        patch(engine, "globalThis.load = () => ({})")
    with pytest.raises(JavaScriptError, match="function"):
        patch(engine, "this.c = load.constructor('return this')().put.call.call(null)")


def test_what_was_loaded(engine: ScriptEngine) -> None:
    """load finds what came with the call and what the script wrote itself; for the rest the call is to be repeated."""
    script = (
        "const a = load('a'); put('b', {v: a.v + 1}); this.b = load('B').v; del('b'); this.gone = load('b');"
        "this.id = id(a); this.own = id(this); this.none = load(null); this.both = load(['a', 'c']).map(x => x && x.v)"
    )
    assert patch(engine, script) == {"asked": ["a", "c"]}
    assert patch(engine, "load(load('a').next); load('b').must()") == {"asked": ["a", "b"]}
    asked = patch(engine, script, loaded={"a": {"v": 1}})
    assert asked == {"asked": ["c"]}
    answer = patch(engine, script, loaded={"a": {"v": 1}, "c": None})
    assert answer["document"] == {"b": 2, "gone": None, "id": "a", "own": "users/1", "none": None, "both": [1, None]}


def test_numbers_that_are_kept() -> None:
    """run_exact gives back each number as it came when the script leaves it alone, and great integers everywhere."""
    text = (
        '{"self":{"a":1.0,"b":1.50,"c":1e5,"d":9007199254740993,"e":-0,"l":[1.0,2.50,3.0],"o":[{"x":7.0},{"x":8.0}],'
        '"touched":1.0,"s":"1.0"},"id":null,"args":{},"beside":[]}'
    )
    program = Program("patch", ("this.touched++; this.o.shift(); this.copy = this.d; this.l.push(4)",))
    (answer,) = ScriptEngine().run(program, [Call("run_exact", text)])
    assert answer == (
        b'{"document":{"a":1.0,"b":1.50,"c":1e5,"d":9007199254740993,"e":-0,"l":[1.0,2.50,3.0,4],"o":[{"x":8.0}],'
        b'"touched":2,"s":"1.0","copy":9007199254740993}}'
    )


def test_long_texts_and_all_characters(engine: ScriptEngine) -> None:
    """Long sums of strings and characters beyond the first plane cross the door; a NUL in a script does not."""
    answer = patch(engine, "let s = ''; for (let i = 0; i < 2e4; i++) s += 'é😀'; this.s = s; this.z = '\\0\\ud800'")
    assert answer["document"] == {"s": "é😀" * 20_000, "z": "\0\ud800"}
    with pytest.raises(JavaScriptError, match="NUL"):
        patch(engine, "this.a = '\0'")
    with pytest.raises(JavaScriptError, match="Unicode"):
        patch(engine, "this.a = '\ud800'")


def test_contexts_are_bounded() -> None:
    """No more contexts are kept than allowed, and a dropped program is compiled again."""
    engine = ScriptEngine(contexts_max=3)
    for _ in range(2):
        for n in range(5):
            assert patch(engine, f"this.n = {n}")["document"] == {"n": n}
    assert len(engine._idle) == 3
