/* Locks between processes, sleeping words, and what a fork child is told: lib/base/lock.h. Processes are real: children
 * of fork that die, stop and sleep. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/lock.h"
#include "support/emulated.h"

/* What parent and children share. */
typedef struct shared {
    lsi_lock lock;
    lsi_lock second;
    _Atomic uint32_t word;
    _Atomic uint32_t stage; /* children say how far they are */
    _Atomic uint32_t count;
} shared;

static shared *share;

static int set_up(void **state)
{
    (void)state;
    share = mmap(NULL, sizeof(*share), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return share == MAP_FAILED || lsi_lock_init(&share->lock) != 0 || lsi_lock_init(&share->second) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(share, sizeof(*share));
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(int ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static void wait_for_stage(uint32_t stage)
{
    for (int i = 0; i < 5000 && atomic_load(&share->stage) != stage; i++)
        sleep_ms(1);
    assert_int_equal(atomic_load(&share->stage), stage);
}

static int wait_for(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Starts a child that takes the lock, says so in `stage` and waits to be killed. */
static pid_t holder(void)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (lsi_lock_take(&share->lock, LSI_RANK_SHARD, 1000) != LSI_LOCKED)
            _exit(1);
        atomic_store(&share->stage, 1);
        for (;;)
            pause();
    }
    wait_for_stage(1);
    return child;
}

/* Goal: P1. A holder killed with SIGKILL leaves a lock that the next one gets at once, is told to repair, and that is
 * an ordinary lock again after that. */
static void a_lock_of_a_killed_holder_is_repaired(void **state)
{
    pid_t child;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    for (int how = 0; how < 2; how++) {
        atomic_store(&share->stage, 0);
        child = holder();
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(wait_for(child), -SIGKILL);
        assert_int_equal(how == 0 ? lsi_lock_try(&share->lock, LSI_RANK_SHARD)
                                  : lsi_lock_take(&share->lock, LSI_RANK_SHARD, 1000),
                         LSI_LOCKED_AFTER_DEATH);
        lsi_lock_repaired(&share->lock);
        lsi_lock_release(&share->lock, LSI_RANK_SHARD);
        assert_int_equal(lsi_lock_try(&share->lock, LSI_RANK_SHARD), LSI_LOCKED);
        lsi_lock_release(&share->lock, LSI_RANK_SHARD);
    }
}

/* P1 while somebody already waits: the death ends the wait, long before the timeout. */
static void a_waiter_is_woken_by_the_death_of_the_holder(void **state)
{
    pid_t child, killer;
    int64_t before;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    child = holder();
    before = now_ms();
    killer = fork();
    if (killer == 0) {
        sleep_ms(50);
        _exit(kill(child, SIGKILL) != 0);
    }
    assert_int_equal(lsi_lock_take(&share->lock, LSI_RANK_SHARD, 20000), LSI_LOCKED_AFTER_DEATH);
    assert_true(now_ms() - before < 10000);
    lsi_lock_repaired(&share->lock);
    lsi_lock_release(&share->lock, LSI_RANK_SHARD);
    assert_int_equal(wait_for(killer), 0);
    assert_int_equal(wait_for(child), -SIGKILL);
}

/* A repairer that dies while it repairs leaves the lock to the next one in the same state. */
static void a_repairer_may_die_too(void **state)
{
    pid_t child;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    child = holder();
    kill(child, SIGKILL);
    wait_for(child);
    for (int i = 0; i < 3; i++) {
        child = fork();
        if (child == 0)
            _exit(lsi_lock_take(&share->lock, LSI_RANK_SHARD, 1000) == LSI_LOCKED_AFTER_DEATH ? 0 : 1);
        assert_int_equal(wait_for(child), 0); /* gone without repairing, holding the lock */
    }
    assert_int_equal(lsi_lock_take(&share->lock, LSI_RANK_SHARD, 1000), LSI_LOCKED_AFTER_DEATH);
    lsi_lock_repaired(&share->lock);
    lsi_lock_release(&share->lock, LSI_RANK_SHARD);
}

/* Goal: P2. A stopped holder is waited for, for the time given and not longer; its lock is never stolen. */
static void a_lock_of_a_stopped_holder_is_busy(void **state)
{
    pid_t child;
    int64_t before, took;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    child = holder();
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(lsi_lock_try(&share->lock, LSI_RANK_SHARD), LSI_LOCK_BUSY);
    assert_int_equal(lsi_lock_take(&share->lock, LSI_RANK_SHARD, 0), LSI_LOCK_BUSY);
    before = now_ms();
    assert_int_equal(lsi_lock_take(&share->lock, LSI_RANK_SHARD, 1100), LSI_LOCK_BUSY);
    took = now_ms() - before;
    assert_in_range(took, 1099, 8000);
    kill(child, SIGKILL);
    wait_for(child);
    assert_int_equal(lsi_lock_try(&share->lock, LSI_RANK_SHARD), LSI_LOCKED_AFTER_DEATH);
    lsi_lock_repaired(&share->lock);
    lsi_lock_release(&share->lock, LSI_RANK_SHARD);
}

/* Mutual exclusion between processes: a counter that is read and written in two steps loses nothing. */
static void two_processes_exclude_each_other(void **state)
{
    pid_t children[3];

    (void)state;
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            for (int i = 0; i < 2000; i++) {
                uint32_t seen;

                if (lsi_lock_take(&share->lock, LSI_RANK_SHARD, 10000) != LSI_LOCKED)
                    _exit(1);
                seen = atomic_load_explicit(&share->count, memory_order_relaxed);
                atomic_store_explicit(&share->count, seen + 1, memory_order_relaxed);
                lsi_lock_release(&share->lock, LSI_RANK_SHARD);
            }
            _exit(0);
        }
    }
    for (int c = 0; c < 3; c++)
        assert_int_equal(wait_for(children[c]), 0);
    assert_int_equal(atomic_load(&share->count), 6000);
}

