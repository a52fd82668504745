/* Alerts beneath failures: a loss of power after any change of the disk, and calls of the file system that fail.
 * Whatever happens, each record counts once, each window that has enough of them is told, and at most the one that was
 * being told is told again. */
#include "api/alert_support.h"

#include "support/sim_files.h"

#define WINDOWS 4
#define EACH 3 /* records that pass in each; the rule fires at the second */
#define OTHERS 2 /* and that do not, in front of these */
#define TRIES 3 /* of a batch that was not taken */
#define RECORDS (WINDOWS * (EACH + OTHERS))

typedef struct life {
    uint32_t told[WINDOWS]; /* how often */
    uint32_t others;        /* told of what is no window */
} life;

static int32_t count_told(const ls_alert *alert, void *user)
{
    life *of = user;
    int64_t window = (alert->window_start_us - BEGIN_US) / MINUTE_US;

    if (alert->kind != LS_ALERT_FIRED || window < 0 || window >= WINDOWS || alert->count != 2)
        of->others++;
    else
        of->told[window]++;
    return 0;
}

typedef struct opened {
    still_env still;
    ls_store *store;
    ls_stream *stream;
    ls_alerts *alerts;
} opened;

static ls_status open_on(sim_files *sim, opened *of, life *life_of)
{
    ls_status st;

    still_env_make(&of->still, sim_files_table(sim), 11);
    of->still.now_us = BEGIN_US;
    of->still.env.busy_timeout_ms = 2000;
    st = lsi_store_open_env("/store", NULL, &of->still.env, &of->store);
    if (st == LS_OK)
        st = ls_stream_create(of->store, STREAM, NULL);
    if (st == LS_OK || st == LS_ERR_EXISTS)
        st = ls_stream_open(of->store, STREAM, &of->stream);
    return st == LS_OK ? ls_alerts_open(of->stream, count_told, life_of, &of->alerts) : st;
}

static void close_all(opened *of)
{
    (void)ls_alerts_close(of->alerts); /* It may not be able to store its notes. */
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    (void)ls_store_close(of->store);
}

