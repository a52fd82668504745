/* P1, P2, D6, R6 for creating streams, which is long for wide ones: whoever creates stops nobody, whether he works, is
 * stopped or dies, and what he leaves is found and removed. So is what a deleter leaves who dies. */
#include <dirent.h>

#include "engine/local/local.h"
#include "invariants/dying.h"

#define WIDE 40u /* shards: enough to be synced at once */
#define BUSY_MS 1000
#define QUICK_MS 900 /* on a loaded machine; who waits for a lock that is held is back after BUSY_MS */

static uint32_t the_shards;
static ls_status the_answer; /* that a stopped creator must get in the end */

static void create_in_child(fixture *fx)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_store *store;

    hooked_files_init(&the_plan.files, die_before, NULL, &the_plan);
    the_plan.armed = false;
    child_check(open_hooked(fx->path, NULL, &the_plan.files, &store) == LS_OK);
    the_plan.armed = true;
    options.shard_count = the_shards;
    ls_status st = ls_stream_create(store, "wide", &options);
    child_check(st == the_answer);
    child_check(the_plan.countdown < 0 || the_plan.signal == SIGKILL); /* it was long enough */
    atomic_store(&fx->share->stage, 1);
    child_check(ls_store_close(store) == LS_OK);
}

static pid_t start_creator(fixture *fx, uint32_t shards, int64_t countdown, int signal, ls_status answer)
{
    the_plan.countdown = countdown;
    the_plan.signal = signal;
    the_shards = shards;
    the_answer = answer;
    atomic_store(&fx->share->stage, 0);
    return child_start(create_in_child, fx);
}

/* Names in the store's directory that begin so. */
static unsigned count_names(const fixture *fx, const char *prefix)
{
    DIR *dir = opendir(fx->path);
    unsigned count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(dir);
    return count;
}

static void open_beside(handles *of, const fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.busy_timeout_ms = BUSY_MS;
    assert_int_equal(handles_open(of, fx->path, &options, NULL), LS_OK);
}

/* Every shard of "wide" takes a record and shows it. */
static void use_wide(ls_store *store, uint32_t shards)
{
    ls_stream_description *description;
    ls_producer *producer;
    ls_stream *stream;

    assert_int_equal(ls_stream_open(store, "wide", &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_shard_count(description), shards);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < shards; i++) {
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        ls_shard_info shard = LS_SHARD_INFO_INIT;
        ls_record_id id;

        assert_int_equal(ls_stream_description_shard(description, i, &shard), LS_OK);
        options.explicit_hash_key = &shard.first_hash_key;
        assert_int_equal(ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){"d", 1}, &options, &id), LS_OK);
        assert_int_equal(id.shard, i);
        assert_int_equal(id.seqno, 1); /* nothing was guessed or skipped */
    }
    ls_stream_description_free(description);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#define assert_quick(call, status)                        \
    do {                                                  \
        int64_t from_ms = now_ms();                       \
        assert_int_equal(call, status);                   \
        assert_in_range(now_ms() - from_ms, 0, QUICK_MS); \
    } while (0)

/* While somebody makes the logs of a wide stream, nobody else notices. Method: he is stopped in the middle of it. */
static void a_creator_that_works_stops_nobody(void **state)
{
    fixture *fx = *state;
    ls_stream_list *list;
    handles of;
    pid_t pid;

    for (int many = 0; many < 2; many++) {
        open_beside(&of, fx);
        pid = start_creator(fx, many != 0 ? WIDE : 4, many != 0 ? 50 : 9, SIGSTOP, LS_OK);
        child_stops(pid);
        assert_int_equal(count_names(fx, "new-"), 1);
        assert_quick(ls_stream_create(of.store, "other", NULL), LS_OK);
        assert_quick(ls_stream_create(of.store, "other", NULL), LS_ERR_EXISTS);
        assert_quick(put_text(&of, "beside", NULL), LS_OK);
        assert_quick(ls_store_list_streams(of.store, NULL, 0, &list), LS_OK);
        assert_int_equal(ls_stream_list_count(list), 2);
        ls_stream_list_free(list);
        assert_quick(ls_stream_delete(of.store, "wide"), LS_ERR_NOT_FOUND);
        assert_quick(ls_stream_delete(of.store, "other"), LS_OK);
        assert_quick(ls_store_maintain(of.store, -1), LS_OK); /* ... and leaves alone what is being made */
        assert_int_equal(count_names(fx, "new-"), 1);
        assert_int_equal(kill(pid, SIGCONT), 0);
        child_ends_well(pid);
        assert_int_equal(count_names(fx, "new-"), 0);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK); /* its id is lower than one that was given after it */
        use_wide(of.store, many != 0 ? WIDE : 4);
        assert_int_equal(ls_stream_delete(of.store, "wide"), LS_OK);
        assert_int_equal(handles_close(&of), LS_OK);
    }
}

