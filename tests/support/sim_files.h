/* A file system for tests (harnesses H1 and H2): in memory, with a record of everything, faults on demand, and the
 * disks that a crash may leave behind.
 *
 *     sim_files *sim = sim_files_new();
 *     env.files = sim_files_table(sim);
 *     ... run the code under test; at each acknowledgement note sim_log_count(sim) ...
 *     for (prefix = sim_log_base(sim); prefix <= sim_log_count(sim); prefix++)
 *         for (seed = 0; seed < seeds; seed++) {
 *             sim_files *crashed = sim_crash_state(sim, prefix, seed);
 *             ... recover on sim_files_table(crashed) and check ...
 *             sim_files_free(crashed);
 *         }
 *
 * What the model believes:
 *   - The log holds every change in order. A change of a file is synced by a later sync of that file; a change of a
 *     name by a later sync of its directory (a rename by that of the directory it goes to). Syncing a file says
 *     nothing about its name.
 *   - What is not synced may be on the disk or not, each change by itself: a write absent, whole, any subset of its
 *     512-byte sectors, or only its growth, with zeros or with bytes that something else once wrote: what a file that
 *     is gone had synced at that place in it, if there is one, as when its blocks are used again.
 *   - A sync that fails leaves what it should have synced in doubt for ever: a later sync that succeeds does not help
 *     (E1), only writing again does.
 *   - A mapping's changes are found by comparing before each logged call, so a store is noted at the next call.
 *
 * One root, whatever path is opened; "root/dir" is a directory beneath it. Opening one makes lsi_boot_id() answer this
 * disk's boot id: a clone has its original's, a crash state a new one.
 *
 * Any thread. The hook is called without a lock held. */
#ifndef LST_SIM_FILES_H
#define LST_SIM_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"

typedef struct sim_files sim_files;

/* The table's calls, counted and failed by kind. */
typedef enum sim_call {
    SIM_ANY, /* in a fault: every kind */
    SIM_ROOT_OPEN,
    SIM_OPEN,
    SIM_CLOSE, /* releases even when it fails */
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_GIVE_BACK, /* cannot fail, may be killed at */
    SIM_TRUNCATE,
    SIM_SIZE,
    SIM_MAKE_DIR,
    SIM_RENAME,
    SIM_UNLINK,
    SIM_REMOVE_DIR,
    SIM_SYNC_DIR,
    SIM_BULK_BEGIN,
    SIM_BULK_END, /* also of one that is given up: then it is no sync, and releases even when it fails */
    SIM_LIST,
    SIM_MAP,
    SIM_UNMAP, /* cannot fail, may be killed at */
    SIM_STORE, /* likewise */
    SIM_LOCK,
    SIM_LOCKED_ELSEWHERE,
    SIM_SYNC_ENDS, /* for the hook only, not counted: inside a sync, after what it covers was decided */
    SIM_CALL_COUNT
} sim_call;

const char *sim_call_name(sim_call call);

sim_files *sim_files_new(void);
void sim_files_free(sim_files *sim); /* Accepts NULL; whatever is still open or mapped goes with it. */
lsi_files *sim_files_table(sim_files *sim);

/* ---- faults ---- */

#define SIM_FAULTS_MAX 8

typedef struct sim_fault {
    sim_call call;      /* SIM_ANY: all kinds */
    const char *name;   /* only calls on names that contain it; NULL: all. Borrowed while the fault is set */
    bool whole_name;    /* only on those that it is, or that end with a slash and it */
    uint64_t nth;       /* 1 is the next such call, 2 the one after */
    int err;            /* this errno, if the call can fail at all; 0: none */
    bool sticky;        /* this call and all such after it */
    bool kill;          /* the process dies at the call: see sim_run */
    size_t short_bytes; /* a write writes so much of it first, then fails or dies; a store, then dies */
} sim_fault;

void sim_fault_add(sim_files *sim, sim_fault fault);
void sim_faults_clear(sim_files *sim);
/* How many calls met a fault since the last clear; a walk ends when it is 0. */
uint64_t sim_faults_met(const sim_files *sim);
/* How many calls of the kind were made so far. */
uint64_t sim_calls(const sim_files *sim, sim_call call);

/* Called before every call, and inside syncs. `name` is the file's or directory's. It may call sim_kill_here(). */
typedef void sim_hook(void *user, sim_call call, const char *name);
void sim_hook_set(sim_files *sim, sim_hook *hook, void *user);

