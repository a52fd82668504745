/* H9, the damage campaign: a small store, and in each case one thing that a disk, a careless hand or a bad cable does
 * to one of its files. Bits are flipped (every one of the manifest and of the segment lists, others at random), sectors
 * zeroed or exchanged, frames put in other frames' places, files cut, deleted, exchanged or turned into directories,
 * and the control file is one that was copied earlier: between two puts, or while one was being written, as who copies
 * a store that is at work may copy it before the shards.
 *
 *     h9_damage [--seed S] [--cases N]
 *
 * Promised (R1, R3, R4, R6, R9, X1), and asked of every case, opened for reading or for writing, in the boot in which
 * the store was written or in a later one:
 *   - a record that is shown is the one that was put, byte for byte, in order, once;
 *   - a record is missing only if bytes of its own frame were changed, or of a header, a list or the manifest that
 *     stands above it; it is not missing because of an index or the control file, but for who may not write, where
 *     that was copied before the record was durable (may_be_unseen);
 *   - whoever comes to a missing record gets a status whose message names the file;
 *   - behind the damage everything is there for who seeks there;
 *   - a put to a shard that was not touched succeeds, has a higher number than all before, and is read back; to one
 *     that was touched it does the same or says what is damaged;
 *   - after closing and opening again the same is there.
 * What verify and repair say and do is h9_lines.c's to ask. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api.h"
#include "base/hash.h"
#include "base/lock.h"
#include "h9.h"
#include "storage/blocks.h"
#include "storage/control_layout.h"
#include "storage/segment.h"

#define CASES_DEFAULT 20000u
#define CASES_LONG 400000u
#define SECTOR_BYTES 512u
#define TOLD_MAX 5u
#define SLOTS_LOOKED_AT 32u /* more than there are */
#define BASE_AT 56u /* FORMAT.md: of a segment's header */

image h9_whole, h9_hurt;
h9_shard h9_shards[H9_SHARDS];
static size_t manifest_file, control_file;

/* The control file as it was while the store was made. */
#define OLDER_MAX 256u /* more than there will be: the youngest matter most */
#define OLDER_EVERY 4u /* batches, and writes */
static struct { unsigned char *bytes; size_t size; bool during; } older[OLDER_MAX];
static size_t older_count;

/* ---- the case under way ---- */

static char told[256]; /* what was done */
static char made_dir[IMAGE_NAME_BYTES]; /* a directory in the place of this file; "": none */
static const char *how; /* it was opened */
static const unsigned char *older_control; /* the one that is there; NULL: it is not one of these */
static bool is_unsettled; /* to read, in the boot of the control file: that is believed about what is durable */
static uint64_t random_state = 1, violations, case_number, last_told = UINT64_MAX;

static uint64_t pick(uint64_t below)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

void h9_violation(const char *what, const h9_shard *of, ls_seqno seqno, ls_status st)
{
    if (violations++ < TOLD_MAX || last_told != case_number) /* each case once, and some in full */
        printf("violation: case %llu, %s, %s: %s (stream %s shard %u number %llu, %s: %s)\n",
               (unsigned long long)case_number, told, how, what,
               of != NULL ? of->stream : "-", of != NULL ? of->index : 0,
               (unsigned long long)seqno, ls_status_name(st), ls_last_error_message());
    last_told = case_number;
}

static void must(bool is, const char *what)
{
    if (!is) {
        fprintf(stderr, "h9: %s: %s\n", what, ls_last_error_message());
        exit(2);
    }
}

static uint64_t sum_of(const ls_record *record)
{
    uint64_t words[4] = {record->flags, (uint64_t)record->arrival_us, record->explicit_hash_key.high,
                         record->explicit_hash_key.low};
    uint64_t sum = lsi_sum64(words, sizeof words, record->seqno);

    sum = lsi_sum64(record->partition_key.data, record->partition_key.size, sum);
    return lsi_sum64(record->data.data, record->data.size, sum);
}

size_t h9_table_bytes(const image_file *file)
{
    if (strstr(file->name, ".seg") == NULL || file->size < LSI_SEGMENT_HEADER_BYTES + 40 ||
        (file->bytes[20] & 2) == 0) /* FORMAT.md */
        return 0;
    return (size_t)lsi_read_u64le(file->bytes + file->size - 8);
}

