/* All queries are asked in one pass over the data, which builds nothing: of each it is known how many of the steps of
 * its way lead to where the parser is. The pass goes on to the end, since of equal names the last counts (Q1), and
 * since data that ends badly is not JSON. */
#include "deliver/query.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/number.h"
#include "base/status.h"
#include "deliver/query_text.h"
#include "deliver/strftime.h"

#define LEVELS (LSI_QUERY_PARTS_MAX + 2)
#define SECONDS_MAX 9000000000000.0 /* in microseconds, what a time can be */

/* What one query found. */
typedef struct finding {
    size_t level;      /* so many steps of the way lead here */
    const char *wrong; /* NULL: `text` is it; a constant */
    char *text;
    size_t size, capacity;
} finding;

struct lsi_queries {
    lsi_memory memory;
    lsi_json_reader *json;
    uint32_t count;
    char **names;
    lsi_query *queries;
    finding *findings;
    char reason[LSI_MESSAGE_BYTES];

    /* while data is read: of what holds the values of each depth */
    bool is_array[LEVELS];
    size_t next_index[LEVELS];
    bool is_short;
};

static const char missing[] = "null or missing";

/* ---- opening ---- */

static ls_status no_memory(void)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for queries");
}

static ls_status make(const lsi_memory *memory, uint32_t room, lsi_queries **out)
{
    lsi_queries *queries = lsi_alloc_zero(memory, sizeof *queries);
    ls_status st = LS_OK;

    if (queries == NULL)
        return no_memory();
    queries->memory = *memory;
    queries->names = lsi_alloc_zero(memory, (room + 1) * sizeof *queries->names);
    queries->queries = lsi_alloc_zero(memory, (room + 1) * sizeof *queries->queries);
    queries->findings = lsi_alloc_zero(memory, (room + 1) * sizeof *queries->findings);
    if (queries->names == NULL || queries->queries == NULL || queries->findings == NULL)
        st = no_memory();
    if (st == LS_OK)
        st = lsi_json_reader_open(memory, LSI_JSON_KEYS_MAY_REPEAT, &queries->json);
    if (st == LS_OK)
        *out = queries;
    else
        lsi_queries_close(queries);
    return st;
}

void lsi_queries_close(lsi_queries *queries)
{
    if (queries == NULL)
        return;
    lsi_memory memory = queries->memory;

    for (uint32_t i = 0; i < queries->count; i++) {
        lsi_free(&memory, queries->names[i]);
        lsi_query_free(&memory, &queries->queries[i]);
        lsi_free(&memory, queries->findings[i].text);
    }
    lsi_json_reader_close(queries->json);
    lsi_free(&memory, queries->names);
    lsi_free(&memory, queries->queries);
    lsi_free(&memory, queries->findings);
    lsi_free(&memory, queries);
}

/* `name` is the queries' from here on. */
static ls_status add_query(lsi_queries *queries, lsi_query_reading *from, const char *at, char *name, size_t size)
{
    for (uint32_t i = 0; i < queries->count; i++)
        if (strcmp(queries->names[i], name) == 0) {
            lsi_free(&queries->memory, name);
            return lsi_query_refuse(from, at, "this key has a query already");
        }
    queries->names[queries->count++] = name;
    if (size == 0 || strlen(name) != size)
        return lsi_query_refuse(from, at, "a key's name is empty, or has U+0000 in it");
    return lsi_query_read(from, &queries->queries[queries->count - 1]);
}

static ls_status refuse_count(size_t count)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%zu queries: there are 1 to %u", count, LSI_QUERIES_MAX);
}

ls_status lsi_queries_open(const lsi_memory *memory, const lsi_query_text *texts, uint32_t count, lsi_queries **out)
{
    lsi_queries *queries = NULL;
    ls_status st = count == 0 || count > LSI_QUERIES_MAX ? refuse_count(count) : make(memory, count, &queries);

    for (uint32_t i = 0; st == LS_OK && i < count; i++) {
        lsi_query_reading from = {.memory = memory, .start = texts[i].text, .at = texts[i].text};
        char *name = lsi_strdup(memory, texts[i].name);

        (void)snprintf(from.label, sizeof from.label, "query '%.64s'", texts[i].name);
        st = name == NULL ? no_memory() : add_query(queries, &from, from.at, name, strlen(name));
        if (st == LS_OK && *from.at != '\0')
            st = lsi_query_refuse(&from, from.at, "the query ends here, and this follows it");
    }
    if (st == LS_OK)
        *out = queries;
    else
        lsi_queries_close(queries);
    return st;
}

