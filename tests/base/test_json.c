/* base/json.h: what the writer prints, and what the reader takes, refuses and does without memory. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/status.h"

/* Memory that counts its blocks and refuses from the `left`th request on. */
typedef struct scarce {
    size_t left;
    size_t blocks;
} scarce;

static void *scarce_resize(void *user, void *old, size_t bytes)
{
    scarce *s = user;

    if (bytes == 0) {
        s->blocks -= old != NULL;
        free(old);
        return NULL;
    }
    if (s->left == 0)
        return NULL;
    s->left--;
    s->blocks += old == NULL;
    return realloc(old, bytes);
}

/* ---- writing ---- */

static void write_all(lsi_json_writer *to)
{
    lsi_json_object_open(to);
    lsi_json_key(to, "text");
    lsi_json_string(to, "a\"b");
    lsi_json_key(to, "numbers");
    lsi_json_array_open(to);
    lsi_json_int(to, INT64_MIN);
    lsi_json_uint(to, UINT64_MAX);
    lsi_json_double(to, 0.1);
    lsi_json_array_close(to);
    lsi_json_key(to, "empty");
    lsi_json_array_open(to);
    lsi_json_object_open(to);
    lsi_json_object_close(to);
    lsi_json_array_open(to);
    lsi_json_array_close(to);
    lsi_json_array_close(to);
    lsi_json_key(to, "yes");
    lsi_json_bool(to, true);
    lsi_json_key(to, "none");
    lsi_json_null(to);
    lsi_json_object_close(to);
}

#define ALL_TEXT                                                                                              \
    "{\"text\":\"a\\\"b\",\"numbers\":[-9223372036854775808,18446744073709551615,0.1],\"empty\":[{},[]],"     \
    "\"yes\":true,\"none\":null}"

static void commas_stand_between_values_only(void **state)
{
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    assert_string_equal(to.text, "");
    write_all(&to);
    assert_false(to.failed);
    assert_string_equal(to.text, ALL_TEXT);
    assert_int_equal(to.size, strlen(ALL_TEXT));
    lsi_json_free(&to);
}

static void assert_written(const void *bytes, size_t size, const char *wanted)
{
    lsi_json_writer to;

    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_json_string_sized(&to, bytes, size);
    assert_string_equal(to.text, wanted);
    lsi_json_free(&to);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    assert_written("\b\f\n\r\t\"\\/", 8, "\"\\b\\f\\n\\r\\t\\\"\\\\/\"");
    assert_written("a\0\x1f\x7f", 4, "\"a\\u0000\\u001f\x7f\"");
    assert_written(NULL, 0, "\"\"");
    assert_written("\xc3\xa4\xf0\x9f\x98\x80", 6, "\"\xc3\xa4\xf0\x9f\x98\x80\"");
}

/* Goal: each byte that is no UTF-8 becomes U+FFFD, and what follows is kept. */
static void bad_bytes_become_a_replacement(void **state)
{
    (void)state;
    assert_written("a\xff\xc3(\xe2\x82", 6, "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void assert_double(double n, const char *wanted)
{
    lsi_json_writer to;

    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_json_double(&to, n);
    assert_string_equal(to.text, wanted);
    lsi_json_free(&to);
}

static void doubles_are_short_and_exact(void **state)
{
    (void)state;
    assert_double(0.1, "0.1");
    assert_double(0.1 + 0.2, "0.30000000000000004");
    assert_double(1.0 / 3, "0.3333333333333333");
    assert_double(-5, "-5");
    assert_double(1e300, "1e+300");
    assert_double((double)NAN, "null");
    assert_double(-(double)INFINITY, "null");
}

/* Goal: the program's locale does not show. Method: the first locale here that has a decimal comma; skipped when the
 * system has none. */
static void a_decimal_comma_never_shows(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    bool was_set = false;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !was_set; i++)
        was_set = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!was_set)
        skip();
    assert_double(0.5, "0.5");
    (void)setlocale(LC_NUMERIC, "C"); /* Cannot fail for "C". */
}

/* Goal: a writer without memory says so once, at the end, and leaks nothing. Method: refuse from the 1st, 2nd, ...
 * request on until all is written. */
