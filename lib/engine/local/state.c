/* A stream's state: what groups and mappings remember of it, as named values in a log of the stream's own beside its
 * shards. The log is one like theirs: the same frames, recovery, encryption, copies and repairs.
 *
 *  T1  The log holds every change, one record each, and later ones win. Reading what there is of it from its oldest
 *      record on gives every value; a change of several values is one frame, all or nothing.
 *  T2  A change is decided under the state lock, by one who has read the log to its committed end after that was made
 *      durable. So expected versions are compared with the truth, whoever died before; and it is acknowledged, and
 *      shown to anybody, when it is durable, in every mode (D6).
 *  T3  When most of the log is of values that were replaced, a new segment is begun, every value is written into it and
 *      synced, and only then do the older segments go. Who dies in between leaves some records twice.
 *
 * A record's key is the name, its data a version and the value; without data it says that the name is gone. A version
 * is the number of the record of the change: 0 in that record itself, stated in a snapshot's, which has another number.
 * A snapshot begins with a record named SNAPSHOT, for who counts what the log holds.
 *
 * Each process keeps the values in a table that follows the log. Locks: the state lock (LSI_RANK_STATE, the sync_lock
 * of the stream's slot) is for changes, between processes; `lock` (LSI_RANK_TABLE) for the table, between threads, and
 * not held while a change is written. No application is asked for a key under either: who finds that one is not at hand
 * gives back what he has, asks, and begins again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/patience.h"
#include "base/status.h"
#include "engine/local/local.h"
#include "engine/local/state.h"

#define DIR_NAME "state"
#define SNAPSHOT ((ls_bytes){"\n", 1})
#define SNAPSHOT_FRAME_BYTES (4u << 20) /* of a frame; a larger value has one by itself */
#define SNAPSHOT_FRAME_RECORDS 4096u
#define DEAD_BYTES_LEAST (UINT64_C(256) << 10) /* of replaced values, before it is worth a snapshot */
#define PREALLOC_BYTES (UINT64_C(64) << 10)
#define PAGE_RECORDS 4096u
#define PAGE_BYTES (UINT64_C(1) << 20)

struct lsi_local_state {
    lsi_local_stream *stream;
    lsi_log *log;
    lsi_framer *framer;     /* of who has the state lock */
    lsi_lock lock;
    lsi_log_reader *reader; /* this and the rest: `lock` */
    lsi_state_table table;
    uint64_t log_bytes;     /* of records since the last snapshot, about */
    uint32_t keys_wanted;   /* engine->lock; so often a key was not at hand */
    lsi_log_terms wanted;   /* engine->lock; which it was the last time */
};

/* ---- the log ---- */

void lsi_local_state_place(const char *name, uint64_t id, lsi_log_config *out)
{
    (void)snprintf(out->dir, sizeof(out->dir), "%" PRIu64 "/" DIR_NAME, id); /* 20 + 6 */
    (void)snprintf(out->label, sizeof(out->label), "stream '%s' state", name);
}

/* Who waits for records is not woken by changes, so there is no stream's slot in it. */
static void state_config(lsi_local *local, const char *name, uint64_t id, lsi_log_config *out)
{
    lsi_local_log_config(local, name, id, LSI_STATE_SHARD, NULL, out);
    out->durability = LS_DURABILITY_SYNC; /* T2: in every mode. So nobody reads what a power loss may take back (D3). */
    out->first_seqno = 1;
    if (out->prealloc_bytes != LS_PREALLOC_NONE)
        out->prealloc_bytes = PREALLOC_BYTES;
    lsi_local_state_place(name, id, out);
}

void lsi_local_state_config_of(lsi_local *local, const lsi_catalog_stream *stream, lsi_log_config *out)
{
    state_config(local, stream->name, stream->id, out);
    out->terms = lsi_local_terms_of;
    out->terms_user = (void *)(uintptr_t)stream; /* borrowed; only read */
}

/* What no manifest names is of one who died here, or of a manifest that somebody replaced by an older one: with records
 * in it it is kept (R6). */