static void put_all(opened *of)
{
    ls_alert_options options = rule_on("Severity", LS_ALERT_GREATER, 3);
    ls_producer *producer = NULL;

    options.count_min = 2;
    options.observed_min = 1000;
    assert_int_equal(ls_alert_create(of->stream, "r", &options), LS_OK);
    assert_int_equal(ls_producer_open(of->stream, NULL, &producer), LS_OK);
    for (int i = 0; i < RECORDS; i++) {
        bool passes = i % (EACH + OTHERS) >= OTHERS;

        of->still.now_us = BEGIN_US + i / (EACH + OTHERS) * MINUTE_US + 1000000;
        assert_int_equal(ls_producer_put(producer, text("k"), text(passes ? "{\"Severity\": 4}" : "{\"Severity\": 1}"),
                                         NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* Shows everything, in small batches, each until it is taken or `tries` are over. */
static ls_status show_all(opened *of, uint32_t tries)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    ls_status st = ls_iterator_open(of->stream, 0, NULL, NULL, &iterator);

    options.records_max = 4;
    while (st == LS_OK) {
        const ls_batch *batch = NULL;

        st = ls_iterator_next(iterator, &options, &batch);
        if (st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (uint32_t i = 0; i < tries; i++) {
            st = ls_alerts_observe(of->alerts, batch);
            if (st == LS_OK)
                break;
        }
    }
    ls_iterator_close(iterator);
    return st;
}

/* Goes on in another life: all is counted once, and every window was told. */
static void all_is_told(sim_files *sim, const life *before)
{
    life after = {.others = 0};
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_description *description = NULL;
    uint32_t doubles = 0; /* windows that were told again */
    opened of;

    assert_int_equal(open_on(sim, &of, &after), LS_OK);
    assert_int_equal(show_all(&of, 1), LS_OK);
    for (int i = 0; i < WINDOWS; i++) {
        uint32_t times = before->told[i] + after.told[i];

        assert_true(times >= 1);
        doubles += times > 1;
        assert_true(times <= 1 + TRIES); /* Who cannot store that it was told tells it again. */
    }
    assert_true(doubles <= 1);
    assert_int_equal(before->others + after.others, 0);
    assert_int_equal(ls_alert_describe(of.stream, "r", &description), LS_OK);
    assert_int_equal(ls_alert_description_info(description, &info), LS_OK);
    assert_int_equal(info.passed_count, WINDOWS * EACH);
    assert_int_equal(info.fired_count, WINDOWS);
    ls_alert_description_free(description);
    close_all(&of);
}

/* ---- power ---- */

/* What was told until a change of the log: told[i] is that change. */
typedef struct diary {
    sim_files *sim;
    size_t told[WINDOWS];
    uint32_t count;
} diary;

static int32_t note_change(const ls_alert *alert, void *user)
{
    diary *of = user;

    (void)alert;
    assert_true(of->count < WINDOWS);
    of->told[of->count++] = sim_log_count(of->sim);
    return 0;
}

static void power_may_fail_anywhere(void **state)
{
    sim_files *sim = sim_files_new();
    diary told = {.sim = sim};
    life none = {.others = 0};
    uint32_t cases = 0, doubled = 0;
    size_t first, last;
    opened of;

    (void)state;
    assert_int_equal(open_on(sim, &of, &none), LS_OK);
    put_all(&of);
    assert_int_equal(ls_alerts_close(of.alerts), LS_OK);
    first = sim_log_count(sim);
    assert_int_equal(ls_alerts_open(of.stream, note_change, &told, &of.alerts), LS_OK);
    assert_int_equal(show_all(&of, 1), LS_OK);
    last = sim_log_count(sim);
    assert_int_equal(told.count, WINDOWS);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 2; seed++) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            life before = {.others = 0};

            for (uint32_t i = 0; i < WINDOWS; i++)
                before.told[i] = told.told[i] <= prefix;
            doubled += before.told[0] != 0;
            all_is_told(crashed, &before);
            sim_files_free(crashed);
            cases++;
        }
    assert_true(cases > 40 && doubled > 0);
    close_all(&of);
    sim_files_free(sim);
}

/* ---- calls that fail ---- */

static void any_call_below_may_fail(void **state)
{
    static const struct {
        sim_call call;
        int err;
    } kinds[] = {{SIM_WRITE, 5 /* EIO */}, {SIM_SYNC, 5}, {SIM_WRITE, 28 /* ENOSPC */}, {SIM_READ, 5},
                 {SIM_ALLOCATE, 28}, {SIM_OPEN, 24 /* EMFILE */}, {SIM_SYNC_DIR, 5}};
    uint32_t failures = 0;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool has_met = true;

        for (uint64_t nth = 1; has_met; nth++) {
            sim_files *sim = sim_files_new(), *crashed;
            life before = {.others = 0};
            ls_status st;
            opened of;

            assert_int_equal(open_on(sim, &of, &before), LS_OK);
            put_all(&of);
            sim_fault_add(sim, (sim_fault){.call = kinds[k].call, .nth = nth, .err = kinds[k].err});
            st = show_all(&of, TRIES);
            has_met = sim_faults_met(sim) > 0;
            assert_true(has_met || st == LS_OK);
            failures += st != LS_OK;
            sim_faults_clear(sim);
            crashed = sim_crash_state(sim, sim_log_count(sim), nth % SIM_SEED_RANDOM);
            close_all(&of);
            all_is_told(crashed, &before);
            sim_files_free(crashed);
            sim_files_free(sim);
        }
    }
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_may_fail_anywhere),
        TEST(any_call_below_may_fail),
    };

    if (strstr(ls_version_features(), "json") == NULL) {
        puts("built without JSON: there are no rules on fields");
        return 77;
    }
    in_memory = true; /* the fixture's store, which is of no interest */
    return cmocka_run_group_tests_name("alerts beneath failures", tests, NULL, NULL);
}
