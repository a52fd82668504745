/* What a process reached is written when it ends, so that of one that _exit()s or kills itself is lost, and the tests'
 * children end so. tests/build/coverage links this into every program of its build, with `--wrap` for these three.
 * What others kill is lost all the same: such tests cannot be what a branch is reached by. */
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

int __llvm_profile_write_file(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
int __real_raise(int number);
int __wrap_raise(int number);
int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);

void __wrap__exit(int status)
{
    (void)__llvm_profile_write_file();
    __real__exit(status);
}

int __wrap_raise(int number)
{
    (void)__llvm_profile_write_file();
    return __real_raise(number);
}

int __wrap_kill(pid_t pid, int number)
{
    if (pid == getpid())
        (void)__llvm_profile_write_file();
    return __real_kill(pid, number);
}
