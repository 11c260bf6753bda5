"""Put and delete, step by step: id, what is there, refusals, the row, its index entry, sets, counts, the result."""

from libc.stdint cimport uint16_t
from libc.stdlib cimport malloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport likely, unlikely
from pynori_core.btree cimport INLINE_SIZE_MAX, Value, tree_get64
from pynori_core.change_vector cimport (
    DATABASE_ID_SIZE,
    VECTOR_ENTRIES_MAX,
    VECTOR_EQUAL,
    tag_format,
    vector_compare,
    vector_merge,
)
from pynori_core.command cimport (
    COMMAND_CHECK,
    COMMAND_POSITION,
    COMMAND_DELETE,
    COMMAND_PUT,
    COMMAND_PURGE,
    EXPECT_ANY,
    EXPECT_NEVER,
    EXPECT_NONE,
    CommandHeader,
    PurgeOrder,
    ResultHeader,
    command_decode,
)
from pynori_core.errors cimport (
    E_COLLECTION_MISMATCH,
    E_CONCURRENCY,
    E_CORRUPT,
    E_INVALID,
    E_NO_MEMORY,
    E_NOT_FOUND,
    E_TOO_LARGE,
    OK,
    error_set,
)
from pynori_core.identifier cimport ID_NUMBER_DIGITS, identifier_key, identifier_spelling
from pynori_core.output cimport output_append, output_reserve
from pynori_core.table cimport (
    SET_ALL,
    IndexEntry,
    set_add,
    set_next,
    set_remove,
    table_append,
    table_delete,
    table_find,
    table_index_delete,
    table_index_put,
    table_row,
)
from pynori_core.tables cimport (
    COVER_LARGE,
    COVER_SIMPLE_VECTOR,
    COVER_SPELLING,
    INDEX_ID,
    ITEM_DOCUMENT,
    ITEM_TOMBSTONE,
    Cover,
    Item,
    ItemHeader,
    collection_create,
    collection_find,
    collection_read,
    collection_write,
    cover_offset,
    cover_set_offset,
    item_decode,
    item_vector,
    position_write,
    state_read,
    state_write,
    tables_bind,
    tables_set,
)
from pynori_core.timestamp cimport timestamp_now

cdef enum:
    MAKE_ID_TRIES_MAX = 10000          # made ids that somebody took by hand before another number is not looked for

cdef struct Subject:                   # the item a command is about, and what is stored of it
    const uint8_t* id                  # as it will be stored
    size_t id_size
    const uint8_t* key
    size_t key_size
    uint64_t etag                      # that it will get
    bint found                         # there is a row: a document or a tombstone
    bint exists                        # it is a document
    IndexEntry entry                   # of the row that is there
    Cover cover
    Cover fresh                        # of the row that will be


cdef int broken(Writer* writer, const char* what) noexcept nogil:
    error_set(&writer.tables.items.txn.error, E_CORRUPT, b"tables of the database contradict each other: %s", what)
    return E_CORRUPT


cdef inline Txn* writer_txn(Writer* writer) noexcept nogil:
    return writer.tables.items.txn


# ---- the transaction's frame

cdef int writes_begin(Writer* writer, Txn* txn, const DocumentTables* known) noexcept nogil:
    tables_bind(known, txn, &writer.tables)
    writer.now = timestamp_now()
    return writes_reload(writer)


cdef int writes_reload(Writer* writer) noexcept nogil:
    cdef int index
    for index in range(WRITER_COLLECTIONS):
        writer.collections[index].number = 0
        writer.collections[index].dirty = False
        writer.collections[index].key_size = 0
    writer.next_collection = 0
    cdef int code = state_read(&writer.tables, &writer.state)
    return broken(writer, b"no state") if code == E_NOT_FOUND else code


cdef int writes_flush(Writer* writer) noexcept nogil:
    cdef int index
    cdef int code = OK
    for index in range(WRITER_COLLECTIONS):
        if writer.collections[index].dirty and code == OK:
            code = collection_save(writer, &writer.collections[index])
    return state_write(&writer.tables, &writer.state) if code == OK else code


