/* Which shard of an on-demand stream is split and which two are merged, by what each was written lately.
 *
 * A shard's load is what was written into it between two looks, as a share of what a provisioned shard takes: of its
 * bytes or of its records, whichever is more. A shard is hot when every look of `hot_seconds` found it above
 * `hot_percent`, two neighbours are cold when every look of `cold_seconds` found both together below `cold_percent`.
 * Looks are a sixth of the shorter of these times apart: a burst between two looks is averaged, and one that is over
 * makes nobody hot.
 *
 *   A1  Whatever is remembered (P10: it lies in a file that may hold anything), what is chosen is legal: one step, of
 *       shards that are there, within the bounds of `shards_min` and `shards_max`.
 *   A2  Nothing is chosen before it was seen by two looks, the whole time apart, since the shard is there. A child
 *       begins with nothing remembered, so a split is not undone before `cold_seconds` of cold.
 *   A3  What is split was above hot_percent and what is merged is below cold_percent, which is lower: unless the load
 *       changes, neither undoes the other.
 *   A4  Heat needs looks: a time in which nobody looked for long makes nobody hot, however much was written in it. */
#include "stream/stream.h"

#include <inttypes.h>

#include "base/status.h"
#include "base/u128.h"

#define SECOND_US INT64_C(1000000)
#define PERCENT UINT64_C(10000)                /* of a share: a shard's limit is 1,000,000 */
#define WRITTEN_MAX (UINT64_C(1) << 40)        /* between two looks; more is as good. A share stays below 2^61 */
#define BLIND_US_LEAST (3 * SECOND_US)
#define SHARE_UNKNOWN UINT64_MAX

/* ---- the figures ---- */

static uint32_t or_default(uint32_t value, uint32_t usual)
{
    return value != 0 ? value : usual;
}

lsi_auto_scaling lsi_auto_scaling_resolve(lsi_auto_scaling of)
{
    const lsi_auto_scaling usual = LSI_AUTO_SCALING_DEFAULT;
    lsi_auto_scaling all = {
        .hot_percent = or_default(of.hot_percent, usual.hot_percent),
        .hot_seconds = or_default(of.hot_seconds, usual.hot_seconds),
        .cold_percent = or_default(of.cold_percent, usual.cold_percent),
        .cold_seconds = or_default(of.cold_seconds, usual.cold_seconds),
        .shards_min = or_default(of.shards_min, usual.shards_min),
        .shards_max = or_default(of.shards_max, usual.shards_max),
    };

    if (of.shards_max == 0 && all.shards_max < all.shards_min)
        all.shards_max = all.shards_min;
    return all;
}

bool lsi_auto_scaling_is_on(const lsi_auto_scaling *of)
{
    return of->hot_percent != 0;
}

ls_status lsi_check_auto_scaling(const lsi_auto_scaling *of)
{
    if (of->hot_percent < 2 || of->hot_percent > LSI_AUTO_PERCENT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "hot_percent is %" PRIu32 ": it is 2..%u", of->hot_percent,
                        LSI_AUTO_PERCENT_MAX);
    if (of->cold_percent == 0 || of->cold_percent >= of->hot_percent)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "cold_percent is %" PRIu32 ": it is at least 1 and below hot_percent, "
                        "which is %" PRIu32, of->cold_percent, of->hot_percent);
    if (of->hot_seconds == 0 || of->hot_seconds > LSI_AUTO_SECONDS_MAX || of->cold_seconds == 0 ||
        of->cold_seconds > LSI_AUTO_SECONDS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "hot_seconds is %" PRIu32 " and cold_seconds %" PRIu32
                        ": they are 1..%u", of->hot_seconds, of->cold_seconds, LSI_AUTO_SECONDS_MAX);
    if (of->shards_min == 0 || of->shards_min > of->shards_max || of->shards_max > LSI_SHARD_COUNT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shards_min is %" PRIu32 " and shards_max %" PRIu32
                        ": they are 1..%u, and the first is not above the second", of->shards_min, of->shards_max,
                        LSI_SHARD_COUNT_MAX);
    return LS_OK;
}

int64_t lsi_auto_scaling_pause_us(const lsi_auto_scaling *of)
{
    int64_t seconds = of->hot_seconds < of->cold_seconds ? of->hot_seconds : of->cold_seconds;

    return seconds < 6 ? SECOND_US : seconds * SECOND_US / 6;
}

/* ---- one look ---- */

static uint64_t share_of(uint64_t written, int64_t us, uint32_t per_second)
{
    if (written > WRITTEN_MAX)
        written = WRITTEN_MAX;
    return written * (uint64_t)SECOND_US / (uint64_t)us * (100 * PERCENT) / per_second;
}

