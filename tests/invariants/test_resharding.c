/* Splitting and merging among processes (P1, P2, O4): a resharder who dies at any call delays nobody for more than a
 * second and leaves a step done or not; one who is stopped is waited for; waiting readers of other processes are woken;
 * and producers with old shards in their hands lose nothing, double nothing and keep the order of their keys. */
#include <limits.h>

#include "engine/local/local.h"
#include "invariants/dying.h"

#define BUSY_MS 300
#define HELD_MS 3000
#define PRODUCERS 4
#define ROUNDS 24u

static const ls_hash_key top = {UINT64_MAX, UINT64_MAX};

static uint32_t the_shard; /* to be split */

/* ---- few words for common calls ---- */

static ls_status put_at_top(const handles *of, const char *key, const char *text, ls_record_id *out)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.explicit_hash_key = &top;
    return ls_producer_put(of->producer, (ls_bytes){key, strlen(key)}, (ls_bytes){text, strlen(text)}, &options, out);
}

/* The open shard with the highest keys, and (if not NULL) the one below it. */
static uint32_t top_shard(ls_stream *stream, uint32_t *below)
{
    ls_stream_description *about = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    uint32_t found = LS_NO_SHARD;
    ls_hash_key first = {0, 0};

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < ls_stream_description_shard_count(about); i++) {
            assert_int_equal(ls_stream_description_shard(about, i, &info), LS_OK);
            if (!info.is_open)
                continue;
            if (pass == 0 && info.last_hash_key.high == UINT64_MAX && info.last_hash_key.low == UINT64_MAX) {
                found = info.shard;
                first = info.first_hash_key;
            } else if (pass == 1 && below != NULL && info.shard != found &&
                       info.last_hash_key.high == first.high - (first.low == 0) &&
                       info.last_hash_key.low == first.low - 1) {
                *below = info.shard;
            }
        }
    ls_stream_description_free(about);
    assert_int_not_equal(found, LS_NO_SHARD);
    return found;
}

/* ---- P1 ---- */

static void split_and_die(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, die_before, die_behind, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_stream_split(of.stream, the_shard, NULL, NULL, NULL) == LS_OK);
    the_plan.armed = false;
    child_check(handles_close(&of) == LS_OK);
}

/* What a merged iterator shows next must be the texts 0, 1, 2, ... in their order. */
static void assert_reads_on(ls_iterator *iterator, uint32_t *next, uint32_t until)
{
    const ls_batch *batch = NULL;
    char text[16];

    while (*next < until) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_not_equal(ls_batch_count(batch), 0);
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            (void)snprintf(text, sizeof text, "%u", (*next)++);
            assert_int_equal(record->data.size, strlen(text));
            assert_memory_equal(record->data.data, text, strlen(text));
        }
    }
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 0);
}

/* A process dies at its 1st, 2nd, ... Nth call of a split. Another, which has the shards cached, puts and reads on. */
static void a_resharder_that_dies_at_any_call_delays_nobody(void **state)
{
    fixture *fx = *state;
    ls_iterator *iterator = NULL;
    uint32_t put = 0, read = 0, splits = 0;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &iterator), LS_OK);
    for (int where = 0; where < 3; where++) {
        int status = 1;

        for (int64_t calls = 0; status != 0; calls++) {
            char text[16];
            uint32_t lower = LS_NO_SHARD, upper;
            int64_t from;

            the_shard = top_shard(of.stream, NULL);
            the_plan.countdown = calls;
            the_plan.where = where;
            status = child_end(child_start(split_and_die, fx));
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            from = now_ms();
            for (int i = 0; i < 2; i++) {
                (void)snprintf(text, sizeof text, "%u", put++);
                assert_int_equal(put_at_top(&of, "key", text, NULL), LS_OK);
            }
            assert_reads_on(iterator, &read, put);
            assert_in_range(now_ms() - from, 0, 1000);
            upper = top_shard(of.stream, &lower);
            if (lower != LS_NO_SHARD) { /* It was split. Both are one again for the next. */
                assert_int_equal(ls_stream_merge(of.stream, lower, upper, NULL), LS_OK);
                splits++;
            }
            assert_true(status != 0 || lower != LS_NO_SHARD);
            assert_true(calls < 500);
        }
    }
    assert_true(splits > 6);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- P2 ---- */

