/* Harness H2, crash states: does a store keep its promises whatever a loss of power leaves of its disk?
 *
 *     h2_crash [--seed N] [--states N] [--workload NAME] [--stop 1] [--repeat CASE]
 *
 * Each workload runs once on a sim that logs every operation. For every prefix of that log and several seeds the disk
 * is made that a crash may leave there; disks that are equal and owe the same are tried once. Each is opened, read
 * whole and held against what had been answered by then (truth.h); it takes a put into every shard; and then it crashes
 * again, at the moment when everything had been read and at random ones, recovery among them (R7, R8).
 *
 * The same workloads are also killed at their calls, one after another. Another process of the same boot takes the
 * store over, must find everything that was acknowledged, in every mode, and loses power then: what it showed stays
 * (E2, R8). Some of those who take over are killed at it, and others take over from them.
 *
 * One thread; a case depends on nothing but its name, WORKLOAD:KILL:PREFIX:SEED:PREFIX2:SEED2, which a violation
 * prints and --repeat takes. The last line is for machines; the exit status is 1 when a promise was broken. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/thread.h"
#include "harness/workloads.h"
#include "support/sim_inside.h"

#define STATES_DEFAULT (20000u / SIM_STRIDE)
#define KILL_SHARE 4u         /* of the states one in so many is for kills */
#define CRASHES_OF_A_CRASH 2u
#define DEATH_CALLS 240u /* so many or fewer does a process that takes over before it dies */
#define SHOWN_MAX 25u
#define NO_PREFIX SIZE_MAX

typedef struct state_name {
    const workload *of;
    uint64_t kill; /* at this call; 0: not killed */
    size_t prefix, prefix2; /* NO_PREFIX: no crash */
    uint64_t seed, seed2;
} state_name;

typedef struct campaign {
    uint64_t seed, states;
    bool stops; /* at the first violation */
    uint64_t cases, violations, equal;
    uint64_t stores; /* into mapped windows, by what the workloads did */
    uint64_t *hashes; /* of the workload's states; open addressing */
    size_t hash_count, hash_capacity;
} campaign;

static void violated(campaign *of, const state_name *name, const session *by)
{
    of->violations++;
    if (of->violations <= SHOWN_MAX)
        printf("violation: %s\n    --repeat %s:%" PRIu64 ":%zd:%" PRIu64 ":%zd:%" PRIu64 "\n", by->complaint,
               name->of->name, name->kill, (ssize_t)name->prefix, name->seed, (ssize_t)name->prefix2, name->seed2);
    fflush(stdout);
    if (of->stops)
        exit(1);
}

static bool is_new(campaign *of, uint64_t hash)
{
    hash = hash != 0 ? hash : 1;
    if (2 * (of->hash_count + 1) > of->hash_capacity) {
        uint64_t *old = of->hashes;
        size_t old_capacity = of->hash_capacity;

        of->hash_capacity = old_capacity != 0 ? 2 * old_capacity : 1024;
        of->hashes = sim_must(calloc(of->hash_capacity, sizeof(*of->hashes)));
        of->hash_count = 0;
        for (size_t i = 0; i < old_capacity; i++)
            if (old[i] != 0)
                (void)is_new(of, old[i]);
        free(old);
    }
    for (size_t i = hash & (of->hash_capacity - 1);; i = (i + 1) & (of->hash_capacity - 1)) {
        if (of->hashes[i] == hash)
            return false;
        if (of->hashes[i] == 0) {
            of->hashes[i] = hash;
            of->hash_count++;
            return true;
        }
    }
}

/* Recovers the disk `crashed` and judges it. `truth` is what the disk owes. `shown_at`: see session_examine. */
static void judge(campaign *of, const state_name *name, sim_files *crashed, truth *owed, uint64_t seed,
                  size_t *shown_at)
{
    session now;
    size_t at = sim_log_base(crashed);

    of->cases++;
    session_init(&now, crashed, owed, sim_mix(seed));
    now.may_have_failed = false;
    now.io_is_wrong = !name->of->has_faults;
    session_examine(&now, name->of->durability, at > 0 ? at : 1, true, shown_at);
    if (session_close(&now) != LS_OK)
        session_complain(&now, "the store does not close: %s", ls_last_error_message());
    session_free(&now);
    if (now.complaints > 0)
        violated(of, name, &now);
}

