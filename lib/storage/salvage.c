/* What can be made of a segment whose header is damaged: the segment list knows most of the header, and of the rest its
 * salt is all that cannot be guessed. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/verify.h"

ls_status lsi_header_read(const lsi_log_config *config, uint32_t number, unsigned char bytes[LSI_SEGMENT_HEADER_BYTES],
                          uint64_t *file_bytes)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_file file;
    int64_t got;
    int rc;

    lsi_segment_name(config->dir, number, "seg", name);
    rc = config->root->files->open(config->root, name, 0, &file);
    if (lsi_file_misfit(rc) != NULL)
        return lsi_fail(LS_ERR_CORRUPT, "%s %s", name, lsi_file_misfit(rc));
    if (rc == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "%s is not there", name);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    memset(bytes, 0, LSI_SEGMENT_HEADER_BYTES);
    got = file.files->read(&file, bytes, LSI_SEGMENT_HEADER_BYTES, 0);
    rc = file.files->size(&file, file_bytes);
    (void)file.files->close(&file); /* It was only read. */
    if (got < 0 || rc < 0)
        return lsi_fail_errno(got < 0 ? (int)-got : -rc, "reading %s", name);
    return LS_OK;
}

/* What is no such file, or damaged, is not to be salvaged; any other failure says nothing of what is in it. */
static ls_status nobody_knows(ls_status st)
{
    return st == LS_ERR_CORRUPT || st == LS_ERR_NOT_FOUND || st == LS_ERR_VERSION ? LS_OK : st;
}

/* Whether frames of the file are right under `header`: then its salt is, too. An empty segment proves nothing.
 * Failures: nobody knows. */
static ls_status frames_agree(const lsi_log_config *config, const lsi_segment_header *header, uint64_t file_bytes,
                              bool *agree)
{
    lsi_segment *segment;
    lsi_walk walk;
    ls_status st;

    *agree = false;
    if (file_bytes <= LSI_SEGMENT_HEADER_BYTES)
        return LS_OK;
    st = lsi_segment_open_as(config, header, &segment);
    if (st != LS_OK)
        return nobody_knows(st);
    lsi_walk_begin(&walk, config->env, segment, header->base,
                   header->base + ((file_bytes - LSI_SEGMENT_HEADER_BYTES) & ~(uint64_t)7), true);
    st = lsi_walk_resume(&walk, header->base, agree);
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    if (st != LS_OK)
        *agree = false;
    return nobody_knows(st);
}

/* Then what is wrong with the file lies behind it, such as where its blocks begin. */
static bool is_right(const lsi_log_config *config, const lsi_segment_entry *entry, const unsigned char *raw)
{
    lsi_segment_header header;

    return lsi_segment_header_decode("", raw, config, &header) == LS_OK && header.number == entry->number &&
           header.sum == entry->header_sum;
}

ls_status lsi_header_salvage(const lsi_log_config *config, const lsi_segment_list *list, uint32_t i,
                             lsi_segment_header *out, bool *found)
{
    const lsi_segment_entry *entry = &list->entries[i];
    unsigned char raw[LSI_SEGMENT_HEADER_BYTES], made[LSI_SEGMENT_HEADER_BYTES];
    uint64_t file_bytes, rooms[2];
    lsi_segment_header header;
    ls_status st;

    *found = false;
    st = lsi_header_read(config, entry->number, raw, &file_bytes);
    if (st != LS_OK || file_bytes <= LSI_SEGMENT_HEADER_BYTES || is_right(config, entry, raw))
        return nobody_knows(st);
    /* What the list says is right; what only the header says is taken from it and shows itself by the sum. */
    memset(&header, 0, sizeof header);
    memcpy(header.store_id, config->store_id, sizeof header.store_id);
    header.stream = config->stream;
    header.shard = config->shard;
    header.number = entry->number;
    header.base = entry->base;
    header.base_seqno = entry->base_seqno;
    header.seqno_limit = entry->seqno_limit;
    header.base_arrival_us = (entry->flags & LSI_SEGMENT_AHEAD) != 0
                                 ? (int64_t)lsi_read_u64le(raw + LSI_SEGMENT_CREATED_AT - 8)
                                 : entry->base_arrival_us;
    header.created_us = (int64_t)lsi_read_u64le(raw + LSI_SEGMENT_CREATED_AT);
    memcpy(header.salt, raw + LSI_SEGMENT_SALT_AT, sizeof header.salt);
    if (i > 0) {
        header.previous = entry[-1].number;
        header.previous_end = entry->base;
        header.chain = entry[-1].header_sum;
    } else {
        header.previous = lsi_read_u32le(raw + LSI_SEGMENT_PREVIOUS_AT);
        header.previous_end = lsi_read_u64le(raw + LSI_SEGMENT_PREVIOUS_AT + 8);
        header.chain = lsi_read_u64le(raw + LSI_SEGMENT_PREVIOUS_AT + 16);
    }
    (void)lsi_segment_terms_decode(raw, &header.terms); /* A key that is not the right one opens nothing. */
    rooms[0] = lsi_read_u64le(raw + LSI_SEGMENT_FRAMES_MAX_AT);
    rooms[1] = config->segment_bytes - LSI_SEGMENT_HEADER_BYTES;
    for (int k = 0; k < 2; k++) {
        header.frames_bytes_max = rooms[k];
        lsi_segment_header_encode(&header, made);
        if (header.sum == entry->header_sum) { /* Every byte is as it was. */
            *out = header;
            *found = true;
            return LS_OK;
        }
    }
    st = frames_agree(config, &header, file_bytes, found);
    if (st != LS_OK || !*found)
        return st;
    header.frames_bytes_max = rooms[0];
    if (rooms[0] > UINT32_MAX)
        header.frames_bytes_max = rooms[1];
    if (header.frames_bytes_max < file_bytes - LSI_SEGMENT_HEADER_BYTES)
        header.frames_bytes_max = file_bytes - LSI_SEGMENT_HEADER_BYTES;
    lsi_segment_header_encode(&header, made);
    *out = header;
    return LS_OK;
}
