/* The batch machine: when a batch is closed and sent, lanes, how far the checkpoint is, what is held, and stopping.
 * The words are those of spec/lambda-event-source-mapping.md, section 2. */
#include "consume/batcher_support.h"

#include "base/hash.h"
#include "base/json.h"

/* ---- closing a batch ---- */

static void window_0_sends_what_was_read_at_once(void **state)
{
    fixture *fx = begin();

    (void)state;
    open_machine(fx);
    assert_string_equal(next(fx), "wait");
    assert_int_equal(fx->action.records_wanted, 100);
    assert_int_equal(fx->action.bytes_wanted, LSI_BATCHER_BYTES_DEFAULT);
    give(fx, 1, 3);
    assert_string_equal(play(fx, succeed), "invoke 1 2 3; at 3");
    give(fx, 4, 4);
    assert_string_equal(play(fx, succeed), "invoke 4; at 4");
    end(fx);
}

static void a_batch_has_at_most_its_size(void **state)
{
    static const uint32_t sizes[] = {1, 3, 100, 10000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture *fx = begin();
        uint32_t expected = 0;

        fx->settings.records_max = sizes[i];
        open_machine(fx);
        give(fx, 1, RECORDS);
        for (uint32_t at = 0; at < RECORDS; at += expected) {
            expected = RECORDS - at < sizes[i] ? RECORDS - at : sizes[i];
            (void)next(fx);
            assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
            assert_int_equal(fx->action.invocation.count, expected);
            assert_int_equal(fx->action.invocation.records[0].seqno, at + 1);
            answer_ok(fx);
            (void)next(fx);
            assert_int_equal(fx->action.kind, LSI_BATCHER_CHECKPOINT);
            assert_int_equal(fx->action.progress.position.seqno, at + expected);
        }
        end(fx);
    }
}

/* Window 300 s: records gather until the count is reached or the time is over. */
static void a_window_gathers_until_it_is_full_or_over(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 5;
    fx->settings.batching_window_us = 300 * SECOND;
    open_machine(fx);
    give(fx, 1, 2);
    assert_string_equal(next(fx), "wait 300000");
    assert_int_equal(fx->action.records_wanted, 3); /* what the batch lacks */
    pass_ms(fx, 100000);
    give(fx, 3, 4);
    assert_string_equal(next(fx), "wait 200000");
    give(fx, 5, 5);
    assert_string_equal(next(fx), "invoke 1 2 3 4 5");
    answer_ok(fx);
    assert_string_equal(next(fx), "at 5");
    give(fx, 6, 7);
    assert_string_equal(next(fx), "wait 300000");
    pass_ms(fx, 299999);
    assert_string_equal(next(fx), "wait 1");
    pass_ms(fx, 1);
    assert_string_equal(next(fx), "invoke 6 7");
    answer_ok(fx);
    end(fx);
}

/* Trap 6. Not at the first record, but when the previous invocation ends. */
static void the_batch_window_opens_when_the_previous_invocation_ends(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.batching_window_us = SECOND;
    open_machine(fx);
    pass_ms(fx, 400);
    give(fx, 1, 1);
    assert_string_equal(next(fx), "wait 600");
    pass_ms(fx, 600);
    assert_string_equal(next(fx), "invoke 1");
    pass_ms(fx, 5000); /* the handler's time is no part of the next window */
    answer_ok(fx);
    assert_string_equal(next(fx), "at 1");
    pass_ms(fx, 300);
    give(fx, 2, 2);
    assert_string_equal(next(fx), "wait 700");
    end(fx);
}

static void an_empty_window_sends_nothing_and_opens_again(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.batching_window_us = SECOND;
    open_machine(fx);
    pass_ms(fx, 2300);
    assert_string_equal(next(fx), "wait");
    give(fx, 1, 1);
    assert_string_equal(next(fx), "wait 700");
    end(fx);
}

