/* What is made of a step's frame that was left in a log (storage/step.c), when there is nobody, or somebody, who can
 * say whether the step was taken: by who comes next, by who may only read, and where the log failed or was closed
 * meanwhile. In between everything is as test_between walks it. On the simulated disk. */
#include "storage/log_store.h"

#include <errno.h>

#include "support/sim_files.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define DECIDER 9u

typedef struct fixture {
    sim_files *sim;
    log_store store;
    ls_status answer; /* of who decides */
    bool is_taken;
    uint32_t asked;
    ls_seqno seqno; /* of the step's record */
} fixture;

static ls_status decide(void *user, uint64_t decider, const lsi_log_config *of, ls_seqno first_seqno, bool look_only,
                        bool *is_taken)
{
    fixture *fx = user;

    assert_int_equal(decider, DECIDER);
    assert_int_equal(first_seqno, fx->seqno);
    assert_true(!of->read_only || look_only);
    fx->asked++;
    *is_taken = fx->is_taken;
    return fx->answer;
}

/* The log again, with or without somebody to ask. */
static void open_log(fixture *fx, bool asks)
{
    assert_int_equal(lsi_log_close(fx->store.log), LS_OK);
    fx->store.config.decide = asks ? decide : NULL;
    fx->store.config.decide_user = fx;
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->store.log), LS_OK);
}

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    log_store_open(&fx.store, sim_files_table(fx.sim), true, LS_DURABILITY_SYNC, SMALL);
    open_log(&fx, true);
    assert_int_equal(log_store_put(&fx.store, 0, 100, &(ls_seqno){0}), LS_OK);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

static void write_step(fixture *fx)
{
    unsigned n = 1;
    ls_put_entry entry = {{"step", 4}, {&n, sizeof n}, NULL};
    bool closed;

    assert_int_equal(lsi_log_step_prepare(fx->store.log, fx->store.framer), LS_OK);
    assert_int_equal(lsi_log_step_write(fx->store.log, fx->store.framer, &entry, NULL, 1, DECIDER, &fx->seqno,
                                        &closed), LS_OK);
    assert_false(closed);
}

static void leave_step(fixture *fx)
{
    write_step(fx);
    assert_int_equal(lsi_log_step_sync(fx->store.log), LS_OK);
    lsi_log_step_leave(fx->store.log);
}

static void who_puts_next_asks(void **state)
{
    fixture *fx = *state;

    for (int taken = 0; taken < 2; taken++) {
        leave_step(fx);
        fx->is_taken = taken != 0;
        fx->asked = 0;
        assert_int_equal(log_store_put(&fx->store, 1 + (unsigned)taken, 100, &(ls_seqno){0}), LS_OK);
        assert_int_equal(fx->asked, 1);
    }
}

/* While somebody was asked, another one settled the step, and a third died in a write of his own: what was answered
 * says nothing of that. */
static void an_answer_is_of_no_other_write(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = lsi_log_slot(fx->store.log);

    leave_step(fx);
    fx->is_taken = true;
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_OK);
    lsi_step_left left = {.decider = DECIDER, .first_seqno = fx->seqno, .is_taken = true};
    uint64_t committed = lsi_load(&slot->committed_end);
    ls_seqno next = lsi_load(&slot->next_seqno);
    atomic_store(&slot->write_end, committed + 64);
    assert_true(lsi_log_try_bare_lock(slot));
    assert_int_equal(lsi_log_take_over(fx->store.log, slot, &left), LS_OK);
    lsi_log_unlock(slot);
    assert_true(lsi_load(&slot->committed_end) == committed && lsi_load(&slot->write_end) == committed);
    assert_true(lsi_load(&slot->next_seqno) == next && lsi_load(&slot->durable_end) == committed);
}

