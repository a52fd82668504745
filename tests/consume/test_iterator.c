/* One shard: positions, limits, how far behind, the end with its children, seeking, what failures leave. */
#include "consume/support.h"

#include "consume/iterator.h"

/* Each of the five positions shows exactly what it says. */
static void each_position_begins_where_it_says(void **state)
{
    ls_seqno b;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    memory_engine_advance(fx.engine, 1000);
    b = memory_engine_append(fx.engine, 0, "k", "b");
    memory_engine_advance(fx.engine, 1000);
    append(&fx, 0, "c");
    const struct {
        ls_position position;
        const char *expected;
    } cases[] = {
        {at(LS_TRIM_HORIZON), "a b c"},
        {at(LS_LATEST), ""},
        {at_seqno(LS_AT_SEQUENCE_NUMBER, b), "b c"},
        {at_seqno(LS_AT_SEQUENCE_NUMBER, b - 1), "b c"},
        {at_seqno(LS_AFTER_SEQUENCE_NUMBER, b), "c"},
        {at_seqno(LS_AFTER_SEQUENCE_NUMBER, LS_SEQNO_MAX), ""},
        {at_time(WALL_US), "a b c"},
        {at_time(WALL_US + 1), "b c"},
        {at_time(WALL_US + 1000), "b c"},
        {at_time(WALL_US + 1001), "c"},
        {at_time(WALL_US + 2000), "c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_one(&fx, 0, &cases[i].position);
        assert_string_equal(next(&fx), cases[i].expected);
        assert_string_equal(next(&fx), "");
        lsi_iterator_close(fx.iterator);
    }
    open_one(&fx, 0, NULL);
    assert_string_equal(next(&fx), "a b c");
    end(&fx);
}

/* LATEST means the moment of the call, not of the first read. */
static void latest_is_resolved_when_opened(void **state)
{
    const ls_position latest = at(LS_LATEST);
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, &latest);
    append(&fx, 0, "b");
    assert_string_equal(next(&fx), "b");
    end(&fx);
}

/* What a position may not be: each field that does not belong, unknown kinds, no numbers, the future. */
static void positions_that_cannot_be_meant_are_refused(void **state)
{
    const ls_position bad[] = {
        {0, 0, 0, 0},
        {6, 0, 0, 0},
        {-1, 0, 0, 0},
        {LS_TRIM_HORIZON, 1, 0, 0},
        {LS_TRIM_HORIZON, 0, 1, 0},
        {LS_TRIM_HORIZON, 0, 0, 1},
        {LS_LATEST, 0, 1, 0},
        {LS_LATEST, 0, 0, 1},
        {LS_AT_SEQUENCE_NUMBER, 0, 0, 0},
        {LS_AT_SEQUENCE_NUMBER, 0, 1, 1},
        {LS_AT_SEQUENCE_NUMBER, 0, LS_SEQNO_END, 0},
        {LS_AFTER_SEQUENCE_NUMBER, 0, 0, 0},
        {LS_AFTER_SEQUENCE_NUMBER, 0, 1, 1},
        {LS_AFTER_SEQUENCE_NUMBER, 0, UINT64_MAX, 0},
        {LS_AT_TIMESTAMP, 0, 1, WALL_US},
        {LS_AT_TIMESTAMP, 0, 0, WALL_US + 1},
        {LS_AT_TIMESTAMP, 0, 0, INT64_MAX},
    };
    fixture fx;

    (void)state;
    begin(&fx, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lsi_iterator_open(fx.stream, 0, &bad[i], 0, &fx.iterator), LS_ERR_INVALID_ARGUMENT);
        assert_null(fx.iterator);
        assert_int_equal(lsi_iterator_open_all(fx.stream, &bad[i], 0, &fx.iterator), LS_ERR_INVALID_ARGUMENT);
        assert_null(fx.iterator);
    }
    append(&fx, 0, "a b");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lsi_iterator_seek(fx.iterator, &bad[i]), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(next(&fx), "b"); /* and nothing moved */
    end(&fx);
}

/* A time before 1970 is in the past as well. */
static void a_time_before_the_epoch_is_the_beginning(void **state)
{
    const ls_position early = at_time(-5);
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, &early);
    assert_string_equal(next(&fx), "a");
    end(&fx);
}

static void a_shard_that_is_not_there_is_not_found(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    assert_int_equal(lsi_iterator_open(fx.stream, 2, NULL, 0, &fx.iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(lsi_iterator_open(fx.stream, LS_NO_SHARD, NULL, 0, &fx.iterator), LS_ERR_NOT_FOUND);
    assert_null(fx.iterator);
    end(&fx);
}

/* Both limits hold, and one record always comes. */
static void limits_hold_but_one_record_always_comes(void **state)
{
    const ls_batch *batch = NULL;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "aaaa bbbb cccc dddd");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "aaaa");
    assert_int_equal(lsi_iterator_next(fx.iterator, RECORDS_MAX, 10, 0, &batch), LS_OK);
    assert_string_equal(note(&fx, batch), "bbbb cccc");
    assert_int_equal(lsi_iterator_next(fx.iterator, RECORDS_MAX, 1, 0, &batch), LS_OK);
    assert_string_equal(note(&fx, batch), "dddd");
    end(&fx);
}

