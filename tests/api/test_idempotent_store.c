/* Numbered puts and everything else that is done to a store: limits, keys, trimming, copies, damage, other processes.
 * What the producer itself is promised is in test_idempotent.c; crashes and faults are the harnesses'. */
#include "api/support.h"

#include <errno.h>
#include <unistd.h>

#include <libstream/unstable/inspect.h>

#include "api/api.h"
#include "base/crypto.h"
#include "support/sim_files.h"

#define SEGMENT (UINT64_C(64) << 10)

static const ls_producer_id me = {0x1122334455667788, 0x99aabbccddeeff00};
static char data[30000];

typedef struct work {
    fixture *fx;
    ls_stream *stream;
    ls_producer *producer;
} work;

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

static void open_store(fixture *fx, ls_store **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    if (access(fx->location, F_OK) != 0) {
        options.segment_bytes = SEGMENT;
        options.durability = LS_DURABILITY_KERNEL;
    }
    options.key_callback = give_key;
    assert_int_equal(ls_store_open(fx->location, &options, out), LS_OK);
}

static void open_stream(work *w, ls_store *store)
{
    assert_int_equal(ls_stream_open(store, "orders", &w->stream), LS_OK);
    assert_int_equal(ls_producer_open(w->stream, NULL, &w->producer), LS_OK);
}

/* A store of small segments, whose puts do not wait for the disk, and a stream. */
static work start(void **state, const ls_stream_options *options)
{
    work w = {.fx = *state};

    assert_int_equal(ls_store_close(w.fx->store), LS_OK);
    if (!in_memory)
        snprintf(w.fx->location, sizeof w.fx->location, "%s", temp_path(&w.fx->temp, "small"));
    open_store(w.fx, &w.fx->store);
    assert_int_equal(ls_stream_create(w.fx->store, "orders", options), LS_OK);
    open_stream(&w, w.fx->store);
    return w;
}

static void finish(work *w)
{
    assert_int_equal(ls_producer_close(w->producer), LS_OK);
    assert_int_equal(ls_stream_close(w->stream), LS_OK);
}

static void reopen(work *w)
{
    finish(w);
    if (!in_memory) {
        assert_int_equal(ls_store_close(w->fx->store), LS_OK);
        open_store(w->fx, &w->fx->store);
    }
    open_stream(w, w->fx->store);
}

static ls_put_options numbered(uint64_t number)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.producer = me;
    options.number = number;
    return options;
}

static ls_status try_put(work *w, uint64_t number, size_t bytes, ls_record_id *out)
{
    ls_put_options options = numbered(number);

    return ls_producer_put(w->producer, text("k"), (ls_bytes){data, bytes}, &options, out);
}

static ls_record_id put(work *w, uint64_t number, size_t bytes)
{
    ls_record_id id;

    assert_int_equal(try_put(w, number, bytes, &id), LS_OK);
    return id;
}

static bool is_same(ls_record_id a, ls_record_id b)
{
    return a.shard == b.shard && a.seqno == b.seqno;
}

/* How many records shard 0 shows. */
static size_t count(const work *w)
{
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;
    size_t n = 0;

    assert_int_equal(ls_iterator_open(w->stream, 0, NULL, NULL, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        n += ls_batch_count(batch);
    } while (ls_batch_count(batch) > 0);
    ls_iterator_close(iterator);
    return n;
}

/* ---- limits ---- */

/* A repeat is not throttled, and takes nothing from who is. */
static void a_repeat_is_free(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_put_entry entries[4];
    ls_put_result results[4];
    ls_put_options batch = numbered(1);
    ls_record_id first, id;
    size_t failed;
    work w;

    options.mode = LS_STREAM_PROVISIONED;
    options.write_records_per_second = 2;
    w = start(state, &options);
    first = put(&w, 1, 10);
    for (int i = 0; i < 20; i++)
        assert_true(is_same(put(&w, 1, 10), first));
    (void)put(&w, 2, 10);
    assert_int_equal(try_put(&w, 3, 10, &id), LS_ERR_THROTTLED);
    assert_true(is_same(put(&w, 1, 10), first));
    for (int i = 0; i < 4; i++)
        entries[i] = (ls_put_entry){text("k"), text("d"), NULL};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 4, &batch, results, &failed), LS_OK);
    assert_int_equal(results[0].seqno, first.seqno);
    assert_int_equal(results[1].status, LS_OK);
    assert_int_equal(failed, 2);
    assert_int_equal(results[2].status, LS_ERR_THROTTLED);
    assert_int_equal(results[3].status, LS_ERR_THROTTLED);
    batch.flags = LS_PUT_ATOMIC;
    batch.number = 3;
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 2, &batch, results, &failed), LS_ERR_THROTTLED);
    assert_int_equal(count(&w), 2);
    finish(&w);
}

