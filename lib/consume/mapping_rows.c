/* The rows of a mapping in its stream's state: how far each shard was worked on and by whom, and who runs the mapping.
 * FORMAT.md ("State") has the tables. Everything is changed by compare and swap on the row's version, which is what
 * fences off a runner that was taken for dead: what it notes afterwards has another version in its way. */
#include "consume/mapping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define PROGRESS_PREFIX "progress/"
#define RUNNER_PREFIX "runner/"
#define KEY_BYTES (sizeof(PROGRESS_PREFIX) + LSI_STREAM_NAME_MAX + 1 + 16)
#define FORMAT 1u
#define ROW_BYTES 52u
#define HAS_WINDOW 1u
#define RESULT_SHIFT 1u /* two bits: ls_mapping_result */
#define RESULT_BITS (3u << RESULT_SHIFT)
#define RUNNER_BYTES 36u
#define REMOVED_AT_ONCE 1024u

/* ---- shards ---- */

static ls_bytes progress_key(const char *name, uint32_t shard, char text[KEY_BYTES])
{
    return (ls_bytes){text, (size_t)snprintf(text, KEY_BYTES, PROGRESS_PREFIX "%s/%010" PRIu32, name, shard)};
}

static void put_row(lsi_writer *to, const lsi_mapping_row *row)
{
    const lsi_progress *progress = &row->progress;

    lsi_put_u32(to, FORMAT);
    lsi_put_u32(to, (progress->has_window ? HAS_WINDOW : 0) | (uint32_t)row->result << RESULT_SHIFT);
    lsi_put_u32(to, row->shard);
    lsi_put_u64(to, row->progress_id);
    lsi_put_u64(to, row->owner);
    lsi_put_u64(to, progress->position);
    lsi_put_u64(to, (uint64_t)(progress->has_window ? progress->window_start_us : 0));
    lsi_put_u64(to, (uint64_t)(progress->has_window ? progress->window_end_us : 0));
    if (progress->has_window && progress->state.size > 0)
        lsi_put_bytes(to, progress->state.data, progress->state.size);
}

/* False: it is none. The state is a view of the value. */
static bool take_row(const lsi_state_entry *entry, lsi_mapping_row *out)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), flags = lsi_take_u32(&from);

    *out = (lsi_mapping_row){.version = entry->version, .is_known = true};
    out->shard = lsi_take_u32(&from);
    out->progress_id = lsi_take_u64(&from);
    out->owner = lsi_take_u64(&from);
    out->progress.position = lsi_take_u64(&from);
    out->progress.window_start_us = (int64_t)lsi_take_u64(&from);
    out->progress.window_end_us = (int64_t)lsi_take_u64(&from);
    out->progress.has_window = (flags & HAS_WINDOW) != 0;
    out->result = (ls_mapping_result)((flags & RESULT_BITS) >> RESULT_SHIFT);
    if (from.bad || format != FORMAT || (flags & ~(HAS_WINDOW | RESULT_BITS)) != 0 ||
        out->result > LS_MAPPING_RESULT_FAILED || out->progress.position > LS_SEQNO_END)
        return false;
    out->progress.state = (ls_bytes){from.at, (size_t)(from.end - from.at)};
    return out->progress.has_window
               ? out->progress.state.size <= LSI_WINDOW_STATE_BYTES_LIMIT &&
                     out->progress.window_start_us < out->progress.window_end_us
               : out->progress.state.size == 0;
}

/* ---- runners ---- */

static ls_bytes runner_key(const char *name, uint64_t id, char text[KEY_BYTES])
{
    return (ls_bytes){text, (size_t)snprintf(text, KEY_BYTES, RUNNER_PREFIX "%s/%016" PRIx64, name, id)};
}

static bool take_runner(const lsi_state_entry *entry, uint64_t mapping_id, lsi_mapping_runner_row *out)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from);
    uint64_t mapping;
    char digits[17];

    out->version = entry->version;
    out->failover_ms = lsi_take_u32(&from);
    mapping = lsi_take_u64(&from);
    out->beat = lsi_take_u64(&from);
    out->shards_max = lsi_take_u32(&from);
    out->ticket = lsi_take_u64(&from);
    out->is_dead = false;
    if (from.bad || from.at != from.end || format != FORMAT || mapping != mapping_id || entry->key.size < 16)
        return false;
    memcpy(digits, (const char *)entry->key.data + entry->key.size - 16, 16);
    digits[16] = '\0';
    return sscanf(digits, "%16" SCNx64, &out->id) == 1;
}

