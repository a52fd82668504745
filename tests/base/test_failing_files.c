/* The system's files (base/file.c and those beside it), while each call of the system fails, one after another: what is
 * interrupted is done again (E4), an error is told as what it was, what only adorns a file may fail, and no descriptor
 * stays open. Each operation begins on a directory of its own, until it comes through untouched. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/failing_calls.h"
#include "base/file.h"
#include "base/file_shown.h"
#include "base/key_file.h"
#include "base/status.h"
#include "support/temp.h"

#define CREATE (LSI_OPEN_WRITE | LSI_OPEN_CREATE)
#define TEXT "four"
#define CALLS_MAX 200

typedef struct ground {
    temp_dir temp;
    lsi_root root;
    bool is_done; /* what the operation is for was seen to be so */
} ground;

typedef int operation(ground *at); /* 0 or -errno */

static const lsi_files *const files = &lsi_files_system;

static void write_text(ground *at, const char *name, const char *text)
{
    FILE *file = fopen(temp_path(&at->temp, name), "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(temp_path(&at->temp, name), 0600), 0);
}

static bool has_text(ground *at, const char *name, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(temp_path(&at->temp, name), "r");

    if (file == NULL)
        return false;
    got[fread(got, 1, sizeof got - 1, file)] = '\0';
    (void)fclose(file);
    return strcmp(got, text) == 0;
}

static bool is_there(ground *at, const char *name)
{
    return access(temp_path(&at->temp, name), F_OK) == 0;
}

static void begin(ground *at)
{
    memset(at, 0, sizeof *at);
    temp_make(&at->temp);
    write_text(at, "a", TEXT);
    assert_int_equal(mkdir(temp_path(&at->temp, "d"), 0700), 0);
    write_text(at, "d/b", TEXT);
    assert_int_equal(files->root_open(files, at->temp.path, LSI_ROOT_WRITE, &at->root), 0);
}

static void end(ground *at)
{
    files->root_close(&at->root);
    temp_remove(&at->temp);
}

static int open_count(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* ---- operations ---- */

static int make_root(ground *at)
{
    char path[TEMP_PATH_BYTES * 2];
    lsi_root made;
    int result;

    (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "new//"));
    result = files->root_open(files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME, &made);
    if (result == 0)
        files->root_close(&made);
    at->is_done = is_there(at, "new");
    return result;
}

static int ask_root(ground *at)
{
    uint64_t bytes = 0;
    lsi_fs_kind kind;
    int result = files->root_kind(&at->root, &kind);

    if (result == 0)
        result = files->root_free_bytes(&at->root, &bytes);
    at->is_done = bytes > 0;
    return result;
}

static int look_beneath_root(ground *at)
{
    char path[TEMP_PATH_BYTES * 2];
    int there, to_be = 0, elsewhere = 0;

    (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "d"));
    there = files->root_holds(&at->root, path);
    (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "d/to-be"));
    if (there >= 0)
        to_be = files->root_holds(&at->root, path);
    if (there >= 0 && to_be >= 0)
        elsewhere = files->root_holds(&at->root, "/");
    at->is_done = there == 1 && to_be == 1 && elsewhere == 0;
    return there < 0 ? there : to_be < 0 ? to_be : elsewhere;
}

static int write_file(ground *at)
{
    static const lsi_span spans[] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};
    uint64_t size = 0;
    lsi_file file = {0};
    int result = files->open(&at->root, "d/new", CREATE | LSI_OPEN_EXCLUSIVE | LSI_OPEN_MAPPED, &file), closed;

    if (result != 0)
        return result;
    result = files->allocate(&file, 0, 64);
    if (result == -EOPNOTSUPP)
        result = 0;
    if (result == 0)
        result = files->truncate(&file, 0);
    if (result == 0)
        result = files->write(&file, spans, 4, 0);
    files->start_writeback(&file, 0, 4);
    files->give_back(&file, 4096, 4096); /* Behind its end there is nothing. */
    if (result == 0)
        result = files->sync(&file, true);
    if (result == 0)
        result = files->sync(&file, false);
    if (result == 0)
        result = files->size(&file, &size);
    closed = files->close(&file);
    at->is_done = size == 13 && has_text(at, "d/new", "one two three");
    return result == 0 ? closed : result;
}

