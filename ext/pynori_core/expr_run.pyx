"""Run stages; give entries out, or build them as documents."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from pynori_core.arena cimport arena_init, arena_release, arena_reset, arena_take
from pynori_core.blittable cimport BlittableValue, blittable_root
from pynori_core.builder cimport (
    Builder,
    builder_array_begin,
    builder_array_end,
    builder_begin,
    builder_bool,
    builder_decimal,
    builder_double,
    builder_finish,
    builder_init,
    builder_integer,
    builder_name,
    builder_null,
    builder_object_begin,
    builder_object_end,
    builder_release,
    builder_string,
    builder_take,
    builder_value,
)
from pynori_core.errors cimport E_NO_MEMORY, OK, error_clear
from pynori_core.expr_values cimport (
    VALUE_DATE,
    VALUE_DECIMAL,
    VALUE_ENTRY,
    VALUE_GROUP,
    VALUE_LIST,
    VALUE_MARKED,
    VALUE_RECORD,
    VALUE_SPAN,
    MarkedValue,
    Walk,
    list_items,
    set_blittable,
    set_integer,
    set_missing,
    take_values,
    value_plain,
    walk_item,
    walk_open,
    work_fail,
    work_no_memory,
)
from pynori_core.field_value cimport (
    FIELD_ARRAY,
    FIELD_DOUBLE,
    FIELD_INTEGER,
    FIELD_MISSING,
    FIELD_NULL,
    FIELD_STRING,
    FIELD_TRUE,
)
from pynori_core.expr_eval cimport (
    ENTRIES_MAX,
    MEMORY_BYTES_MAX,
    OP_EACH,
    OP_LET,
    OP_OUTPUT,
    STEPS_MAX,
    VARIABLE_INPUT,
    VARIABLE_PARAMETERS,
    BuiltDocument,
    Evaluation,
    Node,
    ProgramCode,
    TextPlace,
    evaluate,
)

cdef enum:
    EMIT_DEPTH_MAX = 32            # sequences within sequences of one field


# ---- stages

cdef int run_stage(Evaluation* e, uint32_t index) noexcept nogil:
    cdef const Node* node
    cdef FieldValue value
    cdef int code
    while True:
        node = &e.code.nodes[index]
        if node.operation == OP_OUTPUT:
            return output_entry(e, node)
        if node.operation == OP_EACH:
            return run_each(e, node)
        if node.operation == OP_LET:
            code = evaluate(e, node.a, &e.variables[node.number])
            if code != OK:
                return code
        else:
            code = evaluate(e, node.a, &value)
            if code != OK:
                return code
            if value.kind != FIELD_TRUE:
                return OK
        index = node.b


cdef int run_each(Evaluation* e, const Node* node) noexcept nogil:
    cdef FieldValue source
    cdef Walk walk
    cdef size_t index
    cdef int code = evaluate(e, node.a, &source)
    if code != OK:
        return code
    e.work.position = node.position
    code = walk_open(&e.work, &source, &walk)
    for index in range(walk.count):
        if code == OK:
            code = walk_item(&e.work, &walk, index, &e.variables[node.number])
        if code == OK:
            set_integer(&e.variables[node.number + 1], <int64_t>index)
            code = run_stage(e, node.b)
        if code != OK:
            break
    return code


cdef int output_entry(Evaluation* e, const Node* node) noexcept nogil:
    cdef FieldValue value
    cdef uint32_t place
    cdef int code
    e.entries += 1
    if e.entries > ENTRIES_MAX:
        return work_fail(&e.work, b"one document gives more entries than the limit (ENTRIES_MAX)")
    if e.sink == NULL:
        return build_entry(e, node)
    for place in range(node.b):
        code = evaluate(e, e.code.words[node.a + 2 * place + 1], &value)
        if code == OK:
            code = emit(e, e.code.words[node.a + 2 * place], &value, 0)
        if code != OK:
            return code
    return e.sink.end_entry(e.sink.context)


cdef int emit(Evaluation* e, uint32_t field, const FieldValue* value, int depth) noexcept nogil:
    """Give a value to the sink: sequences item by item, records as objects, dates and decimals in plain kinds."""
    cdef FieldValue plain
    cdef Walk walk
    cdef size_t index
    cdef int code
    if value.kind == FIELD_MISSING:
        return OK
    if value.kind <= FIELD_STRING:
        return e.sink.emit(e.sink.context, field, value)
    if value.kind == FIELD_ARRAY or value.kind == VALUE_LIST or value.kind == VALUE_GROUP:
        if depth >= EMIT_DEPTH_MAX:
            return work_fail(&e.work, b"the arrays of one field are nested too deep")
        code = walk_open(&e.work, value, &walk)
        for index in range(walk.count):
            if code == OK:
                code = walk_item(&e.work, &walk, index, &plain)
            if code == OK:
                code = emit(e, field, &plain, depth + 1)
        return code
    if value.kind == VALUE_MARKED:
        return emit_marked(e, field, <const MarkedValue*>value.text, depth)
    if value.kind == VALUE_RECORD or value.kind == VALUE_ENTRY:
        code = evaluation_build(e, value, &plain)
    else:
        code = value_plain(&e.work, value, &plain)
    if code != OK:
        return code
    return e.sink.emit(e.sink.context, field, &plain)


cdef int emit_marked(Evaluation* e, uint32_t field, const MarkedValue* marked, int depth) noexcept nogil:
    """Each item of a marked sequence with the mark; plain kinds within."""
    cdef MarkedValue one = marked[0]
    cdef FieldValue value
    cdef Walk walk
    cdef size_t index
    cdef uint32_t kind = marked.value.kind
    cdef int code
    if kind == VALUE_MARKED:
        return work_fail(&e.work, b"a value cannot be marked twice")
    value.kind = VALUE_MARKED
    value.size = 1
    value.blittable.type = 0
    if kind != FIELD_ARRAY and kind != VALUE_LIST and kind != VALUE_GROUP:
        if kind == VALUE_RECORD or kind == VALUE_ENTRY:
            code = evaluation_build(e, &marked.value, &one.value)
        else:
            code = value_plain(&e.work, &marked.value, &one.value)
        if code == OK:
            code = value_plain(&e.work, &marked.second, &one.second)
        if code != OK:
            return code
        value.text = <const uint8_t*>arena_take(&e.work.arena, sizeof(MarkedValue), 8)
        if value.text == NULL:
            return work_no_memory(&e.work)
        memcpy(<void*>value.text, &one, sizeof(MarkedValue))
        return e.sink.emit(e.sink.context, field, &value)
    if depth >= EMIT_DEPTH_MAX:
        return work_fail(&e.work, b"the arrays of one field are nested too deep")
    code = walk_open(&e.work, &marked.value, &walk)
    for index in range(walk.count):
        if code == OK:
            code = walk_item(&e.work, &walk, index, &one.value)
        if code == OK:
            code = emit_marked(e, field, &one, depth + 1)
    return code


# ---- values as documents

cdef Builder* builder_of(Evaluation* e) noexcept nogil:
    if e.builder == NULL:
        e.builder = <Builder*>malloc(sizeof(Builder))
        if e.builder != NULL and builder_init(e.builder) != OK:
            free(e.builder)
            e.builder = NULL
    return e.builder


cdef int build_value(Evaluation* e, Builder* builder, const FieldValue* value, int depth) noexcept nogil:
    cdef FieldValue item
    cdef Walk walk
    cdef size_t index
    cdef const uint8_t* name = NULL
    cdef size_t name_size = 0
    cdef int code = OK
    if depth > EMIT_DEPTH_MAX:
        return work_fail(&e.work, b"the values of one field are nested too deep")
    if value.kind <= FIELD_NULL:
        builder_null(builder)
    elif value.blittable.type:
        builder_value(builder, &value.blittable)
    elif value.kind <= FIELD_TRUE:
        builder_bool(builder, value.kind == FIELD_TRUE)
    elif value.kind == FIELD_INTEGER or value.kind == VALUE_SPAN:
        builder_integer(builder, value.integer)
    elif value.kind == FIELD_STRING:
        builder_string(builder, <const char*>value.text, value.size)
    elif value.kind == FIELD_DOUBLE:
        if value.number - value.number == 0:
            builder_double(builder, value.number)
        else:
            builder_null(builder)              # JSON has no infinity
    elif value.kind == VALUE_DECIMAL:
        if value.size:
            builder_decimal(builder, value.integer, <int>value.size)
        else:
            builder_integer(builder, value.integer)
    elif value.kind == VALUE_DATE:
        code = value_plain(&e.work, value, &item)
        builder_string(builder, <const char*>item.text, item.size)
    elif value.kind == VALUE_RECORD or value.kind == VALUE_ENTRY:
        builder_object_begin(builder)
        for index in range(value.size):
            if value.kind == VALUE_ENTRY:
                builder_name(builder, b"Value" if index else b"Key", 5 if index else 3)
            else:
                record_name(e, value, index, &name, &name_size)
                builder_name(builder, <const char*>name, name_size)
            code = build_value(e, builder, &list_items(value)[index], depth + 1)
            if code != OK:
                return code
        builder_object_end(builder)
    elif value.kind == VALUE_MARKED:
        code = build_value(e, builder, &(<const MarkedValue*>value.text).value, depth + 1)
    else:
        builder_array_begin(builder)
        code = walk_open(&e.work, value, &walk)
        for index in range(walk.count):
            if code == OK:
                code = walk_item(&e.work, &walk, index, &item)
            if code == OK:
                code = build_value(e, builder, &item, depth + 1)
        builder_array_end(builder)
    return code


cdef void record_name(Evaluation* e, const FieldValue* record, size_t index, const uint8_t** name,
                      size_t* size) noexcept nogil:
    cdef const Node* node = &e.code.nodes[record.integer]
    cdef const TextPlace* place = &e.code.texts[e.code.words[node.a + 2 * index]]
    name[0] = e.code.text_bytes + place.offset
    size[0] = place.size


cdef int evaluation_build(Evaluation* e, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef Builder* builder = builder_of(e)
    cdef BlittableValue root
    cdef const uint8_t* data
    cdef size_t size
    cdef int code
    if builder == NULL:
        return work_no_memory(&e.work)
    builder_begin(builder, 0)
    code = build_value(e, builder, value, 0)
    if code == OK:
        code = builder_finish(builder, &e.work.error)
    if code != OK:
        return code
    size = builder.size
    data = builder_take(builder, &e.work.arena)
    if data == NULL or blittable_root(data, size, &root) != OK:
        return work_no_memory(&e.work)
    set_blittable(out, &root)
    return OK


cdef int build_entry(Evaluation* e, const Node* node) noexcept nogil:
    """An entry as a document of its own, for reduces: each field as it is, missing ones as null."""
    cdef Builder* builder = builder_of(e)
    cdef BuiltDocument* built
    cdef FieldValue* values = take_values(&e.work, node.b)
    cdef const TextPlace* name
    cdef uint32_t place
    cdef int code = OK
    if builder == NULL or values == NULL:
        return work_no_memory(&e.work)
    # First all values: computing one of them may need the builder.
    for place in range(node.b):
        code = evaluate(e, e.code.words[node.a + 2 * place + 1], &values[place])
        if code != OK:
            return code
    builder_begin(builder, 0)
    builder_object_begin(builder)
    for place in range(node.b):
        name = &e.code.texts[e.code.words[e.code.words[node.a + 2 * place]]]
        builder_name(builder, <const char*>e.code.text_bytes + name.offset, name.size)
        code = build_value(e, builder, &values[place], 0)
        if code != OK:
            return code
    builder_object_end(builder)
    code = builder_finish(builder, &e.work.error)
    if code != OK:
        return code
    built = <BuiltDocument*>arena_take(&e.work.arena, sizeof(BuiltDocument), 8)
    if built == NULL:
        return work_no_memory(&e.work)
    built.size = builder.size
    built.data = builder_take(builder, &e.work.arena)
    if built.data == NULL:
        return work_no_memory(&e.work)
    built.next = e.documents
    e.documents = built
    return OK


# ---- runs

cdef int evaluation_open(Evaluation* evaluation, const ProgramCode* code) noexcept nogil:
    memset(evaluation, 0, sizeof(Evaluation))
    arena_init(&evaluation.work.arena, MEMORY_BYTES_MAX)
    error_clear(&evaluation.work.error)
    evaluation.code = code
    evaluation.steps_max = STEPS_MAX
    evaluation.variables = <FieldValue*>calloc(code.header.variables, sizeof(FieldValue))
    return OK if evaluation.variables != NULL else E_NO_MEMORY


cdef void evaluation_close(Evaluation* evaluation) noexcept nogil:
    free(evaluation.variables)
    arena_release(&evaluation.work.arena)
    if evaluation.builder != NULL:
        builder_release(evaluation.builder)
        free(evaluation.builder)
    memset(evaluation, 0, sizeof(Evaluation))


cdef void begin_run(Evaluation* e, const FieldValue* input, const FieldValue* parameters,
                    Snapshot* snapshot) noexcept nogil:
    arena_reset(&e.work.arena)
    if e.work.error.code != OK:
        error_clear(&e.work.error)
    e.work.steps_left = e.steps_max
    e.references = NULL
    e.documents = NULL
    e.entries = 0
    e.snapshot = snapshot
    # A compiled program binds before it reads, but bytes that only look like one may read what a run before has bound,
    # to a document that is gone.
    memset(e.variables, 0, e.code.header.variables * sizeof(FieldValue))
    e.variables[VARIABLE_INPUT] = input[0]
    if parameters != NULL:
        e.variables[VARIABLE_PARAMETERS] = parameters[0]
    else:
        set_missing(&e.variables[VARIABLE_PARAMETERS])


cdef int program_run(Evaluation* evaluation, const FieldValue* input, const FieldValue* parameters, Snapshot* snapshot,
                     const FieldSink* sink) noexcept nogil:
    begin_run(evaluation, input, parameters, snapshot)
    evaluation.sink = sink
    return run_stage(evaluation, evaluation.code.header.root)


cdef int program_value(Evaluation* evaluation, const FieldValue* input, const FieldValue* parameters,
                       Snapshot* snapshot, FieldValue* out) noexcept nogil:
    begin_run(evaluation, input, parameters, snapshot)
    evaluation.sink = NULL
    return evaluate(evaluation, evaluation.code.header.root, out)
