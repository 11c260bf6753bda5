"""Answer reads: find, write JSON, make one object of it."""

from pynori_core.errors import EngineError

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from pynori_core.bits cimport atomic_store64, compare_swap64
from pynori_core.change_vector cimport VECTOR_TEXT_MAX
from pynori_core.checksum cimport hash64
from pynori_core.errors cimport (
    E_CONFLICT,
    E_INVALID,
    E_NOT_FOUND,
    E_TOO_LARGE,
    OK,
    ErrorDetail,
    error_clear,
    error_set,
    raise_error,
)
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.includes cimport (
    INCLUDE_PATHS_MAX,
    IncludePath,
    IncludeSet,
    include_add,
    include_collect,
    include_parse,
    include_set_init,
    include_set_release,
)
from pynori_core.items cimport (
    FORM_FULL,
    FORM_METADATA,
    FORM_NONE,
    StoredDocument,
    item_write,
    snapshot_begin,
    snapshot_end,
    snapshot_exception,
    snapshot_find,
    snapshot_find_exception,
    store_enter_or_raise,
    store_keep_output,
    store_leave,
    store_take_output,
    stored_document,
    stream_item,
)
from pynori_core.json cimport json_write_string
from pynori_core.listing cimport (
    pattern_set,
    walk_collection,
    walk_items,
    walk_next,
    walk_prefix,
    walk_recent,
)
from pynori_core.output cimport Output, output_append, output_byte
from pynori_core.tables cimport Item

cdef enum:
    PAGE_SIZE_DEFAULT = 2147483647


cdef Text text_of(str text) except *:
    cdef Text result
    cdef Py_ssize_t size
    if text is None:
        raise TypeError("an id or a path is a str, not None")
    try:
        result.data = <const uint8_t*>PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        raise_invalid(E_INVALID, b"the text contains an unpaired surrogate")
    result.size = <size_t>size
    return result


cdef int raise_invalid(int code, const char* text) except -1:
    cdef ErrorDetail error
    error_clear(&error)
    error_set(&error, code, text)
    return raise_error(&error)


@cython.final
cdef class LoadedDocuments:
    """The answer to a load: its body, its etag, and how many of the documents exist."""


@cython.final
cdef class DocumentReader:
    """Reads of one database.

    translate: what `get` hands errors of the engine to, to raise what it returns instead; None: they leave as they are.
    """

    def __cinit__(self, DocumentStore store not None, object translate=None):
        self.store = store
        self.translate = translate

    def get(self, str id not None, bint metadata_only=False):
        """The document of that id as stored, or None. Its parts, JSON among them, are made when they are asked for."""
        try:
            return read_one(self.store, id, FORM_METADATA if metadata_only else FORM_FULL)
        except EngineError as error:
            if self.translate is None:
                raise
            raise self.translate(error) from error

    def head(self, str id not None):
        """As get, without JSON."""
        return read_one(self.store, id, FORM_NONE)

    def answer(self, bytes head not None, str id not None):
        """The HTTP message that answers a load of one document without includes; None when it is not there.

        head: status line and constant fields. Behind them come Content-Length, ETag, and the body of `load`.
        """
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef size_t key_size
        cdef char vector_text[VECTOR_TEXT_MAX]
        cdef size_t vector_size = 0
        cdef Snapshot snapshot
        cdef Item item
        cdef Output* output
        cdef int code
        cdef DocumentStore store = self.store
        cdef object exception = None
        cdef bytes message = None
        cdef Text text = text_of(id)
        if text.size == 0 or text.size > ID_SIZE_MAX:
            return None
        store_enter_or_raise(store)
        output = store_take_output(store)
        output_append(output, b'{"Results":[', 12)
        code = snapshot_begin(store, &snapshot)
        key_size = identifier_key(text.data, text.size, key)
        if code == OK:
            code = snapshot_find(&snapshot, key, key_size, &item)
        if code == OK:
            code = item_write(&snapshot.tables, &item, FORM_FULL, output, vector_text, &vector_size)
        if code == OK:
            output_append(output, b'],"Includes":{}}', 16)
            code = output.failure
        if code == OK:
            message = message_of(head, vector_text, vector_size, output)
        elif code != E_NOT_FOUND:
            exception = snapshot_find_exception(&snapshot, code, key, key_size)
        snapshot_end(&snapshot)
        store_keep_output(store, output)
        store_leave(store)
        if exception is not None:
            raise exception
        return message

    def load(self, list ids not None, list includes not None, bint metadata_only=False):
        """Several documents, null for each missing one, and what they name under the include paths.

        Raises: InvalidArgument (a path that is none), TooLarge.
        """
        cdef Snapshot snapshot
        cdef IncludeSet found
        cdef IncludePath* paths = NULL
        cdef Output* output = NULL
        cdef LoadedDocuments loaded = LoadedDocuments.__new__(LoadedDocuments)
        cdef ItemForm form = FORM_METADATA if metadata_only else FORM_FULL
        cdef DocumentStore store = self.store
        cdef int code
        if len(includes) > INCLUDE_PATHS_MAX:
            raise_invalid(E_TOO_LARGE, b"a load has at most 1000 include paths (INCLUDES_MAX)")
        store_enter_or_raise(store)
        include_set_init(&found)
        try:
            paths = parse_paths(includes)
            output = store_take_output(store)
            code = snapshot_begin(store, &snapshot)
            try:
                if code == OK:
                    code = load_results(&snapshot, ids, paths, len(includes), form, output, &found, loaded)
                if code == OK:
                    code = load_includes(&snapshot, form, output, &found, loaded)
                if code != OK:
                    raise snapshot_exception(&snapshot, code)
            finally:
                snapshot_end(&snapshot)
            loaded.body = PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
        finally:
            include_set_release(&found)
            free(paths)
            if output != NULL:
                store_keep_output(store, output)
            store_leave(store)
        return loaded

    def list_by_prefix(self, str prefix not None, *, str matches not None="", str exclude not None="",
                       str start_after not None="", uint64_t start=0, uint64_t page_size=PAGE_SIZE_DEFAULT,
                       bint metadata_only=False):
        """Documents whose id begins with `prefix`, in order of their lower-cased ids: {"Results":[...]}."""
        return list_all(DocumentStream.by_prefix(self.store, prefix, matches, exclude, start_after, start, page_size),
                        metadata_only)

    def list_recent(self, *, uint64_t start=0, uint64_t page_size=PAGE_SIZE_DEFAULT, bint metadata_only=False):
        """All documents, newest change first: {"Results":[...]}."""
        return list_all(DocumentStream.recent(self.store, start, page_size), metadata_only)

    def list_collection(self, str collection not None, *, uint64_t start=0, uint64_t page_size=PAGE_SIZE_DEFAULT,
                        bint descending=False, bint metadata_only=False):
        """Documents of a collection in order of their last change: {"Results":[...]}."""
        return list_all(DocumentStream.of_collection(self.store, collection, start, page_size, descending),
                        metadata_only)


