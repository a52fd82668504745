/* What a store does for its user and by itself, while calls and allocations fail below: one after another the 1st,
 * 2nd, ... Nth of each act, on a disk of its own, alone or with all after it. Whatever fails, the act is done or
 * refused with a reason; nothing leaks, no file stays open; what was put can be read by who opens the store next, who
 * finds no damage, and who can do what was refused: where a failed sync left a shard in doubt (E1), after a repair. */
#include "engine/sim_store.h"

#include <errno.h>

#include "engine/local/step.h"
#include "support/sim_inside.h"

#define RECORDS 14u /* in each shard of "orders", of 6 KiB: ten fill a segment */
#define RECORD_BYTES (6u << 10)
#define HOUR_US INT64_C(3600000000)

/* ---- the clock ---- */

static int64_t later_us;

static int64_t wall(void *user)
{
    (void)user;
    return lsi_wall_us(&lsi_clock_system) + later_us;
}

static int64_t monotonic(void *user)
{
    (void)user;
    return lsi_monotonic_us(&lsi_clock_system) + later_us;
}

static void begin_clocked(walk *at, sim_files *sim)
{
    begin(at, sim);
    at->env.clock = (lsi_clock){.wall_us = wall, .monotonic_us = monotonic, .passing_us = monotonic};
}

/* ---- the store ---- */

static lsi_engine_stream *stream_of(lsi_engine *engine, const char *name)
{
    lsi_engine_stream *stream;

    assert_int_equal(engine->ops->stream_open(engine, name, &stream), LS_OK);
    return stream;
}

static ls_status write_state(lsi_engine_stream *stream, const char *key, const char *value)
{
    lsi_state_change change = {{key, strlen(key)}, LSI_STATE_ANY, {value, strlen(value)}, 0};
    uint32_t conflict;

    return stream->engine->ops->state_write(stream, &change, 1, &conflict);
}

/* "orders" of two open shards and one that was split long ago, with a consumer, a tag and state; "other" of one. */
static sim_files *new_store(void)
{
    static char data[RECORD_BYTES + 1];
    static const ls_tag tag = {"colour", "blue"};
    lsi_stream_change tags = {.kind = LSI_CHANGE_TAGS_ADD, .tags = &tag, .count = 1};
    lsi_reshard_step split = {.shard = 0, .adjacent = LSI_NO_SHARD};
    sim_files *sim = sim_files_new();
    lsi_engine_stream *stream;
    lsi_consumer consumer;
    lsi_engine *engine;
    uint32_t child;
    walk at;

    later_us = 0;
    memset(data, 'd', RECORD_BYTES);
    begin_clocked(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(create(engine, "orders", 1), LS_OK);
    assert_int_equal(create(engine, "other", 1), LS_OK);
    stream = stream_of(engine, "orders");
    split.at = lsi_hash_range_middle(lsi_hash_range_of(0, 1));
    assert_int_equal(engine->ops->reshard(stream, &split, 1, false, &child), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++)
        for (uint32_t shard = 1; shard <= 2; shard++)
            assert_int_equal(put_one(engine, stream, shard, data), LS_OK);
    assert_int_equal(engine->ops->register_consumer(stream, "fan", &consumer), LS_OK);
    assert_int_equal(engine->ops->update(stream, &tags), LS_OK);
    assert_int_equal(write_state(stream, "place", "here"), LS_OK);
    engine->ops->stream_close(stream);
    stream = stream_of(engine, "other");
    assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    return sim;
}

/* ---- acts: of an open store, refused or done ---- */

typedef ls_status act(walk *at, lsi_engine *engine);

static ls_status with_stream(lsi_engine *engine, ls_status (*what)(lsi_engine_stream *stream))
{
    lsi_engine_stream *stream;
    ls_status st = engine->ops->stream_open(engine, "orders", &stream);

    if (st != LS_OK)
        return st;
    st = what(stream);
    engine->ops->stream_close(stream);
    return st;
}

static ls_status only_open(walk *at, lsi_engine *engine)
{
    (void)at;
    (void)engine;
    return LS_OK;
}

/* Done before: what an act answers when it is done again. */
static ls_status unless(ls_status st, ls_status done)
{
    return st == done ? LS_OK : st;
}

static ls_status make_stream(walk *at, lsi_engine *engine)
{
    static const ls_tag tag = {"colour", "red"};
    lsi_stream_spec spec = {.name = "new", .shard_count = 3, .retention_hours = 24, .mode = LS_STREAM_ON_DEMAND,
                            .record_bytes_max = 1 << 20, .tags = &tag, .tag_count = 1};

    (void)at;
    return unless(engine->ops->create(engine, &spec), LS_ERR_EXISTS);
}

static ls_status remove_stream(walk *at, lsi_engine *engine)
{
    (void)at;
    return unless(engine->ops->remove_with_consumers(engine, "other"), LS_ERR_NOT_FOUND);
}

static ls_status split_one(lsi_engine_stream *stream)
{
    lsi_reshard_step split = {.shard = 1, .adjacent = LSI_NO_SHARD};
    uint32_t child;

    split.at = lsi_hash_range_middle(lsi_hash_range_of(0, 2));
    return unless(stream->engine->ops->reshard(stream, &split, 1, false, &child), LS_ERR_STATE); /* It is closed. */
}

static ls_status split_shard(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, split_one);
}

