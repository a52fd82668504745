/* metrics.h, of those who consume: what mappings count, and how far they and groups are behind, by a clock that the
 * test sets. */
#include "api/metrics_support.h"

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>

#include "api/api.h"

#define BEGIN INT64_C(1700000000000000)
#define SHARD0 "shard=\"shardId-000000000000\",stream=\"s\""

static _Atomic int64_t the_time; /* read by threads of the store, too */

static int64_t tell_time(void *user)
{
    (void)user;
    return the_time;
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

/* All of its times, those of waits and limits too, are the test's. */
static ls_status open_clocked(fixture *fx, ls_store **out)
{
    lsi_env env;

    lsi_env_default(&env);
    env.clock = (lsi_clock){tell_time, tell_time, NULL, NULL};
    return lsi_store_open_env(fx->location, NULL, &env, out);
}

static void clock_store(fixture *fx)
{
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    the_time = BEGIN;
    assert_int_equal(open_clocked(fx, &fx->store), LS_OK);
}

static ls_stream *clocked_stream(fixture *fx)
{
    clock_store(fx);
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
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 0);
    put_numbers(stream, 3);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 3);
    the_time += 10000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 10);
    run_mapping(stream, stop);
    the_time += 20000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 30);
    run_mapping(stream, finish);
    the_time += 60000000;
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0); /* the last record is old */
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: lag counts records, not numbers, of which some are passed over where nobody knows which were given. Method: the
 * control file goes, in which that stands. */
static void lag_counts_no_numbers_that_were_never_given(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    const char *labels = "consumer=\"m\"," SHARD0;
    fixture *fx = *state;
    ls_producer *producer = NULL;
    ls_stream *stream;
    ls_record_id first, second;

    if (in_memory)
        skip();
    stream = make_stream(fx, "s", 1);
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    put_numbers(stream, 3);
    assert_true(value_now(fx->store, "libstream_log_segments", SHARD0) == 1);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("{\"n\":0}"), NULL, &first), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(unlink(temp_path(&fx->temp, "store/control")), 0);

    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("{\"n\":1}"), NULL, &second), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_true(second.seqno > first.seqno + 1);
    assert_true(value_now(fx->store, "libstream_log_segments", SHARD0) == 2);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 5);
    put_numbers(stream, 2);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 7);
    run_mapping(stream, finish);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static _Atomic bool is_shut;

static ls_handler_answer wait_with_one(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    (void)user;
    while (ls_batch_count(batch) == 1 && atomic_load(&is_shut))
        usleep(1000);
    return LS_HANDLER_DONE;
}

static void *run_with_one(void *user)
{
    return ls_mapping_run(user, NULL, wait_with_one, NULL) == LS_OK ? user : NULL;
}

static void await_lag(fixture *fx, double records)
{
    const char *labels = "consumer=\"m\"," SHARD0;

    for (int i = 0; i < 10000 && value_now(fx->store, "libstream_consumer_lag_records", labels) != records; i++)
        usleep(1000);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == records);
}

/* Goal: lag knows what is finished before it is stored. Method: a clock that stands, so that nothing is stored in time;
 * the last of three records is not finished at first. */
static void what_is_finished_is_not_behind_before_it_is_stored(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_lease_info lease = LS_LEASE_INFO_INIT;
    fixture *fx = *state;
    ls_stream *stream = clocked_stream(fx);
    ls_mapping *mapping = NULL;
    pthread_t thread;
    void *result;

    options.records_max = 2;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    put_numbers(stream, 3);
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    atomic_store(&is_shut, true);
    assert_int_equal(pthread_create(&thread, NULL, run_with_one, mapping), 0);
    await_lag(fx, 1);
    the_time += 500000;
    for (int finished = 0; finished < 2; finished++) {
        ls_lease_list *list = NULL;

        assert_int_equal(ls_stream_list_leases(stream, "m", &list), LS_OK);
        assert_int_equal(ls_lease_list_at(list, 0, &lease), LS_OK);
        assert_int_equal(lease.state, LS_LEASE_NOT_BEGUN);
        assert_int_equal(lease.millis_behind_latest, finished ? 0 : 500);
        ls_lease_list_free(list);
        atomic_store(&is_shut, false);
        await_lag(fx, 0);
    }
    ls_mapping_stop(mapping);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int (*real_open)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);

