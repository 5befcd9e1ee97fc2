/* metrics_http: requests by route, problems and refused uploads by reason. */
#include "node/api/internal.h"

#include "proto/base/mem.h"

#include <string.h>

static size_t count_problems(void)
{
    size_t count = 0;
    while (problem_at(count))
        count++;
    return count;
}

void metrics_http_init(struct metrics_http *self, size_t route_count)
{
    size_t problems = count_problems();
    *self = (struct metrics_http){.routes = mem_new_array(route_count + 1, sizeof *self->routes),
                                  .problems = mem_new_array(problems, sizeof *self->problems),
                                  .refused = mem_new_array(problems, sizeof *self->refused)};
    for (size_t i = 0; i <= route_count; i++)
        self->routes[i].took = HISTOGRAM_SHORT;
}

void metrics_http_fini(struct metrics_http *self)
{
    free(self->routes);
    free(self->problems);
    free(self->refused);
}

/* ---- counting -------------------------------------------------------------------------------- */

/* The row that answered; HEAD is its GET. Behind the last: none. */
static size_t find_route(const struct api *api, const char *method, const char *pattern)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t at = 0;
    while (at < api->route_count && (!pattern || strcmp(api->routes[at].pattern, pattern) != 0 ||
                                     strcmp(api->routes[at].method, wanted) != 0))
        at++;
    return at;
}

void metrics_answered(const struct http_answered *what, void *arg)
{
    struct api *api = arg;
    struct metrics_http *self = &api->http;
    size_t at = find_route(api, what->method, what->pattern);
    int class = what->status / 100;
    self->routes[at].answers[class > 0 && class < METRICS_CLASSES ? class : 0]++;
    histogram_add(&self->routes[at].took, what->took_us);
    self->bytes_in += what->bytes_in;
    self->bytes_out += what->bytes_out;
    if (!what->problem)
        return;
    size_t row = (size_t)(what->problem - problem_at(0));
    self->problems[row]++;
    self->refused[row] += at < api->route_count && api->routes[at].handler == submit_handle;
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *route_of(const struct api *api, size_t at)
{
    return at < api->route_count ? api->routes[at].pattern : "other";
}

static const char *method_of(const struct api *api, size_t at)
{
    return at < api->route_count ? api->routes[at].method : "other";
}

static void put_requests(struct exposition *out, const struct api *api)
{
    static const char *const classes[METRICS_CLASSES] = {"other", "1xx", "2xx",
                                                         "3xx",   "4xx", "5xx"};
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_http_requests_total",
                      "Answers that clients took, by route and class of the status.");
    for (size_t at = 0; at <= api->route_count; at++)
        for (size_t class = 2; class < METRICS_CLASSES; class ++)
            exposition_uint(out,
                            &(struct exposition_labels){{{"method", method_of(api, at)},
                                                         {"route", route_of(api, at)},
                                                         {"status", classes[class]}}},
                            api->http.routes[at].answers[class]);
    exposition_family(out, EXPOSITION_HISTOGRAM, "testmesh_http_request_duration_seconds",
                      "From a request's first byte to its answer's last, ?wait= and the upload's "
                      "own time among it; of routes that were used.");
    for (size_t at = 0; at <= api->route_count; at++)
        if (histogram_count(&api->http.routes[at].took))
            exposition_histogram(out,
                                 &(struct exposition_labels){{{"method", method_of(api, at)},
                                                              {"route", route_of(api, at)}}},
                                 &api->http.routes[at].took);
}

static void put_reasons(struct exposition *out, const char *name, const char *help,
                        const uint64_t *counts)
{
    const struct problem *row;
    exposition_family(out, EXPOSITION_COUNTER, name, help);
    for (size_t i = 0; (row = problem_at(i)); i++)
        if (counts[i])
            exposition_uint(out, EXPOSITION_LABEL("reason", row->code), counts[i]);
}

static uint64_t accepted(const struct api *api)
{
    uint64_t count = 0;
    for (size_t at = 0; at < api->route_count; at++)
        if (api->routes[at].handler == submit_handle)
            count += api->http.routes[at].answers[2];
    return count;
}

void metrics_put_http(struct exposition *out, const struct api *api,
                      const struct http_server *server)
{
    struct http_server_stats stats = http_server_stats(server);
    put_requests(out, api);
    exposition_counter(out, "testmesh_http_received_bytes_total",
                       "Bytes of requests that were answered.", api->http.bytes_in);
    exposition_counter(out, "testmesh_http_sent_bytes_total", "Bytes of answers.",
                       api->http.bytes_out);
    put_reasons(out, "testmesh_http_problems_total",
                "Requests that were refused or failed, by the code of the problem.",
                api->http.problems);
    put_reasons(out, "testmesh_uploads_refused_total",
                "Evaluations that were not taken, by reason.", api->http.refused);
    exposition_counter(out, "testmesh_uploads_accepted_total",
                       "Evaluations that were taken, repeated requests among them.", accepted(api));
    exposition_gauge(out, "testmesh_uploads_in_progress",
                     "Uploads that are received, unpacked or made durable.", api->upload_count);
    exposition_gauge(out, "testmesh_http_connections", "Clients' connections.",
                     (double)stats.connections);
    exposition_counter(out, "testmesh_http_connections_total", "Connections that clients made.",
                       stats.accepted);
    exposition_counter(out, "testmesh_http_connections_evicted_total",
                       "Idle connections that were closed for newcomers.", stats.evicted);
}
