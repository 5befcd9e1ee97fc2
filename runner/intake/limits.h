/* limits: struct archive_limits as one argument of a helper, nine numbers with commas between. */
#ifndef INTAKE_LIMITS_H
#define INTAKE_LIMITS_H

#include "runner/intake/archive.h"

/* Returns owned. */
char *limits_format(const struct archive_limits *limits);

/* False for anything else, and for limits that the helpers cannot keep. */
bool limits_parse(const char *text, struct archive_limits *out);

#endif
