#include "node/api/auth.h"
#include "node/api/internal.h"
#include "node/api/upload.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <string.h>

static const struct http_route rows[] = {
    {.method = "POST",
     .pattern = "/evaluation",
     .scope = HTTP_USER,
     .body = HTTP_BODY_FORM,
     .form = &upload_form,
     .handler = submit_handle},
    {.method = "GET", .pattern = "/evaluation", .scope = HTTP_USER, .handler = evaluation_list},
    {.method = "GET", .pattern = "/evaluation/:id", .scope = HTTP_USER, .handler = evaluation_show},
    {.method = "DELETE",
     .pattern = "/evaluation/:id",
     .scope = HTTP_USER,
     .handler = evaluation_cancel},
    {.method = "GET",
     .pattern = "/evaluation/:id/tests",
     .scope = HTTP_USER,
     .handler = details_tests},
    {.method = "GET",
     .pattern = "/evaluation/:id/logs/:project",
     .scope = HTTP_USER,
     .handler = logs_set_up},
    {.method = "GET",
     .pattern = "/evaluation/:id/logs/:project/*module",
     .scope = HTTP_USER,
     .handler = logs_module},
    {.method = "GET", .pattern = "/stats", .scope = HTTP_USER, .handler = network_stats},
    {.method = "GET", .pattern = "/network", .scope = HTTP_USER, .handler = network_network},
    {.method = "GET", .pattern = "/peers", .scope = HTTP_USER, .handler = network_peers},
    {.method = "GET", .pattern = "/nodes", .scope = HTTP_USER, .handler = network_nodes},
    {.method = "GET", .pattern = "/load", .scope = HTTP_USER, .handler = network_load},
    {.method = "GET", .pattern = "/metrics", .scope = HTTP_USER, .handler = metrics_show},
    {.method = "POST",
     .pattern = "/join",
     .scope = HTTP_OPERATOR,
     .body = HTTP_BODY_BUFFER,
     .body_max = 4096,
     .handler = operator_join},
    {.method = "POST", .pattern = "/drain", .scope = HTTP_OPERATOR, .handler = operator_drain},
    {.method = "POST", .pattern = "/kill", .scope = HTTP_OPERATOR, .handler = operator_kill},
    {.method = "GET", .pattern = "/ping", .scope = HTTP_PUBLIC, .handler = network_ping},
    {.method = "GET", .pattern = "/healthz", .scope = HTTP_PUBLIC, .handler = network_healthz},
    {.method = "GET", .pattern = "/readyz", .scope = HTTP_PUBLIC, .handler = network_readyz},
    {.method = "GET", .pattern = "/openapi.json", .scope = HTTP_PUBLIC, .handler = network_openapi},
    {.method = "GET",
     .pattern = "/problems/:code",
     .scope = HTTP_PUBLIC,
     .handler = network_problem},
    {.method = "GET", .pattern = "/", .scope = HTTP_PUBLIC, .handler = network_home},
};

struct api *api_new(const struct api_config *config)
{
    struct api *self = mem_new(sizeof *self);
    self->config = *config;
    self->started_ms = clock_mono_ms();
    self->routes = mem_dup(rows, sizeof rows);
    self->route_count = countof(rows);
    self->started_wall_ms = clock_wall_ms();
    metrics_http_init(&self->http, self->route_count);
    self->routes[0].body_max = config->upload_max_bytes;
    host_on_final(config->host, evaluation_final, self);
    return self;
}

void api_free(struct api *self)
{
    if (!self)
        return;
    lookup_free_all(self);
    gather_free_all(self);
    evaluation_free_waiters(self);
    submit_free_all(self);
    free(self->final_tag);
    buf_fini(&self->final_text);
    metrics_http_fini(&self->http);
    free(self->routes);
    free(self);
}

const struct http_route *api_routes(struct api *self, size_t *count)
{
    *count = self->route_count;
    return self->routes;
}

int api_authorize(const struct http_exchange *x, enum http_scope scope, void *arg, struct err *err)
{
    const struct api *self = arg;
    return auth_check(self->config.auth, x, scope, err);
}

int api_check_ready(const struct api *self, struct err *err)
{
    const char *why = NULL;
    if (self->is_draining)
        return err_refuse(err, ERR_UNAVAILABLE, "draining", "this node is about to stop");
    if (!store_writable(self->config.store, &why))
        return err_refuse(err, ERR_UNAVAILABLE, "store-not-writable", "%s",
                          why ? why : "the store cannot be written");
    if (store_repairing(self->config.store))
        return err_refuse(err, ERR_UNAVAILABLE, "repairing",
                          "records of this node were damaged on its disk");
    return 0;
}

void api_drain(struct api *self)
{
    self->is_draining = true;
    evaluation_answer_waiters(self);
}
