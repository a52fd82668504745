/* How long the call that a thread is in may still wait for others, in all.
 *
 * busy_timeout_ms bounds a call and not each of its waits: one that meets a lock in every shard of a wide stream, each
 * held by a stopped process, would wait for one after another. So the door of the library notes here how long its call
 * may wait, and every wait below takes its time from that. Only waiting counts: a slow disk uses up nobody's patience.
 * When none is left a lock is tried and not waited for.
 *
 * Kept per thread, as the last error is, since the alternative is an argument of every function between the door and
 * the locks. A thread that never came through the door (a test of an inner room) waits its time at each lock. */
#ifndef LSI_BASE_PATIENCE_H
#define LSI_BASE_PATIENCE_H

#include <stdint.h>

#include "base/lock.h"

#define LSI_PATIENCE_UNBOUNDED INT64_MAX

extern _Thread_local int64_t lsi_patience_left_us; /* this call's; for the functions below alone */

/* A call begins. */
static inline void lsi_patience_begin(uint32_t ms)
{
    lsi_patience_left_us = (int64_t)ms * 1000;
}

/* How long a wait may take that is allowed `limit_ms` when it is the only one. */
int64_t lsi_patience_us(uint32_t limit_ms);
/* So long it took. */
void lsi_patience_spend(int64_t us);

/* For a lock that was just tried and is busy. */
lsi_lock_result lsi_patience_wait(lsi_lock *lock, int rank, uint32_t limit_ms);
/* lsi_lock_take() out of the call's patience. A lock that is free costs no look at either. */
static inline lsi_lock_result lsi_patience_lock(lsi_lock *lock, int rank, uint32_t limit_ms)
{
    lsi_lock_result result = lsi_lock_try(lock, rank);

    return result != LSI_LOCK_BUSY ? result : lsi_patience_wait(lock, rank, limit_ms);
}

#endif
