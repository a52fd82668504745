/* Compression of one run of bytes at a time, with zstd, which is named here alone. Contexts are used again and again,
 * one thread at a time; their own memory is zstd's. */
#ifndef LSI_BASE_COMPRESS_H
#define LSI_BASE_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lsi_compressor lsi_compressor;
typedef struct lsi_decompressor lsi_decompressor;

lsi_compressor *lsi_compressor_new(void); /* NULL: no memory */
void lsi_compressor_free(lsi_compressor *compressor); /* Accepts NULL. */
size_t lsi_compress_bound(size_t size); /* No more is written for so many bytes. */
/* How many bytes were written, at most `room`; 0: they do not fit, or no memory. */
size_t lsi_compress(lsi_compressor *compressor, const void *in, size_t size, void *out, size_t room);

lsi_decompressor *lsi_decompressor_new(void); /* NULL: no memory */
void lsi_decompressor_free(lsi_decompressor *decompressor); /* Accepts NULL. */
/* Into exactly `out_size` bytes. False: it is anything else than one frame of zstd, of `size` bytes, that says that it
 * holds so many and does. Nothing is allocated for what the bytes say (X2). */
bool lsi_decompress(lsi_decompressor *decompressor, const void *in, size_t size, void *out, size_t out_size);

#endif
