"""Full text: entries by how well they match tokens (BM25), and entries where tokens stand together.

Ranking goes through the ids in windows: each token adds its part to the scores of a window, then the window's entries
compete for the best places. So memory is bounded whatever the size of the index, and each posting is touched once.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.index_trees cimport IndexTrees
from pynori_core.matches cimport IdList

cdef enum:
    TOKENS_MAX = 1024                  # of one ranking
    PHRASE_TOKENS_MAX = 64

cdef struct Token:
    const uint8_t* term                # as term_string makes it
    size_t size
    double boost
    uint32_t position                  # in a phrase

# The best `wanted` - `skip` entries behind `skip`, best first, with malloc'd scores; entries with equal scores by id.
# `total`: how many matched. `within` NULL: all. `required`: only entries with all tokens.
cdef int rank_entries(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count,
                      const uint64_t* within, size_t within_count, bint required, uint64_t skip, uint64_t limit,
                      IdList* out, double** scores, uint64_t* total) noexcept nogil

# The scores of ascending ids into `out`, which is added to. `average`: how many tokens an entry has that is neither
# long nor short; 0: the field's own average.
cdef int rank_scores(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count, double average,
                     const uint64_t* ids, size_t count, double* out) noexcept nogil

# Of ascending `candidates`, which have all tokens, those where the tokens' places, each less its own position, lie
# within `slop` of one another.
cdef int rank_phrase(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count, uint32_t slop,
                     const uint64_t* candidates, size_t count, IdList* out) noexcept nogil
