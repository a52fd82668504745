/* Rows of accidents as JSON. */
#include "accident_json.h"
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { TEXT, NUMBER, TRUTH, TIME };

static const struct { const char *name; enum kind kind; } known[] = {
    {"Severity", NUMBER}, {"TMC", NUMBER}, {"Start_Lat", NUMBER}, {"Start_Lng", NUMBER}, {"End_Lat", NUMBER},
    {"End_Lng", NUMBER}, {"Distance(mi)", NUMBER}, {"Number", NUMBER}, {"Temperature(F)", NUMBER},
    {"Wind_Chill(F)", NUMBER}, {"Humidity(%)", NUMBER}, {"Pressure(in)", NUMBER}, {"Visibility(mi)", NUMBER},
    {"Wind_Speed(mph)", NUMBER}, {"Precipitation(in)", NUMBER}, {"Start_Time", TIME}, {"End_Time", TIME},
    {"Weather_Timestamp", TIME}, {"Amenity", TRUTH}, {"Bump", TRUTH}, {"Crossing", TRUTH}, {"Give_Way", TRUTH},
    {"Junction", TRUTH}, {"No_Exit", TRUTH}, {"Railway", TRUTH}, {"Roundabout", TRUTH}, {"Station", TRUTH},
    {"Stop", TRUTH}, {"Traffic_Calming", TRUTH}, {"Traffic_Signal", TRUTH}, {"Turning_Loop", TRUTH},
};

int accident_layout_make(accident_layout *layout, const csv_columns *table)
{
    size_t at;

    memset(layout, 0, sizeof(*layout));
    layout->second = -1;
    if (columns_find(table, "ID", &at) != 0 || columns_find(table, "Severity", &layout->severity_at) != 0)
        return -1;
    layout->kinds = calloc(table->count, 1);
    layout->names = calloc(table->count, sizeof(*layout->names));
    layout->count = layout->names == NULL ? 0 : table->count;
    for (size_t i = 0; i < layout->count; i++) {
        flat_json_text(&layout->names[i], ",", 1);
        flat_json_quoted(&layout->names[i], table->names[i], strlen(table->names[i]));
        flat_json_text(&layout->names[i], ":", 1);
        if (layout->names[i].failed)
            return pipeline_fail("no memory");
    }
    if (layout->kinds == NULL || layout->names == NULL)
        return pipeline_fail("no memory");
    for (size_t i = 0; i < table->count; i++)
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (strcmp(table->names[i], known[k].name) == 0)
                layout->kinds[i] = (unsigned char)known[k].kind;
    return 0;
}

void accident_layout_free(accident_layout *layout)
{
    for (size_t i = 0; i < layout->count; i++)
        flat_json_free(&layout->names[i]);
    free(layout->names);
    free(layout->kinds);
    memset(layout, 0, sizeof(*layout));
}

bool accident_is_severity(const char *text, size_t size)
{
    return size == 1 && text[0] >= '0' && text[0] < '0' + ACCIDENT_SEVERITIES;
}

/* Up to `digits_max` digits, at least one; what stands there is passed. */
static bool take_number(const char **at, const char *end, int digits_max, int *out)
{
    const char *from = *at;

    for (*out = 0; *at < end && **at >= '0' && **at <= '9' && *at - from < digits_max; ++*at)
        *out = *out * 10 + (**at - '0');
    return *at > from;
}

static bool take(const char **at, const char *end, char wanted)
{
    if (*at == end || **at != wanted)
        return false;
    ++*at;
    return true;
}

static void two_digits(char *to, int number)
{
    to[0] = (char)('0' + number / 10 % 10);
    to[1] = (char)('0' + number % 10);
}

static void write_time(char iso[32], int year, int month, int day, int hour, int minute, int second)
{
    memcpy(iso, "0000-00-00T00:00:00", 20);
    two_digits(iso, year / 100);
    two_digits(iso + 2, year % 100);
    two_digits(iso + 5, month);
    two_digits(iso + 8, day);
    two_digits(iso + 11, hour);
    two_digits(iso + 14, minute);
    two_digits(iso + 17, second);
}