cdef int writes_execute(Writer* writer, const uint8_t* commands, size_t size, Output* results,
                        CommandFailure* failure) noexcept nogil:
    cdef size_t position = 0
    cdef uint32_t index = 0
    cdef Command command
    cdef int code
    while position < size:
        command_decode(commands + position, &command)
        if command.header.kind == COMMAND_PUT:
            code = put(writer, &command, results, failure)
        elif command.header.kind == COMMAND_DELETE:
            code = delete(writer, &command, results, failure)
        elif command.header.kind == COMMAND_CHECK:
            code = check(writer, &command, results, failure)
        elif command.header.kind == COMMAND_POSITION:
            code = note_position(writer, &command, results)
        else:
            code = purge(writer, &command, results)
        if code == OK:
            code = results.failure
        if unlikely(code != OK):
            failure.code = code
            failure.command = index
            if failure.detail.code == OK:
                failure.detail = writer_txn(writer).error
            error_set(&failure.detail, code, b"command %u of the batch failed", index)
            return code
        position += command.header.size
        index += 1
    return OK


# ---- collections

cdef int collection_save(Writer* writer, WriterCollection* slot) noexcept nogil:
    slot.dirty = False
    return collection_write(&writer.tables, slot.number, &slot.record)


cdef WriterCollection* collection_slot(Writer* writer, uint32_t number, int* code) noexcept nogil:
    """The remembered collection of that number, valid until the next call; NULL and code on failure."""
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
    """The number of the collection that a document states; 0 when there is none of that name yet."""
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
    if code == OK:
        memcpy(&subject.cover, subject.entry.cover, sizeof(Cover))
        subject.exists = subject.cover.kind == ITEM_DOCUMENT
    return OK if code == E_NOT_FOUND else code


cdef int subject_row(Writer* writer, Subject* subject, Item* item) noexcept nogil:
    """The row that is there, taken apart; pointers live until the next change."""
    cdef Value row
    cdef int code = table_row(&writer.tables.items, subject.entry.row_id, subject.entry.page,
                              cover_offset(&subject.cover), &row)
    if code == E_NOT_FOUND:
        return broken(writer, b"an index entry leads to no row")
    return code if code != OK else item_decode(writer_txn(writer), subject.entry.row_id, &row, item)


cdef int subject_start(Writer* writer, const Command* command, Subject* subject) noexcept nogil:
    cdef const CommandHeader* header = command.header
    memset(subject, 0, sizeof(Subject))
    subject.etag = writer.state.last_etag + 1
    subject.id = command.id
    subject.id_size = header.id_size
    subject.key = command.key
    subject.key_size = header.key_size
    if header.make_id:
        return subject_make_id(writer, command, subject)
    if header.spelling_known:
        subject.fresh.spelling = header.spelling
        subject.fresh.flags = COVER_SPELLING
    return subject_find(writer, subject)


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
        if not subject.exists:
            if identifier_spelling(subject.id, size, subject.key, subject.key_size, &spelling):
                subject.fresh.spelling = spelling
                subject.fresh.flags = COVER_SPELLING
            return OK
        subject.etag += 1
    return E_INVALID


cdef int subject_keep_spelling(Writer* writer, Subject* subject) noexcept nogil:
    """An update keeps the id as it was spelt first; the old row is read only when the index entry cannot tell."""
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


# ---- refusals

