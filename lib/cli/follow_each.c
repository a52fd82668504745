/* Following each shard by itself, for `lstream tail --skip-damage`: one iterator over all would stop at the damage of
 * one, and cannot be moved in one shard alone.
 *
 * A child is begun when its parents were read to their ends, so that the records of a key stay in order; children that
 * come while this runs are found at their parents' ends. Several iterators cannot be waited for together, so they are
 * asked in rounds: a record is printed a tenth of a second late at most. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define ROUND_MS 100

typedef struct followed {
    ls_iterator *iterator; /* NULL: not begun, or over */
    uint32_t shard, parents[2];
    ls_position from;
    ls_seqno passed; /* see lsi_pass_damage */
    bool is_over;    /* read to its end, or nothing can be read behind what is damaged */
} followed;

typedef struct follower {
    const lsi_call *call;
    ls_stream *stream;
    ls_iterator_options how;
    followed *shards;
    uint32_t count;
    uint64_t left; /* records to print */
    bool met_damage;
    int code; /* of a failure that ends all */
} follower;

static followed *find(follower *of, uint32_t shard)
{
    for (uint32_t i = 0; i < of->count; i++)
        if (of->shards[i].shard == shard)
            return &of->shards[i];
    return NULL;
}

/* Takes in the shards that are new. `from`: of those that are there at the beginning; others are read whole. */
static bool look_for_shards(follower *of, const ls_position *from)
{
    ls_stream_description *description;
    ls_status st = ls_stream_describe(of->stream, &description);
    uint32_t count;
    void *grown;

    if (st != LS_OK) {
        of->code = lsi_failed(of->call, st);
        return false;
    }
    count = ls_stream_description_shard_count(description);
    grown = realloc(of->shards, (of->count + count) * sizeof(*of->shards));
    if (grown == NULL) {
        lsi_say(of->call, "out of memory");
        of->code = LSI_EXIT_FAILED;
    } else {
        of->shards = grown;
    }
    for (uint32_t i = 0; of->code == LSI_EXIT_OK && i < count; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        st = ls_stream_description_shard(description, i, &info);
        if (st != LS_OK)
            of->code = lsi_failed(of->call, st);
        else if (find(of, info.shard) == NULL)
            of->shards[of->count++] = (followed){.shard = info.shard, .from = *from,
                                                 .parents = {info.parent, info.adjacent_parent}};
    }
    ls_stream_description_free(description);
    return of->code == LSI_EXIT_OK;
}

static bool waits_for_parents(follower *of, const followed *shard)
{
    for (int i = 0; i < 2; i++) {
        const followed *parent = shard->parents[i] != LS_NO_SHARD ? find(of, shard->parents[i]) : NULL;

        if (parent != NULL && !parent->is_over)
            return true;
    }
    return false;
}

static bool is_damage(ls_status st)
{
    return st == LS_ERR_CORRUPT || st == LS_ERR_IO;
}

static void end(followed *shard)
{
    ls_iterator_close(shard->iterator);
    shard->iterator = NULL;
    shard->is_over = true;
}

/* A failure to read this shard: passes damage, or gives up the shard, or everything. */
static void failed(follower *of, followed *shard, ls_status st)
{
    lsi_out_flush();
    if (!is_damage(st)) {
        of->code = lsi_failed(of->call, st);
        return;
    }
    of->met_damage = true;
    if (shard->iterator == NULL)
        lsi_say(of->call, "%s", ls_last_error_message());
    if (shard->iterator == NULL || !lsi_pass_damage(of->call, shard->iterator, shard->shard, &shard->passed))
        end(shard);
}

/* Also of one that waits: LATEST is the moment of this. */
static void begin(follower *of, followed *shard)
{
    ls_status st = LS_OK;

    if (shard->iterator == NULL)
        st = ls_iterator_open(of->stream, shard->shard, &shard->from, &of->how, &shard->iterator);
    if (st == LS_ERR_NOT_FOUND) /* It expired just now. */
        end(shard);
    else if (st != LS_OK)
        failed(of, shard, st);
}

/* Prints what there is of one shard, a batch at most. True: there may be more at once. */
static bool print_some(follower *of, followed *shard)
{
    static const ls_position whole = {.kind = LS_TRIM_HORIZON};
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch;
    size_t count;
    ls_status st;

    next.records_max = of->left < 10000 ? (uint32_t)of->left : 10000;
    st = ls_iterator_next(shard->iterator, &next, &batch);
    if (st == LS_ERR_THROTTLED)
        return false; /* Its turn comes. */
    if (st == LS_ERR_TRIMMED) { /* Said once; the iterator now stands at the oldest record. */
        lsi_say(of->call, "%s", ls_last_error_message());
        return true;
    }
    if (st != LS_OK) {
        failed(of, shard, st);
        return true;
    }
    count = ls_batch_count(batch);
    for (size_t i = 0; i < count; i++) {
        const ls_record *record = ls_batch_at(batch, i);

        shard->passed = record->seqno;
        if (shard->from.kind == LS_AT_TIMESTAMP && record->arrival_us < shard->from.timestamp_us)
            continue; /* Behind damage that lies before the time asked for. */
        lsi_record_print(record, of->call->json);
        of->left--;
    }
    if (ls_batch_is_shard_end(batch)) {
        end(shard);
        (void)look_for_shards(of, &whole); /* Its children may be younger than the list. */
    }
    return count != 0;
}

/* False: none is left to be read. */
static bool print_round(follower *of, bool *printed)
{
    bool any = false;

    *printed = false;
    for (uint32_t i = 0; i < of->count && of->code == LSI_EXIT_OK && of->left > 0 && !lsi_out_broken(); i++) {
        if (of->shards[i].is_over)
            continue;
        any = true;
        begin(of, &of->shards[i]);
        if (of->shards[i].iterator != NULL && !waits_for_parents(of, &of->shards[i]))
            *printed = print_some(of, &of->shards[i]) || *printed; /* May move the shards. */
    }
    return any;
}

int lsi_follow_each(const lsi_call *call, ls_stream *stream, const ls_position *from, uint32_t flags, uint64_t limit,
                    int64_t timeout_ms)
{
    static const struct timespec pause = {.tv_nsec = ROUND_MS * 1000000L};
    follower of = {.call = call, .stream = stream, .how = LS_ITERATOR_OPTIONS_INIT, .left = limit};
    int64_t last_ms = lsi_now_ms();
    bool printed, any;

    of.how.flags = flags;
    any = look_for_shards(&of, from);
    while (any && of.code == LSI_EXIT_OK && lsi_signal_number() == 0 && of.left > 0 && !lsi_out_broken()) {
        any = print_round(&of, &printed);
        if (printed) {
            lsi_out_flush();
            last_ms = lsi_now_ms();
        } else if (lsi_now_ms() - last_ms >= timeout_ms || lsi_out_reader_is_gone()) {
            break;
        } else if (any) {
            (void)nanosleep(&pause, NULL); /* A signal ends it. */
        }
    }
    for (uint32_t i = 0; i < of.count; i++)
        ls_iterator_close(of.shards[i].iterator);
    free(of.shards);
    if (lsi_signal_number() != 0)
        return 128 + lsi_signal_number();
    return of.code != LSI_EXIT_OK ? of.code : of.met_damage ? LSI_EXIT_DAMAGE : LSI_EXIT_OK;
}