static ls_status merge_two(lsi_engine_stream *stream)
{
    lsi_reshard_step merge = {.shard = 1, .adjacent = 2};
    uint32_t child;

    return unless(stream->engine->ops->reshard(stream, &merge, 1, false, &child), LS_ERR_STATE);
}

static ls_status merge_shards(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, merge_two);
}

static bool take_consumer(void *user, const lsi_consumer *consumer)
{
    if (strcmp(consumer->name, "fan") == 0)
        *(lsi_consumer *)user = *consumer;
    return true;
}

/* Registers one, subscribes with another and deregisters it. */
static ls_status use_consumers_of(lsi_engine_stream *stream)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    lsi_consumer made, fan = {0};
    lsi_cut cut = {1, 2, 3};
    lsi_hold hold;
    ls_status st = unless(ops->register_consumer(stream, "made", &made), LS_ERR_EXISTS);

    if (st == LS_OK)
        st = ops->consumers(stream, take_consumer, &fan);
    if (st != LS_OK || fan.id == 0)
        return st; /* It was done before. */
    st = ops->hold(stream, &fan, 1, false, &hold);
    if (st == LS_OK) {
        st = ops->hold_check(stream, &fan, 1, &hold);
        ops->count_cut(stream, &fan, &cut);
        ops->hold_end(stream, &hold);
    }
    if (st == LS_OK)
        st = unless(ops->deregister_consumer(stream, "fan"), LS_ERR_NOT_FOUND);
    return st;
}

static ls_status use_consumers(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, use_consumers_of);
}

static bool count_tag(void *user, const ls_tag *tag)
{
    *(uint32_t *)user += tag->key[0] != '\0';
    return true;
}

static ls_status change_settings_of(lsi_engine_stream *stream)
{
    static const ls_tag tag = {"size", "small"};
    static const char *const keys[] = {"colour"};
    const lsi_stream_change changes[] = {
        {.kind = LSI_CHANGE_RETENTION_UP, .value = 48},
        {.kind = LSI_CHANGE_RETENTION_DOWN, .value = 24},
        {.kind = LSI_CHANGE_RETENTION_BYTES, .value = 1 << 20},
        {.kind = LSI_CHANGE_RECORD_BYTES_MAX, .value = 2 << 20},
        {.kind = LSI_CHANGE_RECOMPRESSION, .value = 1},
        {.kind = LSI_CHANGE_TAGS_ADD, .tags = &tag, .count = 1},
        {.kind = LSI_CHANGE_TAGS_REMOVE, .keys = keys, .count = 1},
    };
    const lsi_engine_ops *ops = stream->engine->ops;
    uint32_t count = 0;
    lsi_stream_info info;
    ls_status st = LS_OK;

    for (size_t i = 0; i < sizeof changes / sizeof *changes && st == LS_OK; i++)
        st = ops->update(stream, &changes[i]);
    if (st == LS_OK)
        st = ops->tags(stream, count_tag, &count);
    if (st == LS_OK)
        st = ops->info(stream, &info);
    if (st != LS_OK)
        return st;
    assert_int_equal(count, 1);
    assert_int_equal(info.retention_bytes, 1 << 20);
    lsi_stream_info_free(&info);
    return LS_OK;
}

