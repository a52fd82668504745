/* The soak: does anything grow, or get slower, while a store is used for hours and processes die?
 *
 *     h4_soak [--seed N] [--seconds N] [--mode sync|interval|kernel] [--dir DIR] [--samples FILE] [--keep]
 *
 * On one directory work, each in a process of its own that lives to the end: a writer; a reader of all shards; a run of
 * a mapping; one who makes a stream, splits and merges its shards between puts, reads it whole and deletes it, over and
 * over; and one who opens the store, puts, reads and closes it, over and over. Beside them two writers, a run of the
 * mapping and a reader are killed at random times and others put in their places. The stream has a cap, so it is
 * trimmed all the while.
 *
 * Of each lasting process are sampled: its own memory, what it has mapped, its mappings and its descriptors; of the
 * store its files and their bytes; and of all puts and of the reader's records (from before the put to the reader's
 * hands) the median and the 99th percentile since the sample before. At the end the median of the last quarter must not
 * be above that of the second one by more than `limits` says: the first one is to warm up. The reader also holds every
 * record against the one before it of its writer: none is missing, none comes twice. SIGINT or SIGTERM ends the soak
 * early, and what there is is judged. The last line is for machines; the status is 1 if something is not as it should
 * be. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libstream/libstream.h>
#include <libstream/unstable/inspect.h>

#include "support/temp.h"

#define SECONDS_DEFAULT 20
#define SECONDS_LONG 400 /* The long setup gives each test twenty times its time; two hours are by option. */
#define SAMPLES_MAX 1024u
#define STREAM "soak"
#define MAPPING "work"
#define SHARDS 4u
#define CAP_BYTES (UINT64_C(4) << 20)
#define SEGMENT_BYTES (256u << 10)
#define DATA_BYTES_MAX 2000u
#define BATCH_MAX 4u
#define TURN_PUTS 40u
#define MESSAGES_MAX 20u

/* Who lives to the end, and then who does not. */
enum { WRITER, READER, RUNNER, TURNER, OPENER, LASTING, KILLED_WRITER = LASTING, KILLED_WRITER_TOO, KILLED_RUNNER,
       KILLED_READER, CHILDREN };
static const char *const names[CHILDREN] = {"writer", "reader", "runner", "turner", "opener",
                                            "writer", "writer", "runner", "reader"};

/* Of a lasting process; of the store; of calls. */
enum { MEMORY_KIB, MAPPED_KIB, MAPPINGS, DESCRIPTORS, OF_PROCESS };
enum { FILES = LASTING * OF_PROCESS, STORE_KIB, PUT_P50_US, PUT_P99_US, READ_P50_US, READ_P99_US, FIGURES };

/* The last quarter's median may be `times` the second quarter's, and `more` besides: what a page more or less, a
 * cap that a slow machine has not reached yet, or one that does other things make of it. */
static const struct limit { const char *name; double times, more; }
    process_limits[OF_PROCESS] = {{"own memory KiB", 1.1, 1024}, {"mapped memory KiB", 1.25, 4096},
                                  {"mappings", 1.1, 12}, {"descriptors", 1.1, 6}},
    limits[FIGURES - FILES] = {{"files", 1.25, 40}, {"store KiB", 1.25, 4608}, {"put p50 us", 2, 5000},
                               {"put p99 us", 3, 100000}, {"read p50 us", 2, 20000}, {"read p99 us", 3, 200000}};

/* Of times: four to a doubling, so the error is below a fifth. */
#define BUCKETS 128u
typedef struct histogram { _Atomic uint64_t count[BUCKETS]; } histogram;

static struct shared {
    _Atomic uint32_t stop;
    histogram puts, reads;
    _Atomic uint64_t put, read, handled, turns, opened;
    _Atomic uint64_t incarnation[CHILDREN];
    _Atomic uint64_t violations;
    char messages[MESSAGES_MAX][400];
} *soak;

static struct settings {
    uint64_t seed;
    int64_t seconds;
    ls_durability durability;
    const char *mode, *samples, *store;
} set;

