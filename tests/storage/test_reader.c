/* Reading a log: whatever the limits of a call and the size of a page, the same records, and views that stay good until
 * the next call. On files in memory. */
#include "storage/log_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash_wide.h"
#include "base/status.h"
#include "storage/reader.h"

#define RECORDS_MAX 4000u
#define DATA_BYTES_MAX 70000u

typedef struct expected {
    ls_seqno seqno;
    int64_t arrival_us;
    uint32_t size;
    ls_hash_key hash;
    bool is_hashed;
} expected;

typedef struct fixture {
    lsi_files *files;
    log_store store;
    expected put[RECORDS_MAX];
    unsigned count;
    lsi_read_way way;
    bool is_mapped; /* what is read must be */
    uint64_t random;
    unsigned char data[DATA_BYTES_MAX + RECORDS_MAX];
} fixture;

static fixture the_fixture;

static uint32_t chance(fixture *fx, uint32_t below)
{
    fx->random = fx->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(fx->random >> 33) % below;
}

static ls_bytes key_of(char *buffer, size_t size, unsigned n)
{
    return (ls_bytes){buffer, (size_t)snprintf(buffer, size, "%u%.*s", n, (int)(n / 7 % 9), "key-keys-")};
}

/* Sizes come in runs, as programs write them, and change within a frame. */
static uint32_t size_of(fixture *fx, uint32_t before)
{
    switch (chance(fx, 6)) {
    case 0: return 0;
    case 1: return chance(fx, 300);
    case 2: return chance(fx, 15) == 0 ? chance(fx, DATA_BYTES_MAX) : 8;
    default: return before;
    }
}

/* One frame of `count` records. */
static void put_frame(fixture *fx, uint32_t count)
{
    static ls_put_entry entries[64];
    static char keys[64][32];
    uint32_t accepted, size = 100;
    ls_seqno first;
    uint64_t end;
    bool closed;

    for (uint32_t i = 0; i < count; i++) {
        expected *of = &fx->put[fx->count + i];
        size = size_of(fx, size);
        *of = (expected){.size = size, .is_hashed = chance(fx, 8) == 0, .hash = {fx->count + i, ~(uint64_t)i}};
        entries[i] = (ls_put_entry){key_of(keys[i], sizeof keys[i], fx->count + i), {fx->data + fx->count + i, size},
                                    of->is_hashed ? &of->hash : NULL};
    }
    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, entries, NULL, count, false, &accepted, &first,
                                    &end, &closed), LS_OK);
    assert_int_equal(accepted, count);
    assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
    for (uint32_t i = 0; i < count; i++) {
        fx->put[fx->count + i].seqno = first + i;
        fx->put[fx->count + i].arrival_us = fx->store.wall_us;
    }
    fx->count += count;
    fx->store.wall_us += 1 + chance(fx, 3);
}

/* Frames of one record and of many, over several segments. */
static int setup(void **state)
{
    fixture *fx = &the_fixture;

    memset(fx, 0, sizeof *fx);
    fx->files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(fx->files);
    log_store_open(&fx->store, fx->files, true, LS_DURABILITY_SYNC, 4 * LSI_SEGMENT_BYTES_MIN);
    for (size_t i = 0; i < sizeof fx->data; i++)
        fx->data[i] = (unsigned char)(i * i >> 5);
    while (fx->count + 64 <= RECORDS_MAX)
        put_frame(fx, chance(fx, 3) == 0 ? 1 + chance(fx, 64) : 1);
    assert_in_range(atomic_load(&lsi_log_slot(fx->store.log)->segment), 10, 200);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    lsi_files_memory_free(fx->files);
    return 0;
}

