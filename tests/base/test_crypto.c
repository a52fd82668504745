/* base/crypto.h: AES-256-GCM against NIST's vectors (the test cases 13, 14 and 16 of its proposers), HKDF against RFC
 * 5869, where keys are to be found in memory and where not (X5). */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/status.h"
#include "support/emulated.h"

#define SKIP_UNLESS_BUILT()          \
    do {                             \
        if (!lsi_crypto_is_built())  \
            skip();                  \
    } while (0)

static size_t from_hex(const char *text, unsigned char *out)
{
    size_t size = strlen(text) / 2;

    for (size_t i = 0; i < size; i++) {
        unsigned value = 0;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
        out[i] = (unsigned char)value;
    }
    return size;
}

static lsi_key *key_of(const char *hex)
{
    lsi_key *key;

    assert_int_equal(lsi_key_new(&key), LS_OK);
    assert_int_equal(from_hex(hex, lsi_key_bytes(key)), LSI_KEY_BYTES);
    return key;
}

static lsi_cipher *cipher_new(void)
{
    lsi_cipher *cipher;

    assert_int_equal(lsi_cipher_open(&lsi_memory_libc, &cipher), LS_OK);
    return cipher;
}

typedef struct vector {
    const char *key, *nonce, *bound, *plain, *sealed, *tag;
} vector;

static const vector vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void vectors_of_nist_come_out(void **state)
{
    (void)state;
    SKIP_UNLESS_BUILT();
    lsi_cipher *cipher = cipher_new(); /* One for all: a context that was used is as good as a new one. */
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        unsigned char nonce[LSI_NONCE_BYTES], bound[64], plain[64], wanted[64], wanted_tag[16], sealed[64], tag[16];
        lsi_key *key = key_of(vectors[i].key);
        size_t bound_bytes = from_hex(vectors[i].bound, bound), size = from_hex(vectors[i].plain, plain);
        bool is_right = false;

        assert_int_equal(from_hex(vectors[i].nonce, nonce), sizeof nonce);
        assert_int_equal(from_hex(vectors[i].sealed, wanted), size);
        from_hex(vectors[i].tag, wanted_tag);
        assert_int_equal(lsi_cipher_seal(cipher, key, nonce, bound, bound_bytes, plain, size, sealed, tag), LS_OK);
        assert_memory_equal(sealed, wanted, size);
        assert_memory_equal(tag, wanted_tag, sizeof tag);
        assert_int_equal(lsi_cipher_unseal(cipher, key, nonce, bound, bound_bytes, sealed, size, sealed, tag,
                                           &is_right),
                         LS_OK);
        assert_true(is_right);
        assert_memory_equal(sealed, plain, size);
        lsi_key_free(key);
    }
    lsi_cipher_close(cipher);
}