/* ---- tools ---- */

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void violation(const char *format, ...)
{
    uint64_t index = atomic_fetch_add(&soak->violations, 1);
    va_list arguments;

    if (index >= MESSAGES_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(soak->messages[index], sizeof soak->messages[index], format, arguments);
    va_end(arguments);
}

static void must(ls_status st, const char *what)
{
    if (st == LS_OK)
        return;
    violation("%s: %s: %s", what, ls_status_name(st), ls_last_error_message());
    _exit(3);
}

static void note_time(histogram *of, int64_t us)
{
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    uint32_t at = value < 4 ? (uint32_t)value : 0;

    if (value >= 4) {
        uint32_t log = 63 - (uint32_t)__builtin_clzll(value);

        at = log * 4 + (uint32_t)(value >> (log - 2) & 3) - 4;
    }
    atomic_fetch_add_explicit(&of->count[at < BUCKETS ? at : BUCKETS - 1], 1, memory_order_relaxed);
}

static double value_of(uint32_t bucket)
{
    uint32_t log = (bucket + 4) / 4;

    return bucket < 4 ? bucket : (double)((UINT64_C(4) + (bucket + 4) % 4) << (log - 2)) * 1.125;
}

/* Of what came since the last time; below 0: nothing did. */
static void take_times(histogram *of, double *p50, double *p99)
{
    uint64_t counts[BUCKETS], all = 0, passed = 0;

    for (uint32_t i = 0; i < BUCKETS; i++)
        all += counts[i] = atomic_exchange_explicit(&of->count[i], 0, memory_order_relaxed);
    *p50 = *p99 = -1;
    for (uint32_t i = 0; i < BUCKETS && all > 0; i++) {
        passed += counts[i];
        if (*p50 < 0 && passed * 2 >= all)
            *p50 = value_of(i);
        if (*p99 < 0 && passed * 100 >= all * 99)
            *p99 = value_of(i);
    }
}

/* ---- what the processes do ---- */

typedef struct handles {
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
} handles;

static bool goes_on(void)
{
    return atomic_load_explicit(&soak->stop, memory_order_relaxed) == 0;
}

static ls_store *open_store(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;

    options.durability = set.durability;
    options.segment_bytes = SEGMENT_BYTES;
    must(ls_store_open(set.store, &options, &store), "opening the store");
    return store;
}

static handles open_all(const char *stream)
{
    handles of = {.store = open_store()};

    must(ls_stream_open(of.store, stream, &of.stream), "opening the stream");
    must(ls_producer_open(of.stream, NULL, &of.producer), "opening a producer");
    return of;
}

static void close_all(handles *of)
{
    must(ls_producer_close(of->producer), "closing a producer");
    must(ls_stream_close(of->stream), "closing a stream");
    must(ls_store_close(of->store), "closing the store");
}

/* What each record begins with. */
typedef struct mark {
    uint64_t writer, incarnation, number;
    int64_t put_us;
} mark;

/* A writer's records all have one key, so that their order is told. */
static void put_batch(const handles *of, uint32_t writer, uint64_t *number, uint32_t count, uint64_t *random)
{
    static unsigned char data[BATCH_MAX][DATA_BYTES_MAX];
    ls_put_entry entries[BATCH_MAX];
    ls_put_result results[BATCH_MAX];
    char key[16];
    size_t key_size = (size_t)snprintf(key, sizeof key, "writer-%u", writer);
    int64_t from = now_us();

    memset(entries, 0, sizeof entries);
    memset(results, 0, sizeof results);
    for (uint32_t i = 0; i < count; i++) {
        mark begins = {writer, atomic_load(&soak->incarnation[writer]), *number + i, from};

        memcpy(data[i], &begins, sizeof begins);
        entries[i].partition_key = (ls_bytes){key, key_size};
        entries[i].data = (ls_bytes){data[i], sizeof begins + next_random(random) % (DATA_BYTES_MAX - sizeof begins)};
    }
    must(ls_producer_put_batch(of->producer, entries, count, NULL, results, NULL), "putting");
    for (uint32_t i = 0; i < count; i++)
        must(results[i].status, "putting a record");
    *number += count;
    note_time(&soak->puts, now_us() - from);
    atomic_fetch_add_explicit(&soak->put, count, memory_order_relaxed);
}

static void write_on(uint32_t place, uint64_t *random)
{
    handles of = open_all(STREAM);

    for (uint64_t number = 1; goes_on();) {
        put_batch(&of, place, &number, 1 + (uint32_t)(next_random(random) % BATCH_MAX), random);
        (void)usleep((useconds_t)(next_random(random) % 20000));
    }
    close_all(&of);
}

static void check_order(const mark *of, mark last[CHILDREN])
{
    mark *before;

    if (of->writer >= CHILDREN) {
        violation("a record of nobody was read");
        return;
    }
    before = &last[of->writer];
    if (of->incarnation < before->incarnation ||
        (of->incarnation == before->incarnation && of->number != before->number + 1) ||
        (of->incarnation > before->incarnation && of->number != 1 && before->incarnation != 0))
        violation("writer %" PRIu64 ": record %" PRIu64 " of incarnation %" PRIu64 " came after record %" PRIu64
                  " of incarnation %" PRIu64, of->writer, of->number, of->incarnation, before->number,
                  before->incarnation);
    *before = *of;
}

static void read_on(uint32_t place)
{
    const ls_position from_now = {.kind = LS_LATEST};
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    mark last[CHILDREN] = {0};
    handles of = open_all(STREAM);
    ls_iterator *iterator;

    options.timeout_ms = 100;
    must(ls_iterator_open_all(of.stream, &from_now, NULL, &iterator), "opening an iterator");
    while (goes_on()) {
        const ls_batch *batch;

        must(ls_iterator_next(iterator, &options, &batch), "reading");
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            mark begins = {.writer = CHILDREN};

            if (record->data.size >= sizeof begins)
                memcpy(&begins, record->data.data, sizeof begins);
            check_order(&begins, last);
            if (place == READER)
                note_time(&soak->reads, now_us() - begins.put_us);
        }
        atomic_fetch_add_explicit(&soak->read, ls_batch_count(batch), memory_order_relaxed);
    }
    ls_iterator_close(iterator);
    close_all(&of);
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    (void)user;
    atomic_fetch_add_explicit(&soak->handled, ls_batch_count(batch), memory_order_relaxed);
    return goes_on() ? LS_HANDLER_DONE : LS_HANDLER_STOP;
}

