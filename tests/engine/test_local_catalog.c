/* The local engine as a store on disk: options, several who have it open, creating and deleting under failures, deaths
 * and crashes, what killed processes leave, forks. What every engine does is in conformance.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/status.h"
#include "base/thread.h"
#include "base/u128.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"
#include "support/temp.h"

/* A simulated process that is killed while it removes what a listing shows leaves the simulator's copy of the listing,
 * which belongs to nobody. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:memory_list";
}

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    char path[TEMP_PATH_BYTES * 2];
} fixture;

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);

    temp_make(&fx->temp);
    lsi_env_default(&fx->env);
    strcpy(fx->path, temp_path(&fx->temp, "store"));
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_boot_id_pretend(NULL);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static ls_status open_with(fixture *fx, ls_store_options options, lsi_engine **out)
{
    return lsi_local_open(fx->path, &options, &fx->env, out);
}

static lsi_engine *open_store(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;

    options.segment_bytes = 64 << 10;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    return engine;
}

static void close_store(lsi_engine *engine)
{
    assert_int_equal(engine->ops->close(engine), LS_OK);
}

static ls_status create(lsi_engine *engine, const char *name, uint32_t shard_count)
{
    lsi_stream_spec spec = {name, shard_count, 24, LS_STREAM_ON_DEMAND, 1 << 20};

    return engine->ops->create(engine, &spec);
}

static ls_status put_one(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard, const char *data)
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

static uint32_t count_records(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard)
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

static uint32_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    uint32_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count - 2;
}

static bool is_there(fixture *fx, const char *name)
{
    char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/%s", fx->path, name);
    return access(path, F_OK) == 0;
}

/* ---- options ---- */

static void options_out_of_range_are_refused_and_make_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options bad[9];
    lsi_engine *engine;

    for (size_t i = 0; i < 9; i++)
        bad[i] = (ls_store_options)LS_STORE_OPTIONS_INIT;
    bad[0].flags = 1 << 20;
    bad[1].durability = 4;
    bad[2].durability = -1;
    bad[3].sync_interval_ms = 60001;
    bad[4].segment_bytes = (64 << 10) - 1;
    bad[5].segment_bytes = (1 << 30) + 1;
    bad[6].reserved = 1;
    bad[7].segment_bytes = 1;
    bad[8].flags = UINT32_MAX;
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(open_with(fx, bad[i], &engine), LS_ERR_INVALID_ARGUMENT);
    assert_false(is_there(fx, ""));
}

/* What store.h says of zeros. */
static void settings_have_their_defaults(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;

    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_SYNC);
    assert_int_equal(lsi_local_of(engine)->segment_bytes, 64 << 20);
    assert_int_equal(lsi_local_of(engine)->prealloc_bytes, 8 << 20);
    assert_int_equal(lsi_local_of(engine)->sync_interval_ms, 100);
    close_store(engine);
}

static void settings_are_kept_in_the_store(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine, *early;

    options.durability = LS_DURABILITY_KERNEL;
    options.segment_bytes = (64 << 10) + 1;
    options.sync_interval_ms = 250;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    close_store(engine);
    options = (ls_store_options)LS_STORE_OPTIONS_INIT;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_KERNEL);
    assert_int_equal(lsi_local_of(engine)->segment_bytes, 68 << 10); /* rounded up */
    assert_int_equal(lsi_local_of(engine)->sync_interval_ms, 250);
    close_store(engine);
    options.sync_interval_ms = 250;
    assert_int_equal(open_with(fx, options, &early), LS_OK);
    options.segment_bytes = 68 << 10;
    options.sync_interval_ms = 300;
    assert_int_equal(open_with(fx, options, &engine), LS_OK); /* the same; the interval may change */
    assert_int_equal(lsi_local_of(early)->sync_interval_ms, 250); /* but not for who has it open */
    close_store(early);
    close_store(engine);
    options = (ls_store_options)LS_STORE_OPTIONS_INIT;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(lsi_local_of(engine)->sync_interval_ms, 300);
    close_store(engine);
    options.segment_bytes = 64 << 10;
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_STATE);
}

/* Goal: L4. Method: change while another has it open (refused), then alone; the records stay, the mode is kept. */
static void durability_changes_only_when_nobody_else_has_the_store_open(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine_stream *stream;
    lsi_engine *engine, *other;

    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(create(engine, "a", 2), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 1, "x"), LS_OK);
    options.durability = LS_DURABILITY_SYNC;
    assert_int_equal(open_with(fx, options, &other), LS_ERR_STATE);
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &other), LS_OK); /* the same is no change */
    close_store(other);
    engine->ops->stream_close(stream);
    close_store(engine);

    options.durability = LS_DURABILITY_SYNC;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_SYNC);
    assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 1), 1);
    engine->ops->stream_close(stream);
    close_store(engine);
    options.durability = LS_DURABILITY_DEFAULT;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_SYNC);
    close_store(engine);
}

/* ---- where a store may be ---- */

