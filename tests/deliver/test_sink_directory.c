/* What deliver/sink.h promises (K1-K4), asked of the directory sink: on a real directory, and on a simulated disk that
 * fails, dies and loses its power at every call. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "deliver/sink.h"
#include "support/hooked_files.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"
#include "support/still_env.h"
#include "support/temp.h"

#define NAME "2018/08/27/10/object.gz"
#define CONTENT "what was put"

static ls_bytes bytes_of(const char *text)
{
    return (ls_bytes){text, strlen(text)};
}

/* 1: the file is there with `text`; 0: it is not there; -1: it is there with anything else. */
static int look(const lsi_files *files, const char *path, const char *name, const char *text)
{
    lsi_root root;
    void *found;
    size_t size;
    int result;

    if (files->root_open(files, path, 0, &root) != 0)
        return 0;
    result = lsi_file_load(&root, name, 4 << 20, &lsi_memory_libc, &found, &size);
    files->root_close(&root);
    if (result == -ENOENT)
        return 0;
    assert_int_equal(result, 0);
    result = size == strlen(text) && memcmp(found, text, size) == 0 ? 1 : -1;
    lsi_free(&lsi_memory_libc, found);
    return result;
}

static int count_one(void *user, const char *name, bool is_dir)
{
    (void)name;
    *(int *)user += !is_dir;
    return 0;
}

static int files_at_root(const lsi_files *files, const char *path)
{
    lsi_root root;
    int count = 0;

    assert_int_equal(files->root_open(files, path, 0, &root), 0);
    assert_int_equal(files->list(&root, "", count_one, &count), 0);
    files->root_close(&root);
    return count;
}

/* ---- a real directory ---- */

static int set_up(void **state)
{
    static temp_dir temp;

    temp_make(&temp);
    *state = &temp;
    return 0;
}

static int tear_down(void **state)
{
    temp_remove(*state);
    return 0;
}

static lsi_sink *open_in(temp_dir *temp)
{
    lsi_env env;
    lsi_sink *sink = NULL;

    lsi_env_default(&env);
    assert_int_equal(lsi_sink_directory_open(&env, &lsi_files_system, temp_path(temp, "out"), NULL, &sink), LS_OK);
    return sink;
}

static void an_object_is_a_file_of_its_name(void **state)
{
    lsi_sink *sink = open_in(*state);
    lsi_put_hope hope;

    assert_int_equal(sink->ops->put(sink, NAME, bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(sink->ops->put(sink, "flat", bytes_of("at the root"), &hope), LS_OK);
    assert_int_equal(sink->ops->put(sink, "2018/08/27/10/empty", bytes_of(""), &hope), LS_OK);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), NAME, CONTENT), 1);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "flat", "at the root"), 1);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "2018/08/27/10/empty", ""), 1);
    assert_int_equal(files_at_root(&lsi_files_system, temp_path(*state, "out")), 1);
    lsi_sink_close(sink);
    lsi_sink_close(NULL);
}

static void a_name_that_is_there_is_not_written_over(void **state)
{
    lsi_sink *sink = open_in(*state), *other = open_in(*state);
    lsi_put_hope hope;

    assert_int_equal(sink->ops->put(sink, NAME, bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(sink->ops->put(sink, NAME, bytes_of("later"), &hope), LS_OK);
    assert_int_equal(other->ops->put(other, NAME, bytes_of("another's"), &hope), LS_OK);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), NAME, CONTENT), 1);
    assert_int_equal(files_at_root(&lsi_files_system, temp_path(*state, "out")), 0);
    lsi_sink_close(sink);
    lsi_sink_close(other);
}

