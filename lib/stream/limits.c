/* The rules that a record must meet before anything else looks at it. The numbers stand in stream.h; the checks are
 * here so that every way in (one put, a batch, the tool) refuses the same things with the same line. */
#include "stream/stream.h"

#include "base/status.h"
#include "base/utf8.h"

ls_status lsi_check_partition_key(ls_bytes key)
{
    size_t count;

    if (key.size == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "partition key is empty: it has 1..%u characters",
                        LSI_KEY_CODE_POINTS_MAX);
    if (key.data == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "partition key of %zu bytes has no address", key.size);
    if (key.size > LSI_KEY_BYTES_MAX) /* No code point takes more than 4 bytes: too many without counting. */
        return lsi_fail(LS_ERR_TOO_LARGE, "partition key has %zu bytes: the limit is %u characters", key.size,
                        LSI_KEY_CODE_POINTS_MAX);
    count = lsi_utf8_count(key.data, key.size);
    if (count == LSI_UTF8_BAD)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "partition key of %zu bytes is not valid UTF-8", key.size);
    if (count > LSI_KEY_CODE_POINTS_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "partition key has %zu characters: the limit is %u", count,
                        LSI_KEY_CODE_POINTS_MAX);
    return LS_OK;
}

bool lsi_partition_key_is_valid(ls_bytes key)
{
    return key.size != 0 && key.size <= LSI_KEY_BYTES_MAX &&
           lsi_utf8_count(key.data, key.size) <= LSI_KEY_CODE_POINTS_MAX;
}

ls_status lsi_check_retention_change(const char *stream, uint32_t present_hours, uint32_t hours, bool up)
{
    if (hours < LSI_RETENTION_HOURS_MIN)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "retention of %u hours for stream '%s' is too short: the least is %u",
                        hours, stream, LSI_RETENTION_HOURS_MIN);
    if (hours > LSI_RETENTION_HOURS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "retention of %u hours for stream '%s' is too long: the most is %u",
                        hours, stream, LSI_RETENTION_HOURS_MAX);
    if (up && hours < present_hours)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                        "retention of %u hours for stream '%s' is shorter than the present %u: "
                        "that is a decrease", hours, stream, present_hours);
    if (!up && hours > present_hours)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "retention of %u hours for stream '%s' is longer than the present %u: "
                        "that is an increase", hours, stream, present_hours);
    return LS_OK;
}

ls_status lsi_check_record(ls_bytes key, ls_bytes data, uint32_t record_bytes_max)
{
    ls_status st = lsi_check_partition_key(key);

    if (st != LS_OK)
        return st;
    if (data.data == NULL && data.size != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "data of %zu bytes has no address", data.size);
    /* Subtracted, since a sum with a caller's size may wrap. A key is shorter than any limit of a stream, but a limit
     * is a caller's value too. */
    if (key.size > record_bytes_max || data.size > record_bytes_max - key.size)
        return lsi_fail(LS_ERR_TOO_LARGE, "record has a key of %zu and data of %zu bytes: the limit is %u together",
                        key.size, data.size, record_bytes_max);
    return LS_OK;
}
