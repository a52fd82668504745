/* A directory as a sink: an object is a file, the parts of its name are directories.
 *
 *   W1  The bytes are written into a file that nobody looks at, at the root of the directory; it is synced, and moved
 *       to its name by a rename that never replaces; then the directory of the name is synced. So a reader sees whole
 *       files only, after a crash, too (K1, K3).
 *   W2  That file's name is this sink's own, and nobody else ever renames it: two processes that deliver the same
 *       object, since one was taken for dead, do not move each other's halves. It holds a lock while it is there.
 *   W3  What a dead one left is removed by the next sink that is opened: a file of such a name whose lock is free. One
 *       that was taken away from a living one, which had not locked it yet, is made anew when the object is put again.
 *   W4  Directories are made as they are needed; one that is there may not be durable yet, so the directory above it is
 *       synced all the same.
 *   W5  What a sync of a directory that failed should have made durable stays in doubt, whatever later ones say (E1).
 *       What is there is moved away and back then, which the next sync covers: only then, since nobody sees it in
 *       between. Another run may have made a directory anew meanwhile: what is in that one goes into the one that comes
 *       back. Doubt outlives the sink: who opens the directory again after a run that failed finds names of which
 *       nobody else knows that they are in doubt.
 *   W6  A directory that was removed as a whole is made again, at its path.
 *   W7  Which directory is away (W5) says a note beside it, a file at the root with its name as content, that is
 *       durable and locked before the directory goes, and removed when it is back. A note whose lock is free is of one
 *       who was killed in between: who opens the directory next brings back what it tells of. */
#include "deliver/sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

#define UNFINISHED_PREFIX ".libstream-"
#define UNFINISHED_SUFFIX ".tmp"
#define NOTE_SUFFIX ".was" /* as long */
#define UNFINISHED_BYTES (sizeof(UNFINISHED_PREFIX) + 16 + sizeof(UNFINISHED_SUFFIX))
#define PART_BYTES_MAX 255u
#define PIECE_BYTES ((size_t)1 << 20)
#define OPEN_ROOT (LSI_ROOT_CREATE | LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME)

typedef struct directory {
    lsi_sink sink; /* first */
    lsi_memory memory;
    lsi_root root;
    char unfinished[UNFINISHED_BYTES], note[UNFINISHED_BYTES];
    bool is_away; /* W7: our note may be there */
    char durable_dir[LSI_OBJECT_NAME_MAX + 1]; /* whose name, and all above it, are durable; "" */
    _Atomic bool *doubt; /* W5: a sync of a directory failed, in this process */
    _Atomic bool own_doubt;
    char path[];
} directory;

bool lsi_sink_directory_takes(const char *name)
{
    const char *part = name;

    if (strlen(name) > LSI_OBJECT_NAME_MAX || !lsi_file_name_is_plain(name))
        return false;
    for (;;) {
        size_t size = strcspn(part, "/");

        if (size > PART_BYTES_MAX)
            return false;
        if (part[size] == '\0')
            return true;
        part += size + 1;
    }
}

/* ---- steps ---- */

static int sync_names(directory *of, const char *dir)
{
    int result = of->root.files->sync_dir(&of->root, dir);

    if (result != 0)
        atomic_store_explicit(of->doubt, true, memory_order_relaxed); /* It says nothing of other memory. */
    return result;
}

static bool is_in_doubt(const directory *of)
{
    return atomic_load_explicit(of->doubt, memory_order_relaxed);
}

typedef struct moving {
    directory *of;
    const char *from, *to;
    int result;
} moving;

static int move_dir(directory *of, const char *from, const char *to);

static int move_entry(void *user, const char *name, bool is_dir)
{
    moving *move = user;
    const lsi_files *files = move->of->root.files;
    char from[LSI_OBJECT_NAME_MAX + 1], to[LSI_OBJECT_NAME_MAX + 1];

    if ((size_t)snprintf(from, sizeof from, "%s/%s", move->from, name) >= sizeof from ||
        (size_t)snprintf(to, sizeof to, "%s/%s", move->to, name) >= sizeof to)
        move->result = -ENAMETOOLONG; /* Neither is longer than the name of an object that lies there. */
    else
        move->result = is_dir ? move_dir(move->of, from, to) : files->rename_new(&move->of->root, from, to);
    if (move->result == -EEXIST && !is_dir) /* K2 */
        move->result = files->unlink(&move->of->root, from);
    return move->result != 0;
}

