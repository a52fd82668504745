/* Base64 back to bytes (RFC 4648, section 4): standard alphabet, padded. lsi_json_base64 writes it. */
#ifndef LSI_BASE_BASE64_H
#define LSI_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Room that is enough for what so many characters hold. */
static inline size_t lsi_base64_room(size_t size) { return size / 4 * 3; }

/* `out` may be where `text` is. False, and nothing is known of `out`: the length is no multiple of four, a character is
 * none of the alphabet (white space is none), padding stands elsewhere than at the end, or bits that no byte takes are
 * not zero; so that two texts never mean the same bytes. */
bool lsi_base64_decode(const char *text, size_t size, void *out, size_t *out_size);

#endif
