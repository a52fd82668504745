/* Reading a log: whatever the limits of a call and the size of a page, the same records, and views that stay good until
 * the next call. On files in memory. */
#include "storage/log_store.h"

#include <stdlib.h>

#include "base/file.h"
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
    assert_int_equal(record->reserved, 0);
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

/* Reads to the tip from record `from` on. Every record of a batch is looked at after all of it was made, and a batch
 * ends only where a limit, or the tip, says so. */
static void read_all(fixture *fx, size_t page_bytes, uint32_t records_max, uint64_t bytes_max, unsigned from)
{
    const ls_position place = {LS_AT_SEQUENCE_NUMBER, 0, fx->put[from].seqno, 0};
    lsi_log_reader *reader;
    bool tip = false, end;
    unsigned n = from;

    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    if (page_bytes != 0)
        reader->page_bytes = reader->page_bytes_max = page_bytes;
    assert_int_equal(lsi_log_reader_seek(reader, &place), LS_OK);
    while (!tip) {
        const ls_record *records;
        uint32_t count;
        uint64_t bytes = 0;

        assert_int_equal(lsi_log_reader_read(reader, records_max, bytes_max, &records, &count, &tip, &end), LS_OK);
        assert_in_range(count, 1, records_max);
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

    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        for (size_t k = 0; k < sizeof records / sizeof *records; k++)
            for (size_t m = 0; m < sizeof bytes / sizeof *bytes; m++)
                read_all(fx, pages[i], records[k], bytes[m], 0);
}

/* A place may be any record of a frame: reading begins with it. */
static void every_record_can_be_the_first(void **state)
{
    fixture *fx = *state;

    for (unsigned n = 0; n < fx->count; n += 1 + n / 16)
        read_all(fx, n % 2 == 0 ? 0 : 512, n % 3 == 0 ? UINT32_MAX : 100, 100000, n);
    read_all(fx, 0, UINT32_MAX, UINT64_MAX, fx->count - 1);
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

int main(void)
{
    const struct CMUnitTest reading[] = {
        cmocka_unit_test(pages_and_limits_change_no_record),
        cmocka_unit_test(every_record_can_be_the_first),
        cmocka_unit_test(small_batches_take_three_pages_at_most),
    };

    return cmocka_run_group_tests(reading, setup, teardown);
}
