/* JSON out, and JSON in.
 *
 * The writer is a growing buffer that knows when a comma is due. It has no error path: after the first allocation that
 * fails it ignores everything, and `failed` says so at the end. It escapes what RFC 8259 demands and no more, makes
 * valid UTF-8 of any bytes, and prints numbers as in the C locale, whatever locale the program has set.
 *
 * The reader is yajl, and what yajl lets pass is checked here, since the text may come from a network:
 *   J1  the text is valid UTF-8 (yajl lets surrogates and overlong forms pass), and \u escapes of surrogates come in
 *       pairs (yajl turns a lone one into '?' or into bytes that are not UTF-8);
 *   J2  at most 64 objects and arrays are open at once;
 *   J3  no object has a key twice: two readers would disagree on what it says (KEYS_MAY_REPEAT leaves that to the
 *       caller);
 *   J4  one document and nothing after it.
 * yajl uses what its allocator gives without looking. So when there is no memory the allocator does not return: it
 * jumps out of yajl, and everything yajl had, which is in one list for that purpose, is released from there. */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/number.h"
#include "base/status.h"
#include "base/utf8.h"

/* ---- writing ---- */

/* Makes room for `more` bytes and the terminator. */
static bool reserve(lsi_json_writer *to, size_t more)
{
    void *text = to->text;

    if (to->failed)
        return false;
    if (more >= SIZE_MAX - to->size || !lsi_grow(to->memory, &text, &to->capacity, to->size + more + 1, 1)) {
        to->failed = true;
        return false;
    }
    to->text = text;
    return true;
}

static void append(lsi_json_writer *to, const char *bytes, size_t size)
{
    if (!reserve(to, size))
        return;
    memcpy(to->text + to->size, bytes, size);
    to->size += size;
    to->text[to->size] = '\0';
}

/* What stands before a value or a key. */
static void separate(lsi_json_writer *to)
{
    if (to->wants_comma)
        append(to, ",", 1);
    to->wants_comma = true;
}

void lsi_json_raw(lsi_json_writer *to, const char *text, size_t size)
{
    separate(to);
    append(to, text, size);
}

static void value(lsi_json_writer *to, const char *text)
{
    lsi_json_raw(to, text, strlen(text));
}

void lsi_json_begin(lsi_json_writer *to, const lsi_memory *memory)
{
    *to = (lsi_json_writer){.memory = memory};
    append(to, "", 0); /* So that `text` is terminated from here on. */
}

void lsi_json_free(lsi_json_writer *to)
{
    lsi_free(to->memory, to->text);
    *to = (lsi_json_writer){.memory = to->memory};
}

void lsi_json_object_open(lsi_json_writer *to)
{
    value(to, "{");
    to->wants_comma = false;
}

void lsi_json_object_close(lsi_json_writer *to)
{
    append(to, "}", 1);
    to->wants_comma = true;
}

void lsi_json_array_open(lsi_json_writer *to)
{
    value(to, "[");
    to->wants_comma = false;
}

void lsi_json_array_close(lsi_json_writer *to)
{
    append(to, "]", 1);
    to->wants_comma = true;
}

void lsi_json_key(lsi_json_writer *to, const char *key)
{
    lsi_json_key_sized(to, key, strlen(key));
}

void lsi_json_key_sized(lsi_json_writer *to, const void *bytes, size_t size)
{
    lsi_json_string_sized(to, bytes, size);
    append(to, ":", 1);
    to->wants_comma = false;
}

void lsi_json_string(lsi_json_writer *to, const char *text)
{
    lsi_json_string_sized(to, text, strlen(text));
}

/* The escape of one byte below 0x80; its length, 0 when the byte stands for itself. */
static size_t escape(unsigned char byte, char out[8])
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* the byte, then its letter */

    for (size_t i = 0; i + 1 < sizeof shorts - 1; i += 2) {
        if ((unsigned char)shorts[i] == byte) {
            out[0] = '\\';
            out[1] = shorts[i + 1];
            return 2;
        }
    }
    if (byte >= 0x20)
        return 0;
    return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)byte);
}

