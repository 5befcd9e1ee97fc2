#include "node/api/metrics.h"

#include "node/api/internal.h"

static void put_node(struct exposition *out, const struct api *api)
{
    const struct api_facts *facts = &api->config.facts;
    struct err err = ERR_INIT;
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_build_info",
                      "What this node is made of; always 1.");
    exposition_uint(out,
                    &(struct exposition_labels){{{"version", facts->version},
                                                 {"sandbox", api->config.metrics.sandbox},
                                                 {"installer", facts->installer}}},
                    1);
    exposition_gauge(out, "testmesh_ready", "Whether the node takes work, as /readyz says.",
                     api_check_ready(api, &err) == 0);
    exposition_gauge(out, "testmesh_draining", "Whether it was told to take no more work.",
                     api->is_draining);
}

void metrics_show(struct http_exchange *x, void *arg)
{
    const struct api *self = arg;
    owned_buf text = BUF_INIT;
    struct exposition out;
    exposition_init(&out, &text);
    put_node(&out, self);
    metrics_put_work(&out, self);
    metrics_put_mesh(&out, self);
    metrics_put_http(&out, self, http_server_of(x));
    metrics_put_process(&out, self);
    http_set_header(x, "Cache-Control", "no-store");
    http_reply_take(x, 200, EXPOSITION_TYPE, &text);
}
