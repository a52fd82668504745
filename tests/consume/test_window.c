/* Windows over event time: the tables and examples of spec/flink-windows.md, and its list of tests. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "consume/window/window.h"
#include "support/sim_memory.h"

#define MINUTE INT64_C(60000)
#define SECOND INT64_C(1000)
#define DAY_MS (INT64_C(18367) * 24 * 60 * MINUTE) /* 2020-04-15 */
#define TEXT_BYTES 8192

typedef struct fixture {
    sim_memory memory;
    lsi_windows_settings settings;
    lsi_windows *windows;
    char text[TEXT_BYTES];
} fixture;

static fixture *begin(lsi_windows_kind kind)
{
    fixture *fx = calloc(1, sizeof *fx);

    assert_non_null(fx);
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    fx->settings = (lsi_windows_settings){
        .kind = kind,
        .idle_timeout_ms = -1,
        .state_bytes_max = 1 << 20,
        .fold = lsi_tally_fold,
    };
    return fx;
}

static void open_windows(fixture *fx, uint32_t input_count)
{
    lsi_memory memory = sim_memory_table(&fx->memory);

    assert_int_equal(lsi_windows_check(&fx->settings), LS_OK);
    assert_int_equal(lsi_windows_open(&memory, &fx->settings, &fx->windows), LS_OK);
    for (uint32_t i = 0; i < input_count; i++)
        assert_int_equal(lsi_windows_input(fx->windows, i, NULL, 0), LS_OK);
}

static void end(fixture *fx)
{
    lsi_windows_close(fx->windows);
    assert_int_equal(fx->memory.live, 0);
    free(fx);
}

static ls_bytes bytes_of(const char *text)
{
    return (ls_bytes){text, strlen(text)};
}

static lsi_element_fate add_key(fixture *fx, uint32_t input, const char *key, int64_t time_ms, double number)
{
    lsi_element_fate fate;

    assert_int_equal(lsi_windows_add(fx->windows, input, bytes_of(key), time_ms, &number, &fate), LS_OK);
    return fate;
}

static lsi_element_fate add(fixture *fx, uint32_t input, int64_t time_ms)
{
    return add_key(fx, input, "", time_ms, 1);
}

/* The results that are due, as "start-end sum;": minutes of the day if they are on it, else milliseconds. A late one
 * has a '+' behind, an early one a '-'; a key stands before. */
static const char *results(fixture *fx)
{
    lsi_windows_result result;
    size_t used = 0;

    fx->text[0] = '\0';
    while (lsi_windows_next(fx->windows, &result)) {
        bool is_day = result.start_ms >= DAY_MS && result.end_ms < 2 * DAY_MS;
        int64_t unit = is_day ? MINUTE : 1, from = is_day ? DAY_MS : 0;

        assert_int_equal(((const lsi_tally *)result.sum)->count, result.count);
        used += (size_t)snprintf(fx->text + used, sizeof fx->text - used, "%s%.*s%s%" PRId64 "-%" PRId64 " %g%s",
                                 used == 0 ? "" : "; ", (int)result.key.size, (const char *)result.key.data,
                                 result.key.size == 0 ? "" : " ", (result.start_ms - from) / unit,
                                 (result.end_ms - from) / unit, lsi_tally_sum(result.sum),
                                 result.pane == LSI_PANE_LATE ? "+" : result.pane == LSI_PANE_EARLY ? "-" : "");
        assert_true(used < sizeof fx->text);
    }
    return fx->text;
}

/* One batch of one element. */
static const char *row(fixture *fx, uint32_t input, int64_t time_ms)
{
    (void)add(fx, input, time_ms);
    lsi_windows_advance(fx->windows, input, (lsi_point){0, 0});
    return results(fx);
}

/* ---- section 2: the Bid table ---- */

static const struct {
    int64_t minute;
    double price;
    const char *supplier;
} bids[] = {{485, 4, "s1"}, {487, 2, "s1"}, {489, 5, "s2"}, {491, 3, "s2"}, {493, 1, "s1"}, {497, 6, "s2"}};
#define BIDS 6u

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The results of a text in the order of their texts. */
static void sort_results(const char *text, char *out)
{
    static char copy[TEXT_BYTES];
    char *parts[200], *rest = copy;
    size_t count = 0, used = 0;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *end_of = copy; rest != NULL && *rest != '\0'; rest = end_of) {
        end_of = strstr(rest, "; ");
        if (end_of != NULL) {
            *end_of = '\0';
            end_of += 2;
        }
        parts[count++] = rest;
    }
    qsort(parts, count, sizeof parts[0], compare_texts);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%s\n", parts[i]);
}

