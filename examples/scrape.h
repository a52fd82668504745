/* A store's metrics in a file for Prometheus's node exporter, written anew each second by a thread: who scrapes sees
 * the counters grow, and rate() has something to show. Who reads the file sees it whole (ls_metrics_write_file). */
#ifndef EXAMPLES_SCRAPE_H
#define EXAMPLES_SCRAPE_H

#include <libstream/libstream.h>

typedef struct scrape_file scrape_file;

/* NULL: failed, and said. `path` is copied; `store` is closed after the end. */
scrape_file *scrape_begin(ls_store *store, const char *path);

/* Writes it a last time, with all that was counted by now. 0, or -1: that or an earlier one has failed, and was said.
 * NULL is accepted. */
int scrape_end(scrape_file *scrape);

#endif
