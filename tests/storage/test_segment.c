/* What the header of a segment and the list of segments may say, rule by rule and at each rule's edge (X1); and when
 * records count as arrived by them (storage/age.c), at the edges of clocks and of numbers. Method: bytes with right
 * sums and one value that is wrong, and the last one that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "support/sim_memory.h"

#define HOUR_US LSI_CLOCK_STEP_US
#define FLOOR_US LSI_CLOCK_FLOOR_US
#define NOW_US INT64_C(1700000000000000)

/* ---- the name ---- */

/* Eight digits at least, and nothing else that a number may be written with. */
static void a_segments_number_has_digits_alone(void **state)
{
    static const struct { const char *name; uint32_t number; } names[] = {
        {"00000001.seg", 1}, {"12345678.seg", 12345678}, {"4294967295.seg", UINT32_MAX}, {"4294967296.seg", 0},
        {"99999999999999999999.seg", 0}, {"00000000.seg", 0}, {"0000001.seg", 0}, {"+0000001.seg", 0},
        {"-0000001.seg", 0}, {" 0000001.seg", 0}, {"\t0000001.seg", 0}, {"0x000001.seg", 0}, {"00000001.idx", 0},
        {"00000001.segs", 0}, {"00000001seg", 0}, {"00000001.", 0}, {"00000001", 0}, {"", 0}, {".seg", 0},
        {"/0000001.seg", 0}, {":0000001.seg", 0}, {"00000001.seg.damaged-1", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lsi_segment_number_of(names[i].name, "seg") != names[i].number)
            fail_msg("'%s' has number %u", names[i].name, lsi_segment_number_of(names[i].name, "seg"));
}

/* ---- the header ---- */

#define SUM_AT (LSI_SEGMENT_HEADER_BYTES - 8)

static void header_bytes(unsigned char bytes[LSI_SEGMENT_HEADER_BYTES])
{
    lsi_segment_header header = {.stream = 5, .shard = 6, .number = 3, .base = 4096, .base_seqno = 10,
                                 .seqno_limit = 20, .frames_bytes_max = 65536,
                                 .terms = {.codec = 1, .key_id_bytes = LSI_KEY_ID_BYTES_MAX}};

    memset(header.store_id, 7, sizeof header.store_id);
    memset(header.terms.key_id, 'k', sizeof header.terms.key_id);
    lsi_segment_header_encode(&header, bytes);
}

static void fix_sum(unsigned char *bytes)
{
    lsi_write_u64le(bytes + SUM_AT, lsi_sum64(bytes, SUM_AT, 0));
}

/* FORMAT.md, "Segment". */
static void a_header_with_one_number_that_cannot_be_is_refused(void **state)
{
    static const struct { uint32_t at, bytes; uint64_t value; ls_status st; } cases[] = {
        {8, 4, 1, LS_ERR_VERSION}, {12, 4, 4095, LS_ERR_VERSION}, {12, 4, 4097, LS_ERR_VERSION},
        {20, 4, 1 | 4, LS_ERR_VERSION}, {20, 4, 1 | 1u << 31, LS_ERR_VERSION}, {16, 4, UINT32_MAX, LS_OK},
        {20, 4, 0, LS_ERR_CORRUPT}, {20, 4, 3, LS_OK},
        {40, 8, 4, LS_ERR_CORRUPT}, {48, 4, 7, LS_ERR_CORRUPT}, {24, 8, 0, LS_ERR_CORRUPT}, {32, 8, 0, LS_ERR_CORRUPT},
        {64, 8, 0, LS_ERR_CORRUPT}, {64, 8, 1, LS_OK}, {64, 8, 20, LS_OK}, {64, 8, 21, LS_ERR_CORRUPT},
        {72, 8, 9, LS_ERR_CORRUPT}, {72, 8, 10, LS_OK}, {72, 8, LS_SEQNO_END, LS_OK},
        {72, 8, LS_SEQNO_END + 1, LS_ERR_CORRUPT},
        {56, 8, 4100, LS_ERR_CORRUPT}, {56, 8, 4097, LS_ERR_CORRUPT}, {56, 8, 0, LS_OK},
        {56, 8, LSI_POSITION_MAX, LS_OK}, {56, 8, LSI_POSITION_MAX + 8, LS_ERR_CORRUPT},
        {152, 8, UINT32_MAX, LS_OK}, {152, 8, UINT64_C(1) << 32, LS_ERR_CORRUPT},
        {164, 4, 0, LS_ERR_CORRUPT}, {164, 4, 1, LS_OK}, {164, 4, LSI_KEY_ID_BYTES_MAX + 1, LS_ERR_CORRUPT},
        {184, 1, 0, LS_ERR_CORRUPT}, {184 + LSI_KEY_ID_BYTES_MAX - 1, 1, 0, LS_ERR_CORRUPT},
    };
    lsi_log_config owner = {.stream = 5, .shard = 6};
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header out;

    (void)state;
    memset(owner.store_id, 7, sizeof owner.store_id);
    header_bytes(bytes);
    assert_int_equal(lsi_segment_header_decode("it", bytes, &owner, &out), LS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header_bytes(bytes);
        for (uint32_t k = 0; k < cases[i].bytes; k++)
            bytes[cases[i].at + k] = (unsigned char)(cases[i].value >> 8 * k);
        fix_sum(bytes);
        if (lsi_segment_header_decode("it", bytes, &owner, &out) != cases[i].st)
            fail_msg("case %zu, %llu at %u: not %s", i, (unsigned long long)cases[i].value, cases[i].at,
                     ls_status_name(cases[i].st));
        if (cases[i].st != LS_OK)
            assert_non_null(strstr(ls_last_error_message(), "it"));
    }
}

/* Whoever asks for no owner is not told of a wrong one. */
static void nobodys_header_is_read_too(void **state)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header out;

    (void)state;
    header_bytes(bytes);
    lsi_write_u64le(bytes + 40, 99);
    fix_sum(bytes);
    assert_int_equal(lsi_segment_header_decode("it", bytes, NULL, &out), LS_OK);
    assert_int_equal(out.stream, 99);
}

