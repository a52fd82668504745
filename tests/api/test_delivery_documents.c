/* delivery.h: transforms by documents, ls_transform_event_json and ls_transform_answer_json. What each rule of the
 * response is, record by record, is asked in tests/deliver/test_document.c; here, what comes of it. */
#include "api/delivery_support.h"

#include "support/sim_memory.h"

/* How the transform answers. */
typedef struct answering {
    const char *document; /* %0, %1 ... are replaced by recordIds */
    bool says_before;     /* drops all records first */
    uint32_t calls;
    char event[8192];     /* of the last call, terminated */
    sim_memory *memory;   /* NULL, or what is walked in the call */
} answering;

/* The recordId at `index` of the event document; a view until the next one. */
static const char *id_of(const char *event, size_t index)
{
    static char id[128];
    const char *at = event;

    for (size_t i = 0; i <= index; i++) {
        at = strstr(at, "\"recordId\":\"");
        assert_non_null(at);
        at += strlen("\"recordId\":\"");
    }
    snprintf(id, sizeof id, "%.*s", (int)strcspn(at, "\""), at);
    return id;
}

static void fill_in(const char *document, const char *event, char *out, size_t room)
{
    size_t used = 0;

    for (; *document != '\0'; document++) {
        assert_true(used + 130 < room);
        if (*document == '%')
            used += (size_t)snprintf(out + used, room - used, "%s", id_of(event, (size_t)(*++document - '0')));
        else
            out[used++] = *document;
    }
    out[used] = '\0';
}

static ls_transform_answer answer(ls_transform *batch, void *user)
{
    answering *of = user;
    ls_transform_answer out = 77;
    ls_bytes event, again;
    char document[4096];

    of->calls++;
    assert_int_equal(ls_transform_event_json(batch, &event), LS_OK);
    assert_int_equal(ls_transform_event_json(batch, &again), LS_OK);
    assert_ptr_equal(again.data, event.data); /* the same, invocationId and all */
    assert_true(event.size < sizeof of->event);
    memcpy(of->event, event.data, event.size);
    of->event[event.size] = '\0';
    for (size_t i = 0; of->says_before && i < ls_transform_count(batch); i++)
        assert_int_equal(ls_transform_drop(batch, i), LS_OK);
    fill_in(of->document, of->event, document, sizeof document);
    assert_int_equal(ls_transform_answer_json(batch, text(document), &out), LS_OK);
    assert_int_equal(out, LS_TRANSFORM_DONE);
    assert_int_equal(ls_transform_keep(batch, 0), LS_ERR_STATE); /* It was said. */
    return out;
}

static taker *deliver(fixture *fx, const char *prefix, ls_transform_callback transform, void *user)
{
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.flags |= LS_DELIVERY_TRANSFORM;
    if (strstr(prefix, "partitionKey") != NULL)
        options.flags |= LS_DELIVERY_PARTITION;
    options.prefix = prefix;
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    make_delivery(stream, &options);
    put_text(stream, "k", "zero");
    put_text(stream, "k\"", "one");
    put_text(stream, "k", "two");
    run.transform = transform;
    run.transform_user = user;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return of;
}

static void a_batch_is_the_services_document(void **state)
{
    answering how = {.document = "{\"records\":[{\"recordId\":\"%2\",\"result\":\"Ok\",\"data\":\"VFdP\"},"
                                 "{\"recordId\":\"%1\",\"result\":\"Dropped\"},"
                                 "{\"recordId\":\"%0\",\"result\":\"Ok\",\"data\":\"\"}]}", .says_before = true};
    taker *of = deliver(*state, "data/", answer, &how);

    assert_int_equal(how.calls, 1);
    assert_memory_equal(how.event, "{\"invocationId\":\"", 17);
    assert_int_equal(how.event[17 + 14], '4'); /* a random UUID */
    assert_memory_equal(how.event + 17 + 36, "\",\"records\":[{\"recordId\":\"", 26);
    assert_int_equal(strlen(id_of(how.event, 0)), 56 + 6);
    assert_memory_equal(id_of(how.event, 2) + 56, "000002", 6);
    assert_non_null(strstr(how.event, "\"data\":\"b25l\",\"kinesisRecordMetadata\":{\"sequenceNumber\":\""));
    assert_non_null(strstr(how.event, "\"subsequenceNumber\":0,\"partitionKey\":\"k\\\"\","
                                      "\"shardId\":\"shardId-000000000000\",\"approximateArrivalTimestamp\":"));
    assert_int_equal(of->count, 1); /* In source order, the empty one a line of its own. */
    assert_string_equal(of->all[0].bytes, "\nTWO\n");
    free_taker(of);
}

