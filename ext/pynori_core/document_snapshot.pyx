"""Enter and leave a snapshot, read by id, scan."""

cimport cython
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t

from pynori_core.bits cimport atomic_add64, atomic_load32, atomic_load64, atomic_store64, compare_swap64
from pynori_core.departures cimport Departure, departure_next
from pynori_core.errors cimport E_CLOSED, E_CONFLICT, E_NOT_FOUND, E_TOO_LARGE, OK, error_clear
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.items cimport (
    FORM_FULL,
    FORM_NONE,
    STORE_FORKED,
    snapshot_begin,
    snapshot_collections,
    snapshot_end,
    snapshot_exception,
    snapshot_find,
    snapshot_find_exception,
    store_collection_name,
    store_enter_or_raise,
    store_leave,
    stored_document,
    stream_item,
)
from pynori_core.listing cimport (
    pattern_set,
    walk_collection,
    walk_collection_since,
    walk_items,
    walk_next,
    walk_prefix,
    walk_recent,
)
from pynori_core.reads cimport Text, raise_invalid, text_of
from pynori_core.tables cimport DatabaseState, Item, collection_find, state_read, tables_bind

cdef void snapshot_view(const Snapshot* snapshot, Snapshot* view) noexcept nogil:
    view.txn = snapshot.txn
    view.hints = snapshot.hints
    error_clear(&view.txn.error)
    tables_bind(&snapshot.tables, &view.txn, &view.tables)


