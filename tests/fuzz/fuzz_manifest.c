/* The manifest's payload: any bytes end in a status; what is accepted is encoded again to the same bytes, so nothing
 * is read that is not understood. */
#include "fuzz/fuzz.h"

#include "engine/local/local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *payload = fuzz_copy(data, size);
    lsi_catalog *catalog;
    ls_status st = lsi_catalog_decode(&lsi_memory_libc, payload, size, &catalog);

    if (st == LS_OK) {
        void *again;
        size_t again_size;

        FUZZ_REQUIRE(lsi_catalog_encode(catalog, &again, &again_size) == LS_OK);
        FUZZ_REQUIRE(again_size == size && memcmp(again, payload, size) == 0);
        lsi_free(&lsi_memory_libc, again);
        for (uint32_t i = 0; i < catalog->stream_count; i++) {
            const lsi_catalog_stream *stream = &catalog->streams[i];

            FUZZ_REQUIRE(lsi_catalog_find(catalog, stream->name) == stream);
            FUZZ_REQUIRE(lsi_catalog_find_id(catalog, stream->id) == stream);
            FUZZ_REQUIRE(lsi_catalog_after(catalog, stream->name) == i + 1);
        }
        lsi_catalog_unref(catalog);
    } else {
        FUZZ_REQUIRE(st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
    }
    free(payload);
    return 0;
}