/* Bytes that are no lock give an answer and neither hang nor crash. */
static void what_is_no_lock_is_broken(void **state)
{
    lsi_lock garbage;

    (void)state;
    memset(&garbage, 0xff, sizeof(garbage));
    assert_int_equal(lsi_lock_take(&garbage, LSI_RANK_SHARD, 10), LSI_LOCK_BROKEN);
}

/* An unrepaired lock that is released would be lost for ever (ENOTRECOVERABLE); it is told apart from a busy one. */
static void a_lock_released_unrepaired_is_broken(void **state)
{
    pid_t child;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    child = holder();
    kill(child, SIGKILL);
    wait_for(child);
    assert_int_equal(lsi_lock_try(&share->lock, LSI_RANK_SHARD), LSI_LOCKED_AFTER_DEATH);
    lsi_lock_release(&share->lock, LSI_RANK_SHARD);
    assert_int_equal(lsi_lock_try(&share->lock, LSI_RANK_SHARD), LSI_LOCK_BROKEN);
}

/* ---- ranks ---- */

static int how_it_ends(void (*body)(void))
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        int null = open("/dev/null", O_WRONLY);

        signal(SIGABRT, SIG_DFL); /* cmocka has its own handler */
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (null >= 0)
            (void)dup2(null, 2);
        body();
        _exit(0);
    }
    return wait_for(child);
}

static void rising(void)
{
    (void)lsi_lock_try(&share->lock, LSI_RANK_STORE);
    (void)lsi_lock_try(&share->second, LSI_RANK_SYNC);
    lsi_lock_release(&share->lock, LSI_RANK_STORE);
    lsi_lock_release(&share->second, LSI_RANK_SYNC);
    (void)lsi_lock_try(&share->lock, LSI_RANK_STORE);
    lsi_lock_release(&share->lock, LSI_RANK_STORE);
}

static void equal(void)
{
    (void)lsi_lock_try(&share->lock, LSI_RANK_SHARD);
    (void)lsi_lock_try(&share->second, LSI_RANK_SHARD);
    lsi_lock_release(&share->second, LSI_RANK_SHARD);
    lsi_lock_release(&share->lock, LSI_RANK_SHARD);
}

static void falling(void)
{
    (void)lsi_lock_try(&share->lock, LSI_RANK_SYNC);
    (void)lsi_lock_try(&share->second, LSI_RANK_SHARD);
}

static void locks_are_taken_in_rising_rank(void **state)
{
    (void)state;
    assert_int_equal(how_it_ends(rising), 0);
    assert_int_equal(how_it_ends(equal), 0);
#ifndef NDEBUG
    assert_int_equal(how_it_ends(falling), -SIGABRT);
#else
    assert_int_equal(how_it_ends(falling), 0);
#endif
}

/* ---- words ---- */

