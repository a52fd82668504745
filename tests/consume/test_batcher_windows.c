/* Tumbling windows of the batch machine: spec/lambda-event-source-mapping.md, section 7, rule by rule. The clock stands
 * at 1,000 s at first; windows are of 60 s, so that the one at 960 s ends at 1,020 s. */
#include "consume/batcher_support.h"
#include "consume/mapping/event_json.h"

static fixture *begin_windows(void)
{
    fixture *fx = begin();

    fx->settings.tumbling_us = 60 * SECOND;
    return fx;
}

/* The records from `first` to `last` arrived at this second. */
static void arrive(fixture *fx, uint32_t first, uint32_t last, int64_t second)
{
    for (uint32_t n = first; n <= last; n++)
        fx->records[n - 1].arrival_us = second * SECOND;
}

/* Adds the number of each record to the state; what comes out of it is in `totals`, one window after another. */
static char total[32], totals[1024];

static lsi_outcome sum(const lsi_invocation *what)
{
    char before[32] = "0";
    long n;

    assert_true(what->state.size < sizeof before);
    if (what->state.size != 0)
        memcpy(before, what->state.data, what->state.size);
    before[what->state.size == 0 ? 1 : what->state.size] = '\0';
    n = strtol(before, NULL, 10);
    for (uint32_t i = 0; i < what->count; i++)
        n += (long)what->records[i].seqno;
    snprintf(total, sizeof total, "%ld ", n);
    if (what->is_final)
        snprintf(totals + strlen(totals), sizeof totals - strlen(totals), "%lld:%s",
                 (long long)(what->window_start_us / SECOND), total);
    return (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS, .has_state = true, .state = {total, strlen(total) - 1}};
}

/* ---- rules 1 to 3 ---- */

static void state_goes_from_invocation_to_invocation_and_ends_with_the_window(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.records_max = 2;
    open_machine(fx);
    arrive(fx, 4, 5, 1019);
    arrive(fx, 6, 6, 1020); /* the end belongs to the next one */
    totals[0] = '\0';
    give(fx, 1, 6);
    assert_string_equal(play(fx, sum),
                        "invoke 1 2 [960,1020) {}; at 2 [960,1020) {3}; invoke 3 4 [960,1020) {3}; "
                        "at 4 [960,1020) {10}; invoke 5 [960,1020) {10}; at 5 [960,1020) {15}; "
                        "invoke [960,1020) {15} final; at 5; invoke 6 [1020,1080) {}; at 6 [1020,1080) {6}");
    assert_string_equal(totals, "960:15 ");
    end(fx);
}

static void a_batch_never_mixes_windows(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.batching_window_us = 300 * SECOND; /* The cut is a reason to send, before that time is over. */
    open_machine(fx);
    arrive(fx, 3, 4, 1020);
    give(fx, 1, 4);
    assert_string_equal(next(fx), "invoke 1 2 [960,1020) {}");
    answer_state(fx, "a");
    end(fx);
}

/* The wall clock ends a window once the shard was read up to its end; until then the worker is asked to look. */
static void the_clock_ends_a_window_of_a_silent_shard(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    answer_state(fx, "s");
    assert_string_equal(next(fx), "at 1 [960,1020) {s}");
    assert_string_equal(next(fx), "wait 20000");
    pass_ms(fx, 20000);
    assert_string_equal(next(fx), "wait 100"); /* Nobody has said that the shard was read so far. */
    lsi_batcher_tip(fx->machine, 1020 * SECOND - 1);
    assert_string_equal(next(fx), "wait 100");
    lsi_batcher_tip(fx->machine, 1020 * SECOND);
    assert_string_equal(next(fx), "invoke [960,1020) {s} final");
    assert_int_equal(fx->action.invocation.count, 0);
    answer_state(fx, "ignored");
    assert_string_equal(next(fx), "at 1");
    assert_string_equal(next(fx), "wait");
    end(fx);
}

/* Durability takes its time: a record may show after the clock has ended its window. It is not lost. */
static void a_record_that_shows_late_opens_its_window_again(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    totals[0] = '\0';
    give(fx, 1, 1);
    (void)play(fx, sum);
    pass_ms(fx, 60000);
    lsi_batcher_tip(fx->machine, fx->now.wall_us);
    assert_string_equal(play(fx, sum), "invoke [960,1020) {1} final; at 1");
    give(fx, 2, 2);
    assert_string_equal(play(fx, sum), "invoke 2 [960,1020) {}; at 2 [960,1020) {2}; invoke [960,1020) {2} final; at 2");
    assert_string_equal(totals, "960:1 960:2 ");
    end(fx);
}