/* Every bit of everything that goes in counts, and nothing of what failed is left to be looked at. */
static void nothing_opens_that_is_not_as_it_was_sealed(void **state)
{
    unsigned char parts[5][LSI_KEY_BYTES] = {{1}, {2}, {3}, {4}, {5}}; /* key, nonce, bound, sealed, tag */
    const size_t sizes[5] = {LSI_KEY_BYTES, LSI_NONCE_BYTES, 17, 24, LSI_TAG_BYTES};
    unsigned char out[24], zeros[24] = {0}, plain[24] = "what nobody is to see";
    lsi_key *key;

    (void)state;
    SKIP_UNLESS_BUILT();
    lsi_cipher *cipher = cipher_new();
    assert_int_equal(lsi_key_new(&key), LS_OK);
    memcpy(lsi_key_bytes(key), parts[0], LSI_KEY_BYTES);
    assert_int_equal(lsi_cipher_seal(cipher, key, parts[1], parts[2], 17, plain, 24, parts[3], parts[4]), LS_OK);
    for (size_t part = 0; part < 5; part++)
        for (size_t bit = 0; bit <= sizes[part] * 8; bit++) { /* The last turn: as it was. */
            bool is_right, is_changed = bit < sizes[part] * 8;

            if (is_changed)
                parts[part][bit / 8] ^= (unsigned char)(1u << bit % 8);
            memcpy(lsi_key_bytes(key), parts[0], LSI_KEY_BYTES);
            assert_int_equal(lsi_cipher_unseal(cipher, key, parts[1], parts[2], 17, parts[3], 24, out, parts[4],
                                               &is_right), LS_OK);
            assert_int_equal(is_right, !is_changed);
            assert_memory_equal(out, is_changed ? zeros : plain, sizeof out);
            if (is_changed)
                parts[part][bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    lsi_key_free(key);
    lsi_cipher_close(cipher);
}

/* The vectors of RFC 5869 have keys of other lengths: these were made by an implementation in terms of HMAC alone,
 * which gives the RFC's. Salt and info are those of its second case, cut. */
/* More than libcrypto takes at once is refused before it is looked at, and nothing is said to be right. */
static void what_libcrypto_cannot_count_is_refused(void **state)
{
    const size_t too_many = (size_t)INT_MAX + 1;
    unsigned char nonce[LSI_NONCE_BYTES] = {0}, bytes[64], zeros[64] = {0}, tag[LSI_TAG_BYTES];
    lsi_cipher *cipher;
    bool is_right = true;
    lsi_key *key;

    (void)state;
    SKIP_UNLESS_BUILT();
    cipher = cipher_new();
    assert_int_equal(lsi_key_new(&key), LS_OK);
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(lsi_crypto_random(bytes, too_many), LS_ERR_NO_MEMORY);
    assert_int_equal(lsi_cipher_seal(cipher, key, nonce, bytes, too_many, bytes, sizeof bytes, bytes, tag),
                     LS_ERR_NO_MEMORY);
    assert_int_equal(lsi_cipher_seal(cipher, key, nonce, bytes, sizeof bytes, bytes, too_many, bytes, tag),
                     LS_ERR_NO_MEMORY);
    assert_int_equal(bytes[0], 'x');
    assert_int_equal(lsi_cipher_unseal(cipher, key, nonce, bytes, too_many, bytes, sizeof bytes, bytes, tag, &is_right),
                     LS_ERR_NO_MEMORY);
    assert_false(is_right);
    assert_memory_equal(bytes, zeros, sizeof bytes);
    lsi_key_free(key);
    lsi_cipher_close(cipher);
}

static void keys_are_derived_as_rfc_5869_says(void **state)
{
    unsigned char salt[32], info[20], wanted[42], mark[42];
    lsi_key *key, *derived;

    (void)state;
    SKIP_UNLESS_BUILT();
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (unsigned char)(0x60 + i);
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (unsigned char)(0xb0 + i);
    key = key_of("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    from_hex("85c46f6e9afbc55c4ad90b48016acef49494c2ddc52af918250aff1641435a24a5a8f56ae17c5fe4ff34", wanted);
    assert_int_equal(lsi_key_derive(key, salt, sizeof salt, info, sizeof info, &derived), LS_OK);
    assert_memory_equal(lsi_key_bytes(derived), wanted, LSI_KEY_BYTES);
    assert_int_equal(lsi_key_mark(key, salt, sizeof salt, info, sizeof info, mark, sizeof mark), LS_OK);
    assert_memory_equal(mark, wanted, sizeof mark);
    lsi_key_free(derived);
    lsi_key_free(key);
}

static void random_bytes_are_drawn(void **state)
{
    unsigned char a[32] = {0}, b[32] = {0};

    (void)state;
    SKIP_UNLESS_BUILT();
    assert_int_equal(lsi_crypto_random(a, sizeof a), LS_OK);
    assert_int_equal(lsi_crypto_random(b, sizeof b), LS_OK);
    assert_memory_not_equal(a, b, sizeof a);
}

/* ---- X5: where a key is ---- */

/* The flags of the mapping that `at` lies in, as the kernel names them. */
static void mapping_flags(const void *at, char flags[256])
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false;

    assert_non_null(maps);
    flags[0] = '\0';
    while (fgets(line, sizeof line, maps) != NULL) {
        uint64_t from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)at >= from && (uintptr_t)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(flags, 256, "%.255s", line);
    }
    (void)fclose(maps);
}

/* Whether what a mapping was advised can be seen at all. */
static bool has_advice_shown(void)
{
    char flags[256];
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(madvise(page, 4096, MADV_DONTDUMP), 0);
    mapping_flags(page, flags);
    (void)munmap(page, 4096);
    return strstr(flags, " dd ") != NULL;
}

static void a_key_is_in_no_dump_and_in_no_fork_child(void **state)
{
    char flags[256];
    lsi_key *key;
    int status;

    (void)state;
    SKIP_UNLESS_BUILT();
    SKIP_UNLESS(has_advice_shown);
    lsi_cipher *cipher = cipher_new();
    assert_int_equal(lsi_key_new(&key), LS_OK);
    memset(lsi_key_bytes(key), 7, LSI_KEY_BYTES);
    mapping_flags(key, flags);
    assert_non_null(strstr(flags, " dd "));
    assert_non_null(strstr(flags, " wf "));

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unsigned char nonce[LSI_NONCE_BYTES] = {0}, bytes[8] = {0}, tag[LSI_TAG_BYTES], zeros[LSI_KEY_BYTES] = {0};
        lsi_key *derived = NULL;
        bool is_right;
        bool ok = memcmp(lsi_key_bytes(key), zeros, sizeof zeros) == 0;
        ok = ok && lsi_cipher_seal(cipher, key, nonce, NULL, 0, bytes, 8, bytes, tag) == LS_ERR_STATE;
        ok = ok && lsi_cipher_unseal(cipher, key, nonce, NULL, 0, bytes, 8, bytes, tag, &is_right) == LS_ERR_STATE;
        ok = ok && lsi_key_derive(key, "", 0, "", 0, &derived) == LS_ERR_STATE && derived == NULL;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    lsi_key_free(key);
    lsi_cipher_close(cipher);
}

/* How often the 16 bytes at `what` occur in what this process can write to. `buffer` is not looked at. */
static unsigned count_in_memory(const unsigned char *what, unsigned char *buffer, size_t buffer_bytes)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512];
    unsigned count = 0;

    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        uint64_t from, to;
        char mode[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' || mode[1] != 'w' ||
            to - from > UINT64_C(1) << 28 || ((uintptr_t)buffer >= from && (uintptr_t)buffer < to))
            continue;
        for (uint64_t at = from; at + 16 <= to; at += buffer_bytes - 16) {
            size_t size = to - at < buffer_bytes ? (size_t)(to - at) : buffer_bytes;
            ssize_t got = pread(memory, buffer, size, (off_t)at);

            for (ssize_t i = 0; i + 16 <= got; i++)
                if (buffer[i] == what[0] && memcmp(buffer + i, what, 16) == 0)
                    count++;
        }
    }
    (void)close(memory);
    (void)fclose(maps);
    return count;
}

