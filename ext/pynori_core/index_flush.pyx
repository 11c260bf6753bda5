"""Find, compare, group, merge."""

from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.arena cimport arena_take
from pynori_core.bits cimport load64_be, store64_be
from pynori_core.btree cimport (
    PUT_APPEND,
    PUT_UPSERT,
    Value,
    tree_delete,
    tree_header,
    tree_put,
)
from pynori_core.checksum cimport hash64
from pynori_core.cursor cimport (
    Cursor,
    cursor_find_near,
    cursor_first,
    cursor_init,
    cursor_next,
    cursor_seek_before,
    cursor_value,
)
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, OK, error_set
from pynori_core.format cimport TreeHeader
from pynori_core.index_batch cimport (
    BatchDocument,
    BatchEntry,
    SortItem,
    batch_clear,
    sort_bytes,
)
from pynori_core.index_entry cimport EntryView, FieldView, entry_field, entry_open, field_term
from pynori_core.index_terms cimport TERM_PRESENCE
from pynori_core.index_trees cimport (
    COLUMN_ENTRIES,
    COLUMN_SHIFT,
    FIELD_ALL,
    FIELD_SEVERAL,
    FIELD_TEXT,
    TERM_KEY_MAX,
    ColumnBlock,
    block_at,
    column_write,
    entries_decode,
    entry_read,
    length_write,
    term_key,
    term_prefix64,
    trees_corrupt,
)
from pynori_core.matches cimport IdList, ids_add, ids_finish, ids_init, ids_release
from pynori_core.output cimport Output, output_append, output_clear, output_init, output_release
from pynori_core.posting cimport (
    Block,
    Payload,
    PostingList,
    block_list,
    block_write,
    list_init,
    list_merge,
    list_release,
    varint_write,
)

cdef enum:
    CHANGES_FIRST = 1024
    NONE = 0xFFFFFFFF              # no further change

cdef const uint8_t* NO_POSITIONS = <const uint8_t*>b"\0"      # of what is in a text field and is no token

cdef struct TermChange:            # one entry comes to a term or leaves it
    PostingChange change
    uint32_t next                  # of the same term, or NONE

cdef struct TermGroup:             # all changes of one term
    uint64_t hash
    const uint8_t* data
    uint32_t size
    uint32_t field
    uint32_t first
    uint32_t last
    uint32_t count

cdef struct Presence:              # entries that get a field or lose it
    IdList added
    IdList removed
    ColumnBlock* column            # malloc'd with the first change; NULL: none

cdef struct Flush:
    Batch* batch
    IndexTrees* trees
    TermChange* changes            # malloc'd, as all of these
    size_t change_count
    size_t change_capacity
    TermGroup* groups
    size_t group_count
    size_t group_capacity
    uint32_t* slots                # hash table: group + 1, or 0
    size_t slot_mask
    Presence* presences            # by field
    uint32_t presence_count
    SortItem* items
    PostingChange* sorted          # the changes of one term, ascending
    size_t sorted_capacity
    PostingList old
    PostingList merged
    Output blocks                  # values of new blocks
    IdList spare
    Cursor cursor                  # over terms
    Cursor entries                 # over entries, while they are only read


cdef int batch_flush(Batch* batch, IndexTrees* trees, FlushCounts* counts) noexcept nogil:
    cdef Flush flush
    cdef int code
    if batch.count == 0:
        return OK
    memset(&flush, 0, sizeof(Flush))
    flush.batch = batch
    flush.trees = trees
    output_init(&flush.blocks, 0)
    list_init(&flush.old, False)
    list_init(&flush.merged, False)
    ids_init(&flush.spare)
    code = flush_begin(&flush)
    if code == OK:
        code = documents_find(&flush)
    if code == OK:
        code = documents_compare(&flush, counts)
    if code == OK:
        code = entries_write(&flush)
    if code == OK:
        code = documents_write(&flush)
    if code == OK:
        code = terms_write(&flush)
    if code == OK:
        code = presences_write(&flush)
    if code == E_NO_MEMORY:
        error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for a batch of an index")
    flush_release(&flush)
    batch_clear(batch)
    return code


