/* What an emulator of single programs (qemu-aarch64) does not do for them, though their kernel would: each is asked
 * for, and a test of it is skipped and says so. */
#ifndef LST_SUPPORT_EMULATED_H
#define LST_SUPPORT_EMULATED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the death of a lock's holder is told to whoever takes it next. */
static inline bool has_robust_locks(void)
{
    void *head;
    size_t size;

    return syscall(SYS_get_robust_list, 0, &head, &size) == 0;
}

/* Whether a system call can be forbidden. */
static inline bool has_filters(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0;
}

#define SKIP_UNLESS(has) \
    do { \
        if (!(has)()) { \
            print_message("skipped: this is no kernel, for it has no %s\n", #has); \
            skip(); \
        } \
    } while (0)

#endif
