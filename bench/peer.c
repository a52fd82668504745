/* QUESTION  How does libstream compare with embedded stores and servers on the same work?
 * WORKLOAD  Records of a 16-byte partition key and RECORD_BYTES of data, put RECORDS_PER_CALL at a time, by one or
 *           several processes into one stream; then read back in order, every 8-byte word of the data summed.
 * UNIT      records per second, microseconds per call; see the lines below.
 *
 *   peer -d DIR -n RECORDS -s RECORD_BYTES -b RECORDS_PER_CALL -y none|sync [-P PROCESSES] [-m MODE] [-o OPTION]
 *        [-r READ_PASSES]
 *
 * It takes the arguments and prints the lines of a frame that runs many stores in turn, and takes part in its rounds.
 * -y none is KERNEL: the call returns when the kernel has the records. -y sync is SYNC: when the disk has them.
 *
 * -m put      RESULT   name size batch sync processes records  put_records_per_s put_MB_per_s p50_us p99_us max_us
 *                      read_records_per_s read_MB_per_s  file_bytes_per_data_byte cpu_s_per_million_puts
 * -m tail     TAIL     name size batch sync records  records_per_s MB_per_s lag_us
 *                      One process reads while another puts; the clock stops when the last record was read.
 * -m recover  RECOVER  name size batch sync records  open_ms open_and_read_ms records_read
 *                      The producer is killed; then open, and read the first page.
 * -o e2e      E2E      name  p50_us p99_us max_us
 *                      From the call of put in one process to the record in the hands of a reader that waits in
 *                      another. With `spin` the reader polls.
 *
 * Options, joined by '+'; all but the last line's become part of the name:
 *   shards=N       the stream has N shards (1)
 *   distinct       every record has a key of its own, instead of one of 1,024
 *   segment=BYTES  of the segments, with k, m or g (64m): in KERNEL a roll syncs the segment that it ends
 *   written        small records are written, not stored into a mapping (LS_STORE_NO_MAPPED_WRITES)
 *   e2e, spin      see above; `pinned`: reader and writer each on a processor of its own, wherever the scheduler would
 *                  put them (it may wake the writer where the reader polls, and then the reader's turn is measured) */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL 4096u      /* different records; a power of two */
#define KEYS 1024u      /* different keys; a power of two */
#define KEY_BYTES 16u
#define NAME_BYTES 128u
#define PROCESSES_MAX 64u
#define BATCH_MAX 65536u

static struct {
    const char *directory, *mode, *option;
    uint64_t records;
    size_t size;
    uint64_t segment_bytes;
    unsigned batch, processes, passes, shards;
    bool sync, distinct, written, pinned;
} args = {"/tmp/libstream-peer", "put", "", 1000000, 100, 0, 500, 1, 3, 1, false, false, false, false};

static char name[NAME_BYTES] = "libstream";
static char *pool;
static char keys[KEYS][KEY_BYTES + 1];
static char (*fresh_keys)[KEY_BYTES]; /* with `distinct`: of the records of one call */

/* What the latest opening opened. */
static ls_store *store;
static ls_stream *stream;
static ls_producer *producer;
static ls_iterator *iterator;
static ls_put_entry *entries;
static ls_put_result *results;

/* What was read, and the time of each call of put. */
static uint64_t seen_records, seen_bytes, seen_sum;
static uint64_t *latencies;
static size_t latency_count, latency_capacity;

/* Between a parent and its children. */
struct shared {
    int ready, go;
    uint64_t began[PROCESSES_MAX], ended[PROCESSES_MAX];
    size_t latency_counts[PROCESSES_MAX];
};

static void make_records(void)
{
    pool = bench_memory((size_t)POOL * args.size + 8);
    for (size_t i = 0; i < POOL; i++)
        bench_json_record(pool + i * args.size, args.size, i);
    fresh_keys = bench_memory(args.batch * sizeof(*fresh_keys));
    for (size_t i = 0; i < KEYS; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "sensor-%09u", (unsigned)(bench_random() % 1000000));
}

static ls_bytes data_of(uint64_t record)
{
    return (ls_bytes){pool + (record & (POOL - 1)) * args.size, args.size};
}

