/* Times as JSON documents of the services write them: ISO 8601, UTC. */
#ifndef LSI_BASE_ISO_TIME_H
#define LSI_BASE_ISO_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LSI_ISO_TIME_BYTES 40

/* 2020-12-09T07:04:00Z, or with milliseconds, rounded down: 2019-11-14T00:38:06.021Z. Any time; years beyond four
 * digits have more, with a sign. */
void lsi_iso_time(int64_t us, char text[LSI_ISO_TIME_BYTES]);
void lsi_iso_time_ms(int64_t us, char text[LSI_ISO_TIME_BYTES]);

/* A time as a calendar and a clock on the wall show it, UTC. */
typedef struct lsi_civil {
    int64_t year; /* astronomical: 0 is 1 BC */
    int month, day, day_of_year, weekday; /* from 1; Sunday is 0 */
    int hour, minute, second, us;
} lsi_civil;
lsi_civil lsi_civil_of(int64_t us);

/* Sun, Mon, ...; Jan, Feb, ... of a month from 1. Constants. */
const char *lsi_weekday_name(int weekday);
const char *lsi_month_name(int month);

/* 2020-12-09, or with a time behind a T or a space: 07:04, 07:04:00, 07:04:00.123456; and behind that a zone: Z,
 * +02:00, +0200 or +02, without one UTC. The other way round, to milliseconds, rounded down. False: the text is none,
 * or no such day or time of day is. */
bool lsi_iso_time_read(const char *text, size_t size, int64_t *ms);

#endif
