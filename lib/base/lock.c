/* Locks in memory that processes share, words to sleep on, forks noticed.
 *
 * Taking a lock tries first: the uncontended case is one atomic exchange and reads no clock. A lock that somebody has
 * is looked at for some microseconds before it is slept for: most are held for a tenth of one, and a sleep costs its
 * wake as well. The wait is on the monotonic clock (E8), so a clock that is set neither prolongs nor ends it.
 *
 * Words are futexes of the shared kind, also on a mapping that may only be read: a reader without write permission
 * sleeps like any other. Sleeping always passes a time limit to the kernel, an hour when the caller has none, since a
 * wait without one is restarted after a handler installed with SA_RESTART and would hide the signal. */
#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((lsi_lock *)0)->room), "the control file's layout has no room");

/* ---- ranks ---- */

#ifndef NDEBUG
#define RANK_COUNT (LSI_RANK_FILE + 1)

/* Locks this thread holds, by rank. A child of fork starts with its parent's counts, as it does with its locks. */
static _Thread_local unsigned held[RANK_COUNT];

static void rank_check(int rank)
{
    assert(rank >= LSI_RANK_UPKEEP && rank < RANK_COUNT);
    for (int higher = rank + 1; higher < RANK_COUNT; higher++)
        assert(held[higher] == 0 && "locks are taken in rising rank only");
}

static void rank_taken(int rank)
{
    held[rank]++;
}

static void rank_released(int rank)
{
    assert(rank >= LSI_RANK_UPKEEP && rank < RANK_COUNT);
    assert(held[rank] > 0 && "released a lock of a rank this thread does not hold");
    held[rank]--;
}
#else
static void rank_check(int rank) { (void)rank; }
static void rank_taken(int rank) { (void)rank; }
static void rank_released(int rank) { (void)rank; }
#endif

/* ---- locks ---- */

int lsi_lock_init(lsi_lock *lock)
{
    pthread_mutexattr_t about;
    int err = pthread_mutexattr_init(&about);

    if (err != 0)
        return -err;
    memset(lock, 0, sizeof(*lock));
    err = pthread_mutexattr_setpshared(&about, PTHREAD_PROCESS_SHARED);
    if (err == 0)
        err = pthread_mutexattr_setrobust(&about, PTHREAD_MUTEX_ROBUST);
    if (err == 0)
        err = pthread_mutexattr_settype(&about, PTHREAD_MUTEX_NORMAL); /* P3 */
    if (err == 0)
        err = pthread_mutex_init(&lock->mutex, &about);
    (void)pthread_mutexattr_destroy(&about); /* cannot fail on one that was made */
    return -err;
}

static lsi_lock_result taken(int err, int rank)
{
    switch (err) {
    case 0:
        rank_taken(rank);
        return LSI_LOCKED;
    case EOWNERDEAD:
        rank_taken(rank);
        return LSI_LOCKED_AFTER_DEATH;
    case EBUSY:
    case ETIMEDOUT:
        return LSI_LOCK_BUSY;
    default:
        return LSI_LOCK_BROKEN;
    }
}

lsi_lock_result lsi_lock_try_any(lsi_lock *lock, int rank)
{
    return taken(pthread_mutex_trylock(&lock->mutex), rank);
}

lsi_lock_result lsi_lock_try(lsi_lock *lock, int rank)
{
    rank_check(rank);
    return lsi_lock_try_any(lock, rank);
}

#if !defined(__GLIBC__) || defined(__SANITIZE_THREAD__)
#define LOCK_IS_POLLED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOCK_IS_POLLED 1
#endif
#endif

/* pthread_mutex_clocklock() on the monotonic clock. The thread sanitizers of gcc 12 and clang 14 do not know that call
 * and would see every lock taken by it as not taken, and other libcs do not have it: their locks with a time limit go
 * by the wall clock, which may be set (E8). There it is made of the one that all know. */
static int lock_until(pthread_mutex_t *mutex, const struct timespec *until)
{
#ifdef LOCK_IS_POLLED
    static const struct timespec pause = {0, 200000};
    struct timespec now;
    int err;

    while ((err = pthread_mutex_trylock(mutex)) == EBUSY) {
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the caller just did it */
        if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec))
            return ETIMEDOUT;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return err;
#else
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
#endif
}

/* 8 looks, 100 pauses of 25 ns apart: 20 us, as long as it takes to be woken (14 to 24 us on a virtual processor).
 * Looks are far apart because each takes the lock's cache line, and with it the next turn, from its holder, who would
 * have put ten records more before all that he works on has to follow: 20 pauses apart, four processes lost a tenth of
 * their puts per second, 8 apart another. */
#define SPIN_LOOKS 8
#define SPIN_PAUSES 100

