/* Printing one file, structure by structure, for bug reports: offsets first, so that the bytes can be found. What fails
 * its checks is printed all the same, and says so; only what is believed decides where the next structure is. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/blocks.h"
#include "storage/control_layout.h"
#include "storage/manifest.h"
#include "storage/numbered.h"
#include "storage/seal.h"
#include "storage/verify.h"

#define CHECKED_BYTES_MAX ((size_t)64 << 20)
#define KEY_SHOWN_BYTES 24u

void lsi_dump_line(lsi_dump *dump, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    if (dump->stopped)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    dump->stopped = dump->line(line, dump->user) == LS_INSPECT_STOP;
}

static void damage(lsi_dump *dump, const char *what)
{
    dump->damaged = true;
    lsi_dump_line(dump, "DAMAGED: %s", what);
}

static void hex(const unsigned char *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- segments ---- */

static void dump_record(lsi_dump *dump, ls_seqno seqno, uint32_t offset, const ls_record *record)
{
    const unsigned char *key = record->partition_key.data;
    char shown[KEY_SHOWN_BYTES * 4 + 4], hash[64] = "";
    size_t at = 0;

    for (size_t i = 0; i < record->partition_key.size && i < KEY_SHOWN_BYTES; i++) {
        if (key[i] >= 0x20 && key[i] != 0x7f && key[i] != '"' && key[i] != '\\')
            shown[at++] = (char)key[i];
        else
            at += (size_t)snprintf(shown + at, 5, "\\x%02x", key[i]);
    }
    shown[at] = '\0';
    if ((record->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0)
        (void)snprintf(hash, sizeof hash, " hash %016" PRIx64 "%016" PRIx64, record->explicit_hash_key.high,
                       record->explicit_hash_key.low);
    lsi_dump_line(dump, "    +%-7" PRIu32 " seqno %" PRIu64 " key %zu \"%s%s\" data %zu%s", offset, seqno,
                  record->partition_key.size, shown, record->partition_key.size > KEY_SHOWN_BYTES ? "..." : "",
                  record->data.size, hash);
}

static void dump_header(lsi_dump *dump, const lsi_segment_header *header)
{
    char id[33], salt[65];

    hex(header->store_id, 16, id);
    hex(header->salt, 32, salt);
    lsi_dump_line(dump, "store %s stream %" PRIu64 " shard %" PRIu32 " segment %" PRIu32, id, header->stream,
                  header->shard,
                  header->number);
    lsi_dump_line(dump, "base %" PRIu64 " arrival from %" PRId64 " us", header->base, header->base_arrival_us);
    lsi_dump_line(dump, "seqno %" PRIu64 " up to below %" PRIu64, header->base_seqno, header->seqno_limit);
    lsi_dump_line(dump, "created %" PRId64 " us, at most %" PRIu64 " bytes of frames", header->created_us,
                  header->frames_bytes_max);
    lsi_dump_line(dump, "previous %" PRIu32 " ending at %" PRIu64 " chain %016" PRIx64, header->previous,
                  header->previous_end, header->chain);
    lsi_dump_line(dump, "salt %s", salt);
    if (header->terms.codec != LSI_CODEC_PLAIN)
        lsi_dump_line(dump, "compresses with codec %" PRIu32, header->terms.codec);
    if (header->terms.key_id_bytes != 0) {
        char mark[2 * LSI_KEY_MARK_BYTES + 1];

        hex(header->terms.key_mark, LSI_KEY_MARK_BYTES, mark);
        lsi_dump_line(dump, "encrypted with key '%s', whose mark is %s", header->terms.key_id, mark);
    }
    lsi_dump_line(dump, "sum %016" PRIx64, header->sum);
}

/* Of a frame that was just checked. What is encrypted is shown as far as it can be without a key. */
static ls_status dump_records(lsi_dump *dump, lsi_unpacker *unpacker, lsi_segment *segment, const unsigned char *at,
                              const lsi_frame *frame)
{
    lsi_frame clear = *frame;
    uint32_t offset = 0, count = 0;
    bool is_right = true;
    ls_record record;
    ls_status st = LS_OK;

    if (((frame->flags & LSI_FRAME_SEALED) != 0) != lsi_segment_is_sealed(segment)) {
        damage(dump, "the frame is encrypted and its segment is not, or the other way round");
        return LS_OK;
    }
    if ((frame->flags & LSI_FRAME_NUMBERED) != 0) {
        lsi_tail tail;

        if (!lsi_tail_read(at, frame, &tail)) {
            damage(dump, "the frame's numbers break their rules");
            return LS_OK;
        }
        lsi_dump_line(dump, "    numbers %" PRIu64 "..%" PRIu64 "%s%s of producer %016" PRIx64 "%016" PRIx64,
                      tail.first, tail.last, tail.list_bytes != 0 ? " with gaps" : "",
                      tail.counts_bytes != 0 ? ", several to a record," : "", tail.producer.high, tail.producer.low);
    }
    if (lsi_segment_is_sealed(segment)) {
        char nonce[2 * LSI_NONCE_BYTES + 1], tag[2 * LSI_TAG_BYTES + 1];

        hex(at + LSI_FRAME_HEADER_BYTES + LSI_SEAL_NONCE_AT, LSI_NONCE_BYTES, nonce);
        hex(at + LSI_FRAME_HEADER_BYTES + LSI_SEAL_TAG_AT, LSI_TAG_BYTES, tag);
        lsi_dump_line(dump, "    encrypted: nonce %s tag %s", nonce, tag);
        return LS_OK;
    }
    if (lsi_frame_is_packed(frame)) {
        lsi_unpacker_reuse(unpacker, false);
        st = lsi_unpack(unpacker, segment, at, &clear, &at, &is_right);
        if (st != LS_OK)
            return st;
        if (is_right && frame->codec != LSI_CODEC_PLAIN)
            lsi_dump_line(dump, "    compressed: plain it has %" PRIu32 " bytes", clear.bytes);
    }
    while (is_right && count < frame->count && !dump->stopped) {
        uint32_t from = offset;

        if (!lsi_frame_next_record(at, &clear, &offset, &record))
            break;
        dump_record(dump, frame->first_seqno + count, from == 0 ? LSI_FRAME_HEADER_BYTES : from, &record);
        count++;
    }
    if (count < frame->count && !dump->stopped)
        damage(dump, "the frame's records break their rules");
    return LS_OK;
}

static ls_status dump_segment(lsi_dump *dump, const char *name, const unsigned char *head, size_t head_size)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES] = {0};
    lsi_segment segment = {.env = dump->env};
    uint64_t size, end;
    lsi_log_config config = {.env = dump->env};
    lsi_unpacker unpacker;
    lsi_walk walk;
    bool more = true;
    ls_status st;
    int rc;

    memcpy(bytes, head, head_size < sizeof bytes ? head_size : sizeof bytes);
    st = lsi_segment_header_decode(name, bytes, NULL, &segment.header);
    if (st == LS_OK) {
        lsi_dump_line(dump, "0x%08x segment header", 0);
        dump_header(dump, &segment.header);
    } else {
        char salt[65];

        damage(dump, lsi_last_message());
        hex(bytes + LSI_SEGMENT_SALT_AT, 32, salt);
        lsi_dump_line(dump, "salt %s (perhaps)", salt);
        return LS_OK; /* Without it no frame can be checked. */
    }
    (void)snprintf(segment.name, sizeof segment.name, "%s", name);
    segment.seed = lsi_segment_seed(&segment.header);
    rc = dump->root->files->open(dump->root, name, 0, &segment.file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    if (segment.header.is_packed) {
        uint64_t packed = 0;

        (void)segment.file.files->size(&segment.file, &packed); /* Only shown. */
        lsi_dump_line(dump, "the file is in blocks, %" PRIu64 " bytes; below, as it was", packed);
        st = lsi_blocks_attach(dump->env, name, segment.seed, true, &segment.file);
        if (st == LS_ERR_CORRUPT) {
            damage(dump, lsi_last_message());
            st = LS_OK;
            goto close; /* Where its blocks lie nobody knows. */
        }
        if (st != LS_OK)
            goto close;
    }
    rc = segment.file.files->size(&segment.file, &size);
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "asking for the size of %s", name);
        goto close;
    }
    end = segment.header.base;
    if (size > LSI_SEGMENT_HEADER_BYTES)
        end += (size - LSI_SEGMENT_HEADER_BYTES) & ~(uint64_t)7;
    (void)snprintf(config.label, sizeof config.label, "%s", name);
    lsi_walk_begin(&walk, dump->env, &segment, segment.header.base, end, true);
    lsi_unpacker_begin(&unpacker, &config);
    while (st == LS_OK && more && walk.at < end && !dump->stopped) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position, from = walk.at;

        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK)
            break;
        if (result == LSI_FRAME_VALID) {
            lsi_dump_line(dump, "0x%08" PRIx64 " frame: position %" PRIu64 " bytes %" PRIu32 " records %" PRIu32
                          " seqno %" PRIu64, from - segment.header.base + LSI_SEGMENT_HEADER_BYTES, from, frame.bytes,
                          frame.count, frame.first_seqno);
            lsi_dump_line(dump, "    arrival %" PRId64 " us durable end %" PRIu64 " kind %u codec %u flags 0x%x",
                          frame.arrival_us, frame.durable_end, frame.kind, frame.codec, frame.flags);
            st = dump_records(dump, &unpacker, &segment, lsi_walk_bytes(&walk, position), &frame);
            continue;
        }
        st = lsi_walk_resume(&walk, from + 8, &more);
        if (st != LS_OK)
            break;
        lsi_dump_line(dump, "0x%08" PRIx64 " %s: %" PRIu64 " bytes",
                      from - segment.header.base + LSI_SEGMENT_HEADER_BYTES,
                      result == LSI_FRAME_EMPTY && !more ? "no frame, zeros first" : "no frame",
                      (more ? walk.at : end) - from);
        if (more)
            damage(dump, "frames follow bytes that are none");
    }
    lsi_unpacker_end(&unpacker);
    lsi_walk_end(&walk);
    if (st == LS_OK && !dump->stopped)
        lsi_dump_line(dump, "0x%08" PRIx64 " end of the file", size);
