/* Whose the files are: what a process makes in a store belongs to whom the store's directory belongs, whoever made it.
 * So root may run the tool in a service's store without locking the service out, and a directory with mode 2770 is
 * shared by its group. Whom the directory's permissions let in is let in to the files, whatever the umask:
 *
 *   W1  The group is the directory's, and the group and other permissions are the directory's (files: without x). Where
 *       the group may not be given, its permissions are those of others at most: what was meant for one group is never
 *       granted to another.
 *   W2  Directories are setgid when the store's is. That is all that gives the group to what is made beneath by a
 *       process that is not in it, and the kernel takes the bit away when such a process changes a mode. So these
 *       directories get their mode when they are made, and it is never changed.
 *   W3  The owner is the directory's. Only root may give a file away, so a member of the group leaves the owner an
 *       entry in the file's access list instead: the directory's owner need not be in its group.
 *
 * The group is given before the mode and the mode before the owner: each while the file is still ours to change. */
#include "base/file_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/thread.h"

#define ACCESS_LIST "system.posix_acl_access"

/* W1, W2: the mode of what has the type and group of `own`. */
static mode_t mode_for(const struct stat *root, const struct stat *own)
{
    mode_t others = root->st_mode & S_IRWXO;
    mode_t group = root->st_mode & S_IRWXG & (own->st_gid == root->st_gid ? S_IRWXG : others << 3);
    mode_t mode = S_IRWXU | group | others;

    if (!S_ISDIR(own->st_mode))
        return mode & ~(mode_t)(S_IXUSR | S_IXGRP | S_IXOTH);
    return mode | (root->st_mode & S_ISVTX) | (own->st_mode & S_ISGID);
}

/* W3. The list's mask is the group's permissions, so that the mode says what it said before to programs that know
 * nothing of lists. That cuts the owner's entry down to what the group has: all, since a member made this. */
static void let_owner_in(const struct stat *root, int fd, const struct stat *own)
{
    uint16_t owners = (uint16_t)(root->st_mode >> 6 & (S_ISDIR(own->st_mode) ? 7 : 6));
    uint16_t group = (uint16_t)(own->st_mode >> 3 & 7), others = (uint16_t)(own->st_mode & 7);
    const struct {
        uint16_t tag, permissions;
        uint32_t id;
    } entries[] = {
        /* In the order that the kernel wants. */
        {ACL_USER_OBJ, (uint16_t)(own->st_mode >> 6 & 7), (uint32_t)ACL_UNDEFINED_ID},
        {ACL_USER, owners, root->st_uid},
        {ACL_GROUP_OBJ, group, (uint32_t)ACL_UNDEFINED_ID},
        {ACL_MASK, group, (uint32_t)ACL_UNDEFINED_ID},
        {ACL_OTHER, others, (uint32_t)ACL_UNDEFINED_ID},
    };
    unsigned char list[4 + sizeof(entries) / sizeof(entries[0]) * 8];

    if (root->st_uid == 0 || (owners & ~others) == 0)
        return; /* who needs none */
    if (fgetxattr(fd, ACCESS_LIST, NULL, 0) > 0)
        return; /* the directory has a list of its own for what is made in it */
    lsi_write_u32le(list, POSIX_ACL_XATTR_VERSION);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        lsi_write_u16le(list + 4 + i * 8, entries[i].tag);
        lsi_write_u16le(list + 4 + i * 8 + 2, entries[i].permissions);
        lsi_write_u32le(list + 4 + i * 8 + 4, entries[i].id);
    }
    (void)fsetxattr(fd, ACCESS_LIST, list, sizeof(list), 0); /* not every file system has lists */
}

static void give_owner(const struct stat *root, int fd)
{
    struct stat own;

    if (fstat(fd, &own) != 0 || own.st_uid == root->st_uid)
        return;
    if (fchown(fd, root->st_uid, (gid_t)-1) != 0)
        let_owner_in(root, fd, &own);
}

static void give_group_and_mode(const struct stat *root, int fd)
{
    struct stat own;
    mode_t mode;

    if (fstat(fd, &own) != 0)
        return;
    if (own.st_gid != root->st_gid && fchown(fd, (uid_t)-1, root->st_gid) == 0)
        own.st_gid = root->st_gid;
    mode = mode_for(root, &own);
    if ((own.st_mode & 07777) != mode)
        (void)fchmod(fd, mode); /* not every file system has modes */
}

void lsi_file_give(int root_fd, int fd)
{
    struct stat root;

    if (fstat(root_fd, &root) != 0)
        return;
    give_group_and_mode(&root, fd);
    give_owner(&root, fd);
}

/* ---- directories ---- */

static int open_dir(int parent_fd, const char *name)
{
    int fd;

    do {
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int open_dir_to_give(int parent_fd, const char *name)
{
    int fd = open_dir(parent_fd, name);

    if (fd < 0 && errno == EACCES && fchmodat(parent_fd, name, S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0)
        fd = open_dir(parent_fd, name); /* The umask hides it from ourselves. */
    return fd;
}

typedef struct unmasked {
    int parent_fd;
    const char *name;
    mode_t mode;
    int result;
} unmasked;

static void make_unmasked(void *user)
{
    unmasked *wanted = user;

    wanted->result = -EPERM;
    if (unshare(CLONE_FS) != 0) /* from here on the umask is this thread's own */
        return;
    (void)umask(0);
    wanted->result = mkdirat(wanted->parent_fd, wanted->name, wanted->mode) == 0 ? 0 : -errno;
}

/* W2: with exactly this mode, which then needs no change. A umask belongs to the whole process, and it is not ours; so
 * a thread of a moment makes the directory under one of its own. Without threads the umask has its way: less is
 * granted, but the group stays. */
static int make_dir_with_mode(int parent_fd, const char *name, mode_t mode)
{
    unmasked wanted = {.parent_fd = parent_fd, .name = name, .mode = mode, .result = -EPERM};
    lsi_thread thread;

    if (lsi_thread_start(&thread, "ls-mkdir", make_unmasked, &wanted) == 0)
        lsi_thread_join(&thread);
    if (wanted.result == -EPERM)
        wanted.result = mkdirat(parent_fd, name, mode) == 0 ? 0 : -errno;
    return wanted.result;
}

int lsi_file_make_dir(int root_fd, int parent_fd, const char *name)
{
    struct stat root, parent, own;
    mode_t mode = S_IRWXU; /* until the group is the right one */
    bool is_inherited = false;
    int result = 0;
    int fd;

    if (fstat(root_fd, &root) != 0 || fstat(parent_fd, &parent) != 0)
        return -errno;
    if ((parent.st_mode & S_ISGID) != 0 && parent.st_gid == root.st_gid) {
        is_inherited = true;
        mode = mode_for(&root, &parent);
    }
    if (mkdirat(parent_fd, name, mode) != 0)
        return -errno;
    fd = open_dir_to_give(parent_fd, name);
    if (fd < 0)
        return 0; /* it is there, and as private as the umask wants it */
    give_group_and_mode(&root, fd);
    if (is_inherited && fstat(fd, &own) == 0 && (own.st_mode & S_ISGID) == 0) {
        /* The umask had hidden something, and giving it cost the bit. Nobody knows the directory yet: once more. */
        (void)close(fd); /* opened to read */
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) != 0)
            return -errno;
        result = make_dir_with_mode(parent_fd, name, mode);
        fd = result == 0 ? open_dir_to_give(parent_fd, name) : -1;
    }
    if (fd >= 0) {
        give_owner(&root, fd);
        (void)close(fd); /* opened to read */
    }
    return result;
}
