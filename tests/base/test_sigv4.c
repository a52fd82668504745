/* base/sigv4.h: the vector of spec/kinesis-api.md, section 16, and that what was signed is right and nothing else is.
 * Random requests are compared with another's signer by signatures.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/sigv4.h"
#include "support/sim_memory.h"

#define SKIP_UNLESS_BUILT()          \
    do {                             \
        if (!lsi_crypto_is_built())  \
            skip();                  \
    } while (0)

#define TIME "20260101T000000Z"

static const lsi_sigv4_key key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "kinesis"};
static lsi_sigv4_header headers[] = {
    {"Content-Type", "application/x-amz-json-1.1"},
    {"Host", "localhost:4567"},
    {"X-Amz-Date", TIME},
    {"X-Amz-Target", "Kinesis_20131202.ListStreams"},
};
#define BRACES_HASH "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" /* of {} */
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of nothing */
static const lsi_sigv4_request example = {"POST", "/", "", headers, 4, BRACES_HASH};

static char *sign(const lsi_sigv4_request *request)
{
    char *authorization = NULL;

    assert_int_equal(lsi_sigv4_sign(&lsi_memory_libc, &key, TIME, request, &authorization), LS_OK);
    return authorization;
}

static void the_vector_is_signed_as_documented(void **state)
{
    char hash[LSI_SIGV4_HASH_BYTES];
    char *authorization;

    (void)state;
    SKIP_UNLESS_BUILT();
    assert_int_equal(lsi_sigv4_hash("{}", 2, hash), LS_OK);
    assert_string_equal(hash, BRACES_HASH);
    authorization = sign(&example);
    assert_string_equal(authorization,
                        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/kinesis/aws4_request, "
                        "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
                        "Signature=c0cc7f7220d165d2e64ef9a74084633d6b02da26f179527123fe3c955bcfcf4c");
    lsi_free(&lsi_memory_libc, authorization);
}

/* Amazon's own vectors, by their names: of one header more than once, of sorted parameters; and one without a value. */
static void what_comes_twice_or_without_a_value_is_signed_as_documented(void **state)
{
    static const lsi_sigv4_key vector_key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1",
                                             "service"};
    static const lsi_sigv4_header sent[] = {
        {"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}, {"My-Header1", "value2"},
        {"My-Header1", "value2"}, {"My-Header1", "value1"}};
    static const struct { const char *query; size_t headers; const char *signature; } vectors[] = {
        {"", 2, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"}, /* get-vanilla */
        {"", 5, "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"}, /* get-header-key-duplicate */
        {"Param2=value2&Param1=value1", 2, /* get-vanilla-query-order-key-case */
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"aa=1&a=2", 2, "4d8fbfeaf024bf2963336d89384ac9ce87997bcedcf82ceefb62f07246a413a3"}, /* by names first */
        {"Param2=value2&Param1", 2, "455d311c877eecf9044f66f3cea48f9018ad7a0351a1d1bdc6bb5a8061e83d0a"},
    };

    (void)state;
    SKIP_UNLESS_BUILT();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        lsi_sigv4_request request = {"GET", "/", vectors[i].query, sent, vectors[i].headers, EMPTY_HASH};
        char *authorization = NULL;
        lsi_sigv4_claim claim;
        bool is_right;

        assert_int_equal(lsi_sigv4_sign(&lsi_memory_libc, &vector_key, "20150830T123600Z", &request, &authorization),
                         LS_OK);
        assert_true(lsi_sigv4_claim_read(authorization, &claim));
        assert_memory_equal(claim.signature.data, vectors[i].signature, LSI_SIGV4_HASH_BYTES - 1);
        /* Its host stands first of the names. */
        assert_int_equal(lsi_sigv4_verify(&lsi_memory_libc, &claim, vector_key.secret, "20150830T123600Z", &request,
                                          &is_right), LS_OK);
        assert_true(is_right);
        lsi_free(&lsi_memory_libc, authorization);
    }
}

static void digests_are_those_of_their_documents(void **state)
{
    static const char sum_of_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; /* FIPS 180 */
    unsigned char mac[LSI_SHA256_BYTES] = {0x4a, 0x65, 0x66, 0x65};                                     /* Jefe */
    static const unsigned char wanted[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e}; /* RFC 4231, 4.3 */
    char hash[LSI_SIGV4_HASH_BYTES];

    (void)state;
    SKIP_UNLESS_BUILT();
    assert_int_equal(lsi_sigv4_hash("abc", 3, hash), LS_OK);
    assert_string_equal(hash, sum_of_abc);
    assert_int_equal(lsi_sigv4_hash(NULL, 0, hash), LS_OK);
    assert_memory_equal(hash, "e3b0c44298fc1c14", 16);
    assert_int_equal(lsi_hmac_sha256(mac, 4, "what do ya want for nothing?", 28, mac), LS_OK);
    assert_memory_equal(mac, wanted, sizeof wanted);
}