/* Forwards, backwards, and shuffled over three shards: the same results. */
static void bids_give(const lsi_windows_settings *settings, bool by_supplier, const char *expected)
{
    static char is[BIDS * TEXT_BYTES], should[TEXT_BYTES];
    uint64_t seed = 7;

    sort_results(expected, should);
    for (uint32_t round = 0; round < 200; round++) {
        fixture *fx = begin(settings->kind);
        uint32_t order[BIDS], inputs = round < 2 ? 1 : 3;

        fx->settings = *settings;
        fx->settings.delay_ms = round == 0 ? 0 : 60 * MINUTE;
        open_windows(fx, inputs);
        for (uint32_t i = 0; i < BIDS; i++)
            order[i] = round == 1 ? BIDS - 1 - i : i;
        for (uint32_t i = BIDS; round >= 2 && i-- > 1;) {
            uint32_t other, kept = order[i];

            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            other = (uint32_t)(seed >> 33) % (i + 1);
            order[i] = order[other];
            order[other] = kept;
        }
        is[0] = '\0';
        for (uint32_t i = 0; i < BIDS; i++) {
            uint32_t k = order[i], input = k % inputs;

            assert_int_equal(add_key(fx, input, by_supplier ? bids[k].supplier : "", DAY_MS + bids[k].minute * MINUTE,
                                     bids[k].price), LSI_ELEMENT_ADDED);
            lsi_windows_advance(fx->windows, input, (lsi_point){0, 0});
            if (results(fx)[0] != '\0')
                strcat(strcat(is, fx->text), "; ");
        }
        lsi_windows_finish(fx->windows);
        strcat(is, results(fx));
        sort_results(is, fx->text);
        assert_string_equal(fx->text, should);
        assert_int_equal(lsi_windows_state_bytes(fx->windows), 0);
        end(fx);
    }
}

static void the_bid_table_gives_its_results(void **state)
{
    lsi_windows_settings s = {.kind = LSI_WINDOWS_TUMBLING, .idle_timeout_ms = -1, .state_bytes_max = 1 << 20,
                              .fold = lsi_tally_fold, .size_ms = 10 * MINUTE};

    (void)state;
    bids_give(&s, false, "480-490 11; 490-500 10");
    s.kind = LSI_WINDOWS_SLIDING;
    s.step_ms = 5 * MINUTE;
    bids_give(&s, false, "480-490 11; 485-495 15; 490-500 10; 495-505 6");
    s.step_ms = 3 * MINUTE;
    bids_give(&s, false, "477-487 4; 480-490 11; 483-493 14; 486-496 11; 489-499 15; 492-502 7; 495-505 6");
    s.kind = LSI_WINDOWS_CUMULATING;
    s.step_ms = 2 * MINUTE;
    bids_give(&s, false, "480-486 4; 480-488 6; 480-490 11; 490-492 3; 490-494 4; 490-496 4; 490-498 10; 490-500 10");
    s.kind = LSI_WINDOWS_SESSION;
    s.gap_ms = 3 * MINUTE;
    bids_give(&s, false, "485-496 15; 497-500 6");
    s.gap_ms = 4 * MINUTE;
    bids_give(&s, false, "485-501 21");
    s.gap_ms = 5 * MINUTE;
    bids_give(&s, true, "s1 485-492 6; s1 493-498 1; s2 489-496 8; s2 497-502 6");
    s.gap_ms = 2 * MINUTE;
    bids_give(&s, true, "s1 485-489 6; s1 493-495 1; s2 489-493 8; s2 497-499 6");
}

static const char *windows_of(lsi_windows_kind kind, int64_t size, int64_t step, int64_t offset, int64_t time_ms)
{
    static char text[TEXT_BYTES];
    fixture *fx = begin(kind);

    fx->settings.size_ms = size;
    fx->settings.step_ms = step;
    fx->settings.offset_ms = offset;
    fx->settings.gap_ms = size;
    open_windows(fx, 1);
    (void)add(fx, 0, time_ms);
    lsi_windows_finish(fx->windows);
    snprintf(text, sizeof text, "%s", results(fx));
    end(fx);
    return text;
}

