/* Looking at streams (examples/looking.h): all records are counted by shard, and it is known whether retention has
 * taken some of them.
 *
 * Method: a store in memory with small segments, of which a cap takes all but the last. */
#include "looking.h"
#include "pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS 40
#define RECORD_BYTES 16000

typedef struct fixture {
    ls_store *store;
    ls_stream *stream;
} fixture;

static int setup(void **state)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    static fixture fx;

    store_options.segment_bytes = 65536;
    options.shard_count = 2;
    assert_int_equal(ls_store_open("memory:", &store_options, &fx.store), LS_OK);
    fx.stream = pipeline_stream(fx.store, "s", &options);
    assert_non_null(fx.stream);
    *state = &fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    assert_int_equal(ls_stream_close(fx->stream), LS_OK);
    return ls_store_close(fx->store);
}

/* All to one shard: the hash of "1" is in the upper half. */
static void put(fixture *fx)
{
    static char data[RECORD_BYTES];
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(fx->stream, NULL, &producer), LS_OK);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(ls_producer_put(producer, (ls_bytes){"1", 1}, (ls_bytes){data, sizeof(data)}, NULL, NULL),
                         LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static shard_counts count(fixture *fx)
{
    shard_counts counts = {0};

    assert_int_equal(pipeline_read_all(fx->stream, shard_counts_add, &counts), 0);
    return counts;
}

static void records_are_counted_by_shard(void **state)
{
    fixture *fx = *state;
    shard_counts counts;

    assert_int_equal(count(fx).records, 0);
    put(fx);
    counts = count(fx);
    assert_int_equal(counts.records, RECORDS);
    assert_int_equal(counts.shards[0], 0);
    assert_int_equal(counts.shards[1], RECORDS);
}

static void a_stream_that_has_all_is_not_trimmed(void **state)
{
    fixture *fx = *state;

    assert_int_equal(pipeline_is_trimmed(fx->stream), 0);
    put(fx);
    assert_int_equal(pipeline_is_trimmed(fx->stream), 0);
}

static void what_retention_has_taken_is_known(void **state)
{
    fixture *fx = *state;
    uint64_t left;

    put(fx);
    assert_int_equal(ls_stream_set_retention_bytes(fx->stream, 4 * 65536), LS_OK);
    assert_int_equal(ls_store_maintain(fx->store, 10000), LS_OK);
    left = count(fx).records;
    assert_true(left > 0 && left < RECORDS);
    assert_int_equal(pipeline_is_trimmed(fx->stream), 1);
}

static void a_closed_shard_that_is_gone_is_known_too(void **state)
{
    fixture *fx = *state;

    put(fx);
    assert_int_equal(ls_stream_merge(fx->stream, 0, 1, NULL), LS_OK);
    assert_int_equal(pipeline_is_trimmed(fx->stream), 0);
    put(fx);
    assert_int_equal(count(fx).records, 2 * RECORDS);
    assert_int_equal(ls_stream_set_retention_bytes(fx->stream, 4 * 65536), LS_OK);
    assert_int_equal(ls_store_maintain(fx->store, 10000), LS_OK);
    assert_true(count(fx).records < RECORDS);
    assert_int_equal(pipeline_is_trimmed(fx->stream), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_counted_by_shard, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_has_all_is_not_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_retention_has_taken_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_shard_that_is_gone_is_known_too, setup, teardown),
    };

    return cmocka_run_group_tests_name("looking at streams", tests, NULL, NULL);
}
