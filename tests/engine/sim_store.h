/* A store on the simulated disk, for walks over all its calls. */
#ifndef LST_ENGINE_SIM_STORE_H
#define LST_ENGINE_SIM_STORE_H

#include "engine/local_store.h"

#include "support/sim_files.h"
#include "support/sim_memory.h"


typedef struct walk {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    ls_status created, removed; /* of the calls below; -1: not returned */
    size_t created_at, removed_at;   /* places in the log when they had returned */
} walk;

static inline void begin(walk *at, sim_files *sim)
{
    memset(at, 0, sizeof *at);
    at->sim = sim;
    at->memory = (sim_memory)SIM_MEMORY_INIT;
    lsi_env_default(&at->env);
    at->env.files = sim_files_table(sim);
    at->env.memory = sim_memory_table(&at->memory);
    at->env.busy_timeout_ms = 200;
    at->created = at->removed = -1;
}

static inline ls_status open_walk(walk *at, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    return lsi_local_open("store", &options, &at->env, out);
}

/* A disk with a store that has "old" with a record, and "kept" with another. */
static inline sim_files *store_with_old(void)
{
    sim_files *sim = sim_files_new();
    lsi_engine_stream *stream;
    lsi_engine *engine;
    walk at;

    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(create(engine, "old", 1), LS_OK);
    assert_int_equal(create(engine, "kept", 1), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    return sim;
}

static inline bool stream_is_there(lsi_engine *engine, const char *name)
{
    lsi_engine_stream *stream;
    ls_status st = engine->ops->stream_open(engine, name, &stream);

    if (st != LS_OK) {
        assert_int_equal(st, LS_ERR_NOT_FOUND);
        return false;
    }
    engine->ops->stream_close(stream);
    return true;
}

#endif
