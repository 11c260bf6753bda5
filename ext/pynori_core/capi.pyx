"""The functions behind pynori.h, and the capsule that hands them out. Nothing here but the capsule touches Python.

A handle is a plain struct over the environment and its merger. `users` counts what stands on a database: calls under
way, batches, snapshots; closing is refused while there are any.
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset, strcmp, strlen

from pynori_core.bits cimport atomic_add64, atomic_load32, atomic_load64, atomic_store32, compare_swap32
from pynori_core.builder cimport Builder
from pynori_core.change_vector cimport VECTOR_TEXT_MAX, VectorEntry, tag_parse, vector_format
from pynori_core.command cimport (
    COMMAND_DELETE, COMMAND_PUT, EXPECT_NONE, Command, CommandFailure, CommandParts, ResultHeader, batch_room,
    builder_borrow, builder_return, command_blamed, command_collection, command_make,
)
from pynori_core.document_snapshot cimport snapshot_view
from pynori_core.env cimport (
    Env, EnvOptions, EnvStatistics, env_begin_read, env_checkpoint, env_close, env_create, env_end_read, env_open,
    env_statistics,
)
from pynori_core.errors cimport (
    E_ASSERTION, E_BUSY, E_CLOSED, E_COLLECTION_MISMATCH, E_CONCURRENCY, E_CONFLICT, E_CORRUPT, E_DISK_FULL, E_INVALID,
    E_IO, E_JSON, E_NO_MEMORY, E_NOT_FOUND, E_POISONED, E_TOO_LARGE, E_UNKNOWN_OUTCOME, E_UNSAFE_FILESYSTEM, E_VERSION,
    OK, ErrorDetail, error_clear, error_set,
)
from pynori_core.forks cimport ForkMark, fork_forget, fork_watch
from pynori_core.format cimport PAGE_SIZE
from pynori_core.hints cimport Hints, hints_init, hints_release
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key, identifier_random
from pynori_core.items cimport (
    FORM_FULL, FORM_NONE, STORE_CLOSING, STORE_FORKED, Snapshot, item_write, snapshot_find, store_make_tables,
    store_read_tables,
)
from pynori_core.json cimport JSON_DOCUMENT, json_parse
from pynori_core.listing cimport Walk, walk_collection, walk_items, walk_next, walk_prefix, walk_recent
from pynori_core.merger cimport (
    Merger, MergerCounters, UserTxn, merger_close, merger_counters, merger_create, merger_destroy, merger_execute,
    user_create, user_destroy,
)
from pynori_core.output cimport Output, output_append, output_byte, output_init, output_release
from pynori_core.tables cimport ITEM_DOCUMENT, DatabaseState, DocumentTables, Item, state_read, tables_bind

cdef extern from "<unistd.h>" nogil:
    int access(const char* path, int mode) noexcept
    enum:
        F_OK

cdef extern from "pynori_scan.h" nogil:
    size_t utf8_valid "pyn_utf8_valid"(const uint8_t* text, size_t size) noexcept

cdef enum:
    PATH_BYTES_MAX = 4096
    SHOWN_BYTES_MAX = 256              # of each text in the message of a conflict

cdef struct Database:
    Env* env
    DocumentTables tables              # a pattern for tables_bind
    Merger* merger
    uint64_t users                     # atomic
    uint32_t closing                   # StoreClosing, atomic
    Hints hints
    ForkMark fork_mark

cdef struct Batch:
    Database* database
    Output records                     # until the commit
    size_t count
    size_t body_bytes
    UserTxn* user                      # after it
    bint committed

cdef struct OpenSnapshot:
    Database* database
    Snapshot snapshot
    uint64_t scans                     # atomic

cdef struct OpenScan:
    OpenSnapshot* owner
    Snapshot view
    Walk walk


# ---- errors

cdef int fail(pynori_error* error, const ErrorDetail* detail) noexcept nogil:
    if error != NULL:
        memset(error, 0, sizeof(pynori_error))
        error.code = detail.code
        error.system_error = detail.errno_
        error.offset = detail.offset
        if detail.text[0]:
            snprintf(error.message, sizeof(error.message), b"%s", detail.text)
        else:
            snprintf(error.message, sizeof(error.message), b"%s", code_name(detail.code))
    return detail.code


cdef int fail_with(pynori_error* error, int code, const char* text) noexcept nogil:
    cdef ErrorDetail detail
    error_clear(&detail)
    error_set(&detail, code, b"%s", text)
    return fail(error, &detail)


cdef int fail_read(pynori_error* error, const Snapshot* snapshot, int code) noexcept nogil:
    """What a read transaction keeps, or a plain code."""
    if snapshot.txn.error.code != OK:
        return fail(error, &snapshot.txn.error)
    return fail_with(error, code, code_name(code))


cdef int shown(size_t size) noexcept nogil:
    return <int>(size if size < SHOWN_BYTES_MAX else SHOWN_BYTES_MAX)


cdef int fail_command(pynori_error* error, const CommandFailure* failure, const uint8_t* commands) noexcept nogil:
    """The failure of a batch; a conflict with both change vectors."""
    cdef char actual[VECTOR_TEXT_MAX]
    cdef Command command
    cdef size_t size
    fail(error, &failure.detail)
    if error == NULL:
        return failure.code
    error.code = failure.code
    error.command = failure.command
    if failure.code == E_CONCURRENCY:
        command_blamed(failure, commands, &command)
        size = vector_format(failure.actual, <int>failure.actual_count, actual)
        snprintf(error.message, sizeof(error.message), b"Document %.*s %s%.*s, but %s was called %s%.*s",
                 <int>command.header.id_size, <const char*>command.id,
                 b"has change vector " if failure.actual_count else b"does not exist", shown(size), actual,
                 b"put" if command.header.kind == COMMAND_PUT else b"delete",
                 b"expecting none" if command.header.expected == EXPECT_NONE else b"with change vector ",
                 shown(command.header.expected_text_size), <const char*>command.expected_text)
    return failure.code


cdef const char* code_name(int code) noexcept nogil:
    if code == OK:
        return b"ok"
    if code == E_NOT_FOUND:
        return b"not found"
    if code == E_CONCURRENCY:
        return b"concurrency conflict"
    if code == E_COLLECTION_MISMATCH:
        return b"collection mismatch"
    if code == E_CONFLICT:
        return b"document conflict"
    if code == E_INVALID:
        return b"invalid argument"
    if code == E_JSON:
        return b"invalid JSON"
    if code == E_TOO_LARGE:
        return b"too large"
    if code == E_BUSY:
        return b"busy"
    if code == E_CLOSED:
        return b"closed"
    return code_name_of_failure(code)


cdef const char* code_name_of_failure(int code) noexcept nogil:
    if code == E_IO:
        return b"disk error"
    if code == E_DISK_FULL:
        return b"disk full"
    if code == E_NO_MEMORY:
        return b"out of memory"
    if code == E_CORRUPT:
        return b"corrupt"
    if code == E_UNKNOWN_OUTCOME:
        return b"unknown outcome"
    if code == E_POISONED:
        return b"poisoned"
    if code == E_VERSION:
        return b"unknown version"
    if code == E_UNSAFE_FILESYSTEM:
        return b"unsafe file system"
    if code == E_ASSERTION:
        return b"internal error"
    return b"unknown code"


cdef int check_text(pynori_error* error, const char* text, size_t size) noexcept nogil:
    if text == NULL and size:
        return fail_with(error, E_INVALID, b"a text of more than 0 bytes is NULL")
    if utf8_valid(<const uint8_t*>text, size) != size:
        return fail_with(error, E_INVALID, b"an id, a name or a change vector is not valid UTF-8")
    return OK


# ---- databases

cdef int enter(Database* database, pynori_error* error) noexcept nogil:
    """Count the caller; `leave` follows, unless this refuses."""
    cdef uint32_t closing
    if database == NULL:
        return fail_with(error, E_INVALID, b"the handle is NULL")
    atomic_add64(&database.users, 1)
    closing = atomic_load32(&database.closing)
    if closing == OK:
        return OK
    leave(database)
    return fail_with(error, E_CLOSED, b"the database was opened before a fork, by the parent of this process"
                     if closing == STORE_FORKED else b"the database is closed")


cdef inline void leave(Database* database) noexcept nogil:
    atomic_add64(&database.users, <uint64_t>-1)


cdef void refuse_in_child(void* argument) noexcept nogil:
    atomic_store32(&(<Database*>argument).closing, STORE_FORKED)


cdef int open_env(const char* path, const pynori_options* given, uint32_t tag, Database* database,
                  ErrorDetail* error) noexcept nogil:
    """Open the environment that is there, or make one, and its tables."""
    cdef EnvOptions options
    cdef uint8_t database_id[16]
    cdef char data_file[PATH_BYTES_MAX]
    cdef int code
    memset(&options, 0, sizeof(EnvOptions))
    options.in_memory = strcmp(path, b"mem://") == 0
    options.allow_filesystem = given.allow_filesystem
    options.scratch_bytes_max = given.memory_bytes_max
    options.checkpoint_bytes = given.checkpoint_bytes
    if strlen(path) + 16 > PATH_BYTES_MAX:
        error_set(error, E_INVALID, b"a path has at most %d bytes", PATH_BYTES_MAX - 16)
        return E_INVALID
    snprintf(data_file, sizeof(data_file), b"%s/data.pynori", path)
    if not options.in_memory and (given.flags & PYNORI_MUST_EXIST or access(data_file, F_OK) == 0):
        code = env_open(path, &options, &database.env, error)
        return code if code != OK else store_read_tables(database.env, tag, &database.tables, error)
    code = env_create(path, &options, &database.env, error)
    if code == OK and not identifier_random(database_id):
        error_set(error, E_IO, b"the system gives no randomness")
        return E_IO
    return code if code != OK else store_make_tables(database.env, database_id, tag, &database.tables, error)


cdef int database_open(const char* path, const pynori_options* given, pynori_database** opened,
                       pynori_error* error) noexcept nogil:
    cdef Database* database
    cdef pynori_options options
    cdef ErrorDetail detail
    cdef ErrorDetail ignored
    cdef uint32_t tag = 0
    cdef int code
    if opened == NULL or path == NULL:
        return fail_with(error, E_INVALID, b"the path, or where the handle goes, is NULL")
    opened[0] = NULL
    memset(&options, 0, sizeof(options))
    if given != NULL:
        memcpy(&options, given, given.size if given.size < sizeof(options) else sizeof(options))
    if options.node_tag == NULL:
        options.node_tag = b"A"
    tag = tag_parse(options.node_tag, strlen(options.node_tag))
    if tag == 0:
        return fail_with(error, E_INVALID, b"a node tag has 1 to 4 letters or digits")
    database = <Database*>calloc(1, sizeof(Database))
    if database == NULL:
        return fail_with(error, E_NO_MEMORY, b"no memory for a database")
    hints_init(&database.hints)
    error_clear(&detail)
    code = open_env(path, &options, tag, database, &detail)
    if code == OK:
        database.merger = merger_create(database.env, &database.tables)
        if database.merger == NULL:
            code = E_NO_MEMORY
    if code != OK:
        if database.env != NULL:
            error_clear(&ignored)
            env_close(database.env, &ignored)
        hints_release(&database.hints)
        free(database)
        error_set(&detail, code, b"%s", code_name(code))
        return fail(error, &detail)
    fork_watch(&database.fork_mark, refuse_in_child, database)
    opened[0] = <pynori_database*>database
    return OK


cdef int database_close(pynori_database* handle, pynori_error* error) noexcept nogil:
    cdef Database* database = <Database*>handle
    cdef ErrorDetail detail
    cdef int code = enter(database, error)
    if code != OK:
        return code
    leave(database)
    if not compare_swap32(&database.closing, OK, STORE_CLOSING):
        return fail_with(error, E_CLOSED, b"the database is being closed")
    if atomic_load64(&database.users):
        atomic_store32(&database.closing, OK)
        return fail_with(error, E_BUSY, b"batches, snapshots or calls of this database have not ended")
    fork_forget(&database.fork_mark)
    merger_close(database.merger)
    merger_destroy(database.merger)
    error_clear(&detail)
    code = env_close(database.env, &detail)
    hints_release(&database.hints)
    free(database)
    if code != OK:
        error_set(&detail, code, b"the environment does not close")
        return fail(error, &detail)
    return OK


cdef int database_checkpoint(pynori_database* handle, pynori_error* error) noexcept nogil:
    cdef Database* database = <Database*>handle
    cdef ErrorDetail detail
    cdef int code = enter(database, error)
    if code != OK:
        return code
    error_clear(&detail)
    code = env_checkpoint(database.env, &detail)
    leave(database)
    if code != OK:
        error_set(&detail, code, b"the checkpoint failed")
        fail(error, &detail)
    return code


cdef int view_begin(Database* database, Snapshot* snapshot, pynori_error* error) noexcept nogil:
    cdef int code = env_begin_read(database.env, &snapshot.txn)
    if code != OK:
        return fail(error, &snapshot.txn.error)
    tables_bind(&database.tables, &snapshot.txn, &snapshot.tables)
    snapshot.hints = &database.hints
    return OK


cdef int database_counters(pynori_database* handle, pynori_counters* counters, pynori_error* error) noexcept nogil:
    cdef Database* database = <Database*>handle
    cdef pynori_counters found
    cdef EnvStatistics statistics
    cdef MergerCounters merger
    cdef DatabaseState state
    cdef Snapshot snapshot
    cdef int code
    if counters == NULL or counters.size < sizeof(size_t):
        return fail_with(error, E_INVALID, b"counters is NULL, or does not state its size")
    code = enter(database, error)
    if code != OK:
        return code
    code = view_begin(database, &snapshot, error)
    if code == OK:
        code = state_read(&snapshot.tables, &state)
        if code != OK:
            fail_read(error, &snapshot, code)
        env_end_read(&snapshot.txn)
    if code == OK:
        env_statistics(database.env, &statistics)
        memset(&merger, 0, sizeof(merger))
        merger_counters(database.merger, &merger)
        found.size = counters.size if counters.size < sizeof(found) else sizeof(found)
        found.documents = state.documents
        found.tombstones = state.tombstones
        found.last_etag = state.last_etag
        found.transactions = merger.transactions
        found.commits = merger.commits
        found.syncs = statistics.syncs
        found.file_bytes = statistics.file_pages * PAGE_SIZE
        found.memory_bytes = statistics.scratch_bytes
        found.readers = statistics.readers
        memcpy(counters, &found, found.size)
    leave(database)
    return code


# ---- documents

cdef void document_begin(pynori_document* document, Output* output) noexcept nogil:
    """The document's memory as a buffer to write to. Until document_finish the document is empty."""
    document.json = NULL
    document.json_size = 0
    document.id = NULL
    document.id_size = 0
    document.change_vector = NULL
    document.change_vector_size = 0
    output_init(output, 0)
    output.data = <uint8_t*>document.memory
    output.capacity = document.memory_size


