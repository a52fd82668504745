/* Reading a prefix, and putting one together. What is wrong is said with the expression and the byte where it begins,
 * since a prefix is written by hand. */
#include "deliver/prefix.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "deliver/time_pattern.h"

#define SHOWN_BYTES 80 /* of an expression, in a message */
#define RANDOM_CHARACTERS 11

const char *lsi_prefix_use_name(lsi_prefix_use use)
{
    return use == LSI_PREFIX_DATA ? "prefix" : "error prefix";
}

/* ---- reading ---- */

/* An expression that is being read. */
typedef struct expression {
    const lsi_naming_rules *rules;
    lsi_prefix_use use;
    const char *whole; /* from !{ to } */
    size_t whole_size, at;
    const char *name, *value;
    size_t name_size, value_size;
} expression;

static ls_status refuse(const expression *of, const char *why)
{
    size_t shown = of->whole_size < SHOWN_BYTES ? of->whole_size : SHOWN_BYTES;

    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: '%.*s%s' at byte %zu: %s", lsi_prefix_use_name(of->use), (int)shown,
                    of->whole, shown < of->whole_size ? "..." : "", of->at, why);
}

static bool is_text(const char *bytes, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

ls_status lsi_prefix_add(lsi_prefix *prefix, lsi_prefix_part_kind kind, const char *text, size_t size)
{
    void *parts = prefix->parts;

    if (!lsi_grow(&prefix->memory, &parts, &prefix->part_capacity, prefix->part_count + 1, sizeof *prefix->parts))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a prefix");
    prefix->parts = parts;
    prefix->parts[prefix->part_count++] = (lsi_prefix_part){kind, text, size, 0};
    prefix->kinds |= 1u << kind;
    return LS_OK;
}

static ls_status add_time(lsi_prefix *prefix, const expression *of)
{
    size_t at;
    const char *wrong = lsi_time_pattern_check(of->value, of->value_size, &at);

    if (wrong != NULL) {
        expression here = *of;

        here.at += (size_t)(of->value - of->whole) + at;
        return refuse(&here, wrong);
    }
    return lsi_prefix_add(prefix, LSI_PART_TIME, of->value, of->value_size);
}

static ls_status add_service_word(lsi_prefix *prefix, const expression *of)
{
    if (is_text(of->value, of->value_size, "random-string"))
        return lsi_prefix_add(prefix, LSI_PART_RANDOM, of->value, of->value_size);
    if (!is_text(of->value, of->value_size, "error-output-type"))
        return refuse(of, "firehose has random-string and error-output-type only");
    if (of->use == LSI_PREFIX_DATA)
        return refuse(of, "error-output-type is for the error prefix only");
    return lsi_prefix_add(prefix, LSI_PART_ERROR_TYPE, of->value, of->value_size);
}

static ls_status add_key(lsi_prefix *prefix, const expression *of, lsi_prefix_part_kind kind)
{
    const lsi_naming_rules *rules = of->rules;
    uint32_t index = 0;
    ls_status st;

    if (of->use == LSI_PREFIX_ERRORS)
        return refuse(of, "partition keys are not for the error prefix");
    if (!rules->is_dynamic)
        return refuse(of, "there are no partition keys without dynamic partitioning");
    if (of->value_size == 0)
        return refuse(of, "the key's name is empty");
    if (kind == LSI_PART_FROM_TRANSFORM && !rules->has_transform)
        return refuse(of, "there is no transform that would give this key");
    if (kind == LSI_PART_FROM_QUERY) {
        while (index < rules->query_key_count && !is_text(of->value, of->value_size, rules->query_keys[index]))
            index++;
        if (index == rules->query_key_count)
            return refuse(of, "no query gives this key");
    }
    st = lsi_prefix_add(prefix, kind, of->value, of->value_size);
    if (st == LS_OK)
        prefix->parts[prefix->part_count - 1].index = index;
    return st;
}

static ls_status add_expression(lsi_prefix *prefix, const expression *of)
{
    if (is_text(of->name, of->name_size, "timestamp"))
        return add_time(prefix, of);
    if (is_text(of->name, of->name_size, "firehose"))
        return add_service_word(prefix, of);
    if (is_text(of->name, of->name_size, "partitionKeyFromQuery"))
        return add_key(prefix, of, LSI_PART_FROM_QUERY);
    if (is_text(of->name, of->name_size, "partitionKeyFromLambda"))
        return add_key(prefix, of, LSI_PART_FROM_TRANSFORM);
    return refuse(of, "no such expression: there are timestamp:PATTERN, firehose:random-string, "
                      "firehose:error-output-type, partitionKeyFromQuery:KEY and partitionKeyFromLambda:KEY");
}

/* `from` is at its !{; `*end` is where what follows it begins. */
static ls_status read_expression(lsi_prefix *prefix, expression *of, const char *from, const char **end)
{
    const char *close = strchr(from, '}');
    const char *again = strstr(from + 2, "!{");
    const char *colon;

    of->whole = from;
    of->whole_size = close != NULL ? (size_t)(close + 1 - from) : strlen(from);
    of->at = (size_t)(from - prefix->text);
    if (close == NULL)
        return refuse(of, "!{ begins an expression, and this one has no }");
    if (again != NULL && again < close)
        return refuse(of, "an expression within an expression");
    colon = memchr(from, ':', of->whole_size);
    if (colon == NULL)
        return refuse(of, "an expression is !{NAMESPACE:VALUE}");
    of->name = from + 2;
    of->name_size = (size_t)(colon - of->name);
    of->value = colon + 1;
    of->value_size = (size_t)(close - of->value);
    *end = close + 1;
    return add_expression(prefix, of);
}

/* That it is text of no more characters than may be set. */
static ls_status check_text(const char *text, lsi_prefix_use use)
{
    size_t size = strlen(text), count = lsi_utf8_count(text, size);

    if (count == LSI_UTF8_BAD)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: it is not UTF-8", lsi_prefix_use_name(use));
    if (count > LSI_PREFIX_CONFIGURED_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: it has %zu characters: at most %u", lsi_prefix_use_name(use),
                        count, LSI_PREFIX_CONFIGURED_MAX);
    for (size_t at = 0; at < size; at += lsi_utf8_first(text + at, size - at))
        if (lsi_utf8_is_control(text + at))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: a control character at byte %zu", lsi_prefix_use_name(use),
                            at);
    return LS_OK;
}

