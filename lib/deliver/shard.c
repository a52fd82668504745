/* One shard: its records are read, transformed and collected in their order, and what is due is delivered.
 *
 * Everything here may be dropped at any moment: the shard is then opened again as it was stored (progress.c), and reads
 * again what was collected and not delivered. */
#include "deliver/inside.h"

#include <inttypes.h>
#include <string.h>

#include "deliver/document.h"
#include "deliver/failed.h"

/* At a time, without a transform: they, and what describes them, stay in a processor's own cache. */
#define RECORDS_MAX 2000u
#define READ_BYTES_MAX (UINT64_C(1) << 18)
#define BYTES_MAX (UINT64_C(1) << 20)
#define SAVE_US INT64_C(1000000)   /* so long what is done may be not stored while nothing else is */
#define RETRY_US_LEAST INT64_C(100000)
#define RETRY_US_MOST INT64_C(10000000)

/* ---- opening ---- */

static void clear(lsi_delivery_shard *shard, lsi_delivery_run_state *run, lsi_lease *lease)
{
    *shard = (lsi_delivery_shard){.next = shard->next, .run = run, .lease = lease, .shard = shard->shard};
    lsi_marks_init(&shard->done, &run->env->memory);
    lsi_marks_init(&shard->replayed, &run->env->memory);
}

ls_status lsi_delivery_shard_new(lsi_delivery_run_state *run, lsi_lease *lease, lsi_delivery_shard **out)
{
    lsi_delivery_shard *shard = lsi_alloc_zero(&run->env->memory, sizeof *shard);
    ls_lease_info info = LS_LEASE_INFO_INIT;

    if (shard == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "delivery '%s': no memory for a shard", run->how->name);
    lsi_lease_describe(lease, &info);
    shard->shard = info.shard;
    clear(shard, run, lease);
    *out = shard;
    return LS_OK;
}

static ls_status open_it(lsi_delivery_shard *shard)
{
    const lsi_delivery_run_state *run = shard->run;
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_status st;

    lsi_lease_describe(shard->lease, &info);
    shard->is_whole = true;
    shard->done_seqno = shard->saved_seqno = shard->seqno = info.seqno;
    st = lsi_delivery_restore(shard);
    shard->buffers = shard->replay;
    if (st == LS_OK && (run->delivery->options.flags & LS_DELIVERY_BACKUP) == 0)
        shard->backup_done = 0;
    if (st == LS_OK)
        st = lsi_iterator_open(run->stream, shard->shard, &info.position, LS_ITERATOR_DEAGGREGATE, &shard->iterator);
    if (st != LS_OK)
        lsi_delivery_shard_reset(shard);
    return st;
}

void lsi_delivery_shard_reset(lsi_delivery_shard *shard)
{
    for (lsi_buffer *at = shard->buffers, *next; at != NULL; at = next) {
        next = at->next;
        shard->run->memory_used -= at->size;
        lsi_buffer_free(at);
    }
    lsi_marks_free(&shard->done);
    lsi_marks_free(&shard->replayed);
    lsi_iterator_close(shard->iterator);
    shard->partition_count = 0;
    shard->seqno = LS_SEQNO_NONE;
    lsi_delivery_tell(shard);
    clear(shard, shard->run, shard->lease);
}

void lsi_delivery_shard_free(lsi_delivery_shard *shard)
{
    const lsi_memory *memory = &shard->run->env->memory;

    lsi_delivery_shard_reset(shard);
    lsi_free(memory, shard);
}

/* ---- one record ---- */

/* A record of the batch, or what it is the first piece of; NULL: it is another piece. */
static const ls_record *source_of(const lsi_delivery_shard *shard, const ls_batch *batch, uint32_t index)
{
    const lsi_pieces *pieces = &shard->run->pieces;

    return batch->records == pieces->records ? pieces->sources[index] : &batch->records[index];
}

static lsi_at place_of(const lsi_delivery_shard *shard, const ls_batch *batch, uint32_t index)
{
    const ls_record *source = source_of(shard, batch, index);
    bool is_rest = batch->records[index].seqno == shard->seqno; /* of an aggregate */

    return (lsi_at){shard->next_ordinal, is_rest ? shard->seqno_ordinal : shard->next_ordinal,
                    is_rest ? shard->seqno_before : shard->seqno,
                    source != NULL ? lsi_delivery_billed(source->data.size) : 0};
}

