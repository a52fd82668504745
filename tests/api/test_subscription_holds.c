/* Subscribing as consumer.h promises it: the one subscription that a consumer has to a shard, what ends it, its own
 * limit. */
#include "api/consumer_support.h"

/* ---- one subscription to a shard ---- */

static void a_second_subscription_is_refused_and_later_takes_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_consumer *consumer, *again;
    watch first, second;
    clocked of;

    clocked_open(fx, &of);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    again = open_consumer(stream, "a");
    watch_init(&first, consumer);
    watch_start(&first);
    atomic_fetch_add(&of.us, 4999000);
    watch_init(&second, again);
    second.shard = 0;
    assert_int_equal(watch_here(&second), LS_ERR_STATE);
    assert_non_null(strstr(second.message, " 1 ms"));
    assert_non_null(strstr(second.message, "'a'"));
    assert_int_equal(second.batches, 0);
    second.is_all = true; /* it would have it too */
    assert_int_equal(watch_here(&second), LS_ERR_STATE);
    second.is_all = false;
    atomic_fetch_add(&of.us, 1000);
    watch_start(&second);
    assert_int_equal(watch_join(&first), LS_ERR_LEASE_LOST); /* who waits is woken */
    assert_non_null(strstr(first.message, "taken over"));
    /* The 5 seconds are those of the second one now. What is put goes to it alone. */
    put_numbers(stream, 0, 3);
    await(&second.records, 3);
    assert_int_equal(first.count, 0);
    watch_init(&first, consumer);
    assert_int_equal(watch_here(&first), LS_ERR_STATE);
    /* Long after them it is the same. */
    atomic_fetch_add(&of.us, 7000000);
    watch_start(&first);
    assert_int_equal(watch_join(&second), LS_ERR_LEASE_LOST);
    /* One that has ended makes room at once. */
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&first), LS_ERR_CANCELLED);
    watch_init(&second, again);
    second.stop_after = 3;
    assert_int_equal(watch_here(&second), LS_OK);
    assert_numbers(&second, 0, 3);
    assert_int_equal(ls_consumer_close(again), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

static void a_bad_argument_takes_no_subscription_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_consumer *consumer, *again;
    ls_position future = {.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX};
    watch first, second;
    clocked of;

    clocked_open(fx, &of);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    again = open_consumer(stream, "a");
    watch_init(&first, consumer);
    watch_start(&first);
    atomic_fetch_add(&of.us, 6000000);
    watch_init(&second, again);
    second.position = &future;
    assert_int_equal(watch_here(&second), LS_ERR_INVALID_ARGUMENT);
    put_numbers(stream, 0, 1);
    await(&first.records, 1);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&first), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(again), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

