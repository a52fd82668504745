/* Mappings as they are kept: values of their stream's state, changed by compare and swap.
 *
 * Its leases (lease.h) are made, moved and removed with it, in one write. */
#include "consume/mapping/mapping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "consume/iterator.h"
#include "consume/lease/lease.h"

static ls_bytes key_of(const char *name, char text[LSI_MAPPING_KEY_BYTES])
{
    int size = snprintf(text, LSI_MAPPING_KEY_BYTES, LSI_MAPPING_PREFIX "%s", name); /* fits: the name was checked */

    return (ls_bytes){text, (size_t)size};
}

/* ---- looking ---- */

typedef struct looking {
    const lsi_memory *memory;
    lsi_mapping *found;
    bool (*each)(void *user, const lsi_mapping *mapping);
    void *user;
} looking;

static ls_status take_one(void *user, const lsi_state_entry *entry, bool *goes_on)
{
    looking *of = user;

    (void)goes_on; /* There is one of a name. */
    return lsi_mapping_decode(of->memory, entry, &of->found);
}

ls_status lsi_mapping_load(lsi_engine_stream *stream, const char *name, lsi_mapping **out)
{
    char text[LSI_MAPPING_KEY_BYTES];
    looking of = {.memory = &stream->engine->env.memory};
    ls_status st = lsi_check_mapping_name(name);

    if (st == LS_OK)
        st = lsi_kept_find(stream, key_of(name, text), take_one, &of);
    if (st == LS_OK && of.found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no mapping '%s'", stream->name, name);
    if (st == LS_OK)
        *out = of.found;
    return st;
}

static ls_status show_one(void *user, const lsi_state_entry *entry, bool *goes_on)
{
    looking *of = user;
    lsi_mapping *mapping;
    ls_status st = lsi_mapping_decode(of->memory, entry, &mapping);

    if (st != LS_OK)
        return st;
    *goes_on = of->each(of->user, mapping);
    lsi_mapping_free(mapping);
    return LS_OK;
}

ls_status lsi_mapping_each(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_mapping *mapping), void *user)
{
    looking of = {.memory = &stream->engine->env.memory, .each = each, .user = user};

    return lsi_kept_each(stream, (ls_bytes){LSI_MAPPING_PREFIX, sizeof(LSI_MAPPING_PREFIX) - 1}, show_one, &of);
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

static ls_status check_consumer(lsi_engine_stream *stream, const ls_mapping_options *options)
{
    lsi_consumer found;

    return options->consumer != NULL ? lsi_consumer_find(stream, options->consumer, &found) : LS_OK;
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

/* What makes the mapping what it is; the value is the caller's (lsi_free). */
static ls_status change_of(const lsi_mapping *mapping, char text[LSI_MAPPING_KEY_BYTES], lsi_state_change *out)
{
    *out = (lsi_state_change){.key = key_of(mapping->name, text), .expected = mapping->version};
    return lsi_mapping_encode(&mapping->memory, mapping, &out->value);
}

static void free_value(const lsi_mapping *mapping, const lsi_state_change *change)
{
    lsi_free(&mapping->memory, (void *)(uintptr_t)change->value.data);
}

/* `*conflict`: somebody else was faster, and nothing was changed. */
static ls_status store(lsi_engine_stream *stream, const lsi_mapping *mapping, bool *conflict)
{
    char text[LSI_MAPPING_KEY_BYTES];
    lsi_state_change change;
    uint32_t at;
    ls_status st = change_of(mapping, text, &change);

    if (st != LS_OK)
        return st;
    st = stream->engine->ops->state_write(stream, &change, 1, &at);
    *conflict = st == LS_OK && at < 1;
    free_value(mapping, &change);
    return st;
}

/* The mapping, its group, and a lease for each shard in which it begins. */
static ls_status make(lsi_engine_stream *stream, const lsi_mapping *mapping, lsi_lease_start start, bool *is_done)
{
    char text[LSI_MAPPING_KEY_BYTES];
    lsi_state_change change;
    ls_status st = change_of(mapping, text, &change);

    if (st != LS_OK)
        return st;
    st = lsi_group_make_owned(stream, mapping->name, mapping->id, start, (lsi_lease_beside){&change, 1}, is_done);
    free_value(mapping, &change);
    return st;
}

ls_status lsi_mapping_create(lsi_engine_stream *stream, const char *name, const ls_position *position,
                             const ls_mapping_options *options)
{
    const lsi_env *env = &stream->engine->env;
    lsi_mapping *mapping;
    bool is_done = false;
    lsi_lease_start start;
    ls_status st = lsi_check_mapping_name(name);

    if (st == LS_OK)
        st = lsi_lease_start_of(env, "a mapping", position, &start);
    if (st == LS_OK)
        st = check_filters(&env->memory, options);
    if (st == LS_OK)
        st = check_failure_stream(stream, options);
    if (st == LS_OK)
        st = check_consumer(stream, options);
    if (st != LS_OK)
        return st;
    mapping = lsi_alloc_zero(&env->memory, sizeof(*mapping));
    if (mapping == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for mapping '%s'", name);
    mapping->memory = env->memory;
    (void)snprintf(mapping->name, sizeof(mapping->name), "%s", name); /* fits: it was checked */
    do
        env->random(env->random_user, &mapping->id, sizeof(mapping->id));
    while (mapping->id == 0);
    mapping->version = LSI_STATE_NONE;
    mapping->status = LS_MAPPING_ENABLED;
    mapping->created_us = mapping->modified_us = lsi_wall_us(&env->clock);
    mapping->start_kind = position->kind;
    mapping->start_timestamp_us = position->timestamp_us;
    mapping->options = *options;
    while (st == LS_OK && !is_done)
        st = make(stream, mapping, start, &is_done);
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
    if (st == LS_OK && options != NULL)
        st = check_consumer(stream, options);
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

/* The leases as they are for one that begins now: `rows` [count] of those that there are, and `fresh` ones; out of both
 * become [*out_count] that are to be written. Owners lose theirs. */
static void move_rows(const lsi_lease_row *rows, uint32_t count, const lsi_lease_row *fresh, uint32_t fresh_count,
                      lsi_lease_row *out, uint32_t *out_count)
{
    uint32_t made = 0, next = 0;

    for (uint32_t i = 0; i < count; i++) {
        lsi_lease_row *to;

        while (next < fresh_count && fresh[next].place.shard < rows[i].place.shard)
            out[made++] = fresh[next++];
        to = &out[made++];
        *to = rows[i];
        to->is_removed = next == fresh_count || fresh[next].place.shard != rows[i].place.shard;
        if (to->is_removed)
            continue;
        *to = fresh[next++];
        to->version = rows[i].version;
        to->counter = rows[i].counter + 1;
    }
    while (next < fresh_count)
        out[made++] = fresh[next++];
    *out_count = made;
}

/* `*is_there` false: the mapping has gone since it was looked at. */
static ls_status find_group(lsi_engine_stream *stream, const lsi_mapping *mapping, lsi_group_settings *out,
                            bool *is_there)
{
    lsi_mapping *now;
    ls_status st = lsi_group_find(stream, mapping->name, out);

    *is_there = st == LS_OK && out->version != LSI_STATE_NONE && out->mapping == mapping->id;
    if (st != LS_OK || *is_there)
        return st;
    st = lsi_mapping_load(stream, mapping->name, &now);
    if (st != LS_OK)
        return st;
    if (now->id == mapping->id)
        st = lsi_fail(LS_ERR_CORRUPT, "mapping '%s' has no group", mapping->name);
    lsi_mapping_free(now);
    return st;
}

/* The mapping is at `start`, and all that is known of its progress forgotten. */
static ls_status move(lsi_engine_stream *stream, const lsi_mapping *mapping, lsi_lease_start start, bool *is_done)
{
    const lsi_memory *memory = &mapping->memory;
    lsi_lease_row *rows = NULL, *fresh = NULL, *all = NULL;
    uint32_t count, fresh_count, all_count;
    char text[LSI_MAPPING_KEY_BYTES];
    lsi_window_removals windows = {.count = 0};
    lsi_group_settings settings;
    bool is_there;
    ls_status st = find_group(stream, mapping, &settings, &is_there);

    if (st != LS_OK || !is_there)
        return st;
    settings.start = start;
    settings.created_us = lsi_wall_us(&stream->engine->env.clock);
    settings.is_changed = true;
    st = lsi_lease_rows(stream, mapping->name, &rows, &count);
    if (st == LS_OK)
        st = lsi_lease_first_rows(stream, start, &fresh, &fresh_count);
    if (st == LS_OK)
        st = lsi_window_find_all(stream, mapping->name, &windows);
    if (st == LS_OK) {
        all = lsi_alloc(memory, ((size_t)count + fresh_count + 1) * sizeof(*all));
        st = all == NULL ? lsi_fail(LS_ERR_NO_MEMORY, "no memory for the leases of mapping '%s'", mapping->name)
                         : change_of(mapping, text, &windows.changes[0]);
    }
    if (st == LS_OK) {
        move_rows(rows, count, fresh, fresh_count, all, &all_count);
        st = lsi_lease_write(stream, mapping->name, &settings, all, all_count,
                             (lsi_lease_beside){windows.changes, windows.count + 1}, is_done);
        free_value(mapping, &windows.changes[0]);
    }
    lsi_window_removals_free(memory, &windows);
    lsi_free(memory, all);
    lsi_free(memory, fresh);
    lsi_free(memory, rows);
    return st;
}

ls_status lsi_mapping_seek(lsi_engine_stream *stream, const char *name, const ls_position *position)
{
    bool is_done = false;
    lsi_lease_start start;
    ls_status st = lsi_lease_start_of(&stream->engine->env, "a mapping", position, &start);

    while (st == LS_OK && !is_done) {
        lsi_mapping *mapping;

        st = lsi_mapping_load(stream, name, &mapping);
        if (st != LS_OK)
            return st;
        mapping->start_kind = position->kind;
        mapping->start_timestamp_us = position->timestamp_us;
        mapping->modified_us = lsi_wall_us(&stream->engine->env.clock);
        st = move(stream, mapping, start, &is_done);
        lsi_mapping_free(mapping);
    }
    return st;
}

static ls_status remove_all(lsi_engine_stream *stream, const lsi_mapping *mapping, bool *is_done)
{
    char text[LSI_MAPPING_KEY_BYTES];
    lsi_window_removals windows;
    lsi_group_settings settings;
    bool is_there;
    ls_status st = find_group(stream, mapping, &settings, &is_there);

    if (st == LS_OK && is_there)
        st = lsi_window_find_all(stream, mapping->name, &windows);
    if (st != LS_OK || !is_there)
        return st;
    windows.changes[0] = (lsi_state_change){.key = key_of(mapping->name, text), .expected = mapping->version};
    st = lsi_group_remove(stream, mapping->name, &settings, (lsi_lease_beside){windows.changes, windows.count + 1},
                          is_done);
    lsi_window_removals_free(&mapping->memory, &windows);
    return st;
}

ls_status lsi_mapping_remove(lsi_engine_stream *stream, const char *name)
{
    bool is_done = false;
    ls_status st = LS_OK;

    while (st == LS_OK && !is_done) {
        lsi_mapping *mapping;

        st = lsi_mapping_load(stream, name, &mapping);
        if (st != LS_OK)
            return st;
        st = remove_all(stream, mapping, &is_done);
        lsi_mapping_free(mapping);
    }
    return st;
}
