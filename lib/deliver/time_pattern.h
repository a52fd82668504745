/* Times in the names of objects: the letters of Java's DateTimeFormatter that prefixes are written in. UTC. */
#ifndef LSI_DELIVER_TIME_PATTERN_H
#define LSI_DELIVER_TIME_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* y yyyy yy: year; M MM MMM: month, MMM as Jan; D DD DDD: day of the year; d dd, H HH, m mm, s ss; S..: so many digits
 * of the second's fraction, at most nine; E EE EEE: day of the week as Mon. A letter once is a number without leading
 * zeros. What is no letter stands for itself, but for # [ ] { }, which Java keeps for itself; anything between single
 * quotes does, and '' is a quote. */

/* NULL: good. Else what is wrong with it, a constant, and `*at` is the byte where. */
const char *lsi_time_pattern_check(const char *pattern, size_t size, size_t *at);

/* How many bytes it gives; no more than `room` of them are written. `pattern` was found good. */
size_t lsi_time_pattern_write(const char *pattern, size_t size, int64_t us, char *out, size_t room);

#endif
