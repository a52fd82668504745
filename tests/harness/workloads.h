/* What the harnesses do to a store: small programs, each around one promise. */
#ifndef LST_WORKLOADS_H
#define LST_WORKLOADS_H

#include "harness/session.h"

typedef struct workload {
    const char *name;
    ls_durability durability; /* at the end */
    bool has_faults;          /* sets some of its own, or a hook, or has very many calls: not to be killed or walked */
    bool is_like_another;     /* but for the durability, or is made of such: walked by long runs only */
    bool is_long;             /* bounded walks sample all of its calls */
    void (*run)(session *of);
} workload;

extern const workload workloads[];
extern const size_t workload_count;

/* ---- workloads_work.c, for workloads.c ---- */

void work_leases(session *of);
void work_kernel_leases(session *of);
void work_steps(session *of);
void work_kernel_steps(session *of);
void work_mapping(session *of);
void work_kernel_mapping(session *of);
void work_windows(session *of);
void work_kernel_windows(session *of);
void work_deliveries(session *of);
void work_kernel_deliveries(session *of);
void work_sorted_deliveries(session *of);
void work_moved_deliveries(session *of);

/* ---- workloads_more.c, likewise ---- */

void work_consumers(session *of);
void work_tags(session *of);
void work_modes(session *of);
void work_sealed_trims(session *of);
void work_sealed_presses(session *of);
void work_delivered_steps(session *of);
void work_backups(session *of);
void work_split_steps(session *of);
void work_interval_reshards(session *of);
void work_numbered_deliveries(session *of);
void work_sealed_deliveries(session *of);
void work_killed_deliveries(session *of);
void work_recoveries(session *of);
void work_kernel_recoveries(session *of);

#endif
