/* What the files of the simulated machine share; for nobody else. sim_points.c is what happens at a point: time,
 * choices, waits, and what befalls; sim_fibers.c switches from one stack to another; sim_machine.c starts and ends
 * processes, and the machine itself. */
#ifndef LST_SIM_MACHINE_H
#define LST_SIM_MACHINE_H

#include <ucontext.h>

#include "base/lock.h"
#include "support/sim_fibers.h"
#include "support/sim_inside.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif

#define SIM_PROCESSES_MAX 64u
#define SIM_FIBERS_MAX 256u /* since the reset */
#define SIM_HELD_MAX 512u
#define SIM_RANKS (LSI_RANK_FILE + 1)
#define SIM_POINTS_MAX UINT64_C(4000000) /* of one boot; a hundred times what any takes that ends */

typedef struct sim_machine_process {
    void (*body)(void *user);
    void *user;
    uint32_t first_fiber;
    uint32_t shared_held; /* locks */
    bool is_over;
    sim_memory memory;
} sim_machine_process;

typedef struct sim_held {
    void *lock;
    int rank;
    bool shared;
} sim_held;

typedef struct sim_fiber {
    ucontext_t context;
    void *stack;
    void (*body)(void *user);
    void *user;
    unsigned process;
    enum { SIM_READY, SIM_WAITING, SIM_OVER } state;
    const void *place; /* SIM_WAITING: who wakes this, wakes it */
    int64_t until_ns;
    bool was_woken;
    uint32_t held_count;
    uint32_t by_rank[SIM_RANKS];
    sim_held held[SIM_HELD_MAX];
    void *words;
#ifdef UNDER_ASAN
    void *fake_stack;
#endif
} sim_fiber;

/* Why the loop has the thread back. */
typedef enum { SIM_ENDED, SIM_KILLED, SIM_POWER_LOST, SIM_STUCK } sim_reason;

typedef struct sim_machine_state {
    sim_plan plan;
    sim_files *sim;
    bool is_calm;
    bool is_halted; /* the power is gone, or nobody gets any further */
    uint64_t boots;
    int64_t now_ns, booted_ns, stopped_ns, jumped_us;
    int64_t due_ns; /* nobody who waits is due before */
    uint64_t points_left, power_left;
    uint64_t choices, randoms; /* states of the machine's own random numbers, and of the processes' */
    uint64_t hash;
    sim_tally tally;
    char complaint[400];
    sim_machine_process processes[SIM_PROCESSES_MAX];
    unsigned process_count; /* numbers begin at 1 */
    sim_fiber *fibers[SIM_FIBERS_MAX];
    uint32_t fiber_count; /* likewise */
    uint32_t current;     /* 0: the loop */
    uint32_t alive[SIM_FIBERS_MAX], alive_count;
    ucontext_t loop;
    sim_reason why;
    uint32_t leaving;
    void *stacks[SIM_FIBERS_MAX];
    size_t stack_count;
#ifdef UNDER_ASAN
    const void *loop_stack;
    size_t loop_stack_bytes;
#endif
} sim_machine_state;
extern sim_machine_state sim_machine; /* One at a time: what stands in for the base has no handle to find it by. */

/* ---- sim_points.c ---- */

uint64_t sim_below(uint64_t bound); /* of the machine's own choices */
bool sim_one_in(uint32_t odds);     /* 0: never */
void sim_wake_due(void);            /* whose time is over */
void sim_wait_now(const void *place, int64_t until_ns);
void sim_points_hook(void *user, sim_call call, const char *name); /* of the sim's files */

/* ---- sim_fibers.c ---- */

sim_fiber *sim_fiber_now(void); /* NULL: the loop */
uint32_t sim_pick_ready(uint32_t not_this); /* one that is ready, but `not_this`; 0: there is none */
uint32_t sim_pick_any(void); /* the same when somebody has to: time passes until one is. 0: nobody ever will */
void sim_switch_to(uint32_t next);
_Noreturn void sim_leave(sim_reason why); /* gives the thread back to the loop */
void sim_go_on(uint32_t next);            /* the loop: until somebody leaves */
uint32_t sim_fiber_new(unsigned process, void (*body)(void *user), void *user);
void sim_fiber_over(uint32_t number);
void sim_fibers_release(void);

#endif
