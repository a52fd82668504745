/* The exported functions of mapping.h that run a mapping, and those for its handlers. */
#include "api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define FLAGS (LS_RUN_UNTIL_CAUGHT_UP | LS_RUN_DOCUMENT_BYTES)
#define FAILOVER_MS_DEFAULT 10000u
#define FAILOVER_MS_LEAST 100u
#define FAILOVER_MS_MOST 600000u
#define STATE_BYTES_MAX (6u << 20)
#define KNOWN_WINDOW_BYTES LSI_SIZE_UP_TO(ls_handler_window, state)

/* ---- the handle ---- */

ls_status ls_mapping_open(ls_stream *stream, const char *name, ls_mapping **out)
{
    lsi_mapping *found;
    ls_mapping *mapping;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_CONSUME, stream->store);
    st = lsi_mapping_load(stream->stream, name, &found);
    if (st != LS_OK)
        return st;
    mapping = lsi_alloc_zero(&stream->store->env.memory, sizeof *mapping);
    if (mapping == NULL) {
        lsi_mapping_free(found);
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a mapping", stream->name);
    }
    mapping->stream = stream;
    mapping->id = found->id;
    atomic_init(&mapping->running, 0);
    atomic_init(&mapping->is_stopped, false);
    (void)snprintf(mapping->name, sizeof mapping->name, "%s", name); /* fits: there is one of that name */
    lsi_mapping_free(found);
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = mapping;
    return lsi_error_end(LS_OK);
}

ls_status ls_mapping_close(ls_mapping *mapping)
{
    ls_stream *stream;

    if (mapping == NULL)
        return LS_OK;
    stream = mapping->stream;
    /* In a fork child nothing runs; acquire pairs with the release at the run's end. */
    if (lsi_store_is_mine(stream->store) && atomic_load_explicit(&mapping->running, memory_order_acquire) != 0)
        return lsi_fail(LS_ERR_STATE, "mapping '%s': a run of this handle has not returned", mapping->name);
    lsi_free(&stream->store->env.memory, mapping);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return LS_OK;
}

void ls_mapping_stop(ls_mapping *mapping)
{
    if (mapping == NULL || !lsi_store_is_mine(mapping->stream->store))
        return;
    atomic_store_explicit(&mapping->is_stopped, true, memory_order_release); /* Pairs with the run's loop. */
    lsi_mapping_wake(mapping->stream->stream);
}

ls_status ls_mapping_wait(ls_mapping *mapping, int64_t timeout_ms)
{
    const lsi_clock *clock;
    int64_t end_us;

    LSI_REFUSE_NULL(mapping);
    if (timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "timeout_ms is %" PRId64 ": it is -1 (no end) or more", timeout_ms);
    LSI_ENTER(mapping->stream->store);
    clock = &mapping->stream->store->env.clock;
    end_us = timeout_ms < 0 || timeout_ms > INT64_MAX / 2000 ? INT64_MAX : lsi_monotonic_us(clock) + timeout_ms * 1000;
    while (atomic_load_explicit(&mapping->running, memory_order_acquire) != 0) { /* Pairs with the run's end. */
        int64_t left_us = end_us == INT64_MAX ? -1 : end_us - lsi_monotonic_us(clock);

        if (end_us != INT64_MAX && left_us <= 0)
            return lsi_fail(LS_ERR_BUSY, "mapping '%s': a run of this handle has not returned after %" PRId64 " ms",
                            mapping->name, timeout_ms);
        (void)lsi_word_sleep(&mapping->running, 1, left_us); /* However it ends, we look. */
    }
    return lsi_error_end(LS_OK);
}

/* ---- running ---- */

static ls_status take_options(const ls_mapping_run_options *options, ls_mapping_run_options *own)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, LSI_SIZE_UP_TO(ls_mapping_run_options, discard));

    if (st != LS_OK)
        return st;
    if ((own->flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32, own->flags & ~FLAGS);
    if (own->failover_ms == 0)
        own->failover_ms = FAILOVER_MS_DEFAULT;
    if (own->failover_ms < FAILOVER_MS_LEAST || own->failover_ms > FAILOVER_MS_MOST)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.failover_ms is %" PRIu32 ": it is %u..%u", own->failover_ms,
                        FAILOVER_MS_LEAST, FAILOVER_MS_MOST);
    return LS_OK;
}

