/* Checking the index of one segment while the segment is walked: each entry that names a frame that was met is struck
 * out, and what is left over in the end is wrong. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/verify.h"

#define INDEX_BYTES_MAX ((LSI_SEGMENT_BYTES_MAX / LSI_INDEX_BLOCK_BYTES + 512) * LSI_INDEX_ENTRY_BYTES)

ls_status lsi_index_load(const lsi_verify *verify, uint32_t number, lsi_index_copy *out)
{
    const lsi_log_config *config = verify->config;
    void *bytes;
    int rc;

    memset(out, 0, sizeof *out);
    lsi_segment_name(config->dir, number, "idx", out->name);
    rc = lsi_file_load(config->root, out->name, INDEX_BYTES_MAX, &config->env->memory, &bytes, &out->size);
    if (rc == 0) {
        out->bytes = bytes;
        return LS_OK;
    }
    out->size = 0;
    if (rc == -ENOMEM)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: reading %s: no memory", config->label, out->name);
    if (lsi_file_misfit(rc) != NULL)
        (void)snprintf(out->why_not, sizeof out->why_not, "%s", lsi_file_misfit(rc));
    else if (rc == -EFBIG)
        (void)snprintf(out->why_not, sizeof out->why_not, "is larger than any index");
    else if (rc != -ENOENT)
        (void)snprintf(out->why_not, sizeof out->why_not, "cannot be read (%s)", strerror(-rc));
    return LS_OK;
}

/* Strikes out the entry of a frame that was met. */
void lsi_index_strike(lsi_index_copy *index, const lsi_segment *segment, uint64_t position, const lsi_frame *frame)
{
    uint64_t at = (position - segment->header.base) / LSI_INDEX_BLOCK_BYTES * LSI_INDEX_ENTRY_BYTES;
    unsigned char *entry;

    if (at + LSI_INDEX_ENTRY_BYTES > index->size)
        return;
    entry = index->bytes + at;
    if (lsi_read_u64le(entry) == position &&
        lsi_read_u64le(entry + 8) == frame->first_seqno && lsi_read_u64le(entry + 16) == (uint64_t)frame->arrival_us &&
        lsi_read_u64le(entry + 24) == lsi_sum64(entry, 24, segment->seed))
        memset(entry, 0, LSI_INDEX_ENTRY_BYTES);
}

/* How many were not struck out: wrong ones. Right ones of frames beyond the end, or in a gap, are none. */
static uint64_t count_wrong(const lsi_index_copy *index, const lsi_segment *segment, uint64_t end, bool has_gaps,
                            uint64_t *first)
{
    uint64_t wrong = 0, whole = index->size / LSI_INDEX_ENTRY_BYTES * LSI_INDEX_ENTRY_BYTES;

    for (uint64_t at = 0; at < whole; at += LSI_INDEX_ENTRY_BYTES) {
        const unsigned char *entry = index->bytes + at;

        if (lsi_is_zero(entry, LSI_INDEX_ENTRY_BYTES))
            continue;
        if (lsi_read_u64le(entry + 24) == lsi_sum64(entry, 24, segment->seed) &&
            (has_gaps || lsi_read_u64le(entry) >= end))
            continue;
        if (wrong++ == 0)
            *first = at;
    }
    if (!lsi_is_zero(index->bytes + whole, index->size - whole) && wrong++ == 0)
        *first = whole;
    return wrong;
}

void lsi_index_tell(lsi_verify *verify, const lsi_index_copy *index, const lsi_segment *segment, uint64_t end,
                    bool has_gaps)
{
    const lsi_log_config *config = verify->config;
    char what[160], done[LSI_KEPT_NAME_BYTES + 64], kept[LSI_KEPT_NAME_BYTES];
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_INDEX, .file = index->name, .repairable = 1};
    uint64_t first = 0, wrong = index->bytes == NULL ? 0 : count_wrong(index, segment, end, has_gaps, &first);

    if (wrong == 0 && index->why_not[0] == '\0')
        return;
    if (wrong == 0) {
        (void)snprintf(what, sizeof what, "%s", index->why_not);
    } else {
        finding.offset = first;
        finding.bytes = LSI_INDEX_ENTRY_BYTES;
        (void)snprintf(what, sizeof what, "has %" PRIu64 " wrong %s, the first at offset 0x%" PRIx64, wrong,
                       wrong == 1 ? "entry" : "entries", first);
    }
    finding.advice = "nothing to do: readers do without; `lstream repair` sets it aside";
    if (verify->repair && lsi_set_aside(config->root, config->dir, index->name, kept) == LS_OK) {
        finding.repaired = 1;
        (void)snprintf(done, sizeof done, "it was set aside as %s; a new one is made as readers seek", kept);
        finding.advice = done;
    }
    lsi_inspection_tell(verify->inspection, &finding, "%s: %s %s: nothing is lost, an index is a hint", config->label,
                        index->name, what);
}
