/* A delivery as a value of its stream's state, both ways. FORMAT.md ("State") has the table of its fields.
 *
 * What is read may be anything (X1): lengths are checked before they are believed, and settings by the rules that those
 * of a caller must keep. */
#include "deliver/definition.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

/* Each is written only where it is needed: 1 has not the last text, which who splits records has; 2 has zeros where the
 * backup's own buffering is. */
#define FORMAT 3u
#define HEAD_BYTES 100u
#define TEXTS 10u /* that are not in lists */

void lsi_delivery_free(lsi_delivery *delivery)
{
    lsi_memory memory;

    if (delivery == NULL)
        return;
    memory = delivery->memory;
    lsi_free(&memory, delivery->texts);
    lsi_free(&memory, delivery->lists);
    lsi_free(&memory, delivery);
}

/* ---- writing ---- */

/* With its end; 0: there is none. */
static uint32_t text_bytes(const char *text)
{
    return text == NULL ? 0 : (uint32_t)strlen(text) + 1;
}

static void put_text(lsi_writer *to, const char *text)
{
    lsi_put_u32(to, text_bytes(text));
    if (text != NULL)
        lsi_put_bytes(to, text, text_bytes(text));
}

static uint32_t format_of(const ls_delivery_options *options)
{
    if (options->backup_buffer_bytes != 0 || options->backup_interval_ms != 0)
        return FORMAT;
    return options->split == NULL ? 1 : 2;
}

static uint32_t texts_of(uint32_t format)
{
    return format == 1 ? TEXTS - 1 : TEXTS;
}

static void put_head(lsi_writer *to, const lsi_delivery *delivery)
{
    const ls_delivery_options *options = &delivery->options;

    lsi_put_u32(to, format_of(options));
    lsi_put_u32(to, options->flags);
    lsi_put_u64(to, delivery->id);
    lsi_put_u64(to, (uint64_t)delivery->created_us);
    lsi_put_u64(to, (uint64_t)delivery->modified_us);
    lsi_put_u64(to, (uint64_t)delivery->start_timestamp_us);
    lsi_put_u32(to, (uint32_t)delivery->start_kind);
    lsi_put_u32(to, delivery->version);
    lsi_put_u64(to, options->buffer_bytes);
    lsi_put_u32(to, (uint32_t)options->interval_ms);
    lsi_put_u32(to, (uint32_t)options->compression);
    lsi_put_u32(to, (uint32_t)options->transform_retries_max);
    lsi_put_u32(to, options->transform_bytes_max);
    lsi_put_u32(to, options->transform_records_max);
    lsi_put_u32(to, options->partitions_max);
    lsi_put_u32(to, options->partition_key_count);
    lsi_put_u64(to, options->backup_buffer_bytes);
    lsi_put_u32(to, (uint32_t)options->backup_interval_ms);
    lsi_put_u32(to, 0);
}

static void list_texts(const ls_delivery_options *options, const char *out[TEXTS])
{
    const char *texts[TEXTS] = {options->prefix,    options->error_prefix, options->backup_prefix,
                                options->extension, options->delimiter,    options->directory,
                                options->s3_bucket, options->s3_endpoint,  options->s3_region,
                                options->split};

    memcpy(out, texts, sizeof texts);
}

