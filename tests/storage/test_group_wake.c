/* Who waits for a group commit is woken by whoever syncs next. There is a moment in which he may be forgotten: a leader
 * has told that he is ready, by sync_word, and has not yet asked whether somebody sleeps. Who comes in that moment has
 * seen the new word, finds another leader at work, says that he sleeps, and is asked before he does. Then he must not
 * sleep on that word: the other leader would find nobody to wake, and he would sleep until his time is over.
 *
 * Method: a child commits, and is stepped through instruction by instruction until sync_word has changed. Then the
 * parent does to the slot what one who comes does, and lets the child go on. */
#include "storage/log_store.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/temp.h"

#define STEPS_MAX 3000000

static void child(void)
{
    log_store store = {0};
    const ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    log_store_open(&store, &lsi_files_system, false, LS_DURABILITY_SYNC, 1 << 20);
    if (lsi_log_append(store.log, store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end, &closed) != LS_OK ||
        ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    (void)raise(SIGSTOP);
    _exit(lsi_log_commit(store.log, end) == LS_OK ? 0 : 1);
}

static void who_comes_between_two_leaders_is_not_forgotten(void **state)
{
    char back[TEMP_PATH_BYTES];
    log_store store = {0};
    temp_dir temp;
    lsi_slot *slot;
    int status;

    (void)state;
    temp_make(&temp);
    assert_non_null(getcwd(back, sizeof back));
    assert_int_equal(chdir(temp.path), 0);
    log_store_open(&store, &lsi_files_system, true, LS_DURABILITY_SYNC, 1 << 20);
    assert_int_equal(log_store_put(&store, 0, 100, &(ls_seqno){0}), LS_OK);
    slot = lsi_log_slot(store.log);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    uint32_t before = atomic_load(&slot->sync_word);
    for (int steps = 0; atomic_load(&slot->sync_word) == before; steps++) {
        assert_true(steps < STEPS_MAX);
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
    }

    /* As commit() and follow() do it. Another leader, who is still at work, has looked already. */
    uint32_t seen = atomic_load(&slot->sync_word);
    atomic_store(&slot->sync_wanted, 1);
    assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(atomic_load(&slot->sync_word) != seen || atomic_load(&slot->sync_wanted) != 0);

    assert_int_equal(log_store_close(&store), LS_OK);
    assert_int_equal(chdir(back), 0);
    temp_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_between_two_leaders_is_not_forgotten),
    };

    return cmocka_run_group_tests_name("waking a group", tests, NULL, NULL);
}
