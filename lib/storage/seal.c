/* Sealing frames with AES-256-GCM (X4).
 *
 * The key of a segment is derived from the stream's and the segment's random salt. A nonce is 64 random bits, drawn by
 * each process for each segment that it has open, and a counter: whoever writes, and whatever position he writes at, a
 * second time after a failed write or in a copy of the directory, no nonce comes twice under one key. Tags bind what
 * the header says of the records, so that no frame passes for another.
 *
 * A key is known by its *mark*, which the manifest and each segment's header have: 16 bytes that are derived from it
 * and tell nothing about it. So the wrong key is found before anything is opened or written with it, and a tag that is
 * wrong under the right key is damage. */
#include "storage/seal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/frame_read.h"

enum { BOUND_BYTES = LSI_SEAL_BOUND_BYTES };

_Static_assert(LSI_DRAFT_ROOM_BYTES == LSI_SEAL_BYTES, "a draft can be sealed where it is");

/* More than a segment can hold: a frame's least is a header, a seal and a record of 16. */
_Static_assert(UINT32_MAX / (LSI_FRAME_HEADER_BYTES + LSI_SEAL_BYTES + 16) < UINT32_MAX, "a roll comes before a wrap");

ls_status lsi_seal_mark(const unsigned char store_id[16], uint64_t stream, const lsi_key *key,
                        unsigned char mark[LSI_KEY_MARK_BYTES])
{
    static const char info[] = "libstream key mark";
    unsigned char salt[24];

    memcpy(salt, store_id, 16);
    lsi_write_u64le(salt + 16, stream);
    return lsi_key_mark(key, salt, sizeof salt, info, sizeof info - 1, mark, LSI_KEY_MARK_BYTES);
}

/* `what` is encrypted. */
static ls_status stream_key(const lsi_log_config *config, const char *what, const lsi_log_terms *terms, bool ask,
                            const lsi_key **out)
{
    ls_status st = LS_ERR_KEY;
    lsi_error_state why;

    *out = NULL;
    if (config->key == NULL)
        (void)lsi_fail(LS_ERR_KEY, "nobody can be asked for the key '%s'", terms->key_id);
    else
        st = config->key(config->key_user, terms, ask, out);
    if (st != LS_ERR_KEY)
        return st;
    lsi_error_save(&why);
    return lsi_fail(LS_ERR_KEY, "%s%s%s is encrypted: %s", config->label, what[0] != '\0' ? ": " : "", what,
                    why.message);
}

ls_status lsi_log_ask_for_key(const lsi_log_config *config, const lsi_log_terms *terms)
{
    const lsi_key *key;

    return stream_key(config, "", terms, true, &key);
}

bool lsi_key_is_at_hand(const lsi_log_config *config, const lsi_log_terms *terms)
{
    const lsi_key *key = NULL;

    return config->key != NULL && config->key(config->key_user, terms, false, &key) == LS_OK && key != NULL;
}

ls_status lsi_segment_find_key(const lsi_log_config *config, lsi_segment *segment, bool ask)
{
    static const char label[] = "libstream segment";
    const lsi_segment_header *header = &segment->header;
    const lsi_key *key;
    unsigned char info[sizeof label - 1 + 32], *at = info + sizeof label - 1;

    if (segment->key != NULL)
        return LS_OK;
    ls_status st = stream_key(config, segment->name, &header->terms, ask, &key);
    if (st != LS_OK || key == NULL)
        return st;
    memcpy(info, label, sizeof label - 1);
    memcpy(at, header->store_id, 16);
    lsi_write_u64le(at + 16, header->stream);
    lsi_write_u32le(at + 24, header->shard);
    lsi_write_u32le(at + 28, header->number);
    segment->nonce_count = 0;
    st = lsi_crypto_random(&segment->writer_id, sizeof segment->writer_id);
    return st == LS_OK ? lsi_key_derive(key, header->salt, sizeof header->salt, info, sizeof info, &segment->key) : st;
}

/* What a tag binds besides the body, and the tail, if any, which comes first: whose frame it is, and what its header
 * says of the records. */
