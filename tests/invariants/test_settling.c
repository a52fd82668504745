/* P1, L5, D6: a change of the manifest is made when the manifest is durable; the words of the control file that others
 * go by are stored after that, one by one. Who dies in between, after any of these stores, has made his change: others,
 * who have the store open, see it at once, wait for nothing, and go on.
 *
 * Method: a child changes something, traced. From the moment when the manifest is durable it is stepped through,
 * instruction by instruction, and killed when the control file has changed for the 1st, 2nd, ... Nth time, until it
 * gets to the end. */
#include "invariants/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ptrace.h>

#define CONTROL_BYTES (64u << 10) /* at most: header and more slots than are used here */
#define STEPS_MAX 3000000
#define LATE_MS 1000

/* ---- the child ---- */

/* One kind of change. `act` is the child's; the parent checks it by a handle that it has had all the time, and takes it
 * back, or makes ready for the next one. */
typedef struct change {
    ls_status (*act)(const handles *of, uint32_t round);
    void (*check)(const handles *of, uint32_t round);
    void (*next)(const handles *of, uint32_t round);
    bool puts_first; /* the parent, before it looks */
} change;

static ls_status key_of(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

static ls_status open_with_keys(handles *of, const char *path, hooked_files *hooked)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.key_callback = key_of;
    options.busy_timeout_ms = 10 * LATE_MS;
    return handles_open(of, path, &options, hooked);
}

static const change *the_change;
static uint32_t the_round;
static int (*real_rename)(const lsi_root *root, const char *from, const char *to);
static bool the_manifest_moved;

static int note_manifest(const lsi_root *root, const char *from, const char *to)
{
    the_manifest_moved = the_manifest_moved || strcmp(to, "manifest") == 0;
    return real_rename(root, from, to);
}

/* The manifest is durable: from here on it is stepped. */
static void stop_behind(void *user, const hook_event *event)
{
    (void)user;
    if (event->call == HOOK_SYNC_DIR && the_manifest_moved) {
        the_manifest_moved = false;
        (void)raise(SIGSTOP);
    }
}

static void change_traced(fixture *fx)
{
    static hooked_files files;
    handles of;

    hooked_files_init(&files, NULL, stop_behind, NULL);
    real_rename = files.table.rename;
    files.table.rename = note_manifest;
    child_check(open_with_keys(&of, fx->path, &files) == LS_OK);
    the_manifest_moved = false;
    child_check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    child_check(the_change->act(&of, the_round) == LS_OK);
    atomic_store(&fx->share->stage, 1);
    child_check(handles_close(&of) == LS_OK);
}

/* ---- the parent ---- */

/* Lets it run on by one instruction, or to its end; false: it has ended. */
static bool go_on(pid_t pid, bool by_one, int *status)
{
    int signal = WSTOPSIG(*status);

    signal = signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
    assert_int_equal(ptrace(by_one ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal), 0);
    assert_int_equal(waitpid(pid, status, 0), pid);
    return WIFSTOPPED(*status);
}

static size_t control_bytes;

/* Kills it after its `nth` change of the control file. False: it did not change it so often, and ended well. */
static bool dies_after(fixture *fx, const unsigned char *control, uint32_t nth)
{
    static unsigned char before[CONTROL_BYTES];
    pid_t pid;
    int status = 0;

    atomic_store(&fx->share->stage, 0);
    pid = child_start(change_traced, fx);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    memcpy(before, control, control_bytes);
    for (int steps = 0; atomic_load(&fx->share->stage) == 0; steps++) {
        if (nth == 0) {
            assert_int_equal(kill(pid, SIGKILL), 0);
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            return true;
        }
        assert_true(steps < STEPS_MAX);
        assert_true(go_on(pid, true, &status));
        if (memcmp(before, control, control_bytes) != 0) {
            memcpy(before, control, control_bytes);
            nth--;
        }
    }
    while (WIFSTOPPED(status))
        (void)go_on(pid, false, &status);
    assert_int_equal(status, 0);
    return false;
}

static void put_numbered(const handles *of, uint32_t number)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", number);
    assert_int_equal(put_text(of, text, NULL), LS_OK);
}

/* All is there, once and in order. */
static void read_numbered(ls_stream *stream, uint32_t count)
{
    ls_iterator *iterator = NULL;
    uint32_t next = 0, empty = 0;

    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    while (next < count && empty < 1000) {
        const ls_batch *batch;

        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        empty += ls_batch_count(batch) == 0; /* the end of a shard, too */
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            char text[16];

            (void)snprintf(text, sizeof text, "%u", next++);
            assert_int_equal(record->data.size, strlen(text));
            assert_memory_equal(record->data.data, text, record->data.size);
        }
    }
    assert_int_equal(next, count);
    ls_iterator_close(iterator);
}