close:
    (void)segment.file.files->close(&segment.file); /* It was only read. */
    return st;
}

/* ---- segment lists and manifests ---- */

/* A list's salt needs store, stream and shard: any readable segment beside it knows them. */
static int find_owner(void *user, const char *entry, bool is_dir)
{
    lsi_log_config *config = user;
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    lsi_file file;
    int64_t got;

    if (is_dir || lsi_segment_number_of(entry, "seg") == 0 ||
        config->root->files->open(config->root, entry, 0, &file) < 0)
        return 0;
    got = file.files->read(&file, bytes, sizeof bytes, 0);
    (void)file.files->close(&file); /* It was only read. */
    if (got != (int64_t)sizeof bytes || lsi_segment_header_decode(entry, bytes, NULL, &header) != LS_OK)
        return 0;
    memcpy(config->store_id, header.store_id, sizeof config->store_id);
    config->stream = header.stream;
    config->shard = header.shard;
    return 1;
}

static void dump_list(lsi_dump *dump, const lsi_segment_list *list)
{
    if (list->trimmed != 0)
        lsi_dump_line(dump, "trimmed below seqno %" PRIu64, list->trimmed);
    for (uint32_t i = 0; i < list->count && !dump->stopped; i++) {
        const lsi_segment_entry *entry = &list->entries[i];

        lsi_dump_line(dump, "segment %" PRIu32 "%s%s%s%s%s base %" PRIu64 " end %" PRIu64 " header sum %016" PRIx64,
                      entry->number, (entry->flags & LSI_SEGMENT_SEALED) != 0 ? " sealed" : " open",
                      (entry->flags & LSI_SEGMENT_TORN) != 0 ? " torn"
                      : (entry->flags & LSI_SEGMENT_LOOKED_AT) != 0 ? " recompressed"
                                                                    : "",
                      (entry->flags & LSI_SEGMENT_DOUBTFUL) != 0 ? " doubtful" : "",
                      (entry->flags & LSI_SEGMENT_AHEAD) != 0 ? " ahead" : "",
                      (entry->flags & LSI_SEGMENT_CORRECTED) != 0 ? " corrected" : "", entry->base, entry->end,
                      entry->header_sum);
        if ((entry->flags & LSI_SEGMENT_NUMBERED) != 0)
            lsi_dump_line(dump, "    numbered: " LSI_PRODUCERS_NAME " says of which producers");
        lsi_dump_line(dump, "    seqno %" PRIu64 " up to below %" PRIu64 " arrival from %" PRId64 " us",
                      entry->base_seqno,
                      entry->seqno_limit, entry->base_arrival_us);
        if (entry->file_bytes != 0)
            lsi_dump_line(dump, "    file of %" PRIu64 " bytes", entry->file_bytes);
    }
    for (uint32_t i = 0; i < list->skip_count && !dump->stopped; i++)
        lsi_dump_line(dump, "skip from %" PRIu64 " to %" PRIu64 " (seqno %" PRIu64 "..%" PRIu64 ")",
                      list->skips[i].from,
                      list->skips[i].to, list->skips[i].first_seqno, list->skips[i].last_seqno);
}

