/* err: how a function says what went wrong.
 *
 * The contract, everywhere: a function that can fail takes `struct err *err` last, returns 0 or a
 * negative code (pointer functions return NULL), and fills `err`. The struct is the caller's and
 * holds no heap memory. A failure costs one line:
 *
 *     return err_set(err, ERR_IO, "open %s: %m", path);
 *
 * On the way up a caller may add context with err_wrap(); it is logged once, at the top. `reason`
 * is a finer, stable name for a problem that a user can act on ("archive-escape"); it becomes the
 * `code` of a problem document.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TEXT_MAX 512

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID = -1,       /* the request makes no sense as written */
    ERR_UNAUTHORIZED = -2,  /* no or a wrong token */
    ERR_FORBIDDEN = -3,     /* understood and refused */
    ERR_NOT_FOUND = -4,     /* no such thing */
    ERR_METHOD = -5,        /* not with this verb */
    ERR_CONFLICT = -6,      /* exists already, or is in another state */
    ERR_TOO_LARGE = -7,     /* over a limit of size or count */
    ERR_MEDIA_TYPE = -8,    /* a kind of content that is not taken */
    ERR_UNPROCESSABLE = -9, /* well formed, but its content is refused */
    ERR_BUSY = -10,         /* try again later: too much work at once */
    ERR_UNAVAILABLE = -11,  /* try again later: this node cannot, for now */
    ERR_TIMEOUT = -12,      /* it took too long */
    ERR_CANCELLED = -13,    /* somebody no longer wants it */
    ERR_CORRUPT = -14,      /* bytes of ours that do not check */
    ERR_IO = -15,           /* the operating system said no */
    ERR_INTERNAL = -16,     /* a bug of ours, or a helper of ours that died */
};

struct err {
    enum err_code code;
    const char *reason; /* static, kebab-case; NULL for the code's own name */
    char text[ERR_TEXT_MAX];
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = ERR_NONE                                                                           \
    }

/* Fills `err` (which may be NULL) and returns `code`. `%m` in `fmt` is errno's text. Sets no
 * reason. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set(), with a reason. Borrows `reason` for ever: a literal. */
int err_refuse(struct err *err, enum err_code code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the text and returns the code that `err` already has. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Returns the name of a code ("not-found"), for logs and problem documents; static. */
const char *err_code_name(enum err_code code);

/* Returns the reason, or the code's name where there is none; static. */
const char *err_name(const struct err *err);

/* Returns the HTTP status (4xx or 5xx) that a code is answered with. */
int err_http_status(enum err_code code);

#define ERR_CHECKED __attribute__((warn_unused_result))

#endif
