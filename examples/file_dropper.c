/* Made-up files, dropped by a thread. */
#include "file_dropper.h"
#include "made_up.h"
#include "pipeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void make_text(made_up *rows, uint64_t row)
{
    static const char *const words[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"};
    uint64_t count = 3 + made_up_draw(rows, 40);

    made_up_say(rows, "file %" PRIu64 ":", row + 1);
    for (uint64_t i = 0; i < count; i++)
        made_up_say(rows, " %s", words[made_up_draw(rows, 8)]);
    made_up_say(rows, "\n");
}

void file_dropper_name(uint64_t number, char name[32])
{
    (void)snprintf(name, 32, "%06" PRIu64 ".txt", number);
}

/* Written under another name and moved into place, so that nobody sees half of it. One that is there was dropped by an
 * earlier run. */
static int drop(const char *directory, uint64_t number, const char *text, size_t size)
{
    char path[PIPELINE_PATH_BYTES + 64], part[PIPELINE_PATH_BYTES + 64], name[32];
    FILE *file;
    bool good;

    file_dropper_name(number, name);
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    (void)snprintf(part, sizeof(part), "%s/%06" PRIu64 ".part", directory, number);
    if (access(path, F_OK) == 0)
        return 0;
    file = fopen(part, "w");
    if (file == NULL)
        return pipeline_fail("cannot make %s: %s", part, strerror(errno));
    good = fwrite(text, 1, size, file) == size;
    if (fclose(file) != 0 || !good || rename(part, path) != 0)
        return pipeline_fail("cannot make %s: %s", path, strerror(errno));
    return 0;
}

static void *drop_all(void *user)
{
    file_dropper *dropper = user;
    pipeline_pace pace = {.per_second = (double)dropper->rate};
    made_up *rows = malloc(sizeof(*rows));
    const char *text = NULL;
    size_t size = 0;

    if (rows == NULL)
        dropper->result = pipeline_fail("no memory");
    else
        made_up_begin(rows, dropper->seed, dropper->files, NULL, make_text);
    while (dropper->result == 0 && !pipeline_interrupted && (text = made_up_next(rows, &size)) != NULL) {
        if ((rows->row - 1) % dropper->batch == 0)
            pipeline_wait(&pace, dropper->batch);
        dropper->result = drop(dropper->directory, rows->row, text, size);
    }
    free(rows);
    __atomic_store_n(&dropper->ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

int file_dropper_begin(file_dropper *dropper)
{
    errno = pthread_create(&dropper->thread, NULL, drop_all, dropper);
    return errno == 0 ? 0 : pipeline_fail("cannot make a thread: %s", strerror(errno));
}

bool file_dropper_has_ended(const file_dropper *dropper)
{
    return __atomic_load_n(&dropper->ended, __ATOMIC_ACQUIRE) != 0;
}

int file_dropper_wait(file_dropper *dropper)
{
    (void)pthread_join(dropper->thread, NULL);
    return dropper->result;
}
