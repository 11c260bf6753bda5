"""THE table of routes: one row each, sorted by path. Paths and shapes are RavenDB's, and our own few beside them.

From it come the router, `API.md` and the list at `/debug/routes`. `permission` says what a caller must hold once the
server knows its callers; `body` says how the request's body reaches the handler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pynori.errors import PynoriError
from pynori.http.handlers import (
    batches,
    bulk_insert,
    channel,
    code_definitions,
    collections,
    compare_exchange,
    configuration,
    console,
    databases,
    debug,
    documents,
    health,
    hilo,
    identities,
    index_administration,
    index_statistics,
    indexes,
    logs,
    multi_get,
    operations,
    patches,
    queries,
    replication,
    statistics,
    streams,
    supervision,
    tasks,
    topology,
)
from pynori.http.request import Request
from pynori.http.response import Reply
from pynori.limits import REQUEST_BODY_SIZE_BYTES_MAX, UNREAD_BODY_SIZE_BYTES_MAX

Handler = Callable[[Request], Reply]


class Permission(Enum):
    """What a caller must hold, from nothing to the whole cluster."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    DATABASE_ADMIN = "database admin"
    OPERATOR = "operator"
    CLUSTER_ADMIN = "cluster admin"


class Body(Enum):
    """How the request's body reaches the handler."""

    NONE = "none"  # there is none to read; a small one is passed over
    WHOLE = "whole"  # collected before the handler is called
    STREAM = "stream"  # read by the handler while it arrives


@dataclass(frozen=True, slots=True)
class Route:
    """One row."""

    method: str
    path: str
    handler: Handler
    permission: Permission
    body: Body = Body.NONE
    body_size_bytes_max: int = UNREAD_BODY_SIZE_BYTES_MAX
    operation: str = ""  # under which its requests are counted; "": not at all
    by_id: bool = False  # `?id=X` alone reads or writes one document: the native half of a connection may run it


def answering(error: PynoriError) -> Route:
    """The route of a request that has none: it answers with this error."""

    def refuse(request: Request) -> Reply:
        raise error

    return Route("", "", refuse, Permission.NONE)


def whole(
    method: str, path: str, handler: Handler, permission: Permission, operation: str = "", by_id: bool = False
) -> Route:
    """A row whose body is read as a whole."""
    return Route(method, path, handler, permission, Body.WHOLE, REQUEST_BODY_SIZE_BYTES_MAX, operation, by_id)


NONE, READ, WRITE = Permission.NONE, Permission.READ, Permission.WRITE
DATABASE_ADMIN, OPERATOR = Permission.DATABASE_ADMIN, Permission.OPERATOR
CLUSTER_ADMIN = Permission.CLUSTER_ADMIN