static void a_failed_allocation_sticks(void **state)
{
    bool was_written = false;

    (void)state;
    for (size_t left = 0; !was_written; left++) {
        scarce s = {left, 0};
        lsi_memory memory = {scarce_resize, &s};
        lsi_json_writer to;

        lsi_json_begin(&to, &memory);
        write_all(&to);
        was_written = !to.failed;
        if (was_written)
            assert_string_equal(to.text, ALL_TEXT);
        s.left = 100; /* Memory that comes back later changes nothing. */
        lsi_json_null(&to);
        assert_int_equal(to.failed, !was_written);
        lsi_json_free(&to);
        assert_int_equal(s.blocks, 0);
        assert_true(left < 50);
    }
}

/* RFC 4648's vectors, and how long they and escaped strings are said to be. */
static void base64_and_sizes_are_as_written(void **state)
{
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xef\xbe", "/+++"}};
    static const char *const texts[] = {"", "plain", "\"\\\b\f\n\r\t", "\x01\x1f", "\xc3\xa4\xe2\x82\xac", "\xc3(\xff"};
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        to.size = 0;
        to.wants_comma = false;
        lsi_json_base64(&to, vectors[i][0], strlen(vectors[i][0]));
        assert_int_equal(to.size, strlen(vectors[i][1]) + 2);
        assert_memory_equal(to.text + 1, vectors[i][1], to.size - 2);
        assert_int_equal(to.text[to.size - 1], '"');
        assert_int_equal(lsi_json_base64_size(strlen(vectors[i][0])), to.size - 2);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        to.size = 0;
        to.wants_comma = false;
        lsi_json_string(&to, texts[i]);
        assert_int_equal(lsi_json_escaped_size(texts[i], strlen(texts[i])), to.size - 2);
    }
    to.size = 0;
    to.wants_comma = false;
    lsi_json_object_open(&to);
    lsi_json_key_sized(&to, "abc", 2);
    lsi_json_raw(&to, "[1, 2]x", 6);
    lsi_json_key(&to, "c");
    lsi_json_base64(&to, "f", 1);
    lsi_json_object_close(&to);
    assert_string_equal(to.text, "{\"ab\":[1, 2],\"c\":\"Zg==\"}");
    lsi_json_free(&to);
}

/* ---- reading ---- */

#ifdef LSI_HAVE_YAJL

/* Events as text: kind letter, depth, content. */
typedef struct trace {
    char text[4096];
    size_t size;
    size_t events_left;
} trace;

static bool note(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    trace *t = user;

    if (t->size < sizeof t->text - 100) {
        t->size += (size_t)snprintf(t->text + t->size, sizeof t->text - t->size, "%c%u", "zbnsk{}[]"[kind], depth);
        size = size < 60 ? size : 60;
        memcpy(t->text + t->size, text, size);
        t->size += size;
        t->text[t->size++] = ' ';
    }
    return --t->events_left > 0;
}

static ls_status read_sized(const void *text, size_t size, trace *t)
{
    *t = (trace){.events_left = SIZE_MAX};
    return lsi_json_parse(&lsi_memory_libc, text, size, note, t);
}

static ls_status read_text(const char *text, trace *t)
{
    return read_sized(text, strlen(text), t);
}

static void every_token_is_told_with_its_depth(void **state)
{
    trace t;

    (void)state;
    assert_int_equal(read_text(" {\"a\" : [1, -2.50e+3, \"x\\n\\u00e4\\ud83d\\ude00\", {}], \"b\":{\"a\":null}, "
                               "\"c\":true,\"d\":false} ", &t), LS_OK);
    assert_string_equal(t.text, "{0 k1a [1 n21 n2-2.50e+3 s2x\n\xc3\xa4\xf0\x9f\x98\x80 {2 }2 ]1 k1b {1 k2a z2null }1 "
                                "k1c b1true k1d b1false }0 ");
    assert_int_equal(read_text("123456789012345678901234567890.10", &t), LS_OK);
    assert_string_equal(t.text, "n0123456789012345678901234567890.10 ");
}

