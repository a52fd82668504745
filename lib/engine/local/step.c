/* Steps: puts to several shards and changes of one stream's state that are done together or not at all.
 *
 *  U1  A step is taken by one durable frame of the state log of one stream, its *decider*. That frame has the changes
 *      and, for each shard that was put to, a value which names the first number of what was put there. All of that was
 *      durable before, and nobody was shown it (storage/step.c).
 *  U2  Whoever finds the frame of a step at the end of a shard, and nobody at work on it, asks for that value. When it
 *      is an earlier one he writes, by comparing and swapping, that this step was not taken; so an answer never
 *      changes, whatever a dead process had begun to write in the state log. A later one stays, also for who asks late.
 *  U3  That value stays until a later step replaces it or the shard is closed; what is behind a step's frame says as
 *      well that it was taken, once it is durable. A decider is deleted only when all shards have that.
 *  U4  Locks are taken in the order state, shards by stream id and index, and then the state log's own. Nothing is
 *      decided, and no application asked for a key, under any of them: all is given back, and begun anew. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/patience.h"
#include "base/status.h"
#include "engine/local/local.h"
#include "engine/local/state.h"
#include "engine/local/step.h"

#define TRIES_MAX 1000u
#define FORGET_EVERY 64u /* steps of a process */
/* FORMAT.md, "State" */
#define VALUE_FORMAT 1u
enum { VALUE_FORMAT_AT = 0, VALUE_TAKEN_AT = 4, VALUE_SEQNO_AT = 8 };
#define STREAM_DIGITS 20
#define SHARD_DIGITS 10
#define PUT_MOVED ((ls_status)-2) /* a shard is closed */

ls_bytes lsi_step_key(uint64_t stream, uint32_t shard, char key[LSI_STEP_KEY_BYTES])
{
    int size = snprintf(key, LSI_STEP_KEY_BYTES, LSI_STEP_PREFIX "/%0*" PRIu64 "/%0*" PRIu32, STREAM_DIGITS, stream,
                        SHARD_DIGITS, shard);

    return (ls_bytes){key, (size_t)size};
}

static bool read_digits(const char *from, int count, uint64_t max, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < count; i++) {
        if (from[i] < '0' || from[i] > '9' || *out > (max - (uint64_t)(from[i] - '0')) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(from[i] - '0');
    }
    return true;
}

bool lsi_step_read_key(ls_bytes key, uint64_t *stream, uint32_t *shard)
{
    const char *at = (const char *)key.data + sizeof(LSI_STEP_PREFIX);
    uint64_t index;

    if (key.size != LSI_STEP_KEY_BYTES - 1 || at[-1] != '/' || at[STREAM_DIGITS] != '/' ||
        !read_digits(at, STREAM_DIGITS, UINT64_MAX, stream) ||
        !read_digits(at + STREAM_DIGITS + 1, SHARD_DIGITS, UINT32_MAX, &index))
        return false;
    *shard = (uint32_t)index;
    return true;
}

bool lsi_step_read_value(ls_bytes value, lsi_step_value *out)
{
    const unsigned char *at = value.data;

    if (value.size != LSI_STEP_VALUE_BYTES || lsi_read_u32le(at + VALUE_FORMAT_AT) != VALUE_FORMAT)
        return false;
    *out = (lsi_step_value){lsi_read_u32le(at + VALUE_TAKEN_AT) != 0, lsi_read_u64le(at + VALUE_SEQNO_AT)};
    return true;
}

static void write_value(unsigned char value[LSI_STEP_VALUE_BYTES], ls_seqno first_seqno, bool is_taken)
{
    lsi_write_u32le(value + VALUE_FORMAT_AT, VALUE_FORMAT);
    lsi_write_u32le(value + VALUE_TAKEN_AT, is_taken);
    lsi_write_u64le(value + VALUE_SEQNO_AT, first_seqno);
}

/* ---- deciding (U2) ---- */

typedef struct decision {
    ls_bytes key;
    bool is_right; /* the value keeps its rules */
    uint64_t version;
    lsi_step_value value;
} decision;

static bool take_decision(void *user, const lsi_state_entry *entry)
{
    decision *of = user;

    if (entry->key.size != of->key.size) /* one that begins with it */
        return true;
    of->version = entry->version;
    of->is_right = lsi_step_read_value(entry->value, &of->value);
    return false;
}

