/* Groups and leases, the same on the engine in memory and on the local one, where each worker has the store open for
 * itself: taking, renewing, expiry, hand-over, fencing, checkpoints, ends of shards, beginnings. Time stands but when a
 * test moves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "consume/lease/lease.h"
#include "consume/trial_support.h"
#include "engine/local/local.h"
#include "support/memory_engine.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define WORKERS_MAX 4
#define HELD_MAX 16
#define WALL_US INT64_C(1700000000000000)
#define SECOND_US INT64_C(1000000)

/* ---- a world with workers ---- */

typedef struct worker {
    sim_memory memory;
    lsi_env env;
    lsi_engine *engine; /* local: its own */
    lsi_engine_stream *stream;
    lsi_group *group;
    lsi_lease *held[HELD_MAX]; /* told, and not closed; by shard */
} worker;

typedef struct world {
    bool is_local;
    memory_engine *memory;
    sim_files *sim;
    int64_t monotonic_us, wall_us;
    worker workers[WORKERS_MAX];
    lsi_engine *owner; /* local: who makes streams and puts */
    lsi_engine_stream *stream;
    lsi_env env;
    char trace[512];
} world;

static int64_t read_wall(void *user)
{
    return ((world *)user)->wall_us;
}

static int64_t read_monotonic(void *user)
{
    return ((world *)user)->monotonic_us++; /* Who waits for company waits by it. */
}

static void pass(world *of, int64_t us)
{
    of->monotonic_us += us;
    of->wall_us += us;
    if (!of->is_local)
        memory_engine_advance(of->memory, us);
}

static void env_make(world *of, lsi_env *env, sim_memory *memory)
{
    lsi_env_default(env);
    env->files = sim_files_table(of->sim);
    if (memory != NULL) {
        *memory = (sim_memory)SIM_MEMORY_INIT;
        env->memory = sim_memory_table(memory);
    }
    env->clock = (lsi_clock){.wall_us = read_wall, .monotonic_us = read_monotonic, .user = of};
}

static void open_local(world *of, lsi_env *env, lsi_engine **engine, lsi_engine_stream **stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    (void)of;
    assert_int_equal(lsi_local_open("store", &options, env, engine), LS_OK);
    assert_int_equal((*engine)->ops->stream_open(*engine, "s", stream), LS_OK);
}

static void begin(world *of, bool is_local, uint32_t shards)
{
    memset(of, 0, sizeof *of);
    of->is_local = is_local;
    of->wall_us = WALL_US;
    of->monotonic_us = 50 * SECOND_US;
    if (is_local) {
        lsi_stream_spec spec = {.name = "s", .shard_count = shards, .retention_hours = 24, .record_bytes_max = 1 << 20};
        ls_store_options options = LS_STORE_OPTIONS_INIT;

        of->sim = sim_files_new();
        env_make(of, &of->env, NULL);
        options.durability = LS_DURABILITY_KERNEL;
        assert_int_equal(lsi_local_open("store", &options, &of->env, &of->owner), LS_OK);
        assert_int_equal(of->owner->ops->create(of->owner, &spec), LS_OK);
        assert_int_equal(of->owner->ops->stream_open(of->owner, "s", &of->stream), LS_OK);
    } else {
        of->memory = memory_engine_new(shards, LS_DURABILITY_SYNC);
        memory_engine_stop_clock(of->memory, WALL_US);
        of->stream = memory_engine_stream(of->memory);
    }
}

static void leave(worker *who)
{
    lsi_group_free(who->group);
    who->group = NULL;
    memset(who->held, 0, sizeof who->held);
    if (who->engine == NULL)
        return;
    who->engine->ops->stream_close(who->stream);
    assert_int_equal(who->engine->ops->close(who->engine), LS_OK);
    who->engine = NULL;
    assert_int_equal(who->memory.live, 0);
}

static void end(world *of)
{
    for (int i = 0; i < WORKERS_MAX; i++)
        if (of->workers[i].group != NULL)
            leave(&of->workers[i]);
    if (!of->is_local) {
        memory_engine_free(of->memory);
        return;
    }
    of->owner->ops->stream_close(of->stream);
    assert_int_equal(of->owner->ops->close(of->owner), LS_OK);
    sim_files_free(of->sim);
}

static worker *join_with(world *of, int index, const lsi_group_config *config)
{
    worker *who = &of->workers[index];

    memset(who, 0, sizeof *who);
    who->stream = of->stream;
    if (of->is_local) {
        env_make(of, &who->env, &who->memory);
        open_local(of, &who->env, &who->engine, &who->stream);
    }
    assert_int_equal(lsi_group_open(who->stream, "g", config, &who->group), LS_OK);
    return who;
}

static worker *join(world *of, int index)
{
    static const char *const names[WORKERS_MAX] = {"ann", "bob", "cyd", "dee"};
    lsi_group_config config = {.worker = names[index]};

    return join_with(of, index, &config);
}

/* Its process dies. */
static void kill_worker(world *of, worker *who)
{
    uint64_t ticket = who->group->ticket;

    leave(who);
    if (!of->is_local)
        memory_engine_bury(of->memory, ticket);
    pass(of, SECOND_US / 5);
}

