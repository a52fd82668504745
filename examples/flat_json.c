/* Flat objects, both ways. The writer escapes what RFC 8259 demands and nothing else, so text in any script stays
 * readable. The reader is strict: it takes what that grammar takes, and refuses everything that follows the object. */
#include "flat_json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes; false: there is none, and nothing can be added any more. */
static bool make_room(flat_json *json, size_t more)
{
    size_t capacity = json->capacity == 0 ? 1024 : json->capacity;
    char *text;

    if (json->failed)
        return false;
    while (capacity - json->size < more)
        capacity *= 2;
    text = realloc(json->text, capacity);
    json->failed = text == NULL;
    if (text == NULL)
        return false;
    json->text = text;
    json->capacity = capacity;
    return true;
}

/* Asked for each addition: mostly there is room. */
static inline bool has_room(flat_json *json, size_t more)
{
    return (more <= json->capacity - json->size && !json->failed) || make_room(json, more);
}

static inline void add(flat_json *json, const char *bytes, size_t size)
{
    if (!has_room(json, size))
        return;
    if (size > 0)
        memcpy(json->text + json->size, bytes, size);
    json->size += size;
}

void flat_json_begin(flat_json *json)
{
    json->size = 0;
    add(json, "{", 1);
}

static inline bool is_escaped(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* Of eight bytes: not 0 when one of them is a control character, a quote or a backslash; its lowest bit is
 * in the first of these. */
static inline uint64_t find_escaped(uint64_t eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';

    return (((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & highs;
}

/* Copies text that needs no escape, eight bytes at a time, the last ones once more; false: it does need one. */
static inline bool copy_unescaped(char *to, const char *from, size_t size)
{
    uint64_t eight, escaped = 0;

    if (size < 8) {
        for (size_t i = 0; i < size; i++) {
            escaped |= is_escaped(from[i]);
            to[i] = from[i];
        }
        return escaped == 0;
    }
    for (size_t at = 0; at + 8 <= size; at += 8) {
        memcpy(&eight, from + at, 8);
        memcpy(to + at, &eight, 8);
        escaped |= find_escaped(eight);
    }
    memcpy(&eight, from + size - 8, 8);
    memcpy(to + size - 8, &eight, 8);
    return (escaped | find_escaped(eight)) == 0;
}

static void add_escaped(flat_json *json, const char *bytes, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;

    add(json, "\"", 1);
    for (size_t at = 0; at < size; at++) {
        unsigned char c = (unsigned char)bytes[at];
        char escape[6] = {'\\', 'u', '0', '0', '0', '0'};
        size_t escape_size = 2;

        if (!is_escaped(bytes[at]))
            continue;
        add(json, bytes + from, at - from);
        from = at + 1;
        switch (c) {
        case '"': escape[1] = '"'; break;
        case '\\': escape[1] = '\\'; break;
        case '\n': escape[1] = 'n'; break;
        case '\r': escape[1] = 'r'; break;
        case '\t': escape[1] = 't'; break;
        default:
            escape[4] = hex[c >> 4];
            escape[5] = hex[c & 15];
            escape_size = 6;
        }
        add(json, escape, escape_size);
    }
    add(json, bytes + from, size - from);
    add(json, "\"", 1);
}

/* Nearly all text needs no escape. */
void flat_json_quoted(flat_json *json, const char *bytes, size_t size)
{
    char *to;

    if (!has_room(json, size + 2))
        return;
    to = json->text + json->size;
    if (!copy_unescaped(to + 1, bytes, size)) {
        add_escaped(json, bytes, size);
        return;
    }
    to[0] = to[size + 1] = '"';
    json->size += size + 2;
}

void flat_json_member(flat_json *json, const char *name, size_t name_size, const char *value, size_t value_size)
{
    if (json->size > 1)
        add(json, ",", 1);
    flat_json_quoted(json, name, name_size);
    add(json, ":", 1);
    flat_json_quoted(json, value, value_size);
}

void flat_json_text(flat_json *json, const char *text, size_t size)
{
    add(json, text, size);
}

void flat_json_plain(flat_json *json, const char *name, const char *value, size_t value_size)
{
    if (json->size > 1)
        add(json, ",", 1);
    flat_json_quoted(json, name, strlen(name));
    add(json, ":", 1);
    add(json, value, value_size);
}

void flat_json_end(flat_json *json)
{
    add(json, "}", 1);
}

void flat_json_free(flat_json *json)
{
    free(json->text);
    memset(json, 0, sizeof(*json));
}

/* The text that is being read. */
struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end &&
           (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\r' || *cursor->at == '\t'))
        cursor->at++;
}

static bool take(struct cursor *cursor, char c)
{
    skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

/* Four hexadecimal digits. */
static bool take_unit(struct cursor *cursor, uint32_t *unit)
{
    *unit = 0;
    if (cursor->end - cursor->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *cursor->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

/* What follows \u: a code point, or a pair of surrogates. */
static bool take_code_point(struct cursor *cursor, flat_json *to)
{
    uint32_t unit, low;
    char bytes[4];

    if (!take_unit(cursor, &unit) || (unit >= 0xdc00 && unit <= 0xdfff))
        return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (cursor->end - cursor->at < 2 || cursor->at[0] != '\\' || cursor->at[1] != 'u')
            return false;
        cursor->at += 2;
        if (!take_unit(cursor, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    if (unit < 0x80) {
        bytes[0] = (char)unit;
        add(to, bytes, 1);
    } else if (unit < 0x800) {
        bytes[0] = (char)(0xc0 | unit >> 6);
        bytes[1] = (char)(0x80 | (unit & 0x3f));
        add(to, bytes, 2);
    } else if (unit < 0x10000) {
        bytes[0] = (char)(0xe0 | unit >> 12);
        bytes[1] = (char)(0x80 | (unit >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (unit & 0x3f));
        add(to, bytes, 3);
    } else {
        bytes[0] = (char)(0xf0 | unit >> 18);
        bytes[1] = (char)(0x80 | (unit >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (unit >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (unit & 0x3f));
        add(to, bytes, 4);
    }
    return true;
}

/* Up to what ends a string, or begins an escape, or cannot be in one. */
static void pass_unescaped(struct cursor *cursor)
{
    uint64_t eight;

    while (cursor->end - cursor->at >= 8) {
        memcpy(&eight, cursor->at, 8);
        eight = find_escaped(eight);
        if (eight != 0) {
            cursor->at += __builtin_ctzll(eight) / 8;
            return;
        }
        cursor->at += 8;
    }
    while (cursor->at < cursor->end && !is_escaped(*cursor->at))
        cursor->at++;
}

/* A string, its unescaped bytes added to `to`. */
static bool take_string(struct cursor *cursor, flat_json *to)
{
    static const char escaped[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (!take(cursor, '"'))
        return false;
    for (;;) {
        const char *from = cursor->at;

        pass_unescaped(cursor);
        add(to, from, (size_t)(cursor->at - from));
        if (cursor->at == cursor->end || (unsigned char)*cursor->at < 0x20)
            return false;
        if (*cursor->at++ == '"')
            return true;
        if (cursor->at == cursor->end)
            return false;
        if (*cursor->at == 'u') {
            cursor->at++;
            if (!take_code_point(cursor, to))
                return false;
            continue;
        }
        found = memchr(escaped, *cursor->at++, sizeof(escaped) - 1);
        if (found == NULL)
            return false;
        add(to, &meaning[found - escaped], 1);
    }
}

/* The literal `word`, not the beginning of a longer one. */
static bool take_word(struct cursor *cursor, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size) != 0)
        return false;
    cursor->at += size;
    return true;
}

static bool take_digits(struct cursor *cursor)
{
    const char *from = cursor->at;

    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
        cursor->at++;
    return cursor->at > from;
}

static bool take_number(struct cursor *cursor)
{
    const char *first;

    if (cursor->at < cursor->end && *cursor->at == '-')
        cursor->at++;
    first = cursor->at;
    if (!take_digits(cursor) || (*first == '0' && cursor->at - first > 1))
        return false;
    if (cursor->at < cursor->end && *cursor->at == '.') {
        cursor->at++;
        if (!take_digits(cursor))
            return false;
    }
    if (cursor->at < cursor->end && (*cursor->at == 'e' || *cursor->at == 'E')) {
        cursor->at++;
        if (cursor->at < cursor->end && (*cursor->at == '+' || *cursor->at == '-'))
            cursor->at++;
        return take_digits(cursor);
    }
    return true;
}

/* A value that is no object and no list: a string's bytes are added to `to` without escapes, others as they stand. */
static bool take_scalar(struct cursor *cursor, bool lenient, flat_json *to, json_kind *kind)
{
    static const struct { const char *word; json_kind kind; bool lenient; } words[] = {
        {"null", JSON_NULL, false}, {"true", JSON_TRUE, false}, {"false", JSON_FALSE, false},
        {"NaN", JSON_NAN, true}, {"Infinity", JSON_INFINITE, true}, {"-Infinity", JSON_INFINITE, true},
    };
    const char *from;

    skip_blanks(cursor);
    from = cursor->at;
    if (from < cursor->end && *from == '"') {
        *kind = JSON_STRING;
        return take_string(cursor, to);
    }
    if (from < cursor->end && *from >= '0' && *from <= '9') {
        *kind = JSON_NUMBER;
        if (!take_number(cursor))
            return false;
        add(to, from, (size_t)(cursor->at - from));
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((lenient || !words[i].lenient) && take_word(cursor, words[i].word)) {
            *kind = words[i].kind;
            add(to, from, (size_t)(cursor->at - from));
            return true;
        }
    *kind = JSON_NUMBER;
    if (!take_number(cursor))
        return false;
    add(to, from, (size_t)(cursor->at - from));
    return true;
}

/* An object's member up to its value. What is passed over leaves nothing in `to`. */
static bool pass_name(struct cursor *cursor, flat_json *to)
{
    size_t size = to->size;
    bool good = take_string(cursor, to) && take(cursor, ':');

    to->size = size;
    return good;
}

/* An object or a list as a value, checked, its text added to `to` as it stands. Without recursion, which a hostile text
 * would drive as deep as it likes: bit `i` of `objects` says what the level `i` is. */
static bool take_nested(struct cursor *cursor, bool lenient, flat_json *to)
{
    const char *from = cursor->at;
    size_t size = to->size;
    uint64_t objects = 0;
    unsigned depth = 0;

    for (;;) {
        bool object = take(cursor, '{');
        json_kind kind;

        if (object || take(cursor, '[')) {
            if (depth == JSON_DEPTH_MAX)
                return false;
            objects = object ? objects | UINT64_C(1) << depth : objects & ~(UINT64_C(1) << depth);
            depth++;
            if (!take(cursor, object ? '}' : ']')) {
                if (object && !pass_name(cursor, to))
                    return false;
                continue;
            }
            depth--;
        } else {
            if (!take_scalar(cursor, lenient, to, &kind))
                return false;
            to->size = size;
        }
        while (depth > 0 && !take(cursor, ',')) {
            depth--;
            if (!take(cursor, objects >> depth & 1 ? '}' : ']'))
                return false;
        }
        if (depth == 0) {
            add(to, from, (size_t)(cursor->at - from));
            return true;
        }
        if (objects >> (depth - 1) & 1 && !pass_name(cursor, to))
            return false;
    }
}

bool json_members(const char *text, size_t size, bool lenient, flat_json *scratch, json_member_seen seen, void *user)
{
    struct cursor cursor = {text, text + size};

    if (!utf8_check(text, size, NULL) || !take(&cursor, '{'))
        return false;
    if (!take(&cursor, '}')) {
        do {
            json_kind kind = JSON_NESTED;
            size_t name_size;
            bool good;

            scratch->size = 0;
            scratch->failed = false;
            if (!take_string(&cursor, scratch) || !take(&cursor, ':'))
                return false;
            name_size = scratch->size;
            skip_blanks(&cursor);
            good = cursor.at < cursor.end && (*cursor.at == '{' || *cursor.at == '[')
                 ? take_nested(&cursor, lenient, scratch) : take_scalar(&cursor, lenient, scratch, &kind);
            if (!good || scratch->failed)
                return false;
            if (!seen(user, scratch->text, name_size, kind, scratch->text + name_size, scratch->size - name_size))
                return true;
        } while (take(&cursor, ','));
        if (!take(&cursor, '}'))
            return false;
    }
    skip_blanks(&cursor);
    return cursor.at == cursor.end;
}

bool json_is_number(const char *text, size_t size)
{
    struct cursor cursor = {text, text + size};

    return take_number(&cursor) && cursor.at == cursor.end;
}

struct strings_only {
    flat_json_seen seen;
    void *user;
    bool other; /* a member is neither a string nor null */
};

static bool see_string(void *user, const char *name, size_t name_size, json_kind kind, const char *value,
                       size_t value_size)
{
    struct strings_only *strings = user;

    strings->other = kind != JSON_STRING && kind != JSON_NULL;
    if (strings->other)
        return false;
    return kind == JSON_NULL || strings->seen(strings->user, name, name_size, value, value_size);
}

bool flat_json_read(const char *text, size_t size, flat_json *scratch, flat_json_seen seen, void *user)
{
    struct strings_only strings = {seen, user, false};

    return json_members(text, size, false, scratch, see_string, &strings) && !strings.other;
}

bool utf8_check(const char *bytes, size_t size, size_t *code_points)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
    size_t count = 0;

    while (at < end) {
        unsigned char c;
        uint64_t eight;
        int more;

        if (end - at >= 8) {  /* Most text is ASCII: eight bytes of it at once. */
            memcpy(&eight, at, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                count += 8;
                continue;
            }
        }
        c = *at++;
        more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2
                 : c >= 0xf0 && c <= 0xf4 ? 3 : -1;

        if (more < 0 || end - at < more)
            return false;
        /* The second byte's narrower bounds exclude overlong forms, surrogates and what is above U+10FFFF. */
        if (more > 0 && ((c == 0xe0 && at[0] < 0xa0) || (c == 0xed && at[0] > 0x9f) || (c == 0xf0 && at[0] < 0x90) ||
                         (c == 0xf4 && at[0] > 0x8f)))
            return false;
        for (; more > 0; more--)
            if ((*at++ & 0xc0) != 0x80)
                return false;
        count++;
    }
    if (code_points != NULL)
        *code_points = count;
    return true;
}
