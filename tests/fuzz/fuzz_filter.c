/* Filters: a pattern, a zero byte, a record's data. Any bytes end in a status; what a pattern answers does not depend
 * on what the filter saw before, nor does a record that matches by a pattern stop matching beside another one. */
#include "fuzz/fuzz.h"

#include "consume/consume.h"

static int32_t answer(lsi_filter *filter, const void *data, size_t size)
{
    const ls_record record = {.partition_key = {"key", 3}, .data = {data, size}, .seqno = 1, .arrival_us = 1234567};
    bool matches = false;

    FUZZ_REQUIRE(lsi_filter_matches(filter, &record, 0, &matches) == LS_OK);
    return matches;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const other = "{\"data\":{\"a\":[1],\"b.c\":{\"d\":[{\"exists\":false}]}}}";
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t pattern_size = end == NULL ? size : (size_t)(end - data);
    size_t rest = end == NULL ? 0 : size - pattern_size - 1;
    char *pattern = malloc(pattern_size + 1);
    uint8_t *record = fuzz_copy(end == NULL ? data : end + 1, rest);
    lsi_filter *filter = NULL, *both = NULL;
    ls_status st;

    FUZZ_REQUIRE(pattern != NULL);
    if (pattern_size != 0)
        memcpy(pattern, data, pattern_size);
    pattern[pattern_size] = '\0';
    st = lsi_filter_open(&lsi_memory_libc, (const char *const[]){pattern}, 1, NULL, &filter);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_INVALID_ARGUMENT || st == LS_ERR_TOO_LARGE || st == LS_ERR_UNSUPPORTED);
    if (st != LS_OK) {
        FUZZ_REQUIRE(filter == NULL);
        st = lsi_filter_open(&lsi_memory_libc, &other, 1, NULL, &filter); /* so that the data is tried all the same */
    }
    if (st == LS_OK) {
        int32_t first = answer(filter, record, rest);

        (void)answer(filter, "{\"a\":{\"b\":[\"\\u0061\",1e400", 25);
        (void)answer(filter, "{\"a\":[{\"b\":\"\\u0061\"}],\"a\":1,\"a.b\":2}", 34);
        FUZZ_REQUIRE(answer(filter, record, rest) == first);
        if (lsi_filter_open(&lsi_memory_libc, (const char *const[]){other, pattern}, 2, NULL, &both) == LS_OK)
            FUZZ_REQUIRE(answer(both, record, rest) >= first);
    }
    lsi_filter_close(filter);
    lsi_filter_close(both);
    free(pattern);
    free(record);
    return 0;
}
