/* What deliveries read: prefixes, queries, what transforms answer. Any bytes are refused with a reason, or hold what
 * the headers promise.
 *
 * The first byte says which: p a prefix, P one with partition keys, q a query, o an object of queries, r a response.
 * Behind a prefix or a query, up to a zero byte, stands the value of a key or the data. */
#include "fuzz/fuzz.h"

#include "deliver/document.h"
#include "deliver/naming.h"
#include "deliver/query.h"
#include "deliver/sink.h"

/* The text up to the first zero byte, the caller's, and what follows that. */
static char *take_text(const uint8_t *data, size_t size, ls_bytes *rest)
{
    const uint8_t *end = size != 0 ? memchr(data, 0, size) : NULL;
    size_t bytes = end != NULL ? (size_t)(end - data) : size;
    char *text = malloc(bytes + 1);

    FUZZ_REQUIRE(text != NULL);
    if (bytes != 0)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    *rest = end != NULL ? (ls_bytes){end + 1, size - bytes - 1} : (ls_bytes){NULL, 0};
    return text;
}

/* ---- names ---- */

static void name_objects(const lsi_naming *naming, bool has_keys, ls_bytes value)
{
    const ls_bytes query_keys[] = {value};
    const lsi_partition_key keys[] = {{{"k", 1}, value}};
    const lsi_naming_values values = {.oldest_us = INT64_C(1535365800000000), .seed = 1, .query_keys = query_keys,
                                      .error_type = LSI_ERRORS_PROCESSING, .transform_keys = keys,
                                      .transform_key_count = 1};
    char prefix[LSI_PREFIX_BYTES], partition[LSI_PREFIX_BYTES], name[LSI_OBJECT_NAME_BYTES];
    ls_status st = lsi_naming_partition(naming, &values, partition);

    for (int use = LSI_PREFIX_DATA; use <= LSI_PREFIX_ERRORS; use++) {
        ls_status made = lsi_naming_prefix(naming, (lsi_prefix_use)use, &values, prefix);

        if (use == LSI_PREFIX_ERRORS || !has_keys)
            FUZZ_REQUIRE(made == LS_OK); /* N3 */
        if (use == LSI_PREFIX_DATA && st == LS_OK)
            FUZZ_REQUIRE(made == LS_OK);
        if (made != LS_OK) {
            FUZZ_REQUIRE(made == LS_ERR_INVALID_ARGUMENT || made == LS_ERR_TOO_LARGE);
            continue;
        }
        FUZZ_REQUIRE(lsi_object_name(&(lsi_object){prefix, "delivery", 4294967295u, ".gz", 0, {"id", 2}}, name) ==
                     LS_OK);
        FUZZ_REQUIRE(lsi_sink_directory_takes(name)); /* N2 */
    }
}

static void read_prefix(const uint8_t *data, size_t size, bool is_dynamic)
{
    static const char *const names[] = {"k"};
    ls_bytes value;
    char *text = take_text(data, size, &value);
    const lsi_naming_rules rules = {.name = "delivery", .prefix = text, .version = 1, .is_path = true,
                                    .error_prefix = "e/!{firehose:error-output-type}/", .extension = ".gz",
                                    .is_dynamic = is_dynamic, .query_keys = names, .query_key_count = 1,
                                    .has_transform = true};
    lsi_naming_rules errors = {.name = "delivery", .version = 1, .error_prefix = text};
    lsi_naming *naming;
    ls_status st = lsi_naming_open(&lsi_memory_libc, &rules, &naming);

    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_INVALID_ARGUMENT);
    if (st == LS_OK) {
        name_objects(naming, is_dynamic, value);
        lsi_naming_close(naming);
    }
    st = lsi_naming_open(&lsi_memory_libc, &errors, &naming);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_INVALID_ARGUMENT);
    if (st == LS_OK)
        lsi_naming_close(naming);
    free(text);
}

/* ---- queries ---- */

static void ask(const uint8_t *data, size_t size, bool is_object)
{
    lsi_queries *queries;
    ls_bytes rest, values[LSI_QUERIES_MAX];
    char *text = take_text(data, size, &rest);
    const lsi_query_text one = {"k", text};
    ls_status st = is_object ? lsi_queries_open_object(&lsi_memory_libc, text, &queries)
                             : lsi_queries_open(&lsi_memory_libc, &one, 1, &queries);
    const char *reason;
    uint32_t count;

    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_INVALID_ARGUMENT || st == LS_ERR_UNSUPPORTED);
    if (st == LS_OK) {
        (void)lsi_queries_names(queries, &count);
        FUZZ_REQUIRE(count >= 1 && count <= LSI_QUERIES_MAX);
        for (int again = 0; again < 2; again++) {
            FUZZ_REQUIRE(lsi_queries_apply(queries, rest, values, &reason) == LS_OK);
            for (uint32_t i = 0; reason == NULL && i < count; i++)
                FUZZ_REQUIRE(values[i].size <= LSI_QUERY_VALUE_MAX);
        }
        lsi_queries_close(queries);
    }
    free(text);
}

/* ---- responses ---- */

static void read_response(const uint8_t *data, size_t size)
{
    static const lsi_transform_record records[] = { /* whose numbers the corpus has */
        {.sequence_number = "1", .shard_id = "s"}, {.sequence_number = "1", .shard_id = "s"},
        {.sequence_number = "22", .shard_id = "s"}};
    const lsi_transform_batch batch = {.invocation_id = "i", .records = records, .count = 3};
    const lsi_transformed *out;
    const char *code, *message;
    lsi_transform_reader *reader;
    uint64_t sum = 0;

    if (lsi_transform_reader_open(&lsi_memory_libc, &reader) != LS_OK)
        return; /* built without JSON */
    FUZZ_REQUIRE(lsi_transform_response_read(reader, (ls_bytes){data, size}, &batch, &out, &code, &message) == LS_OK);
    FUZZ_REQUIRE((code == NULL) == (message == NULL) && (code == NULL) == (out != NULL));
    for (uint32_t i = 0; code == NULL && i < batch.count; i++) {
        FUZZ_REQUIRE(out[i].result <= LSI_TRANSFORM_FAILED);
        for (size_t k = 0; k < out[i].data.size; k++) /* All of it can be read. */
            sum += ((const uint8_t *)out[i].data.data)[k];
        for (uint32_t k = 0; k < out[i].key_count; k++)
            sum += out[i].keys[k].name.size + out[i].keys[k].value.size;
        sum += out[i].data.size;
    }
    FUZZ_REQUIRE(sum <= size * 256u + size);
    lsi_transform_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *own;

    if (size == 0)
        return 0;
    own = fuzz_copy(data + 1, size - 1);
    switch (data[0]) {
    case 'p':
    case 'P': read_prefix(own, size - 1, data[0] == 'P'); break;
    case 'q':
    case 'o': ask(own, size - 1, data[0] == 'o'); break;
    case 'r': read_response(own, size - 1); break;
    default: break;
    }
    free(own);
    return 0;
}
