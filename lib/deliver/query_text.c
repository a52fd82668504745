/* Reading a query. Each refusal says at which column: queries are written by hand, in settings. */
#include "deliver/query_text.h"

#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "deliver/strftime.h"

#define INDEX_MAX 1000000000u /* no record has so many elements */

ls_status lsi_query_refuse(const lsi_query_reading *from, const char *at, const char *why)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: column %zu: %s", from->label, (size_t)(at - from->start) + 1, why);
}

static ls_status no_memory(void)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a query");
}

void lsi_query_skip_space(lsi_query_reading *from)
{
    from->at += strspn(from->at, " \t\r\n");
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t word_size(const char *at)
{
    size_t size = 0;

    if (!is_word_start(*at))
        return 0;
    while (is_word_start(at[size]) || (at[size] >= '0' && at[size] <= '9'))
        size++;
    return size;
}

static ls_status copy(const lsi_memory *memory, const char *text, size_t size, char **out)
{
    *out = lsi_alloc(memory, size + 1);
    if (*out == NULL)
        return no_memory();
    memcpy(*out, text, size);
    (*out)[size] = '\0';
    return LS_OK;
}

ls_status lsi_query_read_word(lsi_query_reading *from, char **out, size_t *size)
{
    const char *at = from->at;

    *size = word_size(at);
    if (*size == 0)
        return lsi_query_refuse(from, at, "a name is expected");
    from->at += *size;
    return copy(from->memory, at, *size, out);
}

/* ---- strings: JSON's ---- */

typedef struct unescaped {
    const lsi_memory *memory;
    char **out;
    size_t *size;
    ls_status st;
} unescaped;

static bool take_string(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    unescaped *to = user;

    (void)kind; /* What begins with a quote is a string. */
    (void)depth;
    *to->size = size;
    to->st = copy(to->memory, text, size, to->out);
    return to->st == LS_OK;
}

ls_status lsi_query_read_string(lsi_query_reading *from, char **out, size_t *size)
{
    const char *start = from->at, *end = start + 1;
    unescaped to = {from->memory, out, size, LS_OK};
    ls_status st;

    if (*start != '"')
        return lsi_query_refuse(from, start, "a string in double quotes is expected");
    while (*end != '"' && *end != '\0')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end == '\0')
        return lsi_query_refuse(from, start, "the string has no end");
    from->at = end + 1;
    *out = NULL;
    st = lsi_json_parse(from->memory, start, (size_t)(from->at - start), take_string, &to);
    if (st == LS_OK)
        return to.st;
    lsi_free(from->memory, *out); /* Text that is refused behind the string there cannot be, but who knows. */
    *out = NULL;
    return st == LS_ERR_INVALID_ARGUMENT ? lsi_query_refuse(from, start, "no string as in JSON") : st;
}

/* ---- the way to a value ---- */

static ls_status add_part(const lsi_query_reading *from, lsi_query *query, lsi_query_part part)
{
    void *parts = query->parts;

    if (query->part_count == LSI_QUERY_PARTS_MAX) {
        lsi_free(from->memory, part.name);
        return lsi_query_refuse(from, from->at, "more than 64 levels");
    }
    if (!lsi_grow(from->memory, &parts, &query->part_capacity, query->part_count + 1, sizeof part)) {
        lsi_free(from->memory, part.name);
        return no_memory();
    }
    query->parts = parts;
    query->parts[query->part_count++] = part;
    return LS_OK;
}

/* ["name"] or [0] */
static ls_status read_brackets(lsi_query_reading *from, lsi_query *query)
{
    lsi_query_part part = {NULL, 0, 0};
    const char *open = from->at;
    ls_status st = LS_OK;

    from->at++;
    lsi_query_skip_space(from);
    if (*from->at == '"') {
        st = lsi_query_read_string(from, &part.name, &part.size);
    } else {
        const char *digits = from->at;

        for (; *from->at >= '0' && *from->at <= '9'; from->at++) {
            part.index = part.index * 10 + (size_t)(*from->at - '0');
            if (part.index > INDEX_MAX)
                return lsi_query_refuse(from, digits, "an index of at most 1000000000 is expected");
        }
        if (from->at == digits)
            return lsi_query_refuse(from, digits, "an index from 0 on, or a string in double quotes, is expected");
    }
    if (st != LS_OK)
        return st;
    lsi_query_skip_space(from);
    if (*from->at != ']') {
        lsi_free(from->memory, part.name);
        return lsi_query_refuse(from, open, "this [ has no ] behind its index");
    }
    from->at++;
    return add_part(from, query, part);
}

