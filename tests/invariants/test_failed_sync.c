/* E1 between processes: when a sync fails, every waiter of its group hears of it, the shard refuses puts in all
 * processes and in those that come later, readers stop at the last durable end, other shards go on, and a reset
 * alone ends it. */
#include <errno.h>

#include <libstream/unstable/inspect.h>

#include "invariants/processes.h"

typedef struct plan {
    hooked_files files;
    fixture *fx;
    bool armed; /* the next sync of a segment fails, once: the kernel, too, says so only once */
} plan;

static plan the_plan;

static int fail_sync(void *user, const hook_event *event)
{
    plan *of = user;

    if (!of->armed || event->call != HOOK_SYNC || event->target != HOOK_SEGMENT)
        return 0;
    of->armed = false;
    (void)usleep(30000); /* Until others wait with it. */
    atomic_fetch_add(&of->fx->share->syncs, 1);
    return -EIO;
}

/* `ready` goes up when all is open; at `release` it puts, and the sync that it may lead fails. */
static void put_with_a_failing_sync(fixture *fx)
{
    handles of;
    ls_status st;

    hooked_files_init(&the_plan.files, fail_sync, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    child_check(put_text(&of, "before", NULL) == LS_OK);
    the_plan.armed = true;
    atomic_fetch_add(&fx->share->ready, 1);
    await(&fx->share->release, 1);
    st = put_text(&of, "unknown", NULL);
    child_check(st == LS_ERR_IO);
    child_check(strstr(ls_last_error_message(), "unknown") != NULL);
    child_check(put_text(&of, "refused", NULL) == LS_ERR_IO);
    child_check(strstr(ls_last_error_message(), "nothing was written") != NULL);
    (void)handles_close(&of); /* May say it again. */
}

static void a_process_that_comes_later(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(put_text(&of, "refused", NULL) == LS_ERR_IO);
    child_check(strstr(ls_last_error_message(), "nothing was written") != NULL);
    (void)handles_close(&of);
}

#define WRITERS 4

static void note_shard(const ls_inspect_shard *shard, void *user)
{
    *(ls_inspect_shard *)user = *shard;
}

static void a_failed_sync_is_everybodys(void **state)
{
    fixture *fx = *state;
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    ls_inspect_shard shown = {.size = 0};
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream_description *about = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    handles of;
    pid_t pids[WRITERS];
    size_t readable;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < WRITERS; i++)
        pids[i] = child_start(put_with_a_failing_sync, fx);
    await(&fx->share->ready, WRITERS);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), WRITERS);
    atomic_store(&fx->share->release, 1);
    for (int i = 0; i < WRITERS; i++)
        child_ends_well(pids[i]);
    assert_true(atomic_load(&fx->share->syncs) >= 1);

    /* This process met no error of its own. Nobody reads what is not known to be durable. */
    assert_int_equal(put_text(&of, "refused", NULL), LS_ERR_IO);
    callbacks.shard = note_shard;
    assert_int_equal(ls_inspect_status(fx->path, &callbacks, &shown), LS_OK);
    assert_int_equal(shown.health, LS_ERR_IO);
    assert_int_equal(shown.failed_errno, EIO);
    next.timeout_ms = 50;
    assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 0);
    assert_int_equal(count_readable(of.stream), WRITERS);
    child_ends_well(child_start(a_process_that_comes_later, fx));
    assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 0, &info), LS_OK);
    assert_int_equal(info.health, LS_ERR_IO);
    ls_stream_description_free(about);

    /* The explicit way out. The same iterator goes on, and what was unknown stays away for good. */
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(put_text(&of, "after", NULL), LS_OK);
    readable = count_readable(of.stream);
    assert_int_equal(readable, WRITERS + 1);
    assert_int_equal(count_text(of.stream, "unknown"), 0);
    assert_int_equal(count_text(of.stream, "refused"), 0);
    assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The state outlives everybody's going: who opens the store alone, in the same boot, is told. */
