/* Makes the corpora that the tests begin with, from the library's own encoders:
 *
 *     make_corpus tests/fuzz/corpus
 *
 * writes DIRECTORY/TARGET/NAME for every target. Files there that it does not name stay: inputs that once found
 * something (`crash-...`, `slow-...`) are kept for good. Run it again after a change of the format. */
#include "fuzz/tiny_store.h"

#include <sys/stat.h>

#include "api/api.h"
#include "base/compress.h"
#include "base/hash.h"
#include "base/u128.h"
#include "consume/iterator.h"
#include "consume/lease/lease.h"
#include "consume/mapping/mapping.h"
#include "consume/window/window.h"
#include "engine/local/local.h"
#include "storage/blocks.h"
#include "storage/control_layout.h"
#include "storage/frame.h"
#include "storage/manifest.h"
#include "storage/numbered.h"
#include "storage/segment.h"
#include "stream/stream.h"
#include "support/image.h"
#include "support/still_env.h"

static const char *directory;

static void write_input(const char *target, const char *name, const void *bytes, size_t size)
{
    char path[4096];
    FILE *to;

    (void)snprintf(path, sizeof path, "%s/%s", directory, target); /* a path that is too long cannot be opened */
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof path, "%s/%s/%s", directory, target, name);
    to = fopen(path, "wb");
    if (to == NULL || fwrite(bytes, 1, size, to) != size || fclose(to) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_text(const char *target, const char *name, const char *text)
{
    write_input(target, name, text, strlen(text));
}

/* A pattern, and a record's data behind its end. */
/* Of a batch of records 10, 20 .. 50 of shard 1. */
static void responses(void)
{
    char number[LSI_SEQNO56_BYTES], text[512];
    int size;

    lsi_seqno56_format(&(lsi_seqno56){.counter = 30, .shard = 1}, number);
    size = snprintf(text, sizeof text, "{\"batchItemFailures\":[{\"itemIdentifier\":\"%s\"},{\"a\":[],"
                    "\"itemIdentifier\":\"%s\"}]}", number, number);
    write_input("response", "failures", text, (size_t)size);
    size = snprintf(text, sizeof text, "{\"state\":{\"n\":1.5e2,\"a\":[true,null,\"\\u00e4\",{}]},"
                    "\"batchItemFailures\":null}");
    write_input("response", "state", text, (size_t)size);
    write_input("response", "empty", "\"\"", 2);
    write_input("response", "array", "[]", 2);
}

/* Some elements of two inputs in windows of each kind. */
static void windows(void)
{
    static const char *const names[] = {"tumbling", "sliding", "cumulating", "session"};

    for (uint32_t kind = 0; kind < 4; kind++) {
        const lsi_windows_settings settings = {
            .kind = (lsi_windows_kind)kind, .size_ms = 20, .step_ms = 10, .gap_ms = 4, .delay_ms = 5,
            .lateness_ms = 15, .state_bytes_max = 1 << 20, .fold = lsi_tally_fold,
        };
        lsi_windows_part all = {LSI_KEYS_ALL, true, SIZE_MAX, false, 0, 0, NULL};
        unsigned char input[4096] = {(unsigned char)kind};
        lsi_windows *made;
        size_t size;
        void *bytes;

        if (lsi_windows_open(&lsi_memory_libc, &settings, &made) != LS_OK ||
            lsi_windows_input(made, 1, NULL, 0) != LS_OK || lsi_windows_input(made, 2, NULL, 0) != LS_OK)
            abort();
        for (uint32_t i = 0; i < 12; i++) {
            double number = i;
            lsi_element_fate fate;

            if (lsi_windows_add(made, 1 + i % 2, (ls_bytes){"key", 1 + i % 3}, 7 * i, &number, &fate) != LS_OK)
                abort();
            lsi_windows_advance(made, 1 + i % 2, (lsi_point){i, 0});
        }
        if (lsi_windows_save(made, &all, &bytes, &size) != LS_OK || size > sizeof input - 1)
            abort();
        memcpy(input + 1, bytes, size);
        write_input("windows", names[kind], input, size + 1);
        lsi_free(&lsi_memory_libc, bytes);
        lsi_windows_close(made);
    }
}

static void write_filter(const char *name, const char *pattern, const char *data)
{
    char both[2048];
    int size = snprintf(both, sizeof both, "%s%c%s", pattern, 0, data);

    write_input("filter", name, both, (size_t)size);
}

static void filters(void)
{
    write_filter("literals", "{\"data\":{\"a\":[\"x\",1,null,true]}}", "{\"a\":[\"\\u0078\",1.0]}");
    write_filter("numbers", "{\"data\":{\"n\":[9007199254740993,{\"numeric\":[\">\",1e-3,\"<=\",2]}]}}",
                 "{\"n\":9007199254740993}");
    write_filter("strings",
                 "{\"data\":{\"s\":[{\"prefix\":\"a\"},{\"suffix\":{\"equals-ignore-case\":\"B\"}},"
                 "{\"equals-ignore-case\":\"\xc3\xa4\"},"
                 "{\"wildcard\":\"a*b\\\\*\"},{\"cidr\":\"10.0.0.0/8\"}]}}",
                 "{\"s\":\"\xc3\x84\"}");
    write_filter("anything-but",
                 "{\"data\":{\"s\":[{\"anything-but\":[1,2]},{\"anything-but\":{\"wildcard\":[\"a*\","
                 "\"\"]}},{\"exists\":false}]}}",
                 "{\"s\":\"ab\"}");
    write_filter("arrays", "{\"data\":{\"a\":{\"x\":[1],\"y\":[{\"exists\":false}]}}}",
                 "{\"a\":[[{\"x\":1,\"y\":2}],{\"x\":1}]}");
    write_filter("dots", "{\"data.a\":{\"b.c\":[1],\"b\":{\"d\":[2]}}}",
                 "{\"a.b\":{\"c\":1},\"a\":{\"b.d\":2,\"b\":[]},\"a\":{\"b.d\":2}}");
    write_filter("or",
                 "{\"$or\":[{\"data\":{\"a\":{\"x\":[1]}}},{\"partitionKey\":[\"key\"],"
                 "\"$or\":[{\"b\":[1]},{\"c\":[{\"exists\":false}]}]}],"
                 "\"data\":{\"a\":{\"y\":[1]}}}",
                 "{\"a\":[{\"x\":1,\"y\":1}]}");
    write_filter("event", "{\"eventID\":[{\"prefix\":\"shardId-\"}],\"approximateArrivalTimestamp\":[1.234]}", "");
}

static void texts(void)
{
    char number[LSI_SEQNO56_BYTES], decimal[LSI_U128_TEXT_BYTES];
    lsi_seqno56 seqno = {.counter = 4711, .shard = 17, .created_seconds = 1700000000, .record_seconds = 1700000100};

    lsi_seqno56_format(&seqno, number);
    write_text("seqno", "number", number);
    seqno = (lsi_seqno56){.counter = LS_SEQNO_END, .shard = UINT32_MAX, .record_seconds = INT64_C(0xfffffffff)};
    lsi_seqno56_format(&seqno, number);
    write_text("seqno", "extreme", number);
    write_text("seqno", "fields", "0123456789abcdef0123456789abcdef");

    write_text("u128", "zero", "0");
    lsi_u128_to_decimal(LSI_U128_MAX, decimal);
    write_text("u128", "largest", decimal);
    write_text("u128", "too-large", "340282366920938463463374607431768211456");

    write_text("utf8", "ascii", "a partition key");
    write_text("utf8", "all-lengths", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    write_text("utf8", "surrogate", "a\xed\xa0\x80");
    write_text("utf8", "overlong", "\xc0\x80\xe0\x80\xaf\xf0\x80\x80\x80");

    write_text("json", "object", "{\"id\": \"a\", \"n\": -1.5e3, \"list\": [true, false, null, {\"x\": []}]}");
    write_text("json", "escapes", "[\"\\u0000\\ud83d\\ude00\\n\\\"\\\\\\/\", \"\xc3\xa4\"]");
    write_text("json", "deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    filters();
    responses();
    windows();
    write_text("json", "twice", "{\"id\": 1, \"id\": 2}");
}

static void places(void)
{
    lsi_track tracks[3];
    lsi_iterator iterator;
    char text[256];

    memset(&iterator, 0, sizeof iterator);
    memset(tracks, 0, sizeof tracks);
    tracks[0].position = (ls_position){LS_AT_SEQUENCE_NUMBER, 0, 4711, 0};
    tracks[1].shard = 2;
    tracks[1].is_finished = true;
    tracks[2].shard = 4000000000u;
    tracks[2].position.kind = LS_TRIM_HORIZON;
    iterator.tracks = tracks;
    iterator.stream_id = 3;
    iterator.stream_created_us = INT64_C(1700000000000000);
    iterator.track_count = 1;
    FUZZ_REQUIRE(lsi_iterator_place(&iterator, text, sizeof text, NULL) == LS_OK);
    write_text("place", "one", text);
    iterator.track_count = 3;
    iterator.is_merged = true;
    iterator.stream_created_us = -5;
    FUZZ_REQUIRE(lsi_iterator_place(&iterator, text, sizeof text, NULL) == LS_OK);
    write_text("place", "all", text);
}

/* Frames of one, of several and of hashed records, one behind the other. */
static void frames(void)
{
    static const ls_hash_key hash = {UINT64_C(1) << 63, 5};
    ls_put_entry entries[3] = {{{"key", 3}, {"data", 4}, NULL},
                               {{"another key", 11}, {NULL, 0}, &hash},
                               {{"k", 1}, {"0123456789abcdef0123456789abcdef", 32}, NULL}};
    unsigned char bytes[1024] = {0};
    size_t at = FUZZ_FRAME_AT;
    uint64_t position = 65536;
    lsi_framer *framer;
    lsi_env env;

    lsi_env_default(&env);
    FUZZ_REQUIRE(lsi_framer_open(&env, &framer) == LS_OK);
    memcpy(bytes, &position, sizeof position);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t count = i < 3 ? 1 : 3;

        FUZZ_REQUIRE(lsi_framer_draft(framer, i < 3 ? &entries[i] : entries, NULL, count, true) == LS_OK);
        lsi_framer_place(framer, &framer->drafts[0], FUZZ_FRAME_SEED, position + at - FUZZ_FRAME_AT, 100 + i, 1000 + i,
                         position);
        memcpy(bytes + at, framer->buffer, framer->drafts[0].bytes);
        at += framer->drafts[0].bytes;
        if (i == 0)
            write_input("frame", "one", bytes, at);
    }
    write_input("frame", "four", bytes, at);
    write_input("frame", "four-and-zeros", bytes, at + 64);
    bytes[FUZZ_FRAME_AT + 70] ^= 1;
    write_input("frame", "first-is-damaged", bytes, at);
    lsi_framer_close(framer);
}

static void segments(void)
{
    lsi_segment_header header = {.stream = 1, .shard = 2, .number = 3, .base = 65536, .base_seqno = 100,
                                 .seqno_limit = 5000, .base_arrival_us = 1000, .created_us = 2000, .previous = 2,
                                 .previous_end = 65536, .chain = 77, .frames_bytes_max = 1 << 20};
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], input[FUZZ_SEGMENT_FIELDS + 4 * LSI_INDEX_ENTRY_BYTES];
    unsigned char payload[16 + 3 * 64 + 2 * 32] = {0};
    lsi_writer to = {payload, payload + sizeof payload};
    void *checked;
    size_t size;
    lsi_env env;
    uint64_t seed;

    memset(header.salt, 5, sizeof header.salt);
    lsi_segment_header_encode(&header, bytes);
    memcpy(input, bytes, FUZZ_SEGMENT_FIELDS);
    write_input("segment", "header", input, FUZZ_SEGMENT_FIELDS);
    seed = lsi_segment_seed(&header);
    for (uint64_t i = 0; i < 4; i++) {
        unsigned char *at = input + FUZZ_SEGMENT_FIELDS + i * LSI_INDEX_ENTRY_BYTES;

        lsi_write_u64le(at, header.base + i * LSI_INDEX_BLOCK_BYTES + 64 * i);
        lsi_write_u64le(at + 8, 100 + 10 * i);
        lsi_write_u64le(at + 16, 1000 + i);
        lsi_write_u64le(at + 24, lsi_sum64(at, 24, seed));
    }
    write_input("segment", "index", input, sizeof input);

    lsi_env_default(&env);
    lsi_put_u32(&to, 3);
    lsi_put_u32(&to, 2);
    lsi_put_u64(&to, 0);
    for (uint32_t i = 0; i < 3; i++) {
        lsi_put_u32(&to, i + 1);
        lsi_put_u32(&to, i < 2 ? LSI_SEGMENT_SEALED : 0);
        lsi_put_u64(&to, 800 * i);
        lsi_put_u64(&to, i < 2 ? 800 * i + 800 : 0);
        lsi_put_u64(&to, 1 + 1000 * i);
        lsi_put_u64(&to, 1001 + 1000 * i);
        lsi_put_u64(&to, 5);
        lsi_put_u64(&to, 6);
        lsi_put_u64(&to, 0);
    }
    for (uint64_t i = 0; i < 2; i++) {
        lsi_put_u64(&to, 80 * i + 8);
        lsi_put_u64(&to, 80 * i + 16);
        lsi_put_u64(&to, 1);
        lsi_put_u64(&to, 2);
    }
    FUZZ_REQUIRE(lsi_checked_encode(&env, LSI_CHECKED_SEGMENTS, FUZZ_SEGMENTS_SALT, (lsi_checked_head){9, 0}, payload,
                                    sizeof payload, &checked, &size) == LS_OK);
    write_input("segments", "list", checked, size);
    lsi_free(&env.memory, checked);
    FUZZ_REQUIRE(lsi_checked_encode(&env, LSI_CHECKED_MANIFEST, FUZZ_SEGMENTS_SALT, (lsi_checked_head){1, 0}, "", 0,
                                    &checked, &size) == LS_OK);
    write_input("segments", "empty", checked, size);
    lsi_free(&env.memory, checked);
}

static void manifests(void)
{
    lsi_catalog *catalog = lsi_catalog_new(&lsi_memory_libc);
    lsi_shard shards[3];
    char tags[12] = "a\0" "12345\0" "bc\0";
    lsi_consumer consumers[2] = {{.id = 3, .created_us = 2000, .status = LS_CONSUMER_ACTIVE, .name = "a-consumer"},
                                 {.id = 1, .created_us = 3000, .status = LS_CONSUMER_DELETING, .status_until_us = 4000,
                                  .name = "b.of_8.by"}};
    lsi_catalog_stream streams[2] = {{.name = "a.stream-with_a.name", .id = 1, .created_us = 1000, .retention_hours = 24,
                                      .record_bytes_max = 1 << 20, .status = LS_STREAM_ACTIVE, .shard_count = 3,
                                      .shards = shards},
                                     {.name = "b", .id = 7, .created_us = 1000, .retention_hours = 8760,
                                      .retention_bytes = 1 << 30, .horizon_us = 77, .mode = LS_STREAM_PROVISIONED,
                                      .mode_changed_us = {9, 8}, .record_bytes_max = 1024,
                                      .status = LS_STREAM_UPDATING, .status_until_us = 99, .tags = {2, 12, tags},
                                      .shard_count = 1, .shards = shards}};
    void *payload;
    size_t size;

    FUZZ_REQUIRE(catalog != NULL);
    catalog->durability = LS_DURABILITY_SYNC;
    catalog->sync_interval_ms = 100;
    catalog->segment_bytes = 65536;
    catalog->next_id = 8;
    FUZZ_REQUIRE(lsi_catalog_encode(catalog, &payload, &size) == LS_OK);
    write_input("manifest", "empty", payload, size);
    lsi_free(&lsi_memory_libc, payload);
    for (uint32_t i = 0; i < 3; i++)
        shards[i] = (lsi_shard){.index = i, .parent = i == 2 ? 0 : LSI_NO_SHARD,
                                .adjacent_parent = i == 2 ? 1 : LSI_NO_SHARD, .closed = i < 2,
                                .range = lsi_hash_range_of(i == 1, i == 2 ? 1 : 2), .first_seqno = 1,
                                .created_us = 5, .closed_us = i < 2 ? 6 : 0,
                                .last_seqno = i < 2 ? 9 : LS_SEQNO_NONE, .end = i < 2 ? 800 : 0};
    catalog->streams = streams;
    catalog->stream_count = 2;
    FUZZ_REQUIRE(lsi_catalog_encode(catalog, &payload, &size) == LS_OK);
    write_input("manifest", "two-streams", payload, size);
    lsi_free(&lsi_memory_libc, payload);
    catalog->consumer_id = 4;
    streams[1].consumers = consumers;
    streams[1].consumer_count = 2;
    FUZZ_REQUIRE(lsi_catalog_encode(catalog, &payload, &size) == LS_OK);
    write_input("manifest", "consumers", payload, size);
    lsi_free(&lsi_memory_libc, payload);
    streams[0].auto_scaling = LSI_AUTO_SCALING_DEFAULT;
    FUZZ_REQUIRE(lsi_catalog_encode(catalog, &payload, &size) == LS_OK);
    write_input("manifest", "auto-scaling", payload, size);
    lsi_free(&lsi_memory_libc, payload);
    catalog->streams = NULL;
    catalog->stream_count = 0;
    lsi_catalog_unref(catalog);
}

static void put_some(ls_stream *stream)
{
    ls_producer *producer;

    FUZZ_REQUIRE(ls_producer_open(stream, NULL, &producer) == LS_OK);
    for (unsigned i = 0; i < 6; i++) {
        char key[8];
        int key_bytes = snprintf(key, sizeof key, "key-%u", i);

        FUZZ_REQUIRE(ls_producer_put(producer, (ls_bytes){key, (size_t)key_bytes}, (ls_bytes){"some data", 9}, NULL,
                                     NULL) == LS_OK);
    }
    (void)ls_producer_close(producer); /* every put was complete */
}

/* Frames that are compressed, then such that are encrypted as well, each in a segment of its own. */
static void put_sealed(ls_store *store, ls_stream *stream)
{
    static const char text[] = "over and over and over and over and over and over and over and over and over again";
    ls_put_entry entries[4];
    ls_producer *producer;
    size_t failed;

    for (size_t i = 0; i < 4; i++)
        entries[i] = (ls_put_entry){{"one key", 7}, {text, sizeof text - 1}, NULL};
    FUZZ_REQUIRE(ls_producer_open(stream, NULL, &producer) == LS_OK);
    FUZZ_REQUIRE(ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD) == LS_OK);
    FUZZ_REQUIRE(ls_producer_put_batch(producer, entries, 4, NULL, NULL, &failed) == LS_OK && failed == 0);
    FUZZ_REQUIRE(ls_stream_start_encryption(store, "s", "k") == LS_OK);
    FUZZ_REQUIRE(ls_producer_put_batch(producer, entries, 4, NULL, NULL, &failed) == LS_OK && failed == 0);
    (void)ls_producer_close(producer); /* every put was complete */
}

