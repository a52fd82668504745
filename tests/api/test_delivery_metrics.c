/* delivery.h and metrics.h: what deliveries count, and what of them is told while they run. */
#include "api/delivery_acting.h"
#include "api/metrics_support.h"

static double told(const exposition *read, const char *what, const char *result)
{
    char name[64], labels[128];

    snprintf(name, sizeof name, "libstream_delivery_%s", what);
    snprintf(labels, sizeof labels, "delivery=\"" NAME "\",%s%s%sstream=\"" STREAM "\"",
             result != NULL ? "result=\"" : "", result != NULL ? result : "", result != NULL ? "\"," : "");
    return exposition_value(read, name, labels);
}

/* The records of the source are those that were delivered, failed and dropped. */
static void what_becomes_of_records_and_objects_is_counted(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {0};
    exposition *read;

    options.flags |= LS_DELIVERY_TRANSFORM | LS_DELIVERY_BACKUP;
    make_delivery(stream, &options);
    put_text(stream, "k", "keep");
    put_text(stream, "k", "drop");
    put_text(stream, "k", "fail");
    put_text(stream, "k", "keep");
    (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    read = exposition_of(fx->store);
    assert_true(told(read, "freshness_seconds", NULL) >= 0.02); /* Nobody has run it. */
    exposition_free(read);
    of->refuse = 1;
    run_acting(stream, of, &how);
    read = exposition_of(fx->store);
    assert_true(told(read, "records_total", "delivered") == 2);
    assert_true(told(read, "records_total", "dropped") == 1);
    assert_true(told(read, "records_total", "failed") == 1);
    assert_true(told(read, "records_total", "backup") == 4);
    assert_true(told(read, "objects_total", "delivered") == 1);
    assert_true(told(read, "objects_total", "failed") == 1);
    assert_true(told(read, "objects_total", "backup") == 1);
    assert_true(told(read, "bytes_total", "delivered") == 10);
    assert_true(told(read, "bytes_total", "backup") == 16);
    assert_true(told(read, "billed_bytes_total", NULL) == 4 * 5120); /* The backup is not billed. */
    assert_true(told(read, "retries_total", NULL) == 1);
    assert_true(told(read, "freshness_seconds", NULL) == 0);
    exposition_free(read);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct looking_around {
    ls_store *store;
    uint32_t calls;
    double undelivered_s; /* in the last call */
} looking_around;

/* Fails twice: by its answer, and by its time. Then keeps, drops, fails and forgets one each. */
static ls_transform_answer look_around(ls_transform *batch, void *user)
{
    looking_around *of = user;

    assert_int_equal(ls_transform_count(batch), 4);
    assert_int_equal(ls_transform_keep(batch, 0), LS_OK);
    assert_int_equal(ls_transform_drop(batch, 1), LS_OK);
    assert_int_equal(ls_transform_fail(batch, 2, NULL), LS_OK);
    if (++of->calls == 1)
        return LS_TRANSFORM_RETRY;
    while (of->calls == 2 && ls_transform_is_late(batch) == 0)
        (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    of->undelivered_s = sum_of_metric(of->store, "DeliveryToS3.DataFreshness");
    return LS_TRANSFORM_DONE;
}

/* Every name of Amazon Data Firehose's metrics that there is something to tell of. */
static void a_delivery_is_told_of_by_the_names_of_the_service(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    looking_around around = {.store = fx->store};
    ls_delivery_run_options run = into(of);
    const struct { const char *name; double value; } expected[] = {
        {"DataReadFromKinesisStream.Records", 4}, {"DataReadFromKinesisStream.Bytes", 20 + 4},
        {"ThrottledGetRecords", 0}, {"KinesisMillisBehindLatest", 0}, {"ExecuteProcessing.Duration", 3},
        {"ExecuteProcessing.Success", 1}, {"SucceedProcessing.Records", 2}, {"SucceedProcessing.Bytes", 10},
        {"DeliveryToS3.Bytes", 6}, {"DeliveryToS3.Records", 1}, {"DeliveryToS3.ObjectCount", 1},
        {"DeliveryToS3.Success", 1}, {"DeliveryToS3.DataFreshness", 0}, {"BackupToS3.Bytes", 20},
        {"BackupToS3.Records", 4}, {"BackupToS3.Success", 1}, {"BackupToS3.DataFreshness", 0},
    };
    exposition *read;

    options.flags |= LS_DELIVERY_TRANSFORM | LS_DELIVERY_BACKUP;
    make_delivery(stream, &options);
    assert_true(sum_of_metric(fx->store, "ExecuteProcessing.Success") == 0);
    put_text(stream, "k", "keeps");
    put_text(stream, "k", "drops");
    put_text(stream, "k", "fails");
    put_text(stream, "k", "leave");
    (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_true(sum_of_metric(fx->store, "KinesisMillisBehindLatest") >= 20); /* Nobody has run it. */
    assert_true(sum_of_metric(fx->store, "BackupToS3.DataFreshness") >= 0.02);
    run.transform = look_around;
    run.transform_user = &around;
    run.transform_timeout_ms = 200;
    of->refuse = 1;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(around.calls, 3);
    assert_true(around.undelivered_s >= 0.02);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        double value = sum_of_metric(fx->store, expected[i].name);

        if (value != expected[i].value)
            fail_msg("%s is %g, not %g", expected[i].name, value, expected[i].value);
    }
    read = exposition_of(fx->store);
    assert_true(told(read, "transforms_total", "error") == 1);
    assert_true(told(read, "transforms_total", "timeout") == 1);
    assert_true(exposition_sum(read, "libstream_delivery_puts_total", "result=\"error\"", NULL) == 1);
    exposition_free(read);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What a run has read and not delivered is behind in one way and not in the other. */
static void what_is_not_read_is_told_while_a_run_lives(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options how = into(of);
    running run;
    double unread_ms = 1;

    options.interval_ms = 600000;
    make_delivery(stream, &options);
    put_text(stream, "k", "first");
    begin_run(&run, stream, &how);
    for (int i = 0; i < 3000 && unread_ms != 0; i++) {
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
        unread_ms = sum_of_metric(fx->store, "KinesisMillisBehindLatest");
    }
    assert_true(unread_ms == 0); /* It is read, and waits for more: */
    assert_true(sum_of_metric(fx->store, "DeliveryToS3.DataFreshness") > 0);
    assert_int_equal(end_run(&run), LS_OK);
    assert_true(sum_of_metric(fx->store, "KinesisMillisBehindLatest") > 0); /* What was read is given up. */
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Each record is rounded up by itself, one without a byte, too; one that is split is billed as it was put. */
static void records_are_billed_in_units(void **state)
{
    static const size_t sizes[] = {0, 1, 5119, 5120, 5121, 20000};
    static char data[20001];
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_callback();

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(data, 'x', sizes[i]);
        for (size_t k = 100; k < sizes[i]; k += 100)
            data[k] = ';';
        data[sizes[i]] = '\0';
        put_text(stream, "k", data);
    }
    for (int splits = 0; splits < 2; splits++) { /* Whole, they go into an object as a run. */
        taker *of = make_taker();
        ls_delivery_run_options run = into(of);
        exposition *read;

        options.split = splits != 0 ? ";" : NULL;
        make_delivery(stream, &options);
        assert_int_equal(run_with(stream, &run), LS_OK);
        read = exposition_of(fx->store);
        assert_true(told(read, "billed_bytes_total", NULL) == (1 + 1 + 1 + 1 + 2 + 4) * 5120);
        exposition_free(read);
        free_taker(of);
        assert_int_equal(ls_delivery_delete(stream, NAME), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool has_partitions(fixture *fx, double wanted)
{
    for (int i = 0; i < 2000; i++) {
        exposition *read = exposition_of(fx->store);
        double now = told(read, "partitions", NULL);

        exposition_free(read);
        if (now == wanted)
            return true;
        (void)nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return false;
}

/* As long as a run fills them; and so many records as found no place. */
static void partitions_that_are_filled_are_told(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options options_of_run = into(of);
    running run;
    exposition *read;

    partition_options(&options, the_keys, the_queries);
    options.partitions_max = 2;
    make_delivery(stream, &options);
    assert_true(has_partitions(fx, 0));
    begin_run(&run, stream, &options_of_run);
    for (uint32_t i = 0; i < 12; i++) {
        char key[16], data[64];

        snprintf(key, sizeof key, "key-%u", i / 4); /* of both shards */
        snprintf(data, sizeof data, "{\"customer\":{\"id\":\"%u\"}}", i % 4);
        put_text(stream, key, data);
    }
    assert_true(has_partitions(fx, 4));
    assert_int_equal(end_run(&run), LS_OK);
    assert_true(has_partitions(fx, 0));
    assert_int_equal(run_with(stream, &options_of_run), LS_OK);
    assert_true(has_partitions(fx, 0));
    read = exposition_of(fx->store);
    assert_true(told(read, "partitions_exceeded_records_total", NULL) == 6);
    assert_true(told(read, "records_total", "failed") == 6);
    assert_true(told(read, "records_total", "delivered") == 6);
    exposition_free(read);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_becomes_of_records_and_objects_is_counted),
        TEST(a_delivery_is_told_of_by_the_names_of_the_service),
        TEST(what_is_not_read_is_told_while_a_run_lives),
        TEST(records_are_billed_in_units),
        TEST(partitions_that_are_filled_are_told),
    };

    run_everywhere("metrics of deliveries", tests);
}
