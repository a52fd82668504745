/* H4, the kill storm: is anything lost, doubled, reordered or stuck when processes die at any instruction?
 *
 * Producers, consumers (of one shard and merged), a maker of streams and one who splits and merges the shards beneath
 * them and changes how records are encrypted and compressed are processes on one directory. A parent kills
 * them at random times, stops some of them for a while, and puts others in their place. Besides, most of them carry a
 * hook in their file layer that kills them at the Nth call, before it, behind it or in the middle of a write: so that
 * many die while they hold a lock, which is counted from the lock words and asserted. Now and then all die at once, and
 * the next finds itself alone, half of the times without the control file, as after a reboot that lost nothing else.
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
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libstream/libstream.h>

#include "api/api.h"
#include "base/u128.h"
#include "harness/history.h"
#include "support/hooked_files.h"
#include "support/temp.h"

#define SHARDS 2u      /* at the beginning */
#define SHARDS_MAX 8192u /* ever */
#define OPEN_MAX 6u    /* that the resharder makes */
#define PRODUCERS 6u
#define CONSUMERS 4u /* the last two are merged */
#define CHILDREN (PRODUCERS + CONSUMERS + 3)
#define MAKER (CHILDREN - 3)
#define RESHARDER (CHILDREN - 2)
#define TRIMMER (CHILDREN - 1)
#define SEGMENT_BYTES (64u << 10)
#define KEPT_STREAM "kept"
#define KEPT_BYTES (16 * SEGMENT_BYTES) /* its cap: a death costs a segment, and not so many die between two puts */
#define KEPT_RECORD_BYTES 5000u
#define KEPT_MAX (1u << 20)             /* records ever */
#define MADE 8u /* streams the maker makes and deletes */
#define KEYS 5u
#define BATCH_MAX 8u
#define STREAM "storm"

#define MESSAGE_BYTES 400
#define MESSAGES_MAX 20u

enum { ABSENT, PRESENT, CREATING, DELETING };

/* What a child is doing, for the watchdog. */
typedef struct child_state {
    _Atomic int64_t busy_since_us; /* 0: in no call */
    _Atomic int64_t allowed_us;    /* what the watchdog allows this call */
    _Atomic int64_t excused_us;    /* excuses() when it began */
    _Atomic uint64_t next_number;  /* producers */
    _Atomic uint32_t shard;        /* consumers of one: which one the last one of this place read, */
    _Atomic uint64_t last_seqno;   /* and how far */
    _Atomic uint32_t incarnation;
} child_state;

/* Memory that outlives the children. */
typedef struct shared {
    child_state child[CHILDREN];
    _Atomic uint32_t stop;
    _Atomic uint64_t hooked_kills;
    _Atomic uint64_t holders;      /* kills of a process that held a lock in shared memory */
    _Atomic uint64_t append_holders;
    _Atomic int64_t stopped_us;    /* how long children were stopped, summed */
    _Atomic int64_t slow_disk_us;  /* how long syncs took, of those that took 50 ms and more */
    _Atomic int64_t longest_us;    /* the longest call, less what it was allowed for stops and the disk */
    _Atomic uint64_t puts, acknowledged, read, reshards, new_keys;
    _Atomic uint32_t runs;
    _Atomic uint32_t made[MADE];   /* ABSENT .. DELETING */
    _Atomic uint32_t kept_next;             /* the trimmer: numbers of its records, */
    _Atomic unsigned char kept[KEPT_MAX];   /* and which were acknowledged */
    _Atomic uint64_t trimmed;               /* readings that began behind the first record */
    _Atomic uint64_t violations;
    char messages[MESSAGES_MAX][MESSAGE_BYTES];
} shared;

typedef struct settings {
    uint64_t seed;
    uint64_t kills;
    int64_t wait_us;
    ls_durability durability;
    const char *dir; /* of the store */
    const char *oracle;
} settings;

static shared *share;
static settings set;

/* ---- small things ---- */

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* splitmix64: small, seeded, the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

