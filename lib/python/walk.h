/* What the files of the module `libstream._walk` share. They alone know objects of Python: native.h is of what
 * knows none. */
#ifndef LIBSTREAM_PYTHON_WALK_H
#define LIBSTREAM_PYTHON_WALK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <libstream/types.h>

/* Of the stable ABI since 3.10, and there in 3.9 as it is, which does not promise it to later ones only. */
PyAPI_FUNC(const char *) PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size);

/* Where the bytes of an object are, for as long as it is kept. 1: it was a `bytes`, or with `is_key` a `str`; 0: it is
 * something else; -1: an exception was raised. */
int lsi_py_bytes_of(PyObject *object, int is_key, ls_bytes *out);

/* The module's functions `hold` and `put`. */
PyObject *lsi_py_hold(PyObject *module, PyObject *arguments);
PyObject *lsi_py_put_method(PyObject *module, PyObject *arguments);

/* And those of signals.c, without arguments, or with an address. */
PyObject *lsi_py_waiting(PyObject *module, PyObject *none);
PyObject *lsi_py_interrupt(PyObject *module, PyObject *none);
PyObject *lsi_py_heed(PyObject *module, PyObject *address);
PyObject *lsi_py_stop(PyObject *module, PyObject *address);

/* The function `copy`, of copy.c: with the address of a page. */
PyObject *lsi_py_copy(PyObject *module, PyObject *address);

/* The function `places` and the types `Content` and `Place`, of place.c. A new reference; NULL: an exception was raised.
 * Places need the other type to be there. */
PyObject *lsi_py_places(PyObject *module, PyObject *arguments);
PyObject *lsi_py_content_type(void);
PyObject *lsi_py_place_type(void);

/* The type `Gate`, of gate.c, as above. */
PyObject *lsi_py_gate_type(void);

#endif
