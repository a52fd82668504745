/* Answers of handlers: any bytes are an outcome. A state that was taken from one is JSON of an object, and the same
 * when it is returned again; a record that is reported is one of the batch. */
#include "fuzz/fuzz.h"

#include "consume/mapping/event_json.h"

#define RECORDS 5u

static ls_status read_answer(const void *text, size_t size, uint32_t flags, lsi_json_writer *state, lsi_outcome *out)
{
    static ls_record records[RECORDS];
    const lsi_event_source source = {.shard = 1};
    const lsi_invocation what = {.records = records, .count = RECORDS, .is_windowed = flags != 0};

    for (uint32_t i = 0; i < RECORDS; i++) /* Numbers that the corpus has. */
        records[i] = (ls_record){.seqno = 10 * (i + 1), .shard = 1};
    lsi_json_begin(state, &lsi_memory_libc);
    return lsi_response_read(&lsi_memory_libc, text, size, flags, &source, &what, state, out);
}

static bool any(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    (void)text;
    (void)size;
    if (depth == 0 && kind != LSI_JSON_OBJECT_CLOSE)
        *(bool *)user = kind == LSI_JSON_OBJECT_OPEN;
    return true;
}

static void return_again(const lsi_json_writer *state)
{
    lsi_json_writer document, again;
    lsi_outcome outcome;
    bool is_object = false;

    FUZZ_REQUIRE(lsi_json_parse(&lsi_memory_libc, state->text, state->size, any, &is_object) == LS_OK && is_object);
    lsi_json_begin(&document, &lsi_memory_libc);
    lsi_json_object_open(&document);
    lsi_json_key(&document, "state");
    lsi_json_raw(&document, state->text, state->size);
    lsi_json_object_close(&document);
    FUZZ_REQUIRE(read_answer(document.text, document.size, LSI_RESPONSE_WINDOWED, &again, &outcome) == LS_OK);
    FUZZ_REQUIRE(outcome.kind == LSI_OUTCOME_SUCCESS && outcome.has_state);
    FUZZ_REQUIRE(again.size == state->size && memcmp(again.text, state->text, again.size) == 0);
    lsi_json_free(&again);
    lsi_json_free(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *text = fuzz_copy(data, size);

    for (uint32_t flags = 0; flags <= (LSI_RESPONSE_REPORTS | LSI_RESPONSE_WINDOWED); flags++) {
        lsi_json_writer state;
        lsi_outcome outcome;
        ls_status st = read_answer(text, size, flags, &state, &outcome);

        FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_UNSUPPORTED);
        if (st == LS_OK) {
            FUZZ_REQUIRE(flags != 0 || outcome.kind == LSI_OUTCOME_SUCCESS);
            FUZZ_REQUIRE(outcome.kind != LSI_OUTCOME_PARTIAL ||
                         ((flags & LSI_RESPONSE_REPORTS) != 0 && outcome.failed_at < RECORDS));
            if (outcome.kind != LSI_OUTCOME_BAD_RESPONSE && outcome.has_state)
                return_again(&state);
        }
        lsi_json_free(&state);
    }
    free(text);
    return 0;
}
