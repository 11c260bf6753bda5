"""Walk over UTF-8 with one table for ASCII and one for the rest, find where a token ends, write it down in lower case.

Bytes are decoded where they are read; what is no UTF-8 counts as a separator of one byte, so that nothing is ever read
behind the end. The standard tokenizer looks ahead over joined words, TOKEN_CHARACTERS_MAX characters at most, and
remembers the longest end that some rule allows.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t

cdef extern from "pynori_lower.h":
    uint32_t lower_character "pyn_lower"(uint32_t c) noexcept nogil

cdef extern from "pynori_letters.h":
    uint32_t letter_kind "pyn_letter"(uint32_t c) noexcept nogil

cdef extern from *:
    """
    /* 1 letter, 2 digit, 4 white space, 0 other: ASCII. */
    static const uint8_t pyn_text_kinds[128] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4,
        4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};

    /* Stop words as numbers: their bytes, the first one lowest. */
    #define W2(a, b) ((uint64_t)(a) | (uint64_t)(b) << 8)
    #define W3(a, b, c) (W2(a, b) | (uint64_t)(c) << 16)
    #define W4(a, b, c, d) (W3(a, b, c) | (uint64_t)(d) << 24)
    #define W5(a, b, c, d, e) (W4(a, b, c, d) | (uint64_t)(e) << 32)
    static const uint64_t pyn_stop_words[] = {
        'a', W2('a','n'), W3('a','n','d'), W3('a','r','e'), W2('a','s'), W2('a','t'), W2('b','e'), W3('b','u','t'),
        W2('b','y'), W3('f','o','r'), W2('i','f'), W2('i','n'), W4('i','n','t','o'), W2('i','s'), W2('i','t'),
        W2('n','o'), W3('n','o','t'), W2('o','f'), W2('o','n'), W2('o','r'), W4('s','u','c','h'),
        W4('t','h','a','t'), W3('t','h','e'), W5('t','h','e','i','r'), W4('t','h','e','n'), W5('t','h','e','r','e'),
        W5('t','h','e','s','e'), W4('t','h','e','y'), W4('t','h','i','s'), W2('t','o'), W3('w','a','s'),
        W4('w','i','l','l'), W4('w','i','t','h')};

    static inline int pyn_stop_word(uint64_t word) {
        int found = 0;
        for (unsigned i = 0; i < sizeof pyn_stop_words / sizeof pyn_stop_words[0]; i++)
            found |= pyn_stop_words[i] == word;
        return found;
    }
    """
    const uint8_t* text_kinds "pyn_text_kinds"
    const uint64_t* stop_words_packed "pyn_stop_words"
    const size_t STOP_WORDS "(sizeof pyn_stop_words / sizeof pyn_stop_words[0])"
    bint is_stop_word "pyn_stop_word"(uint64_t word) noexcept nogil

cdef enum CharacterKind:
    KIND_OTHER = 0
    KIND_LETTER = 1
    KIND_DIGIT = 2
    KIND_WORD = 3                      # a word of its own
    KIND_SPACE = 4

cdef enum:
    NO_CHARACTER = 0x110000

cdef enum TokenKind:
    TOKEN_WORD = 0
    TOKEN_APOSTROPHE = 1
    TOKEN_ACRONYM = 2

# What a joined run of words may still become; the rules that are alive.
cdef enum Rule:
    RULE_APOSTROPHE = 1
    RULE_COMPANY = 2
    RULE_EMAIL_LOCAL = 4               # before the @
    RULE_EMAIL_HOST = 8                # behind it
    RULE_HOST = 16
    RULE_NUMBER_EVEN = 32              # words 0, 2, 4... have a digit
    RULE_NUMBER_ODD = 64
    RULE_ACRONYM = 128

cdef struct Place:                     # in a text
    size_t here                        # bytes
    size_t character

cdef struct Word:                      # letters and digits without anything between
    Place end
    bint letters                       # nothing but
    bint digit                         # at least one


# ---------------------------------------------------------------- characters


cdef inline uint32_t decode(const uint8_t* text, size_t size, size_t here, size_t* width) noexcept nogil:
    """The character at `here`, which lies before the end, and its bytes. NO_CHARACTER, 1 byte: not UTF-8."""
    cdef uint32_t first = text[here], code
    cdef size_t wide, index
    width[0] = 1
    if first < 0x80:
        return first
    if first >= 0xC2 and first < 0xE0:
        wide, code = 2, first & 0x1F
    elif first >= 0xE0 and first < 0xF0:
        wide, code = 3, first & 0x0F
    elif first >= 0xF0 and first < 0xF5:
        wide, code = 4, first & 0x07
    else:
        return NO_CHARACTER
    if size - here < wide:
        return NO_CHARACTER
    for index in range(1, wide):
        if text[here + index] & 0xC0 != 0x80:
            return NO_CHARACTER
        code = code << 6 | (text[here + index] & 0x3F)
    width[0] = wide
    return code


cdef inline bint is_space(uint32_t code) noexcept nogil:
    """White space beyond ASCII."""
    return (code == 0x85 or code == 0xA0 or code == 0x1680 or (code >= 0x2000 and code <= 0x200A) or code == 0x2028
            or code == 0x2029 or code == 0x202F or code == 0x205F or code == 0x3000)


cdef inline uint32_t kind_at(const AnalyzeCursor* cursor, size_t here, size_t* width) noexcept nogil:
    """CharacterKind of the character at `here`; KIND_OTHER with width 0 at the end."""
    cdef uint32_t code
    if here >= cursor.size:
        width[0] = 0
        return KIND_OTHER
    if cursor.text[here] < 0x80:
        width[0] = 1
        return text_kinds[cursor.text[here]]
    code = decode(cursor.text, cursor.size, here, width)
    if code == NO_CHARACTER:
        return KIND_OTHER
    if is_space(code):
        return KIND_SPACE
    return letter_kind(code)


cdef inline uint32_t joiner_at(const AnalyzeCursor* cursor, size_t here, size_t* width) noexcept nogil:
    """The character that may join two words at `here`, or 0; the typographic apostrophe is one."""
    cdef uint8_t byte
    if here >= cursor.size:
        return 0
    byte = cursor.text[here]
    width[0] = 1
    if byte in (c".", c"-", c"_", c"/", c",", c"@", c"&", c"'"):
        return byte
    if byte == 0xE2 and cursor.size - here >= 3 and cursor.text[here + 1] == 0x80 and cursor.text[here + 2] == 0x99:
        width[0] = 3
        return c"'"
    return 0


# ---------------------------------------------------------------- tokenizers


cdef inline Place run_of(const AnalyzeCursor* cursor, Place place, uint32_t tokenizer, size_t most) noexcept nogil:
    """The end of the run of characters that this tokenizer keeps, after at most so many."""
    cdef size_t width, start = place.character
    cdef uint32_t kind
    while place.character - start < most:
        kind = kind_at(cursor, place.here, &width)
        if width == 0:
            break
        if tokenizer == TOKENIZE_LETTERS:
            if kind != KIND_LETTER and kind != KIND_WORD:
                break
        elif kind == KIND_SPACE:
            break
        place.here += width
        place.character += 1
    return place


cdef inline Word word_at(const AnalyzeCursor* cursor, Place place) noexcept nogil:
    """The word that begins here; an empty one ends where it begins."""
    cdef Word word
    cdef size_t width = 0
    cdef uint32_t kind
    word.letters = True
    word.digit = False
    while True:
        kind = kind_at(cursor, place.here, &width)
        if kind == KIND_DIGIT:
            word.letters = False
            word.digit = True
        elif kind != KIND_LETTER:
            break
        place.here += width
        place.character += 1
    word.end = place
    return word


cdef inline uint32_t rules_after(uint32_t rules, uint32_t joiner, size_t words) noexcept nogil:
    """The rules that are alive when this character follows the first so many words."""
    cdef uint32_t alive = 0
    if joiner == c"'":
        alive = RULE_APOSTROPHE
    elif joiner == c"&":
        alive = RULE_COMPANY if words == 1 else 0
    elif joiner == c"@":
        if words == 1:
            alive = RULE_COMPANY
        if rules & RULE_EMAIL_LOCAL:
            return (rules & alive) | RULE_EMAIL_HOST
    elif joiner == c".":
        alive = (RULE_EMAIL_LOCAL | RULE_EMAIL_HOST | RULE_HOST | RULE_NUMBER_EVEN | RULE_NUMBER_ODD | RULE_ACRONYM)
    elif joiner == c"-":
        alive = RULE_EMAIL_LOCAL | RULE_EMAIL_HOST | RULE_NUMBER_EVEN | RULE_NUMBER_ODD
    elif joiner == c"_":
        alive = RULE_EMAIL_LOCAL | RULE_NUMBER_EVEN | RULE_NUMBER_ODD
    else:
        alive = RULE_NUMBER_EVEN | RULE_NUMBER_ODD
    return rules & alive


cdef Place standard_end(const AnalyzeCursor* cursor, Place start, uint32_t* token_kind) noexcept nogil:
    """The end of the longest token that begins here with a word."""
    cdef Word word = word_at(cursor, start)
    cdef Place best = word.end, place = word.end
    cdef uint32_t rules = RULE_EMAIL_LOCAL | RULE_HOST | RULE_NUMBER_ODD, joiner
    cdef size_t words = 1, width = 0, host_words = 0
    token_kind[0] = TOKEN_WORD
    if word.letters:
        rules |= RULE_APOSTROPHE | RULE_COMPANY
        if word.end.character - start.character == 1:
            rules |= RULE_ACRONYM
    if word.digit:
        rules |= RULE_NUMBER_EVEN
    while place.character - start.character < TOKEN_CHARACTERS_MAX:
        joiner = joiner_at(cursor, place.here, &width)
        if joiner == 0:
            break
        if joiner == c"." and rules & RULE_ACRONYM and words >= 2:
            best.here = place.here + 1
            best.character = place.character + 1
            token_kind[0] = TOKEN_ACRONYM
        if joiner == c"@":
            host_words = 0
        rules = rules_after(rules, joiner, words)
        if rules == 0:
            break
        place.here += width
        place.character += 1
        word = word_at(cursor, place)
        if word.end.here == place.here:
            break
        words += 1
        host_words += 1
        rules = rules_with(rules, &word, place, words)
        if rules == 0:
            break
        place = word.end
        if place.character - start.character <= TOKEN_CHARACTERS_MAX and is_complete(rules, host_words):
            best = place
            token_kind[0] = TOKEN_APOSTROPHE if rules & RULE_APOSTROPHE else TOKEN_WORD
    return best


cdef inline uint32_t rules_with(uint32_t rules, const Word* word, Place start, size_t words) noexcept nogil:
    """The rules that are alive with this word as the last of so many."""
    if not word.letters:
        rules &= ~<uint32_t>(RULE_APOSTROPHE | RULE_COMPANY)
    if not word.letters or word.end.character - start.character != 1:
        rules &= ~<uint32_t>RULE_ACRONYM
    if not word.digit:
        rules &= ~<uint32_t>(RULE_NUMBER_EVEN if words & 1 else RULE_NUMBER_ODD)
    return rules


cdef inline bint is_complete(uint32_t rules, size_t host_words) noexcept nogil:
    """Whether a token may end here. An address needs two words behind its @."""
    if rules & (RULE_APOSTROPHE | RULE_COMPANY | RULE_HOST | RULE_NUMBER_EVEN | RULE_NUMBER_ODD):
        return True
    return rules & RULE_EMAIL_HOST != 0 and host_words >= 2


# ---------------------------------------------------------------- what happens to a token


cdef inline size_t put_character(uint8_t* out, uint32_t code) noexcept nogil:
    if code < 0x80:
        out[0] = <uint8_t>code
        return 1
    if code < 0x800:
        out[0] = <uint8_t>(0xC0 | code >> 6)
        out[1] = <uint8_t>(0x80 | (code & 0x3F))
        return 2
    if code < 0x10000:
        out[0] = <uint8_t>(0xE0 | code >> 12)
        out[1] = <uint8_t>(0x80 | (code >> 6 & 0x3F))
        out[2] = <uint8_t>(0x80 | (code & 0x3F))
        return 3
    out[0] = <uint8_t>(0xF0 | code >> 18)
    out[1] = <uint8_t>(0x80 | (code >> 12 & 0x3F))
    out[2] = <uint8_t>(0x80 | (code >> 6 & 0x3F))
    out[3] = <uint8_t>(0x80 | (code & 0x3F))
    return 4


cdef size_t write_token(AnalyzeCursor* cursor, size_t start, size_t end, uint32_t kind) noexcept nogil:
    """The token's bytes into the buffer: at most TOKEN_CHARACTERS_MAX characters lie between start and end."""
    cdef const uint8_t* text = cursor.text
    cdef uint8_t* out = cursor.buffer
    cdef size_t width, written = 0, index
    cdef uint32_t code
    cdef bint lower = cursor.analyzer & ANALYZE_LOWER != 0
    cdef bint clean = cursor.analyzer & ANALYZE_CLEAN != 0
    if clean and kind == TOKEN_APOSTROPHE and end - start > 2 and (text[end - 1] | 0x20) == c"s":
        if text[end - 2] == c"'":
            end -= 2
        elif end - start > 4 and text[end - 2] == 0x99 and text[end - 3] == 0x80 and text[end - 4] == 0xE2:
            end -= 4
    while start < end:
        if text[start] < 0x80:
            code = text[start]
            start += 1
            if clean and kind == TOKEN_ACRONYM and code == c".":
                continue
            if lower and code >= c"A" and code <= c"Z":
                code |= 0x20
            out[written] = <uint8_t>code
            written += 1
            continue
        code = decode(text, cursor.size, start, &width)
        if code == NO_CHARACTER or not lower:
            for index in range(width):
                out[written + index] = text[start + index]
            written += width
        else:
            written += put_character(out + written, lower_character(code))
        start += width
    return written


