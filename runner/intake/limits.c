#include "runner/intake/limits.h"

#include "proto/base/mem.h"
#include "runner/intake/inflate.h"

#include <inttypes.h>
#include <stdio.h>

char *limits_format(const struct archive_limits *limits)
{
    return mem_printf("%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                      ",%" PRIu64 ",%" PRIu32 ",%" PRIu32,
                      limits->entry_count, limits->project_entry_count, limits->file_bytes,
                      limits->project_bytes, limits->total_bytes, limits->name_bytes,
                      limits->ratio_floor_bytes, limits->ratio, limits->depth);
}

bool limits_parse(const char *text, struct archive_limits *out)
{
    int end = 0;
    int count = sscanf(text,
                       "%" SCNu32 ",%" SCNu32 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64
                       ",%" SCNu64 ",%" SCNu32 ",%" SCNu32 "%n",
                       &out->entry_count, &out->project_entry_count, &out->file_bytes,
                       &out->project_bytes, &out->total_bytes, &out->name_bytes,
                       &out->ratio_floor_bytes, &out->ratio, &out->depth, &end);
    return count == 9 && text[end] == '\0' && out->project_entry_count <= INFLATE_ENTRIES_MAX &&
           out->file_bytes < INFLATE_SIZE_MAX && out->project_bytes <= UINT64_MAX / 4 &&
           out->ratio > 0;
}
