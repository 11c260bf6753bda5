"""`pynori routes`: the HTTP routes, from the table that the server itself is built from."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(as_json: bool) -> None:
    """List the HTTP routes."""
    from pynori.http.routes import ROUTES

    rows = [(route.method, route.path) for route in ROUTES]
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"v": 1, "routes": [{"method": m, "path": p} for m, p in rows]}))
        return
    width = max(len(method) for method, _ in rows)
    for method, path in rows:
        click.echo(f"{method:{width}} {path}")
