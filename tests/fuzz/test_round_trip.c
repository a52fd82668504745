/* decode(encode(x)) == x for random x: frames with their records, segment headers, manifests. (Texts and lists do the
 * same inside their fuzz targets.) The seed is printed and can be given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/local/local.h"
#include "fuzz/fuzz.h"
#include "storage/frame.h"
#include "storage/segment.h"

#define ROUNDS 300u
#define ENTRIES_MAX 40u

static uint64_t random_state = 1;

static uint64_t pick(uint64_t below)
{
    return fuzz_random(&random_state) % below;
}

static void fill(void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)pick(256);
}

/* Batches of any sizes, also such that are cut into several frames; every record of every frame is what was given. */
static void records_come_out_of_frames_as_they_went_in(void **state)
{
    static unsigned char data[600u << 10];
    lsi_framer *framer;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    fill(data, sizeof data);
    assert_int_equal(lsi_framer_open(&env, &framer), LS_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ls_put_entry entries[ENTRIES_MAX];
        ls_hash_key hashes[ENTRIES_MAX];
        uint32_t picks[ENTRIES_MAX], count = 1 + (uint32_t)pick(ENTRIES_MAX), met = 0;
        bool atomic = pick(2) != 0, big = pick(20) == 0;
        uint64_t seed = fuzz_random(&random_state), position = pick(UINT64_C(1) << 50) & ~UINT64_C(7);

        for (uint32_t i = 0; i < count; i++) {
            size_t size = pick(big && !atomic ? sizeof data : 300), key = 1 + pick(LSI_KEY_BYTES_MAX);

            hashes[i] = (ls_hash_key){fuzz_random(&random_state), fuzz_random(&random_state)};
            entries[i] = (ls_put_entry){{data + pick(1000), key}, {data + pick(sizeof data - size), size},
                                        pick(2) != 0 ? &hashes[i] : NULL};
            picks[i] = count - 1 - i;
        }
        assert_int_equal(lsi_framer_draft(framer, entries, picks, count, atomic), LS_OK);
        assert_true(!atomic || framer->draft_count == 1);
        for (size_t d = 0; d < framer->draft_count; d++) {
            const lsi_draft *draft = &framer->drafts[d];
            const unsigned char *at = framer->buffer + draft->at;
            ls_seqno first = 1 + pick(LS_SEQNO_MAX - ENTRIES_MAX);
            int64_t arrival = (int64_t)fuzz_random(&random_state);
            uint64_t durable = pick(position + 1);
            lsi_frame frame;
            uint32_t offset = 0;

            lsi_framer_place(framer, draft, seed, position, first, arrival, durable);
            assert_int_equal(lsi_frame_read_header(at, draft->bytes, seed, position, &frame), LSI_FRAME_VALID);
            assert_int_equal(lsi_frame_read_header(at, draft->bytes, seed, position + 8, &frame), LSI_FRAME_BAD);
            assert_int_equal(lsi_frame_read_header(at, draft->bytes, seed, position, &frame), LSI_FRAME_VALID);
            assert_true(lsi_frame_check_body(at, &frame, seed));
            assert_false(lsi_frame_check_body(at, &frame, seed + 1));
            assert_true(frame.bytes == draft->bytes && frame.count == draft->count && frame.first_seqno == first);
            assert_true(frame.arrival_us == arrival && frame.durable_end == durable);
            for (uint32_t i = 0; i < frame.count; i++, met++) {
                const ls_put_entry *from = &entries[picks[met]];
                ls_record record = {.seqno = 0};

                assert_true(lsi_frame_next_record(at, &frame, &offset, &record));
                assert_int_equal(record.partition_key.size, from->partition_key.size);
                assert_memory_equal(record.partition_key.data, from->partition_key.data, from->partition_key.size);
                assert_int_equal(record.data.size, from->data.size);
                assert_true(from->data.size == 0 ||
                            memcmp(record.data.data, from->data.data, from->data.size) == 0);
                assert_int_equal(record.flags, from->explicit_hash_key != NULL ? LS_RECORD_EXPLICIT_HASH_KEY : 0);
                assert_true(from->explicit_hash_key == NULL ||
                            (record.explicit_hash_key.high == from->explicit_hash_key->high &&
                             record.explicit_hash_key.low == from->explicit_hash_key->low));
            }
            assert_int_equal(offset, frame.bytes); /* F4 */
        }
        assert_int_equal(met, count);
    }
    lsi_framer_close(framer);
}

/* Any terms that can be: bytes that say nothing are 0. */
static lsi_log_terms pick_terms(void)
{
    lsi_log_terms terms = {.codec = (uint32_t)pick(2),
                           .key_id_bytes = (uint32_t)(pick(2) * (1 + pick(LSI_KEY_ID_BYTES_MAX)))};

    if (terms.key_id_bytes != 0)
        fill(terms.key_mark, sizeof terms.key_mark);
    for (uint32_t i = 0; i < terms.key_id_bytes; i++)
        terms.key_id[i] = (char)(1 + pick(255));
    return terms;
}

