/* Messages, exit codes, and standard output. Output is checked at every write: a full disk must not look like success,
 * and a reader that has seen enough (`| head`) must not look like a failure. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- messages ---- */

static void say(const lsi_call *call, const char *format, va_list arguments)
{
    (void)fprintf(stderr, "lstream: %s: ", call->command->name);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
}

void lsi_say(const lsi_call *call, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(call, format, arguments);
    va_end(arguments);
}

int lsi_usage(const lsi_call *call, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(call, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "lstream: see `lstream %s --help`\n", call->command->name);
    return LSI_EXIT_USAGE;
}

int lsi_exit_code(ls_status status)
{
    switch (status) {
    case LS_OK:
        return LSI_EXIT_OK;
    case LS_ERR_INVALID_ARGUMENT:
        return LSI_EXIT_USAGE;
    case LS_ERR_NOT_FOUND:
        return LSI_EXIT_NOT_FOUND;
    case LS_ERR_CORRUPT:
        return LSI_EXIT_DAMAGE;
    case LS_ERR_BUSY:
    case LS_ERR_TIMEOUT:
    case LS_ERR_THROTTLED:
    case LS_ERR_FULL:
        return LSI_EXIT_LATER;
    case LS_ERR_EXISTS:
    case LS_ERR_STATE:
    case LS_ERR_READ_ONLY:
    case LS_ERR_VERSION:
        return LSI_EXIT_STATE;
    default:
        return LSI_EXIT_FAILED;
    }
}

void lsi_advise(const lsi_call *call, ls_status status)
{
    switch (status) {
    case LS_ERR_IO:
        if (ls_last_error_errno() == EIO) /* Others say all: who may not read, for one. */
            (void)fputs("lstream: look at the disk; `lstream verify` says if a shard refuses records since\n", stderr);
        break;
    case LS_ERR_CORRUPT:
        (void)fputs("lstream: `lstream verify` lists all damage; `lstream repair --dry-run` says what can be done\n",
                    stderr);
        break;
    case LS_ERR_BUSY:
        (void)fputs("lstream: `lstream status` shows which process holds the lock\n", stderr);
        break;
    case LS_ERR_KEY:
        if (call->key_file == NULL)
            (void)fputs("lstream: --key-file FILE, or LIBSTREAM_KEY_FILE, gives the key\n", stderr);
        break;
    case LS_ERR_FULL:
        (void)fputs("lstream: nothing of it was written; make room and try again\n", stderr);
        break;
    default:
        break;
    }
}

int lsi_failed(const lsi_call *call, ls_status status)
{
    const char *message = ls_last_error_message();

    lsi_say(call, "%s", message[0] != '\0' ? message : ls_status_name(status));
    lsi_advise(call, status);
    return lsi_exit_code(status);
}

/* ---- standard output ---- */

static int out_errno;           /* of the first write that failed */
static const char *heading_due; /* of a list, until its first line is there: what fails has none */

static void note_failure(void)
{
    if (out_errno == 0)
        out_errno = errno != 0 ? errno : EIO;
}

void lsi_out(const void *bytes, size_t size)
{
    if (out_errno == 0 && size != 0 && fwrite(bytes, 1, size, stdout) != size)
        note_failure();
}

static void out_heading(void)
{
    const char *heading = heading_due;

    heading_due = NULL;
    if (heading != NULL)
        lsi_out(heading, strlen(heading));
}

void lsi_out_text(const char *format, ...)
{
    va_list arguments;

    out_heading();
    va_start(arguments, format);
    if (out_errno == 0 && vfprintf(stdout, format, arguments) < 0)
        note_failure();
    va_end(arguments);
}

void lsi_out_flush(void)
{
    if (out_errno == 0 && fflush(stdout) != 0)
        note_failure();
}

bool lsi_out_broken(void)
{
    return out_errno != 0;
}

bool lsi_out_reader_is_gone(void)
{
    struct pollfd poll_fd = {STDOUT_FILENO, 0, 0};

    return out_errno == EPIPE || (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLERR) != 0);
}

int lsi_out_json(const lsi_call *call, lsi_json_writer *json, int code)
{
    if (json->failed) {
        lsi_say(call, "out of memory");
        code = LSI_EXIT_FAILED;
    } else {
        lsi_out(json->text, json->size);
        lsi_out("\n", 1);
    }
    lsi_json_free(json);
    return code;
}

int lsi_out_list(const lsi_call *call, const char *what, const char *heading,
                 ls_status (*each)(void *of, lsi_json_writer *json), void *of)
{
    lsi_json_writer json;
    ls_status st;

    if (!call->json) {
        heading_due = heading;
        st = each(of, NULL);
        if (st != LS_OK)
            return lsi_failed(call, st);
        out_heading();
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, what);
    lsi_json_array_open(&json);
    st = each(of, &json);
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    if (st == LS_OK)
        return lsi_out_json(call, &json, LSI_EXIT_OK);
    lsi_json_free(&json);
    return lsi_failed(call, st);
}

int lsi_out_change(const lsi_call *call, const char *what)
{
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, what);
    lsi_json_string(&json, call->arguments[0]);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

int lsi_out_end(int code)
{
    lsi_out_flush();
    if (out_errno != 0 && out_errno != EPIPE) {
        (void)fprintf(stderr, "lstream: standard output: %s\n", strerror(out_errno));
        return code != LSI_EXIT_OK ? code : LSI_EXIT_FAILED;
    }
    return code;
}

/* ---- values as text ---- */

void lsi_format_time(int64_t us, char text[LSI_TIME_BYTES])
{
    int64_t seconds = us / 1000000, rest = us % 1000000;
    time_t when;
    struct tm parts;
    size_t size;

    if (rest < 0) {
        rest += 1000000;
        seconds--;
    }
    when = (time_t)seconds;
    if (gmtime_r(&when, &parts) == NULL) {
        (void)snprintf(text, LSI_TIME_BYTES, "%lld us", (long long)us);
        return;
    }
    size = strftime(text, LSI_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text + size, LSI_TIME_BYTES - size, ".%06dZ", (int)rest);
}

void lsi_format_size(uint64_t bytes, char text[LSI_SIZE_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes;
    size_t unit = 0;

    while (n >= 1024.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        n /= 1024.0;
        unit++;
    }
    (void)snprintf(text, LSI_SIZE_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

void lsi_format_hash_key(ls_hash_key key, char text[LSI_HASH_KEY_BYTES])
{
    unsigned __int128 n = ((unsigned __int128)key.high << 64) | key.low;
    char digits[LSI_HASH_KEY_BYTES];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + (int)(n % 10));
        n /= 10;
    } while (n != 0);
    for (size_t i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    text[count] = '\0';
}

const char *lsi_health_word(ls_status health)
{
    return health == LS_OK ? "ok" : health == LS_ERR_IO ? "failed" : health == LS_ERR_CORRUPT ? "damaged" : "?";
}
