/* JSON, both ways. Reading is yajl behind this header (feature `json`): strict, UTF-8 checked, depth bounded,
 * duplicate keys refused unless they are asked for, numbers kept as text. Writing needs no library but escapes and
 * prints numbers right. */
#ifndef LSI_BASE_JSON_H
#define LSI_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

/* ---- writing: into a growing buffer; the first failed allocation sticks and everything after it is ignored ---- */

typedef struct lsi_json_writer {
    const lsi_memory *memory;
    char *text; /* terminated */
    size_t size, capacity;
    bool failed;
    bool wants_comma;
} lsi_json_writer;

void lsi_json_begin(lsi_json_writer *to, const lsi_memory *memory);
void lsi_json_free(lsi_json_writer *to);
void lsi_json_object_open(lsi_json_writer *to);
void lsi_json_object_close(lsi_json_writer *to);
void lsi_json_array_open(lsi_json_writer *to);
void lsi_json_array_close(lsi_json_writer *to);
void lsi_json_key(lsi_json_writer *to, const char *key);
void lsi_json_key_sized(lsi_json_writer *to, const void *bytes, size_t size);
void lsi_json_string(lsi_json_writer *to, const char *text);
/* Bytes that are not valid UTF-8 get U+FFFD for each bad byte. */
void lsi_json_string_sized(lsi_json_writer *to, const void *bytes, size_t size);
void lsi_json_base64(lsi_json_writer *to, const void *bytes, size_t size); /* a string: standard alphabet, padded */
void lsi_json_raw(lsi_json_writer *to, const char *text, size_t size);     /* a value that is JSON already */
void lsi_json_int(lsi_json_writer *to, int64_t n);
void lsi_json_uint(lsi_json_writer *to, uint64_t n);
void lsi_json_double(lsi_json_writer *to, double n); /* shortest of %.15g %.16g %.17g, C locale; null if not finite */
void lsi_json_bool(lsi_json_writer *to, bool b);
void lsi_json_null(lsi_json_writer *to);

/* How many bytes lsi_json_string_sized and lsi_json_base64 write between their quotes. */
size_t lsi_json_escaped_size(const void *bytes, size_t size);
static inline uint64_t lsi_json_base64_size(size_t size) { return ((uint64_t)size + 2) / 3 * 4; }

/* ---- reading: one event per token; depth at most 64 ---- */

typedef enum {
    LSI_JSON_NULL, LSI_JSON_BOOL, LSI_JSON_NUMBER, LSI_JSON_STRING, LSI_JSON_KEY,
    LSI_JSON_OBJECT_OPEN, LSI_JSON_OBJECT_CLOSE, LSI_JSON_ARRAY_OPEN, LSI_JSON_ARRAY_CLOSE
} lsi_json_kind;

/* `text` is the unescaped string, the key, or the number's digits as written; a bool is "true" or "false". Returning
 * false stops the parse, which then succeeds. `depth` is how many objects and arrays are open around the token: 0 for
 * the document's value, 1 for the members of an object there; open and close of one have the same. */
typedef bool (*lsi_json_event)(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth);

/* LS_OK, LS_ERR_INVALID_ARGUMENT (one line says what and at which byte), LS_ERR_NO_MEMORY, LS_ERR_UNSUPPORTED when
 * built without. One whole document; bytes after it are an error. */
int32_t lsi_json_parse(const lsi_memory *memory, const void *text, size_t size, lsi_json_event event, void *user);

/* For many documents: what one of them needed is kept for the next. */
typedef struct lsi_json_reader lsi_json_reader;
#define LSI_JSON_KEYS_MAY_REPEAT 1u /* in one object: `event` is told each time, and decides which of them counts */
/* UNSUPPORTED, NO_MEMORY */
int32_t lsi_json_reader_open(const lsi_memory *memory, uint32_t flags, lsi_json_reader **out);
void lsi_json_reader_close(lsi_json_reader *reader); /* Accepts NULL. */
/* Bytes read so far: in an event up to the end of its token; after a document that is none, up to where that was
 * seen. */
size_t lsi_json_reader_at(const lsi_json_reader *reader);
/* As lsi_json_parse. */
int32_t lsi_json_read(lsi_json_reader *reader, const void *text, size_t size, lsi_json_event event, void *user);

/* The value of the top-level member `key` of an object, as bytes owned by the caller (lsi_free): the unescaped string,
 * or the text of a number or bool. LS_ERR_NOT_FOUND when absent, null or composed. */
int32_t lsi_json_member(const lsi_memory *memory, const void *text, size_t size, const char *key, char **out,
                        size_t *out_size);

#endif