/* Rare, and from any thread: it opens what it needs. */
static ls_status put_failure(lsi_engine *engine, const char *name, const ls_put_entry *entries, size_t count)
{
    lsi_engine_stream *stream;
    lsi_producer *producer;
    size_t failed;
    ls_status st = engine->ops->stream_open(engine, name, &stream);

    if (st != LS_OK)
        return st;
    st = lsi_producer_open(stream, &producer);
    if (st == LS_OK) {
        st = lsi_producer_put_batch(producer, entries, count, LS_DURABILITY_DEFAULT, true, NULL, &failed);
        lsi_producer_close(producer);
    }
    engine->ops->stream_close(stream);
    return st;
}

ls_status ls_mapping_run(ls_mapping *mapping, const ls_mapping_run_options *options, ls_batch_handler handler,
                         void *user)
{
    ls_mapping_run_options own;
    lsi_mapping_running how;
    uint32_t idle = 0;
    ls_status st;

    LSI_REFUSE_NULL(mapping);
    LSI_REFUSE_NULL(handler);
    LSI_ENTER(mapping->stream->store);
    st = take_options(options, &own);
    if (st != LS_OK)
        return st;
    if (!atomic_compare_exchange_strong_explicit(&mapping->running, &idle, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return lsi_fail(LS_ERR_STATE, "mapping '%s': a run of this handle has not returned", mapping->name);
    how = (lsi_mapping_running){
        .name = mapping->name,
        .id = mapping->id,
        .flags = own.flags,
        .failover_ms = own.failover_ms,
        .shards_max = own.shards_max,
        .handler = handler,
        .discard = own.discard,
        .user = user,
        .is_stopped = &mapping->is_stopped,
        .guard = mapping->stream->store->guard,
        .put = put_failure,
        .handle = mapping,
        .outputs = &lsi_mapping_outputs,
    };
    st = lsi_mapping_run(mapping->stream->stream, &how);
    atomic_store_explicit(&mapping->running, 0, memory_order_release); /* Pairs with ls_mapping_close and _wait. */
    lsi_word_wake_all(&mapping->running); /* By its address: who has waited may have closed the handle by now. */
    return lsi_error_end(st);
}

/* ---- for handlers ---- */

uint32_t ls_handler_attempts(const ls_handler_context *context)
{
    return context == NULL ? 0 : lsi_handler_attempts(context);
}

int32_t ls_handler_is_late(const ls_handler_context *context)
{
    return context != NULL && lsi_monotonic_us(&context->env->clock) > context->late_us;
}

int32_t ls_handler_takes_answer(const ls_handler_context *context)
{
    return context != NULL && lsi_handler_takes_answer(context);
}

void ls_handler_fail_at(ls_handler_context *context, size_t index)
{
    if (context == NULL)
        return;
    context->has_failed_at = true;
    context->failed_at = index;
}

static ls_status take_window(const ls_handler_context *context, ls_handler_window *out)
{
    return lsi_handler_window(context, out) ? LS_OK : lsi_fail(LS_ERR_STATE, "the mapping has no windows");
}

ls_status ls_handler_get_window(const ls_handler_context *context, ls_handler_window *out)
{
    ls_handler_window window;
    ls_status st;

    LSI_REFUSE_NULL(context);
    LSI_REFUSE_NULL(out);
    if (out->size < KNOWN_WINDOW_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    st = take_window(context, &window);
    if (st != LS_OK)
        return st;
    window.size = out->size;
    memcpy(out, &window, out->size < sizeof window ? out->size : sizeof window);
    return LS_OK;
}

ls_status ls_handler_set_state(ls_handler_context *context, ls_bytes state)
{
    ls_handler_window window;
    ls_status st;
    void *copy;

    LSI_REFUSE_NULL(context);
    if (state.size != 0)
        LSI_REFUSE_NULL(state.data);
    st = take_window(context, &window);
    if (st != LS_OK)
        return st;
    if (state.size > STATE_BYTES_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "state of %zu bytes: it has at most %u", state.size, STATE_BYTES_MAX);
    copy = lsi_alloc(&context->env->memory, state.size);
    if (copy == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a state of %zu bytes", state.size);
    if (state.size != 0)
        memcpy(copy, state.data, state.size);
    lsi_free(&context->env->memory, context->state);
    context->state = copy;
    context->state_bytes = state.size;
    context->has_state = true;
    return LS_OK;
}

ls_status ls_handler_event_json(ls_handler_context *context, ls_bytes *out)
{
    LSI_REFUSE_NULL(context);
    LSI_REFUSE_NULL(out);
    return lsi_handler_event_json(context, out);
}

ls_status ls_handler_answer_json(ls_handler_context *context, ls_bytes document, ls_handler_answer *out)
{
    LSI_REFUSE_NULL(context);
    LSI_REFUSE_NULL(out);
    if (document.size != 0)
        LSI_REFUSE_NULL(document.data);
    return lsi_handler_answer_json(context, document, out);
}
