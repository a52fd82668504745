/* Internet addresses as text: libc's reading, which takes no leading zeros, no short forms and no names. */
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

bool lsi_address_parse(const char *text, size_t size, lsi_address *out)
{
    char terminated[INET6_ADDRSTRLEN];

    if (size >= sizeof terminated || memchr(text, '\0', size) != NULL)
        return false;
    memcpy(terminated, text, size);
    terminated[size] = '\0';
    memset(out, 0, sizeof *out);
    out->size = memchr(terminated, ':', size) == NULL ? 4 : 16;
    return inet_pton(out->size == 4 ? AF_INET : AF_INET6, terminated, out->bytes) == 1;
}

bool lsi_address_block_parse(const char *text, size_t size, lsi_address *out, uint32_t *bits)
{
    const char *slash = memchr(text, '/', size);
    size_t digits;

    if (slash == NULL || !lsi_address_parse(text, (size_t)(slash - text), out))
        return false;
    digits = size - (size_t)(slash - text) - 1;
    if (digits < 1 || digits > 3)
        return false;
    *bits = 0;
    for (size_t i = 1; i <= digits; i++) {
        if (slash[i] < '0' || slash[i] > '9')
            return false;
        *bits = *bits * 10 + (uint32_t)(slash[i] - '0');
    }
    return *bits <= out->size * 8;
}

bool lsi_address_is_in(const lsi_address *address, const lsi_address *block, uint32_t bits)
{
    uint32_t whole = bits / 8, rest = bits % 8;

    if (address->size != block->size || memcmp(address->bytes, block->bytes, whole) != 0)
        return false;
    return rest == 0 || (address->bytes[whole] ^ block->bytes[whole]) >> (8 - rest) == 0;
}
