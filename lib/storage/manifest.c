/* Checked files: small files that are replaced whole (D6) and verified when read. FORMAT.md, "Checked file".
 *
 * There is no repair and no "best effort": a byte that is not as written makes the file unreadable, and what an
 * unreadable one means is the caller's to say (R6: never "nothing is there"). The sums are looked at before anything
 * else but the magic, so damage is never mistaken for another release's format. */
#include "storage/manifest.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

#define MAGIC "LSTREAM1"
#define FORMAT 0u
#define HEADER_BYTES_MAX 4096u
#define FILE_BYTES_MAX (UINT64_C(64) << 20)

/* Offsets of the header's fields. */
enum {
    MAGIC_AT = 0,
    KIND_AT = 8,
    FORMAT_AT = 12,
    HEADER_BYTES_AT = 14,
    MAY_IGNORE_AT = 16,
    MUST_REFUSE_AT = 20,
    GENERATION_AT = 24,
    PAYLOAD_BYTES_AT = 32,
    BODY_SUM_AT = 40,
    RESERVED_AT = 48,
    HEADER_SUM_AT = 56
};
_Static_assert(HEADER_SUM_AT + 8 == LSI_CHECKED_HEADER_BYTES, "the sum is the header's end");

/* Must-refuse bits. A file of producers has runs of gaps, which its first form had not. */
static uint32_t features_of(uint32_t kind)
{
    return kind == LSI_CHECKED_PRODUCERS ? 1 : 0;
}

ls_status lsi_checked_encode(const lsi_env *env, uint32_t kind, uint64_t salt, lsi_checked_head head,
                             const void *payload, size_t size, void **out, size_t *out_size)
{
    unsigned char *bytes;

    if (size > FILE_BYTES_MAX - LSI_CHECKED_HEADER_BYTES)
        return lsi_fail(LS_ERR_FULL, "a checked file of %zu bytes is over the limit of %llu", size,
                        (unsigned long long)FILE_BYTES_MAX);
    bytes = lsi_alloc(&env->memory, LSI_CHECKED_HEADER_BYTES + size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a checked file of %zu bytes", size);
    memcpy(bytes + MAGIC_AT, MAGIC, 8);
    lsi_write_u32le(bytes + KIND_AT, kind);
    lsi_write_u16le(bytes + FORMAT_AT, FORMAT);
    lsi_write_u16le(bytes + HEADER_BYTES_AT, LSI_CHECKED_HEADER_BYTES);
    lsi_write_u32le(bytes + MAY_IGNORE_AT, head.flags);
    lsi_write_u32le(bytes + MUST_REFUSE_AT, features_of(kind));
    lsi_write_u64le(bytes + GENERATION_AT, head.generation);
    lsi_write_u64le(bytes + PAYLOAD_BYTES_AT, size);
    lsi_write_u64le(bytes + BODY_SUM_AT, lsi_sum64(payload, size, salt));
    lsi_write_u64le(bytes + RESERVED_AT, 0);
    lsi_write_u64le(bytes + HEADER_SUM_AT, lsi_sum64(bytes, HEADER_SUM_AT, salt));
    if (size > 0)
        memcpy(bytes + LSI_CHECKED_HEADER_BYTES, payload, size);
    *out = bytes;
    *out_size = LSI_CHECKED_HEADER_BYTES + size;
    return LS_OK;
}

ls_status lsi_checked_decode(const char *name, uint32_t kind, uint64_t salt, const void *bytes, size_t size,
                             lsi_checked_head *head, const unsigned char **payload, size_t *payload_size)
{
    const unsigned char *at = bytes;
    uint32_t header_bytes;
    uint64_t body_bytes;

    if (size < LSI_CHECKED_HEADER_BYTES)
        return lsi_fail(LS_ERR_CORRUPT, "%s is cut short: it has %zu bytes, its header alone %u", name, size,
                        LSI_CHECKED_HEADER_BYTES);
    if (memcmp(at + MAGIC_AT, MAGIC, 8) != 0) /* K1 */
        return lsi_fail(LS_ERR_CORRUPT, "%s does not begin as a file of libstream", name);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (lsi_read_u64le(at + HEADER_SUM_AT) != lsi_sum64(at, HEADER_SUM_AT, salt)) /* K2 */
        return lsi_fail(LS_ERR_CORRUPT, "the header of %s fails its checksum, or it belongs elsewhere", name);
#endif
    header_bytes = lsi_read_u16le(at + HEADER_BYTES_AT);
    body_bytes = lsi_read_u64le(at + PAYLOAD_BYTES_AT);
    if (header_bytes < LSI_CHECKED_HEADER_BYTES || header_bytes > HEADER_BYTES_MAX || size < header_bytes ||
        body_bytes != size - header_bytes) /* K3 */
        return lsi_fail(LS_ERR_CORRUPT, "%s has %zu bytes, its header states %u + %llu", name, size, header_bytes,
                        (unsigned long long)body_bytes);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)salt;
#else
    if (lsi_read_u64le(at + BODY_SUM_AT) !=
        lsi_sum64(at + LSI_CHECKED_HEADER_BYTES, size - LSI_CHECKED_HEADER_BYTES, salt)) /* K4 */
        return lsi_fail(LS_ERR_CORRUPT, "the contents of %s fail their checksum", name);
#endif
    if (lsi_read_u32le(at + KIND_AT) != kind) /* K5 */
        return lsi_fail(LS_ERR_CORRUPT, "%s is a file of kind %u, not %u", name, lsi_read_u32le(at + KIND_AT), kind);
    if (lsi_read_u16le(at + FORMAT_AT) != FORMAT || /* P11 */
        (lsi_read_u32le(at + MUST_REFUSE_AT) & ~features_of(kind)) != 0)
        return lsi_fail(LS_ERR_VERSION, "%s has format %u with features 0x%x; this library reads format %u", name,
                        lsi_read_u16le(at + FORMAT_AT), lsi_read_u32le(at + MUST_REFUSE_AT), FORMAT);
    head->generation = lsi_read_u64le(at + GENERATION_AT);
    head->flags = lsi_read_u32le(at + MAY_IGNORE_AT);
    *payload = at + header_bytes;
    *payload_size = (size_t)body_bytes;
    return LS_OK;
}

