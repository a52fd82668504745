/* What the benches share. */
#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

double bench_cpu_seconds(int who)
{
    struct rusage used;

    (void)getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

_Noreturn void bench_fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

_Noreturn void bench_fail_ls(const char *what)
{
    (void)fprintf(stderr, "bench: %s: %s (%s)\n", what, ls_last_error_message(),
                  ls_status_name(ls_last_error_status()));
    exit(1);
}

void *bench_memory(size_t bytes)
{
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);

    if (memory == NULL)
        bench_fail("memory");
    return memory;
}

void *bench_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("shared memory");
    return memory;
}

void bench_warm_memory(uint64_t bytes)
{
    char *memory;

    if (bytes > UINT64_C(4) << 30)
        bytes = UINT64_C(4) << 30;
    memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;  /* The figures are then a little worse than they could be. */
    (void)madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
    for (uint64_t at = 0; at < bytes; at += 4096)
        ((volatile char *)memory)[at] = 1;
    (void)munmap(memory, (size_t)bytes);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

void bench_sort(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_numbers);
}

double bench_percentile_us(const uint64_t *sorted_ns, size_t count, double part)
{
    return count == 0 ? 0 : (double)sorted_ns[(size_t)(part * (double)(count - 1))] / 1e3;
}

static int compare_doubles(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count == 0 ? 0 : values[count / 2];
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void bench_remove(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        bench_fail(path);
}

void bench_fresh_directory(const char *path)
{
    char *copy = strdup(path);

    if (copy == NULL)
        bench_fail("memory");
    bench_remove(path);
    for (char *at = copy + 1; *at != 0; at++)
        if (*at == '/') {
            *at = 0;
            if (mkdir(copy, 0777) != 0 && errno != EEXIST)
                bench_fail(copy);
            *at = '/';
        }
    if (mkdir(copy, 0777) != 0)
        bench_fail(copy);
    free(copy);
}

static uint64_t bytes_found;  /* nftw has no place for a caller's pointer. */

static int add_size(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)path;
    (void)place;
    if (kind == FTW_F || kind == FTW_D)
        bytes_found += (uint64_t)status->st_size;
    return 0;
}

uint64_t bench_file_bytes(const char *path)
{
    bytes_found = 0;
    (void)nftw(path, add_size, 16, FTW_PHYS);
    return bytes_found;
}

static char directory[4096];
static pid_t directory_owner;

static void remove_directory(void)
{
    if (getpid() == directory_owner)  /* Not in a child of fork that ends by exit. */
        bench_remove(directory);
}

const char *bench_directory(void)
{
    const char *parent = getenv("TMPDIR"), *given = getenv("BENCH_DIR");

    if (directory[0] != 0)
        return directory;
    if (given != NULL && *given != 0) {
        if (strlen(given) >= sizeof(directory))
            bench_fail("BENCH_DIR is too long");
        memcpy(directory, given, strlen(given) + 1);
        bench_fresh_directory(directory);
    } else {
        (void)snprintf(directory, sizeof(directory), "%s/libstream-bench-XXXXXX",
                       parent == NULL || *parent == 0 ? "/var/tmp" : parent);
        if (mkdtemp(directory) == NULL)
            bench_fail(directory);
    }
    directory_owner = getpid();
    if (atexit(remove_directory) != 0)
        bench_fail("atexit");
    return directory;
}

const char *bench_mode_name(ls_durability mode)
{
    return mode == LS_DURABILITY_SYNC ? "SYNC" : mode == LS_DURABILITY_INTERVAL ? "INTERVAL"
           : mode == LS_DURABILITY_KERNEL ? "KERNEL" : "DEFAULT";
}

/* xorshift64: fast, and the same everywhere. */
uint64_t bench_random(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

void bench_json_record(char *to, size_t size, uint64_t number)
{
    static char text[(16 << 10) + 128];
    size_t most = 16 << 10, used;
    int printed = snprintf(text, sizeof(text),
                           "{\"number\":%llu,\"sensor\":\"s-%04u\",\"celsius\":%u.%02u,\"humidity\":%u",
                           (unsigned long long)number, (unsigned)(bench_random() % 2000),
                           (unsigned)(bench_random() % 40), (unsigned)(bench_random() % 100),
                           (unsigned)(bench_random() % 100));

    used = (size_t)printed;
    for (unsigned part = 0; used < size && used + 96 < most; part++) {
        printed = snprintf(text + used, sizeof(text) - used, ",\"part%u\":{\"value\":%u,\"trace\":\"%016llx\"}", part,
                           (unsigned)(bench_random() % 100000), (unsigned long long)bench_random());
        used += (size_t)printed;
    }
    /* Longer than the text: blanks, which JSON allows before the closing brace; shorter: cut, so no JSON any more. */
    for (size_t i = 0; i < size; i++)
        to[i] = i < used ? text[i] : ' ';
    if (size > used)
        to[size - 1] = '}';
}
