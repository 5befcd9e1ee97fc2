/* version: which interpreter a project's `requires-python` takes (PEP 440, release numbers only).
 * Pure. */
#ifndef ENV_VERSION_H
#define ENV_VERSION_H

#include <stdbool.h>

/* Whether `version` ("3.11.7") satisfies every clause of `spec` (">=3.8,<4,!=3.9.*", "~=3.10"). A
 * clause that cannot be read is taken as satisfied: an installer knows better, and says so. */
bool version_satisfies(const char *version, const char *spec);

/* <0, 0, >0 as a is lower than, equal to or higher than b, by release numbers. */
int version_compare(const char *a, const char *b);

#endif
