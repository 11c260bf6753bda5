"""Answer questions about one index: sets, terms, order, entries."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stddef cimport size_t
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from pynori_core.bits cimport atomic_add64, atomic_load64, compare_swap64, store32
from pynori_core.btree cimport Value
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.errors cimport E_CLOSED, E_CORRUPT, E_NOT_FOUND, OK, error_clear
from pynori_core.errors import CorruptError
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.index_bounds cimport bound_prefix, bound_range, bound_term, flags_lower
from pynori_core.index_columns cimport ColumnArray, ColumnCache
from pynori_core.index_field cimport fields_list, meta_key, meta_read, raise_plain, raise_txn
from pynori_core.index_listing cimport (
    EntryFunction,
    counts_list,
    entry_document,
    entry_stored,
    entry_terms,
    entry_values,
    next_interval,
    trees_entries,
    trees_postings,
    trees_terms,
)
from pynori_core.index_order cimport SORT_KEYS_MAX, SortKey, order_entries
from pynori_core.index_rank cimport PHRASE_TOKENS_MAX, TOKENS_MAX, Token, rank_entries, rank_phrase, rank_scores
from pynori_core.index_search cimport (
    PATTERN_SIZE_MAX,
    TEXT_ANY,
    TEXT_CONTAINS,
    TEXT_SUFFIX,
    TEXT_WILDCARD,
    Interval,
    TermTest,
    interval_equal,
    interval_field,
    search_count,
    search_presence,
    search_test,
)
from pynori_core.index_terms cimport TERM_ROOM, term_object
from pynori_core.index_trees cimport (
    FIELD_ALL,
    FIELD_TEXT,
    document_entries,
    entries_decode,
    trees_bind,
    trees_corrupt,
    trees_open,
    trees_release,
)
from pynori_core.index_values cimport Aggregate, values_aggregate, values_counts, values_numbers
from pynori_core.matches cimport (
    IdList,
    Matches,
    Ordered,
    ids_add,
    ids_find,
    ids_finish,
    ids_init,
    ids_of,
    ids_release,
    matches_take,
    ordered_take,
)
from pynori_core.output cimport Output, output_init, output_release

cdef enum:
    FEW_WITHIN = 512               # looking at so few entries is not worth giving up the interpreter's lock
    TERMS_DEFAULT = 1024
    COUNT_LIMIT_DEFAULT = 100000
    WIDE_SHARE = 1024              # looks that a range counts for, as a part of all entries
    COLUMN_LOOKS_MIN = 128         # for fewer a column in memory makes no difference
    COUNTS_RATIO = 100             # so many times fewer entries are counted one by one rather than all terms walked
    PRESENCE_RATIO = 64            # so many times fewer entries are looked at rather than all that have a field listed

cdef object UNSET = object()


cdef IndexSnapshot snapshot_open(ReadTxn txn, ColumnCache columns):
    cdef IndexSnapshot snapshot = IndexSnapshot.__new__(IndexSnapshot)
    cdef int code = trees_open(&txn.memory, &snapshot.trees)
    snapshot.txn = txn
    snapshot.columns = columns
    if code != OK:
        try:
            raise_txn(&txn.memory, code, txn.owner.directory)
        finally:
            txn.close()
    snapshot.state = 0
    return snapshot


@cython.final
@cython.no_gc_clear
cdef class IndexSnapshot:
    """The index as of one commit."""

    def __cinit__(self):
        self.state = SNAPSHOT_CLOSED | SNAPSHOT_ENDED

    def __dealloc__(self):
        trees_release(&self.trees)

    def close(self):
        """Give the snapshot back, at once or when those inside have left. Closing twice does no harm."""
        cdef uint64_t before
        while True:
            before = atomic_load64(&self.state)
            if before & SNAPSHOT_CLOSED:
                return
            if compare_swap64(&self.state, before, before | SNAPSHOT_CLOSED):
                break
        if before == 0:
            last_out(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    cdef int enter(self, View* view) except -1:
        if atomic_add64(&self.state, 1) & SNAPSHOT_CLOSED:
            self.exit()
            raise_plain(E_CLOSED, b"the snapshot of the index is closed")
        view.txn = self.txn.memory
        error_clear(&view.txn.error)
        trees_bind(&self.trees, &view.txn, &view.trees)
        return 0

    cdef void exit(self) noexcept:
        if atomic_add64(&self.state, <uint64_t>-1) == SNAPSHOT_CLOSED:
            last_out(self)

    cdef int leave(self, View* view, int code) except -1:
        self.exit()
        if code != OK:
            try:
                raise_txn(&view.txn, code, self.txn.owner.directory)
            except CorruptError as error:
                if self.on_damage is not None:
                    self.on_damage(error)
                raise
        return 0

    cdef int field_flags(self, uint32_t field) except -1:
        if field == 0 or field > self.trees.state.fields:
            raise ValueError(f"the index has no field {field}")
        return self.trees.fields.records[field].flags

    # What there is.

    @property
    def txn_id(self):
        """Grows with each commit."""
        return self.txn.memory.id

    @property
    def entry_count(self):
        return self.trees.state.entries

    @property
    def document_count(self):
        return self.trees.state.documents

    def fields(self):
        cdef View view
        if self.known is None:
            self.enter(&view)
            try:
                self.known = fields_list(&view.trees)
            finally:
                self.exit()
        return list(self.known)

    def field(self, str name not None):
        for field in self.fields():
            if field.name == name:
                return field
        return None

    def meta(self, str key not None):
        cdef bytes encoded = meta_key(key)
        cdef View view
        cdef int code = OK
        self.enter(&view)
        found = meta_read(&view.trees, encoded, &code)
        self.leave(&view, code)
        return found

    # Sets of entries.

    def all(self):
        return presence(self, FIELD_ALL)

    def exists(self, uint32_t field, *, Matches within=None):
        """Entries that have a value, null included."""
        cdef TermTest test
        self.field_flags(field)
        if within is None or within.count * PRESENCE_RATIO > self.trees.fields.records[field].entries:
            found = presence(self, field)
            return found if within is None else within.intersect(found)
        test_begin(&test, field)
        interval_field(&test.interval)
        return run_test(self, &test, within)

    def equal(self, uint32_t field, value, *, Matches within=None):
        """A string is lower-cased as the field's own values are; for text fields it is one token, as it is."""
        cdef uint8_t term[TERM_ROOM]
        cdef TermTest test
        cdef size_t size = make_term(self, field, value, term)
        test_begin(&test, field)
        interval_equal(&test.interval, term, size)
        return run_test(self, &test, within)

    def in_(self, uint32_t field, values not None, *, Matches within=None):
        cdef uint8_t term[TERM_ROOM]
        cdef TermTest test
        cdef list terms = []
        cdef size_t size
        for value in values:
            size = make_term(self, field, value, term)
            terms.append(PyBytes_FromStringAndSize(<const char*>term, <Py_ssize_t>size))
        test_begin(&test, field)
        return run_list(self, &test, sorted(set(terms)), within)

    def range(self, uint32_t field, low, high, *, bint include_low=True, bint include_high=True, Matches within=None):
        """Values between two of the same kind. None: open, to the end of the other one's kind."""
        cdef TermTest test
        test_begin(&test, field)
        make_range(self, field, low, high, include_low, include_high, &test.interval)
        return run_test(self, &test, within, True)

    def ranges(self, uint32_t field, bounds not None):
        """Entries with a value in one of these ranges, from the low one on to below the high one."""
        cdef TermTest test
        cdef View view
        cdef IdList found
        cdef int code = OK
        test_begin(&test, field)
        self.field_flags(field)
        ids_init(&found)
        self.enter(&view)
        try:
            for low, high in bounds:
                make_range(self, field, low, high, True, False, &test.interval)
                code = search_test(&view.trees, &test, NULL, 0, &found)
                if code != OK:
                    break
        except BaseException:
            ids_release(&found)
            self.exit()
            raise
        return take(self, &view, code, &found)

    def prefix(self, uint32_t field, str text not None, *, Matches within=None):
        cdef TermTest test
        test_begin(&test, field)
        make_prefix(self, field, text, &test.interval)
        return run_test(self, &test, within)

    def suffix(self, uint32_t field, str text not None, *, Matches within=None):
        return text_search(self, field, TEXT_SUFFIX, text, "", within)

    def contains(self, uint32_t field, str text not None, *, Matches within=None):
        return text_search(self, field, TEXT_CONTAINS, text, "", within)

    def wildcard(self, uint32_t field, str pattern not None, *, Matches within=None):
        """`*` any text, `?` any one character."""
        start = pattern.partition("*")[0].partition("?")[0]
        return text_search(self, field, TEXT_WILDCARD, pattern, start, within)

    def terms_matching(self, uint32_t field, predicate not None, *, str prefix not None="", Matches within=None):
        """String terms for which the predicate is true."""
        cdef TermTest test
        cdef list terms = [
            term for term, text in string_terms(self, field, prefix) if predicate(text)
        ]
        test_begin(&test, field)
        return run_list(self, &test, terms, within)

    def documents_in(self, ids not None):
        """Entries of these documents; ids that are not there are passed over."""
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef list texts = list(ids)
        cdef View view
        cdef IdList found
        cdef Py_ssize_t size
        cdef const char* data
        cdef str text
        cdef int code = OK
        ids_init(&found)
        self.enter(&view)
        try:
            for text in texts:
                data = PyUnicode_AsUTF8AndSize(text, &size)
                if not 1 <= size <= ID_SIZE_MAX:
                    continue
                code = document_entries(&view.trees, key, identifier_key(<const uint8_t*>data, <size_t>size, key),
                                        &found)
                if code != OK and code != E_NOT_FOUND:
                    break
                code = OK
        except BaseException:
            ids_release(&found)
            self.exit()
            raise
        return take(self, &view, code, &found)

    def documents_with_prefix(self, str prefix not None):
        cdef uint8_t key[ID_KEY_SIZE_MAX + 1]
        cdef View view
        cdef IdList found
        cdef Py_ssize_t size
        cdef const char* data = PyUnicode_AsUTF8AndSize(prefix, &size)
        cdef size_t key_size
        cdef int code
        if size > ID_SIZE_MAX:
            return Matches.of([])
        key_size = identifier_key(<const uint8_t*>data, <size_t>size, key)
        ids_init(&found)
        self.enter(&view)
        with nogil:
            code = documents_prefix(&view.trees, key, key_size, &found)
        return take(self, &view, code, &found)

    # Terms.

    def count_of(self, uint32_t field, value):
        """len(equal(field, value)) without reading all of it."""
        cdef uint8_t term[TERM_ROOM]
        cdef TermTest test
        cdef size_t size = make_term(self, field, value, term)
        test_begin(&test, field)
        interval_equal(&test.interval, term, size)
        return run_count(self, &test, UINT64_MAX)

    def count_estimate(self, uint32_t field, low, high, *, uint64_t limit=COUNT_LIMIT_DEFAULT):
        """About how many entries `range` would give, counted up to `limit`."""
        cdef TermTest test
        test_begin(&test, field)
        make_range(self, field, low, high, True, True, &test.interval)
        return run_count(self, &test, limit)

    def terms(self, uint32_t field, *, after=UNSET, str prefix not None="", size_t limit=TERMS_DEFAULT):
        """Terms in their order with the number of their entries, from behind `after` on."""
        cdef uint8_t term[TERM_ROOM]
        cdef Interval interval, behind
        cdef size_t size
        self.field_flags(field)
        if prefix:
            make_prefix(self, field, prefix, &interval)
        else:
            interval_field(&interval)
        if after is not UNSET:
            size = make_term(self, field, after, term)
            interval_equal(&behind, term, size)
            # What is above this term, within the interval.
            if memcmp(behind.high, interval.low, min(behind.high_size, interval.low_size)) > 0:
                memcpy(interval.low, behind.high, behind.high_size)
                interval.low_size = behind.high_size
        return [(term_object(<const uint8_t*>PyBytes_AS_STRING(found), <size_t>len(found)), count)
                for found, count in list_terms(self, field, &interval, limit)]

    def term_counts(self, uint32_t field, Matches within not None):
        """Terms that entries of `within` have, in their order, with how many of these have each."""
        cdef View view
        cdef Output out
        cdef int code = OK
        self.field_flags(field)
        if within.count * COUNTS_RATIO < self.trees.fields.records[field].entries:
            return counts_of_few(self, field, within)
        output_init(&out, 0)
        self.enter(&view)
        with nogil:
            code = values_counts(&view.trees, field, within.ids, within.count, &out)
        try:
            self.leave(&view, code)
            return counts_list(&out)
        finally:
            output_release(&out)

    # Order.

    def ordered(self, uint32_t field, *, bint descending=False, Matches within=None, uint64_t skip=0,
                uint64_t limit=UINT64_MAX):
        """Entries in the field's order."""
        cdef SortKey key
        self.field_flags(field)
        key.field = field
        key.descending = descending
        return run_order(self, &key, 1, within, skip, limit)

    def sort(self, within, keys not None, *, uint64_t skip=0, uint64_t limit=UINT64_MAX):
        """As `ordered`, for several (field, descending) keys."""
        cdef SortKey each[SORT_KEYS_MAX]
        cdef size_t count = 0
        if not 1 <= len(keys) <= SORT_KEYS_MAX:
            raise ValueError(f"1 to {SORT_KEYS_MAX} keys to sort by")
        for field, descending in keys:
            each[count].field = field
            each[count].descending = descending
            self.field_flags(each[count].field)
            count += 1
        return run_order(self, each, count, within, skip, limit)

    # Entries.

    def documents(self, ids not None):
        """Ids of their documents as they are spelt, one for each entry."""
        return read_entries(self, ids, entry_document, 0)

    def stored(self, ids not None):
        return read_entries(self, ids, entry_stored, 0)

    def values(self, ids not None, uint32_t field):
        """The terms of a field of each entry, in the order of terms."""
        self.field_flags(field)
        return read_entries(self, ids, entry_values, field)

    def distinct_documents(self, ids not None, *, uint64_t limit=UINT64_MAX):
        """The first entry of each document, in the order given."""
        cdef IdList kept
        cdef set seen = set()
        cdef uint64_t id
        ids_init(&kept)
        try:
            for id, document in zip(ids, self.documents(ids)):
                if kept.count >= limit:
                    break
                if document not in seen:
                    seen.add(document)
                    ids_add(&kept, id)
            if kept.failed:
                raise MemoryError()
        except BaseException:
            ids_release(&kept)
            raise
        return ordered_take(&kept, NULL, -1)

    def numbers(self, ids not None, uint32_t field):
        """The first number of each entry as doubles (format "d"), NaN where there is none."""
        cdef const uint64_t* data = NULL
        cdef size_t count = 0
        cdef double[::1] found
        cdef double* target
        cdef View view
        cdef int code
        self.field_flags(field)
        ids_of(ids, &data, &count)
        if count == 0:
            return memoryview(b"").cast("d")
        memory = bytearray(count * 8)
        found = memoryview(memory).cast("d")
        target = &found[0]
        self.enter(&view)
        with nogil:
            code = values_numbers(&view.trees, field, data, count, target)
        self.leave(&view, code)
        return memoryview(memory).cast("d").toreadonly()

    def aggregate(self, Matches within not None, uint32_t field):
        """(count, sum, min, max) of all numbers of the field."""
        cdef Aggregate found
        cdef View view
        cdef int code
        self.field_flags(field)
        self.enter(&view)
        with nogil:
            code = values_aggregate(&view.trees, field, within.ids, within.count, &found)
        self.leave(&view, code)
        return found.count, found.sum, found.low, found.high

    # Full text.

    def postings(self, uint32_t field, str token not None):
        """(entry, positions) of a token in a text field."""
        cdef uint8_t term[TERM_ROOM]
        cdef Interval interval
        cdef size_t size = text_term(self, field, token, term)
        interval_equal(&interval, term, size)
        return list_postings(self, field, &interval)

    def text_statistics(self, uint32_t field):
        """(entries with the field, tokens in all of them)."""
        self.field_flags(field)
        return self.trees.fields.records[field].entries, self.trees.fields.records[field].tokens

    def phrase(self, uint32_t field, tokens not None, *, uint32_t slop=0, Matches within=None):
        """Entries where the tokens stand as far from each other as in the query."""
        cdef Matches found = within
        cdef TokenList each
        for token, _ in tokens:
            found = self.equal(field, token, within=found)
        if found is None:
            raise ValueError("a phrase without tokens")
        each = TokenList(self, field, [(token, 1.0, position) for token, position in tokens], PHRASE_TOKENS_MAX)
        return run_phrase(self, field, each, slop, found)

    def rank(self, uint32_t field, tokens not None, *, Matches within=None, uint64_t skip=0, uint64_t limit=UINT64_MAX,
             bint required=False):
        """The best entries by BM25 of (token, boost), highest score first, with scores."""
        cdef TokenList each = TokenList(self, field, [(token, boost, 0) for token, boost in tokens], TOKENS_MAX)
        cdef const uint64_t* ids = within.ids if within is not None else NULL
        cdef size_t count = within.count if within is not None else 0
        cdef double* scores = NULL
        cdef uint64_t total = 0
        cdef View view
        cdef IdList found
        cdef int code
        if within is not None and count == 0:
            return Ordered.of([])
        ids_init(&found)
        self.enter(&view)
        with nogil:
            code = rank_entries(&view.trees, field, each.tokens, each.count, ids, count, required, skip, limit,
                                &found, &scores, &total)
        if code != OK:
            ids_release(&found)
            free(scores)
        self.leave(&view, code)
        return ordered_take(&found, scores, <int64_t>total)

    def scores(self, uint32_t field, tokens not None, ids not None, *, double average=0):
        """The BM25 scores of these entries, format "d"; 0 where no token matches."""
        cdef TokenList each = TokenList(self, field, [(token, boost, 0) for token, boost in tokens], TOKENS_MAX)
        cdef Matches sorted_ids = ids if isinstance(ids, Matches) else Matches.of(ids)
        cdef double[::1] found
        cdef double* target
        cdef View view
        cdef int code
        if sorted_ids.count == 0:
            return memoryview(b"").cast("d")
        memory = bytearray(sorted_ids.count * 8)
        found = memoryview(memory).cast("d")
        target = &found[0]
        self.enter(&view)
        with nogil:
            code = rank_scores(&view.trees, field, each.tokens, each.count, average, sorted_ids.ids, sorted_ids.count,
                               target)
        self.leave(&view, code)
        if sorted_ids is ids:
            return memoryview(memory).cast("d").toreadonly()
        return in_given_order(sorted_ids, found, ids)