cdef int document_finish(pynori_document* document, Output* output, size_t json_size, const uint8_t* id,
                         size_t id_size, const char* vector, size_t vector_size) noexcept nogil:
    """Behind the JSON put the other texts, each with a zero; set the pointers."""
    output_byte(output, 0)
    output_append(output, id, id_size)
    output_byte(output, 0)
    output_append(output, vector, vector_size)
    output_byte(output, 0)
    document.memory = output.data
    document.memory_size = output.capacity
    if output.failure != OK:
        return output.failure
    document.json = <const char*>output.data
    document.json_size = json_size
    document.id = document.json + json_size + 1
    document.id_size = id_size
    document.change_vector = document.id + id_size + 1
    document.change_vector_size = vector_size
    return OK


cdef int document_fill(pynori_document* document, Snapshot* snapshot, const Item* item,
                       pynori_error* error) noexcept nogil:
    cdef char vector[VECTOR_TEXT_MAX]
    cdef size_t vector_size = 0
    cdef Output output
    cdef bint is_document = item.header.kind == ITEM_DOCUMENT
    cdef int code
    document_begin(document, &output)
    code = item_write(&snapshot.tables, item, FORM_FULL if is_document else FORM_NONE, &output, vector, &vector_size)
    if code == OK:
        code = output.failure
    document.etag = item.etag
    document.deleted = not is_document
    if code == OK:
        code = document_finish(document, &output, output.size, item.id, item.header.id_size, vector, vector_size)
    document.memory = output.data
    document.memory_size = output.capacity
    return OK if code == OK else fail_read(error, snapshot, code)


