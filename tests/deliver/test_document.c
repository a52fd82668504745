/* Transform documents: the request as the service writes it, and each rule of spec/firehose.md, section 3, on what
 * comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/document.h"
#include "support/sim_memory.h"

#define NUMBER "49546986683135544286507457936321625675700192471156785154"

static const lsi_transform_record records[] = {
    {.data = {"one", 3}, .partition_key = {"k\"1", 3}, .sequence_number = NUMBER, .subsequence = 0,
     .arrival_us = INT64_C(1495072949453999), .shard_id = "shardId-000000000003"},
    {.data = {NULL, 0}, .partition_key = {"k", 1}, .sequence_number = NUMBER, .subsequence = 1,
     .arrival_us = INT64_C(1495072949453999), .shard_id = "shardId-000000000003"},
    {.data = {"\0\xff", 2}, .partition_key = {"k", 1}, .sequence_number = "7", .subsequence = 0, .arrival_us = -1,
     .shard_id = "shardId-000000000003"},
};
static const lsi_transform_batch batch = {.invocation_id = "id", .delivery_arn = "arn:d", .stream_arn = "arn:s",
                                          .region = "us-east-1", .records = records, .count = 3};

#define ID0 "\"recordId\":\"" NUMBER "000000\""
#define ID1 "\"recordId\":\"" NUMBER "000001\""
#define ID2 "\"recordId\":\"7000002\""
#define OK0 "{" ID0 ",\"result\":\"Ok\",\"data\":\"YQ==\"}"
#define OK1 "{" ID1 ",\"result\":\"Ok\",\"data\":\"Yg==\"}"
#define OK2 "{" ID2 ",\"result\":\"Ok\",\"data\":\"Yw==\"}"
#define RESPONSE(x) "{\"records\":[" x "]}"

/* ---- the request ---- */

static void the_request_is_as_the_service_writes_it(void **state)
{
    lsi_transform_batch bare = batch;
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_transform_request_write(&to, &batch);
    assert_string_equal(to.text,
        "{\"invocationId\":\"id\",\"deliveryStreamArn\":\"arn:d\",\"sourceKinesisStreamArn\":\"arn:s\","
        "\"region\":\"us-east-1\",\"records\":["
        "{" ID0 ",\"approximateArrivalTimestamp\":1495072949453,\"data\":\"b25l\",\"kinesisRecordMetadata\":{"
        "\"sequenceNumber\":\"" NUMBER "\",\"subsequenceNumber\":0,\"partitionKey\":\"k\\\"1\","
        "\"shardId\":\"shardId-000000000003\",\"approximateArrivalTimestamp\":1495072949453}},"
        "{" ID1 ",\"approximateArrivalTimestamp\":1495072949453,\"data\":\"\",\"kinesisRecordMetadata\":{"
        "\"sequenceNumber\":\"" NUMBER "\",\"subsequenceNumber\":1,\"partitionKey\":\"k\","
        "\"shardId\":\"shardId-000000000003\",\"approximateArrivalTimestamp\":1495072949453}},"
        "{" ID2 ",\"approximateArrivalTimestamp\":-1,\"data\":\"AP8=\",\"kinesisRecordMetadata\":{"
        "\"sequenceNumber\":\"7\",\"subsequenceNumber\":0,\"partitionKey\":\"k\","
        "\"shardId\":\"shardId-000000000003\",\"approximateArrivalTimestamp\":-1}}]}");
    lsi_json_free(&to);
    bare.delivery_arn = bare.stream_arn = bare.region = NULL;
    bare.count = 0;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_transform_request_write(&to, &bare);
    assert_string_equal(to.text, "{\"invocationId\":\"id\",\"records\":[]}");
    lsi_json_free(&to);
}

/* ---- the response ---- */

/* "" and `*out`, or "CODE: message". A view until the next one. */
static const char *read_text(lsi_transform_reader *reader, const char *text, size_t size, const lsi_transformed **out)
{
    static char said[1024];
    const char *code, *message;
    ls_status before = ls_last_error_status();
    char *own = malloc(size != 0 ? size : 1);

    assert_non_null(own);
    memcpy(own, text, size);
    assert_int_equal(lsi_transform_response_read(reader, (ls_bytes){own, size}, &batch, out, &code, &message), LS_OK);
    assert_int_equal(ls_last_error_status(), before);
    free(own); /* Nothing of it is kept. */
    assert_true((code == NULL) == (*out != NULL) && (code == NULL) == (message == NULL));
    said[0] = '\0';
    if (code != NULL)
        snprintf(said, sizeof said, "%s: %s", code, message);
    return said;
}

