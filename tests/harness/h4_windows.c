/* H4, the storm over windows: does a window count a record twice, lose one, or take one that is not its own, when those
 * who gather it die at any instruction, fail, stand still until others take what they have, or are robbed of it?
 *
 * Two ways to gather, each in a directory of its own. `tumbling`: runs of a mapping with tumbling windows of arrival
 * time, of which many begin and end, since the wall clock goes twenty times as fast. The state of a window is the list
 * of the records that were counted in it, and its last invocation writes that down outside the store. `operator`: runs
 * of a window operator with a name, whose time is the record's number, so that each result is known beforehand. A
 * parent kills them at random times, and stops one now and then; besides, a hook in their file layer kills most of them
 * at the Nth call, before it, behind it or in the middle of a write. Meanwhile shards split and merge.
 *
 * The judge: the last invocation of a window may come again, with what came since, if the place behind it was not
 * stored. So of the lists of a shard those that begin with the same record are one window, of which the longest counts;
 * and these follow one another, record by record, from the shard's first to its last. Results of the operator are
 * compared when they come.
 *
 *     h4_windows [--seed N] [--kills N] [--mode tumbling|operator] [--keep]
 *
 * Without --mode the kills are shared out to both. The last line is `harness=h4_windows seed=.. cases=.. violations=..
 * wall_s=..`; the status is 1 if there were violations. */
#include "harness/h4_windows.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/temp.h"

#define PUTTER WINDOWS_RUNS
#define REST_US INT64_C(20000000) /* so long nothing is told: what is left then when nobody dies any more is lost */
#define END_US INT64_C(20000000)  /* by so much the clock goes on at the end: all windows are over */
#define OPEN_MAX 4u               /* shards that the putter makes */

static bool is_operator;

/* ---- who puts ---- */

static void put_one(ls_producer *producer)
{
    uint32_t number = atomic_load(&windows->put_count);
    ls_record_id id;
    char key[16];
    ls_status st;

    if (number == WINDOWS_RECORDS_MAX)
        return;
    (void)snprintf(key, sizeof key, "key-%02u", number % WINDOWS_KEYS);
    do
        st = ls_producer_put(producer, (ls_bytes){key, 6}, (ls_bytes){&number, sizeof number}, NULL, &id);
    while (st == LS_ERR_BUSY);
    if (st != LS_OK)
        storm_fail("a put", st);
    windows->shard_of[number] = id.shard;
    atomic_store(&windows->put_count, number + 1);
}

/* Splits one, or merges the first two; while others are about it, another time. */
static void reshard(ls_stream *stream, uint64_t *random)
{
    ls_stream_description *about = NULL;
    ls_shard_info open[OPEN_MAX + 1];
    uint32_t count, all;
    ls_status st = ls_stream_describe(stream, &about);

    if (st != LS_OK)
        storm_fail("describing the stream", st);
    all = ls_stream_description_shard_count(about);
    count = storm_open_shards(about, open, OPEN_MAX + 1);
    ls_stream_description_free(about);
    if (all + 2 > WINDOWS_SHARDS_MAX)
        return;
    if (count > 1 && (count >= OPEN_MAX || storm_random_below(random, 2) == 0))
        st = ls_stream_merge(stream, open[0].shard, open[1].shard, NULL);
    else
        st = ls_stream_split(stream, open[storm_random_below(random, count)].shard, NULL, NULL, NULL);
    if (st != LS_OK && st != LS_ERR_BUSY)
        storm_fail("resharding", st);
    atomic_fetch_add(&windows->reshards, st == LS_OK);
}

static void put_all(uint64_t *random)
{
    ls_store *store = windows_open_store(NULL);
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(store, WINDOWS_STREAM, &stream);

    if (st == LS_OK)
        st = ls_producer_open(stream, NULL, &producer);
    if (st != LS_OK)
        storm_fail("opening a producer", st);
    for (uint32_t turn = 1; atomic_load(&windows->is_over) == 0; turn++) {
        for (uint64_t left = 1 + storm_random_below(random, 6); left > 0; left--)
            put_one(producer);
        if (turn % 64 == 0)
            reshard(stream, random);
        (void)usleep((useconds_t)storm_random_below(random, 3000));
    }
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        storm_fail("closing", LS_ERR_STATE);
}

