/* Deliveries of records that hold several: what is a record for the transform, the objects, the error output and the
 * backup. How data is split: deliver/test_split; over losses of power: test_delivery_failures. */
#include "api/delivery_support.h"

typedef struct seen {
    char text[4096];
    uint32_t calls;
} seen;

/* Notes "data@part of count," and keeps all. */
static ls_transform_answer note(ls_transform *batch, void *user)
{
    seen *of = user;

    of->calls++;
    for (size_t i = 0; i < ls_transform_count(batch); i++) {
        const ls_record *record = ls_transform_at(batch, i);
        size_t at = strlen(of->text);

        snprintf(of->text + at, sizeof of->text - at, "%.*s@%u/%d,", (int)record->data.size,
                 (const char *)record->data.data, record->sub_seqno, (int)record->sub_count);
        assert_int_equal(ls_transform_keep(batch, i), LS_OK);
    }
    return LS_TRANSFORM_DONE;
}

static const char *all_of(const taker *of, ls_delivery_kind kind)
{
    static char all[4096];

    all[0] = '\0';
    for (uint32_t i = 0; i < of->count; i++)
        if (of->all[i].kind == kind)
            strcat(all, of->all[i].bytes);
    return all;
}

static ls_delivery_options splitting(const char *by)
{
    ls_delivery_options options = to_callback();

    options.split = by;
    options.delimiter = "\n";
    return options;
}

static void each_piece_is_a_record(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = splitting("");
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    seen what = {.calls = 0};

    options.flags |= LS_DELIVERY_TRANSFORM | LS_DELIVERY_BACKUP;
    options.backup_prefix = "raw/";
    make_delivery(stream, &options);
    put_text(stream, "k", "{\"a\":1}\n{\"b\":2} 3");
    put_text(stream, "k", "{\"c\":4}");
    put_text(stream, "k", "{\"d\":5}{\"e\":");
    put_text(stream, "k", "");
    run.transform = note;
    run.transform_user = &what;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_string_equal(what.text, "{\"a\":1}@0/-1,{\"b\":2}@1/-1,3@2/3,{\"c\":4}@0/0,@0/0,");
    assert_string_equal(all_of(of, LS_DELIVERY_DATA), "{\"a\":1}\n{\"b\":2}\n3\n{\"c\":4}\n\n");
    assert_string_equal(all_of(of, LS_DELIVERY_SOURCE_BACKUP), "{\"a\":1}\n{\"b\":2} 3{\"c\":4}{\"d\":5}{\"e\":");
    assert_non_null(strstr(all_of(of, LS_DELIVERY_ERRORS), "\"errorCode\":\"DeAggregation.RecordFormatError\""));
    assert_non_null(strstr(all_of(of, LS_DELIVERY_ERRORS), "\"rawData\":\"eyJkIjo1fXsiZSI6\"")); /* all of it */
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void the_next_run_begins_behind_the_last_piece(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = splitting("##");
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.buffer_bytes = 4; /* two pieces: a record is in several objects */
    make_delivery(stream, &options);
    put_text(stream, "k", "a##b##c##d##e");
    put_text(stream, "k", "##f####g");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_string_equal(all_of(of, LS_DELIVERY_DATA), "a\nb\nc\nd\ne\nf\ng\n");
    assert_int_equal(of->count, 4);
    put_text(stream, "k", "h##i");
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_string_equal(all_of(of, LS_DELIVERY_DATA), "a\nb\nc\nd\ne\nf\ng\nh\ni\n");
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_record_of_very_many_pieces_is_split(void **state)
{
    enum { PIECES = 25000 }; /* more than a call of the room's gets */
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = splitting(",");
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    char *data = malloc(2 * PIECES + 1);

    for (size_t i = 0; i < PIECES; i++)
        memcpy(data + 2 * i, "x,", 2);
    data[2 * PIECES] = '\0';
    make_delivery(stream, &options);
    put_text(stream, "k", data);
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(of->all[0].record_count, PIECES);
    assert_int_equal(of->all[0].size, 2 * PIECES);
    free(data);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void how_it_splits_is_kept_and_stays(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_delivery_options options = splitting(""), found = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    char much[300];

    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    options.split = much;
    assert_int_equal(ls_delivery_create(stream, NAME, &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("split"));
    options.split = "";
    make_delivery(stream, &options);
    assert_int_equal(ls_delivery_describe(stream, NAME, &description), LS_OK);
    assert_int_equal(ls_delivery_description_options(description, &found), LS_OK);
    assert_string_equal(found.split, "");
    ls_delivery_description_free(description);
    options.split = NULL;
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_ERR_STATE);
    assert_true(says("split"));
    options.split = "x";
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_ERR_STATE);
    options.split = "";
    options.delimiter = NULL;
    assert_int_equal(ls_delivery_update(stream, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_piece_is_a_record),
        TEST(the_next_run_begins_behind_the_last_piece),
        TEST(a_record_of_very_many_pieces_is_split),
        TEST(how_it_splits_is_kept_and_stays),
    };

    run_everywhere("splitting deliveries", tests);
}
