/* A descriptor for event loops: readable when ls_iterator_next would find something.
 *
 * Only callers that ask for it pay, with one thread, `ls-event`. It cannot use the iterator's readers, which belong to
 * the caller, so it has readers of its own, which stand where the iterator stands and cost next to nothing while they
 * find nothing; one that finds something is closed, with its buffer. The iterator hands over its places whenever it
 * found nothing; the thread raises the descriptor once and rests until it gets the next ones. No lock: a snapshot of
 * the places is handed over by an exchange of one pointer and then belongs to the thread.
 *
 * V1 After a call that found nothing the descriptor is not readable: the iterator lowers it before it hands over; the
 *    thread, which may be raising it for the old snapshot at that moment, looks for a newer one afterwards and, on
 *    taking one, lowers again and looks. Only the thread raises, so nothing raised for the newest snapshot is lost.
 * V2 Nothing is missed: the thread arms, looks and sleeps, and its snapshot is never ahead of the iterator's place. */
#include "consume/iterator.h"

#include <string.h>

#include "base/event_fd.h"
#include "base/patience.h"
#include "base/status.h"
#include "base/thread.h"

#define REST_US INT64_C(3600000000) /* an hour: what ends a rest always wakes */

/* A place in one shard. The reader is the thread's: NULL in a snapshot that was not taken yet. */
typedef struct watched {
    uint32_t shard;
    bool is_astray; /* the reader is not at `position` */
    ls_position position;
    lsi_reader *reader;
} watched;

typedef struct snapshot {
    bool is_merged;
    uint64_t generation;
    uint32_t count;
    watched shards[]; /* ascending */
} snapshot;

struct lsi_event {
    lsi_engine_stream *stream;
    const lsi_engine_ops *ops;
    const lsi_memory *memory;
    uint32_t wait_shard;
    int fd;
    lsi_fork_mark *mark; /* a fork child has no such thread */
    lsi_thread thread;
    _Atomic bool is_stopping;
    _Atomic uint32_t word;       /* rises when there is something to do */
    _Atomic(snapshot *) handed;  /* NULL: the thread has taken it */
};

/* Accepts NULL. */
static void snapshot_free(const lsi_event *event, snapshot *old)
{
    for (uint32_t i = 0; old != NULL && i < old->count; i++)
        if (old->shards[i].reader != NULL)
            event->ops->reader_close(old->shards[i].reader);
    lsi_free(event->memory, old);
}

/* ---- the thread ---- */

/* The readers of the old snapshot go on in the new one. */
static void inherit(const lsi_event *event, snapshot *from, snapshot *to)
{
    uint32_t k = 0;

    for (uint32_t i = 0; from != NULL && i < to->count; i++) {
        watched *heir = &to->shards[i];

        while (k < from->count && from->shards[k].shard < heir->shard)
            k++;
        if (k == from->count || from->shards[k].shard != heir->shard)
            continue;
        heir->reader = from->shards[k].reader;
        heir->is_astray = from->shards[k].is_astray || heir->position.kind != from->shards[k].position.kind ||
                          heir->position.seqno != from->shards[k].position.seqno;
        from->shards[k].reader = NULL;
    }
    snapshot_free(event, from);
}

/* Would the iterator find something in this shard? Trouble is something as well: the iterator will tell. */
static bool is_something_in(const lsi_event *event, watched *shard)
{
    lsi_read read = {0};
    bool found = true;

    if (shard->reader == NULL) {
        if (event->ops->reader_open(event->stream, shard->shard, LSI_READER_ONE_OF_MANY, &shard->reader) != LS_OK) {
            shard->reader = NULL;
            return true;
        }
        shard->is_astray = true;
    }
    if (!shard->is_astray || event->ops->seek(shard->reader, &shard->position) == LS_OK) {
        shard->is_astray = false;
        found = event->ops->read(shard->reader, 1, 1, &read) != LS_OK || read.count > 0 || read.shard_end;
    }
    if (found) { /* It has moved on, and holds a buffer. */
        event->ops->reader_close(shard->reader);
        shard->reader = NULL;
    }
    return found;
}

static bool is_something_there(const lsi_event *event, snapshot *from)
{
    /* Other shards, or none any more. */
    if (from->is_merged && event->ops->generation(event->stream) != from->generation)
        return true;
    for (uint32_t i = 0; i < from->count; i++)
        if (is_something_in(event, &from->shards[i]))
            return true;
    return false;
}

