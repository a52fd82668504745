/* A segment list made anew: each segment's header quotes the one before it, with its number, its end and its sum. So
 * the headers that are there tell the list, but for what was trimmed, or lost, before the first and after the last. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/verify.h"

#define RECORD_BYTES_LEAST 16u /* a header of 8 and a key of 1, padded */
#define BEGIN_AGAIN \
    "put the directory back from a copy, or `lstream repair`: the shard begins again, empty, with new numbers"
#define SEGMENTS_MAX (UINT32_C(1) << 20) /* files of one log that a rebuilt list may name */

typedef struct found_segments {
    const lsi_log_config *config;
    lsi_segment_header *headers; /* the readable ones */
    size_t count, capacity;
    uint32_t newest_unreadable;  /* number; 0: none */
    ls_status st;                /* why no more were looked at: no memory, or the system would not read one */
} found_segments;

static int find_segment(void *user, const char *entry, bool is_dir)
{
    found_segments *found = user;
    uint32_t number = lsi_segment_number_of(entry, "seg");
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_segment_header header;
    uint64_t file_bytes;
    void *headers = found->headers;
    ls_status st;

    if (is_dir || number == 0 || found->count >= SEGMENTS_MAX)
        return 0;
    lsi_segment_name(found->config->dir, number, "seg", name);
    st = lsi_header_read(found->config, number, bytes, &file_bytes);
    if (st != LS_OK && st != LS_ERR_CORRUPT && st != LS_ERR_NOT_FOUND) {
        found->st = st; /* It may well be right: a list without it would give it up. */
        return 1;
    }
    if (st != LS_OK || lsi_segment_header_decode(name, bytes, found->config, &header) != LS_OK ||
        header.number != number) {
        if (number > found->newest_unreadable)
            found->newest_unreadable = number;
        return 0;
    }
    if (!lsi_grow(&found->config->env->memory, &headers, &found->capacity, found->count + 1, sizeof header)) {
        found->st = lsi_fail(LS_ERR_NO_MEMORY, "%s: looking at its segments: no memory", found->config->label);
        return 1;
    }
    found->headers = headers;
    found->headers[found->count++] = header;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const lsi_segment_header *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Behind the last valid frame of a segment before `limit`, the number after that frame's last, and when it arrived:
 * what follows is no older, or it would be taken for older than it is and trimmed too soon. */
static ls_status frames_end(const lsi_log_config *config, const lsi_segment_header *header, uint64_t limit,
                            uint64_t *end, ls_seqno *next, int64_t *arrival_us)
{
    lsi_segment *segment;
    lsi_walk walk;
    uint64_t size, stop;
    ls_status st = lsi_segment_open(config, header->number, false, &segment);
    int rc;

    *end = header->base;
    *next = header->base_seqno;
    *arrival_us = header->base_arrival_us;
    if (st != LS_OK)
        return st;
    rc = segment->file.files->size(&segment->file, &size);
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "%s: asking for the size of %s", config->label, segment->name);
        lsi_segment_unref(segment);
        return st;
    }
    stop = header->base;
    if (size > LSI_SEGMENT_HEADER_BYTES)
        stop += (size - LSI_SEGMENT_HEADER_BYTES) & ~(uint64_t)7;
    if (stop > limit)
        stop = limit;
    lsi_walk_begin(&walk, config->env, segment, header->base, stop, true);
    while (st == LS_OK && walk.at < stop) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        bool more;

        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK)
            break;
        if (result == LSI_FRAME_VALID) {
            *end = walk.at;
            *next = frame.first_seqno + frame.count;
            *arrival_us = frame.arrival_us;
            continue;
        }
        st = lsi_walk_resume(&walk, walk.at + 8, &more);
        if (!more)
            break;
    }
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    return st;
}

