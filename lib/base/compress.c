/* See compress.h. Whole runs, never a stream: so zstd needs no window of its own, whatever size the bytes ask for; its
 * window is the output. */
#include "base/compress.h"

#include <zstd.h>

#define LEVEL 1 /* measured on records of text: twice as fast as 3, a tenth larger */

/* Both are zstd's own objects under another name. */
lsi_compressor *lsi_compressor_new(void)
{
    return (lsi_compressor *)ZSTD_createCCtx();
}

void lsi_compressor_free(lsi_compressor *compressor)
{
    (void)ZSTD_freeCCtx((ZSTD_CCtx *)compressor); /* Cannot fail. */
}

size_t lsi_compress_bound(size_t size)
{
    return ZSTD_compressBound(size);
}

size_t lsi_compress(lsi_compressor *compressor, const void *in, size_t size, void *out, size_t room)
{
    size_t made = ZSTD_compressCCtx((ZSTD_CCtx *)compressor, out, room, in, size, LEVEL);

    return ZSTD_isError(made) ? 0 : made;
}

lsi_decompressor *lsi_decompressor_new(void)
{
    return (lsi_decompressor *)ZSTD_createDCtx();
}

void lsi_decompressor_free(lsi_decompressor *decompressor)
{
    (void)ZSTD_freeDCtx((ZSTD_DCtx *)decompressor); /* Cannot fail. */
}

bool lsi_decompress(lsi_decompressor *decompressor, const void *in, size_t size, void *out, size_t out_size)
{
    /* One frame, which states its size: what compress makes. */
    if (ZSTD_getFrameContentSize(in, size) != out_size || ZSTD_findFrameCompressedSize(in, size) != size)
        return false;
    size_t made = ZSTD_decompressDCtx((ZSTD_DCtx *)decompressor, out, out_size, in, size);
    return !ZSTD_isError(made) && made == out_size;
}
