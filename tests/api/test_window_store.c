/* What window.h promises of names: what is stored, who has it, what a crash anywhere leaves; and operators fed by the
 * handlers of a mapping. */
#include "api/window_support.h"

#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "api/api.h"
#include "support/sim_memory.h"

static sink to;

static void end_all(ls_window *window, ls_producer *producer, ls_stream *stream)
{
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- going on ---- */

static void who_opens_a_name_goes_on_with_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, "sums", &options);
    uint64_t stored_bytes;

    sink_clear(&to);
    for (int i = 0; i < 8; i++)
        put_in(producer, i % 4, "k", i, 1);
    assert_int_equal(catch_up(window), LS_OK); /* stores at its end */
    stored_bytes = info_of(window).stored_bytes;
    assert_true(stored_bytes > 0);
    assert_int_equal(ls_window_store(window), LS_OK); /* Nothing has changed. */
    assert_int_equal(info_of(window).stored_bytes, stored_bytes);
    assert_int_equal(ls_window_close(window), LS_OK);

    options.delay_ms = 1; /* This may change. */
    window = open_window(stream, "sums", &options);
    assert_int_equal(info_of(window).window_count, 1);
    assert_int_equal(info_of(window).watermark_ms, 5);
    put_in(producer, 0, "k", 8, 1);
    put_in(producer, 3, "k", 9, 1);
    put_in(producer, 0, "k", 20, 1);
    put_in(producer, 3, "k", 20, 1);
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "0-10 10");
    assert_int_equal(info_of(window).repeated_count, 0);
    assert_int_equal(ls_window_close(window), LS_OK);

    window = open_window(stream, "sums", &options); /* What has fired does not fire again. */
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "");
    put_in(producer, 0, "k", 5, 1);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(to.late, 1);
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_string_equal(said(&to), "20-30 2");
    assert_int_equal(ls_window_store(window), LS_OK);
    end_all(window, producer, stream);
}

static void what_was_not_stored_comes_again(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, "sums", &options);

    sink_clear(&to);
    for (int i = 0; i < 6; i++)
        put_in(producer, -1, "k", 10 * i, 1);
    to.stop_at = 4;
    assert_int_equal(catch_up(window), LS_ERR_CANCELLED);
    assert_string_equal(said(&to), "0-10 1; 10-20 1; 20-30 1");
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, "sums", &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "0-10 1; 10-20 1; 20-30 1; 30-40 1; 40-50 1");
    end_all(window, producer, stream);
}

/* LATEST is a place from the first run on, also when that was killed before it read anything. */
static void where_a_name_begins_is_stored_at_once(void **state)
{
    static const ls_position latest = {.kind = LS_LATEST};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window *window = open_window(stream, "sums", &options);

    sink_clear(&to);
    put_in(producer, -1, "k", 1, 1);
    run.position = &latest;
    ls_window_stop(window);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    put_in(producer, -1, "k", 2, 1);
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, "sums", &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(info_of(window).added_count, 1);
    end_all(window, producer, stream);
}

static void other_settings_are_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to), other = options;
    ls_window *window = open_window(stream, "sums", &options);

    assert_int_equal(ls_window_close(window), LS_OK);
    window = NULL;
    other.size_ms = 20;
    assert_int_equal(ls_window_open(stream, "sums", &other, &window), LS_ERR_STATE);
    other = options;
    other.value_field = NULL; /* Its sums are smaller. */
    assert_int_equal(ls_window_open(stream, "sums", &other, &window), LS_ERR_STATE);
    assert_null(window);
    assert_int_equal(ls_window_delete(stream, "sums"), LS_OK);
    assert_int_equal(ls_window_delete(stream, "sums"), LS_ERR_NOT_FOUND);
    window = open_window(stream, "sums", &other);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void clear_sum(void *sum, void *user)
{
    (void)user;
    memset(sum, 0, 65536);
}

static void add_nothing(void *sum, const ls_record *record, void *user)
{
    (void)sum;
    (void)record;
    (void)user;
}

