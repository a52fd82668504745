/* The open tumbling window of a shard that a mapping works on, as a value of the stream's state beside the shard's
 * lease (lease.h). It is written in one step with the lease, whose version fences it off: FORMAT.md ("State") has the
 * table. And what the leases of a mapping say of all its shards. */
#include "consume/mapping/mapping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "consume/lease/lease.h"

#define PREFIX "window/"
#define FORMAT 1u
#define HEAD_BYTES 24u

_Static_assert(LSI_WINDOW_KEY_BYTES >= sizeof(PREFIX) + LSI_STREAM_NAME_MAX + 1 + 10, "a window's key fits");

static ls_bytes key_of(const char *name, uint32_t shard, char text[LSI_WINDOW_KEY_BYTES])
{
    return (ls_bytes){text, (size_t)snprintf(text, LSI_WINDOW_KEY_BYTES, PREFIX "%s/%010" PRIu32, name, shard)};
}

/* ---- writing ---- */

ls_status lsi_window_change(const lsi_memory *memory, const char *name, uint32_t shard, const lsi_progress *progress,
                            char text[LSI_WINDOW_KEY_BYTES], lsi_state_change *out)
{
    size_t size = HEAD_BYTES + progress->state.size;
    unsigned char *bytes;
    lsi_writer to;

    *out = (lsi_state_change){.key = key_of(name, shard, text), .expected = LSI_STATE_ANY};
    if (!progress->has_window)
        return LS_OK;
    bytes = lsi_alloc(memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "mapping '%s': no memory for a window's state of %zu bytes", name,
                        progress->state.size);
    to = (lsi_writer){bytes, bytes + size};
    lsi_put_u32(&to, FORMAT);
    lsi_put_u32(&to, 0);
    lsi_put_u64(&to, (uint64_t)progress->window_start_us);
    lsi_put_u64(&to, (uint64_t)progress->window_end_us);
    if (progress->state.size > 0)
        lsi_put_bytes(&to, progress->state.data, progress->state.size);
    out->value = (ls_bytes){bytes, size};
    return LS_OK;
}

/* ---- reading ---- */

typedef struct loading {
    const lsi_memory *memory;
    lsi_progress *out;
    void *bytes;
    bool is_short, is_bad;
} loading;

static bool load(void *user, const lsi_state_entry *entry)
{
    loading *of = user;
    lsi_progress *out = of->out;
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), zero = lsi_take_u32(&from);
    size_t size;

    out->window_start_us = (int64_t)lsi_take_u64(&from);
    out->window_end_us = (int64_t)lsi_take_u64(&from);
    size = from.bad ? 0 : (size_t)(from.end - from.at);
    of->is_bad = from.bad || format != FORMAT || zero != 0 || out->window_start_us >= out->window_end_us ||
        size > LSI_WINDOW_STATE_BYTES_LIMIT;
    if (!of->is_bad && size > 0) {
        of->bytes = lsi_alloc(of->memory, size);
        of->is_short = of->bytes == NULL;
        if (!of->is_short)
            memcpy(of->bytes, from.at, size);
    }
    out->state = (ls_bytes){of->bytes, size};
    out->has_window = !of->is_bad && !of->is_short;
    return false;
}

ls_status lsi_window_load(lsi_engine_stream *stream, const char *name, uint32_t shard, lsi_progress *out, void **bytes)
{
    loading of = {.memory = &stream->engine->env.memory, .out = out};
    char text[LSI_WINDOW_KEY_BYTES];
    ls_status st = stream->engine->ops->state_read(stream, key_of(name, shard, text), load, &of);

    if (st == LS_OK && of.is_bad)
        st = lsi_fail(LS_ERR_CORRUPT, "mapping '%s': the window of shard %" PRIu32 " is none", name, shard);
    if (st == LS_OK && of.is_short)
        st = lsi_fail(LS_ERR_NO_MEMORY, "mapping '%s': no memory for a window's state of %zu bytes", name,
                      out->state.size);
    *bytes = of.bytes;
    return st;
}

/* ---- all of a mapping ---- */

typedef struct gathering {
    const lsi_memory *memory;
    lsi_window_removals *out;
    bool is_short;
} gathering;

static bool gather(void *user, const lsi_state_entry *entry)
{
    gathering *of = user;
    lsi_window_removals *out = of->out;
    struct lsi_window_removal *to;

    if (entry->key.size > LSI_WINDOW_KEY_BYTES)
        return true; /* none of ours */
    of->is_short = !lsi_grow(of->memory, (void **)&out->keys, &out->capacity, (size_t)out->count + 1,
                             sizeof(*out->keys));
    if (of->is_short)
        return false;
    to = &out->keys[out->count++];
    memcpy(to->text, entry->key.data, entry->key.size);
    to->size = entry->key.size;
    return true;
}

ls_status lsi_window_find_all(lsi_engine_stream *stream, const char *name, lsi_window_removals *out)
{
    gathering of = {.memory = &stream->engine->env.memory, .out = out};
    char text[LSI_WINDOW_KEY_BYTES];
    int size = snprintf(text, sizeof(text), PREFIX "%s/", name);
    ls_status st;

    *out = (lsi_window_removals){.count = 0};
    st = stream->engine->ops->state_read(stream, (ls_bytes){text, (size_t)size}, gather, &of);
    if (st == LS_OK && of.is_short)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the windows of mapping '%s'", name);
    if (st == LS_OK) {
        out->changes = lsi_alloc_zero(of.memory, ((size_t)out->count + 1) * sizeof(*out->changes));
        if (out->changes == NULL)
            st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the windows of mapping '%s'", name);
    }
    for (uint32_t i = 0; st == LS_OK && i < out->count; i++)
        out->changes[i + 1] = (lsi_state_change){.key = {out->keys[i].text, out->keys[i].size},
                                                 .expected = LSI_STATE_ANY};
    if (st != LS_OK)
        lsi_window_removals_free(of.memory, out);
    return st;
}

void lsi_window_removals_free(const lsi_memory *memory, lsi_window_removals *of)
{
    lsi_free(memory, of->keys);
    lsi_free(memory, of->changes);
    *of = (lsi_window_removals){.count = 0};
}

static ls_mapping_result worst_of(const lsi_lease_row *rows, uint32_t count, bool ended_ones)
{
    ls_mapping_result worst = LS_MAPPING_RESULT_NONE;

    for (uint32_t i = 0; i < count; i++)
        if ((rows[i].place.kind == LSI_LEASE_END) == ended_ones && rows[i].note <= LS_MAPPING_RESULT_FAILED &&
            (ls_mapping_result)rows[i].note > worst)
            worst = (ls_mapping_result)rows[i].note;
    return worst;
}

ls_status lsi_mapping_last_result(lsi_engine_stream *stream, const lsi_mapping *mapping, ls_mapping_result *out)
{
    lsi_lease_row *rows;
    uint32_t count;
    ls_status st = lsi_lease_rows(stream, mapping->name, &rows, &count);

    if (st != LS_OK)
        return st;
    *out = worst_of(rows, count, false);
    if (*out == LS_MAPPING_RESULT_NONE) /* Nothing was handled since those ended. */
        *out = worst_of(rows, count, true);
    lsi_free(&stream->engine->env.memory, rows);
    return LS_OK;
}