/* ---- the storm ---- */

static pid_t spawn(uint32_t place, uint64_t *random)
{
    uint64_t own = storm_random(random);
    static storm_plan plan;
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also of one that is stopped */
    storm_plan_init(&plan, &own);
    if (plan.countdown >= 0) /* Opening costs some dozens of calls: most come to work before they die. */
        plan.countdown = (int64_t)storm_random_below(&own, 100);
    if (atomic_load(&windows->is_over) != 0)
        plan.countdown = -1;
    if (place == PUTTER)
        put_all(&own);
    else if (is_operator)
        windows_run_operator(&own, &plan);
    else
        windows_run_mapping(&own, &plan);
    _exit(0);
}

static void check_end(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        storm_violation("a process died of signal %d", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && atomic_load(&storm->violations) == 0)
        storm_violation("a process ended with %d", WEXITSTATUS(status));
}

/* Puts others in the place of runs that died. How many. */
static uint64_t bury(pid_t *pids, uint64_t *random)
{
    uint64_t deaths = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        check_end(status);
        for (uint32_t i = 0; i < WINDOWS_RUNS; i++)
            if (pids[i] == pid) {
                deaths++;
                pids[i] = spawn(i, random);
            }
        if (pids[PUTTER] == pid)
            pids[PUTTER] = 0;
    }
    return deaths;
}

/* Until so many have died, or something was found. */
static uint64_t rage(pid_t *pids, uint64_t *random, uint64_t *stops)
{
    int64_t wake_us = 0;
    pid_t still = 0;
    uint64_t kills = 0;

    while (kills < storm_set.kills && atomic_load(&storm->violations) == 0 && pids[PUTTER] != 0) {
        uint32_t place = (uint32_t)storm_random_below(random, WINDOWS_RUNS);
        uint64_t what = storm_random_below(random, 48);

        (void)usleep((useconds_t)storm_random_below(random, 12000));
        if (still != 0 && storm_now_us() > wake_us) {
            (void)kill(still, SIGCONT);
            still = 0;
        }
        if (what == 0 && still == 0) { /* The other one takes what it has. */
            still = pids[place];
            wake_us = storm_now_us() + WINDOWS_FAILOVER_MS * (1000 + (int64_t)storm_random_below(random, 1000));
            (void)kill(still, SIGSTOP);
            ++*stops;
        } else if (what < 12 && still == 0) {
            (void)kill(pids[place], SIGKILL);
        }
        kills += bury(pids, random);
    }
    if (still != 0)
        (void)kill(still, SIGCONT);
    return kills;
}

static uint32_t count_told(void)
{
    uint32_t told = 0, put = atomic_load(&windows->put_count);

    for (uint32_t i = 0; i < put; i++)
        told += atomic_load(&windows->is_told[i]);
    return told;
}

static void await_exit(pid_t *pid)
{
    int status;

    if (*pid == 0)
        return;
    (void)waitpid(*pid, &status, 0);
    check_end(status);
    *pid = 0;
}

/* Nobody dies any more, and all windows come to their ends. */
static void calm(pid_t *pids, uint64_t *random)
{
    int64_t deadline;
    uint32_t before = 0, told;

    atomic_store(&windows->is_over, 1);
    await_exit(&pids[PUTTER]);
    atomic_fetch_add(&windows->skew_us, END_US);
    deadline = storm_now_us() + REST_US;
    while (!is_operator && (told = count_told()) < atomic_load(&windows->put_count) && storm_now_us() < deadline &&
           atomic_load(&storm->violations) == 0) {
        deadline = told != before ? storm_now_us() + REST_US : deadline;
        before = told;
        (void)bury(pids, random); /* Some still have a hook. */
        (void)usleep(1000);
    }
    for (uint32_t i = 0; i < WINDOWS_RUNS; i++) {
        (void)kill(pids[i], SIGKILL);
        await_exit(&pids[i]);
    }
    if (is_operator && atomic_load(&storm->violations) == 0) {
        pid_t last = fork();

        if (last == 0) {
            windows_finish();
            _exit(0);
        }
        await_exit(&last);
    }
}

