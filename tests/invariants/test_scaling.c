/* Automatic scaling of a store on disk (ls_stream_set_auto_scaling): hot shards are split and cold ones merged after
 * the stated times and not before, once for all who do the upkeep, by short-lived processes too, and only where it is
 * on. */
#include "invariants/clocked.h"

#include "storage/storage.h"

/* "0 1c 2": the shards that are listed, closed ones with a c. */
static const char *shards_of(ls_stream *stream)
{
    static char line[400];
    ls_stream_description *about = NULL;
    size_t size = 0;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    line[0] = '\0';
    for (uint32_t i = 0; i < ls_stream_description_shard_count(about); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        assert_int_equal(ls_stream_description_shard(about, i, &info), LS_OK);
        size += (size_t)snprintf(line + size, sizeof line - size, "%s%u%s", i > 0 ? " " : "", info.shard,
                                 info.is_open ? "" : "c");
    }
    ls_stream_description_free(about);
    return line;
}

/* A stream whose shards take 5 kB a second if it were provisioned. */
static handles open_small(const fixture *fx, uint32_t shards, ls_stream_mode mode)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_status st;
    handles of;

    memset(&of, 0, sizeof of);
    options.shard_count = shards;
    options.mode = mode;
    options.write_bytes_per_second = 5000;
    assert_int_equal(open_store(fx->path, 0, NULL, &of.store), LS_OK);
    st = ls_stream_create(of.store, STREAM, &options);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    return of;
}

static void turn_on(const handles *of)
{
    ls_auto_scaling options = LS_AUTO_SCALING_INIT;

    options.enabled = 1;
    assert_int_equal(ls_stream_set_auto_scaling(of->stream, &options), LS_OK);
}

/* So many times 10 seconds, in which the shard with the lowest keys takes `percent` of its limit by one put: at most
 * 120. */
static void load_for(const handles *of, int tens, unsigned percent)
{
    while (tens-- > 0) {
        pass(10 * SECOND);
        if (percent > 0)
            assert_int_equal(put_number(of->producer, 1, 0, percent * 500), LS_OK);
        else
            assert_int_equal(ls_store_maintain(of->store, -1), LS_OK);
    }
}

static void a_hot_shard_is_split_after_60_seconds_by_who_puts(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_ON_DEMAND);

    turn_on(&of);
    assert_int_equal(put_number(of.producer, 1, 0, 100), LS_OK);
    load_for(&of, 5, 90);
    assert_string_equal(shards_of(of.stream), "0 1");
    pass(9 * SECOND);
    assert_int_equal(put_number(of.producer, 1, 0, 25000), LS_OK);
    assert_string_equal(shards_of(of.stream), "0 1");
    pass(SECOND);
    assert_int_equal(put_number(of.producer, 1, 0, 25000), LS_OK);
    assert_string_equal(shards_of(of.stream), "0c 1 2 3");
    load_for(&of, 6, 90); /* The child that has the keys, which was there when the split was looked back at. */
    assert_string_equal(shards_of(of.stream), "0c 1 2 3");
    load_for(&of, 2, 90);
    assert_string_equal(shards_of(of.stream), "0c 1 2c 3 4 5");
    assert_int_equal(handles_close(&of), LS_OK);
}

static void what_is_below_the_threshold_is_left_alone(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_ON_DEMAND);

    turn_on(&of);
    load_for(&of, 200, 50);
    assert_string_equal(shards_of(of.stream), "0 1");
    assert_int_equal(handles_close(&of), LS_OK);
}

static void cold_neighbours_are_merged_after_15_minutes(void **state)
{
    handles of = open_small(*state, 3, LS_STREAM_ON_DEMAND);

    turn_on(&of);
    assert_int_equal(put_number(of.producer, 1, 0, 100), LS_OK);
    load_for(&of, 89, 10);
    assert_string_equal(shards_of(of.stream), "0 1 2");
    load_for(&of, 1, 10);
    assert_string_equal(shards_of(of.stream), "0 1c 2c 3");
    load_for(&of, 90, 10); /* The child is first looked at after 10 s. */
    assert_string_equal(shards_of(of.stream), "0 1c 2c 3");
    load_for(&of, 1, 10);
    assert_string_equal(shards_of(of.stream), "0c 1c 2c 3c 4");
    load_for(&of, 300, 10);
    assert_string_equal(shards_of(of.stream), "0c 1c 2c 3c 4");
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Nobody writes at all, and nobody ever touched the shards: by ls_store_maintain alone. */
static void idle_shards_are_merged_too(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_ON_DEMAND);

    turn_on(&of);
    load_for(&of, 80, 0);
    assert_string_equal(shards_of(of.stream), "0 1");
    load_for(&of, 15, 0);
    assert_string_equal(shards_of(of.stream), "0c 1c 2");
    assert_int_equal(handles_close(&of), LS_OK);
}

