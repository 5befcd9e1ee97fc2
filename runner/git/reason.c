#include "runner/git/reason.h"

#include "proto/base/mem.h"

#include <stddef.h>
#include <string.h>

static bool is_one_of(const char *reason, const char *const *names, size_t count)
{
    for (size_t i = 0; reason && i < count; i++)
        if (strcmp(names[i], reason) == 0)
            return true;
    return false;
}

bool git_reason_is_projects(const char *reason)
{
    static const char *const names[] = {
        "repo-url",       "repo-host",      "repo-address",   "repo-redirect",
        "repo-not-found", "repo-token",     "repo-empty",     "repo-branch",
        "repo-commit",    "repo-too-large", "repo-forbidden", "repo-damaged",
        "repo-not-git",   "repo-format",    "special-file",   "link-outside",
    };
    return reason &&
           (strncmp(reason, "archive-", 8) == 0 || is_one_of(reason, names, countof(names)));
}

bool git_reason_is_passing(const char *reason)
{
    static const char *const names[] = {"repo-unreachable", "repo-timeout", "repo-rate-limit"};
    return is_one_of(reason, names, countof(names));
}
