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

/* The words are of the parts that this build has. */
static void features_are_the_parts_that_were_built(void **state)
{
    char features[64] = "";

    (void)state;
#ifdef LSI_HAVE_YAJL
    strcat(features, "json");
#endif
#ifdef LSI_HAVE_CRYPTO
    strcat(features, features[0] != '\0' ? " crypto" : "crypto");
#endif
    assert_string_equal(ls_version_features(), features);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_running_version_is_that_of_the_headers),
        cmocka_unit_test(features_are_the_parts_that_were_built),
    };

    return cmocka_run_group_tests_name("version.h", tests, NULL, NULL);
}
