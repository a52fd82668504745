/* Numbered records that go as aggregates, turn by turn. What kills do to them is tests/harness/h4_async.c's. */
#include "produce/turns.h"

#include <stdlib.h>

static lsi_async_settings numbered(uint64_t first_ticket)
{
    lsi_async_settings settings = aggregating();

    settings.is_idempotent = true;
    settings.producer = (ls_producer_id){7, 8};
    settings.first_ticket = first_ticket;
    return settings;
}

/* Another producer of the same id on the same engine, as if the one before was killed. */
static void come_again(work *w, const lsi_async_settings *settings)
{
    assert_int_equal(lsi_async_close(w->async, 0), LS_OK);
    assert_int_equal(lsi_async_open(memory_engine_stream(w->engine), settings, &w->async), LS_OK);
    memory_engine_trace_clear(w->engine);
}

static void put_all(work *w, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        const char data[2] = {*letters, '\0'};

        put_in(w, 0, 1, data);
    }
}

/* With its number, by somebody else. */
static ls_seqno put_alone(work *w, uint64_t number, const char *data)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry entry = {text("k"), text(data), NULL};
    lsi_producer *producer;
    ls_record_id id;

    options.producer = (ls_producer_id){7, 8};
    options.number = number;
    assert_int_equal(lsi_producer_open(memory_engine_stream(w->engine), &producer), LS_OK);
    assert_int_equal(lsi_producer_put_numbered(producer, &entry, &options, &id), LS_OK);
    lsi_producer_close(producer);
    return id.seqno;
}

static void send_all(work *w)
{
    memory_engine_advance(w->engine, LINGER_US);
    for (int64_t due_us = turn(w); due_us >= 0; due_us = turn(w))
        memory_engine_advance(w->engine, due_us);
}

static void numbered_records_are_packed(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w = start(1, &settings);

    (void)state;
    put_all(&w, "abc");
    send_all(&w);
    assert_trace(&w, "numbered 0 x1; commit 0; ");
    assert_told("a=ok:0of3 b=ok:1of3 c=ok:2of3 ");
    put_all(&w, "d");
    send_all(&w);
    assert_trace(&w, "numbered 0 x1; commit 0; ");
    assert_told("d=ok ");
    assert_string_equal(memory_engine_data(w.engine, 0, 1), "d");
    finish(&w);
}

/* Put again, all of them and more: what is there is told with its old place, and not asked for before it is met; what
 * is not is packed. */
