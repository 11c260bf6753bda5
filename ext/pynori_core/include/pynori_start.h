/* The body of pynori_start: finds or makes an interpreter, loads the engine in it, takes its table, lets go of the GIL.
 *
 * Included by pynori.h where PYNORI_IMPLEMENTATION is defined; not for use alone. `python -m pynori.embed --cflags`
 * defines PYNORI_PYTHON (the interpreter whose packages are to be found) and PYNORI_PATH (where pynori lies, divided by
 * ':'), both as lists of character codes, which survive every shell and every makefile.
 */
#ifndef PYNORI_START_H
#define PYNORI_START_H

#include <stdio.h>
#include <string.h>

const pynori_api *pynori_table;

static int pynori_start_failed(pynori_error *error, int code, const char *what, const char *why) {
    if (error) {
        memset(error, 0, sizeof *error);
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s%s%s", what, why ? ": " : "", why ? why : "");
    }
    return code;
}

/* With the GIL: the exception that is set becomes the error. */
static int pynori_start_raised(pynori_error *error, const char *what) {
    PyObject *type, *value, *traceback, *text = NULL;
    const char *why = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (value) text = PyObject_Str(value);
    if (text) why = PyUnicode_AsUTF8(text);
    pynori_start_failed(error, PYNORI_INVALID, what, why);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return PYNORI_INVALID;
}

/* With the GIL: add to sys.path what is not in it. */
static int pynori_start_path(const char *path) {
    PyObject *list = PySys_GetObject("path");
    while (list && *path) {
        size_t size = strcspn(path, ":");
        PyObject *entry = PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)size);
        int there = entry ? PySequence_Contains(list, entry) : -1;
        if (there == 0) there = PyList_Append(list, entry);
        Py_XDECREF(entry);
        if (there < 0) return -1;
        path += size + (path[size] == ':');
    }
    return 0;
}

/* With the GIL. */
static int pynori_start_load(pynori_error *error) {
    static const char path[] = {
#ifdef PYNORI_PATH
        PYNORI_PATH,
#endif
        0};
    PyObject *codecs;
    const pynori_api *table;
    if (pynori_start_path(path) < 0) return pynori_start_raised(error, "sys.path cannot be extended");
    codecs = PyImport_ImportModule("pynori.runtime.codecs");
    if (!codecs) return pynori_start_raised(error, "pynori cannot be loaded");
    Py_DECREF(codecs);
    table = (const pynori_api *)PyCapsule_Import("pynori_core._C_API", 0);
    if (!table) return pynori_start_raised(error, "the engine cannot be loaded");
    if (table->abi != PYNORI_ABI || table->size < sizeof *table)
        return pynori_start_failed(error, PYNORI_VERSION, "the installed engine does not have what this program needs",
                                   table->abi != PYNORI_ABI ? "another ABI" : "it is older");
    pynori_table = table;
    return PYNORI_OK;
}

static int pynori_start_interpreter(pynori_error *error) {
    static const char python[] = {
#ifdef PYNORI_PYTHON
        PYNORI_PYTHON,
#endif
        0};
    PyConfig config;
    PyStatus status;
    /* Isolated: neither the environment nor the current directory decides what is loaded; signals are left alone. */
    PyConfig_InitIsolatedConfig(&config);
    status = python[0] ? PyConfig_SetBytesString(&config, &config.executable, python) : PyStatus_Ok();
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        return pynori_start_failed(error, PYNORI_INVALID, "no interpreter can be started", status.err_msg);
    return PYNORI_OK;
}

int pynori_start(pynori_error *error) {
    int code;
    if (pynori_table) return PYNORI_OK;
    if (Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure();
        code = pynori_start_load(error);
        PyGILState_Release(state);
        return code;
    }
    code = pynori_start_interpreter(error);
    if (code != PYNORI_OK) return code;
    code = pynori_start_load(error);
    PyEval_SaveThread();
    return code;
}
#endif
