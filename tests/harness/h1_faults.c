/* Harness H1, walked failures: does a store keep its promises whatever call below it fails?
 *
 *     h1_faults [--seed N] [--workload NAME] [--every N] [--stop 1] [--repeat CASE]
 *
 * Each workload runs again and again: the 1st, 2nd, ... Nth call of every kind fails, with each errno that such a call
 * may give, once or from then on, until the workload is no longer touched; and the same with allocations. Each time,
 * when the fault is gone: all is there that was acknowledged and nothing that was refused; a failed shard refuses puts
 * until it is reset and a full one takes them again (E1, E3, E4); nothing leaks; opening again shows the same; so do
 * disks that a loss of power may leave. Then the same with the fault in the recovery of a disk that had lost power.
 *
 * By default the faults that are many (reads, sizes, closes) are sampled, every Nth of them, and a third of that of all
 * faults in long workloads but syncs; besides, each call fails once that comes by another way through the code than all
 * before it (trail). --every 1 walks all, which is what LIBSTREAM_TEST_LONG does. A case depends on
 * nothing but its name, WORKLOAD:PREFIX:SEED:CALL:ERRNO:SHAPE:NTH, which a violation prints and --repeat takes. The
 * last line is for machines; the exit status is 1 when a promise was broken. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAS_BACKTRACE 1
#else
#define HAS_BACKTRACE 0
#endif

#include "base/lock.h"
#include "base/thread.h"
#include "harness/workloads.h"
#include "support/sim_inside.h"

/* Kinds of calls besides those of the files. */
#define CALL_THREAD SIM_CALL_COUNT
#define CALL_MEMORY (SIM_CALL_COUNT + 1)
#define NO_PREFIX SIZE_MAX
#define SHOWN_MAX 25u
#define SHORT_BYTES 100u
#define OWN_FRAMES 2    /* of the stack: what looks at it */
#define TOLD_FRAMES 9   /* what tells one way from another */
#define WAYS (1u << 18) /* a power of two, some times as many as there are */

enum { SHAPE_ONCE, SHAPE_STICKY, SHAPE_SHORT, SHAPE_COUNT };

typedef struct case_name {
    const workload *of;
    size_t prefix; /* recovery of the disk after so many operations; NO_PREFIX: the workload itself */
    uint64_t seed;
    unsigned call;
    int err;
    unsigned shape;
    uint64_t nth;
} case_name;

typedef struct campaign {
    uint64_t seed, every;
    bool stops; /* at the first violation */
    uint64_t cases, violations;
} campaign;

/* What each kind of call may answer, ended by 0. */
static const int errnos_of[CALL_MEMORY + 1][5] = {
    [SIM_ROOT_OPEN] = {EIO, EMFILE},
    [SIM_OPEN] = {EIO, EMFILE, ENOSPC, ENOMEM},
    [SIM_CLOSE] = {EIO},
    [SIM_READ] = {EIO},
    [SIM_WRITE] = {ENOSPC, EIO, EDQUOT, EINTR},
    [SIM_SYNC] = {EIO, ENOSPC},
    [SIM_ALLOCATE] = {ENOSPC, EOPNOTSUPP},
    [SIM_TRUNCATE] = {EIO},
    [SIM_SIZE] = {EIO},
    [SIM_MAKE_DIR] = {EIO, ENOSPC, EDQUOT},
    [SIM_RENAME] = {EIO, ENOSPC},
    [SIM_UNLINK] = {EIO},
    [SIM_REMOVE_DIR] = {EIO},
    [SIM_SYNC_DIR] = {EIO},
    [SIM_BULK_BEGIN] = {EIO, EMFILE, EOPNOTSUPP},
    [SIM_BULK_END] = {EIO, ENOSPC},
    [SIM_LIST] = {EIO, ENOMEM},
    [SIM_MAP] = {ENOMEM},
    [SIM_LOCK] = {EIO},
    [SIM_LOCKED_ELSEWHERE] = {EIO},
    [CALL_THREAD] = {EAGAIN},
    [CALL_MEMORY] = {ENOMEM},
};