cdef int flush_begin(Flush* flush) noexcept nogil:
    flush.presence_count = flush.trees.state.fields + 1
    flush.presences = <Presence*>calloc(flush.presence_count, sizeof(Presence))
    flush.items = <SortItem*>malloc(flush.batch.count * sizeof(SortItem))
    flush.slot_mask = CHANGES_FIRST - 1
    flush.slots = <uint32_t*>calloc(CHANGES_FIRST, 4)
    if flush.presences == NULL or flush.items == NULL or flush.slots == NULL:
        return E_NO_MEMORY
    return OK


cdef void flush_release(Flush* flush) noexcept nogil:
    cdef uint32_t index
    if flush.presences != NULL:
        for index in range(flush.presence_count):
            ids_release(&flush.presences[index].added)
            ids_release(&flush.presences[index].removed)
            free(flush.presences[index].column)
    free(flush.presences)
    free(flush.items)
    free(flush.slots)
    free(flush.groups)
    free(flush.changes)
    free(flush.sorted)
    flush.old.with_payload = flush.merged.with_payload = True
    list_release(&flush.old)
    list_release(&flush.merged)
    output_release(&flush.blocks)
    ids_release(&flush.spare)


# ---- documents

cdef int documents_find(Flush* flush) noexcept nogil:
    """Sort the documents by key, take the last of those that come twice, and read which entries they have."""
    cdef Batch* batch = flush.batch
    cdef BatchDocument* document
    cdef const TreeHeader* header = tree_header(&flush.trees.documents)
    cdef Cursor cursor
    cdef Value value
    cdef size_t index
    cdef uint32_t newest
    cdef int code
    if header == NULL:
        return flush.trees.txn.error.code
    for index in range(batch.count):
        flush.items[index].data = batch.documents[index].key
        flush.items[index].size = batch.documents[index].key_size
        flush.items[index].index = <uint32_t>index
    sort_bytes(flush.items, batch.count, 0)
    newest = 0
    for index in range(1, batch.count):
        if (flush.items[index].size == flush.items[newest].size
                and memcmp(flush.items[index].data, flush.items[newest].data, flush.items[index].size) == 0):
            if flush.items[index].index > flush.items[newest].index:
                batch.documents[flush.items[newest].index].superseded = True
                newest = <uint32_t>index
            else:
                batch.documents[flush.items[index].index].superseded = True
        else:
            newest = <uint32_t>index
    if header.entries == 0:
        return OK
    cursor_init(&cursor, &flush.trees.documents)
    for index in range(batch.count):
        document = &batch.documents[flush.items[index].index]
        if document.superseded:
            continue
        code = cursor_find_near(&cursor, document.key, document.key_size)
        if code == E_NOT_FOUND:
            continue
        if code == OK:
            code = cursor_value(&cursor, &value)
        if code == OK:
            code = document_old(flush, document, &value)
        if code != OK:
            return code
    return OK


cdef int document_old(Flush* flush, BatchDocument* document, const Value* value) noexcept nogil:
    cdef int code
    flush.spare.count = 0
    flush.spare.unsorted = False
    code = entries_decode(value, &flush.spare)
    if code == E_CORRUPT or (code == OK and flush.spare.count == 0):
        return trees_corrupt(flush.trees, b"X4 violated: the entries of a document are no list of ids", 0)
    document.old = <uint64_t*>arena_take(&flush.batch.arena, flush.spare.count * 8, 8)
    if code != OK or document.old == NULL:
        return E_NO_MEMORY
    document.old_count = <uint32_t>flush.spare.count
    memcpy(document.old, flush.spare.ids, flush.spare.count * 8)
    return OK


