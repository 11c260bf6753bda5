"""Feed an index natively: documents of a snapshot, in etag order, through a program into a batch.

A FeedProgram evaluates one document at a time and gives its values to a FieldSink (field_value.pxd). FieldPaths is the
one for plain paths; compiled expressions derive their own. A TextAnalyzer cuts the strings of a text field into tokens.
All of it runs without the interpreter.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.blittable cimport BlittableValue
from pynori_core.errors cimport ErrorDetail
from pynori_core.field_value cimport FieldSink, FieldValue
from pynori_core.index_batch cimport Batch
from pynori_core.index_trees cimport IndexTrees
from pynori_core.items cimport Snapshot
from pynori_core.output cimport Output
from pynori_core.tables cimport Item

cdef enum:
    PATH_STEPS_MAX = 16
    TEXT_GAP = 100                     # positions between two values of one text field
    FEED_ERRORS_MAX = 500              # documents whose error is kept by one call

cdef struct FeedDocument:
    Snapshot* snapshot                 # to load others from; the feeding thread's own view
    const Item* item
    BlittableValue root

# OK, or a code with `error` filled: the document then has no entry, and feeding goes on. E_NO_MEMORY ends it.
ctypedef int (*EvaluateFunction)(void* state, const FeedDocument* document, const FieldSink* sink,
                                 ErrorDetail* error) noexcept nogil

cdef class FeedProgram:
    cdef EvaluateFunction evaluate     # set by who derives it; NULL: it cannot be fed
    cdef void* state                   # its first argument; used by one feed at a time

cdef struct TokenSink:
    void* context
    int (*token)(void* context, const uint8_t* text, size_t size, uint32_t position) noexcept nogil

# Cuts a text into tokens, positions beginning at `first`; returns OK or the code that the sink answered. `next` becomes
# the position behind the last one.
ctypedef int (*AnalyzeFunction)(void* state, const uint8_t* text, size_t size, uint32_t first, const TokenSink* sink,
                                uint32_t* next) noexcept nogil

cdef class TextAnalyzer:
    cdef AnalyzeFunction analyze       # set by who derives it; safe in several threads
    cdef void* state

cdef struct PathStep:
    const uint8_t* name                # NULL: each item of an array
    size_t size

cdef struct FieldPath:
    uint32_t field
    int kind                           # private: what is special about it
    uint32_t step_count
    PathStep steps[16]

# Reads the steps of a path; `names` keeps their bytes alive. ValueError for what is no path.
cdef int path_parse(FieldPath* path, str text, list names) except -1


cdef class FieldPaths(FeedProgram):
    cdef FieldPath* paths
    cdef size_t count
    cdef list names                    # keeps the bytes of the steps alive
    cdef readonly list fields          # as given


cdef struct Feed:                      # one call
    Batch* batch
    IndexTrees* trees
    Snapshot* snapshot
    EvaluateFunction evaluate
    void* state
    AnalyzeFunction* analyzers         # by field number; NULL where there is none
    void** analyzer_states
    uint32_t* positions                # by field number: where the next value of a text field begins
    uint64_t since
    uint64_t documents_max
    uint64_t bytes_max
    # results
    uint64_t last_etag
    uint64_t documents
    uint64_t failed
    bint more
    Output errors                      # u16 size, id, u16 size, message
    uint32_t errors_kept

# The sink that puts values into the feed's batch: of texts by the field's analyzer, of others as terms.
cdef int feed_emit(void* context, uint32_t field, const FieldValue* value) noexcept nogil
cdef int value_emit(uint32_t field, const BlittableValue* value, const FieldSink* sink) noexcept nogil

# Reads documents (or tombstones) of a set with etags above `since` into the batch, without flushing it.
cdef int feed_documents(Feed* feed, uint64_t set_id) noexcept nogil
cdef int feed_tombstones(Feed* feed, uint64_t set_id) noexcept nogil