/* ---- making the store ---- */

static void keep_control(const lsi_root *root, bool during)
{
    lsi_file file;
    uint64_t size;

    if (older_count == OLDER_MAX)
        return;
    must(root->files->open(root, LSI_CONTROL_NAME, 0, &file) == 0, "the control file");
    must(file.files->size(&file, &size) == 0, "its size");
    older[older_count].bytes = image_must(malloc(size));
    older[older_count].size = size;
    older[older_count].during = during;
    must(file.files->read(&file, older[older_count++].bytes, size, 0) == (int64_t)size, "reading it");
    (void)file.files->close(&file); /* it was only read */
}

static lsi_root made_root;
static int (*real_write)(const lsi_file *file, const lsi_span *spans, int count, uint64_t at);

/* Its end has been noted, and nothing is written yet. */
static int keep_and_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    static unsigned writes;

    if (at > LSI_SEGMENT_HEADER_BYTES && spans[0].size > LSI_INDEX_ENTRY_BYTES && writes++ % OLDER_EVERY == 0)
        keep_control(&made_root, true);
    return real_write(file, spans, count, at);
}

static void put_some(ls_stream *stream, uint32_t batches, uint32_t bytes)
{
    ls_producer *producer;

    must(ls_producer_open(stream, NULL, &producer) == LS_OK, "opening a producer");
    for (uint32_t i = 0; i < batches; i++) {
        char data[1024], keys[4][16];
        ls_hash_key hash = {pick(UINT64_MAX), 7};
        ls_put_entry entries[4];
        size_t count = 1 + pick(4), failed;

        if (i % OLDER_EVERY == 0)
            keep_control(&made_root, false);
        memset(data, 'a' + (int)(i % 26), sizeof data);
        for (size_t k = 0; k < count; k++) {
            int key_bytes = snprintf(keys[k], sizeof keys[k], "key-%u", (unsigned)pick(1000));

            entries[k] = (ls_put_entry){{keys[k], (size_t)key_bytes}, {data, bytes + pick(bytes)},
                                        pick(4) == 0 ? &hash : NULL};
        }
        must(ls_producer_put_batch(producer, entries, count, NULL, NULL, &failed) == LS_OK && failed == 0, "a batch");
    }
    (void)ls_producer_close(producer); /* every put was complete */
}

/* Of a file in blocks, whose table is right: where the block begins that byte `at` of the plain file lies in. */
static size_t block_begin(const image_file *packed, size_t at, bool behind)
{
    const unsigned char *table = packed->bytes + LSI_SEGMENT_HEADER_BYTES;
    size_t begin = LSI_SEGMENT_HEADER_BYTES + h9_table_bytes(packed);
    size_t last = (at - LSI_SEGMENT_HEADER_BYTES) / LSI_BLOCK_BYTES + (behind ? 1 : 0);

    for (size_t i = 0; i < last; i++)
        begin += lsi_read_u32le(table + 24 + 4 * i);
    return begin;
}

/* `plain`: the segment's file as it was before it was compressed, or as it is. */
static void note_frames(h9_shard *of, size_t file, const image_file *segment)
{
    const image_file *now = &h9_whole.files[file];
    bool in_blocks = h9_table_bytes(now) != 0;

    for (size_t at = LSI_SEGMENT_HEADER_BYTES; at + 48 <= segment->size;) {
        uint32_t bytes = lsi_read_u32le(segment->bytes + at), count = lsi_read_u32le(segment->bytes + at + 4);
        ls_seqno first = lsi_read_u64le(segment->bytes + at + 8);

        if (bytes == 0)
            break;
        for (uint32_t i = 0; i < of->count; i++) {
            h9_record *record = &of->records[i];

            if (record->seqno >= first && record->seqno - first < count) {
                record->file = file;
                record->from = in_blocks ? block_begin(now, at, false) : at;
                record->to = in_blocks ? block_begin(now, at + bytes - 1, true) : at + bytes;
                record->position = lsi_read_u64le(segment->bytes + BASE_AT) + at - LSI_SEGMENT_HEADER_BYTES;
            }
        }
        at += bytes;
    }
}

