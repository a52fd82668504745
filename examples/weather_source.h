/* Rows of NOAA's daily observations into a stream: of files, made up, or asked of NOAA's service day by day; as one
 * JSON object each, and each once, however often who does it is killed. A row that is none of the table is refused. */
#ifndef EXAMPLES_WEATHER_SOURCE_H
#define EXAMPLES_WEATHER_SOURCE_H

#include "feed.h"

typedef struct weather_source {
    const char *key, *units;                  /* the column that becomes the partition key; what each record says */
    uint64_t rate, batch;
    const char *token, *url, *location;       /* of the service; without a token: */
    const char *from, *to;                    /* the days it is asked for */
    char **files;
    int file_count;
    uint64_t rows, seed;                      /* of made-up ones, without files */

    row_feed *feed;                           /* while it puts */
    pipeline_pace pace;
    uint64_t read, refused, records;          /* of these sources, also what earlier runs did of them */
    uint64_t told;                            /* refused rows of this run */
    uint64_t noted;                           /* records of all sources that there ever were */
} weather_source;

/* All of them, unless a signal comes. 0, or -1: said. */
int weather_source_put(weather_source *put, ls_store *store, ls_stream *stream, const char *stream_name);

#endif
