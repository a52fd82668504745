/* Golden stores: what earlier builds wrote is read by this one, record by record, as it was written down then.
 *
 * golden/v0 is of format 0, which may change until release 1.0. When it does, on purpose, the store is made again:
 *     rm -r tests/format/golden/v0* && build/tests/format/make_golden tests/format/golden/v0
 * From 1.0 on a golden store is never made again: a failing test here means that a release cannot read its users'
 * data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/api.h"
#include "format/golden.h"
#include "support/image.h"
#include "support/still_env.h"
#include "support/temp.h"

#include <libstream/unstable/inspect.h>

#define GOLDEN_V0 GOLDEN_DIR "/v0"

typedef struct fixture {
    temp_dir temp;
    char path[TEMP_PATH_BYTES * 2];
    image before;
} fixture;

static int setup(void **state)
{
    static fixture fx;

    temp_make(&fx.temp);
    (void)snprintf(fx.path, sizeof fx.path, "%s", temp_path(&fx.temp, "store")); /* of the same size */
    fx.before = image_take(&lsi_files_system, GOLDEN_V0);
    assert_int_equal(image_put(&fx.before, &lsi_files_system, fx.path), 0);
    *state = &fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    image_free(&fx->before);
    temp_remove(&fx->temp);
    return 0;
}

typedef struct comparison {
    FILE *list;
    unsigned count;
} comparison;

static void compare_line(void *user, const char *line)
{
    comparison *with = user;
    char expected[GOLDEN_LINE_BYTES];

    assert_non_null(fgets(expected, sizeof expected, with->list));
    assert_string_equal(line, expected);
    with->count++;
}

/* Every line of the list is met, in order, and no other. */
static unsigned compare_all(ls_store *store)
{
    comparison with = {.list = fopen(GOLDEN_V0 ".records", "r")};
    char more[GOLDEN_LINE_BYTES];

    assert_non_null(with.list);
    assert_int_equal(golden_each(store, compare_line, &with), LS_OK);
    assert_null(fgets(more, sizeof more, with.list));
    (void)fclose(with.list); /* was only read */
    return with.count;
}

/* A few minutes after it was made: today all of its records are past their age. */
static ls_store *open_store(const char *path, uint32_t flags)
{
    static still_env still;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;

    still_env_make(&still, &lsi_files_system, 1);
    still.now_us = INT64_C(1700000200000000);
    options.flags = flags | LS_STORE_NO_CREATE;
    options.key_callback = golden_key;
    assert_int_equal(lsi_store_open_env(path, &options, &still.env, &store), LS_OK);
    return store;
}

static void format_0_is_read_without_changing_a_byte(void **state)
{
    fixture *fx = *state;
    ls_store *store = open_store(fx->path, LS_STORE_READ_ONLY);
    image after;

    assert_true(compare_all(store) > 300);
    assert_int_equal(ls_store_close(store), LS_OK);
    after = image_take(&lsi_files_system, fx->path);
    assert_int_equal(after.count, fx->before.count);
    for (size_t i = 0; i < after.count; i++) {
        assert_string_equal(after.files[i].name, fx->before.files[i].name);
        assert_int_equal(after.files[i].size, fx->before.files[i].size);
        assert_memory_equal(after.files[i].bytes, fx->before.files[i].bytes, after.files[i].size);
    }
    image_free(&after);
}

static void consumers_of_format_0_are_there(void **state)
{
    static const char *const names[] = {"alerts-of.today_1", "reports"};
    static const uint64_t ids[] = {3, 1};
    fixture *fx = *state;
    ls_store *store = open_store(fx->path, LS_STORE_READ_ONLY);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_open(store, "beta", &stream), LS_OK);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(ls_consumer_list_at(list, i, &info), LS_OK);
        assert_string_equal(info.name, names[i]);
        assert_int_equal(info.id, ids[i]);
        assert_int_equal(info.status, LS_CONSUMER_ACTIVE);
    }
    ls_consumer_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* Twice: the first opening finds where the logs end, the second one what that left. */
static void format_0_is_read_by_writers_too(void **state)
{
    fixture *fx = *state;

    for (int pass = 0; pass < 2; pass++) {
        ls_store *store = open_store(fx->path, 0);

        assert_true(compare_all(store) > 300);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
}

static void format_0_takes_new_records_behind_the_old_ones(void **state)
{
    fixture *fx = *state;
    ls_store *store = open_store(fx->path, 0);
    ls_position last = {LS_AT_TIMESTAMP, 0, 0, INT64_C(1700000100000000)}; /* after all of them */
    const ls_batch *batch;
    ls_iterator *iterator;
    ls_producer *producer;
    ls_stream *stream;
    ls_record_id id;

    assert_int_equal(ls_stream_open(store, "beta", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, (ls_bytes){"new", 3}, (ls_bytes){"data", 4}, NULL, &id), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, &last, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_batch_at(batch, 0)->seqno, id.seqno);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void format_0_verifies_without_a_finding_of_damage(void **state)
{
    fixture *fx = *state;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;

    assert_int_equal(ls_inspect_verify(fx->path, NULL, NULL, &summary, NULL), LS_OK);
    assert_int_equal(summary.streams, 4);
    assert_int_equal(summary.shards, 8);
    assert_true(summary.segments >= 4); /* one shard rolled */
    assert_true(summary.records > 300);
    assert_int_equal(summary.damages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(format_0_is_read_without_changing_a_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(consumers_of_format_0_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(format_0_is_read_by_writers_too, setup, teardown),
        cmocka_unit_test_setup_teardown(format_0_takes_new_records_behind_the_old_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(format_0_verifies_without_a_finding_of_damage, setup, teardown),
    };

    return cmocka_run_group_tests_name("golden stores", tests, NULL, NULL);
}
