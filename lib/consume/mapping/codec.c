/* A mapping as a value of its stream's state, both ways. FORMAT.md ("State") has the table of its fields.
 *
 * What is read may be anything (X1): lengths are checked before they are believed, and settings by the rules that those
 * of a caller must keep. */
#include "consume/mapping/mapping.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define FORMAT 1u
#define HEAD_BYTES 104u

void lsi_mapping_free(lsi_mapping *mapping)
{
    lsi_memory memory;

    if (mapping == NULL)
        return;
    memory = mapping->memory;
    lsi_free(&memory, mapping->texts);
    lsi_free(&memory, mapping->filters);
    lsi_free(&memory, mapping);
}

/* ---- writing ---- */

/* With its end; 0: there is none. */
static uint32_t name_bytes(const char *name)
{
    return name == NULL ? 0 : (uint32_t)strlen(name) + 1;
}

static void put_head(lsi_writer *to, const lsi_mapping *mapping)
{
    const ls_mapping_options *options = &mapping->options;

    lsi_put_u32(to, FORMAT);
    lsi_put_u32(to, options->flags);
    lsi_put_u64(to, mapping->id);
    lsi_put_u64(to, (uint64_t)mapping->created_us);
    lsi_put_u64(to, (uint64_t)mapping->modified_us);
    lsi_put_u64(to, (uint64_t)mapping->start_timestamp_us);
    lsi_put_u32(to, (uint32_t)mapping->start_kind);
    lsi_put_u32(to, (uint32_t)mapping->status);
    lsi_put_u64(to, options->bytes_max);
    lsi_put_u32(to, options->records_max);
    lsi_put_u32(to, options->batching_window_ms);
    lsi_put_u32(to, options->lane_count);
    lsi_put_u32(to, (uint32_t)options->retries_max);
    lsi_put_u32(to, options->record_age_s_max);
    lsi_put_u32(to, options->tumbling_window_s);
    lsi_put_u32(to, options->window_state_bytes_max);
    lsi_put_u32(to, (uint32_t)options->handler_timeout_ms);
    lsi_put_u32(to, options->sync_interval_ms);
    lsi_put_u32(to, options->filter_count);
    lsi_put_u32(to, name_bytes(options->failure_stream));
    lsi_put_u32(to, name_bytes(options->consumer));
}

ls_status lsi_mapping_encode(const lsi_memory *memory, const lsi_mapping *mapping, ls_bytes *out)
{
    const ls_mapping_options *options = &mapping->options;
    size_t size = HEAD_BYTES + name_bytes(options->failure_stream) + name_bytes(options->consumer);
    unsigned char *bytes;
    lsi_writer to;

    for (uint32_t i = 0; i < options->filter_count; i++)
        size += 4 + strlen(options->filters[i]) + 1;
    bytes = lsi_alloc(memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for mapping '%s'", mapping->name);
    to = (lsi_writer){bytes, bytes + size};
    put_head(&to, mapping);
    for (uint32_t i = 0; i < options->filter_count; i++) {
        size_t text_size = strlen(options->filters[i]) + 1;

        lsi_put_u32(&to, (uint32_t)text_size);
        lsi_put_bytes(&to, options->filters[i], text_size);
    }
    if (options->failure_stream != NULL)
        lsi_put_bytes(&to, options->failure_stream, name_bytes(options->failure_stream));
    if (options->consumer != NULL)
        lsi_put_bytes(&to, options->consumer, name_bytes(options->consumer));
    *out = (ls_bytes){bytes, size};
    return LS_OK;
}

/* ---- reading ---- */

typedef struct name_sizes {
    uint32_t failure_stream, consumer;
} name_sizes;

static void take_head(lsi_cursor *from, lsi_mapping *mapping, name_sizes *sizes)
{
    ls_mapping_options *options = &mapping->options;

    options->size = (uint32_t)sizeof(*options);
    options->flags = lsi_take_u32(from);
    mapping->id = lsi_take_u64(from);
    mapping->created_us = (int64_t)lsi_take_u64(from);
    mapping->modified_us = (int64_t)lsi_take_u64(from);
    mapping->start_timestamp_us = (int64_t)lsi_take_u64(from);
    mapping->start_kind = (ls_position_kind)lsi_take_u32(from);
    mapping->status = (ls_mapping_status)lsi_take_u32(from);
    options->bytes_max = lsi_take_u64(from);
    options->records_max = lsi_take_u32(from);
    options->batching_window_ms = lsi_take_u32(from);
    options->lane_count = lsi_take_u32(from);
    options->retries_max = (int32_t)lsi_take_u32(from);
    options->record_age_s_max = lsi_take_u32(from);
    options->tumbling_window_s = lsi_take_u32(from);
    options->window_state_bytes_max = lsi_take_u32(from);
    options->handler_timeout_ms = (int32_t)lsi_take_u32(from);
    options->sync_interval_ms = lsi_take_u32(from);
    options->filter_count = lsi_take_u32(from);
    sizes->failure_stream = lsi_take_u32(from);
    sizes->consumer = lsi_take_u32(from);
}

static ls_status no_memory(const lsi_mapping *mapping)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for mapping '%s'", mapping->name);
}

