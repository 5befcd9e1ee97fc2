/* operator: what only who runs the node may ask: to join a mesh, to take no more work, to end. */
#include "node/api/internal.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <string.h>

static void answer(struct http_exchange *x, const char *status)
{
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_str(&out, "status", status);
    json_out_close_object(&out);
    buf_putc(&text, '\n');
    http_reply_json(x, 202, &text);
}

void operator_join(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    const struct buf *body = http_body(x);
    struct err err = ERR_INIT;
    owned_json *json = json_in_parse(buf_str(body), body->len, &err);
    const char *address = json ? json_in_str(json, "address", NULL) : NULL;
    if (!address || !*address)
        err_refuse(&err, ERR_INVALID, "bad-join", "send {\"address\": \"HOST:PORT\"}");
    else if (host_join(self->config.host, address, &err))
        err_refuse(&err, ERR_INVALID, "bad-join", "\"%.80s\" is no address", address);
    if (err.code != ERR_NONE)
        http_reply_problem(x, &err);
    else
        answer(x, "joining");
}

void operator_drain(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    log_info("node_draining", "why=operator");
    api_drain(self);
    host_drain(self->config.host);
    answer(x, "draining");
}

void operator_kill(struct http_exchange *x, void *arg)
{
    const struct api *self = arg;
    answer(x, "leaving");
    self->config.leave(self->config.leave_arg);
}
