/* Shards that come and go: which there are, splitting and merging them, and whether a disk shows a lineage that can be.
 * See session.h. */
#include <stdlib.h>
#include <string.h>

#include "base/u128.h"
#include "harness/session_inside.h"

/* ---- which there are ---- */

ls_status session_learn_shards(session *of, uint32_t stream, const ls_stream_description *description)
{
    session_shards *shards = &of->shards[stream];

    *shards = (session_shards){.count = ls_stream_description_shard_count(description)};
    if (shards->count > TRUTH_SHARDS_MAX)
        abort();
    for (uint32_t i = 0; i < shards->count; i++) {
        shards->at[i] = (ls_shard_info)LS_SHARD_INFO_INIT;
        ls_status st = ls_stream_description_shard(description, i, &shards->at[i]);
        if (st != LS_OK)
            return st;
        if (shards->at[i].shard != i) {
            session_complain(of, "shard %u of stream '%s' is listed as the %uth", shards->at[i].shard,
                             of->truth->streams[stream].name, i);
            return LS_ERR_STATE;
        }
    }
    return LS_OK;
}

bool session_is_open(const session *of, uint32_t stream, uint32_t shard)
{
    return shard < of->shards[stream].count && of->shards[stream].at[shard].is_open;
}

ls_hash_key session_key_of(const session *of, uint32_t stream, uint32_t shard, uint32_t number)
{
    const ls_shard_info *info = &of->shards[stream].at[shard];

    return number % 3 == 0   ? info->first_hash_key
           : number % 3 == 1 ? info->last_hash_key
                             : lsi_u128_add(info->first_hash_key, (ls_hash_key){0, number});
}

/* ---- is it a lineage? ---- */

static void check_child(session *of, const session_shards *shards, const ls_shard_info *child, uint32_t parent)
{
    const ls_shard_info *from;

    if (parent == LS_NO_SHARD)
        return;
    if (parent >= shards->count) {
        session_complain(of, "O4: shard %u has the parent %u, which is not there", child->shard, parent);
        return;
    }
    from = &shards->at[parent];
    if (from->is_open)
        session_complain(of, "O4: shard %u is there, and its parent %u is still open", child->shard, parent);
    else if (child->starting_seqno <= from->ending_seqno)
        session_complain(of, "D4: shard %u begins with number %llu, and its parent %u ends with %llu", child->shard,
                         (unsigned long long)child->starting_seqno, parent, (unsigned long long)from->ending_seqno);
}

/* Of every hash key there is one open shard. */
static void check_ranges(session *of, const session_shards *shards)
{
    ls_hash_key next = {0, 0};

    for (uint32_t found = 0;; found++) {
        const ls_shard_info *at = NULL;

        for (uint32_t i = 0; i < shards->count && at == NULL; i++)
            if (shards->at[i].is_open && lsi_u128_compare(shards->at[i].first_hash_key, next) == 0)
                at = &shards->at[i];
        if (at == NULL || found == shards->count) {
            session_complain(of, "O4: no open shard begins at hash key %016llx%016llx", (unsigned long long)next.high,
                             (unsigned long long)next.low);
            return;
        }
        if (lsi_u128_compare(at->last_hash_key, LSI_U128_MAX) == 0)
            return;
        next = lsi_u128_add(at->last_hash_key, (ls_hash_key){0, 1});
    }
}

void session_check_shards(session *of, uint32_t stream, size_t at, bool power)
{
    const session_shards *shards = &of->shards[stream];
    uint64_t closed = 0, with_children = 0;
    char what[256];

    for (uint32_t i = 0; i < shards->count; i++) {
        const ls_shard_info *info = &shards->at[i];

        closed |= (uint64_t)!info->is_open << i;
        with_children |= info->parent < shards->count ? UINT64_C(1) << info->parent : 0;
        with_children |= info->adjacent_parent < shards->count ? UINT64_C(1) << info->adjacent_parent : 0;
        check_child(of, shards, info, info->parent);
        check_child(of, shards, info, info->adjacent_parent);
    }
    if (closed != with_children)
        session_complain(of, "O4: of stream '%s' the shards %#llx are closed, and %#llx have children",
                         of->truth->streams[stream].name, (unsigned long long)closed,
                         (unsigned long long)with_children);
    check_ranges(of, shards);
    if (!truth_check_closed(of->truth, stream, closed, at, power, sim_log_count(of->sim), what))
        session_complain(of, "stream '%s': %s", of->truth->streams[stream].name, what);
}

/* ---- without being asked ---- */