static int read_file(ground *at)
{
    char text[16] = "";
    lsi_file file = {0};
    void *map = NULL;
    int64_t got;
    int result = files->open(&at->root, "d/b", LSI_OPEN_WRITE, &file);

    if (result != 0)
        return result;
    got = files->read(&file, text, sizeof text, 0);
    result = got < 0 ? (int)got : 0;
    if (result == 0)
        result = files->lock(&file, 1, LSI_LOCK_SHARED);
    if (result == 0)
        result = files->locked_elsewhere(&file, 1);
    if (result == 0)
        result = files->lock(&file, 1, LSI_LOCK_NONE);
    if (result == 0)
        result = files->map(&file, 0, 4, false, &map);
    at->is_done = strcmp(text, TEXT) == 0 && map != NULL && memcmp(map, TEXT, 4) == 0;
    if (map != NULL)
        files->unmap(&file, map, 4);
    files->abandon(&file); /* What was only read has nothing to tell. */
    return result;
}

static int create_or_open(ground *at)
{
    lsi_file file = {0};
    int result = files->open(&at->root, "a", CREATE, &file);

    if (result == 0)
        result = files->close(&file);
    at->is_done = has_text(at, "a", TEXT);
    return result;
}

static int move_names(ground *at)
{
    int result = files->make_dir(&at->root, "d/e");

    if (result == 0)
        result = files->rename(&at->root, "a", "d/e/c");
    if (result == 0)
        result = files->rename_new(&at->root, "d/e/c", "c");
    if (result == 0)
        result = files->unlink(&at->root, "d/b");
    if (result == 0)
        result = files->remove_dir(&at->root, "d/e");
    if (result == 0)
        result = files->sync_dir(&at->root, "d");
    if (result == 0)
        result = files->sync_dir(&at->root, "");
    at->is_done = has_text(at, "c", TEXT) && !is_there(at, "a") && !is_there(at, "d/b") && !is_there(at, "d/e");
    return result;
}

static int count_one(void *user, const char *entry, bool is_dir)
{
    *(int *)user += strcmp(entry, "a") == 0 && !is_dir ? 1 : strcmp(entry, "d") == 0 && is_dir ? 10 : 100;
    return 0;
}

static int list_root(ground *at)
{
    int count = 0, result = files->list(&at->root, "", count_one, &count);

    at->is_done = count == 11;
    return result;
}

static int sync_much(ground *at)
{
    lsi_file bulk;
    int result = files->bulk_begin(&at->root, &bulk);

    if (result == -EOPNOTSUPP)
        return 0; /* of this file system nothing is known */
    if (result != 0)
        return result;
    at->is_done = true;
    return files->bulk_end(&bulk, true);
}

static int replace_file(ground *at)
{
    int result = lsi_file_replace(&at->root, "d", "d/b", "other", 5);

    at->is_done = has_text(at, "d/b", "other");
    if (!at->is_done)
        assert_true(has_text(at, "d/b", TEXT)); /* The one or the other. */
    return result;
}

static int make_and_load(ground *at)
{
    void *bytes = NULL;
    size_t size = 0;
    int result = lsi_file_make(&at->root, "d/new", "bytes", 5);

    if (result == 0)
        result = lsi_file_load(&at->root, "d/new", 100, &lsi_memory_libc, &bytes, &size);
    at->is_done = result == 0 && size == 5 && memcmp(bytes, "bytes", 5) == 0;
    lsi_free(&lsi_memory_libc, bytes);
    return result;
}

static int show_file(ground *at)
{
    char path[TEMP_PATH_BYTES * 2];
    lsi_file_shown shown;
    int result, ended;

    (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "shown"));
    result = lsi_file_shown_begin(&lsi_memory_libc, path, &shown);
    if (result != 0)
        return result;
    result = lsi_file_shown_write(&shown, "as it is", 8);
    ended = lsi_file_shown_end(&shown, result == 0);
    at->is_done = has_text(at, "shown", "as it is");
    return result == 0 ? ended : result;
}

static int key_of(ground *at, const char *name)
{
    static const char digits[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\r\n";
    char path[TEMP_PATH_BYTES * 2];
    unsigned char key[LSI_KEY_BYTES] = {0};

    (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "d"));
    at->is_done = true;
    if (!is_there(at, "d/key"))
        write_text(at, "d/key", digits);
    if (name == NULL)
        (void)snprintf(path, sizeof path, "%s", temp_path(&at->temp, "d/key"));
    if (lsi_key_file_read(path, name, key) != LS_OK) {
        assert_int_equal(ls_last_error_status(), LS_ERR_KEY);
        assert_non_null(strstr(ls_last_error_message(), strerror(EIO)));
        return -EIO;
    }
    for (unsigned i = 0; i < LSI_KEY_BYTES; i++)
        at->is_done = at->is_done && key[i] == i;
    return 0;
}