/* As a worker does: it sleeps until there is something, and asks after that. */
static void windows_that_were_slept_through_were_empty(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.batching_window_us = SECOND;
    open_machine(fx);
    assert_string_equal(next(fx), "wait");
    pass_ms(fx, 2300);
    give(fx, 1, 1);
    assert_string_equal(next(fx), "wait 700");
    pass_ms(fx, 200);
    give(fx, 2, 3);
    assert_string_equal(next(fx), "wait 500");
    pass_ms(fx, 500);
    assert_string_equal(next(fx), "invoke 1 2 3");
    answer_ok(fx);
    assert_string_equal(next(fx), "at 3");
    assert_string_equal(next(fx), "wait");
    pass_ms(fx, 5000); /* to the end of one: the next begins */
    give(fx, 4, 4);
    assert_string_equal(next(fx), "wait 1000");
    end(fx);
}

static void the_end_of_the_shard_closes_the_batch(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.batching_window_us = 300 * SECOND;
    open_machine(fx);
    give(fx, 1, 2);
    lsi_batcher_end(fx->machine);
    assert_string_equal(play(fx, succeed), "invoke 1 2; at end; done");
    end(fx);
}

/* The cap counts the document: base64 of the data, the key, and 512 a record. */
static void a_batch_has_at_most_its_bytes(void **state)
{
    static const unsigned char data[3000];
    fixture *fx = begin();
    uint64_t each = 4000 + 4 + 512; /* keys k101 and on */
    uint64_t fit = LSI_BATCHER_BYTES_DEFAULT / each;

    (void)state;
    fx->settings.records_max = 10000;
    fx->settings.record_extra_bytes = 512;
    open_machine(fx);
    for (uint32_t k = 0; k < 2; k++) { /* exactly up to the cap, and one byte over it */
        fixture *one = k == 0 ? fx : begin();

        one->settings = fx->settings;
        one->settings.bytes_max = 10 * each - k;
        if (k == 0)
            lsi_batcher_close(fx->machine);
        open_machine(one);
        for (uint32_t i = 100; i < 120; i++)
            one->records[i].data = (ls_bytes){data, sizeof data};
        assert_int_equal(lsi_batcher_give(one->machine, &one->records[100], 20, NULL), LS_OK);
        assert_int_equal(lsi_batcher_next(one->machine, one->now, &one->action), LS_OK);
        assert_int_equal(one->action.kind, LSI_BATCHER_INVOKE);
        assert_int_equal(one->action.invocation.count, 10 - k);
        answer(one, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
        if (k == 1)
            end(one);
    }
    lsi_batcher_close(fx->machine);
    fx->settings.bytes_max = LSI_BATCHER_BYTES_DEFAULT; /* six MB, over some reads */
    fx->settings.batching_window_us = SECOND;
    open_machine(fx);
    for (uint64_t given = 0; given < fit; given += 600) {
        static ls_record many[600];

        for (uint32_t i = 0; i < 600; i++) {
            many[i] = fx->records[100 + i % 100];
            many[i].data = (ls_bytes){data, sizeof data};
            many[i].seqno = given + i + 1;
        }
        assert_int_equal(lsi_batcher_own(fx->machine), LS_OK);
        assert_int_equal(lsi_batcher_give(fx->machine, many, 600, NULL), LS_OK);
        assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
    }
    assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
    assert_int_equal(fx->action.invocation.count, fit);
    answer_ok(fx);
    end(fx);
}

static void without_a_document_the_cap_counts_keys_and_data(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.bytes_max = 12; /* "k1" and "1" are three */
    open_machine(fx);
    give(fx, 1, 6);
    assert_string_equal(play(fx, succeed), "invoke 1 2 3 4; at 4; invoke 5 6; at 6");
    end(fx);
}

static void a_record_larger_than_the_cap_goes_alone(void **state)
{
    static const unsigned char data[100];
    fixture *fx = begin();

    (void)state;
    fx->settings.bytes_max = 12;
    open_machine(fx);
    fx->records[1].data = (ls_bytes){data, sizeof data};
    assert_int_equal(lsi_batcher_give(fx->machine, fx->records, 3, NULL), LS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
        assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
        assert_int_equal(fx->action.invocation.count, 1);
        answer_ok(fx);
        assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
        assert_int_equal(fx->action.progress.position.seqno, i + 1);
    }
    end(fx);
}

/* ---- filters ---- */

/* Trap 6, the other half. */
static void filtered_records_do_not_count_but_the_position_passes_them(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 3;
    open_machine(fx);
    give_filtered(fx, 1, 9, " 1 2 4 6 9 ");
    assert_string_equal(play(fx, succeed), "at 2; invoke 3 5 7; at 7; invoke 8; at 9");
    give_filtered(fx, 10, 12, " 10 11 12 ");
    assert_string_equal(play(fx, succeed), "at 12");
    assert_int_equal(counts(fx).polled, 12);
    assert_int_equal(counts(fx).filtered, 8);
    assert_int_equal(counts(fx).delivered, 4);
    end(fx);
}

static void a_filtered_tail_waits_for_the_records_before_it(void **state)
{
    fixture *fx = begin();

    (void)state;
    open_machine(fx);
    give_filtered(fx, 1, 4, " 3 4 ");
    assert_string_equal(next(fx), "invoke 1 2");
    assert_string_equal(next(fx), "wait");
    answer_failed(fx);
    assert_true(strncmp(next(fx), "wait ", 5) == 0);
    assert_string_equal(play(fx, succeed), "invoke 1 2 again 1; at 4");
    end(fx);
}

/* ---- lanes ---- */

static uint32_t lane_of(const ls_record *record, uint32_t lanes)
{
    return (uint32_t)(lsi_sum64(record->partition_key.data, record->partition_key.size, 0) % lanes);
}

/* Trap 8. A lane that fails keeps the checkpoint, and nobody else. */
static void a_failing_lane_stops_no_other_but_keeps_the_checkpoint(void **state)
{
    fixture *fx = begin();
    uint32_t bad = lane_of(&fx->records[0], 10), seen = 0, others = 0;

    (void)state;
    fx->settings.lane_count = 10;
    open_machine(fx);
    give(fx, 1, 60);
    for (uint32_t i = 1; i < 60; i++)
        others += lane_of(&fx->records[i], 10) != bad;
    for (;;) {
        (void)next(fx);
        if (fx->action.kind != LSI_BATCHER_INVOKE)
            break;
        for (uint32_t i = 0; i < fx->action.invocation.count; i++)
            assert_int_equal(lane_of(&fx->action.invocation.records[i], 10), fx->action.lane);
        if (fx->action.lane == bad) {
            answer_failed(fx);
        } else {
            seen += fx->action.invocation.count;
            answer_ok(fx);
        }
    }
    assert_int_equal(seen, others);
    assert_int_equal(fx->action.kind, LSI_BATCHER_WAIT);
    assert_int_equal(lsi_batcher_held(fx->machine), 60 - others);
    assert_true(fx->action.records_wanted > 0);
    pass_ms(fx, 10000);
    (void)next(fx);
    assert_int_equal(fx->action.lane, bad);
    answer_ok(fx);
    assert_string_equal(next(fx), "at 60"); /* all at once: nothing before was told */
    end(fx);
}

/* The checkpoint is the record before the first that is not finished, filtered out or not. */
static void the_checkpoint_is_the_lowest_unfinished_position(void **state)
{
    fixture *fx = begin();
    uint32_t lanes[6];

    (void)state;
    fx->settings.lane_count = 2;
    fx->settings.records_max = 1;
    /* Keys such that the lanes are 0 1 0 1 0 1, and record 4 is filtered out. */
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t n = 0;; n++) {
            fx->records[i].partition_key.size =
                (size_t)snprintf(fx->keys[i], sizeof fx->keys[i], "k%u", i + 1 + n * 10);
            lanes[i] = lane_of(&fx->records[i], 2);
            if (lanes[i] == i % 2)
                break;
        }
        fx->records[i].data = (ls_bytes){fx->keys[i] + 1, 1};
    }
    open_machine(fx);
    give_filtered(fx, 1, 6, " 4 ");
    assert_string_equal(next(fx), "invoke 1");
    assert_string_equal(next(fx), "invoke/1 2");
    answer(fx, 1, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    assert_string_equal(next(fx), "invoke/1 6");
    answer(fx, 1, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    assert_string_equal(next(fx), "wait"); /* 2 and 6 are finished, 1 is not */
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    assert_string_equal(next(fx), "at 2");
    assert_string_equal(next(fx), "invoke 3");
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    assert_string_equal(next(fx), "at 4");
    assert_string_equal(next(fx), "invoke 5");
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    assert_string_equal(next(fx), "at 6");
    end(fx);
}

/* ---- what is held (M5) ---- */

static void what_is_held_is_bounded_while_a_lane_fails(void **state)
{
    fixture *fx = begin();
    uint64_t given = 0, failures = 0;
    uint32_t bad = lane_of(&fx->records[0], 4);

    (void)state;
    fx->settings.lane_count = 4;
    fx->settings.records_max = 10;
    fx->settings.held_records_max = 100;
    open_machine(fx);
    for (uint32_t i = 0; i < 5000; i++) {
        (void)next(fx);
        if (fx->action.kind == LSI_BATCHER_INVOKE) {
            if (fx->action.lane == bad)
                answer_failed(fx);
            else
                answer_ok(fx);
            failures += fx->action.lane == bad;
        } else if (fx->action.kind == LSI_BATCHER_WAIT && fx->action.records_wanted > 0 && given < RECORDS) {
            uint32_t count = fx->action.records_wanted < 7 ? (uint32_t)fx->action.records_wanted : 7;

            if (count > RECORDS - given)
                count = RECORDS - (uint32_t)given;
            give(fx, (uint32_t)given + 1, (uint32_t)given + count);
            given += count;
        } else if (fx->action.kind == LSI_BATCHER_WAIT) {
            assert_true(fx->action.until_us < INT64_MAX);
            fx->now.mono_us = fx->action.until_us;
        }
        assert_true(lsi_batcher_held(fx->machine) <= 100);
    }
    assert_true(given > 100 && given < RECORDS); /* The others went on, as far as there was room. */
    assert_true(failures > 10);
    end(fx);
}

/* With room for nothing more a batch is not waited for: its window might be as long as what fills the room. */
static void a_full_machine_does_not_wait_for_windows(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.lane_count = 2;
    fx->settings.records_max = 50;
    fx->settings.batching_window_us = 300 * SECOND;
    fx->settings.held_records_max = 8;
    open_machine(fx);
    give(fx, 1, 7);
    assert_string_equal(next(fx), "wait 300000");
    assert_int_equal(fx->action.records_wanted, 1);
    give(fx, 8, 8);
    (void)next(fx);
    assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
    answer_ok(fx);
    (void)next(fx);
    end(fx);
}

static void held_bytes_are_bounded_too(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.lane_count = 2;
    fx->settings.held_bytes_max = 20;
    open_machine(fx);
    give(fx, 1, 4); /* three bytes each */
    (void)next(fx);
    (void)next(fx);
    assert_string_equal(next(fx), "wait");
    assert_int_equal(fx->action.bytes_wanted, 8);
    give(fx, 5, 8);
    assert_string_equal(next(fx), "wait");
    assert_int_equal(fx->action.records_wanted, 0);
    assert_int_equal(fx->action.bytes_wanted, 0);
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    answer(fx, 1, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
    (void)next(fx);
    end(fx);
}

/* With one lane records are borrowed: what the handler sees are the reader's own, and nothing is copied. */
static void one_lane_copies_nothing_that_fits_a_batch(void **state)
{
    fixture *fx = begin();
    uint64_t calls;

    (void)state;
    open_machine(fx);
    give(fx, 1, 100);
    calls = fx->memory.calls;
    for (uint32_t round = 1; round < 5; round++) {
        (void)next(fx);
        assert_ptr_equal(fx->action.invocation.records, &fx->records[100 * (round - 1)]);
        answer_ok(fx);
        (void)next(fx);
        assert_string_equal(next(fx), "wait");
        assert_int_equal(lsi_batcher_own(fx->machine), LS_OK);
        give(fx, 100 * round + 1, 100 * round + 100);
    }
    assert_int_equal(fx->memory.calls, calls);
    end(fx);
}

/* What is left over is copied before the reader reads on, and the reader's memory is not looked at again. */
static void what_is_left_over_is_copied_before_the_next_read(void **state)
{
    fixture *fx = begin();
    ls_record *own = calloc(5, sizeof *own);
    char *bytes = calloc(5, 2);

    (void)state;
    fx->settings.batching_window_us = SECOND;
    open_machine(fx);
    for (uint32_t i = 0; i < 5; i++) {
        own[i] = fx->records[i];
        memcpy(bytes + 2 * i, fx->keys[i], 2);
        own[i].partition_key.data = bytes + 2 * i;
        own[i].data = (ls_bytes){bytes + 2 * i + 1, 1};
    }
    assert_int_equal(lsi_batcher_give(fx->machine, own, 5, NULL), LS_OK);
    assert_string_equal(next(fx), "wait 1000");
    assert_int_equal(lsi_batcher_own(fx->machine), LS_OK);
    memset(bytes, 'x', 10);
    memset(own, 0, 5 * sizeof *own);
    free(own);
    free(bytes);
    give(fx, 6, 7);
    assert_string_equal(play(fx, succeed), "invoke 1 2 3 4 5 6 7; at 7");
    end(fx);
}

/* ---- stopping ---- */

static void a_drain_starts_nothing_and_waits_for_what_runs(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.records_max = 2;
    open_machine(fx);
    give(fx, 1, 5);
    assert_string_equal(next(fx), "invoke 1 2");
    lsi_batcher_drain(fx->machine);
    assert_string_equal(next(fx), "wait");
    assert_int_equal(fx->action.records_wanted, 0);
    answer_ok(fx);
    assert_string_equal(next(fx), "at 2");
    assert_string_equal(next(fx), "done");
    end(fx);
}

static void a_drain_does_not_repeat_what_failed(void **state)
{
    fixture *fx = begin();

    (void)state;
    fx->settings.retries_max = 0;
    open_machine(fx);
    give(fx, 1, 2);
    assert_string_equal(next(fx), "invoke 1 2");
    lsi_batcher_drain(fx->machine);
    answer_failed(fx);
    assert_string_equal(next(fx), "done"); /* and does not give it up either: it comes again */
    end(fx);
}

static void a_handler_may_ask_to_stop(void **state)
{
    fixture *fx = begin();

    (void)state;
    open_machine(fx);
    give(fx, 1, 2);
    assert_string_equal(next(fx), "invoke 1 2");
    answer(fx, 0, (lsi_outcome){.kind = LSI_OUTCOME_STOPPED});
    assert_string_equal(next(fx), "done");
    assert_int_equal(lsi_batcher_held(fx->machine), 2);
    assert_int_equal(counts(fx).errors, 0);
    end(fx);
}

static void a_finished_shard_is_done_at_once(void **state)
{
    const lsi_progress finished = {.position = {LS_SEQNO_END, 0}};
    const lsi_progress last = {.position = {77, 0}};
    fixture *fx = begin();

    (void)state;
    open_from(fx, &finished);
    assert_string_equal(next(fx), "done");
    lsi_batcher_close(fx->machine);
    /* Trap 11: a checkpoint at the last record must still become the end. */
    open_from(fx, &last);
    lsi_batcher_end(fx->machine);
    assert_string_equal(play(fx, succeed), "at end; done");
    end(fx);
}

/* ---- memory ---- */

/* Walks the failing allocation through a run of everything that allocates: NO_MEMORY takes nothing, and the same call
 * made again goes on. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint32_t lanes = 1; lanes <= 3; lanes += 2) {
        bool failed = true;

        for (uint64_t nth = 1; failed; nth++) {
            fixture *fx = begin();
            const lsi_progress start = {.position = {LS_SEQNO_NONE, 0}};
            lsi_memory memory = sim_memory_table(&fx->memory);
            uint32_t given = 0, seen = 0;

            fx->settings.lane_count = lanes;
            fx->settings.records_max = 7;
            fx->settings.batching_window_us = SECOND;
            fx->settings.tumbling_us = lanes == 1 ? 60 * SECOND : 0;
            sim_memory_fail(&fx->memory, nth, false);
            while (lsi_batcher_open(&memory, &fx->settings, &start, fx->now, &fx->machine) != LS_OK)
                assert_int_equal(fx->memory.live, 0);
            while (seen < 40) {
                lsi_outcome outcome = {.kind = LSI_OUTCOME_SUCCESS, .has_state = true, .state = {"state", 5}};
                ls_status st = lsi_batcher_next(fx->machine, fx->now, &fx->action);

                assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
                if (st != LS_OK)
                    continue;
                if (fx->action.kind == LSI_BATCHER_INVOKE) {
                    seen += fx->action.invocation.count;
                    while (lsi_batcher_complete(fx->machine, fx->action.lane, &outcome, fx->now) != LS_OK)
                        continue;
                } else if (fx->action.kind == LSI_BATCHER_WAIT) {
                    if (given == 40 || fx->action.records_wanted < 5) {
                        fx->now.mono_us = fx->action.until_us;
                        continue;
                    }
                    while (lsi_batcher_own(fx->machine) != LS_OK)
                        continue;
                    while (lsi_batcher_give(fx->machine, &fx->records[given], 5, NULL) != LS_OK)
                        continue;
                    given += 5;
                }
            }
            assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
            assert_int_equal(fx->action.progress.position.seqno, 40);
            failed = fx->memory.failed > 0;
            end(fx);
        }
    }
}

/* The place behind a user record is within its aggregate, but behind the last one, filtered out or not. */
static void a_place_may_be_within_an_aggregate(void **state)
{
    fixture *fx = begin();
    const lsi_progress from = {.position = {9, 1}};

    (void)state;
    fx->settings.records_max = 2;
    for (uint32_t i = 0; i < 7; i++) { /* One of seven was finished before: 1..6 are to come, and a plain record. */
        fx->records[i].seqno = i < 6 ? 9 : 10;
        fx->records[i].flags = i < 6 ? LS_RECORD_AGGREGATED : 0;
        fx->records[i].sub_seqno = i < 6 ? i + 1 : 0;
        fx->records[i].sub_count = i < 6 ? 7 : 0;
    }
    open_from(fx, &from);
    give_filtered(fx, 1, 7, " 5  6 ");
    for (uint32_t round = 0; round < 3; round++) {
        static const lsi_point places[] = {{9, 3}, {9, 0}, {10, 0}};
        lsi_outcome success = {.kind = LSI_OUTCOME_SUCCESS};

        assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
        assert_int_equal(fx->action.kind, LSI_BATCHER_INVOKE);
        assert_int_equal(lsi_batcher_complete(fx->machine, 0, &success, fx->now), LS_OK);
        assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
        assert_int_equal(fx->action.kind, LSI_BATCHER_CHECKPOINT);
        assert_int_equal(lsi_point_compare(fx->action.progress.position, places[round]), 0);
    }
    end(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_0_sends_what_was_read_at_once),
        cmocka_unit_test(a_batch_has_at_most_its_size),
        cmocka_unit_test(a_window_gathers_until_it_is_full_or_over),
        cmocka_unit_test(the_batch_window_opens_when_the_previous_invocation_ends),
        cmocka_unit_test(an_empty_window_sends_nothing_and_opens_again),
        cmocka_unit_test(windows_that_were_slept_through_were_empty),
        cmocka_unit_test(the_end_of_the_shard_closes_the_batch),
        cmocka_unit_test(a_batch_has_at_most_its_bytes),
        cmocka_unit_test(without_a_document_the_cap_counts_keys_and_data),
        cmocka_unit_test(a_record_larger_than_the_cap_goes_alone),
        cmocka_unit_test(filtered_records_do_not_count_but_the_position_passes_them),
        cmocka_unit_test(a_filtered_tail_waits_for_the_records_before_it),
        cmocka_unit_test(a_failing_lane_stops_no_other_but_keeps_the_checkpoint),
        cmocka_unit_test(the_checkpoint_is_the_lowest_unfinished_position),
        cmocka_unit_test(what_is_held_is_bounded_while_a_lane_fails),
        cmocka_unit_test(a_full_machine_does_not_wait_for_windows),
        cmocka_unit_test(held_bytes_are_bounded_too),
        cmocka_unit_test(one_lane_copies_nothing_that_fits_a_batch),
        cmocka_unit_test(what_is_left_over_is_copied_before_the_next_read),
        cmocka_unit_test(a_drain_starts_nothing_and_waits_for_what_runs),
        cmocka_unit_test(a_drain_does_not_repeat_what_failed),
        cmocka_unit_test(a_handler_may_ask_to_stop),
        cmocka_unit_test(a_finished_shard_is_done_at_once),
        cmocka_unit_test(a_place_may_be_within_an_aggregate),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("the batch machine", tests, NULL, NULL);
}
