/* P2: busy_timeout_ms bounds a call, and not each of its waits. Method: another process holds a lock in each of many
 * shards, or the store's, and is stopped; every call that can meet them is made, and must be back in time with the
 * answer that its header promises. Waiting for one shard after another would take SHARDS times as long. The store is in
 * memory where there is such a file system: what the disk takes is no wait, and a busy one takes seconds. */
#include <libstream/unstable/inspect.h>

#include "engine/local/local.h"
#include "invariants/processes.h"

#define SHARDS 64u
#define BUSY_MS 200
#define UNSEEN 6
#define LATE_MS 6000 /* beyond it: a loaded machine, and the work itself; SHARDS * BUSY_MS is 12.8 s */

enum { HOLD_SYNC = 1, HOLD_APPEND = 2, HOLD_STORE = 4, HOLD_STORE_AFTER_DEATH = 8, HOLD_GATE = 16, HOLD_UPKEEP = 32 };

static unsigned the_holds;

/* ---- the one who is stopped ---- */

typedef struct held {
    lsi_slot *slots[SHARDS + 1];
    lsi_slot *stream;
    uint32_t count;
} held;

static bool note_shard(void *user, lsi_slot *slot)
{
    held *all = user;

    if (atomic_load(&slot->kind) == LSI_SLOT_SHARD && all->count < SHARDS)
        all->slots[all->count++] = slot;
    if (atomic_load(&slot->kind) == LSI_SLOT_STREAM)
        all->stream = slot;
    return true;
}

static void take(lsi_lock *lock, int rank)
{
    child_check(lsi_lock_take(lock, rank, 1000) == LSI_LOCKED);
}

static void hold_and_stop(fixture *fx)
{
    ls_store *store;
    lsi_control *control;
    held all = {.count = 0};
    lsi_gate *gate;

    child_check(ls_store_open(fx->path, NULL, &store) == LS_OK);
    control = lsi_local_of(store->engine)->control;
    lsi_control_each(control, note_shard, &all);
    child_check(all.count == SHARDS);
    /* As the first call on a slot would do it: the locks are made anew after somebody was alone. */
    for (uint32_t i = 0; i < all.count; i++)
        child_check(lsi_control_slot(control, LSI_SLOT_SHARD, atomic_load(&all.slots[i]->stream), all.slots[i]->shard,
                                     &all.slots[i]) == LS_OK);
    if ((the_holds & (HOLD_STORE | HOLD_STORE_AFTER_DEATH)) != 0)
        child_check(lsi_control_lock(control) == LS_OK);
    if ((the_holds & HOLD_STORE_AFTER_DEATH) != 0)
        lsi_control_manifest_changing(control); /* as a creator leaves it who was killed */
    if ((the_holds & HOLD_GATE) != 0)
        child_check(lsi_control_gate(&store->env, &lsi_local_of(store->engine)->root, &gate) == LS_OK);
    for (uint32_t i = 0; i < all.count && (the_holds & HOLD_APPEND) != 0; i++)
        take(&all.slots[i]->append_lock, LSI_RANK_SHARD);
    for (uint32_t i = 0; i < all.count && (the_holds & HOLD_SYNC) != 0; i++)
        take(&all.slots[i]->sync_lock, LSI_RANK_SYNC);
    if ((the_holds & HOLD_UPKEEP) != 0) /* The parent has used it: its locks are made. */
        child_check(lsi_lock_try_any(&all.stream->append_lock, LSI_RANK_UPKEEP) == LSI_LOCKED);
    (void)raise(SIGSTOP);
    _exit(0); /* The kernel gives the locks back. */
}

static pid_t start_holder(fixture *fx, unsigned holds)
{
    pid_t pid;

    the_holds = holds;
    pid = child_start(hold_and_stop, fx);
    child_stops(pid);
    return pid;
}

static void end_holder(pid_t pid)
{
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
}

/* ---- the one who must come through ---- */