/* To where nothing is, or an empty directory; else what is in it goes into the one that is there. */
static int move_dir(directory *of, const char *from, const char *to)
{
    const lsi_files *files = of->root.files;
    moving move = {of, from, to, 0};
    int result = files->rename(&of->root, from, to);

    if (result != -ENOTEMPTY && result != -EEXIST)
        return result;
    result = files->list(&of->root, from, move_entry, &move);
    if (result >= 0)
        result = move.result;
    return result == 0 ? files->remove_dir(&of->root, from) : result;
}

/* The device begins with a piece while the next one is copied, so that the sync has but the last one to wait for. */
static int write_content(const lsi_files *files, const lsi_file *file, ls_bytes content)
{
    const unsigned char *from = content.data;
    uint64_t at = 0;
    int result = 0;

    for (; result == 0 && content.size - at > PIECE_BYTES; at += PIECE_BYTES, from += PIECE_BYTES) {
        result = lsi_file_write_one(file, from, PIECE_BYTES, at);
        if (result == 0 && files->start_writeback != NULL)
            files->start_writeback(file, at, PIECE_BYTES);
    }
    return result == 0 ? lsi_file_write_one(file, from, (size_t)(content.size - at), at) : result;
}

/* W1. What a failure leaves is removed. */
static int write_unfinished(directory *of, ls_bytes content, lsi_file *file)
{
    const lsi_files *files = of->root.files;
    int result = files->unlink(&of->root, of->unfinished); /* an earlier failure's */

    if (result != 0 && result != -ENOENT)
        return result;
    result = files->open(&of->root, of->unfinished, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, file);
    if (result == 0)
        result = files->lock(file, 0, LSI_LOCK_EXCLUSIVE);
    if (result == 0)
        result = write_content(files, file, content);
    if (result == 0)
        result = files->sync(file, false);
    return result;
}

/* ---- away and back ---- */

static int stop_at_one(void *user, const char *name, bool is_dir)
{
    (void)user;
    (void)name;
    (void)is_dir;
    return 1;
}

/* W7. Brings back the directory that is away as `from` to `name`, with the directories above it. */
static int bring_back(directory *of, const char *from, const char *name)
{
    const lsi_files *files = of->root.files;
    char above[LSI_OBJECT_NAME_MAX + 1] = "";
    int result = files->list(&of->root, from, stop_at_one, NULL);

    if (result == -ENOENT || result == -ENOTDIR) /* It was back, or had not gone. */
        return 0;
    for (const char *end = strchr(name, '/'); end != NULL && result >= 0; end = strchr(end + 1, '/')) {
        memcpy(above, name, (size_t)(end - name));
        above[end - name] = '\0';
        result = files->make_dir(&of->root, above);
        result = result == -EEXIST ? 0 : result;
    }
    if (result >= 0)
        result = move_dir(of, from, name);
    return result == 0 ? sync_names(of, above) : result;
}

/* W7. Of the note `note`, which is locked, and what is away as `from`. */
static int settle_note(directory *of, const char *note, const char *from)
{
    const lsi_files *files = of->root.files;
    void *name;
    size_t size;
    int result = lsi_file_load(&of->root, note, LSI_OBJECT_NAME_MAX + 1, &of->memory, &name, &size);
    bool is_name;

    if (result != 0)
        return result == -ENOENT ? 0 : result;
    is_name = size != 0 && ((const char *)name)[size - 1] == '\0' && lsi_sink_directory_takes(name);
    result = is_name ? bring_back(of, from, name) : 0;
    lsi_free(&of->memory, name);
    if (result == 0)
        result = files->unlink(&of->root, note);
    return result == -ENOENT ? 0 : result;
}

/* W5, W7: a directory's name is as if it was new. */
static int remake_dir(directory *of, const char *name)
{
    const lsi_files *files = of->root.files;
    lsi_file note = {0};
    int result = files->list(&of->root, name, stop_at_one, NULL);

    if (result >= 0) /* Else it is no directory: it stays where it is. */
        result = write_unfinished(of, (ls_bytes){name, strlen(name) + 1}, &note);
    if (result == 0)
        result = files->rename_new(&of->root, of->unfinished, of->note);
    if (result == 0) {
        of->is_away = true;
        result = sync_names(of, "");
    }
    if (result == 0)
        result = files->rename(&of->root, name, of->unfinished);
    if (result == 0)
        result = move_dir(of, of->unfinished, name);
    if (result == 0) {
        result = files->unlink(&of->root, of->note);
        of->is_away = result != 0;
    }
    if (lsi_file_is_open(&note))
        (void)files->close(&note); /* It was synced. */
    return result;
}

