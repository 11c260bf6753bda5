"""Evaluate a program for each document that an index takes."""

cimport cython
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from pynori_core.bits cimport load16
from pynori_core.errors cimport E_NO_MEMORY, OK, ErrorDetail
from pynori_core.expr cimport Program
from pynori_core.expr_eval cimport Reference, document_input
from pynori_core.expr_run cimport evaluation_close, evaluation_open, program_run
from pynori_core.field_value cimport FieldValue
from pynori_core.index_feed cimport FeedDocument
from pynori_core.output cimport output_append, output_clear, output_init, output_release

cdef enum:
    REFERENCE_BYTES_MAX = 268435456    # noted by one feed; more fails the document


@cython.final
cdef class ExpressionFeed(FeedProgram):
    """Feeds an index with the entries of a map."""

    def __cinit__(self, Program program not None, numbers):
        cdef Py_ssize_t index
        if not program.is_map:
            raise ValueError("only a map gives entries")
        if program.has_marks:
            raise ValueError("a map that marks values (spatial, boosted, dynamic fields) cannot be fed natively")
        self.program = program
        output_init(&self.references, REFERENCE_BYTES_MAX)
        self.numbers = <uint32_t*>calloc(<size_t>len(program.fields), sizeof(uint32_t))
        if self.numbers == NULL or evaluation_open(&self.evaluation, &program.code) != OK:
            raise MemoryError
        self.opened = True
        for index in range(len(program.fields)):
            self.numbers[index] = numbers[program.fields[index]]
        self.evaluate = expression_evaluate
        self.state = <void*>self

    def __dealloc__(self):
        free(self.numbers)
        output_release(&self.references)
        if self.opened:
            evaluation_close(&self.evaluation)

    def take_references(self):
        """(document, [(id, collection or None)]) of what was fed since the last call."""
        cdef const uint8_t* here = self.references.data
        cdef const uint8_t* end = here + self.references.size
        found = []
        while here < end:
            id = read_text(&here)
            loaded = []
            while True:
                target = read_text(&here)
                if not target:
                    break
                loaded.append((target, read_text(&here) or None))
            found.append((id, loaded))
        output_clear(&self.references)
        return found


cdef str read_text(const uint8_t** here):
    cdef uint16_t size = load16(here[0])
    cdef const char* text = <const char*>here[0] + 2
    here[0] += 2 + size
    return PyUnicode_DecodeUTF8(text, size, "surrogatepass")


cdef int forward_value(void* context, uint32_t field, const FieldValue* value) noexcept nogil:
    cdef const FieldSink* inner = (<ExpressionFeed>context).inner
    (<ExpressionFeed>context).has_values = True
    return inner.emit(inner.context, (<ExpressionFeed>context).numbers[field], value)


cdef int forward_end(void* context) noexcept nogil:
    """An entry without any value is none."""
    cdef const FieldSink* inner = (<ExpressionFeed>context).inner
    if not (<ExpressionFeed>context).has_values:
        return OK
    (<ExpressionFeed>context).has_values = False
    return inner.end_entry(inner.context)


cdef int expression_evaluate(void* state, const FeedDocument* document, const FieldSink* sink,
                             ErrorDetail* error) noexcept nogil:
    cdef Evaluation* evaluation = &(<ExpressionFeed>state).evaluation
    cdef FieldSink own
    cdef FieldValue given
    cdef int code
    (<ExpressionFeed>state).inner = sink
    (<ExpressionFeed>state).has_values = False
    own.context = state
    own.emit = forward_value
    own.end_entry = forward_end
    document_input(&given, &document.root, document.item.id, document.item.header.id_size,
                   document.item.header.last_modified)
    code = program_run(evaluation, &given, NULL, document.snapshot, &own)
    if (<ExpressionFeed>state).program.loads and not note_references(&(<ExpressionFeed>state).references, evaluation,
                                                                     document):
        return E_NO_MEMORY
    if code != OK:
        memcpy(error, &evaluation.work.error, sizeof(ErrorDetail))
        error.code = code
    return code


cdef void write_text(Output* output, const uint8_t* text, size_t size) noexcept nogil:
    cdef uint16_t size16 = <uint16_t>size
    output_append(output, &size16, 2)
    output_append(output, text, size16)


cdef bint note_references(Output* output, const Evaluation* evaluation, const FeedDocument* document) noexcept nogil:
    """Also those of a document that failed: when what it loads changes, it may succeed."""
    cdef const Reference* reference = evaluation.references
    write_text(output, document.item.id, document.item.header.id_size)
    while reference != NULL:
        write_text(output, reference.id, reference.id_size)
        # A longer name is no collection.
        write_text(output, reference.collection, reference.collection_size if reference.collection_size < 512 else 0)
        reference = reference.next
    write_text(output, NULL, 0)
    return output.failure == OK
