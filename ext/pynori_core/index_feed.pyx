"""Walk documents, evaluate paths, take values into a batch."""

from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from pynori_core.blittable cimport (
    BLITTABLE_ARRAY,
    BLITTABLE_DEPTH_MAX,
    BLITTABLE_FALSE,
    BLITTABLE_INTEGER,
    BLITTABLE_NULL,
    BLITTABLE_OBJECT,
    BLITTABLE_STRING,
    BLITTABLE_TRUE,
    BlittableTable,
    blittable_double,
    blittable_get,
    blittable_open,
    blittable_root,
    blittable_slot,
    blittable_string,
)
from pynori_core.errors cimport E_CORRUPT, E_INVALID, E_NO_MEMORY, E_NOT_FOUND, OK, error_clear, error_set
from pynori_core.field_value cimport (
    FIELD_DOUBLE,
    FIELD_FALSE,
    FIELD_INTEGER,
    FIELD_NULL,
    FIELD_OBJECT,
    FIELD_STRING,
    FIELD_TRUE,
    FieldValue,
)
from pynori_core.index_batch cimport (
    batch_bytes,
    batch_document,
    batch_document_drop,
    batch_document_end,
    batch_entry,
    batch_term,
    batch_token,
)
from pynori_core.index_terms cimport TERM_ROOM, term_of_value, term_string
from pynori_core.index_trees cimport FIELD_EXACT, FIELD_TEXT
from pynori_core.output cimport output_append
from pynori_core.table cimport RowScan, scan_next, scan_start
from pynori_core.tables cimport ITEM_DOCUMENT, ITEM_TOMBSTONE, item_decode
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format

cdef enum PathKind:
    PATH_PROPERTY = 0
    PATH_ID = 1
    PATH_LAST_MODIFIED = 2

cdef enum:
    ERROR_TEXT_SIZE_MAX = 240


cdef class FeedProgram:
    """What turns a document into entries without the interpreter."""


cdef class TextAnalyzer:
    """What cuts texts into tokens without the interpreter."""


# ---- paths

cdef class FieldPaths(FeedProgram):
    """One entry a document: each field gets what lies at its path."""

    def __cinit__(self, fields):
        cdef FieldPath* path
        cdef size_t index = 0
        self.fields = [(int(number), str(text)) for number, text in fields]
        self.names = []
        self.paths = <FieldPath*>calloc(max(len(self.fields), 1), sizeof(FieldPath))
        if self.paths == NULL:
            raise MemoryError()
        for number, text in self.fields:
            path = &self.paths[index]
            path.field = number
            path_parse(path, text, self.names)
            index += 1
        self.count = index
        self.evaluate = paths_evaluate
        self.state = <void*>self

    def __dealloc__(self):
        free(self.paths)


cdef int path_parse(FieldPath* path, str text, list names) except -1:
    cdef bytes name
    if text in ("id()", "@metadata.@id"):
        path.kind = PATH_ID
        return 0
    if text == "@metadata.@last-modified":
        path.kind = PATH_LAST_MODIFIED
        return 0
    path.kind = PATH_PROPERTY
    for part in text.split("."):
        each = 0
        while part.endswith("[]"):
            part = part[:len(part) - 2]
            each += 1
        if not part:
            raise ValueError(f"the path {text!r} has an empty step")
        name = part.encode()
        names.append(name)
        step_push(path, text, name, len(name))
        for _ in range(each):
            step_push(path, text, NULL, 0)
    return 0


cdef int step_push(FieldPath* path, str text, const char* name, size_t size) except -1:
    if path.step_count == PATH_STEPS_MAX:
        raise ValueError(f"the path {text!r} has more than {PATH_STEPS_MAX} steps")
    path.steps[path.step_count].name = <const uint8_t*>name
    path.steps[path.step_count].size = size
    path.step_count += 1
    return 0


