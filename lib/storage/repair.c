/* Repairing one log: afterwards all that lies outside the damage can be read, and the shard takes puts again (R4).
 *
 * Nothing that holds records is ever changed but for a damaged segment header. Readers are made to step over what is
 * damaged by *skips* in the segment list; so the original bytes stay where they are, and a better idea may still read
 * them. What is replaced (list, header) is kept beside first. Each step ends in one rename or one write that recovery
 * understands, so a repair that is killed can simply be run again.
 *
 * The order matters: the list is needed for everything; headers decide what can be read; the end of the log is settled
 * by recovery and, when that finds damage, by a reset, which begins a new segment; what is then still no frame gets a
 * skip. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/verify.h"

#define COPY_BYTES (256u << 10)
#define RECORD_BYTES_LEAST 16u /* a header of 8 and a key of 1, padded */
#define KEPT_MAX 10000u
#define SEGMENTS_MAX (UINT32_C(1) << 20) /* files of one log that a rebuilt list may name */

/* ---- keeping originals ---- */

ls_status lsi_keep_aside(const lsi_env *env, const lsi_root *root, const char *dir, const char *name,
                         uint64_t bytes_max,
                         char kept[LSI_KEPT_NAME_BYTES])
{
    const lsi_files *files = root->files;
    lsi_file from = {0}, to = {0};
    unsigned char *buffer = NULL;
    ls_status st = LS_OK;
    int rc = files->open(root, name, 0, &from);

    if (rc == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "%s is not there", name);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    for (unsigned n = 1;; n++) {
        (void)snprintf(kept, LSI_KEPT_NAME_BYTES, "%s.damaged-%u", name, n);
        rc = files->open(root, kept, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &to);
        if (rc != -EEXIST || n == KEPT_MAX)
            break;
    }
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "keeping %s as %s", name, kept);
        goto out;
    }
    buffer = lsi_alloc(&env->memory, COPY_BYTES);
    if (buffer == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "keeping %s: no memory", name);
        goto out;
    }
    for (uint64_t at = 0; at < bytes_max && rc >= 0;) {
        size_t size = bytes_max - at < COPY_BYTES ? (size_t)(bytes_max - at) : COPY_BYTES;
        int64_t got = files->read(&from, buffer, size, at);

        if (got <= 0) {
            rc = (int)got;
            break;
        }
        rc = lsi_file_write_one(&to, buffer, (size_t)got, at);
        at += (uint64_t)got;
    }
    if (rc >= 0)
        rc = files->sync(&to, false);
    if (rc >= 0)
        rc = files->sync_dir(root, dir);
    if (rc < 0)
        st = lsi_fail_errno(-rc, "keeping %s as %s", name, kept);
out:
    lsi_free(&env->memory, buffer);
    if (lsi_file_is_open(&to)) {
        (void)files->close(&to); /* Synced, or it failed already. */
        if (st != LS_OK)
            (void)files->unlink(root, kept); /* Half a copy would be taken for the original. */
    }
    (void)files->close(&from); /* It was only read. */
    return st;
}

/* ---- headers ---- */

static ls_status read_header(const lsi_log_config *config, uint32_t number,
                             unsigned char bytes[LSI_SEGMENT_HEADER_BYTES],
                             uint64_t *file_bytes)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_file file;
    int64_t got;
    int rc;

    lsi_segment_name(config->dir, number, "seg", name);
    rc = config->root->files->open(config->root, name, 0, &file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    memset(bytes, 0, LSI_SEGMENT_HEADER_BYTES);
    got = file.files->read(&file, bytes, LSI_SEGMENT_HEADER_BYTES, 0);
    rc = file.files->size(&file, file_bytes);
    (void)file.files->close(&file); /* It was only read. */
    if (got < 0 || rc < 0)
        return lsi_fail_errno(got < 0 ? (int)-got : -rc, "reading %s", name);
    return LS_OK;
}

