/* What holds of both prefixes together, and the name behind them.
 *
 * An accepted prefix is one that was evaluated: with the longest time and error type, and keys of one letter. */
#include "deliver/naming.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/iso_time.h"
#include "base/status.h"
#include "deliver/prefix.h"

#define DEFAULT_TIME "yyyy/MM/dd/HH/"
#define LONGEST_TIME_US INT64_C(253402214399999999) /* 9999-12-30T23:59:59.999999Z: two digits wherever there can be */
#define LONGEST_ERROR_TYPE LSI_ERRORS_CONVERSION
#define UUID_BYTES 16
#define UUID_CHARACTERS 36
#define TIME_CHARACTERS 19 /* YYYY-MM-DD-HH-MM-SS */

struct lsi_naming {
    lsi_memory memory;
    lsi_prefix prefixes[2]; /* by use */
    size_t tail_bytes;      /* what stands behind a prefix, at most */
    bool is_path;
};

/* ---- the two prefixes ---- */

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool has_expression(const lsi_prefix *prefix)
{
    return (prefix->kinds & ~(1u << LSI_PART_TEXT)) != 0;
}

static ls_status check_extension(const char *extension)
{
    size_t size = is_given(extension) ? strlen(extension) : 0;

    if (size == 0)
        return LS_OK;
    if (size > LSI_EXTENSION_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the extension has %zu bytes: at most %u", size, LSI_EXTENSION_MAX);
    if (extension[0] != '.' || size == 1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "extension '%s': it is a point and what follows it", extension);
    if (strspn(extension, "abcdefghijklmnopqrstuvwxyz0123456789!-_.*'()") != size)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "extension '%s': it has 0-9 a-z ! - _ . * ' ( ) only", extension);
    return LS_OK;
}

/* Without a time the hour is put behind the prefix, as it is; with partition keys it is not. */
static ls_status read_data_prefix(lsi_naming *naming, const lsi_naming_rules *rules)
{
    lsi_prefix *prefix = &naming->prefixes[LSI_PREFIX_DATA];
    bool is_there = is_given(rules->prefix);
    ls_status st = lsi_prefix_read(prefix, &naming->memory, rules, LSI_PREFIX_DATA, is_there ? rules->prefix : "");

    if (st != LS_OK)
        return st;
    if (!rules->is_dynamic)
        return lsi_prefix_has(prefix, LSI_PART_TIME)
                   ? LS_OK : lsi_prefix_add(prefix, LSI_PART_TIME, DEFAULT_TIME, strlen(DEFAULT_TIME));
    if (!lsi_prefix_has(prefix, LSI_PART_FROM_QUERY) && !lsi_prefix_has(prefix, LSI_PART_FROM_TRANSFORM))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "prefix: with dynamic partitioning it has a "
                                                 "!{partitionKeyFromQuery:KEY} or !{partitionKeyFromLambda:KEY}");
    return LS_OK;
}

/* Behind one without expressions stand the kind of error and the hour. */
static ls_status read_error_prefix(lsi_naming *naming, const lsi_naming_rules *rules, bool data_has_expression)
{
    lsi_prefix *prefix = &naming->prefixes[LSI_PREFIX_ERRORS];
    bool is_there = is_given(rules->error_prefix);
    const char *text = is_there ? rules->error_prefix : is_given(rules->prefix) ? rules->prefix : "";
    ls_status st;

    if (!is_there && (data_has_expression || rules->is_dynamic))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "error prefix: it may be left out only when the prefix has no "
                                                 "expression");
    st = lsi_prefix_read(prefix, &naming->memory, rules, LSI_PREFIX_ERRORS, text);
    if (st != LS_OK)
        return st;
    if (has_expression(prefix))
        return lsi_prefix_has(prefix, LSI_PART_ERROR_TYPE)
                   ? LS_OK
                   : lsi_fail(LS_ERR_INVALID_ARGUMENT, "error prefix: with expressions it has at least one "
                                                       "!{firehose:error-output-type}");
    st = lsi_prefix_add(prefix, LSI_PART_ERROR_TYPE, "", 0);
    if (st == LS_OK)
        st = lsi_prefix_add(prefix, LSI_PART_TEXT, "/", 1);
    return st == LS_OK ? lsi_prefix_add(prefix, LSI_PART_TIME, DEFAULT_TIME, strlen(DEFAULT_TIME)) : st;
}