cdef int documents_compare(Flush* flush, FlushCounts* counts) noexcept nogil:
    """Give entries their ids, in the order in which the documents came, and note what changes."""
    cdef Batch* batch = flush.batch
    cdef BatchDocument* document
    cdef BatchEntry* entry
    cdef size_t index
    cdef uint32_t place
    cdef int code = OK
    cursor_init(&flush.entries, &flush.trees.entries)
    for index in range(batch.count):
        document = &batch.documents[index]
        if document.superseded:
            continue
        entry = document.entries
        place = 0
        while code == OK and (entry != NULL or place < document.old_count):
            if entry != NULL:
                if place < document.old_count:
                    entry.id = document.old[place]
                else:
                    entry.id = flush.trees.state.next_entry
                    flush.trees.state.next_entry += 1
            code = entry_compare(flush, document.old[place] if place < document.old_count else 0, entry)
            entry = entry.next if entry != NULL else NULL
            place += 1
        if code != OK:
            return code
        counts.entries += document.entry_count
        counts.deleted += document.old_count > 0 and document.entry_count == 0
        flush.trees.state.entries += document.entry_count
        flush.trees.state.entries -= document.old_count
        flush.trees.state.documents += document.entry_count > 0
        flush.trees.state.documents -= document.old_count > 0
    return OK


cdef int documents_write(Flush* flush) noexcept nogil:
    """In the order of the keys; documents whose entries stay as many are written already."""
    cdef BatchDocument* document
    cdef BatchEntry* entry
    cdef uint64_t before
    cdef size_t index, size
    cdef uint8_t bytes[10]
    cdef int code = OK
    for index in range(flush.batch.count):
        document = &flush.batch.documents[flush.items[index].index]
        if document.superseded or document.entry_count == document.old_count:
            continue
        if document.entry_count == 0:
            code = tree_delete(&flush.trees.documents, document.key, document.key_size)
        elif document.entry_count == 1:
            size = varint_write(bytes, document.entries.id)
            code = tree_put(&flush.trees.documents, document.key, document.key_size, bytes, size, PUT_UPSERT)
        else:
            output_clear(&flush.blocks)
            before = 0
            entry = document.entries
            while entry != NULL:
                output_append(&flush.blocks, bytes, varint_write(bytes, entry.id - before))
                before = entry.id
                entry = entry.next
            if flush.blocks.failure != OK:
                return E_NO_MEMORY
            code = tree_put(&flush.trees.documents, document.key, document.key_size, flush.blocks.data,
                            flush.blocks.size, PUT_UPSERT)
        if code != OK:
            return code
    return OK


cdef int entries_write(Flush* flush) noexcept nogil:
    cdef BatchDocument* document
    cdef BatchEntry* entry
    cdef uint8_t key[8]
    cdef size_t index
    cdef uint32_t place
    cdef int code
    for index in range(flush.batch.count):
        document = &flush.batch.documents[index]
        if document.superseded:
            continue
        entry = document.entries
        place = 0
        while entry != NULL:
            if entry.record != NULL:           # else it is there as it is
                store64_be(key, entry.id)
                code = tree_put(&flush.trees.entries, key, sizeof(key), entry.record, entry.size,
                                PUT_UPSERT if place < document.old_count else PUT_APPEND)
                if code != OK:
                    return code
            entry = entry.next
            place += 1
        while place < document.old_count:
            store64_be(key, document.old[place])
            code = tree_delete(&flush.trees.entries, key, sizeof(key))
            if code != OK:
                return code
            place += 1
    return OK


# ---- comparing an entry with what it was