static void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void violation(const char *format, ...)
{
    uint64_t index = atomic_fetch_add(&share->violations, 1);
    va_list arguments;

    if (index >= MESSAGES_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(share->messages[index], MESSAGE_BYTES, format, arguments);
    va_end(arguments);
}

static void raise_to(_Atomic int64_t *most, int64_t value)
{
    int64_t seen = atomic_load(most);

    while (value > seen && !atomic_compare_exchange_weak(most, &seen, value))
        continue;
}

/* ---- the hook: dying at a chosen call ---- */

typedef struct hook_plan {
    hooked_files files;
    uint64_t random;
    int64_t countdown; /* calls until it strikes; below 0: never */
    int where;         /* 0 before, 1 behind, 2 in the middle of a write, if the call is one */
} hook_plan;

static void die(const hook_plan *plan)
{
    unsigned held = hooked_files_held(&plan->files);

    atomic_fetch_add(&share->hooked_kills, 1);
    if (held != 0)
        atomic_fetch_add(&share->holders, 1);
    if ((held & 1u << LSI_RANK_SHARD) != 0)
        atomic_fetch_add(&share->append_holders, 1);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Any number of the write's first bytes, as a kill between two pages leaves them. */
static void write_part(hook_plan *plan, const hook_event *event)
{
    size_t total = 0;

    for (int i = 0; i < event->count; i++)
        total += event->spans[i].size;
    /* Half of the time within the first span, which is the frame; behind it are zeros. */
    if ((random_next(&plan->random) & 1) != 0)
        total = event->spans[0].size;
    hook_write_part(event, (size_t)random_below(&plan->random, total + 1));
}

static bool strikes(hook_plan *plan, const hook_event *event)
{
    return event->target != HOOK_CONTROL && plan->countdown >= 0 && plan->countdown-- == 0;
}

static int before_call(void *user, const hook_event *event)
{
    hook_plan *plan = user;

    if (plan->where == 1 || !strikes(plan, event))
        return 0;
    if (plan->where == 2 && (event->call == HOOK_WRITE || event->call == HOOK_STORE))
        write_part(plan, event);
    die(plan);
    return 0;
}

static void after_call(void *user, const hook_event *event)
{
    hook_plan *plan = user;

    if (event->call == HOOK_SYNC || event->call == HOOK_SYNC_DIR)
        if (event->took_us >= 50000)
            atomic_fetch_add(&share->slow_disk_us, event->took_us);
    if (plan->where == 1 && strikes(plan, event))
        die(plan);
}

/* ---- calls with a clock on them ---- */

typedef struct timed {
    child_state *state;
    int64_t from_us, excused_us;
} timed;

/* For how long somebody was stopped (P2), and the device was slow: no call is blamed for that. */
static int64_t excuses(void)
{
    return atomic_load(&share->stopped_us) + atomic_load(&share->slow_disk_us);
}

static timed call_begins(child_state *state, int64_t allowed_us)
{
    timed made = {state, now_us(), excuses()};

    atomic_store(&state->allowed_us, allowed_us);
    atomic_store(&state->excused_us, made.excused_us);
    atomic_store(&state->busy_since_us, made.from_us);
    return made;
}

/* P1: no wait above a second. */
static void call_ends(const timed *of, const char *what, int64_t allowed_us)
{
    int64_t took = now_us() - of->from_us - (excuses() - of->excused_us) - (allowed_us - set.wait_us);

    atomic_store(&of->state->busy_since_us, 0);
    raise_to(&share->longest_us, took);
    if (took > set.wait_us)
        violation("%s took %" PRId64 " ms", what, took / 1000);
}

/* ---- records ---- */

typedef struct record_head {
    uint32_t writer;
    uint32_t size; /* of the whole data */
    uint64_t number;
    uint64_t group;
} record_head;

#define DATA_BYTES_MAX (100u << 10)

/* Most are small; some take frames beyond what is padded at a time, a few more than a segment. */
static uint32_t data_bytes_of(uint32_t writer, uint64_t number)
{
    uint64_t state = number * 131 + writer;
    uint64_t kind = random_below(&state, 400);

    if (kind == 0)
        return (70u << 10) + (uint32_t)random_below(&state, 20u << 10);
    if (kind < 8)
        return (16u << 10) + (uint32_t)random_below(&state, 8u << 10);
    return (uint32_t)sizeof(record_head) + (uint32_t)random_below(&state, 900);
}

static unsigned char filler(uint32_t writer, uint64_t number, uint32_t at)
{
    return (unsigned char)(number * 31 + writer * 7 + at);
}

static uint32_t make_data(uint32_t writer, uint64_t number, uint64_t group, unsigned char *into)
{
    record_head head = {writer, data_bytes_of(writer, number), number, group};

    memcpy(into, &head, sizeof head);
    for (uint32_t i = (uint32_t)sizeof head; i < head.size; i++)
        into[i] = filler(writer, number, i);
    return head.size;
}

static size_t make_key(uint32_t writer, uint64_t number, char into[32])
{
    return (size_t)snprintf(into, 32, "writer-%u-key-%u", writer, (unsigned)(number % KEYS));
}

/* Whether a record is, byte by byte, what its writer put. */
static bool read_record(const ls_record *record, record_head *head)
{
    const unsigned char *data = record->data.data;
    char key[32];

    if (record->data.size < sizeof *head)
        return false;
    memcpy(head, data, sizeof *head);
    if (head->size != record->data.size || head->writer >= PRODUCERS ||
        head->size != data_bytes_of(head->writer, head->number))
        return false;
    for (uint32_t i = (uint32_t)sizeof *head; i < head->size; i++)
        if (data[i] != filler(head->writer, head->number, i))
            return false;
    size_t key_size = make_key(head->writer, head->number, key);
    return record->partition_key.size == key_size && memcmp(record->partition_key.data, key, key_size) == 0;
}

/* ---- oracle files ---- */

/* One file per place; entries of one kind. */
static int oracle_open(const char *kind, uint32_t place, int flags)
{
    char path[TEMP_PATH_BYTES * 2];

    if (snprintf(path, sizeof path, "%s/%s-%u", set.oracle, kind, place) >= (int)sizeof path)
        abort();
    return open(path, flags | O_CLOEXEC, 0600);
}

static void oracle_note(int fd, const void *entries, size_t bytes)
{
    if (write(fd, entries, bytes) != (ssize_t)bytes) {
        violation("the oracle cannot be written: %s", strerror(errno));
        _exit(3);
    }
}

static void *oracle_load(const char *kind, uint32_t place, size_t entry_bytes, size_t *count)
{
    int fd = oracle_open(kind, place, O_RDONLY);
    struct stat about;
    char *bytes;
    size_t have = 0;

    *count = 0;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) != 0 || (bytes = malloc((size_t)about.st_size + 1)) == NULL)
        abort();
    while (have < (size_t)about.st_size) {
        ssize_t got = read(fd, bytes + have, (size_t)about.st_size - have);
        if (got <= 0)
            abort();
        have += (size_t)got;
    }
    (void)close(fd);
    if (have % entry_bytes != 0)
        violation("oracle %s-%u has %zu bytes, not a multiple of %zu", kind, place, have, entry_bytes);
    *count = have / entry_bytes;
    return bytes;
}

/* ---- children ---- */

