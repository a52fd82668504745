/* produce/throttle.c: what a provisioned stream refuses of what is put; the rest is stored. The clock stands. */
#include "produce/support.h"

#define RECORDS_MAX 16

static lsi_rates few(uint32_t records)
{
    lsi_rates rates = LSI_RATES_DEFAULT;

    rates.write_records = records;
    return rates;
}

static void begin_limited(fixture *fx, uint32_t shard_count, lsi_rates rates)
{
    begin(fx, shard_count, LS_DURABILITY_SYNC);
    memory_engine_stop_clock(fx->engine, 1000000);
    memory_engine_set_rates(fx->engine, LS_STREAM_PROVISIONED, rates);
}

/* One record a letter: 'a' goes to the first shard of two, 'b' to the second. A digit is a record of so many KiB. */
static size_t put_batch(fixture *fx, const char *what, bool atomic, ls_put_result results[RECORDS_MAX], ls_status *st)
{
    static char bytes[16 << 10];
    static ls_hash_key hashes[RECORDS_MAX];
    ls_put_entry entries[RECORDS_MAX];
    size_t count = strlen(what), failed = 99;

    memset(results, 0, RECORDS_MAX * sizeof *results);
    for (size_t i = 0; i < count; i++) {
        bool is_digit = what[i] >= '1' && what[i] <= '9';

        hashes[i] = key_in(what[i] == 'b', 2);
        entries[i] = (ls_put_entry){text("k"), {bytes, is_digit ? (size_t)(what[i] - '0') << 10 : 5}, &hashes[i]};
    }
    *st = lsi_producer_put_batch(fx->producer, entries, count, LS_DURABILITY_DEFAULT, atomic, results, &failed);
    return failed;
}

static void on_demand_throttles_nothing(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    memory_engine_stop_clock(fx.engine, 1000000);
    memory_engine_set_rates(fx.engine, LS_STREAM_ON_DEMAND, few(1));
    for (int i = 0; i < 100; i++)
        assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    end(&fx);
}

static void a_put_over_the_limit_is_refused_with_the_time_and_not_stored(void **state)
{
    fixture fx;

    (void)state;
    begin_limited(&fx, 1, few(10));
    for (int i = 0; i < 10; i++)
        assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_ERR_THROTTLED);
    assert_string_equal(lsi_error_current()->message,
                        "stream 'memory' shard 0: its limit of 10 records/s in is reached: come again in 100 ms");
    assert_int_equal(lsi_error_current()->retry_after_ms, 100);
    assert_int_equal(memory_engine_count(fx.engine, 0), 10);
    memory_engine_advance(fx.engine, 100000);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_ERR_THROTTLED);
    end(&fx);
}