static const char *call_name(unsigned call)
{
    return call == CALL_MEMORY ? "memory" : call == CALL_THREAD ? "thread" : sim_call_name((sim_call)call);
}

static void violated(campaign *of, const case_name *name, const session *by, const char *when)
{
    of->violations++;
    if (of->violations <= SHOWN_MAX)
        printf("violation: %s: %s\n    --repeat %s:%zd:%" PRIu64 ":%s:%d:%u:%" PRIu64 " (%s)\n", when, by->complaint,
               name->of->name, (ssize_t)name->prefix, name->seed, call_name(name->call), name->err, name->shape,
               name->nth, name->err != 0 ? strerror(name->err) : "no memory");
    fflush(stdout);
    if (of->stops)
        exit(1);
}

static bool is_full(int err)
{
    return err == ENOSPC || err == EDQUOT;
}

/* Recovers `crashed`, which is used up, and judges. */
static void judge_crashed(campaign *of, const case_name *name, sim_files *crashed, const truth *history, size_t prefix)
{
    truth owed = truth_after(history, prefix);
    size_t at = sim_log_base(crashed);
    session now;

    session_init(&now, crashed, &owed, sim_mix(prefix));
    session_examine(&now, name->of->durability, at > 0 ? at : 1, true, NULL);
    if (session_close(&now) != LS_OK)
        session_complain(&now, "the store does not close: %s", ls_last_error_message());
    session_free(&now);
    if (now.complaints > 0)
        violated(of, name, &now, "after a loss of power");
    truth_free(&owed);
    sim_files_free(crashed);
}

/* A loss of power after `prefix` operations, which leaves one disk or another; where they are equal, once. */
static void crash(campaign *of, const case_name *name, sim_files *sim, const truth *history, size_t prefix,
                  uint64_t seed, uint64_t other_seed)
{
    sim_files *crashed = sim_crash_state(sim, prefix, seed), *other = sim_crash_state(sim, prefix, other_seed);

    if (sim_hash(other) != sim_hash(crashed))
        judge_crashed(of, name, other, history, prefix);
    else
        sim_files_free(other);
    judge_crashed(of, name, crashed, history, prefix);
}

static void fault_set(session *of, const case_name *name)
{
    sim_fault fault = {.call = (sim_call)name->call,
                       .nth = name->nth,
                       .err = name->err,
                       .sticky = name->shape != SHAPE_ONCE,
                       .short_bytes = name->shape == SHAPE_SHORT ? SHORT_BYTES : 0};

    if (name->call == CALL_MEMORY) {
        sim_memory_fail(&of->memory, name->nth, name->shape == SHAPE_STICKY);
    } else if (name->call == CALL_THREAD) {
        of->thread_fails = name->nth;
        of->threads_stay_away = name->shape == SHAPE_STICKY;
    } else if (name->nth > 0) {
        sim_fault_add(of->sim, fault);
    }
}

/* How often it failed. */
static uint64_t fault_clear(session *of, const case_name *name)
{
    uint64_t met = name->call == CALL_MEMORY   ? of->memory.failed
                   : name->call == CALL_THREAD ? of->threads_failed
                                               : sim_faults_met(of->sim);

    sim_memory_fail(&of->memory, 0, false);
    of->thread_fails = 0;
    sim_faults_clear(of->sim);
    return met;
}

/* A full disk stops no reader who is there (E3). */
static void read_on(session *of)
{
    for (uint32_t i = 0; i < of->truth->stream_count; i++)
        if (of->store != NULL && of->streams[i] != NULL && of->truth->streams[i].drop_begun_at == NEVER &&
            session_read_all(of, i) != LS_OK)
            session_complain(of, "E3: stream '%s' cannot be read while the disk is full: %s",
                             of->truth->streams[i].name, ls_last_error_message());
}