static void fill_bound(const lsi_segment_header *header, const lsi_frame *frame, unsigned char bound[BOUND_BYTES])
{
    memcpy(bound, header->store_id, 16);
    lsi_write_u64le(bound + 16, header->stream);
    lsi_write_u32le(bound + 24, header->shard);
    lsi_write_u32le(bound + 28, header->number);
    lsi_write_u64le(bound + 32, frame->first_seqno);
    lsi_write_u64le(bound + 40, (uint64_t)frame->arrival_us);
    lsi_write_u32le(bound + 48, frame->count);
    bound[52] = frame->kind;
    bound[53] = frame->codec;
    lsi_write_u16le(bound + 54, frame->flags);
}

ls_status lsi_framer_make_sealing(lsi_framer *framer)
{
    return framer->cipher != NULL ? LS_OK : lsi_cipher_open(&framer->env->memory, &framer->cipher);
}

static ls_status next_nonce(lsi_segment *segment, unsigned char nonce[LSI_NONCE_BYTES])
{
    /* Writes that fail use numbers up as well: not even those come round. */
    if (segment->nonce_count == UINT32_MAX) {
        ls_status st = lsi_crypto_random(&segment->writer_id, sizeof segment->writer_id);
        if (st != LS_OK)
            return st;
        segment->nonce_count = 0;
    }
    lsi_write_u64le(nonce, segment->writer_id);
    lsi_write_u32le(nonce + 8, segment->nonce_count++);
    return LS_OK;
}

ls_status lsi_framer_seal(lsi_framer *framer, const lsi_draft *draft, lsi_segment *segment, uint64_t position,
                          ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end, const unsigned char **out)
{
    unsigned char *body = lsi_draft_at(framer, draft) + LSI_FRAME_HEADER_BYTES;
    unsigned char *seal = body - LSI_SEAL_BYTES, *at = seal - LSI_FRAME_HEADER_BYTES, room[BOUND_BYTES];
    uint32_t body_bytes = draft->bytes - LSI_FRAME_HEADER_BYTES - framer->tail_bytes;
    lsi_frame frame = {.bytes = draft->bytes + LSI_SEAL_BYTES, .count = draft->count, .first_seqno = first_seqno,
                       .arrival_us = arrival_us, .durable_end = durable_end, .decider = framer->decider,
                       .kind = framer->decider != 0 ? LSI_FRAME_STEP : LSI_FRAME_DATA, .codec = draft->codec,
                       .flags = LSI_FRAME_SEALED | (framer->tail_bytes != 0 ? LSI_FRAME_NUMBERED : 0)};
    unsigned char *bound = room, *tail = body + body_bytes;

    if (frame.bytes > LSI_FRAME_BYTES_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "%s batch of %u bytes, encrypted: a frame holds at most %u",
                        framer->tail_bytes != 0 ? "a numbered" : "an atomic", frame.bytes, LSI_FRAME_BYTES_MAX);
    if (framer->tail_bytes != 0) /* Behind it there is room. */
        bound = tail + framer->tail_bytes;
    memset(seal, 0, LSI_SEAL_BYTES);
    ls_status st = next_nonce(segment, seal + LSI_SEAL_NONCE_AT);
    if (st != LS_OK)
        return st;
    fill_bound(&segment->header, &frame, bound);
    st = lsi_cipher_seal(framer->cipher, segment->key, seal + LSI_SEAL_NONCE_AT, bound - framer->tail_bytes,
                         BOUND_BYTES + (size_t)framer->tail_bytes, body, body_bytes, body, seal + LSI_SEAL_TAG_AT);
    if (st != LS_OK)
        return st;
    frame.body_sum = lsi_sum64(seal, LSI_SEAL_BYTES + (size_t)body_bytes + framer->tail_bytes, 0);
    lsi_frame_write_header(at, &frame, segment->seed, position);
    *out = at;
    return LS_OK;
}

ls_status lsi_frame_unseal(lsi_cipher *cipher, const lsi_segment *segment, const unsigned char *at,
                           const lsi_frame *frame, uint32_t tail_bytes, unsigned char *bound, unsigned char *out,
                           bool *is_right)
{
    const unsigned char *seal = at + LSI_FRAME_HEADER_BYTES;

    memcpy(bound, at + frame->bytes, tail_bytes);
    fill_bound(&segment->header, frame, bound + tail_bytes);
    return lsi_cipher_unseal(cipher, segment->key, seal + LSI_SEAL_NONCE_AT, bound, tail_bytes + (size_t)BOUND_BYTES,
                             seal + LSI_SEAL_BYTES,
                             frame->bytes - LSI_FRAME_HEADER_BYTES - LSI_SEAL_BYTES, out, seal + LSI_SEAL_TAG_AT,
                             is_right);
}
