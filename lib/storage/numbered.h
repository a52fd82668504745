/* Inside storage: frames whose records carry numbers of a producer, and what a log remembers of producers.
 *
 *  N1  Record and memory of it are one frame: what a log remembers is what its frames say, in their order, from a
 *      snapshot on that was made of the frames before it. So no crash can part the two.
 *  N2  The snapshot, the file `producers`, is of a position before which everything is durable and stays. It is
 *      replaced at each roll, so no more than about a segment is walked by who looks for the first time; and in the
 *      children of a closed log it is what their parents remembered.
 *  N3  Whether a record was put before is decided under append_lock, after all frames before committed_end were looked
 *      at. So all processes remember the same.
 *  N4  The segment list says that there is such a file before the first numbered frame is written. From then on a
 *      missing one is damage (R6). */
#ifndef LSI_STORAGE_NUMBERED_H
#define LSI_STORAGE_NUMBERED_H

#include "storage/frame.h"
#include "storage/segment.h"

/* ---- numbered.c: the tail of a frame. FORMAT.md, "Numbers" ---- */

#define LSI_TAIL_BYTES 32u /* without the list of differences */

typedef struct lsi_tail {
    ls_producer_id producer;
    uint64_t first, last;      /* numbers of the frame's first record and its last */
    const unsigned char *list; /* differences between them, a view; behind it, from a multiple of 8 on, the counts */
    uint32_t list_bytes;       /* 0: each is one more than the one before */
    uint32_t counts_bytes;     /* how many numbers each record has; 0: one */
} lsi_tail;

/* Takes the tail off a checked frame: frame->bytes is then what it would be without. False: it breaks the rules. */
static inline bool lsi_frame_take_tail(const unsigned char *at, lsi_frame *frame)
{
    if ((frame->flags & LSI_FRAME_NUMBERED) == 0)
        return true;
    uint32_t room = frame->bytes - LSI_FRAME_HEADER_BYTES - LSI_RECORD_HEADER_BYTES; /* F2 */
    if (room < LSI_TAIL_BYTES)
        return false;
    uint64_t bytes = LSI_TAIL_BYTES + lsi_round_up(lsi_read_u32le(at + frame->bytes - 8), 8) +
                     lsi_round_up(lsi_read_u32le(at + frame->bytes - 4), 8);
    if (bytes > room)
        return false;
    frame->bytes -= (uint32_t)bytes;
    return true;
}

/* Of a checked frame that has one. False: it breaks the rules. */
bool lsi_tail_read(const unsigned char *at, const lsi_frame *frame, lsi_tail *out);
/* How many bytes it takes for these records, and the tail itself. `picks` as of lsi_log_append, `users` as of
 * lsi_log_numbered. */
uint32_t lsi_tail_bytes(const ls_put_options *options, const uint32_t *picks, const uint32_t *users, uint32_t count);
void lsi_tail_write(unsigned char *at, const ls_put_options *options, const uint32_t *picks, const uint32_t *users,
                    uint32_t count, uint32_t bytes);
/* The number behind `number`, by the list from `*offset` on. False: the list ends, or breaks the rules. Of counts: how
 * many numbers the records up to the next one have, as `number` was before it. */
bool lsi_tail_next(const unsigned char *list, uint32_t list_bytes, uint32_t *offset, uint64_t *number);
/* An item of any such list, and how it is written: 7 bits in each byte. */
bool lsi_item_read(const unsigned char *list, uint32_t list_bytes, uint32_t *offset, uint64_t *item);
unsigned char *lsi_item_write(unsigned char *at, uint64_t item);
#define LSI_ITEM_BYTES_MAX 10u

static inline uint64_t lsi_number_of(const ls_put_options *options, uint32_t entry)
{
    return options->numbers != NULL ? options->numbers[entry] : options->number + entry;
}

/* How many numbers so many records have. */
static inline uint32_t lsi_numbers_of(const uint32_t *users, uint32_t count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; users != NULL && i < count; i++)
        sum += users[i];
    return users != NULL ? sum : count;
}