void lsi_json_string_sized(lsi_json_writer *to, const void *bytes, size_t size)
{
    const char *text = bytes;
    size_t from = 0; /* what stands for itself is appended run by run */
    size_t at = 0;

    separate(to);
    append(to, "\"", 1);
    while (at < size) {
        size_t step = lsi_utf8_first(text + at, size - at);
        char escaped[8];
        size_t escaped_size = 0;

        if (step == 1)
            escaped_size = escape((unsigned char)text[at], escaped);
        if (step != 0 && escaped_size == 0) {
            at += step;
            continue;
        }
        append(to, text + from, at - from);
        if (step == 0)
            append(to, "\xef\xbf\xbd", 3); /* U+FFFD */
        else
            append(to, escaped, escaped_size);
        from = ++at;
    }
    if (at > from)
        append(to, text + from, at - from);
    append(to, "\"", 1);
}

size_t lsi_json_escaped_size(const void *bytes, size_t size)
{
    const char *text = bytes;
    size_t escaped_size = 0;

    for (size_t at = 0; at < size;) {
        size_t step = lsi_utf8_first(text + at, size - at);
        char escaped[8];
        size_t more = step == 1 ? escape((unsigned char)text[at], escaped) : 0;

        escaped_size += step == 0 ? 3 : more != 0 ? more : step;
        at += step == 0 ? 1 : step;
    }
    return escaped_size;
}

void lsi_json_base64(lsi_json_writer *to, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes;
    char *at;

    separate(to);
    if (size > SIZE_MAX / 2 || !reserve(to, (size_t)lsi_json_base64_size(size) + 2)) {
        to->failed = true;
        return;
    }
    at = to->text + to->size;
    *at++ = '"';
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t n = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                     (left > 2 ? (uint32_t)from[i + 2] : 0);

        *at++ = digits[n >> 18];
        *at++ = digits[n >> 12 & 63];
        *at++ = left > 1 ? digits[n >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[n & 63] : '=';
    }
    *at++ = '"';
    *at = '\0';
    to->size = (size_t)(at - to->text);
}

void lsi_json_int(lsi_json_writer *to, int64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRId64, n); /* At most 20 characters. */
    value(to, text);
}

void lsi_json_uint(lsi_json_writer *to, uint64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, n);
    value(to, text);
}

void lsi_json_double(lsi_json_writer *to, double n)
{
    char text[LSI_NUMBER_BYTES];

    if (!__builtin_isfinite(n)) { /* JSON has no word for it. */
        lsi_json_null(to);
        return;
    }
    lsi_number_write(n, text);
    value(to, text);
}

void lsi_json_bool(lsi_json_writer *to, bool b)
{
    value(to, b ? "true" : "false");
}

void lsi_json_null(lsi_json_writer *to)
{
    value(to, "null");
}

/* ---- reading ---- */

#ifdef LSI_HAVE_YAJL

#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/random.h>

#include <yajl/yajl_parse.h>

#define DEPTH_MAX 64

/* A block that yajl has, before the bytes it sees. */
typedef struct block {
    struct block *before;
    struct block *after;
} block;

/* A reader's own bytes, from which blocks are cut one behind the other; before each stands its size. They are given
 * back all together at the end of the document. What does not fit becomes a block. */
#define ARENA_BYTES 8192u

typedef struct arena {
    size_t used;
    size_t last; /* where the last piece begins, which alone can grow at its place */
    _Alignas(16) unsigned char bytes[ARENA_BYTES];
} arena;

#define PIECE_HEADER 16u /* of which the size takes the first 8; more would align no better */

/* A key of an object that is open or was: J3. `object` is 0 in an empty place. */
typedef struct seen_key {
    const char *text;
    size_t size;
    uint64_t hash;
    uint64_t object;
} seen_key;

#define SEEN_START 64 /* places in the first table, on the stack: most documents need no other */

typedef struct parse {
    const lsi_memory *memory;
    const char *text;
    size_t size;
    lsi_json_event event;
    void *user;
    yajl_handle yajl;

    block *blocks;
    arena *arena; /* NULL: none */
    jmp_buf no_memory;

    unsigned depth;             /* objects and arrays that are open */
    uint64_t objects[DEPTH_MAX]; /* their numbers */
    uint64_t object_count;      /* numbers given so far; none is used twice */

    bool keys_may_repeat;       /* then nothing of the following is used */
    seen_key *seen;             /* open addressing, at most half full; entries are never removed */
    size_t seen_places, seen_count;
    uint64_t seed;

    ls_status st;               /* what a callback found wrong; it has set the last error */
    bool is_stopped;            /* the caller's event wants no more */
    size_t at;                  /* how far it came; while yajl runs, that knows it */
} parse;

