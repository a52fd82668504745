/* Workers of the storm: runs of mappings, which note what their handlers are given, and workers of a group, which put
 * what they are given into another stream by transactions. Each goes on until it is killed. */
#include "harness/h4_work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"

work_shared *work;

static int64_t stepped_clock(void *user)
{
    struct timespec now;

    (void)user;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&work->skew_us);
}

ls_store *work_open_store(storm_plan *plan)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    lsi_env env;

    options.clock = stepped_clock;
    lsi_env_default(&env);
    if (plan != NULL)
        env.files = &plan->files.table;
    if (lsi_store_open_env(storm_set.dir, &options, &env, &store) != LS_OK) {
        storm_violation("a worker cannot open the store: %s", ls_last_error_message());
        _exit(3);
    }
    return store;
}

void work_mapping_name(uint32_t which, char into[16])
{
    (void)snprintf(into, 16, "lane-%u", which == 0 ? 1u : 3u);
}

static uint32_t number_of(const ls_record *record)
{
    return storm_number_of(record, WORK_RECORDS_MAX);
}

/* ---- runs of a mapping ---- */

static ls_handler_answer note(const ls_batch *batch, ls_handler_context *context, void *user)
{
    work_diary *to = user;

    (void)context;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        uint32_t number = number_of(ls_batch_at(batch, i)), at = atomic_fetch_add(&to->count, 1);

        if (number >= WORK_RECORDS_MAX || at >= WORK_NOTES_MAX) {
            storm_violation("a handler is given record %u, as the %uth", number, at);
            return LS_HANDLER_STOP;
        }
        atomic_store(&to->notes[at], number + 1);
        atomic_store(&to->is_handled[number], 1);
        if (number % 8 == 0) /* So that some are stopped in here. */
            (void)usleep(500);
    }
    return LS_HANDLER_DONE;
}

void work_run_mapping(uint32_t which, uint64_t *random, storm_plan *plan)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_store *store = work_open_store(plan);
    ls_mapping *mapping = NULL;
    ls_stream *stream = NULL;
    char name[16];
    ls_status st = ls_stream_open(store, WORK_STREAM, &stream);

    work_mapping_name(which, name);
    options.failover_ms = WORK_FAILOVER_MS;
    options.shards_max = storm_random_below(random, 3) == 0 ? 2 : 0;
    if (st == LS_OK)
        st = ls_mapping_open(stream, name, &mapping);
    if (st == LS_OK)
        st = ls_mapping_run(mapping, &options, note, &work->diaries[which]);
    storm_fail("the run of a mapping has ended", st);
}

/* ---- workers of a group ---- */

typedef struct job {
    ls_lease *lease;
    ls_iterator *iterator;
} job;

typedef struct worker {
    ls_stream *stream, *out;
    ls_group *group;
    ls_txn *txn;
    uint64_t *random;
    job jobs[WORK_SHARDS_MAX]; /* by shard */
} worker;

/* What a worker may hear while others are stopped with a lock in their hands. */
static bool passes(ls_status st)
{
    return st == LS_ERR_BUSY;
}

static void begin(worker *of, ls_lease *lease)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_status st = ls_lease_describe(lease, &info);

    if (st == LS_OK && info.shard >= WORK_SHARDS_MAX)
        storm_fail("too many shards", LS_ERR_STATE);
    of->jobs[info.shard].lease = lease;
    if (st == LS_OK)
        st = ls_iterator_open(of->stream, info.shard, &info.position, NULL, &of->jobs[info.shard].iterator);
    if (st != LS_OK)
        storm_fail("a worker cannot read a shard", st);
}

static void end(job *of)
{
    ls_status st = ls_lease_close(of->lease);

    if (st != LS_OK && !passes(st))
        storm_fail("giving a lease back", st);
    ls_iterator_close(of->iterator);
    *of = (job){NULL, NULL};
}

static void listen(worker *of)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_status st = ls_group_next(of->group, 1, &event);

    if (st != LS_OK && !passes(st))
        storm_fail("a worker listens", st);
    if (st == LS_OK && event.kind == LS_GROUP_TAKEN)
        begin(of, event.lease);
    else if (st == LS_OK && event.kind != LS_GROUP_NOTHING)
        for (uint32_t i = 0; i < WORK_SHARDS_MAX; i++)
            if (of->jobs[i].lease == event.lease)
                end(&of->jobs[i]);
}

/* A batch by one transaction; that it was lost is LEASE_LOST. */
static ls_status commit(worker *of, const job *at, const ls_batch *batch)
{
    size_t count = ls_batch_count(batch);
    ls_status st = LS_OK;

    for (size_t i = 0; i < count && st == LS_OK; i++) {
        const ls_record *record = ls_batch_at(batch, i);

        st = ls_txn_put(of->txn, of->out, record->partition_key, record->data, NULL);
    }
    if (st == LS_OK)
        st = ls_txn_checkpoint(of->txn, at->lease, ls_batch_at(batch, count - 1)->seqno, UINT32_MAX);
    if (st != LS_OK)
        storm_fail("a transaction takes no records", st);
    if (storm_random_below(of->random, 8) == 0) /* So that some are stopped in here. */
        (void)usleep((useconds_t)storm_random_below(of->random, 3000));
    do
        st = ls_txn_commit(of->txn, NULL, 0);
    while (passes(st));
    ls_txn_abort(of->txn);
    atomic_fetch_add(&work->commits, st == LS_OK);
    return st;
}

static void work_on(worker *of, job *at)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    bool is_end;
    ls_status st;

    next.records_max = 1 + (uint32_t)storm_random_below(of->random, 20);
    st = ls_iterator_next(at->iterator, &next, &batch);
    if (st != LS_OK)
        storm_fail("a worker reads", st);
    is_end = ls_batch_is_shard_end(batch) != 0;
    if (ls_batch_count(batch) > 0)
        st = commit(of, at, batch);
    while (st == LS_OK && is_end && passes(st = ls_lease_end(at->lease)))
        continue;
    if (st != LS_OK && st != LS_ERR_LEASE_LOST)
        storm_fail("a transaction", st);
    atomic_fetch_add(&work->refused, st == LS_ERR_LEASE_LOST);
    if (st == LS_ERR_LEASE_LOST || is_end)
        end(at);
}

void work_run_group(uint64_t *random, storm_plan *plan)
{
    static worker of;
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_store *store = work_open_store(plan);
    ls_status st = ls_stream_open(store, WORK_STREAM, &of.stream);

    of.random = random;
    options.failover_ms = WORK_FAILOVER_MS;
    if (st == LS_OK)
        st = ls_stream_open(store, WORK_OUT, &of.out);
    if (st == LS_OK)
        st = ls_group_open(of.stream, WORK_GROUP, &options, &of.group);
    if (st == LS_OK)
        st = ls_txn_begin(store, NULL, &of.txn);
    if (st != LS_OK && !passes(st))
        storm_fail("a worker cannot begin", st);
    while (st == LS_OK) {
        listen(&of);
        for (uint32_t i = 0; i < WORK_SHARDS_MAX; i++)
            if (of.jobs[i].lease != NULL)
                work_on(&of, &of.jobs[i]);
    }
}
