"""The engine's own analyzers (analyze.pxd) as what an index takes to cut the texts of a field, natively or not."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uintptr_t

from pynori_core.analyze cimport ANALYZER_MAX, TOKENIZE_MASK, AnalyzeCursor, Token, analyze_begin, analyze_next
from pynori_core.errors cimport OK
from pynori_core.index_feed cimport TextAnalyzer, TokenSink


cdef int analyze(void* state, const uint8_t* text, size_t size, uint32_t first, const TokenSink* sink,
                 uint32_t* next_position) noexcept nogil:
    """Positions go on behind those of the values before."""
    cdef AnalyzeCursor cursor
    cdef Token token
    cdef int code
    analyze_begin(&cursor, text, size, <uint32_t><uintptr_t>state)
    while analyze_next(&cursor, &token):
        code = sink.token(sink.context, token.text, token.size, first + token.position)
        if code != OK:
            return code
    next_position[0] = first + cursor.position
    return OK


@cython.final
cdef class NativeAnalyzer(TextAnalyzer):
    """One of the engine's analyzers."""

    cdef readonly uint32_t analyzer

    def __cinit__(self, uint32_t analyzer):
        if analyzer > ANALYZER_MAX or analyzer & TOKENIZE_MASK == TOKENIZE_MASK:
            raise ValueError(f"{analyzer} is no analyzer")
        self.analyzer = analyzer
        # The number is all that there is to say: it stands where a pointer to more would.
        self.state = <void*><uintptr_t>analyzer
        self.analyze = analyze
