/* The text of a pattern into a tree of parts. First all of it as JSON, which is at most 64 levels deep, so that what is
 * wrong is told in the order of the text and of equal keys the last is left; then object by object.
 *
 * Errors are those of the service, to the letter: `Event pattern is not valid. Reason: ...`. */
#include "consume/filter/filter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* Words that are no field's name inside of "$or": a matcher misplaced there would be taken for a field. */
static const char *const reserved[] = {
    "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr", "=",
    "<",
    "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after", "date-before",
    "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
};

ls_status lsi_filter_refuse(const char *format, ...)
{
    char reason[LSI_MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "Event pattern is not valid. Reason: %s", reason);
}

/* ---- as JSON ---- */

typedef struct building {
    lsi_filter *filter;
    lsi_filter_node *root, *open; /* the innermost object or array */
    ls_bytes key;                 /* of the member that comes next */
    bool is_out_of_memory;
} building;

static bool keep_text(building *b, const char *text, size_t size, ls_bytes *out)
{
    char *own = lsi_filter_keep(b->filter, size + 1);

    if (own == NULL)
        return false;
    if (size != 0)
        memcpy(own, text, size);
    *out = (ls_bytes){own, size};
    return true;
}

/* Of equal keys the last one counts. */
static void drop_key(lsi_filter_node *object, ls_bytes key)
{
    lsi_filter_node *before = NULL;

    for (lsi_filter_node *one = object->first; one != NULL; before = one, one = one->next) {
        if (one->key.size != key.size || memcmp(one->key.data, key.data, key.size) != 0)
            continue;
        if (before == NULL)
            object->first = one->next;
        else
            before->next = one->next;
        if (object->last == one)
            object->last = before;
        return;
    }
}

static bool build(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    building *b = user;
    lsi_filter_node *node;

    (void)depth;
    if (kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE) {
        b->open = b->open->above;
        return true;
    }
    if (kind == LSI_JSON_KEY) {
        if (keep_text(b, text, size, &b->key)) {
            drop_key(b->open, b->key);
            return true;
        }
        b->is_out_of_memory = true;
        return false;
    }
    node = lsi_filter_keep(b->filter, sizeof *node);
    if (node == NULL || !keep_text(b, text, size, &node->text)) {
        b->is_out_of_memory = true;
        return false;
    }
    node->kind = kind;
    node->above = b->open;
    if (b->open == NULL) {
        b->root = node;
    } else {
        node->key = b->key;
        if (b->open->last == NULL)
            b->open->first = node;
        else
            b->open->last->next = node;
        b->open->last = node;
    }
    if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN)
        b->open = node;
    return true;
}

static ls_status read_pattern(lsi_filter *filter, const char *text, lsi_filter_node **out)
{
    size_t size = strnlen(text, LSI_FILTER_TEXT_MAX + 1);
    building b = {.filter = filter};
    ls_status st;

    if (size > LSI_FILTER_TEXT_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "an event pattern is longer than %u bytes", LSI_FILTER_TEXT_MAX);
    if (text[strspn(text, " \t\r\n")] != '{')
        return lsi_filter_refuse("Filter is not an object");
    st = lsi_json_read(filter->reader, text, size, build, &b);
    if (b.is_out_of_memory)
        return LS_ERR_NO_MEMORY;
    if (st == LS_ERR_INVALID_ARGUMENT) {
        char said[LSI_MESSAGE_BYTES];

        (void)snprintf(said, sizeof said, "%s", lsi_error_current()->message);
        return lsi_filter_refuse("%s", said);
    }
    *out = b.root;
    return st;
}

/* ---- object by object ---- */

typedef struct compiling {
    lsi_filter *filter;
    bool asks_data;
} compiling;

static bool is(ls_bytes text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static bool is_reserved(ls_bytes key)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (is(key, reserved[i]))
            return true;
    return false;
}

static bool is_data(const lsi_path *path)
{
    return path->depth == 1 && is((ls_bytes){path->step, path->step_size}, "data");
}

static lsi_filter_field *make_field(lsi_filter *filter, lsi_part *part, lsi_path *at)
{
    lsi_filter_field **end = &part->fields;

    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->at == at)
            return *end;
    *end = lsi_filter_keep(filter, sizeof **end);
    if (*end != NULL)
        (*end)->at = at;
    return *end;
}

/* The field that `key` leads to from `part`, whose place is `at`: as many steps as it has dots, and one. */
static ls_status find_field(compiling *c, lsi_part *part, lsi_path *at, ls_bytes key, lsi_filter_field **out)
{
    const char *step = key.data, *end = step + key.size;

    for (;;) {
        const char *dot = step == end ? NULL : memchr(step, '.', (size_t)(end - step));
        lsi_filter_field *field;

        if (at->depth == LSI_FILTER_DEPTH_MAX)
            return lsi_filter_refuse("a path has more than %u levels", LSI_FILTER_DEPTH_MAX);
        at = lsi_path_make(c->filter, at, step, (size_t)((dot == NULL ? end : dot) - step));
        field = at == NULL ? NULL : make_field(c->filter, part, at);
        if (field == NULL)
            return LS_ERR_NO_MEMORY;
        c->asks_data = c->asks_data || is_data(at);
        if (dot == NULL) {
            *out = field;
            return LS_OK;
        }
        if (field->part == NULL)
            field->part = lsi_filter_keep(c->filter, sizeof *field->part);
        if (field->part == NULL)
            return LS_ERR_NO_MEMORY;
        part = field->part;
        step = dot + 1;
    }
}

