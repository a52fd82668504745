/* MD5 of many keys at once, one in each lane of a vector: nothing in a large put costs more than to place its records.
 *
 * Keys that fit one block (up to 55 bytes, and nearly all do) are padded into slots as they come; once every lane has
 * its slot, the slots are turned so that word i of all of them is one vector, and all take the 64 steps of md5_steps.h
 * together. Longer keys go by themselves. What is left at the end takes one more turn, with idle lanes, or the plain
 * path when it is one key: a turn costs about as much as two plain keys, however many of its lanes are used.
 *
 * The steps are written once in the vector extensions of gcc and clang, and compiled for 4 lanes (SSE2, NEON: in every
 * x86-64 and aarch64), 8 (AVX2) and 16 (AVX-512). The choice is made at run time, since one binary meets many
 * processors; not by an ifunc or a constructor, which would run in every program that merely links libstream. Compilers
 * without the extensions get the plain path. All give the same answers, in the order of the keys. */
#include "base/hash.h"

#include <stdatomic.h>
#include <string.h>

#include "base/md5.h"
#include "base/md5_steps.h"

#define LANES_MAX 16u

/* Hashes the blocks of `lanes` slots; out[slot] is the digest as a number. */
typedef struct lane_path {
    uint32_t lanes;
    void (*run)(unsigned char (*blocks)[LSI_MD5_BLOCK_BYTES], ls_hash_key *out);
} lane_path;

static const lane_path plain = {1, NULL};

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))

/* They may alias: the slots are bytes. */
typedef uint32_t lanes_4 __attribute__((vector_size(16), may_alias));

#ifdef __clang__
#define PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, (lanes_4){i, j, k, l})
#endif

/* words[i * lanes + slot] becomes word i of that slot's block. Four by four words, whatever the width: the larger
 * shuffles cross halves of a register and win nothing. */
static inline __attribute__((always_inline)) void turn(unsigned char (*blocks)[LSI_MD5_BLOCK_BYTES], uint32_t *words,
                                                       uint32_t lanes)
{
    for (uint32_t slot = 0; slot < lanes; slot += 4)
        for (uint32_t i = 0; i < 16; i += 4) {
            lanes_4 k0 = *(const lanes_4 *)(blocks[slot] + 4 * i);
            lanes_4 k1 = *(const lanes_4 *)(blocks[slot + 1] + 4 * i);
            lanes_4 k2 = *(const lanes_4 *)(blocks[slot + 2] + 4 * i);
            lanes_4 k3 = *(const lanes_4 *)(blocks[slot + 3] + 4 * i);
            lanes_4 low01 = PICK(k0, k1, 0, 4, 1, 5), high01 = PICK(k0, k1, 2, 6, 3, 7);
            lanes_4 low23 = PICK(k2, k3, 0, 4, 1, 5), high23 = PICK(k2, k3, 2, 6, 3, 7);
            uint32_t *to = words + i * lanes + slot;

            *(lanes_4 *)to = PICK(low01, low23, 0, 1, 4, 5);
            *(lanes_4 *)(to + lanes) = PICK(low01, low23, 2, 3, 6, 7);
            *(lanes_4 *)(to + 2 * lanes) = PICK(high01, high23, 0, 1, 4, 5);
            *(lanes_4 *)(to + 3 * lanes) = PICK(high01, high23, 2, 3, 6, 7);
        }
}

/* Each word of a digest is printed lowest byte first and read as part of a big-endian number. */
static inline __attribute__((always_inline)) void give(const uint32_t *sums, uint32_t lanes, ls_hash_key *out)
{
    for (uint32_t slot = 0; slot < lanes; slot++) {
        const uint32_t *a = sums + slot, *b = a + lanes, *c = b + lanes, *d = c + lanes;

        out[slot].high = (uint64_t)__builtin_bswap32(*a) << 32 | __builtin_bswap32(*b);
        out[slot].low = (uint64_t)__builtin_bswap32(*c) << 32 | __builtin_bswap32(*d);
    }
}

#define WORD(index) words[index]
#define HOLD(sum) (void)0