/* ---- runs.c: what is remembered of one producer, packed ---- */

/* Numbers of a producer that rise, in records of one shard whose sequence numbers rise. Either of several frames, each
 * record with a number: then `list` has the gaps. Or, with counts, of one frame whose records have several numbers
 * each: then `list` has its differences and behind them its counts. FORMAT.md, "Numbers". */
typedef struct lsi_run {
    uint64_t first, last;
    ls_seqno seqno; /* of the first */
    uint32_t shard;
    uint32_t list_bytes, counts_bytes;
    unsigned char *list;
    size_t capacity;        /* of the list */
    uint64_t span_first;    /* The numbers behind the last gap, up to `last`, follow each other, as their records do; */
    ls_seqno span_seqno;    /* the first one's record. */
} lsi_run;

#define LSI_RUN_BYTES 40u         /* of a run in the file, before its lists */
#define LSI_RUN_LIST_BYTES 512u /* With so much a run takes no further frame: it is looked through for a repeat. */

static inline uint32_t lsi_run_lists_bytes(const lsi_run *run)
{
    return run->list_bytes + run->counts_bytes;
}

/* What it takes of the bounds: its bytes in the file. */
static inline uint64_t lsi_run_bytes(const lsi_run *run)
{
    return LSI_RUN_BYTES + lsi_round_up(lsi_run_lists_bytes(run), 8);
}

/* A frame as a run of its own. NO_MEMORY: the run is not to be used, but lsi_run_drop frees it. */
ls_status lsi_run_begin(const lsi_memory *memory, lsi_run *run, const lsi_tail *tail, uint32_t shard,
                        ls_seqno first_seqno);
/* Whether it takes the frame, and taking it. NO_MEMORY as above. */
bool lsi_run_takes(const lsi_run *run, const lsi_tail *tail, uint32_t shard, ls_seqno first_seqno);
ls_status lsi_run_take(const lsi_memory *memory, lsi_run *run, const lsi_tail *tail, ls_seqno first_seqno);
ls_status lsi_run_copy(const lsi_memory *memory, lsi_run *run, const lsi_run *from);
void lsi_run_drop(const lsi_memory *memory, lsi_run *run);
/* Of one whose fields come from anywhere: whether its lists are what they should be. Sets its last span. */
bool lsi_run_is_sound(lsi_run *run);

/* Where the last number was found: rising numbers are sought from there, so a batch costs as much as its lists. */
typedef struct lsi_number_cursor {
    const lsi_run *run; /* NULL: nowhere */
    uint32_t offset;    /* in the list */
    uint64_t behind, at, end; /* Without counts: at..end follow each other, and are the first behind `behind`. With
                               * counts: `at` is the number. */
    ls_seqno seqno;           /* of `at`, without counts */
    uint64_t index;           /* With counts: how many of the run are before the number; */
    uint32_t counts_offset;
    uint64_t record, record_begin, record_end; /* the record's index, and which numbers it has, by index. */
    uint32_t sub_seqno, sub_count; /* its place among the record's numbers, and how many there are; 0, 0: it is alone */
} lsi_number_cursor;
/* Whether the number is in the run, and then in which record. */
bool lsi_run_find(const lsi_run *run, uint64_t number, lsi_number_cursor *cursor, ls_seqno *seqno);

/* ---- remembered.c: producers in memory ---- */

/* M1: numbers that are not above the floor and in no run are those of which nobody knows any more. */
typedef struct lsi_known_producer {
    ls_producer_id id;
    uint64_t floor;
    uint64_t top;                /* No number that it ever put is above it. */
    int64_t used_us;             /* arrival of its last frame */
    uint32_t next, older, newer; /* remembered.c's */
    uint32_t run_count;
    lsi_run *runs; /* oldest first */
    uint64_t bytes; /* of the runs */
    lsi_run *room; /* what `runs` points into */
    size_t room_count;
} lsi_known_producer;

typedef struct lsi_remembered lsi_remembered;
#define LSI_RUNS_BYTES_MAX (UINT64_C(8) << 20) /* of all producers' runs; M3 */

