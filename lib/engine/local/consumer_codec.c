/* A stream's registered consumers in the manifest: FORMAT.md, "Manifest". They are there only where there are any, so a
 * stream without them has one form, which earlier releases read too. */
#include <assert.h>
#include <inttypes.h>

#include "base/status.h"
#include "engine/local/local.h"

#define HEAD_BYTES 8u      /* how many, and their bytes */
#define CONSUMER_BYTES 32u /* and the name, padded to 8 */

static size_t room_of(const lsi_consumer *consumer)
{
    return CONSUMER_BYTES + (size_t)lsi_round_up(strlen(consumer->name), 8);
}

size_t lsi_consumers_room(const lsi_catalog_stream *stream)
{
    size_t bytes = stream->consumer_count > 0 ? HEAD_BYTES : 0;

    for (uint32_t i = 0; i < stream->consumer_count; i++)
        bytes += room_of(&stream->consumers[i]);
    return bytes;
}

void lsi_consumers_encode(lsi_writer *to, const lsi_catalog_stream *stream)
{
    if (stream->consumer_count == 0)
        return;
    lsi_put_u32(to, stream->consumer_count);
    lsi_put_u32(to, (uint32_t)(lsi_consumers_room(stream) - HEAD_BYTES));
    for (uint32_t i = 0; i < stream->consumer_count; i++) {
        const lsi_consumer *consumer = &stream->consumers[i];
        size_t name_bytes = strlen(consumer->name);

        lsi_put_u64(to, consumer->id);
        lsi_put_u64(to, (uint64_t)consumer->created_us);
        lsi_put_u64(to, (uint64_t)consumer->status_until_us);
        lsi_put_u32(to, (uint32_t)consumer->status);
        lsi_put_u32(to, (uint32_t)name_bytes);
        lsi_put_bytes(to, consumer->name, name_bytes);
        lsi_put_zero(to, room_of(consumer) - CONSUMER_BYTES - name_bytes);
    }
}

static ls_status corrupt(const lsi_catalog_stream *stream, const char *what)
{
    return lsi_fail(LS_ERR_CORRUPT, "manifest: the consumers of stream '%s' %s", stream->name, what);
}

static ls_status consumer_decode(lsi_cursor *from, uint64_t last_id, const lsi_catalog_stream *stream,
                                 lsi_consumer *consumer)
{
    const unsigned char *name;
    uint32_t name_bytes;

    consumer->id = lsi_take_u64(from);
    consumer->created_us = (int64_t)lsi_take_u64(from);
    consumer->status_until_us = (int64_t)lsi_take_u64(from);
    consumer->status = (ls_consumer_status)lsi_take_u32(from);
    name_bytes = lsi_take_u32(from);
    if (from->bad || name_bytes > LSI_STREAM_NAME_MAX)
        return corrupt(stream, "end within one");
    name = lsi_take_bytes(from, (size_t)lsi_round_up(name_bytes, 8));
    if (name == NULL)
        return corrupt(stream, "end within a name");
    memcpy(consumer->name, name, name_bytes);
    consumer->name[name_bytes] = '\0';
    if (strlen(consumer->name) != name_bytes || lsi_check_consumer_name(consumer->name) != LS_OK ||
        !lsi_is_zero(name + name_bytes, (size_t)lsi_round_up(name_bytes, 8) - name_bytes))
        return corrupt(stream, "have a name that is none");
    if (consumer->id == 0 || consumer->id > last_id ||
        (consumer->status != LS_CONSUMER_ACTIVE && consumer->status != LS_CONSUMER_CREATING &&
         consumer->status != LS_CONSUMER_DELETING))
        return corrupt(stream, "break their rules");
    return LS_OK;
}

ls_status lsi_consumers_decode(lsi_cursor *from, const lsi_memory *memory, uint64_t last_id,
                               lsi_catalog_stream *stream)
{
    uint32_t count = lsi_take_u32(from), bytes = lsi_take_u32(from);
    lsi_cursor at = {lsi_take_bytes(from, bytes), NULL, false};

    if (from->bad)
        return corrupt(stream, "end too early");
    at.end = at.at + bytes;
    if (count == 0 || count > LSI_CONSUMERS_MAX)
        return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has %" PRIu32 " consumers", stream->name, count);
    stream->consumers = lsi_alloc_zero(memory, count * sizeof(*stream->consumers));
    if (stream->consumers == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %" PRIu32 " consumers", count);
    stream->consumer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ls_status st = consumer_decode(&at, last_id, stream, &stream->consumers[i]);

        if (st != LS_OK)
            return st;
        if (i > 0 && strcmp(stream->consumers[i - 1].name, stream->consumers[i].name) >= 0)
            return corrupt(stream, "are out of order");
    }
    return at.at == at.end ? LS_OK : corrupt(stream, "go on behind the last one");
}