static lsi_transform_reader *open_reader(void)
{
    lsi_transform_reader *reader = NULL;

    assert_int_equal(lsi_transform_reader_open(&lsi_memory_libc, &reader), LS_OK);
    return reader;
}

static void assert_bytes(ls_bytes got, const char *wanted)
{
    assert_int_equal(got.size, strlen(wanted));
    assert_memory_equal(got.data, wanted, got.size);
}

/* T3: in reverse order, members in any order, unknown ones in between. */
static void each_record_has_its_outcome_in_source_order(void **state)
{
    static const char text[] =
        " {\"version\":[{\"records\":1}],\"records\":["
        "{\"data\":\"AP8=\",\"more\":{\"recordId\":[]},\"metadata\":{\"x\":{\"partitionKeys\":{\"n\":\"no\"}},"
        "\"partitionKeys\":{\"a\":\"1\",\"b\":2.50,\"c\":true,\"d\":null,\"e\":\"\"}},\"result\":\"Ok\"," ID2 "},"
        "{\"result\":\"Dropped\"," ID1 ",\"data\":{\"recordId\":[5],\"result\":{}},\"metadata\":null},"
        "{" ID0 ",\"data\":\"not base64\",\"result\":\"ProcessingFailed\"}],\"end\":0} ";
    lsi_transform_reader *reader = open_reader();
    const lsi_transformed *out;

    (void)state;
    for (int again = 0; again < 2; again++) {
        assert_string_equal(read_text(reader, text, sizeof text - 1, &out), "");
        assert_int_equal(out[0].result, LSI_TRANSFORM_FAILED);
        assert_int_equal(out[0].data.size, 0);
        assert_int_equal(out[1].result, LSI_TRANSFORM_DROPPED);
        assert_int_equal(out[2].result, LSI_TRANSFORM_OK);
        assert_int_equal(out[2].data.size, 2);
        assert_memory_equal(out[2].data.data, "\0\xff", 2);
        assert_int_equal(out[2].key_count, 4);
        assert_bytes(out[2].keys[0].name, "a");
        assert_bytes(out[2].keys[0].value, "1");
        assert_bytes(out[2].keys[1].value, "2.50");
        assert_bytes(out[2].keys[2].name, "c");
        assert_bytes(out[2].keys[2].value, "true");
        assert_bytes(out[2].keys[3].name, "e");
        assert_bytes(out[2].keys[3].value, "");
        assert_int_equal(out[0].key_count + out[1].key_count, 0);
        /* Another answer in between leaves nothing behind. */
        assert_string_equal(read_text(reader, RESPONSE(OK2 "," OK0 "," OK1), strlen(RESPONSE(OK2 "," OK0 "," OK1)),
                                      &out), "");
        assert_bytes(out[0].data, "a");
        assert_bytes(out[1].data, "b");
        assert_bytes(out[2].data, "c");
        assert_int_equal(out[2].key_count, 0);
    }
    lsi_transform_reader_close(reader);
}

