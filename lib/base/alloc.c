/* The few shapes in which the library asks for memory, over one resize function that the application may replace.
 *
 * Promises: a size that overflows is refused like any size that cannot be had; a failed growth changes nothing; 0 bytes
 * give a pointer, so NULL always means "no memory". */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *libc_resize(void *user, void *old, size_t bytes)
{
    (void)user; /* The C library's heap needs no state. */
    if (bytes == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, bytes);
}

const lsi_memory lsi_memory_libc = {libc_resize, NULL};

void *lsi_alloc(const lsi_memory *memory, size_t bytes)
{
    return memory->resize(memory->user, NULL, bytes == 0 ? 1 : bytes);
}

void *lsi_alloc_zero(const lsi_memory *memory, size_t bytes)
{
    void *p = lsi_alloc(memory, bytes);

    if (p != NULL)
        memset(p, 0, bytes == 0 ? 1 : bytes);
    return p;
}

void *lsi_resize(const lsi_memory *memory, void *old, size_t bytes)
{
    return memory->resize(memory->user, old, bytes == 0 ? 1 : bytes);
}

void lsi_free(const lsi_memory *memory, void *p)
{
    if (p != NULL)
        (void)memory->resize(memory->user, p, 0); /* Freeing answers NULL. */
}

char *lsi_strdup(const lsi_memory *memory, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = lsi_alloc(memory, bytes);

    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

int lsi_grow(const lsi_memory *memory, void **array, size_t *capacity, size_t wanted, size_t element_bytes)
{
    size_t count = *capacity == 0 ? 8 : *capacity;
    void *old;
    void *grown;

    if (wanted <= *capacity)
        return 1;
    while (count < wanted) {
        if (count > SIZE_MAX / 2)
            return 0;
        count *= 2;
    }
    if (element_bytes != 0 && count > SIZE_MAX / element_bytes)
        return 0;
    /* Callers pass the address of a typed pointer; memcpy reads and writes it whatever its type. */
    memcpy(&old, array, sizeof old);
    grown = lsi_resize(memory, old, count * element_bytes);
    if (grown == NULL)
        return 0;
    memcpy(array, &grown, sizeof grown);
    *capacity = count;
    return 1;
}
