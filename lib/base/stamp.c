/* When the system's clock is asked for stamps, and what is made of its answers. */
#include "base/stamp.h"

#include <time.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#define UNITS_PER_US (UINT64_C(1) << LSI_STAMP_SHIFT)
#define GOOD_UNITS (100 * UNITS_PER_US)            /* T2 */
#define MEASURE_UNITS_MIN (1000 * UNITS_PER_US)    /* T3: a look is sure to some 20 ns, which are 2 of 100,000 of it */
#define MEASURE_UNITS_MAX (1000000 * UNITS_PER_US) /* so no product in here passes 64 bits */
#define PACE_MIN (UINT64_C(1) << 16)               /* 65 GHz */
#define PACE_MAX (UINT64_C(1) << 30)               /* 4 MHz */
#define LOOK_TICKS_MAX 1000                        /* T4: without a system call, and uninterrupted, it takes 100 */

/* To one part in 4096. */
static bool paces_agree(uint64_t one, uint64_t other)
{
    return (one > other ? one - other : other - one) <= one >> 12;
}

void lsi_stamps_note(lsi_stamps *stamps, uint64_t ticks, uint64_t at)
{
    uint64_t units = at - stamps->from_at, passed = ticks - stamps->from_ticks;

    stamps->ticks = ticks;
    stamps->at = at;
    if (stamps->from_ticks == 0 || units > MEASURE_UNITS_MAX || passed == 0) { /* Also of a clock that went back. */
        stamps->from_ticks = ticks;
        stamps->from_at = at;
    } else if (units >= MEASURE_UNITS_MIN) {
        uint64_t pace = (units << LSI_STAMP_PACE_SHIFT) / passed;

        stamps->is_believed = pace >= PACE_MIN && pace <= PACE_MAX && paces_agree(pace, stamps->pace);
        stamps->pace = pace;
        stamps->from_ticks = ticks;
        stamps->from_at = at;
    }
    stamps->good_ticks = stamps->is_believed ? (GOOD_UNITS << LSI_STAMP_PACE_SHIFT) / stamps->pace : 0;
}

#ifdef __x86_64__

static bool has_counter(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0; /* "invariant TSC" */
}

int64_t lsi_stamps_look(lsi_stamps *stamps, const lsi_clock *clock)
{
    struct timespec now = {0, 0};

    if (clock->wall_us != lsi_clock_system.wall_us) { /* T1 */
        stamps->good_ticks = 0;
        return lsi_wall_us(clock);
    }
    if (stamps->counter == 0)
        stamps->counter = has_counter() ? 1 : 2;
    if (stamps->counter == 2)
        return lsi_wall_us(clock);

    uint64_t before = __builtin_ia32_rdtsc();
    (void)clock_gettime(CLOCK_REALTIME, &now); /* It exists on every Linux: it cannot fail. */
    uint64_t took = __builtin_ia32_rdtsc() - before;
    uint64_t at = (uint64_t)now.tv_sec * 1000000 * UNITS_PER_US + (uint64_t)now.tv_nsec * UNITS_PER_US / 1000;
    if (took <= LOOK_TICKS_MAX && now.tv_sec >= 0)
        lsi_stamps_note(stamps, before + took / 2, at);
    else
        stamps->good_ticks = 0; /* Nobody knows when in between it was. */
    return (int64_t)now.tv_sec * 1000000 + (int64_t)(now.tv_nsec / 1000);
}

#else

int64_t lsi_stamps_look(lsi_stamps *stamps, const lsi_clock *clock)
{
    stamps->good_ticks = 0;
    return lsi_wall_us(clock);
}

#endif
