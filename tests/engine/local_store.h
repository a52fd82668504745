/* A store of the local engine in a directory of its own: what tests of the engine begin with. */
#ifndef LST_ENGINE_LOCAL_STORE_H
#define LST_ENGINE_LOCAL_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "support/temp.h"

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    char path[TEMP_PATH_BYTES * 2];
} fixture;

static inline int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);

    temp_make(&fx->temp);
    lsi_env_default(&fx->env);
    strcpy(fx->path, temp_path(&fx->temp, "store"));
    *state = fx;
    return 0;
}

static inline int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_boot_id_pretend(NULL);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static inline ls_status open_with(fixture *fx, ls_store_options options, lsi_engine **out)
{
    return lsi_local_open(fx->path, &options, &fx->env, out);
}

static inline lsi_engine *open_store(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;

    options.segment_bytes = 64 << 10;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    return engine;
}

static inline void close_store(lsi_engine *engine)
{
    assert_int_equal(engine->ops->close(engine), LS_OK);
}

static inline ls_status create(lsi_engine *engine, const char *name, uint32_t shard_count)
{
    lsi_stream_spec spec = {name, shard_count, 24, LS_STREAM_ON_DEMAND, 1 << 20};

    return engine->ops->create(engine, &spec);
}

static inline ls_status put_one(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard, const char *data)
{
    ls_put_entry entry = {{"key", 3}, {data, strlen(data)}, NULL};
    lsi_append batch = {&entry, NULL, 1, false};
    lsi_append_result result;
    lsi_appender *appender;
    ls_status st = engine->ops->appender_open(stream, &appender);

    if (st != LS_OK)
        return st;
    st = engine->ops->append(appender, shard, &batch, &result);
    if (st == LS_OK)
        st = engine->ops->commit(appender, shard, result.end, LS_DURABILITY_DEFAULT);
    engine->ops->appender_close(appender);
    return st;
}

static inline uint32_t count_records(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    lsi_reader *reader;
    uint32_t count = 0;

    assert_int_equal(engine->ops->reader_open(stream, shard, 0, &reader), LS_OK);
    assert_int_equal(engine->ops->seek(reader, &start), LS_OK);
    for (;;) {
        lsi_read page;

        assert_int_equal(engine->ops->read(reader, 100, 1 << 20, &page), LS_OK);
        if (page.count == 0)
            break;
        count += page.count;
    }
    engine->ops->reader_close(reader);
    return count;
}

static inline uint32_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    uint32_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count - 2;
}

static inline bool is_there(fixture *fx, const char *name)
{
    char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/%s", fx->path, name);
    return access(path, F_OK) == 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
