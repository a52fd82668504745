/* Windows over event time against another reading of the same rules: random settings, elements, inputs that are silent,
 * end and continue, and processes that are replaced in the middle by what their snapshot says; equal results, in order.
 *
 * The other reading keeps all open windows in one flat list. It finds the windows of an element by trying every start
 * there may be, sessions by joining until nothing changes, and what fires by looking at all and sorting. */
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

#include "consume/window/window.h"
#include "support/sim_memory.h"

#define INPUTS 4u
#define OPEN_MAX 4096u

static uint64_t random_state, seed_of_run;

static uint32_t chance(uint32_t count)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % count);
}

static void violated(const char *what)
{
    fail_msg("violation: seed %" PRIu64 ": %s", seed_of_run, what);
}

#define HOLD(condition) ((condition) ? (void)0 : violated(#condition))

/* ---- the other reading ---- */

typedef struct open_one {
    char key;
    int64_t start, end;
    uint64_t count, sum;
    bool has_fired, again;
} open_one;

typedef struct source {
    enum { NONE, ACTIVE, IDLE, ENDED } state;
    int64_t watermark, greatest, silent_since;
    bool is_silent;
} source;

static struct {
    lsi_windows_settings settings;
    open_one open[OPEN_MAX];
    uint32_t open_count;
    source sources[INPUTS];
    int64_t watermark;
    uint64_t late, nowhere, added;
} naive;

static bool is_passed(int64_t time)
{
    return naive.watermark != INT64_MIN && naive.watermark >= time;
}

static int64_t modulo(int64_t n, int64_t by)
{
    return ((n % by) + by) % by;
}

static open_one *naive_put(char key, int64_t start, int64_t end)
{
    for (uint32_t i = 0; i < naive.open_count; i++)
        if (naive.open[i].key == key && naive.open[i].start == start && naive.open[i].end == end)
            return &naive.open[i];
    assert_true(naive.open_count < OPEN_MAX);
    naive.open[naive.open_count] = (open_one){.key = key, .start = start, .end = end};
    return &naive.open[naive.open_count++];
}

static void naive_count(open_one *one, uint64_t number)
{
    one->count++;
    one->sum += number;
    one->again = is_passed(one->end - 1);
    if (!one->again)
        one->has_fired = false;
}

static lsi_element_fate naive_add_session(char key, int64_t time, uint64_t number)
{
    open_one own = {.key = key, .start = time, .end = time + naive.settings.gap_ms};
    bool has_joined = false;

    for (uint32_t i = 0; i < naive.open_count; i++) {
        open_one other = naive.open[i];

        if (other.key != key || other.start > own.end || other.end < own.start)
            continue;
        own.start = own.start < other.start ? own.start : other.start;
        own.end = own.end > other.end ? own.end : other.end;
        own.count += other.count;
        own.sum += other.sum;
        own.has_fired = own.has_fired || other.has_fired;
        naive.open[i] = naive.open[--naive.open_count];
        has_joined = true;
        i = (uint32_t)-1; /* from the start: the whole may meet more */
    }
    if (!has_joined && is_passed(own.end - 1 + naive.settings.lateness_ms))
        return LSI_ELEMENT_LATE;
    assert_true(naive.open_count < OPEN_MAX);
    naive.open[naive.open_count++] = own;
    naive_count(&naive.open[naive.open_count - 1], number);
    return LSI_ELEMENT_ADDED;
}

static lsi_element_fate naive_add(char key, int64_t time, uint64_t number)
{
    const lsi_windows_settings *s = &naive.settings;
    int64_t unit = s->kind == LSI_WINDOWS_SLIDING ? s->step_ms : s->size_ms;
    lsi_element_fate fate = LSI_ELEMENT_NOWHERE;

    if (s->kind == LSI_WINDOWS_SESSION)
        return naive_add_session(key, time, number);
    for (int64_t start = time - s->size_ms + 1; start <= time; start++) {
        int64_t end = start + (s->kind == LSI_WINDOWS_CUMULATING ? s->step_ms : s->size_ms);

        if (modulo(start - s->offset_ms, unit) != 0)
            continue;
        for (; end <= start + s->size_ms; end += s->kind == LSI_WINDOWS_CUMULATING ? s->step_ms : s->size_ms) {
            if (end <= time)
                continue;
            if (fate == LSI_ELEMENT_NOWHERE)
                fate = LSI_ELEMENT_LATE;
            if (is_passed(end - 1 + s->lateness_ms))
                continue;
            naive_count(naive_put(key, start, end), number);
            fate = LSI_ELEMENT_ADDED;
        }
    }
    return fate;
}

static void naive_reckon(void)
{
    int64_t least = INT64_MAX;

    for (uint32_t i = 0; i < INPUTS; i++)
        if (naive.sources[i].state == ACTIVE && naive.sources[i].watermark < least)
            least = naive.sources[i].watermark;
    if (least != INT64_MAX && least > naive.watermark)
        naive.watermark = least;
}

static int in_order(const void *a, const void *b)
{
    const open_one *x = a, *y = b;

    if (x->again != y->again)
        return x->again ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->key - y->key;
}

