/* The asynchronous producer, turn by turn: the thread is never started, and the tests take its turns themselves on a
 * made-up engine whose clock stands still. What threads do to it is tests/api/test_async_producer.c's. */
#include "produce/turns.h"

/* ---- when a batch goes ---- */

static void a_batch_goes_when_its_oldest_record_has_lingered(void **state)
{
    work w = start(1, NULL);

    (void)state;
    assert_int_equal(turn(&w), -1);
    put_in(&w, 0, 1, "a");
    assert_int_equal(turn(&w), LINGER_US);
    memory_engine_advance(w.engine, LINGER_US - 1);
    put_in(&w, 0, 1, "b");
    assert_int_equal(turn(&w), 1);
    assert_trace(&w, "");
    memory_engine_advance(w.engine, 1);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 0 x2; commit 0; ");
    assert_told("a=ok b=ok ");
    finish(&w);
}

static void a_batch_goes_when_it_has_its_records(void **state)
{
    work w = start(1, NULL);

    (void)state;
    for (int i = 0; i < 9; i++)
        put_in(&w, 0, 1, "r");
    assert_int_equal(turn(&w), 0);
    assert_int_equal(turn(&w), LINGER_US); /* The ninth is alone. */
    assert_trace(&w, "append 0 x4; commit 0; append 0 x4; commit 0; ");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 0 x1; commit 0; ");
    finish(&w);
}

static void a_batch_goes_when_it_has_its_bytes_and_one_record_may_have_more(void **state)
{
    char large[1101] = "", half[501] = "";
    work w = start(1, NULL);

    (void)state;
    memset(large, 'l', sizeof large - 1);
    memset(half, 'h', sizeof half - 2); /* 500 with the key */
    put_in(&w, 0, 1, half);
    assert_int_equal(turn(&w), LINGER_US);
    put_in(&w, 0, 1, half);
    put_in(&w, 0, 1, large);
    assert_int_equal(turn(&w), 0);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 0 x2; commit 0; append 0 x1; commit 0; ");
    finish(&w);
}

/* Each shard has a batch of its own, and those that are due go together. */
static void shards_have_batches_of_their_own(void **state)
{
    work w = start(3, NULL);

    (void)state;
    put_in(&w, 0, 3, "a");
    memory_engine_advance(w.engine, 1000);
    for (int i = 0; i < 4; i++)
        put_in(&w, 1, 3, "b");
    put_in(&w, 2, 3, "c");
    assert_int_equal(turn(&w), LINGER_US - 1000);
    assert_trace(&w, "append 1 x4; commit 1; ");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 2 x1; append 0 x1; commit 2; commit 0; ");
    finish(&w);
}

/* Sleeping, the thread is woken by the first record and by one that fills a batch, and by no other. */
static void only_records_that_change_something_wake_the_thread(void **state)
{
    static const uint32_t wakes[] = {1, 1, 1, 2, 2};
    work w = start(1, NULL);
    uint32_t before;

    (void)state;
    assert_int_equal(turn(&w), -1);
    before = w.async->wanted;
    for (uint32_t i = 0; i < 5; i++) {
        put_in(&w, 0, 1, "r");
        assert_int_equal(w.async->wanted - before, wakes[i]);
        if (i == 0)
            assert_int_equal(turn(&w), LINGER_US);
    }
    assert_int_equal(turn(&w), LINGER_US);
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    finish(&w);
}

static void a_flush_makes_everything_due_that_was_put_before(void **state)
{
    work w = start(2, NULL);
    size_t left = 9;

    (void)state;
    assert_int_equal(lsi_async_flush(w.async, 0, &left), LS_OK);
    assert_int_equal(left, 0);
    put_in(&w, 0, 2, "a");
    put_in(&w, 1, 2, "b");
    assert_int_equal(lsi_async_flush(w.async, 0, &left), LS_ERR_TIMEOUT);
    assert_int_equal(left, 2);
    put_in(&w, 1, 2, "c");
    put_in(&w, 0, 2, "d");
    /* What goes of a lane is what is there; what was put later is not waited for. */
    assert_int_equal(turn(&w), -1);
    assert_int_equal(lsi_async_flush(w.async, 0, &left), LS_OK);
    assert_int_equal(left, 0);
    put_in(&w, 0, 2, "e");
    assert_int_equal(turn(&w), LINGER_US); /* The flush is over. */
    lsi_async_cancel(w.async);
    assert_int_equal(turn(&w), -1);
    finish(&w);
}

