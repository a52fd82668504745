/* storage/numbered.h: tails of frames, and what is remembered of producers, as bytes and in memory. Logs of such frames
 * are in tests/api/test_idempotent*.c, what crashes and faults leave in the harnesses. */
#include "storage/log_store.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/status.h"
#include "storage/numbered.h"
#include "support/sim_memory.h"

static lsi_env env;

/* ---- tails ---- */

/* A frame but for its records, of which only the length matters: `count` records, with as many numbers as `users` say,
 * these as `options` say. */
static unsigned char *make_frame_of(const ls_put_options *options, const uint32_t *users, uint32_t count,
                                    lsi_frame *frame)
{
    uint32_t tail = lsi_tail_bytes(options, NULL, users, count), before = LSI_FRAME_HEADER_BYTES + 16 * count;
    unsigned char *at = calloc(1, before + tail);

    assert_non_null(at);
    assert_int_equal(tail % 8, 0);
    lsi_tail_write(at + before, options, NULL, users, count, tail);
    *frame = (lsi_frame){.bytes = before + tail, .count = count, .flags = LSI_FRAME_NUMBERED};
    return at;
}

static unsigned char *make_frame(const ls_put_options *options, uint32_t count, lsi_frame *frame)
{
    return make_frame_of(options, NULL, count, frame);
}

static ls_put_options options_of(uint64_t number, const uint64_t *numbers)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.producer = (ls_producer_id){3, 5};
    options.number = number;
    options.numbers = numbers;
    return options;
}