/* W5: a file's name is as if it was new. Who is killed in between has not told anybody that it is there. */
static int remake_file(directory *of, const char *name)
{
    const lsi_files *files = of->root.files;
    int result = files->unlink(&of->root, of->unfinished);

    if (result == 0 || result == -ENOENT)
        result = files->rename(&of->root, name, of->unfinished);
    return result == 0 ? files->rename_new(&of->root, of->unfinished, name) : result;
}

/* ---- one object ---- */

/* The directory of `name`, and all above it, are there and durable (W4). */
static int make_dirs(directory *of, const char *name)
{
    const lsi_files *files = of->root.files;
    const char *last = strrchr(name, '/');
    size_t size = last == NULL ? 0 : (size_t)(last - name);
    char dir[LSI_OBJECT_NAME_MAX + 1], above[LSI_OBJECT_NAME_MAX + 1] = "";
    int result = 0;

    if (size == 0 || (strlen(of->durable_dir) == size && memcmp(of->durable_dir, name, size) == 0))
        return 0;
    of->durable_dir[0] = '\0';
    for (size_t end = 0; end < size && result == 0;) {
        end += strcspn(name + end, "/");
        memcpy(dir, name, end);
        dir[end] = '\0';
        result = files->make_dir(&of->root, dir);
        if (result == -EEXIST)
            result = is_in_doubt(of) ? remake_dir(of, dir) : 0;
        if (result == 0)
            result = sync_names(of, above);
        memcpy(above, dir, end + 1);
        end++;
    }
    if (result == 0)
        memcpy(of->durable_dir, above, size + 1);
    return result;
}

/* K2: what is there is the twin, and nothing else of its name. A link leads to where somebody has put it. */
static int find_twin(directory *of, const char *name)
{
    lsi_file file = {0};
    int result = of->root.files->open(&of->root, name, 0, &file);

    if (result == 0)
        (void)of->root.files->close(&file); /* opened to read */
    if (result == -EINVAL) /* a directory, a FIFO: see lsi_file_misfit */
        return -EISDIR;
    if (result != 0 && result != -EACCES && result != -EPERM && result != -ELOOP)
        return result;
    return is_in_doubt(of) ? remake_file(of, name) : 0;
}

/* `*is_there`: when it fails, too. */
static int put_whole(directory *of, const char *name, ls_bytes content, bool *is_there)
{
    const lsi_files *files = of->root.files;
    const char *last = strrchr(name, '/');
    char dir[LSI_OBJECT_NAME_MAX + 1] = "";
    lsi_file file = {0};
    int result = of->is_away ? settle_note(of, of->note, of->unfinished) : 0, closed = 0; /* an earlier failure's */

    *is_there = false;
    of->is_away = result != 0;
    if (result == 0)
        result = make_dirs(of, name);
    if (result != 0)
        return result;
    if (last != NULL) {
        memcpy(dir, name, (size_t)(last - name));
        dir[last - name] = '\0';
    }
    result = write_unfinished(of, content, &file);
    if (result == 0)
        result = files->rename_new(&of->root, of->unfinished, name);
    if (lsi_file_is_open(&file))
        closed = files->close(&file); /* It was synced: what closing says changes nothing. */
    (void)closed;
    if (result != 0)
        (void)files->unlink(&of->root, of->unfinished); /* The next object does it if this one cannot. */
    if (result == -EEXIST)
        result = find_twin(of, name);
    *is_there = result == 0;
    return *is_there ? sync_names(of, dir) : result; /* a twin's name, too: who made it may have died before */
}

/* ---- what may help ---- */

/* Whether files can be made at the root, where all objects are begun. */
static bool takes_files(directory *of)
{
    lsi_file file = {0};
    int result = write_unfinished(of, (ls_bytes){NULL, 0}, &file);

    if (lsi_file_is_open(&file))
        (void)of->root.files->close(&file); /* Nothing was written. */
    (void)of->root.files->unlink(&of->root, of->unfinished); /* The next object does it if this one cannot. */
    return result == 0;
}

/* Waiting helps, or somebody who looks after the machine does; what is wrong with a name or the rights stays wrong. */
static lsi_put_hope hope_of(directory *of, int result, bool is_there)
{
    switch (-result) {
    case ELOOP:   /* a link, */
    case ENOTDIR: /* a file where a directory is to be, or */
    case EISDIR:  /* a directory where the object is to be */
    case ENAMETOOLONG:
    case EXDEV:
        return is_there ? LSI_PUT_NEVER : LSI_PUT_ELSEWHERE;
    case EACCES: /* of everything here, or of a directory on the way */
    case EPERM:
    case EROFS:
        return !is_there && takes_files(of) ? LSI_PUT_ELSEWHERE : LSI_PUT_NEVER;
    case EINVAL:
        return LSI_PUT_NEVER;
    default:
        return LSI_PUT_LATER;
    }
}