/* Test 2: before the epoch, with offsets, on the edges, at the ends of time. */
static void windows_are_where_they_should_be(void **state)
{
    (void)state;
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, 9), "0-10 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, 10), "10-20 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, -1), "-10-0 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, -10), "-10-0 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, -11), "-20--10 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 3, 2), "-7-3 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 3, 3), "3-13 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, -3, -3), "-3-7 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, -3, 7), "7-17 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 24, 0, -8, 15), "-8-16 1"); /* UTC+8's midnight, in hours */
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, INT64_MAX),
                        "9223372036854775800-9223372036854775807 1");
    assert_string_equal(windows_of(LSI_WINDOWS_TUMBLING, 10, 0, 0, INT64_MIN),
                        "-9223372036854775808--9223372036854775800 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SLIDING, 10, 4, 0, -1), "-8-2 1; -4-6 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SLIDING, 10, 5, 0, 10), "5-15 1; 10-20 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SLIDING, 10, 5, 2, 1), "-8-2 1; -3-7 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SLIDING, 10, 5, 0, INT64_MIN),
                        "-9223372036854775808--9223372036854775805 1; -9223372036854775808--9223372036854775800 1");
    assert_string_equal(windows_of(LSI_WINDOWS_CUMULATING, 10, 5, 0, -1), "-10-0 1");
    assert_string_equal(windows_of(LSI_WINDOWS_CUMULATING, 10, 5, 0, -10), "-10--5 1; -10-0 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SESSION, 10, 0, 0, -5), "-5-5 1");
    assert_string_equal(windows_of(LSI_WINDOWS_SESSION, 10, 0, 0, INT64_MAX - 3),
                        "9223372036854775804-9223372036854775807 1");
}

static void elements_between_sliding_windows_are_in_none(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SLIDING);
    lsi_windows_counts counts;

    (void)state;
    fx->settings.size_ms = 3;
    fx->settings.step_ms = 10;
    open_windows(fx, 1);
    assert_int_equal(add(fx, 0, 2), LSI_ELEMENT_ADDED);
    assert_int_equal(add(fx, 0, 3), LSI_ELEMENT_NOWHERE);
    assert_int_equal(add(fx, 0, 19), LSI_ELEMENT_NOWHERE);
    lsi_windows_advance(fx->windows, 0, (lsi_point){0, 0}); /* They have a time all the same. */
    assert_int_equal(lsi_windows_watermark(fx->windows), 19);
    assert_string_equal(results(fx), "0-3 1");
    lsi_windows_counts_get(fx->windows, &counts);
    assert_int_equal(counts.added, 1);
    assert_int_equal(counts.nowhere, 2);
    assert_int_equal(counts.late, 0);
    end(fx);
}

/* ---- sections 3 and 4: watermarks, firing, lateness ---- */

#define AT(minute, second) (DAY_MS + (480 + (minute)) * MINUTE + (second) * SECOND)

/* Section 4's worked example, with lateness 0 and 60 s, exact outputs in order. */
static void the_worked_example_fires_as_it_says(void **state)
{
    (void)state;
    for (int has_lateness = 0; has_lateness < 2; has_lateness++) {
        fixture *fx = begin(LSI_WINDOWS_TUMBLING);

        fx->settings.size_ms = 10 * MINUTE;
        fx->settings.delay_ms = 5 * SECOND; /* SQL: no -1 */
        fx->settings.lateness_ms = has_lateness ? 60 * SECOND : 0;
        open_windows(fx, 1);
        assert_string_equal(row(fx, 0, AT(9, 58)), "");
        assert_string_equal(row(fx, 0, AT(10, 3)), "");
        assert_int_equal(lsi_windows_watermark(fx->windows), AT(9, 58));
        assert_string_equal(row(fx, 0, AT(9, 50)), "");
        assert_string_equal(row(fx, 0, AT(10, 5)), "480-490 2");
        assert_int_equal(lsi_windows_watermark(fx->windows), AT(10, 0));
        if (has_lateness) {
            assert_string_equal(row(fx, 0, AT(9, 59)), "480-490 3+");
            assert_string_equal(row(fx, 0, AT(9, 59)), "480-490 4+");
            assert_string_equal(row(fx, 0, AT(11, 4) + 998), ""); /* w = 08:10:59.998 */
            assert_string_equal(row(fx, 0, AT(9, 59)), "480-490 5+");
            assert_string_equal(row(fx, 0, AT(11, 4) + 999), "");
        }
        assert_int_equal(add(fx, 0, AT(9, 59)), LSI_ELEMENT_LATE);
        assert_string_equal(results(fx), "");
        lsi_windows_finish(fx->windows);
        assert_string_equal(results(fx), has_lateness ? "490-500 4" : "490-500 2");
        end(fx);
    }
}

