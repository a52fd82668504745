/* H2's second witness: what the library as it ships asks of a real file system, with real threads, and what a loss of
 * power could leave of it.
 *
 *     h2_recorded [--seed N] [--states N] [--mode sync|interval|kernel] [--keep]
 *
 * h2_program.c, which lies beside this program, runs with h2_recorder.c before it. What was written down is done again
 * on a sim (sim_files.h), with each answer noted in a truth at its place between the calls. Then
 *   - the sim's disk and the real directory must be equal, byte for byte: so nothing was changed by a call that the
 *     recorder does not know, and nothing is mapped to be stored into but the control file, which alone may differ; and
 *     what the model of disks says of calls that succeed is what this kernel does;
 *   - disks that a loss of power may leave are made of the sim and judged, as h2_crash.c does it: but here the calls
 *     are those of several threads, in the order in which they came to the kernel, and not all of one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/h2_notes.h"
#include "harness/session.h"
#include "support/real_play.h"
#include "support/sim_inside.h"
#include "support/temp.h"

#define STATES_DEFAULT (900u / SIM_STRIDE)
#define STATES_LONG 60000u
#define SHOWN_MAX 25u
#define SYNCS_MAX 20000u
#define PUTS (H2_THREADS * H2_PUTS)
#define CONTROL "control"

typedef struct campaign {
    uint64_t seed, states;
    const char *mode;
    ls_durability durability;
    uint64_t cases, violations, equal, calls;
    uint64_t *seen; /* hashes of states */
    size_t seen_count;
} campaign;

typedef struct witness {
    sim_files *sim;
    truth truth;
    size_t syncs[SYNCS_MAX];     /* where each began */
    uint64_t all;                /* the sync of all that is under way; 0: none is */
    bool acked_before[PUTS];     /* it began */
} witness;

