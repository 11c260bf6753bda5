"""Put, delete and feed documents; commit or abort."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from pynori_core.bits cimport load16
from pynori_core.blittable cimport (
    BLITTABLE_ARRAY,
    BLITTABLE_OBJECT,
    BlittableValue,
    blittable_get,
    blittable_root,
)
from pynori_core.btree cimport PUT_UPSERT, tree_delete, tree_put
from pynori_core.document_snapshot cimport DocumentSnapshot, snapshot_view
from pynori_core.errors cimport E_CLOSED, E_NO_MEMORY, E_NOT_FOUND, OK
from pynori_core.errors import CorruptError
from pynori_core.field_value cimport FieldSink
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.index_batch cimport (
    batch_bytes,
    batch_clear,
    batch_document,
    batch_document_end,
    batch_entry,
    batch_init,
    batch_release,
    batch_term,
    batch_token,
)
from pynori_core.index_feed cimport (
    TEXT_GAP,
    AnalyzeFunction,
    Feed,
    FeedProgram,
    TextAnalyzer,
    TokenSink,
    feed_documents,
    feed_emit,
    feed_tombstones,
    value_emit,
)
from pynori_core.index_field cimport fields_list, meta_key, meta_read, raise_plain, raise_txn
from pynori_core.index_flush cimport batch_flush
from pynori_core.index_terms cimport TERM_ROOM, term_of_object, term_string
from pynori_core.index_trees cimport (
    FIELD_EXACT,
    FIELD_NAME_SIZE_MAX,
    FIELD_OPTIONS,
    FIELD_TEXT,
    META_VALUE_SIZE_MAX,
    document_entries,
    field_create,
    trees_open,
    trees_release,
    trees_save,
)
from pynori_core.items cimport Snapshot, snapshot_exception
from pynori_core.matches cimport IdList, ids_init, ids_release
from pynori_core.output cimport Output, output_init, output_release
from pynori_core.tables cimport ITEM_DOCUMENT, ITEM_TOMBSTONE, collection_find, tables_set

cdef enum:
    DOCUMENTS_DEFAULT = 65536      # of one feed
    FEED_BYTES_DEFAULT = 67108864  # of one feed's batch


@cython.final
@cython.no_gc_clear
cdef class IndexWriter:
    """One write transaction: all of it is durable after `commit`, or nothing."""

    def __cinit__(self):
        self.ended = True
        self.numbers = {}
        self.analyzers = {}
        batch_init(&self.batch)

    def __dealloc__(self):
        trees_release(&self.trees)
        batch_release(&self.batch)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.commit()
        else:
            self.abort()

    cdef int live(self) except -1:
        if self.ended:
            raise_plain(E_CLOSED, b"the writer has ended")
        return 0

    cdef int checked(self, int code) except -1:
        if code != OK:
            raise_txn(&self.txn.memory, code, self.txn.owner.directory)
        return 0

    cdef int flush(self) except -1:
        cdef int code
        with nogil:
            code = batch_flush(&self.batch, &self.trees, &self.counts)
        return self.checked(code)

    def field(self, str name not None, *, bint exact=False, bint text=False, analyzer=None):
        """The number of a field; it is made when there is none of that name."""
        cdef Py_ssize_t size
        cdef const char* name_text = PyUnicode_AsUTF8AndSize(name, &size)
        cdef uint8_t flags = (FIELD_EXACT if exact else 0) | (FIELD_TEXT if text else 0)
        cdef uint32_t number = 0
        self.live()
        if not 1 <= size <= FIELD_NAME_SIZE_MAX:
            raise ValueError(f"the name of a field has 1 to {FIELD_NAME_SIZE_MAX} bytes")
        if name in self.numbers:
            number = self.numbers[name]
            if self.trees.fields.records[number].flags & FIELD_OPTIONS != flags:
                raise ValueError(f"the field {name!r} is there with other options")
        else:
            self.flush()           # a batch knows the fields that were there when it began
            self.checked(field_create(&self.trees, <const uint8_t*>name_text, <size_t>size, flags, &number))
            self.numbers[name] = number
        if analyzer is not None:
            self.analyzers[number] = analyzer
        return number

    def fields(self):
        self.live()
        return fields_list(&self.trees)

    def put(self, str document_id not None, entries not None, stored=None):
        """Replace what the document has in the index."""
        cdef size_t before = self.batch.count
        cdef Py_ssize_t index = 0
        self.live()
        if stored is not None and len(stored) != len(entries):
            raise ValueError("as many stored values as entries")
        self.begin_document(document_id)
        try:
            for entry in entries:
                self.put_entry(entry, stored[index] if stored is not None else None)
                index += 1
        except BaseException:
            self.batch.count = before
            raise
        batch_document_end(&self.batch)
        if batch_bytes(&self.batch) > FLUSH_BYTES:
            self.flush()

    def put_object(self, str document_id not None, bytes row not None, fields not None, bytes stored):
        """As put, one entry of a blittable object: `fields` are (name as bytes, number). Whether it did: objects and
        arrays within, and text fields, are for put."""
        cdef const uint8_t* kept = <const uint8_t*>PyBytes_AS_STRING(stored) if stored is not None else NULL
        cdef BlittableValue root, value
        cdef FieldSink sink
        cdef Feed feed
        cdef bytes name
        cdef uint32_t number
        self.live()
        if blittable_root(<const uint8_t*>PyBytes_AS_STRING(row), <size_t>PyBytes_GET_SIZE(row), &root) != OK:
            raise ValueError("these bytes are no document")
        for name, number in fields:
            if not 1 <= number <= self.trees.state.fields:
                raise ValueError(f"there is no field {number}")
            if self.trees.fields.records[number].flags & FIELD_TEXT:
                return False
            if blittable_get(&root, PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name), &value) == OK and (
                    value.type == BLITTABLE_OBJECT or value.type == BLITTABLE_ARRAY):
                return False
        memset(&feed, 0, sizeof(Feed))
        feed.batch = &self.batch
        feed.trees = &self.trees
        sink.context = &feed
        sink.emit = feed_emit
        sink.end_entry = NULL
        self.begin_document(document_id)
        for name, number in fields:
            if blittable_get(&root, PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name), &value) == OK:
                self.checked(value_emit(number, &value, &sink))
        self.checked(batch_entry(&self.batch, kept, <size_t>len(stored) if stored is not None else 0))
        batch_document_end(&self.batch)
        if batch_bytes(&self.batch) > FLUSH_BYTES:
            self.flush()
        return True

    cdef int begin_document(self, str document_id) except -1:
        cdef Py_ssize_t size
        cdef const char* id = PyUnicode_AsUTF8AndSize(document_id, &size)
        if not 1 <= size <= ID_SIZE_MAX:
            raise ValueError(f"a document id has 1 to {ID_SIZE_MAX} bytes")
        return self.checked(batch_document(&self.batch, <const uint8_t*>id, <size_t>size))

    cdef int put_entry(self, object entry, object stored) except -1:
        cdef const uint8_t* data = NULL
        cdef uint32_t number
        for field, value in entry.items():
            number = field
            if not 1 <= number <= self.trees.state.fields:
                raise ValueError(f"there is no field {number}")
            if self.trees.fields.records[number].flags & FIELD_TEXT:
                put_text(self, number, value)
            else:
                put_value(self, number, value)
        if stored is not None:
            data = <const uint8_t*>PyBytes_AS_STRING(stored)
        return self.checked(batch_entry(&self.batch, data, len(stored) if stored is not None else 0))

    def delete(self, str document_id not None):
        """Whether it had entries."""
        cdef uint64_t before
        self.live()
        self.flush()
        before = self.counts.deleted
        self.begin_document(document_id)
        batch_document_end(&self.batch)
        self.flush()
        return self.counts.deleted > before

    def entries_of(self, str document_id not None):
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef Py_ssize_t size
        cdef const char* id = PyUnicode_AsUTF8AndSize(document_id, &size)
        cdef IdList ids
        cdef size_t index
        cdef int code
        self.live()
        self.flush()
        if not 1 <= size <= ID_SIZE_MAX:
            return []
        ids_init(&ids)
        code = document_entries(&self.trees, key, identifier_key(<const uint8_t*>id, <size_t>size, key), &ids)
        found = [ids.ids[index] for index in range(ids.count)]
        ids_release(&ids)
        if code != E_NOT_FOUND:
            self.checked(code)
        return found

    def feed(self, DocumentSnapshot documents not None, str collection, uint64_t since_etag,
             FeedProgram program not None, *, uint64_t documents_max=DOCUMENTS_DEFAULT,
             uint64_t bytes_max=FEED_BYTES_DEFAULT):
        """Put the documents of a collection (None: of all) with a higher etag, in etag order, natively."""
        cdef Feed feed
        self.live()
        if program.evaluate == NULL:
            raise ValueError("the program cannot be fed")
        memset(&feed, 0, sizeof(Feed))
        feed.evaluate = program.evaluate
        feed.state = program.state
        feed.bytes_max = bytes_max
        try:
            feed_analyzers(self, &feed)
            return feed_run(self, documents, collection, since_etag, documents_max, &feed)
        finally:
            free(feed.analyzers)
            free(feed.analyzer_states)
            free(feed.positions)

    def feed_tombstones(self, DocumentSnapshot documents not None, str collection, uint64_t since_etag, *,
                        uint64_t documents_max=DOCUMENTS_DEFAULT):
        """Delete the documents that tombstones with a higher etag name."""
        cdef Feed feed
        self.live()
        memset(&feed, 0, sizeof(Feed))
        feed.bytes_max = FEED_BYTES_DEFAULT
        return feed_run(self, documents, collection, since_etag, documents_max, &feed)

    def meta(self, str key not None):
        cdef int code = OK
        self.live()
        found = meta_read(&self.trees, meta_key(key), &code)
        self.checked(code)
        return found

    def set_meta(self, str key not None, bytes value):
        """None removes it."""
        cdef bytes encoded = meta_key(key)
        cdef int code
        self.live()
        if value is None:
            code = tree_delete(&self.trees.meta, PyBytes_AS_STRING(encoded), <size_t>PyBytes_GET_SIZE(encoded))
            self.checked(OK if code == E_NOT_FOUND else code)
            return
        if PyBytes_GET_SIZE(value) > META_VALUE_SIZE_MAX:
            raise ValueError("a value of meta has at most 64 MB")
        self.checked(tree_put(&self.trees.meta, PyBytes_AS_STRING(encoded), <size_t>PyBytes_GET_SIZE(encoded),
                              PyBytes_AS_STRING(value), <uint64_t>PyBytes_GET_SIZE(value), PUT_UPSERT))

    cdef int finish(self) except -1:
        """Everything is in the trees, and nothing more may come."""
        try:
            self.flush()
            self.checked(trees_save(&self.trees))
        except BaseException:
            self.abort()
            raise
        self.ended = True
        batch_release(&self.batch)
        return 0

    def commit(self):
        if self.ended:
            return
        self.finish()
        try:
            self.txn.commit()
        except CorruptError as error:
            raise CorruptError(f"{self.txn.owner.directory}/{error}", error.offset) from None

    def seal(self):
        """End it and let the journal's thread make it durable, which the PendingCommit tells; the next may begin."""
        self.live()
        self.finish()
        return self.txn.seal()

    def abort(self):
        """Undo everything. Ending twice does no harm."""
        self.ended = True
        batch_release(&self.batch)
        if self.txn is not None:
            self.txn.abort()


