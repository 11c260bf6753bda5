"""Decide what an arriving version is to those that are here, and write the outcome."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport load32
from pynori_core.blittable cimport (
    BLITTABLE_INTEGER,
    BlittableValue,
    blittable_equal,
    blittable_get,
    blittable_root,
)
from pynori_core.change_vector cimport (
    DATABASE_ID_SIZE,
    VECTOR_CONFLICT,
    VECTOR_ENTRIES_MAX,
    VECTOR_EQUAL,
    VECTOR_NEWER,
    VECTOR_OLDER,
    VectorOrder,
    vector_compare,
    vector_merge,
    vector_raft,
)
from pynori_core.command cimport (
    COMMAND_VERSION,
    VERSION_CONFLICT,
    VERSION_IGNORED,
    VERSION_STORED,
    ResolveOrder,
    ResultHeader,
    VersionOrder,
    VersionOutcome,
)
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_read, conflict_write
from pynori_core.errors cimport E_CONCURRENCY, E_INVALID, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, identifier_key, identifier_spelling
from pynori_core.output cimport output_append, output_clear
from pynori_core.row_writes cimport (
    broken,
    collection_add,
    collection_resolve,
    result_append,
    result_nothing,
    row_append,
    row_retire,
    subject_depart,
    subject_row,
    subject_start,
    version_append,
    version_retire,
    version_row,
)
from pynori_core.table cimport IndexEntry, table_index_put
from pynori_core.tables cimport (
    COVER_SPELLING,
    INDEX_ID,
    ITEM_DOCUMENT,
    ITEM_FROM_CLUSTER,
    ITEM_RESOLVED,
    ITEM_TOMBSTONE,
    CollectionRecord,
    Item,
    collection_read,
)

cdef const char* HILO_PREFIX = "raven/hilo/"
cdef enum:
    HILO_PREFIX_SIZE = 11

cdef struct Version:
    const VectorEntry* vector
    int vector_count
    uint64_t last_modified
    uint32_t flags                     # ItemFlag
    uint32_t collection                # 0: one that is not here yet, which the command names
    const uint8_t* id
    size_t id_size
    const uint8_t* body
    size_t body_size                   # 0: a deletion
    uint64_t etag                      # of its row; 0: it arrives
    bint gone                          # it has been seen by what arrives, or has become a part of it
    VectorEntry own                    # of a row that stores no vector

cdef struct Settled:                   # what is to be written; its vector is in writer.vector
    Version* winner
    int vector_count
    uint32_t flags
    int left                           # versions that stay beside it


# ---- what is here

cdef void version_of(Writer* writer, const Item* item, Version* version) noexcept nogil:
    memset(version, 0, sizeof(Version))
    version.vector = item.vector
    version.vector_count = item.header.vector_count
    if version.vector_count == 0:
        version.own.etag = item.etag
        version.own.tag = item.header.tag
        memcpy(version.own.id, writer.tables.database_id, DATABASE_ID_SIZE)
        version.vector = &version.own
        version.vector_count = 1
    version.last_modified = item.header.last_modified
    version.flags = item.header.flags
    version.collection = item.header.collection
    version.id = item.id
    version.id_size = item.header.id_size
    version.body = item.body
    version.body_size = item.body_size
    version.etag = item.etag


cdef int versions_load(Writer* writer, Subject* subject, Version* versions, int* count) noexcept nogil:
    """All versions of the id; their pointers live until the next change."""
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef Item item
    cdef int index
    cdef int code
    count[0] = 0
    if not subject.found:
        return OK
    if not subject.conflicted:
        code = subject_row(writer, subject, &item)
        if code == OK:
            version_of(writer, &item, &versions[0])
            count[0] = 1
        return code
    code = conflict_read(&writer.tables, subject.key, subject.key_size, etags, count)
    for index in range(count[0]):
        if code == OK:
            code = version_row(writer, etags[index], &item)
        if code == OK:
            version_of(writer, &item, &versions[index])
    return broken(writer, b"a conflict without a list") if code == E_NOT_FOUND else code


cdef int subject_has_seen(Writer* writer, Subject* subject, const VectorEntry* entries, int count) noexcept nogil:
    cdef Version versions[CONFLICT_VERSIONS_MAX]
    cdef int here
    cdef int index
    cdef int code = versions_load(writer, subject, versions, &here)
    if code != OK:
        return code
    for index in range(here):
        if vector_compare(versions[index].vector, versions[index].vector_count, entries, count) in (
                VECTOR_NEWER, VECTOR_EQUAL):
            return OK
    return E_NOT_FOUND


# ---- the order of what vectors do not order

cdef inline int bytes_order(const uint8_t* left, size_t left_size, const uint8_t* right,
                            size_t right_size) noexcept nogil:
    cdef int order = memcmp(left, right, left_size if left_size < right_size else right_size)
    return order if order else <int>(left_size > right_size) - <int>(left_size < right_size)


cdef size_t collection_key_of(Writer* writer, const Command* command, const Version* version,
                              uint8_t* key) noexcept nogil:
    """The lower-cased name; numbers are this database's own."""
    cdef CollectionRecord record
    cdef const uint8_t* name
    cdef size_t name_size
    if version.collection == 0:
        memcpy(key, command.collection_key, command.header.collection_key_size)
        return command.header.collection_key_size
    if collection_read(&writer.tables, version.collection, &record, &name, &name_size) != OK:
        return 0                   # writing a row of it will say so
    return identifier_key(name, name_size, key)


