/* Trouble on purpose, for the tests of programs that put (`fault_` options of store.h). It strikes where the limits of
 * a provisioned stream do: after a record has its shard and before anything is written, so what is told to have failed
 * was not stored.
 *
 * Fate is drawn per call, and per shard of a batch, from a generator of the producer's own: the seed, and how many
 * producers the store had before. So a program that opens its producers in one order meets the same trouble each run,
 * whatever its threads do. The generator is splitmix64: a counter through a mixing function. */
#include "produce/producer.h"

#include "base/status.h"

#define RETRY_AFTER_MS 10u

static uint64_t draw(lsi_producer *producer, uint64_t below)
{
    uint64_t z = producer->fate += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below; /* `below` is small: no number is favoured that one could notice */
}

void lsi_fate_begin(lsi_producer *producer)
{
    lsi_engine *engine = producer->stream->engine;
    /* Relaxed: the number is all there is to it. */
    uint64_t number = atomic_fetch_add_explicit(&engine->faults_producers, 1, memory_order_relaxed);

    producer->fate = engine->faults.seed + number * UINT64_C(0xd1342543de82ef95);
}

void lsi_fate_delay(const lsi_producer *producer)
{
    _Atomic uint32_t nobody = 0; /* to sleep on: only the time ends it */
    uint32_t latency_ms = producer->stream->engine->faults.latency_ms;

    if (latency_ms != 0)
        (void)lsi_word_sleep(&nobody, 0, (int64_t)latency_ms * 1000);
}

uint32_t lsi_fate_of(lsi_producer *producer, uint32_t shard, uint32_t count, bool is_divisible, ls_status *st)
{
    const lsi_faults *faults = &producer->stream->engine->faults;
    uint64_t fate = draw(producer, 1000);
    uint32_t kept = 0;
    bool is_throttled = fate < faults->throttled_per_1000;

    *st = LS_OK;
    if (fate >= faults->throttled_per_1000 + faults->failed_per_1000) {
        if (fate >= faults->throttled_per_1000 + faults->failed_per_1000 + faults->partial_per_1000 || count < 2 ||
            !is_divisible)
            return count;
        kept = 1 + (uint32_t)draw(producer, count - 1);
        is_throttled = draw(producer, 2) == 0;
    }
    *st = is_throttled ? lsi_fail_throttled(RETRY_AFTER_MS,
                                            "stream '%s' shard %u: throttled on purpose: come again in %u ms",
                                            producer->name, shard, RETRY_AFTER_MS)
                       : lsi_fail(LS_ERR_BUSY, "stream '%s' shard %u: failed on purpose", producer->name, shard);
    return kept;
}
