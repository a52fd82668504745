/* A rule as a value of its stream's state, both ways. FORMAT.md ("State") has the table of its fields.
 *
 * What is read may be anything (X1): lengths are checked before they are believed, and settings by the rules that those
 * of a caller must keep. */
#include "consume/alert/alert.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define FORMAT 1u
#define HEAD_BYTES 72u

void lsi_alert_rule_free(lsi_alert_rule *rule)
{
    lsi_memory memory;

    if (rule == NULL)
        return;
    memory = rule->memory;
    lsi_free(&memory, rule->texts);
    lsi_free(&memory, rule->labels);
    lsi_free(&memory, rule);
}

/* ---- writing ---- */

/* With its end; 0: there is none. */
static uint32_t text_bytes(const char *text)
{
    return text == NULL ? 0 : (uint32_t)strlen(text) + 1;
}

static void put_text(lsi_writer *to, const char *text)
{
    if (text != NULL)
        lsi_put_bytes(to, text, text_bytes(text));
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

ls_status lsi_alert_rule_encode(const lsi_memory *memory, const lsi_alert_rule *rule, ls_bytes *out)
{
    const ls_alert_options *options = &rule->options;
    size_t size = HEAD_BYTES + text_bytes(options->field) + text_bytes(options->metric) + text_bytes(options->text);
    unsigned char *bytes;
    lsi_writer to;

    for (uint32_t i = 0; i < options->label_count; i++)
        size += text_bytes(options->labels[i].name) + text_bytes(options->labels[i].value);
    bytes = lsi_alloc(memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for alert '%s'", rule->name);
    to = (lsi_writer){bytes, bytes + size};
    lsi_put_u32(&to, FORMAT);
    lsi_put_u32(&to, options->flags);
    lsi_put_u64(&to, (uint64_t)rule->created_us);
    lsi_put_u64(&to, (uint64_t)rule->modified_us);
    lsi_put_u64(&to, bits_of(options->threshold));
    lsi_put_u32(&to, (uint32_t)options->comparison);
    lsi_put_u32(&to, options->count_min);
    lsi_put_u32(&to, options->window_ms);
    lsi_put_u32(&to, options->cooldown_ms);
    lsi_put_u32(&to, options->observed_min);
    lsi_put_u32(&to, text_bytes(options->field));
    lsi_put_u32(&to, text_bytes(options->metric));
    lsi_put_u32(&to, text_bytes(options->text));
    lsi_put_u32(&to, options->label_count);
    lsi_put_u32(&to, 0);
    put_text(&to, options->field);
    put_text(&to, options->metric);
    put_text(&to, options->text);
    for (uint32_t i = 0; i < options->label_count; i++) {
        put_text(&to, options->labels[i].name);
        put_text(&to, options->labels[i].value);
    }
    *out = (ls_bytes){bytes, size};
    return LS_OK;
}

/* ---- reading ---- */

typedef struct text_sizes {
    uint32_t field, metric, text;
} text_sizes;

static void take_head(lsi_cursor *from, lsi_alert_rule *rule, text_sizes *sizes)
{
    ls_alert_options *options = &rule->options;
    uint64_t bits;

    options->size = (uint32_t)sizeof(*options);
    options->flags = lsi_take_u32(from);
    rule->created_us = (int64_t)lsi_take_u64(from);
    rule->modified_us = (int64_t)lsi_take_u64(from);
    bits = lsi_take_u64(from);
    memcpy(&options->threshold, &bits, sizeof bits);
    options->comparison = (ls_alert_comparison)lsi_take_u32(from);
    options->count_min = lsi_take_u32(from);
    options->window_ms = lsi_take_u32(from);
    options->cooldown_ms = lsi_take_u32(from);
    options->observed_min = lsi_take_u32(from);
    sizes->field = lsi_take_u32(from);
    sizes->metric = lsi_take_u32(from);
    sizes->text = lsi_take_u32(from);
    options->label_count = lsi_take_u32(from);
    if (lsi_take_u32(from) != 0)
        from->bad = true;
}

/* A view of the rule's texts. NULL: there is none. */
static const char *take_text(lsi_cursor *from, uint32_t size)
{
    const unsigned char *bytes = size == 0 ? NULL : lsi_take_bytes(from, size);

    if (bytes != NULL && memchr(bytes, 0, size) != bytes + size - 1)
        from->bad = true;
    return (const char *)bytes;
}

/* The same up to its end. */
static const char *take_terminated(lsi_cursor *from)
{
    const unsigned char *end = from->bad ? NULL : memchr(from->at, 0, (size_t)(from->end - from->at));

    if (end == NULL) {
        from->bad = true;
        return "";
    }
    return (const char *)lsi_take_bytes(from, (size_t)(end - from->at) + 1);
}

/* NO_MEMORY; else `from->bad` says what is to be said. */
static ls_status take_texts(lsi_cursor *from, lsi_alert_rule *rule, text_sizes sizes)
{
    ls_alert_options *options = &rule->options;
    size_t size = from->bad ? 0 : (size_t)(from->end - from->at);

    if (from->bad || options->label_count > size / 2) {
        from->bad = true;
        return LS_OK;
    }
    rule->texts = lsi_alloc(&rule->memory, size);
    rule->labels = lsi_alloc_zero(&rule->memory, (options->label_count + 1) * sizeof *rule->labels);
    if (rule->texts == NULL || rule->labels == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for alert '%s'", rule->name);
    if (size != 0)
        memcpy(rule->texts, from->at, size);
    *from = (lsi_cursor){(const unsigned char *)rule->texts, (const unsigned char *)rule->texts + size, false};
    options->field = take_text(from, sizes.field);
    options->metric = take_text(from, sizes.metric);
    options->text = take_text(from, sizes.text);
    for (uint32_t i = 0; i < options->label_count; i++) {
        rule->labels[i].name = take_terminated(from);
        rule->labels[i].value = take_terminated(from);
    }
    options->labels = options->label_count == 0 ? NULL : rule->labels;
    return LS_OK;
}

static bool is_valid(const lsi_alert_rule *rule)
{
    lsi_error_state error;
    bool valid;

    lsi_error_save(&error);
    valid = lsi_alert_options_check(&rule->options) == LS_OK;
    lsi_error_restore(&error);
    return valid;
}

ls_status lsi_alert_rule_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_alert_rule **out)
{
    const char *key = entry->key.data;
    size_t prefix = sizeof(LSI_ALERT_PREFIX) - 1, name_size = entry->key.size - prefix;
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    lsi_alert_rule *rule;
    text_sizes sizes;
    uint32_t format;
    ls_status st;

    if (name_size == 0 || name_size > LSI_STREAM_NAME_MAX)
        return lsi_fail(LS_ERR_CORRUPT, "the state has an alert whose name is of %zu bytes", name_size);
    rule = lsi_alloc_zero(memory, sizeof(*rule));
    if (rule == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an alert");
    rule->memory = *memory;
    memcpy(rule->name, key + prefix, name_size);
    rule->version = entry->version;
    format = lsi_take_u32(&from);
    if (format > FORMAT) {
        st = lsi_fail(LS_ERR_VERSION, "alert '%s' is of format %u: this release knows %u", rule->name, format, FORMAT);
        goto fail;
    }
    take_head(&from, rule, &sizes);
    st = take_texts(&from, rule, sizes);
    if (st == LS_OK && (format != FORMAT || from.bad || from.at != from.end || !is_valid(rule)))
        st = lsi_fail(LS_ERR_CORRUPT, "the state's value of alert '%s', %zu bytes, is none", rule->name,
                      entry->value.size);
    if (st != LS_OK)
        goto fail;
    *out = rule;
    return LS_OK;
fail:
    lsi_alert_rule_free(rule);
    return st;
}
