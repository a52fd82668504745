/* A run of a mapping that is to end while another process, which was stopped, holds the lock of the stream's state.
 * Giving back its shards would be a change of that: others take them in time instead, and the run has not failed. Nor
 * is progress stored then: that the caller is told. */
#include "engine/local/local.h"
#include "invariants/processes.h"

#include <pthread.h>

#define BUSY_MS 200
#define FAILOVER_MS 400

/* ---- the one who is stopped ---- */

static bool note_state(void *user, lsi_slot *slot)
{
    if (atomic_load(&slot->kind) == LSI_SLOT_SHARD && slot->shard == LSI_STATE_SHARD)
        *(lsi_slot **)user = slot;
    return true;
}

static void hold_the_state(fixture *fx)
{
    lsi_slot *slot = NULL;
    lsi_control *control;
    ls_store *store;

    child_check(ls_store_open(fx->path, NULL, &store) == LS_OK);
    control = lsi_local_of(store->engine)->control;
    lsi_control_each(control, note_state, &slot);
    child_check(slot != NULL);
    child_check(lsi_control_slot(control, LSI_SLOT_SHARD, atomic_load(&slot->stream), slot->shard, &slot) == LS_OK);
    atomic_store(&fx->share->ready, 1);
    while (atomic_load(&fx->share->stage) == 0)
        (void)usleep(1000);
    child_check(lsi_lock_take(&slot->append_lock, LSI_RANK_SHARD, 1000) == LSI_LOCKED);
    (void)raise(SIGSTOP);
    _exit(0); /* The kernel gives the lock back. */
}

/* ---- the run ---- */

typedef struct run {
    ls_stream *stream;
    bool is_delivery;
    ls_mapping *mapping;
    ls_delivery *delivery;
    pthread_t thread;
    ls_status st;
    _Atomic uint32_t handled, warnings;
} run;

static void note_log(void *user, int32_t level, const char *line)
{
    run *of = user;

    if (level == LS_LOG_WARNING && strstr(line, "'m': shards are not given back") != NULL)
        atomic_fetch_add(&of->warnings, 1);
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    run *of = user;

    (void)context;
    atomic_fetch_add(&of->handled, (uint32_t)ls_batch_count(batch));
    return LS_HANDLER_DONE;
}

static ls_status take_object(const ls_delivery_object *object, void *user)
{
    run *of = user;

    (void)object;
    atomic_fetch_add(&of->handled, 1);
    return LS_OK;
}

static void *run_it(void *user)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_delivery_run_options delivers = LS_DELIVERY_RUN_OPTIONS_INIT;
    run *of = user;

    if (of->is_delivery) {
        delivers.failover_ms = FAILOVER_MS;
        delivers.deliver = take_object;
        delivers.deliver_user = of;
        of->st = ls_delivery_run(of->delivery, &delivers);
        return NULL;
    }
    how.failover_ms = FAILOVER_MS;
    of->st = ls_mapping_run(of->mapping, &how, handle, of);
    return NULL;
}

static void begin(run *of)
{
    of->st = LS_ERR_STATE;
    if (of->is_delivery)
        assert_int_equal(ls_delivery_open(of->stream, "m", &of->delivery), LS_OK);
    else
        assert_int_equal(ls_mapping_open(of->stream, "m", &of->mapping), LS_OK);
    assert_int_equal(pthread_create(&of->thread, NULL, run_it, of), 0);
}

static void end(run *of)
{
    if (of->is_delivery)
        ls_delivery_stop(of->delivery);
    else
        ls_mapping_stop(of->mapping);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(ls_mapping_close(of->mapping), LS_OK);
    assert_int_equal(ls_delivery_close(of->delivery), LS_OK);
    of->mapping = NULL;
    of->delivery = NULL;
}

static void put_one(ls_stream *stream)
{
    ls_producer *producer;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){"v", 1}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static ls_lease_info lease_of(ls_stream *stream)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list;

    assert_int_equal(ls_stream_list_leases(stream, "m", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    ls_lease_list_free(list);
    return info;
}

static void await_handled(run *of, uint32_t count)
{
    for (int64_t from_ms = now_ms(); atomic_load(&of->handled) < count;) {
        assert_true(now_ms() - from_ms < 60000);
        (void)usleep(2000);
    }
}

static void create(const run *of, bool is_stored)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options maps = LS_MAPPING_OPTIONS_INIT;
    ls_delivery_options delivers = LS_DELIVERY_OPTIONS_INIT;

    maps.sync_interval_ms = is_stored ? 1 : 60000;
    delivers.flags = LS_DELIVERY_TO_CALLBACK;
    delivers.interval_ms = 1;
    if (of->is_delivery)
        assert_int_equal(ls_delivery_create(of->stream, "m", &horizon, &delivers), LS_OK);
    else
        assert_int_equal(ls_mapping_create(of->stream, "m", &horizon, &maps), LS_OK);
}