/* 0 at the tip and nowhere else; elsewhere the age of the last record, never below 1 though clocks jump. */
static void millis_behind_latest_is_the_age_of_the_last_record(void **state)
{
    const ls_batch *batch = NULL;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    memory_engine_advance(fx.engine, 2000000);
    append(&fx, 0, "b c");
    memory_engine_advance(fx.engine, 3500000);
    open_one(&fx, 0, NULL);
    (void)next_of(&fx, 1, 0, &batch);
    assert_int_equal(batch->millis_behind_latest, 5500);
    memory_engine_advance(fx.engine, -10000000);
    (void)next_of(&fx, 1, 0, &batch);
    assert_int_equal(batch->millis_behind_latest, 1);
    memory_engine_advance(fx.engine, 20000000);
    (void)next_of(&fx, 1, 0, &batch); /* the last one: it reaches the tip */
    assert_int_equal(batch->millis_behind_latest, 0);
    (void)next_of(&fx, 1, 0, &batch);
    assert_int_equal(batch->count, 0);
    assert_int_equal(batch->shard, 0);
    assert_int_equal(batch->millis_behind_latest, 0);
    assert_int_equal(lsi_iterator_seek(fx.iterator, &lsi_position_first), LS_OK);
    assert_string_equal(next_of(&fx, 2, 0, &batch), "a b");
    assert_int_equal(batch->millis_behind_latest, 13500); /* b's: a is two seconds older */
    end(&fx);
}

/* The end of a closed shard is a property of the batch that reaches it, with the children, and stays so. */
static void the_end_of_a_shard_names_its_children(void **state)
{
    const ls_batch *batch = NULL;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a b");
    open_one(&fx, 0, NULL);
    child = memory_engine_split(fx.engine, 0);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "a");
    assert_false(batch->is_shard_end);
    assert_int_equal(batch->child_count, 0);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(next_of(&fx, RECORDS_MAX, -1, &batch), i == 0 ? "b" : ""); /* no wait: nothing will come */
        assert_true(batch->is_shard_end);
        assert_int_equal(batch->child_count, 2);
        assert_int_equal(batch->children[0], child);
        assert_int_equal(batch->children[1], child + 1);
        assert_int_equal(batch->millis_behind_latest, 0);
    }
    end(&fx);
}

/* Both parents of a merge have the one child; a shard whose children are gone has none. */
static void both_parents_of_a_merge_name_the_child(void **state)
{
    const ls_batch *batch = NULL;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    child = memory_engine_merge(fx.engine, 0, 1);
    for (uint32_t shard = 0; shard < 2; shard++) {
        open_one(&fx, shard, NULL);
        (void)next_of(&fx, 1, 0, &batch);
        assert_true(batch->is_shard_end);
        assert_int_equal(batch->child_count, 1);
        assert_int_equal(batch->children[0], child);
        lsi_iterator_close(fx.iterator);
    }
    memory_engine_forget(fx.engine, child);
    open_one(&fx, 0, NULL);
    (void)next_of(&fx, 1, 0, &batch);
    assert_true(batch->is_shard_end);
    assert_int_equal(batch->child_count, 0);
    end(&fx);
}

/* Goal (C1): a batch that could not be handed out is read again. Method: the look for the children fails once. */
static void records_at_a_failed_end_are_not_lost(void **state)
{
    const ls_batch *batch = NULL;
    char before[256];
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a b");
    (void)memory_engine_split(fx.engine, 0);
    open_one(&fx, 0, NULL);
    keep_place(&fx, before, sizeof before);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_INFO, LSI_NO_SHARD, LS_ERR_IO, 1, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_IO);
    assert_string_equal(place(&fx), before);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_SEEK, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_IO);
    sim_memory_fail(memory_engine_memory(fx.engine), 1, false);
    assert_int_equal(next_status(&fx, 0), LS_ERR_NO_MEMORY);
    assert_string_equal(next_of(&fx, RECORDS_MAX, 0, &batch), "a b");
    assert_int_equal(batch->child_count, 2);
    end(&fx);
}

