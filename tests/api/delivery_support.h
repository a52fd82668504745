/* What the tests of deliveries share: a directory that objects are delivered to and read from, and few words for common
 * calls. */
#ifndef LST_DELIVERY_SUPPORT_H
#define LST_DELIVERY_SUPPORT_H

#include "api/support.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#define STREAM "clicks"
#define NAME "to-files"

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

/* ---- few words for common calls ---- */

static inline const char *out_dir(fixture *fx)
{
    static char path[TEMP_PATH_BYTES * 2];

    snprintf(path, sizeof path, "%s", temp_path(&fx->temp, "out"));
    return path;
}

static inline ls_delivery_options to_directory(fixture *fx)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;

    options.directory = out_dir(fx);
    options.delimiter = "\n";
    return options;
}

static inline void make_delivery(ls_stream *stream, const ls_delivery_options *options)
{
    assert_int_equal(ls_delivery_create(stream, NAME, &horizon, options), LS_OK);
}

static inline void put_text(ls_stream *stream, const char *key, const char *data)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* Records with their number as data, of `keys` keys, with one sync. */
static inline void put_numbers(ls_stream *stream, uint32_t from, uint32_t to, uint32_t keys)
{
    ls_put_entry *entries = calloc(to - from + 1, sizeof *entries);
    char (*texts)[2][16] = calloc(to - from + 1, sizeof *texts);
    ls_producer *producer = NULL;
    size_t failed = 0;

    for (uint32_t i = from; i < to; i++) {
        snprintf(texts[i - from][0], sizeof texts[0][0], "k%u", i % keys);
        snprintf(texts[i - from][1], sizeof texts[0][1], "%u", i);
        entries[i - from].partition_key = text(texts[i - from][0]);
        entries[i - from].data = text(texts[i - from][1]);
    }
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, to - from, NULL, NULL, &failed), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    free(entries);
    free(texts);
}

static inline ls_status run_with(ls_stream *stream, const ls_delivery_run_options *options)
{
    ls_delivery *delivery = NULL;
    ls_status st;

    assert_int_equal(ls_delivery_open(stream, NAME, &delivery), LS_OK);
    st = ls_delivery_run(delivery, options);
    assert_int_equal(ls_delivery_close(delivery), LS_OK);
    return st;
}

static inline ls_delivery_run_options until_caught_up(void)
{
    ls_delivery_run_options options = LS_DELIVERY_RUN_OPTIONS_INIT;

    options.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    return options;
}

static inline void catch_up(ls_stream *stream)
{
    ls_delivery_run_options options = until_caught_up();

    assert_int_equal(run_with(stream, &options), LS_OK);
}

/* ---- what was delivered ---- */

typedef struct object {
    char name[2048]; /* beneath the directory */
    char *bytes;     /* terminated */
    size_t size;
} object;

typedef struct objects {
    object *all;
    size_t count;
} objects;

static inline void take_object(objects *to, const char *path, const char *name)
{
    FILE *file = fopen(path, "rb");
    object *made;
    long size;

    assert_non_null(file);
    to->all = realloc(to->all, (to->count + 1) * sizeof *to->all);
    made = &to->all[to->count++];
    snprintf(made->name, sizeof made->name, "%s", name);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    made->size = (size_t)size;
    made->bytes = calloc(1, made->size + 1);
    assert_int_equal(fread(made->bytes, 1, made->size, file), made->size);
    fclose(file);
}

static inline void look_into(objects *to, const char *root, const char *name)
{
    char path[4096], inner[2048];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s", root, name);
    dir = opendir(path);
    if (dir == NULL)
        return; /* Nothing was delivered. */
    while ((entry = readdir(dir)) != NULL) {
        struct stat about;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int size = snprintf(inner, sizeof inner, "%s%s%s", name, name[0] != '\0' ? "/" : "", entry->d_name);

        assert_in_range(size, 1, sizeof inner - 1);
        size = snprintf(path, sizeof path, "%s/%s", root, inner);
        assert_in_range(size, 1, sizeof path - 1);
        assert_int_equal(stat(path, &about), 0);
        if (S_ISDIR(about.st_mode))
            look_into(to, root, inner);
        else
            take_object(to, path, inner);
    }
    closedir(dir);
}

static inline int by_name(const void *a, const void *b)
{
    return strcmp(((const object *)a)->name, ((const object *)b)->name);
}

/* All of them in order of name, the caller's (free_objects). */
static inline objects delivered(fixture *fx)
{
    objects found = {NULL, 0};

    look_into(&found, out_dir(fx), "");
    if (found.count != 0)
        qsort(found.all, found.count, sizeof *found.all, by_name);
    return found;
}

