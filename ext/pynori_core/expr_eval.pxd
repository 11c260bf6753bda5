"""Expressions in flat form, evaluated over a document where it lies, without the interpreter lock.

A program is bytes: nodes in post-order (each operand has a lower number than its node, so there are no circles), lists
of node numbers, texts. `pynori.expr.compile` writes it, `Program` of expr.pxd checks it once. There are two sorts of
nodes. *Values* are computed from values. *Stages* say what happens with them: bind a variable, go on only if, go on
once for each item, emit an entry; the root of a map is a stage, that of a condition a value.

Every evaluation is bounded: depth by the check, steps and memory by the Evaluation. A program never writes to what it
reads, keeps no state from document to document, and may be run by several threads, each with an Evaluation of its own.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pynori_core.blittable cimport BlittableValue
from pynori_core.builder cimport Builder
from pynori_core.expr_values cimport Work
from pynori_core.field_value cimport FieldSink, FieldValue
from pynori_core.items cimport Snapshot

cdef enum Operation:
    # ---- values
    OP_NULL = 1
    OP_BOOL = 2                    # a: 0 or 1
    OP_INTEGER = 3                 # a, b: low and high half
    OP_DOUBLE = 4                  # likewise
    OP_DECIMAL = 5                 # a, b: mantissa; c: scale
    OP_TEXT = 6                    # a: text
    OP_VARIABLE = 7                # number: which
    OP_MEMBER = 8                  # a: of what; b: name; number: PropertyKind; flags 1: of each item of a sequence
    OP_INDEX = 9                   # a: of what; b: position or name
    OP_METADATA = 10               # a: document
    OP_ID = 11                     # a: document
    OP_NOT = 12
    OP_NEGATE = 13
    OP_AND = 14
    OP_OR = 15
    OP_CONDITIONAL = 16            # a ? b : c
    OP_COALESCE = 17               # a ?? b
    OP_ARITHMETIC = 18             # flags: ArithmeticOperation
    OP_COMPARE = 19                # number: CompareKind; flags: CompareFlag
    OP_CAST = 20                   # flags: CastType
    OP_RECORD = 21                 # a, b: place and number of pairs (name, node) in the lists
    OP_ARRAY = 22                  # a, b: place and number of nodes in the lists
    OP_CALL = 23                   # number: FunctionKind; a, b: as of an array; flags: CompareFlag
    OP_SEQUENCE = 24               # flags: SequenceKind; a: of what; b, c: bodies; number: first of three variables
    OP_LOAD = 25                   # a: id or ids; b: collection, or none
    OP_MARK = 26                   # flags: MarkKind; a, b: value, second (of a boost: the number)
    # ---- stages
    OP_LET = 27                    # number: variable; a: value; b: next stage
    OP_FILTER = 28                 # a: condition; b: next stage
    OP_EACH = 29                   # number: variable; a: sequence; b: next stage
    OP_OUTPUT = 30                 # a, b: place and number of pairs (field, node) in the lists
    OP_KINDS = 31                  # one more than the highest

cdef enum CompareKind:
    COMPARE_EQUAL = 1
    COMPARE_NOT_EQUAL = 2
    COMPARE_LESS = 3
    COMPARE_LESS_EQUAL = 4
    COMPARE_GREATER = 5
    COMPARE_GREATER_EQUAL = 6

cdef enum:
    MEMBER_OF_EACH = 1

cdef enum SequenceKind:            # the body sees the item, its position, and of SELECT_MANY's result the inner item
    SEQUENCE_SELECT = 1
    SEQUENCE_SELECT_MANY = 2       # b: inner sequence; c: result, or none
    SEQUENCE_WHERE = 3
    SEQUENCE_ANY = 4               # the body of the following five may be none
    SEQUENCE_COUNT = 5
    SEQUENCE_SUM = 6
    SEQUENCE_MIN = 7
    SEQUENCE_MAX = 8
    SEQUENCE_AVERAGE = 9
    SEQUENCE_ALL = 10
    SEQUENCE_FIRST = 11            # body: condition, or none; these two fail when there is no such item
    SEQUENCE_LAST = 12
    SEQUENCE_FIRST_OR_NULL = 13
    SEQUENCE_LAST_OR_NULL = 14
    SEQUENCE_ORDER = 15            # body: key
    SEQUENCE_ORDER_DESCENDING = 16
    SEQUENCE_GROUP = 17            # b: key; c: element, or none
    SEQUENCE_KINDS = 18

cdef enum:
    NO_OPERAND = 0xFFFFFFFF
    PROGRAM_DEPTH_MAX = 160        # of nodes within nodes; bounds the stack
    PROGRAM_NODES_MAX = 100000
    PROGRAM_VARIABLES_MAX = 1024
    PROGRAM_FIELDS_MAX = 4096
    STEPS_MAX = 20000000           # of one document: about a second
    MEMORY_BYTES_MAX = 268435456   # of one document
    ENTRIES_MAX = 1048576          # of one document
    VARIABLE_INPUT = 0             # the document; of a reduce the list of results
    VARIABLE_PARAMETERS = 1        # an object, or nothing
    VARIABLES_GIVEN = 2            # the first that a program may bind

cdef packed struct ProgramHeader:  # 32 bytes; then nodes, words of the lists, texts as (offset, size), their bytes
    uint8_t magic[4]               # "PXP1"
    uint32_t nodes
    uint32_t words
    uint32_t texts
    uint32_t text_bytes
    uint32_t variables
    uint32_t fields                # the first words are the texts of the fields' names
    uint32_t root

cdef packed struct Node:           # 20 bytes
    uint8_t operation
    uint8_t flags
    uint16_t number
    uint32_t a
    uint32_t b
    uint32_t c
    uint32_t position              # line << 12 | column

cdef packed struct TextPlace:
    uint32_t offset
    uint32_t size

cdef struct ProgramCode:           # pointers into the program's bytes
    const ProgramHeader* header
    const Node* nodes
    const uint32_t* words
    const TextPlace* texts
    const uint8_t* text_bytes

cdef struct Reference:             # a document that was asked for by OP_LOAD, found or not
    Reference* next
    const uint8_t* id
    size_t id_size
    const uint8_t* collection      # NULL: not said
    size_t collection_size

cdef struct BuiltDocument:
    BuiltDocument* next
    const uint8_t* data
    size_t size

cdef struct Evaluation:
    Work work                      # work.error tells what failed
    const ProgramCode* code
    FieldValue* variables
    const FieldSink* sink          # NULL: entries are built as documents
    Snapshot* snapshot             # NULL: nothing can be loaded
    Reference* references          # newest first; until the next run
    BuiltDocument* documents       # newest first; until the next run
    Builder* builder               # made when it is first needed
    uint64_t entries
    uint64_t steps_max

# The value of a node, within a run of `expr_run`. Not OK: the evaluation tells what failed.
cdef int evaluate(Evaluation* e, uint32_t index, FieldValue* out) noexcept nogil
# A document as a program's input.
cdef void document_input(FieldValue* out, const BlittableValue* root, const uint8_t* id, size_t id_size,
                         uint64_t last_modified) noexcept nogil
