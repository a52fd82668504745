/* stream.h: splitting and merging shards, as producers and readers meet it; listing them. */
#include "api/support.h"

#include <dirent.h>

#include "api/api.h"
#include "base/hash.h"
#include "base/u128.h"

static const ls_hash_key half = {UINT64_C(1) << 63, 0};
static const ls_hash_key top = {UINT64_MAX, UINT64_MAX};

/* ---- few words for common calls ---- */

/* The shard as it is described now. */
static ls_shard_info about(ls_stream *stream, uint32_t shard)
{
    ls_stream_description *description = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT, found = LS_SHARD_INFO_INIT;

    found.shard = LS_NO_SHARD;
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        assert_int_equal(ls_stream_description_shard(description, i, &info), LS_OK);
        if (info.shard == shard)
            found = info;
    }
    ls_stream_description_free(description);
    assert_int_equal(found.shard, shard);
    return found;
}

static ls_producer *producer_of(ls_stream *stream)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    return producer;
}

/* Puts with an explicit hash key, or (NULL) by the key alone. */
static ls_record_id put(ls_producer *producer, const char *key, const char *data, const ls_hash_key *hash)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_record_id id;

    options.explicit_hash_key = hash;
    assert_int_equal(ls_producer_put(producer, text(key), text(data), &options, &id), LS_OK);
    return id;
}

static ls_iterator *iterator_at(ls_stream *stream, uint32_t shard, ls_position_kind kind)
{
    ls_position position = {.kind = kind};
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_iterator_open(stream, shard, &position, NULL, &iterator), LS_OK);
    return iterator;
}

static const ls_batch *next(ls_iterator *iterator)
{
    const ls_batch *batch = NULL;

    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    return batch;
}

/* The data of the batch's records, one after another. */
static const char *data_of(const ls_batch *batch)
{
    static char all[4096];
    size_t size = 0;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);

        assert_true(size + record->data.size < sizeof all);
        memcpy(all + size, record->data.data, record->data.size);
        size += record->data.size;
    }
    all[size] = '\0';
    return all;
}