static void of_two_who_create_one_name_the_first_to_finish_has_it(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    handles of;
    pid_t pid;

    open_beside(&of, fx);
    pid = start_creator(fx, WIDE, 50, SIGSTOP, LS_ERR_EXISTS);
    child_stops(pid);
    options.shard_count = 3;
    assert_quick(ls_stream_create(of.store, "wide", &options), LS_OK);
    use_wide(of.store, 3);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(count_names(fx, "new-"), 0); /* it cleaned up */
    assert_int_equal(count_names(fx, "aside-"), 0);
    assert_int_equal(handles_close(&of), LS_OK);
    open_beside(&of, fx);
    assert_int_equal(ls_stream_delete(of.store, "wide"), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Killed at the 1st, 2nd, ... call that changes the disk: others go on within a second, and upkeep removes the rest. */
static void what_a_dead_creator_leaves_is_removed(void **state)
{
    fixture *fx = *state;
    handles of;
    int status = 1;

    open_beside(&of, fx);
    for (int64_t calls = 0; status != 0; calls++) {
        bool made;

        status = child_end(start_creator(fx, 3, calls, SIGKILL, LS_OK));
        if (!WIFSIGNALED(status)) { /* Too few calls to die in. */
            assert_true(calls > 15);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        int64_t from = now_ms();
        assert_int_equal(ls_stream_create(of.store, "next", NULL), LS_OK);
        assert_int_equal(ls_stream_delete(of.store, "next"), LS_OK);
        assert_in_range(now_ms() - from, 0, 1000);
        ls_status st = ls_stream_delete(of.store, "wide");
        made = st == LS_OK;
        assert_true(made || st == LS_ERR_NOT_FOUND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_int_equal(count_names(fx, "new-"), 0);
        assert_int_equal(count_names(fx, "aside-"), 0); /* his directory had just got its name */
        /* The stream of handles_open, and nothing else that is a stream's. */
        unsigned directories = 0;
        for (char digit[2] = "1"; digit[0] <= '9'; digit[0]++)
            directories += count_names(fx, digit);
        assert_int_equal(directories, 1);
        assert_true(calls < 500);
    }
    assert_int_equal(put_text(&of, "still", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The same in the middle of a wide one, and somebody else makes a stream under the same id meanwhile. */
static void the_id_of_a_dead_creator_is_used_again(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    handles of;

    open_beside(&of, fx);
    for (int64_t calls = 2; calls < 82; calls += 13) {
        assert_true(WIFSIGNALED(child_end(start_creator(fx, WIDE, calls, SIGKILL, LS_OK))));
        assert_int_equal(count_names(fx, "new-"), 1);
        options.shard_count = WIDE + 1;
        assert_int_equal(ls_stream_create(of.store, "wide", &options), LS_OK);
        assert_int_equal(count_names(fx, "new-"), 0); /* it was of this id */
        use_wide(of.store, WIDE + 1);
        assert_int_equal(ls_stream_delete(of.store, "wide"), LS_OK);
    }
    assert_int_equal(handles_close(&of), LS_OK);
}

/* At the very end the lock is held, for some syncs: who is stopped then is waited for, no longer than asked. */
static void a_creator_stopped_at_the_end_makes_creating_busy(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;
    bool busy = false;

    open_beside(&of, fx);
    for (int64_t calls = 0; !busy; calls++) {
        pid = start_creator(fx, 1, calls, SIGSTOP, LS_OK);
        child_stops(pid);
        int64_t from = now_ms();
        ls_status st = ls_stream_create(of.store, "other", NULL);
        busy = st == LS_ERR_BUSY;
        assert_true(busy || st == LS_OK);
        assert_in_range(now_ms() - from, busy ? BUSY_MS - 20 : 0, busy ? BUSY_MS + 1800 : QUICK_MS);
        assert_int_equal(put_text(&of, "beside", NULL), LS_OK);
        assert_int_equal(kill(pid, SIGCONT), 0);
        child_ends_well(pid);
        assert_int_equal(ls_stream_delete(of.store, "wide"), LS_OK);
        assert_int_equal(ls_stream_delete(of.store, "other"), busy ? LS_ERR_NOT_FOUND : LS_OK);
    }
    assert_int_equal(count_names(fx, "new-"), 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A claim is also good against threads of the same process, and against other opens in it. */
static void a_claim_holds_within_a_process(void **state)
{
    fixture *fx = *state;
    handles of;
    lsi_claim first, second, third;

    open_beside(&of, fx);
    const lsi_env *env = &lsi_local_of(of.store->engine)->base.env;
    const lsi_root *root = &lsi_local_of(of.store->engine)->root;
    assert_int_equal(lsi_control_claim(env, root, 7, 9, &first), LS_OK);
    assert_int_equal(first.id, 7);
    assert_int_equal(lsi_control_claim(env, root, 7, 7, &second), LS_ERR_BUSY);
    assert_int_equal(lsi_control_claim(env, root, 7, 9, &second), LS_OK);
    assert_int_equal(second.id, 8);
    lsi_control_claim_release(&first);
    assert_int_equal(lsi_control_claim(env, root, 7, 9, &third), LS_OK);
    assert_int_equal(third.id, 7);
    lsi_control_claim_release(&second);
    lsi_control_claim_release(&third);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- deleters ---- */

/* As the plan's countdown, for calls that remove files and directories of streams. */
static int64_t the_removals;
static int (*unlink_before)(const lsi_root *root, const char *name);
static int (*remove_dir_before)(const lsi_root *root, const char *name);

static int dying_unlink(const lsi_root *root, const char *name)
{
    if (*name >= '1' && *name <= '9' && the_removals-- == 0)
        (void)raise(SIGKILL);
    return unlink_before(root, name);
}

static int dying_remove_dir(const lsi_root *root, const char *name)
{
    if (the_removals-- == 0)
        (void)raise(SIGKILL);
    return remove_dir_before(root, name);
}

static void delete_in_child(fixture *fx)
{
    int64_t removals = the_removals;
    ls_store *store;

    hooked_files_init(&the_plan.files, NULL, NULL, NULL);
    unlink_before = the_plan.files.table.unlink;
    remove_dir_before = the_plan.files.table.remove_dir;
    the_plan.files.table.unlink = dying_unlink;
    the_plan.files.table.remove_dir = dying_remove_dir;
    the_removals = INT64_MAX;
    child_check(open_hooked(fx->path, NULL, &the_plan.files, &store) == LS_OK);
    the_removals = removals;
    child_check(ls_stream_delete(store, "wide") == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

static void make_wide(const fixture *fx, uint32_t shards)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_store *store;

    options.shard_count = shards;
    assert_int_equal(ls_store_open(fx->path, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "wide", &options), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static unsigned count_streams(const fixture *fx)
{
    unsigned count = 0;

    for (char digit[2] = "1"; digit[0] <= '9'; digit[0]++)
        count += count_names(fx, digit);
    return count;
}

/* A monotonic clock that `the_ahead_us` is added to, and `the_step_us` whenever it is looked at. */
static int64_t the_ahead_us, the_step_us;

static int64_t pushed_wall(void *user)
{
    (void)user;
    return lsi_wall_us(&lsi_clock_system);
}

static int64_t pushed_monotonic(void *user)
{
    (void)user;
    the_ahead_us += the_step_us;
    return lsi_monotonic_us(&lsi_clock_system) + the_ahead_us;
}

static ls_status open_pushed(const fixture *fx, ls_store **out)
{
    lsi_env env;

    lsi_env_default(&env);
    env.clock = (lsi_clock){pushed_wall, pushed_monotonic, NULL, NULL};
    return lsi_store_open_env(fx->path, NULL, &env, out);
}

/* Nobody calls ls_store_maintain. Method: killed at the 1st, 2nd, ... removal; then the store is opened by somebody who
 * is alone, as a program that is started again does. */
static void what_a_dead_deleter_leaves_is_removed_by_who_opens(void **state)
{
    fixture *fx = *state;
    handles of;

    open_beside(&of, fx);
    assert_int_equal(handles_close(&of), LS_OK);
    for (int64_t removals = 0;; removals++) {
        make_wide(fx, 3);
        the_removals = removals;
        int status = child_end(child_start(delete_in_child, fx));
        if (!WIFSIGNALED(status)) { /* Too few calls to die in. */
            assert_int_equal(status, 0);
            assert_true(removals >= 10);
            break;
        }
        assert_int_equal(count_streams(fx), 2);
        /* Pieces of 10 ms: a machine with much else to do takes a few. */
        for (int opens = 0; count_streams(fx) > 1 && opens < 50; opens++) {
            open_beside(&of, fx);
            assert_int_equal(handles_close(&of), LS_OK);
        }
        assert_int_equal(count_streams(fx), 1);
    }
    open_beside(&of, fx);
    assert_int_equal(put_text(&of, "still", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The same by one who has had the store open all the time, and puts: a minute later. */
static void what_a_dead_deleter_leaves_is_removed_by_who_puts(void **state)
{
    fixture *fx = *state;
    handles of;

    make_wide(fx, 3);
    the_ahead_us = the_step_us = 0;
    memset(&of, 0, sizeof of);
    assert_int_equal(open_pushed(fx, &of.store), LS_OK);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    the_removals = 4;
    assert_true(WIFSIGNALED(child_end(child_start(delete_in_child, fx))));
    for (int i = 0; i < 200; i++)
        assert_int_equal(put_text(&of, "soon", NULL), LS_OK);
    assert_int_equal(count_streams(fx), 2);
    for (int pieces = 0; count_streams(fx) > 1 && pieces < 50; pieces++) {
        the_ahead_us += INT64_C(61000000);
        for (int i = 0; i < 100; i++)
            assert_int_equal(put_text(&of, "later", NULL), LS_OK);
    }
    assert_int_equal(count_streams(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Who comes for something else does a piece only. Method: each look at the clock takes a millisecond. */
static void an_open_removes_a_piece_of_it(void **state)
{
    fixture *fx = *state;
    ls_store *store;
    int opens = 0;

    make_wide(fx, WIDE);
    the_removals = 0;
    assert_true(WIFSIGNALED(child_end(child_start(delete_in_child, fx))));
    the_ahead_us = 0;
    the_step_us = 1000;
    for (; count_streams(fx) > 0 && opens < 200; opens++) {
        assert_int_equal(open_pushed(fx, &store), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    assert_in_range(opens, WIDE * 2 / 20, 199); /* Of each shard a file and a directory, at least, and 10 ms in all. */
    assert_int_equal(count_streams(fx), 0);
    the_step_us = 0;
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_creator_that_works_stops_nobody),
        CASE(of_two_who_create_one_name_the_first_to_finish_has_it),
        CASE(what_a_dead_creator_leaves_is_removed),
        CASE(the_id_of_a_dead_creator_is_used_again),
        CASE(a_creator_stopped_at_the_end_makes_creating_busy),
        CASE(a_claim_holds_within_a_process),
        CASE(what_a_dead_deleter_leaves_is_removed_by_who_opens),
        CASE(what_a_dead_deleter_leaves_is_removed_by_who_puts),
        CASE(an_open_removes_a_piece_of_it),
    };

    return cmocka_run_group_tests_name("creators and deleters at work, stopped and dead (P1, P2, D6, R6)", tests, NULL,
                                       NULL);
}
