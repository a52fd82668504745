/* The file systems that H3 makes on a disk of ours (block_disk.h). Root only. */
#ifndef LST_H3_SYSTEMS_H
#define LST_H3_SYSTEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/block_disk.h"

#define H3_PATH_BYTES 128u
#define H3_SYSTEMS 3u

typedef struct h3_system {
    const char *name;
    uint64_t bytes;
    const char *make;    /* a shell's command; the device follows */
    const char *options; /* of its mount */
} h3_system;

extern const h3_system h3_systems[H3_SYSTEMS];

/* A disk with the file system on it. NULL: it cannot be had here, and `why` says why not. `dir` is a directory to try
 * it in. */
block_disk *h3_make(const h3_system *of, const char *dir, char why[256]);
bool h3_mount(const char *device, const char *dir, const h3_system *of); /* false: errno says why not */
void h3_leave(const char *dir, const h3_system *of);

/* A shell's command, with two texts in it; whether it succeeded. */
bool h3_run(const char *format, const char *a, const char *b);

#endif
