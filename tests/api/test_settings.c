/* stream.h: changing retention, cap, mode and record size of a stream that is in use, and its tags. What retention does
 * to records is in tests/invariants/test_retention.c. */
#include "api/support.h"

#include "api/api.h"
#include "support/sim_files.h"

typedef struct settings {
    uint32_t hours;
    uint64_t bytes;
    ls_stream_mode mode;
    uint32_t record_bytes_max;
} settings;

static settings settings_of(ls_stream *stream)
{
    ls_stream_description *about;
    settings found;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    found = (settings){ls_stream_description_retention_hours(about), ls_stream_description_retention_bytes(about),
                       ls_stream_description_mode(about), ls_stream_description_record_bytes_max(about)};
    ls_stream_description_free(about);
    return found;
}

/* "a=1 b=2": a page of tags, with "+" when there are more. */
static const char *tags_after(ls_stream *stream, const char *after, uint32_t limit)
{
    static char line[2000];
    ls_tag_list *list;
    size_t size = 0;

    line[0] = '\0';
    assert_int_equal(ls_stream_list_tags(stream, after, limit, &list), LS_OK);
    for (uint32_t i = 0; i < ls_tag_list_count(list); i++) {
        ls_tag tag = ls_tag_list_at(list, i);

        size += (size_t)snprintf(line + size, sizeof line - size, "%s%s=%s", i > 0 ? " " : "", tag.key, tag.value);
    }
    assert_null(ls_tag_list_at(list, ls_tag_list_count(list)).key);
    if (ls_tag_list_has_more(list))
        (void)snprintf(line + size, sizeof line - size, "+");
    ls_tag_list_free(list);
    return line;
}

/* ---- settings ---- */

