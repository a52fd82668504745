/* What happens at a point: time passes, another fiber may go on, somebody may be killed or stopped, the power may go.
 * And how fibers wait. See sim_fibers.h. */
#include "support/sim_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WALL_BEGINS_US INT64_C(1700000000000000)
#define CHANGE_SHARE 10u /* a change of a file counts as so many points, when it is about being killed */

/* ---- choices ---- */

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    return sim_mix(*state);
}

uint64_t sim_below(uint64_t bound)
{
    return next_random(&sim_machine.choices) % bound;
}

bool sim_one_in(uint32_t odds)
{
    return odds != 0 && sim_below(odds) == 0;
}

uint64_t sim_random(void)
{
    return next_random(&sim_machine.randoms);
}

/* ---- time ---- */

uint64_t sim_boot_count(void)
{
    return sim_machine.boots;
}

int64_t sim_now_us(void)
{
    return sim_machine.now_ns / 1000;
}

int64_t sim_uptime_us(void)
{
    return (sim_machine.now_ns - sim_machine.booted_ns) / 1000;
}

int64_t sim_stopped_us(void)
{
    return sim_machine.stopped_ns / 1000;
}

int64_t sim_wall_us(void)
{
    if (!sim_machine.is_calm && sim_one_in(sim_machine.plan.jump_one_in)) {
        sim_machine.jumped_us = ((int64_t)sim_below(20) - 10) * INT64_C(3600000000);
        sim_machine.tally.jumps++;
    }
    return WALL_BEGINS_US + sim_machine.jumped_us + sim_now_us();
}

/* What a point takes, in nanoseconds: about what it does on a machine, so that spins and timeouts are in proportion. */
static int64_t cost_of(sim_point_kind kind)
{
    switch (kind) {
    case SIM_POINT_WORD:
        return 20;
    case SIM_POINT_LOCK:
    case SIM_POINT_LOCKED:
    case SIM_POINT_UNLOCK:
    case SIM_POINT_CLOCK:
        return 50;
    case SIM_POINT_PAUSE:
        return 500;
    case SIM_POINT_SLEEP:
    case SIM_POINT_WAKE:
        return 1000;
    default:
        return 2000;
    }
}

void sim_wake_due(void)
{
    sim_machine.due_ns = INT64_MAX;
    for (uint32_t i = 0; i < sim_machine.alive_count; i++) {
        sim_fiber *of = sim_machine.fibers[sim_machine.alive[i]];

        if (of->state != SIM_WAITING)
            continue;
        if (of->until_ns <= sim_machine.now_ns)
            of->state = SIM_READY;
        else if (of->until_ns < sim_machine.due_ns)
            sim_machine.due_ns = of->until_ns;
    }
}

/* ---- points ---- */

static bool writes(sim_point_kind kind)
{
    return kind == SIM_POINT_FILE + SIM_WRITE || kind == SIM_POINT_FILE + SIM_STORE;
}

static bool changes(sim_point_kind kind)
{
    switch ((int)kind - SIM_POINT_FILE) {
    case SIM_WRITE:
    case SIM_STORE:
    case SIM_ALLOCATE:
    case SIM_GIVE_BACK:
    case SIM_TRUNCATE:
    case SIM_MAKE_DIR:
    case SIM_RENAME:
    case SIM_UNLINK:
    case SIM_REMOVE_DIR:
        return true;
    default:
        return false;
    }
}

/* A write of which a part was done when the process was killed. */
static bool tear(sim_point_kind kind)
{
    sim_call call = (sim_call)(kind - SIM_POINT_FILE);

    if (!writes(kind) || sim_below(2) == 0)
        return false;
    sim_fault_add(sim_machine.sim, (sim_fault){.call = call, .nth = 1, .kill = true,
                                           .short_bytes = 1 + (size_t)sim_below(UINT64_C(1) << (3 + sim_below(11)))});
    sim_machine.tally.torn_writes++;
    return true;
}

static void befall(sim_point_kind kind)
{
    sim_machine_process *process = &sim_machine.processes[sim_process_current()];
    bool holds = process->shared_held > 0;
    uint32_t odds = holds ? sim_machine.plan.holder_one_in : sim_machine.plan.kill_one_in;

    if (changes(kind)) /* There are few, and much hangs on them. */
        odds = (odds + CHANGE_SHARE - 1) / CHANGE_SHARE;
    if (sim_one_in(odds)) {
        sim_machine.tally.kills++;
        sim_machine.tally.holder_kills += holds;
        if (!tear(kind))
            sim_leave(SIM_KILLED);
    } else if (sim_one_in(sim_machine.plan.stop_one_in)) {
        int64_t us = 1000 + (int64_t)sim_below(20000);

        sim_machine.tally.stops++;
        sim_machine.stopped_ns += us * 1000;
        sim_fiber_sleep(us);
    }
}

