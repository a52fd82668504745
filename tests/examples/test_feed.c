/* Rows that are put each once (examples/feed.h): a step is its records and its note, or nothing.
 *
 * Method: a store in memory; a stream that is deleted under the feed makes a step fail. What is killed in the midst is
 * tried with the pipelines, in Python. */
#include "feed.h"
#include "looking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NAME "rows"

typedef struct fixture {
    ls_store *store;
    ls_stream *stream;
    row_feed *feed;
} fixture;

static void open_feed(fixture *fx)
{
    fx->stream = pipeline_stream(fx->store, NAME, NULL);
    assert_non_null(fx->stream);
    fx->feed = feed_open(fx->store, fx->stream, NAME);
    assert_non_null(fx->feed);
}

/* As who is run again does. The result of the feed's close. */
static int open_again(fixture *fx)
{
    int result = feed_close(fx->feed);

    assert_int_equal(ls_stream_close(fx->stream), LS_OK);
    open_feed(fx);
    return result;
}

static int setup(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof(fx));
    assert_int_equal(ls_store_open("memory:", NULL, &fx.store), LS_OK);
    open_feed(&fx);
    *state = &fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    (void)feed_close(fx->feed);  /* A test may have made it fail. */
    assert_int_equal(ls_stream_close(fx->stream), LS_OK);
    return ls_store_close(fx->store);
}

static void add(fixture *fx, const char *data)
{
    assert_int_equal(feed_add(fx->feed, (ls_bytes){"key", 3}, (ls_bytes){data, strlen(data)}), LS_OK);
}

static uint64_t count(fixture *fx)
{
    shard_counts counts = {0};

    assert_int_equal(pipeline_read_all(fx->stream, shard_counts_add, &counts), 0);
    return counts.records;
}

static int keep_note(const ls_record *record, void *user)
{
    if (record->partition_key.size == 1 && memcmp(record->partition_key.data, "a", 1) == 0)
        (void)snprintf(user, 16, "%.*s", (int)record->data.size, (const char *)record->data.data);
    return 0;
}

/* That the stream of notes says this of source "a", whatever becomes of it when the feed is opened again. */
static void assert_noted(fixture *fx, const char *expected)
{
    ls_stream *notes = pipeline_stream(fx->store, NAME ".read", NULL);
    char note[16] = "";

    assert_non_null(notes);
    assert_int_equal(pipeline_read_all(notes, keep_note, note), 0);
    assert_string_equal(note, expected);
    assert_int_equal(ls_stream_close(notes), LS_OK);
}

static void a_step_has_its_records_and_its_note(void **state)
{
    fixture *fx = *state;

    assert_null(feed_note(fx->feed, "a.csv"));
    add(fx, "one");
    add(fx, "two");
    assert_int_equal(feed_added(fx->feed), 2);
    assert_int_equal(feed_step(fx->feed, "a.csv", "2"), 0);
    assert_int_equal(feed_added(fx->feed), 0);
    assert_string_equal(feed_note(fx->feed, "a.csv"), "2");
    assert_int_equal(open_again(fx), 0);
    assert_string_equal(feed_note(fx->feed, "a.csv"), "2");
    assert_int_equal(count(fx), 2);
}

static void sources_have_notes_of_their_own_and_the_last_one_counts(void **state)
{
    fixture *fx = *state;

    assert_int_equal(feed_step(fx->feed, "a", "1"), 0);
    assert_int_equal(feed_step(fx->feed, "b", "7"), 0);
    assert_int_equal(feed_step(fx->feed, "a", "2"), 0);
    for (int run = 0; run < 2; run++) {
        assert_string_equal(feed_note(fx->feed, "a"), "2");
        assert_string_equal(feed_note(fx->feed, "b"), "7");
        assert_null(feed_note(fx->feed, "ab"));
        assert_int_equal(open_again(fx), 0);
    }
}

static void the_notes_of_all_sources_are_added_up(void **state)
{
    fixture *fx = *state;

    assert_int_equal(feed_noted(fx->feed, 1), 0);
    assert_int_equal(feed_step(fx->feed, "a", "10 9"), 0);
    assert_int_equal(feed_step(fx->feed, "b", "2021-10-01 5"), 0);
    assert_int_equal(feed_step(fx->feed, "a", "20 18 1"), 0);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(feed_noted(fx->feed, 0), 20 + 2021);
        assert_int_equal(feed_noted(fx->feed, 1), 18 + 5);
        assert_int_equal(feed_noted(fx->feed, 2), 1);
        assert_int_equal(feed_noted(fx->feed, 3), 0);
        assert_int_equal(open_again(fx), 0);
    }
}

static void what_is_in_no_step_is_dropped(void **state)
{
    fixture *fx = *state;

    add(fx, "lost");
    assert_int_equal(open_again(fx), 0);
    assert_int_equal(count(fx), 0);
}

