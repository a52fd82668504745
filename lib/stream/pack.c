/* Packs records into an aggregate, the format of Kinesis's producer library.
 *
 * The message has its tables of keys before its records, and both grow with each record. So there are three runs of
 * bytes, each as it will stand in the message, which are joined at the end: the two tables are copied before the
 * records, where as much is left free as the largest tables needed until now. Each table remembers where its entries
 * are, and finds one by its hash, so that what is packed is byte for byte what `aws_kinesis_agg` makes of the same
 * records.
 *
 * K1  bytes_with() is the size of what finish() gives, so nobody has to try.
 * K2  A record costs the same however many there are: the search in a table ends after PROBES_MAX places, and a key
 *     that is not found there, which takes keys made to collide, stands in the table twice. The format allows that.
 * K3  What may fail is done before anything changes. */
#include <assert.h>

#include "base/hash.h"
#include "base/status.h"
#include "base/u128.h"
#include "stream/protobuf.h"
#include "stream/stream.h"

#define MAGIC_BYTES 4u
#define MD5_BYTES (LSI_AGGREGATE_EXTRA_BYTES - MAGIC_BYTES)
#define SLOTS_FIRST 64u /* a power of two */
#define SLOTS_FACTOR 4u /* they are between an eighth and half full */
#define PROBES_MAX 64u
#define HASH_SEED 1u /* any but 0, which is slower for keys of some sizes */
#define NO_INDEX UINT32_MAX

typedef struct entry {
    uint32_t at, size; /* of the key, in its table's bytes */
    uint32_t hash;
} entry;

typedef struct table {
    unsigned char field; /* before each entry */
    unsigned char *bytes;
    size_t bytes_room, entries_room;
    uint32_t used, count;
    entry *entries;  /* [count] */
    uint64_t *slots; /* [slot_count]: an entry's hash above its index + 1; 0: none */
    size_t slots_room;
    uint32_t slot_count; /* a power of two */
} table;

struct lsi_pack {
    const lsi_memory *memory;
    uint32_t bytes_max, records_max;
    table keys, hash_keys;
    unsigned char *records; /* [front] free, then `used` of records, then room for a digest */
    size_t records_room;
    uint32_t front, used, count;
    bool has_explicit; /* the first record */
    ls_hash_key explicit_hash_key;
    uint32_t first_data_bytes;
};

/* A key on its way into a table, or found there. */
typedef struct place {
    ls_bytes key;
    uint32_t hash;
    uint32_t index; /* that it has or will have */
    uint32_t bytes; /* that the table grows by; 0: it is there */
} place;

/* Fills `to` in place: what was stored a word at a time and is then copied as a whole waits for these stores. */
static inline void find(const table *of, const void *key, size_t key_bytes, place *to)
{
    uint32_t hash = (uint32_t)lsi_sum64(key, key_bytes, HASH_SEED);

    to->key = (ls_bytes){key, key_bytes};
    to->hash = hash;
    for (uint32_t probe = 0; probe < PROBES_MAX && of->slot_count != 0; probe++) {
        uint64_t slot = of->slots[(hash + probe) & (of->slot_count - 1)];
        const entry *at;

        if (slot == 0)
            break;
        if (slot >> 32 != hash)
            continue;
        at = &of->entries[(uint32_t)slot - 1];
        if (at->size == key_bytes && memcmp(of->bytes + at->at, key, key_bytes) == 0) {
            to->index = (uint32_t)slot - 1;
            to->bytes = 0;
            return;
        }
    }
    to->index = of->count;
    to->bytes = 1 + lsi_varint_bytes(key_bytes) + (uint32_t)key_bytes;
}

static void set_slot(table *of, uint32_t hash, uint32_t index)
{
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        uint64_t *slot = &of->slots[(hash + probe) & (of->slot_count - 1)];

        if (*slot == 0) {
            *slot = (uint64_t)hash << 32 | (index + 1);
            return;
        }
    } /* It is not found again (K2). */
}

static void clear_table(table *of)
{
    of->used = 0;
    of->count = 0;
    of->slot_count = 0;
}

/* Asked for each record: mostly there is room. */
static inline bool grow(const lsi_memory *memory, unsigned char **bytes, size_t *room, size_t wanted)
{
    return wanted <= *room || lsi_grow(memory, (void **)bytes, room, wanted, 1);
}