void session_expect_scaling(session *of, uint32_t stream)
{
    const session_shards *shards = &of->shards[stream];
    size_t now = sim_log_count(of->sim);

    if (!truth_may_scale(of->truth, stream))
        return;
    truth_seal(of->truth, stream, now);
    for (uint32_t i = 0; i < shards->count; i++)
        for (uint32_t k = 0; k < shards->count && shards->at[i].is_open; k++) {
            ls_hash_key next = lsi_u128_add(shards->at[i].last_hash_key, (ls_hash_key){0, 1});

            if (k == i || (shards->at[k].is_open && lsi_u128_compare(next, shards->at[k].first_hash_key) == 0))
                truth_reshard_expect(of->truth, stream, UINT64_C(1) << i | UINT64_C(1) << k, now);
        }
}

ls_status session_follow_shards(session *of, uint32_t stream)
{
    ls_stream_description *description;
    ls_status st = session_answered(of, ls_stream_describe(of->streams[stream], &description));

    if (st != LS_OK)
        return st;
    st = session_learn_shards(of, stream, description);
    ls_stream_description_free(description);
    if (st == LS_OK)
        session_check_shards(of, stream, NEVER - 2, false);
    session_expect_scaling(of, stream);
    return st;
}

uint32_t session_lowest(session *of, uint32_t stream)
{
    if (session_want_stream(of, stream) != LS_OK)
        return 0;
    for (uint32_t i = 0; i < of->shards[stream].count; i++)
        if (of->shards[stream].at[i].is_open &&
            lsi_u128_compare(of->shards[stream].at[i].first_hash_key, (ls_hash_key){0, 0}) == 0)
            return i;
    return 0;
}

/* ---- splitting and merging ---- */

typedef enum resharding { SPLIT, MERGE, SCALE } resharding;

static bool are_equal(const session_shards *shards)
{
    ls_hash_key width = {0, 0};
    bool is_first = true, equal = true;

    for (uint32_t i = 0; i < shards->count; i++) {
        const ls_shard_info *at = &shards->at[i];
        ls_hash_key its = lsi_u128_subtract(at->last_hash_key, at->first_hash_key);

        if (!at->is_open)
            continue;
        equal = equal && (is_first || lsi_u128_compare(its, width) == 0);
        width = its;
        is_first = false;
    }
    return equal;
}

/* `a`, and of a merge `b`. A scaling doubles, which closes every shard that is open. */
static ls_status reshard(session *of, uint32_t stream, resharding how, uint32_t a, uint32_t b)
{
    ls_stream_description *description;
    session_shards *shards = &of->shards[stream];
    uint64_t parents = 0;
    uint32_t open = 0, number;
    reshard_fact *fact;
    ls_status st = session_want_stream(of, stream), known;

    if (st != LS_OK)
        return st;
    if (how == SCALE && !are_equal(shards)) /* It would take steps that are not known here. */
        return LS_ERR_STATE;
    for (uint32_t i = 0; i < shards->count; i++) {
        open += shards->at[i].is_open != 0;
        if (how == SCALE ? shards->at[i].is_open : i == a || (how == MERGE && i == b))
            parents |= UINT64_C(1) << i;
    }
    if (how != SCALE && (!session_is_open(of, stream, a) || (how == MERGE && !session_is_open(of, stream, b))))
        return LS_ERR_STATE; /* What was to make or leave it failed. */
    number = truth_reshard_begin(of->truth, stream, parents, sim_log_count(of->sim));
    fact = &of->truth->reshards[number];
    st = how == SPLIT   ? ls_stream_split(of->streams[stream], a, NULL, NULL, NULL)
         : how == MERGE ? ls_stream_merge(of->streams[stream], a, b, NULL)
                        : ls_stream_update_shard_count(of->streams[stream], 2 * open, NULL);
    (void)session_answered(of, st);
    if (st == LS_OK)
        fact->made_at = sim_log_count(of->sim);
    else if (st != LS_ERR_IO && how != SCALE) /* A scaling may have been done in part, whatever stopped it. */
        fact->gone_at = sim_log_count(of->sim);
    (void)session_look(of);
    known = session_answered(of, ls_stream_describe(of->streams[stream], &description));
    if (known != LS_OK) {
        shards->count = 0; /* The next call that wants the stream asks again. */
        session_forget_stream(of, stream);
        return st;
    }
    if (session_learn_shards(of, stream, description) == LS_OK)
        session_check_shards(of, stream, NEVER - 2, false);
    ls_stream_description_free(description);
    return st;
}

ls_status session_split(session *of, uint32_t stream, uint32_t shard)
{
    return reshard(of, stream, SPLIT, shard, shard);
}

ls_status session_merge(session *of, uint32_t stream, uint32_t shard, uint32_t adjacent)
{
    return reshard(of, stream, MERGE, shard, adjacent);
}

ls_status session_double(session *of, uint32_t stream)
{
    return reshard(of, stream, SCALE, 0, 0);
}
