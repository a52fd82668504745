/* What handlers put with LS_MAPPING_EXACTLY_ONCE, as mapping.h promises it: one step with the place behind the batch
 * and the state of its window, dropped when the batch is not finished. What failures of the disk leave is asked in
 * test_mapping_once_failures.c, what kills leave in tests/invariants/test_steps.c. */
#include "api/support.h"
#include "support/one_window.h"

#include <pthread.h>
#include <time.h>

#define INPUTS_MAX 4096u

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

/* ---- inputs and outputs ---- */

/* Their number, as text. */
static void put_numbers(ls_stream *stream, uint32_t from, uint32_t to)
{
    ls_producer *producer = NULL;
    char data[16];

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = from; i < to; i++) {
        snprintf(data, sizeof data, "%u", i);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static uint32_t number_of(const ls_record *record)
{
    char data[16] = "";

    memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
    return (uint32_t)strtoul(data, NULL, 10);
}

/* How many records all shards of a stream have; those in `times` are counted by their numbers. */
static uint32_t read_all(ls_stream *stream, uint32_t *times, uint32_t limit, bool *is_in_order)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint32_t count = 0, last = 0;

    *is_in_order = true;
    assert_int_equal(ls_iterator_open_all(stream, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++, count++) {
            uint32_t number = number_of(ls_batch_at(batch, i));

            assert_true(number < limit);
            if (times != NULL)
                times[number]++;
            *is_in_order = *is_in_order && number + 1 > last;
            last = number + 1;
        }
    ls_iterator_close(iterator);
    return count;
}

static uint32_t count_of(ls_stream *stream)
{
    bool is_in_order;

    return read_all(stream, NULL, UINT32_MAX, &is_in_order);
}

/* Each of [0, count) is there once, and they are in order. */
static void assert_each_once(ls_stream *stream, uint32_t count)
{
    uint32_t times[INPUTS_MAX] = {0};
    bool is_in_order;

    assert_int_equal(read_all(stream, times, count, &is_in_order), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(times[i], 1);
    assert_true(is_in_order);
}

/* Where the lease of shard 0 stands, for all to see. */
static ls_seqno listed(ls_stream *stream)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;

    assert_int_equal(ls_stream_list_leases(stream, "m", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    ls_lease_list_free(list);
    return info.seqno;
}

/* ---- a run ---- */

typedef struct run {
    fixture *fx;
    ls_stream *in, *out;
    ls_mapping *mapping;
    ls_mapping_run_options options;

    /* What the handler does when a batch has this number, behind all its puts; so often. */
    uint32_t at, times;
    void (*acts)(struct run *of, const ls_batch *batch, size_t index, ls_handler_context *context);
    ls_handler_answer answers; /* then; else DONE */
    bool is_backwards;         /* it puts from the last record to the first */
    size_t bytes;              /* of what it puts */

    uint32_t invocations, discarded;
    ls_seqno place; /* behind the batch before */
    uint32_t done;  /* of its records, with those before */
    bool checks;    /* that all of the batches before is stored when the next one comes */
    bool is_wrong;
} run;

static bool put_one(run *of, ls_handler_context *context, const ls_batch *batch, size_t index)
{
    const ls_record *record = ls_batch_at(batch, index);
    ls_bytes data = record->data;
    char *large = NULL;
    ls_status st;

    if (of->bytes != 0) {
        large = calloc(1, of->bytes);
        memcpy(large, data.data, data.size);
        data = (ls_bytes){large, of->bytes};
    }
    st = ls_handler_put(context, index, of->out, record->partition_key, data, NULL);
    free(large);
    return st == LS_OK;
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    run *of = user;
    size_t count = ls_batch_count(batch);
    ls_handler_answer answer = LS_HANDLER_DONE;

    of->invocations++;
    if (of->checks && (count_of(of->out) != of->done || listed(of->in) != of->place))
        of->is_wrong = true;
    for (size_t i = 0; i < count; i++)
        if (!put_one(of, context, batch, of->is_backwards ? count - 1 - i : i))
            answer = LS_HANDLER_RETRY;
    if (of->checks && count_of(of->out) != of->done)
        of->is_wrong = true;
    for (size_t i = 0; i < count && of->times > 0; i++)
        if (number_of(ls_batch_at(batch, i)) == of->at) {
            of->times--;
            if (of->acts != NULL)
                of->acts(of, batch, i, context);
            return of->answers;
        }
    of->place = ls_batch_at(batch, count - 1)->seqno;
    of->done += (uint32_t)count;
    return answer;
}

static int32_t discard(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    (void)reason;
    (void)invoke_count;
    ((run *)user)->discarded += (uint32_t)ls_batch_count(batch);
    return 0;
}

static ls_mapping_options defaults(void)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    options.flags = LS_MAPPING_EXACTLY_ONCE;
    options.records_max = 10;
    options.sync_interval_ms = 60000; /* What is stored before is stored by steps. */
    return options;
}

static void open_mapping(run *of, const ls_mapping_options *options)
{
    const ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;

    of->options = how;
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    of->options.discard = discard;
    assert_int_equal(ls_mapping_create(of->in, "m", &horizon, options), LS_OK);
    assert_int_equal(ls_mapping_open(of->in, "m", &of->mapping), LS_OK);
}

/* From "in", of one shard with so many records, to "out". */
static run make_run(fixture *fx, uint32_t count, const ls_mapping_options *options)
{
    run of = {.fx = fx, .in = make_stream(fx, "in", 1), .out = make_stream(fx, "out", 1)};

    put_numbers(of.in, 0, count);
    open_mapping(&of, options);
    return of;
}

static ls_status run_it(run *of)
{
    return ls_mapping_run(of->mapping, &of->options, handle, of);
}

static void close_run(run *of)
{
    assert_false(of->is_wrong);
    assert_int_equal(ls_mapping_close(of->mapping), LS_OK);
    assert_int_equal(ls_stream_close(of->in), LS_OK);
    if (of->out != NULL)
        assert_int_equal(ls_stream_close(of->out), LS_OK);
}

/* ---- doing it ---- */

/* Goal: nothing shows while the handler runs, all of it does when the next batch comes, and so does the place. */
static void what_a_batch_puts_shows_with_its_place(void **state)
{
    ls_mapping_options options = defaults();
    run of = make_run(*state, 100, &options);

    of.checks = true;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 10);
    assert_each_once(of.out, 100);
    put_numbers(of.in, 100, 105);
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 11);
    assert_each_once(of.out, 105);
    close_run(&of);
}