static ls_status decide(lsi_local_stream *stream, const lsi_log_config *of, ls_seqno first_seqno, bool look_only,
                        bool *is_taken)
{
    unsigned char value[LSI_STEP_VALUE_BYTES];
    char key[LSI_STEP_KEY_BYTES];

    write_value(value, first_seqno, false);
    for (;;) {
        decision found = {.key = lsi_step_key(of->stream, of->shard, key), .is_right = true};
        uint32_t conflict;
        ls_status st = lsi_local_state_read(&stream->base, found.key, take_decision, &found);

        if (st == LS_OK && !found.is_right)
            st = lsi_fail(LS_ERR_CORRUPT, "stream '%s' state: the value '%s' is none of a step", stream->name, key);
        *is_taken = st == LS_OK && found.value.first_seqno == first_seqno && found.value.is_taken;
        if (st != LS_OK || look_only || found.value.first_seqno >= first_seqno)
            return st; /* A later step's: who was stopped asks about one that was decided before that one began. */
        lsi_state_change change = {.key = found.key, .expected = found.version, .value = {value, sizeof(value)}};
        st = lsi_local_state_write(&stream->base, &change, 1, &conflict);
        if (st != LS_OK || conflict == 1)
            return st;
    }
}

ls_status lsi_local_step_decide(void *user, uint64_t decider, const lsi_log_config *of, ls_seqno first_seqno,
                                bool look_only, bool *is_taken)
{
    lsi_local *local = user;
    lsi_local_stream *stream;
    lsi_error_state before, why;
    ls_status st;

    *is_taken = false;
    lsi_error_save(&before);
    st = lsi_local_stream_use(local, decider, &stream);
    if (st == LS_OK) {
        st = decide(stream, of, first_seqno, look_only, is_taken);
        lsi_local_stream_close(&stream->base);
    }
    if (st == LS_ERR_NOT_FOUND) { /* U3: no shard of those that the decider knew of asks any more. */
        lsi_error_restore(&before);
        st = LS_OK;
    }
    if (st == LS_OK) {
        lsi_env_log(&local->base.env, LS_LOG_INFO, "%s: a step that was left at record %" PRIu64 " was %s", of->label,
                    first_seqno, *is_taken ? "taken" : "not taken");
        return LS_OK;
    }
    lsi_error_save(&why);
    return lsi_fail(st, "%s: whether its last step was taken cannot be said: %s", of->label, why.message);
}

/* ---- taking ---- */

typedef struct stepping {
    lsi_local_stream *decider;
    lsi_step_put *puts;
    lsi_log **logs;          /* [put_count] */
    uint32_t put_count;
    uint32_t written;        /* the first so many are, and their locks are held */
    lsi_framer *framer;
    lsi_state_change *changes; /* [change_count + put_count] */
    unsigned char *values;   /* [put_count][LSI_STEP_VALUE_BYTES] */
} stepping;

static void drop_all(stepping *of)
{
    while (of->written > 0)
        lsi_log_step_drop(of->logs[--of->written]);
}

/* It may have been deleted while the lock was taken. Nothing is settled, for that takes the store lock. */
static ls_status check_decider(const lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog_look(local, &catalog);

    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    if (found == NULL || found->status == LS_STREAM_DELETING)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    lsi_catalog_unref(catalog);
    return st;
}

/* U1: everything that was put, durable. Locks: state lock held. */
static ls_status write_all(void *user)
{
    stepping *of = user;
    ls_status st = check_decider(of->decider);

    while (st == LS_OK && of->written < of->put_count) {
        lsi_step_put *put = &of->puts[of->written];

        st = lsi_log_step_write(of->logs[of->written], of->framer, put->entries, put->picks, put->count,
                                of->decider->id, &put->first_seqno, &put->moved);
        if (st == LS_OK && put->moved)
            st = PUT_MOVED;
        if (st == LS_OK)
            write_value(of->values + (size_t)of->written++ * LSI_STEP_VALUE_BYTES, put->first_seqno, true);
    }
    for (uint32_t i = 0; st == LS_OK && i < of->put_count; i++)
        st = lsi_log_step_sync(of->logs[i]);
    if (st != LS_OK)
        drop_all(of);
    return st;
}

static void show_all(void *user, ls_status st)
{
    stepping *of = user;

    for (; of->written > 0; of->written--) {
        lsi_log *log = of->logs[of->written - 1];

        if (st == LS_OK)
            lsi_log_step_show(log);
        else if (st == LS_ERR_IO || st == LS_ERR_NOT_FOUND)
            lsi_log_step_leave(log);
        else
            lsi_log_step_drop(log);
    }
}

