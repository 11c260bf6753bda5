"""Open a database's environment, take snapshots of it, turn rows into JSON and into small Python objects."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stddef cimport ptrdiff_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset

from pynori_core.bits cimport (
    atomic_add32,
    atomic_load32,
    atomic_load_pointer,
    atomic_store32,
    compare_swap_pointer,
    unlikely,
)
from pynori_core.blittable cimport document_wrap
from pynori_core.change_vector cimport (
    DATABASE_ID_SIZE,
    VECTOR_ENTRIES_MAX,
    VECTOR_TEXT_MAX,
    VectorEntry,
    tag_parse,
    vector_format,
)
from pynori_core.checkpoint cimport env_failure
from pynori_core.checksum cimport hash64
from pynori_core.disk cimport DiskHandle
from pynori_core.env cimport (
    EnvOptions,
    EnvStatistics,
    env_abort,
    env_begin_read,
    env_begin_write,
    env_checkpoint,
    env_close,
    env_commit,
    env_create,
    env_end_read,
    env_open,
    env_statistics,
)
from pynori_core.errors cimport (
    E_BUSY,
    E_CLOSED,
    E_CONFLICT,
    E_CORRUPT,
    E_INVALID,
    E_NOT_FOUND,
    OK,
    ErrorDetail,
    error_clear,
    error_exception,
    error_set,
    raise_error,
)
from pynori_core.forks cimport fork_forget, fork_watch
from pynori_core.format cimport PAGE_SIZE
from pynori_core.hints cimport Hint, hints_find, hints_init, hints_keep, hints_release
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.json cimport MetadataOverlay, json_write_document
from pynori_core.output cimport output_clear, output_init, output_release
from pynori_core.btree cimport Value, tree_get64
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_read
from pynori_core.table cimport SET_ALL, set_contains, table_find, table_row, table_row_ask, table_row_offset
from pynori_core.tables cimport (
    INDEX_ID,
    ITEM_CONFLICT,
    ITEM_DOCUMENT,
    ITEM_TOMBSTONE,
    CollectionRecord,
    DatabaseState,
    ItemHeader,
    collection_read,
    cover_offset,
    flags_words,
    item_decode,
    item_vector,
    position_read,
    state_read,
    tables_bind,
    tables_create,
    tables_open,
    tables_vector,
)
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format

cdef enum:
    KEPT_OUTPUT_BYTES_MAX = 1048576    # a larger buffer is given back after use


# ---- the environment

@cython.final
@cython.no_gc_clear
cdef class DocumentStore:
    """The environment of one database: made or opened here, closed once, read through snapshots."""

    def __cinit__(self):
        hints_init(&self.hints)
        self.collection_names = []
        fork_watch(&self.fork_mark, refuse_in_child, &self.closing)

    def __dealloc__(self):
        cdef ErrorDetail error
        cdef Output* output = <Output*>self.kept_output
        fork_forget(&self.fork_mark)
        if self.env != NULL:
            error_clear(&error)
            with nogil:
                env_close(self.env, &error)
        hints_release(&self.hints)
        if output != NULL:
            output_release(output)
            free(output)

    @staticmethod
    def create(directory, bytes database_id not None, str tag not None, *, bint in_memory=False,
               str allow_unsafe_filesystem=None):
        """Make a new database in an empty directory (or in memory, or on a DiskHandle); durable when this returns."""
        if len(database_id) != DATABASE_ID_SIZE:
            raise ValueError("a database id has 16 bytes")
        return store_open(directory, database_id, tag, in_memory, allow_unsafe_filesystem)

    @staticmethod
    def open(directory not None, str tag not None, *, str allow_unsafe_filesystem=None):
        """Open the database in a directory or on a DiskHandle, recovering it first."""
        return store_open(directory, None, tag, False, allow_unsafe_filesystem)

    def close(self):
        """Let the files go. Raises: Busy while a read or a stream is under way; reads are refused from then on."""
        cdef ErrorDetail error
        cdef Env* env = self.env
        cdef int code
        error_clear(&error)
        if env == NULL or atomic_load32(&self.closing) == STORE_FORKED:
            return
        atomic_store32(&self.closing, STORE_CLOSING)
        if atomic_load32(&self.users):
            error_set(&error, E_BUSY, b"the database is being read")
            raise_error(&error)
        with nogil:
            code = env_close(env, &error)
        if code != OK:
            error_set(&error, code, b"the environment does not close")
            raise_error(&error)
        self.env = NULL

    def checkpoint(self):
        """Write all that is committed to its place in the data file; waits for it."""
        cdef ErrorDetail error
        cdef int code
        error_clear(&error)
        store_enter_or_raise(self)
        try:
            with nogil:
                code = env_checkpoint(self.env, &error)
        finally:
            store_leave(self)
        if code != OK:
            error_set(&error, code, b"the checkpoint failed")
            raise_error(&error)

    @property
    def failure(self):
        """What ended all writing, as the exception that writers get; None while all is well."""
        cdef ErrorDetail failure
        store_enter_or_raise(self)
        env_failure(self.env, &failure)
        store_leave(self)
        return error_exception(&failure) if failure.code != OK else None

    @property
    def database_id(self) -> bytes:
        """The 16 bytes that stand for this database in change vectors."""
        return (<char*>self.tables.database_id)[:DATABASE_ID_SIZE]

    @property
    def last_etag(self) -> int:
        """Etag of the newest item; 0 when nothing was ever written."""
        cdef Snapshot snapshot
        cdef DatabaseState state
        store_state(self, &snapshot, &state)
        return state.last_etag

    @property
    def change_vector(self) -> str:
        """What the database has seen: its own last etag, and what other instances are known to have given."""
        cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
        cdef char text[VECTOR_TEXT_MAX]
        cdef Snapshot snapshot
        cdef int count
        store_enter_or_raise(self)
        count = -snapshot_begin(self, &snapshot)
        if count == 0:
            count = tables_vector(&snapshot.tables, entries)
        exception = snapshot_exception(&snapshot, -count) if count < 0 else None
        snapshot_end(&snapshot)
        store_leave(self)
        if exception is not None:
            raise exception
        return PyUnicode_DecodeASCII(text, <Py_ssize_t>vector_format(entries, count, text), NULL)

    def position(self, str name not None) -> int:
        """What Batch.set_position noted last under a name; 0 when nothing was."""
        cdef Snapshot snapshot
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef bytes text = name.encode()
        cdef uint64_t position = 0
        cdef int code
        if not 0 < len(text) <= ID_SIZE_MAX:
            return 0
        store_enter_or_raise(self)
        code = snapshot_begin(self, &snapshot)
        if code == OK:
            code = position_read(&snapshot.tables, key, identifier_key(<const uint8_t*>text, <size_t>len(text), key),
                                 &position)
        exception = snapshot_exception(&snapshot, code) if code not in (OK, E_NOT_FOUND) else None
        snapshot_end(&snapshot)
        store_leave(self)
        if exception is not None:
            raise exception
        return position

    def conflict_counts(self) -> tuple:
        """(ids in conflict, versions that they have)."""
        cdef Snapshot snapshot
        cdef DatabaseState state
        store_state(self, &snapshot, &state)
        return state.conflicts, state.versions

    def counts(self) -> tuple:
        """(documents, tombstones, last etag, numbers given to collections), of one snapshot."""
        cdef Snapshot snapshot
        cdef DatabaseState state
        store_state(self, &snapshot, &state)
        return state.documents, state.tombstones, state.last_etag, state.collections

    def collections(self) -> list:
        """(name as first spelt, documents, tombstones, etag of the last change) of each collection, oldest first."""
        cdef Snapshot snapshot
        cdef int code
        cdef list found = []
        store_enter_or_raise(self)
        try:
            code = snapshot_begin(self, &snapshot)
            if code == OK:
                code = snapshot_collections(&snapshot, found)
            exception = snapshot_exception(&snapshot, code) if code != OK else None
            snapshot_end(&snapshot)
        finally:
            store_leave(self)
        if exception is not None:
            raise exception
        return found

    def environment(self) -> dict:
        """The environment's counters since opening, see EnvStatistics, and the data file's size as `file_bytes`."""
        cdef EnvStatistics statistics
        cdef dict counters
        store_enter_or_raise(self)
        env_statistics(self.env, &statistics)
        store_leave(self)
        counters = statistics
        counters["file_bytes"] = statistics.file_pages * PAGE_SIZE
        return counters


cdef DocumentStore store_open(object directory, bytes database_id, str tag, bint in_memory,
                              str allow_unsafe_filesystem):
    """Create (with a database id) or open; `directory` is a path or a DiskHandle."""
    cdef DocumentStore store = DocumentStore.__new__(DocumentStore)
    cdef DiskHandle disk = directory if isinstance(directory, DiskHandle) else None
    cdef bytes path = b"" if disk is not None else (directory or "").encode("utf-8", "surrogateescape")
    cdef bytes tag_bytes = tag.encode()
    cdef bytes allowed = allow_unsafe_filesystem.encode() if allow_unsafe_filesystem else b""
    cdef uint32_t tag_number = tag_parse(tag_bytes, <size_t>len(tag_bytes))
    cdef const char* path_text = path
    cdef const uint8_t* id_bytes = NULL
    cdef EnvOptions options
    cdef ErrorDetail error
    cdef int code
    error_clear(&error)
    memset(&options, 0, sizeof(EnvOptions))
    options.in_memory = in_memory
    if disk is not None:
        options.disk = disk.disk
        store.disk = disk
    options.allow_filesystem = <const char*>allowed if allowed else NULL
    if tag_number == 0:
        error_set(&error, E_INVALID, b"a node tag has 1 to 4 letters or digits")
        raise_error(&error)
    if database_id is not None:
        id_bytes = <const uint8_t*><const char*>database_id
    with nogil:
        if id_bytes != NULL:
            code = env_create(path_text, &options, &store.env, &error)
            if code == OK:
                code = store_make_tables(store.env, id_bytes, tag_number, &store.tables, &error)
        else:
            code = env_open(path_text, &options, &store.env, &error)
            if code == OK:
                code = store_read_tables(store.env, tag_number, &store.tables, &error)
    if code != OK:
        error_set(&error, code, b"the environment does not open")
        raise_error(&error)
    return store


cdef int store_make_tables(Env* env, const uint8_t* database_id, uint32_t tag, DocumentTables* tables,
                           ErrorDetail* error) noexcept nogil:
    cdef Txn txn
    cdef int code = env_begin_write(env, &txn)
    if code == OK:
        code = tables_create(&txn, database_id, tag, tables)
        if code == OK:
            return env_commit(&txn, error)
        error[0] = txn.error
        env_abort(&txn)
    return code


cdef int store_read_tables(Env* env, uint32_t tag, DocumentTables* tables, ErrorDetail* error) noexcept nogil:
    cdef Txn txn
    cdef int code = env_begin_read(env, &txn)
    if code == OK:
        code = tables_open(&txn, tag, tables)
        error[0] = txn.error
        env_end_read(&txn)
    return code


cdef void refuse_in_child(void* argument) noexcept nogil:
    atomic_store32(<uint32_t*>argument, STORE_FORKED)


cdef bint store_enter(DocumentStore store) noexcept:
    atomic_add32(&store.users, 1)
    if atomic_load32(&store.closing):
        store_leave(store)
        return False
    return True


cdef void store_leave(DocumentStore store) noexcept:
    atomic_add32(&store.users, <uint32_t>-1)


cdef int store_enter_or_raise(DocumentStore store) except -1:
    cdef ErrorDetail error
    if store_enter(store):
        return 0
    error_clear(&error)
    error_set(&error, E_CLOSED, b"the database was opened before a fork, by the parent of this process"
              if atomic_load32(&store.closing) == STORE_FORKED else b"the database is closed")
    return raise_error(&error)


cdef int store_state(DocumentStore store, Snapshot* snapshot, DatabaseState* state) except -1:
    cdef int code
    store_enter_or_raise(store)
    code = snapshot_begin(store, snapshot)
    if code == OK:
        code = state_read(&snapshot.tables, state)
    exception = snapshot_exception(snapshot, code) if code != OK else None
    snapshot_end(snapshot)
    store_leave(store)
    if exception is not None:
        raise exception
    return 0


cdef Output* store_take_output(DocumentStore store) except NULL:
    """An empty Output, warm if one waits; goes back with store_keep_output."""
    cdef Output* output = <Output*>atomic_load_pointer(&store.kept_output)
    if output != NULL and compare_swap_pointer(&store.kept_output, output, NULL):
        output_clear(output)
        return output
    output = <Output*>calloc(1, sizeof(Output))
    if output == NULL:
        raise MemoryError
    output_init(output, 0)
    return output


cdef void store_keep_output(DocumentStore store, Output* output) noexcept:
    if output.capacity <= KEPT_OUTPUT_BYTES_MAX and compare_swap_pointer(&store.kept_output, NULL, output):
        return
    output_release(output)
    free(output)


cdef str store_collection_name(DocumentStore store, Snapshot* snapshot, uint32_t number):
    """The name of a collection as first spelt; each is read once, for it never changes."""
    cdef CollectionRecord record
    cdef const uint8_t* name
    cdef size_t name_size
    cdef list names = store.collection_names
    if number < <uint32_t>len(names) and names[number] is not None:
        return names[number]
    if collection_read(&snapshot.tables, number, &record, &name, &name_size) != OK:
        return ""
    while <uint32_t>len(names) <= number:
        names.append(None)
    names[number] = decode(name, name_size)
    return names[number]


# ---- snapshots

cdef int snapshot_begin(DocumentStore store, Snapshot* snapshot) noexcept nogil:
    cdef int code = env_begin_read(store.env, &snapshot.txn)
    if code == OK:
        tables_bind(&store.tables, &snapshot.txn, &snapshot.tables)
        snapshot.hints = &store.hints
    else:
        snapshot.txn.env = NULL  # for snapshot_end: nothing was begun
    return code


cdef void snapshot_end(Snapshot* snapshot) noexcept nogil:
    if snapshot.txn.env != NULL:
        env_end_read(&snapshot.txn)


cdef object snapshot_exception(Snapshot* snapshot, int code):
    cdef ErrorDetail error = snapshot.txn.error
    error_set(&error, code, b"the database contradicts itself")
    return error_exception(&error)


cdef object snapshot_find_exception(Snapshot* snapshot, int code, const uint8_t* key, size_t key_size):
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
    cdef char text[VECTOR_TEXT_MAX]
    cdef Value row
    cdef Item item
    cdef int count = 0
    cdef int index
    if code != E_CONFLICT or conflict_read(&snapshot.tables, key, key_size, etags, &count) != OK:
        return snapshot_exception(snapshot, code)
    id = ""
    vectors = []
    for index in range(count):
        if tree_get64(&snapshot.tables.items.rows, etags[index], &row) == OK and item_decode(
                &snapshot.txn, etags[index], &row, &item) == OK:
            id = decode(item.id, item.header.id_size)
            size = vector_format(entries, item_vector(&snapshot.tables, &item, entries), text)
            vectors.append(f"[{text[:size].decode('ascii')}]")
    exception = snapshot_exception(snapshot, code)
    exception.args = (f"Conflict detected on '{id}', conflict must be resolved before the document will be accessible. "
                      f"Change vectors of its versions: {', '.join(vectors)}",)
    exception.document_id = id
    exception.offset = etags[count - 1]
    return exception


cdef int snapshot_collections(Snapshot* snapshot, list found) except? -1:
    cdef DatabaseState state
    cdef CollectionRecord record
    cdef const uint8_t* name
    cdef size_t name_size
    cdef uint32_t number = 1
    cdef int code = state_read(&snapshot.tables, &state)
    while code == OK and number <= state.collections:
        code = collection_read(&snapshot.tables, number, &record, &name, &name_size)
        if code == OK:
            found.append((decode(name, name_size), record.documents, record.tombstones, record.last_etag))
        number += 1
    return code


cdef int row_read(Snapshot* snapshot, const IndexEntry* entry, Value* row, Item* item) noexcept nogil:
    cdef int code = table_row(&snapshot.tables.items, entry.row_id, entry.page, cover_offset(<const Cover*>entry.cover),
                              row)
    if code == E_NOT_FOUND:
        error_set(&snapshot.txn.error, E_CORRUPT, b"index 'items.id' leads to row %llu, which is not there",
                  <unsigned long long>entry.row_id)
        return E_CORRUPT
    return code if code != OK else item_decode(&snapshot.txn, entry.row_id, row, item)


cdef int snapshot_row(Snapshot* snapshot, const IndexEntry* entry, Item* item) noexcept nogil:
    cdef Value row
    return row_read(snapshot, entry, &row, item)


cdef bint hinted(Snapshot* snapshot, const uint8_t* key, size_t key_size, uint64_t hash, Item* item) noexcept nogil:
    """Whether the hint leads to the living document of this key; then `item` is it."""
    cdef uint8_t own_key[ID_KEY_SIZE_MAX]
    cdef Hint hint
    cdef Value row
    if not hints_find(snapshot.hints, hash, &hint):
        return False
    table_row_ask(&snapshot.tables.items, hint.page, hint.offset)
    if not set_contains(&snapshot.tables.items, SET_ALL, hint.row_id) \
            or table_row(&snapshot.tables.items, hint.row_id, hint.page, hint.offset, &row) != OK \
            or item_decode(&snapshot.txn, hint.row_id, &row, item) != OK:
        return False               # what is wrong, the way down the tree tells
    return item.header.kind == ITEM_DOCUMENT and item.header.id_size <= ID_SIZE_MAX \
        and identifier_key(item.id, item.header.id_size, own_key) == key_size and memcmp(own_key, key, key_size) == 0


cdef int snapshot_find(Snapshot* snapshot, const uint8_t* key, size_t key_size, Item* item) noexcept nogil:
    cdef IndexEntry entry
    cdef Hint hint
    cdef Value row
    cdef uint64_t hash = 0
    cdef int code
    if snapshot.hints != NULL:
        hash = hash64(key, key_size, 0)
        if hinted(snapshot, key, key_size, hash, item):
            return OK
        error_clear(&snapshot.txn.error)
    code = table_find(&snapshot.tables.items, INDEX_ID, key, key_size, &entry)
    if code == OK and (<Cover*>entry.cover).kind == ITEM_CONFLICT:
        error_set(&snapshot.txn.error, E_CONFLICT, b"the document has several versions that nobody has resolved")
        return E_CONFLICT
    if code == OK and (<Cover*>entry.cover).kind != ITEM_DOCUMENT:
        return E_NOT_FOUND
    if code == OK:
        code = row_read(snapshot, &entry, &row, item)
    if code == OK and snapshot.hints != NULL:
        hint.row_id = entry.row_id
        hint.page = row.page
        hint.offset = table_row_offset(&snapshot.tables.items, row.page, row.data)
        hints_keep(snapshot.hints, hash, &hint)
    return code


# ---- items as JSON and as objects

cdef int item_write(const DocumentTables* tables, const Item* item, ItemForm form, Output* output, char* vector_text,
                    size_t* vector_size) noexcept nogil:
    cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
    cdef char own_text[VECTOR_TEXT_MAX]
    cdef char time_text[TIMESTAMP_TEXT_SIZE]
    cdef char* text = vector_text if vector_text != NULL else own_text
    cdef MetadataOverlay overlay
    cdef size_t size = vector_format(entries, item_vector(tables, item, entries), text)
    if vector_size != NULL:
        vector_size[0] = size
    if form == FORM_NONE:
        return OK
    timestamp_format(item.header.last_modified, time_text)
    memset(&overlay, 0, sizeof(MetadataOverlay))
    if unlikely(item.header.flags != 0):
        overlay.flags = <const uint8_t*>flags_words(item.header.flags, &overlay.flags_size)
    overlay.id = item.id
    overlay.id_size = item.header.id_size
    overlay.change_vector = <const uint8_t*>text
    overlay.change_vector_size = size
    overlay.last_modified = <const uint8_t*>time_text
    overlay.last_modified_size = TIMESTAMP_TEXT_SIZE
    overlay.metadata_only = form == FORM_METADATA
    return json_write_document(output, item.body, item.body_size, &overlay)


cdef inline str decode(const uint8_t* text, size_t size):
    return PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, "replace")


cdef str time_object(uint64_t ticks):
    cdef char text[TIMESTAMP_TEXT_SIZE]
    timestamp_format(ticks, text)
    return PyUnicode_DecodeASCII(text, TIMESTAMP_TEXT_SIZE, NULL)


@cython.final
cdef class StoredDocument:
    """A document as read: a copy of what is stored, of which each part is made when it is asked for."""

    @property
    def id(self) -> str:
        return decode(self.item.id, self.item.header.id_size)

    @property
    def change_vector(self) -> str:
        cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
        cdef char text[VECTOR_TEXT_MAX]
        cdef size_t size = vector_format(entries, item_vector(&self.store.tables, &self.item, entries), text)
        return PyUnicode_DecodeASCII(text, <Py_ssize_t>size, NULL)

    @property
    def last_modified(self) -> str:
        return time_object(self.item.header.last_modified)

    @property
    def etag(self) -> int:
        return self.item.etag

    @property
    def json(self) -> bytes:
        """The document's JSON with the server's metadata; for a head b""."""
        if self.written is None:
            self.written = item_json(self.store, &self.store.tables, &self.item, self.form, NULL, NULL)
        return self.written

    @property
    def body(self):
        """The document as stored, without the server's metadata: a Document, whose properties are read in place."""
        if self.form == FORM_NONE:
            raise AttributeError("a head has no body")
        return document_wrap(self.item.body, self.item.body_size, self.row)

    @property
    def flags(self) -> str:
        """Flags of the document, comma separated."""
        cdef size_t size = 0
        cdef const char* text = flags_words(self.item.header.flags, &size)
        return PyUnicode_DecodeASCII(text, <Py_ssize_t>size, NULL)

    def __repr__(self):
        return f"StoredDocument({self.id!r} {self.change_vector})"


