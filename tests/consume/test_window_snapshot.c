/* Snapshots of windows over event time: a crash anywhere changes no result, and what is no snapshot is refused. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "consume/window/window.h"
#include "support/sim_memory.h"

#define ELEMENTS 60u
#define RESULTS_MAX 400u
#define PARTS_MAX 400u
#define PART_BYTES 600u /* so that a save has several */

typedef struct kept_result {
    char key;
    int64_t start, end;
    double sum;
} kept_result;

static const lsi_windows_settings settings = {
    .kind = LSI_WINDOWS_SLIDING,
    .size_ms = 20,
    .step_ms = 10,
    .delay_ms = 5,
    .lateness_ms = 15,
    .idle_timeout_ms = -1,
    .notes_changes = true,
    .state_bytes_max = 1 << 20,
    .fold = {sizeof(lsi_tally), NULL, NULL, NULL, NULL}, /* lsi_tally_fold's, in settings_of() */
};

static lsi_windows_settings settings_of(lsi_windows_kind kind)
{
    lsi_windows_settings made = settings;

    made.kind = kind;
    made.gap_ms = 4;
    made.fold = lsi_tally_fold;
    return made;
}

/* The stream, of two shards: element i of both at once. */
static int64_t time_of(uint32_t input, uint64_t i)
{
    return (int64_t)(i * 3 + (i * 7 + input * 5) % 11);
}

/* Upserts by key, start and end, as a sink does. */
static kept_result sink_rows[RESULTS_MAX];
static uint32_t sink_count;

static void upsert(const lsi_windows_result *result)
{
    kept_result row = {*(const char *)result->key.data, result->start_ms, result->end_ms, lsi_tally_sum(result->sum)};

    for (uint32_t i = 0; i < sink_count; i++) {
        if (sink_rows[i].key == row.key && sink_rows[i].start == row.start && sink_rows[i].end == row.end) {
            sink_rows[i] = row;
            return;
        }
    }
    assert_true(sink_count < RESULTS_MAX);
    sink_rows[sink_count++] = row;
}

static int in_order(const void *a, const void *b)
{
    const kept_result *x = a, *y = b;

    if (x->key != y->key)
        return x->key - y->key;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* What is stored: the parts of a save with all keys, and of later ones with the changed ones. */
typedef struct stored {
    const lsi_memory *memory;
    void *parts[PARTS_MAX];
    size_t sizes[PARTS_MAX];
    uint32_t count;
} stored;

static void drop_stored(stored *store, uint32_t from)
{
    while (store->count > from)
        lsi_free(store->memory, store->parts[--store->count]);
}

static void save_to(stored *store, lsi_windows *windows, bool all)
{
    lsi_windows_part part = {all ? LSI_KEYS_ALL : LSI_KEYS_CHANGED, false, PART_BYTES, false, 0, 0, NULL};
    lsi_windows_part inputs = {LSI_KEYS_NONE, true, PART_BYTES, false, 0, 0, NULL};

    if (all)
        drop_stored(store, 0);
    while (!part.is_last) {
        assert_true(store->count + 1 < PARTS_MAX);
        assert_int_equal(lsi_windows_save(windows, &part, &store->parts[store->count], &store->sizes[store->count]),
                         LS_OK);
        assert_true(store->sizes[store->count++] <= PART_BYTES);
    }
    assert_int_equal(lsi_windows_save(windows, &inputs, &store->parts[store->count], &store->sizes[store->count]),
                     LS_OK);
    assert_true(inputs.is_last);
    store->count++;
    lsi_windows_saved(windows);
    assert_false(lsi_windows_have_changed(windows));
}

/* Reads both shards in batches; every result and every snapshot is a step, after the `crash_at`th of which the process
 * is gone and another begins with the last snapshot. False: there were not so many steps. */
static bool play(lsi_windows_kind kind, uint32_t crash_at)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    lsi_windows_settings own = settings_of(kind);
    lsi_windows *windows;
    stored store = {.memory = &table};
    uint64_t positions[2] = {0, 0};
    uint32_t steps = 0, saves = 0;
    bool has_crashed = false, is_finished = false;

    sink_count = 0;
begin:
    assert_int_equal(lsi_windows_open(&table, &own, &windows), LS_OK);
    memset(positions, 0, sizeof positions);
    if (store.count > 0) {
        lsi_windows_place place;

        for (uint32_t i = 0; i < store.count; i++)
            assert_int_equal(lsi_windows_restore(windows, store.parts[i], store.sizes[i]), LS_OK);
        assert_false(lsi_windows_have_changed(windows));
        for (size_t i = 0; lsi_windows_input_at(windows, i, &place); i++)
            positions[place.input] = place.position.seqno;
    } else {
        assert_int_equal(lsi_windows_input(windows, 0, NULL, 0), LS_OK);
        assert_int_equal(lsi_windows_input(windows, 1, NULL, 0), LS_OK);
    }
    while (!is_finished) {
        uint32_t input = positions[0] <= positions[1] ? 0 : 1;
        lsi_windows_result result;

        is_finished = positions[input] == ELEMENTS;
        for (uint32_t i = 0; i < 3 && !is_finished; i++) {
            char key = "abc"[positions[input] % 3];
            double number = (double)(1 + positions[input] + 1000 * input);
            lsi_element_fate fate;

            assert_int_equal(lsi_windows_add(windows, input, (ls_bytes){&key, 1}, time_of(input, positions[input]),
                                             &number, &fate), LS_OK);
            positions[input]++;
        }
        if (is_finished)
            lsi_windows_finish(windows);
        else
            lsi_windows_advance(windows, input, (lsi_point){positions[input], 0});
        while (lsi_windows_next(windows, &result)) {
            upsert(&result);
            if (++steps == crash_at)
                goto crash;
        }
        save_to(&store, windows, saves++ % 9 == 0);
        if (++steps == crash_at)
            goto crash;
        continue;
    crash:
        has_crashed = true;
        is_finished = false;
        lsi_windows_close(windows);
        goto begin;
    }
    lsi_windows_close(windows);
    drop_stored(&store, 0);
    assert_int_equal(memory.live, 0);
    qsort(sink_rows, sink_count, sizeof sink_rows[0], in_order);
    return has_crashed;
}

