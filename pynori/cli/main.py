"""The console script `pynori`: finds the verb, loads its module, runs it.

The table of verbs holds one line of help each, so that `pynori --help` loads nothing but click. Started through a link
called `norikv-server` or `Raven.Server`, the program is `pynori serve`.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path

import click

# verb -> (module of pynori.cli, line of help), in the order of the help text
VERBS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Run the server."),
    "import": ("import_rows", "Load a file of JSON or CSV rows into a collection."),
    "export": ("export", "Write the documents of a database as JSON lines."),
    "explain": ("explain", "Show the plan and the timings of a query."),
    "cluster": ("cluster", "Show and change the nodes of a cluster."),
    "database": ("database", "Show and change databases and the nodes that hold them."),
    "check": ("check", "Verify the files of a database that is not open."),
    "compact": ("compact", "Write the files of a database anew, without free space."),
    "salvage": ("salvage", "Bring the documents out of files that do not open any more."),
    "inspect": ("inspect", "Print what the files of a database hold."),
    "routes": ("routes", "List the HTTP routes."),
    "options": ("options", "List the settings of the server."),
    "version": ("version", "Print the versions of program, file format and protocol."),
}
SERVER_LINKS = ("norikv-server", "raven.server")


class Verbs(click.Group):
    """The verbs of the table; a verb's module is imported when it runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"pynori.cli.{VERBS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " See: pynori --help"
            raise click.UsageError(f"There is no verb '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, sentence) for verb, (_, sentence) in VERBS.items()])


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """Pynori, a distributed document database.

    \b
    pynori serve                                   a server on http://127.0.0.1:8080, data in ./pynori-data
    pynori serve --sample --RunInMemory=true       something to look at, gone when it stops
    pynori import people.csv --database crm --collection People --create
    """


def main() -> None:
    """Entry point of the console script."""
    if Path(sys.argv[0]).name.lower() in SERVER_LINKS:
        sys.argv[1:1] = ["serve"]
    cli(prog_name="pynori")
