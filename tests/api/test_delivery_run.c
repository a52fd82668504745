/* delivery.h: what runs do. When objects are cut, what they are called, what they hold; the order of records through a
 * reshard; who shares the shards; a destination that is down. The list of firehose.md §10, each by a test. */
#include "api/delivery_support.h"

#include <regex.h>

/* ---- cutting by size ---- */

static void an_object_is_cut_at_exactly_its_size(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.buffer_bytes = 10; /* a record and its delimiter: 5 */
    make_delivery(stream, &options);
    put_text(stream, "k", "aaaa");
    put_text(stream, "k", "bbbb");
    put_text(stream, "k", "cccc");
    put_text(stream, "k", "dddddddd"); /* would overflow: the object is closed without it */
    put_text(stream, "k", "eeeeeeeeeeeeeee"); /* larger than any: it has its own */
    put_text(stream, "k", "");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 5);
    assert_string_equal(of->all[0].bytes, "aaaa\nbbbb\n");
    assert_string_equal(of->all[1].bytes, "cccc\n");
    assert_string_equal(of->all[2].bytes, "dddddddd\n");
    assert_string_equal(of->all[3].bytes, "eeeeeeeeeeeeeee\n");
    assert_string_equal(of->all[4].bytes, "\n");
    assert_int_equal(of->all[0].record_count, 2);
    assert_int_equal(of->all[0].kind, LS_DELIVERY_DATA);
    assert_true(of->all[0].first_seqno < of->all[0].last_seqno && of->all[0].last_seqno < of->all[1].first_seqno);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void without_a_delimiter_nothing_is_between_records(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.delimiter = NULL;
    make_delivery(stream, &options);
    put_text(stream, "k", "aa");
    put_text(stream, "k", "");
    put_text(stream, "k", "bb");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 1);
    assert_string_equal(of->all[0].bytes, "aabb");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void where_nothing_is_put_no_object_is_made(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 3);
    ls_delivery_options options = to_directory(fx);
    objects found;

    make_delivery(stream, &options);
    catch_up(stream);
    catch_up(stream);
    found = delivered(fx);
    assert_int_equal(found.count, 0);
    free_objects(&found);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_without_data_make_no_object(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.delimiter = NULL;
    options.compression = LS_DELIVERY_GZIP; /* which makes something of nothing */
    make_delivery(stream, &options);
    put_text(stream, "k", "");
    put_text(stream, "k", "");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 0);
    put_text(stream, "k", "aa");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(of->all[0].record_count, 1); /* the others are behind it */
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- cutting by time ---- */

static _Atomic int64_t the_time;

static int64_t tell_time(void *user)
{
    (void)user;
    return atomic_load(&the_time);
}

static ls_store *open_clocked(fixture *fx, const char *at)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    struct tm tm = {0};
    char path[TEMP_PATH_BYTES * 2];

    assert_non_null(strptime(at, "%Y-%m-%d %H:%M:%S", &tm));
    atomic_store(&the_time, (int64_t)timegm(&tm) * 1000000);
    options.clock = tell_time;
    snprintf(path, sizeof path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "clocked"));
    assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    return store;
}

