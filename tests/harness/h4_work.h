/* The storm over workers: what its files share. h4_work.c kills, stops and starts them; h4_workers.c is what they do;
 * h4_watcher.c puts what they work on, reshards beneath them, and looks whether all is as it must be. */
#ifndef LST_H4_WORK_H
#define LST_H4_WORK_H

#include "harness/h4.h"

#define WORK_STREAM "source"
#define WORK_OUT "out" /* what transactions put */
#define WORK_GROUP "group"
#define WORK_MAPPINGS 2u /* "lane-1" and "lane-3", by how many lanes they have */
#define WORK_PLACES 6u   /* workers: two for each mapping, and two that make transactions */
#define WORK_KEYS 16u
#define WORK_RECORDS_MAX (1u << 18)
#define WORK_NOTES_MAX (1u << 21)
#define WORK_SHARDS_MAX 64u /* ever */
#define WORK_FAILOVER_MS 300u

/* What handlers did, in their order, whoever they were: a record's number + 1; 0: who wrote it was killed. */
typedef struct work_diary {
    _Atomic uint32_t count;
    _Atomic uint32_t notes[WORK_NOTES_MAX];
    _Atomic unsigned char is_handled[WORK_RECORDS_MAX];
} work_diary;

/* Memory that outlives the workers, beside `storm`. */
typedef struct work_shared {
    work_diary diaries[WORK_MAPPINGS];
    _Atomic uint32_t put_count;  /* acknowledged, of one producer: they are numbered */
    _Atomic uint32_t out_count;  /* that came of them by transactions */
    _Atomic uint32_t is_over;    /* nothing more is put; the watcher ends when all is worked on */
    _Atomic int64_t skew_us;     /* of the wall clock */
    _Atomic uint64_t refused;    /* transactions and ends of workers that had lost their lease */
    _Atomic uint64_t commits, reshards, looks;
} work_shared;

extern work_shared *work;

/* All go by one wall clock, which is stepped. `plan` NULL: nothing strikes. */
ls_store *work_open_store(storm_plan *plan);
void work_mapping_name(uint32_t which, char into[16]);

void work_run_mapping(uint32_t which, uint64_t *random, storm_plan *plan);
void work_run_group(uint64_t *random, storm_plan *plan);
void work_watch(uint64_t *random);

#endif
