/* Histograms in words that others own.
 *
 * A bucket counts what fell into it alone; who takes a snapshot adds them up, so that the count is the sum of the
 * buckets whatever is added meanwhile. The sum is a word of its own, and may lag. */
#include "metrics/metrics.h"

/* OpenTelemetry's advice for messaging begins at 5 ms; a local log is faster. */
const double lsi_duration_bounds[LSI_DURATION_BOUNDS] = {
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,    0.075,    0.1,     0.25,   0.5,     0.75,   1,     2.5,    5,     7.5,  10,
};
static const uint32_t duration_bounds_us[LSI_DURATION_BOUNDS] = {
    10,    25,    50,     100,    250,    500,    1000,    2500,    5000,    10000,   25000,
    50000, 75000, 100000, 250000, 500000, 750000, 1000000, 2500000, 5000000, 7500000, 10000000,
};

const double lsi_size_bounds[LSI_SIZE_BOUNDS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};
static const uint32_t size_bounds[LSI_SIZE_BOUNDS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};

static void note(lsi_count_word *words, const uint32_t *bounds, uint32_t bound_count, uint64_t n)
{
    uint32_t at = 0;

    while (at < bound_count && n > bounds[at])
        at++;
    lsi_count(&words[at], 1);
    lsi_count(&words[bound_count + 1], n);
}

void lsi_count_duration(lsi_count_word words[LSI_DURATION_WORDS], int64_t us)
{
    note(words, duration_bounds_us, LSI_DURATION_BOUNDS, us > 0 ? (uint64_t)us : 0);
}

void lsi_count_size(lsi_count_word words[LSI_SIZE_WORDS], uint64_t n)
{
    note(words, size_bounds, LSI_SIZE_BOUNDS, n);
}
