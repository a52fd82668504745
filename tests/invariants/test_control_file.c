/* P10 and the control file as a hint: deleted, cut, filled with anything or left by another boot, it is made anew and
 * no record appears or vanishes; with somebody alive it is not touched. Also: several who open at the same moment. */
#include <errno.h>
#include <fcntl.h>

#include "base/hash.h"
#include "base/lock.h"
#include "invariants/processes.h"
#include "storage/control_layout.h"

#define RECORDS 5

static const char *control_path(const fixture *fx)
{
    static char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    return path;
}

static void make_store(const fixture *fx, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    options.durability = durability;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(put_text(&of, "kept", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* All are there, puts go on, and the next open finds that too. */
static void check_store(const fixture *fx)
{
    handles of;
    size_t before;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    before = count_readable(of.stream);
    assert_true(before >= RECORDS);
    assert_int_equal(count_text(of.stream, "kept"), RECORDS);
    assert_int_equal(put_text(&of, "new", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(count_readable(of.stream), before + 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_deleted_control_file_is_made_anew(void **state)
{
    fixture *fx = *state;

    make_store(fx, LS_DURABILITY_SYNC);
    assert_int_equal(unlink(control_path(fx)), 0);
    check_store(fx);
}

/* Cut at sizes around its parts, and grown by an odd piece. */
static void a_control_file_of_any_size_is_made_whole(void **state)
{
    static const off_t sizes[] = {0, 1, 7, 64, 4096, CONTROL_PROCESSES_AT, CONTROL_SLOTS_AT - 1, CONTROL_SLOTS_AT,
                                  CONTROL_SLOTS_AT + 1, CONTROL_SLOTS_AT + 3 * LSI_SLOT_BYTES + 5, 1000003};
    fixture *fx = *state;

    make_store(fx, LS_DURABILITY_SYNC);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(control_path(fx), sizes[i]), 0);
        check_store(fx);
    }
}

static void fill(const fixture *fx, off_t at, size_t size, unsigned seed)
{
    unsigned char *bytes = malloc(size);
    int fd = open(control_path(fx), O_WRONLY);

    assert_non_null(bytes);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = seed == 0 ? 0 : (unsigned char)(seed >> 16);
    }
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    assert_int_equal(close(fd), 0);
    free(bytes);
}

static void a_control_file_of_any_bytes_is_made_anew(void **state)
{
    fixture *fx = *state;

    make_store(fx, LS_DURABILITY_SYNC);
    for (unsigned seed = 1; seed < 20; seed++) {
        fill(fx, 0, CONTROL_SLOTS_AT + 4 * LSI_SLOT_BYTES, seed);
        check_store(fx);
    }
}

/* The header is whole and of another boot: locks and ends are not believed, watermarks may be. In all modes. */
static void a_control_file_of_another_boot_is_not_believed(void **state)
{
    fixture *fx = *state;
    unsigned char boot[16];

    for (ls_durability mode = LS_DURABILITY_KERNEL; mode <= LS_DURABILITY_SYNC; mode++) {
        make_store(fx, mode);
        for (unsigned char i = 1; i < 4; i++) {
            memset(boot, i, sizeof boot);
            lsi_boot_id_pretend(boot);
            check_store(fx);
        }
        lsi_boot_id_pretend(NULL);
        check_store(fx);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* A process died holding the lock, and then the machine was started anew: nobody is told of the death, and the lock's
 * bytes must not be believed. */
static hooked_files the_hooked;

static int die_in_the_write(void *user, const hook_event *event)
{
    const fixture *fx = user;

    if (atomic_load(&fx->share->stage) == 1 && event->call == HOOK_WRITE && event->target == HOOK_SEGMENT) {
        lsi_span half = {event->spans[0].data, event->spans[0].size / 2};
        (void)lsi_files_system.write(event->file, &half, 1, event->at);
        (void)kill(getpid(), SIGKILL);
    }
    return 0;
}

static void put_and_die(fixture *fx)
{
    handles of;

    hooked_files_init(&the_hooked, die_in_the_write, NULL, fx);
    child_check(handles_open(&of, fx->path, NULL, &the_hooked) == LS_OK);
    atomic_store(&fx->share->stage, 1);
    (void)put_text(&of, "torn", NULL);
}

static void a_death_in_a_lock_and_another_boot_together(void **state)
{
    fixture *fx = *state;
    unsigned char boot[16] = {9};
    handles of;

    make_store(fx, LS_DURABILITY_SYNC);
    assert_true(WIFSIGNALED(child_end(child_start(put_and_die, fx))));
    lsi_boot_id_pretend(boot);
    check_store(fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(count_text(of.stream, "torn"), 0); /* Half a frame is none. */
    assert_int_equal(handles_close(&of), LS_OK);
    lsi_boot_id_pretend(NULL);
}

/* P10: with somebody alive another layout or boot is refused, and what is there stays as it is. */
static void open_and_sleep(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    atomic_store(&fx->share->ready, 1);
    await(&fx->share->release, 1);
    child_check(put_text(&of, "alive", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void another_layout_is_refused_while_somebody_is_alive(void **state)
{
    fixture *fx = *state;
    unsigned char boot[16] = {7};
    ls_store *store = NULL;
    control_header header, good;
    int fd;
    pid_t pid;

    make_store(fx, LS_DURABILITY_SYNC);
    pid = child_start(open_and_sleep, fx);
    await(&fx->share->ready, 1);
    lsi_boot_id_pretend(boot);
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_ERR_VERSION);
    lsi_boot_id_pretend(NULL);

    fd = open(control_path(fx), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &header, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    good = header;
    header.layout = LSI_CONTROL_LAYOUT + 1; /* As another release writes it, with a right sum. */
    header.sum = lsi_sum64(&header, offsetof(control_header, sum), 0);
    assert_int_equal(pwrite(fd, &header, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_ERR_VERSION);
    header = good;
    header.features ^= 1; /* As a library writes it that uses another libc. */
    header.sum = lsi_sum64(&header, offsetof(control_header, sum), 0);
    assert_int_equal(pwrite(fd, &header, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_ERR_VERSION);
    assert_int_equal(pwrite(fd, &good, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(close(fd), 0);
    atomic_store(&fx->share->release, 1);
    child_ends_well(pid);
    check_store(fx);
}

static void another_layout_is_made_anew_when_nobody_is_alive(void **state)
{
    fixture *fx = *state;
    control_header header;
    int fd;

    make_store(fx, LS_DURABILITY_SYNC);
    fd = open(control_path(fx), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &header, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    header.layout = LSI_CONTROL_LAYOUT + 1;
    header.sum = lsi_sum64(&header, offsetof(control_header, sum), 0);
    assert_int_equal(pwrite(fd, &header, offsetof(control_header, boot_id), 0), offsetof(control_header, boot_id));
    assert_int_equal(close(fd), 0);
    check_store(fx);
}

/* A control file of another store, whole, of this boot: its ends are another store's. */
static void the_control_file_of_another_store_is_not_believed(void **state)
{
    fixture *fx = *state;
    char other[TEMP_PATH_BYTES * 2], from[TEMP_PATH_BYTES * 3];
    handles of;

    make_store(fx, LS_DURABILITY_SYNC);
    memcpy(other, temp_path(&fx->temp, "other"), sizeof other);
    assert_int_equal(handles_open(&of, other, NULL, NULL), LS_OK);
    assert_int_equal(put_text(&of, "of the other", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    (void)snprintf(from, sizeof from, "%s/control", other);
    assert_int_equal(rename(from, control_path(fx)), 0);
    check_store(fx);
}

/* ---- at the same moment ---- */

static handles grower;
static uint32_t grown;

/* Between an opener's look at the file's size and its look at what is in it, somebody else creates a stream of so many
 * shards that the file grows. */
static int map_and_grow(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    char name[32];

    if (size == CONTROL_MAP_BYTES) { /* And not a segment. */
        about.shard_count = 100;
        (void)snprintf(name, sizeof name, "grown-%u", grown++);
        assert_int_equal(ls_stream_create(grower.store, name, &about), LS_OK);
    }
    return lsi_files_system.map(file, at, size, writable, out);
}

static void a_store_may_grow_while_another_opens_it(void **state)
{
    fixture *fx = *state;
    hooked_files hooked;
    handles of;

    make_store(fx, LS_DURABILITY_KERNEL);
    assert_int_equal(handles_open(&grower, fx->path, NULL, NULL), LS_OK);
    hooked_files_init(&hooked, NULL, NULL, NULL);
    hooked.table.map = map_and_grow;
    grown = 0;
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(handles_open(&of, fx->path, NULL, &hooked), LS_OK);
        assert_int_equal(grown, i);
        assert_int_equal(put_text(&of, "new", NULL), LS_OK);
        assert_int_equal(handles_close(&of), LS_OK);
    }
    assert_int_equal(handles_close(&grower), LS_OK);
    check_store(fx);
}

static uint32_t the_round;

/* Spins, so that both go within a microsecond or two. */
static void open_and_create_at_once(fixture *fx)
{
    handles of;
    ls_status st;

    atomic_fetch_add(&fx->share->ready, 1);
    while (atomic_load(&fx->share->release) == 0)
        continue;
    memset(&of, 0, sizeof of);
    child_check(ls_store_open(fx->path, NULL, &of.store) == LS_OK);
    st = ls_stream_create(of.store, STREAM, NULL);
    child_check(st == LS_OK || st == LS_ERR_EXISTS);
    atomic_fetch_add(&fx->share->calls, st == LS_OK);
    child_check(ls_stream_open(of.store, STREAM, &of.stream) == LS_OK);
    child_check(ls_producer_open(of.stream, NULL, &of.producer) == LS_OK);
    child_check(put_text(&of, "at once", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void two_make_the_same_store_at_the_same_moment(void **state)
{
    for (the_round = 0; the_round < 100; the_round++) {
        fixture *fx = *state;
        pid_t pids[2];
        handles of;

        for (int i = 0; i < 2; i++)
            pids[i] = child_start(open_and_create_at_once, fx);
        await(&fx->share->ready, 2);
        atomic_store(&fx->share->release, 1);
        for (int i = 0; i < 2; i++)
            child_ends_well(pids[i]);
        assert_int_equal(atomic_load(&fx->share->calls), 1); /* One has made the stream. */
        assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
        assert_int_equal(count_text(of.stream, "at once"), 2);
        assert_int_equal(handles_close(&of), LS_OK);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* Open, put and close, again and again, in four processes: who is last to close and who is first to open meet. */
static void open_and_close(fixture *fx)
{
    atomic_fetch_add(&fx->share->ready, 1);
    await(&fx->share->release, 1);
    for (int i = 0; i < 40; i++) {
        handles of;

        child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
        child_check(put_text(&of, "passing", NULL) == LS_OK);
        child_check(handles_close(&of) == LS_OK);
    }
}

static void the_last_to_close_meets_the_first_to_open(void **state)
{
    fixture *fx = *state;
    pid_t pids[4];
    handles of;

    make_store(fx, LS_DURABILITY_KERNEL);
    for (int i = 0; i < 4; i++)
        pids[i] = child_start(open_and_close, fx);
    await(&fx->share->ready, 4);
    atomic_store(&fx->share->release, 1);
    for (int i = 0; i < 4; i++)
        child_ends_well(pids[i]);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(count_text(of.stream, "passing"), 160);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* As two processes, of which one has no more to do with a stream than the other one: makes it, splits it, reads it in
 * both, deletes it. `straggler`: his handle on it stays open until the next one is made. */
static void come_and_go(ls_store *stores[2], unsigned i, handles *straggler)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    handles his = {.store = stores[i % 2]}, other = {.store = stores[1 - i % 2]};
    char name[32];

    (void)snprintf(name, sizeof name, "passing-%u", i);
    assert_int_equal(ls_stream_create(his.store, name, NULL), LS_OK);
    assert_int_equal(ls_stream_open(his.store, name, &his.stream), LS_OK);
    assert_int_equal(ls_stream_open(other.store, name, &other.stream), LS_OK);
    assert_int_equal(ls_producer_open(his.stream, NULL, &his.producer), LS_OK);
    for (int k = 0; k < 4; k++) {
        if (k == 2)
            assert_int_equal(ls_stream_update_shard_count(his.stream, 2, NULL), LS_OK);
        assert_int_equal(ls_producer_put(his.producer, (ls_bytes){keys[k], 1}, (ls_bytes){"x", 1}, NULL, NULL), LS_OK);
    }
    assert_int_equal(count_readable(other.stream), 2); /* of the first shard */
    assert_int_equal(ls_producer_close(his.producer), LS_OK);
    assert_int_equal(ls_stream_close(his.stream), LS_OK);
    assert_int_equal(ls_stream_delete(his.store, name), LS_OK);
    assert_int_equal(ls_stream_close(straggler->stream), LS_OK);
    *straggler = other;
}

/* Goal: a store that is always open somewhere does not grow for each stream that it ever had. Method: two that have it
 * open make and delete some hundred streams, each of which one of them lets go of later than the other. */
static void the_file_stays_as_large_while_streams_come_and_go(void **state)
{
    fixture *fx = *state;
    handles of[2], straggler = {0};
    struct stat before, after;

    for (int i = 0; i < 2; i++)
        assert_int_equal(handles_open(&of[i], fx->path, NULL, NULL), LS_OK);
    for (unsigned i = 0; i < 300; i++) {
        come_and_go((ls_store *[]){of[0].store, of[1].store}, i, &straggler);
        if (i == 100)
            assert_int_equal(stat(control_path(fx), &before), 0);
    }
    assert_int_equal(stat(control_path(fx), &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_in_range(after.st_size, 0, CONTROL_SLOTS_AT + 256 * LSI_SLOT_BYTES);
    assert_int_equal(ls_stream_close(straggler.stream), LS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(handles_close(&of[i]), LS_OK);
}

static unsigned the_rebuilds;

static void count_rebuilds(void *user, int32_t level, const char *line)
{
    (void)user;
    the_rebuilds += level == LS_LOG_INFO && strstr(line, "the control file was made anew") != NULL;
}

/* store.h: the log is told of a rebuilt control file. */
static void making_it_anew_is_logged(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    make_store(fx, LS_DURABILITY_SYNC);
    options.log = count_rebuilds;
    the_rebuilds = 0;
    for (unsigned rebuilds = 0; rebuilds < 3; rebuilds++) {
        for (int again = 0; again < 2; again++) {
            assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
            assert_int_equal(put_text(&of, "more", NULL), LS_OK);
            assert_int_equal(handles_close(&of), LS_OK);
            assert_int_equal(the_rebuilds, rebuilds);
        }
        if (rebuilds == 0)
            assert_int_equal(unlink(control_path(fx)), 0);
        else
            assert_int_equal(truncate(control_path(fx), 4096), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deleted_control_file_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_control_file_of_any_size_is_made_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_control_file_of_any_bytes_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_control_file_of_another_boot_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_death_in_a_lock_and_another_boot_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_layout_is_refused_while_somebody_is_alive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_layout_is_made_anew_when_nobody_is_alive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_control_file_of_another_store_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_may_grow_while_another_opens_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_make_the_same_store_at_the_same_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_to_close_meets_the_first_to_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_stays_as_large_while_streams_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(making_it_anew_is_logged, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("the control file (P10)", tests, NULL, NULL);
}