/* ---- looking ---- */

typedef struct gathering {
    const lsi_memory *memory;
    const lsi_mapping *mapping;
    lsi_mapping_row *rows;
    lsi_mapping_runner_row *runners;
    size_t count, capacity, runner_count, runner_capacity;
    bool is_short;
} gathering;

static bool gather_row(void *user, const lsi_state_entry *entry)
{
    gathering *of = user;
    lsi_mapping_row row;

    if (!take_row(entry, &row) || row.progress_id != of->mapping->progress_id)
        return true;
    row.progress.state = (ls_bytes){NULL, 0};
    of->is_short = !lsi_grow(of->memory, (void **)&of->rows, &of->capacity, of->count + 1, sizeof(*of->rows));
    if (!of->is_short)
        of->rows[of->count++] = row;
    return !of->is_short;
}

static bool gather_runner(void *user, const lsi_state_entry *entry)
{
    gathering *of = user;
    lsi_mapping_runner_row row;

    if (!take_runner(entry, of->mapping->id, &row))
        return true;
    of->is_short = !lsi_grow(of->memory, (void **)&of->runners, &of->runner_capacity, of->runner_count + 1,
                             sizeof(*of->runners));
    if (!of->is_short)
        of->runners[of->runner_count++] = row;
    return !of->is_short;
}

static ls_status no_memory(const char *name)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the rows of mapping '%s'", name);
}

ls_status lsi_mapping_rows(lsi_engine_stream *stream, const lsi_mapping *mapping, lsi_mapping_row **rows,
                           uint32_t *count, lsi_mapping_runner_row **runners, uint32_t *runner_count)
{
    const char *name = mapping->name;
    gathering of = {.memory = &stream->engine->env.memory, .mapping = mapping};
    char text[KEY_BYTES];
    int size = snprintf(text, sizeof(text), PROGRESS_PREFIX "%s/", name);
    ls_status st = stream->engine->ops->state_read(stream, (ls_bytes){text, (size_t)size}, gather_row, &of);

    size = snprintf(text, sizeof(text), RUNNER_PREFIX "%s/", name);
    if (st == LS_OK && !of.is_short)
        st = stream->engine->ops->state_read(stream, (ls_bytes){text, (size_t)size}, gather_runner, &of);
    if (st == LS_OK && of.is_short)
        st = no_memory(name);
    if (st != LS_OK) {
        lsi_free(of.memory, of.rows);
        lsi_free(of.memory, of.runners);
        return st;
    }
    *rows = of.rows;
    *count = (uint32_t)of.count;
    *runners = of.runners;
    *runner_count = (uint32_t)of.runner_count;
    return LS_OK;
}

typedef struct loading {
    const lsi_memory *memory;
    uint64_t progress_id;
    lsi_mapping_row *out;
    bool is_short;
} loading;

static bool load_row(void *user, const lsi_state_entry *entry)
{
    loading *of = user;
    lsi_mapping_row row;

    of->out->version = entry->version;
    if (!take_row(entry, &row) || row.progress_id != of->progress_id || row.shard != of->out->shard)
        return false;
    if (row.progress.state.size > 0) {
        row.bytes = lsi_alloc(of->memory, row.progress.state.size);
        of->is_short = row.bytes == NULL;
        if (of->is_short)
            return false;
        memcpy(row.bytes, row.progress.state.data, row.progress.state.size);
    }
    row.progress.state.data = row.bytes;
    *of->out = row;
    return false;
}

ls_status lsi_mapping_row_load(lsi_engine_stream *stream, const lsi_mapping *mapping, uint32_t shard,
                               lsi_mapping_row *out)
{
    loading of = {.memory = &stream->engine->env.memory, .progress_id = mapping->progress_id, .out = out};
    char text[KEY_BYTES];
    ls_status st;

    *out = (lsi_mapping_row){.shard = shard, .version = LSI_STATE_NONE, .progress_id = of.progress_id};
    st = stream->engine->ops->state_read(stream, progress_key(mapping->name, shard, text), load_row, &of);
    return st == LS_OK && of.is_short ? no_memory(mapping->name) : st;
}

