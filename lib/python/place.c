/* What a batch and a record of Python are: two objects with all that was read, and a place in them. Millions of records
 * are made in a second, so they are made here, have no part in the search for cycles, since a batch never refers to its
 * records, and look at what a batch has without asking it by name. */
#include "python/walk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

typedef struct content {
    PyObject head;
    PyObject *bytes;   /* all data, then all keys; NULL: nothing yet */
    PyObject *numbers; /* int64_t: count + 1 starts of data, count + 1 starts of keys, count numbers, count arrivals */
    Py_ssize_t data_bytes, count;
} content;

typedef struct place {
    PyObject head;
    PyObject *batch; /* a content */
    Py_ssize_t index;
} place;

static PyObject *content_type, *record_type;

static PyObject *content_have(PyObject *self, PyObject *arguments)
{
    content *it = (content *)self;
    PyObject *bytes, *numbers, *before[] = {it->bytes, it->numbers};
    Py_ssize_t data_bytes, count;

    if (!PyArg_ParseTuple(arguments, "SSnn:_have", &bytes, &numbers, &data_bytes, &count))
        return NULL;
    if (data_bytes < 0 || data_bytes > PyBytes_Size(bytes) || count < 0 || count > PyBytes_Size(numbers) ||
        PyBytes_Size(numbers) != (4 * count + 2) * (Py_ssize_t)sizeof(int64_t)) /* Of a pickle that somebody wrote. */
        return PyErr_Format(PyExc_ValueError, "a batch whose sizes are not its own");
    Py_INCREF(bytes);
    Py_INCREF(numbers);
    it->bytes = bytes;
    it->numbers = numbers;
    it->data_bytes = data_bytes;
    it->count = count;
    Py_XDECREF(before[0]);
    Py_XDECREF(before[1]);
    Py_INCREF(Py_None);
    return Py_None;
}

typedef PyObject *maker(const char *at, Py_ssize_t size);

static PyObject *text_of(const char *at, Py_ssize_t size)
{
    return PyUnicode_DecodeUTF8(at, size, NULL);
}

/* The data of record number `index`, or its key, made an object. */
static PyObject *piece(const content *of, Py_ssize_t index, bool is_key, maker *make)
{
    const int64_t *starts = (const int64_t *)PyBytes_AsString(of->numbers) + index + (is_key ? of->count + 1 : 0);
    Py_ssize_t room = is_key ? PyBytes_Size(of->bytes) - of->data_bytes : of->data_bytes;

    if (starts[0] < 0 || starts[1] < starts[0] || starts[1] > room)
        return PyErr_Format(PyExc_ValueError, "a record that is not in its batch"); /* As above. */
    return make(PyBytes_AsString(of->bytes) + (is_key ? of->data_bytes : 0) + starts[0],
                (Py_ssize_t)(starts[1] - starts[0]));
}

static PyObject *pieces(const content *of, bool is_key, maker *make)
{
    Py_ssize_t count = of->bytes != NULL ? of->count : 0;
    PyObject *all = PyList_New(count);

    for (Py_ssize_t i = 0; all != NULL && i < count; i++) {
        PyObject *made = piece(of, i, is_key, make);

        if (made == NULL) {
            Py_DECREF(all);
            return NULL;
        }
        (void)PyList_SetItem(all, i, made); /* It takes it. */
    }
    return all;
}

static PyObject *content_data_list(PyObject *self, PyObject *none)
{
    (void)none;
    return pieces((content *)self, false, PyBytes_FromStringAndSize);
}

static PyObject *content_key_list(PyObject *self, PyObject *none)
{
    (void)none;
    return pieces((content *)self, true, text_of);
}

static void content_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF(((content *)self)->bytes);
    Py_XDECREF(((content *)self)->numbers);
    release(self);
    Py_DECREF(type);
}

static PyObject *place_make(PyTypeObject *type, allocfunc make, PyObject *batch, Py_ssize_t index)
{
    PyObject *made = (PyObject *)type == record_type ? (PyObject *)PyObject_New(place, type) : make(type, 0);

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

    if (!PyArg_ParseTupleAndKeywords(arguments, names, "O!n:Record", (char **)known, content_type, &batch, &index))
        return NULL;
    return place_make(type, (allocfunc)PyType_GetSlot(type, Py_tp_alloc), batch, index);
}