cdef int paths_evaluate(void* state, const FeedDocument* document, const FieldSink* sink,
                        ErrorDetail* error) noexcept nogil:
    cdef FieldPath* paths = (<FieldPaths>state).paths
    cdef size_t count = (<FieldPaths>state).count
    cdef const FieldPath* path
    cdef size_t index
    cdef int code = OK
    for index in range(count):
        path = &paths[index]
        if path.kind == PATH_PROPERTY:
            code = path_walk(path, 0, &document.root, sink, 0)
        else:
            code = path_special(path, document, sink)
        if code != OK:
            error_set(error, code, b"the values of the document do not fit into an index entry")
            return code
    return sink.end_entry(sink.context)


cdef int path_special(const FieldPath* path, const FeedDocument* document, const FieldSink* sink) noexcept nogil:
    cdef char text[TIMESTAMP_TEXT_SIZE]
    cdef FieldValue value
    memset(&value, 0, sizeof(FieldValue))
    value.kind = FIELD_STRING
    if path.kind == PATH_ID:
        value.text = document.item.id
        value.size = document.item.header.id_size
    else:
        timestamp_format(document.item.header.last_modified, text)
        value.text = <const uint8_t*>text
        value.size = TIMESTAMP_TEXT_SIZE
    return sink.emit(sink.context, path.field, &value)


cdef int path_walk(const FieldPath* path, uint32_t step, const BlittableValue* value, const FieldSink* sink,
                   int depth) noexcept nogil:
    """Follow the steps; arrays on the way and at the end give their items, whether the path says so or not."""
    cdef BlittableValue found
    cdef BlittableValue here = value[0]
    while True:
        if here.type == BLITTABLE_ARRAY:
            return path_items(path, step, &here, sink, depth)
        if step == path.step_count:
            return value_emit(path.field, &here, sink)
        if path.steps[step].name == NULL:
            return OK              # items of what is no array: none
        if blittable_get(&here, <const char*>path.steps[step].name, path.steps[step].size, &found) != OK:
            return OK
        here = found
        step += 1


cdef int path_items(const FieldPath* path, uint32_t step, const BlittableValue* array, const FieldSink* sink,
                    int depth) noexcept nogil:
    cdef BlittableTable table
    cdef BlittableValue item
    cdef uint32_t index
    cdef int code
    if array.offset == 0 or depth > BLITTABLE_DEPTH_MAX:
        return OK
    if step < path.step_count and path.steps[step].name == NULL:
        step += 1
    blittable_open(array, &table)
    for index in range(table.count):
        blittable_slot(array, &table, index, &item)
        code = path_walk(path, step, &item, sink, depth + 1)
        if code != OK:
            return code
    return OK


cdef int value_emit(uint32_t field, const BlittableValue* value, const FieldSink* sink) noexcept nogil:
    cdef FieldValue out
    out.blittable = value[0]
    out.text = NULL
    out.size = 0
    if value.type == BLITTABLE_STRING:
        out.kind = FIELD_STRING
        blittable_string(value, &out.text, &out.size)
    elif value.type == BLITTABLE_INTEGER:
        out.kind = FIELD_INTEGER
        out.integer = value.integer
        out.number = <double>value.integer
    elif value.type == BLITTABLE_NULL:
        out.kind = FIELD_NULL
    elif value.type == BLITTABLE_TRUE or value.type == BLITTABLE_FALSE:
        out.kind = FIELD_TRUE if value.type == BLITTABLE_TRUE else FIELD_FALSE
    elif value.type == BLITTABLE_OBJECT:
        out.kind = FIELD_OBJECT
    else:
        out.kind = FIELD_DOUBLE
        blittable_double(value, &out.number)
    return sink.emit(sink.context, field, &out)


# ---- the sink

cdef int feed_token(void* context, const uint8_t* text, size_t size, uint32_t position) noexcept nogil:
    cdef TokenContext* token = <TokenContext*>context
    cdef uint8_t term[TERM_ROOM]
    cdef size_t term_bytes = term_string(text, size, False, term, &token.feed.batch.scratch)
    if term_bytes == 0:
        return E_NO_MEMORY
    return batch_token(token.feed.batch, token.field, term, term_bytes, position)


cdef struct TokenContext:
    Feed* feed
    uint32_t field


