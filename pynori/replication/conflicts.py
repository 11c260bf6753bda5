"""What becomes of versions in conflict: the database's rules, as a pure function of the versions.

Every instance that sees the same versions must come to the same end, whatever order they came in; so versions are
sorted first, nothing depends on a clock, and the outcome bears the merged vector and the latest of the times (the
engine sees to that). Rules in order: the script of the collection, the authoritative node, the latest. Equal contents
and deletions on all sides are merged by the engine before anybody asks here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pynori_core import change_vector


class Version(Protocol):
    """One side of a conflict, as the database gives it."""

    @property
    def change_vector(self) -> str: ...
    @property
    def last_modified(self) -> str: ...
    @property
    def collection(self) -> str: ...
    @property
    def json(self) -> bytes | None: ...  # None: it was deleted


V = TypeVar("V", bound=Version)


@dataclass(frozen=True, slots=True)
class ConflictRules:
    """Of one database, from its record."""

    scripts: Mapping[str, str] = field(default_factory=dict)  # by lower-case collection
    to_latest: bool = False
    authoritative_node: str = ""  # its tag; "": none

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> ConflictRules:
        config = record.get("ConflictSolverConfig") or {}
        scripts = {
            collection.lower(): str(given["Script"])
            for collection, given in (config.get("ResolveByCollection") or {}).items()
            if given and given.get("Script")
        }
        return cls(scripts, bool(config.get("ResolveToLatest")), str(config.get("AuthoritativeNode") or ""))

    @property
    def is_empty(self) -> bool:
        return not self.scripts and not self.to_latest and not self.authoritative_node


def ordered(versions: Sequence[V]) -> list[V]:
    """The versions in one order everywhere: by the node that made each, then by vector."""
    parsed = {version.change_vector: change_vector.parse(version.change_vector) for version in versions}
    return sorted(versions, key=lambda version: (_maker(version.change_vector, parsed), version.change_vector))


def _maker(of: str, parsed: Mapping[str, Sequence[tuple[str, int, bytes]]]) -> str:
    """The tag of the node whose change sets a version apart: its entry is greater than in all the others."""
    highest: dict[tuple[str, bytes], int] = {}
    for vector, entries in parsed.items():
        if vector != of:
            for tag, etag, id in entries:
                highest[(tag, id)] = max(etag, highest.get((tag, id), 0))
    return min((tag for tag, etag, id in parsed[of] if etag > highest.get((tag, id), 0)), default="")


def script_of(rules: ConflictRules, versions: Sequence[Version]) -> tuple[str, str] | None:
    """(collection, script) that merges the versions, when all that are documents are in one collection that has one."""
    collections = {version.collection.lower() for version in versions if version.json is not None}
    if len(collections) != 1:
        return None
    (collection,) = collections
    script = rules.scripts.get(collection)
    return None if script is None else (collection, script)


def winner(rules: ConflictRules, versions: Sequence[V]) -> V | None:
    """The version that wins by the rules that need no script; None: the conflict stays."""
    if rules.authoritative_node:
        parsed = {version.change_vector: change_vector.parse(version.change_vector) for version in versions}
        for version in versions:
            if _maker(version.change_vector, parsed) == rules.authoritative_node:
                return version
    if rules.to_latest:
        return max(versions, key=lambda version: (version.last_modified, version.change_vector))
    return None
