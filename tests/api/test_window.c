/* Windows over event time as window.h promises them: the tables of spec/flink-windows.md through streams, and operators
 * that are given batch by batch. What is stored is in test_window_store.c. */
#include "api/window_support.h"

static sink to;

/* ---- the Bid table ---- */

static const struct {
    const char *time;
    double price;
    const char *supplier;
} bids[] = {
    {"2020-04-15T08:05:00", 4, "s1"}, {"2020-04-15 08:07", 2, "s1"},        {"2020-04-15T08:09:00.000Z", 5, "s2"},
    {"2020-04-15T10:11+02:00", 3, "s2"}, {"2020-04-15T08:13:00Z", 1, "s1"}, {"2020-04-15T08:17:00.000999", 6, "s2"},
};
#define BIDS 6u

static void put_bid(ls_producer *producer, uint32_t i)
{
    char data[256];

    snprintf(data, sizeof data, "{\"bid\": {\"bidtime\": \"%s\", \"price\": %g}, \"supplier\": \"%s\"}", bids[i].time,
             bids[i].price, bids[i].supplier);
    assert_int_equal(ls_producer_put(producer, text(bids[i].time), text(data), NULL, NULL), LS_OK);
}

static const struct {
    ls_window_kind kind;
    int64_t size, step;
    bool has_key;
    const char *results;
} table[] = {
    {LS_WINDOW_TUMBLING, 10, 0, false, "480-490 11; 490-500 10"},
    {LS_WINDOW_SLIDING, 10, 5, false, "480-490 11; 485-495 15; 490-500 10; 495-505 6"},
    {LS_WINDOW_SLIDING, 10, 3, false,
     "477-487 4; 480-490 11; 483-493 14; 486-496 11; 489-499 15; 492-502 7; 495-505 6"},
    {LS_WINDOW_CUMULATING, 10, 2, false,
     "480-486 4; 480-488 6; 480-490 11; 490-492 3; 490-494 4; 490-496 4; 490-498 10; 490-500 10"},
    {LS_WINDOW_SESSION, 3, 0, false, "485-496 15; 497-500 6"},
    {LS_WINDOW_SESSION, 4, 0, false, "485-501 21"},
    {LS_WINDOW_SESSION, 5, 0, true, "s1 485-492 6; s2 489-496 8; s1 493-498 1; s2 497-502 6"},
    {LS_WINDOW_SESSION, 2, 0, true, "s1 485-489 6; s2 489-493 8; s1 493-495 1; s2 497-499 6"},
};

