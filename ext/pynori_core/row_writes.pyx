"""The steps of writing: the transaction's frame, collections, what is there, the row, its index entry, sets, counts."""

from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport likely, unlikely
from pynori_core.btree cimport INLINE_SIZE_MAX, Value, tree_get64
from pynori_core.change_vector cimport DATABASE_ID_SIZE, VECTOR_ENTRIES_MAX, tag_format, vector_merge
from pynori_core.command cimport AgreedOrder, CommandHeader, ResultHeader
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_delete, conflict_read
from pynori_core.departures cimport departure_add
from pynori_core.errors cimport E_CORRUPT, E_INVALID, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.identifier cimport ID_NUMBER_DIGITS, identifier_key, identifier_spelling
from pynori_core.output cimport output_append, output_init, output_release, output_reserve
from pynori_core.table cimport (
    SET_ALL,
    set_add,
    set_remove,
    table_append,
    table_delete,
    table_find,
    table_index_put,
    table_row,
)
from pynori_core.tables cimport (
    COVER_LARGE,
    COVER_SIMPLE_VECTOR,
    COVER_SPELLING,
    INDEX_ID,
    ITEM_CONFLICT,
    ITEM_DOCUMENT,
    ITEM_FROM_CLUSTER,
    ITEM_TOMBSTONE,
    TABLES_FORMAT,
    ItemHeader,
    collection_create,
    collection_find,
    collection_read,
    collection_write,
    cover_offset,
    cover_set_offset,
    item_decode,
    item_vector,
    known_read,
    known_write,
    state_read,
    state_write,
    tables_bind,
    tables_set,
)
from pynori_core.timestamp cimport timestamp_now

cdef enum:
    MAKE_ID_TRIES_MAX = 10000          # made ids that somebody took by hand before another number is not looked for


cdef int broken(Writer* writer, const char* what) noexcept nogil:
    error_set(&writer.tables.items.txn.error, E_CORRUPT, b"tables of the database contradict each other: %s", what)
    return E_CORRUPT


cdef Txn* writer_txn(Writer* writer) noexcept nogil:
    return writer.tables.items.txn


# ---- the transaction's frame

cdef Writer* writer_create() noexcept nogil:
    cdef Writer* writer = <Writer*>calloc(1, sizeof(Writer))
    if writer != NULL:
        output_init(&writer.kept, 0)
    return writer


cdef void writer_destroy(Writer* writer) noexcept nogil:
    if writer != NULL:
        output_release(&writer.kept)
        free(writer)


cdef int writer_begin(Writer* writer, Txn* txn, const DocumentTables* known) noexcept nogil:
    tables_bind(known, txn, &writer.tables)
    writer.now = timestamp_now()
    return writer_reload(writer)


cdef int writer_reload(Writer* writer) noexcept nogil:
    cdef int index
    for index in range(WRITER_COLLECTIONS):
        writer.collections[index].number = 0
        writer.collections[index].dirty = False
        writer.collections[index].key_size = 0
    writer.next_collection = 0
    writer.known_count = 0
    writer.known_dirty = False
    cdef int code = state_read(&writer.tables, &writer.state)
    if code == OK:
        writer.state.format = TABLES_FORMAT
        writer.known_count = known_read(&writer.tables, writer.known)
        if writer.known_count < 0:
            code = -writer.known_count
            writer.known_count = 0
    return broken(writer, b"no state") if code == E_NOT_FOUND else code


cdef int writer_flush(Writer* writer) noexcept nogil:
    cdef int index
    cdef int code = OK
    for index in range(WRITER_COLLECTIONS):
        if writer.collections[index].dirty and code == OK:
            code = collection_save(writer, &writer.collections[index])
    if code == OK and unlikely(writer.known_dirty):
        code = known_write(&writer.tables, writer.known, writer.known_count)
        writer.known_dirty = False
    return state_write(&writer.tables, &writer.state) if code == OK else code


# ---- collections

cdef int collection_save(Writer* writer, WriterCollection* slot) noexcept nogil:
    slot.dirty = False
    return collection_write(&writer.tables, slot.number, &slot.record)