static void what_was_put_before_is_no_part_of_a_new_aggregate(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w = start(1, &settings);

    (void)state;
    put_all(&w, "abcde");
    send_all(&w);
    told[0] = '\0';
    come_again(&w, &settings);
    put_all(&w, "abcdefgh");
    send_all(&w);
    assert_trace(&w, "numbered 0 x1; look 0 x8; numbered 0 x1; commit 0; ");
    assert_told("a=ok:0of5 b=ok:1of5 c=ok:2of5 d=ok:3of5 e=ok:4of5 f=ok:0of3 g=ok:1of3 h=ok:2of3 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 2);
    assert_int_equal(lsi_producer_repeats(w.async->producer), 5);
    come_again(&w, &settings);
    put_all(&w, "abcdefgh");
    send_all(&w);
    assert_trace(&w, "numbered 0 x1; look 0 x8; commit 0; "); /* as durable as if it was put now */
    assert_told("a=ok:0of5 b=ok:1of5 c=ok:2of5 d=ok:3of5 e=ok:4of5 f=ok:0of3 g=ok:1of3 h=ok:2of3 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 2);
    finish(&w);
}

/* Repeats between new records, packed or by themselves: those that are new go together, all are told in order. */
static void new_records_around_repeats_go_together(void **state)
{
    lsi_async_settings settings = numbered(1), alone = numbered(1);
    work w = start(1, &settings);

    (void)state;
    (void)put_alone(&w, 2, "b");
    (void)put_alone(&w, 5, "e");
    memory_engine_trace_clear(w.engine);
    put_all(&w, "abcdef");
    send_all(&w);
    assert_trace(&w, "numbered 0 x1; look 0 x6; numbered 0 x1; commit 0; ");
    assert_told("a=ok:0of4 b=ok c=ok:1of4 d=ok:2of4 e=ok f=ok:3of4 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 3);
    alone.aggregate_bytes_max = 0; /* And who puts them by themselves is told the same. */
    come_again(&w, &alone);
    put_all(&w, "abcdefg");
    send_all(&w);
    assert_told("a=ok:0of4 b=ok c=ok:1of4 d=ok:2of4 e=ok f=ok:3of4 g=ok ");
    assert_int_equal(memory_engine_count(w.engine, 0), 4);
    finish(&w);
}

/* An engine on which somebody else puts a record whenever aggregates come to be written. */
static struct {
    lsi_engine_ops ops;
    const lsi_engine_ops *real;
    memory_engine *engine;
    uint64_t numbers[2]; /* of these records; 0: none any more */
} race;

static ls_status append_after_a_race(lsi_appender *appender, uint32_t shard, const lsi_append *batch,
                                     lsi_numbered *numbered, lsi_append_result *out)
{
    work w = {race.engine, NULL};

    if (numbered->users != NULL && race.numbers[0] != 0) {
        (void)put_alone(&w, race.numbers[0], "x");
        race.numbers[0] = race.numbers[1];
        race.numbers[1] = 0;
    }
    return race.real->append_numbered(appender, shard, batch, numbered, out);
}

/* Once more after each time that it was not so, and by then others are there. */
static void what_somebody_puts_meanwhile_is_looked_for_again(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w = start(1, &settings);
    const lsi_engine_ops *ops = memory_engine_stream(w.engine)->engine->ops;

    (void)state;
    race.real = ops;
    race.ops = *ops;
    race.ops.append_numbered = append_after_a_race;
    race.engine = w.engine;
    race.numbers[0] = 1;
    race.numbers[1] = 3;
    w.async->producer->ops = &race.ops;
    put_all(&w, "abcd");
    send_all(&w);
    assert_int_equal(race.numbers[0], 0);
    assert_told("a=ok b=ok:0of2 c=ok d=ok:1of2 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 3);
    w.async->producer->ops = ops;
    finish(&w);
}

/* A failed sync: the records may be there. They are tried again, with others cut off at other places, told where they
 * are, and not written twice. */
static void what_was_not_synced_is_tried_again_and_found(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w = start(1, &settings);

    (void)state;
    memory_engine_fail(w.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    put_all(&w, "abc");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    assert_told("");
    put_all(&w, "de");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), -1);
    assert_told("a=ok/2:0of3 b=ok/2:1of3 c=ok/2:2of3 d=ok:0of2 e=ok:1of2 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 2);
    finish(&w);
}

/* The same with an id that was drawn: what may be there keeps its number, what surely is not has a new one. */
static void drawn_ids_find_what_was_not_synced(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w;

    (void)state;
    settings.producer = (ls_producer_id){0, 0};
    settings.batch_records_max = 3;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    put_all(&w, "abc");
    assert_int_equal(turn(&w), 10000);
    memory_engine_advance(w.engine, 10000);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 1, 0);
    put_all(&w, "de");
    send_all(&w);
    assert_told("a=ok/3:0of3 b=ok/3:1of3 c=ok/3:2of3 d=ok:0of2 e=ok:1of2 ");
    assert_int_equal(memory_engine_count(w.engine, 0), 2);
    finish(&w);
}

/* A provisioned stream takes an aggregate for one record, and repeats for none. */
static void an_aggregate_is_one_record_for_a_limit_and_repeats_are_free(void **state)
{
    lsi_async_settings settings = numbered(1);
    char half[451] = "";
    work w = start(1, &settings);

    (void)state;
    memset(half, 'h', sizeof half - 1);
    put_all(&w, "abc");
    send_all(&w);
    told[0] = '\0';
    memory_engine_set_rates(w.engine, LS_STREAM_PROVISIONED, lsi_rates_resolve((lsi_rates){.write_records = 2}));
    come_again(&w, &settings);
    put_all(&w, "abc");
    for (int i = 0; i < 3; i++)
        put_in(&w, 0, 1, half); /* two and one */
    put_in(&w, 0, 1, half);
    put_in(&w, 0, 1, half); /* with the third: two; and one */
    memory_engine_advance(w.engine, LINGER_US);
    assert_true(turn(&w) > 100000);
    assert_trace(&w, "look 0 x8; numbered 0 x2; commit 0; ");
    assert_memory_equal(told, "a=ok:0of3 b=ok:1of3 c=ok:2of3 h", 31);
    assert_int_equal(memory_engine_count(w.engine, 0), 3);
    told[0] = '\0';
    memory_engine_advance(w.engine, 1000000);
    assert_int_equal(turn(&w), -1);
    assert_non_null(strstr(told, "hh=ok/2 "));
    assert_int_equal(memory_engine_count(w.engine, 0), 4);
    finish(&w);
}

/* What was stored in a shard before it was split is found in its children, whose new records are packed by child. */
static void repeats_are_found_after_a_split(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w = start(1, &settings);
    uint32_t child;

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        put_in(&w, i % 2, 2, (const char *[]){"a", "b", "c", "d"}[i]);
    send_all(&w);
    told[0] = '\0';
    child = memory_engine_split(w.engine, 0);
    come_again(&w, &settings);
    for (uint32_t i = 0; i < 8; i++)
        put_in(&w, i % 2, 2, (const char *[]){"a", "b", "c", "d", "e", "f", "g", "h"}[i]);
    send_all(&w);
    assert_true(strcmp(told, "a=ok:0of4 c=ok:2of4 e=ok:0of2 g=ok:1of2 b=ok:1of4 d=ok:3of4 f=ok:0of2 h=ok:1of2 ") == 0 ||
                strcmp(told, "b=ok:1of4 d=ok:3of4 f=ok:0of2 h=ok:1of2 a=ok:0of4 c=ok:2of4 e=ok:0of2 g=ok:1of2 ") == 0);
    assert_int_equal(memory_engine_count(w.engine, child), 1);
    assert_int_equal(memory_engine_count(w.engine, child + 1), 1);
    finish(&w);
}

/* A failed append or look leaves everything in the lane; tries are counted, and given up after so many. */
static void what_fails_stays_or_is_given_up(void **state)
{
    lsi_async_settings settings = numbered(1);
    work w;

    (void)state;
    settings.retries_max = 1;
    w = start(1, &settings);
    memory_engine_fail(w.engine, MEMORY_ENGINE_APPEND, 0, LS_ERR_FULL, 2, 0);
    put_all(&w, "ab");
    memory_engine_advance(w.engine, LINGER_US);
    assert_int_equal(turn(&w), 10000);
    put_all(&w, "c");
    memory_engine_advance(w.engine, 10000);
    assert_int_equal(turn(&w), 20000);
    assert_told("a=FULL/2 b=FULL/2 ");
    memory_engine_advance(w.engine, 20000);
    assert_int_equal(turn(&w), -1);
    assert_told("c=ok/2 ");
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbered_records_are_packed),
        cmocka_unit_test(what_was_put_before_is_no_part_of_a_new_aggregate),
        cmocka_unit_test(new_records_around_repeats_go_together),
        cmocka_unit_test(what_somebody_puts_meanwhile_is_looked_for_again),
        cmocka_unit_test(what_was_not_synced_is_tried_again_and_found),
        cmocka_unit_test(drawn_ids_find_what_was_not_synced),
        cmocka_unit_test(an_aggregate_is_one_record_for_a_limit_and_repeats_are_free),
        cmocka_unit_test(repeats_are_found_after_a_split),
        cmocka_unit_test(what_fails_stays_or_is_given_up),
    };

    return cmocka_run_group_tests_name("numbered aggregates", tests, NULL, NULL);
}
