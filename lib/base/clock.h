/* Time, through a table that a test can replace. */
#ifndef LSI_BASE_CLOCK_H
#define LSI_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef struct lsi_clock {
    int64_t (*wall_us)(void *user);      /* since the epoch; may jump */
    int64_t (*monotonic_us)(void *user); /* never goes back; shared by all processes of one boot */
    void *user;
    /* By what a doubtful wall time is judged (clock_guard.h). NULL: monotonic_us. A clock that a user sets is believed
     * as it is: here it is the wall clock itself, and a jump is time that passed. */
    int64_t (*passing_us)(void *user);
} lsi_clock;

extern const lsi_clock lsi_clock_system;

static inline int64_t lsi_wall_us(const lsi_clock *clock) { return clock->wall_us(clock->user); }
static inline int64_t lsi_monotonic_us(const lsi_clock *clock) { return clock->monotonic_us(clock->user); }
static inline int64_t lsi_passing_us(const lsi_clock *clock)
{
    return clock->passing_us != NULL ? clock->passing_us(clock->user) : lsi_monotonic_us(clock);
}

#endif
