/* A clock of the program's own (store.h, `clock`): days of retention pass in a test at once. */
#include "api/support.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define BEGIN (INT64_C(1700000000) * SECOND)

static int64_t the_time;
static char logged[8][256];
static uint32_t logged_count;

static int64_t tell_time(void *user)
{
    return *(const int64_t *)user;
}

static void note_line(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level <= LS_LOG_WARNING && logged_count < 8)
        (void)snprintf(logged[logged_count++], sizeof logged[0], "%s", line);
}

typedef struct handles {
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
} handles;

/* The stream keeps records for an hour. */
static handles open_clocked(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options stream = LS_STREAM_OPTIONS_INIT;
    handles of = {NULL, NULL, NULL};
    char path[TEMP_PATH_BYTES * 2];

    (void)snprintf(path, sizeof path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "clocked"));
    the_time = BEGIN;
    logged_count = 0;
    options.clock = tell_time;
    options.clock_user = &the_time;
    options.log = note_line;
    stream.retention_hours = 1;
    assert_int_equal(ls_store_open(path, &options, &of.store), LS_OK);
    assert_int_equal(ls_stream_create(of.store, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_open(of.store, "s", &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    return of;
}

static void close_clocked(handles *of)
{
    assert_int_equal(ls_producer_close(of->producer), LS_OK);
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    assert_int_equal(ls_store_close(of->store), LS_OK);
}

static size_t count_next(ls_iterator *iterator, ls_status expected)
{
    const ls_batch *batch = NULL;

    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), expected);
    return expected == LS_OK ? ls_batch_count(batch) : 0;
}

static size_t count_shown(ls_stream *stream)
{
    ls_iterator *iterator = NULL;
    size_t count;

    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    count = count_next(iterator, LS_OK);
    ls_iterator_close(iterator);
    return count;
}

static void records_are_stamped_and_grow_old_by_it(void **state)
{
    handles of = open_clocked(*state);
    ls_position at = {LS_AT_TIMESTAMP, 0, 0, BEGIN + 30 * MINUTE};
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(ls_producer_put(of.producer, text("k"), text("d"), NULL, NULL), LS_OK);
        the_time += 30 * MINUTE;
    }
    assert_int_equal(ls_iterator_open(of.stream, 0, &at, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2);
    assert_true(ls_batch_at(batch, 0)->arrival_us == BEGIN + 30 * MINUTE);
    ls_iterator_close(iterator);
    assert_int_equal(count_shown(of.stream), 2); /* 90, 60 and 30 minutes old; "older than the retention" is gone */
    the_time += 1;
    assert_int_equal(count_shown(of.stream), 1);
    the_time += 24 * 60 * MINUTE; /* A day at once is a day. */
    assert_int_equal(count_shown(of.stream), 0);
    close_clocked(&of);
}

static uint32_t count_listed(ls_stream *stream, ls_shard_filter filter, int64_t timestamp_us)
{
    ls_shard_list_options options = LS_SHARD_LIST_OPTIONS_INIT;
    ls_shard_list *list = NULL;
    uint32_t count;

    options.filter = filter;
    options.timestamp_us = timestamp_us;
    assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
    count = ls_shard_list_count(list);
    ls_shard_list_free(list);
    return count;
}

/* What is past the old retention does not come back with a longer one, and neither do the shards: half of them are gone
 * perhaps, since upkeep removes a few at a time, and the AT_ filters would have holes. */
