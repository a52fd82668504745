/* One segment file, and the list of a shard's segments. FORMAT.md, "Segment" and "Segment list". */
#ifndef LSI_STORAGE_SEGMENT_H
#define LSI_STORAGE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/env.h"
#include "storage/storage.h"

#define LSI_SEGMENT_HEADER_BYTES 4096u
#define LSI_SEGMENT_NAME_BYTES 96u
/* No log gets so far, and what is added to such a position does not wrap (X1). */
#define LSI_POSITION_MAX (UINT64_C(1) << 62)
#define LSI_SEGMENT_BYTES_MIN (UINT64_C(64) << 10) /* the engine's options say the same */
#define LSI_SEGMENT_BYTES_MAX (UINT64_C(1) << 30)

/* ---- the header ---- */

typedef struct lsi_segment_header {
    unsigned char store_id[16];
    uint64_t stream;
    uint32_t shard;
    uint32_t number;
    uint64_t base;            /* position of its first frame */
    ls_seqno base_seqno;      /* numbers of its records: base_seqno <= n < seqno_limit (D4) */
    ls_seqno seqno_limit;
    int64_t base_arrival_us;  /* no record of it is older */
    int64_t created_us;
    unsigned char salt[32];
    uint32_t previous;        /* number; 0: none */
    uint64_t previous_end;
    uint64_t chain;           /* sum of the previous header, which has its own chain */
    uint64_t frames_bytes_max;
    lsi_log_terms terms;
    bool is_packed;           /* its file is in blocks (blocks.h): what is read of it is as it was */
    uint64_t sum;             /* of the header as it was written first */
} lsi_segment_header;

/* Sets the sum. */
void lsi_segment_header_encode(lsi_segment_header *header, unsigned char bytes[LSI_SEGMENT_HEADER_BYTES]);
/* CORRUPT names `name`; VERSION for another format. Whose segment it is, is checked too (R9). */
ls_status lsi_segment_header_decode(const char *name, const unsigned char bytes[LSI_SEGMENT_HEADER_BYTES],
                                    const lsi_log_config *owner, lsi_segment_header *out);
/* Its terms alone. False: they cannot be; `terms` are then plain ones. */
bool lsi_segment_terms_decode(const unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], lsi_log_terms *terms);
/* A header of a file in blocks, and back: nothing else of it changes. The latter leaves others as they are. */
void lsi_segment_header_pack(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES]);
void lsi_segment_header_unpack(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES]);
/* Everything the header says, as the salt of its frames' sums. */
uint64_t lsi_segment_seed(const lsi_segment_header *header);

/* "<dir>/00000001.seg" and ".idx" */
void lsi_segment_name(const char *dir, uint32_t number, const char *suffix, char name[LSI_SEGMENT_NAME_BYTES]);

/* ---- an open one ---- */

typedef struct lsi_segment {
    const lsi_env *env;
    lsi_file file;
    lsi_file index;          /* opened when first needed; may stay closed */
    lsi_segment_header header;
    uint64_t seed;
    int64_t lead_us;         /* age.c: what the header says of its clock */
    int64_t fits_from_us;
    uint64_t held_from;      /* bytes from here on were written while this descriptor was open (E2) */
    lsi_lock sync_lock;      /* of this process: held while the file is synced through this descriptor */
    int sync_failed;         /* sync_lock held: what a sync answered, below 0; 0: none failed */
    unsigned char *window;   /* window.c; append_lock held */
    uint64_t window_at;      /* its offset in the file */
    size_t window_bytes;
    lsi_key *key;            /* seal.c: its own, once it was found. Of one open for writing: append_lock held */
    uint64_t writer_id;
    uint32_t nonce_count;
    _Atomic uint32_t references;
    char name[LSI_SEGMENT_NAME_BYTES];
} lsi_segment;

/* Makes the file, which must not be there (LS_ERR_EXISTS), and syncs it; its directory is the caller's to sync. */
ls_status lsi_segment_create(const lsi_log_config *owner, lsi_segment_header *header, lsi_segment **out);
ls_status lsi_segment_open(const lsi_log_config *owner, uint32_t number, bool write, lsi_segment **out);
/* To read, as if its file had this header: what a repair would write there. */
ls_status lsi_segment_open_as(const lsi_log_config *owner, const lsi_segment_header *header, lsi_segment **out);
lsi_segment *lsi_segment_ref(lsi_segment *segment);
void lsi_segment_unref(lsi_segment *segment); /* Accepts NULL. Closes with the last one. */

