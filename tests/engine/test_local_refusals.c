/* What each call of the local engine answers where it may not work: in a fork child (P9), in a store that was opened
 * for reading, and of a stream that somebody else has removed. Nothing is changed then, and the last error says why. */
#include "engine/local_store.h"

#include <sys/wait.h>

typedef struct handles {
    lsi_engine *engine;
    const lsi_engine_ops *ops;
    lsi_engine_stream *stream; /* "orders", with a record, state and the consumer */
    lsi_appender *appender;
    lsi_consumer consumer;
    lsi_hold held; /* of it */
} handles;

static bool no_more_tag(void *user, const ls_tag *tag)
{
    (void)user;
    return tag == NULL;
}

static bool no_more_consumer(void *user, const lsi_consumer *consumer)
{
    (void)user;
    return consumer == NULL;
}

static bool no_more_state(void *user, const lsi_state_entry *entry)
{
    (void)user;
    return entry == NULL;
}

static bool no_more_name(void *user, const char *name)
{
    (void)user;
    return name == NULL;
}

/* ---- calls ---- */

static ls_status call_create(handles *at)
{
    return create(at->engine, "new", 1);
}

static ls_status call_remove(handles *at)
{
    return at->ops->remove(at->engine, "orders");
}

static ls_status call_remove_with_consumers(handles *at)
{
    return at->ops->remove_with_consumers(at->engine, "orders");
}

static ls_status call_start_encryption(handles *at)
{
    return at->ops->start_encryption(at->engine, "orders", "a-key");
}

static ls_status call_stop_encryption(handles *at)
{
    return at->ops->stop_encryption(at->engine, "orders");
}

static ls_status call_set_compression(handles *at)
{
    return at->ops->set_compression(at->engine, "orders", LS_COMPRESSION_ZSTD);
}

static ls_status call_list(handles *at)
{
    return at->ops->list(at->engine, "", no_more_name, NULL);
}

static ls_status call_sync(handles *at)
{
    return at->ops->sync(at->engine);
}

static ls_status call_stream_open(handles *at)
{
    lsi_engine_stream *stream;
    ls_status st = at->ops->stream_open(at->engine, "orders", &stream);

    if (st == LS_OK)
        at->ops->stream_close(stream);
    return st;
}

static ls_status call_info(handles *at)
{
    lsi_stream_info info;
    ls_status st = at->ops->info(at->stream, &info);

    if (st == LS_OK)
        lsi_stream_info_free(&info);
    return st;
}

static ls_status call_update(handles *at)
{
    const lsi_stream_change change = {.kind = LSI_CHANGE_RETENTION_UP, .value = 48};

    return at->ops->update(at->stream, &change);
}

static ls_status call_tags(handles *at)
{
    return at->ops->tags(at->stream, no_more_tag, NULL);
}

static ls_status call_shard_state(handles *at)
{
    lsi_shard_state state;

    return at->ops->shard_state(at->stream, 0, &state);
}

static ls_status call_count_from(handles *at)
{
    uint64_t count;

    return at->ops->count_from(at->stream, 0, 1, &count);
}

static ls_status call_reset_shard(handles *at)
{
    return at->ops->reset_shard(at->stream, 0);
}

static ls_status call_recompress(handles *at)
{
    uint64_t saved;

    return at->ops->recompress(at->stream, -1, &saved);
}

static ls_status call_reshard(handles *at)
{
    lsi_reshard_step split = {.shard = 0, .adjacent = LSI_NO_SHARD};
    uint32_t child;

    split.at = lsi_hash_range_middle(lsi_hash_range_of(0, 1));
    return at->ops->reshard(at->stream, &split, 1, false, &child);
}

static ls_status call_register_consumer(handles *at)
{
    lsi_consumer made;

    return at->ops->register_consumer(at->stream, "another", &made);
}

static ls_status call_deregister_consumer(handles *at)
{
    return at->ops->deregister_consumer(at->stream, "fan");
}

static ls_status call_consumers(handles *at)
{
    return at->ops->consumers(at->stream, no_more_consumer, NULL);
}

static ls_status call_hold(handles *at)
{
    lsi_hold hold;
    ls_status st = at->ops->hold(at->stream, &at->consumer, 0, false, &hold);

    if (st == LS_OK)
        at->ops->hold_end(at->stream, &hold);
    return st;
}

static ls_status call_hold_check(handles *at)
{
    return at->ops->hold_check(at->stream, &at->consumer, 0, &at->held);
}