cdef int find(Snapshot* snapshot, const char* id, size_t id_size, pynori_document* document,
              pynori_error* error) noexcept nogil:
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef Item item
    cdef int code = E_NOT_FOUND
    if 0 < id_size <= ID_SIZE_MAX:
        code = snapshot_find(snapshot, key, identifier_key(<const uint8_t*>id, id_size, key), &item)
    if code == E_NOT_FOUND:
        return fail_with(error, code, b"there is no document of this id")
    if code != OK:
        return fail_read(error, snapshot, code)
    return document_fill(document, snapshot, &item, error)


cdef int database_get(pynori_database* handle, const char* id, size_t id_size, pynori_document* document,
                      pynori_error* error) noexcept nogil:
    cdef Database* database = <Database*>handle
    cdef Snapshot snapshot
    cdef int code = check_text(error, id, id_size)
    if code == OK and document == NULL:
        code = fail_with(error, E_INVALID, b"the document is NULL")
    if code == OK:
        code = enter(database, error)
    if code != OK:
        return code
    code = view_begin(database, &snapshot, error)
    if code == OK:
        code = find(&snapshot, id, id_size, document, error)
        env_end_read(&snapshot.txn)
    leave(database)
    return code


cdef void document_release(pynori_document* document) noexcept nogil:
    free(document.memory)
    memset(document, 0, sizeof(pynori_document))