static void times_are_basic_iso(void **state)
{
    char text[LSI_SIGV4_TIME_BYTES];

    (void)state;
    lsi_sigv4_time(INT64_C(1767225600999999), text);
    assert_string_equal(text, TIME);
    lsi_sigv4_time(INT64_C(1565382027000000), text);
    assert_string_equal(text, "20190809T202027Z");
}

/* The same request, said otherwise. */
static void what_is_not_signed_does_not_matter(void **state)
{
    lsi_sigv4_header shuffled[] = {
        {"x-AMZ-target", "  Kinesis_20131202.ListStreams "},
        {"x-amz-date", TIME "\t"},
        {"content-type", "application/x-amz-json-1.1"},
        {"HOST", "localhost:4567"},
    };
    lsi_sigv4_request other = example;
    char *one, *same;

    (void)state;
    SKIP_UNLESS_BUILT();
    other.headers = shuffled;
    other.path = "";
    other.query = NULL;
    one = sign(&example);
    same = sign(&other);
    assert_string_equal(one, same);
    lsi_free(&lsi_memory_libc, one);
    lsi_free(&lsi_memory_libc, same);
    other.query = "b=2&a=2&a=1&c&aa=%20&";
    one = sign(&other);
    other.query = "&a=1&a=2&aa=%20&b=2&c=";
    same = sign(&other);
    assert_string_equal(one, same);
    lsi_free(&lsi_memory_libc, one);
    lsi_free(&lsi_memory_libc, same);
}

static bool is_right(const char *authorization, const char *secret, const char *time, const lsi_sigv4_request *request)
{
    lsi_sigv4_claim claim;
    bool right = true;

    assert_true(lsi_sigv4_claim_read(authorization, &claim));
    assert_int_equal(lsi_sigv4_verify(&lsi_memory_libc, &claim, secret, time, request, &right), LS_OK);
    return right;
}

/* Each thing that is signed is changed, alone. */
static void only_what_was_signed_is_right(void **state)
{
    lsi_sigv4_header more[6];
    lsi_sigv4_request other = example;
    char *authorization;
    size_t signature;

    (void)state;
    SKIP_UNLESS_BUILT();
    authorization = sign(&example);
    assert_true(is_right(authorization, key.secret, TIME, &example));
    assert_false(is_right(authorization, "another", TIME, &example));
    assert_false(is_right(authorization, key.secret, "20260101T000001Z", &example));
    assert_false(is_right(authorization, key.secret, "20260102T000000Z", &example));
    assert_false(is_right(authorization, key.secret, "20260101", &example));
    other.method = "GET";
    assert_false(is_right(authorization, key.secret, TIME, &other));
    other = example;
    other.path = "/x";
    assert_false(is_right(authorization, key.secret, TIME, &other));
    other = example;
    other.query = "a";
    assert_false(is_right(authorization, key.secret, TIME, &other));
    other = example;
    other.payload_hash = LSI_SIGV4_UNSIGNED;
    assert_false(is_right(authorization, key.secret, TIME, &other));
    memcpy(more, headers, sizeof headers);
    more[4] = (lsi_sigv4_header){"User-Agent", "any"}; /* was not signed: may be there */
    other = example;
    other.headers = more;
    other.header_count = 5;
    assert_true(is_right(authorization, key.secret, TIME, &other));
    more[4] = (lsi_sigv4_header){"Cost", "any"}; /* nor was this, which ends as another one does */
    assert_true(is_right(authorization, key.secret, TIME, &other));
    more[5] = (lsi_sigv4_header){"host", "elsewhere"}; /* was signed once */
    other.header_count = 6;
    assert_false(is_right(authorization, key.secret, TIME, &other));
    other.header_count = 3; /* x-amz-target is gone */
    assert_false(is_right(authorization, key.secret, TIME, &other));
    other.header_count = 5;
    more[0].value = "text/plain";
    assert_false(is_right(authorization, key.secret, TIME, &other));
    signature = strlen(authorization) - (LSI_SIGV4_HASH_BYTES - 1); /* stands last */
    for (size_t i = signature; authorization[i] != '\0'; i++) {
        char before = authorization[i];

        authorization[i] = before == '0' ? '1' : '0';
        assert_false(is_right(authorization, key.secret, TIME, &example));
        authorization[i] = before;
    }
    assert_true(is_right(authorization, key.secret, TIME, &example));
    lsi_free(&lsi_memory_libc, authorization);
}

