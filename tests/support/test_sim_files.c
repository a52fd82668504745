/* The tests' file layer does what sim_files.h says. It is what the crash harnesses stand on: a disk that is too kind
 * hides defects, one that is too cruel invents them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/lock.h"
#include "support/sim_files.h"

#define CREATE (LSI_OPEN_WRITE | LSI_OPEN_CREATE)
#define SEEDS 200

typedef struct fixture {
    sim_files *sim;
    const lsi_files *files;
    lsi_root root;
} fixture;

static void open_root(fixture *fx)
{
    fx->files = sim_files_table(fx->sim);
    assert_int_equal(fx->files->root_open(fx->files, "x", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &fx->root), 0);
}

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));

    fx->sim = sim_files_new();
    open_root(fx);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    sim_files_free(fx->sim);
    free(fx);
    lsi_boot_id_pretend(NULL);
    return 0;
}

/* ---- small helps ---- */

static lsi_file open_ok(fixture *fx, const char *name, unsigned flags)
{
    lsi_file file = {0};

    assert_int_equal(fx->files->open(&fx->root, name, flags, &file), 0);
    return file;
}

static void write_ok(const lsi_file *file, const char *text, uint64_t at)
{
    assert_int_equal(lsi_file_write_one(file, text, strlen(text), at), 0);
}

/* The text of a file on a disk; NULL when it is not there. Valid until the next call. */
static const char *text_of(sim_files *sim, const char *name)
{
    static char text[20000];
    fixture fx = {.sim = sim};
    lsi_file file = {0};
    int64_t size;

    open_root(&fx);
    if (fx.files->open(&fx.root, name, 0, &file) != 0)
        return NULL;
    size = fx.files->read(&file, text, sizeof(text) - 1, 0);
    assert_true(size >= 0);
    text[size] = '\0';
    fx.files->close(&file);
    return text;
}

static int64_t size_of(sim_files *sim, const char *name)
{
    fixture fx = {.sim = sim};
    lsi_file file = {0};
    uint64_t size;

    open_root(&fx);
    if (fx.files->open(&fx.root, name, 0, &file) != 0)
        return -1;
    assert_int_equal(fx.files->size(&file, &size), 0);
    fx.files->close(&file);
    return (int64_t)size;
}

static bool text_is(sim_files *sim, const char *name, const char *wanted)
{
    const char *text = text_of(sim, name);

    return text == NULL ? wanted == NULL : wanted != NULL && strcmp(text, wanted) == 0;
}

static void assert_text(sim_files *sim, const char *name, const char *wanted)
{
    if (!text_is(sim, name, wanted)) {
        const char *text = text_of(sim, name);

        fail_msg("'%s' holds '%s' and not '%s'", name, text != NULL ? text : "(nothing)", wanted != NULL ? wanted : "");
    }
}

/* In how many of SEEDS disks after `prefix` changes `name` holds `wanted`. */
static int seeds_with(fixture *fx, size_t prefix, const char *name, const char *wanted)
{
    int count = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sim_files *crashed = sim_crash_state(fx->sim, prefix, seed);

        count += text_is(crashed, name, wanted);
        sim_files_free(crashed);
    }
    return count;
}

/* A file whose name and text are safe. */
static lsi_file safe_file(fixture *fx, const char *name, const char *text)
{
    lsi_file file = open_ok(fx, name, CREATE);

    write_ok(&file, text, 0);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    return file;
}

/* ---- crash states ---- */

static void what_is_synced_is_there_in_every_state(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "hello");

    fx->files->close(&file);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "a", "hello"), SEEDS);
    /* A change earlier, none of it is sure. */
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim) - 1, "a", "hello"), 1, SEEDS - 1);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim) - 1, "a", NULL), 1, SEEDS - 1);
}

