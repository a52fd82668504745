/* What a delivery's processors are, in the words of ProcessingConfiguration: a transform, a delimiter, keys of
 * partitions, how records are split. The values of their parameters are texts, as there. */
#include "cli/apply.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"

#define MIB 1048576.0

enum { LAMBDA, DELIMITER, EXTRACTION, SPLIT };
static const char *const types[] = {"Lambda", "AppendDelimiterToRecord", "MetadataExtraction",
                                    "RecordDeAggregation", NULL};
enum { ARN, ROLE, RETRIES, SIZE, INTERVAL, DELIMITER_TEXT, QUERY, ENGINE, SUB_TYPE };
static const char *const names[] = {"LambdaArn", "RoleArn", "NumberOfRetries", "BufferSizeInMBs",
                                    "BufferIntervalInSeconds", "Delimiter", "MetadataExtractionQuery",
                                    "JsonParsingEngine", "SubRecordType", NULL};
static const int32_t owners[] = {LAMBDA, LAMBDA, LAMBDA, LAMBDA, LAMBDA, DELIMITER, EXTRACTION, EXTRACTION, SPLIT};

static const char *const sub_types[] = {"JSON", "DELIMITED", NULL};
typedef struct processor {
    int32_t type, name, sub_type;
    const char *value;
    const lsi_node *parameters;
} processor;

