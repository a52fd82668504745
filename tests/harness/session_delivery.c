/* A stream's delivery to a directory of the same disk: its objects are looked at past the sim's counts and faults, as
 * somebody would who only reads there. See session.h.
 *
 * Objects hold records that can be told from any other, so each says which puts it has: it is whole if it is nothing
 * but records. What the transform says of a record follows from its put's number, so that it says so again. */
#include "harness/session_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/base64.h"
#include "base/hash.h"
#include "support/sim_inside.h"

#define DELIVERY "d"
#define FOUND_MAX 1024u
#define DELIMITER "\n"
#define FAILOVER_MS 500u /* Who could not give its leases back is outlasted. */
#define RUN_US INT64_C(3000000) /* A run that has not ended by then, as the session's clock has it, is stopped. */
#define RETRIES_MS 250u

/* ---- settings ---- */

static ls_delivery_options settings_of(const session *of, uint32_t stream, char directory[64])
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;

    (void)snprintf(directory, 64, "sim/" SESSION_OBJECTS "%u", stream);
    options.directory = directory;
    options.buffer_bytes = 700;
    options.delimiter = DELIMITER;
    options.prefix = "data/";
    if (of->truth->streams[stream].delivers != TRUTH_SORTED)
        return options;
    options.flags = LS_DELIVERY_TRANSFORM | LS_DELIVERY_PARTITION | LS_DELIVERY_BACKUP;
    options.prefix = "data/!{partitionKeyFromLambda:part}-";
    options.error_prefix = TRUTH_ERRORS_PREFIX "!{firehose:error-output-type}/!{timestamp:yyyy}-";
    options.backup_prefix = "source/!{timestamp:yyyy}-";
    options.transform_records_max = 3;
    return options;
}

static ls_status make_delivery(session *of, uint32_t stream)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    char directory[64];
    ls_delivery_options options = settings_of(of, stream, directory);
    ls_status st = session_answered(of, ls_delivery_create(of->streams[stream], DELIVERY, &horizon, &options));

    if (st == LS_ERR_INVALID_ARGUMENT)
        session_complain(of, "a delivery refuses settings: %s", ls_last_error_message());
    if (st == LS_OK)
        of->truth->streams[stream].delivery_at = session_here(of);
    (void)session_look(of);
    return st;
}

ls_status session_delivery(session *of, uint32_t stream, uint32_t how)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    of->truth->streams[stream].delivers = how;
    return make_delivery(of, stream);
}

ls_status session_redirect(session *of, uint32_t stream)
{
    char directory[64];
    ls_delivery_options options = settings_of(of, stream, directory);
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    options.buffer_bytes = 1500;
    options.prefix = "data/!{timestamp:yyyy}/other-";
    options.error_prefix = TRUTH_ERRORS_PREFIX "!{firehose:error-output-type}/";
    st = session_answered(of, ls_delivery_update(of->streams[stream], DELIVERY, LS_DELIVERY_ANY_VERSION, &options));
    if (st == LS_ERR_INVALID_ARGUMENT)
        session_complain(of, "a delivery refuses settings: %s", ls_last_error_message());
    (void)session_look(of);
    return st;
}

#define MOVED "m" /* behind the name of the directory */

ls_status session_move(session *of, uint32_t stream, bool back)
{
    char directory[64];
    ls_delivery_options options = settings_of(of, stream, directory);
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    of->truth->streams[stream].moves = true;
    if (!back) {
        (void)strcat(directory, MOVED);
        options.flags |= LS_DELIVERY_TRANSFORM;
        options.transform_records_max = 2;
        options.buffer_bytes = 1100;
        options.interval_ms = LS_DELIVERY_AT_ONCE;
    }
    st = session_answered(of, ls_delivery_update(of->streams[stream], DELIVERY, LS_DELIVERY_ANY_VERSION, &options));
    if (st == LS_ERR_INVALID_ARGUMENT)
        session_complain(of, "a delivery refuses settings: %s", ls_last_error_message());
    (void)session_look(of);
    return st;
}

/* ---- looking at objects ---- */

typedef struct looking {
    session *of;
    uint32_t stream;
    bool is_durable; /* the run that made them said so */
    object_fact found[FOUND_MAX];
    size_t count;
} looking;

