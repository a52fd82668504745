/* strftime, of jq's: times of queries. UTC, and whatever locale the program has set. */
#ifndef LSI_DELIVER_STRFTIME_H
#define LSI_DELIVER_STRFTIME_H

#include <stddef.h>
#include <stdint.h>

/* %Y %y %m %d %e %H %I %M %S %p %j %a %b %u %w %s %F %T %Z %%. NULL: good; else what is wrong with it, a constant. */
const char *lsi_strftime_check(const char *format, size_t size);

/* How many bytes it gives; no more than `room` of them are written. `format` was found good. */
size_t lsi_strftime_write(const char *format, size_t size, int64_t seconds, char *out, size_t room);

#endif
