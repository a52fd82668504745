/* stream/tags.c: which tags are taken, and what adding and removing makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/stream.h"

static lsi_tags none;

static lsi_tags add(const lsi_tags *to, const char *key, const char *value)
{
    ls_tag tag = {key, value};
    lsi_tags made;

    assert_int_equal(lsi_tags_add(&lsi_memory_libc, to, &tag, 1, &made), LS_OK);
    return made;
}

/* "a=1 b=2": all tags in order. */
static const char *text_of(const lsi_tags *tags)
{
    static char text[512];
    const char *at = NULL;
    uint32_t count = 0;
    size_t size = 0;
    ls_tag tag;

    text[0] = '\0';
    while (lsi_tags_next(tags, &at, &tag)) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s=%s", size > 0 ? " " : "", tag.key, tag.value);
        count++;
    }
    assert_int_equal(count, tags->count);
    return text;
}

static void free_tags(lsi_tags *tags)
{
    lsi_free(&lsi_memory_libc, tags->text);
}

static void tags_are_kept_by_key(void **state)
{
    lsi_tags one = add(&none, "team", "a"), two = add(&one, "Team", "b"), three = add(&two, "cost", "");

    (void)state;
    assert_string_equal(text_of(&three), "Team=b cost= team=a");
    assert_string_equal(text_of(&one), "team=a"); /* and those before are as they were */
    free_tags(&one);
    free_tags(&two);
    free_tags(&three);
}

static void an_equal_key_is_replaced(void **state)
{
    const ls_tag both[3] = {{"b", "2"}, {"a", "3"}, {"b", "4"}};
    lsi_tags one = add(&none, "a", "1"), after;

    (void)state;
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &one, both, 3, &after), LS_OK);
    assert_string_equal(text_of(&after), "a=3 b=4");
    free_tags(&one);
    free_tags(&after);
    after = add(&none, "key", NULL);
    assert_string_equal(text_of(&after), "key=");
    free_tags(&after);
}

static void removed_tags_go_and_absent_ones_are_ignored(void **state)
{
    const char *const keys[] = {"x", "b", "b"}, *const last[] = {"a"};
    lsi_tags one = add(&none, "a", "1"), two = add(&one, "b", "2"), after, empty;

    (void)state;
    assert_int_equal(lsi_tags_remove(&lsi_memory_libc, &two, keys, 3, &after), LS_OK);
    assert_string_equal(text_of(&after), "a=1");
    assert_int_equal(lsi_tags_remove(&lsi_memory_libc, &after, last, 1, &empty), LS_OK);
    assert_int_equal(empty.count, 0);
    assert_null(empty.text);
    assert_int_equal(lsi_tags_remove(&lsi_memory_libc, &empty, last, 1, &empty), LS_OK);
    free_tags(&one);
    free_tags(&two);
    free_tags(&after);
}

static void fifty_tags_are_the_most(void **state)
{
    static char keys[200][16];
    static ls_tag tags[201];
    lsi_tags all, more;

    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%d", i);
        tags[i] = (ls_tag){keys[i], "v"};
    }
    tags[200] = tags[0];
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &none, tags, 50, &all), LS_OK);
    assert_int_equal(all.count, 50);
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &all, tags, 50, &more), LS_OK); /* they are the same */
    free_tags(&more);
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &all, tags + 50, 1, &more), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "51"));
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &all, tags, 200, &more), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "200 tags"));
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &none, tags, 201, &more), LS_ERR_INVALID_ARGUMENT);
    free_tags(&all);
}

static void too_many_keys_at_once_are_refused(void **state)
{
    const char *keys[51];
    lsi_tags after;

    (void)state;
    for (int i = 0; i < 51; i++)
        keys[i] = "k";
    assert_int_equal(lsi_tags_remove(&lsi_memory_libc, &none, keys, 50, &after), LS_OK);
    assert_int_equal(lsi_tags_remove(&lsi_memory_libc, &none, keys, 51, &after), LS_ERR_INVALID_ARGUMENT);
}

static const char *repeated(const char *character, size_t count)
{
    static char text[2000];
    size_t size = strlen(character);

    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, character, size);
    text[count * size] = '\0';
    return text;
}

static void lengths_are_counted_in_characters(void **state)
{
    static const char *const characters[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(lsi_check_tag_key(repeated(characters[i], 128)), LS_OK);
        assert_int_equal(lsi_check_tag_key(repeated(characters[i], 129)), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(lsi_check_tag_value(repeated(characters[i], 256)), LS_OK);
        assert_int_equal(lsi_check_tag_value(repeated(characters[i], 257)), LS_ERR_INVALID_ARGUMENT);
    }
    assert_int_equal(lsi_check_tag_key(""), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_tag_key(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_tag_value(""), LS_OK);
    assert_int_equal(lsi_check_tag_value(NULL), LS_OK);
}

static void other_characters_are_refused(void **state)
{
    char key[4] = "axb";

    (void)state;
    for (int c = 1; c < 0x80; c++) {
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr(" _.:/=+-@", c) != NULL;

        key[1] = (char)c;
        assert_int_equal(lsi_check_tag_key(key), good ? LS_OK : LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(lsi_check_tag_value(key), good ? LS_OK : LS_ERR_INVALID_ARGUMENT);
    }
    assert_int_equal(lsi_check_tag_key("a\xff"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_tag_key("a\xc2\x85"), LS_ERR_INVALID_ARGUMENT); /* U+0085, a control */
    assert_int_equal(lsi_check_tag_key("a\xc2\xa0"), LS_OK);
}

static void keys_of_the_service_are_refused(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_tag_key("aws:x"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_tag_key("AWS:x"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_tag_key("aws"), LS_OK);
    assert_int_equal(lsi_check_tag_key("awsx"), LS_OK);
    assert_int_equal(lsi_check_tag_key("xaws:"), LS_OK);
    assert_int_equal(lsi_check_tag_value("aws:x"), LS_OK);
}

static void retention_moves_in_the_direction_that_is_said(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_retention_change("s", 24, 24, true), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 24, false), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 25, true), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 23, true), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_retention_change("s", 24, 23, false), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 25, false), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_retention_change("s", 24, 8760, true), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 8761, true), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_retention_change("s", 24, 1, false), LS_OK);
    assert_int_equal(lsi_check_retention_change("s", 24, 0, false), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "'s'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_kept_by_key),
        cmocka_unit_test(an_equal_key_is_replaced),
        cmocka_unit_test(removed_tags_go_and_absent_ones_are_ignored),
        cmocka_unit_test(fifty_tags_are_the_most),
        cmocka_unit_test(too_many_keys_at_once_are_refused),
        cmocka_unit_test(lengths_are_counted_in_characters),
        cmocka_unit_test(other_characters_are_refused),
        cmocka_unit_test(keys_of_the_service_are_refused),
        cmocka_unit_test(retention_moves_in_the_direction_that_is_said),
    };

    return cmocka_run_group_tests_name("tags and retention", tests, NULL, NULL);
}
