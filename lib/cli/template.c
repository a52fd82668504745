/* Reading a template: the file, the tree of it, and its parameters.
 *
 * `{"Ref": NAME}` stands for a parameter anywhere but in "Parameters", whose members have a "Default" unless the
 * command line gives the value, as in CloudFormation's templates. */
#include "cli/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)
#define PATH_BYTES 512

/* ---- telling ---- */

static void write_path(const lsi_node *node, char path[PATH_BYTES])
{
    char step[PATH_BYTES], behind[PATH_BYTES] = "";

    path[0] = '\0';
    for (; node->above != NULL; node = node->above) {
        if (node->key != NULL)
            (void)snprintf(step, sizeof step, "%s%.200s", node->above->above != NULL ? "." : "", node->key);
        else
            (void)snprintf(step, sizeof step, "[%u]", (unsigned)node->index);
        (void)snprintf(path, PATH_BYTES, "%.250s%.250s", step, behind); /* a very long one is cut */
        (void)snprintf(behind, sizeof behind, "%s", path);
    }
}

int lsi_template_refuse(const lsi_template *template, const lsi_node *node, const char *format, ...)
{
    char path[PATH_BYTES], message[PATH_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_path(node, path);
    lsi_say(template->call, "%s:%u: %s%s%s", template->path, (unsigned)node->line, path, path[0] != '\0' ? ": " : "",
            message);
    return LSI_EXIT_USAGE;
}

static int no_memory(const lsi_template *template)
{
    lsi_say(template->call, "out of memory");
    return LSI_EXIT_FAILED;
}

const lsi_node *lsi_node_member(const lsi_node *object, const char *key)
{
    const lsi_node *at = object->kind == LSI_JSON_OBJECT_OPEN ? object->first : NULL;

    while (at != NULL && strcmp(at->key, key) != 0)
        at = at->next;
    return at;
}

/* ---- the file ---- */

static int read_file(lsi_template *template)
{
    FILE *file = strcmp(template->path, "-") == 0 ? stdin : fopen(template->path, "rb");
    size_t capacity = 4096, got;
    int err = 0;

    if (file == NULL) {
        lsi_say(template->call, "%s: %s", template->path, strerror(errno));
        return LSI_EXIT_USAGE;
    }
    do {
        char *grown = realloc(template->text, capacity *= 2);

        if (grown == NULL) {
            err = ENOMEM;
            break;
        }
        template->text = grown;
        got = fread(template->text + template->size, 1, capacity - template->size, file);
        template->size += got;
        if (ferror(file))
            err = errno;
        else if (template->size > FILE_BYTES_MAX)
            err = EFBIG;
    } while (err == 0 && template->size == capacity);
    if (file != stdin)
        (void)fclose(file); /* It was only read. */
    if (err == 0)
        return LSI_EXIT_OK;
    lsi_say(template->call, "%s: %s", template->path, strerror(err));
    return LSI_EXIT_FAILED;
}

/* ---- the tree ---- */

typedef struct building {
    lsi_template *template;
    lsi_json_reader *reader;
    lsi_node *open; /* the object or array that is being read */
    char *key;      /* of the member that comes */
    size_t line_at; /* up to here lines were counted */
    uint32_t line;
    bool is_short;  /* of memory */
    bool has_zero;  /* a text or key: no name and no setting has a zero byte */
} building;

static char *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);

    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

static uint32_t line_of(building *of, size_t at)
{
    for (; of->line_at < at && of->line_at < of->template->size; of->line_at++)
        of->line += of->template->text[of->line_at] == '\n';
    return of->line;
}

static bool add_node(building *of, lsi_json_kind kind, const char *text, size_t size)
{
    lsi_template *template = of->template;
    lsi_node *node = calloc(1, sizeof *node);

    if (node == NULL)
        return false;
    node->made_before = template->made;
    template->made = node;
    node->kind = kind;
    node->key = of->key;
    of->key = NULL;
    node->line = of->line;
    node->above = of->open;
    node->text = copy_text(text, size);
    if (template->root == NULL)
        template->root = node;
    if (of->open != NULL) {
        node->index = of->open->last != NULL ? of->open->last->index + 1 : 0;
        *(of->open->last != NULL ? &of->open->last->next : &of->open->first) = node;
        of->open->last = node;
    }
    if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN)
        of->open = node;
    return node->text != NULL;
}

