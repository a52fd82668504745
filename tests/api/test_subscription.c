/* Subscribing as consumer.h promises it: what is pushed, from where, in which batches; of one shard, and of all. */
#include "api/consumer_support.h"

/* ---- subscribing to a shard ---- */

static void records_are_pushed_as_they_come(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of;

    put_numbers(stream, 0, 10);
    watch_init(&of, consumer);
    watch_start(&of);
    await(&of.records, 10);
    put_numbers(stream, 10, 30);
    await(&of.records, 20);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_non_null(strstr(of.message, "cancelled"));
    assert_true(pthread_equal(of.pushed_on, of.thread)); /* on the thread that called */
    assert_numbers(&of, 0, 30);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_subscription_begins_where_its_position_says(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position position = {.kind = LS_LATEST};
    ls_record_id ids[5];
    ls_producer *producer = NULL;
    watch of;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 5; i++) {
        char data[4];

        snprintf(data, sizeof data, "%d", i);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, &ids[i]), LS_OK);
    }
    for (int kind = LS_TRIM_HORIZON; kind <= LS_AT_TIMESTAMP; kind++) {
        uint32_t from = kind == LS_AT_SEQUENCE_NUMBER ? 2 : kind == LS_AFTER_SEQUENCE_NUMBER ? 3 : 0;

        if (kind == LS_LATEST)
            continue;
        watch_init(&of, consumer);
        position = (ls_position){.kind = kind};
        if (from != 0)
            position.seqno = ids[2].seqno;
        if (kind == LS_AT_TIMESTAMP)
            position.timestamp_us = 1;
        of.position = &position;
        of.stop_after = 5 - from;
        assert_int_equal(watch_here(&of), LS_OK);
        assert_numbers(&of, from, 5);
    }
    /* LATEST: what is put once the first batch was pushed. */
    watch_init(&of, consumer);
    position = (ls_position){.kind = LS_LATEST};
    of.position = &position;
    of.stop_after = 1;
    watch_start(&of);
    assert_int_equal(ls_producer_put(producer, text("k"), text("5"), NULL, NULL), LS_OK);
    assert_int_equal(watch_join(&of), LS_OK);
    assert_numbers(&of, 5, 6);
    /* What ls_iterator_open refuses. */
    watch_init(&of, consumer);
    position = (ls_position){.kind = 77};
    of.position = &position;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    position = (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX};
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    of.position = NULL;
    of.shard = 7;
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_callback_that_says_stop_ends_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of, next;

    put_numbers(stream, 0, 20);
    watch_init(&of, consumer);
    of.options.records_max = 4;
    of.stop_after = 10;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_numbers(&of, 0, 12); /* whole batches */
    assert_int_equal(of.largest, 4);
    /* It goes on behind the last batch. */
    watch_init(&next, consumer);
    next.from_place = of.place;
    next.stop_after = 8;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 12, 20);
    /* An answer that is none. */
    watch_init(&of, consumer);
    of.stop_after = 1;
    of.answer = 7;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(of.message, "7"));
    assert_int_equal(of.batches, 2);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void batches_keep_to_their_limits(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of;

    put_numbers(stream, 0, 6);
    watch_init(&of, consumer);
    of.options.bytes_max = 5; /* two records of a key and a digit */
    of.stop_after = 6;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.largest, 2);
    watch_init(&of, consumer);
    of.options.bytes_max = 1; /* always one */
    of.stop_after = 6;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.largest, 1);
    watch_init(&of, consumer);
    of.options.flags = 2;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    of.options.flags = 0;
    of.options.size = 1;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_subscribe(consumer, 9, NULL, NULL, take, &of), LS_ERR_NOT_FOUND); /* NULL: defaults */
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_empty_batch_is_pushed_when_nothing_comes(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position latest = {.kind = LS_LATEST};
    char place[1024];
    watch of, next;

    put_numbers(stream, 0, 3);
    watch_init(&of, consumer);
    of.position = &latest;
    of.options.heartbeat_ms = 10;
    watch_start(&of);
    await(&of.beats, 3);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(of.count, 0);
    strcpy(place, of.place);
    put_numbers(stream, 3, 5);
    /* Behind an empty batch stands where it began: what LATEST meant then. */
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    watch_init(&next, consumer);
    next.from_place = place;
    next.stop_after = 2;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 3, 5);
    next.from_place = "nothing that was written";
    assert_int_equal(watch_here(&next), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_push_answer measure_place(const ls_batch *batch, void *user)
{
    size_t *needed = user;
    char small[4] = "abc", whole[512];

    if (ls_batch_place(batch, NULL, 0, needed) == LS_ERR_TOO_LARGE &&
        ls_batch_place(batch, small, sizeof small, NULL) == LS_ERR_TOO_LARGE && strcmp(small, "abc") == 0 &&
        ls_batch_place(batch, whole, *needed, NULL) == LS_OK && strlen(whole) + 1 == *needed)
        return LS_PUSH_STOP;
    return 99;
}

/* Without `heartbeat_ms` none is. */
static void no_empty_batch_is_pushed_by_default(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    int beats = -1;
    watch of;

    watch_init(&of, consumer);
    watch_start(&of);
    (void)usleep(150000);
    assert_int_equal(sem_getvalue(&of.beats, &beats), 0);
    assert_int_equal(beats, 0);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct sizes {
    size_t count, largest;
} sizes;

static ls_push_answer note_size(const ls_batch *batch, void *user)
{
    sizes *of = user;

    of->largest = ls_batch_count(batch) > of->largest ? ls_batch_count(batch) : of->largest;
    of->count -= ls_batch_count(batch);
    return of->count == 0 ? LS_PUSH_STOP : LS_PUSH_DONE;
}

/* Puts `count` records of so many bytes, and subscribes to them: the largest batch. */
static size_t largest_of(ls_stream *stream, ls_consumer *consumer, size_t count, size_t bytes,
                         const ls_subscribe_options *options)
{
    ls_put_entry *entries = calloc(count, sizeof *entries);
    ls_put_result *results = calloc(count, sizeof *results);
    char *data = calloc(1, bytes);
    ls_position from = {.kind = LS_AT_SEQUENCE_NUMBER};
    sizes of = {.count = count};
    ls_producer *producer = NULL;

    for (size_t i = 0; i < count; i++)
        entries[i] = (ls_put_entry){text("k"), {data, bytes - 1}, NULL};
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, count, NULL, results, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    from.seqno = results[0].seqno;
    assert_int_equal(ls_consumer_subscribe(consumer, 0, &from, options, note_size, &of), LS_OK);
    free(entries);
    free(results);
    free(data);
    return of.largest;
}

/* Goal: 10,000 records and 256 KiB; 10 MiB when a number of records is asked for; keys count. */
static void batches_have_limits_by_default(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;

    assert_int_equal(largest_of(stream, consumer, 10001, 2, NULL), 10000);
    assert_int_equal(largest_of(stream, consumer, 300, 1024, &options), 256);
    options.records_max = 20000;
    assert_int_equal(largest_of(stream, consumer, 12, 1u << 20, &options), 10);
    assert_int_equal(largest_of(stream, consumer, 10001, 2, &options), 10001);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: what is pushed is no read of the provisioned stream. Method: one read a second, and a clock that stands. */
static void what_is_pushed_is_not_counted_as_reads(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_consumer *consumer;
    watch of;
    clocked at;

    clocked_open(fx, &at);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_calls_per_second = 1;
    assert_int_equal(ls_stream_create(at.store, STREAM, &options), LS_OK);
    assert_int_equal(ls_stream_open(at.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    watch_init(&of, consumer);
    watch_start(&of);
    for (uint32_t i = 0; i < 5; i++) {
        put_numbers(stream, i, i + 1);
        await(&of.records, 1);
    }
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(at.store), LS_OK);
}

static void a_place_says_how_much_it_needs(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    char one[512], two[512];
    size_t needed = 0;

    put_numbers(stream, 0, 3);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, measure_place, &needed), LS_OK);
    assert_true(needed > 10);
    /* Of an iterator's batch it is the iterator's. */
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), i == 0 ? 3 : 0);
        assert_int_equal(ls_batch_place(batch, one, sizeof one, NULL), LS_OK);
        assert_int_equal(ls_iterator_place(iterator, two, sizeof two, NULL), LS_OK);
        assert_string_equal(one, two);
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- ends, and all shards ---- */

static void the_end_of_a_shard_comes_with_its_children_and_ends_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    uint32_t lower, upper;
    watch of;

    put_numbers(stream, 0, 5);
    watch_init(&of, consumer);
    watch_start(&of);
    await(&of.records, 5);
    assert_int_equal(ls_stream_split(stream, 0, NULL, &lower, &upper), LS_OK); /* under one who waits */
    assert_int_equal(watch_join(&of), LS_OK);
    assert_int_equal(of.ends, 1);
    assert_int_equal(of.children, 2);
    assert_numbers(&of, 0, 5);
    watch_init(&of, consumer); /* and for one who comes later */
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.ends, 1);
    assert_numbers(&of, 0, 5);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void all_shards_are_read_children_after_their_parents(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position numbered = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1};
    uint32_t lower, upper, child;
    watch of, next;

    put_numbers(stream, 0, 10);
    watch_init(&of, consumer);
    of.is_all = true;
    watch_start(&of);
    await(&of.records, 10);
    assert_int_equal(ls_stream_split(stream, 0, NULL, &lower, &upper), LS_OK);
    assert_int_equal(ls_stream_merge(stream, upper, 1, &child), LS_OK);
    put_numbers(stream, 10, 20);
    await(&of.records, 10);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_numbers(&of, 0, 20); /* one key: in its order, through both changes */
    assert_true(of.shards[19] > 1);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    put_numbers(stream, 20, 24);
    watch_init(&next, consumer);
    next.from_place = of.place;
    next.stop_after = 4;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 20, 24);
    watch_init(&next, consumer);
    next.is_all = true;
    next.position = &numbered;
    assert_int_equal(watch_here(&next), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_are_pushed_as_they_come),
        TEST(a_subscription_begins_where_its_position_says),
        TEST(a_callback_that_says_stop_ends_it),
        TEST(batches_keep_to_their_limits),
        TEST(an_empty_batch_is_pushed_when_nothing_comes),
        TEST(no_empty_batch_is_pushed_by_default),
        TEST(batches_have_limits_by_default),
        TEST(what_is_pushed_is_not_counted_as_reads),
        TEST(a_place_says_how_much_it_needs),
        TEST(the_end_of_a_shard_comes_with_its_children_and_ends_it),
        TEST(all_shards_are_read_children_after_their_parents),
    };

    run_everywhere("subscriptions", tests);
}
