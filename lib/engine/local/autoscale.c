/* Automatic splits and merges of an on-demand stream, by whoever does its upkeep; the rules are stream/autoscale.c's.
 *
 * How much was written stands in the shards' slots anyhow: their ends and next numbers. What they were at the last look
 * is kept in other words of the slots, so that short-lived processes go on where others left. These are hints (P10).
 *
 * The upkeep lock (rank 1) is held meanwhile, so the looks are one at a time and there is one reshard at most. That
 * takes the store lock, as any does; one that somebody has is not waited for, and a shard that somebody has hardly,
 * since a put to another one may be what brought us here. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/patience.h"
#include "base/status.h"
#include "base/u128.h"
#include "engine/local/local.h"

#define ASIDE_US INT64_C(50000) /* Those who put to a hot shard have it all in turn. */

/* The words of a shard's slot. Of a stream's slot AT alone is used: when the last look was. */
enum { AT, BYTES, RECORDS, HOT_SINCE, COLD_SINCE, COLD_WITH };

typedef struct scaling {
    lsi_local *local;
    lsi_local_stream *stream;
    const lsi_catalog_stream *about;
    lsi_load_of_shard *shards; /* the open ones, by rising keys */
    uint32_t count;
} scaling;

/* ---- the words ---- */

static uint64_t word(const lsi_slot *slot, int which)
{
    return atomic_load_explicit(&slot->load[which], memory_order_relaxed);
}

static void set_word(lsi_slot *slot, int which, uint64_t value)
{
    atomic_store_explicit(&slot->load[which], value, memory_order_relaxed);
}

/* NULL: it has none yet, or cannot be reached; then nothing of it is remembered. */
static lsi_slot *slot_of(const scaling *of, uint32_t shard)
{
    lsi_slot *slot;

    return lsi_control_slot_find(of->local->control, LSI_SLOT_SHARD, of->stream->id, shard, &slot) == LS_OK ? slot
                                                                                                          : NULL;
}

static void read_load(const scaling *of, lsi_load_of_shard *shard)
{
    const lsi_slot *slot = slot_of(of, shard->shard);

    if (slot == NULL)
        return;
    shard->load = (lsi_shard_load){.at_us = (int64_t)word(slot, AT), .bytes = word(slot, BYTES),
                             .records = word(slot, RECORDS), .hot_since_us = (int64_t)word(slot, HOT_SINCE),
                             .cold_since_us = (int64_t)word(slot, COLD_SINCE),
                             .cold_with = (uint32_t)word(slot, COLD_WITH)};
    /* Who writes recovers before, so nobody has written since. Ends that nobody has checked since somebody was alone
     * are good enough: what a process wrote that was gone before the next look counts too. */
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FRESH)
        return;
    shard->bytes = atomic_load_explicit(&slot->committed_end, memory_order_relaxed);
    shard->records = atomic_load_explicit(&slot->next_seqno, memory_order_relaxed);
}

static void write_load(const scaling *of, const lsi_load_of_shard *shard)
{
    lsi_slot *slot = slot_of(of, shard->shard);

    if (slot == NULL)
        return;
    set_word(slot, AT, (uint64_t)shard->load.at_us);
    set_word(slot, BYTES, shard->load.bytes);
    set_word(slot, RECORDS, shard->load.records);
    set_word(slot, HOT_SINCE, (uint64_t)shard->load.hot_since_us);
    set_word(slot, COLD_SINCE, (uint64_t)shard->load.cold_since_us);
    set_word(slot, COLD_WITH, shard->load.cold_with);
}

/* ---- a look ---- */

static int by_keys(const void *a, const void *b)
{
    const lsi_load_of_shard *x = a, *y = b;

    return lsi_u128_compare(x->range.first, y->range.first);
}

static bool gather(scaling *of)
{
    of->shards = lsi_alloc(&of->local->base.env.memory, of->about->shard_count * sizeof(*of->shards));
    if (of->shards == NULL)
        return false;
    for (uint32_t i = 0; i < of->about->shard_count; i++) {
        const lsi_shard *shard = &of->about->shards[i];

        if (shard->closed)
            continue;
        of->shards[of->count] = (lsi_load_of_shard){.shard = shard->index, .range = shard->range,
                                                    .bytes = LSI_LOAD_UNTOUCHED};
        read_load(of, &of->shards[of->count++]);
    }
    if (of->count > 1)
        qsort(of->shards, of->count, sizeof(*of->shards), by_keys);
    return true;
}