cdef int feed_emit(void* context, uint32_t field, const FieldValue* value) noexcept nogil:
    cdef Feed* feed = <Feed*>context
    cdef uint8_t term[TERM_ROOM]
    cdef TokenContext token
    cdef TokenSink sink
    cdef uint8_t flags
    cdef size_t size
    cdef int code
    if field == 0 or field >= feed.trees.fields.count:
        return E_INVALID
    flags = feed.trees.fields.records[field].flags
    if flags & FIELD_TEXT and value.kind == FIELD_STRING:
        token.feed = feed
        token.field = field
        sink.context = &token
        sink.token = feed_token
        code = feed.analyzers[field](feed.analyzer_states[field], value.text, value.size, feed.positions[field],
                                     &sink, &feed.positions[field])
        feed.positions[field] += TEXT_GAP
        return code
    size = term_of_value(value, not flags & FIELD_EXACT, term, &feed.batch.scratch)
    if size == 0:
        return OK                  # missing, or an array within arrays that is not taken apart
    return batch_term(feed.batch, field, term, size)


cdef int feed_end_entry(void* context) noexcept nogil:
    cdef Feed* feed = <Feed*>context
    if feed.positions != NULL:
        memset(feed.positions, 0, feed.trees.fields.count * sizeof(uint32_t))
    return batch_entry(feed.batch, NULL, 0)


# ---- walking

cdef void error_keep(Feed* feed, const Item* item, const ErrorDetail* error) noexcept nogil:
    cdef uint16_t size
    feed.failed += 1
    if feed.errors_kept == FEED_ERRORS_MAX:
        return
    feed.errors_kept += 1
    size = item.header.id_size
    output_append(&feed.errors, &size, 2)
    output_append(&feed.errors, item.id, size)
    size = 0
    while size < ERROR_TEXT_SIZE_MAX and error.text[size]:
        size += 1
    output_append(&feed.errors, &size, 2)
    output_append(&feed.errors, error.text, size)


cdef int feed_one(Feed* feed, const Item* item) noexcept nogil:
    cdef FeedDocument document
    cdef FieldSink sink
    cdef ErrorDetail error
    cdef int code
    document.snapshot = feed.snapshot
    document.item = item
    code = batch_document(feed.batch, item.id, item.header.id_size)
    if code != OK:
        return code
    if blittable_root(item.body, item.body_size, &document.root) != OK:
        error_set(&feed.snapshot.txn.error, E_CORRUPT, b"the document with etag %llu is no document",
                  <unsigned long long>item.etag)
        return E_CORRUPT
    sink.context = feed
    sink.emit = feed_emit
    sink.end_entry = feed_end_entry
    error_clear(&error)
    code = feed.evaluate(feed.state, &document, &sink, &error)
    if code == OK:
        batch_document_end(feed.batch)
        return OK
    if code == E_NO_MEMORY:
        return code
    batch_document_drop(feed.batch)
    error_keep(feed, item, &error)
    return OK


cdef int feed_walk(Feed* feed, uint64_t set_id, uint8_t kind) noexcept nogil:
    cdef RowScan scan
    cdef Item item
    cdef int code = scan_start(&scan, &feed.snapshot.tables.items, set_id, feed.since + 1, False)
    feed.last_etag = feed.since
    while code == OK:
        code = scan_next(&scan)
        if code == OK:
            code = item_decode(&feed.snapshot.txn, scan.row_id, &scan.row, &item)
        if code != OK:
            break
        if item.header.kind == kind:
            if feed.documents >= feed.documents_max or batch_bytes(feed.batch) >= feed.bytes_max:
                feed.more = True
                break
            feed.documents += 1
            if kind == ITEM_DOCUMENT:
                code = feed_one(feed, &item)
            else:
                code = batch_document(feed.batch, item.id, item.header.id_size)
        feed.last_etag = item.etag
    return OK if code == E_NOT_FOUND else code


cdef int feed_documents(Feed* feed, uint64_t set_id) noexcept nogil:
    return feed_walk(feed, set_id, ITEM_DOCUMENT)


cdef int feed_tombstones(Feed* feed, uint64_t set_id) noexcept nogil:
    return feed_walk(feed, set_id, ITEM_TOMBSTONE)
