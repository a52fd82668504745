/* The few forms of protobuf's wire that aggregated records use: varints, and fields of a type and a number. */
#ifndef LSI_STREAM_PROTOBUF_H
#define LSI_STREAM_PROTOBUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define LSI_VARINT_BYTES_MAX 10u
#define LSI_GROUP_DEPTH_MAX 100u /* as protobuf's own parsers have it */

/* The messages of kinesis-api.md section 13: the first byte of each of their fields, number * 8 + type. */
enum {
    LSI_FIELD_PARTITION_KEY = 0x0a,  /* of AggregatedRecord: repeated string */
    LSI_FIELD_HASH_KEY = 0x12,       /* repeated string, a decimal number */
    LSI_FIELD_RECORD = 0x1a,         /* repeated Record */
    LSI_FIELD_KEY_INDEX = 0x08,      /* of Record: required uint64 */
    LSI_FIELD_HASH_KEY_INDEX = 0x10, /* optional uint64 */
    LSI_FIELD_DATA = 0x1a            /* required bytes; tags, 0x22, are skipped as what is not known is */
};

static inline uint32_t lsi_varint_bytes(uint64_t value)
{
    return value < 0x80 ? 1 : (63u - (uint32_t)__builtin_clzll(value)) / 7 + 1;
}

static inline unsigned char *lsi_varint_write(unsigned char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

/* Bits past the 64th are dropped, as everybody's parser does. Ten bytes that all say that there are more: bad. */
static inline uint64_t lsi_varint_take(lsi_cursor *from)
{
    uint64_t value = 0;

    if (from->at < from->end && *from->at < 0x80)
        return *from->at++;
    for (uint32_t shift = 0; shift < 7 * LSI_VARINT_BYTES_MAX && from->at < from->end; shift += 7) {
        unsigned char byte = *from->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    from->bad = true;
    return 0;
}

/* A length, and a view of as many bytes. */
static inline ls_bytes lsi_protobuf_take_bytes(lsi_cursor *from)
{
    uint64_t size = lsi_varint_take(from);
    const unsigned char *at = from->at;

    if (from->bad || size > (uint64_t)(from->end - at)) {
        from->bad = true;
        return (ls_bytes){at, 0};
    }
    from->at += size;
    return (ls_bytes){at, (size_t)size};
}

/* Passes over the value of a field that is not known. Groups (types 3 and 4), which protobuf gave up before there were
 * aggregates, are bad: whoever takes them, too, asks lsi_protobuf_skip_any. */
static inline void lsi_protobuf_skip(lsi_cursor *from, uint32_t field)
{
    uint32_t fixed = (field & 7) == 1 ? 8 : 4;

    if (field >> 3 == 0) {
        from->bad = true;
    } else if ((field & 7) == 0) {
        (void)lsi_varint_take(from); /* A cut one leaves the cursor bad. */
    } else if ((field & 7) == 2) {
        (void)lsi_protobuf_take_bytes(from);
    } else if (((field & 7) == 1 || (field & 7) == 5) && fixed <= (size_t)(from->end - from->at)) {
        from->at += fixed;
    } else {
        from->bad = true;
    }
}

/* The same with groups: of one all fields, other groups too, are passed over, up to the end with its number. Deeper
 * than parsers go it is bad. */
static inline void lsi_protobuf_skip_any(lsi_cursor *from, uint32_t field)
{
    uint32_t open[LSI_GROUP_DEPTH_MAX], depth = 0;

    do {
        if ((field & 7) == 3 && field >> 3 != 0 && depth < LSI_GROUP_DEPTH_MAX)
            open[depth++] = field >> 3;
        else if ((field & 7) == 4 && depth != 0 && field >> 3 == open[depth - 1])
            depth--;
        else
            lsi_protobuf_skip(from, field);
        if (depth != 0)
            field = (uint32_t)lsi_varint_take(from);
    } while (depth != 0 && !from->bad);
}

#endif