static void shards_that_were_past_their_age_are_not_listed_again(void **state)
{
    handles of = open_clocked(*state);
    ls_stream_description *description = NULL;

    assert_int_equal(ls_producer_put(of.producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    the_time += 61 * MINUTE;
    assert_int_equal(count_listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON, 0), 2);
    assert_int_equal(ls_stream_increase_retention(of.stream, 3), LS_OK);
    assert_int_equal(count_listed(of.stream, LS_SHARDS_FROM_TRIM_HORIZON, 0), 2);
    assert_int_equal(count_listed(of.stream, LS_SHARDS_AT_TRIM_HORIZON, 0), 2);
    assert_int_equal(count_listed(of.stream, LS_SHARDS_AT_TIMESTAMP, BEGIN - MINUTE), 2);
    assert_int_equal(count_listed(of.stream, LS_SHARDS_FROM_TIMESTAMP, BEGIN - MINUTE), 2);
    assert_int_equal(ls_stream_describe(of.stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_shard_count(description), 2);
    ls_stream_description_free(description);
    close_clocked(&of);
}

/* P8, and what trimming cut is counted for the log. */
static void who_was_overtaken_is_told_how_far(void **state)
{
    handles of = open_clocked(*state);
    ls_iterator *iterator = NULL;
    ls_next_options one = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;

    one.records_max = 1;
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ls_producer_put(of.producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, &one, &batch), LS_OK);
    the_time += 61 * MINUTE;
    assert_int_equal(ls_producer_put(of.producer, text("k"), text("young"), NULL, NULL), LS_OK);
    assert_int_equal(logged_count, 0);
    (void)count_next(iterator, LS_ERR_TRIMMED);
    assert_true(says("shard 0") && says("up to 9 records"));
    assert_int_equal(logged_count, 1);
    assert_non_null(strstr(logged[0], "up to 9 records"));
    assert_int_equal(count_next(iterator, LS_OK), 1);
    assert_int_equal(logged_count, 1);
    ls_iterator_close(iterator);
    close_clocked(&of);
}

static uint64_t stored_bytes(ls_stream *stream)
{
    ls_stream_description *about = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 0, &info), LS_OK);
    ls_stream_description_free(about);
    return info.stored_bytes;
}

static void upkeep_goes_by_it(void **state)
{
    handles of = open_clocked(*state);
    static char data[100000];
    uint64_t before;

    for (int i = 0; i < 10; i++)
        assert_int_equal(ls_producer_put(of.producer, text("k"), (ls_bytes){data, sizeof data}, NULL, NULL), LS_OK);
    before = stored_bytes(of.stream);
    assert_true(before > 10 * sizeof data);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    the_time += 2 * MINUTE;
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(stored_bytes(of.stream), before);
    the_time += 62 * MINUTE;
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_true(stored_bytes(of.stream) < before / 10);
    close_clocked(&of);
}

/* Who has been given everything is told of no loss when that is trimmed. */
static void who_had_everything_has_lost_nothing(void **state)
{
    handles of = open_clocked(*state);
    ls_iterator *one = NULL, *all = NULL;

    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &one), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(ls_producer_put(of.producer, text("k"), text("d"), NULL, NULL), LS_OK);
        assert_int_equal(count_next(one, LS_OK), 1);
        assert_int_equal(count_next(all, LS_OK), 1);
        if (round == 1) { /* Once by their ends, and once more when nothing came between. */
            assert_int_equal(count_next(one, LS_OK), 0);
            assert_int_equal(count_next(all, LS_OK), 0);
        }
        the_time += 2 * MINUTE;
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        the_time += 62 * MINUTE;
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(count_next(one, LS_OK), 0);
    assert_int_equal(count_next(all, LS_OK), 0);
    ls_iterator_close(one);
    ls_iterator_close(all);
    close_clocked(&of);
}

/* A clock that was set back closes no shard before its last record came, and opens no child before that. */
static void a_shard_is_closed_no_earlier_than_its_last_record(void **state)
{
    handles of = open_clocked(*state);
    ls_shard_info parent = LS_SHARD_INFO_INIT, child = LS_SHARD_INFO_INIT;
    ls_stream_description *about = NULL;

    assert_int_equal(ls_producer_put(of.producer, (ls_bytes){"k", 1}, (ls_bytes){"d", 1}, NULL, NULL), LS_OK);
    the_time -= MINUTE;
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 0, &parent), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 1, &child), LS_OK);
    assert_int_equal(parent.latest_arrival_us, BEGIN);
    assert_int_equal(parent.closed_us, BEGIN);
    assert_true(child.created_us >= parent.closed_us);
    ls_stream_description_free(about);
    close_clocked(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_are_stamped_and_grow_old_by_it),
        TEST(shards_that_were_past_their_age_are_not_listed_again),
        TEST(who_was_overtaken_is_told_how_far),
        TEST(upkeep_goes_by_it),
        TEST(who_had_everything_has_lost_nothing),
        TEST(a_shard_is_closed_no_earlier_than_its_last_record),
    };

    run_everywhere("a clock of the program's own", tests);
}