/* ---- what is tried again ---- */

static void what_was_not_written_is_tried_again_in_order_while_others_go_on(void **state)
{
    static const ls_status trouble[] = {LS_ERR_BUSY, LS_ERR_FULL, LS_ERR_NO_MEMORY};

    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof trouble[0]; i++) {
        lsi_async_settings settings = usual();
        work w;

        settings.linger_us = 0;
        w = start(2, &settings);
        memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, trouble[i], 2, 0);
        put_in(&w, 0, 2, "a");
        put_in(&w, 1, 2, "x");
        put_in(&w, 0, 2, "b");
        assert_int_equal(turn(&w), 10000);
        assert_told("x=ok ");
        put_in(&w, 0, 2, "c"); /* It waits behind them. */
        put_in(&w, 1, 2, "y");
        assert_int_equal(turn(&w), 10000);
        assert_told("y=ok ");
        memory_engine_advance(w.engine, 10000);
        assert_int_equal(turn(&w), 20000); /* twice as long */
        memory_engine_advance(w.engine, 20000);
        assert_int_equal(turn(&w), -1);
        assert_told("a=ok/3 b=ok/3 c=ok/2 ");
        assert_int_equal(memory_engine_count(w.engine, 0), 3);
        assert_string_equal(memory_engine_data(w.engine, 0, 0), "a");
        assert_string_equal(memory_engine_data(w.engine, 0, 2), "c");
        finish(&w);
    }
}

static void pauses_double_up_to_the_longest_and_begin_anew_after_a_success(void **state)
{
    static const int64_t pauses[] = {10000, 20000, 40000, 40000};
    work w = start(1, NULL);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 4, 0);
    put_in(&w, 0, 1, "a");
    memory_engine_advance(w.engine, LINGER_US);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(turn(&w), pauses[i]);
        memory_engine_advance(w.engine, pauses[i]);
    }
    assert_int_equal(turn(&w), -1);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 1, "b");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("a=ok/5 b=ok/2 ");
    finish(&w);
}

/* The log took the first two: they are told, the others come again. */
static void what_a_failed_append_accepted_is_stored_and_the_rest_comes_again(void **state)
{
    work w = start(1, NULL);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 2);
    for (int i = 0; i < 4; i++)
        put_in(&w, 0, 1, (const char *[]){"a", "b", "c", "d"}[i]);
    assert_int_equal(turn(&w), 10000);
    assert_told("a=ok b=ok ");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("c=ok/2 d=ok/2 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 4);
    finish(&w);
}

/* A limit says when to come again, and that counts when it is later than the pause. */
static void a_limit_is_come_back_to_when_it_says(void **state)
{
    lsi_async_settings settings = usual();
    work w;

    (void)state;
    settings.backoff_us = 1000;
    w = start(1, &settings);
    memory_engine_set_rates(w.engine, LS_STREAM_PROVISIONED,
                            lsi_rates_resolve((lsi_rates){.write_records = 2}));
    for (int i = 0; i < 4; i++)
        put_in(&w, 0, 1, (const char *[]){"a", "b", "c", "d"}[i]);
    assert_true(turn(&w) >= 400000);
    assert_told("a=ok b=ok ");
    memory_engine_advance(w.engine, 1000000);
    assert_int_equal(turn(&w), -1);
    assert_told("c=ok/2 d=ok/2 ");
    finish(&w);
}

static void a_record_is_tried_again_so_often_as_was_said(void **state)
{
    lsi_async_settings settings = usual();
    work w;

    (void)state;
    settings.retries_max = 1;
    settings.linger_us = 0;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 3, 0);
    put_in(&w, 0, 1, "a");
    assert_int_equal(turn(&w), 10000);
    put_in(&w, 0, 1, "b");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), 20000);
    assert_told("a=BUSY/2 "); /* b has one more. */
    memory_engine_advance(w.engine, 20000);
    assert_int_equal(turn(&w), -1);
    assert_told("b=BUSY/2 ");
    finish(&w);
}

