/* Aggregated records: an aggregate's parts lie within it, the same records come whatever the pieces they are taken in,
 * and packed again they are an aggregate that says the same. */
#include "fuzz/fuzz.h"

#include "base/hash.h"
#include "base/u128.h"
#include "stream/stream.h"

static bool lies_within(ls_bytes inner, const uint8_t *data, size_t size)
{
    const uint8_t *at = inner.data;

    return at >= data && inner.size <= size && (size_t)(at - data) <= size - inner.size;
}

static bool is_same(const ls_record *a, const ls_record *b)
{
    return a->partition_key.size == b->partition_key.size && a->data.size == b->data.size && a->flags == b->flags &&
           a->sub_seqno == b->sub_seqno && lsi_u128_compare(a->explicit_hash_key, b->explicit_hash_key) == 0 &&
           memcmp(a->partition_key.data, b->partition_key.data, a->partition_key.size) == 0 &&
           (a->data.size == 0 || memcmp(a->data.data, b->data.data, a->data.size) == 0);
}

/* The records of `unpack`, one after another, packed and unpacked. */
static void pack_again(lsi_unpack *unpack, const uint8_t *data, size_t size)
{
    lsi_unpack other = {.memory = &lsi_memory_libc}, piece = {.memory = &lsi_memory_libc};
    lsi_hash_range half = unpack->range;
    uint32_t count = lsi_unpack_left(unpack);
    ls_record outer = {.shard = 1}, one, two, few[7];
    const ls_hash_key *hash;
    lsi_packed packed;
    lsi_pack *pack;
    bool fits, is_aggregate;

    FUZZ_REQUIRE(lsi_pack_open(&lsi_memory_libc, UINT32_MAX, UINT32_MAX, &pack) == LS_OK);
    outer.data = (ls_bytes){data, size};
    FUZZ_REQUIRE(lsi_unpack_begin(&piece, &outer, &half, &is_aggregate) == LS_OK && is_aggregate);
    for (uint32_t i = 0; i < count; i++) {
        if (i % 7 == 0)
            FUZZ_REQUIRE(lsi_unpack_next(&piece, few, 7, NULL) == (count - i < 7 ? count - i : 7));
        FUZZ_REQUIRE(lsi_unpack_next(unpack, &one, 1, NULL) == 1);
        FUZZ_REQUIRE(is_same(&one, &few[i % 7]));
        FUZZ_REQUIRE(one.sub_seqno == i && one.sub_count == count && (one.flags & LS_RECORD_AGGREGATED) != 0);
        FUZZ_REQUIRE(lies_within(one.partition_key, data, size) && lies_within(one.data, data, size));
        FUZZ_REQUIRE(lsi_partition_key_is_valid(one.partition_key));
        hash = (one.flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0 ? &one.explicit_hash_key : NULL;
        FUZZ_REQUIRE(lsi_pack_add(pack, one.partition_key, hash, one.data, &fits) == LS_OK && fits);
    }
    FUZZ_REQUIRE(lsi_unpack_next(unpack, &one, 1, NULL) == 0);
    FUZZ_REQUIRE(lsi_pack_finish(pack, &packed) == LS_OK && packed.count == count);
    if (count > 1) {
        outer.data = packed.data;
        FUZZ_REQUIRE(lsi_unpack_begin(&other, &outer, &half, &is_aggregate) == LS_OK && is_aggregate);
        outer.data = (ls_bytes){data, size};
        FUZZ_REQUIRE(lsi_unpack_begin(&piece, &outer, &half, &is_aggregate) == LS_OK && is_aggregate);
        for (uint32_t i = 0; i < count; i++) {
            if (i % 3 == 2) {
                lsi_unpack_skip(&piece, 1);
                lsi_unpack_skip(&other, 1);
                continue;
            }
            FUZZ_REQUIRE(lsi_unpack_next(&piece, &one, 1, NULL) == 1 && lsi_unpack_next(&other, &two, 1, NULL) == 1);
            FUZZ_REQUIRE(is_same(&one, &two));
        }
        FUZZ_REQUIRE(lsi_unpack_left(&other) == 0 && lsi_unpack_left(&piece) == 0);
    }
    lsi_unpack_free(&other);
    lsi_unpack_free(&piece);
    lsi_pack_close(pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    lsi_unpack unpack = {.memory = &lsi_memory_libc};
    lsi_hash_range half = lsi_hash_range_of(1, 2);
    ls_record outer = {.shard = 1};
    bool is_aggregate;

    outer.data = (ls_bytes){copy, size};
    FUZZ_REQUIRE(lsi_unpack_begin(&unpack, &outer, &half, &is_aggregate) == LS_OK);
    FUZZ_REQUIRE(is_aggregate == (lsi_unpack_left(&unpack) != 0));
    if (is_aggregate)
        pack_again(&unpack, copy, size);
    lsi_unpack_free(&unpack);
    free(copy);
    return 0;
}

/* Magic and MD5 made right, since hardly any change of an aggregate leaves one. */
void fuzz_repair(uint8_t *data, size_t size)
{
    if (size <= LSI_AGGREGATE_EXTRA_BYTES)
        return;
    memcpy(data, "\xf3\x89\x9a\xc2", 4);
    lsi_md5(data + 4, size - LSI_AGGREGATE_EXTRA_BYTES, data + size - 16);
}
