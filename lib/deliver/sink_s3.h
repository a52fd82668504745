/* A bucket as a sink. Inside the room; who opens sinks includes this. */
#ifndef LSI_DELIVER_SINK_S3_H
#define LSI_DELIVER_SINK_S3_H

#include "deliver/sink.h"

#define LSI_S3_OBJECT_MAX ((uint64_t)5 << 30) /* bytes: what one request can put */
#define LSI_S3_TEXT_MAX 1024u                 /* bytes of each of these, but a session token has 8192 */

/* Borrowed until it is open. NULL or "" means what the environment says. */
typedef struct lsi_s3_options {
    const char *bucket;        /* must be there */
    const char *endpoint;      /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL; else that of AWS in the region. http or https,
                                  a host, perhaps a port, and nothing behind it */
    const char *region;        /* AWS_REGION, AWS_DEFAULT_REGION; else us-east-1 */
    const char *key_id;        /* AWS_ACCESS_KEY_ID, and with it: */
    const char *secret;        /* AWS_SECRET_ACCESS_KEY */
    const char *session_token; /* AWS_SESSION_TOKEN; may be absent */
    bool is_path_style;        /* https://ENDPOINT/BUCKET/NAME instead of https://BUCKET.ENDPOINT/NAME; always when an
                                  endpoint is given, or the bucket's name has a point */
} lsi_s3_options;

/* Whether these can be meant: INVALID_ARGUMENT. `endpoint` and `region` may be NULL. */
ls_status lsi_s3_check(const char *bucket, const char *endpoint, const char *region);

/* Nothing is sent yet. INVALID_ARGUMENT: a part is missing or malformed; the message names it, never a secret.
 * UNSUPPORTED: built without S3, or there is no libcurl. NO_MEMORY.
 *
 * `put` waits as long as bytes flow; after 30 seconds without it fails, and within about a second when the sink's
 * `is_over` says so. */
ls_status lsi_sink_s3_open(const lsi_env *env, const lsi_s3_options *options, lsi_sink **out);

#endif