static ls_bytes key_of(uint64_t record)
{
    static const char digits[16] = "0123456789abcdef";

    if (args.distinct) {
        char *key = fresh_keys[record % args.batch];

        for (unsigned i = 0; i < KEY_BYTES; i++) /* snprintf would cost as much as the put */
            key[i] = digits[record >> (60 - 4 * i) & 15];
        return (ls_bytes){key, KEY_BYTES};
    }
    return (ls_bytes){keys[(uint32_t)record * 2654435761u >> 7 & (KEYS - 1)], KEY_BYTES};
}

/* ---- the store ---- */

static void open_store(bool create)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    if (create)
        bench_fresh_directory(args.directory);
    options.durability = args.sync ? LS_DURABILITY_SYNC : LS_DURABILITY_KERNEL;
    if (!create)
        options.durability = LS_DURABILITY_DEFAULT;
    options.segment_bytes = args.segment_bytes;
    options.flags = args.written ? LS_STORE_NO_MAPPED_WRITES : 0;
    if (ls_store_open(args.directory, &options, &store) != LS_OK)
        bench_fail_ls("open the store");
    if (create) {
        ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;

        stream_options.shard_count = args.shards;
        if (args.size + KEY_BYTES > 1u << 20)
            stream_options.record_bytes_max = 10u << 20;
        if (ls_stream_create(store, "peer", &stream_options) != LS_OK)
            bench_fail_ls("create the stream");
    }
    if (ls_stream_open(store, "peer", &stream) != LS_OK)
        bench_fail_ls("open the stream");
}

static void open_producer(void)
{
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    entries = bench_memory(args.batch * sizeof(*entries));
    results = bench_memory(args.batch * sizeof(*results));
}

static void open_iterator(void)
{
    if ((args.shards == 1 ? ls_iterator_open(stream, 0, NULL, NULL, &iterator)
                          : ls_iterator_open_all(stream, NULL, NULL, &iterator)) != LS_OK)
        bench_fail_ls("open the iterator");
}

static void close_store(void)
{
    ls_iterator_close(iterator);
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    free(entries);
    free(results);
    iterator = NULL;
    producer = NULL;
    stream = NULL;
    store = NULL;
    entries = NULL;
    results = NULL;
}

static void put(uint64_t first)
{
    size_t failed = 0;

    if (args.batch == 1) {
        ls_record_id id;

        if (ls_producer_put(producer, key_of(first), data_of(first), NULL, &id) != LS_OK)
            bench_fail_ls("put");
        return;
    }
    for (unsigned i = 0; i < args.batch; i++) {
        entries[i].partition_key = key_of(first + i);
        entries[i].data = data_of(first + i);
    }
    if (ls_producer_put_batch(producer, entries, args.batch, NULL, results, &failed) != LS_OK || failed > 0)
        bench_fail_ls("put a batch");
}

static void put_share(unsigned process)
{
    uint64_t share = args.records / args.processes / args.batch * args.batch, first = process * share;

    for (uint64_t i = 0; i < share; i += args.batch) {
        uint64_t began = bench_now_ns();

        put(first + i);
        if (latency_count < latency_capacity)
            latencies[latency_count++] = bench_now_ns() - began;
    }
}

static void consume(const ls_record *record)
{
    const char *at = record->data.data;
    uint64_t sum = 0, word;

    for (size_t left = record->data.size; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum += word;
    }
    seen_sum += sum + record->data.size;
    seen_records++;
    seen_bytes += record->data.size;
}

/* One page; how many records it had. */
static uint64_t read_page(int64_t timeout_ms)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch;
    const ls_record *records;
    size_t count;

    options.timeout_ms = timeout_ms;
    if (ls_iterator_next(iterator, &options, &batch) != LS_OK)
        bench_fail_ls("read");
    count = ls_batch_count(batch);
    records = ls_batch_records(batch);
    for (size_t i = 0; i < count; i++)
        consume(&records[i]);
    return count;
}

/* ---- modes ---- */

static uint64_t put_total(void)
{
    return args.records / args.processes / args.batch * args.batch * args.processes;
}

static void wait_for(pid_t child, const char *what)
{
    int status;

    if (waitpid(child, &status, 0) < 0 || status != 0) {
        (void)fprintf(stderr, "bench: %s failed\n", what);
        exit(1);
    }
}

