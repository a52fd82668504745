/* The system's files with a hook in front of and behind what changes the disk: for tests that stop, kill, delay or
 * refuse a process at a chosen point, on a real directory and with real processes.
 *
 *     hooked_files hooked;
 *     hooked_files_init(&hooked, before, after, user);
 *     env.files = &hooked.table; */
#ifndef LST_HOOKED_FILES_H
#define LST_HOOKED_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"

typedef enum { HOOK_WRITE, HOOK_STORE, HOOK_SYNC, HOOK_RENAME, HOOK_SYNC_DIR, HOOK_LIST } hook_call;
typedef enum { HOOK_SEGMENT, HOOK_INDEX, HOOK_CONTROL, HOOK_OTHER } hook_target; /* by the file's name */

typedef struct hook_event {
    hook_call call;
    hook_target target;
    const lsi_file *file;  /* WRITE, STORE, SYNC of one file; NULL when it is of many */
    const lsi_span *spans; /* WRITE, STORE: the bytes */
    int count;
    uint64_t at;           /* WRITE */
    void *into;            /* STORE: where in the mapping */
    int64_t took_us;       /* after: how long the system's call took */
} hook_event;

/* The first `size` bytes of a WRITE or STORE, for a hook that then dies or waits. */
void hook_write_part(const hook_event *event, size_t size);

#define HOOKED_FDS 1024

typedef struct hooked_files {
    lsi_files table; /* first: the table's functions find the rest through it */
    int (*before)(void *user, const hook_event *event); /* may be NULL; below 0 refuses the call with that -errno */
    void (*after)(void *user, const hook_event *event); /* may be NULL */
    void *user;
    lsi_fs_kind kind;    /* what root_kind answers when `kind_set` */
    bool kind_set;
    unsigned char target[HOOKED_FDS];
    const void *control; /* the control file's mapping, NULL before there is one */
} hooked_files;

void hooked_files_init(hooked_files *hooked, int (*before)(void *, const hook_event *),
                       void (*after)(void *, const hook_event *), void *user);

/* Locks in the control file whose owner is the calling thread, by the words that the kernel itself looks at when a
 * thread dies (glibc's mutexes): LSI_RANK_ bits, 1 << rank. */
unsigned hooked_files_held(const hooked_files *hooked);

#endif