static int read_key(ground *at)
{
    return key_of(at, NULL);
}

static int read_key_in_directory(ground *at)
{
    return key_of(at, "key");
}

static const struct {
    operation *act;
    const char *name;
} operations[] = {
    {make_root, "making a root"},
    {ask_root, "asking a root"},
    {look_beneath_root, "looking beneath a root"},
    {write_file, "writing"},
    {read_file, "reading"},
    {create_or_open, "opening"},
    {move_names, "moving names"},
    {list_root, "listing"},
    {sync_much, "syncing much"},
    {replace_file, "replacing"},
    {make_and_load, "loading"},
    {show_file, "showing"},
    {read_key, "reading a key"},
    {read_key_in_directory, "reading a key in a directory"},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

/* ---- one call after another fails ---- */

/* What Linux's manual says of which calls: a signal came. */
static const char *const interruptible[] = {"open", "read", "write", "sync", "fallocate", "punch", "ftruncate",
                                            "lock", "fstatfs", "fstatvfs", NULL};

static void what_is_interrupted_is_done_again(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATIONS; i++)
        for (unsigned nth = 1; nth < CALLS_MAX; nth++) {
            const char *failed;
            ground at;
            int before, result;

            begin(&at);
            before = open_count();
            failing_at(interruptible, nth, EINTR);
            result = operations[i].act(&at);
            failed = failing_end();
            if (result != 0 && !(failed != NULL && strcmp(failed, "sync") == 0 && operations[i].act == sync_much))
                fail_msg("%s: %u: %s is interrupted: %d", operations[i].name, nth, failed, result);
            if (operations[i].act != sync_much && !at.is_done)
                fail_msg("%s: %u: %s is interrupted: it is not done", operations[i].name, nth, failed);
            assert_int_equal(open_count(), before);
            end(&at);
            if (failed == NULL)
                break;
        }
}

/* Modes, owners and room are given as well as it goes; what is removed because something failed may stay, space that is
 * given back, too; and so may what was only read and now is closed. */
static bool may_fail(const char *failed)
{
    static const char *const adorning[] = {"fchmod", "fchown", "fstat", "close", "unlink", "uname", "fstatfs", "open",
                                           "punch", NULL};

    for (size_t i = 0; adorning[i] != NULL; i++)
        if (strcmp(adorning[i], failed) == 0)
            return true;
    return false;
}

static void an_error_is_told_as_what_it_was(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATIONS; i++)
        for (unsigned nth = 1; nth < CALLS_MAX; nth++) {
            const char *failed;
            ground at;
            int before, result;

            begin(&at);
            before = open_count();
            failing_at(NULL, nth, EIO);
            result = operations[i].act(&at);
            failed = failing_end();
            if (result != 0 && result != -EIO)
                fail_msg("%s: %u: %s fails: %d", operations[i].name, nth, failed, result);
            if (result == 0 && failed != NULL && !may_fail(failed) &&
                !(operations[i].act == show_file && strcmp(failed, "ftruncate") == 0)) /* It takes another name then. */
                fail_msg("%s: %u: %s fails, and nobody is told", operations[i].name, nth, failed);
            if (result == 0 && operations[i].act != sync_much && !at.is_done)
                fail_msg("%s: %u: %s fails: it is not done", operations[i].name, nth, failed);
            if (open_count() != before)
                fail_msg("%s: %u: %s fails: a descriptor stays open", operations[i].name, nth, failed);
            end(&at);
            if (failed == NULL)
                break;
        }
}

static int replace_in_root(ground *at)
{
    return lsi_file_replace(&at->root, "", "a", "other", 5);
}

static int make_in_root(ground *at)
{
    return lsi_file_make(&at->root, "new", "bytes", 5);
}

/* What was written may not be there when its file cannot be closed. */
static void a_written_file_that_cannot_be_closed_is_told(void **state)
{
    static operation *const acts[] = {write_file, show_file, replace_in_root, make_in_root};
    static const char *const closes[] = {"close", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        ground at;

        begin(&at);
        failing_at(closes, 1, EIO);
        assert_int_equal(acts[i](&at), -EIO);
        assert_string_equal(failing_end(), "close");
        assert_false(is_there(&at, "shown"));
        assert_true(has_text(&at, "a", TEXT));
        end(&at);
    }
}