cdef IndexWriter writer_open(WriteTxn txn):
    cdef IndexWriter writer = IndexWriter.__new__(IndexWriter)
    cdef int code
    writer.txn = txn
    writer.ended = False
    code = trees_open(&txn.memory, &writer.trees)
    if code != OK:
        try:
            raise_txn(&txn.memory, code, txn.owner.directory)
        finally:
            writer.abort()
    writer.numbers = {field.name: field.number for field in fields_list(&writer.trees)}
    return writer


cdef int put_value(IndexWriter writer, uint32_t field, object value) except -1:
    cdef uint8_t term[TERM_ROOM]
    cdef size_t size
    if isinstance(value, (list, tuple)):
        for item in value:
            put_value(writer, field, item)
        return 0
    size = term_of_object(value, not writer.trees.fields.records[field].flags & FIELD_EXACT, term,
                          &writer.batch.scratch)
    return writer.checked(batch_term(&writer.batch, field, term, size))


cdef int put_text(IndexWriter writer, uint32_t field, object value) except -1:
    """A text field takes tokens, or strings for its analyzer; what is neither stands for itself."""
    cdef list tokens = []
    cdef uint32_t first = 0
    for item in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(item, tuple):
            tokens.append(item)
        elif isinstance(item, str):
            analyzer = writer.analyzers.get(field)
            if analyzer is None:
                raise ValueError(f"the text field {field} has no analyzer, and was given a string")
            for token, position in analyze_text(analyzer, item):
                tokens.append((token, first + <uint32_t>position))
            first = tokens[len(tokens) - 1][1] + TEXT_GAP if tokens else 0
        else:
            put_value(writer, field, item)
    for token, position in tokens:
        put_token(writer, field, token, position)
    return 0


