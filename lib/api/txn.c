/* The exported functions of txn.h. What is added is kept here: records by stream, copied, and which checkpoints. Commit
 * lets `produce` sort the records into puts of shards, and `consume` make one step of these and the checkpoints;
 * without checkpoints the engine does it, for the first stream. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define BLOCK_BYTES ((size_t)64 << 10)

typedef struct block {
    struct block *next;
    size_t size, used;
    unsigned char bytes[];
} block;

/* What goes to one stream. */
typedef struct target {
    ls_stream *stream;
    lsi_producer *producer;
    ls_put_entry *entries; /* [count] */
    uint32_t *order;       /* [count]: the how manieth put each is */
    uint32_t count;
    size_t entries_capacity, order_capacity;
} target;

struct ls_txn {
    ls_store *store;
    target *targets; /* they stay, for the next transaction */
    size_t target_count, target_capacity;
    block *blocks; /* keys and data */
    lsi_checkpoint *marks;
    size_t mark_count, mark_capacity;
    uint32_t record_count;
    uint64_t bytes;
    target *first; /* that was put to */
    bool is_unknown;
};

static const lsi_memory *memory_of(const ls_txn *txn)
{
    return &txn->store->env.memory;
}

/* ---- beginning and ending ---- */

ls_status ls_txn_begin(ls_store *store, const ls_txn_options *options, ls_txn **out)
{
    ls_txn_options own;
    ls_txn *txn;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_PUT, store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_txn_options, reserved));
    if (st != LS_OK)
        return st;
    if (own.reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %" PRIu32 ", not 0", own.reserved);
    txn = lsi_alloc_zero(&store->env.memory, sizeof *txn);
    if (txn == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a transaction");
    txn->store = store;
    *out = txn;
    return lsi_error_end(LS_OK);
}

/* The first block stays. */
static void forget(ls_txn *txn)
{
    block *at = txn->blocks;

    while (at != NULL && at->next != NULL) {
        block *next = at->next;

        lsi_free(memory_of(txn), at);
        at = next;
    }
    txn->blocks = at;
    if (at != NULL)
        at->used = 0;
    for (size_t i = 0; i < txn->target_count; i++)
        txn->targets[i].count = 0;
    txn->mark_count = 0;
    txn->record_count = 0;
    txn->bytes = 0;
    txn->first = NULL;
    txn->is_unknown = false;
}

void ls_txn_abort(ls_txn *txn)
{
    if (txn != NULL && lsi_store_is_mine(txn->store))
        forget(txn);
}

void ls_txn_close(ls_txn *txn)
{
    const lsi_memory *memory;

    if (txn == NULL)
        return;
    memory = memory_of(txn);
    forget(txn);
    for (size_t i = 0; i < txn->target_count; i++) {
        target *of = &txn->targets[i];

        lsi_producer_close(of->producer);
        lsi_free(memory, of->entries);
        lsi_free(memory, of->order);
        atomic_fetch_sub_explicit(&of->stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    }
    lsi_free(memory, txn->targets);
    lsi_free(memory, txn->blocks);
    lsi_free(memory, txn->marks);
    lsi_free(memory, txn);
}

/* ---- adding ---- */

static ls_status check_usable(const ls_txn *txn)
{
    return txn->is_unknown ? lsi_fail(LS_ERR_STATE, "the outcome of the transaction's commit is unknown: abort it")
                           : LS_OK;
}

static ls_status no_memory(const ls_txn *txn)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a transaction of %" PRIu32 " records", txn->record_count + 1);
}

/* Room of its own for `size` bytes, aligned for a hash key. NULL: no memory. */
static void *take_room(ls_txn *txn, size_t size)
{
    block *at = txn->blocks;

    size = (size + 7) & ~(size_t)7;
    if (at == NULL || at->size - at->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

        at = lsi_alloc(memory_of(txn), sizeof(*at) + room);
        if (at == NULL)
            return NULL;
        *at = (block){.next = txn->blocks, .size = room};
        txn->blocks = at;
    }
    at->used += size;
    return at->bytes + at->used - size;
}

static ls_status find_target(ls_txn *txn, ls_stream *stream, target **out)
{
    void *targets = txn->targets;
    lsi_producer *producer;
    ls_status st;

    for (size_t i = 0; i < txn->target_count; i++)
        if (txn->targets[i].stream->stream == stream->stream) { /* Several handles may be of one. */
            *out = &txn->targets[i];
            return LS_OK;
        }
    if (!lsi_grow(memory_of(txn), &targets, &txn->target_capacity, txn->target_count + 1, sizeof(target)))
        return no_memory(txn);
    if (txn->first != NULL)
        txn->first = (target *)targets + (txn->first - txn->targets);
    txn->targets = targets;
    st = lsi_producer_open(stream->stream, &producer);
    if (st != LS_OK)
        return st;
    *out = &txn->targets[txn->target_count++];
    **out = (target){.stream = stream, .producer = producer};
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    return LS_OK;
}

static ls_status import_options(const ls_put_options *options, const ls_hash_key **explicit_key)
{
    ls_put_options own;
    ls_status st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_put_options, explicit_hash_key));

    if (st != LS_OK)
        return st;
    if (own.durability < LS_DURABILITY_DEFAULT || own.durability > LS_DURABILITY_SYNC || own.flags != 0 ||
        own.reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options: durability %" PRId32 ", flags 0x%" PRIx32 ", reserved %"
                        PRIu32 " are not what a transaction's put takes", own.durability, own.flags, own.reserved);
    if ((own.producer.high | own.producer.low | own.number) != 0 || own.numbers != NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "options: the puts of a transaction are not numbered, they are done once "
                        "by its checkpoints");
    *explicit_key = own.explicit_hash_key;
    return LS_OK;
}