static ls_status change_settings(walk *at, lsi_engine *engine)
{
    ls_status st = with_stream(engine, change_settings_of);

    (void)at;
    return st == LS_OK ? engine->ops->set_compression(engine, "orders", LS_COMPRESSION_ZSTD) : st;
}

static bool take_state(void *user, const lsi_state_entry *entry)
{
    *(uint64_t *)user = entry->version;
    return true;
}

static ls_status change_state_of(lsi_engine_stream *stream)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    uint64_t version = 0;
    ls_status st = ops->state_read(stream, (ls_bytes){"place", 5}, take_state, &version);

    if (st == LS_OK)
        st = write_state(stream, "place", "there");
    if (st == LS_OK)
        st = write_state(stream, "another", "value");
    if (st == LS_OK)
        st = ops->state_read(stream, (ls_bytes){"another", 7}, take_state, &version);
    assert_true(st != LS_OK || version != 0);
    return st;
}

static ls_status change_state(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, change_state_of);
}

/* A record into each stream and a value, as one. */
static ls_status step_by(lsi_engine_stream *stream, bool by_other)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    const uint32_t pick = 0;
    lsi_state_change change = {{"step", 4}, LSI_STATE_ANY, {"done", 4}, 0};
    lsi_engine_stream *other;
    uint32_t conflict;
    ls_status st = ops->stream_open(stream->engine, "other", &other);

    if (st != LS_OK)
        return st;
    lsi_step_put puts[] = {{.stream = stream, .shard = 1, .entries = &entry, .picks = &pick, .count = 1},
                           {.stream = other, .shard = 0, .entries = &entry, .picks = &pick, .count = 1}};
    st = ops->step(by_other ? other : stream, &change, 1, puts, 2, &conflict);
    ops->stream_close(other);
    return st;
}

static ls_status step_of(lsi_engine_stream *stream)
{
    return step_by(stream, false);
}

static ls_status step_of_other(lsi_engine_stream *stream)
{
    return step_by(stream, true);
}

/* What decided a step goes: those who have asked nobody yet are told before. */
static ls_status remove_decider(walk *at, lsi_engine *engine)
{
    ls_status st = unless(with_stream(engine, step_of_other), LS_ERR_NOT_FOUND);

    return st == LS_OK ? remove_stream(at, engine) : st;
}

/* A step into a shard that is split is not remembered for ever. */
static ls_status forget_of(lsi_engine_stream *stream)
{
    ls_status st = step_by(stream, false);

    if (st == LS_OK)
        st = split_one(stream);
    if (st == LS_OK)
        lsi_local_step_forget(lsi_local_stream_of(stream));
    return st;
}

static ls_status forget_steps(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, forget_of);
}

static ls_status do_step(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, step_of);
}

static ls_status look_at_shards_of(lsi_engine_stream *stream)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    lsi_shard_state state;
    uint64_t count = 0;
    ls_status st = ops->shard_state(stream, 1, &state);

    if (st == LS_OK)
        st = ops->count_from(stream, 1, state.oldest_seqno, &count);
    assert_true(st != LS_OK || count == RECORDS);
    if (st == LS_OK)
        st = ops->sync_shard(stream, 1);
    (void)ops->counts(stream, LSI_COUNTS_SHARD, 1);
    (void)ops->budget(stream, 1);
    (void)ops->written(stream, 1);
    return st;
}

