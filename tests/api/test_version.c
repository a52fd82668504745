/* version.h: what is running is what was compiled against. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <libstream/libstream.h>

static void the_running_version_is_that_of_the_headers(void **state)
{
    char number[32];

    (void)state;
    assert_int_equal(ls_version_number(), LS_VERSION_NUMBER);
    assert_string_equal(ls_version_string(), LS_VERSION_STRING);
    snprintf(number, sizeof number, "%d.%d.%d", LS_VERSION_MAJOR, LS_VERSION_MINOR, LS_VERSION_PATCH);
    assert_string_equal(LS_VERSION_STRING, number);
    assert_int_equal(LS_VERSION_NUMBER, LS_VERSION_MAJOR * 1000000 + LS_VERSION_MINOR * 1000 + LS_VERSION_PATCH);
}

/* Words divided by single blanks, each a known part. */
static void features_are_known_words(void **state)
{
    char features[64], *rest = features;

    (void)state;
    assert_non_null(ls_version_features());
    snprintf(features, sizeof features, "%s", ls_version_features());
    if (features[0] == '\0')
        return;
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        assert_string_equal(word, "json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_running_version_is_that_of_the_headers),
        cmocka_unit_test(features_are_known_words),
    };

    return cmocka_run_group_tests_name("version.h", tests, NULL, NULL);
}
