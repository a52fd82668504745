/* Workers that read a stream and write to two others, by transactions or as handlers of a mapping, killed again and
 * again: what a record gives is in each of the others once, in order, and readers never see more on the way
 * (A1, O5). */
#include "invariants/processes.h"

#include <pthread.h>

#define SHARDS 2u          /* of the stream that is read */
#define RECORDS_MAX 6000u  /* of each of them */
#define RECORDS_SHORT 600u
#define RECORDS_PER_KILL 10u
#define WORKERS 2u
#define FAILOVER_MS 200
#define CALLS_AT_ONCE 32u
#define DEADLINE_MS 60000 /* of the short one */

static uint32_t record_count; /* of each shard */

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

/* ---- the same by a mapping ---- */

typedef struct handling {
    fixture *fx;
    outputs to;
    ls_mapping *mapping;
    uint32_t seed;
} handling;

/* Most batches are finished, some up to a record, some not; and what a batch has put shows late, if it does. */
static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    handling *of = user;
    size_t count = ls_batch_count(batch);

    /* Not all of it is done while the parent is busy: it says how many calls there may be. */
    while (atomic_load(&of->fx->share->calls) >= atomic_load(&of->fx->share->acknowledged) &&
           atomic_load(&of->fx->share->release) == 0)
        (void)usleep(200);
    for (size_t i = 0; i < count; i++) {
        const ls_record *record = ls_batch_at(batch, i);
        const ls_hash_key hash = {UINT64_C(1) << 63 & (uint64_t)record->seqno << 63, 0};
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        uint32_t words[2] = {ls_batch_shard(batch), 0};
        const ls_bytes data = {words, sizeof words};

        memcpy(&words[1], record->data.data, sizeof words[1]);
        options.explicit_hash_key = &hash;
        child_check(ls_handler_put(context, i, of->to.wide, record->partition_key, data, &options) == LS_OK);
        child_check(ls_handler_put(context, i, of->to.single, record->partition_key, data, NULL) == LS_OK);
    }
    atomic_fetch_add(&of->fx->share->calls, 1);
    switch (rand_r(&of->seed) % 64) {
    case 0:
        return LS_HANDLER_RETRY;
    case 1:
        (void)usleep(5000);
        return LS_HANDLER_DONE;
    default:
        if (count > 1 && rand_r(&of->seed) % 4 == 0)
            ls_handler_fail_at(context, 1 + (size_t)rand_r(&of->seed) % (count - 1));
        return LS_HANDLER_DONE;
    }
}

static void *stop_in_time(void *user)
{
    handling *of = user;

    while (atomic_load(&of->fx->share->release) == 0)
        (void)usleep(1000);
    ls_mapping_stop(of->mapping);
    return NULL;
}

static void run_handler(fixture *fx)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    handling by = {.fx = fx, .seed = (uint32_t)getpid()};
    pthread_t thread;
    handles of;

    options.failover_ms = FAILOVER_MS;
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    open_outputs(&of, &by.to);
    child_check(ls_mapping_open(of.stream, "g", &by.mapping) == LS_OK);
    child_check(pthread_create(&thread, NULL, stop_in_time, &by) == 0);
    child_check(ls_mapping_run(by.mapping, &options, handle, &by) == LS_OK);
    child_check(pthread_join(thread, NULL) == 0);
    child_check(ls_mapping_close(by.mapping) == LS_OK);
    close_outputs(&by.to);
    child_check(handles_close(&of) == LS_OK);
}

static void make_mapping(const handles *of)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    options.flags = LS_MAPPING_EXACTLY_ONCE | LS_MAPPING_REPORT_FAILURES;
    options.records_max = 3;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT; /* The machine is busy. */
    assert_int_equal(ls_mapping_create(of->stream, "g", &horizon, &options), LS_OK);
}

/* ---- the test ---- */

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
    for (uint32_t number = 0; number < record_count; number++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            const ls_hash_key hash = {(uint64_t)shard << 63, 0};
            ls_put_options options = LS_PUT_OPTIONS_INIT;

            options.explicit_hash_key = &hash;
            assert_int_equal(ls_producer_put(of->producer, (ls_bytes){"k", 1}, (ls_bytes){&number, sizeof number},
                                             &options, NULL), LS_OK);
        }
}

