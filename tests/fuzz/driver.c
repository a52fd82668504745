/* Runs a fuzz target without libFuzzer: every file of its corpus as it is, then random changes of them.
 *
 *     fuzz_frame CORPUS [--cases N] [--seed S]     CORPUS: a directory, or one file
 *
 * It sees no branches, so it finds less than libFuzzer; it shows that what was once found stays fixed, with every
 * compiler, and that nothing near the corpus breaks. Prints its seed; a run with the same one does the same. An input
 * that kills the process is first written to fuzz-last.bin in the current directory when FUZZ_KEEP is set. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#define CASES_DEFAULT 3000u
#define CASES_LONG 200000u
#define FILES_MAX 256
#define GROWTH_BYTES 256u

typedef struct input {
    uint8_t *bytes;
    size_t size;
} input;

static input inputs[FILES_MAX];
static size_t input_count;
static size_t input_bytes_max;

static void load(const char *path)
{
    FILE *from = fopen(path, "rb");
    struct stat about;
    input *to = &inputs[input_count];

    if (from == NULL || fstat(fileno(from), &about) != 0 || input_count == FILES_MAX) {
        perror(path);
        exit(2);
    }
    to->size = (size_t)about.st_size;
    to->bytes = malloc(to->size + 1);
    if (to->bytes == NULL || fread(to->bytes, 1, to->size, from) != to->size) {
        perror(path);
        exit(2);
    }
    (void)fclose(from); /* was only read */
    if (to->size > input_bytes_max)
        input_bytes_max = to->size;
    input_count++;
}

static int is_no_dot(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void load_all(const char *path)
{
    struct dirent **entries;
    struct stat about;
    int count;

    if (stat(path, &about) == 0 && !S_ISDIR(about.st_mode)) {
        load(path);
        return;
    }
    count = scandir(path, &entries, is_no_dot, alphasort); /* sorted: a seed means the same everywhere */
    if (count < 0) {
        perror(path);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char name[4096];

        if (snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < (int)sizeof name)
            load(name);
        free(entries[i]);
    }
    free(entries);
}

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size);

    if (getenv("FUZZ_KEEP") != NULL) {
        FILE *to = fopen("fuzz-last.bin", "wb");

        if (to != NULL) {
            (void)fwrite(bytes, 1, size, to); /* for whoever looks for it: no more than a help */
            (void)fclose(to);
        }
    }
    (void)LLVMFuzzerTestOneInput(copy, size); /* 0, or -1: not worth keeping */
    free(copy);
}

/* One change of the kinds that find things: bits, bytes, extreme numbers, moved, doubled and removed runs. */
static size_t change(uint8_t *bytes, size_t size, size_t capacity, uint64_t *random)
{
    static const uint64_t extremes[] = {0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
                                        0x7fffffff, 0x80000000, 0xffffffff, UINT64_C(0x7ffffffffffffffe),
                                        UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), UINT64_MAX,
                                        UINT64_MAX - 7};
    size_t at = size != 0 ? fuzz_random(random) % size : 0, left = size - at;
    size_t run = left != 0 ? 1 + fuzz_random(random) % (left < 64 ? left : 64) : 0;
    const input *other = &inputs[fuzz_random(random) % input_count];
    uint64_t number;

    switch (fuzz_random(random) % 8) {
    case 0:
    case 1:
        if (size != 0)
            bytes[at] ^= (uint8_t)(1u << fuzz_random(random) % 8);
        return size;
    case 2:
        if (size != 0)
            bytes[at] = (uint8_t)fuzz_random(random);
        return size;
    case 3: /* an extreme number at a place where numbers stand */
        at &= ~(size_t)3;
        number = extremes[fuzz_random(random) % (sizeof extremes / sizeof *extremes)];
        memcpy(bytes + at, &number, size - at < 8 ? size - at : fuzz_random(random) % 2 != 0 ? 8 : 4);
        return size;
    case 4: /* a run is removed */
        memmove(bytes + at, bytes + at + run, left - run);
        return size - run;
    case 5: /* a run is doubled */
        if (run > capacity - size)
            return size;
        memmove(bytes + at + run, bytes + at, left);
        return size + run;
    case 6: /* a run of another input */
        if (other->size != 0 && size != 0) {
            size_t from = fuzz_random(random) % other->size;

            if (run > other->size - from)
                run = other->size - from;
            memcpy(bytes + at, other->bytes + from, run);
        }
        return size;
    default: /* cut, or zeros added */
        if (fuzz_random(random) % 2 != 0)
            return at;
        run = fuzz_random(random) % (capacity - size + 1);
        memset(bytes + size, 0, run);
        return size + run;
    }
}

int main(int argc, char **argv)
{
    const char *long_run = getenv("LIBSTREAM_TEST_LONG");
    uint64_t cases = long_run != NULL ? CASES_LONG : CASES_DEFAULT, seed = 1, random;
    struct timespec began, ended;
    uint8_t *bytes;
    size_t capacity;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cases") == 0 && i + 1 < argc)
            cases = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            load_all(argv[i]);
    }
    if (input_count == 0) {
        fprintf(stderr, "%s: no corpus\n", argv[0]);
        return 2;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &began); /* cannot fail on this clock */
    for (size_t i = 0; i < input_count; i++)
        run(inputs[i].bytes, inputs[i].size);
    run(inputs[0].bytes, 0);

    capacity = input_bytes_max + GROWTH_BYTES;
    bytes = malloc(capacity);
    if (bytes == NULL)
        return 2;
    random = seed;
    for (uint64_t i = 0; i < cases; i++) {
        const input *from = &inputs[fuzz_random(&random) % input_count];
        size_t size = from->size;

        memcpy(bytes, from->bytes, size);
        for (uint64_t left = 1 + fuzz_random(&random) % 4; left > 0; left--)
            size = change(bytes, size, capacity, &random);
        if (fuzz_repair != NULL && fuzz_random(&random) % 8 != 0)
            fuzz_repair(bytes, size);
        run(bytes, size);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("harness=h8 target=%s seed=%llu corpus=%zu cases=%llu violations=0 wall_s=%.1f\n", argv[0],
           (unsigned long long)seed, input_count, (unsigned long long)cases,
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    free(bytes);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].bytes);
    return 0;
}