cdef int put_token(IndexWriter writer, uint32_t field, str token, uint32_t position) except -1:
    cdef uint8_t term[TERM_ROOM]
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(token, &size)
    cdef size_t term_bytes = term_string(<const uint8_t*>text, <size_t>size, False, term, &writer.batch.scratch)
    if term_bytes == 0:
        raise MemoryError()
    return writer.checked(batch_token(&writer.batch, field, term, term_bytes, position))


cdef int token_collect(void* context, const uint8_t* text, size_t size, uint32_t position) noexcept nogil:
    with gil:
        try:
            (<list>context).append((PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, "replace"), position))
        except BaseException:
            return E_NO_MEMORY
    return OK


def analyze_text(analyzer, str text not None):
    """(token, position) of a text, by a callable or a TextAnalyzer."""
    cdef TokenSink sink
    cdef TextAnalyzer native
    cdef list found
    cdef uint32_t next_position = 0
    cdef Py_ssize_t size
    cdef const char* data
    if not isinstance(analyzer, TextAnalyzer):
        return analyzer(text)
    native = analyzer
    found = []
    data = PyUnicode_AsUTF8AndSize(text, &size)
    sink.context = <void*>found
    sink.token = token_collect
    if native.analyze(native.state, <const uint8_t*>data, <size_t>size, 0, &sink, &next_position) != OK:
        raise MemoryError()
    return found


