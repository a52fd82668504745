/* One record: where it goes, what is refused, what a failure leaves, how durable it is. */
#include "produce/support.h"

#include "base/hash.h"

/* Goal: the answer names the record. Method: put, and look into the shard. */
static void a_put_answers_shard_and_number(void **state)
{
    fixture fx;
    ls_record_id first, second;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "one", &first), LS_OK);
    assert_int_equal(put(&fx, "k", "two", &second), LS_OK);
    assert_int_equal(first.shard, 0);
    assert_true(first.seqno > LS_SEQNO_NONE);
    assert_true(second.seqno > first.seqno);
    assert_int_equal(first.reserved, 0);
    assert_string_equal(memory_engine_data(fx.engine, 0, 0), "one");
    assert_string_equal(memory_engine_data(fx.engine, 0, 1), "two");
    end(&fx);
}

/* The answer may be left out, and data may be empty. */
static void out_may_be_null_and_data_empty(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), (ls_bytes){NULL, 0}, NULL, 0, NULL), LS_OK);
    assert_string_equal(memory_engine_data(fx.engine, 0, 0), "");
    end(&fx);
}

/* Goal: MD5 of the key decides. Method: many keys on 4 shards; each must lie in the range that holds its hash. */
static void the_hash_of_the_key_chooses_the_shard(void **state)
{
    fixture fx;
    uint32_t met = 0;

    (void)state;
    begin(&fx, 4, LS_DURABILITY_SYNC);
    for (int i = 0; i < 64; i++) {
        ls_record_id id;
        char key[16];

        snprintf(key, sizeof key, "key-%d", i);
        memory_engine_trace_clear(fx.engine);
        assert_int_equal(put(&fx, key, "x", &id), LS_OK);
        assert_true(lsi_hash_range_contains(lsi_hash_range_of(id.shard, 4), lsi_hash_partition_key(text(key))));
        met |= 1u << id.shard;
    }
    assert_int_equal(met, 15); /* else the test would prove little */
    end(&fx);
}

/* An explicit hash key goes before the key's own. */
static void an_explicit_hash_key_chooses_the_shard(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 4, LS_DURABILITY_SYNC);
    for (uint32_t part = 0; part < 4; part++) {
        ls_record_id id;

        assert_int_equal(put_at(&fx, key_in(part, 4), "x", &id), LS_OK);
        assert_int_equal(id.shard, part);
    }
    end(&fx);
}

/* Bad records are refused before anything is written, with the stream's own limit. */
static void bad_records_are_refused_and_nothing_is_written(void **state)
{
    static char large[2048];
    ls_record_id id = {.seqno = 99};
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    memory_engine_set_record_bytes_max(fx.engine, 1024);
    assert_int_equal(put(&fx, "", "x", &id), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(put(&fx, "\xff", "x", &id), LS_ERR_INVALID_ARGUMENT);
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), (ls_bytes){large, 1024}, NULL, 0, &id),
                     LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_producer_put(fx.producer, (ls_bytes){large, 257}, text(""), NULL, 0, &id), LS_ERR_TOO_LARGE);
    assert_int_equal(memory_engine_count(fx.engine, 0), 0);
    assert_int_equal(id.seqno, 99);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), (ls_bytes){large, 1023}, NULL, 0, &id), LS_OK);
    end(&fx);
}

/* Goal: the limit is the stream's of now. Method: change it under an open producer. */
static void a_changed_record_limit_is_noticed(void **state)
{
    static char large[1500];
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    memset(large, 'x', sizeof large);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), (ls_bytes){large, sizeof large}, NULL, 0, NULL), LS_OK);
    memory_engine_set_record_bytes_max(fx.engine, 1024);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), (ls_bytes){large, sizeof large}, NULL, 0, NULL),
                     LS_ERR_TOO_LARGE);
    end(&fx);
}

/* Each durability of a put against each of the store: only more is asked of the engine, and nothing when the append has
 * done it all. */
