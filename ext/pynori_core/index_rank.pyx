"""Score, keep the best, compare positions."""

from libc.math cimport log
from libc.stdint cimport int64_t, uint16_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memset

from pynori_core.bits cimport store64_be, trailing_zeros64
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_seek, cursor_seek_before
from pynori_core.errors cimport E_NO_MEMORY, E_NOT_FOUND, OK, error_set
from pynori_core.index_search cimport TEXT_ANY, TermTest, interval_equal, search_count
from pynori_core.index_trees cimport block_at, length_read, term_key, trees_corrupt
from pynori_core.matches cimport ids_add, ids_find
from pynori_core.posting cimport (
    BLOCK_RUN_MAX,
    POSITIONS_MAX,
    Block,
    PostingList,
    block_decode,
    block_frequencies,
    block_list,
    list_init,
    list_release,
    payload_positions,
)

cdef enum:
    WINDOW_SHIFT = 13
    WINDOW_IDS = 8192
    WINDOW_WORDS = 128
    HITS_FIRST = 64

cdef double K1 = 1.2
cdef double B = 0.75

cdef struct Stream:                    # the postings of one token, ascending
    Cursor cursor
    uint8_t key[1072]                  # TERM_KEY_MAX; field and term, with room for an id
    size_t prefix
    uint64_t* ids                      # of the current block, BLOCK_RUN_MAX
    uint32_t* frequencies
    uint32_t count
    uint32_t place
    double weight                      # boost * idf * (k1 + 1)
    bint ended

cdef struct Hit:
    double score
    uint64_t id

cdef struct Ranking:
    IndexTrees* trees
    uint32_t field
    double average                     # tokens of an entry
    uint64_t length_group
    const uint8_t* lengths
    Stream* streams
    size_t stream_count
    double* window                     # scores, WINDOW_IDS
    uint16_t* matched                  # tokens that matched
    uint64_t touched[128]              # WINDOW_WORDS: which of the window have a score
    Hit* hits                          # a heap, the worst at its top, once it is full
    size_t hit_count
    size_t hit_capacity
    size_t hits_max
    uint64_t total


cdef int out_of_memory(IndexTrees* trees) noexcept nogil:
    error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for a ranking")
    return E_NO_MEMORY


# ---- streams

cdef int stream_open(Ranking* ranking, Stream* stream, const Token* token) noexcept nogil:
    """Count the token's entries, and stand at its first block."""
    cdef TermTest test
    cdef uint64_t frequency = 0
    cdef double entries = <double>ranking.trees.fields.records[ranking.field].entries
    cdef int code
    test.field = ranking.field
    test.terms = NULL
    test.text_test = TEXT_ANY
    interval_equal(&test.interval, token.term, token.size)
    code = search_count(ranking.trees, &test, <uint64_t>-1, &frequency)
    if code != OK:
        return code
    stream.weight = token.boost * (K1 + 1) * log(1 + (entries - frequency + 0.5) / (frequency + 0.5))
    term_key(stream.key, ranking.field, token.term, token.size, 0)
    stream.prefix = token.size + 2
    cursor_init(&stream.cursor, &ranking.trees.terms)
    stream.count = stream.place = 0
    stream.ended = frequency == 0
    return OK


cdef inline bint stream_inside(const Stream* stream) noexcept nogil:
    return (stream.cursor.key_size == stream.prefix + 8
            and memcmp(stream.cursor.key, stream.key, stream.prefix) == 0)


cdef int stream_block(Ranking* ranking, Stream* stream) noexcept nogil:
    """Read the block at the cursor, if that is still the token's."""
    cdef Block block
    cdef int code
    if not stream_inside(stream):
        stream.ended = True
        return OK
    code = block_at(ranking.trees, &stream.cursor, &block)
    if code != OK:
        return code
    if block_decode(&block, stream.ids) != OK or block_frequencies(&block, stream.frequencies) != OK:
        return trees_corrupt(ranking.trees, b"X6 violated: a block of ids is broken, the first is", block.first)
    stream.count = block.count
    stream.place = 0
    return OK


cdef int stream_first(Ranking* ranking, Stream* stream) noexcept nogil:
    cdef int code
    if stream.ended:
        return OK
    code = cursor_seek(&stream.cursor, stream.key, stream.prefix + 8)
    if code == OK:
        return stream_block(ranking, stream)
    stream.ended = True
    return OK if code == E_NOT_FOUND else code


cdef int stream_next_block(Ranking* ranking, Stream* stream) noexcept nogil:
    cdef int code = cursor_next(&stream.cursor)
    if code == OK:
        return stream_block(ranking, stream)
    stream.ended = True
    return OK if code == E_NOT_FOUND else code