cdef int check_expected(Writer* writer, const Command* command, Subject* subject,
                        CommandFailure* failure) noexcept nogil:
    cdef uint8_t expected = command.header.expected
    cdef VectorEntry current[VECTOR_ENTRIES_MAX]
    cdef Item item
    cdef int count = 0
    cdef int code
    if expected == EXPECT_ANY or (expected == EXPECT_NONE and not subject.exists):
        return OK
    if subject.exists:
        if subject.cover.flags & COVER_SIMPLE_VECTOR and command.header.expected_count == 1 and (
                command.expected.etag == subject.entry.row_id and command.expected.tag == writer.tables.tag
                and not memcmp(command.expected.id, writer.tables.database_id, DATABASE_ID_SIZE)):
            return OK
        code = subject_row(writer, subject, &item)
        if code != OK:
            return code
        count = item_vector(&writer.tables, &item, current)
        if expected != EXPECT_NONE and expected != EXPECT_NEVER and vector_compare(
                current, count, command.expected, command.header.expected_count) == VECTOR_EQUAL:
            return OK
    if count:
        failure.actual = <VectorEntry*>malloc(<size_t>count * sizeof(VectorEntry))
        if failure.actual == NULL:
            return E_NO_MEMORY
        memcpy(failure.actual, current, <size_t>count * sizeof(VectorEntry))
    failure.actual_count = <uint32_t>count
    error_set(&failure.detail, E_CONCURRENCY, b"the expected change vector is not the current one")
    return E_CONCURRENCY


cdef int check_collection(Writer* writer, const Command* command, Subject* subject, uint32_t collection,
                          CommandFailure* failure) noexcept nogil:
    cdef int code = OK
    cdef WriterCollection* slot
    if not subject.exists or subject.cover.collection == collection:
        return OK
    slot = collection_slot(writer, subject.cover.collection, &code)
    if slot == NULL:
        return code
    error_set(&failure.detail, E_COLLECTION_MISMATCH,
              b"Changing '%.*s' from '%.*s' collection to '%.*s' via update is not supported. "
              b"Delete it and recreate the document.",
              <int>(subject.id_size if subject.id_size < 60 else 60), subject.id, <int>slot.name_size, slot.name,
              <int>(command.header.collection_size if command.header.collection_size < 60 else 60), command.collection)
    return E_COLLECTION_MISMATCH


# ---- the row

cdef int vector_next(Writer* writer, const Command* command, Subject* subject) noexcept nogil:
    """Fill writer.vector with what the new row will have seen. Entries, 0: its own alone; negative: an ErrorCode."""
    cdef VectorEntry own
    cdef Item item
    cdef int count = 0
    cdef int code
    if unlikely(command.header.exact):
        memcpy(writer.vector, command.source, <size_t>command.header.source_count * sizeof(VectorEntry))
        return <int>command.header.source_count if command.header.source_count < VECTOR_ENTRIES_MAX else -E_TOO_LARGE
    if likely(command.header.source_count == 0 and (not subject.found or subject.cover.flags & COVER_SIMPLE_VECTOR)):
        return 0
    if subject.found and not subject.cover.flags & COVER_SIMPLE_VECTOR:
        code = subject_row(writer, subject, &item)
        if code != OK:
            return -code
        count = item_vector(&writer.tables, &item, writer.vector)
    own.etag = subject.etag
    own.tag = writer.tables.tag
    memcpy(own.id, writer.tables.database_id, DATABASE_ID_SIZE)
    # A row has room for one entry less than a vector, so that a merge that is refused is refused here.
    count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, command.source, command.header.source_count)
    if count >= 0:
        count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, &own, 1)
    if count < 0:
        return -E_TOO_LARGE
    return 0 if count == 1 and writer.vector[0].etag == subject.etag else count


