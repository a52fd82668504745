/* See failing_calls.h. The linker gives a call of `x` to __wrap_x, and one of __real_x to `x`. */
#include "base/failing_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#ifdef LSI_HAVE_CRYPTO
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#endif

failing_answers failing_answer;

static struct {
    const char *const *of;
    unsigned nth; /* 0: none fails */
    unsigned met;
    int err, err_then;
    const char *failed;
} failing;

void failing_at(const char *const *of, unsigned nth, int err)
{
    failing.of = of;
    failing.nth = nth;
    failing.met = 0;
    failing.err = err;
    failing.err_then = 0;
    failing.failed = NULL;
}

void failing_then(int err)
{
    failing.err_then = err;
}

const char *failing_end(void)
{
    failing.nth = 0;
    return failing.failed;
}

static bool is_named(const char *name)
{
    if (failing.of == NULL)
        return true;
    for (size_t i = 0; failing.of[i] != NULL; i++)
        if (strcmp(failing.of[i], name) == 0)
            return true;
    return false;
}

static bool fails(const char *name)
{
    if (failing.nth == 0 || !is_named(name))
        return false;
    if (++failing.met == failing.nth + 1 && failing.err_then != 0)
        failing.err = failing.err_then;
    else if (failing.met != failing.nth)
        return false;
    failing.failed = name;
    errno = failing.err;
    return true;
}

static int answer(void)
{
    return failing.err == 0 ? 0 : -1;
}

/* glibc's names of the calls that take an off_t. */
#ifdef __GLIBC__
#define LARGE(name) name##64
#else
#define LARGE(name) name
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REAL(name) JOIN(__real_, name)
#define WRAPPED(name) JOIN(__wrap_, name)

/* `symbol` is what the linker knows, `name` what people call it. */
#define CALL(type, symbol, name, bad, parameters, arguments) \
    type REAL(symbol) parameters;                            \
    type WRAPPED(symbol) parameters;                         \
    type WRAPPED(symbol) parameters                          \
    {                                                        \
        return fails(name) ? (bad) : REAL(symbol) arguments; \
    }

/* ---- files ---- */

int REAL(LARGE(open))(const char *path, int flags, ...);
int WRAPPED(LARGE(open))(const char *path, int flags, ...);
int WRAPPED(LARGE(open))(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;

    if (fails("open"))
        return -1;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return REAL(LARGE(open))(path, flags, mode);
}

int REAL(LARGE(openat))(int dir, const char *path, int flags, ...);
int WRAPPED(LARGE(openat))(int dir, const char *path, int flags, ...);
int WRAPPED(LARGE(openat))(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;

    if (fails("open"))
        return -1;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return REAL(LARGE(openat))(dir, path, flags, mode);
}

int REAL(LARGE(fcntl))(int fd, int command, ...);
int WRAPPED(LARGE(fcntl))(int fd, int command, ...);
int WRAPPED(LARGE(fcntl))(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    if (fails(command == F_DUPFD_CLOEXEC ? "dup" : "lock"))
        return -1;
    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return REAL(LARGE(fcntl))(fd, command, argument);
}

/* What base and the tests ask for by number, and how many arguments that has. */
static const struct by_number {
    long number;
    const char *name;
    int count;
} by_number[] = {{SYS_openat2, "open", 4}, {SYS_renameat2, "renameat2", 5}, {SYS_ioctl, "ioctl", 3},
                 {SYS_futex, "futex", 6}, {SYS_get_robust_list, "get_robust_list", 3}};

long REAL(syscall)(long number, ...);
long WRAPPED(syscall)(long number, ...);
long WRAPPED(syscall)(long number, ...)
{
    const struct by_number *call = by_number;
    long of[6] = {0};
    va_list arguments;

    while (call->number != number)
        if (++call == by_number + sizeof by_number / sizeof *by_number)
            abort(); /* It is to be named above. */
    if (fails(call->name))
        return -1;
    if (number == SYS_ioctl && failing_answer.ioctl_is_known)
        return 0;
    va_start(arguments, number);
    for (int i = 0; i < call->count; i++)
        of[i] = va_arg(arguments, long);
    va_end(arguments);
    return REAL(syscall)(number, of[0], of[1], of[2], of[3], of[4], of[5]);
}

ssize_t REAL(LARGE(pread))(int fd, void *into, size_t size, off_t at);
ssize_t WRAPPED(LARGE(pread))(int fd, void *into, size_t size, off_t at);
ssize_t WRAPPED(LARGE(pread))(int fd, void *into, size_t size, off_t at)
{
    if (fails("read"))
        return answer();
    return REAL(LARGE(pread))(fd, into, failing_answer.is_short && size > 1 ? 1 : size, at);
}

ssize_t REAL(LARGE(pwritev))(int fd, const struct iovec *parts, int count, off_t at);
ssize_t WRAPPED(LARGE(pwritev))(int fd, const struct iovec *parts, int count, off_t at);
ssize_t WRAPPED(LARGE(pwritev))(int fd, const struct iovec *parts, int count, off_t at)
{
    struct iovec one = {parts[0].iov_base, 1};

    if (fails("write"))
        return answer();
    return REAL(LARGE(pwritev))(fd, failing_answer.is_short ? &one : parts, failing_answer.is_short ? 1 : count, at);
}