/* Which puts an object of records has, each followed by `behind`. */
static bool take_records(looking *from, const unsigned char *bytes, size_t size, const char *behind, uint32_t *puts,
                         size_t *count)
{
    const truth *all = from->of->truth;
    size_t behind_size = strlen(behind);

    for (size_t at = 0; at < size && *count < FOUND_MAX;) {
        uint32_t put = truth_begins(all, bytes + at, size - at);
        size_t end = put == 0 ? 0 : at + all->puts[put - 1].data_bytes;

        if (put == 0 || size - end < behind_size || memcmp(bytes + end, behind, behind_size) != 0)
            return false;
        puts[(*count)++] = put;
        at = end + behind_size;
    }
    return true;
}

/* The same of lines of the error output. */
static bool take_lines(looking *from, const unsigned char *bytes, size_t size, uint32_t *puts, size_t *count)
{
    static const char key[] = "\"rawData\":\"";

    for (size_t at = 0; at < size && *count < FOUND_MAX;) {
        const unsigned char *end = memchr(bytes + at, '\n', size - at), *raw, *quote;
        unsigned char *data;
        size_t data_size = 0;

        raw = end == NULL ? NULL : memmem(bytes + at, (size_t)(end - bytes) - at, key, sizeof(key) - 1);
        if (raw == NULL || bytes[at] != '{' || end[-1] != '}')
            return false;
        raw += sizeof(key) - 1;
        quote = memchr(raw, '"', (size_t)(end - raw));
        if (quote == NULL)
            return false;
        data = sim_must(malloc(lsi_base64_room((size_t)(quote - raw)) + 1));
        puts[*count] = !lsi_base64_decode((const char *)raw, (size_t)(quote - raw), data, &data_size)
                           ? 0 : truth_begins(from->of->truth, data, data_size);
        free(data);
        if (puts[*count] == 0 || from->of->truth->puts[puts[*count] - 1].data_bytes != data_size)
            return false;
        ++*count;
        at = (size_t)(end - bytes) + 1;
    }
    return true;
}

static void take_object(looking *from, const char *name, const unsigned char *bytes, size_t size)
{
    static uint32_t puts[FOUND_MAX];
    session *of = from->of;
    uint32_t kind = name[0] == 'd' ? TRUTH_DATA : name[0] == 'e' ? TRUTH_ERRORS : TRUTH_SOURCE;
    object_fact *found = &from->found[from->count];
    const char *behind = kind == TRUTH_DATA ? DELIMITER : ""; /* The backup is the source as it is. */
    size_t count = 0;
    bool is_whole = kind == TRUTH_ERRORS ? take_lines(from, bytes, size, puts, &count)
                                         : take_records(from, bytes, size, behind, puts, &count);
    char what[256];

    for (size_t i = 0; i < from->count; i++)
        if (strcmp(from->found[i].name, name) == 0) { /* Begun before it moved, and delivered to both places. */
            if (from->found[i].content != lsi_sum64(bytes, size, 0))
                session_complain(of, "K2: object '%s' is another one in another directory", name);
            return;
        }
    if (!is_whole || count == 0) {
        session_complain(of, "K1: object '%s', %zu bytes, is not whole: %zu records", name, size, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        put_fact *put = &of->truth->puts[puts[i] - 1];

        if (put->stream != from->stream ||
            (i > 0 && (puts[i] <= puts[i - 1] || put->shard != of->truth->puts[puts[i - 1] - 1].shard)))
            session_complain(of, "O1: object '%s' has put %u behind put %u, of another shard or stream", name, puts[i],
                             i > 0 ? puts[i - 1] : 0);
        put->in[kind]++;
    }
    if (++from->count == FOUND_MAX)
        abort();
    (void)snprintf(found->name, sizeof(found->name), "%s", name);
    found->content = lsi_sum64(bytes, size, 0);
    if (!truth_object(of->truth, from->stream, name, found->content, from->is_durable, session_here(of), what))
        session_complain(of, "stream '%s': %s", of->truth->streams[from->stream].name, what);
}

static bool is_found(void *user, const object_fact *fact)
{
    const looking *in = user;

    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->found[i].name, fact->name) == 0)
            return in->found[i].content == fact->content;
    return false;
}

