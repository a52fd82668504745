/* Segment files: the header, making and opening one, and its sparse index.
 *
 * A header is written once, synced before the first frame, and never changed: how far the numbers of its records may
 * go (D4) is stated in it from the start, enough for the smallest records there are. */
#include "storage/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/blocks.h"

static const unsigned char magic[8] = {'L', 'S', 'T', 'R', 'S', 'E', 'G', 0};

enum { FORMAT_AT = 8, HEADER_BYTES_AT = 12, MAY_IGNORE_AT = 16, MUST_REFUSE_AT = 20, STORE_AT = 24, STREAM_AT = 40,
       SHARD_AT = 48, NUMBER_AT = 52, BASE_AT = 56, BASE_SEQNO_AT = 64, SEQNO_LIMIT_AT = 72, BASE_ARRIVAL_AT = 80,
       CREATED_AT = 88, SALT_AT = 96, PREVIOUS_AT = 128, PREVIOUS_END_AT = 136, CHAIN_AT = 144, FRAMES_MAX_AT = 152,
       CODEC_AT = 160, KEY_ID_BYTES_AT = 164, KEY_MARK_AT = 168, KEY_ID_AT = 184,
       END_OF_FIELDS = KEY_ID_AT + LSI_KEY_ID_BYTES_MAX, SUM_AT = LSI_SEGMENT_HEADER_BYTES - 8 };

#define REFUSE_SEALED 1u /* its frames are encrypted */
#define REFUSE_PACKED 2u /* the file is in blocks */

void lsi_segment_header_encode(lsi_segment_header *header, unsigned char bytes[LSI_SEGMENT_HEADER_BYTES])
{
    memset(bytes, 0, LSI_SEGMENT_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    lsi_write_u32le(bytes + FORMAT_AT, 0);
    lsi_write_u32le(bytes + HEADER_BYTES_AT, LSI_SEGMENT_HEADER_BYTES);
    memcpy(bytes + STORE_AT, header->store_id, sizeof header->store_id);
    lsi_write_u64le(bytes + STREAM_AT, header->stream);
    lsi_write_u32le(bytes + SHARD_AT, header->shard);
    lsi_write_u32le(bytes + NUMBER_AT, header->number);
    lsi_write_u64le(bytes + BASE_AT, header->base);
    lsi_write_u64le(bytes + BASE_SEQNO_AT, header->base_seqno);
    lsi_write_u64le(bytes + SEQNO_LIMIT_AT, header->seqno_limit);
    lsi_write_u64le(bytes + BASE_ARRIVAL_AT, (uint64_t)header->base_arrival_us);
    lsi_write_u64le(bytes + CREATED_AT, (uint64_t)header->created_us);
    memcpy(bytes + SALT_AT, header->salt, sizeof header->salt);
    lsi_write_u32le(bytes + PREVIOUS_AT, header->previous);
    lsi_write_u64le(bytes + PREVIOUS_END_AT, header->previous_end);
    lsi_write_u64le(bytes + CHAIN_AT, header->chain);
    lsi_write_u64le(bytes + FRAMES_MAX_AT, header->frames_bytes_max);
    lsi_write_u32le(bytes + CODEC_AT, header->terms.codec);
    if (header->terms.key_id_bytes != 0) {
        lsi_write_u32le(bytes + MUST_REFUSE_AT, REFUSE_SEALED);
        lsi_write_u32le(bytes + KEY_ID_BYTES_AT, header->terms.key_id_bytes);
        memcpy(bytes + KEY_MARK_AT, header->terms.key_mark, sizeof header->terms.key_mark);
        memcpy(bytes + KEY_ID_AT, header->terms.key_id, header->terms.key_id_bytes);
    }
    header->sum = lsi_sum64(bytes, SUM_AT, 0);
    lsi_write_u64le(bytes + SUM_AT, header->sum);
}

bool lsi_segment_terms_decode(const unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], lsi_log_terms *terms)
{
    uint32_t key_id_bytes = lsi_read_u32le(bytes + KEY_ID_BYTES_AT);

    memset(terms, 0, sizeof *terms);
    if (key_id_bytes > LSI_KEY_ID_BYTES_MAX || memchr(bytes + KEY_ID_AT, 0, key_id_bytes) != NULL)
        return false;
    terms->codec = lsi_read_u32le(bytes + CODEC_AT);
    terms->key_id_bytes = key_id_bytes;
    if (key_id_bytes != 0) {
        memcpy(terms->key_mark, bytes + KEY_MARK_AT, sizeof terms->key_mark);
        memcpy(terms->key_id, bytes + KEY_ID_AT, key_id_bytes);
    }
    return true;
}

