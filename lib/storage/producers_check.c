/* Verifying and repairing what a log remembers of producers (numbered.h). Only one that takes puts needs it. */
#include <stdio.h>

#include "storage/numbered.h"
#include "storage/verify.h"

static void tell(lsi_verify *verify, const char *why, bool repaired, const char *advice)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_PRODUCERS, .file = name, .repairable = 1,
                          .repaired = repaired, .advice = advice};

    (void)snprintf(name, sizeof name, "%s/" LSI_PRODUCERS_NAME, verify->config->dir);
    lsi_inspection_tell(verify->inspection, &finding, "%s: no record is lost; numbered puts %s", why,
                        repaired ? "were refused" : "are refused");
}

/* Why it cannot be used, in the thread's last error, or LS_OK. */
static ls_status look(const lsi_log_config *config, bool is_promised, uint64_t end)
{
    lsi_remembered *of = NULL;
    lsi_error_state before;
    uint64_t position;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_producers_load(config, &position, &of);
    lsi_remembered_free(of);
    if (st == LS_ERR_NOT_FOUND && !is_promised) {
        lsi_error_restore(&before);
        return LS_OK;
    }
    if (st == LS_ERR_NOT_FOUND)
        return lsi_fail(LS_ERR_CORRUPT, "%s: %s/" LSI_PRODUCERS_NAME " is not there", config->label, config->dir);
    if (st == LS_OK && position > end && is_promised)
        return lsi_fail(LS_ERR_CORRUPT, "%s: %s/" LSI_PRODUCERS_NAME " is of position %llu, and the log ends at %llu",
                        config->label, config->dir, (unsigned long long)position, (unsigned long long)end);
    return st;
}

ls_status lsi_producers_check(lsi_verify *verify, const lsi_segment_list *list, uint64_t end)
{
    const lsi_segment_entry *last = &list->entries[list->count - 1];
    ls_status st;

    if (verify->config->is_closed || verify->beside)
        return LS_OK; /* Beside others it is replaced meanwhile; who puts looks at it himself. */
    st = look(verify->config, (last->flags & LSI_SEGMENT_NUMBERED) != 0, end);
    if (st == LS_OK || st == LS_ERR_NO_MEMORY)
        return st;
    if (st == LS_ERR_CORRUPT && verify->repair) {
        (void)snprintf(verify->why_snapshot, sizeof verify->why_snapshot, "%s", lsi_last_message());
        return LS_OK;
    }
    tell(verify, lsi_last_message(), false,
         st == LS_ERR_CORRUPT ? "`lstream repair`: makes it anew from the records that are there"
                              : lsi_unreadable_advice(lsi_last_errno()));
    return LS_OK;
}

ls_status lsi_producers_repair(lsi_verify *verify, lsi_log *log, lsi_slot *slot)
{
    const lsi_log_config *config = verify->config;
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES];
    char done[LSI_KEPT_NAME_BYTES + 200];
    ls_status st;

    (void)snprintf(name, sizeof name, "%s/" LSI_PRODUCERS_NAME, config->dir);
    (void)snprintf(done, sizeof done, "it was made anew from the records that are there, what was trimmed or put "
                   "to parents is forgotten; there was none to keep");
    st = lsi_keep_aside(config->env, config->root, config->dir, name, UINT64_MAX, kept);
    if (st == LS_OK)
        (void)snprintf(done, sizeof done, "it was made anew from the records that are there, what was trimmed or put "
                       "to parents is forgotten; the old one was kept as %s", kept);
    if (st == LS_ERR_NOT_FOUND)
        st = LS_OK;
    if (st == LS_OK)
        st = lsi_log_lock(log, slot, true);
    if (st != LS_OK)
        return st;
    st = lsi_log_make_snapshot(log, slot);
    lsi_log_unlock(slot);
    if (st == LS_OK)
        tell(verify, verify->why_snapshot, true, done);
    return st;
}