/* What a process does that comes after a loss of power. */
static void recover(session *of, ls_durability durability)
{
    uint32_t fresh;

    (void)session_open(of, durability);
    for (uint32_t i = 0; i < of->truth->stream_count; i++) {
        if (of->truth->streams[i].begun_at == NEVER || of->truth->streams[i].dropped_at != NEVER)
            continue;
        for (uint32_t shard = 0; shard < of->truth->streams[i].shard_count || shard < of->shards[i].count; shard++) {
            (void)session_read(of, i, shard, false);
            (void)session_put(of, i, shard, 333);
            (void)session_read(of, i, shard, false);
        }
    }
    (void)session_create(of, "fresh", 1, &fresh);
    (void)session_put(of, fresh, 0, 111);
    for (uint32_t i = 0; i < of->truth->stream_count; i++) {
        if (!truth_has_leases(of->truth, i) || session_work(of, i, 0) != LS_OK)
            continue;
        for (uint32_t shard = 0; shard < of->shards[i].count && shard < TRUTH_LEASES; shard++)
            (void)session_step(of, i, shard, 222);
    }
}

/* One case from its beginning to its end; `sim` and `history` are used up. True: the fault was met. */
static bool judge(campaign *of, const case_name *name, sim_files *sim, truth *history)
{
    session now;
    uint64_t met;
    size_t faulty_until;

    of->cases++;
    session_init(&now, sim, history, sim_mix(of->seed));
    now.may_have_failed = true;
    fault_set(&now, name);
    if (name->prefix == NO_PREFIX)
        name->of->run(&now);
    else
        recover(&now, name->of->durability);
    if (is_full(name->err) && name->call != SIM_SYNC && name->call != SIM_OPEN) {
        read_on(&now);
        if (now.put_io && name->shape != SHAPE_SHORT && (name->call == SIM_WRITE || name->call == SIM_ALLOCATE))
            session_complain(&now, "E3: a put on a full disk is answered with LS_ERR_IO");
    }
    met = fault_clear(&now, name);
    faulty_until = sim_log_count(sim);
    if (now.complaints > 0)
        violated(of, name, &now, "while it fails");
    now.complaints = 0;

    session_examine(&now, LS_DURABILITY_DEFAULT, NEVER - 2, false, NULL);
    if (session_close(&now) != LS_OK)
        session_complain(&now, "the store does not close: %s", ls_last_error_message());
    session_free(&now);
    if (now.complaints > 0)
        violated(of, name, &now, "when the fault is gone");
    now.complaints = 0;

    session_examine(&now, LS_DURABILITY_DEFAULT, NEVER - 2, false, NULL);
    (void)session_close(&now);
    session_free(&now);
    if (now.complaints > 0)
        violated(of, name, &now, "opened again");

    crash(of, name, sim, history, faulty_until, SIM_SEED_NOTHING, SIM_SEED_RANDOM + name->nth);
    crash(of, name, sim, history, sim_log_count(sim), SIM_SEED_NOTHING, SIM_SEED_EVERYTHING);
    return met > 0;
}

/* Which calls of a run that nothing failed in came by a way through the code that none had come by before, in any run:
 * what becomes of a failure is decided by who called. */
typedef struct trail {
    pthread_mutex_t mutex; /* some workloads have threads */
    uint64_t calls[CALL_MEMORY + 1];
    uint64_t *fresh[CALL_MEMORY + 1]; /* the numbers of those calls */
    size_t fresh_count[CALL_MEMORY + 1], fresh_capacity[CALL_MEMORY + 1];
} trail;

#if HAS_BACKTRACE
static uint64_t ways[WAYS]; /* a set of hashes, 0: free */

static bool is_new_way(uint64_t hash)
{
    hash += hash == 0;
    for (uint64_t i = hash, tries = 0; tries < WAYS; i++, tries++) {
        if (ways[i % WAYS] == hash)
            return false;
        if (ways[i % WAYS] == 0) {
            ways[i % WAYS] = hash;
            return true;
        }
    }
    abort();
}

static void trail_note(trail *of, unsigned call)
{
    void *frames[OWN_FRAMES + TOLD_FRAMES];
    int count = backtrace(frames, OWN_FRAMES + TOLD_FRAMES);
    uint64_t hash = call;

    for (int i = OWN_FRAMES; i < count; i++)
        hash = sim_mix(hash ^ (uint64_t)(uintptr_t)frames[i]);
    pthread_mutex_lock(&of->mutex);
    of->calls[call]++;
    if (is_new_way(hash)) {
        GROW(of->fresh[call], of->fresh_count[call], of->fresh_capacity[call]);
        of->fresh[call][of->fresh_count[call]++] = of->calls[call];
    }
    pthread_mutex_unlock(&of->mutex);
}
#else
static void trail_note(trail *of, unsigned call)
{
    (void)of; /* Then the sample is all there is. */
    (void)call;
}
#endif

