/* How far a shard was delivered, as it is stored.
 *
 * The lease's checkpoint is a number: all records up to it are done. What is done behind it, and which object was
 * begun, is a value beside the lease, written with it: FORMAT.md ("State") has the table of its fields. Ordinals in it
 * count from the first record behind the checkpoint, so that it says nothing when retention has taken some of these. */
#include "deliver/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define FORMAT 1u
#define HEAD_BYTES 40u
#define HAS_BEGUN 1u
#define WIDE_BYTES (1u << 20) /* more is not written with each object */

static ls_bytes key_of(const lsi_delivery_shard *shard, char text[LSI_DELIVERY_AT_KEY_BYTES])
{
    int size = snprintf(text, LSI_DELIVERY_AT_KEY_BYTES, LSI_DELIVERY_AT_PREFIX "%s/%010" PRIu32, shard->run->how->name,
                        shard->shard);

    return (ls_bytes){text, (size_t)size};
}

/* ---- storing ---- */

static bool mark_all(lsi_marks *marks, const lsi_buffer *buffer)
{
    for (size_t i = 0; i < buffer->ordinal_count; i++)
        if (!lsi_marks_add(marks, buffer->ordinals[i].from, buffer->ordinals[i].to))
            return false;
    return true;
}

/* The value, the caller's (lsi_free); nothing when the lease says it all. */
static ls_status encode(const lsi_delivery_shard *shard, const lsi_buffer *begun, ls_bytes *out)
{
    const lsi_memory *memory = &shard->run->env->memory;
    size_t done_bytes = lsi_marks_bytes(&shard->done, shard->base), begun_bytes = 0, name_bytes = 0;
    uint64_t backup = shard->backup_done > shard->base ? shard->backup_done - shard->base : 0;
    lsi_marks records;
    unsigned char *bytes = NULL;
    lsi_writer to;
    size_t size;

    *out = (ls_bytes){NULL, 0};
    if (begun == NULL && done_bytes == 0 && backup == 0)
        return LS_OK;
    lsi_marks_init(&records, memory);
    lsi_marks_forget(&records, shard->base);
    if (begun != NULL && mark_all(&records, begun)) {
        begun_bytes = lsi_marks_bytes(&records, shard->base);
        name_bytes = strlen(begun->name) + 1;
    }
    size = HEAD_BYTES + done_bytes + begun_bytes + name_bytes;
    if (begun == NULL || begun_bytes != 0)
        bytes = lsi_alloc(memory, size);
    if (bytes == NULL) {
        lsi_marks_free(&records);
        return lsi_fail(LS_ERR_NO_MEMORY, "delivery '%s' shard %" PRIu32 ": no memory for its progress",
                        shard->run->how->name, shard->shard);
    }
    to = (lsi_writer){bytes, bytes + size};
    lsi_put_u32(&to, FORMAT);
    lsi_put_u32(&to, begun != NULL ? HAS_BEGUN : 0);
    lsi_put_u64(&to, backup);
    lsi_put_u64(&to, begun != NULL ? begun->target_sum : 0);
    lsi_put_u16(&to, begun != NULL ? (uint16_t)begun->kind : 0);
    lsi_put_u16(&to, begun != NULL ? (uint16_t)begun->compression : 0);
    lsi_put_u32(&to, (uint32_t)done_bytes);
    lsi_put_u32(&to, (uint32_t)begun_bytes);
    lsi_put_u32(&to, (uint32_t)name_bytes);
    lsi_marks_write(&shard->done, shard->base, &to);
    lsi_marks_write(&records, shard->base, &to);
    if (begun != NULL)
        lsi_put_bytes(&to, begun->name, name_bytes);
    lsi_marks_free(&records);
    *out = (ls_bytes){bytes, size};
    return LS_OK;
}

static ls_status save(lsi_delivery_shard *shard, ls_seqno seqno, ls_bytes value)
{
    char text[LSI_DELIVERY_AT_KEY_BYTES];
    lsi_state_change change = {.key = key_of(shard, text), .expected = LSI_STATE_ANY, .value = value};
    bool has_change = value.size != 0 || shard->has_entry;
    lsi_engine_stream *stream = shard->run->stream;
    ls_status st = stream->engine->ops->sync_shard(stream, shard->shard); /* D6: what was delivered, too, is durable */

    if (st == LS_OK)
        st = lsi_lease_save(shard->lease, (lsi_point){seqno, 0}, 0, NULL, (lsi_lease_beside){&change, has_change});
    if (st != LS_OK)
        return st;
    shard->has_entry = value.size != 0;
    lsi_delivery_count_stored(shard);
    return LS_OK;
}

