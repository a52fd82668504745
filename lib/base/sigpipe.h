/* SIGPIPE, around calls into libraries that write to sockets as if nobody minded: what they raise is taken away again,
 * and the application, whose signal it is, sees none of it. */
#ifndef LSI_BASE_SIGPIPE_H
#define LSI_BASE_SIGPIPE_H

#include <stdbool.h>

typedef struct lsi_sigpipe {
    bool was_blocked, was_pending;
} lsi_sigpipe;

/* On one thread, one after the other. */
void lsi_sigpipe_hold(lsi_sigpipe *held);
void lsi_sigpipe_let_go(const lsi_sigpipe *held);

#endif
