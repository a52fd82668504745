/* Running mappings, as mapping.h promises it: what ends a run, and what it goes by while it lasts. */
#include "api/mapping_support.h"

#include "api/api.h"
#include "consume/mapping/mapping.h"

/* ---- what ends a run, and what it goes by ---- */

static void a_handler_can_stop_the_run_and_its_batch_comes_again(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.records_max = 10;
    put_numbers(stream, 0, 30, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->options.flags = 0;
    of->stops_at = 15;
    run_now(of);
    assert_int_equal(of->count, 10);
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    run_now(of);
    assert_all_once_in_order(of, 30, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct stopping {
    ls_mapping *mapping;
    _Atomic uint32_t begun, late;
    _Atomic bool is_stopped;
} stopping;

static ls_handler_answer stop_at_the_fifth(const ls_batch *batch, ls_handler_context *context, void *user)
{
    stopping *of = user;

    (void)batch;
    (void)context;
    atomic_fetch_add(&of->late, atomic_load(&of->is_stopped));
    if (atomic_fetch_add(&of->begun, 1) == 4) {
        ls_mapping_stop(of->mapping);
        atomic_store(&of->is_stopped, true);
    }
    return LS_HANDLER_DONE;
}

/* Goal: no handler is called any more, however much there is. Method: a record a batch, thousands of them; behind the
 * call in the handler at most those of other shards are late that had just begun. */
static void no_handler_begins_behind_a_stop(void **state)
{
    enum { SHARDS = 3, ROUNDS = 5 };
    ls_stream *stream = make_stream(*state, STREAM, SHARDS);
    ls_mapping_options options = defaults();
    stopping of = {NULL};

    options.records_max = 1;
    put_numbers(stream, 0, 5000, 20);
    make_mapping(stream, &options);
    assert_int_equal(ls_mapping_open(stream, "m", &of.mapping), LS_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        atomic_store(&of.begun, 0);
        atomic_store(&of.is_stopped, false);
        assert_int_equal(ls_mapping_run(of.mapping, NULL, stop_at_the_fifth, &of), LS_OK);
    }
    assert_true(atomic_load(&of.late) <= ROUNDS * (SHARDS - 1));
    assert_int_equal(ls_mapping_close(of.mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_waits_while_the_mapping_is_paused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;
    int value;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    await_given_back(stream);
    put_numbers(stream, 1, 10, 1);
    usleep(100000);
    assert_int_equal(sem_getvalue(&of->handled, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
    await(&of->handled, 9);
    run_stop(of);
    assert_all_once_in_order(of, 10, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_goes_by_new_settings(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    options.records_max = 2;
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    await_given_back(stream);
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    put_numbers(stream, 1, 20, 1);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
    await(&of->handled, 19);
    run_stop(of);
    assert_all_once_in_order(of, 20, 1);
    assert_int_equal(of->largest, 2);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_mapping_is_moved_also_while_it_is_run(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    const ls_position latest = {.kind = LS_LATEST}, bad = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1};
    ls_mapping_description *description = NULL;
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    run *of;

    put_numbers(stream, 0, 20, 7);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 20);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK); /* back */
    of->count = 0;
    run_now(of);
    assert_all_once_in_order(of, 20, 7);
    put_numbers(stream, 20, 30, 7);
    assert_int_equal(ls_mapping_seek(stream, "m", &latest), LS_OK); /* forwards */
    put_numbers(stream, 30, 33, 7);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 3);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_info(description, &info), LS_OK);
    assert_int_equal(info.start, LS_LATEST);
    ls_mapping_description_free(description);
    while (sem_trywait(&of->handled) == 0)
        continue;
    of->count = 0;
    run_start(of);
    put_numbers(stream, 33, 34, 7);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
    await(&of->handled, 34);
    run_stop(of);
    assert_int_equal(of->count, 35);
    assert_int_equal(of->numbers[0], 33);
    assert_int_equal(ls_mapping_seek(stream, "m", &bad), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_seek(stream, "n", &horizon), LS_ERR_NOT_FOUND);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_of_a_deleted_mapping_ends(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of->message, "'m'"));
    make_mapping(stream, NULL); /* one of the same name begins anew, and is not what the handle was opened for */
    run_body(of);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    run_free(of);
    of = run_new(stream, "m");
    run_now(of);
    assert_all_once_in_order(of, 1, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: what a later release has made of a mapping ends a run, and is neither run nor changed. Method: the number of
 * its format, with which its value begins. */
static void a_mapping_of_a_later_release_is_left_alone(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    lsi_state_change change = {.key = text(LSI_MAPPING_PREFIX "m"), .expected = LSI_STATE_ANY};
    ls_mapping_description *description = NULL;
    ls_mapping_list *list = NULL;
    unsigned char bytes[4096];
    lsi_mapping *mapping = NULL;
    ls_mapping *opened = NULL;
    ls_bytes value;
    uint32_t conflict;
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(lsi_mapping_load(stream->stream, "m", &mapping), LS_OK);
    assert_int_equal(lsi_mapping_encode(&lsi_memory_libc, mapping, &value), LS_OK);
    lsi_mapping_free(mapping);
    assert_in_range(value.size, 4, sizeof bytes);
    memcpy(bytes, value.data, value.size);
    change.value = (ls_bytes){bytes, value.size};
    lsi_free(&lsi_memory_libc, (void *)(uintptr_t)value.data);
    bytes[0]++;
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_ERR_VERSION);
    assert_non_null(strstr(of->message, "'m'"));
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_open(stream, "m", &opened), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_update(stream, "m", NULL), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_ERR_VERSION);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_ERR_VERSION);
    assert_int_equal(ls_stream_list_mappings(stream, NULL, 0, &list), LS_ERR_VERSION);
    bytes[0]--;
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    put_numbers(stream, 1, 2, 1);
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    run_now(of);
    assert_all_once_in_order(of, 2, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_handle_has_one_run_and_is_not_closed_under_it(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_run_options bad = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *none = NULL;
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_run(of->mapping, NULL, handle, of), LS_ERR_STATE);
    assert_int_equal(ls_mapping_close(of->mapping), LS_ERR_STATE);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE);
    run_stop(of);
    run_now(of); /* stopped for good */
    bad.flags = 4;
    assert_int_equal(ls_mapping_run(of->mapping, &bad, handle, of), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("0x4"));
    bad.flags = 0;
    bad.failover_ms = 99;
    assert_int_equal(ls_mapping_run(of->mapping, &bad, handle, of), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.failover_ms is 99: it is 100..600000"));
    assert_int_equal(ls_mapping_run(of->mapping, NULL, NULL, of), LS_ERR_INVALID_ARGUMENT);
    run_free(of);
    assert_int_equal(ls_mapping_open(stream, "none", &none), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_close(NULL), LS_OK);
    ls_mapping_stop(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void stopping_is_waited_for_as_long_as_is_asked(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    struct timespec from, to;
    int64_t waited_ms;
    run *of;

    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    assert_int_equal(ls_mapping_wait(of->mapping, -1), LS_OK); /* There is none yet. */
    of->sleep_us = 500000;
    put_numbers(stream, 0, 1, 1);
    run_start(of);
    while (atomic_load(&of->busy[0]) == 0)
        usleep(1000);
    ls_mapping_stop(of->mapping);
    assert_int_equal(ls_mapping_wait(of->mapping, 0), LS_ERR_BUSY);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(ls_mapping_wait(of->mapping, 50), LS_ERR_BUSY);
    assert_true(says("has not returned after 50 ms"));
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    waited_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    assert_true(waited_ms >= 49);
    assert_int_equal(ls_mapping_wait(of->mapping, -1), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(ls_mapping_wait(of->mapping, 0), LS_OK);
    assert_int_equal(ls_mapping_wait(of->mapping, -2), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_wait(NULL, 0), LS_ERR_INVALID_ARGUMENT);
    run_stop(of);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handler_can_stop_the_run_and_its_batch_comes_again),
        TEST(no_handler_begins_behind_a_stop),
        TEST(a_run_waits_while_the_mapping_is_paused),
        TEST(a_run_goes_by_new_settings),
        TEST(a_mapping_is_moved_also_while_it_is_run),
        TEST(a_run_of_a_deleted_mapping_ends),
        TEST(a_mapping_of_a_later_release_is_left_alone),
        TEST(a_handle_has_one_run_and_is_not_closed_under_it),
        TEST(stopping_is_waited_for_as_long_as_is_asked),
    };

    run_everywhere("ends of runs", tests);
}