static void the_fewest_and_the_most_are_kept(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_ON_DEMAND);
    ls_auto_scaling options = LS_AUTO_SCALING_INIT;

    options.enabled = 1;
    options.shards_min = 2;
    options.shards_max = 3;
    assert_int_equal(ls_stream_set_auto_scaling(of.stream, &options), LS_OK);
    load_for(&of, 120, 0);
    assert_string_equal(shards_of(of.stream), "0 1");
    load_for(&of, 60, 110);
    assert_string_equal(shards_of(of.stream), "0c 1 2 3");
    assert_int_equal(handles_close(&of), LS_OK);
}

static void nothing_happens_when_it_is_off(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_ON_DEMAND);

    load_for(&of, 20, 110);
    load_for(&of, 120, 0);
    turn_on(&of);
    load_for(&of, 4, 110);
    assert_int_equal(ls_stream_set_auto_scaling(of.stream, NULL), LS_OK);
    load_for(&of, 20, 110);
    assert_string_equal(shards_of(of.stream), "0 1");
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The setting is kept, and counts once the stream is on demand. */
static void nothing_happens_in_provisioned_mode(void **state)
{
    handles of = open_small(*state, 2, LS_STREAM_PROVISIONED);
    ls_auto_scaling found = LS_AUTO_SCALING_INIT;
    ls_stream_description *about;

    turn_on(&of);
    load_for(&of, 20, 95);
    load_for(&of, 120, 0);
    assert_string_equal(shards_of(of.stream), "0 1");
    assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_auto_scaling(about, &found), LS_OK);
    ls_stream_description_free(about);
    assert_int_equal(found.enabled, 1);
    assert_int_equal(ls_stream_set_mode(of.stream, LS_STREAM_ON_DEMAND), LS_OK);
    load_for(&of, 8, 95);
    assert_string_equal(shards_of(of.stream), "0c 1 2 3");
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- several who do the upkeep ---- */

/* Both maintain at the same time, and put a part each for the next look to see. */
static void put_together(fixture *fx)
{
    handles of = open_small(fx, 2, LS_STREAM_ON_DEMAND);

    for (uint32_t stage = 1; stage <= 14; stage++) {
        atomic_fetch_add(&fx->share->ready, 1);
        await(&fx->share->stage, stage);
        child_check(ls_store_maintain(of.store, -1) == LS_OK);
        child_check(put_number(of.producer, stage, 0, 22500) == LS_OK);
    }
    atomic_fetch_add(&fx->share->ready, 1);
    child_check(handles_close(&of) == LS_OK);
}

static void two_processes_split_once(void **state)
{
    fixture *fx = *state;
    handles of = open_small(fx, 2, LS_STREAM_ON_DEMAND);
    pid_t children[2];

    turn_on(&of);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    for (int i = 0; i < 2; i++)
        children[i] = child_start(put_together, fx);
    for (uint32_t stage = 1; stage <= 14; stage++) {
        await(&fx->share->ready, 2 * stage);
        assert_string_equal(shards_of(of.stream), stage < 8 ? "0 1" : "0c 1 2 3"); /* after the stage before */
        pass(10 * SECOND);
        atomic_store(&fx->share->stage, stage);
    }
    await(&fx->share->ready, 2 * 15);
    for (int i = 0; i < 2; i++)
        child_ends_well(children[i]);
    assert_string_equal(shards_of(of.stream), "0c 1 2c 3 4 5");
    assert_int_equal(handles_close(&of), LS_OK);
}

/* What is remembered is in the store: each process opens it, puts once, and goes. */
static void processes_of_one_put_each_make_a_shard_hot(void **state)
{
    fixture *fx = *state;
    handles of = open_small(fx, 2, LS_STREAM_ON_DEMAND);

    turn_on(&of);
    assert_int_equal(put_number(of.producer, 1, 0, 100), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    for (int i = 1; i <= 8; i++) {
        pass(10 * SECOND);
        of = open_small(fx, 2, LS_STREAM_ON_DEMAND); /* It looks at what the one before put. */
        assert_int_equal(put_number(of.producer, 1, 0, 45000), LS_OK);
        assert_string_equal(shards_of(of.stream), i < 7 ? "0 1" : "0c 1 2 3");
        assert_int_equal(handles_close(&of), LS_OK);
    }
}

/* ---- failing ---- */

static char lines[4000];

static void keep_line(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level <= LS_LOG_INFO && (strstr(line, "hot") != NULL || strstr(line, "automatically") != NULL))
        (void)snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%d %s\n", level, line);
}