/* One record is in 300 windows of 64 KiB each: more than a step has. They are all there when that was told. */
static void windows_of_one_key_may_be_too_large_to_store(void **state)
{
    ls_window_fold fold = LS_WINDOW_FOLD_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_SLIDING, 300, &to);
    ls_window *window;
    uint64_t stored;

    sink_clear(&to);
    fold.sum_bytes = 65536;
    fold.init = clear_sum;
    fold.add = add_nothing;
    options.fold = &fold;
    options.step_ms = 1;
    options.delay_ms = 1000;
    window = open_window(stream, "large", &options);
    put_in(producer, -1, "k", 1000, 1);
    assert_int_equal(catch_up(window), LS_ERR_TOO_LARGE);
    stored = info_of(window).stored_bytes;
    assert_int_equal(ls_window_store(window), LS_ERR_TOO_LARGE);
    assert_int_equal(info_of(window).stored_bytes, stored);
    assert_int_equal(info_of(window).window_count, 300);
    assert_int_equal(ls_window_flush(window), LS_OK);
    assert_int_equal(to.calls, 300);
    assert_int_equal(ls_window_store(window), LS_OK);
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, "large", &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(info_of(window).added_count, 0);
    end_all(window, producer, stream);
}

static void what_is_stored_may_be_more_than_is_allowed(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, "sums", &options), *none = NULL;
    uint64_t bytes;

    sink_clear(&to);
    for (int i = 20; i-- > 0;)
        put_in(producer, -1, "k", 10 * i, 1);
    options.delay_ms = 1000;
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, "sums", &options);
    assert_int_equal(catch_up(window), LS_OK);
    bytes = info_of(window).state_bytes;
    assert_int_equal(info_of(window).window_count, 20);
    assert_int_equal(ls_window_close(window), LS_OK);
    options.state_bytes_max = bytes / 2;
    assert_int_equal(ls_window_open(stream, "sums", &options, &none), LS_ERR_TOO_LARGE);
    assert_null(none);
    options.state_bytes_max = bytes * 2;
    window = open_window(stream, "sums", &options);
    assert_int_equal(info_of(window).window_count, 20);
    end_all(window, producer, stream);
}

/* ---- who has it ---- */

static void one_handle_has_a_name(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *first = open_window(stream, "sums", &options), *second = NULL, *other;

    sink_clear(&to);
    assert_int_equal(ls_window_open(stream, "sums", &options, &second), LS_ERR_BUSY);
    assert_true(says("sums"));
    other = open_window(stream, "sum", &options); /* Names have nothing to do with each other. */
    put_in(producer, -1, "k", 1, 1);
    assert_int_equal(catch_up(first), LS_OK);
    options.flags |= LS_WINDOW_TAKE_OVER;
    second = open_window(stream, "sums", &options);
    assert_int_equal(info_of(second).window_count, 1);
    put_in(producer, -1, "k", 2, 1);
    assert_int_equal(catch_up(first), LS_ERR_LEASE_LOST);
    assert_int_equal(ls_window_store(first), LS_ERR_STATE); /* It can only be closed. */
    assert_int_equal(catch_up(second), LS_OK);
    assert_int_equal(ls_window_close(first), LS_OK); /* That gives nothing away. */
    options.flags &= ~LS_WINDOW_TAKE_OVER;
    assert_int_equal(ls_window_open(stream, "sums", &options, &first), LS_ERR_BUSY);
    put_in(producer, -1, "k", 11, 1);
    assert_int_equal(catch_up(second), LS_OK);
    assert_string_equal(said(&to), "0-10 2");
    assert_int_equal(ls_window_delete(stream, "sums"), LS_OK);
    put_in(producer, -1, "k", 12, 1);
    assert_int_equal(catch_up(second), LS_ERR_LEASE_LOST);
    assert_int_equal(ls_window_close(second), LS_OK);
    assert_int_equal(catch_up(other), LS_OK);
    end_all(other, producer, stream);
}

