"""JavaScript within queries: object literals, declared functions, regular expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pynori.errors import InvalidQuery
from pynori.queries.project import ScriptRunner
from pynori.rql.ast import Query

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot


class Scripts:
    """The scripts of one query."""

    def __init__(self, query: Query, parameters: Mapping[str, Any], documents: DocumentSnapshot) -> None:
        self._query = query
        self._parameters = parameters
        self._documents = documents

    def runner(self, text: str) -> ScriptRunner:
        raise InvalidQuery("scripts are not available")

    def find(self, pattern: str, texts: Sequence[str]) -> Sequence[bool]:
        raise InvalidQuery("scripts are not available")
