/* See crypto.h.
 *
 * A context of libcrypto keeps the key schedule, whose first half is the key itself, in memory that is dumped and
 * forked like any other. So each call sets the key and takes it away again; measured, that is some 200 ns, where a
 * frame of one small record takes as long in all. */
#include "base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/status.h"

#ifdef LSI_HAVE_CRYPTO
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#endif

void lsi_wipe(void *bytes, size_t size)
{
    explicit_bzero(bytes, size);
}

/* ---- keys ---- */

#define KEY_PAGE_BYTES ((size_t)4096)

/* All of a page. */
struct lsi_key {
    _Atomic uint32_t is_here; /* 1; a fork child finds 0, and a key that is no key */
    unsigned char bytes[LSI_KEY_BYTES];
};

ls_status lsi_key_new(lsi_key **out)
{
    void *page = mmap(NULL, KEY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return lsi_fail(LS_ERR_NO_MEMORY, "a page for a key: no memory");
    if (madvise(page, KEY_PAGE_BYTES, MADV_DONTDUMP) != 0 || madvise(page, KEY_PAGE_BYTES, MADV_WIPEONFORK) != 0) {
        int err = errno;

        (void)munmap(page, KEY_PAGE_BYTES); /* It was just made. */
        return lsi_fail(LS_ERR_NO_MEMORY,
                        "a page for a key: the kernel cannot keep it out of dumps and forks: errno %d", err);
    }
    *out = page;
    atomic_init(&(*out)->is_here, 1);
    return LS_OK;
}

void lsi_key_free(lsi_key *key)
{
    if (key == NULL)
        return;
    lsi_wipe(key, sizeof *key);
    (void)munmap(key, KEY_PAGE_BYTES); /* It was made by lsi_key_new. */
}

unsigned char *lsi_key_bytes(lsi_key *key)
{
    return key->bytes;
}

#ifdef LSI_HAVE_CRYPTO

static ls_status check_key(const lsi_key *key)
{
    /* Relaxed: the page is what fork left of it, before this thread began. */
    return atomic_load_explicit(&key->is_here, memory_order_relaxed) == 1
               ? LS_OK
               : lsi_fail(LS_ERR_STATE,
                          "a key does not come through a fork: this process has to open the store itself");
}

static ls_status failed(const char *what)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "libcrypto cannot %s", what); /* Nothing else is known to make it so. */
}

bool lsi_crypto_is_built(void)
{
    return true;
}

ls_status lsi_crypto_random(void *out, size_t size)
{
    if (size > INT_MAX || RAND_bytes(out, (int)size) != 1)
        return failed("give random numbers");
    return LS_OK;
}

ls_status lsi_sha256(const void *bytes, size_t size, unsigned char out[LSI_SHA256_BYTES])
{
    if (EVP_Digest(bytes, size, out, NULL, EVP_sha256(), NULL) != 1)
        return failed("give SHA-256");
    return LS_OK;
}

ls_status lsi_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t size,
                          unsigned char out[LSI_SHA256_BYTES])
{
    unsigned char made[LSI_SHA256_BYTES];
    size_t made_bytes = 0;

    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_bytes, bytes, size, made, sizeof made, &made_bytes) ==
            NULL ||
        made_bytes != sizeof made)
        return failed("give HMAC-SHA-256");
    memcpy(out, made, sizeof made);
    lsi_wipe(made, sizeof made);
    return LS_OK;
}

static ls_status hkdf(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                      void *out, size_t out_bytes)
{
    ls_status st = check_key(from);
    char digest[] = "SHA256";
    EVP_KDF_CTX *context = NULL;
    EVP_KDF *kdf;

    if (st != LS_OK)
        return st;
    /* The parameters are read only; their type just does not say so. */
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)from->bytes, sizeof from->bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_bytes),
        OSSL_PARAM_construct_end(),
    };
    kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    if (context == NULL || EVP_KDF_derive(context, out, out_bytes, parameters) != 1)
        st = failed("derive a key");
    EVP_KDF_CTX_free(context); /* Wipes what it copied. */
    EVP_KDF_free(kdf);
    return st;
}

ls_status lsi_key_derive(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                         lsi_key **out)
{
    lsi_key *key;
    ls_status st = lsi_key_new(&key);

    if (st != LS_OK)
        return st;
    st = hkdf(from, salt, salt_bytes, info, info_bytes, key->bytes, sizeof key->bytes);
    if (st == LS_OK)
        *out = key;
    else
        lsi_key_free(key);
    return st;
}

ls_status lsi_key_mark(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                       void *mark, size_t mark_bytes)
{
    return hkdf(from, salt, salt_bytes, info, info_bytes, mark, mark_bytes);
}

/* ---- sealing ---- */

struct lsi_cipher {
    lsi_memory memory;
    EVP_CIPHER *gcm; /* fetched once: looking it up costs more than a small frame */
    EVP_CIPHER_CTX *context; /* without a key between two calls */
};

ls_status lsi_cipher_open(const lsi_memory *memory, lsi_cipher **out)
{
    lsi_cipher *cipher = lsi_alloc_zero(memory, sizeof *cipher);

    if (cipher == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "a cipher: no memory");
    cipher->memory = *memory;
    cipher->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    cipher->context = EVP_CIPHER_CTX_new();
    if (cipher->gcm == NULL || cipher->context == NULL) {
        lsi_cipher_close(cipher);
        return failed("give AES-256-GCM");
    }
    *out = cipher;
    return LS_OK;
}

