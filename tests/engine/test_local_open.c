/* Opening the local engine's store: options and settings, where a store may be, a manifest that cannot be read; and who
 * may use what was opened: not a child. */
#include "engine/sim_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

static fixture *maker;

static int list_late(const lsi_root *root, const char *dir, int (*each)(void *user, const char *entry, bool is_dir),
                     void *user)
{
    fixture *fx = maker;

    if (fx != NULL) {
        lsi_engine *engine;

        maker = NULL;
        fx->env.files = &lsi_files_system;
        engine = open_store(fx);
        assert_int_equal(create(engine, "a", 1), LS_OK);
        close_store(engine);
    }
    return lsi_files_system.list(root, dir, each, user);
}

static void note_store(const ls_inspect_store *store, void *user)
{
    (void)store;
    *(bool *)user = true;
}

/* Who looks at a store does it in the same order. */
static void a_store_that_is_made_meanwhile_is_looked_at(void **state)
{
    fixture *fx = *state;
    ls_inspect_callbacks callbacks = {.store = note_store};
    lsi_files files = lsi_files_system;
    bool seen = false;

    assert_int_equal(mkdir(fx->path, 0700), 0);
    files.list = list_late;
    fx->env.files = &files;
    maker = fx;
    lsi_env looking = fx->env;
    assert_int_equal(lsi_local_inspect_status(&looking, fx->path, &callbacks, &seen), LS_OK);
    assert_null(maker);
    assert_true(seen);
}

/* Who makes no store looks for a manifest, then for streams without one. A store that somebody makes between the two
 * looks is not damaged. */
static void a_store_that_is_made_meanwhile_is_opened(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_files files = lsi_files_system;
    lsi_engine *engine;

    assert_int_equal(mkdir(fx->path, 0700), 0);
    options.flags = LS_STORE_NO_CREATE;
    files.list = list_late;
    fx->env.files = &files;
    maker = fx;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_null(maker);
    close_store(engine);
}

/* ---- a full disk ---- */

/* E3: a full disk keeps nobody from reading, also when the control file is to be made anew. Method: no room for it,
 * with what a failed opening left of it and without. */
static void a_full_disk_can_be_read_without_a_control_file(void **state)
{
    sim_files *sim = store_with_old();
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine_stream *stream;
    lsi_engine *engine;
    lsi_root root;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(at.env.files->root_open(at.env.files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
    root.files->root_close(&root);
    sim_fault_add(sim, (sim_fault){.call = SIM_ALLOCATE, .nth = 1, .err = ENOSPC, .sticky = true});
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .nth = 1, .err = ENOSPC, .sticky = true});
    for (int left = 0; left < 2; left++) {
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
        assert_int_equal(count_records(engine, stream, 0), 1);
        engine->ops->stream_close(stream);
        close_store(engine);
        options.flags = 0; /* This leaves an empty one. */
        assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_ERR_FULL);
    }
    sim_faults_clear(sim);
    assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "y"), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 2);
    engine->ops->stream_close(stream);
    close_store(engine);
    assert_int_equal(at.memory.live, 0);
    sim_files_free(sim);
}

/* E3: nor when it has room for some slots of the new control file and not for all. Method: shards that need three times
 * of what a new one has; the disk is full from the Nth call on, with a control file that somebody made before and
 * without. */
static void a_full_disk_can_be_read_with_a_small_control_file(void **state)
{
    enum { SHARDS = 48 };
    sim_files *start = store_with_old();
    lsi_engine_stream *stream;
    lsi_engine *engine;
    bool met = true;
    lsi_root root;
    walk at;

    (void)state;
    begin(&at, start);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(create(engine, "wide", SHARDS), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "wide", &stream), LS_OK);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(put_one(engine, stream, i, "x"), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    assert_int_equal(at.env.files->root_open(at.env.files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
    root.files->root_close(&root);
    for (uint64_t n = 1; met; n++) {
        sim_files *sim = sim_clone(start);
        ls_store_options options = LS_STORE_OPTIONS_INIT;

        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_ALLOCATE, .nth = n, .err = ENOSPC, .sticky = true});
        if (lsi_local_open("store", &options, &at.env, &engine) == LS_OK)
            close_store(engine);
        met = sim_faults_met(sim) > 0;
        sim_faults_clear(sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_ALLOCATE, .nth = 1, .err = ENOSPC, .sticky = true});
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "wide", &stream), LS_OK);
        for (uint32_t i = 0; i < SHARDS; i++)
            assert_int_equal(count_records(engine, stream, i), 1);
        engine->ops->stream_close(stream);
        close_store(engine);
        assert_int_equal(at.memory.live, 0);
        sim_files_free(sim);
    }
    sim_files_free(start);
}

/* ---- forks ---- */

/* Goal: P9. Method: in a child each call is STATE and closing is harmless; the parent goes on. */
/* iterator.h: who may write must make durable what a lost control file no longer vouches for (E1), and says so when
 * there is no room for it; who only reads is shown all. */
static void a_lost_control_file_and_a_full_disk_stop_who_may_write(void **state)
{
    sim_files *sim = store_with_old();
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine_stream *stream;
    lsi_reader *reader;
    lsi_engine *engine;
    lsi_root root;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(at.env.files->root_open(at.env.files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
    root.files->root_close(&root);
    assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .nth = 1, .err = ENOSPC, .sticky = true});
    sim_fault_add(sim, (sim_fault){.call = SIM_OPEN, .name = "segments.new", .nth = 1, .err = ENOSPC, .sticky = true});
    assert_int_equal(engine->ops->reader_open(stream, 0, 0, &reader), LS_ERR_FULL);
    engine->ops->stream_close(stream);
    close_store(engine);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 1);
    engine->ops->stream_close(stream);
    close_store(engine);
    sim_files_free(sim);
}

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
        CASE(a_store_that_is_made_meanwhile_is_opened),
        CASE(a_store_that_is_made_meanwhile_is_looked_at),
        CASE(a_full_disk_can_be_read_without_a_control_file),
        CASE(a_full_disk_can_be_read_with_a_small_control_file),
        CASE(a_lost_control_file_and_a_full_disk_stop_who_may_write),
        CASE(nothing_works_in_a_fork_child),
    };

    return cmocka_run_group_tests_name("the local engine: opening", tests, NULL, NULL);
}
