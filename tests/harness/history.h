/* Checks a history of puts and reads against what the headers promise (harness H5): D1, D4, A1, O1, O2, O3, O4.
 *
 * A put is known by (writer, number); each writer counts its numbers from 0 without gaps and makes one call at a time.
 * The truth that all is held against is one last reading of every shard, after the processes are gone. */
#ifndef LST_HISTORY_H
#define LST_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct history_put {
    uint32_t writer;
    uint32_t shard;    /* acknowledged: where */
    uint64_t number;
    uint64_t seqno;    /* 0: not acknowledged: the writer died, or got an error whose outcome is unknown */
    uint32_t route;    /* puts of a writer with the same one had the same hash key */
    uint32_t reserved;
    uint64_t group;    /* 0: alone; else all puts of the writer with this group are of one atomic batch */
    int64_t start_us;
    int64_t end_us;    /* acknowledged: when the call had returned */
    uint64_t reserved2; /* 64 bytes */
} history_put;

typedef struct history_read {
    uint32_t run;      /* one run is one iterator from its opening on */
    uint32_t shard;
    uint64_t seqno;
    uint32_t writer;
    uint32_t reserved;
    uint64_t number;
} history_read;

/* What a run was opened with: `after` 0 is TRIM_HORIZON. Applies to each shard the run reads. */
typedef struct history_run {
    uint32_t run;
    uint32_t merged; /* 1: it read all shards from the beginning, so it shows no child before all of its parents */
    uint64_t after;
} history_run;

#define HISTORY_NO_SHARD UINT32_MAX

/* A child has a higher index than its parents. */
typedef struct history_shard {
    uint32_t parents[2]; /* HISTORY_NO_SHARD: none */
} history_shard;

typedef struct history {
    history_put *puts;     /* any order; sorted by the check */
    size_t put_count;
    history_read *truth;   /* the last reading, `run` ignored: per shard in the order read */
    size_t truth_count;
    history_read *reads;   /* per run in the order read */
    size_t read_count;
    history_run *runs;
    size_t run_count;
    history_shard *shards; /* [shard_count]; NULL: none has parents */
    uint32_t shard_count;
    bool quiet;            /* for tests of the checker itself */
} history;

/* How many violations; each of the first 20 is one line on stderr. */
uint64_t history_check(history *of);

#endif