static void a_failed_sync_is_known_when_all_have_gone(void **state)
{
    fixture *fx = *state;
    pid_t pid = child_start(put_with_a_failing_sync, fx);
    handles of;

    await(&fx->share->ready, 1);
    atomic_store(&fx->share->release, 1);
    child_ends_well(pid);
    child_ends_well(child_start(a_process_that_comes_later, fx));
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(count_text(of.stream, "before"), 1);
    assert_int_equal(count_text(of.stream, "unknown"), 0);
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(put_text(&of, "after", NULL), LS_OK);
    assert_int_equal(count_readable(of.stream), 2);
    (void)handles_close(&of);
}

/* Whose sync fails, once others wait for it: `ready` says that they may come, `release` that they have. */
static int fail_sync_when_told(void *user, const hook_event *event)
{
    plan *of = user;

    if (!of->armed || event->call != HOOK_SYNC || event->target != HOOK_SEGMENT)
        return 0;
    of->armed = false;
    atomic_store(&of->fx->share->ready, 1);
    await(&of->fx->share->release, 1);
    return -EIO;
}

static void lead_a_sync_that_fails(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, fail_sync_when_told, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    child_check(put_text(&of, "before", NULL) == LS_OK);
    the_plan.armed = true;
    child_check(put_text(&of, "leader", NULL) == LS_ERR_IO);
    (void)handles_close(&of);
}

static int note_write(void *user, const hook_event *event)
{
    plan *of = user;

    if (of->armed && event->call == HOOK_WRITE && event->target == HOOK_SEGMENT)
        atomic_store(&of->fx->share->calls, 1);
    return 0;
}

static void follow_that_sync(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, note_write, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = true;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    atomic_store(&fx->share->stage, 1);
    await(&fx->share->ready, 1);
    child_check(put_text(&of, "follower", NULL) == LS_ERR_IO);
    (void)handles_close(&of);
}

/* D1, D7: others fail, reset and put while a put that waits for its sync is stopped; when its process goes on, far more
 * is durable than it waited for. */
