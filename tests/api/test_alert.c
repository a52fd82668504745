/* Alert rules as alert.h promises them: what is kept, defaults and limits, and every error. */
#include "api/alert_support.h"

#include <math.h>

#include "support/sim_memory.h"

static bool has_json(void)
{
    return strstr(ls_version_features(), "json") != NULL;
}

static ls_alert_options on_metric(void)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.metric = "libstream_put_records_total";
    options.comparison = LS_ALERT_GREATER;
    options.threshold = 3;
    return options;
}

static void a_rule_has_its_defaults(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options to = on_metric(), is = LS_ALERT_OPTIONS_INIT;
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_description *of = NULL;

    assert_int_equal(ls_alert_create(stream, "r", &to), LS_OK);
    assert_int_equal(ls_alert_describe(stream, "r", &of), LS_OK);
    assert_int_equal(ls_alert_description_options(of, &is), LS_OK);
    assert_int_equal(ls_alert_description_info(of, &info), LS_OK);
    assert_string_equal(is.metric, to.metric);
    assert_null(is.field);
    assert_null(is.text);
    assert_int_equal(is.comparison, LS_ALERT_GREATER);
    assert_true(is.threshold == 3);
    assert_int_equal(is.count_min, 1);
    assert_int_equal(is.window_ms, 60000);
    assert_int_equal(is.cooldown_ms, 0);
    assert_int_equal(is.observed_min, 1000);
    assert_int_equal(is.label_count, 0);
    assert_int_equal(is.flags, 0);
    assert_string_equal(info.name, "r");
    assert_true(info.created_us > 0 && info.modified_us == info.created_us);
    assert_true(info.observed_count == 0 && info.passed_count == 0 && info.fired_count == 0 && info.cannot_fire == 0 &&
                info.last_fired_us == 0);
    ls_alert_description_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void all_settings_come_back_also_after_reopening(void **state)
{
    fixture *fx = *state;
    const ls_label labels[] = {{"stream", STREAM}, {"shard", ""}};
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_alert_options to = on_metric();

    if (in_memory) /* It ends with its handle. */
        goto done;
    to.labels = labels;
    to.label_count = 2;
    to.flags = LS_ALERT_RATE;
    to.count_min = 1000000000;
    to.window_ms = 86400000;
    to.cooldown_ms = 604800000;
    to.observed_min = 1;
    to.threshold = -0.5;
    assert_int_equal(ls_alert_create(stream, "metric", &to), LS_OK);
    if (has_json()) {
        to = rule_on("a.b", LS_ALERT_NOT_EQUAL, 0);
        to.text = "";
        assert_int_equal(ls_alert_create(stream, "field", &to), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    for (int i = 0; i < 1 + has_json(); i++) {
        ls_alert_options is = LS_ALERT_OPTIONS_INIT;
        ls_alert_description *of = NULL;

        assert_int_equal(ls_alert_describe(stream, i == 0 ? "metric" : "field", &of), LS_OK);
        assert_int_equal(ls_alert_description_options(of, &is), LS_OK);
        if (i == 0) {
            assert_int_equal(is.label_count, 2);
            assert_string_equal(is.labels[0].name, "stream");
            assert_string_equal(is.labels[0].value, STREAM);
            assert_string_equal(is.labels[1].value, "");
            assert_int_equal(is.flags, LS_ALERT_RATE);
            assert_int_equal(is.count_min, 1000000000);
            assert_int_equal(is.window_ms, 86400000);
            assert_int_equal(is.cooldown_ms, 604800000);
            assert_int_equal(is.observed_min, 1);
            assert_true(is.threshold == -0.5);
        } else {
            assert_string_equal(is.field, "a.b");
            assert_string_equal(is.text, "");
            assert_int_equal(is.comparison, LS_ALERT_NOT_EQUAL);
        }
        ls_alert_description_free(of);
    }
done:
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_update_replaces_all_settings_and_keeps_when_it_was_created(void **state)
{
    alert_world of = {.store = NULL};
    ls_alert_options options = on_metric();
    ls_alert_info before, after;

    if (!has_json())
        return;
    open_world(*state, &of, 1);
    options.count_min = 5;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    before = look_at(&of, "r");
    of.still.now_us += 1000000;
    options.count_min = 0;
    options.window_ms = 10;
    assert_int_equal(ls_alert_update(of.stream, "r", &options), LS_OK);
    after = look_at(&of, "r");
    assert_int_equal(after.created_us, before.created_us);
    assert_true(after.modified_us >= before.modified_us + 1000000);
    assert_int_equal(ls_alert_update(of.stream, "none", &options), LS_ERR_NOT_FOUND);
    assert_true(says("stream 'accidents' has no alert 'none'"));
    close_world(&of);
}

static void rules_are_listed_in_order_of_name(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options options = on_metric();
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_list *list = NULL;

    assert_int_equal(ls_stream_list_alerts(stream, &list), LS_OK);
    assert_int_equal(ls_alert_list_count(list), 0);
    ls_alert_list_free(list);
    assert_int_equal(ls_alert_create(stream, "b", &options), LS_OK);
    assert_int_equal(ls_alert_create(stream, "a", &options), LS_OK);
    assert_int_equal(ls_alert_create(stream, "ab", &options), LS_OK);
    assert_int_equal(ls_alert_create(stream, "a", &options), LS_ERR_EXISTS);
    assert_int_equal(ls_alert_delete(stream, "a"), LS_OK);
    assert_int_equal(ls_alert_delete(stream, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_alert_create(stream, "a", &options), LS_OK);
    assert_int_equal(ls_stream_list_alerts(stream, &list), LS_OK);
    assert_int_equal(ls_alert_list_count(list), 3);
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "ab", "b"};

        assert_int_equal(ls_alert_list_at(list, i, &info), LS_OK);
        assert_string_equal(info.name, names[i]);
    }
    assert_int_equal(ls_alert_list_at(list, 3, &info), LS_ERR_INVALID_ARGUMENT);
    info.size = 0;
    assert_int_equal(ls_alert_list_at(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
    ls_alert_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stream_has_so_many_rules_and_no_more(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options options = on_metric();
    char name[16];

    for (uint32_t i = 0; i < LS_ALERTS_MAX; i++) {
        snprintf(name, sizeof name, "r%u", i);
        assert_int_equal(ls_alert_create(stream, name, &options), LS_OK);
    }
    assert_int_equal(ls_alert_create(stream, "more", &options), LS_ERR_STATE);
    assert_int_equal(ls_alert_create(stream, "r0", &options), LS_ERR_EXISTS);
    assert_int_equal(ls_alert_delete(stream, "r0"), LS_OK);
    assert_int_equal(ls_alert_create(stream, "more", &options), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void refuse(ls_stream *stream, ls_alert_options options, const char *word)
{
    assert_int_equal(ls_alert_create(stream, "r", &options), LS_ERR_INVALID_ARGUMENT);
    if (!says(word))
        fail_msg("'%s' does not say '%s'", ls_last_error_message(), word);
    assert_int_equal(ls_alert_update(stream, "r", &options), LS_ERR_INVALID_ARGUMENT);
}

static void settings_that_break_a_rule_are_refused_by_name(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options options = on_metric();
    const ls_label twice[] = {{"a", "1"}, {"a", "2"}}, nameless = {NULL, "1"}, empty = {"", "1"};
    char long_text[2000];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
#define REFUSE(change, word)       \
    do {                           \
        options = on_metric();     \
        change;                    \
        refuse(stream, options, word); \
    } while (0)
    REFUSE(options.metric = NULL, "neither");
    REFUSE(options.field = "f", "both");
    REFUSE(options.comparison = 0, "comparison");
    REFUSE(options.comparison = 7, "comparison");
    REFUSE(options.threshold = (double)INFINITY, "threshold");
    REFUSE(options.threshold = (double)NAN, "threshold");
    REFUSE(options.flags = 2, "flags");
    REFUSE(options.metric = "", "metric");
    REFUSE(options.metric = long_text, "metric");
    REFUSE(options.text = "t", "text");
    REFUSE(options.label_count = 1, "labels is NULL");
    REFUSE(options.label_count = 31, "label_count");
    REFUSE((options.labels = twice, options.label_count = 2), "twice");
    REFUSE((options.labels = &nameless, options.label_count = 1), "no name");
    REFUSE((options.labels = &empty, options.label_count = 1), "name");
    REFUSE(options.count_min = 1000000001, "count_min");
    REFUSE(options.window_ms = 86400001, "window_ms");
    REFUSE(options.cooldown_ms = 604800001, "cooldown_ms");
    REFUSE(options.observed_min = 1000000001, "observed_min");
    REFUSE((options.metric = NULL, options.field = ""), "field");
    REFUSE((options.metric = NULL, options.field = long_text), "field");
    REFUSE((options.metric = NULL, options.field = "f", options.flags = LS_ALERT_RATE), "RATE");
    REFUSE((options.metric = NULL, options.field = "f", options.labels = twice, options.label_count = 2), "label");
    REFUSE((options.metric = NULL, options.field = "f", options.text = "t"), "comparison");
    REFUSE((options.metric = NULL, options.field = "f", options.text = "t", options.comparison = LS_ALERT_EQUAL),
           "threshold");
    REFUSE((options.metric = NULL, options.field = "f", options.text = long_text, options.threshold = 0,
            options.comparison = LS_ALERT_EQUAL), "text");
    REFUSE(options.size = 0, "size");
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void names_and_arguments_are_checked(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options options = on_metric();
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_description *of = NULL;
    ls_alert_list *list = NULL;

    assert_int_equal(ls_alert_create(stream, "no name", &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("alert"));
    assert_int_equal(ls_alert_create(stream, "", &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_describe(stream, "no name", &of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_delete(stream, "no name"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_describe(stream, "none", &of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_alert_create(NULL, "r", &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_create(stream, NULL, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_create(stream, "r", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_update(NULL, "r", &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_update(stream, NULL, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_update(stream, "r", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_delete(NULL, "r"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_delete(stream, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_describe(NULL, "r", &of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_describe(stream, NULL, &of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_describe(stream, "r", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_alerts(NULL, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_alerts(stream, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_list_count(NULL), 0);
    assert_int_equal(ls_alert_list_at(NULL, 0, &info), LS_ERR_INVALID_ARGUMENT);
    ls_alert_list_free(NULL);
    assert_int_equal(ls_alert_create(stream, "r", &options), LS_OK);
    assert_int_equal(ls_alert_describe(stream, "r", &of), LS_OK);
    assert_int_equal(ls_alert_description_info(of, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_description_info(NULL, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_alert_description_options(of, NULL), LS_ERR_INVALID_ARGUMENT);
    info.size = 3;
    assert_int_equal(ls_alert_description_info(of, &info), LS_ERR_INVALID_ARGUMENT);
    options.size = 3;
    assert_int_equal(ls_alert_description_options(of, &options), LS_ERR_INVALID_ARGUMENT);
    ls_alert_description_free(of);
    ls_alert_description_free(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void without_json_there_are_no_fields(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_alert_options options = rule_on("f", LS_ALERT_GREATER, 1);

    assert_int_equal(ls_alert_create(stream, "r", &options), has_json() ? LS_OK : LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- values of the state that are none ---- */

static ls_status write_value(ls_stream *stream, const char *key, const void *bytes, size_t size)
{
    lsi_state_change change = {.key = {key, strlen(key)}, .expected = LSI_STATE_ANY, .value = {bytes, size}};
    uint32_t conflict;

    return stream->stream->engine->ops->state_write(stream->stream, &change, 1, &conflict);
}

static bool copy_value(void *user, const lsi_state_entry *entry)
{
    ls_bytes *to = user;
    void *copy = malloc(entry->value.size);

    memcpy(copy, entry->value.data, entry->value.size);
    *to = (ls_bytes){copy, entry->value.size};
    return false;
}

/* Method: each value that there is, cut at every length, and each of its bytes changed: an answer, and never more than
 * that. Of a rule no cut is one. */
static void damaged_values_are_told_from_good_ones(void **state)
{
    static const char *const keys[] = {"alert/r", "alerted/r"};
    const ls_label label = {"city", "Dayton"};
    alert_world of = {.store = NULL};
    ls_alert_options options = on_metric();

    if (!has_json())
        return;
    open_world(*state, &of, 1);
    options.metric = "libstream_build_info";
    options.threshold = 0;
    assert_int_equal(ls_alert_create(of.stream, "r", &options), LS_OK);
    assert_int_equal(ls_alerts_check(of.alerts), LS_OK);
    assert_int_equal(of.told_count, 1);
    options.labels = &label;
    options.label_count = 1;
    for (int k = 1; k >= 0; k--) {
        ls_bytes value = {NULL, 0};
        ls_alert_description *found = NULL;

        assert_int_equal(of.stream->stream->engine->ops->state_read(of.stream->stream, text(keys[k]), copy_value,
                                                                    &value), LS_OK);
        for (size_t size = 1; size < value.size; size++) {
            assert_int_equal(write_value(of.stream, keys[k], value.data, size), LS_OK);
            assert_int_equal(ls_alert_describe(of.stream, "r", &found), LS_ERR_CORRUPT);
        }
        for (size_t at = 0; at < value.size; at++) {
            unsigned char *bytes = malloc(value.size);
            ls_status st;

            memcpy(bytes, value.data, value.size);
            bytes[at] ^= 0x81;
            assert_int_equal(write_value(of.stream, keys[k], bytes, value.size), LS_OK);
            st = ls_alert_describe(of.stream, "r", &found);
            assert_true(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
            assert_true(at >= 4 || at == 0 ? st != LS_ERR_VERSION || at == 0 : st == LS_ERR_VERSION);
            if (st == LS_OK)
                ls_alert_description_free(found);
            free(bytes);
        }
        assert_int_equal(write_value(of.stream, keys[k], value.data, value.size), LS_OK);
        free((void *)(uintptr_t)value.data);
    }
    close_world(&of);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state)
{
    fixture *fx = *state;
    sim_memory memory = SIM_MEMORY_INIT;
    alert_world of = {.store = NULL};
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 3);

    if (!has_json())
        return;
    still_env_make(&of.still, &lsi_files_system, 7);
    of.still.env.busy_timeout_ms = 2000;
    of.still.now_us = BEGIN_US;
    of.still.env.memory = sim_memory_table(&memory);
    open_world(fx, &of, 1);
    put_severity(&of, 4);
    put_severity(&of, 4);
    for (int call = 0; call < 5; call++) {
        ls_status st = LS_ERR_NO_MEMORY;
        uint64_t left;

        for (left = 1; st == LS_ERR_NO_MEMORY && left < 1000; left++) {
            ls_alert_description *description = NULL;
            ls_alert_list *list = NULL;
            ls_alerts *alerts = NULL;
            const ls_batch *batch = NULL;

            ls_iterator_close(of.iterator);
            of.iterator = NULL;
            batch = next_batch(&of, 0, 10);
            sim_memory_fail(&memory, left, false);
            st = call == 0   ? ls_alert_create(of.stream, "r", &options)
                : call == 1 ? ls_alert_describe(of.stream, "r", &description)
                : call == 2 ? ls_stream_list_alerts(of.stream, &list)
                : call == 3 ? ls_alerts_open(of.stream, note, &of, &alerts)
                            : ls_alerts_observe(of.alerts, batch);
            sim_memory_fail(&memory, 0, false);
            ls_alert_description_free(description);
            ls_alert_list_free(list);
            assert_int_equal(ls_alerts_close(alerts), LS_OK);
        }
        assert_int_equal(st, LS_OK);
        assert_true(left > 2);
    }
    assert_int_equal(of.told_count, 1);
    assert_int_equal(look_at(&of, "r").passed_count, 2);
    close_world(&of);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rule_has_its_defaults),
        TEST(all_settings_come_back_also_after_reopening),
        TEST(an_update_replaces_all_settings_and_keeps_when_it_was_created),
        TEST(rules_are_listed_in_order_of_name),
        TEST(a_stream_has_so_many_rules_and_no_more),
        TEST(settings_that_break_a_rule_are_refused_by_name),
        TEST(names_and_arguments_are_checked),
        TEST(without_json_there_are_no_fields),
        TEST(damaged_values_are_told_from_good_ones),
        TEST(every_allocation_may_fail),
    };

    run_everywhere("alert rules", tests);
}
