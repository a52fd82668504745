/* How Ctrl+C ends a call that waits for another process or thread, in C: the main thread is where Python runs handlers
 * of signals, but it runs none while the call has not returned, and none may run inside it, under its locks.
 *
 * I1 Whether Ctrl+C came is looked at and nothing else: the signal is put back for Python, which handles it once the
 *    call has returned.
 * I2 Other threads do not wait for the GIL here. Ctrl+C tells them nothing; they are told to stop by whoever gave them
 *    their work, when he waits for it no longer. */
#include "python/walk.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local atomic_int *heeded; /* not 0: what this thread does is wanted no more */

/* An ls_wait_callback. */
static int stops_waiting(void *user)
{
    PyGILState_STATE had;
    int came;

    (void)user;
    if (heeded != NULL && atomic_load_explicit(heeded, memory_order_relaxed) != 0) /* No pair: it says all. */
        return 1;
    if (syscall(SYS_gettid) != getpid() || !Py_IsInitialized())
        return 0;
    had = PyGILState_Ensure();
    came = PyOS_InterruptOccurred(); /* It forgets what it tells. */
    if (came)
        PyErr_SetInterrupt();
    PyGILState_Release(had);
    return came;
}

PyObject *lsi_py_waiting(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return PyLong_FromVoidPtr((void *)(uintptr_t)stops_waiting);
}

PyObject *lsi_py_interrupt(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    PyErr_SetInterrupt();
    if (PyErr_CheckSignals() != 0)
        return NULL;
    Py_INCREF(Py_None);
    return Py_None;
}

PyObject *lsi_py_heed(PyObject *module, PyObject *address)
{
    atomic_int *flag = PyLong_AsVoidPtr(address);

    (void)module;
    if (flag == NULL && PyErr_Occurred() != NULL)
        return NULL;
    heeded = flag;
    Py_INCREF(Py_None);
    return Py_None;
}

PyObject *lsi_py_stop(PyObject *module, PyObject *address)
{
    atomic_int *flag = PyLong_AsVoidPtr(address);

    (void)module;
    if (flag == NULL)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_ValueError, "no address");
    atomic_store_explicit(flag, 1, memory_order_relaxed);
    Py_INCREF(Py_None);
    return Py_None;
}
