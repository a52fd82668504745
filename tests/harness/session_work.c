/* Working on a stream: two workers of a group, their checkpoints, and transactions. See session.h.
 *
 * A checkpoint is a setting of the stream's, shard by shard, so what holds of those holds of it (truth_settings.c): it
 * is as the last acknowledged one left it, or as one that was begun after that. */
#include "harness/session_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/sim_inside.h"

#define GROUP "g"
#define STEP_PUTS_MAX 8u
#define FAILOVER_US INT64_C(10000000) /* the default */
#define TURNS 6u                      /* so many times a worker looks, until it is at rest */

/* ---- workers ---- */

void session_leave(session *of)
{
    for (uint32_t i = 0; i < SESSION_WORKERS; i++) {
        session_worker *worker = &of->workers[i];

        if (worker->group != NULL) /* What it does not give back others take in time. */
            (void)session_answered(of, ls_group_close(worker->group));
        *worker = (session_worker){0};
    }
}

static ls_status want_worker(session *of, uint32_t stream, uint32_t which)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK || of->workers[which].group != NULL)
        return st;
    of->worked_on = stream;
    st = session_answered(of, ls_group_open(of->streams[stream], GROUP, NULL, &of->workers[which].group));
    if (st != LS_OK)
        of->workers[which].group = NULL;
    return st;
}

static void forget_lease(session_worker *worker, const ls_lease *lease)
{
    for (uint32_t i = 0; i < TRUTH_LEASES; i++)
        if (worker->leases[i] == lease)
            worker->leases[i] = NULL;
}

/* All that a worker is told now; what another one wants it gives over. */
static ls_status listen(session *of, session_worker *worker)
{
    for (;;) {
        ls_group_event event = LS_GROUP_EVENT_INIT;
        ls_lease_info info = LS_LEASE_INFO_INIT;
        ls_status st = session_answered(of, ls_group_next(worker->group, 0, &event));

        if (st != LS_OK || event.kind == LS_GROUP_NOTHING)
            return st;
        if (event.kind == LS_GROUP_TAKEN && ls_lease_describe(event.lease, &info) == LS_OK &&
            info.shard < TRUTH_LEASES) {
            worker->leases[info.shard] = event.lease;
        } else if (event.kind != LS_GROUP_TAKEN) {
            forget_lease(worker, event.lease);
            (void)session_answered(of, ls_lease_close(event.lease));
        }
    }
}

ls_status session_work(session *of, uint32_t stream, uint32_t which)
{
    ls_status st = want_worker(of, stream, which);

    for (uint32_t turn = 0; turn < TURNS && st == LS_OK; turn++) {
        for (uint32_t i = 0; i < SESSION_WORKERS && st == LS_OK; i++)
            if (of->workers[i].group != NULL)
                st = listen(of, &of->workers[i]);
        session_pass(of, FAILOVER_US / 8);
    }
    return st;
}

/* Who has the lease of the shard, or had it and was not told yet. */
static ls_lease *lease_of(session *of, uint32_t shard)
{
    for (uint32_t i = 0; i < SESSION_WORKERS; i++)
        if (of->workers[i].leases[shard] != NULL)
            return of->workers[i].leases[shard];
    return NULL;
}

/* ---- checkpoints ---- */

/* The last record of the shard that is acknowledged; 0: none is. */
static ls_seqno last_of(const session *of, uint32_t stream, uint32_t shard)
{
    ls_seqno last = 0;

    for (size_t i = 0; i < of->truth->put_count; i++) {
        const put_fact *put = &of->truth->puts[i];

        if (put->stream == stream && put->shard == shard && put->acked_at != NEVER && !put->is_unknown)
            last = put->seqno;
    }
    return last;
}

