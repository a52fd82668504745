/* The method `put` of a producer, as most call it: a key and bytes, nothing else. By Python's own instructions, and by
 * a call of cffi's, the way to C costs more than the put does.
 *
 * U1 What it does not know it leaves to the function that it was made of, which is written in Python and knows all of
 *    it: options, other kinds of buffers, wrong arguments, and what is told of a failure.
 * U2 The GIL is not held while C puts. The caller keeps key and data, and the capsule keeps the producer's memory,
 *    whoever closes it meanwhile. */
#include "python/walk.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "python/native.h"

/* Of the stable ABI since 3.10, and in 3.9 the same. */
#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080
#endif

typedef int64_t put_call(lsi_py_producer *producer, const char *key, size_t key_bytes, const char *data,
                         size_t data_bytes, const ls_put_options *options);
typedef PyObject *fast_method(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);

static const char capsule_name[] = "libstream.producer";

/* Set by the module `libstream.producer` when it is imported. */
static put_call *put_now;
static PyObject *at_name;   /* the attribute of a producer that has its capsule */
static PyObject *otherwise; /* the method's function in Python */
static PyTypeObject *record_id;
static PyInterpreterState *whose; /* the interpreter that all of these are of */
static newfunc tuple_new;

static void let_go(PyObject *capsule)
{
    PyObject *owner = PyCapsule_GetContext(capsule);

    Py_XDECREF(owner);
}

PyObject *lsi_py_hold(PyObject *module, PyObject *arguments)
{
    PyObject *address, *owner, *made;
    void *at;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O:hold", &PyLong_Type, &address, &owner))
        return NULL;
    at = PyLong_AsVoidPtr(address);
    if (at == NULL)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_ValueError, "no address");
    made = PyCapsule_New(at, capsule_name, let_go);
    if (made == NULL)
        return NULL;
    Py_INCREF(owner);
    if (PyCapsule_SetContext(made, owner) != 0) {
        Py_DECREF(owner);
        Py_DECREF(made);
        return NULL;
    }
    return made;
}

/* RecordId(shard, seqno), without the function of Python's that named tuples are made by. */
static PyObject *record_id_of(uint64_t shard, uint64_t seqno)
{
    PyObject *pair = PyTuple_New(2), *arguments = PyTuple_New(1), *made = NULL;

    if (pair != NULL && arguments != NULL) {
        PyObject *first = PyLong_FromUnsignedLongLong(shard), *second = PyLong_FromUnsignedLongLong(seqno);

        (void)PyTuple_SetItem(pair, 0, first); /* These take what they are given, also when it is NULL. */
        (void)PyTuple_SetItem(pair, 1, second);
        (void)PyTuple_SetItem(arguments, 0, pair);
        pair = NULL;
        if (first != NULL && second != NULL)
            made = tuple_new(record_id, arguments, NULL);
    }
    Py_XDECREF(pair);
    Py_XDECREF(arguments);
    return made;
}

/* A put that was told to wait no longer, and put nothing. True: the handler of Ctrl+C has returned, so that the put is
 * made again, as Python does it with whatever a signal interrupts. */
static bool goes_on(PyObject *self, int64_t status)
{
    PyObject *answer = PyObject_CallMethod(self, "_interrupted", "L", (long long)status);

    Py_XDECREF(answer);
    return answer != NULL;
}

/* What `otherwise` answers to the same call. */
static PyObject *put_otherwise(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    PyObject *all = PyTuple_New(count + 1), *by_name = named == 0 ? NULL : PyDict_New(), *answer = NULL;

    if (all == NULL || (named != 0 && by_name == NULL))
        goto done;
    Py_INCREF(self);
    (void)PyTuple_SetItem(all, 0, self);
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(arguments[i]);
        (void)PyTuple_SetItem(all, i + 1, arguments[i]);
    }
    for (Py_ssize_t i = 0; i < named; i++)
        if (PyDict_SetItem(by_name, PyTuple_GetItem(names, i), arguments[count + i]) != 0)
            goto done;
    answer = PyObject_Call(otherwise, all, by_name);
