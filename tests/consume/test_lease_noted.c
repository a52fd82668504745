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

/* What is noted as a number for comparing; parts of records by hundredths. */
static uint64_t noted_of(const fixture *fx)
{
    lsi_point noted = lsi_lease_noted(fx->words, &fx->row);

    return noted.seqno * 100 + noted.part;
}

static void note(fixture *fx, ls_seqno seqno, uint32_t part)
{
    lsi_lease_note(&fx->notes, (lsi_point){seqno, part});
}

static void the_last_place_counts(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
    for (ls_seqno place = 10; place < 20; place++) {
        note(&fx, place, 0);
        assert_int_equal(noted_of(&fx), place * 100);
    }
}

/* Parts of a record come before the whole of it, in whatever order they were noted. */
static void parts_of_a_record_are_noted(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    note(&fx, 10, 0);
    for (uint32_t part = 1; part < 10; part++) {
        note(&fx, 11, part);
        assert_int_equal(noted_of(&fx), 1100 + part);
    }
    note(&fx, 11, 0);
    assert_int_equal(noted_of(&fx), 1100);
    note(&fx, 11, 3);
    assert_int_equal(noted_of(&fx), 1100);
    note(&fx, 12, UINT32_MAX);
    assert_int_equal(noted_of(&fx), 1200 + (uint64_t)UINT32_MAX);
}

static void it_counts_while_the_row_is_written_and_not_for_long(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    note(&fx, 10, 0);
    fx.row.counter = COUNTER + 1; /* He has written it, and went on noting. */
    assert_int_equal(noted_of(&fx), 1000);
    fx.row.counter = COUNTER + 2; /* Moved, and taken again by the same one. */
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
    fx.row.counter = COUNTER - 1; /* An older row was brought back. */
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
}

static void anothers_counts_for_nobody(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    note(&fx, 10, 0);
    fx.row.owner = OWNER + 1;
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
    fx.row.owner = 0;
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
    fx.row.owner = OWNER;
    fx.row.place.shard++;
    assert_int_equal(noted_of(&fx), LS_SEQNO_NONE);
    fx.row.place.shard--;
    atomic_store(&fx.words[LSI_LEASE_HOLDER], OWNER + 1); /* He has lost it, and knows nothing of that yet. */
    note(&fx, 20, 0);
    assert_int_equal(noted_of(&fx), 1000);
}

/* Method: every bit of every word is turned, and each word set to 0, as a death between two stores may leave it. */
static void a_damaged_one_is_not_believed(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx);
    note(&fx, 11, 1);
    note(&fx, 11, 2);
    for (uint32_t word = LSI_LEASE_NOTES; word < LSI_LEASE_WORDS; word++)
        for (uint32_t bit = 0; bit <= 64; bit++) {
            uint64_t was = atomic_load(&fx.words[word]);
            uint64_t noted;

            atomic_store(&fx.words[word], bit < 64 ? was ^ UINT64_C(1) << bit : 0);
            noted = noted_of(&fx);
            if (word == LSI_LEASE_NOTES + 4) /* its halves are of one place each */
                assert_int_equal(noted, bit < 32 ? 1102 : bit < 64 ? 1101 : LS_SEQNO_NONE);
            else
                assert_int_equal(noted, word < LSI_LEASE_NOTES + 2 ? 1102 : 1101);
            atomic_store(&fx.words[word], was);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_place_counts),
        cmocka_unit_test(parts_of_a_record_are_noted),
        cmocka_unit_test(it_counts_while_the_row_is_written_and_not_for_long),
        cmocka_unit_test(anothers_counts_for_nobody),
        cmocka_unit_test(a_damaged_one_is_not_believed),
    };

    return cmocka_run_group_tests_name("what is noted of a lease", tests, NULL, NULL);
}
