/* What becomes of clicks, counted three times: as they are put, with the note of how far their source was read; as they
 * lie in the stream; and as they lie in the delivered files. The files must hold what the stream gives; when retention
 * has taken some of the stream, what the notes say. */
#ifndef EXAMPLES_CLICK_TALLY_H
#define EXAMPLES_CLICK_TALLY_H

#include "click_category.h"
#include "feed.h"
#include "looking.h"

#define CLICK_ERRORS "errors/" /* What the names of the files in the error output begin with. */

typedef struct click_tally {
    uint64_t records, delivered, failed, dropped;
    uint64_t hash;                  /* the sum of the delivered lines' hashes: their order does not matter */
    uint64_t categories[CLICK_CATEGORIES];
    click_transform transform;      /* its rule, and its memory */
    shard_counts shards;            /* of a stream's */
    size_t files;                   /* that there are, of files' */
} click_tally;

/* Counts what the transform makes of an event. */
void click_tally_add(click_tally *tally, const void *event, size_t size);
void click_tally_free(click_tally *tally);

/* A tally as a source's note, and back; NULL: nothing was put. */
#define CLICK_NOTE_BYTES 128
void click_tally_write(const click_tally *tally, char note[CLICK_NOTE_BYTES]);
void click_tally_read(click_tally *tally, const char *note);

/* To be called before anything is put or delivered: remembers the directory, which files may lie in from now on; and
 * what lies there before the stream's first event, which is of one that was deleted. 0, or -1: said. */
int click_tally_begin(row_feed *feed, const char *directory);

/* What was remembered of `was` is of `now`: the directory was moved. 0, or -1: said. */
int click_tally_moved(row_feed *feed, const char *was, const char *now);

/* Sets `stream_says` and `files_say`, whose rules are set, and checks that they agree; or that the files agree with the
 * notes when the stream has not all any more: then `stream_says` is made to say what the notes do, but for categories
 * and shards, which are of what is left. 0, or -1: they do not, or it failed; said. */
int click_tally_check(ls_stream *stream, const row_feed *feed, click_tally *stream_says, click_tally *files_say);

#endif