static void names_that_no_file_can_have_are_refused(void **state)
{
    lsi_sink *sink = open_in(*state);
    char part[300], name[LSI_OBJECT_NAME_MAX + 2];
    lsi_put_hope hope = LSI_PUT_LATER;

    memset(part, 'a', sizeof part);
    part[256] = '\0';
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 100 == 99 ? '/' : 'b';
    name[sizeof name - 1] = '\0';
    const char *const bad[] = {"../outside", "/etc/x", "a//b", "", "a/", ".", part, name};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hope = LSI_PUT_LATER;
        assert_false(lsi_sink_directory_takes(bad[i]));
        assert_int_equal(sink->ops->put(sink, bad[i], bytes_of(CONTENT), &hope), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(hope, LSI_PUT_NEVER);
    }
    part[255] = '\0';
    assert_true(lsi_sink_directory_takes(part));
    assert_int_equal(sink->ops->put(sink, part, bytes_of(CONTENT), &hope), LS_OK);
    lsi_sink_close(sink);
}

/* A directory of that name is no twin. Nor is anything else that is no file; a link is what somebody made of it. */
static void what_is_no_file_is_no_twin(void **state)
{
    lsi_sink *sink = open_in(*state);
    lsi_put_hope hope = LSI_PUT_NEVER;

    assert_int_equal(mkdir(temp_path(*state, "out/empty"), 0700), 0);
    assert_int_equal(mkfifo(temp_path(*state, "out/fifo"), 0700), 0);
    assert_int_equal(symlink("/nowhere", temp_path(*state, "out/link")), 0);
    assert_int_not_equal(sink->ops->put(sink, "empty", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_ELSEWHERE);
    hope = LSI_PUT_NEVER;
    assert_int_not_equal(sink->ops->put(sink, "fifo", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_ELSEWHERE);
    assert_int_equal(sink->ops->put(sink, "link", bytes_of(CONTENT), &hope), LS_OK);
    lsi_sink_close(sink);
}

static void what_waiting_does_not_mend_is_said(void **state)
{
    lsi_sink *sink = open_in(*state);
    lsi_put_hope hope;

    assert_int_equal(sink->ops->put(sink, "a", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_not_equal(sink->ops->put(sink, "a/b", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_ELSEWHERE); /* A file stands where a directory is to be. */
    assert_non_null(strstr(ls_last_error_message(), "a/b"));
    lsi_sink_close(sink);
}

static void a_directory_that_was_removed_is_made_again(void **state)
{
    lsi_sink *sink = open_in(*state);
    lsi_put_hope hope = LSI_PUT_NEVER;

    assert_int_equal(sink->ops->put(sink, "d/a", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(unlink(temp_path(*state, "out/d/a")), 0);
    assert_int_equal(rmdir(temp_path(*state, "out/d")), 0);
    assert_int_not_equal(sink->ops->put(sink, "d/b", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_LATER);
    assert_int_equal(sink->ops->put(sink, "d/b", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "d/b", CONTENT), 1);
    lsi_sink_close(sink);
}

static void a_root_that_was_removed_is_made_again(void **state)
{
    lsi_sink *sink = open_in(*state);
    lsi_put_hope hope = LSI_PUT_NEVER;

    assert_int_equal(sink->ops->put(sink, "d/a", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(unlink(temp_path(*state, "out/d/a")), 0);
    assert_int_equal(rmdir(temp_path(*state, "out/d")), 0);
    assert_int_equal(rmdir(temp_path(*state, "out")), 0);
    assert_int_not_equal(sink->ops->put(sink, "d/b", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_LATER);
    assert_int_equal(sink->ops->put(sink, "d/b", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "d/b", CONTENT), 1);
    lsi_sink_close(sink);
}

typedef struct watched {
    temp_dir *temp;
    int renames;
    bool is_full;      /* one write fails, */
    int writes_before; /* behind so many */
    bool another_puts; /* behind the next rename */
} watched;

static int before_call(void *user, const hook_event *event)
{
    watched *of = user;
    bool is_full = of->is_full && event->call == HOOK_WRITE && of->writes_before-- == 0;

    of->is_full = of->is_full && !is_full;
    return is_full ? -ENOSPC : 0;
}

static void after_call(void *user, const hook_event *event)
{
    watched *of = user;
    lsi_put_hope hope;
    lsi_sink *sink;

    if (event->call != HOOK_RENAME)
        return;
    of->renames++;
    if (!of->another_puts)
        return;
    of->another_puts = false;
    sink = open_in(of->temp);
    assert_int_equal(sink->ops->put(sink, "d/e/third", bytes_of(CONTENT), &hope), LS_OK);
    lsi_sink_close(sink);
}

static lsi_sink *open_watched(watched *of, hooked_files *hooked, _Atomic bool *doubt)
{
    lsi_env env;
    lsi_sink *sink = NULL;

    lsi_env_default(&env);
    hooked_files_init(hooked, before_call, after_call, of);
    assert_int_equal(lsi_sink_directory_open(&env, &hooked->table, temp_path(of->temp, "out"), doubt, &sink), LS_OK);
    return sink;
}

/* A full disk puts no name in doubt: nothing that was delivered is moved. */
static void what_is_there_stays_where_it_is_on_a_full_disk(void **state)
{
    watched of = {.temp = *state};
    hooked_files hooked;
    lsi_sink *sink = open_watched(&of, &hooked, NULL);
    lsi_put_hope hope = LSI_PUT_NEVER;

    assert_int_equal(sink->ops->put(sink, "d/first", bytes_of(CONTENT), &hope), LS_OK);
    of.renames = 0;
    of.is_full = true;
    assert_int_not_equal(sink->ops->put(sink, "d/second", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_LATER);
    assert_int_equal(of.renames, 0);
    assert_int_equal(sink->ops->put(sink, "d/second", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(of.renames, 1);
    lsi_sink_close(sink);
}

/* Goal: the device writes an object while it is still copied, and the object is whole, whatever its size. */
#define PIECE ((size_t)1 << 20)
static struct { uint64_t end; bool is_synced; } begun;

static void note_writeback(const lsi_file *file, uint64_t at, uint64_t size)
{
    (void)file;
    assert_false(begun.is_synced);
    assert_int_equal(at, begun.end);
    begun.end = at + size;
}

static int note_sync(const lsi_file *file, bool data_only)
{
    begun.is_synced = true;
    return lsi_files_system.sync(file, data_only);
}

static void a_large_object_begins_its_way_to_the_device_before_it_is_synced(void **state)
{
    static const size_t sizes[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + PIECE / 2};
    static char text[3 * PIECE];
    lsi_files files = lsi_files_system;
    lsi_sink *sink = NULL;
    char name[32];
    lsi_put_hope hope;
    lsi_env env;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * 7 / PIECE + i % 11); /* no piece is like another */
    files.start_writeback = note_writeback;
    files.sync = note_sync;
    lsi_env_default(&env);
    assert_int_equal(lsi_sink_directory_open(&env, &files, temp_path(*state, "out"), NULL, &sink), LS_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char after = text[sizes[i]];

        begun.end = 0;
        begun.is_synced = false;
        text[sizes[i]] = '\0';
        (void)snprintf(name, sizeof name, "d/%zu", sizes[i]);
        assert_int_equal(sink->ops->put(sink, name, bytes_of(text), &hope), LS_OK);
        assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), name, text), 1);
        text[sizes[i]] = after;
        assert_true(begun.is_synced);
        assert_true(begun.end <= sizes[i] && sizes[i] - begun.end <= PIECE); /* The sync does the rest. */
    }
    lsi_sink_close(sink);
}

static void a_large_object_that_fails_in_its_middle_is_not_there(void **state)
{
    static char text[3 * PIECE + 1];
    watched of = {.temp = *state};
    hooked_files hooked;
    lsi_sink *sink = open_watched(&of, &hooked, NULL);
    lsi_put_hope hope;

    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 3; i++) {
        of.writes_before = i;
        of.is_full = true;
        assert_int_not_equal(sink->ops->put(sink, "d/large", bytes_of(text), &hope), LS_OK);
        assert_int_equal(hope, LSI_PUT_LATER);
        assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "d/large", text), 0);
        assert_int_equal(files_at_root(&lsi_files_system, temp_path(*state, "out")), 0);
    }
    assert_int_equal(sink->ops->put(sink, "d/large", bytes_of(text), &hope), LS_OK);
    assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), "d/large", text), 1);
    lsi_sink_close(sink);
}

/* W5: another run makes the directory anew while it is away. */
static void a_directory_that_is_made_anew_meanwhile_has_all(void **state)
{
    static const char *const names[] = {"d/e/first", "d/e/second", "d/e/third"};
    _Atomic bool doubt = false;
    watched of = {.temp = *state};
    hooked_files hooked;
    lsi_sink *sink = open_watched(&of, &hooked, &doubt);
    lsi_put_hope hope;

    assert_int_equal(sink->ops->put(sink, names[0], bytes_of(CONTENT), &hope), LS_OK);
    lsi_sink_close(sink);
    doubt = true; /* As after a sync that failed. */
    of.another_puts = true;
    sink = open_watched(&of, &hooked, &doubt);
    assert_int_equal(sink->ops->put(sink, names[1], bytes_of(CONTENT), &hope), LS_OK);
    assert_false(of.another_puts);
    lsi_sink_close(sink);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(look(&lsi_files_system, temp_path(*state, "out"), names[i], CONTENT), 1);
}

static void a_directory_that_cannot_be_is_told(void **state)
{
    lsi_env env;
    lsi_sink *sink = NULL;

    lsi_env_default(&env);
    assert_int_not_equal(lsi_sink_directory_open(&env, &lsi_files_system, temp_path(*state, "no/out"), NULL, &sink),
                         LS_OK);
    assert_null(sink);
    assert_non_null(strstr(ls_last_error_message(), "no/out"));
}

/* W3: a file is planted as a dead one leaves it, another is a living one's, whose lock is held. */
static void what_the_dead_left_is_removed_and_what_the_living_write_is_not(void **state)
{
    lsi_file held = {0};
    lsi_root root;
    const lsi_files *files = &lsi_files_system;

    lsi_sink_close(open_in(*state));
    assert_int_equal(files->root_open(files, temp_path(*state, "out"), LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(lsi_file_make(&root, ".libstream-0123456789abcdef.tmp", "half", 4), 0);
    assert_int_equal(lsi_file_make(&root, ".libstream-somebody.tmp", "whole", 5), 0);
    assert_int_equal(files->open(&root, ".libstream-fedcba9876543210.tmp",
                                 LSI_OPEN_WRITE | LSI_OPEN_CREATE, &held), 0);
    assert_int_equal(files->lock(&held, 0, LSI_LOCK_EXCLUSIVE), 0);
    lsi_sink_close(open_in(*state));
    assert_int_equal(look(files, temp_path(*state, "out"), ".libstream-0123456789abcdef.tmp", ""), 0);
    assert_int_equal(look(files, temp_path(*state, "out"), ".libstream-somebody.tmp", "whole"), 1);
    assert_int_equal(look(files, temp_path(*state, "out"), ".libstream-fedcba9876543210.tmp", ""), 1);
    (void)files->close(&held);
    files->root_close(&root);
}

/* ---- a simulated disk ---- */

typedef struct putting {
    sim_files *sim;
    ls_status st;
    sim_memory *memory; /* what it allocates, when it may be killed */
    _Atomic bool *doubt;
} putting;

static void put_two(void *user)
{
    putting *of = user;
    still_env env;
    lsi_sink *sink = NULL;
    lsi_put_hope hope;

    still_env_make(&env, sim_files_table(of->sim), 1);
    if (of->memory != NULL)
        env.env.memory = sim_memory_table(of->memory);
    of->st = lsi_sink_directory_open(&env.env, env.env.files, "out", of->doubt, &sink);
    if (of->st == LS_OK)
        of->st = sink->ops->put(sink, "d/first", bytes_of("the first"), &hope);
    if (of->st == LS_OK)
        of->st = sink->ops->put(sink, NAME, bytes_of(CONTENT), &hope);
    lsi_sink_close(sink);
}

/* Rights that are missing: on the way to the name, another one may do; for everything, none does. */
static void rights_that_are_missing_are_of_a_name_or_of_all(void **state)
{
    sim_files *sim = sim_files_new();
    lsi_put_hope hope = LSI_PUT_LATER;
    lsi_sink *sink = NULL;
    still_env env;

    (void)state;
    still_env_make(&env, sim_files_table(sim), 1);
    assert_int_equal(lsi_sink_directory_open(&env.env, env.env.files, "out", NULL, &sink), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_MAKE_DIR, .nth = 1, .err = EACCES, .sticky = true});
    assert_int_equal(sink->ops->put(sink, "d/a", bytes_of(CONTENT), &hope), LS_ERR_READ_ONLY);
    assert_int_equal(hope, LSI_PUT_ELSEWHERE);
    sim_fault_add(sim, (sim_fault){.call = SIM_OPEN, .nth = 1, .err = EACCES, .sticky = true});
    assert_int_equal(sink->ops->put(sink, "d/a", bytes_of(CONTENT), &hope), LS_ERR_READ_ONLY);
    assert_int_equal(hope, LSI_PUT_NEVER);
    sim_faults_clear(sim);
    lsi_sink_close(sink);
    assert_int_equal(files_at_root(sim_files_table(sim), "out"), 0);
    sim_files_free(sim);
}

/* After a power loss at any moment, whatever the disk made of what was not synced: no name has half an object, and both
 * have theirs once the puts have returned; what is put again then succeeds. */
static void no_power_loss_shows_a_half(void **state)
{
    sim_files *sim = sim_files_new();
    putting of = {sim, LS_OK, NULL, NULL};

    (void)state;
    put_two(&of);
    assert_int_equal(of.st, LS_OK);
    for (size_t prefix = 0; prefix <= sim_log_count(sim); prefix++) {
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 20; seed++) {
            sim_files *after = sim_crash_state(sim, prefix, seed);
            putting again = {after, LS_OK, NULL, NULL};
            bool is_end = prefix == sim_log_count(sim);
            int first = look(sim_files_table(after), "out", "d/first", "the first");
            int second = look(sim_files_table(after), "out", NAME, CONTENT);

            assert_true(first >= is_end && second >= is_end);
            put_two(&again);
            assert_int_equal(again.st, LS_OK);
            assert_int_equal(look(sim_files_table(after), "out", NAME, CONTENT), 1);
            assert_int_equal(files_at_root(sim_files_table(after), "out"), 0);
            sim_files_free(after);
        }
    }
    sim_files_free(sim);
}

/* Each call fails, or the process dies at it: no half is seen, and the next one delivers both. A failure that says OK
 * has done it. */
static void no_failure_and_no_death_shows_a_half(void **state)
{
    static const int errs[] = {EIO, ENOSPC, EMFILE, 0};
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth++) {
        has_met = false;
        for (size_t i = 0; i < sizeof errs / sizeof errs[0]; i++) {
            sim_files *sim = sim_files_new();
            sim_memory memory = SIM_MEMORY_INIT;
            putting of = {sim, LS_OK, &memory, NULL};
            bool was_killed;

            sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = errs[i], .kill = errs[i] == 0,
                                           .short_bytes = 3});
            was_killed = sim_run(sim, put_two, &of);
            if (was_killed)
                sim_memory_bury(&memory);
            assert_int_equal(memory.live, 0);
            has_met = has_met || sim_faults_met(sim) != 0;
            sim_faults_clear(sim);
            assert_true(look(sim_files_table(sim), "out", "d/first", "the first") >= 0);
            assert_true(look(sim_files_table(sim), "out", NAME, CONTENT) >= (of.st == LS_OK && !was_killed));
            of.memory = NULL;
            put_two(&of);
            assert_int_equal(of.st, LS_OK);
            assert_int_equal(look(sim_files_table(sim), "out", "d/first", "the first"), 1);
            assert_int_equal(look(sim_files_table(sim), "out", NAME, CONTENT), 1);
            assert_int_equal(files_at_root(sim_files_table(sim), "out"), 0);
            sim_files_free(sim);
        }
    }
}

/* W5: a sync of a directory fails, so nothing of what it should have made durable may be trusted; the sink that is
 * opened next in this process knows that, and says OK only of what stays. */
static void a_name_in_doubt_stays_in_doubt_for_the_next_sink(void **state)
{
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth++) {
        sim_files *sim = sim_files_new(), *after;
        _Atomic bool doubt = false;
        putting of = {sim, LS_OK, NULL, &doubt};

        sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = nth, .err = EIO});
        put_two(&of);
        has_met = sim_faults_met(sim) != 0;
        assert_int_equal(of.st, has_met ? LS_ERR_IO : LS_OK);
        assert_int_equal(doubt, has_met);
        sim_faults_clear(sim);
        put_two(&of);
        assert_int_equal(of.st, LS_OK);
        after = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
        assert_int_equal(look(sim_files_table(after), "out", "d/first", "the first"), 1);
        assert_int_equal(look(sim_files_table(after), "out", NAME, CONTENT), 1);
        sim_files_free(after);
        sim_files_free(sim);
    }
}

