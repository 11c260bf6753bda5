"""A network of namespaces in which nodes can be cut off from one another, where the kernel allows it.

Each node has a namespace of its own, joined to a bridge in that of the caller, who reaches them all. Cuts are rules of
the packet filter in the node's namespace: packets are dropped, connections stay open and hear nothing.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Collection, Iterable

TOOLS = ("ip", "nft")
TABLE = "inet pynori"
_networks = itertools.count()


def why_not() -> str:
    """Why there can be no such network here; "" when there can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"there is no {' or '.join(missing)} (Debian: iproute2, nftables)"
    if os.geteuid() != 0:
        return "namespaces need root"
    probe = subprocess.run(["unshare", "-n", "nft", "add", "table", *TABLE.split()], capture_output=True, text=True)
    return "" if probe.returncode == 0 else f"the kernel refuses: {probe.stderr.strip()}"


class Network:
    """Namespaces for nodes 1 to `count`; addresses 10.77.P.1 and so on, P from this process's id."""

    def __init__(self, count: int) -> None:
        self._nodes = range(1, count + 1)
        # A name is not free as soon as its namespace is deleted: each network of a process has its own.
        self._name = f"py{os.getpid() % 100_000}{chr(97 + next(_networks) % 26)}"
        self._net = f"10.77.{os.getpid() % 250}"
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        bridge = f"{self._name}br"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self._net}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for node in self._nodes:
            space, here, there = self._space(node), f"{self._name}v{node}", f"{self._name}w{node}"
            _ip("netns", "add", space)
            _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
            _ip("link", "set", here, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{self._net}.{node}/24", "dev", there)
            _ip("-n", space, "link", "set", there, "up")
            _ip("-n", space, "link", "set", "lo", "up")
            self._filter(node, ())

    def host(self, node: int) -> str:
        return f"{self._net}.{node}"

    def command(self, node: int) -> tuple[str, ...]:
        """What stands before a command that is to run on a node."""
        return ("ip", "netns", "exec", self._space(node))

    def split(self, *sides: Collection[int]) -> None:
        """Let nodes hear only those of their own side; the caller reaches all."""
        for side in sides:
            for node in side:
                self._filter(node, (other for other in self._nodes if other not in side))

    def deafen(self, node: int, *others: int) -> None:
        """One way only: `node` does not hear these any more, though they hear it."""
        self._filter(node, others)

    def heal(self) -> None:
        for node in self._nodes:
            self._filter(node, ())

    def close(self) -> None:
        for node in self._nodes:
            subprocess.run(["ip", "link", "del", f"{self._name}v{node}"], capture_output=True)
            subprocess.run(["ip", "netns", "del", self._space(node)], capture_output=True)
        subprocess.run(["ip", "link", "del", f"{self._name}br"], capture_output=True)

    def _space(self, node: int) -> str:
        return f"{self._name}n{node}"

    def _filter(self, node: int, unheard: Iterable[int]) -> None:
        """The whole rule set of a node in one step, so that a change is never seen half done."""
        lines = [
            f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}",
            f"add chain {TABLE} input {{ type filter hook input priority 0; }}",
            *(f"add rule {TABLE} input ip saddr {self.host(other)} drop" for other in unheard),
        ]  # fmt: skip
        rules = "\n".join(lines) + "\n"
        subprocess.run(
            ["ip", "netns", "exec", self._space(node), "nft", "-f", "-"], input=rules, text=True, check=True
        )


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