static void run_on(void)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    handles of = open_all(STREAM);
    ls_mapping *mapping;

    options.failover_ms = 1000;
    must(ls_mapping_open(of.stream, MAPPING, &mapping), "opening the mapping");
    must(ls_mapping_run(mapping, &options, handle, NULL), "running the mapping");
    must(ls_mapping_close(mapping), "closing the mapping");
    close_all(&of);
}

static void put_some(const handles *of, uint32_t *next)
{
    for (uint32_t i = 0; i < TURN_PUTS; i++, ++*next) {
        char key[16];
        size_t size = (size_t)snprintf(key, sizeof key, "%u", *next);

        must(ls_producer_put(of->producer, (ls_bytes){key, size}, (ls_bytes){next, sizeof *next}, NULL, NULL),
             "putting into a stream that is resharded");
    }
}

static void read_turn(const handles *of, uint32_t expected)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    bool *seen = calloc(expected, sizeof *seen);
    int64_t until = now_us() + 30000000;
    ls_iterator *iterator;
    uint32_t count = 0;

    if (seen == NULL)
        abort();
    must(ls_iterator_open_all(of->stream, &horizon, NULL, &iterator), "opening an iterator");
    while (count < expected && now_us() < until) {
        const ls_batch *batch;

        must(ls_iterator_next(iterator, NULL, &batch), "reading a stream that was resharded");
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            uint32_t number = expected;

            memcpy(&number, ls_batch_at(batch, i)->data.data, sizeof number);
            if (number >= expected || seen[number])
                violation("record %u of a stream that was resharded came twice, or is none of it", number);
            else
                seen[number] = true;
            count++;
        }
    }
    if (count < expected)
        violation("only %u of %u records of a stream that was resharded were read", count, expected);
    ls_iterator_close(iterator);
    free(seen);
}