/* Test 6 of spec/flink-windows.md. */
static void a_crash_anywhere_changes_no_result(void **state)
{
    static const lsi_windows_kind kinds[] = {LSI_WINDOWS_TUMBLING, LSI_WINDOWS_SLIDING, LSI_WINDOWS_SESSION};
    static kept_result expected[RESULTS_MAX];

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        uint32_t expected_count, crash_at = 1;

        assert_false(play(kinds[k], 0));
        expected_count = sink_count;
        assert_true(expected_count > 20);
        memcpy(expected, sink_rows, sizeof expected);
        for (; play(kinds[k], crash_at); crash_at++) {
            assert_int_equal(sink_count, expected_count);
            for (uint32_t i = 0; i < sink_count; i++)
                assert_true(in_order(&sink_rows[i], &expected[i]) == 0 && sink_rows[i].sum == expected[i].sum);
        }
        assert_true(crash_at > expected_count);
    }
}

/* ---- bytes ---- */

static ls_status save(const lsi_windows *windows, void **bytes, size_t *size)
{
    lsi_windows_part part = {LSI_KEYS_ALL, true, SIZE_MAX, false, 0, 0, NULL};
    ls_status st = lsi_windows_save(windows, &part, bytes, size);

    assert_true(st != LS_OK || (part.is_last && lsi_windows_save_bytes(windows) == *size));
    return st;
}

static void *make_snapshot(size_t *size)
{
    lsi_windows_settings own = settings_of(LSI_WINDOWS_SLIDING);
    lsi_windows *windows;
    void *bytes;

    assert_int_equal(lsi_windows_open(&lsi_memory_libc, &own, &windows), LS_OK);
    for (uint32_t input = 3; input < 6; input++)
        assert_int_equal(lsi_windows_input(windows, input, NULL, 0), LS_OK);
    for (uint32_t i = 0; i < 12; i++) {
        lsi_element_fate fate;
        double one = 1;

        assert_int_equal(lsi_windows_add(windows, 3 + i % 3, (ls_bytes){"key1key22", 3 + i % 5}, i * 7, &one, &fate),
                         LS_OK);
        lsi_windows_advance(windows, 3 + i % 3, (lsi_point){i, 0});
    }
    lsi_windows_input_end(windows, 4);
    assert_int_equal(save(windows, &bytes, size), LS_OK);
    lsi_windows_close(windows);
    return bytes;
}

