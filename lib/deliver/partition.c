/* Which object a record goes to, and the lines of the error output.
 *
 * Objects that are collected are a list, the one that was met last in front: without partitions there are three of them
 * at most. */
#include "deliver/inside.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "deliver/failed.h"

#define PARTITIONS_FULL "as many partitions as may be are being filled"

/* ---- finding ---- */

/* The object that was begun with this record, and that may be there: NULL: none, or one of another kind. */
static lsi_buffer *begun_with(const lsi_delivery_shard *shard, ls_delivery_kind kind, uint64_t ordinal)
{
    return shard->replay != NULL && shard->replay->kind == kind && lsi_marks_has(&shard->replayed, ordinal)
               ? shard->replay : NULL;
}

static lsi_buffer *find(lsi_delivery_shard *shard, uint64_t sum)
{
    for (lsi_buffer **link = &shard->buffers; *link != NULL; link = &(*link)->next) {
        lsi_buffer *found = *link;

        if (found->target_sum != sum || found->is_replay)
            continue;
        *link = found->next;
        found->next = shard->buffers;
        shard->buffers = found;
        return found;
    }
    return NULL;
}

/* What random strings are made of: the object's place, so that they are the same when it is made again. */
static uint64_t seed_of(const lsi_delivery_shard *shard, uint64_t sum, const ls_record *record)
{
    unsigned char bytes[24];

    lsi_write_u64le(bytes, shard->run->delivery->id);
    lsi_write_u64le(bytes + 8, record->seqno);
    lsi_write_u32le(bytes + 16, record->sub_seqno);
    lsi_write_u32le(bytes + 20, shard->shard);
    return lsi_sum64(bytes, sizeof bytes, sum);
}

/* `record` is its first, and its oldest: arrivals never decrease in a shard. */
static ls_status begin(lsi_delivery_shard *shard, ls_delivery_kind kind, const char *target, const ls_record *record,
                       lsi_naming_values values, lsi_buffer **out)
{
    lsi_delivery_run_state *run = shard->run;
    int64_t age_us = lsi_wall_us(&run->env->clock) - record->arrival_us;
    const lsi_naming *names = kind == LS_DELIVERY_SOURCE_BACKUP ? run->backup_names : run->names;
    char prefix[LSI_PREFIX_BYTES];
    ls_status st;

    values.oldest_us = record->arrival_us;
    values.seed = seed_of(shard, lsi_buffer_target_sum(kind, target), record);
    st = lsi_naming_prefix(names, kind == LS_DELIVERY_ERRORS ? LSI_PREFIX_ERRORS : LSI_PREFIX_DATA, &values, prefix);
    if (st == LS_OK)
        st = lsi_buffer_new(&run->env->memory, kind, target, prefix, out);
    if (st != LS_OK)
        return st;
    (*out)->opened_us = lsi_passing_us(&run->env->clock);
    (*out)->arrived_us = (*out)->opened_us - (age_us > 0 ? age_us : 0);
    (*out)->next = shard->buffers;
    shard->buffers = *out;
    shard->partition_count += kind == LS_DELIVERY_DATA;
    if (run->spare != NULL) {
        (*out)->bytes = run->spare;
        (*out)->capacity = run->spare_capacity;
        run->spare = NULL;
    }
    return LS_OK;
}

/* ---- collecting ---- */

static ls_status append(lsi_delivery_shard *shard, lsi_buffer *buffer, const ls_record *record, lsi_at at,
                        ls_bytes data, ls_bytes behind)
{
    size_t size = data.size + behind.size;
    ls_status st = lsi_buffer_reserve(buffer, size);

    if (st != LS_OK)
        return st;
    if (buffer->record_count == 0) {
        buffer->restart_ordinal = at.restart_ordinal;
        buffer->restart_after = at.restart_after;
    }
    if (!lsi_buffer_note(buffer, at.ordinal, record->seqno))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an object of %" PRIu64 " records", buffer->record_count);
    if (data.size != 0)
        memcpy(buffer->bytes + buffer->size, data.data, data.size);
    if (behind.size != 0)
        memcpy(buffer->bytes + buffer->size + data.size, behind.data, behind.size);
    if (buffer->kind != LS_DELIVERY_SOURCE_BACKUP)
        buffer->billed += at.billed;
    buffer->size += size;
    shard->run->memory_used += size;
    shard->is_full = shard->is_full || buffer->size >= lsi_delivery_buffer_bytes(shard->run, buffer->kind);
    return LS_OK;
}

/* V3: while an object is replayed, none is cut, and others grow. */
static bool would_overflow(const lsi_delivery_shard *shard, const lsi_buffer *buffer, size_t size)
{
    uint64_t most = lsi_delivery_buffer_bytes(shard->run, buffer->kind);

    return shard->replay == NULL && buffer->record_count != 0 && (size > most || buffer->size > most - size);
}