static ls_seqno put(world *of, uint32_t shard)
{
    const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    const lsi_append batch = {.entries = &entry, .count = 1};
    lsi_append_result result;
    lsi_appender *appender;

    if (!of->is_local)
        return memory_engine_append(of->memory, shard, "key", "data");
    assert_int_equal(of->owner->ops->appender_open(of->stream, &appender), LS_OK);
    assert_int_equal(of->owner->ops->append(appender, shard, &batch, &result), LS_OK);
    assert_int_equal(result.accepted, 1);
    assert_int_equal(of->owner->ops->commit(appender, shard, result.end, LS_DURABILITY_DEFAULT), LS_OK);
    of->owner->ops->appender_close(appender);
    return result.first_seqno;
}

static lsi_shard shard_of(world *of, uint32_t index)
{
    lsi_stream_info info;
    lsi_shard found;

    assert_int_equal(of->stream->engine->ops->info(of->stream, &info), LS_OK);
    assert_non_null(lsi_shard_find(info.shards, info.shard_count, index));
    found = *lsi_shard_find(info.shards, info.shard_count, index);
    lsi_stream_info_free(&info);
    return found;
}

static uint32_t split(world *of, uint32_t shard)
{
    lsi_reshard_step step = {.shard = shard, .adjacent = LSI_NO_SHARD};
    uint32_t child;

    if (!of->is_local)
        return memory_engine_split(of->memory, shard);
    step.at = lsi_hash_range_middle(shard_of(of, shard).range);
    assert_int_equal(of->owner->ops->reshard(of->stream, &step, 1, false, &child), LS_OK);
    return child;
}

static uint32_t merge(world *of, uint32_t a, uint32_t b)
{
    lsi_reshard_step step = {.shard = a, .adjacent = b};
    uint32_t child;

    if (!of->is_local)
        return memory_engine_merge(of->memory, a, b);
    assert_int_equal(of->owner->ops->reshard(of->stream, &step, 1, false, &child), LS_OK);
    return child;
}

/* What a worker is told by looking until it is told no more: "+2 " taken, "?2 " wanted, "-2 " lost. */
static const char *look(world *of, worker *who)
{
    lsi_group_event event;

    of->trace[0] = '\0';
    for (;;) {
        char *to = of->trace + strlen(of->trace);

        assert_int_equal(lsi_group_next(who->group, 0, &event), LS_OK);
        if (event.kind == LS_GROUP_NOTHING)
            return of->trace;
        assert_true(event.lease->row.place.shard < HELD_MAX);
        (void)snprintf(to, (size_t)(of->trace + sizeof of->trace - to), "%c%u ",
                       event.kind == LS_GROUP_TAKEN    ? '+'
                       : event.kind == LS_GROUP_WANTED ? '?'
                                                       : '-',
                       event.lease->row.place.shard);
        who->held[event.lease->row.place.shard] = event.lease;
    }
}

static ls_status give(worker *who, uint32_t shard)
{
    lsi_lease *lease = who->held[shard];

    assert_non_null(lease);
    who->held[shard] = NULL;
    return lsi_lease_close(lease);
}

/* Looks, and gives over what is wanted and what is lost. */
static void serve(world *of, worker *who)
{
    char trace[512];

    (void)snprintf(trace, sizeof trace, "%s", look(of, who));
    for (const char *at = trace; *at != '\0'; at = strchr(at, ' ') + 1)
        if (*at != '+')
            assert_int_equal(give(who, (uint32_t)atoi(at + 1)), LS_OK);
}

static uint32_t count_held(const worker *who)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < HELD_MAX; i++)
        count += who->held[i] != NULL;
    return count;
}

static ls_lease_info info_of(world *of, uint32_t shard)
{
    ls_lease_info *infos, found = LS_LEASE_INFO_INIT;
    uint32_t count;

    assert_int_equal(lsi_lease_list(of->stream, "g", &infos, NULL, &count), LS_OK);
    for (uint32_t i = 0; i < count; i++)
        if (infos[i].shard == shard)
            found = infos[i];
    lsi_free(&of->stream->engine->env.memory, infos);
    return found;
}

#define BOTH(name)                          \
    static void name##_in_memory(void **s)  \
    {                                       \
        (void)s;                            \
        name(false);                        \
    }                                       \
    static void name##_locally(void **s)    \
    {                                       \
        (void)s;                            \
        name(true);                         \
    }

/* ---- one worker ---- */

static void one_worker_takes_all(bool is_local)
{
    world of;
    worker *ann;
    ls_lease_info info;

    begin(&of, is_local, 3);
    ann = join(&of, 0);
    (void)look(&of, ann);
    assert_int_equal(count_held(ann), 3);
    assert_string_equal(look(&of, ann), "");
    info = info_of(&of, 1);
    assert_int_equal(info.state, LS_LEASE_NOT_BEGUN);
    assert_int_equal(info.position.kind, LS_AT_SEQUENCE_NUMBER);
    assert_int_equal(info.seqno, LS_SEQNO_NONE);
    assert_string_equal(info.owner, "ann");
    assert_int_equal(info.owner_lives, 1);
    assert_int_equal(info.millis_behind_latest, 0);
    assert_in_range(info.position.seqno, 1, put(&of, 1));
    pass(&of, 3 * SECOND_US);
    assert_int_equal(info_of(&of, 1).millis_behind_latest, 3000);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(give(ann, i), LS_OK);
    assert_string_equal(info_of(&of, 1).owner, "");
    assert_int_equal(info_of(&of, 1).owner_lives, 0);
    assert_string_equal(look(&of, ann), ""); /* not at once */
    pass(&of, 11 * SECOND_US);
    (void)look(&of, ann);
    assert_int_equal(count_held(ann), 3);
    end(&of);
}
BOTH(one_worker_takes_all)