static ls_status prepare(stepping *of)
{
    for (uint32_t i = 0; i < of->put_count; i++) {
        lsi_local_stream *stream = lsi_local_stream_of(of->puts[i].stream);
        ls_status st = lsi_local_stream_check_usable(stream);

        of->puts[i].moved = false;
        if (st == LS_OK)
            st = lsi_local_stream_log(stream, of->puts[i].shard, &of->logs[i]);
        if (st == LS_OK)
            st = lsi_log_step_prepare(of->logs[i], of->framer);
        if (st != LS_OK)
            st = lsi_local_stream_explain(stream, of->puts[i].shard, st);
        if (st == LS_ERR_NOT_FOUND && lsi_local_shard_is_gone(stream, of->puts[i].shard)) {
            lsi_error_restore(&(lsi_error_state){0});
            of->puts[i].moved = true;
            st = PUT_MOVED;
        }
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

static ls_status take(stepping *of, uint32_t change_count, uint32_t *conflict)
{
    const lsi_state_between between = {write_all, show_all, of};
    lsi_local *local = lsi_local_of_stream(&of->decider->base);
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        st = prepare(of);
        if (st == LS_OK)
            st = lsi_local_state_change(of->decider, of->changes, change_count + of->put_count, &between, conflict);
        if (st == PUT_MOVED) { /* As lsi_local_append. */
            *conflict = change_count;
            lsi_error_restore(&before);
            return lsi_local_catalog_settle(local, true);
        }
        if (st != LSI_PREPARE_FIRST)
            return st;
    }
    return lsi_fail(LS_ERR_BUSY, "stream '%s': the shards that a step puts to were changed by others %u times, while "
                    "it was prepared", of->decider->name, TRIES_MAX);
}

static bool are_in_order(const lsi_step_put *puts, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t before = lsi_local_stream_of(puts[i - 1].stream)->id, id = lsi_local_stream_of(puts[i].stream)->id;

        if (before > id || (before == id && puts[i - 1].shard >= puts[i].shard))
            return false;
    }
    return true;
}

ls_status lsi_local_step(lsi_engine_stream *base, lsi_state_change *changes, uint32_t change_count,
                         lsi_step_put *puts, uint32_t put_count, uint32_t *conflict)
{
    const lsi_memory *memory = &base->engine->env.memory;
    stepping of = {.decider = lsi_local_stream_of(base), .puts = puts, .put_count = put_count};
    size_t count = (size_t)change_count + put_count;
    const size_t bytes = count * sizeof(*of.changes) +
                         put_count * (sizeof(*of.logs) + LSI_STEP_VALUE_BYTES + LSI_STEP_KEY_BYTES);
    lsi_local *local = lsi_local_of_stream(base);
    ls_status st = lsi_local_check_writable(local);
    unsigned char *room;
    char *keys;

    *conflict = change_count;
    if (st != LS_OK || count == 0)
        return st;
    if (put_count > LSI_STEP_PUTS_MAX || !are_in_order(puts, put_count))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a step of %u puts: they are in order of stream and shard, and not "
                        "more than %u", put_count, LSI_STEP_PUTS_MAX);
    room = lsi_alloc_zero(memory, bytes);
    if (room == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a step of %u puts", put_count);
    of.changes = (lsi_state_change *)(void *)room;
    of.logs = (lsi_log **)(void *)(of.changes + count);
    of.values = (unsigned char *)(of.logs + put_count);
    keys = (char *)(of.values + (size_t)put_count * LSI_STEP_VALUE_BYTES);
    if (change_count > 0)
        memcpy(of.changes, changes, change_count * sizeof(*changes));
    for (uint32_t i = 0; i < put_count; i++)
        of.changes[change_count + i] = (lsi_state_change){
            .key = lsi_step_key(lsi_local_stream_of(puts[i].stream)->id, puts[i].shard,
                                keys + (size_t)i * LSI_STEP_KEY_BYTES),
            .expected = LSI_STATE_ANY,
            .value = {of.values + (size_t)i * LSI_STEP_VALUE_BYTES, LSI_STEP_VALUE_BYTES}};
    st = lsi_framer_open(&base->engine->env, &of.framer);
    if (st == LS_OK) {
        st = take(&of, change_count, conflict);
        lsi_framer_close(of.framer);
    }
    for (uint32_t i = 0; st == LS_OK && i < change_count; i++)
        changes[i].version = of.changes[i].version;
    if (st == LS_OK && *conflict > change_count)
        *conflict = change_count;
    lsi_free(memory, room);
    if (st == LS_OK && put_count > 0 &&
        atomic_fetch_add_explicit(&local->step_count, 1, memory_order_relaxed) % FORGET_EVERY == FORGET_EVERY - 1)
        lsi_local_step_forget(of.decider);
    return st;
}