static ls_status checkpoint(session *of, uint32_t stream, uint32_t shard, uint64_t value, bool is_end)
{
    bool settles = truth_has_pending(of->truth, stream, shard);
    uint32_t group = settles ? ++of->truth->group_count : 0;
    ls_lease *lease = lease_of(of, shard);
    ls_seqno seqno = is_end ? TRUTH_LEASE_ENDED : value;
    size_t begun = of->truth->setting_count;
    ls_status st;

    if (lease == NULL || seqno == 0) /* What should have made it failed. */
        return LS_ERR_STATE;
    (void)truth_setting_begin(of->truth, stream, TRUTH_LEASE + shard, seqno, group, session_here(of));
    if (settles)
        (void)truth_setting_begin(of->truth, stream, TRUTH_PENDING + shard, 0, group, session_here(of));
    st = session_answered(of, is_end ? ls_lease_end(lease) : ls_lease_checkpoint(lease, seqno, UINT32_MAX));
    session_settings_answered(of, begun, settles ? 2 : 1, st);
    return st;
}

ls_status session_checkpoint(session *of, uint32_t stream, uint32_t shard)
{
    return checkpoint(of, stream, shard, last_of(of, stream, shard), false);
}

ls_status session_end(session *of, uint32_t stream, uint32_t shard)
{
    return checkpoint(of, stream, shard, 0, true);
}

ls_status session_prepare(session *of, uint32_t stream, uint32_t shard)
{
    ls_lease *lease = lease_of(of, shard);
    ls_seqno seqno = last_of(of, stream, shard);
    setting_fact *fact;
    ls_status st;

    if (lease == NULL || seqno == 0)
        return LS_ERR_STATE;
    fact = session_setting_begin(of, stream, TRUTH_PENDING + shard, seqno);
    st = session_answered(of, ls_lease_prepare(lease, seqno, UINT32_MAX, (ls_bytes){&seqno, sizeof seqno}));
    session_setting_answered(of, fact, st);
    return st;
}

void session_outlast(session *of, uint32_t stream, uint32_t shard)
{
    uint32_t still = of->workers[0].leases[shard] != NULL ? 0 : 1, other = 1 - still;
    ls_lease *stale = of->workers[still].leases[shard];
    ls_status st = want_worker(of, stream, other), put = session_put(of, stream, shard, 350); /* to be noted */

    for (uint32_t turn = 0; turn < 2 * TURNS && st == LS_OK; turn++) {
        session_pass(of, FAILOVER_US / 4);
        st = listen(of, &of->workers[other]);
    }
    if (stale == NULL || st != LS_OK || put != LS_OK || of->workers[other].leases[shard] == NULL)
        return;
    if (session_answered(of, ls_lease_checkpoint(stale, last_of(of, stream, shard), UINT32_MAX)) == LS_OK)
        session_complain(of, "O5: who has lost the lease of shard %u notes a checkpoint", shard);
    of->workers[still].leases[shard] = NULL; /* It is told of it when it listens again. */
}

/* ---- transactions ---- */

typedef struct step {
    ls_txn *txn;
    uint32_t first, count; /* its puts */
    ls_record_id results[STEP_PUTS_MAX];
} step;

static ls_status add_put(session *of, step *to, uint32_t stream, uint32_t shard, uint32_t bytes, uint32_t number)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_hash_key hash_key;
    char key[16];
    ls_status st;

    hash_key = session_key_of(of, stream, shard, number);
    options.explicit_hash_key = &hash_key;
    of->data = sim_must(realloc(of->data, bytes)); /* a process may be killed in here */
    truth_data(number, of->data, bytes);
    st = session_answered(of, ls_txn_put(to->txn, of->streams[stream],
                                         (ls_bytes){key, truth_key(number, key)}, (ls_bytes){of->data, bytes},
                                         &options));
    return st;
}

