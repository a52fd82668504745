/* Rows into a stream, each once. */
#include "feed.h"
#include "looking.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES ((uint64_t)12 << 20) /* With the record that passes it, it is below the 16 MiB of a shard's part. */
#define STEPS 4                         /* one is filled; the others wait to be committed, so that neither side idles */

struct note {
    char *source, *text;
    struct note *next;
};

struct row_feed {
    ls_stream *stream, *notes_stream;
    ls_txn *steps[STEPS]; /* in turn: the one of `begun` is filled */
    size_t added;
    uint64_t bytes;    /* of keys and data that were added */
    void *notes;       /* a search tree of struct note, by source, */
    struct note *first; /* and all of them in no order */

    /* The thread that commits: one step at a time, in their order, and none behind one that failed. */
    pthread_t thread;
    bool has_thread;
    uint64_t begun;       /* steps; only who fills them changes it */
    pthread_mutex_t lock; /* of `begun` for the thread, and of what follows */
    pthread_cond_t changed;
    uint64_t done;
    bool stop, failed;
};

static ls_txn *filled(const row_feed *feed)
{
    return feed->steps[feed->begun % STEPS];
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct note *)a)->source, ((const struct note *)b)->source);
}

static void free_note(void *note)
{
    free(((struct note *)note)->source);
    free(((struct note *)note)->text);
    free(note);
}

static int keep_note(row_feed *feed, const char *source, size_t source_size, const char *text, size_t size)
{
    struct note *note = calloc(1, sizeof(*note)), **found;

    if (note != NULL) {
        note->source = strndup(source, source_size);
        note->text = strndup(text, size);
    }
    found = note == NULL || note->source == NULL || note->text == NULL ? NULL : tsearch(note, &feed->notes, compare);
    if (found == NULL) {
        if (note != NULL)
            free_note(note);
        return pipeline_fail("no memory");
    }
    if (*found == note) {
        note->next = feed->first;
        feed->first = note;
    } else {
        free((*found)->text);
        (*found)->text = note->text;
        note->text = NULL;
        free_note(note);
    }
    return 0;
}

static int read_note(const ls_record *record, void *user)
{
    return keep_note(user, record->partition_key.data, record->partition_key.size, record->data.data,
                     record->data.size);
}

static int commit(ls_txn *txn)
{
    ls_status status;

    while ((status = ls_txn_commit(txn, NULL, 0)) == LS_ERR_THROTTLED && !pipeline_interrupted)
        pipeline_sleep_ms((uint64_t)ls_last_error_retry_after_ms() + 1);
    if (status == LS_OK)
        return 0;
    if (!pipeline_interrupted)
        (void)pipeline_fail_ls("put records");
    return -1;
}

static void *commit_steps(void *user)
{
    row_feed *feed = user;

    (void)pthread_mutex_lock(&feed->lock);
    for (;;) {
        bool failed = feed->failed;

        while (feed->done == feed->begun && !feed->stop)
            (void)pthread_cond_wait(&feed->changed, &feed->lock);
        if (feed->done == feed->begun)
            break;
        (void)pthread_mutex_unlock(&feed->lock);
        failed = failed || commit(feed->steps[feed->done % STEPS]) != 0;
        (void)pthread_mutex_lock(&feed->lock);
        feed->failed = failed;
        feed->done++;
        (void)pthread_cond_broadcast(&feed->changed);
    }
    (void)pthread_mutex_unlock(&feed->lock);
    return NULL;
}

/* What a note begins with of which feed_noted finds none. */
#define NO_NUMBERS "0 0 0 0 0 "

/* The id of the stream, which none gets again. 0, or -1: said. */
static int find_id(ls_stream *stream, char id[24])
{
    ls_stream_description *description = NULL;

    if (ls_stream_describe(stream, &description) != LS_OK)
        return pipeline_fail_ls("describe a stream");
    (void)snprintf(id, 24, "%" PRIu64, ls_stream_description_id(description));
    ls_stream_description_free(description);
    return 0;
}

