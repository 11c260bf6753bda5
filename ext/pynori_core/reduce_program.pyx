"""Evaluate maps, keys and reduces of an index with a reduce."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, strlen

from pynori_core.blittable cimport BlittableValue, blittable_root
from pynori_core.btree cimport Value
from pynori_core.cursor cimport Cursor, cursor_next, cursor_value
from pynori_core.errors cimport (
    E_EXPRESSION,
    E_NO_MEMORY,
    E_NOT_FOUND,
    OK,
    ErrorDetail,
    error_set,
)
from pynori_core.expr cimport python_value
from pynori_core.expr_eval cimport Node, document_input
from pynori_core.expr_run cimport evaluation_close, evaluation_open, program_run, program_value
from pynori_core.expr_values cimport (
    VALUE_DATE,
    VALUE_LIST,
    VALUE_RECORD,
    list_items,
    set_blittable,
    set_list,
    value_plain,
)
from pynori_core.field_value cimport FIELD_FALSE, FIELD_INTEGER, FIELD_NULL, FIELD_STRING, FIELD_TRUE
from pynori_core.output cimport Output, output_append, output_byte
from pynori_core.reduce_store cimport (
    REDUCE_KEY_SIZE_MAX,
    REDUCE_ROW_SIZE_MAX,
    REDUCE_ROWS_MAX,
    GroupFeed,
    Job,
    ReduceStore,
    job_inside,
    job_seek,
    mapped_push,
    reduce_corrupt,
)
from pynori_core.tables cimport Item

cdef enum:
    ERRORS_MAX = 500               # kept of one feed
    KEY_PARTS_MAX = 32             # of one object; keys with more go through the interpreter
    KEY_DEPTH_MAX = 8
    ITEMS_FIRST = 256
    FEW_ROWS = 16                  # reducing so few is not worth giving up the interpreter's lock

cdef bint BY_PYTHON = False        # what key_write answers when the interpreter has to write the key


# ---- maps and keys

@cython.final
cdef class ProgramRows(RowProgram):
    """Gives a ReduceStore the rows of documents."""

    def __cinit__(self, programs not None, Program key not None, encode not None):
        cdef Program program
        self.programs = list(programs)
        self.key = key
        self.encode = encode
        self.errors = []
        if key.is_map or not all((<Program>each).is_map for each in self.programs):
            raise ValueError("maps give rows, and a key is a value")
        self.maps = <Evaluation*>calloc(<size_t>len(self.programs) + 1, sizeof(Evaluation))
        if self.maps == NULL or evaluation_open(&self.key_evaluation, &key.code) != OK:
            raise MemoryError()
        self.key_opened = True
        for program in self.programs:
            if program.has_marks:
                raise ValueError("a map that marks values (spatial, boosted, dynamic fields) gives no rows")
            if evaluation_open(&self.maps[self.map_count], &program.code) != OK:
                raise MemoryError()
            self.map_count += 1
        self.map = program_rows

    def __dealloc__(self):
        cdef size_t index
        for index in range(self.map_count):
            evaluation_close(&self.maps[index])
        if self.key_opened:
            evaluation_close(&self.key_evaluation)
        free(self.maps)
        free(self.built)

    def take_errors(self):
        """(document, action, message) of the documents that failed since the last call."""
        found, self.errors = self.errors, []
        return found


cdef int refuse(void* program, const Item* item, const char* action, const ErrorDetail* error) noexcept nogil:
    with gil:
        try:
            if len((<ProgramRows>program).errors) < ERRORS_MAX:
                (<ProgramRows>program).errors.append((
                    PyUnicode_DecodeUTF8(<const char*>item.id, item.header.id_size, "replace"),
                    PyUnicode_DecodeUTF8(action, <Py_ssize_t>strlen(action), NULL),
                    PyUnicode_DecodeUTF8(error.text, <Py_ssize_t>strlen(error.text), "replace"),
                ))
        except BaseException:
            return E_NO_MEMORY
    return E_EXPRESSION


cdef int program_rows(GroupFeed* feed, const Item* item) noexcept nogil:
    """The rows of one document, into feed.state.mapped."""
    cdef Evaluation* evaluation
    cdef BlittableValue root
    cdef FieldValue given
    cdef size_t index
    cdef int code
    if blittable_root(item.body, item.body_size, &root) != OK:
        return reduce_corrupt(feed.state, b"a document is no document")
    document_input(&given, &root, item.id, item.header.id_size, item.header.last_modified)
    for index in range((<ProgramRows>feed.program).map_count):
        evaluation = &(<ProgramRows>feed.program).maps[index]
        code = program_run(evaluation, &given, NULL, feed.snapshot, NULL)
        if code == E_EXPRESSION:
            return refuse(feed.program, item, b"Map", &evaluation.work.error)
        if code == OK:
            code = rows_of(feed, item, evaluation)
        if code != OK:
            return code
    return OK


cdef int rows_of(GroupFeed* feed, const Item* item, const Evaluation* evaluation) noexcept nogil:
    """What a map has built, in the order in which it was."""
    cdef const BuiltDocument* built = evaluation.documents
    cdef const BuiltDocument** ordered
    cdef size_t count = 0
    cdef int code
    while built != NULL:
        if count == (<ProgramRows>feed.program).built_capacity:
            ordered = <const BuiltDocument**>realloc(<void*>(<ProgramRows>feed.program).built,
                                                     (count * 2 + ITEMS_FIRST) * sizeof(void*))
            if ordered == NULL:
                return E_NO_MEMORY
            (<ProgramRows>feed.program).built = ordered
            (<ProgramRows>feed.program).built_capacity = count * 2 + ITEMS_FIRST
        (<ProgramRows>feed.program).built[count] = built
        count += 1
        built = built.next
    while count > 0:
        count -= 1
        built = (<ProgramRows>feed.program).built[count]
        code = row_of(feed, item, built.data, built.size)
        if code != OK:
            return code
    return OK


cdef int row_of(GroupFeed* feed, const Item* item, const uint8_t* data, size_t size) noexcept nogil:
    cdef Evaluation* evaluation = &(<ProgramRows>feed.program).key_evaluation
    cdef Output* out = &feed.state.bytes
    cdef ErrorDetail error
    cdef size_t start = out.size
    cdef size_t key_size
    cdef BlittableValue root
    cdef FieldValue given
    cdef FieldValue value
    cdef int code
    if blittable_root(data, size, &root) != OK:
        return reduce_corrupt(feed.state, b"a row is no document")
    document_input(&given, &root, NULL, 0, 0)
    code = program_value(evaluation, &given, NULL, NULL, &value)
    if code == E_EXPRESSION:
        return refuse(feed.program, item, b"Reduce", &evaluation.work.error)
    if code != OK:
        return code
    if not key_write(evaluation, &value, out, 0):
        out.size = start
        code = key_by_python(feed.program, evaluation, &value, out, &error)
        if code != OK:
            return refuse(feed.program, item, b"Reduce", &error)
    key_size = out.size - start
    if key_size > REDUCE_KEY_SIZE_MAX or size > REDUCE_ROW_SIZE_MAX or feed.state.mapped_count >= REDUCE_ROWS_MAX:
        error_set(&error, E_EXPRESSION, b"a key has up to %d bytes, a row up to %d, a document up to %d rows",
                  <int>REDUCE_KEY_SIZE_MAX, <int>REDUCE_ROW_SIZE_MAX, <int>REDUCE_ROWS_MAX)
        return refuse(feed.program, item, b"Reduce", &error)
    output_append(out, data, size)
    feed.rows += 1
    return mapped_push(feed.state, key_size, size)


cdef bint key_write(Evaluation* evaluation, const FieldValue* value, Output* out, int depth) noexcept nogil:
    """The value as the interpreter's encoder would write it; False, with anything in `out`, when that is not sure."""
    cdef FieldValue plain
    cdef char digits[24]
    cdef size_t index
    if depth > KEY_DEPTH_MAX:
        return BY_PYTHON
    if value.kind <= FIELD_NULL:
        output_append(out, b"null", 4)
    elif value.kind == FIELD_TRUE:
        output_append(out, b"true", 4)
    elif value.kind == FIELD_FALSE:
        output_append(out, b"false", 5)
    elif value.kind == FIELD_INTEGER:
        output_append(out, digits, <size_t>snprintf(digits, sizeof(digits), b"%lld", <long long>value.integer))
    elif value.kind == FIELD_STRING:
        return text_write(value.text, value.size, out)
    elif value.kind == VALUE_DATE:
        return (value_plain(&evaluation.work, value, &plain) == OK and plain.kind == FIELD_STRING
                and text_write(plain.text, plain.size, out))
    elif value.kind == VALUE_RECORD:
        return record_write(evaluation, value, out, depth)
    elif value.kind == VALUE_LIST:
        output_byte(out, c"[")
        for index in range(value.size):
            if index:
                output_byte(out, c",")
            if not key_write(evaluation, &list_items(value)[index], out, depth + 1):
                return BY_PYTHON
        output_byte(out, c"]")
    else:
        return BY_PYTHON
    return True


