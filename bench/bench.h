/* What the benches share: a clock, percentiles, directories, and failing. A bench says its question, its workload and
 * its unit in its head, warms up, repeats, and prints lines of tab-separated `name=value`, which start with a word in
 * capitals (peer.c prints the lines of the frame that it takes part in). */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/libstream.h>

uint64_t bench_now_ns(void);       /* monotonic */
double bench_cpu_seconds(int who); /* user and system time; RUSAGE_SELF or RUSAGE_CHILDREN */

/* The error line goes to standard error; exit code 1. The second one is for a call of libstream that failed. */
_Noreturn void bench_fail(const char *what);
_Noreturn void bench_fail_ls(const char *what);
void *bench_memory(size_t bytes);  /* zeroed; never NULL */
void *bench_shared(size_t bytes);  /* the same, shared with children of fork */

/* Touch memory and give it back, at most 4 GiB: where the host backs a guest's free memory only when it is touched,
 * the first measurement would pay for that. */
void bench_warm_memory(uint64_t bytes);

/* Sort, then ask. `part` 0.5 is the median. 0 of none. */
void bench_sort(uint64_t *values, size_t count);
double bench_percentile_us(const uint64_t *sorted_ns, size_t count, double part);
double bench_median(double *values, size_t count); /* sorts them */

/* An empty directory at `path`: what is there is removed, its parents are made. */
void bench_fresh_directory(const char *path);
void bench_remove(const char *path);
uint64_t bench_file_bytes(const char *path); /* the sizes of the files below, and of the directories, as du -sb */

/* A directory for this run: $BENCH_DIR, or one of its own in $TMPDIR or /var/tmp. What is measured is its file
 * system. */
const char *bench_directory(void);

const char *bench_mode_name(ls_durability mode);

/* Records of JSON as sensors send them, exactly `size` bytes, from one sequence of random numbers. */
void bench_json_record(char *to, size_t size, uint64_t number);
uint64_t bench_random(void);

#endif
