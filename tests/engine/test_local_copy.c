/* The manifest's copy (engine/local/manifest_copy.c, M1-M3): while calls fail, processes die and the power goes it is
 * the manifest, or not there, or nobody believes it; a repair puts it in the place of a manifest that is damaged. */
#include "engine/sim_store.h"

#include <errno.h>

#include "support/image.h"

/* ---- looking ---- */

typedef struct both {
    ls_status manifest, copy;
    uint64_t manifest_generation, copy_generation;
    bool is_same; /* byte for byte */
} both;

static both look_at(lsi_files *files)
{
    image of = image_take(files, "store");
    const image_file *manifest = image_find(&of, LSI_MANIFEST_NAME), *copy = image_find(&of, LSI_MANIFEST_COPY_NAME);
    lsi_catalog *catalog;
    lsi_root root;
    lsi_env env;
    both seen = {0};

    lsi_env_default(&env);
    env.files = files;
    assert_int_equal(files->root_open(files, "store", 0, &root), 0);
    seen.manifest = lsi_local_catalog_load(&env, &root, &catalog);
    if (seen.manifest == LS_OK) {
        seen.manifest_generation = catalog->head.generation;
        lsi_catalog_unref(catalog);
    }
    seen.copy = lsi_local_catalog_load_from(&env, &root, LSI_MANIFEST_COPY_NAME, &catalog);
    if (seen.copy == LS_OK) {
        seen.copy_generation = catalog->head.generation;
        lsi_catalog_unref(catalog);
    }
    files->root_close(&root);
    seen.is_same = manifest != NULL && copy != NULL && manifest->size == copy->size &&
        memcmp(manifest->bytes, copy->bytes, copy->size) == 0;
    image_free(&of);
    return seen;
}

static void remove_file(lsi_files *files, const char *name)
{
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->unlink(&root, name), 0);
    files->root_close(&root);
}

static void put_file(lsi_files *files, const char *name, const void *bytes, size_t size)
{
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(lsi_file_replace(&root, "", name, bytes, size), 0);
    files->root_close(&root);
}

/* Besides, hints may be what a crash left of them. */
static ls_inspect_act note_manifest(const ls_finding *finding, void *user)
{
    if (strcmp(finding->file, LSI_MANIFEST_NAME) == 0 && finding->repaired)
        ++*(unsigned *)user;
    else
        assert_int_not_equal(finding->severity, LS_FINDING_DAMAGE);
    return LS_INSPECT_GO_ON;
}

static void repair_manifest(lsi_files *files)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    unsigned put_back = 0;
    lsi_inspection inspection = {.finding = note_manifest, .user = &put_back};
    lsi_env env;

    lsi_env_default(&env);
    env.files = files;
    assert_int_equal(lsi_local_inspect(&env, "store", &options, true, &inspection), LS_OK);
    assert_int_equal(inspection.damages_left, 0);
    assert_int_equal(put_back, 1);
}

static ls_inspect_act note_repairable(const ls_finding *finding, void *user)
{
    if (strcmp(finding->file, LSI_MANIFEST_NAME) == 0) {
        assert_int_equal(finding->severity, LS_FINDING_DAMAGE);
        assert_true(finding->repairable);
        ++*(unsigned *)user;
    }
    return LS_INSPECT_GO_ON;
}

static ls_inspect_act note_repaired(const ls_finding *finding, void *user)
{
    *(unsigned *)user += finding->kind == LS_FINDING_MANIFEST && finding->repaired;
    return LS_INSPECT_GO_ON;
}

typedef struct unreadable {
    sim_files *sim;
    const char *name;
} unreadable;

/* The fault is of a place on the disk: what has the name later lies elsewhere. */
static void renamed(void *user, sim_call call, const char *name)
{
    const unreadable *of = user;

    if (call == SIM_RENAME && strcmp(name, of->name) == 0)
        sim_faults_clear(of->sim);
}

static void create_new(void *user)
{
    walk *at = user;
    lsi_engine *engine;

    if (open_walk(at, &engine) != LS_OK)
        return;
    at->created = create(engine, "new", 1);
    at->created_at = sim_log_count(at->sim);
    (void)engine->ops->close(engine); /* nothing was put */
}

/* ---- M1, M2 ---- */

/* Goal: no older copy is ever believed. Method: fail the Nth call, once or from then on, on the copy alone or on
 * whatever comes. Where the generation is even, the copy that a crash leaves is the manifest that it leaves. */