/* ---- the judge ---- */

static int compare_lists(const void *a, const void *b)
{
    const windows_list *one = a, *other = b;
    uint32_t first = windows->numbers[one->first], second = windows->numbers[other->first];

    if (one->shard != other->shard)
        return one->shard < other->shard ? -1 : 1;
    if (first != second)
        return first < second ? -1 : 1;
    return (one->count < other->count) - (one->count > other->count); /* the longest one first */
}

/* The number of the next record of the shard, from `at` on; the count of all: there is none. */
static uint32_t next_of(uint32_t shard, uint32_t at)
{
    uint32_t put = atomic_load(&windows->put_count);

    while (at < put && windows->shard_of[at] != shard)
        at++;
    return at;
}

/* Whether it has the records that come from its first one on, each once. What comes behind them. */
static uint32_t judge_list(const windows_list *of)
{
    const uint32_t *numbers = windows->numbers + of->first;
    uint32_t at = numbers[0];

    for (uint32_t i = 0; i < of->count; i++) {
        if (numbers[i] != at || next_of(of->shard, at) != at)
            storm_violation("shard %" PRIu32 ": the window that begins with %" PRIu32 " has %" PRIu32 " as its %" PRIu32
                            "th, instead of %" PRIu32, of->shard, numbers[0], numbers[i], i, at);
        at = next_of(of->shard, at + 1);
    }
    return at;
}

static void judge_lists(void)
{
    uint32_t count = atomic_load(&windows->list_count), whole = 0, put = atomic_load(&windows->put_count);
    uint32_t next[WINDOWS_SHARDS_MAX];
    windows_list *lists = windows->lists;

    for (uint32_t i = 0; i < count && i < WINDOWS_LISTS_MAX; i++) {
        if (atomic_load(&lists[i].is_whole) == 0)
            continue;
        if (lists[i].count == 0 || lists[i].shard >= WINDOWS_SHARDS_MAX)
            storm_violation("shard %" PRIu32 ": the end of a window without records", lists[i].shard);
        else
            lists[whole++] = lists[i];
    }
    qsort(lists, whole, sizeof *lists, compare_lists);
    for (uint32_t shard = 0; shard < WINDOWS_SHARDS_MAX; shard++)
        next[shard] = next_of(shard, 0);
    for (uint32_t i = 0; i < whole; i++) {
        uint32_t shard = lists[i].shard, first = windows->numbers[lists[i].first], behind = judge_list(&lists[i]);
        bool is_same = i > 0 && lists[i - 1].shard == shard && windows->numbers[lists[i - 1].first] == first;

        if (is_same) /* of that window, when it had less */
            continue;
        if (first != next[shard])
            storm_violation("shard %" PRIu32 ": a window begins with %" PRIu32 ", and those before end in front of %"
                            PRIu32, shard, first, next[shard]);
        next[shard] = behind;
    }
    for (uint32_t shard = 0; shard < WINDOWS_SHARDS_MAX; shard++)
        if (next[shard] != put)
            storm_violation("shard %" PRIu32 ": record %" PRIu32 " is in no window that ended", shard, next[shard]);
}

static void judge_told(void)
{
    for (uint32_t i = 0; i < atomic_load(&windows->put_count); i++)
        if (atomic_load(&windows->is_told[i]) == 0)
            storm_violation("record %" PRIu32 " is in no result", i);
}

/* ---- one storm ---- */

