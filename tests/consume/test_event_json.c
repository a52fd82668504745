/* The documents for handlers and destinations: spec/lambda-event-source-mapping.md, sections 1, 5, 7 and 9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consume/mapping/event_json.h"
#include "stream/stream.h"
#include "support/sim_memory.h"

#define ARN "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"

static const lsi_event_source source = {
    .names = {ARN, "arn:aws:iam::123456789012:role/lambda-role", "us-east-2"},
    .shard = 6,
    .shard_created_us = INT64_C(1545084600000000),
};

static const ls_record records[] = {
    {.partition_key = {"1", 1}, .data = {"Hello, this is a test.", 22}, .seqno = 5,
     .arrival_us = INT64_C(1545084650987654)},
    {.partition_key = {"a\"\n\xc3\xa4", 5}, .data = {NULL, 0}, .seqno = 9, .arrival_us = INT64_C(1545084711166000)},
};

static const char *number_of(const ls_record *record)
{
    static char texts[4][LSI_SEQNO56_BYTES];
    static int turn;

    turn = (turn + 1) % 4;
    lsi_seqno56_format(&(lsi_seqno56){.counter = record->seqno, .shard = source.shard,
                                      .created_seconds = source.shard_created_us / 1000000,
                                      .record_seconds = record->arrival_us / 1000000}, texts[turn]);
    return texts[turn];
}

/* The one example of the specification, member for member. */
static void an_event_is_lambdas(void **state)
{
    const lsi_invocation what = {.records = records, .count = 2};
    lsi_json_writer to;
    char expected[4096];

    (void)state;
#define REST                                                                                                          \
    "\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\",\"eventID\":\"shardId-000000000006:%s\","               \
    "\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":\"arn:aws:iam::123456789012:role/lambda-role\","      \
    "\"awsRegion\":\"us-east-2\",\"eventSourceARN\":\"" ARN "\"}"
    snprintf(expected, sizeof expected,
             "{\"Records\":[{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":\"1\","
             "\"sequenceNumber\":\"%s\",\"data\":\"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==\","
             "\"approximateArrivalTimestamp\":1545084650.987}," REST
             ",{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":\"a\\\"\\n\xc3\xa4\","
             "\"sequenceNumber\":\"%s\",\"data\":\"\",\"approximateArrivalTimestamp\":1545084711.166}," REST "]}",
             number_of(&records[0]), number_of(&records[0]), number_of(&records[1]), number_of(&records[1]));
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_event_write(&to, &source, &what);
    assert_string_equal(to.text, expected);
    lsi_json_free(&to);
}

static void names_that_are_not_known_are_left_out(void **state)
{
    const lsi_event_source nameless = {.shard = 6};
    const lsi_invocation what = {.records = records, .count = 1, .is_windowed = true};
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_event_write(&to, &nameless, &what);
    assert_null(strstr(to.text, "RN\""));
    assert_null(strstr(to.text, "Arn"));
    assert_null(strstr(to.text, "awsRegion"));
    assert_non_null(strstr(to.text, "\"eventName\":\"aws:kinesis:record\"}]"));
    lsi_json_free(&to);
}

static void a_windowed_event_has_window_and_state(void **state)
{
    const lsi_invocation what = {
        .is_windowed = true,
        .is_final = true,
        .window_start_us = INT64_C(1607497440000000),
        .window_end_us = INT64_C(1607497560000000),
        .state = {"{\"1\":282,\"2\":715}XX", 17},
    };
    lsi_invocation first = what;
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_event_write(&to, &source, &what);
    assert_string_equal(to.text,
                        "{\"Records\":[],\"window\":{\"start\":\"2020-12-09T07:04:00Z\","
                        "\"end\":\"2020-12-09T07:06:00Z\"},\"state\":{\"1\":282,\"2\":715},"
                        "\"shardId\":\"shardId-000000000006\",\"eventSourceARN\":\"" ARN "\","
                        "\"isFinalInvokeForWindow\":true,\"isWindowTerminatedEarly\":false}");
    lsi_json_free(&to);
    first.state.size = 0;
    first.is_final = false;
    first.is_terminated_early = true;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_event_write(&to, &source, &first);
    assert_non_null(strstr(to.text, "\"state\":{},"));
    assert_non_null(strstr(to.text, "\"isFinalInvokeForWindow\":false,\"isWindowTerminatedEarly\":true}"));
    lsi_json_free(&to);
}

