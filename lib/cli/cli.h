/* What the commands of `lstream` share: options, messages, exit codes, printing. The room's door, for its own files
 * only: nothing else includes the tool.
 *
 * A command is one `lsi_command` in its own cmd_*.c: a name, help, a table of options and a function. main.c finds it,
 * parses the options by the table and calls it; the same table prints the help, so the two cannot differ.
 *
 * Results go to standard output, everything else to standard error as "lstream: COMMAND: ...". Nothing ever asks. */
#ifndef LSI_CLI_CLI_H
#define LSI_CLI_CLI_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libstream/libstream.h>

#include "base/json.h"

/* ---- exit codes: `lstream help` lists them ---- */
enum {
    LSI_EXIT_OK = 0,
    LSI_EXIT_FAILED = 1,    /* anything without a code of its own; `put`: records were refused */
    LSI_EXIT_USAGE = 2,     /* the command line cannot be meant */
    LSI_EXIT_NOT_FOUND = 3, /* no such store, stream or shard */
    LSI_EXIT_DAMAGE = 4,    /* bytes on disk fail their checks */
    LSI_EXIT_LATER = 5,     /* busy, throttled, full: the same command may succeed later */
    LSI_EXIT_STATE = 6      /* exists already, in use, read only, another version */
};

/* ---- options.c: command lines ---- */
typedef enum {
    LSI_OPTION_FLAG,
    LSI_OPTION_TEXT,
    LSI_OPTION_NUMBER, /* min..max */
    LSI_OPTION_BYTES,  /* the same, with K, M or G (1024) behind it */
    LSI_OPTION_TEXTS   /* may come up to LSI_TEXTS_MAX times */
} lsi_option_kind;

typedef struct lsi_option {
    const char *name;
    lsi_option_kind kind;
    const char *word; /* its argument in the help; NULL for a flag */
    const char *help; /* wrapped when printed */
    uint64_t min, max;
    char letter;      /* 0: none */
} lsi_option;

#define LSI_TEXTS_MAX 32

typedef struct lsi_value {
    bool given;
    const char *text; /* the last one */
    uint64_t number;
    const char *texts[LSI_TEXTS_MAX]; /* of TEXTS: [text_count] */
    size_t text_count;
} lsi_value;

#define LSI_OPTIONS_MAX 20

typedef struct lsi_call lsi_call;
typedef struct lsi_command {
    const char *name;
    const char *summary;       /* a line of `lstream help` */
    const char *arguments;     /* "NAME [FILE]", "" */
    const char *help;          /* paragraphs between usage and options; lines of at most 80 columns */
    int arguments_min, arguments_max;
    bool needs_store;
    const lsi_option *options; /* ends with a NULL name; those of all commands are added */
    int (*run)(lsi_call *call);
} lsi_command;

/* One run of one command. */
struct lsi_call {
    const lsi_command *command;
    const char *store;                 /* set when needs_store */
    const char *key_file;              /* NULL: none is given */
    bool network_fs;                   /* the store may be on a network file system */
    bool json;
    ls_log_callback log;               /* of the store, with the call itself as `user`; NULL: nobody is told */
    char *const *arguments;            /* [argument_count] */
    int argument_count;
    lsi_value values[LSI_OPTIONS_MAX]; /* in the order of command->options */
};

extern const lsi_command *const lsi_commands[]; /* NULL at the end; main.c */
const char *lsi_command_meant(const char *word); /* the command that is nearly that; NULL: none is */

/* Runs `command` with argv[0] being its name. Returns the exit code. */
int lsi_command_run(const lsi_command *command, int argc, char **argv);
/* Prints what `command` is, as JSON when that is asked for. Returns the exit code. */
int lsi_print_command_help(const lsi_call *call, const lsi_command *command);
/* The entry of `names` (NULL at the end) that `word` is a slip of, or NULL. */
const char *lsi_did_you_mean(const char *word, const char *const *names);
/* "64K", "1 MiB": false when it is none. */
bool lsi_parse_bytes(const char *text, uint64_t *out);
/* "3", or "shardId-000000000003" as Kinesis writes it. */
bool lsi_parse_shard(const char *text, uint32_t *out);
/* Decimal, or hexadecimal after 0x; below 2^128. */
bool lsi_parse_hash_key(const char *text, ls_hash_key *out);

