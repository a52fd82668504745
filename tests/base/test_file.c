/* What base/file.h promises of every table of files, asked of the system's (in a directory of its own) and of the one
 * in memory; then what only the system's can be asked: links, pipes, owners, modes, limits. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/emulated.h"

#define CREATE (LSI_OPEN_WRITE | LSI_OPEN_CREATE)

typedef struct fixture {
    const lsi_files *files;
    lsi_files *memory; /* to be freed; NULL for the system's */
    char path[64];
    lsi_root root;
} fixture;

/* ---- fixtures ---- */

static int in_memory(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));

    fx->memory = lsi_files_memory_new(&lsi_memory_libc);
    fx->files = fx->memory;
    strcpy(fx->path, "store");
    *state = fx;
    return fx->files->root_open(fx->files, fx->path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &fx->root);
}

static int on_disk(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));

    fx->files = &lsi_files_system;
    strcpy(fx->path, "/tmp/libstream-file-XXXXXX");
    assert_non_null(mkdtemp(fx->path));
    *state = fx;
    return fx->files->root_open(fx->files, fx->path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &fx->root);
}

static int clean_up(void **state)
{
    fixture *fx = *state;

    fx->files->root_close(&fx->root);
    if (fx->memory == NULL) {
        char command[128];

        snprintf(command, sizeof(command), "rm -rf '%s'", fx->path);
        assert_int_equal(system(command), 0);
    }
    lsi_files_memory_free(fx->memory);
    free(fx);
    return 0;
}

/* ---- small helps ---- */

static lsi_file open_ok(fixture *fx, const char *name, unsigned flags)
{
    lsi_file file = {0};

    assert_int_equal(fx->files->open(&fx->root, name, flags, &file), 0);
    assert_true(lsi_file_is_open(&file));
    return file;
}

static int try_open(fixture *fx, const char *name, unsigned flags)
{
    lsi_file file = {0};
    int result = fx->files->open(&fx->root, name, flags, &file);

    if (result == 0)
        fx->files->close(&file);
    else
        assert_false(lsi_file_is_open(&file));
    return result;
}

static void make_file(fixture *fx, const char *name, const char *text)
{
    lsi_file file = open_ok(fx, name, CREATE);

    assert_int_equal(fx->files->truncate(&file, 0), 0);
    assert_int_equal(lsi_file_write_one(&file, text, strlen(text), 0), 0);
    assert_int_equal(fx->files->close(&file), 0);
    assert_false(lsi_file_is_open(&file));
}

