"""Brings the documents out of an environment that is broken, from the pages that are intact.

Rows are never changed in place, so a row in an intact page is what was once written, and of all rows with one id the
one with the highest etag counts. Whether that one is the newest that there ever was is told by the id index (which
etag an id leads to) and by the set of live rows, as far as pages of them are left:

conflict   one of several versions that nobody has resolved; the newest counts as the document, others as outdated
current    nothing that is left speaks against it, and the set or the index speaks for it
possible   neither is left for this id: it may have been changed or deleted later
outdated   a newer version existed and is lost, or the document was deleted

Values of other trees (the cluster's state) are changed in place; of each key the one in the page that was changed last
is taken.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pynori_core.bits cimport load64_be
from pynori_core.blittable cimport blittable_validate
from pynori_core.btree cimport Value
from pynori_core.errors cimport OK, ErrorDetail, error_clear, error_set, raise_error
from pynori_core.format cimport (
    BITMAP_PAGES, CATALOG_TREES, LEAF_RUN, PAGE_CATALOG, PAGE_TYPE_BRANCH, PAGE_TYPE_CATALOG,
    PAGE_TYPE_LEAF, PAGE_TYPE_RUN, LeafEntry, PageHeader, RunReference, TreeHeader, catalog_tree,
)
from pynori_core.freespace cimport bitmap_page, bitmap_test
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.json cimport MetadataOverlay, json_write_document
from pynori_core.output cimport Output, output_init, output_release
from pynori_core.salvage_pages cimport Wreck
from pynori_core.slotted cimport branch_child, branch_entry, branch_key, leaf_entry, leaf_key, leaf_value, page_sound
from pynori_core.table cimport SET_ALL, SET_GROUP_SHIFT, IndexEntry
from pynori_core.tables cimport ITEM_CONFLICT, ITEM_DOCUMENT, ITEM_TOMBSTONE, Cover, Item, item_decode
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format
from pynori_core.txn cimport Txn

ROWS, SETS, IDS = b"items", b"items.sets", b"items.id"
# Catalog indexes in an environment that began as a database; for when the catalog is lost.
FIRST_TREES = {0: ROWS, 1: SETS, 2: IDS, 3: b"collections", 4: b"database"}
CATALOG_PAGES_MAX = 1024
BITMAP_SIZE = 64                   # bytes of one bitmap in the set of live rows
LOST_LINES_MAX = 100_000           # of one kind in the list of losses


cdef class Salvage:
    """One salvage; `survey` first. Memory: about 300 bytes for each id, and the images of pages in the journals."""
    cdef readonly Wreck wreck
    cdef Txn* decoding                 # takes the errors of item_decode; nothing else of it is used
    cdef Txn memory
    cdef dict trees                    # catalog index -> name
    cdef bint catalog_whole
    cdef dict bitmaps                  # number -> (transaction, bytes) of the bitmap page, or None
    cdef dict rows                     # key -> (etag, page, position, kind): the newest row that is left
    cdef dict versions                 # key -> [(etag, page, position)]: of documents in conflict, all with a body
    cdef dict alive                    # group -> (transaction, bitmaps)
    cdef dict index                    # key -> (row id, kind)
    cdef dict leaf_ranges              # leaf of the rows -> (first row id, row id behind the last)
    cdef dict values                   # (tree, key) -> (transaction, value): of trees that are no part of a database
    cdef list lost_rows                # (etag, why)
    cdef list lost_pages

    def __init__(self, directory):
        self.wreck = Wreck(directory)
        memset(&self.memory, 0, sizeof(Txn))
        self.decoding = &self.memory
        self.trees = {}
        self.bitmaps = {}
        self.rows = {}
        self.versions = {}
        self.alive = {}
        self.index = {}
        self.leaf_ranges = {}
        self.values = {}
        self.lost_rows = []
        self.lost_pages = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.wreck.close()

    # ---- pass one: what is there

    def survey(self):
        """Look at every page once."""
        cdef const PageHeader* header
        cdef bytearray content
        self.read_catalog()
        for page, txn_id, content in self.wreck.pages():
            header = <const PageHeader*><const char*>content
            if header.type not in (PAGE_TYPE_LEAF, PAGE_TYPE_BRANCH) or self.is_free(page, txn_id):
                continue
            if page_sound(<const uint8_t*><const char*>content, page, header.tree, header.level):
                self.survey_page(page, txn_id, content)
        self.lost_pages = [page for page in self.wreck.lost_pages if not self.is_free(page, 0)]
        self.lost_pages += [page for page in self.wreck.blank_pages if self.is_used(page)]
        self.lost_pages.sort()

    cdef int read_catalog(self) except -1:
        cdef const PageHeader* header
        cdef const TreeHeader* tree
        cdef bytearray content
        cdef uint32_t place, position
        cdef uint64_t page = PAGE_CATALOG
        for position in range(CATALOG_PAGES_MAX):
            found = self.wreck.page(page)
            if found is None:
                break
            content = found[1]
            header = <const PageHeader*><const char*>content
            if header.type != PAGE_TYPE_CATALOG:
                break
            for place in range(CATALOG_TREES):
                tree = catalog_tree(<const uint8_t*><const char*>content, place)
                if tree.root != 0 and 0 < tree.name_size <= sizeof(tree.name):
                    self.trees[position * CATALOG_TREES + place] = <bytes>tree.name[:tree.name_size]
            if header.link == 0:
                self.catalog_whole = True
                return 0
            page = header.link
        self.wreck.notes.append(f"page {page} of the catalog is lost: trees are known by their numbers")
        self.trees = {**FIRST_TREES, **self.trees}
        return 0

    cdef object bitmap_of(self, uint64_t page):
        """(transaction, bytes) of the bitmap page that tells of a page, or None."""
        cdef uint64_t number = page // BITMAP_PAGES
        if number not in self.bitmaps:
            self.bitmaps[number] = self.wreck.page(bitmap_page(number))
        return self.bitmaps[number]

    cdef bint is_used(self, uint64_t page) except -1:
        """Known to be in use, or to have been when the bitmap was written."""
        cdef bytearray bitmap
        found = self.bitmap_of(page)
        if found is None:
            return False
        bitmap = found[1]
        return bitmap_test(<const uint8_t*><const char*>bitmap, <uint32_t>(page % BITMAP_PAGES))

    cdef bint is_free(self, uint64_t page, uint64_t txn_id) except -1:
        """Known to have been free after that transaction."""
        found = self.bitmap_of(page)
        return found is not None and txn_id <= found[0] and not self.is_used(page)

    cdef int survey_page(self, uint64_t page, uint64_t txn_id, bytearray content) except -1:
        cdef const PageHeader* header = <const PageHeader*><const char*>content
        cdef uint32_t position
        name = self.trees.get(header.tree)
        if header.type == PAGE_TYPE_BRANCH:
            return self.survey_branch(content) if name == ROWS and header.level == 1 else 0
        for position in range(header.count):
            if leaf_entry(<const uint8_t*><const char*>content, position) == NULL:
                continue
            if name == ROWS:
                self.survey_row(page, content, position)
            elif name == SETS:
                self.survey_set(txn_id, content, position)
            elif name == IDS:
                self.survey_index(content, position)
            elif name is not None and name not in FIRST_TREES.values():
                self.survey_value(name, txn_id, content, position)
        return 0

    cdef int survey_branch(self, bytearray content) except -1:
        """Which rows each leaf of the rows holds, for the list of what is lost."""
        cdef const uint8_t* data = <const uint8_t*><const char*>content
        cdef uint32_t count = (<const PageHeader*>data).count
        cdef uint32_t position
        bounds = [0]
        for position in range(count):
            if branch_entry(data, position) == NULL or branch_entry(data, position).key_size > 8:
                return 0
            # Branches keep as much of a key as sets it apart.
            key = branch_key(branch_entry(data, position))[:branch_entry(data, position).key_size]
            bounds.append(int.from_bytes(key.ljust(8, b"\0"), "big"))
        bounds.append(2**64)
        for position in range(count + 1):
            self.leaf_ranges[branch_child(data, position)] = (bounds[position], bounds[position + 1])
        return 0

    cdef int survey_row(self, uint64_t page, bytearray content, uint32_t position) except -1:
        cdef Item item
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef uint64_t etag = self.row_id(content, position)
        kept = self.row_item(content, position, &item)
        if kept is None:
            self.lost_rows.append((etag, f"of page {page}: its value is not whole"))
            return 0
        text = key[:identifier_key(item.id, item.header.id_size, key)]
        known = self.rows.get(text)
        if known is None or known[0] < etag:
            self.rows[text] = (etag, page, position, item.header.kind)
        if item.header.kind == ITEM_CONFLICT and item.body_size != 0:
            self.versions.setdefault(text, []).append((etag, page, position))
        return 0

    cdef int survey_set(self, uint64_t txn_id, bytearray content, uint32_t position) except -1:
        cdef const LeafEntry* entry = leaf_entry(<const uint8_t*><const char*>content, position)
        if entry.key_size != 16 or entry.flags or entry.value_size != 2 * BITMAP_SIZE \
                or load64_be(leaf_key(entry)) != SET_ALL:
            return 0
        group = load64_be(leaf_key(entry) + 8)
        if group not in self.alive or self.alive[group][0] < txn_id:
            self.alive[group] = (txn_id, leaf_value(entry)[:2 * BITMAP_SIZE])
        return 0

    cdef int survey_index(self, bytearray content, uint32_t position) except -1:
        cdef const LeafEntry* entry = leaf_entry(<const uint8_t*><const char*>content, position)
        cdef IndexEntry told
        if entry.flags or entry.value_size != sizeof(IndexEntry):
            return 0
        memcpy(&told, leaf_value(entry), sizeof(IndexEntry))
        key = leaf_key(entry)[:entry.key_size]
        if key not in self.index or self.index[key][0] < told.row_id:
            self.index[key] = (told.row_id, (<Cover*>told.cover).kind)
        return 0

    cdef int survey_value(self, bytes name, uint64_t txn_id, bytearray content, uint32_t position) except -1:
        cdef const LeafEntry* entry = leaf_entry(<const uint8_t*><const char*>content, position)
        cdef Value value
        place = (name, leaf_key(entry)[:entry.key_size])
        if place in self.values and self.values[place][0] >= txn_id:
            return 0
        kept = self.entry_value(content, position, &value)
        if kept is not None:
            self.values[place] = (txn_id, value.data[:value.size])
        return 0

    # ---- one row

    cdef uint64_t row_id(self, bytearray content, uint32_t position) except? 0:
        cdef const LeafEntry* entry = leaf_entry(<const uint8_t*><const char*>content, position)
        return load64_be(leaf_key(entry)) if entry.key_size == 8 else 0

    cdef object entry_value(self, bytearray content, uint32_t position, Value* value):
        """The value of an entry; returns what must stay alive as long as it is used, None when it is not whole."""
        cdef const LeafEntry* entry = leaf_entry(<const uint8_t*><const char*>content, position)
        cdef const PageHeader* leaf = <const PageHeader*><const char*>content
        cdef const PageHeader* header
        cdef RunReference reference
        cdef bytearray run
        value.page = leaf.page
        if not entry.flags & LEAF_RUN:
            value.data = leaf_value(entry)
            value.size = entry.value_size
            return content
        if entry.value_size != sizeof(RunReference):
            return None
        memcpy(&reference, leaf_value(entry), sizeof(RunReference))
        found = self.wreck.page(reference.page)
        if found is None:
            return None
        run = found[1]
        header = <const PageHeader*><const char*>run
        # A run that is younger than the leaf is not the one that the leaf means.
        if header.type != PAGE_TYPE_RUN or header.tree != leaf.tree or header.value_size != reference.size \
                or header.txn_id > leaf.txn_id or reference.size > <uint64_t>len(run) - sizeof(PageHeader):
            return None
        value.data = <const uint8_t*><const char*>run + sizeof(PageHeader)
        value.size = reference.size
        return run

    cdef object row_item(self, bytearray content, uint32_t position, Item* item):
        """The row of an entry taken apart and validated, or None; returns what must stay alive."""
        cdef Value value
        kept = self.entry_value(content, position, &value)
        if kept is None or self.row_id(content, position) == 0:
            return None
        error_clear(&self.decoding.error)
        if item_decode(self.decoding, self.row_id(content, position), &value, item) != OK:
            return None
        if not 0 < item.header.id_size <= ID_SIZE_MAX:
            return None
        if item.header.kind == ITEM_TOMBSTONE or (item.header.kind == ITEM_CONFLICT and item.body_size == 0):
            return kept
        if item.header.kind not in (ITEM_DOCUMENT, ITEM_CONFLICT) or blittable_validate(
                item.body, item.body_size, NULL) != OK:
            return None
        return kept

    # ---- pass two: what is brought out

    cdef str judge(self, bytes key, uint64_t etag):
        cdef uint64_t told
        entry = self.index.get(key)
        told = 0 if entry is None else entry[0]
        if told > etag:
            return "outdated"
        group = self.alive.get(etag >> SET_GROUP_SHIFT)
        if group is not None:
            bit = etag & (1 << SET_GROUP_SHIFT) - 1
            if group[1][bit >> 3] >> (bit & 7) & 1:
                return "current"
            stored = group[1][BITMAP_SIZE + (bit >> 3)] >> (bit & 7) & 1
            if stored or not self.wreck.lost_transactions:
                return "outdated"
        return "current" if told == etag else "possible"

    def documents(self, outdated=False):
        """(etag, id, JSON, judgement) of every document that is brought out, in the order of their etags.

        outdated: the other ones, of which a version is left that is not the newest.
        """
        cdef Item item
        cdef bytearray content = None
        cdef uint64_t at = 0
        chosen = []
        for key, (etag, page, position, kind) in self.rows.items():
            judgement = self.judge(key, etag)
            if kind == ITEM_DOCUMENT and (judgement == "outdated") == outdated \
                    and (not outdated or key in self.index or self.lost_pages):
                if not outdated or self.index.get(key, (0, ITEM_DOCUMENT))[1] == ITEM_DOCUMENT:
                    chosen.append((etag, page, position, judgement))
            if kind == ITEM_CONFLICT:
                chosen += self.in_conflict(key, outdated)
        for etag, page, position, judgement in sorted(chosen):
            if content is None or page != at:
                content, at = self.wreck.page(page)[1], page
            kept = self.row_item(content, position, &item)
            yield etag, item.id[:item.header.id_size].decode("utf-8", "replace"), document_json(&item), judgement
            del kept

    cdef list in_conflict(self, bytes key, bint others):
        """The newest version with a body of an id in conflict, or the others that were not overwritten."""
        left = sorted(self.versions.get(key, ()), reverse=True)
        alive = [place for place in left if self.is_alive(place[0]) is not False]
        chosen = alive[1:] if others else alive[:1]
        return [(etag, page, position, "conflict") for etag, page, position in chosen]

    cdef object is_alive(self, uint64_t etag):
        """What the set of live rows says; None: that part of it is lost."""
        group = self.alive.get(etag >> SET_GROUP_SHIFT)
        if group is None:
            return None
        bit = etag & (1 << SET_GROUP_SHIFT) - 1
        return bool(group[1][bit >> 3] >> (bit & 7) & 1)

    def state(self):
        """(tree, key, value) of what is left in trees that are no part of a database."""
        for (name, key), (_, value) in sorted(self.values.items()):
            yield name.decode("utf-8", "replace"), key, value

    def losses(self):
        """What is lost, as lines of text: pages, journal records, rows, ids."""
        yield from self.wreck.notes
        for first, last in self.wreck.lost_transactions:
            yield f"transactions {first} to {last}: their journal records are lost; documents come out as before them"
        for first, last in ranges(self.lost_pages):
            yield f"page {first} is lost" if first == last else f"pages {first} to {last} are lost"
        for page in self.lost_pages[:LOST_LINES_MAX]:
            if page in self.leaf_ranges:
                first, end = self.leaf_ranges[page]
                yield f"page {page} held rows of etags {first} to " + (f"{end - 1}" if end < 2**64 else "the last")
        for etag, why in self.lost_rows[:LOST_LINES_MAX]:
            yield f"the row of etag {etag} {why}"
        lost = sorted(
            (key, etag) for key, (etag, kind) in self.index.items()
            if kind == ITEM_DOCUMENT and (key not in self.rows or self.rows[key][0] < etag))
        for key, etag in lost[:LOST_LINES_MAX]:
            yield f"document {key.decode('utf-8', 'replace')}, etag {etag}, is lost"
        if len(lost) > LOST_LINES_MAX:
            yield f"and {len(lost) - LOST_LINES_MAX} more documents"


cdef bytes document_json(const Item* item):
    """JSON with @id and @last-modified in its @metadata."""
    cdef Output output
    cdef MetadataOverlay overlay
    cdef ErrorDetail error
    cdef char time_text[TIMESTAMP_TEXT_SIZE]
    cdef int code
    memset(&overlay, 0, sizeof(overlay))
    timestamp_format(item.header.last_modified, time_text)
    overlay.id = item.id
    overlay.id_size = item.header.id_size
    overlay.last_modified = <const uint8_t*>time_text
    overlay.last_modified_size = TIMESTAMP_TEXT_SIZE
    output_init(&output, 0)
    try:
        code = json_write_document(&output, item.body, item.body_size, &overlay)
        if code != OK:
            error_clear(&error)
            error_set(&error, code, "the document cannot be written as JSON")
            raise_error(&error)
        return (<const char*>output.data)[:output.size]
    finally:
        output_release(&output)


def ranges(list numbers not None):
    """(first, last) of each stretch of consecutive numbers in an ascending list."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if last is not None:
            yield first, last
        first = last = number
    if last is not None:
        yield first, last
