#include "node/api/auth.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_MIN      16
#define TOKEN_FILE_MAX (1u << 20)
#define OPERATOR_BYTES 24

struct tokens {
    struct hash *hashes;
    size_t count;
    size_t capacity;
};

struct auth {
    struct tokens users;
    struct tokens operators;
};

static int add_token(struct tokens *self, const char *token, struct err *err)
{
    if (strlen(token) < TOKEN_MIN)
        return err_set(err, ERR_INVALID, "a token needs at least %d characters", TOKEN_MIN);
    log_redact(token);
    self->hashes = mem_grow(self->hashes, &self->capacity, self->count + 1, sizeof *self->hashes);
    self->hashes[self->count++] = hash_of(token, strlen(token));
    return 0;
}

static int read_tokens(struct tokens *self, const char *path, struct err *err)
{
    struct stat st;
    owned_buf text = BUF_INIT;
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return err_set(err, ERR_INVALID, "%s can be read by others: chmod 600 it", path);
    if (file_read(path, TOKEN_FILE_MAX, &text, err))
        return err->code;
    char *rest = NULL;
    for (char *line = strtok_r(text.data, "\r\n", &rest); line;
         line = strtok_r(NULL, "\r\n", &rest))
        if (*line != '#' && add_token(self, line, err))
            return err_wrap(err, "%s", path);
    if (self->count == 0)
        return err_set(err, ERR_INVALID, "%s holds no token", path);
    return 0;
}

static int make_operator_token(const char *path, struct err *err)
{
    uint8_t secret[OPERATOR_BYTES];
    char text[2 * OPERATOR_BYTES + 2];
    struct stat st;
    if (stat(path, &st) == 0)
        return 0;
    rand_system(secret, sizeof secret);
    sodium_bin2hex(text, sizeof text, secret, sizeof secret);
    strcat(text, "\n");
    return file_replace(path, text, strlen(text), 0600, err);
}

struct auth *auth_new(const char *token_file, const char *operator_file, struct err *err)
{
    struct auth *self = mem_new(sizeof *self);
    if ((token_file && read_tokens(&self->users, token_file, err)) ||
        make_operator_token(operator_file, err) ||
        read_tokens(&self->operators, operator_file, err)) {
        auth_free(self);
        return NULL;
    }
    return self;
}

void auth_free(struct auth *self)
{
    if (!self)
        return;
    free(self->users.hashes);
    free(self->operators.hashes);
    free(self);
}

static bool has_token(const struct tokens *self, const char *token)
{
    struct hash hash = hash_of(token, strlen(token));
    bool is_known = false;
    for (size_t i = 0; i < self->count; i++)
        is_known |= sodium_memcmp(hash.bytes, self->hashes[i].bytes, HASH_BYTES) == 0;
    return is_known;
}

int auth_check(const struct auth *self, const struct http_exchange *x, enum http_scope scope,
               struct err *err)
{
    const char *token = http_bearer(x);
    if (scope == HTTP_OPERATOR) {
        if (token && has_token(&self->operators, token))
            return 0;
        return token ? err_set(err, ERR_FORBIDDEN, "for the operator of this node only")
                     : err_set(err, ERR_UNAUTHORIZED,
                               "send the token of the data folder's "
                               "operator.token: Authorization: Bearer …");
    }
    if (self->users.count == 0)
        return 0;
    if (!token)
        return err_set(err, ERR_UNAUTHORIZED, "send a token: Authorization: Bearer …");
    return has_token(&self->users, token) || has_token(&self->operators, token)
               ? 0
               : err_set(err, ERR_UNAUTHORIZED, "the token is not one of this node's");
}

void auth_user(const struct auth *self, const struct http_exchange *x, char out[HASH_HEX])
{
    const char *token = self->users.count > 0 ? http_bearer(x) : NULL;
    struct hash hash;
    out[0] = '\0';
    if (!token)
        return;
    hash = hash_of(token, strlen(token));
    hash_hex(&hash, out);
}
