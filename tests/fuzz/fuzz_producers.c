/* What is remembered of producers, as the payload of a checked file: any bytes end in a status; what is accepted can be
 * asked for any number, and comes back from bytes as it was. */
#include "fuzz/fuzz.h"

#include "base/alloc.h"
#include "storage/numbered.h"

static void ask(void *user, const lsi_known_producer *producer)
{
    const lsi_remembered *of = user;

    FUZZ_REQUIRE(producer->run_count <= LS_PRODUCER_PUTS_MAX || producer->bytes <= LS_PRODUCER_BYTES_MAX);
    for (uint32_t i = 0; i < producer->run_count; i++) {
        const lsi_run *run = &producer->runs[i];
        const uint64_t numbers[] = {run->first, run->last, run->first + (run->last - run->first) / 2, run->last + 1};

        for (size_t k = 0; k < 4; k++) {
            lsi_number_cursor cursor = {.run = NULL};
            ls_seqno seqno = 0;
            uint32_t shard;
            lsi_number_is is = lsi_remembered_find(of, producer->id, numbers[k], &cursor, &shard, &seqno);

            FUZZ_REQUIRE(k >= 2 || (is == LSI_NUMBER_REPEATED && seqno != 0));
            FUZZ_REQUIRE(is != LSI_NUMBER_NEW || numbers[k] > producer->floor);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    lsi_remembered *of, *again;
    uint64_t position, same;
    void *bytes, *twice;
    size_t made, remade;
    lsi_env env;

    lsi_env_default(&env);
    if (lsi_remembered_decode(&env, "fuzz", copy, size, &position, &of) == LS_OK) {
        FUZZ_REQUIRE(lsi_remembered_count(of) <= LS_PRODUCERS_MAX);
        lsi_remembered_each(of, ask, of);
        FUZZ_REQUIRE(lsi_remembered_encode(of, position, &bytes, &made) == LS_OK);
        FUZZ_REQUIRE(lsi_remembered_decode(&env, "fuzz", bytes, made, &same, &again) == LS_OK && same == position);
        FUZZ_REQUIRE(lsi_remembered_encode(again, position, &twice, &remade) == LS_OK);
        FUZZ_REQUIRE(made == remade && memcmp(bytes, twice, made) == 0);
        lsi_free(&env.memory, bytes);
        lsi_free(&env.memory, twice);
        lsi_remembered_free(of);
        lsi_remembered_free(again);
    }
    free(copy);
    return 0;
}