static void a_store_is_made_where_its_parent_is(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;
    char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/deeper", fx->path);
    assert_int_equal(lsi_local_open(path, &options, &fx->env, &engine), LS_ERR_NOT_FOUND);
    assert_false(is_there(fx, ""));
    options.flags = LS_STORE_NO_CREATE;
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_NOT_FOUND);
    assert_false(is_there(fx, ""));
    assert_int_equal(mkdir(fx->path, 0700), 0);
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_NOT_FOUND);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_NOT_FOUND);
    assert_int_equal(count_entries(fx->path), 0);
    options.flags = 0;
    assert_int_equal(open_with(fx, options, &engine), LS_OK); /* an empty directory becomes one */
    close_store(engine);
    options.flags = LS_STORE_NO_CREATE;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    close_store(engine);
}

static unsigned names_synced;

static int note_synced_name(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    names_synced += (flags & LSI_ROOT_SYNC_NAME) != 0;
    return lsi_files_system.root_open(self, path, flags, out);
}

static int refuse_to_sync_name(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    return (flags & LSI_ROOT_SYNC_NAME) != 0 ? -EIO : lsi_files_system.root_open(self, path, flags, out);
}

/* D6: whoever made the directory, who makes a store in it makes its name durable first. */
static void the_name_of_a_new_store_is_durable(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;

    fx->env.files = &files;
    files.root_open = refuse_to_sync_name;
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_IO); /* Its directory is there now. */
    assert_true(is_there(fx, ""));
    assert_false(is_there(fx, LSI_MANIFEST_NAME));
    files.root_open = note_synced_name;
    names_synced = 0;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(names_synced, 1);
    close_store(engine);
    assert_int_equal(open_with(fx, options, &engine), LS_OK); /* It was then. */
    assert_int_equal(names_synced, 1);
    close_store(engine);
}

static int say_network(const lsi_root *root, lsi_fs_kind *out)
{
    (void)root;
    *out = LSI_FS_NETWORK;
    return 0;
}

static void a_network_file_system_is_refused_unless_allowed(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_files files = lsi_files_system;
    lsi_engine *engine;

    files.root_kind = say_network;
    fx->env.files = &files;
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_UNSUPPORTED);
    options.flags = LS_STORE_NETWORK_FS_ALLOWED;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    close_store(engine);
}

/* Goal: R6. Method: a damaged manifest, then none beside a stream's directory: CORRUPT, and nothing is changed. */
static void a_manifest_that_cannot_be_read_refuses_to_open(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine = open_store(fx);
    char path[TEMP_PATH_BYTES * 3];
    unsigned char byte;
    uint32_t entries;

    assert_int_equal(create(engine, "a", 1), LS_OK);
    close_store(engine);
    (void)snprintf(path, sizeof path, "%s/manifest", fx->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    entries = count_entries(fx->path);
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_CORRUPT);
    assert_int_equal(count_entries(fx->path), entries);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    assert_int_equal(close(fd), 0);
    engine = open_store(fx);
    close_store(engine);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_with(fx, options, &engine), LS_ERR_CORRUPT);
    assert_false(is_there(fx, "manifest"));
}

/* ---- several who have it open ---- */

