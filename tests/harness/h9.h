/* The damage campaign: what h9_damage.c (doing damage, and what may be missing then) and h9_lines.c (what verify and
 * repair say and do) share. */
#ifndef LST_H9_H
#define LST_H9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/libstream.h>

#include "support/image.h"
#include "support/still_env.h"

#define H9_STORE "store"
#define H9_STREAMS 2u
#define H9_SHARDS 3u /* of both streams */
#define H9_RECORDS_MAX 2048u

typedef struct h9_record {
    ls_seqno seqno;
    uint64_t sum;
    size_t file;     /* of the image */
    size_t from, to; /* its frame, in the file */
    uint64_t position; /* of its frame */
} h9_record;

typedef struct h9_shard {
    const char *stream;
    uint32_t stream_index, index;
    char dir[16];
    size_t list; /* file of the image */
    h9_record records[H9_RECORDS_MAX];
    uint32_t count;
} h9_shard;

extern image h9_whole; /* the store as it was made */
extern image h9_hurt;  /* and as it is in the case under way */
extern h9_shard h9_shards[H9_SHARDS];

bool h9_is_file_changed(size_t file); /* of h9_whole */
size_t h9_table_bytes(const image_file *file); /* of a segment that is in blocks and whole; 0: it is not in blocks */
void h9_violation(const char *what, const h9_shard *of, ls_seqno seqno, ls_status st);
/* The number of the record in its shard, checked byte for byte; UINT32_MAX: nobody put it, which is told. */
uint32_t h9_record_of(const h9_shard *of, const ls_record *record);

/* h9_lines.c. Verifies and repairs the damaged store in `files`, and judges what is said. */
void h9_lines(lsi_files *files, still_env *still);

#endif
