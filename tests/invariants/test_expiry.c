/* Closed shards leave their stream when all their records are past their age: who is told, that it is one durable step
 * wherever a process dies in it, and that nobody loses or repeats a record by it. */
#include "invariants/clocked.h"
#include "invariants/dying.h"

#define MINUTE (60 * SECOND)

static bool is_there(const fixture *fx, uint32_t shard)
{
    char path[TEMP_PATH_BYTES * 4];

    (void)snprintf(path, sizeof path, "%s/1/%u", fx->path, shard);
    return access(path, F_OK) == 0;
}

/* The stream's shards, as bits. */
static uint32_t shards_of(ls_stream *stream)
{
    ls_stream_description *about = NULL;
    uint32_t found = 0;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(about); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        assert_int_equal(ls_stream_description_shard(about, i, &info), LS_OK);
        found |= 1u << info.shard;
    }
    ls_stream_description_free(about);
    return found;
}

/* The shards that a filter shows, as bits. */
static uint32_t listed(ls_stream *stream, ls_shard_filter filter)
{
    ls_shard_list_options options = LS_SHARD_LIST_OPTIONS_INIT;
    ls_shard_list *list = NULL;
    uint32_t found = 0;

    options.filter = filter;
    assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
    for (uint32_t i = 0; i < ls_shard_list_count(list); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        assert_int_equal(ls_shard_list_shard(list, i, &info), LS_OK);
        found |= 1u << info.shard;
    }
    ls_shard_list_free(list);
    return found;
}

/* Minute by minute, and somebody looks at the clock each time (E8). */
static void pass_minutes(const handles *of, int minutes)
{
    while (minutes-- > 0) {
        pass(MINUTE);
        assert_int_equal(ls_store_maintain(of->store, -1), LS_OK);
    }
}

static ls_iterator *read_all(ls_stream *stream)
{
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    return iterator;
}

/* What is shown next, one at a time: records `from` to below `to` and then nothing. */
static void expect_all(ls_iterator *iterator, uint32_t from, uint32_t to)
{
    uint32_t n;

    for (; from < to; from++) {
        do
            assert_int_equal(next_one(iterator, &n), LS_OK);
        while (n == UINT32_MAX && from < to - 1); /* the end of a shard may be a batch without records */
        assert_int_equal(n, from);
    }
    assert_int_equal(next_one(iterator, &n), LS_OK);
    assert_int_equal(n, UINT32_MAX);
}

/* ---- who is told ---- */

