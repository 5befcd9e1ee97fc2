#include "runner/git/url.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define REFUSED(...) err_refuse(err, ERR_UNPROCESSABLE, "repo-url", __VA_ARGS__)

static const char *const default_hosts[] = {"github.com", "gitlab.com"};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_oid(const char *text)
{
    size_t len = 0;
    while (len < GIT_OID_HEX && hex_value(text[len]) >= 0)
        len++;
    return len == GIT_OID_HEX - 1 && text[len] == '\0';
}

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Reads "name" or "name:port", `len` bytes. Returns false for anything else. */
static bool read_host(const char *text, size_t len, char host[GIT_HOST_MAX + 1], uint16_t *port)
{
    size_t at = 0;
    while (at < len && at < GIT_HOST_MAX && (is_alnum(text[at]) || strchr("-.", text[at]))) {
        host[at] = lower(text[at]);
        at++;
    }
    host[at] = '\0';
    if (at == 0 || host[0] == '.' || host[0] == '-' || host[at - 1] == '.' || strstr(host, ".."))
        return false;
    *port = GIT_HTTPS_PORT;
    if (at == len)
        return true;
    unsigned long number = 0;
    size_t digits = 0;
    if (text[at++] != ':')
        return false;
    for (; at < len && is_digit(text[at]) && digits < 6; at++, digits++)
        number = number * 10 + (unsigned long)(text[at] - '0');
    *port = (uint16_t)number;
    return at == len && digits > 0 && number > 0 && number <= UINT16_MAX;
}

int git_host_check(const char *item, struct err *err)
{
    char host[GIT_HOST_MAX + 1];
    uint16_t port;
    return read_host(item, strlen(item), host, &port)
               ? 0
               : err_set(err, ERR_INVALID, "%.100s: must be a host's name, or NAME:PORT", item);
}

static bool is_same_host(const char *item, const struct git_url *url)
{
    char host[GIT_HOST_MAX + 1];
    uint16_t port;
    return read_host(item, strlen(item), host, &port) && port == url->port &&
           strcmp(host, url->host) == 0;
}

static bool is_allowed(const struct git_url *self, const struct git_hosts *hosts)
{
    for (size_t i = 0; i < countof(default_hosts); i++)
        if (is_same_host(default_hosts[i], self))
            return true;
    for (size_t i = 0; hosts && i < hosts->count; i++)
        if (is_same_host(hosts->items[i], self))
            return true;
    return false;
}

/* ---- the path -------------------------------------------------------------------------------- */

bool git_branch_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > GIT_BRANCH_MAX || name[0] == '/' || name[0] == '-' ||
        name[len - 1] == '/' || name[len - 1] == '.' || strcmp(name, "@") == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool starts = i == 0 || name[i - 1] == '/';
        if (c <= 0x20 || c == 0x7f || strchr("~^:?*[\\", c))
            return false;
        if ((starts && (c == '.' || c == '/')) || (c == '.' && name[i + 1] == '.') ||
            (c == '@' && name[i + 1] == '{'))
            return false;
        if (strncmp(name + i, ".lock", 5) == 0 && (name[i + 5] == '\0' || name[i + 5] == '/'))
            return false;
    }
    return true;
}

/* Undoes percent escapes. Returns false where one is none, or stands for NUL, or there is no room.
 */
static bool unescape(const char *text, size_t len, char *out, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (at + 1 >= size)
            return false;
        out[at++] = c;
    }
    out[at] = '\0';
    return true;
}

