/* What verifying found, in words that an operator can act on: file, place, what is wrong, what is lost, what to do. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/seal.h"
#include "storage/verify.h"

#define RECORD_BYTES_LEAST 16u /* a header of 8 and a key of 1, padded */

/* ---- telling ---- */

void lsi_inspection_tell(lsi_inspection *inspection, ls_finding *finding, const char *format, ...)
{
    char what[768];
    va_list arguments;
    ls_inspect_summary *summary = &inspection->summary;
    int size;

    va_start(arguments, format);
    size = vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    lsi_make_one_line(what, size >= (int)sizeof what); /* Files have whatever names somebody gave them. */
    finding->size = sizeof *finding;
    finding->what = what;
    finding->stream = inspection->stream;
    finding->stream_id = inspection->stream_id;
    finding->shard = inspection->shard;
    if (finding->advice == NULL)
        finding->advice = "nothing to do";
    if (inspection->blocked != NULL && finding->repairable) {
        finding->repairable = 0;
        finding->advice = inspection->blocked;
    }
    switch (finding->severity) {
    case LS_FINDING_DAMAGE:
        summary->damages++;
        inspection->damages_left += finding->repaired == 0;
        if (finding->records_max > LS_RECORDS_UNKNOWN - summary->records_lost_max)
            summary->records_lost_max = LS_RECORDS_UNKNOWN;
        else
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

void lsi_say_lost(const ls_finding *finding, bool at_most, char text[LSI_LOST_BYTES])
{
    if (finding->records_max == 0)
        (void)snprintf(text, LSI_LOST_BYTES, "no record is lost");
    else if (finding->records_max == LS_RECORDS_UNKNOWN)
        (void)snprintf(text, LSI_LOST_BYTES, "how many records are lost is not known");
    else if (finding->first_seqno == LS_SEQNO_NONE)
        (void)snprintf(text, LSI_LOST_BYTES, "%s%" PRIu64 " records lost", at_most ? "at most " : "",
                       finding->records_max);
    else
        (void)snprintf(text, LSI_LOST_BYTES, "%s%" PRIu64 " records lost, seqno %" PRIu64 "..%" PRIu64,
                       at_most ? "at most " : "", finding->records_max, finding->first_seqno, finding->last_seqno);
}

void lsi_older_tell(const lsi_log_config *config, const lsi_slot *slot, bool repaired, lsi_inspection *inspection)
{
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_CONTROL, .file = LSI_CONTROL_NAME,
                          .repairable = 1, .repaired = repaired,
                          .advice = repaired ? "its end was found again in the segments"
                                             : "nothing to do: whoever uses the shard next finds its end in the "
                                               "segments"};
    uint64_t offset = lsi_load(&slot->committed_end) - lsi_load(&slot->segment_base) + LSI_SEGMENT_HEADER_BYTES;

    lsi_inspection_tell(inspection, &finding, "%s: %s is older than the shard: it states that the last record ends at "
                        "0x%" PRIx64 " of %08" PRIu32 ".seg, and others follow: nothing is lost", config->label,
                        LSI_CONTROL_NAME, offset, atomic_load_explicit(&slot->segment, memory_order_relaxed));
}

/* Records that are there, for who may read the file. */
static void say_hidden(const ls_finding *finding, bool at_most, char text[LSI_LOST_BYTES])
{
    if (finding->records_max == LS_RECORDS_UNKNOWN)
        (void)snprintf(text, LSI_LOST_BYTES, "how many records that hides is not known");
    else
        (void)snprintf(text, LSI_LOST_BYTES, "%s%" PRIu64 " records cannot be read, seqno %" PRIu64 "..%" PRIu64,
                       at_most ? "at most " : "", finding->records_max, finding->first_seqno, finding->last_seqno);
}

const char *lsi_unreadable_advice(int err)
{
    if (err == EACCES || err == EPERM)
        return "give the file the owner and mode of its directory (chown, chmod), or run this as root";
    return "look at the kernel's log and the disk, copy the store, then verify the copy";
}

uint64_t lsi_unsynced_records(const lsi_log_config *config, const lsi_slot *slot)
{
    uint64_t committed = lsi_load(&slot->committed_end), durable = lsi_slot_kept_end(slot), records;
    ls_seqno next = lsi_load(&slot->next_seqno);
    lsi_segment *segment;

    if (committed <= durable)
        return 0;
    if (lsi_segment_open(config, atomic_load_explicit(&slot->segment, memory_order_relaxed), false, &segment) != LS_OK)
        return LS_RECORDS_UNKNOWN;
    if (lsi_segment_codec(segment) == LSI_CODEC_PLAIN)
        records = (committed - durable) / RECORD_BYTES_LEAST;
    else /* No size bounds them; but they are of this segment. */
        records = next > segment->header.base_seqno ? next - segment->header.base_seqno : 0;
    lsi_segment_unref(segment);
    return records;
}

/* Whether the file is a segment that is right in itself: it only lies where another one should. */
static bool is_misplaced(const lsi_log_config *config, uint32_t number)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    uint64_t file_bytes;

    return lsi_header_read(config, number, bytes, &file_bytes) == LS_OK &&
           lsi_segment_header_decode("", bytes, NULL, &header) == LS_OK;
}