/* ---- the list ---- */

#define LSI_SEGMENT_SEALED 1u /* `end` is known */
#define LSI_SEGMENT_TORN 2u   /* bytes beyond `end` are a torn tail, or were given up by a reset */
#define LSI_SEGMENT_LOOKED_AT 4u /* its file is in blocks (blocks.h), or is not worth it. A hint */
#define LSI_SEGMENT_DOUBTFUL 8u /* age.c: begun while the clock was surely wrong */
#define LSI_SEGMENT_AHEAD 16u    /* age.c: begun when stamps were ahead of the clock */
#define LSI_SEGMENT_NUMBERED 32u /* of the last one: there is a file of producers (numbered.h) */
#define LSI_SEGMENT_CORRECTED 64u /* age.c: AHEAD, and begun as the clock had been set forward */

typedef struct lsi_segment_entry {
    uint32_t number;
    uint32_t flags;
    uint64_t base;
    uint64_t end; /* SEALED; else 0 */
    ls_seqno base_seqno;
    ls_seqno seqno_limit;
    int64_t base_arrival_us; /* the header's; AHEAD: by the clock instead */
    uint64_t header_sum;
    uint64_t file_bytes; /* SEALED: what the file took when it was sealed or recompressed; 0: not known */
    /* Not in the file: lsi_segment_list_find_ages. */
    int64_t newest_us; /* no record counts as arrived later, for a clock that may be right; INT64_MAX: not known */
    bool is_stamped;   /* records count as their stamps say; else all as `newest_us` */
} lsi_segment_entry;

/* Positions that readers step over, because somebody decided so with a repair or a reset; the bytes that are there, if
 * any are, stay in their file. */
typedef struct lsi_skip {
    uint64_t from;
    uint64_t to;
    ls_seqno first_seqno; /* the numbers that may be lost, inclusive; for messages */
    ls_seqno last_seqno;
} lsi_skip;

/* Whether an open segment is the one that the entry names. */
static inline bool lsi_segment_is_named(const lsi_segment *segment, const lsi_segment_entry *entry)
{
    return segment->header.sum == entry->header_sum && segment->header.base == entry->base;
}

typedef struct lsi_segment_list {
    const lsi_env *env;
    _Atomic uint32_t references;
    lsi_checked_head head;
    uint32_t count;
    uint32_t skip_count;
    ls_seqno trimmed;           /* every record with a lower number was trimmed; 0: nothing was */
    bool is_late;               /* not in the file: ages were found for a clock that has passed all stamps */
    lsi_segment_entry *entries; /* [count] ascending by number; at least one, the last is not sealed */
    lsi_skip *skips;            /* [skip_count] ascending */
} lsi_segment_list;

#define LSI_SEGMENT_LIST_NAME "segments"

ls_status lsi_segment_list_load(const lsi_log_config *owner, lsi_segment_list **out);
ls_status lsi_segment_list_store(const lsi_log_config *owner, const lsi_segment_list *list); /* D6 */
/* The whole file's bytes, for who replaces it in steps of his own; `*out` is the caller's (lsi_free). */
ls_status lsi_segment_list_encode(const lsi_log_config *owner, const lsi_segment_list *list, void **out, size_t *size);
/* The payload alone, for tests and fuzzing: checks every rule. `name` for messages. */
ls_status lsi_segment_list_decode(const lsi_env *env, const char *name, const unsigned char *payload, size_t size,
                                  lsi_segment_list **out);