/* A batch that ends its shard, with these children. */
static void assert_end(const ls_batch *batch, const char *data, uint32_t count, uint32_t first)
{
    assert_string_equal(data_of(batch), data);
    assert_true(ls_batch_is_shard_end(batch));
    assert_int_equal(ls_batch_child_count(batch), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(ls_batch_child_at(batch, i), first + i);
    assert_int_equal(ls_batch_child_at(batch, ls_batch_child_count(batch)), LS_NO_SHARD);
    assert_int_equal(ls_batch_millis_behind_latest(batch), 0);
}

/* ---- what becomes of the shards ---- */

static void a_split_closes_the_parent_and_opens_two_children(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_record_id last = {0};
    uint32_t lower = 9, upper = 9;
    ls_shard_info parent, child;

    for (int i = 0; i < 5; i++)
        last = put(producer, "k", "x", NULL);
    parent = about(stream, 0);
    assert_true(parent.is_open);
    assert_int_equal(parent.ending_seqno, LS_SEQNO_NONE);
    assert_int_equal(parent.closed_us, 0);
    assert_int_equal(ls_stream_split(stream, 0, &half, &lower, &upper), LS_OK);
    assert_int_equal(lower, 1);
    assert_int_equal(upper, 2);
    parent = about(stream, 0);
    assert_false(parent.is_open);
    assert_true(parent.ending_seqno >= last.seqno && parent.ending_seqno < LS_SEQNO_MAX);
    assert_true(parent.closed_us >= parent.created_us);
    assert_int_equal(parent.latest_seqno, last.seqno);
    assert_true(parent.stored_bytes > 5);
    assert_true(parent.oldest_arrival_us >= parent.created_us && parent.latest_arrival_us >= parent.oldest_arrival_us);
    assert_true(parent.closed_us >= parent.latest_arrival_us);
    for (uint32_t i = 1; i <= 2; i++) {
        child = about(stream, i);
        assert_true(child.is_open);
        assert_int_equal(child.parent, 0);
        assert_int_equal(child.adjacent_parent, LS_NO_SHARD);
        assert_true(child.starting_seqno > parent.ending_seqno);
        assert_int_equal(child.ending_seqno, LS_SEQNO_NONE);
        assert_int_equal(child.latest_seqno, LS_SEQNO_NONE);
        assert_true(child.stored_bytes == 0 && child.oldest_arrival_us == 0 && child.latest_arrival_us == 0);
        assert_int_equal(child.health, LS_OK);
        assert_true(child.created_us / 1000000 > parent.created_us / 1000000);
    }
    child = about(stream, 1);
    assert_true(child.first_hash_key.high == 0 && child.first_hash_key.low == 0);
    assert_true(child.last_hash_key.high == half.high - 1 && child.last_hash_key.low == UINT64_MAX);
    child = about(stream, 2);
    assert_int_equal(lsi_u128_compare(child.first_hash_key, half), 0);
    assert_int_equal(lsi_u128_compare(child.last_hash_key, top), 0);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_merge_makes_one_child_of_two(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 3);
    ls_producer *producer = producer_of(stream);
    ls_record_id high = put(producer, "k", "x", &top), id;
    uint32_t child = 9;
    ls_shard_info info;

    assert_int_equal(ls_stream_merge(stream, 1, 2, &child), LS_OK);
    assert_int_equal(child, 3);
    info = about(stream, 3);
    assert_int_equal(info.parent, 1);
    assert_int_equal(info.adjacent_parent, 2);
    assert_true(info.starting_seqno > about(stream, 1).ending_seqno);
    assert_true(info.starting_seqno > about(stream, 2).ending_seqno);
    assert_true(about(stream, 1).ending_seqno >= about(stream, 1).starting_seqno); /* had no records */
    assert_int_equal(about(stream, 1).closed_us, about(stream, 2).closed_us);
    assert_int_equal(lsi_u128_compare(info.first_hash_key, about(stream, 1).first_hash_key), 0);
    assert_int_equal(lsi_u128_compare(info.last_hash_key, top), 0);
    id = put(producer, "k", "y", &top);
    assert_int_equal(high.shard, 2);
    assert_int_equal(id.shard, 3);
    assert_true(id.seqno >= info.starting_seqno && id.seqno > high.seqno);
    assert_int_equal(ls_stream_merge(stream, 0, 3, NULL), LS_OK);
    assert_int_equal(put(producer, "k", "z", NULL).shard, 4);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void without_a_key_a_shard_is_split_in_the_middle(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_hash_key three_quarters = {UINT64_C(3) << 62, 0};

    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(lsi_u128_compare(about(stream, 2).first_hash_key, half), 0);
    assert_int_equal(ls_stream_split(stream, 2, NULL, NULL, NULL), LS_OK);
    assert_int_equal(lsi_u128_compare(about(stream, 4).first_hash_key, three_quarters), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void resharding_works_in_both_modes(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream = NULL;

    options.mode = LS_STREAM_PROVISIONED;
    assert_int_equal(ls_stream_create(fx->store, "p", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "p", &stream), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_merge(stream, 1, 2, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what is refused ---- */

static void what_breaks_a_rule_is_refused_and_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);
    ls_hash_key first = {0, 0}, second = {0, 1}, last = {half.high - 1, UINT64_MAX};
    ls_stream_description *description = NULL;
    uint32_t child = 77;

    assert_int_equal(ls_stream_split(NULL, 0, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'stream'"));
    assert_int_equal(ls_stream_merge(NULL, 0, 1, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_split(stream, 0, &first, &child, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_split(stream, 0, &second, &child, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_split(stream, 0, &last, &child, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_split(stream, 0, &half, &child, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("170141183460469231731687303715884105728")); /* the key, as Kinesis writes it */
    assert_true(says("stream 's' shard 0"));
    assert_int_equal(ls_stream_split(stream, 2, NULL, &child, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_split(stream, 2, &half, &child, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_split(stream, LS_NO_SHARD, &half, &child, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_merge(stream, 1, 0, &child), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_merge(stream, 1, 1, &child), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_merge(stream, 1, 2, &child), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_merge(stream, 0, LS_NO_SHARD, &child), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_merge(stream, LS_NO_SHARD, 0, &child), LS_ERR_NOT_FOUND);
    assert_int_equal(child, 77);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_shard_count(description), 2);
    ls_stream_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_closed_shard_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);
    ls_hash_key quarter = {UINT64_C(1) << 62, 0};

    assert_int_equal(ls_stream_split(stream, 0, &quarter, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, &quarter, NULL, NULL), LS_ERR_STATE);
    assert_true(says("shard 0 has been merged or split already"));
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_merge(stream, 0, 1, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_merge(stream, 1, 0, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_STATE);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_deleted_stream_is_not_found(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);

    assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_split(stream, 0, &half, NULL, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_merge(stream, 0, 1, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_store_opened_for_reading_refuses(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream *stream = make_stream(fx, "s", 2), *seen = NULL;
    ls_store *reader = NULL;

    if (!in_memory) {
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(ls_store_open(fx->location, &options, &reader), LS_OK);
        assert_int_equal(ls_stream_open(reader, "s", &seen), LS_OK);
        assert_int_equal(ls_stream_split(seen, 0, NULL, NULL, NULL), LS_ERR_READ_ONLY);
        assert_int_equal(ls_stream_merge(seen, 0, 1, NULL), LS_ERR_READ_ONLY);
        assert_int_equal(ls_stream_close(seen), LS_OK);
        assert_int_equal(ls_store_close(reader), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool child_is_refused(void *user)
{
    return ls_stream_split(user, 0, NULL, NULL, NULL) == LS_ERR_STATE &&
           ls_stream_merge(user, 0, 1, NULL) == LS_ERR_STATE;
}

static void a_fork_child_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);

    in_fork_child(child_is_refused, stream);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- producers ---- */

/* Goal: puts find the children, at every edge of their ranges. Method: explicit keys around each bound, and keys by
 * MD5, which the parent never needed. */
static void puts_go_to_the_child_that_has_the_key(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_hash_key zero = {0, 0}, below_half = {half.high - 1, UINT64_MAX};
    char key[16];

    assert_int_equal(put(producer, "k", "x", &top).shard, 0);
    assert_int_equal(ls_stream_split(stream, 0, &half, NULL, NULL), LS_OK);
    assert_int_equal(put(producer, "k", "x", &zero).shard, 1);
    assert_int_equal(put(producer, "k", "x", &below_half).shard, 1);
    assert_int_equal(put(producer, "k", "x", &half).shard, 2);
    assert_int_equal(put(producer, "k", "x", &top).shard, 2);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(put(producer, key, "x", NULL).shard,
                         lsi_u128_compare(lsi_hash_partition_key(text(key)), half) < 0 ? 1 : 2);
    }
    assert_int_equal(ls_stream_merge(stream, 1, 2, NULL), LS_OK);
    assert_int_equal(put(producer, "k", "x", &zero).shard, 3);
    assert_int_equal(put(producer, "k", "x", &top).shard, 3);
    assert_int_equal(ls_producer_flush(producer), LS_OK); /* also of closed shards */
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The two shards of a stream that was split between opening this handle and putting through it. */
static void a_batch_is_routed_again_with_a_result_each(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);
    ls_producer *producer = producer_of(stream);
    ls_hash_key quarter = {UINT64_C(1) << 62, 0}, zero = {0, 0};
    ls_put_entry entries[6] = {{text("a"), text("0"), &zero}, {text("b"), text("1"), &top},
                               {text("c"), text("2"), &quarter}, {text("a"), text("3"), &zero},
                               {text("b"), text("4"), &half}, {text("c"), text("5"), &quarter}};
    static const uint32_t shards[6] = {2, 1, 3, 2, 1, 3};
    ls_put_result results[6];
    size_t failed = 9;

    (void)put(producer, "a", "-", &zero); /* it has its routes */
    assert_int_equal(ls_stream_split(stream, 0, &quarter, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, 6, NULL, results, &failed), LS_OK);
    assert_int_equal(failed, 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(results[i].status, LS_OK);
        assert_int_equal(results[i].shard, shards[i]);
        assert_true(i < 3 || results[i].seqno > results[i - 3].seqno || shards[i] != shards[i - 3]);
    }
    assert_true(results[3].seqno > results[0].seqno && results[5].seqno > results[2].seqno);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_atomic_batch_goes_whole_to_a_child_or_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_hash_key zero = {0, 0};
    ls_put_entry entries[2] = {{text("a"), text("0"), &half}, {text("b"), text("1"), &top}};
    ls_put_result results[2];
    ls_iterator *lower;

    options.flags = LS_PUT_ATOMIC;
    (void)put(producer, "a", "-", NULL);
    assert_int_equal(ls_stream_split(stream, 0, &half, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, 2, &options, results, NULL), LS_OK);
    assert_int_equal(results[0].shard, 2);
    assert_int_equal(results[1].shard, 2);
    entries[0].explicit_hash_key = &zero; /* One shard before, two now. */
    assert_int_equal(ls_producer_put_batch(producer, entries, 2, &options, results, NULL), LS_ERR_INVALID_ARGUMENT);
    lower = iterator_at(stream, 1, LS_TRIM_HORIZON);
    assert_int_equal(ls_batch_count(next(lower)), 0);
    ls_iterator_close(lower);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: another process, which has the old shards cached, is told by the slot. Method: a second store on the directory
 * sees everything through the control file and the manifest, as another process does. */
static void another_process_is_told(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1), *there = NULL;
    ls_store *store = NULL;
    ls_producer *producer;
    ls_iterator *iterator;
    ls_record_id before, after;

    if (!in_memory) {
        assert_int_equal(ls_store_open(fx->location, NULL, &store), LS_OK);
        assert_int_equal(ls_stream_open(store, "s", &there), LS_OK);
        producer = producer_of(there);
        iterator = iterator_at(there, 0, LS_TRIM_HORIZON);
        before = put(producer, "k", "a", &top);
        assert_string_equal(data_of(next(iterator)), "a");
        for (uint32_t i = 0; i < 5; i++) { /* the upper shard again and again */
            assert_int_equal(ls_stream_split(stream, 2 * i, NULL, NULL, NULL), LS_OK);
            after = put(producer, "k", "b", &top);
            assert_int_equal(after.shard, 2 * i + 2);
            assert_true(after.seqno > before.seqno);
            before = after;
            assert_int_equal(about(there, 2 * i).is_open, 0);
        }
        assert_end(next(iterator), "", 2, 1);
        ls_iterator_close(iterator);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(there), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- readers ---- */

/* Goal: what a reader of a closed shard meets, from each kind of position. */
static void a_closed_shard_ends_with_its_children(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_iterator *open_before = iterator_at(stream, 0, LS_TRIM_HORIZON), *iterator, *from_place = NULL;
    ls_position position = {.kind = LS_AFTER_SEQUENCE_NUMBER};
    ls_record_id first = put(producer, "k", "a", NULL), last = put(producer, "k", "b", NULL);
    char place[200];

    assert_string_equal(data_of(next(open_before)), "ab");
    assert_int_equal(ls_iterator_place(open_before, place, sizeof place, NULL), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_end(next(open_before), "", 2, 1);
    assert_end(next(open_before), "", 2, 1); /* and again */
    ls_iterator_close(open_before);

    iterator = iterator_at(stream, 0, LS_TRIM_HORIZON);
    assert_end(next(iterator), "ab", 2, 1);
    ls_iterator_close(iterator);
    iterator = iterator_at(stream, 0, LS_LATEST);
    assert_end(next(iterator), "", 2, 1);
    ls_iterator_close(iterator);
    position.seqno = first.seqno;
    assert_int_equal(ls_iterator_open(stream, 0, &position, NULL, &iterator), LS_OK);
    assert_end(next(iterator), "b", 2, 1);
    position.seqno = last.seqno;
    assert_int_equal(ls_iterator_seek(iterator, &position), LS_OK);
    assert_end(next(iterator), "", 2, 1);
    position = (ls_position){.kind = LS_AT_SEQUENCE_NUMBER, .seqno = about(stream, 0).ending_seqno};
    assert_int_equal(ls_iterator_seek(iterator, &position), LS_OK);
    (void)next(iterator);
    position = (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = about(stream, 0).created_us};
    assert_int_equal(ls_iterator_seek(iterator, &position), LS_OK);
    assert_end(next(iterator), "ab", 2, 1);
    position.timestamp_us = about(stream, 0).closed_us + 1; /* later than the last record: as LATEST */
    while (ls_iterator_seek(iterator, &position) != LS_OK)
        continue; /* until it is not in the future */
    assert_end(next(iterator), "", 2, 1);
    ls_iterator_close(iterator);
    assert_int_equal(ls_iterator_open_place(stream, place, NULL, &from_place), LS_OK);
    assert_end(next(from_place), "", 2, 1);
    ls_iterator_close(from_place);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* O4, and the place of a merged reader as text. Method: one key is put to through splits and merges; merged readers,
 * one of them anew from its place before each batch, must see its records in order. */
static void the_merged_reader_follows_children(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);
    ls_producer *producer = producer_of(stream);
    ls_iterator *plain = NULL, *resumed = NULL;
    ls_next_options one = LS_NEXT_OPTIONS_INIT;
    char data[16], seen[2][16] = {"", ""}, place[1000];
    uint32_t got[2] = {0, 0}, put_count = 0;

    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &plain), LS_OK);
    assert_int_equal(ls_iterator_place(plain, place, sizeof place, NULL), LS_OK);
    for (uint32_t step = 0; step < 6; step++) {
        static const uint32_t steps[6][2] = {{1, 9}, {0, 2}, {3, 4}, {5, 9}, {6, 9}, {7, 8}};

        for (int i = 0; i < 3; i++) {
            snprintf(data, sizeof data, "%03u", put_count++);
            (void)put(producer, "key", data, &half);
        }
        if (steps[step][1] == 9)
            (void)ls_stream_split(stream, steps[step][0], NULL, NULL, NULL);
        else
            (void)ls_stream_merge(stream, steps[step][0], steps[step][1], NULL);
    }
    one.records_max = 2;
    for (int who = 0; who < 2; who++)
        for (int calls = 0; got[who] < put_count && calls < 100; calls++) {
            const ls_batch *batch = NULL;

            if (who == 1)
                assert_int_equal(ls_iterator_open_place(stream, place, NULL, &resumed), LS_OK);
            assert_int_equal(ls_iterator_next(who == 0 ? plain : resumed, &one, &batch), LS_OK);
            for (size_t i = 0; i < ls_batch_count(batch); i++, got[who]++) {
                const ls_record *record = ls_batch_at(batch, i);

                assert_int_equal(record->data.size, 3);
                assert_true(memcmp(record->data.data, seen[who], 3) > 0 || got[who] == 0);
                memcpy(seen[who], record->data.data, 3);
            }
            if (who == 1) {
                assert_int_equal(ls_iterator_place(resumed, place, sizeof place, NULL), LS_OK);
                ls_iterator_close(resumed);
            }
        }
    assert_int_equal(got[0], put_count);
    assert_int_equal(got[1], put_count);
    ls_iterator_close(plain);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* LATEST of a merged reader is the moment of its opening; what comes then in a child is shown from its start. */
static void the_merged_reader_from_latest_shows_what_comes_after(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_position latest = {.kind = LS_LATEST};
    ls_iterator *before = NULL, *after = NULL;

    (void)put(producer, "k", "a", &top);
    assert_int_equal(ls_iterator_open_all(stream, &latest, NULL, &before), LS_OK);
    (void)put(producer, "k", "b", &top);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    (void)put(producer, "k", "c", &top);
    assert_int_equal(ls_iterator_open_all(stream, &latest, NULL, &after), LS_OK);
    (void)put(producer, "k", "d", &top);
    assert_string_equal(data_of(next(before)), "b");
    assert_string_equal(data_of(next(before)), "cd");
    assert_string_equal(data_of(next(after)), "d");
    assert_int_equal(ls_batch_count(next(after)), 0);
    ls_iterator_close(before);
    ls_iterator_close(after);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- scaling ---- */

static uint32_t open_count(ls_stream *stream)
{
    ls_stream_description *description = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    uint32_t count = 0;

    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        assert_int_equal(ls_stream_description_shard(description, i, &info), LS_OK);
        count += info.is_open != 0;
    }
    ls_stream_description_free(description);
    return count;
}

static void a_stream_is_scaled_to_equal_shards(void **state)
{
    static const uint32_t counts[] = {1, 2, 4, 3, 6, 40, 20, 5, 1};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    uint32_t put_count = 0, got = 0;
    char key[16];

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int k = 0; k < 10; k++, put_count++) {
            snprintf(key, sizeof key, "key-%d", k);
            (void)put(producer, key, "x", NULL);
        }
        assert_int_equal(ls_stream_update_shard_count(stream, counts[i], NULL), LS_OK);
        assert_int_equal(open_count(stream), counts[i]);
    }
    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    while (ls_batch_count(batch = next(iterator)) > 0)
        got += (uint32_t)ls_batch_count(batch);
    assert_int_equal(got, put_count);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void uneven_shards_are_made_equal(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_hash_key low = {0, 77};

    assert_int_equal(ls_stream_split(stream, 0, &low, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 2, NULL), LS_OK);
    assert_int_equal(open_count(stream), 2);
    for (uint32_t i = 3; i < 7; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;
        ls_stream_description *description = NULL;

        assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
        if (ls_stream_description_shard(description, i, &info) == LS_OK && info.is_open)
            assert_true(info.first_hash_key.high == 0 || info.first_hash_key.high == half.high);
        ls_stream_description_free(description);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: the limits of Kinesis, when asked for. Method: every target around half and double. */
static void the_limits_of_kinesis_are_an_option(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 5);
    ls_scale_options options = LS_SCALE_OPTIONS_INIT;

    assert_int_equal(ls_stream_update_shard_count(NULL, 1, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_update_shard_count(stream, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_update_shard_count(stream, 65537, NULL), LS_ERR_INVALID_ARGUMENT);
    options.flags = 2;
    assert_int_equal(ls_stream_update_shard_count(stream, 5, &options), LS_ERR_INVALID_ARGUMENT);
    options.flags = LS_SCALE_KINESIS_LIMITS;
    assert_int_equal(ls_stream_update_shard_count(stream, 2, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("has 5 open shards"));
    assert_int_equal(ls_stream_update_shard_count(stream, 11, &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_update_shard_count(stream, 10000, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("has 5 open shards"));
    assert_int_equal(ls_stream_update_shard_count(stream, 10001, &options), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("Kinesis allows 10000"));
    assert_int_equal(open_count(stream), 5);
    assert_int_equal(ls_stream_update_shard_count(stream, 5, &options), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 3, &options), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 6, &options), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 6, &options), LS_OK);
    assert_int_equal(open_count(stream), 6);
    assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 6, &options), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_status scale_as_another_process(const char *location, uint32_t count)
{
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_status st = ls_store_open(location, NULL, &store);

    if (st == LS_OK)
        st = ls_stream_open(store, "s", &stream);
    if (st == LS_OK)
        st = ls_stream_update_shard_count(stream, count, NULL);
    (void)ls_stream_close(stream);
    (void)ls_store_close(store); /* nothing was put */
    return st;
}

/* Whoever finds that another was faster looks again. */
static void several_who_scale_at_once_come_to_the_same(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    pid_t children[2];

    if (!in_memory) {
        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                alarm(60);
                _exit(scale_as_another_process(fx->location, 24) == LS_OK ? 0 : 1);
            }
            assert_true(children[i] > 0);
        }
        assert_int_equal(ls_stream_update_shard_count(stream, 24, NULL), LS_OK);
        for (int i = 0; i < 2; i++) {
            int status = 1;

            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(open_count(stream), 24);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- listing ---- */

/* The indexes that a listing shows, over all its pages: "0 2 3 ". */
static const char *listed(ls_stream *stream, ls_shard_list_options options)
{
    static char all[4096];
    size_t size = 0;

    all[0] = '\0';
    for (int pages = 0; pages < 100; pages++) {
        ls_shard_list *list = NULL;
        int32_t more;

        assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
        for (uint32_t i = 0; i < ls_shard_list_count(list); i++) {
            ls_shard_info info = LS_SHARD_INFO_INIT;

            assert_int_equal(ls_shard_list_shard(list, i, &info), LS_OK);
            size += (size_t)snprintf(all + size, sizeof all - size, "%u ", info.shard);
        }
        more = ls_shard_list_next_page(list, &options);
        ls_shard_list_free(list);
        if (more == 0)
            return all;
    }
    fail();
    return all;
}

static ls_shard_list_options by(ls_shard_filter filter, int64_t timestamp_us, uint32_t after, uint32_t limit)
{
    ls_shard_list_options options = LS_SHARD_LIST_OPTIONS_INIT;

    options.filter = filter;
    options.timestamp_us = timestamp_us;
    options.after_shard = after;
    options.limit = limit;
    return options;
}

/* Goal: each filter, whole and by pages of two. Method: 0 is split into 1 and 2, then 1 and 2 are merged into 3, in
 * different microseconds. */
static void each_filter_shows_its_shards(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    int64_t first_us, second_us;

    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    first_us = about(stream, 0).closed_us;
    usleep(1000);
    assert_int_equal(ls_stream_merge(stream, 1, 2, NULL), LS_OK);
    second_us = about(stream, 1).closed_us;
    assert_true(second_us > first_us);
    usleep(1000);
    for (uint32_t limit = 0; limit < 3; limit++) {
        assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TRIM_HORIZON, 0, 0, limit)), "0 1 2 3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_TRIM_HORIZON, 0, 0, limit)), "0 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_LATEST, 0, 0, limit)), "3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_TIMESTAMP, 1, 0, limit)), "0 "); /* the horizon */
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_TIMESTAMP, first_us - 1, 0, limit)), "0 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_TIMESTAMP, first_us, 0, limit)), "1 2 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AT_TIMESTAMP, second_us, 0, limit)), "3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TIMESTAMP, 1, 0, limit)), "0 1 2 3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TIMESTAMP, first_us, 0, limit)), "0 1 2 3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TIMESTAMP, first_us + 1, 0, limit)), "1 2 3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TIMESTAMP, second_us + 1, 0, limit)), "3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AFTER_SHARD_ID, 0, 0, limit)), "1 2 3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AFTER_SHARD_ID, 0, 2, limit)), "3 ");
        assert_string_equal(listed(stream, by(LS_SHARDS_AFTER_SHARD_ID, 0, 3, limit)), "");
        assert_string_equal(listed(stream, by(LS_SHARDS_AFTER_SHARD_ID, 0, LS_NO_SHARD, limit)), "");
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A shard that is split between two pages is shown as it was. */
static void a_listing_does_not_see_later_reshards(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 3);
    ls_shard_list_options options = by(LS_SHARDS_AT_LATEST, 0, 0, 1);
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_shard_list *list = NULL;

    assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
    assert_int_equal(ls_shard_list_next_page(list, &options), 1);
    ls_shard_list_free(list);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_split(stream, 1, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
    assert_int_equal(ls_shard_list_shard(list, 0, &info), LS_OK);
    assert_int_equal(info.shard, 1);
    assert_int_equal(info.is_open, 1);
    assert_int_equal(info.ending_seqno, LS_SEQNO_NONE);
    assert_int_equal(info.closed_us, 0);
    assert_int_equal(ls_shard_list_next_page(list, &options), 1);
    ls_shard_list_free(list);
    assert_string_equal(listed(stream, options), "2 ");
    assert_string_equal(listed(stream, by(LS_SHARDS_AT_LATEST, 0, 0, 1)), "2 3 4 5 6 ");
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A shard that was closed longer ago than retention goes is in no listing. Method: a clock that goes on. */
static int64_t the_wall_us;

static int64_t wall_us(void *user)
{
    (void)user;
    return the_wall_us;
}

static void expired_shards_are_not_listed(void **state)
{
    static const int64_t hour_us = INT64_C(3600000000);
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    env.files = files;
    env.clock.wall_us = env.clock.passing_us = wall_us; /* Time passes; nobody sets a clock. */
    the_wall_us = INT64_C(1700000000000000);
    assert_int_equal(lsi_store_open_env("/m", NULL, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    the_wall_us += hour_us;
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    the_wall_us += 23 * hour_us;
    assert_int_equal(ls_stream_merge(stream, 1, 2, NULL), LS_OK);
    assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TRIM_HORIZON, 0, 0, 0)), "0 1 2 3 ");
    assert_string_equal(listed(stream, by(LS_SHARDS_AT_TRIM_HORIZON, 0, 0, 0)), "0 ");
    the_wall_us += hour_us;
    assert_string_equal(listed(stream, by(LS_SHARDS_AT_TRIM_HORIZON, 0, 0, 0)), "1 2 ");
    the_wall_us += 1;
    assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TRIM_HORIZON, 0, 0, 0)), "1 2 3 ");
    assert_string_equal(listed(stream, by(LS_SHARDS_AFTER_SHARD_ID, 0, 0, 0)), "1 2 3 ");
    assert_string_equal(listed(stream, by(LS_SHARDS_AT_TIMESTAMP, 5, 0, 0)), "1 2 ");
    the_wall_us += 24 * hour_us;
    assert_string_equal(listed(stream, by(LS_SHARDS_FROM_TRIM_HORIZON, 0, 0, 0)), "3 ");
    assert_string_equal(listed(stream, by(LS_SHARDS_AT_TRIM_HORIZON, 0, 0, 0)), "3 ");
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    lsi_files_memory_free(files);
}

/* 1,000 to a page, unless another number is asked for. */
static void a_page_has_1000_shards_by_default(void **state)
{
    fixture *fx = *state;
    ls_shard_list_options options = LS_SHARD_LIST_OPTIONS_INIT;
    ls_shard_list *list = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream *stream;

    if (!in_memory) /* It is the same, and takes long. */
        return;
    stream = make_stream(fx, "wide", 1001);
    assert_int_equal(ls_stream_list_shards(stream, NULL, &list), LS_OK);
    assert_int_equal(ls_shard_list_count(list), 1000);
    assert_int_equal(ls_shard_list_shard(list, 1000, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_shard_list_next_page(list, &options), 1);
    ls_shard_list_free(list);
    assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_OK);
    assert_int_equal(ls_shard_list_count(list), 1);
    assert_int_equal(ls_shard_list_shard(list, 0, &info), LS_OK);
    assert_int_equal(info.shard, 1000);
    assert_int_equal(ls_shard_list_next_page(list, &options), 0);
    ls_shard_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_listing_that_breaks_a_rule_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 2);
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_shard_list_options options;
    ls_shard_list *list = NULL;

#define REFUSED(made, word)                                                                          \
    do {                                                                                             \
        options = made;                                                                              \
        assert_int_equal(ls_stream_list_shards(stream, &options, &list), LS_ERR_INVALID_ARGUMENT);   \
        assert_true(says(word));                                                                     \
    } while (0)
    REFUSED(by(-1, 0, 0, 0), "filter");
    REFUSED(by(6, 0, 0, 0), "filter");
    REFUSED(by(LS_SHARDS_AT_LATEST, 5, 0, 0), "timestamp_us");
    REFUSED(by(LS_SHARDS_AT_TIMESTAMP, INT64_MAX, 0, 0), "future");
    REFUSED(by(LS_SHARDS_FROM_TIMESTAMP, INT64_MAX, 0, 0), "future");
    REFUSED(by(LS_SHARDS_AT_TRIM_HORIZON, 0, 1, 0), "after_shard");
    REFUSED(by(LS_SHARDS_AT_LATEST, 0, 0, 10001), "limit");
    options = by(0, 0, 0, 0);
    options.page_first = 1;
    REFUSED(options, "page_first");
    options = by(0, 0, 0, 0);
    options.size = 8;
    REFUSED(options, "INIT");
#undef REFUSED
    assert_int_equal(ls_stream_list_shards(NULL, NULL, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_shards(stream, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_null(list);
    assert_int_equal(ls_stream_list_shards(stream, NULL, &list), LS_OK);
    assert_int_equal(ls_shard_list_count(list), 2);
    assert_int_equal(ls_shard_list_shard(list, 2, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_shard_list_shard(list, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    info.size = 0;
    assert_int_equal(ls_shard_list_shard(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
    info.size = sizeof info;
    assert_int_equal(ls_shard_list_shard(list, 1, &info), LS_OK);
    assert_int_equal(info.shard, 1);
    assert_int_equal(info.health, LS_OK);
    assert_int_equal(ls_shard_list_next_page(list, &options), 0);
    ls_shard_list_free(list);
    ls_shard_list_free(NULL);
    assert_int_equal(ls_shard_list_count(NULL), 0);
    assert_int_equal(ls_shard_list_shard(NULL, 0, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_shard_list_next_page(NULL, &options), 0);
    assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
    assert_int_equal(ls_stream_list_shards(stream, NULL, &list), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what lasts ---- */

static void a_reshard_outlives_the_store(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    ls_record_id old = put(producer, "k", "a", &top), new;
    ls_seqno ending;
    ls_iterator *iterator;

    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    ending = about(stream, 0).ending_seqno;
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    if (!in_memory) {
        assert_int_equal(ls_store_close(fx->store), LS_OK);
        assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    }
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    producer = producer_of(stream);
    assert_int_equal(about(stream, 0).ending_seqno, ending);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_STATE);
    new = put(producer, "k", "b", &top);
    assert_int_equal(new.shard, 2);
    assert_true(new.seqno > old.seqno);
    iterator = iterator_at(stream, 0, LS_TRIM_HORIZON);
    assert_end(next(iterator), "a", 2, 1);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

/* A producer that lives through many splits keeps no descriptor of closed shards. */
static void closed_shards_cost_no_descriptors(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "s", 1);
    ls_producer *producer = producer_of(stream);
    size_t before;

    (void)put(producer, "k", "x", &top);
    before = open_descriptors();
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(ls_stream_split(stream, 2 * i, NULL, NULL, NULL), LS_OK);
        assert_int_equal(put(producer, "k", "x", &top).shard, 2 * i + 2);
    }
    assert_in_range(open_descriptors(), 0, before + 4);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_split_closes_the_parent_and_opens_two_children),
        TEST(a_merge_makes_one_child_of_two),
        TEST(without_a_key_a_shard_is_split_in_the_middle),
        TEST(resharding_works_in_both_modes),
        TEST(what_breaks_a_rule_is_refused_and_changes_nothing),
        TEST(a_closed_shard_is_refused),
        TEST(a_deleted_stream_is_not_found),
        TEST(a_store_opened_for_reading_refuses),
        TEST(a_fork_child_is_refused),
        TEST(puts_go_to_the_child_that_has_the_key),
        TEST(a_batch_is_routed_again_with_a_result_each),
        TEST(an_atomic_batch_goes_whole_to_a_child_or_is_refused),
        TEST(another_process_is_told),
        TEST(a_closed_shard_ends_with_its_children),
        TEST(the_merged_reader_follows_children),
        TEST(the_merged_reader_from_latest_shows_what_comes_after),
        TEST(a_stream_is_scaled_to_equal_shards),
        TEST(uneven_shards_are_made_equal),
        TEST(the_limits_of_kinesis_are_an_option),
        TEST(several_who_scale_at_once_come_to_the_same),
        TEST(each_filter_shows_its_shards),
        TEST(a_listing_does_not_see_later_reshards),
        TEST(expired_shards_are_not_listed),
        TEST(a_page_has_1000_shards_by_default),
        TEST(a_listing_that_breaks_a_rule_is_refused),
        TEST(a_reshard_outlives_the_store),
        TEST(closed_shards_cost_no_descriptors),
    };

    run_everywhere("resharding", tests);
}