ssize_t REAL(read)(int fd, void *into, size_t size);
ssize_t WRAPPED(read)(int fd, void *into, size_t size);
ssize_t WRAPPED(read)(int fd, void *into, size_t size)
{
    if (fails("read"))
        return answer();
    return REAL(read)(fd, into, failing_answer.is_short && size > 1 ? 1 : size);
}

ssize_t REAL(write)(int fd, const void *from, size_t size);
ssize_t WRAPPED(write)(int fd, const void *from, size_t size);
ssize_t WRAPPED(write)(int fd, const void *from, size_t size)
{
    if (fails("write"))
        return answer();
    return REAL(write)(fd, from, failing_answer.is_short && size > 1 ? 1 : size);
}

/* What is closed is closed, whatever the answer. */
int REAL(close)(int fd);
int WRAPPED(close)(int fd);
int WRAPPED(close)(int fd)
{
    bool is_bad = fails("close");
    int err = errno, result = REAL(close)(fd);

    if (is_bad)
        errno = err;
    return is_bad ? -1 : result;
}

int REAL(LARGE(fstatfs))(int fd, struct statfs *about);
int WRAPPED(LARGE(fstatfs))(int fd, struct statfs *about);
int WRAPPED(LARGE(fstatfs))(int fd, struct statfs *about)
{
    int result = fails("fstatfs") ? -1 : REAL(LARGE(fstatfs))(fd, about);

    if (result == 0 && failing_answer.fs_type != 0)
        about->f_type = failing_answer.fs_type;
    return result;
}

struct dirent *REAL(LARGE(readdir))(DIR *dir);
struct dirent *WRAPPED(LARGE(readdir))(DIR *dir);
struct dirent *WRAPPED(LARGE(readdir))(DIR *dir)
{
    struct dirent *entry = fails("readdir") ? NULL : REAL(LARGE(readdir))(dir);

