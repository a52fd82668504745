/* How Ctrl+C ends a call that waits for another process or thread, in C: the main thread is where Python runs handlers
 * of signals, but it runs none while the call has not returned, and none may run inside it, under its locks.
 *
 * I1 Whether Ctrl+C came is looked at and nothing else: the signal is put back for Python, which handles it once the
 *    call has returned.
 * I2 Other threads are never told to stop, and do not wait for the GIL here. */
#include "python/walk.h"

#include <sys/syscall.h>
#include <unistd.h>

/* An ls_wait_callback. */
static int stops_waiting(void *user)
{
    PyGILState_STATE had;
    int came;

    (void)user;
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