/* T1, T2: what fails a batch as a whole. */
static void a_broken_rule_fails_the_whole_batch(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {RESPONSE(OK0 "," OK2), "Lambda.MissingRecordId: recordId '" NUMBER "000001' is not in the response"},
        {RESPONSE(""), "Lambda.MissingRecordId: recordId '" NUMBER "000000' is not"},
        {RESPONSE(OK0 "," OK1 "," OK1 "," OK2), "Lambda.DuplicatedRecordId: recordId '" NUMBER "000001' is in"},
        {RESPONSE(OK0 "," OK1 "," OK0), "Lambda.DuplicatedRecordId: recordId '" NUMBER "000000'"},
        {"", "Lambda.JsonProcessingException: the response is no JSON"},
        {"{\"records\":[", "Lambda.JsonProcessingException: the response is no JSON"},
        {RESPONSE(OK0 "," OK1 "," OK2) "x", "Lambda.JsonProcessingException: the response is no JSON"},
        {RESPONSE(OK0 "," OK1 "," OK2 ",{\"a\":\"\xff\"}"), "Lambda.JsonProcessingException: the response is no JSON"},
        {"[]", "Lambda.JsonProcessingException: the response is no object"},
        {"null", "the response is no object"}, {"\"x\"", "the response is no object"},
        {"{}", "Lambda.JsonProcessingException: the response has no records"},
        {"{\"Records\":[" OK0 "," OK1 "," OK2 "]}", "the response has no records"},
        {"{\"records\":{}}", "records of the response: an array is expected"},
        {"{\"records\":null}", "records of the response: an array is expected"},
        {RESPONSE("1"), "record 1 of the response: an object is expected"},
        {RESPONSE(OK0 ",[]"), "record 2 of the response: an object is expected"},
        {RESPONSE("{}"), "record 1 of the response has no recordId"},
        {RESPONSE("{\"recordid\":\"7000002\",\"result\":\"Dropped\"}"), "record 1 of the response has no recordId"},
        {RESPONSE("{\"recordId\":7000002,\"result\":\"Dropped\"}"), "recordId of record 1 of the response: a string"},
        {RESPONSE("{\"recordId\":\"7000001\",\"result\":\"Dropped\"}"), "recordId '7000001' is none of the request's"},
        {RESPONSE("{\"recordId\":\"7000003\",\"result\":\"Dropped\"}"), "recordId '7000003' is none of the request's"},
        {RESPONSE("{\"recordId\":\"07000002\",\"result\":\"Dropped\"}"), "is none of the request's"},
        {RESPONSE("{\"recordId\":\"\",\"result\":\"Dropped\"}"), "recordId '' is none of the request's"},
        {RESPONSE("{\"recordId\":\"x\\ny\",\"result\":\"Dropped\"}"), "recordId 'x?y' is none of the request's"},
        {RESPONSE("{\"recordId\":\"abcdefg\",\"result\":\"Dropped\"}"), "recordId 'abcdefg' is none"},
        {RESPONSE(OK0 "," OK1 "," OK2 ",{\"recordId\":\"new\",\"result\":\"Ok\",\"data\":\"\"}"), /* no more records */
         "recordId 'new' is none of the request's"},
        {RESPONSE("{" ID0 "}"), "record 1 of the response has no result"},
        {RESPONSE("{" ID0 ",\"result\":null}"), "result of record 1 of the response: a string is expected"},
        {RESPONSE("{" ID0 ",\"result\":\"ok\",\"data\":\"\"}"), "result 'ok' of record 1 of the response: it is Ok"},
        {RESPONSE("{" ID0 ",\"result\":\"OK\",\"data\":\"\"}"), "result 'OK' of record 1"},
        {RESPONSE("{" ID0 ",\"result\":\"dropped\"}"), "result 'dropped' of record 1"},
        {RESPONSE("{" ID0 ",\"result\":\"Processingfailed\"}"), "result 'Processingfailed' of record 1"},
        {RESPONSE("{" ID0 ",\"result\":\"Ok\"}"), "record 1 of the response is Ok and has no data"},
        {RESPONSE("{" ID0 ",\"result\":\"Ok\",\"data\":null}"), "record 1 of the response is Ok and has no data"},
        {RESPONSE("{" ID0 ",\"result\":\"Ok\",\"data\":\"YQ=\"}"), "data of record 1 of the response is no base64"},
        {RESPONSE("{" ID0 ",\"result\":\"Ok\",\"data\":5}"), "data of record 1 of the response: a string is expected"},
        {RESPONSE("{" ID0 ",\"data\":{\"a\":[5]},\"result\":\"Ok\"}"), "data of record 1 of the response: a string"},
        {RESPONSE("{" ID0 ",\"result\":\"Ok\",\"result\":\"Ok\",\"data\":\"\"}"), "the response is no JSON"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":[]}"), "metadata of record 1 of the response: an obj"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":{\"partitionKeys\":\"a\"}}"),
         "partitionKeys of record 1 of the response: an object is expected"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":{\"partitionKeys\":{\"a\":[]}}}"),
         "a partition key of record 1 of the response: a string is expected"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":{\"partitionKeys\":{\"a\":1,\"a\":2}}}"),
         "the response is no JSON"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":{\"partitionKeys\":{\"\":1}}}"),
         "a partition key of record 1 of the response has a name of 0 bytes"},
        {RESPONSE("{" ID0 ",\"result\":\"Dropped\",\"metadata\":{\"partitionKeys\":{\"a\\u0000\":1}}}"),
         "a partition key of record 1 of the response has a name of 2 bytes, or U+0000 in it"},
    };
    lsi_transform_reader *reader = open_reader();
    const lsi_transformed *out;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *said = read_text(reader, bad[i].text, strlen(bad[i].text), &out);

        if (strstr(said, bad[i].said) == NULL)
            fail_msg("%s\nsaid '%s', not '%s'", bad[i].text, said, bad[i].said);
        assert_true(said == strstr(said, "Lambda."));
        assert_string_equal(read_text(reader, RESPONSE(OK2 "," OK1 "," OK0), strlen(RESPONSE(OK2 "," OK1 "," OK0)),
                                      &out), ""); /* The next batch is another. */
    }
    lsi_transform_reader_close(reader);
}