static ls_status compile_object(compiling *c, const lsi_filter_node *object, lsi_part *part, lsi_path *at, bool in_or);

static ls_status compile_or(compiling *c, const lsi_filter_node *array, lsi_part *part, lsi_path *at)
{
    lsi_choice *choice;
    lsi_alternative **end;

    if (array->kind != LSI_JSON_ARRAY_OPEN)
        return lsi_filter_refuse("It must be an Array followed with " LSI_FILTER_OR ".");
    for (const lsi_filter_node *one = array->first; one != NULL; one = one->next)
        if (one->kind != LSI_JSON_OBJECT_OPEN)
            return lsi_filter_refuse("Only JSON object is allowed in array of " LSI_FILTER_OR " relationship.");
    if (array->first == array->last)
        return lsi_filter_refuse("There must have at least 2 Objects in " LSI_FILTER_OR " relationship.");
    choice = lsi_filter_keep(c->filter, sizeof *choice);
    if (choice == NULL)
        return LS_ERR_NO_MEMORY;
    choice->next = part->choices;
    part->choices = choice;
    end = &choice->alternatives;
    for (const lsi_filter_node *one = array->first; one != NULL; one = one->next) {
        ls_status st;

        *end = lsi_filter_keep(c->filter, sizeof **end);
        if (*end != NULL)
            (*end)->part = lsi_filter_keep(c->filter, sizeof *(*end)->part);
        if (*end == NULL || (*end)->part == NULL)
            return LS_ERR_NO_MEMORY;
        st = compile_object(c, one, (*end)->part, at, true);
        if (st != LS_OK)
            return st;
        end = &(*end)->next;
    }
    return LS_OK;
}

static ls_status compile_field(compiling *c, const lsi_filter_node *member, lsi_part *part, lsi_path *at, bool in_or)
{
    lsi_filter_field *field = NULL;
    ls_status st;

    if (member->kind != LSI_JSON_OBJECT_OPEN && member->kind != LSI_JSON_ARRAY_OPEN)
        return lsi_filter_refuse("\"%.*s\" must be an object or an array", (int)member->key.size,
                                 (const char *)member->key.data);
    st = find_field(c, part, at, member->key, &field);
    if (st != LS_OK)
        return st;
    if (member->kind == LSI_JSON_ARRAY_OPEN) {
        if (is_data(field->at))
            return lsi_filter_refuse("\"data\" must be an object");
        field->at->is_leaf = true;
        return lsi_matchers_compile(c->filter, member, &field->matchers); /* One given before is this path's no more. */
    }
    if (field->part == NULL)
        field->part = lsi_filter_keep(c->filter, sizeof *field->part);
    return field->part == NULL ? LS_ERR_NO_MEMORY : compile_object(c, member, field->part, field->at, in_or);
}

/* Recurses as deep as the JSON is. */
static ls_status compile_object(compiling *c, const lsi_filter_node *object, lsi_part *part, lsi_path *at, bool in_or)
{
    if (object->first == NULL)
        return lsi_filter_refuse("Empty objects are not allowed");
    for (const lsi_filter_node *member = object->first; member != NULL; member = member->next) {
        ls_status st;

        if (is(member->key, LSI_FILTER_OR))
            st = compile_or(c, member, part, at);
        else if (in_or && is_reserved(member->key))
            st = lsi_filter_refuse("%.*s is Ruler reserved fieldName which cannot be used inside " LSI_FILTER_OR ".",
                                   (int)member->key.size, (const char *)member->key.data);
        else
            st = compile_field(c, member, part, at, in_or);
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

/* Whether the part can match where there is nothing; recurses as deep as paths and choices are. */
static void finish_part(lsi_part *part)
{
    if (part->is_finished)
        return;
    part->is_finished = true;
    part->may_be_absent = true;
    for (lsi_filter_field *field = part->fields; field != NULL; field = field->next) {
        if (field->matchers != NULL && !field->matchers->absent)
            part->may_be_absent = false;
        if (field->part == NULL)
            continue;
        finish_part(field->part);
        part->may_be_absent = part->may_be_absent && field->part->may_be_absent;
    }
    for (lsi_choice *choice = part->choices; choice != NULL; choice = choice->next) {
        bool one_may = false;

        for (lsi_alternative *one = choice->alternatives; one != NULL; one = one->next) {
            finish_part(one->part);
            one_may = one_may || one->part->may_be_absent;
        }
        part->may_be_absent = part->may_be_absent && one_may;
    }
}

ls_status lsi_filter_compile(lsi_filter *filter, const char *text, lsi_pattern *out)
{
    compiling c = {.filter = filter};
    lsi_filter_node *root;
    ls_status st = read_pattern(filter, text, &root);

    if (st != LS_OK)
        return st;
    out->part = lsi_filter_keep(filter, sizeof *out->part);
    if (out->part == NULL)
        return LS_ERR_NO_MEMORY;
    st = compile_object(&c, root, out->part, filter->record, false);
    if (st == LS_OK)
        st = lsi_choices_resolve(filter, out->part);
    if (st != LS_OK)
        return st;
    finish_part(out->part);
    out->asks_data = c.asks_data;
    return LS_OK;
}
