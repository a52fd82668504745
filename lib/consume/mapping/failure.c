/* What is given up, for a stream of the same store: the report that AWS Lambda sends to a queue, with the event itself,
 * which the service sends to buckets only. So nothing that is known of a record is lost with it.
 *
 * A report that is too large for a record becomes two, of half the batch each. A single record whose report is
 * still too large goes as it is, behind its report, which has no payload then: both in one shard, both or none. So does
 * the state of a window whose last invocation was given up. What is too large by itself is left out (put_apart). */
#include "consume/mapping/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "consume/mapping/event_json.h"
#include "stream/stream.h"

#define UUID_BYTES 37
#define DOCUMENT_BYTES_MOST (UINT64_C(10) << 20) /* No stream takes a larger record. */

static void make_uuid(const lsi_env *env, char text[UUID_BYTES])
{
    unsigned char b[16];

    env->random(env->random_user, b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, made of random bits */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    (void)snprintf(text, UUID_BYTES, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                   b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* Not to be made at all, when it is that large. */
static bool is_hopeless(const lsi_invocation *what, const lsi_filter_names *names)
{
    uint32_t extra_bytes = lsi_event_extra_bytes(names);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < what->count; i++)
        bytes += lsi_event_record_bytes(&what->records[i], extra_bytes);
    return bytes > DOCUMENT_BYTES_MOST + (uint64_t)what->count * extra_bytes;
}

/* What is put behind a report that has no payload: the record as it was, or the state of a window whose last
 * invocation it is about, which nobody else has. */
typedef struct left_over {
    ls_bytes key, data;
    bool is_there;
} left_over;

static left_over left_over_of(const lsi_invocation *what, ls_bytes shard)
{
    if (what->count == 1)
        return (left_over){what->records[0].partition_key, what->records[0].data, true};
    return (left_over){shard, what->state, what->count == 0 && what->state.size > 0};
}

/* The report, and `rest` behind it, if there is one. */
static ls_status put_report(const lsi_worker *worker, lsi_failure *failure, const lsi_batcher_action *of,
                            const left_over *rest)
{
    const lsi_run *run = worker->run;
    char key[LSI_SHARD_ID_BYTES], request_id[UUID_BYTES];
    ls_put_entry entries[2];
    ls_hash_key hash;
    lsi_json_writer to;
    ls_status st;

    lsi_shard_id_format(worker->shard, key);
    make_uuid(run->env, request_id);
    failure->request_id = request_id;
    lsi_json_begin(&to, &run->env->memory);
    lsi_failure_write(&to, failure, of);
    if (to.failed) {
        lsi_json_free(&to);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the report of %" PRIu32 " records", of->invocation.count);
    }
    entries[0] = (ls_put_entry){{key, strlen(key)}, {to.text, to.size}, NULL};
    hash = lsi_hash_partition_key(entries[0].partition_key);
    if (rest != NULL)
        entries[1] = (ls_put_entry){rest->key, rest->data, &hash};
    st = run->how->put(run->stream->engine, run->mapping->options.failure_stream, entries, rest != NULL ? 2 : 1);
    lsi_json_free(&to);
    return st;
}

/* A record, or the state of a window, whose report is too large; or the state is no JSON. When it does not fit by
 * itself either, since a stream's limit was changed after the mapping was made, the report goes alone and says so: the
 * record is where the report says for as long as its stream keeps it, and a shard never waits for what cannot be. */
static ls_status put_apart(const lsi_worker *worker, lsi_failure *failure, const lsi_batcher_action *of)
{
    const lsi_run *run = worker->run;
    char shard[LSI_SHARD_ID_BYTES];
    left_over rest;
    ls_status st;

    lsi_shard_id_format(worker->shard, shard);
    rest = left_over_of(&of->invocation, (ls_bytes){shard, strlen(shard)});
    failure->has_payload = failure->is_short = false;
    st = put_report(worker, failure, of, rest.is_there ? &rest : NULL);
    if (st != LS_ERR_TOO_LARGE)
        return st;
    failure->is_short = true;
    st = put_report(worker, failure, of, rest.is_there ? &rest : NULL);
    if (st != LS_ERR_TOO_LARGE || !rest.is_there)
        return st;
    failure->omitted_bytes = rest.data.size;
    st = put_report(worker, failure, of, NULL);
    failure->omitted_bytes = 0;
    if (st == LS_OK)
        lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s' shard %" PRIu32 ": what is given up is reported without "
                    "the %zu bytes of %s %" PRIu64 ": stream '%s' does not take as many", run->mapping->name,
                    worker->shard, rest.data.size,
                    of->invocation.count == 1 ? "record" : "state of the window at",
                    of->invocation.count == 1 ? of->invocation.records[0].seqno
                                              : (uint64_t)of->invocation.window_start_us,
                    run->mapping->options.failure_stream);
    return st;
}

/* All of it, in as many reports as it takes. */
static ls_status put_all(const lsi_worker *worker, lsi_failure *failure, const lsi_batcher_action *of)
{
    const lsi_invocation *what = &of->invocation;
    lsi_batcher_action half = *of;
    ls_status st = LS_ERR_TOO_LARGE;

    failure->has_payload = true;
    failure->is_short = false;
    if (!is_hopeless(what, &failure->source.names) && (what->count > 0 || what->is_windowed))
        st = put_report(worker, failure, of, NULL);
    if (st != LS_ERR_TOO_LARGE)
        return st;
    if (what->count <= 1)
        return put_apart(worker, failure, of);
    half.invocation.count = what->count / 2;
    st = put_all(worker, failure, &half);
    if (st != LS_OK)
        return st;
    half.invocation.records = what->records + half.invocation.count;
    half.invocation.count = what->count - half.invocation.count;
    return put_all(worker, failure, &half);
}

bool lsi_failure_put(const lsi_worker *worker, const lsi_batcher_action *discard)
{
    const lsi_run *run = worker->run;
    lsi_batcher_action of = *discard;
    lsi_failure failure = {
        .source = lsi_worker_source(worker),
        .function_arn = run->mapping->name,
        .now_us = lsi_wall_us(&run->env->clock),
    };
    ls_status st;

    if (lsi_event_check_state(&run->env->memory, &of.invocation) != LS_OK)
        of.invocation.is_windowed = false; /* What is no JSON is no part of a document. */
    st = put_all(worker, &failure, &of);
    if (st == LS_OK)
        return true;
    lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s' shard %" PRIu32 ": what is given up cannot be put to stream "
                "'%s' yet: %s", run->mapping->name, worker->shard, run->mapping->options.failure_stream,
                lsi_error_current()->message);
    return false;
}
