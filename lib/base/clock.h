/* clock.h - wall time and Label Studio's time stamps. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/span.h"

#include <stdint.h>

int64_t clock_us(void);          /* Unix time in microseconds */
int64_t clock_s(void);           /* Unix time in seconds */
double  clock_monotonic(void);   /* seconds since some fixed moment, for durations */

/* ISO 8601 as Label Studio prints it ("2026-11-22T00:10:00.973752Z", also with
 * an offset "+02:00" or without a fraction; no zone means UTC) to microseconds
 * since 1970.  0, or -1 when it is no such time. */
int clock_parse_iso(struct span text, int64_t *us);

/* "2026-11-22T00:10:00Z" */
#define CLOCK_ISO_BYTES 32
const char *clock_iso(int64_t unix_s, char out[CLOCK_ISO_BYTES]);

#endif