cdef int version_order(Writer* writer, const Command* command, const Version* left,
                       const Version* right) noexcept nogil:
    """Above 0: `left` is the greater one. The same wherever it is asked; 0: they are the same version."""
    cdef uint8_t left_key[ID_KEY_SIZE_MAX]
    cdef uint8_t right_key[ID_KEY_SIZE_MAX]
    cdef int order
    if left.last_modified != right.last_modified:
        return 1 if left.last_modified > right.last_modified else -1
    order = bytes_order(left.body, left.body_size, right.body, right.body_size)
    if order == 0:
        order = bytes_order(left.id, left.id_size, right.id, right.id_size)
    if order == 0 and left.collection != right.collection:
        order = bytes_order(left_key, collection_key_of(writer, command, left, left_key),
                            right_key, collection_key_of(writer, command, right, right_key))
    return order if order else <int>(left.flags > right.flags) - <int>(left.flags < right.flags)


cdef bint same_content(const Version* left, const Version* right) noexcept nogil:
    cdef BlittableValue left_root
    cdef BlittableValue right_root
    if left.body_size == 0 or right.body_size == 0:
        return left.body_size == right.body_size
    if blittable_root(left.body, left.body_size, &left_root) != OK or blittable_root(
            right.body, right.body_size, &right_root) != OK:
        return False
    return blittable_equal(&left_root, &right_root)


cdef inline bint is_hilo(const Command* command) noexcept nogil:
    return command.header.key_size > HILO_PREFIX_SIZE and memcmp(command.key, HILO_PREFIX, HILO_PREFIX_SIZE) == 0


cdef int64_t hilo_max(const Version* version) noexcept nogil:
    """The highest number that was given; ranges of two nodes never meet, for their ids name the node."""
    cdef BlittableValue root
    cdef BlittableValue value
    if blittable_root(version.body, version.body_size, &root) != OK or blittable_get(&root, "Max", 3, &value) != OK:
        return 0
    return value.integer if value.type == BLITTABLE_INTEGER else 0


cdef Version* winner_by_cluster(const Writer* writer, int vector_count, Version* left, Version* right) noexcept nogil:
    """What has seen more of the cluster-wide transactions; of equals what was written on top of one. NULL: neither."""
    cdef uint64_t left_seen = vector_raft(writer.vector, vector_count)
    cdef uint64_t right_seen = vector_raft(right.vector, right.vector_count)
    if left_seen != right_seen:
        return left if left_seen > right_seen else right
    if (left.flags ^ right.flags) & ITEM_FROM_CLUSTER:
        return right if left.flags & ITEM_FROM_CLUSTER else left
    return NULL


cdef Version* winner_by_rule(Writer* writer, const Command* command, int vector_count, Version* left,
                             Version* right) noexcept nogil:
    """The one that stays of two in conflict; NULL: no rule says. `left` has writer.vector."""
    cdef Version* winner
    if (left.flags | right.flags) & ITEM_FROM_CLUSTER:
        winner = winner_by_cluster(writer, vector_count, left, right)
        if winner != NULL:
            return winner
    if is_hilo(command) and left.body_size and right.body_size:
        if hilo_max(left) != hilo_max(right):
            return left if hilo_max(left) > hilo_max(right) else right
        return left if version_order(writer, command, left, right) > 0 else right
    if same_content(left, right):
        return left if version_order(writer, command, left, right) > 0 else right
    return NULL


# ---- deciding

