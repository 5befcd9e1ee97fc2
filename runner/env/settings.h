/* settings: the operator's network settings, in each installer's own words.
 *
 * Company proxies, own certificate authorities and own indexes are the rule in schools and firms.
 * The installer gets them, and nothing else of the node's environment. uv reads none of pip's
 * variables: they are given to it under its own names. Pure. */
#ifndef ENV_SETTINGS_H
#define ENV_SETTINGS_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define ENV_SETTINGS_MAX 32
#define ENV_BINDINGS_MAX 16

struct env_settings {
    char *
        vars[ENV_SETTINGS_MAX + 1]; /* "NAME=value", NULL-terminated: the installer's environment */
    char *binds[ENV_BINDINGS_MAX];  /* host paths that must be readable in the jail as they are */
    size_t bind_count;
    bool no_index;         /* PIP_NO_INDEX, which uv takes on its command line only */
    bool has_certificates; /* the operator says which */
    char *index; /* canonical text of index and find-links, for the key; no secrets hidden */
    char *secrets[ENV_BINDINGS_MAX]; /* "user:password" parts of the URLs, to be blotted out */
    size_t secret_count;
};

/* Reads the node's `environ` for uv or for pip. */
void env_settings_init(struct env_settings *self, const char *const *environ_, bool for_uv);
void env_settings_fini(struct env_settings *self);

/* Appends `text` without secrets: the user part of every URL becomes "***". */
void env_settings_redact(const struct env_settings *self, const char *text, size_t len,
                         struct buf *out);

#endif
