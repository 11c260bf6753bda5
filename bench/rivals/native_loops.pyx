# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Reads of `native` from nogil code: by id, own snapshot each, copied out or as JSON; all documents, copied out."""

from libc.stddef cimport size_t
from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.stdio cimport sprintf
from pynori_core.errors cimport OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, identifier_key
from pynori_core.items cimport (
    FORM_FULL, DocumentStore, Snapshot, item_write, snapshot_begin, snapshot_end, snapshot_find, store_enter,
    store_leave,
)
from pynori_core.listing cimport Walk, walk_items, walk_next, walk_prefix
from pynori_core.output cimport Output, output_clear, output_init, output_release
from pynori_core.tables cimport Item

cdef extern from *:
    """
    #include <string.h>
    /* Copies a value out, and lets no compiler see that nobody looks at the copy. */
    static void copy_out(const void *value, size_t size) {
        static __thread char copy[65536];
        memcpy(copy, value, size < sizeof copy ? size : sizeof copy);
        __asm__ volatile("" : : "r"(copy) : "memory");
    }
    """
    void copy_out(const void* value, size_t size) noexcept nogil


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
            else:
                copy_out(item.body, item.body_size)
        snapshot_end(&snapshot)
    return found


def scan(DocumentStore store, bint by_ids):
    """How many documents there are, each copied out once: in order of their last change, or of their ids."""
    cdef Snapshot snapshot
    cdef uint64_t found = 0
    if not store_enter(store):
        return 0
    with nogil:
        if snapshot_begin(store, &snapshot) == OK:
            found = run_scan(&snapshot, by_ids)
            snapshot_end(&snapshot)
    store_leave(store)
    return found


cdef uint64_t run_scan(Snapshot* snapshot, bint by_ids) noexcept nogil:
    cdef Walk walk
    cdef uint64_t found = 0
    cdef int code
    if by_ids:
        code = walk_prefix(&walk, snapshot, b"", 0, b"", 0, 0, UINT64_MAX)
    else:
        code = walk_items(&walk, snapshot, 0, UINT64_MAX)
    while code == OK:
        code = walk_next(&walk)
        if code == OK:
            copy_out(walk.item.body, walk.item.body_size)
            found += 1
    return found