cdef bint was_dropped(Writer* writer, const Version* arriving) noexcept nogil:
    """Nothing here has seen it, and yet it was brought here or made here: it was deleted, and the tombstone dropped.

    It comes from who was late in sending it. A deletion may come again: it may be in conflict elsewhere. What this
    database made itself counts up to the last dropped tombstone: files that were restored from an old copy get back
    what they made later.
    """
    cdef VectorEntry seen[VECTOR_ENTRIES_MAX]
    cdef VectorEntry own
    cdef int count = writer.known_count
    if arriving.body_size == 0 or (count == 0 and writer.state.purged_etag == 0):
        return False
    memcpy(seen, writer.known, <size_t>count * sizeof(VectorEntry))
    own.etag = writer.state.purged_etag
    own.tag = writer.tables.tag
    memcpy(own.id, writer.tables.database_id, DATABASE_ID_SIZE)
    count = vector_merge(seen, count, VECTOR_ENTRIES_MAX, &own, 1)
    return vector_compare(arriving.vector, arriving.vector_count, seen, count) in (VECTOR_OLDER, VECTOR_EQUAL)


cdef int settle(Writer* writer, const Command* command, Version* arriving, Version* versions, int count,
                Settled* settled) noexcept nogil:
    """E_NOT_FOUND: what is here, or was here, has seen it. Nothing is changed."""
    cdef Version* winner
    cdef Version* here
    cdef VectorOrder order
    cdef int index
    cdef bint merged = True
    cdef bint same = False
    for index in range(count):
        here = &versions[index]
        order = vector_compare(arriving.vector, arriving.vector_count, here.vector, here.vector_count)
        if order == VECTOR_OLDER or (order == VECTOR_EQUAL
                                     and version_order(writer, command, arriving, here) <= 0):
            return E_NOT_FOUND
        same = same or order == VECTOR_EQUAL
    if not same and (count == 0 or not arriving.flags & ITEM_RESOLVED) and was_dropped(writer, arriving):
        return E_NOT_FOUND
    settled.winner = arriving
    settled.flags = arriving.flags
    settled.vector_count = arriving.vector_count
    memcpy(writer.vector, arriving.vector, <size_t>arriving.vector_count * sizeof(VectorEntry))
    while merged:
        merged = False
        settled.left = 0
        for index in range(count):
            here = &versions[index]
            if here.gone:
                continue
            order = vector_compare(writer.vector, settled.vector_count, here.vector, here.vector_count)
            winner = settled.winner
            if order == VECTOR_CONFLICT:
                winner = winner_by_rule(writer, command, settled.vector_count, settled.winner, here)
                if winner == NULL:
                    settled.left += 1
                    continue
                settled.vector_count = vector_merge(writer.vector, settled.vector_count, VECTOR_ENTRIES_MAX - 1,
                                                    here.vector, here.vector_count)
                if settled.vector_count < 0:
                    return E_TOO_LARGE
                settled.winner = winner
                settled.flags = winner.flags | ITEM_RESOLVED
                merged = True      # it has seen more now: others may be older than it
            here.gone = True
    return OK


# ---- writing

cdef int keep(Writer* writer, Version* version) noexcept nogil:
    """Copy what a row holds, for it is to be written again while rows are changed."""
    if version.etag == 0:
        return OK
    output_clear(&writer.kept)
    output_append(&writer.kept, version.id, version.id_size)
    output_append(&writer.kept, version.body, version.body_size)
    if writer.kept.failure != OK:
        return writer.kept.failure
    version.id = writer.kept.data
    version.body = writer.kept.data + version.id_size
    return OK


cdef void subject_take(Subject* subject, const Version* version, uint32_t flags) noexcept nogil:
    """The row that will be is this version's."""
    cdef uint64_t spelling = 0
    memset(&subject.fresh, 0, sizeof(subject.fresh))
    subject.id = version.id
    subject.id_size = version.id_size
    subject.body = version.body
    subject.body_size = version.body_size
    subject.last_modified = version.last_modified
    subject.flags = flags
    if identifier_spelling(version.id, version.id_size, subject.key, subject.key_size, &spelling):
        subject.fresh.spelling = spelling
        subject.fresh.flags = COVER_SPELLING


cdef int store_alone(Writer* writer, Subject* subject, const Settled* settled) noexcept nogil:
    """It is the only version."""
    cdef Version* winner = settled.winner
    subject_take(subject, winner, settled.flags)
    return row_append(writer, subject, ITEM_DOCUMENT if winner.body_size else ITEM_TOMBSTONE, winner.collection,
                      settled.vector_count)


