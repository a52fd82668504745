/* Lines that nobody waits for: an asynchronous producer takes them, and its thread tells what became of each. The first
 * that could not be stored ends the command: what is not under way by then is given up, and is told by its lines.
 *
 * A limit is waited for as anything else is, for TTL_MS; so that what it lets in is not too old by then, no more than
 * PACED lines are on their way to a provisioned stream. */
#include "cli/put.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TTL_MS 60000
#define LOOK_MS 200      /* between two looks at signals and at the bar */
#define FAREWELL_MS 2000 /* after a signal */
#define PACED 500u

struct lsi_put_async {
    ls_async_producer *producer;
    bool is_paced;
    uint64_t put;  /* since all had their outcome, of a stream that is paced */
    uint64_t held; /* the line that there was no memory for until a signal came; 0: none */
    _Atomic uint64_t stored, bytes, aggregates;
    atomic_bool has_failed; /* of the thread's, who sees it may read the rest: */
    uint64_t line;
    ls_status status;
    char message[600];
    /* The thread's until it has ended: */
    uint64_t *others; /* lines that were not stored either */
    size_t other_count, other_capacity;
    bool is_unknown, is_short; /* of one of the others the outcome is; there was no memory for one */
};

static void note_other(lsi_put_async *async, uint64_t line)
{
    if (async->other_count == async->other_capacity) {
        size_t capacity = async->other_capacity != 0 ? async->other_capacity * 2 : 1024;
        uint64_t *grown = realloc(async->others, capacity * sizeof *grown);

        if (grown == NULL) {
            async->is_short = true;
            return;
        }
        async->others = grown;
        async->other_capacity = capacity;
    }
    async->others[async->other_count++] = line;
}

static void tell(const ls_async_outcome *outcome, void *user)
{
    lsi_put_async *async = user;
    uint64_t line = (uint64_t)(uintptr_t)outcome->tag;

    if (outcome->status == LS_OK) {
        (void)atomic_fetch_add_explicit(&async->stored, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&async->bytes, outcome->data.size, memory_order_relaxed);
        if (outcome->sub_count != 0 && outcome->sub_seqno == 0)
            (void)atomic_fetch_add_explicit(&async->aggregates, 1, memory_order_relaxed);
    } else if (atomic_load_explicit(&async->has_failed, memory_order_relaxed)) {
        note_other(async, line);
        async->is_unknown = async->is_unknown || lsi_put_is_unknown(outcome->status, ls_last_error_message());
    } else {
        async->line = line;
        async->status = outcome->status;
        (void)snprintf(async->message, sizeof async->message, "%s", ls_last_error_message());
        atomic_store_explicit(&async->has_failed, true, memory_order_release); /* Pairs with has_failed(). */
        (void)ls_async_producer_cancel(async->producer);
    }
}

static bool has_failed(const lsi_put_async *async)
{
    return atomic_load_explicit(&async->has_failed, memory_order_acquire);
}

int lsi_put_async_open(lsi_put_run *run, ls_stream *stream, uint32_t batch_max, bool aggregates)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    lsi_put_async *async = calloc(1, sizeof *async);
    ls_stream_description *description;
    ls_status st;
    int code;

    if (async == NULL) {
        lsi_say(run->call, "out of memory");
        return LSI_EXIT_FAILED;
    }
    options.batch_records_max = batch_max;
    options.record_ttl_ms = TTL_MS;
    options.durability = run->put.durability;
    options.flags = aggregates ? LS_ASYNC_AGGREGATE : 0;
    st = ls_stream_describe(stream, &description);
    if (st == LS_OK) {
        async->is_paced = ls_stream_description_mode(description) == LS_STREAM_PROVISIONED;
        ls_stream_description_free(description);
        st = ls_async_producer_open(stream, &options, &async->producer, tell, async);
    }
    if (st != LS_OK) {
        code = lsi_failed(run->call, st);
        free(async);
        return code;
    }
    run->async = async;
    return LSI_EXIT_OK;
}

void lsi_put_async_look(lsi_put_run *run)
{
    run->stored = atomic_load_explicit(&run->async->stored, memory_order_relaxed);
    lsi_put_draw_bar(run);
}

/* Until everything that was put has its outcome, or the command ends. */
static void wait_for_all(lsi_put_run *run)
{
    while (!has_failed(run->async) && lsi_signal_number() == 0 &&
           ls_async_producer_flush(run->async->producer, LOOK_MS, NULL) == LS_ERR_TIMEOUT)
        lsi_put_async_look(run);
}

void lsi_put_async_line(lsi_put_run *run, uint64_t line, ls_bytes key, ls_bytes data)
{
    const ls_put_entry entry = {key, data, run->explicit_hash_key};
    lsi_put_async *async = run->async;
    ls_status st = LS_ERR_BUSY;

    if (async->is_paced && async->put >= PACED) {
        wait_for_all(run);
        async->put = 0;
    }
    while (st == LS_ERR_BUSY && !has_failed(async)) {
        st = ls_async_producer_put(async->producer, &entry, (void *)(uintptr_t)line, LOOK_MS, NULL);
        if (st == LS_ERR_BUSY && lsi_signal_number() != 0)
            break;
    }
    async->put += st == LS_OK;
    if (has_failed(async)) /* What it ends with is said when all have their outcome. */
        run->stop_code = LSI_EXIT_FAILED;
    if (st == LS_ERR_BUSY) {
        async->held = line;
        (void)lsi_put_is_interrupted(run);
    } else if (lsi_put_is_record_fault(st)) {
        lsi_put_refuse(run, line, ls_last_error_message());
    } else if (st != LS_OK) {
        lsi_put_give_up(run, line, st, ls_last_error_message());
    }
    if ((line & 0xff) == 0)
        lsi_put_async_look(run);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The thread has ended. */
static void say_what_failed(lsi_put_run *run)
{
    lsi_put_async *async = run->async;

    if (async->held != 0)
        note_other(async, async->held);
    if (has_failed(async) && lsi_signal_number() != 0 && async->status == LS_ERR_CANCELLED)
        note_other(async, async->line); /* The signal says why. */
    else if (has_failed(async))
        lsi_put_give_up(run, async->line, async->status, async->message);
    if (async->other_count > 1)
        qsort(async->others, async->other_count, sizeof *async->others, compare);
    run->is_unknown = async->is_unknown;
    for (size_t i = 0; i < async->other_count; i++)
        lsi_put_note(run, async->others[i]);
    lsi_put_end_notes(run);
    if (async->is_short)
        lsi_say(run->call, "not stored either: others, for which there was no memory");
}

void lsi_put_async_close(lsi_put_run *run)
{
    lsi_put_async *async = run->async;

    if (run->stop_code == LSI_EXIT_OK) {
        wait_for_all(run);
        (void)lsi_put_is_interrupted(run);
    }
    (void)ls_async_producer_close(async->producer, has_failed(async)            ? 0
                                                   : lsi_signal_number() != 0 ? FAREWELL_MS
                                                                              : -1); /* Each has its outcome. */
    run->stored = async->stored;
    run->data_bytes = async->bytes;
    run->aggregates = async->aggregates;
    lsi_put_clear_bar(run);
    say_what_failed(run);
    free(async->others);
    free(async);
    run->async = NULL;
}
