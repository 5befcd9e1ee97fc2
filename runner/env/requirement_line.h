/* requirement_line: reads one logical line of a requirements file; requirements.h has the rules.
 * Pure. */
#ifndef ENV_REQUIREMENT_LINE_H
#define ENV_REQUIREMENT_LINE_H

#include "proto/base/err.h"
#include "runner/env/requirements.h"

#include <stdbool.h>
#include <stddef.h>

enum requirement_line_kind {
    REQUIREMENT_LINE_NONE, /* blank */
    REQUIREMENT_LINE_ITEM,
    REQUIREMENT_LINE_PRERELEASE,
    REQUIREMENT_LINE_REQUIRE_HASHES,
    REQUIREMENT_LINE_DROPPED, /* harmless; `note` says what becomes of it */
};

struct requirement_line {
    enum requirement_line_kind kind;
    char *name; /* owned; ITEM only */
    char *text; /* owned; ITEM only: the canonical form */
    bool has_hash;
    const char *note; /* static */
};

/* Reads `text`, without comment and line end. Sets all of `self`, after an error too. Errors: as of
 * requirements_parse(). */
int requirement_line_parse(struct requirement_line *self, const char *text, size_t len,
                           const struct requirements_policy *policy, struct err *err) ERR_CHECKED;

void requirement_line_fini(struct requirement_line *self);

#endif