cdef object in_given_order(Matches sorted_ids, double[::1] scores, object ids):
    """The scores of ascending ids in the order of `ids`."""
    cdef const uint64_t* data = NULL
    cdef size_t count = 0
    cdef size_t index
    cdef double[::1] found
    ids_of(ids, &data, &count)
    memory = bytearray(count * 8)
    found = memoryview(memory).cast("d")
    for index in range(count):
        found[index] = scores[ids_find(sorted_ids.ids, sorted_ids.count, data[index])]
    return memoryview(memory).cast("d").toreadonly()


cdef void last_out(IndexSnapshot snapshot) noexcept:
    if compare_swap64(&snapshot.state, SNAPSHOT_CLOSED, SNAPSHOT_CLOSED | SNAPSHOT_ENDED):
        snapshot.txn.close()


# ---- terms of values

cdef size_t make_term(IndexSnapshot snapshot, uint32_t field, object value, uint8_t* term) except 0:
    return bound_term(snapshot.field_flags(field), value, term)


cdef int make_prefix(IndexSnapshot snapshot, uint32_t field, str text, Interval* interval) except -1:
    return bound_prefix(snapshot.field_flags(field), text, interval)


cdef int make_range(IndexSnapshot snapshot, uint32_t field, object low, object high, bint include_low,
                    bint include_high, Interval* interval) except -1:
    return bound_range(snapshot.field_flags(field), low, high, include_low, include_high, interval)


