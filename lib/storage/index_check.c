/* Checking the index of one segment while the segment is walked: each entry that names a frame that was met is struck
 * out, and what is left over in the end is wrong. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/verify.h"

ls_status lsi_index_load(const lsi_verify *verify, uint32_t number, char name[LSI_SEGMENT_NAME_BYTES],
                         lsi_index_copy *out)
{
    const lsi_log_config *config = verify->config;
    void *bytes;
    int rc;

    memset(out, 0, sizeof *out);
    lsi_segment_name(config->dir, number, "idx", name);
    rc = lsi_file_load(config->root, name,
                       (LSI_SEGMENT_BYTES_MAX / LSI_INDEX_BLOCK_BYTES + 512) * LSI_INDEX_ENTRY_BYTES,
                       &config->env->memory, &bytes, &out->size);
    if (rc == -ENOMEM)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: reading %s: no memory", config->label, name);
    if (rc < 0)
        return LS_OK; /* None, or one that cannot be used: a hint. */
    out->bytes = bytes;
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

/* What was not struck out: entries that are wrong. Right ones of frames beyond the end, or in a gap, are none. */
void lsi_index_tell(lsi_verify *verify, const char *name, const lsi_index_copy *index, const lsi_segment *segment,
                    uint64_t end, bool has_gaps)
{
    uint64_t wrong = 0, first = 0;
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_INDEX, .file = name, .repairable = 1};

    for (uint64_t at = 0; at + LSI_INDEX_ENTRY_BYTES <= index->size; at += LSI_INDEX_ENTRY_BYTES) {
        const unsigned char *entry = index->bytes + at;

        if (lsi_is_zero(entry, LSI_INDEX_ENTRY_BYTES))
            continue;
        if (lsi_read_u64le(entry + 24) == lsi_sum64(entry, 24, segment->seed) &&
            (has_gaps || lsi_read_u64le(entry) >= end))
            continue;
        if (wrong++ == 0)
            first = at;
    }
    if (index->size % LSI_INDEX_ENTRY_BYTES != 0 && wrong == 0 &&
        !lsi_is_zero(index->bytes + index->size / LSI_INDEX_ENTRY_BYTES * LSI_INDEX_ENTRY_BYTES,
                     index->size % LSI_INDEX_ENTRY_BYTES)) {
        wrong = 1;
        first = index->size / LSI_INDEX_ENTRY_BYTES * LSI_INDEX_ENTRY_BYTES;
    }
    if (wrong == 0)
        return;
    finding.offset = first;
    finding.bytes = LSI_INDEX_ENTRY_BYTES;
    finding.advice = "nothing to do: wrong entries are passed over; `lstream repair` removes the file";
    if (verify->repair) {
        const lsi_root *root = verify->config->root;

        finding.repaired = root->files->unlink(root, name) == 0;
        if (finding.repaired)
            finding.advice = "the index was removed; reading needs none";
    }
    lsi_inspection_tell(verify->inspection, &finding, "%s: %s: %" PRIu64
                        " entries are wrong, the first at offset 0x%" PRIx64
                        ": nothing is lost, it is rebuilt as it is missed", verify->config->label, name, wrong, first);
}
