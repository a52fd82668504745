/* Streams of a template: in the words of CloudFormation's AWS::Kinesis::Stream, with what libstream has besides. */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>

#define TAGS_MAX 50
#define CONSUMERS_MAX 20
#define KEY_ID_BYTES 257

typedef struct stream_plan {
    ls_stream_options is, to;   /* is: as there is one, or defaults; `shard_count` of open shards */
    char key_is[KEY_ID_BYTES];  /* "": not encrypted */
    const char *key_to;         /* NULL: not said */
    ls_tag tags[TAGS_MAX];
    uint32_t tag_count;
    bool tags_differ;
    const char *consumers[CONSUMERS_MAX];
    uint32_t consumer_count;
    bool has_consumer[CONSUMERS_MAX];
} stream_plan;

/* ---- what the template says ---- */

typedef struct stream_said {
    const char *name, *key_id;
    int64_t shards, hours, bytes, record_kib, write_bytes, write_records, read_bytes, read_calls;
    int32_t compression, mode, encryption;
    const lsi_node *mode_details, *encryption_details, *tags, *consumers;
} stream_said;

#define AT(field) offsetof(stream_said, field)
static const char *const modes[] = {"ON_DEMAND", "PROVISIONED", NULL};
static const char *const compressions[] = {"NONE", "ZSTD", NULL};
static const char *const encryptions[] = {"NONE", "KMS", NULL};
static const lsi_take takes[] = {
    {"StreamName", LSI_TAKE_TEXT, AT(name), true, 0, 0, NULL},
    {"ShardCount", LSI_TAKE_NUMBER, AT(shards), false, 1, 65536, NULL},
    {"StreamModeDetails", LSI_TAKE_OBJECT, AT(mode_details), false, 0, 0, NULL},
    {"RetentionPeriodHours", LSI_TAKE_NUMBER, AT(hours), false, 1, 8760, NULL},
    {"RetentionBytes", LSI_TAKE_NUMBER, AT(bytes), false, 0, INT64_MAX, NULL},
    {"MaxRecordSizeInKiB", LSI_TAKE_NUMBER, AT(record_kib), false, 1, 10240, NULL},
    {"Compression", LSI_TAKE_WORD, AT(compression), false, 0, 0, compressions},
    {"StreamEncryption", LSI_TAKE_OBJECT, AT(encryption_details), false, 0, 0, NULL},
    {"WriteBytesPerSecond", LSI_TAKE_NUMBER, AT(write_bytes), false, 1024, UINT32_MAX, NULL},
    {"WriteRecordsPerSecond", LSI_TAKE_NUMBER, AT(write_records), false, 1, UINT32_MAX, NULL},
    {"ReadBytesPerSecond", LSI_TAKE_NUMBER, AT(read_bytes), false, 1024, UINT32_MAX, NULL},
    {"ReadCallsPerSecond", LSI_TAKE_NUMBER, AT(read_calls), false, 1, UINT32_MAX, NULL},
    {"Tags", LSI_TAKE_LIST, AT(tags), false, 0, 0, NULL},
    {"Consumers", LSI_TAKE_LIST, AT(consumers), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take mode_takes[] = {
    {"StreamMode", LSI_TAKE_WORD, AT(mode), true, 0, 0, modes},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take encryption_takes[] = {
    {"EncryptionType", LSI_TAKE_WORD, AT(encryption), true, 0, 0, encryptions},
    {"KeyId", LSI_TAKE_TEXT, AT(key_id), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take tag_takes[] = {
    {"Key", LSI_TAKE_TEXT, offsetof(ls_tag, key), true, 0, 0, NULL},
    {"Value", LSI_TAKE_STRING, offsetof(ls_tag, value), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static int begin(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_node *name = lsi_node_member(thing->node, "StreamName");
    stream_plan *plan = thing->wanted;

    (void)apply;
    plan->is = (ls_stream_options)LS_STREAM_OPTIONS_INIT;
    thing->stream = name != NULL ? name->text : NULL; /* that it is a text is for `fill` to say */
    return LSI_EXIT_OK;
}

static int fill_tags(lsi_apply *apply, stream_plan *plan, const lsi_node *list)
{
    int code = LSI_EXIT_OK;

    plan->tag_count = 0;
    for (const lsi_node *at = list != NULL ? list->first : NULL; at != NULL && code == LSI_EXIT_OK; at = at->next) {
        if (plan->tag_count == TAGS_MAX)
            return lsi_template_refuse(&apply->template, at, "a stream has at most %d tags", TAGS_MAX);
        code = lsi_take_fields(&apply->template, at, tag_takes, &plan->tags[plan->tag_count]);
        for (uint32_t i = 0; i < plan->tag_count && code == LSI_EXIT_OK; i++)
            if (strcmp(plan->tags[i].key, plan->tags[plan->tag_count].key) == 0)
                code = lsi_template_refuse(&apply->template, at, "the tag '%s' comes twice", plan->tags[i].key);
        plan->tag_count++;
    }
    return code;
}

static int fill_consumers(lsi_apply *apply, stream_plan *plan, const lsi_node *list)
{
    plan->consumer_count = 0;
    for (const lsi_node *at = list != NULL ? list->first : NULL; at != NULL; at = at->next) {
        if (at->kind != LSI_JSON_STRING)
            return lsi_template_refuse(&apply->template, at, "it is a consumer's name");
        if (plan->consumer_count == CONSUMERS_MAX)
            return lsi_template_refuse(&apply->template, at, "a stream has at most %d consumers", CONSUMERS_MAX);
        for (uint32_t i = 0; i < plan->consumer_count; i++)
            if (strcmp(plan->consumers[i], at->text) == 0)
                return lsi_template_refuse(&apply->template, at, "the consumer '%s' comes twice", at->text);
        plan->consumers[plan->consumer_count++] = at->text;
    }
    return LSI_EXIT_OK;
}

static void say_number(int64_t said, uint32_t *to)
{
    if (said != LSI_NOT_SAID)
        *to = (uint32_t)said;
}

static int fill(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_template *template = &apply->template;
    stream_plan *plan = thing->wanted;
    stream_said said = {.shards = LSI_NOT_SAID, .hours = LSI_NOT_SAID, .bytes = LSI_NOT_SAID,
                        .record_kib = LSI_NOT_SAID, .write_bytes = LSI_NOT_SAID, .write_records = LSI_NOT_SAID,
                        .read_bytes = LSI_NOT_SAID, .read_calls = LSI_NOT_SAID, .compression = LSI_NO_WORD,
                        .mode = LSI_NO_WORD, .encryption = LSI_NO_WORD};
    int code = lsi_take_fields(template, thing->node, takes, &said);

    if (code == LSI_EXIT_OK && said.mode_details != NULL)
        code = lsi_take_fields(template, said.mode_details, mode_takes, &said);
    if (code == LSI_EXIT_OK && said.encryption_details != NULL)
        code = lsi_take_fields(template, said.encryption_details, encryption_takes, &said);
    if (code == LSI_EXIT_OK && said.encryption == 1 && said.key_id == NULL)
        code = lsi_template_refuse(template, said.encryption_details, "it needs \"KeyId\"");
    if (code == LSI_EXIT_OK && said.encryption == 0 && said.key_id != NULL)
        code = lsi_template_refuse(template, said.encryption_details, "EncryptionType NONE takes no KeyId");
    if (code == LSI_EXIT_OK)
        code = fill_tags(apply, plan, said.tags);
    if (code == LSI_EXIT_OK)
        code = fill_consumers(apply, plan, said.consumers);
    if (code != LSI_EXIT_OK)
        return code;
    plan->to = plan->is;
    plan->key_to = said.encryption == 0 ? "" : said.key_id;
    say_number(said.shards, &plan->to.shard_count);
    say_number(said.hours, &plan->to.retention_hours);
    if (said.bytes != LSI_NOT_SAID)
        plan->to.retention_bytes = (uint64_t)said.bytes;
    if (said.record_kib != LSI_NOT_SAID)
        plan->to.record_bytes_max = (uint32_t)said.record_kib << 10;
    say_number(said.write_bytes, &plan->to.write_bytes_per_second);
    say_number(said.write_records, &plan->to.write_records_per_second);
    say_number(said.read_bytes, &plan->to.read_bytes_per_second);
    say_number(said.read_calls, &plan->to.read_calls_per_second);
    if (said.compression != LSI_NO_WORD)
        plan->to.compression = said.compression;
    if (said.mode != LSI_NO_WORD)
        plan->to.mode = said.mode;
    return LSI_EXIT_OK;
}

/* ---- what is there ---- */

static ls_status look_at_tags(ls_stream *stream, stream_plan *plan)
{
    ls_tag_list *list;
    uint32_t same = 0;
    ls_status st = ls_stream_list_tags(stream, NULL, 0, &list); /* one page has all that can be */

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < plan->tag_count; i++)
        for (uint32_t k = 0; k < ls_tag_list_count(list); k++) {
            ls_tag tag = ls_tag_list_at(list, k);

            same += strcmp(tag.key, plan->tags[i].key) == 0 &&
                strcmp(tag.value, plan->tags[i].value != NULL ? plan->tags[i].value : "") == 0;
        }
    plan->tags_differ = same != plan->tag_count;
    ls_tag_list_free(list);
    return LS_OK;
}

static ls_status look_at_consumers(ls_stream *stream, stream_plan *plan)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < plan->consumer_count && st == LS_OK; i++) {
        ls_consumer_info info = LS_CONSUMER_INFO_INIT;

        st = ls_consumer_describe(stream, plan->consumers[i], &info);
        plan->has_consumer[i] = st == LS_OK;
        st = st == LS_ERR_NOT_FOUND ? LS_OK : st;
    }
    return st;
}

static ls_status look(lsi_thing *thing, ls_stream *stream, bool *is_there)
{
    stream_plan *plan = thing->wanted;
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    ls_stream_description *description;
    ls_status st = ls_stream_describe(stream, &description);

    *is_there = st == LS_OK;
    if (st != LS_OK)
        return st;
    plan->is = (ls_stream_options)LS_STREAM_OPTIONS_INIT;
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) == LS_OK)
            plan->is.shard_count += shard.is_open != 0;
    }
    plan->is.retention_hours = ls_stream_description_retention_hours(description);
    plan->is.retention_bytes = ls_stream_description_retention_bytes(description);
    plan->is.record_bytes_max = ls_stream_description_record_bytes_max(description);
    plan->is.compression = ls_stream_description_compression(description);
    plan->is.mode = ls_stream_description_mode(description);
    st = ls_stream_description_limits(description, &limits);
    plan->is.write_bytes_per_second = limits.write_bytes_per_second;
    plan->is.write_records_per_second = limits.write_records_per_second;
    plan->is.read_bytes_per_second = limits.read_bytes_per_second;
    plan->is.read_calls_per_second = limits.read_calls_per_second;
    (void)snprintf(plan->key_is, sizeof plan->key_is, "%s", ls_stream_description_key_id(description));
    ls_stream_description_free(description);
    if (st == LS_OK)
        st = look_at_tags(stream, plan);
    return st == LS_OK ? look_at_consumers(stream, plan) : st;
}

static bool has_limits_of(const stream_plan *plan)
{
    return plan->is.write_bytes_per_second == plan->to.write_bytes_per_second &&
        plan->is.write_records_per_second == plan->to.write_records_per_second &&
        plan->is.read_bytes_per_second == plan->to.read_bytes_per_second &&
        plan->is.read_calls_per_second == plan->to.read_calls_per_second;
}

static bool has_key(const stream_plan *plan)
{
    return plan->key_to == NULL || strcmp(plan->key_is, plan->key_to) == 0;
}

static bool has_consumers(const stream_plan *plan)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < plan->consumer_count; i++)
        count += plan->has_consumer[i];
    return count == plan->consumer_count;
}

