/* H4, the storm over workers: is a record passed over, handled out of its key's order, or put twice, when those who
 * work on a stream die at any instruction, or stand still for so long that others take what they have?
 *
 * Runs of two mappings, of one lane and of three, and workers of a group, whose outputs and checkpoints are
 * transactions, are processes on one directory. A parent kills them at random times, stops one of them for longer than
 * others wait, and steps the wall clock by hours; besides, a hook in their file layer kills most of them at the Nth
 * call, before it, behind it or in the middle of a write. Meanwhile shards split and merge, and batches change sizes.
 *
 * The oracle is memory outside the store. Handlers note each record before they return: each was noted at least once,
 * and a key's for the first time in their order; repeats may come between. What transactions put is there once, in
 * order, at every moment. A checkpoint never goes back, so that who was stopped, and goes on, is refused.
 *
 *     h4_work [--seed N] [--kills N] [--mode sync|kernel|interval] [--dir DIR] [--keep]
 *
 * Without --mode the kills are shared out to all three. The last line is `harness=h4_work seed=.. cases=..
 * violations=.. wall_s=..`; the status is 1 if there were violations. */
#include "harness/h4_work.h"

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

#define WATCHER WORK_PLACES
#define REST_US INT64_C(20000000) /* so long nothing happens: what is left then when nobody dies any more is lost */
#define HOUR_US INT64_C(3600000000)

/* Which mapping a place runs, or that it makes transactions. */
static uint32_t kind_of(uint32_t place)
{
    return place < 2 * WORK_MAPPINGS ? place % WORK_MAPPINGS : WORK_MAPPINGS;
}

static pid_t spawn(uint32_t place, uint64_t *random)
{
    uint64_t own = storm_random(random);
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also of one that is stopped */

    static storm_plan plan;
    storm_plan_init(&plan, &own);
    /* Opening costs some dozens of calls: most come to work before they die. */
    if (plan.countdown >= 0)
        plan.countdown = (int64_t)storm_random_below(&own, 400);
    if (atomic_load(&work->is_over) != 0)
        plan.countdown = -1;
    if (place == WATCHER)
        work_watch(&own);
    else if (place < 2 * WORK_MAPPINGS)
        work_run_mapping(kind_of(place), &own, &plan);
    else
        work_run_group(&own, &plan);
    _exit(3);
}

/* Puts others in the place of workers that died. How many. */
static uint64_t bury(pid_t *pids, uint64_t *random)
{
    uint64_t deaths = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            storm_violation("a worker died of signal %d", WTERMSIG(status));
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && atomic_load(&storm->violations) == 0)
            storm_violation("a worker ended with %d", WEXITSTATUS(status));
        for (uint32_t i = 0; i < WORK_PLACES; i++)
            if (pids[i] == pid) {
                deaths++;
                pids[i] = spawn(i, random);
            }
        if (pids[WATCHER] == pid)
            pids[WATCHER] = 0;
    }
    return deaths;
}

/* One is stopped at a time, and its like are left alone meanwhile: so somebody takes over what it has. */
typedef struct stopped {
    pid_t pid; /* 0: nobody is */
    uint32_t kind;
    int64_t until_us;
} stopped;

static void stop_one(stopped *of, uint32_t place, pid_t pid, uint64_t *random)
{
    if (of->pid != 0)
        return;
    of->pid = pid;
    of->kind = kind_of(place);
    of->until_us = storm_now_us() + WORK_FAILOVER_MS * (1000 + (int64_t)storm_random_below(random, 1500));
    (void)kill(pid, SIGSTOP);
}

static void wake_up(stopped *of)
{
    if (of->pid != 0)
        (void)kill(of->pid, SIGCONT);
    of->pid = 0;
}