/* Goal: the key and what is derived from it are nowhere but in their pages, not in libcrypto's contexts either (whose
 * schedule begins with the key), and not even there once they are freed. Method: look through all memory. */
static void a_key_is_nowhere_but_in_its_page(void **state)
{
    const size_t buffer_bytes = (size_t)1 << 20;
    unsigned char nonce[LSI_NONCE_BYTES] = {0}, bytes[64] = {0}, tag[LSI_TAG_BYTES];
    lsi_key *key, *derived;
    bool is_right;

    (void)state;
    SKIP_UNLESS_BUILT();
    unsigned char *buffer = mmap(NULL, 3 * buffer_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(buffer, MAP_FAILED);
    /* Mappings beside each other are one line: the buffer's must not be the key's. */
    assert_int_equal(mprotect(buffer, buffer_bytes, PROT_NONE), 0);
    assert_int_equal(mprotect(buffer + 2 * buffer_bytes, buffer_bytes, PROT_NONE), 0);
    lsi_cipher *cipher = cipher_new();
    assert_int_equal(lsi_key_new(&key), LS_OK);
    /* As the application would: libcrypto's own generator may keep the end of what it gave. */
    assert_int_equal(getrandom(lsi_key_bytes(key), LSI_KEY_BYTES, 0), LSI_KEY_BYTES);
    assert_int_equal(lsi_key_derive(key, "salt", 4, "info", 4, &derived), LS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lsi_cipher_seal(cipher, key, nonce, "", 0, bytes, sizeof bytes, bytes, tag), LS_OK);
        assert_int_equal(lsi_cipher_unseal(cipher, key, nonce, "", 0, bytes, sizeof bytes, bytes, tag, &is_right),
                         LS_OK);
        assert_int_equal(lsi_cipher_seal(cipher, derived, nonce, "", 0, bytes, sizeof bytes, bytes, tag), LS_OK);
    }
    assert_int_equal(count_in_memory(lsi_key_bytes(key), buffer + buffer_bytes, buffer_bytes), 1);
    assert_int_equal(count_in_memory(lsi_key_bytes(key) + 16, buffer + buffer_bytes, buffer_bytes), 1);
    assert_int_equal(count_in_memory(lsi_key_bytes(derived), buffer + buffer_bytes, buffer_bytes), 1);
    lsi_key_free(derived);
    lsi_key_free(key);
    lsi_cipher_close(cipher);
    (void)munmap(buffer, 3 * buffer_bytes);
}