/* Several shards on both sides, a split of each meanwhile: what goes to a shard that is closed goes to its children. */
static void split_first(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)batch;
    (void)index;
    (void)context;
    if (ls_stream_update_shard_count(of->out, 3, NULL) != LS_OK ||
        ls_stream_update_shard_count(of->in, 3, NULL) != LS_OK)
        of->is_wrong = true;
}

static void streams_may_be_split_meanwhile(void **state)
{
    ls_mapping_options options = defaults();
    run of = make_run(*state, 50, &options);
    uint32_t times[INPUTS_MAX] = {0};
    bool is_in_order;

    of.at = 15;
    of.times = 1;
    of.acts = split_first;
    assert_int_equal(run_it(&of), LS_OK);
    assert_each_once(of.out, 50);
    put_numbers(of.in, 50, 70); /* The parent's lease has ended: these are of its children. */
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(read_all(of.out, times, 70, &is_in_order), 70);
    for (uint32_t i = 0; i < 70; i++)
        assert_int_equal(times[i], 1);
    close_run(&of);
}

/* Goal: the stream that is read may be put to: of each number the next one, up to a hundred. */
static ls_handler_answer put_next(const ls_batch *batch, ls_handler_context *context, void *user)
{
    const run *of = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        uint32_t number = number_of(ls_batch_at(batch, i)) + 1;
        char data[16];

        snprintf(data, sizeof data, "%u", number);
        if (number < 100 && ls_handler_put(context, i, of->in, text("k"), text(data), NULL) != LS_OK)
            return LS_HANDLER_RETRY;
    }
    return LS_HANDLER_DONE;
}

