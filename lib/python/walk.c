/* The module `libstream._walk`: where the keys and data of a list of records are, so that C puts them from where they
 * lie; and the method of put.c. A call of cffi is without the GIL, and to look at each object by Python's own
 * instructions costs more than the put does.
 *
 * W1 Walking keeps nothing. What it tells holds for as long as the caller keeps the tuple, since all in it is
 *    immutable: a tuple of tuples of `str` and `bytes`. Anything else is not walked, and the answer is False. */
#include "python/walk.h"

#include <libstream/producer.h>

#include <stdbool.h>

int lsi_py_bytes_of(PyObject *object, int is_key, ls_bytes *out)
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
    if (out->data == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear(); /* Half of a surrogate pair: it is refused in Python, as an argument. */
        return 0;
    }
    return out->data != NULL ? 1 : -1;
}

static int fill_one(PyObject *item, int is_pair, ls_put_entry *out)
{
    int found;

    if (!is_pair)
        return lsi_py_bytes_of(item, 0, &out->data);
    if (!PyTuple_Check(item) || PyTuple_Size(item) != 2)
        return 0;
    found = lsi_py_bytes_of(PyTuple_GetItem(item, 0), 1, &out->partition_key);
    return found == 1 ? lsi_py_bytes_of(PyTuple_GetItem(item, 1), 0, &out->data) : found;
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
        int found = lsi_py_bytes_of(key, 1, &one);

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
    {"hold", lsi_py_hold, METH_VARARGS,
     "hold(address, owner)\n\nA capsule for the attribute `_at` of a producer: it keeps the owner of what is there."},
    {"put", lsi_py_put_method, METH_VARARGS,
     "put(type, function, signature, address, record_id, plain)\n\nThe method `put` of a type, made of its function in "
     "Python, and its signature; of the address of lsi_py_put, of RecordId, and of a class below tuple that changes "
     "nothing."},
    {"waiting", lsi_py_waiting, METH_NOARGS,
     "waiting()\n\nThe address of the ls_wait_callback by which Ctrl+C ends waits of the main thread, and `stop` those "
     "of others."},
    {"heed", lsi_py_heed, METH_O,
     "heed(address)\n\nThis thread's calls wait for locks no longer once the int there is not 0. It is kept until the "
     "thread heeds another, or none: 0."},
    {"stop", lsi_py_stop, METH_O, "stop(address)\n\nEnd the waits for locks of the thread that heeds the int there."},
    {"interrupt", lsi_py_interrupt, METH_NOARGS,
     "interrupt()\n\nHandle a Ctrl+C that came, here and now: raises what its handler raises."},
    {"copy", lsi_py_copy, METH_O,
     "copy(address)\n\nOf what a page shows: all data and then all keys, and the numbers of `Batch`."},
    {"places", lsi_py_places, METH_VARARGS,
     "places(type, batch, count)\n\nA list of the first places of a batch, of a type below Place."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "libstream._walk", NULL, -1, methods, NULL, NULL, NULL,
                                        NULL};

static bool add_type(PyObject *module, const char *name, PyObject *type)
{
    if (type != NULL && PyModule_AddObject(module, name, type) == 0) /* It takes it only when it does so. */
        return true;
    Py_XDECREF(type);
    return false;
}

PyMODINIT_FUNC PyInit__walk(void);
PyMODINIT_FUNC PyInit__walk(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module == NULL)
        return NULL;
    if (!add_type(module, "Content", lsi_py_content_type()) || !add_type(module, "Place", lsi_py_place_type()) ||
        !add_type(module, "Gate", lsi_py_gate_type())) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