static void open_wide(handles *of, const fixture *fx, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options wide = LS_STREAM_OPTIONS_INIT;
    ls_status st;

    options.busy_timeout_ms = BUSY_MS;
    options.durability = durability;
    options.segment_bytes = 64u << 10;
    wide.shard_count = SHARDS;
    assert_int_equal(ls_store_open(fx->path, &options, &of->store), LS_OK);
    st = ls_stream_create(of->store, STREAM, &wide);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of->store, STREAM, &of->stream), LS_OK);
    assert_int_equal(ls_producer_open(of->stream, NULL, &of->producer), LS_OK);
}

/* One record into each shard; returns how many were refused, all with LS_ERR_BUSY. */
static size_t put_everywhere(const handles *of)
{
    ls_put_entry entries[SHARDS];
    ls_put_result results[SHARDS];
    ls_hash_key keys[SHARDS];
    size_t failed = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        keys[i] = (ls_hash_key){.high = (uint64_t)i << 58, .low = 0};
        entries[i] = (ls_put_entry){{"key", 3}, {"data", 4}, &keys[i]};
    }
    assert_int_equal(ls_producer_put_batch(of->producer, entries, SHARDS, NULL, results, &failed), LS_OK);
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_int_equal(results[i].shard, i);
        assert_true(results[i].status == LS_OK || results[i].status == LS_ERR_BUSY);
    }
    return failed;
}

static size_t count_all(ls_stream *stream)
{
    ls_iterator *iterator;
    const ls_batch *batch;
    size_t count = 0;

    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        count += ls_batch_count(batch);
    } while (ls_batch_count(batch) != 0);
    ls_iterator_close(iterator);
    return count;
}

/* The call, made now, answers `status` and is back in time; when it answers BUSY, not before its time. */
#define assert_in_time(call, status)                                                              \
    do {                                                                                          \
        int64_t from_ms = now_ms();                                                               \
        assert_int_equal(call, status);                                                           \
        assert_in_range(now_ms() - from_ms, (status) == LS_ERR_BUSY ? BUSY_MS - 20 : 0, BUSY_MS + LATE_MS); \
    } while (0)

/* ---- syncs: done beside whoever holds the sync lock ---- */

static void syncing_many_shards_whose_syncers_are_stopped_is_in_time(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_KERNEL);
    assert_int_equal(put_everywhere(&of), 0);
    pid = start_holder(fx, HOLD_SYNC);
    assert_in_time(ls_store_sync(of.store), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    assert_in_time(ls_producer_flush(of.producer), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    assert_in_time(handles_close(&of), LS_OK);
    end_holder(pid);
    open_wide(&of, fx, LS_DURABILITY_DEFAULT);
    assert_int_equal(count_all(of.stream), 3 * SHARDS);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void batches_over_shards_whose_syncers_are_stopped_are_in_time(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_SYNC);
    pid = start_holder(fx, HOLD_SYNC);
    assert_in_time((int)put_everywhere(&of), 0);
    assert_int_equal(count_all(of.stream), SHARDS);
    assert_in_time(handles_close(&of), LS_OK);
    end_holder(pid);
}

/* The sweeper's thread syncs all the time, and closing waits for it. */
static void closing_an_interval_store_is_in_time(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_INTERVAL);
    pid = start_holder(fx, HOLD_SYNC);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put_everywhere(&of), 0);
        (void)usleep(70000); /* so that the sweeper is at it */
    }
    assert_in_time(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    assert_in_time(handles_close(&of), LS_OK);
    end_holder(pid);
}