static void walk(fixture *fx, const change *what, uint32_t at_least)
{
    unsigned char *control;
    char path[TEMP_PATH_BYTES * 3];
    uint32_t put = 0, round = 0;
    handles of, again;
    bool died = true;
    struct stat about;
    int fd;

    assert_int_equal(open_with_keys(&of, fx->path, NULL), LS_OK);
    put_numbered(&of, put++);
    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &about) == 0);
    control_bytes = about.st_size < CONTROL_BYTES ? (size_t)about.st_size : CONTROL_BYTES;
    control = mmap(NULL, control_bytes, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(control != MAP_FAILED);
    (void)close(fd);
    the_change = what;
    for (; died; round++) {
        int64_t from;

        the_round = round;
        died = dies_after(fx, control, round);
        from = now_ms();
        if (what->puts_first)
            put_numbered(&of, put++);
        what->check(&of, round);
        if (!what->puts_first)
            put_numbered(&of, put++);
        assert_in_range(now_ms() - from, 0, LATE_MS);
        if (died)
            what->next(&of, round);
        put_numbered(&of, put++);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_true(round < 1000);
    }
    assert_true(round > at_least);
    read_numbered(of.stream, put);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(open_with_keys(&again, fx->path, NULL), LS_OK);
    read_numbered(again.stream, put);
    assert_int_equal(handles_close(&again), LS_OK);
    (void)munmap(control, control_bytes);
}

/* ---- shards ---- */

/* How many are listed; the two that are open, or the one. */
static uint32_t shards_of(ls_stream *stream, uint32_t open[2], uint32_t *open_count)
{
    ls_stream_description *about = NULL;
    uint32_t count;

    *open_count = 0;
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    count = ls_stream_description_shard_count(about);
    for (uint32_t i = 0; i < count; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        assert_int_equal(ls_stream_description_shard(about, i, &info), LS_OK);
        if (info.is_open) {
            assert_true(*open_count < 2);
            open[(*open_count)++] = info.shard;
        }
    }
    ls_stream_description_free(about);
    return count;
}

static ls_status split_it(const handles *of, uint32_t round)
{
    return ls_stream_split(of->stream, 3 * round, NULL, NULL, NULL);
}

static void check_split(const handles *of, uint32_t round)
{
    uint32_t open[2], open_count;

    assert_int_equal(shards_of(of->stream, open, &open_count), 3 * round + 3);
    assert_int_equal(open_count, 2);
    assert_true(open[0] == 3 * round + 1 && open[1] == 3 * round + 2);
}

static ls_status merge_it(const handles *of, uint32_t round)
{
    return ls_stream_merge(of->stream, 3 * round + 1, 3 * round + 2, NULL);
}

static void check_merged(const handles *of, uint32_t round)
{
    uint32_t open[2], open_count;

    assert_int_equal(shards_of(of->stream, open, &open_count), 3 * round + 4);
    assert_int_equal(open_count, 1);
    assert_int_equal(open[0], 3 * round + 3);
}

static void merge_clean(const handles *of, uint32_t round)
{
    assert_int_equal(merge_it(of, round), LS_OK);
}

static void split_clean(const handles *of, uint32_t round)
{
    assert_int_equal(split_it(of, round + 1), LS_OK);
}

static void who_dies_behind_a_split_has_split(void **state)
{
    static const change split = {split_it, check_split, merge_clean, true};

    walk(*state, &split, 5);
}

