#include "proto/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void) { return read_us(CLOCK_MONOTONIC) / 1000; }
uint64_t clock_mono_us(void) { return read_us(CLOCK_MONOTONIC); }
uint64_t clock_wall_ms(void) { return read_us(CLOCK_REALTIME) / 1000; }

char *clock_format(uint64_t wall_ms, char out[CLOCK_TEXT])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + len, CLOCK_TEXT - len, ".%03uZ", (unsigned)(wall_ms % 1000));
    return out;
}