/* What a record was begun with it stays in: how many partitions are being filled now, and by which settings, may
 * differ from when that was decided. */
static lsi_buffer *find_for(lsi_delivery_shard *shard, ls_delivery_kind kind, const char *target, uint64_t ordinal)
{
    lsi_buffer *begun = begun_with(shard, kind, ordinal);

    return begun != NULL ? begun : find(shard, lsi_buffer_target_sum(kind, target));
}

/* Into the object of kind and target, which is begun if there is none. */
static ls_status collect(lsi_delivery_shard *shard, ls_delivery_kind kind, const char *target, const ls_record *record,
                         lsi_at at, const lsi_naming_values *values, ls_bytes data, ls_bytes behind)
{
    lsi_buffer *buffer = find_for(shard, kind, target, at.ordinal);
    ls_status st = LS_OK;

    if (buffer != NULL && would_overflow(shard, buffer, data.size + behind.size)) {
        st = lsi_delivery_cut(shard, buffer);
        buffer = NULL;
    }
    if (st == LS_OK && buffer == NULL)
        st = begin(shard, kind, target, record, *values, &buffer);
    return st == LS_OK ? append(shard, buffer, record, at, data, behind) : st;
}

/* All of it counts once for the run, not once for each record. */
static void note_run(lsi_delivery_shard *shard, lsi_buffer *buffer, const ls_record *records, uint32_t count)
{
    const ls_record *last = &records[count - 1];

    buffer->ordinals[buffer->ordinal_count - 1].to += count;
    buffer->record_count += count;
    buffer->last_seqno = last->seqno;
    shard->next_ordinal += count;
    shard->seqno_before = count == 1 ? shard->seqno : records[count - 2].seqno;
    shard->seqno_ordinal = shard->next_ordinal - 1;
    shard->seqno = last->seqno;
    shard->is_whole = true;
}

/* Whether the records that come go into the object that was met last, if they fit, and that is all there is to do. */
static bool takes_run(const lsi_delivery_shard *shard)
{
    const lsi_buffer *first = shard->buffers;
    const uint32_t others = LS_DELIVERY_TRANSFORM | LS_DELIVERY_PARTITION | LS_DELIVERY_BACKUP;
    const ls_delivery_options *options = &shard->run->delivery->options;

    return (options->flags & others) == 0 && options->split == NULL && shard->replay == NULL && !shard->is_full &&
        first != NULL && first->kind == LS_DELIVERY_DATA && first->ordinal_count != 0 &&
        first->ordinals[first->ordinal_count - 1].to == shard->next_ordinal && shard->done.end <= shard->next_ordinal;
}

uint32_t lsi_delivery_collect_run(lsi_delivery_shard *shard, const ls_record *records, uint32_t count)
{
    lsi_buffer *buffer = shard->buffers;
    const ls_bytes behind = shard->run->delimiter;
    uint64_t room, size = 0, billed = 0;
    uint32_t fitting = 0;
    size_t at = buffer != NULL ? buffer->size : 0;

    if (!takes_run(shard) || records[0].seqno == shard->seqno)
        return 0;
    room = lsi_delivery_buffer_bytes(shard->run, LS_DELIVERY_DATA);
    room -= buffer->size < room ? buffer->size : room;
    for (; fitting < count && (records[fitting].flags & LS_RECORD_AGGREGATED) == 0; fitting++) {
        uint64_t own = records[fitting].data.size + behind.size;

        if (own >= room - size) /* What makes it full, or is too much, goes the general way. */
            break;
        size += own;
        billed += lsi_delivery_billed(records[fitting].data.size);
    }
    if (fitting == 0 || !lsi_buffer_grow(buffer, (size_t)size))
        return 0; /* There may be memory for one, or that way says that there is none. */
    for (uint32_t i = 0; i < fitting; i++) {
        const ls_bytes data = records[i].data;

        if (data.size != 0) /* A buffer that is still empty may have no memory. */
            memcpy(buffer->bytes + at, data.data, data.size);
        at += data.size;
        if (behind.size != 0)
            memcpy(buffer->bytes + at, behind.data, behind.size);
        at += behind.size;
    }
    buffer->size += (size_t)size;
    buffer->billed += billed;
    shard->run->memory_used += size;
    note_run(shard, buffer, records, fitting);
    return fitting;
}