/* Keys follow from their ids. */
static ls_status key_of(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

static ls_store *open_store(hook_plan *plan, child_state *state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    lsi_env env;
    ls_status st;

    options.key_callback = key_of;
    lsi_env_default(&env);
    if (plan != NULL)
        env.files = &plan->files.table;
    timed clock = call_begins(state, set.wait_us);
    st = lsi_store_open_env(set.dir, &options, &env, &store);
    call_ends(&clock, "opening the store", set.wait_us);
    if (st != LS_OK) {
        violation("opening the store: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    return store;
}

static ls_stream *open_stream(ls_store *store, child_state *state)
{
    ls_stream *stream = NULL;
    timed clock = call_begins(state, set.wait_us);
    ls_status st = ls_stream_open(store, STREAM, &stream);

    call_ends(&clock, "opening the stream", set.wait_us);
    if (st != LS_OK) {
        violation("opening the stream: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    return stream;
}

static void close_all(ls_store *store, ls_stream *stream, ls_producer *producer, ls_iterator *iterator)
{
    ls_status st = ls_producer_close(producer);

    ls_iterator_close(iterator);
    if (st == LS_OK)
        st = ls_stream_close(stream);
    if (st == LS_OK)
        st = ls_store_close(store);
    if (st != LS_OK)
        violation("closing: %s: %s", ls_status_name(st), ls_last_error_message());
}

static const ls_hash_key end_keys[2] = {{0, 0}, {UINT64_MAX, UINT64_MAX}};

static void produce(uint32_t place, uint64_t *random, hook_plan *plan)
{
    child_state *state = &share->child[place];
    int oracle = oracle_open("put", place, O_WRONLY | O_CREAT | O_APPEND);
    int acks = oracle_open("ack", place, O_WRONLY | O_CREAT | O_APPEND);
    static unsigned char data[BATCH_MAX][DATA_BYTES_MAX];
    char keys[BATCH_MAX][32];
    ls_store *store = open_store(plan, state);
    ls_stream *stream = open_stream(store, state);
    ls_producer *producer = NULL;

    if (oracle < 0 || acks < 0 || ls_producer_open(stream, NULL, &producer) != LS_OK) {
        violation("a producer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    while (atomic_load(&share->stop) == 0) {
        history_put puts[BATCH_MAX];
        ls_put_entry entries[BATCH_MAX];
        ls_put_result results[BATCH_MAX];
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        uint64_t kind = random_below(random, 20);
        uint32_t count = kind < 2 ? 2 + (uint32_t)random_below(random, BATCH_MAX - 1) : 1;
        bool atomic = kind == 0;
        uint32_t end = (uint32_t)random_below(random, 2);
        uint64_t first = atomic_fetch_add(&state->next_number, count);
        size_t failed = 0;
        ls_status st;

        for (uint32_t i = 0; i < count; i++) {
            uint64_t number = first + i;

            puts[i] = (history_put){.writer = place, .number = number, .group = atomic ? first + 1 : 0,
                                    .route = atomic ? KEYS + end : (uint32_t)(number % KEYS)};
            entries[i].partition_key = (ls_bytes){keys[i], make_key(place, number, keys[i])};
            entries[i].data = (ls_bytes){data[i], make_data(place, number, puts[i].group, data[i])};
            /* One shard for an atomic batch, and one per key elsewhere: the key's own. */
            entries[i].explicit_hash_key = atomic ? &end_keys[end] : NULL;
        }
        timed clock = call_begins(state, set.wait_us);
        for (uint32_t i = 0; i < count; i++)
            puts[i].start_us = clock.from_us;
        oracle_note(oracle, puts, count * sizeof *puts);
        atomic_fetch_add(&share->puts, count);
        if (count == 1) {
            ls_record_id id;

            /* Some ask for more than the store gives, which makes syncs in every mode. */
            options.durability = kind == 2 ? LS_DURABILITY_SYNC : LS_DURABILITY_DEFAULT;
            st = ls_producer_put(producer, entries[0].partition_key, entries[0].data, &options, &id);
            results[0] = (ls_put_result){id.seqno, id.shard, st};
        } else {
            options.flags = atomic ? LS_PUT_ATOMIC : 0;
            st = ls_producer_put_batch(producer, entries, count, &options, results, &failed);
        }
        int64_t end_us = now_us();
        call_ends(&clock, "a put", set.wait_us);
        if (st != LS_OK || failed != 0) {
            violation("a put: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        for (uint32_t i = 0; i < count; i++) {
            puts[i].seqno = results[i].seqno;
            puts[i].shard = results[i].shard;
            puts[i].end_us = end_us;
        }
        oracle_note(acks, puts, count * sizeof *puts);
        atomic_fetch_add(&share->acknowledged, count);
        /* Not as many as possible: all is read again and again. */
        if (random_below(random, 4) != 0)
            (void)usleep((useconds_t)random_below(random, 6000));
    }
    close_all(store, stream, producer, NULL);
}

/* One that is there, often a young one. */
static uint32_t pick_shard(ls_stream *stream, child_state *state, uint64_t *random)
{
    ls_stream_description *about = NULL;
    timed clock = call_begins(state, set.wait_us);
    ls_status st = ls_stream_describe(stream, &about);

    call_ends(&clock, "describing the stream", set.wait_us);
    if (st != LS_OK) {
        violation("describing the stream: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    uint32_t count = ls_stream_description_shard_count(about);
    uint32_t back = (uint32_t)random_below(random, random_below(random, 2) != 0 && count > OPEN_MAX ? OPEN_MAX : count);

    ls_stream_description_free(about);
    return count - 1 - back;
}

typedef struct consumer {
    child_state *state;
    ls_stream *stream;
    int trace, runs;
    bool merged;
} consumer;

/* One iterator, until the storm or its shard ends: then `*shard` is one of its children. `after` 0: all of it. */
static void consume_run(const consumer *of, uint64_t *random, uint32_t *shard, uint64_t after)
{
    static history_read reads[4096];
    history_run run = {.run = atomic_fetch_add(&share->runs, 1), .merged = of->merged, .after = after};
    ls_position position = {.kind = after != 0 ? LS_AFTER_SEQUENCE_NUMBER : LS_TRIM_HORIZON, .seqno = after};
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    bool is_end = false;
    ls_status st;

    oracle_note(of->runs, &run, sizeof run);
    timed clock = call_begins(of->state, set.wait_us);
    st = of->merged ? ls_iterator_open_all(of->stream, &position, NULL, &iterator)
                    : ls_iterator_open(of->stream, *shard, &position, NULL, &iterator);
    call_ends(&clock, "opening an iterator", set.wait_us);
    if (st != LS_OK) {
        violation("opening an iterator: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    limits.records_max = 1 + (uint32_t)random_below(random, 4096);
    while (atomic_load(&share->stop) == 0 && !is_end) {
        const ls_batch *batch;
        const ls_record *records;

        limits.timeout_ms = (int64_t)random_below(random, 100);
        int64_t allowed = set.wait_us + limits.timeout_ms * 1000;
        clock = call_begins(of->state, allowed);
        st = ls_iterator_next(iterator, &limits, &batch);
        call_ends(&clock, "a read", allowed);
        if (st != LS_OK) {
            violation("a read: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        size_t count = ls_batch_count(batch);
        records = ls_batch_records(batch);
        for (size_t i = 0; i < count; i++) {
            record_head head = {0};

            if (!read_record(&records[i], &head))
                violation("shard %u seqno %" PRIu64 " has other bytes than were put", records[i].shard,
                          records[i].seqno);
            reads[i] = (history_read){.run = run.run, .shard = records[i].shard, .seqno = records[i].seqno,
                                      .writer = head.writer, .number = head.number};
        }
        if (count > 0) {
            oracle_note(of->trace, reads, count * sizeof *reads);
            atomic_fetch_add(&share->read, count);
        }
        if (of->merged)
            continue;
        if (count > 0)
            atomic_store(&of->state->last_seqno, records[count - 1].seqno);
        is_end = ls_batch_is_shard_end(batch) != 0;
        if (is_end && ls_batch_child_count(batch) == 0) {
            violation("shard %u ends without children", *shard);
            _exit(3);
        }
        if (is_end)
            *shard = ls_batch_child_at(batch, (uint32_t)random_below(random, ls_batch_child_count(batch)));
    }
    ls_iterator_close(iterator);
}

static void consume(uint32_t place, uint64_t *random, hook_plan *plan)
{
    child_state *state = &share->child[place];
    ls_store *store = open_store(plan, state);
    consumer of = {.state = state,
                   .stream = open_stream(store, state),
                   .trace = oracle_open("read", place, O_WRONLY | O_CREAT | O_APPEND),
                   .runs = oracle_open("run", place, O_WRONLY | O_CREAT | O_APPEND),
                   .merged = place - PRODUCERS >= CONSUMERS / 2};
    uint32_t shard = atomic_load(&state->shard);
    uint64_t after = atomic_load(&state->last_seqno);

    if (of.trace < 0 || of.runs < 0)
        _exit(3);
    /* Every eighth reads another one from the beginning; the others go on where the last one was. */
    if (of.merged || after == 0 || random_below(random, 8) == 0) {
        shard = of.merged ? 0 : pick_shard(of.stream, state, random);
        after = 0;
    }
    while (atomic_load(&share->stop) == 0) {
        atomic_store(&state->last_seqno, 0); /* first: a number of one shard is none of another's */
        atomic_store(&state->shard, shard);
        atomic_store(&state->last_seqno, after);
        consume_run(&of, random, &shard, after);
        after = 0;
    }
    close_all(store, of.stream, NULL, NULL);
}

/* ---- the resharder ---- */

static int by_range(const void *left, const void *right)
{
    const ls_shard_info *a = left, *b = right;

    return lsi_u128_compare(a->first_hash_key, b->first_hash_key);
}

/* The open shards by rising keys. */
static uint32_t open_shards(const ls_stream_description *about, ls_shard_info *into, uint32_t most)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < ls_stream_description_shard_count(about); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(about, i, &info) == LS_OK && info.is_open && found < most)
            into[found++] = info;
    }
    qsort(into, found, sizeof *into, by_range);
    return found;
}

/* Another key, none, compression or none: for what is put from then on. */
static void change_terms(ls_store *store, child_state *state, uint64_t *random)
{
    static const char *const key_ids[] = {"a", "b", "c"};
    uint32_t kind = (uint32_t)random_below(random, 6);
    timed clock = call_begins(state, set.wait_us);
    ls_status st = kind < 3    ? ls_stream_start_encryption(store, STREAM, key_ids[kind])
                   : kind == 3 ? ls_stream_stop_encryption(store, STREAM)
                               : ls_stream_set_compression(store, STREAM,
                                                           kind == 4 ? LS_COMPRESSION_ZSTD : LS_COMPRESSION_NONE);

    call_ends(&clock, "changing keys", set.wait_us);
    if (st != LS_OK) {
        violation("changing keys (%u): %s: %s", kind, ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    atomic_fetch_add(&share->new_keys, 1);
}

/* Splits and merges. Whatever the one before was about when it died: the open shards are enough. */
static void reshard(uint64_t *random, hook_plan *plan)
{
    child_state *state = &share->child[RESHARDER];
    ls_store *store = open_store(plan, state);
    ls_stream *stream = open_stream(store, state);

    while (atomic_load(&share->stop) == 0) {
        ls_shard_info open[2 * OPEN_MAX];
        ls_stream_description *about = NULL;
        timed clock = call_begins(state, set.wait_us);
        ls_status st = ls_stream_describe(stream, &about);

        call_ends(&clock, "describing the stream", set.wait_us);
        if (st != LS_OK) {
            violation("describing the stream: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        uint32_t count = open_shards(about, open, 2 * OPEN_MAX), all = ls_stream_description_shard_count(about);

        ls_stream_description_free(about);
        if (all + 2 > SHARDS_MAX)
            break;
        uint32_t k = (uint32_t)random_below(random, count);
        bool splits = count == 1 || (count < OPEN_MAX && random_below(random, 2) != 0);

        if (!splits && k + 1 == count)
            k--;
        clock = call_begins(state, set.wait_us);
        st = splits ? ls_stream_split(stream, open[k].shard, NULL, NULL, NULL)
                    : ls_stream_merge(stream, open[k].shard, open[k + 1].shard, NULL);
        call_ends(&clock, splits ? "a split" : "a merge", set.wait_us);
        if (st != LS_OK) {
            violation("%s shard %u: %s: %s", splits ? "splitting" : "merging", open[k].shard, ls_status_name(st),
                      ls_last_error_message());
            _exit(3);
        }
        atomic_fetch_add(&share->reshards, 1);
        if (random_below(random, 3) == 0)
            change_terms(store, state, random);
        (void)usleep((useconds_t)random_below(random, 60000));
    }
    close_all(store, stream, NULL, NULL);
}

/* Creates and deletes streams of its own. What it was about when it died is unknown; everything else must be so. */
static void make_streams(uint64_t *random, hook_plan *plan)
{
    child_state *state = &share->child[MAKER];
    ls_store *store = open_store(plan, state);

    while (atomic_load(&share->stop) == 0) {
        uint32_t k = (uint32_t)random_below(random, MADE);
        uint32_t was = atomic_load(&share->made[k]);
        char name[32];
        ls_stream *stream = NULL;
        ls_status st;

        (void)snprintf(name, sizeof name, "made-%u", k);
        timed clock = call_begins(state, set.wait_us);
        st = ls_stream_open(store, name, &stream);
        if (st == LS_OK)
            (void)ls_stream_close(stream); /* Its opening was the question. */
        call_ends(&clock, "opening a made stream", set.wait_us);
        if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (was == PRESENT && st != LS_OK) ||
            (was == ABSENT && st != LS_ERR_NOT_FOUND)) {
            violation("stream '%s' is %s, opening it says %s: %s", name, was == PRESENT ? "there" : "not there",
                      ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        bool there = st == LS_OK;
        atomic_store(&share->made[k], there ? DELETING : CREATING);
        clock = call_begins(state, set.wait_us);
        st = there ? ls_stream_delete(store, name) : ls_stream_create(store, name, NULL);
        call_ends(&clock, there ? "deleting a stream" : "creating a stream", set.wait_us);
        if (st != LS_OK) {
            violation("%s '%s': %s: %s", there ? "deleting" : "creating", name, ls_status_name(st),
                      ls_last_error_message());
            _exit(3);
        }
        atomic_store(&share->made[k], there ? ABSENT : PRESENT);
        (void)usleep((useconds_t)random_below(random, 20000));
    }
    close_all(store, NULL, NULL, NULL);
}

/* Reads what a stream with a cap has left: the end of what was acknowledged before, without a gap. */
static void check_kept(ls_stream *stream)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint32_t until = atomic_load(&share->kept_next), next = 0;
    bool any = false;
    ls_status st = ls_iterator_open(stream, 0, NULL, NULL, &iterator);

    while (st == LS_OK) {
        st = ls_iterator_next(iterator, NULL, &batch);
        if (st == LS_ERR_TRIMMED) { /* Trimmed while it was read (P8). */
            any = false;
            st = LS_OK;
            continue;
        }
        if (st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t number;

            memcpy(&number, record->data.data, sizeof number);
            if (record->data.size != KEPT_RECORD_BYTES || number < next || number >= KEPT_MAX)
                violation("the trimmed stream shows number %u after %u", number, next);
            for (; any && next < number; next++)
                if (atomic_load(&share->kept[next]) != 0)
                    violation("the trimmed stream lacks number %u, which was acknowledged, in the middle", next);
            if (!any && number > 0)
                atomic_fetch_add(&share->trimmed, 1);
            any = true;
            next = number + 1;
        }
    }
    if (st != LS_OK)
        violation("reading the trimmed stream: %s: %s", ls_status_name(st), ls_last_error_message());
    for (; next < until; next++)
        if (atomic_load(&share->kept[next]) != 0)
            violation("the trimmed stream lacks number %u, which was acknowledged, at its end", next);
    ls_iterator_close(iterator);
}

/* Puts into a stream that has a cap, and does all upkeep of the store now and then, among those who do a piece each. */
static void trim(uint64_t *random, hook_plan *plan)
{
    static unsigned char data[KEPT_RECORD_BYTES];
    child_state *state = &share->child[TRIMMER];
    ls_store *store = open_store(plan, state);
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_status st;

    if (ls_stream_open(store, KEPT_STREAM, &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK) {
        violation("the trimmer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    check_kept(stream);
    for (uint32_t i = 1; atomic_load(&share->stop) == 0; i++) {
        uint32_t number = atomic_fetch_add(&share->kept_next, 1);

        if (number >= KEPT_MAX)
            break;
        memcpy(data, &number, sizeof number);
        timed clock = call_begins(state, set.wait_us);
        st = ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){data, sizeof data}, NULL, NULL);
        call_ends(&clock, "a put into the trimmed stream", set.wait_us);
        if (st != LS_OK) {
            violation("putting into the trimmed stream: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        atomic_store(&share->kept[number], 1);
        if (i % 16 == 0) {
            clock = call_begins(state, set.wait_us);
            st = ls_store_maintain(store, 300);
            call_ends(&clock, "upkeep", set.wait_us);
            if (st != LS_OK && st != LS_ERR_TIMEOUT) {
                violation("upkeep: %s: %s", ls_status_name(st), ls_last_error_message());
                _exit(3);
            }
        }
        if (i % 64 == 0)
            check_kept(stream);
        if (random_below(random, 4) == 0)
            (void)usleep((useconds_t)random_below(random, 2000));
    }
    close_all(store, stream, producer, NULL);
}

static pid_t spawn(uint32_t place, uint64_t *random)
{
    uint64_t own = random_next(random);
    pid_t pid;

    atomic_fetch_add(&share->child[place].incarnation, 1);
    atomic_store(&share->child[place].busy_since_us, 0);
    pid = fork();
    if (pid != 0)
        return pid;

    static hook_plan plan;
    hooked_files_init(&plan.files, before_call, after_call, &plan);
    plan.random = own ^ 1;
    plan.countdown = -1;
    plan.where = (int)random_below(&own, 3);
    /* Opening costs few calls, a put two or three, a roll ten: early ones and late ones are hit. */
    if (set.kills > 0 && random_below(&own, 4) != 0)
        plan.countdown = (int64_t)random_below(&own, (random_next(&own) & 1) != 0 ? 12 : 150);
    if (place < PRODUCERS)
        produce(place, &own, &plan);
    else if (place < MAKER)
        consume(place, &own, &plan);
    else if (place == MAKER)
        make_streams(&own, &plan);
    else if (place == RESHARDER)
        reshard(&own, &plan);
    else
        trim(&own, &plan);
    _exit(0);
}

/* ---- the storm ---- */

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
    violation("child %u is stuck in a call: %s", place, about);
    atomic_store(&share->child[place].busy_since_us, 0);
}

/* A call that never ends is seen here only; one that was late says so itself. */
static void watch(const pid_t *pids)
{
    for (uint32_t place = 0; place < CHILDREN; place++) {
        int64_t since = atomic_load(&share->child[place].busy_since_us);

        if (since != 0 && now_us() - since >= 10 * atomic_load(&share->child[place].allowed_us))
            stuck(place, pids[place]);
    }
}

/* Kills a child, and no other way is there to: death must not hide that it had waited for too long (P1). */
static void kill_child(uint32_t place, pid_t pid)
{
    child_state *state = &share->child[place];
    int64_t since = atomic_load(&state->busy_since_us);

    if (since != 0 && now_us() - since - (excuses() - atomic_load(&state->excused_us)) > atomic_load(&state->allowed_us))
        stuck(place, pid);
    (void)kill(pid, SIGKILL);
}

/* True when `pid` died by SIGKILL; another end is a violation, unless the storm is over. */
static bool judge_end(uint32_t place, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    if (WIFSIGNALED(status))
        violation("child %u died of signal %d", place, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0 && atomic_load(&share->violations) == 0)
        violation("child %u ended with %d", place, WEXITSTATUS(status));
    return false;
}

/* Everybody dies. Who comes next is alone, and must find all in the segments if the control file went too. */
static uint64_t kill_all(pid_t *pids, uint64_t *random)
{
    char control[TEMP_PATH_BYTES * 3];
    uint64_t kills = 0;

    for (uint32_t place = 0; place < CHILDREN; place++)
        kill_child(place, pids[place]);
    for (uint32_t place = 0; place < CHILDREN; place++) {
        int status = 0;

        (void)waitpid(pids[place], &status, 0);
        kills += judge_end(place, status);
    }
    (void)snprintf(control, sizeof control, "%s/control", set.dir);
    if ((random_next(random) & 1) != 0 && unlink(control) != 0)
        violation("the control file cannot be deleted: %s", strerror(errno));
    for (uint32_t place = 0; place < CHILDREN; place++)
        pids[place] = spawn(place, random);
    return kills;
}

static uint64_t storm(uint64_t *random, uint64_t *stops, uint64_t *ends)
{
    pid_t pids[CHILDREN];
    uint64_t kills = 0;
    int64_t until = now_us() + 2000000;

    for (uint32_t place = 0; place < CHILDREN; place++)
        pids[place] = spawn(place, random);
    while (set.kills > 0 ? kills < set.kills : now_us() < until) {
        uint32_t place = (uint32_t)random_below(random, CHILDREN);
        int status;
        pid_t pid;

        (void)usleep((useconds_t)random_below(random, 20000));
        if (set.kills > 0 && random_below(random, 50) == 0) {
            kills += kill_all(pids, random);
            ++*ends;
        } else if (set.kills > 0 && random_below(random, 10) == 0) {
            int64_t from = now_us();

            (void)kill(pids[place], SIGSTOP);
            (void)usleep(1000 + (useconds_t)random_below(random, 60000));
            (void)kill(pids[place], SIGCONT);
            atomic_fetch_add(&share->stopped_us, now_us() - from);
            ++*stops;
        } else if (set.kills > 0 && atomic_load(&share->holders) * 4 >= kills) {
            kill_child(place, pids[place]); /* Not so many on a slow machine that hooks have no time to strike. */
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            for (uint32_t i = 0; i < CHILDREN; i++)
                if (pids[i] == pid) {
                    kills += judge_end(i, status);
                    pids[i] = spawn(i, random);
                }
        watch(pids);
        if (atomic_load(&share->violations) > 0)
            break;
    }
    atomic_store(&share->stop, 1);
    for (uint32_t place = 0; place < CHILDREN; place++) {
        int64_t limit = now_us() + 20000000;
        int status = 0;

        /* A hook may still strike while it closes. */
        while (waitpid(pids[place], &status, WNOHANG) == 0 && now_us() < limit)
            (void)usleep(1000);
        if (now_us() >= limit) {
            char about[200];

            dump_process(pids[place], about, sizeof about);
            violation("child %u does not end: %s", place, about);
            (void)kill(pids[place], SIGKILL);
            (void)waitpid(pids[place], &status, 0);
        }
        (void)judge_end(place, status);
    }
    return kills;
}

/* ---- afterwards ---- */

/* Reads everything, of one shard or (SHARDS_MAX) merged. */
static history_read *read_all(ls_stream *stream, uint32_t shard, history_read *have, size_t *count, size_t *capacity)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_status st = shard < SHARDS_MAX ? ls_iterator_open(stream, shard, NULL, NULL, &iterator)
                                      : ls_iterator_open_all(stream, NULL, NULL, &iterator);

    while (st == LS_OK && (st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            record_head head = {0};

            if (!read_record(record, &head))
                violation("at the end shard %u seqno %" PRIu64 " has other bytes than were put", record->shard,
                          record->seqno);
            if (*count == *capacity) {
                *capacity = *capacity * 2 + 1024;
                have = realloc(have, *capacity * sizeof *have);
                if (have == NULL)
                    abort();
            }
            have[(*count)++] = (history_read){.run = UINT32_MAX, .shard = record->shard, .seqno = record->seqno,
                                              .writer = head.writer, .number = head.number};
        }
    if (st != LS_OK)
        violation("reading all of shard %u: %s: %s", shard, ls_status_name(st), ls_last_error_message());
    ls_iterator_close(iterator);
    return have;
}

static void *append_entries(void *have, size_t *have_count, void *more, size_t more_count, size_t entry_bytes)
{
    char *made = realloc(have, (*have_count + more_count + 1) * entry_bytes);

    if (made == NULL)
        abort();
    if (more_count > 0)
        memcpy(made + *have_count * entry_bytes, more, more_count * entry_bytes);
    *have_count += more_count;
    free(more);
    return made;
}

/* Intents, with what their acknowledgements say. */
static void load_puts(history *of)
{
    for (uint32_t place = 0; place < PRODUCERS; place++) {
        size_t count, ack_count, at = 0;
        history_put *puts = oracle_load("put", place, sizeof *puts, &count);
        history_put *acks = oracle_load("ack", place, sizeof *acks, &ack_count);

        for (size_t i = 0; i < ack_count; i++) { /* Both in the order of numbers. */
            while (at < count && puts[at].number != acks[i].number)
                at++;
            if (at < count)
                puts[at] = acks[i];
            else
                violation("writer %u number %" PRIu64 " is acknowledged and was not put", place, acks[i].number);
        }
        free(acks);
        of->puts = append_entries(of->puts, &of->put_count, puts, count, sizeof *puts);
    }
}

static void check_made(ls_store *store)
{
    for (uint32_t k = 0; k < MADE; k++) {
        uint32_t was = atomic_load(&share->made[k]);
        char name[32];
        ls_stream *stream = NULL;
        ls_status st;

        (void)snprintf(name, sizeof name, "made-%u", k);
        st = ls_stream_open(store, name, &stream);
        if (st == LS_OK)
            (void)ls_stream_close(stream); /* Its opening was the question. */
        if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (was == PRESENT && st != LS_OK) ||
            (was == ABSENT && st != LS_ERR_NOT_FOUND))
            violation("at the end stream '%s' is %s, opening it says %s: %s", name,
                      was == PRESENT ? "there" : "not there", ls_status_name(st), ls_last_error_message());
    }
}

/* Which shards there came to be, and whether they are a lineage: of every hash key there is one open shard, who has
 * children is closed, and who is closed has some. */
static void load_shards(ls_stream *stream, history *of)
{
    ls_stream_description *about = NULL;
    ls_hash_key next = {0, 0};
    ls_shard_info open[4 * OPEN_MAX];
    bool *has_children;
    uint32_t open_count;

    if (ls_stream_describe(stream, &about) != LS_OK) {
        violation("at the end the stream cannot be described: %s", ls_last_error_message());
        return;
    }
    of->shard_count = ls_stream_description_shard_count(about);
    of->shards = calloc(of->shard_count, sizeof *of->shards);
    has_children = calloc(of->shard_count, sizeof *has_children);
    if (of->shards == NULL || has_children == NULL)
        abort();
    for (uint32_t i = 0; i < of->shard_count; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(about, i, &info) != LS_OK || info.shard != i)
            violation("at the end shard %u is not listed as such", i);
        of->shards[i] = (history_shard){{info.parent, info.adjacent_parent}}; /* LS_NO_SHARD is HISTORY_NO_SHARD */
        for (int k = 0; k < 2; k++)
            if (of->shards[i].parents[k] < i)
                has_children[of->shards[i].parents[k]] = true;
            else if (of->shards[i].parents[k] != HISTORY_NO_SHARD)
                violation("at the end shard %u has the parent %u", i, of->shards[i].parents[k]);
    }
    for (uint32_t i = 0; i < of->shard_count; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        (void)ls_stream_description_shard(about, i, &info); /* as above */
        if ((info.is_open != 0) == has_children[i])
            violation("at the end shard %u is %s and has %s children", i, info.is_open ? "open" : "closed",
                      has_children[i] ? "some" : "no");
    }
    open_count = open_shards(about, open, 4 * OPEN_MAX);
    for (uint32_t i = 0; i < open_count; i++) {
        if (lsi_u128_compare(open[i].first_hash_key, next) != 0)
            violation("at the end the open shards leave a gap or overlap in front of shard %u", open[i].shard);
        next = lsi_u128_add(open[i].last_hash_key, (ls_hash_key){0, 1});
    }
    if (lsi_u128_compare(next, (ls_hash_key){0, 0}) != 0)
        violation("at the end the open shards do not reach the last hash key");
    free(has_children);
    ls_stream_description_free(about);
}

/* All upkeep done, it is under its cap, and what it has is the end of what was acknowledged. */
static void judge_kept(ls_store *store)
{
    ls_stream_description *about = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream *stream = NULL;

    if (ls_store_maintain(store, -1) != LS_OK || ls_stream_open(store, KEPT_STREAM, &stream) != LS_OK ||
        ls_stream_describe(stream, &about) != LS_OK || ls_stream_description_shard(about, 0, &info) != LS_OK)
        violation("at the end the trimmed stream cannot be described: %s", ls_last_error_message());
    else if (info.stored_bytes > KEPT_BYTES + SEGMENT_BYTES)
        violation("at the end the trimmed stream has %" PRIu64 " bytes, its cap is %u", info.stored_bytes, KEPT_BYTES);
    else
        check_kept(stream);
    ls_stream_description_free(about);
    (void)ls_stream_close(stream); /* nothing was put by it */
}

static void judge(void)
{
    history of = {0};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    size_t capacity = 0;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    history_read *merged = NULL;
    size_t merged_count = 0, merged_capacity = 0;

    options.key_callback = key_of;
    if (ls_store_open(set.dir, &options, &store) != LS_OK || ls_stream_open(store, STREAM, &stream) != LS_OK) {
        violation("at the end the store cannot be opened: %s", ls_last_error_message());
        (void)ls_store_close(store);
        return;
    }
    load_shards(stream, &of);
    for (uint32_t shard = 0; shard < of.shard_count; shard++)
        of.truth = read_all(stream, shard, of.truth, &of.truth_count, &capacity);
    merged = read_all(stream, SHARDS_MAX, merged, &merged_count, &merged_capacity);
    check_made(store);
    judge_kept(store);
    close_all(store, stream, NULL, NULL);

    load_puts(&of);
    for (uint32_t place = PRODUCERS; place < MAKER; place++) {
        size_t count;
        void *entries = oracle_load("read", place, sizeof(history_read), &count);

        of.reads = append_entries(of.reads, &of.read_count, entries, count, sizeof(history_read));
        entries = oracle_load("run", place, sizeof(history_run), &count);
        of.runs = append_entries(of.runs, &of.run_count, entries, count, sizeof(history_run));
    }
    if (merged_count != of.truth_count)
        violation("the merged reader shows %zu records, the readers of single shards %zu", merged_count,
                  of.truth_count);
    of.reads = append_entries(of.reads, &of.read_count, merged, merged_count, sizeof(history_read));
    history_run *last = calloc(1, sizeof *last);
    if (last == NULL)
        abort();
    *last = (history_run){.run = UINT32_MAX, .merged = 1};
    of.runs = append_entries(of.runs, &of.run_count, last, 1, sizeof *last);
    atomic_fetch_add(&share->violations, history_check(&of));
    free(of.puts);
    free(of.truth);
    free(of.reads);
    free(of.runs);
    free(of.shards);
}

static void prepare(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT, kept = LS_STREAM_OPTIONS_INIT;
    ls_store *store = NULL;

    kept.retention_bytes = KEPT_BYTES;
    options.durability = set.durability;
    options.segment_bytes = SEGMENT_BYTES;
    options.sync_interval_ms = 10;
    about.shard_count = SHARDS;
    if (ls_store_open(set.dir, &options, &store) != LS_OK || ls_stream_create(store, STREAM, &about) != LS_OK ||
        ls_stream_create(store, KEPT_STREAM, &kept) != LS_OK || ls_store_close(store) != LS_OK) {
        fprintf(stderr, "h4: %s\n", ls_last_error_message());
        exit(2);
    }
}

/* One storm in a directory of its own. */
static uint64_t run(const char *mode, const char *dir, bool keep, uint64_t *holders, uint64_t *violations)
{
    temp_dir temp;
    char store[TEMP_PATH_BYTES * 2];
    uint64_t random = set.seed ^ (uint64_t)set.durability << 32;
    uint64_t kills, stops = 0, ends = 0;

    if (dir != NULL)
        (void)setenv("TMPDIR", dir, 1);
    temp_make(&temp);
    memcpy(store, temp_path(&temp, "store"), sizeof store);
    set.dir = store;
    set.oracle = temp.path;
    share = mmap(NULL, sizeof *share, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (share == MAP_FAILED)
        abort();
    prepare();
    kills = storm(&random, &stops, &ends);
    judge();

    uint64_t held = atomic_load(&share->holders);
    if (kills >= 200 && held * 5 < kills)
        violation("only %" PRIu64 " of %" PRIu64 " kills hit a holder of a lock: a fifth is wanted", held, kills);
    printf("h4 mode=%s kills=%" PRIu64 " hooked=%" PRIu64 " holders=%" PRIu64 " append_holders=%" PRIu64
           " stops=%" PRIu64 " all_dead=%" PRIu64 " reshards=%" PRIu64 " new_keys=%" PRIu64 " trimmed=%" PRIu64, mode, kills,
           atomic_load(&share->hooked_kills), held, atomic_load(&share->append_holders), stops, ends,
           atomic_load(&share->reshards), atomic_load(&share->new_keys),
           atomic_load(&share->trimmed));
    printf(" puts=%" PRIu64 " acknowledged=%" PRIu64 " read=%" PRIu64 " longest_ms=%" PRId64 " slow_disk_ms=%" PRId64
           "\n", atomic_load(&share->puts), atomic_load(&share->acknowledged), atomic_load(&share->read),
           atomic_load(&share->longest_us) / 1000, atomic_load(&share->slow_disk_us) / 1000);
    for (uint32_t i = 0; i < MESSAGES_MAX && i < atomic_load(&share->violations); i++)
        if (share->messages[i][0] != '\0')
            fprintf(stderr, "h4: %s\n", share->messages[i]);
    *holders += held;
    *violations += atomic_load(&share->violations);
    if (keep)
        fprintf(stderr, "h4: kept in %s\n", temp.path);
    else
        temp_remove(&temp);
    (void)munmap(share, sizeof *share);
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
    int64_t from = now_us();
    bool keep = false;
    int option;

    set.seed = (uint64_t)time(NULL);
    set.wait_us = 1000000;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': set.seed = strtoull(optarg, NULL, 0); break;
        case 'k': kills = strtoull(optarg, NULL, 0); break;
        case 'm': mode = optarg; break;
        case 'd': dir = optarg; break;
        case 'w': set.wait_us = strtoll(optarg, NULL, 0) * 1000; break;
        case 'K': keep = true; break;
        default: return 2;
        }
    static const struct { const char *name; ls_durability durability; } modes[] = {
        {"sync", LS_DURABILITY_SYNC}, {"kernel", LS_DURABILITY_KERNEL}, {"interval", LS_DURABILITY_INTERVAL}};

    set.kills = mode != NULL ? kills : (kills + 2) / 3;
    printf("h4 seed=%" PRIu64 "\n", set.seed);
    (void)fflush(stdout);
    for (size_t i = 0; i < 3; i++)
        if (mode == NULL || strcmp(mode, modes[i].name) == 0) {
            set.durability = modes[i].durability;
            cases += run(modes[i].name, dir, keep, &holders, &violations);
            (void)fflush(stdout);
        }
    printf("harness=h4 seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f holders=%" PRIu64 "\n",
           set.seed, cases, violations, (double)(now_us() - from) / 1e6, holders);
    return violations != 0;
}
