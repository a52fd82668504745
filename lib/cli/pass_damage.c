/* Going on behind damage, for --skip-damage: verifying tells the number behind it, from which reading goes on. Nothing
 * is written for that. */
#include "cli/cli.h"

#include <inttypes.h>

#include <libstream/unstable/inspect.h>

/* The damage of one shard that ends first of those that end behind `passed`. */
typedef struct next_damage {
    uint32_t shard;
    ls_seqno passed;
    ls_seqno first, last; /* 0: none was found */
} next_damage;

static ls_inspect_act see_finding(const ls_finding *finding, void *user)
{
    next_damage *next = user;

    if (finding->severity == LS_FINDING_DAMAGE && finding->shard == next->shard && finding->last_seqno > next->passed &&
        (next->last == 0 || finding->last_seqno < next->last)) {
        next->first = finding->first_seqno;
        next->last = finding->last_seqno;
    }
    return LS_INSPECT_GO_ON;
}

bool lsi_pass_damage(const lsi_call *call, ls_iterator *iterator, uint32_t shard, ls_seqno *passed)
{
    ls_inspect_options inspect = LS_INSPECT_OPTIONS_INIT;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    ls_position behind = {.kind = LS_AT_SEQUENCE_NUMBER};
    next_damage next = {.shard = shard, .passed = *passed};

    lsi_say(call, "%s", ls_last_error_message());
    inspect.stream = call->arguments[0];
    (void)ls_inspect_verify(call->store, &inspect, see_finding, &summary, &next); /* What it found is what counts. */
    behind.seqno = next.last + 1;
    if (next.last == 0 || ls_iterator_seek(iterator, &behind) != LS_OK) {
        lsi_say(call, "shard %" PRIu32 ": nothing can be read behind this", shard);
        return false;
    }
    lsi_say(call, "shard %" PRIu32 ": goes on at seqno %" PRIu64, shard, behind.seqno);
    *passed = next.last;
    return true;
}
