/* What the Python package needs of C besides the public calls: whatever would cost an object per record, and whatever
 * Python's threads would do at once.
 *
 * Everything here is called without the GIL. Names in this file are seen by Python alone; declarations.py reads the
 * part between the two marks, which therefore is plain declarations. */
#ifndef LIBSTREAM_PYTHON_NATIVE_H
#define LIBSTREAM_PYTHON_NATIVE_H

#include <libstream/libstream.h>

/* BEGIN: read by declarations.py */

/* ---- putting ---- */

/* A producer that any number of Python's threads may call at once: they take turns. */
typedef struct lsi_py_producer lsi_py_producer;

lsi_py_producer *lsi_py_producer_new(void); /* as one that is closed; NULL: no memory */
ls_status lsi_py_producer_open(ls_stream *stream, lsi_py_producer *producer); /* once */

/* Waits for the call that is under way, or answers LSI_PY_INTERRUPTED as above: then it is open still. Whoever calls
 * afterwards is answered LSI_PY_CLOSED. The memory stays until lsi_py_producer_free, since another thread may be about
 * to call. NULL is accepted. */
ls_status lsi_py_producer_close(lsi_py_producer *producer);
int lsi_py_producer_is_within(const lsi_py_producer *producer); /* 1: this thread is in a call of it */
void lsi_py_producer_free(lsi_py_producer *producer);

/* Answered beside the statuses: the producer was closed. */
#define LSI_PY_CLOSED 1

/* As well: another thread has the producer, and `wait` said not to wait for it. Nothing was done. */
#define LSI_PY_INTERRUPTED 3

/* As well: this thread is in a call of the producer, which has called what calls it now. Nothing was done. */
#define LSI_PY_WITHIN 4

/* Who is asked by a thread that waits for its turn; set once, before a producer is opened. */
void lsi_py_set_wait(ls_wait_callback wait);

/* ls_producer_put in one word, for reading a struct costs Python more than the put does: shard and number, or
 * LSI_PY_PUT_WIDE when they do not fit, then lsi_py_wide has them; or the status, negated. */
#define LSI_PY_SEQNO_BITS 46
#define LSI_PY_PUT_WIDE (-2)
int64_t lsi_py_put(lsi_py_producer *producer, const char *key, size_t key_bytes, const char *data, size_t data_bytes,
                   const ls_put_options *options);

/* Where the last lsi_py_put of this thread put its record. */
ls_record_id lsi_py_wide(void);

/* ls_producer_put_batch of entries that libstream._walk wrote. `hash_keys`: NULL, or a pointer for each record, itself
 * NULL where its key decides. */
ls_status lsi_py_put_entries(lsi_py_producer *producer, size_t count, ls_put_entry *entries,
                             const ls_hash_key *const *hash_keys, const ls_put_options *options, ls_put_result *results,
                             size_t *failed);

/* Pieces of a buffer: by offsets, by lengths, all of one size, or by Arrow's views; and those of another behind
 * them. */
typedef struct lsi_py_pieces {
    const struct lsi_py_pieces *next; /* NULL: none */
    size_t count;                     /* how many there are before those of `next`; else not looked at */
    const char *bytes;
    size_t bytes_size;
    const void *offsets; /* count + 1 of them; NULL: see `lengths` */
    const void *lengths; /* count of them, pieces one behind the other; NULL: see `each_bytes` */
    size_t each_bytes;   /* the size of each, one behind the other */
    uint32_t width;      /* 4 or 8: bytes of an offset or a length, as int32_t or int64_t; 0: sizes are `each_bytes` */
    uint32_t is_one;     /* 1: every piece is the whole buffer */
    const void *views;   /* count of them, 16 bytes each, which hold a short piece or say where it is; NULL: as above */
    const char *const *buffers; /* ... the buffers that they speak of */
    const size_t *buffer_sizes;
    size_t buffer_count;
} lsi_py_pieces;

/* ls_producer_put_batch of pieces, else as lsi_py_put_entries. LS_ERR_INVALID_ARGUMENT without a call, when offsets go
 * back or leave their buffer: then `*bad` is the index, else it is `count`. */