static void what_one_creates_and_deletes_the_others_see(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *in_one, *in_two;
    lsi_stream_info info;

    assert_int_equal(create(one, "a", 2), LS_OK);
    assert_int_equal(create(two, "a", 2), LS_ERR_EXISTS);
    assert_int_equal(two->ops->stream_open(two, "a", &in_two), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    assert_int_equal(put_one(one, in_one, 1, "x"), LS_OK);
    assert_int_equal(put_one(two, in_two, 1, "y"), LS_OK);
    assert_int_equal(count_records(one, in_one, 1), 2);
    assert_int_equal(count_records(two, in_two, 1), 2);
    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    assert_int_equal(put_one(one, in_one, 1, "z"), LS_ERR_NOT_FOUND);
    assert_int_equal(one->ops->info(in_one, &info), LS_ERR_NOT_FOUND);
    assert_int_equal(one->ops->remove(one, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(put_one(two, in_two, 0, "z"), LS_ERR_NOT_FOUND); /* the handle is of the old one */
    one->ops->stream_close(in_one);
    two->ops->stream_close(in_two);
    close_store(one);
    close_store(two);
}

typedef struct sleeper {
    lsi_engine *engine;
    lsi_engine_stream *stream;
    lsi_reader *reader;
    _Atomic int armed;
    ls_status status;
    uint32_t count;
} sleeper;

static void wait_for_a_record(void *user)
{
    sleeper *who = user;
    const lsi_engine_ops *ops = who->engine->ops;

    for (int i = 0; i < 20; i++) {
        uint32_t token = ops->arm(who->stream, 0);
        lsi_read page;

        who->status = ops->read(who->reader, 10, 1 << 20, &page);
        who->count = page.count;
        if (who->status != LS_OK || page.count > 0)
            return;
        atomic_store(&who->armed, 1);
        (void)ops->sleep(who->stream, 0, token, 5000000);
    }
}

static void start_waiting(lsi_engine *engine, lsi_engine_stream *stream, sleeper *who, lsi_thread *thread)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    _Atomic uint32_t word = 0;

    *who = (sleeper){.engine = engine, .stream = stream};
    assert_int_equal(engine->ops->reader_open(stream, 0, 0, &who->reader), LS_OK);
    assert_int_equal(engine->ops->seek(who->reader, &start), LS_OK);
    assert_int_equal(lsi_thread_start(thread, "sleeper", wait_for_a_record, who), 0);
    while (atomic_load(&who->armed) == 0)
        (void)lsi_word_sleep(&word, 0, 1000);
    (void)lsi_word_sleep(&word, 0, 5000);
}

static void another_ones_append_and_deletion_wake_a_waiting_reader(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *in_one, *in_two;
    lsi_thread thread = {0};
    sleeper who;
    int64_t began;

    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    assert_int_equal(two->ops->stream_open(two, "a", &in_two), LS_OK);
    start_waiting(one, in_one, &who, &thread);
    began = lsi_monotonic_us(&fx->env.clock);
    assert_int_equal(put_one(two, in_two, 0, "x"), LS_OK);
    lsi_thread_join(&thread);
    assert_int_equal(who.status, LS_OK);
    assert_int_equal(who.count, 1);
    one->ops->reader_close(who.reader);

    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    two->ops->stream_close(in_two);
    one->ops->stream_close(in_one);
    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    start_waiting(one, in_one, &who, &thread);
    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    lsi_thread_join(&thread);
    assert_int_equal(who.status, LS_ERR_NOT_FOUND);
    assert_true(lsi_monotonic_us(&fx->env.clock) - began < 900000); /* by wakes, not by the engine's own limit */
    one->ops->reader_close(who.reader);
    one->ops->stream_close(in_one);
    close_store(one);
    close_store(two);
}

/* Goal: more streams than are kept idle. Method: open and close 200, put into each, read them again. */
static void many_streams_come_and_go(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    char name[16];

    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++) {
            (void)snprintf(name, sizeof name, "s%d", i);
            if (round == 0)
                assert_int_equal(create(engine, name, 1), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, name, &stream), LS_OK);
            assert_int_equal(put_one(engine, stream, 0, name), LS_OK);
            assert_int_equal(count_records(engine, stream, 0), (uint32_t)round + 1);
            engine->ops->stream_close(stream);
        }
    assert_true(lsi_local_of(engine)->idle_count <= 70);
    close_store(engine);
}

/* ---- reading only ---- */