cdef int entry_compare(Flush* flush, uint64_t old_id, BatchEntry* entry) noexcept nogil:
    """Note the changes from the record of `old_id` (0: none) to `entry` (NULL: none)."""
    cdef EntryView old_view, new_view
    cdef FieldView old_field, new_field
    cdef const uint8_t* old_here
    cdef const uint8_t* new_here
    cdef const Payload* payloads = NULL
    cdef int old_code = E_NOT_FOUND
    cdef int new_code = E_NOT_FOUND
    cdef int code = OK
    if old_id:
        code = entry_read(flush.trees, &flush.entries, old_id, &old_view)
        if code == E_NOT_FOUND:
            return trees_corrupt(flush.trees, b"X4 violated: an entry of a document is not there", old_id)
        if code != OK:
            return code
        old_here = old_view.fields
        old_code = entry_field(&old_view, &old_here, &old_field)
    if entry != NULL:
        if entry_open(entry.record, entry.size, &new_view) != OK:
            return trees_corrupt(flush.trees, b"a record that was just made is broken", entry.id)
        if old_id and entry_same(&old_view, entry):
            entry.record = NULL
            return OK
        payloads = entry.payloads
        new_here = new_view.fields
        new_code = entry_field(&new_view, &new_here, &new_field)
    if not old_id or entry == NULL:
        code = presence_note(flush, FIELD_ALL, entry.id if entry != NULL else old_id, entry == NULL)
    while code == OK and (old_code == OK or new_code == OK):
        if new_code != OK or (old_code == OK and old_field.number < new_field.number):
            code = field_compare(flush, old_id, &old_field, NULL, NULL)
            old_code = entry_field(&old_view, &old_here, &old_field)
        elif old_code != OK or new_field.number < old_field.number:
            code = field_compare(flush, entry.id, NULL, &new_field, &payloads)
            new_code = entry_field(&new_view, &new_here, &new_field)
        else:
            code = field_compare(flush, entry.id, &old_field, &new_field, &payloads)
            old_code = entry_field(&old_view, &old_here, &old_field)
            new_code = entry_field(&new_view, &new_here, &new_field)
    if code == OK and (old_code == E_CORRUPT or new_code == E_CORRUPT):
        return trees_corrupt(flush.trees, b"X3 violated: the record of an entry is broken", old_id)
    return code


cdef inline bint entry_same(const EntryView* old, const BatchEntry* entry) noexcept nogil:
    """The whole record begins a little before the id; equal fields and stored bytes behind an equal id say the same."""
    cdef const uint8_t* old_end = old.fields_end + 1 + old.stored_size
    cdef uint8_t head[10]
    cdef size_t head_size = varint_write(head, old.id_size)
    cdef size_t size = <size_t>(old_end - old.id) + head_size
    return size == entry.size and memcmp(old.id, entry.record + head_size, size - head_size) == 0


cdef int field_compare(Flush* flush, uint64_t id, const FieldView* old, const FieldView* new,
                       const Payload** payloads) noexcept nogil:
    cdef uint32_t number = old.number if old != NULL else new.number
    cdef const uint8_t* old_here = old.terms if old != NULL else NULL
    cdef const uint8_t* new_here = new.terms if new != NULL else NULL
    cdef const uint8_t* old_term = NULL
    cdef const uint8_t* new_term = NULL
    cdef size_t old_size = 0
    cdef size_t new_size = 0
    cdef bint with_payload, replaced, old_more, new_more
    cdef int order
    cdef int code = OK
    if number >= flush.presence_count:
        return trees_corrupt(flush.trees, b"X3 violated: an entry has a field that is not there", id)
    with_payload = flush.trees.fields.records[number].flags & FIELD_TEXT
    if old == NULL or new == NULL:
        code = presence_note(flush, number, id, new == NULL)
    if code == OK and ((old != NULL and old.text) or (new != NULL and new.text)):
        code = tokens_note(flush, number, id, old.tokens if old != NULL else 0, new.tokens if new != NULL else 0)
    if code == OK and not with_payload:
        code = column_note(flush, number, id, old, new)
    replaced = with_payload and (old == NULL or new == NULL or old.hash != new.hash)
    old_more = old != NULL and field_term(old, &old_here, &old_term, &old_size)
    new_more = new != NULL and field_term(new, &new_here, &new_term, &new_size)
    while code == OK and (old_more or new_more):
        order = term_order(old_more, old_term, old_size, new_more, new_term, new_size)
        if order < 0:
            code = change_note(flush, number, old_term, old_size, id, NULL, True)
        elif order > 0 or replaced:
            code = change_note(flush, number, new_term, new_size, id,
                               payloads[0] if new.text else NULL, False)
        if order <= 0:
            old_more = field_term(old, &old_here, &old_term, &old_size)
        if order >= 0:
            if new.text:
                payloads[0] += 1
            new_more = field_term(new, &new_here, &new_term, &new_size)
    return code