void sim_point(sim_point_kind kind)
{
    uint32_t other;

    if (sim_machine.current == 0 || (kind == SIM_POINT_WORD && sim_machine.plan.passes_words))
        return;
    sim_machine.tally.points++;
    sim_machine.now_ns += cost_of(kind);
    sim_machine_note((uint64_t)sim_machine.now_ns << 16 ^ (uint64_t)kind << 8 ^ sim_machine.current);
    if (sim_machine.points_left-- == 0) {
        sim_machine_complain("it goes on for ever: somebody waits and does not sleep");
        sim_leave(SIM_STUCK);
    }
    if (sim_machine.power_left != 0 && --sim_machine.power_left == 0 && !sim_machine.is_calm)
        sim_leave(SIM_POWER_LOST);
    if (sim_machine.now_ns >= sim_machine.due_ns)
        sim_wake_due();
    if (sim_machine.is_calm)
        return;
    befall(kind);
    if (sim_one_in(sim_machine.plan.switch_one_in)) {
        other = sim_pick_ready(sim_machine.current);
        if (other != 0)
            sim_switch_to(other);
    }
}

void sim_wait_now(const void *place, int64_t until_ns)
{
    sim_fiber *me = sim_fiber_now();
    uint32_t next;

    me->state = SIM_WAITING;
    me->place = place;
    me->until_ns = until_ns;
    me->was_woken = false;
    if (until_ns < sim_machine.due_ns)
        sim_machine.due_ns = until_ns;
    next = sim_pick_any();
    if (next == 0) {
        sim_machine_complain("everybody waits, and nobody will be woken");
        sim_leave(SIM_STUCK);
    }
    sim_switch_to(next);
}

bool sim_wait(const void *place, int64_t until_us)
{
    if (sim_machine.current == 0)
        abort(); /* Nobody would wake the loop. */
    if (!sim_machine.is_calm && sim_one_in(64))
        return true; /* As the kernel may. */
    sim_wait_now(place, until_us == SIM_FOR_EVER ? INT64_MAX : sim_machine.booted_ns + until_us * 1000);
    return sim_fiber_now()->was_woken;
}

void sim_fiber_sleep(int64_t us)
{
    sim_wait_now(NULL, sim_machine.now_ns + us * 1000);
}

uint32_t sim_wake(const void *place, uint32_t most)
{
    uint32_t count = 0, at;

    if (sim_machine.alive_count == 0 || place == NULL)
        return 0;
    at = most < UINT32_MAX ? (uint32_t)sim_below(sim_machine.alive_count) : 0; /* Anybody may be the one. */
    for (uint32_t i = 0; i < sim_machine.alive_count && count < most; i++) {
        sim_fiber *of = sim_machine.fibers[sim_machine.alive[(at + i) % sim_machine.alive_count]];

        if (of->state != SIM_WAITING || of->place != place)
            continue;
        of->state = SIM_READY;
        of->was_woken = true;
        count++;
    }
    return count;
}

/* Syncs take their time, in which others go on: what they cover was decided when they began. */
void sim_points_hook(void *user, sim_call call, const char *name)
{
    size_t size = strlen(name);

    (void)user;
    if (sim_machine.current == 0)
        return;
    if (sim_faults_met(sim_machine.sim) > 0)
        sim_faults_clear(sim_machine.sim);
    if (call == SIM_SYNC && !sim_machine.is_calm && size > 4 && strcmp(name + size - 4, ".seg") == 0 &&
        sim_one_in(sim_machine.plan.sync_fails_one_in)) {
        sim_machine.tally.failed_syncs++;
        sim_fault_add(sim_machine.sim, (sim_fault){.call = SIM_SYNC, .nth = 1, .err = EIO});
        return; /* No point, for the fault is the next sync's, and that is this one. */
    }
    if (call == SIM_SYNC_ENDS || call == SIM_SYNC_DIR || call == SIM_BULK_END)
        sim_fiber_sleep(sim_machine.is_calm ? 50 : 20 + (int64_t)sim_below(sim_below(8) == 0 ? 4000 : 200));
    else
        sim_point((sim_point_kind)(SIM_POINT_FILE + call));
}

/* ---- locks that are held ---- */

void sim_check_rank(int rank)
{
    const sim_fiber *me = sim_fiber_now();

    for (int higher = rank + 1; me != NULL && higher < SIM_RANKS; higher++)
        if (me->by_rank[higher] != 0)
            sim_machine_complain("a lock of rank %d is taken by who holds one of rank %d", rank, higher);
}

void sim_holds(void *lock, int rank, bool shared)
{
    sim_fiber *me = sim_fiber_now();

    if (me == NULL || me->held_count == SIM_HELD_MAX)
        abort(); /* More than any walk takes. */
    me->held[me->held_count++] = (sim_held){lock, rank, shared};
    me->by_rank[rank]++;
    sim_machine.processes[me->process].shared_held += shared;
}

void sim_holds_no_more(void *lock, int rank)
{
    sim_fiber *me = sim_fiber_now();

    for (uint32_t i = me->held_count; i-- > 0;) {
        if (me->held[i].lock != lock)
            continue;
        if (me->held[i].rank != rank)
            sim_machine_complain("a lock of rank %d is released as one of rank %d", me->held[i].rank, rank);
        me->by_rank[me->held[i].rank]--;
        sim_machine.processes[me->process].shared_held -= me->held[i].shared;
        memmove(&me->held[i], &me->held[i + 1], (me->held_count - i - 1) * sizeof me->held[0]);
        me->held_count--;
        return;
    }
}

void sim_took_over(void)
{
    sim_machine.tally.deaths_taken_over++;
}
