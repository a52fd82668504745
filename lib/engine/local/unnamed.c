/* Directories with records that the manifest does not name, seen from outside.
 *
 * Streams and shards are numbered in the order in which they are made, and the manifest names each before a record is
 * put. So one with a number that the manifest has not reached, and with records, is younger than the manifest: somebody
 * put back a copy that was too old. All may look well then, and whoever opens the store sets the directory aside. One
 * that a killed creator left has no record, and one of an older number was deleted, or expired. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/local/local.h"

#define NAME_BYTES 64
#define ADVICE "put a newer `manifest` back before anybody opens the store: who does sets the directory aside, with " \
               "all its records"

typedef struct unnamed {
    const lsi_root *root;
    const char *dir;   /* of a stream */
    uint64_t from;     /* the first number that the manifest has not reached */
    lsi_inspection *inspection;
    bool has_records;  /* one of that number or above has */
    bool is_told;      /* each that has is told */
} unnamed;

/* Whether a log's directory has a record; what cannot be looked through has none to be told of here. */
static bool has_records(const lsi_root *root, const char *dir)
{
    bool unused = true;

    return lsi_log_is_unused(root, dir, &unused) == LS_OK && !unused;
}

static int shard_note(void *user, const char *entry, bool is_dir)
{
    unnamed *of = user;
    char dir[NAME_BYTES];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_STRAY_FILE, .file = dir,
                          .records_max = LS_RECORDS_UNKNOWN, .advice = ADVICE};

    if (!is_dir || *entry == '\0' || strlen(entry) > 10 || entry[strspn(entry, "0123456789")] != '\0' ||
        strtoull(entry, NULL, 10) < of->from)
        return 0;
    (void)snprintf(dir, sizeof(dir), "%s/%s", of->dir, entry); /* 20 + 1 + 10 */
    if (!has_records(of->root, dir))
        return 0;
    of->has_records = true;
    if (of->is_told)
        lsi_inspection_tell(of->inspection, &finding, "stream '%s': %s/ has records, and the manifest is older than "
                            "it: nobody reads them", of->inspection->stream, dir);
    return 0;
}

void lsi_local_unnamed_shards(const lsi_root *root, const lsi_catalog *catalog, lsi_inspection *inspection)
{
    for (uint32_t i = 0; i < catalog->stream_count && !inspection->stopped; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];
        char dir[NAME_BYTES];
        unnamed of = {.root = root, .dir = dir, .inspection = inspection, .is_told = true};

        of.from = stream->shard_count > 0 ? stream->shards[stream->shard_count - 1].index + UINT64_C(1) : 0;
        (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream->id);
        inspection->stream = stream->name;
        inspection->stream_id = stream->id;
        (void)root->files->list(root, dir, shard_note, &of); /* What cannot be listed the shards' logs have told. */
    }
    inspection->stream = "";
    inspection->stream_id = 0;
}

bool lsi_local_unnamed_stream(const lsi_root *root, const lsi_catalog *catalog, const char *entry, uint64_t id,
                              lsi_inspection *inspection)
{
    unnamed of = {.root = root, .dir = entry};
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_STRAY_FILE, .file = entry,
                          .records_max = LS_RECORDS_UNKNOWN, .advice = ADVICE};

    if (id < catalog->next_id || strlen(entry) > 20)
        return false;
    (void)root->files->list(root, entry, shard_note, &of); /* Only what it can look through is told. */
    if (of.has_records)
        lsi_inspection_tell(inspection, &finding, "%s/ has records, and the manifest is older than it: nobody reads "
                            "them", entry);
    return of.has_records;
}
