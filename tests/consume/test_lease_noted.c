/* What an owner notes of his progress in the words of his lease (N1): the last place counts for who has the row as it
 * was, or as he has just written it; whatever is torn, damaged or somebody else's does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "consume/lease/lease.h"

#define OWNER UINT64_C(0x1234567890abcd)
#define COUNTER 7u
#define SHARD 3u

typedef struct fixture {
    lsi_budget_word words[LSI_LEASE_WORDS];
    lsi_lease_notes notes;
    lsi_lease_row row;
} fixture;

static void begin(fixture *fx)
{
    memset(fx, 0, sizeof *fx);
    atomic_store(&fx->words[LSI_LEASE_HOLDER], OWNER);
    fx->notes = (lsi_lease_notes){.words = fx->words, .ticket = OWNER, .counter = COUNTER, .shard = SHARD};
    fx->row = (lsi_lease_row){.place = {SHARD, LSI_LEASE_NUMBER}, .owner = OWNER, .counter = COUNTER};
}

static void the_last_place_counts(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
    for (ls_seqno place = 10; place < 20; place++) {
        lsi_lease_note(&fx.notes, place);
        assert_int_equal(lsi_lease_noted(fx.words, &fx.row), place);
    }
}

static void it_counts_while_the_row_is_written_and_not_for_long(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_note(&fx.notes, 10);
    fx.row.counter = COUNTER + 1; /* He has written it, and went on noting. */
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), 10);
    fx.row.counter = COUNTER + 2; /* Moved, and taken again by the same one. */
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
    fx.row.counter = COUNTER - 1; /* An older row was brought back. */
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
}

static void anothers_counts_for_nobody(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_note(&fx.notes, 10);
    fx.row.owner = OWNER + 1;
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
    fx.row.owner = 0;
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
    fx.row.owner = OWNER;
    fx.row.place.shard++;
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), LS_SEQNO_NONE);
    fx.row.place.shard--;
    atomic_store(&fx.words[LSI_LEASE_HOLDER], OWNER + 1); /* He has lost it, and knows nothing of that yet. */
    lsi_lease_note(&fx.notes, 20);
    assert_int_equal(lsi_lease_noted(fx.words, &fx.row), 10);
}

/* Method: every bit of every word is turned, and each word set to 0, as a death between two stores may leave it. */
static void a_damaged_one_is_not_believed(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_note(&fx.notes, 10);
    lsi_lease_note(&fx.notes, 11);
    for (uint32_t word = LSI_LEASE_NOTES; word < LSI_LEASE_WORDS; word++)
        for (uint32_t bit = 0; bit <= 64; bit++) {
            uint64_t was = atomic_load(&fx.words[word]);
            ls_seqno noted;

            atomic_store(&fx.words[word], bit < 64 ? was ^ UINT64_C(1) << bit : 0);
            noted = lsi_lease_noted(fx.words, &fx.row);
            assert_int_equal(noted, word < LSI_LEASE_NOTES + 2 ? 11 : 10);
            atomic_store(&fx.words[word], was);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_place_counts),
        cmocka_unit_test(it_counts_while_the_row_is_written_and_not_for_long),
        cmocka_unit_test(anothers_counts_for_nobody),
        cmocka_unit_test(a_damaged_one_is_not_believed),
    };

    return cmocka_run_group_tests_name("what is noted of a lease", tests, NULL, NULL);
}