cdef WriterCollection* collection_slot(Writer* writer, uint32_t number, int* code) noexcept nogil:
    cdef WriterCollection* slot
    cdef const uint8_t* name
    cdef size_t name_size
    cdef int index
    for index in range(WRITER_COLLECTIONS):
        if writer.collections[index].number == number:
            return &writer.collections[index]
    slot = &writer.collections[writer.next_collection]
    writer.next_collection = (writer.next_collection + 1) % WRITER_COLLECTIONS
    code[0] = collection_save(writer, slot) if slot.dirty else OK
    if code[0] != OK:
        return NULL
    slot.number = 0
    slot.key_size = 0
    slot.name_size = 0
    code[0] = collection_read(&writer.tables, number, &slot.record, &name, &name_size)
    if code[0] != OK:
        if code[0] == E_NOT_FOUND:
            code[0] = broken(writer, b"a collection is not there")
        return NULL
    slot.number = number
    if name_size <= WRITER_NAME_SIZE_MAX:
        memcpy(slot.name, name, name_size)
        slot.name_size = <uint32_t>name_size
    return slot


cdef int collection_resolve(Writer* writer, const Command* command, uint32_t* number) noexcept nogil:
    cdef size_t size = command.header.collection_key_size
    cdef WriterCollection* slot
    cdef int index
    cdef int code
    for index in range(WRITER_COLLECTIONS):
        slot = &writer.collections[index]
        if slot.key_size == size and slot.number and not memcmp(slot.key, command.collection_key, size):
            number[0] = slot.number
            return OK
    number[0] = 0
    code = collection_find(&writer.tables, command.collection_key, size, number)
    if code == E_NOT_FOUND:
        return OK
    if code != OK:
        return code
    slot = collection_slot(writer, number[0], &code)
    if slot == NULL:
        return code
    if size <= WRITER_NAME_SIZE_MAX:
        memcpy(slot.key, command.collection_key, size)
        slot.key_size = <uint32_t>size
    return OK


cdef int collection_add(Writer* writer, const Command* command, uint32_t* number) noexcept nogil:
    writer.state.collections += 1
    number[0] = writer.state.collections
    return collection_create(&writer.tables, command.collection_key, command.header.collection_key_size,
                             command.collection, command.header.collection_size, number[0])


cdef int collection_count(Writer* writer, uint32_t number, uint8_t kind, int change) noexcept nogil:
    """Count an item of a kind in (1) or out (-1), in its collection and in the database."""
    cdef int code = OK
    cdef WriterCollection* slot = collection_slot(writer, number, &code)
    if slot == NULL:
        return code
    slot.dirty = True
    if kind == ITEM_DOCUMENT:
        slot.record.documents += change
        writer.state.documents += change
    else:
        slot.record.tombstones += change
        writer.state.tombstones += change
    if change > 0:
        slot.record.last_etag = writer.state.last_etag
    return OK


# ---- what is there

cdef int subject_find(Writer* writer, Subject* subject) noexcept nogil:
    cdef int code = table_find(&writer.tables.items, INDEX_ID, subject.key, subject.key_size, &subject.entry)
    subject.found = code == OK
    subject.exists = False
    subject.conflicted = False
    if code == OK:
        memcpy(&subject.cover, subject.entry.cover, sizeof(Cover))
        subject.exists = subject.cover.kind == ITEM_DOCUMENT
        subject.conflicted = subject.cover.kind == ITEM_CONFLICT
    return OK if code == E_NOT_FOUND else code


cdef int subject_row(Writer* writer, Subject* subject, Item* item) noexcept nogil:
    cdef Value row
    cdef int code = table_row(&writer.tables.items, subject.entry.row_id, subject.entry.page,
                              cover_offset(&subject.cover), &row)
    if code == E_NOT_FOUND:
        return broken(writer, b"an index entry leads to no row")
    return code if code != OK else item_decode(writer_txn(writer), subject.entry.row_id, &row, item)


cdef int version_row(Writer* writer, uint64_t etag, Item* item) noexcept nogil:
    cdef Value row
    cdef int code = tree_get64(&writer.tables.items.rows, etag, &row)
    if code == E_NOT_FOUND:
        return broken(writer, b"a conflict lists a row that is not there")
    return code if code != OK else item_decode(writer_txn(writer), etag, &row, item)


