/* Time, key and number of a record.
 *
 * Fields are found while the data is parsed, all in one pass that builds nothing (json_field.h). The parse goes on to
 * the end, since of equal names the last counts, and since data that ends badly is not JSON. */
#include "consume/window/element.h"

#include <math.h>
#include <string.h>

#include "base/iso_time.h"
#include "base/number.h"
#include "base/status.h"

#define MS_BOUND 4611686018427387904.0 /* 2^62: beyond it a time is none */
#define ROUNDING_MS 0.0005             /* what a double of seconds may be off in our time */

/* ---- fields ---- */

ls_status lsi_window_finder_init(lsi_window_finder *finder, const lsi_memory *memory, const ls_window_options *options)
{
    ls_status st;

    *finder = (lsi_window_finder){.memory = *memory, .options = options};
    if (options->time_field == NULL && options->key_field == NULL && options->value_field == NULL)
        return LS_OK;
    st = lsi_json_reader_open(memory, LSI_JSON_KEYS_MAY_REPEAT, &finder->json);
    if (st == LS_OK)
        st = lsi_json_field_init(memory, &finder->fields[LSI_FIELD_TIME], options->time_field);
    if (st == LS_OK)
        st = lsi_json_field_init(memory, &finder->fields[LSI_FIELD_KEY], options->key_field);
    if (st == LS_OK)
        st = lsi_json_field_init(memory, &finder->fields[LSI_FIELD_VALUE], options->value_field);
    if (st != LS_OK)
        lsi_window_finder_free(finder);
    return st;
}

void lsi_window_finder_free(lsi_window_finder *finder)
{
    for (int i = 0; i < LSI_FIELDS; i++)
        lsi_json_field_free(&finder->memory, &finder->fields[i]);
    lsi_json_reader_close(finder->json);
    lsi_free(&finder->memory, finder->key);
    *finder = (lsi_window_finder){.memory = finder->memory};
}

/* ---- their values ---- */

static bool take_time(const lsi_window_finder *finder, lsi_json_kind kind, const char *text, size_t size, int64_t *ms)
{
    double number;

    if (kind == LSI_JSON_STRING)
        return lsi_iso_time_read(text, size, ms);
    if (kind != LSI_JSON_NUMBER)
        return false;
    (void)lsi_number_read(text, size, &number); /* That it is not kept whole is no harm. */
    if ((finder->options->flags & LS_WINDOW_TIME_SECONDS) != 0)
        number = number * 1000 + ROUNDING_MS;
    if (!(fabs(number) < MS_BOUND))
        return false;
    *ms = (int64_t)number; /* towards zero */
    *ms -= (double)*ms > number;
    return true;
}

static void take_key(lsi_window_finder *finder, lsi_json_kind kind, const char *text, size_t size)
{
    void *key = finder->key;

    finder->key_size = 0;
    if (kind == LSI_JSON_NULL || kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN || size == 0)
        return;
    if (size > LS_WINDOW_KEY_BYTES_MAX)
        size = LS_WINDOW_KEY_BYTES_MAX + 1; /* It is too long, and no more need be known. */
    finder->is_short = !lsi_grow(&finder->memory, &key, &finder->key_capacity, size, 1);
    if (finder->is_short)
        return;
    finder->key = key;
    memcpy(finder->key, text, size);
    finder->key_size = size;
}

static void take_value(lsi_window_finder *finder, int field, lsi_json_kind kind, const char *text, size_t size)
{
    lsi_window_element *out = finder->out;

    if (field == LSI_FIELD_TIME) {
        finder->has_time = take_time(finder, kind, text, size, &out->time_ms);
    } else if (field == LSI_FIELD_KEY) {
        take_key(finder, kind, text, size);
    } else {
        out->has_value = kind == LSI_JSON_NUMBER;
        if (out->has_value)
            (void)lsi_number_read(text, size, &out->value);
    }
}

static bool take_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    lsi_window_finder *finder = user;

    for (int i = 0; i < LSI_FIELDS && !finder->is_short; i++)
        if (lsi_json_field_is(&finder->fields[i], kind, text, size, depth))
            take_value(finder, i, kind, text, size);
    return !finder->is_short;
}

/* ---- a record ---- */

/* False: the data is no JSON. */
static ls_status read_fields(lsi_window_finder *finder, const ls_record *record, bool *is_json)
{
    ls_status st;

    finder->has_time = finder->is_short = false;
    finder->key_size = 0;
    for (int i = 0; i < LSI_FIELDS; i++)
        lsi_json_field_begin(&finder->fields[i]);
    st = lsi_json_read(finder->json, record->data.data, record->data.size, take_token, finder);
    if (finder->is_short)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the key of a record");
    *is_json = st == LS_OK;
    return st == LS_ERR_INVALID_ARGUMENT ? LS_OK : st;
}

static int64_t arrival_ms(const ls_record *record)
{
    return record->arrival_us / 1000 - (record->arrival_us % 1000 < 0);
}

ls_status lsi_window_find(lsi_window_finder *finder, const ls_record *record, lsi_window_element *out)
{
    const ls_window_options *options = finder->options;
    bool is_json = true;
    ls_status st = LS_OK;

    *out = (lsi_window_element){.record = record, .key = record->partition_key};
    finder->out = out;
    if (finder->json != NULL)
        st = read_fields(finder, record, &is_json);
    if (st != LS_OK || !is_json)
        return st;
    if (finder->fields[LSI_FIELD_KEY].part_count != 0)
        out->key = (ls_bytes){finder->key, finder->key_size};
    out->has_time = true;
    if (finder->fields[LSI_FIELD_TIME].part_count != 0)
        out->has_time = finder->has_time;
    else if (options->time_of == NULL)
        out->time_ms = arrival_ms(record);
    (void)lsi_error_end(LS_OK);
    if (options->time_of != NULL)
        out->has_time = options->time_of(record, &out->time_ms, options->user) != 0;
    if (out->has_time && options->key_of != NULL && options->key_of(record, &out->key, options->user) == 0)
        out->key = (ls_bytes){NULL, 0};
    if (out->has_time && options->value_of != NULL)
        out->has_value = options->value_of(record, &out->value, options->user) != 0;
    lsi_error_begin();
    if ((options->flags & LS_WINDOW_ONE_KEY) != 0)
        out->key = (ls_bytes){NULL, 0};
    out->has_value = out->has_value && !isnan(out->value);
    return LS_OK;
}
