/* A process that is killed in the middle of its work, and leaves its store to the session. See session.h. */
#include "harness/session_inside.h"

#include <stdatomic.h>

typedef struct dying {
    session session;
    ls_durability durability;
    void (*work)(session *of);
} dying;

static void live(void *user)
{
    dying *of = user;

    (void)session_open(&of->session, of->durability);
    of->work(&of->session);
    (void)session_close(&of->session);
}

bool session_die(session *of, void (*work)(session *of), uint64_t nth)
{
    sim_fault fault = {.call = SIM_ANY, .nth = nth, .kill = true};
    dying other = {.durability = of->durability, .work = work};
    bool was_killed;

    (void)session_close(of);
    session_init(&other.session, of->sim, of->truth, of->random + nth);
    atomic_store_explicit(&other.session.now_us, atomic_load_explicit(&of->now_us, memory_order_relaxed),
                          memory_order_relaxed);
    sim_fault_add(of->sim, fault);
    was_killed = sim_run(of->sim, live, &other);
    sim_faults_clear(of->sim);
    if (was_killed)
        session_bury(&other.session);
    else
        session_free(&other.session);
    session_threads(of, false);
    atomic_store_explicit(&of->now_us, atomic_load_explicit(&other.session.now_us, memory_order_relaxed),
                          memory_order_relaxed);
    of->looked_at = session_here(of);
    if (other.session.complaints > 0)
        session_complain(of, "in a process that was to be killed: %s", other.session.complaint);
    /* What nobody was answered may yet appear, or never. */
    for (size_t i = 0; i < of->truth->put_count; i++)
        if (of->truth->puts[i].acked_at == NEVER && of->truth->puts[i].gone_at == NEVER)
            of->truth->puts[i].is_unknown = true;
    return was_killed;
}