static void end_while_the_state_is_held(fixture *fx, bool is_delivery, bool is_stored)
{
    ls_store_options how = LS_STORE_OPTIONS_INIT;
    run of = {.is_delivery = is_delivery};
    int64_t from_ms;
    ls_store *store;
    pid_t holder;

    how.busy_timeout_ms = BUSY_MS;
    how.durability = LS_DURABILITY_KERNEL;
    how.log = note_log;
    how.log_user = &of;
    assert_int_equal(ls_store_open(fx->path, &how, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &of.stream), LS_OK);
    create(&of, is_stored);
    holder = child_start(hold_the_state, fx);
    while (atomic_load(&fx->share->ready) == 0)
        (void)usleep(1000);
    put_one(of.stream);
    begin(&of);
    await_handled(&of, 1);
    while (is_stored && lease_of(of.stream).state != LS_LEASE_BEGUN)
        (void)usleep(1000);
    atomic_store(&fx->share->stage, 1);
    child_stops(holder);
    from_ms = now_ms();
    end(&of);
    assert_int_equal(of.st, is_stored ? LS_OK : LS_ERR_BUSY);
    assert_in_range(now_ms() - from_ms, BUSY_MS - 20, 20000);
    assert_int_equal(atomic_load(&of.warnings), 1);
    assert_int_equal(kill(holder, SIGCONT), 0);
    child_ends_well(holder);

    /* Another goes on, though nobody has given it anything. */
    assert_int_equal(lease_of(of.stream).state, is_stored ? LS_LEASE_BEGUN : LS_LEASE_NOT_BEGUN);
    assert_string_not_equal(lease_of(of.stream).owner, "");
    atomic_store(&of.handled, 0);
    put_one(of.stream);
    begin(&of);
    await_handled(&of, 1);
    end(&of);
    assert_int_equal(of.st, LS_OK);
    assert_in_range(atomic_load(&of.handled), 1, 2);
    assert_string_equal(lease_of(of.stream).owner, "");
    assert_int_equal(ls_stream_close(of.stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* Changes of mappings and groups are of the stream's state, too: each waits for busy_timeout_ms, and changes
 * nothing. */
static void changes_are_refused_while_the_state_is_held(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    ls_store_options how = LS_STORE_OPTIONS_INIT;
    ls_mapping_description *description;
    ls_group *group = NULL;
    fixture *fx = *state;
    run of = {.st = LS_OK};
    ls_store *store;
    pid_t holder;

    how.busy_timeout_ms = BUSY_MS;
    assert_int_equal(ls_store_open(fx->path, &how, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &of.stream), LS_OK);
    create(&of, true);
    atomic_store(&fx->share->stage, 1);
    holder = child_start(hold_the_state, fx);
    child_stops(holder);
    for (int call = 0; call < 8; call++) {
        int64_t from_ms = now_ms();
        ls_status st = call == 0   ? ls_mapping_create(of.stream, "other", &horizon, NULL)
                       : call == 1 ? ls_mapping_update(of.stream, "m", NULL)
                       : call == 2 ? ls_mapping_pause(of.stream, "m")
                       : call == 3 ? ls_mapping_seek(of.stream, "m", &horizon)
                       : call == 4 ? ls_mapping_delete(of.stream, "m")
                       : call == 5 ? ls_group_open(of.stream, "group", NULL, &group)
                       : call == 6 ? ls_window_delete(of.stream, "window")
                                   : ls_group_delete(of.stream, "group");

        assert_int_equal(st, call < 6 ? LS_ERR_BUSY : LS_ERR_NOT_FOUND);
        assert_in_range(now_ms() - from_ms, call < 6 ? BUSY_MS - 20 : 0, 20000);
    }
    assert_int_equal(kill(holder, SIGCONT), 0);
    child_ends_well(holder);
    assert_int_equal(ls_mapping_describe(of.stream, "other", &description), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_describe(of.stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_info(description, &info), LS_OK);
    assert_int_equal(info.status, LS_MAPPING_ENABLED);
    assert_int_equal(info.modified_us, info.created_us);
    ls_mapping_description_free(description);
    assert_int_equal(ls_mapping_pause(of.stream, "m"), LS_OK);
    assert_int_equal(ls_stream_close(of.stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void shards_that_cannot_be_given_back_are_left_to_others(void **state)
{
    end_while_the_state_is_held(*state, false, true);
}

static void those_of_a_delivery_are_left_to_others(void **state)
{
    end_while_the_state_is_held(*state, true, true);
}

static void progress_that_cannot_be_stored_is_told(void **state)
{
    end_while_the_state_is_held(*state, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shards_that_cannot_be_given_back_are_left_to_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_of_a_delivery_are_left_to_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changes_are_refused_while_the_state_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(progress_that_cannot_be_stored_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("a run that ends while the state is held", tests, NULL, NULL);
}