static int stop_before(void *user, const hook_event *event)
{
    plan *of = user;

    if (of->armed && event->call == HOOK_RENAME && --of->renames == 0)
        (void)raise(SIGSTOP);
    return 0;
}

static void split_and_stop(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, stop_before, NULL, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_stream_split(of.stream, the_shard, NULL, NULL, NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

/* Stopped before the manifest gets its name (the third rename, after those of the children's lists), so with the
 * parent's lock held: puts wait, and no longer than asked; who reads goes on. Then it goes on, or is killed. */
static void a_stopped_resharder_is_waited_for_and_no_longer_than_asked(void **state)
{
    fixture *fx = *state;

    for (int killed = 0; killed < 2; killed++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_position latest = {.kind = LS_LATEST};
        const ls_batch *batch = NULL;
        ls_iterator *iterator = NULL;
        ls_record_id id;
        handles of;
        int64_t from;
        pid_t pid;

        options.busy_timeout_ms = BUSY_MS;
        assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
        the_shard = top_shard(of.stream, NULL);
        assert_int_equal(ls_iterator_open(of.stream, the_shard, &latest, NULL, &iterator), LS_OK);
        assert_int_equal(put_at_top(&of, "key", "before", &id), LS_OK);
        assert_int_equal(id.shard, the_shard);
        the_plan.renames = 3;
        pid = child_start(split_and_stop, fx);
        child_stops(pid);
        from = now_ms();
        assert_int_equal(put_at_top(&of, "key", "refused", NULL), LS_ERR_BUSY);
        assert_in_range(now_ms() - from, BUSY_MS - 20, BUSY_MS + 700);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 1);
        assert_false(ls_batch_is_shard_end(batch));
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK); /* Nothing, and no wait. */
        assert_int_equal(ls_batch_count(batch), 0);
        assert_int_equal(kill(pid, killed ? SIGKILL : SIGCONT), 0);
        if (killed)
            assert_true(WIFSIGNALED(child_end(pid)));
        else
            child_ends_well(pid);
        from = now_ms();
        assert_int_equal(put_at_top(&of, "key", "after", &id), LS_OK);
        assert_in_range(now_ms() - from, 0, 1000);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(id.shard == the_shard, killed); /* undone, or a child */
        assert_int_equal(ls_batch_is_shard_end(batch), !killed);
        assert_int_equal(ls_batch_count(batch), killed);
        ls_iterator_close(iterator);
        assert_int_equal(handles_close(&of), LS_OK);
    }
}

/* Takes what a put into `the_shard` holds while it writes, and stops. */
static void hold_and_stop(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_slot *slot = NULL;
    handles of;

    options.busy_timeout_ms = HELD_MS;
    child_check(handles_open(&of, fx->path, &options, NULL) == LS_OK);
    child_check(lsi_control_slot(lsi_local_of(of.store->engine)->control, LSI_SLOT_SHARD,
                                 lsi_local_stream_of(of.stream->stream)->id, the_shard, &slot) == LS_OK);
    child_check(lsi_lock_take(&slot->append_lock, LSI_RANK_SHARD, 1000) == LSI_LOCKED);
    (void)raise(SIGSTOP);
    _exit(0); /* The kernel gives the lock back. */
}

static void merge_in_vain(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    options.busy_timeout_ms = HELD_MS;
    hooked_files_init(&the_plan.files, stop_before, NULL, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, &options, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_stream_merge(of.stream, the_shard - 1, the_shard, NULL) == LS_ERR_BUSY);
    child_check(strstr(ls_last_error_message(), "3000 ms") != NULL);
    child_check(handles_close(&of) == LS_OK);
}

/* One of two shards that are merged is held by a stopped process: from the beginning, or since the merge waited for it
 * and had it free. The merge waits for it in vain, and meanwhile the other shard takes puts and the store changes. */