/* Checklist 1: an encoded event is never longer than what was reckoned for it. Method: keys of any bytes, data of any
 * length, the longest numbers and times, names of any length. */
static void no_event_is_longer_than_reckoned(void **state)
{
    static unsigned char bytes[4096];
    static char name[700];
    uint64_t chance = 42;

    (void)state;
    for (uint32_t round = 0; round < 600; round++) {
        lsi_event_source from = {.shard = UINT32_MAX, .shard_created_us = INT64_MAX};
        ls_record many[5];
        lsi_invocation what = {.records = many, .count = round % 6};
        uint64_t reckoned = LSI_EVENT_AROUND_BYTES;
        lsi_json_writer to;
        uint32_t extra;

        memset(name, round % 2 == 0 ? 'n' : '"', sizeof name);
        name[round % sizeof name] = '\0';
        if (round % 3 != 0)
            from.names = (lsi_filter_names){name, name, name};
        extra = lsi_event_extra_bytes(&from.names);
        assert_true(extra >= 512);
        for (uint32_t i = 0; i < sizeof bytes; i++) {
            chance = chance * UINT64_C(6364136223846793005) + 1;
            bytes[i] = (unsigned char)(chance >> 56);
            if (round % 4 == 1)
                bytes[i] &= 31;
        }
        for (uint32_t i = 0; i < what.count; i++) {
            many[i] = (ls_record){
                .partition_key = {bytes + i, 1 + (round * 7 + i) % 1024},
                .data = {bytes, (round * 13 + i) % sizeof bytes},
                .seqno = LS_SEQNO_MAX - 10 + i,
                .arrival_us = round % 5 == 0 ? INT64_MIN : INT64_MAX,
            };
            if (round % 7 == 0) {
                many[i].flags = LS_RECORD_AGGREGATED | LS_RECORD_EXPLICIT_HASH_KEY;
                many[i].explicit_hash_key = (ls_hash_key){UINT64_MAX, UINT64_MAX};
                many[i].sub_seqno = UINT32_MAX;
            }
            reckoned += lsi_event_record_bytes(&many[i], extra);
        }
        what.is_windowed = round % 2 == 0;
        what.window_start_us = INT64_MIN;
        what.window_end_us = INT64_MIN;
        lsi_json_begin(&to, &lsi_memory_libc);
        lsi_event_write(&to, &from, &what);
        assert_false(to.failed);
        if (what.is_windowed && from.names.event_source_arn != NULL)
            reckoned += lsi_json_escaped_size(name, strlen(name));
        assert_true(to.size <= reckoned);
        lsi_json_free(&to);
    }
}

/* What is more to them are the names that aws_kinesis_agg gives; the id of the event says which of them it is. */
static void an_event_of_user_records_says_so(void **state)
{
    ls_record users[2] = {records[0], records[0]};
    const lsi_invocation what = {.records = users, .count = 2};
    char expected[512];
    lsi_json_writer to;

    (void)state;
    users[0].flags = LS_RECORD_AGGREGATED;
    users[1].flags = LS_RECORD_AGGREGATED | LS_RECORD_EXPLICIT_HASH_KEY;
    users[1].sub_seqno = 1;
    users[1].explicit_hash_key = (ls_hash_key){0, 42};
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_event_write(&to, &source, &what);
    assert_non_null(strstr(to.text, "\"approximateArrivalTimestamp\":1545084650.987,\"subSequenceNumber\":0,"
                                    "\"aggregated\":true},"));
    assert_non_null(strstr(to.text, "\"approximateArrivalTimestamp\":1545084650.987,\"explicitHashKey\":\"42\","
                                    "\"subSequenceNumber\":1,\"aggregated\":true},"));
    snprintf(expected, sizeof expected, "\"sequenceNumber\":\"%s\"", number_of(&users[1]));
    assert_non_null(strstr(to.text, expected));
    for (int i = 0; i < 2; i++) {
        snprintf(expected, sizeof expected, "\"eventID\":\"shardId-000000000006:%s.%d\"", number_of(&users[i]), i);
        assert_non_null(strstr(to.text, expected));
    }
    lsi_json_free(&to);
}

