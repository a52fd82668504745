/* The golden stores: where they are, and one line per record as they are written down beside them.
 *
 *     STREAM SHARD SEQNO ARRIVAL_US FLAGS HASH_HIGH HASH_LOW KEY DATA_BYTES DATA_SUM
 *
 * numbers in decimal, but hash and sum (XXH3, 64 bits) in hexadecimal. */
#ifndef LST_GOLDEN_H
#define LST_GOLDEN_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libstream/libstream.h>

#include "base/hash.h"

#define GOLDEN_LINE_BYTES 512

static inline void golden_line(char line[GOLDEN_LINE_BYTES], const char *stream, const ls_record *record)
{
    (void)snprintf(line, GOLDEN_LINE_BYTES,
                   "%s %" PRIu32 " %" PRIu64 " %" PRId64 " %" PRIu32 " %016" PRIx64 " %016" PRIx64
                   " %.*s %zu %016" PRIx64
                   "\n",
                   stream, record->shard, record->seqno, record->arrival_us, record->flags,
                   record->explicit_hash_key.high, record->explicit_hash_key.low, (int)record->partition_key.size,
                   (const char *)record->partition_key.data, record->data.size,
                   lsi_sum64(record->data.data, record->data.size, 0)); /* keys are short and without spaces */
}

/* Keys follow from their ids. */
static inline ls_status golden_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

/* Calls `each` with the line of every record of the store, by stream, shard and number; the first failure. */
static inline ls_status golden_each(ls_store *store, void (*each)(void *user, const char *line), void *user)
{
    static const char *const streams[] = {"alpha", "beta", "gamma", "delta"};
    static const uint32_t shards[] = {2, 1, 4, 1};

    for (size_t s = 0; s < 4; s++) {
        ls_stream *stream;
        ls_status st = ls_stream_open(store, streams[s], &stream);

        for (uint32_t shard = 0; st == LS_OK && shard < shards[s]; shard++) {
            ls_iterator *iterator;
            const ls_batch *batch;
            size_t count = 1;

            st = ls_iterator_open(stream, shard, NULL, NULL, &iterator);
            if (st != LS_OK)
                break;
            while (st == LS_OK && count > 0) {
                st = ls_iterator_next(iterator, NULL, &batch);
                count = st == LS_OK ? ls_batch_count(batch) : 0;
                for (size_t i = 0; i < count; i++) {
                    char line[GOLDEN_LINE_BYTES];

                    golden_line(line, streams[s], ls_batch_at(batch, i));
                    each(user, line);
                }
            }
            ls_iterator_close(iterator);
        }
        if (st != LS_OK)
            return st;
        st = ls_stream_close(stream);
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

#endif
