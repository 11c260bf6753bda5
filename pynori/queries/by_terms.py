"""Results that are made of an index's terms instead of documents: facets and suggestions.

A row stands for one facet or one suggestion. Its fields are the terms of the facet under the name of the facet's field,
so that `include` finds the documents that terms name; what is given out is the finished answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.queries.access import Found
from pynori.queries.facets import EMPTY_TERM, NULL_TERM, Facets, facets_of, has_facets
from pynori.queries.rows import Row
from pynori.queries.suggestions import answer, has_suggestions, suggests_of
from pynori.queries.text import encode
from pynori.queries.values import Values
from pynori.rql.ast import Path, Query

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexSnapshot

    from pynori.queries.match import Matcher, Names


class Finished:
    """A projector that gives out answers which are finished; a row's entry is its answer's number."""

    def __init__(self, answers: Sequence[Mapping[str, Any]]) -> None:
        self._answers = answers

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        return [encode(self._answers[row.entry]) for row in rows]


def is_by_terms(query: Query) -> bool:
    """Whether the query's results are made of terms."""
    return has_facets(query) or has_suggestions(query)


def through_terms(
    query: Query, values: Values, index: IndexSnapshot, documents: DocumentSnapshot, matcher: Matcher, names: Names
) -> tuple[Found, Finished]:
    """The rows of a query for facets or suggestions, and what makes results of them. Pages do not apply."""
    if has_suggestions(query):
        answers = [answer(each, index, names.find) for each in suggests_of(query, values)]
        fields: list[dict[str, Any]] = [{} for _ in answers]
    else:
        wanted = facets_of(query, values, lambda id: loaded(documents, id))
        matches = matcher.where(query.where)
        facets = Facets(index, names.find, lambda condition, within: matcher.match(condition, within, False))
        answers = [facets.answer(each, matches) for each in wanted]
        fields = [_named_terms(each.path, found) for each, found in zip(wanted, answers, strict=True)]
    rows = [Row(documents, "", json=encode(each), entry=number) for number, each in enumerate(fields)]
    return Found(len(rows), iter(rows)), Finished(answers)


def loaded(documents: DocumentSnapshot, id: str) -> dict[str, Any] | None:
    """A document as values."""
    found = documents.get(id)
    document: dict[str, Any] | None = None if found is None else msgspec.json.decode(found.json)
    return document


def _named_terms(path: Path | None, answered: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of a facet as a document would hold them at the facet's path."""
    if path is None:
        return {}
    terms = [value["Range"] for value in answered["Values"] if value["Range"] not in (NULL_TERM, EMPTY_TERM)]
    fields: Any = terms
    for part in reversed(path.parts):
        fields = {part.removesuffix("[]"): fields}
    document: dict[str, Any] = fields
    return document