static void assert_text(const lsi_file *file, const char *text)
{
    char got[256];
    int64_t size = file->files->read(file, got, sizeof(got), 0);

    assert_int_equal(size, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_file(fixture *fx, const char *name, const char *text)
{
    lsi_file file = open_ok(fx, name, 0);

    assert_text(&file, text);
    fx->files->close(&file);
}

typedef struct listing {
    char names[512]; /* "name " or "name/ " each, sorted by nobody */
    int count;
    int stop_at; /* 0: never */
    fixture *unlinks;
} listing;

static int note_entry(void *user, const char *entry, bool is_dir)
{
    listing *list = user;

    snprintf(list->names + strlen(list->names), sizeof(list->names) - strlen(list->names), "%s%s ", entry,
             is_dir ? "/" : "");
    list->count++;
    if (list->unlinks != NULL && !is_dir)
        assert_int_equal(list->unlinks->files->unlink(&list->unlinks->root, entry), 0);
    return list->count == list->stop_at ? 77 : 0;
}

static listing list_of(fixture *fx, const char *name)
{
    listing list = {0};

    assert_int_equal(fx->files->list(&fx->root, name, note_entry, &list), 0);
    return list;
}

/* ---- every table ---- */

/* Goal: a gathered write puts all spans one after another, whatever their number. Method: 200 spans of 0 to 9 bytes,
 * more than one call to the kernel takes here, at an odd place. */
static void spans_are_written_one_after_another(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    unsigned char bytes[2000], got[2000];
    lsi_span spans[200];
    size_t used = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    for (size_t i = 0; i < 200; i++) {
        spans[i].data = bytes + used;
        spans[i].size = i % 10;
        used += i % 10;
    }
    assert_int_equal(fx->files->write(&file, spans, 200, 33), 0);
    assert_int_equal(fx->files->read(&file, got, sizeof(got), 33), used);
    assert_memory_equal(got, bytes, used);
    assert_int_equal(fx->files->read(&file, got, 33, 0), 33);
    for (int i = 0; i < 33; i++)
        assert_int_equal(got[i], 0);
    fx->files->close(&file);
}

static void reading_gives_less_only_at_the_end(void **state)
{
    fixture *fx = *state;
    lsi_file file;
    char got[8];

    make_file(fx, "a", "abcdef");
    file = open_ok(fx, "a", 0);
    assert_int_equal(fx->files->read(&file, got, 4, 0), 4);
    assert_int_equal(fx->files->read(&file, got, 4, 4), 2);
    assert_memory_equal(got, "ef", 2);
    assert_int_equal(fx->files->read(&file, got, 4, 6), 0);
    assert_int_equal(fx->files->read(&file, got, 4, 600), 0);
    assert_int_equal(fx->files->read(&file, got, 4, UINT64_MAX), -EINVAL);
    fx->files->close(&file);
}

static void opening_creates_only_what_it_was_told_to(void **state)
{
    fixture *fx = *state;

    assert_int_equal(try_open(fx, "a", 0), -ENOENT);
    assert_int_equal(try_open(fx, "a", LSI_OPEN_WRITE), -ENOENT);
    assert_int_equal(try_open(fx, "a", LSI_OPEN_CREATE), -EINVAL);
    assert_int_equal(list_of(fx, "").count, 0);
    assert_int_equal(try_open(fx, "a", CREATE | LSI_OPEN_EXCLUSIVE), 0);
    assert_int_equal(try_open(fx, "a", CREATE | LSI_OPEN_EXCLUSIVE), -EEXIST);
    assert_int_equal(try_open(fx, "a", CREATE), 0);
    assert_int_equal(try_open(fx, "no/a", CREATE), -ENOENT);
    assert_int_equal(try_open(fx, "a/a", CREATE), -ENOTDIR);
}

static void a_file_opened_to_read_refuses_writes(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    make_file(fx, "a", "abc");
    file = open_ok(fx, "a", 0);
    assert_int_equal(lsi_file_write_one(&file, "x", 1, 0), -EBADF);
    assert_int_equal(fx->files->truncate(&file, 0), -EINVAL);
    assert_int_equal(fx->files->allocate(&file, 0, 100), -EBADF);
    assert_text(&file, "abc");
    fx->files->close(&file);
}

/* X3: names are data; nothing outside the root can be named. */
static void names_that_could_leave_the_root_are_refused(void **state)
{
    static const char *const bad[] = {
        "/", "/etc", "..", "../a", "a/..", "a/../b", ".", "./a", "a/.", "a//b", "a/", "/a",
    };
    fixture *fx = *state;
    char longest[1200];

    make_file(fx, "f", "x");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        listing list = {0};

        assert_int_equal(try_open(fx, bad[i], 0), -EINVAL);
        assert_int_equal(try_open(fx, bad[i], CREATE), -EINVAL);
        assert_int_equal(fx->files->make_dir(&fx->root, bad[i]), -EINVAL);
        assert_int_equal(fx->files->unlink(&fx->root, bad[i]), -EINVAL);
        assert_int_equal(fx->files->remove_dir(&fx->root, bad[i]), -EINVAL);
        assert_int_equal(fx->files->rename(&fx->root, "f", bad[i]), -EINVAL);
        assert_int_equal(fx->files->rename(&fx->root, bad[i], "f"), -EINVAL);
        assert_int_equal(fx->files->rename_new(&fx->root, "f", bad[i]), -EINVAL);
        assert_int_equal(fx->files->sync_dir(&fx->root, bad[i]), -EINVAL);
        assert_int_equal(fx->files->list(&fx->root, bad[i], note_entry, &list), -EINVAL);
    }
    assert_int_equal(try_open(fx, "", CREATE), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(try_open(fx, longest, CREATE), -EINVAL);
    assert_int_equal(list_of(fx, "").count, 1);
}

static void directories_hold_names(void **state)
{
    fixture *fx = *state;
    listing list;

    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "d"), -EEXIST);
    assert_int_equal(fx->files->make_dir(&fx->root, "d/e"), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "no/e"), -ENOENT);
    make_file(fx, "d/f", "text");
    assert_int_equal(fx->files->make_dir(&fx->root, "d/f"), -EEXIST);
    list = list_of(fx, "d");
    assert_int_equal(list.count, 2);
    assert_non_null(strstr(list.names, "e/ "));
    assert_non_null(strstr(list.names, "f "));
    assert_string_equal(list_of(fx, "").names, "d/ ");
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, "d"), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, "no"), -ENOENT);
    assert_int_equal(fx->files->sync_dir(&fx->root, "d/f"), -ENOTDIR);
    for (int sync = 0; sync < 2; sync++) {
        lsi_file bulk = {0};
        int begun = fx->files->bulk_begin(&fx->root, &bulk);

        /* Where it cannot be promised nothing is open; that a crash keeps it is the harnesses' to show. */
        assert_true(begun == 0 || begun == -EOPNOTSUPP);
        assert_int_equal(lsi_file_is_open(&bulk), begun == 0);
        if (begun == 0)
            assert_int_equal(fx->files->bulk_end(&bulk, sync != 0), 0);
        assert_false(lsi_file_is_open(&bulk));
    }
    assert_int_equal(try_open(fx, "d", 0), -EINVAL);
    assert_int_equal(try_open(fx, "d", LSI_OPEN_WRITE), -EINVAL);
    assert_int_equal(fx->files->unlink(&fx->root, "d"), -EISDIR);
    assert_int_equal(fx->files->remove_dir(&fx->root, "d/f"), -ENOTDIR);
    assert_int_equal(fx->files->remove_dir(&fx->root, "d"), -ENOTEMPTY);
    assert_int_equal(fx->files->unlink(&fx->root, "d/f"), 0);
    assert_int_equal(fx->files->unlink(&fx->root, "d/f"), -ENOENT);
    assert_int_equal(fx->files->remove_dir(&fx->root, "d/e"), 0);
    assert_int_equal(fx->files->remove_dir(&fx->root, "d"), 0);
    assert_int_equal(fx->files->remove_dir(&fx->root, "d"), -ENOENT);
    assert_int_equal(list_of(fx, "").count, 0);
}

