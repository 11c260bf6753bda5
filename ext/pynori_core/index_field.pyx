"""Fields of an index, its meta values, its exceptions."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from pynori_core.btree cimport Value, tree_get
from pynori_core.errors cimport (
    E_NO_MEMORY,
    E_NOT_FOUND,
    OK,
    ErrorDetail,
    error_clear,
    error_exception,
    error_set,
    raise_error,
)
from pynori_core.errors import CorruptError
from pynori_core.index_trees cimport FIELD_EXACT, FIELD_TEXT, META_KEY_SIZE_MAX, field_name


cdef int raise_plain(int code, const char* text) except -1:
    cdef ErrorDetail error
    error_clear(&error)
    error_set(&error, code, "%s", text)
    return raise_error(&error)


cdef int raise_txn(Txn* txn, int code, str directory) except -1:
    if txn.error.code != OK:
        error = error_exception(&txn.error)
        if directory and isinstance(error, CorruptError):
            error = CorruptError(f"{directory}/{error}", error.offset)
        raise error
    return raise_plain(code, b"no memory for an index" if code == E_NO_MEMORY else b"the index cannot do that")


@cython.final
cdef class IndexField:
    """How a field is kept."""

    def __repr__(self):
        return (f"IndexField({self.number}, {self.name!r}{', exact' if self.exact else ''}"
                f"{', text' if self.text else ''})")

    def __eq__(self, other):
        if not isinstance(other, IndexField):
            return NotImplemented
        return (self.number, self.name, self.exact, self.text) == (other.number, other.name, other.exact, other.text)

    def __hash__(self):
        return hash((self.number, self.name))


cdef list fields_list(IndexTrees* trees):
    cdef list found = []
    cdef IndexField field
    cdef const uint8_t* name = NULL
    cdef size_t size = 0
    cdef uint32_t number
    cdef int code
    for number in range(1, trees.state.fields + 1):
        code = field_name(trees, number, &name, &size)
        if code != OK:
            raise_txn(trees.txn, code, "")
        field = IndexField.__new__(IndexField)
        field.number = number
        field.name = PyUnicode_DecodeUTF8(<const char*>name, <Py_ssize_t>size, NULL)
        field.exact = trees.fields.records[number].flags & FIELD_EXACT != 0
        field.text = trees.fields.records[number].flags & FIELD_TEXT != 0
        found.append(field)
    return found


cdef bytes meta_key(str key):
    cdef bytes encoded = b"m" + key.encode()
    if not 1 < len(encoded) <= META_KEY_SIZE_MAX + 1:
        raise ValueError(f"a key of meta has 1 to {META_KEY_SIZE_MAX} bytes")
    return encoded


cdef bytes meta_read(IndexTrees* trees, bytes key, int* code):
    cdef Value value
    code[0] = tree_get(&trees.meta, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key), &value)
    if code[0] != OK:
        code[0] = OK if code[0] == E_NOT_FOUND else code[0]
        return None
    return PyBytes_FromStringAndSize(<const char*>value.data, <Py_ssize_t>value.size)