static void processor_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* "yield" takes no time on most. */
#endif
}

/* Whoever was preempted with the lock in his hands is slept for, after that. */
static lsi_lock_result try_for_a_moment(lsi_lock *lock, int rank)
{
    lsi_lock_result result = LSI_LOCK_BUSY;

    for (int looks = 0; looks < SPIN_LOOKS && result == LSI_LOCK_BUSY; looks++) {
        for (int i = 0; i < SPIN_PAUSES; i++)
            processor_pause();
        result = lsi_lock_try(lock, rank);
    }
    return result;
}

/* Not inlined: the way of an uncontended lock stays short. */
static __attribute__((noinline)) lsi_lock_result wait_for(lsi_lock *lock, int rank, uint32_t timeout_ms,
                                                          lsi_lock_result result)
{
    struct timespec until;

    if (result != LSI_LOCK_BUSY || timeout_ms == 0)
        return result;
    result = try_for_a_moment(lock, rank);
    if (result != LSI_LOCK_BUSY)
        return result;
    if (clock_gettime(CLOCK_MONOTONIC, &until) != 0)
        return LSI_LOCK_BUSY;
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return taken(lock_until(&lock->mutex, &until), rank);
}

lsi_lock_result lsi_lock_take(lsi_lock *lock, int rank, uint32_t timeout_ms)
{
    int err;

    rank_check(rank);
    err = pthread_mutex_trylock(&lock->mutex);
    if (err != 0)
        return wait_for(lock, rank, timeout_ms, taken(err, rank));
    rank_taken(rank);
    return LSI_LOCKED;
}

void lsi_lock_repaired(lsi_lock *lock)
{
    int err = pthread_mutex_consistent(&lock->mutex);

    assert(err == 0 && "only a lock that came with LSI_LOCKED_AFTER_DEATH is repaired");
    (void)err;
}

void lsi_lock_hold(lsi_lock *lock, int rank)
{
    lsi_lock_result result;

    do {
        result = lsi_lock_take(lock, rank, UINT32_MAX);
    } while (result == LSI_LOCK_BUSY);
    if (result == LSI_LOCKED_AFTER_DEATH)
        /* A thread that ended in a callback; what such a lock guards is changed by one store. */
        lsi_lock_repaired(lock);
}

void lsi_lock_release(lsi_lock *lock, int rank)
{
    int err;

    rank_released(rank);
    err = pthread_mutex_unlock(&lock->mutex);
    assert(err == 0 && "released a lock that is not held by this thread");
    (void)err;
}

/* ---- words ---- */

#define SLEEP_US_MAX INT64_C(3600000000) /* an hour; longer sleeps return LSI_WOKEN and the caller looks again */
#define SLEEP_US_POLLED INT64_C(10000)

lsi_sleep_result lsi_word_sleep(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_us)
{
    bool whole = timeout_us >= 0 && timeout_us <= SLEEP_US_MAX; /* the caller's time, not our share of it */
    int64_t us = whole ? timeout_us : SLEEP_US_MAX;
    struct timespec time;

    /* Pairs with the release that advanced the word. */
    if (atomic_load_explicit(word, memory_order_acquire) != seen)
        return LSI_WOKEN;
    time.tv_sec = (time_t)(us / 1000000);
    time.tv_nsec = (long)(us % 1000000) * 1000;
    if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0) == 0)
        return LSI_WOKEN;
    switch (errno) {
    case EAGAIN:
        return LSI_WOKEN;
    case EINTR:
        return LSI_INTERRUPTED;
    case ETIMEDOUT:
        return whole ? LSI_SLEPT_OUT : LSI_WOKEN;
    default:
        break;
    }
    /* The kernel refuses this memory (a private mapping that may not be written). Sleep a little and let the caller
     * look: slower, never a busy loop. */
    if (us > SLEEP_US_POLLED) {
        us = SLEEP_US_POLLED;
        whole = false;
    }
    time.tv_sec = 0;
    time.tv_nsec = (long)us * 1000;
    if (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL) == EINTR)
        return LSI_INTERRUPTED;
    return whole ? LSI_SLEPT_OUT : LSI_WOKEN;
}

bool lsi_word_wake_one(_Atomic uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) > 0;
}

void lsi_word_wake_all(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0); /* nobody there is no failure */
}

/* ---- what happens in a fork child ---- */

static pthread_mutex_t on_fork_lock; /* robust: what it guards is changed by one store */
static lsi_on_fork *on_fork_list;
static pthread_once_t on_fork_once = PTHREAD_ONCE_INIT;
static int on_fork_error;

static int make_on_fork_lock(void)
{
    pthread_mutexattr_t attributes;
    int err = pthread_mutexattr_init(&attributes);

    if (err != 0)
        return err;
    err = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (err == 0)
        err = pthread_mutex_init(&on_fork_lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes); /* It cannot fail. */
    return err;
}

