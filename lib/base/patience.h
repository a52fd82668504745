/* How long the call that a thread is in may still wait for others, in all.
 *
 * busy_timeout_ms bounds a call and not each of its waits: one that meets a lock in every shard of a wide stream, each
 * held by a stopped process, would wait for one after another. So the door of the library notes here how long its call
 * may wait, and every wait below takes its time from that. Only waiting counts: a slow disk uses up nobody's patience.
 * When none is left a lock is tried and not waited for.
 *
 * Who opened the store may be asked meanwhile whether to wait on. Since all waiting is accounted for here, he is asked
 * here; when he says no, none is left.
 *
 * Kept per thread, as the last error is, since the alternative is an argument of every function between the door and
 * the locks. A thread that never came through the door (a test of an inner room) waits its time at each lock. */
#ifndef LSI_BASE_PATIENCE_H
#define LSI_BASE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/lock.h"

#define LSI_PATIENCE_UNBOUNDED INT64_MAX
#define LSI_PATIENCE_STOPPED INT64_C(-1) /* who was asked said no */

/* This call's; for the functions below alone. */
typedef struct lsi_patience {
    int64_t left_us;
    int (*wait)(void *user); /* asked as in env.h */
    void *wait_user;
    int64_t unasked_us; /* waited since */
    int64_t part_us;    /* not 0: all but so much is kept back */
} lsi_patience;
extern _Thread_local lsi_patience lsi_patience_now;

/* A call begins. */
static inline void lsi_patience_begin(const lsi_env *env)
{
    lsi_patience_now.left_us = (int64_t)env->busy_timeout_ms * 1000;
    lsi_patience_now.wait = env->wait;
    lsi_patience_now.wait_user = env->wait_user;
}

/* A thread of the library's begins with something that is nobody's call; `wait` may be NULL. */
void lsi_patience_begin_own(uint32_t ms, int (*wait)(void *user), void *user);

/* How long a wait may take that is allowed `limit_ms` when it is the only one. */
int64_t lsi_patience_us(uint32_t limit_ms);
/* So long it took. Waits that are longer than 20 ms are made of pieces: he is asked here. */
void lsi_patience_spend(int64_t us);
/* Where a wait holds up others, or is nobody's business: until it is given back, the call waits for `us` at most.
 * Returns what is kept back. */
int64_t lsi_patience_keep_back(int64_t us);
/* True: that was used up, and the call may still wait for what was kept back. */
bool lsi_patience_give_back(int64_t kept_us);

/* For a message: "its 5000 ms", or the part of them that it was left, or that it was told to wait no longer. Until this
 * thread's next call of it. */
const char *lsi_patience_waited(uint32_t limit_ms);

/* For a lock that was just tried and is busy. */
lsi_lock_result lsi_patience_wait(lsi_lock *lock, int rank, uint32_t limit_ms);
/* lsi_lock_take() out of the call's patience. A lock that is free costs no look at either. */
static inline lsi_lock_result lsi_patience_lock(lsi_lock *lock, int rank, uint32_t limit_ms)
{
    lsi_lock_result result = lsi_lock_try(lock, rank);

    return result != LSI_LOCK_BUSY ? result : lsi_patience_wait(lock, rank, limit_ms);
}

#endif