static inline void free_objects(objects *of)
{
    for (size_t i = 0; i < of->count; i++)
        free(of->all[i].bytes);
    free(of->all);
}

/* How many objects there are, and how often each number 0..count-1 stands on a line of them. */
static inline size_t count_numbers(fixture *fx, uint32_t *times, uint32_t count)
{
    objects found = delivered(fx);
    size_t objects_found = found.count;

    memset(times, 0, count * sizeof *times);
    for (size_t i = 0; i < found.count; i++) {
        char *rest = found.all[i].bytes, *line;

        while ((line = strsep(&rest, "\n")) != NULL)
            if (line[0] != '\0') {
                unsigned long n = strtoul(line, NULL, 10);

                assert_true(n < count);
                times[n]++;
            }
    }
    free_objects(&found);
    return objects_found;
}

/* ---- a callback as destination ---- */

#define TAKEN_MAX 2000

typedef struct taken {
    ls_delivery_kind kind;
    char name[300];
    char *bytes; /* terminated */
    size_t size;
    uint64_t record_count;
    ls_seqno first_seqno, last_seqno;
    uint32_t shard;
} taken;

typedef struct taker {
    taken all[TAKEN_MAX];
    _Atomic uint32_t count;
    uint32_t refuse; /* so many calls are refused first */
    uint32_t calls;
    ls_delivery *stop_at_end; /* is stopped when `stop_after` objects were taken */
    uint32_t stop_after;
} taker;

static inline ls_status take(const ls_delivery_object *given, void *user)
{
    taker *of = user;
    uint32_t count = atomic_load(&of->count);
    taken *made = &of->all[count];

    of->calls++;
    if (of->refuse != 0) {
        of->refuse--;
        return LS_ERR_IO;
    }
    assert_true(count < TAKEN_MAX);
    made->kind = given->kind;
    snprintf(made->name, sizeof made->name, "%s", given->name);
    made->bytes = calloc(1, given->content.size + 1);
    memcpy(made->bytes, given->content.data, given->content.size);
    made->size = given->content.size;
    made->record_count = given->record_count;
    made->first_seqno = given->first_seqno;
    made->last_seqno = given->last_seqno;
    made->shard = given->shard;
    atomic_store(&of->count, count + 1);
    if (of->stop_after != 0 && count + 1 == of->stop_after)
        ls_delivery_stop(of->stop_at_end);
    return LS_OK;
}

static inline taker *make_taker(void)
{
    return calloc(1, sizeof(taker));
}

static inline void free_taker(taker *of)
{
    for (uint32_t i = 0; i < of->count; i++)
        free(of->all[i].bytes);
    free(of);
}

/* The only one of its kind; NULL: there is none. */
static inline const taken *of_kind(const taker *of, ls_delivery_kind kind)
{
    const taken *found = NULL;

    for (uint32_t i = 0; i < of->count; i++)
        if (of->all[i].kind == kind) {
            assert_null(found);
            found = &of->all[i];
        }
    return found;
}

static inline ls_delivery_options to_callback(void)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;

    options.flags = LS_DELIVERY_TO_CALLBACK;
    options.delimiter = "\n";
    return options;
}

static inline ls_delivery_run_options into(taker *of)
{
    ls_delivery_run_options options = until_caught_up();

    options.deliver = take;
    options.deliver_user = of;
    return options;
}

/* ---- a run on a thread of its own ---- */

typedef struct running {
    ls_delivery *delivery;
    ls_delivery_run_options options;
    pthread_t thread;
    ls_status st;
} running;

static inline void *run_on_thread(void *user)
{
    running *of = user;

    of->st = ls_delivery_run(of->delivery, &of->options);
    return NULL;
}

static inline void begin_run(running *of, ls_stream *stream, const ls_delivery_run_options *options)
{
    of->options = *options;
    of->options.flags &= ~LS_DELIVERY_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_delivery_open(stream, NAME, &of->delivery), LS_OK);
    assert_int_equal(pthread_create(&of->thread, NULL, run_on_thread, of), 0);
}

static inline ls_status end_run(running *of)
{
    ls_delivery_stop(of->delivery);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(ls_delivery_close(of->delivery), LS_OK);
    return of->st;
}

static inline void await_count(const _Atomic uint32_t *count, uint32_t wanted)
{
    for (int i = 0; i < 3000 && atomic_load(count) < wanted; i++)
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    assert_true(atomic_load(count) >= wanted);
}

static inline void assert_once(fixture *fx, uint32_t count)
{
    uint32_t *times = calloc(count, sizeof *times);

    (void)count_numbers(fx, times, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(times[i], 1);
    free(times);
}

#endif
