/* The response. Members of a record come in any order, so that what each said is kept until the record ends; data is
 * decoded where it comes, since the parser's text is gone afterwards. What is kept lies in two arrays that grow, so it
 * is noted by place, and pointers are made when all of it is there. */
#include "deliver/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/status.h"
#include "deliver/record_id.h"

#define KEY_SHOWN 64 /* bytes of a name, or an id, in a message */

/* A run of bytes of `kept`. */
typedef struct place {
    size_t at, size;
} place;

typedef struct key_place {
    place name, value;
} key_place;

/* What a record of the response, or of the request, came to. */
typedef struct outcome {
    bool is_there;
    lsi_transform_result result;
    place data;
    size_t keys_at, key_count;
} outcome;

typedef enum member { MEMBER_OTHER, MEMBER_ID, MEMBER_RESULT, MEMBER_DATA, MEMBER_METADATA, MEMBER_KEYS } member;

struct lsi_transform_reader {
    lsi_memory memory;
    lsi_json_reader *json;
    unsigned char *kept;
    size_t kept_size, kept_capacity;
    key_place *key_places;
    size_t key_count, key_capacity;
    outcome *outcomes; /* [count] of the request's records */
    size_t outcome_capacity;
    lsi_transformed *transformed;
    size_t transformed_capacity;
    lsi_partition_key *keys;
    size_t keys_capacity;

    const lsi_transform_batch *batch;
    bool in_records, has_records, is_short;
    uint32_t record_count; /* that began */
    /* of the record that is open */
    outcome now;
    member in;
    bool has_id, has_result, has_data, is_data_bad, is_data_other; /* no base64; no string */
    uint32_t index;

    const char *code; /* not NULL: the batch has failed */
    char message[LSI_MESSAGE_BYTES];
};

ls_status lsi_transform_reader_open(const lsi_memory *memory, lsi_transform_reader **out)
{
    lsi_transform_reader *reader = lsi_alloc_zero(memory, sizeof *reader);
    ls_status st;

    if (reader == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to read what transforms answer");
    reader->memory = *memory;
    st = lsi_json_reader_open(memory, 0, &reader->json);
    if (st == LS_OK)
        *out = reader;
    else
        lsi_transform_reader_close(reader);
    return st;
}

void lsi_transform_reader_close(lsi_transform_reader *reader)
{
    if (reader == NULL)
        return;
    lsi_memory memory = reader->memory;

    lsi_json_reader_close(reader->json);
    lsi_free(&memory, reader->kept);
    lsi_free(&memory, reader->key_places);
    lsi_free(&memory, reader->outcomes);
    lsi_free(&memory, reader->transformed);
    lsi_free(&memory, reader->keys);
    lsi_free(&memory, reader);
}

/* ---- failing ---- */

/* The batch has failed; the first reason stays. */
__attribute__((format(printf, 3, 4))) static bool refuse(lsi_transform_reader *reader, const char *code,
                                                         const char *format, ...)
{
    va_list arguments;

    if (reader->code != NULL)
        return false;
    reader->code = code;
    va_start(arguments, format);
    (void)vsnprintf(reader->message, sizeof reader->message, format, arguments);
    va_end(arguments);
    lsi_make_one_line(reader->message, true); /* It quotes what a program wrote. */
    return false;
}

static bool grow(lsi_transform_reader *reader, void **array, size_t *capacity, size_t wanted, size_t element_bytes)
{
    reader->is_short = !lsi_grow(&reader->memory, array, capacity, wanted, element_bytes);
    return !reader->is_short;
}

/* Room for `size` more bytes that are kept; NULL: no memory. */
static unsigned char *keep_room(lsi_transform_reader *reader, size_t size)
{
    void *kept = reader->kept;

    if (!grow(reader, &kept, &reader->kept_capacity, reader->kept_size + size + 1, 1))
        return NULL;
    reader->kept = kept;
    return reader->kept + reader->kept_size;
}

static bool keep(lsi_transform_reader *reader, const char *text, size_t size, place *out)
{
    unsigned char *at = keep_room(reader, size);

    if (at == NULL)
        return false;
    memcpy(at, text, size);
    *out = (place){reader->kept_size, size};
    reader->kept_size += size;
    return true;
}

/* ---- a record's members ---- */

static int shown(size_t size)
{
    return (int)(size < KEY_SHOWN ? size : KEY_SHOWN);
}

/* The last six digits, or more, are the index; all of it must be what the request has there. */
static bool take_id(lsi_transform_reader *reader, const char *text, size_t size)
{
    const lsi_transform_batch *batch = reader->batch;
    char wanted[LSI_RECORD_ID_BYTES];

    for (size_t digits = LSI_RECORD_ID_INDEX_DIGITS; digits <= 10 && digits <= size; digits++) {
        uint64_t index = 0;

        for (size_t i = size - digits; i < size; i++) {
            if (text[i] < '0' || text[i] > '9')
                return refuse(reader, LSI_TRANSFORM_MALFORMED, "recordId '%.*s' is none of the request's", shown(size),
                              text);
            index = index * 10 + (uint64_t)(text[i] - '0');
        }
        if (index >= batch->count)
            continue;
        lsi_record_id_format(&batch->records[index], (uint32_t)index, wanted);
        if (strlen(wanted) == size && memcmp(wanted, text, size) == 0) {
            reader->has_id = true;
            reader->index = (uint32_t)index;
            return true;
        }
    }
    return refuse(reader, LSI_TRANSFORM_MALFORMED, "recordId '%.*s' is none of the request's", shown(size), text);
}

static bool is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

static bool take_result(lsi_transform_reader *reader, const char *text, size_t size)
{
    static const char *const words[] = {
        [LSI_TRANSFORM_OK] = "Ok", [LSI_TRANSFORM_DROPPED] = "Dropped", [LSI_TRANSFORM_FAILED] = "ProcessingFailed"};

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is_word(text, size, words[i])) {
            reader->now.result = (lsi_transform_result)i;
            reader->has_result = true;
            return true;
        }
    return refuse(reader, LSI_TRANSFORM_MALFORMED, "result '%.*s' of record %u of the response: it is Ok, Dropped or "
                                                   "ProcessingFailed", shown(size), text, reader->record_count);
}