cdef size_t text_term(IndexSnapshot snapshot, uint32_t field, str token, uint8_t* term) except 0:
    if not snapshot.field_flags(field) & FIELD_TEXT:
        raise ValueError(f"the field {field} is no text field")
    return make_term(snapshot, field, token, term)


@cython.final
cdef class TokenList:
    """Tokens of a query as terms, which it keeps alive."""
    cdef Token* tokens
    cdef size_t count
    cdef list terms

    def __cinit__(self, IndexSnapshot snapshot, uint32_t field, list tokens, size_t count_max):
        cdef uint8_t term[TERM_ROOM]
        cdef bytes made
        cdef size_t size
        if <size_t>len(tokens) > count_max:
            raise ValueError(f"at most {count_max} tokens")
        self.terms = []
        self.tokens = <Token*>malloc((len(tokens) + 1) * sizeof(Token))
        if self.tokens == NULL:
            raise MemoryError()
        for text, boost, position in tokens:
            size = text_term(snapshot, field, text, term)
            made = PyBytes_FromStringAndSize(<const char*>term, <Py_ssize_t>size)
            self.terms.append(made)
            self.tokens[self.count].term = <const uint8_t*>PyBytes_AS_STRING(made)
            self.tokens[self.count].size = size
            self.tokens[self.count].boost = boost
            self.tokens[self.count].position = position
            self.count += 1

    def __dealloc__(self):
        free(self.tokens)


