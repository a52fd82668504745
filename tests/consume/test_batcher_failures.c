/* The batch machine when handlers fail: retries, bisect, partial failures, age, back-off, the destination. The rows are
 * those of spec/lambda-event-source-mapping.md, sections 3 to 5, and the traps those of spec/traps.md. */
#include "consume/batcher_support.h"

static uint64_t bad; /* the number of the record that always fails */

/* As a function without reports: all of its batch fails. */
static lsi_outcome throw_at_bad(const lsi_invocation *what)
{
    for (uint32_t i = 0; i < what->count; i++)
        if (what->records[i].seqno == bad)
            return (lsi_outcome){.kind = LSI_OUTCOME_FAILED};
    return (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS};
}

/* As one that reports what failed. */
static lsi_outcome report_bad(const lsi_invocation *what)
{
    for (uint32_t i = 0; i < what->count; i++)
        if (what->records[i].seqno == bad)
            return (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .failed_at = i};
    return (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS};
}

/* ---- retries ---- */

/* Recorded: retries 2, three invocations; 1, two; 0, one. The destination is told as many. */
static void retries_come_after_the_first_invocation(void **state)
{
    static const char *const expected[] = {
        "invoke 1 2; discard retries x1 1 2; at 2",
        "invoke 1 2; invoke 1 2 again 1; discard retries x2 1 2; at 2",
        "invoke 1 2; invoke 1 2 again 1; invoke 1 2 again 2; discard retries x3 1 2; at 2",
    };

    (void)state;
    for (int32_t retries = 0; retries <= 2; retries++) {
        fixture *fx = begin();

        fx->settings.retries_max = retries;
        open_machine(fx);
        bad = 1;
        give(fx, 1, 2);
        assert_string_equal(play(fx, throw_at_bad), expected[retries]);
        assert_int_equal(counts(fx).invocations, retries + 1);
        assert_int_equal(counts(fx).errors, retries + 1);
        assert_int_equal(counts(fx).dropped_by_retries, 2);
        assert_int_equal(counts(fx).delivered, 2);
        assert_int_equal(counts(fx).invoked, 2 * (retries + 1));
        end(fx);
    }
}

/* With all defaults a poison record blocks its shard, and what comes behind it waits. */
static void without_limits_a_batch_is_retried_for_ever(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 2;
    open_machine(fx);
    give(fx, 1, 4);
    for (uint32_t i = 0; i < 200; i++) {
        (void)next(fx);
        assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
        assert_int_equal(fx->action.invocation.records[0].seqno, 1);
        assert_int_equal(fx->action.invocation.attempts, i);
        answer_failed(fx);
        (void)next(fx);
        assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
        fx->now.mono_us = fx->action.until_us;
    }
    end(fx);
}

/* 0.1 s, doubled up to 10 s, of each at most a half taken off, and not always the same. */
static void the_pause_doubles_up_to_ten_seconds(void **state)
{
    fixture *fx = begin();
    int64_t full_ms = 100;
    uint32_t shortened = 0;

    (void)state;
    open_machine(fx);
    give(fx, 1, 1);
    for (uint32_t i = 0; i < 20; i++) {
        int64_t pause_us;

        (void)next(fx);
        answer_failed(fx);
        (void)next(fx);
        assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
        pause_us = fx->action.until_us - fx->now.mono_us;
        assert_in_range(pause_us, full_ms * 500, full_ms * 1000);
        shortened += pause_us < full_ms * 990;
        fx->now.mono_us += pause_us - 1;
        (void)next(fx);
        assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
        fx->now.mono_us += 1;
        full_ms = full_ms * 2 > 10000 ? 10000 : full_ms * 2;
    }
    assert_true(shortened > 10);
    end(fx);
}

static void a_success_makes_the_next_failure_the_first(void **state)
{
    fixture *fx = begin();

    (void)state;
    open_machine(fx);
    give(fx, 1, 1);
    for (uint32_t i = 0; i < 8; i++) {
        (void)next(fx);
        answer_failed(fx);
        (void)next(fx);
        fx->now.mono_us = fx->action.until_us;
    }
    assert_string_equal(next(fx), "invoke 1 again 8");
    answer_ok(fx);
    (void)next(fx);
    give(fx, 2, 2);
    assert_string_equal(next(fx), "invoke 2");
    answer_failed(fx);
    (void)next(fx);
    assert_in_range(fx->action.until_us - fx->now.mono_us, 50000, 100000);
    end(fx);
}

