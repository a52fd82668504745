/* Evaluating rules as alert.h promises it: once for each rule and window, over redelivery, restarts and refusals; what
 * cannot fire is reported. */
#include "api/alert_support.h"

#include <pthread.h>
#include <stdatomic.h>

static ls_alert_options severe(void)
{
    return rule_on("Severity", LS_ALERT_GREATER, 3);
}

/* ---- firing ---- */

static void a_rule_fires_once_for_a_window_and_says_what_made_it_fire(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();
    ls_record_id first;

    open_world(*state, &of, 1);
    assert_int_equal(ls_alert_create(of.stream, "severe", &options), LS_OK);
    of.still.now_us = BEGIN_US + 5000000;
    put_severity(&of, 3);
    first = put_severity(&of, 4);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].kind, LS_ALERT_FIRED);
    assert_string_equal(of.told[0].name, "severe");
    assert_true(of.told[0].value == 4);
    assert_int_equal(of.told[0].count, 1);
    assert_int_equal(of.told[0].start_us, BEGIN_US);
    assert_int_equal(of.told[0].end_us, BEGIN_US + MINUTE_US);
    assert_true(of.told[0].at_us >= BEGIN_US + 5000000);
    assert_int_equal(of.told[0].first.seqno, first.seqno);
    assert_int_equal(of.told[0].record.seqno, first.seqno);
    assert_int_equal(of.told[0].record.shard, 0);
    of.still.now_us = BEGIN_US + MINUTE_US;
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(of.told[1].start_us, BEGIN_US + MINUTE_US);
    close_world(&of);
}

static void count_min_must_pass_in_one_window(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();
    ls_record_id ids[4];

    open_world(*state, &of, 1);
    options.count_min = 3;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    put_severity(&of, 4);
    put_severity(&of, 4);
    of.still.now_us = BEGIN_US + MINUTE_US; /* another one */
    for (int i = 0; i < 4; i++)
        ids[i] = put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].count, 3);
    assert_int_equal(of.told[0].first.seqno, ids[0].seqno);
    assert_int_equal(of.told[0].record.seqno, ids[2].seqno);
    close_world(&of);
}

/* Windows are the stream's: what passes in two shards adds up. */
static void a_window_is_of_all_shards(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();
    ls_record_id ids[2];

    open_world(*state, &of, 2);
    options.count_min = 2;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    ids[0] = put_json(&of, "123", "{\"Severity\": 4}"); /* lower half */
    ids[1] = put_json(&of, "1", "{\"Severity\": 4}");   /* upper half */
    assert_int_not_equal(ids[0].shard, ids[1].shard);
    assert_int_equal(observe_all(&of, ids[0].shard), LS_OK);
    assert_int_equal(of.told_count, 0);
    assert_int_equal(observe_all(&of, ids[1].shard), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].first.shard, ids[0].shard);
    assert_int_equal(of.told[0].record.shard, ids[1].shard);
    close_world(&of);
}

static void a_rule_is_quiet_while_it_cools_down(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    open_world(*state, &of, 1);
    options.cooldown_ms = 150000; /* two windows and a half */
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    for (int window = 0; window < 6; window++) {
        of.still.now_us = BEGIN_US + window * MINUTE_US;
        put_severity(&of, 4);
    }
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(of.told[0].start_us, BEGIN_US);
    assert_int_equal(of.told[1].start_us, BEGIN_US + 3 * MINUTE_US);
    close_world(&of);
}

