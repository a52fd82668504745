/* An environment in which the same calls do the same: a wall clock that moves by a microsecond when it is looked at,
 * random numbers from a seed, little patience with locks. On any table of files. */
#ifndef LST_STILL_ENV_H
#define LST_STILL_ENV_H

#include "base/env.h"

typedef struct still_env {
    lsi_env env;
    int64_t now_us;
    uint64_t random;
} still_env;

static inline int64_t still_env_now(void *user)
{
    return ((still_env *)user)->now_us++;
}

static inline int64_t still_env_monotonic(void *user)
{
    (void)user;
    return lsi_monotonic_us(&lsi_clock_system); /* what waits for somebody waits for a real one */
}

static inline void still_env_random(void *user, void *bytes, size_t size)
{
    uint64_t *state = &((still_env *)user)->random;
    unsigned char *at = bytes;

    while (size-- > 0) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        *at++ = (unsigned char)(*state >> 56);
    }
}

/* `to` stays where it is while the environment is in use. */
static inline void still_env_make(still_env *to, const lsi_files *files, uint64_t seed)
{
    lsi_env_default(&to->env);
    to->now_us = INT64_C(1700000000000000);
    to->random = seed;
    to->env.files = files;
    to->env.clock.wall_us = still_env_now;
    to->env.clock.monotonic_us = still_env_monotonic;
    to->env.clock.user = to;
    to->env.random = still_env_random;
    to->env.random_user = to;
    to->env.busy_timeout_ms = 2;
}

#endif