lsi_segment_list *lsi_list_with_room(const lsi_env *env, const lsi_segment_list *from, size_t entries, size_t skips)
{
    lsi_segment_list *list =
        lsi_alloc_zero(&env->memory, sizeof *list + entries * sizeof(lsi_segment_entry) + skips * sizeof(lsi_skip));

    if (list == NULL)
        return NULL;
    list->env = env;
    atomic_init(&list->references, 1);
    list->entries = (lsi_segment_entry *)(list + 1);
    list->skips = (lsi_skip *)(list->entries + entries);
    if (from != NULL) {
        list->head = from->head;
        list->head.generation++;
        list->trimmed = from->trimmed;
        list->count = from->count;
        list->skip_count = from->skip_count;
        memcpy(list->entries, from->entries, from->count * sizeof *list->entries);
        memcpy(list->skips, from->skips, from->skip_count * sizeof *list->skips);
    }
    return list;
}

static lsi_segment_entry entry_of(const lsi_log_config *config, const lsi_segment_header *header)
{
    lsi_segment_entry entry;

    lsi_segment_entry_begin(config->env, header, &entry);
    return entry;
}

/* The newest segment's header is damaged: where its frames begin follows from the one before, or from what its header
 * says if that can be. Its numbers begin above all that are known; how far they go, its size bounds. */
static ls_status newest_entry(const lsi_log_config *config, uint32_t number, const lsi_segment_header *before,
                              lsi_segment_entry *out)
{
    unsigned char raw[LSI_SEGMENT_HEADER_BYTES];
    uint64_t file_bytes, base, end;
    ls_seqno seqno, next;
    int64_t arrival_us;
    ls_status st = frames_end(config, before, UINT64_MAX, &end, &next, &arrival_us);

    if (st != LS_OK)
        return st;
    *out = (lsi_segment_entry){.number = number, .base = end, .base_seqno = next, .base_arrival_us = arrival_us};
    st = lsi_header_read(config, number, raw, &file_bytes);
    if (st != LS_OK && st != LS_ERR_CORRUPT && st != LS_ERR_NOT_FOUND)
        return st;
    if (st == LS_OK) {
        base = lsi_read_u64le(raw + LSI_SEGMENT_BASE_AT);
        seqno = lsi_read_u64le(raw + LSI_SEGMENT_BASE_AT + 8);
        if (base >= end && base % 8 == 0 && base - before->base <= before->frames_bytes_max)
            out->base = base;
        if (seqno >= next && seqno <= before->seqno_limit)
            out->base_seqno = seqno;
    }
    out->seqno_limit = out->base_seqno + config->segment_bytes / RECORD_BYTES_LEAST + 1;
    if (out->seqno_limit > LS_SEQNO_END)
        out->seqno_limit = LS_SEQNO_END;
    return LS_OK;
}

/* The list as the headers tell it: each quotes its predecessor's number and end. `*lost` counts segments that are
 * quoted and cannot be read. CORRUPT: they contradict each other. */
