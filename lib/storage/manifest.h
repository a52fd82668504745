/* A small file that is replaced whole and checked when read: the store's manifest and each shard's segment list.
 * FORMAT.md, "Checked file". The payload is the caller's. */
#ifndef LSI_STORAGE_MANIFEST_H
#define LSI_STORAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include <libstream/status.h>

#include "base/env.h"

#define LSI_CHECKED_HEADER_BYTES 64u
enum { LSI_CHECKED_MANIFEST = 1, LSI_CHECKED_SEGMENTS = 2, LSI_CHECKED_PRODUCERS = 3 };

/* What the header says besides: who replaces the file gives it back, with the next generation. */
typedef struct lsi_checked_head {
    uint64_t generation;
    uint32_t flags; /* of a later release, which this one may ignore and keeps (P11) */
} lsi_checked_head;

/* Encodes header and payload into one buffer from env->memory (lsi_free). `salt` binds the file to its place: for a
 * segment list a sum of store, stream and shard, so that a copy elsewhere fails its check. 0 for the manifest, which
 * is what says whose the store is. */
ls_status lsi_checked_encode(const lsi_env *env, uint32_t kind, uint64_t salt, lsi_checked_head head,
                             const void *payload, size_t size, void **out, size_t *out_size);
/* Checks and gives a view of the payload. CORRUPT names `name` and what is wrong; VERSION for a later format or an
 * unknown must-refuse flag. */
ls_status lsi_checked_decode(const char *name, uint32_t kind, uint64_t salt, const void *bytes, size_t size,
                             lsi_checked_head *head, const unsigned char **payload, size_t *payload_size);

/* The same with the file: D6's replacement (`dir` NULL: a new file that the caller has synced, bulk_end), and loading.
 * NOT_FOUND when it is not there; at most 64 MiB. */
ls_status lsi_checked_store(const lsi_env *env, const lsi_root *root, const char *dir, const char *name, uint32_t kind,
                            uint64_t salt, lsi_checked_head head, const void *payload, size_t size);
ls_status lsi_checked_load(const lsi_env *env, const lsi_root *root, const char *name, uint32_t kind, uint64_t salt,
                           lsi_checked_head *head, void **payload, size_t *payload_size); /* payload: lsi_free */

/* Halves of these two, for who has to do with the same bytes twice: what was encoded goes to its place, and what is
 * there is read and not looked at (lsi_free). */
ls_status lsi_checked_put(const lsi_root *root, const char *dir, const char *name, const void *bytes, size_t size);
ls_status lsi_checked_read(const lsi_env *env, const lsi_root *root, const char *name, void **out, size_t *size);

#endif