/* Both syncs are needed: a synced file without a synced name may be gone, a synced name may lead to an empty file. */
static void neither_sync_does_the_work_of_the_other(void **state)
{
    fixture *fx = *state;
    lsi_file named = open_ok(fx, "named", CREATE);
    lsi_file written;

    write_ok(&named, "text", 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    written = open_ok(fx, "written", CREATE);
    write_ok(&written, "text", 0);
    assert_int_equal(fx->files->sync(&written, false), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "named", NULL), 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "named", ""), 1, SEEDS - 1);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "written", NULL), 1, SEEDS - 1);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "written", ""), 0);
    fx->files->close(&named);
    fx->files->close(&written);
}

static void the_corners_are_what_their_names_say(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "old");
    static const struct {
        uint64_t seed;
        const char *a, *b, *c;
    } corners[] = {
        {SIM_SEED_NOTHING, "old", NULL, NULL},
        {SIM_SEED_EVERYTHING, NULL, "oldnew", "c"},
        {SIM_SEED_NAMES, NULL, "old", ""},
        {SIM_SEED_BYTES, "oldnew", NULL, NULL},
    };

    write_ok(&file, "new", 3);
    assert_int_equal(fx->files->rename(&fx->root, "a", "b"), 0);
    fx->files->close(&file);
    file = open_ok(fx, "c", CREATE);
    write_ok(&file, "c", 0);
    fx->files->close(&file);
    for (size_t i = 0; i < sizeof(corners) / sizeof(corners[0]); i++) {
        sim_files *crashed = sim_crash_state(fx->sim, sim_log_count(fx->sim), corners[i].seed);

        assert_text(crashed, "a", corners[i].a);
        assert_text(crashed, "b", corners[i].b);
        assert_text(crashed, "c", corners[i].c);
        sim_files_free(crashed);
    }
    {
        sim_files *crashed = sim_crash_state(fx->sim, sim_log_count(fx->sim), SIM_SEED_GROWTH);

        assert_int_equal(size_of(crashed, "b"), 6);
        assert_memory_equal(text_of(crashed, "b"), "old\0\0\0", 6);
        sim_files_free(crashed);
        crashed = sim_crash_state(fx->sim, sim_log_count(fx->sim), SIM_SEED_STALE);
        assert_int_equal(size_of(crashed, "b"), 6);
        assert_memory_equal(text_of(crashed, "b"), "old", 3);
        assert_memory_not_equal(text_of(crashed, "b") + 3, "\0\0\0", 3);
        sim_files_free(crashed);
    }
}

/* Where a file grew without its data there may be what a file left there that was deleted before: as much of it as was
 * synced, at its own place. Not what is in a file that is still there, nor in one that was deleted after. */
static void deleted_files_leave_their_bytes_in_their_place(void **state)
{
    fixture *fx = *state;
    static const char *const kept = "KEPTKEPTKEPT";
    lsi_file gone = safe_file(fx, "gone", "abcdefgh");
    lsi_file later = safe_file(fx, "later", "LATERLATERLATER");
    lsi_file file;
    size_t grown;

    write_ok(&gone, "nosync", 8);
    fx->files->close(&gone);
    file = safe_file(fx, "kept", kept);
    fx->files->close(&file);
    assert_int_equal(fx->files->unlink(&fx->root, "gone"), 0);
    file = safe_file(fx, "a", "AB");
    write_ok(&file, "........", 2);
    fx->files->close(&file);
    grown = sim_log_count(fx->sim);
    fx->files->close(&later);
    assert_int_equal(fx->files->unlink(&fx->root, "later"), 0);
    for (size_t prefix = grown; prefix <= sim_log_count(fx->sim); prefix++) {
        sim_files *crashed = sim_crash_state(fx->sim, prefix, SIM_SEED_STALE);

        assert_int_equal(size_of(crashed, "a"), 10);
        assert_memory_equal(text_of(crashed, "a"), "ABcdefgh", 8);
        assert_text(crashed, "kept", kept);
        sim_files_free(crashed);
    }
}