/* Whether data that is none matters is known when the result is. */
static bool take_data(lsi_transform_reader *reader, const char *text, size_t size)
{
    unsigned char *at = keep_room(reader, lsi_base64_room(size));
    size_t decoded;

    if (at == NULL)
        return false;
    reader->has_data = true;
    reader->is_data_bad = !lsi_base64_decode(text, size, at, &decoded);
    if (reader->is_data_bad)
        return true;
    reader->now.data = (place){reader->kept_size, decoded};
    reader->kept_size += decoded;
    return true;
}

static bool add_key_name(lsi_transform_reader *reader, const char *text, size_t size)
{
    void *places = reader->key_places;

    if (size == 0 || size > LSI_TRANSFORM_KEY_NAME_MAX || memchr(text, 0, size) != NULL)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "a partition key of record %u of the response has a name of %zu "
                      "bytes, or U+0000 in it: it has 1 to %u", reader->record_count, size,
                      LSI_TRANSFORM_KEY_NAME_MAX);
    if (!grow(reader, &places, &reader->key_capacity, reader->key_count + 1, sizeof *reader->key_places))
        return false;
    reader->key_places = places;
    return keep(reader, text, size, &reader->key_places[reader->key_count].name);
}

/* Scalars are their text, as the service reads them; null is a key that is missing. */
static bool take_key_value(lsi_transform_reader *reader, lsi_json_kind kind, const char *text, size_t size)
{
    key_place *now = &reader->key_places[reader->key_count];

    if (kind == LSI_JSON_NULL)
        return true;
    if (reader->now.key_count == LSI_PARTITION_KEYS_MAX)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "record %u of the response has more than %u partition keys",
                      reader->record_count, LSI_PARTITION_KEYS_MAX);
    if (!keep(reader, text, size, &now->value))
        return false;
    reader->key_count++;
    reader->now.key_count++;
    return true;
}

/* ---- the document ---- */

static bool refuse_shape(lsi_transform_reader *reader, const char *what, const char *wanted)
{
    return refuse(reader, LSI_TRANSFORM_MALFORMED, "%s of record %u of the response: %s is expected", what,
                  reader->record_count, wanted);
}

static bool end_record(lsi_transform_reader *reader)
{
    outcome *to;

    if (!reader->has_id)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "record %u of the response has no recordId",
                      reader->record_count);
    if (!reader->has_result)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "record %u of the response has no result",
                      reader->record_count);
    if (reader->now.result == LSI_TRANSFORM_OK && reader->is_data_other)
        return refuse_shape(reader, "data", "a string");
    if (reader->now.result == LSI_TRANSFORM_OK && !reader->has_data)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "record %u of the response is Ok and has no data",
                      reader->record_count);
    if (reader->now.result == LSI_TRANSFORM_OK && reader->is_data_bad)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "data of record %u of the response is no base64",
                      reader->record_count);
    to = &reader->outcomes[reader->index];
    if (to->is_there) {
        char id[LSI_RECORD_ID_BYTES];

        lsi_record_id_format(&reader->batch->records[reader->index], reader->index, id);
        return refuse(reader, LSI_TRANSFORM_DUPLICATED, "recordId '%s' is in the response twice", id);
    }
    *to = reader->now;
    to->is_there = true;
    return true;
}

