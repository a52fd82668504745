/* What tests of metrics share: a store's text as a strict reader has it, and the sum of a name over all of its
 * series. */
#ifndef LST_METRICS_SUPPORT_H
#define LST_METRICS_SUPPORT_H

#include "api/support.h"
#include "support/exposition.h"

typedef struct gathered {
    char *text; /* terminated; NULL: there is none */
    size_t size, pieces;
    size_t pieces_max; /* 0: any number */
} gathered;

static inline ls_status gather(const char *bytes, size_t size, void *user)
{
    gathered *to = user;

    if (to->pieces_max != 0 && to->pieces == to->pieces_max)
        return LS_ERR_STATE;
    to->text = realloc(to->text, to->size + size + 1);
    memcpy(to->text + to->size, bytes, size);
    to->size += size;
    to->text[to->size] = '\0';
    to->pieces++;
    return LS_OK;
}

/* The caller's: free it. */
static inline char *text_of(ls_store *store)
{
    gathered to = {0};

    assert_int_equal(ls_metrics_write_text(store, gather, &to), LS_OK);
    return to.text;
}

static inline exposition *parse(const char *text)
{
    char why[EXPOSITION_WHY_BYTES];
    exposition *read = exposition_read(text, strlen(text), why);

    if (read == NULL)
        fail_msg("%s in\n%s", why, text);
    return read;
}

static inline exposition *exposition_of(ls_store *store)
{
    char *text = text_of(store);
    exposition *read = parse(text);

    free(text);
    return read;
}

/* `name` is libstream's, or CloudWatch's and then in its unit; of a duration, how many there were. -1: nothing has that
 * name. */
static inline double sum_of_metric(ls_store *store, const char *name)
{
    bool is_own = strncmp(name, "libstream_", 10) == 0;
    ls_metrics_snapshot *snapshot = NULL;
    double sum = -1;

    assert_int_equal(ls_metrics_snapshot_take(store, &snapshot), LS_OK);
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;
        const char *named;

        assert_int_equal(ls_metrics_snapshot_at(snapshot, i, &sample), LS_OK);
        named = is_own ? sample.name : sample.cloudwatch_name;
        if (named == NULL || strcmp(named, name) != 0)
            continue;
        sum = sum < 0 ? 0 : sum;
        sum += sample.type == LS_METRIC_HISTOGRAM ? (double)sample.count
                                                  : sample.value * (is_own ? 1 : sample.cloudwatch_scale);
    }
    ls_metrics_snapshot_free(snapshot);
    return sum;
}

#endif