static void what_is_not_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "", " ", "{", "[1", "\"a", "nul", "tru", "-", "01", "1.", ".5", "+1", "1e", "[1,]", "{\"a\":1,}", "{a:1}",
        "{\"a\"}", "{1:2}", "['a']", "[1 2]", "NaN", "// x\n1", "/* x */1", "\"\n\"", "\"\\x\"", "\"\\u12\"", "]", "\\",
        "[\\u0041]", "\xef\xbb\xbf\x31", /* a byte order mark and 1 */
        /* after the document */
        "1 2", "{} {}", "{}x", "[] ]", "null,",
        /* halves of surrogate pairs, as escapes and as bytes; overlong */
        "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"", "\"\xff\"", "\"\\\\\\ud800\"",
    };
    trace t;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (read_text(texts[i], &t) != LS_ERR_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", texts[i]);
        if (strncmp(ls_last_error_message(), "JSON: ", 6) != 0)
            fail_msg("'%s': %s", texts[i], ls_last_error_message());
    }
    assert_int_equal(read_sized("1\0", 2, &t), LS_ERR_INVALID_ARGUMENT);
}

/* Goal: an escaped backslash before "ud800" is no surrogate. */
static void an_escaped_backslash_starts_no_escape(void **state)
{
    trace t;

    (void)state;
    assert_int_equal(read_text("\"\\\\ud800\"", &t), LS_OK);
    assert_string_equal(t.text, "s0\\ud800 ");
}

static void u0000_can_be_read(void **state)
{
    trace t;

    (void)state;
    assert_int_equal(read_text("\"a\\u0000b\"", &t), LS_OK);
    assert_int_equal(t.size, 6);
    assert_memory_equal(t.text, "s0a\0b ", 6);
}

/* Goal: 64 levels are read, 65 are refused, of either kind. */
static void depth_is_bounded(void **state)
{
    char text[400];
    trace t;

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        for (size_t levels = 64; levels <= 65; levels++) {
            size_t size = 0;

            for (size_t i = 0; i < levels; i++)
                size += (size_t)snprintf(text + size, sizeof text - size, "%s", kind == 0 ? "[" : "{\"\":");
            text[size++] = '1';
            for (size_t i = 0; i < levels; i++)
                text[size++] = kind == 0 ? ']' : '}';
            assert_int_equal(read_sized(text, size, &t), levels == 64 ? LS_OK : LS_ERR_INVALID_ARGUMENT);
        }
    }
}