/* Every open shard of every stream but the one that is worked on gets a record. */
static ls_status add_puts(session *of, step *to, uint32_t stream, uint32_t bytes, uint32_t group)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->truth->stream_count && st == LS_OK; i++)
        for (uint32_t shard = 0; i != stream && shard < of->shards[i].count && st == LS_OK; shard++) {
            uint32_t number;

            if (of->streams[i] == NULL || !session_is_open(of, i, shard) || to->count == STEP_PUTS_MAX)
                continue;
            number = truth_put_begin(of->truth, i, shard, 0, bytes, session_here(of));
            of->truth->puts[number - 1].step = group;
            of->truth->puts[number - 1].begun_us = atomic_load_explicit(&of->now_us, memory_order_relaxed);
            to->first = to->count++ == 0 ? number : to->first;
            st = add_put(of, to, i, shard, bytes, number);
        }
    return st;
}

static void step_answered(session *of, const step *of_puts, ls_status st)
{
    for (uint32_t i = 0; i < of_puts->count; i++) {
        put_fact *put = &of->truth->puts[of_puts->first + i - 1];

        of->written[put->stream][put->shard] =
            of->written[put->stream][put->shard] ||
            session_written_at(of, of_puts->first + i, put->begun_at) < session_here(of);
        if (st == LS_OK && of_puts->results[i].shard != put->shard)
            session_complain(of, "put %u went to shard %u instead of %u", of_puts->first + i,
                             of_puts->results[i].shard, put->shard);
        session_put_answered(of, of_puts->first + i, st, of_puts->results[i].seqno);
        if (st == LS_OK) /* in every mode */
            put->durable_at = session_here(of);
    }
}

ls_status session_step(session *of, uint32_t stream, uint32_t shard, uint32_t bytes)
{
    ls_lease *lease = lease_of(of, shard);
    ls_seqno last = last_of(of, stream, shard);
    uint32_t group = ++of->truth->group_count;
    step now = {.txn = NULL};
    size_t settled;
    bool settles = truth_has_pending(of->truth, stream, shard);
    setting_fact *fact;
    bool doubted;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->truth->stream_count && st == LS_OK; i++) {
        st = session_want_stream(of, i);
        st = st == LS_ERR_NOT_FOUND ? LS_OK : st; /* It was never made: then it gets nothing. */
    }
    if (st != LS_OK)
        return st;
    if (lease == NULL || last == 0)
        return LS_ERR_STATE;
    settled = of->truth->setting_count;
    if (settles)
        (void)session_setting_begin(of, stream, TRUTH_PENDING + shard, 0);
    fact = session_setting_begin(of, stream, TRUTH_LEASE + shard, last);
    fact->step = group;
    st = session_answered(of, ls_txn_begin(of->store, NULL, &now.txn));
    if (st == LS_OK)
        st = add_puts(of, &now, stream, bytes < TRUTH_MARK_BYTES ? TRUTH_MARK_BYTES : bytes, group);
    else
        now.txn = NULL;
    if (st == LS_OK)
        st = session_answered(of, ls_txn_checkpoint(now.txn, lease, last, UINT32_MAX));
    if (st != LS_OK) /* Whatever it was, nothing was committed. */
        st = st == LS_ERR_IO ? LS_ERR_BUSY : st;
    else
        st = session_answered(of, ls_txn_commit(now.txn, now.results, now.count));
    doubted = session_look(of);
    step_answered(of, &now, st);
    if (doubted && of->durability != LS_DURABILITY_SYNC)
        session_sync_failed(of);
    session_settings_answered(of, settled, settles ? 2 : 1, st);
    ls_txn_close(now.txn);
    return st;
}

/* ---- what a disk shows ---- */