/* True when frames of the file are right under `header`: then its salt is, too. An empty segment proves nothing. */
static bool frames_agree(const lsi_log_config *config, const lsi_segment_header *header, uint64_t file_bytes)
{
    lsi_segment segment = {.env = config->env, .header = *header, .seed = lsi_segment_seed(header)};
    lsi_walk walk;
    bool found = false;

    lsi_segment_name(config->dir, header->number, "seg", segment.name);
    if (file_bytes <= LSI_SEGMENT_HEADER_BYTES ||
        config->root->files->open(config->root, segment.name, 0, &segment.file) < 0)
        return false;
    lsi_walk_begin(&walk, config->env, &segment, header->base,
                   header->base + ((file_bytes - LSI_SEGMENT_HEADER_BYTES) & ~(uint64_t)7), true);
    if (lsi_walk_resume(&walk, header->base, &found) != LS_OK)
        found = false;
    lsi_walk_end(&walk);
    (void)segment.file.files->close(&segment.file); /* It was only read. */
    return found;
}

bool lsi_header_salvage(const lsi_log_config *config, const lsi_segment_list *list, uint32_t i, lsi_segment_header *out)
{
    const lsi_segment_entry *entry = &list->entries[i];
    unsigned char raw[LSI_SEGMENT_HEADER_BYTES], made[LSI_SEGMENT_HEADER_BYTES];
    uint64_t file_bytes, rooms[2];
    lsi_segment_header header;

    if (read_header(config, entry->number, raw, &file_bytes) != LS_OK || file_bytes <= LSI_SEGMENT_HEADER_BYTES)
        return false;
    /* What the list says is right; what only the header says is taken from it and shows itself by the sum. */
    memset(&header, 0, sizeof header);
    memcpy(header.store_id, config->store_id, sizeof header.store_id);
    header.stream = config->stream;
    header.shard = config->shard;
    header.number = entry->number;
    header.base = entry->base;
    header.base_seqno = entry->base_seqno;
    header.seqno_limit = entry->seqno_limit;
    header.base_arrival_us = entry->base_arrival_us;
    header.created_us = (int64_t)lsi_read_u64le(raw + LSI_SEGMENT_CREATED_AT);
    memcpy(header.salt, raw + LSI_SEGMENT_SALT_AT, sizeof header.salt);
    if (i > 0) {
        header.previous = entry[-1].number;
        header.previous_end = entry->base;
        header.chain = entry[-1].header_sum;
    } else {
        header.previous = lsi_read_u32le(raw + LSI_SEGMENT_PREVIOUS_AT);
        header.previous_end = lsi_read_u64le(raw + LSI_SEGMENT_PREVIOUS_AT + 8);
        header.chain = lsi_read_u64le(raw + LSI_SEGMENT_PREVIOUS_AT + 16);
    }
    rooms[0] = lsi_read_u64le(raw + LSI_SEGMENT_FRAMES_MAX_AT);
    rooms[1] = config->segment_bytes - LSI_SEGMENT_HEADER_BYTES;
    for (int k = 0; k < 2; k++) {
        header.frames_bytes_max = rooms[k];
        lsi_segment_header_encode(&header, made);
        if (header.sum == entry->header_sum) { /* Every byte is as it was. */
            if (out != NULL)
                *out = header;
            return true;
        }
    }
    if (!frames_agree(config, &header, file_bytes))
        return false;
    header.frames_bytes_max = rooms[0];
    if (rooms[0] > UINT32_MAX)
        header.frames_bytes_max = rooms[1];
    if (header.frames_bytes_max < file_bytes - LSI_SEGMENT_HEADER_BYTES)
        header.frames_bytes_max = file_bytes - LSI_SEGMENT_HEADER_BYTES;
    lsi_segment_header_encode(&header, made);
    if (out != NULL)
        *out = header;
    return true;
}

