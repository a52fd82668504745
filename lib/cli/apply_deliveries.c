/* Deliveries of a template: in the words of AWS::KinesisFirehose::DeliveryStream's destinations, with a directory in
 * the place of a bucket, or a bucket. */
#include "cli/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct delivery_plan {
    ls_delivery_options is, to;
    lsi_start start;
    ls_position_kind began; /* of one that is there */
    int64_t began_us;
    lsi_processors processors;
    const lsi_node *schema; /* NULL: not said */
    char *directory;        /* the one that is said, absolute; NULL */
    ls_delivery_description *description; /* what `is` points into */
} delivery_plan;

/* ---- what the template says ---- */

typedef struct delivery_said {
    const char *name, *stream, *directory, *prefix, *error_prefix, *extension, *backup_prefix;
    const char *bucket, *endpoint, *region;
    int32_t to_callback, compression, backup, partitions, processing;
    int64_t size_mbs, interval_s, partitions_max, backup_size_mbs, backup_interval_s;
    lsi_start start;
    const lsi_node *schema, *hints, *partitioning, *processing_config, *processors, *backup_config,
        *backup_hints;
} delivery_said;

#define AT(field) offsetof(delivery_said, field)
static const char *const compressions[] = {"UNCOMPRESSED", "GZIP", "ZSTD", NULL};
static const char *const backup_modes[] = {"Disabled", "Enabled", NULL};
static const lsi_take takes[] = {
    {"DeliveryStreamName", LSI_TAKE_TEXT, AT(name), true, 0, 0, NULL},
    {"StreamName", LSI_TAKE_TEXT, AT(stream), true, 0, 0, NULL},
    {"StartingPosition", LSI_TAKE_WORD, AT(start.position), false, 0, 0, lsi_start_words},
    {"StartingPositionTimestamp", LSI_TAKE_TIME, AT(start.timestamp_us), false, 0, 0, NULL},
    {"Directory", LSI_TAKE_TEXT, AT(directory), false, 0, 0, NULL},
    {"BucketARN", LSI_TAKE_TEXT, AT(bucket), false, 0, 0, NULL},
    {"EndpointUrl", LSI_TAKE_TEXT, AT(endpoint), false, 0, 0, NULL},
    {"Region", LSI_TAKE_TEXT, AT(region), false, 0, 0, NULL},
    {"ToCallback", LSI_TAKE_BOOL, AT(to_callback), false, 0, 0, NULL},
    {"BufferingHints", LSI_TAKE_OBJECT, AT(hints), false, 0, 0, NULL},
    {"Prefix", LSI_TAKE_STRING, AT(prefix), false, 0, 0, NULL},
    {"ErrorOutputPrefix", LSI_TAKE_STRING, AT(error_prefix), false, 0, 0, NULL},
    {"CompressionFormat", LSI_TAKE_WORD, AT(compression), false, 0, 0, compressions},
    {"FileExtension", LSI_TAKE_STRING, AT(extension), false, 0, 0, NULL},
    {"S3BackupMode", LSI_TAKE_WORD, AT(backup), false, 0, 0, backup_modes},
    {"S3BackupConfiguration", LSI_TAKE_OBJECT, AT(backup_config), false, 0, 0, NULL},
    {"Schema", LSI_TAKE_OBJECT, AT(schema), false, 0, 0, NULL},
    {"DynamicPartitioningConfiguration", LSI_TAKE_OBJECT, AT(partitioning), false, 0, 0, NULL},
    {"ProcessingConfiguration", LSI_TAKE_OBJECT, AT(processing_config), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take hint_takes[] = {
    {"SizeInMBs", LSI_TAKE_NUMBER, AT(size_mbs), false, 1, 1024, NULL},
    {"IntervalInSeconds", LSI_TAKE_NUMBER, AT(interval_s), false, 0, 900, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take backup_takes[] = {
    {"Prefix", LSI_TAKE_STRING, AT(backup_prefix), true, 0, 0, NULL},
    {"BufferingHints", LSI_TAKE_OBJECT, AT(backup_hints), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take backup_hint_takes[] = {
    {"SizeInMBs", LSI_TAKE_NUMBER, AT(backup_size_mbs), false, 1, 1024, NULL},
    {"IntervalInSeconds", LSI_TAKE_NUMBER, AT(backup_interval_s), false, 0, 900, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take partitioning_takes[] = {
    {"Enabled", LSI_TAKE_BOOL, AT(partitions), true, 0, 0, NULL},
    {"ActivePartitionsMaximum", LSI_TAKE_NUMBER, AT(partitions_max), false, 1, 5000, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take processing_takes[] = {
    {"Enabled", LSI_TAKE_BOOL, AT(processing), true, 0, 0, NULL},
    {"Processors", LSI_TAKE_LIST, AT(processors), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static int begin(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_node *name = lsi_node_member(thing->node, "DeliveryStreamName");
    const lsi_node *stream = lsi_node_member(thing->node, "StreamName");
    delivery_plan *plan = thing->wanted;

    (void)apply;
    plan->is = (ls_delivery_options)LS_DELIVERY_OPTIONS_INIT;
    thing->name = name != NULL ? name->text : NULL;
    thing->stream = stream != NULL ? stream->text : NULL;
    return LSI_EXIT_OK;
}

/* ---- all of it ---- */

static void say_text(const char *said, const char **to)
{
    if (said != NULL)
        *to = said[0] != '\0' ? said : NULL;
}

static void say_flag(int32_t said, uint32_t flag, uint32_t *to)
{
    if (said >= 0)
        *to = said != 0 ? *to | flag : *to & ~flag;
}

/* The name at the end of an ARN, or a name alone. */
static const char *bucket_of(const char *said)
{
    static const char arn[] = "arn:aws:s3:::";

    return said != NULL && strncmp(said, arn, sizeof arn - 1) == 0 ? said + sizeof arn - 1 : said;
}

/* Of whoever applies it: who runs the delivery may be somewhere else. Returns an exit code. */
static int fill_directory(lsi_apply *apply, const lsi_thing *thing, delivery_said *said)
{
    delivery_plan *plan = thing->wanted;

    free(plan->directory);
    plan->directory = NULL;
    if (said->directory == NULL)
        return LSI_EXIT_OK;
    plan->directory = lsi_path_absolute(said->directory);
    if (plan->directory == NULL)
        return lsi_template_refuse(&apply->template, lsi_node_member(thing->node, "Directory"), "it is relative, to a "
                                   "directory that has no name: %s", strerror(errno));
    said->directory = plan->directory;
    return LSI_EXIT_OK;
}

static void fill_settings(delivery_plan *plan, const delivery_said *said)
{
    ls_delivery_options *to = &plan->to;

    if (said->directory != NULL || said->bucket != NULL || said->to_callback > 0) { /* it takes another one's place */
        to->directory = said->directory;
        to->s3_bucket = bucket_of(said->bucket);
        to->flags &= ~LS_DELIVERY_TO_CALLBACK;
    }
    if (to->s3_bucket == NULL)
        to->s3_endpoint = to->s3_region = NULL;
    say_text(said->endpoint, &to->s3_endpoint);
    say_text(said->region, &to->s3_region);
    say_flag(said->to_callback, LS_DELIVERY_TO_CALLBACK, &to->flags);
    say_flag(said->backup, LS_DELIVERY_BACKUP, &to->flags);
    say_flag(said->partitions, LS_DELIVERY_PARTITION, &to->flags);
    if ((to->flags & LS_DELIVERY_PARTITION) == 0)
        to->partitions_max = to->partition_key_count = 0;
    if (said->partitions_max != LSI_NOT_SAID)
        to->partitions_max = (uint32_t)said->partitions_max;
    if (said->size_mbs != LSI_NOT_SAID)
        to->buffer_bytes = (uint64_t)said->size_mbs << 20;
    if (said->interval_s != LSI_NOT_SAID)
        to->interval_ms = said->interval_s == 0 ? LS_DELIVERY_AT_ONCE : (int32_t)said->interval_s * 1000;
    if (said->backup_size_mbs != LSI_NOT_SAID)
        to->backup_buffer_bytes = (uint64_t)said->backup_size_mbs << 20;
    if (said->backup_interval_s != LSI_NOT_SAID)
        to->backup_interval_ms = said->backup_interval_s == 0 ? LS_DELIVERY_AT_ONCE
                                                              : (int32_t)said->backup_interval_s * 1000;
    if (said->compression != LSI_NO_WORD)
        to->compression = said->compression;
    say_text(said->prefix, &to->prefix);
    say_text(said->error_prefix, &to->error_prefix);
    say_text(said->extension, &to->extension);
    say_text(said->backup_prefix, &to->backup_prefix);
    plan->start = said->start;
}

static int fill(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_template *template = &apply->template;
    delivery_plan *plan = thing->wanted;
    delivery_said said = {.to_callback = -1, .compression = LSI_NO_WORD, .backup = LSI_NO_WORD, .partitions = -1,
                          .processing = -1, .size_mbs = LSI_NOT_SAID, .interval_s = LSI_NOT_SAID,
                          .backup_size_mbs = LSI_NOT_SAID, .backup_interval_s = LSI_NOT_SAID,
                          .partitions_max = LSI_NOT_SAID, .start = {LSI_NO_WORD, LSI_NOT_SAID}};
    int code = lsi_take_fields(template, thing->node, takes, &said);

    if (code == LSI_EXIT_OK && said.hints != NULL)
        code = lsi_take_fields(template, said.hints, hint_takes, &said);
    if (code == LSI_EXIT_OK && said.backup_config != NULL)
        code = lsi_take_fields(template, said.backup_config, backup_takes, &said);
    if (code == LSI_EXIT_OK && said.backup_hints != NULL)
        code = lsi_take_fields(template, said.backup_hints, backup_hint_takes, &said);
    if (code == LSI_EXIT_OK && said.partitioning != NULL)
        code = lsi_take_fields(template, said.partitioning, partitioning_takes, &said);
    if (code == LSI_EXIT_OK && said.processing_config != NULL)
        code = lsi_take_fields(template, said.processing_config, processing_takes, &said);
    if (code == LSI_EXIT_OK)
        code = fill_directory(apply, thing, &said);
    if (code != LSI_EXIT_OK)
        return code;
    plan->to = plan->is;
    plan->schema = said.schema;
    fill_settings(plan, &said);
    return said.processing_config == NULL ? LSI_EXIT_OK /* A list is as it is said: whatever is not in it is off. */
        : lsi_processors_take(apply, &plan->processors, said.processing != 0 ? said.processors : NULL, &plan->to);
}

/* ---- what is there ---- */

static ls_status look(lsi_thing *thing, ls_stream *stream, bool *is_there)
{
    delivery_plan *plan = thing->wanted;
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_status st = ls_delivery_describe(stream, thing->name, &plan->description);

    *is_there = st == LS_OK;
    if (st == LS_OK)
        st = ls_delivery_description_options(plan->description, &plan->is);
    if (st == LS_OK)
        st = ls_delivery_description_info(plan->description, &info);
    plan->began = info.start;
    plan->began_us = info.start_timestamp_us;
    return st;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const ls_delivery_options *a, const ls_delivery_options *b)
{
    bool same = a->flags == b->flags && a->buffer_bytes == b->buffer_bytes && a->interval_ms == b->interval_ms &&
        a->compression == b->compression && a->transform_retries_max == b->transform_retries_max &&
        a->transform_bytes_max == b->transform_bytes_max && a->transform_records_max == b->transform_records_max &&
        a->backup_buffer_bytes == b->backup_buffer_bytes && a->backup_interval_ms == b->backup_interval_ms &&
        a->partitions_max == b->partitions_max && a->partition_key_count == b->partition_key_count &&
        is_same_text(a->prefix, b->prefix) && is_same_text(a->error_prefix, b->error_prefix) &&
        is_same_text(a->backup_prefix, b->backup_prefix) && is_same_text(a->extension, b->extension) &&
        is_same_text(a->delimiter, b->delimiter) && is_same_text(a->directory, b->directory) &&
        is_same_text(a->s3_bucket, b->s3_bucket) && is_same_text(a->s3_endpoint, b->s3_endpoint) &&
        is_same_text(a->s3_region, b->s3_region) && is_same_text(a->split, b->split);

    for (uint32_t i = 0; i < a->partition_key_count && same; i++)
        same = strcmp(a->partition_keys[i], b->partition_keys[i]) == 0 &&
            strcmp(a->partition_queries[i], b->partition_queries[i]) == 0;
    return same;
}

/* Another delivery of that name that goes there, of the template or of the store: its stream; "": none.
 * `has_schema`: the template gives it one. */
static ls_status find_sharer(const lsi_apply *apply, const lsi_thing *thing, char out[LSI_NAME_BYTES],
                             bool *has_schema)
{
    const delivery_plan *plan = thing->wanted;

    out[0] = '\0';
    *has_schema = false;
    for (const lsi_thing *at = apply->things; at != thing; at = at->next) {
        const delivery_plan *other = at->wanted;

        if (at->kind != thing->kind || strcmp(at->name, thing->name) != 0 || strcmp(at->stream, thing->stream) == 0 ||
            other->to.directory == NULL || !lsi_is_same_directory(other->to.directory, plan->to.directory))
            continue;
        (void)snprintf(out, LSI_NAME_BYTES, "%s", at->stream);
        *has_schema = *has_schema || other->schema != NULL;
    }
    return out[0] != '\0' || apply->store == NULL
               ? LS_OK : lsi_schema_sharer(apply->store, thing->stream, thing->name, plan->to.directory, out);
}

/* Only one of two deliveries whose schemas would have one name has one. */
static int check_schema(lsi_apply *apply, const lsi_thing *thing)
{
    const delivery_plan *plan = thing->wanted;
    char other[LSI_NAME_BYTES];
    bool has_schema;
    ls_status st;

    if (plan->to.directory == NULL)
        return plan->schema == NULL ? LSI_EXIT_OK
                                    : lsi_template_refuse(&apply->template, plan->schema,
                                                          "it lies in a Directory, and there is none");
    st = find_sharer(apply, thing, other, &has_schema);
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    if (other[0] == '\0' || (plan->schema == NULL && !has_schema))
        return LSI_EXIT_OK;
    return lsi_template_refuse(&apply->template, plan->schema != NULL ? plan->schema : thing->node,
                               "delivery '%s' of stream '%s' goes to the same Directory, where both schemas would be "
                               "_%s.schema: give one of them another name or Directory", thing->name, other,
                               thing->name);
}

/* `directory` is one step below `above`, by their names. */
static bool is_right_below(const char *directory, const char *above)
{
    size_t size = strlen(above), at;

    while (size > 0 && above[size - 1] == '/')
        size--;
    at = size + strspn(directory + (strlen(directory) > size ? size : strlen(directory)), "/");
    if (strncmp(directory, above, size) != 0 || at == size)
        return false;
    at += strcspn(directory + at, "/");
    return directory[at + strspn(directory + at, "/")] == '\0';
}

/* A schema that the template gives before is what makes the directory above this one. */
static bool is_above_made(const lsi_apply *apply, const lsi_thing *thing, const char *directory)
{
    for (const lsi_thing *at = apply->things; at != thing; at = at->next) {
        const delivery_plan *other = at->wanted;

        if (at->kind == thing->kind && other->schema != NULL && other->to.directory != NULL &&
            is_right_below(directory, other->to.directory))
            return true;
    }
    return false;
}

/* 0 or an errno: what would keep `make_beside` from its work. */
static int beside_trouble(const lsi_apply *apply, const lsi_thing *thing, bool is_shared)
{
    const delivery_plan *plan = thing->wanted;
    const char *from = is_shared ? NULL : plan->is.directory, *to = plan->to.directory;
    int err = 0;

    if (plan->schema != NULL)
        err = lsi_schema_write_trouble(to, thing->name);
    else if (from != NULL && to != NULL)
        err = lsi_schema_move_trouble(from, to, thing->name);
    if (err == ENOENT && is_above_made(apply, thing, to))
        err = 0;
    if (err == 0 && from != NULL && (to == NULL || (plan->schema != NULL && !lsi_is_same_directory(from, to))))
        err = lsi_schema_remove_trouble(from, thing->name);
    return err;
}

static int check_beside(lsi_apply *apply, const lsi_thing *thing)
{
    const delivery_plan *plan = thing->wanted;
    const lsi_node *node = lsi_node_member(thing->node, plan->schema != NULL ? "Schema" : "Directory");
    char other[LSI_NAME_BYTES] = "";
    ls_status st = LS_OK;
    int err;

    if (plan->is.directory != NULL && apply->store != NULL)
        st = lsi_schema_sharer(apply->store, thing->stream, thing->name, plan->is.directory, other);
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    err = beside_trouble(apply, thing, other[0] != '\0');
    if (err == 0)
        return LSI_EXIT_OK;
    return lsi_template_refuse(&apply->template, node != NULL ? node : thing->node, "the schema cannot be %s %s: %s",
                               plan->schema != NULL ? "written to" : "moved from",
                               plan->schema != NULL ? plan->to.directory : plan->is.directory, strerror(err));
}

static int compare(lsi_apply *apply, lsi_thing *thing, ls_stream *stream)
{
    const delivery_plan *plan = thing->wanted;
    const lsi_node *mode = lsi_node_member(thing->node, "S3BackupMode");
    int code = lsi_start_check(apply, thing, &plan->start, plan->began, plan->began_us);

    if (code == LSI_EXIT_OK)
        code = lsi_apply_need_name(apply, thing, stream);
    if (code == LSI_EXIT_OK && (plan->is.flags & ~plan->to.flags & LS_DELIVERY_BACKUP) != 0)
        code = lsi_template_refuse(&apply->template, mode, "it cannot be changed: a backup is not turned off");
    if (code == LSI_EXIT_OK && thing->state != LSI_THING_NEW && !is_same_text(plan->is.split, plan->to.split))
        code = lsi_template_refuse(&apply->template, thing->node, "how records are split cannot be changed");
    if (code == LSI_EXIT_OK && thing->state != LSI_THING_NEW && is_same(&plan->is, &plan->to) &&
        (plan->schema == NULL || lsi_schema_is(plan->to.directory, thing->name, plan->schema)))
        thing->state = LSI_THING_SAME;
    if (code == LSI_EXIT_OK && thing->state != LSI_THING_SAME)
        code = check_schema(apply, thing);
    return code == LSI_EXIT_OK && thing->state != LSI_THING_SAME ? check_beside(apply, thing) : code;
}

/* ---- changing ---- */

static ls_status make(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const delivery_plan *plan = thing->wanted;
    ls_position position = {.kind = LS_TRIM_HORIZON};

    (void)store;
    if (plan->start.position != LSI_NO_WORD) /* Of one that is there it need not be said: the trial begins anywhere. */
        position = lsi_start_position(&plan->start);
    return ls_delivery_create(stream, thing->name, &position, &plan->to);
}

static ls_status change(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const delivery_plan *plan = thing->wanted;

    (void)store;
    if (is_same(&plan->is, &plan->to)) /* It is the schema that differs. */
        return LS_OK;
    return ls_delivery_update(stream, thing->name, LS_DELIVERY_ANY_VERSION, &plan->to);
}

static int make_beside(lsi_apply *apply, const lsi_thing *thing)
{
    const delivery_plan *plan = thing->wanted;
    const char *from = plan->is.directory, *to = plan->to.directory;
    char other[LSI_NAME_BYTES] = "";
    int code = LSI_EXIT_OK;
    ls_status st = LS_OK;

    if (plan->schema != NULL)
        code = lsi_schema_write(apply->call, to, thing->name, plan->schema);
    if (code == LSI_EXIT_OK && from != NULL)
        st = lsi_schema_sharer(apply->store, thing->stream, thing->name, from, other);
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    if (code != LSI_EXIT_OK || from == NULL || other[0] != '\0')
        return code;
    return to == NULL             ? lsi_schema_remove(apply->call, from, thing->name)
           : plan->schema != NULL ? lsi_schema_leave(apply->call, from, to, thing->name)
                                  : lsi_schema_move(apply->call, from, to, thing->name);
}

/* From where the store says that it is, and from where a run that was killed may have moved it to. */
static int remove_beside(lsi_apply *apply, const lsi_thing *thing)
{
    const delivery_plan *plan = thing->wanted;
    int code = LSI_EXIT_OK;

    if (apply->store != NULL && plan->is.directory != NULL)
        code = lsi_schema_drop(apply->call, apply->store, thing->stream, thing->name, plan->is.directory);
    return code != LSI_EXIT_OK || apply->store == NULL || plan->schema == NULL || plan->to.directory == NULL
               ? code
               : lsi_schema_drop(apply->call, apply->store, thing->stream, thing->name, plan->to.directory);
}

static int check_removal(lsi_apply *apply, const lsi_thing *thing, ls_stream *stream)
{
    const delivery_plan *plan = thing->wanted;
    char other[LSI_NAME_BYTES] = "";
    ls_status st = LS_OK;
    int err;

    (void)stream;
    if (plan->is.directory != NULL)
        st = lsi_schema_sharer(apply->store, thing->stream, thing->name, plan->is.directory, other);
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    err = plan->is.directory != NULL && other[0] == '\0'
              ? lsi_schema_remove_trouble(plan->is.directory, thing->name) : 0;
    if (err == 0)
        return LSI_EXIT_OK;
    lsi_say(apply->call, "%s/_%s.schema cannot be removed, so nothing is: %s", plan->is.directory, thing->name,
            strerror(err));
    return LSI_EXIT_FAILED;
}

static ls_status remove_delivery(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    (void)store;
    return ls_delivery_delete(stream, thing->name);
}

static void end(lsi_thing *thing)
{
    delivery_plan *plan = thing->wanted;

    ls_delivery_description_free(plan->description);
    lsi_processors_free(&plan->processors);
    free(plan->directory);
}

const lsi_apply_kind lsi_apply_deliveries = {
    .section = "Deliveries",
    .noun = "delivery",
    .wanted_bytes = sizeof(delivery_plan),
    .begin = begin,
    .fill = fill,
    .look = look,
    .compare = compare,
    .check_removal = check_removal,
    .make = make,
    .change = change,
    .remove = remove_delivery,
    .make_beside = make_beside,
    .remove_beside = remove_beside,
    .end = end,
};