static int compare(lsi_apply *apply, lsi_thing *thing, ls_stream *stream)
{
    const stream_plan *plan = thing->wanted;

    (void)apply;
    (void)stream;
    if (thing->state != LSI_THING_NEW && plan->is.shard_count == plan->to.shard_count &&
        plan->is.retention_hours == plan->to.retention_hours && plan->is.retention_bytes == plan->to.retention_bytes &&
        plan->is.record_bytes_max == plan->to.record_bytes_max && plan->is.compression == plan->to.compression &&
        plan->is.mode == plan->to.mode && has_limits_of(plan) && has_key(plan) && !plan->tags_differ &&
        has_consumers(plan))
        thing->state = LSI_THING_SAME;
    return LSI_EXIT_OK;
}

/* ---- changing ---- */

static ls_status register_all(const stream_plan *plan, ls_stream *stream, bool is_new)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < plan->consumer_count && st == LS_OK; i++)
        if (is_new || !plan->has_consumer[i]) { /* The trial's is new, whatever the store has. */
            st = ls_consumer_register(stream, plan->consumers[i], NULL);
            st = st == LS_ERR_EXISTS ? LS_OK : st; /* Somebody else was faster. */
        }
    return st;
}

static ls_status encrypt(const lsi_thing *thing, const stream_plan *plan, ls_store *store)
{
    if (has_key(plan))
        return LS_OK;
    return plan->key_to[0] != '\0' ? ls_stream_start_encryption(store, thing->stream, plan->key_to)
                                   : ls_stream_stop_encryption(store, thing->stream);
}

