/* A whole store from a directory of any bytes: opened for reading and for writing, read, put to, opened again. Every
 * call ends in a status; numbers rise; what was put is read back; a second opening shows what the first one showed.
 *
 * With the sums' checks off the last is asked only where nothing failed: then frames may claim anything. */
#include "fuzz/tiny_store.h"

#include "storage/manifest.h"
#include "storage/segment.h"

#define STORE "store"
#define STREAMS_MAX 4u
#define SHARDS_MAX 3u

/* ---- sums ---- */

static void repair_checked(uint8_t *bytes, size_t size, uint64_t salt)
{
    if (size < LSI_CHECKED_HEADER_BYTES)
        return;
    lsi_write_u64le(bytes + 40, lsi_sum64(bytes + 64, size - 64, salt));
    lsi_write_u64le(bytes + 56, lsi_sum64(bytes, 56, salt));
}

static void repair_segment(uint8_t *bytes, size_t size)
{
    unsigned char fields[72];
    uint64_t base, seed;

    if (size < LSI_SEGMENT_HEADER_BYTES)
        return;
    lsi_write_u64le(bytes + 4088, lsi_sum64(bytes, 4088, 0));
    memcpy(fields, bytes + 24, 40);      /* store id, stream, shard, number, base */
    memcpy(fields + 40, bytes + 96, 32); /* salt */
    seed = lsi_sum64(fields, sizeof fields, 0);
    base = lsi_read_u64le(bytes + 56);
    bytes += LSI_SEGMENT_HEADER_BYTES;
    size -= LSI_SEGMENT_HEADER_BYTES;
    for (size_t at = 0; at <= size && size - at >= 48;) {
        uint32_t frame = lsi_read_u32le(bytes + at);

        if (frame < 56 || frame % 8 != 0 || frame > size - at) {
            at += 8;
            continue;
        }
        lsi_write_u64le(bytes + at + 32, lsi_sum64(bytes + at + 48, frame - 48, 0) ^ seed);
        lsi_write_u32le(bytes + at + 44, (uint32_t)lsi_sum64(bytes + at, 44, seed + base + at));
        at += frame;
    }
}

typedef struct packed {
    const char *name;
    uint8_t *bytes;
    size_t size;
} packed;

/* The next file of a packed image; false: there is none. */
static bool next_file(uint8_t **at, const uint8_t *end, packed *out)
{
    uint8_t *name_end = memchr(*at, 0, (size_t)(end - *at));
    size_t left;

    if (name_end == NULL || end - name_end < 5)
        return false;
    out->name = (const char *)*at;
    out->bytes = name_end + 5;
    out->size = lsi_read_u32le(name_end + 1);
    left = (size_t)(end - out->bytes);
    if (out->size > left)
        out->size = left;
    *at = out->bytes + out->size;
    return true;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    unsigned char owner[28] = {0}; /* store id, stream, shard */
    uint8_t *at;
    packed file;

    if (size < 2)
        return;
    for (at = data + 1; next_file(&at, data + size, &file);) {
        size_t name_bytes = strlen(file.name);

        if (strcmp(file.name, "manifest") == 0)
            repair_checked(file.bytes, file.size, 0);
        else if (name_bytes > 4 && strcmp(file.name + name_bytes - 4, ".seg") == 0)
            repair_segment(file.bytes, file.size);
        if (strcmp(file.name, "manifest") == 0 && file.size >= 64 + 24)
            memcpy(owner, file.bytes + 64 + 8, 16);
    }
    /* Lists come after: they hold the sums of headers. */
    for (at = data + 1; next_file(&at, data + size, &file);) {
        const char *slash = strchr(file.name, '/');
        uint8_t *other = data + 1;
        packed segment;

        if (slash == NULL || strlen(file.name) < 9 || strcmp(file.name + strlen(file.name) - 9, "/segments") != 0)
            continue;
        for (size_t entry = 64 + 16; entry + 64 <= file.size; entry += 64) {
            char name[160];

            (void)snprintf(name, sizeof name, "%.*s%08u.seg", (int)(strlen(file.name) - 8) & 127, file.name,
                           lsi_read_u32le(file.bytes + entry)); /* cut: then it is no segment's name */
            for (other = data + 1; next_file(&other, data + size, &segment);)
                if (strcmp(segment.name, name) == 0 && segment.size >= LSI_SEGMENT_HEADER_BYTES)
                    memcpy(file.bytes + entry + 48, segment.bytes + 4088, 8);
        }
        lsi_write_u64le(owner + 16, strtoull(file.name, NULL, 10));
        lsi_write_u32le(owner + 24, (uint32_t)strtoul(slash + 1, NULL, 10));
        repair_checked(file.bytes, file.size, lsi_sum64(owner, sizeof owner, 0));
    }
}