static void turn_on(uint64_t *random)
{
    ls_store *store = open_store();

    for (uint64_t turn = 0; goes_on(); turn++) {
        ls_stream_options about = LS_STREAM_OPTIONS_INIT;
        handles of = {.store = store};
        uint32_t next = 0, lower, upper;
        char name[32];

        (void)snprintf(name, sizeof name, "turn-%" PRIu64, turn);
        about.shard_count = 2;
        must(ls_stream_create(store, name, &about), "making a stream");
        must(ls_stream_open(store, name, &of.stream), "opening it");
        must(ls_producer_open(of.stream, NULL, &of.producer), "opening its producer");
        put_some(&of, &next);
        must(ls_stream_split(of.stream, 0, NULL, &lower, &upper), "splitting");
        put_some(&of, &next);
        must(ls_stream_merge(of.stream, lower, upper, NULL), "merging");
        put_some(&of, &next);
        read_turn(&of, next);
        must(ls_producer_close(of.producer), "closing its producer");
        must(ls_stream_close(of.stream), "closing it");
        must(ls_stream_delete(store, name), "deleting it");
        atomic_fetch_add(&soak->turns, 1);
        (void)usleep((useconds_t)(next_random(random) % 200000));
    }
    must(ls_store_close(store), "closing the store");
}

static void open_on(uint32_t place, uint64_t *random)
{
    for (uint64_t number = 1; goes_on();) {
        handles of = open_all(STREAM);
        ls_iterator *iterator;
        const ls_batch *batch;

        put_batch(&of, place, &number, 1, random);
        must(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), "opening an iterator");
        must(ls_iterator_next(iterator, NULL, &batch), "reading");
        ls_iterator_close(iterator);
        close_all(&of);
        atomic_fetch_add(&soak->opened, 1);
        (void)usleep((useconds_t)(next_random(random) % 100000));
    }
}

static pid_t spawn(uint32_t place, uint64_t *random)
{
    uint64_t own = next_random(random);
    pid_t pid;

    atomic_fetch_add(&soak->incarnation[place], 1);
    pid = fork();
    if (pid != 0)
        return pid;
    (void)signal(SIGINT, SIG_IGN); /* of a terminal, for all */
    (void)signal(SIGTERM, SIG_DFL);
    switch (place) {
    case WRITER:
    case KILLED_WRITER:
    case KILLED_WRITER_TOO:
        write_on(place, &own);
        break;
    case READER:
    case KILLED_READER:
        read_on(place);
        break;
    case TURNER:
        turn_on(&own);
        break;
    case OPENER:
        open_on(place, &own);
        break;
    default:
        run_on();
    }
    _exit(0);
}

/* ---- samples ---- */

static double samples[SAMPLES_MAX][FIGURES];
static size_t sample_count;

static uint32_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    uint32_t count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

static void sample_process(pid_t pid, double into[OF_PROCESS])
{
    char path[64], line[512];
    FILE *file;

    for (int i = 0; i < OF_PROCESS; i++)
        into[i] = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        double kib;

        if (sscanf(line, "RssAnon: %lf", &kib) == 1)
            into[MEMORY_KIB] = kib;
        else if (sscanf(line, "RssFile: %lf", &kib) == 1 || sscanf(line, "RssShmem: %lf", &kib) == 1)
            into[MAPPED_KIB] += kib;
    }
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        into[MAPPINGS]++;
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    into[DESCRIPTORS] = count_entries(path);
}

static double store_files, store_bytes;

static int count_file(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)path;
    (void)where;
    if (kind == FTW_F) {
        store_files++;
        store_bytes += (double)about->st_blocks * 512;
    }
    return 0;
}

static void take_sample(const pid_t *pids)
{
    double *into = samples[sample_count++];

    for (uint32_t place = 0; place < LASTING; place++)
        sample_process(pids[place], into + place * OF_PROCESS);
    store_files = store_bytes = 0;
    (void)nftw(set.store, count_file, 16, FTW_PHYS); /* What goes away meanwhile is not counted. */
    into[FILES] = store_files;
    into[STORE_KIB] = store_bytes / 1024;
    take_times(&soak->puts, &into[PUT_P50_US], &into[PUT_P99_US]);
    take_times(&soak->reads, &into[READ_P50_US], &into[READ_P99_US]);
}