ls_status lsi_py_put_pieces(lsi_py_producer *producer, size_t count, const lsi_py_pieces *keys,
                            const lsi_py_pieces *data, const ls_hash_key *const *hash_keys,
                            const ls_put_options *options, ls_put_result *results, size_t *failed, size_t *bad);

ls_status lsi_py_flush(lsi_py_producer *producer);
ls_status lsi_py_producer_repeats(lsi_py_producer *producer, uint64_t *count); /* 0 of one that is closed */

/* An asynchronous producer's outcomes, counted by its thread without the GIL: an ls_outcome_callback. */
typedef struct lsi_py_outcomes lsi_py_outcomes;
lsi_py_outcomes *lsi_py_outcomes_new(void); /* NULL: no memory */
void lsi_py_outcomes_note(const ls_async_outcome *outcome, void *outcomes);
void lsi_py_outcomes_free(lsi_py_outcomes *outcomes);

/* How many records were not stored since this was asked last; of the first of them status and message. */
uint64_t lsi_py_outcomes_take(lsi_py_outcomes *outcomes, ls_status *status, char *message, size_t message_bytes);

/* ls_async_producer_put in one word, as lsi_py_put: the ticket, or the status, negated. */
int64_t lsi_py_async_put(ls_async_producer *producer, const char *key, size_t key_bytes, const char *data,
                         size_t data_bytes, const ls_hash_key *hash_key, uintptr_t tag, int64_t timeout_ms);

/* ls_async_producer_put of entries that libstream._walk wrote, until one of them is refused: `*done` says how many were
 * not, and `tickets` has theirs. */
ls_status lsi_py_async_put_entries(ls_async_producer *producer, const ls_put_entry *entries, size_t count,
                                   int64_t timeout_ms, uint64_t *tickets, size_t *done);

/* ---- reading ---- */

/* What a batch has, for libstream._walk to copy: the records are the library's. */
typedef struct lsi_py_page {
    const ls_batch *batch;    /* for as long as that is there, as its records; NULL of a transform's */
    const ls_record *records;
    size_t count;
    size_t data_bytes;
    size_t key_bytes;
    size_t sub_count;     /* 0, or count when any is of an aggregate, or encrypted */
    uint32_t *subs;       /* three for each: its place in the aggregate, how many that has, LS_RECORD_ flags */
    size_t explicit_count;
    ls_hash_key *explicit_keys; /* explicit_count of them */
    uint32_t *explicit_at;      /* whose they are */
    int64_t millis_behind_latest;
    uint32_t shard;
    uint32_t child_count;
    uint32_t children[2]; /* more a shard cannot have */
    int32_t is_shard_end;
    uint32_t reserved;
    ls_record *own;       /* a transform's records, which lie nowhere together */
    size_t own_room;      /* what the allocations hold */
    size_t sub_room;
    size_t explicit_room;
} lsi_py_page;

/* Makes the page one of this batch. It is zeroed before its first use; its memory is used again. LS_ERR_NO_MEMORY: the
 * page is empty. */
ls_status lsi_py_page_fill(lsi_py_page *page, const ls_batch *batch);
ls_status lsi_py_page_fill_transform(lsi_py_page *page, const ls_transform *batch); /* the same of a transform's */
void lsi_py_page_release(lsi_py_page *page);

/* ls_iterator_next and lsi_py_page_fill in one. */
ls_status lsi_py_next(ls_iterator *iterator, const ls_next_options *options, lsi_py_page *page);

/* ---- time for tests ---- */

/* A clock that a program sets: an ls_clock_callback that needs no GIL, since it is called under locks of the store. */
typedef struct lsi_py_clock lsi_py_clock;
lsi_py_clock *lsi_py_clock_new(int64_t now_us); /* NULL: no memory */
void lsi_py_clock_set(lsi_py_clock *clock, int64_t now_us);
int64_t lsi_py_clock_now(void *clock);
void lsi_py_clock_free(lsi_py_clock *clock);

/* END */

#endif