static ls_status restore(const lsi_windows_settings *own, const void *bytes, size_t size)
{
    lsi_windows_result result;
    lsi_windows *windows;
    ls_status st;

    assert_int_equal(lsi_windows_open(&lsi_memory_libc, own, &windows), LS_OK);
    st = lsi_windows_restore(windows, bytes, size);
    if (st == LS_OK) { /* Whatever it says, it can be worked with. */
        lsi_windows_finish(windows);
        while (lsi_windows_next(windows, &result))
            continue;
    }
    lsi_windows_close(windows);
    return st;
}

/* X1. Cut at every byte, with every byte changed: a status, no crash. */
static void other_bytes_are_no_snapshot(void **state)
{
    lsi_windows_settings own = settings_of(LSI_WINDOWS_SLIDING);
    size_t size;
    unsigned char *bytes = make_snapshot(&size), *longer = malloc(size + 1);
    uint32_t refused = 0;

    (void)state;
    assert_int_equal(restore(&own, bytes, size), LS_OK);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut + 1); /* of its own, so that ASan sees a byte too many */

        memcpy(part, bytes, cut);
        assert_int_equal(restore(&own, part, cut), LS_ERR_CORRUPT);
        free(part);
    }
    memcpy(longer, bytes, size);
    longer[size] = 0;
    assert_int_equal(restore(&own, longer, size + 1), LS_ERR_CORRUPT);
    free(longer);
    for (size_t at = 0; at < size; at++) {
        for (uint32_t k = 0; k < 3; k++) {
            static const unsigned char masks[] = {1, 0x80, 0xff};
            ls_status st;

            bytes[at] ^= masks[k];
            st = restore(&own, bytes, size);
            assert_true(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_STATE || st == LS_ERR_TOO_LARGE);
            refused += st != LS_OK;
            if (at < 48)
                assert_int_equal(st, at < 4 ? LS_ERR_CORRUPT : LS_ERR_STATE);
            bytes[at] ^= masks[k];
        }
    }
    assert_true(refused > 200);
    assert_int_equal(restore(&own, bytes, size), LS_OK);
    free(bytes);
}

static void a_snapshot_of_other_settings_is_refused(void **state)
{
    lsi_windows_settings own = settings_of(LSI_WINDOWS_SLIDING);
    size_t size;
    void *bytes = make_snapshot(&size);

    (void)state;
    own.kind = LSI_WINDOWS_TUMBLING;
    assert_int_equal(restore(&own, bytes, size), LS_ERR_STATE);
    own = settings_of(LSI_WINDOWS_SLIDING);
    own.step_ms = 20;
    assert_int_equal(restore(&own, bytes, size), LS_ERR_STATE);
    own = settings_of(LSI_WINDOWS_SLIDING);
    own.fold.bytes = 8;
    assert_int_equal(restore(&own, bytes, size), LS_ERR_STATE);
    own = settings_of(LSI_WINDOWS_SLIDING);
    own.delay_ms = own.lateness_ms = 1; /* These may change. */
    assert_int_equal(restore(&own, bytes, size), LS_OK);
    own.state_bytes_max = 500;
    assert_int_equal(restore(&own, bytes, size), LS_ERR_TOO_LARGE);
    free(bytes);
}

/* A key that goes is known as gone by the next part, one that comes back before is there; a key that is larger than a
 * part is refused. */