static void who_may_only_read_keeps_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options read_only = LS_STORE_OPTIONS_INIT;
    ls_stream *stream;
    ls_producer *producer;
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = NULL;
    ls_store *store = NULL;

    if (in_memory)
        return; /* A store in memory has one handle. */
    sink_clear(&to);
    stream = make_stream(fx, STREAM, 1);
    producer = open_producer(stream);
    put_in(producer, -1, "k", 1, 1);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    read_only.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &read_only, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_window_open(stream, "sums", &options, &window), LS_ERR_READ_ONLY);
    assert_int_equal(ls_window_delete(stream, "sums"), LS_ERR_READ_ONLY);
    window = open_window(stream, NULL, &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(info_of(window).added_count, 1);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- much of it ---- */

/* Keys of 1,000 bytes: several steps to write all, and after many stores with few changes all is written anew. */
static void a_store_of_any_size_is_one_step(void **state)
{
    enum { KEYS = 4500, KEY_BYTES = 1000, STORES = 340, DATA_BYTES = KEY_BYTES + 100 };
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 1000, &to);
    char *data = malloc((size_t)KEYS * DATA_BYTES);
    ls_put_entry *entries = calloc(KEYS, sizeof *entries);
    size_t failed = 0;
    ls_window *window;
    uint64_t first_bytes, before, rewritten = 0;

    sink_clear(&to);
    options.key_field = "k";
    options.flags = 0;
    options.value_field = NULL;
    window = open_window(stream, "large", &options);
    for (int i = 0; i < KEYS; i++) {
        char *at = data + (size_t)i * DATA_BYTES;

        snprintf(at, DATA_BYTES, "{\"t\": %d, \"k\": \"%0*d\"}", i % 999, KEY_BYTES, i);
        entries[i] = (ls_put_entry){text("p"), text(at), NULL};
    }
    assert_int_equal(ls_producer_put_batch(producer, entries, KEYS, NULL, NULL, &failed), LS_OK);
    free(entries);
    assert_int_equal(catch_up(window), LS_OK);
    first_bytes = info_of(window).stored_bytes;
    assert_in_range(first_bytes, (uint64_t)KEYS * KEY_BYTES, (uint64_t)KEYS * (KEY_BYTES + 100));
    for (int i = 0; i < STORES; i++) {
        snprintf(data, DATA_BYTES, "{\"t\": 998, \"k\": \"%0*d\"}", KEY_BYTES, i);
        assert_int_equal(ls_producer_put(producer, text("p"), text(data), NULL, NULL), LS_OK);
        before = info_of(window).stored_bytes;
        assert_int_equal(catch_up(window), LS_OK);
        if (info_of(window).stored_bytes - before > 4000)
            rewritten++;
        else /* What a store costs does not grow with what is kept. */
            assert_in_range(info_of(window).stored_bytes - before, 1000, 2000);
    }
    assert_in_range(rewritten, 1, 2); /* Since it had so many parts. */
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, "large", &options);
    assert_int_equal(info_of(window).window_count, KEYS);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_window_delete(stream, "large"), LS_OK);
    free(data);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- reshards ---- */

/* Stored before a split, gone on with after it: parents are read before their children, and none of it is lost. */
static void a_split_between_two_lives_changes_no_total(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_hash_key middle = {UINT64_C(1) << 63, 0};
    uint32_t lower = 0, upper = 0, child = 0;
    ls_window *window;
    ls_position at;

    sink_clear(&to);
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    for (int life = 0; life < 8; life++) {
        window = open_window(stream, "sums", &options);
        assert_int_equal(catch_up(window), LS_OK);
        assert_int_equal(ls_window_close(window), LS_OK);
        for (int i = 0; i < 7; i++)
            put_in(producer, i % 4, "k", 7 * life + i, 1);
        if (life == 2)
            assert_int_equal(ls_stream_split(stream, 0, &middle, &lower, &upper), LS_OK);
        if (life == 5)
            assert_int_equal(ls_stream_merge(stream, lower, upper, &child), LS_OK);
        put_in(producer, 0, "k", 7 * life + 6, 1);
        put_in(producer, 3, "k", 7 * life + 6, 1);
    }
    window = open_window(stream, "sums", &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(info_of(window).shard_count, 1);
    assert_int_equal(ls_window_position(window, 0, &at), LS_OK);
    assert_int_equal(at.kind, LS_AFTER_SEQUENCE_NUMBER); /* a parent's */
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(to.late, 0);
    assert_string_equal(said(&to), "0-10 12; 10-20 12; 20-30 14; 30-40 12; 40-50 14; 50-60 8");
    end_all(window, producer, stream);
}

/* ---- handlers of a mapping ---- */

typedef struct handling {
    ls_window *window;
    uint32_t fails; /* so often, after the batch is stored */
} handling;

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    handling *of = user;

    (void)context;
    if (ls_window_add(of->window, batch) != LS_OK || ls_window_store(of->window) != LS_OK)
        return LS_HANDLER_STOP;
    if (of->fails == 0)
        return LS_HANDLER_DONE;
    of->fails--;
    return LS_HANDLER_RETRY; /* Its records are counted all the same, once. */
}

