/* What records are split into: JSON values one behind the other, and pieces between delimiters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/split.h"

/* The pieces with a bar behind each, or "no". */
static const char *split(const char *data, size_t size, const char *delimiter)
{
    static char said[256];
    ls_bytes rest = {data, size};
    size_t at = 0;

    if (!lsi_split_check(rest, delimiter))
        return "no";
    do {
        ls_bytes piece = lsi_split_next(&rest, delimiter);

        assert_true(at + piece.size + 2 < sizeof said);
        if (piece.size != 0)
            memcpy(said + at, piece.data, piece.size);
        at += piece.size;
        said[at++] = '|';
    } while (rest.size != 0);
    said[at] = '\0';
    return said;
}

static void json_values_are_told_apart(void **state)
{
    static const struct { const char *data, *pieces; } cases[] = {
        {"{\"a\":1}{\"b\":2}", "{\"a\":1}|{\"b\":2}|"},
        {" {\"a\":{\"b\":[1,2]}}\r\n\t[{}] \n", "{\"a\":{\"b\":[1,2]}}|[{}]|"},
        {"{\"}\":\"{\\\"}\\\\\"}1", "{\"}\":\"{\\\"}\\\\\"}|1|"},
        {"1 2.5e-3 true\"x\"null", "1|2.5e-3|true|\"x\"|null|"},
        {"", "|"}, {"  \n", "|"}, {"{}", "{}|"},
        {"{", "no"}, {"{\"a\":1}{\"b\"", "no"}, {"}", "no"}, {"\"x", "no"}, {"\"x\\", "no"}, {"{}#", "no"}, {",", "no"},
        {"[\"]", "no"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(split(cases[i].data, strlen(cases[i].data), ""), cases[i].pieces);
    assert_string_equal(split("1\0", 2, ""), "no");
}

static void delimiters_are_in_no_piece(void **state)
{
    static const struct { const char *data, *delimiter, *pieces; } cases[] = {
        {"a####b", "####", "a|b|"}, {"a#####b", "####", "a|#b|"}, {"a\nb\n", "\n", "a|b|"},
        {"\n\na\n\n\nb", "\n", "a|b|"}, {"a", "\n", "a|"}, {"", "\n", "|"}, {"\n\n", "\n", "|"}, {"ab", "abc", "ab|"},
        {"a##", "####", "a##|"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(split(cases[i].data, strlen(cases[i].data), cases[i].delimiter), cases[i].pieces);
}

/* Whatever it is, it comes to an end, and no byte is in two pieces. */
static void any_bytes_are_split(void **state)
{
    static const char letters[] = "{}[]\"\\ \n1a#";
    unsigned seed = 1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char data[24];
        size_t size = (size_t)(i % 25), sum = 0;
        const char *delimiter = i % 3 == 0 ? "##" : "";

        for (size_t k = 0; k < size; k++) {
            seed = seed * 1103515245u + 12345u;
            data[k] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        if (!lsi_split_check((ls_bytes){data, size}, delimiter))
            continue;
        for (ls_bytes rest = {data, size}; rest.size != 0;) {
            const char *from = rest.data;
            ls_bytes piece = lsi_split_next(&rest, delimiter);
            const char *at = piece.data;

            assert_true(at >= from && at + piece.size <= (const char *)rest.data);
            assert_true((const char *)rest.data + rest.size == data + size && (piece.size != 0 || rest.size == 0));
            sum += piece.size;
        }
        assert_true(sum <= size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_values_are_told_apart),
        cmocka_unit_test(delimiters_are_in_no_piece),
        cmocka_unit_test(any_bytes_are_split),
    };

    return cmocka_run_group_tests_name("deliver/test_split", tests, NULL, NULL);
}
