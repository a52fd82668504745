/* The storm's producers and consumers. */
#include "harness/h4.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/history.h"

#define STORM_READ_MAX 4096u /* records in a batch */
#define STORM_HEARTBEAT_MS 100

static const ls_hash_key end_keys[2] = {{0, 0}, {UINT64_MAX, UINT64_MAX}};

/* Every second producer numbers its puts, and puts again, with the same number, whatever the one before it in its place
 * was not answered: then nothing of it is in doubt. */
static bool is_numbered(uint32_t place)
{
    return place % 2 == 0;
}

/* The puts of the call that was not answered; how many. */
static uint32_t load_unanswered(uint32_t place, history_put puts[STORM_BATCH_MAX])
{
    size_t count, ack_count, first;
    history_put *noted = storm_oracle_load("put", place, sizeof *noted, &count);
    history_put *acks = storm_oracle_load("ack", place, sizeof *acks, &ack_count);
    uint32_t found = 0;

    for (first = count; first > 0; first--)
        if (ack_count > 0 && noted[first - 1].number <= acks[ack_count - 1].number)
            break;
    for (size_t i = first; i < count; i++, found++) {
        if (found == STORM_BATCH_MAX) {
            storm_violation("writer %u was not answered more than one call", place);
            _exit(3);
        }
        puts[found] = noted[i];
    }
    free(noted);
    free(acks);
    return found;
}

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
    history_put puts[STORM_BATCH_MAX];
    uint32_t again = is_numbered(place) ? load_unanswered(place, puts) : 0;

    if (oracle < 0 || acks < 0 || ls_producer_open(stream, NULL, &producer) != LS_OK) {
        storm_violation("a producer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    while (atomic_load(&storm->stop) == 0 || again > 0) {
        ls_put_entry entries[STORM_BATCH_MAX];
        ls_put_result results[STORM_BATCH_MAX];
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        uint64_t kind = storm_random_below(random, 20);
        uint32_t count = again > 0 ? again : kind < 2 ? 2 + (uint32_t)storm_random_below(random, STORM_BATCH_MAX - 1) : 1;
        bool atomic = again > 0 ? puts[0].group != 0 : kind == 0, is_again = again > 0;
        uint32_t end = (uint32_t)storm_random_below(random, 2);
        uint64_t first = is_again ? puts[0].number : atomic_fetch_add(&state->next_number, count);
        size_t failed = 0;
        ls_status st;

        again = 0;
        if (is_again && atomic)
            end = puts[0].route - STORM_KEYS;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t number = first + i;

            if (!is_again)
                puts[i] = (history_put){.writer = place, .number = number, .group = atomic ? first + 1 : 0,
                                        .route = atomic ? STORM_KEYS + end : (uint32_t)(number % STORM_KEYS)};
            entries[i].partition_key = (ls_bytes){keys[i], storm_make_key(place, number, keys[i])};
            entries[i].data = (ls_bytes){data[i], storm_make_data(place, number, puts[i].group, data[i])};
            /* One shard for an atomic batch, and one per key elsewhere: the key's own. */
            entries[i].explicit_hash_key = atomic ? &end_keys[end] : NULL;
        }
        if (is_numbered(place)) {
            options.producer = (ls_producer_id){place + 1, storm_set.seed};
            options.number = first + 1;
        }
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        for (uint32_t i = 0; i < count && !is_again; i++)
            puts[i].start_us = clock.from_us;
        if (is_again)
            atomic_fetch_add(&storm->repeated, count);
        else
            storm_oracle_note(oracle, puts, count * sizeof *puts);
        atomic_fetch_add(&storm->puts, is_again ? 0 : count);
        if (count == 1 && !atomic) {
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
            storm_violation("a put of writer %u, %u records%s%s: %s: %s", place, count, atomic ? ", atomic" : "",
                            is_again ? ", again" : "", ls_status_name(st), ls_last_error_message());
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
    ls_consumer *subscriber; /* NULL: it has iterators */
    int trace, runs;
    bool merged;
    /* Of the run under way: */
    history_run run;
    storm_call clock;
    int64_t allowed_us; /* until the next batch */
    uint32_t shard;     /* where it goes on behind the end of a shard */
    bool is_end;
} consumer;

bool storm_is_subscriber(uint32_t place)
{
    return (place - STORM_PRODUCERS) % (STORM_CONSUMERS / 2) == STORM_CONSUMERS / 2 - 1;
}

/* What came of a run's batch. */
static void take_batch(consumer *of, const ls_batch *batch, uint64_t *random)
{
    static history_read reads[STORM_READ_MAX];
    size_t count = ls_batch_count(batch);
    const ls_record *records = ls_batch_records(batch);

    for (size_t i = 0; i < count; i++) {
        storm_record head = {0};

        if (!storm_read_record(&records[i], &head))
            storm_violation("shard %u seqno %" PRIu64 " has other bytes than were put", records[i].shard,
                            records[i].seqno);
        reads[i] = (history_read){.run = of->run.run, .shard = records[i].shard, .seqno = records[i].seqno,
                                  .writer = head.writer, .number = head.number};
    }
    if (count > 0) {
        storm_oracle_note(of->trace, reads, count * sizeof *reads);
        atomic_fetch_add(&storm->read, count);
    }
    if (of->merged)
        return;
    if (count > 0)
        atomic_store(&of->state->last_seqno, records[count - 1].seqno);
    of->is_end = ls_batch_is_shard_end(batch) != 0;
    if (of->is_end && ls_batch_child_count(batch) == 0) {
        storm_violation("shard %u ends without children", of->shard);
        _exit(3);
    }
    if (of->is_end)
        of->shard = ls_batch_child_at(batch, (uint32_t)storm_random_below(random, ls_batch_child_count(batch)));
}

/* ---- subscriptions ---- */

typedef struct pushing {
    consumer *of;
    uint64_t *random;
} pushing;

static ls_push_answer push(const ls_batch *batch, void *user)
{
    const pushing *to = user;
    consumer *of = to->of;

    storm_call_ends(&of->clock, "waiting for a batch", of->allowed_us);
    take_batch(of, batch, to->random);
    atomic_fetch_add(&storm->pushed, ls_batch_count(batch));
    of->allowed_us = storm_set.wait_us + STORM_HEARTBEAT_MS * 1000;
    of->clock = storm_call_begins(of->state, of->allowed_us);
    return atomic_load(&storm->stop) != 0 ? LS_PUSH_STOP : LS_PUSH_DONE;
}

/* One subscription, until the storm or its shard ends. The place's process before it is dead, so nobody has it. */
static void subscribe_run(consumer *of, uint64_t *random, const ls_position *position)
{
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
    pushing to = {of, random};
    ls_status st;

    options.records_max = 1 + (uint32_t)storm_random_below(random, STORM_READ_MAX);
    options.heartbeat_ms = STORM_HEARTBEAT_MS;
    of->allowed_us = storm_set.wait_us;
    of->clock = storm_call_begins(of->state, of->allowed_us);
    st = of->merged ? ls_consumer_subscribe_all(of->subscriber, position, &options, push, &to)
                    : ls_consumer_subscribe(of->subscriber, of->shard, position, &options, push, &to);
    storm_call_ends(&of->clock, "subscribing", of->allowed_us);
    if (st == LS_ERR_THROTTLED) { /* It is provisioned just now, and the one before began less than a second ago. */
        (void)usleep((useconds_t)ls_last_error_retry_after_ms() * 1000);
        return;
    }
    if (st != LS_OK) {
        storm_violation("subscribing: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
}

/* ---- iterators ---- */

/* One iterator, until the storm or its shard ends. */
static void iterate_run(consumer *of, uint64_t *random, const ls_position *position)
{
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    ls_status st;

    storm_call clock = storm_call_begins(of->state, storm_set.wait_us);
    st = of->merged ? ls_iterator_open_all(of->stream, position, NULL, &iterator)
                    : ls_iterator_open(of->stream, of->shard, position, NULL, &iterator);
    storm_call_ends(&clock, "opening an iterator", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("opening an iterator: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    limits.records_max = 1 + (uint32_t)storm_random_below(random, STORM_READ_MAX);
    while (atomic_load(&storm->stop) == 0 && !of->is_end) {
        const ls_batch *batch;

        limits.timeout_ms = (int64_t)storm_random_below(random, 100);
        int64_t allowed = storm_set.wait_us + limits.timeout_ms * 1000;
        clock = storm_call_begins(of->state, allowed);
        st = ls_iterator_next(iterator, &limits, &batch);
        storm_call_ends(&clock, "a read", allowed);
        if (st != LS_OK) {
            storm_violation("a read: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        take_batch(of, batch, random);
    }
    ls_iterator_close(iterator);
}

/* Reads of->shard, or all. `after` 0: from the beginning. Then of->shard is one of its children. */
static void consume_run(consumer *of, uint64_t *random, uint64_t after)
{
    ls_position position = {.kind = after != 0 ? LS_AFTER_SEQUENCE_NUMBER : LS_TRIM_HORIZON, .seqno = after};

    of->run = (history_run){.run = atomic_fetch_add(&storm->runs, 1), .merged = of->merged, .after = after};
    of->is_end = false;
    storm_oracle_note(of->runs, &of->run, sizeof of->run);
    if (of->subscriber != NULL)
        subscribe_run(of, random, &position);
    else
        iterate_run(of, random, &position);
}

void storm_consume(uint32_t place, uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[place];
    ls_store *store = storm_open_store(plan, state);
    consumer of = {.state = state,
                   .stream = storm_open_stream(store, state),
                   .trace = storm_oracle_open("read", place, O_WRONLY | O_CREAT | O_APPEND),
                   .runs = storm_oracle_open("run", place, O_WRONLY | O_CREAT | O_APPEND),
                   .merged = place - STORM_PRODUCERS >= STORM_CONSUMERS / 2,
                   .shard = atomic_load(&state->shard)};
    char name[32];
    uint64_t after = atomic_load(&state->last_seqno);

    (void)snprintf(name, sizeof name, STORM_READER "-%u", place); /* fits */
    if (of.trace < 0 || of.runs < 0 ||
        (storm_is_subscriber(place) && ls_consumer_open(of.stream, name, &of.subscriber) != LS_OK)) {
        storm_violation("a consumer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    /* Every eighth reads another one from the beginning; the others go on where the last one was. */
    if (of.merged || after == 0 || storm_random_below(random, 8) == 0) {
        of.shard = of.merged ? 0 : pick_shard(of.stream, state, random);
        after = 0;
    }
    while (atomic_load(&storm->stop) == 0) {
        atomic_store(&state->last_seqno, 0); /* first: a number of one shard is none of another's */
        atomic_store(&state->shard, of.shard);
        atomic_store(&state->last_seqno, after);
        consume_run(&of, random, after);
        /* A subscription that was not let begin begins where it was to. */
        after = of.subscriber != NULL && !of.is_end && !of.merged ? atomic_load(&state->last_seqno) : 0;
    }
    if (ls_consumer_close(of.subscriber) != LS_OK)
        storm_violation("closing a consumer: %s", ls_last_error_message());
    storm_close(store, of.stream, NULL, NULL);
}