typedef enum { PLAIN, RESHARDED, SEALED } history;

/* A small store, whole but for its control file. */
static void store_input(history of_it, unsigned char flags, const char *name)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options two = LS_STREAM_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream;
    still_env still;
    image of, packed = {.count = 0};
    unsigned char *bytes;
    size_t size;

    FUZZ_REQUIRE(files != NULL);
    still_env_make(&still, files, 1);
    options.segment_bytes = 64u << 10;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    options.key_callback = tiny_key;
    two.shard_count = 2;
    FUZZ_REQUIRE(lsi_store_open_env("store", &options, &still.env, &store) == LS_OK);
    FUZZ_REQUIRE(ls_stream_create(store, "s", &two) == LS_OK && ls_stream_open(store, "s", &stream) == LS_OK);
    put_some(stream);
    if (of_it == SEALED)
        put_sealed(store, stream);
    if (of_it == RESHARDED) {
        FUZZ_REQUIRE(ls_stream_split(stream, 1, NULL, NULL, NULL) == LS_OK);
        put_some(stream);
        FUZZ_REQUIRE(ls_stream_merge(stream, 0, 2, NULL) == LS_OK);
        put_some(stream);
    }
    FUZZ_REQUIRE(ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK);
    of = image_take(files, "store");
    for (size_t i = 0; i < of.count; i++)
        if (strcmp(of.files[i].name, LSI_CONTROL_NAME) != 0)
            (void)image_add(&packed, of.files[i].name, of.files[i].bytes, of.files[i].size); /* few and small */
    bytes = image_pack(&packed, &size);
    memmove(bytes + 1, bytes, size); /* image_pack gives one byte more */
    bytes[0] = flags;
    write_input("store", name, bytes, size + 1);
    free(bytes);
    image_free(&packed);
    image_free(&of);
    lsi_files_memory_free(files);
}