# ---- writing

cdef void batch_init(Batch* batch, Database* database) noexcept nogil:
    memset(batch, 0, sizeof(Batch))
    output_init(&batch.records, 0)
    batch.database = database


cdef void batch_release(Batch* batch) noexcept nogil:
    output_release(&batch.records)
    if batch.user != NULL:
        user_destroy(batch.user)


cdef int batch_add(Batch* batch, CommandParts* parts, const char* id, size_t id_size, const char* expected,
                   size_t expected_size, pynori_error* error) noexcept nogil:
    cdef ErrorDetail detail
    cdef char nothing = 0
    cdef int code = check_text(error, id, id_size)
    if code == OK:
        code = check_text(error, expected, expected_size)
    if code == OK and (batch.user != NULL or batch.committed):
        code = fail_with(error, E_INVALID, b"this batch was committed already")
    if code != OK:
        return code
    error_clear(&detail)
    parts.id = <const uint8_t*>id
    if id == NULL:
        parts.id = <const uint8_t*>&nothing
    parts.id_size = id_size
    parts.expected = expected
    parts.expected_size = expected_size
    code = batch_room(batch.count, batch.body_bytes, parts.body_size, &detail)
    if code == OK:
        code = command_make(&batch.records, parts, &detail)
    if code != OK:
        return fail(error, &detail)
    batch.count += 1
    batch.body_bytes += parts.body_size
    return OK