/* Encryption comes behind the stream, and whoever dies in between leaves the rest to the next: nobody puts into it
 * before all is done, but who does not wait for that. */
static ls_status make(const lsi_thing *thing, ls_store *store, ls_stream *none)
{
    const stream_plan *plan = thing->wanted;
    ls_stream_options options = plan->to;
    ls_stream *stream = NULL;
    ls_status st;

    (void)none;
    options.tags = plan->tags;
    options.tag_count = plan->tag_count;
    st = ls_stream_create(store, thing->stream, &options);
    if (st == LS_OK)
        st = encrypt(thing, plan, store);
    if (st == LS_OK && plan->consumer_count != 0) {
        st = ls_stream_open(store, thing->stream, &stream);
        if (st == LS_OK)
            st = register_all(plan, stream, true);
        (void)ls_stream_close(stream); /* Nothing was opened of it. */
    }
    return st;
}

static ls_status change_retention(const stream_plan *plan, ls_stream *stream)
{
    ls_status st = LS_OK;

    if (plan->to.retention_hours > plan->is.retention_hours)
        st = ls_stream_increase_retention(stream, plan->to.retention_hours);
    else if (plan->to.retention_hours < plan->is.retention_hours)
        st = ls_stream_decrease_retention(stream, plan->to.retention_hours);
    if (st == LS_OK && plan->to.retention_bytes != plan->is.retention_bytes)
        st = ls_stream_set_retention_bytes(stream, plan->to.retention_bytes);
    return st;
}

