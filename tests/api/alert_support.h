/* What the tests of alerts share: a store with a clock that is set, records that are JSON, and a callback that notes
 * what it is told. */
#ifndef LST_ALERT_SUPPORT_H
#define LST_ALERT_SUPPORT_H

#include "api/support.h"

#include "api/api.h"
#include "support/still_env.h"

#define STREAM "accidents"
#define MINUTE_US INT64_C(60000000)
#define BEGIN_US (INT64_C(1700000040) * 1000000) /* on a minute */
#define TOLD_MAX 64

/* ---- a store whose clock stands at `still.now_us` ---- */

typedef struct alert_world {
    still_env still;
    ls_store *store;
    ls_stream *stream;
    ls_alerts *alerts;
    ls_iterator *iterator;

    uint32_t told_count, refusals; /* so many calls are refused from now on */
    struct {
        ls_alert_kind kind;
        char name[136];
        double value, least, greatest;
        uint64_t count, observed, values;
        int64_t start_us, end_us, at_us;
        ls_record_id first, record;
    } told[TOLD_MAX];
} alert_world;

static inline int32_t note(const ls_alert *alert, void *user)
{
    alert_world *of = user;
    uint32_t at = of->told_count;

    if (of->refusals > 0) {
        of->refusals--;
        return 1;
    }
    assert_true(at < TOLD_MAX);
    assert_int_equal(alert->size, sizeof *alert);
    assert_string_equal(alert->stream, STREAM);
    of->told[at].kind = alert->kind;
    snprintf(of->told[at].name, sizeof of->told[at].name, "%s", alert->name);
    of->told[at].value = alert->value;
    of->told[at].least = alert->least;
    of->told[at].greatest = alert->greatest;
    of->told[at].count = alert->count;
    of->told[at].observed = alert->observed_count;
    of->told[at].values = alert->value_count;
    of->told[at].start_us = alert->window_start_us;
    of->told[at].end_us = alert->window_end_us;
    of->told[at].at_us = alert->at_us;
    of->told[at].first = alert->first;
    of->told[at].record = alert->record;
    of->told_count++;
    return 0;
}

/* In the fixture's directory, or in memory. */
static inline void open_world(fixture *fx, alert_world *of, uint32_t shards)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_status st;

    if (of->still.now_us == 0) {
        still_env_make(&of->still, &lsi_files_system, 7);
        of->still.env.busy_timeout_ms = 2000;
        of->still.now_us = BEGIN_US;
    }
    assert_int_equal(lsi_store_open_env(in_memory ? "memory:" : temp_path(&fx->temp, "alerts"), NULL, &of->still.env,
                                        &of->store), LS_OK);
    options.shard_count = shards;
    st = ls_stream_create(of->store, STREAM, &options);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of->store, STREAM, &of->stream), LS_OK);
    assert_int_equal(ls_alerts_open(of->stream, note, of, &of->alerts), LS_OK);
}

static inline void close_world(alert_world *of)
{
    ls_iterator_close(of->iterator);
    of->iterator = NULL;
    assert_int_equal(ls_alerts_close(of->alerts), LS_OK);
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    assert_int_equal(ls_store_close(of->store), LS_OK);
}

static inline ls_alert_options rule_on(const char *field, ls_alert_comparison comparison, double threshold)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.field = field;
    options.comparison = comparison;
    options.threshold = threshold;
    return options;
}

static inline ls_record_id put_json(alert_world *of, const char *key, const char *data)
{
    ls_producer *producer = NULL;
    ls_record_id id = {0};

    assert_int_equal(ls_producer_open(of->stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return id;
}

static inline ls_record_id put_severity(alert_world *of, int severity)
{
    char data[64];

    snprintf(data, sizeof data, "{\"Severity\": %d}", severity);
    return put_json(of, "k", data);
}

/* The next batch of a shard; the iterator stays at it. */
static inline const ls_batch *next_batch(alert_world *of, uint32_t shard, uint32_t records_max)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;

    if (of->iterator == NULL)
        assert_int_equal(ls_iterator_open(of->stream, shard, NULL, NULL, &of->iterator), LS_OK);
    options.records_max = records_max;
    assert_int_equal(ls_iterator_next(of->iterator, &options, &batch), LS_OK);
    return batch;
}

/* Shows everything of the shard, from its beginning. */
static inline ls_status observe_all(alert_world *of, uint32_t shard)
{
    const ls_batch *batch;
    ls_status st = LS_OK;

    ls_iterator_close(of->iterator);
    of->iterator = NULL;
    do {
        batch = next_batch(of, shard, 7);
        st = ls_alerts_observe(of->alerts, batch);
    } while (st == LS_OK && ls_batch_count(batch) != 0);
    return st;
}

static inline ls_alert_info look_at(alert_world *of, const char *name)
{
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_description *description = NULL;

    assert_int_equal(ls_alert_describe(of->stream, name, &description), LS_OK);
    assert_int_equal(ls_alert_description_info(description, &info), LS_OK);
    ls_alert_description_free(description);
    return info;
}

#endif
