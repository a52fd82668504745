/* Batches: one append per shard and one wait for all, a result per record, all or nothing where asked. */
#include "produce/support.h"

#include <stdlib.h>

#define MANY 9

/* Records r0, r1, ... whose shard is said part by part. */
typedef struct batch {
    ls_put_entry entries[MANY];
    ls_hash_key keys[MANY];
    char data[MANY][24];
    ls_put_result results[MANY];
    size_t count, failed;
} batch;

static void make(batch *b, const uint32_t *parts, size_t count, uint32_t part_count)
{
    memset(b, 0x5a, sizeof *b);
    b->count = count;
    for (size_t i = 0; i < count; i++) {
        b->keys[i] = key_in(parts[i], part_count);
        snprintf(b->data[i], sizeof b->data[i], "r%zu", i);
        b->entries[i] = (ls_put_entry){text("k"), text(b->data[i]), &b->keys[i]};
    }
}

static ls_status send(fixture *fx, batch *b, bool atomic)
{
    return lsi_producer_put_batch(fx->producer, b->entries, b->count, LS_DURABILITY_DEFAULT, atomic, b->results,
                                  &b->failed);
}

static size_t count_all(fixture *fx, uint32_t shard_count)
{
    size_t count = 0;

    for (uint32_t i = 0; i < shard_count; i++)
        count += memory_engine_count(fx->engine, i);
    return count;
}

/* Goal: all shards are written before any is waited for, and the order of the call holds in each. */
static void shards_are_all_written_before_any_is_waited_for(void **state)
{
    static const uint32_t parts[] = {2, 0, 2, 1, 0, 2};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 3, LS_DURABILITY_SYNC);
    make(&b, parts, 6, 3);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 0);
    assert_string_equal(memory_engine_trace(fx.engine),
                        "append 2 x3; append 0 x2; append 1 x1; commit 2; commit 0; commit 1; ");
    assert_string_equal(memory_engine_data(fx.engine, 2, 0), "r0");
    assert_string_equal(memory_engine_data(fx.engine, 2, 1), "r2");
    assert_string_equal(memory_engine_data(fx.engine, 2, 2), "r5");
    assert_string_equal(memory_engine_data(fx.engine, 0, 0), "r1");
    assert_string_equal(memory_engine_data(fx.engine, 0, 1), "r4");
    assert_string_equal(memory_engine_data(fx.engine, 1, 0), "r3");
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(b.results[i].status, LS_OK);
        assert_int_equal(b.results[i].shard, parts[i]);
        assert_true(b.results[i].seqno > 0);
    }
    assert_true(b.results[0].seqno < b.results[2].seqno && b.results[2].seqno < b.results[5].seqno);
    end(&fx);
}

/* Neither results nor the count of failures need be asked for; an empty batch does nothing. */
static void results_may_be_null_and_empty_batches_do_nothing(void **state)
{
    static const uint32_t parts[] = {0, 1};
    size_t failed = 9;
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, parts, 2, 2);
    assert_int_equal(lsi_producer_put_batch(fx.producer, NULL, 0, 0, false, NULL, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_string_equal(memory_engine_trace(fx.engine), "");
    assert_int_equal(lsi_producer_put_batch(fx.producer, b.entries, 2, 0, false, NULL, NULL), LS_OK);
    assert_int_equal(count_all(&fx, 2), 2);
    end(&fx);
}

/* One bad record refuses the call before anything is written, and its index is in the message. */
static void one_bad_record_refuses_the_whole_batch(void **state)
{
    static const uint32_t parts[] = {0, 1, 0, 1};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, parts, 4, 2);
    b.entries[3].partition_key = text("");
    b.results[0].status = 77;
    assert_int_equal(send(&fx, &b, false), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(lsi_error_current()->message, "record 3"));
    assert_int_equal(b.results[0].status, 77);
    assert_int_equal(count_all(&fx, 2), 0);
    memory_engine_set_record_bytes_max(fx.engine, 1024);
    make(&b, parts, 4, 2);
    b.entries[2].data = (ls_bytes){calloc(1, 1024), 1024};
    assert_int_equal(send(&fx, &b, false), LS_ERR_TOO_LARGE);
    assert_non_null(strstr(lsi_error_current()->message, "record 2"));
    assert_int_equal(count_all(&fx, 2), 0);
    free((void *)b.entries[2].data.data);
    end(&fx);
}

