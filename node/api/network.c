/* network: what the network is and has done, and whether this node is well. /stats and /network
 * have exactly the keys that their users know. */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern const unsigned char openapi_json[]; /* docs/openapi.json */
extern const size_t openapi_json_len;

static void begin(struct json_out *out, struct buf *text)
{
    json_out_init(out, text);
    json_out_open_object(out);
}

static void answer(struct http_exchange *x, struct json_out *out)
{
    json_out_close_object(out);
    buf_putc(out->to, '\n');
    http_reply_json(x, 200, out->to);
}

static void put_node_stats(struct json_out *out, const char *address,
                           const struct totals_node *node)
{
    json_out_open_object(out);
    json_out_key_str(out, "address", address);
    json_out_key_uint(out, "failed", node ? node->failed : 0);
    json_out_key_uint(out, "passed", node ? node->passed : 0);
    json_out_key_uint(out, "projects", node ? node->projects : 0);
    json_out_key_uint(out, "modules", node ? node->modules : 0);
    json_out_key(out, "evaluations");
    json_out_open_array(out);
    for (size_t i = 0; node && i < node->evaluation_count; i++)
        json_out_uint(out, node->evaluations[i]);
    json_out_close_array(out);
    json_out_close_object(out);
}

/* ---- members --------------------------------------------------------------------------------- */

/* Calls for each node that is there, this one too, in the order of their ids. */
typedef void node_fn(void *arg, const char *address, const struct swim_view *view);

static void each_alive(const struct api *self, node_fn *fn, void *arg)
{
    const struct swim *swim = host_members(self->config.host);
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        char text[WIRE_ADDR_TEXT];
        swim_at(swim, i, &view);
        if (view.member.st > WIRE_STATE_SUSPECT)
            continue;
        const char *address = view.is_self ? self->config.address : view.member.address;
        fn(arg, address && *address ? address : wire_addr_format(&view.member.addr, text), &view);
    }
}

struct stats {
    struct json_out *out;
    const struct totals *totals;
};

static void put_stats_of(void *arg, const char *address, const struct swim_view *view)
{
    const struct stats *stats = arg;
    const struct totals_node *found = NULL;
    char name[TOTALS_NODE_NAME];
    (void)snprintf(name, sizeof name, "%016" PRIx64, id_node_short(&view->member.node));
    for (size_t i = 0; i < stats->totals->node_count; i++)
        if (strcmp(stats->totals->nodes[i].name, name) == 0)
            found = &stats->totals->nodes[i];
    put_node_stats(stats->out, address, found);
}

void network_stats(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    owned_totals totals = {0};
    owned_buf text = BUF_INIT;
    struct json_out out;
    store_totals(self->config.store, &totals);
    begin(&out, &text);
    json_out_key(&out, "all");
    json_out_open_object(&out);
    json_out_key_uint(&out, "failed", totals.failed);
    json_out_key_uint(&out, "passed", totals.passed);
    json_out_key_uint(&out, "projects", totals.projects);
    json_out_key_uint(&out, "evaluations", totals.evaluations);
    json_out_close_object(&out);
    json_out_key(&out, "nodes");
    json_out_open_array(&out);
    each_alive(self, put_stats_of, &(struct stats){.out = &out, .totals = &totals});
    json_out_close_array(&out);
    answer(x, &out);
}

struct others {
    const struct api *api;
    struct json_out *out;
    uint64_t node; /* whose others these are */
};

static void put_other(void *arg, const char *address, const struct swim_view *view)
{
    const struct others *others = arg;
    if (id_node_short(&view->member.node) != others->node)
        json_out_str(others->out, address);
}

static void put_others(void *arg, const char *address, const struct swim_view *view)
{
    struct others *others = arg;
    json_out_key(others->out, address);
    json_out_open_array(others->out);
    each_alive(others->api, put_other,
               &(struct others){.out = others->out, .node = id_node_short(&view->member.node)});
    json_out_close_array(others->out);
}

