/* See session.h. */
#include "harness/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/thread.h"
#include "support/sim_inside.h"

#define BATCH_MAX 16u
#define SHOWN_MAX 4096u

/* ---- a world that can be repeated ---- */

static int64_t session_clock(void *user)
{
    session *of = user;

    return atomic_fetch_add_explicit(&of->now_us, 1000, memory_order_relaxed) + 1000;
}

static void session_random(void *user, void *bytes, size_t size)
{
    session *of = user;
    unsigned char *at = bytes;

    while (size-- > 0) {
        of->random = sim_mix(of->random + 1);
        *at++ = (unsigned char)of->random;
    }
}

static void session_log(void *user, int32_t level, const char *line)
{
    (void)user;
    if (getenv("SESSION_LOG") != NULL)
        fprintf(stderr, "        log %d: %s\n", level, line);
}

static ls_status session_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

static int session_thread(void *user, const char *name)
{
    session *of = user;
    uint64_t nth = ++of->threads;

    (void)name;
    if (of->thread_fails == 0 || nth < of->thread_fails || (nth > of->thread_fails && !of->threads_stay_away))
        return 0;
    of->threads_failed++;
    return -EAGAIN;
}

void session_init(session *of, sim_files *sim, truth *history, uint64_t seed)
{
    static const sim_memory none = SIM_MEMORY_INIT;

    *of = (session){.sim = sim, .truth = history, .random = seed, .now_us = INT64_C(1700000000000000)};
    of->memory = none;
    lsi_env_default(&of->env);
    of->env.memory = sim_memory_table(&of->memory);
    of->env.files = sim_files_table(sim);
    of->env.clock = (lsi_clock){session_clock, session_clock, of};
    of->env.random = session_random;
    of->env.random_user = of;
    of->env.log = session_log;
    of->env.busy_timeout_ms = 2000;
    of->damage_is_wrong = true;
    lsi_thread_pretend(session_thread, of);
}

void session_free(session *of)
{
    if (of->memory.live != 0)
        session_complain(of, "leak: %zu allocations of %zu bytes are left", of->memory.live, of->memory.live_bytes);
    if (of->sim->opens != NULL)
        session_complain(of, "leak: '%s' is still open", of->sim->opens->name);
    free(of->data);
    of->data = NULL;
}

void session_bury(session *of)
{
    free(of->data);
    of->data = NULL;
    sim_memory_bury(&of->memory);
}

void session_complain(session *of, const char *format, ...)
{
    va_list arguments;

    if (of->complaints++ > 0)
        return;
    va_start(arguments, format);
    (void)vsnprintf(of->complaint, sizeof(of->complaint), format, arguments);
    va_end(arguments);
}

ls_status session_answered(session *of, ls_status st)
{
    of->last = st;
    if (st != LS_OK && getenv("SESSION_LOG") != NULL)
        fprintf(stderr, "        answer %s: %s\n", ls_status_name(st), ls_last_error_message());
    if (st == LS_ERR_CORRUPT && of->damage_is_wrong)
        session_complain(of, "R3: damage where there is none: %s", ls_last_error_message());
    return st;
}

static size_t here(session *of)
{
    return sim_log_count(of->sim);
}

/* Whether a status leaves it open what happened. Everything else says that nothing was changed. */
static bool is_unknown(ls_status st)
{
    return st == LS_ERR_IO;
}

/* ---- what the log of the sim says of the call that began at `from` ---- */

static bool name_ends(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);

    return a >= b && strcmp(name + a - b, end) == 0;
}

/* The log is looked through under its lock: in INTERVAL mode a thread of the library syncs while we do. */
static size_t log_lock(session *of)
{
    size_t count = here(of);

    pthread_mutex_lock(&of->sim->mutex);
    return count;
}

static void log_unlock(session *of)
{
    pthread_mutex_unlock(&of->sim->mutex);
}

