/* The storm's producers and consumers. */
#include "harness/h4.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "harness/history.h"

static const ls_hash_key end_keys[2] = {{0, 0}, {UINT64_MAX, UINT64_MAX}};

void storm_produce(uint32_t place, uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[place];
    int oracle = storm_oracle_open("put", place, O_WRONLY | O_CREAT | O_APPEND);
    int acks = storm_oracle_open("ack", place, O_WRONLY | O_CREAT | O_APPEND);
    static unsigned char data[STORM_BATCH_MAX][STORM_DATA_BYTES_MAX];
    char keys[STORM_BATCH_MAX][32];
    ls_store *store = storm_open_store(plan, state);
    ls_stream *stream = storm_open_stream(store, state);
    ls_producer *producer = NULL;

    if (oracle < 0 || acks < 0 || ls_producer_open(stream, NULL, &producer) != LS_OK) {
        storm_violation("a producer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    while (atomic_load(&storm->stop) == 0) {
        history_put puts[STORM_BATCH_MAX];
        ls_put_entry entries[STORM_BATCH_MAX];
        ls_put_result results[STORM_BATCH_MAX];
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        uint64_t kind = storm_random_below(random, 20);
        uint32_t count = kind < 2 ? 2 + (uint32_t)storm_random_below(random, STORM_BATCH_MAX - 1) : 1;
        bool atomic = kind == 0;
        uint32_t end = (uint32_t)storm_random_below(random, 2);
        uint64_t first = atomic_fetch_add(&state->next_number, count);
        size_t failed = 0;
        ls_status st;

        for (uint32_t i = 0; i < count; i++) {
            uint64_t number = first + i;

            puts[i] = (history_put){.writer = place, .number = number, .group = atomic ? first + 1 : 0,
                                    .route = atomic ? STORM_KEYS + end : (uint32_t)(number % STORM_KEYS)};
            entries[i].partition_key = (ls_bytes){keys[i], storm_make_key(place, number, keys[i])};
            entries[i].data = (ls_bytes){data[i], storm_make_data(place, number, puts[i].group, data[i])};
            /* One shard for an atomic batch, and one per key elsewhere: the key's own. */
            entries[i].explicit_hash_key = atomic ? &end_keys[end] : NULL;
        }
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        for (uint32_t i = 0; i < count; i++)
            puts[i].start_us = clock.from_us;
        storm_oracle_note(oracle, puts, count * sizeof *puts);
        atomic_fetch_add(&storm->puts, count);
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
        int64_t end_us = storm_now_us();
        storm_call_ends(&clock, "a put", storm_set.wait_us);
        if (st != LS_OK || failed != 0) {
            storm_violation("a put: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        for (uint32_t i = 0; i < count; i++) {
            puts[i].seqno = results[i].seqno;
            puts[i].shard = results[i].shard;
            puts[i].end_us = end_us;
        }
        storm_oracle_note(acks, puts, count * sizeof *puts);
        atomic_fetch_add(&storm->acknowledged, count);
        /* Not as many as possible: all is read again and again. */
        if (storm_random_below(random, 4) != 0)
            (void)usleep((useconds_t)storm_random_below(random, 6000));
    }
    storm_close(store, stream, producer, NULL);
}

/* One that is there, often a young one. */
static uint32_t pick_shard(ls_stream *stream, storm_child *state, uint64_t *random)
{
    ls_stream_description *about = NULL;
    storm_call clock = storm_call_begins(state, storm_set.wait_us);
    ls_status st = ls_stream_describe(stream, &about);

    storm_call_ends(&clock, "describing the stream", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("describing the stream: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    uint32_t count = ls_stream_description_shard_count(about);
    bool is_young = storm_random_below(random, 2) != 0 && count > STORM_OPEN_MAX;
    uint32_t back = (uint32_t)storm_random_below(random, is_young ? STORM_OPEN_MAX : count);

    ls_stream_description_free(about);
    return count - 1 - back;
}

typedef struct consumer {
    storm_child *state;
    ls_stream *stream;
    int trace, runs;
    bool merged;
} consumer;

/* One iterator, until the storm or its shard ends: then `*shard` is one of its children. `after` 0: all of it. */
static void consume_run(const consumer *of, uint64_t *random, uint32_t *shard, uint64_t after)
{
    static history_read reads[4096];
    history_run run = {.run = atomic_fetch_add(&storm->runs, 1), .merged = of->merged, .after = after};
    ls_position position = {.kind = after != 0 ? LS_AFTER_SEQUENCE_NUMBER : LS_TRIM_HORIZON, .seqno = after};
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    bool is_end = false;
    ls_status st;

    storm_oracle_note(of->runs, &run, sizeof run);
    storm_call clock = storm_call_begins(of->state, storm_set.wait_us);
    st = of->merged ? ls_iterator_open_all(of->stream, &position, NULL, &iterator)
                    : ls_iterator_open(of->stream, *shard, &position, NULL, &iterator);
    storm_call_ends(&clock, "opening an iterator", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("opening an iterator: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    limits.records_max = 1 + (uint32_t)storm_random_below(random, 4096);
    while (atomic_load(&storm->stop) == 0 && !is_end) {
        const ls_batch *batch;
        const ls_record *records;

        limits.timeout_ms = (int64_t)storm_random_below(random, 100);
        int64_t allowed = storm_set.wait_us + limits.timeout_ms * 1000;
        clock = storm_call_begins(of->state, allowed);
        st = ls_iterator_next(iterator, &limits, &batch);
        storm_call_ends(&clock, "a read", allowed);
        if (st != LS_OK) {
            storm_violation("a read: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        size_t count = ls_batch_count(batch);
        records = ls_batch_records(batch);
        for (size_t i = 0; i < count; i++) {
            storm_record head = {0};

            if (!storm_read_record(&records[i], &head))
                storm_violation("shard %u seqno %" PRIu64 " has other bytes than were put", records[i].shard,
                                records[i].seqno);
            reads[i] = (history_read){.run = run.run, .shard = records[i].shard, .seqno = records[i].seqno,
                                      .writer = head.writer, .number = head.number};
        }
        if (count > 0) {
            storm_oracle_note(of->trace, reads, count * sizeof *reads);
            atomic_fetch_add(&storm->read, count);
        }
        if (of->merged)
            continue;
        if (count > 0)
            atomic_store(&of->state->last_seqno, records[count - 1].seqno);
        is_end = ls_batch_is_shard_end(batch) != 0;
        if (is_end && ls_batch_child_count(batch) == 0) {
            storm_violation("shard %u ends without children", *shard);
            _exit(3);
        }
        if (is_end)
            *shard = ls_batch_child_at(batch, (uint32_t)storm_random_below(random, ls_batch_child_count(batch)));
    }
    ls_iterator_close(iterator);
}

void storm_consume(uint32_t place, uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[place];
    ls_store *store = storm_open_store(plan, state);
    consumer of = {.state = state,
                   .stream = storm_open_stream(store, state),
                   .trace = storm_oracle_open("read", place, O_WRONLY | O_CREAT | O_APPEND),
                   .runs = storm_oracle_open("run", place, O_WRONLY | O_CREAT | O_APPEND),
                   .merged = place - STORM_PRODUCERS >= STORM_CONSUMERS / 2};
    uint32_t shard = atomic_load(&state->shard);
    uint64_t after = atomic_load(&state->last_seqno);

    if (of.trace < 0 || of.runs < 0)
        _exit(3);
    /* Every eighth reads another one from the beginning; the others go on where the last one was. */
    if (of.merged || after == 0 || storm_random_below(random, 8) == 0) {
        shard = of.merged ? 0 : pick_shard(of.stream, state, random);
        after = 0;
    }
    while (atomic_load(&storm->stop) == 0) {
        atomic_store(&state->last_seqno, 0); /* first: a number of one shard is none of another's */
        atomic_store(&state->shard, shard);
        atomic_store(&state->last_seqno, after);
        consume_run(&of, random, &shard, after);
        after = 0;
    }
    storm_close(store, of.stream, NULL, NULL);
}
