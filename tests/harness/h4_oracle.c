/* What is put, and the files outside the store in which it is noted: intent before the call, acknowledgement after. */
#include "harness/h4.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/history.h"
#include "support/temp.h"

/* ---- records ---- */

/* Most are small; some take frames beyond what is padded at a time, a few more than a segment. */
static uint32_t data_bytes_of(uint32_t writer, uint64_t number)
{
    uint64_t state = number * 131 + writer;
    uint64_t kind = storm_random_below(&state, 400);

    if (kind == 0)
        return (70u << 10) + (uint32_t)storm_random_below(&state, 20u << 10);
    if (kind < 8)
        return (16u << 10) + (uint32_t)storm_random_below(&state, 8u << 10);
    return (uint32_t)sizeof(storm_record) + (uint32_t)storm_random_below(&state, 900);
}

static unsigned char filler(uint32_t writer, uint64_t number, uint32_t at)
{
    return (unsigned char)(number * 31 + writer * 7 + at);
}

uint32_t storm_make_data(uint32_t writer, uint64_t number, uint64_t group, unsigned char *into)
{
    storm_record head = {writer, data_bytes_of(writer, number), number, group};

    memcpy(into, &head, sizeof head);
    for (uint32_t i = (uint32_t)sizeof head; i < head.size; i++)
        into[i] = filler(writer, number, i);
    return head.size;
}

size_t storm_make_key(uint32_t writer, uint64_t number, char into[32])
{
    return (size_t)snprintf(into, 32, "writer-%u-key-%u", writer, (unsigned)(number % STORM_KEYS));
}

bool storm_read_record(const ls_record *record, storm_record *head)
{
    const unsigned char *data = record->data.data;
    char key[32];

    if (record->data.size < sizeof *head)
        return false;
    memcpy(head, data, sizeof *head);
    if (head->size != record->data.size || head->writer >= STORM_PRODUCERS ||
        head->size != data_bytes_of(head->writer, head->number))
        return false;
    for (uint32_t i = (uint32_t)sizeof *head; i < head->size; i++)
        if (data[i] != filler(head->writer, head->number, i))
            return false;
    size_t key_size = storm_make_key(head->writer, head->number, key);
    return record->partition_key.size == key_size && memcmp(record->partition_key.data, key, key_size) == 0;
}

/* ---- oracle files ---- */

int storm_oracle_open(const char *kind, uint32_t place, int flags)
{
    char path[TEMP_PATH_BYTES * 2];

    if (snprintf(path, sizeof path, "%s/%s-%u", storm_set.oracle, kind, place) >= (int)sizeof path)
        abort();
    return open(path, flags | O_CLOEXEC, 0600);
}

/* A write is cut short by a kill only between two pages of the file, so no entry lies in two. */
#define PAGE_BYTES 4096u
_Static_assert(PAGE_BYTES % sizeof(history_put) == 0 && PAGE_BYTES % sizeof(history_read) == 0 &&
               PAGE_BYTES % sizeof(history_run) == 0, "entries fill pages");

void storm_oracle_note(int fd, const void *entries, size_t bytes)
{
    if (write(fd, entries, bytes) != (ssize_t)bytes) {
        storm_violation("the oracle cannot be written: %s", strerror(errno));
        _exit(3);
    }
}

void *storm_oracle_load(const char *kind, uint32_t place, size_t entry_bytes, size_t *count)
{
    int fd = storm_oracle_open(kind, place, O_RDONLY);
    struct stat about;
    char *bytes;
    size_t have = 0;

    *count = 0;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) != 0 || (bytes = malloc((size_t)about.st_size + 1)) == NULL)
        abort();
    while (have < (size_t)about.st_size) {
        ssize_t got = read(fd, bytes + have, (size_t)about.st_size - have);
        if (got <= 0)
            abort();
        have += (size_t)got;
    }
    (void)close(fd);
    if (have % entry_bytes != 0)
        storm_violation("oracle %s-%u has %zu bytes, not a multiple of %zu", kind, place, have, entry_bytes);
    *count = have / entry_bytes;
    return bytes;
}