cdef int store_conflict(Writer* writer, Subject* subject, const Settled* settled, Version* versions,
                        int count) noexcept nogil:
    """Those that are gone leave, it comes to the others. A document that was alone becomes a version first."""
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef IndexEntry entry
    cdef Version* winner = settled.winner
    cdef int left = 0
    cdef int index
    cdef int code = OK
    if subject.conflicted:
        for index in range(count):
            if not versions[index].gone:
                etags[left] = versions[index].etag
                left += 1
            elif code == OK:
                code = version_retire(writer, versions[index].etag)
    else:
        code = store_first(writer, subject, &versions[0], &etags[0])
        left = 1
        memcpy(writer.vector, winner.vector, <size_t>winner.vector_count * sizeof(VectorEntry))
    if code != OK:
        return code
    subject_take(subject, winner, settled.flags)
    etags[left] = subject.etag
    code = version_append(writer, subject, winner.collection, settled.vector_count, &entry)
    if code == OK:
        code = table_index_put(&writer.tables.items, INDEX_ID, subject.key, subject.key_size, &entry)
    if code == OK:
        code = conflict_write(&writer.tables, subject.key, subject.key_size, etags, left + 1)
    if code == OK and not subject.conflicted:
        writer.state.conflicts += 1
        code = subject_depart(writer, subject)
    return broken(writer, b"versions, sets and index") if code == E_NOT_FOUND or code == E_INVALID else code


cdef int store_first(Writer* writer, Subject* subject, Version* version, uint64_t* etag) noexcept nogil:
    """What was the document, or its tombstone, is written again as a version; the subject gets the etag behind it."""
    cdef IndexEntry entry
    cdef int code = keep(writer, version)
    memcpy(writer.vector, version.vector, <size_t>version.vector_count * sizeof(VectorEntry))
    if code == OK:
        code = row_retire(writer, subject)
    subject_take(subject, version, version.flags)
    etag[0] = subject.etag
    if code == OK:
        code = version_append(writer, subject, version.collection, version.vector_count, &entry)
    subject.etag += 1
    return code


cdef int store(Writer* writer, const Command* command, Subject* subject, Settled* settled, Version* versions,
               int count) noexcept nogil:
    cdef int code = keep(writer, settled.winner)
    if code == OK and settled.winner.collection == 0:
        code = collection_add(writer, command, &settled.winner.collection)
    if code != OK:
        return code
    if settled.left == 0:
        return store_alone(writer, subject, settled)
    return store_conflict(writer, subject, settled, versions, count)


# ---- the commands

cdef void version_arriving(const Command* command, Version* version) noexcept nogil:
    cdef VersionOrder order
    memcpy(&order, command.body, sizeof(VersionOrder))
    memset(version, 0, sizeof(Version))
    version.vector = command.source
    version.vector_count = command.header.source_count
    version.last_modified = order.last_modified
    version.flags = order.flags
    version.id = command.id
    version.id_size = command.header.id_size
    version.body = command.body + sizeof(VersionOrder)
    version.body_size = command.header.body_size - sizeof(VersionOrder)


cdef int version_result(const Subject* subject, VersionOutcome outcome, Output* results) noexcept nogil:
    """The id only where somebody wants to hear of it."""
    cdef ResultHeader header
    memset(&header, 0, sizeof(ResultHeader))
    header.kind = COMMAND_VERSION
    header.deleted = <uint8_t>outcome
    header.id_size = <uint16_t>(subject.id_size if outcome == VERSION_CONFLICT else 0)
    header.size = <uint32_t>(sizeof(ResultHeader) + header.id_size)
    output_append(results, &header, sizeof(ResultHeader))
    output_append(results, subject.id, header.id_size)
    return results.failure


cdef int version_apply(Writer* writer, const Command* command, Output* results,
                       CommandFailure* failure) noexcept nogil:
    cdef Version versions[CONFLICT_VERSIONS_MAX]
    cdef Version arriving
    cdef Settled settled
    cdef Subject subject
    cdef int count = 0
    cdef int code = subject_start(writer, command, &subject)
    version_arriving(command, &arriving)
    if code == OK:
        code = collection_resolve(writer, command, &arriving.collection)
    if code == OK:
        code = versions_load(writer, &subject, versions, &count)
    if code != OK:
        return code
    memset(&settled, 0, sizeof(Settled))
    code = settle(writer, command, &arriving, versions, count, &settled)
    if code == E_NOT_FOUND:
        return version_result(&subject, VERSION_IGNORED, results)
    if code == OK and settled.left >= CONFLICT_VERSIONS_MAX:
        code = E_TOO_LARGE
    if code != OK:
        error_set(&failure.detail, code, b"versions in conflict, or entries of what has seen them, are too many: 255")
        return code
    code = store(writer, command, &subject, &settled, versions, count)
    if code != OK:
        return code
    return version_result(&subject, VERSION_CONFLICT if settled.left else VERSION_STORED, results)


