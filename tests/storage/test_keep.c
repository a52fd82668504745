/* storage/inspect.h: what a repair replaces is kept beside it under a number of its own (R4), as a copy or by its
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/status.h"
#include "storage/inspect.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

static void put_file(const lsi_root *root, const char *name, const char *content)
{
    lsi_file file;

    assert_int_equal(root->files->open(root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, content, strlen(content), 0), 0);
    assert_int_equal(root->files->close(&file), 0);
}

static void assert_content(const lsi_root *root, const char *name, const char *wanted)
{
    char content[16] = {0};
    lsi_file file;

    assert_int_equal(root->files->open(root, name, 0, &file), 0);
    assert_true(root->files->read(&file, content, sizeof content - 1, 0) >= 0);
    assert_int_equal(root->files->close(&file), 0);
    assert_string_equal(content, wanted);
}

static sim_files *new_disk(lsi_root *root)
{
    sim_files *sim = sim_files_new();
    lsi_files *files = sim_files_table(sim);

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, root), 0);
    assert_int_equal(files->make_dir(root, "d"), 0);
    put_file(root, "d/x", "it");
    return sim;
}

static void names_of_what_is_kept(void **state)
{
    (void)state;
    assert_true(lsi_is_kept("x.damaged-1"));
    assert_true(lsi_is_kept("00000001.seg.damaged-4294967295"));
    assert_false(lsi_is_kept("x"));
    assert_false(lsi_is_kept("x.damaged"));
    assert_false(lsi_is_kept("x.damaged-"));
    assert_false(lsi_is_kept("x.damaged-1a"));
    assert_false(lsi_is_kept("x.damaged-a"));
}

/* Above all numbers that its own name has, whatever else lies there, and whichever way they are listed. */
static void what_is_set_aside_gets_the_next_number(void **state)
{
    static const char *const others[] = {"d/x.damaged-2", "d/x.damaged-11", "d/x.damaged-3", "d/x.damaged-",
                                         "d/x.damaged-99b", "d/xy.damaged-98", "d/y.damaged-97", "d/w"};
    char kept[LSI_KEPT_NAME_BYTES];
    lsi_root root;
    sim_files *sim = new_disk(&root);

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        put_file(&root, others[i], "other");
    assert_int_equal(lsi_set_aside(&root, "d", "d/x", kept), LS_OK);
    assert_string_equal(kept, "d/x.damaged-12");
    assert_content(&root, kept, "it");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_content(&root, others[i], "other");
    root.files->root_close(&root);
    sim_files_free(sim);
}

/* Never over another copy; half a copy is none. */
static void what_is_copied_stays_and_is_copied_whole(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EACCES};
    char kept[LSI_KEPT_NAME_BYTES];
    unsigned failed = 0;

    (void)state;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (uint64_t nth = 1;; nth++) {
            sim_memory memory = SIM_MEMORY_INIT;
            lsi_root root;
            sim_files *sim = new_disk(&root);
            lsi_env env;

            lsi_env_default(&env);
            env.memory = sim_memory_table(&memory);
            put_file(&root, "d/x.damaged-1", "before");
            if (e == 0)
                sim_memory_fail(&memory, nth, false);
            sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = errors[e]});
            uint64_t named = sim_calls(sim, SIM_SYNC_DIR);
            ls_status st = lsi_keep_aside(&env, &root, "d", "d/x", 1, kept);
            bool is_over = sim_faults_met(sim) == 0;
            sim_faults_clear(sim);
            sim_memory_fail(&memory, 0, false);
            assert_int_equal(memory.live, 0);
            assert_content(&root, "d/x", "it");
            assert_content(&root, "d/x.damaged-1", "before");
            if (st == LS_OK) {
                assert_string_equal(kept, "d/x.damaged-2");
                assert_true(sim_calls(sim, SIM_SYNC_DIR) > named); /* The original may go now. */
                assert_content(&root, kept, "i"); /* As much as was asked for. */
            } else {
                lsi_file file;

                assert_int_equal(root.files->open(&root, "d/x.damaged-2", 0, &file), -ENOENT);
                failed++;
            }
            root.files->root_close(&root);
            sim_files_free(sim);
            if (is_over) {
                assert_int_equal(st, LS_OK);
                break;
            }
        }
    assert_true(failed > 10);
}

static void what_is_not_there_is_not_kept(void **state)
{
    char kept[LSI_KEPT_NAME_BYTES];
    lsi_root root;
    sim_files *sim = new_disk(&root);
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    assert_int_equal(lsi_keep_aside(&env, &root, "d", "d/none", UINT64_MAX, kept), LS_ERR_NOT_FOUND);
    assert_int_equal(root.files->make_dir(&root, "d/e"), 0); /* A directory is renamed, and not copied. */
    assert_int_equal(lsi_keep_aside(&env, &root, "d", "d/e", UINT64_MAX, kept), LS_OK);
    assert_string_equal(kept, "d/e.damaged-1");
    assert_int_equal(root.files->make_dir(&root, "d/e"), 0);
    root.files->root_close(&root);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_what_is_kept),
        cmocka_unit_test(what_is_set_aside_gets_the_next_number),
        cmocka_unit_test(what_is_copied_stays_and_is_copied_whole),
        cmocka_unit_test(what_is_not_there_is_not_kept),
    };

    return cmocka_run_group_tests_name("kept", tests, NULL, NULL);
}
