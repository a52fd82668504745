/* Reading and waiting: a reader is a log's reader; waiting is the eventcount of the shard's slot, or of the stream's.
 *
 * A sleep is cut after a second: whoever publishes may be killed before he wakes, and nothing else would, unless
 * somebody looks for all (rouse.c). (P1: nobody is stopped by another's death for longer.) Where memory of our own
 * stands in for the control file nobody wakes us, so there, and for readers that may not write, it is cut much
 * earlier. */
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"
#include "metrics/metrics.h"

#define SLEEP_US_MAX INT64_C(1000000)
#define SLEEP_US_GUARDED_MAX INT64_C(60000000)
#define SLEEP_US_UNWOKEN_MAX INT64_C(50000)

typedef struct local_reader {
    lsi_reader base;
    lsi_log_reader *reader;
    uint32_t calls; /* for upkeep */
} local_reader;

ls_status lsi_local_reader_open(lsi_engine_stream *base, uint32_t shard, uint32_t flags, lsi_reader **out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    const lsi_memory *memory = &base->engine->env.memory;
    lsi_read_way way = (flags & LSI_READER_MAPPED) != 0        ? LSI_READ_MAPPED
                       : (flags & LSI_READER_ONE_OF_MANY) != 0 ? LSI_READ_SPARING
                                                               : LSI_READ_FAST;
    local_reader *reader;
    lsi_log *log;
    ls_status st = lsi_local_stream_check_usable(stream);

    if (st == LS_OK)
        st = lsi_local_stream_log(stream, shard, &log);
    if (st != LS_OK)
        return st;
    reader = lsi_alloc_zero(memory, sizeof(*reader));
    if (reader == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an iterator");
    reader->base.stream = base;
    reader->base.shard = shard;
    st = lsi_log_reader_open(log, way, &reader->reader);
    if (st != LS_OK) {
        lsi_free(memory, reader);
        return lsi_local_stream_explain(stream, shard, st);
    }
    *out = &reader->base;
    return LS_OK;
}

void lsi_local_reader_close(lsi_reader *base)
{
    local_reader *reader = (local_reader *)base;

    lsi_log_reader_close(reader->reader);
    lsi_free(&base->stream->engine->env.memory, reader);
}

ls_status lsi_local_seek(lsi_reader *base, const ls_position *position)
{
    lsi_local_stream *stream = lsi_local_stream_of(base->stream);
    ls_status st = lsi_local_stream_check_usable(stream);

    if (st != LS_OK)
        return st;
    return lsi_local_stream_explain(stream, base->shard,
                                    lsi_log_reader_seek(((local_reader *)base)->reader, position));
}

static void count_damage(lsi_local_stream *stream, uint32_t shard)
{
    lsi_engine_count *counts = lsi_local_counts(&stream->base, LSI_COUNTS_SHARD, shard);

    if (counts != NULL)
        lsi_count(&counts[LSI_COUNT_DAMAGED], 1);
}

ls_status lsi_local_read(lsi_reader *base, uint32_t records_max, uint64_t bytes_max, lsi_read *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base->stream);
    ls_status st = lsi_local_stream_check_usable(stream);

    if (st != LS_OK)
        return st;
    lsi_local_upkeep_count(stream, &((local_reader *)base)->calls);
    memset(out, 0, sizeof(*out));
    st = lsi_log_reader_read(((local_reader *)base)->reader, records_max, bytes_max, &out->records, &out->count,
                             &out->at_tip, &out->shard_end);
    if (st == LS_ERR_TRIMMED) {
        lsi_log_cut cut = lsi_log_reader_cut(((local_reader *)base)->reader);
        out->cut = (lsi_cut){cut.records, cut.bytes, cut.ms};
    }
    if (st == LS_ERR_CORRUPT)
        count_damage(stream, base->shard);
    if (st != LS_OK)
        return lsi_local_stream_explain(stream, base->shard, st);
    out->bytes = lsi_log_reader_bytes(((local_reader *)base)->reader);
    if (out->count > 0)
        return LS_OK;
    lsi_local_upkeep_turn(stream); /* Who waits for records has the time. */
    st = lsi_local_stream_recheck(stream);
    return st == LS_OK ? lsi_local_stream_check_usable(stream) : st;
}

ls_seqno lsi_local_place(const lsi_reader *base)
{
    return lsi_log_reader_place(((const local_reader *)base)->reader);
}

/* ---- waiting ---- */

/* A shard's slot, or the stream's, which is woken with it: for all shards, and while the shard's is not known. Changes
 * of the state wake its own alone. */
static lsi_slot *slot_to_wait_on(lsi_local_stream *stream, uint32_t shard)
{
    lsi_error_state before;
    lsi_slot *slot = NULL;
    lsi_log *log;

    if (shard == LSI_NO_SHARD)
        return stream->slot;
    lsi_error_save(&before);
    if (lsi_local_any_log(stream, shard, &log) == LS_OK)
        slot = lsi_log_slot(log);
    else
        lsi_error_restore(&before);
    return slot != NULL ? slot : stream->slot;
}

uint32_t lsi_local_arm(lsi_engine_stream *base, uint32_t shard)
{
    if (!lsi_control_is_mine(lsi_local_of_stream(base)->control))
        return 0; /* P9; the look that follows says so */
    return lsi_slot_arm(slot_to_wait_on(lsi_local_stream_of(base), shard));
}

static lsi_sleep_result sleep_for(lsi_engine_stream *base, uint32_t shard, uint32_t token, int64_t timeout_us,
                                  int64_t most)
{
    const lsi_local *local = lsi_local_of_stream(base);
    bool is_cut = timeout_us < 0 || timeout_us > most;
    lsi_sleep_result result;

    if (!lsi_control_is_mine(local->control))
        return LSI_WOKEN;
    result = lsi_slot_sleep(slot_to_wait_on(lsi_local_stream_of(base), shard), token, is_cut ? most : timeout_us);
    return is_cut && result == LSI_SLEPT_OUT ? LSI_WOKEN : result;
}

lsi_sleep_result lsi_local_sleep(lsi_engine_stream *base, uint32_t shard, uint32_t token, int64_t timeout_us)
{
    return sleep_for(base, shard, token, timeout_us, base->engine->read_only ? SLEEP_US_UNWOKEN_MAX : SLEEP_US_MAX);
}

lsi_sleep_result lsi_local_sleep_guarded(lsi_engine_stream *base, uint32_t shard, uint32_t token, int64_t timeout_us)
{
    return sleep_for(base, shard, token, timeout_us,
                     base->engine->read_only ? SLEEP_US_UNWOKEN_MAX : SLEEP_US_GUARDED_MAX);
}

void lsi_local_wake(lsi_engine_stream *base, uint32_t shard)
{
    if (!lsi_control_is_mine(lsi_local_of_stream(base)->control))
        return;
    lsi_slots_wake(slot_to_wait_on(lsi_local_stream_of(base), shard), NULL);
}
