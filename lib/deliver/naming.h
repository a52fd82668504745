/* Names of delivered objects: the two prefixes of a delivery, checked when it is created, evaluated for each object.
 *
 *     <evaluated prefix><delivery>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid><extension>
 *
 * A prefix is text with expressions: !{timestamp:PATTERN} !{firehose:random-string} !{firehose:error-output-type}
 * !{partitionKeyFromQuery:KEY} !{partitionKeyFromLambda:KEY}.
 *
 *   N1  A name follows from its arguments alone: the same object again, after a crash, has the same name.
 *   N2  Records choose no place outside the root: as a path, a name has no component that is empty, . or .., or that
 *       a schema file beside the objects may be called (_NAME.schema), and what of a key's value could end a component,
 *       or is no text, is percent-encoded.
 *   N3  A prefix that was accepted evaluates for every object of this era (up to the year 9999), but for what partition
 *       keys do to it.
 *
 * Pure: no clock, no random numbers; any thread, once it is open. */
#ifndef LSI_DELIVER_NAMING_H
#define LSI_DELIVER_NAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/types.h>
#include <libstream/status.h>

#include "base/alloc.h"

#define LSI_PREFIX_CONFIGURED_MAX 1024u /* characters of a prefix as it is set */
#define LSI_PREFIX_EVALUATED_MAX 512u   /* characters of one evaluated */
#define LSI_PREFIX_BYTES (LSI_PREFIX_EVALUATED_MAX * 4 + 1)
#define LSI_OBJECT_NAME_MAX 1000u       /* bytes of a name: S3 takes 1,024 */
#define LSI_OBJECT_NAME_BYTES (LSI_OBJECT_NAME_MAX + 1)
#define LSI_NAME_COMPONENT_MAX 255u     /* bytes between two slashes of a path: what file systems take */
#define LSI_EXTENSION_MAX 128u
#define LSI_PARTITION_KEYS_MAX 50u
#define LSI_OBJECT_IDENTITY_MAX 256u    /* bytes */

typedef enum lsi_prefix_use { LSI_PREFIX_DATA, LSI_PREFIX_ERRORS } lsi_prefix_use;

/* Values of !{firehose:error-output-type}. */
#define LSI_ERRORS_PROCESSING "processing-failed"
#define LSI_ERRORS_CONVERSION "format-conversion-failed"
#define LSI_ERRORS_DIRECTORY "directory-failed" /* ours: objects whose own names cannot be */

/* What a delivery says of its names. Borrowed until the call returns. */
typedef struct lsi_naming_rules {
    const char *name;         /* of the delivery */
    const char *prefix;       /* NULL or "": none */
    const char *error_prefix; /* the same */
    const char *extension;    /* the same; begins with a point */
    uint32_t version;
    bool is_path;             /* names are paths of files: N2 */
    bool is_dynamic;          /* partitioning; then both prefixes must be there, and the first have a key */
    const char *const *query_keys; /* [query_key_count] that queries give; no other may be asked for */
    uint32_t query_key_count;
    bool has_transform;       /* which may give keys of any name */
} lsi_naming_rules;

typedef struct lsi_naming lsi_naming;

/* INVALID_ARGUMENT: a rule is broken; one line says which, naming the prefix, the expression and the byte where it
 * begins. NO_MEMORY. */
ls_status lsi_naming_open(const lsi_memory *memory, const lsi_naming_rules *rules, lsi_naming **out);
void lsi_naming_close(lsi_naming *naming); /* Accepts NULL. */

/* A partition key that a transform gave. */
typedef struct lsi_partition_key {
    ls_bytes name, value;
} lsi_partition_key;

/* What expressions are replaced by. Borrowed. */
typedef struct lsi_naming_values {
    int64_t oldest_us;          /* arrival of the object's oldest record */
    uint64_t seed;              /* of random strings: equal seeds give equal ones */
    const char *error_type;     /* for LSI_PREFIX_ERRORS */
    const ls_bytes *query_keys; /* [query_key_count], in the order of the rules */
    const lsi_partition_key *transform_keys;
    uint32_t transform_key_count;
} lsi_naming_values;

/* Which partition a record belongs to: terminated text that two records share if and only if the keys in the prefix
 * have the same values. That names can be made of them is checked here: INVALID_ARGUMENT, a key is missing or empty;
 * TOO_LARGE, the prefix, or a component of a path, becomes too long. Nothing else of `values` but the keys counts. */
ls_status lsi_naming_partition(const lsi_naming *naming, const lsi_naming_values *values, char out[LSI_PREFIX_BYTES]);

/* The evaluated prefix, terminated. It does not fail for values that lsi_naming_partition took, or when no keys are in
 * it (N3). */
ls_status lsi_naming_prefix(const lsi_naming *naming, lsi_prefix_use use, const lsi_naming_values *values,
                            char out[LSI_PREFIX_BYTES]);

/* What an object's name is made of. All of it is kept with the object until it was delivered: a delivery may be changed
 * in between, and the name must not (N1). Borrowed. */
typedef struct lsi_object {
    const char *prefix;    /* evaluated */
    const char *name;      /* of the delivery */
    uint32_t version;
    const char *extension; /* NULL or "": none */
    int64_t named_us;
    ls_bytes identity; /* what no other object with this prefix has: delivery, shard, first and last number */
} lsi_object;

/* The whole name, terminated; its uuid is made of prefix and identity. TOO_LARGE, which does not happen with a prefix
 * of an lsi_naming that has the same name and extension. */
ls_status lsi_object_name(const lsi_object *object, char out[LSI_OBJECT_NAME_BYTES]);

#endif