static void segment_headers_come_back(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
        lsi_segment_header header, back;

        memset(&header, 0, sizeof header);
        memset(&back, 0, sizeof back);
        fill(&header, sizeof header);
        header.base = pick(LSI_POSITION_MAX) & ~UINT64_C(7);
        header.base_seqno = 1 + pick(LS_SEQNO_MAX);
        header.seqno_limit = header.base_seqno + pick(LS_SEQNO_END - header.base_seqno + 1);
        header.frames_bytes_max &= UINT32_MAX;
        header.terms = pick_terms();
        lsi_segment_header_encode(&header, bytes);
        assert_int_equal(lsi_segment_header_decode("test", bytes, NULL, &back), LS_OK);
        assert_memory_equal(back.store_id, header.store_id, 16);
        assert_memory_equal(back.salt, header.salt, 32);
        assert_true(back.stream == header.stream && back.shard == header.shard && back.number == header.number);
        assert_true(back.base == header.base && back.base_seqno == header.base_seqno);
        assert_true(back.seqno_limit == header.seqno_limit && back.base_arrival_us == header.base_arrival_us);
        assert_true(back.created_us == header.created_us && back.previous == header.previous);
        assert_true(back.previous_end == header.previous_end && back.chain == header.chain);
        assert_true(back.frames_bytes_max == header.frames_bytes_max && back.sum == header.sum);
        assert_memory_equal(&back.terms, &header.terms, sizeof back.terms);
        assert_int_equal(lsi_segment_seed(&back), lsi_segment_seed(&header));
        /* One bit, anywhere: it is not accepted. */
        bytes[pick(sizeof bytes)] ^= (unsigned char)(1u << pick(8));
        assert_int_not_equal(lsi_segment_header_decode("test", bytes, NULL, &back), LS_OK);
    }
}

/* Up to six tags; the keys may be equal. */
static void add_tags(lsi_tags *to)
{
    char keys[6][8], values[6][16];
    uint32_t count = (uint32_t)pick(7);
    const lsi_tags none = {0};
    ls_tag tags[6];

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%.*s", (int)pick(4), &"abcabc"[pick(3)]);
        (void)snprintf(values[i], sizeof values[i], "%.*s", (int)pick(12), "01234567890");
        tags[i] = (ls_tag){keys[i], values[i]};
    }
    assert_int_equal(lsi_tags_add(&lsi_memory_libc, &none, tags, count, to), LS_OK);
}

static void add_consumers(lsi_catalog *catalog, lsi_catalog_stream *stream, lsi_consumer *consumers)
{
    static const ls_consumer_status statuses[] = {LS_CONSUMER_ACTIVE, LS_CONSUMER_CREATING, LS_CONSUMER_DELETING};

    stream->consumers = consumers;
    stream->consumer_count = pick(2) != 0 ? (uint32_t)pick(LSI_CONSUMERS_MAX + 1) : 0;
    memset(consumers, 0, LSI_CONSUMERS_MAX * sizeof *consumers);
    for (uint32_t i = 0; i < stream->consumer_count; i++) {
        consumers[i] = (lsi_consumer){.id = ++catalog->consumer_id, .status = statuses[pick(3)],
                                      .created_us = (int64_t)fuzz_random(&random_state),
                                      .status_until_us = (int64_t)fuzz_random(&random_state)};
        for (size_t k = 0, length = 1 + pick(LSI_STREAM_NAME_MAX - 1); k < length; k++)
            consumers[i].name[k] = "abcXYZ019_.-"[pick(12)];
        consumers[i].name[0] = (char)('a' + i); /* they rise */
    }
}

