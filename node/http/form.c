/* A sink that takes forms apart for an http_form; or hands a raw body over as one part of a form.
 */
#include "node/http/conn.h"
#include "node/http/media.h"
#include "node/http/multipart.h"
#include "node/http/problem.h"
#include "proto/base/mem.h"

#include <string.h>

#define PARTS_MAX 64

struct form {
    const struct http_form *to;
    void *state; /* the user's */
    bool is_raw;
    struct multipart parts; /* unless raw */
};

static const char multipart_type[] = "multipart/form-data";

/* Some clients send their own Content-Type beside the library's, which has the boundary. The last
 * usable one counts, provided that all of them say multipart. */
static int find_boundary(const struct http_exchange *x, char boundary[MEDIA_BOUNDARY_MAX + 1],
                         struct err *err)
{
    bool found = false;
    for (size_t i = 0; i < http_header_count(x); i++) {
        const char *name, *value;
        http_header_at(x, i, &name, &value);
        if (strcmp(name, "content-type") != 0)
            continue;
        if (!media_is(value, multipart_type))
            return err_refuse(err, ERR_MEDIA_TYPE, "form-type",
                              "two different Content-Types: %s and %.100s", multipart_type, value);
        found |= media_boundary(value, boundary);
    }
    if (!found)
        return err_refuse(err, ERR_INVALID, "form-boundary",
                          "%s needs a boundary of 1 to %d characters", multipart_type,
                          MEDIA_BOUNDARY_MAX);
    return 0;
}

static bool is_raw_type(const struct http_exchange *x, const struct http_form *form)
{
    for (const char *const *type = form->raw_types; type && *type; type++)
        if (http_is_type(x, *type))
            return true;
    return false;
}

static int refuse_type(const struct http_exchange *x, const struct http_form *form, struct err *err)
{
    const char *value = http_header(x, "content-type");
    owned_buf taken = BUF_INIT;
    buf_puts(&taken, multipart_type);
    for (const char *const *type = form->raw_types; type && *type; type++)
        buf_printf(&taken, ", %s", *type);
    return err_refuse(err, ERR_MEDIA_TYPE, "form-type", "the body is %.100s; taken here: %s",
                      value ? value : "of no type", buf_str(&taken));
}

static int begin_raw(struct form *self, const struct http_exchange *x, struct err *err)
{
    owned_buf type = BUF_INIT;
    media_type(&type, http_header(x, "content-type"));
    const struct http_form_part part = {.name = self->to->raw_name, .type = buf_str(&type)};
    return self->to->part_begin(self->state, &part, err);
}

static void *form_open(struct http_exchange *x, void *arg, struct err *err)
{
    const struct http_form *to = x->match.route->form;
    char boundary[MEDIA_BOUNDARY_MAX + 1];
    bool is_raw = is_raw_type(x, to);
    if (!is_raw && !http_is_type(x, multipart_type)) {
        err->code = refuse_type(x, to, err);
        return NULL;
    }
    if (!is_raw && find_boundary(x, boundary, err))
        return NULL;
    void *state = to->open(x, arg, err);
    if (!state)
        return NULL;
    struct form *self = mem_new(sizeof *self);
    self->to = to;
    self->state = state;
    self->is_raw = is_raw;
    x->state = state;
    if (!is_raw)
        multipart_init(&self->parts, boundary, to->parts_max ? to->parts_max : PARTS_MAX);
    else if (begin_raw(self, x, err)) {
        to->abort(state);
        free(self);
        return NULL;
    }
    return self;
}

static int refuse_form(const char *reason, struct err *err)
{
    const struct problem *row = problem_find(reason);
    enum err_code code = row->status == 413 ? ERR_TOO_LARGE : ERR_INVALID;
    return err_refuse(err, code, reason, "%s", row->title);
}

static int take_event(struct form *self, const struct multipart_out *out, struct err *err)
{
    struct multipart *parts = &self->parts;
    switch (out->event) {
    case MULTIPART_MORE:
        return 0;
    case MULTIPART_PART:
        return self->to->part_begin(
            self->state,
            &(struct http_form_part){.name = buf_str(&parts->name),
                                     .filename =
                                         parts->has_filename ? buf_str(&parts->filename) : NULL,
                                     .type = buf_str(&parts->type)},
            err);
    case MULTIPART_DATA:
        return self->to->part_data(self->state, out->data, out->data_len, err);
    case MULTIPART_ENDED:
        return self->to->part_end(self->state, err);
    case MULTIPART_BAD:
        return refuse_form(out->reason, err);
    }
    return 0;
}

static int form_write(void *state, const void *bytes, size_t len, struct err *err)
{
    struct form *self = state;
    if (self->is_raw)
        return self->to->part_data(self->state, bytes, len, err);
    const char *at = bytes;
    while (len > 0) {
        struct multipart_out out;
        multipart_step(&self->parts, at, len, &out);
        int rc = take_event(self, &out, err);
        if (rc)
            return rc;
        at += out.used;
        len -= out.used;
    }
    return 0;
}

static void form_free(struct form *self)
{
    if (!self->is_raw)
        multipart_fini(&self->parts);
    free(self);
}

static int form_finish(void *state, struct err *err)
{
    struct form *self = state;
    const char *reason = self->is_raw ? NULL : multipart_finish(&self->parts);
    if (reason)
        return refuse_form(reason, err);
    int rc = self->is_raw ? self->to->part_end(self->state, err) : 0;
    if (rc == 0)
        rc = self->to->finish(self->state, err);
    if (rc == 0)
        form_free(self); /* the user's state lives on in the exchange */
    return rc;
}

static void form_abort(void *state)
{
    struct form *self = state;
    self->to->abort(self->state);
    form_free(self);
}

const struct http_sink form_sink = {
    .open = form_open, .write = form_write, .finish = form_finish, .abort = form_abort};
