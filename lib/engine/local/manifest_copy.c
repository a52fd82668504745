/* The manifest's copy: one damaged bit in the manifest would put every record of the store out of reach.
 *
 *  M1 A manifest that is put in place is followed by its copy, byte for byte, in the same locked step: written after
 *     it, so that it is never newer, and before the manifest's generation becomes even, so that nothing is acknowledged
 *     of which only the manifest knows. Who finds the generation odd writes both (L3). Who opens the store for writing
 *     and is alone writes the copy again where it differs: a crash came between the two.
 *  M2 An older copy never stays. Where it cannot be written it is removed, and the change stands. Where it cannot be
 *     removed either, the generation stays odd.
 *  M3 Nobody reads it who opens a store. Only a repair puts it in the manifest's place (R4, R6). */
#include <errno.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

typedef enum likeness {
    SAME,
    MISSING,
    DIFFERS,
    NOT_KNOWN /* memory or descriptors were short, or the manifest itself cannot be read */
} likeness;

typedef struct contents {
    void *bytes;
    size_t size;
} contents;

/* ---- writing (M1, M2) ---- */

/* Whether the copy is these bytes; also when nobody can say. */
static bool may_be(const lsi_env *env, const lsi_root *root, const void *bytes, size_t size)
{
    contents there = {0};
    ls_status st = lsi_checked_read(env, root, LSI_MANIFEST_COPY_NAME, &there.bytes, &there.size);
    bool is = st == LS_OK && there.size == size && memcmp(there.bytes, bytes, size) == 0;

    lsi_free(&env->memory, there.bytes);
    return is || (st != LS_OK && st != LS_ERR_NOT_FOUND && st != LS_ERR_CORRUPT);
}

/* Whether there is anything that could be taken for a copy. */
static bool is_none(const lsi_env *env, const lsi_root *root)
{
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog_load_from(env, root, LSI_MANIFEST_COPY_NAME, &catalog);

    if (st == LS_OK)
        lsi_catalog_unref(catalog);
    return st == LS_ERR_CORRUPT || st == LS_ERR_NOT_FOUND;
}

ls_status lsi_local_copy_write(const lsi_env *env, const lsi_root *root, const void *bytes, size_t size)
{
    lsi_error_state before, why;
    ls_status st;
    int result;

    lsi_error_save(&before);
    st = lsi_checked_put(root, "", LSI_MANIFEST_COPY_NAME, bytes, size);
    if (st == LS_OK)
        return LS_OK;
    lsi_error_save(&why);
    if (st == LS_ERR_IO && may_be(env, root, bytes, size)) {
        lsi_error_restore(&why); /* E1: a crash may bring the older one back, whatever a later sync says. */
        return LS_ERR_IO;
    }
    result = root->files->unlink(root, LSI_MANIFEST_COPY_NAME);
    if (result == 0)
        result = root->files->sync_dir(root, "");
    else if (is_none(env, root)) /* It was removed by an earlier step, and the manifest's sync was that name's, too. */
        result = 0;
    if (result != 0)
        return lsi_fail(LS_ERR_IO, "%s is an older one and can neither be replaced nor removed: %s",
                        LSI_MANIFEST_COPY_NAME, why.message);
    lsi_error_restore(&before);
    lsi_env_log(env, LS_LOG_WARNING, "the manifest has no copy: %s", why.message);
    return LS_OK;
}

/* ---- comparing ---- */

/* `manifest`: its bytes, and the caller's to free, unless NOT_KNOWN. */
static likeness compare(const lsi_env *env, const lsi_root *root, contents *manifest)
{
    contents copy = {0};
    lsi_error_state before;
    likeness is = NOT_KNOWN;
    ls_status st;

    *manifest = (contents){0};
    lsi_error_save(&before);
    if (lsi_checked_read(env, root, LSI_MANIFEST_NAME, &manifest->bytes, &manifest->size) == LS_OK) {
        st = lsi_checked_read(env, root, LSI_MANIFEST_COPY_NAME, &copy.bytes, &copy.size);
        if (st == LS_OK)
            is = copy.size == manifest->size && memcmp(copy.bytes, manifest->bytes, copy.size) == 0 ? SAME : DIFFERS;
        else if (st == LS_ERR_NOT_FOUND)
            is = MISSING;
        else if (lsi_local_is_damage(st))
            is = DIFFERS;
    }
    lsi_free(&env->memory, copy.bytes);
    if (is == NOT_KNOWN) {
        lsi_free(&env->memory, manifest->bytes);
        *manifest = (contents){0};
    }
    lsi_error_restore(&before);
    return is;
}

/* Whether the copy is to be made these bytes. What was damaged since it was read is not copied. A copy that is newer
 * means that somebody has brought an older manifest back (M1): that is his to do, but the newer one is kept beside. */
static bool is_to_be_written(const lsi_env *env, const lsi_root *root, const contents *manifest)
{
    const unsigned char *payload;
    char kept[LSI_KEPT_NAME_BYTES];
    lsi_catalog *copy;
    lsi_checked_head head;
    uint64_t newer = 0;
    size_t size;
    lsi_error_state before;
    bool is;

    lsi_error_save(&before);
    is = lsi_checked_decode(LSI_MANIFEST_NAME, LSI_CHECKED_MANIFEST, 0, manifest->bytes, manifest->size, &head,
                            &payload, &size) == LS_OK;
    if (is && lsi_local_catalog_load_from(env, root, LSI_MANIFEST_COPY_NAME, &copy) == LS_OK) {
        newer = copy->head.generation;
        lsi_catalog_unref(copy);
    }
    if (is && newer > head.generation)
        is = lsi_keep_aside(env, root, "", LSI_MANIFEST_COPY_NAME, UINT64_MAX, kept) == LS_OK;
    lsi_error_restore(&before);
    return is;
}