/* Streams that were closed stay open inside, and opening others gives them up: then they are synced. */
static void giving_up_an_idle_stream_is_in_time(void **state)
{
    fixture *fx = *state;
    ls_stream *stream;
    handles of;
    char name[16];
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_KERNEL);
    for (int i = 0; i < 80; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(ls_stream_create(of.store, name, NULL), LS_OK);
    }
    assert_int_equal(put_everywhere(&of), 0);
    pid = start_holder(fx, HOLD_SYNC);
    assert_int_equal(ls_producer_close(of.producer), LS_OK);
    assert_int_equal(ls_stream_close(of.stream), LS_OK);
    for (int i = 0; i < 80; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        assert_in_time(ls_stream_open(of.store, name, &stream), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
    assert_in_time(ls_store_close(of.store), LS_OK);
    end_holder(pid);
}

/* ---- puts ---- */

static void batches_over_many_held_shards_are_busy_in_time(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_SYNC);
    assert_int_equal(put_everywhere(&of), 0);
    pid = start_holder(fx, HOLD_APPEND);
    for (int i = 0; i < 3; i++) {
        int64_t from = now_ms();
        assert_int_equal(put_everywhere(&of), SHARDS);
        assert_in_range(now_ms() - from, BUSY_MS - 20, BUSY_MS + LATE_MS);
    }
    assert_in_time(put_text(&of, "refused", NULL), LS_ERR_BUSY);
    assert_in_time(ls_stream_reset_shard(of.stream, 5), LS_ERR_BUSY);
    /* What needs no lock does not notice. */
    assert_in_time(ls_store_sync(of.store), LS_OK);
    assert_int_equal(count_all(of.stream), SHARDS);
    end_holder(pid);
    assert_int_equal(put_everywhere(&of), 0);
    assert_int_equal(count_all(of.stream), 2 * SHARDS);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- upkeep ---- */

/* Several full segments in each of a few shards, which upkeep may trim, for they are over the cap, or compress. */
static void open_full(handles *of, const fixture *fx)
{
    static const char data[30000] = "compressible";
    ls_hash_key key = {0, 0};

    open_wide(of, fx, LS_DURABILITY_KERNEL);
    for (uint32_t i = 0; i < 4 * 6; i++) {
        const ls_put_entry entry = {{"key", 3}, {data, sizeof data}, &key};
        size_t failed;

        key.high = (uint64_t)(i % 4) << 58;
        assert_int_equal(ls_producer_put_batch(of->producer, &entry, 1, NULL, NULL, &failed), LS_OK);
        assert_int_equal(failed, 0);
    }
}

static void upkeep_that_meets_held_locks_is_busy_in_time(void **state)
{
    static const unsigned holds[] = {HOLD_UPKEEP, HOLD_APPEND};
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        uint64_t saved;
        handles of;
        pid_t pid;

        open_full(&of, fx);
        pid = start_holder(fx, holds[i]);
        (void)alarm(60); /* A call without patience would never be back. */
        assert_in_time(ls_stream_recompress(of.stream, -1, &saved), LS_ERR_BUSY);
        assert_int_equal(ls_stream_set_retention_bytes(of.stream, 600000), LS_OK);
        assert_in_time(ls_store_maintain(of.store, -1), LS_ERR_BUSY);
        end_holder(pid);
        assert_in_time(ls_store_maintain(of.store, -1), LS_OK);
        assert_in_time(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
        assert_int_equal(ls_stream_set_retention_bytes(of.stream, 0), LS_OK);
        assert_int_equal(handles_close(&of), LS_OK);
        (void)alarm(0);
    }
}

/* ---- shards that nobody recovered yet: readers need the lock as well, once ---- */

static void what_looks_at_many_held_shards_first_is_busy_in_time(void **state)
{
    fixture *fx = *state;
    const ls_position latest = {.kind = LS_LATEST};
    const ls_batch *batch;
    ls_stream_description *description;
    ls_iterator *iterator = NULL;
    int32_t fd = -1;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_KERNEL);
    assert_int_equal(put_everywhere(&of), 0);
    assert_int_equal(handles_close(&of), LS_OK);
    pid = start_holder(fx, HOLD_APPEND); /* alone: from here on the shards are to be looked at once */
    open_wide(&of, fx, LS_DURABILITY_DEFAULT);
    assert_in_time(ls_stream_describe(of.stream, &description), LS_ERR_BUSY);
    assert_in_time(ls_iterator_open(of.stream, 3, NULL, NULL, &iterator), LS_ERR_BUSY);
    assert_in_time(ls_iterator_open_all(of.stream, &latest, NULL, &iterator), LS_ERR_BUSY);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &iterator), LS_OK); /* looks when it reads */
    assert_in_time(ls_iterator_seek(iterator, &latest), LS_ERR_BUSY);
    for (int i = 0; i < 2; i++)
        assert_in_time(ls_iterator_next(iterator, NULL, &batch), LS_ERR_BUSY);
    assert_int_equal(ls_iterator_event_fd(iterator, &fd), LS_OK);
    (void)usleep(20000);
    int64_t from = now_ms();
    ls_iterator_close(iterator); /* never blocks */
    assert_in_range(now_ms() - from, 0, LATE_MS / 2);
    int64_t put_from = now_ms();
    assert_int_equal(put_everywhere(&of), SHARDS);
    assert_in_range(now_ms() - put_from, BUSY_MS - 20, BUSY_MS + LATE_MS);
    assert_in_time(handles_close(&of), LS_OK);
    end_holder(pid);
    open_wide(&of, fx, LS_DURABILITY_DEFAULT);
    assert_int_equal(count_all(of.stream), SHARDS);
    assert_int_equal(put_everywhere(&of), 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void note_unsynced(const ls_inspect_shard *shard, void *user)
{
    if (strcmp(shard->stream, "other") == 0)
        *(uint64_t *)user = shard->committed_end - shard->durable_end;
}

static uint64_t unsynced_of_other(const fixture *fx)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    uint64_t bytes = UINT64_MAX;

    callbacks.shard = note_unsynced;
    assert_int_equal(ls_inspect_status(fx->path, &callbacks, &bytes), LS_OK);
    return bytes;
}

