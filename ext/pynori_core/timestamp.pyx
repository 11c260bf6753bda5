"""Read the clocks and format ticks, without the GIL and without the C library's calendar."""

from libc.stdint cimport uint32_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

from pynori_core.bits cimport atomic_load64, atomic_store64

cdef enum:
    TICKS_PER_SECOND = 10000000
    SECONDS_PER_DAY = 86400

cdef extern from *:
    """
    #define PYN_UNIX_EPOCH_TICKS 621355968000000000ULL
    """
    const uint64_t UNIX_EPOCH_TICKS "PYN_UNIX_EPOCH_TICKS"

cdef uint64_t held_ticks = 0           # what the wall clock shows while it is held; atomic. 0: it runs


cdef uint64_t timestamp_now() noexcept nogil:
    cdef timespec now
    cdef uint64_t held = atomic_load64(&held_ticks)
    if held != 0:
        return held
    clock_gettime(CLOCK_REALTIME, &now)
    return UNIX_EPOCH_TICKS + <uint64_t>now.tv_sec * TICKS_PER_SECOND + <uint64_t>now.tv_nsec // 100


cdef uint64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef inline void put_digits(char* text, uint32_t number, int digits) noexcept nogil:
    while digits > 0:
        digits -= 1
        text[digits] = <char>(c'0' + number % 10)
        number //= 10


cdef void timestamp_format(uint64_t ticks, char* text) noexcept nogil:
    cdef uint64_t seconds = ticks // TICKS_PER_SECOND
    cdef uint32_t fraction = <uint32_t>(ticks % TICKS_PER_SECOND)
    cdef uint32_t second = <uint32_t>(seconds % SECONDS_PER_DAY)
    # Years that begin in March have the leap day last: 306 days lie between 0000-03-01 and 0001-01-01.
    cdef uint64_t days = seconds // SECONDS_PER_DAY + 306
    cdef uint64_t era = days // 146097
    cdef uint32_t day_of_era = <uint32_t>(days % 146097)
    cdef uint32_t year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef uint32_t month_index = (5 * day_of_year + 2) // 153
    cdef uint32_t day = day_of_year - (153 * month_index + 2) // 5 + 1
    cdef uint32_t month = month_index + 3 if month_index < 10 else month_index - 9
    cdef uint64_t year = era * 400 + year_of_era + (1 if month <= 2 else 0)
    put_digits(text, <uint32_t>year, 4)
    text[4] = c'-'
    put_digits(text + 5, month, 2)
    text[7] = c'-'
    put_digits(text + 8, day, 2)
    text[10] = c'T'
    put_digits(text + 11, second // 3600, 2)
    text[13] = c':'
    put_digits(text + 14, second // 60 % 60, 2)
    text[16] = c':'
    put_digits(text + 17, second % 60, 2)
    text[19] = c'.'
    put_digits(text + 20, fraction, 7)
    text[27] = c'Z'


def format_ticks(uint64_t ticks) -> str:
    """Ticks as text on the wire."""
    cdef char text[TIMESTAMP_TEXT_SIZE]
    timestamp_format(ticks, text)
    return text[:TIMESTAMP_TEXT_SIZE].decode("ascii")


def now_ticks() -> int:
    """The wall clock."""
    return timestamp_now()


def hold_clock(uint64_t ticks):
    """Have the wall clock of the engine stand at a moment, for simulations; 0 lets it run again."""
    atomic_store64(&held_ticks, ticks)