@cython.final
cdef class DocumentSnapshot:
    """A read transaction over a whole database, held until `close`."""

    def __cinit__(self, DocumentStore store not None):
        cdef int code
        self.state = SNAPSHOT_CLOSED | SNAPSHOT_ENDED
        store_enter_or_raise(store)
        self.store = store
        code = snapshot_begin(store, &self.snapshot)
        if code != OK:
            store_leave(store)
            raise snapshot_exception(&self.snapshot, code)
        self.state = 0

    def __dealloc__(self):
        self.close()

    def close(self):
        """Give the snapshot back, at once or when those inside have left. Closing twice does no harm."""
        cdef uint64_t before
        while True:
            before = atomic_load64(&self.state)
            if before & SNAPSHOT_CLOSED:
                return
            if compare_swap64(&self.state, before, before | SNAPSHOT_CLOSED):
                break
        if before == 0:
            snapshot_last_out(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the snapshot was given back with its only scan."""
        return bool(atomic_load64(&self.state) & SNAPSHOT_CLOSED)

    cdef int enter(self) except -1:
        if atomic_add64(&self.state, 1) & SNAPSHOT_CLOSED:
            self.leave()
            raise_invalid(E_CLOSED, b"the snapshot or its database is closed")
        if atomic_load32(&self.store.closing) == STORE_FORKED:
            # The parent does not see this reader, so it may write pages under it.
            self.leave()
            raise_invalid(E_CLOSED, b"the database was opened before a fork, by the parent of this process")
        return 0

    cdef void leave(self) noexcept:
        if atomic_add64(&self.state, <uint64_t>-1) == SNAPSHOT_CLOSED:
            snapshot_last_out(self)

    cdef StoredDocument read(self, str id, ItemForm form, bint raises):
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef size_t key_size
        cdef Snapshot view
        cdef Item item
        cdef int code
        cdef Text text = text_of(id)
        if text.size == 0 or text.size > ID_SIZE_MAX:
            return None
        self.enter()
        try:
            snapshot_view(&self.snapshot, &view)
            key_size = identifier_key(text.data, text.size, key)
            code = snapshot_find(&view, key, key_size, &item)
            if code == E_NOT_FOUND or (code == E_CONFLICT and not raises):
                return None
            if code != OK:
                raise snapshot_find_exception(&view, code, key, key_size)
            return stored_document(self.store, &view, &item, form)
        finally:
            self.leave()

    def get(self, str id not None, *, bint conflict_raises=False):
        """The document of that id with its JSON, or None. One in conflict is none, or raises ConflictError."""
        return self.read(id, FORM_FULL, conflict_raises)

    def head(self, str id not None, *, bint conflict_raises=False):
        """As get, without JSON."""
        return self.read(id, FORM_NONE, conflict_raises)

    def counts(self) -> tuple:
        """(documents, tombstones, last etag)."""
        cdef Snapshot view
        cdef DatabaseState state
        cdef int code
        self.enter()
        try:
            snapshot_view(&self.snapshot, &view)
            code = state_read(&view.tables, &state)
            if code != OK:
                raise snapshot_exception(&view, code)
        finally:
            self.leave()
        return state.documents, state.tombstones, state.last_etag

    def collections(self) -> list:
        """(name as first spelt, documents, tombstones, etag of the last change) of each collection, oldest first."""
        cdef Snapshot view
        cdef int code
        cdef list found = []
        self.enter()
        try:
            snapshot_view(&self.snapshot, &view)
            code = snapshot_collections(&view, found)
            if code != OK:
                raise snapshot_exception(&view, code)
        finally:
            self.leave()
        return found

    def departed_since(self, str collection not None, uint64_t etag, *, uint64_t count) -> list:
        """(etag, id, collection where it is now or None) of ids that have left a collection since an etag.

        Those that are in another one after they were deleted from this one, and those that have got into conflict; in
        etag order. A purge of tombstones forgets them.
        """
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef Text name = text_of(collection)
        cdef Snapshot view
        cdef Departure departure
        cdef Item item
        cdef uint32_t number
        cdef int code
        cdef list found = []
        if name.size == 0 or name.size > ID_SIZE_MAX:
            return found
        self.enter()
        try:
            snapshot_view(&self.snapshot, &view)
            code = collection_find(&view.tables, key, identifier_key(name.data, name.size, key), &number)
            departure.etag = etag
            while code == OK and <uint64_t>len(found) < count:
                code = departure_next(&view.tables, number, departure.etag + 1, False, &departure)
                if code != OK:
                    break
                id = departure.id[:departure.id_size].decode("utf-8", "replace")
                code = snapshot_find(&view, key, identifier_key(departure.id, departure.id_size, key), &item)
                now = store_collection_name(self.store, &view, item.header.collection) if code == OK else None
                found.append((departure.etag, id, now))
                if code == E_NOT_FOUND or code == E_CONFLICT:
                    error_clear(&view.txn.error)
                    code = OK
            if code != OK and code != E_NOT_FOUND:
                raise snapshot_exception(&view, code)
        finally:
            self.leave()
        return found

    # ends_snapshot: the snapshot was made for this scan alone, and goes with it.

    def by_prefix(self, str prefix not None, *, str matches not None="", str exclude not None="",
                  str start_after not None="", uint64_t start=0, uint64_t count=UINT64_MAX, bint ends_snapshot=False):
        """Documents whose id begins with `prefix` and whose rest matches, in order of their lower-cased ids."""
        cdef Text prefix_text = text_of(prefix)
        cdef Text start_text = text_of(start_after)
        cdef Text matches_text = text_of(matches)
        cdef Text exclude_text = text_of(exclude)
        cdef SnapshotScan scan = scan_open(self, ends_snapshot)
        cdef int code = walk_prefix(&scan.walk, &scan.view, prefix_text.data, prefix_text.size, start_text.data,
                                    start_text.size, start, count)
        if code == OK:
            code = pattern_set(&scan.walk.matches, matches_text.data, matches_text.size)
        if code == OK:
            code = pattern_set(&scan.walk.exclude, exclude_text.data, exclude_text.size)
        if code == E_TOO_LARGE:
            scan_leave(scan)
            raise_invalid(E_TOO_LARGE, b"a prefix, a start and patterns have at most 512 bytes (ID_SIZE_BYTES_MAX)")
        return scan_started(scan, code)

    def recent(self, *, uint64_t start=0, uint64_t count=UINT64_MAX, bint ends_snapshot=False):
        """All documents, newest change first."""
        cdef SnapshotScan scan = scan_open(self, ends_snapshot)
        return scan_started(scan, walk_recent(&scan.walk, &scan.view, start, count))

    def of_collection(self, str collection not None, *, uint64_t start=0, uint64_t count=UINT64_MAX,
                      bint descending=False, bint ends_snapshot=False):
        """Documents of a collection in order of their last change."""
        cdef Text name = text_of(collection)
        cdef SnapshotScan scan = scan_open(self, ends_snapshot)
        return scan_started(
            scan, walk_collection(&scan.walk, &scan.view, name.data, name.size, start, count, descending))

    def of_collection_since(self, str collection not None, uint64_t etag, *, uint64_t count=UINT64_MAX,
                            bint ends_snapshot=False):
        """Documents of a collection with a higher etag, in etag order."""
        cdef Text name = text_of(collection)
        cdef SnapshotScan scan = scan_open(self, ends_snapshot)
        return scan_started(scan, walk_collection_since(&scan.walk, &scan.view, name.data, name.size, etag, count))

    def items_since(self, uint64_t etag, *, uint64_t count=UINT64_MAX, bint ends_snapshot=False):
        """Documents, tombstones and versions in conflict with a higher etag, in etag order, as StreamItems."""
        cdef SnapshotScan scan = scan_open(self, ends_snapshot)
        scan.gives_items = True
        return scan_started(scan, walk_items(&scan.walk, &scan.view, etag, count))


cdef void snapshot_last_out(DocumentSnapshot snapshot) noexcept:
    if compare_swap64(&snapshot.state, SNAPSHOT_CLOSED, SNAPSHOT_CLOSED | SNAPSHOT_ENDED):
        snapshot_end(&snapshot.snapshot)
        store_leave(snapshot.store)


cdef SnapshotScan scan_open(DocumentSnapshot owner, bint ends_snapshot):
    """A scan whose owner is entered; scan_started or scan_leave follows."""
    cdef SnapshotScan scan = SnapshotScan.__new__(SnapshotScan)
    owner.enter()
    scan.owner = owner
    scan.ends_snapshot = ends_snapshot
    snapshot_view(&owner.snapshot, &scan.view)
    return scan


cdef void scan_leave(SnapshotScan scan) noexcept:
    scan.owner.leave()
    if scan.ends_snapshot:
        scan.owner.close()


cdef SnapshotScan scan_started(SnapshotScan scan, int code):
    exception = snapshot_exception(&scan.view, code) if code != OK else None
    if exception is not None:
        scan_leave(scan)
        raise exception
    scan.owner.leave()
    return scan


@cython.final
cdef class SnapshotScan:
    """An iterator over documents, or items, of one snapshot."""

    def __iter__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def __next__(self):
        if not compare_swap64(&self.busy, 0, 1):
            raise ValueError("this scan is being stepped by another thread")
        try:
            if not self.ended:
                found = scan_step(self)
                if found is not None:
                    return found
                self.close()
        finally:
            atomic_store64(&self.busy, 0)
        raise StopIteration

    def close(self):
        """Give nothing more. A snapshot that was made for this scan is given back."""
        self.ended = True
        if self.ends_snapshot and self.owner is not None:
            self.owner.close()


cdef object scan_step(SnapshotScan scan):
    """The next document or item, None at the end."""
    cdef int code
    scan.owner.enter()
    try:
        code = walk_next(&scan.walk)
        if code == E_NOT_FOUND:
            return None
        if code != OK:
            raise snapshot_exception(&scan.view, code)
        if scan.gives_items:
            return stream_item(scan.owner.store, &scan.view, &scan.walk.item, FORM_FULL)
        return stored_document(scan.owner.store, &scan.view, &scan.walk.item, FORM_FULL)
    finally:
        scan.owner.leave()
