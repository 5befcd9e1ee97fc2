/* client: fetches one commit: asks what there is, asks for the pack, and puts it away. */
#ifndef GIT_CLIENT_H
#define GIT_CLIENT_H

#include "runner/git/objects.h"
#include "runner/git/refs.h"
#include "runner/git/transport.h"

struct client_result {
    char commit[GIT_OID_HEX];
    char branch[GIT_BRANCH_MAX + 1]; /* "" where it is not known */
};

/* Fetches into `objects`, begun by the caller. Errors: reason.h's. */
int client_fetch(struct transport *transport, const struct git_url *url, struct objects *objects,
                 struct client_result *out, struct err *err) ERR_CHECKED;

#endif