ls_status session_show_leases(session *of, uint32_t stream, ls_stream *opened, truth_shown_setting *found)
{
    ls_lease_list *list;
    uint64_t listed = 0; /* bit i: shard i */
    ls_status st;

    if (!truth_has_leases(of->truth, stream))
        return LS_OK;
    st = ls_stream_list_leases(opened, GROUP, &list);
    if (st == LS_ERR_NOT_FOUND) /* It has no group yet. */
        return LS_OK;
    if (session_answered(of, st) != LS_OK)
        return st;
    for (uint32_t i = 0; i < ls_lease_list_count(list); i++) {
        ls_lease_info info = LS_LEASE_INFO_INIT;

        (void)ls_lease_list_at(list, i, &info); /* It is of the list. */
        if (info.state == LS_LEASE_WAITING) /* There may be no lease yet. */
            continue;
        if (info.shard >= TRUTH_LEASES || info.shard >= of->shards[stream].count) {
            session_complain(of, "stream '%s' has a lease of shard %u", of->truth->streams[stream].name, info.shard);
            continue;
        }
        if (info.state == LS_LEASE_BEGUN && info.sub_seqno != UINT32_MAX)
            session_complain(of, "the checkpoint of shard %u is in the middle of a record", info.shard);
        found[TRUTH_LEASE + info.shard].value = info.state == LS_LEASE_ENDED   ? TRUTH_LEASE_ENDED
                                                : info.state == LS_LEASE_BEGUN ? info.seqno
                                                                               : 0;
        found[TRUTH_PENDING + info.shard].value = info.pending_seqno;
        if (info.pending_seqno != 0 &&
            (info.pending_state.size != sizeof info.pending_seqno ||
             memcmp(info.pending_state.data, &info.pending_seqno, sizeof info.pending_seqno) != 0))
            session_complain(of, "what was said with the checkpoint of shard %u is not what is shown", info.shard);
        listed |= UINT64_C(1) << info.shard;
    }
    ls_lease_list_free(list);
    /* A parent's, which has ended, may go when its children have theirs. */
    for (uint32_t i = of->shards[stream].count; i-- > 0;) {
        const ls_shard_info *shard = &of->shards[stream].at[i];
        const uint32_t parents[2] = {shard->parent, shard->adjacent_parent};

        for (int k = 0; k < 2 && (listed >> i & 1) != 0; k++)
            if (parents[k] < TRUTH_LEASES && (listed >> parents[k] & 1) == 0) {
                found[TRUTH_LEASE + parents[k]].value = TRUTH_LEASE_ENDED;
                listed |= UINT64_C(1) << parents[k];
            }
    }
    return LS_OK;
}

void session_check_work(session *of, uint32_t stream, size_t at)
{
    truth_shown_setting found[TRUTH_SETTINGS] = {{0}};
    char what[256];

    if (!truth_has_leases(of->truth, stream))
        return;
    if (session_show_leases(of, stream, of->streams[stream], found) != LS_OK)
        session_complain(of, "the leases of stream '%s' cannot be listed: %s", of->truth->streams[stream].name,
                         ls_last_error_message());
    else if (!truth_check_work(of->truth, stream, found, at, what))
        session_complain(of, "stream '%s': %s", of->truth->streams[stream].name, what);
}

/* Whoever comes later takes all leases, and goes on. */
void session_work_on(session *of, uint32_t stream)
{
    if (!truth_has_leases(of->truth, stream))
        return;
    session_leave(of);
    for (uint32_t turn = 0; turn < 2; turn++)
        if (session_work(of, stream, 0) != LS_OK)
            session_complain(of, "stream '%s' cannot be worked on: %s", of->truth->streams[stream].name,
                             ls_last_error_message());
    for (uint32_t shard = 0; shard < of->shards[stream].count && shard < TRUTH_LEASES; shard++) {
        if (of->workers[0].leases[shard] == NULL || !session_is_open(of, stream, shard))
            continue;
        if (session_step(of, stream, shard, 50) != LS_OK)
            session_complain(of, "shard %u of stream '%s': no transaction: %s", shard,
                             of->truth->streams[stream].name, ls_last_error_message());
    }
    for (uint32_t i = 0; i < of->truth->stream_count; i++)
        if (of->streams[i] != NULL && session_read_all(of, i) != LS_OK)
            session_complain(of, "stream '%s' cannot be read: %s", of->truth->streams[i].name,
                             ls_last_error_message());
    session_check_work(of, stream, NEVER - 2);
}
