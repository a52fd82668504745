/* Mappings as they are kept: values of their stream's state, changed by compare and swap.
 *
 * Where a mapping begins is a number for each shard before it is there itself, and those numbers are synced first: so
 * no crash lets it begin behind a record that was put after it. */
#include "consume/mapping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

static ls_bytes key_of(const char *name, char text[LSI_MAPPING_KEY_BYTES])
{
    int size = snprintf(text, LSI_MAPPING_KEY_BYTES, LSI_MAPPING_PREFIX "%s", name); /* fits: the name was checked */

    return (ls_bytes){text, (size_t)size};
}

/* ---- looking ---- */

typedef struct looking {
    const lsi_memory *memory;
    ls_bytes key; /* of the one that is looked for */
    lsi_mapping *found;
    bool (*each)(void *user, const lsi_mapping *mapping);
    void *user;
    ls_status st;
    lsi_error_state error; /* when it is not LS_OK: a reading that succeeds leaves the last one alone */
} looking;

static ls_status end_looking(const looking *of, ls_status st)
{
    if (st != LS_OK || of->st == LS_OK)
        return st;
    lsi_error_restore(&of->error);
    return of->st;
}

static bool take_one(void *user, const lsi_state_entry *entry)
{
    looking *of = user;

    if (entry->key.size == of->key.size) /* the prefix is all of it */
        of->st = lsi_mapping_decode(of->memory, entry, &of->found);
    lsi_error_save(&of->error);
    return false; /* It is the first of those that begin like it. */
}

ls_status lsi_mapping_load(lsi_engine_stream *stream, const char *name, lsi_mapping **out)
{
    char text[LSI_MAPPING_KEY_BYTES];
    looking of = {.memory = &stream->engine->env.memory, .st = LS_OK};
    ls_status st = lsi_check_mapping_name(name);

    if (st != LS_OK)
        return st;
    of.key = key_of(name, text);
    st = end_looking(&of, stream->engine->ops->state_read(stream, of.key, take_one, &of));
    if (st == LS_OK && of.found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "the stream has no mapping '%s'", name);
    if (st == LS_OK)
        *out = of.found;
    return st;
}

static bool show_one(void *user, const lsi_state_entry *entry)
{
    looking *of = user;
    lsi_mapping *mapping;
    bool goes_on;

    of->st = lsi_mapping_decode(of->memory, entry, &mapping);
    if (of->st != LS_OK) {
        lsi_error_save(&of->error);
        return false;
    }
    goes_on = of->each(of->user, mapping);
    lsi_mapping_free(mapping);
    return goes_on;
}

ls_status lsi_mapping_each(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_mapping *mapping), void *user)
{
    looking of = {.memory = &stream->engine->env.memory, .each = each, .user = user, .st = LS_OK};
    ls_bytes prefix = {LSI_MAPPING_PREFIX, sizeof(LSI_MAPPING_PREFIX) - 1};

    return end_looking(&of, stream->engine->ops->state_read(stream, prefix, show_one, &of));
}

/* ---- where it begins ---- */

static ls_status check_position(const lsi_env *env, const ls_position *position)
{
    bool takes_timestamp = position->kind == LS_AT_TIMESTAMP;

    if (position->kind != LS_TRIM_HORIZON && position->kind != LS_LATEST && !takes_timestamp)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.kind is %" PRId32 ": a mapping begins at TRIM_HORIZON (%d), "
                        "LATEST (%d) or AT_TIMESTAMP (%d)", position->kind, LS_TRIM_HORIZON, LS_LATEST,
                        LS_AT_TIMESTAMP);
    if (position->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.reserved is %" PRId32 ", not 0", position->reserved);
    if (position->seqno != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.seqno is %" PRIu64 ": kind %" PRId32 " takes none",
                        position->seqno, position->kind);
    if (!takes_timestamp && position->timestamp_us != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": kind %" PRId32 " takes none",
                        position->timestamp_us, position->kind);
    if (takes_timestamp && position->timestamp_us > lsi_wall_us(&env->clock))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": that is in the future",
                        position->timestamp_us);
    return LS_OK;
}