/* Whether the call replaced a shard's segment list: it rolled, and synced what was before (S5). */
static bool rolled_since(session *of, size_t from)
{
    size_t until = log_lock(of);
    bool found = false;

    for (size_t i = from; i < until; i++)
        found = found || (of->sim->log[i].kind == SIM_OP_RENAME && name_ends(of->sim->log[i].to_name, "segments"));
    log_unlock(of);
    return found;
}

static bool doubted_since(session *of, size_t from)
{
    size_t until = log_lock(of);
    bool found = false;

    for (size_t i = from; i < until; i++)
        found = found || of->sim->log[i].kind == SIM_OP_DOUBT || of->sim->log[i].kind == SIM_OP_DOUBT_DIR;
    log_unlock(of);
    return found;
}

/* E1: the shards whose last segment met a sync that failed. One of a new segment, which nothing names yet, is none. */
static void note_failed_shards(session *of, size_t from)
{
    size_t until = log_lock(of);

    for (size_t i = from; i < until; i++) {
        if (of->sim->log[i].kind != SIM_OP_DOUBT)
            continue;
        for (size_t k = 0; k < from; k++) {
            const sim_op *made = &of->sim->log[k];
            char path[LSI_FILE_NAME_BYTES_MAX];
            unsigned long long id;
            unsigned shard;

            if (made->kind != SIM_OP_CREATE || made->file != of->sim->log[i].file || !name_ends(made->name, ".seg"))
                continue;
            sim_path_of(of->sim, made->dir, path, sizeof(path));
            if (sscanf(path, "%llu/%u", &id, &shard) != 2 || shard >= TRUTH_SHARDS_MAX)
                continue;
            for (size_t n = 0; n < of->truth->stream_count; n++)
                if (of->truth->streams[n].id == id)
                    of->failed[n][shard] = true;
        }
    }
    log_unlock(of);
}

static size_t written_at(session *of, uint32_t put, size_t from)
{
    size_t until = log_lock(of), at = until;

    for (size_t i = from; i < until && at == until; i++) {
        const sim_op *op = &of->sim->log[i];

        if (op->bytes != NULL && truth_is_in(put, op->bytes, (size_t)op->size))
            at = i + 1;
    }
    log_unlock(of);
    return at;
}

/* ---- what syncs promise ---- */

static void all_durable(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->acked_at != NEVER && put->durable_at == NEVER)
            put->durable_at = here(of);
    }
}

/* A sync failed: in the weaker modes it may cost what was acknowledged before (E1). In SYNC it may not. */
static void sync_failed(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->durable_at == NEVER && put->begun_at != NEVER) {
            put->acked_at = NEVER;
            put->is_unknown = true;
        }
    }
    /* What was shown of it goes as well. */
    if (of->durability != LS_DURABILITY_SYNC)
        for (size_t i = 0; i < of->truth->seen_count; i++)
            while (of->truth->seen[i].count > 0 &&
                   of->truth->puts[of->truth->seen[i].puts[of->truth->seen[i].count - 1] - 1].is_unknown)
                of->truth->seen[i].count--;
}

/* After every call: failed syncs since the last look, by whatever thread. */
static bool look_for_doubts(session *of)
{
    bool doubted = doubted_since(of, of->looked_at);

    note_failed_shards(of, of->looked_at);
    of->looked_at = here(of);
    if (doubted && of->durability != LS_DURABILITY_SYNC)
        sync_failed(of);
    return doubted;
}

void session_look(session *of)
{
    (void)look_for_doubts(of);
}

static void synced(session *of, ls_status st)
{
    (void)look_for_doubts(of);
    if (st == LS_OK)
        all_durable(of);
}

/* ---- handles ---- */

ls_status session_open(session *of, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    if (of->store != NULL)
        return LS_OK;
    options.durability = durability;
    options.segment_bytes = SESSION_SEGMENT_BYTES;
    options.key_callback = session_key;
    options.sync_interval_ms = durability == LS_DURABILITY_INTERVAL ? 60000 : 0;
    st = session_answered(of, lsi_store_open_env("file:sim", &options, &of->env, &of->store));
    if (st != LS_OK)
        of->store = NULL;
    if (of->durability != LS_DURABILITY_DEFAULT && durability != of->durability)
        synced(of, st); /* another mode: everything is synced first */
    if (st == LS_OK)
        of->durability = ls_store_durability(of->store);
    return st;
}