/* The disk that a crash left has free blocks as well: files are in them whose deletion or creation it made true. */
static void leftovers_outlive_a_crash(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "gone", "abcdefgh");
    fixture second = {0};
    sim_files *crashed;

    fx->files->close(&file);
    assert_int_equal(fx->files->unlink(&fx->root, "gone"), 0);
    second.sim = sim_crash_state(fx->sim, sim_log_count(fx->sim), SIM_SEED_EVERYTHING);
    open_root(&second);
    assert_text(second.sim, "gone", NULL);
    file = open_ok(&second, "a", CREATE);
    write_ok(&file, "....", 0);
    second.files->close(&file);
    crashed = sim_crash_state(second.sim, sim_log_count(second.sim), SIM_SEED_STALE);
    assert_text(crashed, "a", "abcd");
    sim_files_free(crashed);
    sim_files_free(second.sim);
}

/* A rename that replaces: the old file or the new one, and before its data the new one may be empty. */
static void a_rename_may_come_before_its_data(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "m", "old");
    int old, whole, empty;

    fx->files->close(&file);
    file = open_ok(fx, "m.new", CREATE);
    write_ok(&file, "new", 0);
    fx->files->close(&file);
    assert_int_equal(fx->files->rename(&fx->root, "m.new", "m"), 0);
    old = seeds_with(fx, sim_log_count(fx->sim), "m", "old");
    whole = seeds_with(fx, sim_log_count(fx->sim), "m", "new");
    empty = seeds_with(fx, sim_log_count(fx->sim), "m", "");
    assert_true(old > 0 && whole > 0 && empty > 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "m", NULL), 0);
}

/* lsi_file_replace() does it right: at every moment the old or the new file, whole; after it, the new one. */
static void replacing_survives_every_crash(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "m", "old");
    size_t from = sim_log_count(fx->sim), to;

    fx->files->close(&file);
    assert_int_equal(lsi_file_replace(&fx->root, "", "m", "new", 3), 0);
    to = sim_log_count(fx->sim);
    for (size_t prefix = from; prefix <= to; prefix++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            sim_files *crashed = sim_crash_state(fx->sim, prefix, seed);

            assert_true(text_is(crashed, "m", "new") || (prefix < to && text_is(crashed, "m", "old")));
            sim_files_free(crashed);
        }
}

/* A write tears at sectors of the file, not of the write, and each may come alone. */
static void writes_tear_at_sectors(void **state)
{
    fixture *fx = *state;
    unsigned char old[2048], fresh[1200], got[2048];
    bool seen[16] = {false}; /* by the set of sectors that are new */
    lsi_file file = open_ok(fx, "a", CREATE);
    int sets = 0;

    memset(old, 'o', sizeof(old));
    memset(fresh, 'n', sizeof(fresh));
    assert_int_equal(lsi_file_write_one(&file, old, sizeof(old), 0), 0);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    assert_int_equal(lsi_file_write_one(&file, fresh, sizeof(fresh), 500), 0); /* 500..1699: sectors 0 to 3 */
    for (uint64_t seed = 0; seed < 400; seed++) {
        sim_files *crashed = sim_crash_state(fx->sim, sim_log_count(fx->sim), seed);
        unsigned set = 0;

        assert_int_equal(size_of(crashed, "a"), 2048);
        memcpy(got, text_of(crashed, "a"), sizeof(got));
        for (size_t at = 0; at < sizeof(got); at++) {
            bool inside = at >= 500 && at < 1700;
            size_t first = at / 512 == 0 ? 500 : at / 512 * 512; /* of the write in this sector */

            assert_int_equal(got[at], inside ? got[first] : 'o');
            if (inside && got[at] == 'n')
                set |= 1u << (at / 512);
        }
        seen[set] = true;
        sim_files_free(crashed);
    }
    for (int i = 0; i < 16; i++)
        sets += seen[i];
    assert_int_equal(sets, 16);
    fx->files->close(&file);
}

/* E1: after a sync that failed, a later one that succeeds does not make the old bytes safe; writing again does. */
static void a_failed_sync_leaves_doubt_for_ever(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "");

    write_ok(&file, "text", 0);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .nth = 1, .err = EIO});
    assert_int_equal(fx->files->sync(&file, true), -EIO);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_text(fx->sim, "a", "text"); /* the cache shows them */
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "a", "text"), 1, SEEDS - 1);
    write_ok(&file, "text", 0);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "a", "text"), SEEDS);
    fx->files->close(&file);
}