static void a_record_that_is_too_old_is_given_up(void **state)
{
    lsi_async_settings settings = usual();
    work w;

    (void)state;
    settings.ttl_us = 15000;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 1, "a");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000); /* not before its end either, which is then */
    put_in(&w, 0, 1, "b");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("a=BUSY b=ok ");
    put_in(&w, 0, 1, "c");
    memory_engine_advance(w.engine, 15000); /* The thread was away: it never came to it. */
    assert_int_equal(turn(&w), -1);
    assert_told("c=TIMEOUT/0 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 1);
    finish(&w);
}

/* It failed before the shards changed, and lingers since: what the failure was is forgotten, its age is not. */
static void a_record_that_is_too_old_after_a_split_is_given_up(void **state)
{
    lsi_async_settings settings = usual();
    work w;

    (void)state;
    settings.ttl_us = 20000;
    settings.linger_us = 1000000;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 1, "a");
    assert_int_equal(lsi_async_flush(w.async, 0, NULL), LS_ERR_TIMEOUT);
    assert_int_equal(turn(&w), 10000);
    (void)memory_engine_split(w.engine, 0);
    memory_engine_advance(w.engine, 20000);
    assert_int_equal(turn(&w), -1);
    assert_told("a=TIMEOUT ");
    finish(&w);
}

/* ---- what is not ---- */

/* N1, walked over where a call fails: what may be in the log is told LS_ERR_IO and never sent again. */
static void an_unknown_outcome_is_told_and_never_tried_again(void **state)
{
    (void)state;
    for (uint32_t accepted = 0; accepted <= 2; accepted++) {
        work w = start(1, NULL);

        memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_IO, 1, accepted);
        for (int i = 0; i < 4; i++)
            put_in(&w, 0, 1, "r");
        assert_int_equal(turn(&w), -1);
        assert_told(accepted == 0 ? "r=IO r=IO r=IO r=IO " : accepted == 1 ? "r=ok r=IO r=IO r=IO "
                                                                           : "r=ok r=ok r=IO r=IO ");
        assert_int_equal(memory_engine_count(w.engine, 0), accepted);
        finish(&w);
    }
}

static void a_sync_that_failed_is_an_unknown_outcome_whatever_it_said(void **state)
{
    static const ls_status said[] = {LS_ERR_IO, LS_ERR_BUSY, LS_ERR_NO_MEMORY};

    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        work w = start(1, NULL);

        memory_engine_fail(w.engine, MEMORY_ENGINE_COMMIT, 0, said[i], 1, 0);
        put_in(&w, 0, 1, "a");
        memory_engine_advance(w.engine, LINGER_US);
        assert_int_equal(turn(&w), -1);
        assert_told("a=IO ");
        assert_int_equal(memory_engine_count(w.engine, 0), 1);
        finish(&w);
    }
}

/* Appended and not synced, and behind it what was not appended: that comes again. */
static void behind_a_failed_sync_comes_again_what_was_not_appended(void **state)
{
    work w = start(1, NULL);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 1);
    memory_engine_fail(w.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    put_in(&w, 0, 1, "a");
    put_in(&w, 0, 1, "b");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    assert_told("a=IO ");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("b=ok/2 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 2);
    finish(&w);
}

static void what_cannot_succeed_is_told_at_once(void **state)
{
    static const ls_status trouble[] = {LS_ERR_KEY, LS_ERR_CORRUPT, LS_ERR_STATE, LS_ERR_NOT_FOUND};

    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof trouble[0]; i++) {
        work w = start(1, NULL);

        memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, trouble[i], 1, 0);
        put_in(&w, 0, 1, "a");
        memory_engine_advance(w.engine, LINGER_US);
        assert_int_equal(turn(&w), -1);
        assert_true(strncmp(told + 2, ls_status_name(trouble[i]) + strlen("LS_ERR_"), 3) == 0);
        finish(&w);
    }
}