/* ---- bytes ---- */

/* Compressed and sealed, in one frame and in the next: what is read is what was put, and repeats are known. */
static void numbers_are_known_under_keys_and_compressed(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    const uint64_t gaps[4] = {201, 203, 300, 100000};
    ls_put_options batch = numbered(0);
    ls_put_result first[4], again[4];
    ls_put_entry entries[4];
    ls_record_id ids[6];
    const ls_batch *read;
    ls_iterator *iterator;
    size_t failed;
    work w;

    if (!lsi_crypto_is_built())
        skip();
    w = start(state, &options);
    ids[0] = put(&w, 10, 9000);
    assert_int_equal(ls_stream_set_compression(w.fx->store, "orders", LS_COMPRESSION_ZSTD), LS_OK);
    ids[1] = put(&w, 20, 9000);
    assert_int_equal(ls_stream_start_encryption(w.fx->store, "orders", "a"), LS_OK);
    ids[2] = put(&w, 30, 9000); /* both */
    ids[3] = put(&w, 40, 100);
    assert_int_equal(ls_stream_set_compression(w.fx->store, "orders", LS_COMPRESSION_NONE), LS_OK);
    ids[4] = put(&w, 50, 9000); /* sealed alone */
    batch.numbers = gaps;
    for (int i = 0; i < 4; i++)
        entries[i] = (ls_put_entry){text("k"), {data, 200}, NULL};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 4, &batch, first, &failed), LS_OK);
    assert_int_equal(failed, 0);
    reopen(&w);
    for (uint64_t i = 0; i < 5; i++)
        assert_true(is_same(put(&w, 10 * (i + 1), 9000), ids[i]));
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 4, &batch, again, &failed), LS_OK);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(ls_stream_stop_encryption(w.fx->store, "orders"), LS_OK);
    (void)put(&w, 100001, 20);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &iterator), LS_OK);
    for (size_t n = 0; n < 10; n += ls_batch_count(read)) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &read), LS_OK);
        assert_true(ls_batch_count(read) > 0);
        for (size_t i = 0; i < ls_batch_count(read); i++) {
            const ls_record *record = ls_batch_at(read, i);
            size_t at = n + i;

            assert_int_equal(record->data.size, at == 3 ? 100 : at < 5 ? 9000 : at < 9 ? 200 : 20);
            assert_memory_equal(record->data.data, data, record->data.size);
        }
    }
    ls_iterator_close(iterator);
    finish(&w);
}

/* The records go, their numbers stay. */
static void trimming_forgets_no_number(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_record_id first, second;
    work w;

    options.retention_bytes = 3 * SEGMENT;
    w = start(state, &options);
    first = put(&w, 1, 100);
    second = put(&w, 3, 100);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){data, sizeof data}, NULL, NULL), LS_OK);
    assert_int_equal(ls_store_maintain(w.fx->store, -1), LS_OK);
    assert_true(count(&w) < 20);
    reopen(&w);
    assert_true(is_same(put(&w, 1, 100), first));
    assert_true(is_same(put(&w, 3, 100), second));
    assert_int_equal(ls_producer_repeats(w.producer), 2);
    finish(&w);
}

/* In a store that does not wait for the disk a repeat that asks for more waits, as its first put would have; when that
 * is done there is nothing to wait for. Method: the simulated disk counts syncs. */
static void a_repeat_is_as_durable_as_it_asks(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_files *sim = sim_files_new();
    ls_put_options again = numbered(1);
    ls_record_id first, id;
    work w = {.fx = *state};
    uint64_t syncs;
    ls_store *store;
    lsi_env env;

    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(lsi_store_open_env("/sim", &options, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    open_stream(&w, store);
    first = put(&w, 1, 10);
    syncs = sim_calls(sim, SIM_SYNC);
    assert_true(is_same(put(&w, 1, 10), first));
    assert_int_equal(sim_calls(sim, SIM_SYNC), syncs);
    again.durability = LS_DURABILITY_SYNC;
    assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), &again, &id), LS_OK);
    assert_true(is_same(id, first));
    assert_int_equal(sim_calls(sim, SIM_SYNC), syncs + 1);
    assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), &again, &id), LS_OK);
    assert_int_equal(sim_calls(sim, SIM_SYNC), syncs + 1);
    finish(&w);
    assert_int_equal(ls_store_close(store), LS_OK);
    sim_files_free(sim);
}

/* Closing makes durable what was put by the handle, a repeat of what a killed process wrote as well: nobody else may be
 * left to do that. Method: another handle is never closed; what a loss of power leaves, nothing that is not synced, has
 * the record. */