static void a_failed_directory_sync_leaves_doubt_too(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);

    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = 1, .err = EIO});
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), -EIO);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "a", NULL), 1, SEEDS - 1);
    fx->files->close(&file);
}

/* A bulk covers all files and names, whoever made them, and what was written before it ended. */
static void the_end_of_a_bulk_makes_everything_sure(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "before", CREATE), bulk = {0};

    assert_int_equal(fx->files->bulk_begin(&fx->root, &bulk), 0);
    assert_true(lsi_file_is_open(&bulk));
    write_ok(&file, "text", 0);
    fx->files->close(&file);
    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    file = open_ok(fx, "d/in", CREATE);
    write_ok(&file, "more", 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "d/in", NULL), 1, SEEDS - 1);
    assert_int_equal(fx->files->bulk_end(&bulk, true), 0);
    assert_false(lsi_file_is_open(&bulk));
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "before", "text"), SEEDS);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "d/in", "more"), SEEDS);
    write_ok(&file, "last", 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "d/in", "more"), 1, SEEDS - 1);
    fx->files->close(&file);
}

static void a_bulk_that_is_given_up_makes_nothing_sure(void **state)
{
    fixture *fx = *state;
    lsi_file file, bulk = {0};

    assert_int_equal(fx->files->bulk_begin(&fx->root, &bulk), 0);
    file = open_ok(fx, "a", CREATE);
    assert_int_equal(fx->files->bulk_end(&bulk, false), 0);
    assert_false(lsi_file_is_open(&bulk));
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "a", NULL), 1, SEEDS - 1);
    fx->files->close(&file);
}

/* What was made in it stays in doubt, whatever is synced later; what was there before has its own descriptors. */
static void a_failed_bulk_leaves_doubt_in_what_was_made_in_it(void **state)
{
    fixture *fx = *state;
    lsi_file old = safe_file(fx, "old", "text"), file, bulk = {0};

    write_ok(&old, "TEXT", 0);
    assert_int_equal(fx->files->bulk_begin(&fx->root, &bulk), 0);
    file = open_ok(fx, "a", CREATE);
    write_ok(&file, "text", 0);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_BULK_END, .nth = 1, .err = EIO});
    assert_int_equal(fx->files->bulk_end(&bulk, true), -EIO);
    assert_false(lsi_file_is_open(&bulk));
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "a", "text"), 1, SEEDS - 1);
    assert_int_equal(fx->files->sync(&old, true), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "old", "TEXT"), SEEDS);
    fx->files->close(&file);
    fx->files->close(&old);
}

static void write_in_the_middle(void *user, sim_call call, const char *name)
{
    (void)name;
    if (call == SIM_SYNC_ENDS)
        write_ok(user, "late", 0);
}

/* D5: a sync covers what was written before it began. */
static void bytes_written_during_a_sync_are_not_covered(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "soon");

    sim_hook_set(fx->sim, write_in_the_middle, &file);
    assert_int_equal(fx->files->sync(&file, true), 0);
    sim_hook_set(fx->sim, NULL, NULL);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "a", "soon"), 1, SEEDS - 1);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "a", "late"), SEEDS);
    fx->files->close(&file);
}

/* What is written through a mapping is pending like any write, announced by store() or not. */
static void stores_are_written_back_by_a_sync(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    size_t before;
    char *map;

    assert_int_equal(fx->files->allocate(&file, 0, 4096), 0);
    assert_int_equal(fx->files->map(&file, 0, 4096, true, (void **)&map), 0);
    assert_int_equal(fx->files->sync(&file, false), 0);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    before = sim_log_count(fx->sim);
    memcpy(map, "silent", 6);
    assert_int_equal(sim_log_count(fx->sim), before + 1);
    assert_int_equal(sim_log_at(fx->sim, before)->kind, SIM_OP_STORE);
    assert_in_range(seeds_with(fx, before + 1, "a", "silent"), 1, SEEDS - 1);
    fx->files->store(&file, map + 3000, "told", 4);
    assert_int_equal(sim_log_count(fx->sim), before + 2);
    assert_int_equal(sim_log_at(fx->sim, before + 1)->at, 3000);
    assert_int_equal(sim_log_at(fx->sim, before + 1)->size, 4);
    assert_int_equal(fx->files->sync(&file, true), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "a", "silent"), SEEDS);
    fx->files->unmap(&file, map, 4096);
    fx->files->close(&file);
}