/* Packing marks the file and nothing else: the sum that its frames are salted with stays that of the plain one. */
static void a_header_is_the_same_in_blocks(void **state)
{
    unsigned char plain[LSI_SEGMENT_HEADER_BYTES], bytes[LSI_SEGMENT_HEADER_BYTES], kept[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header before, out;

    (void)state;
    header_bytes(plain);
    memcpy(bytes, plain, sizeof bytes);
    lsi_segment_header_unpack(bytes); /* It is not packed. */
    assert_memory_equal(bytes, plain, sizeof bytes);
    assert_int_equal(lsi_segment_header_decode("it", plain, NULL, &before), LS_OK);
    assert_false(before.is_packed);
    lsi_segment_header_pack(bytes);
    assert_int_equal(lsi_segment_header_decode("it", bytes, NULL, &out), LS_OK);
    assert_true(out.is_packed);
    assert_int_equal(out.sum, before.sum);
    assert_int_equal(lsi_segment_seed(&out), lsi_segment_seed(&before));
    memcpy(kept, bytes, sizeof kept);
    kept[200] ^= 1; /* Its sum is wrong: it gets no right one. */
    memcpy(bytes, kept, sizeof bytes);
    lsi_segment_header_unpack(bytes);
    assert_memory_equal(bytes, kept, sizeof bytes);
    bytes[200] ^= 1;
    lsi_segment_header_unpack(bytes);
    assert_memory_equal(bytes, plain, sizeof bytes);
}

/* ---- the list ---- */

#define HEAD_BYTES 16u
#define ENTRY_BYTES 64u
#define SKIP_BYTES 32u
#define ENTRIES 3u
#define SKIPS 2u
#define LIST_BYTES (HEAD_BYTES + ENTRIES * ENTRY_BYTES + SKIPS * SKIP_BYTES)

/* Segments 2, 4 and 5: [64, 128), [128, 256) and from 256 on; skips [64, 80) and [80, 96). */
static void list_bytes(unsigned char bytes[LIST_BYTES])
{
    static const uint64_t bases[] = {64, 128, 256}, ends[] = {128, 256, 0}, seqnos[] = {10, 20, 30};
    static const uint32_t numbers[] = {2, 4, 5};

    memset(bytes, 0, LIST_BYTES);
    lsi_write_u32le(bytes, ENTRIES);
    lsi_write_u32le(bytes + 4, SKIPS);
    lsi_write_u64le(bytes + 8, 10);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        unsigned char *at = bytes + HEAD_BYTES + i * ENTRY_BYTES;

        lsi_write_u32le(at, numbers[i]);
        lsi_write_u32le(at + 4, i + 1 < ENTRIES ? LSI_SEGMENT_SEALED : 0);
        lsi_write_u64le(at + 8, bases[i]);
        lsi_write_u64le(at + 16, ends[i]);
        lsi_write_u64le(at + 24, seqnos[i]);
        lsi_write_u64le(at + 32, seqnos[i] + 10);
    }
    for (uint32_t i = 0; i < SKIPS; i++) {
        unsigned char *at = bytes + HEAD_BYTES + ENTRIES * ENTRY_BYTES + i * SKIP_BYTES;

        lsi_write_u64le(at, 64 + 16 * i);
        lsi_write_u64le(at + 8, 80 + 16 * i);
    }
}