cdef int subject_start(Writer* writer, const Command* command, Subject* subject) noexcept nogil:
    cdef const CommandHeader* header = command.header
    memset(subject, 0, sizeof(Subject))
    subject.etag = writer.state.last_etag + 1
    subject.id = command.id
    subject.id_size = header.id_size
    subject.key = command.key
    subject.key_size = header.key_size
    subject.last_modified = writer.now
    subject.body = command.body
    subject.body_size = header.body_size
    if unlikely(header.exact):
        subject_agreed(command, subject)
    if header.make_id:
        return subject_make_id(writer, command, subject)
    if header.spelling_known:
        subject.fresh.spelling = header.spelling
        subject.fresh.flags = COVER_SPELLING
    return subject_find(writer, subject)


cdef void subject_agreed(const Command* command, Subject* subject) noexcept nogil:
    """What the cluster has agreed on has the same time on every instance."""
    cdef AgreedOrder agreed
    memcpy(&agreed, command.body, sizeof(AgreedOrder))
    subject.flags = ITEM_FROM_CLUSTER
    if agreed.last_modified:
        subject.last_modified = agreed.last_modified
    subject.body += sizeof(AgreedOrder)
    subject.body_size -= sizeof(AgreedOrder)


cdef int subject_make_id(Writer* writer, const Command* command, Subject* subject) noexcept nogil:
    """Put the next etag and the node's tag behind an id that ends in "/"."""
    cdef size_t size
    cdef uint64_t number
    cdef uint64_t spelling
    cdef int digit
    cdef int code
    memcpy(writer.id, command.id, command.header.id_size)
    for _ in range(MAKE_ID_TRIES_MAX):
        size = command.header.id_size
        number = subject.etag
        for digit in range(ID_NUMBER_DIGITS):
            writer.id[size + ID_NUMBER_DIGITS - 1 - digit] = <uint8_t>(c'0' + number % 10)
            number //= 10
        size += ID_NUMBER_DIGITS
        writer.id[size] = c'-'
        size += 1 + tag_format(writer.tables.tag, <char*>writer.id + size + 1)
        subject.id = writer.id
        subject.id_size = size
        subject.key = writer.key
        subject.key_size = identifier_key(writer.id, size, writer.key)
        code = subject_find(writer, subject)
        if code != OK:
            return code
        if not subject.exists and not subject.conflicted:
            if identifier_spelling(subject.id, size, subject.key, subject.key_size, &spelling):
                subject.fresh.spelling = spelling
                subject.fresh.flags = COVER_SPELLING
            return OK
        subject.etag += 1
    return E_INVALID


cdef int subject_keep_spelling(Writer* writer, Subject* subject) noexcept nogil:
    """The old row is read only when the index entry cannot tell."""
    cdef Item item
    cdef size_t index
    cdef int code
    if likely(subject.cover.flags & COVER_SPELLING):
        if subject.fresh.flags & COVER_SPELLING and subject.fresh.spelling == subject.cover.spelling:
            return OK
        memcpy(writer.id, subject.key, subject.key_size)
        subject.id_size = subject.key_size
        for index in range(subject.key_size if subject.key_size < 64 else 64):
            if (subject.cover.spelling >> index) & 1:
                writer.id[index] -= 0x20
    else:
        code = subject_row(writer, subject, &item)
        if code != OK:
            return code
        memcpy(writer.id, item.id, item.header.id_size)
        subject.id_size = item.header.id_size
    subject.id = writer.id
    subject.fresh.spelling = subject.cover.spelling
    subject.fresh.flags = subject.cover.flags & COVER_SPELLING
    return OK


# ---- the row