static void check_record(const fixture *fx, const ls_record *record, unsigned n)
{
    const expected *of = &fx->put[n];
    char buffer[32];
    ls_bytes key = key_of(buffer, sizeof buffer, n);

    assert_int_equal(record->seqno, of->seqno);
    assert_int_equal(record->arrival_us, of->arrival_us);
    assert_int_equal(record->shard, fx->store.config.shard);
    assert_int_equal(record->flags, of->is_hashed ? LS_RECORD_EXPLICIT_HASH_KEY : 0);
    assert_true(record->explicit_hash_key.high == (of->is_hashed ? of->hash.high : 0));
    assert_true(record->explicit_hash_key.low == (of->is_hashed ? of->hash.low : 0));
    assert_int_equal(record->sub_seqno, 0);
    assert_int_equal(record->sub_count, 0);
    assert_int_equal(record->partition_key.size, key.size);
    assert_memory_equal(record->partition_key.data, key.data, key.size);
    assert_int_equal(record->data.size, of->size);
    assert_memory_equal(record->data.data, fx->data + n, of->size);
}

static uint64_t bytes_of(const fixture *fx, unsigned n)
{
    char buffer[32];

    return key_of(buffer, sizeof buffer, n).size + fx->put[n].size;
}

/* The ways to give whole frames that this processor has. */
static size_t ways(lsi_give_function *out[2])
{
    size_t count = 0;

    out[count++] = lsi_give_frames_plain;
#ifdef LSI_HASH_WIDE
    if (lsi_sum64_has_avx2())
        out[count++] = lsi_give_frames_avx2;
#endif
    return count;
}

/* Reads to the tip from record `from` on. Every record of a batch is looked at after all of it was made, and a batch
 * ends only where a limit, or the tip, says so. */
static void read_all(fixture *fx, lsi_give_function *give, size_t page_bytes, uint32_t records_max, uint64_t bytes_max,
                     unsigned from)
{
    const ls_position place = {LS_AT_SEQUENCE_NUMBER, 0, fx->put[from].seqno, 0};
    lsi_log_reader *reader;
    bool tip = false, end;
    unsigned n = from;

    assert_int_equal(lsi_log_reader_open(fx->store.log, fx->way, &reader), LS_OK);
    if (give != NULL)
        reader->give_frames = give;
    if (page_bytes != 0)
        reader->page_bytes = reader->page_bytes_max = page_bytes;
    assert_int_equal(lsi_log_reader_seek(reader, &place), LS_OK);
    while (!tip) {
        const ls_record *records;
        uint32_t count;
        uint64_t bytes = 0;

        assert_int_equal(lsi_log_reader_read(reader, records_max, bytes_max, &records, &count, &tip, &end), LS_OK);
        assert_in_range(count, 1, records_max);
        assert_true((reader->pages[reader->page].mapped != NULL) == fx->is_mapped);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(n < fx->count);
            bytes += bytes_of(fx, n);
            check_record(fx, &records[i], n++);
        }
        assert_true(count == 1 || bytes <= bytes_max);
        assert_int_equal(tip, n == fx->count);
        if (!tip && count < records_max)
            assert_true(bytes + bytes_of(fx, n) > bytes_max);
    }
    assert_int_equal(n, fx->count);
    lsi_log_reader_close(reader);
}

/* Goal: pages and limits are nothing that a reader sees. Method: pages smaller than a header and a record, smaller and
 * larger than frames and segments; calls of one record, of a few, of several pages, and of everything. */
static void pages_and_limits_change_no_record(void **state)
{
    const size_t pages[] = {1, 47, 49, 200, 4096, 100000, 0};
    const uint32_t records[] = {1, 2, 63, 1000, UINT32_MAX};
    const uint64_t bytes[] = {1, 500, 20000, 300000, UINT64_MAX};
    fixture *fx = *state;
    lsi_give_function *give[2];

    for (size_t w = ways(give); w-- > 0;)
        for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
            for (size_t k = 0; k < sizeof records / sizeof *records; k++)
                for (size_t m = 0; m < sizeof bytes / sizeof *bytes; m++)
                    read_all(fx, give[w], pages[i], records[k], bytes[m], 0);
}