/* A second store in this process is what another process would be: it has its own idea of the shards. */
static void a_closed_shard_leaves_when_all_its_records_are_past_their_age(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1), other = open_all(fx, 1);
    ls_iterator *done, *slow, *single, *theirs;
    ls_position at_first = {LS_AT_SEQUENCE_NUMBER, 0, 1, 0};
    const ls_batch *batch;
    ls_iterator *iterator = NULL;
    uint32_t n;

    put_minutes(&of, 0, 3);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(put_number(other.producer, 3, 0, 100), LS_OK); /* it knows all three shards, too */
    done = read_all(of.stream);
    slow = read_all(of.stream);
    theirs = read_all(other.stream);
    single = NULL;
    assert_int_equal(ls_iterator_open(other.stream, 0, &at_first, NULL, &single), LS_OK);
    expect_all(done, 0, 4);
    assert_int_equal(next_one(slow, &n), LS_OK);
    assert_int_equal(next_one(theirs, &n), LS_OK);

    pass_minutes(&of, 59);
    assert_int_equal(shards_of(of.stream), 7);
    pass_minutes(&of, 1); /* The last record is an hour old and more, the shard was closed an hour ago ... */
    assert_int_equal(shards_of(of.stream), 7);
    pass_minutes(&of, 2); /* ... and stayed so for a period of the sweep (E8). */
    assert_int_equal(shards_of(of.stream), 6);
    assert_int_equal(shards_of(other.stream), 6);
    assert_false(is_there(fx, 0));
    assert_true(is_there(fx, 1));

    assert_int_equal(next_one(single, &n), LS_ERR_NOT_FOUND);
    assert_non_null(strstr(ls_last_error_message(), "shard 0 is gone"));
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_iterator_open(other.stream, 0, NULL, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(next_one(slow, &n), LS_ERR_TRIMMED); /* It lost two records, and is told once. */
    assert_int_equal(next_one(theirs, &n), LS_ERR_TRIMMED);
    assert_int_equal(put_number(of.producer, 4, 0, 100), LS_OK);
    assert_int_equal(put_number(other.producer, 5, 0, 100), LS_OK);
    expect_all(done, 4, 6);
    /* The record 3 is past its age, and was none of those that they were given. */
    assert_int_equal(next_one(slow, &n), LS_OK);
    assert_int_equal(n, 4);
    assert_int_equal(next_one(theirs, &n), LS_OK);
    assert_int_equal(n, 4);
    assert_int_equal(ls_iterator_next(theirs, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    ls_iterator_close(done);
    ls_iterator_close(slow);
    ls_iterator_close(theirs);
    ls_iterator_close(single);

    /* Its index comes back to nobody, and the shards' own children are like all others. */
    assert_int_equal(ls_stream_merge(other.stream, 1, 2, NULL), LS_OK);
    assert_int_equal(shards_of(of.stream), 14);
    pass_minutes(&other, 63);
    assert_int_equal(shards_of(of.stream), 8);
    assert_false(is_there(fx, 1) || is_there(fx, 2));
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(handles_close(&other), LS_OK);
}

/* E8: as for records. */
static void a_jump_ahead_and_back_removes_no_shard(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);

    assert_int_equal(put_number(of.producer, 0, 0, 100), LS_OK);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 5);
    for (int i = 0; i < 3; i++) {
        jump(48 * HOUR);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        pass(MINUTE / 2);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        jump(-48 * HOUR);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(shards_of(of.stream), 7);
    assert_true(is_there(fx, 0));
    assert_int_equal(handles_close(&of), LS_OK);
}

/* E8: a listing is by the time that readers go by. Who lists shards at the horizon, to read them in their order, would
 * else pass over the parents. */
static void a_jump_ahead_hides_no_shard_from_a_listing(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *iterator;

    assert_int_equal(put_number(of.producer, 0, 0, 100), LS_OK);
    pass_minutes(&of, 5);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 5);
    assert_int_equal(listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON), 7);
    assert_int_equal(listed(of.stream, LS_SHARDS_AT_TRIM_HORIZON), 1);
    jump(48 * HOUR);
    iterator = read_all(of.stream);
    expect_all(iterator, 0, 1);
    ls_iterator_close(iterator);
    assert_int_equal(listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON), 7);
    assert_int_equal(listed(of.stream, LS_SHARDS_AT_TRIM_HORIZON), 1);
    jump(-48 * HOUR);
    pass_minutes(&of, 56); /* it did pass */
    assert_int_equal(listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON), 6);
    assert_int_equal(listed(of.stream, LS_SHARDS_AT_TRIM_HORIZON), 6);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Before anybody does the upkeep, or where nobody may: descriptions and listings show the same. */
static void an_expired_shard_is_not_described_while_it_waits_for_upkeep(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);

    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 60);
    assert_int_equal(shards_of(of.stream), 7);
    assert_int_equal(listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON), 7);
    pass(1);
    assert_int_equal(listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON), 6);
    assert_int_equal(shards_of(of.stream), 6);
    assert_true(is_there(fx, 0));
    assert_int_equal(handles_close(&of), LS_OK);
}

/* One who comes by does it as well as who came for it; here by a put. */
static void whoever_comes_by_removes_it(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);

    assert_int_equal(put_number(of.producer, 0, 0, 100), LS_OK);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 61);
    pass(2 * MINUTE);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(put_number(of.producer, i, 0, 100), LS_OK);
    assert_int_equal(shards_of(of.stream), 6);
    assert_false(is_there(fx, 0));
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- producers ---- */

static ls_put_entry an_entry(void)
{
    ls_put_entry entry = {.partition_key = {"key", 3}, .data = {"data", 4}};

    return entry;
}

/* One who was stopped, between choosing the shard and writing, for as long as it takes a shard to be closed and to
 * expire: he is sent elsewhere. Likewise between writing and waiting for the sync: that is long done. */
static void a_producer_who_slept_through_all_of_it_is_sent_elsewhere(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1), other = open_all(fx, 1);
    const lsi_engine_ops *ops = other.store->engine->ops;
    ls_put_entry entry = an_entry();
    lsi_append batch = {.entries = &entry, .count = 1};
    lsi_append_result wrote, moved;
    lsi_appender *warm, *cold;

    assert_int_equal(ops->appender_open(other.stream->stream, &warm), LS_OK);
    assert_int_equal(ops->appender_open(other.stream->stream, &cold), LS_OK);
    assert_int_equal(ops->append(warm, 0, &batch, &wrote), LS_OK);
    assert_int_equal(wrote.accepted, 1);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 63);
    assert_int_equal(shards_of(of.stream), 6);
    assert_int_equal(ops->commit(warm, 0, wrote.end, LS_DURABILITY_SYNC), LS_OK);
    assert_int_equal(ops->append(warm, 0, &batch, &moved), LS_OK);
    assert_true(moved.moved && moved.accepted == 0);
    assert_int_equal(ops->append(cold, 0, &batch, &moved), LS_OK);
    assert_true(moved.moved && moved.accepted == 0);
    ops->appender_close(warm);
    ops->appender_close(cold);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(handles_close(&other), LS_OK);
}