/* ---- the store ---- */

typedef struct view {
    uint32_t streams;
    char names[STREAMS_MAX][LSI_STREAM_NAME_MAX + 1];
    uint32_t shards[STREAMS_MAX];
    uint32_t indexes[STREAMS_MAX][SHARDS_MAX];
    tiny_shard found[STREAMS_MAX][SHARDS_MAX];
} view;

static ls_status open_store(still_env *still, bool read_only, ls_store **store)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.flags = LS_STORE_NO_CREATE | (read_only ? LS_STORE_READ_ONLY : 0);
    options.prealloc_bytes = LS_PREALLOC_NONE;
    options.key_callback = tiny_key;
    return lsi_store_open_env(STORE, &options, &still->env, store);
}

static void read_stream(ls_stream *stream, view *out, uint32_t s)
{
    ls_stream_description *description;

    out->shards[s] = 0;
    if (ls_stream_describe(stream, &description) != LS_OK)
        return;
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description) && i < SHARDS_MAX; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        FUZZ_REQUIRE(ls_stream_description_shard(description, i, &info) == LS_OK);
        out->indexes[s][i] = info.shard;
        tiny_read(stream, info.shard, &out->found[s][i]);
        FUZZ_REQUIRE(tiny_is_status(out->found[s][i].st));
        out->shards[s]++;
    }
    ls_stream_description_free(description);
}

static void read_store(ls_store *store, view *out)
{
    ls_stream_list *list;

    out->streams = 0;
    if (ls_store_list_streams(store, NULL, STREAMS_MAX, &list) != LS_OK)
        return;
    for (size_t i = 0; i < ls_stream_list_count(list); i++) {
        ls_stream *stream;
        uint32_t s = out->streams++;

        (void)snprintf(out->names[s], sizeof out->names[s], "%s", ls_stream_list_at(list, i)); /* names fit */
        out->shards[s] = 0;
        if (ls_stream_open(store, out->names[s], &stream) != LS_OK)
            continue;
        read_stream(stream, out, s);
        (void)ls_stream_close(stream); /* a shard that failed says so again */
    }
    ls_stream_list_free(list);
}

/* What the first look showed is the beginning of what the second one shows, where neither met damage. Upkeep in between
 * may have taken the oldest: a manifest may have a cap, and a list whose sum is right may say that they are old. */
static void compare(const view *first, const view *second)
{
    for (uint32_t s = 0; s < first->streams && s < second->streams; s++) {
        for (uint32_t i = 0; i < first->shards[s] && i < second->shards[s]; i++) {
            const tiny_shard *a = &first->found[s][i], *b = &second->found[s][i];

            if (a->st != LS_OK || b->st != LS_OK || strcmp(first->names[s], second->names[s]) != 0)
                continue;
            uint32_t gone = 0;
            while (gone < a->count && (b->count == 0 || a->seqnos[gone] < b->seqnos[0]))
                gone++;
            FUZZ_REQUIRE(b->count >= a->count - gone);
            FUZZ_REQUIRE(memcmp(a->seqnos + gone, b->seqnos, (a->count - gone) * sizeof *a->seqnos) == 0);
            FUZZ_REQUIRE(memcmp(a->sums + gone, b->sums, (a->count - gone) * sizeof *a->sums) == 0);
        }
    }
}