static void of_a_deleted_stream_every_record_is_told(void **state)
{
    work w = start(2, NULL);

    (void)state;
    put_in(&w, 0, 2, "a");
    assert_int_equal(turn(&w), LINGER_US);
    memory_engine_delete_stream(w.engine);
    put_in(&w, 1, 2, "b");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_non_null(strstr(told, "a=NOT_FOUND "));
    assert_non_null(strstr(told, "b=NOT_FOUND "));
    assert_int_equal(strlen(told), 2 * strlen("a=NOT_FOUND "));
    finish(&w);
}

/* A record that the stream no longer takes is told in its turn: not before those in front of it. */
static void a_limit_that_was_lowered_is_told_in_order(void **state)
{
    char large[601] = "";
    work w = start(1, NULL);

    (void)state;
    memset(large, 'l', sizeof large - 1);
    put_in(&w, 0, 1, "a");
    put_in(&w, 0, 1, large);
    put_in(&w, 0, 1, "b");
    memory_engine_set_record_bytes_max(w.engine, 100);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    assert_told("");
    memory_engine_advance(w.engine, 10000);
    while (turn(&w) == 0)
        continue;
    assert_true(strncmp(told, "a=ok/2 lll", 10) == 0 && strstr(told, "l=TOO_LARGE/0 b=ok ") != NULL);
    assert_int_equal(try_put(&w, 0, 1, large), LS_ERR_TOO_LARGE); /* now known */
    finish(&w);
}

/* ---- shards that change ---- */

/* Records wait behind a pause while their shard is split: they go to the children, before those that came later. */
static void order_holds_while_a_shard_is_split(void **state)
{
    lsi_async_settings settings = usual();
    uint32_t child;
    work w;

    (void)state;
    settings.linger_us = 0;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 2, "a1");
    put_in(&w, 1, 2, "b1");
    assert_int_equal(turn(&w), 10000);
    child = memory_engine_split(w.engine, 0);
    put_in(&w, 0, 2, "a2");
    put_in(&w, 1, 2, "b2");
    while (turn(&w) == 0)
        continue;
    assert_string_equal(memory_engine_data(w.engine, child, 0), "a1");
    assert_string_equal(memory_engine_data(w.engine, child, 1), "a2");
    assert_string_equal(memory_engine_data(w.engine, child + 1, 0), "b1");
    assert_string_equal(memory_engine_data(w.engine, child + 1, 1), "b2");
    finish(&w);
}

static void order_holds_while_shards_are_merged(void **state)
{
    lsi_async_settings settings = usual();
    uint32_t child;
    work w;

    (void)state;
    settings.linger_us = 0;
    w = start(2, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, LSI_NO_SHARD, LS_ERR_BUSY, 2, 0);
    for (int i = 0; i < 4; i++)
        put_in(&w, (uint32_t)i % 2, 2, (const char *[]){"a", "b", "c", "d"}[i]);
    assert_int_equal(turn(&w), 10000);
    child = memory_engine_merge(w.engine, 0, 1);
    put_in(&w, 0, 2, "e");
    while (turn(&w) == 0)
        continue;
    assert_int_equal(memory_engine_count(w.engine, child), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(memory_engine_data(w.engine, child, i), ((const char *[]){"a", "b", "c", "d", "e"}[i]));
    finish(&w);
}

/* The shard says that it is closed, and its successors do not show yet: nobody is blocked, and nothing is lost. */
static void a_closed_shard_is_come_back_to_until_its_successors_show(void **state)
{
    lsi_async_settings settings = usual();
    uint32_t child;
    work w;

    (void)state;
    settings.linger_us = 0;
    w = start(2, &settings);
    memory_engine_hide_changes(w.engine, true);
    child = memory_engine_split(w.engine, 0);
    put_in(&w, 0, 4, "a");
    put_in(&w, 1, 2, "x");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(turn(&w), 2000);
        memory_engine_advance(w.engine, 2000);
    }
    assert_told("x=ok ");
    memory_engine_hide_changes(w.engine, false);
    assert_int_equal(turn(&w), -1);
    assert_told("a=ok ");
    assert_string_equal(memory_engine_data(w.engine, child, 0), "a");
    finish(&w);
}

