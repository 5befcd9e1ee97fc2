#include "cli/repositories.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <string.h>
#include <sys/stat.h>

#define TOKEN_FILE_MAX 4096
#define LIST_MAX       ((size_t)4 << 20)
#define URLS_MAX       1000 /* that a node takes at once */

static const char blanks[] = " \t\r\n";

static bool is_url(const char *text)
{
    return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0;
}

bool repositories_is(const char *operand) { return is_url(operand) || operand[0] == '@'; }

/* ---- URLs ------------------------------------------------------------------------------------ */

static int add(struct repositories *self, const char *url, struct err *err)
{
    if (self->urls.count == URLS_MAX)
        return err_set(err, ERR_INVALID, "more than %d repositories", URLS_MAX);
    opt_list_add(&self->urls, url);
    return 0;
}

/* A URL has no blanks: what follows one may only be a comment. */
static int add_line(struct repositories *self, char *line, const char *name, unsigned number,
                    struct err *err)
{
    line += strspn(line, blanks);
    size_t len = strcspn(line, blanks);
    const char *rest = line + len + strspn(line + len, blanks);
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    if (rest[0] != '\0' && rest[0] != '#')
        return err_set(err, ERR_INVALID, "%.300s:%u: one URL a line", name, number);
    line[len] = '\0';
    if (!is_url(line))
        return err_set(err, ERR_INVALID, "%.300s:%u: not the URL of a repository (https://…)", name,
                       number);
    return add(self, line, err);
}

static int add_lines(struct repositories *self, char *text, const char *name, struct err *err)
{
    unsigned number = 0;
    for (char *next = text; next != NULL;) {
        char *line = strsep(&next, "\n");
        int rc = add_line(self, line, name, ++number, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_file(struct repositories *self, const char *path, struct err *err)
{
    owned_buf text = BUF_INIT;
    bool is_stdin = strcmp(path, "-") == 0;
    if (file_read(is_stdin ? "/dev/stdin" : path, LIST_MAX, &text, err) != 0)
        return err->code;
    if (text.len == 0)
        return 0;
    if (memchr(text.data, '\0', text.len) != NULL)
        return err_set(err, ERR_INVALID, "@%.300s: not a list of URLs, one a line", path);
    return add_lines(self, text.data, is_stdin ? "standard input" : path, err);
}

static int read_urls(struct repositories *self, const struct opt_list *operands, struct err *err)
{
    for (size_t i = 0; i < operands->count; i++) {
        const char *operand = operands->items[i];
        if (!repositories_is(operand))
            return err_set(err, ERR_INVALID,
                           "%.300s: a path beside URLs of repositories; a run has either files of "
                           "this machine or repositories",
                           operand);
        int rc = operand[0] == '@' ? add_file(self, operand + 1, err) : add(self, operand, err);
        if (rc != 0)
            return rc;
    }
    return self->urls.count > 0 ? 0 : err_set(err, ERR_INVALID, "no URL of a repository was given");
}

/* ---- the token ------------------------------------------------------------------------------- */

/* It would go to whoever the first URL names: to another company's host it does not. */
static void take_variable(struct repositories *self)
{
    static const char gitlab[] = "://gitlab.com/";
    const char *value = getenv("GITHUB_TOKEN");
    if (value == NULL || value[0] == '\0' || strstr(self->urls.items[0], gitlab) != NULL)
        return;
    self->token = mem_strdup(value);
    self->token_words = "the token in $GITHUB_TOKEN";
}

static int read_token_file(struct repositories *self, const char *path, struct err *err)
{
    struct stat st;
    owned_buf text = BUF_INIT;
    buf_reserve(&text, TOKEN_FILE_MAX + 1); /* it never moves: no copy is left behind */
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return err_set(err, ERR_INVALID,
                       "--token-file %.300s: others may read it (mode %04o); chmod 600 it", path,
                       (unsigned)(st.st_mode & 07777));
    if (file_read(path, TOKEN_FILE_MAX, &text, err) != 0)
        return err_wrap(err, "--token-file");
    const char *word = buf_str(&text) + strspn(buf_str(&text), blanks);
    self->token = mem_strndup(word, strcspn(word, blanks));
    self->token_words = "the token of --token-file";
    explicit_bzero(text.data, text.capacity);
    return self->token[0] != '\0'
               ? 0
               : err_set(err, ERR_INVALID, "--token-file %.300s: is empty", path);
}

int repositories_read(struct repositories *self, const struct opt_list *operands,
                      const char *token_file, struct err *err)
{
    *self = (struct repositories){0};
    int rc = read_urls(self, operands, err);
    if (rc != 0)
        return rc;
    if (token_file != NULL)
        return read_token_file(self, token_file, err);
    take_variable(self);
    return 0;
}

void repositories_fini(struct repositories *self)
{
    if (self->token != NULL)
        explicit_bzero(self->token, strlen(self->token));
    free(self->token);
    opt_list_fini(&self->urls);
    *self = (struct repositories){0};
}
