/* Wall time that is not believed at once when it jumps ahead (E8), in memory that processes share.
 *
 * Wall time less passing time, the *lead*, is constant but for somebody setting the clock. What is kept is the least
 * lead that was seen in the present period and in the one before. A jump ahead raises what is seen, not the least: it
 * is believed when a whole period and no look in it knew better. A jump back is believed at once, since all that hangs
 * on this time is what may be thrown away. Without a jump the time is the wall clock's, exactly.
 *
 * Zeroed memory has seen nothing. Any bytes will do, as it lies in a file that may be damaged: the time is never ahead
 * of the wall clock. No locks, and a look that dies half-way leaves a lead that is too low, never one too high. */
#ifndef LSI_BASE_CLOCK_GUARD_H
#define LSI_BASE_CLOCK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

typedef struct lsi_clock_guard {
    _Atomic int64_t began_us; /* passing time at which the present period began, plus 1; 0: nothing was seen yet */
    _Atomic int64_t least_us; /* the least lead seen in it, plus 1; 0: none yet */
    _Atomic int64_t least_before_us; /* the same of the period before */
} lsi_clock_guard;

/* Looks at the clocks. A period ends with the first look after `period_us`. */
void lsi_clock_guard_look(lsi_clock_guard *guard, const lsi_clock *clock, int64_t period_us);

/* The time, `wall_us` being what the wall clock says. Before anything was seen: that. */
int64_t lsi_clock_guard_time(const lsi_clock_guard *guard, const lsi_clock *clock, int64_t wall_us);

/* Whether a whole period has been seen, so that a jump ahead would have been noticed. */
bool lsi_clock_guard_is_proven(const lsi_clock_guard *guard);

#endif
