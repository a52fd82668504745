/* What the tests of filters share: a record, and tables of patterns that match data or do not. */
#ifndef LST_FILTER_SUPPORT_H
#define LST_FILTER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "consume/consume.h"
#include "stream/stream.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REASON "Event pattern is not valid. Reason: "

static const lsi_filter_names names = {"arn:aws:kinesis:us-east-2:123456789012:stream/s",
    "arn:aws:iam::123456789012:role/r", "us-east-2"};

static inline ls_record record_of(const char *data)
{
    return (ls_record){
        .partition_key = {"key-1", 5},
        .data = {data, strlen(data)},
        .seqno = 1,
        .arrival_us = INT64_C(1700000005987654),
        .shard = 17,
    };
}

/* Whether one of the patterns matches; fails the test when it cannot be said. */
static inline bool any_matches(const char *const *patterns, size_t count, const char *data)
{
    ls_record record = record_of(data);
    lsi_filter *filter;
    bool found = false;

    if (lsi_filter_open(&lsi_memory_libc, patterns, count, &names, &filter) != LS_OK)
        fail_msg("%s: %s", patterns[0], ls_last_error_message());
    if (lsi_filter_matches(filter, &record, INT64_C(1700000000000000), &found) != LS_OK)
        fail_msg("%s against %s: %s", patterns[0], data, ls_last_error_message());
    lsi_filter_close(filter);
    return found;
}

/* The pattern is of a whole event. */
static inline bool meta_matches(const char *pattern, const char *data)
{
    return any_matches(&pattern, 1, data);
}

typedef struct row {
    const char *pattern; /* of the data */
    const char *data;
    bool matches;
} row;

static inline void check(const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[4096];
        const char *pattern = text;

        snprintf(text, sizeof text, "{\"data\":%s}", rows[i].pattern);
        if (any_matches(&pattern, 1, rows[i].data) != rows[i].matches)
            fail_msg("%s must %smatch %s", rows[i].data, rows[i].matches ? "" : "not ", rows[i].pattern);
    }
}
#define CHECK(rows) check(rows, COUNT(rows))

#endif