static void listing_stops_when_told_and_may_unlink(void **state)
{
    fixture *fx = *state;
    listing list = {.stop_at = 2};

    make_file(fx, "a", "");
    make_file(fx, "b", "");
    make_file(fx, "c", "");
    assert_int_equal(fx->files->list(&fx->root, "", note_entry, &list), 77);
    assert_int_equal(list.count, 2);
    memset(&list, 0, sizeof(list));
    list.unlinks = fx;
    assert_int_equal(fx->files->list(&fx->root, "", note_entry, &list), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(list_of(fx, "").count, 0);
    assert_int_equal(fx->files->list(&fx->root, "no", note_entry, &list), -ENOENT);
}

static void renaming_replaces_and_open_files_stay(void **state)
{
    fixture *fx = *state;
    lsi_file old;

    make_file(fx, "a", "new");
    make_file(fx, "b", "old");
    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "d/e"), 0);
    old = open_ok(fx, "b", 0);
    assert_int_equal(fx->files->rename(&fx->root, "a", "b"), 0);
    assert_int_equal(try_open(fx, "a", 0), -ENOENT);
    assert_file(fx, "b", "new");
    assert_text(&old, "old");
    fx->files->close(&old);
    assert_int_equal(fx->files->rename(&fx->root, "b", "d/b"), 0);
    assert_file(fx, "d/b", "new");
    assert_int_equal(fx->files->rename(&fx->root, "d/b", "d/b"), 0);
    assert_file(fx, "d/b", "new");
    assert_int_equal(fx->files->rename(&fx->root, "b", "c"), -ENOENT);
    assert_int_equal(fx->files->rename(&fx->root, "d/b", "d/e"), -EISDIR);
    assert_int_equal(fx->files->rename(&fx->root, "d/e", "d/b"), -ENOTDIR);
    assert_int_equal(fx->files->rename(&fx->root, "d", "d/e/f"), -EINVAL);
    assert_int_equal(fx->files->rename(&fx->root, "d", "x"), 0);
    assert_file(fx, "x/b", "new");
    assert_int_equal(fx->files->make_dir(&fx->root, "y"), 0);
    assert_int_equal(fx->files->rename(&fx->root, "y", "x"), -ENOTEMPTY);
    assert_int_equal(fx->files->rename(&fx->root, "x", "y"), 0);
    assert_string_equal(list_of(fx, "").names, "y/ ");
}

/* P8: an open segment stays readable after trimming unlinked it. */
static void an_unlinked_file_stays_while_it_is_open(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    make_file(fx, "a", "here");
    file = open_ok(fx, "a", LSI_OPEN_WRITE);
    assert_int_equal(fx->files->unlink(&fx->root, "a"), 0);
    make_file(fx, "a", "another");
    assert_text(&file, "here");
    assert_int_equal(lsi_file_write_one(&file, "H", 1, 0), 0);
    assert_text(&file, "Here");
    assert_file(fx, "a", "another");
    fx->files->close(&file);
}

static void files_grow_and_shrink_with_zeros(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    unsigned char got[5000];
    uint64_t size = 99;

    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(lsi_file_write_one(&file, "abcdef", 6, 0), 0);
    assert_int_equal(fx->files->truncate(&file, 3), 0);
    assert_text(&file, "abc");
    assert_int_equal(fx->files->truncate(&file, 5000), 0);
    assert_int_equal(fx->files->read(&file, got, sizeof(got), 0), 5000);
    assert_memory_equal(got, "abc", 3);
    for (int i = 3; i < 5000; i++)
        assert_int_equal(got[i], 0);
    assert_int_equal(fx->files->allocate(&file, 4000, 6000), 0);
    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(size, 10000);
    assert_int_equal(fx->files->allocate(&file, 0, 100), 0); /* inside: nothing changes */
    assert_int_equal(fx->files->allocate(&file, 20000, 0), 0);
    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(size, 10000);
    assert_int_equal(fx->files->read(&file, got, 3, 0), 3);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(fx->files->sync(&file, false), 0);
    fx->files->close(&file);
}

/* What is given back reads as zeros, the file stays as long, and what is asked for beyond its end adds nothing. */
static void what_is_given_back_reads_as_zeros(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    unsigned char text[20000], got[20000];
    uint64_t size;

    memset(text, 'x', sizeof text);
    assert_int_equal(lsi_file_write_one(&file, text, sizeof text, 0), 0);
    fx->files->give_back(&file, 4096, 8192);
    memset(text + 4096, 0, 8192);
    assert_int_equal(fx->files->read(&file, got, sizeof got, 0), sizeof got);
    assert_memory_equal(got, text, sizeof got);
    fx->files->give_back(&file, 16384, 1u << 20);
    fx->files->give_back(&file, 1u << 20, 4096);
    memset(text + 16384, 0, sizeof text - 16384);
    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(size, sizeof text);
    assert_int_equal(fx->files->read(&file, got, sizeof got, 0), sizeof got);
    assert_memory_equal(got, text, sizeof got);
    fx->files->close(&file);
    file = open_ok(fx, "a", 0); /* Who may not write gives nothing back. */
    fx->files->give_back(&file, 0, 4096);
    assert_int_equal(fx->files->read(&file, got, sizeof got, 0), sizeof got);
    assert_memory_equal(got, text, sizeof got);
    fx->files->close(&file);
}

/* Goal: writes, stores and two mappings see one another, and a mapping stays where it is while its file grows far
 * beyond what it had. */
