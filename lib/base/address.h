/* Internet addresses as text, and blocks of them. */
#ifndef LSI_BASE_ADDRESS_H
#define LSI_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lsi_address {
    uint8_t bytes[16];
    uint32_t size; /* 4 or 16 */
} lsi_address;

/* "10.0.0.1" or "2001:db8::1", with nothing around it. Asks no name service. */
bool lsi_address_parse(const char *text, size_t size, lsi_address *out);
/* "10.0.0.0/24", "2001:db8::/32". */
bool lsi_address_block_parse(const char *text, size_t size, lsi_address *out, uint32_t *bits);
bool lsi_address_is_in(const lsi_address *address, const lsi_address *block, uint32_t bits);

#endif
