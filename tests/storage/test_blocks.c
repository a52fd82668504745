/* A segment's file in blocks (storage/blocks.h): it reads as what it was made from; bytes that are wrong, short or lie
 * cost no more than their own block, and no memory (X1, X2). Method: files in memory, changed by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compress.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/blocks.h"
#include "support/sim_memory.h"

#define SEED UINT64_C(77)
#define BLOCKS 4u
#define PLAIN_BYTES (LSI_SEGMENT_HEADER_BYTES + (BLOCKS - 1) * LSI_BLOCK_BYTES + 5000u)
#define TABLE_BYTES (24u + 4 * BLOCKS + 8u)
#define BOMB_BYTES ((size_t)256 << 20)

typedef struct fixture {
    lsi_files *files;
    lsi_root root;
    lsi_env env;
    sim_memory memory;
    unsigned char plain[PLAIN_BYTES], made[2 * PLAIN_BYTES];
    uint64_t made_bytes;
} fixture;

static lsi_file open_file(fixture *fx, const char *name, const void *bytes, size_t size)
{
    lsi_file file = {0};

    assert_int_equal(fx->files->open(&fx->root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    if (size > 0)
        assert_int_equal(lsi_file_write_one(&file, bytes, size, 0), 0);
    return file;
}

/* Blocks 0, 1 and 3 are text, each its own; block 2 does not get smaller. */
static int begin(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    lsi_segment from = {.seed = SEED, .name = "from"};
    uint32_t random = 1;
    lsi_file to;

    assert_non_null(fx);
    fx->files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(fx->files);
    assert_int_equal(fx->files->root_open(fx->files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &fx->root), 0);
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    lsi_env_default(&fx->env);
    fx->env.memory = sim_memory_table(&fx->memory);
    for (uint32_t i = LSI_SEGMENT_HEADER_BYTES; i < PLAIN_BYTES; i++) {
        uint32_t block = (i - LSI_SEGMENT_HEADER_BYTES) / LSI_BLOCK_BYTES;

        random = random * 1664525 + 1013904223;
        fx->plain[i] = block == 2 ? (unsigned char)(random >> 24) : (unsigned char)('a' + block + i / 700 % 20);
    }
    from.file = open_file(fx, "from", fx->plain, PLAIN_BYTES);
    to = open_file(fx, "to", NULL, 0);
    assert_int_equal(lsi_blocks_write(&fx->env, &from, PLAIN_BYTES, &to, "to", &fx->made_bytes), LS_OK);
    assert_true(fx->made_bytes < PLAIN_BYTES / 2 && fx->made_bytes <= sizeof fx->made);
    assert_int_equal(fx->files->read(&to, fx->made, sizeof fx->made, 0), (int64_t)fx->made_bytes);
    assert_int_equal(fx->files->close(&from.file), 0);
    assert_int_equal(fx->files->close(&to), 0);
    *state = fx;
    return 0;
}

static int end(void **state)
{
    fixture *fx = *state;

    assert_int_equal(fx->memory.live, 0);
    fx->files->root_close(&fx->root);
    lsi_files_memory_free(fx->files);
    free(fx);
    return 0;
}

/* What the first `size` bytes of `made` are read as. `*file` is closed unless it is LS_OK. */
static ls_status attach(fixture *fx, uint64_t size, lsi_file *file)
{
    ls_status st;

    (void)fx->files->unlink(&fx->root, "hurt"); /* there may be none */
    *file = open_file(fx, "hurt", fx->made, (size_t)size);
    st = lsi_blocks_attach(&fx->env, "hurt", SEED, true, file);
    if (st != LS_OK)
        assert_int_equal(file->files->close(file), 0);
    return st;
}

/* All but the header, which says that it is packed: blocks of `zeros`, bit by bit, read as zeros, and others as they
 * were. Then it is closed. */
static void assert_reads(fixture *fx, lsi_file *file, unsigned zeros)
{
    static unsigned char got[PLAIN_BYTES], none[LSI_BLOCK_BYTES];
    uint64_t size;

    assert_int_equal(file->files->size(file, &size), 0);
    assert_int_equal(size, PLAIN_BYTES);
    memset(got, 0xEE, sizeof got);
    assert_int_equal(file->files->read(file, got, PLAIN_BYTES, 0), PLAIN_BYTES);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        uint32_t at = LSI_SEGMENT_HEADER_BYTES + i * LSI_BLOCK_BYTES;
        uint32_t bytes = PLAIN_BYTES - at < LSI_BLOCK_BYTES ? PLAIN_BYTES - at : LSI_BLOCK_BYTES;

        assert_memory_equal(got + at, (zeros >> i & 1) != 0 ? none : fx->plain + at, bytes);
    }
    assert_int_equal(file->files->close(file), 0);
}

