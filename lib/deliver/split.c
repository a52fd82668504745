/* Where a JSON value ends is found by its brackets and quotes alone; then the parser judges it. A piece that ends at
 * the wrong place is no JSON: brackets close in the wrong order, or text is left. */
#include "deliver/split.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

struct lsi_splitter {
    lsi_memory memory;
    lsi_json_reader *json; /* NULL: by the delimiter */
    unsigned char delimiter[LSI_DELIMITER_MAX];
    size_t delimiter_size;
    ls_bytes *pieces;
    size_t count, capacity;
    char reason[LSI_MESSAGE_BYTES];
};

static ls_status make(const lsi_memory *memory, lsi_splitter **out)
{
    *out = lsi_alloc_zero(memory, sizeof **out);
    if (*out == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to split records");
    (*out)->memory = *memory;
    return LS_OK;
}

ls_status lsi_splitter_open_json(const lsi_memory *memory, lsi_splitter **out)
{
    lsi_splitter *splitter;
    ls_status st = make(memory, &splitter);

    if (st != LS_OK)
        return st;
    st = lsi_json_reader_open(memory, LSI_JSON_KEYS_MAY_REPEAT, &splitter->json); /* Whose readers are to decide. */
    if (st == LS_OK)
        *out = splitter;
    else
        lsi_splitter_close(splitter);
    return st;
}

ls_status lsi_splitter_open_delimited(const lsi_memory *memory, ls_bytes delimiter, lsi_splitter **out)
{
    lsi_splitter *splitter;
    ls_status st;

    if (delimiter.size == 0 || delimiter.size > LSI_DELIMITER_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a delimiter of %zu bytes: it has 1 to %u", delimiter.size,
                        LSI_DELIMITER_MAX);
    st = make(memory, &splitter);
    if (st != LS_OK)
        return st;
    memcpy(splitter->delimiter, delimiter.data, delimiter.size);
    splitter->delimiter_size = delimiter.size;
    *out = splitter;
    return LS_OK;
}

void lsi_splitter_close(lsi_splitter *splitter)
{
    if (splitter == NULL)
        return;
    lsi_memory memory = splitter->memory;

    lsi_json_reader_close(splitter->json);
    lsi_free(&memory, splitter->pieces);
    lsi_free(&memory, splitter);
}

static ls_status add_piece(lsi_splitter *to, const char *from, const char *end)
{
    void *pieces = to->pieces;

    if (!lsi_grow(&to->memory, &pieces, &to->capacity, to->count + 1, sizeof *to->pieces))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the pieces of a record");
    to->pieces = pieces;
    to->pieces[to->count++] = (ls_bytes){from, (size_t)(end - from)};
    return LS_OK;
}

static ls_status split_delimited(lsi_splitter *splitter, const char *from, const char *end)
{
    ls_status st = LS_OK;

    while (st == LS_OK && from < end) {
        const char *next = memmem(from, (size_t)(end - from), splitter->delimiter, splitter->delimiter_size);
        const char *piece_end = next != NULL ? next : end;

        if (piece_end > from)
            st = add_piece(splitter, from, piece_end);
        from = next != NULL ? next + splitter->delimiter_size : end;
    }
    return st;
}

/* ---- JSON ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *string_end(const char *from, const char *end)
{
    for (from++; from < end && *from != '"'; from++)
        if (*from == '\\' && end - from > 1)
            from++;
    return from < end ? from + 1 : end;
}

/* Behind the value that begins at `from`, or what would be one. */
static const char *value_end(const char *from, const char *end)
{
    size_t depth = 0;

    if (*from == '"')
        return string_end(from, end);
    if (*from != '{' && *from != '[') { /* A number or a word: up to whatever cannot go on with it. */
        do {
            from++;
        } while (from < end && !is_space(*from) && memchr("{[\"", *from, 3) == NULL);
        return from;
    }
    while (from < end) {
        char c = *from;

        if (c == '"') {
            from = string_end(from, end);
            continue;
        }
        from++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            break;
    }
    return from;
}

static bool ignore(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    (void)user;
    (void)kind;
    (void)text;
    (void)size;
    (void)depth;
    return true;
}

static ls_status split_json(lsi_splitter *splitter, const char *start, const char *end, const char **reason)
{
    lsi_error_state before;
    ls_status st = LS_OK;

    lsi_error_save(&before);
    for (const char *from = start; st == LS_OK && from < end;) {
        const char *next;

        if (is_space(*from)) {
            from++;
            continue;
        }
        next = value_end(from, end);
        st = lsi_json_read(splitter->json, from, (size_t)(next - from), ignore, NULL);
        if (st == LS_ERR_INVALID_ARGUMENT) {
            (void)snprintf(splitter->reason, sizeof splitter->reason, "value %zu, at byte %zu: %.400s",
                           splitter->count + 1, (size_t)(from - start), ls_last_error_message());
            lsi_error_restore(&before); /* The record's failure is not the caller's. */
            *reason = splitter->reason;
            splitter->count = 0;
            return LS_OK;
        }
        if (st == LS_OK)
            st = add_piece(splitter, from, next);
        from = next;
    }
    return st;
}

ls_status lsi_splitter_split(lsi_splitter *splitter, ls_bytes data, const ls_bytes **pieces, size_t *count,
                             const char **reason)
{
    const char *start = data.size != 0 ? data.data : ""; /* An empty record may have no address. */
    ls_status st;

    splitter->count = 0;
    *reason = NULL;
    st = splitter->json != NULL ? split_json(splitter, start, start + data.size, reason)
                                : split_delimited(splitter, start, start + data.size);
    *pieces = splitter->pieces;
    *count = splitter->count;
    return st;
}
