/* Compressing sealed segments (stream.h, ls_stream_recompress): everything reads the same, and takes less. Crashes,
 * kills and failures are in tests/engine/test_local_recompress.c. */
#include "api/support.h"

#include <fcntl.h>
#include <sys/stat.h>

#define RECORDS 4000u
#define BEGIN INT64_C(1700000000000000)

static _Atomic int64_t the_time; /* the thread asks, too */

static int64_t tell_time(void *user)
{
    return *(const _Atomic int64_t *)user;
}

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

typedef struct handles {
    char path[TEMP_PATH_BYTES * 2];
    ls_store *store;
    ls_stream *stream;
    ls_seqno numbers[RECORDS];
} handles;

static handles of;

static ls_store *open_store(const char *path)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    options.segment_bytes = 64 << 10;
    options.durability = LS_DURABILITY_KERNEL;
    options.clock = tell_time;
    options.clock_user = &the_time;
    options.key_callback = give_key;
    assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
    return store;
}

static size_t write_data(char *data, size_t size, uint32_t i)
{
    return (size_t)snprintf(data, size, "{\"id\": %u, \"name\": \"somebody\", \"town\": \"somewhere\", \"sum\": %u}", i,
                            i * 7919 % 10007);
}

/* RECORDS small ones, a millisecond apart, each put by itself. */
static void fill(fixture *fx, const char *key_id)
{
    ls_producer *producer = NULL;
    char data[200];

    (void)snprintf(of.path, sizeof of.path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "pressed"));
    the_time = BEGIN;
    of.store = open_store(of.path);
    assert_int_equal(ls_stream_create(of.store, "s", NULL), LS_OK);
    if (key_id != NULL)
        assert_int_equal(ls_stream_start_encryption(of.store, "s", key_id), LS_OK);
    assert_int_equal(ls_stream_open(of.store, "s", &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        ls_bytes bytes = {data, write_data(data, sizeof data, i)};
        ls_record_id id;

        assert_int_equal(ls_producer_put(producer, text("k"), bytes, NULL, &id), LS_OK);
        of.numbers[i] = id.seqno;
        the_time += 1000;
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static void finish(void)
{
    assert_int_equal(ls_stream_close(of.stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

/* The iterator gives the records from `first` on, as they were put, and nothing else. */
static void assert_gives(ls_iterator *iterator, uint32_t first)
{
    const ls_batch *batch;
    char data[200];
    uint32_t i = first;

    for (;;) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        for (size_t k = 0; k < ls_batch_count(batch); k++, i++) {
            const ls_record *record = ls_batch_at(batch, k);

            assert_int_equal(record->seqno, of.numbers[i]);
            assert_true(record->arrival_us == BEGIN + (int64_t)i * 1000);
            assert_int_equal(record->data.size, write_data(data, sizeof data, i));
            assert_memory_equal(record->data.data, data, record->data.size);
        }
    }
    assert_int_equal(i, RECORDS);
}

static void assert_reads_from(ls_stream *stream, ls_position position, uint32_t first)
{
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_iterator_open(stream, 0, &position, NULL, &iterator), LS_OK);
    assert_gives(iterator, first);
    ls_iterator_close(iterator);
}

static void assert_all_is_there(ls_stream *stream)
{
    assert_reads_from(stream, (ls_position){LS_TRIM_HORIZON, 0, 0, 0}, 0);
    for (uint32_t i = 0; i < RECORDS; i += 397) {
        assert_reads_from(stream, (ls_position){LS_AT_SEQUENCE_NUMBER, 0, of.numbers[i], 0}, i);
        assert_reads_from(stream, (ls_position){LS_AFTER_SEQUENCE_NUMBER, 0, of.numbers[i], 0}, i + 1);
        assert_reads_from(stream, (ls_position){LS_AT_TIMESTAMP, 0, 0, BEGIN + (int64_t)i * 1000}, i);
    }
}

/* Bytes of the segment's file; 0: it is not there. */
static uint64_t file_bytes(uint32_t number)
{
    char name[TEMP_PATH_BYTES * 2 + 40];
    struct stat about;

    (void)snprintf(name, sizeof name, "%s/1/0/%08u.seg", of.path, number);
    return stat(name, &about) == 0 ? (uint64_t)about.st_size : 0;
}

static void everything_reads_the_same_and_takes_less(void **state)
{
    ls_iterator *before[4] = {NULL};
    const ls_batch *batch;
    ls_next_options some = LS_NEXT_OPTIONS_INIT;
    uint64_t saved = 0;

    fill(*state, NULL);
    some.records_max = 100;
    for (uint32_t i = 0; i < 4; i++) { /* They have files open, and are in the middle of them. */
        ls_position at = {LS_AT_SEQUENCE_NUMBER, 0, of.numbers[i * 900], 0};

        assert_int_equal(ls_iterator_open(of.stream, 0, &at, NULL, &before[i]), LS_OK);
        assert_int_equal(ls_iterator_next(before[i], &some, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 100);
    }
    if (!in_memory)
        assert_true(file_bytes(1) >= 64 << 10);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    assert_true(saved > RECORDS * 60);
    if (!in_memory) {
        assert_in_range(file_bytes(1), 4096, 32 << 10);
        assert_in_range(file_bytes(3), 4096, 32 << 10);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_gives(before[i], i * 900 + 100);
        ls_iterator_close(before[i]);
    }
    assert_all_is_there(of.stream);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK); /* Nothing is looked at twice. */
    assert_int_equal(saved, 0);
    assert_int_equal(ls_stream_recompress(of.stream, 0, NULL), LS_OK);
    assert_int_equal(ls_stream_recompress(of.stream, -2, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_recompress(NULL, -1, NULL), LS_ERR_INVALID_ARGUMENT);
    if (!in_memory) { /* Also by who comes later, and without the hints. */
        char name[TEMP_PATH_BYTES * 2 + 40];

        finish();
        (void)snprintf(name, sizeof name, "%s/control", of.path);
        assert_int_equal(unlink(name), 0);
        for (uint32_t number = 1; number < 5; number++) {
            (void)snprintf(name, sizeof name, "%s/1/0/%08u.idx", of.path, number);
            assert_int_equal(unlink(name), 0);
        }
        of.store = open_store(of.path);
        assert_int_equal(ls_stream_open(of.store, "s", &of.stream), LS_OK);
        assert_all_is_there(of.stream);
    }
    finish();
}

static void the_time_ends_it_and_the_next_call_goes_on(void **state)
{
    uint64_t saved = 0;

    fill(*state, NULL);
    assert_int_equal(ls_stream_recompress(of.stream, 0, &saved), LS_ERR_TIMEOUT);
    assert_int_equal(saved, 0);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    assert_true(saved > 0);
    assert_all_is_there(of.stream);
    finish();
}

/* What is encrypted would not get smaller. */
static void encrypted_segments_stay_as_they_are(void **state)
{
    uint64_t saved = 1, size;

    fill(*state, "a");
    size = file_bytes(1);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    assert_int_equal(saved, 0);
    assert_int_equal(file_bytes(1), size);
    assert_all_is_there(of.stream);
    finish();
}

static void upkeep_does_it_when_it_is_asked_to(void **state)
{
    ls_stream_description *about = NULL;
    uint64_t saved = 1;

    fill(*state, NULL);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    if (!in_memory)
        assert_true(file_bytes(1) >= 64 << 10);
    assert_int_equal(ls_stream_set_recompression(of.stream, 2), LS_ERR_INVALID_ARGUMENT);
    for (int32_t on = 1; on >= 0; on--) {
        assert_int_equal(ls_stream_set_recompression(of.stream, on), LS_OK);
        assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
        assert_int_equal(ls_stream_description_recompression(about), on);
        ls_stream_description_free(about);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(ls_stream_description_recompression(NULL), 0);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    assert_int_equal(saved, 0); /* It was done. */
    if (!in_memory)
        assert_in_range(file_bytes(1), 4096, 32 << 10);
    assert_all_is_there(of.stream);
    finish();
}

static void the_thread_does_it_when_it_is_asked_to(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    if (in_memory)
        return; /* It is its handle's own. */
    fill(*state, NULL);
    assert_int_equal(ls_stream_set_recompression(of.stream, 1), LS_OK);
    options.flags = LS_STORE_MAINTENANCE_THREAD;
    options.clock = tell_time;
    options.clock_user = &the_time;
    assert_int_equal(ls_store_open(of.path, &options, &store), LS_OK);
    for (int tries = 0; tries < 3000 && (file_bytes(1) >= 64 << 10 || file_bytes(2) >= 64 << 10); tries++) {
        the_time += 20000; /* Upkeep goes by it. */
        usleep(10000);
    }
    assert_in_range(file_bytes(1), 4096, 32 << 10);
    assert_in_range(file_bytes(2), 4096, 32 << 10);
    assert_all_is_there(of.stream);
    assert_int_equal(ls_store_close(store), LS_OK);
    finish();
}

/* Backups, before and after; trimming; and splitting, whose parents' segments can be compressed too. */
static void what_else_is_done_with_segments_goes_on(void **state)
{
    fixture *fx = *state;
    char copy[TEMP_PATH_BYTES * 2];
    ls_store *store;
    ls_stream *stream = NULL;
    uint64_t saved = 0;

    (void)snprintf(copy, sizeof copy, "%s", temp_path(&fx->temp, "copy"));
    fill(fx, NULL);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(ls_store_backup(of.store, copy, NULL), LS_OK);
        store = open_store(copy);
        assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
        assert_all_is_there(stream);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
        assert_int_equal(ls_stream_recompress(of.stream, -1, NULL), LS_OK);
    }
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    assert_all_is_there(of.stream);
    /* A cap that holds what is compressed, and would not hold it plain: nothing goes. Then one that does not. */
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 5 * (64 << 10)), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_all_is_there(of.stream);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 1), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    if (!in_memory)
        assert_int_equal(file_bytes(1), 0);
    assert_int_equal(ls_stream_recompress(of.stream, -1, &saved), LS_OK);
    finish();
}

/* Goal: R4, X1, X2. Method: damage at many places of a file in blocks, of each of which reading gives the same records
 * or says damage, and what lies in other segments can be read. */
static void damage_is_said_and_stays_in_its_place(void **state)
{
    char name[TEMP_PATH_BYTES * 2 + 40];
    unsigned char *bytes;
    uint64_t size;
    uint32_t told = 0;
    int fd;

    if (in_memory)
        return;
    fill(*state, NULL);
    assert_int_equal(ls_stream_recompress(of.stream, -1, NULL), LS_OK);
    finish();
    size = file_bytes(2);
    (void)snprintf(name, sizeof name, "%s/1/0/%08u.seg", of.path, 2u);
    fd = open(name, O_RDWR);
    bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, size, 0), (ssize_t)size);
    for (uint64_t at = 20; at < size; at += at < 4200 ? 1021 : 199) {
        ls_position position = {LS_TRIM_HORIZON, 0, 0, 0};
        unsigned char wrong = bytes[at] ^ 0x10;
        ls_iterator *iterator = NULL;
        const ls_batch *batch;
        uint32_t count = 0;
        ls_status st;

        assert_int_equal(pwrite(fd, &wrong, 1, (off_t)at), 1);
        of.store = open_store(of.path);
        assert_int_equal(ls_stream_open(of.store, "s", &of.stream), LS_OK);
        assert_int_equal(ls_iterator_open(of.stream, 0, &position, NULL, &iterator), LS_OK);
        while ((st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
            for (size_t k = 0; k < ls_batch_count(batch); k++, count++)
                assert_int_equal(ls_batch_at(batch, k)->seqno, of.numbers[count]);
        if (st != LS_OK) {
            assert_int_equal(st, LS_ERR_CORRUPT);
            assert_true(says("00000002.seg"));
            told++;
        } else {
            assert_int_equal(count, RECORDS);
        }
        ls_iterator_close(iterator);
        assert_reads_from(of.stream, (ls_position){LS_AT_SEQUENCE_NUMBER, 0, of.numbers[RECORDS - 900], 0},
                          RECORDS - 900);
        finish();
        assert_int_equal(pwrite(fd, &bytes[at], 1, (off_t)at), 1);
    }
    assert_true(told > 20);
    /* The first table of blocks is gone; the second one says the same. */
    memset(bytes + 4096, 0xa5, 40);
    assert_int_equal(pwrite(fd, bytes + 4096, 40, 4096), 40);
    of.store = open_store(of.path);
    assert_int_equal(ls_stream_open(of.store, "s", &of.stream), LS_OK);
    assert_all_is_there(of.stream);
    finish();
    free(bytes);
    assert_int_equal(close(fd), 0);
}

static void who_reads_only_compresses_nothing(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;

    if (in_memory)
        return;
    fill(*state, NULL);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(of.path, &options, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_recompress(stream, -1, NULL), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_set_recompression(stream, 1), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_recompress(of.stream, -1, NULL), LS_OK);
    assert_all_is_there(stream); /* It reads what others compressed. */
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_reads_the_same_and_takes_less),
        TEST(the_time_ends_it_and_the_next_call_goes_on),
        TEST(encrypted_segments_stay_as_they_are),
        TEST(upkeep_does_it_when_it_is_asked_to),
        TEST(the_thread_does_it_when_it_is_asked_to),
        TEST(what_else_is_done_with_segments_goes_on),
        TEST(damage_is_said_and_stays_in_its_place),
        TEST(who_reads_only_compresses_nothing),
    };

    run_everywhere("compressing sealed segments", tests);
}
