/* The wall clock for one stamp after another: to a microsecond what the system's clock says, for a third of its cost.
 *
 * A put of one small record takes a twentieth of a microsecond, and asking the system for the time takes half of that:
 * it waits until all before it is done. So the system is asked ten thousand times a second at most, and between two
 * looks the time is what the processor's counter says has passed since. What makes that safe:
 *
 *  T1  Only the system's own clock is gone on from: a clock that a user or a test set is asked each time.
 *  T2  A look is good for 100 us. So a clock that is set is followed after that long, and a clock that is slewed (by
 *      at most 500 parts in a million) is off by a twentieth of a microsecond; a counter that jumps ends it at once.
 *  T3  How fast the counter counts is measured again and again, over a millisecond or more; it is believed once two
 *      such measures in a row agree, and no longer when one does not: so never across a clock that was set, nor of a
 *      counter whose pace changes.
 *  T4  Only a counter is used that the processor calls invariant, and only while the system's clock answers as fast as
 *      it does without a system call, in which case that counter is what it reads itself.
 *
 * One per thread that stamps, or under its lock. Zeroed, it is ready. */
#ifndef LSI_BASE_STAMP_H
#define LSI_BASE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Times in here are in units of 1/4096 us. */
#define LSI_STAMP_SHIFT 12
#define LSI_STAMP_PACE_SHIFT 20

typedef struct lsi_stamps {
    uint64_t ticks;      /* the counter at the last look */
    uint64_t at;         /* the time then */
    uint64_t good_ticks; /* T2: for so many more; 0: the clock is asked */
    uint64_t pace;       /* units per tick, times 2^20; 0: not known yet */
    uint64_t from_ticks, from_at; /* since when it is being measured; 0: since the next look */
    bool is_believed;    /* T3 */
    uint8_t counter;     /* T4: 0: nobody looked yet, 1: it is used, 2: not */
} lsi_stamps;

/* Not inline: asks the clock. */
int64_t lsi_stamps_look(lsi_stamps *stamps, const lsi_clock *clock);

/* lsi_wall_us() of a clock that is the same each time, to a microsecond. */
static inline int64_t lsi_stamp_us(lsi_stamps *stamps, const lsi_clock *clock)
{
#ifdef __x86_64__
    if (stamps->good_ticks != 0) {
        uint64_t passed = __builtin_ia32_rdtsc() - stamps->ticks;

        if (passed < stamps->good_ticks)
            return (int64_t)((stamps->at + (passed * stamps->pace >> LSI_STAMP_PACE_SHIFT)) >> LSI_STAMP_SHIFT);
    }
#endif
    return lsi_stamps_look(stamps, clock);
}

/* For lsi_stamps_look and tests: at `ticks` it was `at`. */
void lsi_stamps_note(lsi_stamps *stamps, uint64_t ticks, uint64_t at);

#endif