static ls_status change_limits(const stream_plan *plan, ls_stream *stream)
{
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;

    limits.write_bytes_per_second = plan->to.write_bytes_per_second;
    limits.write_records_per_second = plan->to.write_records_per_second;
    limits.read_bytes_per_second = plan->to.read_bytes_per_second;
    limits.read_calls_per_second = plan->to.read_calls_per_second;
    return has_limits_of(plan) ? LS_OK : ls_stream_set_limits(stream, &limits);
}

static ls_status change(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const stream_plan *plan = thing->wanted;
    ls_status st = change_retention(plan, stream);

    if (st == LS_OK && plan->to.record_bytes_max != plan->is.record_bytes_max)
        st = ls_stream_set_record_bytes_max(stream, plan->to.record_bytes_max);
    if (st == LS_OK && plan->to.compression != plan->is.compression)
        st = ls_stream_set_compression(store, thing->stream, plan->to.compression);
    if (st == LS_OK && plan->to.mode != plan->is.mode)
        st = ls_stream_set_mode(stream, plan->to.mode);
    if (st == LS_OK)
        st = change_limits(plan, stream);
    if (st == LS_OK)
        st = encrypt(thing, plan, store);
    if (st == LS_OK && plan->tags_differ)
        st = ls_stream_add_tags(stream, plan->tags, plan->tag_count);
    if (st == LS_OK)
        st = register_all(plan, stream, false);
    if (st == LS_OK && plan->to.shard_count != plan->is.shard_count)
        st = ls_stream_update_shard_count(stream, plan->to.shard_count, NULL);
    return st;
}

