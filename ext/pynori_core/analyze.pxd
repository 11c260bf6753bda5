"""Text cut into terms, without the GIL: the analyzers that need no language of their own.

An analyzer is a number: one of three tokenizers and flags for what happens to its tokens. A cursor walks over one text
and gives token after token. Positions count the tokens that are given: a stop word leaves no gap, so that a phrase
matches with and without it.

The standard tokenizer takes the longest of: a word (letters and digits); words joined by apostrophes (`o'neil`); single
letters with dots (`U.S.A.`); `AT&T`; an e-mail address; a host name; words with `_ - / . ,` between them of which every
other one has a digit (`3.14`, `2024-05-17`, `wd-40`). Characters of Han, Hiragana and Katakana are a token each.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

cdef enum Analyzer:                    # one TOKENIZE, and any ANALYZE_ flags
    TOKENIZE_STANDARD = 0
    TOKENIZE_LETTERS = 1               # runs of letters
    TOKENIZE_WHITESPACE = 2            # runs of anything else than white space
    TOKENIZE_MASK = 3
    ANALYZE_LOWER = 4                  # simple lower-casing of Unicode 14
    ANALYZE_CLEAN = 8                  # standard: `'s` at the end and the dots of U.S.A. go
    ANALYZE_STOP = 16                  # the 33 English stop words of `stop_words` go
    ANALYZER_STANDARD = 28             # what StandardAnalyzer is
    ANALYZER_MAX = 31

cdef enum:
    TOKEN_CHARACTERS_MAX = 255         # a longer word is passed over by the standard tokenizer, cut by the others
    TOKEN_ROOM = 1024                  # bytes that a token can have at most, and a little more

cdef struct Token:
    const uint8_t* text                # in the cursor's buffer until the next token
    size_t size
    uint32_t position                  # from 0
    size_t start, end                  # bytes of the text it was cut from
    size_t start_character, end_character

cdef struct AnalyzeCursor:
    const uint8_t* text                # valid UTF-8; anything else is separators
    size_t size
    size_t here                        # bytes
    size_t character                   # characters before `here`
    uint32_t analyzer                  # Analyzer
    uint32_t position                  # of the next token
    uint8_t buffer[TOKEN_ROOM]

# `text` must stay as long as the cursor is used. An analyzer above ANALYZER_MAX, or tokenizer 3, gives no tokens.
cdef void analyze_begin(AnalyzeCursor* cursor, const uint8_t* text, size_t size, uint32_t analyzer) noexcept nogil
# False at the end of the text.
cdef bint analyze_next(AnalyzeCursor* cursor, Token* token) noexcept nogil