static ls_status set_aside(lsi_local *local, const lsi_catalog_stream *stream, const char *dir)
{
    char to[LSI_LOG_DIR_BYTES];
    uint32_t number;
    bool unused;
    int result;
    ls_status st = lsi_log_is_unused(&local->root, dir, &unused);

    if (st != LS_OK || unused)
        return st;
    local->base.env.random(local->base.env.random_user, &number, sizeof(number));
    (void)snprintf(to, sizeof(to), "%" PRIu64 "/aside-" DIR_NAME "-%08" PRIx32, stream->id, number); /* 20 + 21 */
    result = local->root.files->rename(&local->root, dir, to);
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot set the directory %s aside", stream->name, dir);
    lsi_env_log(&local->base.env, LS_LOG_WARNING, "stream '%s': directory %s, which the manifest does not name, is set "
                "aside as %s", stream->name, dir, to);
    return LS_OK;
}

/* Makes the log, unless somebody has. L1: it is there when the manifest says so. */
static ls_status make_log(lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    lsi_catalog *catalog, *fresh = NULL;
    const lsi_catalog_stream *found;
    lsi_catalog_stream after;
    lsi_log_config config;
    char dir[LSI_LOG_DIR_BYTES];
    int result;
    ls_status st = lsi_local_catalog_lock(local, &catalog);

    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(stream, catalog, &found);
    if (st != LS_OK || found->has_state)
        goto unlock;
    lsi_local_state_config_of(local, found, &config);
    st = set_aside(local, found, config.dir);
    if (st == LS_OK)
        st = lsi_log_create(&config);
    if (st != LS_OK)
        goto unlock;
    (void)snprintf(dir, sizeof(dir), "%" PRIu64, found->id); /* 20 */
    result = local->root.files->sync_dir(&local->root, dir);
    if (result != 0) {
        st = lsi_fail_errno(result, "stream '%s': cannot sync its directory %s", found->name, dir);
        goto unlock;
    }
    after = *found;
    after.has_state = true;
    st = lsi_catalog_copy(catalog, found->id, &after, &fresh);
    if (st == LS_OK)
        st = lsi_local_catalog_replace(local, fresh, NULL, NULL);
unlock:
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    return st;
}

/* ---- what this process has of it ---- */

ls_status lsi_local_state_free(const lsi_memory *memory, struct lsi_local_state *state)
{
    ls_status st;

    if (state == NULL)
        return LS_OK;
    lsi_log_reader_close(state->reader);
    lsi_framer_close(state->framer);
    lsi_state_table_free(&state->table);
    st = lsi_log_close(state->log);
    lsi_free(memory, state);
    return st;
}

/* For lsi_log_config. */
static ls_status find_key(void *user, const lsi_log_terms *terms, bool ask, const lsi_key **out)
{
    struct lsi_local_state *state = user;
    lsi_local *local = lsi_local_of_stream(&state->stream->base);
    ls_status st = lsi_local_find_key(state->stream, terms, false, out);

    if (st != LS_OK || *out != NULL || !ask)
        return st;
    lsi_local_lock(local);
    state->wanted = *terms;
    state->keys_wanted++;
    lsi_local_unlock(local);
    return lsi_fail(LS_ERR_KEY, "stream '%s' state: the key '%s' is not at hand", state->stream->name, terms->key_id);
}

static uint32_t keys_wanted(struct lsi_local_state *state)
{
    lsi_local *local = lsi_local_of_stream(&state->stream->base);
    uint32_t count;

    lsi_local_lock(local);
    count = state->keys_wanted;
    lsi_local_unlock(local);
    return count;
}

/* Whether a call that answered `*st` is to be made again, since it wanted a key, which there is now. `before`:
 * keys_wanted() when it began. Locks: none held. */
static bool got_key(struct lsi_local_state *state, uint32_t before, ls_status *st)
{
    lsi_local *local = lsi_local_of_stream(&state->stream->base);
    lsi_log_terms wanted;
    const lsi_key *key;

    if (*st != LS_ERR_KEY || keys_wanted(state) == before)
        return false;
    lsi_local_lock(local);
    wanted = state->wanted;
    lsi_local_unlock(local);
    *st = lsi_local_find_key(state->stream, &wanted, true, &key);
    return *st == LS_OK;
}

