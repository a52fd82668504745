/* What fuzz targets share. A target is one file: it defines LLVMFuzzerTestOneInput, and fuzz_repair when its input
 * carries checksums. It is linked with libFuzzer, or with driver.c, which runs the corpus and random changes of it with
 * any compiler. */
#ifndef LST_FUZZ_H
#define LST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libstream/status.h>

/* What must hold whatever the bytes are. Not assert(): also where NDEBUG is set. */
#define FUZZ_REQUIRE(condition)                                                                          \
    do {                                                                                                 \
        if (!(condition)) {                                                                              \
            fprintf(stderr, "%s:%d: does not hold: %s (last error: %s)\n", __FILE__, __LINE__, #condition, \
                    ls_last_error_message());                                                            \
            abort();                                                                                     \
        }                                                                                                \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the checksums of a mutated input right again, so that what lies behind them is reached with the checks on. */
__attribute__((weak)) void fuzz_repair(uint8_t *data, size_t size);

/* A copy of its own, so that a bounds checker sees a read past its end. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(1, size != 0 ? size : 1);

    FUZZ_REQUIRE(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    return copy;
}

/* Numbers for choices: equal seeds give equal ones. */
static inline uint64_t fuzz_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- where inputs stand: shared with make_corpus.c ---- */

/* frame: 8 bytes of position, then frames one after another as they stand in a segment of this seed. */
#define FUZZ_FRAME_SEED UINT64_C(0x5eed5eed5eed5eed)
#define FUZZ_FRAME_AT 8u
static inline uint64_t fuzz_frame_position(const uint8_t *data)
{
    uint64_t position;

    memcpy(&position, data, sizeof position);
    return position & UINT64_C(0xfffffffff8);
}

/* segment: 160 bytes of a header's fields (what follows is zero, and the sum), then an index file. */
#define FUZZ_SEGMENT_FIELDS 160u

/* blocks: what stands behind the header of a segment's file that is in blocks, the segment's seed being this. */
#define FUZZ_BLOCKS_SEED UINT64_C(0xb10c)

/* segments, manifest: a checked file with this salt. */
#define FUZZ_SEGMENTS_SALT UINT64_C(0x5a17)

/* control: 1 byte of FUZZ_CONTROL_ bits, 4 bytes of the file's size at most, then patches to the control file of a
 * small store as its last process left it: 2 bytes of place, 1 of length, bytes. */
#define FUZZ_CONTROL_HEADER 1u /* its header is made right: this store, this layout, its sum */
#define FUZZ_CONTROL_BOOT 2u   /* and of this boot */
#define FUZZ_CONTROL_READ_ONLY 4u
#define FUZZ_CONTROL_EMPTY 8u  /* patches to zeros, not to what was left */
#define FUZZ_CONTROL_PATCHES_AT 5u

/* store: 1 byte of FUZZ_STORE_ bits, then a packed image (support/image.h). */
#define FUZZ_STORE_READ_ONLY_FIRST 1u
#define FUZZ_STORE_PUT_TWICE 2u
#define FUZZ_STORE_SPLIT 4u /* a shard is split between the puts */


/* state: 1 byte that says what the value is, then the value. */
#define FUZZ_STATE_MAPPING 0u
#define FUZZ_STATE_LEASE 1u
#define FUZZ_STATE_GROUP 2u
#define FUZZ_STATE_WINDOW 3u
#define FUZZ_STATE_ALERT 4u
#define FUZZ_STATE_ALERTED 5u

#endif