/* In the same state something may be left to sync, which needs the lock too. All else is synced. */
static void syncing_many_held_shards_that_nobody_looked_at_is_busy_in_time(void **state)
{
    fixture *fx = *state;
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_KERNEL);
    pid = fork();
    if (pid == 0) { /* Puts and is killed: it leaves all of it to be synced. */
        handles mine;
        ls_store_options options = LS_STORE_OPTIONS_INIT;

        (void)alarm(CHILD_ALARM_S);
        child_check(ls_store_open(fx->path, &options, &mine.store) == LS_OK);
        child_check(ls_stream_open(mine.store, STREAM, &mine.stream) == LS_OK);
        child_check(ls_producer_open(mine.stream, NULL, &mine.producer) == LS_OK);
        (void)put_everywhere(&mine);
        (void)kill(getpid(), SIGKILL);
    }
    assert_true(WIFSIGNALED(child_end(pid)));
    assert_int_equal(handles_close(&of), LS_OK);
    pid = start_holder(fx, HOLD_APPEND);
    open_wide(&of, fx, LS_DURABILITY_DEFAULT);
    assert_int_equal(ls_stream_create(of.store, "other", NULL), LS_OK); /* It has a shard that nobody holds. */
    assert_int_equal(ls_stream_open(of.store, "other", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){"d", 1}, NULL, NULL), LS_OK);
    assert_true(unsynced_of_other(fx) > 0);
    assert_in_time(ls_store_sync(of.store), LS_ERR_BUSY);
    assert_int_equal(unsynced_of_other(fx), 0);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    end_holder(pid);
    assert_in_time(ls_store_sync(of.store), LS_OK);
    assert_int_equal(count_all(of.stream), SHARDS);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- the store's lock ---- */

static ls_push_answer never(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    fail_msg("a batch was pushed");
    return LS_PUSH_STOP;
}

