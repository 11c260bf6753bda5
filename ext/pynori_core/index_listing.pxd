"""Terms, postings and entries of an index as Python objects.

What goes wrong in the trees is told by `code`; what Python raises is raised. The interpreter's lock is held.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.index_entry cimport EntryView
from pynori_core.index_search cimport Interval
from pynori_core.index_trees cimport IndexTrees
from pynori_core.output cimport Output

# (term as bytes, number of entries), at most `limit`.
cdef list trees_terms(IndexTrees* trees, uint32_t field, const Interval* interval, size_t limit, int* code)
# What is left of an interval behind a term.
cdef void next_interval(Interval* interval, bytes last) noexcept
# (entry, positions) of the terms of an interval in a text field.
cdef list trees_postings(IndexTrees* trees, uint32_t field, const Interval* interval, int* code)
# (term as a value, count) of what values_counts has put out.
cdef list counts_list(const Output* out)

ctypedef object (*EntryFunction)(const EntryView* view, uint32_t field)

cdef object entry_document(const EntryView* view, uint32_t field)      # its id as spelt
cdef object entry_stored(const EntryView* view, uint32_t field)
cdef object entry_terms(const EntryView* view, uint32_t field)         # as bytes
cdef object entry_values(const EntryView* view, uint32_t field)
# What the function makes of each entry. IndexError when one is not there.
cdef list trees_entries(IndexTrees* trees, const uint64_t* ids, size_t count, EntryFunction function, uint32_t field,
                        int* code)
