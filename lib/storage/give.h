/* Giving frames that are whole in the run and within the limits of the call: nearly all that are read. What is left,
 * the first and the last frame of a batch, those that a page cuts off, and whatever is wrong, is for the general way.
 *
 * Compiled twice: by read.c as it is, and by give_avx2.c for processors with AVX2, where the sum of a small body takes
 * half the time. */
#ifndef LSI_STORAGE_GIVE_H
#define LSI_STORAGE_GIVE_H

#include "storage/frame_read.h"
#include "storage/reader.h"

#ifdef LSI_GIVE_AVX2
#include "base/hash_mid.h"
#endif

/* F1 and F3. */
static inline bool sums_are_right(const unsigned char *at, uint32_t bytes, uint64_t seed, uint64_t position)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)at, (void)bytes, (void)seed, (void)position;
    return true;
#else
    const unsigned char *body = at + LSI_FRAME_HEADER_BYTES;
    const size_t size = bytes - LSI_FRAME_HEADER_BYTES;
    uint64_t sum;

    if (lsi_read_u32le(at + LSI_FRAME_SUM_AT) != lsi_frame_header_sum(at, seed, position))
        return false;
#ifdef LSI_GIVE_AVX2
    if (size >= LSI_SUM64_MID_MIN && size <= LSI_SUM64_MID_MAX)
        sum = lsi_sum64_mid(body, size);
    else
#endif
        sum = lsi_sum64_inline(body, size, 0);
    return (sum ^ seed) == lsi_read_u64le(at + LSI_FRAME_BODY_SUM_AT);
#endif
}

/* The part of F2 that the first 8 bytes decide: frames of equal words have it in common. */
static inline bool word_is_right(uint64_t word)
{
    const uint32_t bytes = (uint32_t)word, count = (uint32_t)(word >> 32);

    return bytes >= LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES && bytes <= LSI_FRAME_BYTES_MAX &&
           bytes % 8 == 0 && count != 0 && count <= (bytes - LSI_FRAME_HEADER_BYTES) / LSI_RECORD_HEADER_BYTES;
}

/* The rest of F2, and what a reader wants of a frame in this segment, numbers from `first` to below `limit`, kind and
 * codec: at least what the general way asks for. */
static inline bool rest_is_right(const unsigned char *at, uint32_t count, uint64_t position, ls_seqno first,
                                 ls_seqno limit)
{
    ls_seqno seqno = lsi_read_u64le(at + LSI_FRAME_SEQNO_AT);

    return seqno >= first && seqno < limit && count <= limit - seqno &&
           lsi_read_u64le(at + LSI_FRAME_DURABLE_AT) <= position &&
           lsi_read_u32le(at + LSI_FRAME_KIND_AT) == (LSI_FRAME_DATA | LSI_CODEC_PLAIN << 8);
}

static inline void give_record(const unsigned char *frame, const unsigned char *at, const lsi_record_shape *shape,
                               ls_seqno seqno, uint32_t shard, ls_record *out)
{
    lsi_record_view(at, shape, out);
    out->seqno = seqno;
    out->arrival_us = (int64_t)lsi_read_u64le(frame + LSI_FRAME_ARRIVAL_AT);
    out->shard = shard;
}

/* All of a frame, in a loop that has the processor's registers for itself. `*bytes`: of keys and data. False: the
 * body breaks its rules (F4).
 *
 * Most records have the sizes of the one before. Steps of a known size spare the processor from waiting, at each
 * record, for the sizes that say where the next one is: it goes on and compares behind. */
static __attribute__((noinline)) bool give_records(const unsigned char *frame, uint32_t shard, ls_record *out,
                                                   uint64_t *bytes)
{
    const unsigned char *at = frame + LSI_FRAME_HEADER_BYTES, *end = frame + lsi_read_u32le(frame + LSI_FRAME_BYTES_AT);
    const ls_record *last = out + lsi_read_u32le(frame + LSI_FRAME_COUNT_AT);
    ls_seqno seqno = lsi_read_u64le(frame + LSI_FRAME_SEQNO_AT);

    *bytes = 0;
    while (out < last) {
        lsi_record_shape shape;
        const ls_record *first = out;
        if (!lsi_record_read_shape(at, (uint32_t)(end - at), &shape))
            return false;
        const unsigned char *at_last = end - shape.bytes;
        do {
            give_record(frame, at, &shape, seqno++, shard, out++);
            at += shape.bytes;
        } while (out < last && at <= at_last && lsi_read_u64le(at) == shape.word);
        *bytes += (uint64_t)(out - first) * ((uint64_t)shape.key_bytes + shape.data_bytes);
    }
    return true;
}

/* Gives frames up to the first that is not for this way; the reader is then at it. */
static inline void give_frames(lsi_log_reader *reader, uint64_t stop, lsi_read_batch *to)
{
    const lsi_segment_header *header = &reader->segment->header;
    const uint64_t seed = reader->segment->seed, end = reader->run_end < stop ? reader->run_end : stop;
    const ls_seqno limit = header->seqno_limit;
    const uint32_t shard = reader->log->config.shard;
    const unsigned char *frame = lsi_reader_here(reader);
    size_t room = reader->record_capacity < to->records_max ? reader->record_capacity : to->records_max;
    ls_record *out = reader->records + to->made;
    uint64_t position = reader->at, bytes_left = to->bytes_left, known = 0;
    ls_seqno next = reader->next_seqno > header->base_seqno ? reader->next_seqno : header->base_seqno;
    lsi_record_shape shape = LSI_RECORD_SHAPE_NONE;

    for (room -= to->made; end - position >= LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES;) {
        const uint64_t word = lsi_read_u64le(frame);
        const uint32_t bytes = (uint32_t)word, count = (uint32_t)(word >> 32);
        if (word != known && !word_is_right(word))
            break;
        known = word;
        /* Its keys and data are fewer bytes than it is: within the limit, if it is. */
        if (bytes > end - position || bytes > bytes_left || count > room ||
            !rest_is_right(frame, count, position, next, limit) || !sums_are_right(frame, bytes, seed, position))
            break;

        const unsigned char *at = frame + LSI_FRAME_HEADER_BYTES;
        const ls_seqno seqno = lsi_read_u64le(frame + LSI_FRAME_SEQNO_AT);
        uint64_t given_bytes;
        if (count == 1) {
            if ((shape.bytes > bytes - LSI_FRAME_HEADER_BYTES || lsi_read_u64le(at) != shape.word) &&
                !lsi_record_read_shape(at, bytes - LSI_FRAME_HEADER_BYTES, &shape))
                break;
            give_record(frame, at, &shape, seqno, shard, out);
            given_bytes = (uint64_t)shape.key_bytes + shape.data_bytes;
        } else if (!give_records(frame, shard, out, &given_bytes)) {
            break;
        }
        room -= count;
        out += count;
        bytes_left -= given_bytes;
        next = seqno + count;
        position += bytes;
        frame += bytes;
    }
    if (position == reader->at)
        return;
    to->made = (uint32_t)(out - reader->records);
    to->bytes_left = bytes_left;
    to->is_full = to->made == to->records_max;
    reader->at = position;
    reader->next_seqno = next;
}

#endif