static void calls_that_need_the_stores_lock_are_busy_in_time(void **state)
{
    fixture *fx = *state;
    ls_consumer *consumer = NULL;
    ls_stream_list *list;
    ls_stream *stream;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_INTERVAL);
    assert_int_equal(ls_stream_create(of.store, "other", NULL), LS_OK);
    /* The holder's open looks at a few streams, when that is due, and makes their places; not at so many. */
    for (int i = 0; i < UNSEEN; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "unseen-%d", i);
        assert_int_equal(ls_stream_create(of.store, name, NULL), LS_OK);
    }
    assert_int_equal(ls_consumer_register(of.stream, "reports", NULL), LS_OK);
    assert_int_equal(ls_consumer_open(of.stream, "reports", &consumer), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    pid = start_holder(fx, HOLD_STORE | HOLD_APPEND | HOLD_SYNC);
    assert_in_time(ls_stream_create(of.store, "third", NULL), LS_ERR_BUSY);
    assert_in_time(ls_stream_delete(of.store, "other"), LS_ERR_BUSY);
    assert_in_time(ls_stream_delete_with_consumers(of.store, "other"), LS_ERR_BUSY);
    assert_in_time(ls_consumer_register(of.stream, "new", NULL), LS_ERR_BUSY);
    assert_in_time(ls_consumer_deregister(of.stream, "reports"), LS_ERR_BUSY);
    assert_in_time(ls_consumer_subscribe(consumer, 0, NULL, NULL, never, NULL), LS_ERR_BUSY); /* as the next one's */
    assert_in_time(ls_stream_open(of.store, "unseen-5", &stream), LS_ERR_BUSY); /* its place is to be made */
    assert_in_time(ls_store_maintain(of.store, -1), LS_ERR_BUSY);
    assert_in_time(ls_store_sync(of.store), LS_OK);
    assert_in_time(ls_store_list_streams(of.store, NULL, 0, &list), LS_OK); /* nothing has changed */
    assert_int_equal(ls_stream_list_count(list), 2 + UNSEEN);
    ls_stream_list_free(list);
    assert_in_time(ls_consumer_close(consumer), LS_OK);
    /* Several locks in one call, all held. */
    assert_in_time(handles_close(&of), LS_OK);
    end_holder(pid);
}

