/* The C that stands between Python and the public calls: see native.h.
 *
 * N1 Nothing here touches an object of Python, so the GIL is never needed.
 * N2 A fork child takes no lock of its parent's: a thread that held one is not there. The call goes through unlocked,
 *    and the library answers LS_ERR_STATE by itself; a fork child has one thread at first, and none of its calls on an
 *    inherited handle does anything. */
#include "python/native.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASK_NS 20000000 /* as the library asks while it waits for other processes */

/* ---- forks are counted, so that a lock knows whether it is of this process ---- */

static atomic_uint forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, count_fork); /* It fails for want of memory only: the child might wait for ever. */
}

/* ---- a producer in turns ---- */

struct lsi_py_producer {
    ls_producer *producer; /* NULL: closed */
    pthread_mutex_t mutex;
    _Atomic(const void *) owner; /* whose turn it is: the address of its `here` */
    unsigned forks; /* as many as there had been when it was made */
};

static _Thread_local char here;

/* Whether this thread has it: a function that gives keys is called by the put that needs one. */
static bool is_mine(const lsi_py_producer *producer)
{
    return atomic_load_explicit(&producer->owner, memory_order_relaxed) == &here; /* No pair: it is of this thread. */
}

static bool is_inherited(const lsi_py_producer *producer)
{
    return producer->forks != atomic_load_explicit(&forks, memory_order_relaxed);
}

static ls_wait_callback wait_asked;

void lsi_py_set_wait(ls_wait_callback wait)
{
    wait_asked = wait;
}

static ls_status take_turn(lsi_py_producer *producer)
{
    atomic_store_explicit(&producer->owner, &here, memory_order_relaxed);
    return LS_OK;
}

/* Waits for its turn, until it is told not to: LSI_PY_INTERRUPTED; or LSI_PY_WITHIN, when it would wait for itself. */
static ls_status producer_enter(lsi_py_producer *producer)
{
    struct timespec until;

    if (is_inherited(producer))
        return LS_OK;
    if (is_mine(producer))
        return LSI_PY_WITHIN;
    if (pthread_mutex_trylock(&producer->mutex) == 0)
        return take_turn(producer);
    for (;;) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += ASK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_mutex_clocklock(&producer->mutex, CLOCK_MONOTONIC, &until) == 0)
            return take_turn(producer);
        if (wait_asked != NULL && wait_asked(NULL) != 0)
            return LSI_PY_INTERRUPTED;
    }
}

static void producer_leave(lsi_py_producer *producer)
{
    if (is_inherited(producer))
        return;
    atomic_store_explicit(&producer->owner, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&producer->mutex);
}

lsi_py_producer *lsi_py_producer_new(void)
{
    lsi_py_producer *made;

    pthread_once(&forks_once, watch_forks);
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    pthread_mutex_init(&made->mutex, NULL);
    made->forks = atomic_load_explicit(&forks, memory_order_relaxed);
    return made;
}

ls_status lsi_py_producer_open(ls_stream *stream, lsi_py_producer *producer)
{
    return ls_producer_open(stream, NULL, &producer->producer);
}

ls_status lsi_py_producer_close(lsi_py_producer *producer)
{
    ls_status st;

    if (producer == NULL)
        return LS_OK;
    st = producer_enter(producer);
    if (st != LS_OK)
        return st;
    st = ls_producer_close(producer->producer);
    producer->producer = NULL;
    producer_leave(producer);
    return st;
}

int lsi_py_producer_is_within(const lsi_py_producer *producer)
{
    return !is_inherited(producer) && is_mine(producer);
}

void lsi_py_producer_free(lsi_py_producer *producer)
{
    if (producer == NULL)
        return;
    (void)ls_producer_close(producer->producer); /* Nothing waits in a producer that its closing could lose. */
    if (!is_inherited(producer))
        pthread_mutex_destroy(&producer->mutex);
    free(producer);
}

static _Thread_local ls_record_id last_id; /* of this thread's last put, whatever the producer */

int64_t lsi_py_put(lsi_py_producer *producer, const char *key, size_t key_bytes, const char *data, size_t data_bytes,
                   const ls_put_options *options)
{
    ls_record_id id = {0, 0, 0};
    ls_status st = producer_enter(producer);

    if (st != LS_OK)
        return -(int64_t)st;
    st = LSI_PY_CLOSED;
    if (producer->producer != NULL)
        st = ls_producer_put(producer->producer, (ls_bytes){key, key_bytes}, (ls_bytes){data, data_bytes}, options,
                             &id);
    producer_leave(producer);
    if (st != LS_OK)
        return -(int64_t)st;
    if (id.seqno >> LSI_PY_SEQNO_BITS == 0 && id.shard >> (63 - LSI_PY_SEQNO_BITS) == 0)
        return (int64_t)((uint64_t)id.shard << LSI_PY_SEQNO_BITS | id.seqno);
    last_id = id;
    return LSI_PY_PUT_WIDE;
}