ls_status lsi_prefix_read(lsi_prefix *prefix, const lsi_memory *memory, const lsi_naming_rules *rules,
                          lsi_prefix_use use, const char *text)
{
    expression of = {.rules = rules, .use = use};
    ls_status st = check_text(text, use);

    prefix->memory = *memory;
    if (st != LS_OK)
        return st;
    prefix->text = lsi_strdup(memory, text);
    if (prefix->text == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a prefix");
    for (const char *from = prefix->text; st == LS_OK && *from != '\0';) {
        const char *next = strstr(from, "!{");

        if (next == from) {
            st = read_expression(prefix, &of, from, &from);
            continue;
        }
        if (next == NULL)
            next = from + strlen(from);
        st = lsi_prefix_add(prefix, LSI_PART_TEXT, from, (size_t)(next - from));
        from = next;
    }
    return st;
}

void lsi_prefix_free(lsi_prefix *prefix)
{
    if (prefix->memory.resize == NULL)
        return;
    lsi_free(&prefix->memory, prefix->text);
    lsi_free(&prefix->memory, prefix->parts);
    *prefix = (lsi_prefix){.memory = prefix->memory};
}

/* ---- evaluating ---- */

typedef struct written {
    char *out;
    size_t size; /* may go past the room, of which nothing is written then */
} written;

static void add(written *to, const char *text, size_t size)
{
    if (to->size <= LSI_PREFIX_BYTES && size < LSI_PREFIX_BYTES - to->size)
        memcpy(to->out + to->size, text, size);
    to->size += size;
}

static void add_encoded(written *to, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < size; i++) {
        const char text[3] = {'%', digits[bytes[i] >> 4], digits[bytes[i] & 15]};

        add(to, text, sizeof text);
    }
}

/* A key's value. As a path a point is encoded where the value begins: a component that is nothing but points would have
 * to be made of text of the prefix alone. */
static void add_value(written *to, ls_bytes value, bool is_path)
{
    const char *bytes = value.data;

    for (size_t at = 0; at < value.size && to->size < LSI_PREFIX_BYTES;) {
        size_t step = lsi_utf8_first(bytes + at, value.size - at);
        bool is_bad = step == 0 || lsi_utf8_is_control(bytes + at);

        if (is_path && (bytes[at] == '/' || bytes[at] == '%' || (at == 0 && bytes[at] == '.')))
            is_bad = true;
        step = step == 0 ? 1 : step;
        if (is_bad)
            add_encoded(to, (const unsigned char *)bytes + at, step);
        else
            add(to, bytes + at, step);
        at += step;
    }
}

