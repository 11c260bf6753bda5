"""Make command records from Python's arguments, and Python's results and exceptions from what the writer left."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from pynori_core.bits cimport atomic_load_pointer, compare_swap_pointer
from pynori_core.blittable cimport BlittableValue, document_view
from pynori_core.builder cimport (
    BUILDER_DOCUMENT,
    Builder,
    builder_collection,
    builder_copy,
    builder_init,
    builder_release,
)
from pynori_core.change_vector cimport (
    VECTOR_ENTRIES_MAX,
    VECTOR_TEXT_MAX,
    vector_format,
    vector_parse,
)
from pynori_core.errors cimport (
    E_COLLECTION_MISMATCH,
    E_CONCURRENCY,
    E_CONFLICT,
    E_INVALID,
    E_IO,
    E_NO_MEMORY,
    E_TOO_LARGE,
    OK,
    error_clear,
    error_exception,
    error_set,
    raise_error,
)
from pynori_core.identifier cimport (
    GUID_TEXT_SIZE,
    ID_KEY_SIZE_MAX,
    ID_NUMBER_DIGITS,
    ID_SIZE_MAX,
    identifier_check,
    identifier_guid,
    identifier_key,
    identifier_spelling,
)
from pynori_core.json cimport JSON_DOCUMENT, json_parse
from pynori_core.output cimport output_append, output_init, output_release, output_reserve
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX
from pynori_core.tables cimport flags_words
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format

cdef enum:
    BUILDERS_KEPT = 4                  # builders that wait for the next document, so that their memory is warm
    COLLECTION_NAME_SIZE_MAX = 512

cdef Builder* kept_builders[BUILDERS_KEPT]


cdef void command_failure_release(CommandFailure* failure) noexcept nogil:
    free(failure.actual)
    failure.actual = NULL


cdef void command_decode(const uint8_t* record, Command* command) noexcept nogil:
    cdef const CommandHeader* header = <const CommandHeader*>record
    command.header = header
    command.expected = <const VectorEntry*>(record + sizeof(CommandHeader))
    command.source = command.expected + header.expected_count
    command.id = <const uint8_t*>(command.source + header.source_count)
    command.key = command.id + header.id_size
    command.collection = command.key + header.key_size
    command.collection_key = command.collection + header.collection_size
    command.expected_text = command.collection_key + header.collection_key_size
    command.body = command.expected_text + header.expected_text_size


# ---- builders are dear to make and cheap to keep; whoever finds none makes one

cdef Builder* builder_borrow() noexcept nogil:
    cdef Builder* builder
    cdef int index
    for index in range(BUILDERS_KEPT):
        builder = <Builder*>atomic_load_pointer(<void**>&kept_builders[index])
        if builder != NULL and compare_swap_pointer(<void**>&kept_builders[index], builder, NULL):
            return builder
    builder = <Builder*>calloc(1, sizeof(Builder))
    if builder != NULL and builder_init(builder) != OK:
        free(builder)
        return NULL
    return builder


cdef void builder_return(Builder* builder) noexcept nogil:
    cdef int index
    for index in range(BUILDERS_KEPT):
        if compare_swap_pointer(<void**>&kept_builders[index], NULL, builder):
            return
    builder_release(builder)
    free(builder)


# ---- making records

cdef int expected_parse(CommandHeader* header, const char* text, size_t size, VectorEntry* entries) noexcept nogil:
    """What an expected change vector asks for; more text than any vector has can be kept out of the record."""
    cdef int count
    if size == 0:
        header.expected = EXPECT_NONE
        return OK
    count = vector_parse(text, size, entries, VECTOR_ENTRIES_MAX)
    header.expected = EXPECT_VECTOR if count > 0 else EXPECT_NEVER
    header.expected_count = <uint16_t>(count if count > 0 else 0)
    header.expected_text_size = <uint32_t>(size if size < VECTOR_TEXT_MAX else VECTOR_TEXT_MAX)
    return OK


cdef int collection_check(const uint8_t* name, size_t size, ErrorDetail* error) noexcept nogil:
    cdef size_t index
    if size > COLLECTION_NAME_SIZE_MAX:
        error_set(error, E_TOO_LARGE, b"a collection's name has at most 512 bytes (COLLECTION_NAME_SIZE_MAX)")
        return E_TOO_LARGE
    for index in range(size):
        if name[index] < 0x20 or name[index] == 0x7F:
            error_set(error, E_INVALID, b"a collection's name must not contain control characters")
            return E_INVALID
    return OK


cdef void record_write(Output* records, CommandHeader* header, const VectorEntry* expected, const VectorEntry* source,
                       const uint8_t* id, const uint8_t* key, const uint8_t* collection,
                       const uint8_t* collection_key, const uint8_t* expected_text, const uint8_t* order,
                       size_t order_size, const uint8_t* body) noexcept nogil:
    """`header.body_size` counts the order and the body behind it."""
    cdef size_t size = sizeof(CommandHeader)
    size += (<size_t>header.expected_count + header.source_count) * sizeof(VectorEntry)
    size += header.id_size + header.key_size + header.collection_size + header.collection_key_size
    size += <size_t>header.expected_text_size + header.body_size
    cdef size_t padding = (8 - size % 8) % 8
    cdef uint64_t zero = 0
    if not output_reserve(records, size + padding):
        return
    header.size = <uint32_t>(size + padding)
    output_append(records, header, sizeof(CommandHeader))
    output_append(records, expected, header.expected_count * sizeof(VectorEntry))
    output_append(records, source, header.source_count * sizeof(VectorEntry))
    output_append(records, id, header.id_size)
    output_append(records, key, header.key_size)
    output_append(records, collection, header.collection_size)
    output_append(records, collection_key, header.collection_key_size)
    output_append(records, expected_text, header.expected_text_size)
    output_append(records, order, order_size)
    output_append(records, body, header.body_size - order_size)
    output_append(records, &zero, padding)


cdef int command_make(Output* records, const CommandParts* parts, ErrorDetail* error) noexcept nogil:
    cdef CommandHeader header
    cdef VectorEntry expected_entries[VECTOR_ENTRIES_MAX]
    cdef VectorEntry source_entries[VECTOR_ENTRIES_MAX]
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef uint8_t collection_key[ID_KEY_SIZE_MAX]
    cdef char made[GUID_TEXT_SIZE]
    cdef uint64_t spelling = 0
    cdef const uint8_t* id = parts.id
    cdef size_t id_size = parts.id_size
    cdef int count
    memset(&header, 0, sizeof(CommandHeader))
    if id_size == 0 and parts.kind == COMMAND_PUT:
        if not identifier_guid(made):
            error_set(error, E_IO, b"the system gives no randomness")
            return E_IO
        id = <const uint8_t*>made
        id_size = GUID_TEXT_SIZE
    header.kind = <uint8_t>parts.kind
    header.make_id = parts.kind == COMMAND_PUT and id_size > 0 and id[id_size - 1] == c'/'
    if identifier_check(id, id_size, error) != OK or collection_check(parts.collection, parts.collection_size,
                                                                      error) != OK:
        return error.code
    if header.make_id and id_size + ID_NUMBER_DIGITS + 5 > ID_SIZE_MAX:
        error_set(error, E_TOO_LARGE, b"with its number the id would have more than 512 bytes (ID_SIZE_BYTES_MAX)")
        return E_TOO_LARGE
    header.id_size = <uint16_t>id_size
    header.key_size = <uint16_t>identifier_key(id, id_size, key)
    header.spelling_known = identifier_spelling(id, header.id_size, key, header.key_size, &spelling)
    header.spelling = spelling
    header.collection_size = <uint16_t>parts.collection_size
    header.collection_key_size = <uint16_t>identifier_key(parts.collection, parts.collection_size, collection_key)
    header.body_size = <uint32_t>(parts.order_size + parts.body_size)
    if parts.expected != NULL:
        expected_parse(&header, parts.expected, parts.expected_size, expected_entries)
    if parts.source != NULL:
        count = vector_parse(parts.source, parts.source_size, source_entries, VECTOR_ENTRIES_MAX)
        if count < 0:
            error_set(error, E_INVALID, b"the source change vector is none")
            return E_INVALID
        header.source_count = <uint16_t>count
    if parts.exact and header.source_count == 0:
        error_set(error, E_INVALID, b"what is exact must have a source change vector")
        return E_INVALID
    header.exact = parts.exact
    record_write(records, &header, expected_entries, source_entries, id, key, parts.collection, collection_key,
                 <const uint8_t*>parts.expected, parts.order, parts.order_size, parts.body)
    if records.failure != OK:
        records.failure = OK
        error_set(error, E_NO_MEMORY, b"no memory for a command")
        return E_NO_MEMORY
    return OK


cdef int command_version(Output* records, const VersionParts* parts, ErrorDetail* error) noexcept nogil:
    cdef CommandHeader header
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef uint8_t collection_key[ID_KEY_SIZE_MAX]
    cdef uint64_t spelling = 0
    if identifier_check(parts.id, parts.id_size, error) != OK or collection_check(
            parts.collection, parts.collection_size, error) != OK:
        return error.code
    memset(&header, 0, sizeof(CommandHeader))
    header.kind = COMMAND_VERSION
    header.id_size = <uint16_t>parts.id_size
    header.key_size = <uint16_t>identifier_key(parts.id, parts.id_size, key)
    header.spelling_known = identifier_spelling(parts.id, header.id_size, key, header.key_size, &spelling)
    header.spelling = spelling
    header.source_count = parts.vector_count
    header.collection_size = <uint16_t>parts.collection_size
    header.collection_key_size = <uint16_t>identifier_key(parts.collection, parts.collection_size, collection_key)
    header.body_size = <uint32_t>(sizeof(VersionOrder) + parts.body_size)
    record_write(records, &header, NULL, parts.vector, parts.id, key, parts.collection, collection_key, NULL,
                 <const uint8_t*>&parts.order, sizeof(VersionOrder), parts.body)
    if records.failure != OK:
        error_set(error, records.failure, b"no room for a version that came from elsewhere")
        return records.failure
    return OK


cdef void command_collection(const Builder* builder, const uint8_t** name, size_t* size) noexcept nogil:
    if not builder_collection(builder, name, size) or size[0] == 0:
        name[0] = <const uint8_t*>b"@empty"
        size[0] = 6


cdef int batch_room(size_t count, size_t used_bytes, size_t body_bytes, ErrorDetail* error) noexcept nogil:
    if count >= BATCH_COMMANDS_MAX:
        error_set(error, E_TOO_LARGE, b"a batch has at most 10000 commands (BATCH_COMMANDS_MAX)")
        return E_TOO_LARGE
    if count and used_bytes + body_bytes > BATCH_BYTES_MAX:
        error_set(error, E_TOO_LARGE, b"a batch has at most 64 MB of documents (BATCH_SIZE_BYTES_MAX)")
        return E_TOO_LARGE
    return OK


@cython.final
cdef class Batch:
    """One user transaction in the making: a buffer of simple commands, applied entirely or not at all.

    A batch is handed over once. Not for use by two threads at a time.
    """

    def __cinit__(self):
        output_init(&self.records, <size_t>BATCH_BYTES_MAX + COMMAND_BYTES_MAX)

    def __dealloc__(self):
        output_release(&self.records)

    def __len__(self):
        return self.count

    @property
    def size_bytes(self):
        """Bytes of the records so far."""
        return self.records.size

    def put(self, str id not None, const uint8_t[::1] body not None, str expected_change_vector=None, *,
            str source_change_vector=None, bint exact=False, uint64_t ticks=0):
        """Store a document, given as JSON text.

        id: ending in "/", a number and the node's tag are put behind it; empty, a GUID takes its place.
        expected_change_vector: None, do not care; "", must not exist.
        source_change_vector: what the document had seen where it comes from; merged into what it gets here. `exact`:
        the cluster has agreed on it, and this database adds no entry of its own, only what it takes the place of, in
        whatever collection that stands. When something here has seen it already, nothing is written. ticks: when it was
        agreed on; 0: now.
        Raises: JsonError, InvalidArgument, TooLarge; nothing is added then.
        """
        cdef size_t size = <size_t>body.shape[0]
        cdef AgreedOrder agreed
        agreed.last_modified = ticks
        self.put_text(id, &body[0] if size else <const uint8_t*>b"", size, expected_change_vector, source_change_vector,
                      &agreed if exact else NULL)

    cdef int put_text(self, str id, const uint8_t* text, size_t size, str expected, str source,
                      const AgreedOrder* agreed) except -1:
        cdef Builder* builder = builder_borrow()
        cdef ErrorDetail error
        cdef int code
        if builder == NULL:
            raise MemoryError
        try:
            error_clear(&error)
            if size >= PARSE_NOGIL_BYTES:
                with nogil:
                    code = json_parse(builder, text, size, JSON_DOCUMENT, NULL, &error)
            else:
                code = json_parse(builder, text, size, JSON_DOCUMENT, NULL, &error)
            if code != OK:
                raise_error(&error)
            return self.add_built(builder, id, expected, source, agreed)
        finally:
            builder_return(builder)

    def put_value(self, str id not None, value not None, str expected_change_vector=None, *,
                  str source_change_vector=None):
        """As put, of an object inside a document that is parsed already (pynori_core.blittable.Document)."""
        cdef BlittableValue source
        cdef Builder* builder
        cdef ErrorDetail error
        cdef int code
        document_view(value, &source)
        builder = builder_borrow()
        if builder == NULL:
            raise MemoryError
        try:
            error_clear(&error)
            code = builder_copy(builder, &source, BUILDER_DOCUMENT, &error)
            if code != OK:
                raise_error(&error)
            self.add_built(builder, id, expected_change_vector, source_change_vector, NULL)
        finally:
            builder_return(builder)

    def delete(self, str id not None, str expected_change_vector=None, *, str source_change_vector=None,
               bint exact=False, uint64_t ticks=0):
        """Replace a document by a tombstone; nothing happens when there is none, unless a change vector is expected.

        source_change_vector, exact, ticks: as in put.
        Raises: InvalidArgument, TooLarge; nothing is added then.
        """
        cdef AgreedOrder agreed
        agreed.last_modified = ticks
        self.add(COMMAND_DELETE, id, expected_change_vector, source_change_vector, &agreed if exact else NULL, NULL, 0,
                 NULL, 0)

    def check(self, id: str, expected_change_vector: str):
        """Refuse the batch when the document has another change vector by now; "": when there is one at all.

        Raises: InvalidArgument, TooLarge; nothing is added then.
        """
        self.add(COMMAND_CHECK, id, expected_change_vector, None, NULL, NULL, 0, NULL, 0)

    def set_position(self, str name not None, uint64_t position):
        """Note how far somebody outside has come, in the same transaction as what he brings.

        name: 1 to 512 bytes, case does not matter. Raises: InvalidArgument, TooLarge; nothing is added then.
        """
        self.add(COMMAND_POSITION, name, None, None, NULL, <const uint8_t*>&position, sizeof(position), NULL, 0)

    def purge_tombstones(self, uint64_t etag_max, uint64_t count_max):
        """Drop up to `count_max` of the oldest tombstones whose etag is at most `etag_max`, for good.

        The caller answers for it that nobody needs to hear of those deletions any more. The newest etag of the
        database stays, whatever it is. The result's `purged` says how many went.
        """
        cdef CommandHeader header
        cdef PurgeOrder order
        cdef ErrorDetail error
        error_clear(&error)
        memset(&header, 0, sizeof(CommandHeader))
        self.check_room(sizeof(PurgeOrder), &error)
        order.etag_max = etag_max
        order.count_max = count_max if count_max < PURGE_COUNT_MAX else PURGE_COUNT_MAX
        header.kind = COMMAND_PURGE
        self.add_plain(&header, NULL, <const uint8_t*>&order, sizeof(PurgeOrder))

    cdef int add_known(self, const VectorEntry* entries, int count) except -1:
        """What the entries count has all been brought here, now that the commands before this one are done."""
        cdef CommandHeader header
        memset(&header, 0, sizeof(CommandHeader))
        header.kind = COMMAND_KNOWN
        header.source_count = <uint16_t>count
        return self.add_plain(&header, entries, NULL, 0)

    def resolve(self, str id not None, body, versions not None):
        """End the conflict of an id, if exactly the versions of these change vectors are there.

        body: JSON text of the document that takes their place; None: it is deleted. What is written has seen what the
        versions have, and counts nothing of its own: it is the same wherever it is made of the same versions.
        Raises: JsonError, InvalidArgument, TooLarge; nothing is added then.
        """
        cdef ResolveOrder order
        cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
        cdef ErrorDetail error
        cdef Py_ssize_t size
        cdef const char* text
        cdef uint32_t count
        cdef int found
        error_clear(&error)
        memset(&order, 0, sizeof(ResolveOrder))
        order.versions = <uint32_t>len(versions)
        order.deleted = body is None
        vectors = bytearray()
        for version in versions:
            text = <const char*>utf8_of(version, &size)
            found = vector_parse(text, <size_t>size, entries, VECTOR_ENTRIES_MAX)
            if found <= 0 or order.versions > CONFLICT_VERSIONS_MAX:
                error_set(&error, E_INVALID, b"a conflict has 2 to 256 versions, each with a change vector")
                raise_error(&error)
            count = <uint32_t>found
            vectors += (<const char*>&count)[:sizeof(uint32_t)]
            vectors += (<const char*>entries)[:count * sizeof(VectorEntry)]
        order.vectors_size = <uint32_t>len(vectors)
        self.add_resolve(id, (<const char*>&order)[:sizeof(ResolveOrder)] + bytes(vectors), body)

    cdef int add_resolve(self, str id, bytes order, body) except -1:
        """The command, its document parsed."""
        cdef Builder* builder
        cdef ErrorDetail error
        cdef const uint8_t[::1] text
        cdef int code
        if body is None:
            return self.add_ordered(COMMAND_RESOLVE, id, order, NULL)
        text = body
        builder = builder_borrow()
        if builder == NULL:
            raise MemoryError
        try:
            error_clear(&error)
            code = json_parse(builder, &text[0] if text.shape[0] else <const uint8_t*>b"", <size_t>text.shape[0],
                              JSON_DOCUMENT, NULL, &error)
            if code != OK:
                raise_error(&error)
            return self.add_ordered(COMMAND_RESOLVE, id, order, builder)
        finally:
            builder_return(builder)

    cdef int add_ordered(self, int kind, str id, bytes order, const Builder* builder) except -1:
        cdef CommandParts parts
        cdef ErrorDetail error
        cdef Py_ssize_t size
        memset(&parts, 0, sizeof(CommandParts))
        error_clear(&error)
        parts.kind = kind
        parts.id = utf8_of(id, &size)
        parts.id_size = <size_t>size
        parts.order = <const uint8_t*><const char*>order
        parts.order_size = <size_t>len(order)
        if builder != NULL:
            command_collection(builder, &parts.collection, &parts.collection_size)
            parts.body = builder.data
            parts.body_size = builder.size
        self.check_room(parts.body_size, &error)
        if command_make(&self.records, &parts, &error) != OK:
            raise_error(&error)
        self.body_bytes += parts.body_size
        self.count += 1
        return 0

    cdef int add_plain(self, CommandHeader* header, const VectorEntry* source, const uint8_t* order,
                       size_t order_size) except -1:
        """A command without an id."""
        header.body_size = <uint32_t>order_size
        record_write(&self.records, header, NULL, source, NULL, NULL, NULL, NULL, NULL, order, order_size, NULL)
        if self.records.failure != OK:
            self.records.failure = OK
            raise MemoryError
        self.count += 1
        return 0

    cdef int add_built(self, Builder* builder, str id, str expected, str source, const AgreedOrder* agreed) except -1:
        cdef const uint8_t* collection
        cdef size_t collection_size
        command_collection(builder, &collection, &collection_size)
        return self.add(COMMAND_PUT, id, expected, source, agreed, builder.data, builder.size, collection,
                        collection_size)

    cdef int add(self, int kind, str id, str expected, str source, const AgreedOrder* agreed, const uint8_t* body,
                 size_t body_size, const uint8_t* collection, size_t collection_size) except -1:
        cdef CommandParts parts
        cdef ErrorDetail error
        cdef Py_ssize_t size
        memset(&parts, 0, sizeof(CommandParts))
        error_clear(&error)
        self.check_room(body_size, &error)
        parts.kind = kind
        parts.id = utf8_of(id, &size)
        parts.id_size = <size_t>size
        if expected is not None:
            parts.expected = <const char*>utf8_of(expected, &size)
            parts.expected_size = <size_t>size
        if source is not None:
            parts.source = <const char*>utf8_of(source, &size)
            parts.source_size = <size_t>size
        if agreed != NULL:
            parts.exact = True
            parts.order = <const uint8_t*>agreed
            parts.order_size = sizeof(AgreedOrder)
        parts.collection = collection
        parts.collection_size = collection_size
        parts.body = body
        parts.body_size = body_size
        if command_make(&self.records, &parts, &error) != OK:
            raise_error(&error)
        self.body_bytes += body_size
        self.count += 1
        return 0

    cdef int check_handed_over(self) except -1:
        cdef ErrorDetail error
        if not self.handed_over:
            return 0
        error_clear(&error)
        error_set(&error, E_INVALID, b"this batch was handed over already")
        return raise_error(&error)

    cdef int check_room(self, size_t body_size, ErrorDetail* error) except -1:
        self.check_handed_over()
        if batch_room(<size_t>self.count, self.body_bytes, body_size, error) != OK:
            raise_error(error)
        return 0


cdef const uint8_t* utf8_of(str text, Py_ssize_t* size) except NULL:
    """The UTF-8 bytes of a string, living as long as it; unpaired surrogates are refused."""
    cdef ErrorDetail error
    try:
        return <const uint8_t*>PyUnicode_AsUTF8AndSize(text, size)
    except UnicodeEncodeError:
        error_clear(&error)
        error_set(&error, E_INVALID, b"the text contains an unpaired surrogate")
        raise_error(&error)


# ---- results

cdef inline str decode(const uint8_t* text, size_t size):
    return PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, "replace")


cdef str vector_text(const VectorEntry* entries, int count):
    cdef char text[VECTOR_TEXT_MAX]
    cdef size_t size = vector_format(entries, count, text)
    return decode(<const uint8_t*>text, size)


@cython.final
cdef class CommandResult:
    """What one command of a committed batch did. Texts are made when they are asked for."""

    cdef const ResultHeader* header(self):
        return <const ResultHeader*><const char*>self.record

    @property
    def kind(self) -> str:
        """"PUT", "DELETE" or "PURGE"."""
        return KIND_NAMES[self.header().kind]

    @property
    def id(self) -> str:
        """The id as stored, in its first spelling; as asked for when nothing was there to delete."""
        return decode(<const uint8_t*>self.header() + sizeof(ResultHeader), self.header().id_size)

    @property
    def collection(self) -> str:
        """The collection's name as first spelt; "" when nothing was there to delete."""
        cdef const ResultHeader* header = self.header()
        return decode(<const uint8_t*>header + sizeof(ResultHeader) + header.id_size, header.collection_size)

    @property
    def change_vector(self) -> str:
        """Of what was written; "" when nothing was there to delete."""
        cdef const ResultHeader* header = self.header()
        return vector_text(<const VectorEntry*>(<const uint8_t*>header + sizeof(ResultHeader) + header.id_size
                                                + header.collection_size), header.vector_count)

    @property
    def etag(self) -> int:
        """Of what was written, else 0."""
        return self.header().etag

    @property
    def last_modified(self) -> str:
        """When it was written, as on the wire; "" when nothing was there to delete."""
        cdef char text[TIMESTAMP_TEXT_SIZE]
        if self.header().etag == 0:
            return ""
        timestamp_format(self.header().last_modified, text)
        return decode(<const uint8_t*>text, TIMESTAMP_TEXT_SIZE)

    @property
    def flags(self) -> str:
        """Flags of the document, comma separated."""
        cdef size_t size = 0
        cdef const char* words = flags_words(self.header().flags, &size)
        return "" if self.header().kind == COMMAND_PURGE else decode(<const uint8_t*>words, size)

    @property
    def deleted(self) -> bool:
        """Of a delete: whether there was something."""
        return self.header().deleted != 0

    @property
    def purged(self) -> int:
        """Of a purge: how many tombstones and departures went."""
        return self.header().flags if self.header().kind == COMMAND_PURGE else 0

    @property
    def transaction(self) -> int:
        """Number of the user transaction."""
        return self.header().user_txn

    def __repr__(self):
        return f"CommandResult({self.kind} {self.id!r} {self.change_vector})"