/* F3: a byte at a time. */
static void short_transfers_are_continued(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATIONS; i++) {
        ground at;

        begin(&at);
        failing_answer.is_short = true;
        assert_int_equal(operations[i].act(&at), 0);
        failing_answer.is_short = false;
        assert_true(at.is_done || operations[i].act == sync_much);
        end(&at);
    }
}

/* A write that does nothing and says so would be tried for ever. */
static void a_write_of_nothing_is_an_error(void **state)
{
    static const char *const writes[] = {"write", NULL};
    ground at;

    (void)state;
    begin(&at);
    failing_at(writes, 1, 0);
    assert_int_equal(write_file(&at), -EIO);
    assert_string_equal(failing_end(), "write");
    end(&at);
}

/* ---- without a descriptor ---- */

typedef struct room {
    unsigned asked, has; /* how often it can be made */
} room;

static bool make_room(void *user)
{
    static const char *const opens[] = {"open", NULL};
    room *of = user;

    of->asked++;
    if (of->asked > of->has)
        return false;
    failing_at(opens, of->asked < of->has ? 1 : 0, ENFILE);
    return true;
}

static int open_one(ground *at)
{
    lsi_file file = {0};
    int result = files->open(&at->root, "a", 0, &file);

    return result == 0 ? files->close(&file) : result;
}

static int sync_root(ground *at)
{
    return files->sync_dir(&at->root, "");
}

/* Room is asked for as long as it can be made. */
static void room_is_made_until_there_is_none(void **state)
{
    static const char *const opens[] = {"open", NULL};
    static operation *const acts[] = {open_one, sync_root};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (unsigned has = 0; has < 4; has++) {
            room of = {.has = has};
            ground at;

            begin(&at);
            failing_at(opens, 1, EMFILE);
            assert_int_equal(acts[i](&at), -EMFILE); /* Nobody can be asked. */
            at.root.make_room = make_room;
            at.root.room_user = &of;
            failing_at(opens, 1, EMFILE);
            assert_int_equal(acts[i](&at), has == 0 ? -EMFILE : 0);
            assert_int_equal(of.asked, has == 0 ? 1 : has);
            (void)failing_end();
            end(&at);
        }
}

static uint32_t descriptors(void)
{
    return files->descriptors_max(files);
}

static void no_limit_of_descriptors_is_the_largest(void **state)
{
    static const char *const limits[] = {"getrlimit", NULL};

    (void)state;
    assert_in_range(descriptors(), 3, UINT32_MAX);
    failing_answer.is_unlimited = true;
    assert_int_equal(descriptors(), UINT32_MAX);
    failing_answer.is_unlimited = false;
    failing_at(limits, 1, EIO);
    assert_int_equal(descriptors(), UINT32_MAX);
    assert_string_equal(failing_end(), "getrlimit");
}

/* F5: what was closed by the application is not ours, unless nothing else is left. */
static void low_descriptors_are_left_to_the_application(void **state)
{
    static const char *const dups[] = {"dup", NULL};
    int in = dup(STDIN_FILENO);
    lsi_file file = {0};
    ground at;

    (void)state;
    assert_true(in > STDERR_FILENO);
    begin(&at);
    (void)close(STDIN_FILENO);
    assert_int_equal(files->open(&at.root, "a", 0, &file), 0);
    assert_true(file.fd > STDERR_FILENO);
    assert_int_equal(files->close(&file), 0);
    failing_at(dups, 1, EMFILE);
    assert_int_equal(files->open(&at.root, "a", 0, &file), 0);
    assert_string_equal(failing_end(), "dup");
    assert_int_equal(file.fd, STDIN_FILENO);
    assert_int_equal(files->close(&file), 0);
    assert_int_equal(dup2(in, STDIN_FILENO), STDIN_FILENO);
    (void)close(in);
    end(&at);
}

/* ---- kernels and file systems that differ ---- */

/* Where there is no way to move a name without replacing one, it is moved by two names. */
static void names_are_moved_where_the_kernel_cannot(void **state)
{
    static const char *const moves[] = {"renameat2", NULL};
    static const int lacks[] = {EINVAL, ENOSYS};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ground at;

        begin(&at);
        failing_at(moves, 1, lacks[i]);
        assert_int_equal(files->rename_new(&at.root, "a", "d/c"), 0);
        assert_string_equal(failing_end(), "renameat2");
        assert_true(has_text(&at, "d/c", TEXT));
        assert_false(is_there(&at, "a"));
        failing_at(moves, 1, lacks[i]);
        assert_int_equal(files->rename_new(&at.root, "d/b", "d/c"), -EEXIST);
        assert_string_equal(failing_end(), "renameat2");
        assert_true(is_there(&at, "d/b"));
        end(&at);
    }
}

