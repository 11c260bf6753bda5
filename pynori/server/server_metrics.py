"""Metrics of databases, state and disk, read at scrape time."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pynori.cluster.gossip import Gossip
from pynori.cluster.state import ClusterState
from pynori.cluster.swim_types import State
from pynori.errors import PynoriError
from pynori.server.databases import Databases
from pynori.server.disk_watch import DiskWatch
from pynori.server.open_database import OpenDatabase

# name, sentence, field of the database's statistics
_DATABASE_GAUGES = (
    ("documents", "Documents of the database.", "documents"),
    ("tombstones", "Tombstones of the database.", "tombstones"),
    ("last_etag", "Etag of the last change.", "last_etag"),
    ("database_size_bytes", "Size of the database's files.", "size_bytes"),
    ("database_free_pages", "Pages of the data file that are free.", "free_pages"),
    ("queue_transactions", "User transactions that wait for the writer.", "queue_count"),
    ("queue_size_bytes", "Size of the user transactions that wait for the writer.", "queue_bytes"),
    ("scratch_size_bytes", "Memory of pages that are newer than the data file or still read.", "scratch_bytes"),
    ("readers", "Snapshots that are open.", "readers"),
)
# All since the database was opened.
_DATABASE_COUNTERS = (
    ("transactions", "User transactions handed to the writer.", "transactions"),
    ("transactions_failed", "User transactions that failed and left nothing.", "transactions_failed"),
    ("transactions_refused", "User transactions refused because the writer's queue was full.", "transactions_refused"),
    ("commands", "Commands of user transactions that were committed.", "commands"),
    ("commits", "Commits, each of one or more user transactions.", "commits"),
    ("commits_inline", "Commits that were written without the journal's thread.", "commits_inline"),
    ("journal_syncs", "Syncs of the journal.", "syncs"),
    ("journal_written_bytes", "Bytes written to the journal.", "journal_bytes"),
    ("journal_whole_pages", "Pages logged whole.", "pages_whole"),
    ("journal_diff_pages", "Pages logged as a difference to their last state.", "pages_diff"),
    ("checkpoints", "Checkpoints of the journal into the data file.", "checkpoints"),
    ("checkpoint_pages", "Pages that checkpoints wrote into the data file.", "checkpoint_pages"),
    ("writer_waits", "Times that the writer waited for memory for pages.", "writer_waits"),
)


def server_families(databases: Databases, state: ClusterState, disk: DiskWatch | None) -> Iterator[Metric]:
    """Families of everything that this server holds open."""
    opened = databases.open_databases()
    yield GaugeMetricFamily("pynori_databases", "Databases of this node.", value=len(databases.names()))
    yield GaugeMetricFamily("pynori_databases_open", "Databases that are open.", value=len(opened))
    yield GaugeMetricFamily(
        "pynori_databases_failed", "Databases that could not be opened.", value=len(databases.failures())
    )
    yield GaugeMetricFamily("pynori_raft_index", "Index of the last applied command.", value=state.raft_index)
    changes = CounterMetricFamily("raft_leader_changes", "Changes of leader by group.", labels=["group"])
    changes.add_metric(["cluster"], state.driver.leader_changes)
    yield changes
    yield from _gossip_families(state.gossip)
    if disk is not None:
        space = disk.measure()
        for name, sentence, value in (
            ("free_bytes", "Free space of the data directory's disk.", space.free_bytes),
            ("size_bytes", "Size of the data directory's disk.", space.total_bytes),
            ("refuse_bytes", "Free space below which documents are refused.", space.refuse_bytes),
            ("refuses", "1 while documents are refused for want of room, else 0.", int(space.refuses)),
        ):
            yield GaugeMetricFamily(f"pynori_disk_{name}", sentence, value=value)
    yield from _database_families(opened)
    yield from _replication_families(opened)
    operations = GaugeMetricFamily("pynori_operations_running", "Long operations under way.", labels=["database"])
    repeated = CounterMetricFamily(
        "pynori_patches_repeated",
        "Requests with patches that were prepared again because a document had changed.",
        labels=["database"],
    )
    long = CounterMetricFamily(
        "pynori_patches_long", "Scripts of patches that took so long that they ran in a process of their own.",
        labels=["database"],
    )  # fmt: skip
    for each in opened:
        operations.add_metric([each.name], each.operations.running())
        repeated.add_metric([each.name], each.database.patches.repeated)
        long.add_metric([each.name], each.database.patches.long)
    yield operations
    yield repeated
    yield long


# name, sentence, attribute of an outgoing link
_LINK_GAUGES = (
    ("connected", "1 while the link to another instance is open, else 0.", "is_connected"),
    ("accepted_etag", "Etag up to which the other instance has everything on disk.", "accepted"),
)
_LINK_COUNTERS = (
    ("items", "Items sent to another instance.", "sent_items"),
    ("batches", "Batches sent to another instance.", "sent_batches"),
    ("sent_bytes", "Bytes of batches sent to another instance, as they were sent.", "sent_bytes"),
)


def _gossip_families(gossip: Gossip) -> Iterator[Metric]:
    sights = gossip.sights()
    nodes = GaugeMetricFamily(
        "pynori_swim_nodes", "Other nodes of the cluster, by what this node believes of them.", labels=["state"]
    )
    for state in State:
        nodes.add_metric([state.name.lower()], sum(each.state is state for each in sights.values()))
    yield nodes
    times = GaugeMetricFamily(
        "pynori_swim_round_trip_seconds", "How soon a node answers probes, smoothed.", labels=["node"]
    )
    for tag, sight in sights.items():
        if sight.round_trip_ms is not None:
            times.add_metric([tag], sight.round_trip_ms / 1_000)
    yield times
    counts = gossip.counts
    probes = CounterMetricFamily(
        "pynori_swim_probes", "Probes of nodes: answered, answered to another node, or not at all.", labels=["answered"]
    )
    for end, count in (("yes", counts.answered), ("other", counts.answered_to_others), ("no", counts.missed)):
        probes.add_metric([end], count)
    yield probes
    for name, sentence, value in (
        ("refuted", "Suspicions of this node that it has refuted.", counts.refuted),
        ("sent", "Messages of probes that were sent.", gossip.sent),
        ("sent_bytes", "Payload of these messages.", gossip.sent_bytes),
    ):
        yield CounterMetricFamily(f"pynori_swim_{name}", sentence, value=value)
    yield GaugeMetricFamily(
        "pynori_swim_score", "How unwell this node is: its probes take so many periods more.", value=gossip.score
    )


def _replication_families(opened: list[OpenDatabase]) -> Iterator[Metric]:
    labels = ["database", "destination"]
    families: list[tuple[GaugeMetricFamily | CounterMetricFamily, str]] = []
    for name, sentence, attribute in _LINK_GAUGES:
        families.append((GaugeMetricFamily(f"pynori_replication_{name}", sentence, labels=labels), attribute))
    for name, sentence, attribute in _LINK_COUNTERS:
        families.append((CounterMetricFamily(f"pynori_replication_{name}", sentence, labels=labels), attribute))
    resolved = CounterMetricFamily(
        "pynori_conflicts_resolved", "Conflicts that rules have resolved on this node.", labels=["database"]
    )
    for each in opened:
        resolved.add_metric([each.name], each.replication.resolver.resolved)
        for link in each.replication.outgoing:
            for family, attribute in families:
                family.add_metric([each.name, link.destination.name], float(getattr(link, attribute)))
    yield resolved
    for family, _ in families:
        yield family


def _database_families(opened: list[OpenDatabase]) -> Iterator[Metric]:
    readable = GaugeMetricFamily(
        "pynori_database_readable", "1 when the database tells its statistics, else 0.", labels=["database"]
    )
    families: list[tuple[GaugeMetricFamily | CounterMetricFamily, str]] = []
    for name, sentence, field in _DATABASE_GAUGES:
        families.append((GaugeMetricFamily(f"pynori_{name}", sentence, labels=["database"]), field))
    for name, sentence, field in _DATABASE_COUNTERS:
        families.append((CounterMetricFamily(f"pynori_{name}", sentence, labels=["database"]), field))
    for each in opened:
        try:
            statistics = each.database.statistics()
        except PynoriError:
            # One broken database does not take the metrics of all others with it.
            readable.add_metric([each.name], 0)
            continue
        readable.add_metric([each.name], 1)
        for family, field in families:
            family.add_metric([each.name], getattr(statistics, field))
    yield readable
    for family, _ in families:
        yield family
