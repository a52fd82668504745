/* Command lines: parsing by a command's table of options, printing its help from the same table, and guessing what a
 * misspelled word was meant to be. `--name value`, `--name=value` and unambiguous beginnings are getopt_long's. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* The options every command has; some only where a store is needed. */
enum { COMMON_STORE, COMMON_KEY_FILE, COMMON_NETWORK_FS, COMMON_JSON, COMMON_HELP, COMMON_COUNT };
static const lsi_option common[COMMON_COUNT + 1] = {
    [COMMON_HELP] = {"help", LSI_OPTION_FLAG, NULL, "Print this.", 0, 0, 'h'},
    [COMMON_JSON] = {"json", LSI_OPTION_FLAG, NULL, "Print JSON instead of text.", 0, 0, 0},
    [COMMON_STORE] = {"store", LSI_OPTION_TEXT, "STORE",
        "The store: a directory. Without it, the environment variable LIBSTREAM_STORE says which.", 0, 0, 's'},
    [COMMON_KEY_FILE] = {"key-file", LSI_OPTION_TEXT, "FILE",
        "The key of encrypted records, or a directory with a file for each key id: 32 bytes or 64 hexadecimal digits, "
        "for nobody else to read. Without it, LIBSTREAM_KEY_FILE says which.", 0, 0, 0},
    [COMMON_NETWORK_FS] = {"network-fs", LSI_OPTION_FLAG, NULL,
        "The store may be on a network file system, at your own risk: locks may not hold there.", 0, 0, 0},
};
static bool is_of_store(int of_common)
{
    return of_common == COMMON_STORE || of_common == COMMON_KEY_FILE || of_common == COMMON_NETWORK_FS;
}
static const lsi_option no_options[] = {{NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0}};

#define VALUE_COMMON 1000 /* getopt's answer for common[i] is this + i, for the command's own options[i] i + 1 */

/* ---- guessing ---- */

/* Restricted Damerau-Levenshtein: insert, delete, replace, swap neighbours. Words beyond 31 bytes are never close. */
static size_t distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    size_t d[32][32];

    if (m > 31 || n > 31)
        return SIZE_MAX;
    for (size_t i = 0; i <= m; i++)
        for (size_t j = 0; j <= n; j++) {
            size_t best;

            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[m][n];
}

const char *lsi_did_you_mean(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) < 4 ? 2 : 3; /* closer than this */

    for (; *names != NULL; names++) {
        size_t d = distance(word, *names);

        if (d < best_distance) {
            best = *names;
            best_distance = d;
        }
    }
    return best;
}

/* ---- values ---- */

bool lsi_parse_bytes(const char *text, uint64_t *out)
{
    char *end;
    uint64_t unit = 1;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    while (*end == ' ')
        end++;
    switch (toupper((unsigned char)*end)) {
    case 'K': unit = UINT64_C(1) << 10; break;
    case 'M': unit = UINT64_C(1) << 20; break;
    case 'G': unit = UINT64_C(1) << 30; break;
    default: break;
    }
    if (unit != 1 && (strcmp(end + 1, "iB") == 0 || strcmp(end + 1, "B") == 0))
        end += strlen(end + 1);
    if (unit != 1)
        end++;
    if (*end != '\0' || *out > UINT64_MAX / unit)
        return false;
    *out *= unit;
    return true;
}

bool lsi_parse_shard(const char *text, uint32_t *out)
{
    unsigned long long number;
    char *end;

    if (strncmp(text, "shardId-", 8) == 0)
        text += 8;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || number >= LS_NO_SHARD)
        return false;
    *out = (uint32_t)number;
    return true;
}

bool lsi_parse_hash_key(const char *text, ls_hash_key *out)
{
    unsigned __int128 n = 0;
    unsigned base = 10;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned digit;
        unsigned __int128 before = n;

        if (isdigit((unsigned char)*text))
            digit = (unsigned)(*text - '0');
        else if (base == 16 && isxdigit((unsigned char)*text))
            digit = (unsigned)(tolower((unsigned char)*text) - 'a') + 10;
        else
            return false;
        n = n * base + digit;
        if (n / base != before || n < before)
            return false;
    }
    out->high = (uint64_t)(n >> 64);
    out->low = (uint64_t)n;
    return true;
}

