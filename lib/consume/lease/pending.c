/* Checkpoints in two steps: first that one is about to be made, and what for, then the checkpoint itself, which settles
 * it (decide_checkpoint and decide_end in lease.c). What is prepared is a part of the lease's row: so one compare and
 * swap fences it as it fences a checkpoint (G1), it outlives its owner as the row does, and no crash shows one without
 * the other. */
#include "consume/lease/lease.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

typedef struct preparing {
    ls_seqno seqno;
    uint32_t sub_seqno;
    ls_bytes state;
} preparing;

static bool is_same(const lsi_lease_pending *is, const preparing *to)
{
    return is->seqno == to->seqno && is->sub_seqno == to->sub_seqno && is->state_bytes == to->state.size &&
        (to->state.size == 0 || memcmp(is->state, to->state.data, to->state.size) == 0);
}

static ls_status decide_pending(lsi_lease *lease, lsi_lease_row changes[LSI_LEASE_CHANGES_MAX], uint32_t *count,
                                const void *user)
{
    const preparing *to = user;
    lsi_lease_row *row = &changes[0];
    ls_status st = LS_OK;

    if (to->seqno != LS_SEQNO_NONE)
        st = lsi_lease_check_place(lease, row, to->seqno, to->sub_seqno);
    if (st != LS_OK)
        return st;
    if (is_same(&row->pending, to)) {
        *count = 0;
        return LS_OK;
    }
    row->pending = (lsi_lease_pending){to->seqno, to->sub_seqno, (uint32_t)to->state.size, {0}};
    if (to->state.size > 0)
        memcpy(row->pending.state, to->state.data, to->state.size);
    row->counter++;
    return LS_OK;
}

ls_status lsi_lease_prepare(lsi_lease *lease, ls_seqno seqno, uint32_t sub_seqno, ls_bytes state)
{
    const preparing to = {seqno, seqno != LS_SEQNO_NONE ? sub_seqno : 0, state};
    const char *name = lease->group->name;
    uint32_t shard = lease->row.place.shard;
    ls_status st = LS_OK;

    if (state.size > LS_LEASE_STATE_BYTES_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "group '%s': the state that goes with a checkpoint of shard %" PRIu32 " has "
                        "%zu bytes: at most %u", name, shard, state.size, LS_LEASE_STATE_BYTES_MAX);
    if (seqno == LS_SEQNO_NONE && state.size > 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "group '%s': a state of %zu bytes, and no record of shard %" PRIu32
                        " at which the checkpoint is to be", name, state.size, shard);
    if (seqno != LS_SEQNO_NONE)
        st = lsi_lease_cover(lease, seqno);
    return st == LS_OK ? lsi_lease_alter(lease, decide_pending, &to) : st;
}
