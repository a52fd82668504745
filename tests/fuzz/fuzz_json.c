/* JSON: any bytes end in a status; events are balanced and no deeper than promised; what was read, written again and
 * read once more gives the same events. */
#include "fuzz/fuzz.h"

#include "base/hash.h"
#include "base/json.h"

#define DEPTH_MAX 64u

typedef struct seen {
    uint64_t hash;
    unsigned depth;
    bool is_odd; /* a key holds a zero byte, which the writer does not take */
    lsi_json_writer *to; /* NULL: only look */
} seen;

static bool event(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    seen *so_far = user;
    char key[1024];

    if (kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE) {
        FUZZ_REQUIRE(so_far->depth > 0);
        so_far->depth--;
    }
    FUZZ_REQUIRE(depth == so_far->depth && depth <= DEPTH_MAX); /* how many are open around it */
    if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN)
        so_far->depth++;
    if (kind == LSI_JSON_NUMBER) /* is written as text */
        kind = LSI_JSON_STRING;
    so_far->hash = lsi_sum64(&kind, sizeof kind, so_far->hash);
    if (kind == LSI_JSON_STRING || kind == LSI_JSON_KEY || kind == LSI_JSON_BOOL)
        so_far->hash = lsi_sum64(text, size, so_far->hash);
    if (kind == LSI_JSON_KEY && (size >= sizeof key || memchr(text, 0, size) != NULL))
        so_far->is_odd = true;
    if (so_far->to == NULL || so_far->is_odd)
        return true;
    switch (kind) {
    case LSI_JSON_NULL: lsi_json_null(so_far->to); break;
    case LSI_JSON_BOOL: lsi_json_bool(so_far->to, size == 4); break;
    case LSI_JSON_NUMBER:
    case LSI_JSON_STRING: lsi_json_string_sized(so_far->to, text, size); break;
    case LSI_JSON_KEY:
        memcpy(key, text, size);
        key[size] = '\0';
        lsi_json_key(so_far->to, key);
        break;
    case LSI_JSON_OBJECT_OPEN: lsi_json_object_open(so_far->to); break;
    case LSI_JSON_OBJECT_CLOSE: lsi_json_object_close(so_far->to); break;
    case LSI_JSON_ARRAY_OPEN: lsi_json_array_open(so_far->to); break;
    case LSI_JSON_ARRAY_CLOSE: lsi_json_array_close(so_far->to); break;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = fuzz_copy(data, size);
    lsi_json_writer to;
    seen first = {.to = &to}, second = {0};
    char *value;
    size_t value_size;
    ls_status st;

    lsi_json_begin(&to, &lsi_memory_libc);
    st = lsi_json_parse(&lsi_memory_libc, bytes, size, event, &first);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_INVALID_ARGUMENT || st == LS_ERR_UNSUPPORTED);
    if (st == LS_OK) {
        FUZZ_REQUIRE(first.depth == 0);
        if (!first.is_odd) {
            FUZZ_REQUIRE(!to.failed);
            FUZZ_REQUIRE(lsi_json_parse(&lsi_memory_libc, to.text, to.size, event, &second) == LS_OK);
            FUZZ_REQUIRE(first.hash == second.hash);
        }
    }
    lsi_json_free(&to);
    st = lsi_json_member(&lsi_memory_libc, bytes, size, "id", &value, &value_size);
    if (st == LS_OK)
        lsi_free(&lsi_memory_libc, value);
    free(bytes);
    return 0;
}
