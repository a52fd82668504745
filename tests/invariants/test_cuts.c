/* Trimming waits for no reader, and what it took from one before it had read it is counted: for all processes together,
 * of the stream, and of a registered consumer by itself; whatever process trimmed, whatever process lost. With one line
 * for the log of the process whose reader was told. */
#include "invariants/clocked.h"

#include <libstream/unstable/inspect.h>

#define CONSUMER "fan"
#define FIRST 21u /* of 30 records, a minute apart, the first that is left when 20 min 30 s more have passed an hour */

static void overtake(const handles *of)
{
    pass(50 * 60 * SECOND + 30 * SECOND);
    assert_int_equal(ls_store_maintain(of->store, -1), LS_OK);
}

static ls_stream_cuts cuts_of(ls_stream *stream)
{
    ls_stream_cuts cuts = LS_STREAM_CUTS_INIT;
    ls_stream_description *about;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_cuts(about, &cuts), LS_OK);
    ls_stream_description_free(about);
    return cuts;
}

static ls_consumer_info consumer_of(ls_stream *stream, const char *name)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;

    assert_int_equal(ls_consumer_describe(stream, name, &info), LS_OK);
    return info;
}

static void take_status(const ls_inspect_stream *stream, void *user)
{
    *(ls_inspect_stream *)user = *stream;
}

/* ---- those that lose, in processes of their own ---- */

static _Atomic int lines; /* of the child that counts them */

static void note_line(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level == LS_LOG_WARNING && strstr(line, "overtaken by trimming: up to 20 records") != NULL)
        atomic_fetch_add(&lines, 1);
}

static ls_store *open_beside(const fixture *fx, uint32_t flags)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    lsi_env env;

    lsi_env_default(&env);
    env.clock = (lsi_clock){test_wall, test_monotonic, the_clock, NULL};
    options.log = note_line;
    options.flags = flags;
    child_check(lsi_store_open_env(fx->path, &options, &env, &store) == LS_OK);
    return store;
}

/* Reads one record, waits, is told, reads on. */
static void lose_with_an_iterator(fixture *fx)
{
    ls_store *store = open_beside(fx, LS_STORE_READ_ONLY);
    ls_iterator *iterator;
    ls_stream *stream;
    uint32_t n;

    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_iterator_open(stream, 0, NULL, NULL, &iterator) == LS_OK);
    child_check(next_one(iterator, &n) == LS_OK && n == 0);
    atomic_fetch_add(&fx->share->ready, 1);
    await(&fx->share->stage, 1);
    child_check(next_one(iterator, &n) == LS_ERR_TRIMMED);
    child_check(next_one(iterator, &n) == LS_OK && n == FIRST);
    child_check(atomic_load(&lines) == 1);
    ls_iterator_close(iterator);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

static ls_push_answer wait_with_the_first(const ls_batch *batch, void *user)
{
    fixture *fx = user;

    if (ls_batch_count(batch) != 0) {
        atomic_fetch_add(&fx->share->ready, 1);
        await(&fx->share->stage, 1);
    }
    return LS_PUSH_DONE;
}