cdef int subject_vector(Writer* writer, Subject* subject, VectorEntry* entries, int count) noexcept nogil:
    cdef VectorEntry seen[VECTOR_ENTRIES_MAX]
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef Item item
    cdef int versions = 1
    cdef int index
    cdef int code = OK
    etags[0] = subject.entry.row_id
    if subject.conflicted:
        code = conflict_read(&writer.tables, subject.key, subject.key_size, etags, &versions)
        if code == E_NOT_FOUND:
            code = broken(writer, b"a conflict without a list")
    for index in range(versions):
        if code == OK:
            code = subject_row(writer, subject, &item) if versions == 1 else version_row(writer, etags[index], &item)
        if code != OK:
            return -code
        # A row has room for one entry less than a vector, so that a merge that is refused is refused here.
        count = vector_merge(entries, count, VECTOR_ENTRIES_MAX - 1, seen, item_vector(&writer.tables, &item, seen))
        if count < 0:
            return -E_TOO_LARGE
    return count


cdef int row_write(Writer* writer, Subject* subject, uint8_t kind, uint32_t collection, int vector_count,
                   IndexEntry* entry) noexcept nogil:
    """Append the row; `entry` and `subject.fresh` are its index entry then."""
    cdef uint64_t size = sizeof(ItemHeader) + <uint64_t>vector_count * sizeof(VectorEntry) + subject.id_size
    cdef uint64_t page
    cdef uint32_t offset
    cdef ItemHeader* header
    cdef uint8_t* row
    cdef int code
    row = table_append(&writer.tables.items, subject.etag, size + subject.body_size, &page, &offset)
    if unlikely(row == NULL):
        code = writer_txn(writer).error.code
        return code if code != OK else broken(writer, b"the last etag is behind the rows")
    header = <ItemHeader*>row
    memset(header, 0, sizeof(ItemHeader))
    header.kind = kind
    header.id_size = <uint16_t>subject.id_size
    header.flags = subject.flags
    header.collection = collection
    header.body_size = <uint32_t>subject.body_size
    header.last_modified = subject.last_modified
    header.user_txn = writer.user_txn
    header.tag = writer.tables.tag
    header.vector_count = <uint16_t>vector_count
    memcpy(row + sizeof(ItemHeader), writer.vector, <size_t>vector_count * sizeof(VectorEntry))
    memcpy(row + size - subject.id_size, subject.id, subject.id_size)
    if subject.body_size:
        memcpy(row + size, subject.body, subject.body_size)
    writer.state.last_etag = subject.etag
    subject.fresh.kind = kind
    subject.fresh.collection = collection
    cover_set_offset(&subject.fresh, offset)
    if vector_count == 0:
        subject.fresh.flags |= COVER_SIMPLE_VECTOR
    if size + subject.body_size + 8 > INLINE_SIZE_MAX:
        subject.fresh.flags |= COVER_LARGE
    entry.row_id = subject.etag
    entry.page = page
    memcpy(entry.cover, &subject.fresh, sizeof(Cover))
    return OK


cdef int row_append(Writer* writer, Subject* subject, uint8_t kind, uint32_t collection,
                    int vector_count) noexcept nogil:
    cdef IndexEntry entry
    cdef int code = row_write(writer, subject, kind, collection, vector_count, &entry)
    if code == OK:
        code = table_index_put(&writer.tables.items, INDEX_ID, subject.key, subject.key_size, &entry)
    if code == OK and subject.found:
        code = subject_leave(writer, subject)
        if code == OK and unlikely(subject.cover.collection != collection) and not subject.conflicted:
            code = subject_depart(writer, subject)
    if code == OK:
        code = set_add(&writer.tables.items, tables_set(collection, kind), subject.etag)
    if code == OK and kind == ITEM_TOMBSTONE:
        code = set_add(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), subject.etag)
    if code == OK:
        code = collection_count(writer, collection, kind, 1)
    # What a table answers to its caller is a contradiction here.
    return broken(writer, b"sets and index") if code == E_NOT_FOUND or code == E_INVALID else code


cdef int subject_leave(Writer* writer, Subject* subject) noexcept nogil:
    """What was there, a row or the versions of a conflict, leaves sets and counts."""
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef int versions
    cdef int index
    cdef int code
    if likely(not subject.conflicted):
        return row_retire(writer, subject)
    code = conflict_read(&writer.tables, subject.key, subject.key_size, etags, &versions)
    if code != OK:
        return code
    for index in range(versions):
        if code == OK:
            code = version_retire(writer, etags[index])
    writer.state.conflicts -= 1
    return conflict_delete(&writer.tables, subject.key, subject.key_size) if code == OK else code