static void forget_notes(row_feed *feed)
{
    tdestroy(feed->notes, free_note);
    feed->notes = NULL;
    feed->first = NULL;
}

/* The stream's notes. Those of one that was deleted, and was made again under its name, are another one's. */
static int open_notes(row_feed *feed, ls_store *store, const char *name)
{
    static const char whose[] = "the stream's id";
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    const char *noted;
    char id[24];

    options.retention_hours = 8760; /* The longest there is: a year after the last step it is forgotten. */
    if (find_id(feed->stream, id) != 0)
        return -1;
    for (;;) {
        ls_stream *others;

        feed->notes_stream = pipeline_stream(store, name, &options);
        if (feed->notes_stream == NULL || pipeline_read_all(feed->notes_stream, read_note, feed) != 0)
            return -1;
        noted = feed_recall(feed, whose);
        if (noted == NULL)
            return feed_remember(feed, whose, id);
        if (strcmp(noted, id) == 0)
            return 0;
        forget_notes(feed);
        others = feed->notes_stream;
        feed->notes_stream = NULL;
        if (ls_stream_close(others) != LS_OK || ls_stream_delete(store, name) != LS_OK)
            return pipeline_fail_ls("forget what was noted of another stream");
    }
}

row_feed *feed_open(ls_store *store, ls_stream *stream, const char *stream_name)
{
    row_feed *feed = calloc(1, sizeof(*feed));
    char name[160];

    if (feed == NULL) {
        (void)pipeline_fail("no memory");
        return NULL;
    }
    (void)snprintf(name, sizeof(name), "%s.read", stream_name);
    (void)pthread_mutex_init(&feed->lock, NULL);
    (void)pthread_cond_init(&feed->changed, NULL);
    feed->stream = stream;
    for (size_t i = 0; i < STEPS; i++)
        if (ls_txn_begin(store, NULL, &feed->steps[i]) != LS_OK) {
            (void)pipeline_fail_ls("begin a transaction");
            (void)feed_close(feed);
            return NULL;
        }
    if (open_notes(feed, store, name) != 0) {
        (void)feed_close(feed);
        return NULL;
    }
    return feed;
}

int feed_close(row_feed *feed)
{
    int result = 0;

    if (feed == NULL)
        return 0;
    if (feed->has_thread) {
        result = feed_wait(feed);
        (void)pthread_mutex_lock(&feed->lock);
        feed->stop = true;
        (void)pthread_cond_broadcast(&feed->changed);
        (void)pthread_mutex_unlock(&feed->lock);
        (void)pthread_join(feed->thread, NULL);
    }
    (void)pthread_mutex_destroy(&feed->lock);
    (void)pthread_cond_destroy(&feed->changed);
    for (size_t i = 0; i < STEPS; i++)
        ls_txn_close(feed->steps[i]);
    if (feed->notes_stream != NULL && ls_stream_close(feed->notes_stream) != LS_OK)
        result = pipeline_fail_ls("close a stream");
    tdestroy(feed->notes, free_note);
    free(feed);
    return result;
}

const char *feed_note(const row_feed *feed, const char *source)
{
    struct note wanted = {.source = (char *)source};  /* Only compared. */
    struct note **found = tfind(&wanted, &feed->notes, compare);

    return found == NULL ? NULL : (*found)->text;
}

uint64_t feed_noted(const row_feed *feed, int word)
{
    uint64_t sum = 0;

    for (const struct note *note = feed->first; note != NULL; note = note->next) {
        const char *at = note->text;

        for (int i = 0; at != NULL && i < word; i++)
            at = strchr(at, ' ') == NULL ? NULL : strchr(at, ' ') + 1;
        sum += at == NULL ? 0 : strtoull(at, NULL, 10);
    }
    return sum;
}

ls_status feed_add(row_feed *feed, ls_bytes key, ls_bytes data)
{
    ls_status status = ls_txn_put(filled(feed), feed->stream, key, data, NULL);

    if (status == LS_OK) {
        feed->added++;
        feed->bytes += key.size + data.size;
    } else if (status != LS_ERR_TOO_LARGE && status != LS_ERR_INVALID_ARGUMENT) {
        (void)pipeline_fail_ls("put a record");
    }
    return status;
}