#define ENTRY(i, at) (HEAD_BYTES + (i) * ENTRY_BYTES + (at))
#define SKIP(i, at) (HEAD_BYTES + ENTRIES * ENTRY_BYTES + (i) * SKIP_BYTES + (at))

static void a_list_with_one_number_that_cannot_be_is_refused(void **state)
{
    static const struct { uint32_t at, bytes; uint64_t value; ls_status st; } cases[] = {
        {0, 4, 0, LS_ERR_CORRUPT}, {0, 4, 2, LS_ERR_CORRUPT}, {0, 4, 4, LS_ERR_CORRUPT},
        {0, 4, UINT32_MAX, LS_ERR_CORRUPT}, {4, 4, 1, LS_ERR_CORRUPT}, {4, 4, 3, LS_ERR_CORRUPT},
        {4, 4, UINT32_MAX, LS_ERR_CORRUPT},
        {8, 8, 0, LS_OK}, {8, 8, 11, LS_ERR_CORRUPT}, {8, 8, UINT64_MAX, LS_ERR_CORRUPT},
        {ENTRY(0, 0), 4, 0, LS_ERR_CORRUPT}, {ENTRY(0, 0), 4, 3, LS_OK}, {ENTRY(0, 0), 4, 4, LS_ERR_CORRUPT},
        {ENTRY(2, 0), 4, 4, LS_ERR_CORRUPT}, {ENTRY(2, 0), 4, UINT32_MAX, LS_OK},
        {ENTRY(0, 4), 4, 0, LS_ERR_CORRUPT}, {ENTRY(2, 4), 4, LSI_SEGMENT_SEALED, LS_ERR_CORRUPT},
        {ENTRY(1, 4), 4, UINT32_MAX, LS_OK}, {ENTRY(2, 4), 4, LSI_SEGMENT_NUMBERED, LS_OK},
        {ENTRY(0, 8), 8, 60, LS_ERR_CORRUPT}, {ENTRY(0, 8), 8, 0, LS_OK}, {ENTRY(0, 8), 8, 128, LS_OK},
        {ENTRY(0, 8), 8, 136, LS_ERR_CORRUPT}, {ENTRY(1, 8), 8, 136, LS_ERR_CORRUPT},
        {ENTRY(2, 8), 8, 264, LS_ERR_CORRUPT},
        {ENTRY(0, 16), 8, 120, LS_ERR_CORRUPT}, {ENTRY(1, 16), 8, 252, LS_ERR_CORRUPT},
        {ENTRY(2, 16), 8, 512, LS_ERR_CORRUPT}, {ENTRY(2, 16), 8, 8, LS_ERR_CORRUPT},
        {ENTRY(0, 24), 8, 0, LS_ERR_CORRUPT}, {ENTRY(0, 24), 8, 9, LS_ERR_CORRUPT}, /* below what was trimmed */
        {ENTRY(0, 24), 8, 20, LS_OK}, {ENTRY(0, 24), 8, 21, LS_ERR_CORRUPT},
        {ENTRY(1, 24), 8, 10, LS_OK}, {ENTRY(1, 24), 8, 9, LS_ERR_CORRUPT},
        {ENTRY(2, 24), 8, 19, LS_ERR_CORRUPT},
        {ENTRY(2, 32), 8, 29, LS_ERR_CORRUPT}, {ENTRY(2, 32), 8, 30, LS_OK}, {ENTRY(2, 32), 8, LS_SEQNO_END, LS_OK},
        {ENTRY(2, 32), 8, LS_SEQNO_END + 1, LS_ERR_CORRUPT},
        {ENTRY(0, 56), 8, (UINT64_C(1) << 33) - 1, LS_OK}, {ENTRY(0, 56), 8, UINT64_C(1) << 33, LS_ERR_CORRUPT},
        {SKIP(0, 0), 8, 0, LS_OK}, {SKIP(0, 0), 8, 68, LS_ERR_CORRUPT}, {SKIP(0, 0), 8, 80, LS_ERR_CORRUPT},
        {SKIP(0, 0), 8, 88, LS_ERR_CORRUPT}, {SKIP(0, 8), 8, 76, LS_ERR_CORRUPT}, {SKIP(0, 8), 8, 88, LS_ERR_CORRUPT},
        {SKIP(1, 0), 8, 72, LS_ERR_CORRUPT}, {SKIP(1, 0), 8, 88, LS_OK}, {SKIP(1, 8), 8, 2 * LSI_POSITION_MAX, LS_OK},
        {SKIP(1, 8), 8, 2 * LSI_POSITION_MAX + 8, LS_ERR_CORRUPT},
    };
    sim_memory memory = SIM_MEMORY_INIT;
    unsigned char bytes[LIST_BYTES];
    lsi_segment_list *list;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    env.memory = sim_memory_table(&memory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        list_bytes(bytes);
        for (uint32_t k = 0; k < cases[i].bytes; k++)
            bytes[cases[i].at + k] = (unsigned char)(cases[i].value >> 8 * k);
        if (lsi_segment_list_decode(&env, "it", bytes, sizeof bytes, &list) != cases[i].st)
            fail_msg("case %zu, %llu at %u: not %s", i, (unsigned long long)cases[i].value, cases[i].at,
                     ls_status_name(cases[i].st));
        if (cases[i].st == LS_OK)
            lsi_segment_list_unref(list);
        else
            assert_non_null(strstr(ls_last_error_message(), "it"));
        assert_int_equal(memory.live, 0);
    }
    list_bytes(bytes);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(lsi_segment_list_decode(&env, "it", bytes, size, &list), LS_ERR_CORRUPT);
    sim_memory_fail(&memory, 1, false);
    assert_int_equal(lsi_segment_list_decode(&env, "it", bytes, sizeof bytes, &list), LS_ERR_NO_MEMORY);
}

