/* What a store stands on, in one place: memory, files, time, random numbers, the log. Each is a table of functions, so
 * a test can fail, record or stop any of them; `lsi_env_default` is the system's. A store copies its env when it
 * opens and everything it makes points to that copy. */
#ifndef LSI_BASE_ENV_H
#define LSI_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

typedef struct lsi_env {
    lsi_memory memory;
    lsi_clock clock;
    const lsi_files *files; /* borrowed for the store's life */
    void (*random)(void *user, void *bytes, size_t size); /* for salts and ids; getrandom() */
    void *random_user;
    void (*log)(void *user, int32_t level, const char *line); /* NULL: silent */
    void *log_user;
    uint32_t busy_timeout_ms;
    int (*wait)(void *user); /* an ls_wait_callback (store.h); NULL: nobody is asked */
    void *wait_user;
} lsi_env;

/* The system's memory, clock, files and random numbers; no log; busy_timeout_ms 5,000. */
void lsi_env_default(lsi_env *out);

/* A variable of the process; a view that setenv ends. NULL: it is not set, or the program runs with more rights than
 * whoever set it. */
const char *lsi_env_variable(const char *name);

/* Levels: as public in store.h (LS_LOG_ERROR 1, _WARNING 2, _INFO 3). Formats only when there is a callback. */
void lsi_env_log(const lsi_env *env, int32_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
