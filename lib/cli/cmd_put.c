/* lstream put: one record per line.
 *
 * Lines go out in batches, but a line is never held back for others: before reading would wait, what is there is put.
 * The library checks; here nothing is checked twice. A batch with a bad record in it is refused whole, so it is put
 * again in halves until the bad record stands alone and its reason can be told with its line: 9 more calls in 500
 * records. What is no fault of a record (a full disk, damage, a deleted stream) ends the command; so does a signal,
 * after the batch that is under way. However it ends, it says how many lines it read and stored, and of the last batch
 * which ones it did not. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t)11 << 20)  /* above the largest record there can be, 10 MiB */
#define BATCH_BYTES_MAX ((size_t)32 << 20) /* half of what one call takes */

enum { KEY, KEY_COLUMN, KEY_FIELD, DELIMITER, HEADER, BATCH, EXPLICIT_HASH_KEY, DURABILITY, NO_RETRY,
       QUIET };
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
    [BATCH] = {"batch", LSI_OPTION_NUMBER, "N", "Records per call, 500 unless told otherwise.", 1, 65536, 0},
    [EXPLICIT_HASH_KEY] = {"explicit-hash-key", LSI_OPTION_TEXT, "N",
        "Choose the shard by this number (decimal, or 0x and hexadecimal) instead of the key's hash.", 0, 0, 0},
    [DURABILITY] = {"durability", LSI_OPTION_TEXT, "D",
        "sync, interval or kernel: wait for this, if it is more than the store's.", 0, 0, 0},
    [NO_RETRY] = {"no-retry", LSI_OPTION_FLAG, NULL, LSI_NO_RETRY_HELP, 0, 0, 0},
    [QUIET] = {"quiet", LSI_OPTION_FLAG, NULL, "No summary and no progress bar.", 0, 0, 'q'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

typedef struct line_record {
    size_t key_at, key_size, data_at, data_size; /* in the batch's bytes, which may move while it grows */
    uint64_t line;
} line_record;

typedef struct run_state {
    const lsi_call *call;
    ls_producer *producer;
    ls_put_options put;
    const ls_hash_key *explicit_hash_key;
    const char *input; /* its name */
    lsi_lines *lines;
    char delimiter;
    bool key_by_name;
    size_t key_column;

    line_record *records; /* [batch_max] */
    ls_put_entry *entries;
    ls_put_result *results;
    size_t count, batch_max;
    char *bytes;
    size_t bytes_size, bytes_capacity;
    char *scratch; /* a line's worth, for undoing quotes */
    size_t scratch_capacity;

    uint64_t read, stored, refused, data_bytes;
    uint64_t waited_ms;   /* for limits of the stream */
    uint32_t tries;       /* to be let in, in a row */
    int stop_code;        /* not LSI_EXIT_OK: give up */
    char not_stored[72];  /* lines of the last batch that were not, as ranges, and not said yet */
    uint64_t range_first, range_last; /* the one that grows; 0: none */
    bool is_unknown;      /* of one of them the outcome is */
    bool bar;             /* a progress bar is wanted */
    uint64_t input_bytes; /* 0: not known */
    int64_t began_ms, drawn_ms;
} run_state;

static void clear_bar(const run_state *state)
{
    if (state->bar && state->drawn_ms != 0)
        (void)fputs("\r\033[K", stderr);
}

static void draw_bar(run_state *state)
{
    int64_t now = lsi_now_ms();
    uint64_t done = lsi_lines_bytes(state->lines);
    int64_t spent = now - state->began_ms;

    if (!state->bar || spent < 300 || now - state->drawn_ms < 100) /* What is quick needs no bar. */
        return;
    state->drawn_ms = now;
    if (state->input_bytes != 0) {
        char bar[31];
        int full = (int)(done >= state->input_bytes ? 30 : done * 30 / state->input_bytes);

        memset(bar, '.', 30);
        memset(bar, '#', (size_t)full);
        bar[30] = '\0';
        (void)fprintf(stderr, "\r\033[K[%s] %3d%%  %" PRIu64 " records  %.0f/s", bar,
                      (int)(done >= state->input_bytes ? 100 : done * 100 / state->input_bytes), state->stored,
                      (double)state->stored * 1000.0 / (double)spent);
    } else {
        (void)fprintf(stderr, "\r\033[K%" PRIu64 " records  %.0f/s", state->stored,
                      (double)state->stored * 1000.0 / (double)spent);
    }
    (void)fflush(stderr);
}

static void refuse(run_state *state, uint64_t line, const char *reason)
{
    clear_bar(state);
    state->refused++;
    lsi_say(state->call, "line %" PRIu64 ": %s", line, reason);
}

static bool is_record_fault(ls_status status)
{
    return status == LS_ERR_INVALID_ARGUMENT || status == LS_ERR_TOO_LARGE;
}

/* Of a put that a shard refuses since a sync failed the library says so (producer.h). */
static bool is_unknown(ls_status status, const char *message)
{
    return status == LS_ERR_IO && strstr(message, "nothing was written") == NULL;
}

/* Says that `status` ended the command at `line`. */
static void give_up(run_state *state, uint64_t line, ls_status status, const char *message)
{
    clear_bar(state);
    lsi_say(state->call, "line %" PRIu64 ": %s", line, message);
    lsi_say(state->call,
            is_unknown(status, message) ? "line %" PRIu64 " may or may not be stored; nothing after it was put"
                                        : "line %" PRIu64 " was not stored; nothing after its batch was put", line);
    if (status != LS_ERR_FULL) /* What was not written has been said. */
        lsi_advise(state->call, status);
    state->stop_code = lsi_exit_code(status);
}

static void say_not_stored(run_state *state)
{
    if (state->not_stored[0] != '\0')
        lsi_say(state->call, state->is_unknown ? "not stored either, or not known to be: lines %s"
                                               : "not stored either: lines %s", state->not_stored);
    state->not_stored[0] = '\0';
}

static void end_range(run_state *state)
{
    size_t used = strlen(state->not_stored);
    char text[48];

    if (state->range_first == 0)
        return;
    if (state->range_first == state->range_last)
        (void)snprintf(text, sizeof text, "%" PRIu64, state->range_first);
    else
        (void)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, state->range_first, state->range_last);
    if (used + strlen(text) + 3 > sizeof state->not_stored) {
        say_not_stored(state);
        used = 0;
    }
    (void)snprintf(state->not_stored + used, sizeof state->not_stored - used, "%s%s", used != 0 ? ", " : "", text);
    state->range_first = 0;
}

