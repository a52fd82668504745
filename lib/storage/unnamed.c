/* Files in a log's directory that its segment list does not name, as verifying tells them.
 *
 * Most are what a killed process left, or a repair kept: nothing to do. But a segment that goes on where a listed one
 * ended, and holds frames, was named when they were written (S3): then the list is not the one that was there, and what
 * was acknowledged cannot be reached (R6). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/numbered.h"
#include "storage/verify.h"

typedef struct unnamed {
    lsi_verify *verify;
    const lsi_segment_list *list;
    ls_status st;
} unnamed;

uint32_t lsi_segment_number_of(const char *entry, const char *suffix)
{
    char *end;
    unsigned long number;

    if (entry[0] < '0' || entry[0] > '9')
        return 0;
    number = strtoul(entry, &end, 10);
    if (end - entry < 8 || *end != '.' || strcmp(end + 1, suffix) != 0 || number > UINT32_MAX)
        return 0;
    return (uint32_t)number;
}

static bool is_named(const lsi_segment_list *list, uint32_t number)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->entries[i].number == number)
            return true;
    return false;
}

/* The listed segment that its header quotes. */
static const lsi_segment_entry *find_previous(const lsi_segment_list *list, const lsi_segment_header *header)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->entries[i].number == header->previous && list->entries[i].header_sum == header->chain)
            return header->number > header->previous ? &list->entries[i] : NULL;
    return NULL;
}

/* Beside others it may have been named, and perhaps trimmed, since the list was read. It was before its first frame was
 * written, so a list that is read after that was seen names it. */
static ls_status is_named_now(const lsi_verify *verify, uint32_t number, bool *is)
{
    lsi_segment_list *now;
    ls_status st = lsi_segment_list_load(verify->config, &now);

    if (st != LS_OK)
        return st;
    *is = number < now->entries[0].number || is_named(now, number);
    lsi_segment_list_unref(now);
    return LS_OK;
}

/* The records of a segment that a list should name, and what to do. None: it should not, or there are none, or what is
 * in it is no segment. `*unread`: an errno, as which it could not be read; then nobody knows. */
static ls_status count_lost(const lsi_verify *verify, const lsi_segment_list *list, uint32_t number,
                            ls_finding *finding, int *unread)
{
    const lsi_log_config *config = verify->config;
    uint64_t size, stop, frames = 0;
    lsi_segment *segment;
    lsi_walk walk;
    ls_status st = lsi_segment_open(config, number, false, &segment);

    if (st != LS_OK && st != LS_ERR_NO_MEMORY && st != LS_ERR_CORRUPT && st != LS_ERR_VERSION &&
        st != LS_ERR_NOT_FOUND)
        *unread = lsi_last_errno();
    if (st != LS_OK)
        return st == LS_ERR_NO_MEMORY ? st : LS_OK;
    const lsi_segment_entry *previous = find_previous(list, &segment->header);
    int rc = previous != NULL ? segment->file.files->size(&segment->file, &size) : 0;
    if (rc < 0)
        *unread = -rc;
    if (previous == NULL || rc < 0 || size <= LSI_SEGMENT_HEADER_BYTES) {
        lsi_segment_unref(segment);
        return LS_OK;
    }
    finding->advice = previous == lsi_segment_list_last(list)
                          ? "copy the store; then move this shard's file `" LSI_SEGMENT_LIST_NAME
                            "` away and `lstream repair`: makes it anew from the segments"
                          : "copy the store; the shard has gone on without it, but `lstream dump` of it shows its "
                            "records";
    frames = size - LSI_SEGMENT_HEADER_BYTES;
    if (frames > segment->header.frames_bytes_max)
        frames = segment->header.frames_bytes_max;
    stop = segment->header.base + (frames & ~(uint64_t)7);
    lsi_walk_begin(&walk, config->env, segment, segment->header.base, stop, true);
    for (bool more = true; st == LS_OK && more && walk.at < stop;) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;

        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st == LS_OK && result == LSI_FRAME_VALID) {
            if (finding->first_seqno == LS_SEQNO_NONE)
                finding->first_seqno = frame.first_seqno;
            finding->last_seqno = frame.first_seqno + frame.count - 1;
            finding->records_max += frame.count;
        } else if (st == LS_OK) {
            st = lsi_walk_resume(&walk, walk.at + 8, &more);
        }
    }
    if (st != LS_OK && st != LS_ERR_NO_MEMORY && finding->records_max == 0)
        *unread = lsi_last_errno();
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    return st == LS_ERR_NO_MEMORY ? st : LS_OK;
}

static int tell_file(void *user, const char *entry, bool is_dir)
{
    unnamed *of = user;
    const lsi_verify *verify = of->verify;
    uint32_t segment = lsi_segment_number_of(entry, "seg");
    uint32_t number = segment != 0 ? segment : lsi_segment_number_of(entry, "idx");
    char name[LSI_LOG_DIR_BYTES + 300], lost[LSI_LOST_BYTES];
    ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = LS_FINDING_STRAY_FILE, .file = name};
    bool is = false;
    int unread = 0;

    if (strcmp(entry, LSI_SEGMENT_LIST_NAME) == 0 || strcmp(entry, LSI_PRODUCERS_NAME) == 0 ||
        (number != 0 && is_named(of->list, number)))
        return 0;
    (void)snprintf(name, sizeof name, "%s/%s", verify->config->dir, entry);
    if (segment != 0 && !is_dir)
        of->st = count_lost(verify, of->list, segment, &finding, &unread);
    if (of->st == LS_OK && finding.records_max != 0 && verify->beside)
        of->st = is_named_now(verify, segment, &is);
    if (of->st != LS_OK)
        return -1; /* Not looked at: `st` says it. */
    if (is)
        return 0;
    if (unread != 0) {
        finding.severity = LS_FINDING_DAMAGE;
        finding.kind = LS_FINDING_FILE_UNREADABLE;
        finding.advice = lsi_unreadable_advice(unread);
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s, which the segment list does not name, cannot be "
                            "read: %s: whether records are lost in it nobody knows", verify->config->label, name,
                            strerror(unread));
        return 0;
    }
    if (finding.records_max == 0)
        finding.advice = "nothing to do; it may be removed once nobody wants to look at it";
    if (finding.records_max != 0) {
        finding.severity = LS_FINDING_DAMAGE;
        lsi_say_lost(&finding, true, lost);
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s goes on where a listed segment ends, and the segment "
                            "list does not name it: %s", verify->config->label, name, lost);
    } else if (verify->repair) {
        return 0; /* What is only left there has been told. */
    } else if (lsi_is_kept(entry)) {
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s was kept by a repair", verify->config->label, name);
    } else if (!verify->beside) { /* Else it may be about to be named. */
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s%s is named by nothing: a killed process left it",
                            verify->config->label, name, is_dir ? "/" : "");
    }
    return 0;
}

ls_status lsi_unnamed_tell(lsi_verify *verify, const lsi_segment_list *list)
{
    const lsi_log_config *config = verify->config;
    unnamed of = {.verify = verify, .list = list, .st = LS_OK};
    lsi_error_state before;

    lsi_error_save(&before);
    int rc = config->root->files->list(config->root, config->dir, tell_file, &of);
    if (of.st != LS_OK)
        return of.st;
    if (rc < 0)
        return lsi_fail_errno(-rc, "listing %s", config->dir);
    lsi_error_restore(&before); /* A file that is no segment is no failure. */
    return LS_OK;
}