static void stores(void)
{
    store_input(PLAIN, 0, "whole");
    store_input(PLAIN, FUZZ_STORE_READ_ONLY_FIRST | FUZZ_STORE_PUT_TWICE, "whole-read-first");
    store_input(PLAIN, FUZZ_STORE_SPLIT | FUZZ_STORE_PUT_TWICE, "whole-split");
    store_input(SEALED, FUZZ_STORE_PUT_TWICE, "sealed");
    store_input(SEALED, FUZZ_STORE_READ_ONLY_FIRST | FUZZ_STORE_SPLIT, "sealed-split");
    store_input(RESHARDED, FUZZ_STORE_READ_ONLY_FIRST | FUZZ_STORE_SPLIT | FUZZ_STORE_PUT_TWICE, "resharded");
}

/* A patch to one word of the control file. */
static void control_input(const char *name, unsigned how, uint32_t size, size_t at, uint64_t word)
{
    unsigned char input[FUZZ_CONTROL_PATCHES_AT + 3 + 8] = {(unsigned char)how};

    lsi_write_u32le(input + 1, size);
    lsi_write_u16le(input + 5, (uint16_t)at);
    input[7] = 8;
    lsi_write_u64le(input + 8, word);
    write_input("control", name, input, sizeof input);
}

static void controls(void)
{
    const unsigned right = FUZZ_CONTROL_HEADER | FUZZ_CONTROL_BOOT;

    control_input("as-left", 0, UINT32_MAX, 0xfff0, 0);
    control_input("empty", FUZZ_CONTROL_EMPTY, UINT32_MAX, 0xfff0, 0);
    control_input("header-only", FUZZ_CONTROL_EMPTY | right, UINT32_MAX, 0xfff0, 0);
    control_input("another-boot", 0, UINT32_MAX, offsetof(control_header, boot_id), 0);
    control_input("read-only", FUZZ_CONTROL_READ_ONLY, UINT32_MAX, 0xfff0, 0);
    control_input("short", right, 33000, 0xfff0, 0);
    for (size_t slot = 0; slot < 2; slot++) {
        const size_t words[] = {offsetof(lsi_slot, kind), offsetof(lsi_slot, stream), offsetof(lsi_slot, epoch),
                                offsetof(lsi_slot, append_lock), offsetof(lsi_slot, append_lock) + 16,
                                offsetof(lsi_slot, committed_end), offsetof(lsi_slot, write_end),
                                offsetof(lsi_slot, next_seqno), offsetof(lsi_slot, segment), offsetof(lsi_slot, health),
                                offsetof(lsi_slot, sync_lock), offsetof(lsi_slot, durable_end),
                                offsetof(lsi_slot, allocated_end), offsetof(lsi_slot, watermark)};

        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            char name[32];

            (void)snprintf(name, sizeof name, "slot-%zu-%zu", slot, words[i]); /* fits */
            control_input(name, right | (i % 4 == 3 ? FUZZ_CONTROL_READ_ONLY : 0), UINT32_MAX,
                          CONTROL_SLOTS_AT + slot * LSI_SLOT_BYTES + words[i], 3 + 8 * i);
        }
    }
}