/* Goal: one object has no key twice, however the key is spelt; two objects may share one. */
static void a_key_comes_once_in_an_object(void **state)
{
    static const char *const refused[] = {
        "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":1}", "{\"\\u0061\":1,\"b\":{\"a\":1},\"a\":1}", "{\"\":1,\"\":1}",
        "[{\"x\":{\"a\":[{\"a\":1}],\"b\":2,\"a\":3}}]", "{\"\\n\":1,\"\\t\":2,\"\\n\":3}",
    };
    trace t;

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (read_text(refused[i], &t) != LS_ERR_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", refused[i]);
    assert_int_equal(read_text("[{\"a\":1},{\"a\":{\"a\":{\"a\":2}}},{\"\\n\":1,\"\\t\":1}]", &t), LS_OK);
    assert_int_equal(read_text("{\"a\":1,\"a\\u0000\":2,\"A\":3}", &t), LS_OK);
}

/* Goal: the same with more keys than the first table holds. Method: 1,000 keys, then the nth of them again. */
static void many_keys_are_compared(void **state)
{
    char text[16000];
    size_t size = 1;
    trace t;

    (void)state;
    text[0] = '{';
    for (unsigned i = 0; i < 1000; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, i % 2 ? "\"k%u\":0," : "\"\\u006b%u\":0,", i);
    for (unsigned again = 0; again <= 1000; again += 100) {
        size_t whole = size + (size_t)snprintf(text + size, sizeof text - size, "\"k%u\":0}", again);

        assert_int_equal(read_sized(text, whole, &t), again == 1000 ? LS_OK : LS_ERR_INVALID_ARGUMENT);
    }
}

/* Goal: an event can stop the parse, at every place, and that is no failure. */
static void an_event_can_stop_the_parse(void **state)
{
    static const char text[] = "{\"a\":[1,\"x\",true,null,{}]} trailing";

    (void)state;
    for (size_t events = 1; events <= 10; events++) {
        trace t = {.events_left = events};

        assert_int_equal(lsi_json_parse(&lsi_memory_libc, text, sizeof text - 1, note, &t), LS_OK);
        assert_int_equal(t.events_left, 0);
    }
}

/* Goal: without memory the reader says so and leaks nothing, wherever it runs out. Method: refuse from the 1st, 2nd,
 * ... request on, over a document with long strings, escapes, depth and many keys, and over one that is wrong. */
static void running_out_of_memory_is_told(void **state)
{
    static char text[16000];

    (void)state;
    for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
        ls_status st = LS_ERR_NO_MEMORY;
        size_t size = 0;

        for (unsigned i = 0; i < 10; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "[{\"k\":");
        size += (size_t)snprintf(text + size, sizeof text - size, "{");
        for (unsigned i = 0; i < 200; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "\"\\u006b%u\":\"%032u\\n\",",
                                     i % 10 ? i : i + 1000, i);
        size += (size_t)snprintf(text + size, sizeof text - size, is_wrong ? "\"k1\":0}" : "\"k\":0}");
        for (unsigned i = 0; i < 10; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "}]");
        if (is_wrong == 1)
            size--;
        for (size_t left = 0; st == LS_ERR_NO_MEMORY; left++) {
            scarce s = {left, 0};
            lsi_memory memory = {scarce_resize, &s};
            trace t = {.events_left = SIZE_MAX};

            st = lsi_json_parse(&memory, text, size, note, &t);
            assert_int_equal(ls_last_error_status(), st == LS_OK ? LS_ERR_NO_MEMORY : st);
            assert_int_equal(s.blocks, 0);
            assert_true(left < 5000);
        }
        assert_int_equal(st, is_wrong ? LS_ERR_INVALID_ARGUMENT : LS_OK);
    }
}

static void assert_member(const char *text, const char *key, ls_status wanted, const char *value)
{
    char *found = NULL;
    size_t size = 0;

    assert_int_equal(lsi_json_member(&lsi_memory_libc, text, strlen(text), key, &found, &size), wanted);
    if (wanted != LS_OK) {
        assert_null(found);
        return;
    }
    assert_int_equal(size, strlen(value));
    assert_string_equal(found, value);
    lsi_free(&lsi_memory_libc, found);
}

static void a_member_is_found_at_the_top_only(void **state)
{
    static const char text[] =
        "{\"deep\":{\"id\":1},\"list\":[\"id\"],\"id\":\"x\\ty\",\"n\":-1.50,\"yes\":true,\"none\":null,"
        "\"empty\":\"\"}";

    (void)state;
    assert_member(text, "id", LS_OK, "x\ty");
    assert_member(text, "n", LS_OK, "-1.50");
    assert_member(text, "yes", LS_OK, "true");
    assert_member(text, "empty", LS_OK, "");
    assert_member(text, "none", LS_ERR_NOT_FOUND, NULL);
    assert_member(text, "deep", LS_ERR_NOT_FOUND, NULL);
    assert_member(text, "list", LS_ERR_NOT_FOUND, NULL);
    assert_member(text, "absent", LS_ERR_NOT_FOUND, NULL);
    assert_member("[\"id\",1]", "id", LS_ERR_NOT_FOUND, NULL);
    assert_member("{\"id\":1} x", "id", LS_ERR_INVALID_ARGUMENT, NULL);
    assert_member("{\"id\":1,\"id\":2}", "id", LS_ERR_INVALID_ARGUMENT, NULL);
}

/* Goal: as running_out_of_memory_is_told, with the copy of the value among the requests. */
static void a_member_without_memory_is_told(void **state)
{
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    for (size_t left = 0; st == LS_ERR_NO_MEMORY; left++) {
        scarce s = {left, 0};
        lsi_memory memory = {scarce_resize, &s};
        char *found = NULL;
        size_t size;

        st = lsi_json_member(&memory, "{\"id\":\"x\"}", 10, "id", &found, &size);
        lsi_free(&memory, found);
        assert_int_equal(s.blocks, 0);
        assert_true(left < 100);
    }
    assert_int_equal(st, LS_OK);
}

