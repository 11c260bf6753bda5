"""Simple commands as flat records in one buffer, and their results in another: what the writer executes without the
GIL.

A batch is a buffer of records, each CommandHeader, then the expected entries, the source entries, the id, its key,
the collection's name and its key, the expected vector's text, and the body, each right after the other; the record is
padded to a multiple of 8. Everything that can be checked or computed without the database is done when a record is
made. A result has the same form: ResultHeader, the id as stored, the name of the collection, the change vector's
entries.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pynori_core.builder cimport Builder
from pynori_core.change_vector cimport VectorEntry
from pynori_core.errors cimport ErrorDetail
from pynori_core.output cimport Output

cdef enum:
    BATCH_COMMANDS_MAX = 10000
    BATCH_BYTES_MAX = 67108864         # 64 MB of documents in one batch
    COMMAND_BYTES_MAX = 67174400       # of one record: the largest document and 64 KB
    PURGE_COUNT_MAX = 8192             # tombstones that one command drops: it is one step of one transaction
    PARSE_NOGIL_BYTES = 65536          # larger documents are parsed without the GIL

cdef enum CommandKind:
    COMMAND_PUT = 1
    COMMAND_DELETE = 2
    COMMAND_PURGE = 3                  # drop tombstones; the body is a PurgeOrder, and there is no id
    COMMAND_CHECK = 4                  # change nothing; refused when the document is not the expected one
    COMMAND_POSITION = 5               # note how far somebody has come; the id is its name, the body a uint64_t
    COMMAND_VERSION = 6                # what another instance has of an id; the source is its vector, an order precedes
    COMMAND_KNOWN = 7                  # the source entries are known here from now on; there is no id
    COMMAND_RESOLVE = 8                # end a conflict; an order precedes the body

cdef enum Expected:
    EXPECT_ANY = 0                     # do not care
    EXPECT_NONE = 1                    # must not exist
    EXPECT_VECTOR = 2                  # must be equal to the entries
    EXPECT_NEVER = 3                   # what was given is no change vector, so nothing can be equal to it

cdef packed struct CommandHeader:      # 40 bytes
    uint32_t size                      # of the whole record
    uint8_t kind                       # CommandKind
    uint8_t expected                   # Expected
    uint8_t make_id                    # the id ends in "/": the next etag and the node's tag are put behind it
    uint8_t spelling_known             # identifier_spelling's answer
    uint64_t spelling
    uint32_t body_size
    uint32_t expected_text_size
    uint16_t id_size
    uint16_t key_size
    uint16_t expected_count            # VectorEntries
    uint16_t collection_size           # 0: none is stated
    uint16_t source_count              # entries of the vector with which the document came from elsewhere
    uint16_t collection_key_size       # lower-cased name, behind the name
    # Of a cluster-wide transaction: no entry of this database is added to the source; an AgreedOrder precedes the body.
    uint32_t exact

cdef packed struct PurgeOrder:
    uint64_t etag_max                  # tombstones up to it may go
    uint64_t count_max                 # how many go at most

cdef packed struct AgreedOrder:        # of an exact put or delete: before the document
    uint64_t last_modified             # ticks: when it was proposed, the same on every instance; 0: now

cdef packed struct VersionOrder:       # COMMAND_VERSION: before the document
    uint64_t last_modified             # ticks
    uint32_t flags                     # ItemFlag
    uint32_t deleted                   # it is a deletion: there is no document

cdef packed struct ResolveOrder:       # COMMAND_RESOLVE: before vectors and document
    uint32_t versions                  # that must be there: for each a uint32_t, its entries' count, and the entries
    uint32_t vectors_size              # bytes of all that
    uint32_t deleted                   # the outcome is a deletion
    uint32_t reserved

cdef enum VersionOutcome:              # ResultHeader.deleted of a COMMAND_VERSION
    VERSION_IGNORED = 0                # what is here has seen it
    VERSION_STORED = 1
    VERSION_CONFLICT = 2               # stored, and the id is in conflict now

cdef struct Command:                   # a record taken apart
    const CommandHeader* header
    const uint8_t* id
    const uint8_t* key
    const VectorEntry* expected
    const VectorEntry* source
    const uint8_t* expected_text
    const uint8_t* collection          # as spelt
    const uint8_t* collection_key
    const uint8_t* body

cdef packed struct ResultHeader:       # 40 bytes
    uint32_t size                      # of the whole result
    uint8_t kind                       # CommandKind
    uint8_t deleted                    # DELETE: there was something. VERSION: VersionOutcome
    uint16_t id_size
    uint16_t collection_size
    uint16_t vector_count              # 0: nothing was written
    uint32_t flags                     # of the item; PURGE: how many tombstones and departures went
    uint64_t etag
    uint64_t last_modified             # ticks
    uint64_t user_txn

# What a failed command leaves: the place of the failure, and for E_CONCURRENCY the vector that is there.
cdef struct CommandFailure:
    int code                           # ErrorCode; OK: nothing failed
    uint32_t command                   # position in the batch
    uint32_t actual_count              # E_CONCURRENCY: entries; 0: the document does not exist. E_CONFLICT: of all
    VectorEntry* actual                # malloc'd, or NULL
    ErrorDetail detail

cdef struct CommandParts:              # what a record is made of; texts are valid UTF-8
    int kind                           # CommandKind
    const uint8_t* id                  # empty in a put: a GUID takes its place
    size_t id_size
    const char* expected               # NULL: do not care. Of size 0: must not exist
    size_t expected_size
    const char* source                 # NULL: it comes from nowhere else
    size_t source_size
    bint exact                         # `source` is the new vector; `order` is an AgreedOrder
    const uint8_t* collection          # of a put; as command_collection says
    size_t collection_size
    const uint8_t* order               # what precedes the body: AgreedOrder, ResolveOrder with its vectors, or NULL
    size_t order_size
    const uint8_t* body
    size_t body_size

cdef struct VersionParts:              # of a COMMAND_VERSION; texts are valid UTF-8
    VersionOrder order
    const VectorEntry* vector          # valid, 1 to VECTOR_ENTRIES_MAX - 1
    uint16_t vector_count
    const uint8_t* id
    size_t id_size
    const uint8_t* collection
    size_t collection_size
    const uint8_t* body
    size_t body_size

# Append a record. E_INVALID, E_TOO_LARGE, E_NO_MEMORY, and nothing is appended then.
cdef int command_make(Output* records, const CommandParts* parts, ErrorDetail* error) noexcept nogil
cdef int command_version(Output* records, const VersionParts* parts, ErrorDetail* error) noexcept nogil
# The collection that a finished document states, "@empty" when it states none; may point into the builder.
cdef void command_collection(const Builder* builder, const uint8_t** name, size_t* size) noexcept nogil
# E_TOO_LARGE when a batch of `count` commands and `used_bytes` of documents has no room for one more.
cdef int batch_room(size_t count, size_t used_bytes, size_t body_bytes, ErrorDetail* error) noexcept nogil
# A warm builder, or NULL; goes back with builder_return.
cdef Builder* builder_borrow() noexcept nogil
cdef void builder_return(Builder* builder) noexcept nogil

# The command that failed, out of the batch's records.
cdef void command_blamed(const CommandFailure* failure, const uint8_t* commands, Command* command) noexcept nogil
cdef void command_failure_release(CommandFailure* failure) noexcept nogil
cdef void command_decode(const uint8_t* record, Command* command) noexcept nogil

# The exception of a failed batch, whose records are `commands`.
cdef object command_exception(const CommandFailure* failure, const uint8_t* commands, size_t size)
# CommandResults of a buffer of results, as a list.
cdef list command_results(const uint8_t* results, size_t size)
cdef Applied applied_results(const uint8_t* results, size_t size)


@cython.final
cdef class Batch:
    cdef Output records                # taken over by the merger
    cdef readonly Py_ssize_t count
    cdef size_t body_bytes
    cdef bint handed_over
    cdef int add(self, int kind, str id, str expected, str source, const AgreedOrder* agreed, const uint8_t* body,
                 size_t body_size, const uint8_t* collection, size_t collection_size) except -1
    cdef int put_text(self, str id, const uint8_t* text, size_t size, str expected, str source,
                      const AgreedOrder* agreed) except -1
    cdef int add_built(self, Builder* builder, str id, str expected, str source, const AgreedOrder* agreed) except -1
    cdef int add_known(self, const VectorEntry* entries, int count) except -1
    cdef int add_resolve(self, str id, bytes order, body) except -1
    cdef int add_ordered(self, int kind, str id, bytes order, const Builder* builder) except -1
    cdef int add_plain(self, CommandHeader* header, const VectorEntry* source, const uint8_t* order,
                       size_t order_size) except -1
    cdef int check_handed_over(self) except -1
    cdef int check_room(self, size_t body_size, ErrorDetail* error) except -1


@cython.final
cdef class CommandResult:
    cdef bytes record                  # one ResultHeader and what follows it
    cdef const ResultHeader* header(self)


@cython.final
cdef class Applied:
    cdef readonly Py_ssize_t stored
    cdef readonly Py_ssize_t ignored
    cdef readonly list conflicts