static void a_record_has_at_most_50_partition_keys(void **state)
{
    lsi_transform_reader *reader = open_reader();
    const lsi_transformed *out;
    char text[4096], *at = text;

    (void)state;
    for (unsigned count = 50; count <= 51; count++) {
        at = text + sprintf(text, "{\"records\":[" OK0 "," OK1 ",{" ID2 ",\"result\":\"Ok\",\"data\":\"\","
                                  "\"metadata\":{\"partitionKeys\":{\"none\":null");
        for (unsigned i = 0; i < count; i++)
            at += sprintf(at, ",\"k%u\":%u", i, i);
        at += sprintf(at, "}}}]}");
        assert_string_equal(read_text(reader, text, (size_t)(at - text), &out),
                            count == 50 ? "" : "Lambda.JsonProcessingException: record 3 of the response has more than "
                                               "50 partition keys");
    }
    lsi_transform_reader_close(reader);
}

/* 6 MiB, to the byte. */
static void a_response_of_more_than_6_mib_fails_the_batch(void **state)
{
    static const char head[] = "{\"records\":[" OK1 "," OK2 ",{" ID0 ",\"result\":\"Ok\",\"data\":\"", tail[] = "\"}]}";
    size_t size = LSI_TRANSFORM_DOCUMENT_MAX + 1;
    char *text = malloc(size);
    lsi_transform_reader *reader = open_reader();
    const lsi_transformed *out;
    size_t data = (LSI_TRANSFORM_DOCUMENT_MAX - (sizeof head - 1) - (sizeof tail - 1)) / 4 * 4;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, head, sizeof head - 1);
    memset(text + sizeof head - 1, 'A', data);
    memcpy(text + sizeof head - 1 + data, tail, sizeof tail - 1);
    assert_string_equal(read_text(reader, text, LSI_TRANSFORM_DOCUMENT_MAX, &out), "");
    assert_int_equal(out[0].data.size, data / 4 * 3);
    assert_string_equal(read_text(reader, text, LSI_TRANSFORM_DOCUMENT_MAX + 1, &out),
                        "Lambda.FunctionError: the response has more than 6291456 bytes");
    free(text);
    lsi_transform_reader_close(reader);
}

static void without_memory_nothing_is_left(void **state)
{
    static const char text[] = RESPONSE(OK0 "," OK1 ",{" ID2 ",\"result\":\"Ok\",\"data\":\"Yw==\",\"metadata\":{"
                                        "\"partitionKeys\":{\"a\":\"b\",\"c\":\"d\"}}}");
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    const lsi_transformed *out = NULL;
    const char *code, *message;
    ls_status st = LS_OK;

    (void)state;
    for (uint64_t nth = 1; nth < 100; nth++) {
        lsi_transform_reader *reader = NULL;

        sim_memory_fail(&memory, nth, true);
        st = lsi_transform_reader_open(&table, &reader);
        if (st == LS_OK)
            st = lsi_transform_response_read(reader, (ls_bytes){text, sizeof text - 1}, &batch, &out, &code, &message);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        if (st == LS_OK)
            assert_bytes(out[2].keys[1].value, "d");
        lsi_transform_reader_close(reader);
        assert_int_equal(memory.live, 0);
    }
    assert_int_equal(st, LS_OK);
}

int main(void)
{
    const struct CMUnitTest documents[] = {
        cmocka_unit_test(the_request_is_as_the_service_writes_it),
        cmocka_unit_test(each_record_has_its_outcome_in_source_order),
        cmocka_unit_test(a_broken_rule_fails_the_whole_batch),
        cmocka_unit_test(a_record_has_at_most_50_partition_keys),
        cmocka_unit_test(a_response_of_more_than_6_mib_fails_the_batch),
        cmocka_unit_test(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests_name("transform documents", documents, NULL, NULL);
}