cdef int batch_add_put(Batch* batch, const char* id, size_t id_size, const char* json, size_t json_size,
                       const char* expected, size_t expected_size, pynori_error* error) noexcept nogil:
    cdef CommandParts parts
    cdef ErrorDetail detail
    cdef Builder* builder
    cdef int code
    if json == NULL:
        return fail_with(error, E_INVALID, b"the document's text is NULL")
    builder = builder_borrow()
    if builder == NULL:
        return fail_with(error, E_NO_MEMORY, b"no memory for a document")
    error_clear(&detail)
    code = json_parse(builder, <const uint8_t*>json, json_size, JSON_DOCUMENT, NULL, &detail)
    if code == OK:
        memset(&parts, 0, sizeof(CommandParts))
        parts.kind = COMMAND_PUT
        command_collection(builder, &parts.collection, &parts.collection_size)
        parts.body = builder.data
        parts.body_size = builder.size
        code = batch_add(batch, &parts, id, id_size, expected, expected_size, error)
    else:
        fail(error, &detail)
    builder_return(builder)
    return code


cdef int batch_add_delete(Batch* batch, const char* id, size_t id_size, const char* expected, size_t expected_size,
                          pynori_error* error) noexcept nogil:
    cdef CommandParts parts
    memset(&parts, 0, sizeof(CommandParts))
    parts.kind = COMMAND_DELETE
    return batch_add(batch, &parts, id, id_size, expected, expected_size, error)


