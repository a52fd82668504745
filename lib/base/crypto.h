/* Encryption: AES-256-GCM, HKDF-SHA-256, SHA-256, random numbers for secrets, and memory that keys live in. Alone in
 * naming libcrypto; where that was not built in, everything is there and answers LS_ERR_UNSUPPORTED.
 *
 * KEYS are bytes in a page of their own, which is in no core dump, is zeros in every fork child, and is wiped before it
 * is given back (X5). They leave it only into libcrypto, for the moment of one call: a context is kept without a
 * key. */
#ifndef LSI_BASE_CRYPTO_H
#define LSI_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/status.h>

#include "base/alloc.h"

#define LSI_KEY_BYTES 32u
#define LSI_NONCE_BYTES 12u
#define LSI_TAG_BYTES 16u

bool lsi_crypto_is_built(void);

/* Bytes that nobody can guess, and that differ in a fork child. */
ls_status lsi_crypto_random(void *out, size_t size);
/* Zeros that the compiler does not leave out. */
void lsi_wipe(void *bytes, size_t size);

/* ---- digests ---- */

#define LSI_SHA256_BYTES 32u

ls_status lsi_sha256(const void *bytes, size_t size, unsigned char out[LSI_SHA256_BYTES]);
/* `out` may be where `key` is. The key is plain memory: it is the caller's to keep and to wipe. */
ls_status lsi_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t size,
                          unsigned char out[LSI_SHA256_BYTES]);

/* ---- keys ---- */

typedef struct lsi_key lsi_key; /* any thread once it is filled */

/* A key of zeros, to be filled through lsi_key_bytes. NO_MEMORY: and also where the kernel cannot protect it. */
ls_status lsi_key_new(lsi_key **out);
void lsi_key_free(lsi_key *key); /* Wipes. Accepts NULL. In a fork child too. */
unsigned char *lsi_key_bytes(lsi_key *key); /* [LSI_KEY_BYTES] */
/* HKDF-SHA-256 (RFC 5869): `*out` is a new key. */
ls_status lsi_key_derive(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                         lsi_key **out);
/* The same into plain memory, for what may be known: it tells keys apart and says nothing about them. */
ls_status lsi_key_mark(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                       void *mark, size_t mark_bytes);

/* ---- sealing ---- */

typedef struct lsi_cipher lsi_cipher; /* a context to be used again and again; one thread at a time */

ls_status lsi_cipher_open(const lsi_memory *memory, lsi_cipher **out);
void lsi_cipher_close(lsi_cipher *cipher); /* Accepts NULL. */
/* `size` bytes from `in` to `out`, which may be the same place. STATE: the key did not come through a fork. */
ls_status lsi_cipher_seal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                          const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                          unsigned char tag[LSI_TAG_BYTES]);
/* And back. `*is_right` false: another key, nonce or bound bytes, or other bytes than were sealed; then what is in
 * `out` is zeros. */
ls_status lsi_cipher_unseal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                            const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                            const unsigned char tag[LSI_TAG_BYTES], bool *is_right);

#endif
