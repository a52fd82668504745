/* What base asks of the system besides files, and of libcrypto, while each call fails once: locks, the mark and ids of
 * processes, threads, random numbers, keys and ciphers. What fails says so, holds nothing, and works the next time. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/env.h"
#include "base/event_fd.h"
#include "base/failing_calls.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/sigv4.h"
#include "base/status.h"
#include "base/thread.h"
#include "support/emulated.h"

#define CALLS_MAX 50

/* ---- locks, marks, ids ---- */

static void a_lock_that_cannot_be_made_is_none(void **state)
{
    static const char *const calls[] = {"pthread_mutexattr_init", "pthread_mutexattr_setpshared",
                                        "pthread_mutexattr_setrobust", "pthread_mutexattr_settype",
                                        "pthread_mutex_init"};
    lsi_lock lock;

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const char *const one[] = {calls[i], NULL};

        failing_at(one, 1, ENOMEM);
        assert_int_equal(lsi_lock_init(&lock), -ENOMEM);
        assert_string_equal(failing_end(), calls[i]);
    }
    assert_int_equal(lsi_lock_init(&lock), 0);
    assert_int_equal(lsi_lock_try(&lock, LSI_RANK_LOCAL), LSI_LOCKED);
    lsi_lock_release(&lock, LSI_RANK_LOCAL);
}

/* Whether a child of this process, too, is told that the mark is its own. */
static bool is_the_childs_too(const lsi_fork_mark *mark)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(lsi_fork_mark_is_mine(mark) ? 1 : 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) != 0;
}

static void *die_with(void *user)
{
    return lsi_lock_try(user, LSI_RANK_LOCAL) == LSI_LOCKED ? user : NULL;
}

/* What such a lock guards is changed by one store: the next holder goes on. */
static void a_lock_of_a_thread_that_ended_is_held_again(void **state)
{
    pthread_t thread;
    lsi_lock lock;
    void *had;

    (void)state;
    SKIP_UNLESS(has_robust_locks);
    assert_int_equal(lsi_lock_init(&lock), 0);
    assert_int_equal(pthread_create(&thread, NULL, die_with, &lock), 0);
    assert_int_equal(pthread_join(thread, &had), 0);
    assert_non_null(had);
    lsi_lock_hold(&lock, LSI_RANK_LOCAL);
    lsi_lock_release(&lock, LSI_RANK_LOCAL);
    assert_int_equal(lsi_lock_try(&lock, LSI_RANK_LOCAL), LSI_LOCKED);
    lsi_lock_release(&lock, LSI_RANK_LOCAL);
}

/* Where the kernel refuses to sleep on a word, its sleepers look again every 10 ms, and are still told apart. */
static void sleepers_whom_the_kernel_refuses_look_again(void **state)
{
    static const struct {
        int err; /* of the futex */
        int nap; /* of the sleep instead */
        int64_t timeout_us;
        lsi_sleep_result wanted;
    } sleeps[] = {
        {EAGAIN, 0, 1000, LSI_WOKEN},
        {EINTR, 0, 1000, LSI_INTERRUPTED},
        {ETIMEDOUT, 0, 1000, LSI_SLEPT_OUT},
        {ETIMEDOUT, 0, INT64_C(7200000000), LSI_WOKEN}, /* an hour of it */
        {ETIMEDOUT, 0, -1, LSI_WOKEN},
        {EFAULT, 0, 1000, LSI_SLEPT_OUT},
        {EFAULT, 0, 1000000, LSI_WOKEN},
        {EFAULT, 0, -1, LSI_WOKEN},
        {EFAULT, EINTR, 1000, LSI_INTERRUPTED},
    };
    static const char *const calls[] = {"futex", "clock_nanosleep", NULL};
    _Atomic uint32_t word = 5;

    (void)state;
    for (size_t i = 0; i < sizeof sleeps / sizeof *sleeps; i++) {
        const char *last = sleeps[i].nap != 0 ? "clock_nanosleep" : "futex";

        failing_at(calls, 1, sleeps[i].err);
        failing_then(sleeps[i].nap);
        if (lsi_word_sleep(&word, 5, sleeps[i].timeout_us) != sleeps[i].wanted)
            fail_msg("sleep %zu", i);
        assert_string_equal(failing_end(), last);
    }
    assert_int_equal(lsi_word_sleep(&word, 4, -1), LSI_WOKEN);
}

