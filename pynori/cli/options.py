"""`pynori options`: every setting with its spellings, what is allowed, its default and what it does."""

from __future__ import annotations

import textwrap

import click

from pynori.config import OPTIONS, SWITCH, Option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(as_json: bool) -> None:
    """List the settings of the server.

    \b
    A value comes from the command line, the environment (PYNORI_SERVERURL, PYNORI_DATA_DIR, RAVEN_ServerUrl), the
    settings file (--settings FILE, pynori.toml or settings.json here, /etc/pynori), or the default, in that order.
    """
    if not as_json:
        click.echo(options_text())
        return
    import msgspec

    rows = [
        {
            "name": option.name,
            "aliases": list(option.aliases),
            "allowed": option.kind.allowed,
            "default": None if option.default is None else str(option.default),
            "unit": option.unit,
            "sentence": option.sentence,
        }
        for option in OPTIONS
    ]
    click.echo(msgspec.json.encode({"v": 1, "options": rows}))


def options_text() -> str:
    """The table as text, at most 100 columns wide."""
    lines = ["Settings:", "  --settings FILE", "      A file of settings, JSON or TOML."]
    for option in OPTIONS:
        lines.append("  " + ", ".join(f"--{spelling}" for spelling in option.spellings()))
        lines += textwrap.wrap(option.sentence, 100, initial_indent="      ", subsequent_indent="      ")
        unit = f" {option.unit}" if option.unit else ""
        lines.append(f"      Allowed: {option.kind.allowed}{unit}. Default: {_default_text(option)}{unit}.")
    return "\n".join(lines)


def _default_text(option: Option) -> str:
    if option.default is None:
        return "none"
    return str(option.default).lower() if option.kind is SWITCH else str(option.default)