/* A place may be any record of a frame: reading begins with it. */
static void every_record_can_be_the_first(void **state)
{
    fixture *fx = *state;

    for (unsigned n = 0; n < fx->count; n += 1 + n / 16)
        read_all(fx, NULL, n % 2 == 0 ? 0 : 512, n % 3 == 0 ? UINT32_MAX : 100, 100000, n);
    read_all(fx, NULL, 0, UINT32_MAX, UINT64_MAX, fx->count - 1);
}

/* A small batch shows the end of a page, what is left of a segment, and the beginning of another page: so many there
 * are, and none is larger than asked for unless a frame is. */
static void small_batches_take_three_pages_at_most(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    size_t most = LSI_PAGE_BYTES_SPARING;
    bool tip = false, end;

    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_SPARING, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 10, 5000, &records, &count, &tip, &end), LS_OK);
        most = reader->frame.bytes > most ? reader->frame.bytes : most;
    }
    assert_in_range(reader->page_count, 1, 3);
    for (uint32_t i = 0; i < reader->page_count; i++)
        assert_in_range(reader->pages[i].capacity, LSI_PAGE_BYTES_FIRST, most);
    lsi_log_reader_close(reader);
}

/* ---- mapped ---- */

/* Goal: whose views are of the files sees the same, whatever the limits. */
static void mapped_files_show_the_same_records(void **state)
{
    const uint32_t records[] = {1, 63, 1000, UINT32_MAX};
    const uint64_t bytes[] = {1, 20000, UINT64_MAX};
    fixture *fx = *state;
    lsi_give_function *give[2];

    fx->way = LSI_READ_MAPPED;
    fx->is_mapped = true;
    for (size_t w = ways(give); w-- > 0;)
        for (size_t k = 0; k < sizeof records / sizeof *records; k++)
            for (size_t m = 0; m < sizeof bytes / sizeof *bytes; m++)
                read_all(fx, give[w], 0, records[k], bytes[m], 0);
    for (unsigned n = 0; n < fx->count; n += 1 + n / 16)
        read_all(fx, NULL, 0, 100, 100000, n);
}

static int refuse_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    (void)file;
    (void)at;
    (void)size;
    (void)writable;
    (void)out;
    return -ENOMEM;
}

static unsigned maps_left;
static int (*map_before)(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out);

static int map_some(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    if (maps_left == 0)
        return -ENOMEM;
    maps_left--;
    return map_before(file, at, size, writable, out);
}

/* Goal: what cannot be mapped, never or no longer, is read. */
static void what_cannot_be_mapped_is_read(void **state)
{
    fixture *fx = *state;
    uint32_t seen = 0, mapped = 0;
    bool tip = false, end;
    const ls_record *records;
    lsi_log_reader *reader;
    uint32_t count;

    map_before = fx->files->map;
    fx->files->map = refuse_map;
    fx->way = LSI_READ_MAPPED;
    fx->is_mapped = false;
    read_all(fx, NULL, 0, UINT32_MAX, UINT64_MAX, 0);
    read_all(fx, NULL, 0, 10, 5000, 0);

    fx->files->map = map_some;
    maps_left = 3;
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_MAPPED, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 50, UINT64_MAX, &records, &count, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < count; i++)
            check_record(fx, &records[i], seen++);
        mapped += reader->pages[reader->page].mapped != NULL;
    }
    assert_int_equal(seen, fx->count);
    assert_int_equal(maps_left, 0);
    assert_true(mapped > 0);
    assert_null(reader->pages[reader->page].mapped);
    lsi_log_reader_close(reader);
    fx->files->map = map_before;
}