cdef inline bint is_stopped(const uint8_t* token, size_t size) noexcept nogil:
    """Whether the token is a stop word, whose longest has five letters."""
    cdef uint64_t word = 0
    cdef size_t index
    if size > 5 or size == 0:
        return False
    for index in range(size):
        word |= <uint64_t>token[index] << (8 * index)
    return is_stop_word(word)


# ---------------------------------------------------------------- the cursor


cdef void analyze_begin(AnalyzeCursor* cursor, const uint8_t* text, size_t size, uint32_t analyzer) noexcept nogil:
    cursor.text = text
    cursor.size = size
    cursor.here = 0
    cursor.character = 0
    cursor.analyzer = analyzer
    cursor.position = 0
    if analyzer > ANALYZER_MAX or analyzer & TOKENIZE_MASK == TOKENIZE_MASK:
        cursor.size = 0


cdef bint find_token(AnalyzeCursor* cursor, Place* start, Place* end, uint32_t* token_kind) noexcept nogil:
    """The next token that the tokenizer sees; False when there is none."""
    cdef uint32_t tokenizer = cursor.analyzer & TOKENIZE_MASK, kind
    cdef size_t width
    token_kind[0] = TOKEN_WORD
    start.here = cursor.here
    start.character = cursor.character
    while True:
        kind = kind_at(cursor, start.here, &width)
        if width == 0:
            return False
        if tokenizer == TOKENIZE_WHITESPACE:
            if kind != KIND_SPACE:
                break
        elif kind == KIND_LETTER or kind == KIND_WORD or (kind == KIND_DIGIT and tokenizer == TOKENIZE_STANDARD):
            break
        start.here += width
        start.character += 1
    if tokenizer != TOKENIZE_STANDARD:
        end[0] = run_of(cursor, start[0], tokenizer, TOKEN_CHARACTERS_MAX)
    elif kind == KIND_WORD:
        end.here = start.here + width
        end.character = start.character + 1
    else:
        end[0] = standard_end(cursor, start[0], token_kind)
    return True