/* What is read already belongs to the window, whatever the clock says. */
static void records_that_wait_come_before_the_final_invocation(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    answer_state(fx, "s");
    (void)next(fx);
    give(fx, 2, 2);
    pass_ms(fx, 60000);
    lsi_batcher_tip(fx->machine, fx->now.wall_us);
    assert_string_equal(next(fx), "invoke 2 [960,1020) {s}");
    answer_state(fx, "t");
    assert_string_equal(next(fx), "at 2 [960,1020) {t}");
    assert_string_equal(next(fx), "invoke [960,1020) {t} final");
    answer_state(fx, "");
    end(fx);
}

/* Rule 1: a response without a state is a failed invocation. */
static void a_response_without_state_has_failed(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    answer_ok(fx);
    assert_string_equal(next(fx), "discard retries x1 1");
    assert_false(fx->action.is_unhandled);
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 1");
    assert_int_equal(counts(fx).errors, 1);
    end(fx);
}

/* Rule 3: a final invocation that fails is retried, and nothing of the shard goes on meanwhile; the limit of retries
 * counts, and then the state is given up, to the destination. */
static void a_final_invocation_is_retried_and_the_shard_waits(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.retries_max = 1;
    fx->settings.bisects = true;
    open_machine(fx);
    arrive(fx, 2, 2, 1030);
    give(fx, 1, 2);
    (void)next(fx);
    answer_state(fx, "s");
    (void)next(fx);
    assert_string_equal(next(fx), "invoke [960,1020) {s} final");
    answer_failed(fx);
    (void)next(fx);
    assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
    fx->now.mono_us = fx->action.until_us;
    assert_string_equal(next(fx), "invoke again 1 [960,1020) {s} final");
    answer_failed(fx);
    assert_string_equal(next(fx), "discard retries x2 final");
    assert_int_equal(fx->action.invocation.state.size, 1);
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 1");
    assert_string_equal(next(fx), "invoke 2 [1020,1080) {}");
    answer_state(fx, "n");
    end(fx);
}

/* The age of a final invocation is that of its window's end; it is tried at least once: its records were in time. */
static void a_final_invocation_grows_too_old(void **state)
{
    const lsi_progress from = {.position = {7, 0}, .has_window = true, .window_start_us = 0, .window_end_us = 60 * SECOND,
                               .state = {"s", 1}};
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.record_age_us_max = 100 * SECOND;
    open_from(fx, &from);
    lsi_batcher_tip(fx->machine, fx->now.wall_us);
    assert_string_equal(next(fx), "invoke [0,60) {s} final");
    answer_failed(fx);
    pass_ms(fx, 1000);
    assert_string_equal(next(fx), "discard age x1 final");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 7");
    end(fx);
}

/* ---- rule 4 ---- */

static lsi_outcome grow(const lsi_invocation *what)
{
    static char large[11] = "0123456789";
    size_t size = what->state.size + what->count;

    assert_true(size <= 10);
    return (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS, .has_state = true, .state = {large, size}};
}

static void a_large_state_ends_its_window_early(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.records_max = 2;
    fx->settings.window_state_bytes_max = 4;
    open_machine(fx);
    give(fx, 1, 7);
    arrive(fx, 7, 7, 1020);
    assert_string_equal(play(fx, grow),
                        "invoke 1 2 [960,1020) {}; at 2 [960,1020) {01}; invoke 3 4 [960,1020) {01}; "
                        "at 4 [960,1020) {0123}; invoke 5 6 [960,1020) {0123}; at 6 [960,1020) {012345}; "
                        "invoke [960,1020) {012345} final early; at 6; invoke 7 [1020,1080) {}; at 7 [1020,1080) {0}");
    end(fx);
}

/* The rest of the window begins with an empty state; in the middle of a batch too, of which a part has succeeded. */
static void the_rest_of_a_window_ended_early_starts_empty(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.window_state_bytes_max = 4;
    fx->settings.reports_failures = true;
    open_machine(fx);
    give(fx, 1, 4);
    assert_string_equal(next(fx), "invoke 1 2 3 4 [960,1020) {}");
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .failed_at = 2, .has_state = true, .state = {"12345", 5}});
    assert_string_equal(next(fx), "at 2 [960,1020) {12345}");
    assert_string_equal(next(fx), "invoke [960,1020) {12345} final early");
    answer_state(fx, "");
    assert_string_equal(next(fx), "at 2");
    assert_string_equal(next(fx), "invoke 3 4 [960,1020) {}");
    answer_state(fx, "x");
    assert_string_equal(next(fx), "at 4 [960,1020) {x}");
    end(fx);
}