@cython.final
cdef class StreamItem:
    """An item of the item stream. `kind` is DOCUMENT, TOMBSTONE or CONFLICT, one of several versions; `json` is b"" for
    a tombstone and for a version that is a deletion."""

    @property
    def flags(self) -> str:
        """Flags of the document, comma separated."""
        cdef size_t size = 0
        cdef const char* text = flags_words(self.item_flags, &size)
        return PyUnicode_DecodeASCII(text, <Py_ssize_t>size, NULL)

    def __repr__(self):
        return f"StreamItem({self.kind} {self.etag} {self.id!r})"


cdef bytes item_json(DocumentStore store, const DocumentTables* tables, const Item* item, ItemForm form,
                     char* vector_text, size_t* vector_size):
    """The item's JSON, and its change vector's text where that is wanted."""
    cdef Output* output
    cdef bytes json = b""
    cdef int code
    if form == FORM_NONE:
        item_write(tables, item, form, NULL, vector_text, vector_size)
        return json
    output = store_take_output(store)
    try:
        code = item_write(tables, item, form, output, vector_text, vector_size)
        if code != OK:
            raise_written(code)
        json = PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
    finally:
        store_keep_output(store, output)
    return json


cdef int raise_written(int code) except -1:
    cdef ErrorDetail error
    error_clear(&error)
    error_set(&error, code, b"the document cannot be written as JSON")
    return raise_error(&error)


