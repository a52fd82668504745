/* aggregate.h: packing and unpacking by hand. The rules of the format are proved by tests/stream/test_aggregate.c. */
#include "api/support.h"

static ls_put_entry entry_of(const char *key, const char *data)
{
    return (ls_put_entry){text(key), text(data), NULL};
}

static void assert_text(ls_bytes given, const char *expected)
{
    assert_int_equal(given.size, strlen(expected));
    assert_memory_equal(given.data, expected, given.size);
}

static void bad_arguments_are_refused_by_name(void **state)
{
    ls_aggregate_options options = LS_AGGREGATE_OPTIONS_INIT;
    ls_put_entry entry = entry_of("k", "d");
    ls_aggregate *aggregate = NULL;
    ls_user_records *records;
    ls_record record = {.data = {NULL, 1}};
    uint32_t count;
    int32_t fits = 7;

    (void)state;
    assert_int_equal(ls_aggregate_open(NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'out'"));
    options.bytes_max = (10 << 20) + 1;
    assert_int_equal(ls_aggregate_open(&options, &aggregate), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.bytes_max is 10485761: a record has at most 10485760 bytes"));
    options.size = 1;
    assert_int_equal(ls_aggregate_open(&options, &aggregate), LS_ERR_INVALID_ARGUMENT);
    assert_null(aggregate);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    assert_int_equal(ls_aggregate_add(NULL, &entry, &fits), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'aggregate'"));
    assert_int_equal(ls_aggregate_add(aggregate, NULL, &fits), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'record'"));
    assert_int_equal(ls_aggregate_add(aggregate, &entry, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'fits'"));
    entry.data.data = NULL;
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("record->data.data"));
    entry = entry_of("", "d");
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_ERR_INVALID_ARGUMENT);
    entry = entry_of("\xff", "d");
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_ERR_INVALID_ARGUMENT);
    entry.partition_key = (ls_bytes){memset(calloc(1, 257), 'k', 257), 257};
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_ERR_TOO_LARGE);
    free((void *)(uintptr_t)entry.partition_key.data);
    assert_int_equal(fits, 7);
    assert_int_equal(ls_aggregate_record(aggregate, &entry), LS_ERR_STATE);
    assert_true(says("the aggregate is empty"));
    assert_int_equal(ls_aggregate_record(aggregate, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_aggregate_record(NULL, &entry), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_aggregate_count(NULL), 0);
    assert_int_equal(ls_aggregate_bytes(NULL, NULL), 0);
    ls_aggregate_clear(NULL);
    ls_aggregate_close(NULL);
    ls_aggregate_close(aggregate);
    assert_int_equal(ls_user_records_open(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_user_records_open(&records), LS_OK);
    assert_int_equal(ls_user_records_set(NULL, &record, &count), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_user_records_set(records, NULL, &count), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_user_records_set(records, &record, &count), LS_ERR_INVALID_ARGUMENT);
    assert_null(ls_user_records_next(records));
    assert_null(ls_user_records_next(NULL));
    ls_user_records_close(NULL);
    ls_user_records_close(records);
}

static void records_go_in_until_one_does_not_fit(void **state)
{
    ls_aggregate_options options = LS_AGGREGATE_OPTIONS_INIT;
    ls_put_entry entry = entry_of("key", "0123456789"), packed, large = {text("k"), {"", (size_t)5 << 32}, NULL};
    ls_aggregate *aggregate;
    int32_t fits = 1;

    (void)state;
    options.bytes_max = 100;
    assert_int_equal(ls_aggregate_open(&options, &aggregate), LS_OK);
    for (uint32_t i = 0; fits != 0; i++) {
        uint64_t with = ls_aggregate_bytes(aggregate, &entry);

        assert_int_equal(ls_aggregate_count(aggregate), i);
        assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
        assert_int_equal(fits, with <= 100);
        if (fits != 0)
            assert_int_equal(ls_aggregate_bytes(aggregate, NULL), with);
    }
    assert_true(ls_aggregate_bytes(aggregate, &large) > (uint64_t)5 << 32);
    assert_int_equal(ls_aggregate_add(aggregate, &large, &fits), LS_OK);
    assert_int_equal(fits, 0);
    assert_int_equal(ls_aggregate_count(aggregate), 4);
    assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
    assert_int_equal(packed.partition_key.size + packed.data.size, ls_aggregate_bytes(aggregate, NULL));
    ls_aggregate_clear(aggregate);
    assert_int_equal(ls_aggregate_bytes(aggregate, NULL), 0);
    ls_aggregate_close(aggregate);
    options.records_max = 2;
    assert_int_equal(ls_aggregate_open(&options, &aggregate), LS_OK);
    for (int32_t i = 0; i < 3; i++) {
        assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
        assert_int_equal(fits, i < 2);
    }
    ls_aggregate_close(aggregate);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK); /* 51,200 */
    entry.data = (ls_bytes){memset(calloc(1, 51198), 'x', 51198), 51197};
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
    assert_int_equal(fits, 1);
    ls_aggregate_clear(aggregate);
    entry.data.size++;
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
    assert_int_equal(fits, 0);
    free((void *)(uintptr_t)entry.data.data);
    ls_aggregate_close(aggregate);
}

static void what_was_packed_is_put_and_unpacked(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 4);
    ls_put_options put = LS_PUT_OPTIONS_INIT;
    ls_hash_key hash = {UINT64_MAX, 5};
    ls_put_entry entry = entry_of("first", "one"), packed;
    ls_user_records *records;
    ls_aggregate *aggregate;
    ls_producer *producer;
    ls_iterator *iterator;
    const ls_record *r;
    const ls_batch *batch;
    ls_record_id id;
    uint32_t count;
    int32_t fits;

    entry.explicit_hash_key = &hash;
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
    assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK); /* a single one: as it is */
    assert_text(packed.data, "one");
    assert_int_equal(packed.explicit_hash_key->low, 5);
    entry = entry_of("second", "two");
    assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
    assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
    assert_text(packed.partition_key, "first");
    put.explicit_hash_key = packed.explicit_hash_key;
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, packed.partition_key, packed.data, &put, &id), LS_OK);
    assert_int_equal(id.shard, 3);
    assert_int_equal(ls_producer_put(producer, text("third"), text("three"), &put, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 3, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2); /* the store does not look into them */
    assert_int_equal(ls_user_records_open(&records), LS_OK);
    assert_int_equal(ls_user_records_set(records, ls_batch_at(batch, 0), &count), LS_OK);
    assert_int_equal(count, 2);
    r = ls_user_records_next(records);
    assert_text(r->partition_key, "first");
    assert_text(r->data, "one");
    assert_int_equal(r->flags, LS_RECORD_AGGREGATED | LS_RECORD_EXPLICIT_HASH_KEY);
    assert_int_equal(r->explicit_hash_key.low, 5);
    assert_int_equal(r->seqno, ls_batch_at(batch, 0)->seqno);
    r = ls_user_records_next(records);
    assert_text(r->partition_key, "second");
    assert_text(r->data, "two");
    assert_int_equal(r->flags, LS_RECORD_AGGREGATED);
    assert_int_equal(r->sub_seqno, 1);
    assert_int_equal(r->sub_count, 2);
    assert_null(ls_user_records_next(records));
    assert_int_equal(ls_user_records_set(records, ls_batch_at(batch, 1), NULL), LS_OK);
    r = ls_user_records_next(records);
    assert_text(r->data, "three");
    assert_int_equal(r->flags, LS_RECORD_EXPLICIT_HASH_KEY);
    assert_int_equal(r->sub_count, 0);
    assert_null(ls_user_records_next(records));
    ls_user_records_close(records);
    ls_aggregate_close(aggregate);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_refused_by_name),
        cmocka_unit_test(records_go_in_until_one_does_not_fit),
        TEST(what_was_packed_is_put_and_unpacked),
    };

    run_everywhere("aggregate.h", tests);
}
