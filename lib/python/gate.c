/* The type `Gate`: who is between entering and leaving a call of a handle. Python's handlers of signals run between any
 * two of its instructions and may raise there, so what must not be left half done is done here, within one of them.
 *
 * G1 Everything here runs under the GIL, and calls nothing of Python between looking and changing: no lock is needed,
 *    and a handler of a signal or a finalizer that comes to the same gate finds it as it is before or after a call.
 * G2 `run` enters, takes the turn, calls, and leaves within one instruction: no exception comes in between and leaves a
 *    thread counted, or a turn taken, that is gone. So does a `with` from CPython 3.10 on; in 3.9 a handler may raise
 *    between the end of the block and the leaving.
 * G3 `open` has what a call opens before it leaves the parent's gate, within one instruction, too: whatever a handler
 *    raises, whoever closes the parent finds it.
 * G4 The pointer goes with the call that gives it back, and with no other. Of a gate that ends with its pointer, since
 *    Ctrl+C ended the finalizer of its handle, it is given back here. */
#include "python/native.h"
#include "python/walk.h"

#include <pythread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <structmember.h>
#include <unistd.h>

typedef struct gate {
    PyObject head;
    PyObject *pointer; /* None: there is none yet, or it was given back */
    PyObject *close;   /* gives it back; None: nobody does at the end */
    PyObject *more;    /* a tuple: what that takes besides */
    PyObject *noun;
    PyObject *refuse;  /* raises why nobody enters: of noun and pid */
    PyObject *told;    /* a lock that is released when the last one has left; NULL: nobody waits for that */
    unsigned long *threads; /* those that are inside, each as often as it is */
    Py_ssize_t count, room;
    long pid;
    char is_shut;
} gate;

static PyObject *gate_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    static char *const known[] = {"noun", "refuse", "close", "more", NULL};
    PyObject *noun, *refuse, *close, *more;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    gate *made;

    if (!PyArg_ParseTupleAndKeywords(arguments, names, "OOOO!:Gate", (char **)known, &noun, &refuse, &close,
                                     &PyTuple_Type, &more))
        return NULL;
    made = (gate *)make(type, 0);
    if (made == NULL)
        return NULL;
    Py_INCREF(Py_None);
    Py_INCREF(noun);
    Py_INCREF(refuse);
    Py_INCREF(close);
    Py_INCREF(more);
    made->pointer = Py_None;
    made->close = close;
    made->more = more;
    made->noun = noun;
    made->refuse = refuse;
    made->pid = (long)getpid();
    return (PyObject *)made;
}

/* A call of `function` with the pointer and what follows in `arguments` from `first` on. */
static PyObject *call_with(const gate *it, PyObject *function, PyObject *arguments, Py_ssize_t first)
{
    Py_ssize_t count = PyTuple_Size(arguments) - first;
    PyObject *passed = PyTuple_New(count + 1), *answer;

    if (passed == NULL)
        return NULL;
    Py_INCREF(it->pointer);
    (void)PyTuple_SetItem(passed, 0, it->pointer);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *argument = PyTuple_GetItem(arguments, first + i);

        Py_INCREF(argument);
        (void)PyTuple_SetItem(passed, i + 1, argument);
    }
    answer = PyObject_Call(function, passed, NULL);
    Py_DECREF(passed);
    return answer;
}

static void close_at_last(const gate *it)
{
    PyObject *type, *error, *trace, *answer;

    PyErr_Fetch(&type, &error, &trace);
    answer = call_with(it, it->close, it->more, 0);
    Py_XDECREF(answer);
    PyErr_Clear(); /* Nobody is there to be told. */
    PyErr_Restore(type, error, trace);
}