/* Goal: who stands at the tip maps nothing anew for what is put then; and what a file lost is damage, not touched. */
static void a_mapped_tail_grows_and_what_a_file_lost_is_damage(void **state)
{
    fixture *fx = *state;
    const ls_position latest = {.kind = LS_LATEST};
    const ls_record *records;
    lsi_log_reader *reader;
    uint32_t count;
    bool tip, end;

    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_MAPPED, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_seek(reader, &latest), LS_OK);
    fx->count = 0; /* what is checked begins here */
    put_frame(fx, 1);
    assert_int_equal(lsi_log_reader_read(reader, 100, UINT64_MAX, &records, &count, &tip, &end), LS_OK);
    assert_int_equal(count, 1);
    map_before = fx->files->map;
    fx->files->map = refuse_map;
    for (unsigned n = 1; n < 50; n++) {
        put_frame(fx, 1);
        if (reader->segment->header.number != atomic_load(&lsi_log_slot(fx->store.log)->segment))
            break;
        assert_int_equal(lsi_log_reader_read(reader, 100, UINT64_MAX, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, 1);
        assert_non_null(reader->pages[reader->page].mapped);
        check_record(fx, &records[0], n);
    }
    fx->files->map = map_before;

    lsi_log_reader_close(reader);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_MAPPED, &reader), LS_OK);
    lsi_file file;
    assert_int_equal(fx->files->open(&fx->store.root, "1/0/00000002.seg", LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, LSI_SEGMENT_HEADER_BYTES + 10), 0);
    fx->files->close(&file);
    ls_status st;
    do
        st = lsi_log_reader_read(reader, 100, UINT64_MAX, &records, &count, &tip, &end);
    while (st == LS_OK && !tip);
    assert_int_equal(st, LS_ERR_CORRUPT);
    lsi_log_reader_close(reader);
}

/* ---- frames that break a rule ---- */

enum { FIRST_RECORD = LSI_FRAME_HEADER_BYTES, SECOND_RECORD = FIRST_RECORD + 8 + 104 };

/* A change of one field of a frame, which gets new sums: only the rule is broken. */
typedef struct violation {
    const char *what;
    uint32_t at;
    uint32_t size;
    uint64_t value;  /* is added to the field; TO_LIMIT: it becomes the segment's last number */
    uint32_t records; /* of the frame, when it must be so many; 0: of one and of two */
    ls_status wanted;
    enum { NONE, ALL_BUT_ONE, ALL } given; /* of its records: those before what is wrong, since its sums are right */
} violation;
#define TO_LIMIT UINT64_MAX

static const violation violations[] = {
    {"a length that is no multiple of 8", 0, 4, 4, 0, LS_ERR_CORRUPT},
    {"a length without a header", 0, 4, (uint64_t)40 - SECOND_RECORD, 1, LS_ERR_CORRUPT},
    {"a length without a record", 0, 4, (uint64_t)48 - SECOND_RECORD, 1, LS_ERR_CORRUPT},
    {"a length below its records'", 0, 4, (uint64_t)-8, 0, LS_ERR_CORRUPT, ALL_BUT_ONE},
    {"a length beyond the end", 0, 4, 1 << 20, 0, LS_ERR_CORRUPT},
    {"a length beyond every frame's", 0, 4, 1 << 25, 0, LS_ERR_CORRUPT},
    {"no record", 4, 4, (uint64_t)-1, 1, LS_ERR_CORRUPT},
    {"more records than bytes", 4, 4, 1000, 0, LS_ERR_CORRUPT},
    {"more records than there are", 4, 4, 1, 0, LS_ERR_CORRUPT, ALL},
    {"a number below the segment's", 8, 8, (uint64_t)-3, 1, LS_ERR_CORRUPT},
    {"a number above the segment's", 8, 8, UINT64_C(1) << 62, 0, LS_ERR_CORRUPT},
    {"a last number above the segment's", 8, 8, TO_LIMIT, 2, LS_ERR_CORRUPT},
    {"a durable end behind it", 24, 8, UINT64_C(1) << 40, 0, LS_ERR_CORRUPT},
    {"a kind of a later release", 40, 1, 2, 0, LS_ERR_VERSION},
    {"a codec of a later release", 41, 1, 200, 0, LS_ERR_VERSION},
    {"a flag that must be refused", 42, 2, 0x8000, 0, LS_ERR_VERSION},
    {"data beyond the frame", FIRST_RECORD, 4, 8, 1, LS_ERR_CORRUPT},
    {"data beyond everything", FIRST_RECORD, 4, UINT32_MAX - 200, 0, LS_ERR_CORRUPT},
    {"a key beyond the frame", FIRST_RECORD + 4, 2, 0xff00, 0, LS_ERR_CORRUPT},
    {"a hash key beyond the frame", FIRST_RECORD + 6, 2, 1, 1, LS_ERR_CORRUPT},
    {"a flag of a later release", FIRST_RECORD + 6, 2, 2, 0, LS_ERR_CORRUPT},
    {"data of a second record beyond the frame", SECOND_RECORD, 4, 8, 2, LS_ERR_CORRUPT, ALL_BUT_ONE},
    {"a second record with a flag of a later release", SECOND_RECORD + 6, 2, 2, 2, LS_ERR_CORRUPT, ALL_BUT_ONE},
};