static const char *const opens[] = {"open", NULL};

/* Of what is made in the current directory that one is synced; a parent that may not be read cannot be. */
static void the_parent_of_a_root_is_synced_where_it_can_be(void **state)
{
    lsi_root made;
    ground at;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_true(here >= 0);
    begin(&at);
    assert_int_equal(chdir(at.temp.path), 0);
    assert_int_equal(files->root_open(files, "new", LSI_ROOT_CREATE | LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME, &made), 0);
    files->root_close(&made);
    failing_at(opens, 2, EACCES);
    assert_int_equal(files->root_open(files, "new", LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME, &made), 0);
    assert_string_equal(failing_end(), "open");
    files->root_close(&made);
    assert_int_equal(fchdir(here), 0);
    (void)close(here);
    end(&at);
}

/* What has no driver is no file either; a name may begin with one dot. */
static void names_of_other_things_are_no_files(void **state)
{
    static const int others[] = {ENXIO, EISDIR, ENODEV};
    lsi_file file = {0};
    ground at;

    (void)state;
    begin(&at);
    for (size_t i = 0; i < 3; i++) {
        failing_at(opens, 1, others[i]);
        assert_int_equal(files->open(&at.root, "a", 0, &file), -EINVAL);
        assert_non_null(failing_end());
    }
    assert_int_equal(files->open(&at.root, "..", CREATE, &file), -EINVAL);
    assert_int_equal(files->open(&at.root, ".x", CREATE, &file), 0);
    assert_int_equal(files->close(&file), 0);
    end(&at);
}

/* Two words for one thing. */
static void what_is_not_known_and_what_is_held_have_one_name(void **state)
{
    static const char *const rooms[] = {"fallocate", NULL}, *const locks[] = {"lock", NULL};
    lsi_file file = {0};
    ground at;

    (void)state;
    begin(&at);
    assert_int_equal(files->open(&at.root, "a", LSI_OPEN_WRITE, &file), 0);
    failing_at(rooms, 1, ENOSYS);
    assert_int_equal(files->allocate(&file, 0, 10), -EOPNOTSUPP);
    failing_at(locks, 1, EACCES);
    assert_int_equal(files->lock(&file, 1, LSI_LOCK_EXCLUSIVE), -EAGAIN);
    assert_non_null(failing_end());
    assert_int_equal(files->close(&file), 0);
    end(&at);
}

/* Not every file system says in its directories what an entry is. */
static void entries_are_asked_what_they_are(void **state)
{
    static const char *const asks[] = {"fstatat", NULL};
    ground at;
    int count = 0;

    (void)state;
    begin(&at);
    failing_answer.types_are_unknown = true;
    assert_int_equal(list_root(&at), 0);
    assert_true(at.is_done);
    failing_at(asks, 1, ENOENT); /* It went meanwhile. */
    assert_int_equal(files->list(&at.root, "", count_one, &count), 0);
    assert_string_equal(failing_end(), "fstatat");
    assert_true(count == 1 || count == 10);
    failing_at(asks, 1, EIO);
    assert_int_equal(list_root(&at), -EIO);
    assert_non_null(failing_end());
    failing_answer.types_are_unknown = false;
    end(&at);
}

/* E1: where the kernel does not tell what failed, or nothing is known of the file system, each file is synced. */
static void much_is_synced_only_where_that_is_told(void **state)
{
    static const char *const releases[] = {"5.7.19", "4.19.0", "rolling", "5.8.0", "6.0.1"};
    ground at;
    lsi_file bulk;

    (void)state;
    begin(&at);
    failing_answer.fs_type = 0x65735546; /* FUSE */
    assert_int_equal(files->bulk_begin(&at.root, &bulk), -EOPNOTSUPP);
    failing_answer.fs_type = 0x0000EF53;
    for (size_t i = 0; i < sizeof releases / sizeof *releases; i++) {
        failing_answer.release = releases[i];
        assert_int_equal(files->bulk_begin(&at.root, &bulk), i < 3 ? -EOPNOTSUPP : 0);
        if (i >= 3)
            assert_int_equal(files->bulk_end(&bulk, false), 0);
    }
    failing_answer = (failing_answers){0};
    end(&at);
}

