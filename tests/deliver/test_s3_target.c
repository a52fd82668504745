/* Requests to S3: where they go, what they say, and settings that are refused. What they are answered is s3.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "deliver/s3_target.h"
#include "support/sim_memory.h"

#define NOW_US INT64_C(1767225600000000)

static const char *const variables[] = {
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
};
static const lsi_s3_options plain = {.bucket = "buck-et", .key_id = "K", .secret = "S"};
static lsi_s3_target target;
static lsi_s3_put put;

static int without_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        (void)unsetenv(variables[i]);
    return 0;
}

/* The url of an object. A view until the next one. */
static const char *url_of(const lsi_s3_options *options, const char *name)
{
    if (lsi_s3_target_init(&target, options) != LS_OK)
        fail_msg("refused: %s", ls_last_error_message());
    assert_int_equal(lsi_s3_put_init(&put, &lsi_memory_libc, &target, name, (ls_bytes){"x", 1}, NOW_US), LS_OK);
    lsi_s3_put_free(&lsi_memory_libc, &put);
    return put.url;
}

static void an_object_has_its_url(void **state)
{
    lsi_s3_options options = plain;

    (void)state;
    assert_string_equal(url_of(&options, "a/b"), "https://buck-et.s3.us-east-1.amazonaws.com/a/b");
    assert_string_equal(target.host, "buck-et.s3.us-east-1.amazonaws.com");
    options.region = "eu-west-3";
    options.is_path_style = true;
    assert_string_equal(url_of(&options, "a"), "https://s3.eu-west-3.amazonaws.com/buck-et/a");
    options.is_path_style = false;
    options.bucket = "a.b.c"; /* No certificate covers more points. */
    assert_string_equal(url_of(&options, "a"), "https://s3.eu-west-3.amazonaws.com/a.b.c/a");
    options.bucket = "abc";
    options.endpoint = "http://[::1]:9000/";
    assert_string_equal(url_of(&options, "a"), "http://[::1]:9000/abc/a");
    assert_string_equal(target.host, "[::1]:9000");
    assert_string_equal(url_of(&options, "a b/\xc3\xbc*=+%/~-._!'()"),
                        "http://[::1]:9000/abc/a%20b/%C3%BC%2A%3D%2B%25/~-._%21%27%28%29");
}

static void the_longest_name_fits(void **state)
{
    lsi_s3_options options = plain;
    char name[LSI_OBJECT_NAME_BYTES], host[LSI_S3_TEXT_MAX + 1] = "https://";

    (void)state;
    memset(name, '*', LSI_OBJECT_NAME_MAX);
    name[LSI_OBJECT_NAME_MAX] = '\0';
    memset(host + 8, 'h', LSI_S3_TEXT_MAX - 8);
    options.endpoint = host;
    assert_int_equal(strlen(url_of(&options, name)), LSI_S3_TEXT_MAX + 1 + 7 + 1 + 3 * LSI_OBJECT_NAME_MAX);
}

static const char *header(const char *name)
{
    for (size_t i = 0; i < put.header_count; i++)
        if (strcmp(put.headers[i].name, name) == 0)
            return put.headers[i].value;
    return "";
}

/* Where a redirect leads, as the URL of an object; NULL: nowhere. */
static const char *object_moved_to(const char *name, const char *location, const char *region)
{
    lsi_s3_target moved;

    (void)lsi_fail(LS_ERR_IO, "the answer");
    if (!lsi_s3_target_redirect(&target, name, location, region, &moved)) {
        assert_string_equal(ls_last_error_message(), "the answer");
        return NULL;
    }
    assert_string_equal(moved.region, region[0] != '\0' ? region : target.region);
    assert_int_equal(lsi_s3_put_init(&put, &lsi_memory_libc, &moved, name, (ls_bytes){"x", 1}, NOW_US), LS_OK);
    lsi_s3_put_free(&lsi_memory_libc, &put);
    return put.url;
}

static const char *moved_to(const char *location, const char *region)
{
    return object_moved_to("a=b", location, region);
}