static void a_part_tells_of_keys_that_went(void **state)
{
    lsi_windows_settings own = settings_of(LSI_WINDOWS_TUMBLING);
    lsi_windows_part all = {LSI_KEYS_ALL, true, SIZE_MAX, false, 0, 0, NULL};
    lsi_windows_part changed = {LSI_KEYS_CHANGED, true, SIZE_MAX, false, 0, 0, NULL};
    lsi_windows_part small = {LSI_KEYS_ALL, false, 100, false, 0, 0, NULL};
    lsi_windows *windows, *again;
    lsi_windows_result result;
    lsi_element_fate fate;
    void *first, *second;
    size_t first_size, second_size;
    uint64_t one_window;
    double one = 1;

    (void)state;
    own.lateness_ms = own.delay_ms = 0;
    assert_int_equal(lsi_windows_open(&lsi_memory_libc, &own, &windows), LS_OK);
    assert_int_equal(lsi_windows_input(windows, 0, NULL, 0), LS_OK);
    assert_int_equal(lsi_windows_add(windows, 0, (ls_bytes){"a", 1}, 5, &one, &fate), LS_OK);
    one_window = lsi_windows_state_bytes(windows);
    assert_int_equal(lsi_windows_add(windows, 0, (ls_bytes){"b", 1}, 5, &one, &fate), LS_OK);
    assert_int_equal(lsi_windows_save(windows, &small, &first, &first_size), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_windows_save(windows, &all, &first, &first_size), LS_OK);
    lsi_windows_saved(windows);
    lsi_windows_advance(windows, 0, (lsi_point){1, 0});
    assert_int_equal(lsi_windows_add(windows, 0, (ls_bytes){"c", 1}, 50, &one, &fate), LS_OK);
    lsi_windows_advance(windows, 0, (lsi_point){2, 0}); /* a and b fire, and are gone */
    for (int i = 0; i < 2; i++)
        assert_true(lsi_windows_next(windows, &result));
    assert_false(lsi_windows_next(windows, &result));
    assert_int_equal(lsi_windows_state_bytes(windows), one_window);
    assert_int_equal(lsi_windows_add(windows, 0, (ls_bytes){"b", 1}, 60, &one, &fate), LS_OK);
    assert_int_equal(lsi_windows_state_bytes(windows), 2 * one_window);
    assert_int_equal(lsi_windows_save(windows, &changed, &second, &second_size), LS_OK);

    assert_int_equal(lsi_windows_open(&lsi_memory_libc, &own, &again), LS_OK);
    assert_int_equal(lsi_windows_restore(again, first, first_size), LS_OK);
    assert_int_equal(lsi_windows_restore(again, second, second_size), LS_OK);
    assert_int_equal(lsi_windows_state_bytes(again), 2 * one_window);
    assert_int_equal(lsi_windows_count(again), 2);
    lsi_windows_finish(again);
    assert_true(lsi_windows_next(again, &result));
    assert_memory_equal(result.key.data, "c", 1);
    assert_true(lsi_windows_next(again, &result));
    assert_memory_equal(result.key.data, "b", 1);
    assert_int_equal(result.count, 1);
    assert_false(lsi_windows_next(again, &result));
    lsi_windows_close(again);
    lsi_windows_close(windows);
    lsi_free(&lsi_memory_libc, first);
    lsi_free(&lsi_memory_libc, second);
}

static void every_allocation_may_fail(void **state)
{
    lsi_windows_settings own = settings_of(LSI_WINDOWS_SLIDING);
    size_t size;
    void *bytes = make_snapshot(&size);
    bool failed = true;

    (void)state;
    for (uint64_t nth = 1; failed; nth++) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        lsi_windows *windows = NULL;
        void *again = NULL;
        size_t again_size = 0;
        ls_status st;

        sim_memory_fail(&memory, nth, false);
        st = lsi_windows_open(&table, &own, &windows);
        if (st == LS_OK)
            st = lsi_windows_restore(windows, bytes, size);
        if (st == LS_OK)
            st = save(windows, &again, &again_size);
        failed = memory.failed > 0;
        assert_int_equal(st, failed ? LS_ERR_NO_MEMORY : LS_OK);
        if (!failed)
            assert_int_equal(again_size, size);
        lsi_free(&table, again);
        lsi_windows_close(windows);
        assert_int_equal(memory.live, 0);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_anywhere_changes_no_result),
        cmocka_unit_test(other_bytes_are_no_snapshot),
        cmocka_unit_test(a_snapshot_of_other_settings_is_refused),
        cmocka_unit_test(a_part_tells_of_keys_that_went),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("snapshots of windows over event time", tests, NULL, NULL);
}