/* Errors of reading reach the caller as they are and move nothing. */
static void failing_reads_leave_the_place(void **state)
{
    static const ls_status all[] = {LS_ERR_IO, LS_ERR_CORRUPT, LS_ERR_NO_MEMORY};
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a b");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        memory_engine_fail(fx.engine, MEMORY_ENGINE_READ, 0, all[i], 2, 0);
        assert_int_equal(next_status(&fx, 0), all[i]);
        assert_int_equal(next_status(&fx, -1), all[i]); /* an error ends a wait */
        assert_int_equal(lsi_error_current()->status, all[i]);
    }
    assert_string_equal(next(&fx), "b");
    end(&fx);
}

/* A trimmed place is said once; then the iterator stands at the oldest record, and its place says so. */
static void a_trimmed_place_is_said_once(void **state)
{
    ls_seqno b;
    char kept[256];
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "x a");
    b = memory_engine_append(fx.engine, 0, "k", "b");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "x");
    memory_engine_trim(fx.engine, 0, b);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_int_equal(cuts_of(&fx), 1);
    keep_place(&fx, kept, sizeof kept);
    assert_string_equal(next(&fx), "b");
    reopen(&fx, kept);
    assert_string_equal(next(&fx), "b");
    end(&fx);
}

static void a_deleted_stream_is_not_found(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    memory_engine_delete_stream(fx.engine);
    assert_int_equal(next_status(&fx, 0), LS_ERR_NOT_FOUND);
    assert_int_equal(next_status(&fx, -1), LS_ERR_NOT_FOUND);
    end(&fx);
}

/* Seeking moves to each kind of position; a seek that fails moves nothing. */
static void seek_moves_and_a_failed_one_does_not(void **state)
{
    const ls_position first = at(LS_TRIM_HORIZON), latest = at(LS_LATEST);
    ls_position second;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    second = at_seqno(LS_AT_SEQUENCE_NUMBER, memory_engine_append(fx.engine, 0, "k", "b"));
    append(&fx, 0, "c");
    open_one(&fx, 0, NULL);
    assert_string_equal(next(&fx), "a b c");
    assert_int_equal(lsi_iterator_seek(fx.iterator, &first), LS_OK);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    assert_int_equal(lsi_iterator_seek(fx.iterator, &second), LS_OK);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "b");
    memory_engine_fail(fx.engine, MEMORY_ENGINE_SEEK, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(lsi_iterator_seek(fx.iterator, &first), LS_ERR_IO);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "c");
    assert_int_equal(lsi_iterator_seek(fx.iterator, &latest), LS_OK);
    append(&fx, 0, "d");
    assert_string_equal(next(&fx), "d");
    end(&fx);
}

/* Walks the failing allocation through opening each kind of iterator: NO_MEMORY and no leak. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        bool succeeded = false;

        for (uint64_t nth = 1; !succeeded; nth++) {
            const ls_position latest = at(LS_LATEST);
            char text[256];
            fixture fx;
            ls_status st;

            begin(&fx, 3);
            open_all(&fx, NULL);
            keep_place(&fx, text, sizeof text);
            lsi_iterator_close(fx.iterator);
            fx.iterator = NULL;
            sim_memory_fail(memory_engine_memory(fx.engine), nth, false);
            if (kind == 0)
                st = lsi_iterator_open(fx.stream, 0, NULL, 0, &fx.iterator);
            else if (kind == 1)
                st = lsi_iterator_open_all(fx.stream, &latest, 0, &fx.iterator);
            else
                st = lsi_iterator_open_place(fx.stream, text, 0, &fx.iterator);
            if (st == LS_OK && kind == 3)
                st = next_status(&fx, 0);
            succeeded = memory_engine_memory(fx.engine)->failed == 0;
            sim_memory_fail(memory_engine_memory(fx.engine), 0, false);
            assert_int_equal(st, succeeded ? LS_OK : LS_ERR_NO_MEMORY);
            if (fx.iterator != NULL)
                assert_int_equal(next_status(&fx, 0), LS_OK);
            end(&fx);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_position_begins_where_it_says),
        cmocka_unit_test(latest_is_resolved_when_opened),
        cmocka_unit_test(positions_that_cannot_be_meant_are_refused),
        cmocka_unit_test(a_time_before_the_epoch_is_the_beginning),
        cmocka_unit_test(a_shard_that_is_not_there_is_not_found),
        cmocka_unit_test(limits_hold_but_one_record_always_comes),
        cmocka_unit_test(millis_behind_latest_is_the_age_of_the_last_record),
        cmocka_unit_test(the_end_of_a_shard_names_its_children),
        cmocka_unit_test(both_parents_of_a_merge_name_the_child),
        cmocka_unit_test(records_at_a_failed_end_are_not_lost),
        cmocka_unit_test(failing_reads_leave_the_place),
        cmocka_unit_test(a_trimmed_place_is_said_once),
        cmocka_unit_test(a_deleted_stream_is_not_found),
        cmocka_unit_test(seek_moves_and_a_failed_one_does_not),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("one shard", tests, NULL, NULL);
}
