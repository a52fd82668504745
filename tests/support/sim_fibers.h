/* A machine in one thread (harness H6): processes whose threads are fibers, one clock, and a choice of who goes on at
 * each call of the base, all of it following from a seed.
 *
 *     sim_machine_boot(&plan, sim);           the machine starts, on this disk
 *     sim_process_start(body, user);          more may be started by those that run, and by `ended`
 *     sim_machine_run();                      until nobody is left, or its power is lost
 *
 * sim_base.c stands in for what of lib/base names the system's locks, words, clocks and threads: a program that links
 * both has no other, so the library is built as ever and pays nothing. Each call of it, and of the sim's files, is a
 * *point*: time passes, another fiber may go on, the process may be killed there, and the power may go.
 *
 * What the model believes:
 *   - Memory is one: a store of one fiber is seen by the next. What weaker processors do is for other harnesses.
 *   - Processes share what they map, and nothing else that is looked at: pointers of another one are never met.
 *   - A lock whose holder was killed says so to who takes it next, and to nobody when the power was lost.
 *   - Who sleeps on a word is woken by whoever wakes it, by his time, and sometimes by nothing at all.
 *   - Nobody is starved for ever: time passes, and only who does something makes it pass slowly.
 *
 * Nothing here is for more than one thread. */
#ifndef LST_SIM_FIBERS_H
#define LST_SIM_FIBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/sim_files.h"
#include "support/sim_memory.h"

/* Kinds of points. Those of files follow: SIM_POINT_FILE + sim_call. */
typedef enum sim_point_kind {
    SIM_POINT_LOCK,
    SIM_POINT_LOCKED,
    SIM_POINT_UNLOCK,
    SIM_POINT_SLEEP,
    SIM_POINT_WAKE,
    SIM_POINT_CLOCK,
    SIM_POINT_PAUSE,
    SIM_POINT_THREAD,
    SIM_POINT_WORD, /* an atomic access, see sim_words.c */
    SIM_POINT_FILE
} sim_point_kind;

typedef struct sim_plan {
    uint64_t seed;
    uint32_t switch_one_in; /* another fiber goes on at one point of so many */
    bool passes_words;      /* SIM_POINT_WORD is none, so the others have more of what befalls them */
    uint32_t kill_one_in;   /* at one of so many the process is killed; 0: never */
    uint32_t holder_one_in; /* the same while it holds a lock that processes share */
    uint32_t stop_one_in;   /* the fiber stands still for some milliseconds */
    uint32_t sync_fails_one_in; /* a sync of a segment, with EIO */
    uint32_t jump_one_in;   /* the wall clock is set, to ten hours off at most, at one look at it of so many */
    uint64_t power_at;      /* the power is lost at this point; 0: never */
    bool goes_on;           /* no start of the machine: it is the one that was left before, by all processes */
    /* Called outside of all fibers when a process has ended, killed or not. May start others. */
    void (*ended)(void *user, unsigned process, bool killed);
    void *user;
} sim_plan;

typedef struct sim_tally {
    uint64_t points, switches, kills, holder_kills, torn_writes, deaths_taken_over, stops, jumps, failed_syncs;
} sim_tally;

void sim_machine_boot(const sim_plan *plan, sim_files *sim);
bool sim_machine_run(void); /* false: the power was lost */
/* For the last looks: from now on nobody is killed or stopped, and nobody interrupted. */
void sim_machine_calm(void);
/* Time and hash begin anew; between two runs of seeds. */
void sim_machine_reset(void);
void sim_machine_release(void); /* frees what is kept between runs */

uint64_t sim_machine_hash(void); /* of all that was decided and done since the reset */
void sim_machine_note(uint64_t what); /* makes it a part of that */
const sim_tally *sim_machine_tally(void); /* since the reset */
/* The first thing that the machine itself found wrong since the reset, NULL: nothing. */
const char *sim_machine_complaint(void);
void sim_machine_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- processes ---- */

/* What it allocates through `sim_process_memory` is freed when it is killed. Its number is never used again before the
 * next reset. */
unsigned sim_process_start(void (*body)(void *user), void *user);
unsigned sim_process_current(void);
sim_memory *sim_process_memory(void); /* of the present one */

/* Another thread of the present process; its number. */
uint32_t sim_fiber_start(void (*body)(void *user), void *user);
void sim_fiber_join(uint32_t fiber);
void sim_fiber_sleep(int64_t us);

/* ---- what sim_base.c is made of ---- */

void sim_point(sim_point_kind kind);
uint64_t sim_boot_count(void); /* since the reset */
int64_t sim_now_us(void);  /* since the reset; no point */
int64_t sim_uptime_us(void); /* since the boot */
int64_t sim_wall_us(void); /* may jump */
int64_t sim_stopped_us(void); /* for how long fibers stood still, summed */
uint64_t sim_random(void); /* of the processes, not of the machine's own choices */
/* Waits until somebody wakes `place`, or that uptime; true: was woken. Not a point before. */
bool sim_wait(const void *place, int64_t until_us);
#define SIM_FOR_EVER INT64_MAX
uint32_t sim_wake(const void *place, uint32_t most); /* how many there were; not a point */
uint32_t sim_fiber_current(void); /* 0: outside of all */
bool sim_fiber_lives(uint32_t fiber);
/* The present fiber holds that lock from now on; `shared`: processes share it. `orphan` is called when it is killed. */
void sim_holds(void *lock, int rank, bool shared);
void sim_holds_no_more(void *lock, int rank);
void sim_check_rank(int rank); /* complains when a higher one is held */
void sim_took_over(void); /* counts */

/* sim_base.c: who holds it is dead. */
void sim_lock_orphan(void *lock);
/* sim_base.c: what the library keeps for each thread, which fibers share. */
typedef struct sim_thread_words sim_thread_words;
size_t sim_thread_words_bytes(void);
void sim_thread_words_init(void *words);
void sim_thread_words_swap(void *out, const void *in); /* either may be NULL */

#endif