static void checkpoints_go_forward_only(bool is_local)
{
    world of;
    worker *ann;
    ls_seqno seqnos[3];
    uint64_t counter;

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    for (int i = 0; i < 3; i++)
        seqnos[i] = put(&of, 0);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[1], UINT32_MAX), LS_OK);
    counter = info_of(&of, 0).counter;
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_BEGUN);
    assert_int_equal(info_of(&of, 0).seqno, seqnos[1]);
    assert_int_equal(info_of(&of, 0).position.kind, LS_AFTER_SEQUENCE_NUMBER);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[1], UINT32_MAX), LS_OK);
    assert_int_equal(info_of(&of, 0).counter, counter); /* nothing was written */
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[0], UINT32_MAX), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[1], 4), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[2] + 1, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], 0, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(info_of(&of, 0).seqno, seqnos[1]);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[2], 4), LS_OK); /* a part of a record */
    assert_int_equal(info_of(&of, 0).position.kind, LS_AT_SEQUENCE_NUMBER);
    assert_int_equal(info_of(&of, 0).sub_seqno, 4);
    assert_int_equal(lsi_lease_end(ann->held[0]), LS_ERR_STATE); /* it is open */
    kill_worker(&of, ann);
    ann = join(&of, 1);
    assert_string_equal(look(&of, ann), "+0 ");
    assert_int_equal(info_of(&of, 0).seqno, seqnos[2]);
    assert_int_equal(info_of(&of, 0).switches, 1);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[2], 5), LS_OK);
    assert_int_equal(info_of(&of, 0).switches, 0);
    end(&of);
}
BOTH(checkpoints_go_forward_only)

/* ---- checkpoints in two steps ---- */

static ls_bytes bytes_of(const char *text)
{
    return (ls_bytes){text, strlen(text)};
}

static void assert_pending(world *of, ls_seqno seqno, uint32_t sub_seqno, const char *state)
{
    ls_lease_info *infos;
    uint32_t count;

    assert_int_equal(lsi_lease_list(of->stream, "g", &infos, NULL, &count), LS_OK);
    assert_int_equal(infos[0].pending_seqno, seqno);
    assert_int_equal(infos[0].pending_sub_seqno, sub_seqno);
    assert_int_equal(infos[0].pending_state.size, strlen(state));
    assert_memory_equal(infos[0].pending_state.data, state, strlen(state));
    lsi_free(&of->stream->engine->env.memory, infos);
}

/* kcl.md 5: what is prepared changes nothing of where the lease stands, outlives its owner, and is settled by the
 * checkpoint, wherever that is made. */
static void what_is_prepared_is_shown_until_it_is_settled(bool is_local)
{
    world of;
    worker *ann;
    ls_seqno seqnos[3];
    uint64_t counter;

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    for (int i = 0; i < 3; i++)
        seqnos[i] = put(&of, 0);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[0], UINT32_MAX, bytes_of("file 1")), LS_OK);
    assert_pending(&of, seqnos[0], UINT32_MAX, "file 1");
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_NOT_BEGUN);
    counter = info_of(&of, 0).counter;
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[0], UINT32_MAX, bytes_of("file 1")), LS_OK);
    assert_int_equal(info_of(&of, 0).counter, counter); /* nothing was written */
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[0], UINT32_MAX, bytes_of("file 2")), LS_OK);
    assert_int_equal(info_of(&of, 0).counter, counter + 1);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[1], 7, bytes_of("")), LS_OK); /* takes its place */
    assert_pending(&of, seqnos[1], 7, "");
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[0], UINT32_MAX), LS_OK); /* elsewhere settles, too */
    assert_pending(&of, LS_SEQNO_NONE, 0, "");
    assert_int_equal(info_of(&of, 0).seqno, seqnos[0]);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[2], UINT32_MAX, bytes_of("upload")), LS_OK);
    kill_worker(&of, ann);
    ann = join(&of, 1);
    assert_string_equal(look(&of, ann), "+0 ");
    assert_pending(&of, seqnos[2], UINT32_MAX, "upload"); /* who takes it is told, */
    assert_int_equal(ann->held[0]->row.pending.seqno, seqnos[2]);
    assert_int_equal(info_of(&of, 0).seqno, seqnos[0]);   /* and begins where the lease stands */
    assert_int_equal(give(ann, 0), LS_OK);
    assert_pending(&of, seqnos[2], UINT32_MAX, "upload");
    pass(&of, 11 * SECOND_US);
    assert_string_equal(look(&of, ann), "+0 ");
    counter = info_of(&of, 0).counter;
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[0], UINT32_MAX), LS_OK); /* where it stands: undone */
    assert_pending(&of, LS_SEQNO_NONE, 0, "");
    assert_int_equal(info_of(&of, 0).counter, counter + 1);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[2], 1, bytes_of("x")), LS_OK);
    assert_int_equal(lsi_lease_prepare(ann->held[0], LS_SEQNO_NONE, 5, bytes_of("")), LS_OK); /* forgotten */
    assert_pending(&of, LS_SEQNO_NONE, 0, "");
    counter = info_of(&of, 0).counter;
    assert_int_equal(lsi_lease_prepare(ann->held[0], LS_SEQNO_NONE, 6, bytes_of("")), LS_OK); /* as it is: */
    assert_int_equal(info_of(&of, 0).counter, counter);                                       /* nothing was written */
    end(&of);
}
BOTH(what_is_prepared_is_shown_until_it_is_settled)

