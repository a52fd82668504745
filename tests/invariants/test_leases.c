/* Workers of a group in processes of their own, of which some are killed, stopped or end well: every record is worked
 * on at least once and in order, one worker has a lease at a time, and who has lost one cannot note anything (O5). */
#include "invariants/dying.h"

#define SHARDS 4u
#define RECORDS 60u /* of each shard */
#define FAILOVER_MS 4000u

/* Of all processes. */
typedef struct seen {
    _Atomic uint32_t times[SHARDS][RECORDS];
    _Atomic uint32_t taken[SHARDS];   /* 1 + the worker that was told last that it has it */
    _Atomic uint32_t disorder;
    _Atomic uint32_t held[2];         /* leases that a worker has */
    _Atomic uint32_t refused;         /* checkpoints, with LEASE_LOST */
    _Atomic uint32_t lost_events;
    _Atomic uint32_t pace_us;         /* of work on a record */
    _Atomic uint32_t leave[2];
} seen;

static seen *all;
static uint32_t me;

typedef struct work {
    ls_lease *lease;
    ls_iterator *iterator;
    uint32_t shard;
    bool is_refused; /* a checkpoint was: there is nothing more to do */
} work;

static void begin_work(ls_stream *stream, work *of, ls_lease *lease)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;

    child_check(ls_lease_describe(lease, &info) == LS_OK);
    *of = (work){.lease = lease, .shard = info.shard};
    child_check(ls_iterator_open(stream, info.shard, &info.position, NULL, &of->iterator) == LS_OK);
    atomic_store(&all->taken[info.shard], me + 1);
    atomic_fetch_add(&all->held[me], 1);
}

static void end_work(work *of)
{
    ls_iterator_close(of->iterator);
    child_check(ls_lease_close(of->lease) == LS_OK);
    atomic_fetch_sub(&all->held[me], 1);
    *of = (work){0};
}

/* One record, and its checkpoint. */
static void do_work(work *of)
{
    const ls_batch *batch = NULL;
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_status st;

    options.records_max = 1;
    child_check(ls_iterator_next(of->iterator, &options, &batch) == LS_OK);
    if (ls_batch_count(batch) == 0)
        return;
    const ls_record *record = ls_batch_at(batch, 0);
    uint32_t number;

    child_check(record->data.size == sizeof number);
    memcpy(&number, record->data.data, sizeof number);
    (void)usleep(atomic_load(&all->pace_us));
    if (number > 0 && atomic_load(&all->times[of->shard][number - 1]) == 0)
        atomic_fetch_add(&all->disorder, 1);
    atomic_fetch_add(&all->times[of->shard][number], 1);
    st = ls_lease_checkpoint(of->lease, record->seqno, UINT32_MAX);
    of->is_refused = st == LS_ERR_LEASE_LOST;
    if (of->is_refused)
        atomic_fetch_add(&all->refused, 1);
    else
        child_check(st == LS_OK);
}

