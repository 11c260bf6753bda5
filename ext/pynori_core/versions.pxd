"""Versions of a document that other instances made, and what becomes of several: the rules by which all converge.

The versions of an id that an instance has are the maximal ones by the order of their change vectors. One that arrives
is ignored when one here has seen it, or did so before it was deleted and dropped; else those that it has seen go. What
is left beside it is settled by rule where one applies, and is a conflict otherwise:

- of two versions with equal vectors the greater one stays (`version_order`);
- of one that a cluster-wide transaction wrote and another one, that stays which has seen more of those transactions;
- of two documents that count how many numbers were given ("Raven/Hilo/"), the one that counts higher stays;
- of two deletions, and of two documents with the same content, the greater one stays.

What a rule makes of two versions has seen what both have, and counts nothing of its own: whoever makes it of the same
versions makes the same, whatever came first. Nothing is changed before all is decided.
"""

from pynori_core.change_vector cimport VectorEntry
from pynori_core.command cimport Command, CommandFailure
from pynori_core.output cimport Output
from pynori_core.row_writes cimport Subject, Writer

cdef int version_apply(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil
cdef int version_resolve(Writer* writer, const Command* command, Output* results,
                         CommandFailure* failure) noexcept nogil
cdef int known_merge(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil
# OK when a version that is here is equal to these entries or newer, else E_NOT_FOUND.
cdef int subject_has_seen(Writer* writer, Subject* subject, const VectorEntry* entries, int count) noexcept nogil