void network_network(struct http_exchange *x, void *arg)
{
    owned_buf text = BUF_INIT;
    struct json_out out;
    begin(&out, &text);
    each_alive(arg, put_others, &(struct others){.api = arg, .out = &out});
    answer(x, &out);
}

void network_peers(struct http_exchange *x, void *arg)
{
    const struct api *self = arg;
    owned_buf text = BUF_INIT;
    struct json_out out;
    begin(&out, &text);
    json_out_key(&out, "peers");
    json_out_open_array(&out);
    each_alive(self, put_other,
               &(struct others){.out = &out, .node = host_self(self->config.host)});
    json_out_close_array(&out);
    answer(x, &out);
}

static void put_load(struct json_out *out, const struct api *self)
{
    struct mesh_load load = host_load(self->config.host);
    json_out_key_uint(out, "slots", load.slots);
    json_out_key_uint(out, "running", load.running);
    json_out_key_uint(out, "free", load.slots > load.running ? load.slots - load.running : 0);
    json_out_key_uint(out, "waiting", load.waiting);
    json_out_key_uint(out, "preparing", load.preparing);
    json_out_key_real(out, "waiting_s", (double)load.waiting_ms / 1e3, 3);
    json_out_key_uint(out, "evaluations", load.owned);
}

void network_load(struct http_exchange *x, void *arg)
{
    owned_buf text = BUF_INIT;
    struct json_out out;
    begin(&out, &text);
    put_load(&out, arg);
    answer(x, &out);
}

struct counters {
    struct json_out *out;
    const char *part; /* static */
};

static void put_counter(void *arg, const char *part, const char *name, uint64_t value)
{
    struct counters *self = arg;
    if (!self->part || strcmp(self->part, part) != 0) {
        if (self->part)
            json_out_close_object(self->out);
        self->part = part;
        json_out_key(self->out, part);
        json_out_open_object(self->out);
    }
    json_out_key_uint(self->out, name, value);
}

/* For operators and `testmesh mesh`: {"net": {"datagrams_in": 7, …}, "swim": {…}, …}. */
static void put_counters(struct json_out *out, const struct api *self)
{
    struct counters counters = {.out = out};
    json_out_key(out, "counters");
    json_out_open_object(out);
    host_each_counter(self->config.host, put_counter, &counters);
    json_out_close_object(out);
    json_out_close_object(out);
}

/* What only the node itself knows. */
static void put_self(struct json_out *out, const struct api *self)
{
    const struct api_facts *facts = &self->config.facts;
    json_out_key_real(out, "uptime_s", (double)(clock_mono_ms() - self->started_ms) / 1e3, 3);
    json_out_key_str(out, "version", facts->version);
    json_out_key_str(out, "sandbox", facts->tier_text);
    json_out_key_str(out, "python", facts->python);
    json_out_key_str(out, "installer", facts->installer);
    json_out_key(out, "load");
    json_out_open_object(out);
    put_load(out, self);
    json_out_close_object(out);
    put_counters(out, self);
}

static void put_ago(struct json_out *out, const char *key, uint64_t at_ms)
{
    uint64_t now_ms = clock_mono_ms();
    json_out_key_real(out, key, now_ms > at_ms ? (double)(now_ms - at_ms) / 1e3 : 0, 3);
}

static void put_peer(struct json_out *out, const struct api *self, const struct swim_view *view)
{
    const struct wire_load *load =
        swim_load(host_members(self->config.host), id_node_short(&view->member.node));
    json_out_key_uint(out, "rtt_ms", view->rtt_ms);
    if (view->heard_ms)
        put_ago(out, "heard_s", view->heard_ms);
    json_out_key_bool(out, "agrees", view->agrees);
    json_out_key_bool(out, "compatible", view->is_compatible);
    json_out_key(out, "load");
    json_out_open_object(out);
    json_out_key_uint(out, "slots", view->member.caps.slots);
    if (load) {
        json_out_key_uint(out, "free", load->free_slots);
        json_out_key_uint(out, "waiting", load->queued);
    }
    json_out_close_object(out);
}

