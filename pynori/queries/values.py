"""Values of a query: literals, parameters and the few functions that give one, resolved before anything is read.

A parameter that is an array stands for its elements where several values are allowed. Values are None, bool, int,
float, str; lists and objects only where a function takes them as options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pynori.errors import InvalidQuery
from pynori.rql.ast import Call, Expression, Literal, Parameter, Path

Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Values:
    """What the values of one query are resolved with.

    now: the moment of the query. compare_exchange: what the cluster keeps under a key as clients read it, an object
    with "Key", "Index" and "Value"; None when there is none.
    """

    parameters: Mapping[str, Any]
    now: datetime
    compare_exchange: Callable[[str], dict[str, Any] | None] = lambda key: None

    def of(self, expression: Expression) -> Any:
        """The value of a literal, a parameter or a call that gives one. Raises InvalidQuery for anything else."""
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Parameter):
            if expression.name not in self.parameters:
                raise InvalidQuery(f"the query uses the parameter ${expression.name}, which was not given")
            return self.parameters[expression.name]
        if isinstance(expression, Call):
            return self._of_call(expression)
        if isinstance(expression, Path) and expression.quoted:
            return expression.text
        raise InvalidQuery(f"a value was expected at position {getattr(expression, 'position', 0)}")

    def scalar(self, expression: Expression) -> Scalar:
        """One value that a field can be compared with."""
        value = self.of(expression)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return check_scalar(value)

    def scalars(self, expressions: Sequence[Expression]) -> list[Scalar]:
        """Several values; arrays among them give their elements, nested ones too."""
        found: list[Scalar] = []
        waiting = [self.of(each) for each in reversed(expressions)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting.extend(reversed(value))
            else:
                found.append(check_scalar(value))
        return found

    def text(self, expression: Expression, what: str) -> str:
        value = self.of(expression)
        if not isinstance(value, str):
            raise InvalidQuery(f"{what} must be a string, but was {value!r}")
        return value

    def number(self, expression: Expression, what: str) -> float:
        value = self.of(expression)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidQuery(f"{what} must be a number, but was {value!r}")
        return value

    def count(self, expression: Expression, what: str) -> int | None:
        """A number that is not negative, as of `limit`; None for null."""
        value = self.of(expression)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidQuery(f"{what} must be a number that is not negative, but was {value!r}")
        return value

    def _of_call(self, call: Call) -> Any:
        if call.name == "now":
            return _wire_text(self.now)
        if call.name == "today":
            day = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
            return _wire_text(day + timedelta(0))
        if call.name == "cmpxchg" and len(call.arguments) == 1:
            return self._compare_exchange_object(self.text(call.arguments[0], "the key of cmpxchg()"))
        raise InvalidQuery(f"{call.name}() is not a value that a field can be compared with")

    def _compare_exchange_object(self, key: str) -> Any:
        stored = self.compare_exchange(key)
        return None if stored is None else stored["Value"].get("Object")


def check_scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InvalidQuery(f"a field cannot be compared with {'an array' if isinstance(value, list) else 'an object'}")


def _wire_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
