"""A program as an object: its bytes checked once, then run from Python or, through its code, from the engine.

    program = Program(data)
    with nogil:
        evaluation_open(&evaluation, &program.code)
        document_input(&input, &root, id, id_size, last_modified)
        code = program_run(&evaluation, &input, NULL, &snapshot, &sink)
"""

cimport cython

from pynori_core.expr_eval cimport Evaluation, ProgramCode
from pynori_core.field_value cimport FieldValue


@cython.final
cdef class Program:
    cdef ProgramCode code          # good as long as the Program
    cdef readonly bytes data
    cdef readonly tuple fields     # names of the output fields by number; empty for a value
    cdef readonly bint is_map      # its root is a stage
    cdef readonly bint has_marks   # it may emit VALUE_MARKED: for sinks that know what to do with it
    cdef readonly bint loads       # it looks at other documents
    cdef void* kept                # an Evaluation that waits for the next run, or NULL; atomic


# A value that an evaluation gave, while it lasts.
cdef object python_value(Evaluation* evaluation, const FieldValue* value)