cdef int ranking_open(Ranking* ranking, IndexTrees* trees, uint32_t field, const Token* tokens,
                      size_t count) noexcept nogil:
    cdef uint64_t entries = trees.fields.records[field].entries
    cdef size_t index
    cdef int code = OK
    memset(ranking, 0, sizeof(Ranking))
    ranking.trees = trees
    ranking.field = field
    ranking.average = <double>trees.fields.records[field].tokens / entries if entries else 1
    if ranking.average <= 0:
        ranking.average = 1
    ranking.length_group = <uint64_t>-1
    ranking.stream_count = count
    ranking.streams = <Stream*>calloc(count + 1, sizeof(Stream))
    if ranking.streams == NULL:
        return out_of_memory(trees)
    for index in range(count):
        ranking.streams[index].ids = <uint64_t*>malloc(BLOCK_RUN_MAX * 8)
        ranking.streams[index].frequencies = <uint32_t*>malloc(BLOCK_RUN_MAX * 4)
        if ranking.streams[index].ids == NULL or ranking.streams[index].frequencies == NULL:
            return out_of_memory(trees)
        code = stream_open(ranking, &ranking.streams[index], &tokens[index])
        if code != OK:
            return code
    return OK


cdef void ranking_close(Ranking* ranking) noexcept nogil:
    cdef size_t index
    if ranking.streams != NULL:
        for index in range(ranking.stream_count):
            free(ranking.streams[index].ids)
            free(ranking.streams[index].frequencies)
    free(ranking.streams)
    free(ranking.window)
    free(ranking.matched)
    free(ranking.hits)


cdef inline double part(Ranking* ranking, const Stream* stream, uint64_t id, uint32_t frequency) noexcept nogil:
    """What one token adds to the score of an entry."""
    cdef uint32_t length = length_read(ranking.trees, ranking.field, id, &ranking.length_group, &ranking.lengths)
    return stream.weight * frequency / (frequency + K1 * (1 - B + B * length / ranking.average))


# ---- the best

cdef int rank_entries(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count,
                      const uint64_t* within, size_t within_count, bint required, uint64_t skip, uint64_t limit,
                      IdList* out, double** scores, uint64_t* total) noexcept nogil:
    cdef Ranking ranking
    cdef uint64_t wanted = skip + limit if skip + limit >= skip else <uint64_t>-1
    cdef size_t index
    cdef int code = ranking_open(&ranking, trees, field, tokens, token_count)
    if code == OK:
        ranking.hits_max = <size_t>(wanted if wanted < trees.state.entries else trees.state.entries)
        ranking.window = <double*>calloc(WINDOW_IDS, sizeof(double))
        ranking.matched = <uint16_t*>calloc(WINDOW_IDS, 2)
        if ranking.window == NULL or ranking.matched == NULL:
            code = out_of_memory(trees)
    if code == OK:
        code = windows_walk(&ranking, within, within_count, required)
    if code == OK:
        qsort(ranking.hits, ranking.hit_count, sizeof(Hit), hit_compare)
        scores[0] = <double*>malloc(ranking.hit_count * sizeof(double) + 8)
        if scores[0] == NULL:
            code = out_of_memory(trees)
    if code == OK:
        for index in range(skip if skip < ranking.hit_count else ranking.hit_count, ranking.hit_count):
            scores[0][out.count] = ranking.hits[index].score
            ids_add(out, ranking.hits[index].id)
        total[0] = ranking.total
        out.unsorted = False
        if out.failed:
            code = out_of_memory(trees)
    ranking_close(&ranking)
    return code


cdef int windows_walk(Ranking* ranking, const uint64_t* within, size_t within_count, bint required) noexcept nogil:
    cdef Stream* stream
    cdef uint64_t start
    cdef size_t index
    cdef size_t within_place = 0
    cdef int code = OK
    for index in range(ranking.stream_count):
        code = stream_first(ranking, &ranking.streams[index])
        if code != OK:
            return code
    while True:
        start = <uint64_t>-1
        for index in range(ranking.stream_count):
            stream = &ranking.streams[index]
            if not stream.ended and stream.ids[stream.place] < start:
                start = stream.ids[stream.place]
            if stream.ended and required:
                return OK
        if start == <uint64_t>-1:
            return OK
        start &= ~<uint64_t>(WINDOW_IDS - 1)
        for index in range(ranking.stream_count):
            code = window_add(ranking, &ranking.streams[index], start)
            if code != OK:
                return code
        code = window_take(ranking, start, within, within_count, &within_place,
                           ranking.stream_count if required else 1)
        if code != OK:
            return code


