/* Frames: as bytes, and as a run of them that lsi_walk goes through. Any bytes end in a result; records of a frame lie
 * within it; a walk goes forward and ends. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/log.h"
#include "storage/numbered.h"

void fuzz_repair(uint8_t *data, size_t size)
{
    uint64_t base;

    if (size < FUZZ_FRAME_AT + LSI_FRAME_HEADER_BYTES)
        return;
    base = fuzz_frame_position(data);
    data += FUZZ_FRAME_AT;
    size -= FUZZ_FRAME_AT;
    for (size_t at = 0; size - at >= LSI_FRAME_HEADER_BYTES;) {
        uint32_t bytes = lsi_read_u32le(data + at);

        if (bytes < 56 || bytes % 8 != 0 || bytes > size - at) {
            at += 8;
            continue;
        }
        lsi_write_u64le(data + at + 32, lsi_sum64(data + at + 48, bytes - 48, 0) ^ FUZZ_FRAME_SEED);
        lsi_write_u32le(data + at + 44, (uint32_t)lsi_sum64(data + at, 44, FUZZ_FRAME_SEED + base + at));
        at += bytes;
    }
}

static void check_records(const unsigned char *at, const lsi_frame *frame)
{
    uint32_t offset = 0, count = 0;
    ls_record record;

    while (count < frame->count && lsi_frame_next_record(at, frame, &offset, &record)) {
        const unsigned char *key = record.partition_key.data, *bytes = record.data.data, *end = at + frame->bytes;

        FUZZ_REQUIRE(offset <= frame->bytes && offset % 8 == 0);
        FUZZ_REQUIRE(key >= at && record.partition_key.size <= (size_t)(end - key));
        FUZZ_REQUIRE(bytes >= key + record.partition_key.size && record.data.size <= (size_t)(end - bytes));
        count++;
    }
}

/* One frame, with every byte there and with fewer. */
static void check_frame(const uint8_t *data, size_t size, uint64_t position)
{
    lsi_frame frame, part;
    lsi_tail tail;
    lsi_frame_result whole = lsi_frame_read_header(data, size, FUZZ_FRAME_SEED, position, &frame);

    for (size_t have = 0; have < size && have < 64; have++) {
        uint8_t *cut = fuzz_copy(data, have);
        lsi_frame_result result = lsi_frame_read_header(cut, have, FUZZ_FRAME_SEED, position, &part);

        FUZZ_REQUIRE(result != LSI_FRAME_VALID || (whole == LSI_FRAME_VALID && part.bytes <= have));
        FUZZ_REQUIRE(result != LSI_FRAME_EMPTY || whole == LSI_FRAME_EMPTY);
        free(cut);
    }
    if (whole != LSI_FRAME_VALID)
        return;
    FUZZ_REQUIRE(frame.bytes <= size && frame.bytes % 8 == 0 && frame.bytes <= LSI_FRAME_BYTES_MAX);
    FUZZ_REQUIRE(frame.first_seqno != 0 && frame.first_seqno + frame.count - 1 <= LS_SEQNO_MAX);
    if (!lsi_frame_check_body(data, &frame, FUZZ_FRAME_SEED))
        return;
    part = frame;
    if (lsi_tail_read(data, &frame, &tail))
        FUZZ_REQUIRE(tail.first != 0 && tail.last >= tail.first && tail.last <= LS_NUMBER_MAX &&
                     tail.list >= data + LSI_FRAME_HEADER_BYTES &&
                     tail.list_bytes <= (size_t)(data + frame.bytes - tail.list) &&
                     lsi_round_up(tail.list_bytes, 8) + tail.counts_bytes <= (size_t)(data + frame.bytes - tail.list));
    if (lsi_frame_take_tail(data, &part)) {
        FUZZ_REQUIRE(part.bytes <= frame.bytes && part.bytes % 8 == 0 &&
                     part.bytes >= LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES);
        check_records(data, &part);
    }
}

static void check_walk(const uint8_t *data, size_t size, uint64_t base, bool check_bodies)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_segment segment;
    lsi_walk walk;
    lsi_root root;
    lsi_env env;
    ls_seqno last = 0;
    uint64_t last_at = 0;
    bool any = false, found = true;

    lsi_env_default(&env);
    memset(&segment, 0, sizeof segment);
    segment.env = &env;
    segment.seed = FUZZ_FRAME_SEED;
    segment.header.base = base;
    segment.header.base_seqno = 1;
    segment.header.seqno_limit = LS_SEQNO_END;
    FUZZ_REQUIRE(files != NULL && files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) == 0);
    FUZZ_REQUIRE(files->open(&root, "seg", LSI_OPEN_WRITE | LSI_OPEN_CREATE, &segment.file) == 0);
    FUZZ_REQUIRE(lsi_file_write_one(&segment.file, data, size, LSI_SEGMENT_HEADER_BYTES) == 0);
    lsi_walk_begin(&walk, &env, &segment, base, base + (size & ~(size_t)7), check_bodies);
    while (found) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;

        FUZZ_REQUIRE(lsi_walk_next(&walk, &frame, &position, &result) == LS_OK);
        if (result != LSI_FRAME_VALID) {
            FUZZ_REQUIRE(walk.at == position);
            FUZZ_REQUIRE(lsi_walk_resume(&walk, position + 8, &found) == LS_OK);
            FUZZ_REQUIRE(!found || walk.at > position);
            continue;
        }
        FUZZ_REQUIRE(walk.at == position + frame.bytes && walk.at <= walk.end);
        FUZZ_REQUIRE((!any || position >= last_at) && frame.first_seqno > last);
        check_records(lsi_walk_bytes(&walk, position), &frame);
        any = true;
        last = frame.first_seqno + frame.count - 1;
        last_at = walk.at;
    }
    lsi_walk_end(&walk);
    (void)files->close(&segment.file); /* in memory */
    files->root_close(&root);
    lsi_files_memory_free(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t position;
    uint8_t *bytes;

    if (size <= FUZZ_FRAME_AT)
        return 0;
    position = fuzz_frame_position(data);
    size -= FUZZ_FRAME_AT;
    bytes = fuzz_copy(data + FUZZ_FRAME_AT, size);
    check_frame(bytes, size, position);
    check_walk(bytes, size, position, true);
    check_walk(bytes, size, position, false);
    free(bytes);
    return 0;
}
