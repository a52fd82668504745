/* Checking a frame, inline: what the reader does for every frame and frame.c for everybody else. FORMAT.md, "Frame". */
#ifndef LSI_STORAGE_FRAME_READ_H
#define LSI_STORAGE_FRAME_READ_H

#include "base/hash_short.h"
#include "storage/frame.h"

enum { LSI_FRAME_BYTES_AT = 0, LSI_FRAME_COUNT_AT = 4, LSI_FRAME_SEQNO_AT = 8, LSI_FRAME_ARRIVAL_AT = 16,
       LSI_FRAME_DURABLE_AT = 24, LSI_FRAME_BODY_SUM_AT = 32, LSI_FRAME_KIND_AT = 40, LSI_FRAME_CODEC_AT = 41,
       LSI_FRAME_FLAGS_AT = 42, LSI_FRAME_SUM_AT = 44 };

static inline uint32_t lsi_frame_header_sum(const unsigned char *at, uint64_t seed, uint64_t position)
{
    return (uint32_t)lsi_sum64_inline(at, LSI_FRAME_SUM_AT, seed + position);
}

/* Decodes the 48 bytes at `at`. False: no header (F1, F2); `out` is then not to be used. */
static inline bool lsi_frame_decode(const unsigned char *at, uint64_t seed, uint64_t position, lsi_frame *out)
{
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (lsi_read_u32le(at + LSI_FRAME_SUM_AT) != lsi_frame_header_sum(at, seed, position)) /* F1 */
        return false;
#else
    (void)seed;
#endif
    *out = (lsi_frame){
        .bytes = lsi_read_u32le(at + LSI_FRAME_BYTES_AT), /* May be trusted now, before the body is read. */
        .count = lsi_read_u32le(at + LSI_FRAME_COUNT_AT),
        .first_seqno = lsi_read_u64le(at + LSI_FRAME_SEQNO_AT),
        .arrival_us = (int64_t)lsi_read_u64le(at + LSI_FRAME_ARRIVAL_AT),
        .durable_end = lsi_read_u64le(at + LSI_FRAME_DURABLE_AT),
        .body_sum = lsi_read_u64le(at + LSI_FRAME_BODY_SUM_AT),
        .kind = at[LSI_FRAME_KIND_AT],
        .codec = at[LSI_FRAME_CODEC_AT],
        .flags = lsi_read_u16le(at + LSI_FRAME_FLAGS_AT),
    };
    if (out->kind == LSI_FRAME_STEP) {
        out->decider = out->durable_end;
        out->durable_end = 0;
    }
    return out->bytes >= LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES && out->bytes <= LSI_FRAME_BYTES_MAX &&
           out->bytes % 8 == 0 && out->count != 0 &&
           (out->count <= (out->bytes - LSI_FRAME_HEADER_BYTES) / LSI_RECORD_HEADER_BYTES ||
            (out->codec != LSI_CODEC_PLAIN && out->count <= LSI_FRAME_BYTES_MAX / LSI_RECORD_HEADER_BYTES)) &&
           out->first_seqno != LS_SEQNO_NONE && out->first_seqno <= LS_SEQNO_MAX - out->count + 1 &&
           out->durable_end <= position; /* F2 */
}

/* F3: the whole frame is at `at`. */
static inline bool lsi_frame_body_is_right(const unsigned char *at, const lsi_frame *frame, uint64_t seed)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)at;
    (void)frame;
    (void)seed;
    return true;
#else
    return (lsi_sum64_inline(at + LSI_FRAME_HEADER_BYTES, frame->bytes - LSI_FRAME_HEADER_BYTES, 0) ^ seed) ==
           frame->body_sum;
#endif
}

#endif