static void gate_free(PyObject *self)
{
    gate *it = (gate *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    if (it->pointer != Py_None && it->close != Py_None)
        close_at_last(it);
    Py_XDECREF(it->pointer);
    Py_XDECREF(it->close);
    Py_XDECREF(it->more);
    Py_XDECREF(it->noun);
    Py_XDECREF(it->refuse);
    Py_XDECREF(it->told);
    free(it->threads);
    release(self);
    Py_DECREF(type);
}

static bool make_room(gate *it)
{
    Py_ssize_t room = it->room == 0 ? 4 : 2 * it->room;
    unsigned long *threads;

    if (it->count < it->room)
        return true;
    threads = realloc(it->threads, (size_t)room * sizeof(*threads));
    if (threads == NULL)
        return false;
    it->threads = threads;
    it->room = room;
    return true;
}

static PyObject *enter(PyObject *self, PyObject *none)
{
    gate *it = (gate *)self;

    (void)none;
    if (it->is_shut || it->pointer == Py_None || it->pid != (long)getpid())
        return PyObject_CallFunction(it->refuse, "Ol", it->noun, it->pid);
    if (!make_room(it))
        return PyErr_NoMemory();
    it->threads[it->count++] = PyThread_get_thread_ident();
    Py_INCREF(it->pointer);
    return it->pointer;
}

static Py_ssize_t last_of_mine(const gate *it)
{
    unsigned long me = PyThread_get_thread_ident();
    Py_ssize_t at = it->count;

    while (at > 0 && it->threads[at - 1] != me)
        at--;
    return at - 1;
}

static PyObject *leave(PyObject *self, PyObject *arguments)
{
    gate *it = (gate *)self;
    Py_ssize_t at = last_of_mine(it);
    PyObject *told = NULL;

    (void)arguments; /* What was raised goes on. */
    if (at >= 0)
        it->threads[at] = it->threads[--it->count];
    if (it->count == 0) {
        told = it->told;
        it->told = NULL;
    }
    if (told != NULL) {
        PyObject *released = PyObject_CallMethod(told, "release", NULL);

        Py_DECREF(told);
        if (released == NULL)
            return NULL;
        Py_DECREF(released);
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* Take the turn that an RLock gives; of whoever has it already it is refused. */
static bool take_turn(const gate *it, PyObject *turn)
{
    PyObject *owned = PyObject_CallMethod(turn, "_is_owned", NULL), *answer;
    int is_owned = owned != NULL ? PyObject_IsTrue(owned) : -1;

    Py_XDECREF(owned);
    if (is_owned < 0)
        return false;
    answer = is_owned ? PyObject_CallFunction(it->refuse, "Oi", it->noun, 0)
                      : PyObject_CallMethod(turn, "acquire", NULL);
    Py_XDECREF(answer);
    return answer != NULL;
}

static PyObject *run(PyObject *self, PyObject *arguments)
{
    gate *it = (gate *)self;
    PyObject *turn, *answer = NULL, *type, *error, *trace, *left;
    bool has_turn = false;

    if (PyTuple_Size(arguments) < 2)
        return PyErr_Format(PyExc_TypeError, "run: in which turn, and what?");
    turn = PyTuple_GetItem(arguments, 0);
    left = enter(self, NULL);
    if (left == NULL)
        return NULL;
    Py_DECREF(left);
    if (turn != Py_None)
        has_turn = take_turn(it, turn);
    if (turn == Py_None || has_turn)
        answer = call_with(it, PyTuple_GetItem(arguments, 1), arguments, 2);
    PyErr_Fetch(&type, &error, &trace);
    left = has_turn ? PyObject_CallMethod(turn, "release", NULL) : NULL;
    Py_XDECREF(left);
    left = leave(self, NULL);
    Py_XDECREF(left);
    PyErr_Clear(); /* Neither fails of what is held. */
    PyErr_Restore(type, error, trace);
    return answer;
}

/* Have what a call has opened at `out`, if it has. */
static bool keep(gate *it, PyObject *out)
{
    PyObject *at = PyLong_FromLong(0), *opened = at != NULL ? PyObject_GetItem(out, at) : NULL, *before = it->pointer;
    int is_open = opened != NULL ? PyObject_IsTrue(opened) : -1;

    Py_XDECREF(at);
    if (is_open <= 0) {
        Py_XDECREF(opened);
        return is_open == 0;
    }
    it->pointer = opened;
    Py_DECREF(before);
    return true;
}

static PyObject *open_here(PyObject *self, PyObject *arguments)
{
    gate *it = (gate *)self;
    PyObject *parent, *answer = NULL, *passed, *type, *error, *trace, *left = NULL;

    if (PyTuple_Size(arguments) < 3)
        return PyErr_Format(PyExc_TypeError, "open: within which gate, where, and by which call?");
    parent = PyTuple_GetItem(arguments, 0);
    if (parent != Py_None && Py_TYPE(parent) != Py_TYPE(self))
        return PyErr_Format(PyExc_TypeError, "open: a parent is a gate, or None");
    if (parent != Py_None) {
        left = enter(parent, NULL);
        if (left == NULL)
            return NULL;
        Py_DECREF(left);
        answer = call_with((gate *)parent, PyTuple_GetItem(arguments, 2), arguments, 3);
    } else {
        passed = PyTuple_GetSlice(arguments, 3, PyTuple_Size(arguments));
        if (passed != NULL)
            answer = PyObject_Call(PyTuple_GetItem(arguments, 2), passed, NULL);
        Py_XDECREF(passed);
    }
    PyErr_Fetch(&type, &error, &trace);
    if (!keep(it, PyTuple_GetItem(arguments, 1)) && answer != NULL) {
        Py_DECREF(answer);
        answer = NULL;
        PyErr_Fetch(&type, &error, &trace);
    }
    left = parent != Py_None ? leave(parent, NULL) : NULL;
    Py_XDECREF(left);
    PyErr_Clear(); /* What is left of these was the call's. */
    PyErr_Restore(type, error, trace);
    return answer;
}

static PyObject *is_mine(PyObject *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(last_of_mine((gate *)self) >= 0);
}

static PyObject *shut(PyObject *self, PyObject *none)
{
    (void)none;
    ((gate *)self)->is_shut = 1;
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *open_again(PyObject *self, PyObject *none)
{
    (void)none;
    ((gate *)self)->is_shut = 0;
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *tell(PyObject *self, PyObject *lock)
{
    gate *it = (gate *)self;
    PyObject *before = it->told;

    if (it->count == 0)
        return PyBool_FromLong(0);
    Py_INCREF(lock);
    it->told = lock;
    Py_XDECREF(before);
    return PyBool_FromLong(1);
}

/* Whether the answer of a call that closes says that nothing was closed; -1 with an exception. */
static int was_refused(PyObject *answer)
{
    long status = answer == Py_None ? 0 : PyLong_AsLong(answer);

    if (status == -1 && PyErr_Occurred() != NULL)
        return -1;
    return status == LS_ERR_STATE || status == LSI_PY_INTERRUPTED || status == LSI_PY_WITHIN;
}

static PyObject *give_back(PyObject *self, PyObject *arguments)
{
    gate *it = (gate *)self;
    PyObject *pointer = it->pointer, *answer;
    int refused;

    if (PyTuple_Size(arguments) < 1)
        return PyErr_Format(PyExc_TypeError, "give_back: by which call?");
    answer = call_with(it, PyTuple_GetItem(arguments, 0), arguments, 1);
    if (answer == NULL)
        return NULL;
    refused = was_refused(answer);
    if (refused < 0) {
        Py_DECREF(answer);
        return NULL;
    }
    if (!refused && it->pointer == pointer) {
        Py_INCREF(Py_None);
        it->pointer = Py_None;
        Py_DECREF(pointer);
    }
    return answer;
}

static PyObject *get_pointer(PyObject *self, void *unused)
{
    gate *it = (gate *)self;
    PyObject *shown = it->is_shut ? Py_None : it->pointer;

    (void)unused;
    Py_INCREF(shown);
    return shown;
}

static PyMemberDef members[] = {
    {"held", T_OBJECT_EX, offsetof(gate, pointer), READONLY, "The pointer, of one that is shut, too; None: gone."},
    {"count", T_PYSSIZET, offsetof(gate, count), READONLY, "How many calls are inside."},
    {"is_shut", T_BOOL, offsetof(gate, is_shut), READONLY, "Whether nobody may enter."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"pointer", get_pointer, NULL, "What whoever enters gets; None when nobody may.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, "Enter: the pointer. Refused of one that is shut, or of another process."},
    {"__exit__", leave, METH_VARARGS, "Leave."},
    {"run", run, METH_VARARGS,
     "run(turn, function, *arguments)\n\nEnter, call function(pointer, *arguments) in the turn of an RLock (None: "
     "without), and leave: its answer."},
    {"open", open_here, METH_VARARGS,
     "open(parent, out, function, *arguments)\n\nCall what opens something at out[0], within the gate of a parent and "
     "with its pointer (None: without), and have that from now on: the call's answer."},
    {"is_mine", is_mine, METH_NOARGS, "Whether this thread is inside."},
    {"shut", shut, METH_NOARGS, "Let nobody enter from now on."},
    {"open_again", open_again, METH_NOARGS, "Let others enter again."},
    {"tell", tell, METH_O, "tell(lock)\n\nRelease a lock when the last one has left. False: nobody is inside."},
    {"give_back", give_back, METH_VARARGS,
     "give_back(call, *arguments)\n\nCall what takes the pointer, and the arguments, and gives it back: its answer. "
     "The pointer is gone then, unless the answer is a status that refuses."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)gate_new},         {Py_tp_dealloc, (void *)gate_free},
    {Py_tp_members, members},              {Py_tp_getset, properties},
    {Py_tp_methods, methods},              {Py_tp_doc, "Who is in calls of a handle."},
    {0, NULL},
};

static PyType_Spec specification = {"libstream._walk.Gate", sizeof(gate), 0, Py_TPFLAGS_DEFAULT, slots};

PyObject *lsi_py_gate_type(void)
{
    return PyType_FromSpec(&specification);
}