static void closing_makes_a_repeat_durable(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_files *sim = sim_files_new(), *left;
    work killed = {.fx = *state}, next = killed, after = killed;
    ls_store *first, *second, *third;
    lsi_env env;

    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(lsi_store_open_env("/sim", &options, &env, &first), LS_OK);
    assert_int_equal(ls_stream_create(first, "orders", NULL), LS_OK);
    open_stream(&killed, first);
    (void)put(&killed, 1, 10);
    assert_int_equal(lsi_store_open_env("/sim", &options, &env, &second), LS_OK);
    open_stream(&next, second);
    (void)put(&next, 1, 10);
    assert_int_equal(ls_producer_repeats(next.producer), 1);
    finish(&next);
    assert_int_equal(ls_store_close(second), LS_OK);
    left = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
    env.files = sim_files_table(left);
    assert_int_equal(lsi_store_open_env("/sim", NULL, &env, &third), LS_OK);
    open_stream(&after, third);
    assert_int_equal(count(&after), 1);
    finish(&after);
    assert_int_equal(ls_store_close(third), LS_OK);
    sim_files_free(left);
    finish(&killed);
    assert_int_equal(ls_store_close(first), LS_OK);
    sim_files_free(sim);
}

/* ---- others ---- */

/* Two handles, as two processes have them, by turns and in one order: each knows what the other put. */
static void others_repeats_are_known(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    work a, b = {0};
    ls_store *other;

    if (in_memory)
        skip(); /* It is of one handle. */
    a = start(state, &options);
    open_store(a.fx, &other);
    open_stream(&b, other);
    for (uint64_t i = 0; i < 40; i++) {
        work *by = i % 3 == 0 ? &a : &b, *after = by == &a ? &b : &a;
        ls_record_id id = put(by, 1 + 2 * i, i % 4 == 0 ? sizeof data : 50);

        if (i % 5 == 0)
            assert_int_equal(ls_producer_put(by->producer, text("k"), (ls_bytes){data, 200}, NULL, NULL), LS_OK);
        assert_true(is_same(put(after, 1 + 2 * i, 50), id));
        assert_true(is_same(put(by, 1 + 2 * i, 50), id));
    }
    assert_int_equal(count(&a), 48);
    finish(&b);
    assert_int_equal(ls_store_close(other), LS_OK);
    finish(&a);
}