static ls_status list_from_headers(const lsi_log_config *config, const found_segments *found, lsi_segment_list **out,
                                   uint32_t *lost)
{
    const lsi_segment_header *headers = found->headers;
    size_t count = found->count, at = count - 1, made = 0;
    lsi_segment_list *list = lsi_list_with_room(config->env, NULL, 2 * count + 2, 0);
    lsi_segment_entry swap;
    ls_status st = LS_OK;

    *lost = 0;
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a list of %zu segments: no memory", config->label, count);
    /* The newest file may be one that a dead process made and never named: then its predecessor goes on beyond it. */
    while (at > 0 && headers[at].previous != 0) {
        size_t before = at;
        uint64_t end, own_end;
        int64_t arrival_us;
        ls_seqno next;

        while (before > 0 && headers[before - 1].number > headers[at].previous)
            before--;
        if (before == 0 || headers[before - 1].number != headers[at].previous)
            break;
        st = frames_end(config, &headers[at], UINT64_MAX, &own_end, &next, &arrival_us);
        if (st == LS_OK)
            st = frames_end(config, &headers[before - 1], UINT64_MAX, &end, &next, &arrival_us);
        if (st != LS_OK)
            goto fail;
        if (own_end != headers[at].base || end <= headers[at].previous_end ||
            headers[at - 1].number < headers[at].previous)
            break;
        at--;
    }
    /* Newest first; turned round below. */
    if (found->newest_unreadable > headers[at].number) {
        lsi_segment_entry *newest = &list->entries[made++];

        st = newest_entry(config, found->newest_unreadable, &headers[at], newest);
        if (st != LS_OK)
            goto fail;
        list->entries[made] = entry_of(config, &headers[at]);
        list->entries[made].flags |= LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN;
        list->entries[made++].end = newest->base;
        ++*lost;
    } else {
        list->entries[made++] = entry_of(config, &headers[at]);
    }
    while (headers[at].previous != 0) {
        const lsi_segment_header *next = &headers[at];
        size_t before = at;
        lsi_segment_entry entry;
        uint64_t end;
        int64_t arrival_us;
        ls_seqno number;

        while (before > 0 && headers[before - 1].number > next->previous)
            before--;
        if (before == 0) {
            /* Trimmed, or lost: nothing tells which. But where the very first one began is known. */
            if (next->previous == 1) {
                list->entries[made++] = (lsi_segment_entry){
                    .number = 1, .flags = LSI_SEGMENT_SEALED, .end = next->previous_end,
                    .base_seqno = config->first_seqno, .seqno_limit = next->base_seqno};
                ++*lost;
            }
            break;
        }
        before--;
        if (headers[before].number != next->previous) {
            st = frames_end(config, &headers[before], next->previous_end, &end, &number, &arrival_us);
            if (st != LS_OK)
                goto fail;
            list->entries[made++] = (lsi_segment_entry){
                .number = next->previous, .flags = LSI_SEGMENT_SEALED, .base = end, .end = next->previous_end,
                .base_seqno = number, .seqno_limit = next->base_seqno > number ? next->base_seqno : number,
                .base_arrival_us = arrival_us};
            ++*lost;
        } else {
            end = next->previous_end;
        }
        /* Where the lead shrank nobody put for so long, or the clock was set forward: who knows (G5). */
        if (lsi_segment_lead_us(next) != 0 &&
            lsi_segment_lead_us(&headers[before]) - lsi_segment_lead_us(next) > LSI_CLOCK_STEP_US)
            list->entries[made - 1].flags |= LSI_SEGMENT_CORRECTED;
        entry = entry_of(config, &headers[before]);
        entry.flags |= LSI_SEGMENT_SEALED | (next->base_seqno == entry.seqno_limit ? LSI_SEGMENT_TORN : 0);
        entry.end = end;
        list->entries[made++] = entry;
        at = before;
    }
    for (size_t i = 0; i < made / 2; i++) {
        swap = list->entries[i];
        list->entries[i] = list->entries[made - 1 - i];
        list->entries[made - 1 - i] = swap;
    }
    list->count = (uint32_t)made;
    list->head.generation = 1;
    for (size_t i = 0; i + 1 < made; i++)
        if (list->entries[i].end < list->entries[i].base || list->entries[i].end != list->entries[i + 1].base ||
            list->entries[i].base_seqno > list->entries[i + 1].base_seqno) {
            st = lsi_fail(LS_ERR_CORRUPT, "%s: the headers of segments %u and %u contradict each other", config->label,
                          list->entries[i].number, list->entries[i + 1].number);
            goto fail;
        }
    *out = list;
    return LS_OK;
fail:
    lsi_segment_list_unref(list);
    return st;
}

