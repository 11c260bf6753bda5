"""Keep the rows of groups, reduce what changed, add up natively."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport UINT64_MAX, int64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport load64, load64_be, store64, store64_be
from pynori_core.blittable cimport (
    BLITTABLE_ARRAY,
    BLITTABLE_INTEGER,
    BlittableTable,
    blittable_double,
    blittable_get,
    blittable_is_number,
    blittable_open,
    blittable_root,
    blittable_slot,
)
from pynori_core.btree cimport (
    PUT_UPSERT,
    Value,
    tree_create,
    tree_delete,
    tree_get,
    tree_header,
    tree_put,
    tree_reserve,
    tree_update,
)
from pynori_core.checksum cimport hash128
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.document_snapshot cimport DocumentSnapshot, snapshot_view
from pynori_core.errors cimport E_CORRUPT, E_EXPRESSION, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.format cimport TreeHeader
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.index_feed cimport path_parse
from pynori_core.index_field cimport raise_txn
from pynori_core.index_writer cimport Fed, fed_of, feed_set
from pynori_core.items cimport snapshot_exception
from pynori_core.json cimport json_write
from pynori_core.output cimport (
    output_append,
    output_byte,
    output_clear,
    output_init,
    output_release,
    output_reserve,
)
from pynori_core.table cimport RowScan, scan_next, scan_start
from pynori_core.tables cimport ITEM_DOCUMENT, ITEM_TOMBSTONE, item_decode

cdef enum:
    DIRTY_FIRST = 256
    CHUNK = 256                    # 1 << CHUNK_SHIFT
    CHUNK_OF_CHUNKS = 65536
    GROUPS_AT_ONCE = 256           # whose results are in memory together
    ROWS_AT_ONCE = 4096            # after so many a function in Python is called
    FEED_DOCUMENTS_DEFAULT = 65536
    FEED_ROWS_MAX = 262144         # of one feed, which ends behind the document that reaches it
    ROW_KEY_SIZE = 24              # group, number
    PARTIAL_KEY_SIZE = 25          # group, level, number
    SUM_HEAD = 8
    SUM_SIZE = 9                   # kind, value
    SUM_FIELDS_MAX = 32

cdef enum SumKind:
    SUM_NONE = 0
    SUM_INTEGER = 1
    SUM_DOUBLE = 2

cdef extern from *:
    """
    static inline int pyn_add_overflow(int64_t a, int64_t b, int64_t *sum) { return __builtin_add_overflow(a, b, sum); }
    """
    bint add_overflow "pyn_add_overflow"(int64_t a, int64_t b, int64_t* sum) noexcept nogil


# ---- trees

cdef int reduce_open(Txn* txn, ReduceTrees* trees) noexcept nogil:
    cdef int code
    trees.txn = txn
    code = tree_create(txn, b"reduce_documents", 16, 0, &trees.documents)
    if code == OK:
        code = tree_create(txn, b"reduce_rows", 11, 0, &trees.rows)
    if code == OK:
        code = tree_create(txn, b"reduce_groups", 13, 0, &trees.groups)
    if code == OK:
        code = tree_create(txn, b"reduce_partials", 15, 0, &trees.partials)
    return code


cdef int reduce_corrupt(ReduceState* state, const char* what) noexcept nogil:
    error_set(&state.trees.txn.error, E_CORRUPT, b"index: %s", what)
    return E_CORRUPT


cdef int reduce_no_memory(ReduceState* state) noexcept nogil:
    error_set(&state.trees.txn.error, E_NO_MEMORY, b"no memory for the rows of a map-reduce index")
    return E_NO_MEMORY


cdef inline void row_key(uint8_t* key, const uint8_t* group, uint64_t row) noexcept nogil:
    memcpy(key, group, GROUP_SIZE)
    store64_be(key + GROUP_SIZE, row)


cdef bint grow(void** memory, size_t* capacity, size_t item_size) noexcept nogil:
    cdef size_t wanted = capacity[0] * 2 if capacity[0] else <size_t>DIRTY_FIRST
    cdef void* grown = realloc(memory[0], wanted * item_size)
    if grown == NULL:
        return False
    memory[0] = grown
    capacity[0] = wanted
    return True


cdef int dirty_note(ReduceState* state, const uint8_t* group, uint64_t row) noexcept nogil:
    cdef DirtyChunk* last
    cdef uint64_t chunk = row >> CHUNK_SHIFT
    if state.dirty_count:
        last = &state.dirty[state.dirty_count - 1]
        if last.chunk == chunk and memcmp(last.group, group, GROUP_SIZE) == 0:
            return OK
    if state.dirty_count == state.dirty_capacity:
        if not grow(<void**>&state.dirty, &state.dirty_capacity, sizeof(DirtyChunk)):
            return reduce_no_memory(state)
    last = &state.dirty[state.dirty_count]
    memcpy(last.group, group, GROUP_SIZE)
    last.chunk = chunk
    state.dirty_count += 1
    return OK


# ---- the rows of a document

cdef void mapped_begin(ReduceState* state) noexcept nogil:
    state.mapped_count = 0
    output_clear(&state.bytes)


cdef int mapped_push(ReduceState* state, size_t key_size, size_t row_size) noexcept nogil:
    """A row whose key and bytes were appended to state.bytes, in this order."""
    cdef MappedRow* mapped
    if state.bytes.failure != OK:
        return reduce_no_memory(state)
    if state.mapped_count == state.mapped_capacity:
        if state.mapped_count >= REDUCE_ROWS_MAX or not grow(
                <void**>&state.mapped, &state.mapped_capacity, sizeof(MappedRow)):
            return reduce_no_memory(state)
    mapped = &state.mapped[state.mapped_count]
    mapped.key = <const uint8_t*>(state.bytes.size - row_size - key_size)
    mapped.row = <const uint8_t*>(state.bytes.size - row_size)
    mapped.key_size = <uint32_t>key_size
    mapped.row_size = <uint32_t>row_size
    mapped.order = <uint32_t>state.mapped_count
    state.mapped_count += 1
    return OK


cdef int mapped_compare(const void* left, const void* right) noexcept nogil:
    cdef int order = memcmp((<const MappedRow*>left).group, (<const MappedRow*>right).group, GROUP_SIZE)
    if order:
        return order
    return <int>((<const MappedRow*>left).order > (<const MappedRow*>right).order) * 2 - 1


cdef void mapped_sort(ReduceState* state) noexcept nogil:
    cdef MappedRow* mapped
    cdef size_t index
    cdef uint64_t low = 0
    cdef uint64_t high = 0
    for index in range(state.mapped_count):
        mapped = &state.mapped[index]
        mapped.key = state.bytes.data + <size_t>mapped.key
        mapped.row = state.bytes.data + <size_t>mapped.row
        hash128(mapped.key, mapped.key_size, 0, &low, &high)
        store64(mapped.group, low)
        store64(mapped.group + 8, high)
    if state.mapped_count > 1:
        qsort(state.mapped, state.mapped_count, sizeof(MappedRow), mapped_compare)


cdef int document_apply(ReduceState* state, const uint8_t* key, size_t key_size, bint* changed) noexcept nogil:
    """Make the rows that a document gives those in state.mapped. Rows that stay in their group keep their numbers."""
    cdef Value value
    cdef RowReference* old
    cdef size_t old_count = 0
    cdef size_t i = 0
    cdef size_t j = 0
    cdef size_t old_end, new_end
    cdef const uint8_t* group
    cdef int code = tree_get(&state.trees.documents, key, key_size, &value)
    changed[0] = False
    output_clear(&state.spare)
    if code == OK:
        if value.size % sizeof(RowReference):
            return reduce_corrupt(state, b"X11 violated: the rows of a document are no list")
        output_append(&state.spare, value.data, value.size)
        old_count = <size_t>value.size // sizeof(RowReference)
    elif code != E_NOT_FOUND:
        return code
    mapped_sort(state)
    # The new references follow the old ones in `spare`: as many as there are rows.
    if not output_reserve(&state.spare, state.mapped_count * sizeof(RowReference) + 1):
        return reduce_no_memory(state)
    old = <RowReference*>state.spare.data
    while i < old_count or j < state.mapped_count:
        if j == state.mapped_count or (
                i < old_count and memcmp(old[i].group, state.mapped[j].group, GROUP_SIZE) <= 0):
            group = old[i].group
        else:
            group = state.mapped[j].group
        old_end = i
        while old_end < old_count and memcmp(old[old_end].group, group, GROUP_SIZE) == 0:
            old_end += 1
        new_end = j
        while new_end < state.mapped_count and memcmp(state.mapped[new_end].group, group, GROUP_SIZE) == 0:
            new_end += 1
        code = group_apply(state, group, old + i, old_end - i, state.mapped + j, new_end - j, changed)
        if code != OK:
            return code
        i = old_end
        j = new_end
    if not changed[0]:
        return OK
    if state.mapped_count == 0:
        return tree_delete(&state.trees.documents, key, key_size)
    return tree_put(&state.trees.documents, key, key_size, old + old_count,
                    state.mapped_count * sizeof(RowReference), PUT_UPSERT)


cdef int group_apply(ReduceState* state, const uint8_t* group, const RowReference* old, size_t old_count,
                     const MappedRow* new, size_t new_count, bint* changed) noexcept nogil:
    """The same for one group; appends the references to state.spare, which has the room."""
    cdef uint8_t key[ROW_KEY_SIZE]
    cdef GroupRecord record
    cdef GroupRecord before
    cdef Value value
    cdef uint64_t row
    cdef size_t index
    cdef bint known
    cdef int code = tree_get(&state.trees.groups, group, GROUP_SIZE, &value)
    known = code == OK
    memset(&record, 0, sizeof(GroupRecord))
    if known:
        if value.size <= sizeof(GroupRecord):
            return reduce_corrupt(state, b"X12 violated: the record of a group is too short")
        memcpy(&record, value.data, sizeof(GroupRecord))
    elif code != E_NOT_FOUND:
        return code
    elif old_count:
        return reduce_corrupt(state, b"X11 violated: a document has a row in a group that is not there")
    before = record
    for index in range(old_count if old_count > new_count else new_count):
        if index < old_count:
            row = old[index].row
        else:
            row = record.next_row
            record.next_row += 1
        row_key(key, group, row)
        if index >= new_count:
            code = tree_delete(&state.trees.rows, key, sizeof(key))
            record.rows -= 1
        else:
            output_append(&state.spare, group, GROUP_SIZE)
            output_append(&state.spare, &row, 8)
            if index < old_count:
                code = tree_get(&state.trees.rows, key, sizeof(key), &value)
                if code == OK and value.size == new[index].row_size and memcmp(
                        value.data, new[index].row, new[index].row_size) == 0:
                    continue
            else:
                record.rows += 1
                code = OK
            if code == OK:
                code = tree_put(&state.trees.rows, key, sizeof(key), new[index].row, new[index].row_size, PUT_UPSERT)
        if code == E_NOT_FOUND:
            return reduce_corrupt(state, b"X11 violated: a row of a document is not there")
        changed[0] = True
        if code == OK:
            code = dirty_note(state, group, row)
        # When a group outgrows a chunk, or a chunk of chunks, what was final until then becomes a partial result.
        if code == OK and index >= old_count and (row == CHUNK or row == CHUNK_OF_CHUNKS):
            code = dirty_note(state, group, 0)
        if code != OK:
            return code
    if memcmp(&before, &record, sizeof(GroupRecord)) == 0:
        return OK
    return group_write(state, group, &record, known, new)


cdef int group_write(ReduceState* state, const uint8_t* group, const GroupRecord* record, bint known,
                     const MappedRow* new) noexcept nogil:
    """`new` has the key of a group that is not known."""
    cdef uint64_t size = 0
    cdef uint8_t* place
    if known:
        place = tree_update(&state.trees.groups, group, GROUP_SIZE, &size)
        if place == NULL and state.trees.txn.error.code == OK:
            return group_rewrite(state, group, record)
    else:
        place = tree_reserve(&state.trees.groups, group, GROUP_SIZE, sizeof(GroupRecord) + new.key_size, PUT_UPSERT)
        if place != NULL:
            memcpy(place + sizeof(GroupRecord), new.key, new.key_size)
    if place == NULL:
        return state.trees.txn.error.code
    memcpy(place, record, sizeof(GroupRecord))
    return OK


cdef int group_rewrite(ReduceState* state, const uint8_t* group, const GroupRecord* record) noexcept nogil:
    """For a key so long that the record lies in pages of its own, which are not changed in place."""
    cdef Output copy
    cdef Value value
    cdef int code = tree_get(&state.trees.groups, group, GROUP_SIZE, &value)
    if code != OK:
        return code
    output_init(&copy, 0)
    output_append(&copy, value.data, value.size)
    if copy.failure == OK:
        memcpy(copy.data, record, sizeof(GroupRecord))
        code = tree_put(&state.trees.groups, group, GROUP_SIZE, copy.data, copy.size, PUT_UPSERT)
    else:
        code = reduce_no_memory(state)
    output_release(&copy)
    return code


# ---- the store

@cython.final
cdef class ReducedGroup:
    """A group that changed."""

    def __repr__(self):
        return f"ReducedGroup({self.id}, {self.key!r}, {self.result!r}, {self.error!r})"


@cython.final
cdef class ReduceStore:
    """The rows and partial results of an index, within one of its writers."""

    def __cinit__(self, IndexWriter writer not None):
        output_init(&self.state.bytes, 0)
        output_init(&self.state.spare, 0)
        writer.live()
        self.writer = writer
        writer.checked(reduce_open(&writer.txn.memory, &self.state.trees))

    def __dealloc__(self):
        free(self.state.dirty)
        free(self.state.mapped)
        output_release(&self.state.bytes)
        output_release(&self.state.spare)

    def put(self, str document_id not None, rows not None):
        """Replace the (key, row) pairs that a document gives. Whether anything changed."""
        cdef bytes key, row
        self.writer.live()
        mapped_begin(&self.state)
        for key, row in rows:
            if not 1 <= PyBytes_GET_SIZE(key) <= REDUCE_KEY_SIZE_MAX or PyBytes_GET_SIZE(row) > REDUCE_ROW_SIZE_MAX:
                raise ValueError(f"a key has 1 to {REDUCE_KEY_SIZE_MAX} bytes, a row up to {REDUCE_ROW_SIZE_MAX}")
            if self.state.mapped_count == REDUCE_ROWS_MAX:
                raise ValueError(f"a document gives at most {REDUCE_ROWS_MAX} rows")
            output_append(&self.state.bytes, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key))
            output_append(&self.state.bytes, PyBytes_AS_STRING(row), <size_t>PyBytes_GET_SIZE(row))
            self.writer.checked(mapped_push(&self.state, <size_t>PyBytes_GET_SIZE(key),
                                            <size_t>PyBytes_GET_SIZE(row)))
        return self.apply(document_id)

    cdef bint apply(self, str document_id) except *:
        cdef uint8_t key[ID_KEY_SIZE_MAX]
        cdef Py_ssize_t size
        cdef const char* id = PyUnicode_AsUTF8AndSize(document_id, &size)
        cdef bint changed = False
        if not 1 <= size <= ID_SIZE_MAX:
            raise ValueError(f"a document id has 1 to {ID_SIZE_MAX} bytes")
        self.writer.checked(document_apply(&self.state, key, identifier_key(<const uint8_t*>id, <size_t>size, key),
                                           &changed))
        return changed

    def delete(self, str document_id not None):
        """Whether it had rows."""
        self.writer.live()
        mapped_begin(&self.state)
        return self.apply(document_id)

    def feed(self, DocumentSnapshot documents not None, str collection, uint64_t since_etag,
             RowProgram program not None, *, uint64_t documents_max=FEED_DOCUMENTS_DEFAULT):
        """As IndexWriter.feed, natively."""
        return self.walk(documents, collection, since_etag, program, documents_max)

    def feed_tombstones(self, DocumentSnapshot documents not None, str collection, uint64_t since_etag, *,
                        uint64_t documents_max=FEED_DOCUMENTS_DEFAULT):
        return self.walk(documents, collection, since_etag, None, documents_max)

    cdef Fed walk(self, DocumentSnapshot documents, str collection, uint64_t since_etag, RowProgram program,
                  uint64_t documents_max):
        cdef Snapshot view
        cdef GroupFeed feed
        cdef bint found = True
        cdef int code
        cdef Fed fed
        self.writer.live()
        memset(&feed, 0, sizeof(GroupFeed))
        feed.state = &self.state
        feed.program = <void*>program
        feed.map = program.map if program is not None else NULL
        feed.kind = ITEM_DOCUMENT if program is not None else ITEM_TOMBSTONE
        feed.since = feed.last_etag = since_etag
        feed.documents_max = documents_max
        documents.enter()
        try:
            snapshot_view(&documents.snapshot, &view)
            feed.snapshot = &view
            code = feed_set(&view, collection, feed.kind, &feed.set_id, &found)
            if code == OK and found:
                with nogil:
                    code = groups_walk(&feed)
            free(feed.values)
            if code != OK and view.txn.error.code != OK:
                raise snapshot_exception(&view, code)
            self.writer.checked(code)
        finally:
            documents.leave()
        fed = fed_of(feed.last_etag, feed.documents, feed.rows, feed.deleted, feed.more)
        fed.failed = feed.failed
        return fed

    def rows(self, bytes key not None):
        """All rows of a group, in the order in which they came."""
        cdef bytes group = group_of(key)
        self.writer.live()
        return collect(self, &self.state.trees.rows, group, 0, UINT64_MAX)

    @property
    def group_count(self):
        return entries_of(self, &self.state.trees.groups)

    @property
    def row_count(self):
        return entries_of(self, &self.state.trees.rows)

    def reduce(self, function not None):
        """Reduce all groups that changed since this object was made or last reduced."""
        cdef list groups = dirty_take(self)
        cdef size_t start
        for start in range(0, <size_t>len(groups), GROUPS_AT_ONCE):
            yield from reduce_groups(self, groups[start:start + GROUPS_AT_ONCE], function)


cdef object entries_of(ReduceStore store, Tree* tree):
    cdef const TreeHeader* header
    store.writer.live()
    header = tree_header(tree)
    if header == NULL:
        raise_txn(store.state.trees.txn, store.state.trees.txn.error.code, store.writer.txn.owner.directory)
    return header.entries


cdef bytes group_of(bytes key):
    cdef uint8_t group[GROUP_SIZE]
    cdef uint64_t low = 0
    cdef uint64_t high = 0
    hash128(PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key), 0, &low, &high)
    store64(group, low)
    store64(group + 8, high)
    return (<const char*>group)[:GROUP_SIZE]


cdef int dirty_compare(const void* left, const void* right) noexcept nogil:
    cdef int order = memcmp((<const DirtyChunk*>left).group, (<const DirtyChunk*>right).group, GROUP_SIZE)
    if order:
        return order
    return (<int>((<const DirtyChunk*>left).chunk > (<const DirtyChunk*>right).chunk)
            - <int>((<const DirtyChunk*>left).chunk < (<const DirtyChunk*>right).chunk))


cdef list dirty_take(ReduceStore store):
    """(group, chunks) of all that changed, in the order of groups; nothing has changed then."""
    cdef ReduceState* state = &store.state
    cdef DirtyChunk* dirty = state.dirty
    cdef list found = []
    cdef list chunks = []
    cdef size_t index
    if state.dirty_count == 0:
        return found
    with nogil:
        qsort(dirty, state.dirty_count, sizeof(DirtyChunk), dirty_compare)
    for index in range(state.dirty_count):
        if index == 0 or memcmp(dirty[index].group, dirty[index - 1].group, GROUP_SIZE) != 0:
            chunks = []
            found.append(((<const char*>dirty[index].group)[:GROUP_SIZE], chunks))
        elif dirty[index].chunk == dirty[index - 1].chunk:
            continue
        chunks.append(dirty[index].chunk)
    state.dirty_count = 0
    return found


# ---- reducing

cdef class Job:
    pass


cdef class Group:
    pass


cdef Group group_read(ReduceStore store, bytes hash, list chunks):
    """None when it came and went."""
    cdef GroupRecord record
    cdef Value value
    cdef Group group
    cdef int code = tree_get(&store.state.trees.groups, PyBytes_AS_STRING(hash), GROUP_SIZE, &value)
    if code == E_NOT_FOUND:
        return None
    store.writer.checked(code)
    memcpy(&record, value.data, sizeof(GroupRecord))
    group = Group.__new__(Group)
    group.hash = hash
    group.key = PyBytes_FromStringAndSize(<const char*>value.data + sizeof(GroupRecord),
                                          <Py_ssize_t>(value.size - sizeof(GroupRecord)))
    group.rows = record.rows
    group.next_row = record.next_row
    group.broken = record.broken
    group.chunks = list(range(((record.next_row - 1) >> CHUNK_SHIFT) + 1)) if record.broken else chunks
    return group


cdef Job job_of(Group group, int source, uint64_t low, uint64_t high, int target):
    cdef Job job = Job.__new__(Job)
    job.group = group
    job.source = source
    job.low = low
    job.high = high
    job.target = target
    return job


cdef list reduce_groups(ReduceStore store, list dirty, object function):
    cdef list groups = []
    cdef list jobs = []
    cdef Group group
    cdef uint64_t chunk
    store.writer.live()
    for hash, chunks in dirty:
        group = group_read(store, hash, chunks)
        if group is not None:
            groups.append(group)
    for group in groups:
        if group.rows and group.next_row > CHUNK:
            jobs += [job_of(group, 0, chunk * CHUNK, (chunk + 1) * CHUNK, 1) for chunk in group.chunks]
    run_jobs(store, jobs, function)
    jobs = []
    for group in groups:
        if group.rows and group.next_row > CHUNK_OF_CHUNKS:
            jobs += [job_of(group, 1, chunk * CHUNK, (chunk + 1) * CHUNK, 2)
                     for chunk in sorted({chunk >> CHUNK_SHIFT for chunk in group.chunks})]
    run_jobs(store, jobs, function)
    run_jobs(store, [job_of(group, (group.next_row > CHUNK) + (group.next_row > CHUNK_OF_CHUNKS), 0, UINT64_MAX, 3)
                     for group in groups if group.rows], function)
    return [group_end(store, group) for group in groups]


cdef ReducedGroup group_end(ReduceStore store, Group group):
    cdef ReducedGroup made = ReducedGroup.__new__(ReducedGroup)
    cdef GroupRecord record
    if group.rows == 0:
        partials_drop(store, group)
        store.writer.checked(tree_delete(&store.state.trees.groups, PyBytes_AS_STRING(group.hash), GROUP_SIZE))
    elif group.broken != (group.error is not None):
        record.rows = group.rows
        record.next_row = group.next_row
        record.broken = group.error is not None
        store.writer.checked(group_write(&store.state, <const uint8_t*>PyBytes_AS_STRING(group.hash), &record, True,
                                         NULL))
    made.id = group.hash.hex()
    made.key = group.key
    made.result = group.result if group.error is None else None
    made.error = group.error
    return made


cdef int partials_drop(ReduceStore store, Group group) except -1:
    cdef Cursor cursor
    cdef uint8_t key[PARTIAL_KEY_SIZE]
    cdef int code
    while True:
        cursor_init(&cursor, &store.state.trees.partials)
        code = cursor_seek(&cursor, PyBytes_AS_STRING(group.hash), GROUP_SIZE)
        if code == E_NOT_FOUND or (code == OK and memcmp(cursor.key, PyBytes_AS_STRING(group.hash), GROUP_SIZE) != 0):
            return 0
        store.writer.checked(code)
        memcpy(key, cursor.key, sizeof(key))
        store.writer.checked(tree_delete(&store.state.trees.partials, key, sizeof(key)))


cdef int run_jobs(ReduceStore store, list jobs, object function) except -1:
    """A group whose function failed before takes no part."""
    cdef RowReduce native = function if isinstance(function, RowReduce) else None
    cdef bytes row
    cdef list waiting = []
    cdef size_t rows = 0
    cdef Job job
    for job in jobs:
        if job.group.error is not None:
            continue
        if native is not None:
            row = native.reduce_job(store, job)
            if job.group.error is None:
                job_end(store, job, row)
            continue
        found = job_rows(store, job)
        if not found and job.target != 3:
            job_end(store, job, None)
            continue
        waiting.append((job, found))
        rows += <size_t>len(found)
        if rows >= ROWS_AT_ONCE:
            call(store, waiting, function)
            waiting = []
            rows = 0
    if waiting:
        call(store, waiting, function)
    return 0


cdef int call(ReduceStore store, list waiting, object function) except -1:
    cdef Job job
    answers = function([((<Job>job).group.key, found) for job, found in waiting])
    if len(answers) != len(waiting):
        raise ValueError(f"a reduce function gave {len(answers)} rows for {len(waiting)} jobs")
    for (job, _), answer in zip(waiting, answers):
        if isinstance(answer, BaseException):
            job.group.error = str(answer) or type(answer).__name__
        elif job.group.error is None:
            job_end(store, job, answer)
    return 0


cdef list job_rows(ReduceStore store, Job job):
    if job.source == 0:
        return collect(store, &store.state.trees.rows, job.group.hash, job.low, job.high)
    return collect(store, &store.state.trees.partials, job.group.hash + bytes((job.source,)), job.low, job.high)


cdef list collect(ReduceStore store, Tree* tree, bytes prefix, uint64_t low, uint64_t high):
    cdef list found = []
    cdef Cursor cursor
    cdef Value value
    cdef int code = range_seek(&cursor, tree, prefix, low)
    while code == OK and range_inside(&cursor, prefix, high):
        code = cursor_value(&cursor, &value)
        if code == OK:
            found.append(PyBytes_FromStringAndSize(<const char*>value.data, <Py_ssize_t>value.size))
            code = cursor_next(&cursor)
    if code != E_NOT_FOUND:
        store.writer.checked(code)
    return found


cdef int job_seek(ReduceStore store, Job job, Cursor* cursor) except? -1:
    if job.source == 0:
        return range_seek(cursor, &store.state.trees.rows, job.group.hash, job.low)
    return range_seek(cursor, &store.state.trees.partials, job.group.hash + bytes((job.source,)), job.low)


cdef bint job_inside(Job job, const Cursor* cursor) noexcept:
    cdef size_t size = GROUP_SIZE if job.source == 0 else GROUP_SIZE + 1
    return (cursor.key_size == size + 8 and memcmp(cursor.key, PyBytes_AS_STRING(job.group.hash), GROUP_SIZE) == 0
            and (job.source == 0 or cursor.key[GROUP_SIZE] == job.source) and load64_be(cursor.key + size) < job.high)


cdef int range_seek(Cursor* cursor, Tree* tree, bytes prefix, uint64_t low) noexcept:
    cdef uint8_t key[PARTIAL_KEY_SIZE]
    cdef size_t size = <size_t>PyBytes_GET_SIZE(prefix)
    memcpy(key, PyBytes_AS_STRING(prefix), size)
    store64_be(key + size, low)
    cursor_init(cursor, tree)
    return cursor_seek(cursor, key, size + 8)


cdef inline bint range_inside(const Cursor* cursor, bytes prefix, uint64_t high) noexcept:
    cdef size_t size = <size_t>PyBytes_GET_SIZE(prefix)
    return (cursor.key_size == size + 8 and memcmp(cursor.key, PyBytes_AS_STRING(prefix), size) == 0
            and load64_be(cursor.key + size) < high)


cdef int job_end(ReduceStore store, Job job, bytes row) except -1:
    """Put what a job made where it belongs; None: nothing is left of a chunk."""
    cdef uint8_t key[PARTIAL_KEY_SIZE]
    cdef int code
    if job.target == 3:
        job.group.result = row
        return 0
    memcpy(key, PyBytes_AS_STRING(job.group.hash), GROUP_SIZE)
    key[GROUP_SIZE] = <uint8_t>job.target
    store64_be(key + GROUP_SIZE + 1, job.low >> CHUNK_SHIFT)
    if row is None:
        code = tree_delete(&store.state.trees.partials, key, sizeof(key))
        return store.writer.checked(OK if code == E_NOT_FOUND else code)
    return store.writer.checked(tree_put(&store.state.trees.partials, key, sizeof(key), PyBytes_AS_STRING(row),
                                         <uint64_t>PyBytes_GET_SIZE(row), PUT_UPSERT))


# ---- sums

cdef struct Sum:
    int kind                       # SumKind
    int64_t integer
    double number


cdef struct Sums:
    uint64_t count
    Sum each[32]                   # SUM_FIELDS_MAX


cdef class RowReduce:
    """A reduce without the interpreter."""

    cdef bytes reduce_job(self, ReduceStore store, Job job):
        raise TypeError("a reduce says how it reduces")


@cython.final
cdef class SumReduce(RowReduce):
    """Adds up natively."""

    def __cinit__(self, uint32_t fields):
        if fields > SUM_FIELDS_MAX:
            raise ValueError(f"at most {SUM_FIELDS_MAX} fields are added up")
        self.fields = fields

    cdef bytes reduce_job(self, ReduceStore store, Job job):
        cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
        cdef Sums sums
        cdef Cursor cursor
        cdef Value value
        cdef bint any_row = False
        cdef int code = job_seek(store, job, &cursor)
        memset(&sums, 0, sizeof(Sums))
        while code == OK and job_inside(job, &cursor):
            code = cursor_value(&cursor, &value)
            if code == OK:
                if not sums_add(&sums, self.fields, value.data, value.size):
                    raise ValueError("a row of the group is no row of sums")
                any_row = True
                code = cursor_next(&cursor)
        if code != E_NOT_FOUND:
            store.writer.checked(code)
        return (<const char*>packed)[:sums_write(&sums, self.fields, packed)] if any_row else None

    def pack(self, uint64_t count, sums not None):
        """A row."""
        cdef Sums row
        cdef uint32_t index = 0
        cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
        if <uint32_t>len(sums) != self.fields:
            raise ValueError(f"{self.fields} sums")
        memset(&row, 0, sizeof(Sums))
        row.count = count
        for value in sums:
            if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
                sum_integer(&row.each[index], value)
            elif value is not None:
                sum_double(&row.each[index], value)
            index += 1
        return (<const char*>packed)[:sums_write(&row, self.fields, packed)]

    def unpack(self, bytes row not None):
        """(count, sums)."""
        cdef Sums sums
        cdef uint32_t index
        cdef list found = []
        memset(&sums, 0, sizeof(Sums))
        if not sums_add(&sums, self.fields, <const uint8_t*>PyBytes_AS_STRING(row), <uint64_t>PyBytes_GET_SIZE(row)):
            raise ValueError("these bytes are no row of sums")
        for index in range(self.fields):
            if sums.each[index].kind == SUM_NONE:
                found.append(None)
            elif sums.each[index].kind == SUM_INTEGER:
                found.append(sums.each[index].integer)
            else:
                found.append(sums.each[index].number)
        return sums.count, found


cdef void sum_integer(Sum* sum, int64_t value) noexcept nogil:
    if sum.kind == SUM_DOUBLE:
        sum.number += <double>value
    elif sum.kind == SUM_NONE or not add_overflow(sum.integer, value, &value):
        sum.kind = SUM_INTEGER
        sum.integer = value
    else:
        sum.kind = SUM_DOUBLE      # `value` wrapped around; undo that to add as doubles
        sum.number = <double>sum.integer + <double>(value - sum.integer)


cdef void sum_double(Sum* sum, double value) noexcept nogil:
    if sum.kind == SUM_INTEGER:
        sum.number = <double>sum.integer
    elif sum.kind == SUM_NONE:
        sum.number = 0
    sum.kind = SUM_DOUBLE
    sum.number += value


cdef size_t sums_write(const Sums* sums, uint32_t fields, uint8_t* out) noexcept nogil:
    cdef uint32_t index
    cdef uint8_t* here = out + SUM_HEAD
    store64(out, sums.count)
    for index in range(fields):
        here[0] = <uint8_t>sums.each[index].kind
        memset(here + 1, 0, 8)
        if sums.each[index].kind == SUM_INTEGER:
            memcpy(here + 1, &sums.each[index].integer, 8)
        elif sums.each[index].kind == SUM_DOUBLE:
            memcpy(here + 1, &sums.each[index].number, 8)
        here += SUM_SIZE
    return here - out


cdef bint sums_add(Sums* sums, uint32_t fields, const uint8_t* row, uint64_t size) noexcept nogil:
    """False when these bytes are no row."""
    cdef uint32_t index
    cdef int64_t integer
    cdef double number
    if size != SUM_HEAD + SUM_SIZE * fields:
        return False
    sums.count += load64(row)
    row += SUM_HEAD
    for index in range(fields):
        if row[0] == SUM_INTEGER:
            memcpy(&integer, row + 1, 8)
            sum_integer(&sums.each[index], integer)
        elif row[0] == SUM_DOUBLE:
            memcpy(&number, row + 1, 8)
            sum_double(&sums.each[index], number)
        row += SUM_SIZE
    return True


# ---- the map of an auto map-reduce index

cdef class RowProgram:
    """The map of a map-reduce index, without the interpreter."""


@cython.final
cdef class GroupPaths(RowProgram):
    """A document goes to the group of what lies at `keys`, and adds 1 and what lies at `sums`."""

    def __cinit__(self, keys not None, sums not None, *, as_array=()):
        if not 1 <= len(keys) <= GROUP_PATHS_MAX or len(sums) > GROUP_PATHS_MAX:
            raise ValueError(f"1 to {GROUP_PATHS_MAX} keys, and up to as many sums")
        self.names = []
        self.reduce = SumReduce(<uint32_t>len(sums))
        self.map = rows_map
        for path in keys:
            path_parse(&self.keys[self.key_count], path, self.names)
            self.keys[self.key_count].field = path in as_array
            self.key_count += 1
        for path in sums:
            path_parse(&self.sums[self.sum_count], path, self.names)
            self.sum_count += 1


cdef int value_push(GroupFeed* feed, const BlittableValue* value) noexcept nogil:
    if feed.value_count == feed.value_capacity:
        if not grow(<void**>&feed.values, &feed.value_capacity, sizeof(BlittableValue)):
            return reduce_no_memory(feed.state)
    if value != NULL:
        feed.values[feed.value_count] = value[0]
    else:
        feed.values[feed.value_count].type = 0
    feed.value_count += 1
    return OK


cdef int values_collect(GroupFeed* feed, const FieldPath* path, uint32_t step, const BlittableValue* value,
                        bint* repeats) noexcept nogil:
    """One value for each item on the way, missing ones too, so that paths through the same array stay in step."""
    cdef BlittableTable table
    cdef BlittableValue here = value[0]
    cdef BlittableValue found
    cdef uint32_t index
    cdef int code = OK
    while step < path.step_count:
        if path.steps[step].name == NULL or here.type == BLITTABLE_ARRAY:
            if here.type != BLITTABLE_ARRAY:
                return value_push(feed, NULL)
            repeats[0] = True
            if path.steps[step].name == NULL:
                step += 1
            if here.offset == 0:
                return OK
            blittable_open(&here, &table)
            for index in range(table.count):
                blittable_slot(&here, &table, index, &found)
                code = values_collect(feed, path, step, &found, repeats)
                if code != OK:
                    return code
            return OK
        if blittable_get(&here, <const char*>path.steps[step].name, path.steps[step].size, &found) != OK:
            return value_push(feed, NULL)
        here = found
        step += 1
    return value_push(feed, &here)


cdef int rows_map(GroupFeed* feed, const Item* item) noexcept nogil:
    """The rows that a document gives, into state.mapped."""
    cdef const FieldPath* keys = (<GroupPaths>feed.program).keys
    cdef const FieldPath* sums = (<GroupPaths>feed.program).sums
    cdef uint32_t key_count = (<GroupPaths>feed.program).key_count
    cdef uint32_t paths = key_count + (<GroupPaths>feed.program).sum_count
    cdef BlittableValue root
    cdef size_t rows = 1
    cdef size_t longest = 0
    cdef bint repeated = False
    cdef uint32_t path
    cdef size_t row
    cdef int code
    if blittable_root(item.body, item.body_size, &root) != OK:
        return reduce_corrupt(feed.state, b"a document is no document")
    feed.value_count = 0
    for path in range(paths):
        feed.starts[path] = feed.value_count
        feed.repeats[path] = False
        code = values_collect(feed, &keys[path] if path < key_count else &sums[path - key_count], 0, &root,
                              &feed.repeats[path])
        if code != OK:
            return code
        if path < key_count and keys[path].field:
            feed.repeats[path] = False         # all items are one value
        if feed.repeats[path]:
            repeated = True
            if path < key_count and feed.value_count - feed.starts[path] > longest:
                longest = feed.value_count - feed.starts[path]
    feed.starts[paths] = feed.value_count
    if repeated:
        rows = longest
    for row in range(rows):
        code = row_map(feed, row, key_count, paths)
        if code != OK:
            return code
    feed.rows += rows
    return OK


cdef inline const BlittableValue* value_of(const GroupFeed* feed, uint32_t path, size_t row) noexcept nogil:
    """NULL: missing."""
    cdef size_t place = feed.starts[path] + (row if feed.repeats[path] else 0)
    if place >= feed.starts[path + 1] or feed.values[place].type == 0:
        return NULL
    return &feed.values[place]


cdef void array_write(const GroupFeed* feed, uint32_t path, Output* out) noexcept nogil:
    """All values of a path as one array."""
    cdef size_t place
    output_byte(out, c"[")
    for place in range(feed.starts[path], feed.starts[path + 1]):
        if place > feed.starts[path]:
            output_byte(out, c",")
        if feed.values[place].type == 0:
            output_append(out, b"null", 4)
        else:
            json_write(out, &feed.values[place])
    output_byte(out, c"]")


cdef int row_map(GroupFeed* feed, size_t row, uint32_t key_count, uint32_t paths) noexcept nogil:
    cdef Output* out = &feed.state.bytes
    cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
    cdef size_t start = out.size
    cdef size_t key_size
    cdef const BlittableValue* value
    cdef Sums sums
    cdef double number
    cdef uint32_t path
    memset(&sums, 0, sizeof(Sums))
    sums.count = 1
    output_byte(out, c"[")
    for path in range(key_count):
        value = value_of(feed, path, row)
        if path:
            output_byte(out, c",")
        if (<GroupPaths>feed.program).keys[path].field:
            array_write(feed, path, out)
        elif value == NULL:
            output_append(out, b"null", 4)
        else:
            json_write(out, value)
    output_byte(out, c"]")
    key_size = out.size - start
    if key_size > REDUCE_KEY_SIZE_MAX:
        error_set(&feed.state.trees.txn.error, E_TOO_LARGE, b"the key of a group has more than 65535 bytes")
        return E_TOO_LARGE
    for path in range(key_count, paths):
        value = value_of(feed, path, row)
        if value == NULL or not blittable_is_number(value):
            continue
        if value.type == BLITTABLE_INTEGER:
            sum_integer(&sums.each[path - key_count], value.integer)
        elif blittable_double(value, &number) == OK:
            sum_double(&sums.each[path - key_count], number)
    output_append(out, packed, sums_write(&sums, paths - key_count, packed))
    return mapped_push(feed.state, key_size, out.size - start - key_size)


cdef int groups_walk(GroupFeed* feed) noexcept nogil:
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef RowScan scan
    cdef Item item
    cdef bint changed = False
    cdef int code = scan_start(&scan, &feed.snapshot.tables.items, feed.set_id, feed.since + 1, False)
    while code == OK:
        code = scan_next(&scan)
        if code == OK:
            code = item_decode(&feed.snapshot.txn, scan.row_id, &scan.row, &item)
        if code != OK:
            break
        if item.header.kind == feed.kind:
            if feed.documents >= feed.documents_max or feed.rows >= FEED_ROWS_MAX:
                feed.more = True
                break
            feed.documents += 1
            mapped_begin(feed.state)
            if feed.kind == ITEM_DOCUMENT:
                code = feed.map(feed, &item)
                if code == E_EXPRESSION:
                    mapped_begin(feed.state)
                    feed.failed += 1
                    code = OK
            if code == OK:
                code = document_apply(feed.state, key, identifier_key(item.id, item.header.id_size, key), &changed)
            feed.deleted += changed and feed.kind != ITEM_DOCUMENT
        feed.last_etag = item.etag
    return OK if code == E_NOT_FOUND else code