ls_record_id lsi_py_wide(void)
{
    return last_id;
}

/* A number of an array of int32_t or int64_t, which may lie at any address. */
static int64_t number_at(const void *numbers, size_t index, uint32_t width)
{
    int32_t narrow;
    int64_t wide;

    if (width == sizeof(narrow)) {
        memcpy(&narrow, (const char *)numbers + index * sizeof(narrow), sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, (const char *)numbers + index * sizeof(wide), sizeof(wide));
    return wide;
}

#define VIEW_BYTES 16
#define VIEW_INLINE_MAX 12

/* Arrow's BinaryView: its length, and up to 12 bytes of it; or four of them, a buffer and where it begins there. */
static bool view_at(const lsi_py_pieces *pieces, size_t index, ls_bytes *out)
{
    const char *view = (const char *)pieces->views + index * VIEW_BYTES;
    int64_t length = number_at(view, 0, 4), buffer = number_at(view, 2, 4), first = number_at(view, 3, 4);

    if (length < 0)
        return false;
    if (length <= VIEW_INLINE_MAX) {
        *out = (ls_bytes){view + 4, (size_t)length};
        return true;
    }
    if (buffer < 0 || (uint64_t)buffer >= pieces->buffer_count || first < 0 ||
        (uint64_t)(first + length) > pieces->buffer_sizes[buffer])
        return false;
    *out = (ls_bytes){pieces->buffers[buffer] + first, (size_t)length};
    return true;
}

/* Piece `index`; `*at` is where the one before it ended. Answers false when it does not lie in the buffer. */
static bool piece_at(const lsi_py_pieces *pieces, size_t index, size_t *at, ls_bytes *out)
{
    int64_t first = (int64_t)*at, end;

    if (pieces->is_one) {
        *out = (ls_bytes){pieces->bytes, pieces->bytes_size};
        return true;
    }
    if (pieces->views != NULL)
        return view_at(pieces, index, out);
    if (pieces->offsets != NULL) {
        first = number_at(pieces->offsets, index, pieces->width);
        end = number_at(pieces->offsets, index + 1, pieces->width);
    } else {
        int64_t length = pieces->lengths == NULL ? (int64_t)pieces->each_bytes
                                                 : number_at(pieces->lengths, index, pieces->width);

        if (length < 0 || (uint64_t)length > pieces->bytes_size - *at)
            return false;
        end = first + length;
    }
    if (first < 0 || end < first || (uint64_t)end > pieces->bytes_size)
        return false;
    *at = (size_t)end;
    *out = (ls_bytes){pieces->bytes + first, (size_t)(end - first)};
    return true;
}

/* Goes through pieces, and those behind them. */
typedef struct cursor {
    const lsi_py_pieces *pieces;
    size_t index, at;
} cursor;

static bool next_piece(cursor *it, ls_bytes *out)
{
    while (it->pieces->next != NULL && it->index == it->pieces->count)
        *it = (cursor){it->pieces->next, 0, 0};
    return piece_at(it->pieces, it->index++, &it->at, out);
}

ls_status lsi_py_put_entries(lsi_py_producer *producer, size_t count, ls_put_entry *entries,
                             const ls_hash_key *const *hash_keys, const ls_put_options *options, ls_put_result *results,
                             size_t *failed)
{
    ls_status st;

    for (size_t i = 0; hash_keys != NULL && i < count; i++)
        entries[i].explicit_hash_key = hash_keys[i];
    st = producer_enter(producer);
    if (st != LS_OK)
        return st;
    st = LSI_PY_CLOSED;
    if (producer->producer != NULL)
        st = ls_producer_put_batch(producer->producer, entries, count, options, results, failed);
    producer_leave(producer);
    return st;
}

ls_status lsi_py_put_pieces(lsi_py_producer *producer, size_t count, const lsi_py_pieces *keys,
                            const lsi_py_pieces *data, const ls_hash_key *const *hash_keys,
                            const ls_put_options *options, ls_put_result *results, size_t *failed, size_t *bad)
{
    ls_put_entry *entries = malloc((count != 0 ? count : 1) * sizeof(*entries));
    cursor key = {keys, 0, 0}, datum = {data, 0, 0};
    ls_status st;

    *bad = count;
    if (entries == NULL)
        return LS_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        entries[i].explicit_hash_key = NULL;
        if (!next_piece(&key, &entries[i].partition_key) || !next_piece(&datum, &entries[i].data)) {
            *bad = i;
            free(entries);
            return LS_ERR_INVALID_ARGUMENT;
        }
    }
    st = lsi_py_put_entries(producer, count, entries, hash_keys, options, results, failed);
    free(entries);
    return st;
}