static void a_read_only_open_reads_and_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine = open_store(fx);
    lsi_engine_stream *stream;
    char path[TEMP_PATH_BYTES * 3];
    uint32_t entries;

    assert_int_equal(create(engine, "a", 1), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    for (int without_control = 0; without_control < 2; without_control++) {
        if (without_control != 0)
            assert_int_equal(unlink(path), 0);
        entries = count_entries(fx->path);
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(open_with(fx, options, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
        assert_int_equal(count_records(engine, stream, 0), 1);
        assert_int_equal(put_one(engine, stream, 0, "y"), LS_ERR_READ_ONLY);
        assert_int_equal(create(engine, "b", 1), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->remove(engine, "a"), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->reset_shard(stream, 0), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
        engine->ops->stream_close(stream);
        close_store(engine);
        assert_int_equal(count_entries(fx->path), entries);
        options.durability = LS_DURABILITY_KERNEL;
        assert_int_equal(open_with(fx, options, &engine), LS_ERR_STATE);
        options.durability = LS_DURABILITY_DEFAULT;
    }
}

/* ---- ids and strays ---- */

/* Goal: L2. Method: create and delete; the id never comes back, not even after reopening. */
static void an_id_is_never_given_twice(void **state)
{
    fixture *fx = *state;
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        lsi_engine *engine = open_store(fx);
        lsi_engine_stream *stream;
        lsi_stream_info info;

        assert_int_equal(create(engine, "a", 1), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
        assert_int_equal(engine->ops->info(stream, &info), LS_OK);
        assert_true(info.id > last);
        last = info.id;
        lsi_stream_info_free(&info);
        engine->ops->stream_close(stream);
        assert_int_equal(engine->ops->remove(engine, "a"), LS_OK);
        close_store(engine);
    }
    assert_false(is_there(fx, "1"));
    assert_false(is_there(fx, "4"));
}

/* A log that has something in it, or has not. */
static void make_stray(fixture *fx, const char *id, bool used)
{
    char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/%s", fx->path, id);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%s/0", fx->path, id);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%s/0/00000001.seg", fx->path, id);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(truncate(path, used ? 4097 : 4096), 0);
}

/* Goal: R6. Method: a directory of a deleted id is removed by upkeep; one of an id that was never given is kept aside,
 * by upkeep as by the one who needs the id, if there is anything in it; what is no stream's directory is left alone. */
static void strays_are_removed_or_set_aside(void **state)
{
    fixture *fx = *state;
    lsi_engine *engine = open_store(fx);
    char path[TEMP_PATH_BYTES * 3];
    uint32_t entries;

    assert_int_equal(create(engine, "a", 1), LS_OK); /* 1 */
    assert_int_equal(create(engine, "b", 1), LS_OK); /* 2 */
    assert_int_equal(engine->ops->remove(engine, "a"), LS_OK);
    make_stray(fx, "1", true);
    make_stray(fx, "3", true);
    make_stray(fx, "77", true);
    make_stray(fx, "88", false);
    make_stray(fx, "new-3", false); /* of creators who died: one whose id is needed again, and one whose is not */
    make_stray(fx, "new-8", false);
    make_stray(fx, "new-x", false);
    (void)snprintf(path, sizeof path, "%s/notes", fx->path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/007", fx->path);
    assert_int_equal(mkdir(path, 0700), 0);
    entries = count_entries(fx->path);
    assert_int_equal(create(engine, "c", 1), LS_OK); /* 3 */
    assert_int_equal(count_entries(fx->path), entries); /* one more, and "new-3" is gone */
    assert_true(is_there(fx, "3"));
    assert_true(is_there(fx, "1"));
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
    assert_int_equal(count_entries(fx->path), entries - 2);
    assert_false(is_there(fx, "1"));
    assert_false(is_there(fx, "new-8"));
    assert_true(is_there(fx, "new-x"));
    assert_false(is_there(fx, "88"));
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK); /* of those that are aside, one was never used */
    assert_int_equal(count_entries(fx->path), entries - 3);
    assert_false(is_there(fx, "77"));
    assert_true(is_there(fx, "2/0"));
    assert_true(is_there(fx, "3/0"));
    assert_true(is_there(fx, "notes"));
    assert_true(is_there(fx, "007"));
    close_store(engine);
}

/* ---- settling ---- */

/* Goal: L3, and what a deleter leaves who was killed after the manifest had its name. Method: do by hand what he did:
 * odd generation, new manifest, slots untouched. A reader of another engine notices; who locks next settles. */
static void a_deletion_whose_process_died_is_finished_by_others(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *stream;
    lsi_catalog *catalog, *without;
    lsi_thread thread = {0};
    sleeper who;

    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(create(one, "b", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &stream), LS_OK);
    start_waiting(one, stream, &who, &thread);
    assert_int_equal(lsi_local_catalog_lock(lsi_local_of(two), &catalog), LS_OK);
    assert_int_equal(lsi_catalog_copy(catalog, lsi_catalog_find(catalog, "a")->id, NULL, &without), LS_OK);
    without->generation++;
    lsi_control_manifest_changing(lsi_local_of(two)->control);
    assert_int_equal(lsi_local_catalog_write(&two->env, &lsi_local_of(two)->root, without), LS_OK);
    lsi_local_catalog_unlock(lsi_local_of(two));
    lsi_catalog_unref(without);
    lsi_catalog_unref(catalog);
    lsi_thread_join(&thread); /* within a second or so */
    assert_int_equal(who.status, LS_ERR_NOT_FOUND);
    one->ops->reader_close(who.reader);

    lsi_engine_stream *other;
    assert_int_equal(two->ops->stream_open(two, "b", &other), LS_OK); /* settles first */
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(one)->control) % 2, 0);
    assert_int_equal(put_one(one, stream, 0, "x"), LS_ERR_NOT_FOUND); /* its slots were ended */
    assert_int_equal(put_one(two, other, 0, "x"), LS_OK);
    two->ops->stream_close(other);
    one->ops->stream_close(stream);
    close_store(one);
    close_store(two);
}

/* ---- walked failures, deaths and crashes ---- */

typedef struct walk {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    ls_status created, removed; /* of the calls below; -1: not returned */
    size_t created_at, removed_at;   /* places in the log when they had returned */
} walk;

static void begin(walk *at, sim_files *sim)
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

static ls_status open_walk(walk *at, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    return lsi_local_open("store", &options, &at->env, out);
}

/* Shards of "new": few, each synced by itself, or many, synced at once. */
enum { FEW = 2, MANY = 33 };
static uint32_t new_shards;

/* Creates "new" and deletes "old", which is there before. */
static void create_and_remove(void *user)
{
    walk *at = user;
    lsi_engine *engine;

    if (open_walk(at, &engine) != LS_OK)
        return;
    at->created = create(engine, "new", new_shards);
    at->created_at = sim_log_count(at->sim);
    at->removed = engine->ops->remove(engine, "old");
    at->removed_at = sim_log_count(at->sim);
    (void)engine->ops->close(engine);
}

/* A disk with a store that has "old" with a record, and "kept" with another. */
static sim_files *store_with_old(void)
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

static bool stream_is_there(lsi_engine *engine, const char *name)
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

static ls_status open_as(walk *at, ls_durability durability, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    options.durability = durability;
    return lsi_local_open("store", &options, &at->env, out);
}

static void put_in_kernel_mode_and_die(void *user)
{
    walk *at = user;
    lsi_engine_stream *stream;
    lsi_engine *engine;

    if (open_as(at, LS_DURABILITY_KERNEL, &engine) == LS_OK &&
        engine->ops->stream_open(engine, "kept", &stream) == LS_OK)
        at->created = put_one(engine, stream, 0, "y");
    sim_kill_here();
}

/* Goal: what the weaker mode left in the kernel is on the disk before the stronger one is acknowledged (D1). Method: a
 * process that puts and is killed, an open in another mode, and a loss of power that keeps nothing unsynced. */