cdef int window_add(Ranking* ranking, Stream* stream, uint64_t start) noexcept nogil:
    cdef uint64_t end = start + WINDOW_IDS
    cdef uint64_t place
    cdef int code
    while not stream.ended:
        while stream.place < stream.count and stream.ids[stream.place] < end:
            place = stream.ids[stream.place] - start
            ranking.touched[place >> 6] |= <uint64_t>1 << (place & 63)
            ranking.window[place] += part(ranking, stream, start + place, stream.frequencies[stream.place])
            ranking.matched[place] += 1
            stream.place += 1
        if stream.place < stream.count:
            return OK
        code = stream_next_block(ranking, stream)
        if code != OK:
            return code
    return OK


cdef int window_take(Ranking* ranking, uint64_t start, const uint64_t* within, size_t within_count,
                     size_t* within_place, size_t matched_min) noexcept nogil:
    """Let the window's entries compete, and clear it."""
    cdef uint64_t word, place
    cdef size_t index
    for index in range(WINDOW_WORDS):
        word = ranking.touched[index]
        ranking.touched[index] = 0
        while word:
            place = index * 64 + <uint64_t>trailing_zeros64(word)
            word &= word - 1
            if ranking.matched[place] >= matched_min and inside(within, within_count, within_place, start + place):
                ranking.total += 1
                if not hit_add(ranking, ranking.window[place], start + place):
                    return out_of_memory(ranking.trees)
            ranking.window[place] = 0
            ranking.matched[place] = 0
    return OK


cdef inline bint inside(const uint64_t* within, size_t count, size_t* place, uint64_t id) noexcept nogil:
    """For ids that ascend from call to call."""
    if within == NULL:
        return True
    if place[0] < count and within[place[0]] < id:
        place[0] += 1
        if place[0] < count and within[place[0]] < id:
            place[0] += ids_find(within + place[0], count - place[0], id)
    return place[0] < count and within[place[0]] == id


cdef inline bint hit_worse(const Hit* left, const Hit* right) noexcept nogil:
    return left.score < right.score or (left.score == right.score and left.id > right.id)


cdef int hit_compare(const void* left, const void* right) noexcept nogil:
    return <int>hit_worse(<const Hit*>left, <const Hit*>right) - <int>hit_worse(<const Hit*>right, <const Hit*>left)


cdef bint hit_add(Ranking* ranking, double score, uint64_t id) noexcept nogil:
    cdef Hit hit
    cdef size_t wanted
    cdef void* memory
    hit.score = score
    hit.id = id
    if ranking.hit_count == ranking.hits_max:
        if ranking.hits_max and hit_worse(&ranking.hits[0], &hit):
            ranking.hits[0] = hit
            hit_down(ranking.hits, ranking.hit_count, 0)
        return True
    if ranking.hit_count == ranking.hit_capacity:
        wanted = ranking.hit_capacity * 2 if ranking.hit_capacity else <size_t>HITS_FIRST
        memory = realloc(ranking.hits, wanted * sizeof(Hit))
        if memory == NULL:
            return False
        ranking.hits = <Hit*>memory
        ranking.hit_capacity = wanted
    ranking.hits[ranking.hit_count] = hit
    ranking.hit_count += 1
    if ranking.hit_count == ranking.hits_max:
        wanted = ranking.hit_count // 2
        while wanted > 0:
            wanted -= 1
            hit_down(ranking.hits, ranking.hit_count, wanted)
    return True


cdef void hit_down(Hit* hits, size_t count, size_t place) noexcept nogil:
    cdef size_t child = place * 2 + 1
    cdef Hit moved = hits[place]
    while child < count:
        if child + 1 < count and hit_worse(&hits[child + 1], &hits[child]):
            child += 1
        if not hit_worse(&hits[child], &moved):
            break
        hits[place] = hits[child]
        place = child
        child = place * 2 + 1
    hits[place] = moved


# ---- given entries

cdef int rank_scores(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count, double average,
                     const uint64_t* ids, size_t count, double* out) noexcept nogil:
    cdef Ranking ranking
    cdef Stream* stream
    cdef size_t index, place
    cdef int code = ranking_open(&ranking, trees, field, tokens, token_count)
    if average > 0:
        ranking.average = average
    index = 0
    while code == OK and index < token_count:
        stream = &ranking.streams[index]
        for place in range(count):
            code = stream_to(&ranking, stream, ids[place])
            if code == E_NOT_FOUND:
                code = OK
            elif code == OK:
                out[place] += part(&ranking, stream, ids[place], stream.frequencies[stream.place])
            else:
                break
        index += 1
    ranking_close(&ranking)
    return code


