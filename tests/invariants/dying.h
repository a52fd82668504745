/* A hook that kills its process at the Nth call that changes the disk, or stops it there, and the plan it goes by, for
 * tests that let a process die at each call of something. */
#ifndef LST_DYING_H
#define LST_DYING_H

#include "invariants/processes.h"

typedef struct plan {
    hooked_files files;
    int64_t countdown;  /* calls until it strikes; below 0: never */
    int where;          /* 0 before, 1 behind, 2 in the middle of a write */
    int signal;         /* 0: SIGKILL; after SIGSTOP it goes on when it is let */
    bool armed;
    int renames;        /* for hooks of the test's own that stop: before this rename, or */
    hook_call call;     /* at this call, */
    hook_target target; /* on this */
} plan;

static plan the_plan;

static inline void die_at(plan *of, const hook_event *event, bool behind)
{
    if (!of->armed || event->target == HOOK_CONTROL || behind != (of->where == 1) || of->countdown < 0 ||
        of->countdown-- != 0)
        return;
    if (of->where == 2 && (event->call == HOOK_WRITE || event->call == HOOK_STORE))
        hook_write_part(event, event->spans[0].size / 2);
    (void)raise(of->signal != 0 ? of->signal : SIGKILL);
}

static inline int die_before(void *user, const hook_event *event)
{
    die_at(user, event, false);
    return 0;
}

static inline void die_behind(void *user, const hook_event *event)
{
    die_at(user, event, true);
}

#endif
