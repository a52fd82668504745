/* Frames: coding and checking. FORMAT.md is the contract; a frame is valid if and only if F1, F2, F3 and F4 hold.
 *
 * The body's sum is computed without any salt outside the lock and salted under it with one exclusive or, so that a
 * roll which comes between drafting and placing costs nothing; the header's sum is seeded with salt and position. */
#include "storage/frame.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "metrics/metrics.h"
#include "storage/frame_read.h"
#include "storage/numbered.h"
#include "storage/seal.h"

lsi_frame_result lsi_frame_read_header(const unsigned char *at, size_t available, uint64_t seed, uint64_t position,
                                       lsi_frame *out)
{
    memset(out, 0, sizeof *out);
    if (available >= 8 && lsi_read_u64le(at) == 0) /* A length of 0 is none; a count of 0 is not written either. */
        return LSI_FRAME_EMPTY;
    if (available < LSI_FRAME_HEADER_BYTES)
        return LSI_FRAME_SHORT;
    if (!lsi_frame_decode(at, seed, position, out))
        return LSI_FRAME_BAD;
    return out->bytes > available ? LSI_FRAME_SHORT : LSI_FRAME_VALID;
}

bool lsi_frame_check_body(const unsigned char *at, const lsi_frame *frame, uint64_t seed)
{
    return lsi_frame_body_is_right(at, frame, seed);
}

ls_status lsi_framer_open(const lsi_env *env, lsi_framer **out)
{
    lsi_framer *framer = lsi_alloc_zero(&env->memory, sizeof *framer);
    if (framer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "a producer's buffer: no memory");
    framer->env = env;
    *out = framer;
    return LS_OK;
}

void lsi_framer_close(lsi_framer *framer)
{
    if (framer == NULL)
        return;
    const lsi_env *env = framer->env;
    lsi_free(&env->memory, framer->buffer);
    lsi_free(&env->memory, framer->drafts);
    lsi_compressor_free(framer->compressor);
    lsi_free(&env->memory, framer->packed);
    lsi_free(&env->memory, framer->left);
    lsi_free(&env->memory, framer->now);
    lsi_cipher_close(framer->cipher);
    lsi_free(&env->memory, framer);
}

static uint32_t record_bytes(const ls_put_entry *entry)
{
    uint64_t bytes = entry->partition_key.size + entry->data.size;
    if (entry->explicit_hash_key != NULL)
        bytes += LSI_RECORD_HASH_BYTES;
    assert(bytes < LSI_FRAME_BYTES_MAX);
    return LSI_RECORD_HEADER_BYTES + (uint32_t)lsi_round_up(bytes, 8);
}

/* Fields that lie in one word are written as one: the sum reads words, and a read of what two smaller writes have just
 * written waits for both. */
static void write_record(unsigned char *at, uint32_t bytes, const ls_put_entry *entry)
{
    uint64_t key_bytes = entry->partition_key.size, data_bytes = entry->data.size;
    const ls_hash_key *hash = entry->explicit_hash_key;
    uint64_t flags = hash != NULL ? LSI_RECORD_HASHED : 0;

    _Static_assert(LSI_RECORD_DATA_AT == 0 && LSI_RECORD_KEY_AT == 4 && LSI_RECORD_FLAGS_AT == 6, "one word");
    lsi_write_u64le(at + bytes - 8, 0); /* The padding, and what is written over at once. */
    lsi_write_u64le(at, data_bytes | key_bytes << 32 | flags << 48);
    at += LSI_RECORD_HEADER_BYTES;
    memcpy(at, entry->partition_key.data, key_bytes);
    at += key_bytes;
    if (hash != NULL) {
        lsi_write_u64le(at, hash->high);
        lsi_write_u64le(at + 8, hash->low);
        at += LSI_RECORD_HASH_BYTES;
    }
    if (data_bytes != 0)
        memcpy(at, entry->data.data, data_bytes);
}