static bool is_named(const stream_plan *plan, const char *consumer)
{
    for (uint32_t i = 0; i < plan->consumer_count; i++)
        if (strcmp(plan->consumers[i], consumer) == 0)
            return true;
    return false;
}

/* A consumer that the template does not name; `info->name` "": none. */
static ls_status find_other_consumer(const stream_plan *plan, ls_stream *stream, ls_consumer_info *info)
{
    bool is_found = false, has_more = true;
    ls_status st = LS_OK;

    while (st == LS_OK && has_more && !is_found) {
        ls_consumer_list *page;

        st = ls_stream_list_consumers(stream, info->name, 0, &page);
        if (st != LS_OK)
            break;
        for (uint32_t i = 0; i < ls_consumer_list_count(page) && st == LS_OK && !is_found; i++) {
            st = ls_consumer_list_at(page, i, info);
            is_found = st == LS_OK && !is_named(plan, info->name);
        }
        has_more = ls_consumer_list_has_more(page) != 0;
        ls_consumer_list_free(page);
    }
    if (!is_found)
        info->name[0] = '\0';
    return st;
}

/* What belongs to a stream goes before it: so that it may go is known before. */
static int check_removal(lsi_apply *apply, const lsi_thing *thing, ls_stream *stream)
{
    ls_consumer_info other = LS_CONSUMER_INFO_INIT;
    ls_status st = find_other_consumer(thing->wanted, stream, &other);

    if (st != LS_OK && st != LS_ERR_NOT_FOUND) /* Somebody else was faster. */
        return lsi_failed(apply->call, st);
    if (st != LS_OK || other.name[0] == '\0')
        return LSI_EXIT_OK;
    lsi_say(apply->call, "stream '%s' has the registered consumer '%s', which the file does not name: nothing is "
            "deleted", thing->stream, other.name);
    return LSI_EXIT_STATE;
}

static ls_status remove_once(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const stream_plan *plan = thing->wanted;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < plan->consumer_count && st == LS_OK; i++) {
        st = ls_consumer_deregister(stream, plan->consumers[i]);
        st = st == LS_ERR_NOT_FOUND ? LS_OK : st;
    }
    return st == LS_OK ? ls_stream_delete(store, thing->stream) : st;
}

/* Consumers that the template names go before it; others keep it. Who applies the template meanwhile registers them
 * anew. */
static ls_status remove_stream(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    ls_status st = remove_once(thing, store, stream);

    for (int tries = 1; st == LS_ERR_STATE && tries < LSI_APPLY_TRIES; tries++)
        st = remove_once(thing, store, stream);
    return st;
}

const lsi_apply_kind lsi_apply_streams = {
    .section = "Streams",
    .noun = "stream",
    .wanted_bytes = sizeof(stream_plan),
    .begin = begin,
    .fill = fill,
    .look = look,
    .compare = compare,
    .check_removal = check_removal,
    .make = make,
    .change = change,
    .remove = remove_stream,
};