static void failed_records_go_to_the_error_output_as_they_were(void **state)
{
    answering how = {.document = "{\"records\":[{\"recordId\":\"%0\",\"result\":\"ProcessingFailed\",\"data\":{"
                                 "\"why\":1}},{\"recordId\":\"%1\",\"result\":\"Ok\",\"data\":\"WA==\"},"
                                 "{\"recordId\":\"%2\",\"result\":\"Dropped\",\"data\":null}]}"};
    taker *of = deliver(*state, "data/", answer, &how);
    const taken *errors = of_kind(of, LS_DELIVERY_ERRORS);

    assert_int_equal(of->count, 2);
    assert_string_equal(of_kind(of, LS_DELIVERY_DATA)->bytes, "X\n");
    assert_non_null(strstr(errors->bytes, "{\"attemptsMade\":1,\"arrivalTimestamp\":"));
    assert_non_null(strstr(errors->bytes, "\"errorCode\":\"Lambda.FunctionError\""));
    assert_non_null(strstr(errors->bytes, "\"rawData\":\"emVybw==\"}\n"));
    assert_int_equal(errors->record_count, 1);
    free_taker(of);
}

static void keys_of_a_response_choose_the_partition(void **state)
{
    answering how = {.document = "{\"records\":[{\"recordId\":\"%0\",\"result\":\"Ok\",\"data\":\"MA==\",\"metadata\":{"
                                 "\"partitionKeys\":{\"k\":\"a\",\"other\":1}}},{\"recordId\":\"%1\",\"result\":\"Ok\","
                                 "\"data\":\"MQ==\",\"metadata\":{\"partitionKeys\":{\"k\":2}}},"
                                 "{\"recordId\":\"%2\",\"result\":\"Ok\",\"data\":\"Mg==\"}]}"};
    taker *of = deliver(*state, "!{partitionKeyFromLambda:k}/", answer, &how);
    uint32_t found = 0;

    assert_int_equal(of->count, 3);
    for (uint32_t i = 0; i < of->count; i++) {
        const taken *one = &of->all[i];

        if (strncmp(one->name, "a/", 2) == 0)
            found += strcmp(one->bytes, "0\n") == 0;
        else if (strncmp(one->name, "2/", 2) == 0)
            found += strcmp(one->bytes, "1\n") == 0;
        else /* The third has no key. */
            found += strstr(one->bytes, "\"errorCode\":\"DynamicPartitioning.MetadataExtractionFailed\"") != NULL;
    }
    assert_int_equal(found, 3);
    free_taker(of);
}

