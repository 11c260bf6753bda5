"""Automatic indexes: their names, what they cover, and how needs are merged."""

from __future__ import annotations

import json

import pytest

from pynori.indexes.auto import AutoField, AutoGroup, AutoIndexDefinition, to_build


def users(*fields: AutoField, group_by: tuple[AutoGroup, ...] = ()) -> AutoIndexDefinition:
    return AutoIndexDefinition.of("Users", fields, group_by)


COUNT = AutoField("Count", aggregation="Count")
BOTH = (AutoGroup("A"), AutoGroup("B"))


@pytest.mark.parametrize(
    ("definition", "name"),
    [
        (users(AutoField("Name")), "Auto/Users/ByName"),
        (users(AutoField("name"), AutoField("Age")), "Auto/Users/ByAgeAndname"),
        (users(AutoField("Name", plain=False, search=True)), "Auto/Users/BySearch(Name)"),
        (users(AutoField("Name", search=True)), "Auto/Users/ByNameAndSearch(Name)"),
        (users(AutoField("Name", plain=False, exact=True, search=True)), "Auto/Users/BySearch(Name)AndExact(Name)"),
        (users(AutoField("Name", plain=False, suggestions=True)), "Auto/Users/BySuggestions(Name)"),
        (users(AutoField("Name", plain=False, highlighting=True)), "Auto/Users/ByHighlighting(Name)"),
        (users(AutoField("spatial.point(Lat|Lng)", spatial=("Lat", "Lng"))), "Auto/Users/BySpatial.point(Lat|Lng)"),
        (users(), "Auto/Users/ById()"),
        (AutoIndexDefinition.of(None, [AutoField("a.b")]), "Auto/AllDocs/Bya.b"),
        (users(COUNT, group_by=(AutoGroup("City"),)), "Auto/Users/ByCountReducedByCity"),
        (users(COUNT, group_by=(AutoGroup("b"), AutoGroup("A"))), "Auto/Users/ByCountReducedByAAndb"),
        (users(COUNT, group_by=(AutoGroup("Tags", True),)), "Auto/Users/ByCountReducedByArray(Tags)"),
    ],
)
def test_names(definition: AutoIndexDefinition, name: str) -> None:
    """A name lists fields in order, with what is special about them."""
    assert definition.name == name


def test_long_names_are_cut_and_stay_apart() -> None:
    """Names beyond the limit end in a hash; two different ones stay different."""
    one, two = (users(*(AutoField(f"Field{i:03}{end}") for i in range(60))) for end in "ab")
    assert len(one.name) < 300 and one.name != two.name


@pytest.mark.parametrize(
    ("larger", "smaller", "covers"),
    [
        (users(AutoField("A"), AutoField("B")), users(AutoField("B")), True),
        (users(AutoField("A")), users(AutoField("A"), AutoField("B")), False),
        (users(AutoField("A", search=True)), users(AutoField("A")), True),
        (users(AutoField("A", plain=False, search=True)), users(AutoField("A")), False),
        (users(AutoField("A")), users(AutoField("A", exact=True)), False),
        (users(AutoField("A")), AutoIndexDefinition.of("users", [AutoField("A")]), True),
        (users(AutoField("A")), AutoIndexDefinition.of("Dogs", [AutoField("A")]), False),
        (users(COUNT, group_by=BOTH), users(COUNT, group_by=BOTH[::-1]), True),
        (users(COUNT, group_by=(AutoGroup("A"),)), users(COUNT), False),
    ],
)  # fmt: skip
def test_covering(larger: AutoIndexDefinition, smaller: AutoIndexDefinition, covers: bool) -> None:
    """One covers another of its kind when it has each field, in each way that the other one has."""
    assert larger.covers(smaller) is covers


def test_what_is_built_serves_all_needs_of_its_kind() -> None:
    """A new need is merged with all automatic indexes of the collection, and with no other."""
    dogs = AutoIndexDefinition.of("Dogs", [AutoField("C")])
    existing = [users(AutoField("A")), users(AutoField("B", exact=True)), dogs]
    built = to_build(users(AutoField("B"), AutoField("D")), existing)
    assert set(built.fields) == {"A", "B", "D"} and built.fields["B"].exact and built.fields["B"].plain
    assert all(built.covers(each) for each in existing[:2])


def test_json_keeps_everything() -> None:
    """What stands in the record makes the same definition again."""
    fields = [AutoField("A", exact=True, search=True), AutoField("p(x)", plain=False, spatial=("x",)), COUNT]
    definition = users(*fields, group_by=(AutoGroup("t[]"), AutoGroup("u", True)))
    assert AutoIndexDefinition.from_json(json.loads(json.dumps(definition.to_json()))) == definition
