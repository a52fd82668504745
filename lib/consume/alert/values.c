/* What records have in the rules' fields: all fields are found in one pass over the data (json_field.h). */
#include "consume/alert/alert.h"

#include <math.h>
#include <string.h>

#include "base/json_field.h"
#include "base/number.h"
#include "base/status.h"

/* What is there in the record at hand. */
typedef struct alert_field {
    const ls_alert_options *options; /* NULL: the rule is not on a field */
    lsi_json_field field;
    bool is_there, is_number, is_text; /* is_text: it is the rule's text */
    double number;
} alert_field;

struct lsi_alert_values {
    lsi_memory memory;
    lsi_json_reader *json;
    alert_field *fields; /* [count], of the rules */
    size_t count;
};

ls_status lsi_alert_values_open(const lsi_memory *memory, lsi_alert_rule *const *rules, size_t count,
                                lsi_alert_values **out)
{
    lsi_alert_values *values = lsi_alloc_zero(memory, sizeof *values);
    ls_status st;

    if (values == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the fields of %zu alerts", count);
    values->memory = *memory;
    values->fields = lsi_alloc_zero(memory, (count + 1) * sizeof *values->fields);
    st = values->fields == NULL ? lsi_fail(LS_ERR_NO_MEMORY, "no memory for the fields of %zu alerts", count)
                                : lsi_json_reader_open(memory, LSI_JSON_KEYS_MAY_REPEAT, &values->json);
    for (size_t i = 0; i < count && st == LS_OK; i++) {
        values->count++;
        st = lsi_json_field_init(memory, &values->fields[i].field, rules[i]->options.field);
        if (rules[i]->options.field != NULL)
            values->fields[i].options = &rules[i]->options;
    }
    if (st != LS_OK) {
        lsi_alert_values_close(values);
        return st;
    }
    *out = values;
    return LS_OK;
}

void lsi_alert_values_close(lsi_alert_values *values)
{
    lsi_memory memory;

    if (values == NULL)
        return;
    memory = values->memory;
    for (size_t i = 0; i < values->count; i++)
        lsi_json_field_free(&memory, &values->fields[i].field);
    lsi_json_reader_close(values->json);
    lsi_free(&memory, values->fields);
    lsi_free(&memory, values);
}

static void take_value(alert_field *field, lsi_json_kind kind, const char *text, size_t size)
{
    const char *wanted = field->options->text;

    field->is_there = kind == LSI_JSON_STRING || kind == LSI_JSON_NUMBER || kind == LSI_JSON_BOOL;
    field->is_number = kind == LSI_JSON_NUMBER;
    field->is_text = field->is_there && wanted != NULL && strlen(wanted) == size && memcmp(wanted, text, size) == 0;
    field->number = 0;
    if (field->is_number)
        (void)lsi_number_read(text, size, &field->number); /* That it is not kept whole is no harm. */
    field->is_number = field->is_number && isfinite(field->number);
}

static bool take_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    lsi_alert_values *values = user;

    for (size_t i = 0; i < values->count; i++)
        if (lsi_json_field_is(&values->fields[i].field, kind, text, size, depth))
            take_value(&values->fields[i], kind, text, size);
    return true;
}

/* Adds the record to what was found of a rule. */
static ls_status add(const lsi_memory *memory, const alert_field *field, const ls_record *record,
                     lsi_alert_findings *to)
{
    const ls_alert_options *options = field->options;
    bool of_text = options->text != NULL, has_value = of_text ? field->is_there : field->is_number;
    lsi_alert_notes notes = {1, has_value, field->is_number, field->number, field->number};
    bool passes = has_value && (of_text ? field->is_text == (options->comparison == LS_ALERT_EQUAL)
                                        : lsi_alert_compares(options, field->number));

    if (passes && !lsi_grow(memory, (void **)&to->items, &to->item_capacity, to->item_count + 1, sizeof *to->items))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %zu records that pass an alert", to->item_count + 1);
    lsi_alert_notes_add(&to->notes, &notes);
    if (passes)
        to->items[to->item_count++] = (lsi_alert_item){record->seqno, record->sub_seqno, record->arrival_us,
                                                       field->is_number ? field->number : 0};
    return LS_OK;
}

ls_status lsi_alert_values_find(lsi_alert_values *values, const ls_record *record, lsi_alert_findings *findings)
{
    ls_status st;

    for (size_t i = 0; i < values->count; i++) {
        lsi_json_field_begin(&values->fields[i].field);
        values->fields[i].is_there = values->fields[i].is_number = values->fields[i].is_text = false;
        values->fields[i].number = 0;
    }
    st = lsi_json_read(values->json, record->data.data, record->data.size, take_token, values);
    if (st != LS_OK && st != LS_ERR_INVALID_ARGUMENT)
        return st;
    for (size_t i = 0; i < values->count && st != LS_OK; i++) /* It is not JSON: nothing is there. */
        values->fields[i].is_there = values->fields[i].is_number = false;
    st = LS_OK;
    for (size_t i = 0; i < values->count && st == LS_OK; i++)
        if (values->fields[i].options != NULL)
            st = add(&values->memory, &values->fields[i], record, &findings[i]);
    return st;
}
