"""Functions of expressions that need nothing but the values of their arguments: strings, dates, numbers, sequences.

Null in gives null out, unless a function says otherwise. Positions in strings count UTF-16 units, as the languages do
that expressions come from.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from pynori_core.expr_values cimport Work
from pynori_core.field_value cimport FieldValue

cdef enum FunctionKind:
    CALL_TO_STRING = 1
    CALL_SUBSTRING = 2             # start, [length]
    CALL_INDEX_OF = 3
    CALL_LAST_INDEX_OF = 4
    CALL_CONTAINS = 5              # of a string a part, of a sequence an item
    CALL_STARTS_WITH = 6
    CALL_ENDS_WITH = 7
    CALL_TO_LOWER = 8
    CALL_TO_UPPER = 9
    CALL_TRIM = 10
    CALL_TRIM_START = 11
    CALL_TRIM_END = 12
    CALL_REPLACE = 13
    CALL_SPLIT = 14                # any number of separators of one character or more
    CALL_FORMAT = 15               # {0} {1}, without widths
    CALL_JOIN = 16                 # separator, a sequence or items
    CALL_IS_NULL_OR_EMPTY = 17
    CALL_IS_NULL_OR_WHITE_SPACE = 18
    CALL_CONCAT_TEXT = 19
    CALL_COMPARE = 20              # -1, 0, 1
    CALL_ADD_TICKS = 21            # date, ticks
    CALL_ADD_DAYS = 22
    CALL_ADD_HOURS = 23
    CALL_ADD_MINUTES = 24
    CALL_ADD_SECONDS = 25
    CALL_ADD_MILLISECONDS = 26
    CALL_ADD_MONTHS = 27
    CALL_ADD_YEARS = 28
    CALL_DATE = 29                 # year, month, day, [hour, minute, second]
    CALL_SPAN_DAYS = 30            # a time span from so many days
    CALL_SPAN_HOURS = 31
    CALL_SPAN_MINUTES = 32
    CALL_SPAN_SECONDS = 33
    CALL_SPAN_MILLISECONDS = 34
    CALL_SPAN_TICKS = 35
    CALL_ABS = 36
    CALL_ROUND = 37                # number, [digits]; halves go to even
    CALL_FLOOR = 38
    CALL_CEILING = 39
    CALL_LEAST = 40
    CALL_GREATEST = 41
    CALL_POWER = 42
    CALL_SQUARE_ROOT = 43
    CALL_DISTINCT = 44
    CALL_REVERSE = 45
    CALL_TAKE = 46
    CALL_SKIP = 47
    CALL_CONCAT = 48               # two sequences
    CALL_UNION = 49
    CALL_INTERSECT = 50
    CALL_EXCEPT = 51
    CALL_ELEMENT_AT = 52           # null beyond the end
    CALL_IN = 53                   # value, then candidates; candidates that are arrays stand for their items
    CALL_ALL_IN = 54               # value, then candidates: each candidate is one of its terms
    CALL_EXISTS = 55               # False for missing and for an empty array: for what gives no term
    CALL_TERMS = 56                # what an index would have of a value, as a list
    CALL_KINDS = 57                # one more than the highest

cdef enum:
    ARGUMENTS_MAX = 1024           # of one call: as many candidates as RQL_IN_TERMS_MAX
    SEQUENCE_ITEMS_MAX = 4194304   # of one list that an evaluation makes

# flags: CompareFlag, for functions that compare. The arguments stay as they are.
cdef int call_function(Work* work, int function, uint32_t flags, const FieldValue* arguments, size_t count,
                       FieldValue* out) noexcept nogil
# A property that every value of a kind has, such as Length or Year; `property` is of PropertyKind.
cdef int value_property(Work* work, int property, const FieldValue* value, FieldValue* out) noexcept nogil
# What an index would have of a value: a list of it alone, or of the items of an array, arrays within arrays laid flat;
# of missing an empty one.
cdef int terms_of(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil
# Whether one of a list's items is equal.
cdef bint equals_any(Work* work, const FieldValue* items, const FieldValue* right, uint32_t flags) noexcept nogil
# The items of `source`, in the order of `items`, each once.
cdef int distinct_items(Work* work, FieldValue* items, size_t count, size_t* kept) noexcept nogil

cdef enum PropertyKind:
    PROPERTY_NONE = 0
    PROPERTY_LENGTH = 1            # of strings and sequences; also Count
    PROPERTY_YEAR = 2              # these eight: DatePart + 1
    PROPERTY_MONTH = 3
    PROPERTY_DAY = 4
    PROPERTY_HOUR = 5
    PROPERTY_MINUTE = 6
    PROPERTY_SECOND = 7
    PROPERTY_MILLISECOND = 8
    PROPERTY_DAY_OF_WEEK = 9
    PROPERTY_DAY_OF_YEAR = 10
    PROPERTY_DATE = 11
    PROPERTY_TICKS = 12
    PROPERTY_TIME_OF_DAY = 13
    PROPERTY_TOTAL_DAYS = 14
    PROPERTY_TOTAL_HOURS = 15
    PROPERTY_TOTAL_MINUTES = 16
    PROPERTY_TOTAL_SECONDS = 17
    PROPERTY_TOTAL_MILLISECONDS = 18
    PROPERTY_DAYS = 19
    PROPERTY_HOURS = 20
    PROPERTY_MINUTES = 21
    PROPERTY_SECONDS = 22
    PROPERTY_MILLISECONDS = 23
    PROPERTY_VALUE = 24            # of what is not nothing: itself; of an object's entry: its value
    PROPERTY_HAS_VALUE = 25
    PROPERTY_KEY = 26              # of a group and of an object's entry
    PROPERTY_ID = 27               # of a document without a property of that name
    PROPERTY_KINDS = 28