/* What a reset gave up was not put, also to another process that had seen it. */
static void a_reset_is_heeded_by_others(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_files *sim = sim_files_new();
    work a = {.fx = *state}, b = {.fx = *state};
    ls_store *one, *other;
    ls_record_id kept, given_up;
    lsi_env env;

    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(lsi_store_open_env("/sim", &options, &env, &one), LS_OK);
    assert_int_equal(ls_stream_create(one, "orders", NULL), LS_OK);
    assert_int_equal(lsi_store_open_env("/sim", &options, &env, &other), LS_OK);
    open_stream(&a, one);
    open_stream(&b, other);
    kept = put(&a, 1, 10);
    assert_int_equal(ls_store_sync(one), LS_OK);
    given_up = put(&a, 2, 10);
    assert_true(is_same(put(&b, 2, 10), given_up));
    sim_fault_add(sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(ls_store_sync(one), LS_ERR_IO);
    sim_faults_clear(sim);
    assert_int_equal(ls_stream_reset_shard(a.stream, 0), LS_OK);
    assert_true(is_same(put(&b, 1, 10), kept));
    assert_false(is_same(put(&b, 2, 10), given_up));
    assert_int_equal(count(&b), 2);
    finish(&b);
    finish(&a);
    assert_int_equal(ls_store_close(other), LS_OK);
    assert_int_equal(ls_store_close(one), LS_OK);
    sim_files_free(sim);
}

/* ---- copies ---- */

static void a_copy_knows_what_it_has(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    char target[TEMP_PATH_BYTES * 2];
    ls_record_id ids[6];
    work w, copy = {0};
    ls_store *store;

    if (in_memory)
        skip();
    w = start(state, &options);
    snprintf(target, sizeof target, "%s", temp_path(&w.fx->temp, "copy"));
    assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){data, 100}, NULL, NULL), LS_OK);
    assert_int_equal(ls_store_backup(w.fx->store, target, NULL), LS_OK); /* before there is any number */
    for (uint64_t i = 0; i < 6; i++) {
        ids[i] = put(&w, 10 * i + 10, sizeof data);
        if (i % 2 == 1)
            assert_int_equal(ls_store_backup(w.fx->store, target, NULL), LS_OK);
    }
    finish(&w);
    assert_int_equal(ls_inspect_verify(target, NULL, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_store_open(target, NULL, &store), LS_OK);
    open_stream(&copy, store);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(is_same(put(&copy, 10 * i + 10, 10), ids[i]));
    (void)put(&copy, 1000, 10);
    assert_int_equal(count(&copy), 8);
    finish(&copy);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- damage ---- */

typedef struct found {
    int count, repaired;
    char what[256], advice[256];
} found;

static ls_inspect_act note(const ls_finding *finding, void *user)
{
    found *of = user;

    if (finding->kind != LS_FINDING_PRODUCERS)
        return LS_INSPECT_GO_ON;
    of->count++;
    of->repaired += finding->repaired;
    assert_int_equal(finding->severity, LS_FINDING_DAMAGE);
    assert_int_equal(finding->records_max, 0);
    snprintf(of->what, sizeof of->what, "%s", finding->what);
    snprintf(of->advice, sizeof of->advice, "%s", finding->advice);
    return LS_INSPECT_GO_ON;
}

/* What is remembered is gone, or is not what was written: numbered puts are refused, by a message that names the file,
 * all else goes on; verifying tells, and a repair makes it anew of the records. */
static void lost_memory_refuses_numbers_until_it_is_repaired(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        ls_stream_options options = LS_STREAM_OPTIONS_INIT;
        char path[TEMP_PATH_BYTES * 3];
        found seen = {0};
        ls_record_id first, id;
        FILE *file;
        work w;

        if (in_memory)
            skip();
        if (kind > 0) {
            assert_int_equal(end(state), 0);
            assert_int_equal(begin(state), 0);
        }
        w = start(state, &options);
        first = put(&w, 1, sizeof data);
        (void)put(&w, 2, sizeof data);
        (void)put(&w, 4, sizeof data); /* into another segment */
        finish(&w);
        assert_int_equal(ls_store_close(w.fx->store), LS_OK);
        assert_int_equal(ls_inspect_verify(w.fx->location, NULL, note, NULL, &seen), LS_OK);
        assert_int_equal(seen.count, 0);

        snprintf(path, sizeof path, "%s/1/0/producers", w.fx->location);
        if (kind == 0) {
            assert_int_equal(unlink(path), 0);
        } else {
            file = fopen(path, "r+");
            assert_non_null(file);
            assert_int_equal(fseek(file, kind == 1 ? 70 : 0, SEEK_SET), 0);
            assert_int_equal(fputc('x', file), 'x');
            assert_int_equal(fclose(file), 0);
        }
        open_store(w.fx, &w.fx->store);
        open_stream(&w, w.fx->store);
        assert_int_equal(try_put(&w, 1, 10, &id), LS_ERR_CORRUPT);
        assert_true(says("1/0/producers"));
        assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), NULL, NULL), LS_OK);
        assert_int_equal(count(&w), 4);
        finish(&w);
        assert_int_equal(ls_store_close(w.fx->store), LS_OK);

        assert_int_equal(ls_inspect_verify(w.fx->location, NULL, note, NULL, &seen), LS_ERR_CORRUPT);
        assert_int_equal(seen.count, 1);
        assert_non_null(strstr(seen.what, "producers"));
        assert_non_null(strstr(seen.advice, "lstream repair"));
        assert_int_equal(ls_inspect_repair(w.fx->location, NULL, 0, note, NULL, &seen), LS_OK);
        assert_int_equal(seen.repaired, 1);
        assert_int_equal(ls_inspect_verify(w.fx->location, NULL, note, NULL, &seen), LS_OK);
        open_store(w.fx, &w.fx->store);
        open_stream(&w, w.fx->store);
        assert_true(is_same(put(&w, 1, 10), first));
        (void)put(&w, 5, 10);
        assert_int_equal(count(&w), 5);
        finish(&w);
    }
}

/* A transaction is done once by its checkpoint; a number would say nothing. */
static void transactions_take_no_numbers(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_put_options put_options = numbered(1);
    work w = start(state, &options);
    ls_txn *txn;

    assert_int_equal(ls_txn_begin(w.fx->store, NULL, &txn), LS_OK);
    assert_int_equal(ls_txn_put(txn, w.stream, text("k"), text("d"), &put_options), LS_ERR_UNSUPPORTED);
    assert_true(says("not numbered"));
    ls_txn_close(txn);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_repeat_is_free),
        TEST(numbers_are_known_under_keys_and_compressed),
        TEST(trimming_forgets_no_number),
        TEST(a_repeat_is_as_durable_as_it_asks),
        TEST(closing_makes_a_repeat_durable),
        TEST(others_repeats_are_known),
        TEST(a_reset_is_heeded_by_others),
        TEST(a_copy_knows_what_it_has),
        TEST(lost_memory_refuses_numbers_until_it_is_repaired),
        TEST(transactions_take_no_numbers),
    };
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)('a' + i % 7);
    run_everywhere("numbered puts in a store", tests);
}
