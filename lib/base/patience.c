/* What is left of a call's patience, and the locks that are waited for out of it. The time is the kernel's monotonic
 * one, which is what lsi_lock_take() waits by. */
#include "base/patience.h"

#include "base/clock.h"

_Thread_local int64_t lsi_patience_left_us = LSI_PATIENCE_UNBOUNDED;

int64_t lsi_patience_us(uint32_t limit_ms)
{
    int64_t limit_us = (int64_t)limit_ms * 1000;

    return limit_us < lsi_patience_left_us ? limit_us : lsi_patience_left_us;
}

void lsi_patience_spend(int64_t us)
{
    if (lsi_patience_left_us != LSI_PATIENCE_UNBOUNDED && us > 0)
        lsi_patience_left_us = us < lsi_patience_left_us ? lsi_patience_left_us - us : 0;
}

lsi_lock_result lsi_patience_wait(lsi_lock *lock, int rank, uint32_t limit_ms)
{
    int64_t left_us = lsi_patience_us(limit_ms), from_us;
    lsi_lock_result result;

    if (left_us <= 0)
        return LSI_LOCK_BUSY;
    from_us = lsi_monotonic_us(&lsi_clock_system);
    result = lsi_lock_take(lock, rank, (uint32_t)((left_us + 999) / 1000));
    lsi_patience_spend(lsi_monotonic_us(&lsi_clock_system) - from_us);
    return result;
}
