/* Remembered hashes of partition keys: always the key's own, whatever else was asked for. */
#include "produce/support.h"

#include "base/hash.h"
#include "produce/producer.h"

static void assert_hash(fixture *fx, const char *bytes, size_t size)
{
    ls_bytes key = {bytes, size};
    ls_hash_key want = lsi_hash_partition_key(key);
    ls_hash_key got = lsi_key_hash(fx->producer, key);

    assert_int_equal(got.high, want.high);
    assert_int_equal(got.low, want.low);
}

/* Goal: keys that share a place never get each other's hash. Method: more keys than places, three times over, of every
 * length around the longest that is kept; keys that differ in their last byte or by a zero only. */
static void a_hash_is_always_its_own_key_s(void **state)
{
    fixture fx;
    char key[40];

    (void)state;
    begin(&fx, 2, LS_DURABILITY_SYNC);
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < 5000; i++) {
            size_t size = 4 + i % (sizeof(key) - 4);

            memset(key, 'k', sizeof(key));
            memcpy(key + size - 4, &i, 4);
            assert_hash(&fx, key, size);
            assert_hash(&fx, key, size); /* the second time it is known, if it is kept */
        }
    assert_hash(&fx, "a", 1);
    assert_hash(&fx, "a\0", 2);
    assert_hash(&fx, "a", 1);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_is_always_its_own_key_s),
    };
    return cmocka_run_group_tests_name("hashes of keys are remembered", tests, NULL, NULL);
}