static void walk_failing(const char *name, int err, bool sticky)
{
    sim_files *start = store_with_old();

    for (uint64_t n = 1;; n++) {
        sim_files *sim = sim_clone(start);
        lsi_engine *engine;
        bool met, is_even;
        both seen;
        walk at;

        begin(&at, sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        sim_fault_add(sim, (sim_fault){.name = name, .nth = n, .err = err, .sticky = sticky});
        at.created = create(engine, "new", 1);
        met = sim_faults_met(sim) > 0;
        sim_faults_clear(sim);
        is_even = lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2 == 0;
        assert_true(is_even || at.created == LS_ERR_IO);
        for (uint64_t seed = 0; is_even && seed < SIM_SEED_RANDOM + 2; seed++) {
            sim_files *crashed = sim_crash_state(sim, sim_log_count(sim), seed);

            seen = look_at(sim_files_table(crashed));
            assert_int_equal(seen.manifest, LS_OK);
            assert_true(seen.is_same || seen.copy == LS_ERR_NOT_FOUND);
            sim_files_free(crashed);
        }
        if (at.created == LS_OK) /* Without a copy the change stands all the same. */
            assert_true(stream_is_there(engine, "new"));
        assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
        assert_int_equal(lsi_local_catalog_settle(lsi_local_of(engine), true), LS_OK);
        assert_int_equal(lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2, 0);
        assert_true(look_at(sim_files_table(sim)).is_same);
        close_store(engine);
        assert_int_equal(at.memory.live, 0);
        sim_files_free(sim);
        if (!met)
            break;
        assert_true(n < 1000);
    }
    sim_files_free(start);
}

static void an_older_copy_never_stays(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EMFILE};

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        for (int sticky = 0; sticky < 2; sticky++) {
            walk_failing(LSI_MANIFEST_COPY_NAME, errors[i], sticky != 0);
            walk_failing(NULL, errors[i], sticky != 0);
        }
}

/* A full disk does not keep anybody from changing streams, and the copy comes back with the space. */
static void a_change_stands_without_a_copy(void **state)
{
    sim_files *sim = store_with_old();
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = LSI_MANIFEST_COPY_NAME, .nth = 1, .err = ENOSPC,
                                   .sticky = true});
    assert_int_equal(create(engine, "new", 1), LS_OK);
    assert_int_equal(look_at(sim_files_table(sim)).copy, LS_ERR_NOT_FOUND);
    assert_int_equal(engine->ops->remove(engine, "old"), LS_OK);
    assert_int_equal(look_at(sim_files_table(sim)).copy, LS_ERR_NOT_FOUND);
    sim_faults_clear(sim);
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
    assert_true(look_at(sim_files_table(sim)).is_same);
    close_store(engine);
    sim_files_free(sim);
}

/* Goal: M2's last sentence. Method: the copy can neither be written nor removed. */
static void while_an_older_copy_cannot_go_nothing_is_settled(void **state)
{
    sim_files *sim = store_with_old();
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_RENAME, .name = LSI_MANIFEST_COPY_NAME, .nth = 1, .err = EIO,
                                   .sticky = true});
    sim_fault_add(sim, (sim_fault){.call = SIM_UNLINK, .name = LSI_MANIFEST_COPY_NAME, .nth = 2, .err = EIO,
                                   .sticky = true}); /* the first one is of what a crash may have left */
    assert_int_equal(create(engine, "new", 1), LS_ERR_IO);
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2, 1);
    assert_int_equal(create(engine, "newer", 1), LS_ERR_IO);
    sim_faults_clear(sim);
    assert_true(stream_is_there(engine, "new"));
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2, 0);
    assert_true(look_at(sim_files_table(sim)).is_same);
    close_store(engine);
    sim_files_free(sim);
}

/* Goal: M1, and what it is for. Method: lose power after every change of the disk. The copy is never newer, whoever
 * opens the store next makes both the same; and once the call had returned, the copy alone brings all of it back. */
