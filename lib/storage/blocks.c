/* A sealed segment whose file was compressed, in blocks of 64 KiB of it.
 *
 * What is compressed is the file, not its frames: unpacked, every byte is where it was. So positions, numbers, stamps,
 * sums, the index and the segment list stay as they are, whoever reads a segment need not know, and one file can take
 * the place of the other by a rename. Where each block begins is said twice, before the blocks and behind them.
 *
 * Sums of blocks there are none: the frames in them have theirs. A block that does not unpack into exactly what it must
 * (X2) reads as zeros, which are no frame: that is damage where it is met, as it is in a plain segment (R4). What an
 * unpacked block may be is known before anything is looked at, so no byte is allocated for what one says of itself. */
#include "storage/blocks.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compress.h"
#include "base/hash.h"
#include "base/status.h"

static const unsigned char magic[8] = {'L', 'S', 'T', 'R', 'B', 'L', 'K', 0};

/* The table: magic, bytes of the plain file, blocks, bytes of a block, then what each takes; zeros to a multiple of 8;
 * the sum. Behind the second one, at the end of the file, how many bytes that has. */
enum { PLAIN_AT = 8, COUNT_AT = 16, BLOCK_BYTES_AT = 20, SIZES_AT = 24, SUM_BYTES = 8, TRAILER_BYTES = 8 };
#define PLAIN_BYTES_MAX (LSI_SEGMENT_HEADER_BYTES + (uint64_t)UINT32_MAX) /* as a header and a list allow */

/* What reading needs besides, for one read at a time; another one at the same time makes its own. */
typedef struct bench {
    lsi_decompressor *decompressor;
    uint32_t block; /* that `plain` holds; UINT32_MAX: none */
    unsigned char plain[LSI_BLOCK_BYTES], packed[LSI_BLOCK_BYTES];
} bench;

typedef struct blocks {
    const lsi_memory *memory;
    lsi_file file;
    uint64_t plain_bytes;
    uint32_t count;
    _Atomic(bench *) spare;
    unsigned char header[LSI_SEGMENT_HEADER_BYTES]; /* as it was */
    uint64_t begins[]; /* [count + 1] */
} blocks;

static uint32_t count_of(uint64_t plain_bytes)
{
    return (uint32_t)((plain_bytes - LSI_SEGMENT_HEADER_BYTES + LSI_BLOCK_BYTES - 1) / LSI_BLOCK_BYTES);
}

static uint64_t table_bytes(uint32_t count)
{
    return SIZES_AT + lsi_round_up(4 * (uint64_t)count, 8) + SUM_BYTES;
}

static uint32_t plain_bytes_of(uint64_t plain_bytes, uint32_t block)
{
    uint64_t left = plain_bytes - LSI_SEGMENT_HEADER_BYTES - (uint64_t)block * LSI_BLOCK_BYTES;

    return left < LSI_BLOCK_BYTES ? (uint32_t)left : LSI_BLOCK_BYTES;
}

/* ---- reading ---- */

static void bench_free(const lsi_memory *memory, bench *on)
{
    if (on == NULL)
        return;
    lsi_decompressor_free(on->decompressor);
    lsi_free(memory, on);
}

static bench *bench_take(blocks *of)
{
    /* Acquire pairs with bench_give: what it holds is seen. */
    bench *on = atomic_exchange_explicit(&of->spare, NULL, memory_order_acquire);

    if (on != NULL)
        return on;
    on = lsi_alloc(of->memory, sizeof *on);
    if (on == NULL)
        return NULL;
    on->block = UINT32_MAX;
    on->decompressor = lsi_decompressor_new();
    if (on->decompressor != NULL)
        return on;
    lsi_free(of->memory, on);
    return NULL;
}

static void bench_give(blocks *of, bench *on)
{
    bench_free(of->memory, atomic_exchange_explicit(&of->spare, on, memory_order_acq_rel));
}

