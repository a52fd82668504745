/* delivery.h: what a transform makes of records, the error output, dynamic partitions, the source backup. */
#include "api/delivery_support.h"
#include "api/metrics_support.h"

/* ---- a transform that does what a record's data says ---- */

typedef struct acting {
    ls_transform_answer answer; /* of the first `bad` calls, else DONE */
    uint32_t bad;
    uint32_t calls, attempts_seen;
    size_t most;    /* records in a call */
    bool backwards; /* answers the last record first */
} acting;

/* "keep..." is kept, "drop..." dropped, "fail..." fails with the data as reason, "badly" without one, "UP..." is
 * replaced by two lines, "nothing" is not answered, "key=V,..." gets the key `k`, "twice" is said twice. */
static void act_on(ls_transform *batch, size_t index)
{
    const ls_record *record = ls_transform_at(batch, index);
    char data[64] = "";

    assert_true(record->data.size < sizeof data);
    memcpy(data, record->data.data, record->data.size);
    if (strncmp(data, "drop", 4) == 0) {
        assert_int_equal(ls_transform_drop(batch, index), LS_OK);
    } else if (strncmp(data, "fail", 4) == 0) {
        assert_int_equal(ls_transform_fail(batch, index, data), LS_OK);
    } else if (strncmp(data, "badly", 5) == 0) {
        assert_int_equal(ls_transform_fail(batch, index, NULL), LS_OK);
    } else if (strncmp(data, "UP", 2) == 0) {
        assert_int_equal(ls_transform_replace(batch, index, text("one\ntwo")), LS_OK);
    } else if (strncmp(data, "empty", 5) == 0) {
        assert_int_equal(ls_transform_replace(batch, index, (ls_bytes){NULL, 0}), LS_OK);
    } else if (strncmp(data, "key=", 4) == 0) {
        assert_int_equal(ls_transform_set_key(batch, index, "k", text("to be replaced")), LS_OK);
        assert_int_equal(ls_transform_set_key(batch, index, "other", text("x")), LS_OK);
        assert_int_equal(ls_transform_set_key(batch, index, "k", (ls_bytes){data + 4, strcspn(data + 4, ",")}), LS_OK);
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
    } else if (strncmp(data, "twice", 5) == 0) {
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
        assert_int_equal(ls_transform_drop(batch, index), LS_ERR_STATE);
    } else if (strncmp(data, "nothing", 7) != 0) {
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
    }
}

static ls_transform_answer act(ls_transform *batch, void *user)
{
    acting *of = user;
    size_t count = ls_transform_count(batch);

    of->calls++;
    if (ls_transform_attempts(batch) > of->attempts_seen)
        of->attempts_seen = ls_transform_attempts(batch);
    if (count > of->most)
        of->most = count;
    assert_null(ls_transform_at(batch, count));
    assert_int_equal(ls_transform_keep(batch, count), LS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < count; i++)
        act_on(batch, of->backwards ? count - 1 - i : i);
    if (of->calls <= of->bad)
        return of->answer;
    return LS_TRANSFORM_DONE;
}

static void run_acting(ls_stream *stream, taker *to, acting *how)
{
    ls_delivery_run_options run = into(to);

    run.transform = act;
    run.transform_user = how;
    assert_int_equal(run_with(stream, &run), LS_OK);
}

/* Whether line `index` of the error output has that member, as JSON. */
static bool line_has(const taken *errors, size_t index, const char *member)
{
    char *copy = strdup(errors->bytes), *rest = copy, *line = NULL;
    bool has;

    for (size_t i = 0; i <= index; i++)
        line = strsep(&rest, "\n");
    has = line != NULL && line[0] == '{' && line[strlen(line) - 1] == '}' && strstr(line, member) != NULL;
    free(copy);
    return has;
}

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

static void partition_options(ls_delivery_options *options, const char *const *keys, const char *const *queries)
{
    options->flags |= LS_DELIVERY_PARTITION;
    options->prefix = "c=!{partitionKeyFromQuery:c}/";
    options->error_prefix = "bad/!{firehose:error-output-type}/";
    options->partition_keys = keys;
    options->partition_queries = queries;
    options->partition_key_count = 1;
}

static const char *const the_keys[] = {"c"};
static const char *const the_queries[] = {".customer.id"};

static const taken *begins_with(const taker *of, const char *prefix)
{
    for (uint32_t i = 0; i < of->count; i++)
        if (strncmp(of->all[i].name, prefix, strlen(prefix)) == 0)
            return &of->all[i];
    return NULL;
}

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

/* ---- metrics ---- */

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
        TEST(what_becomes_of_records_and_objects_is_counted),
        TEST(a_delivery_is_told_of_by_the_names_of_the_service),
        TEST(what_is_not_read_is_told_while_a_run_lives),
        TEST(records_are_billed_in_units),
        TEST(partitions_that_are_filled_are_told),
        TEST(the_user_records_of_aggregates_are_delivered),
    };

    run_everywhere("transforms of deliveries", tests);
}