/* The limits of a call: 65,536 records and 64 MiB; an atomic batch 16 MiB. Each at the limit and one beyond. */
static void batches_over_their_limits_are_refused(void **state)
{
    const size_t most = LSI_BATCH_RECORDS_MAX;
    ls_put_entry *entries = calloc(most + 1, sizeof *entries);
    char *large = calloc(1, 1u << 20);
    size_t failed;
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    for (size_t i = 0; i <= most; i++)
        entries[i] = (ls_put_entry){text("k"), text("x"), NULL};
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, most + 1, 0, false, NULL, &failed),
                     LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, most, 0, false, NULL, &failed), LS_OK);
    assert_int_equal(memory_engine_count(fx.engine, 0), most);
    for (size_t i = 0; i < 65; i++)
        entries[i].data = (ls_bytes){large, (1u << 20) - 1};
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, 64, 0, false, NULL, &failed), LS_OK);
    entries[64].data = text("");
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, 65, 0, false, NULL, &failed), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, 16, 0, true, NULL, &failed), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_producer_put_batch(fx.producer, entries, 15, 0, true, NULL, &failed), LS_OK);
    end(&fx);
    free(large);
    free(entries);
}

/* A shard that fails takes its own records with it and no others: of what it accepted they are stored. */
static void each_record_has_its_own_result(void **state)
{
    static const uint32_t parts[] = {0, 1, 1, 0, 1};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, parts, 5, 2);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_APPEND, 1, LS_ERR_FULL, 1, 2);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 1);
    assert_int_equal(b.results[0].status, LS_OK);
    assert_int_equal(b.results[1].status, LS_OK);
    assert_int_equal(b.results[2].status, LS_OK);
    assert_int_equal(b.results[3].status, LS_OK);
    assert_int_equal(b.results[4].status, LS_ERR_FULL);
    assert_int_equal(b.results[4].seqno, LS_SEQNO_NONE);
    assert_int_equal(b.results[4].shard, 1);
    assert_string_equal(memory_engine_trace(fx.engine), "append 0 x2; append 1 x3; commit 0; commit 1; ");
    end(&fx);
}

/* A wait that fails makes the outcome of that shard's records unknown, and only of those. */
static void a_failed_commit_is_the_result_of_its_shard(void **state)
{
    static const uint32_t parts[] = {0, 1, 0};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, parts, 3, 2);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 2);
    assert_int_equal(b.results[0].status, LS_ERR_IO);
    assert_int_equal(b.results[0].seqno, LS_SEQNO_NONE);
    assert_int_equal(b.results[1].status, LS_OK);
    assert_int_equal(b.results[2].status, LS_ERR_IO);
    end(&fx);
}

/* A split before the call: its records go to the children, in order. (The next test splits during the call.) */
static void records_of_a_closed_shard_move_to_its_children(void **state)
{
    /* Eighths: shard 0 has 0..3, shard 1 has 4..7; after the split the children of shard 0 have 0..1 and 2..3. */
    static const uint32_t parts[] = {0, 5, 3, 0, 5, 3};
    ls_put_result *r;
    uint32_t child;
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK); /* The producer knows two shards. */
    child = memory_engine_split(fx.engine, 0);
    make(&b, parts, 6, 8);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 0);
    r = b.results;
    assert_int_equal(r[0].shard, child);
    assert_int_equal(r[1].shard, 1);
    assert_int_equal(r[2].shard, child + 1);
    assert_true(r[0].seqno < r[3].seqno && r[1].seqno < r[4].seqno && r[2].seqno < r[5].seqno);
    end(&fx);
}

static void reveal(void *user)
{
    memory_engine_hide_changes(user, false);
}

/* Goal: the same when the closing is found by the append. Method: the change shows only once the batch sleeps. */
static void a_part_that_moved_is_routed_again_in_order(void **state)
{
    static const uint32_t parts[] = {0, 5, 3, 0, 5, 3};
    uint32_t child;
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK);
    memory_engine_hide_changes(fx.engine, true);
    child = memory_engine_split(fx.engine, 0);
    memory_engine_on_sleep(fx.engine, reveal, fx.engine);
    memory_engine_trace_clear(fx.engine);
    make(&b, parts, 6, 8);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 0);
    assert_string_equal(memory_engine_trace(fx.engine),
                        "append 0 x4; append 1 x2; append 2 x2; append 3 x2; commit 1; commit 2; commit 3; ");
    assert_string_equal(memory_engine_data(fx.engine, child, 0), "r0");
    assert_string_equal(memory_engine_data(fx.engine, child, 1), "r3");
    assert_string_equal(memory_engine_data(fx.engine, child + 1, 0), "r2");
    assert_string_equal(memory_engine_data(fx.engine, child + 1, 1), "r5");
    assert_int_equal(b.results[0].shard, child);
    assert_int_equal(b.results[1].shard, 1);
    end(&fx);
}

