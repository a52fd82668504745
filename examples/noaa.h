/* The daily observations of NOAA's service Climate Data Online (version 2), over HTTP: what a day has for a place, page
 * by page, one record for each station, of the rows (station, date, datatype, value) that the service gives. */
#ifndef EXAMPLES_NOAA_H
#define EXAMPLES_NOAA_H

#include <libstream/types.h>

#include <stdbool.h>

#define NOAA_URL "https://www.ncei.noaa.gov/cdo-web/api/v2"
#define NOAA_DAY_BYTES 16

typedef struct noaa noaa;

bool noaa_is_day(const char *text);                          /* A day of the calendar as YYYY-MM-DD. */
void noaa_day_after(const char *day, char out[NOAA_DAY_BYTES]); /* `out` may be `day`. */

/* Asks for the names of the place's stations. NULL: failed, and said. `units` is standard or metric. */
noaa *noaa_open(const char *url, const char *token, const char *location, const char *units);
void noaa_close(noaa *service); /* NULL is accepted. */

/* Asks for a day, all pages of it. 0, or -1: said. */
int noaa_ask(noaa *service, const char *day);

/* The next station of the day that was asked for: the record as JSON, and its key, the station's name or its id. 1; 0:
 * that was all; -1: failed, and said. Views until the next call. */
int noaa_next(noaa *service, bool key_is_name, ls_bytes *key, ls_bytes *json);

#endif
