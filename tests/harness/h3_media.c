/* Harness H3, media errors: what E1 says of a disk that fails, on file systems that are told so.
 *
 *     h3_media [--seed N] [--cases N] [--system NAME]
 *
 * A store lies on ext4, xfs or btrfs, whose disk (block_disk.h) begins to fail: the next write, some, all of them, or
 * only flushes. Two processes put into one shard by turns before, during and after it, and a third one opens the store
 * only when the disk is well again. Once somebody was told that a sync failed, everybody who puts is: for ever, though
 * the disk and later syncs succeed; but of a segment that is only being made. What was durable is read all the while.
 * In half of the cases the shard is reset (the explicit way out), and if that can be had puts work again. Then the
 * power goes, with nothing on the disk but what was flushed: what was durable is there, nothing appears that was given
 * up, and there are no holes.
 *
 * `--cases` is for each file system. What a file system does about a failing disk is its own affair: each shuts
 * down when what it writes of itself fails. The last line says in how many cases a sync was seen to
 * fail, and in how many of those a reset succeeded. Exit 77 (skipped) without root, or where no such file system can be
 * had. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libstream/libstream.h>

#include "harness/h3_systems.h"
#include "support/block_disk.h"
#include "support/sim_inside.h"

#define CASES_DEFAULT 21u
#define CASES_LONG 480u
#define PUTS_MAX 128u
#define DATA_BYTES 3000u /* A segment of 64 KiB has some 20 of them. */
#define STREAM "orders"
#define SHOWN_MAX 25u
#define PEOPLE 3u /* the two, and who comes later */

/* LOSABLE: acknowledged, and then given up by a reset unless it was durable before the sync that failed. */
typedef enum { NOT_PUT, DURABLE, ACKNOWLEDGED, LOSABLE, UNKNOWN, NEVER_THERE } fate;

/* What a process answers, and what it read. Shared. */
typedef struct answer {
    ls_status status, read_status;
    uint32_t count, found[PUTS_MAX];
    char message[256];
} answer;

typedef struct person {
    pid_t pid;
    int to;
    answer *said;
} person;

typedef struct request {
    char what; /* o: open, p: put, s: sync, r: read, x: reset */
    uint32_t number;
} request;

typedef struct campaign {
    uint64_t seed, cases_each;
    const h3_system *on;
    block_disk *disk;
    char dir[H3_PATH_BYTES], store[H3_PATH_BYTES + 8];
    uint64_t cases, violations, failed, resets;
} campaign;

typedef struct one_case {
    campaign *of;
    uint64_t number;
    ls_durability durability;
    fate fates[PUTS_MAX];
    uint32_t next, generation[PUTS_MAX], resets;
    person people[PEOPLE];
    bool is_broken; /* somebody was told of a failed sync, */
    char told[256]; /* in these words */
    bool is_wrong;
} one_case;

/* ---- the processes ---- */

static void fill(uint32_t number, uint32_t data[DATA_BYTES / 4])
{
    for (uint32_t i = 0; i < DATA_BYTES / 4; i++)
        data[i] = (uint32_t)sim_mix(number + i / 4);
    data[0] = number;
}

static ls_status read_all(ls_stream *stream, answer *said)
{
    const ls_batch *batch = NULL;
    ls_iterator *iterator = NULL;
    uint32_t expected[DATA_BYTES / 4];
    ls_status st = ls_iterator_open(stream, 0, NULL, NULL, &iterator);

    said->count = 0;
    while (st == LS_OK && (st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch) && said->count < PUTS_MAX; i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t number = 0;

            if (record->data.size == DATA_BYTES)
                memcpy(&number, record->data.data, sizeof number);
            fill(number, expected);
            said->found[said->count++] =
                record->data.size == DATA_BYTES && memcmp(record->data.data, expected, DATA_BYTES) == 0 ? number
                                                                                                       : UINT32_MAX;
        }
    ls_iterator_close(iterator);
    return st;
}

static ls_status open_all(const char *path, ls_durability durability, ls_store **store, ls_stream **stream,
                          ls_producer **producer)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    options.durability = durability;
    options.segment_bytes = 64 << 10;
    st = ls_store_open(path, &options, store);
    if (st == LS_OK)
        st = ls_stream_open(*store, STREAM, stream);
    if (st == LS_ERR_NOT_FOUND && (st = ls_stream_create(*store, STREAM, NULL)) == LS_OK)
        st = ls_stream_open(*store, STREAM, stream);
    return st == LS_OK ? ls_producer_open(*stream, NULL, producer) : st;
}