/* Each row of section 2, in order, reversed, and over four shards. */
static void the_bid_table_gives_11_and_10(void **state)
{
    static const uint32_t orders[][BIDS] = {{0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {3, 0, 5, 2, 4, 1}};
    fixture *fx = *state;

    for (uint32_t o = 0; o < 3; o++) {
        char name[16];
        ls_stream *stream;
        ls_producer *producer;

        snprintf(name, sizeof name, "bids%u", o);
        stream = make_stream(fx, name, o == 0 ? 1 : 4);
        producer = open_producer(stream);
        for (uint32_t i = 0; i < BIDS; i++)
            put_bid(producer, orders[o][i]);
        for (uint32_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            ls_window_options options = options_of(table[i].kind, table[i].size * MINUTE, &to);
            ls_window *window;

            sink_clear(&to);
            options.step_ms = table[i].step * MINUTE;
            options.time_field = "bid.bidtime";
            options.value_field = "bid.price";
            options.key_field = table[i].has_key ? "supplier" : NULL;
            options.flags = table[i].has_key ? 0 : LS_WINDOW_ONE_KEY;
            options.delay_ms = o == 0 ? 0 : 60 * MINUTE;
            window = open_window(stream, NULL, &options);
            assert_int_equal(catch_up(window), LS_OK);
            if (o > 0)
                assert_string_equal(to.text, ""); /* The delay holds all of it. */
            assert_int_equal(ls_window_finish(window), LS_OK);
            assert_string_equal(said(&to), table[i].results);
            assert_int_equal(info_of(window).added_count, BIDS);
            assert_int_equal(info_of(window).window_count, 0);
            assert_int_equal(ls_window_close(window), LS_OK);
        }
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- section 4's worked example ---- */

static const char *row_comes(ls_window *window, ls_producer *producer, int64_t time_ms)
{
    put_in(producer, -1, "k", time_ms, 1);
    assert_int_equal(catch_up(window), LS_OK);
    return said(&to);
}

static void a_late_row_is_left_over_or_makes_an_update(void **state)
{
    fixture *fx = *state;
    int64_t at_8 = DAY_MS + 8 * 60 * MINUTE;

    for (int i = 0; i < 2; i++) {
        ls_stream *stream = make_stream(fx, i == 0 ? "none" : "minute", 1);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10 * MINUTE, &to);
        ls_window *window;

        sink_clear(&to);
        options.delay_ms = 5 * SECOND;
        options.lateness_ms = i == 0 ? 0 : 60 * SECOND;
        window = open_window(stream, NULL, &options);
        assert_int_equal(info_of(window).watermark_ms, LS_WINDOW_WATERMARK_NONE);
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 58 * SECOND), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 3 * SECOND), "");
        assert_int_equal(info_of(window).watermark_ms, at_8 + 9 * MINUTE + 58 * SECOND); /* SQL's: no -1 */
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 50 * SECOND), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 4 * SECOND + 998), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 4 * SECOND + 999), "480-490 2");
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 59 * SECOND), i == 0 ? "" : "480-490 3+");
        assert_int_equal(to.late, i == 0);
        assert_int_equal(to.last_late_ms, i == 0 ? at_8 + 9 * MINUTE + 59 * SECOND : 0);
        assert_int_equal(info_of(window).late_count, i == 0);
        assert_int_equal(info_of(window).update_count, i);
        assert_int_equal(info_of(window).result_count, 1 + i);
        if (i == 1) { /* Until the watermark is at end - 1 + lateness. */
            assert_string_equal(row_comes(window, producer, at_8 + 11 * MINUTE + 4 * SECOND + 998), "");
            assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE), "480-490 4+");
            assert_string_equal(row_comes(window, producer, at_8 + 11 * MINUTE + 4 * SECOND + 999), "");
            assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE), "");
            assert_int_equal(to.late, 1);
        }
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

static void touching_sessions_merge(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_SESSION, 10, &to);
    ls_window *window = open_window(stream, NULL, &options);

    sink_clear(&to);
    put_in(producer, -1, "k", 0, 1);
    put_in(producer, -1, "k", 10, 1);
    put_in(producer, -1, "k", 21, 1);
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "0-20 2");
    assert_int_equal(ls_window_flush(window), LS_OK);
    assert_string_equal(said(&to), "21-31 1-");
    assert_int_equal(to.last.pane, LS_WINDOW_EARLY);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- batch by batch ---- */

static ls_iterator *open_shard(ls_stream *stream, uint32_t shard, const ls_position *position)
{
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_iterator_open(stream, shard, position, NULL, &iterator), LS_OK);
    return iterator;
}

static const ls_batch *next_of(ls_iterator *iterator, uint32_t records_max)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;

    options.records_max = records_max;
    assert_int_equal(ls_iterator_next(iterator, &options, &batch), LS_OK);
    return batch;
}

