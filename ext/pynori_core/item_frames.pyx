"""Put items into frames, snapshot by snapshot; check frames and make commands of them."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport min64
from pynori_core.blittable cimport (
    BLITTABLE_OBJECT,
    BLITTABLE_STRING,
    BlittableValue,
    blittable_get,
    blittable_root,
    blittable_string,
    blittable_validate,
)
from pynori_core.change_vector cimport (
    VECTOR_ENTRIES_MAX,
    VECTOR_EQUAL,
    VECTOR_OLDER,
    VECTOR_TEXT_MAX,
    VectorEntry,
    VectorOrder,
    vector_compare,
    vector_format,
    vector_parse,
    vector_raft,
    vector_valid,
    vector_without,
)
from pynori_core.command cimport Batch, command_version
from pynori_core.errors cimport (
    E_CORRUPT,
    E_INVALID,
    E_NOT_FOUND,
    E_TOO_LARGE,
    E_VERSION,
    OK,
    error_clear,
    error_set,
    raise_error,
)
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_check, identifier_key
from pynori_core.items cimport (
    DocumentStore,
    Snapshot,
    snapshot_begin,
    snapshot_end,
    snapshot_exception,
    store_enter_or_raise,
    store_leave,
)
from pynori_core.output cimport Output, output_append, output_init, output_release
from pynori_core.reads cimport Text, text_of
from pynori_core.table cimport SET_ALL, RowScan, scan_next, scan_start
from pynori_core.tables cimport (
    COLLECTION_NAME_SIZE_MAX,
    ITEM_CONFLICT,
    ITEM_DOCUMENT,
    ITEM_FLAGS_KNOWN,
    ITEM_FROM_CLUSTER,
    ITEM_RESOLVED,
    ITEM_TOMBSTONE,
    CollectionRecord,
    DatabaseState,
    Item,
    collection_read,
    item_decode,
    item_vector,
    state_read,
    tables_vector,
)

cdef extern from "pynori_scan.h":
    size_t utf8_valid "pyn_utf8_valid"(const uint8_t* text, size_t size) noexcept nogil

cdef extern from *:
    """
    #define PYN_TICKS_MAX 3155378975999999999ULL  /* 9999-12-31T23:59:59.9999999 */
    """
    const uint64_t TICKS_MAX "PYN_TICKS_MAX"

cdef const char* MAGIC = "PIF"


# ---- writing

cdef struct Sender:                    # one call of `outgoing`
    Snapshot* snapshot
    Output output                      # the frame
    uint64_t since
    int skip_count                     # entries of `skip`
    VectorEntry skip[256]              # what the receiver has (VECTOR_ENTRIES_MAX)
    int own_count                      # entries of `own`
    VectorEntry own[256]               # counters of cluster-wide transactions that the receiver applies, from there on
    uint64_t items_max
    uint64_t bytes_max
    uint64_t items
    uint64_t skipped
    uint64_t rows                      # looked at
    uint64_t last_etag                 # up to which everything is in the frame or skipped
    bint ended
    # Where the user transaction began that is being written; what does not fit goes back to it.
    uint64_t user_txn
    uint64_t begin_size
    uint64_t begin_items
    uint64_t begin_skipped
    uint64_t begin_etag


cdef int frame_write(Sender* sender, const Item* item, const VectorEntry* vector, int vector_count) noexcept nogil:
    cdef Output* output = &sender.output
    cdef CollectionRecord record
    cdef FrameItem header
    cdef const uint8_t* name
    cdef size_t name_size
    cdef int code = collection_read(&sender.snapshot.tables, item.header.collection, &record, &name, &name_size)
    if code != OK:
        return E_CORRUPT if code == E_NOT_FOUND else code
    memset(&header, 0, sizeof(FrameItem))
    header.kind = ITEM_DOCUMENT if item.body_size else ITEM_TOMBSTONE
    header.id_size = item.header.id_size
    header.flags = item.header.flags
    header.vector_count = <uint16_t>vector_count
    header.collection_size = <uint16_t>name_size
    header.body_size = <uint32_t>item.body_size
    header.last_modified = item.header.last_modified
    header.size = <uint32_t>(sizeof(FrameItem) + vector_count * sizeof(VectorEntry) + name_size + header.id_size
                             + item.body_size)
    output_append(output, &header, sizeof(FrameItem))
    output_append(output, vector, vector_count * sizeof(VectorEntry))
    output_append(output, name, name_size)
    output_append(output, item.id, header.id_size)
    output_append(output, item.body, item.body_size)
    sender.items += 1
    return output.failure


cdef bint known_there(const Sender* sender, const Item* item, const VectorEntry* vector, int count) noexcept nogil:
    """Whether the receiver has it, or something newer. What was made by a rule counts nothing of its own, so that
    nobody can tell from a vector who has it. And a version in conflict may be a deletion that the receiver has dropped
    since, which it has to hear of again beside the other version."""
    if item.header.flags & ITEM_RESOLVED or item.header.kind == ITEM_CONFLICT:
        return False
    if item.header.flags & ITEM_FROM_CLUSTER and sender.own_count and made_there(sender, vector, count):
        return True
    return sender.skip_count > 0 and skipped(sender, vector, count)


cdef bint skipped(const Sender* sender, const VectorEntry* vector, int count) noexcept nogil:
    cdef VectorOrder order = vector_compare(vector, count, sender.skip, sender.skip_count)
    return order == VECTOR_OLDER or order == VECTOR_EQUAL


cdef bint made_there(const Sender* sender, const VectorEntry* vector, int count) noexcept nogil:
    """Whether the receiver makes the same by itself of what the cluster has agreed on, upon what it has already."""
    cdef VectorEntry rest[VECTOR_ENTRIES_MAX]
    cdef int left
    memcpy(rest, vector, <size_t>count * sizeof(VectorEntry))
    left = vector_without(rest, count, sender.own, sender.own_count)
    return vector_raft(rest, left) < vector_raft(vector, count) and (left == 0 or skipped(sender, rest, left))


cdef inline bint is_full(const Sender* sender) noexcept nogil:
    return sender.items > 0 and (sender.items >= sender.items_max or sender.output.size >= sender.bytes_max)


cdef void send_begin_txn(Sender* sender, uint64_t user_txn) noexcept nogil:
    sender.user_txn = user_txn
    sender.begin_size = sender.output.size
    sender.begin_items = sender.items
    sender.begin_skipped = sender.skipped
    sender.begin_etag = sender.last_etag


cdef bint send_overflows(const Sender* sender) noexcept nogil:
    """The transaction that is being written does not fit behind those before it."""
    return sender.begin_items > 0 and (sender.items > sender.items_max or sender.output.size > sender.bytes_max
                                       or sender.output.failure == E_TOO_LARGE)


cdef void send_undo_txn(Sender* sender) noexcept nogil:
    sender.output.size = sender.begin_size
    sender.output.failure = OK
    sender.items = sender.begin_items
    sender.skipped = sender.begin_skipped
    sender.last_etag = sender.begin_etag


cdef int send_items(Sender* sender) noexcept nogil:
    """Whole user transactions, up to the bounds; the first one whatever its size."""
    cdef VectorEntry vector[VECTOR_ENTRIES_MAX]
    cdef RowScan scan
    cdef Item item
    cdef int count
    cdef int code = scan_start(&scan, &sender.snapshot.tables.items, SET_ALL, sender.since + 1, False)
    while code == OK:
        code = scan_next(&scan)
        if code == OK:
            code = item_decode(&sender.snapshot.txn, scan.row_id, &scan.row, &item)
        if code != OK:
            break
        if item.header.user_txn != sender.user_txn:
            if is_full(sender) or sender.rows >= OUTGOING_ROWS_MAX:
                return OK
            send_begin_txn(sender, item.header.user_txn)
        count = item_vector(&sender.snapshot.tables, &item, vector)
        if known_there(sender, &item, vector, count):
            sender.skipped += 1
        else:
            code = frame_write(sender, &item, vector, count)
            if send_overflows(sender):
                send_undo_txn(sender)
                return OK
            if code == E_TOO_LARGE or sender.items > FRAME_ITEMS_MAX:
                error_set(&sender.snapshot.txn.error, E_TOO_LARGE,
                          b"user transaction %llu does not fit a frame (FRAME_BYTES_MAX, FRAME_ITEMS_MAX)",
                          <unsigned long long>sender.user_txn)
                return E_TOO_LARGE
        sender.rows += 1
        sender.last_etag = item.etag
    sender.ended = code == E_NOT_FOUND
    return OK if sender.ended else code


cdef int send(Sender* sender, VectorEntry* vector, int* vector_count) noexcept nogil:
    """The frame with its header; `vector`: of the database at the moment of the snapshot."""
    cdef FrameHeader header
    cdef DatabaseState state
    cdef int code
    memset(&header, 0, sizeof(FrameHeader))
    output_append(&sender.output, &header, sizeof(FrameHeader))
    sender.last_etag = sender.since
    sender.begin_etag = sender.since
    code = state_read(&sender.snapshot.tables, &state)
    if code == OK and sender.since < state.last_etag:
        code = send_items(sender)
    elif code == OK:
        sender.ended = True
    if code != OK:
        return code
    if sender.ended:
        sender.last_etag = state.last_etag
    memcpy(header.magic, MAGIC, 3)
    header.version = FRAME_VERSION
    header.items = <uint32_t>sender.items
    header.size = sender.output.size
    if sender.output.failure != OK:
        return sender.output.failure
    memcpy(sender.output.data, &header, sizeof(FrameHeader))
    vector_count[0] = tables_vector(&sender.snapshot.tables, vector)
    return OK if vector_count[0] >= 0 else -vector_count[0]


@cython.final
cdef class Outgoing:
    """Items of one snapshot for another instance, and how far they reach."""
    cdef readonly bytes frame
    cdef readonly Py_ssize_t items
    cdef readonly Py_ssize_t skipped
    cdef readonly uint64_t last_etag
    cdef readonly bint ended
    cdef readonly str vector

    def __repr__(self):
        return f"Outgoing(items={self.items}, skipped={self.skipped}, last_etag={self.last_etag}, ended={self.ended})"


def outgoing(DocumentStore store not None, uint64_t since, str skip not None, uint64_t items_max, uint64_t bytes_max,
             str own not None=""):
    """The items behind the etag `since` that a receiver does not have, whose change vector is `skip`.

    Whole user transactions, at least one and else at most `items_max` items and `bytes_max` bytes. `last_etag` is where
    to go on; `ended`: there was nothing behind it, and `vector` is what the database had seen then. own: entries of
    the counters of cluster-wide transactions, from which on the receiver applies them by itself. Blocks without the
    GIL. Raises: InvalidArgument, TooLarge (one transaction is larger than a frame may be), CorruptError.
    """
    cdef Sender sender
    cdef Snapshot snapshot
    cdef VectorEntry vector[VECTOR_ENTRIES_MAX]
    cdef char text[VECTOR_TEXT_MAX]
    cdef ErrorDetail error
    cdef Text skip_text = text_of(skip)
    cdef Text own_text = text_of(own)
    cdef int vector_count = 0
    cdef int code
    cdef Outgoing made
    memset(&sender, 0, sizeof(Sender))
    error_clear(&error)
    sender.skip_count = vector_parse(<const char*>skip_text.data, skip_text.size, sender.skip, VECTOR_ENTRIES_MAX)
    sender.own_count = vector_parse(<const char*>own_text.data, own_text.size, sender.own, VECTOR_ENTRIES_MAX)
    if sender.skip_count < 0 or sender.own_count < 0:
        error_set(&error, E_INVALID, b"what the receiver has is no change vector")
        raise_error(&error)
    sender.since = since
    sender.items_max = min64(items_max, FRAME_ITEMS_MAX)
    sender.bytes_max = min64(bytes_max, FRAME_BYTES_MAX)
    sender.snapshot = &snapshot
    output_init(&sender.output, FRAME_BYTES_MAX)
    store_enter_or_raise(store)
    try:
        with nogil:
            code = snapshot_begin(store, &snapshot)
            if code == OK:
                code = send(&sender, vector, &vector_count)
        exception = snapshot_exception(&snapshot, code) if code != OK else None
        snapshot_end(&snapshot)
        if exception is not None:
            raise exception
        made = Outgoing.__new__(Outgoing)
        made.frame = PyBytes_FromStringAndSize(<const char*>sender.output.data, <Py_ssize_t>sender.output.size)
    finally:
        store_leave(store)
        output_release(&sender.output)
    made.items = <Py_ssize_t>sender.items
    made.skipped = <Py_ssize_t>sender.skipped
    made.last_etag = sender.last_etag
    made.ended = sender.ended
    made.vector = text[:vector_format(vector, vector_count, text)].decode("ascii")
    return made


# ---- reading

cdef int refuse(ErrorDetail* error, int code, size_t position, const char* what) noexcept nogil:
    error_set(error, code, b"a frame of items is wrong at byte %zu: %s", position, what)
    error.offset = position
    return code


cdef int frame_open(const uint8_t* frame, size_t size, uint32_t* items, ErrorDetail* error) noexcept nogil:
    cdef FrameHeader header
    if size < sizeof(FrameHeader) or memcmp(frame, MAGIC, 3):
        return refuse(error, E_INVALID, 0, b"it does not begin as one")
    memcpy(&header, frame, sizeof(FrameHeader))
    if header.version != FRAME_VERSION:
        return refuse(error, E_VERSION, 3, b"its version is not 1, the one that this build knows")
    if header.size != size or size > FRAME_BYTES_MAX:
        return refuse(error, E_INVALID, 8, b"its size is another one, or above FRAME_BYTES_MAX")
    if header.items > FRAME_ITEMS_MAX or header.items > size // sizeof(FrameItem):
        return refuse(error, E_INVALID, 4, b"it cannot hold that many items (FRAME_ITEMS_MAX)")
    items[0] = header.items
    return OK


cdef int frame_read(const uint8_t* frame, size_t size, size_t* position, VersionParts* parts,
                    ErrorDetail* error) noexcept nogil:
    cdef size_t here = position[0]
    cdef FrameItem header
    cdef uint64_t told
    if size - here < sizeof(FrameItem):
        return refuse(error, E_INVALID, here, b"an item is cut off")
    memcpy(&header, frame + here, sizeof(FrameItem))
    told = sizeof(FrameItem) + header.vector_count * sizeof(VectorEntry)
    told += <uint64_t>header.collection_size + header.id_size + header.body_size
    if told != header.size or header.size > size - here:
        return refuse(error, E_INVALID, here, b"the sizes of an item contradict each other")
    if header.reserved or header.reserved2 or header.last_modified > TICKS_MAX:
        return refuse(error, E_INVALID, here, b"an item has a time or a field that cannot be")
    if header.flags & ~<uint32_t>ITEM_FLAGS_KNOWN:
        return refuse(error, E_VERSION, here, b"an item has flags that this build does not know")
    if header.kind != (ITEM_DOCUMENT if header.body_size else ITEM_TOMBSTONE):
        return refuse(error, E_INVALID, here, b"an item is neither a document nor a deletion")
    position[0] = here + header.size
    memset(parts, 0, sizeof(VersionParts))
    parts.order.last_modified = header.last_modified
    parts.order.flags = header.flags
    parts.order.deleted = header.body_size == 0
    parts.vector = <const VectorEntry*>(frame + here + sizeof(FrameItem))
    parts.vector_count = header.vector_count
    parts.collection = <const uint8_t*>(parts.vector + header.vector_count)
    parts.collection_size = header.collection_size
    parts.id = parts.collection + header.collection_size
    parts.id_size = header.id_size
    parts.body = parts.id + header.id_size
    parts.body_size = header.body_size
    return check_parts(parts, here, error)


cdef int check_parts(const VersionParts* parts, size_t here, ErrorDetail* error) noexcept nogil:
    cdef ErrorDetail found
    error_clear(&found)
    if not 0 < parts.vector_count < VECTOR_ENTRIES_MAX or not vector_valid(parts.vector, parts.vector_count):
        return refuse(error, E_INVALID, here, b"the change vector of an item is none")
    if not 0 < parts.collection_size <= COLLECTION_NAME_SIZE_MAX or utf8_valid(
            parts.collection, parts.collection_size) != parts.collection_size:
        return refuse(error, E_INVALID, here, b"the collection of an item is no name")
    if not 0 < parts.id_size <= ID_SIZE_MAX or utf8_valid(parts.id, parts.id_size) != parts.id_size \
            or identifier_check(parts.id, parts.id_size, &found) != OK:
        return refuse(error, E_INVALID, here, b"the id of an item is none")
    if parts.body_size and blittable_validate(parts.body, parts.body_size, &found) != OK:
        return refuse(error, E_INVALID, here, b"the body of an item is no document")
    if parts.body_size and not states_collection(parts):
        return refuse(error, E_INVALID, here, b"a document states another collection than its item")
    return OK


cdef bint states_collection(const VersionParts* parts) noexcept nogil:
    cdef uint8_t stated_key[ID_KEY_SIZE_MAX]
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef BlittableValue root
    cdef BlittableValue metadata
    cdef BlittableValue value
    cdef const uint8_t* stated = b"@empty"
    cdef size_t stated_size = 6
    cdef size_t size
    if blittable_root(parts.body, parts.body_size, &root) != OK or root.type != BLITTABLE_OBJECT:
        return False
    if blittable_get(&root, "@metadata", 9, &metadata) == OK and blittable_get(
            &metadata, "@collection", 11, &value) == OK and value.type == BLITTABLE_STRING:
        blittable_string(&value, &stated, &stated_size)
        if stated_size == 0:
            stated = b"@empty"
            stated_size = 6
    if stated_size > COLLECTION_NAME_SIZE_MAX:
        return False
    size = identifier_key(parts.collection, parts.collection_size, key)
    return identifier_key(stated, stated_size, stated_key) == size and memcmp(key, stated_key, size) == 0


cdef bytes empty_frame():
    cdef FrameHeader header
    memset(&header, 0, sizeof(FrameHeader))
    memcpy(header.magic, MAGIC, 3)
    header.version = FRAME_VERSION
    header.size = sizeof(FrameHeader)
    return PyBytes_FromStringAndSize(<const char*>&header, sizeof(FrameHeader))


EMPTY_FRAME = empty_frame()            # of no items: for a vector or a position alone


def add_frame(Batch batch not None, const uint8_t[::1] frame not None, str vector not None=""):
    """Add the items of a frame to a batch, as versions that another instance made; all are checked first.

    vector: everything that it counts has been brought here with these items, and every write from then on states it.
    Raises: InvalidArgument, VersionError: the frame is wrong, the message says where; nothing is added then.
    """
    cdef Output records
    cdef Output before
    cdef VersionParts parts
    cdef ErrorDetail error
    cdef const uint8_t* bytes_ = &frame[0] if frame.shape[0] else NULL
    cdef size_t size = <size_t>frame.shape[0]
    cdef size_t position = sizeof(FrameHeader)
    cdef size_t body_bytes = 0
    cdef uint32_t items = 0
    cdef uint32_t _index
    cdef int code
    cdef VectorEntry known[VECTOR_ENTRIES_MAX]
    cdef Text vector_text = text_of(vector)
    cdef int known_count = vector_parse(<const char*>vector_text.data, vector_text.size, known, VECTOR_ENTRIES_MAX)
    error_clear(&error)
    if known_count < 0:
        error_set(&error, E_INVALID, b"what the sender has seen is no change vector")
        raise_error(&error)
    batch.check_handed_over()
    # A record is an item, its header and two keys, each at most half as long again as what it is made of.
    output_init(&records, 3 * <size_t>FRAME_BYTES_MAX)
    try:
        with nogil:
            output_append(&records, batch.records.data, batch.records.size)
            code = frame_open(bytes_, size, &items, &error)
            for _index in range(items):
                if code == OK:
                    code = frame_read(bytes_, size, &position, &parts, &error)
                if code == OK:
                    body_bytes += parts.body_size
                    code = command_version(&records, &parts, &error)
            if code == OK and position != size:
                code = refuse(&error, E_INVALID, position, b"something follows its last item")
        if code == OK:
            before = batch.records
            batch.records = records
            records = before
    finally:
        output_release(&records)
    if code != OK:
        raise_error(&error)
    batch.count += items
    batch.body_bytes += body_bytes
    if known_count:
        batch.add_known(known, known_count)