cdef int batch_run(Batch* batch, pynori_error* error) noexcept nogil:
    """Hand over and wait. The batch is used up, whatever comes of it."""
    cdef int code
    if batch.committed:
        return fail_with(error, E_INVALID, b"this batch was committed already")
    batch.committed = True
    if batch.count == 0:
        return OK
    batch.user = user_create(batch.records.data, batch.records.size, <uint32_t>batch.count)
    if batch.user == NULL:
        return fail_with(error, E_NO_MEMORY, b"no memory for a transaction")
    output_init(&batch.records, 0)     # its bytes are the transaction's now
    code = merger_execute(batch.database.merger, batch.user)
    if code != OK:
        if code == E_BUSY:
            return fail_with(error, code, b"too much waits to be written here")
        return fail_with(error, code, code_name(code))
    if batch.user.failure.code != OK:
        return fail_command(error, &batch.user.failure, batch.user.commands)
    return OK


cdef int batch_read(Batch* batch, size_t position, pynori_document* result, pynori_error* error) noexcept nogil:
    """The result at a position, of a batch that was committed well."""
    cdef char vector[VECTOR_TEXT_MAX]
    cdef const uint8_t* here
    cdef const ResultHeader* header
    cdef const uint8_t* id
    cdef size_t size
    cdef Output output
    if batch.user == NULL or batch.user.failure.code != OK or position >= batch.count:
        return fail_with(error, E_INVALID, b"the batch has no such result")
    here = batch.user.results.data
    for _ in range(position):
        here += (<const ResultHeader*>here).size
    header = <const ResultHeader*>here
    id = here + sizeof(ResultHeader)
    size = vector_format(<const VectorEntry*>(id + header.id_size + header.collection_size), header.vector_count,
                         vector)
    document_begin(result, &output)
    result.etag = header.etag
    result.deleted = header.deleted
    if document_finish(result, &output, 0, id, header.id_size, vector, size) != OK:
        return fail_with(error, E_NO_MEMORY, b"no memory for a result; what was written stays")
    return OK


cdef int database_write(pynori_database* handle, Batch* batch, int code, pynori_document* result,
                        pynori_error* error) noexcept nogil:
    """Commit a batch of one command, which `code` says was added, on a database that is entered."""
    if code == OK:
        code = batch_run(batch, error)
    if code == OK and result != NULL:
        code = batch_read(batch, 0, result, error)
    batch_release(batch)
    leave(<Database*>handle)
    return code


cdef int database_put(pynori_database* handle, const char* id, size_t id_size, const char* json, size_t json_size,
                      const char* expected, size_t expected_size, pynori_document* result,
                      pynori_error* error) noexcept nogil:
    cdef Batch batch
    cdef int code = enter(<Database*>handle, error)
    if code != OK:
        return code
    batch_init(&batch, <Database*>handle)
    code = batch_add_put(&batch, id, id_size, json, json_size, expected, expected_size, error)
    return database_write(handle, &batch, code, result, error)