static void a_change_of_durability_syncs_what_was_put_before(void **state)
{
    sim_files *sim = store_with_old(), *crashed;
    lsi_engine_stream *stream;
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_true(sim_run(sim, put_in_kernel_mode_and_die, &at));
    sim_memory_bury(&at.memory);
    assert_int_equal(at.created, LS_OK);
    begin(&at, sim);
    assert_int_equal(open_as(&at, LS_DURABILITY_SYNC, &engine), LS_OK);
    crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
    close_store(engine);
    sim_files_free(sim);
    begin(&at, crashed);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_SYNC);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 2);
    engine->ops->stream_close(stream);
    close_store(engine);
    sim_files_free(crashed);
}

/* Goal: L3 on a full disk. Whoever made the manifest heard that its directory could not be synced; a later sync that
 * returns 0 says nothing of it (E1). Method: such a manifest, then no room to write it again, but for what is kept, or
 * not even for that. What is acknowledged outlives a crash, and readers of other streams are not stopped (E3). */
static void a_manifest_whose_sync_failed_is_believed_by_nobody(void **state)
{
    (void)state;
    for (int has_room = 0; has_room < 2; has_room++) {
        sim_files *sim = NULL, *crashed;
        lsi_engine *engine = NULL;
        lsi_engine_stream *kept, *stream;
        bool is_odd = false;
        ls_status st;
        walk at;

        for (uint64_t n = 1; !is_odd; n++) {
            if (engine != NULL) {
                close_store(engine);
                sim_files_free(sim);
            }
            sim = store_with_old();
            begin(&at, sim);
            assert_int_equal(open_walk(&at, &engine), LS_OK);
            sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = n, .err = EIO});
            assert_int_not_equal(create(engine, "new", 1), LS_OK);
            sim_faults_clear(sim);
            is_odd = lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2 != 0;
        }
        sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = LSI_MANIFEST_NAME, .nth = 1, .err = ENOSPC,
                                       .sticky = has_room == 0});
        st = engine->ops->stream_open(engine, "new", &stream);
        assert_int_equal(st, has_room ? LS_OK : LS_ERR_FULL);
        if (!has_room) {
            assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_ERR_FULL);
            sim_faults_clear(sim);
            assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            engine->ops->stream_close(kept);
        }
        sim_faults_clear(sim);
        assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
        crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
        engine->ops->stream_close(stream);
        close_store(engine);
        sim_files_free(sim);
        begin(&at, crashed);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
        assert_int_equal(count_records(engine, stream, 0), 1);
        engine->ops->stream_close(stream);
        close_store(engine);
        sim_files_free(crashed);
    }
}

/* The same when the control file went, which alone had the word of it, and the one who opens the store next meets a
 * sync that fails, too. */
static void nor_is_one_of_which_the_word_was_lost(void **state)
{
    bool is_lost = true;

    (void)state;
    for (uint64_t n = 1; is_lost; n++) {
        sim_files *sim = store_with_old(), *crashed;
        lsi_engine_stream *stream;
        lsi_engine *engine;
        lsi_root root;
        walk at;

        begin(&at, sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = n, .err = EIO});
        is_lost = create(engine, "new", 1) != LS_OK;
        sim_faults_clear(sim);
        close_store(engine);
        assert_int_equal(sim_files_table(sim)->root_open(sim_files_table(sim), "s", LSI_ROOT_WRITE, &root), 0);
        assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
        root.files->root_close(&root);
        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = 1, .err = EIO});
        if (open_walk(&at, &engine) == LS_OK)
            close_store(engine);
        sim_faults_clear(sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        if (stream_is_there(engine, "new")) {
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
            crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
            engine->ops->stream_close(stream);
            close_store(engine);
            begin(&at, crashed);
            assert_int_equal(open_walk(&at, &engine), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            assert_int_equal(count_records(engine, stream, 0), 1);
            engine->ops->stream_close(stream);
            close_store(engine);
            sim_files_free(crashed);
        } else {
            close_store(engine);
        }
        sim_files_free(sim);
    }
}

/* The same beside a reader, who had opened his stream before. */
static void a_reader_goes_on_while_no_manifest_can_be_written(void **state)
{
    sim_files *sim = store_with_old();
    lsi_engine_stream *kept;
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_OK);
    lsi_control_manifest_changing(lsi_local_of(engine)->control); /* as one leaves it who dies in the middle */
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = LSI_MANIFEST_NAME, .nth = 1, .err = ENOSPC,
                                   .sticky = true});
    assert_int_equal(count_records(engine, kept, 0), 1);
    assert_int_equal(put_one(engine, kept, 0, "x"), LS_OK); /* It was opened when its manifest was durable. */
    assert_int_equal(count_records(engine, kept, 0), 2);
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2, 1);
    sim_faults_clear(sim);
    engine->ops->stream_close(kept);
    close_store(engine);
    sim_files_free(sim);
}

static int note_unfinished(void *user, const char *entry, bool is_dir)
{
    (void)is_dir;
    *(uint32_t *)user += strncmp(entry, LSI_UNFINISHED_PREFIX, strlen(LSI_UNFINISHED_PREFIX)) == 0;
    return 0;
}

