/* git_policy: which repositories a node fetches, from its options and its environment. */
#ifndef NODE_GIT_POLICY_H
#define NODE_GIT_POLICY_H

#include "node/eval/clones.h"
#include "node/eval/statuses.h"
#include "node/options.h"

struct git_policy {
    struct git_network *networks;
    char *ca_file;
    char *ca_dir;
};

/* Checks --git-host, --git-allow-address, --status-api and --public-url. Errors: ERR_INVALID. */
int git_policy_check(const struct node_options *options, struct err *err) ERR_CHECKED;

/* Fills both, of `out` the policy and the limits; `out` borrows from `self` and from `options`,
 * which have been checked. Certificate authorities: SSL_CERT_FILE and SSL_CERT_DIR, as for
 * installers; `program` answers to --helper. */
void git_policy_init(struct git_policy *self, const struct node_options *options,
                     const struct archive_limits *limits, const char *program,
                     struct clones_config *out);

/* The same for commit statuses; of `out` the policy and the addresses. */
void git_policy_statuses(const struct git_policy *self, const struct node_options *options,
                         const char *program, struct statuses_config *out);
void git_policy_fini(struct git_policy *self);

#endif