static void put_by_processes(double *seconds, double *cpu)
{
    struct shared *shared = bench_shared(sizeof(*shared));
    size_t each = latency_capacity / args.processes;
    uint64_t began = UINT64_MAX, ended = 0, *all = latencies;
    pid_t children[PROCESSES_MAX];
    double cpu_before;

    for (unsigned i = 0; i < args.processes; i++) {
        children[i] = fork();
        if (children[i] < 0)
            bench_fail("fork");
        if (children[i] > 0)
            continue;
        open_store(false);
        open_producer();
        latencies = all + i * each;
        latency_capacity = each;
        latency_count = 0;
        (void)__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
            (void)usleep(100);
        shared->began[i] = bench_now_ns();
        put_share(i);
        shared->ended[i] = bench_now_ns();
        shared->latency_counts[i] = latency_count;
        close_store();
        _exit(0);
    }
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < (int)args.processes)
        (void)usleep(100);
    cpu_before = bench_cpu_seconds(RUSAGE_CHILDREN);
    __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < args.processes; i++)
        wait_for(children[i], "a producer");
    *cpu = bench_cpu_seconds(RUSAGE_CHILDREN) - cpu_before;
    for (unsigned i = 0; i < args.processes; i++) {
        began = shared->began[i] < began ? shared->began[i] : began;
        ended = shared->ended[i] > ended ? shared->ended[i] : ended;
        memmove(all + latency_count, all + i * each, shared->latency_counts[i] * sizeof(*all));
        latency_count += shared->latency_counts[i];
    }
    *seconds = (double)(ended - began) / 1e9;
}

static double read_back(void)
{
    double best = 0;

    for (unsigned pass = 0; pass < args.passes; pass++) {
        uint64_t began;
        double rate;

        open_iterator();
        seen_records = 0;
        seen_bytes = 0;
        began = bench_now_ns();
        while (seen_records < put_total() && read_page(0) > 0)
            ;
        rate = (double)seen_records / ((double)(bench_now_ns() - began) / 1e9);
        best = rate > best ? rate : best;
        if (read_page(0) != 0 || seen_records != put_total() || seen_bytes != put_total() * args.size) {
            (void)fprintf(stderr, "bench: read %llu records and %llu bytes, wanted %llu and %llu\n",
                          (unsigned long long)seen_records, (unsigned long long)seen_bytes,
                          (unsigned long long)put_total(), (unsigned long long)(put_total() * args.size));
            exit(1);
        }
        ls_iterator_close(iterator);
        iterator = NULL;
    }
    return best;
}

static void run_put(void)
{
    double seconds, cpu, read_rate, records = (double)put_total(), bytes = records * (double)args.size;

    open_store(true);
    if (args.processes == 1) {
        double cpu_before = bench_cpu_seconds(RUSAGE_SELF);
        uint64_t began;

        open_producer();
        began = bench_now_ns();
        put_share(0);
        seconds = (double)(bench_now_ns() - began) / 1e9;
        cpu = bench_cpu_seconds(RUSAGE_SELF) - cpu_before;
    } else {
        close_store();
        put_by_processes(&seconds, &cpu);
        open_store(false);
    }
    read_rate = read_back();
    bench_sort(latencies, latency_count);
    (void)printf("RESULT\t%s\t%zu\t%u\t%s\t%u\t%llu\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.1f\t%.3f\t%.2f\n", name,
                 args.size, args.batch, args.sync ? "sync" : "none", args.processes, (unsigned long long)put_total(),
                 records / seconds, bytes / seconds / 1e6, bench_percentile_us(latencies, latency_count, 0.5),
                 bench_percentile_us(latencies, latency_count, 0.99), bench_percentile_us(latencies, latency_count, 1),
                 read_rate, read_rate * (double)args.size / 1e6, (double)bench_file_bytes(args.directory) / bytes,
                 cpu / (records / 1e6));
    close_store();
}

