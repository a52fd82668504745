/* base/base64.h: what the JSON writer makes of any bytes comes back, and nothing else is taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/json.h"

#define SIZE_LIMIT 200

static void bytes_of_every_length_come_back(void **state)
{
    unsigned char bytes[SIZE_LIMIT + 256], back[SIZE_LIMIT + 256];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7919 >> (i & 7));
    for (size_t i = 0; i < 256; i++) /* and all values of a byte */
        bytes[SIZE_LIMIT + i] = (unsigned char)i;
    for (size_t length = 0; length <= sizeof bytes; length++) {
        lsi_json_writer writer;
        char *own;

        lsi_json_begin(&writer, &lsi_memory_libc);
        lsi_json_base64(&writer, bytes, length);
        own = malloc(writer.size - 1); /* without its quotes, and no byte more */
        assert_non_null(own);
        memcpy(own, writer.text + 1, writer.size - 2);
        assert_true(lsi_base64_room(writer.size - 2) >= length);
        assert_true(lsi_base64_decode(own, writer.size - 2, back, &size));
        assert_int_equal(size, length);
        assert_memory_equal(back, bytes, length);
        assert_true(lsi_base64_decode(own, writer.size - 2, own, &size)); /* in its place */
        assert_int_equal(size, length);
        assert_memory_equal(own, bytes, length);
        free(own);
        lsi_json_free(&writer);
    }
}

static void what_it_is_not_is_refused(void **state)
{
    static const char *const bad[] = {
        "A", "AA", "AAA", "AAAAA", "=", "====", "A===", "AA=A", "AA==AAAA", "AAA=AAAA", "AAA ", "AA\n=", "AAAA\n",
        "A-_A", "AB==", "AAB=", "Zg=", "Z g=", "AAA\xff", "=AAA", "A=AA",
    };
    char out[16];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (lsi_base64_decode(bad[i], strlen(bad[i]), out, &size))
            fail_msg("'%s' is no base64", bad[i]);
    for (unsigned c = 0; c < 256; c++) { /* In each place exactly the alphabet. */
        bool is_good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
                       c == '/';

        for (size_t at = 0; at < 4; at++) {
            char text[8] = "AAAA";

            text[at] = (char)c;
            assert_int_equal(lsi_base64_decode(text, 4, out, &size), is_good || (c == '=' && at == 3));
        }
    }
}

int main(void)
{
    const struct CMUnitTest base64[] = {
        cmocka_unit_test(bytes_of_every_length_come_back),
        cmocka_unit_test(what_it_is_not_is_refused),
    };

    return cmocka_run_group_tests_name("base64", base64, NULL, NULL);
}