ls_status lsi_delivery_collect_failed(lsi_delivery_shard *shard, const ls_record *record, lsi_at at, uint32_t attempts,
                                      const char *code, const char *message)
{
    const lsi_env *env = shard->run->env;
    const lsi_failed failed = {
        .attempts_made = attempts,
        .arrival_us = record->arrival_us,
        .code = code,
        .message = message,
        .ended_us = lsi_wall_us(&env->clock),
        .raw = record->data,
    };
    const lsi_naming_values values = {.error_type = LSI_ERRORS_PROCESSING};
    lsi_json_writer line;
    ls_status st;

    lsi_json_begin(&line, &env->memory);
    lsi_failed_write(&line, &failed);
    st = line.failed ? lsi_fail(LS_ERR_NO_MEMORY, "no memory for a line of the error output")
                     : collect(shard, LS_DELIVERY_ERRORS, LSI_ERRORS_PROCESSING, record, at, &values,
                               (ls_bytes){line.text, line.size}, (ls_bytes){NULL, 0});
    lsi_json_free(&line);
    if (st == LS_OK && strcmp(code, LSI_FAILED_PARTITIONS_FULL) == 0)
        find_for(shard, LS_DELIVERY_ERRORS, LSI_ERRORS_PROCESSING, at.ordinal)->crowded++;
    return st;
}

ls_status lsi_delivery_collect_source(lsi_delivery_shard *shard, const ls_record *record, lsi_at at)
{
    const lsi_naming_values values = {0};

    return collect(shard, LS_DELIVERY_SOURCE_BACKUP, "", record, at, &values, record->data, (ls_bytes){NULL, 0});
}

/* ---- partitions ---- */

/* Which partition it is. `*code` not NULL: it has none, and `message` says why. */
static ls_status find_partition(lsi_delivery_shard *shard, ls_bytes data, lsi_naming_values *values,
                                ls_bytes query_keys[LSI_QUERIES_MAX], char target[LSI_PREFIX_BYTES], const char **code,
                                const char **message)
{
    lsi_delivery_run_state *run = shard->run;
    ls_status st = LS_OK;

    *code = NULL;
    *message = NULL;
    if (run->queries != NULL)
        st = lsi_queries_apply(run->queries, data, query_keys, message);
    if (st != LS_OK)
        return st;
    values->query_keys = query_keys;
    if (*message == NULL) {
        st = lsi_naming_partition(run->names, values, target);
        if (st == LS_ERR_NO_MEMORY)
            return st;
        if (st != LS_OK)
            *message = lsi_error_current()->message;
    }
    if (*message != NULL) {
        *code = LSI_FAILED_PARTITION;
    } else if (shard->partition_count >= run->delivery->options.partitions_max &&
               find(shard, lsi_buffer_target_sum(LS_DELIVERY_DATA, target)) == NULL) {
        *code = LSI_FAILED_PARTITIONS_FULL;
        *message = PARTITIONS_FULL;
    }
    return LS_OK;
}

static ls_status collect_into_partition(lsi_delivery_shard *shard, const ls_record *record, ls_bytes data, lsi_at at,
                                        const lsi_partition_key *keys, uint32_t key_count)
{
    lsi_naming_values values = {.transform_keys = keys, .transform_key_count = key_count};
    ls_bytes query_keys[LSI_QUERIES_MAX];
    char target[LSI_PREFIX_BYTES];
    const char *code, *message;
    ls_status st = find_partition(shard, data, &values, query_keys, target, &code, &message);

    if (st != LS_OK)
        return st;
    if (code == NULL && begun_with(shard, LS_DELIVERY_ERRORS, at.ordinal) != NULL) {
        code = LSI_FAILED_PARTITIONS_FULL; /* then */
        message = PARTITIONS_FULL;
    }
    if (code != NULL)
        return lsi_delivery_collect_failed(shard, record, at, 1, code, message);
    return collect(shard, LS_DELIVERY_DATA, target, record, at, &values, data, shard->run->delimiter);
}

ls_status lsi_delivery_collect(lsi_delivery_shard *shard, const ls_record *record, ls_bytes data, lsi_at at,
                               const lsi_partition_key *keys, uint32_t key_count)
{
    const lsi_delivery_run_state *run = shard->run;
    const lsi_naming_values values = {.oldest_us = 0};
    lsi_buffer *first = shard->buffers, *begun = begun_with(shard, LS_DELIVERY_DATA, at.ordinal);

    if (begun != NULL)
        return append(shard, begun, record, at, data, run->delimiter);
    if ((run->delivery->options.flags & LS_DELIVERY_PARTITION) != 0)
        return collect_into_partition(shard, record, data, at, keys, key_count);
    /* Nearly always it is the one that was met last, and has room. */
    if (first != NULL && first->kind == LS_DELIVERY_DATA && shard->replay == NULL &&
        !would_overflow(shard, first, data.size + run->delimiter.size))
        return append(shard, first, record, at, data, run->delimiter);
    if (begun_with(shard, LS_DELIVERY_ERRORS, at.ordinal) != NULL)
        return lsi_delivery_collect_failed(shard, record, at, 1, LSI_FAILED_FUNCTION,
                                           "the transform failed on the record");
    return collect(shard, LS_DELIVERY_DATA, "", record, at, &values, data, run->delimiter);
}
