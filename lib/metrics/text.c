/* Prometheus text, format 0.0.4: a buffer that is handed on whenever it is full. Numbers are written without the
 * locale; of a whole number all digits. */
#include "metrics/inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/status.h"

#define PIECE_BYTES 4096u

typedef struct lsi_text {
    ls_metrics_writer write;
    void *user;
    size_t used;
    bool is_cancelled;
    char bytes[PIECE_BYTES];
} lsi_text;

static void hand_on(lsi_text *to)
{
    if (to->used > 0 && !to->is_cancelled) {
        (void)lsi_error_end(LS_OK); /* The callback's own calls set what is the last error then. */
        to->is_cancelled = to->write(to->bytes, to->used, to->user) != LS_OK;
        lsi_error_begin();
    }
    to->used = 0;
}

static void put_byte(lsi_text *to, char byte)
{
    if (to->used == PIECE_BYTES)
        hand_on(to);
    to->bytes[to->used++] = byte;
}

static void put(lsi_text *to, const char *text)
{
    for (; *text != '\0'; text++)
        put_byte(to, *text);
}

/* In a HELP line quotation marks stand for themselves. */
static void put_escaped(lsi_text *to, const char *text, bool with_quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || (with_quotes && *text == '"'))
            put_byte(to, '\\');
        if (*text == '\n')
            put(to, "\\n");
        else
            put_byte(to, *text);
    }
}

static void put_count(lsi_text *to, uint64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, n); /* at most 20 digits */
    put(to, text);
}

static void put_number(lsi_text *to, double n)
{
    char text[LSI_NUMBER_BYTES];

    if (isnan(n)) {
        put(to, "NaN");
    } else if (isinf(n)) {
        put(to, n > 0 ? "+Inf" : "-Inf");
    } else if (n >= -9007199254740992.0 && n <= 9007199254740992.0 && n == (double)(int64_t)n) { /* 2^53: no exponent */
        (void)snprintf(text, sizeof(text), "%" PRId64, (int64_t)n);
        put(to, text);
    } else {
        lsi_number_write(n, text);
        put(to, text);
    }
}

static void put_head(lsi_text *to, const lsi_family *family)
{
    static const char *const types[] = {"", "counter", "gauge", "histogram"};

    put(to, "# HELP ");
    put(to, family->name);
    put_byte(to, ' ');
    put_escaped(to, family->help, false);
    put(to, "\n# TYPE ");
    put(to, family->name);
    put_byte(to, ' ');
    put(to, types[family->type]);
    put_byte(to, '\n');
}

/* Name and labels; an empty value is no label. `bound`: of a bucket, or NULL. */
static void put_series(lsi_text *to, const lsi_sample *sample, const char *suffix, const double *bound)
{
    char before = '{';

    put(to, sample->family->name);
    put(to, suffix);
    for (uint32_t i = 0; i < sample->label_count; i++) {
        if (sample->labels[i].value[0] == '\0')
            continue;
        put_byte(to, before);
        put(to, sample->labels[i].name);
        put(to, "=\"");
        put_escaped(to, sample->labels[i].value, true);
        put_byte(to, '"');
        before = ',';
    }
    if (bound != NULL) {
        put_byte(to, before);
        put(to, "le=\"");
        put_number(to, *bound);
        put_byte(to, '"');
        before = ',';
    }
    put(to, before == ',' ? "} " : " ");
}

static void put_histogram(lsi_text *to, const lsi_sample *sample)
{
    for (uint32_t i = 0; i <= sample->family->bound_count; i++) {
        double bound = i < sample->family->bound_count ? sample->family->bounds[i] : (double)INFINITY;

        put_series(to, sample, "_bucket", &bound);
        put_count(to, sample->buckets[i]);
        put_byte(to, '\n');
    }
    put_series(to, sample, "_sum", NULL);
    put_number(to, sample->sum);
    put_byte(to, '\n');
    put_series(to, sample, "_count", NULL);
    put_count(to, sample->count);
    put_byte(to, '\n');
}

ls_status lsi_snapshot_write_text(const lsi_snapshot *snapshot, ls_metrics_writer write, void *user)
{
    lsi_text to = {.write = write, .user = user};
    const lsi_family *family = NULL;

    for (size_t i = 0; i < lsi_snapshot_count(snapshot) && !to.is_cancelled; i++) {
        const lsi_sample *sample = lsi_snapshot_at(snapshot, i);

        if (sample->family != family)
            put_head(&to, sample->family);
        family = sample->family;
        if (family->type == LS_METRIC_HISTOGRAM) {
            put_histogram(&to, sample);
            continue;
        }
        put_series(&to, sample, "", NULL);
        if (family->type == LS_METRIC_COUNTER)
            put_count(&to, sample->count);
        else
            put_number(&to, sample->value);
        put_byte(&to, '\n');
    }
    hand_on(&to);
    return to.is_cancelled ? lsi_fail(LS_ERR_CANCELLED, "the callback ended the writing of metrics") : LS_OK;
}