void session_forget_stream(session *of, uint32_t stream)
{
    if (of->producers[stream] != NULL)
        (void)ls_producer_close(of->producers[stream]); /* says nothing of what was put */
    of->producers[stream] = NULL;
    if (of->streams[stream] != NULL && ls_stream_close(of->streams[stream]) != LS_OK)
        session_complain(of, "a stream does not close: %s", ls_last_error_message());
    of->streams[stream] = NULL;
}

static void unwatch(session *of)
{
    if (of->watcher == NULL)
        return;
    sim_hook_set(of->sim, NULL, NULL);
    if (ls_stream_close(of->watched_stream) != LS_OK || ls_store_close(of->watcher) != LS_OK)
        session_complain(of, "the watcher does not close: %s", ls_last_error_message());
    of->watcher = NULL;
}

ls_status session_close(session *of)
{
    ls_status st;

    if (of->store == NULL)
        return LS_OK;
    unwatch(of);
    for (uint32_t i = 0; i < SESSION_STREAMS_MAX; i++)
        session_forget_stream(of, i);
    st = session_answered(of, ls_store_close(of->store));
    of->store = NULL;
    synced(of, st);
    return st;
}

static bool is_id_of_another(const session *of, uint64_t id)
{
    for (size_t i = 0; i < of->truth->stream_count; i++)
        if (of->truth->streams[i].id == id)
            return true;
    return false;
}

ls_status session_want_stream(session *of, uint32_t stream)
{
    stream_fact *fact = &of->truth->streams[stream];
    ls_stream_description *description;
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    if (of->streams[stream] != NULL)
        return LS_OK;
    if (fact->gone_at != NEVER) /* What has the name is another one. */
        return LS_ERR_NOT_FOUND;
    st = session_answered(of, ls_stream_open(of->store, fact->name, &of->streams[stream]));
    if (st != LS_OK) {
        of->streams[stream] = NULL;
        return st;
    }
    st = session_answered(of, ls_stream_describe(of->streams[stream], &description));
    if (st != LS_OK) {
        session_forget_stream(of, stream);
        return st;
    }
    if (fact->id == 0 && !is_id_of_another(of, ls_stream_description_id(description)))
        fact->id = ls_stream_description_id(description);
    if (fact->id != ls_stream_description_id(description)) { /* an older one, whose deletion failed, or a newer one */
        session_forget_stream(of, stream);
        st = LS_ERR_NOT_FOUND;
    } else {
        st = session_learn_shards(of, stream, description);
    }
    ls_stream_description_free(description);
    return st;
}

static ls_status want_producer(session *of, uint32_t stream)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK || of->producers[stream] != NULL)
        return st;
    st = session_answered(of, ls_producer_open(of->streams[stream], NULL, &of->producers[stream]));
    if (st != LS_OK)
        of->producers[stream] = NULL;
    return st;
}

/* ---- streams ---- */

ls_status session_create(session *of, const char *name, uint32_t shard_count, uint32_t *out)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    stream_fact *fact;
    ls_status st;

    *out = truth_stream_begin(of->truth, name, shard_count, here(of));
    if (*out >= SESSION_STREAMS_MAX)
        abort();
    fact = &of->truth->streams[*out];
    if (of->store == NULL && session_open(of, of->durability) != LS_OK) {
        fact->gone_at = here(of);
        return of->last;
    }
    options.shard_count = shard_count;
    options.record_bytes_max = 4u << 20;
    options.retention_bytes = fact->retention_bytes = of->retention_bytes;
    options.retention_hours = fact->retention_hours = of->retention_hours;
    st = session_answered(of, ls_stream_create(of->store, name, &options));
    if (st == LS_OK)
        fact->made_at = here(of);
    else if (!is_unknown(st))
        fact->gone_at = here(of);
    if (st == LS_OK)
        (void)session_want_stream(of, *out); /* learns its id */
    return st;
}