/* The control file may know of a newer segment than any that is there. It is a hint: without it less is told. */
static void newest_known(const lsi_slot *slot, found_segments *found)
{
    uint32_t number;
    uint64_t end;

    if (slot == NULL)
        return;
    number = atomic_load_explicit(&slot->segment, memory_order_relaxed);
    if (number > found->newest_unreadable)
        found->newest_unreadable = number;
    if (lsi_watermark_read(slot, &number, &end) && number > found->newest_unreadable)
        found->newest_unreadable = number;
}

/* ---- when none can be made ---- */

int lsi_stop_at_once(void *user, const char *entry, bool is_dir)
{
    (void)user;
    (void)entry;
    (void)is_dir;
    return 1;
}

/* The shard's directory cannot be listed: says whether it is that or the stream's. */
static void say_directory(const lsi_log_config *config, int rc, lsi_recovered_list *out)
{
    char dir[LSI_LOG_DIR_BYTES];
    const char *what;
    int above;

    (void)snprintf(dir, sizeof dir, "%s", config->dir);
    *strrchr(dir, '/') = '\0';
    above = config->root->files->list(config->root, dir, lsi_stop_at_once, NULL);
    if (above >= 0)
        (void)snprintf(dir, sizeof dir, "%s", config->dir);
    else
        rc = above;
    what = rc == -ENOENT ? "is not there" : rc == -ENOTDIR || rc == -ELOOP ? "is not a directory" : strerror(-rc);
    (void)snprintf(out->why, sizeof out->why, "%s: %s %s", config->label, dir, what);
    out->is_lost = rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP;
    out->advice = out->is_lost ? BEGIN_AGAIN : lsi_unreadable_advice(-rc);
}

/* Segments that are right in themselves, but not in this place. */
static int find_stranger(void *user, const char *entry, bool is_dir)
{
    lsi_log_config *config = user;
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    uint32_t number = lsi_segment_number_of(entry, "seg");
    uint64_t file_bytes;

    if (is_dir || number == 0 || lsi_header_read(config, number, bytes, &file_bytes) != LS_OK ||
        lsi_segment_header_decode(entry, bytes, NULL, &header) != LS_OK)
        return 0;
    memcpy(config->store_id, header.store_id, sizeof config->store_id);
    config->stream = header.stream;
    config->shard = header.shard;
    return 1;
}

bool lsi_log_identify(lsi_log_config *config)
{
    return config->root->files->list(config->root, config->dir, find_stranger, config) == 1;
}

static void say_no_header(const lsi_log_config *config, lsi_recovered_list *out)
{
    lsi_log_config owner = *config;
    size_t size = strlen(out->why);

    if (lsi_log_identify(&owner)) {
        (void)snprintf(out->why + size, sizeof out->why - size, ", and the segments beside it are those of stream id "
                       "%" PRIu64 " shard %" PRIu32 "%s", owner.stream, owner.shard,
                       memcmp(owner.store_id, config->store_id, sizeof owner.store_id) != 0 ? " of another store" : "");
        out->lost = "no record of the shard can be read";
        out->advice = "the directories were exchanged: give each its name back (stream id/shard)";
        return;
    }
    (void)snprintf(out->why + size, sizeof out->why - size, ", and no segment beside it has a readable header");
    out->is_lost = true;
    out->advice = BEGIN_AGAIN;
}

/* ---- all of it ---- */

