/* Where clicks come from: a generator, lines of JSON, or IBM's sample of a clickstream as CSV; one after the other, in
 * memory that does not grow with the file. */
#ifndef EXAMPLES_CLICK_FILE_H
#define EXAMPLES_CLICK_FILE_H

#include "feed.h"
#include "source_name.h"

typedef struct click_source click_source;

/* `path` NULL: `events` made-up ones of that seed, of which `broken` are broken. `feed`: where
 * notes of it may be. NULL: failed, and said. */
click_source *click_source_open(const row_feed *feed, const char *path, uint64_t seed, uint64_t events,
                                uint64_t broken);
void click_source_close(click_source *source); /* NULL is accepted. */

const char *click_source_name(const click_source *source); /* The same for the same events. */
uint64_t click_source_again(const click_source *source); /* Events that its note counts and it has no more. */
void click_source_word(const click_source *source, char word[SOURCE_WORD_BYTES]); /* The last one of its note now. */

/* The next event and its partition key, the user's id; of what has none, "unknown". 1; 0: that was all; -1: said. Views
 * until the next call. */
int click_source_next(click_source *source, ls_bytes *key, ls_bytes *event);

#endif