/* ---- both ---- */

static struct {
    sim_memory memory;
    lsi_windows *windows;
    int64_t mono_ms;
    uint64_t results, late_results, replaced;
} real;

/* What is due, of both, and what is not kept any more. */
static void compare_results(void)
{
    static open_one due[OPEN_MAX];
    lsi_windows_result result;
    uint32_t count = 0;

    for (uint32_t i = 0; i < naive.open_count; i++)
        if (naive.open[i].again || (!naive.open[i].has_fired && is_passed(naive.open[i].end - 1)))
            due[count++] = naive.open[i];
    qsort(due, count, sizeof due[0], in_order);
    for (uint32_t i = 0; i < count; i++) {
        const lsi_tally *tally;

        HOLD(lsi_windows_next(real.windows, &result));
        tally = result.sum;
        HOLD(result.key.size == 1 && *(const char *)result.key.data == due[i].key);
        HOLD(result.start_ms == due[i].start && result.end_ms == due[i].end);
        HOLD(result.count == due[i].count && tally->count == due[i].count);
        HOLD(lsi_tally_sum(tally) == (double)due[i].sum);
        HOLD(result.pane == (due[i].again ? LSI_PANE_LATE : LSI_PANE_ON_TIME));
        real.results++;
        real.late_results += due[i].again;
    }
    HOLD(!lsi_windows_next(real.windows, &result));
    for (uint32_t i = 0; i < naive.open_count; i++) {
        open_one *one = &naive.open[i];

        if (one->again || is_passed(one->end - 1)) {
            one->has_fired = true;
            one->again = false;
        }
        if (is_passed(one->end - 1 + naive.settings.lateness_ms))
            naive.open[i--] = naive.open[--naive.open_count];
    }
    HOLD(lsi_windows_watermark(real.windows) == naive.watermark);
    HOLD((lsi_windows_state_bytes(real.windows) == 0) == (naive.open_count == 0));
}

static void open_windows(void)
{
    lsi_memory memory = sim_memory_table(&real.memory);

    assert_int_equal(lsi_windows_open(&memory, &naive.settings, &real.windows), LS_OK);
}

#define PARTS_MAX 64u
static struct {
    void *bytes[PARTS_MAX];
    size_t sizes[PARTS_MAX];
    uint32_t count;
} saved;

static void forget_saved(void)
{
    lsi_memory memory = sim_memory_table(&real.memory);

    while (saved.count > 0)
        lsi_free(&memory, saved.bytes[--saved.count]);
}

/* What has changed since the last time, or all. */
static void save(void)
{
    lsi_windows_part part = {LSI_KEYS_CHANGED, true, SIZE_MAX, false, 0, 0, NULL};

    if (saved.count == 0 || saved.count == PARTS_MAX || chance(8) == 0) {
        forget_saved();
        part.keys = LSI_KEYS_ALL;
    }
    assert_int_equal(lsi_windows_save(real.windows, &part, &saved.bytes[saved.count], &saved.sizes[saved.count]),
                     LS_OK);
    HOLD(part.keys != LSI_KEYS_ALL || lsi_windows_save_bytes(real.windows) == saved.sizes[saved.count]);
    saved.count++;
    lsi_windows_saved(real.windows);
}

/* The process ends, and another goes on from the snapshot, of one or many parts. */
static void replace(void)
{
    save();
    if (chance(3) == 0)
        return;
    lsi_windows_close(real.windows);
    open_windows();
    for (uint32_t i = 0; i < saved.count; i++)
        assert_int_equal(lsi_windows_restore(real.windows, saved.bytes[i], saved.sizes[i]), LS_OK);
    for (uint32_t i = 0; i < INPUTS; i++)
        naive.sources[i].is_silent = false; /* Of silence nothing is kept: it begins anew. */
    real.replaced++;
}

static void make_settings(void)
{
    lsi_windows_settings *s = &naive.settings;

    *s = (lsi_windows_settings){
        .kind = (lsi_windows_kind)chance(4),
        .size_ms = 1 + chance(12),
        .step_ms = 1 + chance(12),
        .gap_ms = 1 + chance(6),
        .delay_ms = chance(3) == 0 ? 0 : chance(10),
        .lateness_ms = chance(2) == 0 ? 0 : chance(15),
        .idle_timeout_ms = (int64_t)chance(6) - 1,
        .begins_anew = chance(2) == 0,
        .notes_changes = true,
        .state_bytes_max = UINT64_MAX,
        .fold = lsi_tally_fold,
    };
    if (s->kind == LSI_WINDOWS_CUMULATING)
        s->size_ms = s->step_ms * (1 + chance(5));
    if (s->kind != LSI_WINDOWS_SESSION)
        s->offset_ms = (int64_t)chance((uint32_t)(s->kind == LSI_WINDOWS_SLIDING ? s->step_ms : s->size_ms)) *
                       (chance(2) == 0 ? 1 : -1);
    assert_int_equal(lsi_windows_check(s), LS_OK);
}