static bool is_piece(const parse *p, const void *at)
{
    return p->arena != NULL && (uintptr_t)at >= (uintptr_t)p->arena->bytes &&
           (uintptr_t)at < (uintptr_t)p->arena->bytes + ARENA_BYTES;
}

/* `bytes` of the arena, the last piece grown, or NULL when there is no room for them. */
static void *cut_piece(arena *from, void *old, size_t bytes)
{
    size_t at = from->used;

    if (old != NULL && (unsigned char *)old - from->bytes == (ptrdiff_t)(from->last + PIECE_HEADER))
        at = from->last;
    if (bytes > ARENA_BYTES - PIECE_HEADER || at > ARENA_BYTES - PIECE_HEADER - bytes)
        return NULL;
    from->last = at;
    memcpy(from->bytes + at, &bytes, sizeof bytes);
    from->used = at + PIECE_HEADER + (bytes + 15) / 16 * 16;
    if (from->used > ARENA_BYTES)
        from->used = ARENA_BYTES;
    return from->bytes + at + PIECE_HEADER;
}

static void *yajl_resize(void *user, void *old, size_t bytes)
{
    parse *p = user;
    block *b = old == NULL || is_piece(p, old) ? NULL : (block *)old - 1;
    block *grown;

    if (b == NULL && p->arena != NULL) {
        size_t old_bytes = 0;
        void *piece;

        if (old != NULL)
            memcpy(&old_bytes, (unsigned char *)old - PIECE_HEADER, sizeof old_bytes);
        if (old != NULL && bytes <= old_bytes)
            return old;
        piece = cut_piece(p->arena, old, bytes);
        if (piece == NULL && old != NULL)
            piece = yajl_resize(p, NULL, bytes); /* A block: what fits not now fits not there either. */
        if (piece != NULL) {
            if (old != NULL && piece != old)
                memcpy(piece, old, old_bytes);
            return piece;
        }
    }
    grown = bytes > SIZE_MAX - sizeof(block) ? NULL : lsi_resize(p->memory, b, bytes + sizeof(block));
    if (grown == NULL)
        longjmp(p->no_memory, 1);
    if (b == NULL) {
        grown->before = NULL;
        grown->after = p->blocks;
    }
    if (grown->before == NULL)
        p->blocks = grown;
    else
        grown->before->after = grown;
    if (grown->after != NULL)
        grown->after->before = grown;
    return grown + 1;
}

static void *yajl_allocate(void *user, size_t bytes)
{
    return yajl_resize(user, NULL, bytes);
}

static void yajl_release(void *user, void *old)
{
    parse *p = user;
    block *b;

    if (old == NULL || is_piece(p, old))
        return;
    b = (block *)old - 1;
    if (b->before == NULL)
        p->blocks = b->after;
    else
        b->before->after = b->after;
    if (b->after != NULL)
        b->after->before = b->before;
    lsi_free(p->memory, b);
}

/* Differs from process to process, so that nobody can prepare keys that all fall into one place of the table. */
static uint64_t process_seed(void)
{
    static _Atomic uint64_t seed;
    /* Relaxed: the word is all there is to see, and threads that race agree on one by the exchange. */
    uint64_t own = atomic_load_explicit(&seed, memory_order_relaxed);

    if (own == 0) {
        uint64_t none = 0;

        if (getrandom(&own, sizeof own, GRND_NONBLOCK) != (ssize_t)sizeof own || own == 0)
            own = (uint64_t)(uintptr_t)&none | 1; /* The stack's address is random too. */
        if (!atomic_compare_exchange_strong_explicit(&seed, &none, own, memory_order_relaxed, memory_order_relaxed))
            own = none;
    }
    return own;
}

/* The place that holds this key, or the empty one where it belongs. */
static seen_key *find_place(seen_key *table, size_t places, const seen_key *key)
{
    size_t at = (size_t)key->hash & (places - 1);

    while (table[at].object != 0) {
        if (table[at].hash == key->hash && table[at].object == key->object && table[at].size == key->size &&
            memcmp(table[at].text, key->text, key->size) == 0)
            break;
        at = (at + 1) & (places - 1);
    }
    return &table[at];
}