static void a_mapping_never_moves(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *map, *second, *beyond, got[4];

    assert_int_equal(lsi_file_write_one(&file, "abc", 3, page), 0);
    assert_int_equal(fx->files->allocate(&file, 0, 2 * page), 0);
    assert_int_equal(fx->files->map(&file, page, page, true, (void **)&map), 0);
    assert_memory_equal(map, "abc", 3);
    assert_int_equal(fx->files->map(&file, 0, 1000 * page, false, (void **)&beyond), 0);
    for (size_t pages = 3; pages <= 1000; pages += 37)
        assert_int_equal(fx->files->allocate(&file, 0, pages * page), 0);
    assert_int_equal(lsi_file_write_one(&file, "Z", 1, 900 * page), 0);
    assert_int_equal(fx->files->map(&file, 0, 1000 * page, true, (void **)&second), 0);
    assert_int_equal(beyond[900 * page], 'Z');
    fx->files->store(&file, map + 1, "XY", 2);
    assert_memory_equal(second + page, "aXY", 3);
    assert_memory_equal(beyond + page, "aXY", 3);
    assert_int_equal(fx->files->read(&file, got, 3, page), 3);
    assert_memory_equal(got, "aXY", 3);
    assert_int_equal(lsi_file_write_one(&file, "w", 1, page), 0);
    assert_memory_equal(map, "wXY", 3);
    fx->files->unmap(&file, map, page);
    fx->files->unmap(&file, beyond, 1000 * page);
    assert_memory_equal(second + page, "wXY", 3);
    fx->files->unmap(&file, second, 1000 * page);
    assert_int_equal(fx->files->map(&file, 1, page, true, (void **)&map), -EINVAL);
    fx->files->close(&file);
    file = open_ok(fx, "a", 0);
    assert_int_equal(fx->files->map(&file, 0, page, true, (void **)&map), -EACCES);
    fx->files->close(&file);
}

/* P6: one lock per open, on single bytes, gone with the close. */
static void locks_belong_to_an_open(void **state)
{
    fixture *fx = *state;
    lsi_file one = open_ok(fx, "a", CREATE);
    lsi_file two = open_ok(fx, "a", LSI_OPEN_WRITE);
    lsi_file reader = open_ok(fx, "a", 0);

    assert_int_equal(fx->files->locked_elsewhere(&one, 7), 0);
    assert_int_equal(fx->files->lock(&one, 7, LSI_LOCK_SHARED), 0);
    assert_int_equal(fx->files->locked_elsewhere(&one, 7), 0); /* one's own does not count */
    assert_int_equal(fx->files->locked_elsewhere(&two, 7), 1);
    assert_int_equal(fx->files->locked_elsewhere(&two, 8), 0);
    assert_int_equal(fx->files->lock(&reader, 7, LSI_LOCK_SHARED), 0);
    assert_int_equal(fx->files->lock(&one, 7, LSI_LOCK_EXCLUSIVE), -EAGAIN);
    assert_int_equal(fx->files->lock(&reader, 7, LSI_LOCK_NONE), 0);
    assert_int_equal(fx->files->lock(&one, 7, LSI_LOCK_EXCLUSIVE), 0); /* upgraded */
    assert_int_equal(fx->files->lock(&reader, 7, LSI_LOCK_SHARED), -EAGAIN);
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_EXCLUSIVE), -EAGAIN);
    assert_int_equal(fx->files->lock(&two, 8, LSI_LOCK_EXCLUSIVE), 0);
    assert_int_equal(fx->files->locked_elsewhere(&reader, 7), 1);
    assert_int_equal(fx->files->lock(&reader, 9, LSI_LOCK_EXCLUSIVE), -EBADF);
    fx->files->close(&reader); /* closing another open of the file takes nothing from `one` */
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_SHARED), -EAGAIN);
    fx->files->close(&one);
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_EXCLUSIVE), 0);
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_SHARED), 0); /* downgraded */
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_NONE), 0);
    assert_int_equal(fx->files->lock(&two, 7, LSI_LOCK_NONE), 0);
    fx->files->close(&two);
}

static void replacing_leaves_the_new_file_alone(void **state)
{
    fixture *fx = *state;
    void *bytes = NULL;
    size_t size = 0;

    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    assert_int_equal(lsi_file_replace(&fx->root, "d", "d/m", "first", 5), 0);
    assert_file(fx, "d/m", "first");
    make_file(fx, "d/m.new", "what a crash left behind, longer than the new one");
    assert_int_equal(lsi_file_replace(&fx->root, "d", "d/m", "second", 6), 0);
    assert_file(fx, "d/m", "second");
    assert_string_equal(list_of(fx, "d").names, "m ");
    assert_int_equal(lsi_file_replace(&fx->root, "", "top", "", 0), 0);
    assert_file(fx, "top", "");
    assert_int_equal(lsi_file_replace(&fx->root, "no", "no/m", "x", 1), -ENOENT);

    assert_int_equal(lsi_file_load(&fx->root, "d/m", 6, &lsi_memory_libc, &bytes, &size), 0);
    assert_int_equal(size, 6);
    assert_memory_equal(bytes, "second", 6);
    lsi_free(&lsi_memory_libc, bytes);
    bytes = NULL;
    assert_int_equal(lsi_file_load(&fx->root, "d/m", 5, &lsi_memory_libc, &bytes, &size), -EFBIG);
    assert_int_equal(lsi_file_load(&fx->root, "no", 5, &lsi_memory_libc, &bytes, &size), -ENOENT);
    assert_null(bytes);
    assert_int_equal(lsi_file_load(&fx->root, "top", 5, &lsi_memory_libc, &bytes, &size), 0);
    assert_int_equal(size, 0);
    lsi_free(&lsi_memory_libc, bytes);
}

static void renaming_to_a_new_name_replaces_nothing(void **state)
{
    fixture *fx = *state;

    make_file(fx, "a", "new");
    make_file(fx, "b", "old");
    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    assert_int_equal(fx->files->rename_new(&fx->root, "a", "b"), -EEXIST);
    assert_file(fx, "a", "new");
    assert_file(fx, "b", "old");
    assert_int_equal(fx->files->rename_new(&fx->root, "a", "a"), -EEXIST);
    assert_int_equal(fx->files->rename_new(&fx->root, "a", "d"), -EEXIST);
    assert_int_equal(fx->files->rename_new(&fx->root, "no", "c"), -ENOENT);
    assert_int_equal(fx->files->rename_new(&fx->root, "a", "d/a"), 0);
    assert_file(fx, "d/a", "new");
    assert_int_equal(try_open(fx, "a", 0), -ENOENT);
}