/* ---- producers ---- */

static void producers(void)
{
    static const unsigned char differences[] = {2, 0x81, 1, 0, 0, 0, 0, 0, 2, 1};
    lsi_tail tail = {.producer = {1, 2}, .list = differences};
    const lsi_memory *memory;
    lsi_remembered *of;
    void *bytes;
    size_t size;
    lsi_env env;

    lsi_env_default(&env);
    memory = &env.memory;
    of = lsi_remembered_new(&env);
    FUZZ_REQUIRE(of != NULL && lsi_remembered_encode(of, 0, &bytes, &size) == LS_OK);
    write_input("producers", "none", bytes, size); /* `empty` and `three` are of the first form, with differences. */
    lsi_free(memory, bytes);
    for (uint64_t i = 0; i < 12; i++) {
        tail.producer.low = 2 + i % 3;
        tail.first = 1 + 10 * i;
        tail.last = tail.first + (i % 2 == 0 ? 3 : 131);
        tail.list_bytes = i % 2 == 0 ? 0 : 3;
        tail.counts_bytes = i % 4 == 1 ? 2 : 0; /* of three numbers */
        FUZZ_REQUIRE(lsi_remember(of, &tail, (uint32_t)(i % 4), 100 * i + 1, (int64_t)i) == LS_OK);
    }
    for (uint64_t i = 0; i < 20; i++) { /* one run, with gaps of all kinds */
        tail = (lsi_tail){.producer = {7, 8}, .first = 1000 * i + 1, .last = 1000 * i + 1 + i % 3};
        FUZZ_REQUIRE(lsi_remember(of, &tail, 1, 7 * i + i % 2 + 1, 50) == LS_OK);
    }
    FUZZ_REQUIRE(lsi_remembered_encode(of, 4096, &bytes, &size) == LS_OK);
    write_input("producers", "gaps", bytes, size);
    lsi_free(memory, bytes);
    lsi_remembered_free(of);
}

