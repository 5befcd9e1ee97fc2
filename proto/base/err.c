#include "proto/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
} codes[] = {
    [-ERR_NONE] = {"ok", 200},
    [-ERR_INVALID] = {"bad-request", 400},
    [-ERR_UNAUTHORIZED] = {"unauthorized", 401},
    [-ERR_FORBIDDEN] = {"forbidden", 403},
    [-ERR_NOT_FOUND] = {"not-found", 404},
    [-ERR_METHOD] = {"method-not-allowed", 405},
    [-ERR_CONFLICT] = {"conflict", 409},
    [-ERR_TOO_LARGE] = {"too-large", 413},
    [-ERR_MEDIA_TYPE] = {"unsupported-media-type", 415},
    [-ERR_UNPROCESSABLE] = {"unprocessable", 422},
    [-ERR_BUSY] = {"busy", 429},
    [-ERR_UNAVAILABLE] = {"unavailable", 503},
    [-ERR_TIMEOUT] = {"timeout", 408},
    [-ERR_CANCELLED] = {"cancelled", 409},
    [-ERR_CORRUPT] = {"corrupt", 500},
    [-ERR_IO] = {"io", 500},
    [-ERR_INTERNAL] = {"internal", 500},
};

__attribute__((format(printf, 4, 0))) static int
fill(struct err *err, enum err_code code, const char *reason, const char *fmt, va_list ap)
{
    if (err) {
        err->code = code;
        err->reason = reason;
        (void)vsnprintf(err->text, sizeof err->text, fmt, ap);
    }
    return code;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, NULL, fmt, ap);
    va_end(ap);
    errno = saved;
    return code;
}

int err_refuse(struct err *err, enum err_code code, const char *reason, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, reason, fmt, ap);
    va_end(ap);
    errno = saved;
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err)
        return ERR_INTERNAL;
    char context[ERR_TEXT_MAX];
    char whole[2 * ERR_TEXT_MAX + 2];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    (void)snprintf(whole, sizeof whole, "%s: %s", context, err->text);
    memcpy(err->text, whole, sizeof err->text - 1);
    err->text[sizeof err->text - 1] = '\0';
    return err->code;
}

const char *err_code_name(enum err_code code) { return codes[-code].name; }

const char *err_name(const struct err *err)
{
    return err->reason ? err->reason : err_code_name(err->code);
}

int err_http_status(enum err_code code) { return codes[-code].status; }