/* Directories: a name inside one that is not safe itself may be unreachable; removing is pending as well. */
static void names_need_their_directory(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    assert_int_equal(fx->files->make_dir(&fx->root, "d"), 0);
    file = open_ok(fx, "d/a", CREATE);
    write_ok(&file, "text", 0);
    assert_int_equal(fx->files->sync(&file, true), 0);
    fx->files->close(&file);
    assert_int_equal(fx->files->sync_dir(&fx->root, "d"), 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "d/a", NULL), 1, SEEDS - 1);
    assert_int_equal(fx->files->sync_dir(&fx->root, ""), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "d/a", "text"), SEEDS);
    assert_int_equal(fx->files->unlink(&fx->root, "d/a"), 0);
    assert_in_range(seeds_with(fx, sim_log_count(fx->sim), "d/a", "text"), 1, SEEDS - 1);
    assert_int_equal(fx->files->sync_dir(&fx->root, "d"), 0);
    assert_int_equal(seeds_with(fx, sim_log_count(fx->sim), "d/a", NULL), SEEDS);
    assert_int_equal(fx->files->rename(&fx->root, "d", "e"), 0);
    assert_int_equal(fx->files->remove_dir(&fx->root, "e"), 0);
    assert_int_equal(sim_log_at(fx->sim, sim_log_count(fx->sim) - 1)->kind, SIM_OP_REMOVE_DIR);
}

static void equal_arguments_give_equal_disks(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "text");
    uint64_t first = 0;
    int different = 0;

    write_ok(&file, "more", 4);
    for (uint64_t seed = 0; seed < 50; seed++) {
        sim_files *one = sim_crash_state(fx->sim, sim_log_count(fx->sim), seed);
        sim_files *two = sim_crash_state(fx->sim, sim_log_count(fx->sim), seed);

        assert_int_equal(sim_hash(one), sim_hash(two));
        if (seed == 0)
            first = sim_hash(one);
        different += sim_hash(one) != first;
        sim_files_free(one);
        sim_files_free(two);
    }
    assert_in_range(different, 1, 49);
    fx->files->close(&file);
}

/* R8's method: what a crash left is safe from the next crash, what recovery adds is not until it is synced. */
static void a_crash_state_can_crash_again(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "text");
    fixture second = {0};

    fx->files->close(&file);
    second.sim = sim_crash_state(fx->sim, sim_log_count(fx->sim), SIM_SEED_NOTHING);
    open_root(&second);
    assert_int_equal(sim_log_base(second.sim), sim_log_count(second.sim));
    file = open_ok(&second, "a", LSI_OPEN_WRITE);
    write_ok(&file, "TEXT", 0);
    assert_in_range(seeds_with(&second, sim_log_count(second.sim), "a", "TEXT"), 1, SEEDS - 1);
    assert_in_range(seeds_with(&second, sim_log_count(second.sim), "a", "text"), 1, SEEDS - 1);
    assert_int_equal(seeds_with(&second, 0, "a", "text"), SEEDS);
    second.files->close(&file);
    sim_files_free(second.sim);
}

