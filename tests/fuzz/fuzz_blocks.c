/* A segment's file in blocks (FORMAT.md, "Segments in blocks"): any bytes behind its header end in a status or in a
 * file of a stated size that reads the same at every try, whatever is asked for at once, up to that size and no
 * further; and nothing is allocated for what the bytes say but the places of as many blocks as a table can have. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/blocks.h"

#define NAME "1/00000001.seg"
#define LOOK_BYTES 300000u /* at the beginning, and at the end */
#define MEMORY_BYTES_MAX (UINT64_C(2) << 20) /* a table of 4 GiB, its places, and two blocks at work */

static uint64_t most_at_once;

static void *counting_resize(void *user, void *old, size_t bytes)
{
    if (bytes > most_at_once)
        most_at_once = bytes;
    return lsi_memory_libc.resize(user, old, bytes);
}

static void repair_table(uint8_t *table, uint64_t bytes)
{
    lsi_write_u64le(table + bytes - 8, lsi_sum64(table, (size_t)bytes - 8, FUZZ_BLOCKS_SEED));
}

void fuzz_repair(uint8_t *data, size_t size)
{
    uint64_t bytes;

    if (size < 32)
        return;
    bytes = 32 + lsi_round_up(4 * (uint64_t)lsi_read_u32le(data + 16), 8);
    if (bytes <= size)
        repair_table(data, bytes);
    bytes = lsi_read_u64le(data + size - 8);
    if (bytes >= 32 && bytes <= size - 8)
        repair_table(data + size - 8 - bytes, bytes);
}

/* [from, to) in steps of `step`. */
static void read_in_steps(const lsi_file *file, uint8_t *into, uint64_t from, uint64_t to, size_t step)
{
    for (uint64_t at = from; at < to; at += step) {
        size_t part = to - at < step ? (size_t)(to - at) : step;

        FUZZ_REQUIRE(file->files->read(file, into + (at - from), part, at) == (int64_t)part);
    }
}

static void look(const lsi_file *file, uint64_t from, uint64_t to)
{
    static const size_t steps[] = {100000, 65536, 4096, 24571};
    uint8_t *first = calloc(1, to - from + 1), *again = calloc(1, to - from + 1);

    FUZZ_REQUIRE(first != NULL && again != NULL);
    read_in_steps(file, first, from, to, steps[0]);
    for (size_t i = 1; i < sizeof steps / sizeof *steps; i++) {
        read_in_steps(file, again, from, to, steps[i]);
        FUZZ_REQUIRE(memcmp(first, again, (size_t)(to - from)) == 0);
    }
    free(first);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char header[LSI_SEGMENT_HEADER_BYTES];
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_file file = {0};
    uint64_t plain;
    uint8_t byte;
    lsi_root root;
    lsi_env env;
    ls_status st;

    lsi_env_default(&env);
    env.memory = (lsi_memory){counting_resize, NULL};
    most_at_once = 0;
    FUZZ_REQUIRE(files != NULL && files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) == 0);
    FUZZ_REQUIRE(files->make_dir(&root, "1") == 0);
    FUZZ_REQUIRE(files->open(&root, NAME, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file) == 0);
    FUZZ_REQUIRE(lsi_file_write_one(&file, header, sizeof header, 0) == 0);
    FUZZ_REQUIRE(size == 0 || lsi_file_write_one(&file, data, size, sizeof header) == 0);
    st = lsi_blocks_attach(&env, NAME, FUZZ_BLOCKS_SEED, true, &file);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT);
    if (st == LS_OK) {
        FUZZ_REQUIRE(file.files->size(&file, &plain) == 0);
        FUZZ_REQUIRE(plain >= LSI_SEGMENT_HEADER_BYTES && plain <= LSI_SEGMENT_HEADER_BYTES + (uint64_t)UINT32_MAX);
        look(&file, 0, plain < LOOK_BYTES ? plain : LOOK_BYTES);
        if (plain > LOOK_BYTES)
            look(&file, plain - LOOK_BYTES, plain);
        FUZZ_REQUIRE(file.files->read(&file, &byte, 1, plain) == 0);
        FUZZ_REQUIRE(file.files->read(&file, &byte, 1, UINT64_MAX - 1) == 0);
    }
    FUZZ_REQUIRE(most_at_once <= MEMORY_BYTES_MAX);
    FUZZ_REQUIRE(file.files->close(&file) == 0);
    files->root_close(&root);
    lsi_files_memory_free(files);
    return 0;
}