ls_status lsi_py_flush(lsi_py_producer *producer)
{
    ls_status st = producer_enter(producer);

    if (st != LS_OK)
        return st;
    st = LSI_PY_CLOSED;
    if (producer->producer != NULL)
        st = ls_producer_flush(producer->producer);
    producer_leave(producer);
    return st;
}

ls_status lsi_py_producer_repeats(lsi_py_producer *producer, uint64_t *count)
{
    ls_status st = producer_enter(producer);

    *count = 0;
    if (st == LSI_PY_INTERRUPTED)
        return st;
    if (producer->producer != NULL)
        *count = ls_producer_repeats(producer->producer);
    if (st == LS_OK) /* Else the turn is that of a call further out. */
        producer_leave(producer);
    return LS_OK;
}

/* ---- outcomes ---- */

struct lsi_py_outcomes {
    pthread_mutex_t mutex;
    uint64_t failed;
    ls_status first;
    char message[512];
};

lsi_py_outcomes *lsi_py_outcomes_new(void)
{
    lsi_py_outcomes *outcomes = calloc(1, sizeof(*outcomes));

    if (outcomes != NULL)
        pthread_mutex_init(&outcomes->mutex, NULL);
    return outcomes;
}

void lsi_py_outcomes_note(const ls_async_outcome *outcome, void *user)
{
    lsi_py_outcomes *outcomes = user;

    if (outcome->status == LS_OK)
        return;
    pthread_mutex_lock(&outcomes->mutex);
    if (outcomes->failed++ == 0) {
        const char *said = ls_last_error_status() == outcome->status ? ls_last_error_message()
                                                                     : ls_status_name(outcome->status);

        outcomes->first = outcome->status;
        strncpy(outcomes->message, said, sizeof(outcomes->message) - 1);
    }
    pthread_mutex_unlock(&outcomes->mutex);
}

uint64_t lsi_py_outcomes_take(lsi_py_outcomes *outcomes, ls_status *status, char *message, size_t message_bytes)
{
    uint64_t failed;

    pthread_mutex_lock(&outcomes->mutex);
    failed = outcomes->failed;
    *status = outcomes->first;
    strncpy(message, outcomes->message, message_bytes - 1);
    message[message_bytes - 1] = '\0';
    outcomes->failed = 0;
    pthread_mutex_unlock(&outcomes->mutex);
    return failed;
}

void lsi_py_outcomes_free(lsi_py_outcomes *outcomes)
{
    free(outcomes); /* Without destroying the mutex: in a fork child a thread that is not there may have it. */
}

int64_t lsi_py_async_put(ls_async_producer *producer, const char *key, size_t key_bytes, const char *data,
                         size_t data_bytes, const ls_hash_key *hash_key, uintptr_t tag, int64_t timeout_ms)
{
    ls_put_entry entry = {{key, key_bytes}, {data, data_bytes}, hash_key};
    uint64_t ticket;
    ls_status st = ls_async_producer_put(producer, &entry, (void *)tag, timeout_ms, &ticket);

    return st == LS_OK ? (int64_t)ticket : -(int64_t)st;
}