/* P9: also where the kernel cannot wipe a page for us. */
static void a_child_is_told_apart_by_any_kernel(void **state)
{
    static const char *const maps[] = {"mmap", NULL}, *const advice[] = {"madvise", NULL};

    (void)state;
    failing_at(maps, 1, ENOMEM);
    assert_null(lsi_fork_mark_new());
    assert_string_equal(failing_end(), "mmap");
    for (unsigned nth = 0; nth <= 1; nth++) {
        lsi_fork_mark *mark, *other;

        failing_at(advice, nth, EINVAL);
        mark = lsi_fork_mark_new();
        assert_int_equal(failing_end() != NULL, nth);
        assert_non_null(mark);
        other = lsi_fork_mark_new();
        assert_non_null(other);
        assert_true(lsi_fork_mark_is_mine(mark));
        assert_false(is_the_childs_too(mark));
        assert_true(lsi_fork_mark_is_mine(mark));
        lsi_fork_mark_free(other);
        assert_false(is_the_childs_too(mark));
        lsi_fork_mark_free(mark);
    }
}

/* P10: an id of zeros is believed by nobody; one that is not whole would be believed. */
static void a_boot_without_an_id_has_zeros(void **state)
{
    static const char *const opens[] = {"open", NULL}, *const reads[] = {"read", NULL};
    static const unsigned char none[16];
    unsigned char real[16], id[16];

    (void)state;
    lsi_boot_id(real);
    assert_memory_not_equal(real, none, 16);
    failing_at(opens, 1, EACCES);
    lsi_boot_id(id);
    assert_non_null(failing_end());
    assert_memory_equal(id, none, 16);
    failing_at(reads, 1, EIO);
    lsi_boot_id(id);
    assert_non_null(failing_end());
    assert_memory_equal(id, none, 16);
    failing_answer.is_short = true; /* one digit */
    lsi_boot_id(id);
    failing_answer.is_short = false;
    assert_memory_equal(id, none, 16);
    for (int i = 0; i < 2; i++) {
        failing_at(i == 0 ? opens : reads, 1, EINTR);
        lsi_boot_id(id);
        assert_non_null(failing_end());
        assert_memory_equal(id, real, 16);
    }
}

/* Where the kernel gives none, they differ all the same; each number comes whole, whatever the kernel gives of it. */
static void random_numbers_differ_without_the_kernel(void **state)
{
    static const char *const calls[] = {"getrandom", NULL};
    static const int errs[] = {0, EINTR, ENOSYS, EPERM};
    unsigned char of[8][24];
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    for (size_t i = 0; i < 8; i++) {
        memset(of[i], 0, sizeof of[i]);
        failing_at(calls, 1, errs[i / 2]);
        env.random(env.clock.user, of[i], 23);
        assert_string_equal(failing_end(), "getrandom");
        assert_int_equal(of[i][23], 0);
        for (size_t j = 0; j < 3; j++) {
            static const unsigned char none[7];

            assert_memory_not_equal(of[i] + 8 * j, none, 7);
        }
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(of[i], of[j], 23);
    }
}

/* ---- threads, descriptors ---- */

static void count(void *user)
{
    ++*(int *)user;
}

/* An application's signal does not end the wait for what is on the starter's stack. */
static void a_thread_that_cannot_begin_runs_nothing(void **state)
{
    static const char *const calls[] = {"sem_init", "pthread_create"}, *const waits[] = {"sem_wait", NULL};
    int ran = 0;
    lsi_thread thread;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *const one[] = {calls[i], NULL};

        failing_at(one, 1, EAGAIN);
        assert_int_equal(lsi_thread_start(&thread, "none", count, &ran), -EAGAIN);
        assert_string_equal(failing_end(), calls[i]);
        lsi_thread_join(&thread); /* There is none. */
        assert_int_equal(ran, 0);
    }
    failing_at(waits, 1, EINTR);
    assert_int_equal(lsi_thread_start(&thread, "one", count, &ran), 0);
    assert_string_equal(failing_end(), "sem_wait");
    lsi_thread_join(&thread);
    lsi_thread_join(&thread); /* It is over. */
    assert_int_equal(ran, 1);
}

static void a_raised_descriptor_stays_raised_through_signals(void **state)
{
    static const char *const makes[] = {"eventfd", NULL}, *const writes[] = {"write", NULL};
    static const char *const reads[] = {"read", NULL};
    uint64_t times = 0;
    int fd;

    (void)state;
    failing_at(makes, 1, EMFILE);
    assert_int_equal(lsi_event_fd_open(), -EMFILE);
    assert_non_null(failing_end());
    fd = lsi_event_fd_open();
    assert_true(fd >= 0);
    failing_at(writes, 1, EINTR);
    errno = 77;
    lsi_event_fd_raise(fd);
    assert_non_null(failing_end());
    assert_int_equal(errno, 77);
    assert_int_equal(read(fd, &times, sizeof times), sizeof times);
    assert_int_equal(times, 1);
    lsi_event_fd_raise(fd);
    failing_at(reads, 1, EINTR);
    errno = 77;
    lsi_event_fd_lower(fd);
    lsi_event_fd_lower(fd);
    assert_non_null(failing_end());
    assert_int_equal(errno, 77);
    assert_int_equal(read(fd, &times, sizeof times), -1);
    lsi_event_fd_close(fd);
}