/* A kill loses nothing that was written, and makes nothing safe. */
static void a_clone_remembers_what_is_not_synced(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "text");
    fixture clone = {0};
    unsigned char boot[16], same[16], other[16];
    sim_files *crashed;

    write_ok(&file, "TEXT", 0);
    lsi_boot_id(boot);
    clone.sim = sim_clone(fx->sim);
    fx->files->close(&file);
    assert_int_equal(sim_hash(clone.sim), sim_hash(fx->sim));
    assert_text(clone.sim, "a", "TEXT");
    lsi_boot_id(same);
    assert_memory_equal(boot, same, 16);
    assert_in_range(seeds_with(&clone, sim_log_count(clone.sim), "a", "text"), 1, SEEDS - 1);
    crashed = sim_crash_state(clone.sim, sim_log_count(clone.sim), 0);
    assert_text(crashed, "a", "text");
    lsi_boot_id(other);
    assert_memory_not_equal(boot, other, 16);
    sim_files_free(crashed);
    sim_files_free(clone.sim);
}

/* ---- faults ---- */

static void faults_meet_the_call_they_are_meant_for(void **state)
{
    fixture *fx = *state;
    lsi_file a = open_ok(fx, "a", CREATE), b = open_ok(fx, "b", CREATE);
    uint64_t calls = sim_calls(fx->sim, SIM_WRITE);

    sim_fault_add(fx->sim, (sim_fault){.call = SIM_WRITE, .name = "b", .nth = 2, .err = ENOSPC});
    write_ok(&a, "x", 0);
    write_ok(&a, "x", 0);
    write_ok(&b, "x", 0);
    assert_int_equal(sim_faults_met(fx->sim), 0);
    assert_int_equal(lsi_file_write_one(&b, "y", 1, 0), -ENOSPC);
    assert_int_equal(sim_faults_met(fx->sim), 1);
    write_ok(&b, "z", 1);
    assert_text(fx->sim, "b", "xz");
    assert_int_equal(sim_calls(fx->sim, SIM_WRITE), calls + 5);
    sim_faults_clear(fx->sim);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = 1, .err = EMFILE, .sticky = true});
    {
        lsi_file none = {0};

        assert_int_equal(fx->files->open(&fx->root, "c", CREATE, &none), -EMFILE);
        assert_int_equal(fx->files->make_dir(&fx->root, "d"), -EMFILE);
    }
    assert_int_equal(sim_faults_met(fx->sim), 2);
    assert_int_equal(fx->files->close(&a), -EMFILE);
    assert_false(lsi_file_is_open(&a)); /* released even so */
    sim_faults_clear(fx->sim);
    assert_int_equal(fx->files->close(&b), 0);
    assert_text(fx->sim, "c", NULL);
}

/* A write may put some bytes before it fails (E4). */
static void a_short_write_leaves_its_beginning(void **state)
{
    fixture *fx = *state;
    lsi_file file = open_ok(fx, "a", CREATE);
    lsi_span spans[2] = {{"abc", 3}, {"def", 3}};

    sim_fault_add(fx->sim, (sim_fault){.call = SIM_WRITE, .nth = 1, .err = ENOSPC, .short_bytes = 4});
    assert_int_equal(fx->files->write(&file, spans, 2, 0), -ENOSPC);
    assert_text(fx->sim, "a", "abcd");
    assert_int_equal(fx->files->write(&file, spans, 2, 0), 0);
    assert_text(fx->sim, "a", "abcdef");
    fx->files->close(&file);
}

/* The walk of H1: each call fails once; lsi_file_replace() leaves the old or the new file in place, whole, and says
 * which by its result as long as the directory sync was not the one that failed. */
static void replacing_survives_every_fault(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "m", "old");
    uint64_t nth = 1;

    fx->files->close(&file);
    for (;; nth++) {
        int result;
        uint64_t met;

        assert_int_equal(lsi_file_replace(&fx->root, "", "m", "old", 3), 0);
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = EIO});
        result = lsi_file_replace(&fx->root, "", "m", "new", 3);
        met = sim_faults_met(fx->sim);
        sim_faults_clear(fx->sim);
        if (met == 0) {
            assert_int_equal(result, 0);
            break;
        }
        assert_int_equal(result, -EIO);
        assert_true(text_is(fx->sim, "m", "old") || text_is(fx->sim, "m", "new"));
        assert_text(fx->sim, "m.new", NULL);
    }
    assert_int_equal(nth - 1, 7); /* unlink, open, write, sync, close, rename, sync_dir */
    assert_text(fx->sim, "m", "new");
}

