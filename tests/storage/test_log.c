/* One log: append, read, seek, roll, close and open, and what recovery makes of it. On files in memory. */
#include "storage/log_store.h"

#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

#define SMALL LSI_SEGMENT_BYTES_MIN

typedef struct fixture {
    lsi_files *files;
    log_store store;
} fixture;

static int setup(void **state)
{
    static fixture fx;
    memset(&fx, 0, sizeof fx);
    fx.files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(fx.files);
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, SMALL);
    *state = &fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;
    if (fx->store.log != NULL)
        (void)log_store_close(&fx->store);
    lsi_files_memory_free(fx->files);
    return 0;
}

static void reopen(fixture *fx, ls_durability durability)
{
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    log_store_open(&fx->store, fx->files, false, durability, SMALL);
}

/* The same as after a reboot: nothing of the control file is believed. */
static void reopen_without_control(fixture *fx)
{
    lsi_root root;

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    assert_int_equal(fx->files->root_open(fx->files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(fx->files->unlink(&root, LSI_CONTROL_NAME), 0);
    fx->files->root_close(&root);
    log_store_open(&fx->store, fx->files, false, LS_DURABILITY_SYNC, SMALL);
}

static void write_at(fixture *fx, const char *name, const void *bytes, size_t size, uint64_t at)
{
    lsi_file file = {0};
    assert_int_equal(fx->files->open(&fx->store.root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, bytes, size, at), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

static void read_at(fixture *fx, const char *name, void *bytes, size_t size, uint64_t at)
{
    lsi_file file = {0};
    assert_int_equal(fx->files->open(&fx->store.root, name, 0, &file), 0);
    assert_int_equal(fx->files->read(&file, bytes, size, at), (int64_t)size);
    assert_int_equal(fx->files->close(&file), 0);
}

#define FIRST "1/0/00000001.seg"

static void records_come_back_in_order_with_rising_numbers(void **state)
{
    fixture *fx = *state;
    ls_seqno last = 0;

    for (unsigned n = 0; n < 1000; n++) {
        ls_seqno seqno;
        assert_int_equal(log_store_put(&fx->store, n, 100, &seqno), LS_OK);
        assert_true(seqno > last);
        last = seqno;
    }
    assert_int_equal(log_store_count(&fx->store, 0), 1000);
    assert_true(atomic_load(&lsi_log_slot(fx->store.log)->segment) > 2); /* It rolled on the way. */
}

static void an_empty_log_has_nothing(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;

    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.oldest == LS_SEQNO_NONE && facts.latest == LS_SEQNO_NONE);
    assert_true(facts.oldest_us == 0 && facts.latest_us == 0 && facts.bytes == 0 && facts.segments == 1);
}

static void put_batch(fixture *fx, const ls_put_entry *entries, uint32_t count, bool atomic)
{
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, entries, NULL, count, atomic, &accepted, &seqno,
                                    &end, &closed), LS_OK);
    assert_int_equal(accepted, count);
}

static ls_status put_numbered(fixture *fx, const ls_put_entry *entries, uint32_t count, const uint32_t *users,
                              uint64_t number, lsi_log_numbered *numbered)
{
    static ls_put_options options;
    static ls_put_result told[8];
    uint64_t end;
    bool closed;

    options = (ls_put_options)LS_PUT_OPTIONS_INIT;
    options.producer = (ls_producer_id){1, 2};
    options.number = number;
    numbered->options = &options;
    numbered->users = users;
    numbered->told = told;
    numbered->fresh = 0;
    return lsi_log_append_numbered(fx->store.log, fx->store.framer, entries, NULL, count, numbered, &end, &closed);
}

/* Where syncs are not waited for, the shard's own words say what was put: calls or batches, bytes of keys and data, and
 * each unit of 25 KiB that a record has begun beyond its first. */
static void what_is_put_is_counted(void **state)
{
    static const char data[3 * 25600];
    static const uint32_t users[] = {2};
    ls_put_entry entries[] = {{{"k", 1}, {data, 10}, NULL}, {{"l", 1}, {data, 25599}, NULL},
                              {{"m", 1}, {data, 25600}, NULL}, {{"n", 1}, {data, sizeof data}, NULL}};
    fixture *fx = *state;
    lsi_log_numbered numbered = {0};
    lsi_log_facts facts;

    reopen(fx, LS_DURABILITY_KERNEL);
    for (uint32_t i = 0; i < 3; i++)
        put_batch(fx, &entries[0], 1, false);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 3 && facts.put_in_batches == 0 && facts.put_bytes == 33);
    assert_int_equal(facts.put_more_units, 0);
    put_batch(fx, &entries[1], 1, false);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 4 && facts.put_more_units == 0);
    put_batch(fx, &entries[2], 1, false);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 5 && facts.put_more_units == 1);
    put_batch(fx, entries, 4, true);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 5 && facts.put_in_batches == 4);
    assert_int_equal(facts.put_more_units, 1 + 1 + 3);
    assert_int_equal(facts.put_bytes, 33 + 25600 + 25601 + 11 + 25600 + 25601 + sizeof data + 1);
    assert_int_equal(put_numbered(fx, entries, 1, NULL, 1, &numbered), LS_OK);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 6 && facts.put_in_batches == 4);
    assert_int_equal(put_numbered(fx, entries, 1, users, 2, &numbered), LS_OK); /* An aggregate is a batch. */
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_true(facts.put_alone == 6 && facts.put_in_batches == 5);
}

