/* The exported functions of producer.h: arguments and options are checked, then the room `produce` does the work. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

ls_status ls_producer_open(ls_stream *stream, const ls_producer_options *options, ls_producer **out)
{
    ls_producer_options own;
    ls_producer *producer;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_PUT, stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_producer_options, reserved));
    if (st != LS_OK)
        return st;
    if (own.reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", own.reserved);
    producer = lsi_alloc_zero(&stream->store->env.memory, sizeof *producer);
    if (producer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a producer", stream->name);
    producer->stream = stream;
    st = lsi_producer_open(stream->stream, &producer->producer);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, producer);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = producer;
    return lsi_error_end(LS_OK);
}

ls_status ls_producer_close(ls_producer *producer)
{
    ls_stream *stream;

    if (producer == NULL)
        return LS_OK;
    stream = producer->stream;
    lsi_producer_close(producer->producer);
    lsi_free(&stream->store->env.memory, producer);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return LS_OK;
}

/* `flags` are those that the call knows. */
static ls_status import_put_options(ls_put_options *own, const ls_put_options *options, uint32_t flags)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, LSI_SIZE_UP_TO(ls_put_options, explicit_hash_key));

    if (st != LS_OK)
        return st;
    if (own->durability < LS_DURABILITY_DEFAULT || own->durability > LS_DURABILITY_SYNC)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.durability is %" PRId32 ": it is %d..%d", own->durability,
                        LS_DURABILITY_DEFAULT, LS_DURABILITY_SYNC);
    if ((own->flags & ~flags) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags are 0x%" PRIx32 ": this call takes 0x%" PRIx32,
                        own->flags, flags);
    if (own->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", own->reserved);
    return LS_OK;
}

ls_status ls_producer_put(ls_producer *producer, ls_bytes partition_key, ls_bytes data, const ls_put_options *options,
                          ls_record_id *out)
{
    const ls_hash_key *explicit_key = NULL;
    ls_durability durability = LS_DURABILITY_DEFAULT;

    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    if (options != NULL) {
        ls_put_options own;
        ls_status st = import_put_options(&own, options, 0);

        if (st != LS_OK)
            return st;
        explicit_key = own.explicit_hash_key;
        durability = own.durability;
    }
    return lsi_error_end(lsi_producer_put(producer->producer, partition_key, data, explicit_key, durability, out));
}

ls_status ls_producer_put_batch(ls_producer *producer, const ls_put_entry *entries, size_t count,
                                const ls_put_options *options, ls_put_result *results, size_t *failed)
{
    ls_put_options own;
    size_t not_stored = SIZE_MAX; /* not told */
    ls_status st;

    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    if (count != 0)
        LSI_REFUSE_NULL(entries);
    st = import_put_options(&own, options, LS_PUT_ATOMIC);
    if (st != LS_OK)
        return st;
    if (own.explicit_hash_key != NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                        "options.explicit_hash_key is for single puts: entries have their own");
    st = lsi_producer_put_batch(producer->producer, entries, count, own.durability, (own.flags & LS_PUT_ATOMIC) != 0,
                                results, &not_stored);
    if (failed != NULL && not_stored != SIZE_MAX)
        *failed = not_stored;
    return not_stored == 0 ? lsi_error_end(st) : st; /* Else the last error is that of a record. */
}

ls_status ls_producer_flush(ls_producer *producer)
{
    LSI_REFUSE_NULL(producer);
    LSI_ENTER(producer->stream->store);
    return lsi_error_end(lsi_producer_flush(producer->producer));
}
