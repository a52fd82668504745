/* Walking the frames of one segment file, in order, checked: for recovery, for finding a place, for verifying.
 *
 * Reads 256 KiB at a time into a buffer of its own. After damage `lsi_walk_resume` looks for the next frame, in steps
 * of 8 bytes: a header's sum is seeded with its position, so only a frame that was written there passes.
 *
 * Frames that were written do not overlap, so all that is read behind such headers to check their bodies is no more
 * than the segment. Bytes that somebody made to look like headers of frames within frames could make each of them cost
 * all that follows: so it is never more (X1). */
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "storage/log.h"

#define READ_BYTES (256u << 10)

void lsi_walk_begin(lsi_walk *walk, const lsi_env *env, const lsi_segment *segment, uint64_t at, uint64_t end,
                    bool check_bodies)
{
    memset(walk, 0, sizeof *walk);
    walk->env = env;
    walk->segment = segment;
    walk->at = at;
    walk->end = end;
    walk->check_bodies = check_bodies;
    walk->after = segment->header.base_seqno - 1;
    walk->resume_bytes_left = end > segment->header.base ? end - segment->header.base : 0;
}

void lsi_walk_end(lsi_walk *walk)
{
    lsi_free(&walk->env->memory, walk->buffer);
    walk->buffer = NULL;
}

static size_t held(const lsi_walk *walk, uint64_t position)
{
    if (position < walk->buffer_at || position >= walk->buffer_at + walk->buffer_bytes)
        return 0;
    return (size_t)(walk->buffer_at + walk->buffer_bytes - position);
}

/* Makes the buffer hold `size` bytes from `position`, or all there are before the end. */
static ls_status fetch(lsi_walk *walk, uint64_t position, size_t size)
{
    if (position + size > walk->end)
        size = (size_t)(walk->end - position);
    if (held(walk, position) >= size)
        return LS_OK;
    size_t want = size > READ_BYTES ? size : READ_BYTES;
    if (position + want > walk->end)
        want = (size_t)(walk->end - position);
    if (walk->capacity < want) {
        void *buffer = lsi_resize(&walk->env->memory, walk->buffer, want);
        if (buffer == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "reading %s: %zu bytes: no memory", walk->segment->name, want);
        walk->buffer = buffer;
        walk->capacity = want;
    }
    walk->buffer_bytes = 0;
    walk->buffer_at = position;
    const lsi_file *file = &walk->segment->file;
    uint64_t offset = position - walk->segment->header.base + LSI_SEGMENT_HEADER_BYTES;
    int64_t got = file->files->read(file, walk->buffer, want, offset);
    if (got < 0)
        return lsi_fail_errno((int)-got, "reading %s at 0x%llx", walk->segment->name, (unsigned long long)offset);
    walk->buffer_bytes = (size_t)got;
    return LS_OK;
}

const unsigned char *lsi_walk_bytes(const lsi_walk *walk, uint64_t position)
{
    return walk->buffer + (position - walk->buffer_at);
}

static ls_status look(lsi_walk *walk, uint64_t position, bool check_body, lsi_frame *frame, lsi_frame_result *result)
{
    const lsi_segment *segment = walk->segment;
    ls_status st = fetch(walk, position, LSI_FRAME_HEADER_BYTES);
    if (st != LS_OK)
        return st;
    size_t have = held(walk, position);
    *result = lsi_frame_read_header(lsi_walk_bytes(walk, position), have, segment->seed, position, frame);
    if (*result == LSI_FRAME_SHORT && frame->bytes != 0 && frame->bytes <= walk->end - position) {
        st = fetch(walk, position, frame->bytes);
        if (st != LS_OK)
            return st;
        have = held(walk, position);
        *result = lsi_frame_read_header(lsi_walk_bytes(walk, position), have, segment->seed, position, frame);
    }
    if (*result != LSI_FRAME_VALID)
        return LS_OK;
    const lsi_segment_header *header = &segment->header;
    if (frame->first_seqno < header->base_seqno || frame->first_seqno > header->seqno_limit ||
        frame->count > header->seqno_limit - frame->first_seqno ||
        (check_body && !lsi_frame_check_body(lsi_walk_bytes(walk, position), frame, segment->seed)))
        *result = LSI_FRAME_BAD;
    return LS_OK;
}

ls_status lsi_walk_next(lsi_walk *walk, lsi_frame *frame, uint64_t *position, lsi_frame_result *result)
{
    *position = walk->at;
    if (walk->at >= walk->end) {
        *result = LSI_FRAME_EMPTY;
        return LS_OK;
    }
    ls_status st = look(walk, walk->at, walk->check_bodies, frame, result);
    if (st != LS_OK || *result != LSI_FRAME_VALID)
        return st;
    if (frame->first_seqno <= walk->after) {
        *result = LSI_FRAME_BAD;
        return LS_OK;
    }
    walk->after = frame->first_seqno + frame->count - 1;
    walk->at += frame->bytes;
    return LS_OK;
}

ls_status lsi_walk_resume(lsi_walk *walk, uint64_t from, bool *found)
{
    *found = false;
    for (uint64_t at = from; at < walk->end; at += 8) {
        lsi_frame frame;
        lsi_frame_result result;
        ls_status st = fetch(walk, at, LSI_FRAME_HEADER_BYTES);
        if (st != LS_OK)
            return st;
        size_t have = held(walk, at);
        if (have < LSI_FRAME_HEADER_BYTES)
            return LS_OK;
        if (lsi_read_u64le(lsi_walk_bytes(walk, at)) == 0) /* Most of what lies beyond an end is zeros. */
            continue;
        result = lsi_frame_read_header(lsi_walk_bytes(walk, at), have, walk->segment->seed, at, &frame);
        if ((result != LSI_FRAME_VALID && result != LSI_FRAME_SHORT) || frame.bytes > walk->end - at ||
            frame.first_seqno <= walk->after)
            continue;
        if (frame.bytes > walk->resume_bytes_left)
            return LS_OK;
        walk->resume_bytes_left -= frame.bytes;
        st = look(walk, at, true, &frame, &result);
        if (st != LS_OK)
            return st;
        if (result == LSI_FRAME_VALID) {
            walk->at = at;
            *found = true;
            return LS_OK;
        }
    }
    return LS_OK;
}