/* Writes the header anew; the list then has its sum. */
static ls_status repair_header(const lsi_log_config *config, lsi_segment_list *list, uint32_t i, bool *changed,
                               lsi_inspection *inspection)
{
    lsi_segment_entry *entry = &list->entries[i];
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SEGMENT_HEADER, .file = name,
                          .bytes = LSI_SEGMENT_HEADER_BYTES, .repairable = 1, .repaired = 1,
                          .advice = "the header was written anew from the segment list"};
    lsi_segment_header header;
    lsi_segment *segment;
    lsi_file file;
    ls_status st = lsi_segment_open(config, entry->number, false, &segment);
    int rc;

    if (st == LS_OK && segment->header.sum == entry->header_sum) {
        lsi_segment_unref(segment);
        return LS_OK;
    }
    if (st == LS_OK)
        lsi_segment_unref(segment);
    if (st == LS_ERR_NO_MEMORY)
        return st;
    if ((st != LS_OK && st != LS_ERR_CORRUPT && st != LS_ERR_VERSION) || !lsi_header_salvage(config, list, i, &header))
        return LS_OK; /* Its whole range becomes a skip. */
    lsi_segment_name(config->dir, entry->number, "seg", name);
    st = lsi_keep_aside(config->env, config->root, config->dir, name, LSI_SEGMENT_HEADER_BYTES, kept);
    if (st != LS_OK)
        return st;
    lsi_segment_header_encode(&header, bytes);
    rc = config->root->files->open(config->root, name, LSI_OPEN_WRITE, &file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    rc = lsi_file_write_one(&file, bytes, sizeof bytes, 0);
    if (rc >= 0)
        rc = file.files->sync(&file, true);
    (void)file.files->close(&file); /* Synced, or it failed already. */
    if (rc < 0)
        return lsi_fail_errno(-rc, "writing the header of %s", name);
    if (entry->header_sum != header.sum) {
        entry->header_sum = header.sum;
        *changed = true;
    }
    lsi_inspection_tell(inspection, &finding, "%s: the header of %s (offset 0, 4096 bytes) failed its checks: no "
                                              "record is "
                        "lost; its bytes were kept as %s", config->label, name, kept);
    return LS_OK;
}

/* ---- the list ---- */

typedef struct found_segments {
    const lsi_log_config *config;
    lsi_segment_header *headers; /* the readable ones */
    size_t count, capacity;
    uint32_t newest_unreadable;  /* number; 0: none */
    bool no_memory;
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

    if (is_dir || number == 0 || found->count >= SEGMENTS_MAX)
        return 0;
    lsi_segment_name(found->config->dir, number, "seg", name);
    if (read_header(found->config, number, bytes, &file_bytes) != LS_OK ||
        lsi_segment_header_decode(name, bytes, found->config, &header) != LS_OK || header.number != number) {
        if (number > found->newest_unreadable)
            found->newest_unreadable = number;
        return 0;
    }
    if (!lsi_grow(&found->config->env->memory, &headers, &found->capacity, found->count + 1, sizeof header)) {
        found->no_memory = true;
        return -ENOMEM;
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
    stop = header->base;
    if (rc >= 0 && size > LSI_SEGMENT_HEADER_BYTES)
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

static lsi_segment_list *list_with_room(const lsi_env *env, const lsi_segment_list *from, size_t entries, size_t skips)
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
        list->generation = from->generation + 1;
        list->trimmed = from->trimmed;
        list->count = from->count;
        list->skip_count = from->skip_count;
        memcpy(list->entries, from->entries, from->count * sizeof *list->entries);
        memcpy(list->skips, from->skips, from->skip_count * sizeof *list->skips);
    }
    return list;
}