static void what_is_prepared_has_its_limits(bool is_local)
{
    static char much[LS_LEASE_STATE_BYTES_MAX + 1];
    world of;
    worker *ann, *bob;
    lsi_lease *stale;
    ls_seqno seqnos[2];

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    memset(much, 'm', sizeof much);
    seqnos[0] = put(&of, 0);
    seqnos[1] = put(&of, 0);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[0], 0, (ls_bytes){much, sizeof much}), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_lease_prepare(ann->held[0], LS_SEQNO_NONE, 0, bytes_of("x")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[1] + 1, 0, bytes_of("")), LS_ERR_INVALID_ARGUMENT);
    assert_pending(&of, LS_SEQNO_NONE, 0, "");
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqnos[1], 3), LS_OK);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[0], 0, bytes_of("")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[1], 2, bytes_of("")), LS_ERR_INVALID_ARGUMENT);
    much[sizeof much - 1] = '\0';
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqnos[1], 3, bytes_of(much)), LS_OK);
    assert_pending(&of, seqnos[1], 3, much);
    stale = ann->held[0];
    pass(&of, SECOND_US);
    bob = join(&of, 1);
    (void)look(&of, bob);
    pass(&of, 11 * SECOND_US);
    assert_string_equal(look(&of, bob), "+0 ");
    assert_int_equal(lsi_lease_prepare(stale, seqnos[1], UINT32_MAX, bytes_of("")), LS_ERR_LEASE_LOST);
    assert_int_equal(lsi_lease_prepare(stale, LS_SEQNO_NONE, 0, bytes_of("")), LS_ERR_LEASE_LOST);
    assert_pending(&of, seqnos[1], 3, much);
    (void)split(&of, 0);
    assert_int_equal(lsi_lease_end(bob->held[0]), LS_OK); /* settles as well */
    assert_pending(&of, LS_SEQNO_NONE, 0, "");
    assert_int_equal(lsi_lease_prepare(bob->held[0], seqnos[1], UINT32_MAX, bytes_of("")), LS_ERR_STATE);
    end(&of);
}
BOTH(what_is_prepared_has_its_limits)

static bool take_row(void *user, const lsi_state_entry *entry)
{
    lsi_state_change *to = user;

    to->expected = entry->version;
    assert_true(entry->value.size <= LSI_LEASE_ROW_BYTES);
    memcpy((void *)(uintptr_t)to->value.data, entry->value.data, entry->value.size);
    to->value.size = entry->value.size;
    return false;
}

/* FORMAT.md: without anything prepared a row is of format 1, as in stores that know nothing else; with it of format 2.
 * Method: every shorter row, and bad numbers, are damage. */
