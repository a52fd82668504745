/* Where a delivery's objects go. A sink takes whole objects, each under a name, one at a time:
 *
 *   K1  An object is seen under its name whole, or not at all.
 *   K2  A name is never written over. One that is there is this object's twin, which was delivered before, by whoever
 *       died or lagged behind: that is LS_OK.
 *   K3  When `put` answers LS_OK, the object stays, whatever happens to this machine.
 *   K4  When it fails, the object is there or not; the same name is put again then, with the same bytes, or by another
 *       process. With LSI_PUT_ELSEWHERE it is not there.
 *
 * One thread at a time for one of them. */
#ifndef LSI_DELIVER_SINK_H
#define LSI_DELIVER_SINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/env.h"
#include "deliver/naming.h"

typedef struct lsi_sink lsi_sink;

/* What may help where a put has failed. */
typedef enum lsi_put_hope {
    LSI_PUT_LATER,     /* to wait: the disk is full, the network is down */
    LSI_PUT_ELSEWHERE, /* another name: what stands in the way of this one stays there */
    LSI_PUT_NEVER      /* nothing: the run ends with this error */
} lsi_put_hope;

typedef struct lsi_sink_ops {
    /* `name`: UTF-8, terminated, of at most LSI_OBJECT_NAME_MAX bytes. On failure `*hope` and the last error are
     * set. */
    ls_status (*put)(lsi_sink *sink, const char *name, ls_bytes content, lsi_put_hope *hope);
    void (*close)(lsi_sink *sink); /* releases always */
} lsi_sink_ops;

/* The head of each. */
struct lsi_sink {
    const lsi_sink_ops *ops;
    /* NULL, or set by whoever opened it. A `put` that may wait for long asks it from time to time, on its own thread:
     * true, and it fails soon, with LSI_PUT_LATER. `quiet_us`: for so long nothing of the object has moved. */
    bool (*is_over)(void *user, int64_t quiet_us);
    void *user;
};

static inline void lsi_sink_close(lsi_sink *sink) /* Accepts NULL. */
{
    if (sink != NULL)
        sink->ops->close(sink);
}

/* ---- sink_directory.c ---- */

/* A directory of `files`, which is made when it is not there (its parent must be). `doubt`: W5, of all sinks that this
 * process opens, and longer than these; NULL: of this one only. */
ls_status lsi_sink_directory_open(const lsi_env *env, const lsi_files *files, const char *path, _Atomic bool *doubt,
                                  lsi_sink **out);
/* Whether a name can be a file's, beneath the directory: no part is empty, "." or "..", or longer than 255 bytes. */
bool lsi_sink_directory_takes(const char *name);

#endif
