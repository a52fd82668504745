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

static bool is_numbered(const ls_put_options *options)
{
    return (options->producer.high | options->producer.low) != 0;
}

/* Of `count` records, from 1. */
static ls_status check_numbers(const ls_put_options *options, size_t count)
{
    if (!is_numbered(options)) {
        if (options->number != 0 || options->numbers != NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.number%s without options.producer",
                            options->numbers != NULL ? "s" : "");
        return LS_OK;
    }
    if (options->numbers == NULL) {
        if (options->number == 0 || options->number > LS_NUMBER_MAX || count - 1 > LS_NUMBER_MAX - options->number)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.number is %" PRIu64 " for %zu records: numbers are 1..%"
                            PRIu64, options->number, count, LS_NUMBER_MAX);
        return LS_OK;
    }
    if (options->number != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.number is %" PRIu64 ", and options.numbers say others",
                        options->number);
    for (size_t i = 0; i < count; i++) {
        if (options->numbers[i] == 0 || options->numbers[i] > LS_NUMBER_MAX)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "record %zu has the number %" PRIu64 ": numbers are 1..%" PRIu64,
                            i, options->numbers[i], LS_NUMBER_MAX);
        if (i > 0 && options->numbers[i] <= options->numbers[i - 1])
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "record %zu has the number %" PRIu64 " behind %" PRIu64
                            ": numbers rise", i, options->numbers[i], options->numbers[i - 1]);
    }
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

        if (st == LS_OK && own.numbers != NULL)
            st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.numbers are for batches: a single put has options.number");
        if (st == LS_OK)
            st = check_numbers(&own, 1);
        if (st != LS_OK)
            return st;
        if (is_numbered(&own)) {
            const ls_put_entry entry = {partition_key, data, own.explicit_hash_key};
            return lsi_error_end(lsi_producer_put_numbered(producer->producer, &entry, &own, out));
        }
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
    if (count != 0)
        st = check_numbers(&own, count);
    if (st != LS_OK)
        return st;
    st = is_numbered(&own)
             ? lsi_producer_put_numbered_batch(producer->producer, entries, count, &own, results, &not_stored)
             : lsi_producer_put_batch(producer->producer, entries, count, own.durability,
                                      (own.flags & LS_PUT_ATOMIC) != 0, results, &not_stored);
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

uint64_t ls_producer_repeats(const ls_producer *producer)
{
    return producer == NULL ? 0 : lsi_producer_repeats(producer->producer);
}