/* Records [first, first + count) are not stored because the command ends. */
static void note_not_stored(run_state *state, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        uint64_t line = state->records[i].line;

        if (state->range_first == 0 || line != state->range_last + 1) {
            end_range(state);
            state->range_first = line;
        }
        state->range_last = line;
    }
}

/* True: a signal came, and the command ends. */
static bool is_interrupted(run_state *state)
{
    if (lsi_signal_number() == 0 || state->stop_code != LSI_EXIT_OK)
        return lsi_signal_number() != 0;
    clear_bar(state);
    lsi_say(state->call, "ended by a signal behind line %" PRIu64, lsi_lines_number(state->lines));
    state->stop_code = 128 + lsi_signal_number();
    return true;
}

/* Puts records [first, first + count), in halves when the library refuses one of them. Depth: log2 of the batch. Those
 * that are over a limit of the stream are moved to `first`; returns how many they are. */
static size_t put_range(run_state *state, size_t first, size_t count);

static void put_again(run_state *state, size_t first, size_t count)
{
    while (count != 0 && state->stop_code == LSI_EXIT_OK && !is_interrupted(state)) {
        uint64_t stored = state->stored;

        state->waited_ms += lsi_wait_for_turn(state->tries++);
        count = put_range(state, first, count);
        if (state->stored != stored)
            state->tries = 0;
        draw_bar(state);
    }
    note_not_stored(state, first, count);
}

static size_t put_range(run_state *state, size_t first, size_t count)
{
    bool may_retry = !state->call->values[NO_RETRY].given;
    size_t failed = 0, again = 0;
    ls_status st;

    if (state->stop_code != LSI_EXIT_OK)
        return count;
    if (count == 1) { /* Its message is of one record. */
        const ls_put_entry *entry = &state->entries[first];
        ls_put_options one = state->put;

        one.explicit_hash_key = entry->explicit_hash_key;
        st = ls_producer_put(state->producer, entry->partition_key, entry->data, &one, NULL);
        state->results[first].status = LS_OK;
        if (st == LS_ERR_THROTTLED && may_retry)
            return 1;
    } else {
        st = ls_producer_put_batch(state->producer, state->entries + first, count, &state->put, state->results + first,
                                   &failed);
    }
    if (is_record_fault(st) && count > 1) {
        put_again(state, first, put_range(state, first, count / 2));
        put_again(state, first + count / 2, put_range(state, first + count / 2, count - count / 2));
        return 0;
    }
    if (is_record_fault(st)) {
        refuse(state, state->records[first].line, ls_last_error_message());
        return 0;
    }
    if (st != LS_OK) {
        give_up(state, state->records[first].line, st, ls_last_error_message());
        note_not_stored(state, first + 1, count - 1);
        return 0;
    }
    for (size_t i = first; i < first + count; i++) {
        ls_status result = state->results[i].status;
        char text[600];

        if (result == LS_OK) {
            state->stored++;
            state->data_bytes += state->records[i].data_size;
            continue;
        }
        if (result == LS_ERR_THROTTLED && may_retry && state->stop_code == LSI_EXIT_OK) {
            state->entries[first + again] = state->entries[i]; /* In order, which so is kept per shard. */
            state->records[first + again++] = state->records[i];
            continue;
        }
        /* The thread's last error is of one of them; of another status it says nothing. */
        (void)snprintf(text, sizeof text, "%s",
                       result == ls_last_error_status() ? ls_last_error_message() : ls_status_name(result));
        if (is_record_fault(result))
            refuse(state, state->records[i].line, text);
        else if (state->stop_code == LSI_EXIT_OK)
            give_up(state, state->records[i].line, result, text);
        else
            note_not_stored(state, i, 1);
        state->is_unknown = state->is_unknown || is_unknown(result, text);
    }
    return again;
}

