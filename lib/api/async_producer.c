/* The exported functions of async_producer.h: arguments and options are checked, then produce/async does the work. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

#define LINGER_MS 5u
#define LINGER_MS_MAX 3600000u
#define BATCH_RECORDS 16384u
#define BATCH_BYTES (4u << 20)
#define TTL_MS 30000u
#define BUFFERED_BYTES (UINT64_C(64) << 20)
#define BUFFERED_BYTES_MIN (UINT64_C(1) << 20)
#define BUFFERED_BYTES_MAX (UINT64_C(64) << 30)
#define BACKOFF_MS 10u
#define BACKOFF_LONGEST_MS 1000u
#define BACKOFF_MS_MAX 60000u
#define OUTCOMES_KEPT 65536u
#define OUTCOMES_KEPT_MAX (1u << 20)

#define AGGREGATE_BYTES 51200u /* the Kinesis producer library's */
#define AGGREGATE_BYTES_MIN 1024u
#define AGGREGATE_BYTES_MAX (1u << 20)

/* `*value` 0 becomes `otherwise`. */
static ls_status check_option(const char *name, uint64_t *value, uint64_t otherwise, uint64_t least, uint64_t most)
{
    if (*value == 0)
        *value = otherwise;
    if (*value < least || *value > most)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is %" PRIu64 ": it is %" PRIu64 "..%" PRIu64, name, *value,
                        least, most);
    return LS_OK;
}

static ls_status check_option32(const char *name, uint32_t *value, uint32_t otherwise, uint32_t least, uint32_t most)
{
    uint64_t wide = *value;
    ls_status st = check_option(name, &wide, otherwise, least, most);

    *value = (uint32_t)wide;
    return st;
}

static bool is_idempotent(const ls_async_options *own)
{
    return (own->flags & LS_ASYNC_IDEMPOTENT) != 0;
}

static ls_status check_flags(const ls_async_options *own)
{
    const uint32_t known = LS_ASYNC_AGGREGATE | LS_ASYNC_IDEMPOTENT;

    if ((own->flags & ~known) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags are 0x%" PRIx32 ": there is 0x%" PRIx32, own->flags,
                        known);
    if (!is_idempotent(own) && (own->producer.high | own->producer.low) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.producer is given, and options.flags have no "
                                                 "LS_ASYNC_IDEMPOTENT");
    if (own->first_ticket > LS_NUMBER_MAX / 2)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.first_ticket is %" PRIu64 ": it is 1..%" PRIu64,
                        own->first_ticket, LS_NUMBER_MAX / 2);
    if (own->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", own->reserved);
    return LS_OK;
}

static ls_status check(ls_async_options *own)
{
    uint32_t longest = own->retry_backoff_ms > BACKOFF_LONGEST_MS ? own->retry_backoff_ms : BACKOFF_LONGEST_MS;
    ls_status st = LS_OK;

    if (own->linger_ms != LS_ASYNC_NONE)
        st = check_option32("linger_ms", &own->linger_ms, LINGER_MS, 1, LINGER_MS_MAX);
    if (st == LS_OK)
        st = check_option("batch_bytes_max", &own->batch_bytes_max, BATCH_BYTES, 1, LSI_BATCH_BYTES_MAX);
    if (st == LS_OK)
        st = check_option32("batch_records_max", &own->batch_records_max, BATCH_RECORDS, 1, LSI_BATCH_RECORDS_MAX);
    if (own->record_ttl_ms == 0)
        own->record_ttl_ms = TTL_MS;
    if (st == LS_OK && own->linger_ms != LS_ASYNC_NONE && own->record_ttl_ms <= own->linger_ms)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.record_ttl_ms is %" PRIu32 ", and options.linger_ms %" PRIu32
                                               ": records would be given up before they are sent",
                      own->record_ttl_ms, own->linger_ms);
    if (st == LS_OK)
        st = check_option("buffered_bytes_max", &own->buffered_bytes_max, BUFFERED_BYTES, BUFFERED_BYTES_MIN,
                          BUFFERED_BYTES_MAX);
    if (own->retries_max == 0)
        own->retries_max = UINT32_MAX;
    if (st == LS_OK)
        st = check_option32("retry_backoff_ms", &own->retry_backoff_ms, BACKOFF_MS, 1, BACKOFF_MS_MAX);
    if (st == LS_OK)
        st = check_option32("retry_backoff_max_ms", &own->retry_backoff_max_ms, longest, own->retry_backoff_ms,
                            BACKOFF_MS_MAX);
    if (st == LS_OK)
        st = check_option32("outcomes_kept", &own->outcomes_kept, 0, 0, OUTCOMES_KEPT_MAX);
    if (st == LS_OK)
        st = check_option32("aggregate_bytes_max", &own->aggregate_bytes_max, AGGREGATE_BYTES, AGGREGATE_BYTES_MIN,
                            AGGREGATE_BYTES_MAX);
    if (st != LS_OK)
        return st;
    if (own->durability < LS_DURABILITY_DEFAULT || own->durability > LS_DURABILITY_SYNC)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.durability is %" PRId32 ": it is %d..%d", own->durability,
                        LS_DURABILITY_DEFAULT, LS_DURABILITY_SYNC);
    return check_flags(own);
}