static void pass(lsi_delivery_shard *shard, const ls_record *record)
{
    if (record->seqno != shard->seqno) {
        shard->seqno_before = shard->seqno;
        shard->seqno_ordinal = shard->next_ordinal;
        shard->seqno = record->seqno;
    }
    shard->next_ordinal++;
    shard->is_whole =
        (record->flags & LS_RECORD_AGGREGATED) == 0 || record->sub_seqno + 1 == record->sub_count;
}

/* What became full, or has all its records again. */
static ls_status cut_full(lsi_delivery_shard *shard)
{
    ls_status st = LS_OK;

    if (shard->replay != NULL && shard->next_ordinal >= shard->replayed.end)
        st = lsi_delivery_cut(shard, shard->replay);
    if (st != LS_OK || shard->replay != NULL || !shard->is_full)
        return st;
    for (lsi_buffer *at = shard->buffers, *next; at != NULL && st == LS_OK; at = next) {
        next = at->next;
        if (at->size >= lsi_delivery_buffer_bytes(shard->run, at->kind))
            st = lsi_delivery_cut(shard, at);
    }
    shard->is_full = st != LS_OK;
    return st;
}

static bool is_done(const lsi_delivery_shard *shard, uint64_t ordinal)
{
    return ordinal < shard->done.end && lsi_marks_has(&shard->done, ordinal);
}

static ls_status back_up(lsi_delivery_shard *shard, const ls_batch *batch, uint32_t index, lsi_at at)
{
    const lsi_delivery_run_state *run = shard->run;
    const ls_record *record = source_of(shard, batch, index);
    bool wants = (run->delivery->options.flags & LS_DELIVERY_BACKUP) != 0 && at.ordinal >= shard->backup_done;

    return wants && record != NULL ? lsi_delivery_collect_source(shard, record, at) : LS_OK;
}

static bool is_unsplit(const ls_record *record)
{
    return (record->flags & LSI_RECORD_UNSPLIT) != 0;
}

static ls_status collect_unsplit(lsi_delivery_shard *shard, const ls_record *record, lsi_at at)
{
    return lsi_delivery_collect_failed(shard, record, at, 0, LSI_FAILED_SPLIT,
                                       "the record is not JSON values, one behind the other");
}

/* ---- a batch without a transform ---- */

static ls_status take_plain(lsi_delivery_shard *shard, const ls_batch *batch)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < batch->count && st == LS_OK; i++) {
        const ls_record *record;
        lsi_at at;

        i += lsi_delivery_collect_run(shard, batch->records + i, batch->count - i);
        if (i == batch->count)
            break;
        record = &batch->records[i];
        at = place_of(shard, batch, i);
        st = back_up(shard, batch, i, at);
        if (st == LS_OK && !is_done(shard, at.ordinal))
            st = is_unsplit(record) ? collect_unsplit(shard, record, at)
                                    : lsi_delivery_collect(shard, record, record->data, at, NULL, 0);
        if (st != LS_OK)
            return st;
        pass(shard, record);
        if (shard->is_full || shard->replay != NULL)
            st = cut_full(shard);
    }
    return st;
}

/* ---- a batch with one ---- */

/* How many of [from, count) one call gets. */
static uint32_t part_of(const lsi_delivery_run_state *run, const ls_batch *batch, uint32_t from)
{
    const ls_delivery_options *options = &run->delivery->options;
    uint32_t to = from;
    uint64_t bytes = 0;

    while (to < batch->count && to - from < options->transform_records_max) {
        bytes += batch->records[to].data.size;
        if (bytes > options->transform_bytes_max && to > from)
            break;
        to++;
    }
    return to;
}