static void a_window_fires_at_its_last_millisecond(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10 * MINUTE;
    fx->settings.delay_ms = 5 * SECOND;
    open_windows(fx, 1);
    (void)row(fx, 0, AT(1, 0));
    assert_string_equal(row(fx, 0, AT(10, 4) + 998), "");
    assert_string_equal(row(fx, 0, AT(10, 4) + 999), "480-490 1");
    end(fx);
    /* The DataStream form holds back one more. */
    fx = begin(LSI_WINDOWS_TUMBLING);
    fx->settings.size_ms = 10;
    fx->settings.delay_ms = 0 + 1;
    open_windows(fx, 1);
    assert_string_equal(row(fx, 0, 9), "");
    assert_string_equal(row(fx, 0, 10), "0-10 1");
    end(fx);
}

/* Behind the watermark is not late while the window is open; at w = end - 1 it is. */
static void late_is_what_comes_after_its_windows_time(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    open_windows(fx, 1);
    assert_string_equal(row(fx, 0, 8), "");
    assert_int_equal(add(fx, 0, 2), LSI_ELEMENT_ADDED);
    assert_string_equal(row(fx, 0, 9), "0-10 3");
    assert_int_equal(add(fx, 0, 9), LSI_ELEMENT_LATE);
    assert_int_equal(add(fx, 0, -100), LSI_ELEMENT_LATE);
    end(fx);
}

/* The first element of a window whose end has passed, but that is still kept: it fires at once. */
static void a_window_may_begin_after_its_end(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.lateness_ms = 100;
    open_windows(fx, 1);
    assert_string_equal(row(fx, 0, 50), "");
    assert_string_equal(row(fx, 0, 5), "0-10 1+");
    end(fx);
}

/* Ordering trap: the watermark is reckoned after the batch, so that its own older elements are in time. */
static void a_batch_is_no_later_than_itself(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    open_windows(fx, 1);
    (void)add(fx, 0, 100);
    assert_int_equal(add(fx, 0, 5), LSI_ELEMENT_ADDED);
    assert_string_equal(results(fx), "");
    lsi_windows_advance(fx->windows, 0, (lsi_point){0, 0});
    assert_string_equal(results(fx), "0-10 1");
    end(fx);
}

/* Late for some of its windows only; counted as late when it is so for all. */
static void sliding_windows_judge_each_for_itself(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SLIDING);
    lsi_windows_counts counts;

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.step_ms = 5;
    open_windows(fx, 1);
    assert_string_equal(row(fx, 0, 11), "");
    assert_int_equal(lsi_windows_watermark(fx->windows), 11);
    assert_int_equal(add(fx, 0, 7), LSI_ELEMENT_ADDED); /* 0-10 is gone, 5-15 is not */
    assert_int_equal(add(fx, 0, 3), LSI_ELEMENT_LATE);
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "5-15 2; 10-20 1");
    lsi_windows_counts_get(fx->windows, &counts);
    assert_int_equal(counts.late, 1);
    end(fx);
}

static void the_clean_up_time_is_no_later_than_time(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.lateness_ms = LSI_WINDOW_MS_MAX;
    open_windows(fx, 1);
    (void)add(fx, 0, INT64_MAX - 1);
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "9223372036854775800-9223372036854775807 1");
    assert_int_equal(lsi_windows_state_bytes(fx->windows), 0);
    end(fx);
}

/* A window without elements gives no output. */
static void empty_windows_give_nothing(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    open_windows(fx, 1);
    (void)row(fx, 0, 5);
    assert_string_equal(row(fx, 0, 1005), "0-10 1");
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "1000-1010 1");
    end(fx);
}

static void a_flush_gives_what_is_open_and_ends_it(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.lateness_ms = 100;
    open_windows(fx, 1);
    (void)add(fx, 0, 1);
    (void)add(fx, 0, 15);
    (void)add(fx, 0, 21);
    lsi_windows_advance(fx->windows, 0, (lsi_point){0, 0});
    assert_string_equal(results(fx), "0-10 1; 10-20 1");
    (void)add(fx, 0, 16);
    lsi_windows_flush(fx->windows);
    assert_string_equal(results(fx), "10-20 2+; 20-30 1-");
    assert_int_equal(lsi_windows_state_bytes(fx->windows), 0);
    end(fx);
}

/* ---- inputs ---- */