/* ---- segments in blocks ---- */

#define BLOCKS_PLAIN_BYTES (LSI_SEGMENT_HEADER_BYTES + 2 * LSI_BLOCK_BYTES + 1000u)

/* Two blocks of text, and as much of random bytes as does not get smaller. Then with one that a zstd frame of 256 MiB
 * of zeros stands for. */
static void blocks(void)
{
    static unsigned char plain[BLOCKS_PLAIN_BYTES], made[BLOCKS_PLAIN_BYTES + 4096];
    unsigned char *zeros = calloc(1, (size_t)256 << 20), bomb[32768];
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_compressor *with = lsi_compressor_new();
    uint64_t random = 1, made_bytes, at = LSI_SEGMENT_HEADER_BYTES;
    lsi_segment from = {.seed = FUZZ_BLOCKS_SEED, .name = "from"};
    size_t size, bomb_bytes;
    lsi_file to = {0};
    lsi_root root;
    lsi_env env;

    lsi_env_default(&env);
    for (; at < LSI_SEGMENT_HEADER_BYTES + 2 * LSI_BLOCK_BYTES; at += 16)
        (void)snprintf((char *)plain + at, 17, "line %09u\n ", (unsigned)(at / 48)); /* the end is written over */
    for (; at < sizeof plain; at++)
        plain[at] = (unsigned char)fuzz_random(&random);
    FUZZ_REQUIRE(files != NULL && with != NULL && zeros != NULL);
    FUZZ_REQUIRE(files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) == 0);
    FUZZ_REQUIRE(files->open(&root, "from", LSI_OPEN_WRITE | LSI_OPEN_CREATE, &from.file) == 0);
    FUZZ_REQUIRE(files->open(&root, "to", LSI_OPEN_WRITE | LSI_OPEN_CREATE, &to) == 0);
    FUZZ_REQUIRE(lsi_file_write_one(&from.file, plain, sizeof plain, 0) == 0);
    FUZZ_REQUIRE(lsi_blocks_write(&env, &from, sizeof plain, &to, "to", &made_bytes) == LS_OK);
    FUZZ_REQUIRE(made_bytes <= sizeof made);
    FUZZ_REQUIRE(files->read(&to, made, sizeof made, 0) == (int64_t)made_bytes);
    size = (size_t)made_bytes - LSI_SEGMENT_HEADER_BYTES;
    memmove(made, made + LSI_SEGMENT_HEADER_BYTES, size);
    write_input("blocks", "three", made, size);
    memset(made, 0, 8);
    write_input("blocks", "second-table", made, size);
    write_input("blocks", "cut", made, size - 100);

    memcpy(made, "LSTRBLK", 8);
    bomb_bytes = lsi_compress(with, zeros, (size_t)256 << 20, bomb, sizeof bomb);
    FUZZ_REQUIRE(bomb_bytes > 0);
    lsi_write_u64le(made + 8, LSI_SEGMENT_HEADER_BYTES + LSI_BLOCK_BYTES);
    lsi_write_u32le(made + 16, 1);
    lsi_write_u32le(made + 24, (uint32_t)bomb_bytes);
    memset(made + 28, 0, 4);
    lsi_write_u64le(made + 32, lsi_sum64(made, 32, FUZZ_BLOCKS_SEED));
    memcpy(made + 40, bomb, bomb_bytes);
    memcpy(made + 40 + bomb_bytes, made, 40);
    lsi_write_u64le(made + 80 + bomb_bytes, 40);
    write_input("blocks", "bomb", made, 88 + bomb_bytes);
    (void)files->close(&from.file); /* in memory */
    (void)files->close(&to);
    files->root_close(&root);
    lsi_files_memory_free(files);
    lsi_compressor_free(with);
    free(zeros);
}