static uint32_t refusals;

static lsi_outcome throttle_then_fail(const lsi_invocation *what)
{
    (void)what;
    return (lsi_outcome){.kind = refusals-- % 3 != 0 ? LSI_OUTCOME_SYSTEM : LSI_OUTCOME_FAILED};
}

/* A handler that could not be started costs no retry, and was not invoked. */
static void system_errors_use_up_no_retries(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 1;
    open_machine(fx);
    give(fx, 1, 1);
    refusals = 5;
    assert_string_equal(play(fx, throttle_then_fail),
                        "invoke 1; invoke 1; invoke 1; invoke 1 again 1; invoke 1 again 1; invoke 1 again 1; "
                        "discard retries x2 1; at 1");
    assert_int_equal(counts(fx).invocations, 2);
    assert_int_equal(counts(fx).throttles, 4);
    assert_int_equal(counts(fx).invoked, 2);
    end(fx);
}

static lsi_outcome refuse(const lsi_invocation *what)
{
    (void)what;
    return (lsi_outcome){.kind = LSI_OUTCOME_SYSTEM};
}

static void system_errors_end_with_the_age(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 0;
    fx->settings.record_age_us_max = 60 * SECOND;
    open_machine(fx);
    give(fx, 1, 1);
    (void)play(fx, refuse);
    assert_non_null(strstr(fx->log, "invoke 1; discard age x1 1; at 1"));
    assert_int_equal(counts(fx).delivered, 0);
    assert_int_equal(counts(fx).dropped_undelivered, 1);
    end(fx);
}

/* ---- the handler's time ---- */

/* It is told, waited for, and has failed, whatever it says in the end. */
static void a_handler_that_overruns_has_failed(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.handler_timeout_us = 3 * SECOND;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 1);
    assert_string_equal(next(fx), "invoke 1");
    assert_string_equal(next(fx), "wait 3000");
    pass_ms(fx, 3000);
    assert_int_equal((next(fx), fx->action.kind), LSI_BATCHER_WAIT); /* just in time */
    fx->now.mono_us++;
    assert_string_equal(next(fx), "overrun");
    assert_string_equal(next(fx), "wait"); /* once; and the lane does not run twice */
    pass_ms(fx, 60000);
    assert_string_equal(next(fx), "wait");
    answer_ok(fx);
    assert_string_equal(next(fx), "discard retries x1 1");
    assert_true(fx->action.is_unhandled);
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_int_equal(counts(fx).overruns, 1);
    assert_int_equal(counts(fx).errors, 1);
    end(fx);
}

static void one_that_overruns_and_then_could_not_begin_has_failed_too(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.handler_timeout_us = 3 * SECOND;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 1);
    assert_string_equal(next(fx), "invoke 1");
    pass_ms(fx, 3001);
    answer(fx, fx->action.lane, (lsi_outcome){.kind = LSI_OUTCOME_SYSTEM});
    assert_string_equal(next(fx), "discard retries x1 1");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_int_equal(counts(fx).overruns, 1);
    assert_int_equal(counts(fx).throttles, 0);
    end(fx);
}

static void the_time_is_enough_to_the_last_microsecond(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.handler_timeout_us = 3 * SECOND;
    open_machine(fx);
    give(fx, 1, 1);
    (void)next(fx);
    pass_ms(fx, 3000);
    answer_ok(fx);
    assert_string_equal(next(fx), "at 1");
    assert_int_equal(counts(fx).overruns, 0);
    end(fx);
}

/* ---- bisect ---- */

/* Trap 2. Eight records, one bad, retries 0: four failing invocations and three that succeed; only the bad one goes. */
static void bisect_comes_before_the_quota(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 0;
    fx->settings.bisects = true;
    open_machine(fx);
    bad = 6;
    give(fx, 1, 8);
    assert_string_equal(play(fx, throw_at_bad),
                        "invoke 1 2 3 4 5 6 7 8; invoke 1 2 3 4; at 4; invoke 5 6 7 8; invoke 5 6; invoke 5; at 5; "
                        "invoke 6; discard retries x1 6; at 6; invoke 7 8; at 8");
    assert_int_equal(counts(fx).errors, 4);
    assert_int_equal(counts(fx).invocations, 7);
    end(fx);
}