/* Calls it until it has answered, or was asked often enough: `*has_failed`. `*attempts`: so often it was. */
static ls_status call_transform(lsi_delivery_run_state *run, size_t count, uint32_t *attempts, bool *has_failed)
{
    int32_t retries_max = run->delivery->options.transform_retries_max;
    uint32_t retries = retries_max == LS_DELIVERY_NO_RETRIES ? 0 : (uint32_t)retries_max;
    int64_t wait_us = RETRY_US_LEAST;

    for (*attempts = 0;;) {
        ls_transform_answer answer;
        int64_t begun_us, ended_us;
        ls_status st = lsi_transform_begin(&run->transform, run->batch, count, *attempts);

        if (st != LS_OK)
            return st;
        (void)lsi_error_end(LS_OK);
        begun_us = lsi_delivery_now_us(run);
        run->transform.end_us = begun_us + (int64_t)run->how->transform_timeout_ms * 1000;
        answer = run->how->transform(&run->transform, run->how->transform_user);
        lsi_error_begin();
        ++*attempts;
        ended_us = lsi_delivery_now_us(run);
        run->transform.was_late = ended_us >= run->transform.end_us;
        *has_failed = answer != LS_TRANSFORM_DONE || run->transform.was_late;
        if (answer == LS_TRANSFORM_STOP) {
            run->is_over = true;
            return lsi_fail(LS_ERR_CANCELLED, "delivery '%s': the transform said stop", run->how->name);
        }
        lsi_delivery_count_call(run, *has_failed, ended_us - begun_us);
        if (!*has_failed || *attempts > retries)
            return LS_OK;
        st = lsi_delivery_sleep(run, lsi_delivery_now_us(run) + wait_us);
        if (st != LS_OK)
            return st;
        wait_us = wait_us * 2 < RETRY_US_MOST ? wait_us * 2 : RETRY_US_MOST;
    }
}

