"""Statistics of one database, in the three sizes that clients ask for."""

from __future__ import annotations

from typing import Any

from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.http.shapes import size_shape
from pynori.indexes import statistics as index_statistics


def healthcheck(request: Request) -> Response:
    """The database answers."""
    request.open_database()
    return Response(204)


def summary(request: Request) -> Response:
    """Statistics of the database."""
    return json_response(summary_shape(request))


def detailed(request: Request) -> Response:
    """Statistics of the database with those of the cluster's values."""
    shape = summary_shape(request)
    shape["CountOfIdentities"] = len(request.server.state.identities(request.database_name))
    shape["CountOfCompareExchange"] = request.server.state.compare_exchange_count(request.database_name)
    shape["CountOfCompareExchangeTombstones"] = 0
    shape["CountOfRemoteAttachments"] = 0
    return json_response(shape)


def essential(request: Request) -> Response:
    """The counts of the statistics."""
    shape = summary_shape(request)
    kept = [name for name in shape if name.startswith("CountOf")]
    return json_response({**{name: shape[name] for name in kept}, "Indexes": shape["Indexes"]})


def summary_shape(request: Request) -> dict[str, Any]:
    opened = request.open_database()
    database = opened.database
    statistics = database.statistics()
    indexes = [index_statistics.summary(each) for each in opened.indexes.all()]
    return {
        "LastDocEtag": statistics.last_etag,
        "LastDatabaseEtag": statistics.last_etag,
        "CountOfIndexes": len(indexes),
        "CountOfDocuments": statistics.documents,
        "CountOfRevisionDocuments": 0,
        "CountOfDocumentsConflicts": statistics.conflicts,
        "CountOfTombstones": statistics.tombstones,
        "CountOfConflicts": statistics.versions,
        "CountOfAttachments": 0,
        "CountOfUniqueAttachments": 0,
        "CountOfCounterEntries": 0,
        "CountOfTimeSeriesSegments": 0,
        "Indexes": indexes,
        "DatabaseChangeVector": statistics.change_vector,
        "DatabaseId": database.id,
        "Is64Bit": True,
        "Pager": "mmap",
        "LastIndexingTime": max((each["LastIndexingTime"] or "" for each in indexes), default="") or None,
        "SizeOnDisk": size_shape(statistics.size_bytes),
        "TempBuffersSizeOnDisk": size_shape(0),
        "NumberOfTransactionMergerQueueOperations": statistics.queue_count,
    }


def storage_report(request: Request) -> Response:
    """Where the bytes of the database are."""
    opened = request.open_database()
    report = opened.database.space()
    journals = [
        {"Number": int(name.removeprefix("journal."), 16), "AllocatedSpaceInBytes": size}
        for name, size in sorted(report.files.items())
        if name.startswith("journal.")
    ]
    trees = [
        {
            "Name": tree["name"],
            "NumberOfEntries": tree["entries"],
            "AllocatedSpaceInBytes": tree["branch_bytes"] + tree["leaf_bytes"] + tree["run_bytes"],
            "BranchPagesInBytes": tree["branch_bytes"],
            "LeafPagesInBytes": tree["leaf_bytes"],
            "OverflowPagesInBytes": tree["run_bytes"],
        }
        for tree in report.trees
    ]
    data_file = {
        "AllocatedSpaceInBytes": report.file_bytes,
        "UsedSpaceInBytes": report.file_bytes - report.free_bytes,
        "FreeSpaceInBytes": report.free_bytes,
        "StructureInBytes": report.structure_bytes,
    }
    environment = {
        "Name": opened.name,
        "Type": "Documents",
        "Report": {
            "DataFile": data_file,
            "Journals": {"Journals": journals, "AllocatedSpaceInBytes": report.journal_bytes},
            "TempBuffers": [{"Name": "page images in memory", "AllocatedSpaceInBytes": report.version_bytes}],
            "Trees": trees,
        },
    }
    return json_response({"BasePath": str(opened.database.directory or ""), "Results": [environment]})
