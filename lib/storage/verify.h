/* Inside storage: what verifying and repairing one log is made of. */
#ifndef LSI_STORAGE_VERIFY_H
#define LSI_STORAGE_VERIFY_H

#include "base/status.h"
#include "storage/log.h"

/* Fields of a segment's header, for reading a damaged one. FORMAT.md, "Segment". */
#define LSI_SEGMENT_BASE_AT 56u
#define LSI_SEGMENT_CREATED_AT 88u
#define LSI_SEGMENT_SALT_AT 96u
#define LSI_SEGMENT_PREVIOUS_AT 128u
#define LSI_SEGMENT_FRAMES_MAX_AT 152u

/* Positions that should be frames and are none, in one segment. */
typedef struct lsi_gap {
    ls_finding_kind kind;
    uint32_t number;
    uint64_t from, to;
    uint64_t offset;
    ls_seqno first_seqno, last_seqno; /* of the records lost; 0: none */
    uint64_t room_bytes; /* all that the records lost can have taken; UINT64_MAX: that bounds nothing */
    int err;
    bool open_ended;  /* fewer may be lost: nobody knows how far the numbers went */
    bool salvageable; /* a header that can be written anew: nothing is lost */
} lsi_gap;

typedef struct lsi_verify {
    const lsi_log_config *config;
    lsi_inspection *inspection;
    bool repair;
    bool beside;         /* somebody has the store open */
    uint32_t known_segment; /* of it shared memory knows how far its numbers went: below `known_next`; 0: of none */
    ls_seqno known_next;
    char why_snapshot[LSI_MESSAGE_BYTES]; /* producers_check.c: why one is to be made; "": it is not */
    lsi_gap *gaps;
    size_t gap_count, gap_capacity;
    lsi_segment_list *list; /* what a repair would make of a list that cannot be used; NULL: the file's */
    lsi_segment_header *salvaged; /* and of headers that cannot */
    size_t salvaged_count, salvaged_capacity;
} lsi_verify;

/* A shard of which no file is left that can be used: what shared memory still says of it, as far as it can be. */
typedef struct lsi_lost_log {
    uint32_t number;      /* of its last segment; at least 1 */
    uint64_t end;         /* position; 8 where it is not known */
    ls_seqno seqno_limit; /* no number was given from here on; 0: not known */
    int64_t arrival_us;   /* of its last record; 0: not known */
} lsi_lost_log;

/* A segment list made from the segments' headers, in memory: what repair would write, and a dry run goes by. */
typedef struct lsi_recovered_list {
    lsi_segment_list *list;          /* the caller's reference; NULL: none can be made */
    uint32_t unreadable;             /* segments of it that are not there or have no readable header */
    ls_seqno next_seqno;             /* of the shard, as shared memory knows; 0: not known */
    bool is_lost;                    /* none can be made, and the shard may begin again: lsi_lost_make_anew */
    lsi_lost_log known;              /* of one that is lost */
    char why[2 * LSI_MESSAGE_BYTES]; /* the list cannot be used, and, if none can be made, why not; label included */
    const char *lost, *advice;       /* of the shard's records, and what to do, when none can be made */
} lsi_recovered_list;
/* Writes nothing. `slot`: of the shard, NULL when nothing is known. This thread's last error is why the list that is
 * there cannot be used. */
ls_status lsi_list_recover(const lsi_log_config *config, const lsi_slot *slot, lsi_recovered_list *out);
int lsi_stop_at_once(void *user, const char *entry, bool is_dir); /* for listing what only has to be listable */
/* `done`: NULL, or what was done: it was stored. */
void lsi_list_tell(const lsi_log_config *config, const lsi_recovered_list *recovered, const char *done,
                   lsi_inspection *inspection);

/* lost.c: what is known of a shard whose files are lost. `slot`: see lsi_list_recover. */
void lsi_lost_know(const lsi_log_config *config, const lsi_slot *slot, lsi_lost_log *out);
/* Makes its log anew, empty and behind all that it may have given; what stands in its place is set aside. `done` says
 * what was done. */
