/* See session.h: the world that can be repeated, and the handles. */
#include "harness/session_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/thread.h"
#include "support/sim_inside.h"

/* ---- a world that can be repeated ---- */

#define LOOK_US 1000 /* Each look at the clock takes so long. */

static int64_t session_clock(void *user)
{
    session *of = user;
    int64_t now_us = atomic_fetch_add_explicit(&of->now_us, LOOK_US, memory_order_relaxed) + LOOK_US;

    if (of->deliver_until_us != 0 && now_us > of->deliver_until_us) /* Not by its call, which may want locks. */
        atomic_store_explicit(&of->delivery->is_stopped, true, memory_order_release);
    return now_us;
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

ls_status session_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
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

void session_threads(session *of, bool run)
{
    lsi_thread_pretend(run ? NULL : session_thread, of);
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
    session_threads(of, false);
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
    if (st == LS_ERR_IO && of->io_is_wrong)
        session_complain(of, "a call of the system is said to have failed: %s", ls_last_error_message());
    if (st == LS_ERR_CORRUPT && of->damage_is_wrong)
        session_complain(of, "R3: damage where there is none: %s", ls_last_error_message());
    return st;
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
        session_synced(of, st); /* another mode: everything is synced first */
    if (st == LS_OK) {
        of->durability = ls_store_durability(of->store);
        memset(of->written, 0, sizeof(of->written));
    }
    return st;
}

void session_forget_stream(session *of, uint32_t stream)
{
    if (of->worked_on == stream) {
        session_leave(of);
        session_close_window(of);
    }
    if (of->producers[stream] != NULL)
        (void)ls_producer_close(of->producers[stream]); /* says nothing of what was put */
    of->producers[stream] = NULL;
    if (of->streams[stream] != NULL && ls_stream_close(of->streams[stream]) != LS_OK)
        session_complain(of, "a stream does not close: %s", ls_last_error_message());
    of->streams[stream] = NULL;
}

ls_status session_close(session *of)
{
    ls_status st;

    if (of->store == NULL)
        return LS_OK;
    session_unwatch(of);
    for (uint32_t i = 0; i < SESSION_STREAMS_MAX; i++)
        session_forget_stream(of, i);
    st = session_answered(of, ls_store_close(of->store));
    of->store = NULL;
    session_synced(of, st);
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
        return truth_may_scale(of->truth, stream) ? session_follow_shards(of, stream) : LS_OK;
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
        session_expect_scaling(of, stream);
    }
    ls_stream_description_free(description);
    return st;
}