static void put_batch(run_state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        const line_record *record = &state->records[i];

        state->entries[i] = (ls_put_entry){
            .partition_key = {state->bytes + record->key_at, record->key_size},
            .data = {state->bytes + record->data_at, record->data_size},
            .explicit_hash_key = state->explicit_hash_key,
        };
    }
    if (state->count != 0)
        put_again(state, 0, put_range(state, 0, state->count));
    end_range(state);
    say_not_stored(state);
    state->count = 0;
    state->bytes_size = 0;
    draw_bar(state);
}

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
static const char *find_key(run_state *state, const char *line, size_t size, size_t *key_size, char **member)
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
            refuse(state, number, text);
            return NULL;
        }
        if (*key_size == 0) {
            (void)snprintf(text, sizeof text, "its column %zu, the key, is empty", state->key_column + 1);
            refuse(state, number, text);
            return NULL;
        }
        return state->scratch;
    }
    ls_status st = lsi_json_member(&lsi_memory_libc, line, size, values[KEY_FIELD].text, member, key_size);
    if (st == LS_OK)
        return *member;
    if (st == LS_ERR_UNSUPPORTED || st == LS_ERR_NO_MEMORY) {
        give_up(state, number, st, ls_last_error_message());
        return NULL;
    }
    if (st == LS_ERR_NOT_FOUND)
        (void)snprintf(text, sizeof text, "it has no member \"%.200s\" that is a text, a number or a boolean",
                       values[KEY_FIELD].text);
    else
        (void)snprintf(text, sizeof text, "it is no JSON object: %s", ls_last_error_message());
    refuse(state, number, text);
    return NULL;
}

static void take_line(run_state *state, const char *line, size_t size)
{
    line_record *record = &state->records[state->count];
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
        put_batch(state);
}

/* The header line: finds the key's column by its name. */
static void take_header(run_state *state, const char *line, size_t size)
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

static void put_lines(run_state *state)
{
    bool header = state->key_by_name || state->call->values[HEADER].given;

    while (state->stop_code == LSI_EXIT_OK) {
        char *line;
        size_t size;

        if (lsi_signal_number() != 0) {
            put_batch(state);
            (void)is_interrupted(state);
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
            refuse(state, lsi_lines_number(state->lines), "it is longer than 11 MiB, no record can be");
            header = false;
            break;
        case LSI_LINE_UNCLOSED:
            state->read++;
            refuse(state, lsi_lines_number(state->lines), "a quote is opened here and never closed: nothing from "
                   "here to the end was put");
            header = false;
            break;
        case LSI_LINE_WOULD_WAIT:
            put_batch(state);
            break;
        case LSI_LINES_END:
            put_batch(state);
            return;
        case LSI_LINES_FAILED:
            put_batch(state);
            lsi_say(state->call, "reading %s: %s", state->input, strerror(errno));
            state->stop_code = LSI_EXIT_FAILED;
            return;
        }
    }
}

static int print_summary(const run_state *state, int code)
{
    lsi_json_writer json;

    if (state->call->json) {
        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_uint(&json, "read", state->read);
        lsi_member_uint(&json, "stored", state->stored);
        lsi_member_uint(&json, "refused", state->refused);
        lsi_member_uint(&json, "bytes", state->data_bytes);
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
static int check_options(const lsi_call *call, run_state *state, ls_hash_key *hash_key)
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
    if (values[DURABILITY].given && !lsi_parse_durability(values[DURABILITY].text, &state->put.durability))
        return lsi_usage(call, "--durability is '%s': it is sync, interval or kernel", values[DURABILITY].text);
    return LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    run_state state = {.call = call, .put = LS_PUT_OPTIONS_INIT};
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
    st = ls_producer_open(stream, NULL, &state.producer);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
        goto done;
    }
    lsi_signals_catch();
    put_lines(&state);
    put_batch(&state); /* Says what was read and not put, if it was given up between two batches. */
    clear_bar(&state);
    code = state.stop_code != LSI_EXIT_OK ? state.stop_code : state.refused != 0 ? LSI_EXIT_FAILED : LSI_EXIT_OK;
    st = ls_producer_close(state.producer);
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
            "\"seconds\"}.\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
