"""Types of pages of entries that fulfil several conditions."""

from collections.abc import Sequence

from pynori_core.index_store import IndexSnapshot, Scalar
from pynori_core.matches import Ordered

CONDITIONS_MAX: int

# (field, value): it has the value. (field, low, high, low included, high included): a value between two of one kind.
Condition = tuple[int, Scalar] | tuple[int, Scalar, Scalar, bool, bool]

def page_of(
    snapshot: IndexSnapshot, conditions: Sequence[Condition], keys: Sequence[tuple[int, bool]], skip: int, limit: int
) -> tuple[int, Ordered]:
    """How many entries fulfil all conditions, and those of one page in the order of (field, descending) keys.

    As `equal`, `range` and `sort` of the snapshot one after the other give them, the rarest condition first. Without
    keys entries come in the order of their ids.
    """