static ls_status add(ls_txn *txn, target *to, ls_bytes key, ls_bytes data, const ls_hash_key *explicit_key)
{
    size_t hash_bytes = explicit_key != NULL ? sizeof *explicit_key : 0;
    void *entries = to->entries, *order = to->order;
    ls_put_entry *entry;
    unsigned char *room;

    if (!lsi_grow(memory_of(txn), &entries, &to->entries_capacity, to->count + 1, sizeof *to->entries))
        return no_memory(txn);
    to->entries = entries;
    if (!lsi_grow(memory_of(txn), &order, &to->order_capacity, to->count + 1, sizeof *to->order))
        return no_memory(txn);
    to->order = order;
    room = take_room(txn, hash_bytes + key.size + data.size);
    if (room == NULL)
        return no_memory(txn);
    entry = &to->entries[to->count];
    *entry = (ls_put_entry){.partition_key = {room + hash_bytes, key.size},
                            .data = {room + hash_bytes + key.size, data.size}};
    if (explicit_key != NULL) {
        memcpy(room, explicit_key, hash_bytes);
        entry->explicit_hash_key = (const ls_hash_key *)(const void *)room;
    }
    memcpy(room + hash_bytes, key.data, key.size);
    if (data.size > 0)
        memcpy(room + hash_bytes + key.size, data.data, data.size);
    to->order[to->count++] = txn->record_count++;
    txn->bytes += key.size + data.size;
    if (txn->first == NULL)
        txn->first = to;
    return LS_OK;
}

ls_status ls_txn_put(ls_txn *txn, ls_stream *stream, ls_bytes partition_key, ls_bytes data,
                     const ls_put_options *options)
{
    const ls_hash_key *explicit_key = NULL;
    target *to = NULL;
    ls_status st;

    LSI_REFUSE_NULL(txn);
    LSI_REFUSE_NULL(stream);
    LSI_ENTER(txn->store);
    if (stream->store != txn->store)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "stream '%s' is of another store than the transaction", stream->name);
    st = check_usable(txn);
    if (st == LS_OK)
        st = import_options(options, &explicit_key);
    if (st == LS_OK && txn->record_count == LS_TXN_RECORDS_MAX)
        st = lsi_fail(LS_ERR_TOO_LARGE, "the transaction has %u records: that is the limit", LS_TXN_RECORDS_MAX);
    if (st == LS_OK)
        st = find_target(txn, stream, &to);
    if (st == LS_OK)
        st = lsi_producer_check(to->producer, partition_key, data);
    if (st == LS_OK && partition_key.size + data.size > LS_TXN_BYTES_MAX - txn->bytes)
        st = lsi_fail(LS_ERR_TOO_LARGE, "the transaction has %" PRIu64 " bytes, and %zu more: the limit is %u",
                      txn->bytes, partition_key.size + data.size, LS_TXN_BYTES_MAX);
    if (st == LS_OK)
        st = add(txn, to, partition_key, data, explicit_key);
    return lsi_error_end(st);
}

