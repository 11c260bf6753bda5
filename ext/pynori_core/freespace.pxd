"""Free-space bitmaps: arithmetic on the bytes of bitmap pages. A set bit is a page in use.

Bitmap page k covers the BITMAP_PAGES pages from k * BITMAP_PAGES on. It is page 2 for k = 0, else the first page that
it covers, so runs never reach across. Bits follow the PageHeader; bits of pages beyond the end of the file are clear.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.format cimport BITMAP_PAGES, PAGE_BITMAP_FIRST, PageHeader

cdef enum:
    RUN_PAGES_MAX = 65008          # BITMAP_PAGES less the bitmap page itself, rounded down
    FREESPACE_NONE = 0xFFFFFFFF

cdef inline uint64_t bitmap_page(uint64_t index) noexcept nogil:
    return PAGE_BITMAP_FIRST if index == 0 else index * BITMAP_PAGES

cdef inline uint64_t* bitmap_words(const uint8_t* page) noexcept nogil:
    return <uint64_t*>(page + sizeof(PageHeader))

cdef inline bint bitmap_test(const uint8_t* page, uint32_t bit) noexcept nogil:
    return (bitmap_words(page)[bit >> 6] >> (bit & 63)) & 1

# `count` clear bits in a row with first bit >= start, all below end; FREESPACE_NONE when there are none.
cdef uint32_t bitmap_find(const uint8_t* page, uint32_t start, uint32_t end, uint32_t count) noexcept nogil
# Sets or clears `count` bits; False when one of them already was as asked, and then nothing is changed.
cdef bint bitmap_change(uint8_t* page, uint32_t bit, uint32_t count, bint used) noexcept nogil
cdef uint32_t bitmap_count_used(const uint8_t* page, uint32_t end) noexcept nogil
