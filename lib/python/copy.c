/* What a page shows as objects of Python: one of all data and keys, one of all numbers. They are filled where they are,
 * so that a record is copied once on its way out of the library. */
#include "python/walk.h"

#include <stdint.h>
#include <string.h>

#include "python/native.h"

static void copy(const lsi_py_page *page, char *bytes, int64_t *numbers)
{
    const ls_record *record = page->records, *end = page->count != 0 ? record + page->count : record;
    int64_t *data_starts = numbers, *key_starts = data_starts + page->count + 1;
    int64_t *seqnos = key_starts + page->count + 1, *arrivals = seqnos + page->count;
    char *keys = bytes + page->data_bytes;
    size_t data_at = 0, key_at = 0;

    for (; record < end; record++) {
        *data_starts++ = (int64_t)data_at;
        *key_starts++ = (int64_t)key_at;
        *seqnos++ = (int64_t)record->seqno;
        *arrivals++ = record->arrival_us;
        if (record->data.size != 0)
            memcpy(bytes + data_at, record->data.data, record->data.size);
        memcpy(keys + key_at, record->partition_key.data, record->partition_key.size);
        data_at += record->data.size;
        key_at += record->partition_key.size;
    }
    *data_starts = (int64_t)data_at;
    *key_starts = (int64_t)key_at;
}

PyObject *lsi_py_copy(PyObject *module, PyObject *address)
{
    const lsi_py_page *page = PyLong_AsVoidPtr(address);
    PyObject *bytes, *numbers, *made = NULL;

    (void)module;
    if (page == NULL)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_ValueError, "no address");
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(page->data_bytes + page->key_bytes));
    numbers = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((4 * page->count + 2) * sizeof(int64_t)));
    if (bytes != NULL && numbers != NULL) {
        char *to = PyBytes_AsString(bytes); /* Nobody has seen them yet: they may be written. */
        void *numbers_to = PyBytes_AsString(numbers);

        Py_BEGIN_ALLOW_THREADS
        copy(page, to, numbers_to);
        Py_END_ALLOW_THREADS
        made = PyTuple_Pack(2, bytes, numbers);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(numbers);
    return made;
}