KIND_NAMES = {COMMAND_PUT: "PUT", COMMAND_DELETE: "DELETE", COMMAND_PURGE: "PURGE", COMMAND_CHECK: "CHECK",
              COMMAND_POSITION: "POSITION", COMMAND_VERSION: "VERSION", COMMAND_KNOWN: "KNOWN",
              COMMAND_RESOLVE: "RESOLVE"}
VERBS = {COMMAND_PUT: "Put", COMMAND_DELETE: "Delete", COMMAND_CHECK: "Check"}  # in the words of a refusal


cdef list command_results(const uint8_t* results, size_t size):
    cdef list made = []
    cdef size_t position = 0
    cdef const ResultHeader* header
    cdef CommandResult result
    while position < size:
        header = <const ResultHeader*>(results + position)
        result = CommandResult.__new__(CommandResult)
        result.record = PyBytes_FromStringAndSize(<const char*>header, header.size)
        made.append(result)
        position += header.size
    return made


@cython.final
cdef class Applied:
    """What became of the versions of one frame: `stored`, `ignored`, and the ids that are in `conflicts` by it."""

    def __repr__(self):
        return f"Applied(stored={self.stored}, ignored={self.ignored}, conflicts={self.conflicts})"


cdef Applied applied_results(const uint8_t* results, size_t size):
    cdef Applied made = Applied.__new__(Applied)
    cdef size_t position = 0
    cdef const ResultHeader* header
    made.conflicts = []
    while position < size:
        header = <const ResultHeader*>(results + position)
        if header.kind == COMMAND_VERSION:
            made.stored += header.deleted != VERSION_IGNORED
            made.ignored += header.deleted == VERSION_IGNORED
            if header.deleted == VERSION_CONFLICT:
                made.conflicts.append(decode(<const uint8_t*>header + sizeof(ResultHeader), header.id_size))
        position += header.size
    return made