static ls_status look_at_shards(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, look_at_shards_of);
}

static ls_status copy_store(walk *at, lsi_engine *engine)
{
    sim_files *other = sim_files_new();
    ls_status st = engine->ops->backup(engine, sim_files_table(other), "copy", NULL, NULL);

    (void)at;
    sim_files_free(other);
    return st;
}

static ls_status recompress_of(lsi_engine_stream *stream)
{
    uint64_t saved;

    return stream->engine->ops->recompress(stream, -1, &saved);
}

static ls_status recompress(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, recompress_of);
}

static ls_status maintain(walk *at, lsi_engine *engine)
{
    (void)at;
    return engine->ops->maintain(engine, -1);
}

/* Two days later all that was put is old, and the shard that was split goes. */
static ls_status maintain_later(walk *at, lsi_engine *engine)
{
    ls_status st;

    later_us += 48 * HOUR_US;
    st = maintain(at, engine);
    later_us += HOUR_US;
    return st == LS_OK ? maintain(at, engine) : st;
}

/* A day after it was told to go, the stream is gone; meanwhile it is there, and goes. */
static ls_status remove_slowly(walk *at, lsi_engine *engine)
{
    ls_status st;

    engine->stream_transition_ms = 1000;
    st = unless(engine->ops->remove_with_consumers(engine, "other"), LS_ERR_NOT_FOUND);
    if (st == LS_ERR_STATE) /* It goes already. */
        st = LS_OK;
    later_us += 24 * HOUR_US;
    return st == LS_OK ? maintain(at, engine) : st;
}

static ls_status scale_of(lsi_engine_stream *stream)
{
    lsi_stream_change on = {.kind = LSI_CHANGE_AUTO_SCALING, .auto_scaling = LSI_AUTO_SCALING_DEFAULT};
    const lsi_engine_ops *ops = stream->engine->ops;
    ls_status st = ops->update(stream, &on);

    for (int look = 0; look < 3 && st == LS_OK; look++) {
        later_us += HOUR_US;
        st = ops->maintain(stream->engine, -1);
    }
    return st;
}

/* Two shards that nobody puts into become one. */
static ls_status scale(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, scale_of);
}

/* The same number twice is one record. */
static ls_status put_numbered_of(lsi_engine_stream *stream)
{
    static const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    const ls_put_options options = {.producer = {1, 7}, .number = 1};
    const lsi_append batch = {.entries = &entry, .count = 1};
    const lsi_engine_ops *ops = stream->engine->ops;
    lsi_append_result result;
    lsi_appender *appender;
    ls_status st = ops->appender_open(stream, &appender);

    for (int i = 0; i < 2 && st == LS_OK; i++) {
        ls_put_result told;
        lsi_numbered numbered = {.options = &options, .told = &told};

        st = ops->append_numbered(appender, 1, &batch, &numbered, &result);
        if (st == LS_OK && result.end != 0)
            st = ops->commit(appender, 1, result.end, LS_DURABILITY_DEFAULT);
        if (st != LS_OK)
            ops->appender_close(appender);
        else if (i == 1)
            assert_int_equal(told.status, LS_ERR_EXISTS);
    }
    if (st == LS_OK)
        ops->appender_close(appender);
    return st;
}

static ls_status put_numbered(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, put_numbered_of);
}

static ls_status put_and_sync_of(lsi_engine_stream *stream)
{
    ls_status st = put_one(stream->engine, stream, 1, "data");

    return st == LS_OK ? stream->engine->ops->sync(stream->engine) : st;
}

static ls_status put_and_sync(walk *at, lsi_engine *engine)
{
    (void)at;
    return with_stream(engine, put_and_sync_of);
}