static void each_comparison_is_what_it_says(void **state)
{
    static const struct {
        ls_alert_comparison comparison;
        int passes[3]; /* of 1, 2, 3 with 2 */
    } rows[] = {
        {LS_ALERT_GREATER, {0, 0, 1}}, {LS_ALERT_GREATER_OR_EQUAL, {0, 1, 1}}, {LS_ALERT_LESS, {1, 0, 0}},
        {LS_ALERT_LESS_OR_EQUAL, {1, 1, 0}}, {LS_ALERT_EQUAL, {0, 1, 0}}, {LS_ALERT_NOT_EQUAL, {1, 0, 1}},
    };
    alert_world of = {.store = NULL};
    char name[8];

    open_world(*state, &of, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ls_alert_options options = rule_on("Severity", rows[i].comparison, 2);

        snprintf(name, sizeof name, "r%zu", i);
        options.observed_min = 1;
        assert_int_equal(ls_alert_create(of.stream, name, &options), LS_OK);
    }
    for (int n = 1; n <= 3; n++)
        put_severity(&of, n);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(name, sizeof name, "r%zu", i);
        assert_int_equal(look_at(&of, name).passed_count, rows[i].passes[0] + rows[i].passes[1] + rows[i].passes[2]);
        assert_int_equal(look_at(&of, name).observed_count, 3);
    }
    close_world(&of);
}

static void a_text_is_equal_or_not_and_a_field_may_lie_in_objects(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("car.state", LS_ALERT_EQUAL, 0);

    open_world(*state, &of, 1);
    options.text = "broken";
    assert_int_equal(ls_alert_create(of.stream, "is", &options), LS_OK);
    options.comparison = LS_ALERT_NOT_EQUAL;
    assert_int_equal(ls_alert_create(of.stream, "is_not", &options), LS_OK);
    options = rule_on("car.state", LS_ALERT_EQUAL, 0);
    options.text = "true";
    assert_int_equal(ls_alert_create(of.stream, "true", &options), LS_OK);
    put_json(&of, "k", "{\"car\": {\"state\": \"fine\"}}");
    put_json(&of, "k", "{\"car\": {\"state\": \"broken\"}}");
    put_json(&of, "k", "{\"car\": {\"state\": \"fine\", \"state\": true}}");
    put_json(&of, "k", "{\"car\": {}, \"state\": \"broken\"}");
    put_json(&of, "k", "{\"car\": {\"state\": null}}");
    put_json(&of, "k", "{\"car\": {\"state\": \"broken\"}"); /* no JSON */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(look_at(&of, "is").passed_count, 1);
    assert_int_equal(look_at(&of, "is_not").passed_count, 2);
    assert_int_equal(look_at(&of, "true").passed_count, 1);
    assert_int_equal(of.told_count, 3);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(look_at(&of, "is").observed_count, 6);
    assert_int_equal(look_at(&of, "is").value_count, 3);
    close_world(&of);
}

/* ---- once ---- */

static void a_record_that_is_shown_again_counts_once(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    open_world(*state, &of, 1);
    options.count_min = 3;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    put_severity(&of, 4);
    put_severity(&of, 4);
    for (int i = 0; i < 5; i++)
        assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 0);
    put_severity(&of, 4);
    for (int i = 0; i < 5; i++)
        assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(look_at(&of, "r").passed_count, 3);
    assert_int_equal(look_at(&of, "r").fired_count, 1);
    close_world(&of);
}

static void what_is_known_is_known_after_a_restart(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    if (in_memory) /* A store in memory ends with its handle. */
        return;
    open_world(*state, &of, 1);
    options.count_min = 2;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    close_world(&of);
    open_world(*state, &of, 1);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 0);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    close_world(&of);
    open_world(*state, &of, 1);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1); /* It is the same window. */
    assert_int_equal(look_at(&of, "r").fired_count, 1);
    close_world(&of);
}

static void a_refused_alert_comes_again_and_counts_once(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    open_world(*state, &of, 1);
    assert_int_equal(ls_alert_create(of.stream, "a", &options), LS_OK);
    options.count_min = 2;
    assert_int_equal(ls_alert_create(of.stream, "b", &options), LS_OK);
    put_severity(&of, 4);
    put_severity(&of, 4);
    of.refusals = 1;
    assert_int_equal(observe_all(&of, 0), LS_ERR_CANCELLED);
    assert_true(says("alert 'a'"));
    assert_int_equal(of.told_count, 1); /* The other one was not silenced. */
    assert_string_equal(of.told[0].name, "b");
    assert_int_equal(look_at(&of, "a").fired_count, 0);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_string_equal(of.told[1].name, "a");
    assert_int_equal(of.told[1].count, 1);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(look_at(&of, "a").fired_count, 1);
    assert_int_equal(look_at(&of, "a").passed_count, 2);
    close_world(&of);
}

