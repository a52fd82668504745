/* Signature Version 4, of AWS: signing a request, and telling whether one was signed with a secret. Needs libcrypto;
 * without it everything is here and answers LS_ERR_UNSUPPORTED. */
#ifndef LSI_BASE_SIGV4_H
#define LSI_BASE_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"
#include "base/crypto.h"

#define LSI_SIGV4_TIME_BYTES 17 /* 20260101T000000Z, terminated: x-amz-date */
#define LSI_SIGV4_HASH_BYTES 65 /* in hexadecimal, terminated */
#define LSI_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

typedef struct lsi_sigv4_header {
    const char *name, *value;
} lsi_sigv4_header;

/* What is signed. Borrowed. */
typedef struct lsi_sigv4_request {
    const char *method;
    const char *path;   /* canonical: for S3 as it goes over the wire, else that encoded once more; "" is "/" */
    const char *query;  /* as it goes over the wire, without ?; "" or NULL: none. In any order */
    const lsi_sigv4_header *headers; /* [header_count], names in any case and order; one may be there twice */
    size_t header_count;
    const char *payload_hash; /* of lsi_sigv4_hash, or LSI_SIGV4_UNSIGNED */
} lsi_sigv4_request;

/* Who signs, and where it holds. Borrowed. */
typedef struct lsi_sigv4_key {
    const char *key_id, *secret, *region, *service;
} lsi_sigv4_key;

/* The time as it is signed: 0001 to 9999, UTC. */
void lsi_sigv4_time(int64_t us, char text[LSI_SIGV4_TIME_BYTES]);
/* SHA-256 of a payload. */
ls_status lsi_sigv4_hash(const void *bytes, size_t size, char text[LSI_SIGV4_HASH_BYTES]);

/* The value of `authorization`, the caller's to free; all headers of the request are signed. NO_MEMORY. */
ls_status lsi_sigv4_sign(const lsi_memory *memory, const lsi_sigv4_key *key, const char *time,
                         const lsi_sigv4_request *request, char **authorization);

/* What an `authorization` says: views of it. */
typedef struct lsi_sigv4_claim {
    ls_bytes key_id, date, region, service;
    ls_bytes signed_headers; /* their names, with ; between them */
    ls_bytes signature;
} lsi_sigv4_claim;

/* False: it is none. */
bool lsi_sigv4_claim_read(const char *authorization, lsi_sigv4_claim *out);

/* Whether who has `secret` signed this: `*is_right` is false, too, when a header that was signed is not there, host
 * was not signed, or `time` is of another day than the claim. That the time is now, and region and service are right,
 * is for the caller to see. Of the headers in `request` only those count that were signed. NO_MEMORY. */
ls_status lsi_sigv4_verify(const lsi_memory *memory, const lsi_sigv4_claim *claim, const char *secret, const char *time,
                           const lsi_sigv4_request *request, bool *is_right);

#endif
