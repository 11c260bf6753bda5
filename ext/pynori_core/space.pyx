"""What the bytes of a data file are used for: each tree, the engine's own pages, free space; by collection on request.

Trees, own pages and free space add up to the data file. Pages in use that no tree has are headers, catalog and
bitmaps. Bytes by collection are those of live rows, counted by a walk over all of them; what is left of the rows' tree
is dead rows, room in leaves, and slots.
"""

from libc.stdint cimport uint16_t

from pynori_core.btree cimport Tree, tree_header, tree_open_id
from pynori_core.env cimport EnvStatistics, env_statistics
from pynori_core.errors cimport E_NOT_FOUND, OK
from pynori_core.format cimport PAGE_SIZE, TreeHeader
from pynori_core.items cimport (
    DocumentStore, Snapshot, snapshot_begin, snapshot_end, snapshot_exception, store_collection_name,
    store_enter_or_raise, store_leave,
)
from pynori_core.table cimport SET_ALL, RowScan, scan_next, scan_start
from pynori_core.tables cimport ITEM_CONFLICT, ITEM_DOCUMENT, ITEM_TOMBSTONE, Item, item_decode

cdef enum:
    TREES_MAX = 84                     # places of the first catalog page; a database has five trees


def space(DocumentStore store not None, bint collections=False):
    """A dict; see space.pyi. With `collections` every row is looked at."""
    cdef Snapshot snapshot
    cdef EnvStatistics statistics
    cdef object found = None
    cdef object exception = None
    cdef int code
    store_enter_or_raise(store)
    try:
        code = snapshot_begin(store, &snapshot)
        if code == OK:
            env_statistics(store.env, &statistics)
            trees = list_trees(&snapshot)
            used = sum(tree["branch_bytes"] + tree["leaf_bytes"] + tree["run_bytes"] for tree in trees)
            found = {
                "file_bytes": statistics.file_pages * PAGE_SIZE,
                "free_bytes": statistics.free_pages * PAGE_SIZE,
                "structure_bytes": (statistics.file_pages - statistics.free_pages) * PAGE_SIZE - used,
                "version_bytes": statistics.scratch_bytes,
                "trees": trees,
                "collections": list_collections(store, &snapshot, &code) if collections else [],
            }
        if code != OK:
            exception = snapshot_exception(&snapshot, code)
        snapshot_end(&snapshot)
    finally:
        store_leave(store)
    if exception is not None:
        raise exception
    return found


cdef list list_trees(Snapshot* snapshot):
    cdef Tree tree
    cdef const TreeHeader* header
    cdef uint16_t id
    found = []
    for id in range(TREES_MAX):
        if tree_open_id(&snapshot.txn, id, &tree) != OK:
            continue
        header = tree_header(&tree)
        if header != NULL:
            found.append({
                "name": header.name[:header.name_size].decode("utf-8", "replace"), "entries": header.entries,
                "branch_bytes": header.branch_pages * PAGE_SIZE, "leaf_bytes": header.leaf_pages * PAGE_SIZE,
                "run_bytes": header.run_pages * PAGE_SIZE,
            })
    return found


cdef list list_collections(DocumentStore store, Snapshot* snapshot, int* code):
    cdef RowScan scan
    cdef Item item
    cdef dict counts = {}              # (collection, kind) -> [rows, bytes]
    code[0] = scan_start(&scan, &snapshot.tables.items, SET_ALL, 0, False)
    while code[0] == OK:
        code[0] = scan_next(&scan)
        if code[0] == OK:
            code[0] = item_decode(&snapshot.txn, scan.row_id, &scan.row, &item)
        if code[0] == OK:
            total = counts.setdefault((item.header.collection, item.header.kind), [0, 0])
            total[0] += 1
            total[1] += scan.row.size
    if code[0] == E_NOT_FOUND:
        code[0] = OK
    found = []
    for number in sorted({number for number, _ in counts}):
        documents = counts.get((number, ITEM_DOCUMENT), (0, 0))
        tombstones = counts.get((number, ITEM_TOMBSTONE), (0, 0))
        versions = counts.get((number, ITEM_CONFLICT), (0, 0))
        found.append({
            "name": store_collection_name(store, snapshot, number), "documents": documents[0],
            "document_bytes": documents[1], "tombstones": tombstones[0], "tombstone_bytes": tombstones[1],
            "versions": versions[0], "version_bytes": versions[1],
        })
    return found
