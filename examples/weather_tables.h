/* The tables of the weather pipeline: Precipitation and Temperature, in one file, by station and date. A value that an
 * observation lacks is absent in its item; an observation without any value of a table is no item of it. */
#ifndef EXAMPLES_WEATHER_TABLES_H
#define EXAMPLES_WEATHER_TABLES_H

#include "flat_json.h"
#include "table.h"

#include <libstream/libstream.h>

#define WEATHER_VALUES 4
extern const char *const weather_values[]; /* PRCP, SNOW, TMIN, TMAX: the first two are the first table's. */

typedef struct weather_sink {
    table_file *file;
    keyed_table *precipitation, *temperature;
    const char *key;             /* the member of a record that is the partition key */
    uint64_t replaced, changed;  /* puts that met an item; that met another one. Under the file's lock. */
} weather_sink;

/* `key` is NAME or STATION. 0, or -1: said. The caller closes `sink->file`, also after a failure. */
int weather_sink_open(weather_sink *sink, const char *path, const char *key);

/* An observation as its record has it, the values as they stand in the JSON. Zero at first; kept between records. */
typedef struct weather_observation {
    const weather_sink *sink;
    char key[1100], date[64], units[64];
    flat_json rain, warmth;
} weather_observation;

void weather_observation_free(weather_observation *seen);

/* One record into both tables, within a step of the file. What is no observation, since somebody else put it, is passed
 * over. 0, or -1: tables_error says why. */
int weather_put(weather_sink *sink, const ls_record *record, weather_observation *seen, flat_json *scratch);

/* The handler: a batch is one step of the tables, done before it answers. `user` is the weather_sink. */
ls_handler_answer weather_handle(const ls_batch *batch, ls_handler_context *context, void *user);

bool weather_name_is(const char *name, size_t size, const char *wanted);

#endif
