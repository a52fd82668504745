/* Mappings as mapping.h promises them: what is kept, its defaults and limits, where they begin, and every error. */
#include "api/support.h"

#include <fcntl.h>

#include "api/api.h"
#include "consume/mapping/mapping.h"
#include "support/sim_memory.h"

#define STREAM "orders"

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};
static const ls_position latest = {.kind = LS_LATEST};

static ls_mapping_options defaults(void)
{
    const ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    return options;
}

static bool has_json(void)
{
    return strstr(ls_version_features(), "json") != NULL;
}

static ls_mapping_info look(ls_stream *stream, const char *name)
{
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    ls_mapping_description *of = NULL;

    assert_int_equal(ls_mapping_describe(stream, name, &of), LS_OK);
    assert_int_equal(ls_mapping_description_info(of, &info), LS_OK);
    ls_mapping_description_free(of);
    return info;
}

/* The settings, without what they point to. */
static ls_mapping_options look_options(ls_stream *stream, const char *name)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *of = NULL;

    assert_int_equal(ls_mapping_describe(stream, name, &of), LS_OK);
    assert_int_equal(ls_mapping_description_options(of, &options), LS_OK);
    ls_mapping_description_free(of);
    options.filters = NULL;
    return options;
}

/* Where the mapping begins in a shard; 0: at its beginning; END: it is passed over. */
static ls_seqno start_of(ls_stream *stream, const char *name, uint32_t shard)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;
    ls_seqno seqno = LS_SEQNO_END;

    assert_int_equal(ls_stream_list_leases(stream, name, &list), LS_OK);
    for (uint32_t i = 0; i < ls_lease_list_count(list); i++) {
        assert_int_equal(ls_lease_list_at(list, i, &info), LS_OK);
        if (info.shard == shard && info.state != LS_LEASE_WAITING) /* It has a lease. */
            seqno = info.state == LS_LEASE_NOT_BEGUN ? LS_SEQNO_NONE : info.seqno + 1;
    }
    ls_lease_list_free(list);
    return seqno;
}

static ls_record_id put(ls_stream *stream, const char *key)
{
    ls_producer *producer = NULL;
    ls_record_id id = {0};

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), text("data"), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return id;
}

/* ---- what is kept ---- */