/* `vector` is so many lanes of uint32_t; `target` is what the compiler may use in this function alone. */
#define DEFINE_PATH(vector, count, target)                                                         \
    target static void run_##count(unsigned char (*blocks)[LSI_MD5_BLOCK_BYTES], ls_hash_key *out) \
    {                                                                                              \
        vector words[16], sums[4];                                                                 \
        vector a = (vector){0} + LSI_MD5_START_A, b = (vector){0} + LSI_MD5_START_B;               \
        vector c = (vector){0} + LSI_MD5_START_C, d = (vector){0} + LSI_MD5_START_D;               \
                                                                                                   \
        turn(blocks, (uint32_t *)words, count);                                                    \
        MD5_STEPS;                                                                     \
        sums[0] = a + LSI_MD5_START_A;                                                             \
        sums[1] = b + LSI_MD5_START_B;                                                             \
        sums[2] = c + LSI_MD5_START_C;                                                             \
        sums[3] = d + LSI_MD5_START_D;                                                             \
        give((const uint32_t *)sums, count, out);                                                  \
    }                                                                                              \
    static const lane_path path_##count = {count, run_##count};

DEFINE_PATH(lanes_4, 4, )

#ifdef __x86_64__
typedef uint32_t lanes_8 __attribute__((vector_size(32), may_alias));
typedef uint32_t lanes_16 __attribute__((vector_size(64), may_alias));

DEFINE_PATH(lanes_8, 8, __attribute__((target("avx2"))))
DEFINE_PATH(lanes_16, 16, __attribute__((target("avx512f,avx512bw"))))
#endif

/* The path of so many lanes; NULL when it does not exist here. */
static const lane_path *path_of(unsigned lanes)
{
    if (lanes == 4)
        return &path_4;
#ifdef __x86_64__
    __builtin_cpu_init(); /* For a call out of somebody's constructor. */
    if (lanes == 8 && __builtin_cpu_supports("avx2"))
        return &path_8;
    if (lanes == 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return &path_16;
#endif
    return lanes == 1 ? &plain : NULL;
}

#else

static const lane_path *path_of(unsigned lanes)
{
    return lanes == 1 ? &plain : NULL;
}

#endif

/* NULL until the first use. Relaxed everywhere: it points to constants, and every thread that chooses makes the same
 * choice. */
static _Atomic(const lane_path *) chosen;

static const lane_path *choose(void)
{
    const lane_path *path = NULL;

    for (unsigned lanes = LANES_MAX; path == NULL; lanes /= 2) /* 1 is always there. */
        path = path_of(lanes);
    atomic_store_explicit(&chosen, path, memory_order_relaxed);
    return path;
}

bool lsi_md5_lanes_force(unsigned lanes)
{
    const lane_path *path = lanes == 0 ? choose() : path_of(lanes);

    if (path != NULL)
        atomic_store_explicit(&chosen, path, memory_order_relaxed);
    return path != NULL;
}

void lsi_hash_partition_keys(const ls_bytes *keys, uint32_t count, ls_hash_key *out)
{
    _Alignas(64) unsigned char blocks[LANES_MAX][LSI_MD5_BLOCK_BYTES];
    uint32_t key_of[LANES_MAX]; /* the key in each slot */
    ls_hash_key hashes[LANES_MAX];
    const lane_path *path = atomic_load_explicit(&chosen, memory_order_relaxed);
    uint32_t used = 0;

    if (path == NULL)
        path = choose();
    for (uint32_t i = 0; i < count; i++) {
        if (path->run == NULL || keys[i].size > LSI_MD5_SHORT_MAX) {
            out[i] = lsi_hash_partition_key(keys[i]);
            continue;
        }
        lsi_md5_pad(blocks[used], keys[i].data, keys[i].size);
        key_of[used++] = i;
        if (used < path->lanes)
            continue;
        path->run(blocks, hashes);
        for (uint32_t slot = 0; slot < used; slot++)
            out[key_of[slot]] = hashes[slot];
        used = 0;
    }
    if (used == 1)
        out[key_of[0]] = lsi_hash_partition_key(keys[key_of[0]]);
    if (used < 2)
        return;
    memset(blocks[used], 0, (path->lanes - used) * sizeof blocks[0]); /* Idle lanes hash zeros. */
    path->run(blocks, hashes);
    for (uint32_t slot = 0; slot < used; slot++)
        out[key_of[slot]] = hashes[slot];
}
