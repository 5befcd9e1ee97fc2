/* clock: the edges' clocks. Machines never read one; time reaches them in their events. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds that never go back; only differences mean anything. */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);

/* Milliseconds since 1970 in UTC; may jump. */
uint64_t clock_wall_ms(void);

#define CLOCK_TEXT 32
/* Writes RFC 3339 UTC with milliseconds, "2026-11-21T14:07:00.123Z". Returns `out`. */
char *clock_format(uint64_t wall_ms, char out[CLOCK_TEXT]);

#endif