static void a_word_that_moved_on_is_not_slept_on(void **state)
{
    (void)state;
    atomic_store(&share->word, 5);
    assert_int_equal(lsi_word_sleep(&share->word, 4, -1), LSI_WOKEN);
}

static void sleeping_ends_with_the_time(void **state)
{
    int64_t before = now_ms(), took;

    (void)state;
    assert_int_equal(lsi_word_sleep(&share->word, 0, 0), LSI_SLEPT_OUT);
    assert_int_equal(lsi_word_sleep(&share->word, 0, 60000), LSI_SLEPT_OUT);
    took = now_ms() - before;
    assert_in_range(took, 59, 5000);
}

/* Goal: every sleeper in every process is woken. Method: four children sleep without an end; the word moves, then
 * wake_all. A child that went to sleep after the move returns at once, so nothing hangs on the timing. */
static void waking_reaches_all_processes(void **state)
{
    pid_t children[4];

    (void)state;
    for (int c = 0; c < 4; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            alarm(20); /* a lost wake-up is a failure, not a hang */
            atomic_fetch_add(&share->stage, 1);
            while (atomic_load(&share->word) == 0)
                if (lsi_word_sleep(&share->word, 0, -1) != LSI_WOKEN)
                    _exit(1);
            _exit(0);
        }
    }
    wait_for_stage(4);
    sleep_ms(30);
    atomic_store_explicit(&share->word, 1, memory_order_release);
    lsi_word_wake_all(&share->word);
    for (int c = 0; c < 4; c++)
        assert_int_equal(wait_for(children[c]), 0);
}

/* A reader that may not write the control file sleeps on it like any other. Method: a file mapped read only in the
 * child. That it was woken, and did not poll, shows in the time. */
static void a_read_only_mapping_can_be_slept_on(void **state)
{
    char path[] = "/tmp/libstream-word-XXXXXX";
    int fd = mkstemp(path);
    _Atomic uint32_t *word;
    pid_t child;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, 4096), 0);
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(word, MAP_FAILED);
    child = fork();
    if (child == 0) {
        _Atomic uint32_t *view = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        lsi_sleep_result result;

        if (view == MAP_FAILED)
            _exit(2);
        alarm(20);
        if (lsi_word_sleep(view, 0, 50000) != LSI_SLEPT_OUT)
            _exit(3);
        atomic_store(&share->stage, 1);
        result = lsi_word_sleep(view, 0, 15000000);
        _exit(result == LSI_WOKEN && atomic_load(view) == 1 ? 0 : 4);
    }
    wait_for_stage(1);
    sleep_ms(30);
    atomic_store_explicit(word, 1, memory_order_release);
    lsi_word_wake_all(word);
    assert_int_equal(wait_for(child), 0);
    munmap((void *)word, 4096);
    close(fd);
}

/* A private mapping that may not be written cannot be waited on by the kernel: it is polled, and time still passes. */
static void memory_the_kernel_refuses_is_polled(void **state)
{
    _Atomic uint32_t *word = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int64_t before = now_ms();

    (void)state;
    assert_ptr_not_equal(word, MAP_FAILED);
    assert_int_equal(lsi_word_sleep(word, 0, 5000), LSI_SLEPT_OUT);
    assert_true(now_ms() - before >= 5);
    munmap((void *)word, 4096);
}

static void on_signal(int number)
{
    (void)number;
}

/* A handler that ran ends the sleep, also one installed with SA_RESTART and also without a time limit. */
static void a_signal_interrupts_sleeping(void **state)
{
    static const int64_t times[] = {-1, 15000000};

    (void)state;
    for (size_t t = 0; t < 2; t++) {
        pid_t child;

        atomic_store(&share->stage, 0);
        child = fork();
        if (child == 0) {
            struct sigaction action;

            memset(&action, 0, sizeof(action));
            action.sa_handler = on_signal;
            action.sa_flags = SA_RESTART;
            sigaction(SIGUSR1, &action, NULL);
            alarm(20);
            atomic_store(&share->stage, 1);
            _exit(lsi_word_sleep(&share->word, 0, times[t]) == LSI_INTERRUPTED ? 0 : 1);
        }
        wait_for_stage(1);
        sleep_ms(50);
        kill(child, SIGUSR1);
        assert_int_equal(wait_for(child), 0);
    }
}

/* ---- fork ---- */

