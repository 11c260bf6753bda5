"""THE tables of what C# names mean: methods of values, static methods, constructors, constants."""

from __future__ import annotations

from typing import Final

from pynori.expr import tree
from pynori.expr.tree import Call, Cast, Coalesce, Compare, Expression, Index, Literal, Mark, Sequence

# Methods that are a function of the program with the value as its first argument: name -> (function, fewest, most).
PLAIN: Final[dict[str, tuple[str, int, int]]] = {
    "ToString": ("to_string", 0, 0),
    "Substring": ("substring", 1, 2),
    "IndexOf": ("index_of", 1, 1),
    "LastIndexOf": ("last_index_of", 1, 1),
    "Contains": ("contains", 1, 1),
    "StartsWith": ("starts_with", 1, 1),
    "EndsWith": ("ends_with", 1, 1),
    "ToLower": ("to_lower", 0, 0),
    "ToLowerInvariant": ("to_lower", 0, 0),
    "ToUpper": ("to_upper", 0, 0),
    "ToUpperInvariant": ("to_upper", 0, 0),
    "Trim": ("trim", 0, 0),
    "TrimStart": ("trim_start", 0, 0),
    "TrimEnd": ("trim_end", 0, 0),
    "Replace": ("replace", 2, 2),
    "Split": ("split", 1, 15),
    "CompareTo": ("compare", 1, 1),
    "AddTicks": ("add_ticks", 1, 1),
    "AddDays": ("add_days", 1, 1),
    "AddHours": ("add_hours", 1, 1),
    "AddMinutes": ("add_minutes", 1, 1),
    "AddSeconds": ("add_seconds", 1, 1),
    "AddMilliseconds": ("add_milliseconds", 1, 1),
    "AddMonths": ("add_months", 1, 1),
    "AddYears": ("add_years", 1, 1),
    "Distinct": ("distinct", 0, 0),
    "Reverse": ("reverse", 0, 0),
    "Take": ("take", 1, 1),
    "Skip": ("skip", 1, 1),
    "Concat": ("concat", 1, 1),
    "Union": ("union", 1, 1),
    "Intersect": ("intersect", 1, 1),
    "Except": ("except", 1, 1),
    "ElementAt": ("element_at", 1, 1),
    "ElementAtOrDefault": ("element_at", 1, 1),
}
# Methods that change the type in C# and nothing here.
SAME: Final = frozenset(
    ("ToList", "ToArray", "ToHashSet", "AsEnumerable", "Cast", "OfType", "ToUniversalTime", "AsDocument")
)

# Methods with a lambda, which some may leave out: name -> (function of sequences, lambda needed).
LAMBDAS: Final[dict[str, tuple[str, bool]]] = {
    "Select": ("select", True),
    "Where": ("where", True),
    "Any": ("any", False),
    "All": ("all", True),
    "Count": ("count", False),
    "LongCount": ("count", False),
    "Sum": ("sum", False),
    "Min": ("min", False),
    "Max": ("max", False),
    "Average": ("average", False),
    "First": ("first", False),
    "FirstOrDefault": ("first_or_null", False),
    "Single": ("first", False),
    "SingleOrDefault": ("first_or_null", False),
    "Last": ("last", False),
    "LastOrDefault": ("last_or_null", False),
    "OrderBy": ("order", True),
    "OrderByDescending": ("order_descending", True),
}
# Classes whose static methods take the sequence or the text as their first argument.
EXTENSION_CLASSES: Final = frozenset(("Enumerable", "DynamicEnumerable"))

CASTS: Final[dict[str, str]] = {
    "double": "double", "Double": "double", "float": "double", "Single": "double",
    "decimal": "decimal", "Decimal": "decimal",
    "int": "integer", "Int32": "integer", "long": "integer", "Int64": "integer", "short": "integer",
    "Int16": "integer", "byte": "integer", "Byte": "integer", "sbyte": "integer", "uint": "integer",
    "UInt32": "integer", "ulong": "integer", "UInt64": "integer", "ushort": "integer",
    "string": "string", "String": "string", "bool": "bool", "Boolean": "bool",
    "DateTime": "date", "DateTimeOffset": "date", "DateOnly": "date", "TimeSpan": "span",
}  # fmt: skip