ls_status lsi_segment_header_decode(const char *name, const unsigned char bytes[LSI_SEGMENT_HEADER_BYTES],
                                    const lsi_log_config *owner, lsi_segment_header *out)
{
    memset(out, 0, sizeof *out);
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return lsi_fail(LS_ERR_CORRUPT, "the header of %s does not begin as a segment's does", name);
    out->sum = lsi_read_u64le(bytes + SUM_AT);
    out->is_packed = (lsi_read_u32le(bytes + MUST_REFUSE_AT) & REFUSE_PACKED) != 0;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (out->sum != lsi_sum64(bytes, SUM_AT, 0))
        return lsi_fail(LS_ERR_CORRUPT, "the header of %s fails its checksum", name);
#endif
    uint32_t format = lsi_read_u32le(bytes + FORMAT_AT), refuse = lsi_read_u32le(bytes + MUST_REFUSE_AT);
    if (format != 0 || (refuse & ~(REFUSE_SEALED | REFUSE_PACKED)) != 0 ||
        lsi_read_u32le(bytes + HEADER_BYTES_AT) != LSI_SEGMENT_HEADER_BYTES)
        return lsi_fail(LS_ERR_VERSION, "%s has format %u with flags 0x%x, of another release", name, format, refuse);
    memcpy(out->store_id, bytes + STORE_AT, sizeof out->store_id);
    out->stream = lsi_read_u64le(bytes + STREAM_AT);
    out->shard = lsi_read_u32le(bytes + SHARD_AT);
    out->number = lsi_read_u32le(bytes + NUMBER_AT);
    out->base = lsi_read_u64le(bytes + BASE_AT);
    out->base_seqno = lsi_read_u64le(bytes + BASE_SEQNO_AT);
    out->seqno_limit = lsi_read_u64le(bytes + SEQNO_LIMIT_AT);
    out->base_arrival_us = (int64_t)lsi_read_u64le(bytes + BASE_ARRIVAL_AT);
    out->created_us = (int64_t)lsi_read_u64le(bytes + CREATED_AT);
    memcpy(out->salt, bytes + SALT_AT, sizeof out->salt);
    out->previous = lsi_read_u32le(bytes + PREVIOUS_AT);
    out->previous_end = lsi_read_u64le(bytes + PREVIOUS_END_AT);
    out->chain = lsi_read_u64le(bytes + CHAIN_AT);
    out->frames_bytes_max = lsi_read_u64le(bytes + FRAMES_MAX_AT);
    if (!lsi_segment_terms_decode(bytes, &out->terms) ||
        (out->terms.key_id_bytes != 0) != ((refuse & REFUSE_SEALED) != 0))
        return lsi_fail(LS_ERR_CORRUPT, "what the header of %s says of a key cannot be", name);
    if (owner != NULL && (memcmp(out->store_id, owner->store_id, sizeof out->store_id) != 0 ||
                          out->stream != owner->stream || out->shard != owner->shard))
        return lsi_fail(LS_ERR_CORRUPT, "%s belongs to another log (stream id %llu shard %u%s)", name,
                        (unsigned long long)out->stream, out->shard,
                        memcmp(out->store_id, owner->store_id, sizeof out->store_id) != 0 ? " of another store" : "");
    if (out->base_seqno == 0 || out->seqno_limit < out->base_seqno || out->seqno_limit > LS_SEQNO_END ||
        out->base % 8 != 0 || out->base > LSI_POSITION_MAX || out->frames_bytes_max > UINT32_MAX)
        return lsi_fail(LS_ERR_CORRUPT, "the header of %s has numbers that cannot be", name);
    if (out->is_packed) {
        unsigned char plain[LSI_SEGMENT_HEADER_BYTES];

        memcpy(plain, bytes, sizeof plain);
        lsi_segment_header_unpack(plain);
        out->sum = lsi_read_u64le(plain + SUM_AT);
    }
    return LS_OK;
}