/* Test 4. */
static void a_silent_input_blocks_unless_it_is_idle(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    open_windows(fx, 2);
    assert_string_equal(row(fx, 0, 1000), "");
    lsi_windows_input_tip(fx->windows, 1, 0);
    lsi_windows_input_tip(fx->windows, 1, INT64_C(1) << 50); /* -1: never idle */
    assert_string_equal(row(fx, 0, 2000), "");
    end(fx);
    fx = begin(LSI_WINDOWS_TUMBLING);
    fx->settings.size_ms = 10;
    fx->settings.idle_timeout_ms = 1000;
    open_windows(fx, 2);
    (void)row(fx, 0, 5);
    (void)row(fx, 0, 1000);
    lsi_windows_input_tip(fx->windows, 1, 77000);
    lsi_windows_input_tip(fx->windows, 1, 77999);
    assert_string_equal(results(fx), "");
    lsi_windows_input_tip(fx->windows, 1, 78000);
    assert_string_equal(results(fx), "0-10 1");
    /* Its old record afterwards is late, the watermark does not go back, and it holds back again. */
    assert_int_equal(add(fx, 1, 6), LSI_ELEMENT_LATE);
    lsi_windows_advance(fx->windows, 1, (lsi_point){0, 0});
    assert_int_equal(lsi_windows_watermark(fx->windows), 1000);
    assert_string_equal(row(fx, 0, 3000), "");
    assert_int_equal(lsi_windows_watermark(fx->windows), 1000);
    assert_int_equal(add(fx, 1, 2500), LSI_ELEMENT_ADDED);
    lsi_windows_advance(fx->windows, 1, (lsi_point){0, 0});
    assert_int_equal(lsi_windows_watermark(fx->windows), 2500);
    end(fx);
}

/* What is found at the tip begins the time anew, also when it has no time of its own. */
static void an_element_ends_the_silence(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);
    lsi_windows_counts counts;

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.idle_timeout_ms = 1000;
    open_windows(fx, 2);
    (void)row(fx, 0, 500);
    lsi_windows_input_tip(fx->windows, 1, 0);
    lsi_windows_timeless(fx->windows, 1);
    lsi_windows_input_tip(fx->windows, 1, 999);
    lsi_windows_input_tip(fx->windows, 1, 1998);
    assert_int_equal(lsi_windows_watermark(fx->windows), LSI_WATERMARK_NONE);
    lsi_windows_input_tip(fx->windows, 1, 1999);
    assert_int_equal(lsi_windows_watermark(fx->windows), 500);
    lsi_windows_counts_get(fx->windows, &counts);
    assert_int_equal(counts.timeless, 1);
    end(fx);
}

/* When all are idle nothing advances by itself. */
static void idle_inputs_advance_nothing(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.idle_timeout_ms = 0;
    open_windows(fx, 2);
    (void)row(fx, 0, 500);
    (void)row(fx, 1, 100);
    lsi_windows_input_tip(fx->windows, 0, 0);
    assert_int_equal(lsi_windows_watermark(fx->windows), 100);
    lsi_windows_input_tip(fx->windows, 1, 0);
    assert_int_equal(lsi_windows_watermark(fx->windows), 100);
    end(fx);
}

/* Test 5. */
static void a_new_input_holds_back_until_it_ends(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 10;
    open_windows(fx, 1);
    (void)row(fx, 0, 5);
    assert_int_equal(lsi_windows_input(fx->windows, 7, NULL, 0), LS_OK);
    assert_string_equal(row(fx, 0, 100), "");
    lsi_windows_input_end(fx->windows, 7);
    assert_string_equal(results(fx), "0-10 1");
    assert_int_equal(lsi_windows_input(fx->windows, 7, NULL, 0), LS_ERR_EXISTS);
    end(fx);
}

/* Children continue their parents: they begin with the least of their watermarks, or, by setting, with none. */
static void a_child_begins_where_its_parents_are(void **state)
{
    static const uint32_t parents[] = {0, 1, 99};

    (void)state;
    for (int begins_anew = 0; begins_anew < 2; begins_anew++) {
        fixture *fx = begin(LSI_WINDOWS_TUMBLING);

        fx->settings.size_ms = 10;
        fx->settings.begins_anew = begins_anew;
        open_windows(fx, 3);
        (void)row(fx, 0, 50);
        (void)row(fx, 1, 60);
        (void)row(fx, 2, 80);
        assert_int_equal(lsi_windows_input(fx->windows, 3, parents, 3), LS_OK);
        lsi_windows_input_end(fx->windows, 0);
        lsi_windows_input_end(fx->windows, 1);
        assert_int_equal(lsi_windows_watermark(fx->windows), 50);
        (void)row(fx, 2, 90);
        assert_int_equal(lsi_windows_watermark(fx->windows), 50);
        (void)row(fx, 3, 55);
        assert_int_equal(lsi_windows_watermark(fx->windows), 55);
        (void)row(fx, 3, 40); /* nothing goes back */
        assert_int_equal(lsi_windows_watermark(fx->windows), 55);
        lsi_windows_input_end(fx->windows, 3);
        lsi_windows_input_end(fx->windows, 2);
        assert_int_equal(lsi_windows_watermark(fx->windows), 90);
        (void)lsi_windows_input(fx->windows, 4, (const uint32_t[]){2}, 1); /* the only one that is active */
        assert_int_equal(lsi_windows_watermark(fx->windows), 90);
        end(fx);
    }
}