/* E5: what is mapped on btrfs is asked not to be copied; that it refuses changes nothing. */
static void files_to_be_mapped_are_written_in_place(void **state)
{
    static const char *const asks[] = {"ioctl", NULL};
    unsigned met = 0;

    (void)state;
    for (unsigned nth = 0; nth <= 3; nth++) {
        lsi_file file = {0};
        ground at;

        begin(&at);
        failing_answer.fs_type = 0x9123683E;
        failing_answer.ioctl_is_known = true;
        failing_at(asks, nth, ENOTTY);
        assert_int_equal(files->open(&at.root, "new", CREATE | LSI_OPEN_MAPPED, &file), 0);
        met += failing_end() != NULL;
        assert_int_equal(files->close(&file), 0);
        failing_answer = (failing_answers){0};
        end(&at);
    }
    assert_int_equal(met, 2); /* It asks what is set, and sets it. */
}

/* ---- keys ---- */

/* 64 digits, of which the last two are these. */
static ls_status read_digits(ground *at, const char *end)
{
    char digits[65] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E";
    unsigned char key[LSI_KEY_BYTES];

    strcat(digits, end);
    write_text(at, "d/key", digits);
    return lsi_key_file_read(temp_path(&at->temp, "d/key"), "", key);
}

static void what_is_no_digit_is_no_key(void **state)
{
    static const char none[] = "/:@G`g \n";
    char name[300];
    unsigned char key[LSI_KEY_BYTES];
    ground at;

    (void)state;
    begin(&at);
    assert_int_equal(read_digits(&at, "fF"), LS_OK);
    for (const char *c = none; *c != '\0'; c++) {
        assert_int_equal(read_digits(&at, (const char[]){*c, '0', '\0'}), LS_ERR_KEY);
        assert_int_equal(read_digits(&at, (const char[]){'0', *c, '\0'}), LS_ERR_KEY);
    }
    memset(name, 'k', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(lsi_key_file_read(temp_path(&at.temp, "d"), name, key), LS_ERR_KEY);
    assert_int_equal(lsi_key_file_read(temp_path(&at.temp, "d"), "../a", key), LS_ERR_KEY);
    assert_int_equal(symlink("key", temp_path(&at.temp, "d/link")), 0);
    assert_int_equal(read_digits(&at, "00"), LS_OK);
    assert_int_equal(lsi_key_file_read(temp_path(&at.temp, "d"), "link", key), LS_ERR_KEY);
    assert_non_null(strstr(ls_last_error_message(), "a link is not followed"));
    end(&at);
}

/* The last of all: from here on names are opened step by step. */
static void it_is_the_same_where_the_kernel_lacks_openat2(void **state)
{
    ground at;

    begin(&at);
    failing_at(opens, 1, ENOSYS);
    assert_int_equal(open_one(&at), 0);
    assert_string_equal(failing_end(), "open");
    end(&at);
    what_is_interrupted_is_done_again(state);
    an_error_is_told_as_what_it_was(state);
}

int main(void)
{
    const struct CMUnitTest walks[] = {
        cmocka_unit_test(what_is_interrupted_is_done_again),
        cmocka_unit_test(an_error_is_told_as_what_it_was),
        cmocka_unit_test(a_written_file_that_cannot_be_closed_is_told),
        cmocka_unit_test(short_transfers_are_continued),
        cmocka_unit_test(a_write_of_nothing_is_an_error),
    };
    const struct CMUnitTest descriptor_tests[] = {
        cmocka_unit_test(room_is_made_until_there_is_none),
        cmocka_unit_test(no_limit_of_descriptors_is_the_largest),
        cmocka_unit_test(low_descriptors_are_left_to_the_application),
    };
    const struct CMUnitTest systems[] = {
        cmocka_unit_test(the_parent_of_a_root_is_synced_where_it_can_be),
        cmocka_unit_test(names_of_other_things_are_no_files),
        cmocka_unit_test(names_are_moved_where_the_kernel_cannot),
        cmocka_unit_test(what_is_not_known_and_what_is_held_have_one_name),
        cmocka_unit_test(entries_are_asked_what_they_are),
        cmocka_unit_test(much_is_synced_only_where_that_is_told),
        cmocka_unit_test(files_to_be_mapped_are_written_in_place),
        cmocka_unit_test(what_is_no_digit_is_no_key),
        cmocka_unit_test(it_is_the_same_where_the_kernel_lacks_openat2),
    };
    int failed = cmocka_run_group_tests_name("each call fails", walks, NULL, NULL);

    failed += cmocka_run_group_tests_name("without a descriptor", descriptor_tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("kernels and file systems differ", systems, NULL, NULL);
}
