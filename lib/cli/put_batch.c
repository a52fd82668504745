/* Lines in batches, each of which is waited for. A batch with a bad record in it is refused whole, so it is put again
 * in halves until the bad record stands alone and its reason can be told with its line: 9 more calls in 500 records.
 * What a limit refused is put again in order. */
#include "cli/put.h"

#include <string.h>

/* Records [first, first + count) are not stored because the command ends. */
static void note(lsi_put_run *run, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        lsi_put_note(run, run->records[i].line);
}

/* Puts records [first, first + count), in halves when the library refuses one of them. Depth: log2 of the batch. Those
 * that are over a limit of the stream are moved to `first`; returns how many they are. */
static size_t put_range(lsi_put_run *run, size_t first, size_t count);

static void put_again(lsi_put_run *run, size_t first, size_t count)
{
    while (count != 0 && run->stop_code == LSI_EXIT_OK && !lsi_put_is_interrupted(run)) {
        uint64_t stored = run->stored;

        run->waited_ms += lsi_wait_for_turn(run->tries++);
        count = put_range(run, first, count);
        if (run->stored != stored)
            run->tries = 0;
        lsi_put_draw_bar(run);
    }
    note(run, first, count);
}

static size_t put_range(lsi_put_run *run, size_t first, size_t count)
{
    bool may_retry = !run->no_retry;
    size_t failed = 0, again = 0;
    ls_status st;

    if (run->stop_code != LSI_EXIT_OK)
        return count;
    if (count == 1) { /* Its message is of one record. */
        const ls_put_entry *entry = &run->entries[first];
        ls_put_options one = run->put;

        one.explicit_hash_key = entry->explicit_hash_key;
        st = ls_producer_put(run->producer, entry->partition_key, entry->data, &one, NULL);
        run->results[first].status = LS_OK;
        if (st == LS_ERR_THROTTLED && may_retry)
            return 1;
    } else {
        st = ls_producer_put_batch(run->producer, run->entries + first, count, &run->put, run->results + first,
                                   &failed);
    }
    if (lsi_put_is_record_fault(st) && count > 1) {
        put_again(run, first, put_range(run, first, count / 2));
        put_again(run, first + count / 2, put_range(run, first + count / 2, count - count / 2));
        return 0;
    }
    if (lsi_put_is_record_fault(st)) {
        lsi_put_refuse(run, run->records[first].line, ls_last_error_message());
        return 0;
    }
    if (st != LS_OK) {
        lsi_put_give_up(run, run->records[first].line, st, ls_last_error_message());
        note(run, first + 1, count - 1);
        return 0;
    }
    for (size_t i = first; i < first + count; i++) {
        ls_status result = run->results[i].status;
        char text[600];

        if (result == LS_OK) {
            run->stored++;
            run->data_bytes += run->records[i].data_size;
            continue;
        }
        if (result == LS_ERR_THROTTLED && may_retry && run->stop_code == LSI_EXIT_OK) {
            run->entries[first + again] = run->entries[i]; /* In order, which so is kept per shard. */
            run->records[first + again++] = run->records[i];
            continue;
        }
        /* The thread's last error is of one of them; of another status it says nothing. */
        (void)snprintf(text, sizeof text, "%s",
                       result == ls_last_error_status() ? ls_last_error_message() : ls_status_name(result));
        if (lsi_put_is_record_fault(result))
            lsi_put_refuse(run, run->records[i].line, text);
        else if (run->stop_code == LSI_EXIT_OK)
            lsi_put_give_up(run, run->records[i].line, result, text);
        else
            lsi_put_note(run, run->records[i].line);
        run->is_unknown = run->is_unknown || lsi_put_is_unknown(result, text);
    }
    return again;
}

void lsi_put_batch(lsi_put_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const lsi_put_line *record = &run->records[i];

        run->entries[i] = (ls_put_entry){
            .partition_key = {run->bytes + record->key_at, record->key_size},
            .data = {run->bytes + record->data_at, record->data_size},
            .explicit_hash_key = run->explicit_hash_key,
        };
    }
    if (run->count != 0)
        put_again(run, 0, put_range(run, 0, run->count));
    lsi_put_end_notes(run);
    run->count = 0;
    run->bytes_size = 0;
    lsi_put_draw_bar(run);
}
