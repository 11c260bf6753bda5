"""THE table of exit codes. A code is never used for something else later."""

from __future__ import annotations

DONE = 0
FAILED = 1  # the operation was tried and failed
WRONG_USAGE = 2  # unknown verb or option; click's own
NOT_REACHABLE = 3  # no server answers at the address
NOT_ALLOWED = 4
NOT_FOUND = 5  # no such database, file or document
CONFLICT = 6  # a precondition does not hold: it exists already, or has changed
PROBLEMS_FOUND = 7  # a check found problems
PARTLY_DONE = 8  # some rows were rejected
BAD_SETTING = 78  # a setting is wrong, or cannot be had on this machine: address in use, folder in use
INTERRUPTED = 130