static void rows_with_what_is_prepared_are_checked(void **state)
{
    unsigned char bytes[LSI_LEASE_ROW_BYTES + 8], whole[sizeof bytes];
    const ls_bytes key = {"lease/g/0000000000", 18};
    lsi_state_change change = {.key = key, .value = {bytes, 0}};
    size_t size, state_bytes = 3;
    lsi_lease_row *rows;
    uint32_t count, conflict;
    ls_seqno seqno;
    world of;
    worker *ann;

    (void)state;
    begin(&of, false, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    seqno = put(&of, 0);
    assert_int_equal(of.stream->engine->ops->state_read(of.stream, key, take_row, &change), LS_OK);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(change.value.size, 48 + 3);
    assert_int_equal(lsi_lease_prepare(ann->held[0], seqno, 2, bytes_of("abc")), LS_OK);
    assert_int_equal(of.stream->engine->ops->state_read(of.stream, key, take_row, &change), LS_OK);
    size = change.value.size;
    assert_int_equal(bytes[0], 2);
    assert_int_equal(size, 48 + 3 + 12 + state_bytes);
    assert_memory_equal(bytes + 48 + 3 + 12, "abc", 3);
    memcpy(whole, bytes, size);
    for (size_t kept = 48; kept <= size + 1; kept++) { /* the last one with a seqno that is none */
        memcpy(bytes, whole, size);
        if (kept > size)
            memset(bytes + 48 + 3, 0, 8);
        change.value.size = kept < size ? kept : size;
        assert_int_equal(of.stream->engine->ops->state_write(of.stream, &change, 1, &conflict), LS_OK);
        assert_int_equal(conflict, 1);
        change.expected = change.version;
        if (kept >= size - state_bytes && kept <= size) {
            assert_int_equal(lsi_lease_rows(of.stream, "g", &rows, &count), LS_OK);
            assert_int_equal(rows[0].pending.state_bytes, kept - (size - state_bytes));
            lsi_free(&of.stream->engine->env.memory, rows);
        } else {
            assert_int_equal(lsi_lease_rows(of.stream, "g", &rows, &count), LS_ERR_CORRUPT);
        }
    }
    end(&of);
}

/* The same of batches of a mapping that were tried: then a row is of format 3. */
static void rows_with_what_was_tried_are_checked(void **state)
{
    enum { HEAD = 48 + 3 + 4, TRIAL = 28 };
    static const struct {
        size_t at; /* of the first trial */
        unsigned char byte;
    } bad[] = {{13, 0x28}, {17, 0x28}, {24, 16}, {27, 1}, {2 * TRIAL + 24, 9}, {2 * TRIAL + 25, 10}};
    const lsi_trials trials = {
        3, {{.first = {5, 0}, .count = 3, .rest = 2, .attempts = 7, .is_unhandled = true},
            {.first = {4, 9}, .count = 0, .attempts = 1, .is_begun = true, .is_reported = true},
            {.first = {6, 1}, .is_over = true, .lane = 9, .last = {UINT64_C(0x123456789abcde), 3}}}};
    unsigned char bytes[LSI_LEASE_ROW_BYTES + 8], whole[sizeof bytes];
    const ls_bytes key = {"lease/g/0000000000", 18};
    lsi_state_change change = {.key = key, .value = {bytes, 0}};
    size_t size;
    lsi_lease_row *rows;
    uint32_t count, conflict;
    ls_seqno seqno;
    world of;
    worker *ann;

    (void)state;
    begin(&of, false, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    seqno = put(&of, 0);
    assert_int_equal(lsi_lease_save(ann->held[0], (lsi_point){seqno, 0}, 0, &trials, (lsi_lease_beside){NULL, 0}),
                     LS_OK);
    assert_int_equal(of.stream->engine->ops->state_read(of.stream, key, take_row, &change), LS_OK);
    size = change.value.size;
    assert_int_equal(bytes[0], 3);
    assert_int_equal(size, HEAD + 3 * TRIAL);
    memcpy(whole, bytes, size);
    for (size_t kept = HEAD; kept <= size + sizeof bad / sizeof bad[0]; kept++) { /* the last ones with a bad byte */
        memcpy(bytes, whole, size);
        if (kept > size)
            bytes[HEAD + bad[kept - size - 1].at] = bad[kept - size - 1].byte;
        change.value.size = kept < size ? kept : size;
        assert_int_equal(of.stream->engine->ops->state_write(of.stream, &change, 1, &conflict), LS_OK);
        assert_int_equal(conflict, 1);
        change.expected = change.version;
        if (kept != HEAD + TRIAL && kept != HEAD + 2 * TRIAL && kept != size) {
            assert_int_equal(lsi_lease_rows(of.stream, "g", &rows, &count), LS_ERR_CORRUPT);
            continue;
        }
        assert_int_equal(lsi_lease_rows(of.stream, "g", &rows, &count), LS_OK);
        assert_int_equal(rows[0].trials.count, (kept - HEAD) / TRIAL);
        for (uint32_t i = 0; i < rows[0].trials.count; i++)
            assert_same_trial(&rows[0].trials.at[i], &trials.at[i]);
        lsi_free(&of.stream->engine->env.memory, rows);
    }
    end(&of);
}

/* ---- several ---- */

/* kcl.md 9.2: three workers, twelve leases; and each is asked for, given over, and never had by two. */
static void leases_are_shared_and_survive_their_owners(bool is_local)
{
    world of;

    begin(&of, is_local, 12);
    for (int n = 0; n < 3; n++) {
        (void)join(&of, n);
        for (int round = 0; round < 40; round++)
            for (int i = 0; i <= n; i++)
                serve(&of, &of.workers[i]);
        for (int i = 0; i <= n; i++)
            assert_int_equal(count_held(&of.workers[i]), 12 / (n + 1));
    }
    kill_worker(&of, &of.workers[1]);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i += 2)
            serve(&of, &of.workers[i]);
    assert_int_equal(count_held(&of.workers[0]), 6);
    assert_int_equal(count_held(&of.workers[2]), 6);
    for (uint32_t shard = 0; shard < 12; shard++)
        assert_true((of.workers[0].held[shard] != NULL) != (of.workers[2].held[shard] != NULL));
    end(&of);
}
BOTH(leases_are_shared_and_survive_their_owners)

/* kcl.md 9.3, trap 10: a worker that stands still for longer than the fail-over time finds its checkpoint refused; one
 * that renews from elsewhere keeps what it has; and a wall clock that jumps does nothing (9.4). */
static void who_stands_still_loses_by_the_observers_clock(bool is_local)
{
    world of;
    worker *ann, *bob;
    ls_seqno seqno;

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    seqno = put(&of, 0);
    pass(&of, 60 * SECOND_US);
    bob = join(&of, 1);
    assert_string_equal(look(&of, bob), ""); /* It has only begun to look. */
    of.wall_us += 3600 * SECOND_US;
    assert_string_equal(look(&of, bob), "");
    for (int i = 0; i < 5; i++) {
        pass(&of, 9 * SECOND_US);
        lsi_group_renew(ann->group);
        assert_string_equal(look(&of, bob), "");
    }
    pass(&of, 9 * SECOND_US);
    assert_string_equal(look(&of, bob), "");
    pass(&of, 2 * SECOND_US);
    assert_string_equal(look(&of, bob), "+0 ");
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqno, UINT32_MAX), LS_ERR_LEASE_LOST);
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_NOT_BEGUN);
    lsi_group_renew(ann->group); /* does nothing for bob */
    assert_string_equal(look(&of, ann), "-0 ");
    assert_int_equal(lsi_lease_end(ann->held[0]), LS_ERR_LEASE_LOST);
    assert_int_equal(give(ann, 0), LS_OK);
    assert_string_equal(info_of(&of, 0).owner, "bob");
    assert_int_equal(lsi_lease_checkpoint(bob->held[0], seqno, UINT32_MAX), LS_OK);
    end(&of);
}
BOTH(who_stands_still_loses_by_the_observers_clock)