/* A block, whole, into `into`. -errno */
static int unpack(const blocks *of, bench *on, uint32_t block, unsigned char *into)
{
    uint32_t plain = plain_bytes_of(of->plain_bytes, block);
    uint32_t size = (uint32_t)(of->begins[block + 1] - of->begins[block]);
    unsigned char *to = size == plain ? into : on->packed;
    int64_t got = of->file.files->read(&of->file, to, size, of->begins[block]);

    if (got < 0)
        return (int)got;
    if (got < (int64_t)size)
        memset(into, 0, plain); /* The file was cut. */
    else if (size < plain && !lsi_decompress(on->decompressor, on->packed, size, into, plain))
        memset(into, 0, plain);
    return 0;
}

static int64_t read_from(const blocks *of, bench *on, unsigned char *into, size_t size, uint64_t at)
{
    size_t done = 0;

    while (done < size && at + done < of->plain_bytes) {
        uint64_t from = at + done;
        uint32_t block, offset, plain, part;
        int rc = 0;

        if (from < LSI_SEGMENT_HEADER_BYTES) {
            part = (uint32_t)(LSI_SEGMENT_HEADER_BYTES - from);
            part = part < size - done ? part : (uint32_t)(size - done);
            memcpy(into + done, of->header + from, part);
            done += part;
            continue;
        }
        block = (uint32_t)((from - LSI_SEGMENT_HEADER_BYTES) / LSI_BLOCK_BYTES);
        offset = (uint32_t)((from - LSI_SEGMENT_HEADER_BYTES) % LSI_BLOCK_BYTES);
        plain = plain_bytes_of(of->plain_bytes, block);
        part = plain - offset < size - done ? plain - offset : (uint32_t)(size - done);
        if (part == plain && block != on->block) {
            rc = unpack(of, on, block, into + done);
        } else {
            if (block != on->block) {
                on->block = UINT32_MAX;
                rc = unpack(of, on, block, on->plain);
                if (rc == 0)
                    on->block = block;
            }
            if (rc == 0)
                memcpy(into + done, on->plain + offset, part);
        }
        if (rc < 0)
            return rc;
        done += part;
    }
    return (int64_t)done;
}

static int64_t blocks_read(const lsi_file *file, void *into, size_t size, uint64_t at)
{
    blocks *of = file->node;
    bench *on = bench_take(of);
    int64_t got;

    if (on == NULL)
        return -ENOMEM;
    got = read_from(of, on, into, size, at);
    bench_give(of, on);
    return got;
}

static int blocks_size(const lsi_file *file, uint64_t *out)
{
    *out = ((const blocks *)file->node)->plain_bytes;
    return 0;
}

static void blocks_free(blocks *of)
{
    bench_free(of->memory, atomic_load_explicit(&of->spare, memory_order_relaxed));
    lsi_free(of->memory, of);
}

static int blocks_close(lsi_file *file)
{
    blocks *of = file->node;
    int rc = of->file.files->close(&of->file);

    blocks_free(of);
    *file = (lsi_file){0};
    return rc;
}

/* A sealed segment is read, and nothing else is done with it. */
static const lsi_files blocks_files = {.read = blocks_read, .size = blocks_size, .close = blocks_close};

/* ---- the table ---- */

/* X1. -ENOMEM; `*out` NULL: no such table. The file may be shorter than it says, for one that was cut: what is missing
 * reads as zeros. */
static int table_decode(const lsi_memory *memory, const unsigned char *table, uint64_t bytes, uint64_t seed,
                        blocks **out)
{
    uint64_t plain_bytes, at;
    uint32_t count;
    blocks *of;

    if (memcmp(table, magic, sizeof magic) != 0)
        return 0;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (lsi_read_u64le(table + bytes - SUM_BYTES) != lsi_sum64(table, (size_t)bytes - SUM_BYTES, seed))
        return 0;
#else
    (void)seed;
#endif
    plain_bytes = lsi_read_u64le(table + PLAIN_AT);
    count = lsi_read_u32le(table + COUNT_AT);
    if (lsi_read_u32le(table + BLOCK_BYTES_AT) != LSI_BLOCK_BYTES || plain_bytes < LSI_SEGMENT_HEADER_BYTES ||
        plain_bytes > PLAIN_BYTES_MAX || count != count_of(plain_bytes) || table_bytes(count) != bytes)
        return 0;
    of = lsi_alloc_zero(memory, sizeof *of + ((size_t)count + 1) * sizeof of->begins[0]);
    if (of == NULL)
        return -ENOMEM;
    of->memory = memory;
    of->plain_bytes = plain_bytes;
    of->count = count;
    at = LSI_SEGMENT_HEADER_BYTES + bytes;
    for (uint32_t i = 0; i <= count; i++) {
        of->begins[i] = at;
        if (i < count) {
            uint32_t block = lsi_read_u32le(table + SIZES_AT + 4 * (size_t)i);
            if (block == 0 || block > plain_bytes_of(plain_bytes, i)) {
                lsi_free(memory, of);
                return 0;
            }
            at += block;
        }
    }
    *out = of;
    return 0;
}

