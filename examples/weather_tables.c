/* Records of weather into the two tables, and the handler that does so batch by batch. */
#include "weather_tables.h"
#include "pipeline.h"

#include <string.h>

const char *const weather_values[] = {"PRCP", "SNOW", "TMIN", "TMAX"};

int weather_sink_open(weather_sink *sink, const char *path, const char *key)
{
    memset(sink, 0, sizeof(*sink));
    sink->key = strcmp(key, "NAME") == 0 ? "name" : "station";
    sink->file = tables_open(path);
    if (sink->file == NULL)
        return pipeline_fail("cannot open the tables %s: %s", path, tables_error(NULL));
    sink->precipitation = tables_table(sink->file, "Precipitation");
    sink->temperature = tables_table(sink->file, "Temperature");
    if (sink->precipitation == NULL || sink->temperature == NULL)
        return pipeline_fail("cannot make a table in %s: %s", path, tables_error(sink->file));
    return 0;
}

bool weather_name_is(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

static void keep_text(char *to, size_t capacity, const char *value, size_t size)
{
    if (size < capacity) {
        memcpy(to, value, size);
        to[size] = 0;
    }
}

static bool see_member(void *user, const char *name, size_t name_size, json_kind kind, const char *value, size_t size)
{
    weather_observation *seen = user;

    if (kind == JSON_STRING && weather_name_is(name, name_size, seen->sink->key))
        keep_text(seen->key, sizeof(seen->key), value, size);
    else if (kind == JSON_STRING && weather_name_is(name, name_size, "date"))
        keep_text(seen->date, sizeof(seen->date), value, size);
    else if (kind == JSON_STRING && weather_name_is(name, name_size, "units"))
        keep_text(seen->units, sizeof(seen->units), value, size);
    for (size_t i = 0; i < WEATHER_VALUES; i++)
        if (kind != JSON_NULL && weather_name_is(name, name_size, weather_values[i])) {
            flat_json *item = i < 2 ? &seen->rain : &seen->warmth;

            if (kind == JSON_STRING)
                flat_json_member(item, weather_values[i], strlen(weather_values[i]), value, size);
            else
                flat_json_plain(item, weather_values[i], value, size);
        }
    return true;
}

static int put_item(weather_sink *sink, keyed_table *table, const weather_observation *seen, flat_json *item)
{
    table_text key = {seen->key, strlen(seen->key)}, date = {seen->date, strlen(seen->date)};
    int became;

    if (item->size <= 1)
        return 0;  /* The row has none of this table's values. */
    flat_json_member(item, "units", 5, seen->units, strlen(seen->units));
    flat_json_end(item);
    became = table_put(table, key, date, (table_text){item->text, item->size});
    sink->replaced += became == TABLE_REPLACED_SAME || became == TABLE_REPLACED_OTHER;
    sink->changed += became == TABLE_REPLACED_OTHER;
    return became == TABLE_FAILED ? -1 : 0;
}

int weather_put(weather_sink *sink, const ls_record *record, weather_observation *seen, flat_json *scratch)
{
    seen->sink = sink;
    seen->key[0] = seen->date[0] = seen->units[0] = 0;
    flat_json_begin(&seen->rain);
    flat_json_begin(&seen->warmth);
    if (!json_members(record->data.data, record->data.size, false, scratch, see_member, seen) || seen->key[0] == 0 ||
        seen->date[0] == 0)
        return 0;
    return put_item(sink, sink->precipitation, seen, &seen->rain) == 0 &&
           put_item(sink, sink->temperature, seen, &seen->warmth) == 0 ? 0 : -1;
}

void weather_observation_free(weather_observation *seen)
{
    flat_json_free(&seen->rain);
    flat_json_free(&seen->warmth);
}

ls_handler_answer weather_handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    weather_sink *sink = user;
    weather_observation seen = {0};
    flat_json scratch = {0};
    int result = tables_begin(sink->file);

    (void)context;
    if (result == 0) {
        for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++)
            result = weather_put(sink, ls_batch_at(batch, i), &seen, &scratch);
        if (result == 0)
            result = tables_commit(sink->file);
        else
            tables_undo(sink->file);
    }
    if (result != 0)
        (void)pipeline_fail("the tables: %s", tables_error(sink->file));
    weather_observation_free(&seen);
    flat_json_free(&scratch);
    return result == 0 ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
}
