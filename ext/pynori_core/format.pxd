"""Every struct, flag and magic number that lies on disk. FORMAT.md tells what they mean; nobody else writes an offset.

All integers are little endian. Structs are packed, and their sizes are asserted when this is compiled.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    PAGE_SIZE = 8192
    PAGE_SHIFT = 13
    SECTOR_SIZE = 4096             # writes of headers and records are multiples of it, at multiples of it
    FORMAT_VERSION = 1

    PAGE_HEADER_A = 0
    PAGE_CATALOG = 1
    PAGE_BITMAP_FIRST = 2
    PAGE_HEADER_B = 8              # 64 KB after copy A
    BITMAP_PAGES = 65024           # pages that one bitmap page covers: (PAGE_SIZE - sizeof(PageHeader)) * 8

    JOURNAL_FLAG_LZ4 = 1           # RecordHeader.flags: the payload is LZ4-compressed
    JOURNAL_FLAG_NEXT = 2          # RecordHeader.flags: no payload; the chain goes on in journal + 1, which must exist
    ENTRY_WHOLE = 1                # PageEntry.flags: ranges are laid over zeros, not over the page's old bytes
    ENTRY_RAW = 2                  # a page inside a run: it has no PageHeader of its own

    TREE_NAME_MAX = 40
    CATALOG_TREES = 84             # TreeHeaders a catalog page holds

cdef enum PageType:
    PAGE_FREE = 0
    PAGE_TYPE_CATALOG = 1
    PAGE_TYPE_BITMAP = 2
    PAGE_TYPE_BRANCH = 3
    PAGE_TYPE_LEAF = 4
    PAGE_TYPE_RUN = 5              # first page of a value that fills one or more whole pages

cdef enum TreeFlag:
    TREE_INTEGER = 1               # keys are 8 bytes, big endian
    TREE_ROWS = 2                  # the rows of a table
    TREE_SETS = 4                  # its sets
    TREE_INDEX = 8                 # one of its unique indexes

cdef enum LeafEntryFlag:
    LEAF_RUN = 1                   # the stored value is a RunReference

cdef extern from *:
    """
    #define PYN_MAGIC_FILE 0x4244524f4e5950ULL      /* "PYNORDB" */
    #define PYN_MAGIC_RECORD 0x4a4e5950u            /* "PYNJ" */
    """
    const uint64_t MAGIC_FILE "PYN_MAGIC_FILE"
    const uint32_t MAGIC_RECORD "PYN_MAGIC_RECORD"

cdef packed struct PageHeader:     # 64 bytes, at the start of every page except the inner pages of a run
    # XXH3-64 of the rest (a run: of the whole run), seeded; set when written to the data file
    uint64_t hash
    uint64_t page                  # its own number
    uint64_t txn_id                # transaction that wrote it last
    uint32_t env_id_short          # first 4 bytes of the environment id
    uint8_t type                   # PageType
    uint8_t level                  # 0 for leaves
    uint16_t tree                  # catalog index of the owning tree
    uint16_t count                 # entries
    uint16_t lower                 # end of the slot array, bytes from the page's start
    uint16_t upper                 # start of the entries' bytes
    uint16_t holes                 # bytes within [upper, PAGE_SIZE) that belong to no entry
    uint32_t run_pages             # PAGE_TYPE_RUN: pages of the run, this one included
    uint16_t insert_next           # leaf: position behind the entry inserted last; a guide for splits, promises nothing
    uint16_t insert_run            # leaf: inserts in a row that came each behind the one before
    uint64_t value_size            # PAGE_TYPE_RUN: bytes of the value after this header
    uint64_t link                  # branch: child left of the first key; catalog: next catalog page

cdef packed struct LeafEntry:      # at a multiple of 8; the key follows, then the stored value
    uint16_t key_size
    uint16_t flags                 # LeafEntryFlag
    uint32_t value_size            # stored bytes

cdef packed struct RunReference:   # the stored value of an entry with LEAF_RUN
    uint64_t page                  # first page of the run
    uint64_t size                  # bytes of the value

cdef packed struct BranchEntry:    # at a multiple of 2; the key follows
    uint64_t child                 # subtree of the keys >= this key and < the next one
    uint16_t key_size

cdef packed struct TreeHeader:     # 96 bytes, in a catalog page after the PageHeader
    uint64_t root                  # 0: slot is unused
    uint64_t entries
    uint64_t branch_pages
    uint64_t leaf_pages
    uint64_t run_pages
    uint16_t depth                 # 1: the root is a leaf
    uint16_t flags                 # TreeFlag
    uint32_t name_size
    uint8_t name[40]
    uint64_t rows                  # TREE_SETS, TREE_INDEX: catalog index of their table's rows

cdef packed struct FileHeader:     # 512 bytes, the first sector of page 0 and of page 8
    uint64_t magic
    uint32_t version               # FORMAT_VERSION
    uint32_t features_compatible
    uint32_t features_read_only    # unknown bit: may be opened for reading
    uint32_t features_incompatible  # unknown bit: refuse, name it
    uint32_t page_size
    uint32_t hash_algorithm        # 1: XXH3
    uint8_t env_id[16]
    uint64_t sequence              # the higher of two valid copies wins
    uint64_t checkpoint_txn        # the data file holds every page as of this transaction
    uint64_t journal_first         # number of the journal where record checkpoint_txn + 1 belongs; it must exist
    uint64_t journal_offset        # its place there, bytes: a multiple of SECTOR_SIZE
    uint64_t journal_chain         # header hash of the record of checkpoint_txn
    uint64_t file_pages            # length of the data file
    uint64_t user_txn              # last user transaction number as of the checkpoint
    uint64_t created_ms            # Unix time
    uint64_t page_hashes_root      # reserved: side table of page hashes
    uint8_t encryption[64]         # reserved, zero
    uint8_t reserved[320]
    uint64_t hash                  # XXH3-64 of the bytes before it

cdef packed struct RecordHeader:   # 128 bytes, at a multiple of SECTOR_SIZE in a journal
    uint32_t magic
    uint16_t version
    uint16_t flags
    uint8_t env_id[16]
    uint64_t journal               # number of the journal it was written to
    uint64_t previous_hash         # header hash of the record before it, across journals
    uint64_t txn_id
    uint64_t user_txn_first        # numbers of the user transactions merged into it; first > last: none
    uint64_t user_txn_last
    uint32_t page_count            # PageEntries in the payload
    uint32_t reserved
    uint64_t stored_size           # payload bytes as stored
    uint64_t plain_size            # payload bytes after decompression
    uint64_t file_pages            # length of the data file that this transaction needs
    uint64_t time_ms
    uint64_t payload_hash_low      # XXH3-128 of the stored payload
    uint64_t payload_hash_high
    uint64_t header_hash           # XXH3-64 of the 120 bytes before it, seeded with the environment id's first 8 bytes

cdef packed struct PageEntry:      # in the payload, followed by range_count PageRanges, each followed by its bytes
    uint64_t page
    uint16_t flags
    uint16_t range_count

cdef packed struct PageRange:
    uint16_t offset
    uint16_t size

cdef extern from *:
    """
    #define PYN_ASSERT_SIZE(name, type, size) typedef char name[sizeof(type) == (size) ? 1 : -1]
    """

cdef inline TreeHeader* catalog_tree(const uint8_t* page, unsigned index) noexcept nogil:
    return <TreeHeader*>(page + sizeof(PageHeader) + index * sizeof(TreeHeader))