static void put_third(void *user)
{
    putting *of = user;
    still_env env;
    lsi_sink *sink = NULL;
    lsi_put_hope hope;

    still_env_make(&env, sim_files_table(of->sim), 2);
    if (of->memory != NULL)
        env.env.memory = sim_memory_table(of->memory);
    of->st = lsi_sink_directory_open(&env.env, env.env.files, "out", of->doubt, &sink);
    if (of->st == LS_OK)
        of->st = sink->ops->put(sink, "2018/08/third", bytes_of("the third"), &hope);
    lsi_sink_close(sink);
}

static int count_ours(void *user, const char *name, bool is_dir)
{
    (void)is_dir;
    *(int *)user += strncmp(name, ".libstream-", 11) == 0;
    return 0;
}

/* Another process opens it, without a doubt. */
static void all_three_are_there_again(sim_files *sim, bool has_third)
{
    const lsi_files *files = sim_files_table(sim);
    putting next = {sim, LS_OK, NULL, NULL};
    lsi_root root;
    int ours = 0;

    if (has_third)
        assert_int_equal(look(files, "out", "2018/08/third", "the third"), 1);
    put_third(&next);
    assert_int_equal(next.st, LS_OK);
    assert_int_equal(look(files, "out", "d/first", "the first"), 1);
    assert_int_equal(look(files, "out", NAME, CONTENT), 1);
    assert_int_equal(look(files, "out", "2018/08/third", "the third"), 1);
    assert_int_equal(files->root_open(files, "out", 0, &root), 0);
    assert_int_equal(files->list(&root, "", count_ours, &ours), 0);
    files->root_close(&root);
    assert_int_equal(ours, 0);
}

