/* `--from`: the five positions as words. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool parse_seqno(const char *text, ls_seqno *out)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Exactly `digits` digits. */
static bool take_digits(const char **text, int digits, int *out)
{
    *out = 0;
    for (; digits > 0; digits--, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        *out = *out * 10 + (**text - '0');
    }
    return true;
}

static bool take(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

/* Up to six digits behind a point, as microseconds; more are cut. */
static bool take_fraction(const char **text, int64_t *us)
{
    int64_t unit = 100000;

    *us = 0;
    if (!take(text, '.') && !take(text, ','))
        return true;
    if (!isdigit((unsigned char)**text))
        return false;
    for (; isdigit((unsigned char)**text); (*text)++, unit /= 10)
        *us += unit * (**text - '0');
    return true;
}

static bool is_leap(int year)
{
    return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
}

/* 2026-11-20, 2026-11-20T11:42, 2026-11-20T11:42:18.5+01:00; without a zone: UTC. */
static bool parse_iso8601(const char *text, int64_t *us)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm parts = {0};
    int64_t fraction = 0, zone = 0;
    int year, hours, minutes;

    if (!take_digits(&text, 4, &year) || !take(&text, '-') || !take_digits(&text, 2, &parts.tm_mon) ||
        !take(&text, '-') || !take_digits(&text, 2, &parts.tm_mday))
        return false;
    if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 ||
        parts.tm_mday > days[parts.tm_mon - 1] + (parts.tm_mon == 2 && is_leap(year)))
        return false;
    parts.tm_mon--;
    parts.tm_year = year - 1900;
    if (*text != '\0') {
        if ((!take(&text, 'T') && !take(&text, 't') && !take(&text, ' ')) || !take_digits(&text, 2, &parts.tm_hour) ||
            !take(&text, ':') || !take_digits(&text, 2, &parts.tm_min))
            return false;
        if (take(&text, ':') && (!take_digits(&text, 2, &parts.tm_sec) || !take_fraction(&text, &fraction)))
            return false;
        if (parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60)
            return false;
        if (*text == '+' || *text == '-') {
            int sign = *text++ == '+' ? 1 : -1;

            if (!take_digits(&text, 2, &hours))
                return false;
            (void)take(&text, ':');
            if (!take_digits(&text, 2, &minutes) || hours > 23 || minutes > 59)
                return false;
            zone = sign * (hours * 3600 + minutes * 60);
        } else if (!take(&text, 'Z')) {
            (void)take(&text, 'z');
        }
        if (*text != '\0')
            return false;
    }
    *us = ((int64_t)timegm(&parts) - zone) * 1000000 + fraction;
    return true;
}

bool lsi_parse_time(const char *text, int64_t *us)
{
    const char *at = text;
    int64_t seconds = 0, fraction;

    if (parse_iso8601(text, us))
        return true;
    if (!isdigit((unsigned char)*at))
        return false;
    for (; isdigit((unsigned char)*at); at++) {
        if (seconds > 999999999999) /* 12 digits: beyond the year 30000 */
            return false;
        seconds = seconds * 10 + (*at - '0');
    }
    if (!take_fraction(&at, &fraction) || *at != '\0')
        return false;
    *us = seconds * 1000000 + fraction;
    return true;
}

bool lsi_parse_position(const char *text, ls_position *out)
{
    memset(out, 0, sizeof *out);
    if (strcmp(text, "trim-horizon") == 0 || strcmp(text, "TRIM_HORIZON") == 0) { /* Kinesis's spelling, too. */
        out->kind = LS_TRIM_HORIZON;
        return true;
    }
    if (strcmp(text, "latest") == 0 || strcmp(text, "LATEST") == 0) {
        out->kind = LS_LATEST;
        return true;
    }
    if (strncmp(text, "at:", 3) == 0) {
        out->kind = LS_AT_SEQUENCE_NUMBER;
        return parse_seqno(text + 3, &out->seqno);
    }
    if (strncmp(text, "after:", 6) == 0) {
        out->kind = LS_AFTER_SEQUENCE_NUMBER;
        return parse_seqno(text + 6, &out->seqno);
    }
    if (strncmp(text, "time:", 5) == 0) {
        out->kind = LS_AT_TIMESTAMP;
        return lsi_parse_time(text + 5, &out->timestamp_us);
    }
    return false;
}

int lsi_need_one_shard(const lsi_call *call, ls_stream *stream, const ls_position *position, bool *one)
{
    ls_stream_description *description;
    uint32_t count;

    if (*one || (position->kind != LS_AT_SEQUENCE_NUMBER && position->kind != LS_AFTER_SEQUENCE_NUMBER))
        return LSI_EXIT_OK;
    if (ls_stream_describe(stream, &description) != LS_OK)
        return lsi_failed(call, ls_last_error_status());
    count = ls_stream_description_shard_count(description);
    ls_stream_description_free(description);
    *one = count == 1; /* Then it is clear which. */
    return *one ? LSI_EXIT_OK
                : lsi_usage(call, "stream '%s' has %" PRIu32 " shards, and numbers belong to a shard: say --shard N",
                            call->arguments[0], count);
}
