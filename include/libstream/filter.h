/**
 * @file filter.h
 * Filters: which records a mapping's handler is to see; usable by themselves.
 *
 * A filter is up to ten *patterns*, of which a record must match one. A pattern is a JSON object in the language of
 * AWS Lambda's event filters and of the rules of Amazon EventBridge:
 *
 *     {"partitionKey": [{"prefix": "eu-"}], "data": {"price": [{"numeric": [">", 100]}], "state": ["open", "held"]}}
 *
 * FIELDS. All fields of an object must match. The top-level ones are those of a record in Lambda's event:
 * `partitionKey`, `sequenceNumber` (Kinesis's 56 digits, a string), `approximateArrivalTimestamp` (seconds with
 * milliseconds, a number), `kinesisSchemaVersion` ("1.0"), `eventSource` ("aws:kinesis"), `eventVersion` ("1.0"),
 * `eventID` (shard id, colon, sequence number; and of a user record of an aggregate a point and its place in it),
 * `eventName` ("aws:kinesis:record"), and from the options `eventSourceARN`, `invokeIdentityArn`, `awsRegion`. `data`
 * holds the pattern for what is in the data, which is JSON then: a record whose data is not JSON, or is nested more
 * than 64 deep, does not match a pattern that asks for `data`. Of equal keys in one object the last one is meant, in
 * patterns and in data. A key with dots is the same as nested objects.
 *
 * VALUES. A field's value is a list of matchers, of which one must match: a string, number, `true`, `false`, `null`, or
 * one of
 *
 *     {"exists": true}   {"prefix": "a"}   {"suffix": "a"}   {"equals-ignore-case": "a"}   {"wildcard": "a*b"}
 *     {"exists": false}  {"anything-but": ...}   {"numeric": [">", 1, "<=", 2]}   {"cidr": "10.0.0.0/8"}
 *
 * `prefix` and `suffix` also take {"equals-ignore-case": "a"}, `anything-but` a string, a number, a list of either, or
 * one of the operators on strings with a string or a list of them. `anything-but` needs a field that is there; null is
 * there. {"exists": false} matches where no value is: an object is none, an empty array has none.
 *
 * NUMBERS are compared as doubles, however they are written: 300, 300.0 and 3.0e2 are equal, and so are 0, -0 and 0e9.
 * A number that its double does not keep, which is that whose shortest form is another number, is equal to its own text
 * alone, and no `numeric` matches it: one of 16 digits or more, but for those that a double keeps (12345678901234567,
 * and not 12345678901234568), and one too small that is not zero (1e-400). A pattern has finite doubles: one that is
 * too large for that (1e400) is refused, and in data equal to none. The numbers of `numeric` itself are rounded.
 *
 * ARRAYS. A field matches when one element does. Fields of one object of the pattern match in the same element. Data
 * that spells a path in two ways, one of them an array, is matched in the array or outside of it.
 *
 * CHOICES. `"$or": [{...}, {...}]`, at any level, besides other fields: one of at least two objects must match.
 *
 * The steps of a match grow at most with the size of the patterns times that of the record, and it takes no memory once
 * the like was seen. Choices are not multiplied out, but where an alternative has an object below a path where its
 * siblings have one too: there may be 256 such combinations in a filter, each of which counts as a pattern.
 */
#ifndef LIBSTREAM_FILTER_H
#define LIBSTREAM_FILTER_H

#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open filter. */
typedef struct ls_filter ls_filter;

/** Options of a filter. Zero means the default everywhere. */
typedef struct ls_filter_options {
    uint32_t size;                   /**< Set by the INIT macro. */
    uint32_t patterns_max;           /**< 1..10, default 5: more patterns are refused. */
    ls_stream *stream;               /**< Whose records are filtered; stays open until the filter is closed. Needed by
                                          patterns with `sequenceNumber` or `eventID`: the number has in it when its
                                          shard was created. Default: none. */
    const char *event_source_arn;    /**< Copied. NULL: that of `stream`, as in events of its mappings (mapping.h);
                                          without one records have no `eventSourceARN`. */
    const char *invoke_identity_arn; /**< Copied. NULL: as `event_source_arn`. */
    const char *aws_region;          /**< Copied. NULL: as `event_source_arn`. */
} ls_filter_options;
#define LS_FILTER_OPTIONS_INIT {(uint32_t)sizeof(ls_filter_options), 0, NULL, NULL, NULL, NULL}

/**
 * Open a filter.
 *
 * @param patterns  Borrowed until return: `count` terminated texts of at most 65,536 bytes.
 * @param count     0: every record matches.
 * @param options   Borrowed until return. NULL: all defaults.
 * @param out       Owned by the caller, release with ls_filter_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A pattern breaks a rule: the message is "Event pattern is not valid. Reason: " and
 *                                  the reason, in the service's words. Or there are too many, or an option is wrong, or
 *                                  a pattern needs a stream and there is none.
 * @retval LS_ERR_TOO_LARGE         A pattern is longer than 65,536 bytes.
 * @retval LS_ERR_UNSUPPORTED       libstream was built without JSON.
 * @retval LS_ERR_NO_MEMORY         An allocation failed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_filter_open(const char *const *patterns, size_t count, const ls_filter_options *options,
                                ls_filter **out);

/** Close a filter. NULL is accepted. Threads: any thread, one at a time for one filter. Never blocks. Since 0.1. */
LS_API void ls_filter_close(ls_filter *filter);

/**
 * Whether a record matches.
 *
 * @param record  Borrowed until return; from an iterator or of the caller's own making.
 * @param out     1: it matches; 0: it does not. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Partition key or data are NULL with a size.
 * @retval LS_ERR_NOT_FOUND         A pattern asks for the number, and the stream was deleted or has no such shard (any
 *                                  more).
 * @retval LS_ERR_STATE             The options named a stream, and this is another process (fork).
 * @retval LS_ERR_TOO_LARGE         A key or data of 4 GiB.
 * @retval LS_ERR_NO_MEMORY         An allocation failed; the next call may succeed.
 * @retval LS_ERR_IO, LS_ERR_BUSY, LS_ERR_CORRUPT  A pattern asks for the number, and the stream's shards could not be
 *                                  looked up.
 *
 * Threads: any thread, one at a time for one filter. Never blocks, but that a shard seen for the first time is looked
 * up on disk, when a pattern asks for the number. Since 0.1.
 */
LS_API ls_status ls_filter_matches(ls_filter *filter, const ls_record *record, int32_t *out);

/**
 * How many of the records so far did not match while their data, which a pattern asks for, was not JSON.
 *
 * Threads: any thread, one at a time for one filter. Never blocks. Since 0.1.
 */
LS_API uint64_t ls_filter_not_json(const ls_filter *filter);

#ifdef __cplusplus
}
#endif
#endif