/* Puts one record and reads it back at its number. */
static void put_one(ls_store *store, const char *name)
{
    ls_producer *producer;
    ls_stream *stream;
    ls_record_id id;
    ls_status st = ls_stream_open(store, name, &stream);

    if (st != LS_OK)
        return;
    st = ls_producer_open(stream, NULL, &producer);
    FUZZ_REQUIRE(st == LS_OK);
    st = ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){"data", 4}, NULL, &id);
    FUZZ_REQUIRE(tiny_is_status(st));
    if (st == LS_OK) {
        ls_position at = {LS_AT_SEQUENCE_NUMBER, 0, id.seqno, 0};
        ls_iterator *iterator;
        const ls_batch *batch;

        st = ls_iterator_open(stream, id.shard, &at, NULL, &iterator);
        if (st == LS_OK) {
            st = ls_iterator_next(iterator, NULL, &batch);
            if (st == LS_OK) {
                const ls_record *record = ls_batch_at(batch, 0);

                FUZZ_REQUIRE(record != NULL && record->seqno == id.seqno && record->data.size == 4 &&
                             memcmp(record->data.data, "data", 4) == 0);
            }
            ls_iterator_close(iterator);
        }
        FUZZ_REQUIRE(st == LS_OK);
    }
    (void)ls_producer_close(producer); /* every put was complete */
    (void)ls_stream_close(stream);
}

/* Splits the stream's last shard, which is open in a sound stream. What is refused changes nothing. */
static void split_one(ls_store *store, const char *name)
{
    ls_shard_info parent = LS_SHARD_INFO_INIT, child = LS_SHARD_INFO_INIT;
    ls_stream_description *description;
    ls_stream *stream;
    uint32_t count;
    ls_status st;

    if (ls_stream_open(store, name, &stream) != LS_OK)
        return;
    if (ls_stream_describe(stream, &description) == LS_OK) {
        count = ls_stream_description_shard_count(description);
        FUZZ_REQUIRE(ls_stream_description_shard(description, count - 1, &parent) == LS_OK);
        ls_stream_description_free(description);
        st = ls_stream_split(stream, parent.shard, NULL, NULL, NULL);
        FUZZ_REQUIRE(tiny_is_status(st));
        if (st == LS_OK && ls_stream_describe(stream, &description) == LS_OK) {
            FUZZ_REQUIRE(ls_stream_description_shard_count(description) == count + 2);
            FUZZ_REQUIRE(ls_stream_description_shard(description, count - 1, &parent) == LS_OK);
            FUZZ_REQUIRE(ls_stream_description_shard(description, count + 1, &child) == LS_OK);
            FUZZ_REQUIRE(!parent.is_open && child.is_open && child.starting_seqno > parent.ending_seqno);
            ls_stream_description_free(description);
        }
    }
    (void)ls_stream_close(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static view first, second, third;
    lsi_files *files;
    ls_store *store;
    still_env still;
    image of;

    if (size < 2)
        return 0;
    files = lsi_files_memory_new(&lsi_memory_libc);
    FUZZ_REQUIRE(files != NULL);
    still_env_make(&still, files, 3);
    still.now_us += 200000000; /* well after the inputs were made: no time of theirs comes while we look */
    of = image_unpack(data + 1, size - 1);
    (void)image_put(&of, files, STORE); /* what has no good name is left out */
    image_free(&of);

    first.streams = second.streams = third.streams = 0;
    if ((data[0] & FUZZ_STORE_READ_ONLY_FIRST) != 0 && open_store(&still, true, &store) == LS_OK) {
        read_store(store, &first);
        FUZZ_REQUIRE(ls_store_close(store) == LS_OK);
    }
    if (open_store(&still, false, &store) == LS_OK) {
        read_store(store, &second);
        compare(&first, &second);
        for (uint32_t s = 0; s < second.streams; s++) {
            put_one(store, second.names[s]);
            if ((data[0] & FUZZ_STORE_SPLIT) != 0)
                split_one(store, second.names[s]);
            if ((data[0] & FUZZ_STORE_PUT_TWICE) != 0)
                put_one(store, second.names[s]);
        }
        (void)ls_store_close(store); /* may say that a shard failed */
        if (open_store(&still, false, &store) == LS_OK) {
            read_store(store, &third);
            compare(&second, &third);
            (void)ls_store_close(store);
        }
    }
    lsi_files_memory_free(files);
    return 0;
}