static void a_batch_may_put_to_its_own_stream(void **state)
{
    ls_mapping_options options = defaults();
    run of = make_run(*state, 1, &options);

    assert_int_equal(ls_mapping_run(of.mapping, &of.options, put_next, &of), LS_OK);
    assert_each_once(of.in, 100);
    close_run(&of);
}

/* Goal: what filters take away behind the last record is passed with it. */
static void records_that_no_filter_wants_are_passed(void **state)
{
    static const char *const filters[] = {"{\"partitionKey\":[\"k\"]}"};
    ls_mapping_options options = defaults();
    ls_producer *producer = NULL;
    ls_record_id id = {0};
    run of;

    if (strstr(ls_version_features(), "json") == NULL)
        skip();
    options.filters = filters;
    options.filter_count = 1;
    of = make_run(*state, 5, &options);
    assert_int_equal(ls_producer_open(of.in, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("other"), text("x"), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(run_it(&of), LS_OK);
    assert_each_once(of.out, 5);
    assert_int_equal(listed(of.in), id.seqno);
    close_run(&of);
}

/* ---- windows ---- */

/* The state is how many records the window had; in the end that is put. */
static ls_handler_answer count_window(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    run *of = user;
    char state[16] = "";
    uint32_t sum;

    of->invocations++;
    if (ls_handler_get_window(context, &window) != LS_OK)
        return LS_HANDLER_STOP;
    memcpy(state, window.state.size > 0 ? window.state.data : "", window.state.size);
    sum = (uint32_t)strtoul(state, NULL, 10) + (uint32_t)ls_batch_count(batch);
    snprintf(state, sizeof state, "%u", sum);
    if (ls_handler_set_state(context, text(state)) != LS_OK)
        return LS_HANDLER_STOP;
    if (window.is_final)
        return ls_handler_put(context, 0, of->out, text("sum"), text(state), NULL) == LS_OK ? LS_HANDLER_DONE
                                                                                             : LS_HANDLER_STOP;
    if (ls_handler_put(context, ls_batch_count(batch) - 1, of->out, text("part"), text("0"), NULL) != LS_OK)
        return LS_HANDLER_STOP;
    if (of->at == of->invocations && of->times > 0) {
        of->times--;
        if (of->answers == LS_HANDLER_STOP)
            _exit(0);
        return of->answers;
    }
    return LS_HANDLER_DONE;
}

typedef struct sums {
    uint32_t sum, parts;
} sums;

static sums read_sums(ls_stream *stream)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    sums all = {0, 0};

    assert_int_equal(ls_iterator_open(stream, 0, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            all.sum += number_of(ls_batch_at(batch, i));
            all.parts += ls_batch_at(batch, i)->partition_key.size == 4;
        }
    ls_iterator_close(iterator);
    return all;
}

static bool dies_in_a_window(void *user)
{
    const run *parent = user;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_mapping *mapping = NULL;
    run of = {.at = parent->at, .times = 1, .answers = LS_HANDLER_STOP};

    if (ls_store_open(parent->fx->location, NULL, &store) != LS_OK ||
        ls_stream_open(store, "in", &of.in) != LS_OK || ls_stream_open(store, "out", &of.out) != LS_OK ||
        ls_mapping_open(of.in, "m", &mapping) != LS_OK)
        return false;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    (void)ls_mapping_run(mapping, &how, count_window, &of);
    return false; /* It does not come back. */
}

/* Goal: state, place and puts are one step. Method: processes that die in each of the batches, then one that ends; each
 * record is in one sum, and each batch that was finished has put once. */
static void the_state_of_a_window_goes_with_what_is_put(void **state)
{
    fixture *fx = *state;
    ls_mapping_options options = defaults();
    run of;
    sums all;

    if (in_memory)
        skip();
    wait_for_one_window();
    options.tumbling_window_s = 900;
    of = make_run(fx, 60, &options);
    for (of.at = 1; of.at <= 3; of.at++) {
        in_fork_child(dies_in_a_window, &of);
        assert_int_equal(read_sums(of.out).parts, of.at * (of.at - 1) / 2);
    }
    of.at = 2;
    of.times = 1;
    of.answers = LS_HANDLER_RETRY; /* A failure puts nothing, either. */
    assert_int_equal(ls_stream_update_shard_count(of.in, 2, NULL), LS_OK); /* The shard's end is that of the window. */
    assert_int_equal(ls_mapping_run(of.mapping, &of.options, count_window, &of), LS_OK);
    all = read_sums(of.out);
    assert_int_equal(all.sum, 60);
    assert_int_equal(all.parts, 6);
    close_run(&of);
}

/* ---- not doing it ---- */

static void sleep_a_while(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)of;
    (void)batch;
    (void)index;
    while (!ls_handler_is_late(context))
        (void)usleep(1000);
}

static void a_batch_that_fails_puts_nothing(void **state)
{
    ls_mapping_options options = defaults();
    run of;

    options.handler_timeout_ms = 300;
    of = make_run(*state, 30, &options);
    of.checks = true;
    of.at = 15;
    of.times = 2;
    of.answers = LS_HANDLER_RETRY;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 5);
    assert_each_once(of.out, 30);
    put_numbers(of.in, 30, 40); /* Too late, though it says that it was done. */
    of.at = 35;
    of.times = 1;
    of.acts = sleep_a_while;
    of.answers = LS_HANDLER_DONE;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 7);
    assert_each_once(of.out, 40);
    put_numbers(of.in, 40, 50);
    of.at = 45;
    of.times = 1;
    of.acts = NULL;
    of.answers = LS_HANDLER_STOP;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(count_of(of.out), 40);
    assert_int_equal(run_it(&of), LS_OK);
    assert_each_once(of.out, 50);
    close_run(&of);
}

