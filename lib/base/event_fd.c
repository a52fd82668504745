/* An eventfd whose counter is only ever zero or not. Not blocking, so that neither raising one that is raised nor
 * lowering one that is not can wait; closed on exec, since it says nothing to another program. */
#include "base/event_fd.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"

int lsi_event_fd_open(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    return fd < 0 ? -errno : lsi_fd_move_up(fd);
}

void lsi_event_fd_raise(int fd)
{
    const uint64_t one = 1;
    int errno_before = errno;
    ssize_t done;

    do
        done = write(fd, &one, sizeof one);
    while (done < 0 && errno == EINTR);
    errno = errno_before; /* EAGAIN: the counter is full, and so the descriptor is readable. */
}

void lsi_event_fd_lower(int fd)
{
    uint64_t count;
    int errno_before = errno;
    ssize_t done;

    do
        done = read(fd, &count, sizeof count);
    while (done < 0 && errno == EINTR);
    errno = errno_before; /* EAGAIN: it was not raised. */
}

void lsi_event_fd_close(int fd)
{
    (void)close(fd); /* Holds no data; nothing is to be told. */
}
