/* The limits of a provisioned shard as token buckets, in words that processes share.
 *
 * A bucket is one word: the monotonic time, in nanoseconds, at which it will be full again; in the past, it is full. To
 * take is to move that time on by what was taken, in one swap, so a process that is killed leaves a bucket as it was
 * before or after, and there is no lock. A bucket holds one second of its rate, that of large records ten.
 *
 * The words lie in a file that may hold anything (P10). A time further ahead than any take could have brought it is no
 * debt but garbage, and the bucket counts as full.
 *
 *   T1  What is taken over any time t is at most depth + rate * t, to a nanosecond per take, and one take beyond: what
 *       is larger than the bucket is let through when that is full, and paid for afterwards. So no record waits for
 *       ever.
 *   T2  A take that is refused has taken nothing.
 *   T3  Whatever the words hold, nobody waits longer than two hours. */
#include "stream/stream.h"

#include <inttypes.h>

#include "base/status.h"

#define SECOND_NS UINT64_C(1000000000)
#define BURST_SECONDS 10u /* Kinesis: large records ride on a bucket of about 10 MiB, refilled at the base rate */
#define DEBT_NS_MAX (UINT64_C(3600) * SECOND_NS)

/* ---- the figures ---- */

lsi_rates lsi_rates_resolve(lsi_rates rates)
{
    const lsi_rates usual = LSI_RATES_DEFAULT;

    return (lsi_rates){
        .write_bytes = rates.write_bytes != 0 ? rates.write_bytes : usual.write_bytes,
        .write_records = rates.write_records != 0 ? rates.write_records : usual.write_records,
        .read_bytes = rates.read_bytes != 0 ? rates.read_bytes : usual.read_bytes,
        .read_calls = rates.read_calls != 0 ? rates.read_calls : usual.read_calls,
    };
}

bool lsi_rates_are_valid(lsi_rates rates)
{
    return (rates.write_bytes == 0 || rates.write_bytes >= LSI_RATE_BYTES_MIN) &&
        (rates.read_bytes == 0 || rates.read_bytes >= LSI_RATE_BYTES_MIN);
}

/* ---- one bucket ---- */

static uint64_t cost_ns(uint64_t units, uint32_t per_second)
{
    uint64_t ns;

    if (units > UINT64_MAX / SECOND_NS)
        units = UINT64_MAX / SECOND_NS; /* 17 GiB: no batch is that large */
    ns = units * SECOND_NS / per_second; /* downwards: three thirds of a second are no more than one */
    return ns < DEBT_NS_MAX ? ns : DEBT_NS_MAX; /* T3 */
}

/* When it is full again, not before `now`. */
static uint64_t full_at(uint64_t word, uint64_t now)
{
    return word < now || word - now > 2 * DEBT_NS_MAX ? now : word;
}