ls_status lsi_list_recover(const lsi_log_config *config, const lsi_slot *slot, lsi_recovered_list *out)
{
    found_segments found = {.config = config};
    ls_status st = LS_OK;
    int rc;

    memset(out, 0, sizeof *out);
    lsi_lost_know(config, slot, &out->known);
    out->lost = "every record of the shard is lost";
    (void)snprintf(out->why, sizeof out->why, "%s", lsi_last_message());
    if (slot != NULL && atomic_load_explicit(&slot->health, memory_order_relaxed) != LSI_SHARD_FRESH)
        out->next_seqno = lsi_load(&slot->next_seqno);
    rc = config->root->files->list(config->root, config->dir, find_segment, &found);
    st = found.st;
    if (rc < 0) {
        say_directory(config, rc, out);
    } else if (st == LS_OK && found.count == 0) {
        say_no_header(config, out);
    } else if (st == LS_OK) {
        qsort(found.headers, found.count, sizeof *found.headers, by_number);
        newest_known(slot, &found);
        st = list_from_headers(config, &found, &out->list, &out->unreadable);
    }
    if (st != LS_OK && st != LS_ERR_NO_MEMORY) {
        size_t size = strlen(out->why);

        out->list = NULL;
        out->lost = "no record of the shard can be read";
        (void)snprintf(out->why + size, sizeof out->why - size, ", and it cannot be rebuilt: %s", lsi_last_message());
        out->advice = st == LS_ERR_CORRUPT ? "put the list back from a copy of the store"
                                           : lsi_unreadable_advice(lsi_last_errno());
        st = LS_OK;
    }
    lsi_free(&config->env->memory, found.headers);
    return st;
}

void lsi_list_tell(const lsi_log_config *config, const lsi_recovered_list *recovered, const char *done,
                   lsi_inspection *inspection)
{
    const lsi_segment_list *list = recovered->list;
    char name[LSI_SEGMENT_NAME_BYTES], lost[LSI_LOST_BYTES], unreadable[64] = "", later[96] = "";
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SEGMENT_LIST, .file = name,
                          .repairable = list != NULL || recovered->is_lost, .repaired = done != NULL,
                          .first_seqno = config->first_seqno,
                          .advice = done};

    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    /* The numbers before the first segment that is left, or all. */
    finding.last_seqno = (list != NULL ? list->entries[0].base_seqno : recovered->next_seqno) - 1;
    if (list == NULL && recovered->next_seqno == 0)
        finding.records_max = LS_RECORDS_UNKNOWN;
    else if (finding.last_seqno >= finding.first_seqno)
        finding.records_max = finding.last_seqno - finding.first_seqno + 1;
    if (finding.records_max == 0 || finding.records_max == LS_RECORDS_UNKNOWN)
        finding.first_seqno = finding.last_seqno = LS_SEQNO_NONE;
    lsi_say_lost(&finding, true, lost);
    if (list == NULL) {
        if (done == NULL)
            finding.advice = recovered->advice;
        if (finding.records_max == LS_RECORDS_UNKNOWN)
            (void)snprintf(lost, sizeof lost, "how many is not known");
        else if (finding.records_max == 0)
            (void)snprintf(lost, sizeof lost, "but it held none");
        else
            (void)snprintf(lost, sizeof lost, "at most %" PRIu64 ", seqno %" PRIu64 "..%" PRIu64, finding.records_max,
                           finding.first_seqno, finding.last_seqno);
        lsi_inspection_tell(inspection, &finding, "%s: %s, %s", recovered->why, recovered->lost, lost);
        return;
    }
    if (done == NULL)
        finding.advice = "`lstream repair`: rebuilds the list from the segments' headers";
    if (recovered->unreadable != 0)
        (void)snprintf(unreadable, sizeof unreadable, ", gone or unreadable: %" PRIu32, recovered->unreadable);
    if (recovered->unreadable != 0 && finding.records_max == 0)
        (void)snprintf(lost, sizeof lost, "what is lost with those is told by themselves");
    if (recovered->next_seqno == 0)
        (void)snprintf(later, sizeof later, "; segments after %08" PRIu32 ".seg, if there were any, are lost too",
                       list->entries[list->count - 1].number);
    lsi_inspection_tell(inspection, &finding, "%s: the shard %s be opened until the list %s rebuilt (segments: %" PRIu32
                        "%s); %s%s%s", recovered->why, done == NULL ? "cannot" : "could not",
                        done == NULL ? "is" : "was", list->count, unreadable, lost,
                        finding.records_max != 0 ? ", unless they were trimmed" : "", later);
}
