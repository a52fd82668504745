/* Those who change what the storm's producers and consumers stand on: one splits and merges shards and changes keys,
 * one makes and deletes streams, one has records of its own trimmed. */
#include "harness/h4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/u128.h"

/* ---- the resharder ---- */

static int by_range(const void *left, const void *right)
{
    const ls_shard_info *a = left, *b = right;

    return lsi_u128_compare(a->first_hash_key, b->first_hash_key);
}

uint32_t storm_open_shards(const ls_stream_description *about, ls_shard_info *into, uint32_t most)
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
static void change_terms(ls_store *store, storm_child *state, uint64_t *random)
{
    static const char *const key_ids[] = {"a", "b", "c"};
    uint32_t kind = (uint32_t)storm_random_below(random, 6);
    storm_call clock = storm_call_begins(state, storm_set.wait_us);
    ls_status st = kind < 3    ? ls_stream_start_encryption(store, STORM_STREAM, key_ids[kind])
                   : kind == 3 ? ls_stream_stop_encryption(store, STORM_STREAM)
                               : ls_stream_set_compression(store, STORM_STREAM,
                                                           kind == 4 ? LS_COMPRESSION_ZSTD : LS_COMPRESSION_NONE);

    storm_call_ends(&clock, "changing keys", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("changing keys (%u): %s: %s", kind, ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    atomic_fetch_add(&storm->new_keys, 1);
}

/* Compresses full segments, as far as that goes in a moment: somebody may be at it, or hold a lock and be stopped. */
static void compress_segments(ls_stream *stream, storm_child *state)
{
    storm_call clock = storm_call_begins(state, storm_set.wait_us);
    uint64_t saved = 0;
    ls_status st = ls_stream_recompress(stream, 20, &saved);

    storm_call_ends(&clock, "compressing segments", storm_set.wait_us);
    if (st != LS_OK && st != LS_ERR_TIMEOUT && st != LS_ERR_BUSY) {
        storm_violation("compressing segments: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    if (saved > 0)
        atomic_fetch_add(&storm->compressed, 1);
}

static bool is_closed(ls_stream *stream, uint32_t shard)
{
    ls_stream_description *about = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    bool closed = ls_stream_describe(stream, &about) == LS_OK &&
        ls_stream_description_shard(about, shard, &info) == LS_OK && !info.is_open;

    ls_stream_description_free(about);
    return closed;
}

/* Splits and merges. Whatever the one before was about when it died: the open shards are enough. */
void storm_reshard(uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[STORM_RESHARDER];
    ls_store *store = storm_open_store(plan, state);
    ls_stream *stream = storm_open_stream(store, state);

    while (atomic_load(&storm->stop) == 0) {
        ls_shard_info open[2 * STORM_OPEN_MAX];
        ls_stream_description *about = NULL;
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        ls_status st = ls_stream_describe(stream, &about);

        storm_call_ends(&clock, "describing the stream", storm_set.wait_us);
        if (st != LS_OK) {
            storm_violation("describing the stream: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        uint32_t count = storm_open_shards(about, open, 2 * STORM_OPEN_MAX);
        uint32_t all = ls_stream_description_shard_count(about);

        ls_stream_description_free(about);
        if (all + 2 > STORM_SHARDS_MAX)
            break;
        uint32_t first = storm_is_calm() && count > 2 ? 1 : 0;
        uint32_t k = first + (uint32_t)storm_random_below(random, count - first);
        bool splits = count == 1 || (count < STORM_OPEN_MAX && storm_random_below(random, 2) != 0);

        if (!splits && k + 1 == count)
            k--;
        clock = storm_call_begins(state, storm_set.wait_us);
        st = splits ? ls_stream_split(stream, open[k].shard, NULL, NULL, NULL)
                    : ls_stream_merge(stream, open[k].shard, open[k + 1].shard, NULL);
        storm_call_ends(&clock, splits ? "a split" : "a merge", storm_set.wait_us);
        if (st == LS_ERR_STATE &&
            (is_closed(stream, open[k].shard) || (!splits && is_closed(stream, open[k + 1].shard))))
            continue; /* It was scaled meanwhile. */
        if (st != LS_OK) {
            storm_violation("%s shard %u: %s: %s", splits ? "splitting" : "merging", open[k].shard, ls_status_name(st),
                            ls_last_error_message());
            _exit(3);
        }
        atomic_fetch_add(&storm->reshards, 1);
        if (storm_random_below(random, 3) == 0)
            change_terms(store, state, random);
        if (storm_random_below(random, 3) == 0)
            compress_segments(stream, state);
        (void)usleep((useconds_t)storm_random_below(random, 60000));
    }
    storm_close(store, stream, NULL, NULL);
}

/* Creates and deletes streams of its own. What it was about when it died is unknown; everything else must be so. */
void storm_make_streams(uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[STORM_MAKER];
    ls_store *store = storm_open_store(plan, state);

    while (atomic_load(&storm->stop) == 0) {
        uint32_t k = (uint32_t)storm_random_below(random, STORM_MADE);
        uint32_t was = atomic_load(&storm->made[k]);
        char name[32];
        ls_stream *stream = NULL;
        ls_status st;

        (void)snprintf(name, sizeof name, "made-%u", k);
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        st = ls_stream_open(store, name, &stream);
        if (st == LS_OK)
            (void)ls_stream_close(stream); /* Its opening was the question. */
        storm_call_ends(&clock, "opening a made stream", storm_set.wait_us);
        if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (was == STORM_PRESENT && st != LS_OK) ||
            (was == STORM_ABSENT && st != LS_ERR_NOT_FOUND)) {
            storm_violation("stream '%s' is %s, opening it says %s: %s", name,
                            was == STORM_PRESENT ? "there" : "not there", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        bool there = st == LS_OK;
        atomic_store(&storm->made[k], there ? STORM_DELETING : STORM_CREATING);
        clock = storm_call_begins(state, storm_set.wait_us);
        st = there ? ls_stream_delete(store, name) : ls_stream_create(store, name, NULL);
        storm_call_ends(&clock, there ? "deleting a stream" : "creating a stream", storm_set.wait_us);
        if (st != LS_OK) {
            storm_violation("%s '%s': %s: %s", there ? "deleting" : "creating", name, ls_status_name(st),
                            ls_last_error_message());
            _exit(3);
        }
        atomic_store(&storm->made[k], there ? STORM_ABSENT : STORM_PRESENT);
        (void)usleep((useconds_t)storm_random_below(random, 20000));
    }
    storm_close(store, NULL, NULL, NULL);
}

typedef struct kept_record {
    uint32_t trimmer, number;
} kept_record;

/* What a reading of the trimmed stream has come to. */
typedef struct kept_reading {
    bool any[STORM_TRIMMERS];
    uint32_t next[STORM_TRIMMERS];
} kept_reading;

static void check_kept_record(kept_reading *of, const ls_record *record)
{
    kept_record head;
    uint32_t *next;

    if (record->data.size != STORM_KEPT_RECORD_BYTES) {
        storm_violation("the trimmed stream shows a record of %zu bytes", record->data.size);
        return;
    }
    memcpy(&head, record->data.data, sizeof head);
    if (head.trimmer >= STORM_TRIMMERS || head.number >= STORM_KEPT_MAX || head.number < of->next[head.trimmer]) {
        storm_violation("the trimmed stream shows number %u of trimmer %u", head.number, head.trimmer);
        return;
    }
    next = &of->next[head.trimmer];
    for (; of->any[head.trimmer] && *next < head.number; ++*next)
        if (atomic_load(&storm->kept[head.trimmer][*next]) != 0)
            storm_violation("the trimmed stream lacks number %u of trimmer %u, which was acknowledged, in the middle",
                            *next, head.trimmer);
    if (!of->any[head.trimmer] && head.number > 0)
        atomic_fetch_add(&storm->trimmed, 1);
    of->any[head.trimmer] = true;
    *next = head.number + 1;
}

void storm_check_kept(ls_stream *stream)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    kept_reading of = {{false}, {0}};
    uint32_t until[STORM_TRIMMERS], put = 0;
    uint64_t newest;
    ls_status st;

    for (uint32_t i = 0; i < STORM_TRIMMERS; i++) { /* The last number may be one of a put that is still at work. */
        until[i] = atomic_load(&storm->kept_next[i]);
        if (until[i] > 0 && atomic_load(&storm->kept[i][until[i] - 1]) == 0)
            until[i]--;
    }
    newest = atomic_load(&storm->kept_newest);
    st = ls_iterator_open(stream, 0, NULL, NULL, &iterator);
    while (st == LS_OK) {
        st = ls_iterator_next(iterator, NULL, &batch);
        if (st == LS_ERR_TRIMMED) { /* Trimmed while it was read (P8). */
            memset(of.any, 0, sizeof of.any);
            st = LS_OK;
            continue;
        }
        if (st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            check_kept_record(&of, ls_batch_at(batch, i));
    }
    if (st != LS_OK)
        storm_violation("reading the trimmed stream: %s: %s", ls_status_name(st), ls_last_error_message());
    for (uint32_t i = 0; i < STORM_TRIMMERS; i++)
        put += atomic_load(&storm->kept_next[i]) - until[i]; /* at most one too many */
    if (newest != UINT64_MAX && !of.any[newest >> 32] && put < STORM_KEPT_FEW)
        storm_violation("the trimmed stream lacks number %u of trimmer %u, which was acknowledged last",
                        (uint32_t)newest, (uint32_t)(newest >> 32));
    for (uint32_t i = 0; i < STORM_TRIMMERS; i++)
        for (; of.any[i] && of.next[i] < until[i]; of.next[i]++)
            if (atomic_load(&storm->kept[i][of.next[i]]) != 0)
                storm_violation("the trimmed stream lacks number %u of trimmer %u, which was acknowledged, at its end",
                                of.next[i], i);
    ls_iterator_close(iterator);
}

/* Puts into a stream that has a cap, and does all upkeep of the store now and then, among those who do a piece each. */
void storm_trim(uint32_t place, uint64_t *random, storm_plan *plan)
{
    static unsigned char data[STORM_KEPT_RECORD_BYTES];
    storm_child *state = &storm->child[place];
    kept_record head = {.trimmer = place - STORM_TRIMMER};
    ls_store *store = storm_open_store(plan, state);
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_status st;

    if (ls_stream_open(store, STORM_KEPT_STREAM, &stream) != LS_OK ||
        ls_producer_open(stream, NULL, &producer) != LS_OK) {
        storm_violation("the trimmer cannot begin: %s", ls_last_error_message());
        _exit(3);
    }
    storm_check_kept(stream);
    for (uint32_t i = 1; atomic_load(&storm->stop) == 0; i++) {
        head.number = atomic_fetch_add(&storm->kept_next[head.trimmer], 1);
        if (head.number >= STORM_KEPT_MAX)
            break;
        for (size_t k = 0; k + 8 <= sizeof data; k += 8) { /* What is compressed would not be trimmed. */
            uint64_t word = storm_random_below(random, UINT64_MAX);
            memcpy(data + k, &word, 8);
        }
        memcpy(data, &head, sizeof head);
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        st = ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){data, sizeof data}, NULL, NULL);
        storm_call_ends(&clock, "a put into the trimmed stream", storm_set.wait_us);
        if (st != LS_OK) {
            storm_violation("putting into the trimmed stream: %s: %s", ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        atomic_store(&storm->kept[head.trimmer][head.number], 1);
        atomic_store(&storm->kept_newest, (uint64_t)head.trimmer << 32 | head.number);
        if (i % 16 == 0) {
            clock = storm_call_begins(state, storm_set.wait_us);
            st = ls_store_maintain(store, 300);
            storm_call_ends(&clock, "upkeep", storm_set.wait_us);
            if (st != LS_OK && st != LS_ERR_TIMEOUT) {
                storm_violation("upkeep: %s: %s", ls_status_name(st), ls_last_error_message());
                _exit(3);
            }
        }
        if (i % 24 == 0)
            compress_segments(stream, state);
        if (i % 64 == 0)
            storm_check_kept(stream);
        if (storm_random_below(random, 4) == 0)
            (void)usleep((useconds_t)storm_random_below(random, 2000));
    }
    storm_close(store, stream, producer, NULL);
}