ls_status lsi_delivery_save(lsi_delivery_shard *shard, const lsi_buffer *begun)
{
    ls_bytes value;
    ls_status st = encode(shard, begun, &value);

    if (st != LS_OK)
        return st;
    /* NONE: the lease stays where it is. */
    st = save(shard, shard->done_seqno != shard->saved_seqno ? shard->done_seqno : LS_SEQNO_NONE, value);
    lsi_free(&shard->run->env->memory, (void *)(uintptr_t)value.data);
    if (st != LS_OK)
        return st;
    shard->saved_seqno = shard->done_seqno;
    shard->unsaved_us = 0;
    shard->has_put = false;
    shard->is_wide = value.size > WIDE_BYTES;
    return LS_OK;
}

ls_status lsi_delivery_save_put(lsi_delivery_shard *shard)
{
    return shard->has_put && shard->replay == NULL ? lsi_delivery_save(shard, NULL) : LS_OK;
}

ls_status lsi_delivery_save_end(lsi_delivery_shard *shard)
{
    return save(shard, LS_SEQNO_END, (ls_bytes){NULL, 0});
}

/* ---- reading ---- */

typedef struct restoring {
    lsi_delivery_shard *shard;
    size_t key_size;
    ls_status st;
    lsi_error_state error;
} restoring;

/* What was begun, from behind its head. */
static ls_status take_begun(lsi_delivery_shard *shard, lsi_cursor *from, lsi_buffer *begun, size_t begun_bytes,
                            size_t name_bytes, bool *is_bad)
{
    const unsigned char *records = lsi_take_bytes(from, begun_bytes), *name = lsi_take_bytes(from, name_bytes);

    *is_bad = records == NULL || name == NULL || begun_bytes == 0 || name_bytes < 2 ||
        name_bytes > LSI_OBJECT_NAME_MAX + 1 || memchr(name, 0, name_bytes) != name + name_bytes - 1;
    if (*is_bad)
        return LS_OK;
    begun->name = lsi_strdup(begun->memory, (const char *)name);
    if (begun->name == NULL || !lsi_marks_read(&shard->replayed, 0, records, begun_bytes, is_bad))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an object that was begun");
    return LS_OK;
}

static ls_status decode(lsi_delivery_shard *shard, const lsi_state_entry *entry)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), flags = lsi_take_u32(&from), kind, compression;
    size_t done_bytes, begun_bytes, name_bytes;
    const unsigned char *done;
    lsi_buffer *begun = NULL;
    uint64_t target_sum;
    bool is_bad;
    ls_status st = LS_OK;

    if (format > FORMAT)
        return lsi_fail(LS_ERR_VERSION, "the progress of delivery '%s' is of format %" PRIu32 ": this release knows %u",
                        shard->run->how->name, format, FORMAT);
    shard->backup_done = lsi_take_u64(&from);
    target_sum = lsi_take_u64(&from);
    kind = lsi_take_u16(&from);
    compression = lsi_take_u16(&from);
    done_bytes = lsi_take_u32(&from);
    begun_bytes = lsi_take_u32(&from);
    name_bytes = lsi_take_u32(&from);
    done = lsi_take_bytes(&from, done_bytes);
    is_bad = format != FORMAT || done == NULL || flags > HAS_BEGUN;
    if (!is_bad && !lsi_marks_read(&shard->done, 0, done, done_bytes, &is_bad))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the progress of delivery '%s'", shard->run->how->name);
    if (!is_bad && (flags & HAS_BEGUN) != 0) {
        is_bad = kind < LS_DELIVERY_DATA || kind > LS_DELIVERY_SOURCE_BACKUP || compression > LS_DELIVERY_ZSTD;
        if (!is_bad)
            st = lsi_buffer_new(&shard->run->env->memory, (ls_delivery_kind)kind, "", "", &begun);
        if (begun != NULL) {
            begun->target_sum = target_sum;
            begun->compression = (ls_delivery_compression)compression;
            begun->is_replay = true;
            st = take_begun(shard, &from, begun, begun_bytes, name_bytes, &is_bad);
        }
    }
    if (st == LS_OK && (is_bad || from.bad || from.at != from.end))
        st = lsi_fail(LS_ERR_CORRUPT, "the state's value of the progress of delivery '%s' in shard %" PRIu32
                      ", %zu bytes, is none", shard->run->how->name, shard->shard, entry->value.size);
    if (st == LS_OK)
        shard->replay = begun;
    else
        lsi_buffer_free(begun);
    return st;
}

static bool take_entry(void *user, const lsi_state_entry *entry)
{
    restoring *of = user;

    if (entry->key.size != of->key_size)
        return true;
    of->shard->has_entry = true;
    of->st = decode(of->shard, entry);
    lsi_error_save(&of->error);
    return false;
}

ls_status lsi_delivery_restore(lsi_delivery_shard *shard)
{
    char text[LSI_DELIVERY_AT_KEY_BYTES];
    ls_bytes key = key_of(shard, text);
    restoring of = {.shard = shard, .key_size = key.size, .st = LS_OK};
    ls_status st = shard->run->stream->engine->ops->state_read(shard->run->stream, key, take_entry, &of);

    if (st != LS_OK || of.st == LS_OK)
        return st;
    lsi_error_restore(&of.error);
    return of.st;
}