cdef StoredDocument stored_document(DocumentStore store, Snapshot* snapshot, const Item* item, ItemForm form):
    cdef StoredDocument document = StoredDocument.__new__(StoredDocument)
    cdef const uint8_t* start = <const uint8_t*>item.header
    cdef ptrdiff_t moved
    cdef size_t size = <size_t>(item.body - start)
    if form != FORM_NONE:
        size += item.body_size
    document.row = PyBytes_FromStringAndSize(<const char*>start, <Py_ssize_t>size)
    moved = <const uint8_t*>PyBytes_AS_STRING(document.row) - start
    document.item.etag = item.etag
    document.item.header = <const ItemHeader*>(start + moved)
    document.item.vector = <const VectorEntry*>(<const uint8_t*>item.vector + moved)
    document.item.id = item.id + moved
    document.item.body = item.body + moved
    document.item.body_size = item.body_size
    document.form = form
    document.store = store
    document.collection = store_collection_name(store, snapshot, item.header.collection)
    return document


cdef StreamItem stream_item(DocumentStore store, Snapshot* snapshot, const Item* item, ItemForm form):
    cdef char vector_text[VECTOR_TEXT_MAX]
    cdef size_t vector_size = 0
    cdef StreamItem made = StreamItem.__new__(StreamItem)
    made.json = item_json(store, &snapshot.tables, item, form if item.body_size else FORM_NONE, vector_text,
                          &vector_size)
    made.kind = ("DOCUMENT" if item.header.kind == ITEM_DOCUMENT
                 else "TOMBSTONE" if item.header.kind == ITEM_TOMBSTONE else "CONFLICT")
    made.item_flags = item.header.flags
    made.id = decode(item.id, item.header.id_size)
    made.change_vector = PyUnicode_DecodeASCII(vector_text, <Py_ssize_t>vector_size, NULL)
    made.collection = store_collection_name(store, snapshot, item.header.collection)
    made.last_modified = time_object(item.header.last_modified)
    made.etag = item.etag
    made.transaction = item.header.user_txn
    return made