cdef int row_retire(Writer* writer, Subject* subject) noexcept nogil:
    """The cleaner takes its bytes, or, when it has pages of its own, we do."""
    cdef uint64_t etag = subject.entry.row_id
    cdef int code = OK
    if subject.cover.kind == ITEM_TOMBSTONE:
        code = set_remove(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), etag)
    if code == OK:
        if subject.cover.flags & COVER_LARGE:
            code = table_delete(&writer.tables.items, etag)
        else:
            code = set_remove(&writer.tables.items, SET_ALL, etag)
    return code if code != OK else collection_count(writer, subject.cover.collection, subject.cover.kind, -1)


cdef int subject_depart(Writer* writer, Subject* subject) noexcept nogil:
    cdef int code = OK
    cdef WriterCollection* slot = collection_slot(writer, subject.cover.collection, &code)
    if slot == NULL:
        return code
    slot.dirty = True
    slot.record.last_etag = subject.etag
    return departure_add(&writer.tables, subject.cover.collection, subject.key, subject.key_size, subject.id,
                         subject.id_size, subject.etag)


# ---- rows of conflicts

cdef int version_append(Writer* writer, Subject* subject, uint32_t collection, int vector_count,
                        IndexEntry* entry) noexcept nogil:
    cdef int code = row_write(writer, subject, ITEM_CONFLICT, collection, vector_count, entry)
    if code == OK:
        code = set_add(&writer.tables.items, tables_set(0, ITEM_CONFLICT), subject.etag)
    writer.state.versions += 1
    return code


cdef int version_retire(Writer* writer, uint64_t etag) noexcept nogil:
    cdef Value row
    cdef int code = tree_get64(&writer.tables.items.rows, etag, &row)
    if code == OK:
        if row.size + 8 > INLINE_SIZE_MAX:
            code = table_delete(&writer.tables.items, etag)
        else:
            code = set_remove(&writer.tables.items, SET_ALL, etag)
    writer.state.versions -= 1
    return code


# ---- results

cdef int result_append(Writer* writer, const Command* command, Subject* subject, uint32_t collection, int vector_count,
                       Output* results) noexcept nogil:
    cdef ResultHeader header
    cdef VectorEntry own
    cdef WriterCollection* slot
    cdef CollectionRecord record
    cdef const uint8_t* name
    cdef size_t name_size
    cdef int code = OK
    slot = collection_slot(writer, collection, &code)
    if slot == NULL:
        return code
    name = slot.name
    name_size = slot.name_size
    if name_size == 0:
        code = collection_read(&writer.tables, collection, &record, &name, &name_size)
        if code != OK:
            return code
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = command.header.kind
    header.deleted = subject.fresh.kind != ITEM_DOCUMENT
    header.id_size = <uint16_t>subject.id_size
    header.collection_size = <uint16_t>name_size
    header.vector_count = <uint16_t>(vector_count if vector_count else 1)
    header.flags = subject.flags
    header.etag = subject.etag
    header.last_modified = subject.last_modified
    header.user_txn = writer.user_txn
    header.size = <uint32_t>(sizeof(ResultHeader) + subject.id_size + name_size
                             + header.vector_count * sizeof(VectorEntry))
    if not output_reserve(results, header.size):
        return results.failure
    output_append(results, &header, sizeof(ResultHeader))
    output_append(results, subject.id, subject.id_size)
    output_append(results, name, name_size)
    if vector_count:
        output_append(results, writer.vector, <size_t>vector_count * sizeof(VectorEntry))
    else:
        own.etag = subject.etag
        own.tag = writer.tables.tag
        memcpy(own.id, writer.tables.database_id, DATABASE_ID_SIZE)
        output_append(results, &own, sizeof(VectorEntry))
    return OK


cdef int result_nothing(const Command* command, Output* results) noexcept nogil:
    cdef ResultHeader header
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = command.header.kind
    header.id_size = command.header.id_size
    header.size = <uint32_t>(sizeof(ResultHeader) + header.id_size)
    output_append(results, &header, sizeof(ResultHeader))
    output_append(results, command.id, header.id_size)
    return results.failure