/* Test 10. */
static void a_split_in_the_middle_of_a_window_changes_no_total(void **state)
{
    const uint32_t parent = 0;
    fixture *fx = begin(LSI_WINDOWS_TUMBLING);

    (void)state;
    fx->settings.size_ms = 100;
    open_windows(fx, 1);
    for (int64_t time = 0; time < 50; time++)
        (void)add_key(fx, 0, time % 2 == 0 ? "a" : "b", time, 1);
    lsi_windows_advance(fx->windows, 0, (lsi_point){0, 0});
    assert_int_equal(lsi_windows_input(fx->windows, 1, &parent, 1), LS_OK);
    assert_int_equal(lsi_windows_input(fx->windows, 2, &parent, 1), LS_OK);
    lsi_windows_input_end(fx->windows, 0);
    for (int64_t time = 50; time < 200; time++) {
        (void)add_key(fx, 1 + (uint32_t)(time % 2), time % 2 == 0 ? "a" : "b", time, 1);
        lsi_windows_advance(fx->windows, 1 + (uint32_t)(time % 2), (lsi_point){0, 0});
    }
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "a 0-100 50; b 0-100 50; a 100-200 50; b 100-200 50");
    end(fx);
}

/* ---- sessions ---- */

/* Test 7. */
static void a_bridge_merges_sessions(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SESSION);

    (void)state;
    fx->settings.gap_ms = 10;
    fx->settings.delay_ms = 1000;
    open_windows(fx, 1);
    (void)add_key(fx, 0, "k", 100, 1);
    (void)add_key(fx, 0, "k", 120, 2);
    (void)add_key(fx, 0, "k", 140, 4);
    (void)add_key(fx, 0, "x", 115, 64);
    (void)add_key(fx, 0, "k", 110, 8);  /* touches both */
    (void)add_key(fx, 0, "k", 131, 16); /* meets 140, not 120-130 */
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "x 115-125 64; k 100-130 11; k 131-150 20");
    end(fx);
    fx = begin(LSI_WINDOWS_SESSION);
    fx->settings.gap_ms = 15;
    fx->settings.delay_ms = 1000;
    open_windows(fx, 1);
    (void)add(fx, 0, 100);
    (void)add(fx, 0, 130);
    (void)add(fx, 0, 160);
    (void)add(fx, 0, 145); /* three into one: [145, 160) touches the third, and [130, 145) touches it */
    (void)add(fx, 0, 115);
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "100-175 5");
    end(fx);
}

/* Lateness is judged after merging: an element that would be late alone is not when it joins a session that is kept. */
static void a_session_rescues_a_late_element(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SESSION);

    (void)state;
    fx->settings.gap_ms = 10;
    open_windows(fx, 1);
    (void)row(fx, 0, 100);
    assert_string_equal(row(fx, 0, 105), "");
    (void)row(fx, 0, 112);
    assert_string_equal(row(fx, 0, 120), ""); /* w = 120: a session of 100 alone would be gone */
    assert_int_equal(add(fx, 0, 95), LSI_ELEMENT_ADDED);
    assert_int_equal(add(fx, 0, 84), LSI_ELEMENT_LATE);
    assert_string_equal(row(fx, 0, 130), ""); /* touches */
    assert_string_equal(row(fx, 0, 141), "95-140 6");
    end(fx);
}

static void a_session_that_grows_after_it_fired_fires_again_with_its_new_end(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SESSION);

    (void)state;
    fx->settings.gap_ms = 10;
    fx->settings.lateness_ms = 50;
    open_windows(fx, 1);
    (void)row(fx, 0, 100);
    assert_string_equal(row(fx, 0, 115), "100-110 1");
    assert_string_equal(row(fx, 0, 101), "100-111 2+");
    assert_string_equal(row(fx, 0, 108), ""); /* joins 115's: not over yet */
    assert_string_equal(row(fx, 0, 126), "100-125 4");
    end(fx);
}