/* How often each record's is in the shard of the stream so far; they are in order. */
static uint32_t count_outputs(ls_stream *stream, uint32_t shard, uint32_t times[SHARDS][RECORDS_MAX])
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
            assert_true(words[0] < SHARDS && words[1] < record_count);
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
    static uint32_t single[SHARDS][RECORDS_MAX], wide[SHARDS][RECORDS_MAX];
    uint32_t count;

    memset(single, 0, sizeof single);
    memset(wide, 0, sizeof wide);
    count = count_outputs(to->single, 0, single);
    (void)count_outputs(to->wide, 0, wide);
    (void)count_outputs(to->wide, 1, wide);
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < record_count; k++) {
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

/* Goal: exactly once, whoever is killed when, or stopped for so long that it is taken for dead. Method: two workers, of
 * which one is killed and replaced every few steps; now and then both, and then what is there is looked at while nobody
 * is at work. */
static void each_record_is_done_once(void **state, ls_durability durability, bool is_mapping)
{
    fixture *fx = *state;
    void (*const work)(fixture *fx) = is_mapping ? run_handler : run_worker;
    int64_t until;
    uint32_t seed = (uint32_t)getpid(), kills = 0, done = 0, kills_max;
    pid_t workers[WORKERS];
    outputs to;
    handles of;

    record_count = getenv("LIBSTREAM_TEST_LONG") != NULL ? RECORDS_MAX : RECORDS_SHORT;
    kills_max = record_count / RECORDS_PER_KILL;
    until = now_ms() + DEADLINE_MS * (record_count / RECORDS_SHORT);
    make_streams(fx, durability);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    open_outputs(&of, &to);
    put_all(&of);
    if (is_mapping)
        make_mapping(&of);
    for (uint32_t i = 0; i < WORKERS; i++)
        workers[i] = child_start(work, fx);
    while (done < SHARDS * record_count && now_ms() < until) {
        uint32_t which = (uint32_t)rand_r(&seed) % WORKERS;
        bool both = rand_r(&seed) % 6 == 0;

        atomic_store(&fx->share->acknowledged, atomic_load(&fx->share->calls) + CALLS_AT_ONCE);
        await_calls(fx, (uint32_t)rand_r(&seed) % 16);
        if (is_mapping && rand_r(&seed) % 16 == 0) { /* What it goes on with was begun by another one meanwhile. */
            assert_int_equal(kill(workers[which], SIGSTOP), 0);
            (void)usleep(2000 * FAILOVER_MS);
            assert_int_equal(kill(workers[which], SIGCONT), 0);
            continue;
        }
        for (uint32_t i = 0; kills < kills_max && i < WORKERS; i++)
            if (both || i == which) {
                assert_int_equal(kill(workers[i], SIGKILL), 0);
                assert_true(WIFSIGNALED(child_end(workers[i])));
            }
        if (both && kills < kills_max) {
            done = look(&to, true);
            assert_int_equal(checkpointed(of.stream), done);
        }
        for (uint32_t i = 0; kills < kills_max && i < WORKERS; i++)
            if (both || i == which)
                workers[i] = child_start(work, fx);
        kills += both ? WORKERS : 1;
        done = look(&to, false);
    }
    atomic_store(&fx->share->release, 1);
    for (uint32_t i = 0; i < WORKERS; i++)
        child_ends_well(workers[i]);
    assert_int_equal(look(&to, true), SHARDS * record_count);
    assert_int_equal(checkpointed(of.stream), SHARDS * record_count);
    assert_true(kills > 10);
    close_outputs(&to);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void each_record_is_done_once_in_sync_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_SYNC, false);
}

static void each_record_is_done_once_in_kernel_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_KERNEL, false);
}

static void what_handlers_put_is_there_once_in_sync_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_SYNC, true);
}

static void what_handlers_put_is_there_once_in_kernel_mode(void **state)
{
    each_record_is_done_once(state, LS_DURABILITY_KERNEL, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_record_is_done_once_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_record_is_done_once_in_kernel_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_handlers_put_is_there_once_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_handlers_put_is_there_once_in_kernel_mode, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("invariants/test_steps", tests, NULL, NULL);
}