ls_status lsi_delivery_encode(const lsi_memory *memory, const lsi_delivery *delivery, ls_bytes *out)
{
    const ls_delivery_options *options = &delivery->options;
    const uint32_t text_count = texts_of(format_of(options));
    const char *texts[TEXTS];
    size_t size = HEAD_BYTES;
    unsigned char *bytes;
    lsi_writer to;

    list_texts(options, texts);
    for (uint32_t i = 0; i < text_count; i++)
        size += 4 + text_bytes(texts[i]);
    for (uint32_t i = 0; i < options->partition_key_count; i++)
        size += 8 + text_bytes(options->partition_keys[i]) + text_bytes(options->partition_queries[i]);
    bytes = lsi_alloc(memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for delivery '%s'", delivery->name);
    to = (lsi_writer){bytes, bytes + size};
    put_head(&to, delivery);
    for (uint32_t i = 0; i < text_count; i++)
        put_text(&to, texts[i]);
    for (uint32_t i = 0; i < options->partition_key_count; i++) {
        put_text(&to, options->partition_keys[i]);
        put_text(&to, options->partition_queries[i]);
    }
    *out = (ls_bytes){bytes, size};
    return LS_OK;
}

/* ---- reading ---- */

static void take_head(lsi_cursor *from, lsi_delivery *delivery)
{
    ls_delivery_options *options = &delivery->options;

    options->size = (uint32_t)sizeof *options;
    options->flags = lsi_take_u32(from);
    delivery->id = lsi_take_u64(from);
    delivery->created_us = (int64_t)lsi_take_u64(from);
    delivery->modified_us = (int64_t)lsi_take_u64(from);
    delivery->start_timestamp_us = (int64_t)lsi_take_u64(from);
    delivery->start_kind = (ls_position_kind)lsi_take_u32(from);
    delivery->version = lsi_take_u32(from);
    options->buffer_bytes = lsi_take_u64(from);
    options->interval_ms = (int32_t)lsi_take_u32(from);
    options->compression = (ls_delivery_compression)lsi_take_u32(from);
    options->transform_retries_max = (int32_t)lsi_take_u32(from);
    options->transform_bytes_max = lsi_take_u32(from);
    options->transform_records_max = lsi_take_u32(from);
    options->partitions_max = lsi_take_u32(from);
    options->partition_key_count = lsi_take_u32(from);
    options->backup_buffer_bytes = lsi_take_u64(from);
    options->backup_interval_ms = (int32_t)lsi_take_u32(from);
    options->reserved_2 = lsi_take_u32(from);
}

/* A view of `texts`, which is a copy of what began at `begin`. */
static const char *take_text(lsi_cursor *from, const unsigned char *begin, const char *texts)
{
    size_t size = lsi_take_u32(from), at = from->bad ? 0 : (size_t)(from->at - begin);
    const unsigned char *bytes = size == 0 ? NULL : lsi_take_bytes(from, size);

    if (size == 0 || bytes == NULL)
        return NULL;
    if (memchr(bytes, 0, size) != bytes + size - 1)
        from->bad = true;
    return texts + at;
}

static ls_status take_texts(lsi_cursor *from, lsi_delivery *delivery, uint32_t text_count)
{
    ls_delivery_options *options = &delivery->options;
    const unsigned char *begin = from->at;
    size_t size = from->bad ? 0 : (size_t)(from->end - from->at), count = options->partition_key_count;
    const char *texts[TEXTS] = {NULL};

    if (from->bad || count > LSI_PARTITION_KEYS_MAX) {
        from->bad = true;
        return LS_OK;
    }
    delivery->texts = lsi_alloc(&delivery->memory, size);
    delivery->lists = lsi_alloc_zero(&delivery->memory, (2 * count + 1) * sizeof *delivery->lists);
    if (delivery->texts == NULL || delivery->lists == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for delivery '%s'", delivery->name);
    memcpy(delivery->texts, begin, size);
    for (uint32_t i = 0; i < text_count; i++)
        texts[i] = take_text(from, begin, delivery->texts);
    for (size_t i = 0; i < count; i++) {
        delivery->lists[i] = take_text(from, begin, delivery->texts);
        delivery->lists[count + i] = take_text(from, begin, delivery->texts);
    }
    options->prefix = texts[0];
    options->error_prefix = texts[1];
    options->backup_prefix = texts[2];
    options->extension = texts[3];
    options->delimiter = texts[4];
    options->directory = texts[5];
    options->s3_bucket = texts[6];
    options->s3_endpoint = texts[7];
    options->s3_region = texts[8];
    options->split = texts[9];
    options->partition_keys = count == 0 ? NULL : delivery->lists;
    options->partition_queries = count == 0 ? NULL : delivery->lists + count;
    return LS_OK;
}

static bool is_valid(const lsi_delivery *delivery)
{
    lsi_error_state error;
    bool valid;

    lsi_error_save(&error);
    valid = (delivery->start_kind == LS_TRIM_HORIZON || delivery->start_kind == LS_LATEST ||
             delivery->start_kind == LS_AT_TIMESTAMP) &&
        delivery->version != 0 && delivery->options.buffer_bytes != 0 &&
        lsi_delivery_options_check(&delivery->options) == LS_OK;
    lsi_error_restore(&error);
    return valid;
}

ls_status lsi_delivery_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_delivery **out)
{
    const char *key = entry->key.data;
    size_t prefix = sizeof(LSI_DELIVERY_PREFIX) - 1, name_size = entry->key.size - prefix;
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    lsi_delivery *delivery;
    uint32_t format;
    ls_status st;

    if (name_size == 0 || name_size > LSI_STREAM_NAME_MAX)
        return lsi_fail(LS_ERR_CORRUPT, "the state has a delivery whose name is of %zu bytes", name_size);
    delivery = lsi_alloc_zero(memory, sizeof *delivery);
    if (delivery == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a delivery");
    delivery->memory = *memory;
    memcpy(delivery->name, key + prefix, name_size);
    delivery->state_version = entry->version;
    format = lsi_take_u32(&from);
    if (format > FORMAT) {
        st = lsi_fail(LS_ERR_VERSION, "delivery '%s' is of format %u: this release knows %u", delivery->name, format,
                      FORMAT);
        goto fail;
    }
    take_head(&from, delivery);
    st = take_texts(&from, delivery, texts_of(format));
    if (st == LS_OK &&
        (format != format_of(&delivery->options) || from.bad || from.at != from.end || !is_valid(delivery)))
        st = lsi_fail(LS_ERR_CORRUPT, "the state's value of delivery '%s', %zu bytes, is none", delivery->name,
                      entry->value.size);
    if (st != LS_OK)
        goto fail;
    *out = delivery;
    return LS_OK;
fail:
    lsi_delivery_free(delivery);
    return st;
}