static void run_worker(fixture *fx)
{
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    work works[SHARDS] = {{0}};
    ls_group *group = NULL;
    handles of;
    ls_status st;

    options.failover_ms = FAILOVER_MS;
    options.worker = me == 0 ? "first" : "second";
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(ls_group_open(of.stream, "g", &options, &group) == LS_OK);
    while (atomic_load(&all->leave[me]) == 0) {
        ls_group_event event = LS_GROUP_EVENT_INIT;

        st = ls_group_next(group, 1, &event);
        child_check(st == LS_OK || st == LS_ERR_BUSY); /* BUSY: who was stopped has the lock of the state. */
        for (uint32_t i = 0; i < SHARDS; i++) {
            if (event.kind == LS_GROUP_TAKEN && works[i].lease == NULL) {
                begin_work(of.stream, &works[i], event.lease);
                event.kind = LS_GROUP_NOTHING;
            } else if (event.kind != LS_GROUP_NOTHING && works[i].lease == event.lease) {
                atomic_fetch_add(&all->lost_events, event.kind == LS_GROUP_LOST);
                end_work(&works[i]);
                event.kind = LS_GROUP_NOTHING;
            } else if (works[i].lease != NULL && !works[i].is_refused) {
                do_work(&works[i]);
            }
        }
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        ls_iterator_close(works[i].iterator);
    child_check(ls_group_close(group) == LS_OK);
    atomic_store(&all->held[me], 0);
    child_check(handles_close(&of) == LS_OK);
}

static pid_t start_worker(fixture *fx, uint32_t which)
{
    me = which;
    atomic_store(&all->leave[which], 0);
    atomic_store(&all->held[which], 0);
    return child_start(run_worker, fx);
}

static void make_stream_of(fixture *fx)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_store *store;

    options.shard_count = SHARDS;
    assert_int_equal(open_hooked(fx->path, NULL, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, &options), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(all != MAP_FAILED);
    atomic_store(&all->pace_us, 500);
}

static void put_all(handles *of)
{
    for (uint32_t number = 0; number < RECORDS; number++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            ls_hash_key hash = {UINT64_C(1) << 62, 0};
            ls_put_options options = LS_PUT_OPTIONS_INIT;

            hash.high = hash.high * shard;
            options.explicit_hash_key = &hash;
            assert_int_equal(ls_producer_put(of->producer, (ls_bytes){"k", 1}, (ls_bytes){&number, sizeof number},
                                             &options, NULL), LS_OK);
        }
}

static void await_held(uint32_t worker, uint32_t count, int64_t within_ms)
{
    int64_t until = now_ms() + within_ms;

    while (atomic_load(&all->held[worker]) != count && now_ms() < until)
        (void)usleep(1000);
    assert_int_equal(atomic_load(&all->held[worker]), count);
}

static uint32_t worked_on(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < RECORDS; k++)
            count += atomic_load(&all->times[i][k]) != 0;
    return count;
}

static void await_work(uint32_t count)
{
    int64_t until = now_ms() + 40000;

    while (worked_on() < count && now_ms() < until)
        (void)usleep(1000);
    assert_true(worked_on() >= count);
}

/* How many times records were worked on beyond the first. */
static uint32_t repeats(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < RECORDS; k++)
            count += atomic_load(&all->times[i][k]) - 1;
    return count;
}

/* Goal: a worker that is killed has its leases taken over well before the fail-over time, since the kernel says that it
 * is gone; what it had not noted comes again, at most one record of each shard. */
