/* What the harnesses do to a store: small programs, each around one promise. */
#ifndef LST_WORKLOADS_H
#define LST_WORKLOADS_H

#include "harness/session.h"

typedef struct workload {
    const char *name;
    ls_durability durability; /* at the end */
    bool has_faults;          /* sets some of its own, or a hook, or has very many calls: not to be killed or walked */
    bool is_like_another;     /* but for the durability: walked by long runs only */
    void (*run)(session *of);
} workload;

extern const workload workloads[];
extern const size_t workload_count;

#endif
