/* After the storm: one last reading of everything, against what each process noted. */
#include "harness/h4.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/u128.h"
#include "harness/history.h"

/* Reads everything, of one shard or (STORM_SHARDS_MAX) merged. */
static history_read *read_all(ls_stream *stream, uint32_t shard, history_read *have, size_t *count, size_t *capacity)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_status st = shard < STORM_SHARDS_MAX ? ls_iterator_open(stream, shard, NULL, NULL, &iterator)
                                      : ls_iterator_open_all(stream, NULL, NULL, &iterator);

    while (st == LS_OK && (st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            storm_record head = {0};

            if (!storm_read_record(record, &head))
                storm_violation("at the end shard %u seqno %" PRIu64 " has other bytes than were put", record->shard,
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
        storm_violation("reading all of shard %u: %s: %s", shard, ls_status_name(st), ls_last_error_message());
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
    for (uint32_t place = 0; place < STORM_PRODUCERS; place++) {
        size_t count, ack_count, at = 0;
        history_put *puts = storm_oracle_load("put", place, sizeof *puts, &count);
        history_put *acks = storm_oracle_load("ack", place, sizeof *acks, &ack_count);

        for (size_t i = 0; i < ack_count; i++) { /* Both in the order of numbers. */
            while (at < count && puts[at].number != acks[i].number)
                at++;
            if (at < count)
                puts[at] = acks[i];
            else
                storm_violation("writer %u number %" PRIu64 " is acknowledged and was not put", place, acks[i].number);
        }
        free(acks);
        of->puts = append_entries(of->puts, &of->put_count, puts, count, sizeof *puts);
    }
}

static void check_made(ls_store *store)
{
    for (uint32_t k = 0; k < STORM_MADE; k++) {
        uint32_t was = atomic_load(&storm->made[k]);
        char name[32];
        ls_stream *stream = NULL;
        ls_status st;

        (void)snprintf(name, sizeof name, "made-%u", k);
        st = ls_stream_open(store, name, &stream);
        if (st == LS_OK)
            (void)ls_stream_close(stream); /* Its opening was the question. */
        if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (was == STORM_PRESENT && st != LS_OK) ||
            (was == STORM_ABSENT && st != LS_ERR_NOT_FOUND))
            storm_violation("at the end stream '%s' is %s, opening it says %s: %s", name,
                            was == STORM_PRESENT ? "there" : "not there", ls_status_name(st), ls_last_error_message());
    }
}

/* Which shards there came to be, and whether they are a lineage: of every hash key there is one open shard, who has
 * children is closed, and who is closed has some. */
static void load_shards(ls_stream *stream, history *of)
{
    ls_stream_description *about = NULL;
    ls_hash_key next = {0, 0};
    ls_shard_info open[4 * STORM_OPEN_MAX];
    bool *has_children;
    uint32_t open_count;

    if (ls_stream_describe(stream, &about) != LS_OK) {
        storm_violation("at the end the stream cannot be described: %s", ls_last_error_message());
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
            storm_violation("at the end shard %u is not listed as such", i);
        of->shards[i] = (history_shard){{info.parent, info.adjacent_parent}}; /* LS_NO_SHARD is HISTORY_NO_SHARD */
        for (int k = 0; k < 2; k++)
            if (of->shards[i].parents[k] < i)
                has_children[of->shards[i].parents[k]] = true;
            else if (of->shards[i].parents[k] != HISTORY_NO_SHARD)
                storm_violation("at the end shard %u has the parent %u", i, of->shards[i].parents[k]);
    }
    for (uint32_t i = 0; i < of->shard_count; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        (void)ls_stream_description_shard(about, i, &info); /* as above */
        if ((info.is_open != 0) == has_children[i])
            storm_violation("at the end shard %u is %s and has %s children", i, info.is_open ? "open" : "closed",
                            has_children[i] ? "some" : "no");
    }
    open_count = storm_open_shards(about, open, 4 * STORM_OPEN_MAX);
    for (uint32_t i = 0; i < open_count; i++) {
        if (lsi_u128_compare(open[i].first_hash_key, next) != 0)
            storm_violation("at the end the open shards leave a gap or overlap in front of shard %u", open[i].shard);
        next = lsi_u128_add(open[i].last_hash_key, (ls_hash_key){0, 1});
    }
    if (lsi_u128_compare(next, (ls_hash_key){0, 0}) != 0)
        storm_violation("at the end the open shards do not reach the last hash key");
    free(has_children);
    ls_stream_description_free(about);
}

/* All upkeep done, it is under its cap, and what it has is the end of what was acknowledged. */
static void judge_kept(ls_store *store)
{
    ls_stream_description *about = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream *stream = NULL;

    if (ls_store_maintain(store, -1) != LS_OK || ls_stream_open(store, STORM_KEPT_STREAM, &stream) != LS_OK ||
        ls_stream_describe(stream, &about) != LS_OK || ls_stream_description_shard(about, 0, &info) != LS_OK)
        storm_violation("at the end the trimmed stream cannot be described: %s", ls_last_error_message());
    else if (info.stored_bytes > STORM_KEPT_BYTES + STORM_SEGMENT_BYTES)
        storm_violation("at the end the trimmed stream has %" PRIu64 " bytes, its cap is %u", info.stored_bytes,
                        STORM_KEPT_BYTES);
    else
        storm_check_kept(stream);
    ls_stream_description_free(about);
    (void)ls_stream_close(stream); /* nothing was put by it */
}

void storm_judge(void)
{
    history of = {0};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    size_t capacity = 0;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    history_read *merged = NULL;
    size_t merged_count = 0, merged_capacity = 0;

    options.key_callback = storm_key;
    if (ls_store_open(storm_set.dir, &options, &store) != LS_OK ||
        ls_stream_open(store, STORM_STREAM, &stream) != LS_OK) {
        storm_violation("at the end the store cannot be opened: %s", ls_last_error_message());
        (void)ls_store_close(store);
        return;
    }
    load_shards(stream, &of);
    for (uint32_t shard = 0; shard < of.shard_count; shard++)
        of.truth = read_all(stream, shard, of.truth, &of.truth_count, &capacity);
    merged = read_all(stream, STORM_SHARDS_MAX, merged, &merged_count, &merged_capacity);
    check_made(store);
    storm_check_settings(stream);
    judge_kept(store);
    storm_close(store, stream, NULL, NULL);

    load_puts(&of);
    for (uint32_t place = STORM_PRODUCERS; place < STORM_MAKER; place++) {
        size_t count;
        void *entries = storm_oracle_load("read", place, sizeof(history_read), &count);

        of.reads = append_entries(of.reads, &of.read_count, entries, count, sizeof(history_read));
        entries = storm_oracle_load("run", place, sizeof(history_run), &count);
        of.runs = append_entries(of.runs, &of.run_count, entries, count, sizeof(history_run));
    }
    if (merged_count != of.truth_count)
        storm_violation("the merged reader shows %zu records, the readers of single shards %zu", merged_count,
                        of.truth_count);
    of.reads = append_entries(of.reads, &of.read_count, merged, merged_count, sizeof(history_read));
    history_run *last = calloc(1, sizeof *last);
    if (last == NULL)
        abort();
    *last = (history_run){.run = UINT32_MAX, .merged = 1};
    of.runs = append_entries(of.runs, &of.run_count, last, 1, sizeof *last);
    atomic_fetch_add(&storm->violations, history_check(&of));
    free(of.puts);
    free(of.truth);
    free(of.reads);
    free(of.runs);
    free(of.shards);
}