/* Room for one more entry, which there is not yet; false: no memory, and what the table says is as it was. */
static __attribute__((noinline)) bool make_room(const lsi_memory *memory, table *of, uint32_t bytes)
{
    uint32_t slots = of->slot_count;

    if (!grow(memory, &of->bytes, &of->bytes_room, of->used + bytes) ||
        !lsi_grow(memory, (void **)&of->entries, &of->entries_room, of->count + 1, sizeof *of->entries))
        return false;
    if (slots == 0)
        slots = SLOTS_FIRST;
    else if (of->count >= slots / 2)
        slots *= SLOTS_FACTOR;
    if (slots == of->slot_count)
        return true;
    if (!lsi_grow(memory, (void **)&of->slots, &of->slots_room, slots, sizeof *of->slots))
        return false;
    of->slot_count = slots;
    memset(of->slots, 0, slots * sizeof *of->slots);
    for (uint32_t i = 0; i < of->count; i++)
        set_slot(of, of->entries[i].hash, i);
    return true;
}

/* The same, asked for each key that is not there: mostly there is room. */
static inline bool reserve(const lsi_memory *memory, table *of, uint32_t bytes)
{
    return (of->used + (size_t)bytes <= of->bytes_room && of->count < of->entries_room &&
            of->count < of->slot_count / 2) ||
           make_room(memory, of, bytes);
}

/* A key that is not there, into a table that has room. */
static void insert(table *into, const place *key)
{
    unsigned char *at = into->bytes + into->used;

    *at++ = into->field;
    at = lsi_varint_write(at, key->key.size);
    into->entries[into->count] =
        (entry){.at = (uint32_t)(at - into->bytes), .size = (uint32_t)key->key.size, .hash = key->hash};
    memcpy(at, key->key.data, key->key.size); /* None is empty. */
    set_slot(into, key->hash, into->count);
    into->used += key->bytes;
    into->count++;
}