/* Reads a table of that many bytes. -errno; `*out` NULL: there is none. */
static int table_read(const lsi_memory *memory, const lsi_file *file, uint64_t at, uint64_t bytes, uint64_t seed,
                      uint64_t size, blocks **out)
{
    unsigned char *table;
    int64_t got;
    int rc = 0;

    *out = NULL;
    if (bytes < table_bytes(0) || bytes > table_bytes(count_of(PLAIN_BYTES_MAX)) || at > size || bytes > size - at)
        return 0;
    table = lsi_alloc(memory, (size_t)bytes);
    if (table == NULL)
        return -ENOMEM;
    got = file->files->read(file, table, (size_t)bytes, at);
    if (got == (int64_t)bytes)
        rc = table_decode(memory, table, bytes, seed, out);
    lsi_free(memory, table);
    return got < 0 ? (int)got : rc;
}

static int find_table(const lsi_memory *memory, const lsi_file *file, uint64_t seed, blocks **out)
{
    unsigned char head[SIZES_AT], trailer[TRAILER_BYTES];
    uint64_t size, bytes;
    int rc = file->files->size(file, &size);
    int64_t got;

    *out = NULL;
    if (rc < 0)
        return rc;
    got = file->files->read(file, head, sizeof head, LSI_SEGMENT_HEADER_BYTES);
    if (got == (int64_t)sizeof head && memcmp(head, magic, sizeof magic) == 0)
        rc = table_read(memory, file, LSI_SEGMENT_HEADER_BYTES, table_bytes(lsi_read_u32le(head + COUNT_AT)), seed,
                        size, out);
    if (got < 0 || rc < 0 || *out != NULL || size < LSI_SEGMENT_HEADER_BYTES + TRAILER_BYTES)
        return got < 0 ? (int)got : rc;
    got = file->files->read(file, trailer, sizeof trailer, size - TRAILER_BYTES);
    if (got < (int64_t)sizeof trailer)
        return got < 0 ? (int)got : 0;
    bytes = lsi_read_u64le(trailer);
    return bytes > size - TRAILER_BYTES
               ? 0
               : table_read(memory, file, size - TRAILER_BYTES - bytes, bytes, seed, size, out);
}

ls_status lsi_blocks_attach(const lsi_env *env, const char *name, uint64_t seed, bool must, lsi_file *file)
{
    blocks *of;
    int64_t got;
    int rc = find_table(&env->memory, file, seed, &of);

    if (rc < 0)
        return lsi_fail_errno(-rc, "reading where the blocks of %s begin", name);
    if (of == NULL)
        return must ? lsi_fail(LS_ERR_CORRUPT, "where the blocks of %s begin cannot be read", name) : LS_OK;
    got = file->files->read(file, of->header, sizeof of->header, 0);
    if (got < 0) {
        blocks_free(of);
        return lsi_fail_errno((int)-got, "reading the header of %s", name);
    }
    lsi_segment_header_unpack(of->header);
    of->file = *file;
    *file = (lsi_file){.files = &blocks_files, .fd = -1, .node = of};
    return LS_OK;
}

/* ---- writing ---- */

typedef struct packing {
    const lsi_env *env;
    const lsi_segment *from;
    const lsi_file *to;
    const char *to_name;
    lsi_compressor *compressor;
    unsigned char *table;
    unsigned char plain[LSI_BLOCK_BYTES], packed[LSI_BLOCK_BYTES];
} packing;

