/* The module `libstream._walk`: where the keys and data of a list of records are, so that C puts them from where they
 * lie. The one file here that touches objects of Python: a call of cffi is without the GIL, and to look at each object
 * by Python's own instructions costs more than the put does.
 *
 * W1 It keeps nothing. What it tells holds for as long as the caller keeps the tuple, since all in it is immutable: a
 *    tuple of tuples of `str` and `bytes`. Anything else is not walked, and the answer is False. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <libstream/producer.h>

/* Of the stable ABI since 3.10, and there in 3.9 as it is, which does not promise it to later ones only. */
PyAPI_FUNC(const char *) PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size);

/* 1: it was a `bytes`, or with `is_key` a `str`; 0: it is something else; -1: an exception was raised. */
static int bytes_of(PyObject *object, int is_key, ls_bytes *out)
{
    Py_ssize_t size;

    if (PyBytes_Check(object)) {
        *out = (ls_bytes){PyBytes_AsString(object), (size_t)PyBytes_Size(object)};
        return 1;
    }
    if (!is_key || !PyUnicode_Check(object))
        return 0;
    out->data = PyUnicode_AsUTF8AndSize(object, &size);
    out->size = (size_t)size;
    return out->data != NULL ? 1 : -1;
}

static int fill_one(PyObject *item, int is_pair, ls_put_entry *out)
{
    int found;

    if (!is_pair)
        return bytes_of(item, 0, &out->data);
    if (!PyTuple_Check(item) || PyTuple_Size(item) != 2)
        return 0;
    found = bytes_of(PyTuple_GetItem(item, 0), 1, &out->partition_key);
    return found == 1 ? bytes_of(PyTuple_GetItem(item, 1), 0, &out->data) : found;
}

static PyObject *fill(PyObject *module, PyObject *arguments)
{
    PyObject *address, *items, *key;
    ls_put_entry *entries;
    ls_bytes one = {NULL, 0};
    Py_ssize_t count;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!O:fill", &PyLong_Type, &address, &PyTuple_Type, &items, &key))
        return NULL;
    entries = PyLong_AsVoidPtr(address);
    if (entries == NULL)
        return NULL;
    if (key != Py_None) {
        int found = bytes_of(key, 1, &one);

        if (found != 1)
            return found < 0 ? NULL : PyBool_FromLong(0);
    }
    count = PyTuple_Size(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        int found = fill_one(PyTuple_GetItem(items, i), key == Py_None, &entries[i]);

        if (found != 1)
            return found < 0 ? NULL : PyBool_FromLong(0);
        if (key != Py_None)
            entries[i].partition_key = one;
        entries[i].explicit_hash_key = NULL;
    }
    return PyBool_FromLong(1);
}

static PyMethodDef methods[] = {
    {"fill", fill, METH_VARARGS,
     "fill(address, items, key)\n\nWrite an ls_put_entry for each item to an address that has room for them: items are "
     "pairs of key and data, or data when there is one key for all. False: they are none that can be walked."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "libstream._walk", NULL, 0, methods, NULL, NULL, NULL,
                                        NULL};

PyMODINIT_FUNC PyInit__walk(void);
PyMODINIT_FUNC PyInit__walk(void)
{
    return PyModule_Create(&definition);
}
