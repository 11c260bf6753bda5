"""C-level functions for tests/core; only the debug build and those made from it contain this module."""

from pynori_core.handles cimport HANDLE_KINDS, HandleKind, handle_count

NAMES = (
    "disks", "files", "mappings", "environments", "snapshots", "versions", "buffers", "arena chunks", "record buffers",
)


def live_handles() -> dict:
    """How many of each kind are open now, by name."""
    cdef int kind
    return {NAMES[kind]: handle_count(<HandleKind>kind) for kind in range(<int>HANDLE_KINDS)}
