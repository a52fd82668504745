/* LS_MAPPING_DEAGGREGATE: batches, lanes, filters, failures and progress are of user records. Kills within an aggregate
 * are in tests/invariants/test_aggregates.c. */
#include "api/mapping_support.h"
#include "support/one_window.h"

/* Records with their number as data, `together` of them in each record that is put. */
static void put_packed(ls_stream *stream, uint32_t from, uint32_t to, uint32_t keys, uint32_t together)
{
    ls_producer *producer = NULL;
    ls_aggregate *aggregate;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    for (uint32_t i = from; i < to; i++) {
        char key[16], data[16];
        ls_put_entry entry, packed;
        int32_t fits;

        snprintf(key, sizeof key, "k%u", i % keys);
        snprintf(data, sizeof data, "%u", i);
        entry = (ls_put_entry){text(key), text(data), NULL};
        assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
        assert_int_equal(fits, 1);
        if (ls_aggregate_count(aggregate) < together && i + 1 < to)
            continue;
        assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
        assert_int_equal(ls_producer_put(producer, packed.partition_key, packed.data, NULL, NULL), LS_OK);
        ls_aggregate_clear(aggregate);
    }
    ls_aggregate_close(aggregate);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static ls_mapping_options unfolding(uint32_t records_max)
{
    ls_mapping_options options = defaults();

    options.flags = LS_MAPPING_DEAGGREGATE;
    options.records_max = records_max;
    return options;
}

static void user_records_are_handled_once_and_in_order(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(10);
    ls_mapping_description *description;
    run *of;

    for (uint32_t i = 0; i < 300; i += 100) {
        put_packed(stream, i, i + 37, 20, 7);
        put_packed(stream, i + 37, i + 60, 20, 23);
        put_numbers(stream, i + 60, i + 100, 20);
    }
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_now(of);
    assert_all_once_in_order(of, 300, 20);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(of->numbers[i], i);
    assert_int_equal(of->largest, 10);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, UINT32_MAX); /* all of the last record */
    run_free(of);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK); /* The setting is kept. */
    options = defaults();
    assert_int_equal(ls_mapping_description_options(description, &options), LS_OK);
    assert_int_equal(options.flags, LS_MAPPING_DEAGGREGATE);
    ls_mapping_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void aggregates_are_records_without_the_setting(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_packed(stream, 0, 100, 20, 10);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 10);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Lanes are chosen by the user record's own key: one aggregate is in all of them, and each key in order. */