static const lsi_take processor_takes[] = {
    {"Type", LSI_TAKE_WORD, offsetof(processor, type), true, 0, 0, types},
    {"Parameters", LSI_TAKE_LIST, offsetof(processor, parameters), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take parameter_takes[] = {
    {"ParameterName", LSI_TAKE_WORD, offsetof(processor, name), true, 0, 0, names},
    {"ParameterValue", LSI_TAKE_TEXT, offsetof(processor, value), true, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static int no_memory(const lsi_apply *apply)
{
    lsi_say(apply->call, "out of memory");
    return LSI_EXIT_FAILED;
}

/* "\\n" in the service's texts is a line feed. */
static int take_delimiter(lsi_apply *apply, lsi_processors *own, const char *text)
{
    char *to;

    free(own->delimiter);
    own->delimiter = to = malloc(strlen(text) + 1);
    if (to == NULL)
        return no_memory(apply);
    for (; *text != '\0'; text++) {
        bool is_line_feed = text[0] == '\\' && text[1] == 'n';

        *to++ = is_line_feed ? '\n' : *text;
        text += is_line_feed;
    }
    *to = '\0';
    own->to->delimiter = own->delimiter;
    return LSI_EXIT_OK;
}

static char *skip_space(char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* The end of a key's query: a comma or the last brace, outside of quotes, brackets and parentheses. */
static char *end_of_query(char *at)
{
    int depth = 0;

    for (bool is_quoted = false; *at != '\0'; at++) {
        if (is_quoted && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (*at == '(' || *at == '['))
            depth++;
        else if (!is_quoted && (*at == ')' || *at == ']'))
            depth--;
        else if (!is_quoted && depth == 0 && (*at == ',' || *at == '}'))
            break;
    }
    return at;
}

/* A key and its query, from behind the brace or comma on; both are cut out in place. The character behind the query,
 * of which `*at` is the place; 0: it is none. */
static char take_pair(char **at, const char **key, const char **query)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    char *from = skip_space(*at + 1), *end, behind;
    bool is_quoted = *from == '"';

    from += is_quoted;
    end = from + (is_quoted ? strcspn(from, "\"") : strspn(from, letters));
    *at = skip_space(end + (*end == '"'));
    if (end == from || **at != ':')
        return '\0';
    *end = '\0';
    *key = from;
    *query = from = skip_space(*at + 1);
    *at = end = end_of_query(from);
    behind = *end;
    while (end > from && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return behind;
}

/* {customer: .id, "year": .at | strftime("%Y")}: what a query may be is the delivery's to say. */
static int take_query(lsi_apply *apply, lsi_processors *own, const lsi_node *node, const char *text)
{
    char *at, behind;
    uint32_t count = 0;

    free(own->query_text);
    own->query_text = strdup(text);
    if (own->query_text == NULL)
        return no_memory(apply);
    at = skip_space(own->query_text);
    behind = *at == '{' ? ',' : '\0';
    while (behind == ',' && count < LSI_PROCESSOR_KEYS_MAX) {
        behind = take_pair(&at, &own->keys[count], &own->queries[count]);
        count++;
    }
    if (behind != '}' || *skip_space(at + 1) != '\0')
        return lsi_template_refuse(&apply->template, node, "it is {KEY: QUERY, ...}, up to %d of them",
                                   LSI_PROCESSOR_KEYS_MAX);
    own->to->partition_keys = own->keys;
    own->to->partition_queries = own->queries;
    own->to->partition_key_count = count;
    return LSI_EXIT_OK;
}

/* In base64. */
static int take_split(lsi_apply *apply, lsi_processors *own, const lsi_node *node, const char *text)
{
    size_t size = strlen(text);

    free(own->split);
    own->split = malloc(lsi_base64_room(size) + 1);
    if (own->split == NULL)
        return no_memory(apply);
    if (!lsi_base64_decode(text, size, own->split, &size) || size == 0 || memchr(own->split, 0, size) != NULL)
        return lsi_template_refuse(&apply->template, node, "it is the delimiter in base64, without a byte of zero");
    own->split[size] = '\0';
    return LSI_EXIT_OK;
}

/* Of a RecordDeAggregation, all parameters of which were taken. */
static int end_split(lsi_apply *apply, lsi_processors *own, const lsi_node *node, const processor *is)
{
    bool is_json = is->sub_type == 0;

    if (is->sub_type == LSI_NO_WORD)
        return lsi_template_refuse(&apply->template, node, "RecordDeAggregation has a SubRecordType");
    if (is_json != (own->split == NULL))
        return lsi_template_refuse(&apply->template, node, "SubRecordType %s has %s Delimiter", sub_types[is->sub_type],
                                   is_json ? "no" : "a");
    own->to->split = is_json ? "" : own->split;
    return LSI_EXIT_OK;
}

static int take_parameter(lsi_apply *apply, lsi_processors *own, const lsi_node *node, processor *is)
{
    char *end;
    double size;
    long retries;

    switch (is->name) {
    case RETRIES:
        retries = strtol(is->value, &end, 10);
        if (*end != '\0' || retries < 0 || retries > 300)
            return lsi_template_refuse(&apply->template, node, "it is a text with a whole number, 0..300");
        own->to->transform_retries_max = retries == 0 ? LS_DELIVERY_NO_RETRIES : (int32_t)retries;
        return LSI_EXIT_OK;
    case SIZE:
        size = strtod(is->value, &end);
        if (*end != '\0' || !(size >= 0.2 && size <= 6))
            return lsi_template_refuse(&apply->template, node, "it is a text with a number, 0.2..6");
        own->to->transform_bytes_max = (uint32_t)(size * MIB);
        return LSI_EXIT_OK;
    case INTERVAL:
        return strcmp(is->value, "0") == 0 ? LSI_EXIT_OK
                                           : lsi_template_refuse(&apply->template, node, "it is \"0\": a call of the "
                                                                 "transform has what is there, and does not wait");
    case DELIMITER_TEXT:
        return is->type == SPLIT ? take_split(apply, own, node, is->value) : take_delimiter(apply, own, is->value);
    case QUERY:
        return take_query(apply, own, node, is->value);
    case ENGINE:
        return strcmp(is->value, "JQ-1.6") == 0 ? LSI_EXIT_OK
                                                : lsi_template_refuse(&apply->template, node, "it is \"JQ-1.6\"");
    case SUB_TYPE:
        is->sub_type = strcmp(is->value, "JSON") == 0 ? 0 : strcasecmp(is->value, "DELIMITED") == 0 ? 1 : LSI_NO_WORD;
        return is->sub_type != LSI_NO_WORD
                   ? LSI_EXIT_OK : lsi_template_refuse(&apply->template, node, "it is \"JSON\" or \"DELIMITED\"");
    default: /* Which function it is, and what that may, is for whoever runs the delivery. */
        return LSI_EXIT_OK;
    }
}

static int take_processor(lsi_apply *apply, lsi_processors *own, const lsi_node *node)
{
    processor is = {.parameters = NULL, .sub_type = LSI_NO_WORD};
    int code = lsi_take_fields(&apply->template, node, processor_takes, &is);

    if (code == LSI_EXIT_OK && is.type == LAMBDA)
        own->to->flags |= LS_DELIVERY_TRANSFORM;
    if (code == LSI_EXIT_OK && is.type == DELIMITER)
        own->to->delimiter = "\n";
    for (const lsi_node *at = is.parameters != NULL ? is.parameters->first : NULL; at != NULL && code == LSI_EXIT_OK;
         at = at->next) {
        code = lsi_take_fields(&apply->template, at, parameter_takes, &is);
        if (code == LSI_EXIT_OK && owners[is.name] != is.type && !(is.name == DELIMITER_TEXT && is.type == SPLIT))
            code = lsi_template_refuse(&apply->template, at, "%s is no parameter of %s", names[is.name],
                                       types[is.type]);
        if (code == LSI_EXIT_OK)
            code = take_parameter(apply, own, lsi_node_member(at, "ParameterValue"), &is);
    }
    return code == LSI_EXIT_OK && is.type == SPLIT ? end_split(apply, own, node, &is) : code;
}

int lsi_processors_take(lsi_apply *apply, lsi_processors *own, const lsi_node *list, ls_delivery_options *to)
{
    int code = LSI_EXIT_OK;

    own->to = to;
    to->flags &= ~LS_DELIVERY_TRANSFORM;
    to->delimiter = to->split = NULL;
    to->partition_key_count = 0;
    for (const lsi_node *at = list != NULL ? list->first : NULL; at != NULL && code == LSI_EXIT_OK; at = at->next)
        code = take_processor(apply, own, at);
    return code;
}

void lsi_processors_free(lsi_processors *own)
{
    free(own->query_text);
    free(own->delimiter);
    free(own->split);
}