#define LSI_LOST_DONE_BYTES (LSI_KEPT_NAME_BYTES + 128)
ls_status lsi_lost_make_anew(const lsi_log_config *config, const lsi_recovered_list *lost,
                             char done[LSI_LOST_DONE_BYTES]);

/* index_check.c: an index in memory, for one pass over its segment. */
typedef struct lsi_index_copy {
    unsigned char *bytes; /* the caller frees it (lsi_free) */
    size_t size;
    char name[LSI_SEGMENT_NAME_BYTES];
    char why_not[128]; /* why it cannot be used; "": it can, or there is none */
} lsi_index_copy;
ls_status lsi_index_load(const lsi_verify *verify, uint32_t number, lsi_index_copy *out);
void lsi_index_strike(lsi_index_copy *index, const lsi_segment *segment, uint64_t position, const lsi_frame *frame);
void lsi_index_tell(lsi_verify *verify, const lsi_index_copy *index, const lsi_segment *segment, uint64_t end,
                    bool has_gaps);

/* producers_check.c: what is remembered of producers, of a log that ends at `end`. A repair is told of when it is
 * done. */
ls_status lsi_producers_check(lsi_verify *verify, const lsi_segment_list *list, uint64_t end);
ls_status lsi_producers_repair(lsi_verify *verify, lsi_log *log, lsi_slot *slot);

/* A copy of `from` (NULL: empty), one generation on, with room for so many in all. NULL: no memory. */
lsi_segment_list *lsi_list_with_room(const lsi_env *env, const lsi_segment_list *from, size_t entries, size_t skips);

/* What is there of a segment's header, zeros beyond the end of the file. */
ls_status lsi_header_read(const lsi_log_config *config, uint32_t number, unsigned char bytes[LSI_SEGMENT_HEADER_BYTES],
                          uint64_t *file_bytes);

ls_status lsi_gap_add(lsi_verify *verify, lsi_gap gap);
/* The header of segment `i` is damaged, and the system would not read what tells whether it can be written anew (this
 * thread's last error): nothing of the segment may be given up. */
ls_status lsi_gap_add_unread(lsi_verify *verify, const lsi_segment_list *list, uint32_t i);
void lsi_gaps_tell(lsi_verify *verify, bool repaired); /* and forgets them */
/* Walks all segments, gathers gaps and tells everything else. CORRUPT: the list. */
ls_status lsi_verify_segments(lsi_verify *verify, const lsi_slot *slot, bool current);

/* unnamed.c: files of the log's directory that its list does not name. */
ls_status lsi_unnamed_tell(lsi_verify *verify, const lsi_segment_list *list);
uint32_t lsi_segment_number_of(const char *entry, const char *suffix); /* of "00000001.seg"; 0: not such a name */
/* Whether segment `i`, whose header is damaged, has its salt, so that a header can be made under which its frames are
 * right. Failures: nobody knows. */
ls_status lsi_header_salvage(const lsi_log_config *config, const lsi_segment_list *list, uint32_t i,
                             lsi_segment_header *out, bool *found);

/* findings.c: the end of a line about records lost: "at most 7 records lost, seqno 1..7". `finding` has the rest. */
#define LSI_LOST_BYTES 128
void lsi_say_lost(const ls_finding *finding, bool at_most, char text[LSI_LOST_BYTES]);
/* What is wrong with a segment's header, with label and name: what opening it says. */
void lsi_say_header(const lsi_log_config *config, uint32_t number, char text[LSI_MESSAGE_BYTES]);
const char *lsi_unreadable_advice(int err); /* when the system would not read a file */
/* The control file states an end of this log behind which there are frames. */
void lsi_older_tell(const lsi_log_config *config, const lsi_slot *slot, bool repaired, lsi_inspection *inspection);
/* At most so many are given up with what was not synced. */
uint64_t lsi_unsynced_records(const lsi_log_config *config, const lsi_slot *slot);

/* This thread's last error. */
static inline int lsi_last_errno(void)
{
    return lsi_error_current()->err;
}
static inline const char *lsi_last_message(void)
{
    return lsi_error_current()->message;
}

#endif
