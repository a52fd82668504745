/* The program that h3_full.sh runs on small disks: what E3 says of a full one, with the library as it ships.
 *
 *     h3_program DIRECTORY sync|interval|kernel ENOSPC|EDQUOT
 *
 * Fills the store until it is refused, and the disk until not a byte goes in; then: every refused put is LS_ERR_FULL
 * with that errno, names the file, and was not written; reading, opening again, verifying, and deleting a stream go on;
 * then puts work again. Exactly what was acknowledged is read, before and after. One line per violation, and at the end
 * `cases=N violations=N acknowledged=N refused=N`. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libstream/libstream.h>
#include <libstream/unstable/inspect.h>

#define STREAM "orders"
#define SPARE "spare"
#define SPARE_BYTES (1u << 20)
#define DATA_BYTES_MAX 20000u
#define RECORDS_MAX 60000u
#define PATIENCE_S 40 /* btrfs gives space back with its next transaction, at most 30 s later */

typedef struct run {
    char path[512], junk[512];
    ls_durability durability;
    int err; /* what the disk answers when it is full */
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
    uint32_t next;               /* number of the next record */
    bool acknowledged[RECORDS_MAX];
    uint32_t acknowledged_count, refused_count;
    unsigned cases, violations;
} run;

static void check(run *of, bool holds, const char *what)
{
    of->cases++;
    if (holds)
        return;
    of->violations++;
    printf("violation: %s: %s (errno %d)\n", what, ls_last_error_message(), ls_last_error_errno());
}

static void open_all(run *of)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = of->durability;
    options.segment_bytes = 256 << 10;
    check(of, ls_store_open(of->path, &options, &of->store) == LS_OK, "the store opens");
    check(of, ls_stream_open(of->store, STREAM, &of->stream) == LS_OK, "the stream opens");
    check(of, ls_producer_open(of->stream, NULL, &of->producer) == LS_OK, "a producer opens");
    if (of->violations > 0)
        exit(1);
}

static void close_all(run *of)
{
    check(of, ls_producer_close(of->producer) == LS_OK, "the producer closes");
    check(of, ls_stream_close(of->stream) == LS_OK, "the stream closes");
    check(of, ls_store_close(of->store) == LS_OK, "the store closes");
}

/* A refusal must be as E3 says. */
static void judge_refusal(run *of, ls_status st)
{
    of->refused_count++;
    check(of, st == LS_ERR_FULL, "a put on a full disk is LS_ERR_FULL");
    check(of, ls_last_error_errno() == of->err, "its errno is what the disk said");
    check(of, strstr(ls_last_error_message(), ".seg") != NULL || strstr(ls_last_error_message(), "segments") != NULL,
          "it names the file");
}

/* A record says its own number; its length is not that of its neighbours. */
static bool put_next(run *of, uint32_t bytes)
{
    static uint32_t data[DATA_BYTES_MAX / 4];
    ls_status st;

    data[0] = of->next;
    st = ls_producer_put(of->producer, (ls_bytes){"key", 3}, (ls_bytes){data, bytes}, NULL, NULL);
    of->acknowledged[of->next++] = st == LS_OK;
    if (st == LS_OK)
        of->acknowledged_count++;
    else
        judge_refusal(of, st);
    return st == LS_OK;
}

/* Ten records in one call; each is told by itself, or all together when `flags` says so. */
static void put_ten(run *of, uint32_t flags)
{
    static uint32_t data[10][600];
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry entries[10];
    ls_put_result results[10];
    ls_status st;

    memset(entries, 0, sizeof entries);
    memset(results, 0, sizeof results);
    for (uint32_t i = 0; i < 10; i++) {
        data[i][0] = of->next + i;
        entries[i].partition_key = (ls_bytes){"key", 3};
        entries[i].data = (ls_bytes){data[i], sizeof data[i]};
    }
    options.flags = flags;
    st = ls_producer_put_batch(of->producer, entries, 10, &options, results, NULL);
    if (st != LS_OK)
        judge_refusal(of, st);
    check(of, st == LS_OK || (flags & LS_PUT_ATOMIC) != 0, "of a batch each record is told by itself");
    for (uint32_t i = 0; i < 10; i++) {
        bool is_in = st == LS_OK && results[i].status == LS_OK;

        check(of, is_in || st != LS_OK || results[i].status == LS_ERR_FULL,
              "a record of a batch is in, or the disk is full");
        of->acknowledged[of->next++] = is_in;
        of->acknowledged_count += is_in;
        of->refused_count += !is_in;
    }
}

