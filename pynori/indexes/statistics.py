"""What an index tells of itself, in the shapes that clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori.errors import PynoriError
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.settings import passed_over
from pynori.runtime.clock import wire_time

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.indexes.index import Index


def summary(index: Index) -> dict[str, Any]:
    """A line of the database's statistics."""
    return {
        "Name": index.name,
        "IsStale": index.is_stale(),
        "State": index.state,
        "LockMode": index.definition.lock_mode,
        "Priority": index.definition.priority,
        "Type": index.type,
        "LastIndexingTime": index.progress.last_indexing,
        "SourceType": index.definition.source_type,
    }


def full(index: Index, database: Database) -> dict[str, Any]:
    """Everything that is counted."""
    done = index.progress
    definition = index.definition
    output = definition if isinstance(definition, IndexDefinition) else None
    entries = 0
    if index.store is not None:
        try:
            with index.read() as snapshot:
                entries = snapshot.entry_count
        except PynoriError:
            entries = 0  # one that has failed is not read any more
    reduced = index.is_map_reduce
    return {
        **summary(index),
        "MapAttempts": done.map_attempts,
        "MapSuccesses": done.map_attempts - done.map_errors,
        "MapErrors": done.map_errors,
        "MapReferenceAttempts": done.reference_attempts,
        "MapReferenceSuccesses": done.reference_attempts,
        "MapReferenceErrors": 0,
        "ReduceAttempts": done.reduce_attempts if reduced else None,
        "ReduceSuccesses": done.reduce_attempts - done.reduce_errors if reduced else None,
        "ReduceErrors": done.reduce_errors if reduced else None,
        "ReduceOutputCollection": None if output is None else output.output_collection,
        "ReduceOutputReferencePattern": None if output is None else output.output_pattern,
        "PatternReferencesCollectionName": None if output is None else output.output_pattern_collection,
        "MappedPerSecondRate": round(index.mapped_per_second, 1),
        "ReducedPerSecondRate": 0.0,
        "MaxNumberOfOutputsPerDocument": done.outputs_max,
        "Collections": _collections(index, database),
        "LastQueryingTime": None if index.last_query is None else wire_time(index.last_query),
        "CreatedTimestamp": index.created,
        "Status": index.status,
        "EntriesCount": entries,
        "ErrorsCount": len(index.errors),
        "IsInvalidIndex": done.failure is not None or index.broken is not None,
        "IsTestIndex": False,
        "IgnoredSettings": [] if output is None else passed_over(output.configuration),
        "SearchEngineType": "Corax",
        "Memory": {"DiskSize": {"HumaneSize": "", "SizeInBytes": _size_bytes(index)}},
    }


def progress(index: Index, database: Database) -> dict[str, Any]:
    """How far it has come, by collection."""
    return {
        "Name": index.name,
        "Type": index.type,
        "SourceType": index.definition.source_type,
        "IsStale": index.is_stale(),
        "IndexRunningStatus": index.status,
        "ProcessedPerSecond": round(index.mapped_per_second, 1),
        "Collections": _collections(index, database),
    }


def errors(index: Index) -> dict[str, Any]:
    """Documents that could not be indexed, oldest first."""
    shown = [
        {"Timestamp": each.timestamp, "Document": each.document, "Action": each.action, "Error": each.error}
        for each in index.errors
    ]
    if index.broken is not None:
        shown.append({"Timestamp": index.created, "Document": "", "Action": "Critical", "Error": index.broken})
    return {"Name": index.name, "Errors": shown}


def performance(index: Index) -> dict[str, Any]:
    """The last batches, oldest first."""
    return {"Name": index.name, "Performance": [each.to_json() for each in index.batches]}


def _collections(index: Index, database: Database) -> dict[str, Any]:
    last = database.collection_etags()
    if index.collections is None:
        names = [name for name in last if name in index.progress.collections]
    else:
        names = list(index.collections)
    shown = {}
    for name in names:
        at = index.progress.collections.get(name.lower())
        document_etag = 0 if at is None else at.document_etag
        tombstone_etag = 0 if at is None else at.tombstone_etag
        wanted = last.get(name.lower(), 0)
        shown[name] = {
            "LastProcessedDocumentEtag": min(document_etag, wanted),
            "LastProcessedTombstoneEtag": min(tombstone_etag, wanted),
            "DocumentLag": max(0, wanted - document_etag),
            "TombstoneLag": max(0, wanted - tombstone_etag),
        }
    return shown


def _size_bytes(index: Index) -> int:
    if index.path is None or not index.path.exists():
        return 0
    return sum(entry.stat().st_blocks * 512 for entry in index.path.iterdir())
