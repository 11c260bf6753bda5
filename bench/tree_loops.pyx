# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops of bench_trees over pynori_core's trees: same keys, same values, same order as lmdb_loops.c."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport sprintf
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from pynori_core.bits cimport store64, store64_be
from pynori_core.btree cimport (
    PUT_APPEND, PUT_UPSERT, Tree, Value, tree_create, tree_get, tree_get_hinted, tree_open, tree_put,
)
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.env cimport Environment, env_begin_read, env_end_read
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


cdef int open_tree(Txn* txn, bint integer, bint create, Tree* tree) noexcept nogil:
    if create:
        return tree_create(txn, b"integer" if integer else b"string", 7 if integer else 6, TREE_INTEGER if integer else 0,
                           tree)
    return tree_open(txn, b"integer" if integer else b"string", 7 if integer else 6, tree)


def put(Transaction txn, bint integer, uint64_t first, uint64_t count, uint64_t range_, uint64_t value_size,
        uint64_t seed):
    """Numbers first .. first + count - 1 in order (append), or `count` random ones below range_. Seconds."""
    cdef Tree tree
    cdef uint8_t key[32]
    cdef uint8_t value[65536]
    cdef uint64_t index, number
    cdef double start
    cdef int code = open_tree(txn.txn, integer, True, &tree)
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


def get(Environment env, bint integer, uint64_t count, uint64_t range_, uint64_t seed, bint own_snapshot):
    """`count` random reads, copied out, in one snapshot or each in its own. Seconds."""
    cdef Txn txn
    cdef Tree tree
    cdef Value value
    cdef uint8_t key[32]
    cdef uint8_t out[65536]
    cdef uint64_t index
    cdef double start
    cdef int code
    assert env_begin_read(env.env, &txn) == OK
    code = open_tree(&txn, integer, False, &tree)
    assert code == OK
    start = now()
    with nogil:
        for index in range(count):
            if own_snapshot:
                env_end_read(&txn)
                env_begin_read(env.env, &txn)
            code = tree_get(&tree, key, make_key(integer, next_random(&seed) % range_, key), &value)
            if code != OK:
                break
            memcpy(out, value.data, value.size)
    start = now() - start
    env_end_read(&txn)
    assert code == OK
    return start


def get_hinted(Environment env, uint64_t count, uint64_t range_, uint64_t seed, uint64_t[:] hints):
    """Random reads of integer keys, each with the page it lies in. Seconds."""
    cdef Txn txn
    cdef Tree tree
    cdef Value value
    cdef uint8_t key[32]
    cdef uint8_t out[65536]
    cdef uint64_t index, number
    cdef double start
    cdef int code
    assert env_begin_read(env.env, &txn) == OK
    code = open_tree(&txn, True, False, &tree)
    if hints[0] == 0:
        for number in range(range_):
            code = tree_get(&tree, key, make_key(True, number, key), &value)
            hints[number] = value.page
    start = now()
    with nogil:
        for index in range(count):
            number = next_random(&seed) % range_
            code = tree_get_hinted(&tree, hints[number], key, make_key(True, number, key), &value)
            if code != OK:
                break
            memcpy(out, value.data, value.size)
    start = now() - start
    env_end_read(&txn)
    assert code == OK
    return start


def scan(Environment env, bint integer, uint64_t start_number, uint64_t count):
    """`count` neighbours, copied out. Seconds."""
    cdef Txn txn
    cdef Tree tree
    cdef Value value
    cdef Cursor cursor
    cdef uint8_t key[32]
    cdef uint8_t out[65536]
    cdef uint64_t index
    cdef double start
    cdef int code
    assert env_begin_read(env.env, &txn) == OK
    code = open_tree(&txn, integer, False, &tree)
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
    start = now() - start
    env_end_read(&txn)
    return start