/* Evaluates with values that the prefix itself is to be judged by. */
static ls_status try_prefix(const lsi_naming *naming, const lsi_naming_rules *rules, lsi_prefix_use use)
{
    ls_bytes letter = {"x", 1}, query_keys[LSI_PARTITION_KEYS_MAX];
    lsi_naming_values values = {.oldest_us = LONGEST_TIME_US, .error_type = LONGEST_ERROR_TYPE,
                                .query_keys = query_keys};
    const lsi_prefix *prefix = &naming->prefixes[use];
    lsi_partition_key *keys = lsi_alloc(&naming->memory, (prefix->part_count + 1) * sizeof *keys);
    char out[LSI_PREFIX_BYTES];
    lsi_error_state why;
    ls_status st;

    if (keys == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a prefix");
    for (uint32_t i = 0; i < rules->query_key_count; i++)
        query_keys[i] = letter;
    for (size_t i = 0; i < prefix->part_count; i++)
        if (prefix->parts[i].kind == LSI_PART_FROM_TRANSFORM)
            keys[values.transform_key_count++] =
                (lsi_partition_key){{prefix->parts[i].text, prefix->parts[i].size}, letter};
    values.transform_keys = keys;
    st = lsi_naming_prefix(naming, use, &values, out);
    lsi_free(&naming->memory, keys);
    if (st == LS_OK)
        return LS_OK;
    lsi_error_save(&why); /* A prefix is an argument, whatever is wrong with it. */
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: %s", lsi_prefix_use_name(use), why.message);
}

ls_status lsi_naming_open(const lsi_memory *memory, const lsi_naming_rules *rules, lsi_naming **out)
{
    lsi_naming *naming;
    ls_status st = check_extension(rules->extension);

    if (st == LS_OK && rules->query_key_count > LSI_PARTITION_KEYS_MAX)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "%u partition keys: at most %u", rules->query_key_count,
                      LSI_PARTITION_KEYS_MAX);
    if (st != LS_OK)
        return st;
    naming = lsi_alloc_zero(memory, sizeof *naming);
    if (naming == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a delivery's prefixes");
    naming->memory = *memory;
    naming->is_path = rules->is_path;
    naming->tail_bytes = strlen(rules->name) + strlen("-4294967295-") + TIME_CHARACTERS + 1 + UUID_CHARACTERS +
                         (is_given(rules->extension) ? strlen(rules->extension) : 0);
    st = read_data_prefix(naming, rules);
    if (st == LS_OK) {
        /* What was added behind it is no expression of its own. */
        bool has_expressions = is_given(rules->prefix) && strstr(rules->prefix, "!{") != NULL;

        st = read_error_prefix(naming, rules, has_expressions);
    }
    if (st == LS_OK)
        st = try_prefix(naming, rules, LSI_PREFIX_DATA);
    if (st == LS_OK)
        st = try_prefix(naming, rules, LSI_PREFIX_ERRORS);
    if (st == LS_OK)
        *out = naming;
    else
        lsi_naming_close(naming);
    return st;
}

void lsi_naming_close(lsi_naming *naming)
{
    if (naming == NULL)
        return;
    lsi_memory memory = naming->memory;

    lsi_prefix_free(&naming->prefixes[LSI_PREFIX_DATA]);
    lsi_prefix_free(&naming->prefixes[LSI_PREFIX_ERRORS]);
    lsi_free(&memory, naming);
}

/* ---- evaluated ---- */

/* "_NAME.schema" beside the objects is a delivery's schema (`lstream apply`). */
static bool is_of_schema(const char *part, size_t size)
{
    static const char end[] = ".schema";

    return size > sizeof end && part[0] == '_' && memcmp(part + size - (sizeof end - 1), end, sizeof end - 1) == 0;
}

/* That the name behind this prefix is no longer than names may be, and as a path leads nowhere else (N2). */
static ls_status check_name(const lsi_naming *naming, const char *prefix)
{
    size_t size = strlen(prefix);

    if (size + naming->tail_bytes > LSI_OBJECT_NAME_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "the evaluated prefix has %zu bytes: at most %zu, so that the name has at "
                                          "most %u", size, LSI_OBJECT_NAME_MAX - naming->tail_bytes,
                        LSI_OBJECT_NAME_MAX);
    if (!naming->is_path)
        return LS_OK;
    for (const char *from = prefix, *end; from != NULL; from = end == NULL ? NULL : end + 1) {
        size_t bytes;

        end = strchr(from, '/');
        bytes = end != NULL ? (size_t)(end - from) : strlen(from) + naming->tail_bytes;
        if (end != NULL && bytes <= 2 && memcmp(from, "..", bytes) == 0)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the evaluated prefix has a component '%.*s'", (int)bytes, from);
        if (end != NULL && is_of_schema(from, bytes))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the evaluated prefix has a component '%.*s', which is a "
                                                     "schema's name", (int)bytes, from);
        if (bytes > LSI_NAME_COMPONENT_MAX)
            return lsi_fail(LS_ERR_TOO_LARGE, "a component of the evaluated prefix, '%.20s...', has %zu bytes in the "
                                              "name: at most %u", from, bytes, LSI_NAME_COMPONENT_MAX);
    }
    return LS_OK;
}

