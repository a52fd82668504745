/* Who gives up descriptors first (storage/descriptors.c): who was not used, then who has nothing to sync; nobody is
 * forgotten, whoever comes and goes; and nobody is asked who has left. Holders without files. */
#include "storage/log_store.h"

#include "support/sim_files.h"

#define HOLDERS 40u

typedef struct holder {
    lsi_holder of;   /* first */
    bool keeps;      /* gives nothing up, ... */
    bool must_sync;  /* or only with a sync */
    unsigned asked, synced;
    bool gave;
} holder;

typedef struct fixture {
    sim_files *sim;
    lsi_descriptors all;
    holder holders[HOLDERS];
} fixture;

static bool give_up(lsi_holder *of, bool sync)
{
    holder *it = (holder *)of;

    it->asked++;
    it->synced += sync;
    if (it->keeps || (it->must_sync && !sync))
        return false;
    it->gave = true;
    return true;
}

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    assert_int_equal(lsi_descriptors_init(&fx.all, sim_files_table(fx.sim)), 0);
    for (unsigned i = 0; i < HOLDERS; i++)
        fx.holders[i].of = (lsi_holder){.give_up = give_up, .count = 1};
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    sim_files_free(fx->sim);
    return 0;
}

static void hold(fixture *fx, unsigned i)
{
    fx->holders[i].gave = false;
    lsi_descriptors_hold(&fx->all, &fx->holders[i].of);
}

static void rest(fixture *fx, unsigned i)
{
    atomic_store(&fx->holders[i].of.used, 0);
}

/* Those that hold something are asked, each of them, until none is left. */
static void assert_all_give(fixture *fx, const unsigned *which, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(fx->all.count, count - i);
        assert_true(lsi_descriptors_make_room(&fx->all));
    }
    assert_int_equal(fx->all.count, 0);
    assert_false(lsi_descriptors_make_room(&fx->all));
    for (unsigned i = 0; i < count; i++)
        assert_true(fx->holders[which[i]].gave);
}

static void who_was_not_used_gives_up_first(void **state)
{
    fixture *fx = *state;

    for (unsigned i = 0; i < 6; i++)
        hold(fx, i);
    rest(fx, 2);
    rest(fx, 4);
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[2].gave);
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[4].gave);
    hold(fx, 0); /* It is used again, and the hand has come by the next one since that was used. */
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[1].gave);
    assert_int_equal(fx->all.count, 3);
}

/* A sync takes long: of those near the hand one without is preferred, also where it was used. */
static void who_has_nothing_to_sync_is_preferred(void **state)
{
    fixture *fx = *state;

    for (unsigned i = 0; i < 5; i++) {
        hold(fx, i);
        rest(fx, i);
        fx->holders[i].must_sync = i < 4;
    }
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[4].gave);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fx->holders[i].synced, 0);
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[0].gave);
    assert_int_equal(fx->holders[0].synced, 1);
}

static void nobody_is_forgotten(void **state)
{
    static const unsigned left[] = {0, 1, 3, 5, 6, 7};
    fixture *fx = *state;

    for (unsigned i = 0; i < 5; i++)
        hold(fx, i);
    lsi_descriptors_let_go(&fx->all, &fx->holders[4].of); /* the one before the hand */
    hold(fx, 5);
    lsi_descriptors_let_go(&fx->all, &fx->holders[2].of); /* one in the middle */
    hold(fx, 6);
    lsi_descriptors_let_go(&fx->all, &fx->holders[0].of); /* the one that the hand is at */
    hold(fx, 7);
    hold(fx, 0);
    hold(fx, 0); /* It is there already. */
    lsi_descriptors_let_go(&fx->all, &fx->holders[2].of); /* It holds nothing. */
    assert_all_give(fx, left, sizeof left / sizeof *left);
    assert_false(fx->holders[2].gave || fx->holders[4].gave);
    assert_int_equal(fx->holders[2].asked + fx->holders[4].asked, 0);
}

/* As many as there may be, and then whoever comes takes another one's place, if any can be had. */
static void there_are_no_more_than_there_may_be(void **state)
{
    fixture *fx = *state;

    fx->all.most = 4;
    for (unsigned i = 0; i < 10; i++) {
        hold(fx, i);
        assert_int_equal(fx->all.count, i < 4 ? i + 1 : 4);
    }
    for (unsigned i = 0; i < 10; i++)
        fx->holders[i].keeps = true;
    hold(fx, 20);
    assert_int_equal(fx->all.count, 5);
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_true(fx->holders[20].gave);
    assert_false(lsi_descriptors_make_room(&fx->all)); /* All have been asked. */
}

/* A log that is closed holds none: it is not asked any more. */
static void a_closed_log_is_not_asked(void **state)
{
    fixture *fx = *state;
    lsi_log_config config;
    log_store store = {.wall_us = 0};

    log_store_open(&store, sim_files_table(fx->sim), true, LS_DURABILITY_SYNC, LSI_SEGMENT_BYTES_MIN);
    (void)lsi_log_close(store.log);
    config = store.config;
    config.descriptors = &fx->all;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lsi_log_open(&config, &store.log), LS_OK);
        assert_int_equal(log_store_put(&store, (unsigned)i, 100, &(ls_seqno){0}), LS_OK);
        assert_true(fx->all.count > 0);
        if (i > 0)
            break;
        assert_int_equal(lsi_log_close(store.log), LS_OK);
        assert_int_equal(fx->all.count, 0);
        assert_false(lsi_descriptors_make_room(&fx->all));
    }
    assert_true(lsi_descriptors_make_room(&fx->all));
    assert_int_equal(log_store_put(&store, 2, 100, &(ls_seqno){0}), LS_OK); /* It opens its files again. */
    assert_int_equal(log_store_count(&store, 0), 3);
    (void)log_store_close(&store);
    assert_int_equal(fx->all.count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(who_was_not_used_gives_up_first),
        T(who_has_nothing_to_sync_is_preferred),
        T(nobody_is_forgotten),
        T(there_are_no_more_than_there_may_be),
        T(a_closed_log_is_not_asked),
    };
    return cmocka_run_group_tests_name("who gives up descriptors", tests, NULL, NULL);
}