static lsi_async_settings settings_of(const ls_async_options *own, ls_outcome_callback callback, void *user)
{
    lsi_async_settings settings = {
        .linger_us = own->linger_ms == LS_ASYNC_NONE ? 0 : (int64_t)own->linger_ms * 1000,
        .ttl_us = own->record_ttl_ms == LS_ASYNC_NONE ? INT64_MAX : (int64_t)own->record_ttl_ms * 1000,
        .batch_bytes_max = own->batch_bytes_max,
        .buffered_bytes_max = own->buffered_bytes_max,
        .batch_records_max = own->batch_records_max,
        .retries_max = own->retries_max,
        .backoff_us = (int64_t)own->retry_backoff_ms * 1000,
        .backoff_max_us = (int64_t)own->retry_backoff_max_ms * 1000,
        .outcomes_kept = own->outcomes_kept,
        .aggregate_bytes_max = (own->flags & LS_ASYNC_AGGREGATE) != 0 ? own->aggregate_bytes_max : 0,
        .is_idempotent = is_idempotent(own),
        .producer = own->producer,
        .first_ticket = own->first_ticket != 0 ? own->first_ticket : 1,
        .durability = own->durability,
        .callback = callback,
        .user = user,
    };

    if (settings.outcomes_kept == 0 && callback == NULL)
        settings.outcomes_kept = OUTCOMES_KEPT;
    return settings;
}

ls_status ls_async_producer_open(ls_stream *stream, const ls_async_options *options, ls_async_producer **out,
                                 ls_outcome_callback callback, void *user)
{
    lsi_async_settings settings;
    ls_async_options own;
    ls_async_producer *producer;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_PUT, stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_async_options, first_ticket));
    if (st == LS_OK)
        st = check(&own);
    if (st != LS_OK)
        return st;
    producer = lsi_alloc_zero(&stream->store->env.memory, sizeof *producer);
    if (producer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for an asynchronous producer", stream->name);
    producer->stream = stream;
    settings = settings_of(&own, callback, user);
    st = lsi_async_open(stream->stream, &settings, &producer->async);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, producer);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = producer;
    return lsi_error_end(LS_OK);
}

ls_status ls_async_producer_put(ls_async_producer *producer, const ls_put_entry *entry, void *tag, int64_t timeout_ms,
                                uint64_t *ticket)
{
    LSI_REFUSE_NULL(producer);
    LSI_REFUSE_NULL(entry);
    LSI_ENTER(producer->stream->store);
    return lsi_error_end(lsi_async_put(producer->async, entry, tag, timeout_ms, ticket));
}

ls_status ls_async_producer_flush(ls_async_producer *producer, int64_t timeout_ms, size_t *left)
{
    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    return lsi_error_end(lsi_async_flush(producer->async, timeout_ms, left));
}

ls_status ls_async_producer_wait(ls_async_producer *producer, uint64_t ticket, int64_t timeout_ms,
                                 ls_async_outcome *out)
{
    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    return lsi_error_end(lsi_async_wait(producer->async, ticket, timeout_ms, out));
}

ls_status ls_async_producer_cancel(ls_async_producer *producer)
{
    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    lsi_async_cancel(producer->async);
    return lsi_error_end(LS_OK);
}

ls_status ls_async_producer_close(ls_async_producer *producer, int64_t timeout_ms)
{
    ls_status st = LS_OK;
    ls_stream *stream;

    if (producer == NULL)
        return LS_OK;
    stream = producer->stream;
    if (!lsi_store_is_mine(stream->store)) {
        lsi_async_abandon(producer->async);
    } else {
        lsi_error_begin();
        st = lsi_async_close(producer->async, timeout_ms);
        if (st == LS_ERR_STATE)
            return st;
    }
    lsi_free(&stream->store->env.memory, producer);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return st == LS_OK ? lsi_error_end(LS_OK) : st;
}
