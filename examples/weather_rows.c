/* The generator of weather. */
#include "weather_rows.h"

#include <time.h>

static const char *const towns[] = {"BELTSVILLE", "BRIGHTON DAM", "CLARKSBURG", "DAMASCUS", "GERMANTOWN", "LAUREL",
    "OLNEY", "POTOMAC", "ROCKVILLE", "TAKOMA PARK"};

static void add_tenths(made_up *rows, int tenths)
{
    made_up_say(rows, ",\"%s%d.%d\"", tenths < 0 ? "-" : "", (tenths < 0 ? -tenths : tenths) / 10,
                (tenths < 0 ? -tenths : tenths) % 10);
}

static void make_row(made_up *rows, uint64_t row)
{
    unsigned station = (unsigned)(row % WEATHER_STATIONS), town = station % 10;
    time_t day = (time_t)(1633046400 + row / WEATHER_STATIONS % 100000 * 86400); /* 2021-10-01 */
    uint64_t wet = made_up_draw(rows, 4), inches = made_up_draw(rows, 250), snow = made_up_draw(rows, 20);
    int noon = (int)made_up_draw(rows, 500) + 300, fall = (int)made_up_draw(rows, 300);
    struct tm date;

    (void)gmtime_r(&day, &date);
    made_up_say(rows, "\"US1MDMG%04u\",\"%s", station + 1, towns[town]);
    if (station >= 10)
        made_up_say(rows, " %u.%u NE", station / 10, town);
    made_up_say(rows, ", MD US\",\"%04d-%02d-%02d\"", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
    if (wet != 0)
        inches = 0;
    made_up_say(rows, ",\"%d.%02d\"%s", (int)(inches / 100), (int)(inches % 100), snow == 0 ? "," : ",\"0.0\"");
    if (station % 4 == 0) {
        add_tenths(rows, noon);
        add_tenths(rows, noon - fall);
        made_up_say(rows, "\n");
    } else {
        made_up_say(rows, ",,\n");
    }
}

void weather_rows_begin(made_up *rows, uint64_t seed, uint64_t count)
{
    made_up_begin(rows, seed, count, "\"STATION\",\"NAME\",\"DATE\",\"PRCP\",\"SNOW\",\"TMAX\",\"TMIN\"\n", make_row);
}