cdef bint order_matches(const Command* command, const ResolveOrder* order, const Version* versions,
                        int count) noexcept nogil:
    """Whether the versions that are there are exactly those that a resolution was made of."""
    cdef const uint8_t* here = command.body + sizeof(ResolveOrder)
    cdef bint matched[CONFLICT_VERSIONS_MAX]
    cdef uint32_t entries
    cdef uint32_t _wanted
    cdef int index
    if order.versions != <uint32_t>count:
        return False
    memset(matched, 0, sizeof(matched))
    for _wanted in range(order.versions):
        entries = load32(here)
        here += sizeof(uint32_t)
        for index in range(count):
            if not matched[index] and vector_compare(
                    versions[index].vector, versions[index].vector_count, <const VectorEntry*>here,
                    <int>entries) == VECTOR_EQUAL:
                matched[index] = True
                break
        else:
            return False
        here += entries * sizeof(VectorEntry)
    return True


cdef int version_resolve(Writer* writer, const Command* command, Output* results,
                         CommandFailure* failure) noexcept nogil:
    cdef Version versions[CONFLICT_VERSIONS_MAX]
    cdef Version outcome
    cdef ResolveOrder order
    cdef Subject subject
    cdef Version* greatest = &versions[0]
    cdef int vector_count = 0
    cdef int count = 0
    cdef int index
    cdef int code = subject_start(writer, command, &subject)
    memcpy(&order, command.body, sizeof(ResolveOrder))
    if code == OK:
        code = versions_load(writer, &subject, versions, &count)
    if code != OK:
        return code
    if not subject.conflicted or not order_matches(command, &order, versions, count):
        error_set(&failure.detail, E_CONCURRENCY, b"the versions of the document are other ones by now")
        return E_CONCURRENCY
    for index in range(count):
        vector_count = vector_merge(writer.vector, vector_count, VECTOR_ENTRIES_MAX - 1, versions[index].vector,
                                    versions[index].vector_count)
        if vector_count < 0:
            error_set(&failure.detail, E_TOO_LARGE, b"a change vector has at most 255 entries (VECTOR_ENTRIES_MAX)")
            return E_TOO_LARGE
        if version_order(writer, command, &versions[index], greatest) > 0:
            greatest = &versions[index]
    outcome = greatest[0]
    outcome.body_size = 0
    code = keep(writer, &outcome)
    if code == OK and not order.deleted:
        outcome.body = command.body + sizeof(ResolveOrder) + order.vectors_size
        outcome.body_size = command.header.body_size - sizeof(ResolveOrder) - order.vectors_size
        code = collection_resolve(writer, command, &outcome.collection)
        if code == OK and outcome.collection == 0:
            code = collection_add(writer, command, &outcome.collection)
    if code != OK:
        return code
    subject_take(&subject, &outcome, ITEM_RESOLVED)
    code = row_append(writer, &subject, ITEM_TOMBSTONE if order.deleted else ITEM_DOCUMENT, outcome.collection,
                      vector_count)
    if code == OK:
        code = result_append(writer, command, &subject, outcome.collection, vector_count, results)
    return code


cdef int known_merge(Writer* writer, const Command* command, Output* results,
                     CommandFailure* failure) noexcept nogil:
    cdef VectorEntry merged[VECTOR_ENTRIES_MAX]
    cdef int count
    memcpy(merged, writer.known, <size_t>writer.known_count * sizeof(VectorEntry))
    count = vector_merge(merged, writer.known_count, VECTOR_ENTRIES_MAX - 2, command.source,
                         command.header.source_count)
    if count < 0:
        error_set(&failure.detail, E_TOO_LARGE, b"a change vector has at most 255 entries (VECTOR_ENTRIES_MAX)")
        return E_TOO_LARGE
    if count != writer.known_count or memcmp(merged, writer.known, <size_t>count * sizeof(VectorEntry)):
        memcpy(writer.known, merged, <size_t>count * sizeof(VectorEntry))
        writer.known_count = count
        writer.known_dirty = True
    return result_nothing(command, results)