static void a_new_shard_holds_back_and_releases(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_iterator *iterators[2];
    ls_window *window;
    ls_position at;

    sink_clear(&to);
    options.idle_timeout_ms = 30;
    window = open_window(stream, NULL, &options);
    for (uint32_t i = 0; i < 2; i++)
        iterators[i] = open_shard(stream, i, NULL);
    put_in(producer, 0, "k", 5, 1);
    put_in(producer, 0, "k", 15, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_string_equal(said(&to), "0-10 1"); /* The only one that is known. */
    assert_int_equal(ls_window_add_shard(window, 1), LS_OK);
    assert_int_equal(ls_window_add_shard(window, 1), LS_OK); /* twice */
    assert_int_equal(info_of(window).shard_count, 2);
    assert_int_equal(ls_window_position(window, 1, &at), LS_OK);
    assert_int_equal(at.kind, LS_TRIM_HORIZON);
    put_in(producer, 0, "k", 25, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_string_equal(said(&to), "");
    put_in(producer, 1, "k", 16, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[1], 100)), LS_OK);
    assert_string_equal(said(&to), "");
    put_in(producer, 0, "k", 35, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_int_equal(ls_window_tip(window, 1), LS_OK);
    assert_string_equal(said(&to), "");
    sleep_ms(40);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK); /* empty */
    assert_string_equal(said(&to), "");
    assert_int_equal(ls_window_tip(window, 1), LS_OK); /* It is idle now. */
    assert_string_equal(said(&to), "10-20 2; 20-30 1");
    assert_int_equal(info_of(window).watermark_ms, 35);
    for (uint32_t i = 0; i < 2; i++)
        ls_iterator_close(iterators[i]);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_batch_that_comes_again_is_passed_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 100, &to);
    ls_window *window = open_window(stream, NULL, &options);
    ls_iterator *iterator = open_shard(stream, 0, NULL), *again;
    ls_position at = {.kind = LS_TRIM_HORIZON};
    ls_record_id last = {0, 0, 0};

    sink_clear(&to);
    for (int i = 0; i < 10; i++)
        last = put_in(producer, -1, "k", i, 1);
    assert_int_equal(ls_window_add(window, next_of(iterator, 6)), LS_OK);
    assert_int_equal(ls_iterator_seek(iterator, &at), LS_OK);
    assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
    assert_int_equal(info_of(window).added_count, 10);
    assert_int_equal(info_of(window).repeated_count, 6);
    assert_int_equal(ls_window_position(window, 0, &at), LS_OK);
    assert_int_equal(at.kind, LS_AFTER_SEQUENCE_NUMBER);
    assert_int_equal(at.seqno, last.seqno);
    put_in(producer, -1, "k", 100, 1);
    again = open_shard(stream, 0, &at);
    assert_int_equal(ls_window_add(window, next_of(again, 100)), LS_OK);
    assert_string_equal(said(&to), "0-100 10");
    ls_iterator_close(again);
    ls_iterator_close(iterator);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A batch that ends its shard makes inputs of its children, which begin with its watermark. */
static void children_begin_with_the_watermark_of_their_parent(void **state)
{
    fixture *fx = *state;

    for (int anew = 0; anew < 2; anew++) {
        ls_stream *stream = make_stream(fx, anew ? "anew" : "inherits", 1);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
        ls_iterator *iterator = open_shard(stream, 0, NULL);
        ls_hash_key middle = {UINT64_C(1) << 63, 0};
        ls_window *window;
        const ls_batch *batch;

        sink_clear(&to);
        options.delay_ms = 10;
        options.flags |= anew ? LS_WINDOW_BEGIN_ANEW : 0;
        window = open_window(stream, NULL, &options);
        put_in(producer, -1, "k", 5, 1);
        put_in(producer, -1, "k", 29, 1);
        assert_int_equal(ls_stream_split(stream, 0, &middle, NULL, NULL), LS_OK);
        batch = next_of(iterator, 100);
        assert_int_equal(ls_batch_is_shard_end(batch), 1);
        assert_int_equal(ls_window_add(window, batch), LS_OK);
        assert_string_equal(said(&to), "0-10 1");
        assert_int_equal(info_of(window).shard_count, 2);
        ls_iterator_close(iterator);
        put_in(producer, 0, "k", 60, 1); /* Of one child only. */
        iterator = open_shard(stream, 1, NULL);
        assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
        assert_string_equal(said(&to), "");
        assert_int_equal(info_of(window).watermark_ms, 19);
        ls_iterator_close(iterator);
        put_in(producer, 2, "k", 19, 1); /* The other one's is late, by the parent's. */
        iterator = open_shard(stream, 2, NULL);
        assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
        assert_int_equal(to.late, 1);
        ls_iterator_close(iterator);
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_bid_table_gives_11_and_10),
        TEST(a_late_row_is_left_over_or_makes_an_update),
        TEST(touching_sessions_merge),
        TEST(a_new_shard_holds_back_and_releases),
        TEST(a_batch_that_comes_again_is_passed_over),
        TEST(children_begin_with_the_watermark_of_their_parent),
    };

    run_everywhere("windows", tests);
}