/* P9. The grandchild matters: the wiped page must not look like one's own a generation later. */
static void a_fork_mark_is_the_makers_alone(void **state)
{
    lsi_fork_mark *mark = lsi_fork_mark_new();
    pid_t child;

    (void)state;
    assert_non_null(mark);
    assert_true(lsi_fork_mark_is_mine(mark));
    child = fork();
    if (child == 0) {
        bool mine = lsi_fork_mark_is_mine(mark);
        lsi_fork_mark *own = lsi_fork_mark_new();
        bool own_mine = lsi_fork_mark_is_mine(own);
        pid_t grandchild = fork();

        if (grandchild == 0)
            _exit(lsi_fork_mark_is_mine(mark) || lsi_fork_mark_is_mine(own));
        lsi_fork_mark_free(mark);
        lsi_fork_mark_free(own);
        _exit(mine || !own_mine || wait_for(grandchild) != 0);
    }
    assert_int_equal(wait_for(child), 0);
    assert_true(lsi_fork_mark_is_mine(mark));
    lsi_fork_mark_free(mark);
    lsi_fork_mark_free(NULL);
}

static void count_call(void *user)
{
    ++*(int *)user;
}

/* P6: callbacks run in the child, before fork returns there, and nowhere else; the list still works in the child. */
static void callbacks_run_in_fork_children_only(void **state)
{
    int calls[3] = {0, 0, 0};
    lsi_on_fork entries[3] = {
        {count_call, &calls[0], NULL}, {count_call, &calls[1], NULL}, {count_call, &calls[2], NULL},
    };
    pid_t child;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(lsi_on_fork_add(&entries[i]), 0);
    lsi_on_fork_remove(&entries[1]);
    lsi_on_fork_remove(&entries[1]); /* twice is harmless */
    child = fork();
    if (child == 0) {
        pid_t grandchild;

        alarm(20);
        if (calls[0] != 1 || calls[1] != 0 || calls[2] != 1)
            _exit(1);
        lsi_on_fork_remove(&entries[2]);
        grandchild = fork();
        if (grandchild == 0)
            _exit(calls[0] == 2 && calls[2] == 1 ? 0 : 1);
        _exit(wait_for(grandchild));
    }
    assert_int_equal(wait_for(child), 0);
    assert_int_equal(calls[0] + calls[1] + calls[2], 0);
    lsi_on_fork_remove(&entries[0]);
    lsi_on_fork_remove(&entries[2]);
}

/* ---- boot id ---- */

static void the_boot_id_is_that_of_the_kernel(void **state)
{
    static const unsigned char zeros[16], other[16] = {1, 2, 3};
    unsigned char first[16], second[16];

    (void)state;
    lsi_boot_id(first);
    lsi_boot_id(second);
    assert_memory_equal(first, second, 16);
    if (access("/proc/sys/kernel/random/boot_id", R_OK) == 0)
        assert_memory_not_equal(first, zeros, 16);
    lsi_boot_id_pretend(other);
    lsi_boot_id(second);
    assert_memory_equal(second, other, 16);
    lsi_boot_id_pretend(NULL);
    lsi_boot_id(second);
    assert_memory_equal(first, second, 16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest locks[] = {
        TEST(a_lock_of_a_killed_holder_is_repaired),
        TEST(a_waiter_is_woken_by_the_death_of_the_holder),
        TEST(a_repairer_may_die_too),
        TEST(a_lock_of_a_stopped_holder_is_busy),
        TEST(two_processes_exclude_each_other),
        TEST(what_is_no_lock_is_broken),
        TEST(a_lock_released_unrepaired_is_broken),
        TEST(locks_are_taken_in_rising_rank),
    };
    static const struct CMUnitTest words[] = {
        TEST(a_word_that_moved_on_is_not_slept_on),
        TEST(sleeping_ends_with_the_time),
        TEST(waking_reaches_all_processes),
        TEST(a_read_only_mapping_can_be_slept_on),
        TEST(memory_the_kernel_refuses_is_polled),
        TEST(a_signal_interrupts_sleeping),
    };
    static const struct CMUnitTest forks[] = {
        TEST(a_fork_mark_is_the_makers_alone),
        TEST(callbacks_run_in_fork_children_only),
        TEST(the_boot_id_is_that_of_the_kernel),
    };
    int failed = cmocka_run_group_tests(locks, NULL, NULL);

    failed += cmocka_run_group_tests(words, NULL, NULL);
    return failed + cmocka_run_group_tests(forks, NULL, NULL);
}