ls_status lsi_pack_open(const lsi_memory *memory, uint32_t bytes_max, uint32_t records_max, lsi_pack **out)
{
    lsi_pack *pack = lsi_alloc_zero(memory, sizeof *pack);

    if (pack == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to aggregate records");
    pack->memory = memory;
    pack->bytes_max = bytes_max;
    pack->records_max = records_max;
    pack->keys.field = LSI_FIELD_PARTITION_KEY;
    pack->hash_keys.field = LSI_FIELD_HASH_KEY;
    *out = pack;
    return LS_OK;
}

static void free_table(const lsi_memory *memory, table *of)
{
    lsi_free(memory, of->bytes);
    lsi_free(memory, of->entries);
    lsi_free(memory, of->slots);
}

void lsi_pack_close(lsi_pack *pack)
{
    if (pack == NULL)
        return;
    free_table(pack->memory, &pack->keys);
    free_table(pack->memory, &pack->hash_keys);
    lsi_free(pack->memory, pack->records);
    lsi_free(pack->memory, pack);
}

void lsi_pack_clear(lsi_pack *pack)
{
    clear_table(&pack->keys);
    clear_table(&pack->hash_keys);
    pack->used = 0;
    pack->count = 0;
}

uint32_t lsi_pack_count(const lsi_pack *pack)
{
    return pack->count;
}

/* A record before it is added. */
typedef struct addition {
    place key, hash_key;
    uint64_t body_bytes; /* of its message */
    uint64_t total;      /* bytes_with() */
    bool has_explicit;
    char digits[LSI_U128_TEXT_BYTES];
} addition;

static inline void measure(const lsi_pack *pack, ls_bytes key, const ls_hash_key *hash, size_t data_bytes,
                           addition *out)
{
    uint32_t body = 1 + 1 + lsi_varint_bytes(data_bytes); /* a key's index has a byte at least: below */

    find(&pack->keys, key.data, key.size, &out->key);
    body += lsi_varint_bytes(out->key.index);
    out->has_explicit = hash != NULL;
    out->hash_key.bytes = 0;
    if (hash != NULL) {
        lsi_u128_to_decimal(*hash, out->digits);
        find(&pack->hash_keys, out->digits, strlen(out->digits), &out->hash_key);
        body += 1 + lsi_varint_bytes(out->hash_key.index);
    }
    out->body_bytes = body + data_bytes;
    if (pack->count == 0)
        out->total = (uint64_t)key.size + data_bytes;
    else
        out->total = (uint64_t)pack->keys.entries[0].size + LSI_AGGREGATE_EXTRA_BYTES + pack->keys.used +
                     out->key.bytes + pack->hash_keys.used + out->hash_key.bytes + pack->used + 1 +
                     lsi_varint_bytes(out->body_bytes) + out->body_bytes;
}

size_t lsi_pack_bytes_with(const lsi_pack *pack, ls_bytes key, const ls_hash_key *explicit_hash_key, size_t data_bytes)
{
    addition with;

    measure(pack, key, explicit_hash_key, data_bytes, &with);
    return (size_t)with.total;
}

size_t lsi_pack_bytes(const lsi_pack *pack)
{
    if (pack->count == 0)
        return 0;
    if (pack->count == 1)
        return pack->keys.entries[0].size + pack->first_data_bytes;
    return pack->keys.entries[0].size + LSI_AGGREGATE_EXTRA_BYTES + pack->keys.used + pack->hash_keys.used + pack->used;
}

ls_status lsi_pack_add(lsi_pack *pack, ls_bytes key, const ls_hash_key *explicit_hash_key, ls_bytes data, bool *fits)
{
    addition it;
    unsigned char *at;
    uint32_t bytes;
    size_t end;

    *fits = false;
    if (pack->count >= pack->records_max || data.size > pack->bytes_max)
        return LS_OK;
    measure(pack, key, explicit_hash_key, data.size, &it);
    if (it.total > pack->bytes_max)
        return LS_OK;
    bytes = 1 + lsi_varint_bytes(it.body_bytes) + (uint32_t)it.body_bytes;
    end = (size_t)pack->front + pack->used + bytes;
    if ((it.key.bytes != 0 && !reserve(pack->memory, &pack->keys, it.key.bytes)) ||
        (it.hash_key.bytes != 0 && !reserve(pack->memory, &pack->hash_keys, it.hash_key.bytes)) ||
        !grow(pack->memory, &pack->records, &pack->records_room, end + MD5_BYTES))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to aggregate a record of %zu bytes", data.size);
    if (it.key.bytes != 0)
        insert(&pack->keys, &it.key);
    if (it.hash_key.bytes != 0)
        insert(&pack->hash_keys, &it.hash_key);
    at = pack->records + pack->front + pack->used;
    *at++ = LSI_FIELD_RECORD;
    at = lsi_varint_write(at, it.body_bytes);
    *at++ = LSI_FIELD_KEY_INDEX;
    at = lsi_varint_write(at, it.key.index);
    if (it.has_explicit) {
        *at++ = LSI_FIELD_HASH_KEY_INDEX;
        at = lsi_varint_write(at, it.hash_key.index);
    }
    *at++ = LSI_FIELD_DATA;
    at = lsi_varint_write(at, data.size);
    if (data.size != 0)
        memcpy(at, data.data, data.size);
    assert(at + data.size == pack->records + end);
    if (pack->count == 0) {
        pack->has_explicit = it.has_explicit;
        pack->explicit_hash_key = it.has_explicit ? *explicit_hash_key : (ls_hash_key){0, 0};
        pack->first_data_bytes = (uint32_t)data.size;
    }
    pack->used += bytes;
    pack->count++;
    assert(lsi_pack_bytes(pack) == it.total);
    *fits = true;
    return LS_OK;
}

static unsigned char *append(unsigned char *at, const void *bytes, size_t size)
{
    if (size != 0) /* A table without entries may have no address. */
        memcpy(at, bytes, size);
    return at + size;
}

/* Room before the records for all that stands before them; false: no memory, and nothing changed. */
static bool make_front(lsi_pack *pack, uint32_t wanted)
{
    if (wanted <= pack->front)
        return true;
    if (!grow(pack->memory, &pack->records, &pack->records_room, (size_t)wanted + pack->used + MD5_BYTES))
        return false;
    memmove(pack->records + wanted, pack->records + pack->front, pack->used);
    pack->front = wanted;
    return true;
}

ls_status lsi_pack_finish(lsi_pack *pack, lsi_packed *out)
{
    const entry *first = &pack->keys.entries[0];
    unsigned char *start, *at, *end;

    assert(pack->count != 0);
    *out = (lsi_packed){.partition_key = {pack->keys.bytes + first->at, first->size},
                        .has_explicit = pack->has_explicit,
                        .explicit_hash_key = pack->explicit_hash_key,
                        .count = pack->count};
    if (pack->count != 1 && !make_front(pack, MAGIC_BYTES + pack->keys.used + pack->hash_keys.used))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an aggregate of %zu bytes",
                        lsi_pack_bytes(pack) - first->size);
    end = pack->records + pack->front + pack->used;
    if (pack->count == 1) { /* Its data is the last field of the only record. */
        out->data = (ls_bytes){end - pack->first_data_bytes, pack->first_data_bytes};
        return LS_OK;
    }
    start = pack->records + pack->front - pack->hash_keys.used - pack->keys.used - MAGIC_BYTES;
    lsi_write_u32le(start, LSI_AGGREGATE_MAGIC);
    at = append(start + MAGIC_BYTES, pack->keys.bytes, pack->keys.used);
    (void)append(at, pack->hash_keys.bytes, pack->hash_keys.used);
    lsi_md5(start + MAGIC_BYTES, (size_t)(end - start) - MAGIC_BYTES, end);
    out->data = (ls_bytes){start, (size_t)(end - start) + MD5_BYTES};
    return LS_OK;
}