/* From the first frame that is there to the end, over segments. */
static void the_bytes_of_a_log_are_those_of_its_frames(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;

    for (unsigned n = 0; n < 10; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 20000, &(ls_seqno){0}), LS_OK);
        assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
        assert_int_equal(facts.bytes, lsi_load(&lsi_log_slot(fx->store.log)->committed_end));
        assert_int_equal(facts.bytes, (n + 1) * 20064);
        assert_int_equal(facts.segments, n / 3 + 1);
    }
}

/* A numbered batch is one frame, whatever its numbers take; what says so names it. */
static void a_batch_that_no_frame_holds_is_refused(void **state)
{
    static const size_t around = LSI_FRAME_BYTES_MAX / 2;
    fixture *fx = *state;
    char *data = calloc(1, LSI_FRAME_BYTES_MAX);
    lsi_log_numbered numbered = {0};
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    assert_non_null(data);
    /* Both records take all of it but for the frame's header. */
    ls_put_entry entries[] = {{{"k", 1}, {data, around - 16}, NULL},
                              {{"k", 1}, {data, around - LSI_FRAME_HEADER_BYTES - 16}, NULL}};
    put_batch(fx, entries, 2, true);
    assert_int_equal(put_numbered(fx, entries, 2, NULL, 1, &numbered), LS_ERR_TOO_LARGE);
    assert_non_null(strstr(ls_last_error_message(), "a numbered batch of"));
    entries[1].data.size -= 24; /* Its tail takes 32. */
    assert_int_equal(put_numbered(fx, entries, 2, NULL, 1, &numbered), LS_ERR_TOO_LARGE);
    entries[1].data.size -= 8;
    assert_int_equal(put_numbered(fx, entries, 2, NULL, 1, &numbered), LS_OK);
    entries[1].data.size += 32 + 8;
    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, entries, NULL, 2, true, &accepted, &seqno, &end,
                                    &closed), LS_ERR_TOO_LARGE);
    assert_non_null(strstr(ls_last_error_message(), "an atomic batch of"));
    free(data);
}

/* A number is told with its place in the record that has it, and those that are new are counted, wherever they lie
 * among others. */
static void numbers_of_an_aggregate_are_told_by_their_places(void **state)
{
    static const uint32_t three[] = {3};
    static const ls_put_entry entry = {{"k", 1}, {"data", 4}, NULL};
    fixture *fx = *state;
    uint32_t sub_seqnos[3] = {9, 9, 9}, sub_counts[3] = {9, 9, 9};
    lsi_log_numbered numbered = {0};

    assert_int_equal(put_numbered(fx, &entry, 1, NULL, 20, &numbered), LS_OK);
    assert_int_equal(numbered.first_seqno, 1);
    assert_int_equal(put_numbered(fx, &entry, 1, three, 10, &numbered), LS_OK); /* below what was put */
    assert_int_equal(numbered.fresh, 3);
    assert_int_equal(numbered.first_seqno, 2);
    assert_int_equal(put_numbered(fx, &entry, 1, three, 12, &numbered), LS_OK); /* One of them is there. */
    assert_int_equal(numbered.fresh, 2);
    assert_int_equal(numbered.first_seqno, LS_SEQNO_NONE);

    numbered = (lsi_log_numbered){.look_only = true, .sub_seqnos = sub_seqnos, .sub_counts = sub_counts};
    assert_int_equal(put_numbered(fx, &entry, 3, NULL, 10, &numbered), LS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(numbered.told[i].status, LS_ERR_EXISTS);
        assert_int_equal(numbered.told[i].seqno, 2);
        assert_int_equal(sub_seqnos[i], i);
        assert_int_equal(sub_counts[i], 3);
    }
    assert_int_equal(put_numbered(fx, &entry, 1, NULL, 20, &numbered), LS_OK);
    assert_true(sub_seqnos[0] == 0 && sub_counts[0] == 0); /* It is alone. */
}

