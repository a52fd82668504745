/* What stands in for lib/base/lock.c, clock.c, thread.c and status.c in a program that simulates processes: the same
 * functions, over the fibers and the clock of sim_fibers.h. A linker takes these and leaves the library's members of
 * these names where they are; one function too few here is a duplicate definition, so none can be forgotten.
 *
 * Locks lie in the same 56 bytes, so mapped files have the same layout. Whether processes share a lock is told by who
 * takes it: one that was ever taken by two is shared. A lock is never broken but by a release without a repair. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/patience.h"
#include "base/thread.h"

#include "support/sim_fibers.h"

/* Its words that each thread has: fibers have to share a thread. */
#include "base/status.c" /* NOLINT: the file's statics are what is wanted */

/* ---- what each thread has ---- */

struct sim_thread_words {
    lsi_error_state current, before;
    bool has_failed;
    lsi_patience patience;
};

size_t sim_thread_words_bytes(void)
{
    return sizeof(sim_thread_words);
}

void sim_thread_words_init(void *words)
{
    sim_thread_words fresh = {.patience = {.left_us = LSI_PATIENCE_UNBOUNDED}};

    memcpy(words, &fresh, sizeof fresh);
}

void sim_thread_words_swap(void *out, const void *in)
{
    sim_thread_words *kept = out;
    const sim_thread_words *next = in;

    if (kept != NULL) {
        kept->current = current;
        kept->has_failed = has_failed;
        if (has_failed)
            kept->before = before;
        kept->patience = lsi_patience_now;
    }
    if (next != NULL) {
        current = next->current;
        has_failed = next->has_failed;
        if (has_failed)
            before = next->before;
        lsi_patience_now = next->patience;
    }
}

/* ---- locks ---- */

#define LOCK_MAGIC 0x6B636F4Cu

typedef enum { FREE, HELD, ORPHANED, HELD_UNREPAIRED, BROKEN } lock_state;

typedef struct fake_lock {
    uint32_t magic;
    uint32_t state;   /* lock_state */
    uint32_t holder;  /* fiber */
    uint32_t process; /* of the first who took it */
    uint32_t is_shared;
} fake_lock;
_Static_assert(sizeof(fake_lock) <= sizeof(((lsi_lock *)0)->room), "the control file's layout has no room");

static fake_lock *fake_of(lsi_lock *lock)
{
    return (fake_lock *)(void *)lock->room;
}

int lsi_lock_init(lsi_lock *lock)
{
    fake_lock fresh = {.magic = LOCK_MAGIC};

    memset(lock, 0, sizeof *lock);
    memcpy(lock->room, &fresh, sizeof fresh);
    return 0;
}

static lsi_lock_result try_now(lsi_lock *lock, int rank)
{
    fake_lock *of = fake_of(lock);
    bool after_death = of->state == ORPHANED;

    if (of->magic != LOCK_MAGIC || of->state == BROKEN)
        return LSI_LOCK_BROKEN;
    if (of->state != FREE && !after_death)
        return LSI_LOCK_BUSY;
    if (of->process == 0)
        of->process = sim_process_current();
    of->is_shared = of->is_shared != 0 || of->process != sim_process_current();
    of->state = after_death ? HELD_UNREPAIRED : HELD;
    of->holder = sim_fiber_current();
    sim_holds(lock, rank, of->is_shared != 0);
    if (after_death)
        sim_took_over();
    return after_death ? LSI_LOCKED_AFTER_DEATH : LSI_LOCKED;
}

static lsi_lock_result try_as_point(lsi_lock *lock, int rank)
{
    lsi_lock_result result;

    sim_point(SIM_POINT_LOCK);
    result = try_now(lock, rank);
    if (result == LSI_LOCKED || result == LSI_LOCKED_AFTER_DEATH)
        sim_point(SIM_POINT_LOCKED);
    return result;
}

lsi_lock_result lsi_lock_try_any(lsi_lock *lock, int rank)
{
    return try_as_point(lock, rank);
}

lsi_lock_result lsi_lock_try(lsi_lock *lock, int rank)
{
    sim_check_rank(rank);
    return try_as_point(lock, rank);
}

static lsi_lock_result take_until(lsi_lock *lock, int rank, int64_t until_us)
{
    lsi_lock_result result;

    sim_check_rank(rank);
    for (;;) {
        result = try_as_point(lock, rank);
        if (result != LSI_LOCK_BUSY || sim_uptime_us() >= until_us)
            return result;
        /* Nobody ran in between but where the lock was tried, so it is still taken. */
        if (fake_of(lock)->holder == sim_fiber_current())
            sim_machine_complain("who holds a lock of rank %d waits for it", rank);
        (void)sim_wait(lock, until_us);
    }
}