/* Two parts that move into one shard are merged in the order of the call (B2). */
static void parts_of_merged_shards_keep_the_order_of_the_call(void **state)
{
    static const uint32_t parts[] = {1, 0, 1, 0};
    uint32_t child;
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK);
    memory_engine_hide_changes(fx.engine, true);
    child = memory_engine_merge(fx.engine, 0, 1);
    memory_engine_on_sleep(fx.engine, reveal, fx.engine);
    make(&b, parts, 4, 2);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 0);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(memory_engine_data(fx.engine, child, i), b.data[i]);
    end(&fx);
}

/* When the successors never show, the records of the closed shard are BUSY and the others are stored. */
static void records_without_a_place_are_busy_and_the_others_stored(void **state)
{
    static const uint32_t parts[] = {0, 1, 0};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK);
    memory_engine_stop_clock(fx.engine, 1000000);
    memory_engine_hide_changes(fx.engine, true);
    (void)memory_engine_split(fx.engine, 0);
    make(&b, parts, 3, 2);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 2);
    assert_int_equal(b.results[0].status, LS_ERR_BUSY);
    assert_int_equal(b.results[0].shard, 0);
    assert_int_equal(b.results[0].seqno, LS_SEQNO_NONE);
    assert_int_equal(b.results[1].status, LS_OK);
    assert_int_equal(b.results[2].status, LS_ERR_BUSY);
    assert_int_equal(memory_engine_count(fx.engine, 1), 1);
    end(&fx);
}

/* A deleted stream is the result of each record, as the PutRecords rule has it. */
static void records_for_a_deleted_stream_are_not_found(void **state)
{
    static const uint32_t parts[] = {0, 1};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK);
    memory_engine_delete_stream(fx.engine);
    make(&b, parts, 2, 2);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    assert_int_equal(b.failed, 2);
    assert_int_equal(b.results[0].status, LS_ERR_NOT_FOUND);
    assert_int_equal(b.results[1].status, LS_ERR_NOT_FOUND);
    assert_int_equal(b.results[1].shard, 1);
    end(&fx);
}

/* A call may ask all its shards for more than the store's durability. */
static void a_batch_may_ask_for_more_durability(void **state)
{
    static const uint32_t parts[] = {0, 1};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_KERNEL);
    make(&b, parts, 2, 2);
    assert_int_equal(lsi_producer_put_batch(fx.producer, b.entries, 2, LS_DURABILITY_SYNC, false, NULL, NULL), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine),
                        "append 0 x1; append 1 x1; commit 0 SYNC; commit 1 SYNC; ");
    end(&fx);
}

/* What a batch put is flushed as well. */
static void flush_reaches_what_a_batch_put(void **state)
{
    static const uint32_t parts[] = {1, 0};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_INTERVAL);
    make(&b, parts, 2, 2);
    assert_int_equal(send(&fx, &b, false), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "commit 0 SYNC; commit 1 SYNC; ");
    end(&fx);
}

/* All or nothing: one append of one frame; several shards are refused and nothing is written. */
static void an_atomic_batch_is_one_frame_of_one_shard(void **state)
{
    static const uint32_t same[] = {1, 1, 1}, mixed[] = {1, 1, 0};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, same, 3, 2);
    assert_int_equal(send(&fx, &b, true), LS_OK);
    assert_int_equal(b.failed, 0);
    assert_string_equal(memory_engine_trace(fx.engine), "append 1 x3 atomic; commit 1; ");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(b.results[i].status, LS_OK);
        assert_int_equal(b.results[i].seqno, b.results[0].seqno + i);
        assert_int_equal(b.results[i].shard, 1);
    }
    make(&b, mixed, 3, 2);
    assert_int_equal(send(&fx, &b, true), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(lsi_error_current()->message, "record 2"));
    assert_int_equal(count_all(&fx, 2), 3);
    end(&fx);
}

/* A failing atomic batch returns the reason itself; after IO its records have results, after others none. */
static void a_failing_atomic_batch_returns_the_reason(void **state)
{
    static const uint32_t parts[] = {0, 0};
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    make(&b, parts, 2, 2);
    b.results[0].status = 77;
    memory_engine_fail(fx.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 0);
    assert_int_equal(send(&fx, &b, true), LS_ERR_FULL);
    assert_int_equal(b.results[0].status, 77);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(send(&fx, &b, true), LS_ERR_IO);
    assert_int_equal(b.failed, 2);
    assert_int_equal(b.results[0].status, LS_ERR_IO);
    assert_int_equal(b.results[1].status, LS_ERR_IO);
    assert_int_equal(b.results[1].seqno, LS_SEQNO_NONE);
    assert_int_equal(b.results[1].shard, 0);
    end(&fx);
}