/* ---- files in memory ---- */

#define MAPPED_MAX (UINT64_C(1) << 40) /* above what a file that is mapped may have */

static void a_table_of_files_that_cannot_be_made_is_none(void **state)
{
    static const char *const calls[] = {"mmap", "pthread_mutex_init"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *const one[] = {calls[i], NULL};

        failing_at(one, 1, ENOMEM);
        assert_null(lsi_files_memory_new(&lsi_memory_libc));
        assert_string_equal(failing_end(), calls[i]);
    }
}

/* As the system's: what no file can have, and what there is no room for. What was there stays. */
static void what_files_in_memory_cannot_hold_is_refused(void **state)
{
    static const char *const maps[] = {"mmap", NULL}, *const protects[] = {"mprotect", NULL};
    const uint64_t most = INT64_MAX;
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_span much = {"x", SIZE_MAX - 7}, little = {"text", 4};
    lsi_file file = {0};
    char text[8] = "";
    void *map = NULL;
    lsi_root root;

    (void)state;
    assert_non_null(files);
    assert_int_equal(files->root_open(files, "r", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->open(&root, "f", LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(files->write(&file, &little, 1, 0), 0);
    assert_int_equal(files->write(&file, &little, 1, most + 1), -EINVAL);
    assert_int_equal(files->write(&file, &little, 1, most - 3), -EFBIG);
    assert_int_equal(files->write(&file, &much, 1, 0), -EFBIG);
    assert_int_equal(files->allocate(&file, most + 1, 1), -EFBIG);
    assert_int_equal(files->allocate(&file, most, 1), -EFBIG);
    assert_int_equal(files->truncate(&file, most + 1), -EINVAL);
    assert_int_equal(files->map(&file, 0, 0, false, &map), -EINVAL);
    assert_int_equal(files->map(&file, MAPPED_MAX, 1, false, &map), -ENOMEM);
    assert_int_equal(files->map(&file, 0, MAPPED_MAX, false, &map), -ENOMEM);
    for (int i = 0; i < 2; i++) {
        failing_at(i == 0 ? maps : protects, 1, ENOMEM);
        assert_int_equal(files->map(&file, 0, 4, true, &map), -ENOMEM);
        assert_non_null(failing_end());
    }
    assert_null(map);
    assert_int_equal(files->map(&file, 0, 4, true, &map), 0);
    failing_at(protects, 1, ENOMEM);
    assert_int_equal(files->truncate(&file, 1 << 20), -ENOSPC);
    assert_non_null(failing_end());
    assert_int_equal(files->truncate(&file, MAPPED_MAX), -EFBIG);
    assert_int_equal(files->read(&file, text, 8, 0), 4);
    assert_string_equal(text, "text");
    assert_memory_equal(map, "text", 4);
    files->unmap(&file, map, 4);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
    lsi_files_memory_free(files);
}

/* ---- keys and ciphers ---- */

#define SECRET "nobody is to see this"

static ls_status make_random(void)
{
    unsigned char bytes[16];

    return lsi_crypto_random(bytes, sizeof bytes);
}

static ls_status make_sum(void)
{
    unsigned char sum[LSI_SHA256_BYTES];

    return lsi_sha256("x", 1, sum);
}

static ls_status make_hmac(void)
{
    unsigned char sum[LSI_SHA256_BYTES];

    return lsi_hmac_sha256("k", 1, "x", 1, sum);
}

static ls_status derive(void)
{
    lsi_key *from, *key = NULL;
    ls_status st = lsi_key_new(&from);

    if (st != LS_OK)
        return st;
    memset(lsi_key_bytes(from), 'k', LSI_KEY_BYTES);
    st = lsi_key_derive(from, "salt", 4, "info", 4, &key);
    assert_int_equal(st == LS_OK, key != NULL);
    lsi_key_free(key);
    lsi_key_free(from);
    return st;
}

/* What was not shown to be right is zeros. */
static ls_status seal_and_open(void)
{
    static const unsigned char nonce[LSI_NONCE_BYTES] = "a nonce";
    unsigned char sealed[sizeof SECRET], opened[sizeof SECRET], tag[LSI_TAG_BYTES];
    lsi_cipher *cipher = NULL;
    bool is_right = true;
    lsi_key *key = NULL;
    ls_status st = lsi_cipher_open(&lsi_memory_libc, &cipher);

    memset(opened, 'x', sizeof opened);
    if (st == LS_OK)
        st = lsi_key_new(&key);
    if (st == LS_OK)
        st = lsi_cipher_seal(cipher, key, nonce, "bound", 5, SECRET, sizeof SECRET, sealed, tag);
    if (st == LS_OK) {
        static const unsigned char none[sizeof SECRET];

        st = lsi_cipher_unseal(cipher, key, nonce, "bound", 5, sealed, sizeof sealed, opened, tag, &is_right);
        assert_int_equal(is_right, st == LS_OK);
        assert_memory_equal(opened, st == LS_OK ? (const void *)SECRET : none, sizeof opened);
    }
    lsi_key_free(key);
    lsi_cipher_close(cipher);
    return st;
}

/* Signs, and finds its own signature right. */
static ls_status sign_and_verify(void)
{
    static const lsi_sigv4_header headers[] = {{"Host", "h"}, {"X-Amz-Date", "20260101T000000Z"}};
    static const lsi_sigv4_key key = {"id", SECRET, "region", "service"};
    char hash[LSI_SIGV4_HASH_BYTES], *signature = NULL;
    lsi_sigv4_request request = {"POST", "/", NULL, headers, 2, hash};
    lsi_sigv4_claim claim;
    bool is_right = false;
    ls_status st = lsi_sigv4_hash("payload", 7, hash);

    if (st == LS_OK)
        st = lsi_sigv4_sign(&lsi_memory_libc, &key, headers[1].value, &request, &signature);
    if (st == LS_OK) {
        assert_true(lsi_sigv4_claim_read(signature, &claim));
        st = lsi_sigv4_verify(&lsi_memory_libc, &claim, SECRET, headers[1].value, &request, &is_right);
        assert_int_equal(is_right, st == LS_OK);
    }
    lsi_free(&lsi_memory_libc, signature);
    return st;
}

static void what_libcrypto_cannot_do_is_told(void **state)
{
    static ls_status (*const acts[])(void) = {make_random, make_sum, make_hmac, derive, seal_and_open,
                                             sign_and_verify};
    unsigned met = 0;

    (void)state;
    if (!lsi_crypto_is_built())
        skip();
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (unsigned nth = 1; nth < CALLS_MAX; nth++) {
            const char *failed;
            ls_status st;

            failing_at(NULL, nth, ENOMEM);
            st = acts[i]();
            failed = failing_end();
            if (failed == NULL) {
                assert_int_equal(st, LS_OK);
                break;
            }
            met++;
            if (st != LS_ERR_NO_MEMORY)
                fail_msg("%zu: %s fails: %s", i, failed, ls_status_name(st));
        }
    assert_in_range(met, 30, 6 * CALLS_MAX);
    lsi_key_free(NULL);
    lsi_cipher_close(NULL);
}

int main(void)
{
    const struct CMUnitTest processes[] = {
        cmocka_unit_test(a_lock_that_cannot_be_made_is_none),
        cmocka_unit_test(a_lock_of_a_thread_that_ended_is_held_again),
        cmocka_unit_test(sleepers_whom_the_kernel_refuses_look_again),
        cmocka_unit_test(a_child_is_told_apart_by_any_kernel),
        cmocka_unit_test(a_boot_without_an_id_has_zeros),
        cmocka_unit_test(random_numbers_differ_without_the_kernel),
    };
    const struct CMUnitTest threads[] = {
        cmocka_unit_test(a_thread_that_cannot_begin_runs_nothing),
        cmocka_unit_test(a_raised_descriptor_stays_raised_through_signals),
    };
    const struct CMUnitTest memory[] = {
        cmocka_unit_test(a_table_of_files_that_cannot_be_made_is_none),
        cmocka_unit_test(what_files_in_memory_cannot_hold_is_refused),
    };
    const struct CMUnitTest crypto[] = {
        cmocka_unit_test(what_libcrypto_cannot_do_is_told),
    };
    int failed = cmocka_run_group_tests_name("locks, marks, ids", processes, NULL, NULL);

    failed += cmocka_run_group_tests_name("threads, descriptors", threads, NULL, NULL);
    failed += cmocka_run_group_tests_name("files in memory", memory, NULL, NULL);
    return failed + cmocka_run_group_tests_name("keys and ciphers", crypto, NULL, NULL);
}
