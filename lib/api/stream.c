/* The exported functions of stream.h. Settings are checked and defaulted here, once for every engine. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define KNOWN_SHARD_INFO_BYTES LSI_SIZE_UP_TO(ls_shard_info, health) /* of the first release */

/* ---- creating, deleting, opening ---- */

static ls_status make_spec(const char *name, const ls_stream_options *options, lsi_stream_spec *out)
{
    uint32_t shard_count = options->shard_count != 0 ? options->shard_count : 1;
    uint32_t hours = options->retention_hours != 0 ? options->retention_hours : LSI_RETENTION_HOURS_DEFAULT;
    uint32_t bytes = options->record_bytes_max != 0 ? options->record_bytes_max : LSI_RECORD_BYTES_DEFAULT;
    const lsi_rates rates = {options->write_bytes_per_second, options->write_records_per_second,
                             options->read_bytes_per_second, options->read_calls_per_second};

    if (lsi_check_compression(options->compression) != LS_OK)
        return LS_ERR_INVALID_ARGUMENT;
    if (options->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", options->reserved);
    if (options->tag_count > 0)
        LSI_REFUSE_NULL(options->tags);
    if (shard_count > LSI_SHARD_COUNT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard_count is %" PRIu32 ": it is 1..%u", shard_count,
                        LSI_SHARD_COUNT_MAX);
    if (hours > LSI_RETENTION_HOURS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "retention_hours is %" PRIu32 ": it is 1..%u", hours,
                        LSI_RETENTION_HOURS_MAX);
    if (options->mode != LS_STREAM_ON_DEMAND && options->mode != LS_STREAM_PROVISIONED)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "mode is %" PRId32 ": it is %d or %d", options->mode,
                        LS_STREAM_ON_DEMAND, LS_STREAM_PROVISIONED);
    if (bytes < LSI_RECORD_BYTES_MIN_LIMIT || bytes > LSI_RECORD_BYTES_MAX_LIMIT)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "record_bytes_max is %" PRIu32 ": it is %u..%u", bytes,
                        LSI_RECORD_BYTES_MIN_LIMIT, LSI_RECORD_BYTES_MAX_LIMIT);
    if (lsi_check_rates(rates) != LS_OK)
        return LS_ERR_INVALID_ARGUMENT;
    *out = (lsi_stream_spec){
        .name = name,
        .rates = rates,
        .shard_count = shard_count,
        .retention_hours = hours,
        .retention_bytes = options->retention_bytes,
        .mode = options->mode,
        .record_bytes_max = bytes,
        .codec = (uint32_t)options->compression,
        .tags = options->tags,
        .tag_count = options->tag_count,
    };
    return LS_OK;
}

ls_status ls_stream_create(ls_store *store, const char *name, const ls_stream_options *options)
{
    ls_stream_options own;
    lsi_stream_spec spec;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_stream_options, compression));
    if (st == LS_OK)
        st = lsi_check_stream_name(name);
    if (st == LS_OK)
        st = make_spec(name, &own, &spec);
    return lsi_error_end(st == LS_OK ? store->engine->ops->create(store->engine, &spec) : st);
}

ls_status ls_stream_delete(ls_store *store, const char *name)
{
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, store);
    st = lsi_check_stream_name(name);
    return lsi_error_end(st == LS_OK ? store->engine->ops->remove(store->engine, name) : st);
}

