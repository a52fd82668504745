/* Flat JSON objects, written and read: what a row of a table becomes. A program with richer documents takes a JSON
 * library; these few functions keep the examples free of one. */
#ifndef EXAMPLES_FLAT_JSON_H
#define EXAMPLES_FLAT_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Text that grows. Zero it to begin; after a failed allocation `failed` stays set and additions do nothing. */
typedef struct flat_json {
    char *text;
    size_t size, capacity;
    bool failed;
} flat_json;

void flat_json_begin(flat_json *json);      /* "{"; what was there is dropped, its memory is kept. */
void flat_json_member(flat_json *json, const char *name, size_t name_size, const char *value, size_t value_size);
/* The value as it stands: a number, null, true. */
void flat_json_plain(flat_json *json, const char *name, const char *value, size_t value_size);
void flat_json_end(flat_json *json);        /* "}" */
void flat_json_free(flat_json *json);

void flat_json_text(flat_json *json, const char *text, size_t size); /* Bytes as they stand. */

/* Quoted and escaped. The bytes must be UTF-8; only what JSON demands is escaped. */
void flat_json_quoted(flat_json *json, const char *bytes, size_t size);

/* Called for each member, unescaped; the bytes are the reader's, until return. False ends the reading. */
typedef bool (*flat_json_seen)(void *user, const char *name, size_t name_size, const char *value, size_t value_size);

/* False when `text` is not one object of strings. `scratch` is working memory, zeroed before its first use, that the
 * caller keeps between calls and frees. A member's value may be JSON's null; it is not shown. */
bool flat_json_read(const char *text, size_t size, flat_json *scratch, flat_json_seen seen, void *user);

/* What a member's value is. */
typedef enum json_kind {
    JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL,
    JSON_NESTED,              /* an object or a list */
    JSON_NAN, JSON_INFINITE,  /* NaN, Infinity, -Infinity: no JSON, but Python writes and reads them */
} json_kind;

#define JSON_DEPTH_MAX 64

/* Called for each member: a string's bytes without escapes, anything else as it stands. False ends the reading. */
typedef bool (*json_member_seen)(void *user, const char *name, size_t name_size, json_kind kind, const char *value,
                                 size_t value_size);

/* False when `text` is not one object, or is nested deeper than JSON_DEPTH_MAX. `lenient` takes what Python takes for
 * a number, too. `scratch` as above. */
bool json_members(const char *text, size_t size, bool lenient, flat_json *scratch, json_member_seen seen, void *user);

bool json_is_number(const char *text, size_t size); /* By JSON's grammar: no sign of plus, no zeros in front. */

/* Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. `*code_points` may be NULL. */
bool utf8_check(const char *bytes, size_t size, size_t *code_points);

#endif
