/**
 * @file version.h
 * Which libstream this is: the version compiled against and the version running.
 */
#ifndef LIBSTREAM_VERSION_H
#define LIBSTREAM_VERSION_H

#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LS_VERSION_MAJOR 0
#define LS_VERSION_MINOR 1
#define LS_VERSION_PATCH 0
#define LS_VERSION_STRING "0.1.0"

/** The version as one number that can be compared: 1.2.3 is 1002003. */
#define LS_VERSION_NUMBER (LS_VERSION_MAJOR * 1000000 + LS_VERSION_MINOR * 1000 + LS_VERSION_PATCH)

/** The on-disk format this header's release writes. 0 until 1.0: no promise between commits. */
#define LS_FORMAT_VERSION 0

/**
 * The version of the library that is running, as LS_VERSION_NUMBER counts.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API uint32_t ls_version_number(void);

/**
 * The version of the library that is running, as text ("0.1.0"). A constant.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API const char *ls_version_string(void);

/**
 * The optional parts this library was built with, as words separated by blanks, or "": "json" (JSON is
 * read), "crypto" (streams can be encrypted). A constant.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API const char *ls_version_features(void);

#ifdef __cplusplus
}
#endif
#endif