static void lose_with_a_subscription(fixture *fx)
{
    ls_store *store = open_beside(fx, LS_STORE_CONSUME_ONLY);
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
    ls_consumer *consumer;
    ls_stream *stream;

    options.records_max = 1;
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_consumer_open(stream, CONSUMER, &consumer) == LS_OK);
    child_check(ls_consumer_subscribe(consumer, 0, NULL, &options, wait_with_the_first, fx) == LS_ERR_TRIMMED);
    child_check(ls_consumer_close(consumer) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* ---- what is counted ---- */

static void what_readers_of_all_processes_lost_is_counted(void **state)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    ls_inspect_stream shown = {0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    pid_t losers[3];

    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, "idle", NULL), LS_OK);
    put_minutes(&of, 0, 30);
    losers[0] = child_start(lose_with_an_iterator, fx);
    losers[1] = child_start(lose_with_an_iterator, fx);
    losers[2] = child_start(lose_with_a_subscription, fx);
    await(&fx->share->ready, 3);
    assert_int_equal(cuts_of(of.stream).count, 0);
    assert_int_equal(cuts_of(of.stream).last_us, 0);
    overtake(&of);
    assert_int_equal(cuts_of(of.stream).count, 0); /* Nobody has noticed yet, and they may never read on. */
    atomic_store(&fx->share->stage, 1);
    for (int i = 0; i < 3; i++)
        child_ends_well(losers[i]);

    ls_stream_cuts cuts = cuts_of(of.stream);
    assert_int_equal(cuts.count, 3);
    assert_int_equal(cuts.records, 3 * 20);
    assert_in_range(cuts.bytes, 3 * 20 * 20000, 3 * 20 * 20200);
    assert_in_range(cuts.lag_ms, 3 * 20 * 60000, 3 * 21 * 60000);
    assert_int_equal(cuts.last_us, test_wall(the_clock));
    ls_consumer_info info = consumer_of(of.stream, CONSUMER);
    assert_int_equal(info.cut_count, 1);
    assert_int_equal(info.cut_records, 20);
    assert_int_equal(info.cut_bytes, cuts.bytes / 3);
    assert_int_equal(info.cut_lag_ms, cuts.lag_ms / 3);
    assert_int_equal(info.cut_last_us, cuts.last_us);
    assert_int_equal(consumer_of(of.stream, "idle").cut_count, 0);
    callbacks.stream = take_status;
    assert_int_equal(ls_inspect_status(fx->path, &callbacks, &shown), LS_OK);
    assert_int_equal(shown.cut_count, 3);
    assert_int_equal(shown.cut_records, cuts.records);
    assert_int_equal(shown.cut_bytes, cuts.bytes);
    assert_int_equal(shown.cut_lag_ms, cuts.lag_ms);
    assert_int_equal(shown.cut_last_us, cuts.last_us);

    /* With all processes gone, too; but not for who is registered anew. */
    assert_int_equal(handles_close(&of), LS_OK);
    of = open_all(fx, 1);
    assert_int_equal(cuts_of(of.stream).count, 3);
    assert_int_equal(consumer_of(of.stream, CONSUMER).cut_count, 1);
    assert_int_equal(ls_consumer_deregister(of.stream, CONSUMER), LS_OK);
    assert_int_equal(ls_consumer_register(of.stream, CONSUMER, NULL), LS_OK);
    assert_int_equal(consumer_of(of.stream, CONSUMER).cut_count, 0);
    assert_int_equal(cuts_of(of.stream).count, 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Of a place that was gone when the reader began nobody knows more than the numbers. */
static void of_a_place_that_was_gone_only_the_numbers_are_known(void **state)
{
    ls_position first = {LS_AT_SEQUENCE_NUMBER, 0, 1, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *iterator;
    uint32_t n;

    put_minutes(&of, 0, 30);
    overtake(&of);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK); /* asked for no more than there is */
    assert_int_equal(next_one(iterator, &n), LS_OK);
    ls_iterator_close(iterator);
    assert_int_equal(cuts_of(of.stream).count, 0);
    assert_int_equal(ls_iterator_open(of.stream, 0, &first, NULL, &iterator), LS_OK);
    assert_int_equal(next_one(iterator, &n), LS_ERR_TRIMMED);
    ls_iterator_close(iterator);
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(cuts_of(of.stream).records, FIRST);
    assert_int_equal(cuts_of(of.stream).bytes, 0);
    assert_int_equal(cuts_of(of.stream).lag_ms, 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Retention is exact by record: what is past it is in its file still, and says when it arrived. */
static void the_lag_of_who_was_given_nothing_is_that_of_its_place(void **state)
{
    ls_position at = {LS_AT_SEQUENCE_NUMBER, 0, 0, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_next_options one = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    const ls_batch *batch;
    uint32_t n;

    put_minutes(&of, 0, 3);
    one.records_max = 2;
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, &one, &batch), LS_OK);
    at.seqno = ls_batch_at(batch, 1)->seqno;
    ls_iterator_close(iterator);
    assert_int_equal(ls_iterator_open(of.stream, 0, &at, NULL, &iterator), LS_OK);
    pass(2 * HOUR);
    assert_int_equal(next_one(iterator, &n), LS_ERR_TRIMMED);
    ls_iterator_close(iterator);
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(cuts_of(of.stream).records, 2);
    assert_int_equal(cuts_of(of.stream).lag_ms, 62 * 60000); /* It came in minute 1; kept is what came from 63 on. */
    assert_int_equal(handles_close(&of), LS_OK);
}

/* No number below a child's first one was ever there. */
static void a_number_below_a_childs_first_is_no_loss_of_more(void **state)
{
    ls_position first = {LS_AT_SEQUENCE_NUMBER, 0, 1, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *iterator;
    uint32_t child, n;

    put_minutes(&of, 0, 1);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, &child, NULL), LS_OK);
    put_minutes(&of, 1, 31);
    overtake(&of);
    assert_int_equal(ls_iterator_open(of.stream, child, &first, NULL, &iterator), LS_OK);
    assert_int_equal(next_one(iterator, &n), LS_ERR_TRIMMED);
    assert_int_equal(cuts_of(of.stream).records, FIRST);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A shard that went whole under the reader of all of them: once, and how much nobody knows. */
static void a_shard_that_went_whole_is_counted(void **state)
{
    ls_next_options poll = LS_NEXT_OPTIONS_INIT;
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    const ls_batch *batch;
    ls_iterator *merged;

    put_minutes(&of, 0, 3);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &merged), LS_OK);
    poll.records_max = 1;
    assert_int_equal(ls_iterator_next(merged, &poll, &batch), LS_OK);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass(2 * HOUR);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        pass(61 * SECOND);
    }
    assert_int_equal(ls_iterator_next(merged, &poll, &batch), LS_ERR_TRIMMED);
    assert_int_equal(ls_iterator_next(merged, &poll, &batch), LS_OK);
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(cuts_of(of.stream).records, 0);
    ls_iterator_close(merged);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Finishes as many records, one at a time, as `*user` says; then the run stops. */