cdef bytes message_of(bytes head, const char* etag, size_t etag_size, const Output* body):
    """head, Content-Length, ETag, blank line, body."""
    cdef char digits[20]
    cdef size_t rest = body.size
    cdef int first = 20
    cdef char* here
    while True:
        first -= 1
        digits[first] = c'0' + <char>(rest % 10)
        rest //= 10
        if rest == 0:
            break
    message = PyBytes_FromStringAndSize(
        NULL, len(head) + 16 + (20 - first) + 9 + <Py_ssize_t>etag_size + 5 + <Py_ssize_t>body.size)
    here = PyBytes_AS_STRING(message)
    here = put(here, PyBytes_AS_STRING(head), <size_t>len(head))
    here = put(here, b"Content-Length: ", 16)
    here = put(here, &digits[first], 20 - first)
    here = put(here, b'\r\nETag: "', 9)
    here = put(here, etag, etag_size)
    here = put(here, b'"\r\n\r\n', 5)
    put(here, <const char*>body.data, body.size)
    return message


cdef inline char* put(char* target, const char* source, size_t size) noexcept nogil:
    memcpy(target, source, size)
    return target + size


cdef StoredDocument read_one(DocumentStore store, str id, ItemForm form):
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef size_t key_size
    cdef Snapshot snapshot
    cdef Item item
    cdef int code
    cdef StoredDocument document = None
    cdef object exception = None
    cdef Text text = text_of(id)
    if text.size == 0 or text.size > ID_SIZE_MAX:
        return None
    store_enter_or_raise(store)
    code = snapshot_begin(store, &snapshot)
    key_size = identifier_key(text.data, text.size, key)
    try:
        if code == OK:
            code = snapshot_find(&snapshot, key, key_size, &item)
        if code == OK:
            document = stored_document(store, &snapshot, &item, form)
        elif code != E_NOT_FOUND:
            exception = snapshot_find_exception(&snapshot, code, key, key_size)
    finally:
        snapshot_end(&snapshot)
        store_leave(store)
    if exception is not None:
        raise exception
    return document


# ---- loading with includes

cdef IncludePath* parse_paths(list includes) except? NULL:
    """One IncludePath each, malloc'd; NULL for none."""
    cdef IncludePath* paths
    cdef Py_ssize_t index
    cdef Text text
    if not includes:
        return NULL
    paths = <IncludePath*>malloc(<size_t>len(includes) * sizeof(IncludePath))
    if paths == NULL:
        raise MemoryError
    try:
        for index in range(len(includes)):
            text = text_of(includes[index])
            if include_parse(text.data, text.size, &paths[index]) != OK:
                raise_invalid(E_INVALID, b"an include path is names with dots between, and a prefix in parentheses")
    except BaseException:
        free(paths)
        raise
    return paths