static ls_status call_state_read(handles *at)
{
    return at->ops->state_read(at->stream, (ls_bytes){"k", 1}, no_more_state, NULL);
}

static ls_status call_state_write(handles *at)
{
    lsi_state_change change = {{"key", 3}, LSI_STATE_ANY, {"value", 5}, 0};
    uint32_t conflict;

    return at->ops->state_write(at->stream, &change, 1, &conflict);
}

static const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};

static ls_status call_step(handles *at)
{
    const uint32_t pick = 0;
    lsi_state_change change = {{"step", 4}, LSI_STATE_ANY, {"value", 5}, 0};
    lsi_step_put put = {.stream = at->stream, .shard = 0, .entries = &entry, .picks = &pick, .count = 1};
    uint32_t conflict;

    return at->ops->step(at->stream, &change, 1, &put, 1, &conflict);
}

static ls_status call_lease_words(handles *at)
{
    lsi_budget_word *words;

    return at->ops->lease_words(at->stream, 1, 0, &words);
}

static ls_status call_sync_shard(handles *at)
{
    return at->ops->sync_shard(at->stream, 0);
}

static ls_status call_appender_open(handles *at)
{
    lsi_appender *appender;
    ls_status st = at->ops->appender_open(at->stream, &appender);

    if (st == LS_OK)
        at->ops->appender_close(appender);
    return st;
}

static ls_status call_append(handles *at)
{
    const lsi_append batch = {&entry, NULL, 1, false};
    lsi_append_result result;

    return at->ops->append(at->appender, 0, &batch, &result);
}

static ls_status call_append_numbered(handles *at)
{
    const lsi_append batch = {&entry, NULL, 1, false};
    const ls_put_options options = {.producer = {1, 2}, .number = 1};
    ls_put_result told;
    lsi_numbered numbered = {.options = &options, .told = &told};
    lsi_append_result result;

    return at->ops->append_numbered(at->appender, 0, &batch, &numbered, &result);
}

static ls_status call_reader_open(handles *at)
{
    lsi_reader *reader;
    ls_status st = at->ops->reader_open(at->stream, 0, 0, &reader);

    if (st == LS_OK)
        at->ops->reader_close(reader);
    return st;
}

static const struct call {
    const char *name;
    ls_status (*make)(handles *at);
    bool changes;    /* what a store for reading does not do */
    bool of_store;   /* and not of a stream that is open */
    bool of_other;   /* takes what a store for reading has not: an appender, another consumer's hold */
} calls[] = {
    {"create", call_create, true, true, false},
    {"remove", call_remove, true, true, false},
    {"remove_with_consumers", call_remove_with_consumers, true, true, false},
    {"start_encryption", call_start_encryption, true, true, false},
    {"stop_encryption", call_stop_encryption, true, true, false},
    {"set_compression", call_set_compression, true, true, false},
    {"list", call_list, false, true, false},
    {"sync", call_sync, true, true, false},
    {"stream_open", call_stream_open, false, true, false},
    {"info", call_info, false, false, false},
    {"update", call_update, true, false, false},
    {"tags", call_tags, false, false, false},
    {"shard_state", call_shard_state, false, false, false},
    {"count_from", call_count_from, false, false, false},
    {"reset_shard", call_reset_shard, true, false, false},
    {"recompress", call_recompress, true, false, false},
    {"reshard", call_reshard, true, false, false},
    {"register_consumer", call_register_consumer, true, false, false},
    {"deregister_consumer", call_deregister_consumer, true, false, false},
    {"consumers", call_consumers, false, false, false},
    {"hold", call_hold, false, false, false},
    {"hold_check", call_hold_check, false, false, true},
    {"state_read", call_state_read, false, false, false},
    {"state_write", call_state_write, true, false, false},
    {"step", call_step, true, false, false},
    {"lease_words", call_lease_words, false, false, false},
    {"sync_shard", call_sync_shard, false, false, false},
    {"appender_open", call_appender_open, false, false, false},
    {"append", call_append, true, false, true},
    {"append_numbered", call_append_numbered, true, false, true},
    {"reader_open", call_reader_open, false, false, false},
};
enum { CALLS = sizeof calls / sizeof *calls };

static lsi_engine *open_as(fixture *fx, uint32_t flags)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;

    options.flags = flags;
    options.durability = LS_DURABILITY_INTERVAL; /* In SYNC what readers see needs no sync. */
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    return engine;
}

