/* Stored windows beneath failures: a loss of power after any change of the disk, calls of the file system that fail,
 * and rows that are damaged. Whatever happens, each record that can be read is counted once, or a status says why
 * not. */
#include "api/window_support.h"

#include "api/api.h"
#include "support/sim_files.h"

#define KEYS 5u
#define ROUNDS 10u
#define ROUND_RECORDS 6u
#define LONG_MS 1000000

static sink to;

static ls_window_options long_windows(void)
{
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, LONG_MS, &to);

    options.key_field = "k";
    options.flags = 0;
    return options;
}

static ls_status open_on(sim_files *sim, ls_durability durability, lsi_env *env, ls_store **store, ls_stream **stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    lsi_env_default(env);
    env->files = sim_files_table(sim);
    options.durability = durability;
    st = lsi_store_open_env("/store", &options, env, store);
    if (st == LS_OK && *stream == NULL) {
        st = ls_stream_create(*store, STREAM, NULL);
        if (st == LS_ERR_EXISTS)
            st = LS_OK;
    }
    return st == LS_OK ? ls_stream_open(*store, STREAM, stream) : st;
}

static uint64_t readable(ls_stream *stream)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    uint64_t count = 0;

    options.records_max = 1000;
    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    for (;;) {
        const ls_batch *batch;

        assert_int_equal(ls_iterator_next(iterator, &options, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        count += ls_batch_count(batch);
    }
    ls_iterator_close(iterator);
    return count;
}

/* Goes on with what is stored: each record that can be read is in one window, once. */
static void all_is_counted_once(ls_stream *stream)
{
    ls_window_options options = long_windows();
    ls_window *window;
    uint64_t count = 0;
    double sum = 0;

    sink_clear(&to);
    options.flags |= LS_WINDOW_TAKE_OVER;
    window = open_window(stream, "w", &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    for (uint32_t i = 0; i < to.row_count; i++) {
        count += to.rows[i].count;
        sum += to.rows[i].sum;
    }
    assert_true(to.row_count <= KEYS && sum == (double)count);
    assert_int_equal(count, readable(stream));
    assert_int_equal(ls_window_close(window), LS_OK);
}

/* One round of a life: records, and a store of what they made. The first failure ends it. */
static ls_status round_of(ls_producer *producer, ls_window *window, uint32_t round)
{
    ls_put_options put = LS_PUT_OPTIONS_INIT;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < ROUND_RECORDS && st == LS_OK; i++) {
        char key[2] = {(char)('a' + (round + i) % KEYS), '\0'}, data[64];

        snprintf(data, sizeof data, "{\"t\": %u, \"v\": 1, \"k\": \"%s\"}", round * 10 + i, key);
        st = ls_producer_put(producer, text(key), text(data), &put, NULL);
    }
    return st == LS_OK ? catch_up(window) : st;
}

/* ---- power ---- */

static void power_may_fail_anywhere(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};
    uint32_t cases = 0;

    (void)state;
    for (uint32_t mode = 0; mode < 2; mode++) {
        sim_files *sim = sim_files_new();
        ls_window_options options = long_windows();
        ls_stream *stream = NULL;
        ls_producer *producer = NULL;
        ls_store *store = NULL;
        ls_window *window;
        size_t first, last;
        lsi_env env;

        sink_clear(&to);
        assert_int_equal(open_on(sim, modes[mode], &env, &store, &stream), LS_OK);
        assert_int_equal(ls_store_sync(store), LS_OK);
        first = sim_log_count(sim);
        assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
        window = open_window(stream, "w", &options);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            assert_int_equal(round_of(producer, window, round), LS_OK);
            if (round != ROUNDS / 2)
                continue;
            assert_int_equal(ls_window_close(window), LS_OK); /* A second life. */
            window = open_window(stream, "w", &options);
        }
        last = sim_log_count(sim);
        for (size_t prefix = first; prefix <= last; prefix += 1 + prefix % 3) {
            uint64_t seed = prefix % (SIM_SEED_RANDOM + 3);
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            ls_stream *after = NULL;
            ls_store *again = NULL;
            lsi_env crashed_env;

            if (open_on(crashed, modes[mode], &crashed_env, &again, &after) != LS_OK)
                fail_msg("prefix %zu seed %" PRIu64 ": %s", prefix, seed, ls_last_error_message());
            all_is_counted_once(after);
            assert_int_equal(ls_stream_close(after), LS_OK);
            assert_int_equal(ls_store_close(again), LS_OK);
            sim_files_free(crashed);
            cases++;
        }
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
        sim_files_free(sim);
    }
    assert_true(cases > 100);
}