ls_status lsi_naming_prefix(const lsi_naming *naming, lsi_prefix_use use, const lsi_naming_values *values,
                            char out[LSI_PREFIX_BYTES])
{
    ls_status st = lsi_prefix_evaluate(&naming->prefixes[use], values, naming->is_path, out);

    return st == LS_OK ? check_name(naming, out) : st;
}

ls_status lsi_naming_partition(const lsi_naming *naming, const lsi_naming_values *values, char out[LSI_PREFIX_BYTES])
{
    lsi_naming_values longest = *values;
    ls_status st;

    longest.oldest_us = LONGEST_TIME_US;
    st = lsi_naming_prefix(naming, LSI_PREFIX_DATA, &longest, out);
    return st == LS_OK ? lsi_prefix_evaluate_keys(&naming->prefixes[LSI_PREFIX_DATA], values, out) : st;
}

/* ---- the name ---- */

/* A UUID of version 3 (RFC 9562, section 5.3): MD5 of a name space, which is ours, and a name. */
static ls_status make_uuid(const lsi_object *object, char text[UUID_CHARACTERS + 1])
{
    static const unsigned char space[UUID_BYTES] = {0x8c, 0x1d, 0x3a, 0x5e, 0x0b, 0x7f, 0x43, 0x62,
                                                    0x9d, 0x24, 0xe6, 0x11, 0x5a, 0xc0, 0x97, 0x3b};
    unsigned char name[UUID_BYTES + 4 + LSI_OBJECT_NAME_MAX + LSI_OBJECT_IDENTITY_MAX], digest[UUID_BYTES];
    size_t prefix_size = strlen(object->prefix), size = 0;
    lsi_writer to = {name, name + sizeof name};

    if (prefix_size > LSI_OBJECT_NAME_MAX || object->identity.size > LSI_OBJECT_IDENTITY_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "an object's prefix has %zu bytes and its identity %zu: at most %u and %u",
                        prefix_size, object->identity.size, LSI_OBJECT_NAME_MAX, LSI_OBJECT_IDENTITY_MAX);
    lsi_put_bytes(&to, space, sizeof space);
    lsi_put_u32(&to, (uint32_t)prefix_size); /* Where one ends and the other begins is part of it. */
    lsi_put_bytes(&to, object->prefix, prefix_size);
    if (object->identity.size != 0) /* An empty one may have no address. */
        lsi_put_bytes(&to, object->identity.data, object->identity.size);
    lsi_md5(name, (size_t)(to.at - name), digest);
    digest[6] = (unsigned char)((digest[6] & 0x0f) | 0x30);
    digest[8] = (unsigned char)((digest[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < UUID_BYTES; i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;

        size += (size_t)snprintf(text + size, UUID_CHARACTERS + 1 - size, has_dash ? "-%02x" : "%02x", digest[i]);
    }
    return LS_OK;
}

ls_status lsi_object_name(const lsi_object *object, char out[LSI_OBJECT_NAME_BYTES])
{
    lsi_civil when = lsi_civil_of(object->named_us);
    char uuid[UUID_CHARACTERS + 1];
    ls_status st = make_uuid(object, uuid);
    int size;

    if (st != LS_OK)
        return st;
    size = snprintf(out, LSI_OBJECT_NAME_BYTES, "%s%s-%" PRIu32 "-%04" PRId64 "-%02d-%02d-%02d-%02d-%02d-%s%s",
                    object->prefix, object->name, object->version, when.year, when.month, when.day, when.hour,
                    when.minute, when.second, uuid, object->extension != NULL ? object->extension : "");
    if (size > (int)LSI_OBJECT_NAME_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "an object's name has %d bytes: at most %u", size, LSI_OBJECT_NAME_MAX);
    return LS_OK;
}