/* What must be true of any disk on which create_and_remove() ran, however it ended: each stream is there whole or not
 * at all, and everything can still be done. */
static void check_store(sim_files *sim, bool *new_is_there, bool *old_is_there)
{
    lsi_engine_stream *stream;
    lsi_engine *engine;
    uint32_t unfinished = 0;
    walk at;

    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 1);
    engine->ops->stream_close(stream);
    *new_is_there = stream_is_there(engine, "new");
    *old_is_there = stream_is_there(engine, "old");
    if (!*new_is_there)
        assert_int_equal(create(engine, "new", new_shards), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
    for (uint32_t shard = 0; shard < new_shards; shard += new_shards > FEW ? 16 : 1) {
        assert_int_equal(count_records(engine, stream, shard), 0);
        assert_int_equal(put_one(engine, stream, shard, "x"), LS_OK);
        assert_int_equal(count_records(engine, stream, shard), 1);
    }
    engine->ops->stream_close(stream);
    if (!*old_is_there)
        assert_int_equal(create(engine, "old", 1), LS_OK);
    assert_int_equal(engine->ops->remove(engine, "old"), LS_OK);
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
    assert_int_equal(at.env.files->list(&lsi_local_of(engine)->root, "", note_unfinished, &unfinished), 0);
    assert_int_equal(unfinished, 0);
    close_store(engine);
    assert_int_equal(at.memory.live, 0);
}

/* Goal: D7. Method: fail the Nth file call with EIO, with ENOSPC, or the Nth allocation. What answered OK happened,
 * what answered anything but IO did not. */
static void walk_failing_calls(uint32_t shards)
{
    sim_files *start = store_with_old();

    new_shards = shards;
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            bool met, new_is_there, old_is_there;
            walk at;

            begin(&at, sim);
            if (kind < 2)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&at.memory, n, false);
            create_and_remove(&at);
            met = kind < 2 ? sim_faults_met(sim) > 0 : at.memory.failed > 0;
            assert_int_equal(at.memory.live, 0);
            sim_faults_clear(sim);
            check_store(sim, &new_is_there, &old_is_there);
            if (at.created == LS_OK)
                assert_true(new_is_there);
            else if (at.created != LS_ERR_IO)
                assert_false(new_is_there);
            if (at.removed == LS_OK)
                assert_false(old_is_there);
            else if (at.removed != LS_ERR_IO)
                assert_true(old_is_there);
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(at.created, LS_OK);
                assert_int_equal(at.removed, LS_OK);
                break;
            }
            assert_true(n < 4000);
        }
    sim_files_free(start);
}

/* Goal: P1, L1. Method: kill at the Nth file call; the next one finds each stream whole or not at all. */
static void walk_deaths(uint32_t shards)
{
    sim_files *start = store_with_old();

    new_shards = shards;
    for (uint64_t n = 1;; n++) {
        sim_files *sim = sim_clone(start);
        bool killed, new_is_there, old_is_there;
        walk at;

        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, create_and_remove, &at);
        sim_memory_bury(&at.memory);
        sim_faults_clear(sim);
        check_store(sim, &new_is_there, &old_is_there);
        if (at.created == LS_OK)
            assert_true(new_is_there);
        if (at.removed == LS_OK)
            assert_false(old_is_there);
        sim_files_free(sim);
        if (!killed)
            break;
        assert_true(n < 4000);
    }
    sim_files_free(start);
}

/* Goal: D6. Method: lose power after every change of the disk, in every corner and some random ways; what had returned
 * by then is so. */
static void walk_crashes(uint32_t shards)
{
    sim_files *sim = store_with_old();
    size_t first = sim_log_count(sim), last;
    walk at;

    new_shards = shards;
    begin(&at, sim);
    create_and_remove(&at);
    assert_int_equal(at.created, LS_OK);
    assert_int_equal(at.removed, LS_OK);
    last = sim_log_count(sim);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 2; seed++) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            bool new_is_there, old_is_there;

            check_store(crashed, &new_is_there, &old_is_there);
            if (prefix >= at.created_at)
                assert_true(new_is_there);
            if (prefix >= at.removed_at)
                assert_false(old_is_there);
            sim_files_free(crashed);
        }
    sim_files_free(sim);
}

static void a_failing_call_is_reported_as_it_is(void **state)
{
    (void)state;
    walk_failing_calls(FEW);
    walk_failing_calls(MANY);
}

static void a_death_leaves_each_stream_whole_or_not_at_all(void **state)
{
    (void)state;
    walk_deaths(FEW);
    walk_deaths(MANY);
}

static void a_crash_keeps_what_had_returned(void **state)
{
    (void)state;
    walk_crashes(FEW);
    walk_crashes(MANY);
}

/* ---- syncing in INTERVAL mode ---- */

typedef struct shard_ends {
    uint64_t committed, durable;
    uint32_t shards;
} shard_ends;

static bool note_ends(void *user, lsi_slot *slot)
{
    shard_ends *ends = user;

    if (atomic_load(&slot->kind) == LSI_SLOT_SHARD) {
        ends->committed += atomic_load(&slot->committed_end);
        ends->durable += atomic_load(&slot->durable_end);
        ends->shards++;
    }
    return true;
}