/* A directory in the way of the rename: the old state stays and nothing is left lying about. */
static void a_replacement_that_fails_leaves_no_new_file(void **state)
{
    fixture *fx = *state;

    assert_int_equal(fx->files->make_dir(&fx->root, "m"), 0);
    assert_int_equal(lsi_file_replace(&fx->root, "", "m", "x", 1), -EISDIR);
    assert_string_equal(list_of(fx, "").names, "m/ ");
}

static void roots_are_made_only_when_asked(void **state)
{
    fixture *fx = *state;
    char path[80];
    lsi_fs_kind kind = LSI_FS_NETWORK;
    uint64_t bytes = 0;
    lsi_root root;

    snprintf(path, sizeof(path), "%s/sub", fx->path);
    assert_int_equal(fx->files->root_open(fx->files, path, 0, &root), -ENOENT);
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_WRITE, &root), -ENOENT);
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_CREATE, &root), -EINVAL);
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), 0);
    fx->files->root_close(&root);
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), 0);
    fx->files->root_close(&root);
    assert_int_equal(fx->files->root_open(fx->files, path, 0, &root), 0);
    assert_int_equal(fx->files->root_kind(&root, &kind), 0);
    assert_int_not_equal(kind, LSI_FS_NETWORK);
    assert_int_equal(fx->files->root_free_bytes(&root, &bytes), 0);
    assert_true(bytes > 0);
    fx->files->root_close(&root);
}

/* ---- the memory table ---- */

typedef struct counter {
    size_t until_failure, live;
} counter;

static void *counting_resize(void *user, void *old, size_t bytes)
{
    counter *count = user;

    if (bytes == 0) {
        count->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (count->until_failure == 0)
        return NULL;
    count->until_failure--;
    count->live += old == NULL;
    return realloc(old, bytes);
}

/* Goal: without memory a call fails, changes nothing and leaks nothing. Method: fail the first, second, ... allocation
 * until the whole sequence succeeds. */
static void every_allocation_of_the_memory_table_may_fail(void **state)
{
    (void)state;
    for (size_t n = 0;; n++) {
        counter count = {n, 0};
        lsi_memory memory = {counting_resize, &count};
        lsi_files *files = lsi_files_memory_new(&memory);
        lsi_file file = {0}, other = {0};
        lsi_root root;
        listing list = {0};
        void *map;
        int result;

        if (files == NULL) {
            assert_int_equal(count.live, 0);
            continue;
        }
        result = files->root_open(files, "r", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root);
        if (result == 0)
            result = files->make_dir(&root, "d");
        if (result == 0)
            result = files->open(&root, "d/a", CREATE, &file);
        if (result == 0)
            result = lsi_file_write_one(&file, "abc", 3, 10000);
        if (result == 0)
            result = files->open(&root, "d/a", 0, &other);
        if (result == 0)
            result = files->lock(&file, 1, LSI_LOCK_EXCLUSIVE);
        if (result == 0)
            result = files->rename(&root, "d/a", "b");
        if (result == 0)
            result = files->list(&root, "", note_entry, &list);
        if (result == 0) {
            result = files->map(&file, 0, 4096, true, &map);
            if (result == 0)
                files->unmap(&file, map, 4096);
        }
        if (lsi_file_is_open(&file))
            files->close(&file);
        if (lsi_file_is_open(&other))
            files->close(&other);
        lsi_files_memory_free(files);
        assert_int_equal(count.live, 0);
        if (result == 0) {
            assert_true(n > 5);
            return;
        }
        assert_int_equal(result, -ENOMEM);
    }
}

/* What a reader has mapped stays when the file is unlinked and closed by everybody else. */
static void a_mapped_file_outlives_its_name(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    lsi_file mapped = open_ok(fx, "a", 0);
    unsigned char *map;

    assert_int_equal(lsi_file_write_one(&file, "abc", 3, 0), 0);
    assert_int_equal(fx->files->map(&mapped, 0, 3, false, (void **)&map), 0);
    assert_int_equal(fx->files->unlink(&fx->root, "a"), 0);
    fx->files->close(&file);
    assert_memory_equal(map, "abc", 3);
    fx->files->unmap(&mapped, map, 3);
    fx->files->close(&mapped);
}

static void two_memory_tables_share_nothing(void **state)
{
    fixture *fx = *state;
    lsi_files *other = lsi_files_memory_new(&lsi_memory_libc);
    lsi_root root;

    make_file(fx, "a", "abc");
    assert_int_equal(other->root_open(other, fx->path, 0, &root), -ENOENT);
    lsi_files_memory_free(other);
}

/* ---- the system's table ---- */

/* Runs `body` in a child, whose assertions cannot be cmocka's: it returns 0 or the line that failed. */
static void in_child(fixture *fx, int (*body)(fixture *fx))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(body(fx) & 0xff);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        fail_msg("the child failed at line %d (mod 256)", WEXITSTATUS(status));
}

#define EXPECT(condition)     \
    do {                      \
        if (!(condition))     \
            return __LINE__;  \
    } while (0)

static void in_dir(fixture *fx, char *into, size_t size, const char *name)
{
    snprintf(into, size, "%s/%s", fx->path, name);
}