/* ---- memory ---- */

/* V3. A key's first sliding window fits, the second does not: it is in none of them. */
static void an_element_over_the_bound_is_in_no_window(void **state)
{
    fixture *fx = begin(LSI_WINDOWS_SLIDING);
    lsi_element_fate fate = LSI_ELEMENT_NOWHERE;
    uint64_t before = 0;
    double one = 1;

    (void)state;
    fx->settings.size_ms = 10;
    fx->settings.step_ms = 1;
    for (int is_measured = 0; is_measured < 2; is_measured++) {
        open_windows(fx, 1);
        (void)add_key(fx, 0, "a", 100, 1);
        before = lsi_windows_state_bytes(fx->windows); /* of ten windows */
        fx->settings.state_bytes_max = before + before / 10;
        if (is_measured == 0)
            lsi_windows_close(fx->windows);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(lsi_windows_add(fx->windows, 0, bytes_of("b"), 100, &one, &fate), LS_ERR_TOO_LARGE);
        assert_int_equal(lsi_windows_add(fx->windows, 0, bytes_of("a"), 109, &one, &fate), LS_ERR_TOO_LARGE);
        assert_int_equal(lsi_windows_state_bytes(fx->windows), before);
    }
    assert_int_equal(add_key(fx, 0, "a", 101, 1), LSI_ELEMENT_ADDED); /* one window more */
    lsi_windows_finish(fx->windows);
    assert_string_equal(results(fx), "a 91-101 1; a 92-102 2; a 93-103 2; a 94-104 2; a 95-105 2; a 96-106 2; "
                                     "a 97-107 2; a 98-108 2; a 99-109 2; a 100-110 2; a 101-111 1");
    assert_int_equal(lsi_windows_state_bytes(fx->windows), 0);
    end(fx);
}

static void every_allocation_may_fail(void **state)
{
    static const lsi_windows_kind kinds[] = {LSI_WINDOWS_SLIDING, LSI_WINDOWS_SESSION};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        bool failed = true;

        for (uint64_t nth = 1; failed; nth++) {
            fixture *fx = begin(kinds[k]);
            lsi_memory memory = sim_memory_table(&fx->memory);
            char key[8];

            fx->settings.size_ms = 10;
            fx->settings.step_ms = 5;
            fx->settings.gap_ms = 1;
            sim_memory_fail(&fx->memory, nth, false);
            while (lsi_windows_open(&memory, &fx->settings, &fx->windows) != LS_OK)
                continue;
            while (lsi_windows_input(fx->windows, 0, NULL, 0) != LS_OK)
                continue;
            for (uint32_t i = 0; i < 100; i++) {
                lsi_element_fate fate;
                double one = 1;

                snprintf(key, sizeof key, "%u", i % 70);
                while (lsi_windows_add(fx->windows, 0, bytes_of(key), i < 70 ? 7 : 57, &one, &fate) != LS_OK)
                    continue;
                assert_int_equal(fate, LSI_ELEMENT_ADDED);
            }
            lsi_windows_finish(fx->windows);
            for (uint32_t seen = 0; seen < 100 * (kinds[k] == LSI_WINDOWS_SLIDING ? 2 : 1); seen++) {
                lsi_windows_result result;

                assert_true(lsi_windows_next(fx->windows, &result));
                assert_int_equal(result.count, 1);
            }
            failed = fx->memory.failed > 0;
            end(fx);
        }
    }
}