static void consumers_and_shards_do_not_get_in_each_others_way(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *a = make_consumer(stream, "a"), *b = make_consumer(stream, "b");
    watch watches[4];

    for (uint32_t i = 0; i < 4; i++) { /* one handle, two shards; one shard, two consumers */
        watch_init(&watches[i], i < 2 ? a : b);
        watches[i].shard = i % 2;
        watch_start(&watches[i]);
    }
    for (uint32_t i = 0; i < 40; i++) {
        char key[8], data[8];

        snprintf(key, sizeof key, "k%u", i);
        snprintf(data, sizeof data, "%u", i);
        put_text(stream, key, data);
    }
    for (uint32_t waited = 0; waited < 400; waited++) {
        struct timespec rest = {0, 10000000};
        int seen[4], sum[2];

        for (int i = 0; i < 4; i++)
            assert_int_equal(sem_getvalue(&watches[i].records, &seen[i]), 0);
        sum[0] = seen[0] + seen[1];
        sum[1] = seen[2] + seen[3];
        if (sum[0] == 40 && sum[1] == 40)
            break;
        (void)nanosleep(&rest, NULL);
    }
    ls_consumer_cancel(a);
    ls_consumer_cancel(b);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(watch_join(&watches[i]), LS_ERR_CANCELLED);
    assert_int_equal(watches[0].count + watches[1].count, 40);
    assert_int_equal(watches[0].count, watches[2].count);
    assert_int_equal(watches[1].count, watches[3].count);
    assert_true(watches[0].count > 0 && watches[1].count > 0);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    assert_int_equal(ls_consumer_close(b), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void deregistering_ends_a_subscription(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of, all;

    watch_init(&of, consumer);
    watch_start(&of);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(watch_join(&of), LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of.message, "deregistered"));
    /* The handle is of that one, not of the next one of its name. */
    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    watch_init(&of, consumer);
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    watch_init(&all, consumer);
    all.is_all = true;
    watch_start(&all);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(watch_join(&all), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    /* So does deleting the stream. */
    consumer = make_consumer(stream, "b");
    watch_init(&of, consumer);
    watch_start(&of);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK);
    assert_int_equal(watch_join(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = NULL;
    assert_int_equal(ls_consumer_open(stream, "b", &consumer), LS_ERR_NOT_FOUND);
    assert_null(consumer);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- limits of provisioned streams ---- */

/* Goal: a consumer's own bytes a second, beside what iterators share. Method: the test's clock; heartbeats show that
 * the records which are there are held back. */
static void each_consumer_has_its_own_limit(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_next_options all = LS_NEXT_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_consumer *a, *b;
    watch first, second;
    int64_t pushed_at;
    int first_beat = -1;
    clocked of;

    clocked_open(fx, &of);
    pushed_at = atomic_load(&of.us);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_bytes_per_second = 1024;
    options.read_calls_per_second = 1;
    assert_int_equal(ls_stream_create(of.store, STREAM, &options), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    a = make_consumer(stream, "a");
    b = make_consumer(stream, "b");
    for (int i = 0; i < 12; i++) {
        char data[256];

        memset(data, ' ', sizeof data);
        snprintf(data, sizeof data, "%d", i);
        data[strlen(data)] = ' ';
        {
            ls_producer *producer = NULL;

            assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
            assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 255}, NULL, NULL), LS_OK);
            assert_int_equal(ls_producer_close(producer), LS_OK);
        }
    }
    /* The iterators' share is used up. */
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    all.records_max = 8;
    assert_int_equal(ls_iterator_next(iterator, &all, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 8);
    assert_int_equal(ls_iterator_next(iterator, &all, &batch), LS_ERR_THROTTLED);
    /* Eight records of 256 bytes go at once and are two seconds' worth; reads are not counted. */
    watch_init(&first, a);
    first.options.records_max = 8;
    first.options.heartbeat_ms = 5;
    watch_start(&first);
    await(&first.records, 8);
    watch_init(&second, b);
    second.options.records_max = 8;
    watch_start(&second);
    await(&second.records, 8); /* the other's limit is its own */
    /* A heartbeat is due, once it has begun to wait: it comes, although there are records. */
    for (int i = 0; i < 200 && first_beat != 0; i++) {
        struct timespec rest = {0, 20000000};

        atomic_fetch_add(&of.us, 6000);
        (void)nanosleep(&rest, NULL);
        first_beat = sem_trywait(&first.beats);
    }
    assert_int_equal(first_beat, 0);
    atomic_store(&of.us, pushed_at + 1990000);
    for (int i = 0; i < 3; i++) {
        struct timespec rest = {0, 50000000};

        (void)nanosleep(&rest, NULL);
        assert_int_equal(sem_trywait(&first.records), -1);
        assert_int_equal(sem_trywait(&second.records), -1);
    }
    atomic_store(&of.us, pushed_at + 2000001);
    await(&first.records, 4);
    await(&second.records, 4);
    /* One subscription a second. */
    ls_consumer_cancel(a);
    atomic_fetch_add(&of.us, 1000000);
    assert_int_equal(watch_join(&first), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    a = open_consumer(stream, "a");
    watch_init(&first, a);
    first.stop_after = 1;
    atomic_fetch_add(&of.us, 5000000);
    assert_int_equal(watch_here(&first), LS_OK);
    atomic_fetch_add(&of.us, 400000);
    assert_int_equal(watch_here(&first), LS_ERR_THROTTLED);
    assert_int_equal(ls_last_error_retry_after_ms(), 600);
    atomic_fetch_add(&of.us, 600000);
    assert_int_equal(watch_here(&first), LS_OK);
    ls_consumer_cancel(b);
    atomic_fetch_add(&of.us, 1000000);
    assert_int_equal(watch_join(&second), LS_ERR_CANCELLED);
    ls_iterator_close(iterator);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    assert_int_equal(ls_consumer_close(b), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

/* ---- threads ---- */

static void *cancel_soon(void *user)
{
    struct timespec rest = {0, 200000};

    (void)nanosleep(&rest, NULL);
    ls_consumer_cancel(user);
    return NULL;
}

/* Goal: no cancel is lost, whenever it comes. Method: again and again at about the time at which a subscription begins
 * and begins to wait. */
static void a_cancel_is_never_lost(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);

    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    for (int i = 0; i < 200; i++) {
        ls_consumer *consumer = open_consumer(stream, "a");
        pthread_t thread;
        watch of;

        watch_init(&of, consumer);
        of.is_all = i % 2 == 0;
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, consumer), 0);
        assert_int_equal(watch_here(&of), LS_ERR_CANCELLED);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(ls_consumer_close(consumer), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_subscription_is_refused_and_later_takes_over),
        TEST(a_bad_argument_takes_no_subscription_over),
        TEST(consumers_and_shards_do_not_get_in_each_others_way),
        TEST(deregistering_ends_a_subscription),
        TEST(each_consumer_has_its_own_limit),
        TEST(a_cancel_is_never_lost),
    };

    run_everywhere("one subscription", tests);
}
