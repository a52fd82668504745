/* What is known of a batch that was tried and is not finished, so that whoever has its shard next counts on: how often
 * it failed, and what is left of it, in parts that failures made smaller. It belongs to its first record: attempts
 * begin again only when the position advances. */
#ifndef LSI_CONSUME_LEASE_TRIAL_H
#define LSI_CONSUME_LEASE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/stream.h"

#define LSI_TRIALS_MAX 10u            /* of a shard: one of each lane */
#define LSI_TRIAL_RECORDS_MAX 10000u  /* of a batch */

typedef struct lsi_trial {
    lsi_point first;   /* behind its first record; of a last invocation of a window, that one's start as a number */
    uint32_t count;    /* of its records; 0: the last invocation of a window, which has none */
    uint32_t rest;     /* of those behind them, which were of the same batch before it was split */
    uint32_t attempts; /* that have failed */
    bool is_begun;     /* one more has begun: of what a process left that is gone, it has failed, too */
    bool is_unhandled; /* the last failure was no answer at all */
    bool is_reported;  /* or that its first record was reported */
} lsi_trial;

typedef struct lsi_trials {
    uint32_t count;
    lsi_trial at[LSI_TRIALS_MAX];
} lsi_trials;

static inline void lsi_trials_remove(lsi_trials *of, uint32_t index)
{
    of->at[index] = of->at[--of->count];
}

/* Its records are finished, or some of them. */
static inline bool lsi_trial_is_passed(const lsi_trial *trial, lsi_point position)
{
    return trial->count > 0 ? lsi_point_compare(trial->first, position) <= 0 : position.seqno == LS_SEQNO_END;
}

/* Those go that are passed. */
static inline void lsi_trials_pass(lsi_trials *of, lsi_point position)
{
    for (uint32_t i = of->count; i-- > 0;)
        if (lsi_trial_is_passed(&of->at[i], position))
            lsi_trials_remove(of, i);
}

/* Instead of what is known of the same batch, or besides; not when there are as many as there may be. */
static inline void lsi_trials_add(lsi_trials *to, const lsi_trial *trial)
{
    uint32_t i = 0;

    while (i < to->count && ((to->at[i].count == 0) != (trial->count == 0) ||
                             lsi_point_compare(to->at[i].first, trial->first) != 0))
        i++;
    if (i == LSI_TRIALS_MAX)
        return;
    to->at[i] = *trial;
    to->count += i == to->count;
}

#endif
