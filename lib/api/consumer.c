/* The exported functions of consumer.h: arguments and options are checked, then the engine registers and the room
 * `consume` subscribes. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define RECORDS_MAX_DEFAULT 10000u
#define BYTES_MAX_DEFAULT (UINT64_C(10) << 20)
#define CACHE_BYTES_DEFAULT (UINT64_C(256) << 10) /* with neither limit given: what stays in a processor's cache */
#define LIST_LIMIT_DEFAULT 100u
#define LIST_LIMIT_MAX 10000u
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_consumer_info, name)

_Static_assert(sizeof(((ls_consumer_info *)0)->name) > LSI_STREAM_NAME_MAX, "a name fits with its end");

/* ---- what is known of a consumer ---- */

/* Before anything is done whose result would be lost. */
static ls_status check_info(const ls_consumer_info *out)
{
    return out->size >= KNOWN_INFO_BYTES
               ? LS_OK : lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
}

static void fill_info(const lsi_consumer *consumer, ls_consumer_info *out)
{
    ls_consumer_info info = {
        .size = out->size,
        .status = consumer->status,
        .id = consumer->id,
        .created_us = consumer->created_us,
        .cut_count = consumer->cuts.count,
        .cut_records = consumer->cuts.sum.records,
        .cut_bytes = consumer->cuts.sum.bytes,
        .cut_lag_ms = consumer->cuts.sum.ms,
        .cut_last_us = consumer->cuts.last_us,
    };

    memcpy(info.name, consumer->name, strlen(consumer->name) + 1);
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

ls_status ls_consumer_register(ls_stream *stream, const char *name, ls_consumer_info *out)
{
    lsi_consumer made;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = out != NULL ? check_info(out) : LS_OK;
    if (st == LS_OK)
        st = stream->stream->engine->ops->register_consumer(stream->stream, name, &made);
    if (st == LS_OK && out != NULL)
        fill_info(&made, out);
    return lsi_error_end(st);
}

ls_status ls_consumer_deregister(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(stream->stream->engine->ops->deregister_consumer(stream->stream, name));
}

ls_status ls_consumer_describe(ls_stream *stream, const char *name, ls_consumer_info *out)
{
    lsi_consumer found;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = check_info(out);
    if (st == LS_OK)
        st = lsi_consumer_find(stream->stream, name, &found);
    if (st == LS_OK)
        fill_info(&found, out);
    return lsi_error_end(st);
}

ls_status ls_stream_delete_with_consumers(ls_store *store, const char *name)
{
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, store);
    st = lsi_check_stream_name(name);
    return lsi_error_end(st == LS_OK ? store->engine->ops->remove_with_consumers(store->engine, name) : st);
}

/* ---- listing ---- */

struct ls_consumer_list {
    lsi_memory memory;
    const char *after;
    uint32_t limit;
    uint32_t count;
    bool has_more;
    lsi_consumer consumers[LSI_CONSUMERS_MAX];
};

static bool keep(void *user, const lsi_consumer *consumer)
{
    ls_consumer_list *list = user;

    if (strcmp(consumer->name, list->after) <= 0)
        return true;
    list->has_more = list->count == list->limit;
    if (!list->has_more)
        list->consumers[list->count++] = *consumer;
    return !list->has_more;
}