/* Method: a child dies in its callback, which is the worst moment there is. */
static int32_t die(const ls_alert *alert, void *user)
{
    (void)alert;
    (void)user;
    _exit(0);
}

static bool dies_in_its_callback(void *user)
{
    fixture *fx = user;
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_alerts *alerts = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    (void)(ls_store_open(temp_path(&fx->temp, "alerts"), NULL, &store) == LS_OK &&
           ls_stream_open(store, STREAM, &stream) == LS_OK &&
           ls_alerts_open(stream, die, NULL, &alerts) == LS_OK &&
           ls_iterator_open(stream, 0, NULL, NULL, &iterator) == LS_OK &&
           ls_iterator_next(iterator, &options, &batch) == LS_OK && ls_alerts_observe(alerts, batch) == LS_OK);
    return false; /* It should not have come here. */
}

static void a_process_that_dies_in_its_callback_leaves_the_alert_to_the_next(void **state)
{
    fixture *fx = *state;
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    if (in_memory) /* It is of one process. */
        return;
    open_world(fx, &of, 1);
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    put_severity(&of, 4);
    put_severity(&of, 4);
    in_fork_child(dies_in_its_callback, fx);
    assert_int_equal(of.told_count, 0);
    assert_int_equal(look_at(&of, "r").fired_count, 0);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].count, 1);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(look_at(&of, "r").passed_count, 2);
    close_world(&of);
}

/* The last 64 windows are known; what is older begins anew, and rather fires again than not at all. */
static void more_windows_than_are_kept_lose_no_alert(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    open_world(*state, &of, 1);
    options.window_ms = 1000;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    for (int window = 0; window < 60; window++) {
        of.still.now_us = BEGIN_US + window * INT64_C(1000000);
        put_severity(&of, 4);
    }
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 60);
    of.told_count = 0;
    for (int window = 60; window < 120; window++) {
        of.still.now_us = BEGIN_US + window * INT64_C(1000000);
        put_severity(&of, 4);
    }
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 60);
    close_world(&of);
}

/* User records of an aggregate share their number, and may come in several batches. */
static void user_records_of_an_aggregate_count_each_once(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();
    ls_iterator_options how = LS_ITERATOR_OPTIONS_INIT;
    ls_aggregate *aggregate = NULL;
    ls_producer *producer = NULL;
    ls_put_entry entry = {text("k"), text("{\"Severity\": 4}"), NULL}, packed = {{NULL, 0}, {NULL, 0}, NULL};
    int32_t fits;

    open_world(*state, &of, 1);
    options.count_min = 5;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
    assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, packed.partition_key, packed.data, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    ls_aggregate_close(aggregate);
    how.flags = LS_ITERATOR_DEAGGREGATE;
    for (int round = 0; round < 2; round++) {
        ls_iterator_close(of.iterator);
        assert_int_equal(ls_iterator_open(of.stream, 0, NULL, &how, &of.iterator), LS_OK);
        for (int i = 0; i < 5; i += 2)
            assert_int_equal(ls_alerts_observe(of.alerts, next_batch(&of, 0, 2)), LS_OK);
    }
    assert_int_equal(look_at(&of, "r").passed_count, 5);
    assert_int_equal(of.told_count, 1);
    close_world(&of);
}

/* ---- many at once ---- */

#define THREADS 4
#define THREAD_RECORDS 60

typedef struct shower {
    alert_world *of;
    uint32_t shard;
    pthread_t thread;
} shower;

static int32_t count_up(const ls_alert *alert, void *user)
{
    (void)alert;
    atomic_fetch_add((_Atomic uint32_t *)user, 1);
    return 0;
}

