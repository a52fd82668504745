/* Memory for tests: counts, fails the Nth allocation, and knows what was never freed.
 *
 *     sim_memory memory = SIM_MEMORY_INIT;
 *     env.memory = sim_memory_table(&memory);
 *
 * Any thread. */
#ifndef LST_SIM_MEMORY_H
#define LST_SIM_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct sim_memory {
    pthread_mutex_t mutex;
    struct sim_block *blocks;
    uint64_t calls;   /* allocations and growths so far */
    uint64_t fail_at; /* the number of the call that fails; 0: none */
    bool sticky;      /* and all after it */
    uint64_t failed;  /* how many did */
    size_t live, live_bytes;
    void (*hook)(void *user); /* called before every allocation and growth; NULL: none */
    void *hook_user;
} sim_memory;

#define SIM_MEMORY_INIT {PTHREAD_MUTEX_INITIALIZER, NULL, 0, 0, false, 0, 0, 0, NULL, NULL}

lsi_memory sim_memory_table(sim_memory *memory);

/* The `nth` allocation from now fails (1 is the next one), and all after it if `sticky`; 0: none. */
void sim_memory_fail(sim_memory *memory, uint64_t nth, bool sticky);

/* For what a killed process had allocated: no leak, but never freed either, since lists of the living process (fork
 * callbacks) may still point there. `live` is 0 afterwards. */
void sim_memory_bury(sim_memory *memory);
/* The same, freed: where no living process has anything that points there. */
void sim_memory_scrap(sim_memory *memory);

#endif
