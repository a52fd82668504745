/* Looking at a store from outside, for unstable/inspect.h: part of the door, which includes it.
 *
 * Findings are the public ones all the way up: constants and a plain structure. Nothing here opens a log for use, but
 * for lsi_log_repair; verifying reads files and the control file's bytes, and writes nothing. */
#ifndef LSI_STORAGE_INSPECT_H
#define LSI_STORAGE_INSPECT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/unstable/inspect.h>

#include "base/env.h"
#include "storage/control.h"

struct lsi_log_config;

/* ---- telling ---- */

typedef struct lsi_inspection {
    ls_inspect_finding_callback finding; /* NULL: nobody listens */
    void *user;
    ls_inspect_summary summary;
    const char *stream; /* name and id of the one under way; "" and 0 outside of all */
    uint64_t stream_id;
    uint32_t shard;     /* UINT32_MAX outside of all */
    uint64_t damages_left; /* those that were not repaired */
    bool stopped;       /* the callback asked for it */
    const char *blocked; /* why nothing can be repaired yet: what is to be done first. NULL: it can */
} lsi_inspection;

/* Fills in stream and shard, counts, and calls. `finding->advice` is set; `what` is made of the format. */
void lsi_inspection_tell(lsi_inspection *inspection, ls_finding *finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- peek.c: the control file as bytes ---- */

typedef struct lsi_peek {
    const lsi_env *env;
    lsi_file file; /* not open: there is none */
    const char *misfit; /* lsi_file_misfit: why; else NULL */
    void *room;           /* in which */
    unsigned char *bytes; /* are aligned as those of the mapped file */
    size_t size;
    bool whole;    /* the header passes its checks and is of this store */
    bool current;  /* and of this boot: the ends in it are true */
    bool alive;    /* somebody has the store open */
} lsi_peek;

/* `store_id` NULL: of whatever store it is. A file that is not there, or is none of ours, is no failure. */
ls_status lsi_peek_open(const lsi_env *env, const lsi_root *root, const unsigned char *store_id, lsi_peek *out);
void lsi_peek_close(lsi_peek *peek);
ls_status lsi_peek_again(lsi_peek *peek); /* reads the file once more */
/* Of LSI_SLOT_SHARD or _STREAM. NULL: there is none, or the file is not whole. */
const lsi_slot *lsi_peek_slot(const lsi_peek *peek, uint32_t kind, uint64_t stream, uint32_t shard);
void lsi_peek_each_slot(const lsi_peek *peek, void (*each)(void *user, const lsi_slot *slot), void *user);
void lsi_peek_each_process(const lsi_peek *peek, void (*each)(void *user, const lsi_attached *process), void *user);
uint32_t lsi_peek_store_lock_holder(const lsi_peek *peek); /* thread id; 0: free */
uint32_t lsi_peek_lock_holder(const lsi_lock *lock);
/* Says what is wrong with it. `kept`: as what it was kept when it was made anew; NULL: it was not. */
void lsi_peek_verify(const lsi_peek *peek, const char *kept, lsi_inspection *inspection);

/* ---- verify.c, repair.c: one log ---- */

/* Checks every byte of the log's files. `config->control` is not used. Damage is told, not returned. */
ls_status lsi_log_verify(const struct lsi_log_config *config, lsi_peek *peek, lsi_inspection *inspection);
/* Whether the log can be opened at all: its list of segments can be read. */
ls_status lsi_log_check_list(const struct lsi_log_config *config);
/* As lsi_log_verify, and repairs: nobody else has the store open, `config->control` is attached. */
ls_status lsi_log_repair(const struct lsi_log_config *config, lsi_inspection *inspection);
/* keep.c. Copies `name` to name.damaged-N, synced, before it is replaced (R4): its first `bytes_max` bytes. What is no
 * regular file is renamed to it. `kept` gets the name. LS_ERR_NOT_FOUND when there is nothing. */
#define LSI_KEPT_NAME_BYTES 128
ls_status lsi_keep_aside(const lsi_env *env, const lsi_root *root, const char *dir, const char *name,
                         uint64_t bytes_max, char kept[LSI_KEPT_NAME_BYTES]);
/* Renames `name`, whatever it is, to name.damaged-N. */
ls_status lsi_set_aside(const lsi_root *root, const char *dir, const char *name, char kept[LSI_KEPT_NAME_BYTES]);
bool lsi_is_kept(const char *entry); /* such a name */

/* relist.c: fills in store, stream and shard by any segment in `config->dir` whose header can be read. */
bool lsi_log_identify(struct lsi_log_config *config);

/* ---- dump.c ---- */

typedef struct lsi_dump {
    const lsi_env *env;
    const lsi_root *root; /* the file's directory */
    const char *path;     /* of the file, for messages */
    ls_inspect_line_callback line;
    void *user;
    bool stopped;
    bool damaged;
} lsi_dump;

void lsi_dump_line(lsi_dump *dump, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* LS_ERR_INVALID_ARGUMENT: it is no file of a store. Of a manifest only the header is printed: its payload is given to
 * the caller, who frees it (lsi_free); NULL for other files and damaged ones. */
ls_status lsi_dump_file(lsi_dump *dump, const char *name, void **payload, size_t *payload_size);

#endif
