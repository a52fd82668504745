/* Filters against another reading of the same language: random patterns and random data, equal answers.
 *
 * The other reading is as naive as the specification: data is flattened to leaves, each with its path as text and the
 * elements of arrays that it lies in; a pattern is multiplied out to lists of conditions, a path and its matchers; a
 * list holds when each condition can be given a leaf, or none where none may be, so that the leaves agree on the
 * elements. Every way is tried. Patterns and data are small and made of few keys and values, so that many match. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "consume/consume.h"

#define PATH_BYTES 128
#define TEXT_BYTES 16384

/* ---- chance ---- */

static uint64_t random_state;

static uint32_t chance(uint32_t count)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % count);
}

/* ---- texts ---- */

typedef struct text {
    char bytes[TEXT_BYTES];
    size_t size;
} text;

static void put(text *to, const char *what)
{
    size_t size = strlen(what);

    assert_true(to->size + size < TEXT_BYTES);
    memcpy(to->bytes + to->size, what, size + 1);
    to->size += size;
}

/* ---- values ---- */

/* A scalar: how it is written in data and patterns, and what it is. */
typedef struct scalar {
    const char *json;
    enum { IS_NULL, IS_TRUE, IS_FALSE, IS_STRING, IS_NUMBER } kind;
    const char *string;
    double number; /* NAN: too many digits to be one */
} scalar;

static const scalar scalars[] = {
    {"1", IS_NUMBER, NULL, 1},       {"1.0", IS_NUMBER, NULL, 1},       {"2", IS_NUMBER, NULL, 2},
    {"20e-1", IS_NUMBER, NULL, 2},   {"-3.5", IS_NUMBER, NULL, -3.5},   {"9007199254740993", IS_NUMBER, NULL, NAN},
    {"\"x\"", IS_STRING, "x", 0},    {"\"X\"", IS_STRING, "X", 0},      {"\"\\u0078y\"", IS_STRING, "xy", 0},
    {"\"yx\"", IS_STRING, "yx", 0},  {"\"\"", IS_STRING, "", 0},        {"\"1\"", IS_STRING, "1", 0},
    {"\"null\"", IS_STRING, "null", 0}, {"\"10.0.0.7\"", IS_STRING, "10.0.0.7", 0},
    {"null", IS_NULL, NULL, 0},      {"true", IS_TRUE, NULL, 0},        {"false", IS_FALSE, NULL, 0},
};
#define SCALAR_COUNT (sizeof scalars / sizeof scalars[0])

static const char *const keys[] = {"a", "b", "c", "a.b", "b.c", "a.b.c", "", "a."};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

static const char *random_key(void)
{
    return keys[chance(10) < 8 ? chance(3) : chance(KEY_COUNT)];
}

/* ---- data ---- */

#define MEMBERS_MAX 5
#define LEVELS_MAX 8

/* An element of an array that a leaf lies in. */
typedef struct element {
    uint32_t steps; /* of the array's path */
    uint32_t array, index;
} element;

typedef struct leaf {
    char path[PATH_BYTES]; /* "": the data itself; else it begins with a byte that is in no key */
    const scalar *value;
    element elements[LEVELS_MAX * 2];
    uint32_t element_count;
} leaf;

static leaf leaves[4096];
static uint32_t leaf_count, array_count;

typedef struct value {
    enum { SCALAR, OBJECT, ARRAY } kind;
    const scalar *scalar;
    const char *keys[MEMBERS_MAX];
    struct value *members[MEMBERS_MAX];
    uint32_t count;
} value;

static value value_pool[8192];
static uint32_t values_used;

