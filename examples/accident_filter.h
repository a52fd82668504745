/* From the accidents of stream 1 to the severe ones of stream 2: a handler that projects what a filter lets through
 * onto five fields, counts it in tumbling windows by the time of sending, and puts it, packed, as one step with its
 * place in stream 1. */
#ifndef EXAMPLES_ACCIDENT_FILTER_H
#define EXAMPLES_ACCIDENT_FILTER_H

#include "flat_json.h"
#include "table.h"

#include <libstream/libstream.h>

#include <pthread.h>

#define ACCIDENT_FIELD_BYTES 201 /* VARCHAR(50), in UTF-8. */

/* What is known of an accident: ID, Severity, City, County, Txn_Timestamp; a field that it lacks is empty, and so is a
 * severity that is no number of one digit. A text that does not fit, or holds a NUL, is cut, and then ends with ~ and a
 * hash of the whole: two that differ stay two. */
typedef struct accident {
    char id[ACCIDENT_FIELD_BYTES], severity[2], city[ACCIDENT_FIELD_BYTES], county[ACCIDENT_FIELD_BYTES], sent[40];
} accident;

/* False: `text` is no object. */
bool accident_read(const char *text, size_t size, flat_json *scratch, accident *out);

bool accident_is_severe(const accident *seen); /* WHERE Severity > 2 */

typedef struct accident_filter {
    ls_stream *to;          /* stream 2 */
    ls_window *window;
    pthread_mutex_t turn;   /* of the window and what follows: shards take turns */
    const ls_record *batch; /* what the window is shown, */
    const accident *read;   /* and what was read of each record */
    table_file *file;       /* of the windows' results, which replace each other: one may come twice */
    keyed_table *results;   /* partition: the severity; sort: the window's start; item: how many */
} accident_filter;

/* 0, or -1: said. `name` is what the window's state is stored under in `from`. All are closed after the filter. */
int accident_filter_open(accident_filter *filter, ls_stream *from, ls_stream *to, table_file *file,
                         uint64_t window_ms);
/* Lets all windows fire, to see what there is; what is stored goes on where it was. 0, or -1: said. */
int accident_filter_finish(accident_filter *filter, uint64_t *late);
void accident_filter_close(accident_filter *filter); /* One that is zero is accepted. */

/* The handler, of a mapping with LS_MAPPING_EXACTLY_ONCE. `user` is the accident_filter. */
ls_handler_answer accident_filter_batch(const ls_batch *batch, ls_handler_context *context, void *user);

#endif