static lsi_segment_entry entry_of(const lsi_segment_header *header)
{
    return (lsi_segment_entry){.number = header->number,
                               .base = header->base,
                               .base_seqno = header->base_seqno,
                               .seqno_limit = header->seqno_limit,
                               .base_arrival_us = header->base_arrival_us,
                               .header_sum = header->sum};
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
    if (read_header(config, number, raw, &file_bytes) == LS_OK) {
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
    lsi_segment_list *list = list_with_room(config->env, NULL, 2 * count + 2, 0);
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
        list->entries[made] = entry_of(&headers[at]);
        list->entries[made].flags = LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN;
        list->entries[made++].end = newest->base;
        ++*lost;
    } else {
        list->entries[made++] = entry_of(&headers[at]);
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
        entry = entry_of(&headers[before]);
        entry.flags = LSI_SEGMENT_SEALED | (next->base_seqno == entry.seqno_limit ? LSI_SEGMENT_TORN : 0);
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
    list->generation = 1;
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

ls_status lsi_list_recover(const lsi_log_config *config, const lsi_slot *slot, lsi_recovered_list *out)
{
    found_segments found = {.config = config};
    int rc = config->root->files->list(config->root, config->dir, find_segment, &found);
    ls_status st = LS_OK;

    memset(out, 0, sizeof *out);
    if (found.no_memory) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: looking at its segments: no memory", config->label);
    } else if (rc < 0) {
        (void)snprintf(out->why_not, sizeof out->why_not, "its directory cannot be read: every record of the shard is "
                       "lost");
        out->advice = "put the directory back from a copy, or delete the stream";
    } else if (found.count == 0) {
        (void)snprintf(out->why_not, sizeof out->why_not, "no segment beside it has a readable header: every record of "
                       "the shard is lost");
        out->advice = "put the segments back from a copy, or delete the stream";
    } else {
        qsort(found.headers, found.count, sizeof *found.headers, by_number);
        newest_known(slot, &found);
        st = list_from_headers(config, &found, &out->list, &out->unreadable);
        if (st == LS_ERR_CORRUPT) {
            out->list = NULL;
            (void)snprintf(out->why_not, sizeof out->why_not, "it cannot be rebuilt: %s", lsi_last_message());
            out->advice = "put the file back from a copy of the store";
            st = LS_OK;
        }
    }
    lsi_free(&config->env->memory, found.headers);
    return st;
}

void lsi_recovered_list_finding(const lsi_log_config *config, const lsi_recovered_list *recovered, ls_finding *finding)
{
    const lsi_segment_list *list = recovered->list;

    finding->repairable = list != NULL;
    if (list == NULL) {
        finding->advice = recovered->advice;
    } else if (list->entries[0].base_seqno > config->first_seqno) { /* Unless they had been trimmed. */
        finding->first_seqno = config->first_seqno;
        finding->last_seqno = list->entries[0].base_seqno - 1;
        finding->records_max = finding->last_seqno - finding->first_seqno + 1;
    }
}

static ls_status rebuild_list(const lsi_log_config *config, lsi_inspection *inspection, bool *can_go_on)
{
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES], why[LSI_MESSAGE_BYTES];
    lsi_recovered_list recovered;
    lsi_segment_list *list;
    lsi_slot *slot;
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SEGMENT_LIST, .file = name};
    ls_status st;

    *can_go_on = false;
    (void)snprintf(why, sizeof why, "%s", lsi_last_message());
    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    if (lsi_control_slot(config->control, LSI_SLOT_SHARD, config->stream, config->shard, &slot) != LS_OK)
        slot = NULL;
    st = lsi_list_recover(config, slot, &recovered);
    if (st != LS_OK)
        return st;
    lsi_recovered_list_finding(config, &recovered, &finding);
    list = recovered.list;
    if (list == NULL) {
        lsi_inspection_tell(inspection, &finding, "%s: the segment list cannot be used (%s), and %s", config->label,
                            why, recovered.why_not);
        return LS_OK;
    }
    st = lsi_keep_aside(config->env, config->root, config->dir, name, UINT64_MAX, kept);
    if (st == LS_ERR_NOT_FOUND) {
        (void)snprintf(kept, sizeof kept, "(it was not there)");
        st = LS_OK;
    }
    if (st == LS_OK)
        st = lsi_segment_list_store(config, list);
    if (st == LS_OK) {
        *can_go_on = true;
        finding.repaired = 1;
        finding.advice = "the list was rebuilt from the segments' headers";
        lsi_inspection_tell(inspection, &finding, "%s: the segment list could not be used (%s); segments: %u, "
                            "unreadable: %u; records below seqno %" PRIu64 " are lost unless they were trimmed, and so "
                            "are segments after %08u.seg that are not there; the old list was kept as %s",
                            config->label, why, list->count, recovered.unreadable, list->entries[0].base_seqno,
                            list->entries[list->count - 1].number, kept);
    }
    lsi_segment_list_unref(list);
    return st;
}

/* ---- skips ---- */

static int by_from(const void *a, const void *b)
{
    const lsi_skip *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

/* Before it is replaced. */
static ls_status keep_list(const lsi_log_config *config)
{
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES];

    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    return lsi_keep_aside(config->env, config->root, config->dir, name, UINT64_MAX, kept);
}