/* Of two parents one may have been told, and the other not. */
static void who_dies_behind_a_merge_has_merged(void **state)
{
    static const change merge = {merge_it, check_merged, split_clean, false};
    handles of;

    assert_int_equal(handles_open(&of, ((fixture *)*state)->path, NULL, NULL), LS_OK);
    assert_int_equal(split_it(&of, 0), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    walk(*state, &merge, 6);
}

/* ---- settings ---- */

static ls_status keep_longer(const handles *of, uint32_t round)
{
    return ls_stream_increase_retention(of->stream, 25 + round);
}

static void check_longer(const handles *of, uint32_t round)
{
    ls_stream_description *about = NULL;

    assert_int_equal(ls_stream_describe(of->stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_retention_hours(about), 25 + round);
    ls_stream_description_free(about);
}

static void nothing(const handles *of, uint32_t round)
{
    (void)of;
    (void)round;
}

static void who_dies_behind_a_setting_has_set_it(void **state)
{
    static const change longer = {keep_longer, check_longer, nothing, true};

    walk(*state, &longer, 2);
}

static ls_status change_key(const handles *of, uint32_t round)
{
    return round % 3 == 2 ? ls_stream_stop_encryption(of->store, STREAM)
                          : ls_stream_start_encryption(of->store, STREAM, round % 3 == 0 ? "a" : "b");
}

static void check_key(const handles *of, uint32_t round)
{
    ls_stream_description *about = NULL;

    assert_int_equal(ls_stream_describe(of->stream, &about), LS_OK);
    assert_string_equal(ls_stream_description_key_id(about), round % 3 == 2 ? "" : round % 3 == 0 ? "a" : "b");
    ls_stream_description_free(about);
}

static void who_dies_behind_a_change_of_keys_has_changed_them(void **state)
{
    static const change keys = {change_key, check_key, nothing, true};

    walk(*state, &keys, 2);
}

/* ---- streams ---- */

static ls_status make_other(const handles *of, uint32_t round)
{
    (void)round;
    return ls_stream_create(of->store, "other", NULL);
}

static void check_made(const handles *of, uint32_t round)
{
    ls_stream *stream = NULL;

    (void)round;
    assert_int_equal(ls_stream_create(of->store, "other", NULL), LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of->store, "other", &stream), LS_OK);
    assert_int_equal(count_readable(stream), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void delete_clean(const handles *of, uint32_t round)
{
    (void)round;
    assert_int_equal(ls_stream_delete(of->store, "other"), LS_OK);
}

static void who_dies_behind_a_creation_has_created(void **state)
{
    static const change create = {make_other, check_made, delete_clean, false};

    walk(*state, &create, 2);
}

static ls_stream *the_other;

static ls_status delete_other(const handles *of, uint32_t round)
{
    (void)round;
    return ls_stream_delete(of->store, "other");
}

/* Who has it open is told. */
static void check_deleted(const handles *of, uint32_t round)
{
    ls_iterator *iterator = NULL;
    ls_stream *stream = NULL;

    (void)round;
    assert_int_equal(ls_stream_open(of->store, "other", &stream), LS_ERR_NOT_FOUND);
    if (the_other != NULL) {
        assert_int_equal(ls_iterator_open(the_other, 0, NULL, NULL, &iterator), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_stream_close(the_other), LS_OK);
        the_other = NULL;
    }
}

static void make_clean(const handles *of, uint32_t round)
{
    assert_int_equal(make_other(of, round), LS_OK);
    assert_int_equal(ls_stream_open(of->store, "other", &the_other), LS_OK);
    assert_int_equal(count_readable(the_other), 0);
}

static void who_dies_behind_a_deletion_has_deleted(void **state)
{
    static const change delete = {delete_other, check_deleted, make_clean, false};
    handles of;

    the_other = NULL;
    assert_int_equal(handles_open(&of, ((fixture *)*state)->path, NULL, NULL), LS_OK);
    assert_int_equal(make_other(&of, 0), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    walk(*state, &delete, 2);
}

/* ---- consumers ---- */

static ls_status deregister_it(const handles *of, uint32_t round)
{
    (void)round;
    return ls_consumer_deregister(of->stream, "reports");
}

static void check_deregistered(const handles *of, uint32_t round)
{
    ls_consumer *consumer = NULL;

    (void)round;
    assert_int_equal(ls_consumer_open(of->stream, "reports", &consumer), LS_ERR_NOT_FOUND);
}

static void register_clean(const handles *of, uint32_t round)
{
    (void)round;
    assert_int_equal(ls_consumer_register(of->stream, "reports", NULL), LS_OK);
}

static void who_dies_behind_a_deregistration_has_deregistered(void **state)
{
    static const change deregister = {deregister_it, check_deregistered, register_clean, false};
    handles of;

    assert_int_equal(handles_open(&of, ((fixture *)*state)->path, NULL, NULL), LS_OK);
    register_clean(&of, 0);
    assert_int_equal(handles_close(&of), LS_OK);
    walk(*state, &deregister, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(who_dies_behind_a_split_has_split),
        CASE(who_dies_behind_a_merge_has_merged),
        CASE(who_dies_behind_a_setting_has_set_it),
        CASE(who_dies_behind_a_change_of_keys_has_changed_them),
        CASE(who_dies_behind_a_creation_has_created),
        CASE(who_dies_behind_a_deletion_has_deleted),
        CASE(who_dies_behind_a_deregistration_has_deregistered),
    };

    return cmocka_run_group_tests_name("between the manifest and the control file (P1, L5, D6)", tests, NULL, NULL);
}
