"""Types of native covering of shapes by cells."""

from collections.abc import Iterable

Square = tuple[float, float, float, float]
# A circle: x, y, radius (kilometres on the sphere), whether it lies on the sphere. Else a box.
Part = tuple[float, float, float, bool] | Square

def cover(
    parts: list[Part], shape: Square, bounds: Square, endless: bool, forever: float, cells_max: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """Names of cells inside, and of those on the border, of a shape made of up to 64 parts with these bounds.

    bounds: of the outermost cell; endless: cells at its sides reach as far as `forever`. ValueError for more parts.
    """

def ranges(names: Iterable[str]) -> list[tuple[str, str]]:
    """Cells next to each other in the order of names, joined."""
