/* The machine and its processes: how they start, and how they end. See sim_fibers.h. */
#include "support/sim_machine.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

sim_machine_state sim_machine;

/* ---- what is kept of a run ---- */

void sim_machine_note(uint64_t what)
{
    sim_machine.hash = (sim_machine.hash ^ what) * UINT64_C(0x9FB21C651E98DF25);
    sim_machine.hash ^= sim_machine.hash >> 29;
}

void sim_machine_complain(const char *format, ...)
{
    va_list arguments;

    if (sim_machine.complaint[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(sim_machine.complaint, sizeof sim_machine.complaint, format, arguments);
    va_end(arguments);
}

const char *sim_machine_complaint(void)
{
    return sim_machine.complaint[0] != '\0' ? sim_machine.complaint : NULL;
}

uint64_t sim_machine_hash(void)
{
    return sim_machine.hash;
}

const sim_tally *sim_machine_tally(void)
{
    return &sim_machine.tally;
}

/* ---- processes ---- */

unsigned sim_process_start(void (*body)(void *user), void *user)
{
    static const sim_memory none = SIM_MEMORY_INIT;
    unsigned number = sim_machine.process_count + 1;
    sim_machine_process *of = &sim_machine.processes[number];

    if (number == SIM_PROCESSES_MAX)
        abort();
    sim_machine.process_count = number;
    *of = (sim_machine_process){.body = body, .user = user, .memory = none};
    of->first_fiber = sim_fiber_new(number, body, user);
    return number;
}

/* ---- the ends of processes ---- */

static void process_over(unsigned number, bool killed)
{
    sim_machine_process *of = &sim_machine.processes[number];
    uint32_t gone[SIM_FIBERS_MAX], count = 0;
    size_t opens;

    of->is_over = true;
    for (uint32_t i = 0; i < sim_machine.alive_count; i++)
        if (sim_machine.fibers[sim_machine.alive[i]]->process == number)
            gone[count++] = sim_machine.alive[i];
    for (uint32_t i = 0; i < count; i++) {
        sim_fiber *fiber = sim_machine.fibers[gone[i]];

        if (!killed)
            sim_machine_complain(fiber->held_count > 0 ? "a process ends and holds a lock of rank %d"
                                                       : "a process ends before its threads do",
                                 fiber->held_count > 0 ? fiber->held[0].rank : 0);
        for (uint32_t k = 0; k < fiber->held_count && !sim_machine.is_halted; k++)
            sim_lock_orphan(fiber->held[k].lock);
        sim_fiber_over(gone[i]);
    }
    opens = sim_process_died(sim_machine.sim, number);
    if (!killed && opens > 0)
        sim_machine_complain("a process ends with %zu files open", opens);
    if (!killed && of->memory.live > 0)
        sim_machine_complain("a process ends with %zu allocations of %zu bytes", of->memory.live,
                             of->memory.live_bytes);
    sim_memory_scrap(&of->memory);
    if (sim_machine.plan.ended != NULL && !sim_machine.is_halted)
        sim_machine.plan.ended(sim_machine.plan.user, number, killed);
}

/* The fiber that the loop went on with came back. */
static void take_back(void)
{
    uint32_t number = sim_machine.leaving;
    sim_fiber *of = sim_machine.fibers[number];
    unsigned process = of->process;

    if (sim_machine.why == SIM_ENDED && number != sim_machine.processes[process].first_fiber) {
        if (of->held_count > 0)
            sim_machine_complain("a thread ends and holds a lock of rank %d", of->held[0].rank);
        sim_fiber_over(number);
        (void)sim_wake(of, UINT32_MAX); /* Who joins it. */
        return;
    }
    if (sim_machine.why == SIM_POWER_LOST || sim_machine.why == SIM_STUCK) {
        sim_machine.is_halted = true;
        for (unsigned i = 1; i <= sim_machine.process_count; i++)
            if (!sim_machine.processes[i].is_over)
                process_over(i, true);
        return;
    }
    if (sim_machine.why == SIM_ENDED) {
        if (of->held_count > 0)
            sim_machine_complain("a process ends and holds a lock of rank %d", of->held[0].rank);
        sim_fiber_over(number);
    }
    process_over(process, sim_machine.why == SIM_KILLED);
    sim_faults_clear(sim_machine.sim);
}

bool sim_machine_run(void)
{
    while (sim_machine.alive_count > 0 && !sim_machine.is_halted) {
        uint32_t next = sim_pick_any();

        if (next == 0) {
            sim_machine_complain("everybody waits, and nobody will be woken");
            sim_machine.why = SIM_STUCK;
            sim_machine.leaving = sim_machine.alive[0];
            take_back();
            return false;
        }
        sim_go_on(next);
        take_back();
    }
    return !sim_machine.is_halted;
}

/* ---- booting ---- */

void sim_machine_reset(void)
{
    sim_machine.now_ns = sim_machine.booted_ns = sim_machine.stopped_ns = sim_machine.jumped_us = 0;
    sim_machine.boots = 0;
    sim_machine.fiber_count = 0;
    sim_machine.process_count = 0;
    sim_machine.alive_count = 0;
    sim_machine.hash = 0;
    sim_machine.complaint[0] = '\0';
    sim_machine.tally = (sim_tally){0};
}

void sim_machine_boot(const sim_plan *plan, sim_files *sim)
{
    sim_machine.plan = *plan;
    sim_machine.sim = sim;
    sim_machine.is_calm = sim_machine.is_halted = false;
    if (!plan->goes_on || sim_machine.boots == 0) {
        sim_machine.boots++;
        sim_machine.booted_ns = sim_machine.now_ns;
        sim_machine.jumped_us = 0; /* What a clock says at boot is believed. */
    }
    sim_machine.due_ns = INT64_MAX;
    sim_machine.points_left = SIM_POINTS_MAX;
    sim_machine.power_left = plan->power_at;
    sim_machine.choices = sim_mix(plan->seed);
    sim_machine.randoms = sim_mix(sim_machine.choices);
    sim_hook_set(sim, sim_points_hook, NULL);
}

void sim_machine_calm(void)
{
    sim_machine.is_calm = true;
}

void sim_machine_release(void)
{
    sim_fibers_release();
}