cdef bint analyze_next(AnalyzeCursor* cursor, Token* token) noexcept nogil:
    cdef Place start, end
    cdef uint32_t kind
    while find_token(cursor, &start, &end, &kind):
        cursor.here = end.here
        cursor.character = end.character
        if end.character - start.character > TOKEN_CHARACTERS_MAX:
            continue
        token.size = write_token(cursor, start.here, end.here, kind)
        if token.size == 0 or (cursor.analyzer & ANALYZE_STOP and is_stopped(cursor.buffer, token.size)):
            continue
        token.text = cursor.buffer
        token.position = cursor.position
        cursor.position += 1
        token.start = start.here
        token.end = end.here
        token.start_character = start.character
        token.end_character = end.character
        return True
    return False


# ---------------------------------------------------------------- Python


STANDARD = TOKENIZE_STANDARD
LETTERS = TOKENIZE_LETTERS
WHITESPACE = TOKENIZE_WHITESPACE
LOWER = ANALYZE_LOWER
CLEAN = ANALYZE_CLEAN
STOP = ANALYZE_STOP


cdef list packed_stop_words():
    cdef size_t index
    return [
        int(stop_words_packed[index]).to_bytes(8, "little").rstrip(b"\0").decode() for index in range(STOP_WORDS)
    ]


