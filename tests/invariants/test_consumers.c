/* Registered consumers among processes (P1, P2, P6): who dies while he registers delays nobody and leaves it done or
 * not; two who register at once both get what they asked for, or one the other's name; a subscription is one for all
 * processes, is taken over from a stopped one, and ends with its process. */
#include "invariants/dying.h"

#include <errno.h>

#define CONSUMER "reports"
#define NAMES_EACH 10

static char the_name[16];

static ls_store *open_plain(const fixture *fx, ls_stream **stream)
{
    ls_store *store = NULL;

    if (open_hooked(fx->path, NULL, NULL, &store) != LS_OK || ls_stream_open(store, STREAM, stream) != LS_OK)
        return NULL;
    return store;
}

static void close_plain(ls_store *store, ls_stream *stream)
{
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static uint32_t count_consumers(ls_stream *stream)
{
    ls_consumer_list *list = NULL;
    uint32_t count;

    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    count = ls_consumer_list_count(list);
    ls_consumer_list_free(list);
    return count;
}

/* ---- registering ---- */

static void register_and_die(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, die_before, die_behind, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_consumer_register(of.stream, the_name, NULL) == LS_OK);
    the_plan.armed = false;
    child_check(handles_close(&of) == LS_OK);
}

/* A process dies at its 1st, 2nd, ... Nth call of registering. Another, which has the store open, goes on at once. */
static void a_registrar_that_dies_at_any_call_delays_nobody(void **state)
{
    fixture *fx = *state;
    uint32_t done = 0, undone = 0;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (int where = 0; where < 3; where++) {
        int status = 1;

        for (int64_t calls = 0; status != 0; calls++) {
            ls_consumer_info info = LS_CONSUMER_INFO_INIT;
            int64_t from;
            ls_status st;

            (void)snprintf(the_name, sizeof the_name, "c%d.%d", where, (int)calls);
            the_plan.countdown = calls;
            the_plan.where = where;
            status = child_end(child_start(register_and_die, fx));
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            from = now_ms();
            st = ls_consumer_describe(of.stream, the_name, &info);
            assert_true(st == LS_OK || (st == LS_ERR_NOT_FOUND && status != 0));
            done += st == LS_OK;
            undone += st != LS_OK;
            assert_int_equal(ls_consumer_register(of.stream, the_name, NULL), st == LS_OK ? LS_ERR_EXISTS : LS_OK);
            assert_int_equal(ls_consumer_deregister(of.stream, the_name), LS_OK);
            assert_in_range(now_ms() - from, 0, 1000);
            assert_int_equal(count_consumers(of.stream), 0);
            assert_true(calls < 200);
        }
    }
    assert_true(done > 3 && undone > 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void register_many(fixture *fx)
{
    uint32_t me = atomic_fetch_add(&fx->share->ready, 1);
    uint32_t won = 0;
    ls_stream *stream = NULL;
    ls_store *store = open_plain(fx, &stream);

    child_check(store != NULL);
    await(&fx->share->ready, 2);
    for (int i = 0; i < NAMES_EACH - 1; i++) {
        char name[32];
        ls_status st;

        (void)snprintf(name, sizeof name, "own-%u-%d", me, i);
        child_check(ls_consumer_register(stream, name, NULL) == LS_OK);
        st = ls_consumer_register(stream, "both", NULL);
        child_check(st == LS_OK || st == LS_ERR_EXISTS);
        won += st == LS_OK;
    }
    (void)atomic_fetch_add(&fx->share->acknowledged, won);
    child_check(ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK);
}

static void two_who_register_at_once_lose_nothing(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_store *store;
    handles of;
    pid_t children[2];

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    for (int i = 0; i < 2; i++)
        children[i] = child_start(register_many, fx);
    for (int i = 0; i < 2; i++)
        child_ends_well(children[i]);
    assert_int_equal(atomic_load(&fx->share->acknowledged), 1); /* the name that both wanted */
    store = open_plain(fx, &stream);
    assert_non_null(store);
    assert_int_equal(count_consumers(stream), 2 * (NAMES_EACH - 1) + 1);
    close_plain(store, stream);
}

/* ---- subscribing ---- */

static ls_push_answer note(const ls_batch *batch, void *user)
{
    shared *share = user;

    if (ls_batch_count(batch) == 0)
        (void)atomic_fetch_add(&share->stage, 1);
    (void)atomic_fetch_add(&share->acknowledged, ls_batch_count(batch));
    return LS_PUSH_DONE;
}

/* Subscribes until something ends it, and says what. */
static void subscribe_until_ended(fixture *fx)
{
    ls_consumer *consumer = NULL;
    ls_stream *stream = NULL;
    ls_store *store = open_plain(fx, &stream);
    ls_status st;

    child_check(store != NULL && ls_consumer_open(stream, CONSUMER, &consumer) == LS_OK);
    st = ls_consumer_subscribe(consumer, 0, NULL, NULL, note, fx->share);
    atomic_store(&fx->share->ready, (uint32_t)st);
    child_check(ls_consumer_close(consumer) == LS_OK && ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

static ls_push_answer stop_at_once(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return LS_PUSH_STOP;
}

static ls_status subscribe_here(ls_consumer *consumer)
{
    return ls_consumer_subscribe(consumer, 0, NULL, NULL, stop_at_once, NULL);
}

static void a_subscription_ends_with_its_process(void **state)
{
    fixture *fx = *state;
    ls_consumer *consumer = NULL;
    handles of;
    pid_t child;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    assert_int_equal(ls_consumer_open(of.stream, CONSUMER, &consumer), LS_OK);
    child = child_start(subscribe_until_ended, fx);
    await(&fx->share->stage, 1);
    assert_int_equal(subscribe_here(consumer), LS_ERR_STATE);
    (void)kill(child, SIGKILL);
    (void)child_end(child);
    assert_int_equal(subscribe_here(consumer), LS_OK); /* at once */
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void records_of_one_process_are_pushed_in_another_until_it_is_deregistered(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t child;
    int64_t from;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    child = child_start(subscribe_until_ended, fx);
    await(&fx->share->stage, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(put_text(&of, "text", NULL), LS_OK);
    for (from = now_ms(); atomic_load(&fx->share->acknowledged) < 50;) {
        assert_in_range(now_ms() - from, 0, 10000);
        (void)usleep(500);
    }
    from = now_ms();
    assert_int_equal(ls_consumer_deregister(of.stream, CONSUMER), LS_OK);
    child_ends_well(child);
    assert_in_range(now_ms() - from, 0, 2000);
    assert_int_equal(atomic_load(&fx->share->ready), LS_ERR_NOT_FOUND);
    assert_int_equal(atomic_load(&fx->share->acknowledged), 50);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* P2: a stopped subscriber keeps the others away for 5 seconds, and finds that it was replaced when it goes on. */
static void a_stopped_subscriber_is_taken_over_from(void **state)
{
    fixture *fx = *state;
    ls_consumer *consumer = NULL;
    handles of;
    pid_t child;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    assert_int_equal(ls_consumer_open(of.stream, CONSUMER, &consumer), LS_OK);
    child = child_start(subscribe_until_ended, fx);
    await(&fx->share->stage, 1);
    (void)usleep(50000); /* He sleeps by now, and is not about to push what he has looked at. */
    (void)kill(child, SIGSTOP);
    child_stops(child);
    assert_int_equal(subscribe_here(consumer), LS_ERR_STATE);
    (void)usleep(5100000);
    assert_int_equal(subscribe_here(consumer), LS_OK);
    assert_int_equal(put_text(&of, "text", NULL), LS_OK);
    (void)kill(child, SIGCONT);
    child_ends_well(child);
    assert_int_equal(atomic_load(&fx->share->ready), LS_ERR_LEASE_LOST);
    assert_int_equal(atomic_load(&fx->share->acknowledged), 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

static int (*real_open)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);

static int open_no_control(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    if (strcmp(name, "control") == 0 && (flags & LSI_OPEN_WRITE) != 0)
        return -EACCES;
    return real_open(root, name, flags, out);
}

static void subscribe_without_a_control_file(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_consumer *consumer = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_status st;

    hooked_files_init(&the_plan.files, NULL, NULL, NULL);
    real_open = the_plan.files.table.open;
    the_plan.files.table.open = open_no_control;
    options.flags = LS_STORE_READ_ONLY;
    child_check(open_hooked(fx->path, &options, &the_plan.files, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_consumer_open(stream, CONSUMER, &consumer) == LS_OK);
    st = ls_consumer_subscribe(consumer, 0, NULL, NULL, note, fx->share);
    atomic_store(&fx->share->ready, (uint32_t)st);
    child_check(ls_consumer_close(consumer) == LS_OK && ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* One who may not write the control file knows nothing of others' subscriptions; but he gets what they put, and is told
 * when his consumer is deregistered. */
static void one_without_a_control_file_is_told_of_deregistering(void **state)
{
    fixture *fx = *state;
    ls_consumer *consumer = NULL;
    handles of;
    pid_t child;
    int64_t from;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    child = child_start(subscribe_without_a_control_file, fx);
    await(&fx->share->stage, 1);
    assert_int_equal(put_text(&of, "text", NULL), LS_OK);
    for (from = now_ms(); atomic_load(&fx->share->acknowledged) < 1;) {
        assert_in_range(now_ms() - from, 0, 10000);
        (void)usleep(500);
    }
    assert_int_equal(ls_consumer_open(of.stream, CONSUMER, &consumer), LS_OK);
    assert_int_equal(subscribe_here(consumer), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    from = now_ms();
    assert_int_equal(ls_consumer_deregister(of.stream, CONSUMER), LS_OK);
    child_ends_well(child);
    assert_in_range(now_ms() - from, 0, 2000);
    assert_int_equal(atomic_load(&fx->share->ready), LS_ERR_NOT_FOUND);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A store opened for reading has subscriptions with the others, as long as it may write the control file. */
static void one_who_only_consumes_takes_part(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_consumer *consumer = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    handles of;
    pid_t child;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    child = child_start(subscribe_until_ended, fx);
    await(&fx->share->stage, 1);
    options.flags = LS_STORE_CONSUME_ONLY;
    assert_int_equal(open_hooked(fx->path, &options, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_consumer_open(stream, CONSUMER, &consumer), LS_OK);
    assert_int_equal(subscribe_here(consumer), LS_ERR_STATE);
    (void)kill(child, SIGKILL);
    (void)child_end(child);
    assert_int_equal(subscribe_here(consumer), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    close_plain(store, stream);
    assert_int_equal(handles_close(&of), LS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_registrar_that_dies_at_any_call_delays_nobody),
        TEST(two_who_register_at_once_lose_nothing),
        TEST(a_subscription_ends_with_its_process),
        TEST(records_of_one_process_are_pushed_in_another_until_it_is_deregistered),
        TEST(a_stopped_subscriber_is_taken_over_from),
        TEST(one_who_only_consumes_takes_part),
        TEST(one_without_a_control_file_is_told_of_deregistering),
    };

    return cmocka_run_group_tests_name("consumers among processes", tests, NULL, NULL);
}
