/* What verify says of a damaged store, and what repair makes of it. Promised (R4, unstable/inspect.h), and asked of a
 * part of the campaign's cases:
 *   - verify and a dry run change nothing and get to the end; what they tell is of a file that was changed, names it,
 *     says what is lost and what to do;
 *   - repair tells the same damage, and what it says was done is done: then verify finds no damage;
 *   - afterwards every record can be read but those that verify had said are lost, and no more of them are lost than it
 *     had said;
 *   - a manifest is put back wherever its copy was not touched, and nothing is lost with it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "engine/local/local.h"
#include "h9.h"

#define FINDINGS_MAX 64u

typedef struct told {
    ls_finding finding;
    char file[IMAGE_NAME_BYTES], stream[LSI_STREAM_NAME_MAX + 1];
    uint64_t missing; /* records after the repair that lie in its range */
} told;

typedef struct account {
    told lines[FINDINGS_MAX]; /* damage and hints */
    size_t count;
    bool is_new; /* of a store that nobody has repaired yet */
} account;

/* Whether one of the changed files is the one named, or lies in what is. */
static bool is_of_changed_file(const char *file)
{
    size_t size = strlen(file);

    for (size_t i = 0; i < h9_whole.count; i++)
        if (strncmp(h9_whole.files[i].name, file, size) == 0 &&
            (h9_whole.files[i].name[size] == '\0' || h9_whole.files[i].name[size] == '/') && h9_is_file_changed(i))
            return true;
    return false;
}

static ls_inspect_act note(const ls_finding *finding, void *user)
{
    account *to = user;
    const char *slash = strrchr(finding->file, '/');
    told *line = &to->lines[to->count];

    if (finding->severity == LS_FINDING_NOTE)
        return LS_INSPECT_GO_ON;
    if (to->is_new && !is_of_changed_file(finding->file))
        h9_violation(finding->what, NULL, 0, LS_OK);
    if (to->is_new && finding->kind == LS_FINDING_MANIFEST && !finding->repairable &&
        !is_of_changed_file(LSI_MANIFEST_COPY_NAME))
        h9_violation("a manifest whose copy is whole cannot be repaired", NULL, 0, LS_OK);
    if (strstr(finding->what, slash != NULL ? slash + 1 : finding->file) == NULL)
        h9_violation("a line does not name its file", NULL, 0, LS_OK);
    if (strstr(finding->what, "lost") == NULL && strstr(finding->what, "cannot be reached") == NULL)
        h9_violation("a line does not say what is lost", NULL, 0, LS_OK);
    if (finding->advice[0] == '\0' || strchr(finding->what, '\n') != NULL || strchr(finding->advice, '\n') != NULL)
        h9_violation("a line does not say what to do, or is several", NULL, 0, LS_OK);
    if (to->count == FINDINGS_MAX) {
        h9_violation("more lines than are kept", NULL, 0, LS_OK);
        return LS_INSPECT_STOP;
    }
    *line = (told){.finding = *finding};
    (void)snprintf(line->file, sizeof line->file, "%s", finding->file); /* of this store: they fit */
    (void)snprintf(line->stream, sizeof line->stream, "%s", finding->stream);
    to->count++;
    return LS_INSPECT_GO_ON;
}

static ls_status inspect(still_env *still, bool repair, account *to)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    lsi_inspection inspection = {.finding = note, .user = to};

    to->count = 0;
    return lsi_local_inspect(&still->env, H9_STORE, &options, repair, &inspection);
}

static bool is_same(const told *a, const told *b)
{
    return a->finding.severity == b->finding.severity && a->finding.kind == b->finding.kind &&
           strcmp(a->file, b->file) == 0 && a->finding.first_seqno == b->finding.first_seqno &&
           a->finding.last_seqno == b->finding.last_seqno && a->finding.records_max == b->finding.records_max;
}