/* Values of the state, as a stream with a mapping has them. */
static uint32_t values_made;

static bool write_value(void *user, const lsi_state_entry *entry)
{
    uint8_t *input = malloc(entry->value.size + 1);
    char name[16];

    FUZZ_REQUIRE(input != NULL);
    input[0] = *(const uint8_t *)user;
    memcpy(input + 1, entry->value.data, entry->value.size);
    (void)snprintf(name, sizeof name, "%u", (unsigned)values_made++);
    write_input("state", name, input, entry->value.size + 1);
    free(input);
    return true;
}

static int32_t hear(const ls_alert *alert, void *user)
{
    (void)alert;
    (void)user;
    return 0;
}

/* A rule on a metric, which has fired, and one on a field. */
static void make_alerts(ls_stream *stream)
{
    static const ls_label label = {"version", "x"};
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;
    ls_alerts *alerts;

    options.metric = "libstream_build_info";
    options.comparison = LS_ALERT_EQUAL;
    options.threshold = 1;
    FUZZ_REQUIRE(ls_alert_create(stream, "a", &options) == LS_OK);
    options.labels = &label;
    options.label_count = 1;
    FUZZ_REQUIRE(ls_alert_create(stream, "b", &options) == LS_OK);
    options = (ls_alert_options)LS_ALERT_OPTIONS_INIT;
    options.field = "car.state";
    options.text = "broken";
    options.comparison = LS_ALERT_NOT_EQUAL;
    FUZZ_REQUIRE(ls_alert_create(stream, "c", &options) == LS_OK);
    FUZZ_REQUIRE(ls_alerts_open(stream, hear, NULL, &alerts) == LS_OK);
    FUZZ_REQUIRE(ls_alerts_check(alerts) == LS_OK && ls_alerts_close(alerts) == LS_OK);
}

