/* Memory, through the store's allocator, so that an application can account for it and a test can fail any call.
 * Every object keeps the `lsi_memory` that made it. */
#ifndef LSI_BASE_ALLOC_H
#define LSI_BASE_ALLOC_H

#include <stddef.h>

/* `resize(user, NULL, n)` allocates, `resize(user, p, 0)` frees and returns NULL; else as realloc. Any thread. */
typedef struct lsi_memory {
    void *(*resize)(void *user, void *old, size_t bytes);
    void *user;
} lsi_memory;

extern const lsi_memory lsi_memory_libc;

void *lsi_alloc(const lsi_memory *memory, size_t bytes);         /* Not cleared. NULL: none. 0 bytes gives a pointer. */
void *lsi_alloc_zero(const lsi_memory *memory, size_t bytes);      /* Cleared. */
void *lsi_resize(const lsi_memory *memory, void *old, size_t bytes); /* On NULL `old` is still there. */
void lsi_free(const lsi_memory *memory, void *p);                  /* Accepts NULL. */
char *lsi_strdup(const lsi_memory *memory, const char *text);

/* An array that grows: doubles `*capacity` until it holds `wanted` elements. False: no memory, nothing changed. */
int lsi_grow(const lsi_memory *memory, void **array, size_t *capacity, size_t wanted, size_t element_bytes);

#endif
