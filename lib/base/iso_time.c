/* Days to dates by the calendar's cycle: 400 years of 146,097 days, counted from a 1st of March, so that the day that
 * leap years add is a year's last. The C library's functions ask for a locale or a time zone, or allocate. */
#include "base/iso_time.h"

#include <inttypes.h>
#include <stdio.h>

#define DAY_MS INT64_C(86400000)
#define CYCLE_DAYS INT64_C(146097)
#define DAYS_TO_1970 INT64_C(719468) /* from the 1st of March of the year 0 */

static int64_t floor_divide(int64_t n, int64_t by)
{
    return n / by - (n % by < 0);
}

typedef struct date {
    int64_t year;
    int month, day;
} date;

static date date_of(int64_t days_since_1970)
{
    int64_t days = days_since_1970 + DAYS_TO_1970;
    int64_t cycle = floor_divide(days, CYCLE_DAYS);
    int64_t of_cycle = days - cycle * CYCLE_DAYS;                                               /* 0..146096 */
    int64_t year = (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;   /* 0..399 */
    int64_t of_year = of_cycle - (365 * year + year / 4 - year / 100);                          /* 0..365 */
    int64_t month = (5 * of_year + 2) / 153; /* 0..11 from March: 153 days are five of them */

    return (date){
        .year = cycle * 400 + year + (month >= 10),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(of_year - (153 * month + 2) / 5 + 1),
    };
}

/* Prints everything but the fraction and the Z; gives the milliseconds. */
static int print(int64_t us, char text[LSI_ISO_TIME_BYTES], size_t *used)
{
    int64_t ms = floor_divide(us, 1000);
    int64_t days = floor_divide(ms, DAY_MS);
    int of_day = (int)(ms - days * DAY_MS);
    date on = date_of(days);
    const char *sign = on.year < 0 ? "-" : on.year > 9999 ? "+" : "";

    *used = (size_t)snprintf(text, LSI_ISO_TIME_BYTES, "%s%04" PRId64 "-%02d-%02dT%02d:%02d:%02d", sign,
                             on.year < 0 ? -on.year : on.year, on.month, on.day, of_day / 3600000,
                             of_day / 60000 % 60, of_day / 1000 % 60);
    return of_day % 1000;
}

void lsi_iso_time(int64_t us, char text[LSI_ISO_TIME_BYTES])
{
    size_t used;

    (void)print(us, text, &used);
    (void)snprintf(text + used, LSI_ISO_TIME_BYTES - used, "Z");
}

void lsi_iso_time_ms(int64_t us, char text[LSI_ISO_TIME_BYTES])
{
    size_t used;
    int ms = print(us, text, &used);

    (void)snprintf(text + used, LSI_ISO_TIME_BYTES - used, ".%03dZ", ms);
}
