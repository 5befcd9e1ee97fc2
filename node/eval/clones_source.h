/* clones_source: what a clone came to, in the form that the document has. Pure but for the log. */
#ifndef NODE_EVAL_CLONES_SOURCE_H
#define NODE_EVAL_CLONES_SOURCE_H

#include "node/store/doc.h"
#include "runner/intake/intake.h"

struct found {
    struct doc_source source; /* points into the rest; p and ballot are the caller's */
    char *name;               /* of the project: paths of rows begin with it */
    char *text;               /* the source's */
    char *failure;
    char *path; /* of the bundle, in the folder of the child; NULL: there is none */
    struct doc_ignored *ignored;
    struct doc_ignored *remarks;
};

void found_begin(struct found *self, const char *name);

/* It was fetched, and is fine or not. `text` is the URL that pins the commit. */
void found_take(struct found *self, const char *text, const struct intake_result *result);

/* It was not. Overwrites what was taken; `text` may be what is there. */
void found_fail(struct found *self, const char *text, const struct err *err);

void found_fini(struct found *self);

#endif