cdef inline uint64_t lowest_prefix(const FieldView* field, bint* several) noexcept nogil:
    cdef const uint8_t* here
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    several[0] = False
    if field == NULL:
        return 0
    here = field.terms
    if not field_term(field, &here, &term, &size):
        return 0
    several[0] = here != field.terms_end
    return term_prefix64(term, size)


cdef int column_note(Flush* flush, uint32_t field, uint64_t id, const FieldView* old,
                     const FieldView* new) noexcept nogil:
    cdef Presence* presence = &flush.presences[field]
    cdef ColumnBlock* block = presence.column
    cdef bint several = False
    cdef uint64_t before = lowest_prefix(old, &several)
    cdef uint64_t now = lowest_prefix(new, &several)
    cdef uint64_t place = id & (COLUMN_ENTRIES - 1)
    cdef int code
    if several:
        flush.trees.fields.records[field].flags |= FIELD_SEVERAL
    if before == now:
        return OK
    if block == NULL:
        block = <ColumnBlock*>calloc(1, sizeof(ColumnBlock))
        if block == NULL:
            return E_NO_MEMORY
        block.group = id >> COLUMN_SHIFT
        presence.column = block
    if block.group != id >> COLUMN_SHIFT:
        code = column_write(flush.trees, field, block)
        if code != OK:
            return code
        block.group = id >> COLUMN_SHIFT
    block.values[place] = now
    block.changed[place >> 6] |= <uint64_t>1 << (place & 63)
    return OK


cdef inline int term_order(bint old_more, const uint8_t* old_term, size_t old_size, bint new_more,
                           const uint8_t* new_term, size_t new_size) noexcept nogil:
    cdef int order
    if not old_more:
        return 1
    if not new_more:
        return -1
    order = memcmp(old_term, new_term, old_size if old_size < new_size else new_size)
    return order if order else <int>(old_size > new_size) - <int>(old_size < new_size)


cdef int presence_note(Flush* flush, uint32_t field, uint64_t id, bint removed) noexcept nogil:
    cdef IdList* list = &flush.presences[field].removed if removed else &flush.presences[field].added
    ids_add(list, id)
    return E_NO_MEMORY if list.failed else OK


cdef int tokens_note(Flush* flush, uint32_t field, uint64_t id, uint64_t old, uint64_t new) noexcept nogil:
    flush.trees.fields.records[field].tokens += new - old
    return length_write(flush.trees, field, id, new) if old != new else OK


# ---- changes by term

cdef int change_note(Flush* flush, uint32_t field, const uint8_t* term, size_t size, uint64_t id,
                     const Payload* payload, bint removed) noexcept nogil:
    cdef TermGroup* group
    cdef TermChange* change
    cdef uint32_t place
    cdef int code = group_find(flush, field, term, size, removed, &place)
    if code != OK:
        return code
    if flush.change_count == flush.change_capacity:
        if not grow(<void**>&flush.changes, &flush.change_capacity, sizeof(TermChange)):
            return E_NO_MEMORY
    change = &flush.changes[flush.change_count]
    change.change.id = id
    change.change.removed = removed
    if payload != NULL:
        change.change.payload = payload[0]
    else:
        change.change.payload.positions = NO_POSITIONS
        change.change.payload.size = 1
        change.change.payload.frequency = 1
    change.next = NONE
    group = &flush.groups[place]
    if group.count:
        flush.changes[group.last].next = <uint32_t>flush.change_count
    else:
        group.first = <uint32_t>flush.change_count
    group.last = <uint32_t>flush.change_count
    group.count += 1
    flush.change_count += 1
    return OK