cdef int feed_analyzers(IndexWriter writer, Feed* feed) except -1:
    """Analyzers by field for the native path; every text field needs one."""
    cdef uint32_t count = writer.trees.fields.count
    cdef uint32_t number
    cdef bint needed = False
    for number in range(1, count):
        needed = needed or writer.trees.fields.records[number].flags & FIELD_TEXT != 0
    if not needed:
        return 0
    feed.analyzers = <AnalyzeFunction*>calloc(count, sizeof(AnalyzeFunction))
    feed.analyzer_states = <void**>calloc(count, sizeof(void*))
    feed.positions = <uint32_t*>calloc(count, sizeof(uint32_t))
    if feed.analyzers == NULL or feed.analyzer_states == NULL or feed.positions == NULL:
        raise MemoryError()
    for number in range(1, count):
        if not writer.trees.fields.records[number].flags & FIELD_TEXT:
            continue
        analyzer = writer.analyzers.get(number)
        if not isinstance(analyzer, TextAnalyzer):
            raise ValueError(f"the text field {number} has no TextAnalyzer, without which it cannot be fed")
        feed.analyzers[number] = (<TextAnalyzer>analyzer).analyze
        feed.analyzer_states[number] = (<TextAnalyzer>analyzer).state
    return 0


cdef Fed feed_run(IndexWriter writer, DocumentSnapshot documents, str collection, uint64_t since_etag,
                  uint64_t documents_max, Feed* feed):
    """Feed documents when there is a program, else tombstones."""
    cdef Snapshot view
    cdef uint64_t set_id = 0
    cdef uint8_t kind = ITEM_DOCUMENT if feed.evaluate != NULL else ITEM_TOMBSTONE
    cdef FlushCounts before
    cdef bint found = True
    cdef int code
    cdef Fed fed
    writer.flush()
    before = writer.counts
    feed.batch = &writer.batch
    feed.trees = &writer.trees
    feed.snapshot = &view
    feed.since = since_etag
    feed.last_etag = since_etag
    feed.documents_max = documents_max
    output_init(&feed.errors, 0)
    documents.enter()
    try:
        snapshot_view(&documents.snapshot, &view)
        code = feed_set(&view, collection, kind, &set_id, &found)
        if code == OK and found:
            with nogil:
                code = feed_documents(feed, set_id) if kind == ITEM_DOCUMENT else feed_tombstones(feed, set_id)
        if code != OK:
            batch_clear(&writer.batch)
            raise snapshot_exception(&view, code) if view.txn.error.code != OK else MemoryError("a batch is too large")
        writer.flush()
        fed = fed_of(feed.last_etag, feed.documents, writer.counts.entries - before.entries,
                     writer.counts.deleted - before.deleted, feed.more)
        fed.failed = feed.failed
        fed.errors = feed_errors(&feed.errors)
    finally:
        documents.leave()
        output_release(&feed.errors)
    return fed


