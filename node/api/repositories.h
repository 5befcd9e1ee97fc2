/* repositories: what a request that names repositories becomes: projects with names, still to be
 * cloned. Pure.
 *
 * The evaluation's owner clones them after the 202 (node/eval/clones.h). Here it is only judged
 * what can be judged at once, the URLs: one that is wrong is a failed project beside the others. */
#ifndef NODE_API_REPOSITORIES_H
#define NODE_API_REPOSITORIES_H

#include "node/api/git_request.h"
#include "runner/git/url.h"
#include "runner/intake/intake.h"

/* Fills `out` (intake_result_fini in any case) with a project a URL, by name; those that are to be
 * cloned have a source, and neither bundle nor failure. `token_for`: the first of them, whose host
 * is the one that sees the token. Errors, where there is none: the first URL's. */
int repositories_name(const struct git_request *request, const struct git_hosts *hosts,
                      struct intake_result *out, struct git_url *token_for,
                      struct err *err) ERR_CHECKED;

#endif