static size_t file_index(const char *name)
{
    for (size_t i = 0; i < h9_whole.count; i++)
        if (strcmp(h9_whole.files[i].name, name) == 0)
            return i;
    must(false, name);
    return 0;
}

static void read_truth(ls_store *store, h9_shard *of)
{
    ls_stream *stream;
    ls_iterator *iterator;
    const ls_batch *batch;

    must(ls_stream_open(store, of->stream, &stream) == LS_OK, "opening a stream");
    must(ls_iterator_open(stream, of->index, NULL, NULL, &iterator) == LS_OK, "opening an iterator");
    do {
        must(ls_iterator_next(iterator, NULL, &batch) == LS_OK, "reading");
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            must(of->count < H9_RECORDS_MAX, "fewer records would do");
            of->records[of->count].seqno = record->seqno;
            of->records[of->count++].sum = sum_of(record);
        }
    } while (ls_batch_count(batch) > 0);
    ls_iterator_close(iterator);
    must(ls_stream_close(stream) == LS_OK, "closing a stream");
}

/* The plain file of a segment: as it was, or as it is. */
static const image_file *plain_of(const image *before, const image_file *now)
{
    return h9_table_bytes(now) != 0 ? image_find((image *)before, now->name) : now;
}

static void make_store(void)
{
    image before; /* anything was compressed */
    size_t in_blocks = 0;
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options two = LS_STREAM_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream = NULL;
    still_env still;

    must(files != NULL, "memory");
    still_env_make(&still, files, 9);
    options.segment_bytes = 80u << 10; /* two blocks */
    options.prealloc_bytes = LS_PREALLOC_NONE;
    two.shard_count = 2;
    must(lsi_store_open_env(H9_STORE, &options, &still.env, &store) == LS_OK, "making the store");
    must(files->root_open(files, H9_STORE, 0, &made_root) == 0, "opening the root");
    real_write = files->write;
    files->write = keep_and_write;
    must(ls_stream_create(store, "one", &two) == LS_OK && ls_stream_open(store, "one", &stream) == LS_OK, "a stream");
    put_some(stream, 190, 300);
    before = image_take(files, H9_STORE);
    must(ls_stream_recompress(stream, -1, NULL) == LS_OK, "compressing what is full");
    put_some(stream, 130, 300);
    must(ls_stream_close(stream) == LS_OK, "closing a stream");
    must(ls_stream_create(store, "two", NULL) == LS_OK && ls_stream_open(store, "two", &stream) == LS_OK, "a stream");
    put_some(stream, 40, 60);
    must(ls_stream_close(stream) == LS_OK, "closing a stream");
    for (uint32_t i = 0; i < H9_SHARDS; i++) {
        h9_shards[i].stream = i < 2 ? "one" : "two";
        h9_shards[i].stream_index = i / 2;
        h9_shards[i].index = i % 2;
        (void)snprintf(h9_shards[i].dir, sizeof h9_shards[i].dir, "%u/%u", i / 2 + 1, i % 2); /* fits */
        read_truth(store, &h9_shards[i]);
    }
    files->write = real_write;
    files->root_close(&made_root);
    must(ls_store_close(store) == LS_OK, "closing the store");
    h9_whole = image_take(files, H9_STORE);
    lsi_files_memory_free(files);
    manifest_file = file_index("manifest");
    control_file = file_index(LSI_CONTROL_NAME);
    for (uint32_t i = 0; i < H9_SHARDS; i++) {
        char name[IMAGE_NAME_BYTES];

        (void)snprintf(name, sizeof name, "%s/" LSI_SEGMENT_LIST_NAME, h9_shards[i].dir); /* fits */
        h9_shards[i].list = file_index(name);
        for (size_t k = 0; k < h9_whole.count; k++)
            if (strncmp(h9_whole.files[k].name, h9_shards[i].dir, strlen(h9_shards[i].dir)) == 0 &&
                strstr(h9_whole.files[k].name, ".seg") != NULL && strstr(h9_whole.files[k].name, "segments") == NULL) {
                in_blocks += h9_table_bytes(&h9_whole.files[k]) != 0;
                note_frames(&h9_shards[i], k, plain_of(&before, &h9_whole.files[k]));
            }
        for (uint32_t k = 0; k < h9_shards[i].count; k++)
            must(h9_shards[i].records[k].to != 0, "every record has its frame");
    }
    must(in_blocks == 2, "one segment of each shard of a stream is in blocks");
    image_free(&before);
}

