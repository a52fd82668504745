/* The exported functions of iterator.h: arguments and options are checked, then the room `consume` does the work. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

#define RECORDS_MAX_DEFAULT 10000u
#define BYTES_MAX_DEFAULT (UINT64_C(10) << 20)
#define CACHE_BYTES_DEFAULT (UINT64_C(256) << 10) /* with neither limit given: what stays in a processor's cache */
#define FLAGS (LS_ITERATOR_INTERRUPTIBLE | LS_ITERATOR_DEAGGREGATE | LS_ITERATOR_MAPPED)

/* ---- opening and closing ---- */

/* What the three ways to open have in common. `place` or else `position` says where; without `is_merged` and `place`
 * there is one `shard`. */
typedef struct opening {
    bool is_merged;
    uint32_t shard;
    const ls_position *position;
    const char *place;
    const char *call; /* the function's name */
} opening;

static ls_status open_iterator(ls_stream *stream, const opening *where, const ls_iterator_options *options,
                               ls_iterator **out)
{
    ls_iterator_options own;
    ls_iterator *iterator;
    ls_status st;

    LSI_ENTER(stream->store);
    st = lsi_store_require(stream->store, LSI_MAY_READ, where->call);
    if (st != LS_OK)
        return st;
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_iterator_options, flags));
    if (st != LS_OK)
        return st;
    if ((own.flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags are 0x%" PRIx32 ": an iterator takes 0x%" PRIx32,
                        own.flags, FLAGS);
    iterator = lsi_alloc_zero(&stream->store->env.memory, sizeof *iterator);
    if (iterator == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for an iterator", stream->name);
    iterator->stream = stream;
    if (where->place != NULL)
        st = lsi_iterator_open_place(stream->stream, where->place, own.flags, &iterator->iterator);
    else if (where->is_merged)
        st = lsi_iterator_open_all(stream->stream, where->position, own.flags, &iterator->iterator);
    else
        st = lsi_iterator_open(stream->stream, where->shard, where->position, own.flags, &iterator->iterator);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, iterator);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = iterator;
    return lsi_error_end(LS_OK);
}

ls_status ls_iterator_open(ls_stream *stream, uint32_t shard, const ls_position *position,
                           const ls_iterator_options *options, ls_iterator **out)
{
    const opening where = {.call = __func__, .shard = shard, .position = position};

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    return open_iterator(stream, &where, options, out);
}

ls_status ls_iterator_open_all(ls_stream *stream, const ls_position *position, const ls_iterator_options *options,
                               ls_iterator **out)
{
    const opening where = {.call = __func__, .is_merged = true, .position = position};

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    return open_iterator(stream, &where, options, out);
}

ls_status ls_iterator_open_place(ls_stream *stream, const char *place, const ls_iterator_options *options,
                                 ls_iterator **out)
{
    const opening where = {.call = __func__, .place = place};

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(place);
    LSI_REFUSE_NULL(out);
    return open_iterator(stream, &where, options, out);
}

void ls_iterator_close(ls_iterator *iterator)
{
    ls_stream *stream;

    if (iterator == NULL)
        return;
    stream = iterator->stream;
    lsi_iterator_close(iterator->iterator);
    lsi_free(&stream->store->env.memory, iterator);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
}

/* ---- reading ---- */

ls_status ls_iterator_next(ls_iterator *iterator, const ls_next_options *options, const ls_batch **out)
{
    ls_next_options own;
    ls_status st;

    LSI_REFUSE_NULL(iterator);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(iterator->stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_next_options, timeout_ms));
    if (st != LS_OK)
        return st;
    if (own.timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.timeout_ms is %" PRId64 ": -1 has no end, 0 polls",
                        own.timeout_ms);
    if (own.bytes_max == 0)
        own.bytes_max = own.records_max != 0 ? BYTES_MAX_DEFAULT : CACHE_BYTES_DEFAULT;
    if (own.records_max == 0)
        own.records_max = RECORDS_MAX_DEFAULT;
    return lsi_error_end(lsi_iterator_next(iterator->iterator, own.records_max, own.bytes_max, own.timeout_ms, out));
}

ls_status ls_iterator_seek(ls_iterator *iterator, const ls_position *position)
{
    LSI_REFUSE_NULL(iterator);
    LSI_REFUSE_NULL(position);
    LSI_ENTER(iterator->stream->store);
    return lsi_error_end(lsi_iterator_seek(iterator->iterator, position));
}

void ls_iterator_cancel(ls_iterator *iterator)
{
    if (iterator != NULL && lsi_store_is_mine(iterator->stream->store))
        lsi_iterator_cancel(iterator->iterator);
}

ls_status ls_iterator_place(ls_iterator *iterator, char *buffer, size_t capacity, size_t *needed)
{
    LSI_REFUSE_NULL(iterator);
    if (capacity != 0)
        LSI_REFUSE_NULL(buffer);
    LSI_ENTER(iterator->stream->store);
    return lsi_iterator_place(iterator->iterator, buffer, capacity, needed);
}

ls_status ls_iterator_event_fd(ls_iterator *iterator, int32_t *out)
{
    LSI_REFUSE_NULL(iterator);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(iterator->stream->store);
    return lsi_error_end(lsi_iterator_event_fd(iterator->iterator, out));
}

/* ---- what a batch shows ---- */

size_t ls_batch_count(const ls_batch *batch)
{
    return batch == NULL ? 0 : batch->count;
}

const ls_record *ls_batch_records(const ls_batch *batch)
{
    return batch == NULL ? NULL : batch->records;
}

const ls_record *ls_batch_at(const ls_batch *batch, size_t index)
{
    return batch == NULL || index >= batch->count ? NULL : &batch->records[index];
}

uint32_t ls_batch_shard(const ls_batch *batch)
{
    return batch == NULL ? LS_NO_SHARD : batch->shard;
}

int64_t ls_batch_millis_behind_latest(const ls_batch *batch)
{
    return batch == NULL ? 0 : batch->millis_behind_latest;
}

int32_t ls_batch_is_shard_end(const ls_batch *batch)
{
    return batch != NULL && batch->is_shard_end;
}

uint32_t ls_batch_child_count(const ls_batch *batch)
{
    return batch == NULL ? 0 : batch->child_count;
}

uint32_t ls_batch_child_at(const ls_batch *batch, uint32_t position)
{
    return batch == NULL || position >= batch->child_count ? LS_NO_SHARD : batch->children[position];
}