static int open_no_control(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    return strcmp(name, "control") == 0 && (flags & LSI_OPEN_WRITE) != 0 ? -EACCES
                                                                         : real_open(root, name, flags, out);
}

static ls_store *open_for_reading(const fixture *fx, bool has_control)
{
    static lsi_files files;
    ls_store_options reading = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    lsi_env env;

    lsi_env_default(&env);
    files = *env.files;
    real_open = files.open;
    files.open = open_no_control;
    if (!has_control)
        env.files = &files;
    reading.flags = LS_STORE_READ_ONLY;
    assert_int_equal(lsi_store_open_env(fx->location, &reading, &env, &store), LS_OK);
    return store;
}

/* Goal: a store that was opened for reading counts with the others where it may write the control file; where it may
 * not, what it counts stays with it, it sees no other's, and what is looked up is right as far as it is stored. */
static void a_store_for_reading_counts_with_the_others_or_for_itself(void **state)
{
    const char *lag = "libstream_consumer_lag_records", *labels = "consumer=\"m\"," SHARD0;
    const char *get = "libstream_get_records_total", *put = "libstream_put_records_total";
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    fixture *fx = *state;
    ls_store *others[2];
    ls_stream *stream;
    ls_mapping *mapping = NULL;
    pthread_t thread;
    void *result;

    if (in_memory)
        skip();
    stream = make_stream(fx, "s", 1);
    put_numbers(stream, 3);
    options.sync_interval_ms = 60000;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    for (int has_control = 0; has_control < 2; has_control++) {
        ls_store *other = others[has_control] = open_for_reading(fx, has_control);
        ls_iterator *iterator = NULL;
        ls_stream *read = NULL;
        const ls_batch *batch;

        assert_int_equal(ls_stream_open(other, "s", &read), LS_OK);
        assert_int_equal(ls_iterator_open(read, 0, NULL, NULL, &iterator), LS_OK);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 3);
        ls_iterator_close(iterator);
        assert_true(value_now(other, get, SHARD0) == 3);
        assert_true(value_now(fx->store, get, SHARD0) == (has_control ? 3 : 0));
        assert_true(value_now(other, put, SHARD0) == (has_control ? 3 : 0));
        assert_true(value_now(other, lag, labels) == 3);
        assert_true(value_now(other, "libstream_log_segments", SHARD0) == 1);
        assert_int_equal(ls_stream_close(read), LS_OK);
    }
    atomic_store(&is_shut, false);
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_with_one, mapping), 0);
    await_lag(fx, 0);
    assert_true(value_now(others[0], lag, labels) == 3);
    assert_true(value_now(others[1], lag, labels) == 0);
    ls_mapping_stop(mapping);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    assert_true(value_now(others[0], lag, labels) == 0);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(others[0]), LS_OK);
    assert_int_equal(ls_store_close(others[1]), LS_OK);
}

/* Goal: whoever makes a group again under its name counts on; a stream that is deleted takes what was counted along. */
static void counts_of_a_group_outlive_it_and_not_the_stream(void **state)
{
    const char *labels = "consumer=\"g\",stream=\"s\"";
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_group *group = NULL;

    for (int life = 1; life <= 3; life++) {
        if (life == 3) {
            assert_true(value_now(fx->store, "libstream_put_records_total", SHARD0) == 4);
            assert_int_equal(ls_stream_close(stream), LS_OK);
            assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
            stream = make_stream(fx, "s", 1);
        }
        put_numbers(stream, 2);
        assert_int_equal(ls_group_open(stream, "g", NULL, &group), LS_OK);
        assert_int_equal(ls_group_next(group, 5000, &event), LS_OK);
        assert_int_equal(event.kind, LS_GROUP_TAKEN);
        assert_true(value_now(fx->store, "libstream_leases_taken_total", labels) == (life == 3 ? 1 : life));
        assert_int_equal(ls_group_close(group), LS_OK);
        assert_int_equal(ls_group_delete(stream, "g"), LS_OK);
    }
    assert_true(value_now(fx->store, "libstream_put_records_total", SHARD0) == 2);
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
    put_numbers(stream, 2);
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    assert_int_equal(ls_group_next(group, 5000, &event), LS_OK);
    the_time += 5000000;
    assert_true(value_now(fx->store, "libstream_leases_owned", "consumer=\"g\",stream=\"s\",worker=\"w\"") == 1);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 5);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 2);
    assert_int_equal(ls_lease_checkpoint(event.lease, 2, 0), LS_OK); /* the second is not finished */
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 1);
    assert_int_equal(ls_lease_checkpoint(event.lease, 2, UINT32_MAX), LS_OK);
    assert_true(value_now(fx->store, "libstream_consumer_lag_seconds", labels) == 0);
    assert_true(value_now(fx->store, "libstream_consumer_lag_records", labels) == 0);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_true(isnan(value_now(fx->store, "libstream_leases_owned", "consumer=\"g\",stream=\"s\",worker=\"w\"")));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#define GROUP "consumer=\"g\""