/* One member: NAME: QUERY */
static ls_status read_member(lsi_queries *queries, lsi_query_reading *from)
{
    const char *at;
    char *name;
    size_t size;
    ls_status st;

    lsi_query_skip_space(from);
    at = from->at;
    if (queries->count == LSI_QUERIES_MAX)
        return refuse_count(queries->count + 1);
    st = *at == '"' ? lsi_query_read_string(from, &name, &size) : lsi_query_read_word(from, &name, &size);
    if (st != LS_OK)
        return st;
    lsi_query_skip_space(from);
    if (*from->at != ':') {
        lsi_free(from->memory, name);
        return lsi_query_refuse(from, from->at, "a colon and a query are expected");
    }
    from->at++;
    return add_query(queries, from, at, name, size);
}

ls_status lsi_queries_open_object(const lsi_memory *memory, const char *text, lsi_queries **out)
{
    lsi_query_reading from = {.memory = memory, .start = text, .at = text, .label = "queries"};
    lsi_queries *queries = NULL;
    ls_status st = make(memory, LSI_QUERIES_MAX, &queries);

    lsi_query_skip_space(&from);
    if (st == LS_OK && *from.at != '{')
        st = lsi_query_refuse(&from, from.at, "an object of queries is expected, as {device: .type.device}");
    while (st == LS_OK && (*from.at == '{' || *from.at == ',')) {
        from.at++;
        st = read_member(queries, &from);
    }
    if (st == LS_OK && *from.at != '}')
        st = lsi_query_refuse(&from, from.at, "a comma or } is expected");
    if (st == LS_OK) {
        from.at++;
        lsi_query_skip_space(&from);
        if (*from.at != '\0')
            st = lsi_query_refuse(&from, from.at, "the object ends here, and this follows it");
    }
    if (st == LS_OK)
        *out = queries;
    else
        lsi_queries_close(queries);
    return st;
}

const char *const *lsi_queries_names(const lsi_queries *queries, uint32_t *count)
{
    *count = queries->count;
    return (const char *const *)queries->names;
}

/* ---- values ---- */

static void keep(lsi_queries *queries, finding *to, const char *text, size_t size)
{
    void *bytes = to->text;

    if (size > LSI_QUERY_VALUE_MAX) {
        to->wrong = "longer than 1024 bytes";
        return;
    }
    queries->is_short = !lsi_grow(&queries->memory, &bytes, &to->capacity, size + 1, 1);
    if (queries->is_short)
        return;
    to->text = bytes;
    memcpy(to->text, text, size);
    to->size = size;
    to->wrong = NULL;
}

static void keep_time(lsi_queries *queries, finding *to, const lsi_query *query, double seconds)
{
    char text[LSI_QUERY_VALUE_MAX + 1];
    int64_t whole;
    size_t size;

    if (!(fabs(seconds) < SECONDS_MAX)) {
        to->wrong = "beyond any time in seconds";
        return;
    }
    whole = (int64_t)seconds; /* towards zero */
    whole -= (double)whole > seconds;
    size = lsi_strftime_write(query->time, query->time_size, whole, text, sizeof text);
    keep(queries, to, text, size);
}

static void keep_number(lsi_queries *queries, finding *to, const lsi_query *query, const char *text, size_t size)
{
    char printed[LSI_NUMBER_BYTES];
    bool is_integer = true;
    double number;

    for (size_t i = 0; i < size; i++)
        is_integer = is_integer && text[i] != '.' && text[i] != 'e' && text[i] != 'E';
    if (query->time == NULL && is_integer) {
        keep(queries, to, text, size);
        return;
    }
    (void)lsi_number_read(text, size, &number); /* The nearest is what jq has, too. */
    if (query->time != NULL) {
        keep_time(queries, to, query, number);
    } else if (!isfinite(number)) {
        to->wrong = "a number that no double holds";
    } else {
        lsi_number_write(number, printed);
        keep(queries, to, printed, strlen(printed));
    }
}