cdef bint text_write(const uint8_t* text, size_t size, Output* out) noexcept nogil:
    cdef size_t start = 0
    cdef size_t index
    output_byte(out, c'"')
    for index in range(size):
        if text[index] < 0x20 or text[index] == 0xED:
            return BY_PYTHON       # a control character, or perhaps half a surrogate pair
        if text[index] == c'"' or text[index] == c"\\":
            output_append(out, text + start, index - start)
            output_byte(out, c"\\")
            start = index
    output_append(out, text + start, size - start)
    output_byte(out, c'"')
    return True


cdef bint record_write(Evaluation* evaluation, const FieldValue* value, Output* out, int depth) noexcept nogil:
    """With its names in order, as a dictionary's are."""
    cdef const Node* node = &evaluation.code.nodes[value.integer]
    cdef uint32_t order[KEY_PARTS_MAX]
    cdef uint32_t index, place
    cdef int compared
    if node.b > KEY_PARTS_MAX:
        return BY_PYTHON
    for index in range(node.b):
        place = index
        while place > 0:
            compared = name_compare(evaluation, node, index, order[place - 1])
            if compared == 0:
                return BY_PYTHON   # the same name twice: the last one counts
            if compared > 0:
                break
            order[place] = order[place - 1]
            place -= 1
        order[place] = index
    output_byte(out, c"{")
    for index in range(node.b):
        if index:
            output_byte(out, c",")
        place = evaluation.code.words[node.a + 2 * order[index]]
        if not text_write(evaluation.code.text_bytes + evaluation.code.texts[place].offset,
                          evaluation.code.texts[place].size, out):
            return BY_PYTHON
        output_byte(out, c":")
        if not key_write(evaluation, &list_items(value)[order[index]], out, depth + 1):
            return BY_PYTHON
    output_byte(out, c"}")
    return True


