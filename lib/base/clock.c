/* The system's two clocks. Wall time for stamps that people read, monotonic time for every wait and measurement: only
 * the latter may be subtracted, as the former jumps when somebody sets it. Both go through the vDSO and cost no system
 * call. CLOCK_MONOTONIC is one clock for all processes of a boot, so deadlines can be compared in shared memory. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t now_us(clockid_t which)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(which, &now); /* These two exist on every Linux: it cannot fail. */
    return (int64_t)now.tv_sec * 1000000 + (int64_t)(now.tv_nsec / 1000);
}

static int64_t system_wall_us(void *user)
{
    (void)user; /* The system's clock has no state of ours. */
    return now_us(CLOCK_REALTIME);
}

static int64_t system_monotonic_us(void *user)
{
    (void)user;
    return now_us(CLOCK_MONOTONIC);
}

const lsi_clock lsi_clock_system = {system_wall_us, system_monotonic_us, NULL, NULL};