static void take_value(lsi_queries *queries, uint32_t index, lsi_json_kind kind, const char *text, size_t size)
{
    const lsi_query *query = &queries->queries[index];
    finding *to = &queries->findings[index];

    to->wrong = missing;
    if (kind == LSI_JSON_NULL)
        return;
    if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN)
        to->wrong = "an object or array, and not a string, number, true or false";
    else if (kind == LSI_JSON_NUMBER)
        keep_number(queries, to, query, text, size);
    else if (query->time != NULL)
        to->wrong = "not a number of seconds, which strftime takes";
    else
        keep(queries, to, text, size);
}

/* ---- data ---- */

static bool leads_on(const lsi_query_part *part, const char *name, size_t size, size_t index)
{
    if (name == NULL)
        return part->name == NULL && part->index == index;
    return part->name != NULL && part->size == size && memcmp(part->name, name, size) == 0;
}

/* A step to what lies at `depth`: into the member `name`, or the element `index`. */
static void step(lsi_queries *queries, unsigned depth, const char *name, size_t size, size_t index)
{
    for (uint32_t i = 0; i < queries->count; i++) {
        const lsi_query *query = &queries->queries[i];
        finding *to = &queries->findings[i];
        bool is_on;

        if (to->level < depth - 1)
            continue; /* What holds it is not on the way. */
        is_on = depth <= query->part_count && leads_on(&query->parts[depth - 1], name, size, index);
        to->level = depth - 1 + (is_on ? 1 : 0);
        if (is_on)
            to->wrong = missing; /* Whatever stood under this name before counts no more. */
    }
}

static bool take_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    lsi_queries *queries = user;

    if (kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE)
        return true;
    if (kind == LSI_JSON_KEY) {
        step(queries, depth, text, size, 0);
        return true;
    }
    if (depth > 0 && queries->is_array[depth])
        step(queries, depth, NULL, 0, queries->next_index[depth]++);
    for (uint32_t i = 0; i < queries->count && !queries->is_short; i++)
        if (queries->findings[i].level == depth && queries->queries[i].part_count == depth)
            take_value(queries, i, kind, text, size);
    if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN) {
        queries->is_array[depth + 1] = kind == LSI_JSON_ARRAY_OPEN;
        queries->next_index[depth + 1] = 0;
    }
    return !queries->is_short;
}

ls_status lsi_queries_apply(lsi_queries *queries, ls_bytes data, ls_bytes *values, const char **reason)
{
    lsi_error_state before;
    ls_status st;

    queries->is_short = false;
    for (uint32_t i = 0; i < queries->count; i++) {
        queries->findings[i].level = 0;
        queries->findings[i].wrong = missing;
    }
    lsi_error_save(&before);
    st = lsi_json_read(queries->json, data.data, data.size, take_token, queries);
    if (queries->is_short)
        return no_memory();
    *reason = NULL;
    if (st == LS_ERR_INVALID_ARGUMENT) {
        (void)snprintf(queries->reason, sizeof queries->reason, "%.500s", ls_last_error_message());
        lsi_error_restore(&before); /* The record's failure is not the caller's. */
        *reason = queries->reason;
        return LS_OK;
    }
    for (uint32_t i = 0; st == LS_OK && *reason == NULL && i < queries->count; i++)
        if (queries->findings[i].wrong != NULL) {
            (void)snprintf(queries->reason, sizeof queries->reason, "partition key '%.64s' is %s", queries->names[i],
                           queries->findings[i].wrong);
            *reason = queries->reason;
        }
    for (uint32_t i = 0; st == LS_OK && *reason == NULL && i < queries->count; i++)
        values[i] = (ls_bytes){queries->findings[i].text, queries->findings[i].size};
    return st;
}
