/* The generator of accidents. */
#include "accident_rows.h"

#include <inttypes.h>

static const struct { const char *city, *county, *state; } places[] = {
    {"Dayton", "Montgomery", "OH"}, {"Columbus", "Franklin", "OH"}, {"Cincinnati", "Hamilton", "OH"},
    {"Cleveland", "Cuyahoga", "OH"}, {"Sacramento", "Sacramento", "CA"}, {"Oakland", "Alameda", "CA"},
    {"San Jose", "Santa Clara", "CA"}, {"San Bruno", "San Mateo", "CA"}, {"Burnsville", "Braxton", "WV"},
    {"Angola", "Steuben", "IN"},
};

static void make_row(made_up *rows, uint64_t row)
{
    uint64_t odds = made_up_draw(rows, 1000), place = made_up_draw(rows, sizeof(places) / sizeof(places[0]));
    uint64_t day = made_up_draw(rows, 28) + 1, month = made_up_draw(rows, 12) + 1, hour = made_up_draw(rows, 24);
    uint64_t minute = made_up_draw(rows, 60), degrees = made_up_draw(rows, 100), street = made_up_draw(rows, 90);
    const char *truth = made_up_draw(rows, 2) == 0 ? "FALSE" : "TRUE";
    int severity = odds < 1 ? 1 : odds < 600 ? 2 : odds < 999 ? 3 : 4;

    made_up_say(rows, "A-%" PRIu64 ",%d,%" PRIu64 "/%" PRIu64 "/2016 %" PRIu64 ":%02" PRIu64, row + 1, severity, month,
                day, hour, minute);
    made_up_say(rows, ",%" PRIu64 "/%" PRIu64 "/2016 23:59,39.86%02" PRIu64 ",-84.0%" PRIu64 ",0.01,", month, day,
                street, degrees);
    made_up_say(rows, "\"Right lane blocked due to accident, at \"\"Exit %" PRIu64 "\"\".\",", street);
    made_up_say(rows, "I-%" PRIu64 " E,", street);
    made_up_say(rows, "%s,%s,%s,", places[place].city, places[place].county, places[place].state);
    if (made_up_draw(rows, 200) > 0)  /* One in 200 has no time of the weather. */
        made_up_say(rows, "%" PRIu64 "/%" PRIu64 "/2016 %" PRIu64 ":00", month, day, hour);
    made_up_say(rows, ",%" PRIu64 ".9,%s,FALSE,Night\r\n", degrees, truth);
}

void accident_rows_begin(made_up *rows, uint64_t seed, uint64_t count)
{
    made_up_begin(rows, seed, count, "ID,Severity,Start_Time,End_Time,Start_Lat,Start_Lng,Distance(mi),Description,"
                  "Street,City,County,State,Weather_Timestamp,Temperature(F),Junction,Stop,Sunrise_Sunset\r\n",
                  make_row);
}
