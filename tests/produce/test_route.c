/* Shards that close under a producer: records find their successors, or the call says that there are none. */
#include "produce/support.h"

/* Goal: no put is lost or repeated by a split. Method: split under an open producer, put into both halves. */
static void a_put_follows_a_split(void **state)
{
    ls_record_id low, high;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "before", NULL), LS_OK);
    child = memory_engine_split(fx.engine, 0);
    assert_int_equal(put_at(&fx, key_in(0, 2), "low", &low), LS_OK);
    assert_int_equal(put_at(&fx, key_in(1, 2), "high", &high), LS_OK);
    assert_int_equal(low.shard, child);
    assert_int_equal(high.shard, child + 1);
    assert_int_equal(memory_engine_count(fx.engine, 0), 1);
    end(&fx);
}

/* The same with a merge: two shards become one. */
static void a_put_follows_a_merge(void **state)
{
    ls_record_id id;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_at(&fx, key_in(1, 2), "before", NULL), LS_OK);
    child = memory_engine_merge(fx.engine, 0, 1);
    assert_int_equal(put_at(&fx, key_in(1, 2), "after", &id), LS_OK);
    assert_int_equal(id.shard, child);
    end(&fx);
}

static void reveal(void *user)
{
    memory_engine_hide_changes(user, false);
}

/* Goal: between the closing and the new list a put waits. Method: the list is hidden until the put sleeps. */
static void a_put_waits_until_the_successors_show(void **state)
{
    ls_record_id id;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "before", NULL), LS_OK);
    memory_engine_hide_changes(fx.engine, true);
    child = memory_engine_split(fx.engine, 0);
    memory_engine_on_sleep(fx.engine, reveal, fx.engine);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(put_at(&fx, key_in(0, 2), "after", &id), LS_OK);
    assert_int_equal(id.shard, child);
    assert_int_equal(memory_engine_sleep_count(fx.engine), 1);
    assert_string_equal(memory_engine_trace(fx.engine), "append 0 x1; append 1 x1; commit 1; ");
    end(&fx);
}

/* Goal: the wait is bounded by busy_timeout_ms. Method: a stopped clock that sleeping moves; nothing ever shows. */
static void a_put_gives_up_after_the_busy_timeout(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "before", NULL), LS_OK);
    memory_engine_stop_clock(fx.engine, 1000000);
    memory_engine_set_busy_timeout(fx.engine, 250);
    memory_engine_hide_changes(fx.engine, true);
    (void)memory_engine_split(fx.engine, 0);
    assert_int_equal(put(&fx, "k", "after", NULL), LS_ERR_BUSY);
    assert_in_range(memory_engine_slept_us(fx.engine), 250000, 260000);
    assert_int_equal(memory_engine_count(fx.engine, 1) + memory_engine_count(fx.engine, 2), 0);
    memory_engine_hide_changes(fx.engine, false);
    assert_int_equal(put(&fx, "k", "after", NULL), LS_OK);
    end(&fx);
}

/* A look at the stream that fails leaves the routes of before: the next put works. */
static void a_failed_look_at_the_stream_is_told_and_passes(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "a", NULL), LS_OK);
    (void)memory_engine_split(fx.engine, 0);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_INFO, LSI_NO_SHARD, LS_ERR_IO, 1, 0);
    assert_int_equal(put(&fx, "k", "b", NULL), LS_ERR_IO);
    assert_int_equal(put(&fx, "k", "c", NULL), LS_OK);
    assert_int_equal(memory_engine_count(fx.engine, 1) + memory_engine_count(fx.engine, 2), 1);
    end(&fx);
}

/* Goal: what was put into a shard that is closed by now is still flushed. */
static void flush_reaches_closed_shards(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_KERNEL);
    assert_int_equal(put(&fx, "k", "a", NULL), LS_OK);
    (void)memory_engine_split(fx.engine, 0);
    assert_int_equal(put_at(&fx, key_in(0, 2), "b", NULL), LS_OK);
    memory_engine_trace_clear(fx.engine);
    assert_int_equal(lsi_producer_flush(fx.producer), LS_OK);
    assert_string_equal(memory_engine_trace(fx.engine), "commit 0 SYNC; commit 1 SYNC; ");
    end(&fx);
}

/* The table is looked at again only when the stream changed: a look that would fail is not made. */
static void unchanged_shards_are_not_looked_at_again(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put(&fx, "k", "a", NULL), LS_OK);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_INFO, LSI_NO_SHARD, LS_ERR_IO, 1, 0);
    assert_int_equal(put(&fx, "k", "b", NULL), LS_OK);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_follows_a_split),
        cmocka_unit_test(a_put_follows_a_merge),
        cmocka_unit_test(a_put_waits_until_the_successors_show),
        cmocka_unit_test(a_put_gives_up_after_the_busy_timeout),
        cmocka_unit_test(a_failed_look_at_the_stream_is_told_and_passes),
        cmocka_unit_test(flush_reaches_closed_shards),
        cmocka_unit_test(unchanged_shards_are_not_looked_at_again),
    };

    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
