"""Check a program's bytes; run programs from Python."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from collections import namedtuple

from pynori_core.blittable import Value

from pynori_core.arena cimport arena_take
from pynori_core.bits cimport atomic_load_pointer, compare_swap_pointer
from pynori_core.blittable cimport BlittableValue, document_view, document_wrap
from pynori_core.document_snapshot cimport DocumentSnapshot, snapshot_view
from pynori_core.errors cimport OK, raise_error
from pynori_core.expr_eval cimport (
    NO_OPERAND,
    OP_AND,
    OP_ARITHMETIC,
    OP_ARRAY,
    OP_BOOL,
    OP_CALL,
    OP_CAST,
    OP_COALESCE,
    OP_COMPARE,
    OP_CONDITIONAL,
    OP_DECIMAL,
    OP_DOUBLE,
    OP_EACH,
    OP_FILTER,
    OP_ID,
    OP_INDEX,
    OP_INTEGER,
    OP_KINDS,
    OP_LET,
    OP_LOAD,
    OP_MARK,
    OP_MEMBER,
    OP_METADATA,
    OP_NEGATE,
    OP_NOT,
    OP_NULL,
    OP_OR,
    OP_OUTPUT,
    OP_RECORD,
    OP_SEQUENCE,
    OP_TEXT,
    OP_VARIABLE,
    PROGRAM_DEPTH_MAX,
    PROGRAM_FIELDS_MAX,
    PROGRAM_NODES_MAX,
    PROGRAM_VARIABLES_MAX,
    SEQUENCE_ANY,
    SEQUENCE_AVERAGE,
    SEQUENCE_FIRST,
    SEQUENCE_KINDS,
    SEQUENCE_LAST_OR_NULL,
    VARIABLES_GIVEN,
    BuiltDocument,
    Node,
    ProgramHeader,
    Reference,
    TextPlace,
    document_input,
)
from pynori_core.expr_run cimport evaluation_build, evaluation_close, evaluation_open, program_run, program_value
from pynori_core.expr_functions cimport ARGUMENTS_MAX, CALL_KINDS, PROPERTY_KINDS
from pynori_core.expr_values cimport (
    MARK_BOOST,
    MARK_FIELD,
    MARK_POINT,
    MARK_SHAPE,
    VALUE_LIST,
    VALUE_MARKED,
    MarkedValue,
    Work,
    set_blittable,
    set_list,
    set_missing,
    work_no_memory,
)
from pynori_core.field_value cimport (
    FIELD_DOUBLE,
    FIELD_INTEGER,
    FIELD_NULL,
    FIELD_STRING,
    FIELD_TRUE,
    FieldSink,
)
from pynori_core.items cimport Snapshot

# THE table of operations: number, and what a, b and c are: n a node, o a node or none, t a text, l place and number of
# nodes in the lists, p of (text, node) pairs, f of (field, node) pairs, - anything.
OPERATIONS = {
    "null": (OP_NULL, "---"), "bool": (OP_BOOL, "---"), "integer": (OP_INTEGER, "---"), "double": (OP_DOUBLE, "---"),
    "decimal": (OP_DECIMAL, "---"), "text": (OP_TEXT, "t--"), "variable": (OP_VARIABLE, "---"),
    "member": (OP_MEMBER, "nt-"), "index": (OP_INDEX, "nn-"), "metadata": (OP_METADATA, "n--"), "id": (OP_ID, "n--"),
    "not": (OP_NOT, "n--"), "negate": (OP_NEGATE, "n--"), "and": (OP_AND, "nn-"), "or": (OP_OR, "nn-"),
    "conditional": (OP_CONDITIONAL, "nnn"), "coalesce": (OP_COALESCE, "nn-"), "arithmetic": (OP_ARITHMETIC, "nn-"),
    "compare": (OP_COMPARE, "nn-"), "cast": (OP_CAST, "n--"), "record": (OP_RECORD, "p--"), "array": (OP_ARRAY, "l--"),
    "call": (OP_CALL, "l--"), "sequence": (OP_SEQUENCE, "noo"), "load": (OP_LOAD, "no-"), "mark": (OP_MARK, "no-"),
    "let": (OP_LET, "nn-"), "filter": (OP_FILTER, "nn-"), "each": (OP_EACH, "nn-"), "output": (OP_OUTPUT, "f--"),
}

# THE table of functions, in the order of FunctionKind: name, fewest and most arguments.
FUNCTIONS = {
    name: (number, least, most)
    for number, (name, least, most) in enumerate((
        ("to_string", 1, 1), ("substring", 2, 3), ("index_of", 2, 2), ("last_index_of", 2, 2), ("contains", 2, 2),
        ("starts_with", 2, 2), ("ends_with", 2, 2), ("to_lower", 1, 1), ("to_upper", 1, 1), ("trim", 1, 1),
        ("trim_start", 1, 1), ("trim_end", 1, 1), ("replace", 3, 3), ("split", 2, 16), ("format", 1, 64),
        ("join", 2, 64), ("is_null_or_empty", 1, 1), ("is_null_or_white_space", 1, 1), ("concat_text", 1, 64),
        ("compare", 2, 2), ("add_ticks", 2, 2), ("add_days", 2, 2), ("add_hours", 2, 2), ("add_minutes", 2, 2),
        ("add_seconds", 2, 2), ("add_milliseconds", 2, 2), ("add_months", 2, 2), ("add_years", 2, 2), ("date", 3, 6),
        ("span_days", 1, 1), ("span_hours", 1, 1), ("span_minutes", 1, 1), ("span_seconds", 1, 1),
        ("span_milliseconds", 1, 1), ("span_ticks", 1, 1), ("abs", 1, 1), ("round", 1, 2), ("floor", 1, 1),
        ("ceiling", 1, 1), ("least", 2, 2), ("greatest", 2, 2), ("power", 2, 2), ("square_root", 1, 1),
        ("distinct", 1, 1), ("reverse", 1, 1), ("take", 2, 2), ("skip", 2, 2), ("concat", 2, 2), ("union", 2, 2),
        ("intersect", 2, 2), ("except", 2, 2), ("element_at", 2, 2), ("in", 1, ARGUMENTS_MAX),
        ("all_in", 1, ARGUMENTS_MAX), ("exists", 1, 1), ("terms", 1, 1),
    ), 1)
}

# Names of properties that values have without storing them; several names may mean one.
PROPERTIES = {
    "Length": 1, "Count": 1, "Year": 2, "Month": 3, "Day": 4, "Hour": 5, "Minute": 6, "Second": 7, "Millisecond": 8,
    "DayOfWeek": 9, "DayOfYear": 10, "Date": 11, "Ticks": 12, "TimeOfDay": 13, "TotalDays": 14, "TotalHours": 15,
    "TotalMinutes": 16, "TotalSeconds": 17, "TotalMilliseconds": 18, "Days": 19, "Hours": 20, "Minutes": 21,
    "Seconds": 22, "Milliseconds": 23, "Value": 24, "HasValue": 25, "Key": 26, "Id": 27,
}

assert len(FUNCTIONS) == CALL_KINDS - 1 and len(OPERATIONS) == OP_KINDS - 1
assert max(PROPERTIES.values()) == PROPERTY_KINDS - 1

OPERANDS = {number: operands for number, operands in OPERATIONS.values()}
ARITIES = {number: (least, most) for number, least, most in FUNCTIONS.values()}

# Marked values as `Program.run` gives them.
Boosted = namedtuple("Boosted", "value boost")
Point = namedtuple("Point", "latitude longitude")
Shape = namedtuple("Shape", "wkt")
DynamicField = namedtuple("DynamicField", "name value")


# ---- the check

cdef inline bint is_stage(uint32_t operation) noexcept nogil:
    return operation >= OP_LET


cdef class Check:
    """One look at each node: operands exist, come before, and are of the right sort; depth is bounded."""

    cdef const ProgramHeader* header
    cdef const Node* nodes
    cdef const uint32_t* words
    cdef list depths

    cdef int fail(self, str what, Py_ssize_t index) except -1:
        raise ValueError(f"this is no program: node {index}: {what}")

    cdef int operand(self, uint32_t index, uint32_t child, bint stage) except -1:
        if child >= index:
            self.fail("an operand does not come before it", index)
        if is_stage(self.nodes[child].operation) != stage:
            self.fail("a stage where a value belongs, or the reverse", index)
        if self.depths[child] >= self.depths[index]:
            self.depths[index] = self.depths[child] + 1
        return 0

    cdef int list_operand(self, uint32_t index, str sort) except -1:
        cdef const Node* node = &self.nodes[index]
        cdef uint64_t width = 1 if sort == "l" else 2
        cdef uint64_t place
        if node.a < self.header.fields or node.a + width * node.b > self.header.words:
            self.fail("its list lies outside", index)
        for place in range(node.b):
            if sort == "p" and self.words[node.a + 2 * place] >= self.header.texts:
                self.fail("there is no such name", index)
            if sort == "f" and self.words[node.a + 2 * place] >= self.header.fields:
                self.fail("there is no such field", index)
            self.operand(index, self.words[node.a + width * place + width - 1], False)
        return 0

    cdef int node(self, uint32_t index) except -1:
        cdef const Node* node = &self.nodes[index]
        cdef uint32_t value
        if not 0 < node.operation < OP_KINDS:
            self.fail("no such operation", index)
        for place, sort in enumerate(OPERANDS[node.operation]):
            value = node.a if place == 0 else node.b if place == 1 else node.c
            if sort == "n" or (sort == "o" and value != NO_OPERAND):
                self.operand(index, value, place == 1 and is_stage(node.operation))
            elif sort == "t" and value >= self.header.texts:
                self.fail("there is no such text", index)
            elif sort in "lpf":
                self.list_operand(index, sort)
        if self.depths[index] > PROGRAM_DEPTH_MAX:
            raise ValueError(f"the expression is nested deeper than {PROGRAM_DEPTH_MAX} levels (PROGRAM_DEPTH_MAX)")
        return self.numbers(index, node)

    cdef int numbers(self, uint32_t index, const Node* node) except -1:
        """What stands in `number` and `flags`."""
        cdef uint32_t operation = node.operation
        cdef uint32_t binds = 0
        if operation == OP_VARIABLE and node.number >= self.header.variables:
            self.fail("there is no such variable", index)
        if operation == OP_SEQUENCE or operation == OP_EACH or operation == OP_LET:
            binds = 3 if operation == OP_SEQUENCE else 2 if operation == OP_EACH else 1
            if node.number < VARIABLES_GIVEN or node.number + binds > self.header.variables:
                self.fail("it binds no variable of its own", index)
        if operation == OP_SEQUENCE:
            if not 0 < node.flags < SEQUENCE_KINDS:
                self.fail("no such function of sequences", index)
            if node.b == NO_OPERAND and not (
                    SEQUENCE_ANY <= node.flags <= SEQUENCE_AVERAGE
                    or SEQUENCE_FIRST <= node.flags <= SEQUENCE_LAST_OR_NULL):
                self.fail("the lambda is missing", index)
        if operation == OP_CALL:
            least, most = ARITIES.get(node.number, (1, 0))
            if not least <= node.b <= most:
                self.fail("no such function, or not with so many arguments", index)
        if operation == OP_MEMBER and node.number >= PROPERTY_KINDS:
            self.fail("no such property", index)
        if (operation == OP_ARITHMETIC and not 1 <= node.flags <= 5) or (
                operation == OP_COMPARE and not 1 <= node.number <= 6) or (
                operation == OP_CAST and not 1 <= node.flags <= 7) or (
                operation == OP_MARK and not 1 <= node.flags <= 4) or (
                operation == OP_DECIMAL and node.c > 18):
            self.fail("its number has no meaning", index)
        if operation == OP_MARK and node.flags in (MARK_BOOST, MARK_POINT, MARK_FIELD) and node.b == NO_OPERAND:
            self.fail("a mark without its second value", index)
        return 0


cdef int read_code(Program program) except -1:
    """Where the parts of the bytes are; they fill them exactly."""
    cdef const uint8_t* data = program.data
    cdef uint64_t size = <uint64_t>len(program.data)
    cdef const ProgramHeader* header = <const ProgramHeader*>data
    if size < sizeof(ProgramHeader) or memcmp(header.magic, b"PXP1", 4) != 0:
        raise ValueError("this is no program")
    if header.nodes > PROGRAM_NODES_MAX:
        raise ValueError(f"a program has at most {PROGRAM_NODES_MAX} nodes (PROGRAM_NODES_MAX)")
    if not VARIABLES_GIVEN <= header.variables <= PROGRAM_VARIABLES_MAX or header.fields > PROGRAM_FIELDS_MAX or (
            header.fields > header.words or header.root >= header.nodes):
        raise ValueError("this is no program: its counts are wrong")
    if size != (sizeof(ProgramHeader) + <uint64_t>header.nodes * sizeof(Node) + <uint64_t>header.words * 4
                + <uint64_t>header.texts * sizeof(TextPlace) + header.text_bytes):
        raise ValueError("this is no program: its size is wrong")
    program.code.header = header
    program.code.nodes = <const Node*>(data + sizeof(ProgramHeader))
    program.code.words = <const uint32_t*>(program.code.nodes + header.nodes)
    program.code.texts = <const TextPlace*>(program.code.words + header.words)
    program.code.text_bytes = <const uint8_t*>(program.code.texts + header.texts)
    return 0


cdef list read_texts(Program program):
    cdef const ProgramHeader* header = program.code.header
    cdef const TextPlace* place
    cdef uint32_t index
    texts = []
    for index in range(header.texts):
        place = &program.code.texts[index]
        if <uint64_t>place.offset + place.size > header.text_bytes:
            raise ValueError("this is no program: a text lies outside")
        texts.append(PyUnicode_DecodeUTF8(<const char*>program.code.text_bytes + place.offset, place.size, NULL))
    return texts


@cython.final
cdef class Program:
    """A program, checked. May be run by several threads at the same time."""

    def __init__(self, bytes data not None):
        cdef Check check = Check()
        cdef uint32_t index
        cdef uint32_t operation
        self.data = data
        read_code(self)
        texts = read_texts(self)
        check.header = self.code.header
        check.nodes = self.code.nodes
        check.words = self.code.words
        check.depths = [1] * check.header.nodes
        names = []
        for index in range(check.header.fields):
            if check.words[index] >= check.header.texts:
                raise ValueError("this is no program: a field has no name")
            names.append(texts[check.words[index]])
        self.fields = tuple(names)
        for index in range(check.header.nodes):
            check.node(index)
            operation = check.nodes[index].operation
            self.has_marks = self.has_marks or operation == OP_MARK
            self.loads = self.loads or operation == OP_LOAD
        self.is_map = is_stage(check.nodes[check.header.root].operation)

    def __dealloc__(self):
        if self.kept != NULL:
            evaluation_close(<Evaluation*>self.kept)
            free(self.kept)

    def __reduce__(self):
        return Program, (self.data,)

    def run(self, source, *, str id="", uint64_t last_modified=0, parameters=None, DocumentSnapshot snapshot=None,
            list references=None):
        """The entries of a map over one document, or of a reduce over a list of results.

        Each entry is a dict: field -> value, or a list of values when there are several; fields that are missing are
        left out. `references`, if given, gets (id, collection or None) for each document that was asked for.
        Raises: ExpressionError; what the snapshot raises.
        """
        return run_python(self, source, id, last_modified, parameters, snapshot, references, RUN_ENTRIES)

    def documents(self, source, *, str id="", uint64_t last_modified=0, parameters=None,
                  DocumentSnapshot snapshot=None, list references=None):
        """As `run`, each entry as a blittable document: fields as they are, missing ones as null."""
        return run_python(self, source, id, last_modified, parameters, snapshot, references, RUN_DOCUMENTS)

    def value(self, source, *, str id="", uint64_t last_modified=0, parameters=None, DocumentSnapshot snapshot=None,
              list references=None):
        """The value of an expression: None, bool, int, float, Decimal, str, dict or list; missing is None."""
        return run_python(self, source, id, last_modified, parameters, snapshot, references, RUN_VALUE)

    def test(self, source, *, str id="", uint64_t last_modified=0, parameters=None, DocumentSnapshot snapshot=None,
             list references=None):
        """Whether a condition holds."""
        return run_python(self, source, id, last_modified, parameters, snapshot, references, RUN_TEST)


# ---- runs from Python

cdef enum RunForm:
    RUN_ENTRIES = 1
    RUN_DOCUMENTS = 2
    RUN_VALUE = 3
    RUN_TEST = 4

# What the collecting sink keeps: each value as emitted, in the evaluation's arena.
cdef struct Collected:
    Collected* next
    uint32_t field                 # NO_OPERAND: the entry ends here
    FieldValue value

cdef struct Collector:
    Work* work
    Collected* first
    Collected* last


cdef int collect(Collector* collector, uint32_t field, const FieldValue* value) noexcept nogil:
    cdef Collected* made = <Collected*>arena_take(&collector.work.arena, sizeof(Collected), 8)
    if made == NULL:
        return work_no_memory(collector.work)
    made.next = NULL
    made.field = field
    if value != NULL:
        made.value = value[0]
    if collector.first == NULL:
        collector.first = made
    else:
        collector.last.next = made
    collector.last = made
    return OK


cdef int collect_value(void* context, uint32_t field, const FieldValue* value) noexcept nogil:
    return collect(<Collector*>context, field, value)


cdef int collect_end(void* context) noexcept nogil:
    return collect(<Collector*>context, NO_OPERAND, NULL)


cdef Evaluation* take_evaluation(Program program) except NULL:
    cdef Evaluation* evaluation = <Evaluation*>atomic_load_pointer(&program.kept)
    if evaluation != NULL and compare_swap_pointer(&program.kept, evaluation, NULL):
        return evaluation
    evaluation = <Evaluation*>calloc(1, sizeof(Evaluation))
    if evaluation == NULL or evaluation_open(evaluation, &program.code) != OK:
        free(evaluation)
        raise MemoryError
    return evaluation


cdef void keep_evaluation(Program program, Evaluation* evaluation) noexcept:
    if evaluation.work.arena.chunk_bytes > KEPT_BYTES_MAX or (
            not compare_swap_pointer(&program.kept, NULL, evaluation)):
        evaluation_close(evaluation)
        free(evaluation)


cdef enum:
    KEPT_BYTES_MAX = 1048576       # an evaluation that took more memory is given back


cdef bytes input_list(list source, FieldValue* out):
    """Several documents, as a reduce takes them: the bytes that hold their values, to be kept until the run ends."""
    cdef bytes held = PyBytes_FromStringAndSize(NULL, len(source) * <Py_ssize_t>sizeof(FieldValue))
    cdef FieldValue* items = <FieldValue*><char*>held
    cdef BlittableValue view
    cdef size_t index = 0
    for document in source:
        document_view(document, &view)
        set_blittable(&items[index], &view)
        index += 1
    set_list(out, VALUE_LIST, items, index)
    return held


cdef object run_python(Program program, object source, str id, uint64_t last_modified, object parameters,
                       DocumentSnapshot snapshot, list references, RunForm form):
    cdef Evaluation* evaluation
    if program.is_map != (form <= RUN_DOCUMENTS):
        raise TypeError("a map is run, a value or condition is evaluated")
    evaluation = take_evaluation(program)
    try:
        if snapshot is None:
            return run_within(program, evaluation, source, id, last_modified, parameters, NULL, references, form)
        return run_on_snapshot(program, evaluation, source, id, last_modified, parameters, snapshot, references, form)
    finally:
        keep_evaluation(program, evaluation)


cdef object run_on_snapshot(Program program, Evaluation* evaluation, object source, str id, uint64_t last_modified,
                            object parameters, DocumentSnapshot snapshot, list references, RunForm form):
    cdef Snapshot view
    snapshot.enter()
    try:
        snapshot_view(&snapshot.snapshot, &view)
        return run_within(program, evaluation, source, id, last_modified, parameters, &view, references, form)
    finally:
        snapshot.leave()


cdef object run_within(Program program, Evaluation* evaluation, object source, str id, uint64_t last_modified,
                       object parameters, Snapshot* snapshot, list references, RunForm form):
    cdef Collector collector
    cdef FieldSink sink
    cdef FieldValue given
    cdef FieldValue parameter_values
    cdef FieldValue value
    cdef BlittableValue view
    cdef Py_ssize_t id_size = 0
    cdef const char* id_text = PyUnicode_AsUTF8AndSize(id, &id_size)
    cdef bytes held                # the values of a list, which must stay until the run ends
    cdef int code
    if isinstance(source, list):
        held = input_list(source, &given)  # no-cython-lint
    else:
        document_view(source, &view)
        document_input(&given, &view, <const uint8_t*>id_text, <size_t>id_size, last_modified)
    set_missing(&parameter_values)
    if parameters is not None:
        document_view(parameters, &view)
        set_blittable(&parameter_values, &view)
    if form <= RUN_DOCUMENTS:
        collector.work = &evaluation.work
        collector.first = NULL
        sink.context = &collector
        sink.emit = collect_value
        sink.end_entry = collect_end
        with nogil:
            code = program_run(evaluation, &given, &parameter_values, snapshot, &sink if form == RUN_ENTRIES else NULL)
    else:
        with nogil:
            code = program_value(evaluation, &given, &parameter_values, snapshot, &value)
    if references is not None:
        add_references(evaluation, references)
    if code != OK:
        evaluation.work.error.code = code
        raise_error(&evaluation.work.error)
    if form == RUN_ENTRIES:
        return entries_of(program, evaluation, &collector)
    if form == RUN_DOCUMENTS:
        return documents_of(evaluation)
    if form == RUN_TEST:
        return value.kind == FIELD_TRUE
    return python_value(evaluation, &value)


cdef str text_of(const uint8_t* text, size_t size):
    return PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, "surrogatepass")


cdef object python_value(Evaluation* evaluation, const FieldValue* value):
    cdef const MarkedValue* marked
    cdef FieldValue built
    cdef FieldValue within
    if value.kind <= FIELD_NULL:
        return None
    if value.kind <= FIELD_TRUE:
        return value.kind == FIELD_TRUE
    if value.kind == FIELD_INTEGER:
        return value.integer
    if value.kind == FIELD_DOUBLE:
        return value.number
    if value.kind == FIELD_STRING:
        return text_of(value.text, value.size)
    if value.kind == VALUE_MARKED:
        marked = <const MarkedValue*>value.text
        within = marked.value
        inner = python_value(evaluation, &within)
        if marked.mark == MARK_BOOST:
            return Boosted(inner, marked.number)
        if marked.mark == MARK_SHAPE:
            return Shape(inner)
        within = marked.second
        if marked.mark == MARK_POINT:
            return Point(float(inner), float(python_value(evaluation, &within)))
        return DynamicField(python_value(evaluation, &within), inner)
    if evaluation_build(evaluation, value, &built) != OK:
        raise_error(&evaluation.work.error)
    data = PyBytes_FromStringAndSize(<const char*>built.blittable.base, built.blittable.size)
    found = document_wrap(data, built.blittable.size, data)
    return found.to_python() if isinstance(found, Value) else found


cdef list entries_of(Program program, Evaluation* evaluation, const Collector* collector):
    cdef Collected* collected = collector.first
    entries = []
    entry = {}
    while collected != NULL:
        if collected.field == NO_OPERAND:
            entries.append({name: values[0] if len(values) == 1 else values for name, values in entry.items()})
            entry = {}
        else:
            value = python_value(evaluation, &collected.value)
            entry.setdefault(program.fields[collected.field], []).append(value)
        collected = collected.next
    return entries


cdef list documents_of(const Evaluation* evaluation):
    cdef BuiltDocument* built = evaluation.documents
    documents = []
    while built != NULL:
        documents.append(PyBytes_FromStringAndSize(<const char*>built.data, <Py_ssize_t>built.size))
        built = built.next
    documents.reverse()
    return documents


cdef int add_references(const Evaluation* evaluation, list references) except -1:
    cdef Reference* reference = evaluation.references
    found = []
    while reference != NULL:
        collection = text_of(reference.collection, reference.collection_size) if reference.collection != NULL else None
        found.append((text_of(reference.id, reference.id_size), collection))
        reference = reference.next
    references.extend(reversed(found))
    return 0