/* No frame of a segment lies further from its base than a header can say, nor does its end; and no base lies so far
 * that what is added to it wraps. */
static void a_list_goes_no_further_than_positions_do(void **state)
{
    static const struct { uint64_t base, end; ls_status st; } cases[] = {
        {0, UINT32_MAX - 7, LS_OK}, {0, UINT64_C(1) << 32, LS_ERR_CORRUPT}, {8, UINT64_C(1) << 32, LS_OK},
        {LSI_POSITION_MAX - 8, LSI_POSITION_MAX, LS_OK}, {LSI_POSITION_MAX, LSI_POSITION_MAX, LS_OK},
        {LSI_POSITION_MAX, LSI_POSITION_MAX + 8, LS_ERR_CORRUPT}, {LSI_POSITION_MAX + 8, LSI_POSITION_MAX + 8,
                                                                   LS_ERR_CORRUPT},
    };
    unsigned char bytes[HEAD_BYTES + 2 * ENTRY_BYTES];
    lsi_segment_list *list;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char *first = bytes + HEAD_BYTES, *last = first + ENTRY_BYTES;
        ls_status st;

        memset(bytes, 0, sizeof bytes);
        lsi_write_u32le(bytes, 2);
        lsi_write_u32le(first, 1);
        lsi_write_u32le(first + 4, LSI_SEGMENT_SEALED);
        lsi_write_u64le(first + 8, cases[i].base);
        lsi_write_u64le(first + 16, cases[i].end);
        lsi_write_u32le(last, 2);
        lsi_write_u64le(last + 8, cases[i].end);
        for (uint32_t k = 0; k < 2; k++) {
            lsi_write_u64le(first + k * ENTRY_BYTES + 24, 1);
            lsi_write_u64le(first + k * ENTRY_BYTES + 32, 1);
        }
        st = lsi_segment_list_decode(&env, "it", bytes, sizeof bytes, &list);
        if (st != cases[i].st)
            fail_msg("case %zu is %s", i, ls_status_name(st));
        if (st == LS_OK)
            lsi_segment_list_unref(list);
    }
}