/* ---- calls that fail ---- */

/* The nth call of a kind fails, once: the operator says so, and after the machine went down it is as if it had not. */
static void any_call_below_may_fail(void **state)
{
    static const struct {
        sim_call call;
        int err;
    } kinds[] = {{SIM_WRITE, 5 /* EIO */}, {SIM_SYNC, 5}, {SIM_WRITE, 28 /* ENOSPC */}, {SIM_READ, 5},
                 {SIM_ALLOCATE, 28}, {SIM_OPEN, 24 /* EMFILE */}, {SIM_SYNC_DIR, 5}};
    uint32_t failures = 0;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool has_met = true;

        for (uint64_t nth = 1; has_met; nth += 1 + nth / 8) {
            sim_files *sim = sim_files_new(), *crashed;
            ls_window_options options = long_windows();
            ls_stream *stream = NULL, *after = NULL;
            ls_producer *producer = NULL;
            ls_store *store = NULL, *again = NULL;
            ls_window *window = NULL;
            ls_status st;
            lsi_env env, crashed_env;

            sink_clear(&to);
            assert_int_equal(open_on(sim, LS_DURABILITY_SYNC, &env, &store, &stream), LS_OK);
            assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
            sim_fault_add(sim, (sim_fault){.call = kinds[k].call, .nth = nth, .err = kinds[k].err});
            st = ls_window_open(stream, "w", &options, &window);
            for (uint32_t round = 0; round < 3 && st == LS_OK; round++)
                st = round_of(producer, window, round);
            has_met = sim_faults_met(sim) > 0;
            assert_true(has_met || st == LS_OK);
            failures += st != LS_OK;
            sim_faults_clear(sim);
            if (st == LS_ERR_IO && window != NULL) { /* An unknown outcome is not stored upon. */
                st = ls_window_store(window);
                assert_true(st == LS_OK || st == LS_ERR_STATE || st == LS_ERR_IO);
            }
            crashed = sim_crash_state(sim, sim_log_count(sim), nth);
            (void)ls_window_close(window); /* It may not be able to give the name up. */
            assert_int_equal(ls_producer_close(producer), LS_OK);
            assert_int_equal(ls_stream_close(stream), LS_OK);
            (void)ls_store_close(store);
            assert_int_equal(open_on(crashed, LS_DURABILITY_SYNC, &crashed_env, &again, &after), LS_OK);
            all_is_counted_once(after);
            assert_int_equal(ls_stream_close(after), LS_OK);
            assert_int_equal(ls_store_close(again), LS_OK);
            sim_files_free(crashed);
            sim_files_free(sim);
        }
    }
    assert_true(failures > 20);
}

/* ---- rows ---- */

typedef struct copied {
    unsigned char key[256], value[4096];
    size_t key_bytes, value_bytes;
} copied;
typedef struct copies {
    copied rows[8];
    uint32_t count;
} copies;

static bool copy_row(void *user, const lsi_state_entry *entry)
{
    copies *of = user;
    copied *one = &of->rows[of->count++];

    assert_true(of->count <= 8 && entry->key.size <= sizeof one->key && entry->value.size <= sizeof one->value);
    memcpy(one->key, entry->key.data, entry->key.size);
    memcpy(one->value, entry->value.data, entry->value.size);
    one->key_bytes = entry->key.size;
    one->value_bytes = entry->value.size;
    return true;
}

