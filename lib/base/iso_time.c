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

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t from_march = month >= 3 ? month - 3 : month + 9;
    int64_t of_cycle, cycle;

    year -= month < 3;
    cycle = floor_divide(year, 400);
    of_cycle = year - cycle * 400;
    return cycle * CYCLE_DAYS + 365 * of_cycle + of_cycle / 4 - of_cycle / 100 + (153 * from_march + 2) / 5 + day - 1 -
           DAYS_TO_1970;
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

/* ---- in parts ---- */

lsi_civil lsi_civil_of(int64_t us)
{
    int64_t days = floor_divide(us, DAY_MS * 1000);
    int64_t of_day = us - days * DAY_MS * 1000;
    int seconds = (int)(of_day / 1000000);
    date on = date_of(days);

    return (lsi_civil){
        .year = on.year,
        .month = on.month,
        .day = on.day,
        .day_of_year = (int)(days - days_of(on.year, 1, 1)) + 1,
        .weekday = (int)((days % 7 + 11) % 7), /* The 1st of January 1970 was a Thursday. */
        .hour = seconds / 3600,
        .minute = seconds / 60 % 60,
        .second = seconds % 60,
        .us = (int)(of_day % 1000000),
    };
}

const char *lsi_weekday_name(int weekday)
{
    static const char names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

    return names[weekday];
}

const char *lsi_month_name(int month)
{
    static const char names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

    return names[month - 1];
}

/* ---- reading ---- */

typedef struct reading {
    const char *at, *end;
} reading;

/* Exactly so many digits. */
static bool take_digits(reading *from, int count, int64_t *out)
{
    *out = 0;
    for (; count > 0; count--, from->at++) {
        if (from->at == from->end || *from->at < '0' || *from->at > '9')
            return false;
        *out = *out * 10 + (*from->at - '0');
    }
    return true;
}

static bool take_mark(reading *from, char mark)
{
    if (from->at == from->end || *from->at != mark)
        return false;
    from->at++;
    return true;
}

/* A point or comma and digits, of which three count. */
static bool take_fraction(reading *from, int64_t *ms)
{
    int64_t unit = 100;

    *ms = 0;
    if (!take_mark(from, '.') && !take_mark(from, ','))
        return true;
    if (from->at == from->end || *from->at < '0' || *from->at > '9')
        return false;
    for (; from->at < from->end && *from->at >= '0' && *from->at <= '9'; from->at++, unit /= 10)
        *ms += unit * (*from->at - '0');
    return true;
}

static bool take_zone(reading *from, int64_t *minutes)
{
    int64_t hours, rest = 0;
    bool is_west;

    *minutes = 0;
    if (from->at == from->end || take_mark(from, 'Z') || take_mark(from, 'z'))
        return true;
    is_west = take_mark(from, '-');
    if (!is_west && !take_mark(from, '+'))
        return false;
    if (!take_digits(from, 2, &hours))
        return false;
    if (from->at < from->end) {
        (void)take_mark(from, ':'); /* It may be left out. */
        if (!take_digits(from, 2, &rest))
            return false;
    }
    *minutes = (hours * 60 + rest) * (is_west ? -1 : 1);
    return hours <= 23 && rest <= 59;
}

bool lsi_iso_time_read(const char *text, size_t size, int64_t *ms)
{
    reading from = {text, text + size};
    int64_t year, month, day, hour = 0, minute = 0, second = 0, fraction = 0, zone = 0, days;
    date back;

    if (!take_digits(&from, 4, &year) || !take_mark(&from, '-') || !take_digits(&from, 2, &month) ||
        !take_mark(&from, '-') || !take_digits(&from, 2, &day) || month < 1 || month > 12)
        return false;
    days = days_of(year, month, day);
    back = date_of(days);
    if (back.month != month || back.day != day)
        return false; /* the 31st of a short month */
    if (from.at < from.end) {
        if (!take_mark(&from, 'T') && !take_mark(&from, 't') && !take_mark(&from, ' '))
            return false;
        if (!take_digits(&from, 2, &hour) || !take_mark(&from, ':') || !take_digits(&from, 2, &minute))
            return false;
        if (take_mark(&from, ':') && (!take_digits(&from, 2, &second) || !take_fraction(&from, &fraction)))
            return false;
        if (!take_zone(&from, &zone))
            return false;
    }
    if (from.at != from.end || hour > 23 || minute > 59 || second > 59)
        return false;
    *ms = days * DAY_MS + ((hour * 60 + minute - zone) * 60 + second) * 1000 + fraction;
    return true;
}
