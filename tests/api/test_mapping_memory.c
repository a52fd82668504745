/* Mappings when memory is short: every allocation of every call of mapping.h fails once, also of those that a handler
 * makes and of a run itself. A call answers NO_MEMORY or did what it promises, nothing leaks, and the same handles go
 * on; a run waits until there is memory again, or ends with NO_MEMORY, and no record is passed over. */
#include "api/support.h"
#include "support/sim_memory.h"

static const ls_position horizon = {.kind = LS_TRIM_HORIZON}, latest = {.kind = LS_LATEST};

#ifdef LSI_HAVE_YAJL
#define FILTERS 1u
#else /* Without there are no filters, and no documents. */
#define FILTERS 0u
#endif
static bool gives_up; /* The handler fails, and what it fails on is given up at once. */
static const char *const filters[] = {"{\"partitionKey\": [\"k\"]}"};

static void *resize(void *user, void *old, size_t bytes)
{
    lsi_memory memory = sim_memory_table(user);

    return memory.resize(memory.user, old, bytes);
}

static ls_mapping_options settings(void)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    options.flags = LS_MAPPING_REPORT_FAILURES;
    options.tumbling_window_s = 900;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    options.filter_count = FILTERS;
    options.filters = FILTERS > 0 ? filters : NULL;
    options.failure_stream = "dead";
    options.consumer = "fast";
    options.retries_max = gives_up ? LS_MAPPING_NO_RETRIES : 0;
    return options;
}

/* OK, or EXISTS: made by a call that was cut short behind it. */
static ls_status made(ls_status st)
{
    return st == LS_ERR_EXISTS ? LS_OK : st;
}

static ls_status open_stream(ls_store *store, ls_stream **out)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_status st = made(ls_stream_create(store, "dead", NULL));

    if (st == LS_OK)
        st = made(ls_stream_create(store, "orders", NULL));
    if (st == LS_OK)
        st = ls_stream_open(store, "orders", out);
    return st == LS_OK ? made(ls_consumer_register(*out, "fast", &info)) : st;
}

/* All that keeps and shows mappings; the last call takes the mapping away. */
static ls_status keep_and_show(ls_store *store)
{
    ls_mapping_description *description = NULL;
    ls_mapping_options options = settings();
    ls_mapping_list *list = NULL;
    ls_mapping *mapping = NULL;
    ls_stream *stream = NULL;
    ls_status st = open_stream(store, &stream);

    if (st == LS_OK)
        st = made(ls_mapping_create(stream, "m", &latest, &options));
    if (st == LS_OK)
        st = ls_mapping_update(stream, "m", &options);
    if (st == LS_OK)
        st = ls_mapping_pause(stream, "m");
    if (st == LS_OK)
        st = ls_mapping_resume(stream, "m");
    if (st == LS_OK)
        st = ls_mapping_seek(stream, "m", &latest);
    if (st == LS_OK)
        st = ls_mapping_describe(stream, "m", &description);
    if (st == LS_OK)
        st = ls_stream_list_mappings(stream, NULL, 0, &list);
    if (st == LS_OK)
        st = ls_mapping_open(stream, "m", &mapping);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    ls_mapping_list_free(list);
    ls_mapping_description_free(description);
    if (st == LS_OK) {
        st = ls_mapping_delete(stream, "m");
        if (st == LS_ERR_NO_MEMORY) { /* It is gone, or not; its rows may be left. */
            ls_status again = ls_mapping_delete(stream, "m");

            assert_true(again == LS_OK || again == LS_ERR_NOT_FOUND);
        }
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return st;
}

typedef struct seen {
    uint32_t records;
    ls_status first; /* of the calls of a handler */
} seen;

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_answer answer = LS_HANDLER_DONE;
    seen *of = user;
    ls_status st = LS_OK;

    if (gives_up)
        return LS_HANDLER_RETRY;
#ifdef LSI_HAVE_YAJL
    ls_bytes event;

    st = ls_handler_event_json(context, &event);
    if (st == LS_OK)
        st = ls_handler_answer_json(context, text("{\"state\": {\"n\": 1}}"), &answer);
#endif
    if (st == LS_OK)
        st = ls_handler_set_state(context, text("{\"n\": 2}"));
    if (of->first == LS_OK)
        of->first = st;
    if (st != LS_OK)
        return LS_HANDLER_RETRY;
    of->records += (uint32_t)ls_batch_count(batch);
    return answer;
}