cdef int database_delete(pynori_database* handle, const char* id, size_t id_size, const char* expected,
                         size_t expected_size, pynori_document* result, pynori_error* error) noexcept nogil:
    cdef Batch batch
    cdef int code = enter(<Database*>handle, error)
    if code != OK:
        return code
    batch_init(&batch, <Database*>handle)
    code = batch_add_delete(&batch, id, id_size, expected, expected_size, error)
    return database_write(handle, &batch, code, result, error)


cdef int batch_begin(pynori_database* handle, pynori_batch** begun, pynori_error* error) noexcept nogil:
    cdef Batch* batch
    cdef int code = enter(<Database*>handle, error)
    if code != OK:
        return code
    batch = <Batch*>calloc(1, sizeof(Batch))
    if batch == NULL:
        leave(<Database*>handle)
        return fail_with(error, E_NO_MEMORY, b"no memory for a batch")
    batch_init(batch, <Database*>handle)
    begun[0] = <pynori_batch*>batch
    return OK


cdef int batch_put(pynori_batch* handle, const char* id, size_t id_size, const char* json, size_t json_size,
                   const char* expected, size_t expected_size, pynori_error* error) noexcept nogil:
    return batch_add_put(<Batch*>handle, id, id_size, json, json_size, expected, expected_size, error)


cdef int batch_delete(pynori_batch* handle, const char* id, size_t id_size, const char* expected, size_t expected_size,
                      pynori_error* error) noexcept nogil:
    return batch_add_delete(<Batch*>handle, id, id_size, expected, expected_size, error)


cdef int batch_commit(pynori_batch* handle, pynori_error* error) noexcept nogil:
    cdef Batch* batch = <Batch*>handle
    cdef int code = enter(batch.database, error)
    if code == OK:
        code = batch_run(batch, error)
        leave(batch.database)
    return code


cdef int batch_result(pynori_batch* handle, size_t position, pynori_document* result,
                      pynori_error* error) noexcept nogil:
    return batch_read(<Batch*>handle, position, result, error)


cdef void batch_end(pynori_batch* handle) noexcept nogil:
    cdef Batch* batch = <Batch*>handle
    batch_release(batch)
    leave(batch.database)
    free(batch)


# ---- snapshots and scans

cdef int snapshot_begin(pynori_database* handle, pynori_snapshot** begun, pynori_error* error) noexcept nogil:
    cdef OpenSnapshot* made
    cdef int code = enter(<Database*>handle, error)
    if code != OK:
        return code
    made = <OpenSnapshot*>calloc(1, sizeof(OpenSnapshot))
    if made == NULL:
        code = fail_with(error, E_NO_MEMORY, b"no memory for a snapshot")
    else:
        made.database = <Database*>handle
        code = view_begin(made.database, &made.snapshot, error)
    if code != OK:
        free(made)
        leave(<Database*>handle)
        return code
    begun[0] = <pynori_snapshot*>made
    return OK


cdef int snapshot_get(pynori_snapshot* handle, const char* id, size_t id_size, pynori_document* document,
                      pynori_error* error) noexcept nogil:
    cdef OpenSnapshot* whole = <OpenSnapshot*>handle
    cdef Snapshot view
    cdef int code = check_text(error, id, id_size)
    if code == OK:
        code = enter(whole.database, error)
    if code != OK:
        return code
    snapshot_view(&whole.snapshot, &view)
    code = find(&view, id, id_size, document, error)
    leave(whole.database)
    return code


cdef int snapshot_end(pynori_snapshot* handle, pynori_error* error) noexcept nogil:
    cdef OpenSnapshot* whole = <OpenSnapshot*>handle
    if atomic_load64(&whole.scans):
        return fail_with(error, E_BUSY, b"scans of this snapshot have not ended")
    env_end_read(&whole.snapshot.txn)
    leave(whole.database)
    free(whole)
    return OK