/* Each instance has a string of its own (splitmix64 of the seed and the instance's number). */
static void add_random(written *to, uint64_t seed, uint64_t instance)
{
    static const char characters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t z = seed + (instance + 1) * UINT64_C(0x9e3779b97f4a7c15);
    char text[RANDOM_CHARACTERS];

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    for (size_t i = 0; i < sizeof text; i++, z /= 36) /* 36^11 of 2^64: nearly all of it */
        text[i] = characters[z % 36];
    add(to, text, sizeof text);
}

static ls_status find_key(const lsi_prefix_part *part, const lsi_naming_values *values, ls_bytes *out)
{
    bool is_query = part->kind == LSI_PART_FROM_QUERY;

    *out = (ls_bytes){NULL, 0};
    if (is_query) {
        *out = values->query_keys[part->index];
    } else {
        for (uint32_t i = 0; i < values->transform_key_count; i++)
            if (values->transform_keys[i].name.size == part->size &&
                memcmp(values->transform_keys[i].name.data, part->text, part->size) == 0)
                *out = values->transform_keys[i].value;
    }
    if (out->size == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "partition key '%.*s' is missing or empty",
                        (int)(part->size < SHOWN_BYTES ? part->size : SHOWN_BYTES), part->text);
    return LS_OK;
}

static ls_status add_part(written *to, const lsi_prefix_part *part, const lsi_naming_values *values, bool is_path,
                          uint64_t instance)
{
    char time[LSI_PREFIX_BYTES];
    ls_bytes value;
    size_t size;
    ls_status st;

    switch (part->kind) {
    case LSI_PART_TEXT: add(to, part->text, part->size); break;
    case LSI_PART_TIME:
        size = lsi_time_pattern_write(part->text, part->size, values->oldest_us, time, sizeof time);
        if (size < sizeof time)
            add(to, time, size);
        else
            to->size += size;
        break;
    case LSI_PART_RANDOM: add_random(to, values->seed, instance); break;
    case LSI_PART_ERROR_TYPE: add(to, values->error_type, strlen(values->error_type)); break;
    case LSI_PART_FROM_QUERY:
    case LSI_PART_FROM_TRANSFORM:
        st = find_key(part, values, &value);
        if (st != LS_OK)
            return st;
        add_value(to, value, is_path);
        break;
    }
    return LS_OK;
}

static ls_status finish(written *to, const char *what)
{
    size_t count;

    if (to->size < LSI_PREFIX_BYTES) {
        to->out[to->size] = '\0';
        count = lsi_utf8_count(to->out, to->size);
        if (count <= LSI_PREFIX_EVALUATED_MAX)
            return LS_OK;
    }
    return lsi_fail(LS_ERR_TOO_LARGE, "%s has more than %u characters", what, LSI_PREFIX_EVALUATED_MAX);
}

ls_status lsi_prefix_evaluate(const lsi_prefix *prefix, const lsi_naming_values *values, bool is_path,
                              char out[LSI_PREFIX_BYTES])
{
    written to = {out, 0};
    ls_status st = LS_OK;

    for (size_t i = 0; st == LS_OK && i < prefix->part_count; i++)
        st = add_part(&to, &prefix->parts[i], values, is_path, i);
    return st != LS_OK ? st : finish(&to, "the evaluated prefix");
}

ls_status lsi_prefix_evaluate_keys(const lsi_prefix *prefix, const lsi_naming_values *values,
                                   char out[LSI_PREFIX_BYTES])
{
    written to = {out, 0};
    ls_status st = LS_OK;

    for (size_t i = 0; st == LS_OK && i < prefix->part_count; i++) {
        const lsi_prefix_part *part = &prefix->parts[i];

        if (part->kind != LSI_PART_FROM_QUERY && part->kind != LSI_PART_FROM_TRANSFORM)
            continue;
        st = add_part(&to, part, values, true, i); /* No value has a slash as a path. */
        add(&to, "/", 1);
    }
    return st != LS_OK ? st : finish(&to, "what partition keys give");
}