#define FAILOVER_MS 1000u

static ls_group *open_worker(ls_stream *stream)
{
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group *group = NULL;

    options.failover_ms = FAILOVER_MS;
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    return group;
}

static ls_group_event event_of(ls_group *group)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;

    assert_int_equal(ls_group_next(group, 0, &event), LS_OK);
    return event;
}

static bool takes_a_lease_and_dies(void *user)
{
    fixture *fx = user;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_group_event event;

    if (open_clocked(fx, &store) != LS_OK || ls_stream_open(store, "s", &stream) != LS_OK)
        return false;
    event = event_of(open_worker(stream));
    return event.kind == LS_GROUP_TAKEN && ls_lease_checkpoint(event.lease, 1, UINT32_MAX) == LS_OK;
}

/* Goal: what becomes of leases and of checkpoints is counted, of all workers, those that are gone too. Method: one
 * dies, one stops and is replaced. */
static void leases_and_checkpoints_are_counted(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = clocked_stream(fx);
    ls_group *slow, *quick;
    ls_group_event had, event;
    exposition *read;
    double died = in_memory ? 0 : 1;

    put_numbers(stream, 2);
    if (!in_memory)
        in_fork_child(takes_a_lease_and_dies, fx);
    slow = open_worker(stream);
    had = event_of(slow);
    assert_int_equal(had.kind, LS_GROUP_TAKEN);
    assert_int_equal(ls_lease_checkpoint(had.lease, 1, UINT32_MAX), LS_OK);
    assert_int_equal(ls_lease_checkpoint(had.lease, 3, UINT32_MAX), LS_ERR_INVALID_ARGUMENT);
    quick = open_worker(stream);
    (void)event_of(quick);
    the_time += 2 * FAILOVER_MS * 1000;
    event = event_of(quick);
    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    assert_int_equal(ls_lease_checkpoint(had.lease, 2, UINT32_MAX), LS_ERR_LEASE_LOST);
    assert_int_equal(event_of(slow).kind, LS_GROUP_LOST);
    assert_int_equal(ls_lease_checkpoint(had.lease, 2, UINT32_MAX), LS_ERR_LEASE_LOST);

    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "libstream_leases_taken_total", GROUP ",stream=\"s\"") == died + 2);
    assert_true(exposition_value(read, "libstream_leases_lost_total", GROUP ",stream=\"s\"") == 1);
    assert_true(exposition_value(read, "libstream_checkpoint_total", GROUP ",result=\"ok\",stream=\"s\"") == died + 1);
    assert_true(exposition_value(read, "libstream_checkpoint_total", GROUP ",result=\"lost\",stream=\"s\"") == 2);
    assert_true(exposition_value(read, "libstream_checkpoint_total", GROUP ",result=\"error\",stream=\"s\"") == 1);
    exposition_free(read);
    assert_int_equal(ls_lease_close(had.lease), LS_OK);
    assert_int_equal(ls_lease_close(event.lease), LS_OK);
    assert_int_equal(ls_group_close(slow), LS_OK);
    assert_int_equal(ls_group_close(quick), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int32_t time_in_data(const ls_record *record, int64_t *time_ms, void *user)
{
    char digits[32] = "";

    (void)user;
    memcpy(digits, record->data.data, record->data.size);
    *time_ms = strtoll(digits, NULL, 10);
    return 1;
}

static ls_window_answer pass_over(const ls_window_result *result, void *user)
{
    (void)result;
    (void)user;
    return LS_WINDOW_GO_ON;
}

static void put_time(ls_stream *stream, const char *ms)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text(ms), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* Goal: late records are counted over all who had the name; watermarks are those that were stored, whoever looks. */
static void late_records_and_watermarks_of_windows_are_told(void **state)
{
    const char *late = "operator=\"w\",stream=\"s\"", *watermark = "operator=\"w\"," SHARD0;
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_store_options reading = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_window *window = NULL;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = 1000;
    options.delay_ms = 250;
    options.flags = LS_WINDOW_ONE_KEY;
    options.time_of = time_in_data;
    options.result = pass_over;
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    run.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    assert_true(isnan(value_now(fx->store, "libstream_window_late_records_total", late)));
    assert_int_equal(ls_window_open(stream, "w", &options, &window), LS_OK);
    assert_true(isnan(value_now(fx->store, "libstream_window_watermark_timestamp_seconds", watermark)));
    put_time(stream, "20000");
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    assert_true(value_now(fx->store, "libstream_window_late_records_total", late) == 0);
    assert_true(value_now(fx->store, "libstream_window_watermark_timestamp_seconds", watermark) == 19.75);
    for (int i = 0; i < 2; i++) {
        put_time(stream, "3000");
        assert_int_equal(ls_window_run(window, &run), LS_OK);
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_window_open(stream, "w", &options, &window), LS_OK);
    }
    assert_true(value_now(fx->store, "libstream_window_late_records_total", late) == 2);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    if (in_memory)
        return;
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    reading.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &reading, &fx->store), LS_OK);
    assert_true(value_now(fx->store, "libstream_window_watermark_timestamp_seconds", watermark) == 19.75);
}