cdef bint grow(void** memory, size_t* capacity, size_t item_size) noexcept nogil:
    cdef size_t wanted = capacity[0] * 2 if capacity[0] else <size_t>CHANGES_FIRST
    cdef void* grown = realloc(memory[0], wanted * item_size)
    if grown == NULL or wanted >= NONE:
        return False
    memory[0] = grown
    capacity[0] = wanted
    return True


cdef int group_find(Flush* flush, uint32_t field, const uint8_t* term, size_t size, bint copied,
                    uint32_t* place) noexcept nogil:
    """The group of a term, which is made when it is new; `copied`: the term's bytes lie in a page that may change."""
    cdef uint64_t hash = hash64(term, size, field)
    cdef size_t slot = hash & flush.slot_mask
    cdef TermGroup* group
    cdef uint8_t* copy
    while flush.slots[slot]:
        group = &flush.groups[flush.slots[slot] - 1]
        if (group.hash == hash and group.size == size and group.field == field
                and memcmp(group.data, term, size) == 0):
            place[0] = flush.slots[slot] - 1
            return OK
        slot = (slot + 1) & flush.slot_mask
    if flush.group_count == flush.group_capacity:
        if not grow(<void**>&flush.groups, &flush.group_capacity, sizeof(TermGroup)):
            return E_NO_MEMORY
    if copied:
        copy = <uint8_t*>arena_take(&flush.batch.arena, size, 1)
        if copy == NULL:
            return E_NO_MEMORY
        memcpy(copy, term, size)
        term = copy
    group = &flush.groups[flush.group_count]
    group.hash = hash
    group.data = term
    group.size = <uint32_t>size
    group.field = field
    group.count = 0
    place[0] = <uint32_t>flush.group_count
    flush.group_count += 1
    flush.slots[slot] = <uint32_t>flush.group_count
    if flush.group_count * 2 > flush.slot_mask:
        return slots_grow(flush)
    return OK


cdef int slots_grow(Flush* flush) noexcept nogil:
    cdef size_t count = (flush.slot_mask + 1) * 4
    cdef uint32_t* slots = <uint32_t*>calloc(count, 4)
    cdef size_t index, slot
    if slots == NULL:
        return E_NO_MEMORY
    free(flush.slots)
    flush.slots = slots
    flush.slot_mask = count - 1
    for index in range(flush.group_count):
        slot = flush.groups[index].hash & flush.slot_mask
        while slots[slot]:
            slot = (slot + 1) & flush.slot_mask
        slots[slot] = <uint32_t>(index + 1)
    return OK


cdef int change_compare(const void* left, const void* right) noexcept nogil:
    cdef uint64_t a = (<const PostingChange*>left).id
    cdef uint64_t b = (<const PostingChange*>right).id
    return <int>(a > b) - <int>(a < b)


cdef int terms_write(Flush* flush) noexcept nogil:
    cdef SortItem* items = <SortItem*>malloc(flush.group_count * sizeof(SortItem) + 1)
    cdef TermGroup* group
    cdef size_t index
    cdef int code = OK
    if items == NULL:
        return E_NO_MEMORY
    for index in range(flush.group_count):
        group = &flush.groups[index]
        items[index].data = group.data
        items[index].size = group.size
        items[index].index = <uint32_t>index
        items[index].cache = group_cache(group)
    sort_bytes(items, flush.group_count, 6)
    cursor_init(&flush.cursor, &flush.trees.terms)
    for index in range(flush.group_count):
        group = &flush.groups[items[index].index]
        code = group_changes(flush, group)
        if code == OK:
            code = term_apply(flush, group.field, group.data, group.size, group.count)
        if code != OK:
            break
    free(items)
    return code


