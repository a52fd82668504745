/* Names of files in notes. */
#include "source_name.h"
#include "flat_json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define KEY_CHARACTERS 190 /* With a number, no more than the 256 of a partition key. */
#define BLOCK_BYTES ((size_t)1 << 20)

void source_version(const struct stat *file, char version[64])
{
    (void)snprintf(version, 64, "%" PRIdMAX " %" PRIdMAX ".%09ld", (intmax_t)file->st_size,
                   (intmax_t)file->st_mtim.tv_sec, file->st_mtim.tv_nsec);
}

/* FNV-1a of 64 bits, whose bytes are changed by `salt`. */
static uint64_t hash(const char *text, unsigned char salt)
{
    uint64_t sum = UINT64_C(14695981039346656037);

    for (; *text != '\0'; text++)
        sum = (sum ^ (unsigned char)(*text ^ salt)) * UINT64_C(1099511628211);
    return sum;
}

void source_key(const char *text, char key[SOURCE_KEY_BYTES])
{
    size_t size = strlen(text), characters = 0;

    if (size > 0 && size < SOURCE_KEY_BYTES && utf8_check(text, size, &characters) && characters <= KEY_CHARACTERS)
        memcpy(key, text, size + 1);
    else
        (void)snprintf(key, SOURCE_KEY_BYTES, "a name of %zu bytes, %016" PRIx64 "%016" PRIx64, size, hash(text, 0),
                       hash(text, 0x5a));
}

/* ---- which file it is ---- */

/* A sum of the first `size` bytes of a file, by words of eight. 0, or -1: it has less, or cannot be read. */
static int sum_content(const char *path, uint64_t size, uint64_t *sum)
{
    FILE *file = fopen(path, "rb");
    uint64_t *block = malloc(BLOCK_BYTES), left = size;

    *sum = size;
    while (file != NULL && block != NULL && left > 0) {
        size_t wanted = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES, words = (wanted + 7) / 8;

        block[words - 1] = 0; /* what is behind the last byte */
        if (fread(block, 1, wanted, file) != wanted)
            break;
        for (size_t i = 0; i < words; i++) {
            *sum = (*sum ^ block[i]) * UINT64_C(0x9e3779b97f4a7c15);
            *sum ^= *sum >> 29;
        }
        left -= wanted;
    }
    if (file != NULL)
        (void)fclose(file); /* Only read. */
    free(block);
    return file != NULL && block != NULL && left == 0 ? 0 : -1;
}

void source_word(const source_name *name, uint64_t cut_at, char word[SOURCE_WORD_BYTES])
{
    int used = snprintf(word, SOURCE_WORD_BYTES, "%s", name->version);

    if (used > 0 && (cut_at > 0 || name->again > 0))
        (void)snprintf(word + used, SOURCE_WORD_BYTES - (size_t)used, ":%" PRIu64 ":%" PRIu64, cut_at, name->again);
}

/* Whether a file that ended at `cut_at`, without a line end, went on there with something else. */
static bool goes_on(const char *path, uint64_t cut_at)
{
    FILE *file = cut_at == 0 ? NULL : fopen(path, "rb");
    int next = file != NULL && fseeko(file, (off_t)cut_at, SEEK_SET) == 0 ? getc(file) : EOF;

    if (file != NULL)
        (void)fclose(file); /* Only read. */
    return next != EOF && next != '\n' && next != '\r';
}

/* What the note's last word says besides the version. */
static void read_again(const char *path, const char *note, source_name *name)
{
    uint64_t cut_at = 0;

    if (sscanf(strrchr(note, ' '), " v:%*[^:]:%*[^:]:%*[^:]:%" SCNu64 ":%" SCNu64, &cut_at, &name->again) == 2 &&
        goes_on(path, cut_at)) {
        name->again++;
        (void)pipeline_fail("%s has grown in the midst of its last row: that is put again, whole", path);
    }
}