static void a_state_beyond_all_bounds_has_failed(void **state)
{
    static char huge[LSI_WINDOW_STATE_BYTES_LIMIT + 1];
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS, .has_state = true, .state = {huge, sizeof huge}});
    assert_string_equal(next(fx), "discard retries x1 1");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    end(fx);
}

/* ---- rules 5 to 9 ---- */

static void the_end_of_the_shard_closes_the_window(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    totals[0] = '\0';
    give(fx, 1, 2);
    lsi_batcher_end(fx->machine);
    assert_string_equal(play(fx, sum), "invoke 1 2 [960,1020) {}; at 2 [960,1020) {3}; "
                                       "invoke [960,1020) {3} final; at end; done");
    end(fx);
}

/* Trap 9. A retry is given the state from before the failed batch; so is what is left of a batch that was split. */
static void a_retry_has_the_state_from_before_the_failed_batch(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.records_max = 4;
    fx->settings.bisects = true;
    fx->settings.reports_failures = true;
    open_machine(fx);
    give(fx, 1, 8);
    (void)next(fx);
    answer_state(fx, "a");
    assert_string_equal(next(fx), "at 4 [960,1020) {a}");
    assert_string_equal(next(fx), "invoke 5 6 7 8 [960,1020) {a}");
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_FAILED, .has_state = true, .state = {"lost", 4}});
    assert_string_equal(next(fx), "invoke 5 6 [960,1020) {a}");
    answer_state(fx, "b");
    assert_string_equal(next(fx), "at 6 [960,1020) {b}");
    assert_string_equal(next(fx), "invoke 7 8 [960,1020) {b}");
    /* No progress: what it returned is not kept. */
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .failed_at = 0, .has_state = true, .state = {"lost", 4}});
    assert_string_equal(next(fx), "invoke 7 [960,1020) {b}");
    answer_state(fx, "c");
    (void)next(fx);
    /* Some progress: it is, with the position. */
    assert_string_equal(next(fx), "invoke 8 [960,1020) {c}");
    answer_state(fx, "d");
    assert_string_equal(next(fx), "at 8 [960,1020) {d}");
    end(fx);
}

/* Three windows, and a crash after every action: the machine is opened anew with the last checkpoint, reads from its
 * position, and every window's total is that of a run without crash. A final invocation may be made twice, with the
 * same total. */
static void a_crash_anywhere_leaves_each_window_its_total(void **state)
{
    (void)state;
    for (uint32_t crash_at = 1; crash_at < 60; crash_at++) {
        fixture *fx = begin_windows();
        lsi_progress last = {.position = {LS_SEQNO_NONE, 0}};
        char kept[32] = "", seen[1024];
        uint32_t actions = 0, given = 0;
        bool is_ended = false;

        fx->settings.records_max = 3;
        for (uint32_t n = 1; n <= 24; n++)
            arrive(fx, n, n, 960 + n * 7);
        totals[0] = '\0';
        open_machine(fx);
        while (next(fx), fx->action.kind != LSI_BATCHER_DONE) {
            if (fx->action.kind == LSI_BATCHER_INVOKE) {
                answer(fx, 0, sum(&fx->action.invocation));
            } else if (fx->action.kind == LSI_BATCHER_CHECKPOINT) {
                last = fx->action.progress;
                assert_true(last.state.size < sizeof kept);
                if (last.state.size != 0)
                    memcpy(kept, last.state.data, last.state.size);
                last.state.data = kept;
            } else if (given < 24) {
                uint32_t more = 24 - given < 5 ? 24 - given : 5;

                give(fx, given + 1, given + more);
                given += more;
            } else if (!is_ended) {
                lsi_batcher_end(fx->machine);
                is_ended = true;
            }
            if (++actions == crash_at) {
                lsi_batcher_close(fx->machine);
                open_from(fx, &last);
                given = last.position.seqno == LS_SEQNO_END ? 24 : (uint32_t)last.position.seqno;
                is_ended = last.position.seqno == LS_SEQNO_END;
            }
        }
        /* 967..1016: 1 to 8; 1023..1079: 9 to 17; 1086..1128: 18 to 24. */
        snprintf(seen, sizeof seen, "%s", totals);
        for (char *at = seen, *one; (one = strsep(&at, " ")) != NULL && one[0] != '\0';)
            assert_true(strcmp(one, "960:36") == 0 || strcmp(one, "1020:117") == 0 || strcmp(one, "1080:147") == 0);
        assert_non_null(strstr(seen, "960:36"));
        assert_non_null(strstr(totals, "1020:117"));
        assert_non_null(strstr(totals, "1080:147"));
        end(fx);
    }
}

