/* Waiting when a provisioned stream is over a limit: as long as the library says, and twice as long each time that was
 * of no use, since others may have been let in before. */
#include "cli/cli.h"

#include <time.h>

#define DOUBLINGS_MAX 5u
#define WAIT_MS_MAX 5000u

int64_t lsi_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint32_t lsi_wait_for_turn(uint32_t tries)
{
    uint64_t ms = ls_last_error_status() == LS_ERR_THROTTLED ? ls_last_error_retry_after_ms() : 0;
    struct timespec pause;

    ms = (ms != 0 ? ms : 1) << (tries < DOUBLINGS_MAX ? tries : DOUBLINGS_MAX);
    if (ms > WAIT_MS_MAX)
        ms = WAIT_MS_MAX;
    pause = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL); /* A signal ends it, and then the caller looks again. */
    return (uint32_t)ms;
}
