/* See h3_systems.h. */
#include "harness/h3_systems.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing may be left for threads of the kernel to do later, and nothing is discarded. */
const h3_system h3_systems[H3_SYSTEMS] = {
    {"ext4", 64u << 20, "mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0", ""},
    {"xfs", 320u << 20, "mkfs.xfs -q -f -K", "nouuid"},
    {"btrfs", 160u << 20, "mkfs.btrfs -q -f -K -m single -d single", ""},
};

bool h3_run(const char *format, const char *a, const char *b)
{
    char command[512];
    int status;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(command, sizeof command, format, a, b);
#pragma GCC diagnostic pop
    status = system(command);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool h3_mount(const char *device, const char *dir, const h3_system *of)
{
    return mount(device, dir, of->name, MS_NOATIME, of->options) == 0;
}

void h3_leave(const char *dir, const h3_system *of)
{
    /* Whoever looks at all mounts, as other programs do at times, may hold it for a moment. */
    for (int i = 0; umount(dir) != 0; i++) {
        if (errno != EBUSY || i == 500) {
            fprintf(stderr, "h3: %s cannot be unmounted: %s\n", of->name, strerror(errno));
            exit(2);
        }
        (void)usleep(10000);
    }
}

block_disk *h3_make(const h3_system *of, const char *dir, char why[256])
{
    block_disk *disk;
    char tool[32];

    (void)snprintf(tool, sizeof tool, "%.*s", (int)strcspn(of->make, " "), of->make);
    if (!h3_run("command -v %s >/dev/null%s", tool, "")) {
        (void)snprintf(why, 256, "%s is not there", tool);
        return NULL;
    }
    disk = block_disk_new(of->bytes, why);
    if (disk == NULL)
        return NULL;
    if (!h3_run("%s %s >/dev/null", of->make, block_disk_device(disk)) ||
        !h3_mount(block_disk_device(disk), dir, of)) {
        (void)snprintf(why, 256, "it cannot be made or mounted: %s", strerror(errno));
        block_disk_free(disk);
        return NULL;
    }
    h3_leave(dir, of);
    return disk;
}