static uint64_t rage(uint64_t *random, uint64_t *stops, uint64_t *steps)
{
    pid_t pids[WORK_PLACES + 1];
    stopped still = {0, 0, 0};
    uint64_t kills = 0;
    int64_t deadline;
    uint32_t done = 0;

    for (uint32_t i = 0; i <= WATCHER; i++)
        pids[i] = spawn(i, random);
    while (kills < storm_set.kills && atomic_load(&storm->violations) == 0 && pids[WATCHER] != 0) {
        uint32_t place = (uint32_t)storm_random_below(random, WORK_PLACES);
        uint64_t what = storm_random_below(random, 24);

        (void)usleep((useconds_t)storm_random_below(random, 20000));
        if (still.pid != 0 && storm_now_us() > still.until_us)
            wake_up(&still);
        if (what == 0) {
            stop_one(&still, place, pids[place], random);
            ++*stops;
        } else if (what == 1) { /* It stays within what the stream keeps. */
            atomic_store(&work->skew_us, (int64_t)storm_random_below(random, 9) * HOUR_US - 4 * HOUR_US);
            ++*steps;
        } else if (what < 6 && (still.pid == 0 || still.kind != kind_of(place))) {
            (void)kill(pids[place], SIGKILL);
        }
        kills += bury(pids, random);
    }
    wake_up(&still);
    atomic_store(&work->is_over, 1);
    deadline = storm_now_us() + REST_US;
    while (pids[WATCHER] != 0 && storm_now_us() < deadline) {
        uint32_t now = atomic_load(&work->out_count) + atomic_load(&work->diaries[0].count) +
                       atomic_load(&work->diaries[1].count);

        deadline = now != done ? storm_now_us() + REST_US : deadline;
        done = now;
        (void)bury(pids, random); /* Some still have a hook. */
        (void)usleep(1000);
    }
    if (pids[WATCHER] != 0)
        storm_violation("of %u records transactions put %u, and handlers noted %u and %u times; no more comes",
                        atomic_load(&work->put_count), atomic_load(&work->out_count),
                        atomic_load(&work->diaries[0].count), atomic_load(&work->diaries[1].count));
    for (uint32_t i = 0; i <= WATCHER; i++)
        if (pids[i] != 0) {
            (void)kill(pids[i], SIGKILL);
            (void)waitpid(pids[i], NULL, 0);
        }
    return kills;
}

/* Each record was handled, and a key's for the first time in their order. */
static void judge_diary(uint32_t which)
{
    const work_diary *of = &work->diaries[which];
    uint32_t next[WORK_KEYS], count = atomic_load(&of->count), put_count = atomic_load(&work->put_count);
    bool *is_seen = calloc(put_count + 1, sizeof *is_seen);

    if (is_seen == NULL)
        abort();
    for (uint32_t key = 0; key < WORK_KEYS; key++)
        next[key] = key;
    for (uint32_t i = 0; i < count && i < WORK_NOTES_MAX; i++) {
        uint32_t note = atomic_load(&of->notes[i]), number = note - 1;

        if (note == 0 || number >= put_count || is_seen[number])
            continue;
        is_seen[number] = true;
        if (next[number % WORK_KEYS] != number)
            storm_violation("mapping %u: record %u was handled before %u, of the same key", which, number,
                            next[number % WORK_KEYS]);
        next[number % WORK_KEYS] = number + WORK_KEYS;
    }
    for (uint32_t i = 0; i < put_count; i++)
        if (!is_seen[i])
            storm_violation("mapping %u: record %u was never handled", which, i);
    free(is_seen);
}

static void prepare(void)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options source = LS_STREAM_OPTIONS_INIT, out = LS_STREAM_OPTIONS_INIT;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_status st;

    options.durability = storm_set.durability;
    options.segment_bytes = STORM_SEGMENT_BYTES;
    options.sync_interval_ms = 10;
    source.shard_count = out.shard_count = 2;
    source.retention_hours = out.retention_hours = 168; /* more than the clock is stepped by */
    settings.records_max = 10;
    settings.sync_interval_ms = 20;
    settings.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT; /* One that is stopped is none that failed. */
    st = ls_store_open(storm_set.dir, &options, &store);
    if (st == LS_OK)
        st = ls_stream_create(store, WORK_STREAM, &source);
    if (st == LS_OK)
        st = ls_stream_create(store, WORK_OUT, &out);
    if (st == LS_OK)
        st = ls_stream_open(store, WORK_STREAM, &stream);
    for (uint32_t which = 0; which < WORK_MAPPINGS && st == LS_OK; which++) {
        char name[16];

        work_mapping_name(which, name);
        settings.lane_count = which == 0 ? 1 : 3;
        st = ls_mapping_create(stream, name, &horizon, &settings);
    }
    if (st != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK) {
        fprintf(stderr, "h4_work: %s\n", ls_last_error_message());
        exit(2);
    }
}