lsi_remembered *lsi_remembered_new(const lsi_env *env); /* NULL: no memory */
void lsi_remembered_free(lsi_remembered *of);           /* Accepts NULL. */
uint32_t lsi_remembered_count(const lsi_remembered *of);
void lsi_remembered_each(const lsi_remembered *of, void (*each)(void *user, const lsi_known_producer *producer),
                         void *user); /* the least recent first */
/* A frame was written. NO_MEMORY: what is remembered is then not to be used any more. */
ls_status lsi_remember(lsi_remembered *of, const lsi_tail *tail, uint32_t shard, ls_seqno first_seqno,
                       int64_t arrival_us);
typedef enum {
    LSI_NUMBER_NEW,
    LSI_NUMBER_REPEATED, /* `*shard`, `*seqno`: of the first one */
    LSI_NUMBER_EXPIRED   /* nobody knows */
} lsi_number_is;
lsi_number_is lsi_remembered_find(const lsi_remembered *of, ls_producer_id producer, uint64_t number,
                                  lsi_number_cursor *cursor, uint32_t *shard, ls_seqno *seqno);
/* Whether numbers from this one on are all new, which is nearly always asked first. */
bool lsi_remembered_is_new_from(const lsi_remembered *of, ls_producer_id producer, uint64_t number);
/* What both remember, for who follows both; `b` may be NULL. A number is REPEATED in it, or EXPIRED, where it is so in
 * one of them. */
ls_status lsi_remembered_merge(const lsi_remembered *a, const lsi_remembered *b, lsi_remembered **out);
/* The payload of the file, as of `position` (lsi_free), and back. */
ls_status lsi_remembered_encode(const lsi_remembered *of, uint64_t position, void **out, size_t *size);
ls_status lsi_remembered_decode(const lsi_env *env, const char *name, const unsigned char *payload, size_t size,
                                uint64_t *position, lsi_remembered **out);

/* ---- producers.c: and of a log ---- */

#define LSI_PRODUCERS_NAME "producers"

/* Locks, all of them: append_lock held. */

/* N3. What it refused to say stays unsaid: CORRUPT, IO, NO_MEMORY. */
ls_status lsi_log_recall(lsi_log *log, lsi_slot *slot);
/* N4, before the first frame. */
ls_status lsi_log_begin_numbers(lsi_log *log, lsi_slot *slot);
/* N2: a segment is about to be sealed; before `end` everything is durable, and `list` says where the frames are. Of a
 * log without numbers nothing is done. */
ls_status lsi_log_snapshot_numbers(lsi_log *log, lsi_slot *slot, lsi_segment_list *list, uint64_t end);
void lsi_log_forget_numbers(lsi_log *log); /* in this process */

/* append.c's: the records of a call that are to be written. */
typedef struct lsi_pending {
    const uint32_t *picks; /* NULL: the first `count` entries */
    uint32_t count;
} lsi_pending;
/* N3: tells what became of the records that were put before; the others are pending. `*is_drafted`: these are what was
 * pending already. */
ls_status lsi_log_sort_numbers(lsi_log *log, lsi_slot *slot, lsi_framer *framer, const uint32_t *picks, uint32_t count,
                               lsi_log_numbered *numbered, lsi_pending *pending, bool *is_drafted);
/* The frame of what was pending is written, and ends where committed_end is. */
void lsi_log_note_numbers(lsi_log *log, lsi_slot *slot, const lsi_framer *framer, const lsi_draft *draft,
                          ls_seqno first_seqno, lsi_log_numbered *numbered, const lsi_pending *pending);

/* ---- for copying, verifying and repairing ---- */

ls_status lsi_producers_load(const lsi_log_config *config, uint64_t *position, lsi_remembered **out);
ls_status lsi_producers_store(const lsi_log_config *config, uint64_t position, const lsi_remembered *of);
/* A snapshot of what the log's frames still say. What was handed down to it, and what was trimmed, is forgotten. */
ls_status lsi_log_make_snapshot(lsi_log *log, lsi_slot *slot);

#endif