static bool begin_record(lsi_transform_reader *reader)
{
    reader->record_count++;
    reader->now = (outcome){.keys_at = reader->key_count};
    reader->in = MEMBER_OTHER;
    reader->has_id = reader->has_result = reader->has_data = reader->is_data_bad = reader->is_data_other = false;
    return true;
}

static member member_of(const char *key, size_t size)
{
    return is_word(key, size, "recordId") ? MEMBER_ID : is_word(key, size, "result") ? MEMBER_RESULT
         : is_word(key, size, "data") ? MEMBER_DATA : is_word(key, size, "metadata") ? MEMBER_METADATA : MEMBER_OTHER;
}

/* The value of a member of a record. */
static bool on_member(lsi_transform_reader *reader, lsi_json_kind kind, const char *text, size_t size)
{
    bool is_object = kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_OBJECT_CLOSE;

    switch (reader->in) {
    case MEMBER_ID:
        return kind == LSI_JSON_STRING ? take_id(reader, text, size) : refuse_shape(reader, "recordId", "a string");
    case MEMBER_RESULT:
        return kind == LSI_JSON_STRING ? take_result(reader, text, size) : refuse_shape(reader, "result", "a string");
    case MEMBER_DATA: /* What it is matters when the result is Ok, which may come behind it. */
        if (kind == LSI_JSON_NULL)
            return true;
        reader->is_data_other = kind != LSI_JSON_STRING;
        return reader->is_data_other || take_data(reader, text, size);
    case MEMBER_METADATA:
    case MEMBER_KEYS:
        return is_object || kind == LSI_JSON_NULL ? true : refuse_shape(reader, "metadata", "an object");
    case MEMBER_OTHER: break;
    }
    return true;
}

/* A token within metadata. */
static bool on_metadata(lsi_transform_reader *reader, lsi_json_kind kind, const char *text, size_t size,
                        unsigned depth)
{
    bool is_object = kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_OBJECT_CLOSE;

    if (depth == 4 && kind == LSI_JSON_KEY)
        reader->in = is_word(text, size, "partitionKeys") ? MEMBER_KEYS : MEMBER_METADATA;
    else if (depth == 4 && reader->in == MEMBER_KEYS)
        return is_object || kind == LSI_JSON_NULL ? true : refuse_shape(reader, "partitionKeys", "an object");
    else if (depth == 5 && reader->in == MEMBER_KEYS && kind == LSI_JSON_KEY)
        return add_key_name(reader, text, size);
    else if (depth == 5 && reader->in == MEMBER_KEYS)
        return is_object || kind == LSI_JSON_ARRAY_OPEN || kind == LSI_JSON_ARRAY_CLOSE
                   ? refuse_shape(reader, "a partition key", "a string") : take_key_value(reader, kind, text, size);
    return true;
}

/* 0: the document; 1: its members; 2: records; 3: their members; 4: metadata's; 5: partition keys. */
static bool on_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    lsi_transform_reader *reader = user;

    if (depth == 0)
        return kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_OBJECT_CLOSE
                   ? true : refuse(reader, LSI_TRANSFORM_MALFORMED, "the response is no object");
    if (depth == 1 && kind == LSI_JSON_KEY) {
        reader->in_records = is_word(text, size, "records");
        return true;
    }
    if (!reader->in_records)
        return true;
    if (depth == 1) {
        reader->has_records = true;
        return kind == LSI_JSON_ARRAY_OPEN || kind == LSI_JSON_ARRAY_CLOSE
                   ? true : refuse(reader, LSI_TRANSFORM_MALFORMED, "records of the response: an array is expected");
    }
    if (depth == 2 && kind == LSI_JSON_OBJECT_OPEN)
        return begin_record(reader);
    if (depth == 2 && kind == LSI_JSON_OBJECT_CLOSE)
        return end_record(reader);
    if (depth == 2)
        return refuse(reader, LSI_TRANSFORM_MALFORMED, "record %u of the response: an object is expected",
                      reader->record_count + 1);
    if (depth == 3 && kind == LSI_JSON_KEY) {
        reader->in = member_of(text, size);
        return true;
    }
    if (depth == 3)
        return on_member(reader, kind, text, size);
    return reader->in == MEMBER_METADATA || reader->in == MEMBER_KEYS ? on_metadata(reader, kind, text, size, depth)
                                                                      : true;
}