/* ---- reports ---- */

static void a_report_of_user_records_says_which(void **state)
{
    const lsi_failure failure = {.source = source, .request_id = "id-1", .function_arn = "fn"};
    ls_record users[2] = {records[0], records[0]};
    const lsi_batcher_action action = {.kind = LSI_BATCHER_DISCARD, .reason = LSI_DISCARD_RETRIES, .invoke_count = 1,
                                       .invocation = {.records = users, .count = 2}};
    lsi_json_writer to;

    (void)state;
    users[0].flags = users[1].flags = LS_RECORD_AGGREGATED;
    users[0].sub_seqno = 3;
    users[1].sub_seqno = 4;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_failure_write(&to, &failure, &action);
    assert_non_null(strstr(to.text, "\"startSubSequenceNumber\":3,\"endSubSequenceNumber\":4,\"batchSize\":2"));
    lsi_json_free(&to);
}

static void a_report_is_the_services(void **state)
{
    const lsi_failure failure = {.source = source, .request_id = "id-1", .function_arn = "fn",
                                 .now_us = INT64_C(1573691886021000)};
    lsi_batcher_action action = {
        .kind = LSI_BATCHER_DISCARD,
        .reason = LSI_DISCARD_RETRIES,
        .invoke_count = 2,
        .is_unhandled = true,
        .invocation = {.records = records, .count = 2},
    };
    lsi_json_writer to;
    char expected[2048];

    (void)state;
    for (int k = 0; k < 4; k++) {
        static const char *const middles[] = {
            "\"condition\":\"RetryAttemptsExhausted\",\"approximateInvokeCount\":2},\"responseContext\":"
            "{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"}",
            "\"condition\":\"RetryAttemptsExhausted\",\"approximateInvokeCount\":2},\"responseContext\":"
            "{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":null}",
            "\"condition\":\"RecordAgeExceeded\",\"approximateInvokeCount\":1}",
            "\"condition\":\"RecordAgeExceeded\",\"approximateInvokeCount\":1}",
        };

        if (k >= 1)
            action.is_unhandled = false;
        if (k >= 2) {
            action.reason = k == 2 ? LSI_DISCARD_AGE : LSI_DISCARD_EXPIRED;
            action.invoke_count = 1;
        }
        snprintf(expected, sizeof expected,
                 "{\"requestContext\":{\"requestId\":\"id-1\",\"functionArn\":\"fn\",%s,\"version\":\"1.0\","
                 "\"timestamp\":\"2019-11-14T00:38:06.021Z\",\"KinesisBatchInfo\":{"
                 "\"shardId\":\"shardId-000000000006\","
                 "\"startSequenceNumber\":\"%s\",\"endSequenceNumber\":\"%s\","
                 "\"approximateArrivalOfFirstRecord\":\"2018-12-17T22:10:50.987Z\","
                 "\"approximateArrivalOfLastRecord\":\"2018-12-17T22:11:51.166Z\",\"batchSize\":2,"
                 "\"streamArn\":\"" ARN "\"}}",
                 middles[k], number_of(&records[0]), number_of(&records[1]));
        lsi_json_begin(&to, &lsi_memory_libc);
        lsi_failure_write(&to, &failure, &action);
        assert_string_equal(to.text, expected);
        lsi_json_free(&to);
    }
}

/* With the records themselves, as a bucket gets them. */
static void a_report_may_have_the_event_as_payload(void **state)
{
    const lsi_failure failure = {.source = source, .has_payload = true};
    const lsi_batcher_action action = {.kind = LSI_BATCHER_DISCARD, .invocation = {.records = records, .count = 2}};
    lsi_json_writer to, event;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_failure_write(&to, &failure, &action);
    lsi_json_begin(&event, &lsi_memory_libc);
    lsi_event_write(&event, &source, &action.invocation);
    assert_true(to.size > event.size + 1);
    assert_memory_equal(to.text + to.size - event.size - 1, event.text, event.size);
    assert_non_null(strstr(to.text, "},\"payload\":{\"Records\":[{"));
    lsi_json_free(&event);
    lsi_json_free(&to);
}

