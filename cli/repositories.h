/* repositories: what `run` sends in place of files: URLs, and the token that opens them. */
#ifndef CLI_REPOSITORIES_H
#define CLI_REPOSITORIES_H

#include "proto/base/err.h"
#include "proto/base/opt.h"

#include <stdbool.h>

struct repositories {
    struct opt_list urls;
    char *token;             /* NULL: none; wiped when it is freed */
    const char *token_words; /* which one that is, for people: "the token of --token-file" */
};

/* Whether an operand stands for repositories: a URL, or "@FILE" with URLs. */
bool repositories_is(const char *operand);

/* Reads the operands; "@FILE" has one URL a line, blank lines and "#" comments aside, and "@-" is
 * standard input. The token is the first word of `token_file`, which nobody else may read, or
 * $GITHUB_TOKEN. repositories_fini() in any case. Errors: ERR_INVALID, also for an operand that is
 * a path; ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_IO. */
int repositories_read(struct repositories *self, const struct opt_list *operands,
                      const char *token_file, struct err *err) ERR_CHECKED;
void repositories_fini(struct repositories *self);

#define owned_repositories __attribute__((cleanup(repositories_fini))) struct repositories

#endif