static void without_the_host_nothing_is_right(void **state)
{
    lsi_sigv4_request other = example;
    char *authorization;

    (void)state;
    SKIP_UNLESS_BUILT();
    other.headers = headers + 2;
    other.header_count = 2;
    authorization = sign(&other);
    assert_false(is_right(authorization, key.secret, TIME, &other));
    lsi_free(&lsi_memory_libc, authorization);
}

static void what_is_no_claim_is_refused(void **state)
{
    static const char good[] = "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws4_request,SignedHeaders=host,"
                               "Signature=c0cc7f7220d165d2e64ef9a74084633d6b02da26f179527123fe3c955bcfcf4c";
    static const char *const bad[] = {
        "", "AWS4-HMAC-SHA256", "Bearer x",
        "AWS4-HMAC-SHA256 Credential=A/2026010/r/s/aws4_request, SignedHeaders=host, Signature=",
        "AWS4-HMAC-SHA256 Credential=/20260101/r/s/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws4_requests,SignedHeaders=host,"
        "Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws3_request, SignedHeaders=host, Signature=00",
        "Credential=A/20260101/r/s/aws4_request,SignedHeaders=host,"
        "Signature=c0cc7f7220d165d2e64ef9a74084633d6b02da26f179527123fe3c955bcfcf4c",
        "AWS4-HMAC-SHA256 A/20260101/r/s/aws4_request,SignedHeaders=host,"
        "Signature=c0cc7f7220d165d2e64ef9a74084633d6b02da26f179527123fe3c955bcfcf4c",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=A/20260101/r/s/aws4_request, Signature=00",
    };
    lsi_sigv4_claim claim;

    (void)state;
    assert_true(lsi_sigv4_claim_read(good, &claim));
    assert_int_equal(claim.key_id.size, 1);
    assert_memory_equal(claim.key_id.data, "A", 1);
    assert_int_equal(claim.region.size, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(lsi_sigv4_claim_read(bad[i], &claim));
    for (size_t size = 0; size < sizeof good - 1; size++) { /* cut anywhere */
        char cut[sizeof good];

        memcpy(cut, good, size);
        cut[size] = '\0';
        assert_false(lsi_sigv4_claim_read(cut, &claim));
    }
}

static void long_secrets_and_no_memory_are_errors(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    lsi_sigv4_key other = key;
    lsi_sigv4_request request = example;
    char secret[300], *authorization = NULL;
    lsi_sigv4_claim claim;
    bool right;
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    SKIP_UNLESS_BUILT();
    request.query = "b&a";
    memset(secret, 's', sizeof secret - 1);
    secret[sizeof secret - 1] = '\0';
    other.secret = secret;
    assert_int_equal(lsi_sigv4_sign(&lsi_memory_libc, &other, TIME, &request, &authorization),
                     LS_ERR_INVALID_ARGUMENT);
    secret[252] = '\0';
    assert_int_equal(lsi_sigv4_sign(&lsi_memory_libc, &other, TIME, &request, &authorization),
                     LS_ERR_INVALID_ARGUMENT);
    secret[251] = '\0'; /* the longest */
    assert_int_equal(lsi_sigv4_sign(&lsi_memory_libc, &other, TIME, &request, &authorization), LS_OK);
    lsi_free(&lsi_memory_libc, authorization);
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_sigv4_sign(&table, &key, TIME, &request, &authorization);
        assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && memory.live == 0));
        assert_true(nth < 200);
    }
    assert_true(lsi_sigv4_claim_read(authorization, &claim));
    st = LS_ERR_NO_MEMORY;
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_sigv4_verify(&table, &claim, key.secret, TIME, &request, &right);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        assert_true(nth < 200);
    }
    assert_true(right);
    sim_memory_fail(&memory, 0, false);
    lsi_free(&table, authorization);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest sigv4[] = {
        cmocka_unit_test(the_vector_is_signed_as_documented),
        cmocka_unit_test(what_comes_twice_or_without_a_value_is_signed_as_documented),
        cmocka_unit_test(digests_are_those_of_their_documents),
        cmocka_unit_test(times_are_basic_iso),
        cmocka_unit_test(what_is_not_signed_does_not_matter),
        cmocka_unit_test(only_what_was_signed_is_right),
        cmocka_unit_test(without_the_host_nothing_is_right),
        cmocka_unit_test(what_is_no_claim_is_refused),
        cmocka_unit_test(long_secrets_and_no_memory_are_errors),
    };

    return cmocka_run_group_tests_name("sigv4", sigv4, NULL, NULL);
}