cdef int scan_start(OpenScan* scan, const pynori_scan_options* options, pynori_error* error) noexcept nogil:
    cdef uint64_t limit = options.limit if options.limit else UINT64_MAX
    cdef int code = check_text(error, options.prefix, options.prefix_size)
    if code == OK:
        code = check_text(error, options.start_after, options.start_after_size)
    if code == OK:
        code = check_text(error, options.collection, options.collection_size)
    if code != OK:
        return code
    if options.kind == PYNORI_SCAN_IDS:
        code = walk_prefix(&scan.walk, &scan.view, <const uint8_t*>options.prefix, options.prefix_size,
                           <const uint8_t*>options.start_after, options.start_after_size, options.skip, limit)
    elif options.kind == PYNORI_SCAN_RECENT:
        code = walk_recent(&scan.walk, &scan.view, options.skip, limit)
    elif options.kind == PYNORI_SCAN_COLLECTION:
        code = walk_collection(&scan.walk, &scan.view, <const uint8_t*>options.collection, options.collection_size,
                               options.skip, limit, options.backwards)
    elif options.kind == PYNORI_SCAN_CHANGES:
        code = walk_items(&scan.walk, &scan.view, options.since, limit)
    else:
        return fail_with(error, E_INVALID, b"there is no such kind of scan")
    if code == E_TOO_LARGE:
        return fail_with(error, code, b"a prefix and a start have at most 512 bytes (ID_SIZE_BYTES_MAX)")
    return OK if code == OK else fail_read(error, &scan.view, code)


cdef int scan_begin(pynori_snapshot* handle, const pynori_scan_options* given, pynori_scan** begun,
                    pynori_error* error) noexcept nogil:
    cdef OpenSnapshot* whole = <OpenSnapshot*>handle
    cdef pynori_scan_options options
    cdef OpenScan* scan
    cdef int code = enter(whole.database, error)
    if code != OK:
        return code
    memset(&options, 0, sizeof(options))
    if given != NULL:
        memcpy(&options, given, given.size if given.size < sizeof(options) else sizeof(options))
    scan = <OpenScan*>calloc(1, sizeof(OpenScan))
    if scan == NULL:
        code = fail_with(error, E_NO_MEMORY, b"no memory for a scan")
    else:
        snapshot_view(&whole.snapshot, &scan.view)
        scan.owner = whole
        code = scan_start(scan, &options, error)
    leave(whole.database)
    if code != OK:
        free(scan)
        return code
    atomic_add64(&whole.scans, 1)
    begun[0] = <pynori_scan*>scan
    return OK


cdef int scan_next(pynori_scan* handle, pynori_document* document, pynori_error* error) noexcept nogil:
    cdef OpenScan* scan = <OpenScan*>handle
    cdef int code = enter(scan.owner.database, error)
    if code != OK:
        return code
    code = walk_next(&scan.walk)
    if code == OK:
        code = document_fill(document, &scan.view, &scan.walk.item, error)
    elif code == E_NOT_FOUND:
        fail_with(error, code, b"the scan has ended")
    else:
        fail_read(error, &scan.view, code)
    leave(scan.owner.database)
    return code


cdef void scan_end(pynori_scan* handle) noexcept nogil:
    cdef OpenScan* scan = <OpenScan*>handle
    atomic_add64(&scan.owner.scans, <uint64_t>-1)
    free(scan)


# ---- the table. Within one PYNORI_ABI it only grows at its end.

cdef pynori_api table
table.abi = PYNORI_ABI
table.size = sizeof(pynori_api)
table.code_name = code_name
table.open = database_open
table.close = database_close
table.checkpoint = database_checkpoint
table.counters = database_counters
table.get = database_get
table.put = database_put
table.remove = database_delete
table.batch_begin = batch_begin
table.batch_put = batch_put
table.batch_remove = batch_delete
table.batch_commit = batch_commit
table.batch_result = batch_result
table.batch_end = batch_end
table.snapshot_begin = snapshot_begin
table.snapshot_get = snapshot_get
table.snapshot_end = snapshot_end
table.scan_begin = scan_begin
table.scan_next = scan_next
table.scan_end = scan_end
table.document_release = document_release

# Lives as long as the process: the module is never unloaded.
C_API = PyCapsule_New(&table, b"pynori_core._C_API", NULL)