static void look_into(looking *now, const char *moved, bool ended)
{
    session *of = now->of;
    sim_files *sim = of->sim;
    char path[LSI_FILE_NAME_BYTES_MAX], root[32];
    size_t root_size = (size_t)snprintf(root, sizeof(root), SESSION_OBJECTS "%u%s/", now->stream, moved);

    for (size_t i = 0; i < sim->name_count; i++) {
        const thing *file = &sim->things[sim->names[i].file];
        unsigned char *bytes;
        size_t size;

        sim_path_of(sim, sim->names[i].file, path, sizeof(path));
        if (file->is_dir || strncmp(path, root, root_size) != 0)
            continue;
        if (path[root_size] == '.') { /* W3, but for what was left where it went before */
            if (ended && !of->truth->streams[now->stream].moves)
                session_complain(of, "W3: '%s' is left of an object that nobody makes any more", path);
            continue;
        }
        size = sim_file_size(file);
        bytes = sim_must(malloc(size + 1));
        if (file->keep.files->read(&file->keep, bytes, size, 0) != (int64_t)size)
            abort();
        take_object(now, path + root_size, bytes, size);
        free(bytes);
    }
}

/* All that stands there; `ended`: a run has ended well, so there are no halves. */
static void look_at_objects(looking *now, bool ended)
{
    session *of = now->of;

    for (size_t i = 0; i < of->truth->put_count; i++)
        if (of->truth->puts[i].stream == now->stream)
            memset(of->truth->puts[i].in, 0, sizeof(of->truth->puts[i].in));
    look_into(now, "", ended);
    if (of->truth->streams[now->stream].moves)
        look_into(now, MOVED, ended);
}

static void check_objects(session *of, uint32_t stream, size_t at, bool power, bool ended)
{
    looking *now = sim_must(calloc(1, sizeof(*now)));
    char what[256];

    now->of = of;
    now->stream = stream;
    now->is_durable = ended;
    look_at_objects(now, ended);
    if (!truth_check_objects(of->truth, stream, is_found, now, at, power, what))
        session_complain(of, "stream '%s': %s", of->truth->streams[stream].name, what);
    free(now);
}

void session_check_objects(session *of, uint32_t stream, size_t at, bool power)
{
    if (of->truth->streams[stream].delivers != TRUTH_NOT_DELIVERED)
        check_objects(of, stream, at, power, false);
}

/* ---- running ---- */

/* Which it is follows from its number, whenever it is asked. */
static ls_transform_answer sort_records(ls_transform *batch, void *user)
{
    session *of = user;

    for (size_t i = 0; i < ls_transform_count(batch); i++) {
        uint32_t put = truth_identify(of->truth, ls_transform_at(batch, i));
        ls_status st = LS_ERR_NO_MEMORY;

        if (put == 0) {
            session_complain(of, "a transform is given a record that was never put");
            return LS_TRANSFORM_STOP;
        }
        switch (truth_goes_to(of->truth, put)) {
        case TRUTH_DATA:
            st = ls_transform_set_key(batch, i, "part", put % 2 == 0 ? (ls_bytes){"even", 4} : (ls_bytes){"odd", 3});
            if (st == LS_OK)
                st = ls_transform_keep(batch, i);
            break;
        case TRUTH_ERRORS:
            st = ls_transform_fail(batch, i, "as its number says");
            break;
        default:
            st = ls_transform_drop(batch, i);
            break;
        }
        if (st != LS_OK)
            return LS_TRANSFORM_RETRY;
    }
    return LS_TRANSFORM_DONE;
}

/* What the stream has acknowledged is where the delivery sends it, and stays: the run said so. */
static void all_delivered(session *of, uint32_t stream, size_t begun)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->stream == stream && put->acked_at < begun && put->gone_at == NEVER && !put->is_unknown &&
            put->delivered_at == NEVER)
            put->delivered_at = session_here(of);
    }
}