static void a_window_without_records_is_not_invoked(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    pass_ms(fx, 600000);
    lsi_batcher_tip(fx->machine, fx->now.wall_us);
    assert_string_equal(next(fx), "wait");
    arrive(fx, 1, 1, 1300);
    arrive(fx, 2, 2, 1590); /* four windows further */
    totals[0] = '\0';
    give(fx, 1, 2);
    (void)play(fx, sum);
    assert_string_equal(totals, "1260:1 ");
    end(fx);
}

/* All of a window's records given up: nothing was ever in it. */
static void a_window_whose_records_were_given_up_is_not_invoked(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    answer_failed(fx);
    assert_string_equal(next(fx), "discard retries x1 1");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 1");
    lsi_batcher_end(fx->machine);
    assert_string_equal(play(fx, sum), "at end; done");
    end(fx);
}

/* They are in no window, but who has read them has read the shard so far (rule 3). */
static void filtered_records_end_windows_and_the_position_passes_them(void **state)
{
    fixture *fx = begin_windows();

    (void)state;
    open_machine(fx);
    arrive(fx, 2, 3, 1030);
    give_filtered(fx, 1, 3, " 2 3 ");
    assert_string_equal(next(fx), "invoke 1 [960,1020) {}");
    answer_state(fx, "s");
    assert_string_equal(next(fx), "at 3 [960,1020) {s}");
    assert_string_equal(next(fx), "invoke [960,1020) {s} final");
    end(fx);
}

/* Rule 9. */
static void windows_turned_off_drop_the_state(void **state)
{
    const lsi_progress from = {.position = {7, 0}, .has_window = true, .window_start_us = 960 * SECOND,
                               .window_end_us = 1020 * SECOND, .state = {"s", 1}};
    fixture *fx = begin();

    (void)state;
    open_from(fx, &from);
    assert_string_equal(next(fx), "at 7");
    give(fx, 8, 9);
    assert_string_equal(play(fx, succeed), "invoke 8 9; at 9");
    end(fx);
}

/* A window that was opened under another length keeps its own end. */
static void a_window_of_another_length_ends_where_it_said(void **state)
{
    const lsi_progress from = {.position = {7, 0}, .has_window = true, .window_start_us = 900 * SECOND,
                               .window_end_us = 1010 * SECOND, .state = {"s", 1}};
    fixture *fx = begin_windows();

    (void)state;
    open_from(fx, &from);
    arrive(fx, 9, 9, 1009);
    arrive(fx, 10, 10, 1010);
    give(fx, 8, 10);
    assert_string_equal(next(fx), "invoke 8 9 [900,1010) {s}");
    answer_state(fx, "t");
    (void)next(fx);
    assert_string_equal(next(fx), "invoke [900,1010) {t} final");
    answer_state(fx, "");
    (void)next(fx);
    assert_string_equal(next(fx), "invoke 10 [960,1020) {}");
    answer_state(fx, "u");
    end(fx);
}

/* Windows are aligned to the epoch, before it too, and the ends of time are times. */
static void windows_are_aligned_to_the_epoch(void **state)
{
    static const int64_t arrivals[] = {INT64_MIN, -60 * SECOND - 1, -60 * SECOND, -1, 0, 60 * SECOND - 1, INT64_MAX};
    static const int64_t starts[] = {INT64_MIN, -120, -60, -60, 0, 0, INT64_MAX / SECOND / 60 * 60};

    (void)state;
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++) {
        fixture *fx = begin_windows();

        open_machine(fx);
        fx->records[0].arrival_us = arrivals[i];
        give(fx, 1, 1);
        (void)next(fx);
        assert_int_equal(fx->action.invocation.window_start_us, i == 0 ? INT64_MIN : starts[i] * SECOND);
        assert_true(fx->action.invocation.window_end_us > arrivals[i] || arrivals[i] == INT64_MAX);
        answer_state(fx, "");
        end(fx);
    }
}

