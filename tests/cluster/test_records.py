"""Names of databases, and records made complete."""

import pytest

from pynori import limits
from pynori.cluster.records import DEFAULTS, NULLABLE, check_name, complete
from pynori.errors import InvalidName


@pytest.mark.parametrize(
    "name", ["a", "Shop-2_b.x", "Ünïcode", "test-0123456789ab", "x" * limits.DATABASE_NAME_SIZE_MAX]
)
def test_allowed_names(name: str) -> None:
    """Letters of any script, digits and the three signs are allowed."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", None, 7, ".", "..", ".hidden", "end.", "a/b", "a\\b", "a b", "a:b", "a\0b", "a\nb", "con", "Com1.x"),
        *("NUL", "x" * (limits.DATABASE_NAME_SIZE_MAX + 1), "ü" * 127),
    ],
)
def test_refused_names(name: object) -> None:
    """A name that could leave its folder, hide in it, or name a device is refused with its reason."""
    with pytest.raises(InvalidName):
        check_name(name)


def test_complete_fills_and_keeps() -> None:
    """Nulls take defaults, what was given stays, unknown fields stay, and defaults are not shared between records."""
    record = complete({"DatabaseName": "a", "Indexes": {"i": {"Name": "i"}}, "Sorters": None, "Own": [1]})
    assert set(record) == {"DatabaseName", "Own", *DEFAULTS, *NULLABLE}
    assert (record["Indexes"], record["Sorters"], record["Own"]) == ({"i": {"Name": "i"}}, {}, [1])
    record["Sorters"]["x"] = 1
    assert complete({"DatabaseName": "b"})["Sorters"] == {}
    assert complete(record) == record