/* F7: whoever reads looks at the numbers too. A frame whose sums are right and whose numbers cannot be is damage. */
static void numbers_that_cannot_be_are_damage_for_who_reads(void **state)
{
    static const ls_put_entry entry = {{"k", 1}, {"data", 4}, NULL};
    fixture *fx = *state;
    unsigned char bytes[512];
    lsi_log_numbered numbered = {0};
    lsi_log_reader *reader;
    const ls_record *records;
    lsi_segment *segment;
    lsi_frame frame;
    uint32_t count;
    bool tip, end;

    assert_int_equal(put_numbered(fx, &entry, 1, NULL, 1, &numbered), LS_OK);
    assert_int_equal(lsi_log_sync(fx->store.log), LS_OK);
    assert_int_equal(log_store_put(&fx->store, 0, 100, &(ls_seqno){0}), LS_OK);
    assert_int_equal(lsi_segment_open(&fx->store.config, 1, false, &segment), LS_OK);
    read_at(fx, FIRST, bytes, 200, LSI_SEGMENT_HEADER_BYTES);
    assert_int_equal(lsi_frame_read_header(bytes, SIZE_MAX, segment->seed, 0, &frame), LSI_FRAME_VALID);
    assert_true(frame.bytes < 200 && lsi_frame_check_body(bytes, &frame, segment->seed));
    lsi_write_u32le(bytes + frame.bytes - 8, 999999); /* as many bytes of differences */
    frame.body_sum = lsi_sum64(bytes + LSI_FRAME_HEADER_BYTES, frame.bytes - LSI_FRAME_HEADER_BYTES, 0);
    lsi_frame_write_header(bytes, &frame, segment->seed, 0);
    assert_int_equal(lsi_frame_read_header(bytes, SIZE_MAX, segment->seed, 0, &frame), LSI_FRAME_VALID);
    assert_true(lsi_frame_check_body(bytes, &frame, segment->seed));
    write_at(fx, FIRST, bytes, frame.bytes, LSI_SEGMENT_HEADER_BYTES);
    lsi_segment_unref(segment);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_ERR_CORRUPT);
    lsi_log_reader_close(reader);
}

/* Whose it is, which file and what is wrong with it: what an operator needs. */
static void assert_not_opened(fixture *fx, const char *why)
{
    lsi_segment *segment;

    assert_int_equal(lsi_segment_open(&fx->store.config, 1, false, &segment), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "stream 'test' shard 0"));
    assert_non_null(strstr(ls_last_error_message(), FIRST));
    if (strstr(ls_last_error_message(), why) == NULL)
        fail_msg("it says %s, and not %s", ls_last_error_message(), why);
}

static void what_is_wrong_with_a_header_is_said(void **state)
{
    fixture *fx = *state;
    unsigned char whole[LSI_SEGMENT_HEADER_BYTES];
    lsi_file file = {0};

    assert_int_equal(log_store_put(&fx->store, 0, 100, &(ls_seqno){0}), LS_OK);
    read_at(fx, FIRST, whole, sizeof whole, 0);
    write_at(fx, FIRST, "?", 1, 60);
    assert_not_opened(fx, "fails its checksum");
    write_at(fx, FIRST, "?", 1, 0);
    assert_not_opened(fx, "does not begin as a segment's does");
    whole[52] = 9; /* its number */
    lsi_write_u64le(whole + sizeof whole - 8, lsi_sum64(whole, sizeof whole - 8, 0));
    write_at(fx, FIRST, whole, sizeof whole, 0);
    assert_not_opened(fx, "holds segment 9");
    assert_int_equal(fx->files->open(&fx->store.root, FIRST, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, 100), 0);
    assert_int_equal(fx->files->close(&file), 0);
    assert_not_opened(fx, "ends within its header, after 100 bytes");
    assert_int_equal(fx->files->open(&fx->store.root, FIRST, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, 0), 0);
    assert_int_equal(fx->files->close(&file), 0);
    assert_not_opened(fx, "ends within its header, after 0 bytes");
}

static void records_of_every_size_come_back(void **state)
{
    fixture *fx = *state;
    unsigned n = 0;

    for (size_t size = sizeof n; size <= 10u << 20; size = size * 3 + 1, n++) {
        ls_seqno seqno;
        assert_int_equal(log_store_put(&fx->store, n, size, &seqno), LS_OK);
    }
    assert_int_equal(log_store_count(&fx->store, 0), n);
}

static void reopening_in_the_same_boot_goes_on_in_the_same_segment(void **state)
{
    fixture *fx = *state;
    ls_seqno before, after;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &before), LS_OK);
    reopen(fx, LS_DURABILITY_SYNC);
    assert_int_equal(log_store_put(&fx->store, 1, 100, &after), LS_OK);
    assert_int_equal(after, before + 1);
    assert_int_equal(atomic_load(&lsi_log_slot(fx->store.log)->segment), 1);
    assert_int_equal(log_store_count(&fx->store, 0), 2);
}