static void a_merge_that_waits_for_one_shard_holds_up_no_other(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    const ls_hash_key bottom = {0, 0};
    ls_put_options at_bottom = LS_PUT_OPTIONS_INIT;

    options.busy_timeout_ms = HELD_MS / 3;
    at_bottom.explicit_hash_key = &bottom;
    for (int late = 0; late < 2; late++) {
        uint32_t lower = 0, child = 0, puts = 0;
        pid_t holder = 0, merger;
        ls_record_id id;
        int status = 0;
        handles of;

        assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
        assert_int_equal(ls_stream_split(of.stream, top_shard(of.stream, NULL), NULL, &lower, &the_shard), LS_OK);
        the_plan.renames = 1; /* the new shard's list: nothing is locked yet but the store */
        if (!late) {
            the_plan.renames = INT_MAX;
            holder = child_start(hold_and_stop, fx);
            child_stops(holder);
        }
        merger = child_start(merge_in_vain, fx);
        if (late) {
            child_stops(merger);
            holder = child_start(hold_and_stop, fx);
            child_stops(holder);
            assert_int_equal(kill(merger, SIGCONT), 0);
        }
        for (; waitpid(merger, &status, WNOHANG) == 0; puts++) {
            assert_int_equal(ls_producer_put(of.producer, (ls_bytes){"key", 3}, (ls_bytes){"x", 1}, &at_bottom, &id),
                             LS_OK);
            assert_int_equal(id.shard, lower);
            assert_int_equal(ls_stream_set_retention_bytes(of.stream, (UINT64_C(1) << 30) + puts), LS_OK);
            (void)usleep(10000);
        }
        assert_int_equal(status, 0);
        assert_true(puts > 10);
        assert_int_equal(kill(holder, SIGCONT), 0);
        child_ends_well(holder);
        assert_int_equal(ls_stream_merge(of.stream, lower, the_shard, &child), LS_OK);
        assert_int_equal(ls_producer_put(of.producer, (ls_bytes){"key", 3}, (ls_bytes){"x", 1}, &at_bottom, &id),
                         LS_OK);
        assert_int_equal(id.shard, child);
        assert_int_equal(handles_close(&of), LS_OK);
    }
}

static void count_refused(void *user, int32_t level, const char *line)
{
    if (level == LS_LOG_WARNING && strstr(line, "cannot be merged automatically") != NULL)
        ++*(uint32_t *)user;
}

/* A put to one shard does the stream's upkeep, which is to merge two others, of which a stopped process holds one. */
static void automatic_scaling_in_a_put_waits_for_nobody(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_auto_scaling scaling = LS_AUTO_SCALING_INIT;
    uint32_t refused = 0;
    int64_t until;
    handles of;
    pid_t pid;

    options.busy_timeout_ms = 20000;
    options.log = count_refused;
    options.log_user = &refused;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(of.stream, 4, NULL), LS_OK);
    for (uint32_t shard = 0; shard < 7; shard++) { /* Of those that are open it is the first whose keys begin with 0. */
        ls_shard_info info = LS_SHARD_INFO_INIT;
        ls_stream_description *about = NULL;

        assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
        assert_int_equal(ls_stream_description_shard(about, shard, &info), LS_OK);
        if (info.is_open && info.first_hash_key.high == 0)
            the_shard = info.shard;
        ls_stream_description_free(about);
    }
    pid = child_start(hold_and_stop, fx);
    child_stops(pid);
    scaling.enabled = 1;
    scaling.cold_seconds = 1;
    assert_int_equal(ls_stream_set_auto_scaling(of.stream, &scaling), LS_OK);
    for (until = now_ms() + 15000; refused < 2 && now_ms() < until;) {
        int64_t from = now_ms();

        assert_int_equal(put_at_top(&of, "key", "x", NULL), LS_OK);
        assert_in_range(now_ms() - from, 0, 5000); /* A loaded machine is slow, but not as slow as a wait. */
        (void)usleep(10000);
    }
    assert_int_equal(refused, 2);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- waiting readers of other processes ---- */