static void a_mapping_has_lambdas_defaults(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options is;
    ls_mapping_info info;

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    info = look(stream, "m");
    assert_string_equal(info.name, "m");
    assert_int_equal(info.status, LS_MAPPING_ENABLED);
    assert_int_equal(info.start, LS_TRIM_HORIZON);
    assert_int_equal(info.start_timestamp_us, 0);
    assert_true(info.created_us > 0 && info.modified_us == info.created_us);
    is = look_options(stream, "m");
    assert_int_equal(is.flags, 0);
    assert_int_equal(is.bytes_max, 6291456);
    assert_int_equal(is.records_max, 100);
    assert_int_equal(is.batching_window_ms, 0);
    assert_int_equal(is.lane_count, 1);
    assert_int_equal(is.retries_max, 0);
    assert_int_equal(is.record_age_s_max, 0);
    assert_int_equal(is.tumbling_window_s, 0);
    assert_int_equal(is.window_state_bytes_max, 0);
    assert_int_equal(is.handler_timeout_ms, 3000);
    assert_int_equal(is.sync_interval_ms, 1000);
    assert_int_equal(is.filter_count, 0);
    assert_null(is.failure_stream);
    assert_null(is.consumer);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void all_settings_come_back_also_after_reopening(void **state)
{
    fixture *fx = *state;
    static const char *const filters[] = {"{\"partitionKey\":[\"a\"]}", "{\"data\":{\"x\":[{\"exists\":true}]}}"};
    ls_mapping_options to = defaults(), is = defaults();
    ls_mapping_description *of = NULL;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_mapping_info before, after;

    to.filter_count = has_json() ? 2 : 0;
    to.filters = filters;
    to.flags = LS_MAPPING_BISECT | LS_MAPPING_REPORT_FAILURES | LS_MAPPING_DISCARD_FAILED_ONLY;
    to.bytes_max = UINT64_C(1) << 30;
    to.records_max = 10000;
    to.batching_window_ms = 300000;
    to.retries_max = LS_MAPPING_NO_RETRIES;
    to.record_age_s_max = 604800;
    to.tumbling_window_s = 900;
    to.window_state_bytes_max = 6u << 20;
    to.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    to.sync_interval_ms = 60000;
    to.failure_stream = "failures";
    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "m", &latest, &to), LS_OK);
    before = look(stream, "m");
    if (!in_memory) {
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(fx->store), LS_OK);
        fx->store = NULL;
        assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
        assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    }
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_OK);
    assert_int_equal(ls_mapping_description_options(of, &is), LS_OK);
    for (uint32_t i = 0; i < to.filter_count; i++)
        assert_string_equal(is.filters[i], filters[i]);
    assert_int_equal(is.lane_count, 1);
    assert_string_equal(is.failure_stream, to.failure_stream);
    is.failure_stream = to.failure_stream;
    is.filters = to.filters;
    to.lane_count = 1;
    assert_memory_equal(&is, &to, sizeof to);
    ls_mapping_description_free(of);
    after = look(stream, "m");
    assert_memory_equal(&after, &before, sizeof before);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_update_replaces_all_settings_and_nothing_else(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    ls_mapping_info before, after;

    options.records_max = 7;
    options.lane_count = 10;
    put(stream, "k");
    assert_int_equal(ls_mapping_create(stream, "m", &latest, &options), LS_OK);
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    before = look(stream, "m");
    options = defaults();
    options.record_age_s_max = 60;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    after = look(stream, "m");
    assert_int_equal(after.status, LS_MAPPING_DISABLED);
    assert_int_equal(after.id, before.id);
    assert_int_equal(after.created_us, before.created_us);
    assert_true(after.modified_us >= before.modified_us);
    assert_int_equal(after.start, LS_LATEST);
    assert_true(start_of(stream, "m", 0) > 1);
    options = look_options(stream, "m");
    assert_int_equal(options.records_max, 100);
    assert_int_equal(options.lane_count, 1);
    assert_int_equal(options.record_age_s_max, 60);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: windows are turned off as all else is changed: with what the mapping has, but for one setting. */
static void windows_are_turned_off_in_what_there_is(void **state)
{
    static const uint32_t limits[] = {0, 1u << 20, 2u << 20};
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        options = look_options(stream, "m");
        options.tumbling_window_s = 60;
        options.window_state_bytes_max = limits[i];
        assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
        options = look_options(stream, "m");
        assert_int_equal(options.window_state_bytes_max, limits[i] != 0 ? limits[i] : 1u << 20);
        options.tumbling_window_s = 0;
        options.window_state_bytes_max++;
        assert_int_equal(ls_mapping_update(stream, "m", &options), LS_ERR_INVALID_ARGUMENT);
        assert_true(says("there are no windows"));
        options.window_state_bytes_max--;
        assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
        options = look_options(stream, "m");
        assert_int_equal(options.tumbling_window_s, 0);
        assert_int_equal(options.window_state_bytes_max, 0);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_mapping_is_paused_and_resumed(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
        assert_int_equal(look(stream, "m").status, LS_MAPPING_DISABLED);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
        assert_int_equal(look(stream, "m").status, LS_MAPPING_ENABLED);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_deleted_mapping_is_gone_and_its_name_free(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_description *of = NULL;
    uint64_t id;

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "m2", &horizon, NULL), LS_OK);
    id = look(stream, "m").id;
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND); /* though m2 begins like it */
    assert_null(of);
    assert_int_equal(look(stream, "m2").status, LS_MAPPING_ENABLED);
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    assert_true(look(stream, "m").id != id);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- where they begin ---- */

static void latest_is_a_number_before_create_returns(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_record_id before = put(stream, "k"), after;

    assert_int_equal(ls_mapping_create(stream, "m", &latest, NULL), LS_OK);
    after = put(stream, "k");
    assert_true(start_of(stream, "m", 0) > before.seqno);
    assert_true(start_of(stream, "m", 0) <= after.seqno);
    assert_int_equal(look(stream, "m").start, LS_LATEST);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_time_is_a_number_before_create_returns(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_position at = {.kind = LS_AT_TIMESTAMP};
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_record_id first = put(stream, "k"), second;
    int64_t first_us;

    usleep(2000);
    second = put(stream, "k");
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    first_us = ls_batch_at(batch, 0)->arrival_us;
    at.timestamp_us = ls_batch_at(batch, 1)->arrival_us;
    ls_iterator_close(iterator);
    assert_true(first_us < at.timestamp_us);
    assert_int_equal(ls_mapping_create(stream, "m", &at, NULL), LS_OK);
    assert_true(start_of(stream, "m", 0) > first.seqno && start_of(stream, "m", 0) <= second.seqno);
    assert_int_equal(look(stream, "m").start_timestamp_us, at.timestamp_us);
    at.timestamp_us = first_us;
    assert_int_equal(ls_mapping_create(stream, "m2", &at, NULL), LS_OK);
    assert_true(start_of(stream, "m2", 0) <= first.seqno);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A parent that was closed before is passed over, its children are read from what the position means in them; with
 * TRIM_HORIZON it is read, and its children when it has ended. */
static void closed_shards_are_passed_over(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_position at = {.kind = LS_AT_TIMESTAMP};
    ls_mapping_info info;

    put(stream, "k");
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    usleep(2000);
    put(stream, "k");
    assert_int_equal(ls_mapping_create(stream, "latest", &latest, NULL), LS_OK);
    info = look(stream, "latest");
    assert_true(start_of(stream, "latest", 0) == LS_SEQNO_END);
    at.timestamp_us = info.created_us;
    assert_int_equal(ls_mapping_create(stream, "now", &at, NULL), LS_OK);
    assert_true(start_of(stream, "now", 0) == LS_SEQNO_END);
    at.timestamp_us = 1;
    assert_int_equal(ls_mapping_create(stream, "then", &at, NULL), LS_OK);
    assert_true(start_of(stream, "then", 0) < LS_SEQNO_END);
    assert_int_equal(ls_mapping_create(stream, "horizon", &horizon, NULL), LS_OK);
    for (uint32_t shard = 0; shard < 3; shard++)
        assert_true(start_of(stream, "horizon", shard) == (shard == 0 ? LS_SEQNO_NONE : LS_SEQNO_END));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- listing ---- */

static void mappings_are_listed_in_order_of_name_by_pages(void **state)
{
    static const char *const names[] = {"b", "a", "c.1", "B"}, *const sorted[] = {"B", "a", "b", "c.1"};
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    ls_mapping_list *list = NULL;
    const char *after = NULL;
    char last[136];

    assert_int_equal(ls_stream_list_mappings(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_mapping_list_count(list), 0);
    assert_int_equal(ls_mapping_list_has_more(list), 0);
    ls_mapping_list_free(list);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ls_mapping_create(stream, names[i], &horizon, NULL), LS_OK);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(ls_stream_list_mappings(stream, after, 1, &list), LS_OK);
        assert_int_equal(ls_mapping_list_count(list), 1);
        assert_int_equal(ls_mapping_list_has_more(list), i < 3);
        assert_int_equal(ls_mapping_list_at(list, 0, &info), LS_OK);
        assert_string_equal(info.name, sorted[i]);
        assert_int_equal(ls_mapping_list_at(list, 1, &info), LS_ERR_INVALID_ARGUMENT);
        snprintf(last, sizeof last, "%s", info.name);
        after = last;
        ls_mapping_list_free(list);
    }
    assert_int_equal(ls_stream_list_mappings(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_mapping_list_count(list), 4);
    ls_mapping_list_free(list);
    assert_int_equal(ls_stream_list_mappings(stream, NULL, 10001, &list), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("10001"));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- errors ---- */

static void settings_out_of_their_range_are_refused_by_name(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_description *of = NULL;
    ls_mapping_options bad[17];
    static const struct { const char *word; ls_status st; } told[17] = {
        {"options.bytes_max is 6291457: it is 1..6291456 with LS_MAPPING_DOCUMENT_BYTES", LS_ERR_INVALID_ARGUMENT},
        {"options.bytes_max is 1073741825: it is 1..1073741824", LS_ERR_INVALID_ARGUMENT},
        {"options.records_max is 10001: it is 1..10000", LS_ERR_INVALID_ARGUMENT},
        {"options.batching_window_ms is 300001: it is 0..300000", LS_ERR_INVALID_ARGUMENT},
        {"options.lane_count is 11: it is 1..10", LS_ERR_INVALID_ARGUMENT},
        {"options.retries_max is -2: it is -1..10000", LS_ERR_INVALID_ARGUMENT},
        {"options.retries_max is 10001: it is -1..10000", LS_ERR_INVALID_ARGUMENT},
        {"options.record_age_s_max is 59: it is 60..604800", LS_ERR_INVALID_ARGUMENT},
        {"options.record_age_s_max is 604801: it is 60..604800", LS_ERR_INVALID_ARGUMENT},
        {"options.tumbling_window_s is 901: it is 0..900", LS_ERR_INVALID_ARGUMENT},
        {"options.window_state_bytes_max is 6291457", LS_ERR_INVALID_ARGUMENT},
        {"options.handler_timeout_ms is 900001: it is 1..900000", LS_ERR_INVALID_ARGUMENT},
        {"options.sync_interval_ms is 60001: it is 1..60000", LS_ERR_INVALID_ARGUMENT},
        {"options.filter_count is 11: it is 0..10", LS_ERR_INVALID_ARGUMENT},
        {"options.failure_stream is no name of a stream", LS_ERR_INVALID_ARGUMENT},
        {"options.consumer is no name of a consumer", LS_ERR_INVALID_ARGUMENT},
        {"'fast'", LS_ERR_NOT_FOUND},
    };

    for (size_t i = 0; i < 17; i++)
        bad[i] = defaults();
    bad[0].flags = LS_MAPPING_DOCUMENT_BYTES;
    bad[0].bytes_max = 6291457;
    bad[1].bytes_max = (UINT64_C(1) << 30) + 1;
    bad[2].records_max = 10001;
    bad[3].batching_window_ms = 300001;
    bad[4].lane_count = 11;
    bad[5].retries_max = -2;
    bad[6].retries_max = 10001;
    bad[7].record_age_s_max = 59;
    bad[8].record_age_s_max = 604801;
    bad[9].tumbling_window_s = 901;
    bad[10].tumbling_window_s = 1;
    bad[10].window_state_bytes_max = 6291457;
    bad[11].handler_timeout_ms = 900001;
    bad[12].sync_interval_ms = 60001;
    bad[13].filter_count = 11;
    bad[14].failure_stream = "not a name";
    bad[15].consumer = "not a name";
    bad[16].consumer = "fast";
    for (size_t i = 0; i < 17; i++) {
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &bad[i]), told[i].st);
        if (!says(told[i].word))
            fail_msg("setting %zu: '%s' does not say '%s'", i, ls_last_error_message(), told[i].word);
        assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
    }
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    for (size_t i = 0; i < 17; i++)
        assert_int_equal(ls_mapping_update(stream, "m", &bad[i]), told[i].st);
    assert_int_equal(look_options(stream, "m").records_max, 100);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void settings_that_do_not_go_together_are_refused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    const char *none = NULL;

    options.tumbling_window_s = 60;
    options.lane_count = 2;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.tumbling_window_s is 60 and options.lane_count 2"));
    options = defaults();
    options.window_state_bytes_max = 1;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.window_state_bytes_max is 1"));
    options = defaults();
    options.flags = LS_MAPPING_DISCARD_FAILED_ONLY;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("without LS_MAPPING_REPORT_FAILURES"));
    options = defaults();
    options.flags = LS_MAPPING_EXACTLY_ONCE;
    options.lane_count = 2;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("LS_MAPPING_EXACTLY_ONCE and options.lane_count is 2"));
    options = defaults();
    options.flags = 1u << 20;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("0x100000"));
    options = defaults();
    options.filter_count = 1;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.filters is NULL"));
    options.filters = &none;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.filters[0] is NULL"));
    options = defaults();
    options.size = 8;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_filter_that_breaks_a_rule_is_refused_in_the_services_words(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    ls_mapping_description *of = NULL;
    const char *bad = "{\"data\":{\"x\":[]}}", *good = "{\"data\":{\"x\":[1]}}";
    char *large = calloc(1, 65538);

    if (!has_json()) {
        options.filter_count = 1;
        options.filters = &good;
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_UNSUPPORTED);
        free(large);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        return;
    }
    options.filter_count = 1;
    options.filters = &bad;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("Event pattern is not valid. Reason: Empty arrays are not allowed"));
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
    options.filters = &good;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    options.filters = &bad;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_ERR_INVALID_ARGUMENT);
    memset(large, ' ', 65537);
    options.filters = (const char *const *)&large;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_ERR_TOO_LARGE);
    free(large);
    assert_int_equal(look_options(stream, "m").filter_count, 1);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void names_and_positions_are_checked(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_description *of = NULL;
    ls_position bad[6] = {{.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1}, {.kind = 0}, {.kind = LS_LATEST, .sub_seqno = 1},
                          {.kind = LS_LATEST, .seqno = 1}, {.kind = LS_TRIM_HORIZON, .timestamp_us = 1},
                          {.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX}};
    static const char *const words[6] = {"position.kind is 3", "position.kind is 0", "position.sub_seqno is 1",
                                         "position.seqno is 1", "position.timestamp_us is 1", "in the future"};
    char name[130];

    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(ls_mapping_create(stream, "m", &bad[i], NULL), LS_ERR_INVALID_ARGUMENT);
        assert_true(says(words[i]));
    }
    assert_int_equal(ls_mapping_create(stream, "m", NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'position' is NULL"));
    assert_int_equal(ls_mapping_create(stream, "", &horizon, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_create(stream, "a/b", &horizon, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("mapping name 'a/b'"));
    memset(name, 'n', 129);
    name[129] = '\0';
    assert_int_equal(ls_mapping_create(stream, name, &horizon, NULL), LS_ERR_INVALID_ARGUMENT);
    name[128] = '\0';
    assert_int_equal(ls_mapping_create(stream, name, &horizon, NULL), LS_OK);
    assert_string_equal(look(stream, name).name, name);
    assert_int_equal(ls_mapping_create(stream, name, &horizon, NULL), LS_ERR_EXISTS);
    assert_true(says(name));
    assert_int_equal(ls_mapping_update(stream, "m", NULL), LS_ERR_NOT_FOUND);
    assert_true(says("'m'"));
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* In memory only: on a disk each of them is a sync. */
static void a_stream_has_so_many_groups_and_no_more(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_group *group = NULL;
    char name[16];

    for (int i = 0; i < 4096 && in_memory; i++) {
        snprintf(name, sizeof name, "m%d", i);
        if (ls_mapping_create(stream, name, &horizon, NULL) != LS_OK)
            fail_msg("%s: %s", name, ls_last_error_message());
    }
    if (in_memory) {
        assert_int_equal(ls_mapping_create(stream, "more", &horizon, NULL), LS_ERR_STATE);
        assert_int_equal(ls_group_open(stream, "more", NULL, &group), LS_ERR_STATE);
        assert_true(says("4096"));
        assert_int_equal(ls_mapping_delete(stream, "m77"), LS_OK);
        assert_int_equal(ls_group_open(stream, "more", NULL, &group), LS_OK);
        assert_int_equal(ls_mapping_create(stream, "m77", &horizon, NULL), LS_ERR_STATE);
        assert_int_equal(ls_group_close(group), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_deleted_stream_has_none(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_mapping_description *of = NULL;
    ls_mapping_list *list = NULL;

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, STREAM), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "n", &horizon, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_list_mappings(stream, NULL, 0, &list), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    stream = make_stream(fx, STREAM, 1);
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_store_for_reading_shows_mappings_and_changes_none(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *reader = NULL;
    ls_stream *stream = make_stream(fx, STREAM, 1), *theirs = NULL;

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    if (in_memory) { /* Nobody else can open it. */
        assert_int_equal(ls_stream_close(stream), LS_OK);
        return;
    }
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &options, &reader), LS_OK);
    assert_int_equal(ls_stream_open(reader, STREAM, &theirs), LS_OK);
    assert_int_equal(look(theirs, "m").status, LS_MAPPING_ENABLED);
    assert_int_equal(ls_mapping_create(theirs, "n", &horizon, NULL), LS_ERR_READ_ONLY);
    assert_int_equal(ls_mapping_pause(theirs, "m"), LS_ERR_READ_ONLY);
    assert_int_equal(ls_mapping_delete(theirs, "m"), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_close(theirs), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void structs_without_a_size_are_refused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = {0};
    ls_mapping_info info = {0};
    ls_mapping_description *of = NULL;

    assert_int_equal(ls_mapping_create(stream, "m", &horizon, NULL), LS_OK);
    assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_OK);
    assert_int_equal(ls_mapping_description_info(of, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_description_options(of, &options), LS_ERR_INVALID_ARGUMENT);
    ls_mapping_description_free(of);
    ls_mapping_description_free(NULL);
    ls_mapping_list_free(NULL);
    assert_int_equal(ls_mapping_list_count(NULL), 0);
    assert_int_equal(ls_mapping_list_has_more(NULL), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what the state may hold (X1), and memory that is short ---- */

/* Every byte of a mapping's value is set to every other of a few, and the value cut at every byte: it is one still, or
 * said to be none. */
static void any_bytes_are_a_mapping_or_refused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    static const char *const filters[] = {"{\"partitionKey\":[\"a\"]}"};
    ls_mapping_options options = defaults();
    lsi_mapping *mapping = NULL, *found;
    lsi_state_entry entry = {.key = text(LSI_MAPPING_PREFIX "m"), .version = 1};
    ls_bytes value;
    unsigned char *bytes;
    size_t taken = 0;

    options.filter_count = has_json();
    options.filters = filters;
    put(stream, "k");
    put(stream, "kk");
    assert_int_equal(ls_mapping_create(stream, "m", &latest, &options), LS_OK);
    assert_int_equal(lsi_mapping_load(stream->stream, "m", &mapping), LS_OK);
    assert_int_equal(lsi_mapping_encode(&lsi_memory_libc, mapping, &value), LS_OK);
    for (size_t size = 0; size <= value.size; size++) {
        bytes = malloc(size > 0 ? size : 1); /* of its own, for bounds checkers */
        memcpy(bytes, value.data, size);
        entry.value = (ls_bytes){bytes, size};
        found = NULL;
        assert_int_equal(lsi_mapping_decode(&lsi_memory_libc, &entry, &found),
                         size == value.size ? LS_OK : LS_ERR_CORRUPT);
        lsi_mapping_free(found);
        for (size_t at = 0; size == value.size && at < size; at++)
            for (int i = 0; i < 4; i++) {
                unsigned char was = bytes[at];
                ls_status st;

                bytes[at] = (unsigned char)(i == 0 ? was + 1 : i == 1 ? 0 : i == 2 ? 0x7f : 0xff);
                found = NULL;
                st = lsi_mapping_decode(&lsi_memory_libc, &entry, &found);
                assert_true(st == LS_OK || st == LS_ERR_CORRUPT || (st == LS_ERR_VERSION && at < 4));
                taken += st == LS_OK;
                lsi_mapping_free(found);
                bytes[at] = was;
            }
        free(bytes);
    }
    assert_true(taken > 0);
    lsi_free(&lsi_memory_libc, (void *)(uintptr_t)value.data);
    lsi_mapping_free(mapping);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Every allocation fails once: the call says so, nothing leaks, and what was there is there still. */
static void short_memory_changes_nothing(void **state)
{
    fixture *fx = *state;
    static const char *const filters[] = {"{\"partitionKey\":[\"a\"]}"};
    ls_mapping_options options = defaults();
    sim_memory memory = SIM_MEMORY_INIT;
    ls_mapping_description *of;
    ls_mapping_list *list;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    lsi_env env;
    uint64_t left;

    options.filter_count = has_json();
    options.filters = filters;
    lsi_env_default(&env);
    env.memory = sim_memory_table(&memory);
    assert_int_equal(lsi_store_open_env(in_memory ? "memory:" : temp_path(&fx->temp, "short"), NULL, &env, &store),
                     LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    put(stream, "k");
    for (int call = 0; call < 4; call++) {
        ls_status st = LS_ERR_NO_MEMORY;

        for (left = 1; st == LS_ERR_NO_MEMORY && left < 1000; left++) {
            sim_memory_fail(&memory, left, false);
            of = NULL;
            list = NULL;
            st = call == 0   ? ls_mapping_create(stream, "m", &latest, &options)
                : call == 1 ? ls_mapping_describe(stream, "m", &of)
                : call == 2 ? ls_stream_list_mappings(stream, NULL, 0, &list)
                            : ls_mapping_update(stream, "m", &options);
            sim_memory_fail(&memory, 0, false);
            ls_mapping_description_free(of);
            ls_mapping_list_free(list);
            if (st == LS_ERR_NO_MEMORY && call == 0)
                assert_int_equal(ls_mapping_describe(stream, "m", &of), LS_ERR_NOT_FOUND);
        }
        assert_int_equal(st, LS_OK);
        assert_true(left > 2);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mapping_has_lambdas_defaults),
        TEST(all_settings_come_back_also_after_reopening),
        TEST(an_update_replaces_all_settings_and_nothing_else),
        TEST(windows_are_turned_off_in_what_there_is),
        TEST(a_mapping_is_paused_and_resumed),
        TEST(a_deleted_mapping_is_gone_and_its_name_free),
        TEST(latest_is_a_number_before_create_returns),
        TEST(a_time_is_a_number_before_create_returns),
        TEST(closed_shards_are_passed_over),
        TEST(mappings_are_listed_in_order_of_name_by_pages),
        TEST(settings_out_of_their_range_are_refused_by_name),
        TEST(settings_that_do_not_go_together_are_refused),
        TEST(a_filter_that_breaks_a_rule_is_refused_in_the_services_words),
        TEST(names_and_positions_are_checked),
        TEST(a_stream_has_so_many_groups_and_no_more),
        TEST(a_deleted_stream_has_none),
        TEST(a_store_for_reading_shows_mappings_and_changes_none),
        TEST(structs_without_a_size_are_refused),
        TEST(any_bytes_are_a_mapping_or_refused),
        TEST(short_memory_changes_nothing),
    };

    run_everywhere("mappings", tests);
}
