/* H4, the kill storm: is anything lost, doubled, reordered or stuck when processes die at any instruction?
 *
 * Producers, consumers (of one shard and merged, with iterators and subscriptions), a maker of streams, one who splits
 * and merges the shards beneath them and changes how records are encrypted and compressed, one who registers consumers
 * and changes settings, and two whose stream is trimmed are processes on one directory; shards that are hot or cold are
 * split and merged by themselves, too. A parent kills them at random times, stops some of them for a while, and puts
 * others in their place. Besides, most of them carry a hook in their file layer that kills them at the Nth call, before
 * it, behind it or in the middle of a write: so that many die while they hold a lock, which is counted from the lock
 * words and asserted. Now and then all die at once, and the next finds itself alone, half of the times without the
 * control file, as after a reboot that lost nothing else.
 *
 * The oracle lies outside the store: each put notes its intent in a file before the call and its acknowledgement after.
 * A write to such a file is one small append, which a kill leaves whole or not at all. history.c then judges (H5).
 *
 *     h4_storm [--seed N] [--kills N] [--mode sync|kernel|interval] [--dir DIR] [--wait-ms N] [--keep]
 *
 * Without --mode the kills are shared out to all three. --kills 0 runs two seconds without a fault. The last line is
 * `harness=h4 seed=.. cases=.. violations=.. wall_s=.. holders=..`; the status is 1 if there were violations. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/h4.h"
#include "support/temp.h"

static pid_t spawn(uint32_t place, uint64_t *random)
{
    uint64_t own = storm_random(random);
    pid_t pid;

    atomic_fetch_add(&storm->child[place].incarnation, 1);
    atomic_store(&storm->child[place].busy_since_us, 0);
    pid = fork();
    if (pid != 0)
        return pid;

    static storm_plan plan;
    storm_plan_init(&plan, &own);
    if (place < STORM_PRODUCERS)
        storm_produce(place, &own, &plan);
    else if (place < STORM_MAKER)
        storm_consume(place, &own, &plan);
    else if (place == STORM_MAKER)
        storm_make_streams(&own, &plan);
    else if (place == STORM_RESHARDER)
        storm_reshard(&own, &plan);
    else if (place == STORM_SETTER)
        storm_change_settings(&own, &plan);
    else
        storm_trim(place, &own, &plan);
    _exit(0);
}

/* What the kernel says of a process that is late. */
static void dump_process(pid_t pid, char *into, size_t size)
{
    static const char *const names[] = {"wchan", "syscall"};
    size_t used = 0;

    into[0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        int fd;
        ssize_t got;

        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, names[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        got = read(fd, into + used, size - used - 2);
        (void)close(fd);
        if (got > 0)
            used += (size_t)got;
        into[used++] = ' ';
        into[used] = '\0';
    }
}

static void stuck(uint32_t place, pid_t pid)
{
    char about[200];
    siginfo_t end = {0};

    if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid != 0)
        return; /* It is dead, and we are late. */
    dump_process(pid, about, sizeof about);
    storm_violation("child %u is stuck in a call: %s", place, about);
    atomic_store(&storm->child[place].busy_since_us, 0);
}

/* A call that never ends is seen here only; one that was late says so itself. */
static void watch(const pid_t *pids)
{
    for (uint32_t place = 0; place < STORM_CHILDREN; place++) {
        int64_t since = atomic_load(&storm->child[place].busy_since_us);

        if (since != 0 && storm_now_us() - since >= 10 * atomic_load(&storm->child[place].allowed_us))
            stuck(place, pids[place]);
    }
}

/* Kills a child, and no other way is there to: death must not hide that it had waited for too long (P1). */
static void kill_child(uint32_t place, pid_t pid)
{
    storm_child *state = &storm->child[place];
    int64_t since = atomic_load(&state->busy_since_us);
    int64_t excused = storm_excuses() - atomic_load(&state->excused_us);

    if (since != 0 && storm_now_us() - since - excused > atomic_load(&state->allowed_us))
        stuck(place, pid);
    (void)kill(pid, SIGKILL);
}

/* True when `pid` died by SIGKILL; another end is a violation, unless the storm is over. */
static bool judge_end(uint32_t place, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    if (WIFSIGNALED(status))
        storm_violation("child %u died of signal %d", place, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0 && atomic_load(&storm->violations) == 0)
        storm_violation("child %u ended with %d", place, WEXITSTATUS(status));
    return false;
}

/* Everybody dies. Who comes next is alone, and must find all in the segments if the control file went too. */
static uint64_t kill_all(pid_t *pids, uint64_t *random)
{
    char control[TEMP_PATH_BYTES * 3];
    uint64_t kills = 0;

    for (uint32_t place = 0; place < STORM_CHILDREN; place++)
        kill_child(place, pids[place]);
    for (uint32_t place = 0; place < STORM_CHILDREN; place++) {
        int status = 0;

        (void)waitpid(pids[place], &status, 0);
        kills += judge_end(place, status);
    }
    (void)snprintf(control, sizeof control, "%s/control", storm_set.dir);
    if ((storm_random(random) & 1) != 0 && unlink(control) != 0)
        storm_violation("the control file cannot be deleted: %s", strerror(errno));
    for (uint32_t place = 0; place < STORM_CHILDREN; place++)
        pids[place] = spawn(place, random);
    return kills;
}