/* ---- what the damage allows ---- */

/* Whether bytes [from, to) of a file are not what they were. */
static bool is_changed(size_t file, size_t from, size_t to)
{
    const image_file *before = &h9_whole.files[file], *now = image_find(&h9_hurt, before->name);

    if (now == NULL)
        return true;
    if (to > before->size)
        to = before->size;
    if (from >= to)
        return now->size != before->size;
    return now->size < to || memcmp(before->bytes + from, now->bytes + from, to - from) != 0;
}

bool h9_is_file_changed(size_t file)
{
    const image_file *now = image_find(&h9_hurt, h9_whole.files[file].name);

    return now == NULL || now->size != h9_whole.files[file].size || is_changed(file, 0, SIZE_MAX);
}

/* Of a file in blocks: either table will do. */
static bool are_tables_changed(size_t file)
{
    const image_file *before = &h9_whole.files[file], *now = image_find(&h9_hurt, before->name);
    size_t bytes = h9_table_bytes(before);

    return bytes != 0 && is_changed(file, LSI_SEGMENT_HEADER_BYTES, LSI_SEGMENT_HEADER_BYTES + bytes) &&
        (now == NULL || now->size != before->size || is_changed(file, before->size - bytes - 8, before->size));
}

static bool may_miss(const h9_shard *of, const h9_record *record)
{
    return h9_is_file_changed(manifest_file) || h9_is_file_changed(of->list) || are_tables_changed(record->file) ||
        is_changed(record->file, 0, LSI_SEGMENT_HEADER_BYTES) || is_changed(record->file, record->from, record->to);
}

/* D3: a control file that was copied while a put was under way states records that are not durable yet, as the one of a
 * process that died there would. Who may not write cannot make them so, and does not show them; who may does. */
static bool may_be_unseen(const h9_shard *of, const h9_record *record)
{
    for (uint32_t i = 0; is_unsettled && older_control != NULL && i < SLOTS_LOOKED_AT; i++) {
        lsi_slot slot;

        memcpy(&slot, older_control + CONTROL_SLOTS_AT + (size_t)i * LSI_SLOT_BYTES, sizeof slot);
        if (atomic_load(&slot.stream) == of->stream_index + 1 && atomic_load(&slot.kind) == LSI_SLOT_SHARD &&
            atomic_load(&slot.shard) == of->index)
            return record->position >= atomic_load(&slot.durable_end) &&
                record->position < atomic_load(&slot.committed_end);
    }
    return false;
}

/* Any file that is truth for the shard. */
static bool is_touched(const h9_shard *of)
{
    if (h9_is_file_changed(manifest_file) || h9_is_file_changed(of->list))
        return true;
    for (size_t i = 0; i < h9_whole.count; i++)
        if (strncmp(h9_whole.files[i].name, of->dir, strlen(of->dir)) == 0 &&
            strstr(h9_whole.files[i].name, ".seg") != NULL &&
            h9_is_file_changed(i))
            return true;
    return false;
}

/* The last error names a file that was changed and is above, or of, the shard. */
static bool names_the_place(const h9_shard *of)
{
    for (size_t i = 0; i < h9_whole.count; i++) {
        const char *name = h9_whole.files[i].name, *slash = strrchr(name, '/');

        if (h9_is_file_changed(i) && (i == manifest_file || strncmp(name, of->dir, strlen(of->dir)) == 0) &&
            strstr(ls_last_error_message(), slash != NULL ? slash + 1 : name) != NULL)
            return true;
    }
    return false;
}

/* ---- looking ---- */

static bool got[H9_SHARDS][H9_RECORDS_MAX];