/* Goal: another handle, as another process, has the same budget. */
static void all_producers_share_one_budget(void **state)
{
    lsi_producer *other;
    fixture fx;

    (void)state;
    begin_limited(&fx, 1, few(2));
    assert_int_equal(lsi_producer_open(memory_engine_stream(fx.engine), &other), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(lsi_producer_put(other, text("k"), text("v"), NULL, LS_DURABILITY_DEFAULT, NULL), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_ERR_THROTTLED);
    assert_int_equal(lsi_producer_put(other, text("k"), text("v"), NULL, LS_DURABILITY_DEFAULT, NULL),
                     LS_ERR_THROTTLED);
    lsi_producer_close(other);
    end(&fx);
}

static void each_shard_has_its_own_limit(void **state)
{
    fixture fx;

    (void)state;
    begin_limited(&fx, 2, few(1));
    assert_int_equal(put_at(&fx, key_in(0, 2), "v", NULL), LS_OK);
    assert_int_equal(put_at(&fx, key_in(0, 2), "v", NULL), LS_ERR_THROTTLED);
    assert_int_equal(put_at(&fx, key_in(1, 2), "v", NULL), LS_OK);
    end(&fx);
}

/* The PutRecords rule. */
static void of_a_batch_what_fits_is_stored_and_the_rest_fails_by_itself(void **state)
{
    ls_put_result results[RECORDS_MAX];
    fixture fx;
    ls_status st;

    (void)state;
    begin_limited(&fx, 2, few(3));
    assert_int_equal(put_batch(&fx, "aabaaab", false, results, &st), 2);
    assert_int_equal(st, LS_OK);
    for (int i = 0; i < 7; i++) {
        bool is_refused = i == 4 || i == 5;

        assert_int_equal(results[i].status, is_refused ? LS_ERR_THROTTLED : LS_OK);
        assert_int_equal(results[i].shard, i == 2 || i == 6);
        assert_int_equal(results[i].seqno == LS_SEQNO_NONE, is_refused);
    }
    assert_int_equal(lsi_error_current()->retry_after_ms, 334);
    assert_string_equal(memory_engine_trace(fx.engine), "append 0 x3; append 1 x2; commit 0; commit 1; ");
    end(&fx);
}

/* Goal: putting the failed ones again keeps the order. Method: a small record behind a large one that was refused. */
static void behind_a_refused_record_of_its_shard_nothing_passes_it(void **state)
{
    ls_put_result results[RECORDS_MAX];
    lsi_rates rates = LSI_RATES_DEFAULT;
    fixture fx;
    ls_status st;

    (void)state;
    rates.write_bytes = 4096;
    begin_limited(&fx, 1, rates);
    assert_int_equal(put_batch(&fx, "23a", false, results, &st), 2);
    assert_int_equal(results[0].status, LS_OK);
    assert_int_equal(results[1].status, LS_ERR_THROTTLED);
    assert_int_equal(results[2].status, LS_ERR_THROTTLED);
    assert_int_equal(memory_engine_count(fx.engine, 0), 1);
    end(&fx);
}

static void a_batch_of_which_nothing_fits_writes_nothing(void **state)
{
    ls_put_result results[RECORDS_MAX];
    fixture fx;
    ls_status st;

    (void)state;
    begin_limited(&fx, 1, few(1));
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(put_batch(&fx, "aaa", false, results, &st), 3);
    assert_int_equal(st, LS_OK);
    assert_int_equal(results[2].status, LS_ERR_THROTTLED);
    assert_string_equal(memory_engine_trace(fx.engine), "");
    end(&fx);
}

static void an_atomic_batch_is_taken_whole_or_refused_whole(void **state)
{
    ls_put_result results[RECORDS_MAX];
    fixture fx;
    ls_status st;

    (void)state;
    begin_limited(&fx, 1, few(5));
    (void)put_batch(&fx, "aaa", true, results, &st);
    assert_int_equal(st, LS_OK);
    (void)put_batch(&fx, "aaa", true, results, &st);
    assert_int_equal(st, LS_ERR_THROTTLED);
    assert_int_equal(lsi_error_current()->retry_after_ms, 200);
    assert_int_equal(memory_engine_count(fx.engine, 0), 3);
    memory_engine_advance(fx.engine, 200000);
    (void)put_batch(&fx, "aaa", true, results, &st);
    assert_int_equal(st, LS_OK);
    /* Nothing waits for ever: more than a second's worth is taken when nothing is owed. */
    memory_engine_advance(fx.engine, 1000000);
    (void)put_batch(&fx, "aaaaaaaa", true, results, &st);
    assert_int_equal(st, LS_OK);
    end(&fx);
}

/* Goal: a commit that fails is not told of records that were never written. */
static void records_that_were_refused_are_so_whatever_becomes_of_the_others(void **state)
{
    ls_put_result results[RECORDS_MAX];
    fixture fx;
    ls_status st;

    (void)state;
    begin_limited(&fx, 1, few(2));
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(put_batch(&fx, "aaa", false, results, &st), 3);
    assert_int_equal(results[0].status, LS_ERR_IO);
    assert_int_equal(results[1].status, LS_ERR_IO);
    assert_int_equal(results[2].status, LS_ERR_THROTTLED);
    memory_engine_advance(fx.engine, 1000000);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 1);
    assert_int_equal(put_batch(&fx, "aaa", false, results, &st), 2);
    assert_int_equal(results[0].status, LS_OK);
    assert_int_equal(results[1].status, LS_ERR_FULL);
    assert_int_equal(results[2].status, LS_ERR_THROTTLED);
    end(&fx);
}

static void reveal(void *user)
{
    memory_engine_hide_changes(user, false);
}

/* Goal: what was refused of a part that then moves asks the children too. Method: the change shows once it sleeps. */
static void records_of_a_shard_that_moved_ask_its_children(void **state)
{
    ls_put_result results[RECORDS_MAX];
    fixture fx;
    ls_status st;
    uint32_t child;

    (void)state;
    begin_limited(&fx, 2, few(2));
    assert_int_equal(put_at(&fx, key_in(0, 2), "v", NULL), LS_OK);
    memory_engine_hide_changes(fx.engine, true);
    child = memory_engine_split(fx.engine, 0);
    memory_engine_on_sleep(fx.engine, reveal, fx.engine);
    assert_int_equal(put_batch(&fx, "aaabbb", false, results, &st), 2);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(results[i].shard, i < 3 ? child : 1);
        assert_int_equal(results[i].status, i == 2 || i == 5 ? LS_ERR_THROTTLED : LS_OK);
    }
    end(&fx);
}

static void other_figures_count_from_the_next_put_on(void **state)
{
    fixture fx;

    (void)state;
    begin_limited(&fx, 1, few(1));
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_ERR_THROTTLED);
    memory_engine_set_rates(fx.engine, LS_STREAM_ON_DEMAND, few(1));
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    memory_engine_set_rates(fx.engine, LS_STREAM_PROVISIONED, few(1));
    assert_int_equal(put(&fx, "k", "v", NULL), LS_ERR_THROTTLED);
    memory_engine_advance(fx.engine, 1000000);
    memory_engine_set_rates(fx.engine, LS_STREAM_PROVISIONED, few(3));
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_demand_throttles_nothing),
        cmocka_unit_test(a_put_over_the_limit_is_refused_with_the_time_and_not_stored),
        cmocka_unit_test(all_producers_share_one_budget),
        cmocka_unit_test(each_shard_has_its_own_limit),
        cmocka_unit_test(of_a_batch_what_fits_is_stored_and_the_rest_fails_by_itself),
        cmocka_unit_test(behind_a_refused_record_of_its_shard_nothing_passes_it),
        cmocka_unit_test(a_batch_of_which_nothing_fits_writes_nothing),
        cmocka_unit_test(an_atomic_batch_is_taken_whole_or_refused_whole),
        cmocka_unit_test(records_that_were_refused_are_so_whatever_becomes_of_the_others),
        cmocka_unit_test(records_of_a_shard_that_moved_ask_its_children),
        cmocka_unit_test(other_figures_count_from_the_next_put_on),
    };

    return cmocka_run_group_tests_name("put throttling", tests, NULL, NULL);
}
