/* FORMAT.md, byte by byte: each structure is encoded with values that are all different, and the bytes at the offsets
 * that the document states are compared. What the document calls 0 is 0, and each sum covers what it says. A field that
 * moves, changes its size or its byte order fails here by name.
 *
 * The format may change until release 1.0: then the document, this test and the golden stores change together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "engine/local/local.h"
#include "storage/frame.h"
#include "storage/manifest.h"
#include "storage/numbered.h"
#include "storage/segment.h"
#include "support/image.h"

/* One line of a table of FORMAT.md. */
typedef struct field {
    const char *name;
    size_t at, size;
    uint64_t value;
} field;

static uint64_t number_at(const unsigned char *bytes, const field *of)
{
    uint64_t value = 0;

    for (size_t i = 0; i < of->size; i++) /* little-endian, by hand: not with the code under test */
        value |= (uint64_t)bytes[of->at + i] << 8 * i;
    return value;
}

/* Every field has its value, and what no field covers is zero. */
static void check_fields(const unsigned char *bytes, size_t size, const field *fields, size_t count)
{
    unsigned char *covered = image_must(calloc(1, size));

    for (size_t i = 0; i < count; i++) {
        assert_true(fields[i].at + fields[i].size <= size);
        if (fields[i].size <= 8 && number_at(bytes, &fields[i]) != fields[i].value)
            fail_msg("%s at %zu is 0x%llx, not 0x%llx", fields[i].name, fields[i].at,
                     (unsigned long long)number_at(bytes, &fields[i]), (unsigned long long)fields[i].value);
        memset(covered + fields[i].at, 1, fields[i].size);
    }
    for (size_t i = 0; i < size; i++)
        if (!covered[i] && bytes[i] != 0)
            fail_msg("byte %zu is %u, no field covers it", i, bytes[i]);
    free(covered);
}
#define CHECK_FIELDS(bytes, size, fields) check_fields(bytes, size, fields, sizeof(fields) / sizeof *(fields))

static void fill(unsigned char *bytes, size_t size, unsigned first)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(first + i);
}

/* A shard's directory in memory, for what is only written to files. */
typedef struct place {
    lsi_files *files;
    lsi_env env;
    lsi_root root;
    lsi_log_config owner;
} place;

static void place_make(place *to)
{
    memset(to, 0, sizeof *to);
    to->files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(to->files);
    lsi_env_default(&to->env);
    to->env.files = to->files;
    assert_int_equal(to->files->root_open(to->files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &to->root), 0);
    assert_int_equal(to->files->make_dir(&to->root, "d"), 0);
    to->owner = (lsi_log_config){.env = &to->env, .root = &to->root, .stream = UINT64_C(0x1112131415161718),
                                 .shard = 0x21222324, .dir = "d", .label = "test"};
    fill(to->owner.store_id, 16, 0x31);
}

static void place_free(place *of)
{
    of->files->root_close(&of->root);
    lsi_files_memory_free(of->files);
}

static image_file *take_file(place *of, image *into, const char *name)
{
    image_file *file;

    *into = image_take(of->files, "store");
    file = image_find(into, name);
    assert_non_null(file);
    return file;
}

/* ---- segments ---- */

static lsi_segment_header some_header(void)
{
    lsi_segment_header header = {.stream = UINT64_C(0x0102030405060708), .shard = 0x090a0b0c, .number = 0x0d0e0f10,
                                 .base = UINT64_C(0x1112131415161718), .base_seqno = UINT64_C(0x191a1b1c1d1e1f20),
                                 .seqno_limit = UINT64_C(0x2122232425262728), .base_arrival_us = 0x292a2b2c2d2e2f30,
                                 .created_us = 0x3132333435363738, .previous = 0x393a3b3c,
                                 .previous_end = UINT64_C(0x3d3e3f4041424344), .chain = UINT64_C(0x45464748494a4b4c),
                                 .frames_bytes_max = 0x4d4e4f50};

    fill(header.store_id, sizeof header.store_id, 0x60);
    fill(header.salt, sizeof header.salt, 0x80);
    return header;
}

