/* Space kept for the way out of a full disk (E3): a file of zeros that nobody reads. Deleting a stream gives its space
 * back, but first needs some, for a manifest that no longer names it; then this file is spent, and made again after. So
 * it is for writing a manifest once more whose directory's sync is not known to have succeeded (L3).
 *
 * Not having it is no error of anybody: whoever can makes it when a store is made, after a deletion, and by upkeep. */
#include <stdio.h>

#include "base/status.h"
#include "engine/local/local.h"

#define RESERVE_BYTES_LEAST (64u << 10) /* two manifests of 200 streams, and what a file system rounds up */
/* Where a change copies the path to it, btrfs asks a quota for 16 KiB for each of up to 11 steps of a rename. */
#define RESERVE_BYTES_COPYING (512u << 10)

static uint64_t wanted_bytes(const lsi_local *local)
{
    lsi_file manifest = {0};
    uint64_t size = 0, least = RESERVE_BYTES_LEAST;
    lsi_fs_kind kind;

    if (local->root.files->root_kind(&local->root, &kind) == 0 && kind == LSI_FS_COPYING)
        least = RESERVE_BYTES_COPYING;
    if (local->root.files->open(&local->root, LSI_MANIFEST_NAME, 0, &manifest) == 0) {
        if (local->root.files->size(&manifest, &size) != 0)
            size = 0;
        (void)local->root.files->close(&manifest);
    }
    return size * 2 > least ? size * 2 : least;
}

void lsi_local_reserve_make(lsi_local *local)
{
    const lsi_files *files = local->root.files;
    uint64_t size = wanted_bytes(local), there = 0;
    lsi_file file = {0};

    if (files->open(&local->root, LSI_RESERVE_NAME, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file) != 0)
        return;
    if (files->size(&file, &there) == 0 && there < size && files->allocate(&file, there, size - there) != 0)
        there = 0; /* No space, or a file system that cannot keep any. */
    else
        there = size;
    (void)files->close(&file);
    if (there == 0)
        (void)files->unlink(&local->root, LSI_RESERVE_NAME); /* A half-filled disk is better than a false reserve. */
}

bool lsi_local_reserve_spend(lsi_local *local)
{
    if (local->root.files->unlink(&local->root, LSI_RESERVE_NAME) != 0)
        return false;
    atomic_store_explicit(&local->was_full, 1, memory_order_relaxed);
    lsi_local_space_is_back(local);
    return true;
}

void lsi_local_space_is_back(lsi_local *local)
{
    const lsi_files *files = local->root.files;
    lsi_file all = {0};

    if (files->bulk_begin(&local->root, &all) == 0)
        (void)files->bulk_end(&all, true); /* Nothing is promised by it. */
}

void lsi_local_reserve_verify(const lsi_root *root, bool repair, lsi_inspection *inspection)
{
    char kept[LSI_KEPT_NAME_BYTES], done[LSI_KEPT_NAME_BYTES + 64];
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_RESERVE, .file = LSI_RESERVE_NAME,
                          .repairable = 1, .advice = "`lstream repair` sets it aside"};
    lsi_file file = {0};
    int result = root->files->open(root, LSI_RESERVE_NAME, 0, &file);

    if (result == 0)
        (void)root->files->close(&file); /* Nobody reads it. */
    if (lsi_file_misfit(result) == NULL)
        return; /* Also when it is not there: upkeep makes it where it can. */
    if (repair && lsi_set_aside(root, "", LSI_RESERVE_NAME, kept) == LS_OK) {
        finding.repaired = 1;
        (void)snprintf(done, sizeof(done), "it was set aside as %s; upkeep makes a new one", kept);
        finding.advice = done;
    }
    lsi_inspection_tell(inspection, &finding, "%s %s: nothing is lost, but no space is kept for deleting a stream on a "
                        "full disk", LSI_RESERVE_NAME, lsi_file_misfit(result));
}
