/* Little-endian fields in a buffer. Everything on disk goes through these; no struct is ever cast onto bytes. */
#ifndef LSI_BASE_BYTES_H
#define LSI_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libstream is built for little-endian processors"
#endif

static inline uint16_t lsi_read_u16le(const void *at) { uint16_t v; memcpy(&v, at, sizeof v); return v; }
static inline uint32_t lsi_read_u32le(const void *at) { uint32_t v; memcpy(&v, at, sizeof v); return v; }
static inline uint64_t lsi_read_u64le(const void *at) { uint64_t v; memcpy(&v, at, sizeof v); return v; }
static inline void lsi_write_u16le(void *at, uint16_t v) { memcpy(at, &v, sizeof v); }
static inline void lsi_write_u32le(void *at, uint32_t v) { memcpy(at, &v, sizeof v); }
static inline void lsi_write_u64le(void *at, uint64_t v) { memcpy(at, &v, sizeof v); }

/* The next multiple of `unit`, a power of two. */
static inline uint64_t lsi_round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) & ~(unit - 1); }

/* True when `size` bytes are all zero. */
bool lsi_is_zero(const void *bytes, size_t size);

/* Reads a structure field by field; going past the end sets `bad` and gives zeros, so that one check at the end
 * does. */
typedef struct lsi_cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
} lsi_cursor;
uint8_t lsi_take_u8(lsi_cursor *from);
uint16_t lsi_take_u16(lsi_cursor *from);
uint32_t lsi_take_u32(lsi_cursor *from);
uint64_t lsi_take_u64(lsi_cursor *from);
const unsigned char *lsi_take_bytes(lsi_cursor *from, size_t size); /* A view; NULL and bad past the end. */

/* Writes one the same way into a buffer that is large enough by construction; past the end is a failed assertion. */
typedef struct lsi_writer {
    unsigned char *at;
    unsigned char *end;
} lsi_writer;
void lsi_put_u8(lsi_writer *to, uint8_t v);
void lsi_put_u16(lsi_writer *to, uint16_t v);
void lsi_put_u32(lsi_writer *to, uint32_t v);
void lsi_put_u64(lsi_writer *to, uint64_t v);
void lsi_put_bytes(lsi_writer *to, const void *bytes, size_t size);
void lsi_put_zero(lsi_writer *to, size_t size);

#endif