static void without_a_control_file_everything_is_found_and_numbers_jump(void **state)
{
    fixture *fx = *state;
    ls_seqno before, after;

    for (unsigned n = 0; n < 500; n++)
        assert_int_equal(log_store_put(&fx->store, n, 300, &before), LS_OK);
    reopen_without_control(fx);
    assert_int_equal(log_store_count(&fx->store, 0), 500);
    assert_int_equal(log_store_put(&fx->store, 500, 100, &after), LS_OK);
    assert_true(after > before + 1); /* D4: nobody knows whether numbers in between were given. */
    assert_int_equal(log_store_count(&fx->store, 0), 501);
}

/* D4: none is given twice, not at the end of all numbers either; and what is there can still be read. */
static void numbers_that_are_used_up_are_said_to_be(void **state)
{
    enum { LEFT = 10 };
    fixture *fx = *state;
    log_store last = fx->store;
    ls_seqno first = LS_SEQNO_END - LEFT, seqno;

    last.config.shard = 1;
    last.config.first_seqno = first;
    (void)snprintf(last.config.dir, sizeof last.config.dir, "1/1");
    assert_int_equal(lsi_log_create(&last.config), LS_OK);
    assert_int_equal(lsi_log_publish_new(&last.config), LS_OK);
    assert_int_equal(lsi_log_open(&last.config, &last.log), LS_OK);
    for (unsigned n = 0; n < LEFT; n++) {
        assert_int_equal(log_store_put(&last, n, 100, &seqno), LS_OK);
        assert_true(seqno == first + n);
    }
    for (int tries = 0; tries < 3; tries++) {
        assert_int_equal(log_store_put(&last, LEFT, 100, &seqno), LS_ERR_STATE);
        assert_non_null(strstr(ls_last_error_message(), "sequence numbers are used up"));
    }
    assert_int_equal(log_store_count(&last, 0), LEFT);
    assert_int_equal(lsi_log_close(last.log), LS_OK);
}

/* Every record is found by its number, by the number before it, and by its time; with the index and without. */
static void every_place_is_found(void **state)
{
    fixture *fx = *state;
    enum { COUNT = 700 };
    static ls_seqno seqnos[COUNT];
    int64_t began = fx->store.wall_us;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip, end;

    for (unsigned n = 0; n < COUNT; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 400, &seqnos[n]), LS_OK);
        fx->store.wall_us += 10;
    }
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
        for (unsigned n = 1; n < COUNT; n++) {
            ls_position places[] = {{LS_AT_SEQUENCE_NUMBER, 0, seqnos[n], 0},
                                    {LS_AFTER_SEQUENCE_NUMBER, 0, seqnos[n - 1], 0},
                                    {LS_AT_TIMESTAMP, 0, 0, began + 10 * (int64_t)n},
                                    {LS_AT_TIMESTAMP, 0, 0, began + 10 * (int64_t)n - 9}};
            for (size_t i = 0; i < 4; i++) {
                assert_int_equal(lsi_log_reader_seek(reader, &places[i]), LS_OK);
                assert_int_equal(lsi_log_reader_place(reader), seqnos[n]);
                assert_int_equal(lsi_log_reader_read(reader, 1, 1, &records, &count, &tip, &end), LS_OK);
                assert_int_equal(count, 1);
                assert_int_equal(records[0].seqno, seqnos[n]);
                assert_int_equal(lsi_log_reader_place(reader), seqnos[n] + 1);
            }
        }
        ls_position latest = {LS_LATEST, 0, 0, 0};
        assert_int_equal(lsi_log_reader_seek(reader, &latest), LS_OK);
        assert_int_equal(lsi_log_reader_place(reader), seqnos[COUNT - 1] + 1);
        assert_int_equal(lsi_log_reader_read(reader, 1, 1, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, 0);
        assert_true(tip);
        lsi_log_reader_close(reader);

        char name[LSI_SEGMENT_NAME_BYTES];
        for (uint32_t i = 1; i < 20; i++) {
            lsi_segment_name("1/0", i, "idx", name);
            (void)fx->files->unlink(&fx->store.root, name);
        }
        reopen(fx, LS_DURABILITY_SYNC);
    }
}

/* The epoch and what is before it are times like any other, not "no time": everything came after them. Method: enough
 * records for several entries of the index, which is what a time is looked up in. */