static void report(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)of;
    (void)batch;
    ls_handler_fail_at(context, index);
}

/* Goal: of a report what comes of the records before counts, in whatever order it was put. */
static void what_comes_of_reported_records_is_dropped(void **state)
{
    ls_mapping_options options = defaults();
    run of;
    uint32_t times[INPUTS_MAX] = {0};
    bool is_in_order;

    options.flags |= LS_MAPPING_REPORT_FAILURES;
    of = make_run(*state, 20, &options);
    of.at = 14;
    of.times = 1;
    of.acts = report;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 3);
    assert_each_once(of.out, 20);
    put_numbers(of.in, 20, 30);
    of.at = 20; /* the first one: nothing is finished */
    of.times = 1;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 5);
    assert_each_once(of.out, 30);
    put_numbers(of.in, 30, 40);
    of.at = 37;
    of.times = 1;
    of.is_backwards = true;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(read_all(of.out, times, 40, &is_in_order), 40);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(times[i], 1);
    close_run(&of);
}

/* Where reads are limited, one brings many batches: each is a step of its own all the same, whatever is read behind it.
 * Method: one batch fails, then one is finished in part, in the midst of what was read. */
static void batches_of_one_read_are_steps_of_their_own(void **state)
{
    ls_mapping_options options = defaults();
    run of;

    options.records_max = 7;
    options.flags |= LS_MAPPING_REPORT_FAILURES;
    of = make_run(*state, 60, &options);
    assert_int_equal(ls_stream_set_mode(of.in, LS_STREAM_PROVISIONED), LS_OK);
    of.checks = true;
    of.at = 30;
    of.times = 1;
    of.answers = LS_HANDLER_RETRY;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 9 + 1);
    assert_each_once(of.out, 60);
    put_numbers(of.in, 60, 90);
    of.checks = false;
    of.at = 77;
    of.times = 1;
    of.acts = report;
    of.answers = LS_HANDLER_DONE;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 10 + 6); /* of 60, 67, 74, 77..80, 81, 88 on */
    assert_each_once(of.out, 90);
    assert_int_equal(of.discarded, 0);
    close_run(&of);
}