/* ---- aggregates ---- */

/* Records of a shard that go together are one record, of those that fit; one alone, or too large, goes as it is. */
static void records_that_go_together_are_packed(void **state)
{
    lsi_async_settings settings = aggregating();
    char half[451] = "", large[1101] = "";
    work w = start(2, &settings);

    (void)state;
    memset(half, 'h', sizeof half - 1);
    memset(large, 'l', sizeof large - 1);
    put_in(&w, 0, 2, "a");
    put_in(&w, 1, 2, "x");
    put_in(&w, 0, 2, "b");
    put_in(&w, 0, 2, "c");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_true(strcmp(told, "a=ok:0of3 b=ok:1of3 c=ok:2of3 x=ok ") == 0 ||
                strcmp(told, "x=ok a=ok:0of3 b=ok:1of3 c=ok:2of3 ") == 0);
    assert_int_equal(memory_engine_count(w.engine, 0), 1);
    assert_string_equal(memory_engine_data(w.engine, 1, 0), "x");
    memory_engine_trace_clear(w.engine);
    told[0] = '\0';
    for (int i = 0; i < 3; i++)
        put_in(&w, 0, 2, half);
    put_in(&w, 0, 2, large);
    put_in(&w, 0, 2, "d");
    put_in(&w, 0, 2, "e");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 0 x4; commit 0; "); /* two halves; the third; the large one; d and e */
    assert_non_null(strstr(told, "d=ok:0of2 e=ok:1of2 "));
    finish(&w);
}

static uint32_t numbers_met;
static ls_seqno first_number;

static void same_number(const ls_async_outcome *outcome, void *user)
{
    (void)user;
    first_number = outcome->sub_seqno == 0 ? outcome->seqno : first_number;
    assert_int_equal(outcome->seqno, first_number);
    assert_int_equal(outcome->sub_seqno, numbers_met);
    numbers_met++;
}

static void records_of_an_aggregate_have_its_number(void **state)
{
    lsi_async_settings settings = aggregating();
    work w;

    (void)state;
    settings.callback = same_number;
    w = start(1, &settings);
    for (int i = 0; i < 5; i++)
        put_in(&w, 0, 1, "r");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_int_equal(numbers_met, 5);
    finish(&w);
}

/* What is stored is what the codec unpacks: keys, hash keys and data, in order. */
static void what_is_stored_unpacks_into_the_records(void **state)
{
    lsi_async_settings settings = aggregating();
    lsi_unpack unpack = {0};
    bool is_aggregate = false;
    ls_record outer = {0}, users[4];
    uint64_t room = UINT64_MAX;
    work w = start(1, &settings);
    lsi_reader *reader = NULL;
    lsi_read read = {0};
    ls_position position = {.kind = LS_TRIM_HORIZON};
    lsi_engine_stream *stream = memory_engine_stream(w.engine);

    (void)state;
    put_in(&w, 0, 1, "one");
    put_in(&w, 0, 1, "two");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_int_equal(stream->engine->ops->reader_open(stream, 0, 0, &reader), LS_OK);
    assert_int_equal(stream->engine->ops->seek(reader, &position), LS_OK);
    assert_int_equal(stream->engine->ops->read(reader, 10, 1 << 20, &read), LS_OK);
    assert_int_equal(read.count, 1);
    outer = read.records[0];
    unpack.memory = &stream->engine->env.memory;
    assert_int_equal(lsi_unpack_begin(&unpack, &outer, NULL, &is_aggregate), LS_OK);
    assert_true(is_aggregate);
    assert_int_equal(lsi_unpack_next(&unpack, users, 4, &room), 2);
    assert_memory_equal(users[0].data.data, "one", 3);
    assert_memory_equal(users[1].data.data, "two", 3);
    assert_memory_equal(users[1].partition_key.data, "k", 1);
    lsi_unpack_free(&unpack);
    stream->engine->ops->reader_close(reader);
    finish(&w);
}