static const struct plan {
    const char *name;
    act *act;
    bool from_open;   /* opening may fail, too; and nobody knows what was synced */
    bool takes_other; /* "other" is gone afterwards */
    bool takes_all;   /* all that is old is gone afterwards */
    uint32_t adds;    /* so many records at most to "orders" */
    bool adds_both;   /* and as many to "other" */
    bool lazily;      /* in a store that syncs now and then */
} plans[] = {
    {.name = "opening", .act = only_open, .from_open = true},
    {.name = "creating", .act = make_stream},
    {.name = "removing", .act = remove_stream, .takes_other = true},
    {.name = "splitting", .act = split_shard},
    {.name = "merging", .act = merge_shards},
    {.name = "consumers", .act = use_consumers},
    {.name = "settings", .act = change_settings},
    {.name = "state", .act = change_state},
    {.name = "a step", .act = do_step, .adds = 1, .adds_both = true},
    {.name = "removing who decided", .act = remove_decider, .takes_other = true, .adds = 1},
    {.name = "forgetting steps", .act = forget_steps, .adds = 1, .adds_both = true},
    {.name = "numbered puts", .act = put_numbered, .adds = 1},
    {.name = "syncing", .act = put_and_sync, .adds = 1, .lazily = true},
    {.name = "scaling", .act = scale},
    {.name = "removing slowly", .act = remove_slowly, .takes_other = true, .takes_all = true},
    {.name = "looking", .act = look_at_shards},
    {.name = "copying", .act = copy_store},
    {.name = "recompressing", .act = recompress},
    {.name = "upkeep", .act = maintain, .from_open = true},
    {.name = "upkeep of what is old", .act = maintain_later, .takes_all = true},
};

/* ---- the walk ---- */

static ls_status open_for(walk *at, const struct plan *of, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    options.durability = of->lazily ? LS_DURABILITY_INTERVAL : LS_DURABILITY_DEFAULT;
    return lsi_local_open("store", &options, &at->env, out);
}

static uint32_t count_of(lsi_engine *engine, const char *name, uint32_t shard_count)
{
    lsi_engine_stream *stream = stream_of(engine, name);
    uint32_t count = 0;

    for (uint32_t shard = 0; shard < shard_count; shard++)
        count += count_records(engine, stream, shard);
    engine->ops->stream_close(stream);
    return count;
}

/* All damage that there may be is what a failed sync left in doubt, which a repair ends (E1). */
static ls_inspect_act note(const ls_finding *finding, void *user)
{
    if (finding->severity == LS_FINDING_DAMAGE && strstr(finding->what, "a sync") == NULL) {
        print_message("%s\n", finding->what);
        ++*(unsigned *)user;
    }
    return LS_INSPECT_GO_ON;
}

static bool is_damaged(const walk *at, bool repair)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    unsigned others = 0;
    lsi_inspection inspection = {.finding = note, .user = &others};

    assert_int_equal(lsi_local_inspect(&at->env, "store", &options, repair, &inspection), LS_OK);
    return others != 0 || (!repair && inspection.summary.damages != 0);
}

static bool has_state(lsi_engine *engine)
{
    lsi_engine_stream *stream = stream_of(engine, "orders");
    uint64_t version = 0;

    assert_int_equal(engine->ops->state_read(stream, (ls_bytes){"place", 5}, take_state, &version), LS_OK);
    engine->ops->stream_close(stream);
    return version != 0;
}

