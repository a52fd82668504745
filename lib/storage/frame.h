/* The frame: one acknowledged unit of a log, and the records in it. FORMAT.md, "Frame" and "Record". */
#ifndef LSI_STORAGE_FRAME_H
#define LSI_STORAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/types.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/stamp.h"
#include "storage/storage.h"

#define LSI_FRAME_HEADER_BYTES 48u
#define LSI_FRAME_BYTES_MAX (16u << 20)
#define LSI_FRAME_CUT_BYTES (1u << 20) /* a batch's frames are cut here */
#define LSI_RECORD_HEADER_BYTES 8u
enum { LSI_RECORD_DATA_AT = 0, LSI_RECORD_KEY_AT = 4, LSI_RECORD_FLAGS_AT = 6 };
#define LSI_RECORD_HASHED 1u /* an explicit hash key lies between key and data */
#define LSI_RECORD_HASH_BYTES 16u

/* Kinds. A frame of a step counts when it is decided elsewhere that the step was taken: see step.c. */
enum { LSI_FRAME_DATA = 1, LSI_FRAME_STEP = 2 };
enum { LSI_CODEC_PLAIN = 0, LSI_CODEC_ZSTD = 1 }; /* codec */
#define LSI_FRAME_EXTENDED 0x0001u        /* the body begins with an extension area */
#define LSI_FRAME_SEALED 0x0100u          /* the body is encrypted: seal.h */
#define LSI_FRAME_NUMBERED 0x0200u        /* it ends with a tail: numbered.h */
#define LSI_FRAME_MUST_REFUSE 0xfc00u     /* bits here that this release does not know: refuse the frame */

/* A frame's header, decoded. */
typedef struct lsi_frame {
    uint32_t bytes; /* header, body and padding: a multiple of 8 */
    uint32_t count;
    ls_seqno first_seqno;
    int64_t arrival_us;
    uint64_t durable_end; /* 0 in a frame of a step */
    uint64_t decider;     /* of a step: the stream whose state says whether it was taken */
    uint64_t body_sum;
    uint8_t kind;
    uint8_t codec;
    uint16_t flags;
} lsi_frame;

typedef enum {
    LSI_FRAME_VALID,
    LSI_FRAME_SHORT, /* fewer bytes are available than the header, or than the frame that it describes */
    LSI_FRAME_EMPTY, /* eight zero bytes: nothing was written here */
    LSI_FRAME_BAD
} lsi_frame_result;

/* Decodes and checks a header (F1, F2). SHORT with out->bytes set when only the body is missing. */
lsi_frame_result lsi_frame_read_header(const unsigned char *at, size_t available, uint64_t seed, uint64_t position,
                                       lsi_frame *out);
/* F3: the whole frame is at `at`. */
bool lsi_frame_check_body(const unsigned char *at, const lsi_frame *frame, uint64_t seed);

/* ---- the records of a checked frame; inline, since reading a batch consists of it ---- */

/* What a record's first eight bytes say. Records of equal words have all sizes in common. */
typedef struct lsi_record_shape {
    uint64_t word;
    uint32_t key_bytes, hash_bytes, data_bytes;
    uint32_t bytes; /* with header and padding */
} lsi_record_shape;

/* Of no record: its flags are none. */
#define LSI_RECORD_SHAPE_NONE ((lsi_record_shape){.word = UINT64_MAX})

/* Of the record at `at`, where the frame has `room` bytes left. False: it breaks the rules (F4). */
static inline bool lsi_record_read_shape(const unsigned char *at, uint32_t room, lsi_record_shape *out)
{
    if (room < LSI_RECORD_HEADER_BYTES)
        return false;
    uint32_t flags = lsi_read_u16le(at + LSI_RECORD_FLAGS_AT);
    *out = (lsi_record_shape){
        .word = lsi_read_u64le(at),
        .key_bytes = lsi_read_u16le(at + LSI_RECORD_KEY_AT),
        .hash_bytes = (flags & LSI_RECORD_HASHED) != 0 ? LSI_RECORD_HASH_BYTES : 0,
        .data_bytes = lsi_read_u32le(at + LSI_RECORD_DATA_AT),
    };
    uint64_t bytes = LSI_RECORD_HEADER_BYTES +
                     lsi_round_up((uint64_t)out->key_bytes + out->hash_bytes + out->data_bytes, 8);
    out->bytes = (uint32_t)bytes;
    return bytes <= room && (flags & ~LSI_RECORD_HASHED) == 0; /* The frame is a multiple of 8, and so is the room. */
}

