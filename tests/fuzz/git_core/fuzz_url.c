/* Any text as a repository's URL: what is taken has one form, which reads as the same again; it
 * names a host that was allowed, a path without a way out, a branch that git allows; and a refusal
 * never repeats what stands before an "@". */
#include "proto/base/mem.h"
#include "runner/git/url.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const items[] = {"git.example:8443"};
    const struct git_hosts hosts = {items, countof(items)};
    owned_mem char *text = mem_strndup((const char *)data, size);
    owned_buf form = BUF_INIT;
    struct git_url url, again;
    struct err err = ERR_INIT;
    if (git_url_parse(&url, text, &hosts, &err)) {
        assert(err.reason && err.text[0]);
        const char *host = strstr(text, "://");
        const char *at = host ? strchr(host, '@') : NULL;
        if (at && (size_t)(at - host - 3) < strcspn(host + 3, "/?#"))
            assert(!strstr(err.text, "Secret") || strstr(at, "Secret"));
        return 0;
    }
    git_url_put(&url, NULL, &form);
    assert(git_url_parse(&again, buf_str(&form), &hosts, &err) == 0);
    assert(memcmp(&url, &again, sizeof url) == 0);
    assert(strcmp(url.host, "github.com") == 0 || strcmp(url.host, "gitlab.com") == 0 ||
           (strcmp(url.host, "git.example") == 0 && url.port == 8443));
    assert(strchr(url.path, '/') && !strstr(url.path, "//") && !strstr(url.path, "/../"));
    assert(url.want != GIT_WANT_BRANCH || git_branch_is_valid(url.branch));
    assert(git_url_name(&url)[0]);
    return 0;
}