static int links_and_pipes(fixture *fx)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[128];
    int socket_fd;

    alarm(10); /* a hang is a failure */
    in_dir(fx, path, sizeof(path), "fifo");
    EXPECT(mkfifo(path, 0600) == 0);
    EXPECT(try_open(fx, "fifo", 0) == -EINVAL);
    EXPECT(try_open(fx, "fifo", LSI_OPEN_WRITE) == -EINVAL);
    EXPECT(try_open(fx, "fifo", CREATE) == -EINVAL);
    in_dir(fx, address.sun_path, sizeof(address.sun_path), "socket");
    socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(bind(socket_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    EXPECT(try_open(fx, "socket", LSI_OPEN_WRITE) == -EINVAL);
    close(socket_fd);

    make_file(fx, "real", "abc");
    EXPECT(fx->files->make_dir(&fx->root, "dir") == 0);
    make_file(fx, "dir/in", "abc");
    in_dir(fx, path, sizeof(path), "link");
    EXPECT(symlink("real", path) == 0);
    EXPECT(try_open(fx, "link", 0) == -ELOOP);
    EXPECT(try_open(fx, "link", CREATE) == -ELOOP);
    in_dir(fx, path, sizeof(path), "dangling");
    EXPECT(symlink("nowhere", path) == 0);
    EXPECT(try_open(fx, "dangling", CREATE) == -ELOOP);
    EXPECT(try_open(fx, "nowhere", 0) == -ENOENT);
    in_dir(fx, path, sizeof(path), "dirlink");
    EXPECT(symlink("dir", path) == 0);
    EXPECT(try_open(fx, "dirlink/in", 0) < 0);
    EXPECT(try_open(fx, "dirlink/made", CREATE) < 0);
    EXPECT(fx->files->make_dir(&fx->root, "dirlink/made") < 0);
    EXPECT(fx->files->unlink(&fx->root, "dirlink/in") < 0);
    EXPECT(fx->files->rename(&fx->root, "real", "dirlink/real") < 0);
    EXPECT(fx->files->sync_dir(&fx->root, "dirlink") < 0);
    in_dir(fx, path, sizeof(path), "etc");
    EXPECT(symlink("/etc", path) == 0);
    EXPECT(try_open(fx, "etc/passwd", 0) < 0);
    EXPECT(try_open(fx, "dir/in", 0) == 0);
    EXPECT(try_open(fx, "dir/fresh", CREATE | LSI_OPEN_EXCLUSIVE) == 0);
    EXPECT(try_open(fx, "dir/fresh", CREATE | LSI_OPEN_EXCLUSIVE) == -EEXIST);
    EXPECT(try_open(fx, "no/fresh", CREATE) == -ENOENT);
    EXPECT(try_open(fx, "real/fresh", CREATE) == -ENOTDIR);
    /* Each of these, and nothing else, is told as what it is. */
    EXPECT(strcmp(lsi_file_misfit(try_open(fx, "fifo", 0)), "is not a regular file") == 0);
    EXPECT(strcmp(lsi_file_misfit(try_open(fx, "link", 0)), "is, or lies behind, a symbolic link") == 0);
    EXPECT(strcmp(lsi_file_misfit(try_open(fx, "real/in", 0)), "lies in what is not a directory") == 0);
    EXPECT(lsi_file_misfit(try_open(fx, "nowhere", 0)) == NULL);
    EXPECT(lsi_file_misfit(-EIO) == NULL && lsi_file_misfit(0) == NULL);
    return 0;
}

/* openat2 answers `err` from now on in this process. */
static int forbid_openat2(unsigned err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int links_without_openat2(fixture *fx)
{
    EXPECT(forbid_openat2(ENOSYS));
    return links_and_pipes(fx);
}

static int links_with_openat2_forbidden(fixture *fx)
{
    EXPECT(forbid_openat2(EPERM));
    return links_and_pipes(fx);
}

static void links_and_pipes_are_refused(void **state)
{
    in_child(*state, links_and_pipes);
}

static void links_and_pipes_are_refused_where_the_kernel_lacks_openat2(void **state)
{
    SKIP_UNLESS(has_filters);
    in_child(*state, links_without_openat2);
}

static void links_and_pipes_are_refused_where_a_filter_forbids_openat2(void **state)
{
    SKIP_UNLESS(has_filters);
    in_child(*state, links_with_openat2_forbidden);
}

static mode_t mode_of(fixture *fx, const char *name)
{
    struct stat about;
    char path[128];

    in_dir(fx, path, sizeof(path), name);
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 07777;
}

/* What is made takes the root directory's group and other permissions, whatever the umask. */
static void modes_follow_the_root_directory(void **state)
{
    static const struct {
        mode_t umask, root, file, dir;
    } cases[] = {
        {0000, 0700, 0600, 0700}, {0077, 0770, 0660, 0770}, {0777, 0755, 0644, 0755}, {0022, 0711, 0600, 0711},
    };
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mode_t before = umask(cases[i].umask);

        assert_int_equal(chmod(fx->path, cases[i].root), 0);
        assert_int_equal(try_open(fx, "a", CREATE), 0);
        assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
        umask(before);
        assert_int_equal(mode_of(fx, "a"), cases[i].file);
        assert_int_equal(mode_of(fx, "d"), cases[i].dir);
        assert_int_equal(fx->files->unlink(&fx->root, "a"), 0);
        assert_int_equal(fx->files->remove_dir(&fx->root, "d"), 0);
    }
}

/* Opening what is there changes neither owner nor mode. */
static void a_file_that_exists_keeps_its_mode(void **state)
{
    fixture *fx = *state;
    char path[128];

    assert_int_equal(try_open(fx, "a", CREATE), 0);
    in_dir(fx, path, sizeof(path), "a");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(try_open(fx, "a", CREATE), 0);
    assert_int_equal(mode_of(fx, "a"), 0640);
}

static void root_makes_files_for_the_owner_of_the_store(void **state)
{
    fixture *fx = *state;
    struct stat about;
    char path[128];

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(fx->path, 1234, 4321), 0);
    assert_int_equal(chmod(fx->path, 0770), 0);
    assert_int_equal(try_open(fx, "a", CREATE), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    in_dir(fx, path, sizeof(path), "a");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_uid, 1234);
    assert_int_equal(about.st_gid, 4321);
    assert_int_equal(about.st_mode & 07777, 0660);
    in_dir(fx, path, sizeof(path), "d");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_uid, 1234);
    assert_int_equal(about.st_gid, 4321);
}