ROUTES: tuple[Route, ...] = (
    Route("DELETE", "/admin/analyzers", code_definitions.delete_analyzer, OPERATOR),
    whole("PUT", "/admin/analyzers", code_definitions.put_analyzers, OPERATOR),
    Route("POST", "/admin/cluster/demote", topology.demote_node, CLUSTER_ADMIN),
    Route("GET", "/admin/cluster/maintenance-stats", supervision.maintenance, OPERATOR),
    Route("DELETE", "/admin/cluster/node", topology.remove_node, CLUSTER_ADMIN),
    Route("PUT", "/admin/cluster/node", topology.add_node, CLUSTER_ADMIN),
    Route("GET", "/admin/cluster/observer/decisions", supervision.decisions, OPERATOR),
    Route("POST", "/admin/cluster/observer/suspend", supervision.suspend, CLUSTER_ADMIN),
    Route("POST", "/admin/cluster/promote", topology.promote_node, CLUSTER_ADMIN),
    whole("POST", "/admin/compact", databases.compact, OPERATOR),
    whole("PUT", "/admin/configuration/client", configuration.put_server, OPERATOR),
    whole("POST", "/admin/console", console.post, CLUSTER_ADMIN),
    whole("DELETE", "/admin/databases", databases.delete, OPERATOR),
    Route("GET", "/admin/databases", databases.record, OPERATOR),
    whole("PUT", "/admin/databases", databases.create, OPERATOR),
    whole("POST", "/admin/databases/disable", databases.disable, OPERATOR),
    Route("POST", "/admin/databases/dynamic-node-distribution", databases.set_dynamic_distribution, OPERATOR),
    whole("POST", "/admin/databases/enable", databases.enable, OPERATOR),
    Route("PUT", "/admin/databases/node", databases.add_node, OPERATOR),
    Route("POST", "/admin/databases/promote", databases.promote, OPERATOR),
    whole("POST", "/admin/databases/reorder", databases.reorder, OPERATOR),
    whole("POST", "/admin/databases/set-lock", databases.set_lock, OPERATOR),
    whole("POST", "/admin/databases/topology/modify", databases.modify_topology, OPERATOR),
    Route("GET", "/admin/logs/configuration", logs.get_configuration, OPERATOR),
    whole("POST", "/admin/logs/configuration", logs.set_configuration, OPERATOR),
    Route("POST", "/admin/operations/kill", operations.kill_of_server, OPERATOR),
    Route("GET", "/admin/operations/next-operation-id", operations.next_id_of_server, OPERATOR),
    whole("POST", "/admin/replication/conflicts/solver", replication.put_solver, OPERATOR),
    Route("DELETE", "/admin/sorters", code_definitions.delete_sorter, OPERATOR),
    whole("PUT", "/admin/sorters", code_definitions.put_sorters, OPERATOR),
    Route("GET", "/analyzers", code_definitions.get_analyzers, READ),
    Route("GET", "/build/version", topology.build_version, NONE),
    Route("GET", "/cluster/channel", channel.open_channel, CLUSTER_ADMIN),
    Route("GET", "/cluster/node-info", topology.node_info, READ),
    Route("GET", "/cluster/topology", topology.cluster, READ),
    Route("GET", "/configuration/client", configuration.get_server, READ),
    Route("GET", "/databases", databases.list_all, READ),
    Route("DELETE", "/databases/{db}/admin/analyzers", code_definitions.delete_analyzer, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/analyzers", code_definitions.put_analyzers, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/configuration/client", configuration.put_database, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/configuration/settings", databases.put_settings, DATABASE_ADMIN),
    Route("DELETE", "/databases/{db}/admin/connection-strings", tasks.delete_connection_string, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/admin/connection-strings", tasks.get_connection_strings, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/connection-strings", tasks.put_connection_string, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/indexes", indexes.put, DATABASE_ADMIN),
    Route("POST", "/databases/{db}/admin/indexes/disable", index_administration.disable, DATABASE_ADMIN),
    Route("POST", "/databases/{db}/admin/indexes/enable", index_administration.enable, DATABASE_ADMIN),
    Route("POST", "/databases/{db}/admin/indexes/start", index_administration.start, DATABASE_ADMIN),
    Route("POST", "/databases/{db}/admin/indexes/stop", index_administration.stop, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/admin/record", databases.record_of_path, DATABASE_ADMIN),
    Route("DELETE", "/databases/{db}/admin/sorters", code_definitions.delete_sorter, DATABASE_ADMIN),
    whole("PUT", "/databases/{db}/admin/sorters", code_definitions.put_sorters, DATABASE_ADMIN),
    Route("DELETE", "/databases/{db}/admin/tasks", tasks.delete, DATABASE_ADMIN),
    whole("POST", "/databases/{db}/admin/tasks/external-replication", tasks.put_external_replication, DATABASE_ADMIN),
    Route("POST", "/databases/{db}/admin/tasks/state", tasks.set_state, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/analyzers", code_definitions.get_analyzers, READ),
    whole("POST", "/databases/{db}/bulk_docs", batches.post, WRITE, "batch"),
    Route("POST", "/databases/{db}/bulk_insert", bulk_insert.post, WRITE, Body.STREAM, operation="bulk_insert"),
    Route("DELETE", "/databases/{db}/cmpxchg", compare_exchange.delete, WRITE),
    Route("GET", "/databases/{db}/cmpxchg", compare_exchange.get, READ),
    whole("PUT", "/databases/{db}/cmpxchg", compare_exchange.put, WRITE, "compare_exchange"),
    Route("GET", "/databases/{db}/collections/docs", collections.documents, READ),
    Route("GET", "/databases/{db}/collections/stats", collections.statistics, READ),
    Route("GET", "/databases/{db}/collections/stats/detailed", collections.statistics_detailed, READ),
    Route("GET", "/databases/{db}/configuration/client", configuration.get_database, READ),
    Route("GET", "/databases/{db}/debug/identities", identities.list_all, READ),
    Route("POST", "/databases/{db}/debug/queries/kill", queries.kill, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/debug/queries/running", queries.running, READ),
    Route("GET", "/databases/{db}/debug/storage/report", statistics.storage_report, READ),
    Route("DELETE", "/databases/{db}/docs", documents.delete, WRITE, operation="delete"),
    Route("GET", "/databases/{db}/docs", documents.get, READ, operation="get", by_id=True),
    Route("HEAD", "/databases/{db}/docs", documents.head, READ, operation="get"),
    whole("PATCH", "/databases/{db}/docs", patches.patch, WRITE, "patch"),
    whole("POST", "/databases/{db}/docs", documents.post, READ, "get"),
    whole("PUT", "/databases/{db}/docs", documents.put, WRITE, "put", by_id=True),
    Route("GET", "/databases/{db}/docs/size", documents.size, READ),
    Route("GET", "/databases/{db}/healthcheck", statistics.healthcheck, READ),
    Route("GET", "/databases/{db}/hilo/next", hilo.next_range, WRITE),
    Route("PUT", "/databases/{db}/hilo/return", hilo.return_range, WRITE),
    Route("POST", "/databases/{db}/identity/next", identities.take_next, WRITE),
    Route("POST", "/databases/{db}/identity/seed", identities.seed, WRITE),
    Route("DELETE", "/databases/{db}/indexes", indexes.delete, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/indexes", indexes.get, READ),
    whole("PUT", "/databases/{db}/indexes", indexes.put_scripts, WRITE),
    Route("RESET", "/databases/{db}/indexes", indexes.reset, DATABASE_ADMIN),
    Route("DELETE", "/databases/{db}/indexes/errors", index_statistics.clear_errors, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/indexes/errors", index_statistics.errors, READ),
    whole("POST", "/databases/{db}/indexes/has-changed", indexes.has_changed, READ),
    Route("GET", "/databases/{db}/indexes/history", indexes.history, READ),
    Route("GET", "/databases/{db}/indexes/performance", index_statistics.performance, READ),
    Route("GET", "/databases/{db}/indexes/progress", index_statistics.progress, READ),
    Route("GET", "/databases/{db}/indexes/rolling", indexes.rolling, READ),
    whole("POST", "/databases/{db}/indexes/set-lock", index_administration.set_lock, DATABASE_ADMIN),
    whole("POST", "/databases/{db}/indexes/set-priority", index_administration.set_priority, DATABASE_ADMIN),
    Route("GET", "/databases/{db}/indexes/staleness", index_statistics.staleness, READ),
    Route("GET", "/databases/{db}/indexes/stats", index_statistics.stats, READ),
    Route("GET", "/databases/{db}/indexes/status", index_statistics.status, READ),
    Route("GET", "/databases/{db}/indexes/terms", indexes.terms, READ),
    Route("GET", "/databases/{db}/info/tcp", topology.tcp_of_database, READ),
    whole("PATCH", "/databases/{db}/json-patch", patches.json_patch, WRITE, "patch"),
    whole("POST", "/databases/{db}/multi_get", multi_get.post, READ, "multi_get"),
    Route("POST", "/databases/{db}/operations/kill", operations.kill, WRITE),
    Route("GET", "/databases/{db}/operations/next-operation-id", operations.next_id, READ),
    Route("GET", "/databases/{db}/operations/state", operations.state, READ),
    whole("DELETE", "/databases/{db}/queries", queries.delete_by_query, WRITE, "delete"),
    Route("GET", "/databases/{db}/queries", queries.get, READ, operation="query"),
    whole("PATCH", "/databases/{db}/queries", queries.patch_by_query, WRITE, "patch"),
    whole("POST", "/databases/{db}/queries", queries.post, READ, "query"),
    Route("GET", "/databases/{db}/replication/active-connections", replication.connections, READ),
    Route("GET", "/databases/{db}/replication/conflicts", replication.conflicts, READ),
    Route("GET", "/databases/{db}/replication/conflicts/solver", replication.solver, READ),
    Route("GET", "/databases/{db}/sorters", code_definitions.get_sorters, READ),
    Route("GET", "/databases/{db}/stats", statistics.summary, READ),
    Route("GET", "/databases/{db}/stats/detailed", statistics.detailed, READ),
    Route("GET", "/databases/{db}/stats/essential", statistics.essential, READ),
    Route("GET", "/databases/{db}/streams/docs", streams.documents, READ, operation="stream"),
    Route("GET", "/databases/{db}/streams/queries", queries.get_stream, READ, operation="stream"),
    whole("POST", "/databases/{db}/streams/queries", queries.post_stream, READ, "stream"),
    Route("GET", "/databases/{db}/task", tasks.get, READ),
    Route("GET", "/databases/{db}/tasks", tasks.list_all, READ),
    Route("GET", "/debug/routes", debug.routes, READ),
    Route("GET", "/health", health.full, READ),
    Route("GET", "/health/quick", health.quick, NONE),
    Route("GET", "/info/remote-task/tcp", topology.tcp_of_task, READ),
    Route("GET", "/info/tcp", topology.tcp, READ),
    Route("GET", "/license/status", topology.license_status, READ),
    Route("GET", "/livez", health.quick, NONE),
    Route("GET", "/metrics", health.metrics, READ),
    Route("GET", "/operations/state", operations.state_of_server, READ),
    Route("GET", "/readyz", health.quick, NONE),
    Route("GET", "/sorters", code_definitions.get_sorters, READ),
    Route("GET", "/topology", topology.database, READ),
)