/* A copy with room for one more entry and one more skip; generation is one more. */
ls_status lsi_segment_list_copy(const lsi_segment_list *list, lsi_segment_list **out);
lsi_segment_list *lsi_segment_list_ref(lsi_segment_list *list);
void lsi_segment_list_unref(lsi_segment_list *list); /* Accepts NULL. */
/* What the file of a sealed segment takes, and those of all of them. */
uint64_t lsi_segment_entry_bytes(const lsi_segment_entry *entry);
uint64_t lsi_segment_list_sealed_bytes(const lsi_segment_list *list);
static inline lsi_segment_entry *lsi_segment_list_last(const lsi_segment_list *list)
{
    return &list->entries[list->count - 1];
}
/* The skip that covers `position`; NULL: there is none. */
const lsi_skip *lsi_skip_at(const lsi_segment_list *list, uint64_t position);
/* Where the next skip behind `position` begins, at most `end`: no frame that counts reaches into it. */
uint64_t lsi_skip_next(const lsi_segment_list *list, uint64_t position, uint64_t end);
/* The last entry whose base is at or below `position`: where its frame is, or would be written. 0 below the first. */
uint32_t lsi_segment_list_find(const lsi_segment_list *list, uint64_t position);
/* ---- age.c: when records count as arrived ---- */

#define LSI_CLOCK_STEP_US INT64_C(3600000000) /* a stamp further ahead than this is not waited for */

/* By how much its stamps are ahead of the clock; 0: they are not. */
int64_t lsi_segment_lead_us(const lsi_segment_header *header);
/* A clock from then on fits while it has not gone back; INT64_MAX: lsi_segment_fits_clock is to be asked. */
int64_t lsi_segment_fits_from_us(const lsi_segment_header *header);
/* Whether a record may get a stamp in that segment now, `last_us` being the last one given; else another one begins. */
bool lsi_segment_fits_clock(const lsi_env *env, const lsi_segment_header *header, int64_t last_us, int64_t now_us);
/* Wall time less passing time, which changes when somebody sets the clock; 0: not known. */
int64_t lsi_clock_offset_us(const lsi_env *env);
/* By more than LSI_CLOCK_STEP_US since it was `offset_us`. */
bool lsi_clock_is_set_forward(const lsi_env *env, int64_t offset_us);
/* The entry of a segment that is the last one. */
void lsi_segment_entry_begin(const lsi_env *env, const lsi_segment_header *header, lsi_segment_entry *out);
/* What the header does not say: when the last record before it arrived, whose stamp is `last_us`, if both are ahead. So
 * the segment of a shard that rested goes no later than its records. */
void lsi_segment_entry_follow(lsi_segment_entry *entry, const lsi_segment_entry *old,
                              const lsi_segment_header *old_header, int64_t last_us);
/* Of a list that nobody else has yet. Those that were loaded, or noted in a slot, have it for a clock that is not
 * late, those of lsi_log_list for the clock as it is. */
void lsi_segment_list_find_ages(lsi_segment_list *list, bool is_late);
/* G4. `last_us`: the last stamp given. */
bool lsi_segment_list_is_late(const lsi_segment_list *list, int64_t last_us, int64_t now_us);
/* No record of entry `i` counts as arrived later, for who asks whether they all arrived before `before_us`. */
int64_t lsi_segment_list_newest_us(const lsi_segment_list *list, uint32_t i, int64_t before_us);
/* The first stamp in the segment that counts as arrived at or after `from_us`; INT64_MIN: any does, INT64_MAX: none. */
int64_t lsi_segment_stamp_sought(const lsi_segment_entry *entry, const lsi_segment_header *header, int64_t from_us);

/* What binds the list's file to its log. */
uint64_t lsi_segment_list_salt(const lsi_log_config *owner);

/* ---- the sparse index of a segment: a hint, never believed without looking at the frame it names ---- */

#define LSI_INDEX_BLOCK_BYTES (64u << 10)
#define LSI_INDEX_ENTRY_BYTES 32u

typedef struct lsi_index_entry {
    uint64_t position;
    ls_seqno first_seqno;
    int64_t arrival_us;
} lsi_index_entry;

/* Notes a frame: kept when it is the first that begins in its block. Errors are ignored: it is a hint. */
void lsi_index_note(const lsi_log_config *owner, lsi_segment *segment, const lsi_index_entry *entry);
/* The last entry below `end` that is not beyond what is sought: the number `seqno` if it is not 0, else the time
 * `before_us`, of which 0 and less are times as well. LSI_NO_TIME: the last one at all. False: none; begin at the
 * segment's base. */
#define LSI_NO_TIME INT64_MAX
bool lsi_index_find(const lsi_log_config *owner, lsi_segment *segment, uint64_t end, ls_seqno seqno, int64_t before_us,
                    lsi_index_entry *out);

#endif