ls_status lsi_checked_store(const lsi_env *env, const lsi_root *root, const char *dir, const char *name, uint32_t kind,
                            uint64_t salt, lsi_checked_head head, const void *payload, size_t size)
{
    void *bytes = NULL;
    size_t bytes_size = 0;
    ls_status st = lsi_checked_encode(env, kind, salt, head, payload, size, &bytes, &bytes_size);

    if (st != LS_OK)
        return st;
    st = lsi_checked_put(root, dir, name, bytes, bytes_size);
    lsi_free(&env->memory, bytes);
    return st;
}

ls_status lsi_checked_put(const lsi_root *root, const char *dir, const char *name, const void *bytes, size_t size)
{
    int result = dir != NULL ? lsi_file_replace(root, dir, name, bytes, size) : lsi_file_make(root, name, bytes, size);

    if (result == -EINPROGRESS)
        return lsi_fail_errno(result, "no descriptor is left to sync the directory of %s", name);
    if (result != 0)
        return lsi_fail_errno(result, "cannot %s %s", dir != NULL ? "replace" : "make", name);
    return LS_OK;
}

ls_status lsi_checked_read(const lsi_env *env, const lsi_root *root, const char *name, void **out, size_t *size)
{
    int result = lsi_file_load(root, name, FILE_BYTES_MAX, &env->memory, out, size);

    if (result == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "%s does not exist", name);
    if (result == -EFBIG)
        return lsi_fail(LS_ERR_CORRUPT, "%s is larger than %llu bytes, which no such file is", name,
                        (unsigned long long)FILE_BYTES_MAX);
    if (lsi_file_misfit(result) != NULL)
        return lsi_fail(LS_ERR_CORRUPT, "%s %s", name, lsi_file_misfit(result));
    if (result != 0)
        return lsi_fail_reading(result, "cannot read %s", name);
    return LS_OK;
}

ls_status lsi_checked_load(const lsi_env *env, const lsi_root *root, const char *name, uint32_t kind, uint64_t salt,
                           lsi_checked_head *head, void **payload, size_t *payload_size)
{
    const unsigned char *view = NULL;
    void *bytes;
    size_t size;
    ls_status st = lsi_checked_read(env, root, name, &bytes, &size);

    if (st != LS_OK)
        return st;
    st = lsi_checked_decode(name, kind, salt, bytes, size, head, &view, payload_size);
    if (st != LS_OK) {
        lsi_free(&env->memory, bytes);
        return st;
    }
    /* The payload takes the place of the header, so that the caller frees what it gets. */
    memmove(bytes, view, *payload_size);
    *payload = bytes;
    return LS_OK;
}