/* Fills everything of `out` but the number, time and shard. */
static inline void lsi_record_view(const unsigned char *at, const lsi_record_shape *shape, ls_record *out)
{
    const unsigned char *key = at + LSI_RECORD_HEADER_BYTES;

    out->partition_key = (ls_bytes){key, shape->key_bytes};
    out->data = (ls_bytes){key + shape->key_bytes + shape->hash_bytes, shape->data_bytes};
    out->flags = 0;
    out->explicit_hash_key = (ls_hash_key){0, 0};
    out->sub_seqno = 0;
    out->sub_count = 0;
    if (shape->hash_bytes != 0) {
        out->flags = LS_RECORD_EXPLICIT_HASH_KEY;
        out->explicit_hash_key = (ls_hash_key){lsi_read_u64le(key + shape->key_bytes),
                                               lsi_read_u64le(key + shape->key_bytes + 8)};
    }
}

/* Where the first record begins. False: the extension area breaks its rules. */
static inline bool lsi_frame_first_record(const unsigned char *at, const lsi_frame *frame, uint32_t *offset)
{
    *offset = LSI_FRAME_HEADER_BYTES;
    if ((frame->flags & LSI_FRAME_EXTENDED) == 0)
        return true;
    uint32_t extension = lsi_read_u32le(at + LSI_FRAME_HEADER_BYTES); /* F2 made sure of eight bytes. */
    *offset += extension;
    return extension >= 8 && extension % 8 == 0 && extension <= frame->bytes - LSI_FRAME_HEADER_BYTES;
}

/* Steps through the records. `offset` begins at 0 and ends at frame->bytes. As lsi_record_view. False: the body breaks
 * its rules (F4). */
static inline bool lsi_frame_next_record(const unsigned char *at, const lsi_frame *frame, uint32_t *offset,
                                         ls_record *out)
{
    lsi_record_shape shape;

    if ((*offset == 0 && !lsi_frame_first_record(at, frame, offset)) ||
        !lsi_record_read_shape(at + *offset, frame->bytes - *offset, &shape))
        return false;
    lsi_record_view(at + *offset, &shape, out);
    *offset += shape.bytes;
    return true;
}

/* ---- making frames, outside any lock ---- */

/* Before each draft: what its header moves back by when it is sealed, in place (seal.h). */
#define LSI_DRAFT_ROOM_BYTES 32u

typedef struct lsi_draft { /* a frame but for its place, number and time */
    size_t at;             /* in the framer's buffer, or in `packed` when it is compressed; the room lies before it */
    uint32_t bytes, count;
    uint64_t body_sum;     /* not yet salted; 0 when the framer seals */
    uint8_t codec;
    uint32_t payload_bytes; /* of keys and data */
    uint32_t odd; /* 0: a record put alone, of one payload unit. Else LSI_DRAFT_OF_BATCH, or not, and the payload units
                     above one for each record */
} lsi_draft;
#define LSI_DRAFT_OF_BATCH UINT32_C(0x80000000)

struct lsi_framer {
    const lsi_env *env;
    unsigned char *buffer;
    size_t capacity;
    lsi_draft *drafts;
    size_t draft_count, draft_capacity;
    int64_t drafted_us; /* when, by the wall clock: the drafts' arrival */
    uint64_t decider;   /* not 0: what is placed is of a step that this stream decides */
    lsi_stamps stamps;

    /* What drafts are made for: */
    uint8_t codec; /* compressed with this, where it gains */
    bool seals;    /* to be sealed, and without a sum */
    struct lsi_compressor *compressor;
    unsigned char *packed; /* compressed drafts */
    size_t packed_capacity;

    struct lsi_cipher *cipher; /* NULL: nothing was sealed yet */

    /* Of a numbered put (numbered.c), of which there is one draft: */
    uint32_t tail_bytes;      /* which it ends with; 0 for others */
    uint32_t *left, *now;     /* indexes of entries that were not put before: as they are drafted, and as found now */
    size_t left_capacity, now_capacity;
};

static inline unsigned char *lsi_draft_at(const lsi_framer *framer, const lsi_draft *draft)
{
    return (draft->codec == LSI_CODEC_PLAIN ? framer->buffer : framer->packed) + draft->at;
}

/* Drafts frames for the entries, cut at LSI_FRAME_CUT_BYTES, or one frame when `atomic` (TOO_LARGE beyond 16 MiB), and
 * compresses them where the framer's codec says so and it gains. */
ls_status lsi_framer_draft(lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks, uint32_t count,
                           bool atomic);
/* The same as one frame of a numbered put: numbers as `options` and `users` of lsi_log_numbered say. */
ls_status lsi_framer_draft_numbered(lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                                    uint32_t count, const ls_put_options *options, const uint32_t *users);
void lsi_framer_place_numbered(lsi_framer *framer, const lsi_draft *draft, uint64_t seed, uint64_t position,
                               ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end);
/* `frame->body_sum` is not salted. Of a step `decider` stands in the place of the durable end. */
void lsi_frame_write_header(unsigned char *at, const lsi_frame *frame, uint64_t seed, uint64_t position);
/* Gives a draft its place: writes the header in the buffer. Short, for it happens under the shard's lock. */
void lsi_framer_place(lsi_framer *framer, const lsi_draft *draft, uint64_t seed, uint64_t position,
                      ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end);

#endif
