"""`pynori serve`: settings, server, listeners, until a signal ends it.

This is the one place that puts listeners on a server. What it prints on stdout is part of the contract with test
drivers: a few lines about the node, then `Server available on: URL` as soon as requests are answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import os
import signal
import socket
import sys
from urllib.parse import urlsplit

import click

import pynori
from pynori import limits
from pynori.cli import exit_codes
from pynori.cli.options import options_text
from pynori.cli.port_owner import port_owner
from pynori.cli.terminal import end
from pynori.config import Loaded, Settings, is_loopback, load
from pynori.errors import BadSetting, CannotStart, PynoriError
from pynori.runtime import log


class ServeCommand(click.Command):
    """A command whose options are the table of settings, and not click's."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n" + options_text() + "\n")


@click.command(
    cls=ServeCommand,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
    options_metavar="[--SETTING=VALUE]...",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
def command(arguments: tuple[str, ...]) -> None:
    """Run the server until SIGTERM or SIGINT; then it finishes what is under way and exits with 0.

    \b
    pynori serve
    pynori serve --url http://127.0.0.1:9000 --data-dir /var/lib/pynori --log-format json
    pynori serve --RunInMemory=true --sample

    \b
    Exit codes: 0 stopped by a signal, 1 failed, 78 a setting is wrong or its address or folder is taken.
    """
    import uvloop

    try:
        loaded = load(arguments)
    except BadSetting as error:
        end(exit_codes.BAD_SETTING, str(error))
    try:
        uvloop.run(_serve(loaded))
    except CannotStart as error:
        end(exit_codes.BAD_SETTING, str(error))
    except (PynoriError, OSError) as error:
        log.error("serve", f"failed: {error}", error=error)
        sys.exit(exit_codes.FAILED)


async def _serve(loaded: Loaded) -> None:
    from pynori.http import listen
    from pynori.server.sample import load_sample
    from pynori.server.server import Server

    settings = loaded.settings
    log.configure(settings.log_level, settings.log_format, settings.node_id or "A", settings.log_directory)
    faulthandler.register(signal.SIGUSR1)  # the stacks of all threads, on stderr
    for note in loaded.notes:
        log.info("settings", note)
    if settings.rpc_addr is not None:
        log.info("settings", f"RpcAddress {settings.rpc_addr} is passed over: this version serves no key-value service")
    host, port = _host_and_port(settings.server_url)
    _check_address(host, port)
    stopping = _watch_signals()
    server = await Server.start(settings)
    server.want_stop = stopping.set
    try:
        if settings.sample:
            await load_sample(server.databases)
        try:
            listener = await listen(server, host, port)
        except OSError as error:
            raise _address_refused(host, port, error) from error
        try:
            server.announce(listener.url, settings.tcp_url or "")
            if settings.parent_process_id is not None:
                server.tasks.start("watch of the parent", _watch_parent(settings.parent_process_id, stopping))
            _greet(settings, server.url, server.node_tag, server.databases.names())
            await stopping.wait()
            log.info("serve", "stopping: finishing what is under way")
            await listener.drain(settings.shutdown_grace_seconds)
        finally:
            listener.close()
    finally:
        await server.stop()
    log.info("serve", "stopped")


def _greet(settings: Settings, url: str, node_tag: str, databases: list[str]) -> None:
    where = "in memory, gone when it stops" if settings.run_in_memory else str(settings.data_dir.absolute())
    lines = [
        f"Pynori {pynori.__version__}, node {node_tag}, unsecured",
        f"Data: {where}",
        f"Databases: {len(databases)}" + (f" ({', '.join(databases[:5])}{', ...' if len(databases) > 5 else ''})"),
        f"Server available on: {url}",
        "Ctrl-C to stop",
    ]
    if not databases:
        lines[2] = "Databases: none yet; try: pynori serve --sample"
    # Whoever started us may have closed our output: no reason to stop serving.
    with contextlib.suppress(OSError):
        print("\n".join(lines), flush=True)
    host = urlsplit(settings.server_url).hostname or ""
    if not is_loopback(host):
        log.warn("serve", f"serving {host} without TLS, as Security.UnsecuredAccessAllowed={settings.unsecured_access}")


def _watch_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a second SIGINT ends at once, which the journal makes safe."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stopping.is_set():
            os._exit(exit_codes.INTERRUPTED)
        stopping.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    return stopping


async def _watch_parent(process_id: int, stopping: asyncio.Event) -> None:
    """Set `stopping` when the process has ended."""
    while not stopping.is_set():
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            log.info("serve", f"process {process_id} has ended")
            stopping.set()
        except PermissionError:
            pass  # it lives, and belongs to somebody else
        await asyncio.sleep(limits.PARENT_WATCH_MS / 1_000.0)


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None, "config.py completes addresses"
    return parts.hostname, parts.port


def _check_address(host: str, port: int) -> None:
    """Fail before anything is opened when the address cannot be had. Raises: CannotStart."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise _address_refused(host, port, error) from error


def _address_refused(host: str, port: int, error: OSError) -> CannotStart:
    if error.errno == errno.EADDRINUSE:
        owner = port_owner(port) or "another process"
        return CannotStart(
            f"ServerUrl: port {port} of {host} is in use by {owner}; try: pynori serve --url http://{host}:{port + 1}"
        )
    return CannotStart(f"ServerUrl: cannot listen on {host} port {port}: {error.strerror or error}")
