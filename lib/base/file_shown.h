/* A file for others to read, which is replaced while they do: the bytes go beside it, and a rename shows them. */
#ifndef LSI_BASE_FILE_SHOWN_H
#define LSI_BASE_FILE_SHOWN_H

#include <stddef.h>

#include "base/alloc.h"

typedef struct lsi_file_shown {
    const lsi_memory *memory;
    const char *path; /* borrowed */
    char *beside;     /* its name until the end */
    int fd;
} lsi_file_shown;

/* 0 or -errno: nothing is there then. */
int lsi_file_shown_begin(const lsi_memory *memory, const char *path, lsi_file_shown *out);
int lsi_file_shown_write(lsi_file_shown *file, const void *bytes, size_t size); /* 0 or -errno */
/* Shows it, mode 0644; or, unless `is_whole`, removes what there is. 0 or -errno: then too. Releases always. */
int lsi_file_shown_end(lsi_file_shown *file, int is_whole);

#endif
