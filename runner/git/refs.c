#include "runner/git/refs.h"

#include <string.h>

#define NOT_GIT(...) err_refuse(err, ERR_UNPROCESSABLE, "repo-not-git", __VA_ARGS__)
#define OID_LEN      (GIT_OID_HEX - 1)

void refs_init(struct refs *self, const struct git_url *url)
{
    *self = (struct refs){.url = url};
    if (url->want == GIT_WANT_COMMIT)
        memcpy(self->commit, url->commit, sizeof self->commit);
    if (url->want == GIT_WANT_BRANCH)
        memcpy(self->branch, url->branch, sizeof self->branch);
}

void refs_fini(struct refs *self) { buf_fini(&self->line); }

static bool is_hex(const char *text, size_t len) { return strspn(text, "0123456789abcdef") >= len; }

/* Whether a blank-separated list has the word; one that ends with "=" needs only to begin so.
 * Returns what is behind it, NULL for none. */
static const char *find_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strncmp(at, word, len) == 0 &&
            (word[len - 1] == '=' || at[len] == ' ' || at[len] == '\0'))
            return at + len;
    return NULL;
}

/* HEAD is a name for a branch: which one is told in the list of what the server can. */
static void take_head_name(struct refs *self, const char *list)
{
    static const char before[] = "symref=";
    static const char head[] = "HEAD:refs/heads/";
    while ((list = find_word(list, before)) != NULL) {
        size_t len = strcspn(list, " ");
        size_t skip = sizeof head - 1;
        if (strncmp(list, head, skip) == 0 && len > skip && len - skip <= GIT_BRANCH_MAX) {
            memcpy(self->branch, list + skip, len - skip);
            self->branch[len - skip] = '\0';
            if (!git_branch_is_valid(self->branch))
                self->branch[0] = '\0';
            return;
        }
        list += len;
        list += *list == ' ';
    }
}

static void take_abilities(struct refs *self, const char *list)
{
    const char *format = find_word(list, "object-format=");
    self->is_sha256 = format && strncmp(format, "sha1", 4) != 0;
    self->has_sideband = find_word(list, "side-band-64k") != NULL;
    self->has_shallow = find_word(list, "shallow") != NULL;
    self->has_any_commit = find_word(list, "allow-tip-sha1-in-want") != NULL ||
                           find_word(list, "allow-reachable-sha1-in-want") != NULL;
    if (self->url->want == GIT_WANT_DEFAULT)
        take_head_name(self, list);
}

static bool is_wanted(const struct refs *self, const char *name)
{
    static const char heads[] = "refs/heads/";
    if (self->url->want == GIT_WANT_DEFAULT)
        return strcmp(name, "HEAD") == 0;
    return self->url->want == GIT_WANT_BRANCH && strncmp(name, heads, sizeof heads - 1) == 0 &&
           strcmp(name + sizeof heads - 1, self->url->branch) == 0;
}

/* "<commit> <name>", and behind the first one's name a NUL and what the server can. */
static int take_ref(struct refs *self, const char *line, size_t len, struct err *err)
{
    size_t text = strlen(line);
    size_t oid = strcspn(line, " ");
    if (self->place == REFS_FIRST)
        take_abilities(self, text < len ? line + text + 1 : "");
    if (self->is_sha256)
        return 0; /* said at the end */
    if (oid != OID_LEN || !is_hex(line, OID_LEN) || (self->place == REFS_REST && text != len))
        return NOT_GIT("the server's list of branches makes no sense");
    const char *name = line + OID_LEN + 1;
    if (strcmp(name, "capabilities^{}") == 0)
        return 0;
    self->has_any = true;
    if (is_wanted(self, name)) {
        memcpy(self->commit, line, OID_LEN);
        self->commit[OID_LEN] = '\0';
    }
    return 0;
}

static int take_line(struct refs *self, struct err *err)
{
    const char *line = buf_str(&self->line);
    size_t len = self->line.len;
    if (len > 0 && line[len - 1] == '\n')
        self->line.data[--len] = '\0';
    if (strncmp(line, "ERR ", 4) == 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-not-found", "the server says: %.200s",
                          line + 4);
    switch (self->place) {
    case REFS_SERVICE:
        if (strcmp(line, "# service=git-upload-pack") != 0)
            return NOT_GIT("the answer is no list of branches");
        self->place = REFS_SERVICE_END;
        return 0;
    case REFS_FIRST:
    case REFS_REST: {
        int rc = take_ref(self, line, len, err);
        self->place = REFS_REST;
        return rc;
    }
    case REFS_SERVICE_END:
    case REFS_END:
        break;
    }
    return NOT_GIT("the server's list of branches goes on behind its end");
}

static int take_flush(struct refs *self, struct err *err)
{
    if (self->place == REFS_SERVICE_END)
        self->place = REFS_FIRST;
    else if (self->place == REFS_FIRST || self->place == REFS_REST)
        self->place = REFS_END;
    else
        return NOT_GIT("the answer is no list of branches");
    return 0;
}

int refs_feed(struct refs *self, const char *bytes, size_t len, struct err *err)
{
    for (;;) {
        struct pkt_out out;
        int rc = 0;
        pkt_step(&self->lines, bytes, len, &out);
        bytes += out.used;
        len -= out.used;
        switch (out.event) {
        case PKT_MORE:
            return 0;
        case PKT_BAD:
            return NOT_GIT("the answer is not a git server's");
        case PKT_FLUSH:
            rc = take_flush(self, err);
            break;
        case PKT_DATA:
            buf_append(&self->line, out.data, out.data_len);
            if (out.is_last) {
                rc = take_line(self, err);
                buf_clear(&self->line);
            }
            break;
        }
        if (rc)
            return rc;
    }
}

int refs_end(struct refs *self, struct err *err)
{
    if (self->place != REFS_END || !pkt_is_between(&self->lines))
        return NOT_GIT("the server's list of branches has no end");
    if (self->is_sha256)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-format",
                          "its objects are named by SHA-256, which is not read here");
    if (!self->has_any)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-empty",
                          "the repository is empty: nothing was ever pushed to it");
    if (self->url->want == GIT_WANT_BRANCH && !self->commit[0])
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-branch",
                          "the repository has no branch \"%s\"", self->url->branch);
    if (!self->commit[0])
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-branch",
                          "the repository has no default branch: name one with /tree/<branch>");
    if (self->url->want == GIT_WANT_COMMIT && !self->has_any_commit)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-commit",
                          "the host does not give out single commits: name a branch");
    if (!self->has_sideband)
        return NOT_GIT("the server is too old: it cannot do side-band-64k");
    return 0;
}

void refs_put_request(const struct refs *self, struct buf *out, bool *is_shallow)
{
    *is_shallow = self->has_shallow;
    pkt_put(out, "want %s side-band-64k ofs-delta no-progress agent=testmesh\n", self->commit);
    if (*is_shallow)
        pkt_put(out, "deepen 1\n");
    pkt_put_flush(out);
    pkt_put(out, "done\n");
}
