"""Definitions: what clients send in, complete JSON out, languages told apart, changes told from sameness."""

from __future__ import annotations

from typing import Any

import pytest

from pynori.errors import CompilationError, InvalidArgument
from pynori.indexes.definition import IndexDefinition, is_script, source_of

MAP = "from u in docs.Users select new { u.Name }"


def made(**more: Any) -> IndexDefinition:
    return IndexDefinition.from_json({"Name": "X", "Maps": [MAP], **more})


def test_json_goes_in_and_comes_out_complete() -> None:
    """Every property is there, nulls have their defaults, and what comes out goes in again unchanged."""
    fields = {"Name": {"Indexing": "search", "Storage": "YES", "Spatial": {"Type": "Cartesian", "MinX": -5}}}
    found = made(Fields=fields, Configuration={"a": True, "b": 3}, Priority=None, LockMode="lockedignore")
    shown = found.to_json()
    assert shown["LockMode"] == "LockedIgnore" and shown["Priority"] == "Normal" and shown["State"] == "Normal"
    assert shown["Configuration"] == {"a": "true", "b": "3"}
    assert shown["Fields"]["Name"]["Indexing"] == "Search" and shown["Fields"]["Name"]["Storage"] == "Yes"
    assert shown["Fields"]["Name"]["Spatial"]["MinX"] == -5.0
    assert shown["Type"] == "Map" and shown["SourceType"] == "Documents"
    assert IndexDefinition.from_json(shown) == found


@pytest.mark.parametrize(
    ("text", "script", "source"),
    [
        (MAP, False, "Documents"),
        ("docs.Users.Select(u => new { u.Name })", False, "Documents"),
        ("// a word\n/* and more */ map('Users', u => u)", True, "Documents"),
        ("from ts in timeSeries.Companies from e in ts.Entries select new { e.Value }", False, "TimeSeries"),
        ("timeseries.Users.HeartRate.SelectMany(ts => ts.Entries, (ts, e) => new { e.Value })", False, "TimeSeries"),
        ("timeSeries.map('Users', ts => ts.Entries)", True, "TimeSeries"),
        ("from c in counters.Users select new { c.Value }", False, "Counters"),
        ("counters . map('Users', c => ({}))", True, "Counters"),
        ("from map in docs.Maps select new { map.Name }", False, "Documents"),
    ],
)
def test_language_and_source_follow_from_the_text(text: str, script: bool, source: str) -> None:
    """The first words of a map say what it is written in and what it reads."""
    assert (is_script(text), source_of(text)) == (script, source)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Name": ""}, InvalidArgument),
        ({"Name": "Auto/Users/ByName"}, InvalidArgument),
        ({"Name": "ReplacementOf/X"}, InvalidArgument),
        ({"Maps": []}, CompilationError),
        ({"Maps": [" "]}, CompilationError),
        ({"Maps": [MAP, "map('Users', u => u)"]}, CompilationError),
        ({"Maps": [MAP, "from c in counters.Users select new { c.Value }"]}, CompilationError),
        ({"LockMode": "Loose"}, InvalidArgument),
        ({"Fields": {"Name": {"Indexing": "Sometimes"}}}, CompilationError),
        ({"Fields": []}, InvalidArgument),
        ({"OutputReduceToCollection": "Y"}, CompilationError),
        ({"PatternForOutputReduceToCollectionReferences": "y/{a}"}, CompilationError),
        ({"ReduceOutputIndex": "1"}, InvalidArgument),
        ({"AdditionalSources": ["x"]}, InvalidArgument),
    ],
)
def test_what_is_no_definition_is_refused(given: dict[str, Any], error: type[Exception]) -> None:
    """Each wrong part is refused with the error that clients look for."""
    with pytest.raises(error):
        IndexDefinition.from_json({"Name": "X", "Maps": [MAP], **given})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"Maps": [MAP.replace(" select", "\r\n select")]}, False),
        ({"Maps": ["  " + MAP + "\r\n"]}, True),
        ({"Priority": "High"}, True),
        ({"LockMode": "LockedError"}, True),
        ({"State": "Disabled"}, True),
        ({"Fields": {"Name": {}}}, True),
        ({"Fields": {"Name": {"Storage": "Yes"}}}, False),
        ({"Configuration": {"Indexing.IndexMissingFieldsAsNull": "true"}}, False),
        ({"Reduce": "from r in results group r by r.Name into g select new { Name = g.Key }"}, False),
    ],
)
def test_same_content(change: dict[str, Any], same: bool) -> None:
    """What decides about entries is told apart from what changes in place."""
    assert made().same_content(made(**change)) is same


def test_options_of_all_fields() -> None:
    """`__all_fields` says what a field's own options do not; names match in any case."""
    found = made(Fields={"__all_fields": {"Storage": "Yes", "Indexing": "Search"}, "Name": {"Indexing": "Exact"}})
    assert found.options_of("name").is_exact and found.options_of("Name").is_stored
    assert found.options_of("Other").is_text
