"""Check of what trees, catalog and tables promise: every invariant T1 to T16 of FORMAT.md, over one snapshot.

The walk goes through every page of every tree once. A finding names the invariant, the tree and the page; the walk goes
on after it wherever it can. It ends after FINDINGS_MAX findings, for what is that broken needs no longer list.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from pynori_core.bits cimport load64_be
from pynori_core.btree cimport (
    INLINE_SIZE_MAX, KEY_SIZE_MAX, TREE_DEPTH_MAX, Tree, Value, tree_get, tree_open_id,
)
from pynori_core.cursor cimport Cursor, cursor_first, cursor_init, cursor_next, cursor_value
from pynori_core.errors cimport OK, error_clear
from pynori_core.format cimport (
    CATALOG_TREES, LEAF_RUN, PAGE_CATALOG, PAGE_SHIFT, PAGE_SIZE, PAGE_TYPE_CATALOG, PAGE_TYPE_RUN, TREE_INDEX,
    TREE_INTEGER, TREE_NAME_MAX, TREE_ROWS, TREE_SETS, BranchEntry, LeafEntry, PageHeader, RunReference, TreeHeader,
    catalog_tree,
)
from pynori_core.slotted cimport (
    INTEGER_KEY_SIZE, branch_entry, branch_key, entry_size, leaf_entry, leaf_key, leaf_value, page_sound, slot_offset,
)
from pynori_core.table cimport SET_ALL, SET_GROUP_SHIFT, IndexEntry
from pynori_core.txn cimport Transaction, Txn, txn_page

FINDINGS_MAX = 200

cdef enum:
    SET_KEY_SIZE = 16
    BITMAP_SIZE = 64


class TooManyFindings(Exception):
    """Ends the walk; the findings are in the Checker."""


cdef class Counts:
    """What a tree's pages hold, counted on the walk."""

    cdef uint64_t entries
    cdef uint64_t branch_pages
    cdef uint64_t leaf_pages
    cdef uint64_t run_pages