/* k+1 failing and k succeeding for 2^k records, wherever the bad one is. */
static void bisect_takes_as_many_invocations_as_halvings(void **state)
{
    (void)state;
    for (uint32_t k = 0; k <= 9; k++) {
        for (bad = 1; bad <= 1u << k; bad += 1 + (1u << k) / 8) {
            fixture *fx = begin();

            fx->settings.records_max = 1000;
            fx->settings.retries_max = 0;
            fx->settings.bisects = true;
            open_machine(fx);
            give(fx, 1, 1u << k);
            (void)play(fx, throw_at_bad);
            assert_int_equal(counts(fx).errors, k + 1);
            assert_int_equal(counts(fx).invocations, 2 * k + 1);
            assert_int_equal(counts(fx).dropped_by_retries, 1);
            assert_int_equal(counts(fx).delivered, 1u << k);
            end(fx);
        }
    }
}

/* The left half has floor(n/2), and each half its own attempts; splitting costs none. */
static void each_half_has_all_its_retries(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 1;
    fx->settings.bisects = true;
    open_machine(fx);
    bad = 3;
    give(fx, 1, 3);
    assert_string_equal(play(fx, throw_at_bad), "invoke 1 2 3; invoke 1; at 1; invoke 2 3; invoke 2; at 2; invoke 3; "
                                                "invoke 3 again 1; discard retries x2 3; at 3");
    end(fx);
}

/* The largest batch splits to single records on every path. */
static void the_deepest_split_fits(void **state)
{
    static ls_record many[LSI_BATCHER_RECORDS_MAX];
    static const uint64_t places[] = {1, 5000, 5001, LSI_BATCHER_RECORDS_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        fixture *fx = begin();
        uint32_t invocations = 0;

        fx->settings.records_max = LSI_BATCHER_RECORDS_MAX;
        fx->settings.retries_max = 0;
        fx->settings.bisects = true;
        open_machine(fx);
        for (uint32_t n = 0; n < LSI_BATCHER_RECORDS_MAX; n++) {
            many[n] = fx->records[n % RECORDS];
            many[n].seqno = n + 1;
        }
        bad = places[i];
        assert_int_equal(lsi_batcher_give(fx->machine, many, LSI_BATCHER_RECORDS_MAX, NULL), LS_OK);
        for (;;) {
            assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
            if (fx->action.kind == LSI_BATCHER_WAIT)
                break;
            if (fx->action.kind == LSI_BATCHER_INVOKE) {
                lsi_outcome outcome = throw_at_bad(&fx->action.invocation);

                assert_int_equal(lsi_batcher_complete(fx->machine, 0, &outcome, fx->now), LS_OK);
                invocations++;
            } else if (fx->action.kind == LSI_BATCHER_DISCARD) {
                assert_int_equal(fx->action.invocation.count, 1);
                assert_int_equal(fx->action.invocation.records[0].seqno, bad);
                lsi_batcher_discarded(fx->machine, 0, true, fx->now);
            }
        }
        assert_in_range(invocations, 26, 30); /* 13 or 14 halvings */
        assert_int_equal(counts(fx).dropped_by_retries, 1);
        end(fx);
    }
}

/* ---- partial failures ---- */

/* Trap 1, and the recorded example: six records, batches of three, retries 3, the last record always fails. It is
 * delivered five times, and the destination is told four. */
static void attempts_start_again_only_when_the_position_advances(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 3;
    fx->settings.retries_max = 3;
    fx->settings.reports_failures = true;
    open_machine(fx);
    bad = 6;
    give(fx, 1, 6);
    assert_string_equal(play(fx, report_bad),
                        "invoke 1 2 3; at 3; invoke 4 5 6; at 5; invoke 6; invoke 6 again 1; invoke 6 again 2; "
                        "invoke 6 again 3; discard retries x4 6; at 6");
    assert_false(fx->action.is_unhandled);
    assert_int_equal(counts(fx).errors, 0);
    assert_int_equal(counts(fx).invoked, 10);
    end(fx);
}