ls_status session_delete(session *of, uint32_t stream)
{
    stream_fact *fact = &of->truth->streams[stream];
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    if (fact->gone_at != NEVER || (fact->made_at == NEVER && fact->id == 0))
        return LS_ERR_NOT_FOUND; /* The name may be another one's. */
    session_forget_stream(of, stream);
    fact->drop_begun_at = here(of);
    st = session_answered(of, ls_stream_delete(of->store, fact->name));
    if (st == LS_OK)
        fact->dropped_at = here(of);
    else if (!is_unknown(st))
        fact->drop_begun_at = NEVER;
    return st;
}

ls_status session_encrypt(session *of, uint32_t stream, const char *key_id)
{
    const char *name = of->truth->streams[stream].name;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    of->is_sealed[stream] = false;
    st = session_answered(of, key_id != NULL ? ls_stream_start_encryption(of->store, name, key_id)
                                             : ls_stream_stop_encryption(of->store, name));
    session_look(of);
    of->is_sealed[stream] = st == LS_OK && key_id != NULL;
    return st;
}

ls_status session_compress(session *of, uint32_t stream, ls_compression compression)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_set_compression(of->store, of->truth->streams[stream].name, compression));
    session_look(of);
    return st;
}

ls_status session_health(session *of, uint32_t stream, uint32_t shard, ls_status *health)
{
    ls_stream_description *description;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_describe(of->streams[stream], &description));
    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_description_shard(description, shard, &info));
    *health = info.health;
    ls_stream_description_free(description);
    return st;
}

/* ---- trimming ---- */

/* Of a stream with a cap so much stays at least: less than the cap by the segment that went last, by the last one,
 * which takes its place on the disk before it is full, and by one that a loss of power took; and segments are nine
 * tenths full. */
static uint64_t kept_bytes(uint64_t cap)
{
    return (cap - 3 * SESSION_SEGMENT_BYTES) / 10 * 9;
}

/* From `at` on these may be trimmed. A call takes less than MOMENT_US by the session's clock. */
#define MOMENT_US INT64_C(10000000)
static void note_expired(session *of, size_t at)
{
    int64_t now_us = atomic_load_explicit(&of->now_us, memory_order_relaxed) + MOMENT_US;
    uint64_t after[SESSION_STREAMS_MAX] = {0};

    for (size_t i = of->truth->put_count; i-- > 0;) {
        put_fact *put = &of->truth->puts[i];
        const stream_fact *stream = &of->truth->streams[put->stream];

        if ((stream->retention_bytes != 0 && after[put->stream] >= kept_bytes(stream->retention_bytes)) ||
            (stream->retention_hours != 0 && put->begun_us + stream->retention_hours * INT64_C(3600000000) <= now_us))
            put->expired_at = put->expired_at < at ? put->expired_at : at;
        after[put->stream] += put->data_bytes;
    }
}

/* A recovery begins a new segment, and the one before it may be as good as empty: then a cap says nothing of
 * records. */
static void all_over_cap(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (of->truth->streams[put->stream].retention_bytes != 0 && put->expired_at > here(of))
            put->expired_at = here(of);
    }
}

void session_pass(session *of, int64_t us)
{
    (void)atomic_fetch_add_explicit(&of->now_us, us, memory_order_relaxed);
    note_expired(of, here(of));
}

ls_status session_maintain(session *of)
{
    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    note_expired(of, here(of));
    ls_status st = session_answered(of, ls_store_maintain(of->store, -1));
    session_look(of);
    return st;
}

/* ---- puts ---- */

