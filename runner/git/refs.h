/* refs: what a git server says it has (gitprotocol-http(5), version 0), and what is asked of it.
 *
 * The advertisement comes in any split; of it only the one name that is wanted is kept, so that a
 * repository with a million branches costs what a small one does. */
#ifndef GIT_REFS_H
#define GIT_REFS_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/git/pkt.h"
#include "runner/git/url.h"

#include <stdbool.h>

enum refs_place { REFS_SERVICE, REFS_SERVICE_END, REFS_FIRST, REFS_REST, REFS_END };

struct refs {
    const struct git_url *url; /* borrowed */
    struct pkt lines;
    struct buf line;
    enum refs_place place;
    bool has_any;                    /* some branch or tag */
    char commit[GIT_OID_HEX];        /* of what is wanted; "" until seen */
    char branch[GIT_BRANCH_MAX + 1]; /* its name, "" where it has none */
    bool is_sha256;
    bool has_sideband;
    bool has_shallow;
    bool has_any_commit; /* any commit may be asked for, not only those that have names */
};

void refs_init(struct refs *self, const struct git_url *url);
void refs_fini(struct refs *self);

/* Takes the next bytes. Errors: ERR_UNPROCESSABLE with repo-not-git or repo-not-found. */
int refs_feed(struct refs *self, const char *bytes, size_t len, struct err *err) ERR_CHECKED;

/* All bytes have come: `commit` is there, or the error says why not (repo-empty, repo-branch,
 * repo-commit, repo-format, repo-not-git). */
int refs_end(struct refs *self, struct err *err) ERR_CHECKED;

/* Appends the body of the request for the pack with that one commit. With a server that can, only
 * its tree comes with it, and no history: *is_shallow. */
void refs_put_request(const struct refs *self, struct buf *out, bool *is_shallow);

#endif