/* kcl.md 9.9, 9.10: whoever is asked finishes first; who does not for too long loses; who asked and died is
 * forgotten. */
static void what_is_wanted_is_handed_over(bool is_local)
{
    world of;
    worker *ann, *bob;
    ls_seqno seqno;
    uint32_t wanted;

    begin(&of, is_local, 2);
    ann = join(&of, 0);
    (void)look(&of, ann);
    seqno = put(&of, 0);
    (void)put(&of, 1);
    bob = join(&of, 1);
    assert_string_equal(look(&of, bob), "");
    (void)look(&of, ann);
    assert_int_equal(of.trace[0], '?');
    wanted = (uint32_t)atoi(of.trace + 1);
    assert_string_equal(look(&of, ann), ""); /* told once */
    if (wanted == 0)
        assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqno, UINT32_MAX), LS_OK); /* It is ann's still. */
    assert_string_equal(look(&of, bob), "");
    assert_int_equal(give(ann, wanted), LS_OK);
    (void)look(&of, bob);
    assert_int_equal(count_held(bob), 1);
    assert_non_null(bob->held[wanted]);
    assert_string_equal(info_of(&of, wanted).owner, "bob");

    kill_worker(&of, bob);
    (void)look(&of, ann);
    assert_int_equal(count_held(ann), 2);
    bob = join(&of, 2);
    assert_string_equal(look(&of, bob), "");
    (void)look(&of, ann);
    assert_int_equal(of.trace[0], '?');
    kill_worker(&of, bob); /* before it is given anything */
    pass(&of, SECOND_US);
    assert_string_equal(look(&of, ann), "");
    bob = join(&of, 3);
    assert_string_equal(look(&of, bob), "");
    (void)look(&of, ann);
    assert_int_equal(of.trace[0], '?');
    wanted = (uint32_t)atoi(of.trace + 1);
    for (int i = 0; i < 9; i++) { /* It renews, and does not let go. */
        pass(&of, 3 * SECOND_US);
        assert_string_equal(look(&of, ann), "");
        assert_string_equal(look(&of, bob), "");
    }
    pass(&of, 4 * SECOND_US);
    assert_string_equal(look(&of, ann), "");
    (void)look(&of, bob);
    assert_non_null(bob->held[wanted]);
    (void)look(&of, ann);
    assert_int_equal(of.trace[0], '-');
    end(&of);
}
BOTH(what_is_wanted_is_handed_over)

/* ---- shards ---- */

/* Trap 11, kcl.md 9.5 to 9.7: the end is an end though the last record was noted before; children begin at the horizon,
 * a merged one after both parents; rows of parents go when all children were begun. */
static void children_come_after_their_parents(bool is_local)
{
    world of;
    worker *ann;
    ls_seqno last;
    uint32_t low, merged;

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    last = put(&of, 0);
    low = split(&of, 0);
    assert_string_equal(look(&of, ann), "");
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], last, UINT32_MAX), LS_OK);
    assert_int_equal(lsi_lease_end(ann->held[0]), LS_OK);
    assert_int_equal(lsi_lease_end(ann->held[0]), LS_OK);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], last, UINT32_MAX), LS_ERR_STATE);
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_ENDED);
    assert_int_equal(give(ann, 0), LS_OK);
    (void)look(&of, ann);
    assert_non_null(ann->held[low]);
    assert_non_null(ann->held[low + 1]);
    assert_int_equal(info_of(&of, low).position.kind, LS_AT_SEQUENCE_NUMBER);
    last = put(&of, low);
    assert_in_range(info_of(&of, low).position.seqno, 1, last);
    merged = merge(&of, low, low + 1);
    assert_int_equal(lsi_lease_end(ann->held[low + 1]), LS_OK);
    assert_int_equal(info_of(&of, merged).state, LS_LEASE_WAITING);
    assert_string_equal(look(&of, ann), ""); /* One parent is under way. */
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_ENDED);
    assert_int_equal(lsi_lease_checkpoint(ann->held[low], last, UINT32_MAX), LS_OK);
    assert_string_equal(look(&of, ann), "");
    assert_int_equal(info_of(&of, 0).state, 0); /* It is gone: both children were begun. */
    assert_int_equal(lsi_lease_end(ann->held[low]), LS_OK);
    (void)look(&of, ann);
    assert_non_null(ann->held[merged]);
    last = put(&of, merged);
    assert_int_equal(lsi_lease_checkpoint(ann->held[merged], last, UINT32_MAX), LS_OK);
    (void)look(&of, ann);
    assert_int_equal(info_of(&of, low).state, 0);
    assert_int_equal(info_of(&of, low + 1).state, 0);
    end(&of);
}
BOTH(children_come_after_their_parents)

static uint64_t lag_of(world *of, uint32_t shard)
{
    ls_lease_info *infos;
    uint64_t *records, found = UINT64_MAX;
    uint32_t count;

    assert_int_equal(lsi_lease_list(of->stream, "g", &infos, &records, &count), LS_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(i == 0 || infos[i].shard > infos[i - 1].shard);
        if (infos[i].shard == shard)
            found = records[i];
    }
    lsi_free(&of->stream->engine->env.memory, infos);
    lsi_free(&of->stream->engine->env.memory, records);
    return found;
}

