/* UTF-8: counting agrees with stepping from one code point to the next, and with a decoder that was written by the
 * letter of RFC 3629. */
#include "fuzz/fuzz.h"

#include "base/utf8.h"

/* Bytes of the code point at `at`; 0: none. By value: decode, then ask whether it had to be this long. */
static size_t reference(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = at[0] < 0x80 ? 1 : (at[0] & 0xe0) == 0xc0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3
        : (at[0] & 0xf8) == 0xf0 ? 4 : 0;
    uint32_t value;

    if (bytes == 0 || bytes > left)
        return 0;
    if (bytes == 1)
        return 1;
    value = at[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    if (value < least[bytes] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = fuzz_copy(data, size);
    size_t count = 0, at = 0, step;

    while (at < size) {
        step = lsi_utf8_first(bytes + at, size - at);
        FUZZ_REQUIRE(step == reference(bytes + at, size - at));
        if (step == 0)
            break;
        at += step;
        count++;
    }
    FUZZ_REQUIRE(lsi_utf8_count(bytes, size) == (at == size ? count : LSI_UTF8_BAD));
    free(bytes);
    return 0;
}