/* Counts events, keys and bytes. */
static bool count_events(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    size_t *counts = user;

    (void)text;
    (void)depth;
    counts[0]++;
    counts[1] += kind == LSI_JSON_KEY;
    counts[2] += size;
    return true;
}

/* Goal: a reader takes one document after the other, bad ones among them, and each as if it were the first. Documents
 * with many escapes and levels need more than the reader's own bytes. */
static void a_reader_takes_many_documents(void **state)
{
    static const char *const texts[] = {"{\"a\":{\"a\":[1,true,null]}}", "\"abc", "{\"a\":1", "", "[[[",
                                        "nul", "1 2", "{\"a\" \"b\"}"};
    static char escapes[60000];
    lsi_json_reader *reader;

    (void)state;
    for (size_t i = 0; i < sizeof escapes; i += 6)
        memcpy(escapes + i, "\\u00e4", 6);
    escapes[0] = '[';
    memcpy(escapes + 1, "\"xxxx", 5);
    memcpy(escapes + sizeof escapes - 6, "    \"]", 6);
    assert_int_equal(lsi_json_reader_open(&lsi_memory_libc, 0, &reader), LS_OK);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            size_t once[3] = {0}, again[3] = {0};
            ls_status st = lsi_json_parse(&lsi_memory_libc, texts[i], strlen(texts[i]), count_events, once);

            assert_int_equal(lsi_json_read(reader, texts[i], strlen(texts[i]), count_events, again), st);
            assert_int_equal(st, i == 0 ? LS_OK : LS_ERR_INVALID_ARGUMENT);
            assert_memory_equal(once, again, sizeof once);
        }
        size_t counts[3] = {0};
        assert_int_equal(lsi_json_read(reader, escapes, sizeof escapes, count_events, counts), LS_OK);
        assert_int_equal(counts[2], 4 + 2 * 9998 + 4);
    }
    lsi_json_reader_close(reader);
    lsi_json_reader_close(NULL);
}

/* Goal: keys come twice only to whom asks for it. */
typedef struct places {
    lsi_json_reader *reader;
    size_t at[16], count;
} places;

static bool note_place(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    places *of = user;

    (void)kind;
    (void)text;
    (void)size;
    (void)depth;
    of->at[of->count++] = lsi_json_reader_at(of->reader);
    return true;
}

