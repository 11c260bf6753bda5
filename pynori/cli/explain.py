"""`pynori explain QUERY`: which way a query goes to its results and why, and where its time goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import click
import msgspec

from pynori.cli import exit_codes
from pynori.cli.terminal import end, end_for
from pynori.client.http import HttpClient, RequestFailed, ServerNotReachable, database_path
from pynori.errors import InvalidQuery
from pynori.rql.ast import Call, Query
from pynori.rql.format import format_query
from pynori.rql.parser import parse
from pynori.runtime.clock import SystemClock

LABEL_SIZE = 11


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("query")
@click.option("--database", help="Database to ask; without it only the query itself is shown as it is understood.")
@click.option("--parameter", "-p", multiple=True, metavar="NAME=JSON", help="Value of a parameter; may be repeated.")
@click.option("--page-size", default=25, show_default=True, help="Results that are fetched.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@click.option("--url", default="http://127.0.0.1:8080", envvar="PYNORI_URL", show_default=True, help="The server.")
def command(
    query: str, database: str | None, parameter: tuple[str, ...], page_size: int, as_json: bool, url: str
) -> None:
    """Show the plan and the timings of a query.

    \b
    pynori explain "from Orders where Freight > 100"                     only how it is read
    pynori explain "from Orders where Freight > $f" -p f=100 --database shop
    """
    try:
        tree = parse(query)
    except InvalidQuery as error:
        end(exit_codes.FAILED, error.message)
    facts: dict[str, Any] = {"v": 1, "query": format_query(tree)}
    if database is not None:
        try:
            with HttpClient(url) as client:
                facts |= asked(client, database, tree, parameters_of(parameter), page_size)
        except (RequestFailed, ServerNotReachable) as error:
            end_for(error)
    if as_json:
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        return
    for line in lines(facts):
        click.echo(line)


def parameters_of(words: tuple[str, ...]) -> dict[str, Any]:
    """Parameters from `name=JSON`; what is no JSON is a string."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"A parameter is NAME=JSON, not '{word}'.")
        try:
            found[name.removeprefix("$")] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found[name.removeprefix("$")] = text
    return found


def asked(
    client: HttpClient, database: str, tree: Query, parameters: Mapping[str, Any], page_size: int
) -> dict[str, Any]:
    """What the server says of the query, and of one run of it."""
    body = {"Query": tree.text, "QueryParameters": parameters, "PageSize": page_size}
    path = database_path(database, "/queries", {"debug": "explain"})
    reasons = msgspec.json.decode(client.request("POST", path, msgspec.json.encode(body)))["Results"]
    timed = tree
    if not any(isinstance(each, Call) and each.name == "timings" for each in tree.includes):
        timed = replace(tree, includes=(*tree.includes, Call("timings")))
    body["Query"] = format_query(timed)
    clock = SystemClock()
    began_ms = clock.monotonic_ms()
    answer = msgspec.json.decode(client.request("POST", database_path(database, "/queries"), msgspec.json.encode(body)))
    return {
        "reasons": reasons,
        "index": answer["IndexName"],
        "results": len(answer["Results"]),
        "total": answer["TotalResults"],
        "stale": answer["IsStale"],
        "round_trip_ms": round(clock.monotonic_ms() - began_ms, 3),
        "timings": answer.get("Timings"),
    }


def lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The facts for people."""
    yield from _labelled("query", facts["query"].split("\n"))
    if "index" not in facts:
        return
    yield from _labelled("way", [facts["index"]])
    yield from _labelled("because", [each["Reason"] for each in facts["reasons"]])
    yield from _labelled("results", [f"{facts['results']:,} of {facts['total']:,}"])
    yield from _labelled("up to date", ["no: the index is behind" if facts["stale"] else "yes"])
    timings = facts["timings"] or {"DurationInMs": 0.0, "Timings": None}
    spans = list(_spans(timings.get("Timings") or {}, 0))
    times = [f"{timings['DurationInMs']:.2f} ms in the server, {facts['round_trip_ms']:.2f} ms until it was here"]
    yield from _labelled("time", times + spans)


def _labelled(label: str, texts: list[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"{'' if number else label:{LABEL_SIZE}} {text}"


def _spans(timings: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, span in timings.items():
        yield f"{'  ' * depth}{name:<{24 - 2 * depth}} {span['DurationInMs']:9.2f} ms"
        yield from _spans(span.get("Timings") or {}, depth + 1)