cdef int load_results(Snapshot* snapshot, list ids, const IncludePath* paths, Py_ssize_t path_count, ItemForm form,
                      Output* output, IncludeSet* found, LoadedDocuments loaded) except? -1:
    """Write {"Results":[...]; collect what the documents include."""
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef size_t key_size = 0
    cdef char vector_text[VECTOR_TEXT_MAX]
    cdef size_t vector_size = 0
    cdef uint64_t hash = 0
    cdef Item item
    cdef Text text
    cdef Py_ssize_t index
    cdef Py_ssize_t path
    cdef int code
    if path_count:
        for index in range(len(ids)):
            text = text_of(ids[index])
            include_add(found, text.data, text.size, True)
    output_append(output, b'{"Results":[', 12)
    for index in range(len(ids)):
        text = text_of(ids[index])
        code = E_NOT_FOUND
        if index:
            output_byte(output, c',')
        if 0 < text.size <= ID_SIZE_MAX:
            key_size = identifier_key(text.data, text.size, key)
            code = snapshot_find(snapshot, key, key_size, &item)
        if code == E_CONFLICT:
            raise snapshot_find_exception(snapshot, code, key, key_size)
        if code == E_NOT_FOUND:
            output_append(output, b"null", 4)
            hash = hash64(b"null", 4, hash)
            continue
        if code == OK:
            code = item_write(&snapshot.tables, &item, form, output, vector_text, &vector_size)
        if code != OK:
            return code
        hash = hash64(vector_text, vector_size, hash)
        loaded.found += 1
        for path in range(path_count):
            include_collect(found, item.body, item.body_size, &paths[path])
    if len(ids) == 1 and path_count == 0:
        loaded.etag = vector_text[:vector_size].decode("ascii")
    else:
        loaded.etag = f"{hash:016x}"
    return found.failure if found.failure != OK else output.failure


cdef int load_includes(Snapshot* snapshot, ItemForm form, Output* output, IncludeSet* found,
                       LoadedDocuments loaded) except? -1:
    """Write the includes and close the body. What was asked for is a result already; what is missing, or in conflict,
    is left out."""
    cdef char vector_text[VECTOR_TEXT_MAX]
    cdef size_t vector_size = 0
    cdef uint64_t hash = 0
    cdef bint any_included = False
    cdef Item item
    cdef unsigned int index
    cdef int code
    output_append(output, b'],"Includes":{', 14)
    for index in range(found.count):
        if found.entries[index].is_asked:
            continue
        code = snapshot_find(snapshot, found.keys.data + found.entries[index].key_offset, found.entries[index].key_size,
                             &item)
        if code == E_NOT_FOUND or code == E_CONFLICT:
            error_clear(&snapshot.txn.error)
            continue
        if code != OK:
            return code
        if any_included:
            output_byte(output, c',')
        any_included = True
        json_write_string(output, item.id, item.header.id_size)
        output_byte(output, c':')
        code = item_write(&snapshot.tables, &item, form, output, vector_text, &vector_size)
        if code != OK:
            return code
        hash = hash64(vector_text, vector_size, hash)
    output_append(output, b"}}", 2)
    if any_included:
        loaded.etag = f"{loaded.etag}{hash:016x}"
    return output.failure


# ---- listings and streams

cdef bytes list_all(DocumentStream stream, bint metadata_only):
    """The whole of a stream as {"Results":[...]}."""
    cdef ItemForm form = FORM_METADATA if metadata_only else FORM_FULL
    cdef Output* output
    cdef int code
    try:
        output = store_take_output(stream.store)
        try:
            with nogil:
                code = list_write(stream, form, output)
            if code != OK:
                raise snapshot_exception(&stream.snapshot, code)
            return PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
        finally:
            store_keep_output(stream.store, output)
    finally:
        stream.close()


cdef int list_write(DocumentStream stream, ItemForm form, Output* output) noexcept nogil:
    cdef bint first = True
    cdef int code
    output_append(output, b'{"Results":[', 12)
    while True:
        code = walk_next(&stream.walk)
        if code != OK:
            break
        if not first:
            output_byte(output, c',')
        first = False
        code = item_write(&stream.snapshot.tables, &stream.walk.item, form, output, NULL, NULL)
        if code != OK:
            return code
    output_append(output, b"]}", 2)
    return code if code != E_NOT_FOUND else output.failure