/* Each kind of broken rule, its code, and a word of the message; nothing is delivered, and nobody asks again. */
static void a_broken_rule_fails_all_records(void **state)
{
    static const struct {
        const char *document, *code, *word;
    } all[] = {
        {"{\"records\":[{\"recordId\":\"%0\",\"result\":\"Ok\",\"data\":\"\"}]}", "Lambda.MissingRecordId",
         "is not in the response"},
        {"{\"records\":[{\"recordId\":\"%0\",\"result\":\"Dropped\"},{\"recordId\":\"%0\",\"result\":\"Dropped\"}]}",
         "Lambda.DuplicatedRecordId", "is in the response twice"},
        {"", "Lambda.JsonProcessingException", "the response is no JSON"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        answering how = {.document = all[i].document};
        taker *of = deliver(*state, "data/", answer, &how);
        char *rest, *line;
        int lines = 0;

        assert_int_equal(how.calls, 1);
        assert_int_equal(of->count, 1);
        assert_int_equal(of->all[0].kind, LS_DELIVERY_ERRORS);
        for (rest = of->all[0].bytes; (line = strsep(&rest, "\n")) != NULL && line[0] != '\0'; lines++) {
            assert_non_null(strstr(line, all[i].code));
            assert_non_null(strstr(line, all[i].word));
        }
        assert_int_equal(lines, 3);
        free_taker(of);
        assert_int_equal(ls_stream_delete(((fixture *)*state)->store, STREAM), LS_OK);
    }
}

/* ---- errors ---- */

static ls_transform_answer ask_wrongly(ls_transform *batch, void *user)
{
    ls_transform_answer out = 77;
    ls_bytes event;

    assert_int_equal(ls_transform_event_json(NULL, &event), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_event_json(batch, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_answer_json(NULL, text("{}"), &out), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_answer_json(batch, text("{}"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_answer_json(batch, (ls_bytes){NULL, 1}, &out), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(out, 77);
    for (size_t i = 0; i < ls_transform_count(batch); i++)
        assert_int_equal(ls_transform_keep(batch, i), LS_OK); /* Nothing was said. */
    *(bool *)user = true;
    return LS_TRANSFORM_DONE;
}

static void what_is_null_is_refused(void **state)
{
    bool was_asked = false;

    free_taker(deliver(*state, "data/", ask_wrongly, &was_asked));
    assert_true(was_asked);
}

/* Both calls with the 1st, 2nd ... allocation failing, until they succeed: in between nothing is said of any record. */
static ls_transform_answer answer_without_memory(ls_transform *batch, void *user)
{
    answering *of = user;
    ls_transform_answer out = 77;
    ls_status st = LS_ERR_NO_MEMORY;
    ls_bytes event;
    char document[4096];

    for (uint64_t nth = 1; st == LS_ERR_NO_MEMORY; nth++) {
        sim_memory_fail(of->memory, nth, false);
        st = ls_transform_event_json(batch, &event);
        assert_true(nth < 1000);
        of->calls++;
    }
    assert_int_equal(st, LS_OK);
    assert_true(event.size < sizeof of->event);
    memcpy(of->event, event.data, event.size);
    of->event[event.size] = '\0';
    fill_in(of->document, of->event, document, sizeof document);
    st = LS_ERR_NO_MEMORY;
    for (uint64_t nth = 1; st == LS_ERR_NO_MEMORY; nth++) {
        sim_memory_fail(of->memory, nth, false);
        st = ls_transform_answer_json(batch, text(document), &out);
        assert_true((st == LS_OK) == (out == LS_TRANSFORM_DONE));
        assert_true(nth < 1000);
        of->calls++;
    }
    sim_memory_fail(of->memory, 0, false);
    assert_int_equal(st, LS_OK);
    return out;
}

static void *resize_sim(void *user, void *old, size_t bytes)
{
    lsi_memory memory = sim_memory_table(user);

    return memory.resize(memory.user, old, bytes);
}

static void without_memory_nothing_is_said(void **state)
{
    fixture *fx = *state;
    sim_memory memory = SIM_MEMORY_INIT;
    answering how = {.document = "{\"records\":[{\"recordId\":\"%0\",\"result\":\"Ok\",\"data\":\"MA==\",\"metadata\":{"
                                 "\"partitionKeys\":{\"k\":\"a\"}}},{\"recordId\":\"%1\",\"result\":\"Dropped\"},"
                                 "{\"recordId\":\"%2\",\"result\":\"Dropped\"}]}", .memory = &memory};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *before = fx->store;
    taker *of;

    options.resize = resize_sim;
    options.resize_user = &memory;
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "lean"), &options,
                                   &fx->store), LS_OK);
    of = deliver(fx, "!{partitionKeyFromLambda:k}/", answer_without_memory, &how);
    assert_int_equal(of->count, 1);
    assert_string_equal(of->all[0].bytes, "0\n");
    assert_true(how.calls > 10);
    free_taker(of);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(memory.live, 0);
    fx->store = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_the_services_document),
        TEST(failed_records_go_to_the_error_output_as_they_were),
        TEST(keys_of_a_response_choose_the_partition),
        TEST(a_broken_rule_fails_all_records),
        TEST(what_is_null_is_refused),
        TEST(without_memory_nothing_is_said),
    };

    run_everywhere("transforms by documents", tests);
}