/* The number at which `position` is in a shard now. NONE: its beginning. */
static ls_status find_seqno(lsi_engine_stream *stream, const lsi_shard *shard, const ls_position *position,
                            ls_seqno *out)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    lsi_reader *reader;
    ls_status st;

    *out = LS_SEQNO_END;
    if (shard->closed && (position->kind == LS_LATEST || shard->closed_us < position->timestamp_us))
        return LS_OK;
    st = ops->reader_open(stream, shard->index, LSI_READER_ONE_OF_MANY, &reader);
    if (st != LS_OK)
        return st;
    st = ops->seek(reader, position);
    if (st == LS_OK)
        *out = ops->place(reader);
    ops->reader_close(reader);
    return st;
}

static ls_status find_starts(lsi_engine_stream *stream, const ls_position *position, lsi_mapping *mapping)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    lsi_stream_info info = {0};
    ls_status st = ops->info(stream, &info);

    if (st != LS_OK)
        return st;
    if (info.status == LS_STREAM_CREATING || info.status == LS_STREAM_DELETING) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' is being %s", info.name,
                      info.status == LS_STREAM_CREATING ? "created" : "deleted");
        goto out;
    }
    if (position->kind == LS_TRIM_HORIZON)
        goto out;
    mapping->own_starts = lsi_alloc(&mapping->memory, info.shard_count * sizeof(*mapping->own_starts));
    if (mapping->own_starts == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for mapping '%s'", info.name, mapping->name);
    mapping->starts = mapping->own_starts;
    for (uint32_t i = 0; st == LS_OK && i < info.shard_count; i++) {
        lsi_mapping_start start = {.shard = info.shards[i].index};

        st = find_seqno(stream, &info.shards[i], position, &start.seqno);
        if (st == LS_OK && start.seqno != LS_SEQNO_NONE)
            mapping->own_starts[mapping->start_count++] = start;
    }
    if (st == LS_OK) /* What a crash takes back would have its numbers given again, behind the mapping's back. */
        st = ops->sync(stream->engine);
out:
    lsi_stream_info_free(&info);
    return st;
}

/* ---- changing ---- */

static ls_status check_filters(const lsi_memory *memory, const ls_mapping_options *options)
{
    lsi_filter *filter = NULL;
    ls_status st;

    if (options->filter_count == 0)
        return LS_OK;
    st = lsi_filter_open(memory, options->filters, options->filter_count, NULL, &filter);
    lsi_filter_close(filter);
    return st;
}

/* It takes every record that can be given up: one whose report is too large goes there as it is. */
static ls_status check_failure_stream(lsi_engine_stream *stream, const ls_mapping_options *options)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    const char *name = options->failure_stream;
    lsi_stream_info own = {0}, other = {0};
    lsi_engine_stream *destination;
    ls_status st;

    if (name == NULL)
        return LS_OK;
    st = ops->stream_open(stream->engine, name, &destination);
    if (st != LS_OK)
        return st;
    st = ops->info(stream, &own);
    if (st == LS_OK)
        st = ops->info(destination, &other);
    if (st == LS_OK && strcmp(own.name, name) == 0)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.failure_stream is '%s', the mapping's own stream", name);
    else if (st == LS_OK && other.record_bytes_max < own.record_bytes_max)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.failure_stream '%s' takes records of %" PRIu32 " bytes, and "
                      "stream '%s' has some of %" PRIu32, name, other.record_bytes_max, own.name,
                      own.record_bytes_max);
    lsi_stream_info_free(&own);
    lsi_stream_info_free(&other);
    ops->stream_close(destination);
    return st;
}

/* `*conflict`: somebody else was faster, and nothing was changed. */
static ls_status store(lsi_engine_stream *stream, const lsi_mapping *mapping, bool *conflict)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    char text[LSI_MAPPING_KEY_BYTES];
    lsi_state_change change = {.key = key_of(mapping->name, text), .expected = mapping->version};
    uint32_t at;
    ls_status st = lsi_mapping_encode(memory, mapping, &change.value);

    if (st != LS_OK)
        return st;
    st = stream->engine->ops->state_write(stream, &change, 1, &at);
    *conflict = st == LS_OK && at < 1;
    lsi_free(memory, (void *)(uintptr_t)change.value.data);
    return st;
}