static int take_value(lsi_call *call, const lsi_option *option, lsi_value *value, const char *text)
{
    value->given = true;
    value->text = text;
    if (option->kind == LSI_OPTION_TEXTS) {
        if (value->text_count == LSI_TEXTS_MAX)
            return lsi_usage(call, "--%s comes more than %d times", option->name, LSI_TEXTS_MAX);
        value->texts[value->text_count++] = text;
    }
    if (option->kind == LSI_OPTION_NUMBER || option->kind == LSI_OPTION_BYTES) {
        bool good;

        if (option->kind == LSI_OPTION_BYTES) {
            good = lsi_parse_bytes(text, &value->number);
        } else {
            char *end;

            errno = 0;
            value->number = strtoull(text, &end, 10);
            good = isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0;
        }
        if (!good || value->number < option->min || value->number > option->max)
            return lsi_usage(call, "--%s is '%s': it takes a number from %llu to %llu", option->name, text,
                             (unsigned long long)option->min, (unsigned long long)option->max);
    }
    return LSI_EXIT_OK;
}

/* ---- help ---- */

/* Prints `text` in columns 24 to 79 and ends the line. */
static void print_wrapped(FILE *to, const char *text)
{
    size_t column = 24;

    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        if (column > 24 && column + 1 + word > 80) {
            (void)fprintf(to, "\n%24s", "");
            column = 24;
        } else if (column > 24) {
            (void)fputc(' ', to);
            column++;
        }
        (void)fprintf(to, "%.*s", (int)word, text);
        column += word;
        text += word;
        while (*text == ' ')
            text++;
    }
    (void)fputc('\n', to);
}

static void print_option(FILE *to, const lsi_option *option)
{
    char left[80];
    int size = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", option->letter != 0 ? '-' : ' ',
                        option->letter != 0 ? option->letter : ' ', option->letter != 0 ? ", " : "  ", option->name,
                        option->word != NULL ? " " : "", option->word != NULL ? option->word : "");

    if (size < 23)
        (void)fprintf(to, "%-24s", left);
    else
        (void)fprintf(to, "%s\n%24s", left, "");
    print_wrapped(to, option->help);
}

static void print_help(const lsi_command *command)
{
    FILE *to = stdout;
    const lsi_option *options = command->options != NULL ? command->options : no_options;

    (void)fprintf(to, "Usage: lstream %s%s%s%s [OPTION...]\n\n%s.\n", command->name,
                  command->arguments[0] != '\0' ? " " : "", command->arguments,
                  command->needs_store ? " [-s STORE]" : "", command->summary);
    if (command->help != NULL)
        (void)fprintf(to, "\n%s", command->help);
    (void)fputs("\nOptions:\n", to);
    for (; options->name != NULL; options++)
        print_option(to, options);
    for (int i = 0; i < COMMON_COUNT; i++)
        if (command->needs_store || !is_of_store(i))
            print_option(to, &common[i]);
}

static void option_json(lsi_json_writer *json, const lsi_option *option)
{
    lsi_json_object_open(json);
    lsi_member_string(json, "name", option->name);
    if (option->letter != 0) {
        lsi_json_key(json, "letter");
        lsi_json_string_sized(json, &option->letter, 1);
    }
    if (option->word != NULL) {
        lsi_member_string(json, "value", option->word);
    }
    lsi_member_string(json, "help", option->help);
    lsi_json_object_close(json);
}

static int print_help_json(const lsi_call *call, const lsi_command *command)
{
    const lsi_option *options = command->options != NULL ? command->options : no_options;
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "name", command->name);
    lsi_member_string(&json, "arguments", command->arguments);
    lsi_member_string(&json, "summary", command->summary);
    lsi_member_string(&json, "help", command->help != NULL ? command->help : "");
    lsi_json_key(&json, "options");
    lsi_json_array_open(&json);
    for (; options->name != NULL; options++)
        option_json(&json, options);
    for (int i = 0; i < COMMON_COUNT; i++)
        if (command->needs_store || !is_of_store(i))
            option_json(&json, &common[i]);
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

int lsi_print_command_help(const lsi_call *call, const lsi_command *command)
{
    if (call->json)
        return print_help_json(call, command);
    print_help(command);
    return LSI_EXIT_OK;
}

/* ---- parsing ---- */