static void run_tail(void)
{
    struct shared *shared = bench_shared(sizeof(*shared));
    pid_t reader, writer;
    double seconds;

    open_store(true);
    close_store();
    reader = fork();
    if (reader < 0)
        bench_fail("fork");
    if (reader == 0) {
        open_store(false);
        open_iterator();
        __atomic_store_n(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (seen_records < args.records)
            (void)read_page(-1);
        shared->ended[0] = bench_now_ns();
        _exit(seen_bytes == args.records * args.size ? 0 : 3);
    }
    while (!__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST))
        (void)usleep(100);
    writer = fork();
    if (writer < 0)
        bench_fail("fork");
    if (writer == 0) {
        open_store(false);
        open_producer();
        shared->began[0] = bench_now_ns();
        put_share(0);
        shared->ended[1] = bench_now_ns();
        close_store();
        _exit(0);
    }
    wait_for(writer, "the producer");
    wait_for(reader, "the reader");
    seconds = (double)(shared->ended[0] - shared->began[0]) / 1e9;
    (void)printf("TAIL\t%s\t%zu\t%u\t%s\t%llu\t%.0f\t%.1f\t%.1f\n", name, args.size, args.batch,
                 args.sync ? "sync" : "none", (unsigned long long)args.records, (double)args.records / seconds,
                 (double)args.records * (double)args.size / seconds / 1e6,
                 (double)(int64_t)(shared->ended[0] - shared->ended[1]) / 1e3);
}

static void run_recover(void)
{
    pid_t child = fork();
    uint64_t began, opened, read, records;

    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        open_store(true);
        open_producer();
        put_share(0);
        (void)kill(getpid(), SIGKILL);
    }
    (void)waitpid(child, NULL, 0);  /* It was killed, as it should be. */
    began = bench_now_ns();
    open_store(false);
    opened = bench_now_ns();
    open_iterator();
    records = read_page(0);
    read = bench_now_ns();
    if (records == 0) {
        (void)fputs("bench: nothing was there after the kill\n", stderr);
        exit(1);
    }
    (void)printf("RECOVER\t%s\t%zu\t%u\t%s\t%llu\t%.2f\t%.2f\t%llu\n", name, args.size, args.batch,
                 args.sync ? "sync" : "none", (unsigned long long)args.records, (double)(opened - began) / 1e6,
                 (double)(read - began) / 1e6, (unsigned long long)records);
    close_store();
}

#define E2E_RECORDS 3000u

/* Keeps this process on the processor `wanted` of those it may use. */
static void pin(unsigned wanted)
{
    cpu_set_t allowed, own;

    if (!args.pinned)
        return;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        bench_fail("processors");
    CPU_ZERO(&own);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && wanted-- == 0)
            CPU_SET(cpu, &own);
    if (CPU_COUNT(&own) != 1 || sched_setaffinity(0, sizeof(own), &own) != 0)
        bench_fail("a processor for each");
}

static void run_e2e(bool spin)
{
    uint64_t *took = bench_shared(E2E_RECORDS * sizeof(*took));
    struct shared *shared = bench_shared(sizeof(*shared));
    pid_t reader;

    open_store(true);
    close_store();
    reader = fork();
    if (reader < 0)
        bench_fail("fork");
    if (reader == 0) {
        ls_next_options options = LS_NEXT_OPTIONS_INIT;

        pin(0);
        open_store(false);
        open_iterator();
        options.timeout_ms = spin ? 0 : -1;
        __atomic_store_n(&shared->ready, 1, __ATOMIC_SEQ_CST);
        for (unsigned seen = 0; seen < E2E_RECORDS;) {
            const ls_batch *batch;
            uint64_t now;

            if (ls_iterator_next(iterator, &options, &batch) != LS_OK)
                bench_fail_ls("read");
            now = bench_now_ns();
            for (size_t i = 0; i < ls_batch_count(batch) && seen < E2E_RECORDS; i++) {
                uint64_t began;

                memcpy(&began, ls_batch_at(batch, i)->data.data, sizeof(began));
                took[seen++] = now - began;
            }
        }
        _exit(0);
    }
    while (!__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST))
        (void)usleep(100);
    pin(1);
    open_store(false);
    open_producer();
    (void)usleep(100000);
    for (unsigned i = 0; i < E2E_RECORDS; i++) {
        uint64_t now = bench_now_ns();

        if (ls_producer_put(producer, key_of(i), (ls_bytes){&now, sizeof(now)}, NULL, NULL) != LS_OK)
            bench_fail_ls("put");
        (void)usleep(500);
    }
    wait_for(reader, "the reader");
    bench_sort(took, E2E_RECORDS);
    (void)printf("E2E\t%s put->next %s%s%s\t%.1f\t%.1f\t%.1f\n", name, args.sync ? "SYNC" : "KERNEL",
                 spin ? " spinning" : "", args.pinned ? " pinned" : "", bench_percentile_us(took, E2E_RECORDS, 0.5),
                 bench_percentile_us(took, E2E_RECORDS, 0.99), bench_percentile_us(took, E2E_RECORDS, 1));
    close_store();
}

