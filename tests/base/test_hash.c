/* base/hash.h: MD5 against RFC 1321 and against sums that another implementation made; XXH3-64 against xxHash's own
 * vectors, as frames on disk depend on it for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash_short.h"
#include "base/hash_wide.h"
#include "base/u128.h"

static void assert_md5(const void *bytes, size_t size, const char *wanted)
{
    unsigned char digest[16];
    char text[33];

    lsi_md5(bytes, size, digest);
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, wanted);
}

/* RFC 1321, appendix A.5. */
static void md5_gives_the_sums_of_the_rfc(void **state)
{
    static const char *const cases[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_md5(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

/* Goal: every length around the block's borders is right. Method: the digests of lengths 0 to 200 (byte i of length n
 * is 7 i + n), joined; Python's hashlib made the digest of that, which a wrong one among them would change. */
static void md5_is_right_for_every_length_to_200(void **state)
{
    unsigned char text[200] = {0};
    unsigned char digests[201 * 16];

    (void)state;
    for (size_t size = 0; size <= 200; size++) {
        for (size_t i = 0; i < size; i++)
            text[i] = (unsigned char)(7 * i + size);
        lsi_md5(text, size, digests + 16 * size);
    }
    assert_md5(digests, sizeof digests, "a442e71c2813be22a1e4ba7304617cca");
}

/* Goal: keys are placed by their MD5 as a big-endian number, by one block or by many. Method: both ways over every
 * length to 200; up to 55 bytes they share no code but the block. */
static void one_block_and_many_blocks_agree(void **state)
{
    unsigned char text[200];

    (void)state;
    for (size_t size = 0; size <= 200; size++) {
        unsigned char digest[16];
        ls_hash_key key;

        for (size_t i = 0; i < size; i++)
            text[i] = (unsigned char)(7 * i + size);
        lsi_md5(text, size, digest);
        key = lsi_hash_partition_key((ls_bytes){text, size});
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(key.high >> (56 - 8 * i) & 0xff, digest[i]);
            assert_int_equal(key.low >> (56 - 8 * i) & 0xff, digest[8 + i]);
        }
    }
}

static void assert_key(const char *key, const char *wanted)
{
    char text[LSI_U128_TEXT_BYTES];

    lsi_u128_to_decimal(lsi_hash_partition_key((ls_bytes){key, strlen(key)}), text);
    assert_string_equal(text, wanted);
}

/* Goal: keys go where the service puts them. */
static void keys_hash_as_kinesis_hashes_them(void **state)
{
    (void)state;
    assert_key("a", "16955237001963240173058271559858726497");
    assert_key("b", "195289424170611159128911017612795795343");
    assert_key("e", "299611584147932843547128611849858313266");
    assert_key("f", "190917122200326810055233066464581373159");
    assert_key("\xc3\xbcn\xc3\xaf" "code", "272617993107095573161805975375084130852");
}

/* Goal: the sum is XXH3-64 for every way it takes by length. Method: xxHash's own test vectors over its generated text,
 * and its one with a seed. */
static void sums_are_those_of_xxh3(void **state)
{
    static const struct {
        size_t size;
        uint64_t sum;
    } cases[] = {
        {0, UINT64_C(0x2d06800538d394c2)},    {1, UINT64_C(0xc44bdff4074eecdb)},
        {6, UINT64_C(0x27b56a84cd2d7325)},    {12, UINT64_C(0xa713daf0dfbb77e7)},
        {24, UINT64_C(0xa3fe70bf9d3510eb)},   {48, UINT64_C(0x397da259ecba1f11)},
        {80, UINT64_C(0xbcdefbbb2c47c90a)},   {195, UINT64_C(0xcd94217ee362ec3a)},
        {403, UINT64_C(0xcdeb804d65c6dea4)},  {512, UINT64_C(0x617e49599013cb6b)},
        {2048, UINT64_C(0xdd59e2c3a5f038e0)}, {2240, UINT64_C(0x6e73a90539cf2948)},
        {2367, UINT64_C(0xcb37aeb9e5d361ed)},
    };
    const uint64_t prime = UINT64_C(11400714785074694797);
    unsigned char text[2367];
    uint64_t generator = UINT64_C(2654435761);

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (unsigned char)(generator >> 56);
        generator *= prime;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(lsi_sum64(text, cases[i].size, 0) == cases[i].sum);
    assert_true(lsi_sum64(text, 1, prime) == UINT64_C(0x032be332dd766ef8));
}

/* Goal: a sum does not depend on the processor that makes it. Method: all ways that this one has, over every length
 * through several of XXH3's blocks, of random bytes, at changing alignments, without and with seeds, and a long run. */
static void sums_are_the_same_by_every_width(void **state)
{
    enum { LENGTHS = 3000, LONG = 1 << 20 };
    unsigned char *text = malloc(LONG + 8);
    uint64_t word = 1;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LONG + 8; i++) {
        word = word * UINT64_C(6364136223846793005) + 1442695040888963407;
        text[i] = (unsigned char)(word >> 56);
    }
    for (size_t i = 0; i <= 2 * LENGTHS + 1; i++) {
        const unsigned char *from = text + i / 2 % 997 * 1009 % (LONG - LENGTHS);
        size_t size = i / 2;
        if (size == LENGTHS) {
            from = text + i % 2;
            size = LONG;
        }
        uint64_t seed = i % 2 * i * UINT64_C(0x9e3779b97f4a7c15), sum = lsi_sum64_plain(from, size, seed);

        assert_true(lsi_sum64(from, size, seed) == sum);
#ifdef LSI_HASH_WIDE
        if (lsi_sum64_has_avx2())
            assert_true(lsi_sum64_avx2(from, size, seed) == sum);
#endif
    }
    free(text);
}

/* The same for the sum of words that are at hand. */
static void a_sum_of_words_is_that_of_their_bytes(void **state)
{
    unsigned char bytes[44];
    uint64_t w[7] = {1}; /* the last is the seed */

    (void)state;
    for (int n = 0; n < 100000; n++) {
        for (size_t i = 0; i < 7; i++)
            w[i] = (n == 0 ? 0 : w[i == 0 ? 6 : i - 1]) * UINT64_C(6364136223846793005) + 1442695040888963407 + i;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(w[i / 8] >> i % 8 * 8);
        assert_true(lsi_sum64_44(w[0], w[1], w[2], w[3], w[4], w[5] & UINT32_MAX, w[6]) ==
                    lsi_sum64_plain(bytes, sizeof bytes, w[6]));
        assert_true(lsi_sum64_44(w[0], w[1], w[2], w[3], w[4], w[5], w[6]) ==
                    lsi_sum64_plain(bytes, sizeof bytes, w[6]));
    }
}

int main(void)
{
    const struct CMUnitTest sums_and_places[] = {
        cmocka_unit_test(md5_gives_the_sums_of_the_rfc),
        cmocka_unit_test(md5_is_right_for_every_length_to_200),
        cmocka_unit_test(one_block_and_many_blocks_agree),
        cmocka_unit_test(keys_hash_as_kinesis_hashes_them),
        cmocka_unit_test(sums_are_those_of_xxh3),
        cmocka_unit_test(sums_are_the_same_by_every_width),
        cmocka_unit_test(a_sum_of_words_is_that_of_their_bytes),
    };

    return cmocka_run_group_tests(sums_and_places, NULL, NULL);
}