static void positions_are_found_in_a_list(void **state)
{
    static const struct { uint64_t position; uint32_t at; int skip; } cases[] = {
        {0, 0, -1}, {63, 0, -1}, {64, 0, 0}, {79, 0, 0}, {80, 0, 1}, {95, 0, 1}, {96, 0, -1}, {127, 0, -1},
        {128, 1, -1}, {255, 1, -1}, {256, 2, -1}, {UINT64_MAX, 2, -1}};
    unsigned char bytes[LIST_BYTES];
    lsi_segment_list *list;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    list_bytes(bytes);
    lsi_write_u64le(bytes + ENTRY(1, 56), 77);
    assert_int_equal(lsi_segment_list_decode(&env, "it", bytes, sizeof bytes, &list), LS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lsi_segment_list_find(list, cases[i].position), cases[i].at);
        assert_ptr_equal(lsi_skip_at(list, cases[i].position), cases[i].skip < 0 ? NULL : &list->skips[cases[i].skip]);
    }
    assert_int_equal(lsi_segment_entry_bytes(&list->entries[0]), LSI_SEGMENT_HEADER_BYTES + 64);
    assert_int_equal(lsi_segment_list_sealed_bytes(list), LSI_SEGMENT_HEADER_BYTES + 64 + 77);
    lsi_segment_list_unref(list);
}

/* ---- ages ---- */

static lsi_segment_header begun(int64_t created_us, int64_t base_arrival_us)
{
    return (lsi_segment_header){.number = 1, .created_us = created_us, .base_arrival_us = base_arrival_us};
}

