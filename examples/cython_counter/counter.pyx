"""Named counters on disk: a Cython module of another package that stands on the engine's trees and transactions.

Each counter is an entry of one tree, its name the key, eight bytes the value. A call is one transaction, executed and
synced without the GIL; readers see a snapshot and wait for nobody.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from pynori_core.btree cimport PUT_UPSERT, Tree, Value, tree_create, tree_open, tree_put, tree_update
from pynori_core.cursor cimport Cursor, cursor_first, cursor_init, cursor_next, cursor_value
from pynori_core.env cimport (
    Env, EnvOptions, env_abort, env_begin_read, env_begin_write, env_close, env_commit, env_create, env_end_read,
    env_open,
)
from pynori_core.errors cimport E_NOT_FOUND, OK, ErrorDetail, error_clear, error_set, raise_error
from pynori_core.txn cimport Txn

import os

# Gives the engine its LZ4; once, before anything is opened.
import pynori.runtime.codecs  # no-cython-lint

cdef const char* TREE = b"counters"


cdef int add(Env* env, const char* name, size_t size, int64_t by, int64_t* now, ErrorDetail* error) noexcept nogil:
    """One transaction: the counter and `by`, or a new counter."""
    cdef Txn txn
    cdef Tree tree
    cdef uint64_t value_size
    cdef void* value
    cdef int code = env_begin_write(env, &txn)
    if code == OK:
        code = tree_create(&txn, TREE, 8, 0, &tree)
        now[0] = by
        value = tree_update(&tree, name, size, &value_size) if code == OK else NULL
        if value != NULL:
            memcpy(now, value, 8)
            now[0] += by
            memcpy(value, now, 8)
        elif code == OK:
            code = tree_put(&tree, name, size, now, 8, PUT_UPSERT)
        if code == OK:
            return env_commit(&txn, error)     # the transaction has ended, whatever comes of it
        env_abort(&txn)
    error[0] = txn.error
    error_set(error, code, b"a name has 1 to 2048 bytes")
    return code


cdef class Counters:
    """Counters in a directory, which is made if need be. Close them before the directory is used elsewhere."""

    cdef Env* env

    def __cinit__(self, str directory not None):
        cdef EnvOptions options
        cdef ErrorDetail error
        cdef bytes path = os.fsencode(directory)
        cdef const char* path_text = path
        cdef bint is_there = os.path.exists(os.path.join(directory, "data.pynori"))
        error_clear(&error)
        memset(&options, 0, sizeof(options))
        with nogil:
            if is_there:
                env_open(path_text, &options, &self.env, &error)
            else:
                env_create(path_text, &options, &self.env, &error)
        if self.env == NULL:
            raise_error(&error)

    def __dealloc__(self):
        self.close()

    def close(self):
        """Let the directory go; a checkpoint is written first."""
        cdef ErrorDetail error
        cdef Env* env = self.env
        self.env = NULL
        if env != NULL:
            error_clear(&error)
            with nogil:
                env_close(env, &error)

    def add(self, str name not None, int64_t by=1):
        """Count; durable when this returns the new value."""
        cdef bytes key = name.encode()
        cdef const char* key_text = key
        cdef size_t size = len(key)
        cdef ErrorDetail error
        cdef int64_t now
        error_clear(&error)
        if self.env == NULL:
            raise ValueError("the counters are closed")
        with nogil:
            add(self.env, key_text, size, by, &now, &error)
        if error.code != OK:
            raise_error(&error)
        return now

    def items(self):
        """(name, value) of all counters in order, as of one moment."""
        cdef Txn txn
        cdef Tree tree
        cdef Cursor cursor
        cdef Value value
        cdef int64_t number
        cdef list found = []
        cdef int code
        if self.env == NULL:
            raise ValueError("the counters are closed")
        code = env_begin_read(self.env, &txn)
        if code == OK:
            code = tree_open(&txn, TREE, 8, &tree)
            if code == OK:
                cursor_init(&cursor, &tree)
                code = cursor_first(&cursor)
            while code == OK:
                code = cursor_value(&cursor, &value)
                if code == OK:
                    memcpy(&number, value.data, 8)
                    found.append(((<const char*>cursor.key)[:cursor.key_size].decode(), number))
                    code = cursor_next(&cursor)
            env_end_read(&txn)
        if code != OK and code != E_NOT_FOUND:
            raise_error(&txn.error)
        return found