static int as_a_stranger(fixture *fx)
{
    struct stat about;
    char path[128];
    lsi_root root;

    EXPECT(setgid(4242) == 0 && setuid(4242) == 0);
    /* The directory 0757 of another owner and group: others may write. */
    EXPECT(try_open(fx, "a", CREATE) == 0);
    in_dir(fx, path, sizeof(path), "a");
    EXPECT(stat(path, &about) == 0 && about.st_uid == 4242 && about.st_gid == 4242);
    /* 0606 would lock out who is in our group, as no other; 0666 would let one in who is in both groups. */
    EXPECT((about.st_mode & 07777) == 0646);
    in_dir(fx, path, sizeof(path), "closed");
    EXPECT(fx->files->root_open(fx->files, path, 0, &root) == 0);
    fx->files->root_close(&root);
    EXPECT(fx->files->root_open(fx->files, path, LSI_ROOT_WRITE, &root) == -EACCES);
    EXPECT(fx->files->root_open(fx->files, path, LSI_ROOT_WRITE | LSI_ROOT_CREATE, &root) == -EACCES);
    return 0;
}

/* E6, and W1 of file_owner.c. */
static void who_may_not_write_is_told_so(void **state)
{
    fixture *fx = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(fx->path, 0747), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "closed"), 0);
    assert_int_equal(chmod(fx->path, 0757), 0);
    {
        char path[128];

        in_dir(fx, path, sizeof(path), "closed");
        assert_int_equal(chmod(path, 0755), 0);
    }
    in_child(fx, as_a_stranger);
}

static void a_missing_parent_of_the_root_is_an_error(void **state)
{
    fixture *fx = *state;
    char path[128];
    lsi_root root;

    in_dir(fx, path, sizeof(path), "no/such");
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), -ENOENT);
    make_file(fx, "f", "");
    in_dir(fx, path, sizeof(path), "f");
    assert_int_equal(fx->files->root_open(fx->files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), -ENOTDIR);
}

static void descriptors_are_not_inherited_by_programs(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);

    assert_int_equal(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fx->root.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fx->files->close(&file);
}

static int write_over_the_limit(fixture *fx)
{
    struct rlimit limit = {10000, 10000};
    static unsigned char bytes[8000];
    lsi_span spans[3] = {{bytes, 4000}, {bytes, 8000}, {bytes, 8000}};
    lsi_file file = open_ok(fx, "a", CREATE);
    uint64_t size;

    signal(SIGXFSZ, SIG_IGN);
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT(fx->files->write(&file, spans, 3, 0) == -EFBIG);
    EXPECT(fx->files->size(&file, &size) == 0 && size == 10000); /* the short write came first and was continued */
    EXPECT(fx->files->write(&file, spans, 1, 5000) == 0);
    return 0;
}

/* E4: a short write is continued until all is written or the reason is known. */
static void a_short_write_is_continued_to_its_error(void **state)
{
    in_child(*state, write_over_the_limit);
}

static int give_up_lock(fixture *fx)
{
    (void)fx;
    return 0;
}

static lsi_file abandoned; /* handed to the child by fork */

static int abandon_it(fixture *fx)
{
    fx->files->abandon(&abandoned);
    EXPECT(!lsi_file_is_open(&abandoned));
    return 0;
}

/* P6: what a fork child does with the descriptors takes nothing from its parent, and nothing survives the parent's
 * close once the child gave it up. */
static void a_child_that_gives_up_its_files_leaves_the_locks_alone(void **state)
{
    fixture *fx = *state;
    lsi_file other;

    abandoned = open_ok(fx, "a", CREATE);
    other = open_ok(fx, "a", LSI_OPEN_WRITE);
    assert_int_equal(fx->files->lock(&abandoned, 3, LSI_LOCK_EXCLUSIVE), 0);
    in_child(fx, abandon_it);
    assert_int_equal(fx->files->lock(&other, 3, LSI_LOCK_SHARED), -EAGAIN);
    in_child(fx, give_up_lock);
    assert_int_equal(fx->files->locked_elsewhere(&other, 3), 1);
    fx->files->close(&abandoned);
    assert_int_equal(fx->files->lock(&other, 3, LSI_LOCK_SHARED), 0);
    fx->files->close(&other);
}