static void the_time_0_and_times_before_it_are_before_every_record(void **state)
{
    fixture *fx = *state;
    const int64_t times[] = {0, 1, -1, INT64_MIN};
    lsi_log_reader *reader;
    ls_seqno first, seqno;

    assert_int_equal(log_store_put(&fx->store, 0, 400, &first), LS_OK);
    for (unsigned n = 1; n < 500; n++)
        assert_int_equal(log_store_put(&fx->store, n, 400, &seqno), LS_OK);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        ls_position place = {LS_AT_TIMESTAMP, 0, 0, times[i]};
        assert_int_equal(lsi_log_reader_seek(reader, &place), LS_OK);
        assert_int_equal(lsi_log_reader_place(reader), first);
    }
    lsi_log_reader_close(reader);
}

/* R5, S2: bytes beyond the committed end, and a noted end of write, are what a killed writer leaves. */
static void what_a_dead_writer_left_is_set_aside(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno, after;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &seqno), LS_OK);
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    uint64_t end = atomic_load(&slot->committed_end);
    write_at(fx, FIRST, "half a frame", 12, end + LSI_SEGMENT_HEADER_BYTES);
    atomic_store(&slot->write_end, end + 64);

    assert_int_equal(log_store_put(&fx->store, 1, 100, &after), LS_OK);
    assert_true(after > seqno + 1);
    assert_int_equal(atomic_load(&slot->segment), 2);
    assert_int_equal(atomic_load(&slot->torn_count), 1);
    assert_int_equal(log_store_count(&fx->store, 0), 2);
}

/* R5. The space that was made ahead of a segment is given back with its end, but what somebody may still read is not. */
static void what_a_dead_writer_left_stays_in_its_file(void **state)
{
    fixture *fx = *state;
    static unsigned char piece[200 << 10], found[sizeof piece];
    ls_seqno seqno;

    memset(piece, 'x', sizeof piece);
    assert_int_equal(log_store_put(&fx->store, 0, 100, &seqno), LS_OK);
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    uint64_t end = atomic_load(&slot->committed_end);
    write_at(fx, FIRST, piece, sizeof piece, end + LSI_SEGMENT_HEADER_BYTES);
    atomic_store(&slot->write_end, end + sizeof piece);

    assert_int_equal(log_store_put(&fx->store, 1, 100, &seqno), LS_OK);
    assert_int_equal(atomic_load(&slot->segment), 2);
    read_at(fx, FIRST, found, sizeof found, end + LSI_SEGMENT_HEADER_BYTES);
    assert_memory_equal(found, piece, sizeof piece);
}

static void a_writer_that_died_before_its_first_byte_costs_nothing(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno, after;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &seqno), LS_OK);
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    atomic_store(&slot->write_end, atomic_load(&slot->committed_end) + 64);
    assert_int_equal(log_store_put(&fx->store, 1, 100, &after), LS_OK);
    assert_int_equal(after, seqno + 1);
    assert_int_equal(atomic_load(&slot->segment), 1);
}

/* D1, R3. Method: the last segment is cut at every byte of its last frame, as a torn write leaves it; the watermark is
 * gone with the control file, so nothing vouches for that frame. */
static void a_torn_tail_keeps_every_record_before_it(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;
    unsigned char frame[256];

    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(log_store_put(&fx->store, n, 50, &seqno), LS_OK);
    uint64_t kept = atomic_load(&lsi_log_slot(fx->store.log)->committed_end);
    assert_int_equal(log_store_put(&fx->store, 3, 50, &seqno), LS_OK);
    size_t size = (size_t)(atomic_load(&lsi_log_slot(fx->store.log)->committed_end) - kept);
    read_at(fx, FIRST, frame, size, kept + LSI_SEGMENT_HEADER_BYTES);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char torn[256] = {0};
        memcpy(torn, frame, cut);
        write_at(fx, FIRST, torn, size, kept + LSI_SEGMENT_HEADER_BYTES);
        reopen_without_control(fx);
        /* The frame is padded with zeros, so cutting only those off leaves it whole. */
        assert_int_equal(log_store_count(&fx->store, 0), memcmp(torn, frame, size) == 0 ? 4 : 3);
    }
}