static ls_status state_new(lsi_local_stream *stream, struct lsi_local_state **out)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_env *env = &local->base.env;
    struct lsi_local_state *state = lsi_alloc_zero(&env->memory, sizeof(*state));
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    lsi_log_config config;
    ls_status st;
    int result;

    if (state == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the state of stream '%s'", stream->name);
    state->table.memory = &env->memory;
    state->stream = stream;
    state_config(local, stream->name, stream->id, &config);
    config.terms = lsi_local_terms_now;
    config.terms_user = stream;
    config.key = find_key;
    config.key_user = state;
    result = lsi_lock_init(&state->lock);
    st = result == 0 ? lsi_log_open(&config, &state->log) : lsi_fail_errno(result, "cannot make a lock");
    if (st == LS_OK)
        st = lsi_framer_open(env, &state->framer);
    if (st == LS_OK)
        st = lsi_log_reader_open(state->log, LSI_READ_SPARING, &state->reader);
    if (st == LS_OK)
        st = lsi_log_reader_seek(state->reader, &oldest);
    if (st != LS_OK) {
        (void)lsi_local_state_free(&env->memory, state); /* nothing was appended */
        return st;
    }
    *out = state;
    return LS_OK;
}

/* The stream's state in this process. `*out` NULL: nobody has written any; with `make` there is some then. */
static ls_status state_of(lsi_local_stream *stream, bool make, struct lsi_local_state **out)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    /* Acquire pairs with the release below. */
    struct lsi_local_state *state = atomic_load_explicit(&stream->state, memory_order_acquire), *made, *none = NULL;
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    bool has_state;
    ls_status st = LS_OK;

    *out = state;
    if (state != NULL)
        return LS_OK;
    st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    has_state = found != NULL && found->has_state;
    if (found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    lsi_catalog_unref(catalog);
    if (st == LS_OK && !has_state && make) {
        st = make_log(stream);
        has_state = true;
    }
    if (st != LS_OK || !has_state)
        return st;
    st = state_new(stream, &made);
    if (st != LS_OK)
        return st;
    if (atomic_compare_exchange_strong_explicit(&stream->state, &none, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        *out = made;
    } else { /* Another thread was faster. */
        *out = none;
        (void)lsi_local_state_free(&local->base.env.memory, made); /* nothing was appended */
    }
    return LS_OK;
}

ls_status lsi_local_state_log(lsi_local_stream *stream, lsi_log **out)
{
    struct lsi_local_state *state;
    ls_status st = state_of(stream, false, &state);

    if (st == LS_OK && state == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no state", stream->name);
    if (st == LS_OK)
        *out = state->log;
    return st;
}

lsi_slot *lsi_local_state_slot(const lsi_local_stream *stream)
{
    /* Acquire: as state_of. */
    const struct lsi_local_state *state = atomic_load_explicit(&stream->state, memory_order_acquire);

    return state != NULL ? lsi_log_slot(state->log) : NULL;
}

/* ---- following it ---- */

static bool is_snapshot(ls_bytes key)
{
    return key.size == SNAPSHOT.size && memcmp(key.data, SNAPSHOT.data, key.size) == 0;
}

static ls_status no_memory(const lsi_local_stream *stream)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the state of stream '%s'", stream->name);
}

/* A table that misses a record is none: it is made anew. Locks: `lock` held. */
static void start_over(struct lsi_local_state *state)
{
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    lsi_error_state why;

    lsi_error_save(&why);
    lsi_state_table_free(&state->table);
    state->log_bytes = 0;
    (void)lsi_log_reader_seek(state->reader, &oldest); /* It touches no disk. */
    lsi_error_restore(&why);
}

/* Locks: `lock` held. */
static ls_status take_record(const lsi_local_stream *stream, struct lsi_local_state *state, const ls_record *record)
{
    ls_bytes key = record->partition_key, value = record->data;
    uint64_t version = 0;

    if (is_snapshot(key)) {
        state->log_bytes = 0;
        return LS_OK;
    }
    state->log_bytes += LSI_STATE_RECORD_BYTES + key.size + value.size;
    if (value.size > 0) {
        if (value.size > LSI_STATE_VERSION_BYTES)
            version = lsi_read_u64le(value.data);
        else /* Its checksum was right (X1). */
            return lsi_fail(LS_ERR_CORRUPT, "stream '%s' state: record %" PRIu64 " has no value", stream->name,
                            record->seqno);
        value = (ls_bytes){(const unsigned char *)value.data + LSI_STATE_VERSION_BYTES,
                           value.size - LSI_STATE_VERSION_BYTES};
    }
    return lsi_state_table_set(&state->table, key, version != 0 ? version : record->seqno, value) ? LS_OK
                                                                                               : no_memory(stream);
}

/* Takes over what can be read. Locks: `lock` held. */
static ls_status follow(lsi_local_stream *stream, struct lsi_local_state *state)
{
    const ls_record *records;
    bool at_tip = false, end;
    lsi_error_state before;
    uint32_t count;

    lsi_error_save(&before);
    while (!at_tip) {
        ls_status st = lsi_log_reader_read(state->reader, PAGE_RECORDS, PAGE_BYTES, &records, &count, &at_tip, &end);

        if (st == LS_ERR_TRIMMED) { /* Behind a snapshot (T3). */
            lsi_error_restore(&before);
            start_over(state);
            at_tip = false;
            continue;
        }
        if (st != LS_OK)
            return st;
        for (uint32_t i = 0; i < count; i++) {
            st = take_record(stream, state, &records[i]);
            if (st != LS_OK) {
                start_over(state);
                return st;
            }
        }
    }
    return LS_OK;
}

static bool begins(ls_bytes key, ls_bytes prefix)
{
    return key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

static void show(const lsi_state_table *table, ls_bytes prefix,
                 bool (*each)(void *user, const lsi_state_entry *entry), void *user)
{
    for (size_t i = lsi_state_table_at(table, prefix); i < table->count; i++) {
        const lsi_state_table_entry *at = table->entries[i];
        lsi_state_entry entry = {lsi_state_key(at), at->version, lsi_state_value(at)};

        if (!begins(entry.key, prefix) || !each(user, &entry))
            break;
    }
}

ls_status lsi_local_state_read(lsi_engine_stream *base, ls_bytes prefix,
                               bool (*each)(void *user, const lsi_state_entry *entry), void *user)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    struct lsi_local_state *state;
    lsi_error_state before;
    uint32_t wanted;
    ls_status st = lsi_local_stream_check_usable(stream);

    if (st == LS_OK)
        st = state_of(stream, false, &state);
    if (st != LS_OK || state == NULL)
        return st;
    lsi_error_save(&before);
    st = lsi_log_touch(state->log); /* It may need the store lock, which comes before ours. */
    if (st != LS_OK)
        return lsi_local_stream_explain(stream, LSI_NO_SHARD, st);
    do {
        wanted = keys_wanted(state);
        lsi_lock_hold(&state->lock, LSI_RANK_TABLE);
        st = follow(stream, state);
        if (st == LS_OK)
            show(&state->table, prefix, each, user);
        lsi_lock_release(&state->lock, LSI_RANK_TABLE);
    } while (got_key(state, wanted, &st));
    if (st == LS_OK)
        lsi_error_restore(&before);
    return lsi_local_stream_explain(stream, LSI_NO_SHARD, st);
}

/* ---- changing it ---- */

static ls_status take_lock(const lsi_local_stream *stream)
{
    uint32_t timeout_ms = stream->base.engine->env.busy_timeout_ms;

    switch (lsi_patience_lock(&stream->slot->sync_lock, LSI_RANK_STATE, timeout_ms)) {
    case LSI_LOCKED:
        return LS_OK;
    case LSI_LOCKED_AFTER_DEATH:
        lsi_lock_repaired(&stream->slot->sync_lock); /* What it left half done shows in the log (T2, T3). */
        return LS_OK;
    case LSI_LOCK_BUSY:
        return lsi_fail(LS_ERR_BUSY, "stream '%s': another process is changing its state, and the call has waited %s",
                        stream->name, lsi_patience_waited(timeout_ms));
    case LSI_LOCK_BROKEN:
        break;
    }
    return lsi_fail(LS_ERR_STATE, "stream '%s': the lock of its state is broken", stream->name);
}

/* The first change whose version is not the expected one; `count`: there is none. Locks: `lock` held. */
static uint32_t find_conflict(const struct lsi_local_state *state, const lsi_state_change *changes, uint32_t count)
{
    uint32_t i = 0;

    for (; i < count; i++) {
        const lsi_state_table_entry *found = lsi_state_table_find(&state->table, changes[i].key);

        if (changes[i].expected != LSI_STATE_ANY && changes[i].expected != (found != NULL ? found->version : 0))
            break;
    }
    return i;
}

/* Appends and makes durable, all or nothing. Locks: state lock held. */
static ls_status append(struct lsi_local_state *state, const ls_put_entry *entries, uint32_t count, ls_seqno *first)
{
    uint32_t accepted;
    uint64_t end;
    bool closed;
    ls_status st = lsi_log_append(state->log, state->framer, entries, NULL, count, true, &accepted, first, &end,
                                  &closed);

    return st == LS_OK ? lsi_log_commit(state->log, end) : st;
}

/* The changes as records: `*entries` and what they point to are one allocation, the caller's. */
static ls_status make_records(const lsi_local_stream *stream, const lsi_state_change *changes, uint32_t count,
                              ls_put_entry **entries)
{
    size_t size = count * sizeof(**entries);
    unsigned char *to;

    for (uint32_t i = 0; i < count; i++)
        size += LSI_STATE_VERSION_BYTES + changes[i].value.size;
    *entries = lsi_alloc(&stream->base.engine->env.memory, size);
    if (*entries == NULL)
        return no_memory(stream);
    to = (unsigned char *)(*entries + count);
    for (uint32_t i = 0; i < count; i++) {
        ls_bytes value = changes[i].value;

        (*entries)[i] = (ls_put_entry){.partition_key = changes[i].key};
        if (value.size == 0)
            continue;
        (*entries)[i].data = (ls_bytes){to, LSI_STATE_VERSION_BYTES + value.size};
        memset(to, 0, LSI_STATE_VERSION_BYTES);
        memcpy(to + LSI_STATE_VERSION_BYTES, value.data, value.size);
        to += LSI_STATE_VERSION_BYTES + value.size;
    }
    return LS_OK;
}

static ls_status append_changes(lsi_local_stream *stream, struct lsi_local_state *state, lsi_state_change *changes,
                                uint32_t count)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    ls_put_entry *entries;
    ls_seqno first = 0;
    ls_status st = make_records(stream, changes, count, &entries);

    if (st != LS_OK)
        return st;
    st = append(state, entries, count, &first);
    if (st == LS_ERR_FULL && lsi_local_reserve_spend(local)) { /* Space is kept for this (E3). */
        st = append(state, entries, count, &first);
        lsi_local_reserve_make(local);
    }
    for (uint32_t i = 0; st == LS_OK && i < count; i++)
        changes[i].version = changes[i].value.size > 0 ? first + i : LSI_STATE_NONE;
    lsi_free(&local->base.env.memory, entries);
    return st;
}