static int compare_figures(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Below 0: there was nothing. */
static double median(size_t from, size_t until, uint32_t figure)
{
    static double sorted[SAMPLES_MAX];
    size_t count = 0;

    for (size_t i = from; i < until; i++)
        if (samples[i][figure] >= 0)
            sorted[count++] = samples[i][figure];
    qsort(sorted, count, sizeof *sorted, compare_figures);
    return count > 0 ? sorted[count / 2] : -1;
}

static void judge(void)
{
    size_t quarter = sample_count / 4;

    if (quarter < 5) {
        violation("%zu samples are too few", sample_count);
        return;
    }
    printf("%-26s %12s %12s %12s\n", "median", "2nd quarter", "last quarter", "at most");
    for (uint32_t i = 0; i < FIGURES; i++) {
        const struct limit *limit = i < FILES ? &process_limits[i % OF_PROCESS] : &limits[i - FILES];
        double before = median(quarter, 2 * quarter, i), after = median(sample_count - quarter, sample_count, i);
        double most = before * limit->times + limit->more;
        char name[64];

        (void)snprintf(name, sizeof name, "%s%s%s", i < FILES ? names[i / OF_PROCESS] : "", i < FILES ? ": " : "",
                       limit->name);
        printf("%-26s %12.0f %12.0f %12.0f%s\n", name, before, after, most, after > most ? "  grows" : "");
        if (before < 0 || after < 0)
            violation("%s: nothing was measured", name);
        else if (after > most)
            violation("%s: from %.0f to %.0f, above %.0f", name, before, after, most);
    }
}

static void write_samples(int64_t interval_us)
{
    FILE *file = fopen(set.samples, "we");

    if (file == NULL) {
        perror(set.samples);
        return;
    }
    fputs("seconds", file);
    for (uint32_t i = 0; i < FIGURES; i++)
        fprintf(file, ",%s%s%s", i < FILES ? names[i / OF_PROCESS] : "", i < FILES ? " " : "",
                i < FILES ? process_limits[i % OF_PROCESS].name : limits[i - FILES].name);
    for (size_t n = 0; n < sample_count; n++) {
        fprintf(file, "\n%.1f", (double)((int64_t)n + 1) * (double)interval_us / 1e6);
        for (uint32_t i = 0; i < FIGURES; i++)
            fprintf(file, ",%.0f", samples[n][i]);
    }
    fputc('\n', file);
    (void)fclose(file);
}

/* ---- the soak ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void prepare(void)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    ls_store *store = open_store();
    ls_stream *stream;

    about.shard_count = SHARDS;
    about.retention_bytes = CAP_BYTES;
    must(ls_stream_create(store, STREAM, &about), "making the stream");
    must(ls_stream_open(store, STREAM, &stream), "opening the stream");
    must(ls_mapping_create(stream, MAPPING, &horizon, NULL), "making the mapping");
    must(ls_stream_close(stream), "closing the stream");
    must(ls_store_close(store), "closing the store");
}

/* Somebody else takes its place. */
static void bury(pid_t *pids, pid_t pid, int status, uint64_t *random, uint64_t *kills)
{
    for (uint32_t place = 0; place < CHILDREN; place++) {
        if (pids[place] != pid)
            continue;
        if (place >= LASTING && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            ++*kills;
        else
            violation("a %s ended with %d", names[place], status);
        pids[place] = spawn(place, random);
    }
}

static uint64_t work(int64_t interval_us)
{
    pid_t pids[CHILDREN];
    uint64_t random = set.seed, kills = 0;
    int64_t from = now_us(), next = from + interval_us, strike = from;

    for (uint32_t place = 0; place < CHILDREN; place++)
        pids[place] = spawn(place, &random);
    while (now_us() - from < set.seconds * 1000000 && interrupted == 0 && atomic_load(&soak->violations) == 0) {
        int status;
        pid_t pid;

        (void)usleep(5000);
        if (now_us() >= strike) {
            (void)kill(pids[LASTING + next_random(&random) % (CHILDREN - LASTING)], SIGKILL);
            strike = now_us() + (int64_t)(next_random(&random) % 600000);
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            bury(pids, pid, status, &random, &kills);
        if (now_us() >= next && sample_count < SAMPLES_MAX) {
            take_sample(pids);
            next += interval_us;
        }
    }
    atomic_store(&soak->stop, 1);
    for (uint32_t place = 0; place < CHILDREN; place++) {
        int64_t until = now_us() + 20000000;
        int status = 0;

        if (place == RUNNER || place == KILLED_RUNNER) /* A run ends by itself only when records come. */
            (void)kill(pids[place], SIGKILL);
        while (waitpid(pids[place], &status, WNOHANG) == 0) {
            if (now_us() >= until) {
                violation("a %s does not end", names[place]);
                (void)kill(pids[place], SIGKILL);
                until = INT64_MAX;
            }
            (void)usleep(1000);
        }
    }
    return kills;
}

static void verify(void)
{
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    ls_status st = ls_inspect_verify(set.store, NULL, NULL, &summary, NULL);

    if (st != LS_OK || summary.damages > 0)
        violation("the store is damaged at the end: %s", ls_last_error_message());
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'}, {"seconds", required_argument, NULL, 't'},
        {"mode", required_argument, NULL, 'm'}, {"dir", required_argument, NULL, 'd'},
        {"samples", required_argument, NULL, 'S'}, {"keep", no_argument, NULL, 'K'}, {NULL, 0, NULL, 0}};
    temp_dir temp;
    char store[TEMP_PATH_BYTES * 2];
    int64_t from = now_us(), interval_us;
    uint64_t kills, violations;
    bool keep = false;
    int option;

    set.seed = (uint64_t)time(NULL);
    set.seconds = getenv("LIBSTREAM_TEST_LONG") != NULL ? SECONDS_LONG : SECONDS_DEFAULT;
    set.mode = "sync";
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': set.seed = strtoull(optarg, NULL, 0); break;
        case 't': set.seconds = strtoll(optarg, NULL, 0); break;
        case 'm': set.mode = optarg; break;
        case 'd': (void)setenv("TMPDIR", optarg, 1); break;
        case 'S': set.samples = optarg; break;
        case 'K': keep = true; break;
        default: return 2;
        }
    set.durability = strcmp(set.mode, "sync") == 0       ? LS_DURABILITY_SYNC
                     : strcmp(set.mode, "interval") == 0 ? LS_DURABILITY_INTERVAL
                                                         : LS_DURABILITY_KERNEL;
    printf("seed %" PRIu64 "\n", set.seed);
    fflush(stdout);
    temp_make(&temp);
    memcpy(store, temp_path(&temp, "store"), sizeof store);
    set.store = store;
    soak = mmap(NULL, sizeof *soak, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (soak == MAP_FAILED)
        abort();
    (void)signal(SIGINT, interrupt);
    (void)signal(SIGTERM, interrupt);
    interval_us = set.seconds * 1000000 / 720 > 100000 ? set.seconds * 1000000 / 720 : 100000;
    prepare();
    kills = work(interval_us);
    if (atomic_load(&soak->violations) == 0)
        judge();
    if (set.samples != NULL)
        write_samples(interval_us);
    verify();
    violations = atomic_load(&soak->violations);
    for (uint64_t i = 0; i < violations && i < MESSAGES_MAX; i++)
        printf("violation: %s\n", soak->messages[i]);
    printf("soak mode=%s samples=%zu kills=%" PRIu64 " put=%" PRIu64 " read=%" PRIu64 " handled=%" PRIu64
           " turns=%" PRIu64 " opened=%" PRIu64 "\n", set.mode, sample_count, kills, atomic_load(&soak->put),
           atomic_load(&soak->read), atomic_load(&soak->handled), atomic_load(&soak->turns),
           atomic_load(&soak->opened));
    if (keep)
        printf("kept in %s\n", temp.path);
    else
        temp_remove(&temp);
    printf("harness=h4_soak seed=%" PRIu64 " cases=%zu violations=%" PRIu64 " wall_s=%.1f\n", set.seed, sample_count,
           violations, (double)(now_us() - from) / 1e6);
    return violations > 0;
}