@cython.final
cdef class DocumentStream:
    """An iterator over one snapshot: JSON of documents, or StreamItems. Close it, or exhaust it."""

    def __dealloc__(self):
        self.close()

    @staticmethod
    def by_prefix(DocumentStore store not None, str prefix not None, str matches not None="", str exclude not None="",
                  str start_after not None="", uint64_t start=0, uint64_t page_size=PAGE_SIZE_DEFAULT):
        """Documents whose id begins with `prefix` and whose rest matches, in order of their lower-cased ids."""
        cdef Text prefix_text = text_of(prefix)
        cdef Text start_text = text_of(start_after)
        cdef Text matches_text = text_of(matches)
        cdef Text exclude_text = text_of(exclude)
        cdef DocumentStream stream = stream_open(store)
        cdef int code = walk_prefix(&stream.walk, &stream.snapshot, prefix_text.data, prefix_text.size, start_text.data,
                                    start_text.size, start, page_size)
        if code == OK:
            code = pattern_set(&stream.walk.matches, matches_text.data, matches_text.size)
        if code == OK:
            code = pattern_set(&stream.walk.exclude, exclude_text.data, exclude_text.size)
        if code == E_TOO_LARGE:
            stream.close()
            raise_invalid(E_TOO_LARGE, b"a prefix, a start and patterns have at most 512 bytes (ID_SIZE_BYTES_MAX)")
        return stream_started(stream, code)

    @staticmethod
    def recent(DocumentStore store not None, uint64_t start=0, uint64_t page_size=PAGE_SIZE_DEFAULT):
        """All documents, newest change first."""
        cdef DocumentStream stream = stream_open(store)
        return stream_started(stream, walk_recent(&stream.walk, &stream.snapshot, start, page_size))

    @staticmethod
    def of_collection(DocumentStore store not None, str collection not None, uint64_t start=0,
                      uint64_t page_size=PAGE_SIZE_DEFAULT, bint descending=False):
        """Documents of a collection in order of their last change."""
        cdef Text name = text_of(collection)
        cdef DocumentStream stream = stream_open(store)
        return stream_started(stream, walk_collection(&stream.walk, &stream.snapshot, name.data, name.size, start,
                                                      page_size, descending))

    @staticmethod
    def items_since(DocumentStore store not None, uint64_t etag, uint64_t count=PAGE_SIZE_DEFAULT):
        """Documents, tombstones and versions in conflict with a higher etag, in etag order, as StreamItems."""
        cdef DocumentStream stream = stream_open(store)
        stream.items = True
        return stream_started(stream, walk_items(&stream.walk, &stream.snapshot, etag, count))

    def __iter__(self):
        return self

    def __next__(self):
        cdef int code
        if not compare_swap64(&self.state, STREAM_IDLE, STREAM_BUSY):
            raise StopIteration
        try:
            code = walk_next(&self.walk)
            if code == OK:
                if self.items:
                    return stream_item(self.store, &self.snapshot, &self.walk.item, FORM_FULL)
                return stream_json(self)
            if code != E_NOT_FOUND:
                raise snapshot_exception(&self.snapshot, code)
        finally:
            if not compare_swap64(&self.state, STREAM_BUSY, STREAM_IDLE):
                stream_release(self)
        self.close()
        raise StopIteration

    def close(self):
        """Give the snapshot back, or have it given back by who is stepping. Closing twice does no harm."""
        if compare_swap64(&self.state, STREAM_IDLE, STREAM_CLOSING):
            stream_release(self)
        else:
            compare_swap64(&self.state, STREAM_BUSY, STREAM_CLOSING)


cdef void stream_release(DocumentStream stream) noexcept:
    """The state is STREAM_CLOSING, and the caller is the one who saw to that."""
    snapshot_end(&stream.snapshot)
    atomic_store64(&stream.state, STREAM_CLOSED)
    store_leave(stream.store)


cdef bytes stream_json(DocumentStream stream):
    cdef Output* output = store_take_output(stream.store)
    cdef int code
    try:
        code = item_write(&stream.snapshot.tables, &stream.walk.item, FORM_FULL, output, NULL, NULL)
        if code != OK:
            raise snapshot_exception(&stream.snapshot, code)
        return PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
    finally:
        store_keep_output(stream.store, output)


cdef DocumentStream stream_open(DocumentStore store):
    cdef DocumentStream stream = DocumentStream.__new__(DocumentStream)
    cdef int code
    store_enter_or_raise(store)
    stream.store = store
    code = snapshot_begin(store, &stream.snapshot)
    if code != OK:
        store_leave(store)
        raise snapshot_exception(&stream.snapshot, code)
    stream.state = STREAM_IDLE
    return stream


cdef DocumentStream stream_started(DocumentStream stream, int code):
    if code != OK:
        exception = snapshot_exception(&stream.snapshot, code)
        stream.close()
        raise exception
    return stream
