/* reason: the ways in which a fetch ends badly, whose fault each is, and whether to try again.
 *
 *   repo-url            no URL of a repository        repo-host         a host that is not allowed
 *   repo-address        its addresses are not public  repo-redirect     it has moved elsewhere
 *   repo-not-found      absent, or private            repo-token        the token was refused
 *   repo-forbidden      the host says no              repo-not-git      no git server's answer
 *   repo-empty          nothing was ever pushed       repo-branch       no such branch
 *   repo-commit         no such commit                repo-too-large    over a limit
 *   repo-damaged        objects that do not check     repo-format       SHA-256, which is not read
 *   repo-rate-limit     the host asks for patience    repo-unreachable  no connection, or it broke
 *   repo-certificate    the host's is not trusted     repo-timeout      no bytes, or no time left
 *
 * Beside these: the reasons of runner/intake/layout.h for what is in the tree. */
#ifndef GIT_REASON_H
#define GIT_REASON_H

#include "proto/base/err.h"

#include <stdbool.h>

/* Whether the project is to blame; the cluster is for all else, unknown reasons included. */
bool git_reason_is_projects(const char *reason);

/* Whether the same request may do better in a moment. */
bool git_reason_is_passing(const char *reason);

#endif
