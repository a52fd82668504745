/* See gzip.h. */
#include "base/gzip.h"

#if LSI_HAVE_ZLIB
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#define LEVEL 1          /* as with zstd: for lines of text a third of the time of 6, an eighth larger */
#define WINDOW (15 + 16) /* the largest, in the form of gzip */
#define MEMORY 8         /* zlib's default */

bool lsi_gzip_is_built(void)
{
    return true;
}

size_t lsi_gzip_bound(size_t size)
{
    return size + (size >> 10) + 64; /* stored blocks of 5 bytes each, header and trailer: 18 */
}

/* zlib counts in 32 bits: by parts. */
size_t lsi_gzip(const void *in, size_t size, void *out, size_t room)
{
    z_stream of;
    size_t taken = 0, made = 0;
    int result;

    memset(&of, 0, sizeof of);
    if (deflateInit2(&of, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    do {
        size_t part = size - taken < UINT_MAX / 2 ? size - taken : UINT_MAX / 2;
        size_t space = room - made < UINT_MAX / 2 ? room - made : UINT_MAX / 2;

        of.next_in = (Bytef *)(uintptr_t)in + taken;
        of.avail_in = (uInt)part;
        of.next_out = (Bytef *)out + made;
        of.avail_out = (uInt)space;
        result = deflate(&of, taken + part == size ? Z_FINISH : Z_NO_FLUSH);
        taken += part - of.avail_in;
        made += space - of.avail_out;
    } while (result == Z_OK && made < room);
    (void)deflateEnd(&of);
    return result == Z_STREAM_END ? made : 0;
}
#else
bool lsi_gzip_is_built(void)
{
    return false;
}

size_t lsi_gzip_bound(size_t size)
{
    return size;
}

size_t lsi_gzip(const void *in, size_t size, void *out, size_t room)
{
    (void)in;
    (void)size;
    (void)out;
    (void)room;
    return 0;
}
#endif
