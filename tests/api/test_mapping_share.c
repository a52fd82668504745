/* Running mappings, as mapping.h promises it: several runs of one share its shards, are replaced when they are not
 * heard of, and are the workers of a group; and one that reads as a registered consumer. */
#include "api/mapping_support.h"

#include "api/api.h"
#include "consume/lease/lease.h"

/* ---- several runs ---- */

static uint32_t total(run *of)
{
    uint32_t count;

    pthread_mutex_lock(&of->mutex);
    count = of->count;
    pthread_mutex_unlock(&of->mutex);
    return count;
}

/* Whether what was handled last are the numbers below `count`, in order, after others. */
static bool ends_with_all(run *of, uint32_t count)
{
    bool does;

    pthread_mutex_lock(&of->mutex);
    does = of->count > count;
    for (uint32_t i = 0; does && i < count; i++)
        does = of->numbers[of->count - count + i] == i;
    pthread_mutex_unlock(&of->mutex);
    return does;
}

static uint32_t shards_of(run *of, uint32_t from)
{
    bool seen[64] = {false};
    uint32_t count = 0;

    pthread_mutex_lock(&of->mutex);
    for (uint32_t i = from; i < of->count; i++) {
        count += !seen[of->shards[i]];
        seen[of->shards[i]] = true;
    }
    pthread_mutex_unlock(&of->mutex);
    return count;
}

/* Two runs come to have two of four shards each; when one ends the other has all, and nothing came twice. */
static void runs_share_the_shards(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 4);
    uint32_t put = 0, from_a = 0, from_b = 0;
    bool *seen = calloc(SEEN_MAX, sizeof *seen);
    run *a, *b;

    make_mapping(stream, NULL);
    a = run_new(stream, "m");
    b = run_new(stream, "m");
    run_start(a);
    put_numbers(stream, 0, 40, 40);
    put = 40;
    await(&a->handled, 40);
    run_start(b);
    for (int turn = 0; turn < 200 && (shards_of(a, from_a) != 2 || shards_of(b, from_b) != 2); turn++) {
        uint32_t before = put;

        from_a = total(a);
        from_b = total(b);
        put_numbers(stream, put, put + 40, 40);
        put += 40;
        for (int i = 0; i < 3000 && total(a) + total(b) < before + 40; i++)
            usleep(10000);
        assert_int_equal(total(a) + total(b), put);
    }
    assert_int_equal(shards_of(a, from_a), 2);
    assert_int_equal(shards_of(b, from_b), 2);
    run_stop(a);
    from_b = total(b);
    put_numbers(stream, put, put + 40, 40);
    put += 40;
    for (int i = 0; i < 3000 && total(a) + total(b) < put; i++)
        usleep(10000);
    run_stop(b);
    assert_int_equal(shards_of(b, from_b), 4);
    for (uint32_t i = 0; i < a->count + b->count; i++) {
        uint32_t number = i < a->count ? a->numbers[i] : b->numbers[i - a->count];

        assert_false(seen[number]);
        seen[number] = true;
    }
    assert_int_equal(a->count + b->count, put);
    free(seen);
    run_free(a);
    run_free(b);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What one run may not have the others take. */
static void a_run_with_a_limit_leaves_the_rest_to_others(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 4);
    run *a, *b;

    make_mapping(stream, NULL);
    a = run_new(stream, "m");
    b = run_new(stream, "m");
    a->options.shards_max = 1;
    run_start(a);
    put_numbers(stream, 0, 40, 40);
    await(&a->handled, 1);
    run_start(b);
    for (int i = 0; i < 3000 && total(a) + total(b) < 40; i++)
        usleep(10000);
    run_stop(a);
    run_stop(b);
    assert_int_equal(a->count + b->count, 40);
    assert_int_equal(shards_of(a, 0), 1);
    assert_int_equal(shards_of(b, 0), 3);
    run_free(a);
    run_free(b);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Whoever has a lease, from now on, beneath those who work on it. `ticket` 0: nobody. */