static ls_status put(const packing *of, const void *bytes, size_t size, uint64_t at)
{
    int rc = lsi_file_write_one(of->to, bytes, size, at);

    return rc < 0 ? lsi_fail_errno(-rc, "writing %s", of->to_name) : LS_OK;
}

/* Exactly `size` bytes of the segment. */
static ls_status take(packing *of, void *into, size_t size, uint64_t at)
{
    const lsi_file *file = &of->from->file;
    int64_t got = file->files->read(file, into, size, at);

    if (got < 0)
        return lsi_fail_errno((int)-got, "reading %s", of->from->name);
    return got == (int64_t)size ? LS_OK
                                : lsi_fail(LS_ERR_CORRUPT, "%s ends at 0x%llx", of->from->name,
                                           (unsigned long long)at + (unsigned long long)got);
}

static ls_status put_block(packing *of, uint32_t block, uint32_t plain, uint64_t *at)
{
    const unsigned char *bytes = of->packed;
    size_t size;
    ls_status st = take(of, of->plain, plain, LSI_SEGMENT_HEADER_BYTES + (uint64_t)block * LSI_BLOCK_BYTES);

    if (st != LS_OK)
        return st;
    size = lsi_compress(of->compressor, of->plain, plain, of->packed, plain - 1);
    if (size == 0) { /* It gains nothing. */
        bytes = of->plain;
        size = plain;
    }
    lsi_write_u32le(of->table + SIZES_AT + 4 * (size_t)block, (uint32_t)size);
    st = put(of, bytes, size, *at);
    *at += size;
    return st;
}

static ls_status put_all(packing *of, uint64_t bytes, uint64_t *made)
{
    uint32_t count = count_of(bytes);
    uint64_t table = table_bytes(count), at = LSI_SEGMENT_HEADER_BYTES + table;
    unsigned char header[LSI_SEGMENT_HEADER_BYTES], trailer[TRAILER_BYTES];
    ls_status st = take(of, header, sizeof header, 0);

    memcpy(of->table, magic, sizeof magic);
    lsi_write_u64le(of->table + PLAIN_AT, bytes);
    lsi_write_u32le(of->table + COUNT_AT, count);
    lsi_write_u32le(of->table + BLOCK_BYTES_AT, LSI_BLOCK_BYTES);
    for (uint32_t i = 0; st == LS_OK && i < count; i++)
        st = put_block(of, i, plain_bytes_of(bytes, i), &at);
    if (st != LS_OK)
        return st;
    lsi_write_u64le(of->table + table - SUM_BYTES, lsi_sum64(of->table, (size_t)table - SUM_BYTES, of->from->seed));
    lsi_write_u64le(trailer, table);
    lsi_segment_header_pack(header);
    st = put(of, header, sizeof header, 0);
    if (st == LS_OK)
        st = put(of, of->table, (size_t)table, LSI_SEGMENT_HEADER_BYTES);
    if (st == LS_OK)
        st = put(of, of->table, (size_t)table, at);
    if (st == LS_OK)
        st = put(of, trailer, sizeof trailer, at + table);
    *made = at + table + sizeof trailer;
    return st;
}

ls_status lsi_blocks_write(const lsi_env *env, const lsi_segment *from, uint64_t bytes, const lsi_file *to,
                           const char *to_name, uint64_t *made)
{
    packing *of = lsi_alloc_zero(&env->memory, sizeof *of);
    ls_status st = LS_OK;

    if (of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory to compress it", from->name);
    of->env = env;
    of->from = from;
    of->to = to;
    of->to_name = to_name;
    of->compressor = lsi_compressor_new();
    of->table = lsi_alloc_zero(&env->memory, (size_t)table_bytes(count_of(bytes)));
    if (of->compressor == NULL || of->table == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory to compress it", from->name);
    if (st == LS_OK)
        st = put_all(of, bytes, made);
    lsi_compressor_free(of->compressor);
    lsi_free(&env->memory, of->table);
    lsi_free(&env->memory, of);
    return st;
}