static void violated(campaign *of, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void violated(campaign *of, const char *format, ...)
{
    va_list arguments;

    if (of->violations++ >= SHOWN_MAX)
        return;
    printf("violation: %s: ", of->mode);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- what was written down ---- */

static const label *label_of(const witness *of, const char *path)
{
    return sim_path_find(of->sim, path);
}

/* The directory of a path, by number; its last part. */
static uint32_t split(const witness *of, const char *path, char **name)
{
    char dir[2048];
    const char *slash = strrchr(path, '/');
    const label *found;

    *name = (char *)(uintptr_t)(slash != NULL ? slash + 1 : path); /* A sim copies it. */
    if (slash == NULL)
        return 0;
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    found = label_of(of, dir);
    return found != NULL ? found->file : UINT32_MAX;
}

static bool change_names(witness *of, const h2_note *note, const char *path, const char *to)
{
    sim_op op = {.kind = note->kind == H2_CREATE      ? SIM_OP_CREATE
                         : note->kind == H2_MAKE_DIR  ? SIM_OP_MAKE_DIR
                         : note->kind == H2_RENAME    ? SIM_OP_RENAME
                         : note->kind == H2_UNLINK    ? SIM_OP_UNLINK
                                                      : SIM_OP_REMOVE_DIR};
    const label *there = label_of(of, path);

    if (*path == '\0')
        return note->kind == H2_MAKE_DIR; /* the root itself */
    op.dir = split(of, path, &op.name);
    if (op.dir == UINT32_MAX || (there == NULL && note->kind != H2_CREATE && note->kind != H2_MAKE_DIR))
        return false;
    op.file = there != NULL ? there->file : (uint32_t)of->sim->thing_count;
    if (note->kind == H2_CREATE && there != NULL)
        return (note->number & O_EXCL) == 0; /* It was opened. */
    if (note->kind == H2_RENAME) {
        op.to_dir = split(of, to, &op.to_name);
        if (op.to_dir == UINT32_MAX)
            return false;
    }
    sim_play(of->sim, &op);
    return true;
}

static void sync_one(witness *of, uint32_t file, uint64_t id)
{
    bool is_dir = file == 0 || of->sim->things[file].is_dir;
    sim_op op = {.kind = is_dir ? SIM_OP_SYNC_DIR : SIM_OP_SYNC, .covers = of->syncs[id % SYNCS_MAX]};

    if (is_dir)
        op.dir = file;
    else
        op.file = file;
    sim_log_add(of->sim, op);
}

/* A hole is zeros, as far as the file goes. */
static bool give_back(witness *of, uint32_t file, uint64_t at, uint64_t size)
{
    size_t end = sim_file_size(&of->sim->things[file]), bytes = at < end ? (size_t)(end - at) : 0;
    sim_op op = {.kind = SIM_OP_WRITE, .file = file, .at = at};

    op.size = bytes < size ? bytes : size;
    if (op.size == 0)
        return true;
    op.bytes = calloc(1, (size_t)op.size);
    if (op.bytes == NULL)
        return false;
    sim_play(of->sim, &op);
    free(op.bytes);
    return true;
}

static bool change_file(witness *of, const h2_note *note, const char *path, unsigned char *bytes)
{
    const label *there = label_of(of, path);
    sim_op op = {.at = note->at, .size = note->bytes, .bytes = bytes};

    if (there == NULL && *path != '\0')
        return false;
    op.file = there != NULL ? there->file : 0;
    switch (note->kind) {
    case H2_WRITE:
        op.kind = SIM_OP_WRITE;
        break;
    case H2_ALLOCATE:
        if (note->id == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
            return give_back(of, op.file, note->at, note->number);
        if (note->id != 0)
            return false;
        op.kind = SIM_OP_ALLOCATE;
        op.size = note->number;
        op.bytes = NULL;
        break;
    case H2_TRUNCATE:
        op.kind = SIM_OP_TRUNCATE;
        op.size = note->at;
        op.bytes = NULL;
        break;
    case H2_SYNC:
        sync_one(of, op.file, note->id);
        return true;
    case H2_MAP:
        return strcmp(path, CONTROL) == 0;
    default:
        return false;
    }
    sim_play(of->sim, &op);
    return true;
}

static void begin_all(witness *of, uint64_t id)
{
    of->all = id;
    for (uint32_t i = 0; i < PUTS; i++)
        of->acked_before[i] = of->truth.puts[i].acked_at != NEVER;
}

static void end_all(witness *of, size_t here)
{
    for (uint32_t i = 0; i < PUTS; i++)
        if (of->acked_before[i] && of->truth.puts[i].durable_at == NEVER)
            of->truth.puts[i].durable_at = here;
}

static bool note_answer(campaign *all, witness *of, const h2_note *note)
{
    size_t here = sim_log_count(of->sim);
    bool is_put = note->kind == H2_PUT_BEGINS || note->kind == H2_PUT || note->kind == H2_PUT_FAILS ||
                  note->kind == H2_SEEN;
    put_fact *put = is_put && note->id >= 1 && note->id <= PUTS ? &of->truth.puts[note->id - 1] : NULL;

    if (is_put && put == NULL)
        return false;
    switch (note->kind) {
    case H2_STREAM_BEGINS:
        of->truth.streams[0].begun_at = here;
        return true;
    case H2_STREAM:
        of->truth.streams[0].made_at = here;
        of->truth.streams[0].id = note->number;
        return true;
    case H2_PUT_BEGINS:
        put->begun_at = here;
        return true;
    case H2_PUT:
        put->seqno = note->number;
        put->given_at = put->acked_at = here;
        if (all->durability == LS_DURABILITY_SYNC && put->durable_at == NEVER)
            put->durable_at = here;
        return true;
    case H2_PUT_FAILS: /* There is nothing to make it fail. */
        return false;
    case H2_SEEN: /* D3 */
        if (all->durability == LS_DURABILITY_SYNC && put->durable_at == NEVER)
            put->durable_at = here;
        return true;
    case H2_ALL_BEGINS:
        begin_all(of, note->id);
        return true;
    default:
        if (note->id == of->all)
            end_all(of, here);
        return true;
    }
}

static bool take(campaign *all, witness *of, const h2_note *note, char *path, unsigned char *bytes)
{
    switch (note->kind) {
    case H2_CREATE:
    case H2_MAKE_DIR:
    case H2_RENAME:
    case H2_UNLINK:
    case H2_REMOVE_DIR:
        return change_names(of, note, path, (const char *)bytes);
    case H2_WRITE:
    case H2_ALLOCATE:
    case H2_TRUNCATE:
    case H2_SYNC:
    case H2_MAP:
        return change_file(of, note, path, bytes);
    case H2_SYNC_BEGINS:
        of->syncs[note->id % SYNCS_MAX] = sim_log_count(of->sim);
        return true;
    case H2_SYNC_ALL:
        for (uint32_t i = 0; i < of->sim->thing_count; i++)
            sync_one(of, i, note->id);
        return true;
    case H2_LINK:
        return false;
    default:
        return note_answer(all, of, note);
    }
}

static unsigned char *load_log(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about = {0};
    unsigned char *bytes;
    size_t had = 0;

    if (fd < 0 || fstat(fd, &about) != 0)
        about.st_size = 0;
    *size = (size_t)about.st_size;
    bytes = sim_must(malloc(*size + 1));
    while (had < *size) {
        ssize_t part = read(fd, bytes + had, *size - had);

        if (part <= 0)
            abort();
        had += (size_t)part;
    }
    if (fd >= 0)
        (void)close(fd);
    return bytes;
}

static void take_all(campaign *all, witness *of, const char *log)
{
    size_t size, at = 0;
    unsigned char *bytes = load_log(log, &size);

    if (size == 0)
        violated(all, "nothing was recorded");
    while (at < size) {
        h2_note note;
        char path[2048] = "";
        unsigned char *extra;

        memcpy(&note, bytes + at, sizeof note);
        at += sizeof note;
        memcpy(path, bytes + at, note.path_bytes < sizeof path ? note.path_bytes : sizeof path - 1);
        at += note.path_bytes;
        extra = sim_must(calloc(1, (size_t)note.bytes + 1));
        memcpy(extra, bytes + at, (size_t)note.bytes);
        at += (size_t)note.bytes;
        all->calls += note.kind < H2_STREAM_BEGINS && note.kind != H2_SYNC_BEGINS;
        if (!take(all, of, &note, path, extra))
            violated(all, "note %u about '%s' (%" PRIu64 ", %" PRIu64 ") is not as it can be", note.kind, path,
                     note.id, note.number);
        free(extra);
    }
    free(bytes);
}

/* ---- is it what the kernel has? ---- */

static unsigned char *content(sim_files *sim, uint32_t file, size_t *size)
{
    const thing *of = &sim->things[file];
    unsigned char *bytes;

    *size = sim_file_size(of);
    bytes = sim_must(malloc(*size + 1));
    if (of->keep.files->read(&of->keep, bytes, *size, 0) != (int64_t)*size)
        abort();
    return bytes;
}

static void compare(campaign *all, sim_files *recorded, sim_files *real)
{
    if (recorded->name_count != real->name_count)
        violated(all, "%zu names were recorded, and there are %zu", recorded->name_count, real->name_count);
    for (size_t i = 0; i < real->name_count; i++) {
        char path[LSI_FILE_NAME_BYTES_MAX];
        const label *known;
        size_t size, known_size;
        unsigned char *bytes, *known_bytes;

        sim_path_of(real, real->names[i].file, path, sizeof path);
        known = sim_path_find(recorded, path);
        if (known == NULL) {
            violated(all, "'%s' is there, and no call that made it was recorded", path);
            continue;
        }
        if (real->things[real->names[i].file].is_dir || strcmp(path, CONTROL) == 0)
            continue;
        bytes = content(real, real->names[i].file, &size);
        known_bytes = content(recorded, known->file, &known_size);
        if (size != known_size || memcmp(bytes, known_bytes, size) != 0)
            violated(all, "'%s' has %zu bytes, and those of the calls that were recorded, %zu, are others", path,
                     size, known_size);
        free(bytes);
        free(known_bytes);
        all->cases++;
    }
}

/* ---- what may be left of it? ---- */

static bool is_new(campaign *of, uint64_t hash)
{
    for (size_t i = 0; i < of->seen_count; i++)
        if (of->seen[i] == hash)
            return false;
    of->seen = sim_must(realloc(of->seen, (of->seen_count + 1) * sizeof(*of->seen)));
    of->seen[of->seen_count++] = hash;
    return true;
}

static size_t judge(campaign *of, sim_files *disk, truth *owed, size_t prefix, uint64_t seed)
{
    session now;
    size_t at = sim_log_base(disk), shown_at = NEVER;

    of->cases++;
    session_init(&now, disk, owed, sim_mix(seed + prefix));
    atomic_store(&now.now_us, (int64_t)time(NULL) * 1000000);
    session_examine(&now, of->durability, at > 0 ? at : 1, true, &shown_at);
    if (session_close(&now) != LS_OK)
        session_complain(&now, "the store does not close: %s", ls_last_error_message());
    session_free(&now);
    if (now.complaints > 0)
        violated(of, "after %zu calls, seed %" PRIu64 ": %s", prefix, seed, now.complaint);
    return shown_at;
}

static void explore(campaign *of, witness *by)
{
    size_t count = sim_log_count(by->sim);

    for (uint64_t i = 0; i < of->states; i++) {
        size_t prefix = (size_t)((count + 1) * i / of->states);
        uint64_t turn = (of->seed + i) % (SIM_SEED_RANDOM + 3);
        uint64_t seed = turn < SIM_SEED_RANDOM ? turn : SIM_SEED_RANDOM + sim_mix(of->seed + i) % 1000000;
        sim_files *crashed = sim_crash_state(by->sim, prefix, seed);
        size_t shown_at;
        truth owed;

        if (!is_new(of, sim_hash(crashed) ^ sim_mix(truth_count(&by->truth, prefix)))) {
            of->equal++;
            sim_files_free(crashed);
            continue;
        }
        owed = truth_after(&by->truth, prefix);
        shown_at = judge(of, crashed, &owed, prefix, seed);
        if (shown_at != NEVER) {
            sim_files *again = sim_crash_state(crashed, shown_at, SIM_SEED_NOTHING);
            truth still = truth_after(&owed, shown_at);

            (void)judge(of, again, &still, prefix, seed);
            truth_free(&still);
            sim_files_free(again);
        }
        truth_free(&owed);
        sim_files_free(crashed);
    }
    of->seen_count = 0;
}

/* ---- running ---- */

static void run_program(campaign *of, const char *recorder, const char *program, const char *store, const char *log)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)setenv("LD_PRELOAD", recorder, 1);
        (void)setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
        (void)setenv("H2_ROOT", store, 1);
        (void)setenv("H2_LOG", log, 1);
        (void)execl(program, program, store, of->mode, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        violated(of, "the program ended with %d", status);
}

static witness *witness_new(void)
{
    witness *of = sim_must(calloc(1, sizeof(*of)));
    stream_fact *stream;

    of->sim = sim_files_new();
    of->sim->has_root = true;
    (void)truth_stream_begin(&of->truth, H2_STREAM_NAME, H2_THREADS, NEVER);
    stream = &of->truth.streams[0];
    stream->settings[TRUTH_HOURS] = 24;
    stream->settings[TRUTH_MODE] = LS_STREAM_ON_DEMAND;
    stream->settings[TRUTH_RECORD_BYTES] = 1u << 20;
    for (uint32_t i = 0; i < PUTS; i++) {
        uint32_t in_eight = i % H2_PUTS % 8;

        (void)truth_put_begin(&of->truth, 0, i / H2_PUTS, in_eight < 2 ? 0 : i / 8 + 1, h2_bytes_of(i + 1), NEVER);
        of->truth.puts[i].begun_us = (int64_t)time(NULL) * 1000000;
    }
    of->truth.group_count = PUTS;
    return of;
}

static void witness_mode(campaign *of, const char *recorder, const char *program, bool keep)
{
    temp_dir temp;
    char store[TEMP_PATH_BYTES * 2], log[TEMP_PATH_BYTES * 2], what[256];
    uint64_t cases = of->cases, equal = of->equal, calls = of->calls;
    witness *by = witness_new();
    sim_files *real;

    temp_make(&temp);
    memcpy(store, temp_path(&temp, "store"), sizeof store);
    memcpy(log, temp_path(&temp, "log"), sizeof log);
    run_program(of, recorder, program, store, log);
    take_all(of, by, log);
    real = real_load(store, what);
    if (real == NULL)
        violated(of, "%s", what);
    else
        compare(of, by->sim, real);
    sim_files_free(real);
    for (uint32_t i = 0; i < PUTS; i++)
        if (by->truth.puts[i].durable_at == NEVER)
            violated(of, "put %u was never said to be durable", i + 1);
    if (of->violations == 0)
        explore(of, by);
    printf("%-10s %6" PRIu64 " calls, %6" PRIu64 " cases, %5" PRIu64 " equal ones dropped\n", of->mode,
           of->calls - calls, of->cases - cases, of->equal - equal);
    if (keep)
        printf("kept in %s\n", temp.path);
    else
        temp_remove(&temp);
    truth_free(&by->truth);
    sim_files_free(by->sim);
    free(by);
}

/* A file in the directory of this program. */
static void beside(char into[TEMP_PATH_BYTES], const char *name)
{
    ssize_t size = readlink("/proc/self/exe", into, TEMP_PATH_BYTES - 64);

    if (size <= 0)
        abort();
    into[size] = '\0';
    (void)snprintf(strrchr(into, '/') + 1, 64, "%s", name);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; ls_durability durability; } modes[] = {
        {"sync", LS_DURABILITY_SYNC}, {"interval", LS_DURABILITY_INTERVAL}, {"kernel", LS_DURABILITY_KERNEL}};
    campaign all = {.seed = 1, .states = STATES_DEFAULT / 3};
    char recorder[TEMP_PATH_BYTES], program[TEMP_PATH_BYTES];
    const char *only = NULL;
    time_t began = time(NULL);
    bool keep = false;

    if (getenv("LIBSTREAM_TEST_LONG") != NULL)
        all.states = STATES_LONG / 3;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--keep") == 0) {
            keep = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0)
            all.seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--states") == 0)
            all.states = strtoull(value, NULL, 0) / 3;
        else if (strcmp(argv[i], "--mode") == 0)
            only = value;
        else
            return 2;
        i++;
    }
    beside(recorder, "libh2_recorder.so");
    beside(program, "h2_program");
    printf("seed %" PRIu64 "\n", all.seed);
    for (size_t i = 0; i < 3; i++) {
        if (only != NULL && strcmp(only, modes[i].name) != 0)
            continue;
        all.mode = modes[i].name;
        all.durability = modes[i].durability;
        witness_mode(&all, recorder, program, keep);
    }
    free(all.seen);
    printf("harness=h2_recorded seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " calls=%" PRIu64
           " wall_s=%.1f\n", all.seed, all.cases, all.violations, all.calls, difftime(time(NULL), began));
    return all.violations > 0;
}