static void dump_producer(void *user, const lsi_known_producer *producer)
{
    lsi_dump_line(user, "producer %016" PRIx64 "%016" PRIx64 ": put at %" PRId64 " us, expired up to %" PRIu64,
                  producer->id.high, producer->id.low, producer->used_us, producer->floor);
    for (uint32_t i = 0; i < producer->run_count; i++)
        lsi_dump_line(user, "    numbers %" PRIu64 "..%" PRIu64 "%s%s in shard %" PRIu32 " seqno %" PRIu64,
                      producer->runs[i].first, producer->runs[i].last,
                      producer->runs[i].list_bytes != 0 ? " with gaps" : "",
                      producer->runs[i].counts_bytes != 0 ? ", several to a record," : "", producer->runs[i].shard,
                      producer->runs[i].seqno);
}

static ls_status dump_checked(lsi_dump *dump, const char *name, void **payload, size_t *payload_size)
{
    lsi_log_config config = {.env = dump->env, .root = dump->root};
    const unsigned char *view;
    lsi_checked_head head;
    uint64_t salt = 0;
    uint32_t kind;
    void *bytes;
    size_t size, view_size;
    lsi_segment_list *list;
    ls_status st;
    int rc = lsi_file_load(dump->root, name, CHECKED_BYTES_MAX, &dump->env->memory, &bytes, &size);

    if (rc == -EFBIG)
        return lsi_fail(LS_ERR_CORRUPT, "'%s' is larger than %u bytes, which no such file is", dump->path,
                        (unsigned)CHECKED_BYTES_MAX);
    if (rc < 0)
        return lsi_fail_errno(-rc, "reading '%s'", dump->path);
    kind = size >= 12 ? lsi_read_u32le((const unsigned char *)bytes + 8) : 0;
    lsi_dump_line(dump, "0x%08x checked file of kind %" PRIu32 " (%s), %zu bytes", 0, kind,
                  kind == LSI_CHECKED_MANIFEST    ? "manifest"
                  : kind == LSI_CHECKED_SEGMENTS  ? "segment list"
                  : kind == LSI_CHECKED_PRODUCERS ? "producers"
                                                  : "unknown",
                  size);
    if (kind == LSI_CHECKED_SEGMENTS || kind == LSI_CHECKED_PRODUCERS) {
        if (dump->root->files->list(dump->root, "", find_owner, &config) != 1)
            lsi_dump_line(dump, "no segment beside it says whose it is: its sums cannot be checked");
        salt = lsi_segment_list_salt(&config);
    }
    st = lsi_checked_decode(name, kind, salt, bytes, size, &head, &view, &view_size);
    if (st != LS_OK) {
        damage(dump, lsi_last_message());
        st = LS_OK;
        goto out;
    }
    lsi_dump_line(dump, "generation %" PRIu64 "%s payload %zu bytes", head.generation,
                  head.flags != 0 ? " with flags of a later release," : "", view_size);
    if (kind == LSI_CHECKED_SEGMENTS) {
        st = lsi_segment_list_decode(dump->env, name, view, view_size, &list);
        if (st == LS_OK) {
            dump_list(dump, list);
            lsi_segment_list_unref(list);
        } else if (st == LS_ERR_CORRUPT) {
            damage(dump, lsi_last_message());
            st = LS_OK;
        }
    } else if (kind == LSI_CHECKED_PRODUCERS) {
        lsi_remembered *of;
        uint64_t position;

        st = lsi_remembered_decode(dump->env, name, view, view_size, &position, &of);
        if (st == LS_OK) {
            lsi_dump_line(dump, "as of position %" PRIu64, position);
            lsi_remembered_each(of, dump_producer, dump);
            lsi_remembered_free(of);
        } else if (st == LS_ERR_CORRUPT) {
            damage(dump, lsi_last_message());
            st = LS_OK;
        }
    } else if (kind == LSI_CHECKED_MANIFEST) {
        memmove(bytes, view, view_size);
        *payload = bytes;
        *payload_size = view_size;
        return LS_OK;
    }
out:
    lsi_free(&dump->env->memory, bytes);
    return st;
}