ls_status ls_txn_checkpoint(ls_txn *txn, ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno)
{
    lsi_lease *inside = (lsi_lease *)lease;
    const ls_stream *stream;
    void *marks;
    size_t i = 0;
    ls_status st;

    LSI_REFUSE_NULL(txn);
    LSI_REFUSE_NULL(lease);
    LSI_ENTER(txn->store);
    stream = ((const ls_group *)lsi_lease_handle(inside))->stream;
    if (stream->store != txn->store)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the lease is of another store than the transaction");
    if (seqno == LS_SEQNO_NONE)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "seqno is that of no record");
    if (txn->mark_count > 0 && lsi_lease_stream(txn->marks[0].lease) != stream->stream)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the lease is of stream '%s', and those that the transaction has are "
                        "of another one", stream->name);
    st = check_usable(txn);
    if (st != LS_OK)
        return st;
    while (i < txn->mark_count && txn->marks[i].lease != inside)
        i++;
    if (i == LS_TXN_CHECKPOINTS_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "the transaction has checkpoints of %u leases: that is the limit",
                        LS_TXN_CHECKPOINTS_MAX);
    marks = txn->marks;
    if (!lsi_grow(memory_of(txn), &marks, &txn->mark_capacity, i + 1, sizeof *txn->marks))
        return no_memory(txn);
    txn->marks = marks;
    txn->marks[i] = (lsi_checkpoint){inside, seqno, sub_seqno};
    if (i == txn->mark_count)
        txn->mark_count++;
    return lsi_error_end(LS_OK);
}

/* ---- committing ---- */

/* The puts of a commit, by stream id and shard. */
typedef struct plan {
    lsi_step_put puts[LSI_STEP_PUTS_MAX];
    target *of[LSI_STEP_PUTS_MAX]; /* where each comes from */
    uint32_t count;
} plan;

static bool comes_before(const plan *of, uint32_t a, uint32_t b)
{
    uint64_t first = lsi_producer_stream_id(of->of[a]->producer), second = lsi_producer_stream_id(of->of[b]->producer);

    return first < second || (first == second && of->puts[a].shard < of->puts[b].shard);
}

/* There are few, and mostly they are in order. */
static void sort(plan *of)
{
    for (uint32_t i = 1; i < of->count; i++)
        for (uint32_t k = i; k > 0 && comes_before(of, k, k - 1); k--) {
            lsi_step_put put = of->puts[k];
            target *from = of->of[k];

            of->puts[k] = of->puts[k - 1];
            of->of[k] = of->of[k - 1];
            of->puts[k - 1] = put;
            of->of[k - 1] = from;
        }
}

static ls_status make_plan(ls_txn *txn, plan *out)
{
    ls_status st = LS_OK;

    out->count = 0;
    for (size_t i = 0; st == LS_OK && i < txn->target_count; i++) {
        target *from = &txn->targets[i];
        uint32_t count;

        if (from->count == 0)
            continue;
        st = lsi_producer_plan(from->producer, from->entries, from->count, out->puts + out->count,
                               LSI_STEP_PUTS_MAX - out->count, &count);
        for (uint32_t k = 0; st == LS_OK && k < count; k++)
            out->of[out->count++] = from;
    }
    for (uint32_t i = 0; st == LS_OK && i < out->count; i++)
        st = lsi_producer_admit(out->of[i]->producer, &out->puts[i]);
    if (st == LS_OK)
        sort(out);
    return st;
}