/* ---- copies ---- */

static void a_later_copy_has_no_expired_shard(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    char copy[TEMP_PATH_BYTES * 2], dir[TEMP_PATH_BYTES * 3];
    ls_store *store;
    ls_stream *stream;

    (void)snprintf(copy, sizeof copy, "%s", temp_path(&fx->temp, "copy"));
    (void)snprintf(dir, sizeof dir, "%s/1/0", copy);
    assert_int_equal(put_number(of.producer, 0, 0, 100), LS_OK);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_store_backup(of.store, copy, NULL), LS_OK);
    assert_int_equal(access(dir, F_OK), 0);
    pass_minutes(&of, 63);
    assert_int_equal(put_number(of.producer, 1, 0, 100), LS_OK);
    assert_int_equal(ls_store_backup(of.store, copy, NULL), LS_OK);
    assert_int_not_equal(access(dir, F_OK), 0);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(open_store(copy, 0, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(shards_of(stream), 6);
    ls_iterator *iterator = read_all(stream);
    expect_all(iterator, 1, 2);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- P1 ---- */

static void maintain_and_die(fixture *fx)
{
    ls_store *store;

    hooked_files_init(&the_plan.files, die_before, die_behind, &the_plan);
    the_plan.armed = false;
    child_check(open_store(fx->path, 0, &the_plan.files, &store) == LS_OK);
    the_plan.armed = true;
    child_check(ls_store_maintain(store, -1) == LS_OK);
    the_plan.armed = false;
    child_check(ls_store_close(store) == LS_OK);
}

/* A process dies at its 1st, 2nd, ... Nth call of the upkeep that removes a shard. Another, which has the shards in its
 * hands, puts and reads on at once, and finds the shard there whole or not at all; then upkeep removes what is left. */
static void who_dies_while_he_removes_a_shard_leaves_it_or_not(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *iterator = read_all(of.stream);
    uint32_t open_shard = 0, n = 0, went_early = 0;

    for (int behind = 0; behind < 2; behind++) {
        int status = 1;

        for (int64_t calls = 0; status != 0; calls++) {
            int64_t from;
            uint32_t old = open_shard, listed;
            ls_iterator *parent = NULL;

            assert_int_equal(put_number(of.producer, n++, 0, 100), LS_OK);
            assert_int_equal(ls_stream_split(of.stream, open_shard, NULL, NULL, NULL), LS_OK);
            assert_int_equal(ls_stream_merge(of.stream, open_shard + 1, open_shard + 2, NULL), LS_OK);
            open_shard += 3;
            expect_all(iterator, n - 1, n);
            for (int i = 0; i < 3; i++) { /* Looks, and does nothing that is due only at the end of it. */
                pass(30 * MINUTE);
                assert_int_equal(put_number(of.producer, n++, 0, 100), LS_OK);
            }
            the_plan.countdown = calls;
            the_plan.where = behind;
            status = child_end(child_start(maintain_and_die, fx));
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            from = now_ms();
            assert_int_equal(put_number(of.producer, n++, 0, 100), LS_OK);
            listed = ls_iterator_open(of.stream, old, NULL, NULL, &parent) == LS_OK;
            ls_iterator_close(parent);
            assert_in_range(now_ms() - from, 0, 1000);
            went_early += !listed;
            assert_true(!listed || is_there(fx, old));
            assert_true(status != 0 || !listed);
            assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
            assert_false(is_there(fx, old) || is_there(fx, old + 1) || is_there(fx, old + 2));
            expect_all(iterator, n - 4, n);
            assert_true(calls < 500);
        }
    }
    assert_true(went_early > 3);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_closed_shard_leaves_when_all_its_records_are_past_their_age, begin, end),
        cmocka_unit_test_setup_teardown(a_jump_ahead_and_back_removes_no_shard, begin, end),
        cmocka_unit_test_setup_teardown(a_jump_ahead_hides_no_shard_from_a_listing, begin, end),
        cmocka_unit_test_setup_teardown(whoever_comes_by_removes_it, begin, end),
        cmocka_unit_test_setup_teardown(a_producer_who_slept_through_all_of_it_is_sent_elsewhere, begin, end),
        cmocka_unit_test_setup_teardown(an_expired_shard_is_not_described_while_it_waits_for_upkeep, begin, end),
        cmocka_unit_test_setup_teardown(a_later_copy_has_no_expired_shard, begin, end),
        cmocka_unit_test_setup_teardown(who_dies_while_he_removes_a_shard_leaves_it_or_not, begin, end),
    };

    return cmocka_run_group_tests_name("shards that expire", tests, NULL, NULL);
}
