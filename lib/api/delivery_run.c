/* The exported functions of delivery.h that run a delivery, and those for its transform. */
#include "api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define FLAGS LS_DELIVERY_UNTIL_CAUGHT_UP
#define FAILOVER_MS_DEFAULT 10000u
#define TRANSFORM_TIMEOUT_MS_DEFAULT 300000u
#define FAILOVER_MS_LEAST 100u
#define FAILOVER_MS_MOST 600000u
#define MEMORY_BYTES_DEFAULT (UINT64_C(256) << 20)
#define MEMORY_BYTES_LEAST (UINT64_C(1) << 20)

/* ---- the handle ---- */

ls_status ls_delivery_open(ls_stream *stream, const char *name, ls_delivery **out)
{
    lsi_delivery *found;
    ls_delivery *delivery;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_CONSUME, stream->store);
    st = lsi_delivery_load(stream->stream, name, &found);
    if (st != LS_OK)
        return st;
    delivery = lsi_alloc_zero(&stream->store->env.memory, sizeof *delivery);
    if (delivery == NULL) {
        lsi_delivery_free(found);
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a delivery", stream->name);
    }
    delivery->stream = stream;
    delivery->id = found->id;
    atomic_init(&delivery->running, 0);
    atomic_init(&delivery->is_stopped, false);
    (void)snprintf(delivery->name, sizeof delivery->name, "%s", name); /* fits: there is one of that name */
    lsi_delivery_free(found);
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = delivery;
    return lsi_error_end(LS_OK);
}

ls_status ls_delivery_close(ls_delivery *delivery)
{
    ls_stream *stream;

    if (delivery == NULL)
        return LS_OK;
    stream = delivery->stream;
    /* In a fork child nothing runs; acquire pairs with the release at the run's end. */
    if (lsi_store_is_mine(stream->store) && atomic_load_explicit(&delivery->running, memory_order_acquire) != 0)
        return lsi_fail(LS_ERR_STATE, "delivery '%s': a run of this handle has not returned", delivery->name);
    lsi_free(&stream->store->env.memory, delivery);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return LS_OK;
}

void ls_delivery_stop(ls_delivery *delivery)
{
    if (delivery == NULL || !lsi_store_is_mine(delivery->stream->store))
        return;
    atomic_store_explicit(&delivery->is_stopped, true, memory_order_release); /* Pairs with the run's loop. */
    lsi_delivery_wake(delivery->stream->stream);
}

ls_status ls_delivery_wait(ls_delivery *delivery, int64_t timeout_ms)
{
    const lsi_clock *clock;
    int64_t end_us;

    LSI_REFUSE_NULL(delivery);
    if (timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "timeout_ms is %" PRId64 ": it is -1 (no end) or more", timeout_ms);
    LSI_ENTER(delivery->stream->store);
    clock = &delivery->stream->store->env.clock;
    end_us = timeout_ms < 0 || timeout_ms > INT64_MAX / 2000 ? INT64_MAX : lsi_monotonic_us(clock) + timeout_ms * 1000;
    while (atomic_load_explicit(&delivery->running, memory_order_acquire) != 0) { /* Pairs with the run's end. */
        int64_t left_us = end_us == INT64_MAX ? -1 : end_us - lsi_monotonic_us(clock);

        if (end_us != INT64_MAX && left_us <= 0)
            return lsi_fail(LS_ERR_BUSY, "delivery '%s': a run of this handle has not returned after %" PRId64 " ms",
                            delivery->name, timeout_ms);
        (void)lsi_word_sleep(&delivery->running, 1, left_us); /* However it ends, we look. */
    }
    return lsi_error_end(LS_OK);
}

/* ---- running ---- */

static ls_status take_options(const ls_delivery_run_options *options, ls_delivery_run_options *own)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, LSI_SIZE_UP_TO(ls_delivery_run_options, deliver_user));

    if (st != LS_OK)
        return st;
    if ((own->flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32, own->flags & ~FLAGS);
    if (own->failover_ms == 0)
        own->failover_ms = FAILOVER_MS_DEFAULT;
    if (own->failover_ms < FAILOVER_MS_LEAST || own->failover_ms > FAILOVER_MS_MOST)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.failover_ms is %" PRIu32 ": it is %u..%u", own->failover_ms,
                        FAILOVER_MS_LEAST, FAILOVER_MS_MOST);
    if (own->transform_timeout_ms == 0)
        own->transform_timeout_ms = TRANSFORM_TIMEOUT_MS_DEFAULT;
    if (own->memory_bytes_max == 0)
        own->memory_bytes_max = MEMORY_BYTES_DEFAULT;
    if (own->memory_bytes_max < MEMORY_BYTES_LEAST)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.memory_bytes_max is %" PRIu64 ": it is %" PRIu64 " or more",
                        own->memory_bytes_max, MEMORY_BYTES_LEAST);
    return LS_OK;
}