/* Who comes next: nothing is damaged, nothing missing, and the act can be done. */
static void judge(sim_files *sim, const struct plan *of, const char *what, uint64_t nth, bool in_doubt)
{
    lsi_engine *engine;
    ls_status st;
    walk at;

    begin_clocked(&at, sim);
    if ((in_doubt && is_damaged(&at, true)) || is_damaged(&at, false))
        fail_msg("%s: %s %llu fails, and there is damage", of->name, what, (unsigned long long)nth);
    st = open_for(&at, of, &engine);
    if (st != LS_OK)
        fail_msg("%s: %s %llu fails, and the store does not open: %s", of->name, what, (unsigned long long)nth,
                 ls_last_error_message());
    if (!of->takes_all) {
        uint32_t count = count_of(engine, "orders", 3);

        if (count < 2 * RECORDS || count > 2 * RECORDS + of->adds)
            fail_msg("%s: %s %llu fails, and there are %u records", of->name, what, (unsigned long long)nth, count);
    }
    assert_true(has_state(engine));
    if (!of->takes_all && !of->takes_other)
        assert_int_equal(count_of(engine, "other", 1),
                         of->adds_both ? count_of(engine, "orders", 3) - 2 * RECORDS + 1 : 1);
    st = of->act(&at, engine);
    if (st != LS_OK)
        fail_msg("%s: %s %llu fails, and it cannot be done: %s", of->name, what, (unsigned long long)nth,
                 ls_last_error_message());
    st = engine->ops->close(engine);
    assert_int_equal(st, LS_OK);
    assert_int_equal(at.memory.live, 0);
}

/* On a copy of the disk the `nth` call or allocation fails, and if `sticky` all after it; answers whether there is
 * one. */
static bool fails(sim_files *whole, const struct plan *of, uint64_t nth, int err, bool sticky)
{
    const char *what = err == ENOMEM ? "allocation" : "call";
    sim_files *sim = sim_clone(whole);
    uint64_t met;
    lsi_engine *engine = NULL;
    bool in_doubt = err != ENOMEM; /* The call may be a sync. */
    ls_status st;
    walk at;

    later_us = 0;
    begin_clocked(&at, sim);
    if (!of->from_open)
        assert_int_equal(open_for(&at, of, &engine), LS_OK);
    if (err == ENOMEM)
        sim_memory_fail(&at.memory, nth, sticky);
    else
        sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = err, .sticky = sticky});
    st = of->from_open ? open_for(&at, of, &engine) : LS_OK;
    if (st == LS_OK)
        st = of->act(&at, engine);
    met = err == ENOMEM ? at.memory.failed : sim_faults_met(sim);
    if (st != LS_OK && (ls_last_error_status() != st || ls_last_error_message()[0] == '\0'))
        fail_msg("%s: %s %llu fails, and is answered by %s, said to be %s", of->name, what, (unsigned long long)nth,
                 ls_status_name(st), ls_status_name(ls_last_error_status()));
    if (st != LS_OK && met == 0)
        fail_msg("%s: %s", of->name, ls_last_error_message());
    sim_memory_fail(&at.memory, 0, false);
    sim_faults_clear(sim);
    if (engine != NULL) {
        ls_status closed = engine->ops->close(engine);

        if (closed != LS_OK && !in_doubt)
            fail_msg("%s: %s %llu fails, and closing: %s", of->name, what, (unsigned long long)nth,
                     ls_last_error_message());
    }
    if (at.memory.live != 0)
        fail_msg("%s: %s %llu leaks", of->name, what, (unsigned long long)nth);
    if (sim->opens != NULL)
        fail_msg("%s: %s %llu fails, and %s stays open", of->name, what, (unsigned long long)nth, sim->opens->name);
    if (met != 0)
        judge(sim, of, what, nth, in_doubt);
    sim_files_free(sim);
    return met != 0;
}