/* ---- all of it ---- */

static bool make_ready(lsi_transform_reader *reader, const lsi_transform_batch *batch)
{
    void *outcomes = reader->outcomes, *transformed = reader->transformed;

    if (!grow(reader, &outcomes, &reader->outcome_capacity, batch->count + 1u, sizeof *reader->outcomes))
        return false;
    reader->outcomes = outcomes;
    if (!grow(reader, &transformed, &reader->transformed_capacity, batch->count + 1u, sizeof *reader->transformed))
        return false;
    reader->transformed = transformed;
    memset(reader->outcomes, 0, batch->count * sizeof *reader->outcomes);
    reader->batch = batch;
    reader->kept_size = reader->key_count = 0;
    reader->in_records = reader->has_records = false;
    reader->record_count = 0;
    reader->in = MEMBER_OTHER;
    reader->code = NULL;
    return keep_room(reader, 0) != NULL; /* So that there is something to point at. */
}

/* T1, what is missing. */
static void check_all_there(lsi_transform_reader *reader)
{
    char id[LSI_RECORD_ID_BYTES];

    if (!reader->has_records)
        (void)refuse(reader, LSI_TRANSFORM_MALFORMED, "the response has no records");
    for (uint32_t i = 0; reader->code == NULL && i < reader->batch->count; i++)
        if (!reader->outcomes[i].is_there) {
            lsi_record_id_format(&reader->batch->records[i], i, id);
            (void)refuse(reader, LSI_TRANSFORM_MISSING, "recordId '%s' is not in the response", id);
        }
}

static ls_bytes bytes_at(const lsi_transform_reader *reader, place at)
{
    return (ls_bytes){reader->kept + at.at, at.size};
}

/* Places become pointers: nothing grows from here on. */
static bool finish(lsi_transform_reader *reader)
{
    void *keys = reader->keys;

    if (!grow(reader, &keys, &reader->keys_capacity, reader->key_count + 1, sizeof *reader->keys))
        return false;
    reader->keys = keys;
    for (size_t i = 0; i < reader->key_count; i++)
        reader->keys[i] = (lsi_partition_key){bytes_at(reader, reader->key_places[i].name),
                                              bytes_at(reader, reader->key_places[i].value)};
    for (uint32_t i = 0; i < reader->batch->count; i++) {
        const outcome *from = &reader->outcomes[i];
        bool is_ok = from->result == LSI_TRANSFORM_OK;

        reader->transformed[i] = (lsi_transformed){
            .result = from->result,
            .data = is_ok ? bytes_at(reader, from->data) : (ls_bytes){NULL, 0},
            .keys = is_ok ? reader->keys + from->keys_at : NULL,
            .key_count = is_ok ? (uint32_t)from->key_count : 0,
        };
    }
    return true;
}

static ls_status no_memory(void)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what a transform answered");
}

ls_status lsi_transform_response_read(lsi_transform_reader *reader, ls_bytes text, const lsi_transform_batch *batch,
                                      const lsi_transformed **out, const char **code, const char **message)
{
    lsi_error_state before;
    ls_status st = LS_OK;

    if (!make_ready(reader, batch))
        return no_memory();
    lsi_error_save(&before);
    if (text.size > LSI_TRANSFORM_DOCUMENT_MAX)
        (void)refuse(reader, LSI_TRANSFORM_TOO_LARGE, "the response has more than %u bytes",
                     LSI_TRANSFORM_DOCUMENT_MAX);
    else
        st = lsi_json_read(reader->json, text.data, text.size, on_token, reader);
    if (reader->is_short)
        return no_memory();
    if (st == LS_ERR_INVALID_ARGUMENT) {
        (void)refuse(reader, LSI_TRANSFORM_MALFORMED, "the response is no JSON: %.400s", ls_last_error_message());
        lsi_error_restore(&before); /* A bad answer is the transform's failure, not the caller's. */
        st = LS_OK;
    }
    if (st != LS_OK)
        return st;
    if (reader->code == NULL)
        check_all_there(reader);
    if (reader->code == NULL && !finish(reader))
        return no_memory();
    *code = reader->code;
    *message = reader->code != NULL ? reader->message : NULL;
    *out = reader->code != NULL ? NULL : reader->transformed;
    return LS_OK;
}