static void trail_note_file(void *user, sim_call call, const char *name)
{
    (void)name;
    if (call != SIM_SYNC_ENDS)
        trail_note(user, call);
}

static void trail_note_memory(void *user)
{
    trail_note(user, CALL_MEMORY);
}

static void trail_begin(trail *of, session *on)
{
    sim_hook_set(on->sim, trail_note_file, of);
    on->memory.hook = trail_note_memory;
    on->memory.hook_user = of;
}

static void trail_end(trail *of, session *on)
{
    sim_hook_set(on->sim, NULL, NULL);
    on->memory.hook = NULL;
    pthread_mutex_destroy(&of->mutex);
}

static void trail_free(trail *of)
{
    for (unsigned call = 0; call <= CALL_MEMORY; call++)
        free(of->fresh[call]);
}

/* A workload run untouched to its end, and what its disk owes: recovery begins at a point of it. */
typedef struct plain_run {
    sim_files *sim;
    truth history;
} plain_run;

/* `found` may be NULL. */
static plain_run run_plainly(const campaign *of, const workload *what, trail *found)
{
    plain_run run = {.sim = sim_files_new()};
    session plain;

    session_init(&plain, run.sim, &run.history, sim_mix(of->seed));
    if (found != NULL)
        trail_begin(found, &plain);
    what->run(&plain);
    if (found != NULL)
        trail_end(found, &plain);
    (void)session_close(&plain);
    session_free(&plain);
    return run;
}

static void plain_run_free(plain_run *run)
{
    truth_free(&run->history);
    sim_files_free(run->sim);
}

/* The disk and what it owes, where the case begins. */
static sim_files *begin_case(const case_name *name, const plain_run *before, truth *history)
{
    *history = (truth){0};
    if (name->prefix == NO_PREFIX)
        return sim_files_new();
    *history = truth_after(&before->history, name->prefix);
    for (size_t i = 0; i < history->put_count; i++)
        history->puts[i].is_unknown = history->puts[i].acked_at == NEVER; /* nobody was answered */
    return sim_crash_state(before->sim, name->prefix, name->seed);
}

static bool run_case(campaign *of, const case_name *name, const plain_run *before)
{
    truth history;
    sim_files *sim = begin_case(name, before, &history);
    bool met = judge(of, name, sim, &history);

    truth_free(&history);
    sim_files_free(sim);
    return met;
}

/* The recovery that `name` says, where nothing fails. */
static trail recover_plainly(const campaign *of, const case_name *name, const plain_run *before)
{
    trail found = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    truth history;
    sim_files *sim = begin_case(name, before, &history);
    session plain;

    session_init(&plain, sim, &history, sim_mix(of->seed));
    trail_begin(&found, &plain);
    recover(&plain, name->of->durability);
    trail_end(&found, &plain);
    (void)session_close(&plain);
    session_free(&plain);
    truth_free(&history);
    sim_files_free(sim);
    return found;
}