static void a_redirect_leads_to_the_bucket_or_nowhere(void **state)
{
    static const char *const nowhere[] = {"", "/a=b", "https://buck-et.x", "http://buck-et.x/a=b", "https://else.x/a=b",
        "https://buck-et/a=b", "https://me@buck-et.x/a=b", "ftp://buck-et.x/a", "https:///buck-et/a",
        "https://e.x/buck-etc/a", "https://buck-et.x?y/a",
        "https://buck-et.x/another", "https://e.x/buck-et/a=bc", "https://buck-et.x/a=?b"};
    lsi_s3_options options = plain;
    char longest[LSI_S3_TEXT_MAX + 40];

    (void)state;
    (void)url_of(&options, "a");
    assert_string_equal(moved_to("https://buck-et.s3.eu-west-3.amazonaws.com/a%3D", "eu-west-3"),
                        "https://buck-et.s3.eu-west-3.amazonaws.com/a%3Db");
    assert_string_equal(moved_to("https://s3.other.example:8443/buck-et/a=b", ""),
                        "https://s3.other.example:8443/buck-et/a%3Db");
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        if (moved_to(nowhere[i], "") != NULL)
            fail_msg("followed: %s", nowhere[i]);
    assert_string_equal(moved_to("https://buck-et.x/a%3db?x-id=PutObject", ""), "https://buck-et.x/a%3Db");
    /* Names that begin as a path of the bucket does, and a host that does as one of the bucket's own. */
    assert_string_equal(object_moved_to("buck-et/a", "https://buck-et.x/buck-et/a", ""), "https://buck-et.x/buck-et/a");
    assert_string_equal(object_moved_to("buck-et/a", "https://e.x/buck-et/buck-et/a", ""),
                        "https://e.x/buck-et/buck-et/a");
    assert_string_equal(object_moved_to("a", "https://buck-et.x/buck-et/a", ""), "https://buck-et.x/buck-et/a");
    assert_null(moved_to("https://buck-et.x/a", "no/region"));
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "https://buck-et.", 16);
    longest[sizeof longest - 2] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_null(moved_to(longest, ""));
}

