"""Analyzers and sorters of one's own: registered for a database or for all, listed, removed.

An analyzer is composed of shipped parts (pynori/text/COMPOSED.md). A sorter is a JavaScript function that compares two
values of a field, such as `(a, b) => a.length - b.length`. Code in C# is read only where it composes an analyzer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pynori.errors import (
    AnalyzerCompilationError,
    AnalyzerDoesNotExist,
    CompilationError,
    DatabaseDoesNotExist,
    InvalidArgument,
    JavaScriptError,
    SorterCompilationError,
    SorterDoesNotExist,
)
from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.queries.scripts import sorter_program
from pynori.text.compose import analyzer_from, short_of

Definition = dict[str, str]
_CLASS = re.compile(r"\bclass\s+(\w+)")
_USING = re.compile(r"^\s*using\s+[\w.]+\s*;|\bnamespace\s+[\w.]+\s*[{;]|\bclass\s+\w+\s*:", re.MULTILINE)


async def put_analyzers(request: Request) -> Response:
    """Register analyzers of a database, or of all."""
    return await put(request, "Analyzers", check_analyzer)


async def put_sorters(request: Request) -> Response:
    """Register sorters of a database, or of all."""
    return await put(request, "Sorters", check_sorter)


async def delete_analyzer(request: Request) -> Response:
    """Remove an analyzer; indexes that were built with it stay until they are built anew."""
    name = request.required("name")
    if not await remove(request, "Analyzers", name):
        raise AnalyzerDoesNotExist(f"There is no analyzer with '{name}' name")
    return Response(204)


async def delete_sorter(request: Request) -> Response:
    """Remove a sorter."""
    name = request.required("name")
    if not await remove(request, "Sorters", name):
        raise SorterDoesNotExist(f"There is no sorter with '{name}' name")
    return Response(204)


def get_analyzers(request: Request) -> Response:
    """The analyzers that a database can use, or those of all databases."""
    return listed(request, "Analyzers")


def get_sorters(request: Request) -> Response:
    """The sorters that a database can use, or those of all databases."""
    return listed(request, "Sorters")


def listed(request: Request, kind: str) -> Response:
    found = request.server.state.registered(kind, request.database_name or None)
    return json_response({kind: [{"Name": name, "Code": code} for name, code in sorted(found.items())]})


async def put(request: Request, kind: str, check: Callable[[Request, Definition], None]) -> Response:
    given = request.json_object().get(kind)
    if not isinstance(given, list) or not given:
        raise InvalidArgument(f"the body must hold '{kind}', a list of definitions")
    definitions = [definition_of(each) for each in given]
    for each in definitions:
        check(request, each)
    await request.server.state.register(kind, existing_database(request), definitions)
    await follow(request)
    return Response(201)


async def remove(request: Request, kind: str, name: str) -> bool:
    _, found = await request.server.state.unregister(kind, existing_database(request), name)
    if found:
        await follow(request)
    return found


def existing_database(request: Request) -> str | None:
    """The database that the path names; None when it is about all."""
    if request.database_name and request.server.state.record(request.database_name) is None:
        raise DatabaseDoesNotExist(request.database_name)
    return request.database_name or None


async def follow(request: Request) -> None:
    """Build indexes anew whose analyzers have changed."""
    databases = request.server.databases
    for each in [databases.find(request.database_name)] if request.database_name else databases.open_databases():
        await each.indexes.reconcile()


def definition_of(given: Any) -> Definition:
    name = given.get("Name") if isinstance(given, dict) else None
    code = given.get("Code") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name.strip() or not isinstance(code, str) or not code.strip():
        raise InvalidArgument("a definition has a 'Name' and a 'Code', both texts that are not empty")
    return {"Name": name, "Code": code}


def check_analyzer(request: Request, given: Definition) -> None:
    try:
        analyzer_from(given["Name"], given["Code"])
    except CompilationError as error:
        raise AnalyzerCompilationError(f"{error}; what a definition may be: pynori/text/COMPOSED.md") from None


def check_sorter(request: Request, given: Definition) -> None:
    name, code = given["Name"], given["Code"]
    if _USING.search(code):
        declared = {found.group(1) for found in _CLASS.finditer(code)}
        if short_of(name) not in declared:
            raise SorterCompilationError(f"Could not find type '{name}' in given assembly.")
        raise SorterCompilationError(
            f"the sorter '{name}' is written in C#, which this server does not run; a sorter is a JavaScript function "
            "that compares two values of a field, such as (a, b) => a.length - b.length"
        )
    try:
        request.server.scripts.engine.define(sorter_program(code))
    except JavaScriptError as error:
        raise SorterCompilationError(f"the sorter '{name}' cannot be used: {error}") from None
