/* What is known of a batch that was tried and is not finished, so that whoever has its shard next counts on: how often
 * it failed, and what is left of it, in parts that failures made smaller. It belongs to its first record: attempts
 * begin again only when the position advances. */
#ifndef LSI_CONSUME_LEASE_TRIAL_H
#define LSI_CONSUME_LEASE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/stream.h"

#define LSI_TRIALS_MAX 32u            /* of a shard */
#define LSI_TRIAL_LANES_MAX 10u       /* each has one that is being tried */
#define LSI_TRIAL_RECORDS_MAX 10000u  /* of a batch */

typedef struct lsi_trial {
    lsi_point first;   /* behind its first record; of a last invocation of a window, that one's start as a number */
    uint32_t count;    /* of its records; 0: the last invocation of a window, which has none */
    uint32_t rest;     /* of those behind them, which were of the same batch before it was split */
    uint32_t attempts; /* that have failed */
    bool is_begun;     /* one more has begun: of what a process left that is gone, it has failed, too */
    bool is_unhandled; /* the last failure was no answer at all */
    bool is_reported;  /* or that its first record was reported */
    bool is_over;      /* it was given up: in that lane nothing from its first record to its last is tried any more. Of
                          what is above only `first` is said */
    uint32_t lane;     /* is_over */
    lsi_point last;    /* is_over: behind its last record */
} lsi_trial;

typedef struct lsi_trials {
    uint32_t count;
    lsi_trial at[LSI_TRIALS_MAX];
} lsi_trials;

static inline void lsi_trials_remove(lsi_trials *of, uint32_t index)
{
    of->at[index] = of->at[--of->count];
}

/* Its records are finished, or some of them; all, when it was given up. */
static inline bool lsi_trial_is_passed(const lsi_trial *trial, lsi_point position)
{
    if (trial->is_over)
        return lsi_point_compare(trial->last, position) <= 0;
    return trial->count > 0 ? lsi_point_compare(trial->first, position) <= 0 : position.seqno == LS_SEQNO_END;
}

/* Those go that are passed. */
static inline void lsi_trials_pass(lsi_trials *of, lsi_point position)
{
    for (uint32_t i = of->count; i-- > 0;)
        if (lsi_trial_is_passed(&of->at[i], position))
            lsi_trials_remove(of, i);
}

/* How much would be forgotten with it. */
static inline uint64_t lsi_trial_weight(const lsi_trial *trial)
{
    return trial->is_over ? UINT64_MAX : (uint64_t)trial->attempts + trial->is_begun;
}

static inline bool lsi_trial_is_same(const lsi_trial *a, const lsi_trial *b)
{
    bool is_final = a->count == 0 && !a->is_over, other_is_final = b->count == 0 && !b->is_over;

    return is_final == other_is_final && lsi_point_compare(a->first, b->first) == 0;
}

/* Instead of what is known of the same batch, or besides; when there are as many as there may be, instead of that of
 * which the least is known, of equals the one that was there first. */
static inline void lsi_trials_add(lsi_trials *to, const lsi_trial *trial)
{
    uint32_t i = 0, least = 0;

    for (; i < to->count && !lsi_trial_is_same(&to->at[i], trial); i++)
        if (lsi_trial_weight(&to->at[i]) < lsi_trial_weight(&to->at[least]))
            least = i;
    if (i == LSI_TRIALS_MAX)
        i = least;
    to->at[i] = *trial;
    to->count += i == to->count;
}

#endif