cdef int stream_to(Ranking* ranking, Stream* stream, uint64_t id) noexcept nogil:
    """To the posting of an entry; ids ascend from call to call. E_NOT_FOUND: the entry does not have the token."""
    cdef int code
    if stream.count == 0 or stream.ids[stream.count - 1] < id:
        if stream.ended:
            return E_NOT_FOUND
        stream.count = 0
        store64_be(stream.key + stream.prefix, id)
        code = cursor_seek_before(&stream.cursor, stream.key, stream.prefix + 8)
        if code != OK:
            return code
        if not stream_inside(stream):
            return E_NOT_FOUND
        code = stream_block(ranking, stream)
        if code != OK:
            return code
    stream.place = <uint32_t>ids_find(stream.ids, stream.count, id)
    return OK if stream.place < stream.count and stream.ids[stream.place] == id else E_NOT_FOUND


# ---- phrases

cdef struct Places:                    # of one token of a phrase
    Cursor cursor
    uint8_t key[1072]                  # TERM_KEY_MAX
    size_t prefix
    PostingList list                   # of the current block
    uint32_t* found                    # positions in the current entry, POSITIONS_MAX
    uint32_t count
    uint32_t place


cdef int rank_phrase(IndexTrees* trees, uint32_t field, const Token* tokens, size_t token_count, uint32_t slop,
                     const uint64_t* candidates, size_t count, IdList* out) noexcept nogil:
    cdef Places* places = <Places*>calloc(token_count, sizeof(Places))
    cdef size_t index, token
    cdef int code = OK
    if places == NULL:
        return out_of_memory(trees)
    for token in range(token_count):
        term_key(places[token].key, field, tokens[token].term, tokens[token].size, 0)
        places[token].prefix = tokens[token].size + 2
        cursor_init(&places[token].cursor, &trees.terms)
        list_init(&places[token].list, True)
        places[token].found = <uint32_t*>malloc(POSITIONS_MAX * 4)
        if places[token].found == NULL:
            code = out_of_memory(trees)
    index = 0
    while code == OK and index < count:
        for token in range(token_count):
            code = places_read(trees, &places[token], candidates[index])
            if code != OK:
                break
        if code == OK and places_near(places, tokens, token_count, slop):
            ids_add(out, candidates[index])
        if code == E_NOT_FOUND:
            code = OK
        index += 1
    for token in range(token_count):
        list_release(&places[token].list)
        free(places[token].found)
    free(places)
    return out_of_memory(trees) if code == OK and out.failed else code


cdef int places_read(IndexTrees* trees, Places* places, uint64_t id) noexcept nogil:
    """The positions of the token in an entry; ids ascend from call to call."""
    cdef PostingList* list = &places.list
    cdef Block block
    cdef size_t place
    cdef int code
    if list.count == 0 or list.ids[list.count - 1] < id:
        store64_be(places.key + places.prefix, id)
        list.count = 0
        code = cursor_seek_before(&places.cursor, places.key, places.prefix + 8)
        if code != OK:
            return code
        if (places.cursor.key_size != places.prefix + 8
                or memcmp(places.cursor.key, places.key, places.prefix) != 0):
            return E_NOT_FOUND
        code = block_at(trees, &places.cursor, &block)
        if code != OK:
            return code
        code = block_list(&block, list)
        if code != OK:
            return out_of_memory(trees) if code == E_NO_MEMORY else trees_corrupt(
                trees, b"X6 violated: a block of ids is broken, the first is", block.first)
    place = ids_find(list.ids, list.count, id)
    if place == list.count or list.ids[place] != id:
        return E_NOT_FOUND
    places.count = payload_positions(&list.payloads[place], places.found)
    places.place = 0
    return OK


cdef bint places_near(Places* places, const Token* tokens, size_t count, uint32_t slop) noexcept nogil:
    """Whether some choice of positions, each less its token's own, lies within slop: the lowest one goes on."""
    cdef int64_t low, high, value
    cdef size_t lowest, index
    while True:
        lowest = 0
        low = high = 0
        for index in range(count):
            if places[index].place == places[index].count:
                return False
            value = <int64_t>places[index].found[places[index].place] - <int64_t>tokens[index].position
            if index == 0 or value < low:
                low = value
                lowest = index
            if index == 0 or value > high:
                high = value
        if high - low <= slop:
            return True
        places[lowest].place += 1