/* ---- snapshots (T3) ---- */

/* Writes every value, as the table has them, in as many frames as it takes. Locks: state lock and `lock` held. */
static ls_status write_snapshot(lsi_local_stream *stream, struct lsi_local_state *state)
{
    const lsi_memory *memory = &stream->base.engine->env.memory;
    ls_put_entry *entries = lsi_alloc_zero(memory, SNAPSHOT_FRAME_RECORDS * sizeof(*entries));
    ls_status st = entries != NULL ? LS_OK : no_memory(stream);
    size_t at = 0;
    bool is_first = true;

    while (st == LS_OK && (is_first || at < state->table.count)) {
        uint32_t count = 0;
        uint64_t bytes = 0;
        ls_seqno first;

        if (is_first)
            entries[count++] = (ls_put_entry){.partition_key = SNAPSHOT};
        is_first = false;
        while (at < state->table.count && count < SNAPSHOT_FRAME_RECORDS) {
            const lsi_state_table_entry *entry = state->table.entries[at];

            bytes += LSI_STATE_RECORD_BYTES + entry->key_bytes + entry->value_bytes;
            if (count > 0 && bytes > SNAPSHOT_FRAME_BYTES)
                break;
            entries[count++] = (ls_put_entry){lsi_state_key(entry), lsi_state_data(entry), NULL};
            at++;
        }
        st = append(state, entries, count, &first);
    }
    lsi_free(memory, entries);
    return st;
}

