/* A key in a file: 32 bytes, or 64 hexadecimal digits and perhaps a line end. */
#ifndef LSI_BASE_KEY_FILE_H
#define LSI_BASE_KEY_FILE_H

#include <libstream/status.h>

#include "base/crypto.h"

/* `path` is a regular file, not a link, that only its owner may read, or a directory, not a link and writable by its
 * owner alone, in which `name` is such a file. The owner is this user or root. What is wrong is said, what is read is
 * not. */
ls_status lsi_key_file_read(const char *path, const char *name, unsigned char key[LSI_KEY_BYTES]);

#endif