/* Goal: each part of a batch that is split is a step of its own, and what is given up has put nothing. */
static void parts_of_a_batch_put_by_themselves(void **state)
{
    ls_mapping_options options = defaults();
    uint32_t times[INPUTS_MAX] = {0};
    bool is_in_order;
    run of;

    options.flags |= LS_MAPPING_BISECT;
    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.records_max = 8;
    of = make_run(*state, 8, &options);
    of.at = 5;
    of.times = UINT32_MAX;
    of.answers = LS_HANDLER_RETRY;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 7);
    assert_int_equal(of.discarded, 1);
    assert_int_equal(read_all(of.out, times, 8, &is_in_order), 7);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(times[i], i != 5);
    assert_true(is_in_order);
    close_run(&of);
}

static void move_to_the_beginning(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)batch;
    (void)index;
    (void)context;
    if (ls_mapping_seek(of->in, "m", &horizon) != LS_OK)
        of->is_wrong = true;
}

/* Goal: a step is fenced by the lease. Method: the mapping is moved, or deleted, while the handler runs. */
static void who_lost_the_shard_puts_nothing(void **state)
{
    ls_mapping_options options = defaults();
    run of = make_run(*state, 10, &options);

    of.at = 5;
    of.times = 1;
    of.acts = move_to_the_beginning;
    of.answers = LS_HANDLER_DONE;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 2);
    assert_each_once(of.out, 10);
    close_run(&of);
}

static void delete_it(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)batch;
    (void)index;
    (void)context;
    if (ls_mapping_delete(of->in, "m") != LS_OK)
        of->is_wrong = true;
}

static void a_mapping_that_is_gone_puts_nothing(void **state)
{
    ls_mapping_options options = defaults();
    run of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    of = make_run(*state, 10, &options);
    of.at = 5;
    of.times = 1;
    of.acts = delete_it;
    of.answers = LS_HANDLER_DONE;
    assert_int_equal(run_it(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.invocations, 1);
    assert_int_equal(of.discarded, 0);
    assert_int_equal(count_of(of.out), 0);
    close_run(&of);
}

/* ---- what refuses a step ---- */

static void *stop_soon(void *user)
{
    run *of = user;

    (void)usleep(300000);
    ls_mapping_stop(of->mapping);
    return NULL;
}

/* Goal: a stream's limits are waited for, with the shard; a run that is stopped meanwhile ends, and puts nothing. */
static void limits_of_the_stream_are_waited_for(void **state)
{
    fixture *fx = *state;
    ls_stream_options slow = LS_STREAM_OPTIONS_INIT;
    ls_mapping_options options = defaults();
    run of = {.fx = fx, .in = make_stream(fx, "in", 1)};
    struct timespec from, to;
    pthread_t thread;

    slow.mode = LS_STREAM_PROVISIONED;
    slow.write_records_per_second = 10;
    assert_int_equal(ls_stream_create(fx->store, "out", &slow), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "out", &of.out), LS_OK);
    put_numbers(of.in, 0, 20);
    open_mapping(&of, &options);
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 2); /* The handler has not waited, and was not asked again. */
    assert_each_once(of.out, 20);
    put_numbers(of.in, 20, 30);
    of.options.flags = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &of), 0);
    assert_int_equal(run_it(&of), LS_OK);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 < 800);
    assert_int_equal(count_of(of.out), 20);
    assert_int_equal(ls_mapping_close(of.mapping), LS_OK);
    assert_int_equal(ls_mapping_open(of.in, "m", &of.mapping), LS_OK);
    of.options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(run_it(&of), LS_OK);
    assert_each_once(of.out, 30);
    close_run(&of);
}

/* Goal: what can never be a step fails its batch. Method: 20 MB for one shard, of a batch that is split then. */
static void a_step_that_is_too_large_fails_its_batch(void **state)
{
    ls_mapping_options options = defaults();
    run of;

    options.records_max = 20;
    options.flags |= LS_MAPPING_BISECT;
    of = make_run(*state, 20, &options);
    of.bytes = 1000000;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 3);
    assert_each_once(of.out, 20);
    close_run(&of);
}

static void delete_the_output(run *of, const ls_batch *batch, size_t index, ls_handler_context *context)
{
    (void)batch;
    (void)index;
    (void)context;
    if (ls_stream_delete(of->fx->store, "out") != LS_OK)
        of->is_wrong = true;
}