static void walk_errors(const int *errors, size_t count, bool sticky)
{
    sim_files *whole = new_store(), *later_boot = sim_clone(whole);
    lsi_root root;
    walk at;

    begin(&at, later_boot);
    assert_int_equal(at.env.files->root_open(at.env.files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(root.files->unlink(&root, "control"), 0);
    root.files->root_close(&root);
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        for (size_t j = 0; j < count; j++) {
            uint64_t nth = 1;

            while (fails(plans[i].from_open ? later_boot : whole, &plans[i], nth, errors[j], sticky))
                nth += SIM_STRIDE;
            assert_true(nth > 1);
        }
    sim_files_free(whole);
    sim_files_free(later_boot);
}

static void every_allocation_may_fail(void **state)
{
    static const int errors[] = {ENOMEM};

    (void)state;
    walk_errors(errors, 1, false);
}

/* EMFILE and EACCES open nothing, ENOSPC writes nothing, and of a disk that fails all is to be told (E1-E4). */
static const int call_errors[] = {EIO, EMFILE, ENOSPC, EACCES};

static void every_call_may_fail(void **state)
{
    (void)state;
    walk_errors(call_errors, 4, false);
}

static void all_may_fail_from_any_call_on(void **state)
{
    (void)state;
    walk_errors(call_errors, 2, true);
    walk_errors((const int[]){ENOMEM}, 1, true);
}

/* ---- what goes while it is copied ---- */

typedef struct meanwhile {
    lsi_engine *beside;
    bool is_over;
} meanwhile;

/* Two days pass, and another one removes what is old by then. */
static bool let_expire(void *user, uint64_t done, uint64_t total)
{
    meanwhile *of = user;

    if (!of->is_over && done > 0 && done < total) {
        of->is_over = true;
        later_us += 48 * HOUR_US;
        assert_int_equal(of->beside->ops->maintain(of->beside, -1), LS_OK);
    }
    return true;
}

static void assert_copied(sim_files *there)
{
    lsi_engine *engine;
    lsi_engine_stream *stream;
    lsi_stream_info info;
    walk at;

    begin_clocked(&at, there);
    assert_false(is_damaged(&at, false));
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    stream = stream_of(engine, "other");
    assert_int_equal(engine->ops->info(stream, &info), LS_OK);
    assert_int_equal(info.shard_count, 2); /* The one that was split is gone. */
    lsi_stream_info_free(&info);
    engine->ops->stream_close(stream);
    close_store(engine);
    assert_int_equal(at.memory.live, 0);
}

/* Shards that expire while a copy is made are left out of it, also when memory is short. */
static void what_expires_while_it_is_copied_is_left_out(void **state)
{
    lsi_reshard_step split = {.shard = 0, .adjacent = LSI_NO_SHARD};
    sim_files *whole = new_store();
    lsi_engine_stream *stream;
    lsi_engine *engine;
    uint64_t met = 1;
    uint32_t child;
    walk at;

    (void)state;
    begin_clocked(&at, whole);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    stream = stream_of(engine, "other");
    split.at = lsi_hash_range_middle(lsi_hash_range_of(0, 1));
    assert_int_equal(engine->ops->reshard(stream, &split, 1, false, &child), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    for (uint64_t nth = 1; met != 0; nth += SIM_STRIDE) {
        sim_files *sim = sim_clone(whole), *there = sim_files_new();
        meanwhile of = {0};
        walk other;
        ls_status st;

        later_us = 0;
        begin_clocked(&at, sim);
        begin_clocked(&other, sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        assert_int_equal(open_walk(&other, &of.beside), LS_OK);
        sim_memory_fail(&at.memory, nth, false);
        st = engine->ops->backup(engine, sim_files_table(there), "store", let_expire, &of);
        met = at.memory.failed;
        sim_memory_fail(&at.memory, 0, false);
        if (st != LS_OK) {
            assert_int_equal(st, LS_ERR_NO_MEMORY);
            assert_true(met != 0);
            st = engine->ops->backup(engine, sim_files_table(there), "store", let_expire, &of);
        }
        assert_int_equal(st, LS_OK);
        assert_true(of.is_over);
        close_store(of.beside);
        close_store(engine);
        assert_int_equal(at.memory.live + other.memory.live, 0);
        assert_copied(there);
        sim_files_free(sim);
        sim_files_free(there);
    }
    sim_files_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(all_may_fail_from_any_call_on),
        cmocka_unit_test(what_expires_while_it_is_copied_is_left_out),
    };

    return cmocka_run_group_tests_name("what a store does while calls fail", tests, NULL, NULL);
}