static void a_killed_workers_leases_are_taken_at_once(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t first, second;
    int64_t killed_ms;

    make_stream_of(fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    first = start_worker(fx, 0);
    await_held(0, SHARDS, 20000);
    second = start_worker(fx, 1);
    await_held(1, SHARDS / 2, 20000);
    await_held(0, SHARDS / 2, 20000);
    put_all(&of);
    await_work(RECORDS);
    assert_int_equal(kill(first, SIGKILL), 0);
    killed_ms = now_ms();
    (void)child_end(first);
    await_held(1, SHARDS, 20000);
    assert_true(now_ms() - killed_ms < FAILOVER_MS / 2);
    await_work(SHARDS * RECORDS);
    assert_true(repeats() <= SHARDS);
    assert_int_equal(atomic_load(&all->disorder), 0);
    assert_int_equal(atomic_load(&all->refused), 0);
    atomic_store(&all->leave[1], 1);
    child_ends_well(second);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Goal: so are those of a worker that died with the machine: its process is known to be none of this boot's, though the
 * first process of every boot has the same place in the table. Method: the control file goes, as another boot does not
 * believe it either. */
static void leases_of_another_boot_are_taken_at_once(void **state)
{
    fixture *fx = *state;
    char control[sizeof fx->path + 16];
    handles of;
    pid_t first, second;
    int64_t killed_ms;

    make_stream_of(fx);
    first = start_worker(fx, 0);
    await_held(0, SHARDS, 20000);
    assert_int_equal(kill(first, SIGKILL), 0);
    (void)child_end(first);
    (void)snprintf(control, sizeof control, "%s/control", fx->path);
    assert_int_equal(unlink(control), 0);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK); /* as the one before the first worker */
    assert_int_equal(handles_close(&of), LS_OK);
    killed_ms = now_ms();
    second = start_worker(fx, 1);
    await_held(1, SHARDS, 20000);
    assert_true(now_ms() - killed_ms < FAILOVER_MS / 2);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    put_all(&of);
    await_work(SHARDS * RECORDS);
    atomic_store(&all->leave[1], 1);
    child_ends_well(second);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Who is stopped with the lock of the stream's state keeps it (P2), and nobody can take over from him. */
static void stop_outside_the_lock(pid_t worker, ls_stream *stream)
{
    ls_status st;

    for (uint32_t i = 0;; i++) {
        ls_group *probe = NULL;
        char name[32];
        int status;

        assert_true(i < 20);
        (void)snprintf(name, sizeof name, "probe%u", i);
        assert_int_equal(kill(worker, SIGSTOP), 0);
        assert_int_equal(waitpid(worker, &status, WUNTRACED), worker);
        st = ls_group_open(stream, name, NULL, &probe); /* It is made, which changes the state. */
        if (st == LS_OK)
            st = ls_group_close(probe);
        if (st == LS_OK)
            return;
        assert_int_equal(st, LS_ERR_BUSY);
        assert_int_equal(kill(worker, SIGCONT), 0);
        (void)usleep(3000);
    }
}

/* Goal: a worker that stands still loses its leases after the fail-over time, is refused when it goes on,
 * and finds out. */
static void a_stopped_worker_is_refused_when_it_goes_on(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t first, second;

    make_stream_of(fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    atomic_store(&all->pace_us, 20000); /* So that it is stopped at work. */
    first = start_worker(fx, 0);
    await_held(0, SHARDS, 20000);
    put_all(&of);
    await_work(SHARDS);
    stop_outside_the_lock(first, of.stream);
    atomic_store(&all->pace_us, 500);
    second = start_worker(fx, 1);
    await_held(1, SHARDS, 20000);
    await_work(SHARDS * RECORDS);
    assert_int_equal(kill(first, SIGCONT), 0);
    for (int64_t until = now_ms() + 20000; atomic_load(&all->lost_events) < SHARDS && now_ms() < until;)
        (void)usleep(1000);
    assert_int_equal(atomic_load(&all->lost_events), SHARDS);
    assert_true(repeats() <= 2 * SHARDS);
    assert_int_equal(atomic_load(&all->disorder), 0);
    atomic_store(&all->leave[0], 1);
    atomic_store(&all->leave[1], 1);
    child_ends_well(first);
    child_ends_well(second);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Goal: who ends well leaves no repeats: every record is worked on once (kcl.md 9.9). */
static void a_graceful_end_repeats_nothing(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t first, second;

    make_stream_of(fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    first = start_worker(fx, 0);
    await_held(0, SHARDS, 20000);
    put_all(&of);
    await_work(SHARDS);
    second = start_worker(fx, 1); /* It asks for some meanwhile. */
    await_work(SHARDS * RECORDS / 2);
    atomic_store(&all->leave[0], 1);
    child_ends_well(first);
    await_held(1, SHARDS, 20000);
    await_work(SHARDS * RECORDS);
    assert_int_equal(repeats(), 0);
    assert_int_equal(atomic_load(&all->disorder), 0);
    assert_int_equal(atomic_load(&all->lost_events), 0);
    atomic_store(&all->leave[1], 1);
    child_ends_well(second);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- checkpoints in two steps ---- */

/* `share`: `acknowledged` the number of the record, `ready` how far the worker got: 1 it tells that the checkpoint is
 * about to be made, 2 it was told so durably and does what it is for, 3 it makes it, 4 it was made. */
static void prepare_and_die(fixture *fx)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_seqno seqno = atomic_load(&fx->share->acknowledged);
    ls_group *group = NULL;
    handles of;

    hooked_files_init(&the_plan.files, die_before, die_behind, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    child_check(ls_group_open(of.stream, "g", NULL, &group) == LS_OK);
    child_check(ls_group_next(group, 10000, &event) == LS_OK && event.kind == LS_GROUP_TAKEN);
    the_plan.armed = true;
    atomic_store(&fx->share->ready, 1);
    child_check(ls_lease_prepare(event.lease, seqno, UINT32_MAX, (ls_bytes){"file", 4}) == LS_OK);
    atomic_store(&fx->share->ready, 2);
    atomic_store(&fx->share->ready, 3);
    child_check(ls_lease_checkpoint(event.lease, seqno, UINT32_MAX) == LS_OK);
    atomic_store(&fx->share->ready, 4);
    the_plan.armed = false;
    child_check(ls_group_close(group) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

/* Goal: who takes the lease of a worker that was killed is told of what it had prepared, from when that was
 * acknowledged until the checkpoint is there, and of neither half alone. Method: a worker is killed before, behind and
 * in the middle of its 1st, 2nd, ... Nth call that changes the disk. */
static void what_a_killed_worker_had_prepared_is_told(void **state)
{
    uint32_t found[2] = {0, 0}; /* what was prepared; the checkpoint */
    fixture *fx = *state;
    ls_seqno before = LS_SEQNO_NONE;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (int where = 0; where < 3; where++) {
        int status = 1;

        for (int64_t calls = 0; status != 0; calls++) {
            ls_group_event event = LS_GROUP_EVENT_INIT;
            ls_lease_info info = LS_LEASE_INFO_INIT;
            ls_group *group = NULL;
            uint32_t stage;
            ls_record_id id;
            bool is_made, is_told;

            assert_true(calls < 100);
            assert_int_equal(put_text(&of, "record", &id), LS_OK);
            atomic_store(&fx->share->acknowledged, id.seqno);
            atomic_store(&fx->share->ready, 0);
            the_plan.countdown = calls;
            the_plan.where = where;
            status = child_end(child_start(prepare_and_die, fx));
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            stage = atomic_load(&fx->share->ready);
            assert_true(stage >= 1);
            assert_int_equal(ls_group_open(of.stream, "g", NULL, &group), LS_OK);
            assert_int_equal(ls_group_next(group, 10000, &event), LS_OK);
            assert_int_equal(event.kind, LS_GROUP_TAKEN);
            assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
            is_made = info.state == LS_LEASE_BEGUN && info.seqno == id.seqno;
            is_told = info.pending_seqno != LS_SEQNO_NONE;
            assert_true(is_made || info.seqno == before);
            if (is_told) {
                assert_int_equal(info.pending_seqno, id.seqno);
                assert_int_equal(info.pending_state.size, 4);
                assert_memory_equal(info.pending_state.data, "file", 4);
            }
            assert_false(is_told && is_made);
            if (stage >= 2)
                assert_true(is_told || is_made);
            else
                assert_false(is_made);
            if (stage == 4)
                assert_true(is_made);
            found[0] += is_told;
            found[1] += is_made;
            assert_int_equal(ls_lease_checkpoint(event.lease, id.seqno, UINT32_MAX), LS_OK);
            before = id.seqno;
            assert_int_equal(ls_group_close(group), LS_OK);
        }
    }
    assert_true(found[0] > 3 && found[1] > 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_workers_leases_are_taken_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leases_of_another_boot_are_taken_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_worker_is_refused_when_it_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_killed_worker_had_prepared_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_graceful_end_repeats_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("invariants/test_leases", tests, NULL, NULL);
}