static void a_stream_that_was_deleted_fails_the_batch(void **state)
{
    ls_mapping_options options = defaults();
    run of;

    options.retries_max = 1;
    of = make_run(*state, 10, &options);
    of.at = 5;
    of.times = 1;
    of.acts = delete_the_output;
    of.answers = LS_HANDLER_DONE;
    assert_int_equal(run_it(&of), LS_OK);
    assert_int_equal(of.invocations, 2);
    assert_int_equal(of.discarded, 10);
    close_run(&of);
}

/* ---- arguments ---- */

typedef struct asked {
    ls_stream *stream, *theirs;
    ls_status without, past, other, key, context;
    ls_status closed;
} asked;

static ls_handler_answer ask(const ls_batch *batch, ls_handler_context *context, void *user)
{
    asked *of = user;

    of->without = ls_handler_put(context, 0, of->stream, text("k"), text("d"), NULL);
    of->past = ls_handler_put(context, ls_batch_count(batch), of->stream, text("k"), text("d"), NULL);
    of->other = ls_handler_put(context, 0, of->theirs, text("k"), text("d"), NULL);
    of->key = ls_handler_put(context, 0, of->stream, text(""), text("d"), NULL);
    of->context = ls_handler_put(NULL, 0, of->stream, text("k"), text("d"), NULL);
    of->closed = ls_stream_close(of->stream);
    return LS_HANDLER_DONE;
}

static void arguments_are_checked(void **state)
{
    fixture *fx = *state;
    ls_mapping_options options = defaults();
    run of = {.fx = fx, .in = make_stream(fx, "in", 1), .out = make_stream(fx, "out", 1)};
    asked told = {.stream = of.out};
    ls_store *other = NULL;

    options.flags = 0;
    open_mapping(&of, &options);
    assert_int_equal(ls_store_open("memory:", NULL, &other), LS_OK);
    assert_int_equal(ls_stream_create(other, "theirs", NULL), LS_OK);
    assert_int_equal(ls_stream_open(other, "theirs", &told.theirs), LS_OK);
    put_numbers(of.in, 0, 3);
    assert_int_equal(ls_mapping_run(of.mapping, &of.options, ask, &told), LS_OK);
    assert_int_equal(told.without, LS_ERR_STATE);
    assert_int_equal(told.closed, LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "out", &told.stream), LS_OK);
    of.out = told.stream;
    assert_int_equal(count_of(of.out), 0);
    options.flags = LS_MAPPING_EXACTLY_ONCE;
    assert_int_equal(ls_mapping_update(of.in, "m", &options), LS_OK);
    put_numbers(of.in, 3, 6);
    assert_int_equal(ls_mapping_run(of.mapping, &of.options, ask, &told), LS_OK);
    assert_int_equal(told.without, LS_OK);
    assert_int_equal(told.past, LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(told.other, LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(told.key, LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(told.context, LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(told.closed, LS_ERR_STATE); /* until the run has ended */
    assert_true(count_of(of.out) >= 1);
    assert_int_equal(ls_stream_close(told.theirs), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
    close_run(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_batch_puts_shows_with_its_place),
        TEST(streams_may_be_split_meanwhile),
        TEST(a_batch_may_put_to_its_own_stream),
        TEST(records_that_no_filter_wants_are_passed),
        TEST(the_state_of_a_window_goes_with_what_is_put),
        TEST(a_batch_that_fails_puts_nothing),
        TEST(what_comes_of_reported_records_is_dropped),
        TEST(batches_of_one_read_are_steps_of_their_own),
        TEST(parts_of_a_batch_put_by_themselves),
        TEST(who_lost_the_shard_puts_nothing),
        TEST(a_mapping_that_is_gone_puts_nothing),
        TEST(limits_of_the_stream_are_waited_for),
        TEST(a_step_that_is_too_large_fails_its_batch),
        TEST(a_stream_that_was_deleted_fails_the_batch),
        TEST(arguments_are_checked),
    };

    run_everywhere("api/test_mapping_once", tests);
}