static void a_mapping_feeds_an_operator(void **state)
{
    static const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_mapping *mapping = NULL;
    handling of = {NULL, 3};

    sink_clear(&to);
    of.window = open_window(stream, "fed", &options);
    settings.records_max = 7;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &settings), LS_OK);
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    for (int i = 0; i < 45; i++)
        put_in(producer, -1, "k", i, 1);
    run.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_run(mapping, &run, handle, &of), LS_OK);
    assert_string_equal(said(&to), "0-10 10; 10-20 10; 20-30 10; 30-40 10");
    assert_int_equal(info_of(of.window).added_count, 45);
    assert_true(info_of(of.window).repeated_count >= 3);
    assert_int_equal(ls_window_close(of.window), LS_OK);
    of.window = open_window(stream, "fed", &options);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK); /* All of it again: nothing is counted twice. */
    assert_int_equal(ls_mapping_run(mapping, &run, handle, &of), LS_OK);
    assert_int_equal(info_of(of.window).repeated_count, 45);
    assert_int_equal(ls_window_finish(of.window), LS_OK);
    assert_string_equal(said(&to), "40-50 5");
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    end_all(of.window, producer, stream);
}

/* ---- failures ---- */

/* Every allocation of a life fails once: each call says so, nothing is lost, and what is stored is whole. */
static void every_allocation_may_fail(void **state)
{
    fixture *fx = *state;
    ls_window_options options = options_of(LS_WINDOW_SLIDING, 10, &to);
    sim_memory memory = SIM_MEMORY_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    uint64_t most = 0;
    bool has_failed = true;
    lsi_env env;

    (void)fx;
    lsi_env_default(&env);
    env.memory = sim_memory_table(&memory);
    options.step_ms = 5;
    options.key_field = "k";
    options.flags = 0;
    sink_clear(&to);
    assert_int_equal(lsi_store_open_env("memory:", NULL, &env, &store), LS_OK);
    {
        ls_stream_options two = LS_STREAM_OPTIONS_INIT;

        two.shard_count = 2;
        assert_int_equal(ls_stream_create(store, STREAM, &two), LS_OK);
    }
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint64_t nth = 1; has_failed; nth++) {
        uint64_t counted;
        ls_window *window = NULL;
        ls_status st;

        (void)ls_window_delete(stream, "w");
        put_in(producer, 0, "first", (int64_t)nth % 3, 1);
        put_in(producer, 3, "second", (int64_t)nth % 3 + 1, 1);
        memory.failed = 0;
        sim_memory_fail(&memory, nth, false);
        st = ls_window_open(stream, "w", &options, &window);
        if (st == LS_OK)
            st = catch_up(window);
        if (st == LS_OK)
            st = ls_window_store(window);
        has_failed = memory.failed > 0;
        sim_memory_fail(&memory, 0, false);
        if (st != LS_OK)
            assert_int_equal(st, LS_ERR_NO_MEMORY);
        if (window == NULL)
            window = open_window(stream, "w", &options);
        assert_int_equal(catch_up(window), LS_OK); /* Whatever failed, it goes on. */
        counted = info_of(window).added_count;
        assert_int_equal(ls_window_close(window), LS_OK);
        window = open_window(stream, "w", &options);
        assert_int_equal(catch_up(window), LS_OK);
        assert_int_equal(info_of(window).added_count, 0); /* All of it was stored. */
        assert_int_equal(counted, 2 * nth);
        assert_int_equal(ls_window_close(window), LS_OK);
        most = nth;
    }
    assert_true(most > 20);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(memory.live, 0);
}

/* ---- kills ---- */

#define KILL_RECORDS 3000
#define KILL_WINDOWS (KILL_RECORDS / 100 + 2)

/* What children have handed out, by window: the sink that replaces by key, start and end. */
typedef struct kill_sink {
    _Atomic uint64_t counts[4][KILL_WINDOWS];
    _Atomic uint64_t results, bad;
} kill_sink;