ls_status ls_delivery_run(ls_delivery *delivery, const ls_delivery_run_options *options)
{
    ls_delivery_run_options own;
    lsi_delivery_running how;
    uint32_t idle = 0;
    ls_store *store;
    ls_status st;

    LSI_REFUSE_NULL(delivery);
    store = delivery->stream->store;
    LSI_ENTER(store);
    st = take_options(options, &own);
    if (st != LS_OK)
        return st;
    if (!atomic_compare_exchange_strong_explicit(&delivery->running, &idle, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return lsi_fail(LS_ERR_STATE, "delivery '%s': a run of this handle has not returned", delivery->name);
    how = (lsi_delivery_running){
        .name = delivery->name,
        .id = delivery->id,
        .flags = own.flags,
        .failover_ms = own.failover_ms,
        .shards_max = own.shards_max,
        .give_up_ms = own.give_up_ms,
        .transform_timeout_ms = own.transform_timeout_ms,
        .memory_bytes_max = own.memory_bytes_max,
        .transform = own.transform,
        .transform_user = own.transform_user,
        .deliver = own.deliver,
        .deliver_user = own.deliver_user,
        .is_stopped = &delivery->is_stopped,
        .guard = store->guard,
        /* What lives in memory is delivered to the disk. */
        .doubt = &store->delivers_in_doubt,
        .files = store->files != NULL ? &lsi_files_system : store->env.files,
    };
    st = lsi_delivery_run(delivery->stream->stream, &how);
    atomic_store_explicit(&delivery->running, 0, memory_order_release); /* Pairs with ls_delivery_close and _wait. */
    lsi_word_wake_all(&delivery->running); /* By its address: who has waited may have closed the handle by now. */
    return lsi_error_end(st);
}

/* ---- for transforms ---- */

size_t ls_transform_count(const ls_transform *batch)
{
    return batch == NULL ? 0 : lsi_transform_count(batch);
}

const ls_record *ls_transform_at(const ls_transform *batch, size_t index)
{
    return batch == NULL ? NULL : lsi_transform_at(batch, index);
}

uint32_t ls_transform_attempts(const ls_transform *batch)
{
    return batch == NULL ? 0 : lsi_transform_attempts(batch);
}

int32_t ls_transform_is_late(const ls_transform *batch)
{
    return batch == NULL ? 0 : lsi_transform_is_late(batch);
}

ls_status ls_transform_keep(ls_transform *batch, size_t index)
{
    LSI_REFUSE_NULL(batch);
    return lsi_transform_say(batch, index, LSI_VERDICT_KEEP, (ls_bytes){NULL, 0});
}

ls_status ls_transform_replace(ls_transform *batch, size_t index, ls_bytes data)
{
    LSI_REFUSE_NULL(batch);
    if (data.size != 0)
        LSI_REFUSE_NULL(data.data);
    return lsi_transform_say(batch, index, LSI_VERDICT_REPLACE, data);
}

ls_status ls_transform_drop(ls_transform *batch, size_t index)
{
    LSI_REFUSE_NULL(batch);
    return lsi_transform_say(batch, index, LSI_VERDICT_DROP, (ls_bytes){NULL, 0});
}

ls_status ls_transform_fail(ls_transform *batch, size_t index, const char *reason)
{
    LSI_REFUSE_NULL(batch);
    return lsi_transform_say(batch, index, LSI_VERDICT_FAIL,
                             (ls_bytes){reason, reason == NULL ? 0 : strlen(reason)});
}

ls_status ls_transform_set_key(ls_transform *batch, size_t index, const char *key, ls_bytes value)
{
    LSI_REFUSE_NULL(batch);
    LSI_REFUSE_NULL(key);
    if (value.size != 0)
        LSI_REFUSE_NULL(value.data);
    return lsi_transform_set_key(batch, index, key, value);
}

ls_status ls_transform_event_json(ls_transform *batch, ls_bytes *out)
{
    LSI_REFUSE_NULL(batch);
    LSI_REFUSE_NULL(out);
    return lsi_transform_event_json(batch, out);
}

ls_status ls_transform_answer_json(ls_transform *batch, ls_bytes document, ls_transform_answer *out)
{
    LSI_REFUSE_NULL(batch);
    LSI_REFUSE_NULL(out);
    if (document.size != 0)
        LSI_REFUSE_NULL(document.data);
    return lsi_transform_answer_json(batch, document, out);
}