static bool note_last(void *user, const lsi_log_piece *piece)
{
    *(uint32_t *)user = piece->number;
    return true;
}

/* Locks: state lock and `lock` held. */
static ls_status compact(lsi_local_stream *stream, struct lsi_local_state *state)
{
    uint32_t keep = 0, removed;
    bool rolled;
    ls_status st = lsi_log_retire(state->log, INT64_MAX, &rolled);

    if (st != LS_OK || !rolled)
        return st;
    st = lsi_log_each_piece(state->log, INT64_MIN, note_last, &keep);
    if (st == LS_OK)
        st = write_snapshot(stream, state);
    if (st == LS_OK)
        st = lsi_log_trim(state->log, keep, INT64_MAX, &removed);
    return st;
}

/* That it fails is nobody's failure: the next one tries again. Locks: state lock and `lock` held. */
static void compact_if_due(lsi_local_stream *stream, struct lsi_local_state *state)
{
    uint64_t live = state->table.live_bytes;
    lsi_error_state before;
    ls_status st;

    if (state->log_bytes < live + (live > DEAD_BYTES_LEAST ? live : DEAD_BYTES_LEAST))
        return;
    lsi_error_save(&before);
    st = compact(stream, state);
    if (st != LS_OK && st != LS_ERR_BUSY)
        lsi_env_log(&stream->base.engine->env, LS_LOG_WARNING, "stream '%s': its state cannot be compacted: %s",
                    stream->name, ls_last_error_message());
    lsi_error_restore(&before);
}