static void watch(void *user)
{
    lsi_event *event = user;
    snapshot *mine = NULL;
    bool is_done = false; /* the descriptor was raised for `mine` */

    /* A lock that is held is trouble too, and closing the iterator joins this thread. */
    lsi_patience_begin_own(0, NULL, NULL);
    for (;;) {
        uint32_t seen = atomic_load_explicit(&event->word, memory_order_acquire); /* pairs with bump() */
        uint32_t token;
        snapshot *newer;

        if (atomic_load_explicit(&event->is_stopping, memory_order_seq_cst))
            break;
        newer = atomic_exchange_explicit(&event->handed, NULL, memory_order_acq_rel); /* pairs with hand_over() */
        if (newer != NULL) {
            inherit(event, mine, newer);
            mine = newer;
            is_done = false;
            lsi_event_fd_lower(event->fd); /* V1 */
        }
        if (mine == NULL || is_done) {
            (void)lsi_word_sleep(&event->word, seen, REST_US); /* Whatever ended it: look. */
            continue;
        }
        token = event->ops->arm(event->stream, event->wait_shard); /* V2: before the look */
        if (is_something_there(event, mine)) {
            lsi_event_fd_raise(event->fd);
            is_done = true;
            continue;
        }
        /* A stop or a new snapshot between here and the top has woken after the arming. */
        if (!atomic_load_explicit(&event->is_stopping, memory_order_seq_cst))
            (void)event->ops->sleep(event->stream, event->wait_shard, token, LSI_WAIT_US_MAX);
    }
    snapshot_free(event, mine);
}

/* ---- the iterator's side ---- */

static void bump(lsi_event *event)
{
    atomic_fetch_add_explicit(&event->word, 1, memory_order_release); /* pairs with the load in watch() */
    lsi_word_wake_all(&event->word);
}

static snapshot *take_snapshot(const lsi_iterator *iterator)
{
    snapshot *taken = lsi_alloc(&iterator->env->memory, sizeof(*taken) + iterator->track_count * sizeof(watched));

    if (taken == NULL)
        return NULL;
    taken->count = 0;
    taken->is_merged = iterator->is_merged;
    taken->generation = iterator->generation;
    for (uint32_t i = 0; i < iterator->track_count; i++) {
        const lsi_track *track = &iterator->tracks[i];

        if (track->is_finished || track->is_waiting)
            continue;
        taken->shards[taken->count] = (watched){.shard = track->shard, .position = track->position, .reader = NULL};
        taken->shards[taken->count++].position.sub_seqno = 0; /* The engine knows no parts of a record. */
    }
    return taken;
}

static void hand_over(lsi_event *event, snapshot *taken)
{
    snapshot_free(event, atomic_exchange_explicit(&event->handed, taken, memory_order_acq_rel));
    bump(event);
}

void lsi_event_watch(lsi_iterator *iterator, bool has_moved)
{
    lsi_event *event = iterator->event;
    snapshot *taken;

    if (event == NULL)
        return;
    taken = take_snapshot(iterator);
    if (taken == NULL)
        return; /* The descriptor stays as it is, at worst readable for nothing, until the next call that finds none. */
    lsi_event_fd_lower(event->fd); /* V1 */
    hand_over(event, taken);
    if (has_moved) /* The thread may be asleep over a snapshot that is ahead of this one. */
        event->ops->wake(event->stream, event->wait_shard);
}

ls_status lsi_iterator_event_fd(lsi_iterator *iterator, int32_t *out)
{
    const lsi_memory *memory = &iterator->env->memory;
    snapshot *taken;
    lsi_event *event;
    ls_status st;
    int err;

    if (iterator->event != NULL) {
        *out = iterator->event->fd;
        return LS_OK;
    }
    event = lsi_alloc_zero(memory, sizeof(*event));
    if (event == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a descriptor of an iterator");
    event->stream = iterator->stream;
    event->ops = iterator->ops;
    event->memory = memory;
    event->wait_shard = iterator->wait_shard;
    atomic_init(&event->is_stopping, false);
    atomic_init(&event->word, 0);
    atomic_init(&event->handed, NULL);
    event->fd = lsi_event_fd_open();
    if (event->fd < 0) {
        st = lsi_fail_errno(event->fd, "descriptor of an iterator");
        goto fail;
    }
    event->mark = lsi_fork_mark_new();
    taken = event->mark != NULL ? take_snapshot(iterator) : NULL;
    if (taken == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for a descriptor of an iterator");
        goto fail;
    }
    atomic_store_explicit(&event->handed, taken, memory_order_relaxed); /* The thread does not run yet. */
    err = lsi_thread_start(&event->thread, "ls-event", watch, event);
    if (err != 0) {
        st = lsi_fail_errno(err, "thread for the descriptor of an iterator");
        goto fail;
    }
    iterator->event = event;
    *out = event->fd;
    return LS_OK;
fail:
    lsi_event_close(event);
    return st;
}

void lsi_event_close(lsi_event *event)
{
    if (event == NULL)
        return;
    if (event->thread.started && lsi_fork_mark_is_mine(event->mark)) {
        atomic_store_explicit(&event->is_stopping, true, memory_order_seq_cst);
        bump(event);
        event->ops->wake(event->stream, event->wait_shard);
        lsi_thread_join(&event->thread);
    }
    /* In a fork child what the thread had taken is left alone: it may have been in the middle of changing it. */
    snapshot_free(event, atomic_exchange_explicit(&event->handed, NULL, memory_order_acq_rel));
    lsi_fork_mark_free(event->mark);
    if (event->fd >= 0)
        lsi_event_fd_close(event->fd);
    lsi_free(event->memory, event);
}