static void begin(handles *at, fixture *fx)
{
    memset(at, 0, sizeof *at);
    at->engine = open_as(fx, 0);
    at->ops = at->engine->ops;
    assert_int_equal(create(at->engine, "orders", 1), LS_OK);
    assert_int_equal(at->ops->stream_open(at->engine, "orders", &at->stream), LS_OK);
    assert_int_equal(put_one(at->engine, at->stream, 0, "x"), LS_OK);
    assert_int_equal(at->ops->register_consumer(at->stream, "fan", &at->consumer), LS_OK);
    assert_int_equal(at->ops->hold(at->stream, &at->consumer, 0, false, &at->held), LS_OK);
    assert_int_equal(call_state_write(at), LS_OK);
    assert_int_equal(at->ops->appender_open(at->stream, &at->appender), LS_OK);
}

static void end(handles *at)
{
    if (at->held.budget != NULL)
        at->ops->hold_end(at->stream, &at->held);
    if (at->appender != NULL)
        at->ops->appender_close(at->appender);
    at->ops->stream_close(at->stream);
    close_store(at->engine);
}

/* Whether the call is refused so, and says it. */
static bool is_refused(const struct call *call, handles *at, ls_status wanted)
{
    ls_status st = call->make(at);

    if (st == wanted && ls_last_error_status() == wanted && ls_last_error_message()[0] != '\0')
        return true;
    fprintf(stderr, "%s: %s, not %s\n", call->name, ls_status_name(st), ls_status_name(wanted));
    return false;
}

static void every_call_of_a_child_is_refused(void **state)
{
    fixture *fx = *state;
    handles at;
    int status;

    begin(&at, fx);
    pid_t child = fork();
    if (child == 0) {
        const lsi_cut cut = {1, 1, 1};
        int wrong = 0;

        for (size_t i = 0; i < CALLS; i++)
            wrong += !is_refused(&calls[i], &at, LS_ERR_STATE);
        wrong += at.ops->budget(at.stream, 0) != NULL;
        wrong += at.ops->counts(at.stream, LSI_COUNTS_SHARD, 0) != NULL;
        at.ops->count_cut(at.stream, &at.consumer, &cut);
        at.ops->hold_end(at.stream, &at.held);
        at.ops->rouse(at.engine);
        _exit(wrong);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_records(at.engine, at.stream, 0), 1);
    end(&at);
}

static void a_store_for_reading_changes_nothing(void **state)
{
    fixture *fx = *state;
    handles at, reading = {0};
    int wrong = 0;

    begin(&at, fx);
    at.ops->hold_end(at.stream, &at.held); /* It is to be had. */
    at.held = (lsi_hold){0};
    reading.engine = open_as(fx, LS_STORE_READ_ONLY);
    reading.ops = reading.engine->ops;
    reading.consumer = at.consumer;
    assert_int_equal(reading.ops->stream_open(reading.engine, "orders", &reading.stream), LS_OK);
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].changes && !calls[i].of_other)
            wrong += !is_refused(&calls[i], &reading, LS_ERR_READ_ONLY);
        else if (!calls[i].changes && !calls[i].of_other && calls[i].make(&reading) != LS_OK)
            wrong += fprintf(stderr, "%s: %s\n", calls[i].name, ls_last_error_message()) > 0;
    assert_int_equal(wrong, 0);
    reading.ops->rouse(reading.engine);
    assert_int_equal(reading.ops->maintain(reading.engine, -1), LS_OK); /* of nothing */
    end(&reading);
    assert_int_equal(count_records(at.engine, at.stream, 0), 1);
    end(&at);
}

static void a_stream_that_is_gone_is_not_found(void **state)
{
    fixture *fx = *state;
    handles at;
    lsi_engine *other;
    int wrong = 0;

    begin(&at, fx);
    other = open_as(fx, 0);
    assert_int_equal(other->ops->remove_with_consumers(other, "orders"), LS_OK);
    close_store(other);
    for (size_t i = 0; i < CALLS; i++)
        if (!calls[i].of_store)
            wrong += !is_refused(&calls[i], &at, LS_ERR_NOT_FOUND);
    assert_int_equal(wrong, 0);
    assert_int_equal(at.ops->maintain(at.engine, -1), LS_OK);
    end(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_call_of_a_child_is_refused),
        CASE(a_store_for_reading_changes_nothing),
        CASE(a_stream_that_is_gone_is_not_found),
    };

    return cmocka_run_group_tests_name("the local engine: refusals", tests, NULL, NULL);
}
