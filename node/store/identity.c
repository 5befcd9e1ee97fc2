#include "node/store/summary.h"

#include "proto/base/buf.h"
#include "proto/base/mem.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool ends_with(const char *text, size_t len, const char *end)
{
    size_t end_len = strlen(end);
    return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* "github.com/owner/name" of what follows the scheme. */
static char *normalised(const char *rest)
{
    const char *slash = strchr(rest, '/');
    const char *at = strchr(rest, '@');
    if (at && (!slash || at < slash)) /* a user's name and secret are no part of what it is */
        rest = at + 1;
    if (strncasecmp(rest, "www.", 4) == 0)
        rest += 4;
    size_t len = strcspn(rest, "?#");
    const char *tree = strstr(rest, "/tree/");
    if (tree && (size_t)(tree - rest) < len)
        len = (size_t)(tree - rest);
    while (len > 0 && rest[len - 1] == '/')
        len--;
    if (ends_with(rest, len, ".git"))
        len -= 4;
    char *out = mem_strndup(rest, len);
    for (char *c = out; *c && *c != '/'; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
}

char *summary_identity(const struct doc *doc, uint32_t p)
{
    const struct doc_project *project = &doc->req->projects[p];
    if (strncasecmp(project->source, "http://", 7) == 0)
        return normalised(project->source + 7);
    if (strncasecmp(project->source, "https://", 8) == 0)
        return normalised(project->source + 8);
    return mem_strdup(project->name);
}