cdef inline uint64_t group_cache(const TermGroup* group) noexcept nogil:
    """The field, and the first 6 bytes of the term."""
    cdef uint64_t value = <uint64_t>group.field << 48
    cdef uint32_t index
    if group.size >= 8:
        return value | (load64_be(group.data) >> 16)
    for index in range(group.size if group.size < 6 else 6):
        value |= <uint64_t>group.data[index] << (40 - 8 * index)
    return value


cdef int group_changes(Flush* flush, const TermGroup* group) noexcept nogil:
    cdef uint32_t place = group.first
    cdef size_t count = 0
    cdef bint sorted = True
    if not sorted_reserve(flush, group.count):
        return E_NO_MEMORY
    while place != NONE:
        flush.sorted[count] = flush.changes[place].change
        if count and flush.sorted[count].id < flush.sorted[count - 1].id:
            sorted = False
        count += 1
        place = flush.changes[place].next
    if not sorted:
        qsort(flush.sorted, count, sizeof(PostingChange), change_compare)
    return OK


cdef bint sorted_reserve(Flush* flush, size_t count) noexcept nogil:
    cdef void* memory
    if count <= flush.sorted_capacity:
        return True
    memory = realloc(flush.sorted, count * 2 * sizeof(PostingChange))
    if memory == NULL:
        return False
    flush.sorted = <PostingChange*>memory
    flush.sorted_capacity = count * 2
    return True


# ---- one term in the tree

cdef int term_apply(Flush* flush, uint32_t field, const uint8_t* term, size_t size, size_t count) noexcept nogil:
    """Merge the first `count` of flush.sorted into the blocks of a term."""
    cdef uint8_t key[TERM_KEY_MAX]
    cdef uint64_t old_first, bound
    cdef size_t done = 0
    cdef size_t end
    cdef size_t prefix = size + 2
    cdef bint found
    cdef int code
    flush.old.with_payload = flush.merged.with_payload = (
        field != FIELD_ALL and term[0] != TERM_PRESENCE and flush.trees.fields.records[field].flags & FIELD_TEXT)
    while done < count:
        term_key(key, field, term, size, flush.sorted[done].id)
        code = block_find(flush, key, prefix, &found, &old_first, &bound)
        if code != OK:
            return code
        end = done + 1
        while end < count and flush.sorted[end].id < bound:
            end += 1
        code = list_merge(&flush.old, flush.sorted + done, end - done, &flush.merged)
        if code == OK:
            code = blocks_write(flush, key, prefix, found, old_first)
        if code != OK:
            return code
        done = end
    return OK


cdef int block_find(Flush* flush, const uint8_t* key, size_t prefix, bint* found, uint64_t* first,
                    uint64_t* bound) noexcept nogil:
    """Read the block that an id belongs to into flush.old: the last one that begins at or before it, else the first
    one of the term. `bound`: where the next block begins."""
    cdef Cursor* cursor = &flush.cursor
    cdef Block block
    cdef int code = cursor_seek_before(cursor, key, prefix + 8)
    found[0] = False
    bound[0] = <uint64_t>-1
    flush.old.count = 0
    if code == E_NOT_FOUND:
        code = cursor_first(cursor)
    elif code == OK and not same_term(cursor, key, prefix):
        code = cursor_next(cursor)
    if code == E_NOT_FOUND or (code == OK and not same_term(cursor, key, prefix)):
        return OK
    if code == OK:
        code = block_at(flush.trees, cursor, &block)
    if code == OK and block_list(&block, &flush.old) != OK:
        return trees_corrupt(flush.trees, b"X6 violated: a block of ids is broken, the first is", block.first)
    if code != OK:
        return code
    found[0] = True
    first[0] = block.first
    code = cursor_next(cursor)
    if code == OK and same_term(cursor, key, prefix):
        bound[0] = load64_be(cursor.key + prefix)
    return OK if code == E_NOT_FOUND else code


