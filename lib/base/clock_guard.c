/* See clock_guard.h.
 *
 * Who ends a period is elected by a swap of `began_us`. He moves the least lead to where the one before is kept in
 * three steps, so that a death between any two of them loses nothing that was seen: first the lower of both is put
 * there, then the present one is exchanged for what is seen now, then what was exchanged takes its place. */
#include "base/clock_guard.h"

/* A clock may run ahead of the monotonic one by so much without having jumped: it is being slewed. */
#define SLACK_US INT64_C(1000000)

/* a - b, at the ends of the range where it would pass them: the words may hold anything. */
static int64_t less(int64_t a, int64_t b)
{
    int64_t difference;

    if (!__builtin_sub_overflow(a, b, &difference))
        return difference;
    return b < 0 ? INT64_MAX : INT64_MIN;
}

static int64_t more(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

/* A lead as it is kept; 0 is kept for none. */
static int64_t kept(int64_t lead)
{
    int64_t word = more(lead, 1);

    return word != 0 ? word : 1;
}

/* Release and acquire: who sees that a period began sees what was kept of those before. */
static void lower(_Atomic int64_t *least, int64_t word)
{
    int64_t seen = atomic_load_explicit(least, memory_order_acquire);

    while ((seen == 0 || word < seen) &&
           !atomic_compare_exchange_weak_explicit(least, &seen, word, memory_order_acq_rel, memory_order_acquire))
        continue;
}

void lsi_clock_guard_look(lsi_clock_guard *guard, const lsi_clock *clock, int64_t period_us)
{
    int64_t passing = lsi_passing_us(clock);
    int64_t word = kept(less(lsi_wall_us(clock), passing));
    int64_t began = atomic_load_explicit(&guard->began_us, memory_order_acquire);
    int64_t lasted = less(more(passing, 1), began);

    if (began != 0 && lasted >= 0 && lasted < period_us) {
        lower(&guard->least_us, word);
        return;
    }
    if (!atomic_compare_exchange_strong_explicit(&guard->began_us, &began, kept(passing), memory_order_acq_rel,
                                                 memory_order_acquire)) {
        lower(&guard->least_us, word); /* Somebody else ended it; what we saw belongs to either. */
        return;
    }
    if (began == 0 || lasted < 0) { /* The first look, or time began anew: no period has passed. */
        lower(&guard->least_us, word);
        return;
    }
    int64_t least = atomic_load_explicit(&guard->least_us, memory_order_acquire);
    if (least != 0)
        lower(&guard->least_before_us, least);
    least = atomic_exchange_explicit(&guard->least_us, word, memory_order_acq_rel);
    if (least != 0)
        atomic_store_explicit(&guard->least_before_us, least, memory_order_release);
}

int64_t lsi_clock_guard_time(const lsi_clock_guard *guard, const lsi_clock *clock, int64_t wall_us)
{
    int64_t least = atomic_load_explicit(&guard->least_us, memory_order_acquire);
    int64_t before = atomic_load_explicit(&guard->least_before_us, memory_order_acquire);
    int64_t time;

    if (before != 0 && (least == 0 || before < least))
        least = before;
    if (least == 0)
        return wall_us;
    time = more(more(lsi_passing_us(clock), less(least, 1)), SLACK_US);
    return time < wall_us ? time : wall_us;
}

bool lsi_clock_guard_is_proven(const lsi_clock_guard *guard)
{
    return atomic_load_explicit(&guard->least_us, memory_order_acquire) != 0 &&
           atomic_load_explicit(&guard->least_before_us, memory_order_acquire) != 0;
}
