/* Deliveries as they are kept: values of their stream's state, changed by compare and swap, each with a group of its
 * name (consume/lease/owned.c). */
#include "deliver/definition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/gzip.h"
#include "base/status.h"

#define TRIES 64

static ls_bytes key_of(const char *name, char text[LSI_DELIVERY_KEY_BYTES])
{
    int size = snprintf(text, LSI_DELIVERY_KEY_BYTES, LSI_DELIVERY_PREFIX "%s", name); /* fits: it was checked */

    return (ls_bytes){text, (size_t)size};
}

/* ---- looking ---- */

typedef struct looking {
    const lsi_memory *memory;
    lsi_delivery *found;
    bool (*each)(void *user, const lsi_delivery *delivery);
    void *user;
} looking;

static ls_status take_one(void *user, const lsi_state_entry *entry, bool *goes_on)
{
    looking *of = user;

    (void)goes_on; /* There is one of a name. */
    return lsi_delivery_decode(of->memory, entry, &of->found);
}

ls_status lsi_delivery_load(lsi_engine_stream *stream, const char *name, lsi_delivery **out)
{
    char text[LSI_DELIVERY_KEY_BYTES];
    looking of = {.memory = &stream->engine->env.memory};
    ls_status st = lsi_check_delivery_name(name);

    if (st == LS_OK)
        st = lsi_kept_find(stream, key_of(name, text), take_one, &of);
    if (st == LS_OK && of.found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no delivery '%s'", stream->name, name);
    if (st == LS_OK)
        *out = of.found;
    return st;
}

static ls_status show_one(void *user, const lsi_state_entry *entry, bool *goes_on)
{
    looking *of = user;
    lsi_delivery *delivery;
    ls_status st = lsi_delivery_decode(of->memory, entry, &delivery);

    if (st != LS_OK)
        return st;
    *goes_on = of->each(of->user, delivery);
    lsi_delivery_free(delivery);
    return LS_OK;
}

ls_status lsi_delivery_each(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_delivery *delivery),
                            void *user)
{
    looking of = {.memory = &stream->engine->env.memory, .each = each, .user = user};

    return lsi_kept_each(stream, (ls_bytes){LSI_DELIVERY_PREFIX, sizeof(LSI_DELIVERY_PREFIX) - 1}, show_one, &of);
}

/* ---- what its settings amount to ---- */

const char *lsi_delivery_extension(const ls_delivery_options *options)
{
    if (options->extension != NULL)
        return options->extension;
    return options->compression == LS_DELIVERY_GZIP ? ".gz" : options->compression == LS_DELIVERY_ZSTD ? ".zst" : "";
}

ls_status lsi_delivery_naming(const lsi_delivery *delivery, lsi_naming **names, lsi_naming **backup_names)
{
    const ls_delivery_options *options = &delivery->options;
    const lsi_naming_rules rules = {
        .name = delivery->name,
        .prefix = options->prefix,
        .error_prefix = options->error_prefix,
        .extension = lsi_delivery_extension(options),
        .version = delivery->version,
        .is_path = options->directory != NULL,
        .is_dynamic = (options->flags & LS_DELIVERY_PARTITION) != 0,
        .query_keys = options->partition_keys,
        .query_key_count = options->partition_key_count,
        .has_transform = (options->flags & LS_DELIVERY_TRANSFORM) != 0,
    };
    /* The backup has no error output: whatever its prefix is, there is one. */
    const lsi_naming_rules backup_rules = {
        .name = delivery->name,
        .prefix = options->backup_prefix,
        .error_prefix = "!{firehose:error-output-type}/",
        .extension = rules.extension,
        .version = delivery->version,
        .is_path = rules.is_path,
    };
    ls_status st = lsi_naming_open(&delivery->memory, &rules, names);

    *backup_names = NULL;
    if (st != LS_OK || (options->flags & LS_DELIVERY_BACKUP) == 0)
        return st;
    st = lsi_naming_open(&delivery->memory, &backup_rules, backup_names);
    if (st != LS_OK) {
        lsi_naming_close(*names);
        *names = NULL;
        (void)lsi_fail_within("options.backup_prefix");
    }
    return st;
}

ls_status lsi_delivery_queries(const lsi_delivery *delivery, lsi_queries **out)
{
    const ls_delivery_options *options = &delivery->options;
    lsi_query_text texts[LSI_QUERIES_MAX];

    *out = NULL;
    for (uint32_t i = 0; i < options->partition_key_count; i++)
        texts[i] = (lsi_query_text){options->partition_keys[i], options->partition_queries[i]};
    return options->partition_key_count == 0
               ? LS_OK : lsi_queries_open(&delivery->memory, texts, options->partition_key_count, out);
}

