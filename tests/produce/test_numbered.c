/* produce/numbered.c: numbered puts among closed shards, limits and failures, on an engine that remembers all
 * numbers. */
#include "produce/support.h"

#define RECORDS 8u

static const ls_producer_id me = {7, 9};

static ls_put_options numbered(uint64_t number)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.producer = me;
    options.number = number;
    return options;
}

static ls_status put_numbered(fixture *fx, uint64_t number, ls_hash_key hash, ls_record_id *out)
{
    const ls_put_options options = numbered(number);
    const ls_put_entry entry = {text("k"), text("data"), &hash};

    return lsi_producer_put_numbered(fx->producer, &entry, &options, out);
}

/* Every second record goes to the second of two shards. */
static ls_status put_batch(fixture *fx, uint32_t count, uint64_t number, uint32_t flags, ls_put_result *results,
                           size_t *failed)
{
    ls_put_options options = numbered(number);
    ls_put_entry entries[RECORDS];
    ls_hash_key hashes[RECORDS];

    options.flags = flags;
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = key_in(flags == 0 && i % 2 != 0, 2);
        entries[i] = (ls_put_entry){text("k"), text("data"), &hashes[i]};
    }
    return lsi_producer_put_numbered_batch(fx->producer, entries, count, &options, results, failed);
}

static void reveal(void *user)
{
    memory_engine_hide_changes(user, false);
}

/* The shard is closed under the producer, which learns it of the append. */
static uint32_t split_unseen(fixture *fx, uint32_t shard)
{
    uint32_t child;

    memory_engine_hide_changes(fx->engine, true);
    child = memory_engine_split(fx->engine, shard);
    memory_engine_on_sleep(fx->engine, reveal, fx->engine);
    return child;
}

static void each_kind_follows_a_split(void **state)
{
    ls_put_result first[RECORDS], again[RECORDS];
    ls_record_id id, same;
    uint32_t child;
    size_t failed;
    fixture fx;

    (void)state;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    assert_int_equal(put_numbered(&fx, 1, key_in(0, 2), &id), LS_OK);
    child = split_unseen(&fx, 0);
    assert_int_equal(put_numbered(&fx, 2, key_in(0, 2), &same), LS_OK);
    assert_int_equal(same.shard, child);
    assert_int_equal(put_numbered(&fx, 1, key_in(0, 2), &same), LS_OK);
    assert_true(same.shard == id.shard && same.seqno == id.seqno);

    child = split_unseen(&fx, child);
    assert_int_equal(put_batch(&fx, RECORDS, 10, LS_PUT_ATOMIC, first, &failed), LS_OK);
    assert_int_equal(first[0].shard, child);
    split_unseen(&fx, child);
    assert_int_equal(put_batch(&fx, RECORDS, 20, 0, first, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_int_equal(put_batch(&fx, RECORDS, 20, 0, again, &failed), LS_OK);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(lsi_producer_repeats(fx.producer), 1 + RECORDS);
    end(&fx);
}

/* Nothing of a limit is spent on what was put before, and records behind one that is refused are refused, too. */
static void limits_are_for_what_is_new(void **state)
{
    lsi_rates rates = LSI_RATES_DEFAULT;
    ls_put_result results[RECORDS];
    ls_record_id id;
    size_t failed;
    fixture fx;

    (void)state;
    rates.write_records = 3;
    begin(&fx, 1, LS_DURABILITY_SYNC);
    memory_engine_stop_clock(fx.engine, 1000000);
    memory_engine_set_rates(fx.engine, LS_STREAM_PROVISIONED, rates);
    assert_int_equal(put_batch(&fx, 2, 1, 0, results, &failed), LS_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(put_batch(&fx, 2, 1, LS_PUT_ATOMIC, results, &failed), LS_OK);
    assert_int_equal(put_batch(&fx, 6, 1, 0, results, &failed), LS_OK); /* 1 and 2 again, 3 fits, 4 to 6 do not */
    assert_int_equal(failed, 3);
    for (int i = 0; i < 6; i++)
        assert_int_equal(results[i].status, i < 3 ? LS_OK : LS_ERR_THROTTLED);
    assert_int_equal(put_batch(&fx, 2, 4, LS_PUT_ATOMIC, results, &failed), LS_ERR_THROTTLED);
    assert_int_equal(put_numbered(&fx, 4, key_in(0, 2), &id), LS_ERR_THROTTLED);
    assert_int_equal(put_numbered(&fx, 3, key_in(0, 2), &id), LS_OK);
    assert_int_equal(id.seqno, results[2].seqno);
    assert_int_equal(memory_engine_count(fx.engine, 0), 3);
    end(&fx);
}

/* A shard's failure is that of all of its records, those that were put before among them: nobody waited for them. */
static void a_failure_is_that_of_the_shards_part(void **state)
{
    ls_put_result results[RECORDS];
    size_t failed;
    fixture fx;

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    assert_int_equal(put_batch(&fx, 4, 1, 0, results, &failed), LS_OK);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_APPEND, 1, LS_ERR_FULL, 1, 0);
    assert_int_equal(put_batch(&fx, 6, 1, 0, results, &failed), LS_OK);
    assert_int_equal(failed, 3);
    for (int i = 0; i < 6; i++)
        assert_int_equal(results[i].status, i % 2 == 0 ? LS_OK : LS_ERR_FULL);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_COMMIT, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(put_batch(&fx, 6, 1, 0, results, &failed), LS_OK);
    assert_int_equal(results[0].status, LS_ERR_IO);
    assert_int_equal(results[1].status, LS_OK);
    assert_int_equal(put_batch(&fx, 6, 1, 0, results, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_int_equal(memory_engine_count(fx.engine, 0) + memory_engine_count(fx.engine, 1), 6);
    end(&fx);
}

static void an_engine_without_numbers_refuses(void **state)
{
    lsi_engine_ops without;
    ls_put_result results[RECORDS];
    ls_record_id id;
    size_t failed;
    fixture fx;

    (void)state;
    fx.engine = memory_engine_new(1, LS_DURABILITY_SYNC);
    without = *memory_engine_stream(fx.engine)->engine->ops;
    without.append_numbered = NULL;
    memory_engine_stream(fx.engine)->engine->ops = &without;
    assert_int_equal(lsi_producer_open(memory_engine_stream(fx.engine), &fx.producer), LS_OK);
    assert_int_equal(put_numbered(&fx, 1, key_in(0, 2), &id), LS_ERR_UNSUPPORTED);
    assert_int_equal(put_batch(&fx, 2, 1, 0, results, &failed), LS_ERR_UNSUPPORTED);
    assert_int_equal(memory_engine_count(fx.engine, 0), 0);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_follows_a_split),
        cmocka_unit_test(limits_are_for_what_is_new),
        cmocka_unit_test(a_failure_is_that_of_the_shards_part),
        cmocka_unit_test(an_engine_without_numbers_refuses),
    };
    return cmocka_run_group_tests_name("numbered puts", tests, NULL, NULL);
}
