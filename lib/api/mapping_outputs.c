/* ls_handler_put: what a handler puts to be one step with its batch. It is kept in a transaction, one for each shard
 * that is worked on, with the record of the batch that each put comes of; the room `consume` says which of it counts,
 * and makes the step, of which the place behind the batch is the other half (mapping/step.c). */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

struct lsi_outputs {
    lsi_memory memory;
    ls_txn *txn;
    uint32_t *indexes; /* of each put: the record of the batch */
    size_t capacity;
};

static void close_outputs(lsi_outputs *outputs)
{
    lsi_memory memory;

    if (outputs == NULL)
        return;
    memory = outputs->memory;
    ls_txn_close(outputs->txn);
    lsi_free(&memory, outputs->indexes);
    lsi_free(&memory, outputs);
}

static ls_status open_outputs(ls_store *store, lsi_outputs **out)
{
    lsi_outputs *outputs = lsi_alloc_zero(&store->env.memory, sizeof *outputs);
    ls_status st;

    if (outputs == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what a handler puts");
    outputs->memory = store->env.memory;
    st = ls_txn_begin(store, NULL, &outputs->txn);
    if (st == LS_OK)
        *out = outputs;
    else
        close_outputs(outputs);
    return st;
}

static uint32_t keep(lsi_outputs *outputs, uint32_t below)
{
    if (below == 0)
        ls_txn_abort(outputs->txn);
    else if (below != UINT32_MAX)
        lsi_txn_keep(outputs->txn, outputs->indexes, below);
    return lsi_txn_count(outputs->txn);
}

static ls_status commit(lsi_outputs *outputs, lsi_take_step *take, void *user)
{
    return lsi_txn_commit(outputs->txn, take, user);
}

const lsi_outputs_ops lsi_mapping_outputs = {.keep = keep, .commit = commit, .close = close_outputs};

ls_status ls_handler_put(ls_handler_context *context, size_t index, ls_stream *stream, ls_bytes partition_key,
                         ls_bytes data, const ls_put_options *options)
{
    const ls_mapping *mapping;
    lsi_outputs *to;
    uint32_t count;
    ls_status st;

    LSI_REFUSE_NULL(context);
    mapping = context->handle;
    if (context->outputs == NULL)
        return lsi_fail(LS_ERR_STATE, "mapping '%s' is without LS_MAPPING_EXACTLY_ONCE", mapping->name);
    count = lsi_handler_records(context);
    if (index >= count && index > 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "index is %zu: the batch has %" PRIu32 " records", index, count);
    if (*context->outputs == NULL) {
        st = open_outputs(mapping->stream->store, context->outputs);
        if (st != LS_OK)
            return st;
    }
    to = *context->outputs;
    count = lsi_txn_count(to->txn);
    if (!lsi_grow(&to->memory, (void **)&to->indexes, &to->capacity, (size_t)count + 1, sizeof *to->indexes))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %" PRIu32 " puts of a handler", count + 1);
    st = ls_txn_put(to->txn, stream, partition_key, data, options);
    if (st == LS_OK)
        to->indexes[count] = (uint32_t)index;
    return st;
}