static void grow_seen(parse *p)
{
    size_t places = p->seen_places * 2;
    seen_key *table = yajl_resize(p, NULL, places * sizeof *table);

    memset(table, 0, places * sizeof *table);
    for (size_t i = 0; i < p->seen_places; i++)
        if (p->seen[i].object != 0)
            *find_place(table, places, &p->seen[i]) = p->seen[i];
    if (p->seen_places > SEEN_START) /* The first one lies on the stack. */
        yajl_release(p, p->seen);
    p->seen = table;
    p->seen_places = places;
}

/* Notes a key of the innermost object. False: it has been there (J3). */
static bool note_key(parse *p, const char *text, size_t size)
{
    seen_key key = {text, size, 0, p->objects[p->depth - 1]};
    seen_key *place;

    key.hash = lsi_sum64(text, size, p->seed + key.object);
    place = find_place(p->seen, p->seen_places, &key);
    if (place->object != 0)
        return false;
    /* A key without escapes is a view into the text; any other lies in a buffer that yajl uses again. */
    if ((uintptr_t)text < (uintptr_t)p->text || (uintptr_t)text >= (uintptr_t)p->text + p->size) {
        char *copy = yajl_resize(p, NULL, size);

        if (size != 0)
            memcpy(copy, text, size);
        key.text = copy;
    }
    *place = key;
    if (++p->seen_count > p->seen_places / 2)
        grow_seen(p);
    return true;
}

static int tell(parse *p, lsi_json_kind kind, const char *text, size_t size)
{
    if (p->event(p->user, kind, text, size, p->depth))
        return 1;
    p->is_stopped = true;
    return 0;
}

static int open_one(parse *p, lsi_json_kind kind)
{
    if (p->depth == DEPTH_MAX) {
        p->st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "JSON: more than %d levels at byte %zu", DEPTH_MAX,
                         yajl_get_bytes_consumed(p->yajl));
        return 0;
    }
    if (!tell(p, kind, "", 0))
        return 0;
    p->objects[p->depth++] = ++p->object_count;
    return 1;
}

static int close_one(parse *p, lsi_json_kind kind)
{
    p->depth--;
    return tell(p, kind, "", 0);
}

static int on_null(void *user)
{
    return tell(user, LSI_JSON_NULL, "null", 4);
}

static int on_bool(void *user, int is_true)
{
    return is_true ? tell(user, LSI_JSON_BOOL, "true", 4) : tell(user, LSI_JSON_BOOL, "false", 5);
}

static int on_number(void *user, const char *text, size_t size)
{
    return tell(user, LSI_JSON_NUMBER, text, size);
}

static int on_string(void *user, const unsigned char *text, size_t size)
{
    return tell(user, LSI_JSON_STRING, (const char *)text, size);
}

static int on_object_open(void *user)
{
    return open_one(user, LSI_JSON_OBJECT_OPEN);
}

static int on_key(void *user, const unsigned char *text, size_t size)
{
    parse *p = user;

    if (!p->keys_may_repeat && !note_key(p, (const char *)text, size)) {
        p->st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "JSON: key '%.*s' comes twice in one object, at byte %zu",
                         (int)(size < 64 ? size : 64), (const char *)text, yajl_get_bytes_consumed(p->yajl));
        return 0;
    }
    return tell(p, LSI_JSON_KEY, (const char *)text, size);
}

static int on_object_close(void *user)
{
    return close_one(user, LSI_JSON_OBJECT_CLOSE);
}

static int on_array_open(void *user)
{
    return open_one(user, LSI_JSON_ARRAY_OPEN);
}

static int on_array_close(void *user)
{
    return close_one(user, LSI_JSON_ARRAY_CLOSE);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number, /* Its presence keeps yajl from making numbers of the text. */
    .yajl_string = on_string,
    .yajl_start_map = on_object_open,
    .yajl_map_key = on_key,
    .yajl_end_map = on_object_close,
    .yajl_start_array = on_array_open,
    .yajl_end_array = on_array_close,
};