done:
    Py_XDECREF(all);
    Py_XDECREF(by_name);
    return answer;
}

static PyObject *put(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    ls_bytes key, data;
    lsi_py_producer *producer;
    PyThreadState *thread;
    PyObject *capsule;
    bool is_interrupted;
    int64_t packed;
    int found;

    if (count != 2 || names != NULL)
        return put_otherwise(self, arguments, count, names);
    found = lsi_py_bytes_of(arguments[0], 1, &key);
    if (found == 1)
        found = lsi_py_bytes_of(arguments[1], 0, &data);
    if (found != 1)
        return found < 0 ? NULL : put_otherwise(self, arguments, count, names);
    capsule = PyObject_GetAttr(self, at_name);
    if (capsule == NULL)
        return NULL;
    producer = PyCapsule_GetPointer(capsule, capsule_name);
    if (producer == NULL) {
        Py_DECREF(capsule);
        return NULL;
    }
    do {
        thread = PyEval_SaveThread();
        packed = put_now(producer, key.data, key.size, data.data, data.size, NULL);
        PyEval_RestoreThread(thread);
        is_interrupted = (packed == -LS_ERR_BUSY || packed == -LSI_PY_INTERRUPTED) && PyOS_InterruptOccurred();
    } while (is_interrupted && goes_on(self, -packed));
    Py_DECREF(capsule);
    if (is_interrupted)
        return NULL;
    if (packed > 0)
        return record_id_of((uint64_t)packed >> LSI_PY_SEQNO_BITS,
                            (uint64_t)packed & (((uint64_t)1 << LSI_PY_SEQNO_BITS) - 1));
    return PyObject_CallMethod(self, "_put_said", "L", (long long)packed);
}

/* "NAME(SIGNATURE)\n--\n\nTEXT", from which inspect and help know how a method of C is called. `python -OO` leaves
 * None for the text. */
static const char *document_of(PyObject *signature, PyObject *function)
{
    PyObject *text = PyObject_GetAttrString(function, "__doc__"), *whole = NULL;
    const char *read = NULL;
    char *copy = NULL;

    if (text != NULL)
        whole = text == Py_None ? PyUnicode_FromFormat("put%U\n--\n\n", signature)
                                : PyUnicode_FromFormat("put%U\n--\n\n%U", signature, text);
    if (whole != NULL)
        read = PyUnicode_AsUTF8AndSize(whole, NULL);
    if (read != NULL)
        copy = strdup(read);
    if (read != NULL && copy == NULL)
        PyErr_NoMemory();
    Py_XDECREF(text);
    Py_XDECREF(whole);
    return copy;
}

static PyMethodDef put_definition = {"put", NULL, METH_FASTCALL | METH_KEYWORDS, NULL};

PyObject *lsi_py_put_method(PyObject *module, PyObject *arguments)
{
    PyObject *type, *function, *signature, *address, *id, *plain;

    (void)module;
    if (whose != NULL && whose != PyInterpreterState_Get())
        return PyErr_Format(PyExc_ImportError, "libstream works in one interpreter of a process, and another has it");
    if (!PyArg_ParseTuple(arguments, "O!OUO!O!O!:put", &PyType_Type, &type, &function, &signature, &PyLong_Type,
                          &address, &PyType_Type, &id, &PyType_Type, &plain))
        return NULL;
    put_now = (put_call *)(uintptr_t)PyLong_AsVoidPtr(address);
    tuple_new = (newfunc)(uintptr_t)PyType_GetSlot((PyTypeObject *)plain, Py_tp_new);
    at_name = PyUnicode_InternFromString("_at");
    put_definition.ml_meth = (PyCFunction)(void (*)(void))(fast_method *)put;
    put_definition.ml_doc = document_of(signature, function);
    if (put_now == NULL || tuple_new == NULL || at_name == NULL || put_definition.ml_doc == NULL)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_ValueError, "no such call");
    Py_INCREF(id);
    record_id = (PyTypeObject *)id;
    whose = PyInterpreterState_Get();
    Py_INCREF(function);
    otherwise = function;
    return PyDescr_NewMethod((PyTypeObject *)type, &put_definition);
}
