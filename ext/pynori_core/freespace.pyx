"""Finding, setting and counting bits, a word at a time."""

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t

from pynori_core.bits cimport popcount64, trailing_zeros64


cdef inline uint64_t mask_from(uint32_t bit) noexcept nogil:
    """The bits of a word from this one on."""
    return UINT64_MAX << (bit & 63)


cdef uint32_t bitmap_find(const uint8_t* page, uint32_t start, uint32_t end, uint32_t count) noexcept nogil:
    cdef const uint64_t* words = bitmap_words(page)
    cdef uint32_t bit = start      # where the clear bits begin that are being counted
    cdef uint32_t position = start
    cdef uint64_t used, clear
    while position < end:
        used = words[position >> 6] & mask_from(position)
        if used == 0:
            position = (position | 63) + 1
            if position - bit >= count:
                break
            continue
        position = (position & ~<uint32_t>63) + <uint32_t>trailing_zeros64(used)
        if position - bit >= count:
            break
        # On to the next clear bit.
        clear = ~words[position >> 6] & mask_from(position)
        while clear == 0:
            position = (position | 63) + 1
            if position >= end:
                return FREESPACE_NONE
            clear = ~words[position >> 6]
        position = (position & ~<uint32_t>63) + <uint32_t>trailing_zeros64(clear)
        bit = position
    return bit if bit + count <= end and position - bit >= count else FREESPACE_NONE


cdef bint bitmap_change(uint8_t* page, uint32_t bit, uint32_t count, bint used) noexcept nogil:
    cdef uint64_t* words = bitmap_words(page)
    cdef uint32_t end = bit + count
    cdef uint32_t position = bit
    cdef uint64_t mask
    while position < end:
        mask = mask_from(position)
        if end - (position & ~<uint32_t>63) < 64:
            mask &= ~mask_from(end)
        if (words[position >> 6] & mask) != (0 if used else mask):
            return False
        position = (position | 63) + 1
    position = bit
    while position < end:
        mask = mask_from(position)
        if end - (position & ~<uint32_t>63) < 64:
            mask &= ~mask_from(end)
        if used:
            words[position >> 6] |= mask
        else:
            words[position >> 6] &= ~mask
        position = (position | 63) + 1
    return True


cdef uint32_t bitmap_count_used(const uint8_t* page, uint32_t end) noexcept nogil:
    cdef const uint64_t* words = bitmap_words(page)
    cdef uint32_t used = 0
    cdef uint32_t i
    for i in range(end >> 6):
        used += <uint32_t>popcount64(words[i])
    if end & 63:
        used += <uint32_t>popcount64(words[end >> 6] & ~mask_from(end))
    return used