static ls_status take_step(void *user, lsi_step_put *puts, uint32_t count)
{
    const ls_txn *txn = user;
    lsi_engine_stream *stream = count > 0 ? txn->first->stream->stream : NULL;
    uint32_t conflict;

    if (txn->mark_count > 0)
        return lsi_lease_step(txn->marks, (uint32_t)txn->mark_count, puts, count);
    return stream->engine->ops->step(stream, NULL, 0, puts, count, &conflict);
}

/* The first put that met a closed shard; `count`: none did. */
static uint32_t find_moved(const plan *of)
{
    uint32_t i = 0;

    while (i < of->count && !of->puts[i].moved)
        i++;
    return i;
}

static ls_status commit(ls_txn *txn, plan *of, lsi_take_step *take, void *user)
{
    int64_t deadline_us = 0;

    for (;;) {
        ls_status st = make_plan(txn, of);
        uint32_t moved;

        if (st == LS_OK)
            st = take(user, of->puts, of->count);
        moved = find_moved(of);
        for (uint32_t i = 0; st == LS_OK && moved == of->count && i < of->count; i++)
            lsi_producer_stepped(of->of[i]->producer, &of->puts[i]);
        if (st != LS_OK || moved == of->count)
            return st;
        st = lsi_producer_plan_again(of->of[moved]->producer, of->puts[moved].shard, &deadline_us);
        if (st != LS_OK)
            return st;
    }
}

static void tell(const plan *of, ls_record_id *results)
{
    for (uint32_t i = 0; results != NULL && i < of->count; i++) {
        const lsi_step_put *put = &of->puts[i];

        for (uint32_t k = 0; k < put->count; k++)
            results[of->of[i]->order[put->picks[k]]] =
                (ls_record_id){.seqno = put->first_seqno + k, .shard = put->shard};
    }
}

/* With LS_OK it is empty, and in `results`. */
static ls_status commit_all(ls_txn *txn, lsi_take_step *take, void *user, ls_record_id *results)
{
    plan *of = lsi_alloc(memory_of(txn), sizeof *of);
    ls_status st;

    if (of == NULL)
        return no_memory(txn);
    st = commit(txn, of, take, user);
    if (st == LS_OK) {
        tell(of, results);
        forget(txn);
    }
    txn->is_unknown = st == LS_ERR_IO;
    lsi_free(memory_of(txn), of);
    return st;
}

ls_status ls_txn_commit(ls_txn *txn, ls_record_id *results, size_t count)
{
    ls_status st;

    LSI_REFUSE_NULL(txn);
    LSI_ENTER(txn->store);
    st = check_usable(txn);
    if (st != LS_OK)
        return st;
    if ((results == NULL && count != 0) || (results != NULL && count < txn->record_count))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "there is room for %zu results: the transaction has %" PRIu32
                        " records", results != NULL ? count : 0, txn->record_count);
    if (txn->record_count == 0 && txn->mark_count == 0)
        return lsi_error_end(LS_OK);
    return lsi_error_end(commit_all(txn, take_step, txn, results));
}

/* ---- for what handlers put ---- */

ls_status lsi_txn_commit(ls_txn *txn, lsi_take_step *take, void *user)
{
    return commit_all(txn, take, user, NULL);
}

uint32_t lsi_txn_count(const ls_txn *txn)
{
    return txn->record_count;
}

void lsi_txn_keep(ls_txn *txn, const uint32_t *indexes, uint32_t below)
{
    txn->record_count = 0;
    for (size_t i = 0; i < txn->target_count; i++) {
        target *of = &txn->targets[i];
        uint32_t kept = 0;

        for (uint32_t k = 0; k < of->count; k++) {
            if (indexes[of->order[k]] >= below)
                continue;
            of->entries[kept] = of->entries[k];
            of->order[kept++] = of->order[k];
        }
        of->count = kept;
        txn->record_count += kept;
    }
}
