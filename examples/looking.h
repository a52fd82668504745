/* Looking at what came of a pipeline: counters, all records of a stream, how they lie on its shards, and whether the
 * stream still has all that was ever put: a check of a kept store must not ask for what retention has taken. */
#ifndef EXAMPLES_LOOKING_H
#define EXAMPLES_LOOKING_H

#include <libstream/libstream.h>

#include <stdint.h>

#define SHARDS_SHOWN 64

/* The sum of the counter's series of a stream that have label `name` with `value`; of all of them without `name`. */
uint64_t pipeline_counter(ls_store *store, const char *counter, const char *stream, const char *name,
                          const char *value);

/* Called for each record of a stream, shard by shard in order. Not 0 ends it. */
typedef int (*pipeline_record_seen)(const ls_record *record, void *user);

/* All records that are in the stream now. 0, or -1: failed, and said, or `seen` has ended it. */
int pipeline_read_all(ls_stream *stream, pipeline_record_seen seen, void *user);

/* 1: retention has taken records of the stream; 0: it has all that were ever put; -1: failed, and said. To be asked
 * after the stream was read, since more may go at any time. */
int pipeline_is_trimmed(ls_stream *stream);

/* How many records were seen, and how many of them on each of the first shards. */
typedef struct shard_counts {
    uint64_t records, shards[SHARDS_SHOWN];
} shard_counts;

/* A `seen` that counts: `user` is the shard_counts. */
int shard_counts_add(const ls_record *record, void *user);

/* Prints `"shards":[...]` of the stream's shards, or as many as are shown: those that it has, whatever was asked. */
void shard_counts_show(const shard_counts *counts, ls_stream *stream);

#endif
