/* What a handler's answer amounts to: every row of spec/lambda-event-source-mapping.md, section 4, and the state of
 * section 7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libstream/status.h>

#include "consume/mapping/event_json.h"
#include "stream/stream.h"
#include "support/sim_memory.h"

#define RECORDS 200

static const lsi_event_source source = {.shard = 3, .shard_created_us = INT64_C(1545084600000000)};
static ls_record records[RECORDS];

static int make_records(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < RECORDS; i++) /* Numbers that are not consecutive, times that step rarely. */
        records[i] = (ls_record){.seqno = 95 + 3 * i, .arrival_us = INT64_C(1545084650000000) + i / 10 * 1000000};
    return 0;
}

static const char *number_of(uint32_t index)
{
    static char texts[4][LSI_SEQNO56_BYTES];
    static uint32_t turn;

    turn = (turn + 1) % 4;
    lsi_seqno56_format(&(lsi_seqno56){.counter = records[index].seqno, .shard = source.shard,
                                      .created_seconds = source.shard_created_us / 1000000,
                                      .record_seconds = records[index].arrival_us / 1000000}, texts[turn]);
    return texts[turn];
}

static lsi_json_writer kept;

static lsi_outcome read_with(uint32_t flags, const char *text)
{
    const lsi_invocation what = {.records = records, .count = RECORDS};
    lsi_outcome out;
    ls_status st;

    lsi_json_free(&kept);
    lsi_json_begin(&kept, &lsi_memory_libc);
    st = lsi_response_read(&lsi_memory_libc, text, strlen(text), flags, &source, &what, &kept, &out);
    assert_int_equal(st, LS_OK);
    return out;
}

static lsi_outcome_kind kind_of(const char *text)
{
    return read_with(LSI_RESPONSE_REPORTS, text).kind;
}

/* Trap 3, first half: exactly one invocation follows for each of these. */
static void these_bodies_are_complete_success(void **state)
{
    static const char *const bodies[] = {
        "", "\"\"", "[]", "null", "{}", "{\"batchItemFailures\":[]}", "{\"batchItemFailures\":null}",
        " ", "\n", " \t\r\n ", " \"\"\n",
        " {\"other\":[{\"itemIdentifier\":\"x\"}],\"more\":{\"batchItemFailures\":[5]}} ", "{\"state\":7}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(kind_of(bodies[i]), LSI_OUTCOME_SUCCESS);
}

/* Trap 3, second half. */
static void these_bodies_fail_the_whole_batch(void **state)
{
    static const char *const bodies[] = {
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":null}]}",
        "{\"batchItemFailures\":[{\"foo\":123}]}",
        "{\"batchItemFailures\":[{\"foo\":null}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"123\"}]}", /* no record has this counter */
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"98\"}]}",  /* one has, but is not written so */
        "{\"batchItemFailures\":[{\"itemIdentifier\":98}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":[\"98\"]}]}",
        "{\"batchItemFailures\":[{\"itemidentifier\":\"98\"}]}",
        "{\"batchItemFailures\":[{}]}",
        "{\"batchItemFailures\":[null]}",
        "{\"batchItemFailures\":[[]]}",
        "{\"batchItemFailures\":[\"98\"]}",
        "{\"batchItemFailures\":{}}",
        "{\"batchItemFailures\":\"\"}",
        "{\"batchItemFailures\":true}",
        "[{\"itemIdentifier\":\"98\"}]", "[1]", "7", "true", "\"text\"",
        "{", "{\"batchItemFailures\":[", "nonsense", "{} {}", "\v", "\xc2\xa0", "{\"batchItemFailures\":[]\xff}",
        "{\"batchItemFailures\":[],\"batchItemFailures\":[]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(kind_of(bodies[i]), LSI_OUTCOME_BAD_RESPONSE);
}

static lsi_outcome report(const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return read_with(LSI_RESPONSE_REPORTS, text);
}

static void the_lowest_number_is_the_checkpoint(void **state)
{
    lsi_outcome out;

    (void)state;
    for (uint32_t i = 0; i < RECORDS; i++) {
        out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"}]}", number_of(i));
        assert_int_equal(out.kind, LSI_OUTCOME_PARTIAL);
        assert_int_equal(out.failed_at, i);
    }
    out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"},{\"a\":[{\"b\":1}],\"itemIdentifier\":\"%s\"},"
                 "{\"itemIdentifier\":\"%s\"}]}", number_of(150), number_of(7), number_of(80));
    assert_int_equal(out.kind, LSI_OUTCOME_PARTIAL);
    assert_int_equal(out.failed_at, 7);
}

/* Method: three aggregates of five user records, of which the first one was begun before and the last is not whole. */
static void a_user_record_is_named_by_both_numbers(void **state)
{
    static const char *const bad[] = {"%s.", "%s.1x", "%s.x", "%s.4294967298", "%s.00000000002", "%s-2", "%s.-2"};
    ls_record before[RECORDS];
    lsi_outcome out;

    (void)state;
    memcpy(before, records, sizeof before);
    for (uint32_t i = 0; i < RECORDS; i++) {
        records[i].seqno = 100 + (i + 2) / 5;
        records[i].arrival_us = INT64_C(1545084650000000) + (int64_t)records[i].seqno * 1000000;
        records[i].sub_seqno = (i + 2) % 5;
        records[i].sub_count = 5;
        records[i].flags = LS_RECORD_AGGREGATED;
    }
    for (uint32_t i = 0; i < RECORDS; i++) {
        out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s.%u\"}]}", number_of(i), records[i].sub_seqno);
        assert_int_equal(out.kind, LSI_OUTCOME_PARTIAL);
        assert_int_equal(out.failed_at, i);
        out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"}]}", number_of(i));
        assert_int_equal(out.kind, LSI_OUTCOME_PARTIAL); /* the first one of it that is there */
        assert_int_equal(out.failed_at, i < 3 ? 0 : i - records[i].sub_seqno);
    }
    out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s.1\"}]}", number_of(0)); /* not of this batch */
    assert_int_equal(out.kind, LSI_OUTCOME_BAD_RESPONSE);
    out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s.5\"}]}", number_of(10));
    assert_int_equal(out.kind, LSI_OUTCOME_BAD_RESPONSE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char identifier[100];

        snprintf(identifier, sizeof identifier, bad[i], number_of(0));
        out = report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"}]}", identifier);
        assert_int_equal(out.kind, LSI_OUTCOME_BAD_RESPONSE);
    }
    memcpy(records, before, sizeof before);
}

