/* base/fold.h: letters of any script are equal to their other case, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fold.h"

static bool equal(const char *a, const char *b)
{
    return lsi_fold_equal(a, strlen(a), b, strlen(b));
}

static void case_makes_no_difference(void **state)
{
    (void)state;
    assert_true(equal("", ""));
    assert_true(equal("Alpha-1", "aLPHA-1"));
    assert_true(equal("\xc3\x84\xc3\x96", "\xc3\xa4\xc3\xb6"));                 /* umlauts */
    assert_true(equal("\xce\xa3\xcf\x82\xcf\x83", "\xcf\x83\xcf\x83\xcf\x83")); /* the three sigmas */
    assert_true(equal("\xe2\x84\xaa", "k"));                                    /* the Kelvin sign */
    assert_true(equal("\xf0\x90\x90\x80", "\xf0\x90\x90\xa8"));                 /* Deseret, beyond 16 bits */
    assert_true(equal("\xe1\xba\x9e", "\xc3\x9f"));                             /* the capital sharp s */
}

static void other_texts_differ(void **state)
{
    (void)state;
    assert_false(equal("a", ""));
    assert_false(equal("", "a"));
    assert_false(equal("a", "ab"));
    assert_false(equal("\xc3\x9f", "ss"));      /* one code point for one */
    assert_false(equal("\xc3\xa4", "a\xcc\x88")); /* no normalisation */
    assert_false(equal("i", "\xc4\xb1"));       /* the dotless i folds to itself */
    assert_false(equal("[", "{"));
    assert_false(equal("@", "`"));
}

static void starts_and_ends_are_found_whatever_their_bytes(void **state)
{
    (void)state;
    assert_true(lsi_fold_starts("\xe2\x84\xaa" "elvin", 8, "kEl", 3));
    assert_true(lsi_fold_starts("kelvin", 6, "\xe2\x84\xaa", 3));
    assert_true(lsi_fold_starts("a", 1, "", 0));
    assert_false(lsi_fold_starts("a", 1, "ab", 2));
    assert_true(lsi_fold_ends("volt \xe2\x84\xaa", 8, "T K", 3));
    assert_true(lsi_fold_ends("k", 1, "\xe2\x84\xaa", 3));
    assert_true(lsi_fold_ends("a", 1, "", 0));
    assert_false(lsi_fold_ends("b", 1, "ab", 2));
    assert_false(lsi_fold_ends("xb", 2, "ab", 2));
}

/* Goal: the table is a folding: to fold twice is to fold once, and there is no hole in its search. */
static void folding_twice_changes_nothing(void **state)
{
    uint32_t changed = 0;

    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint32_t folded = lsi_fold(c);

        changed += folded != c;
        assert_int_equal(lsi_fold(folded), folded);
    }
    assert_int_equal(changed, 26 + 1428); /* Unicode 14 */
}

int main(void)
{
    const struct CMUnitTest folding[] = {
        cmocka_unit_test(case_makes_no_difference),
        cmocka_unit_test(other_texts_differ),
        cmocka_unit_test(starts_and_ends_are_found_whatever_their_bytes),
        cmocka_unit_test(folding_twice_changes_nothing),
    };

    return cmocka_run_group_tests(folding, NULL, NULL);
}