/* W7: directories in doubt are moved away and back; whoever is killed, fails or loses power in between, what was
 * delivered has its names again once the directory was opened anew. */
static void a_directory_that_is_away_is_brought_back(void **state)
{
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth++) {
        for (int is_killed = 0; is_killed < 2; is_killed++) {
            sim_files *sim = sim_files_new();
            sim_memory memory = SIM_MEMORY_INIT;
            _Atomic bool doubt = false;
            putting of = {sim, LS_OK, NULL, &doubt};
            size_t first;

            put_two(&of);
            assert_int_equal(of.st, LS_OK);
            first = sim_log_count(sim);
            doubt = true;
            of.memory = &memory;
            sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = is_killed != 0 ? 0 : EIO,
                                           .kill = is_killed != 0});
            if (sim_run(sim, put_third, &of))
                sim_memory_bury(&memory);
            assert_int_equal(memory.live, 0);
            has_met = sim_faults_met(sim) != 0;
            sim_faults_clear(sim);
            for (size_t prefix = has_met ? sim_log_count(sim) : first; prefix <= sim_log_count(sim); prefix++)
                for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 4; seed++) {
                    sim_files *after = sim_crash_state(sim, prefix, seed);

                    all_three_are_there_again(after, false);
                    sim_files_free(after);
                }
            all_three_are_there_again(sim, of.st == LS_OK && !has_met);
            sim_files_free(sim);
        }
    }
}

