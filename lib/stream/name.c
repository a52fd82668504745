/* Names of streams, of what reads them, and of shards. All but the last are strict, since the store is made of them; a
 * shard's id is read as leniently as the service reads it (`x-5` and `5` are `shardId-000000000005`), since ids come
 * from people and other programs. Characters are compared as ASCII: isalnum() would ask the locale. */
#include "stream/stream.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define SHARD_MAX 2147483647u
#define SHARD_ID_TEXT_MAX 128u /* the service's limit for an id as given */

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

static ls_status check_name(const char *what, const char *name)
{
    size_t size;

    if (name == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s name is NULL", what);
    size = strnlen(name, LSI_STREAM_NAME_MAX + 1);
    if (size == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s name is empty: it has 1..%u characters", what,
                        LSI_STREAM_NAME_MAX);
    if (size > LSI_STREAM_NAME_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s name '%.*s...' is longer than %u characters", what,
                        (int)LSI_STREAM_NAME_MAX, name, LSI_STREAM_NAME_MAX);
    for (size_t i = 0; i < size; i++)
        if (!is_name_character(name[i]))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                            "%s name '%s': byte 0x%02x at %zu is not one of a-z A-Z 0-9 _ . -", what, name,
                            (unsigned)(unsigned char)name[i], i);
    return LS_OK;
}

ls_status lsi_check_stream_name(const char *name)
{
    return check_name("stream", name);
}

ls_status lsi_check_consumer_name(const char *name)
{
    return check_name("consumer", name);
}

ls_status lsi_check_mapping_name(const char *name)
{
    return check_name("mapping", name);
}

ls_status lsi_check_alert_name(const char *name)
{
    return check_name("alert", name);
}

ls_status lsi_check_delivery_name(const char *name)
{
    return check_name("delivery", name);
}

ls_status lsi_check_group_name(const char *name)
{
    return check_name("group", name);
}

ls_status lsi_check_window_name(const char *name)
{
    return check_name("window", name);
}

void lsi_stream_arn(const char *name, char text[LSI_STREAM_ARN_BYTES])
{
    (void)snprintf(text, LSI_STREAM_ARN_BYTES, LSI_STREAM_ARN_PREFIX "%s", name); /* A name that was checked fits. */
}

void lsi_shard_id_format(uint32_t shard, char text[LSI_SHARD_ID_BYTES])
{
    (void)snprintf(text, LSI_SHARD_ID_BYTES, "shardId-%012u", shard); /* 20 characters: always fits. */
}

ls_status lsi_shard_id_parse(const char *text, uint32_t *out)
{
    const char *digits;
    uint32_t shard = 0;
    size_t size;

    if (text == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard id is NULL");
    size = strnlen(text, SHARD_ID_TEXT_MAX + 1);
    if (size > SHARD_ID_TEXT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard id '%.40s...' is longer than %u characters", text,
                        SHARD_ID_TEXT_MAX);
    digits = memchr(text, '-', size);
    digits = digits == NULL ? text : digits + 1;
    if (*digits == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard id '%s' has no number", text);
    for (; *digits != '\0'; digits++) {
        uint32_t digit = (uint32_t)(unsigned char)*digits - '0';

        if (digit > 9)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard id '%s' is not a number after its first '-'", text);
        if (shard > (SHARD_MAX - digit) / 10)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard id '%s' is above %u", text, SHARD_MAX);
        shard = shard * 10 + digit;
    }
    *out = shard;
    return LS_OK;
}