cdef inline bint same_term(const Cursor* cursor, const uint8_t* key, size_t prefix) noexcept nogil:
    return cursor.key_size == prefix + 8 and memcmp(cursor.key, key, prefix) == 0


cdef int blocks_write(Flush* flush, uint8_t* key, size_t prefix, bint found, uint64_t old_first) noexcept nogil:
    """Write flush.merged in the place of the block that began with `old_first`."""
    cdef PostingList* merged = &flush.merged
    cdef bint spread = flush.old.count and merged.count and (
        merged.ids[merged.count - 1] == flush.old.ids[flush.old.count - 1])
    cdef size_t start = 0
    cdef size_t taken, begin, size
    cdef int code
    # The old block's bytes may be needed until all new ones are made.
    output_clear(&flush.blocks)
    while start < merged.count:
        begin = flush.blocks.size
        output_append(&flush.blocks, &begin, 8)
        taken = block_write(merged, start, spread, &flush.blocks)
        if flush.blocks.failure != OK:
            return E_NO_MEMORY
        size = flush.blocks.size - begin - 8
        memcpy(flush.blocks.data + begin, &size, 8)
        output_append(&flush.blocks, &taken, 8)
        start += taken
    if flush.blocks.failure != OK:
        return E_NO_MEMORY
    if found and (merged.count == 0 or merged.ids[0] != old_first):
        store64_be(key + prefix, old_first)
        code = tree_delete(&flush.trees.terms, key, prefix + 8)
        if code != OK:
            return code
    return blocks_put(flush, key, prefix)


cdef int blocks_put(Flush* flush, uint8_t* key, size_t prefix) noexcept nogil:
    cdef const uint8_t* here = flush.blocks.data
    cdef size_t start = 0
    cdef uint64_t size, taken
    cdef int code
    while start < flush.merged.count:
        memcpy(&size, here, 8)
        memcpy(&taken, here + 8 + size, 8)
        store64_be(key + prefix, flush.merged.ids[start])
        code = tree_put(&flush.trees.terms, key, prefix + 8, here + 8, size, PUT_UPSERT)
        if code != OK:
            return code
        here += 16 + size
        start += taken
    return OK


# ---- presence

cdef int presences_write(Flush* flush) noexcept nogil:
    cdef Presence* presence
    cdef uint8_t term[1]
    cdef uint32_t field
    cdef size_t count
    cdef int code
    term[0] = TERM_PRESENCE
    cursor_init(&flush.cursor, &flush.trees.terms)
    for field in range(flush.presence_count):
        presence = &flush.presences[field]
        if presence.column != NULL:
            code = column_write(flush.trees, field, presence.column)
            if code != OK:
                return code
        if field != FIELD_ALL:
            flush.trees.fields.records[field].entries += presence.added.count
            flush.trees.fields.records[field].entries -= presence.removed.count
        count = presence.added.count + presence.removed.count
        if count == 0:
            continue
        code = presence_changes(flush, presence)
        if code == OK:
            code = term_apply(flush, field, term, 1, count)
        if code != OK:
            return code
    return OK


cdef int presence_changes(Flush* flush, Presence* presence) noexcept nogil:
    cdef IdList* added = &presence.added
    cdef IdList* removed = &presence.removed
    cdef size_t i = 0
    cdef size_t j = 0
    cdef PostingChange* change
    cdef int code = ids_finish(added)
    if code == OK:
        code = ids_finish(removed)
    if code != OK or not sorted_reserve(flush, added.count + removed.count):
        return E_NO_MEMORY
    while i < added.count or j < removed.count:
        change = &flush.sorted[i + j]
        change.removed = i == added.count or (j < removed.count and removed.ids[j] < added.ids[i])
        if change.removed:
            change.id = removed.ids[j]
            j += 1
        else:
            change.id = added.ids[i]
            i += 1
    return OK
