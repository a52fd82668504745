/* Where objects go in S3, and what a request to put one there says. Pure but for the environment; inside the room. */
#ifndef LSI_DELIVER_S3_TARGET_H
#define LSI_DELIVER_S3_TARGET_H

#include "base/sigv4.h"
#include "deliver/sink_s3.h"

#define LSI_S3_BUCKET_MAX 255u
#define LSI_S3_TOKEN_MAX 8192u
#define LSI_S3_URL_BYTES (4 * LSI_S3_TEXT_MAX + 3 * LSI_OBJECT_NAME_MAX)
#define LSI_S3_HEADERS_MAX 8u

/* All terminated. */
typedef struct lsi_s3_target {
    char scheme[8];
    char host[2 * LSI_S3_TEXT_MAX + 8];  /* with the port, if one was given; as `host` is sent */
    char bucket[LSI_S3_BUCKET_MAX + 1];
    char root[LSI_S3_BUCKET_MAX + 3];    /* before an object's name: / or /BUCKET/ */
    char region[LSI_S3_TEXT_MAX + 1];
    char key_id[LSI_S3_TEXT_MAX + 1], secret[LSI_S3_TEXT_MAX + 1], token[LSI_S3_TOKEN_MAX + 1];
} lsi_s3_target;

/* INVALID_ARGUMENT, as lsi_sink_s3_open. */
ls_status lsi_s3_target_init(lsi_s3_target *target, const lsi_s3_options *options);

/* Where a redirect leads that answered a put of the object `name` to `from`: `location` is a URL, perhaps cut off in
 * its path, and `region` the bucket's, "" if it was not told. False: not to that object of the bucket, or away from
 * https. */
bool lsi_s3_target_redirect(const lsi_s3_target *from, const char *name, const char *location, const char *region,
                            lsi_s3_target *out);

/* A request that puts an object where none is of that name (K2). */
typedef struct lsi_s3_put {
    char url[LSI_S3_URL_BYTES];
    char time[LSI_SIGV4_TIME_BYTES], hash[LSI_SIGV4_HASH_BYTES];
    lsi_sigv4_header headers[LSI_S3_HEADERS_MAX]; /* all but authorization; views of this and the target */
    size_t header_count;
    char *authorization; /* its own */
} lsi_s3_put;

/* NO_MEMORY. `name` has at most LSI_OBJECT_NAME_MAX bytes. */
ls_status lsi_s3_put_init(lsi_s3_put *put, const lsi_memory *memory, const lsi_s3_target *target, const char *name,
                          ls_bytes content, int64_t now_us);
void lsi_s3_put_free(const lsi_memory *memory, lsi_s3_put *put);

/* A time as answers have it, "Sun, 06 Nov 1994 08:49:37 GMT", perhaps with something behind it. False: it is none. */
bool lsi_s3_time_read(const char *text, int64_t *us);

#endif