cdef Matches run_phrase(IndexSnapshot snapshot, uint32_t field, TokenList tokens, uint32_t slop, Matches candidates):
    cdef View view
    cdef IdList found
    cdef int code
    ids_init(&found)
    snapshot.enter(&view)
    with nogil:
        code = rank_phrase(&view.trees, field, tokens.tokens, tokens.count, slop, candidates.ids, candidates.count,
                           &found)
    return take(snapshot, &view, code, &found)


# ---- running

cdef void test_begin(TermTest* test, uint32_t field) noexcept:
    test.field = field
    test.terms = NULL
    test.offsets = NULL
    test.term_count = 0
    test.text_test = TEXT_ANY
    test.text = NULL
    test.text_size = 0


cdef Matches take(IndexSnapshot snapshot, View* view, int code, IdList* found):
    """Leave with a list of ids, which need not be finished."""
    if code == OK:
        code = ids_finish(found)
    if code != OK:
        ids_release(found)
    snapshot.leave(view, code)
    return matches_take(found)


cdef ColumnArray bring_column(IndexSnapshot snapshot, View* view, uint32_t field, uint64_t looks):
    """Give the call the field's column as an array, if there is one."""
    cdef ColumnArray found = None
    if looks < COLUMN_LOOKS_MIN or snapshot.trees.fields.records[field].flags & FIELD_TEXT:
        return None
    try:
        found = snapshot.columns.array(&view.trees, field, looks)
    except BaseException:
        snapshot.exit()
        raise
    if found is not None:
        view.trees.array = found.values
        view.trees.array_count = found.count
        view.trees.array_field = field
    return found


