/* base/compress.h: what goes in comes out, and bytes that say too much or too little about themselves are refused
 * (X2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compress.h"

#define SIZE 10000u

static unsigned char plain[SIZE], packed[SIZE + 1], clear[SIZE + 1];

static size_t pack(lsi_compressor *with)
{
    size_t made;

    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (unsigned char)(i * i / 97 % 19);
    made = lsi_compress(with, plain, sizeof plain, packed, sizeof packed);
    assert_true(made > 0 && made < sizeof plain / 2);
    return made;
}

static void what_was_compressed_comes_back(void **state)
{
    lsi_compressor *in = lsi_compressor_new();
    lsi_decompressor *out = lsi_decompressor_new();

    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        size_t made = pack(in);

        memset(clear, 0xee, sizeof clear);
        assert_true(lsi_decompress(out, packed, made, clear, sizeof plain));
        assert_memory_equal(clear, plain, sizeof plain);
        assert_int_equal(clear[sizeof plain], 0xee);
    }
    lsi_compressor_free(in);
    lsi_decompressor_free(out);
}

static void what_does_not_fit_is_said_to_be_nothing(void **state)
{
    lsi_compressor *in = lsi_compressor_new();
    size_t made = pack(in);

    (void)state;
    assert_int_equal(lsi_compress(in, plain, sizeof plain, packed, made - 1), 0);
    assert_int_equal(lsi_compress(in, plain, sizeof plain, packed, 0), 0);
    assert_int_equal(lsi_compress(in, plain, sizeof plain, packed, sizeof packed), made);
    lsi_compressor_free(in);
}

/* X2: another size than is stated, a piece, two frames, and bytes behind. */
static void other_sizes_are_refused(void **state)
{
    lsi_compressor *in = lsi_compressor_new();
    lsi_decompressor *out = lsi_decompressor_new();
    size_t made = pack(in);

    (void)state;
    assert_false(lsi_decompress(out, packed, made, clear, sizeof plain - 1));
    assert_false(lsi_decompress(out, packed, made, clear, sizeof plain + 1));
    assert_false(lsi_decompress(out, packed, made, clear, 0));
    for (size_t size = 0; size < made; size++)
        assert_false(lsi_decompress(out, packed, size, clear, sizeof plain));
    packed[made] = 0;
    assert_false(lsi_decompress(out, packed, made + 1, clear, sizeof plain));
    lsi_compressor_free(in);
    lsi_decompressor_free(out);
}

/* Goal: no flipped bit writes behind the output or is accepted for another size. Bounds checkers see the rest. */
static void flipped_bits_stay_inside(void **state)
{
    lsi_compressor *in = lsi_compressor_new();
    lsi_decompressor *out = lsi_decompressor_new();
    size_t made = pack(in);

    (void)state;
    for (size_t at = 0; at < made; at++) {
        unsigned char *exact = malloc(made), *into = malloc(sizeof plain);

        assert_non_null(exact);
        assert_non_null(into);
        memcpy(exact, packed, made);
        exact[at] ^= (unsigned char)(1u << at % 8);
        (void)lsi_decompress(out, exact, made, into, sizeof plain);
        free(exact);
        free(into);
    }
    assert_true(lsi_decompress(out, packed, made, clear, sizeof plain)); /* Failing leaves nothing behind. */
    assert_memory_equal(clear, plain, sizeof plain);
    lsi_compressor_free(in);
    lsi_decompressor_free(out);
}

int main(void)
{
    const struct CMUnitTest compressing[] = {
        cmocka_unit_test(what_was_compressed_comes_back),
        cmocka_unit_test(what_does_not_fit_is_said_to_be_nothing),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(flipped_bits_stay_inside),
    };

    return cmocka_run_group_tests_name("compressing", compressing, NULL, NULL);
}
