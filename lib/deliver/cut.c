/* An object is closed and delivered.
 *
 *   V1  Which records it has, and its name, are stored before its first byte leaves the process; in one write with what
 *       was done before it, fenced by the lease.
 *   V2  Only when the destination has it, its records are done. That is stored with the beginning of the next object
 *       when that is at hand, else before anything is waited for: whoever comes in between makes it again, under the
 *       same name, and the destination knows it, if it has it still.
 *   V3  One object of a shard is begun at a time. One that was found begun is finished before any other.
 *   V4  The checkpoint is behind the last record before which nothing is left to do: it stands at the oldest record
 *       that is collected.
 *   V5  A destination that fails is asked again, later and later, while the object waits; it is in memory once. It
 *       fails, too, when the run is to end, or is to give up, and nothing of the object moves.
 *   V6  An object whose name something stands in the way of takes another one, which is stored before its first byte
 *       leaves the process (V1): its own beneath the error prefix, or, if that cannot be, the last part of it. */
#include "deliver/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/gzip.h"

#define WAIT_US_LEAST INT64_C(10000)
#define WAIT_US_MOST INT64_C(10240000)
#define QUIET_US INT64_C(5000000) /* so long after its last byte an object is given up, once it is time */

void lsi_delivery_advance(lsi_delivery_shard *shard)
{
    uint64_t ordinal = shard->is_whole ? shard->next_ordinal : shard->seqno_ordinal;
    ls_seqno seqno = shard->is_whole ? shard->seqno : shard->seqno_before;

    for (const lsi_buffer *at = shard->buffers; at != NULL; at = at->next)
        if (at->record_count != 0 && at->restart_ordinal < ordinal) {
            ordinal = at->restart_ordinal;
            seqno = at->restart_after;
        }
    if (shard->replay != NULL || ordinal <= shard->base) /* Of what is replayed the first record may not be read yet. */
        return;
    shard->base = ordinal;
    shard->done_seqno = seqno;
    lsi_marks_forget(&shard->done, ordinal);
    if (shard->unsaved_us == 0)
        shard->unsaved_us = lsi_delivery_now_us(shard->run);
}

/* ---- names ---- */

static ls_status name_it(lsi_delivery_shard *shard, lsi_buffer *buffer)
{
    const lsi_delivery_run_state *run = shard->run;
    const lsi_delivery *delivery = run->delivery;
    char name[LSI_OBJECT_NAME_BYTES];
    unsigned char identity[48];
    lsi_writer to = {identity, identity + sizeof identity};
    lsi_object object = {
        .prefix = buffer->prefix,
        .name = delivery->name,
        .version = delivery->version,
        .extension = lsi_delivery_extension(&delivery->options),
        .named_us = lsi_wall_us(&run->env->clock),
        .identity = {identity, sizeof identity},
    };
    ls_status st;

    /* Parts of one aggregate have one number: how far into it the object begins and ends tells them apart. */
    lsi_put_u64(&to, delivery->id);
    lsi_put_u64(&to, buffer->target_sum);
    lsi_put_u64(&to, buffer->first_seqno);
    lsi_put_u64(&to, buffer->last_seqno);
    lsi_put_u64(&to, buffer->first_ordinal - buffer->restart_ordinal);
    lsi_put_u32(&to, shard->shard);
    lsi_put_u32(&to, (uint32_t)buffer->record_count);
    st = lsi_object_name(&object, name);
    if (st != LS_OK)
        return st;
    buffer->name = lsi_strdup(buffer->memory, name);
    buffer->compression = delivery->options.compression;
    return buffer->name != NULL ? LS_OK : lsi_fail(LS_ERR_NO_MEMORY, "no memory for the name of an object");
}

/* ---- compression ---- */

/* `*made`: the caller's (lsi_free). */
static ls_status compress_it(lsi_delivery_run_state *run, const lsi_buffer *buffer, ls_bytes *content, void **made)
{
    bool is_gzip = buffer->compression == LS_DELIVERY_GZIP;
    size_t room, size = 0;

    *made = NULL;
    *content = (ls_bytes){buffer->bytes, buffer->size};
    if (buffer->compression == LS_DELIVERY_UNCOMPRESSED)
        return LS_OK;
    if (is_gzip && !lsi_gzip_is_built())
        return lsi_fail(LS_ERR_UNSUPPORTED, "this build has no gzip");
    if (!is_gzip && run->compressor == NULL)
        run->compressor = lsi_compressor_new();
    room = is_gzip ? lsi_gzip_bound(buffer->size) : lsi_compress_bound(buffer->size);
    *made = lsi_alloc(&run->env->memory, room);
    if (*made != NULL && is_gzip)
        size = lsi_gzip(buffer->bytes, buffer->size, *made, room);
    else if (*made != NULL && run->compressor != NULL)
        size = lsi_compress(run->compressor, buffer->bytes, buffer->size, *made, room);
    if (size == 0) {
        lsi_free(&run->env->memory, *made);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for compressing an object of %zu bytes", buffer->size);
    }
    *content = (ls_bytes){*made, size};
    return LS_OK;
}