# Static methods: "Class.Method" -> (function or "cast:type", fewest, most).
STATIC: Final[dict[str, tuple[str, int, int]]] = {
    "String.Format": ("format", 1, 64),
    "String.Join": ("join", 2, 64),
    "String.Concat": ("concat_text", 1, 64),
    "String.IsNullOrEmpty": ("is_null_or_empty", 1, 1),
    "String.IsNullOrWhiteSpace": ("is_null_or_white_space", 1, 1),
    "String.Compare": ("compare", 2, 2),
    "Math.Abs": ("abs", 1, 1),
    "Math.Round": ("round", 1, 2),
    "Math.Floor": ("floor", 1, 1),
    "Math.Ceiling": ("ceiling", 1, 1),
    "Math.Min": ("least", 2, 2),
    "Math.Max": ("greatest", 2, 2),
    "Math.Pow": ("power", 2, 2),
    "Math.Sqrt": ("square_root", 1, 1),
    "TimeSpan.FromDays": ("span_days", 1, 1),
    "TimeSpan.FromHours": ("span_hours", 1, 1),
    "TimeSpan.FromMinutes": ("span_minutes", 1, 1),
    "TimeSpan.FromSeconds": ("span_seconds", 1, 1),
    "TimeSpan.FromMilliseconds": ("span_milliseconds", 1, 1),
    "TimeSpan.FromTicks": ("span_ticks", 1, 1),
    "TimeSpan.Parse": ("cast:span", 1, 1),
    "DateTime.Parse": ("cast:date", 1, 1),
    "DateTimeOffset.Parse": ("cast:date", 1, 1),
    "Int32.Parse": ("cast:integer", 1, 1),
    "Int64.Parse": ("cast:integer", 1, 1),
    "Double.Parse": ("cast:double", 1, 1),
    "Decimal.Parse": ("cast:decimal", 1, 1),
    "Boolean.Parse": ("cast:bool", 1, 1),
    "Convert.ToInt32": ("cast:integer", 1, 1),
    "Convert.ToInt64": ("cast:integer", 1, 1),
    "Convert.ToDouble": ("cast:double", 1, 1),
    "Convert.ToDecimal": ("cast:decimal", 1, 1),
    "Convert.ToString": ("to_string", 1, 1),
    "Convert.ToBoolean": ("cast:bool", 1, 1),
    "Convert.ToDateTime": ("cast:date", 1, 1),
}
# Names of classes in C#'s own spelling.
CLASSES: Final[dict[str, str]] = {
    "string": "String", "String": "String", "Math": "Math", "TimeSpan": "TimeSpan", "DateTime": "DateTime",
    "DateTimeOffset": "DateTimeOffset", "int": "Int32", "Int32": "Int32", "long": "Int64", "Int64": "Int64",
    "double": "Double", "Double": "Double", "decimal": "Decimal", "Decimal": "Decimal", "bool": "Boolean",
    "Boolean": "Boolean", "Convert": "Convert", "Enumerable": "Enumerable", "DynamicEnumerable": "DynamicEnumerable",
}  # fmt: skip
CONSTANTS: Final[dict[str, Expression]] = {
    "String.Empty": Literal(""),
    "TimeSpan.Zero": Call("span_ticks", (Literal(0),)),
    "DateTime.MinValue": Call("date", (Literal(1), Literal(1), Literal(1))),
    "Int32.MaxValue": Literal((1 << 31) - 1),
    "Int32.MinValue": Literal(-(1 << 31)),
    "Int64.MaxValue": Literal((1 << 63) - 1),
}


def spread(arguments: tuple[Expression, ...]) -> tuple[Expression, ...]:
    """Arguments of a method with `params`: one array stands for its items."""
    if len(arguments) == 1 and isinstance(arguments[0], tree.Array):
        return arguments[0].items
    return arguments


def plain_call(name: str, target: Expression, arguments: tuple[Expression, ...], position: int) -> Expression | str:
    """A method without lambdas, or why it cannot be called so; "" when it is not known."""
    if name in SAME and not arguments:
        return target
    if name == "Equals" and len(arguments) == 1:
        return Compare("==", target, arguments[0], position=position)
    if name == "Value" and len(arguments) == 1:
        return Index(target, arguments[0], position)
    if name == "GetValueOrDefault" and len(arguments) <= 1:
        return Coalesce(target, arguments[0] if arguments else Literal(0), position)
    if name == "Boost" and len(arguments) == 1:
        return Mark("boost", target, arguments[0], position)
    if name == "DefaultIfEmpty" and len(arguments) <= 1:
        default = arguments[0] if arguments else Literal(None)
        return tree.Conditional(Sequence("any", target), target, tree.Array((default,)), position)
    found = PLAIN.get(name)
    if found is None:
        return ""
    function, least, most = found
    if name == "Split":
        arguments = spread(arguments)
    if not least <= len(arguments) <= most:
        return f"'{name}' is not part of the subset with {len(arguments)} arguments"
    return Call(function, (target, *arguments), position=position)


def static_call(name: str, arguments: tuple[Expression, ...], position: int) -> Expression | str:
    """As plain_call for "Class.Method"."""
    found = STATIC.get(name)
    if found is None:
        return ""
    function, least, most = found
    if not least <= len(arguments) <= most:
        return f"'{name}' is not part of the subset with {len(arguments)} arguments"
    if function.startswith("cast:"):
        return Cast(function[5:], arguments[0], position)
    return Call(function, arguments, position=position)