/* What only those who use it can check. */
static ls_status check(const lsi_delivery *delivery)
{
    lsi_naming *names, *backup_names;
    lsi_queries *queries;
    ls_status st = lsi_delivery_naming(delivery, &names, &backup_names);

    if (st != LS_OK)
        return st;
    lsi_naming_close(names);
    lsi_naming_close(backup_names);
    st = lsi_delivery_queries(delivery, &queries);
    if (st == LS_OK && delivery->options.compression == LS_DELIVERY_GZIP && !lsi_gzip_is_built())
        st = lsi_fail(LS_ERR_UNSUPPORTED, "options.compression is LS_DELIVERY_GZIP, and this build has no gzip");
    if (st == LS_OK)
        lsi_queries_close(queries);
    return st;
}

/* ---- changing ---- */

/* What makes the delivery what it is; the value is the caller's (lsi_free). */
static ls_status change_of(const lsi_delivery *delivery, char text[LSI_DELIVERY_KEY_BYTES], lsi_state_change *out)
{
    *out = (lsi_state_change){.key = key_of(delivery->name, text), .expected = delivery->state_version};
    return lsi_delivery_encode(&delivery->memory, delivery, &out->value);
}

static void free_value(const lsi_delivery *delivery, const lsi_state_change *change)
{
    lsi_free(&delivery->memory, (void *)(uintptr_t)change->value.data);
}

static ls_status changes_again_and_again(const char *name)
{
    return lsi_fail(LS_ERR_BUSY, "delivery '%s' is changed again and again", name);
}

ls_status lsi_delivery_create(lsi_engine_stream *stream, const char *name, const ls_position *position,
                              const ls_delivery_options *options)
{
    const lsi_env *env = &stream->engine->env;
    lsi_delivery delivery = {.memory = env->memory, .version = 1, .state_version = LSI_STATE_NONE, .options = *options};
    char text[LSI_DELIVERY_KEY_BYTES];
    lsi_state_change change;
    bool is_done = false;
    lsi_lease_start start;
    ls_status st = lsi_check_delivery_name(name);

    if (st == LS_OK)
        st = lsi_lease_start_of(env, "a delivery", position, &start);
    if (st != LS_OK)
        return st;
    (void)snprintf(delivery.name, sizeof delivery.name, "%s", name); /* fits: it was checked */
    do
        env->random(env->random_user, &delivery.id, sizeof delivery.id);
    while (delivery.id == 0);
    delivery.created_us = delivery.modified_us = lsi_wall_us(&env->clock);
    delivery.start_kind = position->kind;
    delivery.start_timestamp_us = position->timestamp_us;
    st = check(&delivery);
    if (st == LS_OK)
        st = change_of(&delivery, text, &change);
    if (st != LS_OK)
        return st;
    for (int tries = 0; st == LS_OK && !is_done; tries++)
        st = tries == TRIES ? changes_again_and_again(name)
                            : lsi_group_make_owned(stream, name, delivery.id, start, (lsi_lease_beside){&change, 1},
                                                   &is_done);
    free_value(&delivery, &change);
    return st;
}

/* `delivery` is a loaded one, and has its new settings. */
static ls_status store(lsi_engine_stream *stream, const lsi_delivery *delivery, bool *is_done)
{
    char text[LSI_DELIVERY_KEY_BYTES];
    lsi_state_change change;
    uint32_t conflict;
    ls_status st = change_of(delivery, text, &change);

    if (st != LS_OK)
        return st;
    st = stream->engine->ops->state_write(stream, &change, 1, &conflict);
    *is_done = st == LS_OK && conflict == 1;
    free_value(delivery, &change);
    return st;
}