/* ---- the destination ---- */

static ls_status put_once(const lsi_delivery_shard *shard, const lsi_buffer *buffer, ls_bytes content,
                          lsi_put_hope *hope)
{
    const lsi_delivery_run_state *run = shard->run;
    const ls_delivery_object object = {
        .size = (uint32_t)sizeof object,
        .kind = buffer->kind,
        .name = buffer->name,
        .content = content,
        .record_count = buffer->record_count,
        .first_seqno = buffer->first_seqno,
        .last_seqno = buffer->last_seqno,
        .shard = shard->shard,
    };
    ls_status st;

    if (run->sink != NULL)
        return run->sink->ops->put(run->sink, buffer->name, content, hope);
    (void)lsi_error_end(LS_OK);
    st = run->how->deliver(&object, run->how->deliver_user);
    lsi_error_begin();
    *hope = LSI_PUT_LATER;
    return st == LS_OK ? LS_OK : lsi_fail(LS_ERR_IO, "the callback did not take '%s': %s", buffer->name,
                                          ls_status_name(st));
}

/* V5: as of lsi_sink. An object that is large, or a network that is slow, may take longer than it is waited for. */
bool lsi_delivery_is_put_over(void *user, int64_t quiet_us)
{
    const lsi_delivery_run_state *run = user;
    int64_t most_us = (int64_t)run->how->give_up_ms * 1000;

    return lsi_delivery_is_stopped(run) || (lsi_delivery_now_us(run) >= run->give_up_at_us &&
                                            quiet_us >= (most_us < QUIET_US ? most_us : QUIET_US));
}

/* V6. The next name for it; "": there is none. */
static ls_status find_other_name(const lsi_delivery_shard *shard, const lsi_buffer *buffer, bool is_second,
                                 char out[LSI_OBJECT_NAME_BYTES])
{
    const char *last = strrchr(buffer->name, '/');
    const lsi_naming_values values = {
        .oldest_us = lsi_wall_us(&shard->run->env->clock),
        .seed = buffer->target_sum ^ buffer->first_seqno,
        .error_type = LSI_ERRORS_DIRECTORY,
    };
    char prefix[LSI_PREFIX_BYTES];
    int size = LSI_OBJECT_NAME_BYTES;
    ls_status st;

    if (!is_second) {
        st = lsi_naming_prefix(shard->run->names, LSI_PREFIX_ERRORS, &values, prefix);
        if (st != LS_OK)
            return st;
        size = snprintf(out, LSI_OBJECT_NAME_BYTES, "%s%s%s", prefix,
                        prefix[strlen(prefix) - 1] == '/' ? "" : "/", buffer->name);
    }
    if (size >= (int)LSI_OBJECT_NAME_BYTES) /* That would be too long. */
        (void)snprintf(out, LSI_OBJECT_NAME_BYTES, "%s", last != NULL ? last + 1 : "");
    return LS_OK;
}

/* V6. LS_OK: it has another name, or `*is_none`. */
static ls_status rename_it(lsi_delivery_shard *shard, lsi_buffer *buffer, bool is_second, bool *is_none)
{
    const lsi_delivery_run_state *run = shard->run;
    char name[LSI_OBJECT_NAME_BYTES], *own;
    lsi_error_state why;
    ls_status st;

    lsi_error_save(&why);
    st = find_other_name(shard, buffer, is_second, name);
    if (st != LS_OK)
        return st;
    *is_none = name[0] == '\0';
    if (*is_none) {
        lsi_error_restore(&why);
        return LS_OK;
    }
    own = lsi_strdup(buffer->memory, name);
    if (own == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the name of an object");
    lsi_free(buffer->memory, buffer->name);
    buffer->name = own;
    st = lsi_delivery_save(shard, buffer);
    if (st != LS_OK)
        return st;
    lsi_delivery_count(run, LSI_DELIVERED_MOVED, 1);
    lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s' shard %" PRIu32 ": %s: it goes to '%s'", run->how->name,
                shard->shard, why.message, name);
    return LS_OK;
}

/* One line when it begins to fail, and one when it is over. */
static void tell_failing(const lsi_delivery_shard *shard)
{
    lsi_env_log(shard->run->env, LS_LOG_WARNING, "delivery '%s' shard %" PRIu32 ": an object waits: %s",
                shard->run->how->name, shard->shard, lsi_error_current()->message);
}

static void tell_over(const lsi_delivery_shard *shard, uint64_t failures, int64_t took_us)
{
    lsi_env_log(shard->run->env, LS_LOG_WARNING, "delivery '%s' shard %" PRIu32 ": the object is delivered after "
                "%" PRIu64 " failures in %" PRId64 ".%03d s", shard->run->how->name, shard->shard, failures,
                took_us / 1000000, (int)(took_us / 1000 % 1000));
}