static void put_answered(session *of, uint32_t number, ls_status st, ls_seqno seqno)
{
    put_fact *put = &of->truth->puts[number - 1];
    size_t written = written_at(of, number, put->begun_at);

    if (of->is_sealed[put->stream] && written < here(of))
        session_complain(of, "X5: put %u was written as it is, and its stream is encrypted", number);
    if (st == LS_OK) {
        put->seqno = seqno;
        put->given_at = written;
        put->acked_at = here(of);
        if (of->durability == LS_DURABILITY_SYNC)
            put->durable_at = here(of);
    } else if (is_unknown(st)) {
        put->is_unknown = true;
    } else {
        put->gone_at = here(of);
    }
}

/* The puts of this call, numbers [first, first + count), are about to be answered: what the call says by its deeds. */
static void put_done(session *of, uint32_t stream, uint32_t shard, uint32_t first, size_t from)
{
    bool rolled = rolled_since(of, from);

    for (uint32_t i = 0; rolled && i + 1 < first; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->stream == stream && put->shard == shard && put->acked_at != NEVER && put->durable_at == NEVER)
            put->durable_at = here(of);
    }
}

ls_status session_batch(session *of, uint32_t stream, uint32_t shard, uint32_t count, uint32_t bytes, bool atomic)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry entries[BATCH_MAX];
    ls_put_result results[BATCH_MAX] = {{0}};
    char keys[BATCH_MAX][16];
    unsigned char *data; /* the session's, for a process may be killed in here */
    ls_hash_key hash_key;
    uint32_t first = (uint32_t)of->truth->put_count + 1, group = atomic ? ++of->truth->group_count : 0;
    size_t failed = 0, from;
    bool was_failed = of->failed[stream][shard], doubted;
    ls_status st = want_producer(of, stream);

    if (st != LS_OK)
        return st;
    if (!session_is_open(of, stream, shard)) /* What should have made it failed. */
        return LS_ERR_STATE;
    if (count > BATCH_MAX)
        abort();
    hash_key = session_key_of(of, stream, shard, first);
    bytes = bytes < TRUTH_MARK_BYTES ? TRUTH_MARK_BYTES : bytes;
    data = of->data = sim_must(realloc(of->data, (size_t)count * bytes));
    from = here(of);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = truth_put_begin(of->truth, stream, shard, group, bytes, from);

        truth_data(number, data + (size_t)i * bytes, bytes);
        entries[i] = (ls_put_entry){.partition_key = {keys[i], truth_key(number, keys[i])},
                                    .data = {data + (size_t)i * bytes, bytes},
                                    .explicit_hash_key = &hash_key};
        of->truth->puts[number - 1].begun_us = atomic_load_explicit(&of->now_us, memory_order_relaxed);
    }
    note_expired(of, from);
    options.flags = atomic ? LS_PUT_ATOMIC : 0;
    if (count == 1 && !atomic) {
        ls_record_id id = {0};

        options.explicit_hash_key = &hash_key;
        st = ls_producer_put(of->producers[stream], entries[0].partition_key, entries[0].data, &options, &id);
        results[0] = (ls_put_result){id.seqno, id.shard, st};
    } else {
        st = ls_producer_put_batch(of->producers[stream], entries, count, &options, results, &failed);
        for (uint32_t i = 0; i < count && st != LS_OK; i++)
            results[i].status = st;
    }
    doubted = look_for_doubts(of);
    if (!doubted)
        put_done(of, stream, shard, first, from);
    if (was_failed && st == LS_OK && failed < count)
        session_complain(of, "E1: put %u is acknowledged by a shard whose sync failed", first);
    if (was_failed && st != LS_OK && st != LS_ERR_IO && st != LS_ERR_NO_MEMORY)
        session_complain(of, "E1: a shard whose sync failed refuses a put with %s", ls_status_name(st));
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].status == LS_OK && results[i].shard != shard)
            session_complain(of, "put %u went to shard %u instead of %u", first + i, results[i].shard, shard);
        put_answered(of, first + i, results[i].status, results[i].seqno);
        st = st == LS_OK ? results[i].status : st;
    }
    if (doubted && of->durability != LS_DURABILITY_SYNC) /* Before or after the answer: nobody knows. */
        sync_failed(of);
    of->put_io = of->put_io || st == LS_ERR_IO;
    return session_answered(of, st);
}

