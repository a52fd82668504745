/* Hashes of the partition keys met last, by producer: programs put few keys again and again, one record a call, and an
 * MD5 costs as much as the rest of such a put. Batches need it not, for their keys are hashed many at a time.
 *
 * A key has one place, by its sum; a newcomer takes it. Keys are compared whole, so a hash is never another key's. The
 * table is made at the first key that is hashed alone: a producer of a stream with one shard never has it. Without
 * memory for it everything is hashed. */
#include "produce/producer.h"

#include <string.h>

#include "base/hash.h"

#define PLACES 1024u /* 48 KiB; a power of two */
#define KEY_BYTES_MAX 31u

struct lsi_known_key {
    ls_hash_key hash;
    uint8_t size; /* 0: nobody is here */
    char bytes[KEY_BYTES_MAX];
};
_Static_assert(sizeof(struct lsi_known_key) == 48, "no padding");

ls_hash_key lsi_key_hash(lsi_producer *producer, ls_bytes key)
{
    struct lsi_known_key *place;

    if (key.size > KEY_BYTES_MAX)
        return lsi_hash_partition_key(key);
    if (producer->known_keys == NULL) {
        producer->known_keys = lsi_alloc_zero(&producer->env->memory, PLACES * sizeof(*producer->known_keys));
        if (producer->known_keys == NULL)
            return lsi_hash_partition_key(key);
    }
    place = &producer->known_keys[lsi_sum64(key.data, key.size, 0) & (PLACES - 1)];
    if (place->size != key.size || memcmp(place->bytes, key.data, key.size) != 0) {
        place->hash = lsi_hash_partition_key(key);
        place->size = (uint8_t)key.size;
        memcpy(place->bytes, key.data, key.size);
    }
    return place->hash;
}
