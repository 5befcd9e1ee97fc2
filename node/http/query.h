/* query: the parameters behind the "?". */
#ifndef NODE_HTTP_QUERY_H
#define NODE_HTTP_QUERY_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define QUERY_PARAMS_MAX 64

struct query {
    struct buf text; /* names and values, each with a zero behind it */
    size_t names[QUERY_PARAMS_MAX];
    size_t values[QUERY_PARAMS_MAX];
    size_t count;
};

/* Decodes `text`, whose escapes are in order, into a zeroed `self`. Errors: ERR_INVALID "bad-query"
 * for too many. */
int query_parse(struct query *self, const char *text, struct err *err) ERR_CHECKED;
void query_fini(struct query *self);

/* The first value of that name, borrowed; NULL for none. */
const char *query_value(const struct query *self, const char *name);

/* Reads `text` as a whole number. Errors: ERR_INVALID "bad-query". */
int query_int(const char *name, const char *text, int64_t min, int64_t max, int64_t *out,
              struct err *err) ERR_CHECKED;

#endif