static value *random_value(uint32_t level, text *to)
{
    value *made = &value_pool[values_used++];
    uint32_t kind = level == 0 ? 9 : chance(10);

    assert_true(values_used < 8192);
    memset(made, 0, sizeof *made);
    if (level >= 5 || kind < 4) {
        made->scalar = &scalars[chance(4) == 0 ? chance(SCALAR_COUNT) : chance(2) * 6];
        put(to, made->scalar->json);
        return made;
    }
    made->kind = kind < 7 ? ARRAY : OBJECT;
    if (level == 0 && chance(20) == 0)
        made->kind = ARRAY;
    made->count = chance(10) == 0 ? 0 : 1 + chance(level == 0 ? MEMBERS_MAX : 3);
    put(to, made->kind == OBJECT ? "{" : "[");
    for (uint32_t i = 0; i < made->count; i++) {
        if (i != 0)
            put(to, ",");
        if (made->kind == OBJECT) {
            made->keys[i] = random_key(); /* some come twice */
            put(to, "\"");
            put(to, made->keys[i]);
            put(to, "\":");
        }
        made->members[i] = random_value(level + 1, to);
    }
    put(to, made->kind == OBJECT ? "}" : "]");
    return made;
}

static void join(char to[PATH_BYTES], const char *path, const char *between, const char *key)
{
    assert_true((size_t)snprintf(to, PATH_BYTES, "%s%s%s", path, between, key) < PATH_BYTES);
}

/* `path` holds `steps` steps. */
static void flatten(const value *from, const char *path, uint32_t steps, const element *elements,
    uint32_t element_count)
{
    element own[LEVELS_MAX * 2];
    uint32_t array;

    memcpy(own, elements, element_count * sizeof *own);
    if (from->kind == SCALAR) {
        leaf *made = &leaves[leaf_count++];

        assert_true(leaf_count < 4096);
        snprintf(made->path, sizeof made->path, "%s", path);
        made->value = from->scalar;
        memcpy(made->elements, own, element_count * sizeof *own);
        made->element_count = element_count;
        return;
    }
    array = ++array_count;
    for (uint32_t i = 0; i < from->count; i++) {
        char below[PATH_BYTES];
        uint32_t more = 1;
        bool is_last = true;

        if (from->kind == ARRAY) {
            own[element_count] = (element){steps, array, i};
            flatten(from->members[i], path, steps, own, element_count + 1);
            continue;
        }
        for (uint32_t k = i + 1; k < from->count; k++)
            is_last = is_last && strcmp(from->keys[k], from->keys[i]) != 0;
        if (!is_last)
            continue;
        for (const char *c = from->keys[i]; *c != '\0'; c++)
            more += *c == '.';
        join(below, steps == 0 ? "\1" : path, steps == 0 ? "" : ".", from->keys[i]);
        flatten(from->members[i], below, steps + more, own, element_count);
    }
}

/* ---- patterns ---- */

typedef struct matcher {
    enum { LITERAL, EXISTS, ABSENT, PREFIX, SUFFIX, IGNORE_CASE, WILDCARD, NUMERIC, CIDR, BUT, BUT_PREFIX,
        BUT_WILDCARD } kind;
    const scalar *scalars[2]; /* LITERAL, BUT */
    const char *string;
    double low, high; /* NUMERIC: low <= n < high */
} matcher;

#define MATCHERS_MAX 3

typedef struct condition {
    char path[PATH_BYTES];
    uint32_t scope; /* the "$or" it stands in: equal paths of one scope are one condition, the last */
    matcher matchers[MATCHERS_MAX];
    uint32_t count;
} condition;

#define CONDITIONS_MAX 64
#define LISTS_MAX 256

/* One of the lists that a pattern is multiplied out to. */
typedef struct list {
    condition conditions[CONDITIONS_MAX];
    uint32_t count;
} list;

typedef struct lists {
    list *all; /* [LISTS_MAX] */
    uint32_t count;
} lists;

static uint32_t scope_count;

static const char *const words[] = {"", "x", "y", "X", "xy", "1"};
static const char *const wildcards[] = {"", "*", "x*", "*x", "x*y", "*y*", "y*x", "\\\\*"};