static void a_crash_leaves_the_copy_that_belongs_there(void **state)
{
    sim_files *sim = store_with_old();
    size_t first = sim_log_count(sim);
    unsigned between = 0;
    walk at;

    (void)state;
    begin(&at, sim);
    create_new(&at);
    assert_int_equal(at.created, LS_OK);
    for (size_t prefix = first; prefix <= sim_log_count(sim); prefix++)
        for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            lsi_files *files = sim_files_table(crashed);
            both seen = look_at(files);
            lsi_engine_stream *stream;
            lsi_engine *engine;
            walk after;

            assert_int_equal(seen.manifest, LS_OK);
            assert_int_equal(seen.copy, LS_OK);
            assert_true(seen.copy_generation == seen.manifest_generation ||
                        seen.copy_generation + 1 == seen.manifest_generation);
            assert_true(seen.is_same || prefix < at.created_at);
            between += !seen.is_same;
            begin(&after, crashed);
            if (prefix < at.created_at) {
                assert_int_equal(open_walk(&after, &engine), LS_OK);
                assert_true(look_at(files).is_same);
            } else {
                remove_file(files, LSI_MANIFEST_NAME);
                assert_int_equal(open_walk(&after, &engine), LS_ERR_CORRUPT);
                assert_non_null(strstr(lsi_error_current()->message, "`lstream repair` puts its copy"));
                repair_manifest(files);
                assert_int_equal(open_walk(&after, &engine), LS_OK);
                assert_true(stream_is_there(engine, "new"));
            }
            assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
            assert_int_equal(count_records(engine, stream, 0), 1);
            assert_int_equal(put_one(engine, stream, 0, "y"), LS_OK);
            engine->ops->stream_close(stream);
            close_store(engine);
            sim_files_free(crashed);
        }
    assert_true(between > 0);
    sim_files_free(sim);
}

/* The same of a process that is killed at any call: who comes next writes both. */
static void a_death_leaves_it_to_the_next(void **state)
{
    sim_files *start = store_with_old();
    bool killed = true;

    (void)state;
    for (uint64_t n = 1; killed; n++) {
        sim_files *sim = sim_clone(start);
        lsi_engine *engine;
        walk at;

        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, create_new, &at);
        sim_memory_bury(&at.memory);
        sim_faults_clear(sim);
        begin(&at, sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        assert_true(look_at(sim_files_table(sim)).is_same);
        close_store(engine);
        sim_files_free(sim);
    }
    sim_files_free(start);
}

/* ---- M3 ---- */

/* But for the control file, in which a reader is noted. */
static bool are_equal(const image *a, image *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const image_file *other = image_find(b, a->files[i].name);

        if (strcmp(a->files[i].name, LSI_CONTROL_NAME) == 0)
            continue;
        if (other == NULL || other->size != a->files[i].size ||
            memcmp(other->bytes, a->files[i].bytes, other->size) != 0)
            return false;
    }
    return true;
}

/* Whoever opens to read leaves a copy as it is that is not there, cut short or the only one there is. */
static void who_only_reads_writes_none(void **state)
{
    static const char *const gone[] = {LSI_MANIFEST_COPY_NAME, NULL, LSI_MANIFEST_NAME};

    (void)state;
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        sim_files *sim = store_with_old();
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        lsi_engine *engine;
        image before, after;
        walk at;

        begin(&at, sim);
        if (gone[i] != NULL)
            remove_file(sim_files_table(sim), gone[i]);
        else
            put_file(sim_files_table(sim), LSI_MANIFEST_COPY_NAME, "short", 5);
        before = image_take(sim_files_table(sim), "store");
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(lsi_local_open("store", &options, &at.env, &engine), i == 2 ? LS_ERR_CORRUPT : LS_OK);
        if (i != 2) {
            assert_true(stream_is_there(engine, "kept"));
            close_store(engine);
        }
        after = image_take(sim_files_table(sim), "store");
        assert_true(are_equal(&before, &after));
        image_free(&before);
        image_free(&after);
        sim_files_free(sim);
    }
}

/* R6: a copy without a manifest is damage, also where there is no stream. */
static void no_store_is_made_over_a_copy(void **state)
{
    sim_files *sim = sim_files_new();
    unsigned char id[16];
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    memcpy(id, lsi_local_of(engine)->store_id, sizeof id);
    close_store(engine);
    remove_file(sim_files_table(sim), LSI_MANIFEST_NAME);
    assert_int_equal(open_walk(&at, &engine), LS_ERR_CORRUPT);
    repair_manifest(sim_files_table(sim));
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_memory_equal(id, lsi_local_of(engine)->store_id, sizeof id);
    close_store(engine);
    sim_files_free(sim);
}

/* H9: bytes that the disk does not give back are damage as any others. Method: the manifest, or its copy, cannot be
 * read while a repair is at work; what could not be read is kept under another name. */