/* ---- processes ---- */

typedef struct victim {
    fixture *fx;
    lsi_lock *lock;
    bool finished;
} victim;

static void holds_locks_and_writes(void *user)
{
    victim *who = user;
    lsi_file file = open_ok(who->fx, "a", LSI_OPEN_WRITE);

    if (who->fx->files->lock(&file, 1, LSI_LOCK_EXCLUSIVE) != 0 ||
        lsi_lock_take(who->lock, LSI_RANK_SHARD, 1000) != LSI_LOCKED)
        abort();
    write_ok(&file, "abcdef", 0);
    lsi_lock_release(who->lock, LSI_RANK_SHARD);
    who->fx->files->close(&file);
    who->finished = true;
}

/* P1 in one process: a thread that is killed leaves a robust lock in memory of the file system, told as a death; its
 * OFD locks are gone; the write it died in is torn. */
static void a_killed_process_leaves_what_a_real_one_leaves(void **state)
{
    fixture *fx = *state;
    victim who = {.fx = fx};
    fixture clone = {0};
    lsi_lock *copied;

    lsi_file file = safe_file(fx, "a", "------");
    lsi_file shared = open_ok(fx, "control", CREATE);
    assert_int_equal(fx->files->allocate(&shared, 0, 4096), 0);
    assert_int_equal(fx->files->map(&shared, 0, 4096, true, (void **)&who.lock), 0);
    assert_int_equal(lsi_lock_init(who.lock), 0);

    assert_false(sim_run(fx->sim, holds_locks_and_writes, &who));
    assert_true(who.finished);
    assert_int_equal(lsi_lock_try(who.lock, LSI_RANK_SHARD), LSI_LOCKED);
    lsi_lock_release(who.lock, LSI_RANK_SHARD);

    who.finished = false;
    write_ok(&file, "------", 0);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_WRITE, .nth = 1, .kill = true, .short_bytes = 2});
    assert_true(sim_run(fx->sim, holds_locks_and_writes, &who));
    assert_false(who.finished);
    sim_faults_clear(fx->sim);
    assert_text(fx->sim, "a", "ab----");
    assert_int_equal(fx->files->locked_elsewhere(&file, 1), 0);

    /* The same in a copy of the disk: shared memory carries the death over. */
    clone.sim = sim_clone(fx->sim);
    open_root(&clone);
    {
        lsi_file control = open_ok(&clone, "control", LSI_OPEN_WRITE);

        assert_int_equal(clone.files->map(&control, 0, 4096, true, (void **)&copied), 0);
        assert_int_equal(lsi_lock_try(copied, LSI_RANK_SHARD), LSI_LOCKED_AFTER_DEATH);
        lsi_lock_repaired(copied);
        lsi_lock_release(copied, LSI_RANK_SHARD);
    }
    sim_files_free(clone.sim);

    assert_int_equal(lsi_lock_take(who.lock, LSI_RANK_SHARD, 1000), LSI_LOCKED_AFTER_DEATH);
    lsi_lock_repaired(who.lock);
    lsi_lock_release(who.lock, LSI_RANK_SHARD);
    fx->files->unmap(&shared, who.lock, 4096);
    fx->files->close(&shared);
    fx->files->close(&file);
}