static bool is_part(const char *part, size_t len)
{
    if (len == 0 || part[0] == '-' || (part[0] == '.' && len == 1) ||
        (len == 2 && part[0] == '.' && part[1] == '.'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(part[i]) && !strchr("._-+~", part[i]))
            return false;
    return true;
}

/* Whether `part` begins what is not the repository's path any more: the page that shows a branch or
 * a commit. Those are "owner/name/tree/…" where paths have two parts, and "…/-/tree/…". */
static const char *marker(const char *at, size_t parts, size_t *skip)
{
    static const char *const words[] = {"-/tree/", "-/commit/", "tree/", "commit/"};
    for (size_t i = 0; i < countof(words); i++) {
        if (parts >= 2 && strncmp(at, words[i], strlen(words[i])) == 0) {
            *skip = strlen(words[i]);
            return words[i];
        }
    }
    return NULL;
}

static int read_wanted(struct git_url *self, const char *text, size_t len, bool is_commit,
                       struct err *err)
{
    char name[GIT_BRANCH_MAX + 1] = "";
    while (len > 0 && text[len - 1] == '/')
        len--;
    if (!unescape(text, len, name, sizeof name))
        return REFUSED("the branch is too long, or has a wrong escape in it");
    if (is_oid(name)) {
        self->want = GIT_WANT_COMMIT;
        for (size_t i = 0; i < GIT_OID_HEX; i++)
            self->commit[i] = lower(name[i]);
        return 0;
    }
    if (is_commit)
        return REFUSED("a commit is named by its 40 digits");
    if (!git_branch_is_valid(name))
        return REFUSED("what follows /tree/ can be no branch");
    self->want = GIT_WANT_BRANCH;
    memcpy(self->branch, name, sizeof name);
    return 0;
}

static int read_path(struct git_url *self, const char *at, struct err *err)
{
    size_t parts = 0, len = 0, skip;
    while (*at) {
        const char *word = marker(at, parts, &skip);
        if (word) {
            at += skip;
            int rc = read_wanted(self, at, strlen(at), strstr(word, "commit") != NULL, err);
            if (rc)
                return rc;
            break;
        }
        size_t part = strcspn(at, "/");
        if (part == 0 && at[1] == '\0')
            break; /* a second slash at the end does no harm */
        if (!is_part(at, part))
            return REFUSED("the path must be like /owner/name");
        if (++parts > GIT_PARTS_MAX || len + part + 1 > GIT_URL_PATH_MAX)
            return REFUSED("the path is too long");
        if (len > 0)
            self->path[len++] = '/';
        memcpy(self->path + len, at, part);
        len += part;
        at += part + (at[part] == '/');
    }
    self->path[len] = '\0';
    while (len > 4 && strcmp(self->path + len - 4, ".git") == 0)
        memset(self->path + (len -= 4), 0, 4);
    const char *name = git_url_name(self);
    bool is_word = parts > 2 && (strcmp(name, "tree") == 0 || strcmp(name, "commit") == 0);
    if (parts < 2 || is_word || !is_part(name, strlen(name)))
        return REFUSED("the path must be like /owner/name");
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int git_url_parse(struct git_url *self, const char *text, const struct git_hosts *hosts,
                  struct err *err)
{
    *self = (struct git_url){0};
    size_t len = strlen(text);
    if (len == 0 || len > GIT_URL_MAX)
        return REFUSED("a URL has 1 to %d bytes", GIT_URL_MAX);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f || text[i] == '\\')
            return REFUSED("the URL has a blank or another character that must be escaped");
    bool is_http = strncasecmp(text, "http://", 7) == 0;
    if (!is_http && strncasecmp(text, "https://", 8) != 0)
        return REFUSED("only https://host/owner/name is taken (and http://, which becomes https)");
    const char *host = text + (is_http ? 7 : 8);
    size_t host_len = strcspn(host, "/?#");
    if (memchr(host, '@', host_len))
        return REFUSED("the URL names a user; a token belongs into auth_token");
    if (strpbrk(host, "?#"))
        return REFUSED("the URL has a query or a fragment");
    if (!read_host(host, host_len, self->host, &self->port))
        return REFUSED("the host is none");
    if (is_http && self->port == 80)
        self->port = GIT_HTTPS_PORT;
    if (!is_allowed(self, hosts))
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-host",
                          "repositories of %.*s are not fetched here", (int)host_len, host);
    return read_path(self, host + host_len + (host[host_len] == '/'), err);
}

const char *git_url_name(const struct git_url *self)
{
    const char *slash = strrchr(self->path, '/');
    return slash ? slash + 1 : self->path;
}

void git_url_put_repository(const struct git_url *self, struct buf *out)
{
    buf_printf(out, "https://%s", self->host);
    if (self->port != GIT_HTTPS_PORT)
        buf_printf(out, ":%u", self->port);
    buf_printf(out, "/%s", self->path);
}

static void put_escaped(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (is_alnum(*text) || strchr("-._~/+@,=", *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

void git_url_put(const struct git_url *self, const char *commit, struct buf *out)
{
    git_url_put_repository(self, out);
    if (commit && is_oid(commit)) {
        buf_printf(out, "/tree/%s", commit);
    } else if (self->want == GIT_WANT_COMMIT) {
        buf_printf(out, "/tree/%s", self->commit);
    } else if (self->want == GIT_WANT_BRANCH) {
        buf_puts(out, "/tree/");
        put_escaped(self->branch, out);
    }
}