static bool take_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    building *of = user;

    (void)depth;
    (void)line_of(of, lsi_json_reader_at(of->reader));
    of->has_zero = memchr(text, 0, size) != NULL;
    if (of->has_zero)
        return false;
    if (kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE) {
        of->open = of->open->above;
        return true;
    }
    if (kind == LSI_JSON_KEY) {
        of->key = copy_text(text, size);
        of->is_short = of->key == NULL;
    } else {
        of->is_short = !add_node(of, kind, text, size);
    }
    return !of->is_short;
}

static int build(lsi_template *template)
{
    building of = {.template = template, .line = 1};
    ls_status st = lsi_json_reader_open(&lsi_memory_libc, 0, &of.reader);
    int code = LSI_EXIT_OK;

    if (st != LS_OK)
        return lsi_failed(template->call, st);
    st = lsi_json_read(of.reader, template->text, template->size, take_token, &of);
    free(of.key);
    if (st == LS_ERR_INVALID_ARGUMENT) {
        lsi_say(template->call, "%s:%u: %s", template->path, (unsigned)line_of(&of, lsi_json_reader_at(of.reader)),
                ls_last_error_message());
        code = LSI_EXIT_USAGE;
    } else if (of.has_zero) {
        lsi_say(template->call, "%s:%u: a text with a zero byte", template->path, (unsigned)of.line);
        code = LSI_EXIT_USAGE;
    } else if (of.is_short || st != LS_OK) {
        code = no_memory(template);
    } else if (template->root->kind != LSI_JSON_OBJECT_OPEN) {
        code = lsi_template_refuse(template, template->root, "a template is an object");
    }
    lsi_json_reader_close(of.reader);
    return code;
}

/* ---- parameters ---- */

typedef struct parameter {
    const char *description;
    const lsi_node *fallback;
    int64_t length_min;
    int32_t type;
} parameter;