/* Where nobody can say it, nothing is decided, and nothing is lost of it. */
static void where_nobody_can_say_it_stays(void **state)
{
    fixture *fx = *state;
    lsi_log_closing ended;
    bool rolled;

    leave_step(fx);
    open_log(fx, false);
    assert_int_equal(log_store_put(&fx->store, 7, 100, &(ls_seqno){0}), LS_ERR_STATE);
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_ERR_STATE);
    assert_int_equal(lsi_log_retire(fx->store.log, INT64_MAX, &rolled), LS_ERR_BUSY); /* It waits for nobody. */
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &ended), LS_ERR_BUSY);
    open_log(fx, true);
    fx->is_taken = true;
    fx->answer = LS_ERR_IO; /* Who would know cannot read it. */
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_ERR_IO);
    fx->answer = LS_ERR_BUSY; /* Somebody is at it. */
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_OK);
    assert_true(lsi_log_has_step(lsi_log_slot(fx->store.log)));
    fx->answer = LS_OK;
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_OK);
    assert_false(lsi_log_has_step(lsi_log_slot(fx->store.log)));
    assert_int_equal(log_store_count(&fx->store, 0), 2);
}

static uint32_t count_to_read(fixture *fx, bool asks, ls_status expected)
{
    lsi_log_config config = fx->store.config;
    log_store reader = fx->store;
    uint32_t count = 0;
    ls_status st;

    config.read_only = true;
    config.decide = asks ? decide : NULL;
    assert_int_equal(lsi_log_open(&config, &reader.log), LS_OK);
    st = lsi_log_step_settle(reader.log);
    assert_int_equal(st, expected);
    if (st == LS_OK)
        count = log_store_count(&reader, 0);
    assert_int_equal(lsi_log_close(reader.log), LS_OK);
    return count;
}

/* Who reads up to it has it decided, and goes on with what was taken. */
static void who_reads_next_asks(void **state)
{
    fixture *fx = *state;

    leave_step(fx);
    fx->is_taken = true;
    assert_int_equal(log_store_count(&fx->store, 0), 2);
    assert_int_equal(fx->asked, 1);
    assert_false(lsi_log_has_step(lsi_log_slot(fx->store.log)));
    fx->is_taken = false;
    leave_step(fx);
    assert_int_equal(log_store_count(&fx->store, 0), 2);
    assert_int_equal(fx->asked, 2);
}

/* Who may only read sees it when it was taken, for his own eyes; else it is not there. */
static void who_only_reads_looks(void **state)
{
    fixture *fx = *state;

    leave_step(fx);
    assert_int_equal(count_to_read(fx, false, LS_OK), 1);
    assert_int_equal(count_to_read(fx, true, LS_OK), 1);
    fx->answer = LS_ERR_IO;
    (void)count_to_read(fx, true, LS_ERR_IO);
    fx->answer = LS_OK;
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_OPEN, .name = ".seg", .nth = 1, .err = EIO});
    (void)count_to_read(fx, true, LS_ERR_IO);
    sim_faults_clear(fx->sim);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .name = ".seg", .nth = 2, .err = EIO}); /* behind the header */
    (void)count_to_read(fx, true, LS_ERR_IO);
    sim_faults_clear(fx->sim);
    fx->is_taken = true;
    assert_int_equal(count_to_read(fx, true, LS_OK), 2);
}

/* One that died between showing a frame and saying that it is durable: who looks next syncs it. */
static void what_was_shown_is_made_durable(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    uint64_t syncs = sim_calls(fx->sim, SIM_SYNC);

    atomic_store(&slot->durable_end, 0);
    atomic_store(&slot->step, 1);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_OPEN, .name = ".seg", .nth = 1, .err = EIO});
    open_log(fx, true);
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_ERR_IO); /* It has no descriptor yet. */
    assert_true(lsi_log_has_step(slot));
    sim_faults_clear(fx->sim);
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_OK);
    assert_true(sim_calls(fx->sim, SIM_SYNC) > syncs);
    assert_int_equal(lsi_load(&slot->durable_end), lsi_load(&slot->committed_end));
    assert_false(lsi_log_has_step(slot));

    atomic_store(&slot->durable_end, 0);
    atomic_store(&slot->step, 1);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    assert_true(lsi_log_has_step(slot));
    syncs = sim_calls(fx->sim, SIM_SYNC);
    assert_int_equal(lsi_log_step_settle(fx->store.log), LS_OK); /* Of one that failed nothing is synced (E1). */
    assert_int_equal(sim_calls(fx->sim, SIM_SYNC), syncs);
}