static uint64_t begin_of(const fixture *fx, uint32_t block)
{
    uint64_t at = LSI_SEGMENT_HEADER_BYTES + TABLE_BYTES;

    for (uint32_t i = 0; i < block; i++)
        at += lsi_read_u32le(fx->made + LSI_SEGMENT_HEADER_BYTES + 24 + 4 * i);
    return at;
}

static void it_reads_as_it_was(void **state)
{
    fixture *fx = *state;
    unsigned char got[300];
    lsi_file file;

    assert_int_equal(attach(fx, fx->made_bytes, &file), LS_OK);
    for (uint32_t at = LSI_SEGMENT_HEADER_BYTES; at < PLAIN_BYTES; at += 211) {
        uint32_t left = PLAIN_BYTES - at;

        assert_int_equal(file.files->read(&file, got, sizeof got, at), left < sizeof got ? left : sizeof got);
        assert_memory_equal(got, fx->plain + at, left < sizeof got ? left : sizeof got);
    }
    assert_int_equal(file.files->read(&file, got, 1, PLAIN_BYTES), 0);
    assert_reads(fx, &file, 0);
}

/* Every byte of either table may be wrong, of both at the same place not; and each is refused that is of another
 * segment. */
static void either_table_will_do(void **state)
{
    fixture *fx = *state;
    unsigned char *first = fx->made + LSI_SEGMENT_HEADER_BYTES, *second = fx->made + fx->made_bytes - 8 - TABLE_BYTES;
    lsi_file file;

    assert_memory_equal(first, second, TABLE_BYTES);
    for (uint32_t i = 0; i < TABLE_BYTES; i++) {
        first[i] ^= 0x40;
        assert_int_equal(attach(fx, fx->made_bytes, &file), LS_OK);
        assert_reads(fx, &file, 0);
        second[i] ^= 0x40;
        assert_int_equal(attach(fx, fx->made_bytes, &file), LS_ERR_CORRUPT);
        assert_non_null(strstr(ls_last_error_message(), "hurt"));
        first[i] ^= 0x40;
        assert_int_equal(attach(fx, fx->made_bytes, &file), LS_OK);
        assert_reads(fx, &file, 0);
        second[i] ^= 0x40;
    }
}

/* Cut anywhere: what is left of it reads as it was. */
static void a_cut_costs_the_blocks_that_are_missing(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    for (uint64_t size = fx->made_bytes; size > 0; size -= size > 97 ? 97 : size) {
        unsigned zeros = 0;

        if (size < LSI_SEGMENT_HEADER_BYTES + TABLE_BYTES) {
            assert_int_equal(attach(fx, size, &file), LS_ERR_CORRUPT);
            continue;
        }
        for (uint32_t i = 0; i < BLOCKS; i++)
            zeros |= begin_of(fx, i + 1) > size ? 1u << i : 0;
        assert_int_equal(attach(fx, size, &file), LS_OK);
        assert_reads(fx, &file, zeros);
    }
}

/* Puts the table right for a block 1 of `bytes` bytes at `with`, in both places. */
static void replace_block(fixture *fx, const unsigned char *with, uint32_t bytes)
{
    unsigned char *table = fx->made + LSI_SEGMENT_HEADER_BYTES;
    uint64_t from = begin_of(fx, 1), was = begin_of(fx, 2), behind = begin_of(fx, BLOCKS);

    memmove(fx->made + from + bytes, fx->made + was, (size_t)(behind - was));
    memcpy(fx->made + from, with, bytes);
    lsi_write_u32le(table + 28, bytes);
    lsi_write_u64le(table + TABLE_BYTES - 8, lsi_sum64(table, TABLE_BYTES - 8, SEED));
    memcpy(fx->made + begin_of(fx, BLOCKS), table, TABLE_BYTES);
    lsi_write_u64le(fx->made + begin_of(fx, BLOCKS) + TABLE_BYTES, TABLE_BYTES);
    fx->made_bytes = begin_of(fx, BLOCKS) + TABLE_BYTES + 8;
}