static void compare(const account *before, const account *repair)
{
    for (size_t i = 0; i < before->count; i++) {
        bool found = false;

        for (size_t k = 0; k < repair->count; k++)
            found = found || (is_same(&before->lines[i], &repair->lines[k]) &&
                              before->lines[i].finding.repairable == repair->lines[k].finding.repaired);
        if (!found)
            h9_violation("repair does not tell what verify told, or did not do what it could", NULL, 0, LS_OK);
    }
    if (repair->count != before->count)
        h9_violation("repair tells more or less than verify", NULL, 0, LS_OK);
}

/* One that is missing: some line must have said so. */
static void blame(account *before, const h9_shard *of, ls_seqno seqno)
{
    for (size_t i = 0; i < before->count; i++) {
        told *line = &before->lines[i];

        if (line->finding.severity != LS_FINDING_DAMAGE || strcmp(line->stream, of->stream) != 0 ||
            line->finding.shard != of->index)
            continue;
        if (line->finding.records_max == LS_RECORDS_UNKNOWN)
            return;
        if (line->finding.first_seqno <= seqno && seqno <= line->finding.last_seqno) {
            if (++line->missing > line->finding.records_max)
                h9_violation("more is lost than verify had said", of, seqno, LS_OK);
            return;
        }
    }
    h9_violation("a record is lost of which verify had not said so", of, seqno, LS_OK);
}

static void read_all(still_env *still, account *before)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    ls_status st;

    options.flags = LS_STORE_READ_ONLY;
    st = lsi_store_open_env(H9_STORE, &options, &still->env, &store);
    if (st != LS_OK) {
        h9_violation("a repaired store does not open", NULL, 0, st);
        return;
    }
    for (uint32_t s = 0; s < H9_SHARDS; s++) {
        static bool got[H9_RECORDS_MAX];
        const h9_shard *of = &h9_shards[s];
        ls_iterator *iterator = NULL;
        const ls_batch *batch;
        ls_stream *stream = NULL;

        memset(got, 0, sizeof got);
        st = ls_stream_open(store, of->stream, &stream);
        if (st == LS_OK)
            st = ls_iterator_open(stream, of->index, NULL, NULL, &iterator);
        while (st == LS_OK) {
            st = ls_iterator_next(iterator, NULL, &batch);
            if (st != LS_OK || ls_batch_count(batch) == 0)
                break;
            for (size_t i = 0; i < ls_batch_count(batch); i++) {
                uint32_t number = h9_record_of(of, ls_batch_at(batch, i));

                if (number != UINT32_MAX)
                    got[number] = true;
            }
        }
        if (st != LS_OK)
            h9_violation("a repaired shard is not read to its end", of, 0, st);
        for (uint32_t i = 0; i < of->count; i++)
            if (!got[i])
                blame(before, of, of->records[i].seqno);
        ls_iterator_close(iterator);
        (void)ls_stream_close(stream); /* opened to read */
    }
    (void)ls_store_close(store); /* likewise */
}

static bool is_equal(const image *a, const image *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (strcmp(a->files[i].name, b->files[i].name) != 0 || a->files[i].size != b->files[i].size ||
            memcmp(a->files[i].bytes, b->files[i].bytes, a->files[i].size) != 0)
            return false;
    return a->count == b->count;
}

void h9_lines(lsi_files *files, still_env *still)
{
    static account before, repair, after;
    image then = image_take(files, H9_STORE), now;
    bool all_can_be_repaired = true;
    ls_status st;

    still->env.files = files;
    before.is_new = repair.is_new = true;
    st = inspect(still, false, &before);
    if (st != LS_OK)
        h9_violation("verify does not get to the end", NULL, 0, st);
    now = image_take(files, H9_STORE);
    if (!is_equal(&then, &now))
        h9_violation("verify changes something", NULL, 0, st);
    st = inspect(still, true, &repair);
    if (st != LS_OK)
        h9_violation("repair does not get to the end", NULL, 0, st);
    compare(&before, &repair);
    for (size_t i = 0; i < before.count; i++)
        all_can_be_repaired = all_can_be_repaired && before.lines[i].finding.repairable;
    if (all_can_be_repaired) {
        st = inspect(still, false, &after);
        if (st != LS_OK || after.count != 0)
            h9_violation("a repaired store is damaged", NULL, 0, st);
        read_all(still, &before);
    }
    image_free(&then);
    image_free(&now);
}