static _Noreturn void live(int from, const char *path, ls_durability durability, answer *said)
{
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    uint32_t data[DATA_BYTES / 4];
    request asked;

    while (read(from, &asked, sizeof asked) == (ssize_t)sizeof asked) {
        fill(asked.number, data);
        switch (asked.what) {
        case 'o':
            said->status = open_all(path, durability, &store, &stream, &producer);
            break;
        case 'p':
            said->status = ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){data, DATA_BYTES}, NULL, NULL);
            break;
        case 's':
            said->status = ls_store_sync(store);
            break;
        case 'x':
            said->status = ls_stream_reset_shard(stream, 0);
            break;
        default:
            said->status = read_all(stream, said);
        }
        (void)snprintf(said->message, sizeof said->message, "%s: %s", ls_status_name(said->status),
                       said->status != LS_OK ? ls_last_error_message() : "");
        if (write(from, "", 1) != 1)
            break;
    }
    _exit(0);
}

static void complain(one_case *at, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(one_case *at, const char *format, ...)
{
    va_list arguments;

    if (at->is_wrong)
        return;
    at->is_wrong = true;
    at->of->violations++;
    if (at->of->violations > SHOWN_MAX)
        return;
    printf("violation: %s, case %" PRIu64 ": ", at->of->on->name, at->number);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static ls_status ask(one_case *at, unsigned who, char what, uint32_t number)
{
    const request asked = {what, number};
    person *to = &at->people[who];
    char done;

    if (write(to->to, &asked, sizeof asked) != (ssize_t)sizeof asked || read(to->to, &done, 1) != 1) {
        complain(at, "process %u died", who);
        return LS_ERR_IO;
    }
    return to->said->status;
}

static void begin_person(one_case *at, unsigned who)
{
    person *of = &at->people[who];
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    if (of->said == NULL)
        of->said = sim_must(mmap(NULL, sizeof(*of->said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    fflush(stdout);
    of->pid = fork();
    if (of->pid == 0) {
        for (unsigned i = 0; i < PEOPLE; i++) /* Else it would hold the others' lines open. */
            if (at->people[i].to > 0)
                (void)close(at->people[i].to);
        (void)close(ends[0]);
        live(ends[1], at->of->store, at->durability, of->said);
    }
    (void)close(ends[1]);
    of->to = ends[0];
    if (of->pid < 0)
        abort();
}

static void end_person(one_case *at, unsigned who)
{
    person *of = &at->people[who];

    if (of->pid > 0) {
        (void)kill(of->pid, SIGKILL);
        (void)waitpid(of->pid, NULL, 0);
        (void)close(of->to);
    }
    of->pid = 0;
    of->to = 0;
}

/* ---- what they may be answered ---- */

/* A new segment that cannot be made or synced, which nothing names yet and in which nobody's record is, is none: it is
 * given up, and the next put makes another one. */
static void note_failure(one_case *at, unsigned who, ls_status st)
{
    const char *message = at->people[who].said->message;

    if (st != LS_ERR_IO || at->is_broken || strstr(message, ": syncing the new ") != NULL ||
        strstr(message, ": making ") != NULL)
        return;
    memcpy(at->told, message, sizeof at->told);
    at->is_broken = true;
}

static void put(one_case *at, unsigned who)
{
    uint32_t number = at->next++;
    ls_status st = ask(at, who, 'p', number);

    at->generation[number] = at->resets;
    at->fates[number] = st == LS_OK ? (at->durability == LS_DURABILITY_SYNC ? DURABLE : ACKNOWLEDGED)
                        : st == LS_ERR_IO && !at->is_broken ? UNKNOWN
                                                            : NEVER_THERE;
    if (at->is_broken && st != LS_ERR_IO)
        complain(at, "E1: process %u's put %u is %s; before, somebody was told %s", who, number,
                 at->people[who].said->message, at->told);
    note_failure(at, who, st);
}

static void sync_all(one_case *at, unsigned who)
{
    ls_status st = ask(at, who, 's', 0);

    if (at->is_broken && st == LS_OK)
        complain(at, "E1: a sync says that all is durable; before, somebody was told %s", at->told);
    for (uint32_t i = 0; st == LS_OK && i < at->next; i++)
        if (at->fates[i] == ACKNOWLEDGED)
            at->fates[i] = DURABLE;
    note_failure(at, who, st);
}

/* xfs, once it has shut down, opens no file any more, not even to read. */
static bool has_shut_down(const one_case *at)
{
    int fd = open(at->of->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        (void)close(fd);
    return fd < 0 && errno == EIO;
}

/* Everything that was durable, in order, nothing that cannot be, and of what may be lost no record without those
 * before it. */
static void read_by(one_case *at, unsigned who, const char *when)
{
    const answer *said = at->people[who].said;
    ls_status st = ask(at, who, 'r', 0);
    bool is_there[PUTS_MAX] = {false};
    uint32_t before = 0;

    if (st != LS_OK && (st != LS_ERR_IO || !has_shut_down(at)))
        complain(at, "%s process %u cannot read: %s", when, who, said->message);
    for (uint32_t i = 0; i < said->count && st == LS_OK; i++) {
        uint32_t number = said->found[i];

        if (number >= at->next || number <= before) {
            complain(at, "%s record %u is put %u, after put %u", when, i, number, before);
            return;
        }
        if (at->fates[number] == NEVER_THERE)
            complain(at, "D7: %s put %u is read, which was given up", when, number);
        is_there[number] = true;
        before = number;
    }
    for (uint32_t i = 1, gap = 0, gap_in = 0; i < at->next && st == LS_OK; i++) {
        if (at->fates[i] == DURABLE && !is_there[i])
            complain(at, "D1: %s put %u is not read, which was durable", when, i);
        if ((at->fates[i] == ACKNOWLEDGED || at->fates[i] == LOSABLE) && !is_there[i] && gap == 0)
            gap = i, gap_in = at->generation[i];
        if (gap != 0 && is_there[i] && at->generation[i] == gap_in)
            complain(at, "D2: %s put %u is read, and put %u before it is not", when, i, gap);
    }
}

/* ---- a case ---- */

static void fail_disk(one_case *at, uint64_t kind)
{
    static const uint64_t writes[] = {1, 2, 5, UINT64_MAX, 0, 0, 1};
    static const uint64_t flushes[] = {0, 0, 0, UINT64_MAX, 1, UINT64_MAX, 1};

    block_disk_fail(at->of->disk, writes[kind % 7], flushes[kind % 7]);
}

static void lose_power(one_case *at)
{
    campaign *of = at->of;
    size_t place = block_disk_here(of->disk);

    block_disk_stop(of->disk);
    for (unsigned i = 0; i < PEOPLE; i++)
        end_person(at, i);
    h3_leave(of->dir, of->on);
    (void)block_disk_image(of->disk, place, BLOCK_SEED_NOTHING);
    if (!h3_mount(block_disk_image_device(of->disk), of->dir, of->on)) {
        complain(at, "after a loss of power it cannot be mounted: %s", strerror(errno));
        block_disk_finish(of->disk);
        return;
    }
    begin_person(at, 0);
    at->is_broken = false;
    at->resets++;
    if (ask(at, 0, 'o', 0) != LS_OK) {
        complain(at, "after a loss of power the store does not open: %s", at->people[0].said->message);
    } else {
        read_by(at, 0, "after a loss of power");
        put(at, 0);
        if (at->is_broken)
            complain(at, "after a loss of power a put is %s", at->people[0].said->message);
        read_by(at, 0, "after that, and a put,");
    }
    end_person(at, 0);
    h3_leave(of->dir, of->on);
    block_disk_finish(of->disk);
}

static void run_case(campaign *of, uint64_t number)
{
    one_case at = {.of = of, .number = number, .next = 1};
    uint64_t random = sim_mix(of->seed * 1000003 + number), before = 2 + random % 50;

    at.durability = (ls_durability)(LS_DURABILITY_KERNEL + (int32_t)(number % 3));
    of->cases++;
    if (!h3_mount(block_disk_device(of->disk), of->dir, of->on) ||
        !h3_run("rm -rf '%s/store' && sync -f '%s'", of->dir, of->dir)) {
        fprintf(stderr, "h3_media: %s cannot be used: %s\n", of->on->name, strerror(errno));
        exit(2);
    }
    block_disk_record(of->disk);
    for (unsigned i = 0; i < 2; i++) {
        begin_person(&at, i);
        if (ask(&at, i, 'o', 0) != LS_OK)
            complain(&at, "the store does not open: %s", at.people[i].said->message);
    }
    for (uint64_t i = 0; i < before && !at.is_wrong; i++) {
        put(&at, i % 2);
        if (i == before / 2)
            sync_all(&at, 1);
    }
    if (at.is_broken)
        complain(&at, "a put failed on a disk that is well");
    fail_disk(&at, number / 3);
    for (uint64_t i = 0; i < 3; i++)
        put(&at, (number + i) % 2);
    sync_all(&at, number % 2);
    block_disk_fail(of->disk, 0, 0);
    of->failed += at.is_broken;
    for (unsigned i = 0; i < 2; i++)
        put(&at, i);
    if (at.is_broken)
        for (unsigned i = 0; i < 2; i++)
            sync_all(&at, i);
    begin_person(&at, 2);
    if (ask(&at, 2, 'o', 0) == LS_OK) { /* A file system that has shut down lets nobody write. */
        put(&at, 2);
        read_by(&at, 2, "when the disk is well again");
    }
    for (unsigned i = 0; i < 2; i++)
        read_by(&at, i, "when the disk is well again");
    if (at.is_broken && random >> 32 & 1 && ask(&at, 1, 'x', 0) == LS_OK) {
        of->resets++;
        at.is_broken = false;
        at.resets++;
        for (uint32_t i = 0; i < at.next; i++) /* What is beyond the durable place is no longer read. */
            at.fates[i] = at.fates[i] == UNKNOWN        ? NEVER_THERE
                          : at.fates[i] == ACKNOWLEDGED ? LOSABLE
                                                        : at.fates[i];
        for (unsigned i = 0; i < 4; i++)
            put(&at, i % 2);
        if (at.is_broken && h3_run("touch '%s/alive' && sync '%s/alive'", of->dir, of->dir))
            complain(&at, "puts do not work after a reset, on a disk and a file system that are well");
        else if (!at.is_broken)
            sync_all(&at, 0);
        for (unsigned i = 0; i < 2; i++)
            read_by(&at, i, "after a reset");
    }
    lose_power(&at);
    for (unsigned i = 0; i < PEOPLE; i++)
        if (at.people[i].said != NULL)
            (void)munmap(at.people[i].said, sizeof(*at.people[i].said));
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    campaign all = {.seed = 1, .cases_each = CASES_DEFAULT, .dir = "/tmp/libstream-media-XXXXXX"};
    const char *only = NULL;
    double began = now_s();
    unsigned had = 0;

    if (getenv("LIBSTREAM_TEST_LONG") != NULL)
        all.cases_each = CASES_LONG;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return 2;
        if (strcmp(argv[i], "--seed") == 0)
            all.seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--cases") == 0)
            all.cases_each = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--system") == 0)
            only = argv[i + 1];
        else
            return 2;
    }
    printf("seed %" PRIu64 "\n", all.seed);
    if (mkdtemp(all.dir) == NULL) {
        perror(all.dir);
        return 2;
    }
    (void)snprintf(all.store, sizeof all.store, "%s/store", all.dir);
    for (size_t i = 0; i < H3_SYSTEMS; i++) {
        uint64_t failed = all.failed, resets = all.resets;
        char why[256];

        if (only != NULL && strcmp(only, h3_systems[i].name) != 0)
            continue;
        all.on = &h3_systems[i];
        all.disk = h3_make(all.on, all.dir, why);
        if (all.disk == NULL) {
            printf("h3_media: no %s: %s\n", all.on->name, why);
            continue;
        }
        had++;
        for (uint64_t k = 0; k < all.cases_each; k++)
            run_case(&all, k);
        block_disk_free(all.disk);
        printf("%-8s %5" PRIu64 " cases, %5" PRIu64 " failed syncs, %5" PRIu64 " resets\n", all.on->name,
               all.cases_each, all.failed - failed, all.resets - resets);
        if (all.failed == failed && all.cases_each >= 7 * 3) {
            puts("violation: no sync failed, so nothing was shown");
            all.violations++;
        }
        fflush(stdout);
    }
    (void)rmdir(all.dir);
    if (had == 0)
        return 77;
    printf("harness=h3_media seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " failed=%" PRIu64
           " resets=%" PRIu64 " wall_s=%.1f\n", all.seed, all.cases, all.violations, all.failed, all.resets,
           now_s() - began);
    return all.violations > 0;
}