void lsi_cipher_close(lsi_cipher *cipher)
{
    if (cipher == NULL)
        return;
    lsi_memory memory = cipher->memory;
    EVP_CIPHER_CTX_free(cipher->context);
    EVP_CIPHER_free(cipher->gcm);
    lsi_free(&memory, cipher);
}

ls_status lsi_cipher_seal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                          const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                          unsigned char tag[LSI_TAG_BYTES])
{
    EVP_CIPHER_CTX *context = cipher->context;
    ls_status st = check_key(key);
    int made;

    if (st != LS_OK)
        return st;
    if (size > INT_MAX || bound_bytes > INT_MAX ||
        EVP_EncryptInit_ex2(context, cipher->gcm, key->bytes, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &made, bound, (int)bound_bytes) != 1 ||
        EVP_EncryptUpdate(context, out, &made, in, (int)size) != 1 || made != (int)size ||
        EVP_EncryptFinal_ex(context, tag, &made) != 1 || made != 0 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, (int)LSI_TAG_BYTES, tag) != 1)
        st = failed("seal");
    (void)EVP_CIPHER_CTX_reset(context); /* Takes the key away; it has no way to fail. */
    return st;
}

ls_status lsi_cipher_unseal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                            const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                            const unsigned char tag[LSI_TAG_BYTES], bool *is_right)
{
    EVP_CIPHER_CTX *context = cipher->context;
    unsigned char end[16];
    ls_status st = check_key(key);
    int made;

    if (st != LS_OK)
        return st;
    *is_right = false;
    /* The tag is read only; the call's type just does not say so. */
    if (size > INT_MAX || bound_bytes > INT_MAX ||
        EVP_DecryptInit_ex2(context, cipher->gcm, key->bytes, nonce, NULL) != 1 ||
        EVP_DecryptUpdate(context, NULL, &made, bound, (int)bound_bytes) != 1 ||
        EVP_DecryptUpdate(context, out, &made, in, (int)size) != 1 || made != (int)size ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)LSI_TAG_BYTES, (void *)(uintptr_t)tag) != 1)
        st = failed("open what was sealed");
    else
        *is_right = EVP_DecryptFinal_ex(context, end, &made) == 1;
    (void)EVP_CIPHER_CTX_reset(context);
    if (!*is_right)
        lsi_wipe(out, size); /* Nobody is to look at what was not shown to be right. */
    return st;
}

#else /* Without libcrypto. Nothing makes a cipher, so nothing has one to use. */

static ls_status not_built(void)
{
    return lsi_fail(LS_ERR_UNSUPPORTED, "this libstream was built without encryption");
}

bool lsi_crypto_is_built(void)
{
    return false;
}

ls_status lsi_crypto_random(void *out, size_t size)
{
    (void)out;
    (void)size;
    return not_built();
}

ls_status lsi_sha256(const void *bytes, size_t size, unsigned char out[LSI_SHA256_BYTES])
{
    (void)bytes;
    (void)size;
    (void)out;
    return not_built();
}

ls_status lsi_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t size,
                          unsigned char out[LSI_SHA256_BYTES])
{
    (void)key;
    (void)key_bytes;
    (void)bytes;
    (void)size;
    (void)out;
    return not_built();
}

ls_status lsi_key_derive(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                         lsi_key **out)
{
    (void)from;
    (void)salt;
    (void)salt_bytes;
    (void)info;
    (void)info_bytes;
    (void)out;
    return not_built();
}

ls_status lsi_key_mark(const lsi_key *from, const void *salt, size_t salt_bytes, const void *info, size_t info_bytes,
                       void *mark, size_t mark_bytes)
{
    (void)from;
    (void)salt;
    (void)salt_bytes;
    (void)info;
    (void)info_bytes;
    (void)mark;
    (void)mark_bytes;
    return not_built();
}

ls_status lsi_cipher_open(const lsi_memory *memory, lsi_cipher **out)
{
    (void)memory;
    (void)out;
    return not_built();
}

void lsi_cipher_close(lsi_cipher *cipher)
{
    (void)cipher;
}

ls_status lsi_cipher_seal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                          const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                          unsigned char tag[LSI_TAG_BYTES])
{
    (void)cipher;
    (void)key;
    (void)nonce;
    (void)bound;
    (void)bound_bytes;
    (void)in;
    (void)size;
    (void)out;
    (void)tag;
    return not_built();
}

ls_status lsi_cipher_unseal(lsi_cipher *cipher, const lsi_key *key, const unsigned char nonce[LSI_NONCE_BYTES],
                            const void *bound, size_t bound_bytes, const void *in, size_t size, void *out,
                            const unsigned char tag[LSI_TAG_BYTES], bool *is_right)
{
    (void)cipher;
    (void)key;
    (void)nonce;
    (void)bound;
    (void)bound_bytes;
    (void)in;
    (void)size;
    (void)out;
    (void)tag;
    (void)is_right;
    return not_built();
}

#endif