/* G1. */
static void a_segment_is_ahead_by_more_than_an_hour(void **state)
{
    static const struct { int64_t created_us, base_us, lead_us; } cases[] = {
        {NOW_US, NOW_US, 0}, {NOW_US, NOW_US + HOUR_US, 0}, {NOW_US, NOW_US + HOUR_US + 1, HOUR_US + 1},
        {NOW_US, NOW_US - 2 * HOUR_US, 0}, {NOW_US, INT64_MIN, 0}, {INT64_MIN, NOW_US, 0}, {-1, INT64_MAX, 0},
        {0, INT64_MAX, INT64_MAX}};
    lsi_segment_header header;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header = begun(cases[i].created_us, cases[i].base_us);
        assert_int_equal(lsi_segment_lead_us(&header), cases[i].lead_us);
    }
    header = begun(FLOOR_US, FLOOR_US);
    assert_int_equal(lsi_segment_fits_from_us(&header), FLOOR_US);
    header = begun(FLOOR_US - 1, FLOOR_US - 1);
    assert_int_equal(lsi_segment_fits_from_us(&header), INT64_MAX);
    header = begun(FLOOR_US, FLOOR_US + HOUR_US + 1);
    assert_int_equal(lsi_segment_fits_from_us(&header), INT64_MAX);
}

static int64_t passing(void *user)
{
    (void)user;
    return 0;
}

/* Whether another segment must begin: where the clock went back by more than an hour, was wrong and is not, or is wrong
 * and was not, or has passed stamps that were ahead. */
static void a_clock_fits_a_segment_or_begins_another(void **state)
{
    static const struct { int64_t created_us, base_us, last_us, now_us; bool fits, fits_users; } cases[] = {
        {NOW_US, NOW_US, NOW_US, NOW_US, true, true},
        {NOW_US, NOW_US, NOW_US + HOUR_US, NOW_US, true, true},
        {NOW_US, NOW_US, NOW_US + HOUR_US + 1, NOW_US, false, false},
        {FLOOR_US, FLOOR_US, FLOOR_US, FLOOR_US, true, true},
        {FLOOR_US, FLOOR_US, FLOOR_US, FLOOR_US - 1, false, true},
        {FLOOR_US - 1, FLOOR_US - 1, FLOOR_US - 1, FLOOR_US, false, true},
        {5, 5, 5, 6, true, true},
        {NOW_US, NOW_US + 2 * HOUR_US, NOW_US + 2 * HOUR_US, NOW_US, true, true},
        {NOW_US, NOW_US + 2 * HOUR_US, NOW_US + 2 * HOUR_US, NOW_US + 2 * HOUR_US, false, false},
        {NOW_US, NOW_US + 2 * HOUR_US, NOW_US + 3 * HOUR_US, NOW_US, true, true},
        {NOW_US, NOW_US + 2 * HOUR_US, NOW_US + 3 * HOUR_US + 1, NOW_US, false, false},
        {NOW_US, INT64_MAX, INT64_MAX, NOW_US + 1, false, false}, /* The sum would wrap, ... */
        {1, 1, INT64_MAX, INT64_MIN, false, false},               /* ... or the difference. */
    };
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lsi_segment_header header = begun(cases[i].created_us, cases[i].base_us);

        env.clock.passing_us = NULL;
        if (lsi_segment_fits_clock(&env, &header, cases[i].last_us, cases[i].now_us) != cases[i].fits)
            fail_msg("case %zu", i);
        env.clock.passing_us = passing; /* A user sets the clock: 1970 is a year as any other. */
        if (lsi_segment_fits_clock(&env, &header, cases[i].last_us, cases[i].now_us) != cases[i].fits_users)
            fail_msg("case %zu, where a user sets the clock", i);
    }
}

