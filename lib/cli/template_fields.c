/* Taking an object's fields by a table: each is of its kind and in its range, none is unknown, none that is needed is
 * missing. */
#include "cli/template.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int take_number(const lsi_template *template, const lsi_node *node, const lsi_take *take, int64_t *to)
{
    char *end;
    long long number;

    errno = 0;
    number = strtoll(node->text, &end, 10);
    if (node->kind != LSI_JSON_NUMBER || *end != '\0' || errno != 0 || number < take->min || number > take->max)
        return lsi_template_refuse(template, node, "it is a whole number, %" PRId64 "..%" PRId64, take->min, take->max);
    *to = number;
    return LSI_EXIT_OK;
}

static int take_word(const lsi_template *template, const lsi_node *node, const lsi_take *take, int32_t *to)
{
    char all[400];
    size_t size = 0;

    for (int32_t i = 0; node->kind == LSI_JSON_STRING && take->words[i] != NULL; i++)
        if (strcmp(node->text, take->words[i]) == 0) {
            *to = i;
            return LSI_EXIT_OK;
        }
    all[0] = '\0';
    for (int32_t i = 0; take->words[i] != NULL && size < sizeof all; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s\"%s\"", i > 0 ? ", " : "", take->words[i]);
    return lsi_template_refuse(template, node, "it is one of %s", all);
}

static int take_text(const lsi_template *template, const lsi_node *node, lsi_take_kind kind, const char **to)
{
    if (node->kind != LSI_JSON_STRING || (kind == LSI_TAKE_TEXT && node->text[0] == '\0'))
        return lsi_template_refuse(template, node, "it is a text%s", kind == LSI_TAKE_TEXT ? " that is not empty" : "");
    *to = node->text;
    return LSI_EXIT_OK;
}

static int take_time(const lsi_template *template, const lsi_node *node, int64_t *to)
{
    if ((node->kind != LSI_JSON_STRING && node->kind != LSI_JSON_NUMBER) || !lsi_parse_time(node->text, to))
        return lsi_template_refuse(template, node, "it is a time: 2026-11-20T11:42:18Z, or seconds since 1970");
    return LSI_EXIT_OK;
}

static int take_node(const lsi_template *template, const lsi_node *node, lsi_take_kind kind, const lsi_node **to)
{
    if (kind == LSI_TAKE_LIST && node->kind != LSI_JSON_ARRAY_OPEN)
        return lsi_template_refuse(template, node, "it is a list");
    if (kind == LSI_TAKE_OBJECT && node->kind != LSI_JSON_OBJECT_OPEN)
        return lsi_template_refuse(template, node, "it is an object");
    if (node->kind == LSI_JSON_NULL)
        return lsi_template_refuse(template, node, "it is null");
    *to = node;
    return LSI_EXIT_OK;
}

static int take_one(const lsi_template *template, const lsi_node *node, const lsi_take *take, void *to)
{
    char *at = (char *)to + take->at;

    switch (take->kind) {
    case LSI_TAKE_TEXT:
    case LSI_TAKE_STRING:
        return take_text(template, node, take->kind, (const char **)(void *)at);
    case LSI_TAKE_NUMBER:
        return take_number(template, node, take, (int64_t *)(void *)at);
    case LSI_TAKE_BOOL:
        if (node->kind != LSI_JSON_BOOL)
            return lsi_template_refuse(template, node, "it is true or false");
        *(int32_t *)(void *)at = strcmp(node->text, "true") == 0;
        return LSI_EXIT_OK;
    case LSI_TAKE_WORD:
        return take_word(template, node, take, (int32_t *)(void *)at);
    case LSI_TAKE_TIME:
        return take_time(template, node, (int64_t *)(void *)at);
    default:
        return take_node(template, node, take->kind, (const lsi_node **)(void *)at);
    }
}

static int unknown(const lsi_template *template, const lsi_node *node, const lsi_take *takes)
{
    const char *names[64], *meant;
    size_t count = 0;

    for (; takes->name != NULL && count + 1 < sizeof names / sizeof names[0]; takes++)
        names[count++] = takes->name;
    names[count] = NULL;
    meant = lsi_did_you_mean(node->key, names);
    if (meant != NULL)
        return lsi_template_refuse(template, node, "there is no such field; did you mean '%s'?", meant);
    return lsi_template_refuse(template, node, "there is no such field");
}

int lsi_take_fields(const lsi_template *template, const lsi_node *object, const lsi_take *takes, void *to)
{
    int code = LSI_EXIT_OK;

    if (object->kind != LSI_JSON_OBJECT_OPEN)
        return lsi_template_refuse(template, object, "it is an object");
    for (const lsi_node *node = object->first; node != NULL && code == LSI_EXIT_OK; node = node->next) {
        const lsi_take *take = takes;

        while (take->name != NULL && strcmp(take->name, node->key) != 0)
            take++;
        code = take->name != NULL ? take_one(template, node, take, to) : unknown(template, node, takes);
    }
    for (const lsi_take *take = takes; take->name != NULL && code == LSI_EXIT_OK; take++)
        if (take->is_needed && lsi_node_member(object, take->name) == NULL)
            code = lsi_template_refuse(template, object, "it needs \"%s\"", take->name);
    return code;
}