/* Exactly what was acknowledged, once and in order: what was refused was not written. */
static void read_all(run *of, const char *when)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint32_t expected = 0, count = 0;
    bool right = true;
    ls_status st = ls_iterator_open(of->stream, 0, NULL, NULL, &iterator);

    while (st == LS_OK && (st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++, count++) {
            uint32_t number;

            memcpy(&number, ls_batch_at(batch, i)->data.data, sizeof number);
            while (expected < of->next && !of->acknowledged[expected])
                expected++;
            right = right && number == expected;
            expected = number + 1;
        }
    ls_iterator_close(iterator);
    if (st != LS_OK || !right || count != of->acknowledged_count) {
        printf("%s: %u of %u acknowledged records were read\n", when, count, of->acknowledged_count);
        check(of, false, "exactly what was acknowledged is read");
    }
    of->cases++;
}

static ls_inspect_act say_finding(const ls_finding *finding, void *user)
{
    (void)user;
    printf("finding: %s\n", finding->what);
    return LS_INSPECT_GO_ON;
}

static void verify(run *of)
{
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;

    check(of, ls_inspect_verify(of->path, NULL, say_finding, NULL, &summary) == LS_OK && summary.damages == 0,
          "verify finds no damage");
}

/* Takes what is left of the disk, to the last byte. */
static void fill_disk(run *of)
{
    static char bytes[64 << 10];
    int fd = open(of->junk, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    size_t step = sizeof bytes;

    while (fd >= 0 && step > 0) {
        ssize_t put = write(fd, bytes, step);

        if (put <= 0)
            step /= 2;
    }
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

int main(int count, char **args)
{
    static run of;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    uint32_t refused;
    time_t until;

    if (count != 4)
        return 2;
    (void)snprintf(of.path, sizeof of.path, "%s/store", args[1]);
    (void)snprintf(of.junk, sizeof of.junk, "%s/junk", args[1]);
    of.durability = strcmp(args[2], "sync") == 0       ? LS_DURABILITY_SYNC
                    : strcmp(args[2], "interval") == 0 ? LS_DURABILITY_INTERVAL
                                                       : LS_DURABILITY_KERNEL;
    of.err = strcmp(args[3], "EDQUOT") == 0 ? EDQUOT : ENOSPC;

    options.durability = of.durability;
    options.segment_bytes = 256 << 10;
    check(&of, ls_store_open(of.path, &options, &of.store) == LS_OK, "the store is made");
    check(&of, ls_stream_create(of.store, STREAM, NULL) == LS_OK, "the stream is made");
    check(&of, ls_stream_create(of.store, SPARE, NULL) == LS_OK, "another stream is made");
    check(&of, ls_stream_open(of.store, SPARE, &of.stream) == LS_OK, "it opens");
    check(&of, ls_producer_open(of.stream, NULL, &of.producer) == LS_OK, "a producer opens");
    for (uint32_t i = 0; i < SPARE_BYTES / 16384 && of.violations == 0; i++) {
        static char data[16384];
        check(&of, ls_producer_put(of.producer, (ls_bytes){"k", 1}, (ls_bytes){data, sizeof data}, NULL, NULL) == LS_OK,
              "there is room at first");
    }
    close_all(&of);
    if (of.violations > 0)
        return 1;

    open_all(&of);
    while (of.next < RECORDS_MAX / 2 && put_next(&of, 100 + of.next * 7919 % 9000)) {
    }
    check(&of, of.refused_count == 1, "the disk becomes full");
    fill_disk(&of);
    for (uint32_t i = 0; i < 100; i++) /* Small ones may still find room in what is allocated. */
        (void)put_next(&of, i % 3 == 0 ? 16 : 100 + i * 7919 % (DATA_BYTES_MAX - 100));
    for (uint32_t i = 0; i < 10; i++)
        put_ten(&of, i % 2 == 0 ? 0 : LS_PUT_ATOMIC);
    refused = of.refused_count;
    for (uint32_t i = 0; i < 60; i++)
        (void)put_next(&of, DATA_BYTES_MAX);
    check(&of, of.refused_count > refused, "a full disk refuses what is large");
    read_all(&of, "on the full disk");
    verify(&of);
    close_all(&of);

    open_all(&of);
    read_all(&of, "opened again on the full disk");
    check(&of, ls_stream_delete(of.store, SPARE) == LS_OK, "a stream can be deleted on a full disk");
    until = time(NULL) + PATIENCE_S;
    refused = of.refused_count;
    for (uint32_t i = 0; i < 40; i++) {
        bool is_in;

        while (!(is_in = put_next(&of, 9000)) && time(NULL) < until && of.violations == 0)
            (void)usleep(100000);
        check(&of, is_in, "puts work when a stream was deleted");
    }
    read_all(&of, "after the deletion");
    verify(&of);
    close_all(&of);

    open_all(&of);
    read_all(&of, "at the end");
    close_all(&of);
    verify(&of);
    printf("cases=%u violations=%u acknowledged=%u refused=%u (%u after the deletion)\n", of.cases, of.violations,
           of.acknowledged_count, of.refused_count, of.refused_count - refused);
    return of.violations != 0;
}
