/* A file descriptor that is readable or not, at our word: for the event loops of applications. */
#ifndef LSI_BASE_EVENT_FD_H
#define LSI_BASE_EVENT_FD_H

int lsi_event_fd_open(void);          /* Not readable yet. The descriptor, or -errno. */
void lsi_event_fd_raise(int fd);      /* Readable from now on. Any thread. */
void lsi_event_fd_lower(int fd);      /* No longer. Any thread. */
void lsi_event_fd_close(int fd);

#endif
