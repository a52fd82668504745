/* A handler's answer. What the service takes for success and for failure was recorded from it, body by body:
 *
 *   S1  nothing, "", [], null, {}, a list of failures that is empty, null or absent: success; white space, as JSON has
 *       it, is nothing, since a program that prints an empty line has said nothing more;
 *   S2  failures whose identifiers are all numbers of this batch: partial, from the lowest one on;
 *   S3  an identifier that is empty, null, under another name, or not of this batch; an answer that is not of this
 *       form, or not JSON: the whole batch failed, whatever else it says.
 *
 * With windows it must have a state, an object, which is kept as JSON without white space. */
#include "consume/mapping/event_json.h"

#include <string.h>

#include "base/status.h"
#include "stream/stream.h"

typedef enum { SECTION_OTHER, SECTION_FAILURES, SECTION_STATE } section;

typedef struct answer {
    const lsi_event_source *source;
    const lsi_invocation *what;
    uint32_t flags;
    lsi_json_writer *state;
    section in;        /* whose value comes or is open, at depth 1 and deeper */
    bool is_array;     /* the document is one */
    bool is_bad;
    bool has_failure;
    uint32_t failed_at;
    bool is_id_next, has_id; /* of the failure that is open */
    bool has_state;
} answer;

static bool refuse(answer *a)
{
    a->is_bad = true;
    return false;
}

/* A number in 56 digits, and of a user record, behind a point, its place in the aggregate: the number alone is that of
 * the first of them, 0. */
static bool read_identifier(const char *text, size_t size, lsi_seqno56 *number, uint32_t *sub_seqno)
{
    size_t digits = LSI_SEQNO56_BYTES - 1;
    char own[LSI_SEQNO56_BYTES] = "";
    uint64_t sub = 0;

    if (size < digits || (size > digits && (text[digits] != '.' || size == digits + 1 || size > digits + 11)))
        return false;
    for (size_t i = digits + 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        sub = 10 * sub + (uint64_t)(text[i] - '0');
    }
    *sub_seqno = (uint32_t)sub;
    memcpy(own, text, digits);
    return sub <= UINT32_MAX && lsi_seqno56_parse(own, number) == LS_OK;
}

/* The record of the batch that has this identifier: with the number alone the first one that has it. */
static bool find_record(const answer *a, const char *text, size_t size, uint32_t *out)
{
    uint32_t low = 0, high = a->what->count, sub_seqno;
    char own[LSI_SEQNO56_BYTES] = "";
    const ls_record *record;
    lsi_seqno56 number;

    if (!read_identifier(text, size, &number, &sub_seqno))
        return false;
    while (low < high) { /* Within a shard numbers are in the counter's order. */
        uint32_t middle = low + (high - low) / 2;

        record = &a->what->records[middle];
        if (record->seqno < number.counter || (record->seqno == number.counter && record->sub_seqno < sub_seqno))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == a->what->count)
        return false;
    record = &a->what->records[low];
    if (record->seqno != number.counter || (size >= LSI_SEQNO56_BYTES && record->sub_seqno != sub_seqno))
        return false;
    lsi_seqno56_format(
        &(lsi_seqno56){
            .counter = number.counter,
            .shard = a->source->shard,
            .created_seconds = a->source->shard_created_us / 1000000,
            .record_seconds = record->arrival_us / 1000000,
        },
        own);
    *out = low;
    return memcmp(own, text, LSI_SEQNO56_BYTES - 1) == 0; /* The other fields are this record's as well. */
}

static bool on_failure(answer *a, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    uint32_t at;

    if (depth == 1) /* the list itself */
        return kind == LSI_JSON_ARRAY_OPEN || kind == LSI_JSON_ARRAY_CLOSE || kind == LSI_JSON_NULL ? true : refuse(a);
    if (depth == 2) {
        if (kind == LSI_JSON_OBJECT_CLOSE)
            return a->has_id ? true : refuse(a);
        a->has_id = false;
        return kind == LSI_JSON_OBJECT_OPEN ? true : refuse(a);
    }
    if (depth > 3)
        return true;
    if (kind == LSI_JSON_KEY) {
        a->is_id_next = size == strlen("itemIdentifier") && memcmp(text, "itemIdentifier", size) == 0;
        return true;
    }
    if (!a->is_id_next)
        return true;
    a->is_id_next = false;
    if (kind != LSI_JSON_STRING || !find_record(a, text, size, &at))
        return refuse(a);
    a->has_id = true;
    a->failed_at = a->has_failure && a->failed_at < at ? a->failed_at : at;
    a->has_failure = true;
    return true;
}

