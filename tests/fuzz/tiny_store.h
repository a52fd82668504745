/* A store in memory for the targets that open whole stores, and what is asked of it whatever its bytes are. */
#ifndef LST_TINY_STORE_H
#define LST_TINY_STORE_H

#include "api/api.h"
#include "base/hash.h"
#include "fuzz/fuzz.h"
#include "support/image.h"
#include "support/still_env.h"

#define TINY_RECORDS_MAX 4096u /* of one shard; a target looks no further */

/* What was read of a shard: enough to tell whether it is the same again. */
typedef struct tiny_shard {
    uint32_t count;
    ls_status st; /* what ended it; LS_OK: the tip */
    ls_seqno seqnos[TINY_RECORDS_MAX];
    uint64_t sums[TINY_RECORDS_MAX];
} tiny_shard;

static inline uint64_t tiny_sum(const ls_record *record)
{
    uint64_t words[4] = {record->flags, (uint64_t)record->arrival_us, record->explicit_hash_key.high,
                         record->explicit_hash_key.low};
    uint64_t sum = lsi_sum64(words, sizeof words, record->seqno);

    sum = lsi_sum64(record->partition_key.data, record->partition_key.size, sum);
    return lsi_sum64(record->data.data, record->data.size, sum);
}

/* Reads from the horizon to the tip or to the first failure; numbers must rise. */
static inline void tiny_read(ls_stream *stream, uint32_t shard, tiny_shard *out)
{
    ls_iterator *iterator;
    const ls_batch *batch;

    out->count = 0;
    out->st = ls_iterator_open(stream, shard, NULL, NULL, &iterator);
    if (out->st != LS_OK)
        return;
    while (out->count < TINY_RECORDS_MAX) {
        ls_next_options limits = LS_NEXT_OPTIONS_INIT;

        limits.records_max = TINY_RECORDS_MAX - out->count;
        out->st = ls_iterator_next(iterator, &limits, &batch);
        if (out->st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch) && out->count < TINY_RECORDS_MAX; i++) {
            const ls_record *record = ls_batch_at(batch, i);

            FUZZ_REQUIRE(record->shard == shard);
            FUZZ_REQUIRE(out->count == 0 || record->seqno > out->seqnos[out->count - 1]);
            out->seqnos[out->count] = record->seqno;
            out->sums[out->count++] = tiny_sum(record);
        }
    }
    ls_iterator_close(iterator);
}

/* The key of every id. */
static inline ls_status tiny_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    (void)key_id;
    memset(key, 7, LS_KEY_BYTES);
    return LS_OK;
}

static inline bool tiny_is_status(ls_status st)
{
    return strcmp(ls_status_name(st), "LS_ERR_?") != 0;
}

#endif