static void a_reader_knows_how_far_it_came(void **state)
{
    static const char text[] = "{\"a\": [1, true],\n\"b\":\"x\"}";
    static const size_t wanted[] = {1, 4, 7, 8, 14, 15, 20, 24, 25};
    places of = {.count = 0};

    (void)state;
    assert_int_equal(lsi_json_reader_open(&lsi_memory_libc, 0, &of.reader), LS_OK);
    assert_int_equal(lsi_json_read(of.reader, text, sizeof text - 1, note_place, &of), LS_OK);
    assert_int_equal(of.count, sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < of.count; i++)
        assert_int_equal(of.at[i], wanted[i]);
    assert_int_equal(lsi_json_reader_at(of.reader), sizeof text - 1);
    of.count = 0;
    assert_int_equal(lsi_json_read(of.reader, "[1,\n,2]", 7, note_place, &of), LS_ERR_INVALID_ARGUMENT);
    assert_in_range(lsi_json_reader_at(of.reader), 4, 5); /* the second comma */
    of.count = 0;
    assert_int_equal(lsi_json_read(of.reader, "[\"\xff\"]", 5, note_place, &of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_json_reader_at(of.reader), 2);
    lsi_json_reader_close(of.reader);
}

static void keys_repeat_for_whom_asks(void **state)
{
    static const char text[] = "{\"a\":1,\"a\":2,\"\\u0061\":3}";
    lsi_json_reader *strict, *loose;
    size_t counts[3] = {0};

    (void)state;
    assert_int_equal(lsi_json_reader_open(&lsi_memory_libc, 0, &strict), LS_OK);
    assert_int_equal(lsi_json_reader_open(&lsi_memory_libc, LSI_JSON_KEYS_MAY_REPEAT, &loose), LS_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(lsi_json_read(strict, text, strlen(text), count_events, counts), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(lsi_json_read(strict, "{\"a\":1}", 7, count_events, counts), LS_OK);
        memset(counts, 0, sizeof counts);
        assert_int_equal(lsi_json_read(loose, text, strlen(text), count_events, counts), LS_OK);
        assert_int_equal(counts[1], 3);
    }
    lsi_json_reader_close(strict);
    lsi_json_reader_close(loose);
}

/* Goal: no allocation that fails leaves anything behind, and the reader goes on afterwards. Method: refuse the first,
 * the second, ... until none is refused. */
static void a_reader_without_memory_goes_on(void **state)
{
    static char escapes[30000];
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    for (size_t i = 0; i < sizeof escapes; i += 6)
        memcpy(escapes + i, "\\u00e4", 6);
    escapes[0] = '"';
    memset(escapes + 1, 'x', 5);
    escapes[sizeof escapes - 1] = '"';
    memset(escapes + sizeof escapes - 6, 'x', 5);
    for (size_t left = 0; st == LS_ERR_NO_MEMORY; left++) {
        scarce s = {left, 0};
        lsi_memory memory = {scarce_resize, &s};
        lsi_json_reader *reader = NULL;
        size_t counts[3] = {0};

        st = lsi_json_reader_open(&memory, LSI_JSON_KEYS_MAY_REPEAT, &reader);
        if (st == LS_OK) {
            st = lsi_json_read(reader, escapes, sizeof escapes, count_events, counts);
            s.left = 0;
            assert_int_equal(lsi_json_read(reader, "{\"a\":[1]}", 9, count_events, counts), LS_OK);
        }
        lsi_json_reader_close(reader);
        assert_int_equal(s.blocks, 0);
        assert_true(left < 100);
    }
    assert_int_equal(st, LS_OK);
}

#else

/* Goal: without yajl the calls exist and say so. */
static void reading_is_unsupported(void **state)
{
    char *found;
    size_t size;

    (void)state;
    assert_int_equal(lsi_json_parse(&lsi_memory_libc, "1", 1, NULL, NULL), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_json_member(&lsi_memory_libc, "{}", 2, "a", &found, &size), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_json_reader_open(&lsi_memory_libc, 0, &(lsi_json_reader *){NULL}), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_json_read(NULL, "1", 1, NULL, NULL), LS_ERR_UNSUPPORTED);
    lsi_json_reader_close(NULL);
}

#endif

int main(void)
{
    const struct CMUnitTest json_out_and_in[] = {
        cmocka_unit_test(commas_stand_between_values_only),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bad_bytes_become_a_replacement),
        cmocka_unit_test(doubles_are_short_and_exact),
        cmocka_unit_test(a_decimal_comma_never_shows),
        cmocka_unit_test(a_failed_allocation_sticks),
        cmocka_unit_test(base64_and_sizes_are_as_written),
#ifdef LSI_HAVE_YAJL
        cmocka_unit_test(every_token_is_told_with_its_depth),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(an_escaped_backslash_starts_no_escape),
        cmocka_unit_test(u0000_can_be_read),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_key_comes_once_in_an_object),
        cmocka_unit_test(many_keys_are_compared),
        cmocka_unit_test(an_event_can_stop_the_parse),
        cmocka_unit_test(running_out_of_memory_is_told),
        cmocka_unit_test(a_member_is_found_at_the_top_only),
        cmocka_unit_test(a_member_without_memory_is_told),
        cmocka_unit_test(a_reader_takes_many_documents),
        cmocka_unit_test(a_reader_knows_how_far_it_came),
        cmocka_unit_test(keys_repeat_for_whom_asks),
        cmocka_unit_test(a_reader_without_memory_goes_on),
#else
        cmocka_unit_test(reading_is_unsupported),
#endif
    };

    return cmocka_run_group_tests(json_out_and_in, NULL, NULL);
}
