"""Recovery: from the newest valid header and the journals after it to the state of the last committed transaction.

Idempotent and bounded: page images are gathered in scratch memory and written to the data file whenever there are many;
the journals still have them, and the header changes last. A record that is not whole is a torn tail when no later
transaction of this environment lies behind it, else it is damage and nothing is touched.
"""

from libc.stdint cimport uint64_t
from pynori_core.errors cimport ErrorDetail
from pynori_core.state cimport Env

cdef enum:
    RECOVERY_BYTES_MAX = 50331648          # page images held before they are written to the data file

# The header is loaded, the data file mapped, scratch and journal open. On OK the environment's state is set: published
# transaction, allocation, and a current journal.
cdef int recovery_run(Env* env, uint64_t accept_loss_after, ErrorDetail* error) noexcept nogil