cdef int feed_set(Snapshot* view, str collection, uint8_t kind, uint64_t* set_id, bint* found) except? -1:
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef uint32_t number = 0
    cdef Py_ssize_t size
    cdef const char* name
    cdef int code
    found[0] = True
    if collection is None:
        set_id[0] = tables_set(0, kind) if kind == ITEM_TOMBSTONE else 0
        return OK
    name = PyUnicode_AsUTF8AndSize(collection, &size)
    found[0] = size <= ID_SIZE_MAX
    if not found[0]:
        return OK
    code = collection_find(&view.tables, key, identifier_key(<const uint8_t*>name, <size_t>size, key), &number)
    found[0] = code == OK
    set_id[0] = tables_set(number, kind)
    return OK if code == E_NOT_FOUND else code


cdef Fed fed_of(uint64_t last_etag, uint64_t documents, uint64_t entries, uint64_t deleted, bint more):
    cdef Fed fed = Fed.__new__(Fed)
    fed.last_etag = last_etag
    fed.documents = documents
    fed.entries = entries
    fed.deleted = deleted
    fed.more = more
    fed.errors = []
    return fed


cdef list feed_errors(const Output* errors):
    cdef list found = []
    cdef const uint8_t* here = errors.data
    cdef const uint8_t* end = errors.data + errors.size
    cdef size_t id_size, text_size
    while here != NULL and here < end:
        id_size = load16(here)
        text_size = load16(here + 2 + id_size)
        found.append((PyUnicode_DecodeUTF8(<const char*>here + 2, <Py_ssize_t>id_size, "replace"),
                      PyUnicode_DecodeUTF8(<const char*>here + 4 + id_size, <Py_ssize_t>text_size, "replace")))
        here += 4 + id_size + text_size
    return found


@cython.final
cdef class Fed:
    """What a `feed` did."""

    def __repr__(self):
        return (f"Fed(last_etag={self.last_etag}, documents={self.documents}, entries={self.entries}, "
                f"deleted={self.deleted}, more={self.more}, failed={self.failed})")
