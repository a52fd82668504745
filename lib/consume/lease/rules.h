/* Which leases a group has and who takes which: pure rules over what somebody has read of a group's rows and of the
 * stream's shards. Time has been looked at by then (`is_free`), chance comes in as a number. */
#ifndef LSI_CONSUME_LEASE_RULES_H
#define LSI_CONSUME_LEASE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include <libstream/types.h>

#include "stream/stream.h"

/* How far a shard was worked on. END: to its end. */
typedef enum { LSI_LEASE_HORIZON, LSI_LEASE_NUMBER, LSI_LEASE_END } lsi_lease_kind;

/* A row as the rules of shards see it. Arrays of rows rise by shard, as arrays of shards do. */
typedef struct lsi_lease_place {
    uint32_t shard;
    lsi_lease_kind kind;
} lsi_lease_place;

/* ---- which rows there are ---- */

/* Where a group begins. */
typedef enum { LSI_START_HORIZON, LSI_START_LATEST, LSI_START_TIME } lsi_lease_start_kind;
typedef struct lsi_lease_start {
    lsi_lease_start_kind kind;
    int64_t us;
} lsi_lease_start;

/* Words for one shard; the caller's, [shard_count]. */
typedef struct lsi_lease_mark {
    bool is_sought, is_descendant, is_marked, is_made;
} lsi_lease_mark;

/* The rows to be made at the group's beginning: of a group without rows the shards that were open there; else those
 * that a group which lost some would miss: for each open shard without a row, and without an ancestor that has one and
 * will bring it, the oldest ancestors that are needed. `out`: [shard_count], rising. Their number. */
uint32_t lsi_lease_missing(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows,
                           uint32_t row_count, lsi_lease_start start, lsi_lease_mark *marks, uint32_t *out);
/* The rows to be made at the horizon when `shard` ends: children that have none, and of a merge the other parent, when
 * neither it nor anything before it has a row. `covered`: words of the caller's, [shard_count]; `out`: rising. */
#define LSI_LEASE_HEIRS_MAX 4u /* two children, or one and its other parent */
uint32_t lsi_lease_heirs(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                         uint32_t shard, bool *covered, uint32_t out[LSI_LEASE_HEIRS_MAX]);
/* Parents first: whether a shard must wait, since something that came before it has a row that has not ended.
 * `out`: [shard_count]. */
void lsi_lease_waiting(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                       bool *out);
/* Whether row `at` is needed no more: its shard is gone; or it has ended, every child was begun, and its parents' rows
 * are gone. */
bool lsi_lease_is_over(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                       uint32_t at);

/* ---- who takes which ---- */

/* A lease that can be worked on: neither ended nor waiting. */
typedef struct lsi_lease_seen {
    uint64_t owner; /* who has it, or will have it when it was handed over; 0: nobody */
    uint64_t load;  /* bytes a second; 0: not known */
    uint32_t limit; /* so many leases its owner takes at most; 0: not known */
    bool is_free;   /* nobody has it, or he who had it is gone or does not renew it */
    bool is_old;    /* it has been so for long: somebody must */
    bool is_moving; /* it is being handed over: it is not asked for again */
} lsi_lease_seen;
typedef struct lsi_lease_worker {
    uint64_t id, load;
    uint32_t count, limit;
} lsi_lease_worker;

/* What `me` takes of `seen`: free ones up to its share of all, else one of the most loaded worker of those that
 * are better off with one less. `random` decides between equals. `workers`: the caller's, [count + 1]; `picks`:
 * [count], positions in `seen`. The number of picks; `*is_asking`: it has an owner, who is to be asked for it. */
uint32_t lsi_lease_choose(const lsi_lease_seen *seen, uint32_t count, uint64_t me, uint32_t leases_max,
                          uint64_t random, lsi_lease_worker *workers, uint32_t *picks, bool *is_asking);

#endif
