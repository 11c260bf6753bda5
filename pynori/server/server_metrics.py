"""Metrics of databases, state and disk, read at scrape time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pynori.cluster.state import ClusterState
from pynori.server.data_directory import DataDirectory
from pynori.server.databases import Databases, OpenDatabase

# name, sentence, field of the database's statistics
_DATABASE_GAUGES = (
    ("documents", "Documents of the database.", "documents"),
    ("tombstones", "Tombstones of the database.", "tombstones"),
    ("last_etag", "Etag of the last change.", "last_etag"),
    ("database_size_bytes", "Size of the database's files.", "size_bytes"),
)


def server_families(databases: Databases, state: ClusterState, directory: DataDirectory | None) -> Iterator[Metric]:
    """Families of everything that this server holds open."""
    opened = databases.open_databases()
    yield GaugeMetricFamily("pynori_databases", "Databases of this node.", value=len(databases.names()))
    yield GaugeMetricFamily("pynori_databases_open", "Databases that are open.", value=len(opened))
    yield GaugeMetricFamily(
        "pynori_databases_failed", "Databases that could not be opened.", value=len(databases.failures())
    )
    yield GaugeMetricFamily("pynori_raft_index", "Index of the last applied command.", value=state.raft_index)
    changes = CounterMetricFamily("raft_leader_changes", "Changes of leader by group.", labels=["group"])
    changes.add_metric(["cluster"], 0)
    yield changes
    if directory is not None:
        usage = shutil.disk_usage(directory.path)
        yield GaugeMetricFamily("pynori_disk_free_bytes", "Free space of the data directory's disk.", value=usage.free)
        yield GaugeMetricFamily("pynori_disk_size_bytes", "Size of the data directory's disk.", value=usage.total)
    yield from _database_families(opened)
    operations = GaugeMetricFamily("pynori_operations_running", "Long operations under way.", labels=["database"])
    for each in opened:
        operations.add_metric([each.name], each.operations.running())
    yield operations


def _database_families(opened: list[OpenDatabase]) -> Iterator[Metric]:
    families = [
        (GaugeMetricFamily(f"pynori_{name}", sentence, labels=["database"]), field)
        for name, sentence, field in _DATABASE_GAUGES
    ]
    for each in opened:
        statistics = each.database.statistics()
        for family, field in families:
            family.add_metric([each.name], getattr(statistics, field))
    for family, _ in families:
        yield family