/* To be done, or, after a repair, what was done. */
static const char *stepped_over(const ls_finding *finding, bool misplaced)
{
    if (!finding->repaired && misplaced)
        return "give the file back its own name and place, and this name what belongs here; or `lstream repair`: "
               "readers then step over the gap";
    if (!finding->repaired)
        return "put the file back from a copy, or `lstream repair`: readers then step over the gap";
    return finding->kind == LS_FINDING_SEGMENT_MISSING
               ? "readers step over it from now on"
               : "readers step over these bytes from now on; the file was left as it is";
}

void lsi_say_header(const lsi_log_config *config, uint32_t number, char text[LSI_MESSAGE_BYTES])
{
    lsi_segment *segment;

    if (lsi_segment_open(config, number, false, &segment) != LS_OK) {
        (void)snprintf(text, LSI_MESSAGE_BYTES, "%s", lsi_last_message());
        return;
    }
    (void)snprintf(text, LSI_MESSAGE_BYTES, "%s: %s is not the file that the segment list names", config->label,
                   segment->name);
    lsi_segment_unref(segment);
}

static void gap_tell(lsi_inspection *inspection, const lsi_log_config *config, const lsi_gap *gap, bool repaired)
{
    char name[LSI_SEGMENT_NAME_BYTES], lost[LSI_LOST_BYTES], why[LSI_MESSAGE_BYTES];
    bool is_unreadable = gap->kind == LS_FINDING_FILE_UNREADABLE;
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = gap->kind, .file = name, .offset = gap->offset,
                          .bytes = gap->to - gap->from, .repairable = !is_unreadable,
                          .repaired = repaired && !is_unreadable};

    lsi_segment_name(config->dir, gap->number, "seg", name);
    if (gap->first_seqno != 0 && gap->last_seqno >= gap->first_seqno) {
        uint64_t room = gap->room_bytes / RECORD_BYTES_LEAST + 1;

        finding.first_seqno = gap->first_seqno;
        finding.last_seqno = gap->last_seqno;
        finding.records_max = gap->last_seqno - gap->first_seqno + 1;
        if (gap->open_ended && room < finding.records_max)
            finding.records_max = room;
    }
    lsi_say_lost(&finding, gap->open_ended, lost);
    finding.advice =
        stepped_over(&finding, gap->kind == LS_FINDING_SEGMENT_HEADER && is_misplaced(config, gap->number));
    switch (gap->kind) {
    case LS_FINDING_SEGMENT_MISSING:
        lsi_inspection_tell(inspection, &finding, "%s: %s is not there: %s", config->label, name, lost);
        break;
    case LS_FINDING_SEGMENT_HEADER:
        lsi_say_header(config, gap->number, why);
        if (gap->salvageable) {
            (void)snprintf(lost, sizeof lost, "no record is lost once it is repaired");
            finding.advice = "`lstream repair`: writes the header anew from the segment list";
        }
        lsi_inspection_tell(inspection, &finding, "%s: %s", why, lost);
        break;
    case LS_FINDING_SEGMENT_SHORT:
        lsi_inspection_tell(inspection, &finding, "%s: %s is cut short, from offset 0x%" PRIx64 " on %" PRIu64
                            " bytes are gone: %s", config->label, name, gap->offset, finding.bytes, lost);
        break;
    case LS_FINDING_FILE_UNREADABLE:
        finding.advice = lsi_unreadable_advice(gap->err);
        say_hidden(&finding, gap->open_ended, lost);
        lsi_inspection_tell(inspection, &finding, "%s: %s cannot be read at offset 0x%" PRIx64 " (%s): %s",
                            config->label, name, gap->offset, strerror(gap->err), lost);
        break;
    default:
        lsi_inspection_tell(inspection, &finding, "%s: %s is damaged at offset 0x%" PRIx64 ", %" PRIu64 " bytes: %s",
                            config->label, name, gap->offset, finding.bytes, lost);
    }
}

void lsi_gaps_tell(lsi_verify *verify, bool repaired)
{
    for (size_t i = 0; i < verify->gap_count && !verify->inspection->stopped; i++)
        gap_tell(verify->inspection, verify->config, &verify->gaps[i], repaired);
    verify->gap_count = 0;
}