static void *map_memory(size_t bytes)
{
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        abort();
    return made;
}

/* One storm in a directory of its own. */
static uint64_t run(const char *mode, bool keep, uint64_t *violations)
{
    temp_dir temp;
    char store[TEMP_PATH_BYTES * 2];
    uint64_t random = storm_set.seed ^ (uint64_t)storm_set.durability << 32;
    uint64_t kills, stops = 0, steps = 0;

    temp_make(&temp);
    memcpy(store, temp_path(&temp, "store"), sizeof store);
    storm_set.dir = store;
    storm = map_memory(sizeof *storm);
    work = map_memory(sizeof *work);
    prepare();
    kills = rage(&random, &stops, &steps);
    for (uint32_t which = 0; which < WORK_MAPPINGS; which++)
        judge_diary(which);
    printf("h4_work mode=%s kills=%" PRIu64 " hooked=%" PRIu64 " holders=%" PRIu64 " stops=%" PRIu64
           " steps=%" PRIu64 " put=%u noted=%u,%u out=%u commits=%" PRIu64 " refused=%" PRIu64 " reshards=%" PRIu64
           " looks=%" PRIu64 "\n",
           mode, kills, atomic_load(&storm->hooked_kills), atomic_load(&storm->holders), stops, steps,
           atomic_load(&work->put_count), atomic_load(&work->diaries[0].count), atomic_load(&work->diaries[1].count),
           atomic_load(&work->out_count), atomic_load(&work->commits), atomic_load(&work->refused),
           atomic_load(&work->reshards), atomic_load(&work->looks));
    *violations += storm_end(&temp, keep);
    (void)munmap(work, sizeof *work);
    return kills;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'}, {"kills", required_argument, NULL, 'k'},
        {"mode", required_argument, NULL, 'm'}, {"dir", required_argument, NULL, 'd'},
        {"keep", no_argument, NULL, 'K'}, {NULL, 0, NULL, 0}};
    static const struct { const char *name; ls_durability durability; } modes[] = {
        {"sync", LS_DURABILITY_SYNC}, {"kernel", LS_DURABILITY_KERNEL}, {"interval", LS_DURABILITY_INTERVAL}};
    uint64_t kills = getenv("LIBSTREAM_TEST_LONG") != NULL ? 6000 : 90, cases = 0, violations = 0;
    const char *mode = NULL;
    int64_t from = storm_now_us();
    bool keep = false;
    int option;

    storm_set.seed = (uint64_t)time(NULL);
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': storm_set.seed = strtoull(optarg, NULL, 0); break;
        case 'k': kills = strtoull(optarg, NULL, 0); break;
        case 'm': mode = optarg; break;
        case 'd': (void)setenv("TMPDIR", optarg, 1); break;
        case 'K': keep = true; break;
        default: return 2;
        }
    storm_set.kills = mode != NULL ? kills : (kills + 2) / 3;
    printf("h4_work seed=%" PRIu64 "\n", storm_set.seed);
    (void)fflush(stdout);
    for (size_t i = 0; i < 3; i++)
        if (mode == NULL || strcmp(mode, modes[i].name) == 0) {
            storm_set.durability = modes[i].durability;
            cases += run(modes[i].name, keep, &violations);
            (void)fflush(stdout);
        }
    printf("harness=h4_work seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f\n", storm_set.seed,
           cases, violations, (double)(storm_now_us() - from) / 1e6);
    return violations != 0;
}