static ls_push_answer take_one(const ls_batch *batch, void *user)
{
    (void)user;
    return ls_batch_count(batch) > 0 ? LS_PUSH_STOP : LS_PUSH_DONE;
}

/* Changes the first byte of `what` in the only segment of the only stream. */
static void damage(fixture *fx, const char *what)
{
    char pattern[TEMP_PATH_BYTES * 2];
    unsigned char bytes[65536], *found;
    glob_t files;
    FILE *file;
    size_t size;

    snprintf(pattern, sizeof pattern, "%s", temp_path(&fx->temp, "store/*/*/00000001.seg"));
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    file = fopen(files.gl_pathv[0], "r+");
    assert_non_null(file);
    size = fread(bytes, 1, sizeof bytes, file);
    found = memmem(bytes, size, what, strlen(what));
    assert_non_null(found);
    assert_int_equal(fseek(file, found - bytes, SEEK_SET), 0);
    assert_int_equal(fputc(*found ^ 1, file), *found ^ 1);
    assert_int_equal(fclose(file), 0);
    globfree(&files);
}

static void reads_of_damaged_frames_are_counted(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_iterator *iterator = NULL;
    const ls_batch *batch;

    if (in_memory) {
        assert_int_equal(ls_stream_close(stream), LS_OK);
        skip();
    }
    put_numbers(stream, 12);
    assert_true(value_now(fx->store, "libstream_log_corrupt_frames_total", SHARD0) == 0);
    damage(fx, "{\"n\":11}");
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 2; i++)
        while (ls_iterator_next(iterator, NULL, &batch) == LS_OK && ls_batch_count(batch) > 0)
            continue;
    assert_int_equal(ls_last_error_status(), LS_ERR_CORRUPT);
    assert_true(value_now(fx->store, "libstream_log_corrupt_frames_total", SHARD0) == 2);
    assert_true(value_now(fx->store, "libstream_get_calls_total", "result=\"error\",stream=\"s\"") == 2);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What a service bills beside puts: bytes pushed to consumers, how long shards are open, retention beyond a day. */
