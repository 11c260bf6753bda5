/* libFuzzer's executable: a Python interpreter inside, and one function of tests/fuzz/targets.py as the target.
 *
 * The engine's modules carry the coverage counters and the sanitizers' checks; the interpreter carries neither. An
 * exception that leaves the target is a finding. PYNORI_FUZZ_TARGET names the function, PYNORI_FUZZ_PYTHON the
 * interpreter whose packages are used.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static PyObject *target;

static void stop(const char *what) {
    fprintf(stderr, "%s\n", what);
    PyErr_Print();
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    PyConfig config;
    PyObject *module;
    (void)argc;
    (void)argv;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyConfig_SetBytesString(&config, &config.program_name, getenv("PYNORI_FUZZ_PYTHON"));
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) stop("Python does not start");
    PyConfig_Clear(&config);
    module = PyImport_ImportModule("tests.fuzz.targets");
    if (module == NULL) stop("tests.fuzz.targets cannot be imported");
    target = PyObject_GetAttrString(module, getenv("PYNORI_FUZZ_TARGET"));
    if (target == NULL) stop("no such target");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PyObject *argument = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    PyObject *result = argument == NULL ? NULL : PyObject_CallOneArg(target, argument);
    if (result == NULL) stop("the target raised");
    Py_DECREF(result);
    Py_DECREF(argument);
    return 0;
}