/* Goal: INTERVAL, also for what a killed process wrote. Method: a child puts and dies without a word; the parent, which
 * has the store open and never touched the stream, has it synced soon. */
static void the_sweeper_syncs_what_a_killed_process_put(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;
    shard_ends ends = {0};
    int status;

    options.durability = LS_DURABILITY_INTERVAL;
    options.sync_interval_ms = 40;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(create(engine, "a", 1), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        lsi_engine_stream *stream;
        lsi_engine *own;

        if (open_with(fx, options, &own) != LS_OK || own->ops->stream_open(own, "a", &stream) != LS_OK ||
            put_one(own, stream, 0, "x") != LS_OK)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    for (int i = 0; i < 400; i++) {
        ends = (shard_ends){0};
        lsi_control_each(lsi_local_of(engine)->control, note_ends, &ends);
        if (ends.durable > 0 && ends.durable == ends.committed)
            break;
        (void)usleep(5000);
    }
    assert_int_equal(ends.shards, 1);
    assert_true(ends.committed > 0);
    assert_int_equal(ends.durable, ends.committed);
    close_store(engine);
}

/* Goal: ls_store_sync is for all shards, whoever wrote. Method: KERNEL mode, put by one, sync by another. */
static void sync_reaches_what_others_put(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *one, *two;
    lsi_engine_stream *stream;
    shard_ends ends = {0};

    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &one), LS_OK);
    assert_int_equal(open_with(fx, options, &two), LS_OK);
    assert_int_equal(create(one, "a", 3), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &stream), LS_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put_one(one, stream, i, "x"), LS_OK);
    lsi_control_each(lsi_local_of(two)->control, note_ends, &ends);
    assert_true(ends.durable < ends.committed);
    assert_int_equal(two->ops->sync(two), LS_OK);
    ends = (shard_ends){0};
    lsi_control_each(lsi_local_of(two)->control, note_ends, &ends);
    assert_int_equal(ends.durable, ends.committed);
    one->ops->stream_close(stream);
    close_store(one);
    close_store(two);
}

/* ---- forks ---- */

