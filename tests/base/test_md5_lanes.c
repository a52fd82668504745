/* Hashing many keys at once gives every key the place it has by itself.
 *
 * Each test runs once for every width of lanes that this processor has, and for the plain path. The truth is lsi_md5,
 * which pads by other code and goes block by block (test_hash.c holds it against RFC 1321). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/md5.h"

#define KEYS 70u       /* in one call: four turns of 16 lanes and some idle ones */
#define KEY_MAX 1024u  /* bytes of 256 characters in UTF-8 */
#define SHORT_MAX 55u

static const unsigned widths[] = {1, 4, 8, 16};

static uint64_t random_state = UINT64_C(0x6d64356c616e6573); /* the seed, which is always the same */

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) * bound >> 32);
}

static void random_bytes(unsigned char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)random_below(256);
}

static ls_hash_key place_of(ls_bytes key)
{
    unsigned char digest[16];
    ls_hash_key place = {0, 0};

    lsi_md5(key.data, key.size, digest);
    for (unsigned i = 0; i < 8; i++) {
        place.high = place.high << 8 | digest[i];
        place.low = place.low << 8 | digest[8 + i];
    }
    return place;
}

static void assert_same_place(ls_hash_key got, ls_hash_key wanted, size_t size, unsigned lanes)
{
    if (got.high != wanted.high || got.low != wanted.low)
        fail_msg("a key of %zu bytes goes elsewhere in %u lanes", size, lanes);
}

/* Hashes `count` keys in every width there is; each must go where it goes by itself, and nothing else be written. */
static void assert_places(const ls_bytes *keys, uint32_t count)
{
    const ls_hash_key untouched = {UINT64_C(0x1122334455667788), UINT64_C(0x99aabbccddeeff00)};
    ls_hash_key wanted[KEYS], got[KEYS + 1];

    for (uint32_t i = 0; i < count; i++)
        wanted[i] = place_of(keys[i]);
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        if (!lsi_md5_lanes_force(widths[w]))
            continue;
        for (uint32_t i = 0; i <= KEYS; i++)
            got[i] = untouched;
        lsi_hash_partition_keys(keys, count, got);
        for (uint32_t i = 0; i < count; i++)
            assert_same_place(got[i], wanted[i], keys[i].size, widths[w]);
        for (uint32_t i = count; i <= KEYS; i++)
            assert_same_place(got[i], untouched, 0, widths[w]);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_same_place(lsi_hash_partition_key(keys[i]), wanted[i], keys[i].size, 1);
}

/* Goal: a million random keys go to the same place in lanes and by themselves. Method: calls of 70 keys whose lengths
 * are mixed: three in four have 0 to 64 bytes, around what fits one block; the fourth goes through every length to 1024
 * in turn, 240 times each. */
static void a_million_random_keys_agree_in_every_width(void **state)
{
    static unsigned char text[KEYS][KEY_MAX];
    uint32_t every_length = 0;
    ls_bytes keys[KEYS];

    (void)state;
    print_message("seed %llx\n", (unsigned long long)random_state);
    for (uint32_t hashed = 0; hashed < 1000000; hashed += KEYS) {
        for (uint32_t i = 0; i < KEYS; i++) {
            size_t size = i % 4 != 0 ? random_below(65) : every_length++ % (KEY_MAX + 1);

            /* New bytes for what may be short, and some for the rest: random numbers would cost more than hashes. */
            random_bytes(text[i], size < 64 ? size : 64);
            keys[i] = (ls_bytes){text[i], size};
        }
        assert_places(keys, KEYS);
    }
    assert_true(every_length > 240 * (KEY_MAX + 1));
}

/* Goal: idle lanes at the end, and long keys among short ones, change nothing. Method: every count to 70, of short keys
 * only; then with every third, and at last all of them, too long for one block. */
static void every_count_of_keys_is_right(void **state)
{
    static unsigned char text[KEYS][KEY_MAX];
    ls_bytes keys[KEYS];

    (void)state;
    for (uint32_t every = 0; every <= 3; every += every == 0 ? 1 : 2)
        for (uint32_t count = 0; count <= KEYS; count++) {
            for (uint32_t i = 0; i < count; i++) {
                size_t size = every != 0 && i % every == 0 ? SHORT_MAX + 1 + random_below(200)
                                                           : random_below(SHORT_MAX + 1);

                random_bytes(text[i], size);
                keys[i] = (ls_bytes){text[i], size};
            }
            assert_places(keys, count);
        }
}

/* Goal: an empty key needs no address. */
static void keys_without_an_address_are_empty(void **state)
{
    ls_bytes keys[KEYS];

    (void)state;
    memset(keys, 0, sizeof keys);
    assert_places(keys, KEYS);
}

/* Goal: no byte before or behind a key is read. Method: a page between two that cannot be read; keys of every length to
 * 200 bytes begin where it begins and end where it ends. */
static void bytes_beside_a_key_are_never_read(void **state)
{
    const size_t page = 65536; /* a multiple of every page size there is */
    unsigned char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *open_page = map + page;
    ls_bytes keys[KEYS];

    (void)state;
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(open_page, page, PROT_READ | PROT_WRITE), 0);
    random_bytes(open_page, page);
    for (size_t size = 0; size <= 200; size++) {
        for (uint32_t i = 0; i < KEYS; i++)
            keys[i] = (ls_bytes){i % 2 == 0 ? open_page : open_page + page - size, size};
        assert_places(keys, KEYS);
    }
    assert_int_equal(munmap(map, 3 * page), 0);
}

/* Goal: a width that is not there is refused and changes nothing; without a wish the processor decides. */
static void widths_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    assert_false(lsi_md5_lanes_force(2));
    assert_false(lsi_md5_lanes_force(3));
    assert_false(lsi_md5_lanes_force(32));
    assert_true(lsi_md5_lanes_force(1));
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
    assert_true(lsi_md5_lanes_force(4)); /* Every processor of these has them. */
#endif
    assert_true(lsi_md5_lanes_force(0));
}

int main(void)
{
    const struct CMUnitTest many_keys_at_once[] = {
        cmocka_unit_test(a_million_random_keys_agree_in_every_width),
        cmocka_unit_test(every_count_of_keys_is_right),
        cmocka_unit_test(keys_without_an_address_are_empty),
        cmocka_unit_test(bytes_beside_a_key_are_never_read),
        cmocka_unit_test(widths_that_do_not_exist_are_refused),
    };

    return cmocka_run_group_tests(many_keys_at_once, NULL, NULL);
}