cdef int row_append(Writer* writer, const Command* command, Subject* subject, uint8_t kind, uint32_t collection,
                    int vector_count) noexcept nogil:
    """Append the row, lead the index to it, take the old one's place in the sets and counts."""
    cdef uint64_t size = sizeof(ItemHeader) + <uint64_t>vector_count * sizeof(VectorEntry) + subject.id_size
    cdef size_t body_size = command.header.body_size if kind == ITEM_DOCUMENT else 0
    cdef IndexEntry entry
    cdef uint64_t page
    cdef uint32_t offset
    cdef ItemHeader* header
    cdef uint8_t* row
    cdef int code
    row = table_append(&writer.tables.items, subject.etag, size + body_size, &page, &offset)
    if unlikely(row == NULL):
        code = writer_txn(writer).error.code
        return code if code != OK else broken(writer, b"the last etag is behind the rows")
    header = <ItemHeader*>row
    memset(header, 0, sizeof(ItemHeader))
    header.kind = kind
    header.id_size = <uint16_t>subject.id_size
    header.collection = collection
    header.body_size = <uint32_t>body_size
    header.last_modified = writer.now
    header.user_txn = writer.user_txn
    header.tag = writer.tables.tag
    header.vector_count = <uint16_t>vector_count
    memcpy(row + sizeof(ItemHeader), writer.vector, <size_t>vector_count * sizeof(VectorEntry))
    memcpy(row + size - subject.id_size, subject.id, subject.id_size)
    if body_size:
        memcpy(row + size, command.body, body_size)
    writer.state.last_etag = subject.etag
    subject.fresh.kind = kind
    subject.fresh.collection = collection
    cover_set_offset(&subject.fresh, offset)
    if vector_count == 0:
        subject.fresh.flags |= COVER_SIMPLE_VECTOR
    if size + body_size + 8 > INLINE_SIZE_MAX:
        subject.fresh.flags |= COVER_LARGE
    entry.row_id = subject.etag
    entry.page = page
    memcpy(entry.cover, &subject.fresh, sizeof(Cover))
    code = table_index_put(&writer.tables.items, INDEX_ID, subject.key, subject.key_size, &entry)
    if code == OK and subject.found:
        code = row_retire(writer, subject)
    if code == OK:
        code = set_add(&writer.tables.items, tables_set(collection, kind), subject.etag)
    if code == OK and kind == ITEM_TOMBSTONE:
        code = set_add(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), subject.etag)
    if code == OK:
        code = collection_count(writer, collection, kind, 1)
    # What a table answers to its caller is a contradiction here.
    return broken(writer, b"sets and index") if code == E_NOT_FOUND or code == E_INVALID else code


cdef int row_retire(Writer* writer, Subject* subject) noexcept nogil:
    """The row that was there leaves its sets; the cleaner takes its bytes, or, when it has pages of its own, we do."""
    cdef uint64_t etag = subject.entry.row_id
    cdef int code = set_remove(&writer.tables.items, tables_set(subject.cover.collection, subject.cover.kind), etag)
    if code == OK and subject.cover.kind == ITEM_TOMBSTONE:
        code = set_remove(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), etag)
    if code == OK:
        if subject.cover.flags & COVER_LARGE:
            code = table_delete(&writer.tables.items, etag)
        else:
            code = set_remove(&writer.tables.items, SET_ALL, etag)
    return code if code != OK else collection_count(writer, subject.cover.collection, subject.cover.kind, -1)


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
    header.deleted = command.header.kind != COMMAND_PUT
    header.id_size = <uint16_t>subject.id_size
    header.collection_size = <uint16_t>name_size
    header.vector_count = <uint16_t>(vector_count if vector_count else 1)
    header.etag = subject.etag
    header.last_modified = writer.now
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


# ---- the commands