/* Locks: state lock held. */
static ls_status change(lsi_local_stream *stream, struct lsi_local_state *state, lsi_state_change *changes,
                        uint32_t count, const lsi_state_between *between, uint32_t *conflict)
{
    ls_status st = lsi_log_sync(state->log); /* T2 */

    if (st != LS_OK)
        return st;
    lsi_lock_hold(&state->lock, LSI_RANK_TABLE);
    st = follow(stream, state);
    if (st == LS_OK)
        *conflict = find_conflict(state, changes, count);
    lsi_lock_release(&state->lock, LSI_RANK_TABLE);
    if (st != LS_OK || *conflict < count)
        return st;
    if (between != NULL)
        st = between->before(between->user);
    if (st != LS_OK)
        return st;
    st = append_changes(stream, state, changes, count);
    if (between != NULL)
        between->after(between->user, st);
    if (st != LS_OK)
        return st;
    lsi_lock_hold(&state->lock, LSI_RANK_TABLE);
    if (follow(stream, state) == LS_OK) /* Else the next one reads it: it was written. */
        compact_if_due(stream, state);
    lsi_lock_release(&state->lock, LSI_RANK_TABLE);
    return LS_OK;
}

ls_status lsi_local_state_write(lsi_engine_stream *base, lsi_state_change *changes, uint32_t count, uint32_t *conflict)
{
    return lsi_local_state_change(lsi_local_stream_of(base), changes, count, NULL, conflict);
}

ls_status lsi_local_state_change(lsi_local_stream *stream, lsi_state_change *changes, uint32_t count,
                                 const lsi_state_between *between, uint32_t *conflict)
{
    struct lsi_local_state *state;
    lsi_error_state before;
    uint32_t wanted;
    ls_status st = lsi_local_check_writable(lsi_local_of_stream(&stream->base));

    *conflict = count;
    lsi_error_save(&before);
    if (st == LS_OK)
        st = lsi_local_stream_check_usable(stream);
    if (st == LS_OK)
        st = state_of(stream, true, &state);
    if (st == LS_OK)
        st = lsi_log_touch(state->log); /* It may need the store lock, which comes before ours. */
    if (st != LS_OK)
        return lsi_local_stream_explain(stream, LSI_NO_SHARD, st);
    do {
        wanted = keys_wanted(state);
        st = take_lock(stream);
        if (st != LS_OK)
            break;
        st = change(stream, state, changes, count, between, conflict);
        lsi_lock_release(&stream->slot->sync_lock, LSI_RANK_STATE);
    } while (got_key(state, wanted, &st));
    if (st == LS_OK)
        lsi_error_restore(&before); /* What was got over is no failure. */
    return lsi_local_stream_explain(stream, LSI_NO_SHARD, st);
}