/* A loss of power after `name->prefix` operations of `sim`, and then again. True: it was a new case. */
static bool crash(campaign *of, state_name name, sim_files *sim, const truth *history, bool only_this)
{
    sim_files *crashed = sim_crash_state(sim, name.prefix, name.seed);
    size_t shown_at = NEVER, base = sim_log_base(crashed);
    truth owed;

    if (!only_this && !is_new(of, sim_hash(crashed) ^ sim_mix(truth_count(history, name.prefix)))) {
        of->equal++;
        sim_files_free(crashed);
        return false;
    }
    owed = truth_after(history, name.prefix);
    if (only_this && name.prefix2 != NO_PREFIX)
        printf("first crash:\n");
    judge(of, &name, crashed, &owed, name.prefix ^ name.seed, &shown_at);
    for (uint32_t i = 0; i < CRASHES_OF_A_CRASH && shown_at != NEVER; i++) {
        uint64_t random = sim_mix(name.prefix * 31 + name.seed + i);
        sim_files *again;
        truth still;

        if (!only_this) {
            name.prefix2 = i == 0 ? shown_at : base + random % (sim_log_count(crashed) - base + 1);
            name.seed2 = i == 0 ? random % SIM_SEED_RANDOM : SIM_SEED_RANDOM + random % 1000;
        } else if (i > 0 || name.prefix2 == NO_PREFIX) {
            break;
        } else {
            if (getenv("SESSION_LOG") != NULL)
                sim_log_print(crashed, stdout);
            printf("second crash:\n");
        }
        again = sim_crash_state(crashed, name.prefix2, name.seed2);
        still = truth_after(&owed, name.prefix2);
        judge(of, &name, again, &still, random, NULL);
        truth_free(&still);
        sim_files_free(again);
    }
    truth_free(&owed);
    sim_files_free(crashed);
    return true;
}

/* ---- workloads, as they are and killed ---- */

typedef struct history {
    sim_files *sim;
    truth truth;
    size_t killed_at, synced_at, shown_at; /* what came after a kill: the next process synced and read */
    uint64_t calls;
} history;

static void run_workload(void *user)
{
    session *of = user;

    workloads[of->workload].run(of);
    (void)session_close(of);
}

static void lose_control_file(sim_files *sim)
{
    const lsi_files *files = sim_files_table(sim);
    lsi_root root;

    if (files->root_open(files, "sim", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) != 0)
        abort();
    (void)files->unlink(&root, "control"); /* It may not have been made yet. */
    files->root_close(&root);
}

typedef struct recovering {
    session session;
    ls_durability durability;
    size_t at;
} recovering;

static void recover(void *user)
{
    recovering *of = user;

    session_examine(&of->session, of->durability, of->at, false, NULL);
    (void)session_close(&of->session);
}

/* Of three who take over, one dies of it first, somewhere (R7). */
static void die_taking_over(campaign *of, const state_name *name, history *made)
{
    recovering next = {.durability = name->of->durability, .at = sim_log_count(made->sim)};
    sim_fault fault = {.call = SIM_ANY, .nth = 1 + sim_mix(of->seed ^ name->kill) % DEATH_CALLS, .kill = true};

    of->cases++;
    session_init(&next.session, made->sim, &made->truth, sim_mix(of->seed - name->kill));
    next.session.io_is_wrong = !name->of->has_faults;
    sim_fault_add(made->sim, fault);
    if (sim_run(made->sim, recover, &next))
        session_bury(&next.session);
    else
        session_free(&next.session);
    sim_faults_clear(made->sim);
    if (next.session.complaints > 0)
        violated(of, name, &next.session);
}

/* A process comes after one that was killed, and is judged. Half of them begin with a sync: it speaks for the dead
 * one's records too (E2). */
static void take_over(campaign *of, const state_name *name, history *made)
{
    uint64_t odds = sim_mix(name->kill) % 4;
    session next;

    if (sim_mix(name->kill) / 4 % 3 == 0)
        die_taking_over(of, name, made);
    if (odds == 0) /* The control file is a cache: it may be lost as well (P10). */
        lose_control_file(made->sim);
    made->killed_at = made->synced_at = sim_log_count(made->sim);
    of->cases++;
    session_init(&next, made->sim, &made->truth, sim_mix(of->seed + name->kill));
    next.io_is_wrong = !name->of->has_faults;
    if (odds % 2 == 0 && session_open(&next, name->of->durability) == LS_OK) {
        (void)session_sync(&next);
        made->synced_at = sim_log_count(made->sim);
    }
    session_examine(&next, name->of->durability, made->killed_at, false, &made->shown_at);
    (void)session_close(&next);
    session_free(&next);
    if (next.complaints > 0)
        violated(of, name, &next);
}

/* Runs the workload; killed at call `name->kill`, a second process takes over. */
static history make_history(campaign *of, const state_name *name)
{
    history made = {.sim = sim_files_new()};
    session first;

    session_init(&first, made.sim, &made.truth, sim_mix(of->seed));
    first.io_is_wrong = !name->of->has_faults;
    first.workload = (size_t)(name->of - workloads);
    if (name->kill == 0) {
        run_workload(&first);
        session_free(&first);
    } else {
        sim_fault fault = {.call = SIM_ANY, .nth = name->kill, .kill = true};
        bool killed;

        sim_fault_add(made.sim, fault);
        killed = sim_run(made.sim, run_workload, &first);
        sim_faults_clear(made.sim);
        session_bury(&first);
        if (killed)
            take_over(of, name, &made);
    }
    if (first.complaints > 0)
        violated(of, name, &first);
    made.calls = sim_calls(made.sim, SIM_ANY);
    return made;
}

static void history_free(history *of)
{
    truth_free(&of->truth);
    sim_files_free(of->sim);
}

/* Cases are few for so many places: each round has all corners, at other places than the round before, and some at
 * random besides. */
