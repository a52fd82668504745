#!/usr/bin/env python3
"""What the library's objects call: the system through base only, and nowhere a call that prints or ends the process.

    reach.py ARCHIVE        ARCHIVE is the internal one, of an optimised build (asserts are off in it)

The include walk cannot see this: malloc comes with <stdlib.h>, which every room may want for something else. A test
that fails any allocation or stops the clock proves nothing about a room that goes around base.
"""

import re
import subprocess
import sys

# Never, in any room: a library that prints, exits or changes the host's signals is no guest.
NOWHERE = set("""printf fprintf vprintf vfprintf dprintf puts putchar putc fputs fputc perror stdout stderr stdin
    psignal exit _exit quick_exit atexit system popen signal sigaction sigprocmask setlocale srand rand random setenv
    putenv
    strcpy strcat sprintf vsprintf gets strtok syslog""".split())

# In base only. (pthread_* and clock names are matched by pattern below.)
BASE_ONLY = set("""malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf aligned_alloc
    posix_memalign open openat creat close read pread readv preadv write pwrite writev pwritev fsync fdatasync
    sync_file_range
    fallocate posix_fallocate ftruncate truncate rename renameat renameat2 link linkat unlink unlinkat remove mkdir
    mkdirat rmdir opendir fdopendir readdir closedir stat fstat lstat fstatat statvfs fstatvfs statfs fstatfs chmod
    fchmod chown fchown mmap munmap mremap msync madvise mlock fcntl flock ioctl poll ppoll select epoll_wait
    eventfd eventfd_read eventfd_write pipe pipe2 socket fopen fdopen fclose fread fwrite fgets getline
    time gettimeofday nanosleep usleep sleep localtime gmtime syscall getpid fork getrandom getentropy
    kill raise getenv secure_getenv""".split())
BASE_ONLY_PATTERN = re.compile(r"pthread_\w+|sem_\w+|clock_\w+|timer_\w+|mtx_\w+|thrd_\w+")


def plain(name):
    """The name as written in the source: without symbol version, large-file and fortify dress."""
    name = name.split("@")[0]
    fortified = re.fullmatch(r"__(\w+?)(?:_2)?(?:_chk)?", name)
    if fortified and (fortified.group(1) in NOWHERE or re.sub("64$", "", fortified.group(1)) in BASE_ONLY):
        name = fortified.group(1)
    name = re.sub(r"^__isoc\d+_", "", name)
    return re.sub(r"64(v2)?$", "", name)


def main():
    lines = subprocess.run(["nm", "-A", "-P", "-u", sys.argv[1]], check=True, capture_output=True, text=True).stdout
    bad, members = 0, set()
    for line in lines.splitlines():
        where, name = line.split(": ", 1)
        name = plain(name.split()[0])
        member = re.search(r"([^/\[\]]+\.c)\.o\]?$", where).group(1)
        members.add(member)
        if name in NOWHERE:
            bad += 1
            print("%s calls %s: the library never does" % (member, name))
        elif not member.startswith("base_") and (name in BASE_ONLY or BASE_ONLY_PATTERN.fullmatch(name)):
            bad += 1
            print("%s calls %s: only base may" % (member, name))
    print("%d objects, %d forbidden calls" % (len(members), bad))
    return 1 if bad or not members else 0


if __name__ == "__main__":
    sys.exit(main())
