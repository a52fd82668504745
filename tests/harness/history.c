/* See history.h. All checks are sorts and sweeps, O(n log n).
 *
 * Real time (O2): of two puts into one shard of which one had returned before the other was called, the first has the
 * smaller number. Sorted by start, with a second order by end, one sweep keeps the largest number among all puts that
 * had ended; a put that begins must get a larger one. A put whose end nobody knows has a start all the same. */
#include "harness/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 20

typedef struct checker {
    history *of;
    uint64_t violations;
    size_t *shard_from; /* [shard_count + 1]: where each shard's truth begins in `truth`, after sorting by shard */
} checker;

static void violation(checker *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void violation(checker *check, const char *format, ...)
{
    va_list arguments;

    if (check->violations++ >= LINES_MAX || check->of->quiet)
        return;
    va_start(arguments, format);
    fprintf(stderr, "history: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_writer(const void *left, const void *right)
{
    const history_put *a = left, *b = right;

    return a->writer != b->writer ? order(a->writer, b->writer) : order(a->number, b->number);
}

static int by_shard(const void *left, const void *right)
{
    const history_read *a = left, *b = right;

    return a->shard != b->shard ? order(a->shard, b->shard) : order(a->seqno, b->seqno);
}

static int by_start(const void *left, const void *right)
{
    const history_put *a = *(history_put *const *)left, *b = *(history_put *const *)right;

    return a->start_us < b->start_us ? -1 : a->start_us > b->start_us;
}

static int by_end(const void *left, const void *right)
{
    const history_put *a = *(history_put *const *)left, *b = *(history_put *const *)right;

    return a->end_us < b->end_us ? -1 : a->end_us > b->end_us;
}

static void *must_alloc(size_t count, size_t size)
{
    void *made = calloc(count + 1, size);

    if (made == NULL)
        abort();
    return made;
}

static history_put *find_put(const history *of, uint32_t writer, uint64_t number)
{
    history_put key = {.writer = writer, .number = number};

    return bsearch(&key, of->puts, of->put_count, sizeof *of->puts, by_writer);
}

static const history_read *find_truth(const checker *check, uint32_t shard, uint64_t seqno)
{
    history_read key = {.shard = shard, .seqno = seqno};
    size_t from = check->shard_from[shard];

    return bsearch(&key, check->of->truth + from, check->shard_from[shard + 1] - from, sizeof key, by_shard);
}

/* O1 and D4 of the last reading itself: numbers rise as it was read. Then it may be sorted. */
static void check_truth(checker *check)
{
    history *of = check->of;
    uint64_t *last = must_alloc(of->shard_count, sizeof *last);

    for (size_t i = 0; i < of->truth_count; i++) {
        const history_read *read = &of->truth[i];

        if (read->shard >= of->shard_count) {
            violation(check, "a record of shard %u", read->shard);
            abort(); /* The caller's mistake: it says how many there are. */
        }
        if (read->seqno <= last[read->shard])
            violation(check, "shard %u: seqno %" PRIu64 " follows %" PRIu64, read->shard, read->seqno,
                      last[read->shard]);
        last[read->shard] = read->seqno;
    }
    free(last);
    qsort(of->truth, of->truth_count, sizeof *of->truth, by_shard);
    check->shard_from = must_alloc(of->shard_count + 1, sizeof *check->shard_from);
    for (size_t i = 0; i < of->truth_count; i++)
        check->shard_from[of->truth[i].shard + 1]++;
    for (uint32_t shard = 0; shard < of->shard_count; shard++)
        check->shard_from[shard + 1] += check->shard_from[shard];
}

/* D1: acknowledged is read once, at its number. Unacknowledged is read at most once. A writer's records keep their
 * order within a shard. A1: an atomic batch is there whole or not at all. */
static void check_puts(checker *check)
{
    history *of = check->of;
    unsigned char *seen = must_alloc(of->put_count, 1);
    uint64_t *highest = NULL; /* per writer, number + 1 */
    uint32_t writers = 0;

    for (size_t i = 0; i < of->put_count; i++) {
        const history_put *put = &of->puts[i];

        if (i > 0 && by_writer(put - 1, put) == 0)
            violation(check, "writer %u says twice that it put %" PRIu64, put->writer, put->number);
        if (put->writer >= writers)
            writers = put->writer + 1;
        if (put->seqno == 0)
            continue;
        const history_read *at = put->shard < of->shard_count ? find_truth(check, put->shard, put->seqno) : NULL;
        if (at == NULL)
            violation(check, "lost: writer %u number %" PRIu64 ", acknowledged at shard %u seqno %" PRIu64, put->writer,
                      put->number, put->shard, put->seqno);
        else if (at->writer != put->writer || at->number != put->number)
            violation(check, "shard %u seqno %" PRIu64 " was given to writer %u number %" PRIu64
                      " and holds writer %u number %" PRIu64, put->shard, put->seqno, put->writer, put->number,
                      at->writer, at->number);
    }
    highest = must_alloc(writers, sizeof *highest);
    for (size_t i = 0; i < of->truth_count; i++) {
        const history_read *read = &of->truth[i];
        const history_put *put = find_put(of, read->writer, read->number);

        if (i > 0 && read->shard != of->truth[i - 1].shard)
            memset(highest, 0, writers * sizeof *highest);
        if (put == NULL) {
            violation(check, "shard %u seqno %" PRIu64 " holds writer %u number %" PRIu64 ", which was never put",
                      read->shard, read->seqno, read->writer, read->number);
            continue;
        }
        if (seen[put - of->puts]++ != 0)
            violation(check, "writer %u number %" PRIu64 " is there twice, again at shard %u seqno %" PRIu64,
                      read->writer, read->number, read->shard, read->seqno);
        if (read->number < highest[read->writer])
            violation(check, "shard %u: writer %u number %" PRIu64 " comes after %" PRIu64, read->shard, read->writer,
                      read->number, highest[read->writer] - 1);
        highest[read->writer] = read->number + 1;
    }
    for (size_t i = 0; i < of->put_count; i++) {
        const history_put *put = &of->puts[i];

        if (i > 0 && put->group != 0 && put[-1].group == put->group && put[-1].writer == put->writer &&
            (seen[i] != 0) != (seen[i - 1] != 0))
            violation(check, "the atomic batch of writer %u with number %" PRIu64 " is there in part", put->writer,
                      put->number);
    }
    free(seen);
    free(highest);
}

typedef struct routed {
    uint32_t writer, route, shard;
    uint64_t seqno, number;
} routed;

static int by_route(const void *left, const void *right)
{
    const routed *a = left, *b = right;

    if (a->writer != b->writer)
        return order(a->writer, b->writer);
    if (a->route != b->route)
        return order(a->route, b->route);
    return a->shard != b->shard ? order(a->shard, b->shard) : order(a->seqno, b->seqno);
}

/* O4: the records that a writer put with one hash key keep their order from parents to children. The shards that ever
 * had the key follow each other by index. D4: numbers of a child lie above those of its parents. */
static void check_lineage(checker *check)
{
    history *of = check->of;
    routed *all = must_alloc(of->truth_count, sizeof *all);
    size_t count = 0;

    for (size_t i = 0; i < of->truth_count; i++) {
        const history_read *read = &of->truth[i];
        const history_put *put = find_put(of, read->writer, read->number);

        if (put != NULL)
            all[count++] = (routed){read->writer, put->route, read->shard, read->seqno, read->number};
    }
    qsort(all, count, sizeof *all, by_route);
    for (size_t i = 1; i < count; i++) {
        const routed *a = &all[i - 1], *b = &all[i];

        if (a->writer == b->writer && a->route == b->route && a->shard != b->shard &&
            a->number >= b->number)
            violation(check, "order of a key: writer %u route %u: number %" PRIu64 " in shard %u comes after %" PRIu64
                      " in shard %u", b->writer, b->route, b->number, b->shard, a->number, a->shard);
    }
    free(all);
    for (uint32_t shard = 0; of->shards != NULL && shard < of->shard_count; shard++)
        for (int k = 0; k < 2; k++) {
            uint32_t parent = of->shards[shard].parents[k];
            const history_read *first = of->truth + check->shard_from[shard];

            if (parent == HISTORY_NO_SHARD || check->shard_from[shard] == check->shard_from[shard + 1] ||
                check->shard_from[parent] == check->shard_from[parent + 1])
                continue;
            if (of->truth[check->shard_from[parent + 1] - 1].seqno >= first->seqno)
                violation(check, "shard %u begins with seqno %" PRIu64 ", its parent %u ends with %" PRIu64, shard,
                          first->seqno, parent, of->truth[check->shard_from[parent + 1] - 1].seqno);
        }
}

/* O2, and O1 besides: the numbers themselves are unique in the truth. */
static void check_real_time(checker *check)
{
    history *of = check->of;
    history_put **starts = must_alloc(of->put_count, sizeof *starts);
    history_put **ends = must_alloc(of->put_count, sizeof *ends);
    history_put *observed = must_alloc(of->put_count, sizeof *observed);
    uint64_t *highest = must_alloc(of->shard_count, sizeof *highest);
    size_t count = 0, end_count = 0, at = 0;

    memcpy(observed, of->puts, of->put_count * sizeof *observed);
    for (size_t i = 0; i < of->truth_count; i++) { /* What became of those nobody knew of. */
        history_put *put = find_put(of, of->truth[i].writer, of->truth[i].number);

        if (put != NULL && put->seqno == 0) {
            observed[put - of->puts].seqno = of->truth[i].seqno;
            observed[put - of->puts].shard = of->truth[i].shard;
        }
    }
    for (size_t i = 0; i < of->put_count; i++) {
        if (observed[i].seqno == 0 || observed[i].shard >= of->shard_count)
            continue;
        starts[count++] = &observed[i];
        if (of->puts[i].seqno != 0)
            ends[end_count++] = &observed[i];
    }
    qsort(starts, count, sizeof *starts, by_start);
    qsort(ends, end_count, sizeof *ends, by_end);
    for (size_t i = 0; i < count; i++) {
        const history_put *put = starts[i];

        for (; at < end_count && ends[at]->end_us < put->start_us; at++)
            if (ends[at]->seqno > highest[ends[at]->shard])
                highest[ends[at]->shard] = ends[at]->seqno;
        if (put->seqno <= highest[put->shard])
            violation(check, "real time: writer %u number %" PRIu64 " has shard %u seqno %" PRIu64 " and began after %"
                      PRIu64 " had returned", put->writer, put->number, put->shard, put->seqno, highest[put->shard]);
    }
    free(starts);
    free(ends);
    free(observed);
    free(highest);
}

/* Whether the run has shown all of a shard's parents. */
static bool parents_are_read(const checker *check, const history_read *const *expected, uint32_t shard,
                             uint32_t *missing)
{
    for (int k = 0; k < 2; k++) {
        uint32_t parent = check->of->shards[shard].parents[k];

        if (parent == HISTORY_NO_SHARD || expected[parent] == check->of->truth + check->shard_from[parent + 1])
            continue;
        *missing = parent;
        return false;
    }
    return true;
}

static const history_run *find_run(const history *of, uint32_t run)
{
    for (size_t i = 0; i < of->run_count; i++)
        if (of->runs[i].run == run)
            return &of->runs[i];
    return NULL;
}

/* Index of the first record of the shard with a number above `seqno`. */
static size_t first_above(const checker *check, uint32_t shard, uint64_t seqno)
{
    size_t from = check->shard_from[shard], to = check->shard_from[shard + 1];

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (check->of->truth[middle].seqno <= seqno)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* O1, O3: what one iterator showed of a shard is a run of the truth without gap or repeat, from where it was opened. */
static void check_reads(checker *check)
{
    history *of = check->of;
    const history_read **expected = must_alloc(of->shard_count, sizeof *expected);
    uint32_t current = UINT32_MAX, missing = 0;
    bool is_merged = false;

    for (size_t i = 0; i < of->read_count; i++) {
        const history_read *read = &of->reads[i];

        if (i == 0 || read->run != current) {
            const history_run *run = find_run(of, read->run);

            is_merged = of->shards != NULL && run != NULL && run->merged != 0;
            current = read->run;
            for (uint32_t shard = 0; shard < of->shard_count; shard++)
                expected[shard] = of->truth + first_above(check, shard, run != NULL ? run->after : 0);
        }
        if (read->shard >= of->shard_count) {
            violation(check, "run %u read a record of shard %u", read->run, read->shard);
            continue;
        }
        const history_read *want = expected[read->shard];
        if (want >= of->truth + check->shard_from[read->shard + 1])
            violation(check, "run %u read shard %u seqno %" PRIu64 ", which is gone", read->run, read->shard,
                      read->seqno);
        else if (want->seqno != read->seqno || want->writer != read->writer || want->number != read->number)
            violation(check, "run %u read shard %u seqno %" PRIu64 " (writer %u number %" PRIu64 ") where %" PRIu64
                      " (writer %u number %" PRIu64 ") is next", read->run, read->shard, read->seqno, read->writer,
                      read->number, want->seqno, want->writer, want->number);
        if (is_merged && !parents_are_read(check, expected, read->shard, &missing))
            violation(check, "run %u read shard %u seqno %" PRIu64 " before the end of its parent %u", read->run,
                      read->shard, read->seqno, missing);
        want = find_truth(check, read->shard, read->seqno);
        if (want != NULL)
            expected[read->shard] = want + 1;
    }
    free(expected);
}

uint64_t history_check(history *of)
{
    checker check = {.of = of};

    if (of->put_count > 0)
        qsort(of->puts, of->put_count, sizeof *of->puts, by_writer);
    check_truth(&check);
    check_puts(&check);
    check_lineage(&check);
    check_real_time(&check);
    check_reads(&check);
    free(check.shard_from);
    return check.violations;
}