static void set_owner(ls_stream *stream, uint32_t shard, uint64_t ticket, const lsi_lease_row *as)
{
    const lsi_memory memory = stream->stream->engine->env.memory;
    lsi_group_settings settings;
    lsi_lease_row *rows = NULL;
    bool is_done = false;

    while (!is_done) {
        uint32_t count, at = 0;

        assert_int_equal(lsi_group_find(stream->stream, "m", &settings), LS_OK);
        assert_int_equal(lsi_lease_rows(stream->stream, "m", &rows, &count), LS_OK);
        while (at < count && rows[at].place.shard != shard)
            at++;
        assert_true(at < count);
        if (as != NULL) {
            rows[at].place.kind = as->place.kind;
            rows[at].seqno = as->seqno;
        }
        rows[at].owner = ticket;
        rows[at].counter++;
        assert_int_equal(lsi_lease_write(stream->stream, "m", &settings, &rows[at], 1, (lsi_lease_beside){NULL, 0},
                                         &is_done), LS_OK);
        lsi_free(&memory, rows);
    }
}

/* Somebody who lives has the shards, and was never heard of again: after `failover_ms` they are taken. */
static void a_run_that_is_not_heard_of_loses_its_shards(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    struct timespec from, to;
    run *of;

    put_numbers(stream, 0, 40, 40);
    make_mapping(stream, NULL);
    for (uint32_t shard = 0; shard < 2; shard++)
        set_owner(stream, shard, stream->stream->engine->ops->ticket(stream->stream->engine), NULL);
    of = run_new(stream, "m");
    of->options.failover_ms = 300;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    run_start(of);
    await(&of->handled, 40);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 290);
    run_stop(of);
    assert_all_once_in_order(of, 40, 40);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A lease that was taken, moved back and given back beneath a run: what it notes afterwards is refused, it stops, and
 * begins anew from there. */
static void who_was_taken_for_dead_stores_nothing(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    const lsi_lease_row horizon_row = {.place = {0, LSI_LEASE_HORIZON}};
    ls_mapping_options options = defaults();
    run *of;

    options.sync_interval_ms = 50;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->options.failover_ms = 300;
    run_start(of);
    put_numbers(stream, 0, 5, 1);
    await(&of->handled, 5);
    set_owner(stream, 0, 0, &horizon_row);
    put_numbers(stream, 5, 6, 1);
    for (int i = 0; i < 3000 && !ends_with_all(of, 6); i++)
        usleep(10000);
    run_stop(of);
    assert_true(of->count >= 6 + 5); /* The sixth comes twice where it was handled before the run knew. */
    assert_true(ends_with_all(of, 6));
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- a handler that does not return ---- */

/* Shared by two runs: how many handlers run, and whether they are to wait. */
typedef struct gate {
    _Atomic int32_t busy, overlaps, entered, handled;
    _Atomic bool is_shut;
} gate;

typedef struct gated_run {
    ls_mapping *mapping;
    gate *gate;
    pthread_t thread;
    ls_status st;
} gated_run;

static ls_handler_answer pass_the_gate(const ls_batch *batch, ls_handler_context *context, void *user)
{
    gate *of = ((gated_run *)user)->gate;

    (void)context;
    if (atomic_fetch_add(&of->busy, 1) != 0)
        atomic_fetch_add(&of->overlaps, 1);
    atomic_fetch_add(&of->entered, 1);
    while (atomic_load(&of->is_shut))
        usleep(1000);
    atomic_fetch_sub(&of->busy, 1);
    atomic_fetch_add(&of->handled, (int32_t)ls_batch_count(batch));
    return LS_HANDLER_DONE;
}

static void *run_gated(void *user)
{
    gated_run *of = user;

    of->st = ls_mapping_run(of->mapping, NULL, pass_the_gate, of);
    return NULL;
}

static void begin_gated(gated_run *of, ls_stream *stream, gate *at)
{
    *of = (gated_run){.gate = at};
    assert_int_equal(ls_mapping_open(stream, "m", &of->mapping), LS_OK);
    assert_int_equal(pthread_create(&of->thread, NULL, run_gated, of), 0);
}

static void end_gated(gated_run *of)
{
    ls_mapping_stop(of->mapping);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_OK);
    assert_int_equal(ls_mapping_close(of->mapping), LS_OK);
}

/* Whether at least so many: for as long as tests wait. */
static bool reaches(const _Atomic int32_t *count, int32_t least)
{
    for (int i = 0; i < WAIT_S * 1000 && atomic_load(count) < least; i++)
        usleep(1000);
    return atomic_load(count) >= least;
}

/* A mapping is moved while one run has a handler of its only shard, and the other run gets the lease: its handler
 * begins when the first one has returned, not before. Method: the mapping is moved again and again until it is the
 * other run's. */