static void *show(void *user)
{
    shower *of = user;
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    options.records_max = 3;
    if (ls_iterator_open(of->of->stream, of->shard, NULL, NULL, &iterator) != LS_OK)
        return NULL;
    while (ls_iterator_next(iterator, &options, &batch) == LS_OK && ls_batch_count(batch) != 0)
        if (ls_alerts_observe(of->of->alerts, batch) != LS_OK)
            break;
    ls_iterator_close(iterator);
    return NULL;
}

static int64_t stand_still(void *user)
{
    (void)user;
    return BEGIN_US;
}

/* Each in a shard of its own, all of them in the same windows: what passes adds up, and is told once. */
static void shards_are_shown_on_many_threads(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();
    _Atomic uint32_t told = 0;
    ls_producer *producer = NULL;
    ls_alerts *kept;
    shower showers[THREADS];

    lsi_env_default(&of.still.env); /* but for the clock, since what is random in a still one is of one thread */
    of.still.env.clock.wall_us = stand_still;
    of.still.now_us = BEGIN_US;
    open_world(*state, &of, THREADS);
    options.window_ms = 86400000;
    options.count_min = THREADS * THREAD_RECORDS / 2;
    assert_int_equal(ls_alert_create(of.stream, "half", &options), LS_OK);
    options.count_min = 1;
    assert_int_equal(ls_alert_create(of.stream, "one", &options), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < THREADS; i++)
        for (int n = 0; n < THREAD_RECORDS; n++) {
            ls_put_options put = LS_PUT_OPTIONS_INIT;
            ls_hash_key key = {UINT64_MAX / THREADS * i + 1, 0};

            put.explicit_hash_key = &key;
            assert_int_equal(ls_producer_put(producer, text("k"), text("{\"Severity\": 4}"), &put, NULL), LS_OK);
        }
    assert_int_equal(ls_producer_close(producer), LS_OK);
    kept = of.alerts;
    assert_int_equal(ls_alerts_open(of.stream, count_up, &told, &of.alerts), LS_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        showers[i] = (shower){&of, i, 0};
        assert_int_equal(pthread_create(&showers[i].thread, NULL, show, &showers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(showers[i].thread, NULL), 0);
    assert_int_equal(told, 2);
    assert_int_equal(look_at(&of, "half").passed_count, THREADS * THREAD_RECORDS);
    assert_int_equal(look_at(&of, "one").passed_count, THREADS * THREAD_RECORDS);
    assert_int_equal(ls_alerts_close(of.alerts), LS_OK);
    of.alerts = kept;
    close_world(&of);
}

/* ---- rules that cannot fire ---- */

/* The seed's: severity is 1..4, and the rule "> 4". */
static void a_rule_that_cannot_fire_on_what_was_observed_is_reported_once(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 4);

    open_world(*state, &of, 1);
    options.observed_min = 20;
    assert_int_equal(ls_alert_create(of.stream, "seed", &options), LS_OK);
    for (int i = 0; i < 19; i++)
        put_severity(&of, 1 + i % 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 0);
    assert_int_equal(look_at(&of, "seed").cannot_fire, 0);
    put_severity(&of, 2);
    assert_int_equal(ls_alerts_observe(of.alerts, next_batch(&of, 0, 1)), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].kind, LS_ALERT_CANNOT_FIRE);
    assert_string_equal(of.told[0].name, "seed");
    assert_int_equal(of.told[0].observed, 20);
    assert_int_equal(of.told[0].values, 20);
    assert_true(of.told[0].least == 1 && of.told[0].greatest == 4);
    assert_int_equal(of.told[0].record.seqno, LS_SEQNO_NONE);
    assert_int_equal(look_at(&of, "seed").cannot_fire, 1);
    for (int i = 0; i < 30; i++)
        put_severity(&of, 3);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    put_severity(&of, 5); /* It can, after all. */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(of.told[1].kind, LS_ALERT_FIRED);
    assert_int_equal(look_at(&of, "seed").cannot_fire, 0);
    close_world(&of);
}