/* ---- processes ---- */

/* Runs `body` as a process of its own: in a thread, which ends where it is killed, so that the kernel reports the
 * death of every robust lock it held, and whose open files are closed then, as the kernel does. True: it was killed.
 * What it allocated is the caller's to bury (sim_memory.h). Where no death is reported (emulated.h) the test that calls
 * it is skipped. */
bool sim_run(sim_files *sim, void (*body)(void *user), void *user);
/* Inside sim_run(): dies here. */
_Noreturn void sim_kill_here(void);

/* For who plays processes in his own way (sim_fibers.c): what this thread calls from now on is of process `id`, above
 * 0, and `death`, which does not return, is how it is killed. 0, NULL: of none. */
void sim_as_process(unsigned id, void (*death)(void));
/* It is dead: closes what it had open, as the kernel does; how many files that were. */
size_t sim_process_died(sim_files *sim, unsigned id);

/* ---- what happened ---- */

typedef enum sim_op_kind {
    SIM_OP_CREATE,      /* dir, name, file */
    SIM_OP_MAKE_DIR,    /* dir, name, file */
    SIM_OP_UNLINK,      /* dir, name, file */
    SIM_OP_REMOVE_DIR,  /* dir, name, file */
    SIM_OP_RENAME,      /* dir, name, to_dir, to_name, file */
    SIM_OP_SYNC_DIR,    /* dir, covers */
    SIM_OP_DOUBT_DIR,   /* dir: its sync failed */
    SIM_OP_WRITE,       /* file, at, size, bytes */
    SIM_OP_STORE,       /* file, at, size, bytes: through a mapping */
    SIM_OP_ALLOCATE,    /* file, at, size */
    SIM_OP_TRUNCATE,    /* file, size */
    SIM_OP_SYNC,        /* file, covers */
    SIM_OP_DOUBT        /* file: its sync failed */
} sim_op_kind;

typedef struct sim_op {
    sim_op_kind kind;
    uint32_t file, dir, to_dir; /* numbers of files and directories, never reused; the root is 0 */
    char *name, *to_name;       /* last parts */
    uint64_t at, size;
    unsigned char *bytes;
    size_t covers; /* syncs: the changes before this place in the log */
    unsigned how;  /* CREATE: the flags of opening it; syncs: SIM_HOW_ */
} sim_op;

#define SIM_HOW_DATA 1u      /* by a call that syncs data only */
#define SIM_HOW_BULK 2u      /* the first of those that the end of a bulk makes, */
#define SIM_HOW_BULK_MORE 4u /* and the others */

size_t sim_log_count(sim_files *sim); /* notes what mappings changed first */
size_t sim_log_base(const sim_files *sim); /* where the history begins: what is before was on the disk from the start */
const sim_op *sim_log_at(const sim_files *sim, size_t index); /* View, until the next call on `sim`. */
void sim_log_print(sim_files *sim, FILE *to);

/* ---- what a crash leaves ---- */

/* The same disk after every process was killed: all that was written is there, and what was not synced still is not. */
sim_files *sim_clone(sim_files *sim);

/* A disk that a loss of power after the first `prefix` changes may leave. The seeds below SIM_SEED_RANDOM are the
 * corners, the others pick at random; equal arguments give equal disks. */
enum {
    SIM_SEED_NOTHING,    /* nothing that is not synced */
    SIM_SEED_EVERYTHING, /* all of it */
    SIM_SEED_NAMES,      /* names but no bytes: renames before their data */
    SIM_SEED_BYTES,      /* bytes but no names */
    SIM_SEED_GROWTH,     /* names and sizes, zeros in place of the bytes */
    SIM_SEED_STALE,      /* the same with what something else once wrote */
    SIM_SEED_RANDOM
};
sim_files *sim_crash_state(sim_files *sim, size_t prefix, uint64_t seed);

/* A long walk looks at every one of so many disks, or bits: sanitizers of memory, which find in one what they find in
 * the next, at a tenth of them, others at each prefix. */
#if defined(__SANITIZE_ADDRESS__)
#define SIM_STRIDE 10
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SIM_STRIDE 10
#endif
#endif
#ifndef SIM_STRIDE
#define SIM_STRIDE 1
#endif

/* A hash of all names and bytes: equal disks have equal ones, so that states need not be tried twice. */
uint64_t sim_hash(sim_files *sim);

#endif
