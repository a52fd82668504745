/* metrics.h, of those who consume: what mappings count, and how far they and groups are behind, by a clock that the
 * test sets. */
#include "api/support.h"

#include <math.h>

#include "support/exposition.h"

#define BEGIN INT64_C(1700000000000000)
#define SHARD0 "shard=\"shardId-000000000000\",stream=\"s\""

static int64_t the_time;

static int64_t tell_time(void *user)
{
    return *(const int64_t *)user;
}

typedef struct gathered {
    char *text;
    size_t size;
} gathered;

static ls_status gather(const char *bytes, size_t size, void *user)
{
    gathered *to = user;

    to->text = realloc(to->text, to->size + size);
    memcpy(to->text + to->size, bytes, size);
    to->size += size;
    return LS_OK;
}

static exposition *exposition_of(ls_store *store)
{
    char why[EXPOSITION_WHY_BYTES];
    gathered to = {0};
    exposition *read;

    assert_int_equal(ls_metrics_write_text(store, gather, &to), LS_OK);
    read = exposition_read(to.text, to.size, why);
    if (read == NULL)
        fail_msg("%s", why);
    free(to.text);
    return read;
}

static double value_now(ls_store *store, const char *name, const char *labels)
{
    exposition *read = exposition_of(store);
    double value = exposition_value(read, name, labels);

    exposition_free(read);
    return value;
}

static double records_of(const exposition *read, const char *outcome)
{
    char labels[100];

    snprintf(labels, sizeof labels, "mapping=\"m\",outcome=\"%s\",stream=\"s\"", outcome);
    return exposition_value(read, "libstream_mapping_records_total", labels);
}

static double calls_of(const exposition *read, const char *result)
{
    char labels[100];

    snprintf(labels, sizeof labels, "mapping=\"m\",result=\"%s\",stream=\"s\"", result);
    return exposition_value(read, "libstream_mapping_invocations_total", labels);
}

static ls_stream *clocked_stream(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    assert_int_equal(ls_store_close(fx->store), LS_OK);
    the_time = BEGIN;
    options.clock = tell_time;
    options.clock_user = &the_time;
    assert_int_equal(ls_store_open(fx->location, &options, &fx->store), LS_OK);
    return make_stream(fx, "s", 1);
}

static void put_numbers(ls_stream *stream, uint32_t count)
{
    ls_producer *producer = NULL;
    char data[32];

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(data, sizeof data, "{\"n\":%u}", i);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static void run_mapping(ls_stream *stream, ls_batch_handler handler)
{
    ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;

    run.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &run, handler, NULL), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
}

static ls_handler_answer stop(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    (void)context;
    (void)user;
    return LS_HANDLER_STOP;
}

static ls_handler_answer finish(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    (void)context;
    (void)user;
    return LS_HANDLER_DONE;
}

/* Goal: lag is the age of the first record that is not finished, whoever looks and however long nothing was read. */
static void lag_grows_while_a_batch_is_not_finished(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    const char *labels = "consumer=\"m\"," SHARD0;
    fixture *fx = *state;
    ls_stream *stream = clocked_stream(fx);

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0); /* an empty stream */
    put_numbers(stream, 3);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0);
    the_time += 10000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 10);
    run_mapping(stream, stop);
    the_time += 20000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 30);
    run_mapping(stream, finish);
    the_time += 60000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0); /* the last record is old */
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_group_has_lag_and_owners(void **state)
{
    const char *labels = "consumer=\"g\"," SHARD0;
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = clocked_stream(fx);
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_group *group = NULL;

    options.worker = "w";
    put_numbers(stream, 1);
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    assert_int_equal(ls_group_next(group, 5000, &event), LS_OK);
    the_time += 5000000;
    assert_true(value_now(fx->store, "libstream_leases_owned", "consumer=\"g\",stream=\"s\",worker=\"w\"") == 1);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 5);
    assert_int_equal(ls_lease_checkpoint(event.lease, 1, UINT32_MAX), LS_OK);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_true(isnan(value_now(fx->store, "libstream_leases_owned", "consumer=\"g\",stream=\"s\",worker=\"w\"")));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#ifdef LSI_HAVE_YAJL
/* The batch that begins with 30 always fails. */
static ls_handler_answer fail_one(const ls_batch *batch, ls_handler_context *context, void *user)
{
    const ls_record *first = ls_batch_at(batch, 0);

    (void)context;
    (void)user;
    return first->data.size == 8 && memcmp(first->data.data, "{\"n\":30}", 8) == 0 ? LS_HANDLER_RETRY
                                                                                      : LS_HANDLER_DONE;
}

/* Goal: after filters, failures and retries each record is in one place: polled = filtered + invoked, once all is
 * caught up. */
static void a_mapping_counts_what_becomes_of_each_record(void **state)
{
    const char *const filters[] = {"{\"data\":{\"n\":[{\"numeric\":[\">=\",20]}]}}"};
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    exposition *read;

    options.records_max = 10;
    options.retries_max = 2;
    options.filters = filters;
    options.filter_count = 1;
    options.failure_stream = "failed";
    assert_int_equal(ls_stream_close(make_stream(fx, "failed", 1)), LS_OK);
    put_numbers(stream, 100);
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    run_mapping(stream, fail_one);

    read = exposition_of(fx->store);
    assert_true(records_of(read, "polled") == 100);
    assert_true(records_of(read, "filtered") == 20);
    assert_true(records_of(read, "invoked") == 80);
    assert_true(records_of(read, "failed") == 30);
    assert_true(records_of(read, "redelivered") == 20);
    assert_true(records_of(read, "dropped_retries") == 10);
    assert_true(records_of(read, "dropped_age") == 0);
    assert_true(records_of(read, "reported") == 10);
    assert_true(calls_of(read, "ok") == 7);
    assert_true(calls_of(read, "error") == 3);
    assert_true(calls_of(read, "partial") == 0);
    assert_true(calls_of(read, "timeout") == 0);
    assert_true(exposition_value(read, "libstream_mapping_handler_duration_seconds_count",
                                 "mapping=\"m\",stream=\"s\"") == 10);
    assert_true(exposition_value(read, "libstream_mapping_batch_records_sum", "mapping=\"m\",stream=\"s\"") == 100);
    assert_true(exposition_value(read, "libstream_get_records_total", SHARD0) == 100);
    exposition_free(read);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}
#endif

int main(void)
{
    const struct CMUnitTest consumers[] = {
        TEST(lag_grows_while_a_batch_is_not_finished),
        TEST(a_group_has_lag_and_owners),
#ifdef LSI_HAVE_YAJL
        TEST(a_mapping_counts_what_becomes_of_each_record),
#endif
    };

    run_everywhere("metrics of consumers", consumers);
}