ls_status session_put(session *of, uint32_t stream, uint32_t shard, uint32_t bytes)
{
    return session_batch(of, stream, shard, 1, bytes, false);
}

ls_status session_sync(session *of)
{
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    st = session_answered(of, ls_store_sync(of->store));
    synced(of, st);
    return st;
}

ls_status session_reset(session *of, uint32_t stream, uint32_t shard)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_reset_shard(of->streams[stream], shard));
    if (st == LS_OK)
        of->failed[stream][shard] = false;
    for (size_t i = 0; st == LS_OK && i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        /* What reading does not show now is given up. */
        if (put->stream == stream && put->shard == shard && put->is_unknown)
            put->gone_at = put->gone_at != NEVER ? put->gone_at : NEVER - 1;
    }
    return st;
}

/* ---- reading ---- */

/* What was not found will never come: said after a reset, and after every recovery. */
static void lost(session *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, bool recovered)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];
        bool found = false;

        if (put->stream != stream || put->shard != shard || put->begun_at == NEVER ||
            (put->gone_at != NEVER - 1 && !(recovered && put->gone_at == NEVER)))
            continue;
        for (size_t k = 0; k < count; k++)
            found = found || records[k].put == i + 1;
        put->gone_at = found ? NEVER : here(of);
    }
}

static ls_status read_shard(session *of, ls_stream *stream, uint32_t shard, shown *records, size_t *count)
{
    ls_iterator *iterator;
    const ls_batch *batch;
    ls_status st = session_answered(of, ls_iterator_open(stream, shard, NULL, NULL, &iterator));

    *count = 0;
    if (st != LS_OK)
        return st;
    for (;;) {
        st = session_answered(of, ls_iterator_next(iterator, NULL, &batch));
        if (st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch) && *count < SHOWN_MAX; i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t put = truth_identify(of->truth, record);

            if (put == 0) {
                session_complain(of, "number %llu of shard %u was never put", (unsigned long long)record->seqno, shard);
                break;
            }
            records[(*count)++] = (shown){put, record->seqno, record->arrival_us};
        }
    }
    ls_iterator_close(iterator);
    return st;
}

static ls_status read_and_check(session *of, uint32_t stream, uint32_t shard, size_t at, bool power, bool recovered)
{
    static shown records[SHOWN_MAX];
    char what[256];
    size_t count;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = read_shard(of, of->streams[stream], shard, records, &count);
    if (st != LS_OK)
        return st;
    (void)look_for_doubts(of);
    if (!truth_check(of->truth, stream, shard, records, count, at, power, what))
        session_complain(of, "stream '%s' shard %u: %s", of->truth->streams[stream].name, shard, what);
    /* A number that was shown was given, also when its put was never answered. */
    for (size_t i = 0; i < count; i++) {
        put_fact *put = &of->truth->puts[records[i].put - 1];

        put->seqno = put->seqno != 0 ? put->seqno : records[i].seqno;
        put->given_at = put->given_at != NEVER ? put->given_at : here(of);
    }
    lost(of, stream, shard, records, count, recovered);
    truth_seen(of->truth, stream, shard, records, count, of->stays || of->durability == LS_DURABILITY_SYNC, here(of));
    return st;
}

ls_status session_read(session *of, uint32_t stream, uint32_t shard, bool power)
{
    return read_and_check(of, stream, shard, NEVER - 2, power, false);
}

ls_status session_read_all(session *of, uint32_t stream)
{
    ls_status st = session_want_stream(of, stream);

    for (uint32_t shard = 0; st == LS_OK && shard < of->shards[stream].count; shard++)
        st = session_read(of, stream, shard, false);
    return st;
}

