/* What the records of a truth are made of. Alone in this file: programs that know nothing else of the harnesses put
 * such records, too. See truth.h. */
#include "harness/truth.h"

#include <stdio.h>
#include <string.h>

void truth_data(uint32_t put, unsigned char *into, size_t bytes)
{
    unsigned char mark[TRUTH_MARK_BYTES];
    uint32_t again = ~put;

    memcpy(mark, TRUTH_MARK, 4);
    memcpy(mark + 4, &put, 4);
    memcpy(mark + 8, &again, 4);
    memcpy(into, mark, bytes < sizeof(mark) ? bytes : sizeof(mark));
    for (size_t i = sizeof(mark); i < bytes; i++)
        into[i] = (unsigned char)(put * 31 + i * 7 + i / 256);
}

size_t truth_key(uint32_t put, char into[16])
{
    return (size_t)snprintf(into, 16, "key-%u", put);
}
