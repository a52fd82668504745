/* Put the rows of a source into a stream so that whoever is killed in the midst, and is run again, goes on behind the
 * last row: none is missing, and none is there twice.
 *
 * Each step is a transaction (libstream/txn.h): some records, and in the stream `NAME.read` a note of how far the
 * source was read. What a note says is the caller's: a number of rows, a day, the size and time of a file. A source is
 * read by one process at a time, and its name is a partition key: 1..256 characters (source_name.h makes one of any
 * file's path).
 *
 * A stream that was deleted and made again under its name begins anew: notes are of the one that it was noted in. */
#ifndef EXAMPLES_FEED_H
#define EXAMPLES_FEED_H

#include "pipeline.h"

#include <stddef.h>

typedef struct row_feed row_feed;

/* Both NULL on failure, which was said. `stream` lives longer than the feed. */
row_feed *feed_open(ls_store *store, ls_stream *stream, const char *stream_name);
/* 0, or -1: said. What was added since the last step is dropped. NULL is accepted. */
int feed_close(row_feed *feed);

/* The source's last note, NULL when there is none; valid until the next step. */
const char *feed_note(const row_feed *feed, const char *source);

/* The sum of the `word`-th words, from 0, of the last notes of all sources, those of earlier runs too. */
uint64_t feed_noted(const row_feed *feed, int word);

/* What is to be known of a store besides its sources; feed_noted finds nothing of it. feed_recall: NULL when nothing
 * was remembered. feed_remember: 0, or -1: said. */
const char *feed_recall(const row_feed *feed, const char *what);
int feed_remember(row_feed *feed, const char *what, const char *text);

/* That a setting is the same in all runs of a store: the first one notes it. 0, or -1: it is another one now, or that
 * could not be noted; said. */
int feed_settle(row_feed *feed, const char *option, const char *value);

/* Where files of a delivery of the stream lie beside the store. feed_moved: where that was when it was remembered last,
 * into `was`, if the store was moved since; then the delivery goes on in `now`. 1, 0: it was not moved, or -1: said. */
int feed_moved(const row_feed *feed, const char *delivery, const char *now, char was[PIPELINE_PATH_BYTES]);
int feed_remember_place(row_feed *feed, const char *now);

/* Adds a record to the step. LS_OK; LS_ERR_TOO_LARGE or LS_ERR_INVALID_ARGUMENT: it was refused, and the step is as it
 * was; anything else was said. */
ls_status feed_add(row_feed *feed, ls_bytes key, ls_bytes data);
size_t feed_added(const row_feed *feed); /* Since the last step. */

/* Whether a step is due: `rows` of `batch` are in it, or some and they were the last; or it is as large as it should
 * become, since what goes to one shard has 16 MiB at most. */
bool feed_is_due(const row_feed *feed, uint64_t rows, uint64_t batch, bool are_last);

/* Does the step: the records, and the note of the source, become durable together. Waits for a provisioned stream as
 * long as that says. 0, or -1: nothing was done, and that was said or a signal came. */
int feed_step(row_feed *feed, const char *source, const char *note);

/* The same, but it is done by a thread meanwhile, and the next step can be filled; waits while three steps are to be
 * done. feed_wait waits for all of them, as feed_step and feed_close do. -1: this one was not begun, or one before was
 * not done, and then none behind it is; said. */
int feed_begin_step(row_feed *feed, const char *source, const char *note);
int feed_wait(row_feed *feed);

#endif
