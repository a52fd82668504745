/* What is left of a call's patience, and the locks that are waited for out of it. The time is the kernel's monotonic
 * one, which is what lsi_lock_take() waits by. */
#include "base/patience.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#define ASK_US INT64_C(20000) /* Ctrl+C is to be noticed before a person wonders whether it was. */

_Thread_local lsi_patience lsi_patience_now = {.left_us = LSI_PATIENCE_UNBOUNDED};

void lsi_patience_begin_own(uint32_t ms, int (*wait)(void *user), void *user)
{
    lsi_patience_now.left_us = (int64_t)ms * 1000;
    lsi_patience_now.wait = wait;
    lsi_patience_now.wait_user = user;
}

int64_t lsi_patience_us(uint32_t limit_ms)
{
    int64_t limit_us = (int64_t)limit_ms * 1000;

    return limit_us < lsi_patience_now.left_us ? limit_us : lsi_patience_now.left_us;
}

static void ask(lsi_patience *of, int64_t us)
{
    of->unasked_us += us;
    if (of->unasked_us < ASK_US)
        return;
    of->unasked_us = 0;
    if (of->wait(of->wait_user) != 0)
        of->left_us = LSI_PATIENCE_STOPPED;
}

void lsi_patience_spend(int64_t us)
{
    lsi_patience *of = &lsi_patience_now;

    if (us <= 0 || of->left_us == LSI_PATIENCE_UNBOUNDED || of->left_us == LSI_PATIENCE_STOPPED)
        return;
    of->left_us = us < of->left_us ? of->left_us - us : 0;
    if (of->wait != NULL)
        ask(of, us);
}

int64_t lsi_patience_keep_back(int64_t us)
{
    int64_t left_us = lsi_patience_now.left_us;

    if (left_us <= us) /* or was told to wait no longer */
        return 0;
    lsi_patience_now.left_us = lsi_patience_now.part_us = us;
    return left_us == LSI_PATIENCE_UNBOUNDED ? left_us : left_us - us;
}

bool lsi_patience_give_back(int64_t kept_us)
{
    int64_t left_us = lsi_patience_now.left_us;

    lsi_patience_now.part_us = 0;
    if (left_us == LSI_PATIENCE_STOPPED)
        return false;
    lsi_patience_now.left_us = kept_us == LSI_PATIENCE_UNBOUNDED ? kept_us : left_us + kept_us;
    return left_us == 0 && kept_us > 0 && kept_us != LSI_PATIENCE_UNBOUNDED;
}

const char *lsi_patience_waited(uint32_t limit_ms)
{
    static _Thread_local char said[sizeof "its 4294967295 ms"];

    if (lsi_patience_now.left_us == LSI_PATIENCE_STOPPED)
        return "until it was told to wait no longer";
    if (lsi_patience_now.part_us != 0)
        (void)snprintf(said, sizeof said, "%" PRIu32 " ms", (uint32_t)(lsi_patience_now.part_us / 1000));
    else
        (void)snprintf(said, sizeof said, "its %" PRIu32 " ms", limit_ms);
    return said;
}

lsi_lock_result lsi_patience_wait(lsi_lock *lock, int rank, uint32_t limit_ms)
{
    int64_t left_us = lsi_patience_us(limit_ms);
    lsi_lock_result result = LSI_LOCK_BUSY;

    while (result == LSI_LOCK_BUSY && left_us > 0) {
        int64_t from_us = lsi_monotonic_us(&lsi_clock_system), took_us;
        int64_t us = lsi_patience_now.wait != NULL && left_us > ASK_US ? ASK_US : left_us;

        result = lsi_lock_take(lock, rank, (uint32_t)((us + 999) / 1000));
        took_us = lsi_monotonic_us(&lsi_clock_system) - from_us;
        lsi_patience_spend(took_us);
        left_us = lsi_patience_us(limit_ms) > 0 ? left_us - took_us : 0;
    }
    return result;
}