cdef class Checker:
    """One walk over a snapshot: findings, and which pages somebody owns."""

    cdef Transaction owner
    cdef Txn* txn
    cdef readonly list findings
    cdef readonly bytearray owned      # one byte a page of the file: 1 when a tree, run or fixed place has it
    cdef uint16_t tree                 # under the walk
    cdef str name
    cdef bint integer

    def __init__(self, Transaction owner, uint64_t file_pages):
        self.owner = owner
        self.txn = owner.txn
        self.findings = []
        self.owned = bytearray(file_pages)

    cdef int report(self, str invariant, str text) except -1:
        self.findings.append(f"{invariant} violated: {text}")
        if len(self.findings) >= FINDINGS_MAX:
            raise TooManyFindings
        return 0

    cdef int report_page(self, str invariant, uint64_t page, str text) except -1:
        return self.report(invariant, f"tree '{self.name}', page {page}: {text}")

    cdef const uint8_t* page(self, uint64_t page) except? NULL:
        """The page's bytes, or NULL after reporting why there are none."""
        cdef const uint8_t* data = txn_page(self.txn, page)
        if data == NULL:
            text = self.txn.error.text.decode("utf-8", "replace")
            error_clear(&self.txn.error)
            self.report_page("T1", page, text)
        return data

    cdef bint own(self, uint64_t page, uint64_t pages) except -1:
        """Note the owner of pages; False, after a finding, when they have one already or lie outside the file."""
        cdef uint64_t index
        if page == 0 or page + pages > <uint64_t>len(self.owned) or page + pages < page:
            self.report_page("T10", page, f"{pages} pages from here lie outside the file of {len(self.owned)} pages")
            return False
        for index in range(page, page + pages):
            if self.owned[index]:
                self.report_page("T10", index, "reached twice")
                return False
            self.owned[index] = 1
        return True

    # Catalog

    cdef int catalog(self) except -1:
        """Walk the catalog and every tree in it; then the tables."""
        cdef uint64_t page = PAGE_CATALOG
        cdef uint32_t base = 0
        cdef const uint8_t* data
        cdef list trees = []
        names = set()
        while page != 0:
            self.name = "catalog"
            if not self.own(page, 1):
                break
            data = self.page(page)
            if data == NULL:
                break
            if (<const PageHeader*>data).type != PAGE_TYPE_CATALOG or (<const PageHeader*>data).page != page:
                self.report_page("T11", page, "not a catalog page")
                break
            self.catalog_page(page, data, base, names, trees)
            base += CATALOG_TREES
            page = (<const PageHeader*>data).link
        for tree in trees:
            self.table_part(tree)
        return 0

    cdef int catalog_page(self, uint64_t page, const uint8_t* data, uint32_t base, set names, list trees) except -1:
        cdef const TreeHeader* header
        cdef uint32_t index
        cdef uint32_t used = 0
        for index in range(<uint32_t>CATALOG_TREES):
            header = catalog_tree(data, index)
            if header.root == 0:
                continue
            used += 1
            self.name = f"#{base + index}"
            if not 1 <= header.name_size <= TREE_NAME_MAX:
                self.report_page("T12", page, f"name of {header.name_size} bytes")
                continue
            name = (<const char*>header.name)[:header.name_size]
            self.name = name.decode("utf-8", "replace")
            if name in names:
                self.report_page("T12", page, "the name is there twice")
            names.add(name)
            self.tree = <uint16_t>(base + index)
            self.integer = header.flags & TREE_INTEGER
            if self.tree_walk(header):
                trees.append((base + index, header.flags, header.rows, self.name))
        if used != (<const PageHeader*>data).count:
            self.name = "catalog"
            self.report_page("T11", page, f"count {(<const PageHeader*>data).count}, {used} trees")
        return 0

    # Trees

    cdef bint tree_walk(self, const TreeHeader* header) except -1:
        """Walk one tree; whether its entries can be trusted."""
        cdef Counts counts = Counts()
        cdef int before = len(self.findings)
        if not 1 <= header.depth <= TREE_DEPTH_MAX:
            self.report("T1", f"tree '{self.name}': depth {header.depth}")
            return False
        self.subtree(header.root, header.depth - 1, None, None, counts, True)
        for what, stated, counted in (
            ("entries", header.entries, counts.entries), ("branch pages", header.branch_pages, counts.branch_pages),
            ("leaf pages", header.leaf_pages, counts.leaf_pages), ("run pages", header.run_pages, counts.run_pages),
        ):
            if stated != counted:
                self.report("T8", f"tree '{self.name}': header says {stated} {what}, counted {counted}")
        return len(self.findings) == before

    cdef int subtree(self, uint64_t page, int level, bytes low, bytes high, Counts counts, bint root) except -1:
        """Check a page and what is below it; its keys must be >= low and < high."""
        cdef const uint8_t* data
        if not self.own(page, 1):
            return 0
        data = self.page(page)
        if data == NULL:
            return 0
        if not page_sound(data, page, self.tree, level):
            return self.report_page("T1", page, f"header is not that of a page of this tree at level {level}")
        if not self.slots(page, data):
            return 0
        if level == 0:
            counts.leaf_pages += 1
            return self.leaf(page, data, low, high, counts, root)
        counts.branch_pages += 1
        return self.branch(page, data, level, low, high, counts)

    cdef bint slots(self, uint64_t page, const uint8_t* data) except -1:
        """T2: every entry whole and inside, none overlapping, nothing unaccounted for."""
        cdef const PageHeader* header = <const PageHeader*>data
        cdef uint32_t position, size
        cdef uint32_t total = 0
        places = []
        for position in range(<uint32_t>header.count):
            size = entry_size(data, position)
            if size == 0 or slot_offset(data, position) + size > PAGE_SIZE:
                self.report_page("T2", page, f"entry {position} lies outside the page")
                return False
            places.append((slot_offset(data, position), size))
            total += size
        places.sort()
        for position in range(1, <uint32_t>header.count):
            if places[position - 1][0] + places[position - 1][1] > places[position][0]:
                self.report_page("T2", page, f"entries overlap at offset {places[position][0]}")
                return False
        if total + header.holes != <uint32_t>(PAGE_SIZE - header.upper):
            self.report_page("T2", page, f"{total} bytes of entries and {header.holes} of holes behind {header.upper}")
            return False
        return True

    cdef bytes key_checked(self, uint64_t page, bytes key, bytes last, bytes low, bytes high, int level):
        """T3 and T4 for one key; returns it to be the next one's `last`."""
        if not (len(key) == INTEGER_KEY_SIZE if self.integer else 1 <= len(key) <= KEY_SIZE_MAX):
            self.report_page("T3", page, f"key of {len(key)} bytes")
        if last is not None and key <= last:
            self.report_page("T3", page, "keys do not ascend")
        if (low is not None and key < low) or (high is not None and key >= high):
            self.report_page("T4", page, f"a key at level {level} lies outside its parent's bounds")
        return key

    cdef int branch(self, uint64_t page, const uint8_t* data, int level, bytes low, bytes high,
                    Counts counts) except -1:
        cdef const BranchEntry* entry
        cdef uint32_t position
        cdef uint32_t count = (<const PageHeader*>data).count
        cdef bytes last = None
        cdef list keys = []
        cdef list children = [(<const PageHeader*>data).link]
        for position in range(count):
            entry = branch_entry(data, position)
            last = self.key_checked(page, (<const char*>branch_key(entry))[:entry.key_size], last, low, high, level)
            keys.append(last)
            children.append(entry.child)
        for position in range(count + 1):
            self.subtree(children[position], level - 1, keys[position - 1] if position > 0 else low,
                         keys[position] if position < count else high, counts, False)
        return 0

    cdef int leaf(self, uint64_t page, const uint8_t* data, bytes low, bytes high, Counts counts, bint root) except -1:
        cdef const LeafEntry* entry
        cdef uint32_t position
        cdef uint32_t count = (<const PageHeader*>data).count
        cdef bytes last = None
        if count == 0 and not root:
            self.report_page("T5", page, "a leaf without entries")
        for position in range(count):
            entry = leaf_entry(data, position)
            last = self.key_checked(page, (<const char*>leaf_key(entry))[:entry.key_size], last, low, high, 0)
            if entry.flags & ~LEAF_RUN:
                self.report_page("T6", page, f"unknown entry flags {entry.flags}")
            if entry.flags & LEAF_RUN:
                self.run(page, entry, counts)
            elif entry.key_size + entry.value_size > INLINE_SIZE_MAX:
                self.report_page("T6", page, f"an inline entry of {entry.key_size + entry.value_size} bytes")
        counts.entries += count
        return 0

    cdef int run(self, uint64_t leaf, const LeafEntry* entry, Counts counts) except -1:
        cdef RunReference reference
        cdef const uint8_t* data
        cdef const PageHeader* header
        cdef uint64_t pages
        if entry.value_size != sizeof(RunReference):
            return self.report_page("T6", leaf, f"a run reference of {entry.value_size} bytes")
        memcpy(&reference, leaf_value(entry), sizeof(RunReference))
        if reference.size + entry.key_size <= INLINE_SIZE_MAX:
            self.report_page("T6", leaf, f"a run for a value of {reference.size} bytes")
        pages = (sizeof(PageHeader) + reference.size + PAGE_SIZE - 1) >> PAGE_SHIFT
        if not self.own(reference.page, pages):
            return 0
        counts.run_pages += pages
        data = self.page(reference.page)
        if data == NULL:
            return 0
        header = <const PageHeader*>data
        if (header.page != reference.page or header.type != PAGE_TYPE_RUN or header.tree != self.tree
                or header.run_pages != pages or header.value_size != reference.size):
            self.report_page("T7", reference.page, f"header is not that of the run of page {leaf}")
        return 0

    # Tables

    cdef int table_part(self, tuple part) except -1:
        """T13 to T16 for one tree that belongs to a table."""
        cdef uint16_t id, flags
        cdef uint64_t rows
        id, flags, rows, self.name = part
        if flags & TREE_ROWS:
            if not flags & TREE_INTEGER:
                self.report("T13", f"tree '{self.name}': rows not keyed by integers")
            return 0
        if flags & TREE_SETS:
            self.sets(id, <uint16_t>rows)
        elif flags & TREE_INDEX:
            self.index(id, <uint16_t>rows)
        return 0

    cdef bint tree_of(self, uint16_t id, Tree* tree) except -1:
        cdef int code = tree_open_id(self.txn, id, tree)
        if code != OK:
            error_clear(&self.txn.error)
            self.report("T13", f"tree '{self.name}': its table's tree {id} is not there")
        return code == OK

    cdef bytes row_group(self, Cursor* rows, int* code, uint64_t group):
        """The bitmap of the stored rows of a group; the cursor stands at its first row and ends behind its last."""
        cdef bytearray bitmap = bytearray(BITMAP_SIZE)
        cdef uint64_t row_id
        while code[0] == OK:
            row_id = load64_be(rows.key)
            if row_id >> SET_GROUP_SHIFT != group:
                break
            bitmap[(row_id & 511) >> 3] |= 1 << (row_id & 7)
            code[0] = cursor_next(rows)
        return bytes(bitmap)

    cdef int sets(self, uint16_t id, uint16_t rows_id) except -1:
        """T13 to T15: SET_ALL against the rows, group by group, then every other set against the stored rows."""
        cdef Tree sets, rows
        cdef Cursor sets_cursor, rows_cursor
        cdef Value value
        cdef uint64_t set_id, group
        cdef int rows_code
        if not self.tree_of(id, &sets) or not self.tree_of(rows_id, &rows):
            return 0
        cursor_init(&sets_cursor, &sets)
        cursor_init(&rows_cursor, &rows)
        rows_code = cursor_first(&rows_cursor)
        code = cursor_first(&sets_cursor)
        all_stored = {}
        while code == OK and cursor_value(&sets_cursor, &value) == OK:
            if sets_cursor.key_size != SET_KEY_SIZE:
                return self.report_page("T13", value.page, f"a set key of {sets_cursor.key_size} bytes")
            set_id = load64_be(sets_cursor.key)
            group = load64_be(sets_cursor.key + 8)
            bitmaps = (<const char*>value.data)[:value.size]
            if value.size != (2 * BITMAP_SIZE if set_id == SET_ALL else BITMAP_SIZE) or not any(bitmaps):
                self.report_page("T13", value.page, f"set {set_id}, group {group}: {value.size} bytes or no member")
            elif set_id == SET_ALL:
                all_stored[group] = bitmaps[BITMAP_SIZE:]
                self.rows_missed(&rows_cursor, &rows_code, group)
                stored = self.row_group(&rows_cursor, &rows_code, group)
                if stored != bitmaps[BITMAP_SIZE:]:
                    self.report_page("T14", value.page, f"group {group}: the stored rows are not those of the rows")
                self.subset(value.page, set_id, group, bitmaps[:BITMAP_SIZE], bitmaps[BITMAP_SIZE:])
            else:
                self.subset(value.page, set_id, group, bitmaps, all_stored.get(group, bytes(BITMAP_SIZE)))
            code = cursor_next(&sets_cursor)
        self.rows_missed(&rows_cursor, &rows_code, <uint64_t>-1)
        error_clear(&self.txn.error)
        return 0

    cdef int rows_missed(self, Cursor* rows, int* code, uint64_t group) except -1:
        """Report the groups of rows before `group` that SET_ALL knows nothing of."""
        cdef uint64_t here
        while code[0] == OK and load64_be(rows.key) >> SET_GROUP_SHIFT < group:
            here = load64_be(rows.key) >> SET_GROUP_SHIFT
            self.report("T14", f"tree '{self.name}': group {here} has rows and no bitmaps in set 0")
            self.row_group(rows, code, here)
        return 0

    cdef int subset(self, uint64_t page, uint64_t set_id, uint64_t group, bytes part, bytes whole) except -1:
        cdef uint64_t stray = int.from_bytes(part, "little").bit_count()
        stray -= (int.from_bytes(part, "little") & int.from_bytes(whole, "little")).bit_count()
        if stray:
            self.report_page("T15", page, f"set {set_id}, group {group}: {stray} members that are not stored")
        return 0

    cdef int index(self, uint16_t id, uint16_t rows_id) except -1:
        """T16: each entry leads to a live row."""
        cdef Tree index, sets
        cdef Cursor cursor
        cdef Value value
        cdef IndexEntry entry
        sets_id = self.sets_of(rows_id)
        if sets_id is None or not self.tree_of(id, &index) or not self.tree_of(sets_id, &sets):
            return 0
        cursor_init(&cursor, &index)
        code = cursor_first(&cursor)
        while code == OK and cursor_value(&cursor, &value) == OK:
            if value.size != sizeof(IndexEntry):
                self.report_page("T16", value.page, f"an index entry of {value.size} bytes")
            else:
                memcpy(&entry, value.data, sizeof(IndexEntry))
                if not self.row_alive(&sets, entry.row_id):
                    self.report_page("T16", value.page, f"an entry leads to row {entry.row_id}, which is not alive")
            code = cursor_next(&cursor)
        error_clear(&self.txn.error)
        return 0

    cdef object sets_of(self, uint16_t rows_id):
        """Catalog index of the sets of a table."""
        cdef uint32_t id
        cdef const TreeHeader* header
        cdef const uint8_t* data
        cdef uint64_t page = PAGE_CATALOG
        cdef uint32_t base = 0
        while page != 0:
            data = txn_page(self.txn, page)
            for id in range(<uint32_t>CATALOG_TREES):
                header = catalog_tree(data, id)
                if header.root != 0 and header.flags & TREE_SETS and header.rows == rows_id:
                    return base + id
            base += CATALOG_TREES
            page = (<const PageHeader*>data).link
        return self.report("T13", f"tree '{self.name}': its table has no sets") or None

    cdef bint row_alive(self, Tree* sets, uint64_t row_id) except -1:
        cdef bytes key = int(SET_ALL).to_bytes(8, "big") + int(row_id >> SET_GROUP_SHIFT).to_bytes(8, "big")
        cdef Value value
        if tree_get(sets, <const char*>key, SET_KEY_SIZE, &value) != OK or value.size != 2 * BITMAP_SIZE:
            return False
        return (value.data[(row_id & 511) >> 3] >> (row_id & 7)) & 1


def check_transaction(Transaction txn not None, uint64_t file_pages):
    """Findings over all trees of a snapshot, and which pages of the file the trees own (one byte a page)."""
    checker = Checker(txn, file_pages)
    try:
        checker.catalog()
    except TooManyFindings:
        checker.findings.append(f"stopped after {FINDINGS_MAX} findings")
    return checker.findings, checker.owned