static void manifests_come_back(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lsi_catalog *catalog = lsi_catalog_new(&lsi_memory_libc), *back, *more;
        uint32_t streams = (uint32_t)pick(6);
        void *payload, *again;
        size_t size, again_size;

        assert_non_null(catalog);
        fill(catalog->store_id, 16);
        catalog->durability = 1 + (ls_durability)pick(3);
        catalog->sync_interval_ms = 1 + (uint32_t)pick(LSI_SYNC_INTERVAL_MS_MAX);
        catalog->segment_bytes = LSI_SEGMENT_BYTES_MIN + LSI_SEGMENT_BYTES_UNIT * pick(1000);
        catalog->next_id = 1000;
        for (uint32_t i = 0; i < streams; i++) {
            lsi_shard shards[4];
            lsi_consumer consumers[LSI_CONSUMERS_MAX];
            lsi_catalog_stream stream;

            memset(&stream, 0, sizeof stream);
            memset(shards, 0, sizeof shards);
            for (size_t k = 0, length = 1 + pick(LSI_STREAM_NAME_MAX); k < length; k++)
                stream.name[k] = "abcXYZ019_.-"[pick(12)];
            stream.id = 1 + i + pick(2) * 500;
            stream.created_us = (int64_t)fuzz_random(&random_state);
            stream.retention_hours = 1 + (uint32_t)pick(LSI_RETENTION_HOURS_MAX);
            stream.mode = (ls_stream_mode)pick(2);
            stream.rates = (lsi_rates){.write_bytes = pick(2) ? LSI_RATE_BYTES_MIN + (uint32_t)pick(1000) : 0,
                                       .write_records = (uint32_t)pick(3), .read_calls = (uint32_t)pick(3)};
            stream.record_bytes_max = LSI_RECORD_BYTES_MIN_LIMIT + (uint32_t)pick(1000);
            stream.status = LS_STREAM_ACTIVE + (ls_stream_status)pick(4);
            stream.status_until_us = (int64_t)fuzz_random(&random_state);
            stream.flags = (uint32_t)pick(UINT64_C(1) << 16);
            stream.retention_bytes = fuzz_random(&random_state);
            stream.horizon_us = (int64_t)fuzz_random(&random_state);
            stream.shard_count = 1 + (uint32_t)pick(4);
            stream.shards = shards;
            stream.terms = pick_terms();
            if (pick(2) != 0)
                stream.auto_scaling = lsi_auto_scaling_resolve((lsi_auto_scaling){
                    .hot_percent = 50 + (uint32_t)pick(200), .cold_percent = (uint32_t)pick(50),
                    .cold_seconds = (uint32_t)pick(1000), .shards_min = (uint32_t)pick(2000)});
            add_tags(&stream.tags);
            add_consumers(catalog, &stream, consumers);
            for (uint32_t k = 0; k < stream.shard_count; k++) {
                shards[k] = (lsi_shard){.index = 10 * k + 5 + (uint32_t)pick(5),
                                        .parent = pick(2) != 0 ? (uint32_t)pick(5) : LSI_NO_SHARD,
                                        .adjacent_parent = pick(2) != 0 ? (uint32_t)pick(5) : LSI_NO_SHARD,
                                        .first_seqno = 1 + pick(LS_SEQNO_MAX),
                                        .created_us = (int64_t)fuzz_random(&random_state)};
                if (pick(2) != 0) {
                    shards[k].closed = true;
                    shards[k].closed_us = (int64_t)fuzz_random(&random_state);
                    shards[k].last_seqno = shards[k].first_seqno + pick(LS_SEQNO_MAX - shards[k].first_seqno + 1);
                    shards[k].end = fuzz_random(&random_state) & ~UINT64_C(7);
                }
                shards[k].range.first = (ls_hash_key){pick(UINT64_C(1) << 63), fuzz_random(&random_state)};
                shards[k].range.last = (ls_hash_key){UINT64_MAX, fuzz_random(&random_state)};
            }
            if (lsi_catalog_find(catalog, stream.name) == NULL && lsi_catalog_find_id(catalog, stream.id) == NULL) {
                assert_int_equal(lsi_catalog_copy(catalog, 0, &stream, &more), LS_OK);
                lsi_catalog_unref(catalog);
                catalog = more;
            }
            lsi_free(&lsi_memory_libc, stream.tags.text);
        }
        assert_int_equal(lsi_catalog_encode(catalog, &payload, &size), LS_OK);
        assert_int_equal(lsi_catalog_decode(&lsi_memory_libc, payload, size, &back), LS_OK);
        assert_int_equal(back->stream_count, catalog->stream_count);
        for (uint32_t i = 0; i < back->stream_count; i++) {
            assert_string_equal(back->streams[i].name, catalog->streams[i].name);
            assert_int_equal(back->streams[i].shard_count, catalog->streams[i].shard_count);
            assert_int_equal(back->streams[i].tags.count, catalog->streams[i].tags.count);
            assert_int_equal(back->streams[i].tags.bytes, catalog->streams[i].tags.bytes);
            if (back->streams[i].tags.bytes > 0)
                assert_memory_equal(back->streams[i].tags.text, catalog->streams[i].tags.text,
                                    back->streams[i].tags.bytes);
            assert_int_equal(back->streams[i].consumer_count, catalog->streams[i].consumer_count);
            for (uint32_t k = 0; k < back->streams[i].consumer_count; k++)
                assert_string_equal(back->streams[i].consumers[k].name, catalog->streams[i].consumers[k].name);
            for (uint32_t k = 0; k < back->streams[i].shard_count; k++)
                assert_true(back->streams[i].shards[k].closed == catalog->streams[i].shards[k].closed &&
                            back->streams[i].shards[k].range.first.low ==
                                catalog->streams[i].shards[k].range.first.low);
        }
        /* The bytes carry every field, which test_format.c looks at one by one. */
        assert_int_equal(lsi_catalog_encode(back, &again, &again_size), LS_OK);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, payload, size);
        lsi_free(&lsi_memory_libc, payload);
        lsi_free(&lsi_memory_libc, again);
        lsi_catalog_unref(back);
        lsi_catalog_unref(catalog);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_of_frames_as_they_went_in),
        cmocka_unit_test(segment_headers_come_back),
        cmocka_unit_test(manifests_come_back),
    };

    if (argc > 1)
        random_state = strtoull(argv[1], NULL, 10);
    printf("seed %llu\n", (unsigned long long)random_state);
    return cmocka_run_group_tests_name("round trips", tests, NULL, NULL);
}