static void wait_for_the_end(fixture *fx)
{
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    limits.timeout_ms = 20000;
    child_check(ls_iterator_next(iterator, &limits, &batch) == LS_OK);
    child_check(ls_batch_is_shard_end(batch) && ls_batch_count(batch) == 0 && ls_batch_child_count(batch) == 2);
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void wait_for_a_childs_record(fixture *fx)
{
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(ls_iterator_open_all(of.stream, NULL, NULL, &iterator) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    limits.timeout_ms = 20000;
    child_check(ls_iterator_next(iterator, &limits, &batch) == LS_OK);
    child_check(ls_batch_count(batch) == 1 && ls_batch_shard(batch) == 2);
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void waiting_readers_of_other_processes_are_woken(void **state)
{
    fixture *fx = *state;
    pid_t one, all;
    int64_t from;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    one = child_start(wait_for_the_end, fx);
    all = child_start(wait_for_a_childs_record, fx);
    await(&fx->share->ready, 2);
    (void)usleep(50000); /* They sleep by now; if not, they look before they do. */
    from = now_ms();
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    child_ends_well(one);
    assert_int_equal(put_at_top(&of, "key", "x", NULL), LS_OK);
    child_ends_well(all);
    assert_in_range(now_ms() - from, 0, 450); /* by the wake, not by a limit of theirs */
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- O4 ---- */

static uint32_t the_place;

/* Puts numbered records until it is told to stop, each with one of three keys, singly and in batches. */
static void put_numbered(fixture *fx)
{
    char keys[8][16], texts[8][16];
    uint32_t number = 0;
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    while (atomic_load(&fx->share->stage) == 0) {
        uint32_t count = number % 5 == 4 ? 8 : 1;
        ls_put_entry entries[8];
        size_t failed = 0;

        for (uint32_t i = 0; i < count; i++, number++) {
            int key = snprintf(keys[i], sizeof keys[i], "%u-%u", the_place, number % 3);
            int text = snprintf(texts[i], sizeof texts[i], "%u", number);

            entries[i] = (ls_put_entry){{keys[i], (size_t)key}, {texts[i], (size_t)text}, NULL};
        }
        child_check(ls_producer_put_batch(of.producer, entries, count, NULL, NULL, &failed) == LS_OK);
        child_check(failed == 0);
        atomic_fetch_add(&fx->share->release, 1);
    }
    atomic_fetch_add(&fx->share->acknowledged, number);
    child_check(handles_close(&of) == LS_OK);
}

/* Splits or merges at the top and at the bottom, at random. */
static void reshard_somehow(ls_stream *stream, uint32_t round)
{
    uint32_t lower = LS_NO_SHARD, upper = top_shard(stream, &lower);

    if (round % 3 != 2 || lower == LS_NO_SHARD)
        assert_int_equal(ls_stream_split(stream, round % 2 == 0 || lower == LS_NO_SHARD ? upper : lower, NULL, NULL,
                                         NULL), LS_OK);
    else
        assert_int_equal(ls_stream_merge(stream, lower, upper, NULL), LS_OK);
}

/* Each change of the shards is one among puts: it waits for as many of them as there are producers, however slow. */
static void producers_keep_the_order_of_their_keys(void **state)
{
    fixture *fx = *state;
    uint32_t next[PRODUCERS][3] = {{0}}, total = 0;
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;
    pid_t pids[PRODUCERS];
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (the_place = 0; the_place < PRODUCERS; the_place++)
        pids[the_place] = child_start(put_numbered, fx);
    await(&fx->share->ready, PRODUCERS);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        reshard_somehow(of.stream, round);
        await(&fx->share->release, atomic_load(&fx->share->release) + PRODUCERS);
    }
    atomic_store(&fx->share->stage, 1);
    for (int i = 0; i < PRODUCERS; i++)
        child_ends_well(pids[i]);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &iterator), LS_OK);
    for (;;) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++, total++) {
            const ls_record *record = ls_batch_at(batch, i);
            unsigned place, key, number;
            char text[40];

            (void)snprintf(text, sizeof text, "%.*s %.*s", (int)record->partition_key.size,
                           (const char *)record->partition_key.data, (int)record->data.size,
                           (const char *)record->data.data); /* both are short */
            assert_int_equal(sscanf(text, "%u-%u %u", &place, &key, &number), 3);
            assert_true(place < PRODUCERS && key < 3);
            assert_int_equal(number, next[place][key] == 0 ? key : next[place][key]);
            next[place][key] = number + 3;
        }
    }
    assert_int_equal(total, atomic_load(&fx->share->acknowledged));
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_resharder_that_dies_at_any_call_delays_nobody),
        CASE(a_stopped_resharder_is_waited_for_and_no_longer_than_asked),
        CASE(a_merge_that_waits_for_one_shard_holds_up_no_other),
        CASE(automatic_scaling_in_a_put_waits_for_nobody),
        CASE(waiting_readers_of_other_processes_are_woken),
        CASE(producers_keep_the_order_of_their_keys),
    };

    return cmocka_run_group_tests_name("resharding among processes", tests, NULL, NULL);
}
