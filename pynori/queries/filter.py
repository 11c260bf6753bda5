"""The `filter` clause: a condition evaluated over each matching document, without an index.

It says of a document what `where` says of its index entry (pynori/rql/lower.py), and runs as a native program over the
document as it is stored. Documents that the condition looks at through `load` come from the query's own snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pynori_core.blittable import Document

from pynori.expr.compile import compile
from pynori.queries.paths import METADATA
from pynori.queries.rows import Row
from pynori.queries.values import Scalar, Values, check_scalar
from pynori.rql.ast import Between, Call, Comparison, Expression, In, Parameter, Path, Query, walk
from pynori.rql.lower import Lowering

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot

Condition = Callable[[Row], bool]


def condition_of(query: Query, values: Values, snapshot: DocumentSnapshot) -> Condition:
    """What the `filter` of a query says of a row that is there. Raises InvalidQuery for what a filter cannot say."""
    node = query.filter
    assert node is not None
    used = list(walk(node))
    for each in used:
        _check_values(each, values)

    def constant(call: Call) -> Scalar:
        return check_scalar(values.of(call))

    program = compile(Lowering(query.source.alias, query.loads, constant).condition(node))
    given = {each.name: values.of(each) for each in used if isinstance(each, Parameter)}
    # An array of one stands for what is in it, wherever one value is compared.
    plain = {name: each[0] if isinstance(each, list) and len(each) == 1 else each for name, each in given.items()}
    parameters = Document.from_python(plain)
    needs_metadata = any(isinstance(each, Path) and METADATA in each.text for each in used)

    def holds(row: Row) -> bool:
        stored = None if row.is_group or needs_metadata else row.stored
        source = Document.from_json(row.json or b"{}") if stored is None else stored.body
        return program.test(source, id=row.id, parameters=parameters, snapshot=snapshot)

    return holds


def _check_values(node: Expression, values: Values) -> None:
    """Refuse arrays and objects where one value is compared."""
    if isinstance(node, Comparison) and isinstance(node.right, Parameter):
        values.scalar(node.right)
    elif isinstance(node, Between):
        values.scalar(node.low)
        values.scalar(node.high)
    elif isinstance(node, In):
        values.scalars(node.options)