static void segment_header_is_as_written_down(void **state)
{
    lsi_segment_header header = some_header();
    unsigned char bytes[4096];
    unsigned char seed[72];

    (void)state;
    lsi_segment_header_encode(&header, bytes);
    const field fields[] = {
        {"format", 8, 4, 0},
        {"header bytes", 12, 4, 4096},
        {"may ignore", 16, 4, 0},
        {"must refuse", 20, 4, 0},
        {"store id", 24, 16, 0},
        {"stream id", 40, 8, header.stream},
        {"shard index", 48, 4, header.shard},
        {"number", 52, 4, header.number},
        {"base", 56, 8, header.base},
        {"base seqno", 64, 8, header.base_seqno},
        {"seqno limit", 72, 8, header.seqno_limit},
        {"base arrival", 80, 8, (uint64_t)header.base_arrival_us},
        {"creation time", 88, 8, (uint64_t)header.created_us},
        {"salt", 96, 32, 0},
        {"previous number", 128, 4, header.previous},
        {"previous end", 136, 8, header.previous_end},
        {"chain", 144, 8, header.chain},
        {"most bytes of frames", 152, 8, header.frames_bytes_max},
        {"sum", 4088, 8, lsi_sum64(bytes, 4088, 0)},
        {"magic", 0, 8, UINT64_C(0x004745535254534c)}, /* "LSTRSEG" and a zero byte */
    };
    assert_memory_equal(bytes, "LSTRSEG", 8);
    CHECK_FIELDS(bytes, sizeof bytes, fields);
    assert_memory_equal(bytes + 24, header.store_id, 16);
    assert_memory_equal(bytes + 96, header.salt, 32);
    assert_int_equal(header.sum, lsi_sum64(bytes, 4088, 0));

    /* The seed: store id, stream, shard, number, base and salt, in that order. */
    memcpy(seed, bytes + 24, 40);
    memcpy(seed + 40, bytes + 96, 32);
    assert_int_equal(lsi_segment_seed(&header), lsi_sum64(seed, sizeof seed, 0));
}

/* ---- frames ---- */

static void frame_and_records_are_as_written_down(void **state)
{
    const ls_hash_key hash = {UINT64_C(0xf1f2f3f4f5f6f7f8), UINT64_C(0xe1e2e3e4e5e6e7e8)};
    const ls_put_entry entries[2] = {{{"abc", 3}, {"0123456789", 10}, NULL}, {{"k", 1}, {"xy", 2}, &hash}};
    const uint64_t seed = UINT64_C(0x5152535455565758), position = UINT64_C(0x6162636465666768);
    const ls_seqno first = UINT64_C(0x0102030405060708);
    const int64_t arrival = 0x1112131415161718;
    const uint64_t durable = UINT64_C(0x2122232425262728);
    lsi_framer *framer;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    assert_int_equal(lsi_framer_open(&env, &framer), LS_OK);
    assert_int_equal(lsi_framer_draft(framer, entries, NULL, 2, true), LS_OK);
    assert_int_equal(framer->draft_count, 1);
    lsi_framer_place(framer, &framer->drafts[0], seed, position, first, arrival, durable);
    const unsigned char *bytes = framer->buffer + framer->drafts[0].at;
    /* Header; a record of 8 + 3 + 10 and 3 of padding; one of 8 + 1 + 16 + 2 and 5. */
    const size_t one = 48, two = one + 8 + 16, size = two + 8 + 24;
    const field fields[] = {
        {"bytes", 0, 4, size},
        {"records", 4, 4, 2},
        {"first number", 8, 8, first},
        {"arrival", 16, 8, (uint64_t)arrival},
        {"durable end", 24, 8, durable},
        {"sum of the body", 32, 8, lsi_sum64(bytes + 48, size - 48, 0) ^ seed},
        {"kind", 40, 1, 1},
        {"codec", 41, 1, 0},
        {"flags", 42, 2, 0},
        {"sum of the header", 44, 4, lsi_sum64(bytes, 44, seed + position) & UINT32_MAX},
        {"data bytes", one, 4, 10},
        {"key bytes", one + 4, 2, 3},
        {"record flags", one + 6, 2, 0},
        {"key and data", one + 8, 13, 0},
        {"data bytes", two, 4, 2},
        {"key bytes", two + 4, 2, 1},
        {"record flags", two + 6, 2, 1},
        {"key", two + 8, 1, 'k'},
        {"hash key, high", two + 9, 8, hash.high},
        {"hash key, low", two + 17, 8, hash.low},
        {"data", two + 25, 2, 'x' | 'y' << 8},
    };
    assert_int_equal(framer->drafts[0].bytes, size);
    CHECK_FIELDS(bytes, size, fields);
    assert_memory_equal(bytes + one + 8, "abc0123456789", 13);
    lsi_framer_close(framer);
}

