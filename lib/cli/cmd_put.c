/* lstream put: one record per line.
 *
 * Lines go out in batches, but a line is never held back for others: before reading would wait, what is there is put;
 * asynchronously, it goes when it is 5 ms old. The library checks; here nothing is checked twice. What is no fault of a
 * record (a full disk, damage, a deleted stream) ends the command; so does a signal, after the batch that is under way.
 * However it ends, it says how many lines it read and stored, and which ones it took and did not store. */
#include "cli/put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t)11 << 20)  /* above the largest record there can be, 10 MiB */
#define BATCH_BYTES_MAX ((size_t)32 << 20) /* half of what one call takes */

enum { KEY, KEY_COLUMN, KEY_FIELD, DELIMITER, HEADER, BATCH, ASYNC, AGGREGATE, EXPLICIT_HASH_KEY, DURABILITY,
       NO_RETRY, QUIET };
static const lsi_option options[] = {
    [KEY] = {"key", LSI_OPTION_TEXT, "TEXT", "This partition key for every record.", 0, 0, 'k'},
    [KEY_COLUMN] = {"key-column", LSI_OPTION_TEXT, "C",
        "Lines are CSV (quotes may hold line feeds) and this column is the key: its number from 1, or its name, and "
        "then "
        "the first line is the header.", 0, 0, 0},
    [KEY_FIELD] = {"key-field", LSI_OPTION_TEXT, "FIELD",
                   "Lines are JSON objects and this member, a text, a number or a boolean, is the key.", 0, 0, 0},
    [DELIMITER] = {"delimiter", LSI_OPTION_TEXT, "X", "What separates columns; a comma unless told otherwise, \\t is "
                                                      "a tab.",
        0, 0, 'd'},
    [HEADER] = {"header", LSI_OPTION_FLAG, NULL, "The first line is a header: it is no record.", 0, 0, 0},
    [BATCH] = {"batch", LSI_OPTION_NUMBER, "N", "Records per call, 500 unless told otherwise; 16384 with --async.", 1,
               65536, 0},
    [ASYNC] = {"async", LSI_OPTION_FLAG, NULL, "Wait for no batch before the next one. What cannot be stored is tried "
               "again for a minute.", 0, 0, 0},
    [AGGREGATE] = {"aggregate", LSI_OPTION_FLAG, NULL, "Pack lines of one shard into one record, as the Kinesis "
                   "producer library does, up to 51,200 bytes. Implies --async.", 0, 0, 0},
    [EXPLICIT_HASH_KEY] = {"explicit-hash-key", LSI_OPTION_TEXT, "N",
        "Choose the shard by this number (decimal, or 0x and hexadecimal) instead of the key's hash.", 0, 0, 0},
    [DURABILITY] = {"durability", LSI_OPTION_TEXT, "D",
        "sync, interval or kernel: wait for this, if it is more than the store's.", 0, 0, 0},
    [NO_RETRY] = {"no-retry", LSI_OPTION_FLAG, NULL, LSI_NO_RETRY_HELP, 0, 0, 0},
    [QUIET] = {"quiet", LSI_OPTION_FLAG, NULL, "No summary and no progress bar.", 0, 0, 'q'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

/* Makes `*bytes` hold `wanted`. */
static bool grow(char **bytes, size_t *capacity, size_t wanted)
{
    size_t bigger = *capacity != 0 ? *capacity : (size_t)64 << 10;
    char *grown;

    while (bigger < wanted)
        bigger *= 2;
    if (bigger == *capacity)
        return true;
    grown = realloc(*bytes, bigger);
    if (grown == NULL)
        return false;
    *bytes = grown;
    *capacity = bigger;
    return true;
}

/* The line's key, a view that is good until the next line. NULL: refused, and it was said. */
static const char *find_key(lsi_put_run *state, const char *line, size_t size, size_t *key_size, char **member)
{
    const lsi_value *values = state->call->values;
    uint64_t number = lsi_lines_number(state->lines);
    char text[600];

    *member = NULL;
    if (values[KEY].given) {
        *key_size = strlen(values[KEY].text);
        return values[KEY].text;
    }
    if (values[KEY_COLUMN].given) {
        if (!lsi_csv_field(line, size, state->delimiter, state->key_column, state->scratch, key_size)) {
            (void)snprintf(text, sizeof text, "it has no column %zu", state->key_column + 1);
            lsi_put_refuse(state, number, text);
            return NULL;
        }
        if (*key_size == 0) {
            (void)snprintf(text, sizeof text, "its column %zu, the key, is empty", state->key_column + 1);
            lsi_put_refuse(state, number, text);
            return NULL;
        }
        return state->scratch;
    }
    ls_status st = lsi_json_member(&lsi_memory_libc, line, size, values[KEY_FIELD].text, member, key_size);
    if (st == LS_OK)
        return *member;
    if (st == LS_ERR_UNSUPPORTED || st == LS_ERR_NO_MEMORY) {
        lsi_put_give_up(state, number, st, ls_last_error_message());
        return NULL;
    }
    if (st == LS_ERR_NOT_FOUND)
        (void)snprintf(text, sizeof text, "it has no member \"%.200s\" that is a text, a number or a boolean",
                       values[KEY_FIELD].text);
    else
        (void)snprintf(text, sizeof text, "it is no JSON object: %s", ls_last_error_message());
    lsi_put_refuse(state, number, text);
    return NULL;
}

static void take_line(lsi_put_run *state, const char *line, size_t size)
{
    lsi_put_line *record = &state->records[state->count];
    size_t key_size;
    const char *key;
    char *member;

    state->read++;
    if (state->call->values[KEY_COLUMN].given && !grow(&state->scratch, &state->scratch_capacity, size + 1)) {
        lsi_say(state->call, "line %" PRIu64 ": out of memory", lsi_lines_number(state->lines));
        state->stop_code = LSI_EXIT_FAILED;
        return;
    }
    key = find_key(state, line, size, &key_size, &member);
    if (key == NULL)
        return;
    if (state->async != NULL) {
        lsi_put_async_line(state, lsi_lines_number(state->lines), (ls_bytes){key, key_size}, (ls_bytes){line, size});
        free(member);
        return;
    }
    if (!grow(&state->bytes, &state->bytes_capacity, state->bytes_size + key_size + size + 1)) {
        lsi_say(state->call, "line %" PRIu64 ": out of memory", lsi_lines_number(state->lines));
        state->stop_code = LSI_EXIT_FAILED;
        free(member);
        return;
    }
    record->line = lsi_lines_number(state->lines);
    record->key_at = state->bytes_size;
    record->key_size = key_size;
    if (key_size != 0)
        memcpy(state->bytes + state->bytes_size, key, key_size);
    state->bytes_size += key_size;
    record->data_at = state->bytes_size;
    record->data_size = size;
    if (size != 0)
        memcpy(state->bytes + state->bytes_size, line, size);
    state->bytes_size += size;
    state->count++;
    free(member); /* lsi_memory_libc is malloc and free. */
    if (state->count == state->batch_max || state->bytes_size >= BATCH_BYTES_MAX)
        lsi_put_batch(state);
}

/* The header line: finds the key's column by its name. */
static void take_header(lsi_put_run *state, const char *line, size_t size)
{
    const char *name = state->call->values[KEY_COLUMN].text;

    if (!state->key_by_name)
        return;
    if (!grow(&state->scratch, &state->scratch_capacity, size + 1)) {
        lsi_say(state->call, "line 1: out of memory");
        state->stop_code = LSI_EXIT_FAILED;
    } else if (!lsi_csv_find(line, size, state->delimiter, name, state->scratch, &state->key_column)) {
        lsi_say(state->call, "line 1: the header has no column '%s'; nothing was put", name);
        state->stop_code = LSI_EXIT_FAILED;
    }
}

/* What is there goes, before somebody waits for more. */
static void send(lsi_put_run *state)
{
    if (state->async != NULL)
        lsi_put_async_look(state);
    else
        lsi_put_batch(state);
}

static void put_lines(lsi_put_run *state)
{
    bool header = state->key_by_name || state->call->values[HEADER].given;

    while (state->stop_code == LSI_EXIT_OK) {
        char *line;
        size_t size;

        if (lsi_signal_number() != 0) {
            send(state);
            (void)lsi_put_is_interrupted(state);
            return;
        }
        switch (lsi_lines_next(state->lines, state->count == 0, &line, &size)) {
        case LSI_LINE:
            if (header)
                take_header(state, line, size);
            else
                take_line(state, line, size);
            header = false;
            break;
        case LSI_LINE_TOO_LONG:
            state->read++;
            lsi_put_refuse(state, lsi_lines_number(state->lines), "it is longer than 11 MiB, no record can be");
            header = false;
            break;
        case LSI_LINE_UNCLOSED:
            state->read++;
            lsi_put_refuse(state, lsi_lines_number(state->lines), "a quote is opened here and never closed: nothing "
                           "from here to the end was put");
            header = false;
            break;
        case LSI_LINE_WOULD_WAIT:
            send(state);
            break;
        case LSI_LINES_END:
            send(state);
            return;
        case LSI_LINES_FAILED:
            send(state);
            lsi_say(state->call, "reading %s: %s", state->input, strerror(errno));
            state->stop_code = LSI_EXIT_FAILED;
            return;
        }
    }
}

static int print_summary(const lsi_put_run *state, int code)
{
    lsi_json_writer json;

    if (state->call->json) {
        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_uint(&json, "read", state->read);
        lsi_member_uint(&json, "stored", state->stored);
        lsi_member_uint(&json, "refused", state->refused);
        lsi_member_uint(&json, "bytes", state->data_bytes);
        if (state->call->values[AGGREGATE].given)
            lsi_member_uint(&json, "aggregates", state->aggregates);
        lsi_json_key(&json, "throttled_seconds");
        lsi_json_double(&json, (double)state->waited_ms / 1000.0);
        lsi_json_key(&json, "seconds");
        lsi_json_double(&json, (double)(lsi_now_ms() - state->began_ms) / 1000.0);
        lsi_json_object_close(&json);
        return lsi_out_json(state->call, &json, code);
    }
    if (!state->call->values[QUIET].given) {
        char size[LSI_SIZE_BYTES];

        lsi_format_size(state->data_bytes, size);
        lsi_say(state->call, "%" PRIu64 " lines read, %" PRIu64 " stored (%s), %" PRIu64 " refused", state->read,
                state->stored, size, state->refused);
        if (state->call->values[AGGREGATE].given)
            lsi_say(state->call, "%" PRIu64 " aggregates", state->aggregates);
        if (state->waited_ms != 0)
            lsi_say(state->call, "waited %.1f s for limits of the stream", (double)state->waited_ms / 1000.0);
    }
    return code;
}

/* What else may be wrong with it the library says of the first record. */
static bool is_key_of_right_size(const char *key)
{
    size_t characters = 0;

    for (; *key != '\0'; key++)
        characters += ((unsigned char)*key & 0xc0) != 0x80;
    return characters >= 1 && characters <= 256;
}

/* Looks at the options that need more than their kind. */
static int check_options(const lsi_call *call, lsi_put_run *state, ls_hash_key *hash_key)
{
    const lsi_value *values = call->values;

    if (values[KEY].given + values[KEY_COLUMN].given + values[KEY_FIELD].given != 1)
        return lsi_usage(call, "say what the partition key is: one of --key, --key-column and --key-field");
    state->delimiter = ',';
    if (values[DELIMITER].given) {
        const char *text = strcmp(values[DELIMITER].text, "\\t") == 0 ? "\t" : values[DELIMITER].text;

        if (!values[KEY_COLUMN].given)
            return lsi_usage(call, "--delimiter goes with --key-column");
        if (strlen(text) != 1 || *text == '"' || *text == '\n')
            return lsi_usage(call, "--delimiter is '%s': it is one character, and no quote", values[DELIMITER].text);
        state->delimiter = text[0];
    }
    if (values[KEY].given && !is_key_of_right_size(values[KEY].text))
        return lsi_usage(call, "--key is '%.80s'%s: a partition key has 1 to 256 characters", values[KEY].text,
                         strlen(values[KEY].text) > 80 ? " ..." : "");
    if (values[KEY_COLUMN].given) {
        const char *text = values[KEY_COLUMN].text;

        state->key_by_name = text[0] == '\0' || strspn(text, "0123456789") != strlen(text);
        if (!state->key_by_name) {
            errno = 0;
            unsigned long long column = strtoull(text, NULL, 10);
            if (column == 0 || column > LINE_BYTES_MAX || errno != 0)
                return lsi_usage(call, "--key-column is '%s': columns count from 1", text);
            state->key_column = (size_t)column - 1;
        }
    }
    if (values[EXPLICIT_HASH_KEY].given) {
        if (!lsi_parse_hash_key(values[EXPLICIT_HASH_KEY].text, hash_key))
            return lsi_usage(call, "--explicit-hash-key is '%s': it is a number below 2^128",
                             values[EXPLICIT_HASH_KEY].text);
        state->explicit_hash_key = hash_key;
    }
    state->no_retry = values[NO_RETRY].given;
    if (state->no_retry && (values[ASYNC].given || values[AGGREGATE].given))
        return lsi_usage(call, "--no-retry does not go with --async and --aggregate, which try again by themselves");
    if (values[DURABILITY].given && !lsi_parse_durability(values[DURABILITY].text, &state->put.durability))
        return lsi_usage(call, "--durability is '%s': it is sync, interval or kernel", values[DURABILITY].text);
    return LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    lsi_put_run state = {.call = call, .put = LS_PUT_OPTIONS_INIT};
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_hash_key hash_key;
    struct stat about;
    ls_status st;
    int fd = STDIN_FILENO;
    int code = check_options(call, &state, &hash_key);

    if (code != LSI_EXIT_OK)
        return code;
    state.input = "standard input";
    if (call->argument_count == 2 && strcmp(call->arguments[1], "-") != 0) {
        state.input = call->arguments[1];
        fd = open(state.input, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            int err = errno;

            lsi_say(call, "%s: %s", state.input, strerror(err));
            return err == ENOENT ? LSI_EXIT_NOT_FOUND : LSI_EXIT_FAILED;
        }
    }
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
        state.input_bytes = (uint64_t)about.st_size;
    state.bar = isatty(STDERR_FILENO) != 0 && !call->values[QUIET].given && isatty(fd) == 0;
    state.batch_max = call->values[BATCH].given ? (size_t)call->values[BATCH].number : 500;
    state.records = calloc(state.batch_max, sizeof *state.records);
    state.entries = calloc(state.batch_max, sizeof *state.entries);
    state.results = calloc(state.batch_max, sizeof *state.results);
    state.lines = lsi_lines_open(fd, call->values[KEY_COLUMN].given ? state.delimiter : '\0', LINE_BYTES_MAX);
    state.began_ms = lsi_now_ms();
    if (state.records == NULL || state.entries == NULL || state.results == NULL || state.lines == NULL) {
        lsi_say(call, "out of memory");
        code = LSI_EXIT_FAILED;
        goto done;
    }
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        goto done;
    if (call->values[ASYNC].given || call->values[AGGREGATE].given) {
        code = lsi_put_async_open(&state, stream, call->values[BATCH].given ? (uint32_t)state.batch_max : 0,
                                  call->values[AGGREGATE].given);
    } else {
        st = ls_producer_open(stream, NULL, &state.producer);
        code = st != LS_OK ? lsi_failed(call, st) : LSI_EXIT_OK;
    }
    if (code != LSI_EXIT_OK)
        goto done;
    lsi_signals_catch();
    put_lines(&state);
    if (state.async != NULL)
        lsi_put_async_close(&state);
    else
        lsi_put_batch(&state); /* Says what was read and not put, if it was given up between two batches. */
    lsi_put_clear_bar(&state);
    code = state.stop_code != LSI_EXIT_OK ? state.stop_code : state.refused != 0 ? LSI_EXIT_FAILED : LSI_EXIT_OK;
    st = ls_producer_close(state.producer); /* NULL is accepted. */
    if (st != LS_OK && code == LSI_EXIT_OK)
        code = lsi_failed(call, st);
    code = print_summary(&state, code);
done:
    code = lsi_close_stream(call, stream, store, code);
    lsi_lines_close(state.lines);
    free(state.records);
    free(state.entries);
    free(state.results);
    free(state.bytes);
    free(state.scratch);
    if (fd != STDIN_FILENO)
        (void)close(fd); /* It was only read. */
    return code;
}

const lsi_command lsi_command_put = {
    .name = "put",
    .summary = "Store the lines of a file or of standard input",
    .arguments = "NAME [FILE]",
    .help = "Each line is one record, without its line feed. Lines that cannot be stored (no\n"
            "key, too large) are told with their number and reason, the others are stored,\n"
            "and the exit code is 1. Anything else that fails ends the command at that line,\n"
            "a signal (Ctrl+C) behind the batch that is under way.\n"
            "\n"
            "The summary goes to standard error; with --json it is one object on standard\n"
            "output: {\"read\", \"stored\", \"refused\", \"bytes\", \"throttled_seconds\",\n"
            "\"seconds\"}, with --aggregate also \"aggregates\". With --async waiting for limits\n"
            "is not counted, and what cannot be stored for a minute ends the command: lines\n"
            "behind it may be stored, and those that are not are told.\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