static void lanes_are_those_of_user_keys(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(5);
    run *of;

    options.lane_count = 10;
    put_packed(stream, 0, 1000, 37, 250);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->random_sleep = 1;
    run_now(of);
    assert_all_once_in_order(of, 1000, 37);
    assert_true(of->overlaps > 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void filters_are_asked_of_user_records(void **state)
{
    static const char *const filters[] = {"{\"partitionKey\":[\"k1\"]}"};
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(100);
    run *of;

    if (strstr(ls_version_features(), "json") != NULL) {
        options.filters = filters;
        options.filter_count = 1;
        put_packed(stream, 0, 100, 10, 30);
        make_mapping(stream, &options);
        of = run_new(stream, "m");
        run_now(of);
        assert_int_equal(of->count, 10);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(of->numbers[i], 1 + 10 * i);
        assert_int_equal(of->invocations, 1);
        run_free(of);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A run ends within an aggregate: the next one goes on within it. */
static void progress_is_known_within_an_aggregate(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(10);
    ls_iterator_options unfold = LS_ITERATOR_OPTIONS_INIT;
    ls_lease_info lease;
    ls_iterator *iterator;
    const ls_batch *batch;
    run *of;

    put_packed(stream, 0, 100, 20, 100);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->stops_at = 35;
    run_now(of);
    assert_int_equal(of->count, 30);
    lease = look_at_lease(stream, 0);
    assert_int_equal(lease.state, LS_LEASE_BEGUN);
    assert_int_equal(lease.sub_seqno, 29);
    assert_int_equal(lease.position.kind, LS_AT_SEQUENCE_NUMBER);
    assert_int_equal(lease.position.seqno, lease.seqno);
    lease.position.sub_seqno = lease.sub_seqno + 1; /* as lease.h says */
    unfold.flags = LS_ITERATOR_DEAGGREGATE;
    assert_int_equal(ls_iterator_open(stream, 0, &lease.position, &unfold, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(number_of(ls_batch_at(batch, 0)), 30);
    ls_iterator_close(iterator);
    run_now(of);
    assert_all_once_in_order(of, 100, 20);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, UINT32_MAX);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_aggregate_that_was_begun_comes_whole_without_the_setting(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(10);
    run *of;

    put_packed(stream, 0, 100, 20, 100);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->stops_at = 35;
    run_now(of);
    options.flags = 0;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    run_now(of);
    assert_int_equal(of->count, 31);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, UINT32_MAX);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A user record that fails for ever is given up by itself, and those around it are handled once. */
static void a_user_record_fails_by_itself(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(40);
    run *of;

    options.flags |= LS_MAPPING_REPORT_FAILURES | LS_MAPPING_DISCARD_FAILED_ONLY;
    options.retries_max = LS_MAPPING_NO_RETRIES;
    put_packed(stream, 0, 100, 20, 100);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->reports = 57;
    run_now(of);
    assert_int_equal(of->count, 99);
    for (uint32_t i = 0; i < 99; i++)
        assert_int_equal(of->numbers[i], i < 57 ? i : i + 1);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 57);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Split in halves until the one that fails is alone. */
static void a_batch_of_user_records_is_split(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(100);
    run *of;

    options.flags |= LS_MAPPING_BISECT;
    options.retries_max = LS_MAPPING_NO_RETRIES;
    put_packed(stream, 0, 100, 20, 50);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 71;
    of->fail_times = 1000;
    run_now(of);
    assert_int_equal(of->count, 99);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 71);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The state of a window is stored with the user record up to which it counts. */
static void windows_count_user_records(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = unfolding(10);
    uint32_t counted = 0;
    run *of;

    wait_for_one_window();
    options.tumbling_window_s = 900;
    put_packed(stream, 0, 100, 20, 100);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->counts_windows = true;
    of->stops_at = 35;
    run_now(of);
    assert_int_equal(of->count, 30);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, 29);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK); /* The window ends with the shard. */
    run_now(of);
    assert_int_equal(of->count, 100);
    for (uint32_t i = 0; i < of->finals; i++)
        counted += of->final_counts[i];
    assert_int_equal(counted, 100);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct copying {
    ls_stream *out;
    uint32_t stops_at;
} copying;

/* What a handler puts is one step with the user records that it was given, the first ones of an aggregate. */
static ls_handler_answer copy(const ls_batch *batch, ls_handler_context *context, void *user)
{
    copying *of = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);

        if (number_of(record) == of->stops_at) {
            of->stops_at = NEVER;
            return LS_HANDLER_STOP;
        }
        if (ls_handler_put(context, i, of->out, record->partition_key, record->data, NULL) != LS_OK)
            return LS_HANDLER_RETRY;
    }
    return LS_HANDLER_DONE;
}

static void what_handlers_put_is_one_step_with_a_part(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1), *out = make_stream(*state, "out", 1);
    ls_mapping_options options = unfolding(10);
    copying how = {.stops_at = 35};
    ls_iterator *iterator;
    const ls_batch *batch;
    run *of;

    options.flags |= LS_MAPPING_EXACTLY_ONCE;
    put_packed(stream, 0, 100, 20, 100);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    how.out = out;
    assert_int_equal(ls_mapping_run(of->mapping, &of->options, copy, &how), LS_OK);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, 29);
    assert_int_equal(ls_mapping_run(of->mapping, &of->options, copy, &how), LS_OK);
    assert_int_equal(look_at_lease(stream, 0).sub_seqno, UINT32_MAX);
    assert_int_equal(ls_iterator_open(out, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 100);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(number_of(ls_batch_at(batch, i)), i);
    ls_iterator_close(iterator);
    run_free(of);
    assert_int_equal(ls_stream_close(out), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- random ---- */

/* Goal: whatever the settings, and however often runs stop or fail in between, every user record is handled, a key's in
 * order, and with one lane and without failures none twice, since each run goes on where the last one ended. */
static void whatever_happens_each_is_handled_in_order(void **state)
{
    srand(20);
    for (uint32_t round = 0; round < 6; round++) {
        ls_stream *stream = make_stream(*state, STREAM, 1);
        ls_mapping_options options = unfolding(1 + (uint32_t)rand() % 30);
        uint32_t put = 0;
        run *of;

        options.lane_count = round % 3 == 2 ? 4 : 1;
        options.flags |= round % 2 == 0 ? LS_MAPPING_BISECT : 0;
        make_mapping(stream, &options);
        of = run_new(stream, "m");
        while (put < 400) {
            uint32_t more = put + 1 + (uint32_t)rand() % 80;

            more = more > 400 ? 400 : more;
            put_packed(stream, put, more, 13, 1 + (uint32_t)rand() % 60);
            put = more;
            of->stops_at = rand() % 2 == 0 ? (uint32_t)rand() % put : NEVER;
            of->fails = options.lane_count == 1 && rand() % 6 == 0 ? (uint32_t)rand() % put : NEVER;
            of->fail_times = 1;
            run_now(of);
        }
        of->stops_at = of->fails = NEVER;
        run_now(of);
        if (options.lane_count == 1) {
            assert_all_once_in_order(of, 400, 13);
        } else { /* A stop may leave what another lane has finished behind the place. */
            uint32_t next[13];

            for (uint32_t key = 0; key < 13; key++)
                next[key] = key;
            for (uint32_t i = 0; i < of->count; i++) {
                assert_true(of->numbers[i] <= next[of->numbers[i] % 13]);
                next[of->numbers[i] % 13] += of->numbers[i] == next[of->numbers[i] % 13] ? 13 : 0;
            }
            for (uint32_t key = 0; key < 13; key++)
                assert_true(next[key] >= 400);
        }
        run_free(of);
        assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_stream_delete(((fixture *)*state)->store, STREAM), LS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(user_records_are_handled_once_and_in_order),
        TEST(aggregates_are_records_without_the_setting),
        TEST(lanes_are_those_of_user_keys),
        TEST(filters_are_asked_of_user_records),
        TEST(progress_is_known_within_an_aggregate),
        TEST(an_aggregate_that_was_begun_comes_whole_without_the_setting),
        TEST(a_user_record_fails_by_itself),
        TEST(a_batch_of_user_records_is_split),
        TEST(windows_count_user_records),
        TEST(what_handlers_put_is_one_step_with_a_part),
        TEST(whatever_happens_each_is_handled_in_order),
    };

    run_everywhere("mappings that de-aggregate", tests);
}
