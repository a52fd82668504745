/* The C library's depends on the locale, and the core has no clocks and calendars but base's. */
#include "deliver/strftime.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/iso_time.h"

#define FIELD_BYTES 48 /* the longest: a date with a year of any size */

static const char conversions[] = "YymdeHIMSpjabuwsFTZ%";

const char *lsi_strftime_check(const char *format, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        if (format[at] != '%')
            continue;
        if (++at == size || memchr(conversions, format[at], sizeof conversions - 1) == NULL)
            return "strftime has %Y %y %m %d %e %H %I %M %S %p %j %a %b %u %w %s %F %T %Z and %% only";
    }
    return NULL;
}

static int print_field(char conversion, int64_t seconds, char text[FIELD_BYTES])
{
    lsi_civil when = lsi_civil_of(seconds * 1000000);
    int hour = when.hour % 12 == 0 ? 12 : when.hour % 12;

    switch (conversion) {
    case 'Y': return snprintf(text, FIELD_BYTES, "%" PRId64, when.year);
    case 'y': return snprintf(text, FIELD_BYTES, "%02d", (int)((when.year % 100 + 100) % 100));
    case 'm': return snprintf(text, FIELD_BYTES, "%02d", when.month);
    case 'd': return snprintf(text, FIELD_BYTES, "%02d", when.day);
    case 'e': return snprintf(text, FIELD_BYTES, "%2d", when.day);
    case 'H': return snprintf(text, FIELD_BYTES, "%02d", when.hour);
    case 'I': return snprintf(text, FIELD_BYTES, "%02d", hour);
    case 'M': return snprintf(text, FIELD_BYTES, "%02d", when.minute);
    case 'S': return snprintf(text, FIELD_BYTES, "%02d", when.second);
    case 'p': return snprintf(text, FIELD_BYTES, "%s", when.hour < 12 ? "AM" : "PM");
    case 'j': return snprintf(text, FIELD_BYTES, "%03d", when.day_of_year);
    case 'a': return snprintf(text, FIELD_BYTES, "%s", lsi_weekday_name(when.weekday));
    case 'b': return snprintf(text, FIELD_BYTES, "%s", lsi_month_name(when.month));
    case 'u': return snprintf(text, FIELD_BYTES, "%d", when.weekday == 0 ? 7 : when.weekday);
    case 'w': return snprintf(text, FIELD_BYTES, "%d", when.weekday);
    case 's': return snprintf(text, FIELD_BYTES, "%" PRId64, seconds);
    case 'F': return snprintf(text, FIELD_BYTES, "%" PRId64 "-%02d-%02d", when.year, when.month, when.day);
    case 'T': return snprintf(text, FIELD_BYTES, "%02d:%02d:%02d", when.hour, when.minute, when.second);
    case 'Z': return snprintf(text, FIELD_BYTES, "UTC");
    default: return snprintf(text, FIELD_BYTES, "%%");
    }
}

size_t lsi_strftime_write(const char *format, size_t size, int64_t seconds, char *out, size_t room)
{
    size_t used = 0;

    for (size_t at = 0; at < size; at++) {
        char text[FIELD_BYTES] = {format[at]};
        size_t bytes = 1;

        if (format[at] == '%')
            bytes = (size_t)print_field(format[++at], seconds, text);
        if (used < room)
            memcpy(out + used, text, bytes < room - used ? bytes : room - used);
        used += bytes;
    }
    return used;
}