/* V5 */
static ls_status put_until_it_is_there(lsi_delivery_shard *shard, lsi_buffer *buffer, ls_bytes content)
{
    lsi_delivery_run_state *run = shard->run;
    int64_t begun_us = lsi_delivery_now_us(run), wait_us = WAIT_US_LEAST;
    int64_t end_us = run->how->give_up_ms == 0 ? INT64_MAX : begun_us + (int64_t)run->how->give_up_ms * 1000;
    uint64_t failures = 0;
    uint32_t moves = 0;

    run->give_up_at_us = end_us;
    for (;;) {
        lsi_put_hope hope = LSI_PUT_NEVER;
        ls_status st = put_once(shard, buffer, content, &hope);
        int64_t now_us = lsi_delivery_now_us(run);
        bool is_none = true;

        lsi_delivery_count_put(run, buffer->kind, st == LS_OK);
        if (st == LS_OK && failures != 0)
            tell_over(shard, failures, now_us - begun_us);
        if (st != LS_OK && hope == LSI_PUT_ELSEWHERE && moves < 2) {
            ls_status moved = rename_it(shard, buffer, moves++ != 0, &is_none);

            if (moved != LS_OK)
                return moved;
            if (!is_none)
                continue;
        }
        run->is_refused = st != LS_OK && (hope != LSI_PUT_LATER || now_us >= end_us);
        if (st == LS_OK || run->is_refused)
            return st;
        if (lsi_delivery_is_stopped(run)) /* Nothing waits. */
            return lsi_delivery_sleep(run, now_us);
        if (failures++ == 0)
            tell_failing(shard);
        lsi_delivery_count(run, LSI_DELIVERED_RETRIES, 1);
        st = lsi_delivery_sleep(run, now_us + wait_us < end_us ? now_us + wait_us : end_us);
        if (st != LS_OK)
            return st;
        wait_us = wait_us * 2 < WAIT_US_MOST ? wait_us * 2 : WAIT_US_MOST;
    }
}

/* ---- all of it ---- */

static ls_status mark_done(lsi_delivery_shard *shard, const lsi_buffer *buffer)
{
    if (buffer->kind == LS_DELIVERY_SOURCE_BACKUP) { /* It has all records up to its last one. */
        shard->backup_done = buffer->ordinals[buffer->ordinal_count - 1].to;
        return LS_OK;
    }
    for (size_t i = 0; i < buffer->ordinal_count; i++)
        if (!lsi_marks_add(&shard->done, buffer->ordinals[i].from, buffer->ordinals[i].to))
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for noting what was delivered");
    return LS_OK;
}

/* Records without a byte, and nothing between them: they make no object. */
static ls_status pass(lsi_delivery_shard *shard, const lsi_buffer *buffer)
{
    lsi_delivery_count_records(shard, buffer);
    return mark_done(shard, buffer);
}

/* The memory of one object is kept for the next. */
static void forget(lsi_delivery_shard *shard, lsi_buffer *buffer)
{
    lsi_delivery_run_state *run = shard->run;
    lsi_buffer **link = &shard->buffers;

    while (*link != buffer)
        link = &(*link)->next;
    *link = buffer->next;
    if (buffer->kind == LS_DELIVERY_DATA && !buffer->is_replay)
        shard->partition_count--;
    run->memory_used -= buffer->size;
    if (run->spare == NULL) {
        run->spare = buffer->bytes;
        run->spare_capacity = buffer->capacity;
        buffer->bytes = NULL;
    }
    if (buffer == shard->replay) {
        shard->replay = NULL;
        lsi_marks_free(&shard->replayed);
    }
    lsi_buffer_free(buffer);
}

static ls_status deliver(lsi_delivery_shard *shard, lsi_buffer *buffer)
{
    ls_bytes content;
    void *made;
    ls_status st = LS_OK;

    if (buffer->name == NULL)
        st = name_it(shard, buffer);
    if (st == LS_OK && !buffer->is_replay)
        st = lsi_delivery_save(shard, buffer); /* V1 */
    if (st == LS_OK)
        st = compress_it(shard->run, buffer, &content, &made);
    if (st != LS_OK)
        return st;
    st = put_until_it_is_there(shard, buffer, content);
    lsi_free(&shard->run->env->memory, made);
    if (st != LS_OK)
        return st;
    shard->has_put = true;
    lsi_delivery_count_object(shard, buffer, content.size);
    return mark_done(shard, buffer);
}

ls_status lsi_delivery_cut(lsi_delivery_shard *shard, lsi_buffer *buffer)
{
    ls_status st = LS_OK;

    /* A replayed one may have got no record: the transform sent them elsewhere. */
    if (buffer->record_count != 0)
        st = buffer->size != 0 ? deliver(shard, buffer) : pass(shard, buffer);
    if (st != LS_OK)
        return st;
    forget(shard, buffer);
    lsi_delivery_advance(shard);
    if (shard->unsaved_us == 0) /* V2: that it is done is not stored. */
        shard->unsaved_us = lsi_delivery_now_us(shard->run);
    return LS_OK;
}
