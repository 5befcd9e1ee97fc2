/* problem: RFC 9457 problem documents, and the one table of every reason that the API refuses with.
 *
 * problems.tbl has the rows: code, HTTP status, title, hint. An err's `reason` names its row; a
 * reason without a row, and an err without a reason, fall back to the err's code. `GET
 * /problems/<code>` is served from here. */
#ifndef NODE_HTTP_PROBLEM_H
#define NODE_HTTP_PROBLEM_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stddef.h>

struct problem {
    const char *code; /* kebab-case; the last segment of its type */
    int status;
    const char *title; /* the same words every time */
    const char *hint;  /* what the user can do; NULL for none */
};

/* What is wrong with one field of the request. */
struct problem_field {
    const char *field;
    const char *message;
};

#define PROBLEM_TYPE "application/problem+json"

/* Returns the row, static, or NULL. */
const struct problem *problem_find(const char *code);

/* Row `at` of the table in the order of the file, NULL behind the last. */
const struct problem *problem_at(size_t at);

/* The row of an error's reason, or that of its code; static, or NULL. */
const struct problem *problem_of(const struct err *err);

/* The status that `err` is answered with: its reason's, or its code's. */
int problem_status(const struct err *err);

/* Appends the document: type, title, status, detail, instance, code, hint, errors, error (a copy of
 * detail for the clients of the first version). `instance` is the request's path, NULL for none. */
void problem_write(struct buf *out, const struct err *err, const char *instance,
                   const struct problem_field *fields, size_t field_count);

/* Appends an HTML page about a row, for people who open its type. */
void problem_page(struct buf *out, const struct problem *row);

#endif
