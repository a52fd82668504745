/* Clicks counted. */
#include "click_tally.h"
#include "delivered.h"
#include "pipeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_line(const char *line, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void click_tally_add(click_tally *tally, const void *event, size_t size)
{
    const char *reason = click_transform_event(&tally->transform, event, size);

    tally->records++;
    if (reason != NULL) {
        tally->failed++;
    } else if (tally->transform.is_dropped) {
        tally->dropped++;
    } else {
        tally->delivered++;
        tally->categories[tally->transform.category]++;
        tally->hash += hash_line(tally->transform.out.text, tally->transform.out.size);
    }
}

void click_tally_free(click_tally *tally)
{
    click_transform_free(&tally->transform);
}

/* The order of the words is that in which read_noted asks for them. */
void click_tally_write(const click_tally *tally, char note[CLICK_NOTE_BYTES])
{
    (void)snprintf(note, CLICK_NOTE_BYTES, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, tally->records,
                   tally->delivered, tally->failed, tally->dropped, tally->hash);
}

void click_tally_read(click_tally *tally, const char *note)
{
    if (note != NULL)
        (void)sscanf(note, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &tally->records,
                     &tally->delivered, &tally->failed, &tally->dropped, &tally->hash);
}

/* What all sources' notes say together. */
static void read_noted(click_tally *tally, const row_feed *feed)
{
    tally->records = feed_noted(feed, 0);
    tally->delivered = feed_noted(feed, 1);
    tally->failed = feed_noted(feed, 2);
    tally->dropped = feed_noted(feed, 3);
    tally->hash = feed_noted(feed, 4);
}

static bool see_category(void *user, const char *name, size_t name_size, json_kind kind, const char *value,
                         size_t size)
{
    click_tally *tally = user;

    if (kind == JSON_STRING && name_size == 8 && memcmp(name, "category", 8) == 0)
        for (int i = 0; i < CLICK_CATEGORIES; i++)
            if (strlen(click_category_names[i]) == size && memcmp(click_category_names[i], value, size) == 0)
                tally->categories[i]++;
    return true;
}

static int see_line(const char *path, const char *line, size_t size, void *user)
{
    click_tally *tally = user;

    if (strncmp(path, CLICK_ERRORS, sizeof(CLICK_ERRORS) - 1) == 0) {
        tally->failed++;
        return 0;
    }
    tally->delivered++;
    tally->hash += hash_line(line, size);
    return json_members(line, size, false, &tally->transform.scratch, see_category, tally)
         ? 0 : pipeline_fail("%s has a line that is no JSON", path);
}

static const char before[] = "files of before"; /* what they are remembered under */

/* The directories that files were delivered to, from 1, as they are remembered; NULL: no more. */
static const char *directory_at(const row_feed *feed, unsigned number)
{
    char what[32];

    (void)snprintf(what, sizeof(what), "directory %u", number);
    return feed_recall(feed, what);
}

/* The delivery may be told to go on in another one: then files lie in both. */
static int remember_directory(row_feed *feed, const char *directory)
{
    const char *known;
    unsigned number = 1;
    char what[32];

    while ((known = directory_at(feed, number)) != NULL && strcmp(known, directory) != 0)
        number++;
    (void)snprintf(what, sizeof(what), "directory %u", number);
    return known != NULL ? 0 : feed_remember(feed, what, directory);
}

int click_tally_moved(row_feed *feed, const char *was, const char *now)
{
    const char *directory;
    char what[32];

    for (unsigned i = 1; (directory = directory_at(feed, i)) != NULL; i++)
        if (strcmp(directory, was) == 0) {
            (void)snprintf(what, sizeof(what), "directory %u", i);
            return feed_remember(feed, what, now);
        }
    return 0;
}

static int read_directories(const row_feed *feed, click_tally *files)
{
    const char *directory;
    size_t count = 0;
    int result = 0;

    for (unsigned i = 1; result == 0 && (directory = directory_at(feed, i)) != NULL; i++) {
        result = delivered_read(directory, see_line, files, &count);
        files->files += count;
    }
    return result;
}

int click_tally_begin(row_feed *feed, const char *directory)
{
    click_tally files = {.records = 0};
    char text[CLICK_NOTE_BYTES + CLICK_CATEGORIES * 21];
    int result = 0, used;

    if (remember_directory(feed, directory) != 0)
        return -1;
    if (feed_recall(feed, before) != NULL || feed_noted(feed, 0) > 0)
        return 0;
    result = delivered_read(directory, see_line, &files, &files.files);
    click_tally_write(&files, text);
    used = (int)strlen(text);
    for (int i = 0; i < CLICK_CATEGORIES; i++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " %" PRIu64, files.categories[i]);
    click_tally_free(&files);
    return result == 0 ? feed_remember(feed, before, text) : -1;
}

/* Takes away from what lies in the directory what lay there before the stream's first event. */
static void subtract_before(click_tally *files, const row_feed *feed)
{
    const char *text = feed_recall(feed, before);
    click_tally old = {.records = 0};

    if (text == NULL)
        return;
    click_tally_read(&old, text);
    files->delivered -= old.delivered;
    files->failed -= old.failed;
    files->hash -= old.hash;
    for (int i = 0; i < 5; i++)
        text = strchr(text, ' ') + 1;
    for (int i = 0; i < CLICK_CATEGORIES; i++)
        files->categories[i] -= strtoull(text, (char **)&text, 10);
}

static int see_record(const ls_record *record, void *user)
{
    click_tally *tally = user;

    click_tally_add(tally, record->data.data, record->data.size);
    return shard_counts_add(record, &tally->shards);
}

static bool has_categories(const click_tally *files, const click_tally *of, bool trimmed)
{
    for (int i = 0; i < CLICK_CATEGORIES; i++)
        if (trimmed ? files->categories[i] < of->categories[i] : files->categories[i] != of->categories[i])
            return false;
    return true;
}

int click_tally_check(ls_stream *stream, const row_feed *feed, click_tally *stream_says, click_tally *files_say)
{
    int trimmed;

    if (pipeline_read_all(stream, see_record, stream_says) != 0 ||
        read_directories(feed, files_say) != 0 || (trimmed = pipeline_is_trimmed(stream)) < 0)
        return -1;
    subtract_before(files_say, feed);
    if (trimmed)
        read_noted(stream_says, feed);
    files_say->dropped = stream_says->dropped; /* Nothing tells of them but the rule. */
    files_say->records = files_say->delivered + files_say->failed + files_say->dropped;
    if (stream_says->delivered != files_say->delivered || stream_says->failed != files_say->failed)
        return pipeline_fail("the files have %" PRIu64 " delivered events of %" PRIu64 ", and %" PRIu64
                             " failed ones of %" PRIu64,
                             files_say->delivered, stream_says->delivered, files_say->failed, stream_says->failed);
    if (stream_says->hash != files_say->hash || !has_categories(files_say, stream_says, trimmed))
        return pipeline_fail("the files do not hold what the events give");
    return 0;
}
