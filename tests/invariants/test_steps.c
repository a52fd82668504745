/* Workers that read a stream and write to two others by transactions, killed again and again: what a record gives is
 * in each of the others once, in order, and readers never see more on the way (A1, O5). */
#include "invariants/processes.h"

#define SHARDS 2u    /* of the stream that is read */
#define RECORDS 600u /* of each of them */
#define WORKERS 2u
#define KILLS 60u
#define DEADLINE_MS 60000

typedef struct outputs {
    ls_stream *wide, *single; /* of two shards and of one */
} outputs;

static void open_outputs(const handles *of, outputs *to)
{
    child_check(ls_stream_open(of->store, "wide", &to->wide) == LS_OK);
    child_check(ls_stream_open(of->store, "single", &to->single) == LS_OK);
}

static void close_outputs(outputs *to)
{
    child_check(ls_stream_close(to->wide) == LS_OK);
    child_check(ls_stream_close(to->single) == LS_OK);
}

/* What a record gives: its shard and number, to one shard of the first by its number, and to the second. */
static void add_record(ls_txn *txn, const outputs *to, uint32_t shard, const ls_record *record)
{
    const ls_hash_key hash = {UINT64_C(1) << 63 & (uint64_t)record->seqno << 63, 0};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    uint32_t words[2] = {shard, 0};

    memcpy(&words[1], record->data.data, sizeof words[1]);
    options.explicit_hash_key = &hash;
    child_check(ls_txn_put(txn, to->wide, record->partition_key, (ls_bytes){words, sizeof words}, &options) == LS_OK);
    child_check(ls_txn_put(txn, to->single, record->partition_key, (ls_bytes){words, sizeof words}, NULL) == LS_OK);
}

/* Works on the leases that it is given until all shards are done, or it is killed. */
static void run_worker(fixture *fx)
{
    ls_group_options group_options = LS_GROUP_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterators[SHARDS] = {NULL};
    ls_lease *leases[SHARDS] = {NULL};
    ls_group *group = NULL;
    ls_txn *txn = NULL;
    outputs to;
    handles of;

    next.records_max = 2;
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    open_outputs(&of, &to);
    child_check(ls_group_open(of.stream, "g", &group_options, &group) == LS_OK);
    child_check(ls_txn_begin(of.store, NULL, &txn) == LS_OK);
    while (atomic_load(&fx->share->release) == 0) {
        ls_group_event event = LS_GROUP_EVENT_INIT;

        child_check(ls_group_next(group, 1, &event) == LS_OK);
        if (event.kind == LS_GROUP_TAKEN) {
            ls_lease_info info = LS_LEASE_INFO_INIT;

            child_check(ls_lease_describe(event.lease, &info) == LS_OK);
            leases[info.shard] = event.lease;
            child_check(ls_iterator_open(of.stream, info.shard, &info.position, NULL, &iterators[info.shard]) == LS_OK);
        }
        for (uint32_t i = 0; i < SHARDS; i++) {
            const ls_batch *batch = NULL;
            bool is_over = event.kind != LS_GROUP_TAKEN && event.lease != NULL && leases[i] == event.lease;
            ls_status st = LS_OK;

            if (leases[i] == NULL)
                continue;
            if (!is_over)
                child_check(ls_iterator_next(iterators[i], &next, &batch) == LS_OK);
            if (!is_over && ls_batch_count(batch) > 0) {
                for (size_t k = 0; k < ls_batch_count(batch); k++)
                    add_record(txn, &to, i, ls_batch_at(batch, k));
                child_check(ls_txn_checkpoint(txn, leases[i], ls_batch_at(batch, ls_batch_count(batch) - 1)->seqno,
                                              UINT32_MAX) == LS_OK);
                st = ls_txn_commit(txn, NULL, 0);
                child_check(st == LS_OK || st == LS_ERR_LEASE_LOST);
                ls_txn_abort(txn);
                atomic_fetch_add(&fx->share->calls, 1);
            }
            if (is_over || st == LS_ERR_LEASE_LOST) {
                ls_iterator_close(iterators[i]);
                child_check(ls_lease_close(leases[i]) == LS_OK);
                iterators[i] = NULL;
                leases[i] = NULL;
            }
        }
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        ls_iterator_close(iterators[i]);
    ls_txn_close(txn);
    child_check(ls_group_close(group) == LS_OK);
    close_outputs(&to);
    child_check(handles_close(&of) == LS_OK);
}

static void make_streams(fixture *fx, ls_durability durability)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    store_options.durability = durability;
    store_options.segment_bytes = 64 << 10;
    assert_int_equal(ls_store_open(fx->path, &store_options, &store), LS_OK);
    options.shard_count = 2;
    assert_int_equal(ls_stream_create(store, STREAM, &options), LS_OK);
    assert_int_equal(ls_stream_create(store, "wide", &options), LS_OK);
    assert_int_equal(ls_stream_create(store, "single", NULL), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void put_all(handles *of)
{
    for (uint32_t number = 0; number < RECORDS; number++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            const ls_hash_key hash = {(uint64_t)shard << 63, 0};
            ls_put_options options = LS_PUT_OPTIONS_INIT;

            options.explicit_hash_key = &hash;
            assert_int_equal(ls_producer_put(of->producer, (ls_bytes){"k", 1}, (ls_bytes){&number, sizeof number},
                                             &options, NULL), LS_OK);
        }
}

/* How often each record's is in the shard of the stream so far; they are in order. */
static uint32_t count_outputs(ls_stream *stream, uint32_t shard, uint32_t times[SHARDS][RECORDS])
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    uint32_t last[SHARDS] = {0}, all = 0;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    assert_int_equal(ls_iterator_open(stream, shard, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++, all++) {
            uint32_t words[2];

            memcpy(words, ls_batch_at(batch, i)->data.data, sizeof words);
            assert_true(words[0] < SHARDS && words[1] < RECORDS);
            times[words[0]][words[1]]++;
            assert_true(words[1] + 1 > last[words[0]]);
            last[words[0]] = words[1] + 1;
        }
    ls_iterator_close(iterator);
    return all;
}

/* Everything that is there is there once, in both streams if it is looked at when nobody is at work. How much. */
static uint32_t look(const outputs *to, bool is_still)
{
    uint32_t single[SHARDS][RECORDS] = {{0}}, wide[SHARDS][RECORDS] = {{0}}, count;

    count = count_outputs(to->single, 0, single);
    (void)count_outputs(to->wide, 0, wide);
    (void)count_outputs(to->wide, 1, wide);
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < RECORDS; k++) {
            assert_true(single[i][k] <= 1 && wide[i][k] <= 1);
            assert_true(!is_still || single[i][k] == wide[i][k]);
        }
    return count;
}

/* Where the leases stand, in records of both shards. */
static uint32_t checkpointed(ls_stream *stream)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_lease_list *list = NULL;
    uint32_t count = 0;

    ls_status st = ls_stream_list_leases(stream, "g", &list);
    if (st == LS_ERR_NOT_FOUND) /* Nobody lived for so long yet. */
        return 0;
    assert_int_equal(st, LS_OK);
    for (uint32_t i = 0; i < ls_lease_list_count(list); i++) {
        ls_lease_info info = LS_LEASE_INFO_INIT;
        ls_next_options next = LS_NEXT_OPTIONS_INIT;
        ls_iterator *iterator = NULL;
        const ls_batch *batch = NULL;

        assert_int_equal(ls_lease_list_at(list, i, &info), LS_OK);
        if (info.state != LS_LEASE_BEGUN)
            continue;
        assert_int_equal(ls_iterator_open(stream, info.shard, &horizon, NULL, &iterator), LS_OK);
        while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) > 0)
            for (size_t k = 0; k < ls_batch_count(batch); k++)
                count += ls_batch_at(batch, k)->seqno <= info.seqno;
        ls_iterator_close(iterator);
    }
    ls_lease_list_free(list);
    return count;
}