/* ---- without libcrypto ---- */

static void without_libcrypto_every_call_says_so(void **state)
{
    unsigned char bytes[LSI_KEY_BYTES] = {0};
    lsi_cipher *cipher = NULL;
    lsi_key *key, *derived;

    (void)state;
    if (lsi_crypto_is_built())
        skip();
    assert_int_equal(lsi_key_new(&key), LS_OK);
    assert_int_equal(lsi_cipher_open(&lsi_memory_libc, &cipher), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_cipher_seal(cipher, key, bytes, NULL, 0, bytes, 8, bytes, bytes), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_cipher_unseal(cipher, key, bytes, NULL, 0, bytes, 8, bytes, bytes, NULL), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_key_derive(key, NULL, 0, NULL, 0, &derived), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_key_mark(key, NULL, 0, NULL, 0, bytes, sizeof bytes), LS_ERR_UNSUPPORTED);
    assert_int_equal(lsi_crypto_random(bytes, sizeof bytes), LS_ERR_UNSUPPORTED);
    assert_non_null(strstr(ls_last_error_message(), "without encryption"));
    lsi_cipher_close(cipher);
    lsi_key_free(key);
}

int main(void)
{
    const struct CMUnitTest sealing[] = {
        cmocka_unit_test(vectors_of_nist_come_out),
        cmocka_unit_test(nothing_opens_that_is_not_as_it_was_sealed),
        cmocka_unit_test(what_libcrypto_cannot_count_is_refused),
        cmocka_unit_test(keys_are_derived_as_rfc_5869_says),
        cmocka_unit_test(random_bytes_are_drawn),
    };
    const struct CMUnitTest keys[] = {
        cmocka_unit_test(a_key_is_in_no_dump_and_in_no_fork_child),
        cmocka_unit_test(a_key_is_nowhere_but_in_its_page),
        cmocka_unit_test(without_libcrypto_every_call_says_so),
    };

    return cmocka_run_group_tests_name("sealing", sealing, NULL, NULL) +
           cmocka_run_group_tests_name("keys", keys, NULL, NULL);
}