/* Nobody else is there who could wake us: the time passes at once. */
static lsi_sleep_result sleep_by_clock(lsi_engine_stream *stream, uint32_t shard, uint32_t token, int64_t timeout_us)
{
    session *of = stream->engine->env.clock.user;

    (void)shard;
    (void)token;
    (void)atomic_fetch_add_explicit(&of->now_us, timeout_us, memory_order_relaxed);
    return LSI_SLEPT_OUT;
}

/* `*is_done`: it was not stopped because it took too long. */
static ls_status run(session *of, ls_delivery *delivery, bool has_transform, bool *is_done)
{
    static lsi_engine_ops sleeping; /* not on the stack of who may be killed */
    ls_delivery_run_options options = LS_DELIVERY_RUN_OPTIONS_INIT;
    lsi_engine *engine = delivery->stream->stream->engine;
    const lsi_engine_ops *ops = engine->ops;
    ls_status st;

    options.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    options.failover_ms = FAILOVER_MS;
    options.give_up_ms = RETRIES_MS;
    options.transform = has_transform ? sort_records : NULL;
    options.transform_user = of;
    of->delivery = delivery;
    sleeping = *ops;
    sleeping.sleep = sleeping.sleep_guarded = sleep_by_clock;
    engine->ops = &sleeping;
    of->deliver_until_us = atomic_load_explicit(&of->now_us, memory_order_relaxed) + RUN_US;
    st = session_answered(of, ls_delivery_run(delivery, &options));
    engine->ops = ops;
    of->deliver_until_us = 0;
    *is_done = !atomic_load_explicit(&delivery->is_stopped, memory_order_acquire);
    return st;
}

/* Of one that moves the settings say it: whether a change was stored that was not answered is not known. */
static ls_status find_transform(session *of, uint32_t stream, bool *has_transform)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description;
    ls_status st;

    *has_transform = of->truth->streams[stream].delivers == TRUTH_SORTED;
    if (!of->truth->streams[stream].moves)
        return LS_OK;
    st = session_answered(of, ls_delivery_describe(of->streams[stream], DELIVERY, &description));
    if (st != LS_OK)
        return st;
    if (ls_delivery_description_options(description, &options) != LS_OK)
        abort();
    *has_transform = (options.flags & LS_DELIVERY_TRANSFORM) != 0;
    ls_delivery_description_free(description);
    return LS_OK;
}

ls_status session_deliver(session *of, uint32_t stream)
{
    bool has_transform = false, is_done;
    size_t begun;
    ls_delivery *delivery;
    ls_status st = session_want_stream(of, stream);

    if (st == LS_OK)
        st = find_transform(of, stream, &has_transform);
    if (st == LS_OK)
        st = session_answered(of, ls_delivery_open(of->streams[stream], DELIVERY, &delivery));
    if (st != LS_OK)
        return st;
    begun = session_here(of) + 1;
    st = run(of, delivery, has_transform, &is_done);
    (void)session_look(of);
    if (ls_delivery_close(delivery) != LS_OK)
        session_complain(of, "a delivery does not close: %s", ls_last_error_message());
    if (st == LS_OK && is_done)
        all_delivered(of, stream, begun);
    check_objects(of, stream, NEVER - 2, false, st == LS_OK && is_done);
    return st == LS_OK && !is_done ? LS_ERR_BUSY : st;
}

void session_deliver_on(session *of, uint32_t stream)
{
    const stream_fact *fact = &of->truth->streams[stream];
    char what[256];
    ls_status st;

    if (fact->delivers == TRUTH_NOT_DELIVERED)
        return;
    st = session_deliver(of, stream);
    if (st == LS_ERR_NOT_FOUND && fact->delivery_at != NEVER)
        session_complain(of, "D6: the delivery of stream '%s' is lost", fact->name);
    if (st == LS_ERR_NOT_FOUND && make_delivery(of, stream) == LS_OK)
        st = session_deliver(of, stream);
    if (st == LS_OK)
        st = session_read_all(of, stream);
    if (st != LS_OK)
        session_complain(of, "the delivery of stream '%s' does not run: %s, %s", fact->name, ls_status_name(st),
                         ls_last_error_message());
    else if (!truth_check_delivered(of->truth, stream, what))
        session_complain(of, "stream '%s': %s", fact->name, what);
}
