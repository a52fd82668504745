/* Inside storage: a reader, which read.c moves forward and seek.c anywhere. */
#ifndef LSI_STORAGE_READER_H
#define LSI_STORAGE_READER_H

#include "storage/log.h"

struct lsi_log_reader {
    lsi_log *log;
    lsi_segment_list *list;  /* as of list_generation */
    lsi_segment *segment;    /* the one `at` lies in; NULL: not opened yet */
    uint64_t at;             /* position of the next frame, or of the one that is partly given */
    ls_seqno next_seqno;     /* the next record has at least this number */
    bool at_horizon;         /* it begins wherever the horizon is by then: what is trimmed before is no loss of its */
    lsi_frame frame;         /* the one at `at`, when given_bytes is not 0 */
    uint32_t given_bytes;    /* of that frame, up to its next record */
    uint32_t given_count;
    unsigned char *buffer;
    size_t capacity;
    uint64_t buffer_at;
    size_t buffer_bytes;
    ls_record *records;
    size_t record_capacity;
};

/* Puts the reader at a place. What its buffer holds of it is kept. */
void lsi_reader_move_to(lsi_log_reader *reader, uint64_t at, ls_seqno next_seqno);
/* Takes the list as it is now. The place may no longer be in it: see lsi_reader_is_trimmed. */
ls_status lsi_reader_follow_list(lsi_log_reader *reader, lsi_slot *slot);
/* Whether records that the reader was to be given next are no longer in the list. */
bool lsi_reader_is_trimmed(const lsi_log_reader *reader);
/* Records that arrived before this are past their age. INT64_MIN: none are. */
int64_t lsi_reader_expired_before_us(const lsi_log_reader *reader);
/* Puts the reader where the oldest record is that may be shown. TRIMMED: something before it was never given to it; said
 * once, for it now begins there. */
ls_status lsi_reader_to_horizon(lsi_log_reader *reader, uint64_t published, int64_t expired_us);

#endif