/* The end of a window has no records, but a state, which is not lost either. */
static void a_report_of_a_windows_end_has_no_records(void **state)
{
    const lsi_failure failure = {.source = source, .has_payload = true};
    const lsi_batcher_action action = {
        .kind = LSI_BATCHER_DISCARD,
        .invocation = {.is_windowed = true, .is_final = true, .state = {"{\"n\":1}", 7}},
    };
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_failure_write(&to, &failure, &action);
    assert_non_null(strstr(to.text, "\"startSequenceNumber\":null,\"endSequenceNumber\":null,"
                                    "\"approximateArrivalOfFirstRecord\":null,\"approximateArrivalOfLastRecord\":null,"
                                    "\"batchSize\":0"));
    assert_non_null(strstr(to.text, "\"state\":{\"n\":1}"));
    lsi_json_free(&to);
}

/* So nothing is given up that no stream takes. The longest names and numbers, of a user record; `omitted`: its data. */
static void check_longest(uint64_t omitted)
{
    static const ls_record longest[] = {{.partition_key = {"k", 1}, .seqno = LS_SEQNO_MAX, .sub_seqno = UINT32_MAX - 1,
                                         .flags = LS_RECORD_AGGREGATED, .arrival_us = INT64_C(253402300799999999)}};
    const lsi_batcher_action action = {.kind = LSI_BATCHER_DISCARD, .reason = LSI_DISCARD_RETRIES,
                                       .invoke_count = UINT32_MAX, .is_unhandled = true,
                                       .invocation = {.records = longest, .count = 1}};
    char name[LSI_STREAM_NAME_MAX + 1], arn[LSI_STREAM_ARN_BYTES], shard[LSI_SHARD_ID_BYTES];
    lsi_failure failure = {.source = {.names = {.event_source_arn = arn}, .shard = LSI_SHARD_INDEX_END - 1,
                                      .shard_created_us = INT64_C(253402300799999999)},
                           .request_id = "01234567-89ab-4def-8123-456789abcdef", .function_arn = name,
                           .now_us = INT64_C(253402300799999999), .is_short = true, .omitted_bytes = omitted};
    lsi_json_writer to;

    memset(name, 'n', LSI_STREAM_NAME_MAX);
    name[LSI_STREAM_NAME_MAX] = '\0';
    lsi_stream_arn(name, arn);
    lsi_shard_id_format(failure.source.shard, shard);
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_failure_write(&to, &failure, &action);
    assert_false(to.failed);
    assert_in_range(to.size + strlen(shard), 900, LSI_RECORD_BYTES_MIN_LIMIT);
    lsi_json_free(&to);
}

static void a_short_report_fits_into_every_stream(void **state)
{
    (void)state;
    check_longest(0);
    check_longest(LSI_RECORD_BYTES_MAX_LIMIT);
}

static void every_allocation_may_fail(void **state)
{
    const lsi_invocation what = {.records = records, .count = 2};
    bool failed = true;

    (void)state;
    for (uint64_t nth = 1; failed; nth++) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        lsi_json_writer to;

        sim_memory_fail(&memory, nth, false);
        lsi_json_begin(&to, &table);
        lsi_event_write(&to, &source, &what);
        failed = memory.failed > 0;
        assert_int_equal(to.failed, failed);
        lsi_json_free(&to);
        assert_int_equal(memory.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_lambdas),
        cmocka_unit_test(names_that_are_not_known_are_left_out),
        cmocka_unit_test(a_windowed_event_has_window_and_state),
        cmocka_unit_test(no_event_is_longer_than_reckoned),
        cmocka_unit_test(an_event_of_user_records_says_so),
        cmocka_unit_test(a_report_of_user_records_says_which),
        cmocka_unit_test(a_report_is_the_services),
        cmocka_unit_test(a_report_may_have_the_event_as_payload),
        cmocka_unit_test(a_report_of_a_windows_end_has_no_records),
        cmocka_unit_test(a_short_report_fits_into_every_stream),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("documents of a mapping", tests, NULL, NULL);
}