/* Whether the note is of this file: of `file` now, or of what it began with. */
static bool is_of(const char *note, const char *path, const struct stat *file, const char *size_and_time)
{
    const char *word = strrchr(note, ' ');
    uint64_t size, sum, is;
    size_t same = strlen(size_and_time);

    if (word == NULL || sscanf(word, " v:%" SCNu64 ":%*[^:]:%" SCNx64, &size, &sum) != 2)
        return false;
    if (strncmp(word + 1, size_and_time, same) == 0)
        return true;
    return size <= (uint64_t)file->st_size && sum_content(path, size, &is) == 0 && is == sum;
}

static int make_version(const char *path, const struct stat *file, const char *size_and_time, source_name *name)
{
    uint64_t sum;

    if (sum_content(path, (uint64_t)file->st_size, &sum) != 0)
        return pipeline_fail("cannot read %s", path);
    (void)snprintf(name->version, sizeof(name->version), "%s%016" PRIx64, size_and_time, sum);
    return 0;
}

int source_name_find(const row_feed *feed, const char *path, source_name *name)
{
    char whole[PATH_MAX], key[SOURCE_KEY_BYTES], size_and_time[72];
    const char *note;
    struct stat file;

    name->version[0] = '\0';
    name->again = 0;
    if (stat(path, &file) != 0)
        return pipeline_fail("cannot open %s: %s", path, strerror(errno));
    if (realpath(path, whole) == NULL) { /* A pipe, as /dev/stdin: it lies nowhere. */
        if (S_ISREG(file.st_mode) || strlen(path) >= sizeof(whole))
            return pipeline_fail("cannot open %s: %s", path, strerror(errno));
        (void)snprintf(whole, sizeof(whole), "%s", path);
    }
    source_key(whole, key);
    (void)snprintf(name->text, sizeof(name->text), "%s", key);
    if (!S_ISREG(file.st_mode)) {
        note = feed_note(feed, name->text);
        if (note != NULL)
            (void)pipeline_fail("%s is taken for what was read there before: its first %" PRIu64
                                " rows are passed over", path, (uint64_t)strtoull(note, NULL, 10));
        return 0;
    }
    (void)snprintf(size_and_time, sizeof(size_and_time), "v:%" PRIdMAX ":%" PRIdMAX ".%09ld:", (intmax_t)file.st_size,
                   (intmax_t)file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
    for (unsigned number = 2; (note = feed_note(feed, name->text)) != NULL; number++) {
        if (is_of(note, whole, &file, size_and_time))
            break;
        (void)snprintf(name->text, sizeof(name->text), "%s #%u", key, number);
    }
    if (note != NULL)
        read_again(path, note, name);
    if (note != NULL && strncmp(strrchr(note, ' ') + 1, size_and_time, strlen(size_and_time)) == 0) {
        (void)snprintf(name->version, sizeof(name->version), "%.*s", (int)strlen(size_and_time) + 16,
                       strrchr(note, ' ') + 1);
        return 0;
    }
    if (note == NULL && strcmp(name->text, key) != 0)
        (void)pipeline_fail("%s is another file than the one that was read: its rows are taken, too", path);
    return make_version(whole, &file, size_and_time, name);
}

/* ---- twice ---- */

int source_check_files(char *const *files, int count)
{
    struct stat *about = calloc((size_t)count + 1, sizeof(*about));
    int result = about == NULL ? pipeline_fail("no memory") : 0;

    for (int i = 0; result == 0 && i < count; i++) {
        if (stat(files[i], &about[i]) != 0 || !S_ISREG(about[i].st_mode)) {
            about[i].st_nlink = 0;
            continue;
        }
        for (int k = 0; k < i && result == 0; k++)
            if (about[k].st_nlink != 0 && about[k].st_dev == about[i].st_dev && about[k].st_ino == about[i].st_ino)
                result = strcmp(files[k], files[i]) == 0
                             ? pipeline_fail("%s is given twice", files[i])
                             : pipeline_fail("%s and %s are the same file", files[k], files[i]);
    }
    free(about);
    return result;
}
