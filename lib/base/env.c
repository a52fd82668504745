/* The default environment of a store, and the log line that goes through it.
 *
 * Random numbers here make salts and ids: they must differ between stores, nobody has to be unable to guess them. So
 * where a sandbox forbids getrandom() a mix of times, process and address stands in, and opening does not fail. */
#include "base/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/hash.h"

#define BUSY_TIMEOUT_MS_DEFAULT 5000
#define LOG_LINE_BYTES 1024

/* Fills `bytes` without the kernel's help. */
static void mix(unsigned char *bytes, size_t size)
{
    uint64_t from[4] = {(uint64_t)lsi_wall_us(&lsi_clock_system), (uint64_t)lsi_monotonic_us(&lsi_clock_system),
                        (uint64_t)getpid(), (uint64_t)(uintptr_t)bytes};

    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word = lsi_sum64(from, sizeof from, at);
        size_t rest = size - at;

        memcpy(bytes + at, &word, rest < sizeof word ? rest : sizeof word);
    }
}

static void system_random(void *user, void *bytes, size_t size)
{
    unsigned char *at = bytes;

    (void)user; /* The kernel's generator has no state of ours. */
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            mix(at, size);
            return;
        }
        at += got;
        size -= (size_t)got;
    }
}

void lsi_env_default(lsi_env *out)
{
    *out = (lsi_env){
        .memory = lsi_memory_libc,
        .clock = lsi_clock_system,
        .files = &lsi_files_system,
        .random = system_random,
        .busy_timeout_ms = BUSY_TIMEOUT_MS_DEFAULT,
    };
}

const char *lsi_env_variable(const char *name)
{
    return secure_getenv(name);
}

void lsi_env_log(const lsi_env *env, int32_t level, const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    int errno_before = errno;
    va_list arguments;

    if (env->log == NULL)
        return;
    va_start(arguments, format);
    if (vsnprintf(line, sizeof line, format, arguments) < 0)
        line[0] = '\0';
    va_end(arguments);
    env->log(env->log_user, level, line);
    errno = errno_before;
}