/* Numbers with gaps: 300 = 0x12c, in 7 bits 0x2c and 2. */
static void numbers_of_a_frame_are_as_written_down(void **state)
{
    const ls_put_entry entries[3] = {{{"a", 1}, {"1", 1}, NULL}, {{"b", 1}, {"2", 1}, NULL}, {{"c", 1}, {"3", 1}, NULL}};
    const uint64_t seed = 0x5152, position = 0x6162, numbers[3] = {UINT64_C(0x0102030405060708),
                                                                   UINT64_C(0x0102030405060709),
                                                                   UINT64_C(0x0102030405060709) + 300};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    lsi_framer *framer;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    options.producer = (ls_producer_id){UINT64_C(0xf1f2f3f4f5f6f7f8), UINT64_C(0xe1e2e3e4e5e6e7e8)};
    options.numbers = numbers;
    assert_int_equal(lsi_framer_open(&env, &framer), LS_OK);
    assert_int_equal(lsi_framer_draft_numbered(framer, entries, NULL, 3, &options, NULL), LS_OK);
    assert_int_equal(framer->draft_count, 1);
    lsi_framer_place_numbered(framer, &framer->drafts[0], seed, position, 7, 8, 9);
    const unsigned char *bytes = framer->buffer + framer->drafts[0].at;
    const size_t tail = 48 + 3 * 16, size = tail + 8 + 32;
    const field fields[] = {
        {"bytes", 0, 4, size},
        {"records", 4, 4, 3},
        {"first number", 8, 8, 7},
        {"arrival", 16, 8, 8},
        {"durable end", 24, 8, 9},
        {"sum of the body", 32, 8, lsi_sum64(bytes + 48, size - 48, 0) ^ seed},
        {"kind", 40, 1, 1},
        {"flags", 42, 2, 0x200},
        {"sum of the header", 44, 4, lsi_sum64(bytes, 44, seed + position) & UINT32_MAX},
        {"the records", 48, 48, 0},
        {"difference", tail, 1, 1},
        {"difference", tail + 1, 2, 0xac | 2 << 8},
        {"number of the first", size - 32, 8, numbers[0]},
        {"producer, high", size - 24, 8, options.producer.high},
        {"producer, low", size - 16, 8, options.producer.low},
        {"bytes of differences", size - 8, 4, 3},
    };
    assert_int_equal(framer->drafts[0].bytes, size);
    CHECK_FIELDS(bytes, size, fields);
    framer->tail_bytes = 0;
    lsi_framer_close(framer);
}

/* Two records that have three numbers and one, with a gap before the last: 300 = 0x12c once more. */
static void numbers_of_records_that_have_several_are_as_written_down(void **state)
{
    const ls_put_entry entries[2] = {{{"a", 1}, {"1", 1}, NULL}, {{"b", 1}, {"2", 1}, NULL}};
    const uint64_t numbers[4] = {0x1000, 0x1001, 0x1003, 0x1003 + 300};
    const uint32_t users[2] = {3, 1};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    lsi_framer *framer;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    options.producer = (ls_producer_id){0xf1, 0xe1};
    options.numbers = numbers;
    assert_int_equal(lsi_framer_open(&env, &framer), LS_OK);
    assert_int_equal(lsi_framer_draft_numbered(framer, entries, NULL, 2, &options, users), LS_OK);
    lsi_framer_place_numbered(framer, &framer->drafts[0], 1, 2, 7, 8, 9);
    const unsigned char *bytes = framer->buffer + framer->drafts[0].at;
    const size_t tail = 48 + 2 * 16, size = tail + 8 + 8 + 32;
    const field fields[] = {
        {"bytes", 0, 4, size},
        {"records", 4, 4, 2},
        {"first number", 8, 8, 7},
        {"arrival", 16, 8, 8},
        {"durable end", 24, 8, 9},
        {"sum of the body", 32, 8, lsi_sum64(bytes + 48, size - 48, 0) ^ 1},
        {"kind", 40, 1, 1},
        {"flags", 42, 2, 0x200},
        {"sum of the header", 44, 4, lsi_sum64(bytes, 44, 1 + 2) & UINT32_MAX},
        {"the records", 48, 32, 0},
        {"differences", tail, 4, 1 | 2 << 8 | 0xac << 16 | UINT32_C(2) << 24},
        {"counts", tail + 8, 2, 3 | 1 << 8},
        {"number of the first", size - 32, 8, numbers[0]},
        {"producer, high", size - 24, 8, 0xf1},
        {"producer, low", size - 16, 8, 0xe1},
        {"bytes of differences", size - 8, 4, 4},
        {"bytes of counts", size - 4, 4, 2},
    };
    assert_int_equal(framer->drafts[0].bytes, size);
    CHECK_FIELDS(bytes, size, fields);
    framer->tail_bytes = 0;
    lsi_framer_close(framer);
}