static matcher random_matcher(text *to)
{
    matcher made = {.kind = chance(5) < 2 ? LITERAL : chance(BUT_WILDCARD + 1)};
    char json[200];
    static const double bounds[] = {-4, 0, 1, 2, 3};

    switch (made.kind) {
    case LITERAL:
        made.scalars[0] = &scalars[chance(2) == 0 ? chance(SCALAR_COUNT) : chance(2) * 6];
        snprintf(json, sizeof json, "%s", made.scalars[0]->json);
        break;
    case EXISTS: snprintf(json, sizeof json, "{\"exists\":true}"); break;
    case ABSENT: snprintf(json, sizeof json, "{\"exists\":false}"); break;
    case PREFIX:
    case SUFFIX:
    case IGNORE_CASE:
        made.string = words[chance(6)];
        snprintf(json, sizeof json,
            "{\"%s\":\"%s\"}", made.kind == PREFIX ? "prefix" : made.kind == SUFFIX ? "suffix" : "equals-ignore-case",
            made.string);
        break;
    case WILDCARD:
        made.string = wildcards[chance(8)];
        snprintf(json, sizeof json, "{\"wildcard\":\"%s\"}", made.string);
        break;
    case NUMERIC: {
        uint32_t low = chance(4), high = low + 1 + chance(4 - low);

        made.low = bounds[low];
        made.high = bounds[high];
        snprintf(json, sizeof json, "{\"numeric\":[\">=\",%g,\"<\",%g]}", made.low, made.high);
        break;
    }
    case CIDR: snprintf(json, sizeof json, "{\"cidr\":\"10.0.0.0/%d\"}", 29); break;
    case BUT:
        made.scalars[0] = &scalars[chance(2) == 0 ? chance(6) : 6 + chance(8)];
        do
            made.scalars[1] = &scalars[chance(14)];
        while (made.scalars[1]->kind != made.scalars[0]->kind);
        snprintf(json, sizeof json, "{\"anything-but\":[%s,%s]}", made.scalars[0]->json, made.scalars[1]->json);
        break;
    case BUT_PREFIX:
        made.string = words[1 + chance(5)];
        snprintf(json, sizeof json, "{\"anything-but\":{\"prefix\":\"%s\"}}", made.string);
        break;
    case BUT_WILDCARD:
        made.string = wildcards[chance(8)];
        snprintf(json, sizeof json, "{\"anything-but\":{\"wildcard\":\"%s\"}}", made.string);
        break;
    }
    put(to, json);
    return made;
}

static void add_condition(lists *to, const condition *what)
{
    for (uint32_t i = 0; i < to->count; i++) {
        list *one = &to->all[i];
        uint32_t k = 0;

        while (k < one->count && (one->conditions[k].scope != what->scope || strcmp(one->conditions[k].path,
            what->path) != 0))
            k++;
        assert_true(k < CONDITIONS_MAX);
        one->conditions[k] = *what;
        one->count += k == one->count;
    }
}

static void random_pattern(uint32_t level, const char *path, uint32_t scope, lists *to, text *into);

/* Each list is continued in as many ways as there are alternatives. */
static void random_or(uint32_t level, const char *path, lists *to, text *into)
{
    list *before = malloc(to->count * sizeof *before);
    uint32_t before_count = to->count, made = 0;
    list *all = malloc(LISTS_MAX * sizeof *all);

    memcpy(before, to->all, to->count * sizeof *before);
    put(into, "\"$or\":[");
    for (int i = 0; i < 2; i++) {
        if (i != 0)
            put(into, ",");
        memcpy(to->all, before, before_count * sizeof *before);
        to->count = before_count;
        random_pattern(level + 1, path, ++scope_count, to, into);
        assert_true(made + to->count <= LISTS_MAX);
        memcpy(all + made, to->all, to->count * sizeof *all);
        made += to->count;
    }
    put(into, "]");
    memcpy(to->all, all, made * sizeof *all);
    to->count = made;
    free(before);
    free(all);
}