/* Goal: P9. Method: in a child each call is STATE and closing is harmless; the parent goes on. */
static void nothing_works_in_a_fork_child(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_put_entry entry = {{"k", 1}, {"d", 1}, NULL};
    lsi_append batch = {&entry, NULL, 1, false};
    ls_position start = {.kind = LS_TRIM_HORIZON};
    lsi_engine *engine;
    lsi_engine_stream *stream;
    lsi_appender *appender;
    lsi_reader *reader;
    int status;

    options.durability = LS_DURABILITY_INTERVAL; /* with a thread, which is not in the child */
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    const lsi_engine_ops *ops = engine->ops;
    assert_int_equal(create(engine, "a", 1), LS_OK);
    assert_int_equal(ops->stream_open(engine, "a", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
    assert_int_equal(ops->appender_open(stream, &appender), LS_OK);
    assert_int_equal(ops->reader_open(stream, 0, 0, &reader), LS_OK);
    assert_int_equal(ops->seek(reader, &start), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        lsi_append_result result;
        lsi_appender *other_appender;
        lsi_engine_stream *other;
        lsi_reader *other_reader;
        lsi_shard_state shard;
        lsi_stream_info info;
        lsi_read page;
        int wrong = 0;

        wrong += create(engine, "b", 1) != LS_ERR_STATE;
        wrong += ops->remove(engine, "a") != LS_ERR_STATE;
        wrong += ops->list(engine, "", NULL, NULL) != LS_ERR_STATE;
        wrong += ops->stream_open(engine, "a", &other) != LS_ERR_STATE;
        wrong += ops->sync(engine) != LS_ERR_STATE;
        wrong += ops->maintain(engine, -1) != LS_ERR_STATE;
        wrong += ops->info(stream, &info) != LS_ERR_STATE;
        wrong += ops->shard_state(stream, 0, &shard) != LS_ERR_STATE;
        wrong += ops->reset_shard(stream, 0) != LS_ERR_STATE;
        wrong += ops->appender_open(stream, &other_appender) != LS_ERR_STATE;
        wrong += ops->append(appender, 0, &batch, &result) != LS_ERR_STATE;
        wrong += ops->commit(appender, 0, 0, LS_DURABILITY_SYNC) != LS_ERR_STATE;
        wrong += ops->reader_open(stream, 0, 0, &other_reader) != LS_ERR_STATE;
        wrong += ops->seek(reader, &start) != LS_ERR_STATE;
        wrong += ops->read(reader, 1, 1, &page) != LS_ERR_STATE;
        wrong += ops->sleep(stream, 0, ops->arm(stream, 0), 1000) != LSI_WOKEN;
        ops->wake(stream, LSI_NO_SHARD);
        (void)ops->generation(stream);
        (void)ops->place(reader);
        ops->appender_close(appender);
        ops->reader_close(reader);
        ops->stream_close(stream);
        wrong += ops->close(engine) != LS_OK;
        _exit(wrong);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(put_one(engine, stream, 0, "y"), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 2);
    ops->appender_close(appender);
    ops->reader_close(reader);
    ops->stream_close(stream);
    close_store(engine);
}

/* ---- the payload ---- */

/* Goal: X1 behind the checksums. Method: encode a store with two streams, cut the payload at each byte and flip each
 * bit: it decodes to something that keeps the rules, or is CORRUPT or VERSION; no crash, no leak. */
static void a_payload_is_checked_whatever_it_holds(void **state)
{
    sim_memory counted = SIM_MEMORY_INIT;
    lsi_memory memory = sim_memory_table(&counted);
    lsi_catalog *catalog = lsi_catalog_new(&memory), *with, *both, *read;
    lsi_shard shards[2] = {{.index = 0, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .first_seqno = 1}};
    char tags[] = "a\0" "1\0" "b.longer\0";
    lsi_catalog_stream stream = {.name = "abc", .id = 3, .retention_hours = 24, .record_bytes_max = 1 << 20,
                                 .status = LS_STREAM_ACTIVE, .tags = {2, sizeof tags, tags}, .shard_count = 2,
                                 .shards = shards};
    unsigned char *payload;
    size_t size;

    (void)state;
    shards[1] = shards[0];
    shards[1].index = 1;
    shards[0].range = lsi_hash_range_of(0, 2);
    shards[1].range = lsi_hash_range_of(1, 2);
    catalog->durability = LS_DURABILITY_INTERVAL;
    catalog->sync_interval_ms = 100;
    catalog->segment_bytes = 64 << 10;
    catalog->next_id = 9;
    assert_int_equal(lsi_catalog_copy(catalog, 0, &stream, &with), LS_OK);
    strcpy(stream.name, "ab.longer-than-eight");
    stream.id = 8;
    assert_int_equal(lsi_catalog_copy(with, 0, &stream, &both), LS_OK);
    assert_int_equal(lsi_catalog_encode(both, (void **)&payload, &size), LS_OK);
    assert_int_equal(lsi_catalog_decode(&memory, payload, size, &read), LS_OK);
    assert_int_equal(read->stream_count, 2);
    assert_string_equal(read->streams[0].name, "ab.longer-than-eight");
    assert_int_equal(lsi_catalog_find(read, "abc")->shards[1].index, 1);
    assert_int_equal(lsi_u128_compare(lsi_catalog_find(read, "abc")->shards[1].range.last, LSI_U128_MAX), 0);
    assert_int_equal(read->streams[0].tags.bytes, sizeof tags);
    assert_memory_equal(read->streams[0].tags.text, tags, sizeof tags);
    assert_int_equal(read->next_id, 9);
    assert_int_equal(read->durability, LS_DURABILITY_INTERVAL);
    lsi_catalog_unref(read);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *shorter = malloc(cut + 1);

        memcpy(shorter + 1, payload, cut);
        assert_int_equal(lsi_catalog_decode(&memory, shorter + 1, cut, &read), LS_ERR_CORRUPT);
        free(shorter);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        payload[bit / 8] = (unsigned char)(payload[bit / 8] ^ 1u << bit % 8);
        ls_status st = lsi_catalog_decode(&memory, payload, size, &read);

        if (st == LS_OK)
            lsi_catalog_unref(read);
        else
            assert_true(st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
        payload[bit / 8] = (unsigned char)(payload[bit / 8] ^ 1u << bit % 8);
    }
    lsi_free(&memory, payload);
    lsi_catalog_unref(both);
    lsi_catalog_unref(with);
    lsi_catalog_unref(catalog);
    assert_int_equal(counted.live, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(options_out_of_range_are_refused_and_make_nothing),
        CASE(settings_have_their_defaults),
        CASE(settings_are_kept_in_the_store),
        CASE(durability_changes_only_when_nobody_else_has_the_store_open),
        CASE(a_store_is_made_where_its_parent_is),
        CASE(the_name_of_a_new_store_is_durable),
        CASE(a_network_file_system_is_refused_unless_allowed),
        CASE(a_manifest_that_cannot_be_read_refuses_to_open),
        CASE(what_one_creates_and_deletes_the_others_see),
        CASE(another_ones_append_and_deletion_wake_a_waiting_reader),
        CASE(many_streams_come_and_go),
        CASE(a_read_only_open_reads_and_changes_nothing),
        CASE(an_id_is_never_given_twice),
        CASE(strays_are_removed_or_set_aside),
        CASE(a_deletion_whose_process_died_is_finished_by_others),
        CASE(a_manifest_whose_sync_failed_is_believed_by_nobody),
        CASE(nor_is_one_of_which_the_word_was_lost),
        CASE(a_change_of_durability_syncs_what_was_put_before),
        CASE(a_reader_goes_on_while_no_manifest_can_be_written),
        CASE(the_sweeper_syncs_what_a_killed_process_put),
        CASE(sync_reaches_what_others_put),
        CASE(nothing_works_in_a_fork_child),
        CASE(a_payload_is_checked_whatever_it_holds),
        /* Last: what a simulated process leaves in the list of fork callbacks must not meet a real fork. */
        CASE(a_failing_call_is_reported_as_it_is),
        CASE(a_death_leaves_each_stream_whole_or_not_at_all),
        CASE(a_crash_keeps_what_had_returned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