static void producers_are_as_written_down(void **state)
{
    enum { RUNS = LS_PRODUCER_BYTES_MAX / 40, LAST = 10002 - 3 * RUNS };
    static const unsigned char differences[] = {1, 0xac, 2, 0, 0, 0, 0, 0, 2, 1};
    const lsi_tail gaps = {.producer = {0xa1, 0xa2}, .first = 0x1000, .last = 0x1000 + 301, .list = differences,
                           .list_bytes = 3, .counts_bytes = 2};
    lsi_remembered *of;
    lsi_env env;
    size_t size;
    void *out;

    (void)state;
    lsi_env_default(&env);
    of = lsi_remembered_new(&env);
    assert_non_null(of);
    for (uint64_t i = 0; i <= RUNS; i++) { /* Each begins a run; the first one goes, and leaves its floor. */
        const lsi_tail one = {.producer = {0xb1, 0xb2}, .first = 10000 - 3 * i, .last = 10002 - 3 * i};

        assert_int_equal(lsi_remember(of, &one, 5, 256 * i + 256, (int64_t)i), LS_OK);
    }
    for (uint64_t i = 0; i < 2; i++) { /* Two gaps: of three numbers before it; of one, with records in between. */
        const lsi_tail one = {.producer = {0xb1, 0xb2}, .first = LAST + 22 + i, .last = LAST + 22 + i};

        assert_int_equal(lsi_remember(of, &one, 5, 256 * RUNS + 259 + 41 * i, 9), LS_OK);
    }
    assert_int_equal(lsi_remember(of, &gaps, 6, 0x2000, 0x3000), LS_OK);
    assert_int_equal(lsi_remembered_encode(of, 0x4000, &out, &size), LS_OK);
    const size_t a = 16, first_run = a + 40, last_run = first_run + (RUNS - 1) * 40, b = last_run + 48, run = b + 40;
    const field fields[] = {
        {"position", 0, 8, 0x4000},
        {"producers", 8, 4, 2},
        {"gaps", 12, 4, 1},
        {"id, high", a, 8, 0xb1},
        {"id, low", a + 8, 8, 0xb2},
        {"floor", a + 16, 8, 10002},
        {"arrival", a + 24, 8, 9},
        {"runs", a + 32, 4, RUNS},
        {"first number", first_run, 8, 9997},
        {"last number", first_run + 8, 8, 9999},
        {"record's number", first_run + 16, 8, 512},
        {"shard", first_run + 24, 4, 5},
        {"the runs between", first_run + 40, (RUNS - 2) * 40, 0},
        {"first number", last_run, 8, LAST - 2},
        {"last number", last_run + 8, 8, LAST + 23},
        {"record's number", last_run + 16, 8, 256 * RUNS + 256},
        {"shard", last_run + 24, 4, 5},
        {"bytes of gaps", last_run + 28, 4, 4},
        {"gaps", last_run + 40, 4, 0x27020155},
        {"id, high", b, 8, 0xa1},
        {"id, low", b + 8, 8, 0xa2},
        {"arrival", b + 24, 8, 0x3000},
        {"runs", b + 32, 4, 1},
        {"first number", run, 8, 0x1000},
        {"last number", run + 8, 8, 0x1000 + 301},
        {"record's number", run + 16, 8, 0x2000},
        {"shard", run + 24, 4, 6},
        {"bytes of differences", run + 28, 4, 3},
        {"bytes of counts", run + 32, 4, 2},
        {"differences", run + 40, 3, 0x02ac01},
        {"counts", run + 43, 2, 0x0102},
    };
    assert_int_equal(size, run + 48);
    CHECK_FIELDS((unsigned char *)out, size, fields);
    lsi_free(&env.memory, out);
    lsi_remembered_free(of);
}