static void retention_rises_and_falls_as_it_is_told(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    assert_int_equal(ls_stream_increase_retention(stream, 48), LS_OK);
    assert_int_equal(settings_of(stream).hours, 48);
    assert_int_equal(ls_stream_increase_retention(stream, 47), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'s'") && says("47") && says("48"));
    assert_int_equal(ls_stream_increase_retention(stream, 48), LS_OK);
    assert_int_equal(ls_stream_decrease_retention(stream, 49), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_decrease_retention(stream, 48), LS_OK);
    assert_int_equal(ls_stream_decrease_retention(stream, 1), LS_OK);
    assert_int_equal(settings_of(stream).hours, 1);
    assert_int_equal(ls_stream_decrease_retention(stream, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_increase_retention(stream, 8761), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_increase_retention(stream, 8760), LS_OK);
    assert_int_equal(ls_stream_set_retention_bytes(stream, UINT64_C(5) << 40), LS_OK);
    assert_int_equal(settings_of(stream).bytes, UINT64_C(5) << 40);
    assert_int_equal(ls_stream_set_retention_bytes(stream, 0), LS_OK);
    assert_int_equal(settings_of(stream).bytes, 0);
    assert_int_equal(settings_of(stream).hours, 8760);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void the_mode_is_switched_on_a_live_stream(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_OK);
    assert_int_equal(settings_of(stream).mode, LS_STREAM_PROVISIONED);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_OK);
    assert_int_equal(ls_stream_set_mode(stream, 2), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_mode(stream, -1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_ON_DEMAND), LS_OK);
    assert_int_equal(settings_of(stream).mode, LS_STREAM_ON_DEMAND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_stream_limits limits_of(ls_stream *stream)
{
    ls_stream_limits found = LS_STREAM_LIMITS_INIT;
    ls_stream_description *about;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_limits(about, &found), LS_OK);
    ls_stream_description_free(about);
    return found;
}

static void limits_are_checked_and_kept_in_both_modes(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    struct {
        ls_stream_limits known;
        uint32_t later;
    } newer = {LS_STREAM_LIMITS_INIT, 1};

    limits.write_bytes_per_second = 1024;
    limits.read_calls_per_second = 7;
    for (ls_stream_mode mode = LS_STREAM_ON_DEMAND; mode <= LS_STREAM_PROVISIONED; mode++) {
        assert_int_equal(ls_stream_set_mode(stream, mode), LS_OK);
        for (int twice = 0; twice < 2; twice++)
            assert_int_equal(ls_stream_set_limits(stream, &limits), LS_OK);
        assert_int_equal(limits_of(stream).write_bytes_per_second, 1024);
        assert_int_equal(limits_of(stream).write_records_per_second, 1000);
        assert_int_equal(limits_of(stream).read_bytes_per_second, 2 << 20);
        assert_int_equal(limits_of(stream).read_calls_per_second, 7);
        assert_int_equal(ls_stream_set_limits(stream, NULL), LS_OK);
        assert_int_equal(limits_of(stream).write_bytes_per_second, 1 << 20);
        assert_int_equal(limits_of(stream).read_calls_per_second, 5);
    }
    limits.read_bytes_per_second = 1023;
    assert_int_equal(ls_stream_set_limits(stream, &limits), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("read_bytes_per_second 1023") && says("1024"));
    limits.read_bytes_per_second = 0;
    limits.write_bytes_per_second = 1;
    assert_int_equal(ls_stream_set_limits(stream, &limits), LS_ERR_INVALID_ARGUMENT);
    limits.size = 0;
    assert_int_equal(ls_stream_set_limits(stream, &limits), LS_ERR_INVALID_ARGUMENT);
    newer.known.size = sizeof newer;
    assert_int_equal(ls_stream_set_limits(stream, &newer.known), LS_ERR_UNSUPPORTED);
    assert_int_equal(limits_of(stream).write_bytes_per_second, 1 << 20);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int64_t standing_time;

static int64_t tell_time(void *user)
{
    (void)user;
    return standing_time;
}

static uint32_t fill(ls_producer *producer)
{
    uint32_t count = 0;
    ls_status st;

    while ((st = ls_producer_put(producer, text("k"), text("d"), NULL, NULL)) == LS_OK)
        count++;
    assert_int_equal(st, LS_ERR_THROTTLED);
    return count;
}

static uint32_t read_on(ls_iterator *iterator)
{
    const ls_batch *batch;
    uint32_t count = 0;
    ls_status st;

    while ((st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && count < 100)
        count++;
    return count;
}

/* Open producers and iterators go by the new figures at their next calls, another handle's too. Method: a clock that
 * stands, so that what is let through is what the figures say. */
static void limits_change_under_producers_and_iterators(void **state)
{
    fixture *fx = *state;
    ls_stream_options create = LS_STREAM_OPTIONS_INIT;
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    ls_store *store, *other;
    ls_stream *stream, *seen;
    ls_producer *producer;
    ls_iterator *iterator;
    const char *path = in_memory ? "memory:" : temp_path(&fx->temp, "limits");
    lsi_env env;

    standing_time = INT64_C(1700000000000000);
    lsi_env_default(&env);
    env.clock = (lsi_clock){tell_time, tell_time, NULL, NULL};
    create.mode = LS_STREAM_PROVISIONED;
    create.write_records_per_second = 10;
    assert_int_equal(lsi_store_open_env(path, NULL, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "s", &create), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    if (in_memory)
        other = store;
    else
        assert_int_equal(lsi_store_open_env(temp_path(&fx->temp, "limits"), NULL, &env, &other), LS_OK);
    assert_int_equal(ls_stream_open(other, "s", &seen), LS_OK);
    assert_int_equal(ls_producer_open(seen, NULL, &producer), LS_OK);
    assert_int_equal(ls_iterator_open(seen, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(fill(producer), 10);
    assert_int_equal(read_on(iterator), 5);
    for (uint32_t rate = 20; rate > 0; rate = rate == 20 ? 5 : 0) { /* more, then less */
        standing_time += 60 * INT64_C(1000000);
        limits.write_records_per_second = rate;
        limits.read_calls_per_second = rate;
        assert_int_equal(ls_stream_set_limits(stream, &limits), LS_OK);
        assert_int_equal(fill(producer), rate);
        assert_int_equal(read_on(iterator), rate);
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(seen), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    if (other != store)
        assert_int_equal(ls_store_close(other), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* A producer that is open goes by the new limit at its next put; what was put before is read. */
static void the_size_of_records_changes_under_a_producer(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    static char data[3000];
    const ls_batch *batch;
    ls_producer *producer;
    ls_iterator *iterator;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 3000}, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 2000), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 2000}, NULL, NULL), LS_ERR_TOO_LARGE);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 1999}, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 3000), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 2999}, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 1023), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, (10u << 20) + 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(settings_of(stream).record_bytes_max, 3000);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 3);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_auto_scaling auto_scaling_of(ls_stream *stream)
{
    ls_auto_scaling found = LS_AUTO_SCALING_INIT;
    ls_stream_description *about;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_auto_scaling(about, &found), LS_OK);
    found.size--;
    assert_int_equal(ls_stream_description_auto_scaling(about, &found), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("size"));
    assert_int_equal(ls_stream_description_auto_scaling(about, NULL), LS_ERR_INVALID_ARGUMENT);
    ls_stream_description_free(about);
    assert_int_equal(ls_stream_description_auto_scaling(NULL, &found), LS_ERR_INVALID_ARGUMENT);
    return found;
}

