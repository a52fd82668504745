/* Inside storage: a reader, which read.c moves forward and seek.c anywhere; page.c has its bytes. */
#ifndef LSI_STORAGE_READER_H
#define LSI_STORAGE_READER_H

#include "storage/log.h"
#include "storage/seal.h"

/* What is read at once: at first, and at most. */
#define LSI_PAGE_BYTES_FIRST ((size_t)64 << 10)
#define LSI_PAGE_BYTES ((size_t)512 << 10)
#define LSI_PAGE_BYTES_SPARING ((size_t)128 << 10)

/* Memory that a run of positions was read into, or the range of a segment's file that is mapped there. */
typedef struct lsi_page {
    unsigned char *bytes;
    size_t capacity;
    lsi_segment *mapped; /* NULL: it is memory. Else a reference, and the two that follow say what is mapped. */
    uint64_t offset;     /* of its first byte in the file */
    uint64_t file_bytes; /* the file's size when it was looked at; it never shrinks (E5) */
} lsi_page;

/* What one call gives, and its limits. */
typedef struct lsi_read_batch {
    uint32_t made;
    uint32_t records_max;
    uint64_t bytes_left;
    bool is_full;
} lsi_read_batch;

/* give.h, compiled for whatever the processor has. */
typedef void lsi_give_function(lsi_log_reader *reader, uint64_t stop, lsi_read_batch *to);
lsi_give_function lsi_give_frames_plain, lsi_give_frames_avx2;

struct lsi_log_reader {
    lsi_log *log;
    lsi_segment_list *list;  /* as of list_generation */
    lsi_segment *segment;    /* the one `at` lies in; NULL: not opened yet, or given up */
    lsi_holder holder;       /* of its descriptor */
    _Atomic uint32_t in_use; /* 1 while its thread is in it, or while somebody takes its descriptor */
    uint64_t at;             /* position of the next frame, or of the one that is partly given */
    ls_seqno next_seqno;     /* the next record has at least this number */
    bool at_horizon;         /* it begins wherever the horizon is by then: what is trimmed before is no loss of its */
    bool has_given;          /* since it was put where it stands */
    int64_t stood_us;        /* what it was not given yet arrived at this time or later; INT64_MIN: not known */
    lsi_log_cut cut;         /* see lsi_log_reader_cut */
    lsi_frame frame;         /* the one at `at`, when given_bytes is not 0; unpacked, if it is packed */
    const unsigned char *shown; /* it, in the run or in what was unpacked */
    uint32_t frame_bytes;    /* what it takes of the log */
    uint32_t given_bytes;    /* of that frame, up to its next record */
    uint64_t read_bytes;     /* of keys and data, given by the last read */
    uint32_t given_count;
    const unsigned char *run; /* the bytes of positions run_at to run_end, all of one segment */
    uint64_t run_at;
    uint64_t run_end;        /* as run_at: there are none */
    lsi_page *pages;
    size_t page_capacity;
    uint32_t page_count;
    uint32_t page;           /* the one that `run` is */
    uint32_t pages_shown;    /* so many, up to `page` and around, hold what the records of this call are views of */
    size_t page_bytes;       /* how much is read next */
    size_t page_bytes_max;
    bool is_mapped;          /* pages are mapped where they can be */
    lsi_unpacker unpacker;
    ls_record *records;
    size_t record_capacity;
    lsi_give_function *give_frames;
};

/* The reader is its caller's between the two: nobody takes its descriptor. */
void lsi_reader_enter(lsi_log_reader *reader);
void lsi_reader_leave(lsi_log_reader *reader);
/* Puts the reader at a place; its segment is opened again, its bytes are read again. */
void lsi_reader_move_to(lsi_log_reader *reader, uint64_t at, ls_seqno next_seqno);
/* Takes the list as it is now. The place may no longer be in it: see lsi_reader_is_trimmed. */
ls_status lsi_reader_follow_list(lsi_log_reader *reader, lsi_slot *slot);
/* Whether records that the reader was to be given next are no longer in the list. */
bool lsi_reader_is_trimmed(const lsi_log_reader *reader);
/* See lsi_log_config. */
int64_t lsi_reader_expired_before_us(const lsi_log_reader *reader, int64_t arrival_us);
/* Puts the reader where the oldest record is that may be shown. TRIMMED: something before it was never given to it;
 * said once, for it now begins there. */
ls_status lsi_reader_to_horizon(lsi_log_reader *reader, uint64_t published);

/* The first number that the next record can have, once reading it failed with KEY. */
static inline ls_seqno lsi_reader_met(const lsi_log_reader *reader)
{
    return reader->frame.first_seqno > reader->next_seqno ? reader->frame.first_seqno : reader->next_seqno;
}

/* ---- page.c ---- */

/* Makes the run hold at least `size` bytes from reader->at, or what the file has of them; there are as many before
 * `stop`. The views that this call has made so far stay good: `made` says whether there are any. */
ls_status lsi_reader_fetch(lsi_log_reader *reader, size_t size, uint64_t stop, bool made);
void lsi_reader_drop(lsi_log_reader *reader); /* The next fetch reads anew. */
void lsi_reader_free_pages(lsi_log_reader *reader);

/* How many bytes there are from reader->at on. */
static inline size_t lsi_reader_held(const lsi_log_reader *reader)
{
    return reader->at >= reader->run_at && reader->at < reader->run_end ? (size_t)(reader->run_end - reader->at) : 0;
}
/* The byte at reader->at. */
static inline const unsigned char *lsi_reader_here(const lsi_log_reader *reader)
{
    return reader->run + (reader->at - reader->run_at);
}

#endif
