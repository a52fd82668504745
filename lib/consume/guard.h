/* Inside the room: what guards those who sleep for long. See guard.c. */
#ifndef LSI_CONSUME_GUARD_H
#define LSI_CONSUME_GUARD_H

#include "consume/consume.h"

/* The caller's, from lsi_guard_join to lsi_guard_leave. */
typedef struct lsi_guarded {
    struct lsi_guarded *next; /* this and the rest: the guard's lock */
    lsi_group *group;         /* whose leases are renewed; NULL: nobody's */
    int64_t due_us;           /* when they are to be, at the latest */
} lsi_guarded;

/* Begins the thread, if this is the first. */
ls_status lsi_guard_join(lsi_guard *guard, lsi_guarded *me);
void lsi_guard_leave(lsi_guard *guard, lsi_guarded *me);
/* From now on its leases are renewed. NULL: none are, nor are they when this returns. */
void lsi_guard_renews(lsi_guard *guard, lsi_guarded *me, lsi_group *group);

#endif