static ls_status more_drafts(lsi_framer *framer)
{
    void *drafts = framer->drafts;

    if (!lsi_grow(&framer->env->memory, &drafts, &framer->draft_capacity, framer->draft_count + 1, sizeof(lsi_draft)))
        return lsi_fail(LS_ERR_NO_MEMORY, "a batch's frames: no memory");
    framer->drafts = drafts;
    return LS_OK;
}

static ls_status more_room(lsi_framer *framer, uint64_t total)
{
    void *buffer = lsi_resize(&framer->env->memory, framer->buffer, total);

    if (buffer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%llu bytes for a batch: no memory", (unsigned long long)total);
    framer->buffer = buffer;
    framer->capacity = total;
    return LS_OK;
}

/* What is sealed gets its sum then. */
static inline uint64_t sum_draft(const lsi_framer *framer, const unsigned char *body, size_t bytes)
{
    return framer->seals ? 0 : lsi_sum64(body, bytes, 0);
}

static inline __attribute__((always_inline)) ls_status end_draft(lsi_framer *framer, size_t from, size_t to,
                                                                 uint32_t count, uint32_t payload_bytes,
                                                                 uint32_t odd)
{
    if (framer->draft_count == framer->draft_capacity) {
        ls_status st = more_drafts(framer);
        if (st != LS_OK)
            return st;
    }
    framer->drafts[framer->draft_count++] = (lsi_draft){
        from, (uint32_t)(to - from), count,
        sum_draft(framer, framer->buffer + from + LSI_FRAME_HEADER_BYTES, to - from - LSI_FRAME_HEADER_BYTES),
        LSI_CODEC_PLAIN, payload_bytes, odd};
    return LS_OK;
}

/* The draft's body, compressed, behind what others have of `packed`, which has room for it as it is. */
static bool pack(lsi_framer *framer, lsi_draft *draft, size_t at)
{
    const unsigned char *body = lsi_draft_at(framer, draft) + LSI_FRAME_HEADER_BYTES;
    uint32_t body_bytes = draft->bytes - LSI_FRAME_HEADER_BYTES - framer->tail_bytes;
    unsigned char *to = framer->packed + at + LSI_FRAME_HEADER_BYTES;
    /* A sixteenth at least: less would not make up for what reading it costs. */
    size_t room = body_bytes - body_bytes / 16 - LSI_PACK_BYTES;

    size_t made = lsi_compress(framer->compressor, body, body_bytes, to + LSI_PACK_BYTES, room);
    if (made == 0)
        return false;
    size_t bytes = (size_t)lsi_round_up(LSI_PACK_BYTES + made, 8);
    lsi_write_u32le(to, body_bytes);
    lsi_write_u32le(to + 4, (uint32_t)made);
    memset(to + LSI_PACK_BYTES + made, 0, bytes - LSI_PACK_BYTES - made);
    if (framer->tail_bytes != 0)
        memcpy(to + bytes, body + body_bytes, framer->tail_bytes);
    bytes += framer->tail_bytes;
    draft->at = at;
    draft->bytes = LSI_FRAME_HEADER_BYTES + (uint32_t)bytes;
    draft->body_sum = sum_draft(framer, to, bytes);
    draft->codec = LSI_CODEC_ZSTD;
    return true;
}

static ls_status pack_drafts(lsi_framer *framer)
{
    size_t at = 0, wanted = 0;

    for (size_t i = 0; i < framer->draft_count; i++)
        if (framer->drafts[i].bytes >= LSI_FRAME_HEADER_BYTES + LSI_PACK_BODY_BYTES_MIN + framer->tail_bytes)
            wanted += LSI_DRAFT_ROOM_BYTES + framer->drafts[i].bytes;
    if (wanted == 0)
        return LS_OK;
    wanted += framer->tail_bytes != 0 ? LSI_SEAL_BOUND_BYTES : 0;
    if (framer->compressor == NULL)
        framer->compressor = lsi_compressor_new();
    if (framer->packed_capacity < wanted) {
        void *packed = lsi_resize(&framer->env->memory, framer->packed, wanted);
        if (packed != NULL) {
            framer->packed = packed;
            framer->packed_capacity = wanted;
        }
    }
    if (framer->compressor == NULL || framer->packed_capacity < wanted)
        return lsi_fail(LS_ERR_NO_MEMORY, "%zu bytes to compress a batch into: no memory", wanted);
    for (size_t i = 0; i < framer->draft_count; i++)
        if (framer->drafts[i].bytes >= LSI_FRAME_HEADER_BYTES + LSI_PACK_BODY_BYTES_MIN + framer->tail_bytes &&
            pack(framer, &framer->drafts[i], at + LSI_DRAFT_ROOM_BYTES))
            at += LSI_DRAFT_ROOM_BYTES + framer->drafts[i].bytes;
    return LS_OK;
}

static inline __attribute__((always_inline)) ls_status draft_all(lsi_framer *framer, const ls_put_entry *entries,
                                                                 const uint32_t *picks, uint32_t count, bool atomic,
                                                                 uint32_t kind, const ls_put_options *options,
                                                                 const uint32_t *users)
{
    framer->draft_count = 0;
    if (options != NULL)
        framer->tail_bytes = lsi_tail_bytes(options, picks, users, count);

    /* Every record but the first of a frame could need a header of its own; sizing for that keeps one pass. */
    uint64_t total = LSI_FRAME_HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++)
        total += record_bytes(&entries[picks != NULL ? picks[i] : i]);
    if (options != NULL)
        total += framer->tail_bytes;
    if (atomic && total > LSI_FRAME_BYTES_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "%s batch of %llu bytes: a frame holds at most %u",
                        options != NULL ? "a numbered" : "an atomic", (unsigned long long)total, LSI_FRAME_BYTES_MAX);
    total += (total / (LSI_FRAME_CUT_BYTES / 2) + 1) * (LSI_DRAFT_ROOM_BYTES + LSI_FRAME_HEADER_BYTES);
    if (options != NULL)
        total += LSI_SEAL_BOUND_BYTES;
    if (framer->capacity < total) {
        ls_status st = more_room(framer, total);
        if (st != LS_OK)
            return st;
    }

    size_t from = LSI_DRAFT_ROOM_BYTES, at = from + LSI_FRAME_HEADER_BYTES;
    uint32_t in_frame = 0, payload_bytes = 0, odd = kind; /* no frame has more than 16 MiB */
    for (uint32_t i = 0; i < count; i++) {
        const ls_put_entry *entry = &entries[picks != NULL ? picks[i] : i];
        uint32_t bytes = record_bytes(entry);
        if (!atomic && in_frame > 0 && at - from + bytes > LSI_FRAME_CUT_BYTES) {
            ls_status st = end_draft(framer, from, at, in_frame, payload_bytes, odd);
            if (st != LS_OK)
                return st;
            from = at + LSI_DRAFT_ROOM_BYTES;
            at = from + LSI_FRAME_HEADER_BYTES;
            in_frame = payload_bytes = 0;
            odd = kind;
        }
        write_record(framer->buffer + at, bytes, entry);
        const uint32_t payload = (uint32_t)(entry->partition_key.size + entry->data.size);
        payload_bytes += payload;
        if (payload > LSI_PAYLOAD_UNIT_BYTES)
            odd += (payload - 1) / LSI_PAYLOAD_UNIT_BYTES;
        at += bytes;
        in_frame++;
    }
    if (options != NULL) {
        lsi_tail_write(framer->buffer + at, options, picks, users, count, framer->tail_bytes);
        at += framer->tail_bytes;
    }
    assert(at <= framer->capacity);
    /* Here, and not by each holder of the lock: it shortens their turn, and a small record is not summed before it is
     * stored, for which the processor would wait. */
    framer->drafted_us = lsi_stamp_us(&framer->stamps, &framer->env->clock);
    ls_status st = end_draft(framer, from, at, in_frame, payload_bytes, odd);
    return st == LS_OK && framer->codec != LSI_CODEC_PLAIN ? pack_drafts(framer) : st;
}

