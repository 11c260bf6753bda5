"""Evaluate nodes, run stages."""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.arena cimport arena_init, arena_release, arena_reset, arena_take
from pynori_core.blittable cimport (
    BLITTABLE_OBJECT,
    blittable_at,
    blittable_get,
    blittable_root,
)
from pynori_core.builder cimport (
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
from pynori_core.errors cimport E_NOT_FOUND, E_NO_MEMORY, OK, error_clear
from pynori_core.expr_functions cimport (
    PROPERTY_ID,
    PROPERTY_LENGTH,
    PROPERTY_NONE,
    SEQUENCE_ITEMS_MAX,
    call_function,
    equals_any,
    terms_of,
    value_property,
)
from pynori_core.expr_values cimport (
    ARITHMETIC_ADD,
    ARITHMETIC_DIVIDE,
    COMPARE_TERMS,
    INCOMPARABLE,
    MARK_BOOST,
    MARK_FIELD,
    MARK_POINT,
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
    is_nothing,
    is_number,
    list_items,
    set_blittable,
    set_bool,
    set_double,
    set_integer,
    set_list,
    set_missing,
    set_null,
    set_text,
    set_ticks,
    take_values,
    value_arithmetic,
    value_cast,
    value_hash,
    value_negate,
    value_number,
    value_order,
    value_plain,
    value_sort_order,
    walk_item,
    walk_open,
    work_fail,
    work_fail_kind,
    work_no_memory,
)
from pynori_core.field_value cimport (
    FIELD_ARRAY,
    FIELD_DOUBLE,
    FIELD_INTEGER,
    FIELD_MISSING,
    FIELD_NULL,
    FIELD_OBJECT,
    FIELD_STRING,
    FIELD_TRUE,
)
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.items cimport snapshot_find
from pynori_core.tables cimport ITEM_DOCUMENT, Item

cdef enum:
    EMIT_DEPTH_MAX = 32            # sequences within sequences of one field
    VALUES_KEPT = 256              # variables beyond this are given back with the evaluation


# ---- evaluating values

cdef int evaluate(Evaluation* e, uint32_t index, FieldValue* out) noexcept nogil:
    """The value of a node. Steps are counted here; what an operation looks at beyond, it counts itself."""
    cdef const Node* node = &e.code.nodes[index]
    cdef FieldValue left
    cdef uint32_t operation = node.operation
    cdef int code
    if e.work.steps_left == 0:
        e.work.position = node.position
        return work_fail(&e.work, b"the evaluation takes more steps than one document may take")
    e.work.steps_left -= 1
    if operation == OP_VARIABLE:
        out[0] = e.variables[node.number]
        return OK
    if operation == OP_MEMBER:
        return evaluate_member(e, node, out)
    if operation <= OP_TEXT:
        return evaluate_constant(e, node, out)
    if operation == OP_COMPARE:
        return evaluate_compare(e, node, out)
    if operation == OP_ARITHMETIC:
        return evaluate_arithmetic(e, node, out)
    if operation <= OP_COALESCE:
        return evaluate_choice(e, node, out)
    if operation == OP_CAST:
        code = evaluate(e, node.a, &left)
        if code != OK:
            return code
        e.work.position = node.position
        return value_cast(&e.work, node.flags, &left, out)
    if operation == OP_RECORD or operation == OP_ARRAY:
        return evaluate_list(e, node, index, out)
    if operation == OP_CALL:
        return evaluate_call(e, node, out)
    if operation == OP_SEQUENCE:
        return evaluate_sequence(e, node, out)
    if operation == OP_LOAD:
        return evaluate_load(e, node, out)
    return evaluate_mark(e, node, out)


cdef int evaluate_constant(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef uint64_t bits = <uint64_t>node.a | (<uint64_t>node.b << 32)
    cdef double number
    cdef const TextPlace* place
    if node.operation == OP_NULL:
        set_null(out)
    elif node.operation == OP_BOOL:
        set_bool(out, node.a != 0)
    elif node.operation == OP_INTEGER:
        set_integer(out, <int64_t>bits)
    elif node.operation == OP_DOUBLE:
        memcpy(&number, &bits, 8)
        set_double(out, number)
    elif node.operation == OP_DECIMAL:
        out.kind = VALUE_DECIMAL
        out.integer = <int64_t>bits
        out.size = node.c
        out.blittable.type = 0
    else:
        place = &e.code.texts[node.a]
        set_text(out, e.code.text_bytes + place.offset, place.size)
    return OK


cdef int evaluate_member(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef const Node* inner = &e.code.nodes[node.a]
    cdef const TextPlace* name = &e.code.texts[node.b]
    cdef FieldValue source
    cdef int code
    if inner.operation == OP_VARIABLE:
        return member_of(e, &e.variables[inner.number], name, node, out)
    code = evaluate(e, node.a, &source)
    if code != OK:
        return code
    return member_of(e, &source, name, node, out)


cdef int member_of(Evaluation* e, const FieldValue* source, const TextPlace* name, const Node* node,
                   FieldValue* out) noexcept nogil:
    cdef BlittableValue found
    cdef const uint8_t* text = e.code.text_bytes + name.offset
    cdef const Node* record
    cdef uint32_t index
    if source.kind == FIELD_OBJECT:
        if blittable_get(&source.blittable, <const char*>text, name.size, &found) == OK:
            set_blittable(out, &found)
            if source.size and name.size == 9 and found.type == BLITTABLE_OBJECT and source.number == 0 and (
                    memcmp(text, b"@metadata", 9) == 0):
                metadata_of(source, out)
            return OK
        if source.size:
            return document_member(e, source, text, name.size, node.number, out)
    elif source.kind == VALUE_RECORD:
        record = &e.code.nodes[source.integer]
        for index in range(record.b):
            if e.code.words[record.a + 2 * index] == node.b:
                out[0] = list_items(source)[index]
                return OK
    elif node.flags & MEMBER_OF_EACH and (source.kind == FIELD_ARRAY or source.kind == VALUE_LIST):
        return member_of_each(e, source, name, node, out)
    if node.number:
        e.work.position = node.position
        return value_property(&e.work, node.number, source, out)
    set_missing(out)
    return OK


cdef int document_member(Evaluation* e, const FieldValue* source, const uint8_t* name, size_t name_size, int property,
                         FieldValue* out) noexcept nogil:
    """What a document, or its metadata, has beside what is stored in it."""
    cdef FieldValue ticks
    set_missing(out)
    if source.number == 0:
        if property == PROPERTY_ID:
            set_text(out, source.text, source.size)
        elif property == PROPERTY_LENGTH:
            return value_property(&e.work, property, source, out)
        elif name_size == 9 and memcmp(name, b"@metadata", 9) == 0:
            metadata_of(source, out)
    elif name_size == 3 and memcmp(name, b"@id", 3) == 0:
        set_text(out, source.text, source.size)
    elif name_size == 14 and memcmp(name, b"@last-modified", 14) == 0 and source.integer:
        set_ticks(&ticks, VALUE_DATE, source.integer, True)
        return value_plain(&e.work, &ticks, out)
    return OK


cdef void metadata_of(const FieldValue* document, FieldValue* out) noexcept nogil:
    """The stored @metadata, or an empty object, that knows which document's it is."""
    cdef BlittableValue found
    found = document.blittable
    if blittable_get(&document.blittable, b"@metadata", 9, &found) != OK or found.type != BLITTABLE_OBJECT:
        found.type = BLITTABLE_OBJECT
        found.offset = 0
    set_blittable(out, &found)
    out.text = document.text
    out.size = document.size
    out.integer = document.integer
    out.number = 1


cdef int member_of_each(Evaluation* e, const FieldValue* source, const TextPlace* name, const Node* node,
                        FieldValue* out) noexcept nogil:
    """The member of each item, arrays within arrays laid flat; items without it are left out."""
    cdef FieldValue* items
    cdef FieldValue item
    cdef FieldValue inner
    cdef Walk walk
    cdef Walk inner_walk
    cdef size_t count = 0
    cdef size_t capacity
    cdef size_t index
    cdef size_t place
    cdef int code = walk_open(&e.work, source, &walk)
    if code != OK:
        return code
    capacity = walk.count
    items = take_values(&e.work, capacity)
    if items == NULL:
        return work_no_memory(&e.work)
    for index in range(walk.count):
        if e.work.steps_left == 0:
            return work_fail(&e.work, b"the evaluation takes more steps than one document may take")
        e.work.steps_left -= 1
        code = walk_item(&e.work, &walk, index, &item)
        if code == OK:
            code = member_of_item(e, &item, name, node, &inner)
        if code == OK and inner.kind != FIELD_ARRAY:
            if inner.kind == FIELD_MISSING:
                continue
            set_list(&item, VALUE_LIST, &inner, 1)
        else:
            item = inner
        if code == OK:
            code = walk_open(&e.work, &item, &inner_walk)
        if code == OK:
            code = make_room(e, &items, count, inner_walk.count, &capacity)
        if code != OK:
            return code
        for place in range(inner_walk.count):
            code = walk_item(&e.work, &inner_walk, place, &items[count])
            count += 1
            if code != OK:
                return code
    set_list(out, VALUE_LIST, items, count)
    return OK


cdef int member_of_item(Evaluation* e, const FieldValue* item, const TextPlace* name, const Node* node,
                        FieldValue* out) noexcept nogil:
    """One level of member_of: an item that is an array itself has no members here, so nothing recurses."""
    if item.kind == FIELD_ARRAY or item.kind == VALUE_LIST:
        set_missing(out)
        return OK
    return member_of(e, item, name, node, out)


cdef int make_room(Evaluation* e, FieldValue** items, size_t count, size_t more, size_t* capacity) noexcept nogil:
    cdef FieldValue* grown
    if count + more <= capacity[0]:
        return OK
    if count + more > SEQUENCE_ITEMS_MAX:
        return work_fail(&e.work, b"a sequence has more items than one evaluation may make")
    capacity[0] = 2 * (count + more)
    grown = take_values(&e.work, capacity[0])
    if grown == NULL:
        return work_no_memory(&e.work)
    memcpy(grown, items[0], count * sizeof(FieldValue))
    items[0] = grown
    return OK


cdef int evaluate_compare(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef FieldValue left
    cdef FieldValue right
    cdef int code = evaluate(e, node.a, &left)
    if code == OK:
        code = evaluate(e, node.b, &right)
    if code != OK:
        return code
    e.work.position = node.position
    if node.flags & COMPARE_TERMS:
        return compare_terms(e, node, &left, &right, out)
    set_bool(out, order_holds(node.number, &left, value_order(&e.work, &left, &right, node.flags)))
    return OK


cdef inline bint order_holds(uint32_t kind, const FieldValue* left, int order) noexcept nogil:
    if kind == COMPARE_EQUAL:
        return order == 0
    if kind == COMPARE_NOT_EQUAL:
        return order != 0
    if order == INCOMPARABLE or is_nothing(left):
        return False
    if kind == COMPARE_LESS:
        return order < 0
    if kind == COMPARE_LESS_EQUAL:
        return order <= 0
    if kind == COMPARE_GREATER:
        return order > 0
    return order >= 0


cdef int compare_terms(Evaluation* e, const Node* node, const FieldValue* left, const FieldValue* right,
                       FieldValue* out) noexcept nogil:
    """Whether the left value, or an item of it, has this order; unequal: whether there are values and none is equal."""
    cdef FieldValue values
    cdef size_t index
    cdef uint32_t flags = node.flags
    cdef int code
    if left.kind != FIELD_ARRAY and left.kind != VALUE_LIST:
        set_bool(out, left.kind != FIELD_MISSING
                 and order_holds(node.number, left, value_order(&e.work, left, right, flags)))
        return OK
    code = terms_of(&e.work, left, &values)
    if code != OK:
        return code
    if node.number <= COMPARE_NOT_EQUAL:
        set_bool(out, values.size != 0
                 and equals_any(&e.work, &values, right, flags) == (node.number == COMPARE_EQUAL))
        return OK
    for index in range(values.size):
        if order_holds(node.number, &list_items(&values)[index],
                       value_order(&e.work, &list_items(&values)[index], right, flags)):
            set_bool(out, True)
            return OK
    set_bool(out, False)
    return OK


cdef int evaluate_arithmetic(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef FieldValue left
    cdef FieldValue right
    cdef int code = evaluate(e, node.a, &left)
    if code == OK:
        code = evaluate(e, node.b, &right)
    if code != OK:
        return code
    e.work.position = node.position
    return value_arithmetic(&e.work, node.flags, &left, &right, out)


cdef int evaluate_choice(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    """Index, metadata, id, !, -, &&, ||, ?:, ??."""
    cdef FieldValue left
    cdef uint32_t operation = node.operation
    cdef int code = evaluate(e, node.a, &left)
    if code != OK:
        return code
    if operation == OP_AND or operation == OP_OR:
        if (left.kind == FIELD_TRUE) == (operation == OP_OR):
            set_bool(out, operation == OP_OR)
            return OK
        code = evaluate(e, node.b, &left)
        set_bool(out, left.kind == FIELD_TRUE)
        return code
    if operation == OP_NOT:
        set_bool(out, left.kind != FIELD_TRUE)
        return OK
    if operation == OP_CONDITIONAL:
        return evaluate(e, node.b if left.kind == FIELD_TRUE else node.c, out)
    if operation == OP_COALESCE:
        if is_nothing(&left):
            return evaluate(e, node.b, out)
        out[0] = left
        return OK
    e.work.position = node.position
    if operation == OP_NEGATE:
        return value_negate(&e.work, &left, out)
    if operation == OP_INDEX:
        return evaluate_index(e, node, &left, out)
    if left.kind == FIELD_OBJECT and left.size and left.number == 0:
        if operation == OP_ID:
            set_text(out, left.text, left.size)
        else:
            metadata_of(&left, out)
    elif is_nothing(&left):
        set_missing(out)
    else:
        return work_fail(&e.work, b"only a document has an id and metadata")
    return OK


cdef int evaluate_index(Evaluation* e, const Node* node, const FieldValue* source, FieldValue* out) noexcept nogil:
    cdef FieldValue key
    cdef BlittableValue found
    cdef int code = evaluate(e, node.b, &key)
    if code != OK:
        return code
    set_missing(out)
    if key.kind == FIELD_STRING and source.kind == FIELD_OBJECT:
        if source.size and source.number == 0 and key.size == 9 and memcmp(key.text, b"@metadata", 9) == 0:
            metadata_of(source, out)
        elif blittable_get(&source.blittable, <const char*>key.text, key.size, &found) == OK:
            set_blittable(out, &found)
        elif source.size:
            return document_member(e, source, key.text, key.size, PROPERTY_NONE, out)
        return OK
    if key.kind == FIELD_INTEGER and source.kind == FIELD_ARRAY:
        if key.integer >= 0 and blittable_at(&source.blittable, <size_t>key.integer, &found) == OK:
            set_blittable(out, &found)
        return OK
    if key.kind == FIELD_INTEGER and source.kind == VALUE_LIST:
        if 0 <= key.integer < <int64_t>source.size:
            out[0] = list_items(source)[key.integer]
        return OK
    if is_nothing(source) or is_nothing(&key):
        return OK
    return work_fail_kind(&e.work, b"%s cannot be indexed like this", source)


cdef int evaluate_list(Evaluation* e, const Node* node, uint32_t index, FieldValue* out) noexcept nogil:
    cdef FieldValue* items = take_values(&e.work, node.b)
    cdef uint32_t width = 2 if node.operation == OP_RECORD else 1
    cdef uint32_t place
    cdef int code
    if items == NULL:
        return work_no_memory(&e.work)
    for place in range(node.b):
        code = evaluate(e, e.code.words[node.a + width * place + width - 1], &items[place])
        if code != OK:
            return code
    set_list(out, VALUE_RECORD if width == 2 else VALUE_LIST, items, node.b)
    out.integer = index
    return OK


cdef int evaluate_call(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef FieldValue few[3]
    cdef FieldValue* arguments = few
    cdef uint32_t place
    cdef int code
    if node.b > 3:
        arguments = take_values(&e.work, node.b)
        if arguments == NULL:
            return work_no_memory(&e.work)
    for place in range(node.b):
        code = evaluate(e, e.code.words[node.a + place], &arguments[place])
        if code != OK:
            return code
    e.work.position = node.position
    code = call_function(&e.work, node.number, node.flags, arguments, node.b, out)
    return code


cdef int evaluate_mark(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef MarkedValue* marked = <MarkedValue*>arena_take(&e.work.arena, sizeof(MarkedValue), 8)
    cdef int code
    if marked == NULL:
        return work_no_memory(&e.work)
    memset(marked, 0, sizeof(MarkedValue))
    marked.mark = node.flags
    code = evaluate(e, node.a, &marked.value)
    if code == OK and node.b != NO_OPERAND:
        code = evaluate(e, node.b, &marked.second)
    if code != OK:
        return code
    e.work.position = node.position
    set_missing(out)
    if marked.mark == MARK_BOOST:
        if not is_number(&marked.second):
            return work_fail_kind(&e.work, b"%s is no boost", &marked.second)
        marked.number = value_number(&marked.second)
    elif marked.mark == MARK_POINT:
        if is_nothing(&marked.value) or is_nothing(&marked.second):
            return OK
        if not is_number(&marked.value) or not is_number(&marked.second):
            return work_fail(&e.work, b"latitude and longitude have to be numbers")
    elif marked.mark == MARK_FIELD:
        if marked.second.kind != FIELD_STRING or marked.second.size == 0:
            return work_fail_kind(&e.work, b"%s is no name of a field", &marked.second)
    elif is_nothing(&marked.value):
        return OK
    out.kind = VALUE_MARKED
    out.text = <const uint8_t*>marked
    out.size = 1
    out.blittable.type = 0
    return OK


# ---- other documents

cdef int note_reference(Evaluation* e, const FieldValue* id, const FieldValue* collection) noexcept nogil:
    cdef Reference* reference = <Reference*>arena_take(&e.work.arena, sizeof(Reference), 8)
    if reference == NULL:
        return work_no_memory(&e.work)
    memset(reference, 0, sizeof(Reference))
    reference.id = id.text
    reference.id_size = id.size
    if collection.kind == FIELD_STRING:
        reference.collection = collection.text
        reference.collection_size = collection.size
    reference.next = e.references
    e.references = reference
    return OK


cdef int load_one(Evaluation* e, const FieldValue* id, const FieldValue* collection, FieldValue* out) noexcept nogil:
    cdef uint8_t key[ID_KEY_SIZE_MAX + 8]
    cdef BlittableValue root
    cdef Item item
    cdef int code
    set_missing(out)
    if id.kind != FIELD_STRING:
        return OK if is_nothing(id) else work_fail_kind(&e.work, b"%s is no id of a document", id)
    if id.size == 0 or id.size > ID_SIZE_MAX:
        return OK
    code = note_reference(e, id, collection)
    if code != OK or e.snapshot == NULL:
        return code
    code = snapshot_find(e.snapshot, key, identifier_key(id.text, id.size, key), &item)
    if code == E_NOT_FOUND:
        return OK
    if code != OK:
        e.work.error = e.snapshot.txn.error
        e.work.error.code = code
        return code
    if item.header.kind == ITEM_DOCUMENT and blittable_root(item.body, item.body_size, &root) == OK:
        document_input(out, &root, item.id, item.header.id_size, item.header.last_modified)
    return OK


cdef int evaluate_load(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef FieldValue id
    cdef FieldValue collection
    cdef FieldValue* items
    cdef Walk walk
    cdef size_t index
    cdef int code = evaluate(e, node.a, &id)
    set_missing(&collection)
    if code == OK and node.b != NO_OPERAND:
        code = evaluate(e, node.b, &collection)
    if code != OK:
        return code
    e.work.position = node.position
    if id.kind != FIELD_ARRAY and id.kind != VALUE_LIST:
        return load_one(e, &id, &collection, out)
    code = walk_open(&e.work, &id, &walk)
    items = take_values(&e.work, walk.count)
    if items == NULL:
        return work_no_memory(&e.work)
    for index in range(walk.count):
        if code == OK:
            code = walk_item(&e.work, &walk, index, &id)
        if code == OK:
            code = load_one(e, &id, &collection, &items[index])
    set_list(out, VALUE_LIST, items, walk.count)
    return code


# ---- sequences with lambdas

# What the loops below share.
cdef struct Loop:
    const Node* node
    Walk walk
    FieldValue* item               # the variable
    FieldValue* position           # the next variable


cdef inline int loop_item(Evaluation* e, Loop* loop, size_t index, uint32_t body, FieldValue* value) noexcept nogil:
    """Bind item `index` and evaluate the body, which is the item itself when there is none."""
    cdef int code = walk_item(&e.work, &loop.walk, index, loop.item)
    if code != OK:
        return code
    set_integer(loop.position, <int64_t>index)
    if body != NO_OPERAND:
        return evaluate(e, body, value)
    if e.work.steps_left == 0:
        return work_fail(&e.work, b"the evaluation takes more steps than one document may take")
    e.work.steps_left -= 1
    value[0] = loop.item[0]
    return OK


cdef int evaluate_sequence(Evaluation* e, const Node* node, FieldValue* out) noexcept nogil:
    cdef Loop loop
    cdef FieldValue source
    cdef int code = evaluate(e, node.a, &source)
    if code != OK:
        return code
    e.work.position = node.position
    loop.node = node
    loop.item = &e.variables[node.number]
    loop.position = &e.variables[node.number + 1]
    code = walk_open(&e.work, &source, &loop.walk)
    if code != OK:
        return code
    if loop.walk.count > SEQUENCE_ITEMS_MAX:
        return work_fail(&e.work, b"a sequence has more items than one evaluation may make")
    if node.flags == SEQUENCE_SELECT_MANY:
        return sequence_select_many(e, &loop, out)
    if node.flags <= SEQUENCE_WHERE:
        return sequence_select(e, &loop, out)
    if node.flags == SEQUENCE_ANY or node.flags == SEQUENCE_COUNT or node.flags == SEQUENCE_ALL:
        return sequence_count(e, &loop, out)
    if node.flags <= SEQUENCE_AVERAGE:
        return sequence_aggregate(e, &loop, out)
    if node.flags <= SEQUENCE_LAST_OR_NULL:
        return sequence_pick(e, &loop, out)
    if node.flags == SEQUENCE_GROUP:
        return sequence_group(e, &loop, out)
    return sequence_order(e, &loop, out)


cdef int sequence_select(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    cdef FieldValue* items = take_values(&e.work, loop.walk.count)
    cdef FieldValue value
    cdef size_t index
    cdef size_t kept = 0
    cdef bint where = loop.node.flags == SEQUENCE_WHERE
    cdef int code
    if items == NULL:
        return work_no_memory(&e.work)
    for index in range(loop.walk.count):
        code = loop_item(e, loop, index, loop.node.b, &value)
        if code != OK:
            return code
        if not where:
            items[kept] = value
            kept += 1
        elif value.kind == FIELD_TRUE:
            code = walk_item(&e.work, &loop.walk, index, &items[kept])
            kept += 1
            if code != OK:
                return code
    set_list(out, VALUE_LIST, items, kept)
    return OK


cdef int sequence_select_many(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    cdef FieldValue* items = NULL
    cdef FieldValue inner
    cdef Walk walk
    cdef size_t capacity = 0
    cdef size_t kept = 0
    cdef size_t index
    cdef size_t place
    cdef int code
    items = take_values(&e.work, 0)
    for index in range(loop.walk.count):
        code = loop_item(e, loop, index, loop.node.b, &inner)
        if code == OK:
            code = walk_open(&e.work, &inner, &walk)
        if code == OK:
            code = make_room(e, &items, kept, walk.count, &capacity)
        if code != OK:
            return code
        for place in range(walk.count):
            if loop.node.c == NO_OPERAND:
                code = walk_item(&e.work, &walk, place, &items[kept])
            else:
                code = walk_item(&e.work, &walk, place, &e.variables[loop.node.number + 2])
                if code == OK:
                    code = evaluate(e, loop.node.c, &items[kept])
            kept += 1
            if code != OK:
                return code
    set_list(out, VALUE_LIST, items, kept)
    return OK


cdef int sequence_count(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    """Any, All and Count."""
    cdef FieldValue value
    cdef size_t index
    cdef int64_t count = 0
    cdef uint32_t kind = loop.node.flags
    cdef int code
    if loop.node.b == NO_OPERAND:
        count = <int64_t>loop.walk.count
    else:
        for index in range(loop.walk.count):
            code = loop_item(e, loop, index, loop.node.b, &value)
            if code != OK:
                return code
            if value.kind == FIELD_TRUE:
                count += 1
                if kind == SEQUENCE_ANY:
                    break
            elif kind == SEQUENCE_ALL:
                set_bool(out, False)
                return OK
    if kind == SEQUENCE_COUNT:
        set_integer(out, count)
    else:
        set_bool(out, kind == SEQUENCE_ALL or count > 0)
    return OK


cdef int sequence_aggregate(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    """Sum, Min, Max and Average, which all pass over nothing."""
    cdef FieldValue value
    cdef FieldValue best
    cdef uint32_t kind = loop.node.flags
    cdef int64_t count = 0
    cdef size_t index
    cdef int order
    cdef int code
    for index in range(loop.walk.count):
        code = loop_item(e, loop, index, loop.node.b, &value)
        if code != OK:
            return code
        if is_nothing(&value):
            continue
        e.work.position = loop.node.position
        count += 1
        if kind == SEQUENCE_SUM or kind == SEQUENCE_AVERAGE:
            if not is_number(&value) and value.kind != VALUE_SPAN:
                return work_fail_kind(&e.work, b"%s cannot be added up", &value)
            if count > 1:
                code = value_arithmetic(&e.work, ARITHMETIC_ADD, &best, &value, &best)
                if code != OK:
                    return code
            else:
                best = value
        elif count == 1:
            best = value
        else:
            order = value_order(&e.work, &value, &best, 0)
            if order == INCOMPARABLE:
                return work_fail(&e.work, b"Min and Max need values of one kind")
            if (order < 0) == (kind == SEQUENCE_MIN) and order != 0:
                best = value
    if count == 0:
        if kind == SEQUENCE_SUM:
            set_integer(out, 0)
        else:
            set_null(out)
        return OK
    if kind == SEQUENCE_AVERAGE:
        if best.kind == FIELD_INTEGER:
            set_double(&best, <double>best.integer)
        set_integer(&value, count)
        return value_arithmetic(&e.work, ARITHMETIC_DIVIDE, &best, &value, out)
    out[0] = best
    return OK


cdef int sequence_pick(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    """First and Last."""
    cdef FieldValue value
    cdef size_t number
    cdef size_t index
    cdef uint32_t kind = loop.node.flags
    cdef bint last = kind == SEQUENCE_LAST or kind == SEQUENCE_LAST_OR_NULL
    cdef int code
    for number in range(loop.walk.count):
        index = loop.walk.count - 1 - number if last else number
        code = loop_item(e, loop, index, loop.node.b, &value)
        if code != OK:
            return code
        if loop.node.b == NO_OPERAND or value.kind == FIELD_TRUE:
            return walk_item(&e.work, &loop.walk, index, out)
    if kind == SEQUENCE_FIRST or kind == SEQUENCE_LAST:
        e.work.position = loop.node.position
        return work_fail(&e.work, b"the sequence has no such element")
    set_missing(out)
    return OK


cdef int sequence_keys(Evaluation* e, Loop* loop, FieldValue** keys, FieldValue** items) noexcept nogil:
    cdef size_t index
    cdef int code
    keys[0] = take_values(&e.work, loop.walk.count)
    items[0] = take_values(&e.work, loop.walk.count)
    if keys[0] == NULL or items[0] == NULL:
        return work_no_memory(&e.work)
    for index in range(loop.walk.count):
        code = loop_item(e, loop, index, loop.node.b, &keys[0][index])
        if code != OK:
            return code
        if loop.node.c == NO_OPERAND:
            items[0][index] = loop.item[0]
        else:
            code = evaluate(e, loop.node.c, &items[0][index])
            if code != OK:
                return code
    return OK


cdef int sequence_order(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    """A stable merge sort of positions by their keys."""
    cdef FieldValue* keys = NULL
    cdef FieldValue* items = NULL
    cdef FieldValue* sorted_items
    cdef uint32_t* order
    cdef uint32_t* other
    cdef uint32_t* swapped
    cdef size_t count = loop.walk.count
    cdef size_t width = 1
    cdef size_t index
    cdef int code = sequence_keys(e, loop, &keys, &items)
    if code != OK:
        return code
    order = <uint32_t*>arena_take(&e.work.arena, (count + 1) * sizeof(uint32_t), 8)
    other = <uint32_t*>arena_take(&e.work.arena, (count + 1) * sizeof(uint32_t), 8)
    sorted_items = take_values(&e.work, count)
    if order == NULL or other == NULL or sorted_items == NULL:
        return work_no_memory(&e.work)
    for index in range(count):
        order[index] = <uint32_t>index
    while width < count:
        if e.work.steps_left < count:
            return work_fail(&e.work, b"the evaluation takes more steps than one document may take")
        e.work.steps_left -= count
        merge_runs(e, keys, order, other, count, width, loop.node.flags == SEQUENCE_ORDER_DESCENDING)
        swapped = order
        order = other
        other = swapped
        width *= 2
    for index in range(count):
        sorted_items[index] = items[order[index]]
    set_list(out, VALUE_LIST, sorted_items, count)
    return OK


cdef void merge_runs(Evaluation* e, const FieldValue* keys, const uint32_t* order, uint32_t* merged, size_t count,
                     size_t width, bint descending) noexcept nogil:
    cdef size_t start = 0
    cdef size_t left
    cdef size_t right
    cdef size_t middle
    cdef size_t end
    cdef size_t index
    cdef int compared
    while start < count:
        middle = start + width if start + width < count else count
        end = start + 2 * width if start + 2 * width < count else count
        left = start
        right = middle
        for index in range(start, end):
            if left < middle and right < end:
                compared = value_sort_order(&e.work, &keys[order[right]], &keys[order[left]])
                if (compared > 0) if descending else (compared < 0):
                    merged[index] = order[right]
                    right += 1
                else:
                    merged[index] = order[left]
                    left += 1
            elif left < middle:
                merged[index] = order[left]
                left += 1
            else:
                merged[index] = order[right]
                right += 1
        start = end


cdef int sequence_group(Evaluation* e, Loop* loop, FieldValue* out) noexcept nogil:
    """Groups in order of their first items; each is a pair of key and list."""
    cdef FieldValue* keys = NULL
    cdef FieldValue* items = NULL
    cdef FieldValue* groups
    cdef FieldValue* pair
    cdef uint32_t* slots
    cdef uint32_t* group_of
    cdef size_t count = loop.walk.count
    cdef size_t slot_count = 16
    cdef size_t group_count = 0
    cdef size_t index
    cdef uint64_t slot
    cdef int code = sequence_keys(e, loop, &keys, &items)
    if code != OK:
        return code
    while slot_count < 2 * count:
        slot_count *= 2
    slots = <uint32_t*>arena_take(&e.work.arena, slot_count * sizeof(uint32_t), 8)
    group_of = <uint32_t*>arena_take(&e.work.arena, (count + 1) * sizeof(uint32_t), 8)
    groups = take_values(&e.work, count)
    if slots == NULL or group_of == NULL or groups == NULL:
        return work_no_memory(&e.work)
    memset(slots, 0, slot_count * sizeof(uint32_t))
    for index in range(count):
        slot = value_hash(&keys[index]) & (slot_count - 1)
        while slots[slot] and value_order(&e.work, &list_items(&groups[slots[slot] - 1])[0], &keys[index], 0) != 0:
            slot = (slot + 1) & (slot_count - 1)
            if e.work.steps_left == 0:
                return work_fail(&e.work, b"the evaluation takes more steps than one document may take")
            e.work.steps_left -= 1
        if slots[slot] == 0:
            pair = take_values(&e.work, 2)
            if pair == NULL:
                return work_no_memory(&e.work)
            pair[0] = keys[index]
            set_list(&pair[1], VALUE_LIST, NULL, 0)
            set_list(&groups[group_count], VALUE_GROUP, pair, 2)
            group_count += 1
            slots[slot] = <uint32_t>group_count
        group_of[index] = slots[slot] - 1
        list_items(&groups[group_of[index]])[1].size += 1
    code = fill_groups(e, groups, group_count, group_of, items, count)
    set_list(out, VALUE_LIST, groups, group_count)
    return code


cdef int fill_groups(Evaluation* e, FieldValue* groups, size_t group_count, const uint32_t* group_of,
                     const FieldValue* items, size_t count) noexcept nogil:
    cdef FieldValue* members = take_values(&e.work, count)
    cdef FieldValue* list_
    cdef size_t index
    cdef size_t start = 0
    if members == NULL:
        return work_no_memory(&e.work)
    for index in range(group_count):
        list_ = &list_items(&groups[index])[1]
        list_.text = <const uint8_t*>(members + start)
        start += list_.size
        list_.size = 0
    for index in range(count):
        list_ = &list_items(&groups[group_of[index]])[1]
        list_items(list_)[list_.size] = items[index]
        list_.size += 1
    return OK


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


cdef void document_input(FieldValue* out, const BlittableValue* root, const uint8_t* id, size_t id_size,
                         uint64_t last_modified) noexcept nogil:
    set_blittable(out, root)
    if root.type == BLITTABLE_OBJECT:
        out.text = id
        out.size = id_size
        out.integer = <int64_t>last_modified


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