uint32_t h9_record_of(const h9_shard *of, const ls_record *record)
{
    uint32_t low = 0, high = of->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (of->records[middle].seqno < record->seqno)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == of->count || of->records[low].seqno != record->seqno) {
        h9_violation("a record that nobody put", of, record->seqno, LS_OK);
        return UINT32_MAX;
    }
    if (of->records[low].sum != sum_of(record)) {
        h9_violation("other bytes than were put", of, record->seqno, LS_OK);
        return UINT32_MAX;
    }
    return low;
}

static void seen(const h9_shard *of, uint32_t s, const ls_record *record, ls_seqno *last)
{
    uint32_t number = h9_record_of(of, record);

    if (record->seqno <= *last)
        h9_violation("numbers do not rise", of, record->seqno, LS_OK);
    *last = record->seqno;
    if (number != UINT32_MAX)
        got[s][number] = true;
}

/* Reads all that can be read of a shard, seeking over what cannot. */
static void read_shard(ls_stream *stream, uint32_t s)
{
    const h9_shard *of = &h9_shards[s];
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_seqno last = 0;
    uint32_t next = 0; /* the first that was not yet looked for */
    bool named = false;
    ls_status st;

    memset(got[s], 0, sizeof got[s]);
    st = ls_iterator_open(stream, of->index, NULL, NULL, &iterator);
    while (st == LS_OK || next < of->count) {
        if (st == LS_OK)
            st = ls_iterator_next(iterator, NULL, &batch);
        if (st == LS_OK) {
            if (ls_batch_count(batch) == 0)
                break;
            for (size_t i = 0; i < ls_batch_count(batch); i++)
                seen(of, s, ls_batch_at(batch, i), &last);
            continue;
        }
        if (!names_the_place(of))
            h9_violation("a failure does not name the place", of, last, st);
        named = true;
        /* The next one behind that must be there. */
        while (next < of->count && (of->records[next].seqno <= last || may_miss(of, &of->records[next])))
            next++;
        if (next < of->count) {
            ls_position at = {LS_AT_SEQUENCE_NUMBER, 0, of->records[next++].seqno, 0};

            st = iterator != NULL ? ls_iterator_seek(iterator, &at)
                                  : ls_iterator_open(stream, of->index, &at, NULL, &iterator);
        }
    }
    ls_iterator_close(iterator);
    for (uint32_t i = 0; i < of->count; i++) {
        if (got[s][i] || may_be_unseen(of, &of->records[i]))
            continue;
        if (!may_miss(of, &of->records[i]))
            h9_violation("a record outside of the damage is missing", of, of->records[i].seqno, st);
        else if (!named)
            h9_violation("a record is missing and nobody says so", of, of->records[i].seqno, st);
    }
}

/* Puts to the shard by its hash range. */
static void put_to(ls_stream *stream, const h9_shard *of)
{
    ls_hash_key hash = {of->index == 1 ? UINT64_MAX : 0, 0};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_producer *producer;
    ls_iterator *iterator;
    const ls_batch *batch;
    ls_record_id id;
    ls_status st;

    options.explicit_hash_key = &hash;
    st = ls_producer_open(stream, NULL, &producer);
    if (st != LS_OK) {
        h9_violation("no producer", of, 0, st);
        return;
    }
    st = ls_producer_put(producer, (ls_bytes){"new", 3}, (ls_bytes){"new data", 8}, &options, &id);
    (void)ls_producer_close(producer); /* every put was complete */
    if (st != LS_OK) {
        /* A control file that says so is believed about one thing: that a sync failed (E1). */
        if (!is_touched(of) && !(st == LS_ERR_IO && h9_is_file_changed(control_file)))
            h9_violation("a put fails though the shard is whole", of, 0, st);
        return;
    }
    if (id.shard != of->index || id.seqno <= of->records[of->count - 1].seqno) {
        h9_violation("a number is given again", of, id.seqno, st);
        return;
    }
    ls_position at = {LS_AT_SEQUENCE_NUMBER, 0, id.seqno, 0};
    st = ls_iterator_open(stream, of->index, &at, NULL, &iterator);
    if (st != LS_OK) {
        h9_violation("what was put cannot be found", of, id.seqno, st);
        return;
    }
    st = ls_iterator_next(iterator, NULL, &batch);
    if (st != LS_OK || ls_batch_count(batch) != 1 || ls_batch_at(batch, 0)->seqno != id.seqno ||
        ls_batch_at(batch, 0)->data.size != 8 || memcmp(ls_batch_at(batch, 0)->data.data, "new data", 8) != 0)
        h9_violation("what was put is not read back", of, id.seqno, st);
    ls_iterator_close(iterator);
}