/* ---- arguments ---- */

static _Noreturn void usage(const char *wrong)
{
    (void)fprintf(stderr,
                  "peer: '%s' is not understood\n"
                  "Usage: peer [-d DIR] [-n RECORDS] [-s RECORD_BYTES] [-b RECORDS_PER_CALL] [-y none|sync]\n"
                  "            [-P PROCESSES] [-m put|tail|recover] [-o OPTION] [-r READ_PASSES]\n", wrong);
    exit(2);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != 0 || n < least || n > most)
        usage(text);
    return n;
}

/* A number of bytes, with k, m or g behind it. */
static uint64_t bytes_number(const char *text)
{
    size_t length = strlen(text);
    char digits[32];
    unsigned shift = 0;

    if (length > 0 && length < sizeof(digits)) {
        shift = text[length - 1] == 'k' ? 10 : text[length - 1] == 'm' ? 20 : text[length - 1] == 'g' ? 30 : 0;
        memcpy(digits, text, length + 1);
        if (shift > 0)
            digits[length - 1] = 0;
        text = digits;
    }
    return number(text, 1, 1u << 30) << shift;
}

static void name_part(const char *part)
{
    size_t used = strlen(name);

    (void)snprintf(name + used, sizeof(name) - used, "-%s", part);
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (argv[i][0] != '-' || argv[i][1] == 0 || argv[i][2] != 0 || i + 1 >= argc)
            usage(argv[i]);
        switch (argv[i][1]) {
        case 'd': args.directory = value; break;
        case 'n': args.records = number(value, 1, UINT64_C(1) << 40); break;
        case 's': args.size = (size_t)number(value, 0, 10 << 20); break;
        case 'b': args.batch = (unsigned)number(value, 1, BATCH_MAX); break;
        case 'y': args.sync = strcmp(value, "sync") == 0; break;
        case 'P': args.processes = (unsigned)number(value, 1, PROCESSES_MAX); break;
        case 'm': args.mode = value; break;
        case 'o': args.option = value; break;
        case 'r': args.passes = (unsigned)number(value, 0, 64); break;
        default: usage(argv[i]);
        }
    }
    args.records = args.records / args.batch * args.batch;
    if (args.records == 0)
        usage("-n smaller than -b");
}

int main(int argc, char **argv)
{
    bool e2e = false, spin = false;
    char *options, *next;

    read_arguments(argc, argv);
    options = strdup(args.option);
    if (options == NULL)
        bench_fail("memory");
    for (char *one = strtok_r(options, "+", &next); one != NULL; one = strtok_r(NULL, "+", &next)) {
        if (strcmp(one, "e2e") == 0) {
            e2e = true;
        } else if (strcmp(one, "spin") == 0) {
            spin = true;
        } else if (strcmp(one, "pinned") == 0) {
            args.pinned = true;
        } else if (strncmp(one, "shards=", 7) == 0) {
            args.shards = (unsigned)number(one + 7, 1, 65536);
            name_part(one);
        } else if (strncmp(one, "segment=", 8) == 0) {
            args.segment_bytes = bytes_number(one + 8);
            name_part(one);
        } else if (strcmp(one, "distinct") == 0) {
            args.distinct = true;
            name_part(one);
        } else if (strcmp(one, "written") == 0) {
            args.written = true;
            name_part(one);
        } else {
            usage(one);
        }
    }
    free(options);
    make_records();
    if (e2e) {
        run_e2e(spin);
        bench_remove(args.directory);
        return 0;
    }
    bench_warm_memory(args.records * (args.size + 64) * 4 + (UINT64_C(512) << 20));
    latency_capacity = (size_t)(args.records / args.batch) + 16;
    latencies = bench_shared(latency_capacity * sizeof(*latencies));
    if (strcmp(args.mode, "put") == 0)
        run_put();
    else if (strcmp(args.mode, "tail") == 0)
        run_tail();
    else if (strcmp(args.mode, "recover") == 0)
        run_recover();
    else
        usage(args.mode);
    return 0;
}
