# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loop of bench_expr: one program over many documents, without a Python call for each."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from pynori_core.blittable cimport BlittableValue, document_view
from pynori_core.errors cimport OK
from pynori_core.expr cimport Program
from pynori_core.expr_eval cimport Evaluation, document_input
from pynori_core.expr_run cimport evaluation_close, evaluation_open, program_run, program_value
from pynori_core.field_value cimport FIELD_TRUE, FieldSink, FieldValue


cdef struct Counted:
    uint64_t values
    uint64_t entries


cdef int count_value(void* context, uint32_t field, const FieldValue* value) noexcept nogil:
    (<Counted*>context).values += 1
    return OK


cdef int count_entry(void* context) noexcept nogil:
    (<Counted*>context).entries += 1
    return OK


def run(Program program, list documents, uint64_t rounds):
    """(seconds, values or true conditions, entries) of `rounds` times all documents."""
    cdef uint64_t count = len(documents)
    cdef FieldValue* inputs = <FieldValue*>calloc(count, sizeof(FieldValue))
    cdef BlittableValue view
    cdef Evaluation evaluation
    cdef FieldSink sink
    cdef FieldValue value
    cdef Counted counted
    cdef timespec start, end
    cdef uint64_t index, turn
    cdef bint is_map = program.is_map
    cdef int code = OK
    counted.values = counted.entries = 0
    sink.context = &counted
    sink.emit = count_value
    sink.end_entry = count_entry
    for index in range(count):
        document_view(documents[index], &view)
        document_input(&inputs[index], &view, b"orders/1-A", 10, 0)
    assert evaluation_open(&evaluation, &program.code) == OK
    with nogil:
        clock_gettime(CLOCK_MONOTONIC, &start)
        for turn in range(rounds):
            for index in range(count):
                if is_map:
                    code = program_run(&evaluation, &inputs[index], NULL, NULL, &sink)
                else:
                    code = program_value(&evaluation, &inputs[index], NULL, NULL, &value)
                    counted.values += value.kind == FIELD_TRUE
                if code != OK:
                    break
        clock_gettime(CLOCK_MONOTONIC, &end)
    message = evaluation.work.error.text.decode()
    evaluation_close(&evaluation)
    free(inputs)
    if code != OK:
        raise ValueError(message)
    return end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) * 1e-9, counted.values, counted.entries