/* W6. Failing: the next put that fails does it. */
static void open_again(directory *of)
{
    lsi_root root = {0};

    if (of->root.files->root_open(of->root.files, of->path, OPEN_ROOT, &root) != 0)
        return;
    root.make_room = of->root.make_room;
    root.room_user = of->root.room_user;
    of->root.files->root_close(&of->root);
    of->root = root;
}

static ls_status directory_put(lsi_sink *sink, const char *name, ls_bytes content, lsi_put_hope *hope)
{
    directory *of = (directory *)sink;
    bool is_there;
    int result;

    *hope = LSI_PUT_NEVER;
    if (!lsi_sink_directory_takes(name))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "object '%s' can be no file of directory '%s'", name, of->path);
    result = put_whole(of, name, content, &is_there);
    if (result == 0)
        return LS_OK;
    of->durable_dir[0] = '\0'; /* It may have been removed, too: all of it is made again. */
    if (result == -ENOENT)
        open_again(of);
    *hope = hope_of(of, result, is_there);
    return lsi_fail_errno(result, "cannot deliver '%s' (%zu bytes) to directory '%s'", name, content.size, of->path);
}

/* ---- opening ---- */

static bool is_ours(const char *name, const char *suffix)
{
    size_t size = strlen(name);

    return size == UNFINISHED_BYTES - 2 && strncmp(name, UNFINISHED_PREFIX, sizeof(UNFINISHED_PREFIX) - 1) == 0 &&
        strcmp(name + size - strlen(suffix), suffix) == 0;
}

/* W3, W7. Failing: the next sink does it. */
static int tidy_up_if_dead(void *user, const char *name, bool is_dir)
{
    directory *of = user;
    const lsi_files *files = of->root.files;
    bool is_note = is_ours(name, NOTE_SUFFIX);
    char away[UNFINISHED_BYTES];
    lsi_file file = {0};

    if (is_dir || (!is_note && !is_ours(name, UNFINISHED_SUFFIX)) ||
        files->open(&of->root, name, LSI_OPEN_WRITE, &file) != 0)
        return 0;
    (void)snprintf(away, sizeof away, "%.*s" UNFINISHED_SUFFIX, (int)(strlen(name) - (sizeof NOTE_SUFFIX - 1)), name);
    if (files->lock(&file, 0, LSI_LOCK_EXCLUSIVE) == 0)
        (void)(is_note ? settle_note(of, name, away) : files->unlink(&of->root, name));
    (void)files->close(&file); /* Nothing was written. */
    return 0;
}

static void directory_close(lsi_sink *sink)
{
    directory *of = (directory *)sink;
    lsi_memory memory = of->memory;

    of->root.files->root_close(&of->root);
    lsi_free(&memory, of);
}

ls_status lsi_sink_directory_open(const lsi_env *env, const lsi_files *files, const char *path, _Atomic bool *doubt,
                                  lsi_sink **out)
{
    static const lsi_sink_ops ops = {directory_put, directory_close};
    size_t path_bytes = strlen(path) + 1;
    directory *of = lsi_alloc_zero(&env->memory, sizeof *of + path_bytes);
    uint64_t mine;
    int result;

    if (of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for delivering to directory '%s'", path);
    of->sink.ops = &ops;
    of->memory = env->memory;
    atomic_init(&of->own_doubt, false);
    of->doubt = doubt != NULL ? doubt : &of->own_doubt;
    memcpy(of->path, path, path_bytes);
    env->random(env->random_user, &mine, sizeof mine);
    (void)snprintf(of->unfinished, sizeof of->unfinished, UNFINISHED_PREFIX "%016" PRIx64 UNFINISHED_SUFFIX, mine);
    (void)snprintf(of->note, sizeof of->note, UNFINISHED_PREFIX "%016" PRIx64 NOTE_SUFFIX, mine);
    result = files->root_open(files, path, OPEN_ROOT, &of->root);
    if (result != 0) {
        lsi_free(&env->memory, of);
        return lsi_fail_errno(result, "cannot deliver to directory '%s'", path);
    }
    result = files->list(&of->root, "", tidy_up_if_dead, of); /* What stays harms nobody that opens it next. */
    (void)result;
    *out = &of->sink;
    return LS_OK;
}
