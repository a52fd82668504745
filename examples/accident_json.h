/* A row of the table "US Accidents", whatever its layout (that of 2019, 2020 or 2023), as JSON: every column under its
 * name, times as ISO 8601, numbers and truths as such; before them `Txn_Timestamp`, the time of sending with
 * microseconds, in UTC. Empty cells are left out. */
#ifndef EXAMPLES_ACCIDENT_JSON_H
#define EXAMPLES_ACCIDENT_JSON_H

#include "columns.h"
#include "flat_json.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCIDENT_SEVERITIES 10 /* 0 to 9; the table has 1 to 4. */

typedef struct accident_layout {
    unsigned char *kinds;  /* of each column */
    flat_json *names;      /* of each column, as it stands before the value: ,"Severity": */
    size_t count, severity_at;
    int64_t second;        /* of the row before; its time is not written anew for each row */
    char second_iso[32];
} accident_layout;

/* 0, or -1: said. Release with accident_layout_free. */
int accident_layout_make(accident_layout *layout, const csv_columns *table);
void accident_layout_free(accident_layout *layout);

/* Whether that is a severity: one digit, and nothing besides. */
bool accident_is_severity(const char *text, size_t size);

/* Sets `json` to the row, which has a cell for each column. `now_us`: microseconds since the epoch. */
void accident_as_json(accident_layout *layout, const csv_cell *cells, int64_t now_us, flat_json *json);

/* Month, day, year with or without zeros in front, as in 2/8/2016 0:37; or year, month, day; as 2016-02-08T00:37:00.
 * False: it is no such time. */
bool accident_time(const char *text, size_t size, char iso[32]);

/* 2016-02-08T00:37:57, perhaps with a fraction, as milliseconds since the epoch: 1. 0: it is no such time. */
int32_t accident_time_ms(const char *iso, int64_t *time_ms);

#endif