/* R4. Method: flip one bit of each byte of a frame in the middle; the records before and after stay readable. */
static void damage_is_named_and_what_is_around_it_stays_readable(void **state)
{
    fixture *fx = *state;
    enum { COUNT = 9, DAMAGED = 4 };
    ls_seqno seqnos[COUNT];
    uint64_t ends[COUNT];

    for (unsigned n = 0; n < COUNT; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 60, &seqnos[n]), LS_OK);
        ends[n] = atomic_load(&lsi_log_slot(fx->store.log)->committed_end);
    }
    for (uint64_t at = ends[DAMAGED - 1]; at < ends[DAMAGED]; at++) {
        unsigned char byte;
        read_at(fx, FIRST, &byte, 1, at + LSI_SEGMENT_HEADER_BYTES);
        byte ^= (unsigned char)(1u << (at % 8));
        write_at(fx, FIRST, &byte, 1, at + LSI_SEGMENT_HEADER_BYTES);

        lsi_log_reader *reader;
        const ls_record *records;
        uint32_t count;
        bool tip, end;
        assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, DAMAGED);
        assert_false(tip);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_ERR_CORRUPT);
            assert_non_null(strstr(ls_last_error_message(), "00000001.seg"));
            assert_non_null(strstr(ls_last_error_message(), "numbers 5 to 5"));
        }
        /* A place within the damage is not stepped over silently; one behind it is reached. */
        ls_position inside = {LS_AT_SEQUENCE_NUMBER, 0, seqnos[DAMAGED], 0};
        assert_int_equal(lsi_log_reader_seek(reader, &inside), LS_OK);
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_ERR_CORRUPT);
        ls_position behind = {LS_AT_SEQUENCE_NUMBER, 0, seqnos[DAMAGED + 1], 0};
        assert_int_equal(lsi_log_reader_seek(reader, &behind), LS_OK);
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, COUNT - DAMAGED - 1);
        lsi_log_reader_close(reader);

        byte ^= (unsigned char)(1u << (at % 8));
        write_at(fx, FIRST, &byte, 1, at + LSI_SEGMENT_HEADER_BYTES);
    }
}

/* R3, R4. Method: a flip, then a reopening that trusts nothing: the frames beyond prove that the damaged one was
 * durable, so appends stop, reading does not, and a reset goes on behind. */
static void damage_in_the_last_segment_stops_appends_until_a_reset(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;
    ls_seqno seqno;

    for (unsigned n = 0; n < 6; n++)
        assert_int_equal(log_store_put(&fx->store, n, 60, &seqno), LS_OK);
    write_at(fx, FIRST, "?", 1, LSI_SEGMENT_HEADER_BYTES + 130);
    reopen_without_control(fx);
    assert_int_equal(log_store_put(&fx->store, 6, 60, &seqno), LS_ERR_CORRUPT);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_int_equal(facts.health, LS_ERR_CORRUPT);
    assert_int_equal(facts.oldest, 1);
    assert_int_equal(facts.latest, 6);
    assert_int_equal(facts.oldest_us, fx->store.wall_us);
    assert_int_equal(facts.latest_us, fx->store.wall_us);
    assert_true(facts.bytes > 0);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_OK);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_ERR_STATE);
    assert_int_equal(log_store_put(&fx->store, 6, 60, &seqno), LS_OK);
    assert_true(seqno > 6);
}

/* What somebody may have written, with right sums: an empty log that begins there. */
static void begin_log_at(fixture *fx, uint64_t base, int64_t arrival_us)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_list *list;
    lsi_segment *segment;

    assert_int_equal(lsi_segment_open(&fx->store.config, 1, false, &segment), LS_OK);
    lsi_segment_header header = segment->header;
    lsi_segment_unref(segment);
    header.base = base;
    header.base_arrival_us = arrival_us;
    lsi_segment_header_encode(&header, bytes);
    write_at(fx, FIRST, bytes, sizeof bytes, 0);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    list->entries[0].base = base;
    list->entries[0].base_arrival_us = arrival_us;
    list->entries[0].header_sum = header.sum;
    list->head.generation++;
    assert_int_equal(lsi_segment_list_store(&fx->store.config, list), LS_OK);
    lsi_segment_list_unref(list);
    reopen_without_control(fx);
}

/* X1: what is acknowledged can be read, wherever a file says that the log begins. */
static void positions_do_not_wrap(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;
    unsigned count = 0;
    ls_status st;

    begin_log_at(fx, LSI_POSITION_MAX - 64, fx->store.wall_us);
    while ((st = log_store_put(&fx->store, count, 600, &seqno)) == LS_OK)
        count++;
    assert_int_equal(st, LS_ERR_STATE); /* The next segment would begin too far. */
    assert_true(count > 50);
    assert_int_equal(log_store_count(&fx->store, 0), count);
}

static void a_log_that_begins_too_far_is_damaged(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;
    ls_seqno seqno;

    begin_log_at(fx, LSI_POSITION_MAX + 8, fx->store.wall_us);
    assert_int_equal(log_store_put(&fx->store, 0, 60, &seqno), LS_ERR_CORRUPT);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_ERR_CORRUPT);
}

static void a_log_that_begins_at_the_end_of_all_positions_is_damaged(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;

    begin_log_at(fx, UINT64_MAX - 135, fx->store.wall_us);
    assert_int_equal(log_store_put(&fx->store, 0, 60, &seqno), LS_ERR_CORRUPT);
}