/* The same of a sink that lives on. */
static void what_could_not_come_back_comes_back_with_the_next_object(void **state)
{
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth++) {
        sim_files *sim = sim_files_new();
        _Atomic bool doubt = false;
        putting of = {sim, LS_OK, NULL, &doubt};
        lsi_put_hope hope;
        lsi_sink *sink = NULL;
        still_env env;
        ls_status st;

        put_two(&of);
        doubt = true;
        still_env_make(&env, sim_files_table(sim), 2);
        assert_int_equal(lsi_sink_directory_open(&env.env, env.env.files, "out", &doubt, &sink), LS_OK);
        sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = ENOSPC});
        st = sink->ops->put(sink, "2018/08/third", bytes_of("the third"), &hope);
        has_met = sim_faults_met(sim) != 0;
        assert_true(has_met || st == LS_OK);
        sim_faults_clear(sim);
        assert_int_equal(sink->ops->put(sink, "2018/08/third", bytes_of("the third"), &hope), LS_OK);
        assert_int_equal(look(sim_files_table(sim), "out", NAME, CONTENT), 1);
        assert_int_equal(look(sim_files_table(sim), "out", "2018/08/third", "the third"), 1);
        lsi_sink_close(sink);
        sim_files_free(sim);
    }
}

/* A file where a directory is to be stays where it is, in doubt, too. */
static void a_file_in_the_way_is_not_moved(void **state)
{
    _Atomic bool doubt = true;
    watched of = {.temp = *state};
    hooked_files hooked;
    lsi_sink *sink = open_watched(&of, &hooked, &doubt);
    lsi_put_hope hope = LSI_PUT_NEVER;

    assert_int_equal(sink->ops->put(sink, "README", bytes_of(CONTENT), &hope), LS_OK);
    of.renames = 0;
    assert_int_not_equal(sink->ops->put(sink, "README/object", bytes_of(CONTENT), &hope), LS_OK);
    assert_int_equal(hope, LSI_PUT_ELSEWHERE);
    assert_int_equal(of.renames, 0);
    lsi_sink_close(sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_object_is_a_file_of_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_there_is_not_written_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_no_file_can_have_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_no_twin, set_up, tear_down),
        cmocka_unit_test(rights_that_are_missing_are_of_a_name_or_of_all),
        cmocka_unit_test_setup_teardown(what_waiting_does_not_mend_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_was_removed_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_root_that_was_removed_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_stays_where_it_is_on_a_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_object_begins_its_way_to_the_device_before_it_is_synced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_object_that_fails_in_its_middle_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_is_made_anew_meanwhile_has_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_dead_left_is_removed_and_what_the_living_write_is_not, set_up,
                                        tear_down),
        cmocka_unit_test(no_power_loss_shows_a_half),
        cmocka_unit_test(no_failure_and_no_death_shows_a_half),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_is_not_moved, set_up, tear_down),
        cmocka_unit_test(a_directory_that_is_away_is_brought_back),
        cmocka_unit_test(what_could_not_come_back_comes_back_with_the_next_object),
        cmocka_unit_test(a_name_in_doubt_stays_in_doubt_for_the_next_sink),
    };

    return cmocka_run_group_tests_name("the directory sink", tests, NULL, NULL);
}
