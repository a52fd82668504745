/* Decimal numbers of 128 bits: what is accepted is what is written, and what is written is accepted. */
#include "fuzz/fuzz.h"

#include "base/u128.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = (char *)fuzz_copy(data, size);
    char again[LSI_U128_TEXT_BYTES];
    ls_hash_key n;

    if (lsi_u128_from_decimal(text, size, &n)) {
        lsi_u128_to_decimal(n, again);
        FUZZ_REQUIRE(strlen(again) == size && memcmp(again, text, size) == 0);
    }
    if (size >= sizeof n) {
        ls_hash_key back;

        memcpy(&n, data, sizeof n);
        lsi_u128_to_decimal(n, again);
        FUZZ_REQUIRE(lsi_u128_from_decimal(again, strlen(again), &back) && back.high == n.high && back.low == n.low);
    }
    free(text);
    return 0;
}
