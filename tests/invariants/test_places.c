/* E6, E7, X3: stores in places that cannot be written, are far away, or were tampered with; whose the files are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "engine/local/local.h"
#include "invariants/processes.h"

#define NOBODY 65534u

static void make_store(const fixture *fx, const char *text)
{
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(put_text(&of, text, NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A path in the store; a view. */
static const char *in_store(const fixture *fx, const char *name)
{
    static char path[TEMP_PATH_BYTES * 3];

    assert_true(snprintf(path, sizeof path, "%s/%s", fx->path, name) < (int)sizeof path);
    return path;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

/* ---- E6 ---- */

/* Root may write everywhere, so it becomes somebody else. */
static void become_nobody(void)
{
    if (geteuid() == 0)
        child_check(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void read_only_reader(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of = {0};
    ls_iterator *iterator = NULL;
    ls_producer *producer = NULL;
    const ls_batch *batch = NULL;
    ls_store *store = NULL;

    become_nobody();
    child_check(ls_store_open(fx->path, NULL, &store) == LS_ERR_READ_ONLY && store == NULL);
    options.flags = LS_STORE_READ_ONLY;
    child_check(ls_store_open(fx->path, &options, &of.store) == LS_OK);
    child_check(ls_stream_open(of.store, STREAM, &of.stream) == LS_OK);
    child_check(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator) == LS_OK);
    child_check(ls_iterator_next(iterator, NULL, &batch) == LS_OK);
    child_check(ls_batch_count(batch) == 1);
    child_check(memcmp(ls_batch_at(batch, 0)->data.data, "kept", 4) == 0);
    child_check(ls_producer_open(of.stream, NULL, &producer) == LS_ERR_READ_ONLY && producer == NULL);
    child_check(ls_stream_create(of.store, "new", NULL) == LS_ERR_READ_ONLY);
    child_check(ls_stream_delete(of.store, STREAM) == LS_ERR_READ_ONLY);
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void set_modes(const fixture *fx, mode_t dir, mode_t file)
{
    static const char *const dirs[] = {"", "1", "1/0"};
    static const char *const files[] = {"manifest", "control", "1/0/00000001.seg", "1/0/segments"};

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        assert_int_equal(chmod(in_store(fx, dirs[i]), dir), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (chmod(in_store(fx, files[i]), file) != 0)
            assert_int_equal(errno, ENOENT); /* The control file was deleted. */
}

static void a_store_that_cannot_be_written_is_read(void **state)
{
    fixture *fx = *state;
    size_t entries;

    make_store(fx, "kept");
    assert_int_equal(chmod(fx->temp.path, 0755), 0);
    set_modes(fx, 0555, 0444);
    entries = count_entries(fx->path);
    child_ends_well(child_start(read_only_reader, fx));
    assert_int_equal(count_entries(fx->path), entries);
    set_modes(fx, 0755, 0644);
}

/* Media that was copied without its control file: nothing is created, and all is read. */
static void a_store_that_cannot_be_written_is_read_without_its_control_file(void **state)
{
    fixture *fx = *state;
    size_t entries;

    make_store(fx, "kept");
    assert_int_equal(unlink(in_store(fx, "control")), 0);
    assert_int_equal(chmod(fx->temp.path, 0755), 0);
    set_modes(fx, 0555, 0444);
    entries = count_entries(fx->path);
    child_ends_well(child_start(read_only_reader, fx));
    assert_int_equal(count_entries(fx->path), entries);
    set_modes(fx, 0755, 0644);
}

static void reading_creates_no_store(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_ERR_NOT_FOUND);
    assert_int_equal(access(fx->path, F_OK), -1);
    assert_int_equal(mkdir(fx->path, 0755), 0);
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_ERR_NOT_FOUND);
    assert_int_equal(count_entries(fx->path), 2); /* "." and ".." */
}

/* A reader beside a producer, through the producer's own control file: it sees what comes and is woken. */
static void put_later(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    await(&fx->share->release, 1);
    (void)usleep(50000);
    child_check(put_text(&of, "later", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void a_reader_opened_for_reading_follows_a_producer(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    pid_t pid;
    int64_t from;

    make_store(fx, "kept");
    pid = child_start(put_later, fx);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    atomic_store(&fx->share->release, 1);
    from = now_ms();
    next.timeout_ms = 20000;
    assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_in_range(now_ms() - from, 0, 5000);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    child_ends_well(pid);
}

/* Puts a second record whose sync takes until it is released, or for ever. */
static int wait_in_sync(void *user, const hook_event *event)
{
    fixture *fx = user;

    if (event->call == HOOK_SYNC && event->target == HOOK_SEGMENT) {
        atomic_store(&fx->share->ready, 1);
        await(&fx->share->release, 1);
    }
    return 0;
}

static void put_and_wait_in_sync(fixture *fx)
{
    hooked_files hooked;
    handles of;

    hooked_files_init(&hooked, NULL, NULL, fx);
    child_check(handles_open(&of, fx->path, NULL, &hooked) == LS_OK);
    hooked.before = wait_in_sync;
    child_check(put_text(&of, "later", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

/* D3 holds for a reader, too, to whom the control file is for reading only: what is not durable yet is not there, and
 * then it comes. `stage` 1: opened before any writer; 2: beside one; 3: after one that was killed in its sync. */
static void read_as_nobody(fixture *fx)
{
    uint32_t stage = atomic_load(&fx->share->stage);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    handles of = {0};
    int64_t from;

    become_nobody();
    options.flags = LS_STORE_READ_ONLY;
    child_check(ls_store_open(fx->path, &options, &of.store) == LS_OK);
    child_check(ls_stream_open(of.store, STREAM, &of.stream) == LS_OK);
    child_check(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator) == LS_OK);
    child_check(ls_iterator_next(iterator, NULL, &batch) == LS_OK);
    child_check(ls_batch_count(batch) == 1);
    child_check(memcmp(ls_batch_at(batch, 0)->data.data, "kept", 4) == 0);
    atomic_store(&fx->share->stage, stage + 10);
    await(&fx->share->ready, 1);
    child_check(ls_iterator_next(iterator, NULL, &batch) == LS_OK);
    child_check(ls_batch_count(batch) == 0);
    if (stage < 3) {
        atomic_store(&fx->share->release, 1);
        from = now_ms();
        next.timeout_ms = 20000;
        child_check(ls_iterator_next(iterator, &next, &batch) == LS_OK);
        child_check(ls_batch_count(batch) == 1);
        child_check(memcmp(ls_batch_at(batch, 0)->data.data, "later", 5) == 0);
        child_check(now_ms() - from < 5000);
    }
    ls_iterator_close(iterator);
    child_check(ls_stream_close(of.stream) == LS_OK);
    child_check(ls_store_close(of.store) == LS_OK);
}

static void a_reader_who_may_not_write_the_control_file_follows_a_producer(void **state)
{
    fixture *fx = *state;

    for (uint32_t stage = 1; stage <= 3; stage++) {
        pid_t reader = 0, writer;

        make_store(fx, "kept");
        assert_int_equal(chmod(fx->temp.path, 0755), 0);
        set_modes(fx, 0755, 0644);
        atomic_store(&fx->share->stage, stage);
        if (stage == 1) {
            reader = child_start(read_as_nobody, fx);
            await(&fx->share->stage, stage + 10);
        }
        writer = child_start(put_and_wait_in_sync, fx);
        await(&fx->share->ready, 1);
        if (stage == 3) {
            assert_int_equal(kill(writer, SIGKILL), 0);
            (void)child_end(writer);
        }
        if (stage != 1)
            reader = child_start(read_as_nobody, fx);
        child_ends_well(reader);
        if (stage != 3)
            child_ends_well(writer);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* ---- E7 ---- */

static void a_network_file_system_is_refused_unless_asked_for(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    hooked_files hooked;
    ls_store *store = NULL;
    lsi_env env;

    hooked_files_init(&hooked, NULL, NULL, NULL);
    hooked.kind_set = true;
    hooked.kind = LSI_FS_NETWORK;
    assert_int_equal(open_hooked(fx->path, &options, &hooked, &store), LS_ERR_UNSUPPORTED);
    assert_null(store);
    options.flags = LS_STORE_NETWORK_FS_ALLOWED;
    assert_int_equal(open_hooked(fx->path, &options, &hooked, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    options.flags = LS_STORE_READ_ONLY; /* Readers map the control file too. */
    assert_int_equal(open_hooked(fx->path, &options, &hooked, &store), LS_ERR_UNSUPPORTED);

    /* Verifying and repairing, too. */
    lsi_env_default(&env);
    env.files = &hooked.table;
    for (int repair = 0; repair < 2; repair++) {
        ls_inspect_options how = LS_INSPECT_OPTIONS_INIT;
        lsi_inspection inspection = {.finding = NULL};

        assert_int_equal(lsi_local_inspect(&env, fx->path, &how, repair != 0, &inspection), LS_ERR_UNSUPPORTED);
        how.flags = LS_INSPECT_NETWORK_FS_ALLOWED;
        assert_int_equal(lsi_local_inspect(&env, fx->path, &how, repair != 0, &inspection), LS_OK);
    }
}

/* ---- X3 ---- */

/* Opens, reads and puts as far as it goes: whatever it is told, it is told in time, and it is no LS_OK for both. */
static void use_what_was_planted(fixture *fx)
{
    handles of;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_status st = handles_open(&of, fx->path, NULL, NULL);

    (void)alarm(10);
    if (st == LS_OK) {
        st = ls_iterator_open(of.stream, 0, NULL, NULL, &iterator);
        if (st == LS_OK)
            st = ls_iterator_next(iterator, NULL, &batch);
        ls_status put = put_text(&of, "new", NULL);
        if (st == LS_OK)
            st = put;
    }
    child_check(st != LS_OK);
    child_check(ls_last_error_message()[0] != '\0');
}

static const char *const planted_names[] = {"manifest", "control", "1/0/00000001.seg", "1/0/segments"};

static void a_fifo_in_the_store_does_not_hang(void **state)
{
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof planted_names / sizeof *planted_names; i++) {
        make_store(fx, "kept");
        assert_int_equal(unlink(in_store(fx, planted_names[i])), 0);
        assert_int_equal(mkfifo(in_store(fx, planted_names[i]), 0666), 0);
        child_ends_well(child_start(use_what_was_planted, fx));
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* What stands in the place of the control file is not moved away by itself: opening to write says so and leaves it,
 * opening to read does without. */
static void a_directory_in_the_place_of_the_control_file_stops_writers_only(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream;
    struct stat about;

    make_store(fx, "kept");
    assert_int_equal(unlink(in_store(fx, "control")), 0);
    assert_int_equal(mkdir(in_store(fx, "control"), 0700), 0);
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "control is not a regular file"));
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(count_text(stream, "kept"), 1);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(stat(in_store(fx, "control"), &about), 0);
    assert_true(S_ISDIR(about.st_mode));
}

/* The link names a good copy of the very file, outside: following it would even work. It is not followed, and the file
 * outside keeps its bytes. */
static void a_symbolic_link_is_not_followed(void **state)
{
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof planted_names / sizeof *planted_names; i++) {
        char outside[TEMP_PATH_BYTES * 2];
        struct stat before, now;

        make_store(fx, "kept");
        memcpy(outside, temp_path(&fx->temp, "outside"), sizeof outside);
        assert_int_equal(rename(in_store(fx, planted_names[i]), outside), 0);
        assert_int_equal(symlink(outside, in_store(fx, planted_names[i])), 0);
        assert_int_equal(stat(outside, &before), 0);
        child_ends_well(child_start(use_what_was_planted, fx));
        assert_int_equal(stat(outside, &now), 0);
        assert_int_equal(now.st_size, before.st_size);
        assert_memory_equal(&now.st_mtim, &before.st_mtim, sizeof now.st_mtim);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void a_linked_directory_is_not_followed(void **state)
{
    fixture *fx = *state;
    static const char *const names[] = {"1", "1/0"};

    for (size_t i = 0; i < 2; i++) {
        char outside[TEMP_PATH_BYTES * 2];

        make_store(fx, "kept");
        memcpy(outside, temp_path(&fx->temp, "outside"), sizeof outside);
        assert_int_equal(rename(in_store(fx, names[i]), outside), 0);
        assert_int_equal(symlink(outside, in_store(fx, names[i])), 0);
        child_ends_well(child_start(use_what_was_planted, fx));
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* A link where a new segment's file would be made: nothing is made behind it. */
static void a_link_where_a_file_is_to_be_made_is_not_followed(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    static char data[60000];
    char outside[TEMP_PATH_BYTES * 2];
    handles of;

    options.segment_bytes = 64u << 10;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    memcpy(outside, temp_path(&fx->temp, "outside"), sizeof outside);
    assert_int_equal(symlink(outside, in_store(fx, "1/0/00000002.seg")), 0);
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 4; i++) { /* It may be told an error or take the next number; either is right. */
        ls_status st = ls_producer_put(of.producer, (ls_bytes){"key", 3}, (ls_bytes){data, sizeof data}, NULL, NULL);
        assert_true(st == LS_OK || i > 0);
    }
    assert_int_equal(access(outside, F_OK), -1);
    assert_true(count_readable(of.stream) > 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- whose the files are ---- */

static const char *found_wrong;

static int check_owner(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)path;
    if (where->level == 0)
        return 0;
    mode_t mode = kind == FTW_D || kind == FTW_DP ? 0750 : 0640;
    if (about->st_uid != 1234 || about->st_gid != 4321 || (about->st_mode & 07777) != mode)
        found_wrong = "owner, group or mode";
    return 0;
}

/* Root runs the tool once, and the service can still write. Method: the directory is somebody else's with mode 0750;
 * root makes store, streams, rolls and index files, under a umask that would spoil them. */
static void files_that_root_makes_are_the_directorys_owners(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    static char data[30000];
    handles of;
    mode_t mask;

    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(fx->path, 0750), 0);
    assert_int_equal(chmod(fx->path, 0750), 0);
    assert_int_equal(chown(fx->path, 1234, 4321), 0);
    options.segment_bytes = 64u << 10;
    mask = umask(077);
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ls_producer_put(of.producer, (ls_bytes){"key", 3}, (ls_bytes){data, sizeof data}, NULL, NULL),
                         LS_OK);
    assert_int_equal(ls_stream_create(of.store, "another", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    (void)umask(mask);
    found_wrong = NULL;
    assert_int_equal(nftw(fx->path, check_owner, 16, FTW_PHYS), 0);
    assert_null(found_wrong);
}

static void use_as_owner(fixture *fx)
{
    handles of;

    child_check(setgid(4321) == 0 && setuid(1234) == 0);
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(put_text(&of, "owner", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void the_owner_goes_on_after_root(void **state)
{
    fixture *fx = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(fx->temp.path, 0755), 0);
    assert_int_equal(mkdir(fx->path, 0700), 0);
    assert_int_equal(chown(fx->path, 1234, 4321), 0);
    make_store(fx, "root");
    child_ends_well(child_start(use_as_owner, fx));
    make_store(fx, "root");
    child_ends_well(child_start(use_as_owner, fx));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_that_cannot_be_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_cannot_be_written_is_read_without_its_control_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(reading_creates_no_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_opened_for_reading_follows_a_producer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_who_may_not_write_the_control_file_follows_a_producer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_network_file_system_is_refused_unless_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fifo_in_the_store_does_not_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_in_the_place_of_the_control_file_stops_writers_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_symbolic_link_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_linked_directory_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_where_a_file_is_to_be_made_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_root_makes_are_the_directorys_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_owner_goes_on_after_root, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("places (E6, E7, X3)", tests, NULL, NULL);
}