/* G1, G2: what the list says of a segment that begins, and of one behind another that is ahead. */
static void a_segment_is_listed_as_its_clock_was(void **state)
{
    lsi_segment_header late = begun(FLOOR_US - 1, NOW_US), ahead = begun(NOW_US, NOW_US + 2 * HOUR_US),
                       right = begun(FLOOR_US, FLOOR_US + 5);
    lsi_segment_entry entry, old, was;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    lsi_segment_entry_begin(&env, &late, &entry);
    assert_int_equal(entry.flags, LSI_SEGMENT_DOUBTFUL);
    assert_int_equal(entry.base_arrival_us, NOW_US);
    lsi_segment_entry_begin(&env, &right, &entry);
    assert_int_equal(entry.flags, 0);
    assert_int_equal(entry.base_arrival_us, FLOOR_US + 5);
    env.clock.passing_us = passing;
    late.base_arrival_us = late.created_us;
    lsi_segment_entry_begin(&env, &late, &entry);
    assert_int_equal(entry.flags, 0);
    env.clock.passing_us = NULL;
    lsi_segment_entry_begin(&env, &ahead, &old);
    assert_int_equal(old.flags, LSI_SEGMENT_AHEAD);
    assert_int_equal(old.base_arrival_us, NOW_US);

    was = old;
    was.base_arrival_us = NOW_US + HOUR_US;
    entry = was;
    lsi_segment_entry_follow(&entry, &old, &ahead, NOW_US + 2 * HOUR_US + 3); /* arrived 3 us after that was begun */
    assert_int_equal(entry.base_arrival_us, NOW_US + 3);
    entry = was;
    lsi_segment_entry_follow(&entry, &old, &ahead, NOW_US + 4 * HOUR_US); /* later than this one was begun */
    assert_int_equal(entry.base_arrival_us, was.base_arrival_us);
    lsi_segment_entry_follow(&entry, &old, &ahead, INT64_MIN); /* The difference would wrap. */
    assert_int_equal(entry.base_arrival_us, was.base_arrival_us);
    old.flags = LSI_SEGMENT_DOUBTFUL; /* One of the two alone is not enough. */
    lsi_segment_entry_follow(&entry, &old, &ahead, NOW_US + 2 * HOUR_US + 3);
    assert_int_equal(entry.base_arrival_us, was.base_arrival_us);
    old.flags = LSI_SEGMENT_AHEAD;
    entry.flags = 0;
    lsi_segment_entry_follow(&entry, &old, &ahead, NOW_US + 2 * HOUR_US + 3);
    assert_int_equal(entry.base_arrival_us, was.base_arrival_us);
}

#define A LSI_SEGMENT_AHEAD
#define D LSI_SEGMENT_DOUBTFUL
#define C (LSI_SEGMENT_AHEAD | LSI_SEGMENT_CORRECTED)
#define NEVER_US INT64_MAX

/* G3 to G5. Entries arrived from 10, 20 and 30 on. */
static void the_newest_of_each_segment_is_what_its_followers_say(void **state)
{
    static const struct { uint32_t flags[3]; bool is_late; int64_t newest_us[3]; bool is_stamped[3]; } cases[] = {
        {{0, 0, 0}, false, {20, 30, NEVER_US}, {true, true, true}},
        {{0, D, 0}, false, {30, 30, NEVER_US}, {true, false, true}},
        {{0, 0, D}, false, {20, NEVER_US, NEVER_US}, {true, true, false}},
        {{0, A, 0}, false, {30, 30, NEVER_US}, {true, false, true}}, /* The clock has passed it. */
        {{0, A, A}, false, {20, 30, NEVER_US}, {true, true, true}},
        {{0, A, A}, true, {NEVER_US, NEVER_US, NEVER_US}, {true, false, false}},
        {{A, D, A}, false, {30, 30, NEVER_US}, {true, false, true}},
        {{A, 0, A}, false, {20, 30, NEVER_US}, {false, true, true}},
        {{0, A, C}, false, {30, 30, NEVER_US}, {true, false, true}}, /* G5 */
        {{A, C, A}, false, {20, 30, NEVER_US}, {false, true, true}},
        {{A, A, C}, false, {30, 30, NEVER_US}, {false, false, true}},
        {{D, D, D}, true, {NEVER_US, NEVER_US, NEVER_US}, {false, false, false}},
    };
    lsi_segment_entry entries[3];
    lsi_segment_list list = {.count = 3, .entries = entries};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (uint32_t k = 0; k < 3; k++)
            entries[k] = (lsi_segment_entry){.flags = cases[i].flags[k], .base_arrival_us = 10 * (int64_t)(k + 1)};
        lsi_segment_list_find_ages(&list, cases[i].is_late);
        assert_int_equal(list.is_late, cases[i].is_late);
        for (uint32_t k = 0; k < 3; k++)
            if (entries[k].newest_us != cases[i].newest_us[k] || entries[k].is_stamped != cases[i].is_stamped[k])
                fail_msg("case %zu, entry %u: newest %lld, %sstamped", i, k, (long long)entries[k].newest_us,
                         entries[k].is_stamped ? "" : "not ");
    }
    entries[1].newest_us = 77;
    assert_int_equal(lsi_segment_list_newest_us(&list, 1, FLOOR_US), 77);
    assert_int_equal(lsi_segment_list_newest_us(&list, 1, FLOOR_US - 1), 30);
    assert_int_equal(lsi_segment_list_newest_us(&list, 2, FLOOR_US - 1), NEVER_US);
}

