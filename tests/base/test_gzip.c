/* base/gzip.h: what is written is one member of gzip that holds the bytes, whatever they are, in no more than the bound
 * says; equal bytes give equal ones; what does not fit is said so. Read by zlib itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/gzip.h"

static uint64_t the_random = 1;

static unsigned char any_byte(void)
{
    the_random = the_random * UINT64_C(6364136223846793005) + 1;
    return (unsigned char)(the_random >> 56);
}

static void assert_holds(const unsigned char *made, size_t size, const unsigned char *bytes, size_t count)
{
    unsigned char *again = malloc(count + 1);
    z_stream of;

    memset(&of, 0, sizeof of);
    assert_int_equal(inflateInit2(&of, 15 + 16), Z_OK);
    of.next_in = (Bytef *)(uintptr_t)made;
    of.avail_in = (uInt)size;
    of.next_out = again;
    of.avail_out = (uInt)count + 1;
    assert_int_equal(inflate(&of, Z_FINISH), Z_STREAM_END);
    assert_int_equal(of.avail_in, 0); /* one member, and nothing behind it */
    assert_int_equal(of.total_out, count);
    assert_memory_equal(again, bytes, count);
    (void)inflateEnd(&of);
    free(again);
}

static void any_bytes_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 17, 1000, 65535, 65536, 300000};

    (void)state;
    assert_true(lsi_gzip_is_built());
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *bytes = malloc(sizes[i] + 1), *made, *twin;
            size_t room = lsi_gzip_bound(sizes[i]), size;

            for (size_t k = 0; k < sizes[i]; k++)
                bytes[k] = (unsigned char)(kind == 1 ? k % 7 : any_byte() & (kind == 0 ? 255 : 3));
            made = malloc(room);
            twin = malloc(room);
            size = lsi_gzip(bytes, sizes[i], made, room);
            assert_true(size != 0 && size <= room);
            assert_holds(made, size, bytes, sizes[i]);
            assert_int_equal(lsi_gzip(bytes, sizes[i], twin, room), size);
            assert_memory_equal(made, twin, size);
            assert_int_equal(lsi_gzip(bytes, sizes[i], twin, size - 1), 0);
            free(bytes);
            free(made);
            free(twin);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_bytes_come_back)};

    return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