/* Method: as of an alert that fires. */
static void a_process_that_dies_reporting_leaves_the_report_to_the_next(void **state)
{
    fixture *fx = *state;
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 4);

    if (in_memory) /* It is of one process. */
        return;
    open_world(fx, &of, 1);
    options.observed_min = 5;
    assert_int_equal(ls_alert_create(of.stream, "by-batch", &options), LS_OK);
    for (int i = 0; i < 5; i++)
        put_severity(&of, 1);
    in_fork_child(dies_in_its_callback, fx);
    in_fork_child(dies_in_its_callback, fx); /* It was told to the second one, too. */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].kind, LS_ALERT_CANNOT_FIRE);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(ls_alert_create(of.stream, "by-look", &options), LS_OK);
    in_fork_child(dies_in_its_callback, fx);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK); /* There is nothing to note. */
    assert_int_equal(of.told_count, 2);
    assert_string_equal(of.told[1].name, "by-look");
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 2);
    close_world(&of);
}

static void a_report_that_is_refused_comes_again_while_it_holds(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 4);

    open_world(*state, &of, 1);
    options.observed_min = 1;
    assert_int_equal(ls_alert_create(of.stream, "a", &options), LS_OK);
    put_severity(&of, 1);
    of.refusals = 2;
    assert_int_equal(observe_all(&of, 0), LS_ERR_CANCELLED);
    assert_int_equal(ls_alerts_check(of.alerts), LS_ERR_CANCELLED);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(ls_alert_create(of.stream, "b", &options), LS_OK);
    of.refusals = 1;
    assert_int_equal(observe_all(&of, 0), LS_ERR_CANCELLED);
    put_severity(&of, 5); /* Now it can. */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    for (uint32_t i = 1; i < of.told_count; i++)
        assert_int_equal(of.told[i].kind, LS_ALERT_FIRED);
    close_world(&of);
}

static void a_field_that_is_never_there_is_reported_without_values(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("severity", LS_ALERT_GREATER, 1); /* spelled wrong */

    open_world(*state, &of, 1);
    options.observed_min = 3;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    for (int i = 0; i < 3; i++)
        put_severity(&of, 4);
    put_json(&of, "k", "{\"severity\": \"4\"}"); /* a text is no number */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].kind, LS_ALERT_CANNOT_FIRE);
    assert_int_equal(of.told[0].values, 0);
    assert_true(of.told[0].least == 0 && of.told[0].greatest == 0);
    close_world(&of);
}

static void notes_are_stored_at_the_latest_by_close(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 9);

    open_world(*state, &of, 1);
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    for (int i = 0; i < 5; i++)
        put_severity(&of, i);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(look_at(&of, "r").observed_count, 0);
    ls_iterator_close(of.iterator);
    of.iterator = NULL;
    assert_int_equal(ls_alerts_close(of.alerts), LS_OK);
    assert_int_equal(look_at(&of, "r").observed_count, 5);
    assert_true(look_at(&of, "r").greatest == 4);
    assert_int_equal(ls_alerts_open(of.stream, note, &of, &of.alerts), LS_OK);
    close_world(&of);
}

/* ---- metrics ---- */