/* P6: the kernel says whether a process lives: its lock goes with it, however it ends. */
static void the_lock_of_a_killed_process_is_gone(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    int pipe_fds[2], status;
    char byte;
    pid_t child;

    assert_int_equal(pipe(pipe_fds), 0);
    child = fork();
    if (child == 0) {
        lsi_file own = {0};

        fx->files->abandon(&file);
        if (fx->files->open(&fx->root, "a", LSI_OPEN_WRITE, &own) != 0 ||
            fx->files->lock(&own, 5, LSI_LOCK_EXCLUSIVE) != 0 || write(pipe_fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(fx->files->locked_elsewhere(&file, 5), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(fx->files->locked_elsewhere(&file, 5), 0);
    assert_int_equal(fx->files->lock(&file, 5, LSI_LOCK_EXCLUSIVE), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    fx->files->close(&file);
}

#define BOTH(setup)                                                                             \
    cmocka_unit_test_setup_teardown(spans_are_written_one_after_another, setup, clean_up),      \
    cmocka_unit_test_setup_teardown(reading_gives_less_only_at_the_end, setup, clean_up),       \
    cmocka_unit_test_setup_teardown(opening_creates_only_what_it_was_told_to, setup, clean_up), \
    cmocka_unit_test_setup_teardown(a_file_opened_to_read_refuses_writes, setup, clean_up),     \
    cmocka_unit_test_setup_teardown(names_that_could_leave_the_root_are_refused, setup, clean_up), \
    cmocka_unit_test_setup_teardown(directories_hold_names, setup, clean_up),                   \
    cmocka_unit_test_setup_teardown(listing_stops_when_told_and_may_unlink, setup, clean_up),   \
    cmocka_unit_test_setup_teardown(renaming_replaces_and_open_files_stay, setup, clean_up),    \
    cmocka_unit_test_setup_teardown(renaming_to_a_new_name_replaces_nothing, setup, clean_up),  \
    cmocka_unit_test_setup_teardown(an_unlinked_file_stays_while_it_is_open, setup, clean_up),  \
    cmocka_unit_test_setup_teardown(files_grow_and_shrink_with_zeros, setup, clean_up),         \
    cmocka_unit_test_setup_teardown(what_is_given_back_reads_as_zeros, setup, clean_up),        \
    cmocka_unit_test_setup_teardown(a_mapping_never_moves, setup, clean_up),                    \
    cmocka_unit_test_setup_teardown(locks_belong_to_an_open, setup, clean_up),                  \
    cmocka_unit_test_setup_teardown(replacing_leaves_the_new_file_alone, setup, clean_up),      \
    cmocka_unit_test_setup_teardown(a_replacement_that_fails_leaves_no_new_file, setup, clean_up), \
    cmocka_unit_test_setup_teardown(a_mapped_file_outlives_its_name, setup, clean_up),          \
    cmocka_unit_test_setup_teardown(roots_are_made_only_when_asked, setup, clean_up)

#define DISK(test) cmocka_unit_test_setup_teardown(test, on_disk, clean_up)

/* E7: what is not known to be local is not taken for it. */
static void only_file_systems_known_to_be_local_are_local(void **state)
{
    static const struct { uint32_t type; lsi_fs_kind kind; } of[] = {
        /* ext4, XFS, tmpfs, btrfs, F2FS, ZFS, overlayfs */
        {0x0000EF53, LSI_FS_IN_PLACE}, {0x58465342, LSI_FS_IN_PLACE}, {0x01021994, LSI_FS_IN_PLACE},
        {0x9123683E, LSI_FS_COPYING}, {0xF2F52010, LSI_FS_LOCAL}, {0x2FC12FC1, LSI_FS_LOCAL},
        {0x794C7630, LSI_FS_LOCAL},
        /* NFS, CIFS, FUSE, BeeGFS, PanFS, VMHGFS, NCP, GFS2, OCFS2, and some that nobody has heard of */
        {0x00006969, LSI_FS_NETWORK}, {0xFF534D42, LSI_FS_NETWORK}, {0x65735546, LSI_FS_NETWORK},
        {0x19830326, LSI_FS_NETWORK}, {0xAAD7AAEA, LSI_FS_NETWORK}, {0xBACBACBC, LSI_FS_NETWORK},
        {0x0000564C, LSI_FS_NETWORK}, {0x01161970, LSI_FS_NETWORK}, {0x7461636F, LSI_FS_NETWORK},
        {0x00000000, LSI_FS_NETWORK}, {0x12345678, LSI_FS_NETWORK}, {0xFFFFFFFF, LSI_FS_NETWORK}};

    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        assert_int_equal(lsi_fs_kind_of(of[i].type), of[i].kind);
}

int main(void)
{
    static const struct CMUnitTest files_in_memory[] = {
        BOTH(in_memory),
        cmocka_unit_test(every_allocation_of_the_memory_table_may_fail),
        cmocka_unit_test_setup_teardown(two_memory_tables_share_nothing, in_memory, clean_up),
        cmocka_unit_test(only_file_systems_known_to_be_local_are_local),
    };
    static const struct CMUnitTest files_of_the_system[] = {
        BOTH(on_disk),
        DISK(links_and_pipes_are_refused),
        DISK(links_and_pipes_are_refused_where_the_kernel_lacks_openat2),
        DISK(links_and_pipes_are_refused_where_a_filter_forbids_openat2),
        DISK(modes_follow_the_root_directory),
        DISK(a_file_that_exists_keeps_its_mode),
        DISK(root_makes_files_for_the_owner_of_the_store),
        DISK(who_may_not_write_is_told_so),
        DISK(a_missing_parent_of_the_root_is_an_error),
        DISK(descriptors_are_not_inherited_by_programs),
        DISK(a_short_write_is_continued_to_its_error),
        DISK(a_child_that_gives_up_its_files_leaves_the_locks_alone),
        DISK(the_lock_of_a_killed_process_is_gone),
    };
    int failed = cmocka_run_group_tests(files_in_memory, NULL, NULL);

    return failed + cmocka_run_group_tests(files_of_the_system, NULL, NULL);
}
