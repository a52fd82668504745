/* The exported functions of aggregate.h: arguments are checked, and the room `stream` packs and unpacks. Nothing here
 * has to do with a store, so memory is the C library's. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

#define BYTES_MAX_DEFAULT 51200u /* the KPL's */

/* ---- packing ---- */

struct ls_aggregate {
    lsi_pack *pack;
    ls_hash_key explicit_hash_key; /* what the record to put points to */
};

ls_status ls_aggregate_open(const ls_aggregate_options *options, ls_aggregate **out)
{
    ls_aggregate_options own;
    ls_aggregate *aggregate;
    ls_status st;

    LSI_REFUSE_NULL(out);
    lsi_error_begin();
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_aggregate_options, bytes_max));
    if (st != LS_OK)
        return st;
    if (own.bytes_max > LSI_RECORD_BYTES_MAX_LIMIT)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.bytes_max is %" PRIu32 ": a record has at most %u bytes",
                        own.bytes_max, LSI_RECORD_BYTES_MAX_LIMIT);
    aggregate = lsi_alloc_zero(&lsi_memory_libc, sizeof *aggregate);
    if (aggregate == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to aggregate records");
    st = lsi_pack_open(&lsi_memory_libc, own.bytes_max != 0 ? own.bytes_max : BYTES_MAX_DEFAULT,
                       own.records_max != 0 ? own.records_max : UINT32_MAX, &aggregate->pack);
    if (st != LS_OK) {
        lsi_free(&lsi_memory_libc, aggregate);
        return st;
    }
    *out = aggregate;
    return lsi_error_end(LS_OK);
}

void ls_aggregate_close(ls_aggregate *aggregate)
{
    if (aggregate != NULL)
        lsi_pack_close(aggregate->pack);
    lsi_free(&lsi_memory_libc, aggregate);
}

ls_status ls_aggregate_add(ls_aggregate *aggregate, const ls_put_entry *record, int32_t *fits)
{
    bool is_added;
    ls_status st;

    LSI_REFUSE_NULL(aggregate);
    LSI_REFUSE_NULL(record);
    LSI_REFUSE_NULL(fits);
    lsi_error_begin();
    st = lsi_check_record(record->partition_key, (ls_bytes){record->data.data, 0}, UINT32_MAX);
    if (st != LS_OK)
        return st;
    if (record->data.size != 0)
        LSI_REFUSE_NULL(record->data.data);
    st = lsi_pack_add(aggregate->pack, record->partition_key, record->explicit_hash_key, record->data, &is_added);
    if (st == LS_OK)
        *fits = is_added;
    return lsi_error_end(st);
}

uint32_t ls_aggregate_count(const ls_aggregate *aggregate)
{
    return aggregate == NULL ? 0 : lsi_pack_count(aggregate->pack);
}

uint64_t ls_aggregate_bytes(const ls_aggregate *aggregate, const ls_put_entry *with)
{
    if (aggregate == NULL)
        return 0;
    if (with == NULL)
        return lsi_pack_bytes(aggregate->pack);
    return lsi_pack_bytes_with(aggregate->pack, with->partition_key, with->explicit_hash_key, with->data.size);
}

ls_status ls_aggregate_record(ls_aggregate *aggregate, ls_put_entry *out)
{
    lsi_packed packed;
    ls_status st;

    LSI_REFUSE_NULL(aggregate);
    LSI_REFUSE_NULL(out);
    lsi_error_begin();
    if (lsi_pack_count(aggregate->pack) == 0)
        return lsi_fail(LS_ERR_STATE, "the aggregate is empty");
    st = lsi_pack_finish(aggregate->pack, &packed);
    if (st != LS_OK)
        return st;
    aggregate->explicit_hash_key = packed.explicit_hash_key;
    *out = (ls_put_entry){packed.partition_key, packed.data,
                          packed.has_explicit ? &aggregate->explicit_hash_key : NULL};
    return lsi_error_end(LS_OK);
}

void ls_aggregate_clear(ls_aggregate *aggregate)
{
    if (aggregate != NULL)
        lsi_pack_clear(aggregate->pack);
}

/* ---- unpacking ---- */

struct ls_user_records {
    lsi_unpack unpack;
    bool has_plain; /* `record` is the one that was set, and is still to be given */
    ls_record record;
};

ls_status ls_user_records_open(ls_user_records **out)
{
    ls_user_records *records;

    LSI_REFUSE_NULL(out);
    lsi_error_begin();
    records = lsi_alloc_zero(&lsi_memory_libc, sizeof *records);
    if (records == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to de-aggregate records");
    records->unpack.memory = &lsi_memory_libc;
    *out = records;
    return lsi_error_end(LS_OK);
}

void ls_user_records_close(ls_user_records *records)
{
    if (records != NULL)
        lsi_unpack_free(&records->unpack);
    lsi_free(&lsi_memory_libc, records);
}

ls_status ls_user_records_set(ls_user_records *records, const ls_record *record, uint32_t *count)
{
    bool is_aggregate;
    ls_status st;

    LSI_REFUSE_NULL(records);
    LSI_REFUSE_NULL(record);
    if (record->data.size != 0)
        LSI_REFUSE_NULL(record->data.data);
    lsi_error_begin();
    st = lsi_unpack_begin(&records->unpack, record, NULL, &is_aggregate);
    records->has_plain = st == LS_OK && !is_aggregate;
    if (records->has_plain)
        records->record = *record;
    if (st == LS_OK && count != NULL)
        *count = is_aggregate ? lsi_unpack_left(&records->unpack) : 1;
    return lsi_error_end(st);
}

const ls_record *ls_user_records_next(ls_user_records *records)
{
    if (records == NULL)
        return NULL;
    if (records->has_plain)
        records->has_plain = false;
    else if (lsi_unpack_next(&records->unpack, &records->record, 1, NULL) == 0)
        return NULL;
    return &records->record;
}