static void a_rule_on_a_metric_is_judged_at_each_look(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;
    ls_metric_options labels = LS_METRIC_OPTIONS_INIT;
    static const char *const names[] = {"city", "severity"}, *const ohio[] = {"Dayton", "3"},
                             *const more[] = {"Columbus", "3"}, *const other[] = {"Columbus", "4"};
    const ls_label wanted = {"severity", "3"};
    ls_metric *metric;
    ls_series *series[3];

    open_world(*state, &of, 1);
    labels.labels = names;
    labels.label_count = 2;
    assert_int_equal(ls_metric_define(of.store, "accidents_total", LS_METRIC_COUNTER, "Accidents.", &labels, &metric),
                     LS_OK);
    assert_int_equal(ls_metric_series(metric, ohio, &series[0]), LS_OK);
    assert_int_equal(ls_metric_series(metric, more, &series[1]), LS_OK);
    assert_int_equal(ls_metric_series(metric, other, &series[2]), LS_OK);
    options.metric = "accidents_total";
    options.comparison = LS_ALERT_GREATER_OR_EQUAL;
    options.threshold = 5;
    options.labels = &wanted;
    options.label_count = 1;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(ls_series_add(series[0], 2), LS_OK);
    assert_int_equal(ls_series_add(series[1], 2), LS_OK);
    assert_int_equal(ls_series_add(series[2], 100), LS_OK); /* another severity */
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 0);
    assert_int_equal(ls_series_add(series[1], 1), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK); /* the same window */
    assert_int_equal(of.told_count, 1);
    assert_true(of.told[0].value == 5);
    assert_int_equal(of.told[0].record.seqno, LS_SEQNO_NONE);
    of.still.now_us = BEGIN_US + MINUTE_US;
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(look_at(&of, "r").observed_count, 4);
    assert_int_equal(look_at(&of, "r").fired_count, 2);
    close_world(&of);
}

static void the_stores_own_counters_are_metrics_too(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;
    const ls_label wanted = {"stream", STREAM};

    open_world(*state, &of, 1);
    options.metric = "libstream_put_records_total";
    options.comparison = LS_ALERT_EQUAL;
    options.threshold = 3;
    options.labels = &wanted;
    options.label_count = 1;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    for (int i = 0; i < 3; i++)
        put_severity(&of, i);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    close_world(&of);
}

static void a_metric_that_is_not_there_cannot_fire(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    open_world(*state, &of, 1);
    options.metric = "no_such_total";
    options.comparison = LS_ALERT_GREATER;
    options.observed_min = 2;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 0);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_int_equal(of.told[0].kind, LS_ALERT_CANNOT_FIRE);
    assert_int_equal(of.told[0].values, 0);
    close_world(&of);
}

static void a_refused_look_is_told_in_the_next(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    open_world(*state, &of, 1);
    options.metric = "libstream_build_info";
    options.comparison = LS_ALERT_EQUAL;
    options.threshold = 1;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    of.refusals = 1;
    assert_int_equal(ls_alerts_check(of.alerts), LS_ERR_CANCELLED);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    close_world(&of);
}

static int64_t monotonic_us;

static int64_t set_monotonic(void *user)
{
    (void)user;
    return monotonic_us;
}

static void a_rate_is_growth_in_a_second_and_needs_two_looks(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;
    ls_metric *metric;
    ls_series *series;

    still_env_make(&of.still, &lsi_files_system, 7);
    of.still.now_us = BEGIN_US;
    of.still.env.busy_timeout_ms = 2000;
    of.still.env.clock.monotonic_us = set_monotonic;
    monotonic_us = 1000000;
    open_world(*state, &of, 1);
    assert_int_equal(ls_metric_define(of.store, "level", LS_METRIC_GAUGE, "A level.", NULL, &metric), LS_OK);
    assert_int_equal(ls_metric_series(metric, NULL, &series), LS_OK);
    options.metric = "level";
    options.comparison = LS_ALERT_GREATER;
    options.threshold = 9.5;
    options.flags = LS_ALERT_RATE;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(ls_series_set(series, 1000), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK); /* the first look: no rate */
    monotonic_us += 2000000;
    assert_int_equal(ls_series_set(series, 1018), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK); /* 9 in a second */
    assert_int_equal(of.told_count, 0);
    monotonic_us += 1000000;
    assert_int_equal(ls_series_set(series, 10), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK); /* less: no look */
    assert_int_equal(of.told_count, 0);
    monotonic_us += 2000000;
    assert_int_equal(ls_series_set(series, 30), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    assert_true(of.told[0].value == 10);
    assert_int_equal(look_at(&of, "r").observed_count, 2);
    close_world(&of);
}

/* ---- rules that change meanwhile ---- */

static void rules_made_changed_and_deleted_meanwhile_count_at_once(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = severe();

    open_world(*state, &of, 1);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK); /* There are none. */
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 1);
    options.threshold = 2;
    assert_int_equal(ls_alert_update(of.stream, "r", &options), LS_OK);
    assert_int_equal(look_at(&of, "r").passed_count, 0); /* what was known is forgotten */
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(ls_alert_delete(of.stream, "r"), LS_OK);
    put_severity(&of, 4);
    assert_int_equal(observe_all(&of, 0), LS_OK);
    assert_int_equal(of.told_count, 2);
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(look_at(&of, "r").passed_count, 0);
    close_world(&of);
}

