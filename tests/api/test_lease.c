/* Groups and leases as lease.h promises them: options and their errors, a life by the public calls, listing, handles.
 * What workers do to each other is asked in tests/consume/test_lease.c, between processes in tests/invariants. */
#include "api/support.h"

#include <time.h>

#define STREAM "orders"

static ls_group *open_group(ls_stream *stream, const char *worker)
{
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group *group = NULL;

    options.worker = worker;
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    return group;
}

static ls_group_event next(ls_group *group)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;

    assert_int_equal(ls_group_next(group, 0, &event), LS_OK);
    return event;
}

static void options_have_limits(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    const struct {
        const char *name;
        uint32_t failover_ms, handover_ms;
        const char *worker;
        ls_position position;
    } bad[] = {
        {"", 0, 0, NULL, {LS_TRIM_HORIZON, 0, 0, 0}},
        {"a/b", 0, 0, NULL, {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 99, 0, NULL, {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 600001, 0, NULL, {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 600001, NULL, {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 0, "", {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 0, "a\nb", {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 0, "\xff", {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 0, "1234567890123456789012345678901234567890123456789012345678901234", {LS_TRIM_HORIZON, 0, 0, 0}},
        {"g", 0, 0, NULL, {LS_AT_SEQUENCE_NUMBER, 0, 5, 0}},
        {"g", 0, 0, NULL, {LS_TRIM_HORIZON, 0, 5, 0}},
        {"g", 0, 0, NULL, {LS_LATEST, 0, 0, 5}},
        {"g", 0, 0, NULL, {LS_LATEST, 1, 0, 0}},
    };
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group *group = NULL;
    ls_lease_list *list = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options = (ls_group_options)LS_GROUP_OPTIONS_INIT;
        options.failover_ms = bad[i].failover_ms;
        options.handover_ms = bad[i].handover_ms;
        options.worker = bad[i].worker;
        options.position = &bad[i].position;
        if (ls_group_open(stream, bad[i].name, &options, &group) != LS_ERR_INVALID_ARGUMENT)
            fail_msg("case %zu is not refused", i);
        assert_null(group);
    }
    options = (ls_group_options)LS_GROUP_OPTIONS_INIT;
    options.size = 3;
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_group_open(NULL, "g", NULL, &group), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_group_open(stream, NULL, NULL, &group), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_group_open(stream, "g", NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_list_leases(stream, "g", &list), LS_ERR_NOT_FOUND); /* Nothing was made. */
    assert_int_equal(ls_group_open(stream, "", NULL, &group), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "group name is empty: it has 1..128 characters");
    assert_int_equal(ls_stream_list_leases(stream, "a/b", &list), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "group name 'a/b': "));
    assert_int_equal(ls_group_delete(stream, "a/b"), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "group name 'a/b': "));
    assert_int_equal(ls_group_delete(stream, "g"), LS_ERR_NOT_FOUND);
    assert_string_equal(ls_last_error_message(), "stream 'orders' has no group 'g'");
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The longest name a group can have: its leases are its own, and go with it. */
static void a_name_has_up_to_128_characters(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    ls_group *group = NULL;
    ls_lease_list *list = NULL;
    ls_group_event event;
    char name[130];

    memset(name, 'n', 129);
    name[129] = '\0';
    assert_int_equal(ls_group_open(stream, name, NULL, &group), LS_ERR_INVALID_ARGUMENT);
    name[128] = '\0';
    assert_int_equal(ls_group_open(stream, name, NULL, &group), LS_OK);
    for (int i = 0; i < 2; i++) {
        event = next(group);
        assert_int_equal(event.kind, LS_GROUP_TAKEN);
    }
    assert_int_equal(ls_stream_list_leases(stream, name, &list), LS_OK);
    assert_int_equal(ls_lease_list_count(list), 2);
    ls_lease_list_free(list);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_group_delete(stream, name), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_worker_takes_checkpoints_and_gives_back(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_group *group = open_group(stream, "ann");
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease *leases[2] = {NULL, NULL};
    ls_lease_list *list = NULL;
    ls_producer *producer = NULL;
    ls_record_id id;
    ls_group_event event;

    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* A worker of it is open. */
    for (int i = 0; i < 2; i++) {
        event = next(group);
        assert_int_equal(event.kind, LS_GROUP_TAKEN);
        assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
        assert_in_range(info.shard, 0, 1);
        assert_int_equal(info.state, LS_LEASE_NOT_BEGUN);
        assert_int_equal(info.millis_behind_latest, -1);
        leases[info.shard] = event.lease;
    }
    event = next(group);
    assert_int_equal(event.kind, LS_GROUP_NOTHING);
    assert_null(event.lease);
    for (uint64_t seqno = 1; seqno <= LS_SEQNO_END && seqno != 0; seqno <<= 9) /* Nothing was put yet. */
        for (int i = 0; i < 2; i++)
            assert_int_equal(ls_lease_checkpoint(leases[i], seqno, UINT32_MAX), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_lease_checkpoint(leases[id.shard], id.seqno, UINT32_MAX), LS_OK);
    assert_int_equal(ls_lease_describe(leases[id.shard], &info), LS_OK);
    assert_int_equal(info.state, LS_LEASE_BEGUN);
    assert_int_equal(info.seqno, id.seqno);
    assert_int_equal(info.position.kind, LS_AFTER_SEQUENCE_NUMBER);
    assert_int_equal(info.position.seqno, id.seqno);
    assert_int_equal(ls_lease_checkpoint(leases[id.shard], id.seqno + 1, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_end(leases[id.shard]), LS_ERR_STATE);
    ls_group_renew(group);
    assert_int_equal(ls_stream_list_leases(stream, "g", &list), LS_OK);
    assert_int_equal(ls_lease_list_count(list), 2);
    assert_int_equal(ls_lease_list_at(list, id.shard, &info), LS_OK);
    assert_string_equal(info.owner, "ann");
    assert_int_equal(info.owner_lives, 1);
    assert_int_equal(info.millis_behind_latest, 0);
    assert_int_equal(ls_lease_list_at(list, 2, &info), LS_ERR_INVALID_ARGUMENT);
    info.size = 8;
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_describe(leases[0], &info), LS_ERR_INVALID_ARGUMENT);
    ls_lease_list_free(list);
    assert_int_equal(ls_lease_close(leases[0]), LS_OK);
    assert_int_equal(ls_group_close(group), LS_OK);
    info = (ls_lease_info)LS_LEASE_INFO_INIT;
    assert_int_equal(ls_stream_list_leases(stream, "g", &list), LS_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(ls_lease_list_at(list, i, &info), LS_OK);
        assert_string_equal(info.owner, "");
        assert_int_equal(info.owner_lives, 0);
    }
    ls_lease_list_free(list);
    group = open_group(stream, "bob"); /* It goes on where the group had come to. */
    for (int i = 0; i < 2; i++) {
        event = next(group);
        assert_int_equal(event.kind, LS_GROUP_TAKEN);
        assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
        assert_int_equal(info.seqno, info.shard == id.shard ? id.seqno : 0);
    }
    assert_int_equal(ls_group_delete(stream, "g"), LS_OK);
    assert_int_equal(next(group).kind, LS_GROUP_LOST);
    assert_int_equal(next(group).kind, LS_GROUP_LOST);
    assert_int_equal(ls_group_next(group, 0, &event), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Who takes a lease is told what its owner before had prepared; whoever was compiled against a header without it gets
 * what he knows. */
static void who_comes_next_is_told_what_was_prepared(void **state)
{
    static const unsigned char bytes[3] = {0, 0xff, 'x'};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_group *group = open_group(stream, "ann");
    ls_lease_info info = LS_LEASE_INFO_INIT, old;
    ls_producer *producer = NULL;
    ls_lease_list *list = NULL;
    ls_group_event event = next(group);
    ls_txn *txn = NULL;
    ls_record_id id;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_lease_prepare(event.lease, id.seqno + 1, 0, text("")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_prepare(event.lease, id.seqno, 0, (ls_bytes){NULL, 1}), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "state of 1 bytes has no address");
    assert_int_equal(ls_lease_prepare(NULL, id.seqno, 0, text("")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
    assert_int_equal(info.pending_seqno, LS_SEQNO_NONE);
    assert_int_equal(ls_lease_prepare(event.lease, id.seqno, UINT32_MAX, (ls_bytes){bytes, sizeof bytes}), LS_OK);
    assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
    assert_int_equal(info.pending_seqno, id.seqno);
    assert_int_equal(ls_group_close(group), LS_OK);
    group = open_group(stream, "bob");
    event = next(group);
    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
    assert_int_equal(info.state, LS_LEASE_NOT_BEGUN);
    assert_int_equal(info.pending_seqno, id.seqno);
    assert_int_equal(info.pending_sub_seqno, UINT32_MAX);
    assert_int_equal(info.pending_state.size, sizeof bytes);
    assert_memory_equal(info.pending_state.data, bytes, sizeof bytes);
    memset(&old, 'o', sizeof old);
    old.size = (uint32_t)offsetof(ls_lease_info, pending_seqno);
    assert_int_equal(ls_stream_list_leases(stream, "g", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &old), LS_OK);
    assert_string_equal(old.owner, "bob");
    assert_int_equal((unsigned char)*(const char *)&old.pending_seqno, 'o');
    assert_int_equal(ls_txn_begin(fx->store, NULL, &txn), LS_OK); /* A transaction settles it, too. */
    assert_int_equal(ls_txn_checkpoint(txn, event.lease, id.seqno, UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    ls_txn_close(txn);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK); /* The list is as it was. */
    assert_memory_equal(info.pending_state.data, bytes, sizeof bytes);
    ls_lease_list_free(list);
    assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
    assert_int_equal(info.pending_seqno, LS_SEQNO_NONE);
    assert_int_equal(info.pending_state.size, 0);
    assert_int_equal(info.seqno, id.seqno);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void calls_refuse_what_they_cannot_do(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_group *group = open_group(stream, NULL);
    ls_group_event event = LS_GROUP_EVENT_INIT;

    assert_int_equal(ls_group_next(group, -2, &event), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_group_next(group, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_group_next(NULL, 0, &event), LS_ERR_INVALID_ARGUMENT);
    event.size = 4;
    assert_int_equal(ls_group_next(group, 0, &event), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_checkpoint(NULL, 1, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_end(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_lease_close(NULL), LS_OK);
    assert_int_equal(ls_group_close(NULL), LS_OK);
    assert_int_equal(ls_lease_list_count(NULL), 0);
    ls_lease_list_free(NULL);
    ls_group_cancel(NULL);
    ls_group_renew(NULL);
    ls_group_cancel(group);
    event = (ls_group_event)LS_GROUP_EVENT_INIT;
    assert_int_equal(ls_group_next(group, -1, &event), LS_ERR_CANCELLED);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int64_t now_ms(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A worker that has given a lease back takes it again when nobody else did for failover_ms, and not before. */
static void what_nobody_wants_is_taken_again(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group_event event;
    ls_group *group = NULL;
    int64_t closed_ms;

    options.failover_ms = 300;
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    event = next(group);
    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    closed_ms = now_ms();
    assert_int_equal(ls_lease_close(event.lease), LS_OK);
    assert_int_equal(ls_group_next(group, 20000, &event), LS_OK);
    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    assert_in_range(now_ms() - closed_ms, 299, 19000);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_worker_takes_no_more_than_it_wants(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 3);
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group *group = NULL, *other = NULL;

    options.leases_max = 2;
    assert_int_equal(ls_group_open(stream, "g", &options, &group), LS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(next(group).kind, LS_GROUP_TAKEN);
    assert_int_equal(next(group).kind, LS_GROUP_NOTHING);
    assert_int_equal(ls_group_open(stream, "g", NULL, &other), LS_OK);
    assert_int_equal(next(other).kind, LS_GROUP_TAKEN); /* the one that is left */
    assert_int_equal(next(group).kind, LS_GROUP_NOTHING);
    assert_int_equal(ls_group_close(other), LS_OK);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A store that is opened for reading lists leases, and has no workers. */
static void reading_stores_list_leases(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1), *read = NULL;
    ls_group *group = open_group(stream, "ann"), *other = NULL;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;
    ls_store *store = NULL;

    assert_int_equal(next(group).kind, LS_GROUP_TAKEN);
    if (!in_memory) {
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(ls_store_open(fx->location, &options, &store), LS_OK);
        assert_int_equal(ls_stream_open(store, STREAM, &read), LS_OK);
        assert_int_equal(ls_group_open(read, "g", NULL, &other), LS_ERR_READ_ONLY);
        assert_int_equal(ls_group_delete(read, "g"), LS_ERR_READ_ONLY);
        assert_int_equal(ls_stream_list_leases(read, "g", &list), LS_OK);
        assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
        assert_string_equal(info.owner, "ann");
        ls_lease_list_free(list);
        assert_int_equal(ls_stream_close(read), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* P9: a fork child can close its handles, and nothing else; and takes nothing from the parent by that. */
static void a_fork_child_has_no_leases(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_group *group = open_group(stream, "ann");
    ls_group_event event = next(group), again = LS_GROUP_EVENT_INIT;
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;
    int status = 0;
    pid_t pid;

    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int wrong = (ls_group_next(group, 0, &again) != LS_ERR_STATE) +
            2 * (ls_lease_end(event.lease) != LS_ERR_STATE) +
            4 * (ls_lease_checkpoint(event.lease, 1, 0) != LS_ERR_STATE) +
            8 * (ls_lease_prepare(event.lease, 1, 0, text("")) != LS_ERR_STATE);

        ls_group_renew(group);
        _exit(wrong + 16 * (ls_group_close(group) != LS_OK));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ls_stream_list_leases(stream, "g", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    assert_string_equal(info.owner, "ann");
    ls_lease_list_free(list);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(options_have_limits, begin, end),
        cmocka_unit_test_setup_teardown(a_name_has_up_to_128_characters, begin, end),
        cmocka_unit_test_setup_teardown(a_worker_takes_checkpoints_and_gives_back, begin, end),
        cmocka_unit_test_setup_teardown(who_comes_next_is_told_what_was_prepared, begin, end),
        cmocka_unit_test_setup_teardown(calls_refuse_what_they_cannot_do, begin, end),
        cmocka_unit_test_setup_teardown(what_nobody_wants_is_taken_again, begin, end),
        cmocka_unit_test_setup_teardown(a_worker_takes_no_more_than_it_wants, begin, end),
        cmocka_unit_test_setup_teardown(reading_stores_list_leases, begin, end),
        cmocka_unit_test_setup_teardown(a_fork_child_has_no_leases, begin, end),
    };

    run_everywhere("leases", tests);
}