/* ---- mapping_settings.c ---- */
void lsi_mapping_settings_json(lsi_json_writer *json, const ls_mapping_options *is); /* members of an object */
void lsi_mapping_settings_text(const ls_mapping_options *is);                        /* lines */

/* ---- acts.c ---- */
/* What the first argument says to do, of `acts` (NULL at the end), whose first alone takes no name of a `noun` behind
 * the stream. Returns an exit code. */
int lsi_take_act(const lsi_call *call, const char *const *acts, const char *noun, int *out);

/* ---- output.c: messages and printing ---- */
/* "lstream: put: ..." and a newline. */
void lsi_say(const lsi_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
int lsi_usage(const lsi_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
int lsi_exit_code(ls_status status);
/* Says the library's last error, with what to do about it where that is known, and returns the exit code. */
int lsi_failed(const lsi_call *call, ls_status status);
void lsi_advise(const lsi_call *call, ls_status status); /* what can be done about it, where the tool knows */

/* Standard output. Once a write failed, `lsi_out_broken` is true and what follows is dropped; a reader that went away
 * is no error, anything else is said at the end. */
void lsi_out(const void *bytes, size_t size);
void lsi_out_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void lsi_out_flush(void);
bool lsi_out_broken(void);
bool lsi_out_reader_is_gone(void); /* the pipe's other end was closed; asks the system, does not write */
/* A member of the object that is open. */
static inline void lsi_member_uint(lsi_json_writer *to, const char *key, uint64_t n)
{
    lsi_json_key(to, key);
    lsi_json_uint(to, n);
}
static inline void lsi_member_int(lsi_json_writer *to, const char *key, int64_t n)
{
    lsi_json_key(to, key);
    lsi_json_int(to, n);
}
static inline void lsi_member_string(lsi_json_writer *to, const char *key, const char *text)
{
    lsi_json_key(to, key);
    lsi_json_string(to, text);
}
static inline void lsi_member_bool(lsi_json_writer *to, const char *key, bool b)
{
    lsi_json_key(to, key);
    lsi_json_bool(to, b);
}
/* Prints the writer's text as one line and frees it. Returns `code`, or LSI_EXIT_FAILED without memory. */
int lsi_out_json(const lsi_call *call, lsi_json_writer *json, int code);
/* A listing: `heading` (NULL: none), then lines, or {"<what>": [ITEM, ...]} as --json wants it. `each` writes the items
 * of `of`, all pages, as lines when `json` is NULL. */
int lsi_out_list(const lsi_call *call, const char *what, const char *heading,
                 ls_status (*each)(void *of, lsi_json_writer *json), void *of);
/* {"<what>": NAME}, NAME being the first argument. */
int lsi_out_change(const lsi_call *call, const char *what);
int lsi_out_end(int code); /* at the end of the program */

#define LSI_TIME_BYTES 40
void lsi_format_time(int64_t us, char text[LSI_TIME_BYTES]); /* 2026-11-20T11:42:18.123456Z */
#define LSI_SIZE_BYTES 24
void lsi_format_size(uint64_t bytes, char text[LSI_SIZE_BYTES]); /* 12.3 MiB */
#define LSI_HASH_KEY_BYTES 40
void lsi_format_hash_key(ls_hash_key key, char text[LSI_HASH_KEY_BYTES]); /* decimal, as Kinesis */
const char *lsi_health_word(ls_status health);

/* ---- store.c ---- */
/* Opens the store that must be there; one that cannot be written is opened for reading unless `to_write`. Says why
 * not. Returns an exit code, LSI_EXIT_OK with `*out` set. */
int lsi_open_store(const lsi_call *call, bool to_write, ls_store **out);
/* The same and a stream of it. */
int lsi_open_stream(const lsi_call *call, const char *name, bool to_write, ls_store **store, ls_stream **stream);
/* Closes both (NULL is accepted); a failure turns `code` LSI_EXIT_OK into that of the failure. */
int lsi_close_stream(const lsi_call *call, ls_stream *stream, ls_store *store, int code);
/* "sync", "interval", "kernel". */
bool lsi_parse_durability(const char *text, ls_durability *out);
const char *lsi_durability_word(ls_durability durability);

/* ---- retry.c ---- */
int64_t lsi_now_ms(void); /* monotonic */
#define LSI_NO_RETRY_HELP \
    "A provisioned stream that is over a limit ends the command (exit code 5) instead of being waited for."
/* After THROTTLED; `tries`: how often in a row that was. Returns how many milliseconds were waited. */
uint32_t lsi_wait_for_turn(uint32_t tries);

/* ---- signals.c: for commands that say how far they came ---- */
void lsi_signals_catch(void);  /* SIGINT and SIGTERM, once */
int lsi_signal_number(void);   /* the one that came, else 0; the exit code is then 128 and the number */

/* A thread that looks at something while a run is on, in slices of its own: `look` returns when lsi_watch_is_over says
 * so. Signals find it, whose wait they end: lsi_watch_begin blocks them for the caller, and for the threads that are
 * begun after it. Returns 0 or an errno. */
typedef struct lsi_watch {
    pthread_t thread;
    sigset_t before;
    int over[2]; /* a pipe; closed when the run is over */
} lsi_watch;

int lsi_watch_begin(lsi_watch *watch, void *(*look)(void *user), void *user);
bool lsi_watch_is_over(const lsi_watch *watch, int slice_ms); /* waits so long for it */
void lsi_watch_end(lsi_watch *watch);

/* ---- position.c ---- */
#define LSI_FROM_HELP \
    "Where to begin: trim-horizon (the oldest), latest, at:SEQNO, after:SEQNO (these two need --shard when there are " \
    "several), or time:T with T as 2026-11-20T11:42:18Z or seconds since 1970."
bool lsi_parse_position(const char *text, ls_position *out);
/* A position by number is of a shard: without --shard (`*one` false) the stream, which is the first argument, has to
 * have one only, and `*one` becomes true. Says what is wrong and returns an exit code. */
int lsi_need_one_shard(const lsi_call *call, ls_stream *stream, const ls_position *position, bool *one);
bool lsi_parse_time(const char *text, int64_t *us);

/* ---- shards.c: what describe and shards print ---- */
void lsi_shard_json(lsi_json_writer *json, const ls_shard_info *shard, bool is_described); /* what is stored, too */
#define LSI_PARENTS_BYTES 24
void lsi_parents_text(const ls_shard_info *shard, char text[LSI_PARENTS_BYTES]); /* "-", "3" or "3+4" */
void lsi_shards_draw(const ls_shard_info *shards, uint32_t count, int64_t now_us);

/* ---- cmd_scale.c: what it and describe print; nothing and null when it is off ---- */
void lsi_auto_scaling_json(lsi_json_writer *json, const ls_stream_description *description);
void lsi_auto_scaling_text(const ls_stream_description *description);

/* ---- cmd_limits.c: what it and describe print; nothing and null of an on-demand stream ---- */
void lsi_limits_json(lsi_json_writer *json, const ls_stream_description *description);
void lsi_limits_text(const ls_stream_description *description);

/* ---- records.c: what get and tail print ---- */
#define LSI_RECORD_JSON_HELP \
    "With --json each record is one line: {\"shard\", \"seqno\", \"key\", \"arrival_us\",\n" \
    "\"data\"}; data that is not UTF-8 is in \"data_base64\" instead, and a hash key that\n" \
    "was given explicitly in \"explicit_hash_key\" (decimal text). One out of an\n" \
    "aggregate (--deaggregate) has \"sub_seqno\" and \"sub_count\", and \"outside_shard\"\n" \
    "when its key is another shard's.\n"
#define LSI_DEAGGREGATE_HELP "Aggregated records are shown as the records in them."
void lsi_record_print(const ls_record *record, bool json);
/* Frees what lsi_record_print kept between calls. False: a record was not printed for want of memory. */
bool lsi_record_print_end(void);

/* ---- pass_damage.c: get and tail with --skip-damage ---- */
/* Moves the iterator, which is of this shard alone, behind the damage that it met and says so. `*passed`: the last
 * number behind which that is. False: there is no place behind it. */
bool lsi_pass_damage(const lsi_call *call, ls_iterator *iterator, uint32_t shard, ls_seqno *passed);

/* ---- follow_each.c: tail with --skip-damage ---- */
/* Follows each shard by itself until a signal, `limit` records or a silence of `timeout_ms`. Returns an exit code. */
int lsi_follow_each(const lsi_call *call, ls_stream *stream, const ls_position *from, uint32_t flags, uint64_t limit,
                    int64_t timeout_ms);

/* ---- child.c: running a program ---- */
#define LSI_CHILD_OUTPUT_MAX ((size_t)6 << 20) /* as much as a function of AWS Lambda may answer, too */
typedef struct lsi_child_output {
    char *text; /* malloc's: free it */
    size_t size, capacity;
} lsi_child_output;
typedef struct lsi_child_end {
    int err;          /* it could not be begun: an errno; else 0, and: */
    int status;       /* as waitpid tells it */
    bool is_late;     /* its time was over: it was killed, and all of its group */
    bool is_too_much; /* it wrote more than LSI_CHILD_OUTPUT_MAX, or there was no memory: likewise */
} lsi_child_end;
/* Runs `arguments`, found as a shell finds it, in a group of its own, and waits for it. `out` NULL: its output is ours.
 * Any thread. */
lsi_child_end lsi_child_run(char *const *arguments, const void *in, size_t in_bytes, bool (*is_late)(void *user),
                            void *user, lsi_child_output *out);

/* ---- what a delivery has in its directory ---- */
/* The same directory from wherever else; free it. NULL: errno says why. path.c */
char *lsi_path_absolute(const char *path);
/* Removes DIRECTORY/_NAME.schema (apply_schema.c), if it is there. Returns an exit code, having said what is wrong. */
int lsi_schema_remove(const lsi_call *call, const char *directory, const char *name);
/* schema_sharer.c: another stream of the store whose delivery of that name goes to that directory; "": none. */
#define LSI_NAME_BYTES 136
ls_status lsi_schema_sharer(ls_store *store, const char *stream, const char *name, const char *directory,
                            char out[LSI_NAME_BYTES]);
/* As lsi_schema_remove, unless there is such a stream. */
int lsi_schema_drop(const lsi_call *call, ls_store *store, const char *stream, const char *name, const char *directory);
bool lsi_is_same_directory(const char *one, const char *other); /* by whatever names */

/* ---- delivery_run.c ---- */
typedef struct lsi_delivery_wish {
    const char *name;
    char *const *command; /* of its transform; NULL: it has none */
    int timeout_ms;       /* of the command */
    uint32_t shards_max, give_up_ms; /* 0: without a limit */
    bool until_caught_up;
} lsi_delivery_wish;
/* Runs a delivery until a signal. Returns an exit code. */
int lsi_delivery_run_command(const lsi_call *call, ls_stream *stream, const lsi_delivery_wish *how);

/* ---- alert_run.c ---- */
typedef struct lsi_alert_running {
    const char *mapping;
    char *const *command; /* NULL: alerts are printed */
    int interval_ms;      /* between looks at metrics */
    bool until_caught_up;
    bool creates;         /* the mapping, when there is none, at `from` */
    ls_position from;
} lsi_alert_running;
/* Evaluates the stream's alert rules. Returns an exit code. */
int lsi_alerts_run(const lsi_call *call, ls_stream *stream, const lsi_alert_running *how);

/* ---- lines.c: what put reads ---- */
typedef struct lsi_lines lsi_lines;
typedef enum {
    LSI_LINE,
    LSI_LINE_TOO_LONG,
    LSI_LINE_UNCLOSED, /* CSV: the input ends between its quotes */
    LSI_LINE_WOULD_WAIT,
    LSI_LINES_END,
    LSI_LINES_FAILED
} lsi_line_result;
/* `delimiter`: of CSV, where a line feed between quotes does not end a line; 0: plain lines. `line_bytes_max`: longer
 * ones are read over. */
lsi_lines *lsi_lines_open(int fd, char delimiter, size_t line_bytes_max);
void lsi_lines_close(lsi_lines *lines);
/* The next line without its end, a view until the next call. With `may_wait` false answers LSI_LINE_WOULD_WAIT rather
 * than wait for a pipe's or terminal's other end; with true after half a second of that, or at a signal. */
lsi_line_result lsi_lines_next(lsi_lines *lines, bool may_wait, char **line, size_t *size);
uint64_t lsi_lines_number(const lsi_lines *lines); /* of the line last given, from 1 */
uint64_t lsi_lines_bytes(const lsi_lines *lines);  /* read so far */
/* Field `column` (from 0) of a CSV line, its quotes undone, into `into` of at least `size` bytes. False: no such
 * field. */
bool lsi_csv_field(const char *line, size_t size, char delimiter, size_t column, char *into, size_t *into_size);
/* The number of the field that equals `name`. False: none does. */
bool lsi_csv_find(const char *line, size_t size, char delimiter, const char *name, char *scratch, size_t *column);

#endif