static void what_costs_elsewhere_is_counted(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    fixture *fx = *state;
    ls_stream *stream = clocked_stream(fx);
    ls_consumer *consumer = NULL;

    put_numbers(stream, 2); /* "k" and 7 bytes each */
    assert_int_equal(ls_consumer_register(stream, "c", NULL), LS_OK);
    assert_int_equal(ls_consumer_open(stream, "c", &consumer), LS_OK);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, &horizon, NULL, take_one, NULL), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_true(value_now(fx->store, "libstream_fan_out_bytes_total", SHARD0) == 16);
    assert_true(value_now(fx->store, "libstream_get_bytes_total", SHARD0) == 16);

    assert_true(value_now(fx->store, "libstream_retention_extended_seconds", "stream=\"s\"") == 0);
    assert_int_equal(ls_stream_increase_retention(stream, 25), LS_OK);
    assert_true(value_now(fx->store, "libstream_retention_extended_seconds", "stream=\"s\"") == 3600);

    assert_true(value_now(fx->store, "libstream_shard_seconds_total", SHARD0) == 0);
    the_time += INT64_C(7200000000);
    assert_true(value_now(fx->store, "libstream_shard_seconds_total", SHARD0) == 7200);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    the_time += INT64_C(3600000000);
    assert_in_range((int)value_now(fx->store, "libstream_shard_seconds_total", SHARD0), 7200, 7201);
    assert_in_range((int)value_now(fx->store, "libstream_shard_seconds_total",
                                   "shard=\"shardId-000000000001\",stream=\"s\""), 3599, 3600);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static double refusals(ls_store *store, const char *limit)
{
    char labels[100];

    snprintf(labels, sizeof labels, "limit=\"%s\"," SHARD0, limit);
    return value_now(store, "libstream_get_throttled_calls_total", labels);
}

/* Goal: reads that a limit refuses are counted, by limit. Method: a clock that stands. */
static void reads_that_a_limit_refuses_are_counted(void **state)
{
    static char large[50000];
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    const ls_batch *batch;
    fixture *fx = *state;
    ls_iterator *iterator = NULL;
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;

    clock_store(fx);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_calls_per_second = 3;
    options.read_bytes_per_second = 10000;
    options.write_bytes_per_second = 60000;
    assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_ERR_THROTTLED);
    assert_true(refusals(fx->store, "calls") == 2);
    assert_true(refusals(fx->store, "bytes") == 0);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){large, sizeof large}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){large, sizeof large}, NULL, NULL),
                     LS_ERR_THROTTLED);
    assert_true(value_now(fx->store, "libstream_put_throttled_records_total", "limit=\"bytes\"," SHARD0) == 1);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    the_time += 1000000;
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_ERR_THROTTLED);
    assert_true(refusals(fx->store, "calls") == 2);
    assert_true(refusals(fx->store, "bytes") == 1);
    assert_true(value_now(fx->store, "libstream_get_calls_total", "result=\"throttled\",stream=\"s\"") == 3);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what limits keep waiting ---- */

/* A shard gives 200,000 bytes a second, and its clock stands: the third record is to be had a tenth of one later. */
static ls_stream *three_records_of_a_limited_stream(fixture *fx)
{
    static char large[110000];
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;

    clock_store(fx);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_bytes_per_second = 200000;
    assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){large, sizeof large}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return stream;
}

/* Lets the clock go on once somebody is seen to wait. */
typedef struct watch {
    ls_store *store;
    double (*waiting)(ls_store *store, const char *limit);
    int64_t us; /* so far */
    pthread_t thread;
} watch;

static void *watch_run(void *user)
{
    const watch *of = user;

    while (of->waiting(of->store, "bytes") == 0)
        (void)usleep(1000);
    the_time += of->us;
    return NULL;
}

static void watch_begin(watch *of, ls_store *store, double (*waiting)(ls_store *store, const char *limit), int64_t us)
{
    *of = (watch){.store = store, .waiting = waiting, .us = us};
    assert_int_equal(pthread_create(&of->thread, NULL, watch_run, of), 0);
}

static void watch_end(watch *of)
{
    assert_int_equal(pthread_join(of->thread, NULL), 0);
}

/* Goal: who waits for a limit is seen to, though no call of his fails. */
static void reads_that_a_limit_keeps_waiting_are_counted(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = three_records_of_a_limited_stream(fx);
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    watch clock;

    next.records_max = 1;
    next.timeout_ms = 10000;
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(refusals(fx->store, "bytes") == 0);
        if (i == 2)
            watch_begin(&clock, fx->store, refusals, 250000);
        assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 1);
    }
    watch_end(&clock);
    assert_true(refusals(fx->store, "bytes") == 1);
    assert_true(refusals(fx->store, "calls") == 0);
    assert_true(value_now(fx->store, "libstream_get_calls_total", "result=\"throttled\",stream=\"s\"") == 0);
    assert_true(sum_of_metric(fx->store, "ReadProvisionedThroughputExceeded") == 1);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct pushes {
    ls_stream *stream;
    uint32_t count;
} pushes;

