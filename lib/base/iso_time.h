/* Times as JSON documents of the services write them: ISO 8601, UTC. */
#ifndef LSI_BASE_ISO_TIME_H
#define LSI_BASE_ISO_TIME_H

#include <stdint.h>

#define LSI_ISO_TIME_BYTES 40

/* 2020-12-09T07:04:00Z, or with milliseconds, rounded down: 2019-11-14T00:38:06.021Z. Any time; years beyond four digits
 * have more, with a sign. */
void lsi_iso_time(int64_t us, char text[LSI_ISO_TIME_BYTES]);
void lsi_iso_time_ms(int64_t us, char text[LSI_ISO_TIME_BYTES]);

#endif