static void states(void)
{
    static const char *const filters[] = {"{\"partitionKey\": [\"a\"]}", "{\"data\": {\"n\": [1]}}"};
    const ls_position latest = {.kind = LS_LATEST};
    const lsi_progress window = {.has_window = true, .window_start_us = 1000000, .window_end_us = 2000000,
                                 .state = {"{\"n\":1}", 7}};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    char key[LSI_WINDOW_KEY_BYTES];
    lsi_state_change change;
    lsi_state_entry entry = {.version = 1};
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    uint8_t kind;

    options.filter_count = 2;
    options.filters = filters;
    options.failure_stream = "t";
    FUZZ_REQUIRE(ls_store_open("memory:", NULL, &store) == LS_OK);
    FUZZ_REQUIRE(ls_stream_create(store, "s", NULL) == LS_OK && ls_stream_create(store, "t", NULL) == LS_OK);
    FUZZ_REQUIRE(ls_stream_open(store, "s", &stream) == LS_OK);
    FUZZ_REQUIRE(ls_mapping_create(stream, "a", &latest, NULL) == LS_OK);
    FUZZ_REQUIRE(ls_mapping_create(stream, "b", &latest, &options) == LS_OK);
    for (kind = FUZZ_STATE_MAPPING; kind <= FUZZ_STATE_GROUP; kind++) {
        static const char *const prefixes[] = {"mapping/", "lease/", "group/"};
        ls_bytes prefix = {prefixes[kind], strlen(prefixes[kind])};

        FUZZ_REQUIRE(stream->stream->engine->ops->state_read(stream->stream, prefix, write_value, &kind) == LS_OK);
    }
    make_alerts(stream);
    for (kind = FUZZ_STATE_ALERT; kind <= FUZZ_STATE_ALERTED; kind++) {
        ls_bytes prefix = kind == FUZZ_STATE_ALERT ? (ls_bytes){"alert/", 6} : (ls_bytes){"alerted/", 8};

        FUZZ_REQUIRE(stream->stream->engine->ops->state_read(stream->stream, prefix, write_value, &kind) == LS_OK);
    }
    kind = FUZZ_STATE_WINDOW;
    FUZZ_REQUIRE(lsi_window_change(&lsi_memory_libc, "a", 0, &window, key, &change) == LS_OK);
    entry.value = change.value;
    (void)write_value(&kind, &entry);
    free((void *)(uintptr_t)change.value.data);
    FUZZ_REQUIRE(ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK);
}

