# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops of bench_trees over pynori_core's trees: same keys, same values, same order as lmdb_loops.c."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport sprintf
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from pynori_core.bits cimport store64, store64_be
from pynori_core.btree cimport (
    PUT_APPEND, PUT_UPSERT, Tree, Value, tree_create, tree_get, tree_get_hinted, tree_put,
)
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.errors cimport OK
from pynori_core.format cimport TREE_INTEGER
from pynori_core.txn cimport Transaction, Txn


cdef double now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + t.tv_nsec * 1e-9


cdef uint64_t next_random(uint64_t* state) noexcept nogil:
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


cdef size_t make_key(bint integer, uint64_t number, uint8_t* key) noexcept nogil:
    if integer:
        store64_be(key, number)
        return 8
    return <size_t>sprintf(<char*>key, b"orders/%07llu", <unsigned long long>number)


cdef int open_tree(Txn* txn, bint integer, Tree* tree) noexcept nogil:
    if integer:
        return tree_create(txn, b"integer", 7, TREE_INTEGER, tree)
    return tree_create(txn, b"string", 6, 0, tree)


def put(Transaction txn, bint integer, uint64_t first, uint64_t count, uint64_t range_, uint64_t value_size,
        uint64_t seed):
    """Numbers first .. first + count - 1 in order (append), or `count` random ones below range_. Seconds."""
    cdef Tree tree
    cdef uint8_t key[32]
    cdef uint8_t value[65536]
    cdef uint64_t index, number
    cdef double start
    cdef int code = open_tree(txn.txn, integer, &tree)
    assert code == OK
    start = now()
    with nogil:
        for index in range(count):
            number = next_random(&seed) % range_ if range_ else first + index
            store64(value, index)
            code = tree_put(&tree, key, make_key(integer, number, key), value, value_size,
                            PUT_UPSERT if range_ else PUT_APPEND)
            if code != OK:
                break
    assert code == OK
    return now() - start


def get(Transaction txn, bint integer, uint64_t count, uint64_t range_, uint64_t seed):
    cdef Tree tree
    cdef Value value
    cdef uint8_t key[32]
    cdef uint8_t out[65536]
    cdef uint64_t index
    cdef double start
    cdef int code = open_tree(txn.txn, integer, &tree)
    assert code == OK
    start = now()
    with nogil:
        for index in range(count):
            code = tree_get(&tree, key, make_key(integer, next_random(&seed) % range_, key), &value)
            if code != OK:
                break
            memcpy(out, value.data, value.size)
    assert code == OK
    return now() - start


def scan(Transaction txn, bint integer, uint64_t start_number, uint64_t count):
    cdef Tree tree
    cdef Value value
    cdef Cursor cursor
    cdef uint8_t key[32]
    cdef uint8_t out[65536]
    cdef uint64_t index
    cdef double start
    cdef int code = open_tree(txn.txn, integer, &tree)
    assert code == OK
    start = now()
    with nogil:
        cursor_init(&cursor, &tree)
        code = cursor_seek(&cursor, key, make_key(integer, start_number, key))
        for index in range(count):
            if code != OK:
                break
            cursor_value(&cursor, &value)
            memcpy(out, value.data, value.size)
            code = cursor_next(&cursor)
    return now() - start