stop_words = frozenset(packed_stop_words())


cdef bytes utf8_of(str text):
    # Lone surrogates are no text; they separate words as other unknown characters do.
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


cdef int check_analyzer(uint32_t analyzer) except -1:
    if analyzer > ANALYZER_MAX or analyzer & TOKENIZE_MASK == TOKENIZE_MASK:
        raise ValueError(f"{analyzer} is no analyzer")
    return 0


def terms(str text, uint32_t analyzer):
    cdef bytes data = utf8_of(text)
    cdef AnalyzeCursor cursor
    cdef Token token
    cdef list found = []
    check_analyzer(analyzer)
    analyze_begin(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), analyzer)
    while analyze_next(&cursor, &token):
        found.append((PyUnicode_DecodeUTF8(<char*>token.text, <Py_ssize_t>token.size, NULL), token.position))
    return found


def tokens(str text, uint32_t analyzer):
    cdef bytes data = utf8_of(text)
    cdef AnalyzeCursor cursor
    cdef Token token
    cdef list found = []
    check_analyzer(analyzer)
    analyze_begin(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), analyzer)
    while analyze_next(&cursor, &token):
        found.append((
            PyUnicode_DecodeUTF8(<char*>token.text, <Py_ssize_t>token.size, NULL), token.position,
            token.start_character, token.end_character,
        ))
    return found


def count(bytes text, uint32_t analyzer):
    cdef AnalyzeCursor cursor
    cdef Token token
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(text)
    cdef size_t size = <size_t>PyBytes_GET_SIZE(text), found = 0
    check_analyzer(analyzer)
    with nogil:
        analyze_begin(&cursor, data, size, analyzer)
        while analyze_next(&cursor, &token):
            found += 1
    return found
