/* What the files of the tests' file system share; for nobody else. `inner`, a memory table, holds the bytes; sim_log.c
 * keeps the log and finds what mappings changed; sim_files.c is the table in front, with faults and processes;
 * sim_play.c plays logs into other disks; sim_crash.c makes those that a loss of power leaves. */
#ifndef LST_SIM_INSIDE_H
#define LST_SIM_INSIDE_H

#include <pthread.h>
#include <stdlib.h>

#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SECTOR_BYTES 512u

/* A file or directory, from its creation to the end of the sim, named or not. */
typedef struct thing {
    bool is_dir;
    lsi_file keep;         /* a file's, open for us */
    unsigned char *view;   /* the file through a mapping of ours, from the first writable one of others on */
    unsigned char *seen;   /* its bytes when we last looked */
    size_t seen_size, seen_capacity;
} thing;

/* A name in a directory now. */
typedef struct label {
    uint32_t dir, file;
    char *text;
} label;

/* An opened root that is a directory beneath the one root: what stands before all names. Kept until the sim is freed,
 * for nobody closes the roots of who was killed. */
typedef struct sim_beneath {
    struct sim_beneath *next;
    char dir[];
} sim_beneath;

typedef struct sim_open {
    struct sim_open *next, **at;
    lsi_file inner;
    uint32_t file;
    unsigned process;
    char name[];
} sim_open;

struct sim_files {
    lsi_files table;
    sim_memory memory; /* what `inner` is made of */
    lsi_files *inner;  /* NULL: it was freed */
    sim_files *next_freed;
    bool has_dead; /* a process was killed */
    lsi_root root;
    bool has_root;
    sim_beneath *beneath;
    pthread_mutex_t mutex;
    unsigned char boot_id[16];

    thing *things;
    size_t thing_count, thing_capacity;
    label *names;
    size_t name_count, name_capacity;
    sim_open *opens;
    sim_op *log;
    size_t log_count, log_capacity, log_base;

    sim_fault faults[SIM_FAULTS_MAX];
    uint64_t fault_seen[SIM_FAULTS_MAX]; /* calls it applied to */
    size_t fault_count;
    uint64_t faults_met;
    uint64_t calls[SIM_CALL_COUNT];
    sim_hook *hook;
    void *hook_user;
};

/* Tests do not test the lack of their own memory. */
void *sim_must(void *p);
uint64_t sim_mix(uint64_t x); /* scatters: equal in, equal out */

#define GROW(array, count, capacity)                                                   \
    do {                                                                               \
        if ((count) == (capacity)) {                                                   \
            (capacity) = (capacity) != 0 ? (capacity) * 2 : 16;                        \
            (array) = sim_must(realloc((array), (capacity) * sizeof(*(array))));       \
        }                                                                              \
    } while (0)

/* ---- sim_log.c. Locks: sim->mutex held. ---- */

void sim_log_add(sim_files *sim, sim_op op); /* takes over what `op` points to */
void sim_log_bytes(sim_files *sim, sim_op_kind kind, uint32_t file, uint64_t at, const void *bytes, size_t size);
sim_op sim_op_copy(const sim_op *from);

uint32_t sim_thing_add(sim_files *sim, bool is_dir);
label *sim_path_find(sim_files *sim, const char *path); /* NULL: not there */
/* The path of a directory by its number, for playing a log. */
void sim_path_of(sim_files *sim, uint32_t file, char *into, size_t size);
size_t sim_file_size(const thing *of);

/* Logs what mappings of a file, or of all, changed since we looked. */
void sim_note_mapped(sim_files *sim, uint32_t file);
void sim_note_all_mapped(sim_files *sim);
/* A logged call changed [at, at + size) itself: that is not the mappings' doing. */
void sim_seen_now(sim_files *sim, uint32_t file, uint64_t at, size_t size);
void sim_watch(sim_files *sim, uint32_t file); /* it is mapped to be written from now on */

/* The inner table did it: note it in names and log. */
void sim_created(sim_files *sim, const char *path, bool is_dir);
void sim_removed(sim_files *sim, const char *path, bool is_dir);
void sim_renamed(sim_files *sim, const char *from, const char *to);

/* ---- sim_play.c ---- */

void sim_play(sim_files *sim, const sim_op *op); /* does what it says to `sim` and to its log */

#endif