static void tell(const scaling *of, const lsi_auto_step *chosen, int64_t now_us, ls_status st, uint32_t child)
{
    const lsi_env *env = &of->local->base.env;
    const char *name = of->stream->name;
    int64_t seconds = (now_us - chosen->since_us) / 1000000;
    uint32_t shard = chosen->step.shard, adjacent = chosen->step.adjacent;

    if (st != LS_OK)
        lsi_env_log(env, LS_LOG_WARNING, "stream '%s' shard %" PRIu32 ": cannot be %s automatically: %s", name, shard,
                    adjacent == LSI_NO_SHARD ? "split" : "merged", ls_last_error_message());
    else if (adjacent == LSI_NO_SHARD)
        lsi_env_log(env, LS_LOG_INFO, "stream '%s' shard %" PRIu32 ": hot for %" PRId64 " s, now at %" PRIu64
                    " %% of its write limit: split into %" PRIu32 " and %" PRIu32, name, shard, seconds,
                    chosen->percent, child, child + 1);
    else
        lsi_env_log(env, LS_LOG_INFO, "stream '%s' shards %" PRIu32 " and %" PRIu32 ": cold for %" PRId64
                    " s, now together at %" PRIu64 " %% of a shard's write limit: merged into %" PRIu32, name, shard,
                    adjacent, seconds, chosen->percent, child);
}

static void act(scaling *of, const lsi_auto_step *chosen, int64_t now_us)
{
    lsi_load_of_shard *shard = &of->shards[chosen->position];
    uint32_t child = 0;
    int64_t kept_us;
    ls_status st;

    if (!lsi_control_try_lock(of->local->control))
        return; /* The next look chooses again. */
    lsi_control_unlock(of->local->control);
    kept_us = lsi_patience_keep_back(ASIDE_US);
    st = lsi_local_reshard(&of->stream->base, &chosen->step, 1, false, &child);
    (void)lsi_patience_give_back(kept_us);
    tell(of, chosen, now_us, st, child);
    if (st != LS_ERR_BUSY) { /* Not again with every look. */
        shard->load.hot_since_us = 0;
        shard->load.cold_since_us = 0;
        write_load(of, shard);
    }
}

static void look(scaling *of, int64_t now_us)
{
    lsi_rates rates = lsi_rates_resolve(of->about->rates);
    lsi_auto_step chosen;
    bool is_due;

    if (!gather(of)) {
        lsi_env_log(&of->local->base.env, LS_LOG_WARNING, "stream '%s': no memory to look at its shards' loads",
                    of->stream->name);
        return;
    }
    is_due = lsi_auto_scale(&of->about->auto_scaling, &rates, of->shards, of->count, now_us, &chosen);
    for (uint32_t i = 0; i < of->count; i++)
        write_load(of, &of->shards[i]);
    if (is_due)
        act(of, &chosen, now_us);
    lsi_free(&of->local->base.env.memory, of->shards);
}

static bool is_time(const lsi_slot *slot, const lsi_auto_scaling *by, int64_t now_us)
{
    int64_t before_us = (int64_t)word(slot, AT);

    return before_us <= 0 || before_us > now_us || now_us - before_us >= lsi_auto_scaling_pause_us(by);
}

void lsi_local_auto_scale(lsi_local_stream *stream)
{
    scaling of = {.local = lsi_local_of_stream(&stream->base), .stream = stream};
    int64_t now_us = lsi_passing_us(&of.local->base.env.clock);
    lsi_error_state before;
    lsi_catalog *catalog;
    bool is_on;

    if (lsi_control_manifest_generation(of.local->control) % 2 != 0)
        return; /* It is being replaced, and that would have to be waited for. */
    lsi_error_save(&before);
    if (lsi_local_catalog(of.local, &catalog) == LS_OK) {
        of.about = lsi_catalog_find_id(catalog, stream->id);
        is_on = of.about != NULL && of.about->mode == LS_STREAM_ON_DEMAND &&
            of.about->status != LS_STREAM_DELETING &&
            lsi_auto_scaling_is_on(&of.about->auto_scaling);
        atomic_store_explicit(&stream->upkeep_mask, is_on ? 0 : LSI_UPKEEP_MASK, memory_order_relaxed);
        if (is_on && is_time(stream->slot, &of.about->auto_scaling, now_us)) {
            set_word(stream->slot, AT, (uint64_t)now_us);
            look(&of, now_us);
        }
        lsi_catalog_unref(catalog);
    }
    lsi_error_restore(&before);
}