/* One mapping, whose every run handles, or gives up, one record more. */
static uint32_t put_count, handled_count;
static ls_status first_of_handlers;

static ls_status run_it(ls_stream *stream, seen *of)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;
    ls_status st = ls_mapping_open(stream, "m", &mapping);

    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    if (st == LS_OK)
        st = ls_mapping_run(mapping, &how, handle, of);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    return st;
}

typedef ls_status walked_call(ls_store *store);

/* Fails the 1st, 2nd, ... allocation of `call` until it is done untouched. */
static void walk(fixture *fx, const char *name, walked_call *call, int failures_min, void (*check)(ls_store *store))
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_memory memory = SIM_MEMORY_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    bool is_untouched = false;
    int failures = 0;

    options.resize = resize;
    options.resize_user = &memory;
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, name), &options, &store), LS_OK);
    assert_int_equal(open_stream(store, &stream), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    for (uint64_t nth = 1; !is_untouched; nth++) {
        uint64_t failed = memory.failed;
        ls_status st;

        sim_memory_fail(&memory, nth, false);
        st = call(store);
        is_untouched = memory.failed == failed;
        sim_memory_fail(&memory, 0, false);
        if (st != LS_OK)
            assert_int_equal(st, LS_ERR_NO_MEMORY);
        failures += st != LS_OK;
        if (st != LS_OK)
            assert_int_equal(call(store), LS_OK);
    }
    assert_true(failures >= failures_min);
    if (check != NULL)
        check(store);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(memory.live, 0);
}

static void every_allocation_of_a_kept_mapping_may_fail(void **state)
{
    gives_up = false;
    walk(*state, "kept", keep_and_show, 20, NULL);
}

static ls_status put_and_run(ls_store *store)
{
    ls_mapping_options options = settings();
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;
    seen of = {.first = LS_OK};
    ls_status st = open_stream(store, &stream);

    if (st == LS_OK)
        st = made(ls_mapping_create(stream, "m", &horizon, &options));
    if (st == LS_OK)
        st = ls_producer_open(stream, NULL, &producer);
    if (st == LS_OK)
        st = ls_producer_put(producer, text("k"), text("d"), NULL, NULL);
    put_count += st == LS_OK;
    if (st == LS_OK)
        st = run_it(stream, &of);
    handled_count += of.records;
    if (of.first != LS_OK)
        first_of_handlers = of.first;
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return st;
}

static void every_allocation_of_a_run_may_fail(void **state)
{
    put_count = handled_count = 0;
    gives_up = false;
    first_of_handlers = LS_OK;
    walk(*state, "run", put_and_run, 10, NULL);
    assert_true(put_count > 0);
    assert_true(handled_count >= put_count); /* At least once: what memory took back comes again. */
    assert_int_equal(first_of_handlers, LS_ERR_NO_MEMORY); /* Handlers' own calls were walked through, too. */
}

/* Of how many records a report tells. */
static uint32_t records_of(ls_bytes report)
{
    static const char name[] = "\"batchSize\":";
    const char *found = memmem(report.data, report.size, name, sizeof name - 1);

    assert_non_null(found);
    return (uint32_t)strtoul(found + sizeof name - 1, NULL, 10);
}

/* Each was told of; again only by the run after one that had no memory to store how far it was. */
static void check_reports(ls_store *store)
{
    const ls_batch *batch;
    ls_iterator *reader = NULL;
    ls_stream *stream = NULL;
    uint32_t count = 0;

    assert_int_equal(ls_stream_open(store, "dead", &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &reader), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(reader, NULL, &batch), LS_OK);
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            count += records_of(ls_batch_at(batch, i)->data);
    } while (ls_batch_count(batch) > 0);
    ls_iterator_close(reader);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_true(put_count > 0);
    assert_true(count >= put_count);
}

static void every_allocation_of_giving_up_may_fail(void **state)
{
    put_count = handled_count = 0;
    gives_up = true;
    walk(*state, "giving up", put_and_run, 10, check_reports);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_allocation_of_a_kept_mapping_may_fail),
        TEST(every_allocation_of_a_run_may_fail),
        TEST(every_allocation_of_giving_up_may_fail),
    };

    run_everywhere("mappings without memory", tests);
}
