"""A program run over a document: its stages walked, what they give put out as entries or built as documents."""


from pynori_core.expr_eval cimport Evaluation, ProgramCode
from pynori_core.field_value cimport FieldSink, FieldValue
from pynori_core.items cimport Snapshot

# OK or E_NO_MEMORY. The code must stay as long as the evaluation.
cdef int evaluation_open(Evaluation* evaluation, const ProgramCode* code) noexcept nogil
cdef void evaluation_close(Evaluation* evaluation) noexcept nogil

# Run a map over one document (or a reduce over a list of results). What the sink got before a failure is to be dropped.
# E_EXPRESSION when the document is to blame (evaluation.work.error has the text), or the sink's or the store's code.
cdef int program_run(Evaluation* evaluation, const FieldValue* input, const FieldValue* parameters, Snapshot* snapshot,
                     const FieldSink* sink) noexcept nogil
# The value of a condition or another value program; `out` lives until the next run.
cdef int program_value(Evaluation* evaluation, const FieldValue* input, const FieldValue* parameters,
                       Snapshot* snapshot, FieldValue* out) noexcept nogil
# Any value as a document in the arena: `out` is its root.
cdef int evaluation_build(Evaluation* e, const FieldValue* value, FieldValue* out) noexcept nogil