/* Not stored, an aggregate is taken apart: its records are packed anew, with those that came since. */
static void what_was_not_stored_is_packed_anew(void **state)
{
    lsi_async_settings settings = aggregating();
    uint32_t child;
    work w = start(1, &settings);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 2, "a");
    put_in(&w, 1, 2, "b");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    put_in(&w, 0, 2, "c");
    put_in(&w, 1, 2, "d");
    memory_engine_advance(w.engine, 10000);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 0);
    assert_int_equal(turn(&w), 20000);
    child = memory_engine_split(w.engine, 0); /* a and c go to one child, b and d to the other. */
    memory_engine_advance(w.engine, 20000);
    assert_int_equal(turn(&w), -1);
    assert_true(strcmp(told, "a=ok/3:0of2 c=ok/2:1of2 b=ok/3:0of2 d=ok/2:1of2 ") == 0 ||
                strcmp(told, "b=ok/3:0of2 d=ok/2:1of2 a=ok/3:0of2 c=ok/2:1of2 ") == 0);
    assert_int_equal(memory_engine_count(w.engine, 0), 0);
    assert_int_equal(memory_engine_count(w.engine, child), 1);
    assert_int_equal(memory_engine_count(w.engine, child + 1), 1);
    finish(&w);
}

static void an_aggregate_is_no_larger_than_the_stream_takes(void **state)
{
    lsi_async_settings settings = aggregating();
    char half[301] = "";
    work w;

    (void)state;
    memset(half, 'h', sizeof half - 1);
    w = start(1, &settings);
    memory_engine_set_record_bytes_max(w.engine, 500);
    for (int i = 0; i < 3; i++)
        put_in(&w, 0, 1, half);
    put_in(&w, 0, 1, "a");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), -1);
    assert_trace(&w, "append 0 x3; commit 0; "); /* The third and a are together. */
    assert_non_null(strstr(told, "a=ok:1of2 "));
    finish(&w);
}

/* ---- memory ---- */

static lsi_async_settings large_batches(void)
{
    lsi_async_settings settings = usual();

    settings.batch_records_max = 65536;
    settings.batch_bytes_max = 64 << 20;
    settings.callback = NULL;
    settings.outcomes_kept = 8;
    return settings;
}

static void the_memory_is_bounded_and_is_given_back(void **state)
{
    lsi_async_settings settings = large_batches();
    static char data[10001];
    work w = start(1, &settings);
    uint32_t count = 0;
    ls_status st;

    (void)state;
    memset(data, 'd', sizeof data - 1);
    for (int round = 0; round < 3; round++) {
        uint32_t before = count;

        while ((st = try_put(&w, 0, 1, data)) == LS_OK)
            count++;
        assert_int_equal(st, LS_ERR_BUSY);
        assert_non_null(strstr(ls_last_error_message(), "buffered_bytes_max is 1048576"));
        assert_true(count - before > 80 && count - before < 105);
        assert_true(w.async->room.bytes <= 1 << 20);
        memory_engine_advance(w.engine, LINGER_US);
        assert_int_equal(turn(&w), -1);
    }
    assert_int_equal(memory_engine_count(w.engine, 0), count);
    finish(&w);
}

/* A record larger than a chunk has one of its own; free chunks make way for it; what never fits is said to be. */
static void large_records_have_memory_of_their_own(void **state)
{
    size_t size = 800000;
    char *data = malloc(size);
    ls_put_entry entry = {text("k"), {data, size}, NULL};
    lsi_async_settings settings = large_batches();
    work w = start(1, &settings);

    (void)state;
    assert_non_null(data);
    memset(data, 'd', size);
    data[size - 1] = '\0';
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 90; k++)
            put_in(&w, 0, 1, data + size - 10000);
        assert_int_equal(lsi_async_put(w.async, &entry, NULL, 0, NULL), LS_ERR_BUSY);
        assert_int_equal(lsi_async_flush(w.async, 0, NULL), LS_ERR_TIMEOUT);
        assert_int_equal(turn(&w), -1);
        assert_int_equal(lsi_async_put(w.async, &entry, NULL, 0, NULL), LS_OK);
        assert_true(w.async->room.bytes <= 1 << 20);
        assert_int_equal(lsi_async_put(w.async, &entry, NULL, 0, NULL), LS_ERR_BUSY);
        assert_int_equal(lsi_async_flush(w.async, 0, NULL), LS_ERR_TIMEOUT);
        assert_int_equal(turn(&w), -1);
    }
    entry.data.size = (1 << 20) - 60;
    free(data);
    data = calloc(1, entry.data.size);
    entry.data.data = data;
    assert_int_equal(lsi_async_put(w.async, &entry, NULL, 0, NULL), LS_ERR_TOO_LARGE);
    assert_non_null(strstr(ls_last_error_message(), "buffered_bytes_max"));
    free(data);
    finish(&w);
}