ls_status ls_stream_list_consumers(ls_stream *stream, const char *after, uint32_t limit, ls_consumer_list **out)
{
    ls_consumer_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    if (limit > LIST_LIMIT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "limit is %" PRIu32 ": it is at most %u", limit, LIST_LIMIT_MAX);
    list = lsi_alloc_zero(&stream->store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of consumers", stream->name);
    list->memory = stream->store->env.memory;
    list->after = after != NULL ? after : "";
    list->limit = limit != 0 ? limit : LIST_LIMIT_DEFAULT;
    st = stream->stream->engine->ops->consumers(stream->stream, keep, list);
    list->after = NULL; /* borrowed until return */
    if (st != LS_OK) {
        ls_consumer_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

uint32_t ls_consumer_list_count(const ls_consumer_list *list)
{
    return list == NULL ? 0 : list->count;
}

ls_status ls_consumer_list_at(const ls_consumer_list *list, uint32_t position, ls_consumer_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (position >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": the page has %" PRIu32 " consumers",
                        position, list->count);
    st = check_info(out);
    if (st == LS_OK)
        fill_info(&list->consumers[position], out);
    return st;
}

int32_t ls_consumer_list_has_more(const ls_consumer_list *list)
{
    return list != NULL && list->has_more;
}

void ls_consumer_list_free(ls_consumer_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list);
}

/* ---- handles ---- */

ls_status ls_consumer_open(ls_stream *stream, const char *name, ls_consumer **out)
{
    ls_consumer *consumer;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_READ, stream->store);
    consumer = lsi_alloc_zero(&stream->store->env.memory, sizeof *consumer);
    if (consumer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a consumer", stream->name);
    consumer->stream = stream;
    st = lsi_subscriber_open(stream->stream, name, &consumer->subscriber);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, consumer);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = consumer;
    return lsi_error_end(LS_OK);
}

ls_status ls_consumer_close(ls_consumer *consumer)
{
    ls_stream *stream;
    ls_status st;

    if (consumer == NULL)
        return LS_OK;
    stream = consumer->stream;
    st = lsi_subscriber_close(consumer->subscriber);
    if (st != LS_OK)
        return st;
    lsi_free(&stream->store->env.memory, consumer);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return LS_OK;
}

void ls_consumer_cancel(ls_consumer *consumer)
{
    if (consumer != NULL && lsi_store_is_mine(consumer->stream->store))
        lsi_subscriber_cancel(consumer->subscriber);
}

/* ---- subscribing ---- */

static ls_status subscribe(ls_consumer *consumer, lsi_subscription *what, const ls_subscribe_options *options,
                           ls_push_callback callback, void *user)
{
    ls_subscribe_options own;
    ls_status st;

    LSI_REFUSE_NULL(callback);
    LSI_ENTER(consumer->stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_subscribe_options, flags));
    if (st != LS_OK)
        return st;
    if ((own.flags & ~LS_SUBSCRIBE_DEAGGREGATE) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags are 0x%" PRIx32 ": a subscription takes 0x%" PRIx32,
                        own.flags, LS_SUBSCRIBE_DEAGGREGATE);
    what->flags = (own.flags & LS_SUBSCRIBE_DEAGGREGATE) != 0 ? LS_ITERATOR_DEAGGREGATE : 0;
    what->bytes_max = own.bytes_max != 0   ? own.bytes_max
        : own.records_max != 0             ? BYTES_MAX_DEFAULT
                                           : CACHE_BYTES_DEFAULT;
    what->records_max = own.records_max != 0 ? own.records_max : RECORDS_MAX_DEFAULT;
    what->heartbeat_ms = own.heartbeat_ms;
    what->callback = callback;
    what->user = user;
    return lsi_error_end(lsi_subscribe(consumer->subscriber, what));
}

ls_status ls_consumer_subscribe(ls_consumer *consumer, uint32_t shard, const ls_position *position,
                                const ls_subscribe_options *options, ls_push_callback callback, void *user)
{
    lsi_subscription what = {.shard = shard, .position = position};

    LSI_REFUSE_NULL(consumer);
    return subscribe(consumer, &what, options, callback, user);
}

ls_status ls_consumer_subscribe_all(ls_consumer *consumer, const ls_position *position,
                                    const ls_subscribe_options *options, ls_push_callback callback, void *user)
{
    lsi_subscription what = {.is_merged = true, .position = position};

    LSI_REFUSE_NULL(consumer);
    return subscribe(consumer, &what, options, callback, user);
}

ls_status ls_consumer_subscribe_place(ls_consumer *consumer, const char *place, const ls_subscribe_options *options,
                                      ls_push_callback callback, void *user)
{
    lsi_subscription what = {.place = place};

    LSI_REFUSE_NULL(consumer);
    LSI_REFUSE_NULL(place);
    return subscribe(consumer, &what, options, callback, user);
}

ls_status ls_batch_place(const ls_batch *batch, char *buffer, size_t capacity, size_t *needed)
{
    LSI_REFUSE_NULL(batch);
    if (capacity != 0)
        LSI_REFUSE_NULL(buffer);
    if (batch->iterator == NULL)
        return lsi_fail(LS_ERR_STATE, "a batch of a mapping has no place: the mapping keeps it");
    return lsi_iterator_place(batch->iterator, buffer, capacity, needed);
}