/* The list is held across fork, so that the child never sees it half changed. */
static void before_fork(void)
{
    if (pthread_mutex_lock(&on_fork_lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&on_fork_lock);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&on_fork_lock);
}

static void after_fork_in_child(void)
{
    for (lsi_on_fork *entry = on_fork_list, *next; entry != NULL; entry = next) {
        next = entry->next;
        entry->in_child(entry->user);
    }
    (void)make_on_fork_lock(); /* its owner is a thread of the parent */
}

static void on_fork_register(void)
{
    on_fork_error = make_on_fork_lock();
    if (on_fork_error == 0)
        on_fork_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void lsi_fork_hold_off(void)
{
    before_fork();
}

void lsi_fork_let_go(void)
{
    after_fork_in_parent();
}

int lsi_on_fork_add(lsi_on_fork *entry)
{
    (void)pthread_once(&on_fork_once, on_fork_register);
    if (on_fork_error != 0)
        return -ENOMEM;
    lsi_fork_hold_off();
    entry->next = on_fork_list;
    on_fork_list = entry;
    lsi_fork_let_go();
    return 0;
}

void lsi_on_fork_remove(lsi_on_fork *entry)
{
    lsi_fork_hold_off();
    for (lsi_on_fork **at = &on_fork_list; *at != NULL; at = &(*at)->next)
        if (*at == entry) {
            *at = entry->next;
            break;
        }
    lsi_fork_let_go();
}

/* ---- the mark ---- */

struct lsi_fork_mark {
    _Atomic uint32_t mine; /* 1 in the process that made it, 0 in children; first, for lsi_fork_mark_is_mine */
    uint32_t by_callback;  /* the kernel lacks MADV_WIPEONFORK (before 4.14) */
    lsi_on_fork entry;     /* then this does it */
};

static void wipe(void *user)
{
    lsi_fork_mark *mark = user;

    atomic_store_explicit(&mark->mine, 0, memory_order_relaxed);
}

lsi_fork_mark *lsi_fork_mark_new(void)
{
    lsi_fork_mark *mark =
        mmap(NULL, sizeof(*mark), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* a page, zeroed */

    if (mark == MAP_FAILED)
        return NULL;
    if (madvise(mark, sizeof(*mark), MADV_WIPEONFORK) != 0) {
        mark->by_callback = 1;
        mark->entry.in_child = wipe;
        mark->entry.user = mark;
        if (lsi_on_fork_add(&mark->entry) != 0) {
            (void)munmap(mark, sizeof(*mark));
            return NULL;
        }
    }
    atomic_store_explicit(&mark->mine, 1, memory_order_relaxed);
    return mark;
}

void lsi_fork_mark_free(lsi_fork_mark *mark)
{
    if (mark == NULL)
        return;
    if (mark->by_callback != 0)
        lsi_on_fork_remove(&mark->entry);
    (void)munmap(mark, sizeof(*mark));
}

/* ---- boot id ---- */

/* Words and no lock, which a fork in another thread could leave taken in the child, who opens the store himself. */
static atomic_bool boot_id_is_set;
static _Atomic uint64_t boot_id_set[2];

void lsi_boot_id_pretend(const unsigned char id[16])
{
    uint64_t words[2];

    if (id != NULL) {
        memcpy(words, id, sizeof(words));
        atomic_store_explicit(&boot_id_set[0], words[0], memory_order_relaxed);
        atomic_store_explicit(&boot_id_set[1], words[1], memory_order_relaxed);
    }
    atomic_store_explicit(&boot_id_is_set, id != NULL, memory_order_release); /* Pairs with lsi_boot_id. */
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

void lsi_boot_id(unsigned char id[16])
{
    char text[64]; /* 36 characters and a newline */
    ssize_t size = -1;
    size_t digits = 0;
    int fd;

    if (atomic_load_explicit(&boot_id_is_set, memory_order_acquire)) {
        uint64_t words[2] = {atomic_load_explicit(&boot_id_set[0], memory_order_relaxed),
                             atomic_load_explicit(&boot_id_set[1], memory_order_relaxed)};

        memcpy(id, words, sizeof(words));
        return;
    }
    memset(id, 0, 16);
    do {
        fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return;
    do {
        size = read(fd, text, sizeof(text));
    } while (size < 0 && errno == EINTR);
    (void)close(fd); /* opened to read */
    for (ssize_t i = 0; i < size && digits < 32; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0)
            continue;
        id[digits / 2] = (unsigned char)(id[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits != 32)
        memset(id, 0, 16);
}

void lsi_lock_pause(void)
{
    (void)sched_yield(); /* With fewer processors than writers, the others must run for the wait to end. */
}
