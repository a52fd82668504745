/* What verifying found, in words that an operator can act on: file, place, what is wrong, what is lost, what to do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/verify.h"

#define RECORD_BYTES_LEAST 16u /* a header of 8 and a key of 1, padded */

/* ---- telling ---- */

void lsi_inspection_tell(lsi_inspection *inspection, ls_finding *finding, const char *format, ...)
{
    char what[768];
    va_list arguments;
    ls_inspect_summary *summary = &inspection->summary;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    finding->size = sizeof *finding;
    finding->what = what;
    finding->stream = inspection->stream;
    finding->stream_id = inspection->stream_id;
    finding->shard = inspection->shard;
    if (finding->advice == NULL)
        finding->advice = "";
    switch (finding->severity) {
    case LS_FINDING_DAMAGE:
        summary->damages++;
        inspection->damages_left += finding->repaired == 0;
        summary->records_lost_max += finding->records_max;
        break;
    case LS_FINDING_HINT:
        summary->hints++;
        break;
    default:
        summary->notes++;
    }
    summary->repaired += (uint64_t)finding->repaired;
    if (inspection->finding != NULL && !inspection->stopped)
        inspection->stopped = inspection->finding(finding, inspection->user) == LS_INSPECT_STOP;
    finding->what = "";
}

/* ---- gaps ---- */

ls_status lsi_gap_add(lsi_verify *verify, lsi_gap gap)
{
    void *gaps = verify->gaps;

    if (!lsi_grow(&verify->config->env->memory, &gaps, &verify->gap_capacity, verify->gap_count + 1, sizeof gap))
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a list of %zu damages: no memory", verify->config->label,
                        verify->gap_count + 1);
    verify->gaps = gaps;
    verify->gaps[verify->gap_count++] = gap;
    return LS_OK;
}

/* To be done, or, after a repair, what was done. */
static const char *stepped_over(const ls_finding *finding)
{
    if (!finding->repaired)
        return "put the file back from a copy, or `lstream repair`: readers then step over the gap";
    return finding->kind == LS_FINDING_SEGMENT_MISSING
               ? "readers step over it from now on"
               : "readers step over these bytes from now on; the file was left as it is";
}

void lsi_gaps_tell(lsi_verify *verify, bool repaired)
{
    for (size_t i = 0; i < verify->gap_count && !verify->inspection->stopped; i++) {
        const lsi_gap *gap = &verify->gaps[i];
        uint64_t numbers = gap->first_seqno != 0 && gap->last_seqno >= gap->first_seqno
                               ? gap->last_seqno - gap->first_seqno + 1 : 0;
        uint64_t room = gap->to > gap->from ? (gap->to - gap->from) / RECORD_BYTES_LEAST + 1 : numbers;
        char name[LSI_SEGMENT_NAME_BYTES], lost[128];
        ls_finding finding = {
            .severity = LS_FINDING_DAMAGE,
            .kind = gap->kind,
            .file = name,
            .offset = gap->offset,
            .bytes = gap->to - gap->from,
            .repairable = gap->kind != LS_FINDING_FILE_UNREADABLE,
            .repaired = repaired && gap->kind != LS_FINDING_FILE_UNREADABLE,
        };

        lsi_segment_name(verify->config->dir, gap->number, "seg", name);
        if (numbers != 0) {
            finding.first_seqno = gap->first_seqno;
            finding.last_seqno = gap->last_seqno;
            finding.records_max = numbers < room || !gap->open_ended ? numbers : room;
        }
        if (gap->salvageable) {
            finding.records_max = finding.first_seqno = finding.last_seqno = 0;
            (void)snprintf(lost, sizeof lost, "no record is lost once its header is repaired");
        } else if (numbers == 0) {
            (void)snprintf(lost, sizeof lost, "no record is lost");
        } else {
            (void)snprintf(lost, sizeof lost, "%s%" PRIu64 " records lost, seqno %" PRIu64 "..%" PRIu64,
                           gap->open_ended ? "at most " : "", finding.records_max, finding.first_seqno,
                           finding.last_seqno);
        }
        switch (gap->kind) {
        case LS_FINDING_SEGMENT_MISSING:
            finding.advice = stepped_over(&finding);
            lsi_inspection_tell(verify->inspection, &finding, "%s: %s is not there: %s", verify->config->label, name,
                                lost);
            break;
        case LS_FINDING_SEGMENT_HEADER:
            finding.advice = gap->salvageable && !finding.repaired
                                 ? "`lstream repair`: writes the header anew from the segment list"
                                 : stepped_over(&finding);
            lsi_inspection_tell(verify->inspection, &finding, "%s: the header of %s (offset 0, 4096 bytes) fails its "
                                "checks: %s", verify->config->label, name, lost);
            break;
        case LS_FINDING_SEGMENT_SHORT:
            finding.advice = stepped_over(&finding);
            lsi_inspection_tell(verify->inspection, &finding, "%s: %s ends too early, from offset 0x%" PRIx64
                                " %" PRIu64
                                " bytes are missing: %s", verify->config->label, name, gap->offset, gap->to - gap->from,
                                lost);
            break;
        case LS_FINDING_FILE_UNREADABLE:
            finding.advice = "the system cannot read it: look at the kernel's log and the disk, copy the store, then "
                             "verify the copy";
            lsi_inspection_tell(verify->inspection, &finding, "%s: %s cannot be read at offset 0x%" PRIx64 ": %s",
                                verify->config->label, name, gap->offset, strerror(gap->err));
            break;
        default:
            finding.advice = stepped_over(&finding);
            lsi_inspection_tell(verify->inspection, &finding, "%s: %s is damaged at offset 0x%" PRIx64 ", %" PRIu64
                                " bytes: %s", verify->config->label, name, gap->offset, gap->to - gap->from, lost);
        }
    }
    verify->gap_count = 0;
}