/* 0: taken. Else after how long it may be had. Relaxed: the word says nothing of any other memory. */
static uint64_t take(lsi_budget_word *bucket, uint64_t cost, uint64_t depth, uint64_t now)
{
    uint64_t word = atomic_load_explicit(bucket, memory_order_relaxed);
    uint64_t full;

    do {
        uint64_t owed;

        full = full_at(word, now);
        owed = full - now;
        if (owed != 0 && cost >= depth)
            return owed; /* T1 */
        if (owed != 0 && owed > depth - cost)
            return owed - (depth - cost);
    } while (!atomic_compare_exchange_weak_explicit(bucket, &word, full + cost, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}

static void give_back(lsi_budget_word *bucket, uint64_t cost)
{
    atomic_fetch_sub_explicit(bucket, cost, memory_order_relaxed); /* What others took meanwhile stays taken. */
}

static bool refuse(lsi_refusal *why, const char *limit, uint32_t per_second, uint64_t wait_ns)
{
    *why = (lsi_refusal){.limit = limit, .per_second = per_second, .wait_us = (int64_t)((wait_ns + 999) / 1000)};
    return false;
}

/* ---- the limits ---- */

bool lsi_rates_admit_write(const lsi_rates *rates, lsi_budget_word *budget, uint32_t records, uint64_t bytes,
                           int64_t now_us, lsi_refusal *why)
{
    uint64_t now = (uint64_t)now_us * 1000;
    uint64_t records_cost = cost_ns(records, rates->write_records);
    bool is_large = bytes > rates->write_bytes;
    uint64_t wait = take(&budget[LSI_BUDGET_WRITE_RECORDS], records_cost, SECOND_NS, now);

    if (wait != 0)
        return refuse(why, "records/s in", rates->write_records, wait);
    wait = take(&budget[is_large ? LSI_BUDGET_WRITE_LARGE : LSI_BUDGET_WRITE_BYTES], cost_ns(bytes, rates->write_bytes),
                is_large ? BURST_SECONDS * SECOND_NS : SECOND_NS, now);
    if (wait == 0)
        return true;
    give_back(&budget[LSI_BUDGET_WRITE_RECORDS], records_cost); /* T2 */
    return refuse(why, is_large ? "bytes/s in for large records" : "bytes/s in", rates->write_bytes, wait);
}

bool lsi_rates_admit_push(const lsi_rates *rates, lsi_budget_word *budget, int64_t now_us, lsi_refusal *why)
{
    uint64_t now = (uint64_t)now_us * 1000;
    /* Something must be left; how much the answer will take is not known before it is there. */
    uint64_t owed = full_at(atomic_load_explicit(&budget[LSI_BUDGET_READ_BYTES], memory_order_relaxed), now) - now;

    return owed < SECOND_NS || refuse(why, "bytes/s out", rates->read_bytes, owed - SECOND_NS + 1);
}

bool lsi_rates_admit_read(const lsi_rates *rates, lsi_budget_word *budget, int64_t now_us, lsi_refusal *why)
{
    uint64_t wait;

    if (!lsi_rates_admit_push(rates, budget, now_us, why))
        return false;
    wait = take(&budget[LSI_BUDGET_READ_CALLS], cost_ns(1, rates->read_calls), SECOND_NS, (uint64_t)now_us * 1000);
    return wait == 0 ? true : refuse(why, "reads/s", rates->read_calls, wait);
}

bool lsi_rates_admit_subscribe(lsi_budget_word *budget, int64_t now_us, lsi_refusal *why)
{
    uint64_t wait = take(&budget[LSI_BUDGET_SUBSCRIBES], SECOND_NS, SECOND_NS, (uint64_t)now_us * 1000);

    return wait == 0 ? true : refuse(why, "subscriptions/s of a consumer", 1, wait);
}

void lsi_rates_charge_read(const lsi_rates *rates, lsi_budget_word *budget, uint64_t bytes, int64_t now_us)
{
    uint64_t now = (uint64_t)now_us * 1000;
    uint64_t cost = cost_ns(bytes, rates->read_bytes);
    /* Kinesis's rule for large answers: 10 MiB at 2 MiB/s end all reading for 5 s, whatever was saved before. */
    uint64_t least = bytes >= rates->read_bytes ? now + SECOND_NS - 1 : now;
    uint64_t word = atomic_load_explicit(&budget[LSI_BUDGET_READ_BYTES], memory_order_relaxed);
    uint64_t full;

    do {
        full = full_at(word, now);
        full = (full < least ? least : full) + cost;
        if (full - now > DEBT_NS_MAX + SECOND_NS)
            full = now + DEBT_NS_MAX + SECOND_NS; /* T3 */
    } while (!atomic_compare_exchange_weak_explicit(&budget[LSI_BUDGET_READ_BYTES], &word, full, memory_order_relaxed,
                                                    memory_order_relaxed));
}

ls_status lsi_rates_refuse(const lsi_refusal *why, const char *stream, uint32_t shard)
{
    uint32_t wait_ms = (uint32_t)((why->wait_us + 999) / 1000);

    return lsi_fail_throttled(wait_ms, "stream '%s' shard %" PRIu32 ": its limit of %" PRIu32
                              " %s is reached: come again in %" PRIu32 " ms", stream, shard, why->per_second,
                              why->limit, wait_ms);
}
