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
#include "storage/storage.h"

#define LSI_FRAME_HEADER_BYTES 48u
#define LSI_FRAME_BYTES_MAX (16u << 20)
#define LSI_FRAME_CUT_BYTES (1u << 20) /* a batch's frames are cut here */
#define LSI_RECORD_HEADER_BYTES 8u
enum { LSI_RECORD_DATA_AT = 0, LSI_RECORD_KEY_AT = 4, LSI_RECORD_FLAGS_AT = 6 };
#define LSI_RECORD_HASHED 1u /* an explicit hash key lies between key and data */
#define LSI_RECORD_HASH_BYTES 16u

enum { LSI_FRAME_DATA = 1 };              /* kind */
enum { LSI_CODEC_PLAIN = 0 };             /* codec */
#define LSI_FRAME_EXTENDED 0x0001u        /* the body begins with an extension area */
#define LSI_FRAME_MUST_REFUSE 0xff00u     /* bits here that this release does not know: refuse the frame */

/* A frame's header, decoded. */
typedef struct lsi_frame {
    uint32_t bytes; /* header, body and padding: a multiple of 8 */
    uint32_t count;
    ls_seqno first_seqno;
    int64_t arrival_us;
    uint64_t durable_end;
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

/* Steps through a checked frame's records. `offset` begins at 0 and ends at frame->bytes. Fills everything of `out`
 * but the number, time and shard. False: the body breaks its rules (F4).
 * Inline: it is what reading a batch consists of. */
static inline bool lsi_frame_next_record(const unsigned char *at, const lsi_frame *frame, uint32_t *offset, ls_record *out)
{
    uint32_t from = *offset;

    if (from == 0) {
        from = LSI_FRAME_HEADER_BYTES;
        if ((frame->flags & LSI_FRAME_EXTENDED) != 0) {
            uint32_t extension = lsi_read_u32le(at + from); /* F2 made sure of eight bytes. */
            if (extension < 8 || extension % 8 != 0 || extension > frame->bytes - from)
                return false;
            from += extension;
        }
    }
    if (frame->bytes - from < LSI_RECORD_HEADER_BYTES)
        return false;
    uint32_t data_bytes = lsi_read_u32le(at + from + LSI_RECORD_DATA_AT);
    uint32_t key_bytes = lsi_read_u16le(at + from + LSI_RECORD_KEY_AT);
    uint32_t flags = lsi_read_u16le(at + from + LSI_RECORD_FLAGS_AT);
    uint32_t hash_bytes = (flags & LSI_RECORD_HASHED) != 0 ? LSI_RECORD_HASH_BYTES : 0;
    uint32_t room = frame->bytes - from - LSI_RECORD_HEADER_BYTES;
    if (key_bytes + hash_bytes > room || data_bytes > room - key_bytes - hash_bytes || (flags & ~LSI_RECORD_HASHED) != 0)
        return false;
    const unsigned char *key = at + from + LSI_RECORD_HEADER_BYTES;
    out->partition_key = (ls_bytes){key, key_bytes};
    out->data = (ls_bytes){key + key_bytes + hash_bytes, data_bytes};
    out->flags = 0;
    out->explicit_hash_key = (ls_hash_key){0, 0};
    if (hash_bytes != 0) {
        out->flags = LS_RECORD_EXPLICIT_HASH_KEY;
        out->explicit_hash_key = (ls_hash_key){lsi_read_u64le(key + key_bytes), lsi_read_u64le(key + key_bytes + 8)};
    }
    /* The frame is a multiple of 8, so rounding up stays inside it. */
    *offset = from + LSI_RECORD_HEADER_BYTES + (uint32_t)lsi_round_up(key_bytes + hash_bytes + (uint64_t)data_bytes, 8);
    return true;
}

/* ---- making frames, outside any lock ---- */

typedef struct lsi_draft { /* a frame but for its place, number and time */
    size_t at;             /* in the framer's buffer */
    uint32_t bytes, count;
    uint64_t body_sum;     /* not yet salted */
} lsi_draft;

struct lsi_framer {
    const lsi_env *env;
    unsigned char *buffer;
    size_t capacity;
    lsi_draft *drafts;
    size_t draft_count, draft_capacity;
};

/* Drafts frames for the entries, cut at LSI_FRAME_CUT_BYTES, or one frame when `atomic` (TOO_LARGE beyond 16 MiB). */
ls_status lsi_framer_draft(lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks, uint32_t count,
                           bool atomic);
/* Gives a draft its place: writes the header in the buffer. Short, for it happens under the shard's lock. */
void lsi_framer_place(lsi_framer *framer, const lsi_draft *draft, uint64_t seed, uint64_t position, ls_seqno first_seqno,
                      int64_t arrival_us, uint64_t durable_end);

#endif