/* A log of its own, with the same segment's bytes at hand. */
typedef struct one_segment {
    lsi_files *files;
    log_store store;
    lsi_segment *segment;
    unsigned char bytes[4096];
} one_segment;

static void one_segment_begin(one_segment *of, uint64_t segment_bytes)
{
    memset(of, 0, sizeof *of);
    of->files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(of->files);
    log_store_open(&of->store, of->files, true, LS_DURABILITY_SYNC, segment_bytes);
    assert_int_equal(lsi_segment_open(&of->store.config, 1, true, &of->segment), LS_OK);
}

static void one_segment_end(one_segment *of)
{
    lsi_segment_unref(of->segment);
    assert_int_equal(log_store_close(&of->store), LS_OK);
    lsi_files_memory_free(of->files);
}

static uint64_t end_of(const one_segment *of)
{
    return atomic_load(&lsi_log_slot(of->store.log)->committed_end);
}

/* Puts `count` records of 99 bytes, 104 with their keys, in one frame. */
static void put_equal(one_segment *of, uint32_t count)
{
    static const char data[99] = "data";
    const ls_put_entry entry = {{"key-N", 5}, {data, sizeof data}, NULL}, entries[2] = {entry, entry};
    uint32_t accepted;
    ls_seqno first;
    uint64_t end;
    bool closed;

    assert_int_equal(lsi_log_append(of->store.log, of->store.framer, entries, NULL, count, false, &accepted, &first,
                                    &end, &closed), LS_OK);
    assert_int_equal(accepted, count);
    assert_int_equal(lsi_log_commit(of->store.log, end), LS_OK);
}

/* Changes the frame at `position`, and makes its sums right for whatever length it says, where that is possible. */
static void break_rule(one_segment *of, uint64_t position, const violation *broken)
{
    const uint64_t seed = of->segment->seed;
    unsigned char *at = of->bytes;
    uint64_t field = 0;

    assert_in_range(of->files->read(&of->segment->file, at, sizeof of->bytes, position + LSI_SEGMENT_HEADER_BYTES),
                    500, sizeof of->bytes);
    memcpy(&field, at + broken->at, broken->size);
    field = broken->value == TO_LIMIT ? of->segment->header.seqno_limit - 1 : field + broken->value;
    memcpy(at + broken->at, &field, broken->size);
    uint32_t bytes = lsi_read_u32le(at);
    if (bytes >= LSI_FRAME_HEADER_BYTES && bytes <= 400)
        lsi_write_u64le(at + 32, lsi_sum64(at + 48, bytes - 48, 0) ^ seed);
    lsi_write_u32le(at + 44, (uint32_t)lsi_sum64(at, 44, seed + position));
    assert_int_equal(lsi_file_write_one(&of->segment->file, at, 400, position + LSI_SEGMENT_HEADER_BYTES), 0);
}