ls_status lsi_framer_draft(lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks, uint32_t count,
                           bool atomic)
{
    /* The same once more, without loops: the framing of a record that is put alone is a third of its way. */
    if (count == 1 && picks == NULL)
        return draft_all(framer, entries, NULL, 1, true, 0, NULL, NULL);
    return draft_all(framer, entries, picks, count, atomic, LSI_DRAFT_OF_BATCH, NULL, NULL);
}

ls_status lsi_framer_draft_numbered(lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                                    uint32_t count, const ls_put_options *options, const uint32_t *users)
{
    return draft_all(framer, entries, picks, count, true, picks == NULL && users == NULL ? 0 : LSI_DRAFT_OF_BATCH,
                     options, users);
}

/* What belongs to one word is written as one (see write_record). */
static inline __attribute__((always_inline)) void write_header(unsigned char *at, uint32_t bytes, uint32_t count,
                                                               ls_seqno first_seqno, int64_t arrival_us,
                                                               uint64_t durable_end, uint64_t salted_sum,
                                                               uint32_t kind_word, uint64_t place)
{
    const uint64_t sizes = bytes | (uint64_t)count << 32;
    const uint32_t sum = (uint32_t)lsi_sum64_44(sizes, first_seqno, (uint64_t)arrival_us, durable_end, salted_sum,
                                                kind_word, place);

    _Static_assert(LSI_FRAME_COUNT_AT == LSI_FRAME_BYTES_AT + 4 && LSI_FRAME_KIND_AT % 8 == 0 &&
                       LSI_FRAME_CODEC_AT == LSI_FRAME_KIND_AT + 1 && LSI_FRAME_FLAGS_AT == LSI_FRAME_KIND_AT + 2 &&
                       LSI_FRAME_SUM_AT == LSI_FRAME_KIND_AT + 4,
                   "fields of one word");
    lsi_write_u64le(at + LSI_FRAME_BYTES_AT, sizes);
    lsi_write_u64le(at + LSI_FRAME_SEQNO_AT, first_seqno);
    lsi_write_u64le(at + LSI_FRAME_ARRIVAL_AT, (uint64_t)arrival_us);
    lsi_write_u64le(at + LSI_FRAME_DURABLE_AT, durable_end);
    lsi_write_u64le(at + LSI_FRAME_BODY_SUM_AT, salted_sum);
    lsi_write_u64le(at + LSI_FRAME_KIND_AT, kind_word | (uint64_t)sum << 32);
}