static ls_status fail_record(lsi_delivery_shard *shard, const ls_record *record, lsi_at at, uint32_t attempts,
                             const char *code, ls_bytes message)
{
    const lsi_memory *memory = &shard->run->env->memory;
    char *text = lsi_alloc(memory, message.size + 1);
    ls_status st;

    if (text == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a line of the error output");
    memcpy(text, message.data, message.size);
    text[message.size] = '\0';
    st = lsi_delivery_collect_failed(shard, record, at, attempts, code, text);
    lsi_free(memory, text);
    return st;
}

static ls_status collect_answer(lsi_delivery_shard *shard, const ls_record *record, lsi_at at, size_t index,
                                uint32_t attempts, bool has_failed)
{
    const ls_transform *batch = &shard->run->transform;
    const lsi_said *item = &batch->items[index];
    ls_bytes said = lsi_transform_text(batch, item->at, item->size);
    lsi_partition_key keys[LSI_PARTITION_KEYS_MAX];
    lsi_verdict verdict = has_failed ? LSI_VERDICT_FAIL : item->verdict;

    switch (verdict) {
    case LSI_VERDICT_KEEP:
    case LSI_VERDICT_REPLACE:
        return lsi_delivery_collect(shard, record, verdict == LSI_VERDICT_KEEP ? record->data : said, at, keys,
                                    lsi_transform_keys(batch, index, keys));
    case LSI_VERDICT_DROP:
        lsi_delivery_count_dropped(shard, at.billed);
        return lsi_marks_add(&shard->done, at.ordinal, at.ordinal + 1)
                   ? LS_OK : lsi_fail(LS_ERR_NO_MEMORY, "no memory for noting what was dropped");
    case LSI_VERDICT_NONE:
        return lsi_delivery_collect_failed(shard, record, at, attempts, LSI_TRANSFORM_MISSING,
                                           "the transform did not say what becomes of the record");
    case LSI_VERDICT_FAIL:
        break;
    }
    if (has_failed && batch->was_late)
        return lsi_delivery_collect_failed(shard, record, at, attempts, LSI_FAILED_TIME,
                                           "the transform took longer than its time");
    if (has_failed || said.size == 0)
        return lsi_delivery_collect_failed(shard, record, at, attempts, LSI_FAILED_FUNCTION,
                                           has_failed ? "the transform failed" : "the transform failed on the record");
    return fail_record(shard, record, at, attempts, item->code != NULL ? item->code : LSI_FAILED_FUNCTION, said);
}

/* [from, to) of the batch. */
static ls_status take_part(lsi_delivery_shard *shard, const ls_batch *batch, uint32_t from, uint32_t to)
{
    lsi_delivery_run_state *run = shard->run;
    uint64_t first_ordinal = shard->next_ordinal;
    uint32_t attempts = 0;
    size_t count = 0, next = 0;
    bool has_failed = false;
    ls_status st = LS_OK;

    if (!lsi_grow(&run->env->memory, (void **)&run->batch, &run->batch_capacity, to - from, sizeof *run->batch))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a transform of %" PRIu32 " records", to - from);
    for (uint32_t i = from; i < to; i++)
        if (!is_done(shard, first_ordinal + (i - from)) && !is_unsplit(&batch->records[i]))
            run->batch[count++] = &batch->records[i];
    run->transform.shard = shard->shard;
    if (count != 0)
        st = lsi_delivery_save_put(shard); /* V2: the transform may take its time. */
    if (count != 0 && st == LS_OK)
        st = call_transform(run, count, &attempts, &has_failed);
    for (uint32_t i = from; i < to && st == LS_OK; i++) {
        const ls_record *record = &batch->records[i];
        lsi_at at = place_of(shard, batch, i);

        st = back_up(shard, batch, i, at);
        if (st == LS_OK && is_unsplit(record) && !is_done(shard, at.ordinal))
            st = collect_unsplit(shard, record, at);
        else if (st == LS_OK && next < count && run->batch[next] == record)
            st = collect_answer(shard, record, at, next++, attempts, has_failed);
        if (st != LS_OK)
            return st;
        pass(shard, record);
        st = cut_full(shard);
    }
    return st;
}

static ls_status take_transformed(lsi_delivery_shard *shard, const ls_batch *batch)
{
    ls_status st = LS_OK;

    for (uint32_t from = 0, to; from < batch->count && st == LS_OK; from = to) {
        to = part_of(shard->run, batch, from);
        st = take_part(shard, batch, from, to);
    }
    return st;
}

/* ---- a batch ---- */

static ls_status take(lsi_delivery_shard *shard, const ls_batch *batch)
{
    return (shard->run->delivery->options.flags & LS_DELIVERY_TRANSFORM) != 0 ? take_transformed(shard, batch)
                                                                              : take_plain(shard, batch);
}

static ls_status take_split(lsi_delivery_shard *shard, const ls_batch *batch, const char *delimiter)
{
    bool is_rest = batch->records[0].seqno == shard->seqno; /* of an aggregate */
    lsi_pieces *pieces = &shard->run->pieces;
    ls_batch part = *batch;
    ls_status st;

    lsi_pieces_begin(pieces, is_rest ? (uint32_t)(shard->next_ordinal - shard->seqno_ordinal) : 0);
    do {
        st = lsi_pieces_next(pieces, batch, delimiter);
        part.records = pieces->records;
        part.count = pieces->count;
        if (st == LS_OK)
            st = take(shard, &part);
    } while (st == LS_OK && pieces->count != 0);
    return st;
}

/* ---- what is due ---- */

/* Its interval counts from the arrival of its first record, whoever read that before. Of what lies behind, which may
 * all be older, objects are made as large as they are to be: there it counts from when it was read. */
static int64_t due_us(const lsi_delivery_shard *shard, const lsi_buffer *buffer)
{
    return (shard->is_at_tip ? buffer->arrived_us : buffer->opened_us) +
        lsi_delivery_interval_us(shard->run, buffer->kind);
}

/* What has waited long enough is delivered. `all`: everything has. */
static ls_status cut_due(lsi_delivery_shard *shard, bool all)
{
    int64_t now_us = lsi_passing_us(&shard->run->env->clock);
    ls_status st = LS_OK;

    for (lsi_buffer *at = shard->buffers, *next; at != NULL && st == LS_OK && shard->replay == NULL; at = next) {
        next = at->next;
        if (all || now_us >= due_us(shard, at))
            st = lsi_delivery_cut(shard, at);
    }
    return st;
}

/* The largest of what is collected goes while there is too much, and the oldest while what is to be stored is. */
static ls_status cut_what_is_too_much(lsi_delivery_shard *shard)
{
    const lsi_delivery_run_state *run = shard->run;
    ls_status st = LS_OK;

    while (st == LS_OK && shard->replay == NULL && shard->buffers != NULL &&
           (shard->is_wide || run->memory_used > run->how->memory_bytes_max)) {
        lsi_buffer *chosen = shard->buffers;

        for (lsi_buffer *at = chosen->next; at != NULL; at = at->next)
            if (shard->is_wide ? at->restart_ordinal < chosen->restart_ordinal : at->size > chosen->size)
                chosen = at;
        if (!shard->is_wide && chosen->size < BYTES_MAX / 4) /* Other shards have it. */
            break;
        shard->is_wide = false;
        st = lsi_delivery_cut(shard, chosen);
    }
    return st;
}

int64_t lsi_delivery_shard_left_us(const lsi_delivery_shard *shard)
{
    int64_t now_us = lsi_passing_us(&shard->run->env->clock);
    int64_t left_us =
        shard->unsaved_us == 0 ? INT64_MAX : shard->unsaved_us + SAVE_US - lsi_delivery_now_us(shard->run);

    for (const lsi_buffer *at = shard->buffers; at != NULL; at = at->next) {
        int64_t cut_us = due_us(shard, at) - now_us;

        left_us = cut_us < left_us ? cut_us : left_us;
    }
    return left_us;
}

/* Nothing of the replayed object is left to be read: it is what it is. */
static ls_status end_replay(lsi_delivery_shard *shard)
{
    return shard->replay != NULL ? lsi_delivery_cut(shard, shard->replay) : LS_OK;
}

ls_status lsi_delivery_shard_flush(lsi_delivery_shard *shard)
{
    ls_status st = end_replay(shard);

    if (st == LS_OK)
        st = cut_due(shard, true);
    if (st == LS_OK && shard->unsaved_us != 0)
        st = lsi_delivery_save(shard, NULL);
    return st;
}

/* ---- reading ---- */

/* Ordinals count from a record that is gone: what is known of those that come may be of others. */
static void forget_what_was_stored(lsi_delivery_shard *shard)
{
    const lsi_delivery_run_state *run = shard->run;

    lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s' goes on behind records that it has not read: %s",
                run->how->name, ls_last_error_message());
    if (shard->done.end <= shard->next_ordinal && shard->replay == NULL && shard->backup_done <= shard->next_ordinal)
        return;
    lsi_marks_free(&shard->done);
    lsi_marks_forget(&shard->done, shard->base);
    if (shard->backup_done > shard->next_ordinal)
        shard->backup_done = shard->next_ordinal;
    if (shard->replay == NULL)
        return;
    /* What was begun may have been delivered; what of it is there still comes again. */
    for (lsi_buffer **link = &shard->buffers; *link != NULL; link = &(*link)->next)
        if (*link == shard->replay) {
            *link = shard->replay->next;
            break;
        }
    shard->run->memory_used -= shard->replay->size;
    lsi_buffer_free(shard->replay);
    shard->replay = NULL;
    lsi_marks_free(&shard->replayed);
}