static void a_put_that_sleeps_through_a_reset_is_not_acknowledged(void **state)
{
    fixture *fx = *state;
    static char text[4000];
    pid_t leader, follower;
    handles of;

    memset(text, 'z', sizeof text - 1);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    follower = child_start(follow_that_sync, fx);
    await(&fx->share->stage, 1);
    leader = child_start(lead_a_sync_that_fails, fx);
    for (int64_t until = now_ms() + 30000; atomic_load(&fx->share->calls) == 0 && now_ms() < until;)
        (void)usleep(500);
    (void)usleep(50000); /* It has written, and now it waits. */
    assert_int_equal(kill(follower, SIGSTOP), 0);
    atomic_store(&fx->share->release, 1);
    child_ends_well(leader);
    assert_int_equal(put_text(&of, "refused", NULL), LS_ERR_IO);
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(put_text(&of, text, NULL), LS_OK);
    assert_int_equal(kill(follower, SIGCONT), 0);
    child_ends_well(follower);
    assert_int_equal(count_text(of.stream, "follower"), 0);
    assert_int_equal(count_text(of.stream, "leader"), 0);
    assert_int_equal(count_readable(of.stream), 2);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* O3: what is put after a reset is new to every reader, also to one that stood where the given up records ended. */
static void a_reader_at_latest_gets_what_is_put_after_a_reset(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_position latest = {.kind = LS_LATEST};
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    handles of;

    options.durability = LS_DURABILITY_INTERVAL;
    options.sync_interval_ms = 60000;
    hooked_files_init(&the_plan.files, fail_sync, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    assert_int_equal(handles_open(&of, fx->path, &options, &the_plan.files), LS_OK);
    assert_int_equal(put_text(&of, "first", NULL), LS_OK);
    assert_int_equal(ls_store_sync(of.store), LS_OK);
    assert_int_equal(put_text(&of, "lost!", NULL), LS_OK);
    assert_int_equal(ls_iterator_open(of.stream, 0, &latest, NULL, &iterator), LS_OK);
    the_plan.armed = true;
    assert_int_equal(ls_store_sync(of.store), LS_ERR_IO);
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(put_text(&of, "put-0", NULL), LS_OK);
    assert_int_equal(put_text(&of, "put-1", NULL), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2);
    assert_memory_equal(ls_batch_at(batch, 0)->data.data, "put-0", 5);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static const ls_hash_key lowest = {0, 0}, highest = {UINT64_MAX, UINT64_MAX};

static ls_status put_to(const handles *of, const ls_hash_key *key)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.explicit_hash_key = key;
    return ls_producer_put(of->producer, (ls_bytes){"key", 3}, (ls_bytes){"data", 4}, &options, NULL);
}

/* One shard's trouble is its own. Method: two shards, of which the first one's sync fails. */
static void other_shards_go_on(void **state)
{
    fixture *fx = *state;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    ls_store *store = NULL;
    handles of;

    about.shard_count = 2;
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, &about), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    hooked_files_init(&the_plan.files, fail_sync, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    assert_int_equal(handles_open(&of, fx->path, NULL, &the_plan.files), LS_OK);
    assert_int_equal(put_to(&of, &lowest), LS_OK);
    assert_int_equal(put_to(&of, &highest), LS_OK);
    the_plan.armed = true;
    assert_int_equal(put_to(&of, &lowest), LS_ERR_IO);
    assert_int_equal(put_to(&of, &highest), LS_OK);
    assert_int_equal(put_to(&of, &lowest), LS_ERR_IO);
    assert_int_equal(ls_stream_reset_shard(of.stream, 1), LS_ERR_STATE); /* It is healthy. */
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(put_to(&of, &lowest), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* store.h: ls_store_sync answers with the failed sync of a shard until it is reset, though the kernel says it only once
 * and others than the caller may have heard it. */
static void syncing_the_store_says_what_failed(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    options.durability = LS_DURABILITY_KERNEL;
    hooked_files_init(&the_plan.files, fail_sync, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    assert_int_equal(handles_open(&of, fx->path, &options, &the_plan.files), LS_OK);
    assert_int_equal(put_text(&of, "unknown", NULL), LS_OK);
    the_plan.armed = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ls_store_sync(of.store), LS_ERR_IO);
        assert_non_null(strstr(ls_last_error_message(), STREAM));
    }
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(ls_store_sync(of.store), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* store.h, stream.h: calls that do all upkeep leave a failed shard as it is and come back; a call that waited for what
 * only a reset can change would never. */
static void upkeep_leaves_a_failed_shard_alone(void **state)
{
    static char text[40000];
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    uint64_t saved = 1;
    handles of;

    memset(text, 'z', sizeof text - 1);
    options.segment_bytes = 64u << 10;
    hooked_files_init(&the_plan.files, fail_sync, NULL, &the_plan);
    the_plan.fx = fx;
    the_plan.armed = false;
    assert_int_equal(handles_open(&of, fx->path, &options, &the_plan.files), LS_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(put_text(&of, text, NULL), LS_OK);
    the_plan.armed = true;
    assert_int_equal(put_text(&of, "unknown", NULL), LS_ERR_IO);
    (void)alarm(30); /* Where it is waited for, it is for ever. */
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    assert_int_equal(saved, 0);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 100000), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(count_readable(of.stream), 6);
    assert_int_equal(ls_stream_reset_shard(of.stream, 0), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    (void)alarm(0);
    assert_true(count_readable(of.stream) < 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_sync_is_everybodys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_sync_is_known_when_all_have_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_put_that_sleeps_through_a_reset_is_not_acknowledged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_at_latest_gets_what_is_put_after_a_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_shards_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(syncing_the_store_says_what_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(upkeep_leaves_a_failed_shard_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("failed syncs (E1)", tests, NULL, NULL);
}
