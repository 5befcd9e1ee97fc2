/* auth: who may call what.
 *
 * Without a token file everybody who reaches the node is a user. With one, users send a bearer
 * token of it (RFC 6750). Tokens are held as BLAKE2b hashes and compared in constant time. Operator
 * routes always need the operator's token, made at the first start: behind a proxy every request
 * comes from the loopback, so an address proves nothing. */
#ifndef NODE_API_AUTH_H
#define NODE_API_AUTH_H

#include "node/http/server.h"
#include "proto/base/hash.h"

struct auth;

/* Reads one token a line (blank lines and lines with # are skipped). NULL: no file. Reads the
 * operator's token from `operator_file`, which is made (0600) where it is absent. Returns owned.
 * Errors: ERR_INVALID (readable by others, a token shorter than 16 characters), ERR_NOT_FOUND,
 * ERR_IO. */
struct auth *auth_new(const char *token_file, const char *operator_file, struct err *err);
void auth_free(struct auth *self);

/* For http_config.authorize's work. Errors: ERR_UNAUTHORIZED, ERR_FORBIDDEN. */
int auth_check(const struct auth *self, const struct http_exchange *x, enum http_scope scope,
               struct err *err) ERR_CHECKED;

/* Names who asks, by the token's hash; "" where nobody sends one. */
void auth_user(const struct auth *self, const struct http_exchange *x, char out[HASH_HEX]);

#endif
