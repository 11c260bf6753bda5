"""Check of what the tables of a database promise: D1 to D8 of pynori/documents/TABLES.md, over one snapshot.

Every index entry is followed to its row, every body is validated, and everything is counted anew. A finding names the
invariant and the etag; the walk goes on after it. It ends after FINDINGS_MAX findings.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from pynori_core.blittable cimport blittable_validate
from pynori_core.btree cimport Tree, Value, tree_get64, tree_open
from pynori_core.change_vector cimport VECTOR_CONFLICT, VECTOR_ENTRIES_MAX, VectorEntry, vector_compare
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_read, conflict_seek, conflict_step
from pynori_core.cursor cimport Cursor, cursor_first, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.departures cimport Departure, departure_find, departure_next
from pynori_core.errors cimport E_NOT_FOUND, OK, ErrorDetail, error_exception, error_set
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key, identifier_spelling
from pynori_core.table cimport (
    SET_ALL,
    IndexEntry,
    RowScan,
    scan_next,
    scan_start,
    set_contains,
    set_count,
    table_find,
    table_row,
)
from pynori_core.tables cimport (
    COVER_SIMPLE_VECTOR,
    COVER_SPELLING,
    INDEX_ID,
    ITEM_CONFLICT,
    ITEM_DOCUMENT,
    ITEM_TOMBSTONE,
    TABLES_FORMAT_ALONE,
    CollectionRecord,
    Cover,
    DatabaseState,
    DocumentTables,
    Item,
    collection_read,
    item_decode,
    item_vector,
    known_read,
    state_read,
    tables_open,
    tables_set,
)
from pynori_core.txn cimport Transaction, Txn

FINDINGS_MAX = 200


cdef class Checker:
    cdef Txn* txn
    cdef DocumentTables tables
    cdef DatabaseState state
    cdef list findings
    cdef dict counts                   # (collection, kind) -> live rows
    cdef uint64_t live
    cdef uint64_t conflicts
    cdef uint64_t versions

    cdef int finding(self, str text) except -1:
        self.findings.append(text)
        return 0

    cdef int entries(self) except -1:
        """D1 to D3 from the index's side."""
        cdef Cursor cursor
        cdef Value value
        cdef IndexEntry entry
        cdef int code
        cursor_init(&cursor, &self.tables.items.indexes[INDEX_ID])
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            memcpy(&entry, value.data, sizeof(IndexEntry))
            self.live += 1
            self.entry(cursor.key, cursor.key_size, &entry)
            if (<Cover*>entry.cover).kind == ITEM_CONFLICT:
                self.conflict(cursor.key, cursor.key_size, entry.row_id)
            code = cursor_next(&cursor)
        return self.ended(code)

    cdef int entry(self, const uint8_t* key, size_t key_size, IndexEntry* entry) except -1:
        cdef Cover* cover = <Cover*>entry.cover
        cdef Value row
        cdef Item item
        cdef uint8_t made[ID_KEY_SIZE_MAX]
        cdef uint64_t spelling = 0
        cdef bint is_told
        place = f"etag {entry.row_id}"
        if table_row(&self.tables.items, entry.row_id, entry.page, 0, &row) != OK or item_decode(
                self.txn, entry.row_id, &row, &item) != OK:
            return self.finding(f"D2: {place}: an index entry leads to no readable row")
        if entry.row_id > self.state.last_etag:
            self.finding(f"D1: {place}: beyond the last etag, {self.state.last_etag}")
        if item.header.kind != cover.kind or item.header.collection != cover.collection:
            self.finding(f"D2: {place}: kind or collection of the index entry and of the row differ")
        if item.header.id_size > ID_SIZE_MAX or identifier_key(
                item.id, item.header.id_size, made) != key_size or memcmp(made, key, key_size):
            return self.finding(f"D2: {place}: the row's id has another key")
        is_told = identifier_spelling(item.id, item.header.id_size, key, key_size, &spelling)
        if cover.flags & COVER_SPELLING and (not is_told or spelling != cover.spelling):
            self.finding(f"D2: {place}: the index entry spells the id in another way")
        if (item.header.vector_count == 0) != bool(cover.flags & COVER_SIMPLE_VECTOR):
            self.finding(f"D2: {place}: the index entry is wrong about the change vector")
        self.body(&item)
        return self.sets(entry.row_id, item.header.collection, item.header.kind)

    cdef int body(self, const Item* item) except -1:
        if (item.header.kind == ITEM_DOCUMENT or item.body_size) and blittable_validate(
                item.body, item.body_size, NULL) != OK:
            self.finding(f"D2: etag {item.etag}: the body is no valid document")
        return 0

    cdef int conflict(self, const uint8_t* key, size_t key_size, uint64_t newest) except -1:
        """D7 of one id."""
        cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
        cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
        cdef VectorEntry others[VECTOR_ENTRIES_MAX]
        cdef Item item
        cdef Item other
        cdef int count = 0
        cdef int first
        cdef int second
        cdef int size
        place = f"the conflict of etag {newest}"
        self.conflicts += 1
        if conflict_read(&self.tables, key, key_size, etags, &count) != OK:
            return self.finding(f"D7: {place}: it has no list of versions")
        self.versions += count
        self.live += count - 1
        if etags[count - 1] != newest:
            self.finding(f"D7: {place}: its index entry does not lead to the newest version, {etags[count - 1]}")
        for first in range(count):
            if not self.version(key, key_size, etags[first], &item):
                self.finding(f"D7: {place}: the version {etags[first]} is no readable row of this id")
                continue
            if first < count - 1:
                self.body(&item)
                self.sets(etags[first], item.header.collection, item.header.kind)
            size = item_vector(&self.tables, &item, entries)
            for second in range(first):
                if self.version(key, key_size, etags[second], &other) and vector_compare(
                        entries, size, others, item_vector(&self.tables, &other, others)) != VECTOR_CONFLICT:
                    self.finding(f"D7: {place}: of {etags[second]} and {etags[first]} one has seen the other")
        return 0

    cdef bint version(self, const uint8_t* key, size_t key_size, uint64_t etag, Item* item) noexcept:
        """Whether a row is one of the versions of an id."""
        cdef uint8_t made[ID_KEY_SIZE_MAX]
        cdef Value row
        if tree_get64(&self.tables.items.rows, etag, &row) != OK or item_decode(self.txn, etag, &row, item) != OK:
            return False
        return (item.header.kind == ITEM_CONFLICT and item.header.vector_count > 0
                and item.header.id_size <= ID_SIZE_MAX
                and identifier_key(item.id, item.header.id_size, made) == key_size and not memcmp(made, key, key_size))

    cdef int sets(self, uint64_t etag, uint32_t collection, uint8_t kind) except -1:
        if kind != ITEM_DOCUMENT and kind != ITEM_TOMBSTONE and kind != ITEM_CONFLICT:
            return self.finding(f"D2: etag {etag}: unknown kind {kind}")
        if set_contains(&self.tables.items, tables_set(0, ITEM_CONFLICT), etag) != (kind == ITEM_CONFLICT):
            self.finding(f"D3: etag {etag}: wrong about the set of versions")
        if kind == ITEM_CONFLICT:
            collection = 0
        if not set_contains(&self.tables.items, SET_ALL, etag) or not set_contains(
                &self.tables.items, tables_set(collection, kind), etag):
            self.finding(f"D3: etag {etag}: alive, and not in its sets")
        if set_contains(&self.tables.items, tables_set(0, ITEM_TOMBSTONE), etag) != (kind == ITEM_TOMBSTONE):
            self.finding(f"D3: etag {etag}: wrong about the set of tombstones")
        if kind == ITEM_CONFLICT:
            return 0
        place = (collection, kind)
        self.counts[place] = self.counts.get(place, 0) + 1
        return 0

    cdef int totals(self) except -1:
        """D3 and D4: nothing else is in the sets, and the counts are right."""
        cdef CollectionRecord record
        cdef const uint8_t* name
        cdef size_t name_size
        cdef uint32_t number
        cdef uint64_t documents = 0
        cdef uint64_t tombstones = 0
        for number in range(1, self.state.collections + 1):
            if collection_read(&self.tables, number, &record, &name, &name_size) != OK:
                self.finding(f"D4: collection {number} is not there")
                continue
            documents += record.documents
            tombstones += record.tombstones
            for kind, told in ((ITEM_DOCUMENT, record.documents), (ITEM_TOMBSTONE, record.tombstones)):
                counted = self.counts.pop((number, kind), 0)
                members = set_count(&self.tables.items, tables_set(number, kind))
                if counted != told or counted != members:
                    self.finding(f"D4: collection {number}, kind {kind}: {counted} rows, told {told}, set {members}")
        if self.counts:
            self.finding(f"D4: rows of collections that are not there: {sorted(self.counts)[:5]}")
        if documents != self.state.documents or tombstones != self.state.tombstones:
            self.finding("D4: the database's counts are not the sums of its collections'")
        if set_count(&self.tables.items, SET_ALL) != self.live:
            self.finding(f"D3: {set_count(&self.tables.items, SET_ALL)} live rows, {self.live} index entries")
        if set_count(&self.tables.items, tables_set(0, ITEM_TOMBSTONE)) != tombstones:
            self.finding("D3: the set of tombstones has another size than the collections' count")
        return 0

    cdef int others(self) except -1:
        """D7 and D8: what is there of conflicts and of other instances."""
        cdef VectorEntry known[VECTOR_ENTRIES_MAX]
        cdef Cursor cursor
        cdef uint64_t lists = 0
        cdef uint64_t members = set_count(&self.tables.items, tables_set(0, ITEM_CONFLICT))
        cdef int count
        cdef int code = conflict_seek(&cursor, &self.tables, <const uint8_t*>b"", 0)
        while code == OK:
            lists += 1
            code = conflict_step(&cursor)
        self.ended(code)
        if not self.conflicts == lists == self.state.conflicts:
            self.finding(f"D7: {self.conflicts} ids in conflict, {lists} lists, told {self.state.conflicts}")
        if not self.versions == members == self.state.versions:
            self.finding(f"D7: {self.versions} versions in conflict, set {members}, told {self.state.versions}")
        count = known_read(&self.tables, known)
        if count < 0:
            self.finding("D8: what is known of other instances is no change vector")
        if self.state.format == TABLES_FORMAT_ALONE and (count > 0 or lists or members):
            self.finding("D8: there is something of other instances, and the format says that there is not")
        return 0

    cdef int order(self) except -1:
        """D5: numbers of user transactions never fall along the etags."""
        cdef RowScan scan
        cdef Item item
        cdef uint64_t last = 0
        cdef int code = scan_start(&scan, &self.tables.items, SET_ALL, 0, False)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = scan_next(&scan)
            if code == OK:
                code = item_decode(self.txn, scan.row_id, &scan.row, &item)
            if code == OK:
                if item.header.user_txn < last:
                    self.finding(f"D5: etag {scan.row_id}: user transaction {item.header.user_txn} after {last}")
                last = item.header.user_txn
        return self.ended(code)

    cdef int departures(self) except -1:
        """D6, and that each departure is noted both ways."""
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef Departure departure
        cdef IndexEntry entry
        cdef Cursor cursor
        cdef size_t key_size
        cdef uint64_t etag = 0
        cdef uint64_t by_etag = 0
        cdef uint64_t by_key = 0
        cdef int code = departure_next(&self.tables, 0, 0, True, &departure)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            by_etag += 1
            place = f"the departure of etag {departure.etag} from collection {departure.collection}"
            if not 0 < departure.collection <= self.state.collections or departure.etag > self.state.last_etag:
                self.finding(f"D6: {place}: of a collection or etag that was never given")
            key_size = identifier_key(departure.id, departure.id_size, key)
            if departure_find(&self.tables, departure.collection, key, key_size, &etag) != OK \
                    or etag != departure.etag:
                self.finding(f"D6: {place}: not found by its id")
            if table_find(&self.tables.items, INDEX_ID, key, key_size, &entry) != OK or entry.row_id < departure.etag:
                self.finding(f"D6: {place}: its id has no row of that etag or a later one")
            code = departure_next(&self.tables, departure.collection, departure.etag + 1, True, &departure)
        self.ended(code)
        cursor_init(&cursor, &self.tables.collections)
        code = cursor_seek(&cursor, b"l", 1)
        while code == OK and cursor.key[0] == c"l":
            by_key += 1
            code = cursor_next(&cursor)
        self.ended(code)
        if by_key != by_etag:
            self.finding(f"D6: {by_etag} departures by etag, {by_key} by id")
        return 0

    cdef int ended(self, int code) except -1:
        cdef ErrorDetail error
        if code != OK and code != E_NOT_FOUND:
            error = self.txn.error
            error_set(&error, code, b"the walk through the tables failed")
            self.finding(f"D2: {error_exception(&error)}")
        return 0


def check_documents(Transaction owner not None):
    """Findings about the database in the transaction's environment; none when it holds no database."""
    cdef Checker checker = Checker.__new__(Checker)
    cdef Tree tree
    checker.txn = owner.txn
    checker.findings = []
    checker.counts = {}
    if tree_open(owner.txn, b"database", 8, &tree) == E_NOT_FOUND:
        return checker.findings
    if tables_open(owner.txn, 0, &checker.tables) != OK or state_read(&checker.tables, &checker.state) != OK:
        checker.ended(owner.txn.error.code)
        return checker.findings
    checker.entries()
    checker.totals()
    checker.others()
    checker.order()
    checker.departures()
    return checker.findings
