/* Findings, as an operator reads them at three in the morning: what and where and what is lost on one line, what to do
 * on the next. */
#include "cli/findings.h"

#include <inttypes.h>

static const char *severity_word(ls_finding_severity severity)
{
    return severity == LS_FINDING_DAMAGE ? "DAMAGE" : severity == LS_FINDING_HINT ? "hint" : "note";
}

static const char *kind_word(ls_finding_kind kind)
{
    switch (kind) {
    case LS_FINDING_MANIFEST: return "manifest";
    case LS_FINDING_SEGMENT_LIST: return "segment-list";
    case LS_FINDING_SEGMENT_MISSING: return "segment-missing";
    case LS_FINDING_SEGMENT_HEADER: return "segment-header";
    case LS_FINDING_FRAMES: return "frames";
    case LS_FINDING_SEGMENT_SHORT: return "segment-short";
    case LS_FINDING_INDEX: return "index";
    case LS_FINDING_CONTROL: return "control";
    case LS_FINDING_TORN_TAIL: return "torn-tail";
    case LS_FINDING_SKIPPED: return "skipped";
    case LS_FINDING_STRAY_FILE: return "stray-file";
    case LS_FINDING_FILE_UNREADABLE: return "file-unreadable";
    case LS_FINDING_SYNC_FAILED: return "sync-failed";
    case LS_FINDING_RESERVE: return "reserve";
    case LS_FINDING_PRODUCERS: return "producers";
    default: return "other";
    }
}

static void put_records(lsi_json_writer *json, uint64_t count)
{
    if (count == LS_RECORDS_UNKNOWN)
        lsi_json_null(json);
    else
        lsi_json_uint(json, count);
}

static void print_json(const lsi_call *call, const ls_finding *finding)
{
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "severity", severity_word(finding->severity));
    lsi_member_string(&json, "kind", kind_word(finding->kind));
    lsi_json_key(&json, "stream");
    if (finding->stream_id == 0)
        lsi_json_null(&json);
    else
        lsi_json_string(&json, finding->stream);
    lsi_json_key(&json, "shard");
    if (finding->shard == LS_NO_SHARD)
        lsi_json_null(&json);
    else if (finding->shard == LS_STATE_SHARD)
        lsi_json_string(&json, "state");
    else
        lsi_json_uint(&json, finding->shard);
    lsi_member_string(&json, "file", finding->file);
    lsi_member_uint(&json, "offset", finding->offset);
    lsi_member_uint(&json, "bytes", finding->bytes);
    lsi_member_uint(&json, "first_seqno", finding->first_seqno);
    lsi_member_uint(&json, "last_seqno", finding->last_seqno);
    lsi_json_key(&json, "records_max");
    put_records(&json, finding->records_max);
    lsi_member_bool(&json, "repairable", finding->repairable != 0);
    lsi_member_bool(&json, "repaired", finding->repaired != 0);
    lsi_member_string(&json, "what", finding->what);
    lsi_member_string(&json, "advice", finding->advice);
    lsi_json_object_close(&json);
    (void)lsi_out_json(call, &json, LSI_EXIT_OK); /* It says it when memory runs out. */
}

ls_inspect_act lsi_findings_print(const ls_finding *finding, void *user)
{
    const lsi_findings *findings = user;

    if (findings->call->json) {
        print_json(findings->call, finding);
    } else if (finding->severity != LS_FINDING_NOTE || findings->notes) {
        lsi_out_text("%s: %s\n", severity_word(finding->severity), finding->what);
        lsi_out_text("  %s%s\n", finding->repaired ? "done: " : finding->severity == LS_FINDING_DAMAGE ? "to do: " : "",
                     finding->advice);
    }
    return lsi_out_broken() && !findings->repairing ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static void summary_json(const lsi_call *call, const ls_inspect_summary *summary)
{
    const struct {
        const char *key;
        uint64_t n;
    } members[] = {
        {"streams", summary->streams}, {"shards", summary->shards}, {"segments", summary->segments},
        {"frames", summary->frames}, {"records", summary->records}, {"bytes", summary->bytes},
        {"damages", summary->damages}, {"hints", summary->hints}, {"notes", summary->notes},
        {"repaired", summary->repaired},
    };
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, "summary");
    lsi_json_object_open(&json);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        lsi_json_key(&json, members[i].key);
        lsi_json_uint(&json, members[i].n);
    }
    lsi_json_key(&json, "records_lost_max");
    put_records(&json, summary->records_lost_max);
    lsi_json_object_close(&json);
    lsi_json_object_close(&json);
    (void)lsi_out_json(call, &json, LSI_EXIT_OK); /* It says it when memory runs out. */
}

int lsi_findings_end(const lsi_findings *findings, const ls_inspect_summary *summary, ls_status st)
{
    const lsi_call *call = findings->call;
    char size[LSI_SIZE_BYTES];

    if (st != LS_OK && st != LS_ERR_CORRUPT) {
        lsi_out_flush();
        return lsi_failed(call, st);
    }
    if (call->json) {
        summary_json(call, summary);
        return lsi_exit_code(st);
    }
    lsi_format_size(summary->bytes, size);
    lsi_out_text("%" PRIu32 " streams, %" PRIu32 " shards, %" PRIu32 " segments; %s read, %" PRIu64
                 " records are right\n",
                 summary->streams, summary->shards, summary->segments, size, summary->records);
    lsi_out_text("damages: %" PRIu64, summary->damages);
    if (summary->records_lost_max == LS_RECORDS_UNKNOWN)
        lsi_out_text(" (how many records are lost is not known)");
    else if (summary->records_lost_max != 0)
        lsi_out_text(" (at most %" PRIu64 " records lost)", summary->records_lost_max);
    else if (summary->damages != 0)
        lsi_out_text(" (no record lost)");
    lsi_out_text("; damaged hints: %" PRIu64 "; notes: %" PRIu64, summary->hints, summary->notes);
    if (findings->repairing)
        lsi_out_text("; repaired: %" PRIu64, summary->repaired);
    lsi_out_text("\n");
    return lsi_exit_code(st);
}