static ls_window_answer take_in_child(const ls_window_result *result, void *user)
{
    kill_sink *of = user;
    uint32_t key = (uint32_t)(*(const char *)result->key.data - 'a');

    if (key >= 4 || result->start_ms / 100 >= KILL_WINDOWS || result->sum != (double)result->count) {
        of->bad++;
        return LS_WINDOW_GO_ON;
    }
    of->counts[key][result->start_ms / 100] = result->count;
    of->results++;
    return LS_WINDOW_GO_ON;
}

static void child_life(const char *location, kill_sink *of)
{
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 100, &to);
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window *window = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;

    alarm(60);
    options.result = take_in_child;
    options.left_over = NULL;
    options.user = of;
    options.key_field = "k";
    options.flags = 0;
    options.delay_ms = 200;
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    options.store_interval_ms = 1;
    run.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    if (ls_store_open(location, NULL, &store) != LS_OK || ls_stream_open(store, STREAM, &stream) != LS_OK ||
        ls_window_open(stream, "killed", &options, &window) != LS_OK)
        _exit(2);
    for (;;)
        if (ls_window_run(window, &run) != LS_OK)
            _exit(3);
}

/* Put, killed at random, gone on with by another one, over two shards, a split and a merge: each window's last result
 * counts each of its records once. */
static void a_kill_at_any_instant_counts_nothing_twice(void **state)
{
    fixture *fx = *state;
    ls_stream *stream;
    ls_producer *producer;
    kill_sink *of;
    uint32_t kills = 0, put = 0, lower = 1, upper = 2;
    ls_hash_key quarter = {UINT64_C(1) << 62, 0};
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 100, &to);
    ls_window *window;

    if (in_memory)
        return; /* Processes share a directory. */
    stream = make_stream(fx, STREAM, 2);
    producer = open_producer(stream);
    of = mmap(NULL, sizeof *of, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(of != MAP_FAILED);
    srand(11);
    while (put < KILL_RECORDS) {
        const struct timespec pause = {0, (3 + rand() % 20) * 1000000L};
        uint32_t until = put + 60;
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
            child_life(fx->location, of);
        for (; put < until; put++)
            put_in(producer, (int)(put % 4), (const char *[]){"a", "b", "c", "d"}[put / 4 % 4],
                   (int64_t)put + rand() % 100, 1);
        (void)nanosleep(&pause, NULL);
        if (put == 1200)
            assert_int_equal(ls_stream_split(stream, 0, &quarter, &lower, &upper), LS_OK);
        if (put == 2400)
            assert_int_equal(ls_stream_merge(stream, lower, upper, NULL), LS_OK);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* It had no error of its own. */
        kills++;
    }
    options.result = take_in_child;
    options.left_over = NULL;
    options.user = of;
    options.key_field = "k";
    options.flags = 0;
    options.delay_ms = 200;
    window = open_window(stream, "killed", &options); /* Their owner is gone, and nobody need be told. */
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    {
        uint64_t counted = 0;

        for (uint32_t k = 0; k < 4; k++)
            for (uint32_t w = 0; w < KILL_WINDOWS; w++)
                counted += of->counts[k][w];
        assert_int_equal(of->bad, 0);
        assert_int_equal(counted, KILL_RECORDS);
    }
    assert_int_equal(kills, 50);
    munmap(of, sizeof *of);
    end_all(window, producer, stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_opens_a_name_goes_on_with_it),
        TEST(what_was_not_stored_comes_again),
        TEST(where_a_name_begins_is_stored_at_once),
        TEST(other_settings_are_refused),
        TEST(windows_of_one_key_may_be_too_large_to_store),
        TEST(what_is_stored_may_be_more_than_is_allowed),
        TEST(one_handle_has_a_name),
        TEST(who_may_only_read_keeps_nothing),
        TEST(a_store_of_any_size_is_one_step),
        TEST(a_split_between_two_lives_changes_no_total),
        TEST(a_mapping_feeds_an_operator),
        TEST(every_allocation_may_fail),
        TEST(a_kill_at_any_instant_counts_nothing_twice),
    };

    run_everywhere("stored windows", tests);
}