static void a_put_asks_for_more_than_the_store_never_for_less(void **state)
{
    static const char *const expected[4][4] = {
        /* asked:          DEFAULT      KERNEL       INTERVAL              SYNC */
        [LS_DURABILITY_KERNEL] = {"", "", "commit 0 INTERVAL; ", "commit 0 SYNC; "},
        [LS_DURABILITY_INTERVAL] = {"", "", "", "commit 0 SYNC; "},
        [LS_DURABILITY_SYNC] = {"commit 0; ", "commit 0; ", "commit 0; ", "commit 0; "},
    };

    (void)state;
    for (ls_durability store = LS_DURABILITY_KERNEL; store <= LS_DURABILITY_SYNC; store++)
        for (ls_durability asked = LS_DURABILITY_DEFAULT; asked <= LS_DURABILITY_SYNC; asked++) {
            char trace[64];
            fixture fx;

            begin(&fx, 1, store);
            assert_int_equal(lsi_producer_put(fx.producer, text("k"), text("x"), NULL, asked, NULL), LS_OK);
            snprintf(trace, sizeof trace, "append 0 x1; %s", expected[store][asked]);
            assert_string_equal(memory_engine_trace(fx.engine), trace);
            end(&fx);
        }
}

/* Failures of append and commit reach the caller as they are, once, and `out` stays. */
static void failures_are_passed_on(void **state)
{
    static const ls_status all[] = {LS_ERR_BUSY, LS_ERR_FULL, LS_ERR_CORRUPT, LS_ERR_IO, LS_ERR_THROTTLED};
    ls_record_id id = {.seqno = 99};
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        memory_engine_fail(fx.engine, MEMORY_ENGINE_APPEND, 0, all[i], 1, 0);
        assert_int_equal(put(&fx, "k", "x", &id), all[i]);
        assert_int_equal(lsi_error_current()->status, all[i]);
    }
    assert_int_equal(memory_engine_count(fx.engine, 0), 0);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(put(&fx, "k", "x", &id), LS_ERR_IO);
    assert_int_equal(memory_engine_count(fx.engine, 0), 1); /* not repeated (U1) */
    assert_int_equal(id.seqno, 99);
    end(&fx);
}

/* A deleted stream is said to be so by the next put. */
static void a_deleted_stream_is_not_found(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "x", NULL), LS_OK);
    memory_engine_delete_stream(fx.engine);
    assert_int_equal(put(&fx, "k", "x", NULL), LS_ERR_NOT_FOUND);
    end(&fx);
}

/* A store opened for reading takes no producer. */
static void a_read_only_store_takes_no_producer(void **state)
{
    memory_engine *engine = memory_engine_new(1, LS_DURABILITY_SYNC);
    lsi_producer *producer = NULL;

    (void)state;
    memory_engine_set_read_only(engine);
    assert_int_equal(lsi_producer_open(memory_engine_stream(engine), &producer), LS_ERR_READ_ONLY);
    assert_null(producer);
    memory_engine_free(engine);
}

/* Goal: flush syncs exactly what may still be lost. Method: the trace, in a store that syncs nothing by itself. */
static void flush_syncs_what_was_not_synced(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 4, LS_DURABILITY_KERNEL);
    assert_int_equal(put_at(&fx, key_in(0, 4), "a", NULL), LS_OK);
    assert_int_equal(put_at(&fx, key_in(2, 4), "b", NULL), LS_OK);
    assert_int_equal(put_at(&fx, key_in(2, 4), "c", NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "commit 0 SYNC; commit 2 SYNC; ");
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "");
    end(&fx);
}

/* A put that asked for SYNC leaves nothing to flush in its shard, also of what was put before. */
static void a_synced_put_leaves_nothing_to_flush(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_INTERVAL);
    assert_int_equal(put(&fx, "k", "a", NULL), LS_OK);
    assert_int_equal(lsi_producer_put(fx.producer, text("k"), text("b"), NULL, LS_DURABILITY_SYNC, NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "");
    end(&fx);
}