ls_status lsi_local_copy_refresh(lsi_local *local)
{
    const lsi_env *env = &local->base.env;
    contents manifest;
    likeness is = compare(env, &local->root, &manifest);
    ls_status st;

    lsi_free(&env->memory, manifest.bytes);
    if (is == SAME || is == NOT_KNOWN)
        return LS_OK;
    st = lsi_control_lock(local->control); /* Once more: somebody may have been at it. */
    if (st != LS_OK)
        return st;
    if (lsi_control_manifest_generation(local->control) % 2 == 0) { /* Else who settles it writes both. */
        is = compare(env, &local->root, &manifest);
        if ((is == MISSING || is == DIFFERS) && is_to_be_written(env, &local->root, &manifest) &&
            lsi_local_copy_write(env, &local->root, manifest.bytes, manifest.size) != LS_OK)
            lsi_control_manifest_changing(local->control); /* M2. Nothing else was to be done, so that is no failure. */
        lsi_free(&env->memory, manifest.bytes);
    }
    lsi_control_unlock(local->control);
    return LS_OK;
}

/* ---- seen from outside ---- */

bool lsi_local_is_damage(ls_status st)
{
    return st == LS_ERR_CORRUPT || (st == LS_ERR_IO && lsi_error_current()->err == EIO);
}

/* What cannot be read cannot be copied either: it is renamed. Where it is missing then, its twin is there (R6). */
static ls_status keep(const lsi_env *env, const lsi_root *root, const char *name, char kept[LSI_KEPT_NAME_BYTES])
{
    ls_status st = lsi_keep_aside(env, root, "", name, UINT64_MAX, kept);

    return st == LS_ERR_IO && lsi_local_is_damage(st) ? lsi_set_aside(root, "", name, kept) : st;
}

ls_status lsi_local_copy_verify(const lsi_env *env, const lsi_root *root, bool beside, bool repair,
                                lsi_inspection *inspection)
{
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_MANIFEST, .file = LSI_MANIFEST_COPY_NAME,
                          .repairable = 1,
                          .advice = "nothing to do: upkeep writes it again (now: `lstream maintain`, or "
                                    "`lstream repair`)"};
    char kept[LSI_KEPT_NAME_BYTES];
    contents manifest;
    likeness is = compare(env, root, &manifest);
    ls_status st = LS_OK;

    /* Beside others a whole one may be of a change that is under way. */
    if (is == SAME || is == NOT_KNOWN || (beside && is == DIFFERS && !is_none(env, root))) {
        lsi_free(&env->memory, manifest.bytes);
        return LS_OK;
    }
    if (repair && is == DIFFERS)
        st = keep(env, root, LSI_MANIFEST_COPY_NAME, kept);
    if (repair && st == LS_OK)
        st = lsi_local_copy_write(env, root, manifest.bytes, manifest.size);
    finding.repaired = repair && st == LS_OK && may_be(env, root, manifest.bytes, manifest.size);
    lsi_free(&env->memory, manifest.bytes);
    if (st != LS_OK)
        return st;
    if (finding.repaired)
        finding.advice = "it was written again";
    if (is == MISSING) {
        finding.severity = LS_FINDING_NOTE;
        lsi_inspection_tell(inspection, &finding, "%s is not there: nothing is lost, but a damaged manifest could not "
                            "be repaired", LSI_MANIFEST_COPY_NAME);
    } else {
        lsi_inspection_tell(inspection, &finding, "%s is not as the manifest is: nothing is lost, but a damaged "
                            "manifest could not be repaired", LSI_MANIFEST_COPY_NAME);
    }
    return LS_OK;
}

/* ---- in the manifest's place (M3) ---- */

ls_status lsi_local_copy_find(const lsi_env *env, const lsi_root *root, lsi_catalog **out)
{
    lsi_catalog *catalog;
    bool is = false;
    ls_status st = lsi_local_catalog_load_from(env, root, LSI_MANIFEST_COPY_NAME, &catalog);

    if (st != LS_OK)
        return st;
    st = lsi_local_is_of_store(env, root, catalog->store_id, &is);
    if (st == LS_OK && !is)
        st = lsi_fail(LS_ERR_CORRUPT, "%s is another store's", LSI_MANIFEST_COPY_NAME);
    if (st != LS_OK) {
        lsi_catalog_unref(catalog);
        return st;
    }
    *out = catalog;
    return LS_OK;
}

ls_status lsi_local_copy_restore(const lsi_env *env, const lsi_root *root, lsi_catalog *catalog,
                                 char kept[LSI_KEPT_NAME_BYTES])
{
    lsi_error_state why;
    lsi_file file = {0};
    ls_status st = keep(env, root, LSI_MANIFEST_NAME, kept);

    if (st == LS_ERR_NOT_FOUND)
        kept[0] = '\0';
    else if (st != LS_OK)
        return st;
    catalog->head.generation++;
    st = lsi_local_catalog_write(env, root, catalog);
    if (st == LS_OK || st == LS_ERR_IO || kept[0] == '\0')
        return st;
    lsi_error_save(&why); /* The damaged one is in its place, and what was kept is a copy of it, or has its name. */
    if (root->files->open(root, LSI_MANIFEST_NAME, 0, &file) == 0) {
        (void)root->files->close(&file); /* It was only looked for. */
        (void)root->files->unlink(root, kept); /* Else each try on a full disk leaves another. */
    }
    lsi_error_restore(&why);
    return st;
}