cdef int put(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil:
    cdef Subject subject
    cdef uint32_t collection
    cdef int vector_count
    cdef int code = subject_start(writer, command, &subject)
    if code == OK:
        code = check_expected(writer, command, &subject, failure)
    if code == OK:
        code = collection_resolve(writer, command, &collection)
    if code == OK:
        code = check_collection(writer, command, &subject, collection, failure)
    if code == OK and subject.exists:
        code = subject_keep_spelling(writer, &subject)
    if unlikely(code != OK):
        return code
    vector_count = vector_next(writer, command, &subject)
    if unlikely(vector_count < 0):
        error_set(&failure.detail, -vector_count, b"a change vector has at most 255 entries (VECTOR_ENTRIES_MAX)")
        return -vector_count
    # Nothing was changed so far, and nothing is refused from here on.
    if unlikely(collection == 0):
        code = collection_add(writer, command, &collection)
    if code == OK:
        code = row_append(writer, command, &subject, ITEM_DOCUMENT, collection, vector_count)
    if code == OK:
        code = result_append(writer, command, &subject, collection, vector_count, results)
    return code


cdef int delete(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil:
    cdef Subject subject
    cdef int vector_count
    cdef int code = subject_start(writer, command, &subject)
    if code == OK:
        code = check_expected(writer, command, &subject, failure)
    if code == OK and not subject.exists:
        return result_nothing(command, results)
    if code == OK:
        code = subject_keep_spelling(writer, &subject)
    if unlikely(code != OK):
        return code
    vector_count = vector_next(writer, command, &subject)
    if unlikely(vector_count < 0):
        error_set(&failure.detail, -vector_count, b"a change vector has at most 255 entries (VECTOR_ENTRIES_MAX)")
        return -vector_count
    code = row_append(writer, command, &subject, ITEM_TOMBSTONE, subject.cover.collection, vector_count)
    if code == OK:
        code = result_append(writer, command, &subject, subject.cover.collection, vector_count, results)
    return code


cdef int check(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil:
    """Whoever made the other commands of the batch has read this document."""
    cdef Subject subject
    cdef int code = subject_start(writer, command, &subject)
    if code == OK:
        code = check_expected(writer, command, &subject, failure)
    return result_nothing(command, results) if code == OK else code


cdef int note_position(Writer* writer, const Command* command, Output* results) noexcept nogil:
    cdef int code = position_write(&writer.tables, command.key, command.header.key_size, command.body)
    return code if code != OK else result_nothing(command, results)


cdef int result_nothing(const Command* command, Output* results) noexcept nogil:
    """There was nothing to delete, or nothing is changed."""
    cdef ResultHeader header
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = command.header.kind
    header.id_size = command.header.id_size
    header.size = <uint32_t>(sizeof(ResultHeader) + header.id_size)
    output_append(results, &header, sizeof(ResultHeader))
    output_append(results, command.id, header.id_size)
    return results.failure


cdef int purge(Writer* writer, const Command* command, Output* results) noexcept nogil:
    """Drop the oldest tombstones. What has the last etag stays, so that who counts on it finds it there."""
    cdef PurgeOrder order
    cdef ResultHeader header
    cdef uint64_t etag = 0
    cdef int code = OK
    memcpy(&order, command.body, sizeof(PurgeOrder))
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = COMMAND_PURGE
    header.size = sizeof(ResultHeader)
    header.user_txn = writer.user_txn
    while code == OK and header.flags < order.count_max:
        code = set_next(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), etag + 1, &etag)
        if code == E_NOT_FOUND or (code == OK and (etag > order.etag_max or etag >= writer.state.last_etag)):
            code = OK
            break
        if code == OK:
            code = purge_one(writer, etag)
            header.flags += 1
    if code == OK:
        output_append(results, &header, sizeof(ResultHeader))
        code = results.failure
    return broken(writer, b"tombstones, sets and index") if code == E_NOT_FOUND or code == E_INVALID else code


cdef int purge_one(Writer* writer, uint64_t etag) noexcept nogil:
    cdef Subject subject
    cdef Value row
    cdef Item item
    cdef int code = tree_get64(&writer.tables.items.rows, etag, &row)
    if code == OK:
        code = item_decode(writer_txn(writer), etag, &row, &item)
    if code != OK:
        return code
    subject.key = writer.key
    subject.key_size = identifier_key(item.id, item.header.id_size, writer.key)
    code = subject_find(writer, &subject)
    if code == OK and (not subject.found or subject.exists or subject.entry.row_id != etag):
        return E_NOT_FOUND
    if code == OK:
        code = row_retire(writer, &subject)
    if code == OK:
        code = table_index_delete(&writer.tables.items, INDEX_ID, subject.key, subject.key_size)
    return code