/* ---- checked files and segment lists ---- */

static void checked_file_is_as_written_down(void **state)
{
    const uint64_t salt = UINT64_C(0x0102030405060708), generation = UINT64_C(0x1112131415161718);
    lsi_env env;
    void *out;
    size_t size;

    (void)state;
    lsi_env_default(&env);
    assert_int_equal(lsi_checked_encode(&env, 2, salt, (lsi_checked_head){generation, 0x80000001u}, "some payload",
                                        12, &out, &size),
                     LS_OK);
    const unsigned char *bytes = out;
    const field fields[] = {
        {"magic", 0, 8, UINT64_C(0x314d41455254534c)}, /* "LSTREAM1" */
        {"kind", 8, 4, 2},
        {"format", 12, 2, 0},
        {"header bytes", 14, 2, 64},
        {"may ignore", 16, 4, 0x80000001u},
        {"must refuse", 20, 4, 0},
        {"generation", 24, 8, generation},
        {"payload bytes", 32, 8, 12},
        {"sum of the payload", 40, 8, lsi_sum64("some payload", 12, salt)},
        {"sum of the header", 56, 8, lsi_sum64(bytes, 56, salt)},
        {"payload", 64, 12, 0},
    };
    assert_int_equal(size, 76);
    assert_memory_equal(bytes, "LSTREAM1", 8);
    CHECK_FIELDS(bytes, size, fields);
    assert_memory_equal(bytes + 64, "some payload", 12);
    lsi_free(&env.memory, out);
}

static void segment_list_is_as_written_down(void **state)
{
    lsi_segment_entry entries[2] = {
        {1, LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN, 0, 0x1000, 0x11, 0x2122, 0x31323334, UINT64_C(0x4142434445464748),
         UINT64_C(0x1c2c3c4c5)},
        {3, 0, 0x1000, 0, 0x51, 0x6162, 0x71727374, UINT64_C(0x8182838485868788), 0}};
    lsi_skip skip = {0x100, 0x208, 0x91, 0xa1};
    unsigned char owner[28];
    lsi_segment_list list = {.head = {7, 3}, .count = 2, .skip_count = 1, .trimmed = 0x10, .entries = entries,
                             .skips = &skip};
    lsi_segment_list *read;
    image_file *file;
    image of;
    place at;

    (void)state;
    place_make(&at);
    list.env = &at.env;
    assert_int_equal(lsi_segment_list_store(&at.owner, &list), LS_OK);
    file = take_file(&at, &of, "d/segments");
    memcpy(owner, at.owner.store_id, 16); /* the salt: store id, stream, shard */
    memcpy(owner + 16, "\x18\x17\x16\x15\x14\x13\x12\x11\x24\x23\x22\x21", 12);
    assert_int_equal(number_at(file->bytes, &(field){"sum", 56, 8, 0}),
                     lsi_sum64(file->bytes, 56, lsi_sum64(owner, 28, 0)));
    const field fields[] = {
        {"segments", 0, 4, 2},
        {"skips", 4, 4, 1},
        {"trimmed", 8, 8, 0x10},
        {"number", 16, 4, 1},
        {"flags", 20, 4, 3},
        {"base", 24, 8, 0},
        {"end", 32, 8, 0x1000},
        {"base seqno", 40, 8, 0x11},
        {"seqno limit", 48, 8, 0x2122},
        {"base arrival", 56, 8, 0x31323334},
        {"sum of the header", 64, 8, UINT64_C(0x4142434445464748)},
        {"bytes of the file", 72, 8, UINT64_C(0x1c2c3c4c5)},
        {"number", 80, 4, 3},
        {"flags", 84, 4, 0},
        {"base", 88, 8, 0x1000},
        {"end", 96, 8, 0},
        {"base seqno", 104, 8, 0x51},
        {"seqno limit", 112, 8, 0x6162},
        {"base arrival", 120, 8, 0x71727374},
        {"sum of the header", 128, 8, UINT64_C(0x8182838485868788)},
        {"skip from", 144, 8, 0x100},
        {"skip to", 152, 8, 0x208},
        {"first lost", 160, 8, 0x91},
        {"last lost", 168, 8, 0xa1},
    };
    assert_int_equal(file->size, 64 + 176);
    CHECK_FIELDS(file->bytes + 64, 176, fields);
    assert_int_equal(lsi_segment_list_load(&at.owner, &read), LS_OK);
    assert_int_equal(read->trimmed, 0x10);
    assert_int_equal(read->entries[0].file_bytes, UINT64_C(0x1c2c3c4c5));
    lsi_segment_list_unref(read);
    image_free(&of);

    /* Trimmed up to a number that the first segment holds, and a file of more bytes than any has. */
    list.trimmed = 0x12;
    assert_int_equal(lsi_segment_list_store(&at.owner, &list), LS_OK);
    assert_int_equal(lsi_segment_list_load(&at.owner, &read), LS_ERR_CORRUPT);
    list.trimmed = 0x11;
    entries[0].file_bytes = UINT64_C(1) << 33;
    assert_int_equal(lsi_segment_list_store(&at.owner, &list), LS_OK);
    assert_int_equal(lsi_segment_list_load(&at.owner, &read), LS_ERR_CORRUPT);
    place_free(&at);
}