ls_status ls_stream_open(ls_store *store, const char *name, ls_stream **out)
{
    ls_stream *stream;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(store);
    st = lsi_check_stream_name(name);
    if (st != LS_OK)
        return st;
    stream = lsi_alloc_zero(&store->env.memory, sizeof *stream);
    if (stream == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to open stream '%s'", name);
    stream->store = store;
    atomic_init(&stream->child_count, 0);
    memcpy(stream->name, name, strlen(name) + 1); /* Fits: it was checked. */
    st = store->engine->ops->stream_open(store->engine, name, &stream->stream);
    if (st != LS_OK) {
        lsi_free(&store->env.memory, stream);
        return st;
    }
    atomic_fetch_add_explicit(&store->stream_count, 1, memory_order_relaxed);
    *out = stream;
    return lsi_error_end(LS_OK);
}

ls_status ls_stream_close(ls_stream *stream)
{
    ls_store *store;
    uint32_t open_count;

    if (stream == NULL)
        return LS_OK;
    /* Pairs with the releases in ls_producer_close and ls_iterator_close. */
    open_count = atomic_load_explicit(&stream->child_count, memory_order_acquire);
    if (open_count != 0)
        return lsi_fail(LS_ERR_STATE, "stream '%s': %" PRIu32 " producers and iterators are still open", stream->name,
                        open_count);
    store = stream->store;
    lsi_error_begin();
    store->engine->ops->stream_close(stream->stream);
    lsi_free(&store->env.memory, stream);
    atomic_fetch_sub_explicit(&store->stream_count, 1, memory_order_release); /* Pairs with ls_store_close. */
    return lsi_error_end(LS_OK);
}

ls_status ls_stream_reset_shard(ls_stream *stream, uint32_t shard)
{
    LSI_REFUSE_NULL(stream);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(stream->store->engine->ops->reset_shard(stream->stream, shard));
}

/* ---- describing ---- */

struct ls_stream_description {
    lsi_memory memory;
    lsi_stream_info info;
    lsi_shard_state *states; /* [info.shard_count] */
};

void lsi_stream_hide_shards(lsi_stream_info *info)
{
    if (info->status == LS_STREAM_CREATING || info->status == LS_STREAM_DELETING)
        info->shard_count = 0;
}

/* A shard that is past its age is removed by upkeep, and that may be long in coming: listings show it no more. */
static void hide_expired_shards(lsi_stream_info *info)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < info->shard_count; i++)
        if (!info->shards[i].closed || info->shards[i].closed_us >= info->horizon_us)
            info->shards[count++] = info->shards[i];
    info->shard_count = count;
}

/* A shard that cannot be opened keeps nobody from the others: its health says so, and the rest of it is not known. */
static ls_status state_of(const ls_stream *stream, uint32_t shard, lsi_shard_state *out)
{
    ls_status st = stream->store->engine->ops->shard_state(stream->stream, shard, out);

    if (st != LS_ERR_CORRUPT && st != LS_ERR_IO)
        return st;
    *out = (lsi_shard_state){.health = st};
    return LS_OK;
}

static ls_status fill(const ls_stream *stream, ls_stream_description *description)
{
    const lsi_engine_ops *ops = stream->store->engine->ops;
    const lsi_shard *shards;
    ls_status st;

    lsi_free(&description->memory, description->states);
    description->states = NULL;
    lsi_stream_info_free(&description->info);
    description->info = (lsi_stream_info){0};
    st = ops->info(stream->stream, &description->info);
    if (st != LS_OK)
        return st;
    lsi_stream_hide_shards(&description->info);
    hide_expired_shards(&description->info);
    description->states =
        lsi_alloc_zero(&description->memory, description->info.shard_count * sizeof *description->states);
    if (description->states == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to describe stream '%s'", stream->name);
    shards = description->info.shards;
    for (uint32_t i = 0; i < description->info.shard_count && st == LS_OK; i++)
        st = state_of(stream, shards[i].index, &description->states[i]);
    return st;
}

ls_status ls_stream_describe(ls_stream *stream, ls_stream_description **out)
{
    const lsi_engine_ops *ops;
    ls_stream_description *description;
    uint64_t generation;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    ops = stream->store->engine->ops;
    description = lsi_alloc_zero(&stream->store->env.memory, sizeof *description);
    if (description == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to describe stream '%s'", stream->name);
    description->memory = stream->store->env.memory;
    do { /* A shard that was named a moment ago may have expired. */
        generation = ops->generation(stream->stream);
        st = fill(stream, description);
    } while (st == LS_ERR_NOT_FOUND && ops->generation(stream->stream) != generation);
    if (st == LS_OK)
        *out = description;
    else
        ls_stream_description_free(description);
    return lsi_error_end(st);
}

const char *ls_stream_description_name(const ls_stream_description *description)
{
    return description == NULL ? NULL : description->info.name;
}

uint64_t ls_stream_description_id(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.id;
}

ls_stream_status ls_stream_description_status(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.status;
}

ls_stream_mode ls_stream_description_mode(const ls_stream_description *description)
{
    return description == NULL ? LS_STREAM_ON_DEMAND : description->info.mode;
}

ls_status ls_stream_description_limits(const ls_stream_description *description, ls_stream_limits *out)
{
    const lsi_rates *rates;
    ls_stream_limits limits;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < LSI_SIZE_UP_TO(ls_stream_limits, read_calls_per_second))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    rates = &description->info.rates;
    limits = (ls_stream_limits){out->size, rates->write_bytes, rates->write_records, rates->read_bytes,
                                rates->read_calls};
    memcpy(out, &limits, sizeof limits); /* What a newer caller knows and we do not stays as its INIT macro made it. */
    return LS_OK;
}

ls_status ls_stream_description_cuts(const ls_stream_description *description, ls_stream_cuts *out)
{
    const lsi_cuts *cuts;
    ls_stream_cuts found;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < LSI_SIZE_UP_TO(ls_stream_cuts, last_us))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    cuts = &description->info.cuts;
    found = (ls_stream_cuts){.size = out->size, .count = cuts->count, .records = cuts->sum.records,
                             .bytes = cuts->sum.bytes, .lag_ms = cuts->sum.ms, .last_us = cuts->last_us};
    memcpy(out, &found, sizeof found); /* As above. */
    return LS_OK;
}

