/* What verify and repair share: printing findings and the summary. */
#ifndef LSI_CLI_FINDINGS_H
#define LSI_CLI_FINDINGS_H

#include <libstream/unstable/inspect.h>

#include "cli/cli.h"

typedef struct lsi_findings {
    const lsi_call *call;
    bool notes;     /* print severity NOTE, too */
    bool repairing; /* not a dry run */
} lsi_findings;

ls_inspect_act lsi_findings_print(const ls_finding *finding, void *user);
/* The summary, and the exit code for what verify or repair returned. */
int lsi_findings_end(const lsi_findings *findings, const ls_inspect_summary *summary, ls_status st);

#define LSI_FINDING_JSON_HELP \
    "With --json each finding is one line: {\"severity\", \"kind\", \"stream\", \"shard\",\n" \
    "\"file\", \"offset\", \"bytes\", \"first_seqno\", \"last_seqno\", \"records_max\",\n" \
    "\"repairable\", \"repaired\", \"what\", \"advice\"}, and the last one is {\"summary\":\n" \
    "{\"streams\", \"shards\", \"segments\", \"frames\", \"records\", \"bytes\", \"damages\",\n" \
    "\"hints\", \"notes\", \"repaired\", \"records_lost_max\"}}. A number of records that\n" \
    "nobody can know is null.\n"

#endif