/* The load since the look before, after which this look is what is remembered. `*since_us`: when that one was. */
static uint64_t measure(lsi_shard_load *load, const lsi_rates *rates, uint64_t bytes, uint64_t records, int64_t now_us,
                        int64_t *since_us)
{
    const lsi_shard_load past = *load;
    uint64_t by_bytes, by_records;

    *since_us = past.at_us;
    load->at_us = now_us;
    if (bytes != LSI_LOAD_UNTOUCHED) {
        load->bytes = bytes;
        load->records = records;
    }
    if (past.at_us <= 0 || now_us - past.at_us < SECOND_US / 2 || /* none, or of another boot */
        (bytes != LSI_LOAD_UNTOUCHED && (past.bytes > bytes || past.records > records))) {
        *load = (lsi_shard_load){.at_us = now_us, .bytes = bytes, .records = records};
        return SHARE_UNKNOWN;
    }
    if (bytes == LSI_LOAD_UNTOUCHED)
        return 0;
    by_bytes = share_of(bytes - past.bytes, now_us - past.at_us, rates->write_bytes);
    by_records = share_of(records - past.records, now_us - past.at_us, rates->write_records);
    return by_bytes > by_records ? by_bytes : by_records;
}

/* Since when something is so that is so `now`, when it was not looked at between `before_us` and now. */
static int64_t since(bool now, int64_t since_us, int64_t before_us)
{
    if (!now)
        return 0;
    return since_us <= 0 || since_us > before_us ? before_us : since_us;
}

static bool can_split(const lsi_hash_range *range, ls_hash_key *at)
{
    *at = lsi_hash_range_middle(*range);
    return lsi_u128_compare(lsi_u128_subtract(*at, range->first), (ls_hash_key){0, 1}) > 0 &&
        lsi_u128_compare(*at, range->last) < 0;
}

bool lsi_auto_scale(const lsi_auto_scaling *of, const lsi_rates *rates, lsi_load_of_shard *shards, uint32_t count,
                    int64_t now_us, lsi_auto_step *out)
{
    int64_t hot_us = of->hot_seconds * SECOND_US, cold_us = of->cold_seconds * SECOND_US;
    int64_t blind_us = hot_us / 2 > BLIND_US_LEAST ? hot_us / 2 : BLIND_US_LEAST;
    uint64_t before = SHARE_UNKNOWN, hottest = 0, coldest = SHARE_UNKNOWN;
    int64_t before_since_us = 0;
    bool is_hot = false, is_cold = false;
    lsi_auto_step cold = {0};

    for (uint32_t i = 0; i < count; i++) {
        lsi_shard_load *load = &shards[i].load;
        ls_hash_key at;
        int64_t since_us;
        uint64_t share = measure(load, rates, shards[i].bytes, shards[i].records, now_us, &since_us);

        load->hot_since_us = since(share != SHARE_UNKNOWN && share > of->hot_percent * PERCENT &&
                                   now_us - since_us <= blind_us, load->hot_since_us, since_us); /* A4 */
        if (load->hot_since_us != 0 && now_us - load->hot_since_us >= hot_us && share > hottest &&
            count < of->shards_max && can_split(&shards[i].range, &at)) {
            is_hot = true;
            hottest = share;
            *out = (lsi_auto_step){.step = {.shard = shards[i].shard, .adjacent = LSI_NO_SHARD, .at = at},
                                   .position = i, .percent = share / PERCENT, .since_us = load->hot_since_us};
        }
        if (i > 0) {
            lsi_shard_load *lower = &shards[i - 1].load;
            bool both = share != SHARE_UNKNOWN && before != SHARE_UNKNOWN &&
                share + before < of->cold_percent * PERCENT;
            int64_t from_us = since_us > before_since_us ? since_us : before_since_us; /* of the younger one */

            lower->cold_since_us = since(both, lower->cold_with == shards[i].shard ? lower->cold_since_us : 0,
                                         from_us);
            lower->cold_with = shards[i].shard;
            if (lower->cold_since_us != 0 && now_us - lower->cold_since_us >= cold_us && share + before < coldest &&
                count > of->shards_min) {
                is_cold = true;
                coldest = share + before;
                cold = (lsi_auto_step){.step = {.shard = shards[i - 1].shard, .adjacent = shards[i].shard},
                                       .position = i - 1, .percent = coldest / PERCENT,
                                       .since_us = lower->cold_since_us};
            }
        }
        before = share;
        before_since_us = since_us;
    }
    if (!is_hot && is_cold)
        *out = cold;
    return is_hot || is_cold;
}