/* Takes three; with the first one another subscription to the shard is refused. */
static ls_push_answer take_three(const ls_batch *batch, void *user)
{
    ls_consumer *other = NULL;
    pushes *of = user;

    if (ls_batch_count(batch) == 0)
        return LS_PUSH_DONE;
    if (of->count == 0) {
        assert_int_equal(ls_consumer_open(of->stream, "c", &other), LS_OK);
        assert_int_equal(ls_consumer_subscribe(other, 0, NULL, NULL, take_three, user), LS_ERR_STATE);
        assert_int_equal(ls_consumer_close(other), LS_OK);
    }
    return ++of->count < 3 ? LS_PUSH_DONE : LS_PUSH_STOP;
}

static double fan_out_throttled(ls_store *store, const char *limit)
{
    char labels[100];

    snprintf(labels, sizeof labels, "consumer=\"c\",limit=\"%s\",stream=\"s\"", limit);
    return value_now(store, "libstream_fan_out_throttled_total", labels);
}

/* Goal: of a registered consumer both are counted, under its name and not as reads of the stream: what its limit kept
 * waiting, and subscriptions that were refused. */
static void limits_of_registered_consumers_are_counted(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = three_records_of_a_limited_stream(fx);
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
    ls_consumer *consumer = NULL;
    pushes of = {stream, 0};
    watch clock;

    options.records_max = 1;
    assert_int_equal(ls_consumer_register(stream, "c", NULL), LS_OK);
    assert_true(fan_out_throttled(fx->store, "bytes") == 0);
    assert_true(fan_out_throttled(fx->store, "subscriptions") == 0);
    assert_int_equal(ls_consumer_open(stream, "c", &consumer), LS_OK);
    watch_begin(&clock, fx->store, fan_out_throttled, 250000);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, &options, take_three, &of), LS_OK);
    assert_int_equal(of.count, 3);
    watch_end(&clock);
    assert_true(fan_out_throttled(fx->store, "bytes") == 1);
    assert_true(fan_out_throttled(fx->store, "subscriptions") == 1);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, &options, take_three, &of), LS_ERR_THROTTLED);
    assert_true(fan_out_throttled(fx->store, "subscriptions") == 2);
    assert_true(sum_of_metric(fx->store, "SubscribeToShard.RateExceeded") == 2);
    assert_true(refusals(fx->store, "bytes") == 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static double held_reads(ls_store *store)
{
    return value_now(store, "libstream_mapping_throttled_reads_total", "mapping=\"m\",stream=\"s\"");
}

static void a_mapping_counts_reads_that_were_kept_waiting(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = three_records_of_a_limited_stream(fx);
    watch clock;

    options.records_max = 1;
    options.bytes_max = 120000;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    assert_true(held_reads(fx->store) == 0);
    watch_begin(&clock, fx->store, refusals, 5000000); /* It may have read more at once. */
    run_mapping(stream, finish);
    watch_end(&clock);
    assert_true(held_reads(fx->store) >= 1);
    assert_true(refusals(fx->store, "bytes") >= 1);
    assert_true(sum_of_metric(fx->store, "Invocations") == 3);
    assert_true(sum_of_metric(fx->store, "Throttles") == 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#define AHEAD_RECORDS 60

/* How much of a mapping was read when its first batch was to be worked on. */
typedef struct ahead {
    ls_store *store;
    _Atomic uint32_t batches;
    double polled;
} ahead;

static double polled_now(ls_store *store)
{
    return value_now(store, "libstream_mapping_records_total", "mapping=\"m\",outcome=\"polled\",stream=\"s\"");
}

static ls_handler_answer look_ahead(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ahead *of = user;

    (void)context;
    if (ls_batch_count(batch) == 1 && atomic_fetch_add(&of->batches, 1) == 0)
        for (int i = 0; i < 1000 && (of->polled = polled_now(of->store)) < AHEAD_RECORDS; i++)
            (void)usleep(1000);
    return LS_HANDLER_DONE;
}

/* Goal: where a shard has few reads a second, batches that are smaller than what a read brings do not wait for one
 * each: neither with one lane nor with several. */
static void one_limited_read_brings_many_batches(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_stream_options limited = LS_STREAM_OPTIONS_INIT;
    ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = NULL;

    limited.mode = LS_STREAM_PROVISIONED;
    assert_int_equal(ls_stream_create(fx->store, "s", &limited), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    put_numbers(stream, AHEAD_RECORDS);
    run.flags = LS_RUN_UNTIL_CAUGHT_UP;
    for (uint32_t lanes = 1; lanes <= 2; lanes++) {
        ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
        ahead of = {.store = fx->store};
        ls_mapping *mapping = NULL;

        options.records_max = 1;
        options.bytes_max = 1;
        options.lane_count = lanes;
        options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
        assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
        assert_int_equal(ls_mapping_run(mapping, &run, look_ahead, &of), LS_OK);
        assert_int_equal(ls_mapping_close(mapping), LS_OK);
        assert_int_equal(of.batches, AHEAD_RECORDS);
        assert_true(of.polled == AHEAD_RECORDS);
        assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Each second invocation cannot begin. */
static ls_handler_answer begin_later(const ls_batch *batch, ls_handler_context *context, void *user)
{
    static bool has_begun;

    (void)batch;
    (void)context;
    (void)user;
    has_begun = !has_begun;
    return has_begun ? LS_HANDLER_LATER : LS_HANDLER_DONE;
}

/* Lambda's Throttles, which are not in its Invocations. */
static void invocations_that_cannot_begin_are_counted(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    put_numbers(stream, 2);
    options.records_max = 1;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    run_mapping(stream, begin_later);
    assert_true(value_now(fx->store, "libstream_mapping_throttles_total", "mapping=\"m\",stream=\"s\"") == 2);
    assert_true(sum_of_metric(fx->store, "Throttles") == 2);
    assert_true(sum_of_metric(fx->store, "Invocations") == 2);
    assert_true(sum_of_metric(fx->store, "Errors") == 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- handlers that run now ---- */

static ls_handler_answer wait_at_the_gate(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    (void)context;
    (void)user;
    while (atomic_load(&is_shut))
        usleep(1000);
    return LS_HANDLER_DONE;
}

static void *run_with_two_shards(void *user)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;

    options.shards_max = 2;
    return ls_mapping_run(user, &options, wait_at_the_gate, NULL) == LS_OK ? user : NULL;
}

/* A process that runs the mapping with handlers that do not return: it is there to be killed. */
static pid_t begin_another_process(const fixture *fx)
{
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_mapping *mapping = NULL;
    pid_t child = fork();

    if (child != 0)
        return child;
    if (ls_store_open(fx->location, NULL, &store) == LS_OK && ls_stream_open(store, "s", &stream) == LS_OK &&
        ls_mapping_open(stream, "m", &mapping) == LS_OK)
        (void)run_with_two_shards(mapping);
    _exit(1);
}

static void put_everywhere(ls_stream *stream)
{
    ls_producer *producer = NULL;
    char key[8];

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(ls_producer_put(producer, text(key), text("data"), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static double executions(ls_store *store)
{
    return value_now(store, "libstream_mapping_concurrent_executions", "mapping=\"m\",stream=\"s\"");
}

static bool executions_become(ls_store *store, double count)
{
    for (int i = 0; i < 3000 && executions(store) != count; i++)
        usleep(10000);
    return executions(store) == count;
}

/* Goal: ConcurrentExecutions is the handlers that run, wherever, and nothing of processes that were killed. Method:
 * four shards, of which two processes have two each; one is killed, and nobody may take what it had. */
static void handlers_that_run_are_counted_and_those_of_the_dead_are_not(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 4);
    double elsewhere = in_memory ? 0 : 2;
    ls_mapping *mapping = NULL;
    pthread_t thread;
    pid_t other = 0;
    void *went_well;

    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    put_everywhere(stream);
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    assert_true(executions(fx->store) == 0);
    atomic_store(&is_shut, true);
    if (!in_memory) {
        other = begin_another_process(fx);
        assert_true(other > 0);
        assert_true(executions_become(fx->store, elsewhere));
    }
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_with_two_shards, mapping), 0);
    assert_true(executions_become(fx->store, 2 + elsewhere));
    assert_true(sum_of_metric(fx->store, "ConcurrentExecutions") == 2 + elsewhere);
    if (other > 0) {
        assert_int_equal(kill(other, SIGKILL), 0);
        assert_int_equal(waitpid(other, NULL, 0), other);
        assert_true(executions(fx->store) == 2); /* at once */
    }
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK); /* Who has lost the lease goes on. */
    usleep(50000);
    assert_true(executions(fx->store) == 2);
    atomic_store(&is_shut, false);
    assert_true(executions_become(fx->store, 0));
    ls_mapping_stop(mapping);
    assert_int_equal(pthread_join(thread, &went_well), 0);
    assert_ptr_equal(went_well, mapping);
    assert_true(executions(fx->store) == 0);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what becomes of records ---- */

static int32_t refuse_once(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    (void)batch;
    (void)reason;
    (void)invoke_count;
    return ++*(uint32_t *)user == 1;
}

static ls_handler_answer fail_each(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    (void)context;
    (void)user;
    return LS_HANDLER_RETRY;
}

/* Goal: what is given up and told counts as reported, by whatever way it was told, and once. */
static void what_a_callback_or_a_stream_takes_is_reported(void **state)
{
    static const struct {
        bool has_callback, has_stream;
    } cases[] = {{false, false}, {true, false}, {false, true}, {true, true}};
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    assert_int_equal(ls_stream_close(make_stream(fx, "failed", 1)), LS_OK);
    put_numbers(stream, 7);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
        ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
        ls_mapping *mapping = NULL;
        exposition *read;
        uint32_t asked = 0;

        options.retries_max = LS_MAPPING_NO_RETRIES;
        options.failure_stream = cases[i].has_stream ? "failed" : NULL;
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
        run.flags = LS_RUN_UNTIL_CAUGHT_UP;
        run.discard = cases[i].has_callback ? refuse_once : NULL;
        assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
        assert_int_equal(ls_mapping_run(mapping, &run, fail_each, &asked), LS_OK);
        assert_int_equal(ls_mapping_close(mapping), LS_OK);
        read = exposition_of(fx->store);
        assert_true(records_of(read, "dropped_retries") == 7);
        assert_true(records_of(read, "reported") == (cases[i].has_callback || cases[i].has_stream ? 7 : 0));
        exposition_free(read);
        assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    }
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
    assert_true(sum_of_metric(fx->store, "Invocations") == 10);
    assert_true(sum_of_metric(fx->store, "Errors") == 3);
    assert_true(sum_of_metric(fx->store, "InvokedEventCount") == 100);
    assert_true(sum_of_metric(fx->store, "DroppedEventCount") == 10);
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
        TEST(lag_counts_no_numbers_that_were_never_given),
        TEST(what_is_finished_is_not_behind_before_it_is_stored),
        TEST(a_store_for_reading_counts_with_the_others_or_for_itself),
        TEST(counts_of_a_group_outlive_it_and_not_the_stream),
        TEST(a_group_has_lag_and_owners),
        TEST(leases_and_checkpoints_are_counted),
        TEST(late_records_and_watermarks_of_windows_are_told),
        TEST(reads_of_damaged_frames_are_counted),
        TEST(what_costs_elsewhere_is_counted),
        TEST(reads_that_a_limit_refuses_are_counted),
        TEST(reads_that_a_limit_keeps_waiting_are_counted),
        TEST(limits_of_registered_consumers_are_counted),
        TEST(a_mapping_counts_reads_that_were_kept_waiting),
        TEST(one_limited_read_brings_many_batches),
        TEST(invocations_that_cannot_begin_are_counted),
        TEST(handlers_that_run_are_counted_and_those_of_the_dead_are_not),
        TEST(what_a_callback_or_a_stream_takes_is_reported),
#ifdef LSI_HAVE_YAJL
        TEST(a_mapping_counts_what_becomes_of_each_record),
#endif
    };

    run_everywhere("metrics of consumers", consumers);
}