/* Trap 4. What is given up is the whole of what remains, records behind the bad one included. */
static void exhaustion_discards_the_whole_remaining_batch(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 1;
    fx->settings.reports_failures = true;
    open_machine(fx);
    bad = 3;
    give(fx, 1, 5);
    assert_string_equal(play(fx, report_bad),
                        "invoke 1 2 3 4 5; at 2; invoke 3 4 5; invoke 3 4 5 again 1; discard retries x2 3 4 5; at 5");
    end(fx);
}

static void by_option_only_the_failed_record_is_discarded(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 1;
    fx->settings.reports_failures = true;
    fx->settings.discards_failed_only = true;
    open_machine(fx);
    bad = 3;
    give(fx, 1, 5);
    assert_string_equal(play(fx, report_bad), "invoke 1 2 3 4 5; at 2; invoke 3 4 5; invoke 3 4 5 again 1; "
                                              "discard retries x2 3; at 3; invoke 4 5; at 5");
    /* Who throws names nobody: all of it goes. */
    bad = 7;
    give(fx, 6, 8);
    assert_string_equal(play(fx, throw_at_bad),
                        "invoke 6 7 8; invoke 6 7 8 again 1; discard retries x2 6 7 8; at 8");
    end(fx);
}

/* With bisect the split is at the number that was returned; if that is the first, in half. */
static void with_bisect_a_report_splits_where_it_says(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 0;
    fx->settings.reports_failures = true;
    fx->settings.bisects = true;
    open_machine(fx);
    bad = 4;
    give(fx, 1, 8);
    assert_string_equal(play(fx, report_bad), "invoke 1 2 3 4 5 6 7 8; at 3; invoke 4 5 6 7 8; invoke 4 5; invoke 4; "
                                              "discard retries x1 4; at 4; invoke 5; at 5; invoke 6 7 8; at 8");
    end(fx);
}

/* If the invocation itself fails, in half, though reports are on. */
static void with_reports_a_throw_bisects_in_half(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.reports_failures = true;
    fx->settings.bisects = true;
    open_machine(fx);
    give(fx, 1, 4);
    assert_string_equal(next(fx), "invoke 1 2 3 4");
    answer_failed(fx);
    assert_string_equal(next(fx), "invoke 1 2");
    answer_ok(fx);
    assert_string_equal(next(fx), "at 2");
    assert_string_equal(next(fx), "invoke 3 4");
    answer_ok(fx);
    end(fx);
}

/* Partial success within a part of a split: the rest of that part comes before the other part. */
static void the_rest_of_a_part_comes_before_the_next_part(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.reports_failures = true;
    fx->settings.bisects = true;
    open_machine(fx);
    give(fx, 1, 8);
    (void)next(fx);
    answer_failed(fx);
    assert_string_equal(next(fx), "invoke 1 2 3 4");
    answer_partial(fx, 3);
    assert_string_equal(next(fx), "at 3");
    assert_string_equal(next(fx), "invoke 4");
    answer_ok(fx);
    assert_string_equal(next(fx), "at 4");
    assert_string_equal(next(fx), "invoke 5 6 7 8");
    answer_ok(fx);
    end(fx);
}

static void an_index_out_of_range_fails_the_whole_batch(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 0;
    fx->settings.reports_failures = true;
    open_machine(fx);
    give(fx, 1, 2);
    (void)next(fx);
    answer_partial(fx, 2);
    assert_string_equal(next(fx), "discard retries x1 1 2");
    assert_false(fx->action.is_unhandled);
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_int_equal(counts(fx).bad_indices, 1);
    end(fx);
}

static void without_reports_a_normal_return_is_success(void **state)
{
    fixture *fx = begin();

    (void)state;
    open_machine(fx);
    give(fx, 1, 2);
    (void)next(fx);
    answer_partial(fx, 0);
    assert_string_equal(next(fx), "at 2");
    end(fx);
}

/* ---- age ---- */

/* Trap 5, recorded: of six records the first is too old when it is read. It goes alone and was never invoked, which is
 * reported as once; the other five are delivered. */
static void only_the_old_records_go_and_before_the_first_invocation(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.record_age_us_max = 60 * SECOND;
    open_machine(fx);
    fx->records[0].arrival_us = fx->now.wall_us - 60 * SECOND - 1;
    fx->records[1].arrival_us = fx->now.wall_us - 60 * SECOND; /* as old as it may be */
    give(fx, 1, 6);
    assert_string_equal(play(fx, succeed), "discard age x1 1; at 1; invoke 2 3 4 5 6; at 6");
    assert_int_equal(counts(fx).dropped_by_age, 1);
    assert_int_equal(counts(fx).dropped_undelivered, 1);
    end(fx);
}