ls_status lsi_py_async_put_entries(ls_async_producer *producer, const ls_put_entry *entries, size_t count,
                                   int64_t timeout_ms, uint64_t *tickets, size_t *done)
{
    for (*done = 0; *done < count; ++*done) {
        ls_status st = ls_async_producer_put(producer, &entries[*done], NULL, timeout_ms, &tickets[*done]);

        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

/* ---- pages ---- */

/* Makes `*at` hold `needed` elements; what it held is not kept. */
static bool make_room(void **at, size_t *room, size_t needed, size_t element_bytes)
{
    if (*room >= needed)
        return true;
    free(*at);
    *room = 0;
    *at = malloc(needed * element_bytes);
    if (*at == NULL)
        return false;
    *room = needed;
    return true;
}

/* The sizes, how many records have a hash key of their own, and whether flags tell anything else of any. */
static void page_measure(lsi_py_page *page, const ls_record *records)
{
    page->data_bytes = page->key_bytes = page->explicit_count = page->sub_count = 0;
    for (size_t i = 0; i < page->count; i++) {
        page->data_bytes += records[i].data.size;
        page->key_bytes += records[i].partition_key.size;
        page->explicit_count += records[i].flags & LS_RECORD_EXPLICIT_HASH_KEY;
        if ((records[i].flags & (LS_RECORD_AGGREGATED | LS_RECORD_ENCRYPTED)) != 0)
            page->sub_count = page->count;
    }
}

/* What only some pages have. */
static void page_copy_rare(lsi_py_page *page)
{
    const ls_record *records = page->records;
    size_t explicit = 0;

    for (size_t i = 0; i < page->count && explicit < page->explicit_count; i++) {
        if ((records[i].flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0) {
            page->explicit_at[explicit] = (uint32_t)i;
            page->explicit_keys[explicit++] = records[i].explicit_hash_key;
        }
    }
    for (size_t i = 0; i < page->sub_count; i++) {
        page->subs[3 * i] = records[i].sub_seqno;
        page->subs[3 * i + 1] = records[i].sub_count;
        page->subs[3 * i + 2] = records[i].flags;
    }
}

static ls_status page_is_empty(lsi_py_page *page)
{
    page->count = page->data_bytes = page->key_bytes = page->explicit_count = page->sub_count = 0;
    return LS_ERR_NO_MEMORY;
}

/* Takes page->count records. */
static ls_status page_take(lsi_py_page *page, const ls_record *records)
{
    page->records = records;
    page_measure(page, records);
    if (!make_room((void **)&page->subs, &page->sub_room, page->sub_count, 3 * sizeof(*page->subs)) ||
        !make_room((void **)&page->explicit_keys, &page->explicit_room, page->explicit_count,
                   sizeof(*page->explicit_keys) + sizeof(*page->explicit_at)))
        return page_is_empty(page);
    /* One allocation for both: the keys come first, since they want the wider alignment. */
    page->explicit_at = page->explicit_keys == NULL ? NULL : (void *)(page->explicit_keys + page->explicit_room);
    page_copy_rare(page);
    return LS_OK;
}

ls_status lsi_py_page_fill(lsi_py_page *page, const ls_batch *batch)
{
    page->batch = batch;
    page->count = ls_batch_count(batch);
    page->shard = ls_batch_shard(batch);
    page->millis_behind_latest = ls_batch_millis_behind_latest(batch);
    page->is_shard_end = ls_batch_is_shard_end(batch);
    page->child_count = page->is_shard_end ? ls_batch_child_count(batch) : 0;
    for (uint32_t i = 0; i < page->child_count && i < 2; i++)
        page->children[i] = ls_batch_child_at(batch, i);
    return page_take(page, ls_batch_records(batch));
}

ls_status lsi_py_page_fill_transform(lsi_py_page *page, const ls_transform *batch)
{
    size_t count = ls_transform_count(batch);

    if (!make_room((void **)&page->own, &page->own_room, count, sizeof(*page->own)))
        return page_is_empty(page);
    for (size_t i = 0; i < count; i++)
        page->own[i] = *ls_transform_at(batch, i);
    page->batch = NULL;
    page->count = count;
    page->shard = count != 0 ? page->own[0].shard : LS_NO_SHARD;
    page->millis_behind_latest = 0;
    page->is_shard_end = 0;
    page->child_count = 0;
    return page_take(page, page->own);
}

void lsi_py_page_release(lsi_py_page *page)
{
    free(page->own);
    free(page->subs);
    free(page->explicit_keys);
    memset(page, 0, sizeof(*page));
}

ls_status lsi_py_next(ls_iterator *iterator, const ls_next_options *options, lsi_py_page *page)
{
    const ls_batch *batch;
    ls_status st = ls_iterator_next(iterator, options, &batch);

    return st != LS_OK ? st : lsi_py_page_fill(page, batch);
}

/* ---- time for tests ---- */

struct lsi_py_clock {
    _Atomic int64_t now_us;
};

lsi_py_clock *lsi_py_clock_new(int64_t now_us)
{
    lsi_py_clock *clock = malloc(sizeof(*clock));

    if (clock != NULL)
        lsi_py_clock_set(clock, now_us);
    return clock;
}

void lsi_py_clock_set(lsi_py_clock *clock, int64_t now_us)
{
    atomic_store_explicit(&clock->now_us, now_us, memory_order_relaxed); /* No pair: nothing else is handed over. */
}

int64_t lsi_py_clock_now(void *clock)
{
    return atomic_load_explicit(&((lsi_py_clock *)clock)->now_us, memory_order_relaxed);
}

void lsi_py_clock_free(lsi_py_clock *clock)
{
    free(clock);
}