/* Every call is a place to die: the walk ends exactly when the process finishes. */
static void a_process_can_be_killed_at_every_call(void **state)
{
    fixture *fx = *state;
    lsi_file file = safe_file(fx, "a", "------");
    lsi_lock lock;
    victim who = {.fx = fx, .lock = &lock};
    int deaths_with_lock = 0;
    uint64_t nth = 1;

    fx->files->close(&file);
    assert_int_equal(lsi_lock_init(&lock), 0);
    for (;; nth++) {
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = nth, .kill = true});
        if (!sim_run(fx->sim, holds_locks_and_writes, &who))
            break;
        sim_faults_clear(fx->sim);
        if (lsi_lock_try(&lock, LSI_RANK_SHARD) == LSI_LOCKED_AFTER_DEATH) {
            deaths_with_lock++;
            lsi_lock_repaired(&lock);
        }
        lsi_lock_release(&lock, LSI_RANK_SHARD);
    }
    assert_true(who.finished);
    assert_int_equal(nth - 1, 4); /* open, lock, write, close */
    assert_int_equal(deaths_with_lock, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* "x/out" is a directory of the one root: its names are there, too, and its own name is durable when that is asked. */
static void a_root_may_lie_beneath_the_root(void **state)
{
    fixture *fx = *state;
    lsi_root beneath;
    lsi_file file = {0};
    sim_files *after;

    assert_int_equal(fx->files->root_open(fx->files, "x/out", LSI_ROOT_WRITE, &beneath), -ENOENT);
    assert_int_equal(fx->files->root_open(fx->files, "x/out", LSI_ROOT_WRITE | LSI_ROOT_CREATE | LSI_ROOT_SYNC_NAME,
                                          &beneath), 0);
    assert_int_equal(fx->files->make_dir(&beneath, "d"), 0);
    assert_int_equal(fx->files->make_dir(&fx->root, "out/d"), -EEXIST);
    assert_int_equal(fx->files->open(&beneath, "d/a", CREATE, &file), 0);
    assert_int_equal(fx->files->close(&file), 0);
    assert_int_equal(fx->files->rename_new(&beneath, "d/a", "b"), 0);
    file = open_ok(fx, "out/b", LSI_OPEN_WRITE);
    assert_int_equal(fx->files->close(&file), 0);
    assert_int_equal(fx->files->sync_dir(&beneath, ""), 0);
    after = sim_crash_state(fx->sim, sim_log_count(fx->sim), SIM_SEED_NOTHING);
    assert_int_equal(sim_files_table(after)->root_open(sim_files_table(after), "x/out", LSI_ROOT_WRITE, &beneath), 0);
    assert_int_equal(sim_files_table(after)->unlink(&beneath, "b"), 0);
    assert_int_equal(sim_files_table(after)->remove_dir(&beneath, "d"), 0);
    sim_files_free(after);
}

int main(void)
{
    static const struct CMUnitTest crash_states[] = {
        TEST(a_root_may_lie_beneath_the_root),
        TEST(what_is_synced_is_there_in_every_state),
        TEST(neither_sync_does_the_work_of_the_other),
        TEST(the_corners_are_what_their_names_say),
        TEST(deleted_files_leave_their_bytes_in_their_place),
        TEST(leftovers_outlive_a_crash),
        TEST(a_rename_may_come_before_its_data),
        TEST(replacing_survives_every_crash),
        TEST(writes_tear_at_sectors),
        TEST(a_failed_sync_leaves_doubt_for_ever),
        TEST(a_failed_directory_sync_leaves_doubt_too),
        TEST(the_end_of_a_bulk_makes_everything_sure),
        TEST(a_bulk_that_is_given_up_makes_nothing_sure),
        TEST(a_failed_bulk_leaves_doubt_in_what_was_made_in_it),
        TEST(bytes_written_during_a_sync_are_not_covered),
        TEST(stores_are_written_back_by_a_sync),
        TEST(names_need_their_directory),
        TEST(equal_arguments_give_equal_disks),
        TEST(a_crash_state_can_crash_again),
        TEST(a_clone_remembers_what_is_not_synced),
    };
    static const struct CMUnitTest faults[] = {
        TEST(faults_meet_the_call_they_are_meant_for),
        TEST(a_short_write_leaves_its_beginning),
        TEST(replacing_survives_every_fault),
    };
    static const struct CMUnitTest processes[] = {
        TEST(a_killed_process_leaves_what_a_real_one_leaves),
        TEST(a_process_can_be_killed_at_every_call),
    };
    int failed = cmocka_run_group_tests(crash_states, NULL, NULL);

    failed += cmocka_run_group_tests(faults, NULL, NULL);
    return failed + cmocka_run_group_tests(processes, NULL, NULL);
}