static void look(lsi_files *files, bool read_only, bool put, still_env *still)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream;
    ls_status st;

    options.flags = read_only ? LS_STORE_READ_ONLY : 0;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    still->env.files = files;
    st = lsi_store_open_env(H9_STORE, &options, &still->env, &store);
    if (st == LS_ERR_CORRUPT && !read_only && strcmp(made_dir, LSI_CONTROL_NAME) == 0) {
        if (strstr(ls_last_error_message(), LSI_CONTROL_NAME) == NULL)
            h9_violation("a failure does not name the place", NULL, 0, st);
        return;
    }
    if (st != LS_OK) {
        if (!h9_is_file_changed(manifest_file))
            h9_violation("the store does not open", NULL, 0, st);
        else if (strstr(ls_last_error_message(), "manifest") == NULL)
            h9_violation("a failure does not name the place", NULL, 0, st);
        return;
    }
    for (uint32_t s = 0; s < H9_SHARDS; s++) {
        st = ls_stream_open(store, h9_shards[s].stream, &stream);
        if (st != LS_OK) {
            h9_violation("a stream does not open", &h9_shards[s], 0, st);
            continue;
        }
        read_shard(stream, s);
        if (put && !read_only)
            put_to(stream, &h9_shards[s]);
        (void)ls_stream_close(stream); /* a shard that failed says so again */
    }
    (void)ls_store_close(store); /* likewise */
}

/* ---- damage ---- */

static void copy_whole(void)
{
    made_dir[0] = '\0';
    older_control = NULL;
    image_free(&h9_hurt);
    for (size_t i = 0; i < h9_whole.count; i++)
        /* as many as before */
        (void)image_add(&h9_hurt, h9_whole.files[i].name, h9_whole.files[i].bytes, h9_whole.files[i].size);
}

static void tell(const char *what, const image_file *file, size_t at, size_t with)
{
    (void)snprintf(told, sizeof told, "%s %s at 0x%zx, %zu", what, file->name, at, with); /* long enough, or cut */
}

static void flip(image_file *file, size_t byte, unsigned bit)
{
    file->bytes[byte] ^= (unsigned char)(1u << bit);
    tell("flip of", file, byte, bit);
}

static void delete_file(size_t i)
{
    tell("deletion of", &h9_hurt.files[i], 0, 0);
    free(h9_hurt.files[i].bytes);
    h9_hurt.files[i] = h9_hurt.files[--h9_hurt.count];
}

static void stand_in(size_t i)
{
    (void)snprintf(made_dir, sizeof made_dir, "%s", h9_hurt.files[i].name); /* as long as any */
    delete_file(i);
    (void)snprintf(told, sizeof told, "a directory for %s", made_dir); /* fits */
}

/* The bytes of file `from` under the name of file `to`. */
static void replace_file(size_t to, size_t from)
{
    image_file *file = &h9_hurt.files[to];
    const image_file *other = &h9_whole.files[from];

    tell(other->name, file, 0, other->size);
    free(file->bytes);
    file->bytes = image_must(malloc(other->size + 1));
    file->size = other->size;
    memcpy(file->bytes, other->bytes, other->size);
}

/* The control file as it was, and all the rest as it is. */
static void put_older(size_t i)
{
    image_file *file = image_find(&h9_hurt, LSI_CONTROL_NAME);

    free(file->bytes);
    file->bytes = image_must(malloc(older[i].size));
    file->size = older[i].size;
    memcpy(file->bytes, older[i].bytes, older[i].size);
    older_control = older[i].bytes;
    tell(older[i].during ? "one copied during a put is" : "an older one is", file, 0, i);
}