/* The UTF-16 unit of a \uXXXX at `at`, or -1 when there is none. */
static int32_t escaped_unit(const char *text, size_t size, size_t at)
{
    int32_t unit = 0;

    if (size - at < 6 || text[at] != '\\' || text[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            unit = unit * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return unit;
}

/* J1. A backslash outside a string is yajl's to refuse. `*bad_at` is where it fails. */
static ls_status check_text(const char *text, size_t size, size_t *bad_at)
{
    size_t at = 0;

    if (lsi_utf8_count(text, size) == LSI_UTF8_BAD) {
        for (size_t step; at < size && (step = lsi_utf8_first(text + at, size - at)) != 0; at += step)
            continue;
        *bad_at = at;
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "JSON: not valid UTF-8 at byte %zu", at);
    }
    for (;;) {
        const char *slash = memchr(text + at, '\\', size - at);
        int32_t unit;

        if (slash == NULL)
            return LS_OK;
        at = (size_t)(slash - text);
        unit = escaped_unit(text, size, at);
        if (unit >= 0xd800 && unit <= 0xdfff) {
            int32_t low = unit < 0xdc00 && size - at > 6 ? escaped_unit(text, size, at + 6) : -1;

            if (low < 0xdc00 || low > 0xdfff) {
                *bad_at = at;
                return lsi_fail(LS_ERR_INVALID_ARGUMENT, "JSON: half of a surrogate pair at byte %zu", at);
            }
            at += 12;
        } else {
            at += size - at < 2 ? 1 : 2; /* Past the escaped character, which may be a backslash. */
        }
    }
}

/* Fails with yajl's own line, as one line. */
static ls_status fail_as_yajl(parse *p, size_t at)
{
    char *said = (char *)yajl_get_error(p->yajl, 0, (const unsigned char *)p->text, p->size);

    if (said != NULL)
        said[strcspn(said, "\n")] = '\0';
    p->st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "JSON: %s at byte %zu", said == NULL ? "not valid" : said, at);
    return p->st;
}

/* Runs yajl from start to end. A jump for want of memory lands here, in a frame of its own: what changed since setjmp
 * is all in `p`, never in a local variable. */
static ls_status run(parse *p)
{
    yajl_alloc_funcs functions = {yajl_allocate, yajl_resize, yajl_release, p};
    yajl_status answer;

    if (setjmp(p->no_memory) != 0) {
        p->yajl = NULL;
        return lsi_fail(LS_ERR_NO_MEMORY, "JSON: no memory to read %zu bytes", p->size);
    }
    p->yajl = yajl_alloc(&callbacks, &functions, p);
    answer = yajl_parse(p->yajl, (const unsigned char *)p->text, p->size);
    p->at = yajl_get_bytes_consumed(p->yajl);
    if (answer == yajl_status_ok)
        answer = yajl_complete_parse(p->yajl); /* which counts bytes of its own */
    if (p->st == LS_OK && !p->is_stopped && answer != yajl_status_ok)
        p->st = fail_as_yajl(p, p->at);
    p->yajl = NULL; /* Its memory goes with the blocks. */
    return p->st;
}

/* One document. */
static ls_status read_one(parse *p, const void *text, size_t size, lsi_json_event event, void *user)
{
    ls_status st;

    p->text = size == 0 ? "" : text;
    p->size = size;
    p->event = event;
    p->user = user;
    p->yajl = NULL;
    p->at = 0;
    st = check_text(p->text, size, &p->at);
    if (st == LS_OK)
        st = run(p);
    while (p->blocks != NULL) { /* yajl_free() would leave the keys. */
        block *after = p->blocks->after;

        lsi_free(p->memory, p->blocks);
        p->blocks = after;
    }
    return st;
}

int32_t lsi_json_parse(const lsi_memory *memory, const void *text, size_t size, lsi_json_event event, void *user)
{
    seen_key first[SEEN_START] = {{NULL, 0, 0, 0}};
    parse p = {
        .memory = memory,
        .seen = first,
        .seen_places = SEEN_START,
        .seed = process_seed(),
        .st = LS_OK,
    };

    return read_one(&p, text, size, event, user);
}

struct lsi_json_reader {
    parse parse;
    lsi_memory memory;
    seen_key first[SEEN_START];
    arena arena;
};

