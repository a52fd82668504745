/* The settings of a delivery: defaults, ranges, and what goes with what. Checked when a caller gives them, and again
 * when they are read from the state, which may hold anything (X1). */
#include "deliver/deliver.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "deliver/naming.h"
#include "deliver/sink_s3.h"

#define FLAGS (LS_DELIVERY_TO_CALLBACK | LS_DELIVERY_TRANSFORM | LS_DELIVERY_PARTITION | LS_DELIVERY_BACKUP)
#define BUFFER_BYTES_DEFAULT (UINT64_C(5) << 20)
#define BUFFER_BYTES_LIMIT (UINT64_C(1) << 30)
#define INTERVAL_MS_DEFAULT 300000
#define INTERVAL_MS_LIMIT 900000
#define TRANSFORM_RETRIES_DEFAULT 3
#define TRANSFORM_RETRIES_LIMIT 300
#define TRANSFORM_BYTES_DEFAULT (1u << 20)
#define TRANSFORM_BYTES_LIMIT (6u << 20)
#define TRANSFORM_RECORDS_DEFAULT 500u
#define TRANSFORM_RECORDS_LIMIT 10000u
#define PARTITIONS_DEFAULT 500u
#define PARTITIONS_LIMIT 5000u
#define DELIMITER_BYTES_MAX 256u
#define PATH_BYTES_MAX 4095u
#define QUERY_BYTES_MAX 4096u
#define KEY_BYTES_MAX 256u

void lsi_delivery_options_resolve(ls_delivery_options *options)
{
    options->size = (uint32_t)sizeof *options;
    if (options->buffer_bytes == 0)
        options->buffer_bytes = BUFFER_BYTES_DEFAULT;
    if (options->interval_ms == 0)
        options->interval_ms = INTERVAL_MS_DEFAULT;
    if (options->transform_retries_max == 0)
        options->transform_retries_max = TRANSFORM_RETRIES_DEFAULT;
    if (options->transform_bytes_max == 0)
        options->transform_bytes_max = TRANSFORM_BYTES_DEFAULT;
    if (options->transform_records_max == 0)
        options->transform_records_max = TRANSFORM_RECORDS_DEFAULT;
    if ((options->flags & LS_DELIVERY_PARTITION) != 0 && options->partitions_max == 0)
        options->partitions_max = PARTITIONS_DEFAULT;
}

static ls_status check_range(const char *field, int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is %" PRId64 ": it is %" PRId64 "..%" PRId64, field,
                          value, least, most);
}

/* What each may be by itself. */
static ls_status check_ranges(const ls_delivery_options *options)
{
    ls_status st;

    if ((options->flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32,
                        options->flags & ~FLAGS);
    if (options->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", options->reserved);
    if (options->reserved_2 != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved_2 is %" PRIu32 ", not 0", options->reserved_2);
    if (options->backup_buffer_bytes > BUFFER_BYTES_LIMIT)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.backup_buffer_bytes is %" PRIu64 ": it is 1..%" PRIu64,
                        options->backup_buffer_bytes, BUFFER_BYTES_LIMIT);
    if (options->backup_interval_ms != LS_DELIVERY_AT_ONCE &&
        check_range("backup_interval_ms", options->backup_interval_ms, 0, INTERVAL_MS_LIMIT) != LS_OK)
        return lsi_error_current()->status;
    if (options->buffer_bytes > BUFFER_BYTES_LIMIT)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.buffer_bytes is %" PRIu64 ": it is 1..%" PRIu64,
                        options->buffer_bytes, BUFFER_BYTES_LIMIT);
    if (options->interval_ms != LS_DELIVERY_AT_ONCE &&
        check_range("interval_ms", options->interval_ms, 1, INTERVAL_MS_LIMIT) != LS_OK)
        return lsi_error_current()->status;
    if (options->transform_retries_max != LS_DELIVERY_NO_RETRIES &&
        check_range("transform_retries_max", options->transform_retries_max, 1, TRANSFORM_RETRIES_LIMIT) != LS_OK)
        return lsi_error_current()->status;
    st = check_range("compression", options->compression, LS_DELIVERY_UNCOMPRESSED, LS_DELIVERY_ZSTD);
    if (st == LS_OK)
        st = check_range("transform_bytes_max", options->transform_bytes_max, 1, TRANSFORM_BYTES_LIMIT);
    if (st == LS_OK)
        st = check_range("transform_records_max", options->transform_records_max, 1, TRANSFORM_RECORDS_LIMIT);
    return st;
}

static ls_status check_text(const char *field, const char *text, size_t least, size_t most)
{
    size_t size = text == NULL ? least : strnlen(text, most + 1);

    return size >= least && size <= most
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s has %s%zu bytes: it has %zu..%zu", field,
                          size > most ? "more than " : "", size > most ? most : size, least, most);
}

