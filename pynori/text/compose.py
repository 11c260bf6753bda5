"""Analyzers from definitions: JSON, or a C# class that does nothing but put shipped parts together.

COMPOSED.md is the description. A definition is read once, when it is registered; what it names must be there. No code
of anybody's runs: of a C# class only `class Name : Base` and the expressions with `new` are read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from pynori.errors import CompilationError, InvalidArgument
from pynori.limits import ANALYZER_DEFINITION_SIZE_MAX, ANALYZER_FILTERS_MAX, STOP_WORDS_MAX
from pynori.text import filters, tokenizers
from pynori.text.analyzers import Analyzer, shipped, short_name
from pynori.text.filters import Filter
from pynori.text.stopwords import ENGLISH, STOP_WORDS
from pynori.text.tokenizers import TOKENIZERS, Tokenizer

ANALYZERS_KEPT: Final = 256  # that are not read anew when they are asked for again


@functools.lru_cache(maxsize=ANALYZERS_KEPT)
def analyzer_from(name: str, code: str) -> Analyzer:
    """The analyzer that a registered definition describes. Raises CompilationError."""
    if len(code) > ANALYZER_DEFINITION_SIZE_MAX:
        raise CompilationError(f"the analyzer '{name}' is longer than ANALYZER_DEFINITION_SIZE_MAX", "Code", name)
    try:
        analyzer = _from_json(name, code) if code.lstrip().startswith("{") else _from_class(name, code)
    except InvalidArgument as error:
        raise CompilationError(f"the analyzer '{name}' cannot be used: {error}", "Code", name) from None
    if len(analyzer.filters) > ANALYZER_FILTERS_MAX:
        raise CompilationError(f"the analyzer '{name}' has more than ANALYZER_FILTERS_MAX filters", "Code", name)
    return analyzer


# ---------------------------------------------------------------- JSON


def _from_json(name: str, code: str) -> Analyzer:
    try:
        definition = msgspec.json.decode(code)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument(f"it is not valid JSON: {error}") from None
    wanted = _lower_keys(definition)
    tokenizer = _tokenizer(_text(wanted, "tokenizer", "standard"))
    steps = wanted.get("filters") or []
    if not isinstance(steps, list):
        raise InvalidArgument("'Filters' must be a list")
    return Analyzer(name, tokenizer, tuple(map(_filter_from_json, steps)))


def _filter_from_json(step: Any) -> Filter:
    arguments = {"type": step} if isinstance(step, str) else _lower_keys(step)
    kind = _text(arguments, "type", "")
    make = _FILTERS.get(short_name(kind).removesuffix("filter"))
    if make is None:
        raise InvalidArgument(f"there is no filter '{kind[:40]}'")
    return make(arguments)


def _lower_keys(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"an object was expected, not {str(value)[:40]!r}")
    return {str(key).lower(): each for key, each in value.items()}


def _tokenizer(name: str) -> Tokenizer:
    found = TOKENIZERS.get(name.rsplit(".", 1)[-1].lower().removesuffix("tokenizer"))
    if found is None:
        raise InvalidArgument(f"there is no tokenizer '{name[:40]}'")
    return found


def _text(arguments: Mapping[str, Any], key: str, default: str) -> str:
    value = arguments.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InvalidArgument(f"'{key}' must be a text")
    return value


def _number(arguments: Mapping[str, Any], key: str, default: int) -> int:
    value = arguments.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"'{key}' must be a number that is not negative")
    return value


def _stop(arguments: Mapping[str, Any]) -> Filter:
    words = arguments.get("words", "english")
    if isinstance(words, str) and words.lower() in STOP_WORDS:
        return filters.stop(STOP_WORDS[words.lower()])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or len(words) > STOP_WORDS_MAX:
        raise InvalidArgument("'Words' must be a list of words, or one of " + ", ".join(sorted(STOP_WORDS)))
    return filters.stop(frozenset(words))


def _grams(arguments: Mapping[str, Any], *, edge: bool) -> Filter:
    return filters.grams(_number(arguments, "min", 2), _number(arguments, "max", 6), edge=edge)


_FILTERS: Final[dict[str, Callable[[Mapping[str, Any]], Filter]]] = {
    "lowercase": lambda arguments: filters.LOWER,
    "asciifolding": lambda arguments: filters.FOLD,
    "trim": lambda arguments: filters.TRIM,
    "possessive": lambda arguments: filters.possessive(),
    "stop": _stop,
    "stem": lambda arguments: filters.stem(_text(arguments, "language", "english")),
    "length": lambda arguments: filters.length(_number(arguments, "min", 0), _number(arguments, "max", 255)),
    "ngram": lambda arguments: _grams(arguments, edge=False),
    "edgengram": lambda arguments: _grams(arguments, edge=True),
}


# ---------------------------------------------------------------- a class in C#

_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_CLASS: Final = re.compile(r"\bclass\s+(\w+)\s*:\s*([\w.]+)")
_METHOD: Final = re.compile(r"\bTokenStream\s+(?:Reusable)?TokenStream\s*\([^)]*\)\s*(\{|=>)")
_STEP: Final = re.compile(r"\bbase\.(?:Reusable)?TokenStream\b|\bnew\s+([\w.]+)\s*\(")
_LITERAL: Final = re.compile(r'"([^"]*)"|(?<![\w.])(\d+)(?![\w.])')
_SIZES: Final = ("min", "max")


def _from_class(name: str, code: str) -> Analyzer:
    code = _COMMENT.sub(" ", code)
    declared = next((match for match in _CLASS.finditer(code) if match.group(1) == short_of(name)), None)
    if declared is None:
        raise InvalidArgument(f"it is neither JSON nor a C# class with the name '{short_of(name)}'")
    method = _METHOD.search(code, declared.end())
    base = shipped(short_name(declared.group(2)))
    if method is None:
        if base is None:
            raise InvalidArgument(f"the base class '{declared.group(2)}' is not known")
        return Analyzer(name, base.tokenizer, base.filters, base.native)
    tokenizer: Tokenizer | None = None
    steps: tuple[Filter, ...] = ()
    made: list[Filter] = []
    for part in _parts(code[method.end() :]):
        if isinstance(part, Filter):
            made.append(part)
            continue
        if part is not None:
            tokenizer = part
        elif base is None:
            raise InvalidArgument(f"the base class '{declared.group(2)}' is not known")
        else:
            tokenizer, steps = base.tokenizer, base.filters
    if tokenizer is None:
        raise InvalidArgument("its TokenStream method neither calls base.TokenStream nor makes a tokenizer")
    return Analyzer(name, tokenizer, (*steps, *made))


def short_of(name: str) -> str:
    """The class's name without namespace and assembly."""
    return name.split(",", 1)[0].strip().rsplit(".", 1)[-1]