static void numbers_are_read_as_they_were_written(void **state)
{
    static const uint64_t gaps[] = {1, 2, 129, 130, 16514, 2113666, UINT64_C(1) << 62, LS_NUMBER_MAX};
    const ls_put_options many = options_of(0, gaps), even = options_of(LS_NUMBER_MAX - 7, NULL);
    uint32_t offset = 0;
    lsi_frame frame, cut;
    lsi_tail tail;
    uint64_t at;
    unsigned char *bytes;

    (void)state;
    bytes = make_frame(&even, 8, &frame);
    assert_int_equal(frame.bytes, LSI_FRAME_HEADER_BYTES + 8 * 16 + LSI_TAIL_BYTES);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_true(tail.producer.high == 3 && tail.producer.low == 5);
    assert_true(tail.first == LS_NUMBER_MAX - 7 && tail.last == LS_NUMBER_MAX && tail.list_bytes == 0);
    free(bytes);
    bytes = make_frame(&many, 8, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_true(tail.first == 1 && tail.last == LS_NUMBER_MAX);
    at = tail.first;
    for (int i = 1; i < 8; i++) {
        assert_true(lsi_tail_next(tail.list, tail.list_bytes, &offset, &at));
        assert_true(at == gaps[i]);
    }
    assert_false(lsi_tail_next(tail.list, tail.list_bytes, &offset, &at));
    cut = frame;
    assert_true(lsi_frame_take_tail(bytes, &cut));
    assert_int_equal(cut.bytes, LSI_FRAME_HEADER_BYTES + 8 * 16);
    free(bytes);
}

/* Seven bits a byte, of 64: nothing is read on behind the tenth, nor behind the end. */
static void a_number_has_ten_bytes_at_most(void **state)
{
    unsigned char bytes[12];
    uint32_t offset = 0;
    uint64_t item;

    (void)state;
    memset(bytes, 0x80, sizeof bytes);
    bytes[9] = 1;
    assert_true(lsi_item_read(bytes, sizeof bytes, &offset, &item));
    assert_true(item == UINT64_C(1) << 63 && offset == 10);
    offset = 0;
    assert_false(lsi_item_read(bytes, 9, &offset, &item));
    bytes[9] = 0x80;
    bytes[10] = 0;
    offset = 0;
    assert_false(lsi_item_read(bytes, sizeof bytes, &offset, &item));
}

/* With gaps and without: the counts come back, and the last number is that of the last record's last. */
static void counts_are_read_as_they_were_written(void **state)
{
    static const uint64_t gaps[] = {1, 2, 3, 1000, 1001, 1003};
    static const uint32_t users[] = {3, 1, 2}, many[] = {1, 300, 7}, ones[] = {1, 1, 1};
    const ls_put_options with = options_of(0, gaps), even = options_of(LS_NUMBER_MAX - 307, NULL);
    uint32_t offset = 0;
    lsi_frame frame, cut;
    uint64_t end = 0;
    lsi_tail tail;
    unsigned char *bytes;

    (void)state;
    bytes = make_frame_of(&with, users, 3, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_true(tail.first == 1 && tail.last == 1003 && tail.list_bytes == 6 && tail.counts_bytes == 3);
    cut = frame;
    assert_true(lsi_frame_take_tail(bytes, &cut));
    assert_int_equal(cut.bytes, LSI_FRAME_HEADER_BYTES + 3 * 16);
    frame.count = 2; /* One count too many, and too few. */
    assert_false(lsi_tail_read(bytes, &frame, &tail));
    frame.count = 4;
    assert_false(lsi_tail_read(bytes, &frame, &tail));
    free(bytes);
    bytes = make_frame_of(&even, many, 3, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_true(tail.last == LS_NUMBER_MAX && tail.list_bytes == 0 && tail.counts_bytes == 4);
    for (int i = 0; i < 3; i++)
        assert_true(lsi_tail_next(tail.list, tail.counts_bytes, &offset, &end));
    assert_int_equal(end, 308);
    lsi_write_u64le(bytes + frame.bytes - 32, LS_NUMBER_MAX - 306); /* The last would be beyond them. */
    assert_false(lsi_tail_read(bytes, &frame, &tail));
    free(bytes);
    bytes = make_frame_of(&even, ones, 3, &frame); /* As if nobody had counted: such runs go on. */
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_true(tail.last == LS_NUMBER_MAX - 305 && tail.list_bytes == 0 && tail.counts_bytes == 0);
    free(bytes);
}

/* Whatever a byte of it is, a tail is refused or leads to a last number by as many differences as there are. */
static void a_tail_of_any_bytes_is_refused_or_sound(void **state)
{
    static const uint64_t gaps[] = {10, 12, 500, 70000, 70001, 70002};
    static const uint32_t users[] = {1, 2, 2, 1};
    const ls_put_options options = options_of(0, gaps);
    unsigned char *bytes;
    lsi_frame frame;
    uint32_t from;

    (void)state;
    bytes = make_frame_of(&options, users, 4, &frame);
    from = LSI_FRAME_HEADER_BYTES + 4 * 16;
    for (uint32_t i = from; i < frame.bytes; i++)
        for (int value = 0; value < 256; value++) {
            unsigned char was = bytes[i];
            lsi_frame cut = frame;
            lsi_tail tail;

            bytes[i] = (unsigned char)value;
            if (lsi_frame_take_tail(bytes, &cut))
                assert_true(cut.bytes >= LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES && cut.bytes < frame.bytes);
            if (lsi_tail_read(bytes, &frame, &tail)) {
                assert_true(tail.first >= 1 && tail.last >= tail.first + 3 && tail.last <= LS_NUMBER_MAX);
                assert_true(tail.list >= bytes && tail.list + tail.list_bytes <= bytes + frame.bytes);
                assert_true(tail.counts_bytes <= (size_t)(bytes + frame.bytes - tail.list));
            }
            bytes[i] = was;
        }
    frame.count = 3; /* One difference too many, and too few. */
    assert_false(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    frame.count = 5;
    assert_false(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    frame.count = 4;
    frame.flags = 0;
    assert_false(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    frame.flags = LSI_FRAME_NUMBERED;
    lsi_write_u64le(bytes + frame.bytes - 32, LS_NUMBER_MAX - 69991); /* The last would be beyond them. */
    assert_false(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    lsi_write_u64le(bytes + frame.bytes - 32, LS_NUMBER_MAX - 69992);
    assert_true(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    memset(bytes + frame.bytes - 24, 0, 16); /* Nobody's. */
    assert_false(lsi_tail_read(bytes, &frame, &(lsi_tail){0}));
    free(bytes);
}

/* ---- what is remembered ---- */

static ls_producer_id id_of(uint64_t n)
{
    return (ls_producer_id){n, ~n};
}

static ls_status note(lsi_remembered *of, uint64_t producer, uint64_t first, uint64_t last, ls_seqno seqno,
                      uint32_t shard)
{
    const lsi_tail tail = {.producer = id_of(producer), .first = first, .last = last};

    return lsi_remember(of, &tail, shard, seqno, (int64_t)seqno);
}

static lsi_number_is ask(const lsi_remembered *of, uint64_t producer, uint64_t number, ls_seqno *seqno)
{
    lsi_number_cursor cursor = {.run = NULL};
    uint32_t shard = 0;

    *seqno = 0;
    return lsi_remembered_find(of, id_of(producer), number, &cursor, &shard, seqno);
}

static void is_put(const lsi_remembered *of, uint64_t producer, uint64_t number, ls_seqno wanted)
{
    ls_seqno seqno;

    assert_int_equal(ask(of, producer, number, &seqno), LSI_NUMBER_REPEATED);
    assert_int_equal(seqno, wanted);
}

static void is_else(const lsi_remembered *of, uint64_t producer, uint64_t number, lsi_number_is wanted)
{
    ls_seqno seqno;

    assert_int_equal(ask(of, producer, number, &seqno), wanted);
}

/* A list of numbers with a gap after each, found by one cursor as by new ones. */
static void lists_of_numbers_are_looked_through(void **state)
{
    uint64_t numbers[1000];
    const ls_put_options options = options_of(0, numbers);
    lsi_number_cursor cursor = {.run = NULL};
    lsi_remembered *of = lsi_remembered_new(&env);
    unsigned char *bytes;
    lsi_frame frame;
    lsi_tail tail;

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        numbers[i] = 1 + 3 * i;
    bytes = make_frame(&options, 1000, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    assert_int_equal(lsi_remember(of, &tail, 6, 5000, 1), LS_OK);
    free(bytes);
    for (uint64_t number = 1; number <= numbers[999]; number++) {
        uint32_t shard = 0;
        ls_seqno seqno = 0;
        lsi_number_is is = lsi_remembered_find(of, (ls_producer_id){3, 5}, number, &cursor, &shard, &seqno);

        assert_int_equal(is, number % 3 == 1 ? LSI_NUMBER_REPEATED : LSI_NUMBER_NEW);
        if (is == LSI_NUMBER_REPEATED)
            assert_true(seqno == 5000 + number / 3 && shard == 6);
    }
    for (uint64_t number = numbers[999]; number >= 1; number--) { /* And back. */
        uint32_t shard;
        ls_seqno seqno = 0;

        assert_int_equal(lsi_remembered_find(of, (ls_producer_id){3, 5}, number, &cursor, &shard, &seqno),
                         number % 3 == 1 ? LSI_NUMBER_REPEATED : LSI_NUMBER_NEW);
        assert_true(number % 3 != 1 || seqno == 5000 + number / 3);
    }
    lsi_remembered_free(of);
}

/* Records of one number, two, three and so on, with a gap after each third number or none: each is found in its record,
 * at its place, by one cursor as by new ones; what is written and read again finds them as well. */
static void numbers_are_found_in_the_records_that_have_them(void **state)
{
    enum { RECORDS = 40, NUMBERS = RECORDS * (RECORDS + 1) / 2 };
    uint64_t numbers[NUMBERS];
    uint32_t users[RECORDS];

    (void)state;
    for (int with_gaps = 0; with_gaps < 2; with_gaps++) {
        const ls_put_options options = options_of(with_gaps ? 0 : 10, with_gaps ? numbers : NULL);
        lsi_remembered *of = lsi_remembered_new(&env), *again;
        lsi_number_cursor cursor = {.run = NULL};
        unsigned char *bytes;
        uint64_t position;
        lsi_frame frame;
        lsi_tail tail;
        size_t size;
        void *made;

        for (uint32_t i = 0; i < NUMBERS; i++)
            numbers[i] = 10 + i + (with_gaps ? i / 3 : 0);
        for (uint32_t i = 0; i < RECORDS; i++)
            users[i] = i + 1;
        bytes = make_frame_of(&options, users, RECORDS, &frame);
        assert_true(lsi_tail_read(bytes, &frame, &tail));
        assert_int_equal(lsi_remember(of, &tail, 6, 5000, 1), LS_OK);
        free(bytes);
        assert_int_equal(lsi_remembered_encode(of, 8, &made, &size), LS_OK);
        assert_int_equal(lsi_remembered_decode(&env, "producers", made, size, &position, &again), LS_OK);
        lsi_free(&env.memory, made);
        for (uint32_t i = 0, at = 0; i < RECORDS; i++)
            for (uint32_t k = 0; k <= i; k++, at++) {
                lsi_number_cursor anew = {.run = NULL};
                ls_seqno seqno = 0, same = 0;
                uint32_t shard = 0;

                assert_int_equal(lsi_remembered_find(of, (ls_producer_id){3, 5}, numbers[at], &cursor, &shard, &seqno),
                                 LSI_NUMBER_REPEATED);
                assert_int_equal(lsi_remembered_find(again, (ls_producer_id){3, 5}, numbers[at], &anew, &shard, &same),
                                 LSI_NUMBER_REPEATED);
                assert_true(seqno == 5000 + i && same == seqno && shard == 6);
                assert_true(cursor.sub_seqno == (i > 0 ? k : 0) && cursor.sub_count == (i > 0 ? i + 1 : 0));
                assert_true(anew.sub_seqno == cursor.sub_seqno && anew.sub_count == cursor.sub_count);
                if (with_gaps && at % 3 == 2)
                    assert_int_equal(lsi_remembered_find(of, (ls_producer_id){3, 5}, numbers[at] + 1, &cursor, &shard,
                                                         &seqno), LSI_NUMBER_NEW);
            }
        lsi_remembered_free(of);
        lsi_remembered_free(again);
    }
}

static lsi_remembered *make_some(void)
{
    lsi_remembered *of = lsi_remembered_new(&env);
    static unsigned char list[] = {2, 0x80, 1, 0, 0, 0, 0, 0, 2, 1}, counts[] = {4, 1};
    const lsi_tail together = {.producer = id_of(3), .first = 50, .last = 54, .list = counts, .counts_bytes = 2};
    const lsi_tail both = {.producer = id_of(3), .first = 60, .last = 190, .list = list, .list_bytes = 3,
                           .counts_bytes = 2};
    const lsi_tail gaps = {.producer = id_of(2), .first = 70, .last = 200, .list = list, .list_bytes = 3};

    assert_non_null(of);
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(note(of, 1, 10 * i + 1, 10 * i + 3, 100 * i + 100, 0), LS_OK);
    assert_int_equal(note(of, 2, 1, 1, 5, 3), LS_OK);
    assert_int_equal(lsi_remember(of, &gaps, 3, 800, 900), LS_OK);
    assert_int_equal(lsi_remember(of, &together, 3, 1500, 901), LS_OK);
    assert_int_equal(lsi_remember(of, &both, 3, 1600, 902), LS_OK);
    return of;
}

static void check_some(const lsi_remembered *of)
{
    assert_int_equal(lsi_remembered_count(of), 3);
    is_put(of, 1, 33, 402);
    is_put(of, 1, 42, 501);
    is_put(of, 1, 113, 1202);
    is_else(of, 1, 44, LSI_NUMBER_NEW);
    is_else(of, 1, 114, LSI_NUMBER_NEW);
    is_put(of, 2, 1, 5);
    is_put(of, 2, 70, 800);
    is_put(of, 2, 72, 801);
    is_put(of, 2, 200, 802);
    is_else(of, 2, 73, LSI_NUMBER_NEW);
    is_put(of, 3, 53, 1500);
    is_put(of, 3, 54, 1501);
    is_put(of, 3, 62, 1600);
    is_else(of, 3, 63, LSI_NUMBER_NEW);
    is_put(of, 3, 190, 1601);
    assert_true(lsi_remembered_is_new_from(of, id_of(1), 114));
    assert_false(lsi_remembered_is_new_from(of, id_of(1), 113));
    assert_true(lsi_remembered_is_new_from(of, id_of(9), 1));
}

static void what_is_remembered_is_written_and_read(void **state)
{
    lsi_remembered *of = make_some(), *again;
    uint64_t position;
    size_t size;
    void *bytes;

    (void)state;
    check_some(of);
    assert_int_equal(lsi_remembered_encode(of, 4096, &bytes, &size), LS_OK);
    assert_int_equal(lsi_remembered_decode(&env, "producers", bytes, size, &position, &again), LS_OK);
    assert_int_equal(position, 4096);
    check_some(again);
    lsi_remembered_free(of);
    lsi_remembered_free(again);
    lsi_free(&env.memory, bytes);
}

/* X1: cut at every byte it is refused; with any byte changed it is refused, or is something that can be asked. */
static void any_bytes_are_refused_or_sound(void **state)
{
    lsi_remembered *of = make_some(), *again;
    unsigned char *bytes;
    uint64_t position;
    size_t size;
    void *made;

    (void)state;
    assert_int_equal(lsi_remembered_encode(of, 8, &made, &size), LS_OK);
    bytes = made;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut + 1);

        memcpy(part, bytes, cut);
        assert_int_equal(lsi_remembered_decode(&env, "producers", part, cut, &position, &again), LS_ERR_CORRUPT);
        free(part);
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            ls_seqno seqno;

            bytes[i] ^= (unsigned char)(1 << bit);
            ls_status st = lsi_remembered_decode(&env, "producers", bytes, size, &position, &again);
            assert_true(st == LS_OK || st == LS_ERR_CORRUPT);
            for (uint64_t number = 1; st == LS_OK && number < 130; number++)
                (void)ask(again, 1 + number % 3, number, &seqno);
            if (st == LS_OK)
                lsi_remembered_free(again);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    lsi_write_u32le(bytes + 8, LS_PRODUCERS_MAX + 1);
    assert_int_equal(lsi_remembered_decode(&env, "producers", bytes, size, &position, &again), LS_ERR_CORRUPT);
    assert_non_null(strstr(lsi_error_current()->message, "producers"));
    lsi_remembered_free(of);
    lsi_free(&env.memory, made);
}

/* Of a producer that both know all is there, where there is room, else at least half of each; who is in one of them is
 * as it was. */
static void what_two_remember_is_put_together(void **state)
{
    lsi_remembered *a = lsi_remembered_new(&env), *b = lsi_remembered_new(&env), *both;
    ls_seqno seqno;

    (void)state;
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(note(a, 1, 100 * i + 1, 100 * i + 1, 10 * i + 10, 0), LS_OK);
        assert_int_equal(note(b, 1, 100 * i + 51, 100 * i + 51, 10 * i + 15, 1), LS_OK);
    }
    assert_int_equal(note(a, 2, 5, 5, 1000, 0), LS_OK);
    assert_int_equal(note(b, 3, 5, 5, 1001, 1), LS_OK);
    for (uint64_t i = 0; i < 1600; i++) { /* 40 bytes each */
        assert_int_equal(note(a, 4, 10000 - 2 * i, 10000 - 2 * i, 2000 + i, 0), LS_OK);
        assert_int_equal(note(b, 4, 10001 - 2 * i, 10001 - 2 * i, 2000 + i, 1), LS_OK);
    }
    assert_int_equal(lsi_remembered_merge(a, b, &both), LS_OK);
    assert_int_equal(lsi_remembered_count(both), 4);
    for (uint64_t i = 0; i < 8; i++) {
        is_put(both, 1, 100 * i + 1, 10 * i + 10);
        is_put(both, 1, 100 * i + 51, 10 * i + 15);
    }
    is_else(both, 1, 52, LSI_NUMBER_NEW);
    is_put(both, 2, 5, 1000);
    is_put(both, 3, 5, 1001);
    for (uint64_t i = 0; i < 800; i++) {
        is_put(both, 4, 10000 - 2 * (1599 - i), 3599 - i);
        is_put(both, 4, 10001 - 2 * (1599 - i), 3599 - i);
    }
    assert_int_equal(ask(both, 4, 9000, &seqno), LSI_NUMBER_EXPIRED);
    lsi_remembered_free(both);
    assert_int_equal(lsi_remembered_merge(a, NULL, &both), LS_OK);
    is_put(both, 1, 1, 10);
    lsi_remembered_free(both);
    lsi_remembered_free(a);
    lsi_remembered_free(b);
}

/* Records of two numbers each, which take a byte a record: a run of some size. */
static void note_many(lsi_remembered *of, uint64_t producer, uint64_t first, ls_seqno seqno, uint32_t shard)
{
    enum { RECORDS = 20000 };
    static uint32_t users[RECORDS];
    const ls_put_options options = options_of(first, NULL);
    unsigned char *bytes;
    lsi_frame frame;
    lsi_tail tail;

    for (uint32_t i = 0; i < RECORDS; i++)
        users[i] = 2;
    bytes = make_frame_of(&options, users, RECORDS, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    tail.producer = id_of(producer);
    assert_int_equal(lsi_remember(of, &tail, shard, seqno, (int64_t)seqno), LS_OK);
    free(bytes);
}

/* M3: eight runs of a producer stay, whatever they take, also where they come from two. */
static void a_few_large_puts_of_two_are_all_kept(void **state)
{
    lsi_remembered *a = lsi_remembered_new(&env), *b = lsi_remembered_new(&env), *both;

    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        note_many(a, 1, 1 + 100000 * i, 1 + 100000 * i, 0);
        note_many(b, 1, 50001 + 100000 * i, 2 + 100000 * i, 1);
    }
    assert_int_equal(lsi_remembered_merge(a, b, &both), LS_OK);
    for (uint64_t i = 0; i < 4; i++) {
        is_put(both, 1, 1 + 100000 * i, 1 + 100000 * i);
        is_put(both, 1, 50001 + 100000 * i, 2 + 100000 * i);
    }
    lsi_remembered_free(both);
    note_many(b, 1, 450001, 400002, 1); /* The ninth. */
    assert_int_equal(lsi_remembered_merge(a, b, &both), LS_OK);
    is_else(both, 1, 50001, LSI_NUMBER_EXPIRED);
    is_put(both, 1, 150001, 100002);
    is_put(both, 1, 450001, 400002);
    lsi_remembered_free(both);
    lsi_remembered_free(a);
    lsi_remembered_free(b);
}

typedef struct bounds {
    uint64_t bytes;
    uint32_t runs_min, runs_max;
} bounds;

static void add_bounds(void *user, const lsi_known_producer *producer)
{
    bounds *of = user;

    of->bytes += producer->bytes;
    of->runs_min = producer->run_count < of->runs_min ? producer->run_count : of->runs_min;
    of->runs_max = producer->run_count > of->runs_max ? producer->run_count : of->runs_max;
    assert_true(producer->bytes <= LS_PRODUCER_BYTES_MAX || producer->run_count <= LS_PRODUCER_PUTS_MAX);
}

static bounds bounds_of(const lsi_remembered *of)
{
    bounds b = {.runs_min = UINT32_MAX};

    lsi_remembered_each(of, add_bounds, &b);
    return b;
}

/* A run whose list is long takes what follows at once, and nothing that has gaps of its own. */
static void a_long_run_takes_what_follows_at_once(void **state)
{
    static const uint64_t gaps[] = {3000, 3002};
    const ls_put_options options = options_of(0, gaps);
    lsi_remembered *of = lsi_remembered_new(&env);
    unsigned char *bytes;
    lsi_frame frame;
    lsi_tail tail;
    uint64_t before;

    (void)state;
    for (uint64_t i = 0; i <= LSI_RUN_LIST_BYTES; i++) /* A byte or two for each gap. */
        assert_int_equal(note(of, 1, 1 + 2 * i, 1 + 2 * i, 1 + i, 0), LS_OK);
    before = bounds_of(of).bytes;
    assert_int_equal(note(of, 1, 2 * LSI_RUN_LIST_BYTES + 2, 2999, 2 + LSI_RUN_LIST_BYTES, 0), LS_OK);
    assert_int_equal(bounds_of(of).bytes, before);
    bytes = make_frame(&options, 2, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    tail.producer = id_of(1);
    assert_int_equal(lsi_remember(of, &tail, 0, LSI_RUN_LIST_BYTES + 2 + 2999 - (2 * LSI_RUN_LIST_BYTES + 2) + 1, 5000),
                     LS_OK);
    assert_true(bounds_of(of).bytes >= before + LSI_RUN_BYTES);
    is_put(of, 1, 3002, LSI_RUN_LIST_BYTES + 2 + 2999 - (2 * LSI_RUN_LIST_BYTES + 2) + 2);
    is_else(of, 1, 3001, LSI_NUMBER_NEW);
    free(bytes);
    lsi_remembered_free(of);
}

/* So many producers, and no more; the least recent goes. */
static void so_many_producers_are_known(void **state)
{
    lsi_remembered *of = lsi_remembered_new(&env);

    (void)state;
    for (uint64_t i = 0; i <= LS_PRODUCERS_MAX; i++)
        assert_int_equal(note(of, i, 1, 1, i + 1, 0), LS_OK);
    assert_int_equal(lsi_remembered_count(of), LS_PRODUCERS_MAX);
    is_else(of, 0, 1, LSI_NUMBER_NEW);
    is_put(of, 1, 1, 2);
    lsi_remembered_free(of);
}

/* Ids that are equal in one half are of different producers. */
static void a_producer_is_known_by_its_whole_id(void **state)
{
    lsi_remembered *of = lsi_remembered_new(&env);

    (void)state;
    assert_non_null(of);
    for (int half = 0; half < 2; half++)
        for (uint64_t id = 1; id <= 100; id++) {
            lsi_tail tail = {.first = id, .last = id, .producer = {half == 0 ? 7 : id, half == 0 ? id : 777}};

            assert_int_equal(lsi_remember(of, &tail, 0, 1000 * (unsigned)half + id, 1), LS_OK);
        }
    assert_int_equal(lsi_remembered_count(of), 200);
    for (int half = 0; half < 2; half++)
        for (uint64_t id = 1; id <= 101; id++)
            for (uint64_t number = 1; number <= 100; number++) {
                lsi_number_cursor cursor = {.run = NULL};
                ls_producer_id producer = {half == 0 ? 7 : id, half == 0 ? id : 777};
                uint32_t shard;
                ls_seqno seqno = 0;
                lsi_number_is is = lsi_remembered_find(of, producer, number, &cursor, &shard, &seqno);

                assert_int_equal(is, id == number ? LSI_NUMBER_REPEATED : LSI_NUMBER_NEW);
                if (is == LSI_NUMBER_REPEATED)
                    assert_int_equal(seqno, 1000 * (unsigned)half + id);
            }
    lsi_remembered_free(of);
}

/* One producer's numbers have gaps, and so have its records: of its last 20,000 puts all are known, a byte or two each,
 * and what is older is expired, never new. */
static void tens_of_thousands_of_puts_with_gaps_are_known(void **state)
{
    enum { PUTS = 60000, KNOWN = 20000 };
    lsi_remembered *of = lsi_remembered_new(&env);
    uint64_t number = 0, numbers[PUTS];
    ls_seqno seqno = 1, seqnos[PUTS];
    uint32_t expired = 0;

    (void)state;
    for (uint32_t i = 0; i < PUTS; i++) {
        number += 1 + (i * UINT64_C(2654435761) >> 7) % 8;
        seqno += 1 + (i * UINT64_C(40503) >> 3) % 5;
        numbers[i] = number;
        seqnos[i] = seqno;
        assert_true(lsi_remembered_is_new_from(of, id_of(1), number));
        assert_int_equal(note(of, 1, number, number, seqno, 2), LS_OK);
        assert_false(lsi_remembered_is_new_from(of, id_of(1), number));
    }
    for (uint32_t i = 0; i < PUTS; i++) {
        ls_seqno found;
        lsi_number_is is = ask(of, 1, numbers[i], &found);

        assert_true(is == LSI_NUMBER_REPEATED ? found == seqnos[i] : is == LSI_NUMBER_EXPIRED && i < PUTS - KNOWN);
        expired += is == LSI_NUMBER_EXPIRED;
        if (i > 0 && numbers[i] - numbers[i - 1] > 1)
            assert_int_equal(ask(of, 1, numbers[i] - 1, &found), i < expired ? LSI_NUMBER_EXPIRED : LSI_NUMBER_NEW);
    }
    assert_true(expired > 0);
    assert_true(bounds_of(of).bytes <= LS_PRODUCER_BYTES_MAX);
    lsi_remembered_free(of);
}

/* Of all that producers put, only as much as fits: those who put last have most, each has its last puts, and of what
 * went each number is expired. In the end the last puts of those who put least recently go, too. */
static void what_all_put_is_bounded(void **state)
{
    enum { PRODUCERS = 400, RUNS = 1000 };
    static unsigned char list[200000];
    lsi_remembered *of = lsi_remembered_new(&env);
    bounds b;

    (void)state;
    for (uint64_t i = 0; i < PRODUCERS; i++)
        for (uint64_t k = 0; k < RUNS; k++) /* Each lower than the one before, so it is a run of its own. */
            assert_int_equal(note(of, i, 5000 - k, 5000 - k, 1 + i * RUNS + k, 0), LS_OK);
    b = bounds_of(of);
    assert_true(b.bytes <= LSI_RUNS_BYTES_MAX && b.bytes > LSI_RUNS_BYTES_MAX / 2);
    assert_true(b.runs_min == LS_PRODUCER_PUTS_MAX && b.runs_max == RUNS);
    assert_int_equal(lsi_remembered_count(of), PRODUCERS);
    is_put(of, PRODUCERS - 1, 5000, 1 + (PRODUCERS - 1) * RUNS);
    is_else(of, 0, 5000, LSI_NUMBER_EXPIRED);
    is_put(of, 0, 5001 - RUNS, RUNS);
    is_put(of, 0, 5000 - RUNS + LS_PRODUCER_PUTS_MAX, RUNS - LS_PRODUCER_PUTS_MAX + 1);
    is_else(of, 0, 5001 - RUNS + LS_PRODUCER_PUTS_MAX, LSI_NUMBER_EXPIRED);
    memset(list, 2, sizeof list);
    for (uint64_t i = 0; i < 60; i++) {
        const lsi_tail tail = {.producer = id_of(20000 + i), .first = 1, .last = 1 + 2 * sizeof list, .list = list,
                               .list_bytes = sizeof list};

        assert_int_equal(lsi_remember(of, &tail, 0, 1, 1), LS_OK);
    }
    b = bounds_of(of);
    assert_true(b.bytes <= LSI_RUNS_BYTES_MAX && b.runs_min == 0);
    is_else(of, 0, 5001 - RUNS, LSI_NUMBER_EXPIRED);
    is_put(of, 20059, 3, 2);
    is_else(of, 20059, 4, LSI_NUMBER_NEW);
    lsi_remembered_free(of);
}

/* Any frames, any gaps, in any order: what is known is right, what is not is expired or was never put, and who reads
 * the file knows the same and goes on in the same way (M2). */
static void any_puts_are_known_or_expired(void **state)
{
    enum { NUMBERS = 3000 };

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        static ls_seqno put[NUMBERS + 1];
        lsi_remembered *of = lsi_remembered_new(&env);
        uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15), numbers[40];
        ls_seqno seqno = 1;

        memset(put, 0, sizeof put);
        for (int step = 0; step < 400; step++) {
            uint32_t users[40] = {0}, count = 0, shard;
            ls_put_options options = options_of(0, numbers);
            lsi_remembered *again;
            unsigned char *bytes;
            uint64_t number, position;
            lsi_frame frame;
            lsi_tail tail;
            size_t size;
            void *made;

            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            number = 1 + (random >> 33) % 2900 * (uint64_t)(step + 40) / 440;
            shard = (uint32_t)(random >> 20 & 1);
            for (uint64_t want = 1 + (random >> 40) % 30; count < want && number <= NUMBERS; number++) {
                ls_seqno found;

                if (ask(of, 7, number, &found) == LSI_NUMBER_NEW && (random >> (number % 50) & 3) != 0)
                    numbers[count++] = number;
            }
            if (count == 0)
                continue;
            options.producer = id_of(7);
            for (uint32_t i = 0; i < count; i++)
                users[i] = 1;
            if ((random >> 10 & 7) == 0 && count > 3) { /* the first three in one record */
                users[0] = 3;
                bytes = make_frame_of(&options, users, count - 2, &frame);
            } else {
                bytes = make_frame_of(&options, NULL, count, &frame);
            }
            assert_true(lsi_tail_read(bytes, &frame, &tail));
            seqno += random >> 15 & 3;
            assert_int_equal(lsi_remember(of, &tail, shard, seqno, step), LS_OK);
            for (uint32_t i = 0; i < count; i++)
                put[numbers[i]] = 2 * (users[0] == 3 ? seqno + (i < 3 ? 0 : i - 2) : seqno + i) + shard;
            seqno += frame.count;
            free(bytes);
            if (step % 7 != 0)
                continue;
            assert_int_equal(lsi_remembered_encode(of, 8, &made, &size), LS_OK);
            assert_int_equal(lsi_remembered_decode(&env, "producers", made, size, &position, &again), LS_OK);
            lsi_free(&env.memory, made);
            lsi_remembered_free(of);
            of = again;
        }
        lsi_number_cursor cursor = {.run = NULL};
        for (uint64_t number = 1; number <= NUMBERS; number++) {
            lsi_number_cursor anew = {.run = NULL};
            uint32_t shard = 0, same_shard = 0;
            ls_seqno found = 0, same = 0;
            lsi_number_is is = lsi_remembered_find(of, id_of(7), number, &cursor, &shard, &found);

            assert_int_equal(lsi_remembered_find(of, id_of(7), number, &anew, &same_shard, &same), is);
            assert_int_equal(is, put[number] != 0 ? LSI_NUMBER_REPEATED : LSI_NUMBER_NEW);
            if (is == LSI_NUMBER_REPEATED)
                assert_true(2 * found + shard == put[number] && same == found && same_shard == shard);
        }
        lsi_remembered_free(of);
    }
}

/* The farthest gap, and the longest run of numbers, come back. */
static void numbers_far_apart_are_known(void **state)
{
    static const uint64_t far[] = {1, 2, UINT64_C(1) << 60, (UINT64_C(1) << 61) + 1, LS_NUMBER_MAX};
    const ls_put_options options = options_of(0, far);
    lsi_remembered *of = lsi_remembered_new(&env), *again;
    unsigned char *bytes;
    uint64_t position;
    lsi_frame frame;
    lsi_tail tail;
    size_t size;
    void *made;

    (void)state;
    bytes = make_frame(&options, 5, &frame);
    assert_true(lsi_tail_read(bytes, &frame, &tail));
    tail.producer = id_of(1);
    assert_int_equal(lsi_remember(of, &tail, 0, 9, 1), LS_OK);
    free(bytes);
    assert_int_equal(note(of, 2, 1, UINT64_C(1) << 61, 1, 0), LS_OK);
    assert_int_equal(note(of, 2, (UINT64_C(1) << 61) + 9, LS_NUMBER_MAX - 1, (UINT64_C(1) << 61) + 8, 0), LS_OK);
    assert_int_equal(note(of, 3, 1, 1, 1, 0), LS_OK);
    assert_int_equal(note(of, 3, 2, 2, LS_SEQNO_MAX, 0), LS_OK);
    assert_int_equal(lsi_remembered_encode(of, 8, &made, &size), LS_OK);
    assert_int_equal(lsi_remembered_decode(&env, "producers", made, size, &position, &again), LS_OK);
    for (uint32_t i = 0; i < 5; i++)
        is_put(again, 1, far[i], 9 + i);
    is_else(again, 1, 3, LSI_NUMBER_NEW);
    is_put(again, 2, UINT64_C(1) << 61, UINT64_C(1) << 61);
    is_put(again, 2, LS_NUMBER_MAX - 1, LS_NUMBER_MAX - 2);
    is_else(again, 2, (UINT64_C(1) << 61) + 8, LSI_NUMBER_NEW);
    is_put(again, 3, 2, LS_SEQNO_MAX);
    lsi_free(&env.memory, made);
    lsi_remembered_free(of);
    lsi_remembered_free(again);
}

/* A file of the first form, whose runs are of one frame each and have differences. */
static void a_file_of_differences_is_read(void **state)
{
    static const unsigned char list[8] = {2, 0x80, 1};
    unsigned char bytes[16 + 40 + 48 + 40 + 8];
    lsi_writer to = {bytes, bytes + sizeof bytes};
    lsi_remembered *of;
    uint64_t position;

    (void)state;
    lsi_put_u64(&to, 8);
    lsi_put_u32(&to, 1);
    lsi_put_u32(&to, 0); /* this form */
    for (uint64_t word = 0; word < 4; word++)
        lsi_put_u64(&to, word == 0 ? 1 : word == 1 ? ~UINT64_C(1) : word == 2 ? 5 : 1000);
    lsi_put_u32(&to, 2);
    lsi_put_u32(&to, 0);
    for (uint32_t i = 0; i < 2; i++) {
        lsi_put_u64(&to, 70 + 1000 * i);
        lsi_put_u64(&to, 200 + 1000 * i);
        lsi_put_u64(&to, 800 + 1000 * i);
        lsi_put_u32(&to, 3);
        lsi_put_u32(&to, i == 0 ? 3 : 0);
        lsi_put_u64(&to, 0);
        if (i == 0)
            lsi_put_bytes(&to, list, 8);
    }
    assert_int_equal(lsi_remembered_decode(&env, "producers", bytes, (size_t)(to.at - bytes), &position, &of), LS_OK);
    is_put(of, 1, 70, 800);
    is_put(of, 1, 72, 801);
    is_put(of, 1, 200, 802);
    is_else(of, 1, 73, LSI_NUMBER_NEW);
    is_put(of, 1, 1100, 1830);
    is_else(of, 1, 5, LSI_NUMBER_EXPIRED);
    lsi_remembered_free(of);
    bytes[16 + 40 + 40] = 3; /* leads elsewhere */
    assert_int_equal(lsi_remembered_decode(&env, "producers", bytes, (size_t)(to.at - bytes), &position, &of),
                     LS_ERR_CORRUPT);
    bytes[16 + 40 + 40] = 2;
    bytes[12] = 2; /* of a later release */
    assert_int_equal(lsi_remembered_decode(&env, "producers", bytes, (size_t)(to.at - bytes), &position, &of),
                     LS_ERR_CORRUPT);
}

/* A file with one run, whose lists are these. */
typedef struct lone_run {
    const char *what;
    uint32_t layout; /* 0: differences, 1: gaps */
    uint64_t first, last;
    ls_seqno seqno;
    unsigned char list[24], counts[16];
    uint32_t list_bytes, counts_bytes;
} lone_run;

static ls_status decode_run(const lone_run *run, lsi_remembered **out)
{
    unsigned char bytes[16 + 40 + 40 + 48];
    lsi_writer to = {bytes, bytes + sizeof bytes};
    uint64_t position;

    lsi_put_u64(&to, 8);
    lsi_put_u32(&to, 1);
    lsi_put_u32(&to, run->layout);
    lsi_put_u64(&to, 1); /* id_of(1) */
    lsi_put_u64(&to, ~UINT64_C(1));
    lsi_put_u64(&to, 0);
    lsi_put_u64(&to, 1000);
    lsi_put_u32(&to, 1);
    lsi_put_u32(&to, 0);
    lsi_put_u64(&to, run->first);
    lsi_put_u64(&to, run->last);
    lsi_put_u64(&to, run->seqno);
    lsi_put_u32(&to, 0);
    lsi_put_u32(&to, run->list_bytes);
    lsi_put_u32(&to, run->counts_bytes);
    lsi_put_u32(&to, 0);
    lsi_put_bytes(&to, run->list, run->list_bytes);
    lsi_put_bytes(&to, run->counts, run->counts_bytes);
    lsi_put_zero(&to, (8 - (run->list_bytes + run->counts_bytes) % 8) % 8);
    return lsi_remembered_decode(&env, "producers", bytes, (size_t)(to.at - bytes), &position, out);
}

/* X1: each rule of a run is kept by a run at its edge and broken by one beyond it, by nothing but this rule. Items have
 * 7 bits in each byte: 0x80 * 8, 0x40 is 2^62; a gap that has neither length nor step is 4 * g. */
static void runs_at_the_edges_of_their_rules(void **state)
{
#define HALF 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80
#define FULL 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
    static const lone_run sound[] = {
        {"alone", 1, 1, 1, 1, {0}, {0}, 0, 0},
        {"the last number", 1, LS_NUMBER_MAX, LS_NUMBER_MAX, LS_SEQNO_MAX, {0}, {0}, 0, 0},
        {"all numbers", 1, 1, LS_SEQNO_MAX, 1, {0}, {0}, 0, 0},
        {"a far gap", 1, 1, (UINT64_C(1) << 60) + 2, 1, {HALF, 0x40, HALF, 0x10}, {0}, 18, 0},
        {"a gap before the last record", 1, 1, 9, LS_SEQNO_MAX - 2, {4 * 7 + 2, 0}, {0}, 2, 0},
        {"a span before the last record", 1, 1, 9, LS_SEQNO_MAX - 3, {4 * 5 + 1, 1}, {0}, 2, 0},
        {"an old one alone", 0, 1, 1, 1, {0}, {0}, 0, 0},
        {"an old one, the last number and record", 0, LS_NUMBER_MAX - 1, LS_NUMBER_MAX, LS_SEQNO_MAX - 1, {0}, {0}, 0,
         0},
        {"an old one with differences", 0, 1, 4, LS_SEQNO_MAX - 1, {3}, {0}, 1, 0},
        {"counts", 1, 1, 3, LS_SEQNO_MAX - 1, {0}, {1, 2}, 0, 2},
        {"counts and differences", 1, 1, 6, 1, {1, 4}, {1, 2}, 2, 2},
    };
    static const lone_run broken[] = {
        {"no first number", 1, 0, 1, 1, {0}, {0}, 0, 0},
        {"ends before it begins", 1, 2, 1, 1, {0}, {0}, 0, 0},
        {"a number too many", 1, 1, LS_NUMBER_MAX + 1, 1, {0}, {0}, 0, 0},
        {"no record", 1, 1, 1, LS_SEQNO_NONE, {0}, {0}, 0, 0},
        {"a record too many", 1, 1, 1, LS_SEQNO_MAX + 1, {0}, {0}, 0, 0},
        {"more numbers than records", 1, 1, 2, LS_SEQNO_MAX, {0}, {0}, 0, 0},
        {"a gap that is farther than far", 1, 1, LS_NUMBER_MAX, 1,
         {0x84, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}, {0}, 9, 0},
        {"a far gap that is cut", 1, 1, LS_NUMBER_MAX, 1, {HALF, 0x40, 0x80}, {0}, 10, 0},
        {"a far gap behind all numbers", 1, 1, LS_NUMBER_MAX, 1, {HALF, 0x40, FULL, 0xff, 0x01}, {0}, 19, 0},
        {"a span of more than all numbers", 1, 1, LS_NUMBER_MAX, 1, {1, FULL, 0xff, 0x01}, {0}, 11, 0},
        {"a step over more than all records", 1, 1, LS_NUMBER_MAX, 1, {2, FULL, 0xff, 0x01}, {0}, 11, 0},
        {"an item without an end", 1, 1, LS_NUMBER_MAX, 1, {HALF, 0x80, 0x80, 0x80, 0}, {0}, 12, 0},
        {"a length that is cut", 1, 1, 9, 1, {1, 0x80}, {0}, 2, 0},
        {"a step that is cut", 1, 1, 9, 1, {2}, {0}, 1, 0},
        {"a gap that leads beyond", 1, 1, 9, 1, {4 * 8}, {0}, 1, 0},
        {"a span that leads beyond", 1, 1, 9, 1, {1, 8}, {0}, 2, 0},
        {"a gap behind the last record", 1, 1, 9, LS_SEQNO_MAX - 1, {4 * 7 + 2, 0}, {0}, 2, 0},
        {"a span behind the last record", 1, 1, 9, LS_SEQNO_MAX - 1, {4 * 5 + 1, 1}, {0}, 2, 0},
        {"an old one without a first number", 0, 0, 1, 1, {0}, {0}, 0, 0},
        {"an old one that ends before it begins", 0, 2, 1, 1, {0}, {0}, 0, 0},
        {"an old one with a number too many", 0, LS_NUMBER_MAX, LS_NUMBER_MAX + 1, 1, {0}, {0}, 0, 0},
        {"an old one without a record", 0, 1, 1, LS_SEQNO_NONE, {0}, {0}, 0, 0},
        {"an old one with a record too many", 0, 1, 1, LS_SEQNO_MAX + 1, {0}, {0}, 0, 0},
        {"an old one with more numbers than records", 0, 1, 2, LS_SEQNO_MAX, {0}, {0}, 0, 0},
        {"an old one that leads elsewhere", 0, 1, 4, 1, {2}, {0}, 1, 0},
        {"an old one that leads beyond all numbers", 0, 2, LS_NUMBER_MAX, 1, {FULL, 0x7f}, {0}, 9, 0},
        {"counts of fewer", 1, 1, 3, 1, {0}, {1, 1}, 0, 2},
        {"counts of none", 1, 1, 3, 1, {0}, {3, 0}, 0, 2},
        {"counts behind the last record", 1, 1, 3, LS_SEQNO_MAX, {0}, {1, 2}, 0, 2},
        {"counts, and differences that lead elsewhere", 1, 1, 7, 1, {1, 4}, {1, 2}, 2, 2},
        {"counts, and a difference that is none", 1, 1, 6, 1, {5, 0}, {1, 2}, 2, 2},
    };
    lsi_remembered *of;

    (void)state;
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        if (decode_run(&sound[i], &of) != LS_OK)
            fail_msg("%s: %s", sound[i].what, lsi_error_current()->message);
        is_put(of, 1, sound[i].first, sound[i].seqno);
        lsi_remembered_free(of);
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (decode_run(&broken[i], &of) != LS_ERR_CORRUPT)
            fail_msg("%s: it is sound", broken[i].what);
}

/* Every allocation fails once: NO_MEMORY, and nothing is leaked. */
static void short_memory_is_said_and_loses_nothing(void **state)
{
    lsi_env real = env;

    (void)state;
    for (uint64_t fails = 1;; fails++) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_remembered *of, *merged = NULL, *again = NULL;
        ls_status st = LS_OK;
        uint64_t position;
        void *bytes = NULL;
        size_t size = 0;
        static unsigned char list[] = {2, 3, 0, 0, 0, 0, 0, 0, 3};
        const lsi_tail gaps = {.producer = id_of(70), .first = 1, .last = 6, .list = list, .list_bytes = 2,
                               .counts_bytes = 1};

        env.memory = sim_memory_table(&memory);
        sim_memory_fail(&memory, fails, false);
        of = lsi_remembered_new(&env);
        st = of == NULL ? LS_ERR_NO_MEMORY : LS_OK;
        for (uint64_t i = 0; i < 40 && st == LS_OK; i++)
            st = note(of, i, 1, 1, i + 1, 0);
        for (uint64_t i = 0; i < 40 && st == LS_OK; i++)
            st = note(of, 7, 10 * i + 10, 10 * i + 10, 100 * i + 100, 0);
        if (st == LS_OK)
            st = lsi_remember(of, &gaps, 0, 1, 1);
        if (st == LS_OK)
            st = lsi_remembered_merge(of, of, &merged);
        if (st == LS_OK)
            st = lsi_remembered_encode(merged, 0, &bytes, &size);
        if (st == LS_OK)
            st = lsi_remembered_decode(&env, "producers", bytes, size, &position, &again);
        lsi_remembered_free(of);
        lsi_remembered_free(merged);
        lsi_remembered_free(again);
        lsi_free(&env.memory, bytes);
        assert_int_equal(memory.live, 0);
        if (st == LS_OK)
            break;
        assert_int_equal(st, LS_ERR_NO_MEMORY);
    }
    env = real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_they_were_written),
        cmocka_unit_test(a_number_has_ten_bytes_at_most),
        cmocka_unit_test(counts_are_read_as_they_were_written),
        cmocka_unit_test(a_tail_of_any_bytes_is_refused_or_sound),
        cmocka_unit_test(lists_of_numbers_are_looked_through),
        cmocka_unit_test(numbers_are_found_in_the_records_that_have_them),
        cmocka_unit_test(what_is_remembered_is_written_and_read),
        cmocka_unit_test(any_bytes_are_refused_or_sound),
        cmocka_unit_test(what_two_remember_is_put_together),
        cmocka_unit_test(so_many_producers_are_known),
        cmocka_unit_test(a_producer_is_known_by_its_whole_id),
        cmocka_unit_test(tens_of_thousands_of_puts_with_gaps_are_known),
        cmocka_unit_test(what_all_put_is_bounded),
        cmocka_unit_test(any_puts_are_known_or_expired),
        cmocka_unit_test(numbers_far_apart_are_known),
        cmocka_unit_test(a_file_of_differences_is_read),
        cmocka_unit_test(runs_at_the_edges_of_their_rules),
        cmocka_unit_test(a_few_large_puts_of_two_are_all_kept),
        cmocka_unit_test(a_long_run_takes_what_follows_at_once),
        cmocka_unit_test(short_memory_is_said_and_loses_nothing),
    };

    lsi_env_default(&env);
    return cmocka_run_group_tests_name("remembered", tests, NULL, NULL);
}
