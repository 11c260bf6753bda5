"""`pynori version`: the three numbers that matter for upgrades."""

from __future__ import annotations

import platform

import click

import pynori

PROTOCOL = "7.2"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(as_json: bool) -> None:
    """Print the versions of program, file format and protocol."""
    from pynori.server.data_directory import FORMAT

    numbers = {
        "pynori": pynori.__version__,
        "file format": FORMAT,
        "protocol": f"RavenDB {PROTOCOL}",
        "python": platform.python_version(),
    }
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"v": 1, **numbers}))
        return
    for name, value in numbers.items():
        click.echo(f"{name} {value}")