/* E8, X1: also from the last stamp that there is. */
static void stamps_do_not_wrap(void **state)
{
    fixture *fx = *state;
    const ls_record *records;
    lsi_log_reader *reader;
    bool tip, end;
    uint32_t count;
    ls_seqno seqno;

    begin_log_at(fx, 0, INT64_MAX - 5);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(log_store_put(&fx->store, n, 60, &seqno), LS_OK);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < count; i++)
        assert_true(records[i].arrival_us >= (i > 0 ? records[i - 1].arrival_us : INT64_MAX - 5));
    lsi_log_reader_close(reader);
}

static void a_missing_segment_is_damage_and_not_emptiness(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count = 0;
    bool tip, end;
    ls_status st;

    for (unsigned n = 0; n < 500; n++)
        assert_int_equal(log_store_put(&fx->store, n, 500, &seqno), LS_OK);
    uint32_t last = atomic_load(&lsi_log_slot(fx->store.log)->segment);
    assert_true(last > 3);
    for (uint32_t victim = 1; victim <= last; victim++) {
        char name[LSI_SEGMENT_NAME_BYTES], aside[LSI_SEGMENT_NAME_BYTES];
        lsi_segment_name("1/0", victim, "seg", name);
        lsi_segment_name("1/0", victim, "aside", aside);
        assert_int_equal(fx->files->rename(&fx->store.root, name, aside), 0);
        reopen_without_control(fx);
        assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
        do
            st = lsi_log_reader_read(reader, 1000, 10 << 20, &records, &count, &tip, &end);
        while (st == LS_OK && !tip);
        assert_int_equal(st, LS_ERR_CORRUPT);
        assert_non_null(strstr(ls_last_error_message(), name));
        lsi_log_reader_close(reader);
        assert_int_equal(fx->files->rename(&fx->store.root, aside, name), 0);
    }
    reopen_without_control(fx);
    assert_int_equal(log_store_count(&fx->store, 0), 500);
}

/* R4: who seeks behind the numbers that a message names reads everything that lies behind the damage, and the numbers
 * are those of the segment, not all that it had reserved. Method: a segment in the middle cannot be read, wholly or
 * from its last frame on; the numbers before, those of the message and those behind are all there are. */
static void the_numbers_a_message_names_end_where_the_next_segment_begins(void **state)
{
    fixture *fx = *state;
    enum { COUNT = 500, WAYS = 4 };
    const char *victim = "1/0/00000002.seg", *aside = "1/0/00000002.aside";
    ls_seqno seqno;
    uint64_t end_of_second = 0;

    for (unsigned n = 0; n < COUNT; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 500, &seqno), LS_OK);
        assert_int_equal(seqno, n + 1);
    }
    assert_true(atomic_load(&lsi_log_slot(fx->store.log)->segment) > 3);
    for (int way = 0; way < WAYS; way++) {
        lsi_segment_list *list;
        lsi_log_reader *reader;
        const ls_record *records;
        uint32_t count;
        bool tip, end;
        unsigned long long from, to, before = 0, behind = 0;
        unsigned char byte = 0;
        uint64_t at = 0;
        ls_status st;

        assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
        end_of_second = list->entries[1].end - list->entries[1].base + LSI_SEGMENT_HEADER_BYTES;
        to = list->entries[2].base_seqno - 1;
        lsi_segment_list_unref(list);
        if (way == 0) {
            assert_int_equal(fx->files->rename(&fx->store.root, victim, aside), 0);
        } else {
            at = way == 1 ? 20 : way == 2 ? end_of_second - 100 : LSI_SEGMENT_HEADER_BYTES + 100;
            read_at(fx, victim, &byte, 1, at);
            byte ^= 4;
            write_at(fx, victim, &byte, 1, at);
        }
        reopen(fx, LS_DURABILITY_SYNC);
        assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
        while ((st = lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end)) == LS_OK && !tip)
            before += count;
        assert_int_equal(st, LS_ERR_CORRUPT);
        const char *numbers = strstr(ls_last_error_message(), "numbers ");
        assert_non_null(numbers);
        assert_non_null(strstr(ls_last_error_message(), "00000002.seg"));
        unsigned long long named;
        assert_int_equal(sscanf(numbers, "numbers %llu to %llu may be lost", &from, &named), 2);
        assert_int_equal(from, before + 1);
        if (way == 3)
            assert_int_equal(named, from);
        else
            assert_int_equal(named, to);
        ls_position beyond = {LS_AT_SEQUENCE_NUMBER, 0, named + 1, 0};
        assert_int_equal(lsi_log_reader_seek(reader, &beyond), LS_OK);
        do {
            assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
            behind += count;
        } while (!tip);
        assert_int_equal(before + (named - from + 1) + behind, COUNT);
        lsi_log_reader_close(reader);

        if (way == 0) {
            assert_int_equal(fx->files->rename(&fx->store.root, aside, victim), 0);
        } else {
            byte ^= 4;
            write_at(fx, victim, &byte, 1, at);
        }
    }
}

