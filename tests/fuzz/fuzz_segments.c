/* Checked files and, as their payload, segment lists: any bytes end in a status; what is accepted keeps the rules that
 * the code leans on, and comes back from the disk as it was. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/manifest.h"
#include "storage/segment.h"

void fuzz_repair(uint8_t *data, size_t size)
{
    if (size < LSI_CHECKED_HEADER_BYTES)
        return;
    lsi_write_u64le(data + 40, lsi_sum64(data + 64, size - 64, FUZZ_SEGMENTS_SALT));
    lsi_write_u64le(data + 56, lsi_sum64(data, 56, FUZZ_SEGMENTS_SALT));
}

static void check_list(const lsi_segment_list *list)
{
    FUZZ_REQUIRE(list->count > 0);
    for (uint32_t i = 0; i < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];

        FUZZ_REQUIRE(((entry->flags & LSI_SEGMENT_SEALED) == 0) == (i == list->count - 1));
        FUZZ_REQUIRE(i == 0 || (entry->number > entry[-1].number && entry->base == entry[-1].end));
        FUZZ_REQUIRE(entry->base_seqno != 0 && entry->base_seqno <= entry->seqno_limit &&
                     entry->seqno_limit <= LS_SEQNO_END);
        /* Empty segments share a base; the last of them is where a frame would be. */
        FUZZ_REQUIRE(list->entries[lsi_segment_list_find(list, entry->base)].base == entry->base);
    }
    FUZZ_REQUIRE(lsi_segment_list_find(list, UINT64_MAX) == list->count - 1);
    for (uint32_t i = 0; i < list->skip_count; i++)
        FUZZ_REQUIRE(list->skips[i].from < list->skips[i].to &&
                     (i == 0 || list->skips[i].from >= list->skips[i - 1].to));
}

static void check_files(const lsi_env *env, lsi_segment_list *list)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    lsi_log_config owner = {.env = env, .dir = "1", .label = "fuzz"};
    lsi_segment_list *again, *copy;
    lsi_root root;

    FUZZ_REQUIRE(files != NULL && files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) == 0);
    FUZZ_REQUIRE(files->make_dir(&root, "1") == 0);
    owner.root = &root;
    FUZZ_REQUIRE(lsi_segment_list_copy(list, &copy) == LS_OK && copy->head.generation == list->head.generation + 1);
    FUZZ_REQUIRE(lsi_segment_list_store(&owner, copy) == LS_OK);
    FUZZ_REQUIRE(lsi_segment_list_load(&owner, &again) == LS_OK);
    FUZZ_REQUIRE(again->head.generation == copy->head.generation && again->count == list->count &&
                 again->skip_count == list->skip_count);
    FUZZ_REQUIRE(memcmp(again->entries, list->entries, list->count * sizeof *list->entries) == 0);
    FUZZ_REQUIRE(memcmp(again->skips, list->skips, list->skip_count * sizeof *list->skips) == 0);
    lsi_segment_list_unref(again);
    lsi_segment_list_unref(copy);
    files->root_close(&root);
    lsi_files_memory_free(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = fuzz_copy(data, size);
    const unsigned char *payload;
    lsi_segment_list *list;
    size_t payload_size;
    lsi_checked_head head;
    lsi_env env;
    ls_status st;

    lsi_env_default(&env);
    for (uint32_t kind = LSI_CHECKED_MANIFEST; kind <= LSI_CHECKED_SEGMENTS; kind++) {
        st = lsi_checked_decode("fuzz", kind, FUZZ_SEGMENTS_SALT, bytes, size, &head, &payload, &payload_size);
        FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
        if (st != LS_OK)
            continue;
        FUZZ_REQUIRE(payload >= bytes + LSI_CHECKED_HEADER_BYTES && payload + payload_size == bytes + size);
        st = lsi_segment_list_decode(&env, "fuzz", payload, payload_size, &list);
        FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT);
        if (st == LS_OK) {
            list->head = head;
            check_list(list);
            check_files(&env, list);
            lsi_segment_list_unref(list);
        }
    }
    free(bytes);
    return 0;
}
