/* url: the ways in which people write where a repository is, and which of them are taken.
 *
 *     https://github.com/owner/name          the default branch
 *     http://github.com/owner/name.git/      the same; http is fetched by https
 *     …/tree/<branch>, …/-/tree/<branch>     a branch, slashes and percent escapes in it included
 *     …/tree/<40 hex digits>, …/commit/<…>   a commit
 *
 * Only hosts that were named are taken: github.com, gitlab.com and the operator's. Nothing here is
 * looked up; address.h has the addresses. */
#ifndef GIT_URL_H
#define GIT_URL_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GIT_URL_MAX      2000 /* bytes, as are the next ones */
#define GIT_HOST_MAX     253
#define GIT_URL_PATH_MAX 512
#define GIT_BRANCH_MAX   255
#define GIT_PARTS_MAX    20 /* of a path: groups may be nested */
#define GIT_OID_HEX      41 /* SHA-1, with the terminating zero */
#define GIT_HTTPS_PORT   443

enum git_want { GIT_WANT_DEFAULT, GIT_WANT_BRANCH, GIT_WANT_COMMIT };

struct git_url {
    char host[GIT_HOST_MAX + 1]; /* lower case */
    uint16_t port;
    char path[GIT_URL_PATH_MAX + 1]; /* "owner/name": no slash at either end, no ".git" */
    enum git_want want;
    char branch[GIT_BRANCH_MAX + 1]; /* where a branch is wanted */
    char commit[GIT_OID_HEX];        /* where a commit is wanted; lower case */
};

/* What the operator allows beside github.com and gitlab.com: "NAME" or "NAME:PORT". Borrowed. */
struct git_hosts {
    const char *const *items;
    size_t count;
};

/* Reads a URL. Errors: ERR_UNPROCESSABLE with "repo-url" or "repo-host"; the words never repeat
 * what may be a secret (a user, a password, a query). */
int git_url_parse(struct git_url *self, const char *text, const struct git_hosts *hosts,
                  struct err *err) ERR_CHECKED;

/* Checks one item of git_hosts. Errors: ERR_INVALID. */
int git_host_check(const char *item, struct err *err) ERR_CHECKED;

/* The last part of the path; borrowed. */
const char *git_url_name(const struct git_url *self);

/* Appends "https://host/owner/name", the port only where it is not 443. */
void git_url_put_repository(const struct git_url *self, struct buf *out);

/* Appends the URL in its one form: with "/tree/<commit>" where `commit` is one (40 digits), else
 * with what is wanted. git_url_parse() reads it again. */
void git_url_put(const struct git_url *self, const char *commit, struct buf *out);

/* Whether this is a branch's name that git allows (git-check-ref-format(1)). */
bool git_branch_is_valid(const char *name);

#endif