static void a_moved_shard_waits_for_the_handler_of_another_run(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    gate at = {.is_shut = true};
    char owner[sizeof(((ls_lease_info *)0)->owner)];
    gated_run a, b;

    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    put_numbers(stream, 0, 5, 1);
    make_mapping(stream, &options);
    begin_gated(&a, stream, &at);
    assert_true(reaches(&at.entered, 1));
    (void)snprintf(owner, sizeof owner, "%s", look_at_lease(stream, 0).owner);
    assert_string_not_equal(owner, "");
    begin_gated(&b, stream, &at);
    for (bool is_moved = false; !is_moved;) {
        assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
        while (look_at_lease(stream, 0).owner[0] == 0)
            usleep(1000);
        is_moved = strcmp(look_at_lease(stream, 0).owner, owner) != 0;
    }
    usleep(200000); /* Time enough to begin what must not. */
    assert_int_equal(atomic_load(&at.entered), 1);
    atomic_store(&at.is_shut, false);
    assert_true(reaches(&at.entered, 2));
    assert_true(reaches(&at.handled, 10));
    end_gated(&a);
    end_gated(&b);
    assert_int_equal(atomic_load(&at.overlaps), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_push_answer refuse_batches(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return LS_PUSH_STOP;
}

/* What a mapping is run by shows as the leases of a group of its name; to workers of groups it is none. */
static void a_mapping_is_a_group_of_its_own(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_group *group = NULL;
    run *of;

    assert_int_equal(ls_group_open(stream, "g", NULL, &group), LS_OK);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "g", &horizon, NULL), LS_ERR_EXISTS);
    assert_true(says("group 'g'"));
    make_mapping(stream, NULL);
    assert_int_equal(ls_group_open(stream, "m", NULL, &group), LS_ERR_STATE);
    assert_true(says("'m' is a mapping"));
    assert_int_equal(ls_group_delete(stream, "m"), LS_ERR_STATE);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 3, 1);
    await(&of->handled, 3);
    assert_int_not_equal(look_at_lease(stream, 0).owner[0], 0);
    assert_int_equal(look_at_lease(stream, 0).owner_lives, 1);
    run_stop(of);
    assert_string_equal(look_at_lease(stream, 0).owner, "");
    assert_int_equal(look_at_lease(stream, 0).state, LS_LEASE_BEGUN);
    assert_int_equal(look_at_lease(stream, 0).millis_behind_latest, 0);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    assert_int_equal(ls_group_open(stream, "m", NULL, &group), LS_OK); /* The name is free. */
    assert_int_equal(ls_group_close(group), LS_OK);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A mapping that reads as a registered consumer has the consumer's subscription of each shard, and waits for whoever
 * else has it; without the consumer it ends. */
static void a_mapping_reads_as_a_consumer(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    ls_mapping_options options = defaults();
    ls_mapping_options is = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *description = NULL;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer *consumer = NULL;
    run *of;

    assert_int_equal(ls_consumer_register(stream, "fast", &info), LS_OK);
    options.consumer = "fast";
    make_mapping(stream, &options);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_options(description, &is), LS_OK);
    assert_string_equal(is.consumer, "fast");
    ls_mapping_description_free(description);
    put_numbers(stream, 0, 40, 40);
    of = run_new(stream, "m");
    run_start(of);
    await(&of->handled, 40);
    assert_int_equal(ls_consumer_open(stream, "fast", &consumer), LS_OK);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, refuse_batches, NULL), LS_ERR_STATE);
    assert_true(says("shard 0")); /* It is the mapping's. */
    while (ls_consumer_subscribe(consumer, 0, NULL, NULL, refuse_batches, NULL) != LS_OK) {
        assert_int_equal(ls_last_error_status(), LS_ERR_STATE);
        usleep(200000); /* After 5 seconds it is taken over, */
    }
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    put_numbers(stream, 40, 80, 40);
    await(&of->handled, 40); /* and had back when the other one has ended. */
    run_stop(of);
    assert_all_once_in_order(of, 80, 40);
    run_free(of);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 80, 81, 40);
    await(&of->handled, 1);
    assert_int_equal(ls_consumer_deregister(stream, "fast"), LS_OK);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of->message, "'fast'"));
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_share_the_shards),
        TEST(a_run_with_a_limit_leaves_the_rest_to_others),
        TEST(a_run_that_is_not_heard_of_loses_its_shards),
        TEST(who_was_taken_for_dead_stores_nothing),
        TEST(a_moved_shard_waits_for_the_handler_of_another_run),
        TEST(a_mapping_is_a_group_of_its_own),
        TEST(a_mapping_reads_as_a_consumer),
    };

    run_everywhere("several runs", tests);
}
