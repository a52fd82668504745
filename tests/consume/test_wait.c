/* Waiting: how long, what ends it, and that nothing is missed. */
#include "consume/support.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* Goal: a timeout is kept in monotonic time, and the batch is empty. Method: a clock that sleeping moves. */
static void a_wait_ends_when_its_time_is_over(void **state)
{
    const ls_batch *batch;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "");
    assert_int_equal(memory_engine_slept_us(fx.engine), 0); /* 0 polls */
    assert_string_equal(next_of(&fx, 1, 1, &batch), "");
    assert_int_equal(memory_engine_slept_us(fx.engine), 1000);
    assert_string_equal(next_of(&fx, 1, 3600000, &batch), "");
    assert_int_equal(memory_engine_slept_us(fx.engine), 3600001000);
    assert_int_equal(batch->count, 0);
    end(&fx);
}

static void append_now(void *user)
{
    fixture *fx = user;

    memory_engine_on_sleep(fx->engine, NULL, NULL);
    memory_engine_on_arm(fx->engine, NULL, NULL);
    append(fx, 0, "late");
}

/* Goal: what comes between the look and the sleep is not missed. Method: it is appended as the sleep begins,
 * and as the arming does. */
static void a_record_between_look_and_sleep_is_seen(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, append_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, NULL), "late");
    memory_engine_on_arm(fx.engine, append_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, NULL), "late");
    assert_int_equal(memory_engine_slept_us(fx.engine), 0);
    lsi_iterator_close(fx.iterator);
    open_all(&fx, NULL);
    assert_string_equal(next(&fx), "late late");
    memory_engine_on_sleep(fx.engine, append_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, NULL), "late");
    assert_int_equal(memory_engine_slept_us(fx.engine), 0);
    end(&fx);
}

static void append_silently_now(void *user)
{
    fixture *fx = user;

    memory_engine_on_sleep(fx->engine, NULL, NULL);
    (void)memory_engine_append_silently(fx->engine, 0, "k", "orphan");
}

/* P1: a writer that was killed before it woke anybody holds a reader up for less than a second. */
static void a_record_that_nobody_announced_is_found_within_a_second(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, append_silently_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, NULL), "orphan");
    assert_in_range(memory_engine_slept_us(fx.engine), 1, 1000000);
    end(&fx);
}

/* A cancel before the call ends the next one that finds nothing, once; with something there it waits its turn. */
static void a_cancel_ends_one_call_that_finds_nothing(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, NULL);
    lsi_iterator_cancel(fx.iterator);
    assert_string_equal(next(&fx), "a");
    assert_int_equal(next_status(&fx, 0), LS_ERR_CANCELLED);
    assert_string_equal(next(&fx), "");
    lsi_iterator_cancel(fx.iterator);
    lsi_iterator_cancel(fx.iterator);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    assert_string_equal(next(&fx), "");
    append(&fx, 0, "b");
    assert_string_equal(next(&fx), "b"); /* the place was unchanged */
    end(&fx);
}

static void cancel_now(void *user)
{
    fixture *fx = user;

    memory_engine_on_sleep(fx->engine, NULL, NULL);
    memory_engine_on_arm(fx->engine, NULL, NULL);
    lsi_iterator_cancel(fx->iterator);
}

/* C3: a cancel between the look and the sleep is not lost. */
static void a_cancel_between_look_and_sleep_is_not_lost(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, cancel_now, &fx);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    memory_engine_on_arm(fx.engine, cancel_now, &fx);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    assert_int_equal(memory_engine_slept_us(fx.engine), 0);
    lsi_iterator_close(fx.iterator);
    open_all(&fx, NULL);
    memory_engine_on_sleep(fx.engine, cancel_now, &fx);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    memory_engine_on_arm(fx.engine, cancel_now, &fx);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    assert_int_equal(memory_engine_slept_us(fx.engine), 0);
    end(&fx);
}

/* A signal ends a wait only where that was asked for. */
static void a_signal_ends_a_wait_where_asked_for(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_interrupt(fx.engine);
    assert_string_equal(next_of(&fx, 1, 50, NULL), "");
    assert_int_equal(memory_engine_slept_us(fx.engine), 50000);
    lsi_iterator_close(fx.iterator);
    assert_int_equal(lsi_iterator_open(fx.stream, 0, NULL, LS_ITERATOR_INTERRUPTIBLE, &fx.iterator), LS_OK);
    memory_engine_interrupt(fx.engine);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    assert_string_equal(next(&fx), "");
    end(&fx);
}