    if (entry != NULL && failing_answer.types_are_unknown)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

int REAL(uname)(struct utsname *about);
int WRAPPED(uname)(struct utsname *about);
int WRAPPED(uname)(struct utsname *about)
{
    int result = fails("uname") ? -1 : REAL(uname)(about);

    if (result == 0 && failing_answer.release != NULL)
        strcpy(about->release, failing_answer.release);
    return result;
}

/* glibc gives the first parameter a type of its own, which in C is an int. */
int REAL(LARGE(getrlimit))(int of, struct rlimit *now);
int WRAPPED(LARGE(getrlimit))(int of, struct rlimit *now);
int WRAPPED(LARGE(getrlimit))(int of, struct rlimit *now)
{
    int result = fails("getrlimit") ? -1 : REAL(LARGE(getrlimit))(of, now);

    if (result == 0 && failing_answer.is_unlimited)
        now->rlim_cur = RLIM_INFINITY;
    return result;
}

CALL(int, fsync, "sync", -1, (int fd), (fd))
CALL(int, fdatasync, "sync", -1, (int fd), (fd))
CALL(int, syncfs, "sync", -1, (int fd), (fd))
CALL(int, LARGE(fallocate), how == 0 ? "fallocate" : "punch", -1, (int fd, int how, off_t at, off_t size),
     (fd, how, at, size))
CALL(int, LARGE(ftruncate), "ftruncate", -1, (int fd, off_t size), (fd, size))
CALL(int, LARGE(fstat), "fstat", -1, (int fd, struct stat *about), (fd, about))
CALL(int, LARGE(fstatat), "fstatat", -1, (int fd, const char *name, struct stat *about, int flags),
     (fd, name, about, flags))
CALL(int, LARGE(fstatvfs), "fstatvfs", -1, (int fd, struct statvfs *about), (fd, about))
CALL(int, faccessat, "faccessat", -1, (int fd, const char *name, int mode, int flags), (fd, name, mode, flags))
CALL(DIR *, fdopendir, "fdopendir", NULL, (int fd), (fd))
CALL(void *, LARGE(mmap), "mmap", MAP_FAILED, (void *at, size_t size, int how, int flags, int fd, off_t from),
     (at, size, how, flags, fd, from))
CALL(int, madvise, "madvise", -1, (void *at, size_t size, int advice), (at, size, advice))
CALL(int, mprotect, "mprotect", -1, (void *at, size_t size, int how), (at, size, how))
CALL(int, mkdir, "mkdir", -1, (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, "mkdir", -1, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(int, unlinkat, "unlink", -1, (int dir, const char *path, int flags), (dir, path, flags))
CALL(int, linkat, "link", -1, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
CALL(int, renameat, "rename", -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
CALL(int, rename, "rename", -1, (const char *from, const char *to), (from, to))
CALL(int, LARGE(mkostemp), "mkostemp", -1, (char *name, int flags), (name, flags))
CALL(int, fchmod, "fchmod", -1, (int fd, mode_t mode), (fd, mode))
CALL(int, fchown, "fchown", -1, (int fd, uid_t owner, gid_t group), (fd, owner, group))
CALL(ssize_t, getrandom, "getrandom", answer(), (void *into, size_t size, unsigned flags), (into, size, flags))
CALL(int, eventfd, "eventfd", -1, (unsigned count, int flags), (count, flags))

/* ---- threads and locks ---- */

/* These answer the error, and do not set errno. */
#define ANSWERING_CALL(symbol, parameters, arguments) \
    CALL(int, symbol, #symbol, failing.err, parameters, arguments)

ANSWERING_CALL(pthread_mutexattr_init, (pthread_mutexattr_t *of), (of))
ANSWERING_CALL(pthread_mutexattr_setpshared, (pthread_mutexattr_t *of, int how), (of, how))
ANSWERING_CALL(pthread_mutexattr_setrobust, (pthread_mutexattr_t *of, int how), (of, how))
ANSWERING_CALL(pthread_mutexattr_settype, (pthread_mutexattr_t *of, int how), (of, how))
ANSWERING_CALL(pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *how), (mutex, how))
ANSWERING_CALL(pthread_create, (pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *argument),
               (id, how, run, argument))
ANSWERING_CALL(clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *left),
               (clock, flags, time, left))
CALL(int, sem_init, "sem_init", -1, (sem_t *of, int shared, unsigned value), (of, shared, value))
CALL(int, sem_wait, "sem_wait", -1, (sem_t *of), (of))

/* ---- libcrypto: 1 is success, and what makes something answers NULL ---- */

#ifdef LSI_HAVE_CRYPTO
CALL(int, RAND_bytes, "RAND_bytes", 0, (unsigned char *into, int size), (into, size))
CALL(int, EVP_Digest, "EVP_Digest", 0,
     (const void *bytes, size_t size, unsigned char *into, unsigned *made, const EVP_MD *type, ENGINE *engine),
     (bytes, size, into, made, type, engine))
CALL(unsigned char *, EVP_Q_mac, "EVP_Q_mac", NULL,
     (OSSL_LIB_CTX *of, const char *name, const char *query, const char *sub, const OSSL_PARAM *parameters,
      const void *key, size_t key_bytes, const unsigned char *bytes, size_t size, unsigned char *into, size_t room,
      size_t *made),
     (of, name, query, sub, parameters, key, key_bytes, bytes, size, into, room, made))
CALL(EVP_KDF *, EVP_KDF_fetch, "EVP_KDF_fetch", NULL, (OSSL_LIB_CTX *of, const char *name, const char *query),
     (of, name, query))
CALL(EVP_KDF_CTX *, EVP_KDF_CTX_new, "EVP_KDF_CTX_new", NULL, (EVP_KDF *kdf), (kdf))
CALL(int, EVP_KDF_derive, "EVP_KDF_derive", 0,
     (EVP_KDF_CTX *of, unsigned char *into, size_t size, const OSSL_PARAM parameters[]), (of, into, size, parameters))
CALL(EVP_CIPHER *, EVP_CIPHER_fetch, "EVP_CIPHER_fetch", NULL, (OSSL_LIB_CTX *of, const char *name, const char *query),
     (of, name, query))
CALL(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, "EVP_CIPHER_CTX_new", NULL, (void), ())
CALL(int, EVP_EncryptInit_ex2, "EVP_EncryptInit_ex2", 0,
     (EVP_CIPHER_CTX *of, const EVP_CIPHER *type, const unsigned char *key, const unsigned char *nonce,
      const OSSL_PARAM parameters[]),
     (of, type, key, nonce, parameters))
CALL(int, EVP_EncryptUpdate, "EVP_EncryptUpdate", 0,
     (EVP_CIPHER_CTX *of, unsigned char *into, int *made, const unsigned char *bytes, int size),
     (of, into, made, bytes, size))
CALL(int, EVP_EncryptFinal_ex, "EVP_EncryptFinal_ex", 0, (EVP_CIPHER_CTX *of, unsigned char *into, int *made),
     (of, into, made))
CALL(int, EVP_DecryptInit_ex2, "EVP_DecryptInit_ex2", 0,
     (EVP_CIPHER_CTX *of, const EVP_CIPHER *type, const unsigned char *key, const unsigned char *nonce,
      const OSSL_PARAM parameters[]),
     (of, type, key, nonce, parameters))
CALL(int, EVP_DecryptUpdate, "EVP_DecryptUpdate", 0,
     (EVP_CIPHER_CTX *of, unsigned char *into, int *made, const unsigned char *bytes, int size),
     (of, into, made, bytes, size))
CALL(int, EVP_CIPHER_CTX_ctrl, "EVP_CIPHER_CTX_ctrl", 0, (EVP_CIPHER_CTX *of, int type, int size, void *bytes),
     (of, type, size, bytes))
#endif
