"""The counters of `handles.pxd`: one for the process and kind, changed atomically."""

from libc.stdint cimport uint64_t

from pynori_core.bits cimport atomic_add64, atomic_load64

cdef uint64_t counters[HANDLE_KINDS]


cdef void handle_change(HandleKind kind, int64_t change) noexcept nogil:
    atomic_add64(&counters[<int>kind], <uint64_t>change)


cdef int64_t handle_count(HandleKind kind) noexcept nogil:
    return <int64_t>atomic_load64(&counters[<int>kind])