/* One bad identifier beside a good one fails all. So does the number of another batch, shard, stream or second. */
static void a_foreign_number_fails_the_whole_batch(void **state)
{
    lsi_seqno56 own = {.counter = records[5].seqno, .shard = source.shard,
                       .created_seconds = source.shard_created_us / 1000000,
                       .record_seconds = records[5].arrival_us / 1000000};
    lsi_seqno56 foreign[] = {own, own, own, own, own};
    char text[LSI_SEQNO56_BYTES];

    (void)state;
    foreign[0].counter++;
    foreign[1].counter = records[RECORDS - 1].seqno + 3;
    foreign[2].shard++;
    foreign[3].created_seconds--;
    foreign[4].record_seconds++;
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        lsi_seqno56_format(&foreign[i], text);
        assert_int_equal(report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"},{\"itemIdentifier\":\"%s\"}]}",
                                number_of(9), text).kind, LSI_OUTCOME_BAD_RESPONSE);
    }
    lsi_seqno56_format(&own, text);
    assert_int_equal(report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"}]}", text).failed_at, 5);
    assert_int_equal(report("{\"batchItemFailures\":[{\"itemIdentifier\":\"%s \"}]}", text).kind,
                     LSI_OUTCOME_BAD_RESPONSE);
}

static void without_reports_the_body_is_ignored(void **state)
{
    static const char *const bodies[] = {"", "nonsense", "{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}"};

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(read_with(0, bodies[i]).kind, LSI_OUTCOME_SUCCESS);
    /* With windows it is read, but for the failures. */
    assert_int_equal(read_with(LSI_RESPONSE_WINDOWED, "{\"state\":{},\"batchItemFailures\":[5]}").kind,
                     LSI_OUTCOME_SUCCESS);
}

/* ---- state ---- */

