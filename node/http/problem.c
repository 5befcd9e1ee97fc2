#include "node/http/problem.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <string.h>

static const struct problem rows[] = {
#define PROBLEM(code_, status_, title_, hint_)                                                     \
    {.code = (code_), .status = (status_), .title = (title_), .hint = (hint_)},
#include "node/http/problems.tbl"
#undef PROBLEM
};

const struct problem *problem_find(const char *code)
{
    for (size_t i = 0; i < countof(rows); i++)
        if (strcmp(rows[i].code, code) == 0)
            return &rows[i];
    return NULL;
}

const struct problem *problem_at(size_t at) { return at < countof(rows) ? &rows[at] : NULL; }

const struct problem *problem_of(const struct err *err)
{
    const struct problem *row = problem_find(err_name(err));
    return row ? row : problem_find(err_code_name(err->code));
}

int problem_status(const struct err *err)
{
    const struct problem *row = problem_find(err_name(err));
    return row ? row->status : err_http_status(err->code);
}

static void write_fields(struct json_out *json, const struct problem_field *fields, size_t count)
{
    json_out_key(json, "errors");
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++) {
        json_out_open_object(json);
        json_out_key_str(json, "field", fields[i].field);
        json_out_key_str(json, "message", fields[i].message);
        json_out_close_object(json);
    }
    json_out_close_array(json);
}

void problem_write(struct buf *out, const struct err *err, const char *instance,
                   const struct problem_field *fields, size_t field_count)
{
    const struct problem *row = problem_of(err);
    const char *detail = err->text[0] || !row ? err->text : row->title;
    struct json_out json;
    owned_buf type = BUF_INIT;
    buf_printf(&type, "/problems/%s", err_name(err));
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "type", buf_str(&type));
    json_out_key_str(&json, "title", row ? row->title : err_name(err));
    json_out_key_int(&json, "status", problem_status(err));
    json_out_key_str(&json, "detail", detail);
    if (instance)
        json_out_key_str(&json, "instance", instance);
    json_out_key_str(&json, "code", err_name(err));
    if (row && row->hint)
        json_out_key_str(&json, "hint", row->hint);
    if (field_count > 0)
        write_fields(&json, fields, field_count);
    json_out_key_str(&json, "error", detail);
    json_out_close_object(&json);
}

static void escape_html(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            buf_puts(out, "&lt;");
        else if (*text == '&')
            buf_puts(out, "&amp;");
        else
            buf_putc(out, *text);
    }
}

void problem_page(struct buf *out, const struct problem *row)
{
    buf_printf(out,
               "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>"
               "<h1>",
               row->code);
    escape_html(out, row->title);
    buf_printf(out, "</h1><p>Code <code>%s</code>, answered with status %d.</p>", row->code,
               row->status);
    if (row->hint) {
        buf_puts(out, "<p>");
        escape_html(out, row->hint);
        buf_puts(out, "</p>");
    }
    buf_puts(out, "</html>\n");
}
