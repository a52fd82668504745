/* A transform that does what a record's data says, and what it has written of errors, for tests of deliveries. */
#ifndef LST_DELIVERY_ACTING_H
#define LST_DELIVERY_ACTING_H

#include "api/delivery_support.h"

typedef struct acting {
    ls_transform_answer answer; /* of the first `bad` calls, else DONE */
    uint32_t bad;
    uint32_t calls, attempts_seen;
    size_t most;    /* records in a call */
    bool backwards; /* answers the last record first */
} acting;

/* "keep..." is kept, "drop..." dropped, "fail..." fails with the data as reason, "badly" without one, "UP..." is
 * replaced by two lines, "nothing" is not answered, "key=V,..." gets the key `k`, "twice" is said twice. */
static inline void act_on(ls_transform *batch, size_t index)
{
    const ls_record *record = ls_transform_at(batch, index);
    char data[64] = "";

    assert_true(record->data.size < sizeof data);
    memcpy(data, record->data.data, record->data.size);
    if (strncmp(data, "drop", 4) == 0) {
        assert_int_equal(ls_transform_drop(batch, index), LS_OK);
    } else if (strncmp(data, "fail", 4) == 0) {
        assert_int_equal(ls_transform_fail(batch, index, data), LS_OK);
    } else if (strncmp(data, "badly", 5) == 0) {
        assert_int_equal(ls_transform_fail(batch, index, NULL), LS_OK);
    } else if (strncmp(data, "UP", 2) == 0) {
        assert_int_equal(ls_transform_replace(batch, index, text("one\ntwo")), LS_OK);
    } else if (strncmp(data, "empty", 5) == 0) {
        assert_int_equal(ls_transform_replace(batch, index, (ls_bytes){NULL, 0}), LS_OK);
    } else if (strncmp(data, "key=", 4) == 0) {
        assert_int_equal(ls_transform_set_key(batch, index, "k", text("to be replaced")), LS_OK);
        assert_int_equal(ls_transform_set_key(batch, index, "other", text("x")), LS_OK);
        assert_int_equal(ls_transform_set_key(batch, index, "k", (ls_bytes){data + 4, strcspn(data + 4, ",")}), LS_OK);
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
    } else if (strncmp(data, "twice", 5) == 0) {
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
        assert_int_equal(ls_transform_drop(batch, index), LS_ERR_STATE);
    } else if (strncmp(data, "nothing", 7) != 0) {
        assert_int_equal(ls_transform_keep(batch, index), LS_OK);
    }
}

static inline ls_transform_answer act(ls_transform *batch, void *user)
{
    acting *of = user;
    size_t count = ls_transform_count(batch);

    of->calls++;
    if (ls_transform_attempts(batch) > of->attempts_seen)
        of->attempts_seen = ls_transform_attempts(batch);
    if (count > of->most)
        of->most = count;
    assert_null(ls_transform_at(batch, count));
    assert_int_equal(ls_transform_keep(batch, count), LS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < count; i++)
        act_on(batch, of->backwards ? count - 1 - i : i);
    if (of->calls <= of->bad)
        return of->answer;
    return LS_TRANSFORM_DONE;
}

static inline void run_acting(ls_stream *stream, taker *to, acting *how)
{
    ls_delivery_run_options run = into(to);

    run.transform = act;
    run.transform_user = how;
    assert_int_equal(run_with(stream, &run), LS_OK);
}

/* Whether line `index` of the error output has that member, as JSON. */
static inline bool line_has(const taken *errors, size_t index, const char *member)
{
    char *copy = strdup(errors->bytes), *rest = copy, *line = NULL;
    bool has;

    for (size_t i = 0; i <= index; i++)
        line = strsep(&rest, "\n");
    has = line != NULL && line[0] == '{' && line[strlen(line) - 1] == '}' && strstr(line, member) != NULL;
    free(copy);
    return has;
}

/* ---- partitions ---- */

static inline void partition_options(ls_delivery_options *options, const char *const *keys, const char *const *queries)
{
    options->flags |= LS_DELIVERY_PARTITION;
    options->prefix = "c=!{partitionKeyFromQuery:c}/";
    options->error_prefix = "bad/!{firehose:error-output-type}/";
    options->partition_keys = keys;
    options->partition_queries = queries;
    options->partition_key_count = 1;
}

static const char *const the_keys[] = {"c"};
static const char *const the_queries[] = {".customer.id"};

static inline const taken *begins_with(const taker *of, const char *prefix)
{
    for (uint32_t i = 0; i < of->count; i++)
        if (strncmp(of->all[i].name, prefix, strlen(prefix)) == 0)
            return &of->all[i];
    return NULL;
}

#endif