/* Walks all kinds of calls, from `name` on, whose workload and disk are set. */
static void walk(campaign *of, case_name name, const plain_run *before, const trail *found)
{
    for (name.call = SIM_ANY + 1; name.call <= CALL_MEMORY; name.call++) {
        for (const int *err = errnos_of[name.call]; *err != 0; err++)
            for (name.shape = 0; name.shape < SHAPE_COUNT; name.shape++) {
                /* Reads and closes are many and much alike, and so are allocations in a recovery; the second errno of a
                 * call takes the same paths as the first, and so does what stays broken: sampled, but for what a shard
                 * fails of or a disk is full of. */
                bool matters = name.call == SIM_WRITE || name.call == SIM_SYNC || name.call == SIM_SYNC_DIR ||
                               name.call == SIM_ALLOCATE;
                bool sampled = name.call == SIM_READ || name.call == SIM_SIZE || name.call == SIM_CLOSE ||
                               (name.call == CALL_MEMORY && name.prefix != NO_PREFIX) ||
                               (err != errnos_of[name.call] && name.call != SIM_SYNC) ||
                               (name.shape != SHAPE_ONCE && !matters);
                bool tells = name.call == SIM_SYNC && err == errnos_of[SIM_SYNC] && name.shape == SHAPE_ONCE;
                uint64_t step = name.of->is_long && !tells && of->every > 1 ? 3 * of->every : sampled ? of->every : 1;

                name.err = *err;
                if (name.shape == SHAPE_SHORT && (name.call != SIM_WRITE || name.err != ENOSPC))
                    continue;
                name.nth = 1 + of->seed % step;
                while (run_case(of, &name, before))
                    name.nth += step;
                if (err != errnos_of[name.call] || name.shape != SHAPE_ONCE)
                    continue;
                for (size_t i = 0; i < found->fresh_count[name.call]; i++) {
                    name.nth = found->fresh[name.call][i];
                    if (name.nth % step != (1 + of->seed % step) % step)
                        (void)run_case(of, &name, before);
                }
            }
    }
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void explore(campaign *of, const workload *what)
{
    case_name name = {.of = what, .prefix = NO_PREFIX};
    trail found = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    plain_run before = run_plainly(of, what, &found);
    size_t count = sim_log_count(before.sim);

    walk(of, name, &before, &found);
    trail_free(&found);
    /* In recovery: one disk of each workload, another one for each seed. */
    name.prefix = count / 2 + sim_mix(of->seed + (uint64_t)(what - workloads)) % (count / 2);
    name.seed = SIM_SEED_RANDOM + of->seed;
    found = recover_plainly(of, &name, &before);
    walk(of, name, &before, &found);
    trail_free(&found);
    plain_run_free(&before);
}

static int repeat(campaign *of, const char *text)
{
    char workload_name[64], call[64];
    case_name name = {0};
    plain_run before;
    ssize_t prefix;

    if (sscanf(text, "%63[^:]:%zd:%" SCNu64 ":%63[^:]:%d:%u:%" SCNu64, workload_name, &prefix, &name.seed, call,
               &name.err, &name.shape, &name.nth) != 7)
        return 2;
    name.prefix = (size_t)prefix;
    for (size_t i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, workload_name) == 0)
            name.of = &workloads[i];
    for (unsigned i = 0; i <= CALL_MEMORY; i++)
        if (strcmp(call_name(i), call) == 0)
            name.call = i;
    if (name.of == NULL)
        return 2;
    before = run_plainly(of, name.of, NULL);
    printf("the fault was %smet\n", run_case(of, &name, &before) ? "" : "not ");
    plain_run_free(&before);
    return of->violations > 0;
}

int main(int argc, char **argv)
{
    campaign all = {.seed = 1, .every = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : 29};
    const char *only = NULL, *again = NULL;
    double began = now_s();

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            all.seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--every") == 0)
            all.every = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--workload") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--stop") == 0)
            all.stops = strtoull(argv[i + 1], NULL, 0) != 0;
        else if (strcmp(argv[i], "--repeat") == 0)
            again = argv[i + 1];
        else
            return 2;
    }
    if (all.every == 0)
        return 2;
    if (again != NULL)
        return repeat(&all, again);
    printf("seed %" PRIu64 "\n", all.seed);
    for (size_t i = 0; i < workload_count; i++) {
        uint64_t before = all.cases;
        double from = now_s();

        if (only != NULL ? strcmp(workloads[i].name, only) != 0 || workloads[i].has_faults
                         : workloads[i].has_faults || (workloads[i].is_like_another && all.every > 1))
            continue;
        explore(&all, &workloads[i]);
        printf("%-24s %6" PRIu64 " cases, %.1f s\n", workloads[i].name, all.cases - before, now_s() - from);
        fflush(stdout);
    }
    printf("harness=h1 seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f\n", all.seed, all.cases,
           all.violations, now_s() - began);
    lsi_boot_id_pretend(NULL);
    lsi_thread_pretend(NULL, NULL);
    return all.violations > 0 ? 1 : 0;
}
