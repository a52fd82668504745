/* What the processes of a simulation note, and what is made of it. The judge of histories (H5) has the last word; what
 * it does not know, because it knows no loss of power, is settled here before. */
#include "harness/h6.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *array, size_t count, size_t *capacity, size_t bytes)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity != 0 ? 2 * *capacity : 64;
    array = realloc(array, *capacity * bytes);
    if (array == NULL)
        abort();
    return array;
}

void h6_violation(h6_run *run, const char *format, ...)
{
    char line[sizeof run->first];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (run->violations++ == 0)
        memcpy(run->first, line, sizeof line);
    if (run->is_loud)
        fprintf(stderr, "    %s\n", line);
}

/* ---- data ---- */

typedef struct head {
    uint32_t writer, bytes;
    uint64_t number, group;
} head;

/* Most are small; some, and in some runs every second, fill a segment within a few. */
static uint32_t bytes_of(const h6_run *run, uint32_t writer, uint64_t number)
{
    uint64_t mix = (writer + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ number * UINT64_C(0xBF58476D1CE4E5B9);

    mix ^= mix >> 31;
    if (mix % (run->is_wide ? 2 : 16) == 0)
        return (uint32_t)(sizeof(head) + (mix >> 8) % (H6_DATA_BYTES_MAX - sizeof(head)));
    return (uint32_t)(sizeof(head) + (mix >> 8) % 200);
}

static unsigned char fill_of(uint32_t writer, uint64_t number)
{
    return (unsigned char)(1 + (writer * 31 + number * 7) % 255);
}

size_t h6_make_data(const h6_run *run, unsigned char *into, uint32_t writer, uint64_t number, uint64_t group)
{
    head of = {writer, bytes_of(run, writer, number), number, group};

    memcpy(into, &of, sizeof of);
    memset(into + sizeof of, fill_of(writer, number), of.bytes - sizeof of);
    return of.bytes;
}

static bool read_data(const h6_run *run, const ls_record *record, head *out)
{
    const unsigned char *data = record->data.data;

    if (record->data.size < sizeof *out)
        return false;
    memcpy(out, data, sizeof *out);
    if (out->bytes != record->data.size || out->bytes != bytes_of(run, out->writer, out->number))
        return false;
    for (size_t at = sizeof *out; at < record->data.size; at++)
        if (data[at] != fill_of(out->writer, out->number))
            return false;
    return true;
}

/* ---- notes ---- */

size_t h6_note_put(h6_run *run, uint32_t writer, uint64_t number, uint32_t route, uint64_t group)
{
    run->puts = grown(run->puts, run->put_count, &run->put_capacity, sizeof *run->puts);
    run->puts[run->put_count] = (h6_put){
        .put = {.writer = writer, .number = number, .route = route, .group = group, .start_us = sim_now_us()},
        .process = sim_process_current()};
    return run->put_count++;
}

void h6_note_answer(h6_run *run, size_t first, size_t count, const ls_put_result *results)
{
    int64_t end_us = sim_now_us();

    run->serial++;
    for (size_t i = 0; i < count; i++) {
        h6_put *of = &run->puts[first + i];

        of->put.end_us = end_us;
        of->put.shard = results[i].shard;
        of->put.seqno = results[i].seqno;
        of->serial = run->serial;
        of->process = sim_process_current();
        of->is_synced = run->durability == LS_DURABILITY_SYNC;
        sim_machine_note(results[i].seqno << 8 ^ results[i].shard);
    }
}

uint32_t h6_note_run(h6_run *run, bool merged, uint64_t after)
{
    uint32_t number = (uint32_t)run->run_count;

    run->runs = grown(run->runs, run->run_count, &run->run_capacity, sizeof *run->runs);
    run->runs[run->run_count++] = (history_run){.run = number, .merged = merged, .after = after};
    return number;
}

static void note_read(h6_run *run, history_read **list, size_t *count, size_t *capacity, uint32_t number,
                      const ls_record *record)
{
    head of = {0};

    if (!read_data(run, record, &of))
        h6_violation(run, "shard %u seqno %" PRIu64 " has other bytes than were put", record->shard, record->seqno);
    *list = grown(*list, *count, capacity, sizeof **list);
    (*list)[(*count)++] = (history_read){.run = number, .shard = record->shard, .seqno = record->seqno,
                                         .writer = of.writer, .number = of.number};
    sim_machine_note(record->seqno << 8 ^ record->shard);
}

#define TRUTH UINT32_MAX

void h6_note_batch(h6_run *run, uint32_t number, const ls_batch *batch)
{
    const ls_record *records = ls_batch_records(batch);

    for (size_t i = 0; i < ls_batch_count(batch); i++)
        if (number == TRUTH)
            note_read(run, &run->truth, &run->truth_count, &run->truth_capacity, number, &records[i]);
        else
            note_read(run, &run->reads, &run->read_count, &run->read_capacity, number, &records[i]);
}

void h6_note_synced(h6_run *run, uint64_t serial, unsigned process)
{
    for (size_t i = 0; i < run->put_count; i++)
        if (run->puts[i].serial != 0 && (run->puts[i].serial <= serial || run->puts[i].process == process))
            run->puts[i].is_synced = true;
}

void h6_check_notice(h6_run *run, uint32_t shard, const uint64_t *last, int64_t from_us, int64_t stopped_us)
{
    /* Who is killed between publishing and waking wakes nobody: sleeps are bounded for that (P1). */
    int64_t notice_us = sim_machine_tally()->kills > 0 ? H6_WAIT_US : H6_NOTICE_US;
    int64_t late_us = sim_now_us() - notice_us - (sim_stopped_us() - stopped_us);

    for (size_t i = 0; i < run->put_count; i++) {
        const history_put *put = &run->puts[i].put;

        if (put->seqno == 0 || put->shard >= H6_SHARDS_MAX || (shard != LS_NO_SHARD && put->shard != shard) ||
            put->seqno <= last[put->shard] || put->end_us < from_us || put->end_us >= late_us)
            continue;
        h6_violation(run, "who waits is not woken: shard %u seqno %" PRIu64 " was acknowledged %" PRId64
                     " ms before the wait was over", put->shard, put->seqno, (sim_now_us() - put->end_us) / 1000);
        return;
    }
}

/* ---- judgement ---- */

static const history_read *find_truth(const h6_run *run, uint32_t writer, uint64_t number)
{
    for (size_t i = 0; i < run->truth_count; i++)
        if (run->truth[i].writer == writer && run->truth[i].number == number)
            return &run->truth[i];
    return NULL;
}

static bool has_seqno(const h6_run *run, uint32_t shard, uint64_t seqno)
{
    for (size_t i = 0; i < run->truth_count; i++)
        if (run->truth[i].shard == shard && run->truth[i].seqno == seqno)
            return true;
    return false;
}

static uint64_t last_of(const h6_run *run, uint32_t shard)
{
    uint64_t last = 0;

    for (size_t i = 0; i < run->truth_count; i++)
        if (run->truth[i].shard == shard && run->truth[i].seqno > last)
            last = run->truth[i].seqno;
    return last;
}

/* INTERVAL: who put it lived on, and so syncs went on. */
static bool is_due(const h6_run *run, const h6_put *of)
{
    bool lives = false;

    for (uint32_t i = 0; i < run->process_count; i++)
        lives = lives || run->processes[i].number == of->process;
    return lives && run->durability == LS_DURABILITY_INTERVAL &&
        of->put.end_us + H6_INTERVAL_MS * 1000 + H6_SYNCED_US + sim_stopped_us() < run->power_us;
}

/* What a mode promises is there; of the rest a suffix may be gone (D2), and then it is as if it had not been answered,
 * but for its number (D4). */
void h6_judge_power(h6_run *run)
{
    size_t kept = 0;

    for (size_t i = 0; i < run->put_count; i++) {
        h6_put *of = &run->puts[i];

        if (of->put.seqno == 0 || find_truth(run, of->put.writer, of->put.number) != NULL)
            continue; /* Where it is and who it is is looked at in the end. */
        if (of->is_synced || is_due(run, of))
            h6_violation(run, "D1: the power took writer %u number %" PRIu64 ", shard %u seqno %" PRIu64,
                         of->put.writer, of->put.number, of->put.shard, of->put.seqno);
        if (of->put.seqno <= last_of(run, of->put.shard))
            h6_violation(run, "D2: the power took shard %u seqno %" PRIu64 ", and left %" PRIu64, of->put.shard,
                         of->put.seqno, last_of(run, of->put.shard));
        run->lost++;
        of->lost_seqno = of->put.seqno;
        of->lost_shard = of->put.shard;
        of->put.seqno = 0;
    }
    for (size_t i = 0; i < run->read_count; i++) {
        const history_read *read = &run->reads[i];

        if (run->durability == LS_DURABILITY_SYNC || has_seqno(run, read->shard, read->seqno)) {
            run->reads[kept++] = *read; /* D3: in SYNC nobody was shown what can be gone. */
            continue;
        }
        if (read->seqno <= last_of(run, read->shard))
            h6_violation(run, "D2: the power took shard %u seqno %" PRIu64 ", which was read, and left %" PRIu64,
                         read->shard, read->seqno, last_of(run, read->shard));
    }
    run->read_count = kept;
}

/* Runs were under way at the same time; the judge wants one after another. */
static void sort_reads(h6_run *run)
{
    history_read *sorted = malloc((run->read_count + 1) * sizeof *sorted);
    size_t count = 0;

    if (sorted == NULL)
        abort();
    for (uint32_t number = 0; number < run->run_count; number++)
        for (size_t i = 0; i < run->read_count; i++)
            if (run->reads[i].run == number)
                sorted[count++] = run->reads[i];
    free(run->reads);
    run->reads = sorted;
}

static uint64_t check(h6_run *run, bool quiet)
{
    history of = {.truth_count = run->truth_count, .read_count = run->read_count, .run_count = run->run_count,
                  .reads = run->reads, .runs = run->runs, .shards = run->shards, .shard_count = run->shards_now,
                  .put_count = run->put_count, .quiet = quiet};
    uint64_t violations;

    sort_reads(run);
    of.reads = run->reads;
    of.puts = malloc((run->put_count + 1) * sizeof *of.puts);
    of.truth = malloc((run->truth_count + 1) * sizeof *of.truth);
    if (of.puts == NULL || of.truth == NULL)
        abort();
    for (size_t i = 0; i < run->put_count; i++)
        of.puts[i] = run->puts[i].put;
    if (run->truth_count > 0)
        memcpy(of.truth, run->truth, run->truth_count * sizeof *of.truth);
    violations = history_check(&of);
    free(of.puts);
    free(of.truth);
    return violations;
}

void h6_judge(h6_run *run)
{
    uint64_t violations;

    for (size_t i = 0; i < run->put_count; i++)
        if (run->puts[i].lost_seqno != 0 && has_seqno(run, run->puts[i].lost_shard, run->puts[i].lost_seqno))
            h6_violation(run, "D4: shard %u seqno %" PRIu64 " was lost, and is given again", run->puts[i].lost_shard,
                         run->puts[i].lost_seqno);
    violations = check(run, !run->is_loud);
    if (violations > 0)
        h6_violation(run, "the history has %" PRIu64 " violations", violations);
}