lsi_lock_result lsi_lock_take(lsi_lock *lock, int rank, uint32_t timeout_ms)
{
    return take_until(lock, rank, sim_uptime_us() + (int64_t)timeout_ms * 1000);
}

void lsi_lock_hold(lsi_lock *lock, int rank)
{
    if (take_until(lock, rank, SIM_FOR_EVER) == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(lock);
}

void lsi_lock_repaired(lsi_lock *lock)
{
    fake_lock *of = fake_of(lock);

    if (of->state != HELD_UNREPAIRED || of->holder != sim_fiber_current())
        sim_machine_complain("a lock is repaired that did not come from a dead holder");
    of->state = HELD;
}

void lsi_lock_release(lsi_lock *lock, int rank)
{
    fake_lock *of = fake_of(lock);

    if ((of->state != HELD && of->state != HELD_UNREPAIRED) || of->holder != sim_fiber_current())
        sim_machine_complain("a lock of rank %d is released by who does not hold it", rank);
    if (of->state == HELD_UNREPAIRED)
        sim_machine_complain("P3: a lock of rank %d that came from a dead holder is released without a repair", rank);
    sim_point(SIM_POINT_UNLOCK);
    of->state = of->state == HELD_UNREPAIRED ? BROKEN : FREE;
    of->holder = 0;
    sim_holds_no_more(lock, rank);
    (void)sim_wake(lock, UINT32_MAX);
    sim_point(SIM_POINT_UNLOCK);
}

void sim_lock_orphan(void *lock)
{
    fake_of(lock)->state = ORPHANED;
    fake_of(lock)->holder = 0;
    (void)sim_wake(lock, UINT32_MAX);
}

void lsi_lock_pause(void)
{
    sim_point(SIM_POINT_PAUSE);
}

/* ---- words ---- */

lsi_sleep_result lsi_word_sleep(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_us)
{
    int64_t now_us;

    sim_point(SIM_POINT_SLEEP);
    now_us = sim_uptime_us();
    if (atomic_load_explicit(word, memory_order_acquire) != seen)
        return LSI_WOKEN;
    return sim_wait(word, timeout_us < 0 ? SIM_FOR_EVER : now_us + timeout_us) ? LSI_WOKEN : LSI_SLEPT_OUT;
}

bool lsi_word_wake_one(_Atomic uint32_t *word)
{
    sim_point(SIM_POINT_WAKE);
    return sim_wake(word, 1) > 0;
}

void lsi_word_wake_all(_Atomic uint32_t *word)
{
    sim_point(SIM_POINT_WAKE);
    (void)sim_wake(word, UINT32_MAX);
}

/* ---- forks: nobody does ---- */

struct lsi_fork_mark {
    _Atomic uint32_t mine;
};

lsi_fork_mark *lsi_fork_mark_new(void)
{
    static lsi_fork_mark mark = {1};

    return &mark;
}

void lsi_fork_mark_free(lsi_fork_mark *mark)
{
    (void)mark;
}

void lsi_fork_hold_off(void)
{
}

void lsi_fork_let_go(void)
{
}

int lsi_on_fork_add(lsi_on_fork *entry)
{
    (void)entry;
    return 0;
}

void lsi_on_fork_remove(lsi_on_fork *entry)
{
    (void)entry;
}

/* ---- the boot: the machine says which, so that it is the same in two runs ---- */

void lsi_boot_id_pretend(const unsigned char id[16])
{
    (void)id;
}

void lsi_boot_id(unsigned char id[16])
{
    uint64_t boot = sim_boot_count();

    memset(id, 0, 16);
    memcpy(id, &boot, sizeof boot);
}

/* ---- clocks ---- */

static int64_t system_wall_us(void *user)
{
    (void)user;
    sim_point(SIM_POINT_CLOCK);
    return sim_wall_us();
}

static int64_t system_monotonic_us(void *user)
{
    (void)user;
    sim_point(SIM_POINT_CLOCK);
    return sim_uptime_us();
}

const lsi_clock lsi_clock_system = {system_wall_us, system_monotonic_us, NULL, NULL};

/* ---- threads ---- */

int lsi_thread_start(lsi_thread *thread, const char *name, void (*run)(void *user), void *user)
{
    (void)name;
    thread->id = (pthread_t)sim_fiber_start(run, user);
    thread->started = 1;
    sim_point(SIM_POINT_THREAD);
    return 0;
}

void lsi_thread_join(lsi_thread *thread)
{
    if (!thread->started)
        return;
    sim_fiber_join((uint32_t)thread->id);
    thread->started = 0;
}

void lsi_thread_pretend(int (*answer)(void *user, const char *name), void *user)
{
    (void)answer;
    (void)user;
}

int32_t lsi_process_id(void)
{
    return (int32_t)sim_process_current();
}