/* Reads all, once in each way: `count` records, then `wanted` again and again. */
static void assert_given(one_segment *of, const char *what, uint32_t count, ls_status wanted)
{
    lsi_give_function *give[2];

    for (size_t w = ways(give); w-- > 0;) {
        lsi_log_reader *reader;
        const ls_record *records;
        uint32_t given;
        bool tip, end;

        assert_int_equal(lsi_log_reader_open(of->store.log, LSI_READ_FAST, &reader), LS_OK);
        reader->give_frames = give[w];
        reader->page_bytes = reader->page_bytes_max = 64 << 20; /* All of it is there. */
        assert_int_equal(lsi_log_reader_read(reader, 100, UINT64_MAX, &records, &given, &tip, &end), LS_OK);
        if (given != count)
            fail_msg("%s: %u records were given", what, given);
        for (int again = 0; again < 2; again++)
            if (lsi_log_reader_read(reader, 100, UINT64_MAX, &records, &given, &tip, &end) != wanted)
                fail_msg("%s: %s", what, ls_last_error_message());
        lsi_log_reader_close(reader);
    }
}

/* Goal: no way to give a frame forgets a rule of FORMAT.md, though its sums are right. Method: four frames, of which
 * the third, with one record or two, has one field changed and its sums made anew: the first is given by the general
 * way, the second by the one for whole frames, which then knows the sizes of the third. */
static void a_frame_that_breaks_a_rule_is_not_given(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof violations / sizeof *violations; v++)
        for (uint32_t records = 1; records <= 2; records++) {
            static one_segment of;
            uint64_t position;

            if (violations[v].records != 0 && violations[v].records != records)
                continue;
            one_segment_begin(&of, LSI_SEGMENT_BYTES_MIN);
            put_equal(&of, 1);
            put_equal(&of, records);
            position = end_of(&of);
            put_equal(&of, records);
            put_equal(&of, 1);
            assert_given(&of, "nothing", 2 + 2 * records, LS_OK);
            break_rule(&of, position, &violations[v]);
            uint32_t whole = violations[v].given == ALL           ? records
                             : violations[v].given == ALL_BUT_ONE ? records - 1
                                                                  : 0;
            assert_given(&of, violations[v].what, 1 + records + whole, violations[v].wanted);
            one_segment_end(&of);
        }
}

/* The same for a length above every frame's, where as many bytes are there and their sum is right. */
static void a_frame_larger_than_any_is_not_given(void **state)
{
    static one_segment of;
    const uint32_t bytes = LSI_FRAME_BYTES_MAX + 8;
    ls_seqno seqno;

    (void)state;
    one_segment_begin(&of, 64 << 20);
    put_equal(&of, 1);
    put_equal(&of, 1);
    uint64_t position = end_of(&of), at = position + LSI_SEGMENT_HEADER_BYTES;
    for (unsigned n = 0; n < 2; n++)
        assert_int_equal(log_store_put(&of.store, n, 9 << 20, &seqno), LS_OK);
    unsigned char *frame = malloc(bytes);
    assert_non_null(frame);
    assert_int_equal(of.files->read(&of.segment->file, frame, bytes, at), bytes);
    lsi_write_u32le(frame, bytes);
    lsi_write_u64le(frame + 32, lsi_sum64(frame + 48, bytes - 48, 0) ^ of.segment->seed);
    lsi_write_u32le(frame + 44, (uint32_t)lsi_sum64(frame, 44, of.segment->seed + position));
    assert_int_equal(lsi_file_write_one(&of.segment->file, frame, 48, at), 0);
    free(frame);
    assert_given(&of, "a large frame", 2, LS_ERR_CORRUPT);
    one_segment_end(&of);
}

int main(void)
{
    const struct CMUnitTest reading[] = {
        cmocka_unit_test(pages_and_limits_change_no_record),
        cmocka_unit_test(every_record_can_be_the_first),
        cmocka_unit_test(small_batches_take_three_pages_at_most),
        cmocka_unit_test(a_frame_that_breaks_a_rule_is_not_given),
        cmocka_unit_test(a_frame_larger_than_any_is_not_given),
    };
    const struct CMUnitTest mapped[] = {
        cmocka_unit_test(mapped_files_show_the_same_records),
        cmocka_unit_test(what_cannot_be_mapped_is_read),
        cmocka_unit_test(a_mapped_tail_grows_and_what_a_file_lost_is_damage), /* changes the log */
    };

    return cmocka_run_group_tests(reading, setup, teardown) + cmocka_run_group_tests(mapped, setup, teardown);
}