static void watch(void *user, sim_call call, const char *name)
{
    static shown records[SHOWN_MAX];
    session *of = user;
    char what[256];
    size_t count;

    if (call != SIM_SYNC || !name_ends(name, ".seg") || of->is_watching)
        return;
    of->is_watching = true;
    if (read_shard(of, of->watched_stream, 0, records, &count) != LS_OK)
        session_complain(of, "the watcher cannot read: %s", ls_last_error_message());
    else if (!truth_check(of->truth, of->watched, 0, records, count, NEVER - 2, false, what))
        session_complain(of, "the watcher of stream '%s': %s", of->truth->streams[of->watched].name, what);
    else
        truth_seen(of->truth, of->watched, 0, records, count, of->durability == LS_DURABILITY_SYNC, here(of));
    of->is_watching = false;
}

void session_watch(session *of, uint32_t stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    if (of->watcher != NULL || of->streams[stream] == NULL)
        return;
    const char *name = of->truth->streams[stream].name;
    /* It looks on the thread of a call that holds locks, so it must do no upkeep. */
    options.flags = LS_STORE_READ_ONLY;
    options.key_callback = session_key;
    if (session_answered(of, lsi_store_open_env("file:sim", &options, &of->env, &of->watcher)) != LS_OK ||
        session_answered(of, ls_stream_open(of->watcher, name, &of->watched_stream)) != LS_OK) {
        session_complain(of, "no watcher: %s", ls_last_error_message());
        return;
    }
    of->watched = stream;
    sim_hook_set(of->sim, watch, of);
}

/* ---- examining ---- */

/* Which stream the name is now: SESSION_STREAMS_MAX for none, with the reason complained about if one is owed. */
static uint32_t find_stream(session *of, const char *name, size_t at, bool power)
{
    ls_stream *handle;
    ls_stream_description *description;
    uint64_t id;
    uint64_t failed = 0;
    ls_status st = session_answered(of, ls_stream_open(of->store, name, &handle));

    if (st == LS_ERR_NOT_FOUND) {
        for (size_t i = 0; i < of->truth->stream_count; i++) {
            stream_fact *fact = &of->truth->streams[i];

            if (strcmp(fact->name, name) != 0 || fact->begun_at >= at)
                continue;
            if (fact->made_at <= at && fact->drop_begun_at >= at)
                session_complain(of, "D6: stream '%s' is lost", name);
            if (power) /* Else it may come yet, if that was left open. */
                fact->gone_at = fact->gone_at < here(of) ? fact->gone_at : here(of);
        }
        return SESSION_STREAMS_MAX;
    }
    if (st != LS_OK) {
        session_complain(of, "stream '%s' cannot be opened: %s", name, ls_last_error_message());
        return SESSION_STREAMS_MAX;
    }
    st = session_answered(of, ls_stream_describe(handle, &description));
    if (st != LS_OK) {
        session_complain(of, "stream '%s' cannot be described: %s", name, ls_last_error_message());
        (void)ls_stream_close(handle);
        return SESSION_STREAMS_MAX;
    }
    id = ls_stream_description_id(description);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &info) != LS_OK || info.health == LS_OK)
            continue;
        if (info.health == LS_ERR_IO && of->may_have_failed)
            failed |= UINT64_C(1) << i;
        else
            session_complain(of, "R3: stream '%s' shard %u says that it is %s", name, i, ls_status_name(info.health));
    }
    ls_stream_description_free(description);
    if (ls_stream_close(handle) != LS_OK)
        session_complain(of, "a stream does not close: %s", ls_last_error_message());
    /* The one with this id; else one whose id nobody was told, and which may be there; else any of those. */
    for (uint32_t pass = 0; pass < 3; pass++)
        for (uint32_t i = 0; i < of->truth->stream_count; i++) {
            stream_fact *fact = &of->truth->streams[i];

            if (strcmp(fact->name, name) != 0 || fact->begun_at >= at || (pass == 0 ? fact->id != id : fact->id != 0) ||
                (pass == 1 && (fact->dropped_at <= at || fact->gone_at <= at)))
                continue;
            if (fact->dropped_at <= at)
                session_complain(of, "D6: stream '%s' is there, although it was deleted", name);
            if (fact->gone_at <= at)
                session_complain(of, "D7: stream '%s' is there, although it could not be created", name);
            fact->id = id;
            fact->made_at = fact->made_at < here(of) ? fact->made_at : here(of);
            fact->drop_begun_at = fact->drop_begun_at >= at ? fact->drop_begun_at : NEVER;
            for (uint32_t shard = 0; shard < TRUTH_SHARDS_MAX; shard++)
                if ((failed >> shard & 1) != 0 && session_reset(of, i, shard) != LS_OK)
                    session_complain(of, "E1: stream '%s' shard %u cannot be reset: %s", name, shard,
                                     ls_last_error_message());
            return i;
        }
    session_complain(of, "stream '%s' with id %llu was never created", name, (unsigned long long)id);
    return SESSION_STREAMS_MAX;
}