def _parts(body: str) -> list[Filter | Tokenizer | None]:
    """What one method makes, innermost first, statements in their order; None stands for what the base class makes."""
    parts: list[Filter | Tokenizer | None] = []
    for statement in _until_method_ends(body).split(";"):
        nested: list[Filter | Tokenizer | None] = []
        for match in _STEP.finditer(statement):
            if match.group(1) is None:
                nested.append(None)
            else:
                nested += _part(match.group(1), _own_arguments(statement[match.end() :]))
        parts += reversed(nested)
    return parts


def _until_method_ends(body: str) -> str:
    depth = 1
    for index, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return body[:index]
    return body


def _own_arguments(text: str) -> str:
    """What stands between a call's parentheses, without what is in parentheses itself."""
    depth, kept = 1, []
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth == 0:
            break
        if depth == 1:
            kept.append(character)
    return "".join(kept)


def _part(class_name: str, arguments: str) -> list[Filter | Tokenizer | None]:
    """The steps of one `new Class(arguments)`, last first. Arguments that are neither text nor number do not matter."""
    short = class_name.rsplit(".", 1)[-1].lower()
    texts = [match.group(1) for match in _LITERAL.finditer(arguments) if match.group(1) is not None]
    numbers = [int(match.group(2)) for match in _LITERAL.finditer(arguments) if match.group(2) is not None]
    if short.endswith("tokenizer"):
        return [_tokenizer(short)] if short != "lowercasetokenizer" else [filters.LOWER, tokenizers.letters]
    if short == "porterstemfilter":
        return [filters.stem("porter")]
    if short == "snowballfilter":
        return [filters.stem(texts[0] if texts else "english")]
    if short == "standardfilter":
        return [filters.possessive()]
    if short == "stopfilter":
        return [filters.stop(frozenset(texts) if texts else ENGLISH)]
    if short in ("lowercasefilter", "asciifoldingfilter", "trimfilter"):
        return [_FILTERS[short.removesuffix("filter")]({})]
    if short in ("lengthfilter", "ngramtokenfilter", "edgengramtokenfilter"):
        kind = short.removesuffix("filter").removesuffix("token")
        return [_FILTERS[kind](dict(zip(_SIZES, numbers, strict=False)))]
    raise InvalidArgument(f"'{class_name}' is not a tokenizer or filter that is known here")
