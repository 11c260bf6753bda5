"""What `/health/quick` and `/health` say, for balancers and for people.

Quick is a few comparisons in memory. Full adds what is worth a look: databases that could not be opened, a full disk.
The shard list holds shard 0, the group of the cluster's own state, which has a leader as long as a majority of its
members is up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori import limits

if TYPE_CHECKING:
    from pynori.server.disk_watch import DiskSpace
    from pynori.server.server import Server


def quick(server: Server) -> tuple[int, bytes]:
    """Status and body of `/health/quick`."""
    if server.is_running and server.state.failure is None:
        return 200, b"OK"
    return 503, b"UNAVAILABLE"


def full(server: Server) -> dict[str, Any]:
    """The body of `/health`; `status` is healthy, passive, degraded (see `problems`) or unhealthy."""
    problems = [f"database {name}: {reason}" for name, reason in server.databases.failures().items()]
    problems += server.scrubber.problems()
    space = None if server.disk_watch is None else server.disk_watch.measure()
    if space is not None and space.warns:
        doing = "documents are refused" if space.refuses else "documents are still taken"
        problems.append(f"disk of {server.settings.data_dir}: {space.free_percent:.1f} % free; {doing}")
    status = "degraded" if problems else "passive" if server.state.is_passive else "healthy"
    if not server.is_running or server.state.failure is not None:
        status = "unhealthy"
        problems.append(
            "the server is starting or stopping" if server.state.failure is None else str(server.state.failure)
        )
    index = server.state.raft_index
    return {
        "status": status,
        "node_id": server.settings.node_id or server.node_tag,
        "node_tag": server.node_tag,
        "uptime_seconds": round(server.metrics.uptime_ms() / 1_000.0, 3),
        "total_shards": limits.SHARDS_TOTAL,
        "active_shards": 1,
        "shards": [
            {
                "id": 0,
                "status": "active",
                "is_leader": server.state.driver.is_leader,
                "term": server.state.driver.term,
                "commit_index": index,
                "applied_index": index,
            }
        ],
        "databases": len(server.databases.names()),
        "disk": _disk(space),
        "problems": problems,
    }


def _disk(space: DiskSpace | None) -> dict[str, Any] | None:
    if space is None:
        return None
    return {
        "free_bytes": space.free_bytes,
        "total_bytes": space.total_bytes,
        "free_percent": space.free_percent,
        "refuses_below_bytes": space.refuse_bytes,
        "refuses_documents": space.refuses,
    }