/* The state is part of the document, and leaves less room for records. */
static void the_state_counts_in_the_bytes_of_a_document(void **state)
{
    fixture *fx = begin_windows();
    char large[2001] = "";

    (void)state;
    memset(large, 'x', 2000);
    fx->settings.record_extra_bytes = 512;
    fx->settings.bytes_max = 512 + 4 * (512 + 2 + 4);
    open_machine(fx);
    give(fx, 1, 9);
    assert_string_equal(next(fx), "invoke 1 2 3 4 [960,1020) {}");
    answer_state(fx, large);
    (void)next(fx);
    (void)next(fx);
    assert_int_equal(fx->action.invocation.count, 1);
    answer_state(fx, "");
    end(fx);
}

/* A state that grew while a batch was worked on leaves less room for the rest of it, too: of what remains after a
 * partial success, and of the halves of a split. */
static void the_rest_of_a_batch_fits_in_a_document_with_the_state(void **state)
{
    const uint64_t one = 512 + 2 + 4;
    char large[4096] = "";

    (void)state;
    memset(large, 'x', 2 * one);
    for (int splits = 0; splits < 2; splits++) {
        fixture *fx = begin_windows();

        fx->settings.reports_failures = true;
        fx->settings.bisects = splits != 0;
        fx->settings.record_extra_bytes = 512;
        fx->settings.bytes_max = 512 + 8 * one;
        open_machine(fx);
        give(fx, 1, 9);
        assert_string_equal(next(fx), "invoke 1 2 3 4 5 6 7 8 [960,1020) {}");
        if (splits) {
            answer_failed(fx);
            assert_string_equal(next(fx), "invoke 1 2 3 4 [960,1020) {}");
            memset(large, 'x', 6 * one);
        }
        answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .failed_at = 1, .has_state = true,
                                    .state = {large, strlen(large)}});
        for (uint64_t n = 2; n < 10;) {
            uint64_t bytes = LSI_EVENT_AROUND_BYTES;

            (void)next(fx);
            if (fx->action.kind != LSI_BATCHER_INVOKE)
                continue;
            assert_int_equal(fx->action.invocation.records[0].seqno, n);
            bytes += fx->action.invocation.state.size + fx->action.invocation.count * one;
            assert_true(bytes <= fx->settings.bytes_max);
            n += fx->action.invocation.count;
            answer_state(fx, large);
        }
        end(fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_goes_from_invocation_to_invocation_and_ends_with_the_window),
        cmocka_unit_test(a_batch_never_mixes_windows),
        cmocka_unit_test(the_clock_ends_a_window_of_a_silent_shard),
        cmocka_unit_test(a_record_that_shows_late_opens_its_window_again),
        cmocka_unit_test(records_that_wait_come_before_the_final_invocation),
        cmocka_unit_test(a_response_without_state_has_failed),
        cmocka_unit_test(a_final_invocation_is_retried_and_the_shard_waits),
        cmocka_unit_test(a_final_invocation_grows_too_old),
        cmocka_unit_test(a_large_state_ends_its_window_early),
        cmocka_unit_test(the_rest_of_a_window_ended_early_starts_empty),
        cmocka_unit_test(a_state_beyond_all_bounds_has_failed),
        cmocka_unit_test(the_end_of_the_shard_closes_the_window),
        cmocka_unit_test(a_retry_has_the_state_from_before_the_failed_batch),
        cmocka_unit_test(a_crash_anywhere_leaves_each_window_its_total),
        cmocka_unit_test(a_window_without_records_is_not_invoked),
        cmocka_unit_test(a_window_whose_records_were_given_up_is_not_invoked),
        cmocka_unit_test(filtered_records_end_windows_and_the_position_passes_them),
        cmocka_unit_test(windows_turned_off_drop_the_state),
        cmocka_unit_test(a_window_of_another_length_ends_where_it_said),
        cmocka_unit_test(windows_are_aligned_to_the_epoch),
        cmocka_unit_test(the_state_counts_in_the_bytes_of_a_document),
        cmocka_unit_test(the_rest_of_a_batch_fits_in_a_document_with_the_state),
    };

    return cmocka_run_group_tests_name("tumbling windows of the batch machine", tests, NULL, NULL);
}
