/* Unpacks aggregates, as Kinesis's client library does where that says what is one.
 *
 * U1  A record that is not begun with is a plain one: any doubt about the bytes makes it that, and no byte is lost.
 * U2  Everything is checked before the first user record is given: what lsi_unpack_next walks over was walked over.
 * U3  Bytes are read a bounded number of times, and the tables take at most a dozen bytes of memory for each of theirs.
 *
 * Fields may come in any order, tables behind the records that point into them too, and a message may have fields
 * that nobody here knows. Groups among these are looked for only where a message is refused without: who knows them
 * takes a sixth longer for all others. Of a field that comes twice in a record the last one counts. An aggregate
 * without records is a plain record (U1); the client library makes nothing of it. */
#include <assert.h>

#include "base/hash.h"
#include "base/status.h"
#include "base/u128.h"
#include "stream/protobuf.h"
#include "stream/stream.h"

#define MD5_BYTES 16u
#define HASHED_AT_ONCE 64u

typedef struct user_record {
    uint64_t key, hash_key; /* indices */
    ls_bytes data;
    bool has_key, has_hash_key, has_data;
} user_record;

static lsi_cursor cursor_of(ls_bytes bytes)
{
    const unsigned char *at = bytes.data;

    return (lsi_cursor){.at = at, .end = at + bytes.size, .bad = false};
}

/* What is made twice, of `groups` being false and true: all that goes by it is known where it is inlined, and what its
 * callers ask of it stays in registers, a tenth of the time. */
#define MADE_TWICE static inline __attribute__((always_inline))

MADE_TWICE void skip(lsi_cursor *from, uint32_t field, bool groups)
{
    if (groups)
        lsi_protobuf_skip_any(from, field);
    else
        lsi_protobuf_skip(from, field);
}

/* Of a varint of one or two bytes, for which there is room; false: it has more. */
static inline bool take_short(const unsigned char **at, uint32_t *out)
{
    uint32_t low = (*at)[0], high = (*at)[1];

    if (low < 0x80) {
        *at += 1;
        *out = low;
        return true;
    }
    *at += 2;
    *out = (low & 0x7f) | high << 7;
    return high < 0x80;
}

/* A body as everybody writes most of them: a key's index, and the data up to the end. False: it may be any other, and
 * nothing is said of it. */
static inline bool parse_usual(ls_bytes body, user_record *out)
{
    const unsigned char *at = body.data, *end = at + body.size;
    uint32_t key, size;

    if (body.size < 6 || *at++ != LSI_FIELD_KEY_INDEX || !take_short(&at, &key) || *at++ != LSI_FIELD_DATA ||
        !take_short(&at, &size) || size != (size_t)(end - at))
        return false;
    *out = (user_record){.key = key, .data = {at, size}, .has_key = true, .has_data = true};
    return true;
}

/* The body of one record; false: it is malformed. */
MADE_TWICE bool parse_record(ls_bytes body, user_record *out, bool groups)
{
    lsi_cursor from = cursor_of(body);

    if (parse_usual(body, out))
        return true;
    *out = (user_record){.key = 0};
    while (from.at < from.end) {
        uint32_t field = (uint32_t)lsi_varint_take(&from);

        if (field == LSI_FIELD_KEY_INDEX) {
            out->key = lsi_varint_take(&from);
            out->has_key = true;
        } else if (field == LSI_FIELD_DATA) {
            out->data = lsi_protobuf_take_bytes(&from);
            out->has_data = true;
        } else if (field == LSI_FIELD_HASH_KEY_INDEX) {
            out->hash_key = lsi_varint_take(&from);
            out->has_hash_key = true;
        } else {
            skip(&from, field, groups);
        }
        if (from.bad)
            return false;
    }
    return out->has_key && out->has_data;
}

/* The key that the table has at `index`. */
static inline ls_bytes key_at(const lsi_unpack *of, uint64_t index)
{
    lsi_packed_key key = of->keys[index];

    return (ls_bytes){of->start + key.at, key.size};
}