static void set_refuse(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], uint32_t refuse)
{
    lsi_write_u32le(bytes + MUST_REFUSE_AT, refuse);
    lsi_write_u64le(bytes + SUM_AT, lsi_sum64(bytes, SUM_AT, 0));
}

void lsi_segment_header_pack(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES])
{
    set_refuse(bytes, lsi_read_u32le(bytes + MUST_REFUSE_AT) | REFUSE_PACKED);
}

void lsi_segment_header_unpack(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES])
{
    uint32_t refuse = lsi_read_u32le(bytes + MUST_REFUSE_AT);

    /* One whose sum is wrong must not get a right one. */
    if ((refuse & REFUSE_PACKED) != 0 && lsi_read_u64le(bytes + SUM_AT) == lsi_sum64(bytes, SUM_AT, 0))
        set_refuse(bytes, refuse & ~REFUSE_PACKED);
}

uint64_t lsi_segment_seed(const lsi_segment_header *header)
{
    unsigned char fields[40 + sizeof header->salt];

    memcpy(fields, header->store_id, 16);
    lsi_write_u64le(fields + 16, header->stream);
    lsi_write_u32le(fields + 24, header->shard);
    lsi_write_u32le(fields + 28, header->number);
    lsi_write_u64le(fields + 32, header->base);
    memcpy(fields + 40, header->salt, sizeof header->salt);
    return lsi_sum64(fields, sizeof fields, 0);
}

void lsi_segment_name(const char *dir, uint32_t number, const char *suffix, char name[LSI_SEGMENT_NAME_BYTES])
{
    (void)snprintf(name, LSI_SEGMENT_NAME_BYTES, "%s/%08u.%s", dir, number, suffix);
}

static lsi_segment *segment_new(const lsi_env *env)
{
    lsi_segment *segment = lsi_alloc_zero(&env->memory, sizeof *segment);
    if (segment == NULL)
        return NULL;
    if (lsi_lock_init(&segment->sync_lock) != 0) { /* For want of memory alone. */
        lsi_free(&env->memory, segment);
        return NULL;
    }
    segment->env = env;
    atomic_init(&segment->references, 1);
    return segment;
}

static void take_header(lsi_segment *segment, const lsi_segment_header *header)
{
    segment->header = *header;
    segment->seed = lsi_segment_seed(header);
    segment->lead_us = lsi_segment_lead_us(header);
    segment->fits_from_us = lsi_segment_fits_from_us(header);
}

ls_status lsi_segment_create(const lsi_log_config *owner, lsi_segment_header *header, lsi_segment **out)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    bool made = false;
    ls_status st;
    lsi_segment *segment = segment_new(owner->env);

    if (segment == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a new segment: no memory", owner->label);
    memcpy(header->store_id, owner->store_id, sizeof header->store_id);
    header->stream = owner->stream;
    header->shard = owner->shard;
    owner->env->random(owner->env->random_user, header->salt, sizeof header->salt);
    lsi_segment_name(owner->dir, header->number, "seg", segment->name);
    lsi_segment_header_encode(header, bytes);

    int rc = owner->root->files->open(owner->root, segment->name, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE,
                                      &segment->file);
    if (rc < 0) {
        st = rc == -EEXIST ? lsi_fail(LS_ERR_EXISTS, "%s is there already", segment->name)
                           : lsi_fail_errno(-rc, "%s: making %s", owner->label, segment->name);
        goto fail;
    }
    made = true;
    rc = lsi_file_write_one(&segment->file, bytes, sizeof bytes, 0);
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "%s: writing the header of %s", owner->label, segment->name);
        goto fail;
    }
    rc = owner->synced_later ? 0 : owner->root->files->sync(&segment->file, false);
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "%s: syncing the new %s", owner->label, segment->name);
        goto fail;
    }
    take_header(segment, header);
    segment->held_from = header->base;
    *out = segment;
    return LS_OK;

fail:
    lsi_segment_unref(segment);
    if (made) { /* No list names it: nothing in it was ever acknowledged. */
        char name[LSI_SEGMENT_NAME_BYTES];
        lsi_segment_name(owner->dir, header->number, "seg", name);
        (void)owner->root->files->unlink(owner->root, name);
    }
    return st;
}