static ls_status take_filters(lsi_cursor *from, lsi_mapping *mapping)
{
    size_t size = from->bad ? 0 : (size_t)(from->end - from->at);
    uint32_t count = mapping->options.filter_count;

    if (count > LS_MAPPING_FILTERS_MAX)
        from->bad = true;
    if (from->bad || count == 0)
        return LS_OK;
    mapping->texts = lsi_alloc(&mapping->memory, size);
    mapping->filters = lsi_alloc_zero(&mapping->memory, count * sizeof(*mapping->filters));
    if (mapping->texts == NULL || mapping->filters == NULL)
        return no_memory(mapping);
    memcpy(mapping->texts, from->at, size);
    mapping->options.filters = mapping->filters;
    for (uint32_t i = 0; i < count; i++) {
        size_t text_size = lsi_take_u32(from);
        const char *text = mapping->texts + (size - (size_t)(from->end - from->at));
        const unsigned char *bytes = lsi_take_bytes(from, text_size);

        if (bytes == NULL || text_size == 0 || memchr(bytes, 0, text_size) != bytes + text_size - 1) {
            from->bad = true;
            return LS_OK;
        }
        mapping->filters[i] = text;
    }
    return LS_OK;
}

/* With its end, into `room`; NULL: there is none. */
static const char *take_name(lsi_cursor *from, uint32_t size, char room[LSI_STREAM_NAME_MAX + 1])
{
    const unsigned char *bytes = size == 0 ? NULL : lsi_take_bytes(from, size);

    if (size == 0)
        return NULL;
    if (bytes == NULL || size > LSI_STREAM_NAME_MAX + 1 || memchr(bytes, 0, size) != bytes + size - 1) {
        from->bad = true;
        return NULL;
    }
    memcpy(room, bytes, size);
    return room;
}

static bool is_valid(const lsi_mapping *mapping)
{
    lsi_error_state error;
    bool valid;

    lsi_error_save(&error);
    valid = (mapping->status == LS_MAPPING_ENABLED || mapping->status == LS_MAPPING_DISABLED) &&
        (mapping->start_kind == LS_TRIM_HORIZON || mapping->start_kind == LS_LATEST ||
         mapping->start_kind == LS_AT_TIMESTAMP) &&
        mapping->options.bytes_max != 0 && mapping->options.handler_timeout_ms != 0 &&
        lsi_mapping_options_check(&mapping->options) == LS_OK;
    lsi_error_restore(&error);
    return valid;
}

ls_status lsi_mapping_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_mapping **out)
{
    const char *key = entry->key.data;
    size_t prefix = sizeof(LSI_MAPPING_PREFIX) - 1, name_size = entry->key.size - prefix;
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    lsi_mapping *mapping;
    name_sizes sizes;
    uint32_t format;
    ls_status st;

    if (name_size == 0 || name_size > LSI_STREAM_NAME_MAX)
        return lsi_fail(LS_ERR_CORRUPT, "the state has a mapping whose name is of %zu bytes", name_size);
    mapping = lsi_alloc_zero(memory, sizeof(*mapping));
    if (mapping == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a mapping");
    mapping->memory = *memory;
    memcpy(mapping->name, key + prefix, name_size);
    mapping->version = entry->version;
    format = lsi_take_u32(&from);
    if (format > FORMAT) {
        st = lsi_fail(LS_ERR_VERSION, "mapping '%s' is of format %u: this release knows %u", mapping->name, format,
                      FORMAT);
        goto fail;
    }
    take_head(&from, mapping, &sizes);
    st = take_filters(&from, mapping);
    if (st == LS_OK) {
        mapping->options.failure_stream = take_name(&from, sizes.failure_stream, mapping->own_failure_stream);
        mapping->options.consumer = take_name(&from, sizes.consumer, mapping->own_consumer);
    }
    if (st == LS_OK && (format != FORMAT || from.bad || from.at != from.end || !is_valid(mapping)))
        st = lsi_fail(LS_ERR_CORRUPT, "the state's value of mapping '%s', %zu bytes, is none", mapping->name,
                      entry->value.size);
    if (st != LS_OK)
        goto fail;
    *out = mapping;
    return LS_OK;
fail:
    lsi_mapping_free(mapping);
    return st;
}