/* An entry of a table. `*valid`: the bytes are what they must be. */
MADE_TWICE ls_status take_entry(lsi_unpack *into, uint32_t field, ls_bytes entry, bool *valid)
{
    if (field == LSI_FIELD_PARTITION_KEY) {
        *valid = lsi_partition_key_is_valid(entry);
        if (!*valid)
            return LS_OK;
        if (into->key_count == into->keys_room &&
            !lsi_grow(into->memory, (void **)&into->keys, &into->keys_room, into->key_count + 1, sizeof *into->keys))
            return LS_ERR_NO_MEMORY;
        into->keys[into->key_count++] = (lsi_packed_key){
            .at = (uint32_t)((const unsigned char *)entry.data - into->start), .size = (uint32_t)entry.size};
        return LS_OK;
    }
    if (!lsi_grow(into->memory, (void **)&into->hash_keys, &into->hash_keys_room, into->hash_key_count + 1,
                  sizeof *into->hash_keys))
        return LS_ERR_NO_MEMORY;
    *valid = lsi_u128_from_decimal(entry.data, entry.size, &into->hash_keys[into->hash_key_count]);
    into->hash_key_count += *valid;
    return LS_OK;
}

/* Walks over the whole message. `*valid`: it is one, with records whose indices the tables have. */
MADE_TWICE ls_status walk(lsi_unpack *unpack, bool *valid, bool groups)
{
    lsi_cursor from = {.at = unpack->start, .end = unpack->end, .bad = false};
    uint64_t key_last = 0, hash_key_last = 0; /* the highest indices met */
    bool has_hash_key = false;

    unpack->key_count = 0;
    unpack->hash_key_count = 0;
    unpack->count = 0;
    *valid = true;
    while (from.at < from.end) {
        uint32_t field = (uint32_t)lsi_varint_take(&from);
        user_record record;

        if (field == LSI_FIELD_RECORD) {
            *valid = parse_record(lsi_protobuf_take_bytes(&from), &record, groups);
            key_last = record.key > key_last ? record.key : key_last;
            hash_key_last = record.hash_key > hash_key_last ? record.hash_key : hash_key_last;
            has_hash_key |= record.has_hash_key;
            unpack->count++;
        } else if (field == LSI_FIELD_PARTITION_KEY || field == LSI_FIELD_HASH_KEY) {
            ls_bytes entry = lsi_protobuf_take_bytes(&from);

            if (!from.bad && take_entry(unpack, field, entry, valid) != LS_OK)
                return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the keys of an aggregated record");
        } else {
            skip(&from, field, groups);
        }
        if (from.bad)
            *valid = false;
        if (!*valid)
            return LS_OK;
    }
    *valid = unpack->count != 0 && key_last < unpack->key_count &&
             (!has_hash_key || hash_key_last < unpack->hash_key_count);
    return LS_OK;
}

static ls_status walk_plain(lsi_unpack *unpack, bool *valid)
{
    return walk(unpack, valid, false);
}

static __attribute__((noinline, cold)) ls_status walk_with_groups(lsi_unpack *unpack, bool *valid)
{
    return walk(unpack, valid, true);
}

/* Which keys of the table are not the shard's: several at once, and each but once, as hashing costs more than all else
 * together. */
static ls_status note_outside(lsi_unpack *unpack)
{
    ls_bytes keys[HASHED_AT_ONCE];
    ls_hash_key hashes[HASHED_AT_ONCE];

    if (!lsi_grow(unpack->memory, (void **)&unpack->outside, &unpack->outside_room,
                  (unpack->key_count + HASHED_AT_ONCE - 1) / HASHED_AT_ONCE, sizeof *unpack->outside))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the keys of an aggregated record");
    for (uint32_t first = 0; first < unpack->key_count; first += HASHED_AT_ONCE) {
        uint32_t count = unpack->key_count - first < HASHED_AT_ONCE ? unpack->key_count - first : HASHED_AT_ONCE;
        uint64_t bits = 0;

        for (uint32_t i = 0; i < count; i++)
            keys[i] = key_at(unpack, first + i);
        lsi_hash_partition_keys(keys, count, hashes);
        for (uint32_t i = 0; i < count; i++)
            bits |= (uint64_t)!lsi_hash_range_contains(unpack->range, hashes[i]) << i;
        unpack->outside[first / HASHED_AT_ONCE] = bits;
    }
    return LS_OK;
}

static bool has_whole_range(const lsi_hash_range *range)
{
    return (range->first.high | range->first.low) == 0 && (range->last.high & range->last.low) == UINT64_MAX;
}

bool lsi_unpack_may_begin(ls_bytes data)
{
    return data.size > LSI_AGGREGATE_EXTRA_BYTES && data.size <= UINT32_MAX &&
        lsi_read_u32le(data.data) == LSI_AGGREGATE_MAGIC;
}