/* Until the workers have come so many steps further; they may be about to begin. */
static void await_calls(fixture *fx, uint32_t count)
{
    uint64_t from = atomic_load(&fx->share->calls);
    int64_t until = now_ms() + 40;

    while (atomic_load(&fx->share->calls) - from < count && now_ms() < until)
        (void)usleep(20);
}

/* Goal: exactly once, whoever is killed when. Method: two workers, of which one is killed and replaced every few
 * steps; now and then both, and then what is there is looked at while nobody is at work. */
static void each_record_is_done_once(void **state, ls_durability durability)
{
    fixture *fx = *state;
    int64_t until = now_ms() + DEADLINE_MS;
    uint32_t seed = (uint32_t)getpid(), kills = 0, done = 0;
    pid_t workers[WORKERS];
    outputs to;
    handles of;

    make_streams(fx, durability);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    open_outputs(&of, &to);
    put_all(&of);
    for (uint32_t i = 0; i < WORKERS; i++)
        workers[i] = child_start(run_worker, fx);
    while (done < SHARDS * RECORDS && now_ms() < until) {
        uint32_t which = (uint32_t)rand_r(&seed) % WORKERS;
        bool both = rand_r(&seed) % 6 == 0;

        await_calls(fx, (uint32_t)rand_r(&seed) % 16);
        for (uint32_t i = 0; kills < KILLS && i < WORKERS; i++)
            if (both || i == which) {
                assert_int_equal(kill(workers[i], SIGKILL), 0);
                assert_true(WIFSIGNALED(child_end(workers[i])));
            }
        if (both && kills < KILLS) {
            done = look(&to, true);
            assert_int_equal(checkpointed(of.stream), done);
        }
        for (uint32_t i = 0; kills < KILLS && i < WORKERS; i++)
            if (both || i == which)
                workers[i] = child_start(run_worker, fx);
        kills += both ? WORKERS : 1;
        done = look(&to, false);
    }
    atomic_store(&fx->share->release, 1);
    for (uint32_t i = 0; i < WORKERS; i++)
        child_ends_well(workers[i]);
    assert_int_equal(look(&to, true), SHARDS * RECORDS);
    assert_int_equal(checkpointed(of.stream), SHARDS * RECORDS);
    assert_true(kills > 10);
    close_outputs(&to);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void each_record_is_done_once_in_sync_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_SYNC);
}

static void each_record_is_done_once_in_kernel_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_KERNEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_record_is_done_once_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_record_is_done_once_in_kernel_mode, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("invariants/test_steps", tests, NULL, NULL);
}