/* E8. */
static void stamps_never_decrease_and_are_not_frozen_by_a_wrong_clock(void **state)
{
    fixture *fx = *state;
    const int64_t right = fx->store.wall_us;
    ls_seqno seqno;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip, end;

    assert_int_equal(log_store_put(&fx->store, 0, 50, &seqno), LS_OK);
    fx->store.wall_us = right - 1000000; /* a second back: held */
    assert_int_equal(log_store_put(&fx->store, 1, 50, &seqno), LS_OK);
    fx->store.wall_us = INT64_C(4070908800000000); /* 2099 */
    assert_int_equal(log_store_put(&fx->store, 2, 50, &seqno), LS_OK);
    fx->store.wall_us = right;
    for (unsigned n = 3; n < 6; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 50, &seqno), LS_OK);
        fx->store.wall_us += 2000;
    }
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
    assert_int_equal(count, 6);
    assert_int_equal(records[1].arrival_us, records[0].arrival_us);
    for (uint32_t i = 1; i < count; i++)
        assert_true(records[i].arrival_us >= records[i - 1].arrival_us);
    assert_int_equal(records[3].arrival_us, INT64_C(4070908800000000));
    assert_int_equal(records[5].arrival_us, records[3].arrival_us + 4000);
    lsi_log_reader_close(reader);
}

/* Fact 3 of the books seed: pages of 1,000 and a last one of 786, across segments. */
static void pages_are_full_until_the_last(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip = false, end;

    reopen(fx, LS_DURABILITY_KERNEL);
    for (unsigned n = 0; n < 8786; n++)
        assert_int_equal(log_store_put(&fx->store, n, 290, &seqno), LS_OK);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    for (unsigned page = 0; page < 9; page++) {
        assert_int_equal(lsi_log_reader_read(reader, 1000, 10 << 20, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, page < 8 ? 1000 : 786);
        for (uint32_t i = 0; i < count; i++) { /* The views of one page are all good at its end. */
            unsigned n;
            memcpy(&n, records[i].data.data, sizeof n);
            assert_int_equal(n, page * 1000 + i);
        }
        assert_int_equal(tip, page == 8);
    }
    lsi_log_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        A_TEST(records_come_back_in_order_with_rising_numbers),
        A_TEST(an_empty_log_has_nothing),
        A_TEST(what_is_put_is_counted),
        A_TEST(the_bytes_of_a_log_are_those_of_its_frames),
        A_TEST(a_batch_that_no_frame_holds_is_refused),
        A_TEST(numbers_of_an_aggregate_are_told_by_their_places),
        A_TEST(numbers_that_cannot_be_are_damage_for_who_reads),
        A_TEST(numbers_that_are_used_up_are_said_to_be),
        A_TEST(what_is_wrong_with_a_header_is_said),
        A_TEST(records_of_every_size_come_back),
        A_TEST(reopening_in_the_same_boot_goes_on_in_the_same_segment),
        A_TEST(without_a_control_file_everything_is_found_and_numbers_jump),
        A_TEST(every_place_is_found),
        A_TEST(the_time_0_and_times_before_it_are_before_every_record),
        A_TEST(what_a_dead_writer_left_is_set_aside),
        A_TEST(what_a_dead_writer_left_stays_in_its_file),
        A_TEST(a_writer_that_died_before_its_first_byte_costs_nothing),
        A_TEST(a_torn_tail_keeps_every_record_before_it),
        A_TEST(damage_is_named_and_what_is_around_it_stays_readable),
        A_TEST(damage_in_the_last_segment_stops_appends_until_a_reset),
        A_TEST(positions_do_not_wrap),
        A_TEST(a_log_that_begins_too_far_is_damaged),
        A_TEST(a_log_that_begins_at_the_end_of_all_positions_is_damaged),
        A_TEST(stamps_do_not_wrap),
        A_TEST(a_missing_segment_is_damage_and_not_emptiness),
        A_TEST(the_numbers_a_message_names_end_where_the_next_segment_begins),
        A_TEST(stamps_never_decrease_and_are_not_frozen_by_a_wrong_clock),
        A_TEST(pages_are_full_until_the_last),
    };
    return cmocka_run_group_tests_name("a log", tests, NULL, NULL);
}