/* What is put after a split lies behind, though nobody has a lease there before the parent was worked on to its end. */
static void children_are_listed_before_they_have_a_lease(bool is_local)
{
    world of;
    worker *ann;
    uint32_t low, lower;

    begin(&of, is_local, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    (void)put(&of, 0);
    low = split(&of, 0);
    for (int i = 0; i < 3; i++)
        (void)put(&of, low);
    lower = split(&of, low);
    (void)put(&of, lower + 1);
    pass(&of, 7 * SECOND_US);
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_NOT_BEGUN);
    assert_int_equal(lag_of(&of, 0), 1);
    for (uint32_t i = low; i <= lower + 1; i++) {
        assert_int_equal(info_of(&of, i).state, LS_LEASE_WAITING);
        assert_string_equal(info_of(&of, i).owner, "");
    }
    assert_int_equal(lag_of(&of, low), 3);
    assert_int_equal(info_of(&of, low).millis_behind_latest, 7000);
    assert_int_equal(lag_of(&of, low + 1), 0);
    assert_int_equal(lag_of(&of, lower), 0);
    assert_int_equal(lag_of(&of, lower + 1), 1);
    assert_int_equal(lsi_lease_end(ann->held[0]), LS_OK);
    assert_int_equal(info_of(&of, 0).state, LS_LEASE_ENDED);
    assert_int_equal(info_of(&of, low).state, LS_LEASE_NOT_BEGUN);
    assert_int_equal(lag_of(&of, low), 3);
    assert_int_equal(info_of(&of, lower).state, LS_LEASE_WAITING);
    end(&of);
}
BOTH(children_are_listed_before_they_have_a_lease)

/* A group begins where it was told, and goes on from there however late its workers come. */
static void a_group_begins_where_it_was_told(bool is_local)
{
    static const lsi_lease_start_kind kinds[] = {LSI_START_HORIZON, LSI_START_LATEST, LSI_START_TIME};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        lsi_group_config config = {.start = {kinds[i], 0}};
        ls_seqno first, second;
        ls_lease_info info;
        world of;
        worker *ann;

        begin(&of, is_local, 2);
        first = put(&of, 0);
        pass(&of, SECOND_US);
        config.start.us = kinds[i] == LSI_START_TIME ? of.wall_us : 0;
        second = put(&of, 0);
        pass(&of, SECOND_US);
        ann = join_with(&of, 0, &config);
        (void)look(&of, ann);
        (void)put(&of, 0);
        info = info_of(&of, 0);
        assert_int_equal(info.state, kinds[i] == LSI_START_HORIZON ? LS_LEASE_NOT_BEGUN : LS_LEASE_BEGUN);
        if (kinds[i] == LSI_START_LATEST)
            assert_int_equal(info.seqno, second);
        if (kinds[i] == LSI_START_TIME)
            assert_in_range(info.seqno, first, second - 1);
        assert_int_equal(info_of(&of, 1).state, LS_LEASE_NOT_BEGUN); /* It is empty. */
        end(&of);
    }
}
BOTH(a_group_begins_where_it_was_told)

static void a_deleted_group_ends_its_workers(bool is_local)
{
    world of;
    worker *ann;
    lsi_group_event event;
    ls_lease_info *infos;
    uint32_t count;

    begin(&of, is_local, 2);
    ann = join(&of, 0);
    (void)look(&of, ann);
    assert_int_equal(lsi_group_delete(of.stream, "g"), LS_OK);
    assert_int_equal(lsi_group_delete(of.stream, "g"), LS_ERR_NOT_FOUND);
    assert_int_equal(lsi_lease_list(of.stream, "g", &infos, NULL, &count), LS_ERR_NOT_FOUND);
    assert_int_equal(lsi_group_next(ann->group, 0, &event), LS_OK);
    assert_int_equal(event.kind, LS_GROUP_LOST);
    assert_int_equal(lsi_group_next(ann->group, 0, &event), LS_OK);
    assert_int_equal(event.kind, LS_GROUP_LOST);
    assert_int_equal(lsi_group_next(ann->group, 0, &event), LS_ERR_NOT_FOUND);
    assert_int_equal(lsi_lease_list(of.stream, "g", &infos, NULL, &count), LS_ERR_NOT_FOUND);
    lsi_group_cancel(ann->group);
    assert_int_equal(lsi_group_next(ann->group, -1, &event), LS_ERR_CANCELLED);
    end(&of);
}
BOTH(a_deleted_group_ends_its_workers)

/* ---- trouble ---- */