static const char *const types[] = {"String", "Number", NULL};
static const lsi_take parameter_takes[] = {
    {"Type", LSI_TAKE_WORD, offsetof(parameter, type), true, 0, 0, types},
    {"Default", LSI_TAKE_NODE, offsetof(parameter, fallback), false, 0, 0, NULL},
    {"MinLength", LSI_TAKE_NUMBER, offsetof(parameter, length_min), false, 0, 1 << 20, NULL},
    {"Description", LSI_TAKE_TEXT, offsetof(parameter, description), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

/* What the command line says of it; NULL: nothing. */
static const char *setting_of(const char *name, const char *const *settings, size_t count)
{
    size_t size = strlen(name);

    for (size_t i = count; i-- > 0;) /* the last one counts */
        if (strncmp(settings[i], name, size) == 0 && settings[i][size] == '=')
            return settings[i] + size + 1;
    return NULL;
}

/* Whether it can stand in JSON as a number. */
static bool is_number(const char *text)
{
    char *end;

    (void)strtod(text, &end);
    return (isdigit((unsigned char)text[0]) || text[0] == '-') && *end == '\0' && strpbrk(text, "xXnN") == NULL;
}

static size_t characters_in(const char *text)
{
    size_t size = strlen(text), count = lsi_utf8_count(text, size);

    return count != LSI_UTF8_BAD ? count : size;
}

/* The node becomes the parameter's value. */
static int put_in(const lsi_template *template, lsi_node *node, const lsi_node *name, const char *const *settings,
                  size_t count)
{
    const lsi_node *all = lsi_node_member(template->root, "Parameters");
    const lsi_node *found = all != NULL ? lsi_node_member(all, name->text) : NULL;
    parameter is = {.length_min = 0};
    const char *value;
    int code;

    if (name->kind != LSI_JSON_STRING || found == NULL)
        return lsi_template_refuse(template, node, "there is no parameter '%s'", name->text);
    code = lsi_take_fields(template, found, parameter_takes, &is);
    if (code != LSI_EXIT_OK)
        return code;
    value = setting_of(name->text, settings, count);
    if (value == NULL && is.fallback != NULL)
        value = is.fallback->text;
    if (value == NULL)
        return lsi_template_refuse(template, found, "it has no Default: say --set %s=VALUE", name->text);
    if ((int64_t)characters_in(value) < is.length_min)
        return lsi_template_refuse(template, found, "its value '%s' has fewer characters than MinLength", value);
    if (is.type == 1 && !is_number(value))
        return lsi_template_refuse(template, found, "its value '%s' is no number", value);
    free(node->text);
    node->text = copy_text(value, strlen(value));
    node->kind = is.type == 1 ? LSI_JSON_NUMBER : LSI_JSON_STRING;
    node->first = node->last = NULL;
    return node->text != NULL ? LSI_EXIT_OK : no_memory(template);
}

static bool is_below(const lsi_node *node, const lsi_node *above)
{
    while (node != NULL && node != above)
        node = node->above;
    return node != NULL;
}

/* What is in a schema is the schema's, whatever its properties are called. */
static bool is_in_schema(const lsi_node *node)
{
    while (node != NULL && (node->key == NULL || strcmp(node->key, "Schema") != 0))
        node = node->above;
    return node != NULL;
}

static int put_parameters_in(const lsi_template *template, const char *const *settings, size_t count)
{
    const lsi_node *all = lsi_node_member(template->root, "Parameters");
    int code = LSI_EXIT_OK;

    if (all != NULL && all->kind != LSI_JSON_OBJECT_OPEN)
        return lsi_template_refuse(template, all, "it is an object");
    for (const lsi_node *at = all != NULL ? all->first : NULL; at != NULL && code == LSI_EXIT_OK; at = at->next) {
        parameter is = {.length_min = 0};

        code = lsi_take_fields(template, at, parameter_takes, &is);
        if (code == LSI_EXIT_OK && is.fallback != NULL &&
            (is.fallback->kind == LSI_JSON_OBJECT_OPEN || is.fallback->kind == LSI_JSON_ARRAY_OPEN))
            code = lsi_template_refuse(template, is.fallback, "it is a text or a number");
    }
    for (size_t i = 0; i < count && code == LSI_EXIT_OK; i++) {
        const char *equals = strchr(settings[i], '=');
        char *name = equals == NULL ? NULL : copy_text(settings[i], (size_t)(equals - settings[i]));

        if (equals == NULL)
            code = lsi_usage(template->call, "--set is '%s': it is NAME=VALUE", settings[i]);
        else if (name == NULL)
            code = no_memory(template);
        else if (all == NULL || lsi_node_member(all, name) == NULL)
            code = lsi_usage(template->call, "--set %s: the template has no parameter '%s'", settings[i], name);
        free(name);
    }
    for (lsi_node *at = template->made; at != NULL && code == LSI_EXIT_OK; at = at->made_before)
        if (at->kind == LSI_JSON_OBJECT_OPEN && at->first != NULL && at->first->next == NULL &&
            strcmp(at->first->key, "Ref") == 0 && (all == NULL || !is_below(at, all)) && !is_in_schema(at->above))
            code = put_in(template, at, at->first, settings, count);
    return code;
}

/* ---- all of it ---- */

int lsi_template_load(const lsi_call *call, const char *path, const char *const *settings, size_t count,
                      lsi_template *out)
{
    int code;

    *out = (lsi_template){.call = call, .path = path};
    code = read_file(out);
    if (code == LSI_EXIT_OK)
        code = build(out);
    if (code == LSI_EXIT_OK)
        code = put_parameters_in(out, settings, count);
    return code;
}

void lsi_template_free(lsi_template *template)
{
    while (template->made != NULL) {
        lsi_node *node = template->made;

        template->made = node->made_before;
        free(node->text);
        free(node->key);
        free(node);
    }
    free(template->text);
    *template = (lsi_template){.call = template->call};
}
