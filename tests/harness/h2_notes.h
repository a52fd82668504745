/* What the recorder of H2 writes down, in the order in which it happened: for h2_recorder.c, who writes it,
 * h2_program.c, who adds what it asked and was answered, and h2_recorded.c, who reads it. */
#ifndef LST_H2_NOTES_H
#define LST_H2_NOTES_H

#include <stdint.h>

typedef enum h2_kind {
    /* Calls that succeeded, of files beneath the recorded directory; `path` is beneath it, "" is itself. */
    H2_CREATE = 1, /* path, number: the flags of open() */
    H2_MAKE_DIR,
    H2_WRITE,      /* path, at, bytes */
    H2_ALLOCATE,   /* path, at, number: how much, id: the mode */
    H2_TRUNCATE,   /* path, at: the size */
    H2_RENAME,     /* path, bytes: the new path */
    H2_UNLINK,
    H2_REMOVE_DIR,
    H2_LINK,       /* path */
    H2_MAP,        /* path: it is mapped to be stored into */
    H2_SYNC_BEGINS, /* id: of this sync */
    H2_SYNC,       /* path, id */
    H2_SYNC_ALL,   /* id: syncfs() */
    /* What the program says. */
    H2_STREAM_BEGINS,
    H2_STREAM,     /* number: its id */
    H2_PUT_BEGINS, /* id: the put's number */
    H2_PUT,        /* id, number: the sequence number */
    H2_PUT_FAILS,  /* id, number: the status */
    H2_SEEN,       /* id: of the put; a reader was given it */
    H2_ALL_BEGINS, /* id: of this sync of all */
    H2_ALL         /* id: it succeeded */
} h2_kind;

typedef struct h2_note {
    uint32_t kind, path_bytes;
    uint64_t bytes; /* so many follow the path */
    uint64_t at, number, id;
} h2_note;

/* The program's threads: each puts into a shard of its own, its numbers are a run, and each third step is an atomic
 * batch. */
#define H2_THREADS 4u
#define H2_PUTS 96u /* of a thread; a multiple of 8 */
#define H2_BATCH 6u
#define H2_STREAM_NAME "s"
static inline uint32_t h2_bytes_of(uint32_t put)
{
    return put % 17 == 0 ? 9000 : 20 + put * 37 % 1500;
}

/* The recorder's; NULL where it is not loaded. */
__attribute__((weak)) void h2_recorder_note(const h2_note *note);

#endif