/* G4. */
static void a_list_is_late_when_the_clock_has_passed_its_stamps(void **state)
{
    static const struct { uint32_t flags; int64_t last_us, now_us; bool is_late; } cases[] = {
        {A, NOW_US, NOW_US, true}, {D, NOW_US, NOW_US, true}, {A | D, INT64_MIN, FLOOR_US, true},
        {LSI_SEGMENT_NUMBERED, NOW_US, NOW_US, false}, {A, NOW_US + 1, NOW_US, false},
        {D, INT64_MIN, FLOOR_US - 1, false}};
    lsi_segment_entry entries[2] = {{.flags = A}, {.flags = 0}};
    lsi_segment_list list = {.count = 2, .entries = entries};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entries[1].flags = cases[i].flags;
        if (lsi_segment_list_is_late(&list, cases[i].last_us, cases[i].now_us) != cases[i].is_late)
            fail_msg("case %zu", i);
    }
}

static void a_stamp_is_sought_as_the_segment_counts(void **state)
{
    lsi_segment_header ahead = begun(NOW_US, NOW_US + 2 * HOUR_US), far = begun(0, INT64_MAX);
    lsi_segment_entry entry = {.newest_us = NOW_US, .is_stamped = true};

    (void)state;
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, FLOOR_US - 1), FLOOR_US - 1);
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, FLOOR_US), FLOOR_US);
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, NOW_US), NOW_US);
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, NOW_US + 1), INT64_MAX);
    entry.flags = A;
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, NOW_US), NOW_US + 2 * HOUR_US);
    assert_int_equal(lsi_segment_stamp_sought(&entry, &far, NOW_US), INT64_MAX);
    entry.is_stamped = false;
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, NOW_US), INT64_MIN);
    assert_int_equal(lsi_segment_stamp_sought(&entry, &ahead, NOW_US + 1), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segments_number_has_digits_alone),
        cmocka_unit_test(a_header_with_one_number_that_cannot_be_is_refused),
        cmocka_unit_test(nobodys_header_is_read_too),
        cmocka_unit_test(a_header_is_the_same_in_blocks),
        cmocka_unit_test(a_list_with_one_number_that_cannot_be_is_refused),
        cmocka_unit_test(a_list_goes_no_further_than_positions_do),
        cmocka_unit_test(positions_are_found_in_a_list),
        cmocka_unit_test(a_segment_is_ahead_by_more_than_an_hour),
        cmocka_unit_test(a_clock_fits_a_segment_or_begins_another),
        cmocka_unit_test(a_segment_is_listed_as_its_clock_was),
        cmocka_unit_test(the_newest_of_each_segment_is_what_its_followers_say),
        cmocka_unit_test(a_list_is_late_when_the_clock_has_passed_its_stamps),
        cmocka_unit_test(a_stamp_is_sought_as_the_segment_counts),
    };
    return cmocka_run_group_tests_name("headers and lists of segments", tests, NULL, NULL);
}