/* A place where something stands, more often than one where little hangs on it. */
static size_t place_in(const image_file *file)
{
    if (strstr(file->name, ".seg") != NULL && file->size > LSI_SEGMENT_HEADER_BYTES) {
        const image_file *whole = image_find(&h9_whole, file->name);
        size_t table = whole != NULL ? h9_table_bytes(whole) : 0;

        if (table != 0 && table <= file->size - LSI_SEGMENT_HEADER_BYTES && pick(8) == 0) /* one of both */
            return pick(2) == 0 ? LSI_SEGMENT_HEADER_BYTES + pick(table) : file->size - 1 - pick(table);
        if (pick(8) == 0)
            return pick(8) == 0 ? pick(LSI_SEGMENT_HEADER_BYTES) : pick(160);
        return LSI_SEGMENT_HEADER_BYTES + pick(file->size - LSI_SEGMENT_HEADER_BYTES);
    }
    if (strcmp(file->name, LSI_CONTROL_NAME) == 0 && pick(8) != 0) /* the header, or one of the first slots */
        return pick(4) == 0 ? pick(sizeof(control_header)) : CONTROL_SLOTS_AT + pick(5 * LSI_SLOT_BYTES);
    return pick(file->size);
}

static void swap_sectors(image_file *file)
{
    size_t count = (file->size + SECTOR_BYTES - 1) / SECTOR_BYTES, a = pick(count), b = pick(count);
    unsigned char sector[SECTOR_BYTES];
    size_t bytes = file->size - (a > b ? a : b) * SECTOR_BYTES;

    if (bytes > SECTOR_BYTES)
        bytes = SECTOR_BYTES;
    memcpy(sector, file->bytes + a * SECTOR_BYTES, bytes);
    memmove(file->bytes + a * SECTOR_BYTES, file->bytes + b * SECTOR_BYTES, bytes);
    memcpy(file->bytes + b * SECTOR_BYTES, sector, bytes);
    tell("exchange of sectors in", file, a * SECTOR_BYTES, b);
}

/* A frame in the place of another one, of any shard and segment (R9). */
static void move_frame(void)
{
    const h9_shard *from = &h9_shards[pick(H9_SHARDS)], *to = &h9_shards[pick(H9_SHARDS)];
    const h9_record *a = &from->records[pick(from->count)], *b = &to->records[pick(to->count)];
    image_file *file = &h9_hurt.files[b->file];
    size_t bytes = a->to - a->from;

    if (bytes > file->size - b->from)
        bytes = file->size - b->from;
    memcpy(file->bytes + b->from, h9_whole.files[a->file].bytes + a->from, bytes);
    tell("a frame moved into", file, b->from, bytes);
}

static size_t any_file(void)
{
    size_t i;

    do {
        i = (size_t)pick(h9_hurt.count);
    } while (h9_hurt.files[i].size == 0);
    return i;
}

static void damage_at_random(void)
{
    image_file *file = &h9_hurt.files[any_file()];
    size_t at, bytes;

    switch (pick(16)) {
    default:
        flip(file, place_in(file), (unsigned)pick(8));
        break;
    case 0:
    case 1:
        at = place_in(file) / SECTOR_BYTES * SECTOR_BYTES;
        bytes = file->size - at < SECTOR_BYTES ? file->size - at : SECTOR_BYTES;
        memset(file->bytes + at, 0, bytes);
        tell("zeros in", file, at, bytes);
        break;
    case 2:
    case 3:
        swap_sectors(file);
        break;
    case 4:
    case 5:
    case 6:
        move_frame();
        break;
    case 7:
    case 8:
        file->size = place_in(file);
        tell("cut of", file, file->size, 0);
        break;
    case 9:
        replace_file((size_t)(file - h9_hurt.files), pick(h9_whole.count));
        break;
    case 11:
        put_older(pick(older_count));
        break;
    case 10: /* garbage over a run */
        at = place_in(file);
        bytes = 1 + pick(file->size - at < 64 ? file->size - at : 64);
        for (size_t i = 0; i < bytes; i++)
            file->bytes[at + i] = (unsigned char)pick(256);
        tell("garbage in", file, at, bytes);
        break;
    }
}

/* The cases that are all tried: every bit of the small files; each file deleted, a directory, another one's copy; each
 * older control file. */
static uint64_t walk_count(void)
{
    uint64_t count = 2 * h9_whole.count + (uint64_t)h9_whole.count * h9_whole.count + older_count;

    count += h9_whole.files[manifest_file].size * 8;

    for (uint32_t s = 0; s < H9_SHARDS; s++)
        count += h9_whole.files[h9_shards[s].list].size * 8;
    return count;
}

