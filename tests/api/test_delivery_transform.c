/* delivery.h: what a transform makes of records, the error output, dynamic partitions, the source backup. */
#include "api/delivery_acting.h"

/* ---- verdicts ---- */

static void each_verdict_does_what_it_says(void **state)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        ls_stream *stream = make_stream(*state, backwards != 0 ? "backwards" : STREAM, 1);
        ls_delivery_options options = to_callback();
        taker *of = make_taker();
        acting how = {.backwards = backwards != 0};
        const taken *data, *errors;

        options.flags |= LS_DELIVERY_TRANSFORM;
        options.prefix = "data/";
        make_delivery(stream, &options);
        put_text(stream, "k", "keep 1");
        put_text(stream, "k", "drop");
        put_text(stream, "k", "fail because");
        put_text(stream, "k", "UP");
        put_text(stream, "k", "nothing");
        put_text(stream, "k", "empty");
        put_text(stream, "k", "twice");
        put_text(stream, "k", "badly");
        run_acting(stream, of, &how);
        assert_int_equal(of->count, 2);
        data = of_kind(of, LS_DELIVERY_DATA);
        errors = of_kind(of, LS_DELIVERY_ERRORS);
        assert_string_equal(data->bytes, "keep 1\none\ntwo\n\ntwice\n"); /* in the order of the source */
        assert_int_equal(strncmp(errors->name, "data/processing-failed/", 23), 0);
        assert_int_equal(errors->record_count, 3);
        assert_true(line_has(errors, 0, "\"errorMessage\":\"fail because\""));
        assert_true(line_has(errors, 0, "\"errorCode\":\"Lambda.FunctionError\""));
        assert_true(line_has(errors, 0, "\"attemptsMade\":1,"));
        assert_true(line_has(errors, 0, "\"rawData\":\"ZmFpbCBiZWNhdXNl\"")); /* the original */
        assert_true(line_has(errors, 1, "\"errorCode\":\"Lambda.MissingRecordId\""));
        assert_true(line_has(errors, 1, "\"rawData\":\"bm90aGluZw==\""));
        assert_true(line_has(errors, 2, "\"rawData\":\"YmFkbHk=\""));
        free_taker(of);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