/* What it does is in tests/invariants/test_scaling.c. It is off at first, and all it says is checked. */
static void automatic_scaling_is_set_with_its_defaults_and_turned_off(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_auto_scaling options = LS_AUTO_SCALING_INIT, found = auto_scaling_of(stream);

    assert_int_equal(found.enabled | (int32_t)found.hot_percent | (int32_t)found.shards_max, 0);
    options.hot_percent = 1; /* does not count: it is off */
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_OK);
    assert_int_equal(auto_scaling_of(stream).enabled, 0);
    options.enabled = 1;
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("hot_percent is 1"));
    options.hot_percent = 0;
    options.enabled = 2;
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("enabled is 2"));
    options.enabled = 1;
    options.cold_percent = 80;
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_ERR_INVALID_ARGUMENT);
    options.cold_percent = 0;
    assert_int_equal(auto_scaling_of(stream).enabled, 0); /* Nothing was changed. */
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_OK);
    found = auto_scaling_of(stream);
    assert_int_equal(found.enabled, 1);
    assert_int_equal(found.hot_percent, 80);
    assert_int_equal(found.hot_seconds, 60);
    assert_int_equal(found.cold_percent, 25);
    assert_int_equal(found.cold_seconds, 900);
    assert_int_equal(found.shards_min, 1);
    assert_int_equal(found.shards_max, 200);
    options = (ls_auto_scaling){sizeof options, 1, 150, 5, 40, 7, 300, 0};
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_OK);
    found = auto_scaling_of(stream);
    assert_int_equal(found.hot_percent, 150);
    assert_int_equal(found.hot_seconds, 5);
    assert_int_equal(found.cold_percent, 40);
    assert_int_equal(found.cold_seconds, 7);
    assert_int_equal(found.shards_min, 300);
    assert_int_equal(found.shards_max, 300); /* The default is not below the fewest. */
    assert_int_equal(ls_stream_set_auto_scaling(stream, NULL), LS_OK);
    assert_int_equal(auto_scaling_of(stream).enabled, 0);
    options.size = 8;
    assert_int_equal(ls_stream_set_auto_scaling(stream, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_auto_scaling(NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void creation_takes_a_cap_and_tags(void **state)
{
    static const ls_tag tags[] = {{"team", "a"}, {"cost", NULL}};
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream;

    options.retention_bytes = 1 << 20;
    options.tags = tags;
    options.tag_count = 2;
    assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    assert_int_equal(settings_of(stream).bytes, 1 << 20);
    assert_string_equal(tags_after(stream, NULL, 0), "cost= team=a");
    assert_int_equal(ls_stream_close(stream), LS_OK);

    const ls_tag bad = {"aws:x", ""};
    options.tags = &bad;
    options.tag_count = 1;
    assert_int_equal(ls_stream_create(fx->store, "t", &options), LS_ERR_INVALID_ARGUMENT);
    options.tags = NULL;
    assert_int_equal(ls_stream_create(fx->store, "t", &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_open(fx->store, "t", &stream), LS_ERR_NOT_FOUND);
}

/* ---- tags ---- */

static void tags_are_added_listed_and_removed(void **state)
{
    static const ls_tag first[] = {{"b", "2"}, {"a", "1"}}, second[] = {{"b", "3"}, {"c", NULL}};
    static const char *const keys[] = {"a", "nobody has it"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    assert_string_equal(tags_after(stream, NULL, 0), "");
    assert_int_equal(ls_stream_add_tags(stream, first, 2), LS_OK);
    assert_int_equal(ls_stream_add_tags(stream, second, 2), LS_OK);
    assert_string_equal(tags_after(stream, NULL, 0), "a=1 b=3 c=");
    assert_string_equal(tags_after(stream, "", 2), "a=1 b=3+");
    assert_string_equal(tags_after(stream, "b", 2), "c=");
    assert_string_equal(tags_after(stream, "aa", 1), "b=3+");
    assert_int_equal(ls_stream_remove_tags(stream, keys, 2), LS_OK);
    assert_string_equal(tags_after(stream, NULL, 0), "b=3 c=");
    assert_int_equal(ls_stream_add_tags(stream, NULL, 0), LS_OK);
    assert_int_equal(ls_stream_remove_tags(stream, NULL, 0), LS_OK);
    assert_string_equal(tags_after(stream, NULL, 0), "b=3 c=");
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void tags_keep_their_rules(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    static char keys[51][8];
    static ls_tag tags[201];
    const char *many[51];
    ls_tag_list *list = NULL;

    for (int i = 0; i < 201; i++) {
        (void)snprintf(keys[i % 51], sizeof keys[0], "k%d", i % 51);
        tags[i] = (ls_tag){keys[i % 51], "v"};
        many[i % 51] = keys[i % 51];
    }
    assert_int_equal(ls_stream_add_tags(stream, tags, 51), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("51") && says("50"));
    assert_string_equal(tags_after(stream, NULL, 0), "");
    assert_int_equal(ls_stream_add_tags(stream, tags, 50), LS_OK);
    assert_int_equal(ls_stream_add_tags(stream, tags, 201), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_remove_tags(stream, many, 51), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){"aws:a", "v"}, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){"", "v"}, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){NULL, "v"}, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){"a", "tab\t"}, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_tags(stream, NULL, 51, &list), LS_ERR_INVALID_ARGUMENT);
    assert_null(list);
    assert_int_equal(ls_stream_list_tags(stream, NULL, 50, &list), LS_OK);
    assert_int_equal(ls_tag_list_count(list), 50);
    assert_int_equal(ls_tag_list_has_more(list), 0);
    ls_tag_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- everybody ---- */

static void null_arguments_are_refused_by_name(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    const ls_tag tag = {"a", "b"};
    const char *key = "a";
    ls_tag_list *list;

    assert_int_equal(ls_stream_increase_retention(NULL, 24), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'stream'"));
    assert_int_equal(ls_stream_decrease_retention(NULL, 24), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_retention_bytes(NULL, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_mode(NULL, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_limits(NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_set_record_bytes_max(NULL, 2000), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(NULL, &tag, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_add_tags(stream, NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'tags'"));
    assert_int_equal(ls_stream_remove_tags(NULL, &key, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_remove_tags(stream, NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'keys'"));
    assert_int_equal(ls_stream_list_tags(NULL, NULL, 0, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_tags(stream, NULL, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_tag_list_count(NULL), 0);
    assert_int_equal(ls_tag_list_has_more(NULL), 0);
    assert_null(ls_tag_list_at(NULL, 0).key);
    ls_tag_list_free(NULL);
    assert_int_equal(ls_stream_description_retention_bytes(NULL), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* D6: what a change that returned said is there for the others, and after everybody was gone. */
static void changes_are_seen_by_others_and_kept(void **state)
{
    fixture *fx = *state;
    ls_stream *stream, *other_stream;
    ls_store *other;
    settings found;
    ls_auto_scaling automatic = LS_AUTO_SCALING_INIT;
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;

    limits.write_records_per_second = 123;
    automatic.enabled = 1;
    automatic.hot_seconds = 61;

    if (in_memory)
        return; /* It is its handle's own. */
    stream = make_stream(fx, "s", 1);
    assert_int_equal(ls_store_open(fx->location, NULL, &other), LS_OK);
    assert_int_equal(ls_stream_open(other, "s", &other_stream), LS_OK);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0) {
            assert_int_equal(ls_stream_increase_retention(stream, 100), LS_OK);
            assert_int_equal(ls_stream_set_retention_bytes(stream, 7 << 20), LS_OK);
            assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_OK);
            assert_int_equal(ls_stream_set_record_bytes_max(stream, 5000), LS_OK);
            assert_int_equal(ls_stream_set_limits(stream, &limits), LS_OK);
            assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){"a", "b"}, 1), LS_OK);
            assert_int_equal(ls_stream_set_auto_scaling(stream, &automatic), LS_OK);
        } else {
            assert_int_equal(ls_stream_close(stream), LS_OK);
            assert_int_equal(ls_stream_close(other_stream), LS_OK);
            assert_int_equal(ls_store_close(other), LS_OK);
            assert_int_equal(ls_store_close(fx->store), LS_OK);
            assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
            assert_int_equal(ls_stream_open(fx->store, "s", &other_stream), LS_OK);
        }
        found = settings_of(other_stream);
        assert_int_equal(found.hours, 100);
        assert_int_equal(found.bytes, 7 << 20);
        assert_int_equal(found.mode, LS_STREAM_PROVISIONED);
        assert_int_equal(found.record_bytes_max, 5000);
        assert_int_equal(limits_of(other_stream).write_records_per_second, 123);
        assert_string_equal(tags_after(other_stream, NULL, 0), "a=b");
        assert_int_equal(auto_scaling_of(other_stream).hot_seconds, 61);
    }
    assert_int_equal(ls_stream_close(other_stream), LS_OK);
}

static void a_deleted_stream_is_not_found(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    const ls_tag tag = {"a", "b"};
    const char *key = "a";
    ls_tag_list *list;

    assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
    assert_int_equal(ls_stream_increase_retention(stream, 24), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_decrease_retention(stream, 24), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_retention_bytes(stream, 0), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_limits(stream, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 2000), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_auto_scaling(stream, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_add_tags(stream, &tag, 1), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_remove_tags(stream, &key, 1), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_list_tags(stream, NULL, 0, &list), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void who_reads_only_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    const ls_tag tag = {"a", "b"};
    const char *key = "a";
    ls_stream *stream;
    ls_store *reader;

    if (in_memory)
        return; /* It cannot be opened again. */
    stream = make_stream(fx, "s", 1);
    assert_int_equal(ls_stream_add_tags(stream, &tag, 1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &options, &reader), LS_OK);
    assert_int_equal(ls_stream_open(reader, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_increase_retention(stream, 48), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_decrease_retention(stream, 24), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_retention_bytes(stream, 0), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_limits(stream, NULL), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 2000), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_auto_scaling(stream, NULL), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_add_tags(stream, &tag, 1), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_remove_tags(stream, &key, 1), LS_ERR_READ_ONLY);
    assert_string_equal(tags_after(stream, NULL, 0), "a=b");
    assert_int_equal(settings_of(stream).hours, 24);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
}

static bool is_refused_in_child(void *user)
{
    ls_stream *stream = user;
    const ls_tag tag = {"a", "b"};
    const char *key = "a";
    ls_tag_list *list;

    return ls_stream_increase_retention(stream, 48) == LS_ERR_STATE &&
        ls_stream_decrease_retention(stream, 24) == LS_ERR_STATE &&
        ls_stream_set_retention_bytes(stream, 0) == LS_ERR_STATE && ls_stream_set_mode(stream, 1) == LS_ERR_STATE &&
        ls_stream_set_record_bytes_max(stream, 2000) == LS_ERR_STATE &&
        ls_stream_set_limits(stream, NULL) == LS_ERR_STATE &&
        ls_stream_set_auto_scaling(stream, NULL) == LS_ERR_STATE &&
        ls_stream_add_tags(stream, &tag, 1) == LS_ERR_STATE && ls_stream_remove_tags(stream, &key, 1) == LS_ERR_STATE &&
        ls_stream_list_tags(stream, NULL, 0, &list) == LS_ERR_STATE;
}

static void a_fork_child_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);

    in_fork_child(is_refused_in_child, stream);
    assert_int_equal(settings_of(stream).hours, 24);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- crashes and failures ---- */

static void change_all(ls_stream *stream)
{
    /* Each may fail; what is there then is asked afterwards. */
    (void)ls_stream_increase_retention(stream, 100);
    (void)ls_stream_add_tags(stream, &(ls_tag){"a", "b"}, 1);
    (void)ls_stream_set_mode(stream, LS_STREAM_PROVISIONED);
}

static ls_store *open_sim(sim_files *sim)
{
    ls_store *store;
    lsi_env env;

    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    assert_int_equal(lsi_store_open_env("sim", NULL, &env, &store), LS_OK);
    return store;
}

/* How many of the changes are there: they are there in their order. */
static int changes_in(sim_files *sim)
{
    ls_store *store = open_sim(sim);
    ls_stream *stream;
    settings found;
    int count;

    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    found = settings_of(stream);
    count = (found.hours == 100) + (strcmp(tags_after(stream, NULL, 0), "a=b") == 0) +
            (found.mode == LS_STREAM_PROVISIONED);
    assert_true(found.hours == 100 || count == 0);
    assert_true(found.mode == LS_STREAM_ON_DEMAND || count == 3);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    return count;
}

/* D6 */
static void a_change_is_there_whole_or_not_at_all(void **state)
{
    sim_files *sim = sim_files_new();
    ls_store *store = open_sim(sim);
    size_t at[4];
    ls_stream *stream;

    (void)state;
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    at[0] = sim_log_count(sim);
    assert_int_equal(ls_stream_increase_retention(stream, 100), LS_OK);
    at[1] = sim_log_count(sim);
    assert_int_equal(ls_stream_add_tags(stream, &(ls_tag){"a", "b"}, 1), LS_OK);
    at[2] = sim_log_count(sim);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_OK);
    at[3] = sim_log_count(sim);
    for (size_t prefix = at[0]; prefix <= at[3]; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 4; seed++) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            int there = changes_in(crashed);

            for (int i = 1; i <= 3; i++)
                assert_true(prefix < at[i] || there >= i);
            sim_files_free(crashed);
        }
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    sim_files_free(sim);
}

/* A call that fails says what is true, and the next one succeeds. */
static void a_failing_call_leaves_the_settings_whole(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        sim_files *sim = sim_files_new();
        ls_store *store = open_sim(sim);
        ls_stream *stream;
        uint64_t met;
        ls_status st;

        assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
        assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
        sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = nth % 2 == 0 ? 5 : 28});
        st = ls_stream_increase_retention(stream, 100);
        met = sim_faults_met(sim);
        sim_faults_clear(sim);
        if (st != LS_OK && st != LS_ERR_IO)
            assert_int_equal(settings_of(stream).hours, 24);
        change_all(stream);
        assert_int_equal(settings_of(stream).hours, 100);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
        assert_int_equal(changes_in(sim), 3);
        sim_files_free(sim);
        if (met == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(retention_rises_and_falls_as_it_is_told),
        TEST(the_mode_is_switched_on_a_live_stream),
        TEST(limits_are_checked_and_kept_in_both_modes),
        TEST(limits_change_under_producers_and_iterators),
        TEST(the_size_of_records_changes_under_a_producer),
        TEST(automatic_scaling_is_set_with_its_defaults_and_turned_off),
        TEST(creation_takes_a_cap_and_tags),
        TEST(tags_are_added_listed_and_removed),
        TEST(tags_keep_their_rules),
        TEST(null_arguments_are_refused_by_name),
        TEST(changes_are_seen_by_others_and_kept),
        TEST(a_deleted_stream_is_not_found),
        TEST(who_reads_only_changes_nothing),
        TEST(a_fork_child_changes_nothing),
        TEST(a_change_is_there_whole_or_not_at_all),
        TEST(a_failing_call_leaves_the_settings_whole),
    };

    run_everywhere("settings and tags", tests);
}