/* ---- indexes and control files ---- */

static ls_status dump_index(lsi_dump *dump, const char *name)
{
    char seg_name[LSI_SEGMENT_NAME_BYTES];
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    lsi_file file = {0};
    uint64_t seed = 0;
    bool known = false;
    int rc;

    (void)snprintf(seg_name, sizeof seg_name, "%.8s.seg", name);
    if (dump->root->files->open(dump->root, seg_name, 0, &file) >= 0) {
        known = file.files->read(&file, bytes, sizeof bytes, 0) == (int64_t)sizeof bytes &&
                lsi_segment_header_decode(seg_name, bytes, NULL, &header) == LS_OK;
        (void)file.files->close(&file); /* It was only read. */
    }
    if (known)
        seed = lsi_segment_seed(&header);
    else
        lsi_dump_line(dump, "no readable %s beside it: its sums cannot be checked", seg_name);
    rc = dump->root->files->open(dump->root, name, 0, &file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    for (uint64_t at = 0; !dump->stopped; at += LSI_INDEX_ENTRY_BYTES) {
        int64_t got = file.files->read(&file, bytes, LSI_INDEX_ENTRY_BYTES, at);

        if (got != LSI_INDEX_ENTRY_BYTES) {
            if (got < 0)
                rc = (int)got;
            break;
        }
        if (lsi_is_zero(bytes, LSI_INDEX_ENTRY_BYTES))
            continue;
        lsi_dump_line(dump, "0x%08" PRIx64 " entry: position %" PRIu64 " seqno %" PRIu64 " arrival %" PRId64 " us%s",
                      at,
                      lsi_read_u64le(bytes), lsi_read_u64le(bytes + 8), (int64_t)lsi_read_u64le(bytes + 16),
                      !known ? "" : lsi_read_u64le(bytes + 24) == lsi_sum64(bytes, 24, seed) ? " right" : " WRONG");
        if (known && lsi_read_u64le(bytes + 24) != lsi_sum64(bytes, 24, seed))
            dump->damaged = true;
    }
    (void)file.files->close(&file); /* It was only read. */
    return rc < 0 ? lsi_fail_errno(-rc, "reading %s", name) : LS_OK;
}

static void dump_process(void *user, const lsi_attached *process)
{
    lsi_dump_line(user, "process %" PRId32 " %s%s attached %" PRId64 " us", process->pid, process->alive ? "alive" :
                  "dead",
                  process->read_only ? " read only" : "", process->attached_us);
}

static void dump_slot(void *user, const lsi_slot *slot)
{
    static const char *const healths[] = {"fresh", "healthy", "failed", "damaged"};
    lsi_dump *dump = user;
    uint32_t health = atomic_load_explicit(&slot->health, memory_order_relaxed), segment;
    uint64_t end;

    lsi_dump_line(dump, "slot: stream %" PRIu64 " shard %" PRIu32 " %s epoch %" PRIu32,
                  atomic_load_explicit(&slot->stream, memory_order_relaxed), slot->shard,
                  health < 4 ? healths[health] : "?",
                  atomic_load_explicit(&slot->epoch, memory_order_relaxed));
    lsi_dump_line(dump, "    segment %" PRIu32 " base %" PRIu64 " next seqno %" PRIu64,
                  atomic_load_explicit(&slot->segment, memory_order_relaxed), lsi_load(&slot->segment_base),
                  lsi_load(&slot->next_seqno));
    lsi_dump_line(dump, "    ends: committed %" PRIu64 " durable %" PRIu64 " write %" PRIu64,
                  lsi_load(&slot->committed_end),
                  lsi_load(&slot->durable_end), lsi_load(&slot->write_end));
    if (lsi_load(&slot->given_up_to) != 0)
        lsi_dump_line(dump, "    given up: %" PRIu64 " to %" PRIu64, lsi_load(&slot->given_up_from),
                      lsi_load(&slot->given_up_to));
    if (lsi_watermark_read(slot, &segment, &end))
        lsi_dump_line(dump, "    watermark: %" PRIu64 " in segment %" PRIu32, end, segment);
}

static ls_status dump_control(lsi_dump *dump)
{
    lsi_peek peek;
    const control_header *header;
    char id[33], boot[33];
    ls_status st = lsi_peek_open(dump->env, dump->root, NULL, &peek);

    if (st != LS_OK)
        return st;
    if (peek.size < CONTROL_SLOTS_AT) {
        damage(dump, "the control file is cut short");
    } else {
        header = (const control_header *)(const void *)peek.bytes;
        hex(header->store_id, 16, id);
        hex(header->boot_id, 16, boot);
        lsi_dump_line(dump, "0x%08x control file, %zu bytes, layout %" PRIu32, 0, peek.size, header->layout);
        lsi_dump_line(dump, "store %s boot %s%s", id, boot, peek.current ? "" : " (another boot)");
        lsi_dump_line(dump, "slots %" PRIu32 " used %" PRIu32 " manifest generation %" PRIu64,
                      atomic_load_explicit(&header->slot_count, memory_order_relaxed),
                      atomic_load_explicit(&header->used_count, memory_order_relaxed),
                      atomic_load_explicit(&header->manifest_generation, memory_order_relaxed));
        if (!peek.whole)
            damage(dump, "the control file's header fails its checks");
        lsi_peek_each_process(&peek, dump_process, dump);
        lsi_peek_each_slot(&peek, dump_slot, dump);
    }
    lsi_peek_close(&peek);
    return LS_OK;
}

/* ---- telling them apart ---- */

ls_status lsi_dump_file(lsi_dump *dump, const char *name, void **payload, size_t *payload_size)
{
    unsigned char head[LSI_SEGMENT_HEADER_BYTES];
    size_t name_size = strlen(name);
    lsi_file file;
    int64_t got;
    ls_status st;
    int rc = dump->root->files->open(dump->root, name, 0, &file);

    *payload = NULL;
    *payload_size = 0;
    if (rc == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "'%s': there is no such file", dump->path);
    if (lsi_file_misfit(rc) != NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "'%s' %s", dump->path, lsi_file_misfit(rc));
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening '%s'", dump->path);
    got = file.files->read(&file, head, sizeof head, 0);
    (void)file.files->close(&file); /* It was only read. */
    if (got < 0)
        return lsi_fail_errno((int)-got, "reading '%s'", dump->path);
    if (got >= 8 && memcmp(head, "LSTRSEG", 8) == 0)
        st = dump_segment(dump, name, head, (size_t)got);
    else if (got >= 8 && memcmp(head, "LSTREAM1", 8) == 0)
        st = dump_checked(dump, name, payload, payload_size);
    else if (strcmp(name, LSI_CONTROL_NAME) == 0)
        st = dump_control(dump);
    else if (name_size > 4 && strcmp(name + name_size - 4, ".idx") == 0)
        st = dump_index(dump, name);
    else if (name_size > 4 && strcmp(name + name_size - 4, ".seg") == 0)
        st = dump_segment(dump, name, head, (size_t)got);
    else if (strcmp(name, LSI_SEGMENT_LIST_NAME) == 0 || strcmp(name, LSI_PRODUCERS_NAME) == 0 ||
             strcmp(name, "manifest") == 0 || strcmp(name, "manifest.copy") == 0)
        st = dump_checked(dump, name, payload, payload_size);
    else
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT,
                      "'%s': neither its first bytes nor its name are those of a store's file", dump->path);
    return st;
}