/* A sync that fails meanwhile, of somebody else: it is shown, for it was taken, and nobody says that it is durable. */
static void what_is_shown_of_a_failed_log_is_not_durable(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    uint64_t durable = lsi_load(&slot->durable_end);

    write_step(fx);
    assert_int_equal(lsi_log_step_sync(fx->store.log), LS_OK);
    atomic_store(&slot->health, LSI_SHARD_FAILED);
    lsi_log_step_show(fx->store.log);
    assert_int_equal(lsi_load(&slot->durable_end), durable);
    assert_true(lsi_load(&slot->committed_end) > durable);
    assert_int_equal(lsi_log_sync(fx->store.log), LS_ERR_IO);
}

/* It lies in the last segment, and nothing behind it says yet that it was taken. */
static void a_step_is_sealed_where_it_is_the_last(void **state)
{
    fixture *fx = *state;
    lsi_log_closing ended;
    uint32_t segment;
    lsi_slot *slot;

    write_step(fx);
    assert_int_equal(lsi_log_step_sync(fx->store.log), LS_OK);
    lsi_log_step_show(fx->store.log);
    slot = lsi_log_slot(fx->store.log);
    segment = atomic_load(&slot->segment);
    assert_int_equal(lsi_log_step_seal(fx->store.log, fx->seqno), LS_OK);
    assert_int_equal(atomic_load(&slot->segment), segment + 1);
    assert_int_equal(lsi_log_step_seal(fx->store.log, fx->seqno), LS_OK); /* It is in the one before. */
    assert_int_equal(atomic_load(&slot->segment), segment + 1);
    open_log(fx, true);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_OPEN, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_step_seal(fx->store.log, fx->seqno), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    atomic_store(&slot->health, LSI_SHARD_FAILED); /* It rolls when it is reset. */
    assert_int_equal(lsi_log_step_seal(fx->store.log, LS_SEQNO_MAX), LS_OK);
    assert_int_equal(atomic_load(&slot->segment), segment + 1);
    atomic_store(&slot->health, LSI_SHARD_HEALTHY);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &ended), LS_OK);
    lsi_log_closing_end(fx->store.log, true);
    lsi_log_closing_release(fx->store.log);
    assert_int_equal(lsi_log_step_seal(fx->store.log, LS_SEQNO_MAX), LS_OK);
    assert_int_equal(atomic_load(&slot->segment), segment + 1);
}

/* A reader who sleeps is woken to look at it: who left it is dead, and wakes nobody. */
static void a_step_that_is_left_ends_sleeps(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    uint64_t seen = 0;
    uint32_t token;

    lsi_slot_rouse(slot, 0, &seen);
    token = lsi_slot_arm(slot);
    lsi_slot_rouse(slot, 0, &seen);
    assert_int_equal(atomic_load(&slot->wake_word), token);
    leave_step(fx);
    lsi_slot_rouse(slot, 0, &seen);
    assert_true(atomic_load(&slot->wake_word) != token);
    fx->is_taken = true;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(who_puts_next_asks),
        T(an_answer_is_of_no_other_write),
        T(where_nobody_can_say_it_stays),
        T(who_reads_next_asks),
        T(who_only_reads_looks),
        T(what_was_shown_is_made_durable),
        T(what_is_shown_of_a_failed_log_is_not_durable),
        T(a_step_is_sealed_where_it_is_the_last),
        T(a_step_that_is_left_ends_sleeps),
    };
    return cmocka_run_group_tests_name("steps that were left", tests, NULL, NULL);
}