static int unknown_option(lsi_call *call, const lsi_option *options, const char *word, int letter)
{
    const char *names[LSI_OPTIONS_MAX + COMMON_COUNT + 1];
    char text[32];
    const char *meant;
    size_t count = 0;

    if (letter != 0)
        return lsi_usage(call, "there is no option '-%c'", letter);
    for (; options->name != NULL; options++)
        names[count++] = options->name;
    for (int i = 0; i < COMMON_COUNT; i++)
        names[count++] = common[i].name;
    names[count] = NULL;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    meant = lsi_did_you_mean(text, names);
    if (meant != NULL)
        return lsi_usage(call, "there is no option '--%s'; did you mean '--%s'?", text, meant);
    return lsi_usage(call, "there is no option '--%s'", text);
}

int lsi_command_run(const lsi_command *command, int argc, char **argv)
{
    const lsi_option *options = command->options != NULL ? command->options : no_options;
    struct option longs[LSI_OPTIONS_MAX + COMMON_COUNT + 1];
    char shorts[2 * (LSI_OPTIONS_MAX + COMMON_COUNT) + 2] = ":";
    lsi_call call = {.command = command};
    size_t longs_count = 0, own_count = 0, shorts_size = 1;
    bool wants_help = false;
    int code;

    for (const lsi_option *o = options; o->name != NULL; o++)
        own_count++;
    for (size_t i = 0; i < own_count + COMMON_COUNT; i++) {
        const lsi_option *o = i < own_count ? &options[i] : &common[i - own_count];
        bool argument = o->kind != LSI_OPTION_FLAG;
        int value = i < own_count ? (int)i + 1 : (int)(VALUE_COMMON + i - own_count);

        longs[longs_count++] = (struct option){o->name, argument ? required_argument : no_argument, NULL, value};
        if (o->letter != 0) {
            shorts[shorts_size++] = o->letter;
            if (argument)
                shorts[shorts_size++] = ':';
        }
    }
    longs[longs_count] = (struct option){NULL, 0, NULL, 0};
    shorts[shorts_size] = '\0';

    opterr = 0;
    optind = 1;
    for (;;) {
        int at = optind;
        int value = getopt_long(argc, argv, shorts, longs, NULL);

        if (value == -1)
            break;
        if (value == '?' || value == ':') {
            const char *word = argv[optind > at ? optind - 1 : at];

            if (value == ':')
                return lsi_usage(&call, "option '%s' needs a value", word);
            if (optopt != 0 && strncmp(word, "--", 2) == 0)
                return lsi_usage(&call, "option '%.*s' takes no value", (int)strcspn(word, "="), word);
            return unknown_option(&call, options, word, optopt);
        }
        for (size_t i = 0; i < own_count + COMMON_COUNT; i++) { /* a letter stands for its long name */
            const lsi_option *o = i < own_count ? &options[i] : &common[i - own_count];

            if (o->letter != 0 && value == o->letter)
                value = i < own_count ? (int)i + 1 : (int)(VALUE_COMMON + i - own_count);
        }
        if (value == VALUE_COMMON + COMMON_HELP) {
            wants_help = true;
        } else if (value == VALUE_COMMON + COMMON_JSON) {
            call.json = true;
        } else if (value == VALUE_COMMON + COMMON_NETWORK_FS) {
            call.network_fs = true;
        } else if (value == VALUE_COMMON + COMMON_STORE) {
            call.store = optarg;
        } else if (value == VALUE_COMMON + COMMON_KEY_FILE) {
            call.key_file = optarg;
        } else {
            code = take_value(&call, &options[value - 1], &call.values[value - 1], optarg);
            if (code != LSI_EXIT_OK)
                return code;
        }
    }
    if (wants_help)
        return lsi_print_command_help(&call, command);
    call.arguments = argv + optind;
    call.argument_count = argc - optind;
    if (call.argument_count < command->arguments_min)
        return lsi_usage(&call, "too few arguments: lstream %s %s", command->name, command->arguments);
    if (call.argument_count > command->arguments_max)
        return lsi_usage(&call, "'%s' is one argument too many", call.arguments[command->arguments_max]);
    if (command->needs_store && call.store == NULL)
        call.store = getenv("LIBSTREAM_STORE");
    if (call.key_file == NULL)
        call.key_file = getenv("LIBSTREAM_KEY_FILE");
    if (call.key_file != NULL && call.key_file[0] == '\0')
        call.key_file = NULL;
    if (command->needs_store && (call.store == NULL || call.store[0] == '\0'))
        return lsi_usage(&call, "which store? Say --store STORE, or set LIBSTREAM_STORE");
    if (command->needs_store && strcmp(call.store, "memory:") == 0)
        return lsi_usage(&call, "a store in memory would end with this command: name a directory");
    return command->run(&call);
}
