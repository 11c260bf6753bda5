"""Analyzers and sorters of one's own: registered for a database or for all, used by indexes and queries, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Run = Callable[..., None]
DB = "/databases/db"
WAIT = "waitForIndexesTimeout=00:00:15&waitForIndexThrow=true"
WITHOUT_COMMA = '{"Tokenizer": "keyword", "Filters": ["lowercase", {"Type": "stem", "Language": "german"}]}'
SHARP = """
using Lucene.Net.Analysis;
namespace Our
{
    public class Folding : StandardAnalyzer
    {
        public override TokenStream TokenStream(string field, System.IO.TextReader reader)
        {
            return new ASCIIFoldingFilter(base.TokenStream(field, reader));
        }
    }
}
"""
INDEX = {
    "Name": "Users/ByName", "Maps": ["from u in docs.Users select new { u.Name }"],
    "Fields": {"Name": {"Analyzer": "Folding", "Indexing": "Search"}},
}  # fmt: skip


async def save(api: Any, wait: bool = True, **names: str) -> None:
    commands = [
        {"Type": "PUT", "Id": id, "Document": {"Name": name, "@metadata": {"@collection": "Users"}}}
        for id, name in names.items()
    ]
    await api.json("POST", f"{DB}/bulk_docs?{WAIT if wait else ''}", {"Commands": commands}, 201)


async def names(api: Any, text: str, **parameters: object) -> list[str]:
    body = {"Query": text, "QueryParameters": parameters, "WaitForNonStaleResults": True}
    return [each["Name"] for each in (await api.json("POST", f"{DB}/queries", body))["Results"]]


async def refused(api: Any, method: str, path: str, body: object = None) -> tuple[str, str]:
    answer = await api.json(method, path, body, 500)
    return answer["Type"].rpartition(".")[2], answer["Message"]


def test_an_analyzer_composed_by_a_class(open_api: Callable[..., Any], run: Run) -> None:
    """An index cuts its texts by a registered analyzer; a changed definition builds the index anew."""

    async def steps() -> None:
        async with open_api() as api:
            kind, message = await refused(api, "PUT", f"{DB}/admin/indexes", {"Indexes": [INDEX]})
            assert kind == "IndexCompilationException" and "Cannot find analyzer type 'Folding'" in message
            body = {"Analyzers": [{"Name": "Folding", "Code": SHARP}]}
            assert (await api.call("PUT", f"{DB}/admin/analyzers", body)).status == 201
            assert (await api.json("GET", f"{DB}/analyzers"))["Analyzers"] == body["Analyzers"]
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [INDEX]}, 201)
            await save(api, a="Café Müller", b="Bar")
            query = "from index 'Users/ByName' where search(Name, $word)"
            assert await names(api, query, word="cafe") == ["Café Müller"]
            assert not (await api.json("POST", f"{DB}/indexes/has-changed", INDEX))["Changed"]
            body["Analyzers"][0]["Code"] = WITHOUT_COMMA
            assert (await api.call("PUT", f"{DB}/admin/analyzers", body)).status == 201
            for _ in range(200):
                if await names(api, query, word="cafe") == []:
                    break
                await asyncio.sleep(0.02)
            assert await names(api, query, word="cafe") == []

    run(steps())


def test_an_analyzer_that_goes(open_api: Callable[..., Any], run: Run) -> None:
    """An index built with an analyzer stays when it is removed; built anew, it says what is missing."""

    async def steps() -> None:
        async with open_api() as api:
            body = {"Analyzers": [{"Name": "Folding", "Code": SHARP}]}
            assert (await api.call("PUT", "/admin/analyzers", body)).status == 201
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [INDEX]}, 201)
            await save(api, a="Café")
            assert (await api.call("DELETE", "/admin/analyzers?name=folding")).status == 204
            query = "from index 'Users/ByName' where search(Name, $word)"
            assert await names(api, query, word="cafe") == ["Café"]
            await api.json("RESET", f"{DB}/indexes?name=Users/ByName")
            (shown,) = (await api.json("GET", f"{DB}/indexes/errors"))["Results"]
            assert "Cannot find analyzer type 'Folding'" in shown["Errors"][0]["Error"]
            kind, _ = await refused(api, "DELETE", "/admin/analyzers?name=folding")
            assert kind == "AnalyzerDoesNotExistException"

    run(steps())


def test_what_is_no_analyzer(open_api: Callable[..., Any], run: Run) -> None:
    """Code that does more than put shipped parts together is refused with the part that is not known."""

    async def steps() -> None:
        async with open_api() as api:
            odd = {"Analyzers": [{"Name": "Odd", "Code": SHARP.replace("Folding :", "Odd :").replace("ASCIIF", "F")}]}
            kind, message = await refused(api, "PUT", f"{DB}/admin/analyzers", odd)
            assert kind == "AnalyzerCompilationException"
            assert "FoldingFilter" in message and "COMPOSED.md" in message
            assert (await api.call("PUT", f"{DB}/admin/analyzers", {"Analyzers": [{"Name": "x"}]})).status == 400

    run(steps())


def test_sorters(open_api: Callable[..., Any], run: Run) -> None:
    """`custom()` orders by a JavaScript function; a changed one orders anew; one that is not there is named."""

    async def steps() -> None:
        async with open_api() as api:
            await save(api, a="ccc", b="a", c="bb")
            query = "from Users order by custom(Name, 'ByLength')"
            body = {"Query": query, "WaitForNonStaleResults": True}
            kind, message = await refused(api, "POST", f"{DB}/queries", body)
            assert (kind, message) == ("SorterDoesNotExistException", "There is no sorter with 'ByLength' name")
            for place, code, expected in (
                ("", "(a, b) => a.length - b.length", ["a", "bb", "ccc"]),
                (DB, "function (a, b) { return b.length - a.length }", ["ccc", "bb", "a"]),
            ):
                sorters = {"Sorters": [{"Name": "ByLength", "Code": code}]}
                assert (await api.call("PUT", f"{place}/admin/sorters", sorters)).status == 201
                assert await names(api, query) == expected
                assert await names(api, f"{query} desc") == expected[::-1]
            assert (await api.call("DELETE", f"{DB}/admin/sorters?name=ByLength")).status == 204
            assert await names(api, query) == ["a", "bb", "ccc"], "the one of all databases holds again"

    run(steps())


def test_sorters_in_another_language(open_api: Callable[..., Any], run: Run) -> None:
    """C# is refused: a class of another name as such, any other with what a sorter may be; so is broken JavaScript."""

    async def steps() -> None:
        async with open_api() as api:
            for name, code, said in (
                ("Other", "namespace X { public class MySorter : FieldComparator { } }", "Could not find type 'Other'"),
                ("MySorter", "namespace X { public class MySorter : FieldComparator { } }", "JavaScript function"),
                ("Broken", "(a, b) =>", "cannot be used"),
            ):
                sorters = {"Sorters": [{"Name": name, "Code": code}]}
                kind, message = await refused(api, "PUT", f"{DB}/admin/sorters", sorters)
                assert kind == "SorterCompilationException" and said in message
            assert (await api.json("GET", f"{DB}/sorters"))["Sorters"] == []

    run(steps())