/* X2: zstd frames of 256 MiB, of a byte more and of a byte less than a block has, and what is none. */
static void a_bomb_is_refused(void **state)
{
    static const size_t sizes[] = {BOMB_BYTES, LSI_BLOCK_BYTES + 1, LSI_BLOCK_BYTES - 1, 1, 0};
    unsigned char *zeros = calloc(1, BOMB_BYTES), *packed = malloc(LSI_BLOCK_BYTES);
    lsi_compressor *with = lsi_compressor_new();
    fixture *fx = *state;
    lsi_file file;

    assert_non_null(zeros);
    assert_non_null(packed);
    assert_non_null(with);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = 9;

        memset(packed, 0x28, LSI_BLOCK_BYTES);
        if (sizes[i] != 0)
            bytes = lsi_compress(with, zeros, sizes[i], packed, LSI_BLOCK_BYTES - 1);
        assert_true(bytes > 0);
        replace_block(fx, packed, (uint32_t)bytes);
        assert_int_equal(attach(fx, fx->made_bytes, &file), LS_OK);
        assert_int_equal(file.files->read(&file, packed, 9, LSI_SEGMENT_HEADER_BYTES + LSI_BLOCK_BYTES), 9);
        assert_memory_equal(packed, zeros, 9);
        assert_true(fx->memory.live_bytes < 4 * LSI_BLOCK_BYTES);
        assert_reads(fx, &file, 1u << 1);
    }
    lsi_compressor_free(with);
    free(zeros);
    free(packed);
}

/* A table whose sum is right and whose numbers are not: no table. */
static void numbers_that_cannot_be_are_no_table(void **state)
{
    const struct { uint32_t at, bytes; uint64_t value; } cases[] = {
        {8, 8, 0}, {8, 8, LSI_SEGMENT_HEADER_BYTES - 1}, {8, 8, PLAIN_BYTES + LSI_BLOCK_BYTES}, {8, 8, UINT64_MAX},
        {8, 8, LSI_SEGMENT_HEADER_BYTES + (UINT64_C(1) << 32)}, {16, 4, BLOCKS - 1}, {16, 4, BLOCKS + 1},
        {16, 4, UINT32_MAX}, {20, 4, LSI_BLOCK_BYTES / 2}, {20, 4, 0}, {24, 4, 0}, {24, 4, LSI_BLOCK_BYTES + 1},
        {28, 4, UINT32_MAX}, {24 + 4 * (BLOCKS - 1), 4, 5001}};
    unsigned char kept[TABLE_BYTES];
    fixture *fx = *state;
    unsigned char *first = fx->made + LSI_SEGMENT_HEADER_BYTES, *second = fx->made + fx->made_bytes - 8 - TABLE_BYTES;
    lsi_file file;

    memcpy(kept, first, TABLE_BYTES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(first, kept, TABLE_BYTES);
        if (cases[i].bytes == 8)
            lsi_write_u64le(first + cases[i].at, cases[i].value);
        else
            lsi_write_u32le(first + cases[i].at, (uint32_t)cases[i].value);
        lsi_write_u64le(first + TABLE_BYTES - 8, lsi_sum64(first, TABLE_BYTES - 8, SEED));
        memcpy(second, first, TABLE_BYTES);
        assert_int_equal(attach(fx, fx->made_bytes, &file), LS_ERR_CORRUPT);
    }
    /* Where the second one begins is no better. */
    memcpy(first, kept, TABLE_BYTES);
    memcpy(second, kept, TABLE_BYTES);
    first[0] = 0;
    lsi_write_u64le(fx->made + fx->made_bytes - 8, UINT64_MAX - 3);
    assert_int_equal(attach(fx, fx->made_bytes, &file), LS_ERR_CORRUPT);
    lsi_write_u64le(fx->made + fx->made_bytes - 8, 0);
    assert_int_equal(attach(fx, fx->made_bytes, &file), LS_ERR_CORRUPT);
}

/* E4: no memory is NO_MEMORY and no damage, and nothing is kept. */
static void short_memory_is_said(void **state)
{
    fixture *fx = *state;
    bool is_done = false;

    for (uint64_t nth = 1; !is_done; nth++) {
        unsigned char byte;
        lsi_file file;
        ls_status st;

        sim_memory_fail(&fx->memory, nth, true);
        st = attach(fx, fx->made_bytes, &file);
        if (st == LS_OK) {
            int64_t got = file.files->read(&file, &byte, 1, LSI_SEGMENT_HEADER_BYTES);

            is_done = got == 1;
            if (!is_done)
                assert_int_equal(got, -ENOMEM);
            assert_int_equal(file.files->close(&file), 0);
        } else {
            assert_int_equal(st, LS_ERR_NO_MEMORY);
        }
        sim_memory_fail(&fx->memory, 0, false);
        assert_int_equal(fx->memory.live, 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(it_reads_as_it_was),
        T(either_table_will_do),
        T(a_cut_costs_the_blocks_that_are_missing),
        T(a_bomb_is_refused),
        T(numbers_that_cannot_be_are_no_table),
        T(short_memory_is_said),
    };
    return cmocka_run_group_tests_name("segments in blocks", tests, NULL, NULL);
}