/* ---- the index ---- */

static void index_entry_is_as_written_down(void **state)
{
    lsi_segment segment;
    lsi_index_entry entry = {3 * 65536 + 0x18, 0x2122232425262728, 0x3132333435363738};
    image_file *file;
    image of;
    place at;

    (void)state;
    place_make(&at);
    memset(&segment, 0, sizeof segment);
    segment.env = &at.env;
    segment.header.number = 1;
    segment.header.base = 65536 + 8;
    segment.seed = UINT64_C(0x4142434445464748);
    lsi_index_note(&at.owner, &segment, &entry);
    assert_int_equal(at.files->close(&segment.index), 0);
    file = take_file(&at, &of, "d/00000001.idx");
    const field fields[] = { /* of block 2: (position - base) / 65536 */
        {"position", 64, 8, entry.position},
        {"first number", 72, 8, entry.first_seqno},
        {"arrival", 80, 8, (uint64_t)entry.arrival_us},
        {"sum", 88, 8, lsi_sum64(file->bytes + 64, 24, segment.seed)},
    };
    assert_int_equal(file->size, 96);
    CHECK_FIELDS(file->bytes, file->size, fields);
    image_free(&of);
    place_free(&at);
}

/* ---- the manifest ---- */

static void manifest_is_as_written_down(void **state)
{
    lsi_catalog *catalog = lsi_catalog_new(&lsi_memory_libc);
    lsi_shard shard = {.index = 9, .parent = 7, .adjacent_parent = 8, .closed = true,
                       .range = {{UINT64_C(0x0102030405060708), UINT64_C(0x1112131415161718)},
                                 {UINT64_C(0x2122232425262728), UINT64_C(0x3132333435363738)}},
                       .first_seqno = UINT64_C(0x4142434445464748), .created_us = 0x5152535455565758,
                       .closed_us = 0x6162636465666768, .last_seqno = UINT64_C(0x4142434445464749),
                       .end = UINT64_C(0x9192939495969798)};
    char tags[12] = "a\0" "12345\0" "bc\0";
    lsi_consumer consumers[2] = {{.id = UINT64_C(0x0a0b0c0d0e0f1011), .created_us = 0x060708090a0b0c0d,
                                  .status = LS_CONSUMER_CREATING, .status_until_us = 0x0708090a0b0c0d0e, .name = "abc"},
                                 {.id = 7, .status = LS_CONSUMER_ACTIVE, .name = "d"}};
    lsi_catalog_stream stream = {.name = "a.name-of_15-by", .id = 0x71727374, .created_us = 0x0807060504030201,
                                 .flags = 0x4321, .retention_hours = 0x1234, .retention_bytes = UINT64_C(0x1121314151),
                                 .horizon_us = 0x0203040506070809, .mode = LS_STREAM_PROVISIONED,
                                 .mode_changed_us = {0x030405060708090a, 0x0405060708090a0b},
                                 .record_bytes_max = 0x56789a,
                                 .rates = {0x11223344, 0x22334455, 0x33445566, 0x44556677},
                                 .status = LS_STREAM_UPDATING,
                                 .status_until_us = 0x05060708090a0b0c, .tags = {2, 12, tags}, .consumer_count = 2,
                                 .consumers = consumers, .shard_count = 1, .shards = &shard,
                                 .auto_scaling = {0x2345, 0x12345, 0x1234, 0x23456, 0x3456, 0x4567}};
    lsi_catalog *read;
    void *out;
    size_t size;

    (void)state;
    assert_non_null(catalog);
    fill(catalog->store_id, 16, 0xa0);
    catalog->durability = LS_DURABILITY_INTERVAL;
    catalog->sync_interval_ms = 0x4567;
    catalog->segment_bytes = 0x123000;
    catalog->next_id = UINT64_C(0x8182838485868788);
    catalog->consumer_id = UINT64_C(0x1a1b1c1d1e1f2021);
    catalog->streams = &stream;
    catalog->stream_count = 1;
    assert_int_equal(lsi_catalog_encode(catalog, &out, &size), LS_OK);
    catalog->streams = NULL;
    catalog->stream_count = 0;
    lsi_catalog_unref(catalog);
    const size_t s = 64, t = s + 120 + 16, c = t + 16, a = c + 8 + 40 + 40, k = a + 24;
    const field fields[] = {
        {"settings bytes", 0, 4, 64},
        {"durability", 4, 4, 2},
        {"store id", 8, 16, 0},
        {"segment bytes", 24, 8, 0x123000},
        {"next id", 32, 8, UINT64_C(0x8182838485868788)},
        {"sync interval", 40, 4, 0x4567},
        {"streams", 44, 4, 1},
        {"last consumer id", 48, 8, UINT64_C(0x1a1b1c1d1e1f2021)},
        {"stream bytes", s, 4, 120},
        {"shard bytes", s + 4, 4, 88},
        {"id", s + 8, 8, 0x71727374},
        {"creation time", s + 16, 8, 0x0807060504030201},
        {"retention", s + 24, 4, 0x1234},
        {"mode", s + 28, 4, 1},
        {"most bytes of a record", s + 32, 4, 0x56789a},
        {"shards", s + 36, 4, 1},
        {"name bytes", s + 40, 4, 15},
        {"flags", s + 44, 4, 0x34321},
        {"most bytes", s + 48, 8, UINT64_C(0x1121314151)},
        {"horizon", s + 56, 8, 0x0203040506070809},
        {"mode changed", s + 64, 8, 0x030405060708090a},
        {"mode changed before", s + 72, 8, 0x0405060708090a0b},
        {"status until", s + 80, 8, 0x05060708090a0b0c},
        {"status", s + 88, 4, 3},
        {"tags", s + 92, 4, 2},
        {"bytes of tags", s + 96, 4, 16},
        {"bytes in", s + 104, 4, 0x11223344},
        {"records in", s + 108, 4, 0x22334455},
        {"bytes out", s + 112, 4, 0x33445566},
        {"reads", s + 116, 4, 0x44556677},
        {"name", s + 120, 15, 0},
        {"key bytes", t, 2, 1},
        {"value bytes", t + 2, 2, 5},
        {"key and value", t + 4, 6, UINT64_C(0x353433323161)}, /* "a12345" */
        {"key bytes", t + 10, 2, 2},
        {"value bytes", t + 12, 2, 0},
        {"key", t + 14, 2, 'b' | 'c' << 8},
        {"consumers", c, 4, 2},
        {"bytes of consumers", c + 4, 4, 80},
        {"consumer's id", c + 8, 8, UINT64_C(0x0a0b0c0d0e0f1011)},
        {"registered", c + 16, 8, 0x060708090a0b0c0d},
        {"status until", c + 24, 8, 0x0708090a0b0c0d0e},
        {"status", c + 32, 4, 2},
        {"name bytes", c + 36, 4, 3},
        {"name", c + 40, 3, 'a' | 'b' << 8 | 'c' << 16},
        {"second consumer's id", c + 48, 8, 7},
        {"status", c + 72, 4, 1},
        {"name bytes", c + 76, 4, 1},
        {"name", c + 80, 1, 'd'},
        {"hot percent", a, 4, 0x2345},
        {"hot seconds", a + 4, 4, 0x12345},
        {"cold percent", a + 8, 4, 0x1234},
        {"cold seconds", a + 12, 4, 0x23456},
        {"fewest shards", a + 16, 4, 0x3456},
        {"most shards", a + 20, 4, 0x4567},
        {"index", k, 4, 9},
        {"parent", k + 4, 4, 7},
        {"adjacent parent", k + 8, 4, 8},
        {"flags", k + 12, 4, 1},
        {"first key, high", k + 16, 8, UINT64_C(0x0102030405060708)},
        {"first key, low", k + 24, 8, UINT64_C(0x1112131415161718)},
        {"last key, high", k + 32, 8, UINT64_C(0x2122232425262728)},
        {"last key, low", k + 40, 8, UINT64_C(0x3132333435363738)},
        {"first seqno", k + 48, 8, UINT64_C(0x4142434445464748)},
        {"creation time", k + 56, 8, 0x5152535455565758},
        {"closing time", k + 64, 8, 0x6162636465666768},
        {"last seqno", k + 72, 8, UINT64_C(0x4142434445464749)},
        {"end", k + 80, 8, UINT64_C(0x9192939495969798)},
    };
    assert_int_equal(size, k + 88);
    CHECK_FIELDS(out, size, fields);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(((unsigned char *)out)[8 + i], 0xa0 + i);
    assert_memory_equal((unsigned char *)out + s + 120, "a.name-of_15-by", 15);

    /* What this release does not know: the one half of the flags is kept, the other refused (P11). */
    unsigned char *bytes = out;
    assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_OK);
    assert_int_equal(read->streams[0].flags, 0x4321);
    assert_int_equal(read->streams[0].tags.bytes, 12);
    assert_memory_equal(read->streams[0].tags.text, tags, 12);
    lsi_catalog_unref(read);
    bytes[s + 46] |= 4;
    assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_ERR_VERSION);
    bytes[s + 46] &= 3;
    /* What no consumer has: no id, one that another has, one that was never given, a status, an order, bytes behind.
     * And scaling with figures that are out of their ranges. */
    const struct {
        size_t at;
        unsigned char value;
    } bad[] = {{c + 48, 0}, {55, 0}, {c + 32, 3}, {c + 72, 0}, {c + 40, 'x'}, {c + 43, 1}, {c + 76, 0}, {c, 3}, {c, 0},
               {c + 4, 88}, {a + 1, 0x11}, {a + 2, 1}, {a + 6, 0xff}, {a + 9, 0x24}, {a + 14, 0xff}, {a + 17, 0x46},
               {a + 22, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned char before = bytes[bad[i].at];

        bytes[bad[i].at] = bad[i].value;
        assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_ERR_CORRUPT);
        bytes[bad[i].at] = before;
    }
    memcpy(bytes + c + 8, bytes + c + 48, 8);
    assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_ERR_CORRUPT);
    bytes[c + 8]++;
    bytes[t + 4] = 'c'; /* the keys are out of order */
    assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_ERR_CORRUPT);
    bytes[t + 4] = 'a';
    bytes[s + 88] = 5;
    assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, out, size, &read), LS_ERR_CORRUPT);
    lsi_free(&lsi_memory_libc, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_header_is_as_written_down),
        cmocka_unit_test(frame_and_records_are_as_written_down),
        cmocka_unit_test(numbers_of_a_frame_are_as_written_down),
        cmocka_unit_test(numbers_of_records_that_have_several_are_as_written_down),
        cmocka_unit_test(producers_are_as_written_down),
        cmocka_unit_test(checked_file_is_as_written_down),
        cmocka_unit_test(segment_list_is_as_written_down),
        cmocka_unit_test(index_entry_is_as_written_down),
        cmocka_unit_test(manifest_is_as_written_down),
    };

    return cmocka_run_group_tests_name("the format, byte by byte", tests, NULL, NULL);
}