static void random_pattern(uint32_t level, const char *path, uint32_t scope, lists *to, text *into)
{
    uint32_t count = 1 + chance(2) + (level == 0 ? chance(3) / 2 : 0);
    const char *used[4] = {NULL};
    bool has_or = false;

    put(into, "{");
    for (uint32_t i = 0; i < count; i++) {
        condition one = {.scope = scope};
        const char *key;
        bool is_used = false;

        if (i != 0)
            put(into, ",");
        if (!has_or && level < 3 && to->count <= 8 && chance(6) == 0) {
            has_or = true;
            random_or(level, path, to, into);
            continue;
        }
        do { /* Equal keys are the business of another test; equal paths are not. */
            key = random_key();
            is_used = false;
            for (uint32_t k = 0; k < i; k++)
                is_used = is_used || (used[k] != NULL && strcmp(used[k], key) == 0);
        } while (is_used);
        used[i] = key;
        join(one.path, path[0] == '\0' ? "\1" : path, path[0] == '\0' ? "" : ".", key);
        put(into, "\"");
        put(into, key);
        put(into, "\":");
        if (level < 3 && chance(5) < 2) {
            random_pattern(level + 1, one.path, scope, to, into);
            continue;
        }
        one.count = 1 + chance(MATCHERS_MAX);
        put(into, "[");
        for (uint32_t k = 0; k < one.count; k++) {
            if (k != 0)
                put(into, ",");
            one.matchers[k] = random_matcher(into);
        }
        put(into, "]");
        add_condition(to, &one);
    }
    put(into, "}");
}

/* ---- the other reading ---- */

static bool wildcard_holds(const char *pattern, const char *string)
{
    if (*pattern == '\0')
        return *string == '\0';
    if (*pattern == '*')
        return wildcard_holds(pattern + 1, string) || (*string != '\0' && wildcard_holds(pattern, string + 1));
    if (*pattern == '\\') /* in JSON: two of them, and a star */
        return *string == '*' && wildcard_holds(pattern + 3, string + 1);
    return *pattern == *string && wildcard_holds(pattern + 1, string + 1);
}

static bool equal(const scalar *a, const scalar *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == IS_STRING)
        return strcmp(a->string, b->string) == 0;
    if (a->kind == IS_NUMBER)
        return isnan(a->number) || isnan(b->number) ? strcmp(a->json, b->json) == 0 : a->number == b->number;
    return true;
}

static bool holds(const matcher *m, const scalar *v)
{
    const char *s = v->kind == IS_STRING ? v->string : NULL;
    size_t size = m->string == NULL ? 0 : strlen(m->string);

    switch (m->kind) {
    case LITERAL: return equal(m->scalars[0], v);
    case EXISTS: return true;
    case ABSENT: return false;
    case PREFIX: return s != NULL && strncmp(s, m->string, size) == 0;
    case SUFFIX: return s != NULL && strlen(s) >= size && strcmp(s + strlen(s) - size, m->string) == 0;
    case IGNORE_CASE: return s != NULL && strcasecmp(s, m->string) == 0;
    case WILDCARD: return s != NULL && wildcard_holds(m->string, s);
    case NUMERIC: return v->kind == IS_NUMBER && v->number >= m->low && v->number < m->high;
    case CIDR: return s != NULL && strcmp(s, "10.0.0.7") == 0;
    case BUT: return !equal(m->scalars[0], v) && !equal(m->scalars[1], v);
    case BUT_PREFIX: return s == NULL || strncmp(s, m->string, size) != 0;
    case BUT_WILDCARD: return s == NULL || !wildcard_holds(m->string, s);
    }
    return false;
}

/* How many first steps, of those above the values, the paths share. */
static uint32_t shared_steps(const char *a, const char *b)
{
    uint32_t shared = 0;

    for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
        shared += a[i] == '.';
    return shared;
}

/* Whether two leaves lie in the same elements of the arrays on the way that their paths share. */
static bool agree(const leaf *a, const leaf *b)
{
    uint32_t shared = shared_steps(a->path, b->path);
    uint32_t i = 0;

    for (;; i++) {
        bool in_a = i < a->element_count && a->elements[i].steps <= shared;
        bool in_b = i < b->element_count && b->elements[i].steps <= shared;

        if (!in_a && !in_b)
            return true;
        if (in_a != in_b || a->elements[i].array != b->elements[i].array ||
            a->elements[i].index != b->elements[i].index)
            return false;
    }
}

