/* A segment's header, and its index: any bytes end in a status; a header that is accepted is encoded again to the same
 * fields; an index, whatever is in it, names a place within the segment and below the end, or none. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/segment.h"

#define INDEX_NAME "1/00000001.idx"

/* As in FORMAT.md, which the library's code is checked against in tests/format. */
static void header_of(const uint8_t *data, size_t size, unsigned char bytes[LSI_SEGMENT_HEADER_BYTES])
{
    memset(bytes, 0, LSI_SEGMENT_HEADER_BYTES);
    memcpy(bytes, data, size < FUZZ_SEGMENT_FIELDS ? size : FUZZ_SEGMENT_FIELDS);
    lsi_write_u64le(bytes + 4088, lsi_sum64(bytes, 4088, 0));
}

static uint64_t seed_of(const uint8_t *data, size_t size)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], fields[72];

    header_of(data, size, bytes);
    memcpy(fields, bytes + 24, 40);      /* store id, stream, shard, number, base */
    memcpy(fields + 40, bytes + 96, 32); /* salt */
    return lsi_sum64(fields, sizeof fields, 0);
}

void fuzz_repair(uint8_t *data, size_t size)
{
    uint64_t seed = seed_of(data, size);

    for (size_t at = FUZZ_SEGMENT_FIELDS; at + LSI_INDEX_ENTRY_BYTES <= size; at += LSI_INDEX_ENTRY_BYTES)
        lsi_write_u64le(data + at + 24, lsi_sum64(data + at, 24, seed));
}

static void check_index(const lsi_segment_header *header, const uint8_t *index, size_t size)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_log_config owner = {.dir = "1", .label = "fuzz", .read_only = true};
    lsi_segment segment;
    lsi_file file = {0};
    lsi_root root;
    lsi_env env;

    lsi_env_default(&env);
    FUZZ_REQUIRE(files != NULL && files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) == 0);
    FUZZ_REQUIRE(files->make_dir(&root, "1") == 0);
    FUZZ_REQUIRE(files->open(&root, INDEX_NAME, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file) == 0);
    FUZZ_REQUIRE(size == 0 || lsi_file_write_one(&file, index, size, 0) == 0);
    FUZZ_REQUIRE(files->close(&file) == 0);
    owner.env = &env;
    owner.root = &root;
    memset(&segment, 0, sizeof segment);
    segment.env = &env;
    segment.header = *header;
    segment.header.number = 1; /* its file's */
    segment.seed = lsi_segment_seed(header);
    for (uint64_t blocks = 1; blocks <= size / LSI_INDEX_ENTRY_BYTES + 2; blocks++) {
        uint64_t end = header->base + blocks * LSI_INDEX_BLOCK_BYTES - 8;
        lsi_index_entry entry;

        if (end < header->base) /* A segment at the end of all positions. */
            break;
        for (int by = 0; by < 3; by++) {
            bool found = lsi_index_find(&owner, &segment, end, by == 1 ? header->base_seqno + 10 : 0,
                                        by == 2 ? header->base_arrival_us : LSI_NO_TIME, &entry);
            FUZZ_REQUIRE(!found || (entry.position >= header->base && entry.position < end));
        }
    }
    if (lsi_file_is_open(&segment.index))
        (void)files->close(&segment.index); /* was only read */
    files->root_close(&root);
    lsi_files_memory_free(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], again[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header, back;
    ls_status st;

    header_of(data, size, bytes);
    st = lsi_segment_header_decode("fuzz", bytes, NULL, &header);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
    if (st != LS_OK)
        return 0;
    back = header;
    lsi_segment_header_encode(&back, again);
    FUZZ_REQUIRE(memcmp(again + 24, bytes + 24, 132 - 24) == 0 && memcmp(again + 136, bytes + 136, 160 - 136) == 0);
    FUZZ_REQUIRE(lsi_segment_seed(&header) == seed_of(data, size));
    if (size > FUZZ_SEGMENT_FIELDS && size < FUZZ_SEGMENT_FIELDS + 256 * LSI_INDEX_ENTRY_BYTES)
        check_index(&header, data + FUZZ_SEGMENT_FIELDS, size - FUZZ_SEGMENT_FIELDS);
    return 0;
}
