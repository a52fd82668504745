/* Made-up accidents: a table with columns, forms and odds of "US Accidents" (2019): times as 2/8/2016 5:46, quoted
 * descriptions with commas, some empty times, severities 1 to 4 of which 2 and 3 are nearly all. */
#ifndef EXAMPLES_ACCIDENT_ROWS_H
#define EXAMPLES_ACCIDENT_ROWS_H

#include "made_up.h"

#define ACCIDENT_ROWS_DEFAULT 5000u

void accident_rows_begin(made_up *rows, uint64_t seed, uint64_t count);

#endif