static void delete_now(void *user)
{
    fixture *fx = user;

    memory_engine_on_sleep(fx->engine, NULL, NULL);
    memory_engine_delete_stream(fx->engine);
}

/* Waiting readers learn of a deletion. */
static void a_deletion_ends_a_wait(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, delete_now, &fx);
    assert_int_equal(next_status(&fx, -1), LS_ERR_NOT_FOUND);
    end(&fx);
}

static void split_now(void *user)
{
    fixture *fx = user;

    memory_engine_on_sleep(fx->engine, NULL, NULL);
    append(fx, memory_engine_split(fx->engine, 0), "child");
}

/* A single iterator that waits at the tip is told of the end; a merged one goes on with the children. */
static void a_split_ends_a_wait(void **state)
{
    const ls_batch *batch;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, split_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, &batch), "");
    assert_true(batch->is_shard_end);
    assert_int_equal(batch->child_count, 2);
    end(&fx);
    begin(&fx, 1);
    open_all(&fx, NULL);
    memory_engine_on_sleep(fx.engine, split_now, &fx);
    assert_string_equal(next_of(&fx, 1, -1, &batch), "child");
    end(&fx);
}

/* A time that would overflow has no end. */
static void a_huge_timeout_has_no_end(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, append_now, &fx);
    assert_string_equal(next_of(&fx, 1, INT64_MAX, NULL), "late");
    end(&fx);
}

/* ---- with real threads ---- */

#define ROUNDS 2000

typedef struct race {
    fixture fx;
    size_t read, cancelled;
} race;

static void *read_all(void *user)
{
    race *r = user;

    while (r->read < ROUNDS || r->cancelled == 0) {
        const ls_batch *batch;
        ls_status st = lsi_iterator_next(r->fx.iterator, 3, BYTES_MAX, -1, &batch);

        if (st == LS_ERR_CANCELLED) {
            r->cancelled++;
            continue;
        }
        if (st != LS_OK)
            return "reading failed";
        r->read += batch->count;
    }
    return NULL;
}

/* Goal: no wake and no cancel is lost between threads. Method: one reads without end, one appends, one cancels; each
 * record arrives, and the last cancel ends the last wait. A lost one shows as a wait of half a second, thousands of
 * times, or as no end at all. */
static void appends_and_cancels_reach_a_waiting_thread(void **state)
{
    for (int merged = 0; merged < 2; merged++) {
        struct timespec began, ended;
        race r = {.read = 0};
        pthread_t reader;
        void *trouble;

        (void)state;
        r.fx.engine = memory_engine_new(2, LS_DURABILITY_SYNC);
        r.fx.stream = memory_engine_stream(r.fx.engine);
        if (merged)
            open_all(&r.fx, NULL);
        else
            open_one(&r.fx, 1, NULL);
        clock_gettime(CLOCK_MONOTONIC, &began);
        assert_int_equal(pthread_create(&reader, NULL, read_all, &r), 0);
        for (int i = 0; i < ROUNDS; i++) {
            append(&r.fx, 1, "x");
            if (i % 7 == 0)
                lsi_iterator_cancel(r.fx.iterator);
            if (i % 50 == 0)
                usleep(200);
        }
        usleep(1000);
        lsi_iterator_cancel(r.fx.iterator);
        assert_int_equal(pthread_join(reader, &trouble), 0);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        assert_null(trouble);
        assert_int_equal(r.read, ROUNDS);
        assert_true(r.cancelled >= 1);
        assert_true(ended.tv_sec - began.tv_sec < 60);
        end(&r.fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(a_record_between_look_and_sleep_is_seen),
        cmocka_unit_test(a_record_that_nobody_announced_is_found_within_a_second),
        cmocka_unit_test(a_cancel_ends_one_call_that_finds_nothing),
        cmocka_unit_test(a_cancel_between_look_and_sleep_is_not_lost),
        cmocka_unit_test(a_signal_ends_a_wait_where_asked_for),
        cmocka_unit_test(a_deletion_ends_a_wait),
        cmocka_unit_test(a_split_ends_a_wait),
        cmocka_unit_test(a_huge_timeout_has_no_end),
        cmocka_unit_test(appends_and_cancels_reach_a_waiting_thread),
    };

    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