ls_status lsi_mapping_last_result(lsi_engine_stream *stream, const lsi_mapping *mapping, ls_mapping_result *out)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_mapping_runner_row *runners;
    lsi_mapping_row *rows;
    uint32_t count, runner_count;
    ls_status st = lsi_mapping_rows(stream, mapping, &rows, &count, &runners, &runner_count);

    if (st != LS_OK)
        return st;
    *out = LS_MAPPING_RESULT_NONE;
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].result > *out)
            *out = rows[i].result;
    lsi_free(memory, rows);
    lsi_free(memory, runners);
    return LS_OK;
}

/* ---- changing ---- */

static ls_status swap(lsi_engine_stream *stream, lsi_state_change *change, bool *is_done)
{
    uint32_t conflict;
    ls_status st = stream->engine->ops->state_write(stream, change, 1, &conflict);

    *is_done = st == LS_OK && conflict == 1;
    return st;
}

ls_status lsi_mapping_row_write(lsi_engine_stream *stream, const char *name, lsi_mapping_row *row, bool is_removed,
                                bool *is_done)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    size_t size = ROW_BYTES + (row->progress.has_window ? row->progress.state.size : 0);
    char text[KEY_BYTES];
    lsi_state_change change = {.key = progress_key(name, row->shard, text), .expected = row->version};
    unsigned char *bytes = NULL;
    ls_status st;

    if (!is_removed) {
        bytes = lsi_alloc(memory, size);
        if (bytes == NULL)
            return no_memory(name);
        lsi_writer to = {bytes, bytes + size};

        put_row(&to, row);
        change.value = (ls_bytes){bytes, size};
    }
    st = swap(stream, &change, is_done);
    if (*is_done)
        row->version = change.version;
    lsi_free(memory, bytes);
    return st;
}

ls_status lsi_mapping_runner_write(lsi_engine_stream *stream, const char *name, uint64_t mapping_id,
                                   lsi_mapping_runner_row *row, bool is_removed, bool *is_done)
{
    unsigned char bytes[RUNNER_BYTES];
    lsi_writer to = {bytes, bytes + sizeof(bytes)};
    char text[KEY_BYTES];
    lsi_state_change change = {.key = runner_key(name, row->id, text), .expected = row->version};
    ls_status st;

    lsi_put_u32(&to, FORMAT);
    lsi_put_u32(&to, row->failover_ms);
    lsi_put_u64(&to, mapping_id);
    lsi_put_u64(&to, row->beat);
    lsi_put_u32(&to, row->shards_max);
    lsi_put_u64(&to, row->ticket);
    if (!is_removed)
        change.value = (ls_bytes){bytes, sizeof(bytes)};
    st = swap(stream, &change, is_done);
    if (*is_done)
        row->version = change.version;
    return st;
}

/* ---- removing all ---- */

typedef struct removal {
    uint32_t count;
    lsi_state_change changes[REMOVED_AT_ONCE];
    char keys[REMOVED_AT_ONCE][KEY_BYTES];
} removal;

static bool note_key(void *user, const lsi_state_entry *entry)
{
    removal *of = user;

    if (entry->key.size <= KEY_BYTES) { /* else it is none of ours */
        memcpy(of->keys[of->count], entry->key.data, entry->key.size);
        of->changes[of->count] = (lsi_state_change){.key = {of->keys[of->count], entry->key.size},
                                                    .expected = LSI_STATE_ANY};
        of->count++;
    }
    return of->count < REMOVED_AT_ONCE;
}

ls_status lsi_mapping_rows_remove(lsi_engine_stream *stream, const char *name)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    removal *of = lsi_alloc(memory, sizeof(*of));
    ls_status st = of != NULL ? LS_OK : no_memory(name);

    for (int i = 0; st == LS_OK && i < 2; i++) {
        char text[KEY_BYTES];
        int size = i == 0 ? snprintf(text, sizeof(text), PROGRESS_PREFIX "%s/", name)
                          : snprintf(text, sizeof(text), RUNNER_PREFIX "%s/", name);

        do {
            uint32_t conflict;

            of->count = 0;
            st = stream->engine->ops->state_read(stream, (ls_bytes){text, (size_t)size}, note_key, of);
            if (st == LS_OK && of->count > 0)
                st = stream->engine->ops->state_write(stream, of->changes, of->count, &conflict);
        } while (st == LS_OK && of->count == REMOVED_AT_ONCE);
    }
    lsi_free(memory, of);
    return st;
}