static void prepare(void)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_stream_options of_stream = LS_STREAM_OPTIONS_INIT;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_status st;

    options.durability = storm_set.durability;
    options.segment_bytes = STORM_SEGMENT_BYTES;
    options.sync_interval_ms = 10;
    of_stream.shard_count = 2;
    of_stream.retention_hours = 168;
    settings.records_max = 10;
    settings.tumbling_window_s = 1;
    settings.flags = LS_MAPPING_REPORT_FAILURES;
    settings.sync_interval_ms = 20;
    settings.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT; /* One that is stopped is none that failed. */
    st = ls_store_open(storm_set.dir, &options, &store);
    if (st == LS_OK)
        st = ls_stream_create(store, WINDOWS_STREAM, &of_stream);
    if (st == LS_OK)
        st = ls_stream_open(store, WINDOWS_STREAM, &stream);
    if (st == LS_OK && !is_operator)
        st = ls_mapping_create(stream, WINDOWS_NAME, &horizon, &settings);
    if (st != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK) {
        fprintf(stderr, "h4_windows: %s\n", ls_last_error_message());
        exit(2);
    }
}

static void *map_memory(size_t bytes)
{
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (made == MAP_FAILED)
        abort();
    return made;
}

static uint64_t run(const char *mode, bool keep, uint64_t *violations)
{
    static const char *const durabilities[] = {"", "kernel", "interval", "sync"};
    uint64_t random = storm_set.seed ^ (is_operator ? 1 : 0), kills, stops = 0;
    pid_t pids[WINDOWS_RUNS + 1];
    char store[TEMP_PATH_BYTES * 2];
    temp_dir temp;

    temp_make(&temp);
    (void)snprintf(store, sizeof store, "%s", temp_path(&temp, "store"));
    storm_set.dir = store;
    storm_set.durability = 1 + (ls_durability)storm_random_below(&random, 3);
    storm = map_memory(sizeof *storm);
    windows = map_memory(sizeof *windows);
    windows->began_us = storm_now_us();
    windows->wall_us = (int64_t)time(NULL) * 1000000;
    prepare();
    for (uint32_t i = 0; i <= PUTTER; i++)
        pids[i] = spawn(i, &random);
    kills = rage(pids, &random, &stops);
    calm(pids, &random);
    if (atomic_load(&storm->violations) == 0)
        is_operator ? judge_told() : judge_lists();
    printf("h4_windows mode=%s durability=%s kills=%" PRIu64 " hooked=%" PRIu64 " holders=%" PRIu64 " stops=%" PRIu64
           " put=%u windows=%" PRIu64 " failed=%" PRIu64 " taken_over=%" PRIu64 " reshards=%" PRIu64 "\n",
           mode, durabilities[storm_set.durability], kills, atomic_load(&storm->hooked_kills),
           atomic_load(&storm->holders), stops, atomic_load(&windows->put_count),
           is_operator ? atomic_load(&windows->results) : atomic_load(&windows->list_count),
           atomic_load(&windows->failed), atomic_load(&windows->taken_over), atomic_load(&windows->reshards));
    *violations += storm_end(&temp, keep);
    (void)munmap(windows, sizeof *windows);
    return kills;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'}, {"kills", required_argument, NULL, 'k'},
        {"mode", required_argument, NULL, 'm'}, {"keep", no_argument, NULL, 'K'}, {NULL, 0, NULL, 0}};
    static const char *const modes[] = {"tumbling", "operator"};
    uint64_t kills = getenv("LIBSTREAM_TEST_LONG") != NULL ? 4000 : 16, cases = 0, violations = 0;
    int64_t from = storm_now_us();
    const char *mode = NULL;
    bool keep = false;
    int option;

    storm_set.seed = (uint64_t)time(NULL);
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': storm_set.seed = strtoull(optarg, NULL, 0); break;
        case 'k': kills = strtoull(optarg, NULL, 0); break;
        case 'm': mode = optarg; break;
        case 'K': keep = true; break;
        default: return 2;
        }
    storm_set.kills = mode != NULL ? kills : (kills + 1) / 2;
    printf("h4_windows seed=%" PRIu64 "\n", storm_set.seed);
    (void)fflush(stdout);
    for (size_t i = 0; i < 2; i++) {
        if (mode != NULL && strcmp(mode, modes[i]) != 0)
            continue;
        is_operator = i == 1;
        cases += run(modes[i], keep, &violations);
        (void)fflush(stdout);
    }
    printf("harness=h4_windows seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f\n",
           storm_set.seed, cases, violations, (double)(storm_now_us() - from) / 1e6);
    return violations != 0;
}