static void a_stream_with_alerts_open_is_not_closed(void **state)
{
    alert_world of = {.store = NULL};

    open_world(*state, &of, 1);
    assert_int_equal(ls_stream_close(of.stream), LS_ERR_STATE);
    close_world(&of);
}

static void arguments_are_checked(void **state)
{
    alert_world of = {.store = NULL};
    ls_alerts *alerts = NULL;

    open_world(*state, &of, 1);
    assert_int_equal(ls_alerts_open(NULL, note, NULL, &alerts), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alerts_open(of.stream, NULL, NULL, &alerts), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("callback"));
    assert_int_equal(ls_alerts_open(of.stream, note, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alerts_observe(NULL, next_batch(&of, 0, 1)), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alerts_observe(of.alerts, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alerts_check(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alerts_close(NULL), LS_OK);
    close_world(&of);
}

static bool is_refused_elsewhere(void *user)
{
    alert_world *of = user;

    return ls_alerts_check(of->alerts) == LS_ERR_STATE && ls_alerts_close(of->alerts) == LS_OK;
}

static void a_fork_child_may_only_close(void **state)
{
    alert_world of = {.store = NULL};

    open_world(*state, &of, 1);
    in_fork_child(is_refused_elsewhere, &of);
    close_world(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rule_fires_once_for_a_window_and_says_what_made_it_fire),
        TEST(count_min_must_pass_in_one_window),
        TEST(a_window_is_of_all_shards),
        TEST(a_rule_is_quiet_while_it_cools_down),
        TEST(each_comparison_is_what_it_says),
        TEST(a_text_is_equal_or_not_and_a_field_may_lie_in_objects),
        TEST(a_record_that_is_shown_again_counts_once),
        TEST(what_is_known_is_known_after_a_restart),
        TEST(a_refused_alert_comes_again_and_counts_once),
        TEST(a_process_that_dies_in_its_callback_leaves_the_alert_to_the_next),
        TEST(more_windows_than_are_kept_lose_no_alert),
        TEST(user_records_of_an_aggregate_count_each_once),
        TEST(shards_are_shown_on_many_threads),
        TEST(a_rule_that_cannot_fire_on_what_was_observed_is_reported_once),
        TEST(a_process_that_dies_reporting_leaves_the_report_to_the_next),
        TEST(a_report_that_is_refused_comes_again_while_it_holds),
        TEST(a_field_that_is_never_there_is_reported_without_values),
        TEST(notes_are_stored_at_the_latest_by_close),
        TEST(a_rule_on_a_metric_is_judged_at_each_look),
        TEST(the_stores_own_counters_are_metrics_too),
        TEST(a_metric_that_is_not_there_cannot_fire),
        TEST(a_refused_look_is_told_in_the_next),
        TEST(a_rate_is_growth_in_a_second_and_needs_two_looks),
        TEST(rules_made_changed_and_deleted_meanwhile_count_at_once),
        TEST(a_stream_with_alerts_open_is_not_closed),
        TEST(arguments_are_checked),
        TEST(a_fork_child_may_only_close),
    };

    if (strstr(ls_version_features(), "json") == NULL) {
        puts("built without JSON: alerts are refused (test_alert.c)");
        return 77;
    }
    run_everywhere("alerts", tests);
}
