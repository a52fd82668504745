/* Made-up weather: a table of NOAA's daily form (STATION, NAME, DATE, PRCP, SNOW, TMAX, TMIN), `stations` rows a day
 * from 2021-10-01 on, the month of the seed. Rain gauges have no temperatures, and some cells are empty. */
#ifndef EXAMPLES_WEATHER_ROWS_H
#define EXAMPLES_WEATHER_ROWS_H

#include "made_up.h"

#define WEATHER_STATIONS 40u
#define WEATHER_ROWS_DEFAULT (31u * WEATHER_STATIONS)

void weather_rows_begin(made_up *rows, uint64_t seed, uint64_t count);

#endif