static void settings_that_make_no_sense_are_refused(void **state)
{
    const lsi_windows_settings good = {.kind = LSI_WINDOWS_SLIDING, .size_ms = 10, .step_ms = 5, .offset_ms = 4};
    static const struct {
        size_t at;
        lsi_windows_kind kind;
        int64_t value;
        const char *said;
    } bad[] = {
        {offsetof(lsi_windows_settings, size_ms), LSI_WINDOWS_TUMBLING, 0, "the size is 0 ms"},
        {offsetof(lsi_windows_settings, size_ms), LSI_WINDOWS_TUMBLING, -5, "the size is -5 ms"},
        {offsetof(lsi_windows_settings, size_ms), LSI_WINDOWS_TUMBLING, LSI_WINDOW_MS_MAX + 1, "the size"},
        {offsetof(lsi_windows_settings, step_ms), LSI_WINDOWS_SLIDING, 0, "the step is 0 ms"},
        {offsetof(lsi_windows_settings, size_ms), LSI_WINDOWS_SLIDING, 60000, "10,000 windows"},
        {offsetof(lsi_windows_settings, step_ms), LSI_WINDOWS_CUMULATING, 3, "no multiple"},
        {offsetof(lsi_windows_settings, gap_ms), LSI_WINDOWS_SESSION, 0, "the gap is 0 ms"},
        {offsetof(lsi_windows_settings, offset_ms), LSI_WINDOWS_SLIDING, 5, "the offset is 5 ms"},
        {offsetof(lsi_windows_settings, offset_ms), LSI_WINDOWS_TUMBLING, -10, "the offset is -10 ms"},
        {offsetof(lsi_windows_settings, delay_ms), LSI_WINDOWS_TUMBLING, -1, "the delay is -1 ms"},
        {offsetof(lsi_windows_settings, lateness_ms), LSI_WINDOWS_TUMBLING, -1, "the lateness is -1 ms"},
    };

    (void)state;
    assert_int_equal(lsi_windows_check(&good), LS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lsi_windows_settings settings = good;

        settings.kind = bad[i].kind;
        memcpy((char *)&settings + bad[i].at, &bad[i].value, sizeof bad[i].value);
        assert_int_equal(lsi_windows_check(&settings), LS_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(ls_last_error_message(), bad[i].said));
    }
}

/* ---- the fold of numbers ---- */

static void a_sum_does_not_show_its_order(void **state)
{
    static const double numbers[] = {1e16, 3.14159, -1e16, 2.71828, 1e-8, 1e16, -1e16, 0.1, 0.2, -0.3};
    lsi_tally tally, left, right;
    double infinite = 1.0 / 0.0;

    (void)state;
    for (size_t from = 0; from < 10; from++) {
        lsi_tally_fold.init(NULL, &tally);
        lsi_tally_fold.init(NULL, &left);
        lsi_tally_fold.init(NULL, &right);
        for (size_t i = 0; i < 10; i++) {
            lsi_tally_fold.add(NULL, &tally, &numbers[(from + i) % 10]);
            lsi_tally_fold.add(NULL, i < 4 ? &left : &right, &numbers[(from + i) % 10]);
        }
        lsi_tally_fold.merge(NULL, &left, &right);
        assert_true(lsi_tally_sum(&tally) > 5.85987000999999 && lsi_tally_sum(&tally) < 5.85987001000001);
        assert_true(lsi_tally_sum(&left) > 5.85987000999999 && lsi_tally_sum(&left) < 5.85987001000001);
        assert_int_equal(left.count, 10);
        assert_true(left.least == -1e16 && left.greatest == 1e16);
    }
    lsi_tally_fold.add(NULL, &tally, &infinite);
    assert_true(lsi_tally_sum(&tally) == infinite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bid_table_gives_its_results),
        cmocka_unit_test(windows_are_where_they_should_be),
        cmocka_unit_test(elements_between_sliding_windows_are_in_none),
        cmocka_unit_test(the_worked_example_fires_as_it_says),
        cmocka_unit_test(a_window_fires_at_its_last_millisecond),
        cmocka_unit_test(late_is_what_comes_after_its_windows_time),
        cmocka_unit_test(a_window_may_begin_after_its_end),
        cmocka_unit_test(a_batch_is_no_later_than_itself),
        cmocka_unit_test(sliding_windows_judge_each_for_itself),
        cmocka_unit_test(the_clean_up_time_is_no_later_than_time),
        cmocka_unit_test(empty_windows_give_nothing),
        cmocka_unit_test(a_flush_gives_what_is_open_and_ends_it),
        cmocka_unit_test(a_silent_input_blocks_unless_it_is_idle),
        cmocka_unit_test(an_element_ends_the_silence),
        cmocka_unit_test(idle_inputs_advance_nothing),
        cmocka_unit_test(a_new_input_holds_back_until_it_ends),
        cmocka_unit_test(a_child_begins_where_its_parents_are),
        cmocka_unit_test(a_split_in_the_middle_of_a_window_changes_no_total),
        cmocka_unit_test(a_bridge_merges_sessions),
        cmocka_unit_test(a_session_rescues_a_late_element),
        cmocka_unit_test(a_session_that_grows_after_it_fired_fires_again_with_its_new_end),
        cmocka_unit_test(an_element_over_the_bound_is_in_no_window),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
        cmocka_unit_test(a_sum_does_not_show_its_order),
    };

    return cmocka_run_group_tests_name("windows over event time", tests, NULL, NULL);
}
