/* submit_options: the `options` field of a submission, read and checked. */
#ifndef NODE_API_SUBMIT_OPTIONS_H
#define NODE_API_SUBMIT_OPTIONS_H

#include "node/store/doc.h"

#define SUBMIT_OPTIONS_MAX 16384 /* bytes of JSON */

struct submit_options {
    struct doc_options doc; /* borrows from `args` */
    char *args[DOC_ARGS_MAX];
};

/* Reads a JSON object: timeout_s, pytest_args, priority. Empty text is no options. Errors:
 * ERR_INVALID "bad-json", ERR_UNPROCESSABLE "bad-option" with the option's name. */
int submit_options_read(struct submit_options *self, const char *text, size_t len,
                        struct err *err) ERR_CHECKED;

void submit_options_fini(struct submit_options *self);

#endif
