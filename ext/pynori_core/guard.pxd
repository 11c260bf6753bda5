"""SIGBUS inside a mapped data file: the process ends with a message that names file and offset.

Every page is read through a descriptor before it is first used through the map, so a bad sector is normally an error of
that read. What remains is a file that was cut, or a sector that went bad after the page left the cache: then the
bytes a reader is looking at do not exist, and nothing true can be answered. Signals from elsewhere go to the handler
that was there before.
"""

from libc.stddef cimport size_t

cdef extern from "pynori_guard.h" nogil:
    # Registers a mapping; the first one installs the handler. GUARD_MAPPINGS_MAX are known, later ones only lose the
    # message.
    void guard_add "pyn_guard_add"(const void* base, size_t size, const char* name) noexcept
    void guard_remove "pyn_guard_remove"(const void* base) noexcept