static void add_input(uint32_t input)
{
    uint32_t parents[2] = {chance(INPUTS), chance(INPUTS)}, count = chance(3);
    int64_t least = INT64_MAX;
    bool has_parent = false;

    for (uint32_t i = 0; i < count; i++) {
        if (naive.sources[parents[i]].state == NONE || naive.settings.begins_anew)
            continue;
        has_parent = true;
        if (naive.sources[parents[i]].watermark < least)
            least = naive.sources[parents[i]].watermark;
    }
    assert_int_equal(lsi_windows_input(real.windows, input, parents, count), LS_OK);
    naive.sources[input] =
        (source){.state = ACTIVE, .watermark = has_parent ? least : INT64_MIN, .greatest = INT64_MIN};
    naive_reckon();
}

static void add_batch(uint32_t input, int64_t *around, uint64_t position)
{
    source *from = &naive.sources[input];
    lsi_windows_place place;
    bool is_found = false;

    for (uint32_t count = 1 + chance(4); count > 0; count--) {
        char key = (char)('a' + chance(3));
        int64_t time = *around + (int64_t)chance(14) - 9;
        double number = chance(100);
        lsi_element_fate is, should = naive_add(key, time, (uint64_t)number);

        from->state = ACTIVE;
        from->is_silent = false;
        from->greatest = from->greatest > time ? from->greatest : time;
        assert_int_equal(lsi_windows_add(real.windows, input, (ls_bytes){&key, 1}, time, &number, &is), LS_OK);
        HOLD(is == should);
        naive.late += should == LSI_ELEMENT_LATE;
        naive.nowhere += should == LSI_ELEMENT_NOWHERE;
        naive.added += should == LSI_ELEMENT_ADDED;
        if (chance(3) == 0)
            compare_results(); /* Updates of windows that have fired come at once. */
    }
    *around += chance(4);
    lsi_windows_advance(real.windows, input, (lsi_point){position, 0});
    if (from->greatest - naive.settings.delay_ms > from->watermark)
        from->watermark = from->greatest - naive.settings.delay_ms;
    naive_reckon();
    for (size_t i = 0; lsi_windows_input_at(real.windows, i, &place); i++)
        is_found = is_found || (place.input == input && place.position.seqno == position &&
                                place.watermark_ms == from->watermark && !place.is_idle && !place.has_ended);
    HOLD(is_found);
}

static void step(int64_t *around, uint64_t position)
{
    uint32_t input = chance(INPUTS), dice = chance(20);
    source *one = &naive.sources[input];

    if (one->state == NONE) {
        if (chance(6) == 0)
            add_input(input);
    } else if (one->state == ENDED) {
        return;
    } else if (dice < 14) {
        add_batch(input, around, position);
    } else if (dice < 19) {
        real.mono_ms += chance(3);
        lsi_windows_input_tip(real.windows, input, real.mono_ms);
        if (one->state == ACTIVE && naive.settings.idle_timeout_ms >= 0) {
            one->silent_since = one->is_silent ? one->silent_since : real.mono_ms;
            one->is_silent = true;
            if (real.mono_ms - one->silent_since >= naive.settings.idle_timeout_ms)
                one->state = IDLE;
            naive_reckon();
        }
    } else {
        lsi_windows_input_end(real.windows, input);
        one->state = ENDED;
        naive_reckon();
    }
    compare_results();
}

static void run_one(uint64_t seed)
{
    lsi_windows_counts counts;
    int64_t around;

    random_state = seed_of_run = seed;
    around = (int64_t)chance(40) - 30;
    memset(&naive, 0, sizeof naive);
    naive.watermark = INT64_MIN;
    real.memory = (sim_memory)SIM_MEMORY_INIT;
    real.mono_ms = 0;
    make_settings();
    open_windows();
    add_input(chance(INPUTS));
    for (uint64_t i = 1; i < 120; i++) {
        step(&around, i);
        if (chance(25) == 0)
            replace();
    }
    naive.watermark = INT64_MAX;
    lsi_windows_finish(real.windows);
    compare_results();
    HOLD(naive.open_count == 0);
    lsi_windows_counts_get(real.windows, &counts);
    HOLD(counts.added <= naive.added && counts.late <= naive.late); /* those of this process */
    forget_saved();
    lsi_windows_close(real.windows);
    HOLD(real.memory.live == 0);
}

static void two_readings_agree(void **state)
{
    const char *given = getenv("LIBSTREAM_TEST_SEED");
    uint64_t from = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t count = given != NULL ? 1 : getenv("LIBSTREAM_TEST_LONG") != NULL ? 100000 : 4000;

    (void)state;
    for (uint64_t seed = from; seed < from + count; seed++)
        run_one(seed);
    printf("seed=%" PRIu64 " cases=%" PRIu64 " results=%" PRIu64 " updates=%" PRIu64 " replaced=%" PRIu64 "\n", from,
           count, real.results, real.late_results, real.replaced);
    if (given == NULL) {
        assert_true(real.results > 10 * count);
        assert_true(real.late_results > count);
        assert_true(real.replaced > count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_readings_agree)};

    return cmocka_run_group_tests_name("windows over event time in random runs", tests, NULL, NULL);
}
