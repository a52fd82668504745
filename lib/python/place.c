/* What a record of Python is: a batch and a place in it. Millions of them are made in a second, so they are made here,
 * and have no part in the search for cycles: a batch never refers to its records. */
#include "python/walk.h"

#include <stddef.h>
#include <structmember.h>

typedef struct place {
    PyObject head;
    PyObject *batch;
    Py_ssize_t index;
} place;

static PyObject *bytes_name, *starts_name; /* the attributes of a batch that `data` looks at */

static PyObject *place_make(PyTypeObject *type, allocfunc make, PyObject *batch, Py_ssize_t index)
{
    PyObject *made = make(type, 0);

    if (made == NULL)
        return NULL;
    Py_INCREF(batch);
    ((place *)made)->batch = batch;
    ((place *)made)->index = index;
    return made;
}

static PyObject *place_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    static char *const known[] = {"batch", "index", NULL};
    PyObject *batch;
    Py_ssize_t index;

    if (!PyArg_ParseTupleAndKeywords(arguments, names, "On:Record", (char **)known, &batch, &index))
        return NULL;
    return place_make(type, (allocfunc)PyType_GetSlot(type, Py_tp_alloc), batch, index);
}

static void place_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF(((place *)self)->batch);
    release(self);
    Py_DECREF(type);
}

/* Number `index` of a list, or of whatever else has numbers; -1 with an exception. */
static Py_ssize_t number_of(PyObject *numbers, Py_ssize_t index)
{
    PyObject *number = PySequence_GetItem(numbers, index);
    Py_ssize_t value;

    if (number == NULL)
        return -1;
    value = PyLong_AsSsize_t(number);
    Py_DECREF(number);
    return value;
}

static PyObject *place_data(PyObject *self, void *unused)
{
    const place *of = (place *)self;
    PyObject *bytes = PyObject_GetAttr(of->batch, bytes_name), *starts = NULL, *made = NULL;
    Py_ssize_t first, end;
    char *content;
    Py_ssize_t size;

    (void)unused;
    if (bytes == NULL)
        return NULL;
    starts = PyObject_GetAttr(of->batch, starts_name);
    if (starts == NULL || PyBytes_AsStringAndSize(bytes, &content, &size) != 0)
        goto done;
    first = number_of(starts, of->index);
    end = first < 0 ? -1 : number_of(starts, of->index + 1);
    if (end >= 0)
        made = end < first || end > size ? PyErr_Format(PyExc_IndexError, "no such record")
                                         : PyBytes_FromStringAndSize(content + first, end - first);
    else if (PyErr_Occurred() == NULL)
        PyErr_SetString(PyExc_IndexError, "no such record");
done:
    Py_XDECREF(starts);
    Py_DECREF(bytes);
    return made;
}

PyObject *lsi_py_places(PyObject *module, PyObject *arguments)
{
    PyObject *type, *batch, *all;
    Py_ssize_t count;
    allocfunc make;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!On:places", &PyType_Type, &type, &batch, &count))
        return NULL;
    make = (allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc);
    all = PyList_New(count);
    for (Py_ssize_t i = 0; all != NULL && i < count; i++) {
        PyObject *made = place_make((PyTypeObject *)type, make, batch, i);

        if (made == NULL) {
            Py_DECREF(all);
            return NULL;
        }
        (void)PyList_SetItem(all, i, made); /* It takes it. */
    }
    return all;
}

static PyMemberDef members[] = {
    {"_batch", T_OBJECT_EX, offsetof(place, batch), READONLY, NULL},
    {"_index", T_PYSSIZET, offsetof(place, index), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"data", place_data, NULL, "The data: a copy, made each time.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)place_new},
    {Py_tp_dealloc, (void *)place_free},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_doc, "A batch and a place in it."},
    {0, NULL},
};

static PyType_Spec specification = {"libstream._walk.Place", sizeof(place), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                                    slots};

PyObject *lsi_py_place_type(void)
{
    bytes_name = PyUnicode_InternFromString("_bytes");
    starts_name = PyUnicode_InternFromString("_starts");
    return bytes_name == NULL || starts_name == NULL ? NULL : PyType_FromSpec(&specification);
}