static copies rows_of(ls_stream *stream)
{
    copies of = {.count = 0};

    assert_int_equal(stream->stream->engine->ops->state_read(stream->stream, text("window/w/"), copy_row, &of), LS_OK);
    return of;
}

/* `bytes` NULL: it goes. */
static void write_row(ls_stream *stream, const void *key, size_t key_bytes, const void *bytes, size_t size)
{
    lsi_state_change change = {.key = {key, key_bytes}, .expected = LSI_STATE_ANY, .value = {bytes, size}};
    uint32_t conflict;

    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
}

static ls_status try_open(ls_stream *stream)
{
    ls_window_options options = long_windows();
    ls_window *window = NULL;
    ls_status st;

    options.flags |= LS_WINDOW_TAKE_OVER;
    st = ls_window_open(stream, "w", &options, &window);
    assert_int_equal(ls_window_close(window), LS_OK);
    return st;
}

static void restore_rows(ls_stream *stream, const copies *of)
{
    for (uint32_t i = 0; i < of->count; i++)
        write_row(stream, of->rows[i].key, of->rows[i].key_bytes, of->rows[i].value, of->rows[i].value_bytes);
}

/* X1: any bytes in a row end in a status; and parts that do not count are of no account, and go. */
static void damaged_rows_are_told(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = long_windows();
    uint32_t told = 0, tried = 0;
    ls_window *window;
    copies good;

    sink_clear(&to);
    window = open_window(stream, "w", &options);
    for (uint32_t round = 0; round < 3; round++)
        assert_int_equal(round_of(producer, window, round), LS_OK);
    assert_int_equal(ls_window_close(window), LS_OK);
    good = rows_of(stream);
    assert_int_equal(good.count, 4); /* the head and three parts */
    for (uint32_t i = 0; i < good.count; i++) {
        const copied *one = &good.rows[i];
        unsigned char bytes[4096];

        for (size_t cut = 1; cut < one->value_bytes; cut++) {
            write_row(stream, one->key, one->key_bytes, one->value, cut);
            assert_int_equal(try_open(stream), LS_ERR_CORRUPT);
            assert_true(says("w: ") || says("'w'"));
        }
        memcpy(bytes, one->value, one->value_bytes);
        if (i == 0) { /* The head begins with the number of its format. */
            bytes[0]++;
            write_row(stream, one->key, one->key_bytes, bytes, one->value_bytes);
            assert_int_equal(try_open(stream), LS_ERR_VERSION);
            assert_true(says("later release"));
            bytes[0]--;
        }
        for (size_t at = 0; at < one->value_bytes; at++) {
            ls_status st;

            bytes[at] ^= 0x81;
            write_row(stream, one->key, one->key_bytes, bytes, one->value_bytes);
            st = try_open(stream);
            assert_true(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_STATE || st == LS_ERR_VERSION ||
                        st == LS_ERR_TOO_LARGE);
            told += st != LS_OK;
            tried++;
            bytes[at] ^= 0x81;
            if (st == LS_OK)
                restore_rows(stream, &good); /* It was written anew. */
        }
        restore_rows(stream, &good);
        assert_int_equal(try_open(stream), LS_OK);
        restore_rows(stream, &good);
        write_row(stream, one->key, one->key_bytes, NULL, 0);
        if (i > 0)
            assert_int_equal(try_open(stream), LS_ERR_CORRUPT); /* A part is missing. */
        restore_rows(stream, &good);
    }
    assert_true(told > tried / 4);
    write_row(stream, "window/w/00000000000000ff", 25, "debris", 6);
    write_row(stream, "window/w/0000000000000000", 25, "debris", 6);
    write_row(stream, "window/w/none of ours", 21, "what", 4);
    all_is_counted_once(stream);
    good = rows_of(stream);
    for (uint32_t i = 0; i < good.count; i++)
        assert_true(good.rows[i].value_bytes != 6);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_may_fail_anywhere),
        TEST(any_call_below_may_fail),
        TEST(damaged_rows_are_told),
    };

    in_memory = true;
    return cmocka_run_group_tests_name("stored windows beneath failures", tests, NULL, NULL);
}
