/* Inside storage: sealed segments (X4), whose frames are encrypted, and what is done to a frame's body on its way to
 * the disk and back. FORMAT.md, "Sealed segments" and "Packed bodies". */
#ifndef LSI_STORAGE_SEAL_H
#define LSI_STORAGE_SEAL_H

#include "base/compress.h"
#include "base/crypto.h"
#include "storage/frame.h"
#include "storage/segment.h"

/* Before what is sealed: the nonce, 4 bytes of 0, the tag. */
#define LSI_SEAL_BYTES 32u
enum { LSI_SEAL_NONCE_AT = 0, LSI_SEAL_TAG_AT = 16 };
#define LSI_SEAL_BOUND_BYTES 56u /* what its tag binds besides body and tail */
/* Before what is compressed: its size when it is plain, and packed. */
#define LSI_PACK_BYTES 8u
#define LSI_PACK_BODY_BYTES_MIN 4096u /* smaller bodies are not worth it */

static inline bool lsi_segment_is_sealed(const lsi_segment *segment)
{
    return segment->header.terms.key_id_bytes != 0;
}

static inline uint8_t lsi_segment_codec(const lsi_segment *segment)
{
    return segment->header.terms.codec == LSI_CODEC_ZSTD ? LSI_CODEC_ZSTD : LSI_CODEC_PLAIN; /* a later one: none */
}

/* ---- seal.c ---- */

/* The segment's own key, from that of its terms, unless it is there already. `ask`: the application may be asked, so no
 * lock is held. Without: `segment->key` stays NULL when the stream's key is not at hand. KEY: there is none, or another
 * one. One thread at a time for one segment. */
ls_status lsi_segment_find_key(const lsi_log_config *config, lsi_segment *segment, bool ask);
/* So that it is at hand from then on. KEY as above. */
ls_status lsi_log_ask_for_key(const lsi_log_config *config, const lsi_log_terms *terms);
/* Whether lsi_segment_find_key would find a key for `terms` without asking. */
bool lsi_key_is_at_hand(const lsi_log_config *config, const lsi_log_terms *terms);

/* A cipher for the framer, unless it has one; outside any lock. */
ls_status lsi_framer_make_sealing(lsi_framer *framer);
/* As lsi_framer_place, in place of the draft, of which nothing is left: `*out` is the whole frame, LSI_SEAL_BYTES
 * longer. TOO_LARGE: no frame can hold it. Locks: append_lock. */
ls_status lsi_framer_seal(lsi_framer *framer, const lsi_draft *draft, lsi_segment *segment, uint64_t position,
                          ls_seqno first_seqno, int64_t arrival_us, uint64_t durable_end, const unsigned char **out);
/* Opens the body of a sealed frame at `at` into `out`, LSI_SEAL_BYTES shorter. Of `frame` the tail was taken, which is
 * behind it; `bound` has room for that and LSI_SEAL_BOUND_BYTES more. */
ls_status lsi_frame_unseal(lsi_cipher *cipher, const lsi_segment *segment, const unsigned char *at,
                           const lsi_frame *frame, uint32_t tail_bytes, unsigned char *bound, unsigned char *out,
                           bool *is_right);

/* ---- unpack.c: bodies as the records are in them ---- */

/* Memory for clear bodies, which never move. */
typedef struct lsi_clear_page {
    unsigned char *bytes;
    size_t capacity;
} lsi_clear_page;

typedef struct lsi_unpacker {
    const lsi_log_config *config;
    lsi_cipher *cipher;
    lsi_decompressor *decompressor;
    lsi_clear_page *pages;
    size_t page_count, page_capacity;
    size_t page;         /* the one that is being filled */
    size_t filled;       /* of it */
    lsi_clear_page scratch; /* what was opened and is still compressed */
    lsi_clear_page bound;   /* what the tag of a numbered frame binds */
} lsi_unpacker;

/* Whether a frame must go through lsi_unpack before its records can be looked at. */
static inline bool lsi_frame_is_packed(const lsi_frame *frame)
{
    return frame->codec != LSI_CODEC_PLAIN || (frame->flags & (LSI_FRAME_SEALED | LSI_FRAME_NUMBERED)) != 0;
}

void lsi_unpacker_begin(lsi_unpacker *unpacker, const lsi_log_config *config); /* allocates nothing */
void lsi_unpacker_end(lsi_unpacker *unpacker);
/* Nobody looks any more at what was unpacked before, or only at the last of it. */
void lsi_unpacker_reuse(lsi_unpacker *unpacker, bool keep_last);
/* A checked frame, tail and all, as it was before it was packed, without the tail: at `*clear`, a view until
 * lsi_unpacker_reuse, with the room of a header before its body, and of frame->bytes then. `*is_right` false: it breaks
 * the rules (F5, F6), or was changed by one who made the sums right again; that is damage. KEY: as
 * lsi_segment_find_key; nobody has looked. */
ls_status lsi_unpack(lsi_unpacker *unpacker, lsi_segment *segment, const unsigned char *at, lsi_frame *frame,
                     const unsigned char **clear, bool *is_right);

#endif