cdef uint64_t wide_looks(IndexSnapshot snapshot) noexcept:
    return max(<uint64_t>COLUMN_LOOKS_MIN, snapshot.trees.state.entries // WIDE_SHARE)


cdef Matches presence(IndexSnapshot snapshot, uint32_t field):
    cdef View view
    cdef IdList found
    cdef int code
    ids_init(&found)
    snapshot.enter(&view)
    with nogil:
        code = search_presence(&view.trees, field, &found)
    return take(snapshot, &view, code, &found)


cdef Matches run_test(IndexSnapshot snapshot, const TermTest* test, Matches within, bint wide=False):
    """wide: it may be a range of many terms."""
    cdef View view
    cdef IdList found
    cdef const uint64_t* ids = within.ids if within is not None else NULL
    cdef size_t count = within.count if within is not None else 0
    cdef ColumnArray _column           # keeps the memory while the call runs
    cdef int code
    snapshot.field_flags(test.field)
    if within is not None and count == 0:
        return within
    ids_init(&found)
    snapshot.enter(&view)
    _column = bring_column(snapshot, &view, test.field, count if within is not None or not wide
                           else wide_looks(snapshot))
    if ids != NULL and count <= FEW_WITHIN:
        code = search_test(&view.trees, test, ids, count, &found)
    else:
        with nogil:
            code = search_test(&view.trees, test, ids, count, &found)
    return take(snapshot, &view, code, &found)


cdef Matches run_list(IndexSnapshot snapshot, TermTest* test, list terms, Matches within):
    """For a sorted list of terms."""
    cdef uint32_t* offsets
    cdef uint8_t size_bytes[4]
    cdef size_t index = 0
    cdef bytearray joined = bytearray()
    snapshot.field_flags(test.field)
    offsets = <uint32_t*>malloc((len(terms) + 1) * 4)
    if offsets == NULL:
        raise MemoryError()
    try:
        for term in terms:
            offsets[index] = <uint32_t>len(joined)
            store32(size_bytes, <uint32_t>len(term))
            joined += size_bytes[:4]
            joined += term
            index += 1
        joined += b"\0"
        test.terms = <const uint8_t*><char*>joined
        test.offsets = offsets
        test.term_count = index
        return run_test(snapshot, test, within)
    finally:
        free(offsets)


cdef object run_count(IndexSnapshot snapshot, const TermTest* test, uint64_t limit):
    cdef View view
    cdef uint64_t count = 0
    cdef int code
    snapshot.enter(&view)
    with nogil:
        code = search_count(&view.trees, test, limit, &count)
    snapshot.leave(&view, code)
    return count


cdef Matches text_search(IndexSnapshot snapshot, uint32_t field, int kind, str text, str start, Matches within):
    cdef uint8_t lowered[PATTERN_SIZE_MAX * 2]
    cdef TermTest test
    cdef Py_ssize_t size
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    if size > PATTERN_SIZE_MAX:
        raise ValueError(f"a text to look for in terms has at most {PATTERN_SIZE_MAX} bytes")
    test_begin(&test, field)
    make_prefix(snapshot, field, start, &test.interval)
    test.text_test = kind
    test.text = <const uint8_t*>data
    test.text_size = <size_t>size
    if flags_lower(snapshot.field_flags(field)):
        test.text_size = identifier_key(test.text, test.text_size, lowered)
        test.text = lowered
    return run_test(snapshot, &test, within)


cdef Ordered run_order(IndexSnapshot snapshot, const SortKey* keys, size_t key_count, object within, uint64_t skip,
                       uint64_t limit):
    cdef View view
    cdef IdList found
    cdef const uint64_t* ids = NULL
    cdef size_t count = 0
    cdef bint ascending = not isinstance(within, Ordered)
    cdef ColumnArray _column           # keeps the memory while the call runs
    cdef int code
    if within is not None:
        ids_of(within, &ids, &count)
        if count == 0:
            return Ordered.of([])
    ids_init(&found)
    snapshot.enter(&view)
    _column = bring_column(snapshot, &view, keys[0].field, count)
    if ids != NULL and count <= FEW_WITHIN:
        code = order_entries(&view.trees, keys, key_count, ids, count, ascending, skip, limit, &found)
    else:
        with nogil:
            code = order_entries(&view.trees, keys, key_count, ids, count, ascending, skip, limit, &found)
    if code != OK:
        ids_release(&found)
    snapshot.leave(&view, code)
    return ordered_take(&found, NULL, -1)


cdef int documents_prefix(IndexTrees* trees, const uint8_t* key, size_t size, IdList* found) noexcept nogil:
    cdef Cursor cursor
    cdef Value value
    cdef int code
    cursor_init(&cursor, &trees.documents)
    code = cursor_seek(&cursor, key, size)
    while code == OK and cursor.key_size >= size and memcmp(cursor.key, key, size) == 0:
        code = cursor_value(&cursor, &value)
        if code == OK and entries_decode(&value, found) == E_CORRUPT:
            return trees_corrupt(trees, b"X4 violated: the entries of a document are no list of ids", 0)
        if code == OK:
            code = cursor_next(&cursor)
    return OK if code == E_NOT_FOUND else code


# ---- lists

cdef list list_terms(IndexSnapshot snapshot, uint32_t field, const Interval* interval, size_t limit):
    cdef View view
    cdef int code = OK
    snapshot.enter(&view)
    try:
        found = trees_terms(&view.trees, field, interval, limit, &code)
    except BaseException:
        snapshot.exit()
        raise
    snapshot.leave(&view, code)
    return found


def string_terms(IndexSnapshot snapshot not None, uint32_t field, str prefix not None):
    """(term as bytes, its text) of all string terms with this beginning, without holding all of them at once."""
    cdef Interval interval
    cdef bytes last
    make_prefix(snapshot, field, prefix, &interval)
    while True:
        page = list_terms(snapshot, field, &interval, TERMS_DEFAULT)
        for term, _ in page:
            yield term, term_object(<const uint8_t*>PyBytes_AS_STRING(term), <size_t>len(term))
        if len(page) < TERMS_DEFAULT:
            return
        last = page[len(page) - 1][0]
        next_interval(&interval, last)


cdef list list_postings(IndexSnapshot snapshot, uint32_t field, const Interval* interval):
    cdef View view
    cdef int code = OK
    snapshot.enter(&view)
    try:
        found = trees_postings(&view.trees, field, interval, &code)
    except BaseException:
        snapshot.exit()
        raise
    snapshot.leave(&view, code)
    return found


cdef list counts_of_few(IndexSnapshot snapshot, uint32_t field, Matches within):
    """term_counts by looking at each entry."""
    cdef dict counts = {}
    for terms in read_entries(snapshot, within, entry_terms, field):
        for term in terms:
            counts[term] = counts.get(term, 0) + 1
    return [(term_object(<const uint8_t*>PyBytes_AS_STRING(term), <size_t>len(term)), counts[term])
            for term in sorted(counts)]


cdef list read_entries(IndexSnapshot snapshot, object ids, EntryFunction function, uint32_t field):
    """What the function makes of each entry. IndexError when one is not there."""
    cdef const uint64_t* data = NULL
    cdef size_t count = 0
    cdef View view
    cdef int code = OK
    ids_of(ids, &data, &count)
    snapshot.enter(&view)
    try:
        found = trees_entries(&view.trees, data, count, function, field, &code)
    except BaseException:
        snapshot.exit()
        raise
    snapshot.leave(&view, code)
    return found
