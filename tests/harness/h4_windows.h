/* The storm over windows: what its files share. h4_windows.c puts records, kills those who gather them, and judges;
 * h4_windows_runs.c is what they do. */
#ifndef LST_H4_WINDOWS_H
#define LST_H4_WINDOWS_H

#include "harness/h4.h"

#define WINDOWS_STREAM "source"
#define WINDOWS_NAME "windows" /* of the mapping, or of the operator */
#define WINDOWS_RUNS 2u
#define WINDOWS_KEYS 16u
#define WINDOWS_RECORDS_MAX (1u << 18)
#define WINDOWS_SHARDS_MAX 64u /* ever */
#define WINDOWS_LISTS_MAX (1u << 16)
#define WINDOWS_NUMBERS_MAX (1u << 24) /* in all lists */
#define WINDOWS_FAILOVER_MS 300u
#define WINDOWS_SIZE_MS 160            /* of the operator's, whose time is the record's number */

/* What the last invocation of a window had: the numbers of its records, in the order in which they were counted. */
typedef struct windows_list {
    _Atomic uint32_t is_whole; /* else who wrote it was killed */
    uint32_t shard, first, count;
} windows_list;

/* Memory that outlives everybody, beside `storm`. */
typedef struct windows_shared {
    int64_t began_us, wall_us;   /* the same moment, by the monotonic clock and by the wall */
    _Atomic int64_t skew_us;
    _Atomic uint32_t put_count;  /* acknowledged, of one producer: they are numbered */
    _Atomic uint32_t is_over;    /* nothing more is put */
    _Atomic uint64_t reshards, failed, taken_over, results;
    uint32_t shard_of[WINDOWS_RECORDS_MAX];
    _Atomic unsigned char is_told[WINDOWS_RECORDS_MAX]; /* in a list that is whole, or in a result */
    _Atomic uint32_t list_count, number_count;
    windows_list lists[WINDOWS_LISTS_MAX];
    uint32_t numbers[WINDOWS_NUMBERS_MAX];
} windows_shared;

extern windows_shared *windows;

/* By a wall clock on which twenty seconds pass in one. `plan` NULL: nothing strikes. */
ls_store *windows_open_store(storm_plan *plan);

void windows_run_mapping(uint64_t *random, storm_plan *plan);
void windows_run_operator(uint64_t *random, storm_plan *plan);
void windows_finish(void); /* What the operator has still open is told. */

#endif