static void a_refused_record_leaves_the_step_as_it_was(void **state)
{
    static char large[2 << 20];
    fixture *fx = *state;

    add(fx, "one");
    assert_int_equal(feed_add(fx->feed, (ls_bytes){"", 0}, (ls_bytes){"x", 1}), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(feed_add(fx->feed, (ls_bytes){"key", 3}, (ls_bytes){large, sizeof(large)}), LS_ERR_TOO_LARGE);
    assert_int_equal(feed_added(fx->feed), 1);
    assert_int_equal(feed_step(fx->feed, "a", "3"), 0);
    assert_int_equal(count(fx), 1);
}

/* 16 MiB may go to one shard at once: whoever counts rows alone would pass that. */
static void a_step_is_due_by_rows_by_bytes_and_at_the_end(void **state)
{
    static char large[(1 << 20) - 3];
    fixture *fx = *state;
    uint64_t rows = 0;

    assert_false(feed_is_due(fx->feed, 0, 500, true));
    assert_true(feed_is_due(fx->feed, 500, 500, false));
    for (; !feed_is_due(fx->feed, rows, 500, false); rows++)
        assert_int_equal(feed_add(fx->feed, (ls_bytes){"key", 3}, (ls_bytes){large, sizeof(large)}), LS_OK);
    assert_int_equal(rows, 12);
    assert_int_equal(feed_step(fx->feed, "a", "12"), 0);
    add(fx, "one");
    assert_false(feed_is_due(fx->feed, 1, 500, false));
    assert_true(feed_is_due(fx->feed, 1, 500, true));
    assert_int_equal(count(fx), 12);
}

static void a_step_that_cannot_be_done_leaves_no_note(void **state)
{
    fixture *fx = *state;

    assert_int_equal(feed_step(fx->feed, "a", "1"), 0);
    add(fx, "one");
    assert_int_equal(ls_stream_delete(fx->store, NAME), LS_OK);
    assert_int_equal(feed_step(fx->feed, "a", "2"), -1);
    assert_noted(fx, "1");
    assert_int_equal(open_again(fx), 0);
    assert_int_equal(count(fx), 0);
}

static void a_stream_that_was_made_anew_begins_anew(void **state)
{
    fixture *fx = *state;

    add(fx, "one");
    assert_int_equal(feed_step(fx->feed, "a", "1"), 0);
    assert_int_equal(feed_settle(fx->feed, "--key", "x"), 0);
    assert_int_equal(open_again(fx), 0);
    assert_string_equal(feed_note(fx->feed, "a"), "1");
    assert_int_equal(feed_settle(fx->feed, "--key", "y"), -1);
    assert_int_equal(ls_stream_delete(fx->store, NAME), LS_OK);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(open_again(fx), 0);
        assert_null(feed_note(fx->feed, "a"));
        assert_int_equal(feed_settle(fx->feed, "--key", "y"), 0);
        assert_int_equal(count(fx), 0);
    }
}

static void steps_that_are_begun_are_done_in_their_order(void **state)
{
    fixture *fx = *state;
    char note[16];

    for (int i = 1; i <= 40; i++) {
        add(fx, "row");
        (void)snprintf(note, sizeof(note), "%d", i);
        assert_int_equal(feed_begin_step(fx->feed, "a", note), 0);
        assert_int_equal(feed_added(fx->feed), 0);
    }
    assert_int_equal(feed_wait(fx->feed), 0);
    assert_int_equal(count(fx), 40);
    assert_int_equal(open_again(fx), 0);
    assert_string_equal(feed_note(fx->feed, "a"), "40");
}

static void a_begun_step_that_fails_ends_the_feed(void **state)
{
    fixture *fx = *state;

    add(fx, "one");
    assert_int_equal(feed_begin_step(fx->feed, "a", "1"), 0);
    assert_int_equal(feed_wait(fx->feed), 0);
    add(fx, "two");
    assert_int_equal(ls_stream_delete(fx->store, NAME), LS_OK);
    assert_int_equal(feed_begin_step(fx->feed, "a", "2"), 0);
    assert_int_equal(feed_wait(fx->feed), -1);
    assert_int_equal(feed_begin_step(fx->feed, "a", "3"), -1);
    assert_int_equal(feed_step(fx->feed, "a", "3"), -1);
    assert_noted(fx, "1");
    assert_int_equal(open_again(fx), -1);
}

/* The last step would be done by itself: it has nothing for the stream that is gone. */
static void none_behind_a_step_that_failed_is_done(void **state)
{
    fixture *fx = *state;

    assert_int_equal(feed_step(fx->feed, "a", "1"), 0);
    add(fx, "one");
    assert_int_equal(ls_stream_delete(fx->store, NAME), LS_OK);
    assert_int_equal(feed_begin_step(fx->feed, "a", "2"), 0);
    (void)feed_begin_step(fx->feed, "a", "3");  /* It is refused when the one before has failed already. */
    assert_int_equal(feed_wait(fx->feed), -1);
    assert_noted(fx, "1");
    assert_int_equal(open_again(fx), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_has_its_records_and_its_note, setup, teardown),
        cmocka_unit_test_setup_teardown(sources_have_notes_of_their_own_and_the_last_one_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_notes_of_all_sources_are_added_up, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_no_step_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_record_leaves_the_step_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_is_due_by_rows_by_bytes_and_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_that_cannot_be_done_leaves_no_note, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_was_made_anew_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_that_are_begun_are_done_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_begun_step_that_fails_ends_the_feed, setup, teardown),
        cmocka_unit_test_setup_teardown(none_behind_a_step_that_failed_is_done, setup, teardown),
    };

    return cmocka_run_group_tests_name("rows that are put each once", tests, NULL, NULL);
}
