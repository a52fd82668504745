/* An iterator's place as text: any text ends in a status, and what is accepted is written again as it was. */
#include "fuzz/fuzz.h"

#include <inttypes.h>

#include "base/hash.h"
#include "consume/iterator.h"

#define SUM_SEED UINT64_C(0x6c73706c61636531) /* place.c */

void fuzz_repair(uint8_t *data, size_t size)
{
    char sum[18];

    if (size < 17)
        return;
    (void)snprintf(sum, sizeof sum, ":%016" PRIx64, lsi_sum64(data, size - 17, SUM_SEED));
    memcpy(data + size - 17, sum, 17);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    lsi_place place;

    FUZZ_REQUIRE(text != NULL);
    if (size != 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (lsi_place_parse(&lsi_memory_libc, text, &place) == LS_OK) {
        size_t bytes = strlen(text) + 1, needed;
        char *again = malloc(bytes);
        lsi_iterator iterator;

        FUZZ_REQUIRE(again != NULL && place.track_count > 0);
        memset(&iterator, 0, sizeof iterator);
        iterator.is_merged = place.is_merged;
        iterator.stream_id = place.stream_id;
        iterator.stream_created_us = place.stream_created_us;
        iterator.tracks = place.tracks;
        iterator.track_count = place.track_count;
        FUZZ_REQUIRE(lsi_iterator_place(&iterator, again, bytes - 1, &needed) == LS_ERR_TOO_LARGE && needed == bytes);
        FUZZ_REQUIRE(lsi_iterator_place(&iterator, again, bytes, &needed) == LS_OK);
        FUZZ_REQUIRE(strcmp(again, text) == 0);
        free(again);
        lsi_free(&lsi_memory_libc, place.tracks);
    }
    free(text);
    return 0;
}
