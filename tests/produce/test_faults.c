/* produce/faults.c: trouble on purpose comes in the shares that were asked for, the same for the same seed, and what is
 * told to have failed was not stored. */
#include "produce/support.h"

#define PUTS 10000
#define BATCH 20

static void begin_with(fixture *fx, lsi_faults faults)
{
    fx->engine = memory_engine_new(1, LS_DURABILITY_SYNC);
    memory_engine_set_faults(fx->engine, faults);
    assert_int_equal(lsi_producer_open(memory_engine_stream(fx->engine), &fx->producer), LS_OK);
}

static void count_fates(fixture *fx, uint32_t *throttled, uint32_t *failed)
{
    *throttled = *failed = 0;
    for (int i = 0; i < PUTS; i++) {
        ls_status st = put(fx, "k", "v", NULL);

        memory_engine_trace_clear(fx->engine);
        *throttled += st == LS_ERR_THROTTLED;
        *failed += st == LS_ERR_BUSY;
        if (st == LS_ERR_THROTTLED)
            assert_int_equal(lsi_error_current()->retry_after_ms, 10);
        else if (st != LS_OK)
            assert_string_equal(lsi_error_current()->message, "stream 'memory' shard 0: failed on purpose");
    }
}

static void without_faults_nothing_fails(void **state)
{
    uint32_t throttled, failed;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.seed = 7});
    count_fates(&fx, &throttled, &failed);
    assert_int_equal(throttled + failed, 0);
    end(&fx);
}

static void puts_fail_in_the_shares_asked_for_and_are_not_stored(void **state)
{
    uint32_t throttled, failed;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.seed = 7, .throttled_per_1000 = 100, .failed_per_1000 = 30});
    count_fates(&fx, &throttled, &failed);
    assert_in_range(throttled, 900, 1100);
    assert_in_range(failed, 240, 360);
    assert_int_equal(memory_engine_count(fx.engine, 0), PUTS - throttled - failed);
    end(&fx);
}

static void all_puts_can_fail(void **state)
{
    uint32_t throttled, failed;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.throttled_per_1000 = 1000});
    count_fates(&fx, &throttled, &failed);
    assert_int_equal(throttled, PUTS);
    assert_int_equal(memory_engine_count(fx.engine, 0), 0);
    end(&fx);
}

/* The fates of 1,000 puts of the second of two producers, a bit each. */
static void fates_of(uint64_t seed, unsigned char fates[1000])
{
    lsi_producer *second;
    fixture fx;

    begin_with(&fx, (lsi_faults){.seed = seed, .throttled_per_1000 = 500});
    assert_int_equal(lsi_producer_open(memory_engine_stream(fx.engine), &second), LS_OK);
    for (int i = 0; i < 1000; i++) {
        if (i % 3 == 0)
            (void)put(&fx, "k", "v", NULL); /* what others do in between changes nothing */
        fates[i] = lsi_producer_put(second, text("k"), text("v"), NULL, LS_DURABILITY_DEFAULT, NULL) == LS_OK;
        memory_engine_trace_clear(fx.engine);
    }
    lsi_producer_close(second);
    end(&fx);
}

static void the_same_seed_brings_the_same_trouble(void **state)
{
    unsigned char first[1000], again[1000], other[1000];

    (void)state;
    fates_of(1, first);
    fates_of(1, again);
    fates_of(2, other);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
}

/* Goal: some records of a batch are stored and the rest is not, and each is told which. */
static void batches_fail_in_part(void **state)
{
    uint32_t whole = 0, cut[2] = {0, 0};
    size_t stored = 0;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.seed = 3, .partial_per_1000 = 400});
    for (int round = 0; round < 1000; round++) {
        ls_put_entry entries[BATCH];
        ls_put_result results[BATCH];
        size_t failed = 99, first = 0;

        for (int i = 0; i < BATCH; i++)
            entries[i] = (ls_put_entry){text("k"), text("v"), NULL};
        assert_int_equal(lsi_producer_put_batch(fx.producer, entries, BATCH, LS_DURABILITY_DEFAULT, false, results,
                                                &failed), LS_OK);
        memory_engine_trace_clear(fx.engine);
        while (first < BATCH && results[first].status == LS_OK)
            first++;
        assert_int_equal(failed, BATCH - first);
        assert_true(first > 0);
        for (size_t i = first; i < BATCH; i++) {
            assert_int_equal(results[i].status, results[first].status);
            assert_int_equal(results[i].seqno, LS_SEQNO_NONE);
        }
        stored += first;
        whole += first == BATCH;
        if (first < BATCH)
            cut[results[first].status == LS_ERR_BUSY]++;
    }
    assert_in_range(whole, 520, 680);
    assert_in_range(cut[0], 120, 280);
    assert_in_range(cut[1], 120, 280);
    assert_int_equal(memory_engine_count(fx.engine, 0), stored);
    end(&fx);
}

static void an_atomic_batch_fails_whole_or_not_at_all(void **state)
{
    ls_put_entry entries[2] = {{text("k"), text("a"), NULL}, {text("k"), text("b"), NULL}};
    uint32_t failures = 0;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.failed_per_1000 = 300, .partial_per_1000 = 700});
    for (int i = 0; i < 1000; i++) {
        ls_status st = lsi_producer_put_batch(fx.producer, entries, 2, LS_DURABILITY_DEFAULT, true, NULL, NULL);

        memory_engine_trace_clear(fx.engine);
        assert_true(st == LS_OK || st == LS_ERR_BUSY);
        failures += st != LS_OK;
    }
    assert_in_range(failures, 230, 370);
    assert_int_equal(memory_engine_count(fx.engine, 0), 2 * (1000 - failures));
    end(&fx);
}

static void each_call_takes_so_much_longer(void **state)
{
    ls_put_entry entries[2] = {{text("k"), text("a"), NULL}, {text("k"), text("b"), NULL}};
    int64_t from;
    fixture fx;

    (void)state;
    begin_with(&fx, (lsi_faults){.latency_ms = 20});
    from = lsi_monotonic_us(&lsi_clock_system);
    assert_int_equal(put(&fx, "k", "v", NULL), LS_OK);
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, 2, LS_DURABILITY_DEFAULT, false, NULL, NULL), LS_OK);
    assert_true(lsi_monotonic_us(&lsi_clock_system) - from >= 40000);
    assert_int_equal(memory_engine_count(fx.engine, 0), 3);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_nothing_fails),
        cmocka_unit_test(puts_fail_in_the_shares_asked_for_and_are_not_stored),
        cmocka_unit_test(all_puts_can_fail),
        cmocka_unit_test(the_same_seed_brings_the_same_trouble),
        cmocka_unit_test(batches_fail_in_part),
        cmocka_unit_test(an_atomic_batch_fails_whole_or_not_at_all),
        cmocka_unit_test(each_call_takes_so_much_longer),
    };

    (void)put_at;
    (void)key_in;
    (void)begin;
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