/* Each allocation fails once, in opening, putting, sorting and sending: every record that was taken has its outcome. */
static void walk_allocations(uint32_t aggregate_bytes_max, bool is_idempotent)
{
    bool was_hit = true;

    for (uint64_t at = 1; was_hit; at++) {
        memory_engine *engine = memory_engine_new(2, LS_DURABILITY_SYNC);
        sim_memory *memory = memory_engine_memory(engine);
        lsi_async_settings settings = large_batches();
        uint32_t taken = 0, stored = 0;
        work w = {engine, NULL};

        memory_engine_stop_clock(engine, START_US);
        lsi_thread_pretend(no_thread, NULL);
        settings.aggregate_bytes_max = aggregate_bytes_max;
        settings.is_idempotent = is_idempotent;
        sim_memory_fail(memory, at, false);
        while (lsi_async_open(memory_engine_stream(engine), &settings, &w.async) != LS_OK)
            assert_int_equal(ls_last_error_status(), LS_ERR_NO_MEMORY);
        for (uint32_t i = 0; i < 3000; i++) { /* more than there is room for at first */
            ls_status st = try_put(&w, i % 2, 2, "r");

            if (i == 1500)
                (void)memory_engine_split(engine, 0);
            assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
            taken += st == LS_OK;
        }
        for (int i = 0; i < 100 && lsi_async_flush(w.async, 0, NULL) != LS_OK; i++) {
            (void)turn(&w);
            memory_engine_advance(engine, 10000);
        }
        assert_int_equal(lsi_async_flush(w.async, 0, NULL), LS_OK);
        was_hit = memory->failed > 0;
        for (uint32_t shard = 0; shard < 4; shard++)
            stored += (uint32_t)memory_engine_count(engine, shard);
        assert_int_equal(w.async->told, taken);
        assert_true(stored == taken || (stored < taken && aggregate_bytes_max != 0));
        assert_true(taken >= 2999 && (taken == 3000 || was_hit));
        finish(&w);
    }
}

static void no_record_is_lost_for_want_of_memory(void **state)
{
    (void)state;
    walk_allocations(0, false);
    walk_allocations(2048, false);
    walk_allocations(2048, true);
}

/* ---- tickets ---- */

