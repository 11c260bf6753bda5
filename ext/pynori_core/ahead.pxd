"""Looking ahead: memory is asked for what the next keys of a batch will need while the one before them is worked on.

A key's way ends in a leaf that nobody has touched for long, and each look there has to wait for the look before: slot
directory, version, header, slots, entries. Here every key takes one of these steps at a time, while the keys before it
take theirs, so that none waits. All of it is a guess: a page that has moved meanwhile costs a few lines asked for in
vain, and whatever is damaged is left to him who looks in earnest.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from pynori_core.btree cimport Tree

cdef enum:
    AHEAD_KEYS = 4                 # on their way at a time: one at each step

cdef struct Ahead:
    Tree* tree
    uint64_t pages[4]              # leaf of the key that came so many keys ago, 0: none

cdef void ahead_start(Ahead* ahead, Tree* tree) noexcept nogil
# All keys on their way take a step, and this one begins. NULL: none begins.
cdef void ahead_step(Ahead* ahead, const void* key, size_t key_size) noexcept nogil
