/* delivery.h: what is kept of deliveries, and every error of the calls about that. What runs do is in
 * test_delivery_run.c and its neighbours. */
#include "api/delivery_support.h"

#include "api/api.h"
#include "deliver/definition.h"

/* ---- creating and looking ---- */

static void what_is_created_is_described(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    const char *const keys[] = {"customer", "year"};
    const char *const queries[] = {".customer.id", ".at | strftime(\"%Y\")"};
    ls_delivery_options options = to_directory(fx), found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_delivery_description *description = NULL;

    options.flags = LS_DELIVERY_PARTITION | LS_DELIVERY_BACKUP | LS_DELIVERY_TRANSFORM;
    options.buffer_bytes = 12345;
    options.interval_ms = LS_DELIVERY_AT_ONCE;
    options.compression = LS_DELIVERY_ZSTD;
    options.transform_retries_max = LS_DELIVERY_NO_RETRIES;
    options.prefix = "c=!{partitionKeyFromQuery:customer}/y=!{partitionKeyFromQuery:year}/";
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    options.backup_prefix = "raw/";
    options.backup_buffer_bytes = 777;
    options.backup_interval_ms = LS_DELIVERY_AT_ONCE;
    options.extension = ".jsonl.zst";
    options.partition_keys = keys;
    options.partition_queries = queries;
    options.partition_key_count = 2;
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    assert_int_equal(ls_delivery_description_info(description, &info), LS_OK);
    assert_string_equal(info.name, NAME);
    assert_int_equal(info.version, 1);
    assert_true(info.id != 0 && info.created_us > 0 && info.modified_us == info.created_us);
    assert_int_equal(info.start, LS_TRIM_HORIZON);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_OK);
    assert_int_equal(found.flags, options.flags);
    assert_int_equal(found.buffer_bytes, 12345);
    assert_int_equal(found.interval_ms, LS_DELIVERY_AT_ONCE);
    assert_int_equal(found.compression, LS_DELIVERY_ZSTD);
    assert_int_equal(found.transform_retries_max, LS_DELIVERY_NO_RETRIES);
    assert_int_equal(found.transform_bytes_max, 1 << 20);
    assert_int_equal(found.transform_records_max, 500);
    assert_int_equal(found.partitions_max, 500);
    assert_string_equal(found.prefix, options.prefix);
    assert_string_equal(found.error_prefix, options.error_prefix);
    assert_string_equal(found.backup_prefix, "raw/");
    assert_int_equal(found.backup_buffer_bytes, 777);
    assert_int_equal(found.backup_interval_ms, LS_DELIVERY_AT_ONCE);
    assert_string_equal(found.extension, ".jsonl.zst");
    assert_string_equal(found.delimiter, "\n");
    assert_string_equal(found.directory, options.directory);
    assert_int_equal(found.partition_key_count, 2);
    assert_string_equal(found.partition_keys[1], "year");
    assert_string_equal(found.partition_queries[0], ".customer.id");
    ls_delivery_description_free(description);
    ls_delivery_description_free(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_bucket_is_kept_with_its_place(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT, found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;

    options.s3_bucket = "bucket";
    options.s3_endpoint = "http://127.0.0.1:9000";
    options.s3_region = "eu-west-3";
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_OK);
    assert_null(found.directory);
    assert_string_equal(found.s3_bucket, "bucket");
    assert_string_equal(found.s3_endpoint, "http://127.0.0.1:9000");
    assert_string_equal(found.s3_region, "eu-west-3");
    ls_delivery_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void defaults_are_spelled_out(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT, found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;

    options.flags = LS_DELIVERY_TO_CALLBACK;
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_OK);
    assert_int_equal(found.buffer_bytes, 5 << 20);
    assert_int_equal(found.interval_ms, 300000);
    assert_int_equal(found.compression, LS_DELIVERY_UNCOMPRESSED);
    assert_int_equal(found.transform_retries_max, 3);
    assert_int_equal(found.partitions_max, 0);
    assert_null(found.prefix);
    assert_null(found.directory);
    ls_delivery_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A setting that breaks its rule, and a word of the message that names it. */
typedef struct refusal {
    ls_delivery_options options;
    const char *word;
} refusal;

static void settings_that_break_a_rule_are_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    const char *const key[] = {"k"}, *const no_key[] = {NULL}, *const query[] = {".k"}, *const bad_query[] = {".k |"};
    ls_delivery_options base = to_directory(fx);
    char long_delimiter[300];
    refusal all[40];
    size_t count = 0;

    memset(long_delimiter, 'x', sizeof long_delimiter);
    long_delimiter[299] = '\0';
#define REFUSED(word_, ...)                              \
    do {                                                 \
        ls_delivery_options o = base;                    \
        __VA_ARGS__;                                     \
        all[count++] = (refusal){o, word_};              \
    } while (0)
    REFUSED("flags", o.flags = 1u << 20);
    REFUSED("reserved", o.reserved = 1);
    REFUSED("buffer_bytes", o.buffer_bytes = (UINT64_C(1) << 30) + 1);
    REFUSED("interval_ms", o.interval_ms = 900001);
    REFUSED("interval_ms", o.interval_ms = -2);
    REFUSED("compression", o.compression = 3);
    REFUSED("transform_retries_max", o.transform_retries_max = 301);
    REFUSED("transform_bytes_max", o.transform_bytes_max = (6u << 20) + 1);
    REFUSED("transform_records_max", o.transform_records_max = 10001);
    REFUSED("partitions_max", o.partitions_max = 1);
    REFUSED("partition_key_count", o.partition_key_count = 1);
    REFUSED("delimiter", o.delimiter = long_delimiter);
    REFUSED("no destination", o.directory = NULL);
    REFUSED("two destinations", o.flags = LS_DELIVERY_TO_CALLBACK);
    REFUSED("options.directory, and options.s3_bucket", o.s3_bucket = "bucket");
    REFUSED("options.s3_bucket, and LS_DELIVERY_TO_CALLBACK", o.s3_bucket = "bucket", o.directory = NULL,
            o.flags = LS_DELIVERY_TO_CALLBACK);
    REFUSED("bucket 'a/b'", o.s3_bucket = "a/b", o.directory = NULL);
    REFUSED("endpoint 'host'", o.s3_bucket = "bucket", o.directory = NULL, o.s3_endpoint = "host");
    REFUSED("region 'a/b'", o.s3_bucket = "bucket", o.directory = NULL, o.s3_region = "a/b");
    REFUSED("s3_region", o.s3_bucket = "bucket", o.directory = NULL, o.s3_region = "");
    REFUSED("s3_endpoint", o.s3_endpoint = "http://host");
    REFUSED("s3_region", o.s3_region = "r");
    REFUSED("directory", o.directory = "");
    REFUSED("backup_prefix", o.backup_prefix = "raw/");
    REFUSED("backup_buffer_bytes", o.backup_buffer_bytes = 5);
    REFUSED("backup_interval_ms", o.backup_interval_ms = 5);
    REFUSED("backup_buffer_bytes", o.flags = LS_DELIVERY_BACKUP, o.backup_buffer_bytes = (UINT64_C(1) << 30) + 1);
    REFUSED("backup_interval_ms", o.flags = LS_DELIVERY_BACKUP, o.backup_interval_ms = 900001);
    REFUSED("backup_interval_ms", o.flags = LS_DELIVERY_BACKUP, o.backup_interval_ms = -2);
    REFUSED("reserved_2", o.reserved_2 = 1);
    REFUSED("prefix", o.prefix = "x!{timestamp:yyyy}/"); /* and no error prefix */
    REFUSED("error-output-type", o.prefix = "x/", o.error_prefix = "e/!{timestamp:yyyy}/");
    REFUSED("nonsense", o.prefix = "!{nonsense:1}/", o.error_prefix = "!{firehose:error-output-type}/");
    REFUSED("backup_prefix", o.flags = LS_DELIVERY_BACKUP, o.backup_prefix = "!{timestamp:q}/");
    REFUSED("extension", o.extension = "gz");
    base.flags = LS_DELIVERY_PARTITION;
    base.prefix = "!{partitionKeyFromQuery:k}/";
    base.error_prefix = "!{firehose:error-output-type}/";
    base.partition_key_count = 1;
    base.partition_keys = key;
    base.partition_queries = query;
    REFUSED("partitions_max", o.partitions_max = 5001);
    REFUSED("partition_key_count", o.partition_key_count = 51);
    REFUSED("partition_keys", o.partition_keys = NULL);
    REFUSED("partition_queries[0]", o.partition_queries = no_key);
    REFUSED("k", o.partition_queries = bad_query);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ls_delivery_create(stream, NAME, &horizon, &all[i].options), LS_ERR_INVALID_ARGUMENT);
        if (!says(all[i].word))
            fail_msg("%zu: '%s' is not in '%s'", i, all[i].word, ls_last_error_message());
    }
    make_delivery(stream, &base); /* What they were made of is good. */
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void names_and_positions_are_checked(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    const ls_position at_number = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1};
    const ls_position future = {.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX / 2};
    ls_group *group = NULL;

    assert_int_equal(ls_delivery_create(stream, "a/b", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("delivery"));
    assert_int_equal(ls_delivery_create(stream, NAME, &at_number, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("a delivery begins at"));
    assert_int_equal(ls_delivery_create(stream, NAME, &future, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("future"));
    assert_int_equal(ls_delivery_create(stream, NAME, &horizon, NULL), LS_ERR_INVALID_ARGUMENT);
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_create(stream, NAME, &horizon, &options), LS_ERR_EXISTS);
    assert_int_equal(ls_mapping_create(stream, NAME, &horizon, NULL), LS_ERR_EXISTS);
    assert_int_equal(ls_group_open(stream, NAME, NULL, &group), LS_ERR_STATE);
    assert_int_equal(ls_mapping_create(stream, "mapped", &horizon, NULL), LS_OK);
    assert_int_equal(ls_delivery_create(stream, "mapped", &horizon, &options), LS_ERR_EXISTS);
    assert_int_equal(ls_delivery_delete(stream, "mapped"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_update_raises_the_version_and_checks_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx), found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_delivery_description *description = NULL;

    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_ERR_NOT_FOUND);
    make_delivery(stream, &options);
    options.buffer_bytes = 7;
    options.flags = LS_DELIVERY_BACKUP;
    assert_int_equal(ls_delivery_update(stream, NAME, 2, &options), LS_ERR_STATE);
    assert_true(says("version 1"));
    assert_int_equal(ls_delivery_update(stream, NAME, 1, &options), LS_OK);
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_OK);
    options.flags = 0;
    assert_int_equal(ls_delivery_update(stream, NAME, 3, &options), LS_ERR_STATE);
    assert_true(says("backup"));
    options.flags = LS_DELIVERY_BACKUP;
    options.prefix = "!{";
    assert_int_equal(ls_delivery_update(stream, NAME, 3, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    assert_int_equal(ls_delivery_description_info(description, &info), LS_OK);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_OK);
    assert_int_equal(info.version, 3);
    assert_true(info.modified_us >= info.created_us);
    assert_int_equal(found.buffer_bytes, 7);
    ls_delivery_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_delivery_goes_with_all_that_is_known_of_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    ls_delivery_description *description = NULL;
    ls_delivery *delivery = NULL;

    assert_int_equal(ls_delivery_delete(stream, NAME), LS_ERR_NOT_FOUND);
    make_delivery(stream, &options);
    put_numbers(stream, 0, 10, 3);
    catch_up(stream);
    assert_int_equal(ls_delivery_open(stream, NAME, &delivery), LS_OK);
    assert_int_equal(ls_delivery_delete(stream, NAME), LS_OK);
    assert_int_equal(ls_delivery_run(delivery, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_ERR_NOT_FOUND);
    make_delivery(stream, &options); /* It begins anew, and is another. */
    assert_int_equal(ls_delivery_run(delivery, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_delivery_close(delivery), LS_OK);
    catch_up(stream);
    objects found = delivered(fx);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.all[0].bytes, found.all[1].bytes);
    free_objects(&found);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void deliveries_are_listed_in_pages(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_delivery_list *list = NULL;

    assert_int_equal(ls_stream_list_deliveries(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_delivery_list_count(list), 0);
    ls_delivery_list_free(list);
    ls_delivery_list_free(NULL);
    assert_int_equal(ls_delivery_create(stream, "b", &horizon, &options), LS_OK);
    assert_int_equal(ls_delivery_create(stream, "a", &horizon, &options), LS_OK);
    assert_int_equal(ls_delivery_create(stream, "c", &horizon, &options), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "ab", &horizon, NULL), LS_OK); /* It is none. */
    assert_int_equal(ls_stream_list_deliveries(stream, NULL, 2, &list), LS_OK);
    assert_int_equal(ls_delivery_list_count(list), 2);
    assert_int_equal(ls_delivery_list_has_more(list), 1);
    assert_int_equal(ls_delivery_list_at(list, 1, &info), LS_OK);
    assert_string_equal(info.name, "b");
    assert_int_equal(ls_delivery_list_at(list, 2, &info), LS_ERR_INVALID_ARGUMENT);
    info.size = 0;
    assert_int_equal(ls_delivery_list_at(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
    ls_delivery_list_free(list);
    info.size = sizeof info;
    assert_int_equal(ls_stream_list_deliveries(stream, "b", 0, &list), LS_OK);
    assert_int_equal(ls_delivery_list_count(list), 1);
    assert_int_equal(ls_delivery_list_has_more(list), 0);
    assert_int_equal(ls_delivery_list_at(list, 0, &info), LS_OK);
    assert_string_equal(info.name, "c");
    ls_delivery_list_free(list);
    assert_int_equal(ls_stream_list_deliveries(stream, NULL, 10001, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void sizes_that_no_caller_sets_are_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx), found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_delivery_description *description = NULL;

    options.size = 4;
    assert_int_equal(ls_delivery_create(stream, NAME, &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    options.size = sizeof options;
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    info.size = 1;
    found.size = 1;
    assert_int_equal(ls_delivery_description_info(description, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_ERR_INVALID_ARGUMENT);
    ls_delivery_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: what a later release has made of a delivery, or knows of its progress, ends a run, and is neither run nor
 * changed. Method: the number of its format, with which the value begins. */
static void a_delivery_of_a_later_release_is_left_alone(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    lsi_state_change change = {.key = text(LSI_DELIVERY_PREFIX NAME), .expected = LSI_STATE_ANY};
    ls_delivery_run_options until = until_caught_up();
    ls_delivery_description *description = NULL;
    ls_delivery_list *list = NULL;
    ls_delivery *opened = NULL;
    lsi_delivery *kept = NULL;
    running run;
    ls_bytes value;
    uint32_t conflict;

    options.interval_ms = LS_DELIVERY_AT_ONCE;
    make_delivery(stream, &options);
    begin_run(&run, stream, &(ls_delivery_run_options)LS_DELIVERY_RUN_OPTIONS_INIT);
    put_numbers(stream, 0, 1, 1);
    assert_int_equal(lsi_delivery_load(stream->stream, NAME, &kept), LS_OK);
    assert_int_equal(lsi_delivery_encode(&lsi_memory_libc, kept, &value), LS_OK);
    lsi_delivery_free(kept);
    change.value = value;
    ((unsigned char *)(uintptr_t)value.data)[0] += 100;
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    assert_int_equal(pthread_join(run.thread, NULL), 0);
    assert_int_equal(run.st, LS_ERR_VERSION);
    assert_int_equal(ls_delivery_close(run.delivery), LS_OK);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_ERR_VERSION);
    assert_true(says("'" NAME "'"));
    assert_int_equal(ls_delivery_open(stream, NAME, &opened), LS_ERR_VERSION);
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_ERR_VERSION);
    assert_int_equal(ls_delivery_delete(stream, NAME), LS_ERR_VERSION);
    assert_int_equal(ls_stream_list_deliveries(stream, NULL, 0, &list), LS_ERR_VERSION);
    ((unsigned char *)(uintptr_t)value.data)[0] -= 100;
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    change = (lsi_state_change){.key = text(LSI_DELIVERY_AT_PREFIX NAME "/0000000000"), .expected = LSI_STATE_ANY,
                                .value = text("\x02later")};
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    put_numbers(stream, 1, 2, 1);
    assert_int_equal(run_with(stream, &until), LS_ERR_VERSION);
    assert_true(says("the progress of delivery '" NAME "'"));
    change.value = (ls_bytes){NULL, 0};
    assert_int_equal(stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict), LS_OK);
    catch_up(stream);
    assert_once(fx, 2);
    lsi_free(&lsi_memory_libc, (void *)(uintptr_t)value.data);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void options_of_a_run_are_checked(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    ls_delivery_run_options run = LS_DELIVERY_RUN_OPTIONS_INIT, bad;
    ls_delivery *delivery = NULL;

    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_open(stream, "none", &delivery), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_delivery_open(stream, NAME, &delivery), LS_OK);
    bad = run;
    bad.flags = 4;
    assert_int_equal(ls_delivery_run(delivery, &bad), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("flags"));
    bad = run;
    bad.failover_ms = 99;
    assert_int_equal(ls_delivery_run(delivery, &bad), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("failover_ms"));
    bad = run;
    bad.memory_bytes_max = 1;
    assert_int_equal(ls_delivery_run(delivery, &bad), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("memory_bytes_max"));
    assert_int_equal(ls_delivery_wait(delivery, -2), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_delivery_wait(delivery, 0), LS_OK);
    ls_delivery_stop(NULL);
    ls_delivery_stop(delivery);
    assert_int_equal(ls_delivery_run(delivery, &run), LS_OK); /* It ends at once. */
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE);
    assert_int_equal(ls_delivery_close(delivery), LS_OK);
    assert_int_equal(ls_delivery_close(NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_created_is_described),
        TEST(a_bucket_is_kept_with_its_place),
        TEST(defaults_are_spelled_out),
        TEST(settings_that_break_a_rule_are_refused),
        TEST(names_and_positions_are_checked),
        TEST(an_update_raises_the_version_and_checks_it),
        TEST(a_delivery_goes_with_all_that_is_known_of_it),
        TEST(deliveries_are_listed_in_pages),
        TEST(sizes_that_no_caller_sets_are_refused),
        TEST(a_delivery_of_a_later_release_is_left_alone),
        TEST(options_of_a_run_are_checked),
    };

    run_everywhere("deliveries", tests);
}