static const char *state_of(const struct api *self, const struct swim_view *view)
{
    bool is_draining =
        view->is_self ? self->is_draining : (view->member.flags & WIRE_FLAG_DRAINING) != 0;
    if (view->member.st == WIRE_STATE_ALIVE && is_draining)
        return "draining";
    if (view->is_self && store_repairing(self->config.store))
        return "repairing";
    if (view->member.st == WIRE_STATE_ALIVE && !view->is_compatible)
        return "incompatible";
    return wire_state_name(view->member.st);
}

/* Those that are gone, too, for as long as they are remembered. */
static void put_node(struct json_out *out, const struct api *self, const struct swim_view *view)
{
    char nid[ID_NODE_HEX];
    char mesh[WIRE_ADDR_TEXT];
    json_out_open_object(out);
    json_out_key_str(out, "address", view->is_self ? self->config.address : view->member.address);
    json_out_key_str(out, "mesh", wire_addr_format(&view->member.addr, mesh));
    json_out_key_str(out, "name", view->member.name);
    json_out_key_str(out, "id", id_node_hex(&view->member.node, nid));
    json_out_key_uint(out, "generation", view->member.gen);
    json_out_key_str(out, "state", state_of(self, view));
    if (view->state_since_ms)
        put_ago(out, "since_s", view->state_since_ms);
    if (view->is_self)
        put_self(out, self);
    else
        put_peer(out, self, view);
    json_out_close_object(out);
}

void network_nodes(struct http_exchange *x, void *arg)
{
    const struct api *self = arg;
    const struct swim *swim = host_members(self->config.host);
    owned_buf text = BUF_INIT;
    struct json_out out;
    begin(&out, &text);
    json_out_key(&out, "nodes");
    json_out_open_array(&out);
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        swim_at(swim, i, &view);
        put_node(&out, self, &view);
    }
    json_out_close_array(&out);
    answer(x, &out);
}

void network_ping(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    owned_buf text = BUF_INIT;
    struct json_out out;
    begin(&out, &text);
    json_out_key_str(&out, "status", "ok");
    json_out_key_str(&out, "address", self->config.address);
    json_out_key_str(&out, "version", self->config.facts.version);
    answer(x, &out);
}

void network_healthz(struct http_exchange *x, void *arg)
{
    (void)arg;
    static const char ok[] = "ok\n";
    http_reply_static(x, 200, "text/plain; charset=utf-8", ok, sizeof ok - 1);
}

void network_readyz(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    struct err err = ERR_INIT;
    if (api_check_ready(self, &err))
        http_reply_problem(x, &err);
    else
        network_healthz(x, arg);
}

void network_openapi(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply_static(x, 200, "application/json", openapi_json, openapi_json_len);
}

void network_problem(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct err err = ERR_INIT;
    const struct problem *row = problem_find(http_param(x, "code"));
    if (!row) {
        err_set(&err, ERR_NOT_FOUND, "there is no problem of that name");
        http_reply_problem(x, &err);
        return;
    }
    owned_buf page = BUF_INIT;
    problem_page(&page, row);
    http_reply_take(x, 200, "text/html; charset=utf-8", &page);
}

void network_home(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    owned_buf text = BUF_INIT;
    buf_printf(&text,
               "testmesh %s at %s\n\n"
               "Grade a zip of Python projects:\n\n"
               "    curl -F file=@projects.zip http://%s/evaluation\n"
               "    curl http://%s/evaluation/<id>?wait=60\n\n"
               "See also /openapi.json, /evaluation, /stats, /network, /nodes, /load.\n",
               self->config.facts.version, self->config.address, self->config.address,
               self->config.address);
    http_reply_take(x, 200, "text/plain; charset=utf-8", &text);
}
