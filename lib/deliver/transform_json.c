/* A transform in any language: the batch as the service's document, and its answer taken apart into what would have
 * been said of each record. */
#include "deliver/inside.h"

#include <stdio.h>
#include <string.h>

#include "deliver/document.h"

#define UUID_BYTES 37u

void lsi_transform_free_documents(ls_transform *batch)
{
    lsi_json_free(&batch->event);
    lsi_transform_reader_close(batch->reader);
    lsi_free(&batch->env->memory, batch->described);
    lsi_free(&batch->env->memory, batch->numbers);
}

static ls_status no_memory(const ls_transform *batch)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the document of %zu records", batch->count);
}

/* A shard is made at one time, for good. */
static ls_status find_shard(ls_transform *batch)
{
    lsi_stream_info info;
    ls_status st;

    if (batch->has_created && batch->created_of == batch->shard)
        return LS_OK;
    st = batch->stream->engine->ops->info(batch->stream, &info);
    if (st != LS_OK)
        return st;
    batch->created_seconds = 0; /* of a shard that is gone, of which a record was left */
    for (uint32_t i = 0; i < info.shard_count; i++)
        if (info.shards[i].index == batch->shard)
            batch->created_seconds = info.shards[i].created_us / 1000000;
    lsi_stream_info_free(&info);
    batch->created_of = batch->shard;
    batch->has_created = true;
    lsi_shard_id_format(batch->shard, batch->shard_id);
    return LS_OK;
}

/* The records as documents show them. */
static ls_status describe(ls_transform *batch)
{
    const lsi_memory *memory = &batch->env->memory;
    ls_status st = find_shard(batch);

    if (st != LS_OK)
        return st;
    if (!lsi_grow(memory, (void **)&batch->described, &batch->described_capacity, batch->count,
                  sizeof *batch->described) ||
        !lsi_grow(memory, (void **)&batch->numbers, &batch->number_capacity, batch->count, sizeof *batch->numbers))
        return no_memory(batch);
    for (size_t i = 0; i < batch->count; i++) {
        const ls_record *record = batch->records[i];
        const lsi_seqno56 number = {
            .counter = record->seqno,
            .shard = batch->shard,
            .created_seconds = batch->created_seconds,
            .record_seconds = record->arrival_us / 1000000,
        };

        lsi_seqno56_format(&number, batch->numbers[i]);
        batch->described[i] = (lsi_transform_record){
            .data = record->data,
            .partition_key = record->partition_key,
            .sequence_number = batch->numbers[i],
            .subsequence = record->sub_seqno,
            .arrival_us = record->arrival_us,
            .shard_id = batch->shard_id,
        };
    }
    return LS_OK;
}

/* A UUID of version 4. */
static void make_invocation_id(const lsi_env *env, char text[UUID_BYTES])
{
    unsigned char b[16];

    env->random(env->random_user, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    (void)snprintf(text, UUID_BYTES, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                   b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

ls_status lsi_transform_event_json(ls_transform *batch, ls_bytes *out)
{
    char id[UUID_BYTES];
    lsi_transform_batch what = {.invocation_id = id, .count = (uint32_t)batch->count};
    ls_status st;

    if (!batch->has_event) {
        st = describe(batch);
        if (st != LS_OK)
            return st;
        what.records = batch->described;
        make_invocation_id(batch->env, id);
        lsi_json_free(&batch->event);
        lsi_json_begin(&batch->event, &batch->env->memory);
        lsi_transform_request_write(&batch->event, &what);
        if (batch->event.failed)
            return no_memory(batch);
        batch->has_event = true;
    }
    *out = (ls_bytes){batch->event.text, batch->event.size};
    return LS_OK;
}

/* ---- what is answered ---- */

static ls_status say(ls_transform *batch, size_t index, const lsi_transformed *of)
{
    char name[LSI_TRANSFORM_KEY_NAME_MAX + 1];
    ls_status st = LS_OK;

    for (uint32_t i = 0; st == LS_OK && i < of->key_count; i++) {
        memcpy(name, of->keys[i].name.data, of->keys[i].name.size);
        name[of->keys[i].name.size] = '\0';
        st = lsi_transform_set_key(batch, index, name, of->keys[i].value);
    }
    if (st != LS_OK)
        return st;
    switch (of->result) {
    case LSI_TRANSFORM_OK: return lsi_transform_say(batch, index, LSI_VERDICT_REPLACE, of->data);
    case LSI_TRANSFORM_DROPPED: return lsi_transform_say(batch, index, LSI_VERDICT_DROP, (ls_bytes){NULL, 0});
    case LSI_TRANSFORM_FAILED: break;
    }
    return lsi_transform_say(batch, index, LSI_VERDICT_FAIL, (ls_bytes){NULL, 0});
}

/* Forgets all that was said. */
static void begin_again(ls_transform *batch)
{
    /* There is room for as many items: it cannot fail. */
    (void)lsi_transform_begin(batch, batch->records, batch->count, batch->attempts);
}

ls_status lsi_transform_answer_json(ls_transform *batch, ls_bytes document, ls_transform_answer *out)
{
    lsi_transform_batch what = {.count = (uint32_t)batch->count};
    const lsi_transformed *transformed;
    const char *code, *message;
    ls_status st = describe(batch);

    if (st == LS_OK && batch->reader == NULL)
        st = lsi_transform_reader_open(&batch->env->memory, &batch->reader);
    what.records = batch->described;
    if (st == LS_OK)
        st = lsi_transform_response_read(batch->reader, document, &what, &transformed, &code, &message);
    if (st != LS_OK)
        return st;
    begin_again(batch);
    for (size_t i = 0; st == LS_OK && i < batch->count; i++) {
        st = code == NULL ? say(batch, i, &transformed[i])
                          : lsi_transform_say(batch, i, LSI_VERDICT_FAIL, (ls_bytes){message, strlen(message)});
        batch->items[i].code = code;
    }
    if (st != LS_OK) {
        begin_again(batch);
        return st;
    }
    *out = LS_TRANSFORM_DONE;
    return LS_OK;
}
