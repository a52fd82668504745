/* Transactions as txn.h promises them: what is added, limits and errors, records and checkpoints that are done together
 * or not at all, and what is known when one is not. What deaths and losses of power leave is asked in
 * tests/engine/test_local_step.c, between processes in tests/invariants/test_steps.c. */
#include "api/support.h"

#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "engine/local/local.h"
#include "support/sim_memory.h"

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

static ls_txn *begin_txn(fixture *fx)
{
    ls_txn *txn = NULL;

    assert_int_equal(ls_txn_begin(fx->store, NULL, &txn), LS_OK);
    return txn;
}

static void put(ls_txn *txn, ls_stream *to, const char *key, const char *data)
{
    assert_int_equal(ls_txn_put(txn, to, text(key), text(data), NULL), LS_OK);
}

/* The first letters of all that can be read of a shard. */
static const char *letters_of(ls_stream *stream, uint32_t shard)
{
    static char letters[256];
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t count = 0;

    assert_int_equal(ls_iterator_open(stream, shard, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        for (size_t i = 0; i < ls_batch_count(batch) && count < sizeof letters - 1; i++)
            letters[count++] = *(const char *)ls_batch_at(batch, i)->data.data;
    letters[count] = '\0';
    ls_iterator_close(iterator);
    return letters;
}

static ls_group *open_group(ls_stream *stream, const char *name, uint32_t failover_ms)
{
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group *group = NULL;

    options.failover_ms = failover_ms;
    assert_int_equal(ls_group_open(stream, name, &options, &group), LS_OK);
    return group;
}

static ls_lease *take_lease(ls_group *group)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;

    assert_int_equal(ls_group_next(group, 5000, &event), LS_OK);
    assert_int_equal(event.kind, LS_GROUP_TAKEN);
    return event.lease;
}

/* Where the lease of shard 0 stands, for all to see. 0: not begun. */
static ls_seqno listed(ls_stream *stream, const char *group)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;

    assert_int_equal(ls_stream_list_leases(stream, group, &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    ls_lease_list_free(list);
    return info.seqno;
}

static ls_seqno put_plain(ls_stream *stream, const char *data)
{
    ls_producer *producer = NULL;
    ls_record_id id;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return id.seqno;
}

/* ---- doing it ---- */

/* Goal: all of it shows, results are in the order of the puts, and the transaction is empty then. Method: two streams,
 * one of four shards, where explicit keys say which; a checkpoint; twice with one handle. */
static void what_is_committed_shows(void **state)
{
    fixture *fx = *state;
    ls_stream *in = make_stream(fx, "in", 1), *four = make_stream(fx, "four", 4), *one = make_stream(fx, "one", 1);
    ls_group *group = open_group(in, "g", 0);
    ls_seqno read[2] = {put_plain(in, "a"), put_plain(in, "b")};
    ls_lease *lease = take_lease(group);
    ls_txn *txn = begin_txn(fx);
    ls_lease_info info = LS_LEASE_INFO_INIT;

    for (int round = 0; round < 2; round++) {
        const ls_hash_key last = {UINT64_MAX, UINT64_MAX}, first = {0, 0};
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        ls_record_id ids[5];

        options.explicit_hash_key = &last;
        assert_int_equal(ls_txn_put(txn, four, text("k"), text("x"), &options), LS_OK);
        put(txn, one, "k", "1");
        options.explicit_hash_key = &first;
        assert_int_equal(ls_txn_put(txn, four, text("k"), text("y"), &options), LS_OK);
        put(txn, one, "k", "2");
        options.explicit_hash_key = &last;
        assert_int_equal(ls_txn_put(txn, four, text("k"), text("z"), &options), LS_OK);
        assert_int_equal(ls_txn_checkpoint(txn, lease, read[0], UINT32_MAX), LS_OK);
        assert_int_equal(ls_txn_checkpoint(txn, lease, read[round], UINT32_MAX), LS_OK);
        assert_string_equal(letters_of(one, 0), round == 0 ? "" : "12");
        assert_int_equal(ls_txn_commit(txn, ids, 5), LS_OK);
        assert_int_equal(ids[0].shard, 3);
        assert_int_equal(ids[4].shard, 3);
        assert_int_equal(ids[4].seqno, ids[0].seqno + 1);
        assert_int_equal(ids[2].shard, 0);
        assert_int_equal(ids[3].seqno, ids[1].seqno + 1);
        assert_true(ids[1].seqno > 0 && ids[2].seqno > 0);
        assert_string_equal(letters_of(one, 0), round == 0 ? "12" : "1212");
        assert_string_equal(letters_of(four, 3), round == 0 ? "xz" : "xzxz");
        assert_string_equal(letters_of(four, 0), round == 0 ? "y" : "yy");
        assert_int_equal(listed(in, "g"), read[round]);
        assert_int_equal(ls_lease_describe(lease, &info), LS_OK);
        assert_int_equal(info.seqno, read[round]);
        assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK); /* empty */
        assert_string_equal(letters_of(four, 0), round == 0 ? "y" : "yy");
    }
    ls_txn_close(txn);
    assert_int_equal(ls_lease_checkpoint(lease, read[1], UINT32_MAX), LS_OK); /* The lease goes on as it was. */
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_stream_close(in), LS_OK);
    assert_int_equal(ls_stream_close(four), LS_OK);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

static void what_is_aborted_is_forgotten(void **state)
{
    fixture *fx = *state;
    ls_stream *one = make_stream(fx, "one", 1);
    ls_txn *txn = begin_txn(fx);

    ls_txn_abort(NULL);
    ls_txn_close(NULL);
    put(txn, one, "k", "1");
    ls_txn_abort(txn);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    put(txn, one, "k", "2");
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    put(txn, one, "k", "3");
    assert_int_equal(ls_stream_close(one), LS_ERR_STATE); /* It is used. */
    ls_txn_close(txn);
    assert_string_equal(letters_of(one, 0), "2");
    assert_int_equal(ls_stream_close(one), LS_OK);
}

/* Goal: what is added is copied. */
static void what_is_added_is_the_callers_again(void **state)
{
    fixture *fx = *state;
    ls_stream *four = make_stream(fx, "four", 4);
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_hash_key hash = {0, 0};
    ls_txn *txn = begin_txn(fx);
    char key[] = "k", data[] = "d";

    options.explicit_hash_key = &hash;
    assert_int_equal(ls_txn_put(txn, four, text(key), text(data), &options), LS_OK);
    hash.high = UINT64_MAX;
    key[0] = data[0] = '!';
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    assert_string_equal(letters_of(four, 0), "d");
    ls_txn_close(txn);
    assert_int_equal(ls_stream_close(four), LS_OK);
}

/* Goal: a stream may be resharded between adding and committing. */
static void a_shard_that_closes_meanwhile_is_gone_around(void **state)
{
    fixture *fx = *state;
    ls_stream *one = make_stream(fx, "one", 1);
    ls_txn *txn = begin_txn(fx);
    ls_record_id ids[2];

    put(txn, one, "k", "1");
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    put(txn, one, "a", "2");
    put(txn, one, "b", "3");
    assert_int_equal(ls_stream_update_shard_count(one, 2, NULL), LS_OK);
    assert_int_equal(ls_txn_commit(txn, ids, 2), LS_OK);
    assert_in_range(ids[0].shard, 1, 2);
    assert_in_range(ids[1].shard, 1, 2);
    assert_string_equal(letters_of(one, 0), "1");
    assert_int_equal(strlen(letters_of(one, 1)) + strlen(letters_of(one, 2)), 2);
    ls_txn_close(txn);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

/* Leases of two groups of a stream, in one transaction: both checkpoints or none. */
static void leases_of_several_groups_are_checkpointed_together(void **state)
{
    fixture *fx = *state;
    ls_stream *in = make_stream(fx, "in", 1), *one = make_stream(fx, "one", 1);
    ls_group *groups[2] = {open_group(in, "g", 0), open_group(in, "h", 0)};
    ls_lease *leases[2] = {take_lease(groups[0]), take_lease(groups[1])};
    ls_seqno read[2] = {put_plain(in, "a"), put_plain(in, "b")};
    ls_txn *txn = begin_txn(fx);

    put(txn, one, "k", "x");
    assert_int_equal(ls_txn_checkpoint(txn, leases[0], read[0], UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_checkpoint(txn, leases[1], read[1] + 1, UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_INVALID_ARGUMENT); /* one is behind the last record */
    assert_int_equal(listed(in, "g") + listed(in, "h"), 0);
    assert_int_equal(ls_txn_checkpoint(txn, leases[1], read[1], UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    assert_string_equal(letters_of(one, 0), "x");
    assert_int_equal(listed(in, "g"), read[0]);
    assert_int_equal(listed(in, "h"), read[1]);
    ls_txn_close(txn);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ls_group_close(groups[i]), LS_OK);
    assert_int_equal(ls_stream_close(in), LS_OK);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

/* ---- not doing it ---- */

/* Goal: of two who believe that they have the lease one commits. Method: the first one does not renew. */
static void who_lost_the_lease_commits_nothing(void **state)
{
    fixture *fx = *state;
    ls_stream *in = make_stream(fx, "in", 1), *one = make_stream(fx, "one", 1);
    ls_group *groups[2] = {open_group(in, "g", 100), open_group(in, "g", 100)};
    ls_seqno read = put_plain(in, "a");
    ls_lease *leases[2] = {take_lease(groups[0]), NULL};
    ls_txn *txn = begin_txn(fx);

    put(txn, one, "k", "x");
    assert_int_equal(ls_txn_checkpoint(txn, leases[0], read, UINT32_MAX), LS_OK);
    leases[1] = take_lease(groups[1]);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_LEASE_LOST);
    assert_string_equal(letters_of(one, 0), "");
    assert_int_equal(listed(in, "g"), 0);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_LEASE_LOST);
    ls_txn_abort(txn);
    put(txn, one, "k", "y");
    assert_int_equal(ls_txn_checkpoint(txn, leases[1], read, UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    assert_string_equal(letters_of(one, 0), "y");
    assert_int_equal(listed(in, "g"), read);
    ls_txn_close(txn);
    assert_int_equal(ls_group_close(groups[0]), LS_OK);
    assert_int_equal(ls_group_close(groups[1]), LS_OK);
    assert_int_equal(ls_stream_close(in), LS_OK);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

static void a_checkpoint_that_is_wrong_refuses_all(void **state)
{
    fixture *fx = *state;
    ls_stream *in = make_stream(fx, "in", 1), *other = make_stream(fx, "other", 1);
    ls_group *group = open_group(in, "g", 0), *second = open_group(other, "g", 0);
    ls_seqno read[2] = {put_plain(in, "a"), put_plain(in, "b")};
    ls_lease *lease = take_lease(group), *its;
    ls_txn *txn = begin_txn(fx);

    (void)put_plain(other, "c");
    its = take_lease(second);
    assert_int_equal(ls_txn_checkpoint(txn, lease, LS_SEQNO_NONE, UINT32_MAX), LS_ERR_INVALID_ARGUMENT);
    put(txn, other, "k", "x");
    assert_int_equal(ls_txn_checkpoint(txn, lease, read[1] + 1, UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_checkpoint(txn, its, read[1], UINT32_MAX), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("other"));
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_checkpoint(txn, lease, read[1], UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    put(txn, other, "k", "y");
    assert_int_equal(ls_txn_checkpoint(txn, lease, read[0], UINT32_MAX), LS_OK);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(letters_of(other, 0), "cx");
    assert_int_equal(listed(in, "g"), read[1]);
    ls_txn_close(txn);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_group_close(second), LS_OK);
    assert_int_equal(ls_stream_close(in), LS_OK);
    assert_int_equal(ls_stream_close(other), LS_OK);
}

static void arguments_are_checked(void **state)
{
    fixture *fx = *state;
    ls_stream *one = make_stream(fx, "one", 1), *theirs = NULL;
    ls_txn_options options = LS_TXN_OPTIONS_INIT;
    ls_put_options put_options = LS_PUT_OPTIONS_INIT;
    ls_store *other = NULL;
    ls_txn *txn = NULL;
    ls_record_id id;

    assert_int_equal(ls_txn_begin(NULL, NULL, &txn), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_begin(fx->store, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    options.size = 1;
    assert_int_equal(ls_txn_begin(fx->store, &options, &txn), LS_ERR_INVALID_ARGUMENT);
    options = (ls_txn_options)LS_TXN_OPTIONS_INIT;
    options.reserved = 1;
    assert_int_equal(ls_txn_begin(fx->store, &options, &txn), LS_ERR_INVALID_ARGUMENT);
    assert_null(txn);
    options.reserved = 0;
    assert_int_equal(ls_txn_begin(fx->store, &options, &txn), LS_OK);
    assert_int_equal(ls_txn_put(NULL, one, text("k"), text("d"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_put(txn, NULL, text("k"), text("d"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_put(txn, one, text(""), text("d"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_put(txn, one, text("\xff"), text("d"), NULL), LS_ERR_INVALID_ARGUMENT);
    put_options.flags = LS_PUT_ATOMIC;
    assert_int_equal(ls_txn_put(txn, one, text("k"), text("d"), &put_options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_checkpoint(NULL, NULL, 1, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_checkpoint(txn, NULL, 1, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_txn_commit(NULL, NULL, 0), LS_ERR_INVALID_ARGUMENT);
    put(txn, one, "k", "1");
    put(txn, one, "k", "2");
    assert_int_equal(ls_txn_commit(txn, &id, 1), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("2 records"));
    assert_int_equal(ls_txn_commit(txn, NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(letters_of(one, 0), "");

    assert_int_equal(ls_store_open("memory:", NULL, &other), LS_OK);
    assert_int_equal(ls_stream_create(other, "theirs", NULL), LS_OK);
    assert_int_equal(ls_stream_open(other, "theirs", &theirs), LS_OK);
    assert_int_equal(ls_txn_put(txn, theirs, text("k"), text("d"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("theirs"));
    assert_int_equal(ls_stream_close(theirs), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
    ls_txn_close(txn);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

/* ---- limits ---- */

static void limits_are_named(void **state)
{
    const size_t large = 1000000;
    fixture *fx = *state;
    ls_stream *one = make_stream(fx, "one", 1), *many = make_stream(fx, "many", LS_TXN_SHARDS_MAX + 1);
    char *data = calloc(1, large + (1 << 20));
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_txn *txn = begin_txn(fx);
    uint32_t count = 0;

    assert_non_null(data);
    assert_int_equal(ls_txn_put(txn, one, text("k"), (ls_bytes){data, (1 << 20) + 1}, NULL), LS_ERR_TOO_LARGE);
    while (ls_txn_put(txn, one, text("k"), (ls_bytes){data, large}, NULL) == LS_OK)
        count++;
    assert_int_equal(ls_last_error_status(), LS_ERR_TOO_LARGE);
    assert_int_equal(count, LS_TXN_BYTES_MAX / (large + 1));
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_TOO_LARGE); /* one shard */
    ls_txn_abort(txn);
    for (uint32_t i = 0; i < LS_TXN_RECORDS_MAX; i++)
        assert_int_equal(ls_txn_put(txn, one, text("k"), text("d"), NULL), LS_OK);
    assert_int_equal(ls_txn_put(txn, one, text("k"), text("d"), NULL), LS_ERR_TOO_LARGE);
    assert_true(says("65536"));
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    for (uint32_t i = 0; i <= LS_TXN_SHARDS_MAX; i++) {
        ls_hash_key hash = {UINT64_MAX / (LS_TXN_SHARDS_MAX + 1) * i + UINT64_MAX / 1000, 0};

        options.explicit_hash_key = &hash;
        assert_int_equal(ls_txn_put(txn, many, text("k"), text("d"), &options), LS_OK);
    }
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_ERR_TOO_LARGE);
    assert_true(says("257 shards"));
    ls_txn_close(txn);
    free(data);
    assert_int_equal(ls_stream_close(one), LS_OK);
    assert_int_equal(ls_stream_close(many), LS_OK);
}

/* Goal: a provisioned stream's limits hold, and nothing is done when one refuses. */
static void limits_of_provisioned_streams_hold(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *one = make_stream(fx, "one", 1), *slow = NULL;
    ls_txn *txn = begin_txn(fx);

    options.mode = LS_STREAM_PROVISIONED;
    options.write_records_per_second = 2;
    assert_int_equal(ls_stream_create(fx->store, "slow", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "slow", &slow), LS_OK);
    for (int i = 0; i < 2; i++) {
        put(txn, one, "k", "x");
        put(txn, slow, "k", "1");
        put(txn, slow, "k", "2");
        assert_int_equal(ls_txn_commit(txn, NULL, 0), i == 0 ? LS_OK : LS_ERR_THROTTLED);
    }
    assert_true(ls_last_error_retry_after_ms() > 0);
    assert_string_equal(letters_of(one, 0), "x");
    assert_string_equal(letters_of(slow, 0), "12");
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK); /* It was kept. */
    assert_string_equal(letters_of(slow, 0), "1212");
    assert_string_equal(letters_of(one, 0), "xx");
    ls_txn_close(txn);
    assert_int_equal(ls_stream_close(one), LS_OK);
    assert_int_equal(ls_stream_close(slow), LS_OK);
}

static void a_store_for_reading_begins_none(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *reading = NULL;
    ls_txn *txn = NULL;

    if (in_memory)
        skip();
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &options, &reading), LS_OK);
    assert_int_equal(ls_txn_begin(reading, NULL, &txn), LS_ERR_READ_ONLY);
    assert_int_equal(ls_store_close(reading), LS_OK);
}

/* ---- handles ---- */

static bool is_refused_elsewhere(void *user)
{
    ls_txn *txn = user;

    return ls_txn_commit(txn, NULL, 0) == LS_ERR_STATE;
}

static void a_fork_child_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *one = make_stream(fx, "one", 1);
    ls_txn *txn = begin_txn(fx);

    put(txn, one, "k", "1");
    in_fork_child(is_refused_elsewhere, txn);
    assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
    assert_string_equal(letters_of(one, 0), "1");
    ls_txn_close(txn);
    assert_int_equal(ls_stream_close(one), LS_OK);
}

/* Goal: E4. Method: the Nth allocation fails; what was refused can be done again. */
static void without_memory_nothing_is_done(void **state)
{
    bool met = true;

    (void)state;
    for (uint64_t n = 1; met; n++) {
        sim_memory memory = SIM_MEMORY_INIT;
        ls_stream *in = NULL, *one = NULL;
        ls_store *store = NULL;
        ls_group *group = NULL;
        ls_txn *txn = NULL;
        lsi_env env;
        ls_status st;

        lsi_env_default(&env);
        env.memory = sim_memory_table(&memory);
        assert_int_equal(lsi_store_open_env("memory:", NULL, &env, &store), LS_OK);
        assert_int_equal(ls_stream_create(store, "in", NULL), LS_OK);
        assert_int_equal(ls_stream_create(store, "one", NULL), LS_OK);
        assert_int_equal(ls_stream_open(store, "in", &in), LS_OK);
        assert_int_equal(ls_stream_open(store, "one", &one), LS_OK);
        group = open_group(in, "g", 0);
        ls_seqno read = put_plain(in, "a");
        ls_lease *lease = take_lease(group);
        sim_memory_fail(&memory, n, false);
        st = ls_txn_begin(store, NULL, &txn);
        if (st == LS_OK)
            st = ls_txn_put(txn, one, text("k"), text("x"), NULL);
        if (st == LS_OK)
            st = ls_txn_checkpoint(txn, lease, read, UINT32_MAX);
        if (st == LS_OK)
            st = ls_txn_commit(txn, NULL, 0);
        met = memory.failed > 0;
        sim_memory_fail(&memory, 0, false);
        if (st != LS_OK) {
            assert_int_equal(st, LS_ERR_NO_MEMORY);
            assert_string_equal(letters_of(one, 0), "");
            assert_int_equal(listed(in, "g"), 0);
            if (txn == NULL)
                assert_int_equal(ls_txn_begin(store, NULL, &txn), LS_OK);
            ls_txn_abort(txn);
            assert_int_equal(ls_txn_put(txn, one, text("k"), text("x"), NULL), LS_OK);
            assert_int_equal(ls_txn_checkpoint(txn, lease, read, UINT32_MAX), LS_OK);
            assert_int_equal(ls_txn_commit(txn, NULL, 0), LS_OK);
        }
        assert_string_equal(letters_of(one, 0), "x");
        assert_int_equal(listed(in, "g"), read);
        ls_txn_close(txn);
        assert_int_equal(ls_group_close(group), LS_OK);
        assert_int_equal(ls_stream_close(in), LS_OK);
        assert_int_equal(ls_stream_close(one), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
        assert_int_equal(memory.live, 0);
        assert_true(n < 1000);
    }
}

/* U2: who was stopped before he asked what became of a step asks when a later one was taken; the answer to that one
 * stays. */
static void a_late_question_changes_no_later_answer(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "late", 1);
    const lsi_local_stream *inside = lsi_local_stream_of(stream->stream);
    const lsi_log_config of = {.stream = inside->id, .shard = 0, .label = "late"};
    ls_record_id ids[2];
    ls_txn *txn = NULL;
    bool is_taken = false;

    assert_int_equal(ls_txn_begin(fx->store, NULL, &txn), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_txn_put(txn, stream, text("k"), text("data"), NULL), LS_OK);
        assert_int_equal(ls_txn_commit(txn, &ids[i], 1), LS_OK);
    }
    ls_txn_close(txn);
    assert_int_equal(lsi_local_step_decide(lsi_local_of(fx->store->engine), inside->id, &of, ids[0].seqno, false,
                                           &is_taken), LS_OK);
    assert_int_equal(lsi_local_step_decide(lsi_local_of(fx->store->engine), inside->id, &of, ids[1].seqno, false,
                                           &is_taken), LS_OK);
    assert_true(is_taken);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_late_question_changes_no_later_answer),
        TEST(what_is_committed_shows),
        TEST(what_is_aborted_is_forgotten),
        TEST(what_is_added_is_the_callers_again),
        TEST(a_shard_that_closes_meanwhile_is_gone_around),
        TEST(leases_of_several_groups_are_checkpointed_together),
        TEST(who_lost_the_lease_commits_nothing),
        TEST(a_checkpoint_that_is_wrong_refuses_all),
        TEST(arguments_are_checked),
        TEST(limits_are_named),
        TEST(limits_of_provisioned_streams_hold),
        TEST(a_store_for_reading_begins_none),
        TEST(a_fork_child_is_refused),
        TEST(without_memory_nothing_is_done),
    };

    run_everywhere("api/test_txn", tests);
}
