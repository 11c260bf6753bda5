"""The documents of an index's entries as the JSON of an answer, without a Python object for any of them."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from pynori_core.document_snapshot cimport DocumentSnapshot, snapshot_view
from pynori_core.errors cimport E_NOT_FOUND, OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, identifier_key
from pynori_core.cursor cimport Cursor, cursor_init
from pynori_core.index_entry cimport EntryView
from pynori_core.index_snapshot cimport IndexSnapshot, View
from pynori_core.index_trees cimport entry_read
from pynori_core.items cimport (
    FORM_FULL,
    Snapshot,
    item_write,
    snapshot_exception,
    snapshot_find,
    store_keep_output,
    store_take_output,
)
from pynori_core.matches cimport ids_of
from pynori_core.output cimport Output, output_append
from pynori_core.tables cimport Item

cdef enum:
    SHORT_RESULTS = 64             # so few are written sooner than the interpreter's lock is given up and had again


cdef struct Writing:
    size_t start                   # of the entries: the next one
    size_t missing                 # of them whose document is gone
    size_t size_max                # bytes; behind the result that reaches it the piece ends
    const uint8_t* before          # each result
    size_t before_size
    const uint8_t* behind
    size_t behind_size
    int index_code                 # what went wrong in the index


def write_documents(IndexSnapshot index not None, DocumentSnapshot documents not None, ids not None, size_t start,
                    size_t size_max, bytes before not None, bytes behind not None):
    """The JSON of the documents of entries from `start` on, each between two texts.

    Ends behind the result with which it has `size_max` bytes. Gives (JSON, where to go on, how many entries had no
    document any more). Raises IndexError for an entry that is not there, and what damage raises.
    """
    cdef const uint64_t* data = NULL
    cdef size_t count = 0
    cdef Snapshot view
    cdef View index_view
    cdef Output* output
    cdef Writing writing
    cdef int code
    ids_of(ids, &data, &count)
    writing.start = start
    writing.missing = 0
    writing.size_max = size_max
    writing.before, writing.before_size = <const uint8_t*><const char*>before, <size_t>len(before)
    writing.behind, writing.behind_size = <const uint8_t*><const char*>behind, <size_t>len(behind)
    writing.index_code = OK
    documents.enter()
    try:
        output = store_take_output(documents.store)
        try:
            index.enter(&index_view)
            snapshot_view(&documents.snapshot, &view)
            if count - start <= SHORT_RESULTS:
                code = documents_write(&index_view, &view, data, count, &writing, output)
            else:
                with nogil:
                    code = documents_write(&index_view, &view, data, count, &writing, output)
            if writing.index_code == E_NOT_FOUND:
                index.exit()
                raise IndexError(f"the index has no entry {data[writing.start]}")
            index.leave(&index_view, writing.index_code)
            if code != OK:
                raise snapshot_exception(&view, code)
            made = PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
        finally:
            store_keep_output(documents.store, output)
    finally:
        documents.leave()
    return made, writing.start, writing.missing


cdef int documents_write(View* index, Snapshot* documents, const uint64_t* ids, size_t count, Writing* writing,
                         Output* output) noexcept nogil:
    """What went wrong with the documents; an error of the index stands in `writing`."""
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef Cursor cursor
    cdef EntryView entry
    cdef Item item
    cdef int code
    cursor_init(&cursor, &index.trees.entries)
    while writing.start < count and output.size < writing.size_max:
        writing.index_code = entry_read(&index.trees, &cursor, ids[writing.start], &entry)
        if writing.index_code != OK:
            return OK
        code = snapshot_find(documents, key, identifier_key(entry.id, entry.id_size, key), &item)
        if code == OK:
            output_append(output, writing.before, writing.before_size)
            code = item_write(&documents.tables, &item, FORM_FULL, output, NULL, NULL)
            output_append(output, writing.behind, writing.behind_size)
            if code == OK:
                code = output.failure
        elif code == E_NOT_FOUND:
            writing.missing += 1
            code = OK
        if code != OK:
            return code
        writing.start += 1
    return OK