static void a_ticket_is_known_until_so_many_later_ones_were_given_out(void **state)
{
    lsi_async_settings settings = usual();
    ls_put_entry entry = {text("k"), text("d"), NULL};
    ls_async_outcome outcome = {0};
    uint64_t ticket = 0;
    int tag = 0;
    work w;

    (void)state;
    settings.outcomes_kept = 4;
    w = start(1, &settings);
    assert_int_equal(lsi_async_wait(w.async, 1, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(lsi_async_put(w.async, &entry, &tag, 0, &ticket), LS_OK);
        assert_int_equal(ticket, i);
    }
    assert_int_equal(lsi_async_wait(w.async, 0, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_async_wait(w.async, 1, 0, NULL), LS_ERR_EXPIRED);
    assert_int_equal(lsi_async_wait(w.async, 2, 0, &outcome), LS_ERR_TIMEOUT);
    (void)turn(&w);
    assert_int_equal(lsi_async_wait(w.async, 1, 0, NULL), LS_ERR_EXPIRED);
    assert_int_equal(lsi_async_wait(w.async, 2, 0, &outcome), LS_OK);
    assert_int_equal(outcome.ticket, 2);
    assert_ptr_equal(outcome.tag, &tag);
    assert_int_equal(outcome.status, LS_OK);
    assert_int_equal(outcome.attempts, 1);
    assert_int_equal(outcome.shard, 0);
    assert_true(outcome.seqno > 0);
    assert_null(outcome.partition_key.data);
    assert_null(outcome.data.data);
    assert_int_equal(lsi_async_wait(w.async, 5, 0, NULL), LS_ERR_TIMEOUT); /* It lingers. */
    memory_engine_advance(w.engine, LINGER_US);
    (void)turn(&w);
    assert_int_equal(lsi_async_wait(w.async, 5, 0, NULL), LS_OK);
    finish(&w);
}

static void who_keeps_no_outcomes_is_told_so(void **state)
{
    work w = start(1, NULL);

    (void)state;
    assert_int_equal(lsi_async_wait(w.async, 1, 0, NULL), LS_ERR_STATE);
    assert_non_null(strstr(ls_last_error_message(), "outcomes_kept"));
    finish(&w);
}

/* ---- giving up ---- */

static void a_cancel_gives_up_what_was_put_before_it(void **state)
{
    work w = start(2, NULL);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_BUSY, 1, 0);
    put_in(&w, 0, 2, "a");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    put_in(&w, 1, 2, "b");
    lsi_async_cancel(w.async);
    put_in(&w, 0, 2, "c");
    (void)turn(&w);
    assert_told("a=CANCELLED b=CANCELLED/0 ");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("c=ok ");
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_goes_when_its_oldest_record_has_lingered),
        cmocka_unit_test(a_batch_goes_when_it_has_its_records),
        cmocka_unit_test(a_batch_goes_when_it_has_its_bytes_and_one_record_may_have_more),
        cmocka_unit_test(shards_have_batches_of_their_own),
        cmocka_unit_test(only_records_that_change_something_wake_the_thread),
        cmocka_unit_test(a_flush_makes_everything_due_that_was_put_before),
        cmocka_unit_test(what_was_not_written_is_tried_again_in_order_while_others_go_on),
        cmocka_unit_test(pauses_double_up_to_the_longest_and_begin_anew_after_a_success),
        cmocka_unit_test(what_a_failed_append_accepted_is_stored_and_the_rest_comes_again),
        cmocka_unit_test(a_limit_is_come_back_to_when_it_says),
        cmocka_unit_test(a_record_is_tried_again_so_often_as_was_said),
        cmocka_unit_test(a_record_that_is_too_old_is_given_up),
        cmocka_unit_test(a_record_that_is_too_old_after_a_split_is_given_up),
        cmocka_unit_test(an_unknown_outcome_is_told_and_never_tried_again),
        cmocka_unit_test(a_sync_that_failed_is_an_unknown_outcome_whatever_it_said),
        cmocka_unit_test(behind_a_failed_sync_comes_again_what_was_not_appended),
        cmocka_unit_test(what_cannot_succeed_is_told_at_once),
        cmocka_unit_test(of_a_deleted_stream_every_record_is_told),
        cmocka_unit_test(a_limit_that_was_lowered_is_told_in_order),
        cmocka_unit_test(order_holds_while_a_shard_is_split),
        cmocka_unit_test(order_holds_while_shards_are_merged),
        cmocka_unit_test(a_closed_shard_is_come_back_to_until_its_successors_show),
        cmocka_unit_test(records_that_go_together_are_packed),
        cmocka_unit_test(records_of_an_aggregate_have_its_number),
        cmocka_unit_test(what_is_stored_unpacks_into_the_records),
        cmocka_unit_test(what_was_not_stored_is_packed_anew),
        cmocka_unit_test(an_aggregate_is_no_larger_than_the_stream_takes),
        cmocka_unit_test(the_memory_is_bounded_and_is_given_back),
        cmocka_unit_test(large_records_have_memory_of_their_own),
        cmocka_unit_test(no_record_is_lost_for_want_of_memory),
        cmocka_unit_test(a_ticket_is_known_until_so_many_later_ones_were_given_out),
        cmocka_unit_test(who_keeps_no_outcomes_is_told_so),
        cmocka_unit_test(a_cancel_gives_up_what_was_put_before_it),
    };

    return cmocka_run_group_tests_name("asynchronous puts", tests, NULL, NULL);
}