/* Of three records, and of many with keys and hash keys that come again; and a message in an order that nobody
 * makes. */
static void aggregates(void)
{
    static const char message[] = "\x1a\x0a\x22\x03\x0a\x01t\x08\x01\x1a\x01x\x28\x96\x01\x12\x01" "7"
                                  "\x0a\x01" "a" "\x0a\x01" "b"
                                  "\x1a\x06\x10\x00\x08\x00\x1a\x00";
    unsigned char wrapped[sizeof message - 1 + LSI_AGGREGATE_EXTRA_BYTES];
    lsi_packed packed;
    lsi_pack *pack;
    bool fits;

    FUZZ_REQUIRE(lsi_pack_open(&lsi_memory_libc, UINT32_MAX, UINT32_MAX, &pack) == LS_OK);
    for (uint32_t i = 0; i < 200; i++) {
        ls_hash_key hash = {i % 5, i};
        char key[16];
        int size = snprintf(key, sizeof key, "key-%u", i % 11);

        FUZZ_REQUIRE(lsi_pack_add(pack, (ls_bytes){key, (size_t)size}, i % 3 == 1 ? &hash : NULL,
                           (ls_bytes){"some bytes of data", i % 19}, &fits) == LS_OK && fits);
        if (i == 2 || i == 199) {
            FUZZ_REQUIRE(lsi_pack_finish(pack, &packed) == LS_OK);
            write_input("aggregate", i == 2 ? "three" : "many", packed.data.data, packed.data.size);
        }
    }
    lsi_pack_close(pack);
    lsi_write_u32le(wrapped, LSI_AGGREGATE_MAGIC);
    memcpy(wrapped + 4, message, sizeof message - 1);
    lsi_md5(message, sizeof message - 1, wrapped + 4 + sizeof message - 1);
    write_input("aggregate", "any_order", wrapped, sizeof wrapped);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    directory = argv[1];
    (void)mkdir(directory, 0777);
    texts();
    aggregates();
    places();
    frames();
    segments();
    producers();
    blocks();
    manifests();
    stores();
    states();
    controls();
    return 0;
}