static ls_handler_answer finish_some(const ls_batch *batch, ls_handler_context *context, void *user)
{
    uint32_t *left = user;

    (void)batch;
    (void)context;
    return (*left)-- > 0 ? LS_HANDLER_DONE : LS_HANDLER_STOP;
}

/* Where a mapping had stopped is gone when it runs again: it goes on at the oldest, and what it lost is known. */
static void what_a_mapping_lost_is_counted(void **state)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_position horizon = {LS_TRIM_HORIZON, 0, 0, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_mapping *mapping;
    uint32_t left = 1;

    options.records_max = 1;
    assert_int_equal(ls_mapping_create(of.stream, "m", &horizon, &options), LS_OK);
    put_minutes(&of, 0, 30);
    assert_int_equal(ls_mapping_open(of.stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, NULL, finish_some, &left), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(cuts_of(of.stream).count, 0);
    overtake(&of);
    left = 100;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(of.stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &how, finish_some, &left), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(left, 100 - (30 - FIRST));
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(cuts_of(of.stream).records, FIRST - 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void run_on(const handles *of, uint32_t *left)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping;

    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(of->stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &how, finish_some, left), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
}

/* What was there when the mapping was made is its to read, also when nobody had come to it yet; what was gone before is
 * not. Who only looks has lost nothing. */
static void what_a_mapping_lost_before_it_began_is_counted(void **state)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_position horizon = {LS_TRIM_HORIZON, 0, 0, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list;
    uint32_t left = 100;

    options.records_max = 1;
    put_minutes(&of, 0, 30);
    assert_int_equal(ls_mapping_create(of.stream, "m", &horizon, &options), LS_OK);
    overtake(&of);
    assert_int_equal(ls_mapping_create(of.stream, "late", &horizon, &options), LS_OK);
    assert_int_equal(ls_stream_list_leases(of.stream, "m", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    assert_int_equal(info.state, LS_LEASE_NOT_BEGUN);
    assert_true(info.millis_behind_latest > 59 * 60 * 1000);
    ls_lease_list_free(list);
    assert_int_equal(cuts_of(of.stream).count, 0);
    run_on(&of, &left);
    assert_int_equal(left, 100 - (30 - FIRST));
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(cuts_of(of.stream).records, FIRST);
    assert_int_equal(ls_mapping_delete(of.stream, "m"), LS_OK);
    assert_int_equal(ls_mapping_create(of.stream, "m", &horizon, &options), LS_OK);
    run_on(&of, &left);
    assert_int_equal(cuts_of(of.stream).count, 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A child lost records before its parent was worked on to its end, and another parent went whole. */
static void what_a_mapping_lost_of_children_is_counted(void **state)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_position horizon = {LS_TRIM_HORIZON, 0, 0, 0};
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    uint32_t left = 100, child;

    options.records_max = 1;
    assert_int_equal(ls_mapping_create(of.stream, "m", &horizon, &options), LS_OK);
    put_minutes(&of, 0, 1);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, &child, NULL), LS_OK);
    put_minutes(&of, child, 30);
    overtake(&of);
    run_on(&of, &left);
    assert_int_equal(left, 100 - (30 - FIRST));
    assert_int_equal(cuts_of(of.stream).count, 2); /* the parent, and the child */
    assert_int_equal(cuts_of(of.stream).records, FIRST - 1); /* of the child */
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_size_that_was_not_set_is_refused(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_stream_description *about;
    ls_stream_cuts cuts = {0};

    assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_cuts(about, &cuts), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_description_cuts(about, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_description_cuts(NULL, &cuts), LS_ERR_INVALID_ARGUMENT);
    ls_stream_description_free(about);
    assert_int_equal(handles_close(&of), LS_OK);
}

static ls_window_answer take_nothing(const ls_window_result *result, void *user)
{
    (void)result;
    (void)user;
    return LS_WINDOW_GO_ON;
}

static void a_window_operator_goes_on_behind_what_it_lost(void **state)
{
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window_info info = LS_WINDOW_INFO_INIT;
    handles of = open_all(*state, 1);
    ls_window *window;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = INT64_C(1) << 50;
    options.flags = LS_WINDOW_ONE_KEY;
    options.result = take_nothing;
    run.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_window_open(of.stream, "sums", &options, &window), LS_OK);
    put_minutes(&of, 0, 5);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    put_minutes(&of, 5, 30);
    overtake(&of);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    assert_int_equal(ls_window_describe(window, &info), LS_OK);
    assert_int_equal(info.cut_count, 1);
    assert_int_equal(info.added_count, 5 + 30 - FIRST);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    assert_int_equal(ls_window_describe(window, &info), LS_OK);
    assert_int_equal(info.cut_count, 1);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(what_readers_of_all_processes_lost_is_counted),
        T(of_a_place_that_was_gone_only_the_numbers_are_known),
        T(the_lag_of_who_was_given_nothing_is_that_of_its_place),
        T(a_number_below_a_childs_first_is_no_loss_of_more),
        T(a_shard_that_went_whole_is_counted),
        T(what_a_mapping_lost_is_counted),
        T(what_a_mapping_lost_before_it_began_is_counted),
        T(a_window_operator_goes_on_behind_what_it_lost),
        T(what_a_mapping_lost_of_children_is_counted),
        T(a_size_that_was_not_set_is_refused),
    };
    return cmocka_run_group_tests_name("what trimming takes from readers is counted", tests, NULL, NULL);
}