static ls_status change(lsi_engine_stream *stream, lsi_delivery *delivery, uint32_t version,
                        const ls_delivery_options *options, bool *is_done)
{
    ls_status st;

    if (version != LS_DELIVERY_ANY_VERSION && version != delivery->version)
        return lsi_fail(LS_ERR_STATE, "delivery '%s' has version %" PRIu32 ", not %" PRIu32, delivery->name,
                        delivery->version, version);
    if ((delivery->options.flags & LS_DELIVERY_BACKUP) != 0 && (options->flags & LS_DELIVERY_BACKUP) == 0)
        return lsi_fail(LS_ERR_STATE, "delivery '%s' has a backup of its source, which cannot be turned off",
                        delivery->name);
    if ((delivery->options.split == NULL) != (options->split == NULL) ||
        (options->split != NULL && strcmp(delivery->options.split, options->split) != 0))
        return lsi_fail(LS_ERR_STATE, "delivery '%s': how records are split cannot be changed, for its places count "
                        "what comes of it", delivery->name);
    delivery->options = *options; /* Borrowed for as long. */
    delivery->version++;
    delivery->modified_us = lsi_wall_us(&stream->engine->env.clock);
    st = check(delivery);
    return st == LS_OK ? store(stream, delivery, is_done) : st;
}

ls_status lsi_delivery_change(lsi_engine_stream *stream, const char *name, uint32_t version,
                              const ls_delivery_options *options)
{
    bool is_done = false;
    ls_status st = LS_OK;

    for (int tries = 0; st == LS_OK && !is_done; tries++) {
        lsi_delivery *delivery;

        st = tries == TRIES ? changes_again_and_again(name) : lsi_delivery_load(stream, name, &delivery);
        if (st != LS_OK)
            return st;
        st = change(stream, delivery, version, options, &is_done);
        lsi_delivery_free(delivery);
    }
    return st;
}

/* ---- removing ---- */

typedef struct removal {
    const lsi_memory *memory;
    char (*keys)[LSI_DELIVERY_AT_KEY_BYTES]; /* [count]: of the delivery, then of its progress in shards */
    size_t *sizes;
    size_t count, keys_capacity, sizes_capacity;
    bool failed;
} removal;

static bool note_key(removal *of, ls_bytes key)
{
    if (key.size > LSI_DELIVERY_AT_KEY_BYTES)
        return true; /* damage, or a later release's */
    of->failed = !lsi_grow(of->memory, (void **)&of->keys, &of->keys_capacity, of->count + 1, sizeof *of->keys) ||
        !lsi_grow(of->memory, (void **)&of->sizes, &of->sizes_capacity, of->count + 1, sizeof *of->sizes);
    if (of->failed)
        return false;
    memcpy(of->keys[of->count], key.data, key.size);
    of->sizes[of->count++] = key.size;
    return true;
}

static bool note_entry(void *user, const lsi_state_entry *entry)
{
    return note_key(user, entry->key);
}

static ls_status remove_all(lsi_engine_stream *stream, const lsi_delivery *delivery, bool *is_done)
{
    const lsi_memory *memory = &delivery->memory;
    char text[LSI_DELIVERY_KEY_BYTES], at[LSI_DELIVERY_AT_KEY_BYTES];
    removal of = {.memory = memory};
    lsi_state_change *changes = NULL;
    int size = snprintf(at, sizeof at, LSI_DELIVERY_AT_PREFIX "%s/", delivery->name);
    ls_status st = LS_OK;

    if (note_key(&of, key_of(delivery->name, text)))
        st = stream->engine->ops->state_read(stream, (ls_bytes){at, (size_t)size}, note_entry, &of);
    if (!of.failed && st == LS_OK)
        changes = lsi_alloc_zero(memory, of.count * sizeof *changes);
    if (st == LS_OK && changes == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for deleting delivery '%s'", delivery->name);
    if (st == LS_OK) {
        for (size_t i = 0; i < of.count; i++)
            changes[i] = (lsi_state_change){.key = {of.keys[i], of.sizes[i]}, .expected = LSI_STATE_ANY};
        changes[0].expected = delivery->state_version;
        st = lsi_group_remove_owned(stream, delivery->name, delivery->id,
                                    (lsi_lease_beside){changes, (uint32_t)of.count}, is_done);
    }
    lsi_free(memory, changes);
    lsi_free(memory, of.keys);
    lsi_free(memory, of.sizes);
    return st;
}

ls_status lsi_delivery_remove(lsi_engine_stream *stream, const char *name)
{
    bool is_done = false;
    ls_status st = LS_OK;

    for (int tries = 0; st == LS_OK && !is_done; tries++) {
        lsi_delivery *delivery = NULL;

        st = tries == TRIES ? changes_again_and_again(name) : lsi_delivery_load(stream, name, &delivery);
        if (st != LS_OK)
            return st;
        st = remove_all(stream, delivery, &is_done);
        lsi_delivery_free(delivery);
    }
    return st;
}