size_t feed_added(const row_feed *feed)
{
    return feed->added;
}

bool feed_is_due(const row_feed *feed, uint64_t rows, uint64_t batch, bool are_last)
{
    return rows == batch || feed->bytes >= STEP_BYTES || (are_last && rows > 0);
}

static int add_note(row_feed *feed, const char *source, const char *note)
{
    if (ls_txn_put(filled(feed), feed->notes_stream, (ls_bytes){source, strlen(source)}, (ls_bytes){note, strlen(note)},
                   NULL) == LS_OK)
        return 0;
    return pipeline_fail_ls("note how far the source was read");
}

int feed_step(row_feed *feed, const char *source, const char *note)
{
    if (add_note(feed, source, note) != 0 || feed_wait(feed) != 0 || commit(filled(feed)) != 0)
        return -1;
    feed->added = feed->bytes = 0;
    return keep_note(feed, source, strlen(source), note, strlen(note));
}

const char *feed_recall(const row_feed *feed, const char *what)
{
    const char *note = feed_note(feed, what);

    return note == NULL ? NULL : note + sizeof(NO_NUMBERS) - 1;
}

int feed_remember(row_feed *feed, const char *what, const char *text)
{
    char note[1200];

    if ((size_t)snprintf(note, sizeof(note), NO_NUMBERS "%s", text) >= sizeof(note))
        return pipeline_fail("%s takes up to %zu bytes", what, sizeof(note) - sizeof(NO_NUMBERS));
    return feed_step(feed, what, note);
}

int feed_settle(row_feed *feed, const char *option, const char *value)
{
    const char *is = feed_recall(feed, option);

    if (is == NULL)
        return feed_remember(feed, option, value);
    if (strcmp(is, value) == 0)
        return 0;
    return pipeline_fail("%s is the same in all runs of a store: here it is %s%s%s", option,
                         *is == 0 ? "not said" : "'", is, *is == 0 ? "" : "'");
}

static const char place[] = "where files lie"; /* what it is remembered under */

int feed_moved(const row_feed *feed, const char *delivery, const char *now, char was[PIPELINE_PATH_BYTES])
{
    const char *noted = feed_recall(feed, place);

    if (noted == NULL || strcmp(noted, now) == 0)
        return 0;
    (void)snprintf(was, PIPELINE_PATH_BYTES, "%s", noted);
    return pipeline_delivery_move(feed->stream, delivery, was, now) == 0 ? 1 : -1;
}

int feed_remember_place(row_feed *feed, const char *now)
{
    const char *noted = feed_recall(feed, place);

    return noted != NULL && strcmp(noted, now) == 0 ? 0 : feed_remember(feed, place, now);
}

/* Until no more than `left` steps are to be done. */
static int wait_for_steps(row_feed *feed, uint64_t left)
{
    int result;

    (void)pthread_mutex_lock(&feed->lock);
    while (feed->begun - feed->done > left)
        (void)pthread_cond_wait(&feed->changed, &feed->lock);
    result = feed->failed ? -1 : 0;
    (void)pthread_mutex_unlock(&feed->lock);
    return result;
}

int feed_wait(row_feed *feed)
{
    return wait_for_steps(feed, 0);
}

int feed_begin_step(row_feed *feed, const char *source, const char *note)
{
    if (!feed->has_thread) {
        errno = pthread_create(&feed->thread, NULL, commit_steps, feed);
        if (errno != 0)
            return pipeline_fail("cannot make a thread: %s", strerror(errno));
        feed->has_thread = true;
    }
    if (add_note(feed, source, note) != 0 || wait_for_steps(feed, STEPS - 2) != 0)
        return -1;
    (void)pthread_mutex_lock(&feed->lock);
    feed->begun++;
    (void)pthread_cond_broadcast(&feed->changed);
    (void)pthread_mutex_unlock(&feed->lock);
    feed->added = feed->bytes = 0;
    return keep_note(feed, source, strlen(source), note, strlen(note));
}