ls_status lsi_unpack_begin(lsi_unpack *unpack, const ls_record *outer, const lsi_hash_range *range, bool *is_aggregate)
{
    const unsigned char *data = outer->data.data;
    size_t size = outer->data.size;
    unsigned char digest[MD5_BYTES];
    ls_status st;

    *is_aggregate = false;
    unpack->count = 0;
    unpack->next = 0;
    if (!lsi_unpack_may_begin(outer->data))
        return LS_OK;
    unpack->start = data + 4;
    unpack->end = data + size - MD5_BYTES;
    lsi_md5(unpack->start, (size_t)(unpack->end - unpack->start), digest);
    if (memcmp(digest, unpack->end, MD5_BYTES) != 0)
        return LS_OK;
    st = walk_plain(unpack, is_aggregate);
    unpack->has_groups = st == LS_OK && !*is_aggregate;
    if (unpack->has_groups)
        st = walk_with_groups(unpack, is_aggregate);
    unpack->has_range = range != NULL && !has_whole_range(range);
    if (st == LS_OK && *is_aggregate && unpack->has_range) {
        unpack->range = *range;
        st = note_outside(unpack);
    }
    if (st != LS_OK || !*is_aggregate) {
        unpack->count = 0;
        *is_aggregate = false;
        return st;
    }
    unpack->outer = *outer;
    unpack->at = unpack->start;
    return LS_OK;
}

/* The body of the next record, which is there. */
MADE_TWICE ls_bytes take_next(lsi_unpack *from, bool groups)
{
    lsi_cursor at = {.at = from->at, .end = from->end, .bad = false};
    ls_bytes body = {NULL, 0};
    uint32_t field;

    do {
        field = (uint32_t)lsi_varint_take(&at);
        if (field == LSI_FIELD_RECORD)
            body = lsi_protobuf_take_bytes(&at);
        else
            skip(&at, field, groups);
        assert(!at.bad); /* U2 */
    } while (field != LSI_FIELD_RECORD);
    from->at = at.at;
    return body;
}

MADE_TWICE uint32_t give(lsi_unpack *unpack, ls_record *out, uint32_t max, uint64_t *room, bool groups)
{
    uint32_t count = lsi_unpack_left(unpack) < max ? lsi_unpack_left(unpack) : max;

    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *before = unpack->at;
        user_record record;
        bool outside = false;

        (void)parse_record(take_next(unpack, groups), &record, groups); /* It was well-formed before (U2). */
        out[i] = (ls_record){.partition_key = key_at(unpack, record.key),
                             .data = record.data,
                             .seqno = unpack->outer.seqno,
                             .arrival_us = unpack->outer.arrival_us,
                             .shard = unpack->outer.shard,
                             .flags = LS_RECORD_AGGREGATED | (unpack->outer.flags & LS_RECORD_ENCRYPTED),
                             .sub_seqno = unpack->next++,
                             .sub_count = unpack->count};
        if (room != NULL) {
            uint64_t bytes = (uint64_t)out[i].partition_key.size + out[i].data.size;

            if (bytes > *room) {
                unpack->at = before;
                unpack->next--;
                return i;
            }
            *room -= bytes;
        }
        if (record.has_hash_key) {
            out[i].explicit_hash_key = unpack->hash_keys[record.hash_key];
            out[i].flags |= LS_RECORD_EXPLICIT_HASH_KEY;
            outside = unpack->has_range && !lsi_hash_range_contains(unpack->range, out[i].explicit_hash_key);
        } else if (unpack->has_range) {
            outside = unpack->outside[record.key / HASHED_AT_ONCE] >> record.key % HASHED_AT_ONCE & 1;
        }
        if (outside)
            out[i].flags |= LS_RECORD_OUTSIDE_SHARD;
    }
    return count;
}

static __attribute__((noinline, cold)) uint32_t give_with_groups(lsi_unpack *unpack, ls_record *out, uint32_t max,
                                                                 uint64_t *room)
{
    return give(unpack, out, max, room, true);
}

uint32_t lsi_unpack_next(lsi_unpack *unpack, ls_record *out, uint32_t max, uint64_t *room)
{
    return unpack->has_groups ? give_with_groups(unpack, out, max, room) : give(unpack, out, max, room, false);
}

void lsi_unpack_skip(lsi_unpack *unpack, uint32_t count)
{
    for (; count != 0 && lsi_unpack_left(unpack) != 0; count--) {
        (void)take_next(unpack, true); /* passed over, groups or none */
        unpack->next++;
    }
}

void lsi_unpack_free(lsi_unpack *unpack)
{
    const lsi_memory *memory = unpack->memory;

    lsi_free(memory, unpack->keys);
    lsi_free(memory, unpack->hash_keys);
    lsi_free(memory, unpack->outside);
    *unpack = (lsi_unpack){.memory = memory};
}