static void damage_by_number(uint64_t n)
{
    if (n < h9_whole.count) {
        delete_file((size_t)n);
        return;
    }
    n -= h9_whole.count;
    if (n < h9_whole.count) {
        stand_in((size_t)n);
        return;
    }
    n -= h9_whole.count;
    if (n < (uint64_t)h9_whole.count * h9_whole.count) {
        replace_file((size_t)(n / h9_whole.count), (size_t)(n % h9_whole.count));
        return;
    }
    n -= (uint64_t)h9_whole.count * h9_whole.count;
    if (n < older_count) {
        put_older((size_t)n);
        return;
    }
    n -= older_count;
    for (uint32_t s = 0; s <= H9_SHARDS; s++) {
        image_file *file = &h9_hurt.files[s < H9_SHARDS ? h9_shards[s].list : manifest_file];

        if (n < file->size * 8) {
            flip(file, (size_t)(n / 8), (unsigned)(n % 8));
            return;
        }
        n -= file->size * 8;
    }
}

/* The damaged store, in files of its own. */
static lsi_files *put_hurt(void)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_root root;

    must(files != NULL, "memory");
    must(image_put(&h9_hurt, files, H9_STORE) == 0, "putting the store back");
    if (made_dir[0] != '\0') {
        must(files->root_open(files, H9_STORE, LSI_ROOT_WRITE, &root) == 0, "opening the root");
        must(files->make_dir(&root, made_dir) == 0, "making a directory");
        files->root_close(&root);
    }
    return files;
}

static void run_case(uint64_t n, bool walk)
{
    lsi_files *files;
    bool read_only = pick(4) == 0;
    unsigned char boot[16];
    image_file *control;
    still_env still;

    case_number = n;
    copy_whole();
    if (walk)
        damage_by_number(n);
    else
        damage_at_random();
    control = image_find(&h9_hurt, LSI_CONTROL_NAME);
    how = read_only ? "to read" : "to write";
    is_unsettled = read_only;
    if (pick(2) == 0 && control != NULL && control->size >= sizeof(control_header)) {
        /* As after a reboot; the boot's id is no part of what the case damages. */
        lsi_boot_id(boot);
        boot[0] ^= 1;
        memcpy(control->bytes + offsetof(control_header, boot_id), boot, sizeof boot);
        how = read_only ? "to read after a boot" : "to write after a boot";
        is_unsettled = false;
    }
    files = put_hurt();
    still_env_make(&still, files, n + 1);
    look(files, read_only, pick(4) == 0, &still);
    lsi_files_memory_free(files);
    if (pick(4) == 0 || (walk && n < 2 * h9_whole.count)) {
        files = put_hurt();
        how = "to repair";
        h9_lines(files, &still);
        lsi_files_memory_free(files);
    }
}

int main(int argc, char **argv)
{
    uint64_t cases = getenv("LIBSTREAM_TEST_LONG") != NULL ? CASES_LONG : CASES_DEFAULT, seed = 1, walk, bytes = 0;
    struct timespec began, ended;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cases") == 0 && i + 1 < argc)
            cases = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else {
            fprintf(stderr, "usage: %s [--seed S] [--cases N]\n", argv[0]);
            return 2;
        }
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &began); /* cannot fail on this clock */
    random_state = seed;
    make_store();
    for (size_t i = 0; i < h9_whole.count; i++)
        bytes += h9_whole.files[i].size;
    printf("h9: seed %llu, a store of %zu files and %llu bytes\n", (unsigned long long)seed, h9_whole.count,
           (unsigned long long)bytes);
    walk = walk_count();
    for (uint64_t n = 0; n < cases; n++)
        run_case(n, cases >= walk && n < walk);
    image_free(&h9_hurt);
    image_free(&h9_whole);
    while (older_count > 0)
        free(older[--older_count].bytes);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("harness=h9 seed=%llu cases=%llu violations=%llu wall_s=%.1f\n", (unsigned long long)seed,
           (unsigned long long)cases, (unsigned long long)violations,
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    return violations != 0;
}