static void place_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_XDECREF(((place *)self)->batch);
    if ((PyObject *)type == record_type)
        PyObject_Free(self);
    else
        ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Its batch; NULL with an exception. */
static const content *content_of(const place *it)
{
    const content *of = (const content *)it->batch;

    if (it->index >= 0 && of->bytes != NULL && it->index < of->count)
        return of;
    PyErr_SetString(PyExc_IndexError, "no such record");
    return NULL;
}

static PyObject *place_piece(const place *it, bool is_key, maker *make)
{
    const content *of = content_of(it);

    return of == NULL ? NULL : piece(of, it->index, is_key, make);
}

static PyObject *place_data(PyObject *self, void *unused)
{
    (void)unused;
    return place_piece((place *)self, false, PyBytes_FromStringAndSize);
}

static PyObject *place_key_bytes(PyObject *self, void *unused)
{
    (void)unused;
    return place_piece((place *)self, true, PyBytes_FromStringAndSize);
}

static PyObject *place_key(PyObject *self, void *unused)
{
    (void)unused;
    return place_piece((place *)self, true, text_of);
}

/* Of the numbers that are behind all starts: those of the array `which`. */
static PyObject *place_number(const place *it, Py_ssize_t which)
{
    const content *of = content_of(it);
    const int64_t *numbers;

    if (of == NULL)
        return NULL;
    numbers = (const int64_t *)PyBytes_AsString(of->numbers);
    return PyLong_FromLongLong(numbers[(2 + which) * of->count + 2 + it->index]);
}

static PyObject *place_seqno(PyObject *self, void *unused)
{
    (void)unused;
    return place_number((place *)self, 0);
}

static PyObject *place_arrival(PyObject *self, void *unused)
{
    (void)unused;
    return place_number((place *)self, 1);
}

PyObject *lsi_py_places(PyObject *module, PyObject *arguments)
{
    PyObject *type, *batch, *all;
    Py_ssize_t count;
    allocfunc make;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!n:places", &PyType_Type, &type, content_type, &batch, &count))
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

static PyMethodDef content_methods[] = {
    {"_have", content_have, METH_VARARGS, "Have all that was read: bytes, numbers, and how many of data and records."},
    {"data_list", content_data_list, METH_NOARGS,
     "data_list($self, /)\n--\n\nThe data of all records as `bytes` objects: the fastest way to have them so."},
    {"key_list", content_key_list, METH_NOARGS, "key_list($self, /)\n--\n\nThe partition keys of all records."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef content_members[] = {
    {"_bytes", T_OBJECT_EX, offsetof(content, bytes), READONLY, NULL},
    {"_numbers", T_OBJECT_EX, offsetof(content, numbers), READONLY, NULL},
    {"_data_bytes", T_PYSSIZET, offsetof(content, data_bytes), READONLY, NULL},
    {"_count", T_PYSSIZET, offsetof(content, count), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot content_slots[] = {
    {Py_tp_dealloc, (void *)content_free},
    {Py_tp_methods, content_methods},
    {Py_tp_members, content_members},
    {Py_tp_doc, "All that was read in a batch."},
    {0, NULL},
};

static PyType_Spec content_specification = {"libstream._walk.Content", sizeof(content), 0,
                                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, content_slots};

static PyMemberDef members[] = {
    {"_batch", T_OBJECT_EX, offsetof(place, batch), READONLY, NULL},
    {"_index", T_PYSSIZET, offsetof(place, index), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"data", place_data, NULL, "The data: a copy, made each time.", NULL},
    {"partition_key", place_key, NULL, "The partition key.", NULL},
    {"partition_key_bytes", place_key_bytes, NULL, "The partition key as it was put, in UTF-8.", NULL},
    {"seqno", place_seqno, NULL, "The sequence number: rises within the shard, and is not consecutive.", NULL},
    {"arrival_us", place_arrival, NULL, "When it arrived, microseconds since the epoch; never decreases within a shard.",
     NULL},
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

PyObject *lsi_py_content_type(void)
{
    content_type = PyType_FromSpec(&content_specification);
    Py_XINCREF(content_type); /* The module has one, and this file. */
    return content_type;
}

PyObject *lsi_py_place_type(void)
{
    record_type = PyType_FromSpec(&specification);
    Py_XINCREF(record_type);
    return record_type;
}
