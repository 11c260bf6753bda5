"""Put, delete, check, purge: what each command refuses, and what it writes."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport likely, unlikely
from pynori_core.btree cimport Value, tree_get64
from pynori_core.change_vector cimport (
    DATABASE_ID_SIZE,
    ETAG_MAX,
    VECTOR_ENTRIES_MAX,
    VECTOR_EQUAL,
    VectorEntry,
    vector_compare,
    vector_etag,
    vector_merge,
)
from pynori_core.command cimport (
    COMMAND_CHECK,
    COMMAND_DELETE,
    COMMAND_KNOWN,
    COMMAND_POSITION,
    COMMAND_PURGE,
    COMMAND_PUT,
    COMMAND_RESOLVE,
    COMMAND_VERSION,
    EXPECT_ANY,
    EXPECT_NEVER,
    EXPECT_NONE,
    Command,
    PurgeOrder,
    ResultHeader,
    command_decode,
)
from pynori_core.departures cimport departures_purge
from pynori_core.errors cimport (
    E_COLLECTION_MISMATCH,
    E_CONCURRENCY,
    E_CONFLICT,
    E_INVALID,
    E_NO_MEMORY,
    E_NOT_FOUND,
    E_TOO_LARGE,
    OK,
    error_set,
)
from pynori_core.identifier cimport identifier_key
from pynori_core.output cimport output_append
from pynori_core.row_writes cimport (
    Subject,
    WriterCollection,
    broken,
    collection_add,
    collection_resolve,
    collection_slot,
    result_append,
    result_nothing,
    row_append,
    row_retire,
    subject_find,
    subject_keep_spelling,
    subject_row,
    subject_start,
    subject_vector,
    writer_txn,
)
from pynori_core.table cimport set_next, table_index_delete
from pynori_core.tables cimport (
    COVER_SIMPLE_VECTOR,
    INDEX_ID,
    ITEM_DOCUMENT,
    ITEM_TOMBSTONE,
    Item,
    item_decode,
    item_vector,
    position_write,
    tables_set,
)
from pynori_core.versions cimport known_merge, subject_has_seen, version_apply, version_resolve


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
        elif command.header.kind == COMMAND_VERSION:
            code = version_apply(writer, &command, results, failure)
        elif command.header.kind == COMMAND_KNOWN:
            code = known_merge(writer, &command, results, failure)
        elif command.header.kind == COMMAND_RESOLVE:
            code = version_resolve(writer, &command, results, failure)
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


# ---- refusals

cdef int check_expected(Writer* writer, const Command* command, Subject* subject,
                        CommandFailure* failure) noexcept nogil:
    cdef uint8_t expected = command.header.expected
    cdef VectorEntry current[VECTOR_ENTRIES_MAX]
    cdef Item item
    cdef int count = 0
    cdef int code
    if expected == EXPECT_ANY:
        return OK
    if unlikely(subject.conflicted):
        return refuse_conflict(writer, subject, failure)
    if expected == EXPECT_NONE and not subject.exists:
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
    error_set(&failure.detail, E_CONCURRENCY, b"the expected change vector is not the current one")
    return failure_vector(failure, current, count)


cdef int failure_vector(CommandFailure* failure, const VectorEntry* current, int count) noexcept nogil:
    """The refusal tells what is there; its code."""
    if count:
        failure.actual = <VectorEntry*>malloc(<size_t>count * sizeof(VectorEntry))
        if failure.actual == NULL:
            return E_NO_MEMORY
        memcpy(failure.actual, current, <size_t>count * sizeof(VectorEntry))
    failure.actual_count = <uint32_t>count
    return failure.detail.code


cdef int refuse_conflict(Writer* writer, Subject* subject, CommandFailure* failure) noexcept nogil:
    """Whoever expects one version of a document with several has not seen the others."""
    cdef VectorEntry current[VECTOR_ENTRIES_MAX]
    cdef int count = subject_vector(writer, subject, current, 0)
    if count < 0:
        return -count
    error_set(&failure.detail, E_CONFLICT, b"the document is in conflict")
    failure.detail.offset = subject.entry.row_id
    return failure_vector(failure, current, count)


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


# ---- the commands

cdef int vector_next(Writer* writer, const Command* command, Subject* subject) noexcept nogil:
    """Fill writer.vector with what the new row will have seen. Entries, 0: its own alone; negative: an ErrorCode."""
    cdef VectorEntry own
    cdef int count = 0
    if unlikely(command.header.exact):
        if command.header.source_count >= VECTOR_ENTRIES_MAX:
            return -E_TOO_LARGE
        memcpy(writer.vector, command.source, <size_t>command.header.source_count * sizeof(VectorEntry))
        # It takes the place of what is here, so it has seen that; else this would be in conflict with it elsewhere.
        return subject_vector(writer, subject, writer.vector, command.header.source_count) if subject.found \
            else command.header.source_count
    if likely(command.header.source_count == 0 and writer.known_count == 0
              and (not subject.found or subject.cover.flags & COVER_SIMPLE_VECTOR)):
        return 0
    if subject.found and not subject.cover.flags & COVER_SIMPLE_VECTOR:
        count = subject_vector(writer, subject, writer.vector, 0)
        if count < 0:
            return count
    # A row has room for one entry less than a vector, so that a merge that is refused is refused here.
    count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, writer.known, writer.known_count)
    if count >= 0:
        count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, command.source, command.header.source_count)
    if count < 0:
        return -E_TOO_LARGE
    # Etags that were given by these files before they were restored from an old copy are not given again.
    own.etag = vector_etag(writer.vector, count, writer.tables.database_id)
    if own.etag < subject.etag:
        own.etag = subject.etag
    elif own.etag < ETAG_MAX:
        own.etag += 1
    else:
        return -E_TOO_LARGE
    own.tag = writer.tables.tag
    memcpy(own.id, writer.tables.database_id, DATABASE_ID_SIZE)
    count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, &own, 1)
    if count < 0:
        return -E_TOO_LARGE
    subject.etag = own.etag
    return 0 if count == 1 and writer.vector[0].etag == subject.etag else count


cdef int put(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil:
    cdef Subject subject
    cdef uint32_t collection
    cdef int vector_count
    cdef int code = subject_start(writer, command, &subject)
    if code == OK:
        code = check_expected(writer, command, &subject, failure)
    if code == OK:
        code = collection_resolve(writer, command, &collection)
    if code == OK and unlikely(command.header.exact) and subject.found:
        code = overtaken(writer, command, &subject, results)
        if code != E_NOT_FOUND:
            return code
        code = OK
    if code == OK and likely(not command.header.exact):
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
        code = row_append(writer, &subject, ITEM_DOCUMENT, collection, vector_count)
    if code == OK:
        code = result_append(writer, command, &subject, collection, vector_count, results)
    return code


cdef int delete(Writer* writer, const Command* command, Output* results, CommandFailure* failure) noexcept nogil:
    cdef Subject subject
    cdef int vector_count
    cdef int code = subject_start(writer, command, &subject)
    if code == OK:
        code = check_expected(writer, command, &subject, failure)
    if code == OK and not subject.exists and not subject.conflicted:
        return result_nothing(command, results)
    if code == OK and unlikely(command.header.exact):
        code = overtaken(writer, command, &subject, results)
        if code != E_NOT_FOUND:
            return code
        code = OK
    if code == OK:
        code = subject_keep_spelling(writer, &subject)
    if unlikely(code != OK):
        return code
    vector_count = vector_next(writer, command, &subject)
    if unlikely(vector_count < 0):
        error_set(&failure.detail, -vector_count, b"a change vector has at most 255 entries (VECTOR_ENTRIES_MAX)")
        return -vector_count
    code = row_append(writer, &subject, ITEM_TOMBSTONE, subject.cover.collection, vector_count)
    if code == OK:
        code = result_append(writer, command, &subject, subject.cover.collection, vector_count, results)
    return code


cdef int overtaken(Writer* writer, const Command* command, Subject* subject, Output* results) noexcept nogil:
    """What another instance made of this very command may have come before it: then it stays. E_NOT_FOUND: no."""
    cdef int count = <int>command.header.source_count
    cdef int code = subject_has_seen(writer, subject, command.source, count)
    if code != OK:
        return code
    memcpy(writer.vector, command.source, <size_t>count * sizeof(VectorEntry))
    subject.etag = subject.entry.row_id
    subject.fresh.kind = ITEM_DOCUMENT if command.header.kind == COMMAND_PUT else ITEM_TOMBSTONE
    return result_append(writer, command, subject, subject.cover.collection, count, results)


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


cdef int purge(Writer* writer, const Command* command, Output* results) noexcept nogil:
    """Drop departures, then the oldest tombstones. What has the last etag stays: who counts on it finds it there."""
    cdef PurgeOrder order
    cdef ResultHeader header
    cdef uint64_t etag = 0
    cdef uint32_t departures = 0
    cdef int code
    memcpy(&order, command.body, sizeof(PurgeOrder))
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = COMMAND_PURGE
    header.size = sizeof(ResultHeader)
    header.user_txn = writer.user_txn
    code = departures_purge(&writer.tables, order.etag_max, order.count_max, &departures)
    header.flags = departures
    while code == OK and header.flags < order.count_max:
        code = set_next(&writer.tables.items, tables_set(0, ITEM_TOMBSTONE), etag + 1, &etag)
        if code == E_NOT_FOUND or (code == OK and (etag > order.etag_max or etag >= writer.state.last_etag)):
            code = OK
            break
        if code == OK:
            code = purge_one(writer, etag)
            header.flags += 1
            writer.state.purged_etag = etag
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