/* kcl.md 9.1, trap 10: a change whose answer was lost is one's own. */
static void a_lost_answer_is_found_again(void **state)
{
    world of;
    worker *ann, *bob;
    lsi_group_event event;
    ls_seqno seqno;

    (void)state;
    begin(&of, false, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    seqno = put(&of, 0);
    memory_engine_fail(of.memory, MEMORY_ENGINE_STATE_WRITE, LSI_NO_SHARD, LS_ERR_IO, 1, 1);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqno, UINT32_MAX), LS_ERR_IO);
    assert_int_equal(info_of(&of, 0).seqno, seqno);
    assert_int_equal(lsi_lease_checkpoint(ann->held[0], seqno, UINT32_MAX), LS_OK);
    assert_string_equal(look(&of, ann), "");
    kill_worker(&of, ann);
    bob = join(&of, 1);
    memory_engine_fail(of.memory, MEMORY_ENGINE_STATE_WRITE, LSI_NO_SHARD, LS_ERR_IO, 1, 1);
    assert_int_equal(lsi_group_next(bob->group, 0, &event), LS_ERR_IO); /* It has taken it, and does not know. */
    assert_string_equal(look(&of, bob), "+0 ");
    memory_engine_fail(of.memory, MEMORY_ENGINE_STATE_WRITE, LSI_NO_SHARD, LS_ERR_IO, 1, 0);
    seqno = put(&of, 0);
    assert_int_equal(lsi_lease_checkpoint(bob->held[0], seqno, UINT32_MAX), LS_ERR_IO); /* nothing was written */
    assert_int_equal(lsi_lease_checkpoint(bob->held[0], seqno, UINT32_MAX), LS_OK);
    end(&of);
}

/* A shard that expired before it was worked on to its end leaves its work to its children. */
static void what_expires_leaves_its_children(void **state)
{
    world of;
    worker *ann;
    uint32_t low;

    (void)state;
    begin(&of, false, 1);
    ann = join(&of, 0);
    assert_string_equal(look(&of, ann), "+0 ");
    (void)put(&of, 0);
    low = memory_engine_split(of.memory, 0);
    memory_engine_forget(of.memory, 0);
    (void)look(&of, ann);
    assert_int_equal(info_of(&of, 0).state, 0);
    assert_int_equal(info_of(&of, low).state, LS_LEASE_NOT_BEGUN);
    assert_non_null(ann->held[low]);
    assert_non_null(ann->held[low + 1]);
    end(&of);
}

/* Loads decide when there are any: the worker with the busy shard gives the idle ones. */
static void busy_shards_are_balanced_by_load(void **state)
{
    world of;
    uint64_t loads[2] = {0, 0};

    (void)state;
    begin(&of, false, 4);
    (void)join(&of, 0);
    (void)join(&of, 1);
    for (int round = 0; round < 60; round++) {
        memory_engine_write(of.memory, 0, 9 << 20);
        for (uint32_t i = 1; i < 4; i++)
            memory_engine_write(of.memory, i, 3 << 20);
        pass(&of, 4 * SECOND_US);
        for (int i = 0; i < 2; i++)
            serve(&of, &of.workers[i]);
    }
    for (int w = 0; w < 2; w++)
        for (uint32_t i = 0; i < 4; i++)
            loads[w] += of.workers[w].held[i] != NULL ? (i == 0 ? 9 : 3) : 0;
    assert_int_equal(loads[0] + loads[1], 18);
    assert_int_equal(loads[0], 9);
    end(&of);
}

/* Goal: E4. Method: fail the Nth allocation of a life; what is said to have failed can be done again. */
static void a_life_without_memory_fails_plainly(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        lsi_group_config config = {.worker = "ann"};
        lsi_group_event event = {0};
        lsi_group *group = NULL;
        world of;
        ls_status st;
        bool met;

        begin(&of, false, 2);
        (void)put(&of, 0);
        sim_memory_fail(memory_engine_memory(of.memory), n, false);
        st = lsi_group_open(of.stream, "g", &config, &group);
        if (st != LS_OK) {
            assert_int_equal(st, LS_ERR_NO_MEMORY);
            assert_int_equal(lsi_group_open(of.stream, "g", &config, &group), LS_OK);
        }
        for (int told = 0, tries = 0; told < 2; tries++) {
            st = lsi_group_next(group, 0, &event);
            assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
            assert_true(tries < 10);
            told += st == LS_OK && event.kind == LS_GROUP_TAKEN;
        }
        st = lsi_group_give_back(group);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        met = memory_engine_memory(of.memory)->failed > 0;
        lsi_group_free(group);
        end(&of);
        if (!met)
            break;
        assert_true(n < 500);
    }
}

#define BOTH_OF(name) cmocka_unit_test(name##_in_memory), cmocka_unit_test(name##_locally)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_OF(one_worker_takes_all),
        BOTH_OF(checkpoints_go_forward_only),
        BOTH_OF(what_is_prepared_is_shown_until_it_is_settled),
        BOTH_OF(what_is_prepared_has_its_limits),
        cmocka_unit_test(rows_with_what_is_prepared_are_checked),
        cmocka_unit_test(rows_with_what_was_tried_are_checked),
        BOTH_OF(leases_are_shared_and_survive_their_owners),
        BOTH_OF(who_stands_still_loses_by_the_observers_clock),
        BOTH_OF(what_is_wanted_is_handed_over),
        BOTH_OF(children_come_after_their_parents),
        BOTH_OF(children_are_listed_before_they_have_a_lease),
        BOTH_OF(a_group_begins_where_it_was_told),
        BOTH_OF(a_deleted_group_ends_its_workers),
        cmocka_unit_test(a_lost_answer_is_found_again),
        cmocka_unit_test(what_expires_leaves_its_children),
        cmocka_unit_test(busy_shards_are_balanced_by_load),
        cmocka_unit_test(a_life_without_memory_fails_plainly),
    };

    return cmocka_run_group_tests_name("consume/test_lease", tests, NULL, NULL);
}
