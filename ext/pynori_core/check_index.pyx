"""Check of what an index promises: X1 to X14 of pynori/indexes/FORMAT.md, over one snapshot; and its terms as lines.

Postings and records are compared by sums of hashes over all (field, term, entry): memory stays small, and only a field
whose sums differ is searched for what is wrong. A finding names the invariant and the place; the walk goes on after it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport load64_be, store64, store64_be
from pynori_core.btree cimport Tree, Value, tree_get, tree_header, tree_open
from pynori_core.checksum cimport hash64, hash128
from pynori_core.cursor cimport Cursor, cursor_first, cursor_init, cursor_next, cursor_seek_before, cursor_value
from pynori_core.errors cimport E_NOT_FOUND, OK, error_clear, error_exception
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.index_entry cimport EntryView, FieldView, entry_field, entry_find, entry_open, field_term
from pynori_core.index_terms cimport TERM_PRESENCE, TERM_ROOM, term_object, term_size
from pynori_core.index_trees cimport (
    FIELD_ALL,
    FIELD_SEVERAL,
    FIELD_TEXT,
    TERM_KEY_MAX,
    Column,
    IndexTrees,
    column_open,
    column_read,
    entries_decode,
    field_name,
    length_read,
    term_key,
    term_prefix64,
    trees_open,
    trees_release,
)
from pynori_core.matches cimport IdList, ids_find, ids_init, ids_release
from pynori_core.posting cimport BLOCK_RUN_MAX, Block, block_count, block_decode, block_frequencies, block_open
from pynori_core.reduce_store cimport GROUP_SIZE, GroupRecord, RowReference
from pynori_core.txn cimport Transaction, Txn

from pynori_core.env import Env
from pynori_core.errors import NotFound

FINDINGS_MAX = 200
LINES_MAX = 10000

cdef enum:
    LENGTH_MAX = 65535


def is_index(Transaction owner not None):
    """Whether the environment holds an index."""
    cdef Tree tree
    cdef bint found = (tree_open(owner.txn, b"terms", 5, &tree) == OK
                       and tree_open(owner.txn, b"entries", 7, &tree) == OK)
    error_clear(&owner.txn.error)
    return found


cdef uint64_t posting_hash(const uint8_t* term, size_t size, uint64_t id) noexcept:
    """Sums of these differ when one (term, entry) is missing, except once in 2^64."""
    cdef uint64_t mixed = hash64(term, size, id * <uint64_t>0x9E3779B97F4A7C15 + 1)
    return mixed | 1


cdef class Checker:
    cdef Txn* txn
    cdef IndexTrees trees
    cdef list findings
    cdef dict in_records               # field -> [sum of hashes, terms, entries, tokens]
    cdef dict in_blocks                # field -> [sum of hashes, ids, ids of presence, sum of hashes of presence]
    cdef dict presence                 # field -> sum of hashes of the entries that have it
    cdef uint64_t entries

    def __dealloc__(self):
        trees_release(&self.trees)

    cdef bint finding(self, str text) except -1:
        """Whether there is room for more."""
        self.findings.append(text)
        return len(self.findings) < FINDINGS_MAX

    cdef bint failed(self, int code) except -1:
        """Note an error of the trees themselves; E_NOT_FOUND is the end of a walk."""
        if code == OK or code == E_NOT_FOUND:
            return False
        self.finding(str(error_exception(&self.txn.error)))
        error_clear(&self.txn.error)
        return True

    cdef int records(self) except -1:
        """X3 and X5, and the sums over all records."""
        cdef Cursor cursor
        cdef Value value
        cdef EntryView view
        cdef uint64_t id = 0
        cdef int code
        cursor_init(&cursor, &self.trees.entries)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            id = load64_be(cursor.key)
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            self.entries += 1
            if entry_open(value.data, value.size, &view) != OK:
                self.finding(f"X3 violated: the record of entry {id} is broken")
            else:
                self.record(id, &view)
            code = cursor_next(&cursor)
        self.failed(code)
        if id >= self.trees.state.next_entry:
            self.finding(f"X5 violated: entry {id} is there, the next id is {self.trees.state.next_entry}")
        if self.entries != self.trees.state.entries:
            self.finding(f"X5 violated: {self.entries} entries are there, the state says {self.trees.state.entries}")
        return 0

    cdef int record(self, uint64_t id, const EntryView* view) except -1:
        cdef FieldView field
        cdef const uint8_t* here = view.fields
        cdef uint32_t before = 0
        cdef int code = entry_field(view, &here, &field)
        self.note_presence(FIELD_ALL, id)
        while code == OK:
            if field.number <= before or field.number > self.trees.state.fields:
                self.finding(f"X3 violated: entry {id} has field {field.number} behind {before}")
                return 0
            before = field.number
            self.note_presence(field.number, id)
            self.field(id, &field)
            code = entry_field(view, &here, &field)
        if code != E_NOT_FOUND:
            self.finding(f"X3 violated: the fields of entry {id} are broken")
        return 0

    cdef int note_presence(self, uint32_t field, uint64_t id) except -1:
        cdef uint8_t term[1]
        term[0] = TERM_PRESENCE
        self.presence[field] = (self.presence.get(field, 0) + posting_hash(term, 1, id)) & 0xFFFFFFFFFFFFFFFF
        return 0

    cdef int field(self, uint64_t id, const FieldView* field) except -1:
        cdef list sums = self.in_records.setdefault(field.number, [0, 0, 0, 0])
        cdef const uint8_t* here = field.terms
        cdef const uint8_t* term = NULL
        cdef const uint8_t* last = NULL
        cdef const uint8_t* lengths = NULL
        cdef uint64_t group = <uint64_t>-1
        cdef uint64_t length
        cdef size_t size = 0
        cdef size_t last_size = 0
        while field_term(field, &here, &term, &size):
            if term_size(term, size) != size or (last != NULL and not ascends(last, last_size, term, size)):
                self.finding(f"X3 violated: a term of field {field.number} of entry {id} is none, or out of order")
                return 0
            last = term
            last_size = size
            sums[0] = (sums[0] + posting_hash(term, size, id)) & 0xFFFFFFFFFFFFFFFF
            sums[1] += 1
        if here != field.terms_end:
            self.finding(f"X3 violated: the terms of field {field.number} of entry {id} are broken")
        sums[2] += 1
        sums[3] += field.tokens
        self.column(id, field)
        if field.text:
            length = length_read(&self.trees, field.number, id, &group, &lengths)
            if length != min(field.tokens, LENGTH_MAX):
                self.finding(f"X9 violated: entry {id} has {field.tokens} tokens in field {field.number}, "
                             f"its length is {length}")
        return 0

    cdef int column(self, uint64_t id, const FieldView* field) except -1:
        """X14: what the column says of an entry."""
        cdef const uint8_t* here = field.terms
        cdef const uint8_t* term = NULL
        cdef uint8_t flags = self.trees.fields.records[field.number].flags
        cdef Column column
        cdef uint64_t found
        cdef size_t size = 0
        if flags & FIELD_TEXT or not field_term(field, &here, &term, &size):
            return 0
        if here != field.terms_end and not flags & FIELD_SEVERAL:
            self.finding(f"X14 violated: entry {id} has several terms in field {field.number}, whose record denies it")
        column_open(&column, &self.trees, field.number)
        found = column_read(&column, id)
        if found != term_prefix64(term, size):
            self.finding(f"X14 violated: the column of field {field.number} says {found:016x} of entry {id}, "
                         f"its lowest term is {term_object(term, size)!r}")
        return 0

    cdef int documents(self) except -1:
        """X4 and X5: every document leads to its entries, and there are no others."""
        cdef Cursor cursor
        cdef Value value
        cdef IdList ids
        cdef uint64_t documents = 0
        cdef uint64_t led = 0
        cdef size_t index
        cdef int code
        ids_init(&ids)
        cursor_init(&cursor, &self.trees.documents)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            documents += 1
            ids.count = 0
            if entries_decode(&value, &ids) != OK or ids.count == 0:
                self.finding(f"X4 violated: the entries of {self.text(cursor.key, cursor.key_size)} are no list")
            for index in range(ids.count):
                self.led(ids.ids[index], cursor.key, cursor.key_size)
            led += ids.count
            code = cursor_next(&cursor)
        ids_release(&ids)
        self.failed(code)
        if documents != self.trees.state.documents:
            self.finding(f"X5 violated: {documents} documents are there, the state says {self.trees.state.documents}")
        if led != self.entries:
            self.finding(f"X4 violated: documents lead to {led} entries, {self.entries} are there")
        return 0

    cdef int led(self, uint64_t id, const uint8_t* key, size_t key_size) except -1:
        cdef uint8_t found[ID_KEY_SIZE_MAX]
        cdef uint8_t encoded[8]
        cdef EntryView view
        cdef Value value
        cdef size_t size
        cdef int code
        store64_be(encoded, id)
        code = tree_get(&self.trees.entries, encoded, 8, &value)
        if code == E_NOT_FOUND or (code == OK and entry_open(value.data, value.size, &view) != OK):
            self.finding(f"X4 violated: document {self.text(key, key_size)} leads to entry {id}, which is not there")
            return 0
        if self.failed(code) or view.id_size > ID_SIZE_MAX:
            return 0
        size = identifier_key(view.id, view.id_size, found)
        if size != key_size or memcmp(found, key, size) != 0:
            self.finding(f"X4 violated: entry {id} is of document {self.text(view.id, view.id_size)}, "
                         f"{self.text(key, key_size)} leads to it")
        return 0

    cdef str text(self, const uint8_t* data, size_t size):
        return repr((<const char*>data)[:size].decode("utf-8", "replace"))

    cdef int blocks(self) except -1:
        """X6, and the sums over all blocks."""
        cdef uint64_t ids[BLOCK_RUN_MAX]
        cdef uint32_t frequencies[BLOCK_RUN_MAX]
        cdef Cursor cursor
        cdef Value value
        cdef Block block
        cdef const uint8_t* term = NULL
        cdef size_t size = 0
        cdef uint64_t last = 0
        cdef uint32_t field
        cdef int code
        cursor_init(&cursor, &self.trees.terms)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            if cursor.key_size < 11 or term_size(cursor.key + 2, cursor.key_size - 10) != cursor.key_size - 10:
                self.finding(f"X6 violated: a key of terms holds no term, page {self.trees.terms.last_page}")
                code = cursor_next(&cursor)
                continue
            if cursor.key_size != size or memcmp(cursor.key, term, size - 8) != 0:
                last = 0
            term = cursor.key
            size = cursor.key_size
            field = (<uint32_t>term[0] << 8) | term[1]
            if (block_open(load64_be(term + size - 8), value.data, value.size, &block) != OK
                    or block_decode(&block, ids) != OK or block_frequencies(&block, frequencies) != OK
                    or block.first <= last):
                self.finding(f"X6 violated: the block of field {field} from entry {load64_be(term + size - 8)} on "
                             f"is broken, page {self.trees.terms.last_page}")
            else:
                last = ids[block.count - 1]
                self.block(field, term + 2, size - 10, &block, ids, frequencies)
            code = cursor_next(&cursor)
        self.failed(code)
        return 0

    cdef int block(self, uint32_t field, const uint8_t* term, size_t size, const Block* block, const uint64_t* ids,
                   const uint32_t* frequencies) except -1:
        cdef list sums = self.in_blocks.setdefault(field, [0, 0, 0, 0])
        cdef bint presence = term[0] == TERM_PRESENCE
        cdef bint with_payload
        cdef uint64_t sum = 0
        cdef uint32_t index
        if field > self.trees.state.fields or (field == FIELD_ALL and not presence):
            self.finding(f"X6 violated: terms of field {field}, which is not there")
            return 0
        with_payload = not presence and self.trees.fields.records[field].flags & FIELD_TEXT != 0
        if with_payload != (block.payload != NULL):
            self.finding(f"X6 violated: a block of field {field} from entry {block.first} on has "
                         f"{'no' if with_payload else 'a'} payload")
        for index in range(block.count):
            sum += posting_hash(term, size, ids[index])
            if frequencies[index] == 0:
                self.finding(f"X6 violated: frequency 0 in field {field}, entry {ids[index]}")
        sums[2 if presence else 1] += block.count
        sums[3 if presence else 0] = (sums[3 if presence else 0] + sum) & 0xFFFFFFFFFFFFFFFF
        return 0

    cdef int compare(self) except -1:
        """X7 to X9: what records and blocks say together."""
        cdef uint32_t field
        for field in range(self.trees.state.fields + 1):
            blocks = self.in_blocks.get(field, [0, 0, 0, 0])
            records = self.in_records.get(field, [0, 0, 0, 0])
            if blocks[3] != self.presence.get(field, 0):
                self.finding(f"X8 violated: the presence of field {field} lists {blocks[2]} entries, not those that "
                             f"have it")
            if field == FIELD_ALL:
                continue
            if blocks[0] != records[0] or blocks[1] != records[1]:
                self.finding(f"X7 violated: field {field} has {records[1]} terms in records, {blocks[1]} in blocks, or "
                             f"not the same")
                self.search(field)
            if records[2] != self.trees.fields.records[field].entries:
                self.finding(f"X8 violated: {records[2]} entries have field {field}, its record says "
                             f"{self.trees.fields.records[field].entries}")
            if records[3] != self.trees.fields.records[field].tokens:
                self.finding(f"X9 violated: field {field} has {records[3]} tokens, its record says "
                             f"{self.trees.fields.records[field].tokens}")
        return 0

    cdef int search(self, uint32_t number) except -1:
        """Terms of records that no block lists, one finding for each."""
        cdef Cursor cursor
        cdef Value value
        cdef EntryView view
        cdef FieldView field
        cdef const uint8_t* here
        cdef const uint8_t* term = NULL
        cdef size_t size = 0
        cdef uint64_t id
        cdef int code
        cursor_init(&cursor, &self.trees.entries)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            id = load64_be(cursor.key)
            code = cursor_value(&cursor, &value)
            if code == OK and entry_open(value.data, value.size, &view) == OK:
                if entry_find(&view, number, &field) == OK:
                    here = field.terms
                    while field_term(&field, &here, &term, &size):
                        if not self.listed(number, term, size, id):
                            self.finding(f"X7 violated: entry {id} has {term_object(term, size)!r} in field {number}, "
                                         f"which no block lists")
            if code == OK:
                code = cursor_next(&cursor)
        return 0

    cdef bint listed(self, uint32_t field, const uint8_t* term, size_t size, uint64_t id) except -1:
        cdef uint64_t ids[BLOCK_RUN_MAX]
        cdef uint8_t key[TERM_KEY_MAX]
        cdef Cursor cursor
        cdef Value value
        cdef Block block
        cdef size_t place
        if size > TERM_ROOM:
            return False
        cursor_init(&cursor, &self.trees.terms)
        if (cursor_seek_before(&cursor, key, term_key(key, field, term, size, id)) != OK
                or cursor.key_size != size + 10 or memcmp(cursor.key, key, size + 2) != 0
                or cursor_value(&cursor, &value) != OK
                or block_open(load64_be(cursor.key + size + 2), value.data, value.size, &block) != OK
                or block_decode(&block, ids) != OK):
            error_clear(&self.txn.error)
            return False
        place = ids_find(ids, block.count, id)
        return place < block.count and ids[place] == id

    cdef int rows(self) except -1:
        """X10 to X13, when there are rows at all."""
        cdef Tree trees[4]
        cdef list there = []
        cdef int index = 0
        cdef uint64_t led
        for name in (b"reduce_documents", b"reduce_rows", b"reduce_groups", b"reduce_partials"):
            there.append(tree_open(self.txn, <const char*>name, len(name), &trees[index]) == OK)
            index += 1
        if not any(there):
            return 0
        if not all(there):
            self.finding("X10 violated: some of the trees of rows are not there")
            return 0
        led = self.document_rows(&trees[0], &trees[1])
        if led != tree_header(&trees[1]).entries:
            self.finding(f"X11 violated: documents have {led} rows, {tree_header(&trees[1]).entries} are there")
        self.groups(&trees[2], &trees[1])
        self.partials(&trees[3], &trees[2])
        return 0

    cdef uint64_t document_rows(self, Tree* documents, Tree* rows) except? 0:
        cdef Cursor cursor
        cdef Value value, row
        cdef uint8_t key[GROUP_SIZE + 8]
        cdef const RowReference* each
        cdef uint64_t led = 0
        cdef size_t index
        cdef int code
        cursor_init(&cursor, documents)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            each = <const RowReference*>value.data
            for index in range(value.size // sizeof(RowReference)):
                led += 1
                memcpy(key, each[index].group, GROUP_SIZE)
                store64_be(key + GROUP_SIZE, each[index].row)
                if tree_get(rows, key, sizeof(key), &row) != OK:
                    self.finding(f"X11 violated: row {each[index].row} of document "
                                 f"{self.text(cursor.key, cursor.key_size)} is not there")
            code = cursor_next(&cursor)
        self.failed(code)
        return led

    cdef int groups(self, Tree* groups, Tree* rows) except -1:
        """Both trees are in the order of groups: one walk over each."""
        cdef Cursor cursor, row
        cdef Value value
        cdef const GroupRecord* record
        cdef uint8_t hash[GROUP_SIZE]
        cdef uint64_t low = 0
        cdef uint64_t high = 0
        cdef uint64_t count, last
        cdef int code, row_code
        cursor_init(&cursor, groups)
        cursor_init(&row, rows)
        code = cursor_first(&cursor)
        row_code = cursor_first(&row)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            code = cursor_value(&cursor, &value)
            if code != OK:
                break
            if value.size <= sizeof(GroupRecord):
                self.finding("X12 violated: the record of a group is too short")
                return 0
            record = <const GroupRecord*>value.data
            hash128(value.data + sizeof(GroupRecord), value.size - sizeof(GroupRecord), 0, &low, &high)
            store64(hash, low)
            store64(hash + 8, high)
            if memcmp(hash, cursor.key, GROUP_SIZE) != 0:
                self.finding("X12 violated: a group's number is not the hash of its key")
            count = last = 0
            while row_code == OK and memcmp(row.key, cursor.key, GROUP_SIZE) == 0:
                count += 1
                last = load64_be(row.key + GROUP_SIZE)
                row_code = cursor_next(&row)
            if count != record.rows or (count and last >= record.next_row):
                self.finding(f"X12 violated: a group has {count} rows up to {last}, its record says {record.rows} "
                             f"below {record.next_row}")
            code = cursor_next(&cursor)
        self.failed(code)
        if not self.failed(row_code) and row_code == OK and not self.findings:
            self.finding("X12 violated: a row belongs to no group")
        return 0

    cdef int partials(self, Tree* partials, Tree* groups) except -1:
        cdef Cursor cursor
        cdef Value value
        cdef int code
        cursor_init(&cursor, partials)
        code = cursor_first(&cursor)
        while code == OK and len(self.findings) < FINDINGS_MAX:
            if tree_get(groups, cursor.key, GROUP_SIZE, &value) != OK:
                self.finding("X13 violated: a partial result belongs to no group")
                return 0
            if load64_be(cursor.key + GROUP_SIZE + 1) * 256 >= (<const GroupRecord*>value.data).next_row:
                self.finding("X13 violated: a partial result is of a chunk without rows")
            code = cursor_next(&cursor)
        self.failed(code)
        return 0


cdef inline bint ascends(const uint8_t* left, size_t left_size, const uint8_t* right, size_t right_size) noexcept:
    cdef int order = memcmp(left, right, left_size if left_size < right_size else right_size)
    return order < 0 or (order == 0 and left_size < right_size)


def check_index(Transaction owner not None):
    """Findings of the index in an environment; the empty list when all is well."""
    cdef Checker checker = Checker.__new__(Checker)
    cdef int code
    checker.txn = owner.txn
    checker.findings = []
    checker.in_records = {}
    checker.in_blocks = {}
    checker.presence = {}
    memset(&checker.trees, 0, sizeof(IndexTrees))
    code = trees_open(owner.txn, &checker.trees)
    if checker.failed(code):
        return checker.findings
    checker.records()
    checker.documents()
    checker.blocks()
    if not checker.findings:
        checker.compare()
    checker.rows()
    return checker.findings[:FINDINGS_MAX]


def dump_terms(directory, str name not None):
    """The terms of a field with the number of their entries, at most LINES_MAX lines."""
    with Env.open(directory, read_only=True) as env, env.read() as txn:
        yield from terms_lines(txn, name)


def terms_lines(Transaction owner not None, str name not None):
    cdef IndexTrees trees
    cdef Cursor cursor
    cdef Value value
    cdef list lines = []
    cdef bytes last = None
    cdef uint64_t count = 0
    cdef uint32_t number
    cdef int code = trees_open(owner.txn, &trees)
    try:
        if code != OK:
            raise error_exception(&owner.txn.error)
        number = field_of(&trees, name)
        cursor_init(&cursor, &trees.terms)
        code = cursor_first(&cursor)
        while code == OK and len(lines) < LINES_MAX:
            if ((<uint32_t>cursor.key[0] << 8) | cursor.key[1]) == number and cursor.key[2] != TERM_PRESENCE:
                term = (<const char*>cursor.key)[2:cursor.key_size - 8]
                if term != last:
                    if last is not None:
                        lines.append(term_line(last, count))
                    last = term
                    count = 0
                code = cursor_value(&cursor, &value)
                count += block_count(value.data, value.size)
            if code == OK:
                code = cursor_next(&cursor)
        if last is not None and len(lines) < LINES_MAX:
            lines.append(term_line(last, count))
    finally:
        trees_release(&trees)
    return lines


cdef uint32_t field_of(IndexTrees* trees, str name) except 0:
    cdef const uint8_t* text = NULL
    cdef size_t size = 0
    cdef uint32_t number
    cdef list names = []
    for number in range(1, trees.state.fields + 1):
        if field_name(trees, number, &text, &size) != OK:
            raise error_exception(&trees.txn.error)
        names.append((<const char*>text)[:size].decode("utf-8", "replace"))
        if names[len(names) - 1] == name:
            return number
    raise NotFound(f"the index has no field '{name}'; its fields are: {', '.join(names)}")


cdef str term_line(bytes term, uint64_t count):
    value = term_object(<const uint8_t*><const char*>term, len(term))
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else (
        str(value) if not isinstance(value, str) else repr(value))
    return f"{count:>10}  {shown}"