/* From a point on: . .a .a.b .["x"] .a[0] ."x" */
static ls_status read_way(lsi_query_reading *from, lsi_query *query)
{
    bool is_first = true;
    ls_status st = LS_OK;

    for (; st == LS_OK; is_first = false) {
        bool has_point = *from->at == '.';
        lsi_query_part part = {NULL, 0, 0};

        if (!has_point && (is_first || *from->at != '['))
            break;
        from->at += has_point;
        if (*from->at == '[') {
            st = read_brackets(from, query);
        } else if (*from->at == '"') {
            st = lsi_query_read_string(from, &part.name, &part.size);
            if (st == LS_OK)
                st = add_part(from, query, part);
        } else if (word_size(from->at) != 0) {
            st = lsi_query_read_word(from, &part.name, &part.size);
            if (st == LS_OK)
                st = add_part(from, query, part);
        } else if (!is_first) {
            return lsi_query_refuse(from, from->at, "a name is expected behind the point");
        } else {
            break; /* a point alone: the value itself */
        }
    }
    return st;
}

/* ---- what is made of it ---- */

static ls_status read_strftime(lsi_query_reading *from, lsi_query *query)
{
    const char *format, *wrong;
    ls_status st;

    lsi_query_skip_space(from);
    if (*from->at != '(')
        return lsi_query_refuse(from, from->at, "strftime(\"FORMAT\") is expected");
    from->at++;
    lsi_query_skip_space(from);
    format = from->at;
    st = lsi_query_read_string(from, &query->time, &query->time_size);
    if (st != LS_OK)
        return st;
    wrong = lsi_strftime_check(query->time, query->time_size);
    if (wrong != NULL)
        return lsi_query_refuse(from, format, wrong);
    lsi_query_skip_space(from);
    if (*from->at != ')')
        return lsi_query_refuse(from, from->at, "a ) is expected");
    from->at++;
    return LS_OK;
}

static bool is_word(const char *at, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(at, word, size) == 0;
}

ls_status lsi_query_read(lsi_query_reading *from, lsi_query *query)
{
    bool is_text = false; /* No way leads into it, and it is no time. */
    ls_status st;

    lsi_query_skip_space(from);
    if (*from->at != '.')
        return lsi_query_refuse(from, from->at, "a query begins with a point, as in .customer_id");
    st = read_way(from, query);
    for (lsi_query_skip_space(from); st == LS_OK && *from->at == '|'; lsi_query_skip_space(from)) {
        const char *function;
        size_t size;

        from->at++;
        lsi_query_skip_space(from);
        function = from->at;
        size = word_size(function);
        if (*function == '.') {
            st = is_text ? lsi_query_refuse(from, function, "there is no way into text") : read_way(from, query);
            continue;
        }
        from->at += size;
        if (is_word(function, size, "tostring")) {
            is_text = true;
        } else if (!is_word(function, size, "strftime")) {
            st = lsi_query_refuse(from, function, "no such function: there are strftime(\"FORMAT\") and tostring");
        } else if (is_text) {
            st = lsi_query_refuse(from, function, "strftime takes a number, and this is text");
        } else {
            is_text = true;
            st = read_strftime(from, query);
        }
    }
    return st;
}

void lsi_query_free(const lsi_memory *memory, lsi_query *query)
{
    for (size_t i = 0; i < query->part_count; i++)
        lsi_free(memory, query->parts[i].name);
    lsi_free(memory, query->parts);
    lsi_free(memory, query->time);
    *query = (lsi_query){0};
}
