/* Signs random requests, for signatures.py: a line of JSON for each, of what was signed and what came of it.
 *
 *     sign_random SEED COUNT */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sigv4.h"

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}

/* One to `most` of these, behind what `out` has. */
static void add_some(char *out, const char *const *of, size_t count, uint64_t most)
{
    for (uint64_t n = 1 + random_below(most); n > 0; n--)
        strcat(out, of[random_below(count)]);
}

int main(int argc, char **argv)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE"};
    static const char *const steps[] = {"a", "B", "-._~", "%20", "%3D", "%2A", "%C3%BC", "/", "%25", "=",
                                        "0", "*", "+"};
    static const char *const words[] = {"x", "Y", "%2F", "%20", "0", "-", "_", "%C3%A4"};
    static const char *const values[] = {"v", " ", "  ", "\t", ",", ";", ":", "\"q  q\"", "A", "%"};
    static const char *const names[] = {"X-Amz-Meta-A", "x-amz-meta-b", "If-None-Match", "Content-Type", "X-Amz-Zz",
                                        "range"};

    if (argc != 3)
        return 2;
    seed = strtoull(argv[1], NULL, 10);
    for (unsigned long left = strtoul(argv[2], NULL, 10); left > 0; left--) {
        char path[512] = "/", query[512] = "", text[8][64] = {""}, time[LSI_SIGV4_TIME_BYTES], *authorization;
        char hash[LSI_SIGV4_HASH_BYTES];
        lsi_sigv4_header headers[9] = {{"Host", "bucket.example:9000"}, {"x-amz-date", time},
                                       {"X-Amz-Content-SHA256", hash}};
        lsi_sigv4_key key = {"AKID", "secret/+", random_below(2) ? "us-east-1" : "eu-west-3", "s3"};
        lsi_sigv4_request request = {methods[random_below(4)], path, query, headers, 3, hash};
        lsi_json_writer to;

        add_some(path, steps, sizeof steps / sizeof steps[0], 20);
        for (uint64_t pairs = random_below(5); pairs > 0; pairs--) {
            add_some(query, words, sizeof words / sizeof words[0], 3);
            strcat(query, "=");
            if (random_below(3) != 0)
                add_some(query, words, sizeof words / sizeof words[0], 3);
            strcat(query, pairs > 1 ? "&" : "");
        }
        for (size_t i = 0, first = random_below(6), count = random_below(6); i < count; i++) {
            strcat(text[i], "w");
            add_some(text[i], values, sizeof values / sizeof values[0], 8);
            headers[request.header_count++] = (lsi_sigv4_header){names[(first + i) % 6], text[i]};
        }
        lsi_sigv4_time((int64_t)random_below(UINT64_C(4000000000000000)), time);
        if (lsi_sigv4_hash(path, strlen(path), hash) != 0 ||
            lsi_sigv4_sign(&lsi_memory_libc, &key, time, &request, &authorization) != 0)
            return 1;
        lsi_json_begin(&to, &lsi_memory_libc);
        lsi_json_array_open(&to);
        lsi_json_string(&to, request.method);
        lsi_json_string(&to, path);
        lsi_json_string(&to, query);
        lsi_json_string(&to, key.region);
        lsi_json_string(&to, time);
        lsi_json_string(&to, authorization);
        lsi_json_array_open(&to);
        for (size_t i = 0; i < request.header_count; i++) {
            lsi_json_array_open(&to);
            lsi_json_string(&to, headers[i].name);
            lsi_json_string(&to, headers[i].value);
            lsi_json_array_close(&to);
        }
        lsi_json_array_close(&to);
        lsi_json_array_close(&to);
        puts(to.text);
        lsi_json_free(&to);
        lsi_free(&lsi_memory_libc, authorization);
    }
    return 0;
}
