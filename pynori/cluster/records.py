"""A database's record: its allowed names, its complete form, and the shapes made from it.

The record is what clients PUT and GET at `/admin/databases`: they send a few fields and read all of them, so a record
is completed once when it enters the state, and again when it is read, for fields that a newer version has added.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pynori import limits
from pynori.cluster import database_topology
from pynori.errors import InvalidArgument, InvalidName

Record = dict[str, Any]

# What a field holds when nobody gave it, or gave null. Fields whose natural default is null are in NULLABLE.
DEFAULTS: dict[str, Any] = {
    "Disabled": False,
    "Encrypted": False,
    "EtagForBackup": 0,
    "DeletionInProgress": {},
    "DatabaseState": "Normal",
    "LockMode": "Unlock",
    "ConflictSolverConfig": {"ResolveByCollection": {}, "ResolveToLatest": False},
    "DocumentsCompression": {"Collections": [], "CompressRevisions": True, "CompressAllCollections": False},
    "Sorters": {},
    "Analyzers": {},
    "Indexes": {},
    "IndexesHistory": {},
    "AutoIndexes": {},
    "RollingIndexes": {},
    "Settings": {},
    "PeriodicBackups": [],
    "ExternalReplications": [],
    "SinkPullReplications": [],
    "HubPullReplications": [],
    "RavenConnectionStrings": {},
    "SqlConnectionStrings": {},
    "OlapConnectionStrings": {},
    "ElasticSearchConnectionStrings": {},
    "QueueConnectionStrings": {},
    "SnowflakeConnectionStrings": {},
    "AiConnectionStrings": {},
    "RavenEtls": [],
    "SqlEtls": [],
    "OlapEtls": [],
    "ElasticSearchEtls": [],
    "QueueEtls": [],
    "SnowflakeEtls": [],
    "QueueSinks": [],
    "TruncatedClusterTransactionCommandsCount": 0,
    "UnusedDatabaseIds": [],
}
NULLABLE = (
    "Revisions",
    "RevisionsForConflicts",
    "RevisionsBin",
    "TimeSeries",
    "Expiration",
    "Refresh",
    "DataArchival",
    "Client",
    "Studio",
    "Integrations",
    "Sharding",
)
_LOCK_MODES = ("Unlock", "PreventDeletesIgnore", "PreventDeletesError")
# Names that some file systems give to devices; a folder of that name could not be moved there.
_DEVICE_NAMES = {"con", "prn", "aux", "nul"} | {f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10)}


def check_name(name: object) -> str:
    """The name itself when a database may be called so.

    Letters, digits, '_', '-' and '.', not beginning or ending with '.': the name is a folder's name, and folders that
    begin with '.' are the ones that are being made or removed.
    Raises: InvalidName.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidName("The database name must not be empty")
    if len(name) > limits.DATABASE_NAME_SIZE_MAX or len(name.encode("utf-8", "replace")) > 240:
        raise InvalidName(
            f"The database name '{name[:40]}...' is longer than DATABASE_NAME_SIZE_MAX = "
            f"{limits.DATABASE_NAME_SIZE_MAX} characters"
        )
    if not all(character.isalnum() or character in "_-." for character in name):
        raise InvalidName(
            f"The name '{name}' is not permitted. Only letters, digits and the characters '_', '-', '.' are allowed"
        )
    if name.startswith(".") or name.endswith("."):
        raise InvalidName(f"The name '{name}' is not permitted. It must not begin or end with '.'")
    if name.split(".")[0].lower() in _DEVICE_NAMES:
        raise InvalidName(f"The name '{name}' is not permitted. It is reserved by some operating systems")
    return name


def new_record(given: Mapping[str, Any], named: list[str], ids: tuple[str, str]) -> Record:
    """A complete record from what a client gave, with an instance on each of the nodes that it has named.

    ids: of the topology and of the cluster transactions, base64.
    """
    check_name(given.get("DatabaseName"))
    lock_mode = given.get("LockMode") or "Unlock"
    if lock_mode not in _LOCK_MODES:
        raise InvalidArgument(f"LockMode '{lock_mode}' is not one of {', '.join(_LOCK_MODES)}")
    record = complete(given)
    asked = given.get("Topology") or {}
    record["Topology"] = database_topology.new(named, ids, bool(asked.get("DynamicNodesDistribution")))
    return record


def instances(record: Mapping[str, Any]) -> list[str]:
    """Tags of the nodes that have an instance of the database, or are to have one."""
    return database_topology.instances(record["Topology"])


def complete(record: Mapping[str, Any]) -> Record:
    """A copy with every field of the protocol: nulls and what is missing take their defaults."""
    completed: Record = {"DatabaseName": record.get("DatabaseName")}
    for name, default in DEFAULTS.items():
        value = record.get(name)
        completed[name] = copy.deepcopy(default if value is None else value)
    for name in NULLABLE:
        completed[name] = copy.deepcopy(record.get(name))
    for name, value in record.items():
        if name not in completed:
            completed[name] = copy.deepcopy(value)
    return completed


def topology_nodes(record: Record, urls: Mapping[str, str]) -> dict[str, Any]:
    """What `/topology` answers, but for its etag: the nodes of the database with their roles; urls: by node tag."""
    topology = record["Topology"]

    def nodes(tags: list[str], role: str) -> list[dict[str, Any]]:
        return [
            {"Url": urls[tag], "ClusterTag": tag, "Database": record["DatabaseName"], "ServerRole": role}
            for tag in tags
            if tag in urls
        ]

    return {
        "Nodes": nodes(topology["Members"], "Member") + nodes(topology["Rehabs"], "Rehab"),
        "Promotables": nodes(topology["Promotables"], "Promotable"),
    }
