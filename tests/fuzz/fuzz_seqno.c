/* Kinesis's sequence numbers of 56 digits: what is accepted is written again as it was, and any fields come back. */
#include "fuzz/fuzz.h"

#include "stream/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), again[LSI_SEQNO56_BYTES];
    lsi_seqno56 seqno, back;
    uint64_t words[4];

    FUZZ_REQUIRE(text != NULL);
    if (size != 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (lsi_seqno56_parse(text, &seqno) == LS_OK) {
        lsi_seqno56_format(&seqno, again);
        FUZZ_REQUIRE(strcmp(again, text) == 0);
    }
    free(text);
    if (size < sizeof words)
        return 0;
    memcpy(words, data, sizeof words);
    seqno = (lsi_seqno56){.counter = words[0] & LS_SEQNO_END,
                          .shard = (uint32_t)words[1],
                          .created_seconds = (int64_t)(words[2] % UINT64_C(16025175000)),
                          .record_seconds = (int64_t)(words[3] & UINT64_C(0xfffffffff))};
    lsi_seqno56_format(&seqno, again);
    FUZZ_REQUIRE(strlen(again) == LSI_SEQNO56_BYTES - 1);
    FUZZ_REQUIRE(lsi_seqno56_parse(again, &back) == LS_OK);
    FUZZ_REQUIRE(back.counter == seqno.counter && back.shard == seqno.shard &&
                 back.created_seconds == seqno.created_seconds && back.record_seconds == seqno.record_seconds);
    return 0;
}