static void what_the_disk_does_not_give_back_is_put_back_too(void **state)
{
    static const char *const lost[] = {LSI_MANIFEST_NAME, LSI_MANIFEST_COPY_NAME};

    (void)state;
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        sim_files *sim = store_with_old();
        unreadable of = {sim, lost[i]};
        ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
        unsigned repaired = 0;
        lsi_inspection seen = {.finding = note_repairable, .user = &repaired};
        lsi_inspection repairing = {.finding = note_repaired, .user = &repaired};
        char kept[64];
        lsi_engine *engine;
        lsi_root root;
        walk at;

        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_READ, .name = lost[i], .whole_name = true, .nth = 1, .err = EIO,
                                       .sticky = true});
        if (i == 0) {
            assert_int_equal(open_walk(&at, &engine), LS_ERR_IO);
            assert_non_null(strstr(lsi_error_current()->message, "`lstream repair` puts its copy"));
            assert_int_equal(lsi_error_current()->err, EIO);
            assert_int_equal(lsi_local_inspect(&at.env, "store", &options, false, &seen), LS_OK);
            assert_int_equal(seen.summary.records, 1);
            assert_int_equal(repaired, 1);
            repaired = 0;
        }
        sim_hook_set(sim, renamed, &of);
        assert_int_equal(lsi_local_inspect(&at.env, "store", &options, true, &repairing), LS_OK);
        sim_hook_set(sim, NULL, NULL);
        assert_int_equal(repaired, 1);
        assert_int_equal(repairing.damages_left, 0);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        assert_true(look_at(sim_files_table(sim)).is_same);
        assert_true(stream_is_there(engine, "old"));
        close_store(engine);
        (void)snprintf(kept, sizeof kept, "%s.damaged-1", lost[i]);
        assert_int_equal(at.env.files->root_open(at.env.files, "store", LSI_ROOT_WRITE, &root), 0);
        assert_int_equal(root.files->unlink(&root, kept), 0);
        root.files->root_close(&root);
        sim_files_free(sim);
    }
}

/* Somebody who brings an older manifest back gets what he wants; the newer one is not gone with it. */
static void a_newer_copy_is_kept_beside(void **state)
{
    sim_files *sim = store_with_old();
    lsi_engine *engine;
    image before, after;
    image_file *older, *newer;
    walk at;

    (void)state;
    before = image_take(sim_files_table(sim), "store");
    older = image_find(&before, LSI_MANIFEST_NAME);
    begin(&at, sim);
    create_new(&at);
    after = image_take(sim_files_table(sim), "store");
    newer = image_find(&after, LSI_MANIFEST_NAME);
    put_file(sim_files_table(sim), LSI_MANIFEST_NAME, older->bytes, older->size);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_false(stream_is_there(engine, "new"));
    assert_true(look_at(sim_files_table(sim)).is_same);
    close_store(engine);
    image now = image_take(sim_files_table(sim), "store");
    const image_file *kept = image_find(&now, LSI_MANIFEST_COPY_NAME ".damaged-1");
    assert_non_null(kept);
    assert_int_equal(kept->size, newer->size);
    assert_memory_equal(kept->bytes, newer->bytes, kept->size);
    image_free(&now);
    image_free(&before);
    image_free(&after);
    sim_files_free(sim);
}

/* A backup has a copy of its own manifest. */
static void a_backup_has_one_too(void **state)
{
    sim_files *sim = store_with_old();
    lsi_files *there = lsi_files_memory_new(&lsi_memory_libc);
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(engine->ops->backup(engine, there, "store", NULL, NULL), LS_OK);
        assert_true(look_at(there).is_same);
        assert_int_equal(create(engine, "new", 1), again == 0 ? LS_OK : LS_ERR_EXISTS);
    }
    close_store(engine);
    lsi_files_memory_free(there);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_older_copy_never_stays),
        CASE(a_change_stands_without_a_copy),
        CASE(while_an_older_copy_cannot_go_nothing_is_settled),
        CASE(a_crash_leaves_the_copy_that_belongs_there),
        CASE(a_death_leaves_it_to_the_next),
        CASE(who_only_reads_writes_none),
        CASE(no_store_is_made_over_a_copy),
        CASE(what_the_disk_does_not_give_back_is_put_back_too),
        CASE(a_newer_copy_is_kept_beside),
        CASE(a_backup_has_one_too),
    };

    return cmocka_run_group_tests_name("the manifest's copy", tests, NULL, NULL);
}
