# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The point reads of bench_documents from nogil code: own snapshot each, by id, copied out or as JSON."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport sprintf
from libc.string cimport memcpy
from pynori_core.errors cimport OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, identifier_key
from pynori_core.items cimport (
    FORM_FULL, DocumentStore, Snapshot, item_write, snapshot_begin, snapshot_end, snapshot_find, store_enter,
    store_leave,
)
from pynori_core.output cimport Output, output_clear, output_init, output_release
from pynori_core.tables cimport Item


def point_reads(DocumentStore store, uint64_t documents, int reads, bint json):
    """How many of `reads` random documents were found."""
    cdef Output output
    cdef uint64_t state = 88172645463325252
    cdef int found = 0
    if not store_enter(store):
        return 0
    output_init(&output, 0)
    with nogil:
        found = run(store, documents, reads, json, &state, &output)
    output_release(&output)
    store_leave(store)
    return found


cdef int run(DocumentStore store, uint64_t documents, int reads, bint json, uint64_t* state,
             Output* output) noexcept nogil:
    cdef char id[64]
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef uint8_t copy[65536]
    cdef Snapshot snapshot
    cdef Item item
    cdef size_t size
    cdef int found = 0
    for _ in range(reads):
        state[0] ^= state[0] << 13
        state[0] ^= state[0] >> 7
        state[0] ^= state[0] << 17
        size = <size_t>sprintf(id, b"orders/%llu-A", <unsigned long long>(state[0] % documents))
        if snapshot_begin(store, &snapshot) != OK:
            return found
        if snapshot_find(&snapshot, key, identifier_key(<uint8_t*>id, size, key), &item) == OK:
            found += 1
            if json:
                output_clear(output)
                item_write(&snapshot.tables, &item, FORM_FULL, output, NULL, NULL)
            elif item.body_size <= sizeof(copy):
                memcpy(copy, item.body, item.body_size)
        snapshot_end(&snapshot)
    return found