/* Only who is about to put right what a dead creator left needs the lock for reading the names. */
static void listing_is_busy_while_a_death_is_not_settled(void **state)
{
    fixture *fx = *state;
    const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    ls_stream_list *list;
    ls_iterator *one, *all;
    ls_stream_description *description;
    ls_shard_list *shards;
    const ls_batch *batch;
    ls_producer *second;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_SYNC);
    assert_int_equal(put_everywhere(&of), 0);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &one), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    assert_int_equal(ls_iterator_next(one, NULL, &batch), LS_OK);
    do
        assert_int_equal(ls_iterator_next(all, NULL, &batch), LS_OK);
    while (ls_batch_count(batch) > 0);
    /* Who reads all shards of a stream that was changed since the last call has to look what it is now. */
    assert_int_equal(ls_stream_increase_retention(of.stream, 48), LS_OK);
    pid = start_holder(fx, HOLD_STORE_AFTER_DEATH);
    assert_in_time(ls_iterator_next(one, NULL, &batch), LS_OK);
    assert_in_time(ls_iterator_next(all, NULL, &batch), LS_ERR_BUSY);
    assert_in_time(ls_stream_list_shards(of.stream, NULL, &shards), LS_ERR_BUSY);
    assert_in_time(ls_stream_describe(of.stream, &description), LS_ERR_BUSY);
    end_holder(pid);
    assert_in_time(ls_iterator_next(one, NULL, &batch), LS_OK);
    assert_in_time(ls_iterator_next(all, NULL, &batch), LS_OK);
    pid = start_holder(fx, HOLD_STORE_AFTER_DEATH);
    assert_in_time(ls_iterator_next(one, NULL, &batch), LS_OK);
    assert_in_time(ls_iterator_next(all, NULL, &batch), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    assert_in_time(ls_iterator_next(one, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_in_time(ls_iterator_next(all, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_in_time(ls_store_list_streams(of.store, NULL, 0, &list), LS_ERR_BUSY);
    assert_int_equal(put_everywhere(&of), 0);
    /* So is a producer's first put, which looks for the shards. */
    assert_int_equal(ls_producer_open(of.stream, NULL, &second), LS_OK);
    assert_in_time(ls_producer_put_batch(second, &entry, 1, NULL, NULL, NULL), LS_ERR_BUSY);
    assert_int_equal(ls_producer_close(second), LS_OK);
    end_holder(pid);
    assert_in_time(ls_store_list_streams(of.store, NULL, 0, &list), LS_OK);
    ls_stream_list_free(list);
    ls_iterator_close(one);
    ls_iterator_close(all);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The gate: of who opens the store, and of a repair, whose patience is the default. */
static void opening_and_repairing_are_busy_in_time(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_SYNC);
    assert_int_equal(handles_close(&of), LS_OK);
    pid = start_holder(fx, HOLD_GATE);
    options.busy_timeout_ms = BUSY_MS;
    assert_in_time(ls_store_open(fx->path, &options, &store), LS_ERR_BUSY);
    int64_t from = now_ms();
    assert_int_equal(ls_inspect_repair(fx->path, NULL, 0, NULL, NULL, NULL), LS_ERR_BUSY);
    assert_in_range(now_ms() - from, 5000 - 20, 5000 + LATE_MS);
    end_holder(pid);
    open_wide(&of, fx, LS_DURABILITY_DEFAULT);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- a program that waits no longer ---- */

typedef struct patience {
    int64_t until_ms; /* it waits on until then */
    int asked;
} patience;

static int waits_no_longer(void *user)
{
    patience *of = user;

    of->asked++;
    return now_ms() >= of->until_ms;
}

/* The call, whose patience is a minute, ends with `status` when it is told to. */
#define assert_ends_when_told(call, status)                                     \
    do {                                                                        \
        int64_t from_ms = now_ms();                                             \
        program.until_ms = from_ms + BUSY_MS;                                   \
        program.asked = 0;                                                      \
        assert_int_equal(call, status);                                         \
        assert_in_range(now_ms() - from_ms, BUSY_MS - 20, BUSY_MS + LATE_MS);   \
        assert_in_range(program.asked, 1, BUSY_MS / 20 + 1);                    \
        if ((status) == LS_ERR_BUSY)                                            \
            assert_non_null(strstr(ls_last_error_message(), "told to wait no")); \
    } while (0)

static void a_program_that_waits_no_longer_ends_each_wait(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    ls_async_options soon = LS_ASYNC_OPTIONS_INIT;
    ls_async_producer *async;
    patience program = {0};
    ls_store *store;
    handles of;
    pid_t pid;

    open_wide(&of, fx, LS_DURABILITY_SYNC);
    assert_int_equal(handles_close(&of), LS_OK);
    options.busy_timeout_ms = 60000;
    options.wait = waits_no_longer;
    options.wait_user = &program;
    pid = start_holder(fx, HOLD_GATE);
    assert_ends_when_told(ls_store_open(fx->path, &options, &store), LS_ERR_BUSY);
    end_holder(pid);

    assert_int_equal(ls_store_open(fx->path, &options, &of.store), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    assert_int_equal(put_everywhere(&of), 0);
    soon.linger_ms = LS_ASYNC_NONE;
    assert_int_equal(ls_async_producer_open(of.stream, &soon, &async, NULL, NULL), LS_OK);
    pid = start_holder(fx, HOLD_APPEND | HOLD_STORE | HOLD_UPKEEP);
    assert_ends_when_told(put_text(&of, "refused", NULL), LS_ERR_BUSY);
    int64_t batch_ms = now_ms();
    program.until_ms = batch_ms + BUSY_MS;
    assert_int_equal(put_everywhere(&of), SHARDS); /* Whichever is met first: none is waited for afterwards. */
    assert_in_range(now_ms() - batch_ms, BUSY_MS - 20, BUSY_MS + LATE_MS);
    assert_ends_when_told(ls_stream_create(of.store, "third", NULL), LS_ERR_BUSY);
    assert_ends_when_told(ls_store_maintain(of.store, -1), LS_ERR_BUSY);
    assert_int_equal(count_all(of.stream), SHARDS);
    /* The same by cancelling, of the thread that puts for others. */
    program.until_ms = INT64_MAX;
    assert_int_equal(ls_async_producer_put(async, &entry, NULL, -1, NULL), LS_OK);
    batch_ms = now_ms();
    assert_int_equal(ls_async_producer_close(async, BUSY_MS), LS_ERR_TIMEOUT);
    assert_in_range(now_ms() - batch_ms, BUSY_MS - 20, BUSY_MS + LATE_MS);
    end_holder(pid);
    assert_int_equal(put_everywhere(&of), 0); /* The next call waits again. */

    pid = start_holder(fx, HOLD_SYNC);
    assert_ends_when_told(put_text(&of, "synced by itself", NULL), LS_OK);
    end_holder(pid);
    assert_int_equal(count_all(of.stream), 2 * SHARDS + 1);
    program.until_ms = now_ms() + 60000;
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The piece of upkeep that an opening does as it goes is nothing that it was asked for: it waits for nobody. Method:
 * streams whose places are to be made, which needs the store's lock, and a second, after which upkeep is due again. */
static void opening_waits_for_nobody_to_do_upkeep(void **state)
{
    static const unsigned holds[] = {HOLD_STORE, HOLD_APPEND};
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.busy_timeout_ms = 4 * LATE_MS;
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        ls_store *store;
        handles of;
        pid_t pid;

        open_wide(&of, fx, LS_DURABILITY_DEFAULT);
        for (int k = 0; i == 0 && k < UNSEEN; k++) {
            char name[16];

            (void)snprintf(name, sizeof name, "unseen-%d", k);
            assert_int_equal(ls_stream_create(of.store, name, NULL), LS_OK);
        }
        assert_int_equal(handles_close(&of), LS_OK);
        pid = start_holder(fx, holds[i]);
        for (int64_t from_ms = now_ms(); now_ms() - from_ms < 1100;)
            (void)usleep(10000);
        int64_t from_ms = now_ms();
        assert_int_equal(ls_store_open(fx->path, &options, &store), LS_OK);
        assert_in_range(now_ms() - from_ms, 0, LATE_MS);
        assert_int_equal(ls_store_close(store), LS_OK);
        end_holder(pid);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest first[] = {
        CASE(batches_over_many_held_shards_are_busy_in_time),
    };
    const struct CMUnitTest others[] = {
        CASE(syncing_many_shards_whose_syncers_are_stopped_is_in_time),
        CASE(batches_over_shards_whose_syncers_are_stopped_are_in_time),
        CASE(closing_an_interval_store_is_in_time),
        CASE(giving_up_an_idle_stream_is_in_time),
        CASE(upkeep_that_meets_held_locks_is_busy_in_time),
        CASE(what_looks_at_many_held_shards_first_is_busy_in_time),
        CASE(syncing_many_held_shards_that_nobody_looked_at_is_busy_in_time),
        CASE(calls_that_need_the_stores_lock_are_busy_in_time),
        CASE(listing_is_busy_while_a_death_is_not_settled),
        CASE(opening_and_repairing_are_busy_in_time),
        CASE(a_program_that_waits_no_longer_ends_each_wait),
        CASE(opening_waits_for_nobody_to_do_upkeep),
    };

    if (access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    /* Where the first one fails, the others would take minutes to do the same. */
    if (cmocka_run_group_tests_name("one time-out for a put (P2)", first, NULL, NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name("one time-out for a call, however many locks it meets (P2)", others, NULL, NULL);
}
