/* lookup: the newest of an evaluation that can be had, from whichever node has it. */
#include "node/api/internal.h"

#include "proto/base/mem.h"

struct lookup {
    struct api *api;
    struct http_exchange *x;
    uint64_t id;
    lookup_fn *then;
    struct lookup *next;
};

static void lookup_free(struct lookup *self)
{
    struct lookup **at = &self->api->lookups;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    free(self);
}

static void on_gone(void *arg)
{
    struct lookup *self = arg;
    host_forget(self->api->config.host, self);
    lookup_free(self);
}

static void refuse(struct http_exchange *x, struct err *err, uint64_t id)
{
    char text[ID_EVAL_TEXT];
    if (err->code == ERR_NOT_FOUND)
        err_refuse(err, ERR_NOT_FOUND, "evaluation-not-found", "there is no evaluation %s",
                   id_eval_format(id, text));
    http_reply_problem(x, err);
}

static void finish(struct api *api, struct http_exchange *x, uint64_t id, lookup_fn *then,
                   uint64_t stale_ms)
{
    struct err err = ERR_INIT;
    const struct doc *doc = store_find(api->config.store, id, &err);
    if (doc) /* perhaps without its request, which a damaged disk took */
        then(api, x, doc, stale_ms);
    else
        refuse(x, &err, id);
}

static void on_asked(void *arg, uint64_t id, bool is_known, uint64_t stale_ms)
{
    struct lookup *self = arg;
    struct api *api = self->api;
    struct http_exchange *x = self->x;
    lookup_fn *then = self->then;
    (void)is_known;
    http_on_gone(x, NULL, NULL);
    lookup_free(self);
    finish(api, x, id, then, stale_ms);
}

void lookup_id(struct api *api, struct http_exchange *x, uint64_t id, lookup_fn *then)
{
    const struct doc *doc = store_find(api->config.store, id, NULL);
    if (doc && doc_is_final(doc)) {
        then(api, x, doc, 0);
        return;
    }
    struct lookup *self = mem_new(sizeof *self);
    *self = (struct lookup){.api = api, .x = x, .id = id, .then = then, .next = api->lookups};
    api->lookups = self;
    http_on_gone(x, on_gone, self);
    host_ask(api->config.host, id, on_asked, self);
}

void lookup_evaluation(struct api *api, struct http_exchange *x, lookup_fn *then)
{
    const char *text = http_param(x, "id");
    struct err err = ERR_INIT;
    uint64_t id;
    if (!id_eval_parse(text, &id)) {
        err_refuse(&err, ERR_NOT_FOUND, "evaluation-not-found",
                   "\"%.40s\" is not the id of an evaluation", text);
        http_reply_problem(x, &err);
        return;
    }
    lookup_id(api, x, id, then);
}

void lookup_free_all(struct api *api)
{
    while (api->lookups) {
        host_forget(api->config.host, api->lookups);
        lookup_free(api->lookups);
    }
}
