"""Supervision of the databases' groups: every node tells the leader how its instances are, and the leader decides.

Every REPORT_MS, in a cluster of several nodes. What is decided is in `cluster/supervisor.py`; here it is brought to the
cluster's state. A new leader begins with an empty account of all nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pynori import limits
from pynori.cluster import reports, topology
from pynori.cluster.reports import FAILED, FULL, OPEN, OPENING, InstanceReport, NodeHealth, Sender
from pynori.cluster.state import ClusterState
from pynori.cluster.supervisor import Change, Periods, decide, lives_unheard, others_say
from pynori.config import Settings
from pynori.errors import InvalidArgument, PynoriError
from pynori.runtime import log
from pynori.runtime.clock import Clock, wire_time
from pynori.server.databases import Databases
from pynori.server.open_database import OpenDatabase

Disk = Callable[[], tuple[int, int]]  # free and total bytes


async def run_expiry(state: ClusterState, every_seconds: int) -> None:
    """Remove compare-exchange values that have expired, again and again while this node leads, until cancelled."""
    while True:
        await asyncio.sleep(every_seconds)
        if state.driver.is_leader:
            try:
                await state.expire_compare_exchange()
            except PynoriError as error:
                log.warn("cluster", f"values that have expired were not removed: {error}")


class Supervision:
    """This node's reports and, while it leads, its decisions. Belongs to one event loop."""

    def __init__(
        self, state: ClusterState, databases: Databases, disk: Disk, settings: Settings, clock: Clock
    ) -> None:
        self._state = state
        self._databases = databases
        self._disk = disk
        self._clock = clock
        self._periods = Periods(
            # A leader that is cut off has stopped to lead by then.
            max(settings.rotate_after_seconds * 1_000, 3 * settings.election_timeout_ms),
            max(settings.rehab_after_seconds * 1_000, 3 * settings.election_timeout_ms),
            settings.replace_after_seconds * 1_000,
        )
        self._connection: object = None  # to whom `_sender` tells: the leader, in which term, on which channel
        self._sender = Sender()
        self._etags: dict[str, int] = {}  # of the databases, at the last report
        self._term = 0  # in which this node leads; 0: it does not
        self._leads_since_ms = 0.0
        self._nodes: dict[str, NodeHealth] = {}  # while it leads
        self._unheard: set[str] = set()  # of them, those that are left alone although they are silent
        state.on_report = self._take

    async def run(self) -> None:
        """Report and decide, again and again, until cancelled."""
        while True:
            await asyncio.sleep(limits.REPORT_MS / 1_000)
            self._databases.look_at_majority()
            if len(topology.nodes(self._state.topology)) > 1:
                try:
                    await self.round()
                except PynoriError as error:
                    log.warn("supervisor", f"a round came to nothing: {error}")

    async def round(self) -> None:
        """One report, and one look at all groups if this node leads."""
        self._keep_up()
        self._report()
        if self._term and not self._state.is_suspended:
            await self._decide()

    # ------------------------------------------------------------ telling

    def _report(self) -> None:
        state, driver = self._state, self._state.driver
        channel = None if driver.is_leader else driver.transport.channel(driver.leader_id)
        connection = (driver.leader_id, driver.term, channel)
        if connection != self._connection:
            self._connection, self._sender = connection, Sender()
        if channel is None and not driver.is_leader:
            return  # nobody to tell
        instances = self._instances()
        frame = self._sender.frame(state.node_tag, self._disk(), instances, limits.REPORT_INSTANCES_MAX)
        if channel is None:
            self._take_report(frame)
        else:
            driver.transport.report(channel, reports.encode(frame))

    def _instances(self) -> dict[str, InstanceReport]:
        tag = self._state.node_tag
        found = {}
        for key, group in self._state.groups().items():
            if tag in group["Members"] or tag in group["Promotables"] or tag in group["Rehabs"]:
                found[key] = self._instance(key, group, is_member=tag in group["Members"])
        self._etags = {key: each.last_etag for key, each in found.items()}
        return found

    def _instance(self, key: str, group: dict[str, Any], is_member: bool) -> InstanceReport:
        id, stamp = group["DatabaseTopologyIdBase64"], int(group["Stamp"]["Index"])
        opened, failure = self._databases.look_up(key)
        if opened is None:
            reason = "" if failure is None else str(failure)[: limits.REPORT_REASON_SIZE_MAX]
            return InstanceReport(id, OPENING if failure is None else FAILED, reason, stamp=stamp)
        database = opened.database
        broken = database.failure
        state, reason = OPEN, ""
        if broken is not None:
            state, reason = FAILED, str(broken)[: limits.REPORT_REASON_SIZE_MAX]
        elif database.growth_refused is not None:
            state, reason = FULL, "its disk is full"
        last_etag = database.last_etag
        stale = 0 if is_member else self._stale_indexes(opened, self._etags.get(key, last_etag))
        return InstanceReport(id, state, reason, database.change_vector, last_etag, stamp, stale)

    @staticmethod
    def _stale_indexes(opened: OpenDatabase, etag: int) -> int:
        """How many indexes have not read what was there at the last report, of those that do not stand still."""
        waited = (each for each in opened.indexes.all() if each.store is not None)
        return sum(each.state in ("Normal", "Idle") and each.is_stale(etag) for each in waited)

    # ------------------------------------------------------------ of the leader

    def _keep_up(self) -> None:
        """Begin anew when this node has become the leader, and forget everything when it is one no more."""
        driver = self._state.driver
        term = driver.term if driver.is_leader else 0
        if term != self._term:
            self._term = term
            self._leads_since_ms = self._clock.monotonic_ms()
            self._nodes = {}
            self._unheard = set()
            self._state.gossip.watch(())
        if not term:
            return
        tags = topology.nodes(self._state.topology)
        self._nodes = {tag: self._nodes.get(tag) or NodeHealth(self._leads_since_ms) for tag in tags}

    def _take(self, payload: bytes) -> None:
        """Another node has sent a frame."""
        self._take_report(reports.decode(payload))

    def _take_report(self, report: reports.NodeReport) -> None:
        self._keep_up()
        node = self._nodes.get(report.tag)
        if node is not None:
            node.take(report, self._clock.monotonic_ms())

    def _ask_others(self) -> None:
        """See what the nodes tell each other about each, and have the silent looked at."""
        gossip, nodes = self._state.gossip, topology.nodes(self._state.topology)
        now_ms = self._clock.monotonic_ms()
        silent = [tag for tag, health in self._nodes.items() if now_ms - health.seen_ms > 2 * limits.REPORT_MS]
        gossip.watch(nodes[tag]["id"] for tag in silent)
        for tag, health in self._nodes.items():
            health.sight = gossip.sight(nodes[tag]["id"])
        late = (tag for tag in silent if now_ms - self._nodes[tag].seen_ms > self._periods.rotate_ms)
        unheard = {tag for tag in late if lives_unheard(self._nodes[tag], now_ms, self._periods)}
        for tag in sorted(unheard - self._unheard):
            others = others_say(self._nodes[tag]) or "it answers"
            log.warn("supervisor", f"node {tag} is not heard of, but lives: {others}; it is left as it is")
        self._unheard = unheard

    async def _decide(self) -> None:
        self._ask_others()
        changes = decide(self._state.groups(), self._nodes, self._clock.monotonic_ms(), self._periods)
        for start in range(0, len(changes), limits.DECISIONS_STEP):
            step = changes[start : start + limits.DECISIONS_STEP]
            await asyncio.gather(*(self._propose(change, self._term) for change in step))

    async def _propose(self, change: Change, term: int) -> None:
        try:
            await self._state.supervise(change, wire_time(self._clock.now()), term)
        except PynoriError as error:
            log.info("supervisor", f"a decision about {change.name} came to nothing: {error.message}")
            return
        for each in change.decisions:
            log.info("supervisor", f"{each.kind} of {each.tag} in {change.name}: {each.reason}", db=change.name)

    # ------------------------------------------------------------ for people

    def health(self) -> dict[str, Any]:
        """What the leader knows of all nodes and their instances. Raises: InvalidArgument on another node."""
        self._keep_up()
        if not self._term:
            leader = self._state.leader_tag
            url = topology.urls(self._state.topology).get(leader, "")
            who = f"node {leader} at {url}" if leader else "there is none at present"
            raise InvalidArgument(f"Only the leader knows this: {who}")
        now_ms = self._clock.monotonic_ms()
        return {tag: self._node_shape(tag, node, now_ms) for tag, node in self._nodes.items()}

    def _node_shape(self, tag: str, node: NodeHealth, now_ms: float) -> dict[str, Any]:
        silent_ms = now_ms - node.seen_ms
        return {
            "Status": "OK" if node.number and silent_ms <= limits.REPORT_FRESH_MS else "NotSeen",
            "SilentForMs": int(silent_ms),
            "OthersSay": others_say(node),
            "FreeBytes": node.free_bytes,
            "TotalBytes": node.total_bytes,
            "Report": {
                name: {
                    "State": each.report.state,
                    "Reason": each.report.reason,
                    "SinceMs": int(now_ms - each.since_ms),
                    "ChangeVector": each.report.change_vector,
                    "LastEtag": each.report.last_etag,
                    "StaleIndexes": each.report.stale_indexes,
                }
                for name, each in node.instances.items()
            },
        }