static ls_status read_once(lsi_delivery_shard *shard, bool *is_busy)
{
    lsi_delivery_run_state *run = shard->run;
    const ls_delivery_options *options = &run->delivery->options;
    bool is_asked = (options->flags & LS_DELIVERY_TRANSFORM) != 0; /* about as many at once as it may have */
    const ls_batch *batch;
    ls_status st = lsi_iterator_next(shard->iterator,
                                     is_asked && options->transform_records_max > RECORDS_MAX
                                         ? options->transform_records_max : RECORDS_MAX,
                                     is_asked && options->transform_bytes_max > READ_BYTES_MAX
                                         ? options->transform_bytes_max : READ_BYTES_MAX, 0, &batch);

    *is_busy = st == LS_ERR_TRIMMED;
    if (st == LS_ERR_TRIMMED)
        forget_what_was_stored(shard);
    shard->is_at_tip = false; /* What is there is not known, or below. */
    if (st == LS_ERR_THROTTLED)
        lsi_delivery_count(run, LSI_DELIVERED_READS_HELD, 1);
    if (st == LS_ERR_TRIMMED || st == LS_ERR_THROTTLED)
        return LS_OK;
    if (st != LS_OK)
        return st;
    shard->is_at_tip = batch->count == 0 || batch->millis_behind_latest == 0;
    shard->is_at_end = batch->is_shard_end;
    *is_busy = batch->count != 0;
    if (batch->count == 0)
        return LS_OK;
    lsi_delivery_count_read(shard);
    return options->split != NULL ? take_split(shard, batch, options->split) : take(shard, batch);
}

ls_status lsi_delivery_shard_step(lsi_delivery_shard *shard, bool *is_busy)
{
    const lsi_delivery_run_state *run = shard->run;
    ls_status st = shard->iterator == NULL ? open_it(shard) : LS_OK;

    if (st == LS_OK)
        st = read_once(shard, is_busy);
    if (st == LS_OK && shard->is_at_tip)
        st = end_replay(shard);
    if (st == LS_OK)
        lsi_delivery_advance(shard);
    if (st == LS_OK)
        st = cut_due(shard, shard->is_at_end);
    if (st == LS_OK)
        st = cut_what_is_too_much(shard);
    if (st == LS_OK && !shard->is_at_end)
        st = lsi_delivery_save_put(shard);
    if (st == LS_OK && shard->unsaved_us != 0 && shard->replay == NULL && !shard->is_at_end &&
        lsi_delivery_now_us(run) - shard->unsaved_us >= SAVE_US)
        st = lsi_delivery_save(shard, NULL);
    lsi_delivery_tell(shard);
    return st == LS_OK && shard->is_at_end ? lsi_delivery_save_end(shard) : st;
}