/* Days since the epoch: of the years from 1 on, March first, so that the leap day is a year's last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t years = month > 2 ? year : year - 1;
    int64_t in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return years * 365 + years / 4 - years / 100 + years / 400 + in_year - 719468;
}

int32_t accident_time_ms(const char *iso, int64_t *time_ms)
{
    static const char form[] = "0000-00-00T00:00:00";
    int64_t fraction = 0;
    int parts[6] = {0};

    for (size_t i = 0, part = 0; form[i] != 0; i++) {
        if (form[i] != '0') {
            part++;
            if (iso[i] != form[i])
                return 0;
        } else if (iso[i] < '0' || iso[i] > '9') {
            return 0;
        } else {
            parts[part] = parts[part] * 10 + (iso[i] - '0');
        }
    }
    if (iso[19] == '.')
        for (size_t i = 20; i < 23 && iso[i] >= '0' && iso[i] <= '9'; i++)
            fraction += (iso[i] - '0') * (i == 20 ? 100 : i == 21 ? 10 : 1);
    *time_ms = ((days_of(parts[0], parts[1], parts[2]) * 24 + parts[3]) * 60 + parts[4]) * 60000 + parts[5] * 1000 +
               fraction;
    return 1;
}

bool accident_time(const char *text, size_t size, char iso[32])
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = text, *end = text + size;
    int year, month, day, hour, minute, second = 0, first;

    if (!take_number(&at, end, 4, &first))
        return false;
    if (take(&at, end, '-')) {
        year = first;
        if (!take_number(&at, end, 2, &month) || !take(&at, end, '-') || !take_number(&at, end, 2, &day))
            return false;
    } else {
        month = first;
        if (!take(&at, end, '/') || !take_number(&at, end, 2, &day) || !take(&at, end, '/') ||
            !take_number(&at, end, 4, &year))
            return false;
    }
    if (!(take(&at, end, ' ') || take(&at, end, 'T')) || !take_number(&at, end, 2, &hour) || !take(&at, end, ':') ||
        !take_number(&at, end, 2, &minute))
        return false;
    if (take(&at, end, ':') && !take_number(&at, end, 2, &second))
        return false;
    if (take(&at, end, '.'))
        while (at < end && *at >= '0' && *at <= '9')
            at++;  /* A fraction says nothing of an accident. */
    if (at != end || month < 1 || month > 12 || day < 1 || day > days[month - 1] || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    write_time(iso, year, month, day, hour, minute, second);
    return true;
}

/* Microseconds since the epoch as 2016-02-08T00:37:57.450051; without a fraction when it is 0. */
static void write_now(accident_layout *layout, int64_t us, char iso[32])
{
    time_t seconds = (time_t)(us / 1000000);
    int fraction = (int)(us % 1000000);
    struct tm date;

    if (layout->second != seconds) {
        (void)gmtime_r(&seconds, &date);
        write_time(layout->second_iso, date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min,
                   date.tm_sec);
        layout->second = seconds;
    }
    memcpy(iso, layout->second_iso, 20);
    if (fraction == 0)
        return;
    iso[19] = '.';
    two_digits(iso + 20, fraction / 10000);
    two_digits(iso + 22, fraction / 100 % 100);
    two_digits(iso + 24, fraction % 100);
    iso[26] = 0;
}

static bool is_word(const csv_cell *cell, const char *lower)
{
    size_t i = 0;

    while (i < cell->size && lower[i] != 0 && (cell->text[i] | 0x20) == lower[i])
        i++;
    return i == cell->size && lower[i] == 0;
}

void accident_as_json(accident_layout *layout, const csv_cell *cells, int64_t now_us, flat_json *json)
{
    char iso[32];

    flat_json_begin(json);
    write_now(layout, now_us, iso);
    flat_json_member(json, "Txn_Timestamp", 13, iso, strlen(iso));
    for (size_t i = 0; i < layout->count; i++) {
        const csv_cell *cell = &cells[i];

        if (cell->size == 0)
            continue;
        flat_json_text(json, layout->names[i].text, layout->names[i].size);
        if (layout->kinds[i] == NUMBER && json_is_number(cell->text, cell->size))
            flat_json_text(json, cell->text, cell->size);
        else if (layout->kinds[i] == TRUTH && is_word(cell, "true"))
            flat_json_text(json, "true", 4);
        else if (layout->kinds[i] == TRUTH && is_word(cell, "false"))
            flat_json_text(json, "false", 5);
        else if (layout->kinds[i] == TIME && accident_time(cell->text, cell->size, iso))
            flat_json_quoted(json, iso, strlen(iso));
        else
            flat_json_quoted(json, cell->text, cell->size);
    }
    flat_json_end(json);
}