void session_examine(session *of, ls_durability durability, size_t at, bool power, size_t *shown_at)
{
    uint32_t alive[SESSION_STREAMS_MAX];
    size_t alive_count = 0;
    bool stayed = of->stays;

    if (session_open(of, durability) != LS_OK) {
        session_complain(of, "the store cannot be opened: %s", ls_last_error_message());
        return;
    }
    for (size_t i = 0; i < of->truth->stream_count; i++) {
        const char *name = of->truth->streams[i].name;
        bool is_first = true;
        uint32_t found;

        for (size_t k = 0; k < i; k++)
            is_first = is_first && strcmp(of->truth->streams[k].name, name) != 0;
        if (!is_first)
            continue;
        found = find_stream(of, name, at, power);
        if (found >= SESSION_STREAMS_MAX)
            continue;
        if (session_want_stream(of, found) == LS_OK)
            session_check_shards(of, found, at, power);
        else
            session_complain(of, "stream '%s' cannot be described: %s", name, ls_last_error_message());
        alive[alive_count++] = found;
    }
    of->stays = of->stays || power; /* R8: what the first recovery shows, no later crash takes back. */
    for (size_t i = 0; i < alive_count; i++)
        for (uint32_t shard = 0; shard < of->shards[alive[i]].count; shard++)
            if (read_and_check(of, alive[i], shard, at, power, power) != LS_OK)
                session_complain(of, "stream '%s' shard %u cannot be read: %s", of->truth->streams[alive[i]].name,
                                 shard, ls_last_error_message());
    /* After a kill what nobody was answered may yet appear, or never. */
    for (size_t i = 0; i < of->truth->put_count && !power; i++)
        if (of->truth->puts[i].acked_at == NEVER && of->truth->puts[i].gone_at == NEVER)
            of->truth->puts[i].is_unknown = true;
    of->stays = stayed;
    if (shown_at != NULL)
        *shown_at = here(of);
    all_over_cap(of);
    for (size_t i = 0; i < alive_count; i++)
        for (uint32_t shard = 0; shard < of->shards[alive[i]].count; shard++) {
            ls_seqno highest = truth_highest(of->truth, alive[i], shard, NEVER - 1);

            if (!session_is_open(of, alive[i], shard))
                continue;
            if (session_put(of, alive[i], shard, 100) != LS_OK) {
                session_complain(of, "stream '%s' shard %u takes no puts: %s", of->truth->streams[alive[i]].name, shard,
                                 ls_last_error_message());
                continue;
            }
            if (of->truth->puts[of->truth->put_count - 1].seqno <= highest)
                session_complain(of, "D4: number %llu is given again: %llu was given before",
                                 (unsigned long long)of->truth->puts[of->truth->put_count - 1].seqno,
                                 (unsigned long long)highest);
            if (session_read(of, alive[i], shard, false) != LS_OK)
                session_complain(of, "stream '%s' shard %u cannot be read after a put: %s",
                                 of->truth->streams[alive[i]].name, shard, ls_last_error_message());
        }
}