ls_status ls_stream_description_auto_scaling(const ls_stream_description *description, ls_auto_scaling *out)
{
    const lsi_auto_scaling *from;
    ls_auto_scaling found;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < LSI_SIZE_UP_TO(ls_auto_scaling, shards_max))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    from = &description->info.auto_scaling;
    found = (ls_auto_scaling){out->size, lsi_auto_scaling_is_on(from) ? 1 : 0, from->hot_percent, from->hot_seconds,
                              from->cold_percent, from->cold_seconds, from->shards_min, from->shards_max};
    memcpy(out, &found, sizeof found); /* What a newer caller knows and we do not stays as its INIT macro made it. */
    return LS_OK;
}

int64_t ls_stream_description_created_us(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.created_us;
}

uint32_t ls_stream_description_retention_hours(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.retention_hours;
}

uint64_t ls_stream_description_retention_bytes(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.retention_bytes;
}

uint32_t ls_stream_description_record_bytes_max(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.record_bytes_max;
}

const char *ls_stream_description_key_id(const ls_stream_description *description)
{
    return description == NULL ? NULL : description->info.key_id;
}

ls_compression ls_stream_description_compression(const ls_stream_description *description)
{
    return description == NULL ? LS_COMPRESSION_NONE : (ls_compression)description->info.codec;
}

int32_t ls_stream_description_recompression(const ls_stream_description *description)
{
    return description != NULL && description->info.recompresses;
}

uint32_t ls_stream_description_shard_count(const ls_stream_description *description)
{
    return description == NULL ? 0 : description->info.shard_count;
}

ls_status lsi_shard_info_fill(const lsi_shard *shard, const lsi_shard_state *state, ls_shard_info *out)
{
    ls_shard_info info;

    if (out->size < KNOWN_SHARD_INFO_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    info = (ls_shard_info){
        .size = out->size,
        .shard = shard->index,
        .first_hash_key = shard->range.first,
        .last_hash_key = shard->range.last,
        .starting_seqno = shard->first_seqno,
        .ending_seqno = shard->last_seqno,
        .oldest_seqno = state->oldest_seqno,
        .latest_seqno = state->oldest_seqno == LS_SEQNO_NONE ? LS_SEQNO_NONE : state->latest_seqno,
        .created_us = shard->created_us,
        .parent = shard->parent,
        .adjacent_parent = shard->adjacent_parent,
        .is_open = shard->closed ? 0 : 1,
        .health = state->health,
        .closed_us = shard->closed_us,
        .oldest_arrival_us = state->oldest_us,
        .latest_arrival_us = state->oldest_seqno == LS_SEQNO_NONE ? 0 : state->latest_us,
        .stored_bytes = state->bytes,
    };
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
    return LS_OK;
}

ls_status ls_stream_description_shard(const ls_stream_description *description, uint32_t position, ls_shard_info *out)
{
    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (position >= description->info.shard_count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": stream '%s' lists %" PRIu32 " shards",
                        position, description->info.name, description->info.shard_count);
    return lsi_shard_info_fill(&description->info.shards[position], &description->states[position], out);
}

void ls_stream_description_free(ls_stream_description *description)
{
    lsi_memory memory;

    if (description == NULL)
        return;
    memory = description->memory;
    lsi_stream_info_free(&description->info);
    lsi_free(&memory, description->states);
    lsi_free(&memory, description);
}