/* Gives condition `at` and those behind it leaves, or nothing, and looks whether that holds together. */
static bool search_from(const list *of, uint32_t at, const leaf *chosen[CONDITIONS_MAX])
{
    const condition *c = &of->conditions[at];
    bool may_be_absent = false;

    if (at == of->count) {
        for (uint32_t i = 0; i < of->count; i++) {
            if (chosen[i] != NULL)
                continue;
            for (uint32_t k = 0; k < leaf_count; k++) { /* Nothing may be there, where the others are. */
                bool is_here = strcmp(leaves[k].path, of->conditions[i].path) == 0;

                for (uint32_t j = 0; j < of->count && is_here; j++)
                    is_here = chosen[j] == NULL || agree(&leaves[k], chosen[j]);
                if (is_here)
                    return false;
            }
        }
        return true;
    }
    for (uint32_t k = 0; k < leaf_count; k++) {
        bool fits = false;

        if (strcmp(leaves[k].path, c->path) != 0)
            continue;
        for (uint32_t i = 0; i < c->count; i++)
            fits = fits || holds(&c->matchers[i], leaves[k].value);
        for (uint32_t i = 0; i < at && fits; i++)
            fits = chosen[i] == NULL || agree(&leaves[k], chosen[i]);
        chosen[at] = &leaves[k];
        if (fits && search_from(of, at + 1, chosen))
            return true;
    }
    for (uint32_t i = 0; i < c->count; i++)
        may_be_absent = may_be_absent || c->matchers[i].kind == ABSENT;
    chosen[at] = NULL;
    return may_be_absent && search_from(of, at + 1, chosen);
}

static bool reference(const lists *pattern)
{
    const leaf *chosen[CONDITIONS_MAX];

    for (uint32_t i = 0; i < pattern->count; i++)
        if (search_from(&pattern->all[i], 0, chosen))
            return true;
    return false;
}

/* ---- side by side ---- */

#define DATA_PER_PATTERN 100

static text pattern_text, data_text;

static lists make_pattern(void)
{
    lists made = {malloc(LISTS_MAX * sizeof(list)), 1};

    assert_non_null(made.all);
    made.all[0].count = 0;
    pattern_text.size = 0;
    scope_count = 0;
    random_pattern(0, "", 0, &made, &pattern_text);
    return made;
}

static void make_data(void)
{
    value *made;

    data_text.size = 0;
    values_used = 0;
    leaf_count = 0;
    array_count = 0;
    made = random_value(0, &data_text);
    flatten(made, "", 0, &(element){0, 0, 0}, 0);
}

static void random_patterns_and_data_agree_with_the_reference(void **state)
{
    const char *given = getenv("LIBSTREAM_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    uint32_t patterns = getenv("LIBSTREAM_TEST_LONG") != NULL ? 50000 : 2500;
    uint32_t matched = 0;

    (void)state;
    random_state = seed;
    for (uint32_t i = 0; i < patterns; i++) {
        lists pattern = make_pattern();
        char whole[TEXT_BYTES + 32];
        const char *one = whole;
        lsi_filter *filter;

        snprintf(whole, sizeof whole, "{\"data\":%s}", pattern_text.bytes);
        if (lsi_filter_open(&lsi_memory_libc, &one, 1, NULL, &filter) != LS_OK)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, whole, ls_last_error_message());
        for (uint32_t k = 0; k < DATA_PER_PATTERN; k++) {
            ls_record record = {.partition_key = {"k", 1}, .seqno = 1};
            bool found = false, expected;

            make_data();
            record.data = (ls_bytes){data_text.bytes, data_text.size};
            expected = reference(&pattern);
            assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
            if (found != expected)
                fail_msg("seed %llu: %s must %smatch %s", (unsigned long long)seed, data_text.bytes,
                    expected ? "" : "not ",
                         whole);
            matched += found;
        }
        assert_int_equal(lsi_filter_not_json(filter), 0);
        lsi_filter_close(filter);
        free(pattern.all);
    }
    print_message("seed=%llu pairs=%u matched=%u\n", (unsigned long long)seed, patterns * DATA_PER_PATTERN, matched);
    assert_true(matched > patterns * DATA_PER_PATTERN / 20 && matched < patterns * DATA_PER_PATTERN / 2);
}

int main(void)
{
    const struct CMUnitTest filters[] = {
        cmocka_unit_test(random_patterns_and_data_agree_with_the_reference),
    };

    return cmocka_run_group_tests(filters, NULL, NULL);
}