static void an_object_waits_for_the_interval_from_its_first_record_on(void **state)
{
    fixture *fx = *state;
    ls_store *store = open_clocked(fx, "2018-08-27 10:30:00");
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_stream *stream = NULL;
    running at_work;

    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    options.interval_ms = 60000;
    make_delivery(stream, &options);
    begin_run(&at_work, stream, &run);
    put_text(stream, "k", "a");
    (void)nanosleep(&(struct timespec){0, 100000000}, NULL); /* It is read, and begins to wait. */
    atomic_fetch_add(&the_time, 59 * INT64_C(1000000));
    put_text(stream, "k", "b");
    (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    assert_int_equal(atomic_load(&of->count), 0);
    atomic_fetch_add(&the_time, INT64_C(1000000));
    await_count(&of->count, 1);
    assert_string_equal(of->all[0].bytes, "a\nb\n");
    put_text(stream, "k", "c");
    (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    assert_int_equal(atomic_load(&of->count), 1);
    assert_int_equal(end_run(&at_work), LS_OK); /* What is collected waits in the stream. */
    assert_int_equal(of->count, 1);
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 2);
    assert_string_equal(of->all[1].bytes, "c\n");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* A run that ends takes no time away with it. */
static void the_interval_counts_from_the_arrival_whoever_runs(void **state)
{
    fixture *fx = *state;
    ls_store *store = open_clocked(fx, "2018-08-27 10:30:00");
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_stream *stream = NULL;
    running at_work;

    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    options.interval_ms = 60000;
    make_delivery(stream, &options);
    put_text(stream, "k", "a");
    for (uint32_t i = 0; i < 2; i++) {
        atomic_fetch_add(&the_time, 25 * INT64_C(1000000));
        begin_run(&at_work, stream, &run);
        (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
        assert_int_equal(atomic_load(&of->count), 0);
        assert_int_equal(end_run(&at_work), LS_OK);
    }
    begin_run(&at_work, stream, &run);
    (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    atomic_fetch_add(&the_time, 10 * INT64_C(1000000));
    await_count(&of->count, 1);
    assert_int_equal(end_run(&at_work), LS_OK);
    assert_string_equal(of->all[0].bytes, "a\n");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* Records that are all older than the interval, in many reads. */
static void what_lies_behind_fills_objects(void **state)
{
    enum { RECORDS = 9000 };
    fixture *fx = *state;
    ls_store *store = open_clocked(fx, "2018-08-27 10:30:00");
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_stream *stream = NULL;
    running at_work;

    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    options.interval_ms = 60000;
    make_delivery(stream, &options);
    put_numbers(stream, 0, RECORDS, 1);
    atomic_fetch_add(&the_time, 3600 * INT64_C(1000000));
    begin_run(&at_work, stream, &run);
    await_count(&of->count, 1);
    assert_int_equal(end_run(&at_work), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(of->all[0].record_count, RECORDS);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void what_is_not_waited_for_comes_at_once(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    running at_work;

    options.interval_ms = LS_DELIVERY_AT_ONCE;
    make_delivery(stream, &options);
    begin_run(&at_work, stream, &run);
    put_text(stream, "k", "a");
    await_count(&of->count, 1);
    put_text(stream, "k", "b");
    await_count(&of->count, 2);
    assert_int_equal(end_run(&at_work), LS_OK);
    assert_string_equal(of->all[0].bytes, "a\n");
    assert_string_equal(of->all[1].bytes, "b\n");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- names ---- */

static void assert_matches(const char *name, const char *pattern)
{
    regex_t compiled;

    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&compiled, name, 0, NULL, 0) != 0)
        fail_msg("'%s' does not match '%s'", name, pattern);
    regfree(&compiled);
}

#define TAIL NAME "-1-[0-9]{4}(-[0-9][0-9]){5}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

static void an_object_has_a_name_of_the_service(void **state)
{
    fixture *fx = *state;
    ls_store *store = open_clocked(fx, "2018-08-27 10:59:59");
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    options.compression = LS_DELIVERY_GZIP;
    make_delivery(stream, &options);
    put_text(stream, "k", "a");
    atomic_fetch_add(&the_time, INT64_C(2000000)); /* Trap 13: the oldest record says which hour it is. */
    put_text(stream, "k", "b");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_matches(of->all[0].name, "^2018/08/27/10/" TAIL "\\.gz$");
    assert_non_null(strstr(of->all[0].name, NAME "-1-2018-08-27-11-00-01-"));
    options.prefix = "logs/r=!{firehose:random-string}/!{firehose:random-string}/!{timestamp:yyyy-DDD}/";
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    options.compression = LS_DELIVERY_UNCOMPRESSED;
    options.extension = ".txt";
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    put_text(stream, "k", "c");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_matches(of->all[1].name, "^logs/r=[0-9a-z]{11}/[0-9a-z]{11}/2018-239/" NAME "-2-2018-.*\\.txt$");
    assert_int_not_equal(memcmp(of->all[1].name + 7, of->all[1].name + 19, 11), 0);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- several shards, several runs ---- */

static void each_object_is_of_one_shard_and_nothing_is_delivered_twice(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 3);
    ls_delivery_options options = to_directory(fx);

    options.buffer_bytes = 50;
    make_delivery(stream, &options);
    for (uint32_t i = 0; i < 3; i++) {
        put_numbers(stream, i * 60, (i + 1) * 60, 17);
        catch_up(stream);
        assert_once(fx, (i + 1) * 60);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void two_runs_share_the_shards(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_delivery_options options = to_directory(fx);
    ls_delivery_run_options run = until_caught_up();
    running runs[2];

    options.buffer_bytes = 100;
    options.interval_ms = 50;
    make_delivery(stream, &options);
    put_numbers(stream, 0, 100, 17);
    for (int i = 0; i < 2; i++)
        begin_run(&runs[i], stream, &run);
    for (uint32_t i = 1; i < 20; i++) {
        put_numbers(stream, i * 100, (i + 1) * 100, 17);
        (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(end_run(&runs[i]), LS_OK);
    catch_up(stream);
    assert_once(fx, 2000);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Parents before children: the numbers of each key rise in the order of delivery. */
static void a_parent_is_delivered_before_its_children(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    uint32_t next[7] = {0};

    options.buffer_bytes = 64;
    make_delivery(stream, &options);
    put_numbers(stream, 0, 70, 7);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 70, 140, 7);
    assert_int_equal(run_with(stream, &run), LS_OK);
    put_numbers(stream, 140, 210, 7);
    assert_int_equal(ls_stream_merge(stream, 1, 2, NULL), LS_OK);
    put_numbers(stream, 210, 280, 7);
    assert_int_equal(run_with(stream, &run), LS_OK);
    for (uint32_t i = 0; i < of->count; i++) {
        char *rest = of->all[i].bytes, *line;

        while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0') {
            uint32_t n = (uint32_t)strtoul(line, NULL, 10);

            assert_int_equal(n / 7, next[n % 7]);
            next[n % 7]++;
        }
    }
    for (int i = 0; i < 7; i++)
        assert_int_equal(next[i], 40);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- compression ---- */

/* gzip(1) reads it, and it is what there was. */
static void a_compressed_object_is_the_concatenation(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    char command[4096 + 2048], line[16];
    objects found;
    FILE *from;

    options.compression = LS_DELIVERY_GZIP;
    make_delivery(stream, &options);
    put_numbers(stream, 0, 100, 7);
    catch_up(stream);
    found = delivered(fx);
    assert_int_equal(found.count, 1);
    snprintf(command, sizeof command, "gzip -dc '%s/%s'", out_dir(fx), found.all[0].name);
    from = popen(command, "r");
    assert_non_null(from);
    for (uint32_t i = 0; i < 100; i++) {
        assert_non_null(fgets(line, sizeof line, from));
        assert_int_equal(strtoul(line, NULL, 10), i);
    }
    assert_null(fgets(line, sizeof line, from));
    assert_int_equal(pclose(from), 0);
    free_objects(&found);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Trap 13: ten records of a hundred bytes are an object, however small they become. */
static void size_is_measured_before_compression(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    char data[101];

    memset(data, 'a', 100);
    data[100] = '\0';
    options.delimiter = NULL;
    options.buffer_bytes = 1000;
    options.compression = LS_DELIVERY_ZSTD;
    make_delivery(stream, &options);
    for (int i = 0; i < 30; i++)
        put_text(stream, "k", data);
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 3);
    for (uint32_t i = 0; i < of->count; i++) {
        assert_int_equal(of->all[i].record_count, 10);
        assert_true(of->all[i].size < 100);
    }
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- a destination that is down ---- */

static void a_destination_that_is_down_loses_nothing(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.buffer_bytes = 100;
    make_delivery(stream, &options);
    put_numbers(stream, 0, 200, 7);
    of->refuse = 1000;
    run.give_up_ms = 150;
    assert_int_equal(run_with(stream, &run), LS_ERR_IO);
    assert_true(says("callback"));
    assert_true(of->calls >= 2);
    assert_int_equal(of->count, 0);
    of->refuse = 1;
    run.give_up_ms = 0;
    assert_int_equal(run_with(stream, &run), LS_OK);
    uint32_t next = 0;
    for (uint32_t i = 0; i < of->count; i++) {
        char *rest = of->all[i].bytes, *line;

        while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0')
            assert_int_equal(strtoul(line, NULL, 10), next++);
    }
    assert_int_equal(next, 200);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stop_ends_the_wait_for_a_destination(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    running at_work;

    make_delivery(stream, &options);
    put_text(stream, "k", "a");
    of->refuse = UINT32_MAX;
    options.interval_ms = LS_DELIVERY_AT_ONCE;
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    begin_run(&at_work, stream, &run);
    for (int i = 0; i < 3000 && ls_delivery_wait(at_work.delivery, 0) == LS_OK; i++) /* Until it has begun. */
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    assert_int_equal(ls_delivery_run(at_work.delivery, &run), LS_ERR_STATE);
    assert_int_equal(ls_delivery_wait(at_work.delivery, 0), LS_ERR_BUSY);
    assert_int_equal(ls_delivery_close(at_work.delivery), LS_ERR_STATE);
    assert_int_equal(end_run(&at_work), LS_OK);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void callbacks_that_are_missing_or_not_wanted_are_refused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = until_caught_up();

    make_delivery(stream, &options);
    assert_int_equal(run_with(stream, &run), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.deliver"));
    options = to_directory(*state);
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    run = into(of);
    assert_int_equal(run_with(stream, &run), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.deliver"));
    run = until_caught_up();
    options.flags = LS_DELIVERY_TRANSFORM;
    assert_int_equal(ls_delivery_update(stream, NAME, 2, &options), LS_OK);
    assert_int_equal(run_with(stream, &run), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.transform"));
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Whoever runs goes by other settings from the next object on. */
static void other_settings_hold_at_once(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    running at_work;

    make_delivery(stream, &options);
    begin_run(&at_work, stream, &run);
    put_text(stream, "k", "a");
    (void)nanosleep(&(struct timespec){0, 50000000}, NULL);
    options.interval_ms = LS_DELIVERY_AT_ONCE;
    options.delimiter = ";";
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    await_count(&of->count, 1);
    assert_int_equal(end_run(&at_work), LS_OK);
    assert_string_equal(of->all[0].bytes, "a;");
    assert_non_null(strstr(of->all[0].name, NAME "-2-"));
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Whoever changes settings right after objects were delivered gets none of them again. */
static void what_is_delivered_stays_so_under_other_settings(void **state)
{
    enum { RECORDS = 8 };
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    running at_work;

    options.interval_ms = LS_DELIVERY_AT_ONCE;
    options.buffer_bytes = 1; /* each record by itself */
    make_delivery(stream, &options);
    begin_run(&at_work, stream, &run);
    put_numbers(stream, 0, RECORDS, 1);
    await_count(&of->count, RECORDS);
    options.prefix = "other/";
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    put_text(stream, "k", "last");
    await_count(&of->count, RECORDS + 1);
    assert_int_equal(end_run(&at_work), LS_OK);
    assert_int_equal(of->count, RECORDS + 1);
    assert_int_equal(strncmp(of->all[RECORDS].name, "other/", 6), 0);
    assert_non_null(strstr(of->all[RECORDS].bytes, "last"));
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Much more than may be in memory: the objects are smaller than they were to be, and all is there. */
static void what_is_collected_stays_within_its_memory(void **state)
{
    enum { RECORDS = 600, BYTES = 10000 };
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_put_entry *entries = calloc(RECORDS, sizeof *entries);
    ls_producer *producer = NULL;
    char *data = malloc(BYTES);
    uint64_t records = 0;
    size_t failed = 0;

    memset(data, 'x', BYTES);
    options.buffer_bytes = UINT64_C(1) << 30;
    make_delivery(stream, &options);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < RECORDS; i++)
        entries[i] = (ls_put_entry){.partition_key = text("k"), .data = {data, BYTES}};
    assert_int_equal(ls_producer_put_batch(producer, entries, RECORDS, NULL, NULL, &failed), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    run.memory_bytes_max = 1 << 20;
    assert_int_equal(run_with(stream, &run), LS_OK);
    for (uint32_t i = 0; i < of->count; i++) {
        assert_true(of->all[i].size <= 3 << 20); /* what there was, and one reading */
        records += of->all[i].record_count;
    }
    assert_int_equal(records, RECORDS);
    free(entries);
    free(data);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_cut_at_exactly_its_size),
        TEST(without_a_delimiter_nothing_is_between_records),
        TEST(where_nothing_is_put_no_object_is_made),
        TEST(records_without_data_make_no_object),
        TEST(an_object_waits_for_the_interval_from_its_first_record_on),
        TEST(the_interval_counts_from_the_arrival_whoever_runs),
        TEST(what_lies_behind_fills_objects),
        TEST(what_is_not_waited_for_comes_at_once),
        TEST(an_object_has_a_name_of_the_service),
        TEST(each_object_is_of_one_shard_and_nothing_is_delivered_twice),
        TEST(two_runs_share_the_shards),
        TEST(a_parent_is_delivered_before_its_children),
        TEST(a_compressed_object_is_the_concatenation),
        TEST(size_is_measured_before_compression),
        TEST(a_destination_that_is_down_loses_nothing),
        TEST(a_stop_ends_the_wait_for_a_destination),
        TEST(callbacks_that_are_missing_or_not_wanted_are_refused),
        TEST(other_settings_hold_at_once),
        TEST(what_is_delivered_stays_so_under_other_settings),
        TEST(what_is_collected_stays_within_its_memory),
    };

    run_everywhere("runs of deliveries", tests);
}