cdef int name_compare(const Evaluation* evaluation, const Node* node, uint32_t left, uint32_t right) noexcept nogil:
    cdef uint32_t first = evaluation.code.words[node.a + 2 * left]
    cdef uint32_t second = evaluation.code.words[node.a + 2 * right]
    cdef uint32_t first_size = evaluation.code.texts[first].size
    cdef uint32_t second_size = evaluation.code.texts[second].size
    cdef int order = memcmp(evaluation.code.text_bytes + evaluation.code.texts[first].offset,
                            evaluation.code.text_bytes + evaluation.code.texts[second].offset,
                            first_size if first_size < second_size else second_size)
    return order if order else <int>(first_size > second_size) - <int>(first_size < second_size)


cdef int key_by_python(void* program, Evaluation* evaluation, const FieldValue* value, Output* out,
                       ErrorDetail* error) noexcept with gil:
    cdef bytes key
    cdef bytes message
    try:
        key = (<ProgramRows>program).encode(python_value(evaluation, value))
        output_append(out, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key))
    except BaseException as failure:
        message = str(failure).encode("utf-8", "replace")[:200]
        error_set(error, E_EXPRESSION, b"the key of a group: %s", <const char*>PyBytes_AS_STRING(message))
        return E_EXPRESSION
    return OK


# ---- the reduce

@cython.final
cdef class ProgramReduce(RowReduce):
    """Gives a ReduceStore the rows that groups become."""

    def __cinit__(self, Program partial not None, Program whole not None):
        if not partial.is_map or not whole.is_map:
            raise ValueError("a reduce gives rows")
        self.partial = partial
        self.whole = whole
        if evaluation_open(&self.partial_evaluation, &partial.code) != OK:
            raise MemoryError()
        if evaluation_open(&self.whole_evaluation, &whole.code) != OK:
            evaluation_close(&self.partial_evaluation)
            raise MemoryError()
        self.opened = True

    def __dealloc__(self):
        if self.opened:
            evaluation_close(&self.partial_evaluation)
            evaluation_close(&self.whole_evaluation)
        free(self.items)

    cdef bytes reduce_job(self, ReduceStore store, Job job):
        cdef Evaluation* evaluation = &self.whole_evaluation if job.target == 3 else &self.partial_evaluation
        cdef FieldValue given
        cdef size_t count = rows_collect(self, store, job)
        cdef int code
        if count == 0:
            return None
        set_list(&given, VALUE_LIST, self.items, count)
        if count <= FEW_ROWS:
            code = program_run(evaluation, &given, NULL, NULL, NULL)
        else:
            with nogil:
                code = program_run(evaluation, &given, NULL, NULL, NULL)
        if code == E_NO_MEMORY:
            raise MemoryError()
        if code != OK:
            job.group.error = PyUnicode_DecodeUTF8(evaluation.work.error.text,
                                                   <Py_ssize_t>strlen(evaluation.work.error.text), "replace")
            return None
        if evaluation.documents == NULL or evaluation.documents.next != NULL:
            job.group.error = "a reduce gives one result for a group"
            return None
        return PyBytes_FromStringAndSize(<const char*>evaluation.documents.data,
                                         <Py_ssize_t>evaluation.documents.size)


cdef size_t rows_collect(ProgramReduce reduce, ReduceStore store, Job job) except? 0:
    """The rows of a job, where they lie, into reduce.items."""
    cdef BlittableValue root
    cdef FieldValue* items
    cdef Cursor cursor
    cdef Value value
    cdef size_t count = 0
    cdef int code = job_seek(store, job, &cursor)
    while code == OK and job_inside(job, &cursor):
        code = cursor_value(&cursor, &value)
        if code != OK:
            break
        if blittable_root(value.data, value.size, &root) != OK:
            store.writer.checked(reduce_corrupt(&store.state, b"a row is no document"))
        if count == reduce.capacity:
            items = <FieldValue*>realloc(reduce.items, (count * 2 + ITEMS_FIRST) * sizeof(FieldValue))
            if items == NULL:
                raise MemoryError()
            reduce.items = items
            reduce.capacity = count * 2 + ITEMS_FIRST
        set_blittable(&reduce.items[count], &root)
        count += 1
        code = cursor_next(&cursor)
    if code != OK and code != E_NOT_FOUND:
        store.writer.checked(code)
    return count