/* Before each invocation: records that grow too old while their batch is retried go, the others are retried on, and
 * what the batch has failed so far counts. */
static void records_grow_too_old_while_they_are_retried(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.record_age_us_max = 60 * SECOND;
    fx->settings.retries_max = 3;
    open_machine(fx);
    fx->records[0].arrival_us = fx->now.wall_us - 59 * SECOND;
    give(fx, 1, 3);
    assert_string_equal(next(fx), "invoke 1 2 3");
    answer_failed(fx);
    pass_ms(fx, 2000);
    assert_string_equal(next(fx), "discard age x1 1");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 1");
    assert_string_equal(next(fx), "invoke 2 3 again 1");
    answer_failed(fx);
    pass_ms(fx, 2000);
    assert_string_equal(next(fx), "invoke 2 3 again 2");
    answer_failed(fx);
    pass_ms(fx, 60000);
    assert_string_equal(next(fx), "discard age x3 2 3");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 3");
    end(fx);
}

static lsi_outcome fail_always(const lsi_invocation *what)
{
    (void)what;
    return (lsi_outcome){.kind = LSI_OUTCOME_FAILED};
}

/* Recorded: age 60 s, retries without end: eight invocations. Ours: 0.1 to 6.4 s, then 10 s each, less the jitter. */
static void sixty_seconds_are_some_ten_invocations(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.record_age_us_max = 60 * SECOND;
    open_machine(fx);
    give(fx, 1, 1);
    (void)play(fx, fail_always);
    assert_non_null(strstr(fx->log, "discard age"));
    assert_in_range(counts(fx).invocations, 8, 20);
    end(fx);
}

/* What retention takes is lost to the service; it is given up like what is too old, whichever comes first. */
static void what_retention_passed_is_given_up(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retention_us = 100 * SECOND;
    open_machine(fx);
    give(fx, 1, 2);
    (void)next(fx);
    assert_false(lsi_batcher_wants_horizon(fx->machine, fx->now));
    pass_ms(fx, 101000);
    assert_true(lsi_batcher_wants_horizon(fx->machine, fx->now));
    answer_failed(fx);
    pass_ms(fx, 1000);
    assert_string_equal(next(fx), "invoke 1 2 again 1"); /* The shard has them: a clock is wrong. */
    answer_failed(fx);
    lsi_batcher_set_horizon(fx->machine, 3);
    pass_ms(fx, 1000);
    assert_string_equal(next(fx), "discard expired x2 1 2");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    lsi_batcher_set_retention(fx->machine, 1000 * SECOND);
    assert_string_equal(next(fx), "at 2");
    give(fx, 3, 4);
    assert_string_equal(next(fx), "invoke 3 4");
    answer_ok(fx);
    assert_int_equal(counts(fx).dropped_by_age, 2);
    end(fx);
}

/* However young: how many bytes may be kept took it. What did not fail yet is handed over as it was read. */
static void what_failed_is_given_up_once_the_shard_has_it_no_more(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retention_us = 100 * SECOND;
    open_machine(fx);
    give(fx, 1, 4);
    lsi_batcher_set_horizon(fx->machine, 2);
    assert_false(lsi_batcher_wants_horizon(fx->machine, fx->now));
    assert_string_equal(next(fx), "invoke 1 2 3 4");
    answer_failed(fx);
    assert_true(lsi_batcher_wants_horizon(fx->machine, fx->now));
    lsi_batcher_set_horizon(fx->machine, 3);
    pass_ms(fx, 1000);
    assert_string_equal(next(fx), "discard expired x1 1 2");
    lsi_batcher_discarded(fx->machine, 0, true, fx->now);
    assert_string_equal(next(fx), "at 2");
    assert_string_equal(next(fx), "invoke 3 4 again 1");
    answer_ok(fx);
    assert_int_equal(counts(fx).dropped_by_age, 2);
    assert_string_equal(next(fx), "at 4");
    assert_false(lsi_batcher_wants_horizon(fx->machine, fx->now));
    end(fx);
}

/* ---- the destination ---- */

