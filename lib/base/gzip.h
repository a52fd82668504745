/* gzip (RFC 1952) of one run of bytes, with zlib, which is named here alone. Feature `gzip`; without it nothing
 * fits. */
#ifndef LSI_BASE_GZIP_H
#define LSI_BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>

bool lsi_gzip_is_built(void);
size_t lsi_gzip_bound(size_t size); /* No more is written for so many bytes. */
/* One member, without name and time: equal bytes give equal bytes. How many were written, at most `room`; 0: they do
 * not fit, or no memory. */
size_t lsi_gzip(const void *in, size_t size, void *out, size_t room);

#endif
