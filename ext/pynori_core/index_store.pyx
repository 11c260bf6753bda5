"""Open and close one index; the door to the classes of index storage."""

cimport cython
from libc.stdint cimport uint64_t

from pynori_core.env cimport WriteTxn
from pynori_core.errors cimport OK
from pynori_core.index_columns cimport ColumnCache
from pynori_core.index_field cimport raise_txn
from pynori_core.index_snapshot cimport snapshot_open
from pynori_core.index_trees cimport IndexTrees, trees_create, trees_release
from pynori_core.index_writer cimport writer_open

from pynori_core.env import Env
from pynori_core.index_field import IndexField
from pynori_core.index_snapshot import IndexSnapshot
from pynori_core.index_writer import Fed, IndexWriter

__all__ = ["Fed", "IndexField", "IndexSnapshot", "IndexStore", "IndexWriter"]


@cython.final
cdef class IndexStore:
    """One index on disk, or in memory. Any number of snapshots, one writer at a time."""

    def __cinit__(self):
        self.columns = ColumnCache.__new__(ColumnCache)

    @staticmethod
    def create(directory, *, uint64_t scratch_bytes_max=0, uint64_t checkpoint_bytes=0):
        """None: in memory."""
        cdef IndexStore store = IndexStore.__new__(IndexStore)
        cdef WriteTxn txn
        cdef IndexTrees trees
        cdef int code
        store.env = Env.create(directory, scratch_bytes_max=scratch_bytes_max, checkpoint_bytes=checkpoint_bytes)
        txn = store.env.write()
        code = trees_create(&txn.memory, &trees)
        trees_release(&trees)
        if code != OK:
            raise_txn(&txn.memory, code, "")
        txn.commit()
        return store

    @staticmethod
    def open(directory not None, *, bint read_only=False, uint64_t scratch_bytes_max=0, uint64_t checkpoint_bytes=0):
        """Raises CorruptError when the files are damaged, or hold something else than an index."""
        cdef IndexStore store = IndexStore.__new__(IndexStore)
        store.env = Env.open(directory, read_only=read_only, scratch_bytes_max=scratch_bytes_max,
                             checkpoint_bytes=checkpoint_bytes)
        try:
            store.read().close()
        except BaseException:
            store.env.close()
            raise
        return store

    def close(self):
        """Busy while a snapshot or a writer is open."""
        self.env.close()
        self.columns.clear()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    @property
    def closed(self):
        return self.env.env == NULL

    @property
    def directory(self):
        return self.env.directory

    @property
    def id(self):
        return self.env.id

    def read(self):
        """The index as of the last commit."""
        return snapshot_open(self.env.read(), self.columns)

    def write(self):
        """Waits for the writer before."""
        return writer_open(self.env.write())

    def checkpoint(self):
        self.env.checkpoint()

    def statistics(self):
        """Of the environment; see Env.statistics."""
        return self.env.statistics()