static bool is_readable(const lsi_root *root, const char *name)
{
    lsi_file file;

    if (root->files->open(root, name, 0, &file) < 0)
        return false;
    (void)file.files->close(&file); /* Nothing was done with it. */
    return true;
}

static ls_status open_file(const lsi_log_config *owner, uint32_t number, bool write, lsi_segment **out)
{
    lsi_segment *segment = segment_new(owner->env);

    if (segment == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: opening a segment: no memory", owner->label);
    lsi_segment_name(owner->dir, number, "seg", segment->name);
    int rc = owner->root->files->open(owner->root, segment->name, write ? LSI_OPEN_WRITE : 0, &segment->file);
    if (rc < 0) {
        ls_status st;
        if (rc == -ENOENT)
            st = lsi_fail(LS_ERR_NOT_FOUND, "%s: %s is not there", owner->label, segment->name);
        else if (lsi_file_misfit(rc) != NULL) /* X3: somebody put it there. */
            st = lsi_fail(LS_ERR_CORRUPT, "%s: %s %s", owner->label, segment->name, lsi_file_misfit(rc));
        else if (write && is_readable(owner->root, segment->name))
            st = lsi_fail_errno(-rc, "%s: opening %s", owner->label, segment->name);
        else
            st = lsi_fail_reading(-rc, "%s: opening %s", owner->label, segment->name);
        lsi_segment_unref(segment);
        return st;
    }
    segment->held_from = UINT64_MAX; /* Until the opener knows better: everything may be somebody else's. */
    *out = segment;
    return LS_OK;
}

ls_status lsi_segment_open(const lsi_log_config *owner, uint32_t number, bool write, lsi_segment **out)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    lsi_segment *segment = NULL;
    ls_status st = open_file(owner, number, write, &segment);

    if (st != LS_OK)
        return st;
    int64_t got = owner->root->files->read(&segment->file, bytes, sizeof bytes, 0);
    if (got < 0) {
        st = lsi_fail_errno((int)-got, "%s: reading the header of %s", owner->label, segment->name);
        goto fail;
    }
    if (got < (int64_t)sizeof bytes) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s ends within its header, after %lld bytes", owner->label, segment->name,
                      (long long)got);
        goto fail;
    }
    st = lsi_segment_header_decode(segment->name, bytes, owner, &header);
    if (st != LS_OK) {
        st = lsi_fail_within(owner->label);
        goto fail;
    }
    if (header.number != number) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s holds segment %u", owner->label, segment->name, header.number);
        goto fail;
    }
    take_header(segment, &header);
    if (segment->header.is_packed && write) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s is in blocks, which only sealed segments are, and is the last one",
                      owner->label, segment->name);
        goto fail;
    }
    if (segment->header.is_packed) {
        st = lsi_blocks_attach(owner->env, segment->name, segment->seed, true, &segment->file);
        if (st != LS_OK) {
            st = lsi_fail_within(owner->label);
            goto fail;
        }
    }
    *out = segment;
    return LS_OK;

fail:
    lsi_segment_unref(segment);
    return st;
}

ls_status lsi_segment_open_as(const lsi_log_config *owner, const lsi_segment_header *header, lsi_segment **out)
{
    ls_status st = open_file(owner, header->number, false, out);

    if (st != LS_OK)
        return st;
    take_header(*out, header);
    st = lsi_blocks_attach(owner->env, (*out)->name, (*out)->seed, false, &(*out)->file);
    if (st != LS_OK) {
        lsi_segment_unref(*out);
        *out = NULL;
    }
    return st;
}

lsi_segment *lsi_segment_ref(lsi_segment *segment)
{
    (void)atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void lsi_segment_unref(lsi_segment *segment)
{
    /* Release pairs with the acquire of whoever takes the last reference away. */
    if (segment == NULL || atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) != 1)
        return;
    if (segment->window != NULL)
        segment->file.files->unmap(&segment->file, segment->window, segment->window_bytes);
    if (lsi_file_is_open(&segment->file))
        (void)segment->file.files->close(&segment->file); /* Nothing unsynced that matters: see lsi_log_close. */
    if (lsi_file_is_open(&segment->index))
        (void)segment->index.files->close(&segment->index); /* A hint. */
    lsi_key_free(segment->key);
    lsi_free(&segment->env->memory, segment);
}
