"""Executing commands: what a document write entails across the tables of a database, in order.

What can be refused is refused before anything is changed, so a single command that fails with an expected error leaves
no trace; several commands need a savepoint around them.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from pynori_core.command cimport CommandFailure
from pynori_core.output cimport Output
from pynori_core.row_writes cimport Writer

# Execute a buffer of commands; results are appended. On failure `failure` says which and why: an expected code leaves
# the transaction usable, but with the commands before it applied; any other code is in txn.error too.
cdef int writes_execute(Writer* writer, const uint8_t* commands, size_t size, Output* results,
                        CommandFailure* failure) noexcept nogil