# ---- failures

cdef void command_blamed(const CommandFailure* failure, const uint8_t* commands, Command* command) noexcept nogil:
    cdef size_t position = 0
    cdef uint32_t index = 0
    while index < failure.command:
        position += (<const CommandHeader*>(commands + position)).size
        index += 1
    command_decode(commands + position, command)


cdef object command_exception(const CommandFailure* failure, const uint8_t* commands, size_t size):
    cdef Command command
    exception = error_exception(&failure.detail)
    if failure.code not in (E_CONCURRENCY, E_COLLECTION_MISMATCH, E_CONFLICT):
        return exception
    command_blamed(failure, commands, &command)
    id = decode(command.id, command.header.id_size)
    if failure.code == E_CONFLICT:
        seen = vector_text(failure.actual, <int>failure.actual_count)
        exception.args = (f"Document {id} is in conflict, and {VERBS[command.header.kind]} was called with an expected "
                          f"change vector. Its versions have seen {seen}.",)
    elif command.header.kind == COMMAND_RESOLVE:
        exception.args = (f"Document {id} has other versions by now than those that were resolved. "
                          "Optimistic concurrency violation, transaction will be aborted.",)
    elif failure.code == E_CONCURRENCY:
        verb = VERBS[command.header.kind]
        expected = decode(command.expected_text, command.header.expected_text_size)
        actual = vector_text(failure.actual, <int>failure.actual_count)
        is_there = f"has change vector {actual}" if failure.actual_count else "does not exist"
        asked = "expecting new document" if command.header.expected == EXPECT_NONE else f"with change vector {expected}"
        exception.args = (f"Document {id} {is_there}, but {verb} was called {asked}. "
                          "Optimistic concurrency violation, transaction will be aborted.",)
        exception.actual_change_vector = actual
        exception.expected_change_vector = expected
    exception.document_id = id
    exception.command_index = failure.command
    return exception