ls_status lsi_mapping_create(lsi_engine_stream *stream, const char *name, const ls_position *position,
                             const ls_mapping_options *options)
{
    const lsi_env *env = &stream->engine->env;
    lsi_mapping *mapping;
    bool conflict = false;
    ls_status st = lsi_check_mapping_name(name);

    if (st == LS_OK)
        st = check_position(env, position);
    if (st == LS_OK)
        st = check_filters(&env->memory, options);
    if (st == LS_OK)
        st = check_failure_stream(stream, options);
    if (st != LS_OK)
        return st;
    mapping = lsi_alloc_zero(&env->memory, sizeof(*mapping));
    if (mapping == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for mapping '%s'", name);
    mapping->memory = env->memory;
    (void)snprintf(mapping->name, sizeof(mapping->name), "%s", name); /* fits: it was checked */
    env->random(env->random_user, &mapping->id, sizeof(mapping->id));
    mapping->progress_id = mapping->id;
    mapping->version = LSI_STATE_NONE;
    mapping->status = LS_MAPPING_ENABLED;
    mapping->created_us = mapping->modified_us = lsi_wall_us(&env->clock);
    mapping->start_kind = position->kind;
    mapping->start_timestamp_us = position->timestamp_us;
    mapping->options = *options;
    st = find_starts(stream, position, mapping);
    if (st == LS_OK)
        st = store(stream, mapping, &conflict);
    if (st == LS_OK && conflict)
        st = lsi_fail(LS_ERR_EXISTS, "the stream has a mapping '%s' already", name);
    lsi_mapping_free(mapping);
    return st;
}

ls_status lsi_mapping_change(lsi_engine_stream *stream, const char *name, const ls_mapping_options *options,
                             ls_mapping_status status)
{
    const lsi_env *env = &stream->engine->env;
    bool conflict = false;
    ls_status st = options != NULL ? check_filters(&env->memory, options) : LS_OK;

    if (st == LS_OK && options != NULL)
        st = check_failure_stream(stream, options);
    if (st != LS_OK)
        return st;
    do {
        lsi_mapping *mapping;

        st = lsi_mapping_load(stream, name, &mapping);
        if (st != LS_OK)
            return st;
        conflict = false;
        if (options != NULL || mapping->status != status) {
            if (options != NULL)
                mapping->options = *options; /* Borrowed for as long. */
            else
                mapping->status = status;
            mapping->modified_us = lsi_wall_us(&env->clock);
            st = store(stream, mapping, &conflict);
        }
        lsi_mapping_free(mapping);
    } while (conflict);
    return st;
}

/* The mapping, with where it begins in place of where it is. */
static ls_status move(lsi_engine_stream *stream, const ls_position *position, lsi_mapping *mapping, bool *conflict)
{
    const lsi_env *env = &stream->engine->env;
    ls_status st;

    lsi_free(&env->memory, mapping->own_starts);
    mapping->own_starts = NULL;
    mapping->starts = NULL;
    mapping->start_count = 0;
    mapping->start_kind = position->kind;
    mapping->start_timestamp_us = position->timestamp_us;
    mapping->modified_us = lsi_wall_us(&env->clock);
    env->random(env->random_user, &mapping->progress_id, sizeof(mapping->progress_id));
    st = find_starts(stream, position, mapping);
    return st == LS_OK ? store(stream, mapping, conflict) : st;
}

ls_status lsi_mapping_seek(lsi_engine_stream *stream, const char *name, const ls_position *position)
{
    bool conflict;
    ls_status st = check_position(&stream->engine->env, position);

    if (st != LS_OK)
        return st;
    do {
        lsi_mapping *mapping;

        st = lsi_mapping_load(stream, name, &mapping);
        if (st != LS_OK)
            return st;
        conflict = false;
        st = move(stream, position, mapping, &conflict);
        lsi_mapping_free(mapping);
    } while (conflict);
    return st;
}

ls_status lsi_mapping_remove(lsi_engine_stream *stream, const char *name)
{
    char text[LSI_MAPPING_KEY_BYTES];
    bool conflict;
    ls_status st;

    do {
        lsi_state_change change = {.value = {NULL, 0}};
        lsi_mapping *mapping;
        uint32_t at;

        st = lsi_mapping_load(stream, name, &mapping);
        if (st != LS_OK)
            return st;
        change.key = key_of(name, text);
        change.expected = mapping->version;
        lsi_mapping_free(mapping);
        st = stream->engine->ops->state_write(stream, &change, 1, &at);
        conflict = st == LS_OK && at < 1;
    } while (conflict);
    /* What a crash leaves of the rows says nothing to a mapping of the same name that is made later: it has another
     * id. */
    return st == LS_OK ? lsi_mapping_rows_remove(stream, name) : st;
}