static void a_request_says_what_it_must(void **state)
{
    lsi_s3_options options = plain;

    (void)state;
    options.session_token = "T";
    assert_int_equal(lsi_s3_target_init(&target, &options), LS_OK);
    assert_int_equal(lsi_s3_put_init(&put, &lsi_memory_libc, &target, "n", (ls_bytes){"{}", 2}, NOW_US), LS_OK);
    assert_string_equal(header("Host"), "buck-et.s3.us-east-1.amazonaws.com");
    assert_string_equal(header("If-None-Match"), "*");
    assert_string_equal(header("x-amz-date"), "20260101T000000Z");
    assert_string_equal(header("x-amz-security-token"), "T");
    assert_string_equal(header("x-amz-content-sha256"),
                        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_non_null(strstr(put.authorization, "Credential=K/20260101/us-east-1/s3/aws4_request, SignedHeaders="
                                              "content-type;host;if-none-match;x-amz-content-sha256;x-amz-date;"
                                              "x-amz-security-token, "));
    lsi_s3_put_free(&lsi_memory_libc, &put);
}

static void the_environment_fills_in(void **state)
{
    lsi_s3_options options = {.bucket = "abc", .region = ""};

    (void)state;
    (void)setenv("AWS_ENDPOINT_URL", "http://general", 1);
    (void)setenv("AWS_DEFAULT_REGION", "r-2", 1);
    (void)setenv("AWS_ACCESS_KEY_ID", "EK", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    (void)setenv("AWS_SESSION_TOKEN", "ET", 1);
    assert_string_equal(url_of(&options, "a"), "http://general/abc/a");
    assert_string_equal(target.region, "r-2");
    assert_string_equal(target.key_id, "EK");
    assert_string_equal(target.secret, "ES");
    assert_string_equal(target.token, "ET");
    (void)setenv("AWS_ENDPOINT_URL_S3", "http://special", 1);
    (void)setenv("AWS_REGION", "r-1", 1);
    assert_string_equal(url_of(&options, "a"), "http://special/abc/a");
    assert_string_equal(target.region, "r-1");
    options = plain; /* A key that is given goes with its own secret, and with no token of others. */
    assert_string_equal(url_of(&options, "a"), "http://special/buck-et/a");
    assert_string_equal(target.secret, "S");
    assert_string_equal(target.token, "");
}

static void refusals_name_the_part_and_no_secret(void **state)
{
    char long_text[LSI_S3_TOKEN_MAX + 2];
    const struct {
        lsi_s3_options options;
        const char *said;
    } bad[] = {
        {{.key_id = "K", .secret = "S"}, "bucket ''"},
        {{.bucket = "ab", .key_id = "K", .secret = "S"}, "bucket 'ab': it has 3 to 255"},
        {{.bucket = "a/b", .key_id = "K", .secret = "S"}, "bucket 'a/b'"},
        {{.bucket = "..a", .key_id = "K", .secret = "S"}, "bucket '..a'"},
        {{.bucket = long_text, .key_id = "K", .secret = "S"}, "bucket 'sss"},
        {{.bucket = "abc", .region = "a/b", .key_id = "K", .secret = "S"}, "region 'a/b' is none"},
        {{.bucket = "abc", .region = long_text, .key_id = "K", .secret = "S"}, "the region has 8193 bytes: at most 64"},
        {{.bucket = "abc", .endpoint = "ftp://x", .key_id = "K", .secret = "S"}, "endpoint 'ftp://x': it begins with"},
        {{.bucket = "abc", .endpoint = "localhost", .key_id = "K", .secret = "S"}, "endpoint 'localhost'"},
        {{.bucket = "abc", .endpoint = "http://", .key_id = "K", .secret = "S"}, "endpoint 'http://': it is a host"},
        {{.bucket = "abc", .endpoint = "http://h/p", .key_id = "K", .secret = "S"}, "endpoint 'http://h/p'"},
        {{.bucket = "abc", .endpoint = "http://u@h", .key_id = "K", .secret = "S"}, "endpoint 'http://u@h'"},
        {{.bucket = "abc", .endpoint = "http://h\r\nx", .key_id = "K", .secret = "S"}, "the endpoint has a byte at 1"},
        {{.bucket = "abc"}, "there is no access key: AWS_ACCESS_KEY_ID is not set"},
        {{.bucket = "abc", .key_id = "K"}, "there is an access key, and no secret with it"},
        {{.bucket = "abc", .key_id = "K\n", .secret = "S"}, "the access key has a byte at 1"},
        {{.bucket = "abc", .key_id = "K", .secret = "hidden one"}, "the secret has a byte at 6"},
        {{.bucket = "abc", .key_id = "K", .secret = long_text}, "the secret has 8193 bytes: at most 200"},
        {{.bucket = "abc", .key_id = "K", .secret = "S", .session_token = long_text}, "the session token has 8193"},
    };

    (void)state;
    memset(long_text, 's', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(lsi_s3_target_init(&target, &bad[i].options), LS_ERR_INVALID_ARGUMENT);
        if (strstr(ls_last_error_message(), bad[i].said) == NULL)
            fail_msg("said '%s', not '%s'", ls_last_error_message(), bad[i].said);
        assert_null(strstr(ls_last_error_message(), "hidden"));
    }
}

static void times_of_answers_are_read(void **state)
{
    static const char *const bad[] = {"", "Sun", "Sun, 06 Nov 1994 08:49", "Sun, 06 Nov 1994 08:49:37 +0100",
                                      "Sun, 31 Feb 2026 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
                                      "Sunday, 06-Nov-94 08:49:37 GMT"};
    int64_t us = 0;

    (void)state;
    assert_true(lsi_s3_time_read("Sun, 06 Nov 1994 08:49:37 GMT", &us));
    assert_int_equal(us, INT64_C(784111777000000));
    assert_true(lsi_s3_time_read("Thu, 01 Jan 1970 00:00:00 GMT\r\n", &us));
    assert_int_equal(us, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(lsi_s3_time_read(bad[i], &us));
}

/* Opening walks over no memory; a sink that was never used is closed. */
static void a_sink_opens_and_closes(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_sink *sink = NULL;
    lsi_env env;
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    lsi_env_default(&env);
    env.memory = sim_memory_table(&memory);
    for (uint64_t nth = 1; st == LS_ERR_NO_MEMORY; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_sink_s3_open(&env, &plain, &sink);
        assert_true(st != LS_ERR_NO_MEMORY || memory.live == 0);
    }
    if (st == LS_ERR_UNSUPPORTED)
        skip(); /* There is no libcurl. */
    assert_int_equal(st, LS_OK);
    lsi_sink_close(sink);
    assert_int_equal(memory.live, 0);
    sink = NULL;
    sim_memory_fail(&memory, 0, false);
    assert_int_equal(lsi_sink_s3_open(&env, &(lsi_s3_options){.bucket = "abc"}, &sink), LS_ERR_INVALID_ARGUMENT);
    assert_null(sink);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest s3[] = {
        cmocka_unit_test(an_object_has_its_url),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(a_redirect_leads_to_the_bucket_or_nowhere),
        cmocka_unit_test(a_request_says_what_it_must),
        cmocka_unit_test_setup_teardown(the_environment_fills_in, without_environment, without_environment),
        cmocka_unit_test(refusals_name_the_part_and_no_secret),
        cmocka_unit_test(times_of_answers_are_read),
        cmocka_unit_test(a_sink_opens_and_closes),
    };

    return cmocka_run_group_tests_name("requests to S3", s3, without_environment, NULL);
}