static bool on_state(answer *a, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    if (depth == 1 && kind != LSI_JSON_OBJECT_OPEN && kind != LSI_JSON_OBJECT_CLOSE)
        return refuse(a);
    a->has_state = true;
    switch (kind) {
    case LSI_JSON_NULL:
    case LSI_JSON_BOOL:
    case LSI_JSON_NUMBER: lsi_json_raw(a->state, text, size); break;
    case LSI_JSON_STRING: lsi_json_string_sized(a->state, text, size); break;
    case LSI_JSON_KEY: lsi_json_key_sized(a->state, text, size); break;
    case LSI_JSON_OBJECT_OPEN: lsi_json_object_open(a->state); break;
    case LSI_JSON_OBJECT_CLOSE: lsi_json_object_close(a->state); break;
    case LSI_JSON_ARRAY_OPEN: lsi_json_array_open(a->state); break;
    case LSI_JSON_ARRAY_CLOSE: lsi_json_array_close(a->state); break;
    }
    return !a->state->failed;
}

static section section_of(const answer *a, const char *key, size_t size)
{
    if ((a->flags & LSI_RESPONSE_REPORTS) != 0 && size == strlen("batchItemFailures") &&
        memcmp(key, "batchItemFailures", size) == 0)
        return SECTION_FAILURES;
    if ((a->flags & LSI_RESPONSE_WINDOWED) != 0 && size == strlen("state") && memcmp(key, "state", size) == 0)
        return SECTION_STATE;
    return SECTION_OTHER;
}

static bool on_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    answer *a = user;

    if (depth == 0) {
        a->is_array = kind == LSI_JSON_ARRAY_OPEN || kind == LSI_JSON_ARRAY_CLOSE;
        return a->is_array || kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_OBJECT_CLOSE ||
                       kind == LSI_JSON_NULL || (kind == LSI_JSON_STRING && size == 0)
                   ? true : refuse(a);
    }
    if (a->is_array)
        return refuse(a);
    if (depth == 1 && kind == LSI_JSON_KEY) {
        a->in = section_of(a, text, size);
        return true;
    }
    if (a->in == SECTION_FAILURES)
        return on_failure(a, kind, text, size, depth);
    return a->in == SECTION_STATE ? on_state(a, kind, text, size, depth) : true;
}

static bool is_nothing(const void *text, size_t size)
{
    const char *at = text;

    while (size > 0 && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')) {
        at++;
        size--;
    }
    return size == 0;
}

ls_status lsi_response_read(const lsi_memory *memory, const void *text, size_t size, uint32_t flags,
                            const lsi_event_source *source, const lsi_invocation *what, lsi_json_writer *state,
                            lsi_outcome *out)
{
    answer a = {.source = source, .what = what, .flags = flags, .state = state};
    lsi_error_state before;
    ls_status st = LS_OK;

    lsi_error_save(&before);
    if (flags != 0 && !is_nothing(text, size))
        st = lsi_json_parse(memory, text, size, on_token, &a);
    if (st == LS_OK && state->failed)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the state that a handler returned");
    if (st == LS_ERR_INVALID_ARGUMENT) {
        a.is_bad = true;
        st = LS_OK;
    }
    if (st != LS_OK)
        return st;
    lsi_error_restore(&before); /* A bad answer is the handler's failure, not the caller's. */
    *out = (lsi_outcome){
        .kind = a.is_bad ? LSI_OUTCOME_BAD_RESPONSE : a.has_failure ? LSI_OUTCOME_PARTIAL : LSI_OUTCOME_SUCCESS,
        .failed_at = a.failed_at,
        .has_state = a.has_state,
        .state = {state->text, state->size},
    };
    return LS_OK;
}