/* An atomic batch follows a merge, and is refused when a split has torn its records apart. */
static void an_atomic_batch_is_routed_again(void **state)
{
    static const uint32_t parts[] = {0, 0}, apart[] = {0, 1};
    uint32_t child;
    fixture fx;
    batch b;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(0, 2), "first", NULL), LS_OK);
    memory_engine_hide_changes(fx.engine, true);
    child = memory_engine_merge(fx.engine, 0, 1);
    memory_engine_on_sleep(fx.engine, reveal, fx.engine);
    make(&b, parts, 2, 2);
    assert_int_equal(send(&fx, &b, true), LS_OK);
    assert_int_equal(b.results[0].shard, child);
    memory_engine_hide_changes(fx.engine, true);
    (void)memory_engine_split(fx.engine, child);
    make(&b, apart, 2, 2);
    assert_int_equal(send(&fx, &b, true), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(memory_engine_count(fx.engine, child), 2);
    end(&fx);
}

/* Walks the failing allocation through a batch: NO_MEMORY, nothing written, nothing leaked, and then it works. */
static void every_allocation_may_fail(void **state)
{
    static const uint32_t parts[] = {0, 1, 2, 0};
    bool succeeded = false;

    (void)state;
    for (uint64_t nth = 1; !succeeded; nth++) {
        ls_status st;
        fixture fx;
        batch b;

        begin(&fx, 3, LS_DURABILITY_SYNC);
        make(&b, parts, 4, 3);
        sim_memory_fail(memory_engine_memory(fx.engine), nth, false);
        st = send(&fx, &b, false);
        succeeded = memory_engine_memory(fx.engine)->failed == 0;
        assert_int_equal(st, succeeded ? LS_OK : LS_ERR_NO_MEMORY);
        assert_int_equal(count_all(&fx, 3), succeeded ? 4 : 0);
        assert_int_equal(send(&fx, &b, false), LS_OK);
        end(&fx);
    }
}

/* Goal: grouping is right for any mix. Method: random batches against a stable sort of the obvious kind; the seed is
 * printed. */
static void random_batches_are_grouped_as_a_stable_sort_would(void **state)
{
    unsigned seed = 20240607;

    (void)state;
    printf("seed %u\n", seed);
    for (int round = 0; round < 300; round++) {
        uint32_t parts[MANY];
        size_t seen[5] = {0}, count;
        fixture fx;
        batch b;

        seed = seed * 1103515245u + 12345u;
        count = 1 + (seed >> 16) % MANY;
        for (size_t i = 0; i < count; i++) {
            seed = seed * 1103515245u + 12345u;
            parts[i] = (seed >> 16) % 5;
        }
        begin(&fx, 5, LS_DURABILITY_SYNC);
        make(&b, parts, count, 5);
        assert_int_equal(send(&fx, &b, false), LS_OK);
        assert_int_equal(b.failed, 0);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(b.results[i].shard, parts[i]);
            assert_string_equal(memory_engine_data(fx.engine, parts[i], seen[parts[i]]++), b.data[i]);
        }
        assert_int_equal(count_all(&fx, 5), count);
        end(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_all_written_before_any_is_waited_for),
        cmocka_unit_test(results_may_be_null_and_empty_batches_do_nothing),
        cmocka_unit_test(one_bad_record_refuses_the_whole_batch),
        cmocka_unit_test(batches_over_their_limits_are_refused),
        cmocka_unit_test(each_record_has_its_own_result),
        cmocka_unit_test(a_failed_commit_is_the_result_of_its_shard),
        cmocka_unit_test(records_of_a_closed_shard_move_to_its_children),
        cmocka_unit_test(a_part_that_moved_is_routed_again_in_order),
        cmocka_unit_test(parts_of_merged_shards_keep_the_order_of_the_call),
        cmocka_unit_test(records_without_a_place_are_busy_and_the_others_stored),
        cmocka_unit_test(records_for_a_deleted_stream_are_not_found),
        cmocka_unit_test(a_batch_may_ask_for_more_durability),
        cmocka_unit_test(flush_reaches_what_a_batch_put),
        cmocka_unit_test(an_atomic_batch_is_one_frame_of_one_shard),
        cmocka_unit_test(a_failing_atomic_batch_returns_the_reason),
        cmocka_unit_test(an_atomic_batch_is_routed_again),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(random_batches_are_grouped_as_a_stable_sort_would),
    };

    return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