/* Nothing was put: nothing to flush; in SYNC there never is. */
static void a_flush_with_nothing_to_do_does_nothing(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_int_equal(put(&fx, "k", "a", NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "");
    end(&fx);
}

/* A failed flush is told and the other shards are synced; the next flush tries the failed one again. */
static void a_failed_flush_syncs_the_others_and_may_be_tried_again(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_KERNEL);
    assert_int_equal(put_at(&fx, key_in(0, 2), "a", NULL), LS_OK);
    assert_int_equal(put_at(&fx, key_in(1, 2), "b", NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_ERR_IO);
    assert_int_equal(lsi_error_current()->status, LS_ERR_IO);
    assert_string_equal(memory_engine_trace(fx.engine), "commit 0 SYNC; commit 1 SYNC; ");
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "commit 0 SYNC; ");
    end(&fx);
}

/* Goal: the put path allocates nothing once the routes are known (that is what keeps it short). */
static void a_put_allocates_nothing(void **state)
{
    uint64_t calls;
    fixture fx;

    (void)state;
    begin(&fx, 4, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "x", NULL), LS_OK);
    calls = memory_engine_memory(fx.engine)->calls;
    for (int i = 0; i < 100; i++)
        assert_int_equal(put(&fx, i % 2 ? "a" : "b", "x", NULL), LS_OK);
    assert_int_equal(memory_engine_memory(fx.engine)->calls, calls);
    end(&fx);
}

/* Walks the failing allocation through opening and the first put: each answers NO_MEMORY, writes nothing, and leaks
 * nothing (the engine counts). The table of known keys alone is done without. */
static void every_allocation_may_fail(void **state)
{
    bool succeeded = false;
    int done_without = 0;

    (void)state;
    for (uint64_t nth = 1; !succeeded; nth++) {
        memory_engine *engine = memory_engine_new(4, LS_DURABILITY_SYNC);
        lsi_producer *producer = NULL;
        ls_status st;

        sim_memory_fail(memory_engine_memory(engine), nth, false);
        st = lsi_producer_open(memory_engine_stream(engine), &producer);
        if (st == LS_OK)
            st = lsi_producer_put(producer, text("k"), text("x"), NULL, 0, NULL);
        succeeded = memory_engine_memory(engine)->failed == 0;
        if (st != LS_OK || succeeded)
            assert_int_equal(st, succeeded ? LS_OK : LS_ERR_NO_MEMORY);
        else
            done_without++;
        if (st != LS_OK && producer != NULL) { /* The same producer goes on when there is memory again. */
            for (uint32_t i = 0; i < 4; i++)
                assert_int_equal(memory_engine_count(engine, i), 0);
            assert_int_equal(lsi_producer_put(producer, text("k"), text("x"), NULL, 0, NULL), LS_OK);
        }
        lsi_producer_close(producer);
        memory_engine_free(engine);
    }
    assert_int_equal(done_without, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_answers_shard_and_number),
        cmocka_unit_test(out_may_be_null_and_data_empty),
        cmocka_unit_test(the_hash_of_the_key_chooses_the_shard),
        cmocka_unit_test(an_explicit_hash_key_chooses_the_shard),
        cmocka_unit_test(bad_records_are_refused_and_nothing_is_written),
        cmocka_unit_test(a_changed_record_limit_is_noticed),
        cmocka_unit_test(a_put_asks_for_more_than_the_store_never_for_less),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(a_deleted_stream_is_not_found),
        cmocka_unit_test(a_read_only_store_takes_no_producer),
        cmocka_unit_test(flush_syncs_what_was_not_synced),
        cmocka_unit_test(a_synced_put_leaves_nothing_to_flush),
        cmocka_unit_test(a_flush_with_nothing_to_do_does_nothing),
        cmocka_unit_test(a_failed_flush_syncs_the_others_and_may_be_tried_again),
        cmocka_unit_test(a_put_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("one record", tests, NULL, NULL);
}