int32_t lsi_json_reader_open(const lsi_memory *memory, uint32_t flags, lsi_json_reader **out)
{
    lsi_json_reader *reader = lsi_alloc(memory, sizeof *reader);

    if (reader == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "JSON: no memory for a reader");
    reader->memory = *memory;
    reader->parse = (parse){
        .memory = &reader->memory,
        .arena = &reader->arena,
        .keys_may_repeat = (flags & LSI_JSON_KEYS_MAY_REPEAT) != 0,
        .seed = process_seed(),
    };
    *out = reader;
    return LS_OK;
}

void lsi_json_reader_close(lsi_json_reader *reader)
{
    lsi_memory memory;

    if (reader == NULL)
        return;
    memory = reader->memory;
    lsi_free(&memory, reader);
}

size_t lsi_json_reader_at(const lsi_json_reader *reader)
{
    const parse *p = &reader->parse;

    return p->yajl != NULL ? yajl_get_bytes_consumed(p->yajl) : p->at;
}

int32_t lsi_json_read(lsi_json_reader *reader, const void *text, size_t size, lsi_json_event event, void *user)
{
    parse *p = &reader->parse;

    p->depth = 0;
    p->st = LS_OK;
    p->is_stopped = false;
    reader->arena.used = 0;
    if (!p->keys_may_repeat) {
        memset(reader->first, 0, sizeof reader->first);
        p->seen = reader->first;
        p->seen_places = SEEN_START;
        p->seen_count = 0;
    }
    return read_one(p, text, size, event, user);
}

#else

int32_t lsi_json_parse(const lsi_memory *memory, const void *text, size_t size, lsi_json_event event, void *user)
{
    (void)memory; /* Nothing is read in this build. */
    (void)text;
    (void)size;
    (void)event;
    (void)user;
    return lsi_fail(LS_ERR_UNSUPPORTED, "this libstream was built without JSON reading (feature 'json')");
}

int32_t lsi_json_reader_open(const lsi_memory *memory, uint32_t flags, lsi_json_reader **out)
{
    (void)flags;
    (void)out; /* There is no reader to give. */
    return lsi_json_parse(memory, NULL, 0, NULL, NULL);
}

void lsi_json_reader_close(lsi_json_reader *reader)
{
    (void)reader; /* None was opened. */
}

size_t lsi_json_reader_at(const lsi_json_reader *reader)
{
    (void)reader;
    return 0;
}

int32_t lsi_json_read(lsi_json_reader *reader, const void *text, size_t size, lsi_json_event event, void *user)
{
    (void)reader;
    return lsi_json_parse(NULL, text, size, event, user);
}

#endif

/* ---- one member ---- */

typedef struct member_search {
    const lsi_memory *memory;
    const char *key;
    size_t key_size;
    bool is_next; /* the value that comes is the member's */
    bool is_out_of_memory;
    char *found;
    size_t found_size;
} member_search;

static bool on_member(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    member_search *s = user;

    if (depth != 1)
        return true;
    if (kind == LSI_JSON_KEY) {
        s->is_next = size == s->key_size && memcmp(text, s->key, size) == 0;
        return true;
    }
    if (s->is_next && (kind == LSI_JSON_STRING || kind == LSI_JSON_NUMBER || kind == LSI_JSON_BOOL)) {
        s->found = lsi_alloc(s->memory, size + 1);
        if (s->found == NULL) {
            s->is_out_of_memory = true;
            return false;
        }
        if (size != 0)
            memcpy(s->found, text, size);
        s->found[size] = '\0';
        s->found_size = size;
    }
    s->is_next = false;
    return true;
}

int32_t lsi_json_member(const lsi_memory *memory, const void *text, size_t size, const char *key, char **out,
                        size_t *out_size)
{
    member_search s = {.memory = memory, .key = key, .key_size = strlen(key)};
    ls_status st = lsi_json_parse(memory, text, size, on_member, &s);

    if (st == LS_OK && s.is_out_of_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "JSON: no memory for member '%s'", key);
    if (st == LS_OK && s.found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "JSON: no member '%s' that is a string, a number or a boolean", key);
    if (st != LS_OK) { /* What was found in a document that turns out wrong counts for nothing. */
        lsi_free(memory, s.found);
        return st;
    }
    *out = s.found;
    *out_size = s.found_size;
    return LS_OK;
}