static ls_status check_texts(const ls_delivery_options *options)
{
    ls_status st = check_text("prefix", options->prefix, 0, LSI_PREFIX_CONFIGURED_MAX * 4);

    if (st == LS_OK)
        st = check_text("error_prefix", options->error_prefix, 0, LSI_PREFIX_CONFIGURED_MAX * 4);
    if (st == LS_OK)
        st = check_text("backup_prefix", options->backup_prefix, 0, LSI_PREFIX_CONFIGURED_MAX * 4);
    if (st == LS_OK)
        st = check_text("extension", options->extension, 0, LSI_EXTENSION_MAX);
    if (st == LS_OK)
        st = check_text("delimiter", options->delimiter, 0, DELIMITER_BYTES_MAX);
    if (st == LS_OK)
        st = check_text("split", options->split, 0, DELIMITER_BYTES_MAX);
    if (st == LS_OK)
        st = check_text("directory", options->directory, 1, PATH_BYTES_MAX);
    if (st == LS_OK)
        st = check_text("s3_bucket", options->s3_bucket, 1, LSI_S3_TEXT_MAX);
    if (st == LS_OK)
        st = check_text("s3_endpoint", options->s3_endpoint, 1, LSI_S3_TEXT_MAX);
    return st == LS_OK ? check_text("s3_region", options->s3_region, 1, LSI_S3_TEXT_MAX) : st;
}

static ls_status check_partitions(const ls_delivery_options *options)
{
    bool is_on = (options->flags & LS_DELIVERY_PARTITION) != 0;
    ls_status st;

    if (!is_on && (options->partitions_max != 0 || options->partition_key_count != 0))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is given without LS_DELIVERY_PARTITION",
                        options->partitions_max != 0 ? "partitions_max" : "partition_key_count");
    st = is_on ? check_range("partitions_max", options->partitions_max, 1, PARTITIONS_LIMIT) : LS_OK;
    if (st == LS_OK)
        st = check_range("partition_key_count", options->partition_key_count, 0, LSI_PARTITION_KEYS_MAX);
    if (st == LS_OK && options->partition_key_count != 0 &&
        (options->partition_keys == NULL || options->partition_queries == NULL))
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is NULL, and options.partition_key_count is %" PRIu32,
                      options->partition_keys == NULL ? "partition_keys" : "partition_queries",
                      options->partition_key_count);
    for (uint32_t i = 0; st == LS_OK && i < options->partition_key_count; i++) {
        if (options->partition_keys[i] == NULL || options->partition_queries[i] == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s[%" PRIu32 "] is NULL",
                            options->partition_keys[i] == NULL ? "partition_keys" : "partition_queries", i);
        st = check_text("partition_keys", options->partition_keys[i], 1, KEY_BYTES_MAX);
        if (st == LS_OK)
            st = check_text("partition_queries", options->partition_queries[i], 1, QUERY_BYTES_MAX);
    }
    return st;
}

static ls_status check_destination(const ls_delivery_options *options)
{
    bool is_callback = (options->flags & LS_DELIVERY_TO_CALLBACK) != 0;

    int count = is_callback + (options->directory != NULL) + (options->s3_bucket != NULL);

    if (count == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "there is no destination: options.directory is one, or "
                        "options.s3_bucket, or the flag LS_DELIVERY_TO_CALLBACK");
    if (count > 1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "there are two destinations: %s, and %s",
                        options->directory != NULL ? "options.directory" : "options.s3_bucket",
                        is_callback ? "LS_DELIVERY_TO_CALLBACK" : "options.s3_bucket");
    if (options->s3_bucket == NULL && (options->s3_endpoint != NULL || options->s3_region != NULL))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is given without options.s3_bucket",
                        options->s3_endpoint != NULL ? "s3_endpoint" : "s3_region");
    if ((options->flags & LS_DELIVERY_BACKUP) == 0 &&
        (options->backup_prefix != NULL || options->backup_buffer_bytes != 0 || options->backup_interval_ms != 0))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is given without LS_DELIVERY_BACKUP",
                        options->backup_prefix != NULL ? "backup_prefix"
                        : options->backup_buffer_bytes != 0 ? "backup_buffer_bytes" : "backup_interval_ms");
    return options->s3_bucket == NULL
               ? LS_OK : lsi_s3_check(options->s3_bucket, options->s3_endpoint, options->s3_region);
}

ls_status lsi_delivery_options_check(const ls_delivery_options *options)
{
    ls_status st = check_ranges(options);

    if (st == LS_OK)
        st = check_texts(options);
    if (st == LS_OK)
        st = check_partitions(options);
    return st == LS_OK ? check_destination(options) : st;
}
