/* The error output: lines that parse, have the service's members in its order, and hold the original. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "deliver/failed.h"

static const lsi_failed example = {
    .attempts_made = 4,
    .arrival_us = INT64_C(1506035354675999),
    .code = LSI_FAILED_FUNCTION,
    .message = "it said \"no\"\n",
    .ended_us = INT64_C(1506035356680000),
    .raw = {"{}\xff", 3},
    .lambda_arn = "arn:aws:lambda:us-east-1:1:function:f",
};

static void a_line_is_as_the_service_writes_it(void **state)
{
    lsi_failed failed = example;
    lsi_json_writer to;

    (void)state;
    lsi_json_begin(&to, &lsi_memory_libc);
    lsi_failed_write(&to, &failed);
    assert_string_equal(to.text, "{\"attemptsMade\":4,\"arrivalTimestamp\":1506035354675,"
                                 "\"errorCode\":\"Lambda.FunctionError\",\"errorMessage\":\"it said \\\"no\\\"\\n\","
                                 "\"attemptEndingTimestamp\":1506035356680,\"rawData\":\"e33/\","
                                 "\"lambdaArn\":\"arn:aws:lambda:us-east-1:1:function:f\"}\n");
    failed.lambda_arn = NULL;
    failed.arrival_us = -1;
    lsi_failed_write(&to, &failed);
    assert_string_equal(strchr(to.text, '\n') + 1,
                        "{\"attemptsMade\":4,\"arrivalTimestamp\":-1,"
                        "\"errorCode\":\"Lambda.FunctionError\",\"errorMessage\":\"it said \\\"no\\\"\\n\","
                        "\"attemptEndingTimestamp\":1506035356680,\"rawData\":\"e33/\"}\n");
    lsi_json_free(&to);
}

/* Trap 13: the original data. All byte values, and a message that is no UTF-8. */
static void the_original_comes_back(void **state)
{
    unsigned char raw[256], back[256 + 2];
    lsi_failed failed = example;
    lsi_json_writer to;
    size_t size, bytes;
    char *text;

    (void)state;
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)i;
    failed.message = "\xff\x01";
    for (size_t length = 0; length <= sizeof raw; length++) {
        failed.raw = (ls_bytes){length == 0 ? NULL : raw, length};
        lsi_json_begin(&to, &lsi_memory_libc);
        lsi_failed_write(&to, &failed);
        assert_int_equal(lsi_json_member(&lsi_memory_libc, to.text, to.size, "rawData", &text, &size), 0);
        assert_true(lsi_base64_decode(text, size, back, &bytes));
        assert_int_equal(bytes, length);
        assert_memory_equal(back, raw, length);
        lsi_free(&lsi_memory_libc, text);
        lsi_json_free(&to);
    }
}

int main(void)
{
    const struct CMUnitTest failed[] = {
        cmocka_unit_test(a_line_is_as_the_service_writes_it),
        cmocka_unit_test(the_original_comes_back),
    };

    return cmocka_run_group_tests_name("error output", failed, NULL, NULL);
}