/* Makes readers step over every gap. Skips that touch or overlap become one. */
static ls_status add_skips(const lsi_verify *verify, lsi_slot *slot)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_list *list, *fresh = NULL;
    uint32_t made = 0;
    ls_status st;

    st = lsi_segment_list_load(config, &list);
    if (st != LS_OK)
        return st;
    fresh = list_with_room(config->env, list, list->count, list->skip_count + verify->gap_count);
    if (fresh == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu skips: no memory", config->label, verify->gap_count);
        goto out;
    }
    for (size_t i = 0; i < verify->gap_count; i++) {
        const lsi_gap *gap = &verify->gaps[i];

        if (gap->from < gap->to && gap->kind != LS_FINDING_FILE_UNREADABLE)
            fresh->skips[fresh->skip_count++] = (lsi_skip){gap->from, gap->to, gap->first_seqno, gap->last_seqno};
    }
    if (fresh->skip_count == list->skip_count)
        goto out;
    qsort(fresh->skips, fresh->skip_count, sizeof *fresh->skips, by_from);
    for (uint32_t i = 0; i < fresh->skip_count; i++) {
        const lsi_skip skip = fresh->skips[i];
        lsi_skip *last = made > 0 ? &fresh->skips[made - 1] : NULL;

        if (last == NULL || skip.from > last->to) {
            fresh->skips[made++] = skip;
            continue;
        }
        if (skip.to > last->to)
            last->to = skip.to;
        if (skip.last_seqno > last->last_seqno)
            last->last_seqno = skip.last_seqno;
        if (last->first_seqno == 0)
            last->first_seqno = skip.first_seqno;
    }
    fresh->skip_count = made;
    st = keep_list(config);
    if (st == LS_OK)
        st = lsi_segment_list_store(config, fresh);
    if (st == LS_OK && slot != NULL)
        (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel); /* Pairs with lsi_log_list. */
out:
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

/* ---- the log ---- */

static ls_status repair_headers(const lsi_log_config *config, lsi_inspection *inspection)
{
    lsi_segment_list *list, *fresh = NULL;
    bool changed = false;
    ls_status st = lsi_segment_list_load(config, &list);

    if (st != LS_OK)
        return st;
    fresh = list_with_room(config->env, list, list->count, list->skip_count);
    if (fresh == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: its segment list: no memory", config->label);
    for (uint32_t i = 0; st == LS_OK && i < fresh->count; i++)
        st = repair_header(config, fresh, i, &changed, inspection);
    if (st == LS_OK && changed)
        st = keep_list(config);
    if (st == LS_OK && changed)
        st = lsi_segment_list_store(config, fresh);
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

ls_status lsi_log_repair(const lsi_log_config *config, lsi_inspection *inspection)
{
    lsi_verify verify = {.config = config, .inspection = inspection, .repair = true};
    lsi_segment_list *list = NULL;
    lsi_log *log = NULL;
    lsi_slot *slot = NULL;
    bool can_go_on = true;
    ls_status st = lsi_segment_list_load(config, &list);

    inspection->summary.shards++;
    lsi_segment_list_unref(list);
    if (st == LS_ERR_CORRUPT)
        st = rebuild_list(config, inspection, &can_go_on);
    if (st != LS_OK || !can_go_on)
        return st;
    st = repair_headers(config, inspection);
    if (st == LS_OK)
        st = lsi_log_open(config, &log);
    if (st != LS_OK)
        return st;
    st = lsi_log_touch(log);
    if (st != LS_OK)
        goto out;
    slot = lsi_log_slot(log);

    uint32_t health = atomic_load_explicit(&slot->health, memory_order_acquire);
    if (health == LSI_SHARD_FAILED || health == LSI_SHARD_DAMAGED) {
        int err = (int)atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);

        st = keep_list(config);
        if (st == LS_OK)
            st = lsi_log_reset(log);
        if (st != LS_OK)
            goto out;
        if (health == LSI_SHARD_FAILED) {
            ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SYNC_FAILED, .file = config->dir,
                                  .repairable = 1, .repaired = 1,
                                  .advice = "it goes on in a new segment at the last place known to be on the disk"};

            lsi_inspection_tell(inspection, &finding, "%s: a sync had failed (%s): what was not synced is given up",
                                config->label, strerror(err));
        }
    }
    st = lsi_verify_segments(&verify, slot, true);
    if (st == LS_OK && verify.gap_count != 0)
        st = add_skips(&verify, slot);
    lsi_gaps_tell(&verify, st == LS_OK);
out:
    lsi_free(&config->env->memory, verify.gaps);
    {
        ls_status closed = lsi_log_close(log);

        if (st == LS_OK)
            st = closed;
    }
    return st;
}