static void what_is_all_dropped_is_not_asked_for_again(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {0};

    options.flags |= LS_DELIVERY_TRANSFORM;
    make_delivery(stream, &options);
    for (int i = 0; i < 10; i++)
        put_text(stream, "k", "drop");
    run_acting(stream, of, &how);
    assert_int_equal(how.calls, 1);
    run_acting(stream, of, &how);
    assert_int_equal(how.calls, 1);
    assert_int_equal(of->count, 0);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_call_gets_as_much_as_it_may(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {0};

    options.flags |= LS_DELIVERY_TRANSFORM;
    options.transform_records_max = 7;
    options.transform_bytes_max = 25;
    make_delivery(stream, &options);
    put_numbers(stream, 0, 100, 1); /* of a byte or two: the number of records counts */
    put_text(stream, "k", "keep this, which is more than it may have in bytes");
    for (int i = 0; i < 5; i++)
        put_text(stream, "k", "0123456789"); /* two of them: bytes count */
    run_acting(stream, of, &how);
    assert_int_equal(how.most, 7);
    assert_int_equal(how.calls, 15 + 1 + 3);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_transform_answer drop_all(ls_transform *batch, void *user)
{
    acting *of = user;

    of->calls++;
    if (ls_transform_count(batch) > of->most)
        of->most = ls_transform_count(batch);
    for (size_t i = 0; i < ls_transform_count(batch); i++)
        assert_int_equal(ls_transform_drop(batch, i), LS_OK);
    return LS_TRANSFORM_DONE;
}

/* More than a delivery without a transform reads at once, in records and in bytes. */
static void a_call_gets_much_when_it_may(void **state)
{
    static const struct { uint32_t records, record_bytes, most; } cases[] = {{9000, 1, 9000}, {50, 100000, 41}};
    ls_delivery_options options = to_callback();

    options.flags |= LS_DELIVERY_TRANSFORM;
    options.transform_records_max = 9000;
    options.transform_bytes_max = 4 << 20;
    for (size_t i = 0; i < 2; i++) {
        ls_stream *stream = make_stream(*state, i == 0 ? "many" : "large", 1);
        char *data = calloc(1, cases[i].record_bytes);
        ls_put_entry *entries = calloc(cases[i].records, sizeof *entries);
        taker *of = make_taker();
        acting how = {0};
        ls_delivery_run_options run = into(of);
        ls_producer *producer;
        size_t failed;

        for (uint32_t k = 0; k < cases[i].records; k++)
            entries[k] = (ls_put_entry){text("k"), {data, cases[i].record_bytes}, NULL};
        assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
        assert_int_equal(ls_producer_put_batch(producer, entries, cases[i].records, NULL, NULL, &failed), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        make_delivery(stream, &options);
        run.transform = drop_all;
        run.transform_user = &how;
        assert_int_equal(run_with(stream, &run), LS_OK);
        assert_int_equal(how.most, cases[i].most);
        free_taker(of);
        free(entries);
        free(data);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- retries ---- */

static void what_fails_is_asked_again_as_often_as_is_said(void **state)
{
    static const struct { int32_t retries_max; uint32_t bad, calls; bool is_delivered; } cases[] = {
        {LS_DELIVERY_NO_RETRIES, 9, 1, false}, {0, 9, 4, false}, {2, 2, 3, true}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%zu", i);
        ls_stream *stream = make_stream(*state, name, 1);
        ls_delivery_options options = to_callback();
        taker *of = make_taker();
        acting how = {.answer = LS_TRANSFORM_RETRY, .bad = cases[i].bad};
        char attempts[32];

        options.flags |= LS_DELIVERY_TRANSFORM;
        options.transform_retries_max = cases[i].retries_max;
        make_delivery(stream, &options);
        put_text(stream, "k", "keep");
        put_text(stream, "k", "drop");
        run_acting(stream, of, &how);
        assert_int_equal(how.calls, cases[i].calls);
        assert_int_equal(how.attempts_seen, cases[i].calls - 1);
        assert_int_equal(of->count, 1);
        if (cases[i].is_delivered) {
            assert_string_equal(of_kind(of, LS_DELIVERY_DATA)->bytes, "keep\n");
        } else {
            const taken *errors = of_kind(of, LS_DELIVERY_ERRORS);

            assert_int_equal(errors->record_count, 2);
            snprintf(attempts, sizeof attempts, "\"attemptsMade\":%u,", cases[i].calls);
            assert_true(line_has(errors, 0, attempts) && line_has(errors, 1, attempts));
        }
        free_taker(of);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

static ls_transform_answer be_late(ls_transform *batch, void *user)
{
    acting *of = user;

    assert_int_equal(ls_transform_is_late(batch), 0);
    assert_int_equal(ls_transform_keep(batch, 0), LS_OK);
    while (of->calls < of->bad && ls_transform_is_late(batch) == 0)
        (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    of->calls++;
    return LS_TRANSFORM_DONE;
}

static void a_transform_that_is_late_has_failed(void **state)
{
    static const uint32_t late[] = {1, 2};

    for (size_t i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%zu", i);
        ls_stream *stream = make_stream(*state, name, 1);
        ls_delivery_options options = to_callback();
        taker *of = make_taker();
        acting how = {.bad = late[i]};
        ls_delivery_run_options run = into(of);

        options.flags |= LS_DELIVERY_TRANSFORM;
        options.transform_retries_max = 1;
        make_delivery(stream, &options);
        put_text(stream, "k", "keep");
        run.transform = be_late;
        run.transform_user = &how;
        run.transform_timeout_ms = 200;
        assert_int_equal(run_with(stream, &run), LS_OK);
        assert_int_equal(how.calls, 2);
        assert_int_equal(of->count, 1);
        if (late[i] == 1)
            assert_string_equal(of_kind(of, LS_DELIVERY_DATA)->bytes, "keep\n");
        else
            assert_true(line_has(of_kind(of, LS_DELIVERY_ERRORS), 0, "\"errorCode\":\"Lambda.FunctionTimedOut\""));
        free_taker(of);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

static void a_transform_may_stop_the_run_and_gets_its_records_again(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {.answer = LS_TRANSFORM_STOP, .bad = 1};

    options.flags |= LS_DELIVERY_TRANSFORM;
    make_delivery(stream, &options);
    put_text(stream, "k", "keep");
    run_acting(stream, of, &how);
    assert_int_equal(of->count, 0);
    run_acting(stream, of, &how);
    assert_int_equal(how.calls, 2);
    assert_string_equal(of_kind(of, LS_DELIVERY_DATA)->bytes, "keep\n");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- partitions ---- */

static void records_go_where_their_data_says(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    const taken *errors;

    partition_options(&options, the_keys, the_queries);
    make_delivery(stream, &options);
    put_text(stream, "k", "{\"customer\":{\"id\":\"a\"},\"n\":1}");
    put_text(stream, "k", "{\"customer\":{\"id\":7},\"n\":2}");
    put_text(stream, "k", "no JSON");
    put_text(stream, "k", "{\"customer\":{\"id\":\"a\"},\"n\":3}");
    put_text(stream, "k", "{\"customer\":{}}");
    put_text(stream, "k", "{\"customer\":{\"id\":null}}");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 3);
    assert_string_equal(begins_with(of, "c=a/" NAME)->bytes,
                        "{\"customer\":{\"id\":\"a\"},\"n\":1}\n{\"customer\":{\"id\":\"a\"},\"n\":3}\n");
    assert_int_equal(begins_with(of, "c=7/" NAME)->record_count, 1);
    errors = begins_with(of, "bad/processing-failed");
    assert_int_equal(errors->record_count, 3);
    assert_int_equal(errors->kind, LS_DELIVERY_ERRORS);
    assert_true(line_has(errors, 0, "\"errorCode\":\"DynamicPartitioning.MetadataExtractionFailed\""));
    assert_true(line_has(errors, 0, "\"rawData\":\"bm8gSlNPTg==\""));
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_go_where_their_transform_says(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {0};

    options.flags |= LS_DELIVERY_PARTITION | LS_DELIVERY_TRANSFORM;
    options.prefix = "k=!{partitionKeyFromLambda:k}/";
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    make_delivery(stream, &options);
    put_text(stream, "k", "key=a,1");
    put_text(stream, "k", "key=b,2");
    put_text(stream, "k", "key=a,3");
    put_text(stream, "k", "keep, without a key");
    run_acting(stream, of, &how);
    assert_int_equal(of->count, 3);
    assert_string_equal(begins_with(of, "k=a/" NAME)->bytes, "key=a,1\nkey=a,3\n");
    assert_string_equal(begins_with(of, "k=b/" NAME)->bytes, "key=b,2\n");
    assert_int_equal(begins_with(of, "bad/")->record_count, 1);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The 501st goes to the errors; when one was delivered there is room for another. */
static void only_so_many_partitions_are_filled_at_once(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    char data[501 + 3][64];
    ls_put_entry entries[501 + 3];
    ls_producer *producer = NULL;
    size_t failed = 0;

    partition_options(&options, the_keys, the_queries);
    options.buffer_bytes = 2 * strlen("{'customer':{'id':'0'}}\n");
    make_delivery(stream, &options);
    for (int i = 0; i < 504; i++) {
        /* 0..499 fill all; 500 is one too many; 0 again, which is there, is delivered by its size; 501 has a place. */
        snprintf(data[i], sizeof data[i], "{\"customer\":{\"id\":\"%d\"}}", i <= 500 ? i : i == 501 ? 0 : 501);
        entries[i] = (ls_put_entry){.partition_key = text("k"), .data = text(data[i])};
    }
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, 504, NULL, NULL, &failed), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of_kind(of, LS_DELIVERY_ERRORS)->record_count, 1);
    assert_true(line_has(of_kind(of, LS_DELIVERY_ERRORS), 0, "ActivePartitionLimitExceeded"));
    assert_null(begins_with(of, "c=500/"));
    assert_non_null(begins_with(of, "c=499/"));
    assert_non_null(begins_with(of, "c=501/"));
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void data_chooses_no_path_outside(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_directory(fx);
    char data[400], longest[301];
    objects found;
    struct stat about;

    partition_options(&options, the_keys, the_queries);
    options.prefix = "!{partitionKeyFromQuery:c}/";
    make_delivery(stream, &options);
    put_text(stream, "k", "{\"customer\":{\"id\":\"../../outside\"}}");
    put_text(stream, "k", "{\"customer\":{\"id\":\"..\"}}");
    put_text(stream, "k", "{\"customer\":{\"id\":\"/etc\"}}");
    put_text(stream, "k", "{\"customer\":{\"id\":\"a\\nb\\u0000\"}}");
    put_text(stream, "k", "{\"customer\":{\"id\":\"\"}}");
    memset(longest, 'x', 300);
    longest[300] = '\0';
    snprintf(data, sizeof data, "{\"customer\":{\"id\":\"%s\"}}", longest);
    put_text(stream, "k", data);
    catch_up(stream);
    found = delivered(fx); /* all that was delivered lies beneath the directory */
    assert_int_equal(found.count, 5);
    for (size_t i = 0, lines = 0; i < found.count; i++)
        if (strncmp(found.all[i].name, "bad/", 4) == 0) { /* the empty one, and the long one */
            for (const char *at = found.all[i].bytes; *at != '\0'; at++)
                lines += *at == '\n';
            assert_int_equal(lines, 2);
        }
    assert_int_not_equal(stat(temp_path(&fx->temp, "outside"), &about), 0);
    free_objects(&found);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- the source backup ---- */

static void the_backup_has_all_records_as_they_were_put(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    acting how = {0};
    char all[4096] = "", expected[4096] = "";

    options.flags |= LS_DELIVERY_TRANSFORM | LS_DELIVERY_BACKUP;
    options.backup_prefix = "raw/";
    options.buffer_bytes = 30;
    make_delivery(stream, &options);
    for (int i = 0; i < 3; i++) {
        static const char *const data[] = {"keep it", "drop it", "fail it", "UP", "nothing"};

        for (int k = 0; k < 5; k++) {
            put_text(stream, "k", data[(k + i) % 5]);
            strcat(expected, data[(k + i) % 5]); /* without the delimiter: nothing was made of them */
        }
        run_acting(stream, of, &how);
    }
    for (uint32_t i = 0; i < of->count; i++)
        if (of->all[i].kind == LS_DELIVERY_SOURCE_BACKUP) {
            assert_int_equal(strncmp(of->all[i].name, "raw/", 4), 0);
            strcat(all, of->all[i].bytes);
        }
    assert_string_equal(all, expected);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* By bytes, and by time: each of its objects is as large as is said of the backup, and what is said of the others does
 * not hold for it. */
static void the_backup_has_buffering_of_its_own(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options how = into(of);
    running run;

    options.flags |= LS_DELIVERY_BACKUP;
    options.backup_prefix = "raw/";
    options.buffer_bytes = 60;
    options.backup_buffer_bytes = 20;
    make_delivery(stream, &options);
    for (int i = 0; i < 12; i++)
        put_text(stream, "k", "123456789"); /* 10 with the newline: 9 in the backup, of which 2 have room */
    assert_int_equal(run_with(stream, &how), LS_OK);
    assert_int_equal(of->count, 2 + 6);
    for (uint32_t i = 0; i < of->count; i++)
        assert_int_equal(of->all[i].record_count, of->all[i].kind == LS_DELIVERY_SOURCE_BACKUP ? 2 : 6);
    options.backup_interval_ms = LS_DELIVERY_AT_ONCE;
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_OK);
    begin_run(&run, stream, &how);
    put_text(stream, "k", "once");
    await_count(&of->count, 9);
    assert_int_equal(end_run(&run), LS_OK);
    assert_int_equal(of->count, 9);
    assert_int_equal(of->all[8].kind, LS_DELIVERY_SOURCE_BACKUP);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- aggregated records ---- */

static void the_user_records_of_aggregates_are_delivered(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    ls_aggregate *aggregate = NULL;
    ls_producer *producer = NULL;
    ls_put_entry record;
    int32_t fits = 0;
    char data[16];

    options.buffer_bytes = 10;
    make_delivery(stream, &options);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    for (int i = 0; i < 7; i++) {
        snprintf(data, sizeof data, "r%d", i);
        record = (ls_put_entry){.partition_key = text("k"), .data = text(data)};
        assert_int_equal(ls_aggregate_add(aggregate, &record, &fits), LS_OK);
        assert_int_equal(fits, 1);
    }
    assert_int_equal(ls_aggregate_record(aggregate, &record), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, record.partition_key, record.data, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    ls_aggregate_close(aggregate);
    put_text(stream, "k", "r7");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 3); /* The first aggregate is in three objects: each record is there once. */
    assert_string_equal(of->all[0].bytes, "r0\nr1\nr2\n");
    assert_string_equal(of->all[1].bytes, "r3\nr4\nr5\n");
    assert_string_equal(of->all[2].bytes, "r6\nr7\n");
    assert_string_not_equal(of->all[0].name, of->all[1].name);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_verdict_does_what_it_says),
        TEST(what_is_all_dropped_is_not_asked_for_again),
        TEST(a_call_gets_as_much_as_it_may),
        TEST(a_call_gets_much_when_it_may),
        TEST(what_fails_is_asked_again_as_often_as_is_said),
        TEST(a_transform_that_is_late_has_failed),
        TEST(a_transform_may_stop_the_run_and_gets_its_records_again),
        TEST(records_go_where_their_data_says),
        TEST(records_go_where_their_transform_says),
        TEST(only_so_many_partitions_are_filled_at_once),
        TEST(data_chooses_no_path_outside),
        TEST(the_backup_has_all_records_as_they_were_put),
        TEST(the_backup_has_buffering_of_its_own),
        TEST(the_user_records_of_aggregates_are_delivered),
    };

    run_everywhere("transforms of deliveries", tests);
}