void lsi_frame_write_header(unsigned char *at, const lsi_frame *frame, uint64_t seed, uint64_t position)
{
    write_header(at, frame->bytes, frame->count, frame->first_seqno, frame->arrival_us,
                 frame->kind == LSI_FRAME_STEP ? frame->decider : frame->durable_end,
                 frame->body_sum ^ seed, frame->kind | (uint32_t)frame->codec << 8 | (uint32_t)frame->flags << 16,
                 seed + position);
}

void lsi_framer_place(lsi_framer *framer, const lsi_draft *draft, uint64_t seed, uint64_t position,
                      ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end)
{
    bool is_step = framer->decider != 0;

    write_header(lsi_draft_at(framer, draft), draft->bytes, draft->count, first_seqno, arrival_us,
                 is_step ? framer->decider : durable_end, draft->body_sum ^ seed,
                 (is_step ? LSI_FRAME_STEP : LSI_FRAME_DATA) | (uint32_t)draft->codec << 8, seed + position);
}

void lsi_framer_place_numbered(lsi_framer *framer, const lsi_draft *draft, uint64_t seed, uint64_t position,
                               ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end)
{
    write_header(lsi_draft_at(framer, draft), draft->bytes, draft->count, first_seqno, arrival_us, durable_end,
                 draft->body_sum ^ seed,
                 LSI_FRAME_DATA | (uint32_t)draft->codec << 8 | (uint32_t)LSI_FRAME_NUMBERED << 16, seed + position);
}