static uint64_t rage(uint64_t *random, uint64_t *stops, uint64_t *ends)
{
    pid_t pids[STORM_CHILDREN];
    uint64_t kills = 0;
    int64_t until = storm_now_us() + 2000000;

    for (uint32_t place = 0; place < STORM_CHILDREN; place++)
        pids[place] = spawn(place, random);
    while (storm_set.kills > 0 ? kills < storm_set.kills : storm_now_us() < until) {
        uint32_t place = (uint32_t)storm_random_below(random, STORM_CHILDREN);
        int status;
        pid_t pid;

        (void)usleep((useconds_t)storm_random_below(random, 20000));
        if (storm_set.kills > 0 && !storm_is_calm() && storm_random_below(random, 25) == 0) {
            kills += kill_all(pids, random);
            ++*ends;
        } else if (storm_set.kills > 0 && storm_random_below(random, 10) == 0) {
            int64_t from = storm_now_us();

            (void)kill(pids[place], SIGSTOP);
            (void)usleep(1000 + (useconds_t)storm_random_below(random, 60000));
            (void)kill(pids[place], SIGCONT);
            atomic_fetch_add(&storm->stopped_us, storm_now_us() - from);
            ++*stops;
        } else if (storm_set.kills > 0 && atomic_load(&storm->holders) * 4 >= kills) {
            kill_child(place, pids[place]); /* Not so many on a slow machine that hooks have no time to strike. */
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            for (uint32_t i = 0; i < STORM_CHILDREN; i++)
                if (pids[i] == pid) {
                    kills += judge_end(i, status);
                    pids[i] = spawn(i, random);
                }
        watch(pids);
        if (atomic_load(&storm->violations) > 0)
            break;
    }
    atomic_store(&storm->stop, 1);
    for (uint32_t place = 0; place < STORM_CHILDREN; place++) {
        int64_t limit = storm_now_us() + 20000000;
        int status = 0;

        /* A hook may still strike while it closes. */
        while (waitpid(pids[place], &status, WNOHANG) == 0 && storm_now_us() < limit)
            (void)usleep(1000);
        if (storm_now_us() >= limit) {
            char about[200];

            dump_process(pids[place], about, sizeof about);
            storm_violation("child %u does not end: %s", place, about);
            (void)kill(pids[place], SIGKILL);
            (void)waitpid(pids[place], &status, 0);
        }
        (void)judge_end(place, status);
    }
    return kills;
}

static void set_at_first(uint32_t setting, uint64_t value)
{
    atomic_store(&storm->settings[setting].made, value);
    atomic_store(&storm->settings[setting].begun, value);
}

static ls_status register_readers(ls_stream *stream)
{
    ls_status st = LS_OK;

    for (uint32_t place = STORM_PRODUCERS; place < STORM_MAKER && st == LS_OK; place++) {
        char name[32];

        (void)snprintf(name, sizeof name, STORM_READER "-%u", place); /* fits */
        if (storm_is_subscriber(place))
            st = ls_consumer_register(stream, name, NULL);
    }
    return st;
}

static void prepare(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT, kept = LS_STREAM_OPTIONS_INIT;
    ls_auto_scaling scaling = LS_AUTO_SCALING_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;

    atomic_store(&storm->kept_newest, UINT64_MAX);
    set_at_first(STORM_HOURS, 24);
    set_at_first(STORM_MODE, LS_STREAM_ON_DEMAND);
    kept.retention_bytes = STORM_KEPT_BYTES;
    options.durability = storm_set.durability;
    options.segment_bytes = STORM_SEGMENT_BYTES;
    options.sync_interval_ms = 10;
    about.shard_count = STORM_SHARDS;
    /* More than anybody writes or reads here, but a shard that gets 50 records a second is hot. */
    about.write_records_per_second = 2500;
    about.write_bytes_per_second = about.read_bytes_per_second = UINT32_C(1) << 30;
    about.read_calls_per_second = 1000000;
    scaling.enabled = 1;
    scaling.hot_percent = 2;
    scaling.cold_percent = 1;
    scaling.hot_seconds = scaling.cold_seconds = 1;
    scaling.shards_min = STORM_SHARDS;
    scaling.shards_max = STORM_OPEN_MAX + 2;
    if (ls_store_open(storm_set.dir, &options, &store) != LS_OK ||
        ls_stream_create(store, STORM_STREAM, &about) != LS_OK ||
        ls_stream_create(store, STORM_KEPT_STREAM, &kept) != LS_OK ||
        ls_stream_open(store, STORM_STREAM, &stream) != LS_OK ||
        ls_stream_set_auto_scaling(stream, &scaling) != LS_OK || register_readers(stream) != LS_OK ||
        ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK) {
        fprintf(stderr, "h4: %s\n", ls_last_error_message());
        exit(2);
    }
}

/* One storm in a directory of its own. */
static uint64_t run(const char *mode, const char *dir, bool keep, uint64_t *holders, uint64_t *violations)
{
    temp_dir temp;
    char store[TEMP_PATH_BYTES * 2];
    uint64_t random = storm_set.seed ^ (uint64_t)storm_set.durability << 32;
    uint64_t kills, stops = 0, ends = 0;

    if (dir != NULL)
        (void)setenv("TMPDIR", dir, 1);
    temp_make(&temp);
    memcpy(store, temp_path(&temp, "store"), sizeof store);
    storm_set.dir = store;
    storm_set.oracle = temp.path;
    storm = mmap(NULL, sizeof *storm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (storm == MAP_FAILED)
        abort();
    storm->began_us = storm_now_us();
    prepare();
    kills = rage(&random, &stops, &ends);
    storm_judge();

    uint64_t held = atomic_load(&storm->holders);
    if (kills >= 200 && held * 5 < kills)
        storm_violation("only %" PRIu64 " of %" PRIu64 " kills hit a holder of a lock: a fifth is wanted", held, kills);
    printf("h4 mode=%s kills=%" PRIu64 " hooked=%" PRIu64 " holders=%" PRIu64 " append_holders=%" PRIu64
           " stops=%" PRIu64 " all_dead=%" PRIu64 " reshards=%" PRIu64 " new_keys=%" PRIu64 " compressed=%" PRIu64
           " trimmed=%" PRIu64 " changes=%" PRIu64 " scaled=%" PRIu64, mode,
           kills, atomic_load(&storm->hooked_kills), held, atomic_load(&storm->append_holders), stops, ends,
           atomic_load(&storm->reshards), atomic_load(&storm->new_keys), atomic_load(&storm->compressed),
           atomic_load(&storm->trimmed), atomic_load(&storm->changes), atomic_load(&storm->scaled));
    printf(" puts=%" PRIu64 " acknowledged=%" PRIu64 " repeated=%" PRIu64 " read=%" PRIu64
           " pushed=%" PRIu64 " longest_ms=%" PRId64 " slow_disk_ms=%" PRId64 "\n",
           atomic_load(&storm->puts), atomic_load(&storm->acknowledged), atomic_load(&storm->repeated),
           atomic_load(&storm->read), atomic_load(&storm->pushed),
           atomic_load(&storm->longest_us) / 1000, atomic_load(&storm->slow_disk_us) / 1000);
    *holders += held;
    *violations += storm_end(&temp, keep);
    return kills;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'}, {"kills", required_argument, NULL, 'k'},
        {"mode", required_argument, NULL, 'm'}, {"dir", required_argument, NULL, 'd'},
        {"wait-ms", required_argument, NULL, 'w'}, {"keep", no_argument, NULL, 'K'}, {NULL, 0, NULL, 0}};
    uint64_t kills = getenv("LIBSTREAM_TEST_LONG") != NULL ? 40000 : 2000;
    const char *mode = NULL, *dir = NULL;
    uint64_t cases = 0, holders = 0, violations = 0;
    int64_t from = storm_now_us();
    bool keep = false;
    int option;

    storm_set.seed = (uint64_t)time(NULL);
    storm_set.wait_us = 1000000;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': storm_set.seed = strtoull(optarg, NULL, 0); break;
        case 'k': kills = strtoull(optarg, NULL, 0); break;
        case 'm': mode = optarg; break;
        case 'd': dir = optarg; break;
        case 'w': storm_set.wait_us = strtoll(optarg, NULL, 0) * 1000; break;
        case 'K': keep = true; break;
        default: return 2;
        }
    static const struct { const char *name; ls_durability durability; } modes[] = {
        {"sync", LS_DURABILITY_SYNC}, {"kernel", LS_DURABILITY_KERNEL}, {"interval", LS_DURABILITY_INTERVAL}};

    storm_set.kills = mode != NULL ? kills : (kills + 2) / 3;
    printf("h4 seed=%" PRIu64 "\n", storm_set.seed);
    (void)fflush(stdout);
    for (size_t i = 0; i < 3; i++)
        if (mode == NULL || strcmp(mode, modes[i].name) == 0) {
            storm_set.durability = modes[i].durability;
            cases += run(modes[i].name, dir, keep, &holders, &violations);
            (void)fflush(stdout);
        }
    printf("harness=h4 seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f holders=%" PRIu64 "\n",
           storm_set.seed, cases, violations, (double)(storm_now_us() - from) / 1e6, holders);
    return violations != 0;
}