/* The position stays until the destination has the report, and nothing else of the lane goes on. */
static void a_destination_that_fails_keeps_the_position(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 2;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 3);
    (void)next(fx);
    answer_failed(fx);
    for (uint32_t i = 0; i < 20; i++) {
        assert_string_equal(next(fx), "discard retries x1 1 2");
        lsi_batcher_discarded(fx->machine, 0, false, fx->now);
        (void)next(fx);
        assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
        assert_true(fx->action.until_us > fx->now.mono_us);
        assert_int_equal(fx->action.records_wanted, 0);
        fx->now.mono_us = fx->action.until_us;
    }
    assert_int_equal(counts(fx).dropped_by_retries, 0);
    assert_string_equal(play(fx, succeed), "discard retries x1 1 2; at 2; invoke 3; at 3");
    assert_int_equal(counts(fx).dropped_by_retries, 2);
    end(fx);
}

/* polled = filtered + delivered + dropped without delivery + held without. */
static void the_counts_add_up(void **state)
{
    fixture *fx = begin();
    lsi_batcher_counts is;

    (void)state;
    fx->settings.records_max = 4;
    fx->settings.record_age_us_max = 60 * SECOND;
    fx->settings.retries_max = 0;
    fx->settings.bisects = true;
    open_machine(fx);
    for (uint32_t i = 0; i < 3; i++)
        fx->records[i].arrival_us = 0;
    bad = 6;
    give_filtered(fx, 1, 12, " 2 9 ");
    (void)play(fx, throw_at_bad);
    give(fx, 13, 20);
    (void)next(fx);
    answer_failed(fx); /* of 13 to 20 the first four were delivered */
    is = counts(fx);
    assert_int_equal(is.polled, 20);
    assert_int_equal(is.filtered, 2);
    assert_int_equal(is.dropped_undelivered, 2);
    assert_int_equal(is.dropped_by_retries, 1);
    assert_int_equal(lsi_batcher_held(fx->machine), 8);
    assert_int_equal(is.delivered, 20 - 2 - 2 - 4);
    assert_true(is.invoked > is.delivered);
    end(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_come_after_the_first_invocation),
        cmocka_unit_test(without_limits_a_batch_is_retried_for_ever),
        cmocka_unit_test(the_pause_doubles_up_to_ten_seconds),
        cmocka_unit_test(a_success_makes_the_next_failure_the_first),
        cmocka_unit_test(system_errors_use_up_no_retries),
        cmocka_unit_test(system_errors_end_with_the_age),
        cmocka_unit_test(a_handler_that_overruns_has_failed),
        cmocka_unit_test(one_that_overruns_and_then_could_not_begin_has_failed_too),
        cmocka_unit_test(the_time_is_enough_to_the_last_microsecond),
        cmocka_unit_test(bisect_comes_before_the_quota),
        cmocka_unit_test(bisect_takes_as_many_invocations_as_halvings),
        cmocka_unit_test(each_half_has_all_its_retries),
        cmocka_unit_test(the_deepest_split_fits),
        cmocka_unit_test(attempts_start_again_only_when_the_position_advances),
        cmocka_unit_test(exhaustion_discards_the_whole_remaining_batch),
        cmocka_unit_test(by_option_only_the_failed_record_is_discarded),
        cmocka_unit_test(with_bisect_a_report_splits_where_it_says),
        cmocka_unit_test(with_reports_a_throw_bisects_in_half),
        cmocka_unit_test(the_rest_of_a_part_comes_before_the_next_part),
        cmocka_unit_test(an_index_out_of_range_fails_the_whole_batch),
        cmocka_unit_test(without_reports_a_normal_return_is_success),
        cmocka_unit_test(only_the_old_records_go_and_before_the_first_invocation),
        cmocka_unit_test(records_grow_too_old_while_they_are_retried),
        cmocka_unit_test(sixty_seconds_are_some_ten_invocations),
        cmocka_unit_test(what_retention_passed_is_given_up),
        cmocka_unit_test(what_failed_is_given_up_once_the_shard_has_it_no_more),
        cmocka_unit_test(a_destination_that_fails_keeps_the_position),
        cmocka_unit_test(the_counts_add_up),
    };

    return cmocka_run_group_tests_name("the batch machine when handlers fail", tests, NULL, NULL);
}