static void a_state_is_kept_as_it_is_without_white_space(void **state)
{
    const char *text = " {\"a\" : 1, \"state\" : {\"1\" : 2.50e+1, \"b\" : [ true , null, {} , \"x\\n\\u00e4\" ] ,"
                       " \"state\" : { \"c\" : [] } } , \"z\" : {} } ";
    lsi_outcome out = read_with(LSI_RESPONSE_WINDOWED | LSI_RESPONSE_REPORTS, text);

    (void)state;
    assert_int_equal(out.kind, LSI_OUTCOME_SUCCESS);
    assert_true(out.has_state);
    assert_int_equal(out.state.size, strlen(out.state.data));
    assert_string_equal(out.state.data,
                        "{\"1\":2.50e+1,\"b\":[true,null,{},\"x\\n\xc3\xa4\"],\"state\":{\"c\":[]}}");
}

static void a_state_that_is_no_object_is_not_accepted(void **state)
{
    static const char *const bodies[] = {
        "{\"state\":null}", "{\"state\":[]}", "{\"state\":\"{}\"}", "{\"state\":1}", "{\"state\":{}",
        "{\"state\":{},\"state\":{}}", "{\"state\":{\"a\":1,\"a\":2}}",
    };
    static const char *const without[] = {"", "{}", "null", "{\"State\":{}}", "{\"x\":{\"state\":{}}}"};

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(read_with(LSI_RESPONSE_WINDOWED, bodies[i]).kind, LSI_OUTCOME_BAD_RESPONSE);
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        assert_false(read_with(LSI_RESPONSE_WINDOWED, without[i]).has_state);
}

static void failures_may_come_with_a_state(void **state)
{
    char text[512];
    lsi_outcome out;

    (void)state;
    snprintf(text, sizeof text, "{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"}],\"state\":{\"n\":1}}",
             number_of(4));
    out = read_with(LSI_RESPONSE_WINDOWED | LSI_RESPONSE_REPORTS, text);
    assert_int_equal(out.kind, LSI_OUTCOME_PARTIAL);
    assert_int_equal(out.failed_at, 4);
    assert_true(out.has_state);
    assert_string_equal(kept.text, "{\"n\":1}");
}

/* ---- trouble ---- */

/* A bad answer is not an error of the caller's: the thread's last error stays what it was. */
static void a_bad_answer_leaves_the_last_error_alone(void **state)
{
    char before[256];

    (void)state;
    snprintf(before, sizeof before, "%s", ls_last_error_message());
    (void)kind_of("nonsense");
    (void)kind_of("{\"batchItemFailures\":[{\"itemIdentifier\":\"x\"}]}");
    assert_string_equal(ls_last_error_message(), before);
}

static void every_allocation_may_fail(void **state)
{
    const char *text = "{\"state\":{\"a\":\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\",\"b\":[1,2,3]}}";
    const lsi_invocation what = {.records = records, .count = RECORDS};
    bool failed = true;

    (void)state;
    for (uint64_t nth = 1; failed; nth++) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        lsi_json_writer to;
        lsi_outcome out;
        ls_status st;

        sim_memory_fail(&memory, nth, false);
        lsi_json_begin(&to, &table);
        st = lsi_response_read(&table, text, strlen(text), LSI_RESPONSE_WINDOWED, &source, &what, &to, &out);
        failed = memory.failed > 0;
        assert_int_equal(st, failed ? LS_ERR_NO_MEMORY : LS_OK);
        lsi_json_free(&to);
        assert_int_equal(memory.live, 0);
    }
}

static int free_kept(void **state)
{
    (void)state;
    lsi_json_free(&kept);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(these_bodies_are_complete_success),
        cmocka_unit_test(these_bodies_fail_the_whole_batch),
        cmocka_unit_test(the_lowest_number_is_the_checkpoint),
        cmocka_unit_test(a_user_record_is_named_by_both_numbers),
        cmocka_unit_test(a_foreign_number_fails_the_whole_batch),
        cmocka_unit_test(without_reports_the_body_is_ignored),
        cmocka_unit_test(a_state_is_kept_as_it_is_without_white_space),
        cmocka_unit_test(a_state_that_is_no_object_is_not_accepted),
        cmocka_unit_test(failures_may_come_with_a_state),
        cmocka_unit_test(a_bad_answer_leaves_the_last_error_alone),
        cmocka_unit_test(every_allocation_may_fail),
    };

    lsi_json_begin(&kept, &lsi_memory_libc);
    return cmocka_run_group_tests_name("answers of handlers", tests, make_records, free_kept);
}