/* The puts that brought it about succeed, and the last error is theirs. */
static void one_that_cannot_be_done_is_logged_and_tried_again_after_as_long(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of = open_small(fx, 2, LS_STREAM_ON_DEMAND);
    const char *at;
    lsi_env env;
    int count = 0;

    turn_on(&of);
    assert_int_equal(handles_close(&of), LS_OK);
    lines[0] = '\0';
    lsi_env_default(&env);
    env.clock = (lsi_clock){test_wall, test_monotonic, the_clock, NULL};
    options.shards_max = 2;
    options.log = keep_line;
    options.durability = LS_DURABILITY_KERNEL;
    options.segment_bytes = SEGMENT_BYTES;
    assert_int_equal(lsi_store_open_env(fx->path, &options, &env, &of.store), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    assert_int_equal(ls_stream_open(of.store, "none", &(ls_stream *){NULL}), LS_ERR_NOT_FOUND);
    load_for(&of, 14, 60);
    assert_string_equal(lines, "");
    load_for(&of, 14, 0);
    for (int i = 0; i < 14; i++) {
        pass(10 * SECOND);
        assert_int_equal(put_number(of.producer, 1, 0, 45000), LS_OK);
    }
    assert_int_equal(ls_last_error_status(), LS_ERR_NOT_FOUND);
    for (at = lines; (at = strstr(at, "cannot be split automatically")) != NULL; at++)
        count++;
    assert_in_range(count, 1, 2);
    assert_non_null(strstr(lines, "shards_max"));
    assert_string_equal(shards_of(of.stream), "0 1");
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- damage ---- */

static uint64_t random_next(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* P10: garbage in the words may cost a needless split or merge; records are there, once and in order. */
static void garbage_in_the_words_loses_nothing(void **state)
{
    fixture *fx = *state;
    uint64_t seed = 4;
    handles of = open_small(fx, 4, LS_STREAM_ON_DEMAND);
    ls_iterator *iterator;
    char path[TEMP_PATH_BYTES * 3];
    uint32_t n, put = 0;
    int idle = 0;
    FILE *control;

    turn_on(&of);
    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    for (int round = 0; round < 60; round++) {
        control = fopen(path, "r+");
        assert_non_null(control);
        for (long slot = 0; slot < 16; slot++) {
            uint64_t words[LSI_SLOT_LOAD_WORDS];

            for (size_t i = 0; i < LSI_SLOT_LOAD_WORDS; i++)
                words[i] = random_next(&seed) >> (random_next(&seed) % 64);
            assert_int_equal(fseek(control, 32768 + slot * (long)LSI_SLOT_BYTES + (long)offsetof(lsi_slot, load),
                                   SEEK_SET), 0);
            assert_int_equal(fwrite(words, sizeof words, 1, control), 1);
        }
        assert_int_equal(fclose(control), 0);
        pass(10 * SECOND);
        for (int i = 0; i < 3; i++)
            assert_int_equal(put_number(of.producer, put++, 0, 1 + random_next(&seed) % 60000), LS_OK);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &iterator), LS_OK);
    for (uint32_t next = 0; next < put && idle < 1000;) {
        assert_int_equal(next_one(iterator, &n), LS_OK);
        if (n == UINT32_MAX) {
            idle++; /* the end of a shard */
            continue;
        }
        assert_int_equal(n, next++);
    }
    assert_true(idle < 1000);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hot_shard_is_split_after_60_seconds_by_who_puts, begin, end),
        cmocka_unit_test_setup_teardown(what_is_below_the_threshold_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(cold_neighbours_are_merged_after_15_minutes, begin, end),
        cmocka_unit_test_setup_teardown(idle_shards_are_merged_too, begin, end),
        cmocka_unit_test_setup_teardown(the_fewest_and_the_most_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(nothing_happens_when_it_is_off, begin, end),
        cmocka_unit_test_setup_teardown(nothing_happens_in_provisioned_mode, begin, end),
        cmocka_unit_test_setup_teardown(two_processes_split_once, begin, end),
        cmocka_unit_test_setup_teardown(processes_of_one_put_each_make_a_shard_hot, begin, end),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_done_is_logged_and_tried_again_after_as_long, begin, end),
        cmocka_unit_test_setup_teardown(garbage_in_the_words_loses_nothing, begin, end),
    };

    return cmocka_run_group_tests_name("automatic scaling", tests, NULL, NULL);
}