static uint64_t seed_of(const campaign *of, uint64_t round, size_t prefix)
{
    uint64_t turn = (of->seed + round + prefix) % (SIM_SEED_RANDOM + 3);

    return turn < SIM_SEED_RANDOM ? turn : SIM_SEED_RANDOM + sim_mix(of->seed + (round << 32) + prefix) % 1000000;
}

static void explore(campaign *of, const workload *what, uint64_t share)
{
    state_name name = {.of = what, .prefix = NO_PREFIX, .prefix2 = NO_PREFIX};
    history plain = make_history(of, &name);
    uint64_t until = of->cases + share - share / KILL_SHARE;
    uint64_t dry = 0;
    /* A round that is more than the share allows is spread over the whole run; the next ones take what lies between. */
    uint64_t stride = (1 + sim_log_count(plain.sim)) * (1 + CRASHES_OF_A_CRASH) / (1 + until - of->cases) + 1;

    of->stores += sim_calls(plain.sim, SIM_STORE);
    for (uint64_t round = 0; dry < 3 * stride && of->cases < until; round++) {
        bool any = false;

        for (name.prefix = round % stride; name.prefix <= sim_log_count(plain.sim) && of->cases < until;
             name.prefix += stride) {
            name.seed = seed_of(of, round, name.prefix);
            any = crash(of, name, plain.sim, &plain.truth, false) || any;
        }
        dry = any ? 0 : dry + 1;
    }

    if (!what->has_faults) {
        uint64_t kills = share / KILL_SHARE / (1 + 3 * (1 + CRASHES_OF_A_CRASH)) + 1;
        uint64_t step = plain.calls > kills ? plain.calls / kills : 1;

        for (name.kill = 1 + of->seed % step; name.kill < plain.calls; name.kill += step) {
            history killed;

            name.prefix = NO_PREFIX;
            killed = make_history(of, &name);
            for (uint64_t i = 0; i < 3; i++) {
                uint64_t random = sim_mix(of->seed + name.kill * 3 + i);
                size_t after = sim_log_count(killed.sim) - killed.killed_at;

                name.prefix = i == 0   ? killed.synced_at
                              : i == 1 ? killed.shown_at
                                       : killed.killed_at + random % (after + 1);
                name.seed = i < 2 ? SIM_SEED_NOTHING : random % 1000;
                (void)crash(of, name, killed.sim, &killed.truth, false);
            }
            history_free(&killed);
        }
    }
    history_free(&plain);
    free(of->hashes);
    of->hashes = NULL;
    of->hash_count = of->hash_capacity = 0;
}

static int repeat(campaign *of, const char *text)
{
    char workload_name[64];
    state_name name = {0};
    ssize_t prefix = -1, prefix2 = -1;

    if (sscanf(text, "%63[^:]:%" SCNu64 ":%zd:%" SCNu64 ":%zd:%" SCNu64, workload_name, &name.kill, &prefix, &name.seed,
               &prefix2, &name.seed2) != 6)
        return 2;
    name.prefix = (size_t)prefix;
    name.prefix2 = (size_t)prefix2;
    for (size_t i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, workload_name) == 0)
            name.of = &workloads[i];
    if (name.of == NULL)
        return 2;
    history run = make_history(of, &name);

    if (getenv("SESSION_LOG") != NULL)
        sim_log_print(run.sim, stdout);
    if (name.prefix != NO_PREFIX)
        (void)crash(of, name, run.sim, &run.truth, true);
    history_free(&run);
    return of->violations > 0;
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    campaign all = {.seed = 1, .states = STATES_DEFAULT};
    const char *only = NULL, *again = NULL;
    double began = now_s();
    size_t left = workload_count;

    if (getenv("LIBSTREAM_TEST_LONG") != NULL)
        all.states *= 20;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            all.seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--states") == 0)
            all.states = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--workload") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--stop") == 0)
            all.stops = strtoull(argv[i + 1], NULL, 0) != 0;
        else if (strcmp(argv[i], "--repeat") == 0)
            again = argv[i + 1];
        else
            return 2;
    }
    if (again != NULL)
        return repeat(&all, again);
    printf("seed %" PRIu64 "\n", all.seed);
    for (size_t i = 0; i < workload_count; i++, left--) {
        uint64_t before = all.cases, equal = all.equal;

        if (only != NULL && strcmp(workloads[i].name, only) != 0)
            continue;
        /* What a workload has no states for, the ones after it get. */
        explore(&all, &workloads[i],
                all.states <= all.cases ? 1 : (all.states - all.cases) / (only != NULL ? 1 : left));
        printf("%-24s %6" PRIu64 " cases, %6" PRIu64 " equal ones dropped\n", workloads[i].name, all.cases - before,
               all.equal - equal);
    }
    if (only == NULL && all.stores == 0) {
        puts("violation: no workload stored into a mapped window, so no crash was seen there");
        all.violations++;
    }
    printf("harness=h2 seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f\n", all.seed, all.cases,
           all.violations, now_s() - began);
    lsi_boot_id_pretend(NULL);
    lsi_thread_pretend(NULL, NULL);
    return all.violations > 0 ? 1 : 0;
}
